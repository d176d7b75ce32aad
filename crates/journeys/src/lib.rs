//! What users, providers, disks and signals do to the running process.
//!
//! Every test starts the real binary (`$BEDPLATE_BIN`, which `cargo xtask test`
//! sets) on a directory and a port of its own, and looks at it only from
//! outside: HTTP, the command line, files, signals. Nothing of Bedplate's code
//! is linked here, so nothing can be agreed upon behind the user's back.

mod bucket;
mod command;
mod folder;
pub mod issuer;
mod world;

pub use bucket::Bucket;
pub use command::{Ran, bedplate};
pub use folder::Folder;
pub use world::{PROVIDER_KEY, Setup, World, price};

use std::path::PathBuf;
use std::time::Duration;

/// The binary under test; without it the calling test is skipped, aloud.
#[expect(clippy::disallowed_methods, reason = "the test runner says in the environment what to test")]
pub fn binary() -> Option<PathBuf> {
    let found = std::env::var_os("BEDPLATE_BIN").map(PathBuf::from);
    match &found {
        None => eprintln!("SKIPPED: set BEDPLATE_BIN to the bedplate binary (`cargo xtask test` does)"),
        Some(path) => assert!(path.is_file(), "BEDPLATE_BIN is {}: no such file", path.display()),
    }
    found
}

/// A number from the environment: how long to try.
#[expect(clippy::disallowed_methods, reason = "the test runner says in the environment how long to test")]
pub fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Asks again until there is an answer.
///
/// # Panics
/// After 20 seconds without one.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..2_000 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("waited in vain until {what}")
}
