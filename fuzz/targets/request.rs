//! What clients send: the JSON scan, the splice, every decoder and encoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dialects::fuzz::request(data));
