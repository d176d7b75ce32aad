//! Structured logs: one event, some fields, one line.
//!
//! A line is formatted by its caller and written by one thread; the queue
//! between them is bounded and never waited for. Fields, not sentences: the
//! event's name is a constant, everything that varies is a field.
//!
//! ```
//! observe::info!("request_settled", status = 200, model = "gpt-5", ms = 12.5);
//! ```

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

/// How much a person should care. ERROR means: somebody must act.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Level {
    Error = 1,
    Warn = 2,
    Info = 3,
    Debug = 4,
}

impl Level {
    fn text(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }
}

impl std::str::FromStr for Level {
    type Err = String;
    fn from_str(text: &str) -> Result<Level, String> {
        [Level::Error, Level::Warn, Level::Info, Level::Debug]
            .into_iter()
            .find(|level| level.text() == text)
            .ok_or_else(|| format!("\"{text}\" is not a log level: write error, warn, info or debug"))
    }
}

/// A field's value. There is no conversion from [`crate::Secret`].
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Text(&'a str),
    Owned(String),
    Int(i64),
    Uint(u64),
    Float(f64),
    Bool(bool),
}

macro_rules! values {
    ($($from:ty => $variant:ident as $to:ty),* $(,)?) => {$(
        impl From<$from> for Value<'_> {
            fn from(value: $from) -> Self { Value::$variant(value as $to) }
        }
    )*};
}

values! {
    i8 => Int as i64, i16 => Int as i64, i32 => Int as i64, i64 => Int as i64,
    u8 => Uint as u64, u16 => Uint as u64, u32 => Uint as u64, u64 => Uint as u64, usize => Uint as u64,
    f32 => Float as f64, f64 => Float as f64, bool => Bool as bool,
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(text)
    }
}
impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Value::Text(text)
    }
}
impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::Owned(text)
    }
}
impl From<units::Uuid7> for Value<'_> {
    fn from(id: units::Uuid7) -> Self {
        Value::Owned(id.to_string())
    }
}
impl From<units::RequestId> for Value<'_> {
    fn from(id: units::RequestId) -> Self {
        Value::Owned(id.to_string())
    }
}

/// Lines waiting for the writer: about 1 MB, a second of a very busy log.
const QUEUE: usize = 4096;
/// Longest text of one field, in bytes; the rest is cut.
const MAX_FIELD_BYTES: usize = 2048;

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static DROPPED: AtomicU64 = AtomicU64::new(0);
static LOG: OnceLock<Log> = OnceLock::new();

/// How lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// One JSON object per line, for machines.
    Json,
    /// Aligned columns, for a person at a terminal.
    Pretty,
}

impl Format {
    /// Pretty on a terminal, JSON elsewhere.
    pub fn of_stderr() -> Format {
        if std::io::stderr().is_terminal() { Format::Pretty } else { Format::Json }
    }
}

enum Job {
    Line(String),
    Flush(SyncSender<()>),
}

/// The process's log.
pub struct Log {
    queue: SyncSender<Job>,
    format: Format,
}

impl Log {
    /// Starts the writer to standard error; the first call wins. Lines before
    /// it are dropped silently, so that tests stay quiet.
    pub fn start(level: Level, format: Format) {
        LEVEL.store(level as u8, Relaxed);
        LOG.get_or_init(|| {
            let (queue, jobs) = sync_channel(QUEUE);
            // Without a thread there is no log: the queue is then closed, every line counted as dropped.
            let _ = thread::Builder::new().name("log".into()).spawn(move || write_lines(&jobs));
            Log { queue, format }
        });
    }
    /// Queues a line, or counts it as dropped.
    fn submit(&self, line: String) {
        match self.queue.try_send(Job::Line(line)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                DROPPED.fetch_add(1, Relaxed);
            }
        }
    }
    pub fn set_level(level: Level) {
        LEVEL.store(level as u8, Relaxed);
    }
    /// Waits until every line so far is written.
    pub fn flush() {
        let Some(log) = LOG.get() else { return };
        let (done, wait) = sync_channel(1);
        if log.queue.send(Job::Flush(done)).is_ok() {
            let _ = wait.recv();
        }
    }
}

/// Lines dropped since the start because the queue was full.
pub fn dropped() -> u64 {
    DROPPED.load(Relaxed)
}

/// Whether lines of this level are written at all.
pub fn enabled(level: Level) -> bool {
    level as u8 <= LEVEL.load(Relaxed) && LOG.get().is_some()
}

