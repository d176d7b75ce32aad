//! What a reader's process may answer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| formats::fuzz_frames(data));
