//! A folder of somebody's model: its weights' header and its small files, in one input.
#![no_main]

use gguf::import::{Folder, plan};
use gguf::safetensors::Safetensors;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // The parts in their order, with a zero byte between them: none of them may hold one.
    let mut parts = data.splitn(5, |byte| *byte == 0);
    let mut next = || parts.next().unwrap_or_default();
    let (config, tokenizer, vocabulary, pooling) = (next(), next(), next(), next());
    let weights = next();
    let Ok(tensors) = Safetensors::read(weights, weights.len() as u64) else { return };
    for entry in tensors.tensors.values() {
        assert!(entry.at + entry.bytes <= weights.len() as u64, "a tensor outside of the file passed");
    }
    for (tokenizer, vocabulary) in [(Some(tokenizer), None), (None, Some(vocabulary))] {
        let folder = Folder {
            name: "fuzzed",
            config,
            tokenizer,
            vocabulary,
            pooling: (!pooling.is_empty()).then_some(pooling),
            ..Folder::default()
        };
        if let Ok(plan) = plan(&folder, &tensors) {
            let mut out = Vec::new();
            let mut source = std::io::Cursor::new(weights);
            if plan.write(&mut source, &mut out, |_| {}).is_ok() {
                let header = gguf::Header::read(&out[..], out.len() as u64).expect("what is written is read");
                gguf::check_model(&header).expect("what is imported may be loaded");
            }
        }
    }
});
