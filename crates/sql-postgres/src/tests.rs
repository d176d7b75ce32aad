//! A server as bytes: what is said to it, and what becomes of what it says.

use std::time::Duration;

use graphquery::{Argument, Statement, Table};
use proptest::prelude::*;
use serde_json::json;
use zeroize::Zeroizing;

use crate::talk::Talk;
use crate::{Error, Limits, Login, Question};

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short message");
    [&[tag], length.to_be_bytes().as_slice(), body].concat()
}

fn authentication(kind: i32, more: &[u8]) -> Vec<u8> {
    message(b'R', &[kind.to_be_bytes().as_slice(), more].concat())
}

fn columns(of: &[(&str, u32)]) -> Vec<u8> {
    let mut body = u16::try_from(of.len()).expect("few").to_be_bytes().to_vec();
    for (name, oid) in of {
        body.extend([name.as_bytes(), &[0; 7]].concat());
        body.extend(oid.to_be_bytes());
        body.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
    }
    message(b'T', &body)
}

fn row(of: &[Option<&str>]) -> Vec<u8> {
    let mut body = u16::try_from(of.len()).expect("few").to_be_bytes().to_vec();
    for value in of {
        body.extend(value.map_or(-1_i32, |v| i32::try_from(v.len()).expect("short")).to_be_bytes());
        body.extend(value.unwrap_or_default().as_bytes());
    }
    message(b'D', &body)
}

fn ready(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}

fn done(tag: &str) -> Vec<u8> {
    message(b'C', &[tag.as_bytes(), &[0]].concat())
}

fn error(state: &str, text: &str) -> Vec<u8> {
    message(b'E', format!("SERROR\0C{state}\0M{text}\0\0").as_bytes())
}

/// A server without a password, up to the transaction.
fn welcome() -> Vec<u8> {
    let key = message(b'K', &[0, 0, 0, 7, 0, 0, 0, 9]);
    let notice = message(b'N', b"SNOTICE\0Mhello\0\0");
    let parameter = message(b'S', b"server_version\x0015.18\x00");
    [authentication(0, &[]), parameter, notice, key, ready(b'I')].concat()
}

fn begun() -> Vec<u8> {
    [done("BEGIN"), done("SET"), ready(b'T')].concat()
}

fn answer() -> Vec<u8> {
    let described = columns(&[("name", 25), ("n", 23)]);
    let rows =
        [row(&[Some("Ada"), Some("7")]), row(&[Some(""), None]), row(&[Some("x"), Some("1")])].concat();
    [message(b'1', &[]), message(b'2', &[]), described, rows, done("SELECT 3"), ready(b'T')].concat()
}

/// What comes of a server's pieces, with everything that it was told.
fn talked(pieces: &[&[u8]], is_secret: bool) -> (Result<Option<Table>, Error>, Vec<u8>, bool) {
    let login =
        Login { database: "shop".into(), user: "reader".into(), password: Zeroizing::new("foobar".into()) };
    let arguments = vec![Argument { oid: 25, text: "'; DROP".into() }];
    let statement = Statement { text: "SELECT $1".into(), arguments };
    let total = Duration::from_millis(1500);
    let limits = Limits { rows: 2, bytes: 4096, connect: total, total };
    let question = Question { login: &login, statement: &statement, limits };
    let mut talk = Talk::new(&question, is_secret).expect("plain words");
    let mut told = talk.say().to_vec();
    for piece in pieces {
        let heard = talk.hear(piece);
        told.extend_from_slice(&talk.say());
        let runs = talk.running().is_some();
        if !matches!(heard, Ok(None)) {
            return (heard, told, runs);
        }
    }
    let runs = talk.running().is_some();
    (Ok(None), told, runs)
}

#[test]
fn a_question_is_asked_in_a_transaction_that_only_reads() {
    let (table, told, runs) = talked(&[&welcome(), &begun(), &answer()], false);
    let table = table.expect("it answered").expect("all of it");
    assert_eq!((table.columns, table.left_out), (vec!["name".into(), "n".into()], 1));
    assert_eq!(table.rows, [vec![json!("Ada"), json!(7)], vec![json!(""), json!(null)]]);
    assert!(!runs);
    let told = String::from_utf8_lossy(&told).replace('\0', "|");
    let order = [
        "user|reader|database|shop|",
        "default_transaction_read_only|on|",
        "BEGIN READ ONLY; SET LOCAL statement_timeout = 1500|",
        "SELECT $1|",
        "'; DROP",
    ];
    let mut at = 0;
    for words in order {
        at += told[at..].find(words).unwrap_or_else(|| panic!("{words} is not said in its place: {told}"));
    }
    assert!(told.ends_with("X|||\u{4}"), "it says farewell: {told:?}");
    // A query that runs is one that may have to be stopped.
    assert!(talked(&[&welcome(), &begun()], false).2 && !talked(&[&welcome()[..40]], false).2);
}

