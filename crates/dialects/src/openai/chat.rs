//! Chat completions, as OpenAI documents them and as its imitators extend them:
//! `reasoning_content` or `reasoning` on messages, `top_k`, `min_p`,
//! `repetition_penalty`, OpenRouter's `reasoning` object.

mod answer;
mod decode;
mod encode;

pub use answer::{decode_response, encode_response};
pub use decode::decode;
pub use encode::encode;

pub(crate) use answer::{finish_from, finish_word, head, place, read_logprobs, read_top, write_logprobs};
pub(crate) use decode::{Common, tools_lost_to_text};
pub(crate) use encode::{write_rest, write_sampling};
