//! `bedplate model import`: a Hugging Face folder becomes a file that the engine serves.
//!
//! Nothing stands under the output's name before the engine has loaded what was written
//! and its vectors are what they must be.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cli::import::{Compared, Import, Imported, Rounded};
use cli::{Failure, Progress};
use engine::{Engine, Options, Quantization};
use gguf::import::{FILE_MAX, Folder, Plan};
use gguf::safetensors::Safetensors;
use report::Report;

use crate::compress::{Bar, Part, check_output, unwritable};
use crate::engines;

/// How like the reference's a vector must be. A model of 32-bit weights was measured at
/// .99999; one with a wrong tokenizer, pooling or layer is below .99.
const LIKENESS_MIN: f64 = 0.999;
/// And how like itself: what differs more is no rounding.
const REPEATED_MIN: f64 = 0.999_99;
/// Texts of a reference at most.
const TEXTS_MAX: usize = 10_000;
/// Texts embedded at once.
const BATCH: usize = 32;
/// What is embedded twice, and before and after rounding.
const TEXTS: [&str; 8] = [
    "The pump moves cooling water.",
    "How many days of leave are there?",
    "a",
    "error VX0002: revision 41,937 is not taken",
    "Whoever signs answers for it until it is stored.",
    "fn search(&self) -> Result<Vec<Hit>, Error>",
    "Ada Lovelace wrote to Charles Babbage in 1843.",
    "no, not ever",
];

pub fn run(args: &Import, json: bool) -> ExitCode {
    match imported(args) {
        Ok(imported) => cli::import::print(&imported, json),
        Err(failure) => failure.print(json),
    }
}

fn imported(args: &Import) -> Result<Imported, Failure> {
    let models = cli::data_dir(args.data.clone())?.join("models");
    let name = name_of(&args.folder);
    let output = match &args.output {
        Some(output) => output.clone(),
        None => {
            fs::create_dir_all(&models).map_err(|e| unwritable(&models, &e))?;
            models.join(format!("{name}.gguf"))
        }
    };
    let weights = args.folder.join("model.safetensors");
    check_output(&weights, &output, args.force)?;
    let reference = args.reference.as_deref().map(read_reference).transpose()?;
    let plan = plan(&args.folder, &name, &weights)?;
    let whole = Part::of(&output);
    write(&plan, &weights, &whole.0)?;
    let (part, checked) = match args.to {
        None => {
            let checked = check(&whole.0, &plan, reference.as_ref(), None)?;
            (whole, checked)
        }
        Some(to) => {
            let exact = Loaded::open(&whole.0)?.embed(TEXTS.map(str::to_owned).to_vec())?;
            let exact: BTreeMap<String, Vec<f32>> = TEXTS.map(str::to_owned).into_iter().zip(exact).collect();
            let rounded = Part::of(&whole.0);
            round(&whole.0, &rounded.0, to)?;
            let checked = check(&rounded.0, &plan, reference.as_ref(), Some(&exact))?;
            (rounded, checked)
        }
    };
    // Somebody may have made one meanwhile.
    check_output(&weights, &output, args.force)?;
    fs::rename(&part.0, &output).map_err(|e| unwritable(&output, &e))?;
    let whole = fs::metadata(&output).map_err(|e| unwritable(&output, &e))?.len();
    Ok(Imported {
        file: output.strip_prefix(&models).ok().map(|file| file.display().to_string()),
        output: output.display().to_string(),
        bytes: whole,
        fingerprint: checked.fingerprint,
        dimensions: plan.dimensions,
        context_tokens: plan.context,
        pooling: plan.pooling.into(),
        repeated_cosine_min: checked.repeated,
        reference: checked.compared,
        rounded: checked.rounded,
        notes: plan.notes,
    })
}

/// The folder's own name, as a file's.
fn name_of(folder: &Path) -> String {
    let whole = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let name = whole.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let kept = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = name.chars().map(kept).take(100).collect();
    if name.trim_matches('.').is_empty() { "model".into() } else { name }
}

