//! The Model Context Protocol on the wire: JSON-RPC 2.0 messages, and of MCP
//! the part that tools need.
//!
//! Both sides of a gateway read what strangers send: a client's request, a
//! server's answer. Everything here is bytes in, values out, with limits; what
//! is beyond them is an error with JSON-RPC's own code. Two families of
//! revisions are spoken: those with a handshake (2025-03-26 to 2025-11-25) and
//! the stateless one (2026-07-28).

mod rpc;
mod tools;

pub use rpc::{Id, Message, RpcError, decode, failure, notification, request, success};
pub use tools::{CallResult, Page, definition, disarm, read_call, read_page};

/// Revisions with `initialize`, the newest last.
pub const HANDSHAKE: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];

/// The revision without: each request carries its version in `_meta`.
pub const STATELESS: &str = "2026-07-28";

/// Keys of `_meta` in the stateless revision.
pub const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub const META_CLIENT: &str = "io.modelcontextprotocol/clientInfo";
pub const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// JSON-RPC's codes, and those that MCP adds.
pub const PARSE_ERROR: i64 = -32_700;
pub const INVALID_REQUEST: i64 = -32_600;
pub const METHOD_NOT_FOUND: i64 = -32_601;
pub const INVALID_PARAMS: i64 = -32_602;
pub const INTERNAL_ERROR: i64 = -32_603;
pub const UNSUPPORTED_VERSION: i64 = -32_022;

/// Bytes of one message. A page of 500 tools with their schemas has about 1 MB.
pub const MESSAGE_MAX: usize = 4 << 20;
/// Tools of one server; what is beyond is not offered.
pub const TOOLS_MAX: usize = 512;
/// Bytes of one tool's description, and of its schema.
pub const DESCRIPTION_MAX: usize = 16 << 10;
pub const SCHEMA_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests;
