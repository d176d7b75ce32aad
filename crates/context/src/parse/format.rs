//! What a document is: by what is said of it, as long as its bytes agree.

use memchr::memmem;

use super::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    Text,
    Markdown,
    Html,
    Csv,
    /// A JSON value a line.
    Jsonl,
    /// Source code, and whatever is structured by its lines (YAML, JSON, XML).
    Code,
    /// One message (RFC 5322).
    Email,
    Pdf,
    Docx,
    Pptx,
    Xlsx,
}

/// What is said of a document: by a header, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Declared<'a> {
    /// A media type; parameters are ignored.
    pub media_type: Option<&'a str>,
    /// A file's name or path, or an address's path.
    pub name: Option<&'a str>,
}

impl Format {
    pub const ALL: [Format; 11] = [
        Format::Text,
        Format::Markdown,
        Format::Html,
        Format::Csv,
        Format::Jsonl,
        Format::Code,
        Format::Email,
        Format::Pdf,
        Format::Docx,
        Format::Pptx,
        Format::Xlsx,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Markdown => "Markdown",
            Format::Html => "HTML",
            Format::Csv => "CSV",
            Format::Jsonl => "JSON lines",
            Format::Code => "source code",
            Format::Email => "an e-mail",
            Format::Pdf => "PDF",
            Format::Docx => "a Word document",
            Format::Pptx => "a PowerPoint presentation",
            Format::Xlsx => "an Excel workbook",
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain",
            Format::Markdown => "text/markdown",
            Format::Html => "text/html",
            Format::Csv => "text/csv",
            Format::Jsonl => "application/jsonl",
            Format::Code => "text/x-source",
            Format::Email => "message/rfc822",
            Format::Pdf => "application/pdf",
            Format::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            Format::Pptx => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            Format::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        }
    }

    /// Whether it is made of characters.
    pub(super) fn is_text(self) -> bool {
        !matches!(self, Format::Pdf | Format::Docx | Format::Pptx | Format::Xlsx)
    }
}

/// What a document is. A media type that says nothing (`application/octet-stream`,
/// `text/plain`) gives way to the ending of the name, and both to what the bytes
/// plainly are.
///
/// # Errors
/// [`Error::Empty`]; [`Error::Disagrees`] when the bytes are plainly something else than
/// what is said; [`Error::Binary`] for what is no document at all.
pub fn format(declared: Declared<'_>, bytes: &[u8]) -> Result<Format, Error> {
    if bytes.is_empty() {
        return Err(Error::Empty);
    }
    let typed = declared.media_type.and_then(of_media_type);
    let named = declared.name.and_then(of_name);
    let said = match (typed, named) {
        (Some(Format::Text) | None, Some(named)) => Some(named),
        (typed, _) => typed,
    };
    match (said, magic(bytes)) {
        (None, Some(Magic::Is(found))) => Ok(found),
        (Some(said), Some(Magic::Is(found))) if said == found => Ok(found),
        (Some(said), Some(Magic::Is(found))) => {
            Err(Error::Disagrees { declared: said.name(), found: found.name() })
        }
        (Some(said), Some(Magic::No(found))) if !said.is_text() => {
            Err(Error::Disagrees { declared: said.name(), found })
        }
        (_, Some(Magic::No(found))) => Err(Error::Binary { found }),
        (Some(said), None) if !said.is_text() => {
            Err(Error::Disagrees { declared: said.name(), found: "something else" })
        }
        (Some(said), None) => Ok(said),
        (None, None) => Ok(looks_like(bytes)),
    }
}

fn of_media_type(media_type: &str) -> Option<Format> {
    let bare = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    Some(match bare.as_str() {
        "text/markdown" | "text/x-markdown" => Format::Markdown,
        "text/html" | "application/xhtml+xml" => Format::Html,
        "text/csv" | "text/tab-separated-values" => Format::Csv,
        "application/jsonl" | "application/x-ndjson" | "application/json-lines" => Format::Jsonl,
        "message/rfc822" => Format::Email,
        "application/json" | "application/xml" | "text/xml" | "application/yaml" | "text/x-source" => {
            Format::Code
        }
        "" | "application/octet-stream" | "binary/octet-stream" => return None,
        other => {
            let exact = Format::ALL.into_iter().find(|f| f.media_type() == other);
            return exact.or_else(|| other.starts_with("text/").then_some(Format::Text));
        }
    })
}

