//! What providers stream: SSE in any split.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dialects::fuzz::stream(data));
