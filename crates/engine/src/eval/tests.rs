//! The measures against hand-made predictions, and on real weights.

use std::path::PathBuf;

use super::*;
use crate::{Quantization, measure_importance, quantize, quantize_by, weights_of};

const TEXT: &str = include_str!("tests/stories.txt");

#[test]
fn windows_cover_the_text_once_and_stay_within_it() {
    for (tokens, context, max) in [(1000, 512, 4096), (600, 512, 4096), (5000, 128, 1000), (40, 512, 4096)] {
        let w = Windows::new(tokens, context, max);
        assert!((w.count - 1) * w.stride + w.body <= tokens, "{w:?} reaches beyond {tokens}");
        assert!(w.scored() <= max && w.stride * 2 >= w.body - 1, "{w:?}");
        let more = Windows { count: w.count + 1, ..w };
        let ends = (more.count - 1) * w.stride + w.body;
        assert!(ends > tokens || more.scored() > max, "{w:?} leaves a window of {tokens} out");
    }
}

/// Any logits.
fn logits(seed: u32, len: u32) -> Vec<f32> {
    (0..len)
        .map(|i| ((i.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(97_531)) % 1000) as f32 / 100.0)
        .collect()
}

fn exact(a: &[f32], b: &[f32]) -> f64 {
    let (ta, tb) = (log_sum(a.iter()), log_sum(b.iter()));
    let each = a.iter().zip(b).map(|(a, b)| {
        let (p, q) = (f64::from(*a) - ta, f64::from(*b) - tb);
        p.exp() * (p - q)
    });
    each.sum()
}

#[test]
fn the_divergence_is_zero_of_equals_exact_with_all_tokens_and_else_a_lower_bound() {
    for seed in 0..20 {
        let (a, b) = (logits(seed, 600), logits(seed + 100, 600));
        let (ta, tb) = (log_sum(a.iter()), log_sum(b.iter()));
        let measure = |top: usize, logits: &[f32], total: f64| {
            let (likeliest, tail) = likeliest(&a, ta, top);
            assert_eq!(likeliest[0].0, argmax(&a));
            let ids: Vec<Token> = likeliest.iter().map(|l| l.0).collect();
            let logs: Vec<f32> = likeliest.iter().map(|l| l.1 as f32).collect();
            divergence(&ids, &logs, tail, logits, total)
        };
        let exact = exact(&a, &b);
        assert!((measure(600, &b, tb) - exact).abs() < 1e-5, "all tokens");
        let mut last = 0.0;
        for top in [1, 10, 100, 256, 599] {
            let bound = measure(top, &b, tb);
            assert!(measure(top, &a, ta) < 1e-5, "equals");
            assert!(bound > 0.0 && bound <= exact + 1e-5, "{top}: {bound} of {exact}");
            assert!(bound >= last - 1e-5, "more tokens, closer");
            last = bound;
        }
    }
}

fn stories() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = "shared/data/models/stories260K/stories260K.gguf";
    let found = here.ancestors().map(|a| a.join(file)).find(|p| p.exists());
    if found.is_none() {
        eprintln!("skipped: {file} is absent");
    }
    found
}

const READING: Reading = Reading { context: 128, tokens_max: 512, threads: 1 };

