//! The key ring of a data directory: who has which keys, and how they change.
//!
//! ```text
//! KMS  wraps the ring's root: asked once at the start
//! root wraps a key per tenant (KEK), and one for the platform
//! KEK  wraps the tenant's data keys, one per purpose, made when first asked for
//! ```
//!
//! Rotating any of the upper three re-wraps what is below it in one atomic
//! replacement of the file; no data is written again. Destroying a KEK destroys
//! all that was sealed for the tenant, wherever copies of it are; and because
//! the root and the KMS's key change with it, copies of the old file die too.
//!
//! Unwrapped, memory holds the root alone; tenants' keys are unwrapped for the
//! moment they are asked for, which costs about a microsecond.

mod old;
mod open;
mod text;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use units::{Micros, TeamId};
use zeroize::Zeroizing;

use crate::envelope::{self, Binding, aad};
use crate::kms::{About, GivenKms, Kms, Wrapping};
use crate::{Error, SecretKey, file};

pub use open::{RingShown, Source, inspect_ring};
pub use text::RING_FILE;
use text::{DataKey, Keys, Owner, RingText};

/// What a data key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The pages of the platform's database.
    Sqlite,
    /// The keyed hash of API keys: a stolen database alone cannot test guesses.
    Pepper,
    /// Provider keys and other secrets, sealed a second time inside the database.
    Secrets,
    /// Blocks of keys and values on disk: their names for the platform, their contents for a tenant.
    Kv,
    /// A tenant's file of documents, vectors and indexes.
    Documents,
    /// Answers kept to be given again.
    Cache,
    /// What conversations left behind.
    Memory,
    /// Content that records refer to.
    Records,
    /// Salts of the commitments in the audit log: a tenant's for what it did, the platform's
    /// for what nobody's key did.
    Commitments,
}

impl Purpose {
    /// What the platform itself has keys for.
    pub const ALL: [Purpose; 5] =
        [Purpose::Sqlite, Purpose::Pepper, Purpose::Secrets, Purpose::Kv, Purpose::Commitments];
    /// What a ring of an older version lacks and is given at its next opening:
    /// these keys protect what there is nothing of yet, or caches.
    const LATER: [Purpose; 2] = [Purpose::Kv, Purpose::Commitments];

    pub const fn name(self) -> &'static str {
        match self {
            Purpose::Sqlite => "sqlite",
            Purpose::Pepper => "pepper",
            Purpose::Secrets => "secrets",
            Purpose::Kv => "kv",
            Purpose::Documents => "documents",
            Purpose::Cache => "cache",
            Purpose::Memory => "memory",
            Purpose::Records => "records",
            Purpose::Commitments => "commitments",
        }
    }
}

/// The keys of one data directory. Clones share them. No `Debug`.
#[derive(Clone)]
pub struct KeyRing(Arc<Shared>);

struct Shared {
    /// `None`: kept nowhere.
    path: Option<PathBuf>,
    kms: Arc<dyn Kms>,
    state: RwLock<Arc<State>>,
    /// Held over each change and its way to the disk.
    changing: Mutex<()>,
}

#[derive(Clone)]
struct State {
    root: SecretKey,
    ring: RingText,
}

/// One tenant's keys. The tenant is a team: teams share keys, limits, budgets
/// and computed prefixes, so what one of them leaves behind belongs to it alone.
#[derive(Clone)]
pub struct TenantKeys {
    ring: KeyRing,
    team: TeamId,
}

/// What became of a tenant's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Copies {
    /// Copies of the old key ring cannot be opened by anybody.
    Dead,
    /// They can by whoever has the master key as well: this kind of master key
    /// cannot be destroyed from here.
    Alive,
    /// The master key should have been changed and was not: it is tried again at
    /// the next start and by `bedplate keys rotate --root`. The reason.
    Owed(String),
}

/// A tenant, as `bedplate keys list` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantShown {
    pub team: TeamId,
    /// The version of its KEK; `None` once its keys are destroyed.
    pub version: Option<u32>,
    pub purposes: Vec<String>,
    /// When its keys were destroyed.
    pub gone: Option<Micros>,
}

impl KeyRing {
    /// A ring that is nowhere stored: for tests, and for a run without a disk.
    pub fn ephemeral() -> KeyRing {
        let kms = Arc::new(GivenKms::new(SecretKey::random()));
        let state = State::new(&*kms, Vec::new()).expect("a given key always wraps");
        KeyRing::with(None, kms, state)
    }

