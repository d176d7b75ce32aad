//! `audit`: what can be proven of the past, and the proving.

mod open;
mod verify;
mod witness;

use std::path::Path;
use std::process::ExitCode;

use ::audit::Verifier;
use api::{AuditKey, AuditLeaf, AuditLog, AuditReceipt};
use report::Report;

use super::show;
use crate::Failure;
use crate::args::{self, Global};
use crate::client::{Server, encode};
use crate::table::{grouped, table};

pub use verify::print as print_check;

pub(super) fn run(global: &Global, command: args::Audit) -> Result<ExitCode, Failure> {
    let json = global.json;
    match command {
        args::Audit::Key => {
            let key: AuditKey = Server::new(global)?.get("/api/v1/audit/key")?;
            show(json, &key, |k| k.key.clone());
        }
        args::Audit::Log { from, limit } => {
            let mut path = format!("/api/v1/audit/leaves?limit={limit}");
            if let Some(from) = from {
                path.push_str(&format!("&from={from}"));
            }
            let log: AuditLog = Server::new(global)?.get(&path)?;
            show(json, &log, listing);
        }
        args::Audit::Open(args) => return open::run(&Server::new(global)?, &args, json),
        args::Audit::Prove { index, out } => {
            let receipt = Server::new(global)?.get(&format!("/api/v1/audit/proofs/{index}"))?;
            keep(&receipt, out.as_deref(), json)?;
        }
        args::Audit::Receipt { request_id, out } => {
            let server = Server::new(global)?;
            let id = super::requests::named(&server, &request_id)?;
            keep(&server.get(&format!("/api/v1/audit/receipts/{}", encode(&id)))?, out.as_deref(), json)?;
        }
        args::Audit::Verify(args) if args.receipt.is_some() => return verify::receipt(&args, json),
        args::Audit::Verify(args) => return verify::server(&Server::new(global)?, &args, json),
        args::Audit::Witness(args) => witness::run(global, &args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The receipt as text, to standard output or into a file.
fn keep(receipt: &AuditReceipt, out: Option<&Path>, json: bool) -> Result<(), Failure> {
    let Some(path) = out else {
        show(json, receipt, |r| r.receipt.clone());
        return Ok(());
    };
    std::fs::write(path, &receipt.receipt).map_err(|e| unwritten(path, &e))?;
    show(json, receipt, |r| format!("leaf {} kept in {}", r.leaf.index, path.display()));
    Ok(())
}

fn listing(log: &AuditLog) -> String {
    let cells = |leaf: &AuditLeaf| {
        vec![
            leaf.index.to_string(),
            leaf.time.clone(),
            leaf.action.clone(),
            leaf.resource.clone(),
            leaf.decision.split(':').next().unwrap_or_default().to_owned(),
            leaf.outcome.clone(),
            leaf.cost_usd.clone(),
            leaf.request_id.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = log.data.iter().map(cells).collect();
    let headings = [">LEAF", "TIME", "ACTION", "RESOURCE", "DECISION", "OUTCOME", ">COST USD", "REQUEST"];
    format!(
        "{} leaves, {} of them under the last checkpoint\n{}",
        grouped(log.size),
        grouped(log.signed),
        table(&headings, &rows)
    )
}

/// A public key: its text, or a file that holds it.
pub fn public_key(text: &str) -> Result<Verifier, Failure> {
    if let Ok(key) = Verifier::parse(text) {
        return Ok(key);
    }
    let found = std::fs::read_to_string(text).unwrap_or_else(|_| text.to_owned());
    Verifier::parse(&found).map_err(|e| e.report().at(text.chars().take(80).collect::<String>()).into())
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Report::new("CL0004", format!("{} cannot be written", path.display())).because(error.to_string()).into()
}
