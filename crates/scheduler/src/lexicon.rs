//! A vocabulary in the order of its bytes.

use std::sync::Arc;

use crate::{Token, Vocab};

/// The tokens that say something, sorted by what they say: those that begin with
/// the same bytes stand together. Four bytes a token beside the [`Vocab`].
#[derive(Debug)]
pub struct Lexicon {
    vocab: Arc<Vocab>,
    sorted: Vec<Token>,
    /// Bytes of the longest token that begins with each byte.
    longest: Vec<usize>,
}

impl Lexicon {
    /// Sorts: about 50 ms for 150,000 tokens. Tokens that end a turn say nothing.
    pub fn new(vocab: Arc<Vocab>) -> Lexicon {
        let speaks = |t: &Token| !vocab.piece(*t).is_empty() && !vocab.ends_turn(*t);
        let mut sorted: Vec<Token> = (0..vocab.len() as Token).filter(speaks).collect();
        sorted.sort_unstable_by(|a, b| vocab.piece(*a).cmp(vocab.piece(*b)));
        let mut longest = vec![0; 256];
        for token in &sorted {
            let piece = vocab.piece(*token);
            let most = &mut longest[usize::from(piece[0])];
            *most = piece.len().max(*most);
        }
        Lexicon { vocab, sorted, longest }
    }

    pub(crate) fn piece(&self, token: Token) -> &[u8] {
        self.vocab.piece(token)
    }
    /// Tokens of the whole vocabulary, those that say nothing included.
    pub(crate) fn size(&self) -> usize {
        self.vocab.len()
    }
    pub(crate) fn tokens(&self) -> &[Token] {
        &self.sorted
    }

    /// The tokens that begin with `bytes`, of which there must be one.
    pub(crate) fn starting_with(&self, bytes: &[u8]) -> &[Token] {
        if bytes.len() > self.longest[usize::from(bytes[0])] {
            return &[];
        }
        let from = self.sorted.partition_point(|t| self.piece(*t) < bytes);
        let rest = &self.sorted[from..];
        &rest[..rest.partition_point(|t| self.piece(*t).starts_with(bytes))]
    }
}