fn plan(folder: &Path, name: &str, weights: &Path) -> Result<Plan, Report> {
    let refused = |why: gguf::import::Error| {
        Report::new("IM0001", "the folder is not a model that can be imported")
            .at(folder.display().to_string())
            .because(why.to_string())
            .hint("BERT models for embeddings are imported; look for a GGUF file of others: `bedplate model pull`")
    };
    let small = |file: &str| small(&folder.join(file));
    let config = small("config.json")?.ok_or_else(|| refused(gguf::import::Error::Missing("config.json")))?;
    let (tokenizer, vocabulary) = (small("tokenizer.json")?, small("vocab.txt")?);
    let (tokenizer_config, modules) = (small("tokenizer_config.json")?, small("modules.json")?);
    let pooling = small("1_Pooling/config.json")?;
    let file = File::open(weights).map_err(|_| refused(gguf::import::Error::Missing("model.safetensors")))?;
    let length = file.metadata().map_err(|e| unreadable(weights, &e))?.len();
    let tensors = Safetensors::read(BufReader::new(file), length).map_err(refused)?;
    let folder = Folder {
        name,
        config: &config,
        tokenizer: tokenizer.as_deref(),
        tokenizer_config: tokenizer_config.as_deref(),
        vocabulary: vocabulary.as_deref(),
        pooling: pooling.as_deref(),
        modules: modules.as_deref(),
    };
    gguf::import::plan(&folder, &tensors).map_err(refused)
}

/// A file of the folder; `None` when there is none.
fn small(path: &Path) -> Result<Option<Vec<u8>>, Report> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(|e| unreadable(path, &e))?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(Report::new("CL0004", format!("could not read {}", path.display()))
            .because(format!("it has more than {} MiB", FILE_MAX >> 20)));
    }
    Ok(Some(bytes))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Report {
    Report::new("CL0004", format!("could not read {}", path.display())).because(error.to_string())
}

fn write(plan: &Plan, weights: &Path, to: &PathBuf) -> Result<(), Report> {
    let mut source =
        BufReader::with_capacity(1 << 20, File::open(weights).map_err(|e| unreadable(weights, &e))?);
    let file = File::create(to).map_err(|e| unwritable(to, &e))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut progress = Progress::bytes("weights", 0, Some(plan.bytes));
    let done = plan.write(&mut source, &mut out, |bytes| progress.add(bytes));
    let done = done.and_then(|()| out.flush()).and_then(|()| out.get_ref().sync_all());
    done.map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => {
            Report::new("IM0001", "the folder is not a model that can be imported")
                .at(weights.display().to_string())
                .because(error.to_string())
        }
        _ => unwritable(to, &error),
    })
}

struct Checked {
    fingerprint: String,
    repeated: f64,
    compared: Option<Compared>,
    rounded: Option<Compared>,
}

fn failed(because: String) -> Report {
    Report::new("IM0002", "the imported model does not make the vectors that it should")
        .because(because)
        .hint("nothing was written; the model may compute otherwise than its folder says")
}

/// A file in the engine.
struct Loaded {
    engine: Engine,
    runtime: tokio::runtime::Runtime,
}

