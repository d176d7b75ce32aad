//! `model quantize` and `model eval`: their words, and how their figures look.
//! `app` does the work, for it holds the engine.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::table::{bytes, grouped, table};

#[derive(Clone, Debug, Args)]
pub struct Quantize {
    /// A GGUF file of F32, F16 or BF16 weights.
    pub input: PathBuf,
    /// The file to write.
    pub output: PathBuf,
    /// The weights' new type; auto: the smallest within the limits, measured on the text of --eval.
    #[arg(long, value_enum)]
    pub to: Target,
    /// A text like those that the model will read; what matters for it is kept truer. At most 32,768 tokens are read.
    #[arg(long, value_name = "FILE")]
    pub imatrix: Option<PathBuf>,
    /// A text to compare the result with the input on [auto: that of --imatrix unless told].
    #[arg(long, value_name = "FILE")]
    pub eval: Option<PathBuf>,
    /// Refuse a result whose predictions diverge more, on average, in nats [auto: 0.05 unless told].
    #[arg(long, value_name = "NATS", value_parser = nats)]
    pub kl_max: Option<f64>,
    /// Refuse a result that is larger: 4GiB, 600MiB.
    #[arg(long, value_name = "SIZE", value_parser = crate::size::parse)]
    pub size_max: Option<u64>,
    /// Replace the output file if there is one.
    #[arg(long)]
    pub force: bool,
    /// Threads; the machine's cores unless told.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub threads: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    #[value(name = "q4_0")]
    Q4_0,
    #[value(name = "q4_k_m")]
    Q4KM,
    #[value(name = "q5_k_m")]
    Q5KM,
    #[value(name = "q6_k")]
    Q6K,
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "f16")]
    F16,
    Auto,
}

#[derive(Clone, Debug, Args)]
pub struct Eval {
    /// The model to compare with: the larger one.
    pub reference: PathBuf,
    /// The model that was made of it.
    pub variant: PathBuf,
    /// The text that both read; at least a few thousand words say something.
    #[arg(long, value_name = "FILE")]
    pub text: PathBuf,
    /// Tokens of a window; windows overlap by half.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(32..=131_072))]
    pub context: u32,
    /// Tokens to score at most; 2 KB of memory each.
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(16..=131_072))]
    pub tokens: u32,
    /// Threads; the machine's cores unless told.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub threads: Option<u32>,
}

fn nats(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    number.ok_or_else(|| "a divergence is a number from 0 on: 0.05".to_owned())
}

/// What one model did with the text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    pub file: String,
    pub bytes: u64,
    pub perplexity: f64,
    pub prompt_tokens_per_second: f64,
    pub answer_tokens_per_second: f64,
}

/// Two models beside each other. Divergences are in nats.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluated {
    pub reference: Score,
    pub variant: Score,
    pub size_ratio: f64,
    pub perplexity_ratio: f64,
    /// A lower bound: the reference's likeliest `kl_top_tokens` are compared one
    /// by one and all others as one.
    pub kl_mean: f64,
    pub kl_p999: f64,
    pub kl_max: f64,
    pub kl_top_tokens: u32,
    /// From 0 to 1.
    pub same_top_share: f64,
    /// Tokens that were scored.
    pub tokens: u64,
    pub context: u32,
    pub stride: u32,
}

/// A type that was tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tried {
    pub to: String,
    pub bytes: u64,
    pub verdict: Verdict,
    pub eval: Option<Evaluated>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Kept,
    /// Its predictions are too far from the input's.
    Diverges,
    TooLarge,
}

/// What kept a smaller type from being taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Nothing: it is the smallest, or the one asked for.
    None,
    Divergence,
}

/// What was written, and why that.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quantized {
    pub input: String,
    pub input_bytes: u64,
    pub output: String,
    pub to: String,
    pub bytes: u64,
    /// Tokens that the importance of weights was measured on.
    pub imatrix_tokens: Option<u64>,
    pub kl_max: Option<f64>,
    pub size_max: Option<u64>,
    pub bound: Bound,
    pub tried: Vec<Tried>,
}

