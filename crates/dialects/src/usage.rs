//! Usage objects, made disjoint.