#[test]
fn nothing_is_asked_before_the_transaction_stands() {
    for beginning in [[done("BEGIN"), ready(b'I')].concat(), [done("BEGIN"), ready(b'E')].concat()] {
        let (heard, told, _) = talked(&[&welcome(), &beginning, &answer()], false);
        assert!(matches!(heard, Err(Error::Protocol(_))), "{heard:?}");
        assert!(!String::from_utf8_lossy(&told).contains("SELECT"));
    }
    let (heard, told, runs) = talked(&[&welcome(), &error("25006", "no transaction")], false);
    assert!(matches!(heard, Err(Error::Refused { state, .. }) if state == "25006") && !runs);
    assert!(!String::from_utf8_lossy(&told).contains("SELECT"));
}

#[test]
fn a_password_is_proven_and_goes_nowhere_in_clear_text_without_tls() {
    let sasl = authentication(10, b"SCRAM-SHA-256\0\0");
    let (_, told, _) = talked(&[&sasl], false);
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(told.contains("SCRAM-SHA-256") && !told.contains("foobar"));
    let nonce = told.rsplit("r=").next().expect("a nonce").to_owned();
    // It would be let in by somebody who does not know the password.
    for stranger in
        [authentication(0, &[]), authentication(12, b"v=AAAA"), authentication(11, b"r=other,s=AAAA,i=1")]
    {
        assert!(matches!(talked(&[&sasl, &stranger], false).0, Err(Error::Protocol(_))));
    }
    let slow = authentication(11, format!("r={nonce}x,s=AAAA,i=4000000000").as_bytes());
    assert!(matches!(talked(&[&sasl, &slow], false).0, Err(Error::Protocol(_))));
    for (kind, more) in [(5, b"salt".as_slice()), (7, b""), (9, b""), (10, b"SCRAM-SHA-1\0\0")] {
        assert!(matches!(talked(&[&authentication(kind, more)], true).0, Err(Error::Protocol(_))), "{kind}");
    }
    let (heard, told, _) = talked(&[&authentication(3, &[])], false);
    assert!(matches!(heard, Err(Error::Protocol(_))) && !String::from_utf8_lossy(&told).contains("foobar"));
    let (heard, told, _) = talked(&[&authentication(3, &[])], true);
    assert!(heard.is_ok() && String::from_utf8_lossy(&told).contains("foobar"));
}

#[test]
fn a_server_that_lies_is_left() {
    let asked = [welcome(), begun()].concat();
    let lies: [(&str, Vec<u8>); 9] = [
        ("a length of 2 GB", b"D\x7f\xff\xff\xff".to_vec()),
        ("a length of less than itself", vec![b'D', 0, 0, 0, 1]),
        ("a tag of nobody", message(b'?', &[])),
        ("rows before columns", row(&[Some("x"), Some("1")])),
        ("a row that is too short", [columns(&[("a", 25), ("b", 25)]), row(&[Some("x")])].concat()),
        (
            "a value that goes on behind its row",
            [columns(&[("a", 25)]), message(b'D', &[0, 1, 0, 0, 0, 9, b'x'])].concat(),
        ),
        ("a value of another type", [columns(&[("n", 23)]), row(&[Some("seven")])].concat()),
        ("an end before columns", [done("SELECT 0"), ready(b'T')].concat()),
        ("copying", message(b'H', &[0, 0, 0])),
    ];
    for (what, lie) in lies {
        let (heard, _, runs) = talked(&[&asked, &lie], false);
        assert!(
            matches!(heard, Err(Error::Protocol(_) | Error::Large(_) | Error::Unread(_))),
            "{what}: {heard:?}"
        );
        assert!(runs, "{what}: whoever lies may still be at work");
    }
    // More than it may say, in rows that are not even kept; and before anything was asked.
    let many = [columns(&[("a", 25)]), row(&[Some(&"x".repeat(100))]).repeat(60)].concat();
    assert!(matches!(talked(&[&asked, &many], false).0, Err(Error::Large(4096))));
    let chatter = message(b'N', &[b'x'; 1000]).repeat(100);
    assert!(matches!(talked(&[&chatter], false).0, Err(Error::Large(_))));
    let (heard, _, runs) = talked(&[&asked, &error("22P02", "invalid input\u{7}")], false);
    let error = heard.expect_err("it refuses");
    assert!(error.is_the_callers() && !runs, "{error:?}");
    assert!(error.to_string().ends_with("22P02: invalid input "), "{error}");
}

proptest! {
    /// However a server's bytes come, the same comes of them.
    #[test]
    fn pieces_change_nothing(cuts in proptest::collection::vec(1_usize..40, 1..60)) {
        let (whole, told, _) = talked(&[&welcome(), &begun(), &answer()], false);
        let bytes = [welcome(), begun(), answer()].concat();
        let (mut pieces, mut rest, mut cuts) = (Vec::new(), bytes.as_slice(), cuts.into_iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(cuts.next().expect("for ever").min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        let (cut, also, _) = talked(&pieces, false);
        prop_assert_eq!(whole.expect("a table"), cut.expect("a table"));
        prop_assert_eq!(told, also);
    }

    #[test]
    fn no_bytes_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        crate::fuzz(&data);
    }

    #[test]
    fn no_change_of_a_sound_server_panics(at in 0_usize..400, to in any::<u8>(), piece in 1_u8..) {
        let mut bytes = [vec![piece], welcome(), begun(), answer()].concat();
        let length = bytes.len();
        bytes[at % length] = to;
        crate::fuzz(&bytes);
    }
}
