//! Guessing the next tokens from the text itself, where that pays.
//!
//! What followed the last three tokens the last time they stood together is a
//! guess that costs nothing to make. Answers that quote their prompt are
//! guessed well; most are not. So each guess is first only compared with what
//! was drawn, and computed ahead only when the share of right ones makes it
//! worth the rows, by the measured time of a step.
//!
//! A guessed row is drawn from like any other and kept only if the draw is the
//! guess, so the text is the same with and without.

use std::collections::{BTreeMap, VecDeque};

use crate::Token;
use crate::fit::StepTime;

/// Tokens that must stand together for a guess.
const GRAM: usize = 3;
/// Most tokens guessed at once.
pub(crate) const AHEAD_MAX: usize = 6;
/// A guess must promise this much more than it costs.
const MARGIN: f64 = 1.1;

#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// Where each run of tokens ended last.
    ends: BTreeMap<[Token; GRAM], usize>,
    /// Tokens that are in `ends`.
    seen: usize,
    /// Share of guesses that were right, lately.
    right: f64,
    /// What was guessed to follow.
    guessed: VecDeque<Token>,
}

impl Default for Draft {
    fn default() -> Draft {
        Draft { ends: BTreeMap::new(), seen: 0, right: 0.3, guessed: VecDeque::new() }
    }
}

impl Draft {
    /// What may follow `tokens`, at most [`AHEAD_MAX`].
    pub(crate) fn guess(&mut self, tokens: &[Token]) -> &VecDeque<Token> {
        // The last run is looked up before it is learned, or it would find itself.
        while self.seen + 1 < tokens.len() {
            self.seen += 1;
            if let Some(gram) = gram(&tokens[..self.seen]) {
                self.ends.insert(gram, self.seen);
            }
        }
        self.guessed.clear();
        if let Some(at) = gram(tokens).and_then(|g| self.ends.get(&g)) {
            self.guessed.extend(tokens[*at..].iter().take(AHEAD_MAX));
        }
        &self.guessed
    }

    /// Learns whether the guess was right, computed ahead or not.
    pub(crate) fn drawn(&mut self, token: Token) {
        if let Some(guess) = self.guessed.pop_front() {
            self.was(guess == token);
        }
    }

    /// How many guesses to compute ahead, beside `rows` others.
    pub(crate) fn worth(&self, time: StepTime, rows: u32, context: u64) -> usize {
        if !time.is_known() {
            return 0;
        }
        let alone = time.predict(rows, context);
        let (mut best, mut best_rate) = (0, MARGIN);
        let (mut expected, mut chance) = (0.0, 1.0);
        for ahead in 1..=AHEAD_MAX {
            chance *= self.right;
            expected += chance;
            let cost = time.predict(rows + ahead as u32, context) / alone.max(1.0);
            // One choice of `rows` gains; the others wait the longer.
            let rate = (f64::from(rows) + expected) / f64::from(rows) / cost;
            if rate > best_rate {
                (best, best_rate) = (ahead, rate);
            }
        }
        best
    }

    fn was(&mut self, right: bool) {
        let seen = if right { 1.0 } else { 0.0 };
        self.right += (seen - self.right) * 0.15;
    }
}

fn gram(tokens: &[Token]) -> Option<[Token; GRAM]> {
    tokens.last_chunk::<GRAM>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repetition_is_guessed_and_new_text_is_not() {
        let mut draft = Draft::default();
        assert_eq!(draft.guess(&[1, 2, 3, 4, 5, 6, 1, 2, 3]), &[4, 5, 6, 1, 2, 3]);
        assert!(draft.guess(&[1, 2, 3, 4, 5, 6, 1, 2, 3, 9]).is_empty());
    }

    #[test]
    fn guessing_is_used_only_while_it_pays() {
        let cheap = StepTime { base_us: 8000.0, row_us: 100.0, steps: 100, ..StepTime::default() };
        let dear = StepTime { base_us: 100.0, row_us: 8000.0, ..cheap };
        let mut draft = Draft::default();
        for _ in 0..50 {
            draft.was(true);
        }
        assert_eq!((draft.worth(cheap, 1, 0), draft.worth(dear, 1, 0)), (AHEAD_MAX, 0));
        for _ in 0..50 {
            draft.was(false);
        }
        assert_eq!(draft.worth(cheap, 1, 0), 0);
        assert_eq!(draft.worth(StepTime::default(), 1, 0), 0);
    }
}
