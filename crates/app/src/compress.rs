//! `bedplate model quantize` and `model eval`: making a model smaller, and
//! knowing what that costs.
//!
//! A type that was asked for is a list of one; `auto` is the list of all, the
//! smallest first, and the first that is within the limits is kept. Nothing
//! stands under the output's name before it is whole and within the limits.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cli::compress::{Bound, Eval, Evaluated, Quantize, Quantized, Target, Tried, Verdict};
use cli::{Failure, Progress};
use engine::{Comparison, Importance, Quantization, Reading, Reference};
use report::Report;

use crate::engines;

/// The most of a mean divergence that `auto` accepts, in nats. Published
/// Q4_K_M files of models of 7 B and more lie between 0.01 and 0.05.
const KL_MAX: f64 = 0.05;
/// Windows and tokens that a result is measured on while quantizing; `model
/// eval` takes others.
const CONTEXT: u32 = 512;
const TOKENS: u32 = 4096;
/// Tokens that the importance of weights is measured on.
const IMPORTANCE_TOKENS: u32 = 32_768;
/// The longest text that is read.
const TEXT_MAX: u64 = 256 << 20;

pub fn quantize(args: &Quantize, json: bool) -> ExitCode {
    match quantized(args) {
        Ok(quantized) => cli::compress::print_quantized(&quantized, json),
        Err(report) => Failure::from(report).print(json),
    }
}

pub fn eval(args: &Eval, json: bool) -> ExitCode {
    match evaluated(args) {
        Ok(evaluated) => cli::compress::print_evaluated(&evaluated, json),
        Err(report) => Failure::from(report).print(json),
    }
}

fn evaluated(args: &Eval) -> Result<Evaluated, Report> {
    let text = read_text(&args.text)?;
    let threads = args.threads.unwrap_or_else(engines::threads);
    let reading = Reading { context: args.context, tokens_max: args.tokens, threads };
    let reference = read_reference(&args.reference, &text, reading)?;
    let compared = compare(&reference, &args.variant, &text, "variant")?;
    Ok(shown(&compared, &args.reference, &args.variant))
}

fn quantized(args: &Quantize) -> Result<Quantized, Report> {
    let threads = args.threads.unwrap_or_else(engines::threads);
    check_output(&args.input, &args.output, args.force)?;
    let (kind, whole) = engine::weights_of(&args.input).map_err(|e| e.report())?;
    if !whole {
        return Err(Report::new("CL0012", format!("the weights are {kind} already"))
            .at(args.input.display().to_string())
            .because("rounding twice loses more than rounding once to the smaller type")
            .hint("start from the F32, F16 or BF16 file that it was made of"));
    }
    let limits = Limits::of(args)?;
    let imatrix = args.imatrix.as_deref().map(read_text).transpose()?;
    let eval = args.eval.as_deref().map(read_text).transpose()?;
    let importance = imatrix.as_deref().map(|text| measure(&args.input, text, threads)).transpose()?;
    let auto = args.to == Target::Auto;
    let text = eval.as_deref().or(imatrix.as_deref().filter(|_| auto));
    let reading = Reading { context: CONTEXT, tokens_max: TOKENS, threads };
    let reference = text.map(|text| read_reference(&args.input, text, reading).map(|r| (r, text)));
    let reference = reference.transpose()?;
    let mut work =
        Work { args, threads, importance: importance.as_ref(), reference, limits, tried: Vec::new() };
    for target in candidates(args.to, kind) {
        match work.attempt(target)? {
            Verdict::Kept => return Ok(work.summary(target, importance.as_ref())),
            // The next ones are larger.
            Verdict::TooLarge => break,
            Verdict::Diverges => {}
        }
    }
    Err(work.refusal())
}

/// What a result must be within.
#[derive(Clone, Copy)]
struct Limits {
    kl_max: Option<f64>,
    size_max: Option<u64>,
}

impl Limits {
    fn of(args: &Quantize) -> Result<Limits, Report> {
        let auto = args.to == Target::Auto;
        if auto && args.eval.is_none() && args.imatrix.is_none() {
            return Err(Report::new("CL0010", "`--to auto` needs a text to measure on")
                .hint("give one like those that the model will read: --eval FILE"));
        }
        if !auto && args.kl_max.is_some() && args.eval.is_none() {
            return Err(
                Report::new("CL0010", "`--kl-max` needs a text to measure on").hint("add --eval FILE")
            );
        }
        let kl_max = args.kl_max.or(auto.then_some(KL_MAX));
        Ok(Limits { kl_max, size_max: args.size_max })
    }
}

