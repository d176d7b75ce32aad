//! The file `keyring`: text, so that an operator can see what is there.
//!
//! ```text
//! bedplate-keyring 2
//! ring 0f3c...                                       what all wrappings below are bound to
//! root vault transit/bedplate 3 <base64>             the root key, as version 3 of the KMS's key wrapped it
//! retire 3                                           its versions below 3 are still to be destroyed
//! owed                                               a tenant went, and the root has not changed since
//! gone 0190... 1795773600000000                      a tenant whose keys were destroyed, and when (Unix, µs)
//! kek platform 1 <base64>                            a tenant's key, wrapped by the root
//! key platform sqlite 1 <base64>                     a data key, wrapped by its tenant's key
//! kek 0190... 2 <base64>
//! key 0190... kv 1 <base64>
//! end 5 <base64>                                     how many lines of gone, kek and key; HMAC under the root
//! ```

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::path::Path;

use base64ct::{Base64, Encoding};
use ring::hmac;
use units::{Micros, TeamId};

use crate::envelope::WRAPPED;
use crate::kms::{WRAPPING_MAX, Wrapping};
use crate::{Error, SecretKey};

/// The ring's file in the data directory.
pub const RING_FILE: &str = "keyring";

pub(crate) const HEAD: &str = "bedplate-keyring 2";
const MAC: usize = 32;

/// Whose keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// What belongs to the whole deployment.
    Platform,
    Team(TeamId),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Platform => f.write_str("platform"),
            Owner::Team(id) => id.fmt(f),
        }
    }
}

impl Owner {
    fn read(text: &str) -> Option<Owner> {
        match text {
            "platform" => Some(Owner::Platform),
            id => id.parse().ok().map(Owner::Team),
        }
    }
}

/// What is in the file. Nothing of it is secret; only the root opens it.
#[derive(Clone)]
pub(crate) struct RingText {
    pub id: [u8; 16],
    /// The KMS: its kind, and which key of it.
    pub kind: String,
    pub kms_key: String,
    pub root: Wrapping,
    pub retire: Option<u32>,
    pub owed: bool,
    pub gone: BTreeMap<TeamId, Micros>,
    pub owners: BTreeMap<Owner, Keys>,
}

/// The keys of a tenant.
#[derive(Clone)]
pub(crate) struct Keys {
    pub kek_version: u32,
    pub kek: [u8; WRAPPED],
    /// Few: a list is searched as fast as a map.
    pub data: Vec<DataKey>,
}

#[derive(Clone)]
pub(crate) struct DataKey {
    /// Purposes of newer releases are kept as they are.
    pub purpose: Box<str>,
    pub version: u32,
    pub wrapped: [u8; WRAPPED],
}

impl RingText {
    pub fn write(&self, root: &SecretKey) -> String {
        let mut text = String::with_capacity(512 + self.owners.len() * 320);
        let mut line = |line: fmt::Arguments<'_>| writeln!(text, "{line}").expect("a string grows");
        line(format_args!("{HEAD}"));
        line(format_args!("ring {:032x}", u128::from_be_bytes(self.id)));
        let (kind, key, version) = (&self.kind, &self.kms_key, self.root.version);
        line(format_args!("root {kind} {key} {version} {}", Base64::encode_string(&self.root.bytes)));
        if let Some(below) = self.retire {
            line(format_args!("retire {below}"));
        }
        if self.owed {
            line(format_args!("owed"));
        }
        let mut count = self.gone.len() + self.owners.len();
        for (tenant, at) in &self.gone {
            line(format_args!("gone {tenant} {}", at.0));
        }
        for (owner, keys) in &self.owners {
            line(format_args!("kek {owner} {} {}", keys.kek_version, Base64::encode_string(&keys.kek)));
            count += keys.data.len();
            for key in &keys.data {
                let wrapped = Base64::encode_string(&key.wrapped);
                line(format_args!("key {owner} {} {} {wrapped}", key.purpose, key.version));
            }
        }
        let mac = hmac::sign(&mac_key(root), text.as_bytes());
        writeln!(text, "end {count} {}", Base64::encode_string(mac.as_ref())).expect("a string grows");
        text
    }

