//! A model that ranks, beside a BERT in plain Rust over the same file.

use std::collections::HashMap;
use std::path::Path;

use gguf::Header;

use crate::tests::{options, runtime};
use crate::*;

fn model() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("rank.gguf");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).expect("a file"));
    gguf::random_reranker(11, &mut file).expect("written");
    drop(file);
    (dir, path)
}

/// The published equations of BERT (Devlin et al. 2018) in f64, a token at a time.
struct Oracle {
    tensors: HashMap<String, Vec<f64>>,
    width: usize,
    heads: usize,
    layers: usize,
}

impl Oracle {
    fn open(path: &Path) -> Oracle {
        let bytes = std::fs::read(path).expect("the model can be read");
        let header = Header::read(&bytes[..], bytes.len() as u64).expect("the header is sound");
        let read = |t: &gguf::Tensor| {
            let from = (header.data_start + t.offset) as usize;
            let floats = bytes[from..from + t.bytes as usize].chunks_exact(4);
            let values = floats.map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
            (t.name.clone(), values.collect())
        };
        let number = |key: &str| header.number(key).expect(key) as usize;
        Oracle {
            tensors: header.tensors.iter().map(read).collect(),
            width: number("embedding_length"),
            heads: number("attention.head_count"),
            layers: number("block_count"),
        }
    }

    fn of(&self, name: &str) -> &[f64] {
        &self.tensors[name]
    }

    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let (weight, bias) = (self.of(&format!("{name}.weight")), self.of(&format!("{name}.bias")));
        let dot = |row: &[f64]| row.iter().zip(x).map(|(a, b)| a * b).sum::<f64>();
        weight.chunks_exact(x.len()).zip(bias).map(|(row, b)| dot(row) + b).collect()
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
        let (weight, bias) = (self.of(&format!("{name}.weight")), self.of(&format!("{name}.bias")));
        let scale = (variance + 1e-12).sqrt().recip();
        x.iter().zip(weight).zip(bias).map(|((v, w), b)| (v - mean) * scale * w + b).collect()
    }

    /// The head's number for a text of tokens.
    fn logit(&self, tokens: &[usize]) -> f64 {
        let w = self.width;
        let row = |name: &str, i: usize| self.of(name)[i * w..][..w].to_vec();
        let add = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<f64>>();
        let mut xs: Vec<Vec<f64>> = (0..)
            .zip(tokens)
            .map(|(at, token)| {
                let x = add(&row("token_embd.weight", *token), &row("position_embd.weight", at));
                self.norm("token_embd_norm", &add(&x, &row("token_types.weight", 0)))
            })
            .collect();
        for layer in 0..self.layers {
            let name = |part: &str| format!("blk.{layer}.{part}");
            let each = |part: &str| xs.iter().map(|x| self.linear(&name(part), x)).collect::<Vec<_>>();
            let (q, k, v) = (each("attn_q"), each("attn_k"), each("attn_v"));
            let head = w / self.heads;
            xs = (0..xs.len())
                .map(|i| {
                    let mut seen = vec![0.0; w];
                    for h in 0..self.heads {
                        let at = h * head..(h + 1) * head;
                        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                        let scores = k.iter().map(|k| dot(&q[i][at.clone()], &k[at.clone()]));
                        let scores: Vec<f64> = scores.map(|s| (s / (head as f64).sqrt()).exp()).collect();
                        let total: f64 = scores.iter().sum();
                        for (score, v) in scores.iter().zip(&v) {
                            for d in at.clone() {
                                seen[d] += score / total * v[d];
                            }
                        }
                    }
                    let x = add(&self.linear(&name("attn_output"), &seen), &xs[i]);
                    let x = self.norm(&name("attn_output_norm"), &x);
                    let up: Vec<f64> = self.linear(&name("ffn_up"), &x).into_iter().map(gelu).collect();
                    let y = add(&self.linear(&name("ffn_down"), &up), &x);
                    self.norm(&name("layer_output_norm"), &y)
                })
                .collect();
        }
        let pooled: Vec<f64> = self.linear("cls", &xs[0]).into_iter().map(f64::tanh).collect();
        self.linear("cls.output", &pooled)[0]
    }
}

