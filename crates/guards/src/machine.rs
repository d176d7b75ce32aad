//! Many anchored automata over one stream of bytes.
//!
//! Searching a stream with one unanchored automaton tells where a match ends,
//! but not where the earliest one that could still come begins, and that is
//! what decides which bytes may be given away. So a machine is anchored and a
//! *thread* starts at every byte: nearly all die on their first or second
//! byte, and the oldest living one is the answer. Feeding bytes one at a time
//! makes every result independent of how a stream was cut.
//!
//! Matches are told one byte late (as `regex-automata` tells them), so that a
//! rule may look at the byte that follows.

use aho_corasick::automaton::Automaton as _;
use aho_corasick::nfa::contiguous;
use regex_automata::dfa::{Automaton as _, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored, MatchKind};

use crate::verdict::{Detector, Kind};

/// What a rule's check may look at.
pub(crate) struct Sight<'a> {
    /// Up to [`crate::hold::CONTEXT`] bytes before the match.
    pub before: &'a [u8],
    pub text: &'a [u8],
    /// The byte after it; `None` at the end of the text.
    pub next: Option<u8>,
}

/// A checksum, or what else a pattern cannot say.
pub(crate) type Check = fn(&Sight<'_>) -> bool;

/// One pattern of a machine.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    pub name: &'static str,
    pub kind: Kind,
    pub check: Option<Check>,
}

/// A set of rules that are looked for together, all of them ending alike.
pub(crate) struct Machine {
    pub detector: Detector,
    pub rules: Vec<Rule>,
    automaton: Automaton,
    /// Bytes that some match begins with.
    first: [bool; 256],
}

#[expect(clippy::large_enum_variant, reason = "a handful per process, never moved")]
enum Automaton {
    Dfa {
        dfa: dense::DFA<Vec<u32>>,
        /// The state before a byte, by the byte before it; the last at the beginning.
        starts: Vec<StateID>,
    },
    /// A tree of literal texts, and the rule of each.
    Literals { tree: contiguous::NFA, start: StateID, rules: Vec<usize>, whole_words: bool },
}

/// A match in the making.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Thread {
    /// Where it began, in bytes of the text.
    pub start: u64,
    /// Its start, or where it last matched.
    pub last: u64,
    state: StateID,
}

/// Threads of one machine alive at once. Text that keeps more alive is made to:
/// those in the same state are then joined, the oldest stays.
const THREADS_MAX: usize = 64;

