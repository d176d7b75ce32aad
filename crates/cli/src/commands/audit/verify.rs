//! `audit verify`: a receipt without a server, or the whole log.

use std::process::ExitCode;

use ::audit::tile::{Path as TilePath, WIDTH, unbundle};
use ::audit::{Check, Checker, FullTile, Note, Receipt, Verified, Verifier, open};
use api::{AuditBooks, AuditKey};
use report::Report;
use serde::Serialize;

use super::public_key;
use crate::Failure;
use crate::args::AuditVerify;
use crate::client::Server;
use crate::commands::show;
use crate::table::grouped;

/// A receipt that held.
#[derive(Serialize)]
struct Held {
    verified: bool,
    origin: String,
    size: u64,
    root: String,
    cosigned: Vec<Witnessed>,
    leaf: api::AuditLeaf,
}

#[derive(Serialize)]
struct Witnessed {
    witness: String,
    time: String,
}

/// Needs no server: a receipt, the log's public key, and those of witnesses.
pub(super) fn receipt(args: &AuditVerify, json: bool) -> Result<ExitCode, Failure> {
    let path = args.receipt.as_deref().unwrap_or_else(|| std::path::Path::new("-"));
    let text = std::fs::read_to_string(path).map_err(|e| {
        Report::new("CL0004", format!("{} cannot be read", path.display())).because(e.to_string())
    })?;
    let key = args.key.as_deref().ok_or_else(|| {
        Report::new("CL0010", "a receipt is verified with the log's public key: `--key` is missing")
            .hint("`bedplate audit key` on the server prints it; take it from where you trust it")
    })?;
    let key = public_key(key)?;
    let witnesses: Vec<Verifier> = args.witnesses.iter().map(|w| public_key(w)).collect::<Result<_, _>>()?;
    let quorum = args.quorum.unwrap_or(witnesses.len());
    let located = |e: ::audit::Error| Failure::from(e.report().at(path.display().to_string()));
    let receipt = Receipt::parse(&text).map_err(located)?;
    let held = held(receipt.verify(&key, &witnesses, quorum).map_err(located)?);
    show(json, &held, text_of);
    Ok(ExitCode::SUCCESS)
}

fn held(verified: Verified) -> Held {
    let time =
        |s: u64| units::Micros::from_millis(i64::try_from(s).unwrap_or(0).saturating_mul(1_000)).to_string();
    Held {
        verified: true,
        origin: verified.checkpoint.origin,
        size: verified.checkpoint.size,
        root: verified.checkpoint.root.to_string(),
        cosigned: verified
            .cosigned
            .into_iter()
            .map(|c| Witnessed { witness: c.witness, time: time(c.time_s) })
            .collect(),
        leaf: control::audit::show(verified.index, &verified.leaf),
    }
}

fn text_of(held: &Held) -> String {
    let leaf = &held.leaf;
    let mut text = format!(
        "the receipt holds: leaf {} is in {} as of its {} leaves\n",
        leaf.index,
        held.origin,
        grouped(held.size)
    );
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("  {name:<12}{value}\n"));
        }
    };
    line("when", &leaf.time);
    line("what", format!("{} {}", leaf.action, leaf.resource).trim());
    line("decision", &leaf.decision);
    line("outcome", &leaf.outcome);
    line("policies", &leaf.policies.join(", "));
    let guards: Vec<String> =
        leaf.guards.iter().map(|g| format!("{} {}: {}", g.guard, g.version, g.verdict)).collect();
    line("guards", &guards.join(", "));
    line("target", &leaf.target);
    line("labels", &leaf.labels);
    line("cost", &format!("{} USD", leaf.cost_usd));
    line("request", leaf.request_id.as_deref().unwrap_or_default());
    line("team", leaf.team.as_deref().unwrap_or_default());
    line("key", leaf.key.as_deref().unwrap_or_default());
    for witnessed in &held.cosigned {
        line("witness", &format!("{}, {}", witnessed.witness, witnessed.time));
    }
    if held.cosigned.is_empty() {
        line("witness", "none asked for: only the log's own signature was verified");
    }
    text
}

/// Reads a server's whole log as any client of C2SP `tlog-tiles` would.
pub(super) fn server(server: &Server, args: &AuditVerify, json: bool) -> Result<ExitCode, Failure> {
    let note = server.text("/audit/checkpoint")?;
    let (key, given) = match &args.key {
        Some(key) => (public_key(key)?, true),
        None => {
            let key: AuditKey = server.get("/api/v1/audit/key")?;
            (public_key(&key.key)?, false)
        }
    };
    let note = Note::parse(&note).map_err(|e| e.report())?;
    let witnesses: Vec<Verifier> = args.witnesses.iter().map(|w| public_key(w)).collect::<Result<_, _>>()?;
    let (checkpoint, cosigned) = open(&note, &key, &witnesses).map_err(|e| e.report())?;
    let quorum = args.quorum.unwrap_or(0);
    if cosigned.len() < quorum {
        let what = format!("{} of {quorum} witnesses have cosigned the last checkpoint", cosigned.len());
        return Err(Report::new("AU0002", what).into());
    }
    let size = checkpoint.size;
    let mut checker = Checker::new(vec![checkpoint]);
    let mut problems = Vec::new();
    let mut tiles = 0;
    for index in 0..size.div_ceil(WIDTH) {
        let width = (size - index * WIDTH).min(WIDTH);
        let bytes =
            server.bytes(&format!("/audit/tile/{}", TilePath::Entries { index, width: width as u16 }))?;
        let entries = unbundle(&bytes).map_err(|e| e.report())?;
        if entries.len() as u64 != width {
            problems.push(format!("bundle {index} has {} entries, not {width}", entries.len()));
        }
        for entry in entries {
            for tile in checker.leaf(entry) {
                if same_tile(server, &tile)? {
                    tiles += 1;
                } else {
                    problems.push(format!("tile {}/{} is not the one below it", tile.level, tile.index));
                }
            }
        }
    }
    let mut check = checker.finish();
    check.tiles = tiles;
    check.problems_total += problems.len() as u64;
    check.problems.extend(problems);
    // The server compares: who may read the log may not read everybody's records.
    let books: AuditBooks = server.get("/api/v1/audit/books")?;
    Ok(print(&check, &books, &key, given, json))
}

