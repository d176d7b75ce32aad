//! Bytes of a leaf: what is accepted of a known version has exactly one encoding.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(leaf) = audit::Leaf::decode(data) {
        // A newer version may carry what this one does not write.
        let version = data.get(if data[0] == 0xb8 { 3 } else { 2 });
        assert!(leaf.encode() == data || version.is_some_and(|version| *version > 2));
    }
});
