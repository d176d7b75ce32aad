//! What a client asks for.

/// One inference request, whatever dialect it came in.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Request {
    /// The name the client asked for; never an upstream's name.
    pub model: String,
    /// In order; `Role::System` may stand anywhere.
    pub messages: Vec<Message>,
    pub tools: Vec<Tool>,
    pub tool_choice: ToolChoice,
    pub parallel_tool_calls: Option<bool>,
    pub sampling: Sampling,
    /// Most tokens to produce per choice, reasoning included. `None`: the model's own limit.
    pub max_tokens: Option<u32>,
    /// Texts that end a choice; they are not part of the answer.
    pub stop: Vec<String>,
    /// How many choices; at least 1.
    pub n: u32,
    /// `Some(k)`: the log-probability of each token, and of its `k` best alternatives (0-20).
    pub logprobs: Option<u8>,
    pub format: Format,
    pub reasoning: Option<Reasoning>,
    pub stream: bool,
    /// The client asked for usage inside the stream.
    pub stream_usage: bool,
    /// The client's own name for its end user.
    pub user: Option<String>,
    pub tier: Tier,
    /// Legacy completions: the answer starts with the prompt.
    pub echo: bool,
    /// Legacy completions: text after the hole.
    pub suffix: Option<String>,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    System,
    User,
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// One turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub role: Role,
    pub parts: Vec<Part>,
    pub name: Option<String>,
}

/// A piece of a turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    Text(String),
    Image(Image),
    /// The model asks for a tool. `arguments` is JSON text, exactly as produced.
    ToolCall {
        id: String,
        name: String,
        arguments: String,
    },
    /// What the tool answered to call `id`.
    ToolResult {
        id: String,
        parts: Vec<Part>,
        is_error: bool,
    },
    /// Thinking made visible; `signature` is the provider's seal, passed back unchanged.
    Reasoning {
        text: String,
        signature: Option<String>,
    },
    Refusal(String),
}

/// An image, by reference or by value.
#[derive(Clone, Debug, PartialEq)]
pub enum Image {
    Url {
        url: String,
        detail: Option<String>,
    },
    /// `data` is base64 as received.
    Inline {
        media_type: String,
        data: String,
        detail: Option<String>,
    },
}

/// A function the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    pub name: String,
    pub description: Option<String>,
    /// JSON Schema, as JSON text.
    pub parameters: Option<String>,
    pub strict: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Default)]
pub enum ToolChoice {
    #[default]
    Auto,
    None,
    /// Some tool must be called.
    Required,
    Named(String),
}

/// How tokens are drawn. `None` leaves the target's default.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Sampling {
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    pub top_k: Option<u32>,
    pub min_p: Option<f32>,
    pub presence_penalty: Option<f32>,
    pub frequency_penalty: Option<f32>,
    pub repetition_penalty: Option<f32>,
    pub seed: Option<i64>,
    /// (token id, bias), in the client's order.
    pub logit_bias: Vec<(u32, f32)>,
}

/// The shape the answer must have.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Format {
    #[default]
    Text,
    JsonObject,
    /// `schema` is JSON text.
    JsonSchema {
        name: String,
        schema: String,
        strict: Option<bool>,
    },
    /// The regular expression matches all of the answer.
    Regex(String),
    /// A grammar in Lark, in the form that llguidance reads; `start` is where it begins.
    Grammar(String),
}

/// How much to think before answering.
#[derive(Clone, Debug, PartialEq)]
pub enum Reasoning {
    /// `minimal`, `low`, `medium`, `high`: the dialect's own word.
    Effort(String),
    /// At most this many thinking tokens.
    Budget(u32),
    Off,
}

/// The service tier asked for or served.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum Tier {
    /// Nothing asked: the provider's default.
    #[default]
    Standard,
    Auto,
    Flex,
    Priority,
    Batch,
    Other(String),
}

/// A request for vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedRequest {
    pub model: String,
    pub input: Vec<EmbedInput>,
    pub dimensions: Option<u32>,
    /// `true`: little-endian f32 as base64; `false`: a JSON list of numbers.
    pub base64: bool,
    pub user: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum EmbedInput {
    Text(String),
    Tokens(Vec<u32>),
}

/// A request to order documents by how well they answer a query.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct RerankRequest {
    pub model: String,
    pub query: String,
    pub documents: Vec<String>,
    /// Only so many are returned, the best; `None`: all.
    pub top_n: Option<u32>,
    /// Their texts come back with their scores.
    pub return_documents: bool,
}

impl Request {
    /// A request with the defaults every dialect shares.
    pub fn new(model: impl Into<String>) -> Request {
        Request { model: model.into(), n: 1, ..Request::default() }
    }
}

impl Message {
    pub fn text(role: Role, text: impl Into<String>) -> Message {
        Message { role, parts: vec![Part::Text(text.into())], name: None }
    }
}
