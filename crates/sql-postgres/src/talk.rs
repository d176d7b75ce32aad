//! What is said when: the server's bytes in, ours out, until there is a table or a reason why not.
//!
//! Pure. Everything here comes from a stranger: lengths are looked at before anything is kept for
//! them, and what was not asked for ends the talk.

use bytes::{Buf as _, BytesMut};
use fallible_iterator::FallibleIterator as _;
use graphquery::{Column, Rows, Table};
use postgres_protocol::IsNull;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{
    AuthenticationSaslBody, DataRowBody, ErrorResponseBody, Message, RowDescriptionBody,
};
use postgres_protocol::message::frontend;

use crate::{Error, Question};

/// Bytes of a greeting: parameters and notices before anything is asked.
const GREETING_MAX: usize = 64 << 10;
/// Bytes of what a server says of an error.
const TOLD_MAX: usize = 300;

/// Who to tell to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    process: i32,
    secret: i32,
}

impl Key {
    /// What tells the server, over a connection of its own.
    pub(crate) fn cancel(self) -> BytesMut {
        let mut out = BytesMut::new();
        frontend::cancel_request(self.process, self.secret, &mut out);
        out
    }
}

pub(crate) struct Talk<'a> {
    question: &'a Question<'a>,
    /// Whether nobody reads along.
    is_secret: bool,
    phase: Phase,
    key: Option<Key>,
    taken: usize,
    unread: BytesMut,
    out: BytesMut,
}

enum Phase {
    /// Who we are is not proven yet.
    Greeting(Proof),
    /// It knows us, and says so much of itself.
    Welcome,
    /// The transaction begins.
    Beginning,
    /// The query runs; `rows` once it is known of what columns.
    Asked {
        rows: Option<Rows>,
        ended: bool,
    },
    Done(Table),
}

enum Proof {
    None,
    /// Ours is sent; the server's is due.
    Scram(Box<ScramSha256>),
    /// Both are made.
    Both,
}