impl Loaded {
    fn open(file: &Path) -> Result<Loaded, Report> {
        let options = Options { threads: engines::threads(), ..Options::default() };
        let engine = Engine::open(file, options).map_err(|e| e.report())?;
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        Ok(Loaded { engine, runtime: runtime.map_err(|e| failed(e.to_string()))? })
    }
    fn embed(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, Report> {
        let vectors = self.runtime.block_on(self.engine.embed(texts)).map_err(|e| e.report())?;
        Ok(vectors.into_iter().map(|(vector, _)| vector).collect())
    }
}

/// Writes the same model with smaller weights.
fn round(whole: &Path, to: &Path, kind: Rounded) -> Result<(), Report> {
    let kind = match kind {
        Rounded::Q8_0 => Quantization::Q8_0,
        Rounded::F16 => Quantization::F16,
        Rounded::BF16 => Quantization::BF16,
    };
    let mut bar = Bar::new("rounding");
    engine::quantize(whole, to, kind, engines::threads(), |done, all| bar.show(done.into(), all.into()))
        .map_err(|e| e.report())
}

/// Loads what was written, and looks at its vectors: beside a reference's, and beside those of
/// the weights before they were rounded.
fn check(
    file: &Path,
    plan: &Plan,
    reference: Option<&BTreeMap<String, Vec<f32>>>,
    exact: Option<&BTreeMap<String, Vec<f32>>>,
) -> Result<Checked, Report> {
    let loaded = Loaded::open(file)?;
    let texts = || TEXTS.map(str::to_owned).to_vec();
    let (first, second) = (loaded.embed(texts())?, loaded.embed(texts())?);
    if let Some(wrong) = first.iter().find(|v| v.len() as u64 != plan.dimensions) {
        return Err(failed(format!("a vector has {} numbers, not {}", wrong.len(), plan.dimensions)));
    }
    let repeated = first.iter().zip(&second).map(|(a, b)| cosine(a, b)).fold(1.0, f64::min);
    if repeated < REPEATED_MIN {
        return Err(failed(format!("the same text twice has vectors of cosine {repeated}")));
    }
    if cosine(&first[0], &first[1]) > REPEATED_MIN {
        return Err(failed("two texts have the same vector".into()));
    }
    let like = |these: Option<&BTreeMap<String, Vec<f32>>>, whose: &str| -> Result<_, Report> {
        let Some(these) = these else { return Ok(None) };
        let compared = compare(these, |texts| loaded.embed(texts))?;
        if compared.cosine_min < LIKENESS_MIN {
            let why = format!("a text's vector has cosine {:.6} with {whose}", compared.cosine_min);
            return Err(failed(why));
        }
        Ok(Some(compared))
    };
    Ok(Checked {
        fingerprint: loaded.engine.info().fingerprint.clone(),
        repeated,
        rounded: like(exact, "that of the weights before they were rounded")?,
        compared: like(reference, "the reference's")?,
    })
}

fn compare(
    reference: &BTreeMap<String, Vec<f32>>,
    embed: impl Fn(Vec<String>) -> Result<Vec<Vec<f32>>, Report>,
) -> Result<Compared, Report> {
    let texts: Vec<&String> = reference.keys().collect();
    let mut cosines: Vec<f64> = Vec::with_capacity(texts.len());
    for batch in texts.chunks(BATCH) {
        let vectors = embed(batch.iter().map(|text| (*text).clone()).collect())?;
        cosines.extend(batch.iter().zip(&vectors).map(|(text, vector)| cosine(vector, &reference[*text])));
    }
    Ok(Compared {
        texts: cosines.len() as u64,
        cosine_min: cosines.iter().copied().fold(1.0, f64::min),
        cosine_mean: cosines.iter().sum::<f64>() / cosines.len().max(1) as f64,
    })
}

/// 0 for what cannot be compared: it is as good as none.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return 0.0;
    }
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    if cosine.is_finite() { cosine.min(1.0) } else { 0.0 }
}

fn read_reference(path: &Path) -> Result<BTreeMap<String, Vec<f32>>, Report> {
    let wrong = |why: String| {
        Report::new("CL0004", format!("could not read {}", path.display()))
            .because(why)
            .hint("a reference is a JSON object of texts and their vectors: {\"a text\": [0.1, …]}")
    };
    let bytes = small(path)?.ok_or_else(|| wrong("there is no such file".into()))?;
    let reference: BTreeMap<String, Vec<f32>> =
        serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?;
    if reference.is_empty() || reference.len() > TEXTS_MAX {
        return Err(wrong(format!("it has {} texts; 1 to {TEXTS_MAX} can be", reference.len())));
    }
    Ok(reference)
}
