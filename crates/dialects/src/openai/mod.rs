//! OpenAI's dialects, and those of everybody who speaks alike.

pub mod chat;
pub mod completions;
pub mod embeddings;
pub mod models;
mod structured;