/// The types to try, the smallest first.
fn candidates(to: Target, input: &str) -> Vec<Quantization> {
    let one = match to {
        Target::Q4_0 => Quantization::Q4_0,
        Target::Q4KM => Quantization::Q4KM,
        Target::Q5KM => Quantization::Q5KM,
        Target::Q6K => Quantization::Q6K,
        Target::Q8_0 => Quantization::Q8_0,
        Target::F16 => Quantization::F16,
        // F16 of F16 is the input itself, and of BF16 no smaller.
        Target::Auto => {
            let smaller = |q: &Quantization| *q != Quantization::F16 || input == "F32";
            return Quantization::ALL.into_iter().filter(smaller).collect();
        }
    };
    vec![one]
}

struct Work<'a> {
    args: &'a Quantize,
    threads: u32,
    importance: Option<&'a Importance>,
    /// With the text that it read.
    reference: Option<(Reference, &'a str)>,
    limits: Limits,
    tried: Vec<Tried>,
}

impl Work<'_> {
    /// Writes a type beside the output, looks at it, and keeps or removes it.
    fn attempt(&mut self, target: Quantization) -> Result<Verdict, Report> {
        let args = self.args;
        let part = Part::of(&args.output);
        let name = target.name().to_lowercase();
        let mut bar = Bar::new(&name);
        engine::quantize_by(&args.input, &part.0, target, self.importance, self.threads, |done, all| {
            bar.show(done.into(), all.into());
        })
        .map_err(|e| e.report())?;
        drop(bar);
        let file = |e: std::io::Error| unwritable(&args.output, &e);
        let bytes = fs::metadata(&part.0).map_err(file)?.len();
        let too_large = self.limits.size_max.is_some_and(|max| bytes > max);
        let eval = match &self.reference {
            Some((reference, text)) if !too_large => {
                let compared = compare(reference, &part.0, text, &name)?;
                Some(shown(&compared, &args.input, &args.output))
            }
            _ => None,
        };
        let diverges = eval
            .as_ref()
            .zip(self.limits.kl_max)
            .is_some_and(|(e, max)| e.kl_mean.is_nan() || e.kl_mean > max);
        let verdict = match (too_large, diverges) {
            (true, _) => Verdict::TooLarge,
            (_, true) => Verdict::Diverges,
            _ => Verdict::Kept,
        };
        if verdict == Verdict::Kept {
            File::open(&part.0).and_then(|f| f.sync_all()).map_err(file)?;
            // Somebody may have made one meanwhile.
            check_output(&args.input, &args.output, args.force)?;
            fs::rename(&part.0, &args.output).map_err(file)?;
        }
        self.tried.push(Tried { to: name, bytes, verdict, eval });
        Ok(verdict)
    }

    fn summary(self, target: Quantization, importance: Option<&Importance>) -> Quantized {
        let length = |path: &Path| fs::metadata(path).map_or(0, |m| m.len());
        let diverged = self.tried.iter().any(|t| t.verdict == Verdict::Diverges);
        Quantized {
            input: self.args.input.display().to_string(),
            input_bytes: length(&self.args.input),
            output: self.args.output.display().to_string(),
            to: target.name().to_lowercase(),
            bytes: length(&self.args.output),
            imatrix_tokens: importance.map(|i| i.tokens),
            kl_max: self.limits.kl_max,
            size_max: self.limits.size_max,
            bound: if diverged { Bound::Divergence } else { Bound::None },
            tried: self.tried,
        }
    }

    /// Why nothing was written.
    fn refusal(self) -> Report {
        let told: Vec<String> = self
            .tried
            .iter()
            .map(|t| match (t.verdict, &t.eval) {
                (Verdict::TooLarge, _) => format!("{} is too large with {} bytes", t.to, t.bytes),
                (_, Some(e)) => format!("{} ({} bytes) diverges by {:.5}", t.to, t.bytes, e.kl_mean),
                (_, None) => t.to.clone(),
            })
            .collect();
        let size = self.tried.iter().any(|t| t.verdict == Verdict::TooLarge);
        let diverged = self.tried.iter().any(|t| t.verdict == Verdict::Diverges);
        let kl_max = self.limits.kl_max.unwrap_or(f64::INFINITY);
        let size_max = self.limits.size_max.unwrap_or(u64::MAX);
        let (what, hint) = match (size, diverged) {
            (true, true) => (
                format!("no type is within both --size-max {size_max} and --kl-max {kl_max}"),
                "raise one of the two; --imatrix FILE lowers the divergence at the same size",
            ),
            (true, false) => (
                format!("even the smallest type tried is over --size-max {size_max}"),
                "raise --size-max, or start from a smaller model",
            ),
            _ => (
                format!("every type tried diverges by more than --kl-max {kl_max}"),
                "raise --kl-max, or add --imatrix FILE",
            ),
        };
        Report::new("CL0013", format!("{what}; nothing was written")).because(told.join("; ")).hint(hint)
    }
}

