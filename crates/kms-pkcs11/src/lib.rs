//! A key that never leaves a device: a hardware security module, a smart card,
//! or SoftHSM, through the PKCS#11 module that its maker ships.
//!
//! A version of the key is an AES-256 object of its own, with our label and the
//! version as its id; it is made inside, sensitive and not extractable. Wrapping
//! is `C_Encrypt` with AES-GCM, so the context is authenticated by the device.
//!
//! Each call opens a session, logs in, and closes it: there is one call at the
//! start and a few at a rotation, and an idle session would hold the login open
//! for whoever else is in the process. Calls wait for each other, since a login
//! holds for the whole module.
//!
//! Invariants: the PIN is in one secret value and in no message; a module is
//! loaded once per process, from the path that the operator gave.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11 as Module};
use cryptoki::error::{Error as Fault, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use seal::kms::{About, Kms, Wrapping};
use seal::{Error, SecretKey};
use zeroize::{Zeroize, Zeroizing};

/// Which key of which token.
pub struct Options {
    /// The maker's library: `/usr/lib/softhsm/libsofthsm2.so`.
    pub module: PathBuf,
    /// The token's label, of at most 32 bytes.
    pub token: String,
    pub pin: Zeroizing<String>,
    /// The label of our key's versions. It should be ours alone: erasing a
    /// tenant destroys the old ones.
    pub key: String,
}

/// One key of a token.
pub struct Pkcs11 {
    options: Options,
    /// Loaded at the first call that finds it.
    module: Mutex<Option<Module>>,
    shown: String,
}

const IV: usize = 12;
const TAG: usize = 16;
/// IV, key and tag.
const WRAPPED: usize = IV + 32 + TAG;

impl Pkcs11 {
    /// Loads nothing yet.
    pub fn new(options: Options) -> Pkcs11 {
        let shown = format!("PKCS#11 key \"{}\" of token \"{}\"", options.key, options.token);
        Pkcs11 { options, module: Mutex::default(), shown }
    }

    /// Runs `work` in a session of its own, logged in.
    fn with<T>(&self, work: impl FnOnce(&Session) -> Result<T, Error>) -> Result<T, Error> {
        let mut held = self.module();
        if held.is_none() {
            *held = Some(self.load()?);
        }
        let module = held.as_ref().expect("it was loaded just now");
        let slot = self.slot(module)?;
        let session = module.open_rw_session(slot).map_err(|e| self.error(&e))?;
        let pin = AuthPin::new(self.options.pin.as_str().into());
        match session.login(UserType::User, Some(&pin)) {
            // Somebody else in this process is: the token took their PIN, not ours.
            Ok(()) | Err(Fault::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => return Err(self.error(&error)),
        }
        let result = work(&session);
        let _ = session.logout();
        result
    }

    fn module(&self) -> MutexGuard<'_, Option<Module>> {
        self.module.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self) -> Result<Module, Error> {
        let unreachable = |why: String| Error::Unreachable { kms: self.shown.clone(), why };
        let path = &self.options.module;
        let module = Module::new(path).map_err(|e| unreachable(format!("load {}: {e}", path.display())))?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // A module keeps one state per process.
            Ok(()) | Err(Fault::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
            Err(error) => Err(unreachable(format!("initialize {}: {error}", path.display()))),
        }
    }

    fn slot(&self, module: &Module) -> Result<Slot, Error> {
        let slots = module.get_slots_with_initialized_token().map_err(|e| self.error(&e))?;
        let ours = |slot: &Slot| {
            module.get_token_info(*slot).is_ok_and(|info| info.label().trim_end() == self.options.token)
        };
        let mut found = slots.into_iter().filter(ours);
        let absent = || Error::Unreachable { kms: self.shown.clone(), why: "no token has that label".into() };
        let slot = found.next().ok_or_else(absent)?;
        match found.next() {
            None => Ok(slot),
            // Which of them has the key that matters cannot be told.
            Some(_) => {
                Err(Error::Refused { kms: self.shown.clone(), why: "several tokens have that label".into() })
            }
        }
    }

    /// The versions and their objects, the oldest first.
    fn versions(&self, session: &Session) -> Result<Vec<(u32, ObjectHandle)>, Error> {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Token(true),
            Attribute::Label(self.options.key.clone().into_bytes()),
        ];
        let objects = session.find_objects(&template).map_err(|e| self.error(&e))?;
        let mut versions = Vec::with_capacity(objects.len());
        for object in objects {
            let id = session.get_attributes(object, &[AttributeType::Id]).map_err(|e| self.error(&e))?;
            if let Some(Attribute::Id(id)) = id.first()
                && let Ok(id) = <[u8; 4]>::try_from(id.as_slice())
            {
                versions.push((u32::from_be_bytes(id), object));
            }
        }
        versions.sort_by_key(|(version, _)| *version);
        if versions.windows(2).any(|w| w[0].0 == w[1].0) {
            let why = "two objects have the same label and id".into();
            return Err(Error::Refused { kms: self.shown.clone(), why });
        }
        Ok(versions)
    }

    fn newest(&self, session: &Session) -> Result<(u32, ObjectHandle), Error> {
        self.versions(session)?.pop().ok_or_else(|| self.no_key("object with that label"))
    }

    fn generate(&self, session: &Session, version: u32) -> Result<(), Error> {
        let template = [
            Attribute::Label(self.options.key.clone().into_bytes()),
            Attribute::Id(version.to_be_bytes().to_vec()),
            Attribute::ValueLen(32.into()),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
        ];
        session.generate_key(&Mechanism::AesKeyGen, &template).map(drop).map_err(|e| self.error(&e))
    }

    fn no_key(&self, key: impl Into<String>) -> Error {
        Error::NoKey { kms: self.shown.clone(), key: key.into() }
    }

    fn error(&self, fault: &Fault) -> Error {
        let (kms, why) = (self.shown.clone(), fault.to_string());
        match fault {
            Fault::Pkcs11(
                RvError::PinIncorrect
                | RvError::PinLocked
                | RvError::PinExpired
                | RvError::PinInvalid
                | RvError::PinLenRange
                | RvError::UserPinNotInitialized
                | RvError::UserNotLoggedIn
                | RvError::TokenWriteProtected
                | RvError::SessionReadOnly
                | RvError::MechanismInvalid
                | RvError::KeyFunctionNotPermitted
                | RvError::ActionProhibited,
                _,
            ) => Error::Refused { kms, why },
            _ => Error::Unreachable { kms, why },
        }
    }
}

