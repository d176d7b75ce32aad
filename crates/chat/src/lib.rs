//! The canonical vocabulary of inference.
//!
//! Plain values that every dialect is read into and written from. They are
//! deliberately not `Serialize`: what leaves the process leaves in a named,
//! versioned wire format, and only `dialects` knows those.

mod event;
mod request;
mod response;
mod usage;

pub use event::{Event, TokenLogprob, TopLogprob};
pub use request::{
    EmbedInput, EmbedRequest, Format, Image, Message, Part, Reasoning, Request, RerankRequest, Role,
    Sampling, Tier, Tool, ToolChoice,
};
pub use response::{Choice, EmbedResponse, Finish, Ranked, RerankResponse, Response};
pub use usage::{Axis, Usage, UsageSource};
