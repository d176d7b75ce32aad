//! A model file's header, before the C++ loader may see it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(header) = gguf::Header::read(data, data.len() as u64) {
        let room = gguf::Room { cells: 4096, step_rows: 512, outputs: 8, kv_element_bytes: 2 };
        let _ = gguf::check_model(&header);
        let _ = gguf::estimate(&header, room);
        assert!(header.weight_bytes() <= data.len() as u64, "tensors larger than the file passed");
    }
});
