//! The keeper as a running process shares it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use report::{Report, Retry};
use store::Store;

use crate::tile::Path;
use crate::{Error, Keeper, Signer};

/// One keeper for the task that signs and for everybody who asks. A log that was
/// found damaged stays so until the process starts on another: nothing more is
/// signed, and whoever asks is told.
pub struct Shared {
    store: Arc<dyn Store>,
    keeper: Mutex<Result<Keeper, Error>>,
    /// Beside the keeper, whose lock is held over a disk: each request may ask.
    trouble: OnceLock<Error>,
}

impl Shared {
    /// Never fails: a damaged log is told to those who ask for it.
    pub fn open(store: Arc<dyn Store>, signer: Signer) -> Shared {
        let keeper = Keeper::open(&*store, signer);
        let trouble = keeper.as_ref().err().cloned().map_or_else(OnceLock::new, OnceLock::from);
        Shared { store, keeper: Mutex::new(keeper), trouble }
    }

    /// What is wrong with the log, if anything is. Never waits.
    pub fn trouble(&self) -> Option<&Error> {
        self.trouble.get()
    }

    /// Why nothing may be answered where nothing is without a log that continues
    /// its last checkpoint (`serve --audit require`).
    ///
    /// # Errors
    /// AU0007. A retry cannot help: somebody has to look.
    pub fn required(&self) -> Result<(), Report> {
        self.trouble().map_or(Ok(()), |trouble| {
            Err(Report::new("AU0007", "the audit log is damaged, and nothing is answered without it")
                .because(trouble.to_string())
                .retry(Retry::Never)
                .hint("an admin runs `bedplate audit verify`; `serve --audit warn` answers nevertheless"))
        })
    }

    /// Signs what is new; how many leaves are covered.
    pub fn publish(&self) -> Result<u64, Error> {
        self.with(|keeper, store| {
            while keeper.publish(store)?.is_some() {}
            Ok(keeper.size())
        })
    }

    pub fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        self.with(|keeper, store| keeper.read(store, path))
    }

    /// Works with the keeper, alone.
    pub fn with<T>(
        &self,
        work: impl FnOnce(&mut Keeper, &dyn Store) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut keeper = self.keeper();
        let result = work(keeper.as_mut().map_err(|error| error.clone())?, &*self.store);
        if let Err(error @ Error::Damaged(_)) = &result {
            let _ = self.trouble.set(error.clone());
            *keeper = Err(error.clone());
        }
        result
    }

    fn keeper(&self) -> MutexGuard<'_, Result<Keeper, Error>> {
        // A keeper changes by assignment after its commit, or not at all.
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use store::{AuditLog, CheckpointRow, MemoryStore};

    use super::*;
    use crate::{Hash, Kind, Signer, sign};

    fn signer() -> Signer {
        Signer::new("example.com/log", Kind::Log, [1; 32]).expect("a name")
    }

    #[test]
    fn a_log_that_is_required_and_damaged_is_told_at_once_and_when_it_is_found() {
        let store = Arc::new(MemoryStore::new());
        let sound = Shared::open(store.clone(), signer());
        sound.publish().expect("it publishes");
        assert_eq!((sound.trouble(), sound.required()), (None, Ok(())));
        // A checkpoint of more than there is: as if leaves were cut off.
        let note = sign(5, Hash([7; 32]), &signer()).to_string();
        store.publish(&[], &CheckpointRow { size: 5, note, cosigned: false }).expect("it is kept");
        let damaged = Shared::open(store, signer());
        let report = damaged.required().expect_err("it is damaged");
        assert_eq!((report.code.0, report.status(), report.retry), ("AU0007", 503, Retry::Never));
        assert!(report.because.is_some_and(|why| why.contains("5 are missing")));
        // Found while it runs.
        let found = sound.with::<()>(|_, _| Err(Error::Damaged("leaf 3 is missing".into())));
        assert!(found.is_err() && sound.trouble().is_some() && sound.required().is_err());
    }
}