/// The approximation by a hyperbolic tangent (Hendrycks and Gimpel 2016), which ggml computes.
fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
}

/// The tokens of letters, each a word of its own, as the vocabulary numbers them.
fn letters(text: &str) -> Vec<usize> {
    text.split(' ').map(|word| 5 + 2 * (word.as_bytes()[0] - b'a') as usize).collect()
}

#[test]
fn scores_are_those_of_the_published_equations() {
    let (_dir, path) = model();
    let engine = Engine::open(&path, options()).expect("it loads");
    let info = engine.info();
    assert!(info.can_rank && !info.can_embed && !info.can_generate);
    let oracle = Oracle::open(&path);
    let query = "q r s";
    let documents: Vec<String> =
        ["a", "b c", "z y x w v", "q r s", "s r q", "m m m m m m m m"].map(String::from).into();
    let scores = runtime().block_on(engine.rerank(query, &documents)).expect("scores");
    for (document, (score, tokens)) in documents.iter().zip(&scores) {
        let pair = [vec![2], letters(query), vec![3], letters(document), vec![3]].concat();
        assert_eq!(*tokens as usize, pair.len(), "{document}: [CLS] query [SEP] document [SEP]");
        let expected = 1.0 / (1.0 + (-oracle.logit(&pair)).exp());
        // ggml looks the activation up in a table of half precision.
        assert!((f64::from(*score) - expected).abs() < 5e-3, "{document}: {score} and {expected}");
    }
    let distinct = scores.windows(2).filter(|w| (w[0].0 - w[1].0).abs() > 1e-4).count();
    assert!(distinct >= 4, "{scores:?}");
}

#[test]
fn a_score_depends_on_its_pair_alone() {
    let (_dir, path) = model();
    let engine = Engine::open(&path, options()).expect("it loads");
    let runtime = runtime();
    let documents: Vec<String> = (0..80)
        .map(|n| "the budget of a team is a limit ".repeat(n % 4 + 1) + &"key ".repeat(n % 9))
        .collect();
    let ask = |documents: &[String]| {
        let scores = runtime.block_on(engine.rerank("what is a budget", documents)).expect("scores");
        scores.into_iter().map(|(score, _)| score).collect::<Vec<f32>>()
    };
    let together = ask(&documents);
    assert_eq!(ask(&documents), together, "the same again");
    let mut backwards = documents.clone();
    backwards.reverse();
    let mut reversed = ask(&backwards);
    reversed.reverse();
    // Kernels differ by the shape of a batch, in the third decimal at most.
    for (i, document) in documents.iter().enumerate() {
        let alone = ask(std::slice::from_ref(document))[0];
        assert!((alone - together[i]).abs() < 2e-3, "{i}: {alone} alone and {} together", together[i]);
        assert!((reversed[i] - together[i]).abs() < 2e-3, "{i}: the order of the documents matters");
    }
}

#[test]
fn a_pair_that_does_not_fit_is_refused_and_never_cut() {
    let (_dir, path) = model();
    let engine = Engine::open(&path, options()).expect("it loads");
    let long = vec!["a".to_owned(), "b ".repeat(200)];
    let refused = runtime().block_on(engine.rerank("q", &long)).expect_err("too long");
    assert_eq!(refused, Error::TooLong { prompt: 204, context: 128 });
    let control = runtime().block_on(engine.rerank("q", &["[SEP] [CLS]".to_owned()])).expect("scores");
    assert!(control[0].1 > 6, "a text's control tokens are letters: {control:?}");
    let (_other, llama) = crate::tests::random(None);
    let chats = Engine::open(&llama, options()).expect("it loads");
    let refused = runtime().block_on(chats.rerank("q", &["a".to_owned()])).expect_err("no head");
    assert_eq!(refused.report().code.0, "EN0004");
}
