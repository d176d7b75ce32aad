//! What answers must not say: known secrets and canaries, in every form that
//! their guards look for.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use ring::digest::{SHA256, digest};
use scheduler::{Banned, Lexicon, Vocab};

/// Texts that an answer must not hold. No `Debug` of them: they are secrets.
pub struct BannedTexts {
    id: u128,
    texts: Vec<Vec<u8>>,
}

impl BannedTexts {
    /// `None` when there are none.
    pub fn new(mut texts: Vec<Vec<u8>>) -> Option<Arc<BannedTexts>> {
        texts.retain(|text| !text.is_empty());
        texts.sort_unstable();
        texts.dedup();
        if texts.is_empty() {
            return None;
        }
        let mut all = Vec::with_capacity(texts.iter().map(|t| t.len() + 8).sum());
        for text in &texts {
            all.extend((text.len() as u64).to_le_bytes());
            all.extend_from_slice(text);
        }
        let hash = digest(&SHA256, &all);
        let id = hash.as_ref().first_chunk().map_or(0, |first| u128::from_le_bytes(*first));
        Some(Arc::new(BannedTexts { id, texts }))
    }
    /// The same for the same texts.
    pub fn id(&self) -> u128 {
        self.id
    }
    pub fn texts(&self) -> &[Vec<u8>] {
        &self.texts
    }
}

impl fmt::Debug for BannedTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BannedTexts").field("texts", &self.texts.len()).finish_non_exhaustive()
    }
}

impl PartialEq for BannedTexts {
    fn eq(&self, other: &BannedTexts) -> bool {
        self.id == other.id
    }
}

impl Eq for BannedTexts {}

/// The sets in use, over one model's vocabulary. One is forgotten with the last
/// caller that can name it, when another is made.
pub(crate) struct Bans {
    vocab: Arc<Vocab>,
    lexicon: OnceLock<Arc<Lexicon>>,
    made: Mutex<Vec<Made>>,
}

struct Made {
    id: u128,
    /// Who may still name it.
    user: Weak<BannedTexts>,
    set: Arc<Banned>,
}

impl Bans {
    pub(crate) fn new(vocab: Arc<Vocab>) -> Bans {
        Bans { vocab, lexicon: OnceLock::new(), made: Mutex::default() }
    }

    /// The set for these texts: made the first time, which takes some 20 ms for
    /// 150,000 tokens, and 50 ms more for the first of a model.
    pub(crate) fn set(&self, texts: &Arc<BannedTexts>) -> Arc<Banned> {
        let mut made = self.made.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(known) = made.iter_mut().find(|m| m.id == texts.id) {
            known.user = Arc::downgrade(texts);
            return Arc::clone(&known.set);
        }
        made.retain(|m| m.user.strong_count() > 0);
        let lexicon = self.lexicon.get_or_init(|| Arc::new(Lexicon::new(Arc::clone(&self.vocab))));
        let set = Arc::new(Banned::new(Arc::clone(lexicon), texts.texts.iter().cloned()));
        made.push(Made { id: texts.id, user: Arc::downgrade(texts), set: Arc::clone(&set) });
        set
    }
}