impl<'a> Talk<'a> {
    pub(crate) fn new(question: &'a Question<'a>, is_secret: bool) -> Result<Talk<'a>, Error> {
        let mut out = BytesMut::new();
        let parameters = [
            ("user", question.login.user.as_str()),
            ("database", question.login.database.as_str()),
            ("application_name", "bedplate"),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO"),
            ("TimeZone", "UTC"),
            ("default_transaction_read_only", "on"),
            // Else a backslash in a text of a template could hide a quote.
            ("standard_conforming_strings", "on"),
        ];
        frontend::startup_message(parameters, &mut out).map_err(unspeakable)?;
        Ok(Talk {
            question,
            is_secret,
            phase: Phase::Greeting(Proof::None),
            key: None,
            taken: 0,
            unread: BytesMut::new(),
            out,
        })
    }

    /// What has to be sent now.
    pub(crate) fn say(&mut self) -> BytesMut {
        self.out.split()
    }

    /// Whom to tell to stop, while something runs that could.
    pub(crate) fn running(&self) -> Option<Key> {
        let runs = matches!(self.phase, Phase::Beginning | Phase::Asked { ended: false, .. });
        self.key.filter(|_| runs)
    }

    /// Takes what the server says; the table when it is whole.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Result<Option<Table>, Error> {
        self.taken += bytes.len();
        let limit = match self.phase {
            Phase::Asked { .. } | Phase::Done(_) => self.question.limits.bytes,
            _ => GREETING_MAX,
        };
        if self.taken > limit {
            return Err(Error::Large(limit));
        }
        self.unread.extend_from_slice(bytes);
        while !matches!(self.phase, Phase::Done(_)) {
            // The library makes room for what a length says before it comes.
            if let Some(head) = self.unread.get(1..5) {
                let length = u32::from_be_bytes(head.try_into().expect("four bytes"));
                if length as usize > limit {
                    return Err(Error::Large(limit));
                }
            }
            let Some(message) = Message::parse(&mut self.unread).map_err(|e| strange(&e))? else {
                return Ok(None);
            };
            self.one(message)?;
        }
        let Phase::Done(table) = std::mem::replace(&mut self.phase, Phase::Welcome) else {
            unreachable!("the loop ended with it")
        };
        Ok(Some(table))
    }

    fn one(&mut self, message: Message) -> Result<(), Error> {
        match (&mut self.phase, message) {
            // Of these there may be some at any time.
            (
                _,
                Message::NoticeResponse(_) | Message::ParameterStatus(_) | Message::NotificationResponse(_),
            ) => Ok(()),
            (_, Message::ErrorResponse(body)) => {
                // What it refused does not run.
                self.key = None;
                Err(refusal(&body))
            }
            (Phase::Greeting(_), message) => self.greeted(message),
            (Phase::Welcome, Message::BackendKeyData(body)) => {
                self.key = Some(Key { process: body.process_id(), secret: body.secret_key() });
                Ok(())
            }
            (Phase::Welcome, Message::ReadyForQuery(body)) if body.status() == b'I' => self.begin(),
            (Phase::Beginning, Message::CommandComplete(_)) => Ok(()),
            (Phase::Beginning, Message::ReadyForQuery(body)) if body.status() == b'T' => self.ask(),
            (Phase::Asked { .. }, Message::ParseComplete | Message::BindComplete) => Ok(()),
            (Phase::Asked { rows: rows @ None, .. }, Message::RowDescription(body)) => {
                *rows = Some(columns(&body, self.question.limits.rows)?);
                Ok(())
            }
            (Phase::Asked { rows: Some(rows), ended: false }, Message::DataRow(body)) => row(rows, &body),
            (Phase::Asked { rows: Some(_), ended: ended @ false }, Message::CommandComplete(_)) => {
                *ended = true;
                Ok(())
            }
            (Phase::Asked { rows, ended: true }, Message::ReadyForQuery(_)) => {
                let rows = rows.take().expect("only what has rows has ended");
                self.phase = Phase::Done(rows.end());
                // What was begun ends with the session, and nothing of it is kept.
                frontend::terminate(&mut self.out);
                Ok(())
            }
            _ => Err(Error::Protocol("it does not answer as a PostgreSQL server does".into())),
        }
    }

    fn greeted(&mut self, message: Message) -> Result<(), Error> {
        let Phase::Greeting(proof) = &mut self.phase else { unreachable!("asked of its phase") };
        let login = self.question.login;
        match (&mut *proof, message) {
            (Proof::None | Proof::Both, Message::AuthenticationOk) => {
                self.phase = Phase::Welcome;
                Ok(())
            }
            (Proof::Scram(_), Message::AuthenticationOk) => {
                Err(Error::Protocol("it lets us in without having proven that it knows the password".into()))
            }
            (Proof::None, Message::AuthenticationSasl(body)) => {
                let scram = begun(&body, &login.password)?;
                frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut self.out)
                    .map_err(unspeakable)?;
                *proof = Proof::Scram(Box::new(scram));
                Ok(())
            }
            (Proof::Scram(scram), Message::AuthenticationSaslContinue(body)) => {
                // The library makes no proof of more than 100,000 rounds, which would cost us time.
                scram.update(body.data()).map_err(|e| strange(&e))?;
                frontend::sasl_response(scram.message(), &mut self.out).map_err(unspeakable)
            }
            (Proof::Scram(scram), Message::AuthenticationSaslFinal(body)) => {
                scram.finish(body.data()).map_err(|e| strange(&e))?;
                *proof = Proof::Both;
                Ok(())
            }
            (Proof::None, Message::AuthenticationCleartextPassword) if self.is_secret => {
                frontend::password_message(login.password.as_bytes(), &mut self.out).map_err(unspeakable)
            }
            _ => Err(Error::Protocol(
                "it asks for another proof than SCRAM-SHA-256 (or, under TLS, the password)".into(),
            )),
        }
    }

    /// One transaction, which may only read and knows its time.
    fn begin(&mut self) -> Result<(), Error> {
        let milliseconds = self.question.limits.total.as_millis().clamp(1, 86_400_000);
        let words = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {milliseconds}");
        frontend::query(&words, &mut self.out).map_err(unspeakable)?;
        self.phase = Phase::Beginning;
        Ok(())
    }

    /// The statement with its arguments, whose results are to be texts.
    fn ask(&mut self) -> Result<(), Error> {
        let (statement, out) = (self.question.statement, &mut self.out);
        let oids = statement.arguments.iter().map(|argument| argument.oid);
        frontend::parse("", &statement.text, oids, out).map_err(unspeakable)?;
        let write = |text: &str, out: &mut BytesMut| {
            out.extend_from_slice(text.as_bytes());
            Ok(IsNull::No)
        };
        let texts = statement.arguments.iter().map(|argument| argument.text.as_str());
        frontend::bind("", "", [], texts, write, [], out)
            .map_err(|_| Error::Protocol("its values have too many bytes".into()))?;
        frontend::describe(b'P', "", out).map_err(unspeakable)?;
        frontend::execute("", 0, out).map_err(unspeakable)?;
        frontend::sync(out);
        self.taken = self.unread.remaining();
        self.phase = Phase::Asked { rows: None, ended: false };
        Ok(())
    }
}

