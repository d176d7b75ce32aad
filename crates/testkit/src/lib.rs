//! The world around Bedplate, faked: a provider that can misbehave in every
//! way seen in the field, a model hub, a vault, and a harness for the real binary; and a real database.
//!
//! Blocking sockets and one thread per connection, on purpose: a fake that
//! shares no code with what it tests, can cut a response at any byte, and
//! notices a closed connection by reading from it. Nothing here is fast.

pub mod client;
pub mod harness;
pub mod http;
pub mod hub;
pub mod mcp;
pub mod postgres;
pub mod provider;
pub mod shelf;
pub mod vault;

pub use client::{Answer, Ask, Open};
/// A file to serve, made where it is needed: the one thing here that is not a fake.
pub use gguf::{random_embedder, random_reranker};
pub use harness::Bedplate;
pub use hub::Hub;
pub use mcp::{McpServer, Says};
pub use postgres::Postgres;
pub use provider::{Behaviour, End, Phase, Provider, Seen};
pub use shelf::Shelf;
pub use vault::Vault;
