//! The keeper as a running process shares it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::Store;

use crate::tile::Path;
use crate::{Error, Keeper, Signer};

/// One keeper for the task that signs and for everybody who asks. A log that was
/// found damaged stays so until the process starts on another: nothing more is
/// signed, and whoever asks is told.
pub struct Shared {
    store: Arc<dyn Store>,
    keeper: Mutex<Result<Keeper, Error>>,
}

impl Shared {
    /// Never fails: a damaged log is told to those who ask for it.
    pub fn open(store: Arc<dyn Store>, signer: Signer) -> Shared {
        let keeper = Keeper::open(&*store, signer);
        Shared { store, keeper: Mutex::new(keeper) }
    }

    /// What is wrong with the log, if anything is.
    pub fn trouble(&self) -> Option<Error> {
        self.keeper().as_ref().err().cloned()
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
            *keeper = Err(error.clone());
        }
        result
    }

    fn keeper(&self) -> MutexGuard<'_, Result<Keeper, Error>> {
        // A keeper changes by assignment after its commit, or not at all.
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