pub fn print_evaluated(evaluated: &Evaluated, json: bool) -> ExitCode {
    if json {
        println!("{}", serde_json::json!(evaluated));
    } else {
        print!("{}", render_evaluated(evaluated));
    }
    ExitCode::SUCCESS
}

pub fn print_quantized(quantized: &Quantized, json: bool) -> ExitCode {
    if json {
        println!("{}", serde_json::json!(quantized));
    } else {
        print!("{}", render_quantized(quantized));
    }
    ExitCode::SUCCESS
}

pub(crate) fn render_evaluated(e: &Evaluated) -> String {
    let row = |name: &str, reference: String, variant: String, ratio: f64| {
        vec![name.to_owned(), reference, variant, format!("{ratio:.4}")]
    };
    let rate = |name: &str, of: fn(&Score) -> f64| {
        let (a, b) = (of(&e.reference), of(&e.variant));
        row(name, format!("{a:.1}"), format!("{b:.1}"), b / a.max(f64::MIN_POSITIVE))
    };
    let perplexity = |s: &Score| format!("{:.4}", s.perplexity);
    let rows = vec![
        row("size", bytes(e.reference.bytes), bytes(e.variant.bytes), e.size_ratio),
        row("perplexity", perplexity(&e.reference), perplexity(&e.variant), e.perplexity_ratio),
        rate("prompt tok/s", |s| s.prompt_tokens_per_second),
        rate("answer tok/s", |s| s.answer_tokens_per_second),
    ];
    format!(
        "reference  {}\nvariant    {}\n\n{}\n\
         KL divergence   {:.6} mean, {:.4} at 99.9 %, {:.4} largest, in nats\n\
         \x20               (at least: the {} likeliest tokens one by one, the others as one)\n\
         same top token  {:.2} %\n\
         {} tokens scored in windows of {}, each {} further\n",
        e.reference.file,
        e.variant.file,
        table(&["", ">reference", ">variant", ">ratio"], &rows),
        e.kl_mean,
        e.kl_p999,
        e.kl_max,
        e.kl_top_tokens,
        e.same_top_share * 100.0,
        grouped(e.tokens),
        e.context,
        e.stride,
    )
}

