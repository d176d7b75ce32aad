//! Which back-ends stand behind the ports: the data directory's keys and store.

use std::path::Path;
use std::sync::Arc;

use cli::{MasterKey, environment};
use report::Report;
use seal::{KeyRing, Source};
use store::Store;
use store_sqlite::{SqliteStore, SqliteTenants, TENANTS_DIR, TenantsConfig};

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

/// The documents of every team, each in a file of its own beside that database.
pub fn tenants(dir: &Path, keys: &KeyRing) -> Arc<SqliteTenants> {
    Arc::new(SqliteTenants::new(dir, keys, TenantsConfig::default()))
}

/// Their collections, with the snapshots of their indexes in the directory of those files.
pub fn collections(dir: &Path, keys: &KeyRing, tenants: Arc<SqliteTenants>) -> retrieval::Collections {
    let snapshots = retrieval::Snapshots::new(&dir.join(TENANTS_DIR), keys);
    let reader = formats::Reader::new(formats::Launch::me("format-process"), formats::Bounds::default());
    retrieval::Collections::new(tenants).with_snapshots(snapshots).reading(reader)
}

/// Who keeps the master key, with what the environment says about the way there.
pub fn source(master: MasterKey) -> Result<Source, Report> {
    source_from(master, "BEDPLATE_MASTER_KEY", "BEDPLATE_PASSPHRASE")
}

/// The same for a master key that is to take another's place, which may be of
/// the same kind and so needs variables of its own.
pub fn new_source(master: MasterKey) -> Result<Source, Report> {
    source_from(master, "BEDPLATE_NEW_MASTER_KEY", "BEDPLATE_NEW_PASSPHRASE")
}

fn source_from(master: MasterKey, key: &str, passphrase: &str) -> Result<Source, Report> {
    let or = |name: &str, default: &str| environment(name).unwrap_or_else(|| default.into());
    match master {
        MasterKey::File => Ok(Source::File),
        MasterKey::Environment => Source::given(&variable(key)?).map_err(|e| e.report()),
        MasterKey::Passphrase => Ok(Source::passphrase(variable(passphrase)?)),
        MasterKey::Pkcs11 => Ok(Source::Kms(Arc::new(kms_pkcs11::Pkcs11::new(kms_pkcs11::Options {
            module: variable("BEDPLATE_PKCS11_MODULE")?.into(),
            token: variable("BEDPLATE_PKCS11_TOKEN")?,
            pin: variable("BEDPLATE_PKCS11_PIN")?.into(),
            key: or("BEDPLATE_PKCS11_KEY", "bedplate"),
        })))),
        MasterKey::Vault => {
            let vault = kms_vault::Vault::new(kms_vault::Options {
                address: variable("VAULT_ADDR")?,
                token: variable("VAULT_TOKEN")?.into(),
                namespace: environment("VAULT_NAMESPACE"),
                mount: or("BEDPLATE_VAULT_MOUNT", "transit"),
                key: or("BEDPLATE_VAULT_KEY", "bedplate"),
            });
            Ok(Source::Kms(Arc::new(vault.map_err(|e| e.report())?)))
        }
    }
}

fn variable(name: &str) -> Result<String, Report> {
    environment(name).ok_or_else(|| {
        Report::new("SE0004", format!("the master key should come by ${name}, which is not set"))
            .hint("set it, or name another keeper with `--master-key`")
    })
}
