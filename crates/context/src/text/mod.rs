//! Text made plain: what a person sees of it, its words, and what a query asks for.

mod clean;
mod query;
mod script;
mod stop;
mod words;

pub use clean::{Clean, Removed, Unseen, clean};
pub use query::{Cut, QUERY_BYTES_MAX, Query, TERMS_MAX};
pub use script::{Lexing, Script, lexing, script};
pub use stop::is_stop;
pub use words::words;

pub(crate) use script::{SCRIPTS, of as script_of};
pub(crate) use words::{for_each_word, is_negation};

#[cfg(test)]
mod tests;