/// Endings of source code, in alphabetic order.
const CODE: [&str; 61] = [
    "bash", "c", "cc", "cfg", "clj", "conf", "cpp", "cs", "css", "cxx", "dart", "ex", "exs", "fs", "go",
    "gradle", "groovy", "h", "hcl", "hpp", "hs", "ini", "java", "jl", "js", "json", "jsx", "kt", "lua", "m",
    "mjs", "ml", "nix", "php", "pl", "pm", "proto", "ps1", "py", "r", "rb", "rs", "scala", "scss", "sh",
    "sql", "svelte", "swift", "tf", "toml", "ts", "tsx", "v", "vb", "vue", "xml", "xsd", "yaml", "yml",
    "zig", "zsh",
];

fn of_name(name: &str) -> Option<Format> {
    let file = name.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase();
    let Some((_, ending)) = file.rsplit_once('.') else {
        return matches!(file.as_str(), "dockerfile" | "makefile").then_some(Format::Code);
    };
    Some(match ending {
        "txt" | "text" | "log" | "rst" | "adoc" => Format::Text,
        "md" | "markdown" | "mdown" => Format::Markdown,
        "html" | "htm" | "xhtml" => Format::Html,
        "csv" | "tsv" => Format::Csv,
        "jsonl" | "ndjson" => Format::Jsonl,
        "eml" => Format::Email,
        "pdf" => Format::Pdf,
        "docx" => Format::Docx,
        "pptx" => Format::Pptx,
        "xlsx" => Format::Xlsx,
        code if CODE.binary_search(&code).is_ok() => Format::Code,
        _ => return None,
    })
}

/// What the first bytes plainly are.
enum Magic {
    Is(Format),
    /// Nothing that is read, by name.
    No(&'static str),
}

fn magic(bytes: &[u8]) -> Option<Magic> {
    const NO: [(&[u8], &str); 12] = [
        (b"\x1f\x8b", "a gzip archive"),
        (b"BZh", "a bzip2 archive"),
        (b"\xfd7zXZ\0", "an xz archive"),
        (b"\x28\xb5\x2f\xfd", "a zstd archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"\x89PNG", "an image"),
        (b"\xff\xd8\xff", "an image"),
        (b"GIF8", "an image"),
        (b"\x7fELF", "a program"),
        (b"MZ\x90\0", "a program"),
        (b"SQLite format 3\0", "a database"),
        // Old office files, and new ones that are encrypted.
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or encrypted office file"),
    ];
    // Readers accept a header within the first kilobyte; so do those who hide one there.
    if memmem::find(&bytes[..bytes.len().min(1024)], b"%PDF-")
        .is_some_and(|at| bytes[..at].iter().all(|b| !b.is_ascii_alphanumeric()))
    {
        return Some(Magic::Is(Format::Pdf));
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        let inside = |folder: &[u8]| memmem::find(bytes, folder).is_some();
        return Some(match () {
            () if inside(b"word/") => Magic::Is(Format::Docx),
            () if inside(b"ppt/") => Magic::Is(Format::Pptx),
            () if inside(b"xl/") => Magic::Is(Format::Xlsx),
            () => Magic::No("a zip archive"),
        });
    }
    NO.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, name)| Magic::No(name))
}

/// What text looks like of which nothing is said.
fn looks_like(bytes: &[u8]) -> Format {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]);
    let head = head.trim_start_matches('\u{FEFF}').trim_start();
    let lower = head.get(..head.floor_char_boundary(256)).unwrap_or_default().to_ascii_lowercase();
    if ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| lower.starts_with(tag)) {
        return Format::Html;
    }
    let first = head.lines().next().unwrap_or_default();
    if first.starts_with('{')
        && first.len() < 4096
        && serde_json::from_str::<serde_json::Value>(first).is_ok()
    {
        return Format::Jsonl;
    }
    const HEADERS: [&str; 6] =
        ["from:", "received:", "return-path:", "delivered-to:", "message-id:", "mime-version:"];
    let headers = lower.lines().take(8).filter(|line| HEADERS.iter().any(|h| line.starts_with(h))).count();
    if headers >= 2 && HEADERS.iter().any(|h| lower.starts_with(h)) { Format::Email } else { Format::Text }
}
