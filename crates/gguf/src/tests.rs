use std::sync::LazyLock;

use proptest::prelude::*;

use crate::write::Writer;
use crate::*;

fn written() -> Vec<u8> {
    let mut file = Vec::new();
    let len = random_llama(Shape::TINY, 7, &mut file).expect("writing to memory");
    assert_eq!(len, file.len() as u64);
    file
}

fn tiny() -> Vec<u8> {
    static FILE: LazyLock<Vec<u8>> = LazyLock::new(written);
    FILE.clone()
}

fn read(file: &[u8]) -> Result<Header, Error> {
    let header = Header::read(file, file.len() as u64)?;
    check_model(&header)?;
    Ok(header)
}

fn header_len(file: &[u8]) -> usize {
    read(file).expect("a good file").data_start as usize
}

/// The byte after `needle`'s first place in the file.
fn after(file: &[u8], needle: &[u8]) -> usize {
    file.windows(needle.len()).position(|w| w == needle).expect("present") + needle.len()
}

/// A value's first byte: the key, then four bytes of type.
fn value_at(file: &[u8], key: &str) -> usize {
    after(file, key.as_bytes()) + 4
}

#[test]
fn a_written_model_is_read_back() {
    let header = read(&tiny()).expect("a good file");
    assert_eq!(header.arch(), "llama");
    assert_eq!(header.context_length(), 512);
    assert_eq!(header.vocab_len(), 512);
    assert_eq!(header.tensors.len(), 3 + 9 * 3);
    assert_eq!(header.parameters() * 4, header.weight_bytes());
    assert_eq!(header.pooling(), None);
    assert!(header.causal());
    let e = estimate(&header, Room { cells: 512, step_rows: 512, outputs: 8, kv_element_bytes: 2 })
        .expect("all keys");
    assert_eq!(e.kv, 512 * 3 * (32 + 32) * 2);
    assert_eq!(e.weights, header.weight_bytes());
}

#[test]
fn the_same_seed_writes_the_same_file() {
    assert_eq!(written(), written());
}

#[test]
fn trap_x7_a_file_cut_at_every_64th_byte_is_refused() {
    let shape =
        Shape { vocab: 300, width: 32, layers: 1, heads: 2, kv_heads: 1, feed_forward: 32, ..Shape::TINY };
    let mut file = Vec::new();
    random_llama(shape, 7, &mut file).expect("writing to memory");
    for cut in (0..file.len()).step_by(64) {
        read(&file[..cut]).expect_err("a cut file");
    }
    // And inside the part where the structure is.
    for cut in (0..header_len(&file)).step_by(13) {
        read(&file[..cut]).expect_err("a cut file");
    }
}

#[test]
fn trap_x7_forged_counts_are_refused_without_allocating() {
    let good = tiny();
    let tokens_len = after(&good, b"tokenizer.ggml.tokens") + 8;
    let scores_len = after(&good, b"tokenizer.ggml.scores") + 8;
    let name_len = value_at(&good, "general.name");
    for at in [8, 16, 24, tokens_len, scores_len, name_len] {
        for forged in [u64::MAX, i64::MAX as u64, 1 << 62, 1 << 40, 1 << 31, 1 << 24, 0] {
            let mut file = good.clone();
            file[at..at + 8].copy_from_slice(&forged.to_le_bytes());
            assert!(read(&file).is_err(), "count {forged} at byte {at}");
        }
    }
}

#[test]
fn trap_x7_forged_tensor_places_are_refused() {
    let good = tiny();
    // name, u32 dims, 2 x u64, u32 type, u64 offset
    let at = after(&good, b"blk.0.attn_q.weight");
    let (first, second, kind, offset) = (at + 4, at + 12, at + 20, at + 24);
    for forged in [u64::MAX, u64::MAX - 31, 1 << 63, 1 << 61, 1 << 33, 0, 33] {
        for place in [first, second, offset] {
            let mut file = good.clone();
            file[place..place + 8].copy_from_slice(&forged.to_le_bytes());
            assert!(read(&file).is_err(), "{forged} at byte {place}");
        }
    }
    for forged in [4u32, 5, 31, 38, 43, 1000, u32::MAX] {
        let mut file = good.clone();
        file[kind..kind + 4].copy_from_slice(&forged.to_le_bytes());
        assert!(read(&file).is_err(), "type {forged}");
    }
    for forged in [0u32, 5, u32::MAX] {
        let mut file = good.clone();
        file[at..at + 4].copy_from_slice(&forged.to_le_bytes());
        assert!(read(&file).is_err(), "{forged} dimensions");
    }
}