#[test]
fn fewer_bits_diverge_more_and_importance_helps() {
    let Some(model) = stories() else { return };
    assert_eq!(weights_of(&model), Ok(("F32", true)));
    let dir = tempfile::tempdir().expect("a folder");
    let mut told = 0;
    let reference = Reference::read(&model, TEXT, READING, |done, total| {
        assert!(done == told + 1 && done <= total, "{done} of {total}");
        told = done;
    });
    let reference = reference.expect("it reads");
    assert!(told > 200, "{told}");
    assert!((2.0..20.0).contains(&reference.score().perplexity), "{:?}", reference.score());
    let importance = measure_importance(&model, TEXT, 512, 1, |_, _| {}).expect("it measures");
    assert_eq!(importance.len(), 5 * 7 + 1, "each weight of each layer, and the output");
    assert_eq!(importance.of("blk.4.ffn_down.weight").map(<[f32]>::len), Some(172));
    let same = reference.compare(&model, TEXT, |_, _| {}).expect("it compares");
    assert!(same.kl_max < 1e-6 && same.same_top == 1.0 && same.perplexity_ratio() == 1.0, "{same:?}");
    let mut measured = Vec::new();
    for (target, importance) in [
        (Quantization::F16, None),
        (Quantization::Q8_0, None),
        (Quantization::Q5KM, Some(&importance)),
        (Quantization::Q5KM, None),
        (Quantization::Q4_0, None),
    ] {
        let path = dir.path().join(format!("{}.gguf", measured.len()));
        quantize_by(&model, &path, target, importance, 1, |_, _| {}).expect("it quantizes");
        let compared = reference.compare(&path, TEXT, |_, _| {}).expect("it compares");
        eprintln!("{} {}: {compared:?}", target.name(), importance.is_some());
        assert_eq!(compared.tokens, told);
        measured.push(compared);
    }
    let kl: Vec<f64> = measured.iter().map(|c| c.kl_mean).collect();
    assert!(kl.is_sorted(), "F16, Q8_0, Q5_K_M with importance, without, Q4_0: {kl:?}");
    assert!(measured[1].size_ratio() < measured[0].size_ratio());
    for c in &measured {
        assert!(c.kl_mean <= c.kl_p999 && c.kl_p999 <= c.kl_max && c.same_top > 0.5, "{c:?}");
    }
}

/// stories260K's rows are too short for the K types; these are not.
#[test]
fn the_types_are_in_the_order_of_their_sizes_and_of_what_they_keep() {
    let dir = tempfile::tempdir().expect("a folder");
    let model = dir.path().join("random.gguf");
    let shape = gguf::Shape { width: 256, feed_forward: 512, layers: 2, ..gguf::Shape::TINY };
    let mut file = std::io::BufWriter::new(std::fs::File::create(&model).expect("a file"));
    gguf::random_llama(shape, 3, &mut file).expect("written");
    drop(file);
    let reading = Reading { tokens_max: 128, ..READING };
    let reference = Reference::read(&model, TEXT, reading, |_, _| {}).expect("it reads");
    let importance = measure_importance(&model, TEXT, 128, 1, |_, _| {}).expect("it measures");
    let measured = Quantization::ALL.map(|target| {
        let path = dir.path().join(target.name());
        quantize_by(&model, &path, target, Some(&importance), 1, |_, _| {}).expect("it quantizes");
        let (kind, _) = weights_of(&path).expect("it is a model");
        assert!(target.name().starts_with(kind), "{} is mostly {kind}", target.name());
        reference.compare(&path, TEXT, |_, _| {}).expect("it compares")
    });
    let sizes = measured.each_ref().map(|c| c.variant.file_bytes);
    assert!(sizes.is_sorted(), "{sizes:?}");
    let kl = measured.each_ref().map(|c| c.kl_mean);
    assert!(kl.is_sorted_by(|a, b| a > b), "{kl:?}");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let Some(model) = stories() else { return };
    let short = Reference::read(&model, "Once upon a time", READING, |_, _| {}).err().expect("too short");
    assert!(short.to_string().contains("32 are the least"), "{short}");
    let reference = Reference::read(&model, TEXT, READING, |_, _| {}).expect("it reads");
    let dir = tempfile::tempdir().expect("a folder");
    let other = dir.path().join("other.gguf");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&other).expect("a file"));
    gguf::random_llama(gguf::Shape::TINY, 3, &mut file).expect("written");
    drop(file);
    let error = reference.compare(&other, TEXT, |_, _| {}).expect_err("another vocabulary");
    assert!(error.to_string().contains("different vocabularies"), "{error}");
    let small = dir.path().join("small.gguf");
    quantize(&model, &small, Quantization::Q8_0, 1, |_, _| {}).expect("it quantizes");
    assert_eq!(weights_of(&small), Ok(("Q8_0", false)));
    let error = quantize(&small, &dir.path().join("again.gguf"), Quantization::Q4_0, 1, |_, _| {});
    assert!(error.expect_err("it was rounded before").to_string().contains("Q8_0 already"));
}
