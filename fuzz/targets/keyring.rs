//! A key ring's file, of both formats.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = seal::check_ring_text(&String::from_utf8_lossy(data));
});
