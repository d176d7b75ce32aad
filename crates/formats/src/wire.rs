//! What parent and child say to each other: one request, then pieces, then an end.
//!
//! A request is [`HEAD`] bytes of numbers and the document. An answer is frames: a tag,
//! an argument, a length of four bytes, and so many bytes of UTF-8.

use std::io::{self, Read, Write};

use context::parse::{Assembly, Error, Format, Kind, Limits, Parsed, Piece, Why};

use crate::reader::Bounds;

/// Both are the same binary; another version is another file under a running server.
const VERSION: u64 = 1;
/// Numbers of a request, eight bytes each.
const NUMBERS: usize = 10;
pub const HEAD: usize = NUMBERS * 8;

const TITLE: u8 = b'T';
const PART: u8 = b'P';
const HEADING: u8 = b'H';
const BLOCK: u8 = b'B';
const HIDDEN: u8 = b'X';
const END: u8 = b'E';
const FAILED: u8 = b'F';

const KINDS: [Kind; 7] =
    [Kind::Heading, Kind::Paragraph, Kind::Item, Kind::Quote, Kind::Code, Kind::Row, Kind::Header];
const WHYS: [Why; 10] = [
    Why::Invisible,
    Why::Bidi,
    Why::Tags,
    Why::Control,
    Why::Comment,
    Why::Display,
    Why::Size,
    Why::Colour,
    Why::Metadata,
    Why::Alternative,
];

/// What a child is asked.
#[derive(Debug, PartialEq)]
pub struct Request {
    pub format: Format,
    pub limits: Limits,
    pub bounds: Bounds,
    pub bytes: usize,
}

pub fn write_request(request: &Request) -> [u8; HEAD] {
    let Request { format, limits, bounds, bytes } = request;
    let format = Format::ALL.iter().position(|f| f == format).unwrap_or(Format::ALL.len());
    let numbers: [u64; NUMBERS] = [
        VERSION,
        format as u64,
        limits.bytes as u64,
        limits.blocks as u64,
        limits.depth as u64,
        limits.text_bytes as u64,
        limits.hidden_bytes as u64,
        bounds.memory_bytes,
        bounds.cpu_seconds,
        *bytes as u64,
    ];
    let mut head = [0; HEAD];
    for (at, number) in numbers.iter().enumerate() {
        head[at * 8..at * 8 + 8].copy_from_slice(&number.to_le_bytes());
    }
    head
}

pub fn read_request(head: &[u8; HEAD]) -> Option<Request> {
    let number = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&head[at * 8..at * 8 + 8]);
        u64::from_le_bytes(bytes)
    };
    let size = |at| usize::try_from(number(at)).ok();
    if number(0) != VERSION {
        return None;
    }
    Some(Request {
        format: *Format::ALL.get(size(1)?)?,
        limits: Limits {
            bytes: size(2)?,
            blocks: size(3)?,
            depth: size(4)?,
            text_bytes: size(5)?,
            hidden_bytes: size(6)?,
        },
        bounds: Bounds { memory_bytes: number(7), cpu_seconds: number(8), ..Bounds::default() },
        bytes: size(9)?,
    })
}

pub fn write_piece(to: &mut impl Write, piece: &Piece) -> io::Result<()> {
    match piece {
        Piece::Title(text) => frame(to, TITLE, 0, text),
        Piece::Part { level, name } => frame(to, PART, *level, name),
        Piece::Heading { level, text } => frame(to, HEADING, *level, text),
        Piece::Block { kind, text } => frame(to, BLOCK, index(&KINDS, kind), text),
        Piece::Hidden { why, text } => frame(to, HIDDEN, index(&WHYS, why), text),
    }
}

pub fn write_end(to: &mut impl Write, result: &Result<(), Error>) -> io::Result<()> {
    let number = |max: &usize| max.to_string();
    match result {
        Ok(()) => frame(to, END, 0, ""),
        Err(Error::Empty) => frame(to, FAILED, 0, ""),
        Err(Error::Encrypted) => frame(to, FAILED, 1, ""),
        Err(Error::Broken { why, .. }) => frame(to, FAILED, 2, why),
        Err(Error::Unpacks { max }) => frame(to, FAILED, 3, &number(max)),
        Err(Error::TooDeep { max }) => frame(to, FAILED, 4, &number(max)),
        Err(Error::TooMuchText { max }) => frame(to, FAILED, 5, &number(max)),
        Err(Error::TooManyBlocks { max }) => frame(to, FAILED, 6, &number(max)),
        Err(other) => frame(to, FAILED, 7, &other.to_string()),
    }
}

fn index<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|other| other == one).unwrap_or(all.len()) as u8
}

fn frame(to: &mut impl Write, tag: u8, argument: u8, text: &str) -> io::Result<()> {
    let length = u32::try_from(text.len()).map_err(|_| io::Error::other("a piece of more than 4 GiB"))?;
    to.write_all(&[tag, argument])?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(text.as_bytes())
}

/// What reading a document's answer came to.
pub enum Answer {
    Document(Result<Parsed, Error>),
    /// The child ended, or said what no child says.
    Cut(io::Error),
}

/// Reads frames up to the end, and puts their pieces together.
pub fn read_answer(from: &mut impl Read, format: Format, limits: &Limits) -> Answer {
    let mut assembly = Assembly::new(format, limits);
    loop {
        let (tag, argument, text) = match read_frame(from, limits) {
            Ok(frame) => frame,
            Err(error) => return Answer::Cut(error),
        };
        let piece = match (tag, KINDS.get(usize::from(argument)), WHYS.get(usize::from(argument))) {
            (TITLE, ..) => Piece::Title(text),
            (PART, ..) => Piece::Part { level: argument, name: text },
            (HEADING, ..) => Piece::Heading { level: argument, text },
            (BLOCK, Some(kind), _) => Piece::Block { kind: *kind, text },
            (HIDDEN, _, Some(why)) => Piece::Hidden { why: *why, text },
            (END, ..) => return Answer::Document(assembly.finish()),
            (FAILED, ..) => return Answer::Document(Err(failure(argument, text, format))),
            _ => return Answer::Cut(io::ErrorKind::InvalidData.into()),
        };
        if let Err(error) = assembly.add(&piece) {
            return Answer::Document(Err(error));
        }
    }
}

fn read_frame(from: &mut impl Read, limits: &Limits) -> io::Result<(u8, u8, String)> {
    let mut head = [0; 6];
    from.read_exact(&mut head)?;
    let length = u32::from_le_bytes([head[2], head[3], head[4], head[5]]) as usize;
    if length > limits.text_bytes.max(64 << 10) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // Grows with what is there, not with what is claimed.
    let mut bytes = Vec::new();
    from.by_ref().take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let text = String::from_utf8(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok((head[0], head[1], text))
}

fn failure(argument: u8, text: String, format: Format) -> Error {
    let max = text.parse().unwrap_or(0);
    // The child's words are shown to a person, and no more is believed of them.
    let why = || text.chars().filter(|c| !c.is_control()).take(300).collect::<String>();
    match argument {
        0 => Error::Empty,
        1 => Error::Encrypted,
        2 => Error::Broken { format, why: why() },
        3 => Error::Unpacks { max },
        4 => Error::TooDeep { max },
        5 => Error::TooMuchText { max },
        6 => Error::TooManyBlocks { max },
        _ => Error::Reader(format!("failed: {}", why())),
    }
}
