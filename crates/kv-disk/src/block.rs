//! One block as a file: a header, the encrypted contents, a tag.
//!
//! ```text
//!  0  8  magic          16 16  fingerprint       48  8  length of the contents
//!  8  4  version        32 16  block's key       56 12  nonce
//! 12  4  zero                                    68  4  zero      (little endian)
//! 72 16  whose it is (big endian)
//! 88  the contents, AES-256-GCM; the header is the associated data
//! ..  16 bytes of tag
//! ```
//!
//! The tag vouches for every bit of the file, so there is no other checksum.
//! Each tenant and fingerprint have a key, derived from the tenant's secret:
//! a block that is moved to another model's folder does not open there, none
//! opens once the tenant's secret is destroyed, and a nonce could only repeat
//! among the blocks of one model and tenant (random, 96 bits: at 2^32 blocks of
//! a megabyte each, four petabytes, the chance is 2^-33).

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use scheduler::{BlockKey, Tenant};
use seal::SecretKey;

const MAGIC: &[u8; 8] = b"BedplKV\0";
const VERSION: u32 = 2;
pub(crate) const HEADER: usize = 88;
const NONCE: std::ops::Range<usize> = 56..68;
const OWNER: std::ops::Range<usize> = 72..88;
const TAG: usize = 16;
/// What a file has beyond the contents.
pub(crate) const OVERHEAD: u64 = (HEADER + TAG) as u64;

/// Seals and opens the blocks of one fingerprint.
pub(crate) struct Cipher {
    text: Box<str>,
    tenants: TenantSecrets,
    /// Names the fingerprint, to those who hold the platform's secret.
    pub(crate) fingerprint: u128,
}

/// Gives the secret that a tenant's blocks are kept under. `None`: it has none
/// any more, or none can be made; its blocks are misses and none are kept.
pub type TenantSecrets = Arc<dyn Fn(Tenant) -> Option<SecretKey> + Send + Sync>;

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive<const N: usize>(secret: &SecretKey, purpose: &str, fingerprint: &str) -> [u8; N] {
    let mut bytes = [0; N];
    Salt::new(HKDF_SHA256, b"bedplate|kv-disk|1")
        .extract(secret.expose())
        .expand(&[purpose.as_bytes(), b"|", fingerprint.as_bytes()], Length(N))
        .and_then(|okm| okm.fill(&mut bytes))
        .expect("a few bytes are within HKDF's limit");
    bytes
}

impl Cipher {
    pub(crate) fn new(secret: &SecretKey, tenants: &TenantSecrets, fingerprint: &str) -> Cipher {
        let name = u128::from_be_bytes(derive(secret, "name", fingerprint));
        Cipher { text: fingerprint.into(), tenants: Arc::clone(tenants), fingerprint: name }
    }

    /// Derived anew for each block: a few microseconds beside the milliseconds
    /// of its encryption, and a destroyed secret is nowhere kept.
    fn key(&self, owner: Tenant) -> Option<LessSafeKey> {
        let secret = (self.tenants)(owner)?;
        let key = SecretKey::from_bytes(derive(&secret, "key", &self.text));
        Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose()).expect("the key has 32 bytes")))
    }

    fn header(&self, key: BlockKey, owner: Tenant, length: u64, nonce: [u8; 12]) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[16..32].copy_from_slice(&self.fingerprint.to_le_bytes());
        header[32..48].copy_from_slice(&key.0.to_le_bytes());
        header[48..56].copy_from_slice(&length.to_le_bytes());
        header[NONCE].copy_from_slice(&nonce);
        header[OWNER].copy_from_slice(&owner.0.to_be_bytes());
        header
    }

    /// The whole file of a block; `None` when its owner has no secret.
    pub(crate) fn seal(&self, key: BlockKey, contents: &[u8]) -> Option<Vec<u8>> {
        let owner = scheduler::owner(contents);
        let cipher = self.key(owner)?;
        let nonce = seal::random();
        let header = self.header(key, owner, contents.len() as u64, nonce);
        let mut file = Vec::with_capacity(HEADER + contents.len() + TAG);
        file.extend_from_slice(&header);
        file.extend_from_slice(contents);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = cipher
            .seal_in_place_separate_tag(nonce, Aad::from(&header), &mut file[HEADER..])
            .expect("a block is far below AES-GCM's 64 GiB");
        file.extend_from_slice(tag.as_ref());
        Some(file)
    }

    /// The contents of the block `key`, if the file is that and nothing else.
    /// Read into the buffer that is returned and decrypted there: at 1.5 MB a
    /// block, each copy would cost as much as a quarter of the decryption.
    pub(crate) fn open(&self, key: BlockKey, file: &mut File) -> Option<Vec<u8>> {
        let length = file.metadata().ok()?.len().checked_sub(OVERHEAD)?;
        let mut header = [0; HEADER];
        file.read_exact(&mut header).ok()?;
        let nonce = header[NONCE].try_into().expect("the range has 12 bytes");
        let owner = scheduler::owner(&header[OWNER]);
        if header != self.header(key, owner, length, nonce) {
            return None;
        }
        let cipher = self.key(owner)?;
        let sealed = usize::try_from(length).ok()?.checked_add(TAG)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(sealed).ok()?;
        if file.take(sealed as u64).read_to_end(&mut bytes).ok()? != sealed {
            return None;
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        let plain = cipher.open_in_place(nonce, Aad::from(&header), &mut bytes).ok()?.len();
        bytes.truncate(plain);
        Some(bytes)
    }
}
