//! One file per kind: its fields, their bounds, and how they are read.

pub(crate) mod budget;
pub(crate) mod collection;
pub(crate) mod database;
pub(crate) mod feature;
pub(crate) mod graph;
pub(crate) mod guard;
pub(crate) mod labels;
pub(crate) mod local;
pub(crate) mod model;
pub(crate) mod oauth;
pub(crate) mod policy;
pub(crate) mod provider;
pub(crate) mod source;
pub(crate) mod team;
pub(crate) mod tool;
