//! What this machine says about the energy it uses.
//!
//! A [`Counter`] counts joules and never says watts: a counter between two
//! readings is exact whatever happened meanwhile, a gauge is a sample. One
//! source is one file and one line in [`all`]. What a counter covers is more
//! than the work that one looks for: a processor's package is the machine's,
//! idle share and neighbours included. Where there is no counter there is no
//! number; nothing here estimates.

mod meter;
mod nvml;
mod power;
mod rapl;

use std::path::Path;

pub use meter::{Meter, Spent};
pub use power::Power;

/// Counts energy since some beginning of its own.
pub trait Counter: Send {
    /// Stable, for a label: `package-0`, `gpu-1`.
    fn name(&self) -> &str;

    /// In microjoules. `None`: it cannot be read now.
    fn microjoules(&mut self) -> Option<u64>;

    /// It begins again after this many microjoules; `None`: it does not.
    fn range(&self) -> Option<u64>;
}

/// What was found, and what is there but may not be read.
#[derive(Default)]
pub struct Found {
    pub counters: Vec<Box<dyn Counter>>,
    /// Sentences for the operator.
    pub hidden: Vec<String>,
}

/// Every counter of this machine.
pub fn all() -> Found {
    let mut found = Found::default();
    nvml::find(&mut found);
    rapl::find(Path::new("/sys/class/powercap"), &mut found);
    found
}

/// The processor packages alone: for whoever compares work of processors.
pub fn packages() -> Found {
    let mut found = Found::default();
    rapl::find(Path::new("/sys/class/powercap"), &mut found);
    found
}