impl Machine {
    /// Patterns in the syntax of `regex-syntax` over bytes, without Unicode.
    ///
    /// # Panics
    /// When a pattern is wrong: they are ours, and a test compiles them all.
    pub fn patterns(detector: Detector, patterns: &[(&str, Rule)]) -> Machine {
        let dfa = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .match_kind(MatchKind::All)
                    .start_kind(regex_automata::dfa::StartKind::Anchored)
                    .accelerate(false),
            )
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .build_many(&patterns.iter().map(|(p, _)| *p).collect::<Vec<_>>())
            .expect("the patterns are ours");
        let state = |before| {
            let config = start::Config::new().anchored(Anchored::Yes).look_behind(before);
            dfa.start_state(&config).expect("it was built for anchored searches, and no byte makes it quit")
        };
        let starts: Vec<StateID> = (0..=255u8).map(|b| state(Some(b))).chain([state(None)]).collect();
        let first =
            std::array::from_fn(|b| starts.iter().any(|s| !dfa.is_dead_state(dfa.next_state(*s, b as u8))));
        Machine {
            detector,
            rules: patterns.iter().map(|(_, rule)| *rule).collect(),
            automaton: Automaton::Dfa { dfa, starts },
            first,
        }
    }

    /// Literal texts, each with its rule. `ignore_case` folds ASCII letters.
    pub fn literals(
        detector: Detector,
        rules: Vec<Rule>,
        literals: &[(Vec<u8>, usize)],
        ignore_case: bool,
        whole_words: bool,
    ) -> Option<Machine> {
        let tree = contiguous::Builder::new()
            .ascii_case_insensitive(ignore_case)
            .match_kind(aho_corasick::MatchKind::Standard)
            .build(literals.iter().map(|(text, _)| text))
            .ok()?;
        let start = tree.start_state(aho_corasick::Anchored::Yes).ok()?;
        let start = StateID::new(start.as_usize()).ok()?;
        let of = literals.iter().map(|(_, rule)| *rule).collect();
        let from = aho_corasick::automaton::StateID::new_unchecked(start.as_usize());
        let first = std::array::from_fn(|b| {
            !tree.is_dead(tree.next_state(aho_corasick::Anchored::Yes, from, b as u8))
        });
        Some(Machine {
            detector,
            rules,
            automaton: Automaton::Literals { tree, start, rules: of, whole_words },
            first,
        })
    }

    /// Whether a match may begin with this byte.
    #[inline]
    pub fn begins(&self, byte: u8) -> bool {
        self.first[usize::from(byte)]
    }

    /// Takes one byte, which stands at `at` after `before`. Calls `hit` with the
    /// rule and start of every match that ends just before this byte.
    #[inline]
    pub fn step(
        &self,
        threads: &mut Vec<Thread>,
        at: u64,
        before: Option<u8>,
        byte: u8,
        mut hit: impl FnMut(usize, u64),
    ) {
        match &self.automaton {
            Automaton::Dfa { dfa, starts } => {
                if !threads.is_empty() {
                    threads.retain_mut(|thread| {
                        thread.state = dfa.next_state(thread.state, byte);
                        if !dfa.is_special_state(thread.state) {
                            return true;
                        }
                        if dfa.is_match_state(thread.state) {
                            thread.last = at;
                            for index in 0..dfa.match_len(thread.state) {
                                hit(dfa.match_pattern(thread.state, index).as_usize(), thread.start);
                            }
                        }
                        !dfa.is_dead_state(thread.state)
                    });
                }
                if self.begins(byte) {
                    let from = starts[before.map_or(256, usize::from)];
                    let state = dfa.next_state(from, byte);
                    if !dfa.is_dead_state(state) {
                        threads.push(Thread { start: at, last: at, state });
                    }
                }
            }
            Automaton::Literals { tree, start, rules, whole_words } => {
                let next = |state: StateID| {
                    let state = aho_corasick::automaton::StateID::new_unchecked(state.as_usize());
                    tree.next_state(aho_corasick::Anchored::Yes, state, byte)
                };
                if !threads.is_empty() {
                    threads.retain_mut(|thread| {
                        let state = aho_corasick::automaton::StateID::new_unchecked(thread.state.as_usize());
                        if tree.is_match(state) && !(*whole_words && is_word(byte)) {
                            thread.last = at;
                            for index in 0..tree.match_len(state) {
                                hit(rules[tree.match_pattern(state, index).as_usize()], thread.start);
                            }
                        }
                        let state = next(thread.state);
                        thread.state = StateID::new_unchecked(state.as_usize());
                        !tree.is_dead(state)
                    });
                }
                if self.begins(byte) && !(*whole_words && before.is_some_and(is_word)) {
                    let state = next(*start);
                    if !tree.is_dead(state) {
                        let state = StateID::new_unchecked(state.as_usize());
                        threads.push(Thread { start: at, last: at, state });
                    }
                }
            }
        }
        if threads.len() > THREADS_MAX {
            join(threads);
        }
    }

    /// The matches that the end of the text completes. The threads stay.
    pub fn end(&self, threads: &[Thread], mut hit: impl FnMut(usize, u64)) {
        for thread in threads {
            match &self.automaton {
                Automaton::Dfa { dfa, .. } => {
                    let state = dfa.next_eoi_state(thread.state);
                    if dfa.is_match_state(state) {
                        for index in 0..dfa.match_len(state) {
                            hit(dfa.match_pattern(state, index).as_usize(), thread.start);
                        }
                    }
                }
                Automaton::Literals { tree, rules, .. } => {
                    let state = aho_corasick::automaton::StateID::new_unchecked(thread.state.as_usize());
                    if tree.is_match(state) {
                        for index in 0..tree.match_len(state) {
                            hit(rules[tree.match_pattern(state, index).as_usize()], thread.start);
                        }
                    }
                }
            }
        }
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        match &self.automaton {
            Automaton::Dfa { dfa, .. } => dfa.memory_usage(),
            Automaton::Literals { tree, .. } => tree.memory_usage(),
        }
    }
}

/// Threads in the same state will do the same from here on: one is enough.
fn join(threads: &mut Vec<Thread>) {
    let mut seen = std::collections::HashSet::with_capacity(threads.len());
    threads.retain(|thread| seen.insert(thread.state));
    // Only text made for it gets here. The oldest hold the most text back.
    threads.truncate(16 * THREADS_MAX);
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}