impl Kms for Pkcs11 {
    fn kind(&self) -> &'static str {
        "pkcs11"
    }

    fn prepare(&self) -> Result<(), Error> {
        self.with(|session| match self.versions(session)?.is_empty() {
            true => self.generate(session, 1),
            false => Ok(()),
        })
    }

    fn about(&self) -> Result<About, Error> {
        let versions = self.with(|session| self.versions(session))?;
        let (Some(first), Some(last)) = (versions.first(), versions.last()) else {
            return Err(self.no_key("object with that label"));
        };
        let key = format!("{}/{}", self.options.token, self.options.key);
        Ok(About { kind: self.kind(), key, newest: last.0, oldest: first.0, rotates: true, destroys: true })
    }

    fn wrap(&self, key: &SecretKey, context: &[u8]) -> Result<Wrapping, Error> {
        self.with(|session| {
            let (version, object) = self.newest(session)?;
            let mut iv: [u8; IV] = seal::random();
            let mut bytes = iv.to_vec();
            let params = GcmParams::new(&mut iv, context, ((TAG * 8) as u64).into());
            let mechanism = Mechanism::AesGcm(params.map_err(|e| self.error(&e))?);
            let sealed = session.encrypt(&mechanism, object, key.expose()).map_err(|e| self.error(&e))?;
            drop(mechanism);
            bytes.extend_from_slice(&sealed);
            // Some devices choose the IV themselves and write it back.
            match bytes[..IV] == iv && bytes.len() == WRAPPED {
                true => Ok(Wrapping { version, bytes }),
                false => Err(Error::Refused {
                    kms: self.shown.clone(),
                    why: "it does not encrypt with the nonce that it is given".into(),
                }),
            }
        })
    }

    fn unwrap(&self, wrapping: &Wrapping, context: &[u8]) -> Result<SecretKey, Error> {
        let unfit = || Error::Unwrap { kms: self.shown.clone() };
        self.with(|session| {
            let versions = self.versions(session)?;
            let found = versions.iter().find(|(version, _)| *version == wrapping.version);
            let (_, object) = found.ok_or_else(|| self.no_key(format!("version {}", wrapping.version)))?;
            let (iv, sealed) = wrapping.bytes.split_first_chunk::<IV>().ok_or_else(unfit)?;
            if wrapping.bytes.len() != WRAPPED {
                return Err(unfit());
            }
            let mut iv = *iv;
            let params = GcmParams::new(&mut iv, context, ((TAG * 8) as u64).into());
            let mechanism = Mechanism::AesGcm(params.map_err(|e| self.error(&e))?);
            // What a device says of a tag that does not fit differs by maker:
            // after the object was found, that is what it means.
            let mut plain =
                session.decrypt(&mechanism, *object, sealed).map_err(|e| match self.error(&e) {
                    Error::Unreachable { .. } if !is_lost(&e) => unfit(),
                    other => other,
                })?;
            let key = <[u8; 32]>::try_from(plain.as_slice()).map(SecretKey::from_bytes);
            plain.zeroize();
            key.map_err(|_| unfit())
        })
    }

    fn rotate(&self) -> Result<u32, Error> {
        self.with(|session| {
            let version = self.newest(session)?.0 + 1;
            self.generate(session, version).map(|()| version)
        })
    }

    fn destroy(&self, below: u32) -> Result<(), Error> {
        self.with(|session| {
            if self.newest(session)?.0 < below {
                return Err(self.no_key(format!("version {below}")));
            }
            for (version, object) in self.versions(session)? {
                if version < below {
                    session.destroy_object(object).map_err(|e| self.error(&e))?;
                }
            }
            Ok(())
        })
    }
}

/// Whether the device is what failed, and not what it was given.
fn is_lost(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Pkcs11(
            RvError::DeviceError
                | RvError::DeviceMemory
                | RvError::DeviceRemoved
                | RvError::HostMemory
                | RvError::SessionHandleInvalid
                | RvError::TokenNotPresent,
            _,
        )
    )
}
