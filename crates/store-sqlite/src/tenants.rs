//! All tenants' files: opened when first asked for, closed when others need the
//! room, gone with their keys.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seal::{KeyRing, Purpose};
use store::Error;
use store::documents::{Tenant, Tenants};
use units::TeamId;

use crate::error::from_io;
use crate::tenant::TenantFile;
use crate::tenant::text::TextConfig;

/// The directory of tenants' files in the data directory.
pub const TENANTS_DIR: &str = "tenants";

/// How many tenants are open at once, with what it buys.
#[derive(Clone, Debug)]
pub struct TenantsConfig {
    /// Each has two threads that sleep, and up to seven connections.
    pub open_max: usize,
    /// What the open ones may hold in memory, about: their pages' caches, and full text.
    pub open_bytes_max: u64,
    /// Which of their collections have full text in memory.
    pub text: TextConfig,
}

impl Default for TenantsConfig {
    fn default() -> TenantsConfig {
        TenantsConfig { open_max: 64, open_bytes_max: 512 << 20, text: TextConfig::default() }
    }
}

/// What one tenant's connections hold at most: the writer's cache, the mover's, four readers'.
const CACHES: u64 = (8 + 4 + 4 * 4) << 20;

/// The files of `<dir>/tenants`, each `TEAM.db`, under keys of its team.
pub struct SqliteTenants {
    dir: PathBuf,
    keys: KeyRing,
    config: TenantsConfig,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    files: HashMap<TeamId, Held>,
    /// Counts calls: which file was used last.
    clock: u64,
}

struct Held {
    file: Arc<TenantFile>,
    used: u64,
    bytes: u64,
}

impl SqliteTenants {
    /// `dir`: the data directory, which the platform's store has locked.
    pub fn new(dir: &Path, keys: &KeyRing, config: TenantsConfig) -> SqliteTenants {
        SqliteTenants { dir: dir.join(TENANTS_DIR), keys: keys.clone(), config, open: Mutex::default() }
    }

    /// Closes every file. Those that somebody still holds refuse what follows.
    pub fn close(&self) {
        let files = std::mem::take(&mut self.open().files);
        files.into_values().for_each(|held| held.file.close());
    }

    /// How many are open.
    pub fn open_count(&self) -> usize {
        self.open().files.len()
    }

    /// What full text takes in memory, about.
    pub fn text_bytes(&self) -> u64 {
        let files: Vec<_> = self.open().files.values().map(|held| held.file.clone()).collect();
        files.iter().map(|file| file.text_bytes()).sum()
    }

    /// Where a team's file is, and what else belongs to it begins with the same name.
    pub fn path(&self, team: TeamId) -> PathBuf {
        self.dir.join(format!("{team}.db"))
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // A map of what is open is whole at every moment.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file, if its keys are there.
    fn open_file(&self, team: TeamId) -> Result<TenantFile, Error> {
        let key = self.keys.tenant(team).key(Purpose::Documents).map_err(|error| match error {
            seal::Error::Shredded { tenant } => Error::Missing { kind: "tenant", name: tenant },
            other => Error::Io(other.to_string()),
        })?;
        std::fs::create_dir_all(&self.dir).map_err(|e| from_io(&self.dir.display().to_string(), &e))?;
        TenantFile::open(&self.path(team), key, team, self.config.text.clone())
    }

    fn bytes_of(&self, team: TeamId) -> u64 {
        std::fs::metadata(self.path(team)).map_or(0, |meta| meta.len()).min(CACHES)
    }
}

impl Open {
    /// Takes out what was used least until the rest fits; what somebody holds stays.
    fn evict(&mut self, config: &TenantsConfig) -> Vec<Arc<TenantFile>> {
        let mut closing = Vec::new();
        loop {
            let bytes: u64 = self.files.values().map(|held| held.bytes + held.file.text_bytes()).sum();
            if self.files.len() <= config.open_max && bytes <= config.open_bytes_max {
                return closing;
            }
            let unused = self.files.iter().filter(|(_, held)| Arc::strong_count(&held.file) == 1);
            let Some(team) = unused.min_by_key(|(_, held)| held.used).map(|(team, _)| *team) else {
                return closing;
            };
            closing.extend(self.files.remove(&team).map(|held| held.file));
        }
    }
}

impl Tenants for SqliteTenants {
    fn tenant(&self, team: TeamId) -> Result<Arc<dyn Tenant>, Error> {
        let mut open = self.open();
        open.clock += 1;
        let now = open.clock;
        if let Some(held) = open.files.get_mut(&team) {
            held.used = now;
            return Ok(held.file.clone());
        }
        // Under the lock: two files of one team would not know of each other's classes.
        let file = Arc::new(self.open_file(team)?);
        open.files.insert(team, Held { file: file.clone(), used: now, bytes: self.bytes_of(team) });
        let closing = open.evict(&self.config);
        drop(open);
        // Waits for their checkpoints, while others go on.
        drop(closing);
        Ok(file)
    }

    fn remove_tenant(&self, team: TeamId) -> Result<bool, Error> {
        let mut open = self.open();
        if let Some(held) = open.files.remove(&team) {
            held.file.close();
        }
        // Under the lock, so that nobody opens it meanwhile. By its name's beginning:
        // the database, its WAL, and the snapshots of its indexes.
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(from_io(&self.dir.display().to_string(), &e)),
        };
        let name = format!("{team}.");
        let mut removed = false;
        for entry in entries {
            let entry = entry.map_err(|e| from_io(&self.dir.display().to_string(), &e))?;
            if entry.file_name().to_string_lossy().starts_with(&name) {
                std::fs::remove_file(entry.path())
                    .map_err(|e| from_io(&entry.path().display().to_string(), &e))?;
                removed = true;
            }
        }
        Ok(removed)
    }
}

impl Drop for SqliteTenants {
    fn drop(&mut self) {
        self.close();
    }
}
