//! Guards: they look at text and say what is in it; the gateway acts.
//!
//! Pure and synchronous. One canonical input, `chat::Request` and `chat::Event`,
//! whatever dialect a client or target speaks; encoders come after. Text
//! detectors are sensors, not the gate: what an agent may do after reading
//! something hostile is decided by labels and policy, which these findings feed.
//!
//! Two kinds of rule. **Hard** rules are automata whose first match is bounded:
//! personal data, secrets, canaries, phrases. They run over streams with a
//! bounded hold-back, and nothing that they replace leaks by a byte, however
//! the stream is cut. **Soft** ones (the injection sensor, soft deny lists, a remote
//! detector) judge a whole text: of answers, a sentence at a time, which waits for
//! the verdict within a declared budget and no longer.
//!
//! Invariants: no finding holds the text that it is about; scanned bytes are
//! sent bytes; every decision depends on the bytes alone, never on how they were
//! cut; no input panics; everything that grows is bounded.

mod fuzz;
mod hold;
pub mod injection;
mod lane;
mod machine;
mod pii;
mod request;
mod script;
mod secrets;
mod shield;
mod soft;
mod stream;
mod vault;
mod verdict;

pub use fuzz::fuzz;
pub use request::{NEED_BYTES_MAX, Need, Screening};
pub use script::Script;
pub use secrets::{ENCODINGS, KNOWN_BYTES_MAX, KNOWN_BYTES_MIN, KNOWN_MAX, vendor_rules};
pub use shield::{Deny, Limits, Release, Remote, Secrets, Sensor, Shield, Spec, unsaid};
pub use soft::Question;
pub use stream::{StreamGuard, names};
pub use vault::Vault;
pub use verdict::{Action, Detector, FINDINGS_MAX, Finding, Kind, Place, Verdict};
