//! Whether a file is an adapter that a model could take.
//!
//! Checked before it is ever routed to, and again when it is loaded: llama.cpp
//! would find some of this out while a request waits, and the rest by ending
//! the process.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use gguf::Header;
use report::Report;

/// Checks an adapter's header against the architecture of its base model. Blocks.
///
/// # Errors
/// EN0008, with what does not fit.
pub fn check_adapter(path: &Path, arch: &str) -> Result<(), Report> {
    let refused = |why: String| {
        Report::new("EN0008", "the file is not an adapter for this model")
            .at(path.display().to_string())
            .because(why)
    };
    let file = File::open(path).map_err(|e| refused(e.to_string()))?;
    let length = file.metadata().map_err(|e| refused(e.to_string()))?.len();
    let header =
        Header::read(BufReader::with_capacity(1 << 16, file), length).map_err(|e| refused(e.to_string()))?;
    fits(&header, arch).map_err(refused)
}

fn fits(header: &Header, arch: &str) -> Result<(), String> {
    let is = |key: &str, wanted: &str| match header.text(key) {
        Some(found) if found == wanted => Ok(()),
        Some(found) => Err(format!("its `{key}` is \"{found:.40}\", not \"{wanted}\"")),
        None => Err(format!("it has no `{key}`, which would be \"{wanted}\"")),
    };
    is("general.type", "adapter")?;
    is("adapter.type", "lora")?;
    is("general.architecture", arch)?;
    let mut low_ranks = std::collections::BTreeMap::<&str, (bool, bool)>::new();
    for tensor in &header.tensors {
        let name = tensor.name.as_str();
        if let Some(base) = name.strip_suffix(".lora_a") {
            low_ranks.entry(base).or_default().0 = true;
        } else if let Some(base) = name.strip_suffix(".lora_b") {
            low_ranks.entry(base).or_default().1 = true;
        } else {
            return Err(format!("its tensor \"{name:.60}\" is neither `.lora_a` nor `.lora_b`"));
        }
    }
    match low_ranks.iter().find(|(_, (a, b))| !(*a && *b)) {
        Some((name, _)) => Err(format!("its tensor \"{name:.60}\" has one half only")),
        None if low_ranks.is_empty() => Err("it has no tensors".into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use gguf::Kind;
    use gguf::write::Writer;

    use super::*;

    fn told(arch: &str, kind: &str, tensors: &[&str]) -> Result<(), String> {
        let mut writer = Writer::new();
        writer.text("general.architecture", arch).text("general.type", kind).text("adapter.type", "lora");
        for name in tensors {
            writer.tensor(name, &[32, 4], Kind::F32);
        }
        let mut bytes = Vec::new();
        writer.finish(&mut bytes).map_err(|e| e.to_string())?;
        bytes.resize(bytes.len() + 512 * tensors.len(), 0);
        let header = Header::read(bytes.as_slice(), bytes.len() as u64).map_err(|e| e.to_string())?;
        fits(&header, "llama")
    }

    #[test]
    fn an_adapter_of_another_architecture_or_shape_is_refused_by_its_header() {
        let pair = ["blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_b"];
        assert_eq!(told("llama", "adapter", &pair), Ok(()));
        let refused = |arch, kind, tensors: &[&str], word: &str| {
            let why = told(arch, kind, tensors).expect_err("it does not fit");
            assert!(why.contains(word), "{why}");
        };
        refused("qwen2", "adapter", &pair, "general.architecture");
        refused("llama", "model", &pair, "general.type");
        refused("llama", "adapter", &pair[..1], "one half");
        refused("llama", "adapter", &["blk.0.attn_q.weight"], "neither");
        refused("llama", "adapter", &[], "no tensors");
    }
}
