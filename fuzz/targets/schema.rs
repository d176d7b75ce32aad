//! JSON schemas, regular expressions and grammars of strangers: refused, or
//! compiled and followed for a few tokens; never a panic, an endless loop, or a
//! set of tokens that is empty.
#![no_main]

use std::sync::OnceLock;

use constrain::{Grammar, Piece, Vocabulary};

const TOKENS: u32 = 258;

fn vocabulary() -> &'static Vocabulary {
    static BUILT: OnceLock<Vocabulary> = OnceLock::new();
    BUILT.get_or_init(|| {
        let bytes = (0..=255u8).map(|b| Piece::Text(vec![b]));
        let marks = ["<think>", "<|end|>"].map(|m| Piece::Mark(m.into()));
        Vocabulary::new(bytes.chain(marks), &[TOKENS - 1]).expect("it ends")
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [kind, seed, rest @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let grammar = match kind % 8 {
        0 => Grammar::Regex(text.into()),
        1 => Grammar::Lark(text.into()),
        _ => Grammar::JsonSchema(text.into()),
    };
    let Ok(mut state) = vocabulary().compile(&grammar) else { return };
    let mut random = u32::from(*seed);
    for _ in 0..24 {
        let mut words = [0u32; TOKENS.div_ceil(32) as usize];
        if state.allow(&mut words).is_err() {
            return;
        }
        let allowed: Vec<u32> = (0..TOKENS).filter(|t| words[*t as usize / 32] >> (t % 32) & 1 == 1).collect();
        assert!(!allowed.is_empty(), "nothing is allowed and it is no error");
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let token = allowed[random as usize % allowed.len()];
        state.accept(token).expect("it was allowed");
        if token == TOKENS - 1 {
            assert!(state.is_complete());
            return;
        }
    }
});