    /// Reads a file; whether its authentication holds, [`RingText::is_authentic`] says.
    pub fn read(text: &str, path: &Path) -> Result<RingText, Error> {
        let damaged = |what: &str| Error::damaged(path, what);
        let mut lines = text.lines().peekable();
        match lines.next() {
            Some(HEAD) => {}
            Some(other) if other.starts_with("bedplate-keyring ") => {
                return Err(damaged("it was written by a newer version"));
            }
            _ => return Err(damaged("it does not begin with \"bedplate-keyring 2\"")),
        }
        let id = lines.next().and_then(read_id).ok_or_else(|| damaged("line 2: \"ring ID\" expected"))?;
        let (kind, kms_key, root) =
            lines.next().and_then(read_root).ok_or_else(|| damaged("line 3: \"root\" expected"))?;
        let retire = lines.peek().and_then(|l| l.strip_prefix("retire ")).map(str::to_owned);
        let retire = match retire {
            None => None,
            Some(below) => {
                lines.next();
                Some(below.parse().map_err(|_| damaged("\"retire VERSION\" expected"))?)
            }
        };
        let owed = lines.next_if_eq(&"owed").is_some();
        let mut ring = RingText {
            id,
            kind,
            kms_key,
            root,
            retire,
            owed,
            gone: BTreeMap::new(),
            owners: BTreeMap::new(),
        };
        for (count, line) in lines.by_ref().enumerate() {
            if let Some(end) = line.strip_prefix("end ") {
                let whole = end.split(' ').next().and_then(|n| n.parse().ok()) == Some(count);
                let last = lines.next().is_none();
                return if whole && last { Ok(ring) } else { Err(damaged("keys are missing")) };
            }
            ring.take(line).ok_or_else(|| damaged("a line is not a key"))?;
        }
        Err(damaged("the end is missing"))
    }

    /// Whether the root vouches for every byte of the text.
    pub fn is_authentic(text: &str, root: &SecretKey) -> bool {
        let Some((signed, mac)) = text.strip_suffix('\n').and_then(|t| t.rsplit_once("\nend ")) else {
            return false;
        };
        let mac = mac.split_once(' ').map(|(_, mac)| mac).unwrap_or_default();
        let mut bytes = [0; MAC];
        let read = Base64::decode(mac, &mut bytes).is_ok_and(|b| b.len() == MAC);
        let signed = &text.as_bytes()[..signed.len() + 1];
        read && hmac::verify(&mac_key(root), signed, &bytes).is_ok()
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let mut parts = line.split(' ');
        let kind = parts.next()?;
        if kind == "gone" {
            let (tenant, at) = (parts.next()?.parse().ok()?, Micros(parts.next()?.parse().ok()?));
            return (self.gone.insert(tenant, at).is_none() && parts.next().is_none()).then_some(());
        }
        let owner = Owner::read(parts.next()?)?;
        match kind {
            "kek" => {
                let (kek_version, kek) = (parts.next()?.parse().ok()?, read_wrapped(parts.next()?)?);
                let keys = Keys { kek_version, kek, data: Vec::new() };
                (self.owners.insert(owner, keys).is_none() && parts.next().is_none()).then_some(())
            }
            "key" => {
                let (purpose, version) = (parts.next()?.into(), parts.next()?.parse().ok()?);
                let key = DataKey { purpose, version, wrapped: read_wrapped(parts.next()?)? };
                self.owners.get_mut(&owner)?.data.push(key);
                parts.next().is_none().then_some(())
            }
            _ => None,
        }
    }
}

fn mac_key(root: &SecretKey) -> hmac::Key {
    // The root also wraps: what signs is derived from it.
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, root.expose()), b"bedplate keyring 2 file");
    hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
}

fn read_id(line: &str) -> Option<[u8; 16]> {
    let digits = line.strip_prefix("ring ")?;
    let plain = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes))?
}

fn read_root(line: &str) -> Option<(String, String, Wrapping)> {
    let mut parts = line.strip_prefix("root ")?.split(' ');
    let (kind, key) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let (version, bytes) = (parts.next()?.parse().ok()?, parts.next()?);
    if bytes.len() > WRAPPING_MAX * 2 || parts.next().is_some() {
        return None;
    }
    Some((kind, key, Wrapping { version, bytes: Base64::decode_vec(bytes).ok()? }))
}

fn read_wrapped(text: &str) -> Option<[u8; WRAPPED]> {
    let mut bytes = [0; WRAPPED];
    let read = Base64::decode(text, &mut bytes).ok()?.len();
    (read == WRAPPED).then_some(bytes)
}