/// Writes one event; use the macros.
pub fn event(level: Level, name: &str, fields: &[(&str, Value<'_>)]) {
    let Some(log) = LOG.get() else { return };
    log.submit(format_line(log.format, runtime::clock::now(), level, name, fields));
}

fn write_lines(jobs: &Receiver<Job>) {
    let mut reported = 0;
    while let Ok(job) = jobs.recv() {
        let mut err = std::io::stderr().lock();
        match job {
            // Nobody is left to tell when standard error is closed.
            Job::Line(line) => drop(err.write_all(line.as_bytes())),
            Job::Flush(done) => drop(done.send(())),
        }
        let dropped = DROPPED.load(Relaxed);
        if dropped > reported {
            let _ = writeln!(err, r#"{{"level":"warn","event":"log_lines_dropped","total":{dropped}}}"#);
            reported = dropped;
        }
    }
}

fn format_line(
    format: Format,
    now: units::Micros,
    level: Level,
    name: &str,
    fields: &[(&str, Value<'_>)],
) -> String {
    let mut line = String::with_capacity(128 + fields.len() * 24);
    // Writing into a String cannot fail.
    let _ = match format {
        Format::Json => write!(line, r#"{{"time":"{now}","level":"{}","event":"#, level.text()),
        Format::Pretty => write!(line, "{} {:5} {name}", &now.to_string()[11..23], level.text()),
    };
    if format == Format::Json {
        quote(&mut line, name);
    }
    for (key, value) in fields {
        match format {
            Format::Json => {
                line.push(',');
                quote(&mut line, key);
                line.push(':');
            }
            Format::Pretty => {
                let _ = write!(line, "  {key}=");
            }
        }
        let _ = match value {
            Value::Text(text) => text_value(&mut line, format, text),
            Value::Owned(text) => text_value(&mut line, format, text),
            Value::Int(n) => write!(line, "{n}"),
            Value::Uint(n) => write!(line, "{n}"),
            Value::Float(n) if n.is_finite() => write!(line, "{n}"),
            Value::Float(_) => write!(line, "null"),
            Value::Bool(b) => write!(line, "{b}"),
        };
    }
    line.push_str(if format == Format::Json { "}\n" } else { "\n" });
    line
}

fn text_value(line: &mut String, format: Format, text: &str) -> std::fmt::Result {
    let mut end = text.len().min(MAX_FIELD_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let plain = |c: char| c.is_alphanumeric() || "-_./:@+".contains(c);
    match format {
        Format::Pretty if !text.is_empty() && text[..end].chars().all(plain) => line.push_str(&text[..end]),
        // Quoted also for a person: a newline in a field must not forge a line.
        _ => quote(line, &text[..end]),
    }
    Ok(())
}

fn quote(line: &mut String, text: &str) {
    // A string always serialises.
    line.push_str(&serde_json::to_string(text).unwrap_or_default());
}

#[doc(hidden)]
#[macro_export]
macro_rules! log_event {
    ($level:expr, $name:expr $(, $key:ident = $value:expr)* $(,)?) => {
        if $crate::log::enabled($level) {
            $crate::log::event($level, $name, &[$((stringify!($key), $crate::log::Value::from($value))),*]);
        }
    };
}
/// A person must act.
#[macro_export]
macro_rules! error { ($($all:tt)*) => { $crate::log_event!($crate::log::Level::Error, $($all)*) }; }
/// Something is not as it should be; the process copes.
#[macro_export]
macro_rules! warn { ($($all:tt)*) => { $crate::log_event!($crate::log::Level::Warn, $($all)*) }; }
/// What an operator wants to read later.
#[macro_export]
macro_rules! info { ($($all:tt)*) => { $crate::log_event!($crate::log::Level::Info, $($all)*) }; }
/// For whoever looks for a bug.
#[macro_export]
macro_rules! debug { ($($all:tt)*) => { $crate::log_event!($crate::log::Level::Debug, $($all)*) }; }

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn fields() -> Vec<(&'static str, Value<'static>)> {
        vec![
            ("status", 200u16.into()),
            ("model", "a \"b\"\n".into()),
            ("ms", 1.5f64.into()),
            ("nan", f64::NAN.into()),
            ("stream", true.into()),
            ("path", "/v1/x".into()),
        ]
    }

    #[test]
    fn a_line_is_one_json_object() {
        let now = units::Micros(1_795_449_609_125_000);
        let line = format_line(Format::Json, now, Level::Info, "settled", &fields());
        expect![[r#"
            {"time":"2026-11-23T16:00:09.125Z","level":"info","event":"settled","status":200,"model":"a \"b\"\n","ms":1.5,"nan":null,"stream":true,"path":"/v1/x"}
        "#]]
        .assert_eq(&line);
        serde_json::from_str::<serde_json::Value>(&line).expect("valid JSON");
    }

    #[test]
    fn a_field_cannot_forge_a_line_for_a_person_either() {
        let now = units::Micros(1_795_449_609_125_000);
        let line = format_line(Format::Pretty, now, Level::Warn, "settled", &fields());
        expect![[r#"
            16:00:09.125 warn  settled  status=200  model="a \"b\"\n"  ms=1.5  nan=null  stream=true  path=/v1/x
        "#]]
        .assert_eq(&line);
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_never_waits() {
        let (queue, _stuck) = sync_channel(2);
        let log = Log { queue, format: Format::Json };
        let before = dropped();
        for _ in 0..10 {
            log.submit("x\n".to_owned());
        }
        assert_eq!(dropped() - before, 8);
    }

    #[test]
    fn a_long_field_is_cut_at_a_character() {
        let text = "é".repeat(5000);
        let line =
            format_line(Format::Json, units::Micros(0), Level::Info, "x", &[("t", text.as_str().into())]);
        assert!(line.len() < 2200);
        serde_json::from_str::<serde_json::Value>(&line).expect("valid JSON");
    }
}
