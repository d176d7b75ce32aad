//! One choice's place in a grammar.

use std::fmt;
use std::sync::Arc;

use llguidance::Matcher;
use scheduler::{Allowed, Constraint, Token};

use crate::vocabulary::reason;

pub(crate) struct State {
    matcher: Matcher,
    /// Tokens that end a turn.
    ends: Arc<[Token]>,
    /// One of those came.
    ended: bool,
}

impl State {
    pub(crate) fn boxed(matcher: Matcher, ends: Arc<[Token]>) -> Box<dyn Constraint> {
        Box::new(State { matcher, ends, ended: false })
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Constraint for State {
    fn allow(&mut self, allowed: &mut [u32]) -> Result<Allowed, String> {
        if self.ended {
            for end in self.ends.iter() {
                if let Some(word) = allowed.get_mut(*end as usize / 32) {
                    *word |= 1 << (end % 32);
                }
            }
            return Ok(Allowed::Listed);
        }
        let mask = self.matcher.compute_mask_or_eos().map_err(|e| failed(&e.to_string()))?;
        let mut any = 0;
        for (word, may) in allowed.iter_mut().zip(mask.as_slice()) {
            *word |= may;
            any |= may;
        }
        if any == 0 {
            return Err("no token can follow: the grammar contradicts itself".into());
        }
        Ok(Allowed::Listed)
    }

    fn accept(&mut self, token: Token) -> Result<(), String> {
        if self.ends.contains(&token) {
            let may_end = self.ended
                || self.matcher.is_stopped() && !self.matcher.is_error()
                || self.matcher.is_accepting().map_err(|e| failed(&e.to_string()))?;
            self.ended = may_end;
            return if may_end { Ok(()) } else { Err("the text ended before it was complete".into()) };
        }
        if self.ended {
            return Err("a token came after the end".into());
        }
        self.matcher.consume_token(token).map_err(|e| failed(&e.to_string()))
    }

    fn is_complete(&self) -> bool {
        self.ended || self.matcher.is_stopped() && !self.matcher.is_error()
    }

    fn fork(&self) -> Box<dyn Constraint> {
        let matcher = self.matcher.deep_clone();
        Box::new(State { matcher, ends: Arc::clone(&self.ends), ended: self.ended })
    }
}

fn failed(text: &str) -> String {
    format!("the answer could not be held to its grammar: {}", reason(text))
}
