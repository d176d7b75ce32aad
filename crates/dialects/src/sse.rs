//! Server-sent events, pushed in as they arrive.
