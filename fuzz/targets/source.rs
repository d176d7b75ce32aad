//! What sources of collections answer: feeds, and listings of buckets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sources::fuzz(data));