pub(crate) fn render_quantized(q: &Quantized) -> String {
    let dash = || "-".to_owned();
    let rows: Vec<Vec<String>> = q
        .tried
        .iter()
        .map(|tried| {
            let of = |show: fn(&Evaluated) -> String| tried.eval.as_ref().map_or_else(dash, show);
            let verdict = match tried.verdict {
                Verdict::Kept => "kept",
                Verdict::Diverges => "diverges too much",
                Verdict::TooLarge => "too large",
            };
            vec![
                tried.to.clone(),
                bytes(tried.bytes),
                format!("{:.3}", tried.bytes as f64 / q.input_bytes.max(1) as f64),
                of(|e| format!("{:.5}", e.kl_mean)),
                of(|e| format!("{:.4}", e.perplexity_ratio)),
                of(|e| format!("{:.1} %", e.same_top_share * 100.0)),
                of(|e| format!("{:.1}", e.variant.answer_tokens_per_second)),
                verdict.to_owned(),
            ]
        })
        .collect();
    let why = match (q.bound, q.kl_max) {
        (Bound::Divergence, Some(max)) => format!("smaller ones diverge by more than {max}"),
        _ if q.tried.len() == 1 && q.tried[0].eval.is_none() => "as asked".to_owned(),
        _ => "within every limit given".to_owned(),
    };
    let head = ["type", ">size", ">of input", ">KL mean", ">perplexity", ">same top", ">answer tok/s", ""];
    format!("{}{}: {}, {} ({why})\n", table(&head, &rows), q.output, q.to, bytes(q.bytes))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn evaluated(bytes: u64, kl_mean: f64) -> Evaluated {
        let score = |file: &str, bytes, perplexity| Score {
            file: file.into(),
            bytes,
            perplexity,
            prompt_tokens_per_second: 1000.0,
            answer_tokens_per_second: 120.5,
        };
        Evaluated {
            reference: score("a.gguf", 1_054_208, 4.514_2),
            variant: score("b.gguf", bytes, 4.784),
            size_ratio: bytes as f64 / 1_054_208.0,
            perplexity_ratio: 4.784 / 4.514_2,
            kl_mean,
            kl_p999: 2.3,
            kl_max: 2.4,
            kl_top_tokens: 256,
            same_top_share: 0.849_2,
            tokens: 4096,
            context: 512,
            stride: 256,
        }
    }

    #[test]
    fn two_models_are_shown_beside_each_other() {
        expect![[r#"
            reference  a.gguf
            variant    b.gguf

                          reference   variant   ratio
            size             1.1 MB  258.5 kB  0.2452
            perplexity       4.5142    4.7840  1.0598
            prompt tok/s     1000.0    1000.0  1.0000
            answer tok/s      120.5     120.5  1.0000

            KL divergence   0.062200 mean, 2.3000 at 99.9 %, 2.4000 largest, in nats
                            (at least: the 256 likeliest tokens one by one, the others as one)
            same top token  84.92 %
            4,096 tokens scored in windows of 512, each 256 further
        "#]]
        .assert_eq(&render_evaluated(&evaluated(258_496, 0.062_2)));
    }

    #[test]
    fn what_was_tried_is_shown_with_what_bound() {
        let tried = |to: &str, bytes, kl, verdict| Tried {
            to: to.into(),
            bytes,
            verdict,
            eval: Some(evaluated(bytes, kl)),
        };
        let mut quantized = Quantized {
            input: "a.gguf".into(),
            input_bytes: 1_054_208,
            output: "b.gguf".into(),
            to: "q8_0".into(),
            bytes: 344_256,
            imatrix_tokens: None,
            kl_max: Some(0.05),
            size_max: None,
            bound: Bound::Divergence,
            tried: vec![
                tried("q4_0", 258_496, 0.062_2, Verdict::Diverges),
                tried("q8_0", 344_256, 0.000_7, Verdict::Kept),
            ],
        };
        expect![[r#"
            type      size  of input  KL mean  perplexity  same top  answer tok/s
            q4_0  258.5 kB     0.245  0.06220      1.0598    84.9 %         120.5  diverges too much
            q8_0  344.3 kB     0.327  0.00070      1.0598    84.9 %         120.5  kept
            b.gguf: q8_0, 344.3 kB (smaller ones diverge by more than 0.05)
        "#]]
        .assert_eq(&render_quantized(&quantized));
        quantized.tried = vec![Tried { eval: None, ..quantized.tried.remove(1) }];
        quantized.bound = Bound::None;
        expect![[r#"
            type      size  of input  KL mean  perplexity  same top  answer tok/s
            q8_0  344.3 kB     0.327        -           -         -             -  kept
            b.gguf: q8_0, 344.3 kB (as asked)
        "#]]
        .assert_eq(&render_quantized(&quantized));
    }

    #[test]
    fn the_words_are_read_and_limits_checked() {
        let parse = |text: &str| crate::parse_from(format!("bedplate model {text}").split(' '));
        let quantize = parse("quantize a b --to auto --eval t --kl-max 0.1 --size-max 4GiB --json");
        let Ok(crate::Command::Quantize { args, json: true }) = quantize else { panic!("{quantize:?}") };
        assert_eq!((args.to, args.kl_max, args.size_max), (Target::Auto, Some(0.1), Some(4 << 30)));
        let eval = parse("eval a b --text t");
        let Ok(crate::Command::Eval { args, json: false }) = eval else { panic!("{eval:?}") };
        assert_eq!((args.context, args.tokens), (512, 4096));
        for wrong in [
            "quantize a b",
            "quantize a b --to q3_k",
            "quantize a b --to auto --kl-max -1",
            "quantize a b --to auto --kl-max nan",
            "eval a b",
            "eval a b --text t --tokens 0",
            "eval a b --text t --threads 0",
        ] {
            assert_eq!(parse(wrong).err().map(|e| e.exit_code()), Some(2), "{wrong}");
        }
    }
}
