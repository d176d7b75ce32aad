//! What tokens say.

use crate::Token;

/// The bytes of every token, in one block: a lookup is two loads, and 150,000
/// tokens cost 1.5 MB and not 150,000 allocations.
#[derive(Clone, Debug, Default)]
pub struct Vocab {
    bytes: Vec<u8>,
    /// Where each token's bytes end.
    ends: Vec<u32>,
    /// Tokens that end a turn, sorted.
    end_of_turn: Vec<Token>,
}

impl Vocab {
    /// `pieces` in the order of their tokens; `end_of_turn` the tokens that end an answer.
    pub fn new<P: AsRef<[u8]>>(pieces: impl IntoIterator<Item = P>, end_of_turn: Vec<Token>) -> Vocab {
        let mut vocab = Vocab { end_of_turn, ..Vocab::default() };
        vocab.end_of_turn.sort_unstable();
        for piece in pieces {
            vocab.bytes.extend(piece.as_ref());
            vocab.ends.push(vocab.bytes.len() as u32);
        }
        vocab
    }
    pub fn len(&self) -> usize {
        self.ends.len()
    }
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
    /// The bytes of a token; not always whole characters, empty for control tokens.
    pub fn piece(&self, token: Token) -> &[u8] {
        let i = token as usize;
        let Some(&end) = self.ends.get(i) else { return &[] };
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.bytes[start as usize..end as usize]
    }
    pub fn ends_turn(&self, token: Token) -> bool {
        self.end_of_turn.binary_search(&token).is_ok()
    }
}
