//! What clients and models write, in any pieces, under every guard.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| guards::fuzz(data));
