//! The leaf: what happened, in one value that has exactly one encoding.
//!
//! A leaf is a CBOR map with small whole numbers as keys (the table in
//! [`Leaf::encode`] is the format). What is not known is absent, never
//! invented: a request that no guard looked at has no verdicts, and its coverage
//! says zero bytes scanned. A leaf says the oldest version that has all of its
//! keys (what it says decides it, so that it still has one encoding); a newer one
//! than is known here is read as far as it is known, since its hash covers all
//! of it anyway.
//!
//! Version 2 has `salts`. Commitments in leaves of version 1 are salted from one
//! secret of the deployment.
//!
//! Texts and lists are cut at bounds, because what clients send (a model's
//! name) ends up here and an entry of a tile bundle has at most 65,535 bytes.

use units::{KeyId, Micros, OrgId, RequestId, TeamId, UserId, Uuid7};

use crate::cbor::{ARRAY, MAP, Reader, Writer};
use crate::{Error, Hash};

/// The largest leaf: the length of an entry in a bundle has two bytes.
pub const LEAF_BYTES_MAX: usize = store::LEAF_BYTES_MAX;
/// The newest version that is known.
const VERSION: u64 = 2;
/// Bytes of a text; longer ones are cut.
const TEXT_MAX: usize = 512;
/// Bytes of a text in a list.
const WORD_MAX: usize = 128;
/// Items of a list: the design has at most 32 policies, and fewer guards.
const LIST_MAX: usize = 64;

/// What happened. Times are as the clock said, which may go backwards: the
/// order of the log is that of its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Leaf {
    pub time: Micros,
    pub org: Option<OrgId>,
    pub team: Option<TeamId>,
    /// Whose key it was.
    pub key: Option<KeyId>,
    pub user: Option<UserId>,
    /// `infer`, or an operation of the control API (`apply`, `create_key`...).
    pub action: String,
    /// What it was done to: a model, a key, a manifest.
    pub resource: String,
    /// `allow` or `deny`, and why in one line.
    pub decision: String,
    /// Of the set of policies that was in force.
    pub policy_set: Option<Hash>,
    /// The policies that determined the decision.
    pub policies: Vec<String>,
    pub guards: Vec<Verdict>,
    /// `provider/model` that answered.
    pub target: String,
    /// SHA-256 of the model's file, where it is ours.
    pub model: Option<Hash>,
    /// `units::Labels` as text.
    pub labels: String,
    /// By axis, those that are not zero, in any order.
    pub tokens: Vec<(String, u64)>,
    pub cost_pico: i64,
    pub request: Option<Hash>,
    pub response: Option<Hash>,
    /// Which version of the team's key for salts both commitments are salted from (of the
    /// platform's, where no team is); 0: they are not there, or of before teams had such keys.
    pub salts: u32,
    pub request_bytes: Coverage,
    pub response_bytes: Coverage,
    pub request_id: Option<RequestId>,
    /// `completed`, `refused LG0201`, `abandoned`...
    pub outcome: String,
}

/// What a guard found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub guard: String,
    pub version: String,
    pub verdict: String,
}

/// How much of what was sent had been looked at by every guard in force: bytes of
/// text where guards looked, else none of the body's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Coverage {
    pub scanned: u64,
    pub sent: u64,
}

impl Leaf {
    /// The one encoding. Never fails: texts and lists beyond their bounds are
    /// cut, at a character.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Fields { count: 0, body: Writer(Vec::with_capacity(512)) };
        let mut tokens: Vec<(&str, u64)> =
            self.tokens.iter().map(|(axis, n)| (cut(axis, WORD_MAX), *n)).filter(|(_, n)| *n > 0).collect();
        // The order of encoded keys: the shorter first, then by bytes.
        tokens.sort_unstable_by(|a, b| (a.0.len(), a.0).cmp(&(b.0.len(), b.0)));
        tokens.dedup_by(|a, b| a.0 == b.0);
        tokens.truncate(LIST_MAX);
        fields.key(0).unsigned(if self.salts == 0 { 1 } else { 2 });
        fields.key(1).integer(self.time.0);
        fields.id(2, self.org.map(|i| i.0));
        fields.id(3, self.team.map(|i| i.0));
        fields.id(4, self.key.map(|i| i.0));
        fields.id(5, self.user.map(|i| i.0));
        fields.text(6, &self.action);
        fields.text(7, &self.resource);
        fields.text(8, &self.decision);
        fields.hash(9, self.policy_set);
        if !self.policies.is_empty() {
            let policies = &self.policies[..self.policies.len().min(LIST_MAX)];
            let w = fields.key(10);
            w.head(ARRAY, policies.len() as u64);
            policies.iter().for_each(|policy| w.text(cut(policy, WORD_MAX)));
        }
        if !self.guards.is_empty() {
            let guards = &self.guards[..self.guards.len().min(LIST_MAX)];
            let w = fields.key(11);
            w.head(ARRAY, guards.len() as u64);
            for guard in guards {
                w.head(ARRAY, 3);
                [&guard.guard, &guard.version, &guard.verdict].iter().for_each(|t| w.text(cut(t, WORD_MAX)));
            }
        }
        fields.text(12, &self.target);
        fields.hash(13, self.model);
        fields.text(14, &self.labels);
        if !tokens.is_empty() {
            let w = fields.key(15);
            w.head(MAP, tokens.len() as u64);
            for (axis, n) in tokens {
                w.text(axis);
                w.unsigned(n);
            }
        }
        if self.cost_pico != 0 {
            fields.key(16).integer(self.cost_pico);
        }
        fields.hash(17, self.request);
        fields.hash(18, self.response);
        fields.coverage(19, self.request_bytes);
        fields.coverage(20, self.response_bytes);
        fields.id(21, self.request_id.map(|i| i.0));
        fields.text(22, &self.outcome);
        if self.salts != 0 {
            fields.key(23).unsigned(u64::from(self.salts));
        }
        let mut leaf = Writer(Vec::with_capacity(fields.body.0.len() + 2));
        leaf.head(MAP, fields.count);
        leaf.0.extend_from_slice(&fields.body.0);
        leaf.0
    }

    /// Reads what [`Leaf::encode`] wrote, and nothing else: every other byte
    /// sequence is refused, so that equal leaves are equal bytes.
    pub fn decode(bytes: &[u8]) -> Result<Leaf, Error> {
        if bytes.len() > LEAF_BYTES_MAX {
            return Err(Error::Leaf { what: "it is too long", at: LEAF_BYTES_MAX });
        }
        let mut r = Reader::new(bytes);
        let fields = r.map(LEAF_BYTES_MAX)?;
        if fields == 0 || r.unsigned()? != 0 {
            return Err(r.wrong("a version must come first"));
        }
        let version = r.unsigned()?;
        if version == 0 {
            return Err(r.wrong("version 0"));
        }
        let mut leaf = Leaf::default();
        let mut last = 0;
        for _ in 1..fields {
            let key = r.unsigned()?;
            if key <= last {
                return Err(r.wrong("keys out of order"));
            }
            last = key;
            match read(&mut leaf, key, &mut r)? {
                true => {}
                false if version > VERSION => r.skip()?,
                false => return Err(r.wrong("a key that this version does not have")),
            }
        }
        r.end()?;
        // What is empty is left out: an empty field would be a second encoding, and
        // a version that its keys do not need too.
        if version <= VERSION && leaf.encode() != bytes {
            return Err(r.wrong("an empty field that should be absent, or another version"));
        }
        Ok(leaf)
    }
}

