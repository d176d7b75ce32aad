//! Anthropic's dialect.

pub mod count_tokens;
pub mod messages;
pub mod models;
