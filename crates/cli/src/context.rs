//! What a command takes from its surroundings: the one place that reads the environment.

use std::path::PathBuf;

use report::Report;

use crate::Failure;

/// A variable of the environment; empty counts as absent.
#[expect(clippy::disallowed_methods, reason = "the one place of the command line that reads the environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The data directory: as given, else `$BEDPLATE_HOME`, else `~/.local/share/bedplate`.
///
/// # Errors
/// When none of them is known.
pub fn data_dir(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    given
        .or_else(|| environment("BEDPLATE_HOME").map(PathBuf::from))
        .or_else(|| environment("HOME").map(|home| PathBuf::from(home).join(".local/share/bedplate")))
        .ok_or_else(|| {
            Report::new("CL0010", "no data directory is known")
                .because("neither $BEDPLATE_HOME nor $HOME is set")
                .hint("give one with `--data DIR`")
                .into()
        })
}