fn begun(body: &AuthenticationSaslBody, password: &str) -> Result<ScramSha256, Error> {
    let mut mechanisms = body.mechanisms();
    while let Some(mechanism) = mechanisms.next().map_err(|e| strange(&e))? {
        if mechanism == SCRAM_SHA_256 {
            return Ok(ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported()));
        }
    }
    Err(Error::Protocol("it offers no SCRAM-SHA-256".into()))
}

fn columns(body: &RowDescriptionBody, rows_max: usize) -> Result<Rows, Error> {
    let (mut columns, mut fields) = (Vec::new(), body.fields());
    while let Some(field) = fields.next().map_err(|e| strange(&e))? {
        if field.format() != 0 {
            return Err(Error::Protocol("its values are not in the format that was asked for".into()));
        }
        columns.push(Column { name: field.name().to_owned(), oid: field.type_oid() });
    }
    Rows::new(columns, rows_max).map_err(Error::Unread)
}

fn row(rows: &mut Rows, body: &DataRowBody) -> Result<(), Error> {
    let mut fields = Vec::with_capacity(rows.columns());
    let (bytes, mut ranges) = (body.buffer(), body.ranges());
    while let Some(range) = ranges.next().map_err(|e| strange(&e))? {
        fields.push(range.map(|range| &bytes[range]));
    }
    rows.push(&fields).map_err(Error::Unread)
}

/// What the server says of an error, without its characters of control.
fn refusal(body: &ErrorResponseBody) -> Error {
    let (mut state, mut message) = (String::new(), String::new());
    let mut fields = body.fields();
    while let Ok(Some(field)) = fields.next() {
        let text = String::from_utf8_lossy(field.value_bytes());
        let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TOLD_MAX).collect();
        match field.type_() {
            b'C' => state = plain,
            b'M' => message = plain,
            _ => {}
        }
    }
    Error::Refused { state: state.chars().take(5).collect(), message }
}

fn strange(error: &std::io::Error) -> Error {
    Error::Protocol(format!("it does not speak PostgreSQL's protocol: {:.200}", error.to_string()))
}

/// Ours would hold a zero byte, or more bytes than fit.
fn unspeakable(error: std::io::Error) -> Error {
    Error::Protocol(format!("the query cannot be sent: {error}"))
}

/// The entry of the fuzz target: any server, in pieces of any length. Never panics, and keeps no
/// more than it may.
pub fn fuzz(data: &[u8]) {
    use graphquery::{Argument, Statement};
    let Some((first, data)) = data.split_first() else { return };
    let login = crate::Login {
        database: "d".into(),
        user: "u".into(),
        password: zeroize::Zeroizing::new("p".into()),
    };
    let statement =
        Statement { text: "SELECT $1".into(), arguments: vec![Argument { oid: 25, text: "x".into() }] };
    let second = std::time::Duration::from_secs(1);
    let limits = crate::Limits { rows: 3, bytes: 4 << 10, connect: second, total: second };
    let question = Question { login: &login, statement: &statement, limits };
    let mut talk = Talk::new(&question, first & 1 == 1).expect("plain words");
    for piece in data.chunks(usize::from(*first).max(1)) {
        talk.say();
        match talk.hear(piece) {
            Ok(None) => assert!(talk.unread.capacity() <= 4 * GREETING_MAX),
            Ok(Some(table)) => return assert!(table.rows.len() <= 3),
            Err(_) => return,
        }
    }
}
