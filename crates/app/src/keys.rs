//! `bedplate keys rewrap`: the key ring under another master key.

use std::path::Path;
use std::process::ExitCode;

use report::Report;
use seal::{KeyRing, RingShown};
use store::Store as _;
use store_sqlite::SqliteStore;

use crate::backends;

pub fn rewrap(args: cli::Rewrap, json: bool) -> ExitCode {
    let data = match cli::data_dir(args.data.clone()) {
        Ok(data) => data,
        Err(failure) => return failure.print(json),
    };
    match moved(&data, &args) {
        Ok(ring) if json => {
            println!(
                "{}",
                serde_json::json!({ "kind": ring.kind, "key": ring.key, "version": ring.version })
            );
            ExitCode::SUCCESS
        }
        Ok(ring) => {
            println!("the key ring of {} is under {} {}", data.display(), ring.kind, ring.key);
            eprintln!("start with: bedplate serve --master-key {}", ring.kind);
            ExitCode::SUCCESS
        }
        Err(report) => crate::fail(&report),
    }
}

fn moved(data: &Path, args: &cli::Rewrap) -> Result<RingShown, Report> {
    let shown = seal::inspect_ring(data).map_err(|e| e.report())?;
    let absent = || {
        Report::new("SE0004", format!("{} has no key ring to move", data.display()))
            .hint("name the data directory with `--data DIR`")
    };
    if shown.is_none() && !data.join(seal::RING_FILE).exists() {
        return Err(absent());
    }
    let kind = shown.as_ref().and_then(|ring| cli::MasterKey::named(&ring.kind));
    let old = backends::source(args.from.or(kind).unwrap_or(cli::MasterKey::File))?;
    let same = kind == Some(args.to);
    let new = if same { backends::new_source(args.to)? } else { backends::source(args.to)? };
    // Keeps a server out, which would write its own ring over ours; and shows
    // that the keys which are moved are those of the data.
    let keys = KeyRing::open(data, &old).map_err(|e| e.report())?;
    let store = SqliteStore::open(data, &keys).map_err(|e| e.report())?;
    let rewrapped = KeyRing::rewrap(data, &old, &new).map_err(|e| e.report());
    store.close().map_err(|e| e.report())?;
    rewrapped?;
    seal::inspect_ring(data).map_err(|e| e.report())?.ok_or_else(absent)
}
