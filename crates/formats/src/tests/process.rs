//! The child, which is this test binary: it runs the test named `the_child_of_these_tests`
//! and finds a socket on its input.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use context::parse::{Error, Format, Kind, Limits, Piece};

use super::files::{Pdf, docx, pptx, xlsx};
use crate::wire::{self, HEAD};
use crate::{Bounds, Launch, Reader, child};

const CHILD: &str = "BEDPLATE_TEST_IS_CHILD";

#[test]
#[expect(clippy::disallowed_methods, reason = "how a test binary knows that it is the child of another")]
fn the_child_of_these_tests() {
    match std::env::var(CHILD).as_deref() {
        Ok("reads") => drop(crate::run()),
        Ok(how) => misbehave(how),
        Err(_) => {}
    }
}

/// What no reader should do, and one may.
fn misbehave(how: &str) {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().expect("a socket");
    let mut stream = UnixStream::from(stdin);
    let mut head = [0; HEAD];
    stream.read_exact(&mut head).expect("a request");
    let request = wire::read_request(&head).expect("a request");
    let mut bytes = vec![0; request.bytes];
    stream.read_exact(&mut bytes).expect("a document");
    child::give_up(&request.bounds).expect("limits");
    match how {
        "hangs" => drop(stream.read(&mut [0])),
        "spins" => loop {
            std::hint::spin_loop();
        },
        "eats" => drop(std::hint::black_box(vec![1u8; 8 << 30])),
        "babbles" => drop(stream.write_all(&[b'?'; 4096])),
        "opens" => {
            let tries = [
                ("file", std::fs::File::open("/etc/hostname").is_ok()),
                ("socket", std::net::TcpListener::bind("127.0.0.1:0").is_ok()),
                // A root may start one; it finds its libraries no more than this one would.
                ("process", std::process::Command::new("/bin/true").status().is_ok_and(|s| s.success())),
                ("environment", std::env::vars().count() > 1),
            ];
            let text = format!("{:?}", tries.map(|(what, could)| format!("{what} {could}")));
            let piece = Piece::Block { kind: Kind::Paragraph, text };
            wire::write_piece(&mut stream, &piece).expect("heard");
            wire::write_end(&mut stream, &Ok(())).expect("heard");
        }
        other => panic!("nobody {other}"),
    }
}

fn reader(how: &str, bounds: Bounds) -> Reader {
    let arguments =
        ["--exact", "tests::process::the_child_of_these_tests", "--test-threads=1", "--nocapture"];
    let launch = Launch {
        program: std::env::current_exe().expect("this test binary"),
        arguments: arguments.iter().map(Into::into).collect(),
        environment: vec![(CHILD.into(), how.into())],
    };
    Reader::new(launch, bounds)
}

fn fails(how: &str, bounds: Bounds) -> String {
    match reader(how, bounds).read(b"words", Format::Pdf, &Limits::default()) {
        Err(Error::Reader(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_child_reads_what_is_read_here() {
    let reader = reader("reads", Bounds::default());
    let pdf = Pdf::new().titled("One").page("BT /F1 10 Tf 72 700 Td (Words.) Tj ET").bytes();
    let documents =
        [(docx("<w:p/>"), Format::Docx), (pptx(), Format::Pptx), (xlsx(), Format::Xlsx), (pdf, Format::Pdf)];
    for (bytes, format) in documents {
        assert_eq!(reader.read(&bytes, format, &Limits::default()), super::read(&bytes, format));
    }
    for (bytes, format) in
        [(&b"PK\x03\x04"[..], Format::Docx), (b"%PDF-1.7", Format::Pdf), (b"", Format::Pdf)]
    {
        let there = reader.read(bytes, format, &Limits::default()).expect_err("refused");
        assert_eq!(
            there,
            super::read(bytes, format).err().filter(|_| !bytes.is_empty()).unwrap_or(Error::Empty)
        );
    }
}

#[test]
fn whatever_a_child_does_costs_its_document_only() {
    let quick = Bounds { wall: Duration::from_millis(300), ..Bounds::default() };
    assert_eq!(fails("hangs", quick), "took longer than 0 seconds");
    assert!(
        fails("spins", Bounds { cpu_seconds: 1, ..Bounds::default() }).contains("computed for 1 seconds")
    );
    assert!(fails("eats", Bounds::default()).contains("2048 MiB of memory"));
    assert_eq!(fails("babbles", Bounds::default()), "answered nonsense");
}

#[test]
fn a_child_can_open_nothing_and_start_nothing() {
    let read = reader("opens", Bounds::default()).read(b"words", Format::Pdf, &Limits::default());
    let text = read.expect("it is read").text;
    assert_eq!(text, r#"["file false", "socket false", "process false", "environment false"]"#);
}

#[test]
fn answers_of_any_bytes_are_no_more_than_errors() {
    for seed in 0..200u32 {
        let bytes: Vec<u8> = (0..64)
            .map(|n| (seed.wrapping_mul(2_654_435_761).rotate_left(n % 32) >> (n % 7)) as u8)
            .collect();
        crate::fuzz_frames(&bytes);
    }
    let limits = Limits::default();
    let mut answer = Vec::new();
    // A length that is claimed, and not there.
    answer.extend([b'B', 1, 0xFF, 0xFF, 0, 0, b'x']);
    let read = wire::read_answer(&mut answer.as_slice(), Format::Pdf, &limits);
    assert!(matches!(read, wire::Answer::Cut(why) if why.kind() == std::io::ErrorKind::UnexpectedEof));
}
