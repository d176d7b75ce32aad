//! What providers answer, in every dialect.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dialects::fuzz::answer(data));