#[test]
fn trap_x7_numbers_on_which_the_loader_asserts_are_refused() {
    let good = tiny();
    for (key, values) in [
        ("llama.block_count", vec![0, 513, u32::MAX]),
        ("llama.embedding_length", vec![0, u32::MAX]),
        ("llama.attention.head_count", vec![0, 3, u32::MAX]),
        ("llama.attention.head_count_kv", vec![0, 3, 8, u32::MAX]),
        ("llama.rope.dimension_count", vec![0, 15, 64, u32::MAX]),
        ("llama.context_length", vec![0, u32::MAX]),
        ("tokenizer.ggml.bos_token_id", vec![512, 1 << 31]),
    ] {
        for v in values {
            let mut file = good.clone();
            let at = value_at(&file, key);
            file[at..at + 4].copy_from_slice(&v.to_le_bytes());
            assert!(read(&file).is_err(), "{key} = {v}");
        }
    }
}

#[test]
fn trap_x7_vocabularies_on_which_the_loader_dies_are_refused() {
    let good = tiny();
    let at = after(&good, b"<0xF");
    for byte in [b'2', b'Z', 0] {
        // `<0xF0>` becomes a second `<0x20>`-like token, or none.
        let mut file = good.clone();
        file[at] = byte;
        if byte == b'2' {
            file[at - 1] = b'E';
        }
        assert!(read(&file).is_err(), "{byte}");
    }
}

#[test]
fn versions_magic_and_alignment_are_checked() {
    let mut file = tiny();
    file[4] = 1;
    assert_eq!(read(&file), Err(Error::Version(1)));
    assert!(matches!(read(b"GGML\x03\0\0\0"), Err(Error::Magic(_))));
    for (alignment, good) in [(0, false), (24, false), (32, true), (1 << 31, false)] {
        let mut w = Writer::new();
        w.u32("general.alignment", alignment);
        let mut file = Vec::new();
        w.finish(&mut file).expect("memory");
        assert_eq!(Header::read(&file[..], file.len() as u64).is_ok(), good, "{alignment}");
    }
}

#[test]
fn a_key_or_tensor_that_appears_twice_is_refused() {
    let mut w = Writer::new();
    w.u32("a", 1).u32("a", 2);
    let mut file = Vec::new();
    w.finish(&mut file).expect("memory");
    assert_eq!(Header::read(&file[..], file.len() as u64), Err(Error::DuplicateKey("a".into())));
    let mut w = Writer::new();
    w.tensor("t", &[8], Kind::F32);
    w.tensor("t", &[8], Kind::F32);
    let mut file = Vec::new();
    w.finish(&mut file).expect("memory");
    file.extend([0; 64]);
    assert_eq!(Header::read(&file[..], file.len() as u64), Err(Error::DuplicateTensor("t".into())));
}

#[test]
fn the_trained_test_model_passes() {
    let Some(path) = shared("models/stories260K/stories260K.gguf") else {
        eprintln!("skipped: shared/data/models is absent");
        return;
    };
    let file = std::fs::read(path).expect("readable");
    let header = read(&file).expect("a good file");
    assert_eq!((header.arch(), header.vocab_len(), header.context_length()), ("llama", 512, 512));
    let start = header.data_start as usize;
    for cut in (0..start).step_by(64).chain((start..file.len()).step_by(16 << 10)) {
        read(&file[..cut]).expect_err("a cut file");
    }
}

fn shared(path: &str) -> Option<std::path::PathBuf> {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().map(|a| a.join("shared/data").join(path)).find(|p| p.exists())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_an_error_or_a_header(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(bytes);
        let _ = read(&file);
    }

    #[test]
    fn what_passes_after_a_mutation_still_fits_the_file(
        edits in proptest::collection::vec((0usize..2200, any::<u8>()), 1..6)
    ) {
        let mut file = tiny();
        for (at, byte) in edits {
            file[at] = byte;
        }
        if let Ok(header) = read(&file) {
            for t in &header.tensors {
                prop_assert!(header.data_start + t.offset + t.bytes <= file.len() as u64);
            }
            let room = Room { cells: 4096, step_rows: 512, outputs: 32, kv_element_bytes: 2 };
            let _ = estimate(&header, room);
        }
    }
}
