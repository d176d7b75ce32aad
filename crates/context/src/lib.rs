//! The context layer's pure part: from bytes to blocks, chunks, terms and vectors;
//! from two arms' candidates to an order that can be explained; what makes a kept
//! answer the same answer; what a memory may hold.
//!
//! Pure and synchronous: no clock, no randomness, no storage. The `retrieval` role
//! asks the store and the embedder, and brings what they say here.
//!
//! The way of a document: [`parse::parse`] → [`chunk::chunks`] → [`embed`]. The way
//! of a question: [`text::Query::read`] → [`plan::plan`] → both arms, outside →
//! [`rank::rank`]. Where a collection keeps a graph, [`graph`] makes its edges and walks them.
//! Before and after them stand [`cache`] and [`memory`]; [`source`] is the port of what a collection reads itself;
//! [`eval`] says how good it was.
//!
//! Invariants: text that a person would not see is never indexed, and what was left
//! out is kept as evidence; a chunk's text is its span of the document's text; no
//! caller's text is ever query syntax; no input panics; everything that grows is
//! bounded; a vector under one name is the same on every machine.

pub mod cache;
pub mod chunk;
pub mod embed;
pub mod eval;
pub mod graph;
pub mod memory;
pub mod parse;
pub mod plan;
pub mod rank;
pub mod source;
pub mod text;
