//! What can go wrong, and how a person is told.

use report::{Report, Retry};

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The prompt does not fit, or leaves no room for one token.
    #[error("the prompt has {prompt} tokens and the model's context has {context}")]
    TooLong { prompt: u32, context: u32 },
    #[error("{queued} requests are waiting and the queue holds {max}")]
    QueueFull { queued: usize, max: usize },
    /// The engine, or the model on it, failed; the text is for the operator.
    #[error("{0}")]
    Failed(String),
    /// The request's deadline passed.
    #[error("the deadline passed before the answer was complete")]
    Late,
    /// The request needs what the local engine or this model cannot do.
    #[error("{0}")]
    Unsupported(String),
    /// A schema or grammar that cannot be enforced exactly.
    #[error("the answer cannot be held to what was asked: {0}")]
    Schema(String),
    /// A schema or grammar that nothing satisfies.
    #[error("the answer cannot be held to what was asked: {0}")]
    Contradiction(String),
    /// The model's own chat template refused or broke.
    #[error("the model's chat template failed: {0}")]
    Template(String),
    #[error("{path} is not a model that can be loaded: {source}")]
    Model { path: String, source: gguf::Error },
    #[error("the model needs {need} bytes and {have} are allowed")]
    Memory { need: u64, have: u64 },
    /// The engine's own process ended: what was in flight is lost, and the next
    /// request starts it again.
    #[error("{0}")]
    Crashed(String),
}

impl Error {
    pub fn report(&self) -> Report {
        match self {
            Error::TooLong { prompt, context } => Report::new(
                "EN0001",
                format!("the prompt has {prompt} tokens and the model's context has {context}"),
            )
            .hint(format!("shorten the prompt to at most {} tokens", context.saturating_sub(1))),
            Error::QueueFull { queued, max } => {
                Report::new("EN0002", format!("{queued} requests are waiting and the queue holds {max}"))
                    .retry(Retry::After(1))
            }
            Error::Failed(why) => Report::new("EN0003", "the engine failed").because(why.clone()),
            Error::Late => Report::new("EN0013", "the deadline passed before the answer was complete")
                .hint("ask for fewer tokens, or raise `timeouts.totalMs` of the model"),
            Error::Unsupported(what) => Report::new("EN0004", what.clone()),
            Error::Schema(why) => Report::new("EN0010", "the answer cannot be held to this schema")
                .because(why.clone())
                .hint("leave the keyword out, or ask without a strict schema and check the answer"),
            Error::Contradiction(why) => {
                Report::new("EN0011", "nothing satisfies this schema").because(why.clone())
            }
            Error::Template(why) => {
                Report::new("EN0004", "the model's chat template refused the messages").because(why.clone())
            }
            Error::Model { path, source } => {
                Report::new("EN0005", "the file is not a model that can be loaded")
                    .at(path.clone())
                    .because(source.to_string())
                    .hint("fetch it again, or convert it with a current tool")
            }
            Error::Crashed(why) => Report::new("EN0012", "the engine's process ended")
                .because(why.clone())
                .hint("the next request starts it again")
                .retry(Retry::After(1)),
            Error::Memory { need, have } => {
                Report::new("EN0006", format!("the model needs {need} bytes and {have} are allowed"))
                    .hint("lower the context (n_ctx), raise the memory limit, or use a smaller quantization")
            }
        }
    }
}
