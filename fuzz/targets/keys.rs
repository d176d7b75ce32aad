//! What is presented as an API key.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    if policy::shape(&text).is_ok() {
        assert_eq!(text.len(), policy::KEY_CHARS);
    }
});