/// The file beside the output that is written first; removed when dropped, if
/// it was not renamed.
pub struct Part(pub PathBuf);

impl Part {
    pub fn of(output: &Path) -> Part {
        let mut name = output.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        Part(output.with_file_name(name))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

pub fn check_output(input: &Path, output: &Path, force: bool) -> Result<(), Report> {
    let shown = output.display().to_string();
    if output.file_name().is_none() || output.is_dir() {
        return Err(Report::new("CL0004", "the output is not the name of a file").at(shown));
    }
    let folder = output.parent().filter(|p| !p.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|p| !p.is_dir()) {
        return Err(Report::new("CL0004", format!("there is no folder {}", folder.display())).at(shown));
    }
    let same =
        |a: &Path, b: &Path| fs::canonicalize(a).ok().is_some_and(|a| fs::canonicalize(b).ok() == Some(a));
    if same(input, output) {
        return Err(Report::new("CL0010", "the output is the input").at(shown));
    }
    if !force && fs::symlink_metadata(output).is_ok() {
        return Err(Report::new("CL0011", "there is a file of that name")
            .at(shown)
            .hint("--force replaces it"));
    }
    Ok(())
}

pub fn unwritable(path: &Path, error: &std::io::Error) -> Report {
    Report::new("CL0004", format!("could not write {}", path.display())).because(error.to_string())
}

fn read_text(path: &Path) -> Result<String, Report> {
    let wrong =
        |why: String| Report::new("CL0004", format!("could not read {}", path.display())).because(why);
    let meta = fs::metadata(path).map_err(|e| wrong(e.to_string()))?;
    if !meta.is_file() || meta.len() > TEXT_MAX {
        return Err(wrong(format!("it is not a file of text of at most {} MiB", TEXT_MAX >> 20)));
    }
    let bytes = fs::read(path).map_err(|e| wrong(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| wrong(format!("it is not UTF-8: {e}")))
}

fn measure(model: &Path, text: &str, threads: u32) -> Result<Importance, Report> {
    let mut bar = Bar::new("importance");
    let measured = engine::measure_importance(model, text, IMPORTANCE_TOKENS, threads, |done, all| {
        bar.show(done, all);
    });
    measured.map_err(|e| e.report())
}

fn read_reference(model: &Path, text: &str, reading: Reading) -> Result<Reference, Report> {
    let mut bar = Bar::new("reference");
    Reference::read(model, text, reading, |done, all| bar.show(done, all)).map_err(|e| e.report())
}

fn compare(reference: &Reference, variant: &Path, text: &str, name: &str) -> Result<Comparison, Report> {
    let mut bar = Bar::new(&format!("{name} on the text"));
    reference.compare(variant, text, |done, all| bar.show(done, all)).map_err(|e| e.report())
}

/// A progress bar whose length is known when the work has begun.
pub struct Bar {
    label: String,
    bar: Option<Progress>,
    done: u64,
}

impl Bar {
    pub fn new(label: &str) -> Bar {
        Bar { label: label.to_owned(), bar: None, done: 0 }
    }
    pub fn show(&mut self, done: u64, all: u64) {
        let bar = self.bar.get_or_insert_with(|| Progress::steps(self.label.clone(), Some(all)));
        bar.add(done.saturating_sub(self.done));
        self.done = done;
    }
}

fn shown(c: &Comparison, reference: &Path, variant: &Path) -> Evaluated {
    let score = |file: &Path, score: &engine::Score| cli::compress::Score {
        file: file.display().to_string(),
        bytes: score.file_bytes,
        perplexity: score.perplexity,
        prompt_tokens_per_second: score.prompt_tokens_per_second,
        answer_tokens_per_second: score.answer_tokens_per_second,
    };
    Evaluated {
        reference: score(reference, &c.reference),
        variant: score(variant, &c.variant),
        size_ratio: c.size_ratio(),
        perplexity_ratio: c.perplexity_ratio(),
        kl_mean: c.kl_mean,
        kl_p999: c.kl_p999,
        kl_max: c.kl_max,
        kl_top_tokens: c.top,
        same_top_share: c.same_top,
        tokens: c.tokens,
        context: c.context,
        stride: c.stride,
    }
}