    fn with(path: Option<PathBuf>, kms: Arc<dyn Kms>, state: State) -> KeyRing {
        let state = RwLock::new(Arc::new(state));
        KeyRing(Arc::new(Shared { path, kms, state, changing: Mutex::default() }))
    }

    /// The platform's key for a purpose.
    ///
    /// # Panics
    /// For a purpose that is not one of [`Purpose::ALL`].
    pub fn key(&self, purpose: Purpose) -> SecretKey {
        let found = self.state().data_key(Owner::Platform, purpose);
        found
            .expect("opening unwraps them all")
            .expect("opening makes one for each of the platform's purposes")
    }

    /// Encrypts a value for `purpose`, bound to its place. 28 bytes longer than it.
    pub fn seal(&self, purpose: Purpose, place: &Binding<'_>, value: &[u8]) -> Vec<u8> {
        envelope::seal(&self.key(purpose), &bound(Owner::Platform, purpose, place), value)
    }

    /// What [`KeyRing::seal`] was given, for the same purpose and place. Also what
    /// older releases sealed, which bound a value to its row alone.
    ///
    /// # Errors
    /// [`Error::Sealed`].
    pub fn unseal(
        &self,
        purpose: Purpose,
        place: &Binding<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let key = self.key(purpose);
        let older = || {
            let row = std::str::from_utf8(place.row).ok()?;
            let aad = format!("bedplate|platform|{}|1|{row}", purpose.name());
            envelope::unseal(&key, aad.as_bytes(), sealed)
        };
        let opened = envelope::unseal(&key, &bound(Owner::Platform, purpose, place), sealed);
        opened.or_else(older).ok_or(Error::Sealed)
    }

    /// The keys of a team.
    pub fn tenant(&self, team: TeamId) -> TenantKeys {
        TenantKeys { ring: self.clone(), team }
    }

    /// Tenants that have keys or had them, in the order of their ids.
    pub fn tenants(&self) -> Vec<TenantShown> {
        let state = self.state();
        let mut shown: Vec<TenantShown> = Vec::with_capacity(state.ring.owners.len());
        for (owner, keys) in &state.ring.owners {
            let Owner::Team(team) = *owner else { continue };
            let purposes = keys.data.iter().map(|k| k.purpose.to_string()).collect();
            shown.push(TenantShown { team, version: Some(keys.kek_version), purposes, gone: None });
        }
        for (team, at) in &state.ring.gone {
            shown.push(TenantShown { team: *team, version: None, purposes: Vec::new(), gone: Some(*at) });
        }
        shown.sort_by_key(|t| t.team);
        shown
    }

    /// The key above all others, asked of whoever keeps it.
    ///
    /// # Errors
    /// As [`Kms::about`].
    pub fn about(&self) -> Result<About, Error> {
        self.0.kms.about()
    }

    /// Whether the root should still change, since a tenant's keys were destroyed.
    pub fn is_root_owed(&self) -> bool {
        let state = self.state();
        state.ring.owed || state.ring.retire.is_some()
    }

    /// The version of the KMS's key that wraps the root.
    pub fn root_version(&self) -> u32 {
        self.state().ring.root.version
    }

