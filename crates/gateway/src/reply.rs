//! What came back from a target, before any of it is given to the client.

use bytes::Bytes;
use dialects::Dialect;
use engine_process::Generation;
use report::Report;

use crate::models::Lease;

/// The beginning of an answer. From here on nothing is tried again.
#[expect(
    clippy::large_enum_variant,
    reason = "one per request, moved once; a box would be an allocation on the hot path"
)]
pub(crate) enum Reply {
    /// A provider's whole answer, in its dialect.
    Whole { wire: Dialect, body: Bytes, dropped: Vec<String> },
    /// A provider's stream, and the first part of it.
    Frames {
        wire: Dialect,
        response: net::client::Response,
        first: Bytes,
        stripped: bool,
        dropped: Vec<String>,
    },
    /// The local engine at work, and what keeps its model in memory.
    Engine(Generation, Lease),
}

/// Why an attempt brought no answer.
pub(crate) struct Trouble {
    pub report: Report,
    /// Another attempt may succeed.
    pub elsewhere: bool,
    /// And may do so at this same target.
    pub again: bool,
    /// The target is unwell: its breaker should know.
    pub unwell: bool,
    pub retry_after_ms: Option<u64>,
}

impl Trouble {
    /// The request itself is at fault: no target will take it.
    pub fn final_(report: Report) -> Trouble {
        Trouble { report, elsewhere: false, again: false, unwell: false, retry_after_ms: None }
    }
    /// This target cannot, another may.
    pub fn elsewhere(report: Report) -> Trouble {
        Trouble { elsewhere: true, ..Trouble::final_(report) }
    }
    /// This target is unwell.
    pub fn unwell(report: Report) -> Trouble {
        Trouble { elsewhere: true, again: true, unwell: true, ..Trouble::final_(report) }
    }
}