fn same_tile(server: &Server, tile: &FullTile) -> Result<bool, Failure> {
    let path = TilePath::Hashes { level: tile.level, index: tile.index, width: WIDTH as u16 };
    let bytes = server.bytes(&format!("/audit/tile/{path}"))?;
    Ok(bytes.iter().eq(tile.hashes.iter().flat_map(|h| &h.0)))
}

/// A check as it is printed.
#[derive(Serialize)]
struct Checked<'a> {
    /// Log and ledger.
    sound: bool,
    origin: &'a str,
    key: String,
    /// Whether the key was given, or is the one that the log itself names.
    key_given: bool,
    leaves: u64,
    requests: u64,
    full_tiles: u64,
    checkpoints: u64,
    unsigned: u64,
    root: String,
    problems: &'a [String],
    problems_total: u64,
    /// The log compared with the ledger.
    books: &'a AuditBooks,
}

/// Prints what was checked; exit 0 when all of it held, 1 otherwise.
pub fn print(check: &Check, books: &AuditBooks, key: &Verifier, key_given: bool, json: bool) -> ExitCode {
    let sound = check.is_sound() && books.agrees;
    let checked = Checked {
        sound,
        origin: key.name(),
        key: key.to_string(),
        key_given,
        leaves: check.leaves,
        requests: check.requests,
        full_tiles: check.tiles,
        checkpoints: check.checkpoints,
        unsigned: check.unsigned,
        root: check.root.to_string(),
        problems: &check.problems,
        problems_total: check.problems_total,
        books,
    };
    show(json, &checked, |c| {
        let mut text = format!(
            "{}\n  log          {}\n  leaves       {} read, {} of requests, each in its one encoding\n  \
             full tiles   {}, each the hashes of what lies below\n  \
             checkpoints  {} signed by the log and with the right root\n",
            if c.sound { "log and ledger are sound" } else { "LOG AND LEDGER ARE NOT SOUND" },
            c.origin,
            grouped(c.leaves),
            grouped(c.requests),
            grouped(c.full_tiles),
            grouped(c.checkpoints)
        );
        if c.unsigned > 0 {
            text.push_str(&format!("  unsigned     {} after the last checkpoint\n", grouped(c.unsigned)));
        }
        text.push_str(&format!("  root         {}\n", c.root));
        if !c.key_given {
            text.push_str("  key          the log's own word; pin it with --key\n");
        }
        for problem in c.problems {
            text.push_str(&format!("  problem      {problem}\n"));
        }
        text.push_str(&books_of(c.books));
        let more = c.problems_total.saturating_sub(c.problems.len() as u64);
        if more > 0 {
            text.push_str(&format!("  problem      and {} more\n", grouped(more)));
        }
        text
    });
    if sound { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn books_of(books: &AuditBooks) -> String {
    let mut text = format!(
        "  ledger       {} requests, {} as their leaves say\n",
        grouped(books.records),
        grouped(books.same)
    );
    for (count, what) in [
        (books.older, "settled before there was a log"),
        (books.without_leaf, "without a leaf"),
        (books.without_record, "leaves of requests that the ledger does not know"),
        (books.different, "differ from their leaves"),
    ] {
        if count > 0 {
            text.push_str(&format!("  ledger       {} {what}\n", grouped(count)));
        }
    }
    for d in &books.differences {
        let leaf = d.leaf.map_or_else(|| "no leaf".to_owned(), |n| format!("leaf {n}"));
        let request = d.request_id.as_deref().unwrap_or("unknown");
        text.push_str(&format!(
            "  differs      request {request}, {leaf}: {} is \"{}\" in the log and \"{}\" in the books\n",
            d.what, d.log, d.books
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_that_differ_are_told_with_counts_and_both_values() {
        let books = AuditBooks {
            agrees: false,
            records: 1_200,
            same: 1_199,
            older: 0,
            without_leaf: 0,
            without_record: 0,
            different: 1,
            differences: vec![api::AuditDifference {
                request_id: Some("019a".into()),
                leaf: Some(7),
                what: "cost".into(),
                log: "0.2".into(),
                books: "0.1".into(),
            }],
        };
        expect_test::expect![[r#"
            LOG AND LEDGER ARE NOT SOUND
              ledger       1,200 requests, 1,199 as their leaves say
              ledger       1 differ from their leaves
              differs      request 019a, leaf 7: cost is "0.2" in the log and "0.1" in the books
        "#]]
        .assert_eq(&format!("LOG AND LEDGER ARE NOT SOUND\n{}", books_of(&books)));
    }
}
