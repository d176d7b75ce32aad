//! A model's tokens, as grammars see them, and the grammars compiled over them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use scheduler::{Constraint, Token};

use crate::state::State;
use crate::{Error, Grammar};

/// Compiled grammars that are kept: a product uses a handful.
const KEPT: usize = 32;
/// Schemas nest on the stack, about 3 KB for a level and reference: enough for
/// the depths that `schema` allows, several times over.
const STACK_BYTES: usize = 32 << 20;
/// Lexer work for one token set: 200,000 is about 15 ms, the library's default.
const STEP_FUEL: u64 = 200_000;

/// What one token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of text; none: the token never appears in constrained text.
    Text(Vec<u8>),
    /// A mark such as `<tool_call>`: never part of a text, only itself.
    Mark(String),
}

/// A model's vocabulary. Building it takes about a second for 150,000 tokens,
/// so build it once for each model, at the first use.
pub struct Vocabulary {
    factory: ParserFactory,
    marks: BTreeMap<String, Token>,
    ends: Arc<[Token]>,
    /// The newest last.
    kept: Mutex<Vec<(Grammar, Matcher)>>,
}

impl std::fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vocabulary").field("marks", &self.marks).field("ends", &self.ends).finish()
    }
}

impl Vocabulary {
    /// `pieces` in the order of their tokens; `ends` are the tokens that end a
    /// turn, of which there must be one: text that cannot end is never complete.
    pub fn new(pieces: impl IntoIterator<Item = Piece>, ends: &[Token]) -> Result<Vocabulary, Error> {
        let mut marks = BTreeMap::new();
        let mut words: Vec<Vec<u8>> = Vec::new();
        for (token, piece) in (0..).zip(pieces) {
            words.push(match piece {
                // This byte is in no text, and begins a mark in the trie.
                Piece::Text(bytes) if bytes.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER) => Vec::new(),
                Piece::Text(bytes) => bytes,
                Piece::Mark(text) => {
                    let word = [&[TokTrie::SPECIAL_TOKEN_MARKER], text.as_bytes()].concat();
                    marks.entry(text).or_insert(token);
                    word
                }
            });
        }
        let ends: Arc<[Token]> = ends.iter().copied().filter(|t| (*t as usize) < words.len()).collect();
        let Some(first) = ends.first() else {
            return Err(Error::Invalid("the model has no token that ends a turn".into()));
        };
        // A turn's end is no text either, whatever its bytes.
        for end in ends.iter() {
            let word = &mut words[*end as usize];
            if word.first() != Some(&TokTrie::SPECIAL_TOKEN_MARKER) {
                *word = format!("\u{1}end{end}").into_bytes();
                word[0] = TokTrie::SPECIAL_TOKEN_MARKER;
            }
        }
        let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, *first), &words).with_eos_tokens(&ends);
        let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let slices = llguidance::earley::SlicedBiasComputer::general_slices();
        let mut factory = ParserFactory::new(&env, InferenceCapabilities::default(), &slices)
            .map_err(|e| Error::Invalid(e.to_string()))?;
        factory.quiet();
        *factory.limits_mut() =
            ParserLimits { step_lexer_fuel: STEP_FUEL, verbose_errors: false, ..ParserLimits::default() };
        Ok(Vocabulary { factory, marks, ends, kept: Mutex::default() })
    }

    /// The token of a mark, where the vocabulary has one for it.
    pub(crate) fn mark(&self, text: &str) -> Option<Token> {
        self.marks.get(text).copied()
    }

    /// Checks and compiles a grammar: milliseconds the first time, as long as a
    /// second for the largest that is taken; then copied from the last ones.
    pub fn compile(&self, grammar: &Grammar) -> Result<Box<dyn Constraint>, Error> {
        if let Some(matcher) = self.keep(grammar, None) {
            return Ok(State::boxed(matcher, Arc::clone(&self.ends)));
        }
        let program = grammar.program(self)?;
        let matcher = self.build(program)?;
        // What nothing can begin, nothing satisfies.
        let mut probe = matcher.deep_clone();
        match probe.compute_mask_or_eos() {
            Ok(mask) if !mask.is_zero() => {}
            Ok(_) => return Err(Error::Contradiction("no text can begin".into())),
            Err(e) => return Err(Error::Contradiction(reason(&e.to_string()))),
        }
        self.keep(grammar, Some(matcher.deep_clone()));
        Ok(State::boxed(matcher, Arc::clone(&self.ends)))
    }

    /// A copy of what is kept for `grammar`, after keeping `new`.
    fn keep(&self, grammar: &Grammar, new: Option<Matcher>) -> Option<Matcher> {
        let mut kept = self.kept.lock().unwrap_or_else(|e| e.into_inner());
        let entry = match kept.iter().position(|(g, _)| g == grammar) {
            Some(at) => kept.remove(at),
            None => (grammar.clone(), new?),
        };
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        let copy = entry.1.deep_clone();
        kept.push(entry);
        Some(copy)
    }

    /// On a thread of its own: a deep schema must not end a worker's stack.
    fn build(&self, program: TopLevelGrammar) -> Result<Matcher, Error> {
        let built = std::thread::scope(|scope| {
            std::thread::Builder::new()
                .name("grammar".into())
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, || Matcher::new(self.factory.create_parser(program)))
                .map(|thread| thread.join())
        });
        let matcher = match built {
            Ok(Ok(matcher)) => matcher,
            Ok(Err(_)) => return Err(Error::Invalid("the grammar broke its compiler".into())),
            Err(e) => return Err(Error::Invalid(format!("no thread could be started: {e}"))),
        };
        match matcher.get_error() {
            None => Ok(matcher),
            Some(e) => Err(refusal(&e)),
        }
    }
}

/// The library's words, as one of our kinds.
fn refusal(text: &str) -> Error {
    let why = match text.contains("panic:") {
        // The library's words are about its own code.
        true => "it broke the compiler of grammars".to_owned(),
        false => reason(text),
    };
    let lower = text.to_ascii_lowercase();
    if lower.contains("unsatisfiable") || lower.contains("empty range") || lower.contains("regex is empty") {
        return Error::Contradiction(why);
    }
    if lower.contains("oneof constraints") {
        let keyword = "oneOf".to_owned();
        let why = "its branches could both match; give them a property with different constants".to_owned();
        return Error::Unsupported { keyword, at: "one place".into(), why };
    }
    Error::Invalid(why)
}

/// One line, without the library's own state.
pub(crate) fn reason(text: &str) -> String {
    let text = text.split("\n<").next().unwrap_or(text);
    let text = text.split("<backtrace>").next().unwrap_or(text);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(300).collect()
}
