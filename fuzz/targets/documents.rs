//! Documents of every format, from bytes to chunks.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| context::parse::fuzz(data));