    /// Makes the keys that teams lack for a purpose, in one replacement of the
    /// file, or none if they lack none. Destroyed tenants are passed over.
    ///
    /// # Errors
    /// [`Error::Io`], and nothing has changed.
    pub fn provide(&self, teams: impl Iterator<Item = TeamId>, purpose: Purpose) -> Result<(), Error> {
        let lacks = |state: &State, team: &TeamId| {
            let has = |keys: &Keys| keys.data.iter().any(|k| *k.purpose == *purpose.name());
            !state.ring.gone.contains_key(team)
                && !state.ring.owners.get(&Owner::Team(*team)).is_some_and(has)
        };
        let state = self.state();
        let wanted: Vec<TeamId> = teams.filter(|team| lacks(&state, team)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let changing = self.changing();
        let mut state = State::clone(&self.state());
        for team in wanted {
            // Somebody else may have been faster.
            if lacks(&state, &team) {
                state.add(Owner::Team(team), purpose.name(), 1, &SecretKey::random())?;
            }
        }
        self.put(&changing, state)
    }

    /// Gives a tenant a new KEK and puts its data keys under it. Returns its version.
    ///
    /// # Errors
    /// [`Error::Shredded`]; [`Error::Io`], and nothing has changed.
    pub fn rotate_tenant(&self, team: TeamId) -> Result<u32, Error> {
        let changing = self.changing();
        let mut state = State::clone(&self.state());
        state.refuse_gone(team)?;
        let version = state.rotate_kek(Owner::Team(team))?;
        self.put(&changing, state)?;
        Ok(version)
    }

    /// Gives the ring a new root, under a new version of the KMS's key where it
    /// makes one. With `destroy_old` the older versions are destroyed: copies of
    /// the ring, backups among them, die.
    ///
    /// Cut short at any point the ring opens, and doing it again finishes it.
    ///
    /// # Errors
    /// As the KMS's calls; [`Error::Io`]. The ring is the old one or the new one.
    pub fn rotate_root(&self, destroy_old: bool) -> Result<(), Error> {
        let changing = self.changing();
        self.change_root(&changing, destroy_old)
    }

    fn change_root(&self, changing: &MutexGuard<'_, ()>, destroy_old: bool) -> Result<(), Error> {
        let kms = &*self.0.kms;
        let about = kms.about()?;
        if about.rotates {
            kms.rotate()?;
        }
        let mut state = State::clone(&self.state());
        state.change_root(kms)?;
        state.ring.owed = false;
        state.ring.retire = (destroy_old && about.destroys).then_some(state.ring.root.version);
        self.put(changing, state)?;
        self.retire(changing)
    }

    /// Destroys what is to be destroyed of the KMS's key.
    fn retire(&self, changing: &MutexGuard<'_, ()>) -> Result<(), Error> {
        let mut state = State::clone(&self.state());
        let Some(below) = state.ring.retire else { return Ok(()) };
        self.0.kms.destroy(below)?;
        state.ring.retire = None;
        self.put(changing, state)
    }

    /// Destroys a tenant's keys, and with them everything sealed for it, here and
    /// in all copies. For good: its id is remembered and never given keys again.
    ///
    /// # Errors
    /// [`Error::Io`], and nothing has changed. What follows the destruction
    /// cannot fail any more, only be owed: see [`Copies`].
    pub fn shred(&self, team: TeamId, now: Micros) -> Result<Copies, Error> {
        let changing = self.changing();
        let mut state = State::clone(&self.state());
        if !state.ring.gone.contains_key(&team) {
            state.ring.owners.remove(&Owner::Team(team));
            state.ring.gone.insert(team, now);
            state.ring.owed = true;
            self.put(&changing, state)?;
        }
        Ok(self.settle(&changing))
    }

    /// Changes the root where that is owed.
    fn settle(&self, changing: &MutexGuard<'_, ()>) -> Copies {
        let state = self.state();
        let done = match (state.ring.owed, state.ring.retire) {
            (true, _) => self.change_root(changing, true),
            (false, Some(_)) => self.retire(changing),
            (false, None) => Ok(()),
        };
        match done.and_then(|()| self.about()) {
            Ok(about) if about.destroys => Copies::Dead,
            Ok(_) => Copies::Alive,
            Err(error) => Copies::Owed(report::chain(&error)),
        }
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.0.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.0.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To the disk, then in force.
    fn put(&self, _changing: &MutexGuard<'_, ()>, state: State) -> Result<(), Error> {
        if let Some(path) = &self.0.path {
            file::replace_erasing(path, state.ring.write(&state.root).as_bytes())?;
        }
        *self.0.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
        Ok(())
    }
}

impl TenantKeys {
    pub fn team(&self) -> TeamId {
        self.team
    }

    /// The tenant's key for a purpose, made and made durable when there is none.
    ///
    /// # Errors
    /// [`Error::Shredded`] for good; [`Error::Io`] when a new one cannot be kept.
    pub fn key(&self, purpose: Purpose) -> Result<SecretKey, Error> {
        let owner = Owner::Team(self.team);
        let state = self.ring.state();
        state.refuse_gone(self.team)?;
        if let Some(key) = state.data_key(owner, purpose)? {
            return Ok(key);
        }
        let changing = self.ring.changing();
        let mut state = State::clone(&self.ring.state());
        state.refuse_gone(self.team)?;
        // Somebody else may have been faster.
        if let Some(key) = state.data_key(owner, purpose)? {
            return Ok(key);
        }
        let key = SecretKey::random();
        state.add(owner, purpose.name(), 1, &key)?;
        self.ring.put(&changing, state)?;
        Ok(key)
    }

    /// The tenant's key for a purpose as far as there is one, and its version:
    /// the one asked for, or the newest. Never writes, so that whoever must not
    /// wait for a disk may ask; [`KeyRing::provide`] makes it beforehand.
    ///
    /// # Errors
    /// [`Error::Shredded`] for good.
    pub fn kept(&self, purpose: Purpose, version: Option<u32>) -> Result<Option<(u32, SecretKey)>, Error> {
        let state = self.ring.state();
        state.refuse_gone(self.team)?;
        state.data_key_of(Owner::Team(self.team), purpose, version)
    }

    /// Encrypts a value for `purpose`, bound to tenant and place. 28 bytes longer than it.
    ///
    /// # Errors
    /// As [`TenantKeys::key`].
    pub fn seal(&self, purpose: Purpose, place: &Binding<'_>, value: &[u8]) -> Result<Vec<u8>, Error> {
        let aad = bound(Owner::Team(self.team), purpose, place);
        Ok(envelope::seal(&self.key(purpose)?, &aad, value))
    }

    /// What [`TenantKeys::seal`] was given, for the same tenant, purpose and place.
    ///
    /// # Errors
    /// [`Error::Sealed`], and as [`TenantKeys::key`].
    pub fn unseal(
        &self,
        purpose: Purpose,
        place: &Binding<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let aad = bound(Owner::Team(self.team), purpose, place);
        envelope::unseal(&self.key(purpose)?, &aad, sealed).ok_or(Error::Sealed)
    }
}

fn bound(owner: Owner, purpose: Purpose, place: &Binding<'_>) -> Vec<u8> {
    let (owner, version) = (owner.to_string(), place.version.to_le_bytes());
    let (owner, purpose) = (owner.as_bytes(), purpose.name().as_bytes());
    aad(&[b"value", owner, purpose, place.table.as_bytes(), place.row, &version])
}

impl State {
    /// A new root under the KMS, and the platform's keys: these, and new ones
    /// for what they lack.
    fn new(kms: &dyn Kms, keys: Vec<(String, u32, SecretKey)>) -> Result<State, Error> {
        let ring = RingText {
            id: crate::random(),
            kind: kms.kind().to_owned(),
            kms_key: String::new(),
            root: Wrapping { version: 0, bytes: Vec::new() },
            retire: None,
            owed: false,
            gone: Default::default(),
            owners: Default::default(),
        };
        let mut state = State { root: SecretKey::random(), ring };
        state.change_root(kms)?;
        for (purpose, version, key) in &keys {
            state.add(Owner::Platform, purpose, *version, key)?;
        }
        for purpose in Purpose::ALL {
            if !keys.iter().any(|(have, ..)| have == purpose.name()) {
                state.add(Owner::Platform, purpose.name(), 1, &SecretKey::random())?;
            }
        }
        Ok(state)
    }

    fn refuse_gone(&self, team: TeamId) -> Result<(), Error> {
        match self.ring.gone.contains_key(&team) {
            true => Err(Error::Shredded { tenant: team.to_string() }),
            false => Ok(()),
        }
    }

    /// What the KMS binds the root to.
    fn context(&self) -> Vec<u8> {
        aad(&[b"root", &self.ring.id])
    }

    /// A new root, wrapped by the KMS, and all KEKs under it.
    fn change_root(&mut self, kms: &dyn Kms) -> Result<(), Error> {
        let root = SecretKey::random();
        let wrapping = kms.wrap(&root, &self.context())?;
        let id = self.ring.id;
        for (owner, keys) in &mut self.ring.owners {
            let aad = kek_aad(&id, *owner, keys.kek_version);
            let kek = envelope::unwrap(&self.root, &aad, &keys.kek).ok_or_else(|| changed(*owner))?;
            keys.kek = envelope::wrap(&root, &aad, &kek);
        }
        self.ring.kind = kms.kind().to_owned();
        self.ring.kms_key = kms.about()?.key.replace(char::is_whitespace, "_");
        (self.root, self.ring.root) = (root, wrapping);
        Ok(())
    }

    /// A new KEK, and the tenant's data keys under it.
    fn rotate_kek(&mut self, owner: Owner) -> Result<u32, Error> {
        let id = self.ring.id;
        let old = self.kek(owner)?;
        let kek = SecretKey::random();
        let Some(keys) = self.ring.owners.get_mut(&owner) else {
            // It has none yet: its first is as good as a second.
            return self.add_owner(owner).map(|_| 1);
        };
        let old = old.ok_or_else(|| changed(owner))?;
        let version = keys.kek_version + 1;
        for data in &mut keys.data {
            let before = data_aad(&id, owner, &data.purpose, data.version, keys.kek_version);
            let key = envelope::unwrap(&old, &before, &data.wrapped).ok_or_else(|| changed(owner))?;
            let after = data_aad(&id, owner, &data.purpose, data.version, version);
            data.wrapped = envelope::wrap(&kek, &after, &key);
        }
        keys.kek_version = version;
        keys.kek = envelope::wrap(&self.root, &kek_aad(&id, owner, version), &kek);
        Ok(version)
    }

    fn add(&mut self, owner: Owner, purpose: &str, version: u32, key: &SecretKey) -> Result<(), Error> {
        let kek = match self.kek(owner)? {
            Some(kek) => kek,
            None => self.add_owner(owner)?,
        };
        let id = self.ring.id;
        let keys = self.ring.owners.get_mut(&owner).ok_or_else(|| changed(owner))?;
        let aad = data_aad(&id, owner, purpose, version, keys.kek_version);
        let wrapped = envelope::wrap(&kek, &aad, key);
        keys.data.push(DataKey { purpose: purpose.into(), version, wrapped });
        Ok(())
    }

    fn add_owner(&mut self, owner: Owner) -> Result<SecretKey, Error> {
        let kek = SecretKey::random();
        let wrapped = envelope::wrap(&self.root, &kek_aad(&self.ring.id, owner, 1), &kek);
        self.ring.owners.insert(owner, Keys { kek_version: 1, kek: wrapped, data: Vec::new() });
        Ok(kek)
    }

    fn kek(&self, owner: Owner) -> Result<Option<SecretKey>, Error> {
        let Some(keys) = self.ring.owners.get(&owner) else { return Ok(None) };
        let aad = kek_aad(&self.ring.id, owner, keys.kek_version);
        envelope::unwrap(&self.root, &aad, &keys.kek).map(Some).ok_or_else(|| changed(owner))
    }

    /// The newest of a purpose.
    fn data_key(&self, owner: Owner, purpose: Purpose) -> Result<Option<SecretKey>, Error> {
        Ok(self.data_key_of(owner, purpose, None)?.map(|(_, key)| key))
    }

    /// The one of a version, or the newest; with its version.
    fn data_key_of(
        &self,
        owner: Owner,
        purpose: Purpose,
        version: Option<u32>,
    ) -> Result<Option<(u32, SecretKey)>, Error> {
        let Some(keys) = self.ring.owners.get(&owner) else { return Ok(None) };
        let of = |k: &&DataKey| *k.purpose == *purpose.name() && version.is_none_or(|v| v == k.version);
        let Some(data) = keys.data.iter().filter(of).max_by_key(|k| k.version) else { return Ok(None) };
        let kek = self.kek(owner)?.ok_or_else(|| changed(owner))?;
        let aad = data_aad(&self.ring.id, owner, &data.purpose, data.version, keys.kek_version);
        let key = envelope::unwrap(&kek, &aad, &data.wrapped).ok_or_else(|| changed(owner))?;
        Ok(Some((data.version, key)))
    }
}

fn kek_aad(id: &[u8; 16], owner: Owner, version: u32) -> Vec<u8> {
    aad(&[b"kek", id, owner.to_string().as_bytes(), &version.to_le_bytes()])
}

fn data_aad(id: &[u8; 16], owner: Owner, purpose: &str, version: u32, kek: u32) -> Vec<u8> {
    let owner = owner.to_string();
    aad(&[b"dek", id, owner.as_bytes(), purpose.as_bytes(), &version.to_le_bytes(), &kek.to_le_bytes()])
}

/// The file's authentication holds, so only memory can have changed.
fn changed(owner: Owner) -> Error {
    Error::Damaged { path: RING_FILE.into(), what: format!("a key of {owner} does not open") }
}

pub(crate) fn check_text(text: &str) -> Result<(), Error> {
    let path = std::path::Path::new(RING_FILE);
    if text.lines().next() == Some(old::HEAD) {
        return old::OldRing::read(text, path).map(drop);
    }
    RingText::read(text, path).map(drop)
}
