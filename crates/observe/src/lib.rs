//! What an operator sees: metrics, logs, timings. Never a secret.
//!
//! Everything here may lose data and never waits: a full log queue drops lines
//! and counts them, a full label set folds into `other`. What must not be lost
//! (money, audit) does not come through this crate.

pub mod log;
pub mod metrics;
mod secret;
mod standard;
mod timing;

pub use log::{Level, Log, Value};
pub use metrics::{Counter, Family, Gauge, Histogram, Registry};
pub use secret::Secret;
pub use standard::{EngineMetrics, Metrics};
pub use timing::ServerTiming;
