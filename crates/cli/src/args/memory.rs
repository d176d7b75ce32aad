//! `bedplate memory`: what is remembered of whoever asks.

use clap::{Args, Subcommand};

#[derive(Clone, Debug, Subcommand)]
pub enum Memory {
    /// Your conversations that are remembered, the newest first.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        limit: u32,
    },
    /// Turns that have these words, in any form; with an empty query the newest of a conversation.
    Search {
        query: String,
        /// Only in this conversation.
        #[arg(long, value_name = "NAME")]
        conversation: Option<String>,
        /// How many at most.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        limit: u32,
    },
    /// What is known of you, or was at a time.
    Facts {
        /// What held at this time: a day, or 2026-11-28T07:00:00Z.
        #[arg(long, value_name = "TIME")]
        valid: Option<String>,
        /// By what was known at this time.
        #[arg(long, value_name = "TIME")]
        known: Option<String>,
    },
    /// Every fact, replaced ones too, with the words in which you said so.
    Audit,
    /// Forget a conversation or everything: turns, facts, and cached answers that rest on them.
    Forget(MemoryForget),
    /// All of it as JSON, a value a line: turns in their order, then facts.
    Export,
}

#[derive(Clone, Debug, Args)]
pub struct MemoryForget {
    /// The conversation.
    #[arg(conflicts_with = "everything")]
    pub conversation: Option<String>,
    /// All that is remembered of you.
    #[arg(long)]
    pub everything: bool,
}
