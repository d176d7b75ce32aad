//! `audit open`: what the commitments of a leaf bind, and whether texts are what
//! they bind. The texts stay here: the server is asked for the salts alone.

use std::path::Path;
use std::process::ExitCode;

use ::audit::{Hash, Salt, commit};
use api::{AuditCommitment, AuditOpening};
use report::Report;
use serde::Serialize;
use serde_json::json;

use crate::Failure;
use crate::args::AuditOpen;
use crate::client::{Server, encode};
use crate::commands::{requests, show};
use crate::table::grouped;

#[derive(Serialize)]
struct Opened {
    leaf: u64,
    request_id: String,
    salted_by: String,
    commitments: Vec<Bound>,
}

#[derive(Serialize)]
struct Bound {
    part: String,
    bytes: u64,
    commitment: String,
    salt: String,
    /// Whether the file that was given is the body; absent when none was.
    matches: Option<bool>,
}

pub(super) fn run(server: &Server, args: &AuditOpen, json: bool) -> Result<ExitCode, Failure> {
    let leaf = requests::named(server, &args.leaf)?;
    let opening: AuditOpening =
        server.post(&format!("/api/v1/audit/openings/{}", encode(&leaf)), &json!({}))?;
    let mut commitments = Vec::new();
    for (part, file) in [("request", &args.request), ("response", &args.response)] {
        match (opening.commitments.iter().find(|c| c.part == part), file) {
            (Some(found), file) => commitments.push(bound(found, file.as_deref())?),
            (None, None) => {}
            (None, Some(_)) => {
                let what = format!("the leaf commits to no {part}");
                return Err(Report::new("AU0008", what).hint(format!("leave out --{part}")).into());
            }
        }
    }
    let AuditOpening { leaf, request_id, salted_by, .. } = opening;
    let opened = Opened { leaf, request_id, salted_by, commitments };
    show(json, &opened, text_of);
    let differs = opened.commitments.iter().any(|c| c.matches == Some(false));
    Ok(if differs { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn bound(found: &AuditCommitment, file: Option<&Path>) -> Result<Bound, Failure> {
    // A salt is 32 bytes in base64, as a hash is.
    let salt = Salt(Hash::parse(found.salt.expose()).map_err(|e| e.report())?.0);
    let commitment = Hash::parse(&found.commitment).map_err(|e| e.report())?;
    let matches = match file {
        None => None,
        Some(path) => {
            let body = std::fs::read(path).map_err(|e| {
                Report::new("CL0004", format!("{} cannot be read", path.display())).because(e.to_string())
            })?;
            let is = |body: &[u8]| commit(&salt, body) == commitment;
            Some(is(&body) || without_cost(&body).is_some_and(|body| is(&body)))
        }
    };
    Ok(Bound {
        part: found.part.clone(),
        bytes: found.bytes,
        commitment: found.commitment.clone(),
        salt: found.salt.expose().to_owned(),
        matches,
    })
}

/// A stream as somebody saved it, without the comment that says its cost: that is
/// sent after the leaf, which holds the cost itself.
fn without_cost(body: &[u8]) -> Option<Vec<u8>> {
    const COMMENT: &[u8] = b": bedplate-cost ";
    let begins = |at: &usize| body[*at..].starts_with(COMMENT) && (*at == 0 || body[at - 1] == b'\n');
    let from = (0..body.len()).rev().find(begins)?;
    let length = body[from..].windows(2).position(|end| end == b"\n\n")? + 2;
    Some([&body[..from], &body[from + length..]].concat())
}

fn text_of(opened: &Opened) -> String {
    let mut text =
        format!("leaf {} of request {}, salted by {}\n", opened.leaf, opened.request_id, opened.salted_by);
    for bound in &opened.commitments {
        let verdict = match bound.matches {
            None => "no file was given to compare",
            Some(true) => "the file is the body",
            Some(false) => "THE FILE IS ANOTHER BODY",
        };
        text.push_str(&format!(
            "{}\n  bytes       {}\n  commitment  {}\n  salt        {}\n  compared    {verdict}\n",
            bound.part,
            grouped(bound.bytes),
            bound.commitment,
            bound.salt
        ));
    }
    text.push_str("SHA-256 over the salt and the body is the commitment: whoever has both can check it\n");
    text
}

#[cfg(test)]
mod tests {
    use super::without_cost;

    #[test]
    fn a_saved_stream_is_compared_without_the_comment_of_its_cost() {
        let saved = b"data: {\"a\":\": bedplate-cost 1\"}\n\n: bedplate-cost 0.001\n\ndata: [DONE]\n\n";
        let sent = b"data: {\"a\":\": bedplate-cost 1\"}\n\ndata: [DONE]\n\n";
        assert_eq!(without_cost(saved).as_deref(), Some(&sent[..]));
        for other in [&sent[..], b"", b": bedplate-cost 1"] {
            assert_eq!(without_cost(other), None);
        }
    }
}
