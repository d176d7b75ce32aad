//! The scripted provider as a process, for test suites in other languages and demos:
//! prints `{"url":"http://127.0.0.1:PORT"}` and serves until its input closes.
//!
//! `testkit-provider [PORT]`

use std::io::Read as _;

fn main() -> anyhow::Result<()> {
    let port = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 0,
    };
    let provider = testkit::Provider::start_on(port)?;
    println!("{}", serde_json::json!({ "url": provider.url() }));
    // Ends with whoever started it, also when that was killed.
    let mut block = [0; 1024];
    while std::io::stdin().read(&mut block)? > 0 {}
    Ok(())
}