/// Reads the value of a key into its field; false when there is no such key.
fn read(leaf: &mut Leaf, key: u64, r: &mut Reader<'_>) -> Result<bool, Error> {
    let id = |r: &mut Reader<'_>| r.array().map(Uuid7::from_bytes);
    let hash = |r: &mut Reader<'_>| r.array().map(Hash);
    match key {
        1 => leaf.time = Micros(r.integer()?),
        2 => leaf.org = Some(OrgId(id(r)?)),
        3 => leaf.team = Some(TeamId(id(r)?)),
        4 => leaf.key = Some(KeyId(id(r)?)),
        5 => leaf.user = Some(UserId(id(r)?)),
        6 => leaf.action = r.text(TEXT_MAX)?,
        7 => leaf.resource = r.text(TEXT_MAX)?,
        8 => leaf.decision = r.text(TEXT_MAX)?,
        9 => leaf.policy_set = Some(hash(r)?),
        10 => {
            for _ in 0..r.list(LIST_MAX)? {
                leaf.policies.push(r.text(WORD_MAX)?);
            }
        }
        11 => {
            for _ in 0..r.list(LIST_MAX)? {
                if r.list(3)? != 3 {
                    return Err(r.wrong("no guard, version and verdict"));
                }
                leaf.guards.push(Verdict {
                    guard: r.text(WORD_MAX)?,
                    version: r.text(WORD_MAX)?,
                    verdict: r.text(WORD_MAX)?,
                });
            }
        }
        12 => leaf.target = r.text(TEXT_MAX)?,
        13 => leaf.model = Some(hash(r)?),
        14 => leaf.labels = r.text(TEXT_MAX)?,
        15 => {
            for _ in 0..r.map(LIST_MAX)? {
                leaf.tokens.push((r.text(WORD_MAX)?, r.unsigned()?));
            }
        }
        16 => leaf.cost_pico = r.integer()?,
        17 => leaf.request = Some(hash(r)?),
        18 => leaf.response = Some(hash(r)?),
        19 => leaf.request_bytes = coverage(r)?,
        20 => leaf.response_bytes = coverage(r)?,
        21 => leaf.request_id = Some(RequestId(id(r)?)),
        22 => leaf.outcome = r.text(TEXT_MAX)?,
        23 => leaf.salts = u32::try_from(r.unsigned()?).map_err(|_| r.wrong("a version of salts"))?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn coverage(r: &mut Reader<'_>) -> Result<Coverage, Error> {
    if r.list(2)? != 2 {
        return Err(r.wrong("no scanned and sent"));
    }
    Ok(Coverage { scanned: r.unsigned()?, sent: r.unsigned()? })
}

struct Fields {
    count: u64,
    body: Writer,
}

impl Fields {
    fn key(&mut self, key: u64) -> &mut Writer {
        self.count += 1;
        self.body.unsigned(key);
        &mut self.body
    }
    fn text(&mut self, key: u64, text: &str) {
        let text = cut(text, TEXT_MAX);
        if !text.is_empty() {
            self.key(key).text(text);
        }
    }
    fn id(&mut self, key: u64, id: Option<Uuid7>) {
        if let Some(id) = id {
            self.key(key).bytes(id.as_bytes());
        }
    }
    fn hash(&mut self, key: u64, hash: Option<Hash>) {
        if let Some(hash) = hash {
            self.key(key).bytes(&hash.0);
        }
    }
    fn coverage(&mut self, key: u64, coverage: Coverage) {
        if coverage != Coverage::default() {
            let w = self.key(key);
            w.head(ARRAY, 2);
            w.unsigned(coverage.scanned);
            w.unsigned(coverage.sent);
        }
    }
}

/// At most `bytes`, cut at a character.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
pub(crate) mod tests;
