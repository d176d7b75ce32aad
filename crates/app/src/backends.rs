//! Which back-ends stand behind the ports: the data directory's keys and store.

use std::path::Path;
use std::sync::Arc;

use cli::{MasterKey, environment};
use report::Report;
use seal::{KeyRing, Source};
use store::Store;
use store_sqlite::SqliteStore;

/// Opens the directory's keys and its database.
pub fn open(dir: &Path, master: MasterKey) -> Result<(KeyRing, Arc<dyn Store>), Report> {
    std::fs::create_dir_all(dir).map_err(|e| {
        Report::new("ST0004", format!("the data directory {} cannot be made", dir.display()))
            .because(e.to_string())
    })?;
    let keys = KeyRing::open(dir, &source(master)?).map_err(|e| e.report())?;
    let store = SqliteStore::open(dir, &keys).map_err(|e| e.report())?;
    Ok((keys, Arc::new(store)))
}

fn source(master: MasterKey) -> Result<Source, Report> {
    let variable = |name: &str| {
        environment(name).ok_or_else(|| {
            Report::new("SE0004", format!("the master key should come from ${name}, which is not set"))
                .hint("set it, or use `--master-key file`")
        })
    };
    match master {
        MasterKey::File => Ok(Source::File),
        MasterKey::Environment => Source::given(&variable("BEDPLATE_MASTER_KEY")?).map_err(|e| e.report()),
        MasterKey::Passphrase => Ok(Source::passphrase(variable("BEDPLATE_PASSPHRASE")?)),
    }
}
