//! Engines that begin anew: after a team was erased.
//!
//! What an engine has computed of prompts lies in its cells and its memory, of
//! all teams beside each other. An erasure is rare and must be whole, so the
//! engine goes with all of it instead of being searched: what others had comes
//! back from the disk, encrypted under their own keys, or is computed again.

use std::sync::Arc;

use super::keeper::Inner;
use super::{Key, Models};

impl Models {
    /// Lets every loaded engine go with its last request, and with it all that it
    /// has computed; the next request loads another. An idle one goes at once.
    /// Reads the files' headers.
    pub fn begin_anew(&self) {
        self.inner.begin_anew();
    }
}

impl Inner {
    fn begin_anew(self: &Arc<Inner>) {
        let loaded: Vec<Key> = {
            let state = self.state();
            let slots = state.slots.values().filter(|slot| slot.engine.is_some());
            slots.map(|slot| slot.key.clone()).collect()
        };
        for key in loaded {
            let found = self.read(&key);
            let mut state = self.state();
            let Some(wish) = state.declared.get(&key).map(|declared| declared.wish) else { continue };
            // As if the file had been replaced: by the same.
            let leftover = self.put(&mut state, &key, wish, found, Default::default());
            drop(state);
            drop(leftover);
        }
    }
}
