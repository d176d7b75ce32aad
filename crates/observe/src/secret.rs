//! A text that must appear in no log, error or trace.

use zeroize::Zeroizing;

/// An API key, a token, a passphrase. It has neither `Debug` nor `Display`, so
/// it cannot be formatted, and a struct that holds it cannot derive `Debug`
/// by accident. Erased when dropped.
///
/// ```compile_fail
/// let secret = observe::Secret::new("bp-canary");
/// println!("{secret:?}");
/// ```
/// ```compile_fail
/// let secret = observe::Secret::new("bp-canary");
/// observe::info!("key_used", key = secret);
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(Zeroizing::new(text.into()))
    }
    /// The text, for the one place that sends or compares it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
