//! `collection export`: what the caller may read of a collection, a JSON object a line.

use std::io::{BufWriter, Write};

use api::DocumentPreview;
use serde_json::json;

use super::{documents, path_of};
use crate::client::{Server, encode};
use crate::table::grouped;
use crate::{Failure, Progress, args, failure};

pub(super) fn run(server: &Server, args: &args::CollectionExport, json: bool) -> Result<(), Failure> {
    let (listed, room) = match args.quarantined {
        false => (documents(server, &args.name)?, "documents"),
        true => (super::sources::waiting(server, &args.name)?, "quarantine"),
    };
    let out: Box<dyn Write> = match &args.out {
        Some(path) => Box::new(std::fs::File::create(path).map_err(|e| failure::file("create", path, &e))?),
        None => Box::new(std::io::stdout()),
    };
    let mut out = BufWriter::new(out);
    let to = args.out.clone().unwrap_or_else(|| "standard output".into());
    let mut progress = Progress::steps("documents", Some(listed.len() as u64));
    for document in &listed {
        let mut whole: Option<DocumentPreview> = None;
        loop {
            let from = whole.as_ref().map_or(0, |whole| whole.parts.len());
            let path = format!("{}/{room}/{}?from={from}", path_of(&args.name), encode(&document.id));
            let page: DocumentPreview = server.get(&path)?;
            let more = page.more && !page.parts.is_empty();
            match &mut whole {
                Some(whole) => whole.parts.extend(page.parts),
                None => whole = Some(page),
            }
            if !more {
                break;
            }
        }
        if let Some(DocumentPreview { document, parts, .. }) = whole {
            let line = json!({ "document": document, "parts": parts });
            writeln!(out, "{line}").map_err(|e| failure::file("write", &to, &e))?;
        }
        progress.add(1);
    }
    drop(progress);
    out.flush().map_err(|e| failure::file("write", &to, &e))?;
    if args.out.is_some() && !json {
        println!("{} documents written to {}", grouped(listed.len() as u64), to.display());
    }
    Ok(())
}
