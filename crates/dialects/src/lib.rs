//! Wire formats and the canonical words, in both directions.
//!
//! Only this crate knows a provider's JSON. It is pure: bytes in, bytes out;
//! the time is an argument. Two paths run through it:
//!
//! * **Same dialect** (client and target speak alike): [`scan`] reads the few
//!   fields the gateway needs in one pass, [`splice`] edits the body in place
//!   as a list of slices, [`Tee`] watches the answer go by. Unknown fields and
//!   key order survive byte for byte (TRAPS S2).
//! * **Translation**: [`decode_request`] → `chat::Request` → [`encode_request`],
//!   [`StreamDecoder`] → `chat::Event` → [`StreamEncoder`]. Every parameter is
//!   mapped, dropped with its name listed, or refused.
//!
//! Invariants: no input panics; every buffer is bounded; a stream's bytes may be
//! split anywhere; a bad event never ends a stream (S1); a stream without a
//! finish is cut, not complete (S4).

pub mod anthropic;
mod error;
pub mod extension;
mod fields;
pub mod file_search;
pub mod fuzz;
#[cfg(test)]
mod golden;
mod json;
pub mod openai;
pub mod providers;
pub mod rerank;
pub mod scan;
pub mod splice;
pub mod sse;
mod stream;
mod tee;
mod upstream;
mod usage;

use bytes::Bytes;

pub use error::Error;
pub use extension::{Extension, Recall, Rerank, Retrieve};
pub use providers::{Auth, Provider, Quirks};
pub use scan::{Envelope, scan};
pub use splice::{Pieces, Rewrite, rewrite};
pub use stream::{Ending, StreamDecoder, StreamEncoder, StreamOptions};
pub use tee::{Sighting, Tee, usage_of};
pub use upstream::{UpstreamError, decode_error, encode_error};

/// A wire format, of a client or of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    OpenaiChat,
    OpenaiCompletions,
    OpenaiEmbeddings,
    AnthropicMessages,
    Rerank,
}

impl Dialect {
    pub const ALL: [Dialect; 5] = [
        Dialect::OpenaiChat,
        Dialect::OpenaiCompletions,
        Dialect::OpenaiEmbeddings,
        Dialect::AnthropicMessages,
        Dialect::Rerank,
    ];

    /// The stable name, in manifests, logs and errors.
    pub const fn name(self) -> &'static str {
        match self {
            Dialect::OpenaiChat => "openai-chat",
            Dialect::OpenaiCompletions => "openai-completions",
            Dialect::OpenaiEmbeddings => "openai-embeddings",
            Dialect::AnthropicMessages => "anthropic-messages",
            Dialect::Rerank => "rerank",
        }
    }
    /// Where a client finds it here; what follows a provider's base URL is [`Provider::path`].
    pub const fn client_path(self) -> &'static str {
        match self {
            Dialect::OpenaiChat => "/v1/chat/completions",
            Dialect::OpenaiCompletions => "/v1/completions",
            Dialect::OpenaiEmbeddings => "/v1/embeddings",
            Dialect::AnthropicMessages => "/v1/messages",
            Dialect::Rerank => "/v1/rerank",
        }
    }
    /// Whose envelope its errors wear.
    pub const fn is_anthropic(self) -> bool {
        matches!(self, Dialect::AnthropicMessages)
    }
}

/// A client's request, read completely.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    pub dialect: Dialect,
    pub request: chat::Request,
    /// Top-level fields without a canonical meaning: name and JSON text, in
    /// order. They are written again to a target of the same dialect, and
    /// listed as dropped to any other.
    pub rest: Vec<(String, Bytes)>,
    /// Fields inside messages and tools without a canonical meaning
    /// (`messages.cache_control`): lost by any target once a request is decoded.
    pub lost: Vec<String>,
}

/// A request as a target reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    pub body: Bytes,
    /// The parameters the target cannot be told: a response header names them.
    pub dropped: Vec<String>,
}

/// Reads a whole chat-like request. [`openai::embeddings`] and [`rerank`] have their own.
///
/// # Errors
/// DI0001-DI0005 as [`scan`]; DI0004 for a field of the wrong type or range;
/// DI0006 for what no canonical request can say (several prompts in one call).
pub fn decode_request(dialect: Dialect, body: &Bytes) -> Result<Decoded, Error> {
    match dialect {
        Dialect::OpenaiChat => openai::chat::decode(body),
        Dialect::OpenaiCompletions => openai::completions::decode(body),
        Dialect::AnthropicMessages => anthropic::messages::decode(body),
        Dialect::OpenaiEmbeddings | Dialect::Rerank => Err(not_a_chat(dialect)),
    }
}

/// Writes a request for a target. `model` is the target's own name for it.
///
/// # Errors
/// DI0006 for a parameter that changes the answer and cannot be translated.
pub fn encode_request(
    dialect: Dialect,
    quirks: &Quirks,
    model: &str,
    decoded: &Decoded,
) -> Result<Encoded, Error> {
    if let Some(name) = decoded.form_unread().filter(|_| dialect != decoded.dialect) {
        return Err(Error::Untranslatable {
            parameter: name.into(),
            target: dialect.name(),
            because: "an answer that ignored it would look as if it had kept it".into(),
        });
    }
    match dialect {
        Dialect::OpenaiChat => openai::chat::encode(quirks, model, decoded),
        Dialect::OpenaiCompletions => openai::completions::encode(quirks, model, decoded),
        Dialect::AnthropicMessages => anthropic::messages::encode(quirks, model, decoded),
        Dialect::OpenaiEmbeddings | Dialect::Rerank => Err(not_a_chat(dialect)),
    }
}

/// Reads a target's whole answer.
///
/// # Errors
/// UP0004: not JSON, or without the fields that make it an answer.
pub fn decode_response(dialect: Dialect, body: &[u8]) -> Result<chat::Response, Error> {
    match dialect {
        Dialect::OpenaiChat => openai::chat::decode_response(body),
        Dialect::OpenaiCompletions => openai::completions::decode_response(body),
        Dialect::AnthropicMessages => anthropic::messages::decode_response(body),
        Dialect::OpenaiEmbeddings | Dialect::Rerank => Err(not_a_chat(dialect)),
    }
}

/// Writes a whole answer for a client. Its `id` and `model` are written as they
/// stand, so set them to what the client may see.
pub fn encode_response(dialect: Dialect, response: &chat::Response) -> Bytes {
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiEmbeddings | Dialect::Rerank => {
            openai::chat::encode_response(response)
        }
        Dialect::OpenaiCompletions => openai::completions::encode_response(response),
        Dialect::AnthropicMessages => anthropic::messages::encode_response(response),
    }
}

fn not_a_chat(dialect: Dialect) -> Error {
    Error::Untranslatable {
        parameter: "input".into(),
        target: dialect.name(),
        because: "vectors, scores and chat are different jobs".into(),
    }
}
