//! Templates, values and answers of knowledge graphs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| graphquery::fuzz(data));
