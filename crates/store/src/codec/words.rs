//! Words that nearly every record repeats, written as one byte.
//!
//! Part of the stored format: append only, never reorder. Sixty-four are one
//! byte each; later ones take two. Saves about a third of a record.

macro_rules! words {
    ($($index:literal $word:literal)*) => {
        pub(super) fn index(text: &str) -> Option<u8> {
            match text {
                $($word => Some($index),)*
                _ => None,
            }
        }
        pub(super) fn word(index: u64) -> Option<&'static str> {
            match index {
                $($index => Some($word),)*
                _ => None,
            }
        }
    };
}

words! {
    0 ""
    1 "accept"
    2 "decode"
    3 "identify"
    4 "admit"
    5 "screen"
    6 "prepare"
    7 "plan"
    8 "dispatch"
    9 "stream"
    10 "settle"
    11 "openai.chat"
    12 "openai.completions"
    13 "openai.embeddings"
    14 "openai.responses"
    15 "anthropic.messages"
    16 "chat"
    17 "completion"
    18 "embedding"
    19 "judge"
    20 "guard"
    21 "input"
    22 "cache_read"
    23 "cache_write"
    24 "cache_write_1h"
    25 "input_audio"
    26 "output"
    27 "reasoning"
    28 "output_audio"
    29 "request"
    30 "machine"
    31 "energy"
    32 "local"
    33 "openai"
    34 "anthropic"
    35 "default"
    36 "standard"
    37 "suspense:unpriced"
    38 "bedplate-guide"
    39 "public anywhere trusted"
    40 "public anywhere user"
    41 "invoke"
    42 "embed"
    43 "bedplate-grant"
}
