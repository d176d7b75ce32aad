//! `model`: what can be asked, and the files there are.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use api::{List, Model, ModelMemory, TargetKind};
use report::Report;
use serde::Serialize;

use super::{pull_model, show};
use crate::args::{self, Global};
use crate::client::Server;
use crate::table::{bytes, grouped, or_dash, table};
use crate::{Failure, data_dir, failure};

pub(super) fn run(global: &Global, command: args::Model) -> Result<(), Failure> {
    match command {
        args::Model::List { files: false, .. } => {
            let models: List<Model> = Server::new(global)?.get("/api/v1/models")?;
            show(global.json, &models, |models| model_table(&models.data));
        }
        args::Model::List { files: true, data } => {
            let folder = data_dir(data)?.join("models");
            let files = model_files(&folder);
            show(global.json, &files, |files| file_table(files, &folder));
        }
        args::Model::Pull(args) => pull_model(&args, global.json)?,
        args::Model::Inspect { file, context, sequences } => {
            let inspected = inspect(&file, context, sequences)?;
            show(global.json, &inspected, Inspected::render);
        }
        args::Model::Bench(_) | args::Model::Quantize(_) | args::Model::Eval(_) | args::Model::Import(_) => {
            unreachable!("`sort` hands these to the caller")
        }
    }
    Ok(())
}

fn model_table(models: &[Model]) -> String {
    let mut rows = Vec::new();
    for model in models {
        for (index, target) in model.targets.iter().enumerate() {
            let price = |axis: &str| target.price_usd_per_million.get(axis).cloned();
            let place = match target.kind {
                TargetKind::Local => format!("local {}", target.upstream_model),
                TargetKind::Provider => format!("{}/{}", target.provider, target.upstream_model),
            };
            let state = match (&target.reason, target.ready) {
                (_, true) => target.memory.as_ref().map_or_else(|| "ready".to_owned(), memory_state),
                (Some(reason), false) => reason.clone(),
                (None, false) => "not ready".to_owned(),
            };
            rows.push(vec![
                if index == 0 { model.name.clone() } else { String::new() },
                place,
                or_dash(&target.context_tokens),
                or_dash(&price("input")),
                or_dash(&price("output")),
                target.memory.as_ref().map_or_else(|| "-".to_owned(), |m| bytes(m.bytes)),
                state,
            ]);
        }
    }
    table(&["MODEL", "TARGET", ">CONTEXT", ">USD/M IN", ">USD/M OUT", ">MEMORY", "STATE"], &rows)
}

/// `loading 40 %, 3 waiting`; `idle, last used 2026-11-23T19:45:02Z`.
fn memory_state(memory: &ModelMemory) -> String {
    let mut state = memory.state.clone();
    if let Some(percent) = memory.progress_percent {
        state.push_str(&format!(" {percent} %"));
    }
    if memory.requests > 0 {
        state.push_str(&format!(", {} in use", memory.requests));
    }
    if memory.waiting > 0 {
        state.push_str(&format!(", {} waiting", memory.waiting));
    }
    let waiting = memory.queue.iter().filter(|q| q.waiting > 0);
    let waiting: Vec<String> = waiting.take(3).map(|q| format!("{} {}", q.team, q.waiting)).collect();
    if !waiting.is_empty() {
        state.push_str(&format!(", queued: {}", waiting.join(", ")));
    }
    match &memory.last_used {
        Some(at) if memory.requests == 0 => state.push_str(&format!(", last used {at}")),
        _ => {}
    }
    state
}

/// A model file and what its header says.
#[derive(Debug, Serialize)]
struct ModelFile {
    /// Below the folder of models, as a manifest's `local.file` names it.
    file: String,
    bytes: u64,
    architecture: String,
    parameters: u64,
    context_tokens: u64,
    /// Why it cannot be used.
    problem: Option<String>,
}

fn model_files(folder: &Path) -> Vec<ModelFile> {
    let mut paths = Vec::new();
    gather(folder, 0, &mut paths);
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let file = path.strip_prefix(folder).unwrap_or(path).display().to_string();
            let bytes = path.metadata().map_or(0, |m| m.len());
            match header(path) {
                Ok(header) => ModelFile {
                    file,
                    bytes,
                    architecture: header.arch().to_owned(),
                    parameters: header.parameters(),
                    context_tokens: header.context_length(),
                    problem: gguf::check_model(&header).err().map(|e| e.to_string()),
                },
                Err(why) => ModelFile {
                    file,
                    bytes,
                    architecture: String::new(),
                    parameters: 0,
                    context_tokens: 0,
                    problem: Some(why),
                },
            }
        })
        .collect()
}

fn gather(folder: &Path, depth: u32, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|e| e.ok().map(|e| e.path())) {
        if path.is_dir() && depth < 8 {
            gather(&path, depth + 1, paths);
        } else if path.extension().is_some_and(|e| e == "gguf") {
            paths.push(path);
        }
    }
}

fn file_table(files: &[ModelFile], folder: &Path) -> String {
    if files.is_empty() {
        return format!(
            "no model files in {}\n`bedplate model pull hf:<org>/<repo>/<file>.gguf` fetches one\n",
            folder.display()
        );
    }
    let rows: Vec<Vec<String>> = files
        .iter()
        .map(|f| {
            vec![
                f.file.clone(),
                bytes(f.bytes),
                f.architecture.clone(),
                grouped(f.parameters),
                f.context_tokens.to_string(),
                f.problem.clone().unwrap_or_else(|| "ok".to_owned()),
            ]
        })
        .collect();
    table(&["FILE", ">SIZE", "ARCHITECTURE", ">PARAMETERS", ">CONTEXT", "STATE"], &rows)
}

/// Reads a file's header, every size checked against the file.
pub(crate) fn header(path: &Path) -> Result<gguf::Header, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let length = file.metadata().map_err(|e| e.to_string())?.len();
    gguf::Header::read(BufReader::with_capacity(1 << 16, file), length).map_err(|e| e.to_string())
}

#[derive(Debug, Serialize)]
struct Inspected {
    file: String,
    bytes: u64,
    name: Option<String>,
    architecture: String,
    parameters: u64,
    tensors: usize,
    context_tokens: u64,
    vocabulary: u64,
    chat_template: bool,
    embeddings: bool,
    /// What was planned for.
    planned_context_tokens: u64,
    sequences: u64,
    weights_bytes: u64,
    kv_bytes: u64,
    compute_bytes: u64,
    memory_bytes: u64,
    loadable: bool,
    problem: Option<String>,
}

fn inspect(path: &Path, context: u64, sequences: u64) -> Result<Inspected, Failure> {
    let bytes = path.metadata().map_err(|e| failure::file("read", path, &e))?.len();
    let refused = |why: String| {
        Report::new("CL0009", format!("{} is not a model that may be loaded", path.display())).because(why)
    };
    let header = header(path).map_err(refused)?;
    let problem = gguf::check_model(&header).err().map(|e| e.to_string());
    let sequences = sequences.clamp(1, 4096);
    let room = gguf::Room {
        cells: context.clamp(1, 1 << 28).saturating_mul(sequences),
        step_rows: 512,
        outputs: sequences,
        kv_element_bytes: 2,
    };
    let estimate = gguf::estimate(&header, room).unwrap_or_default();
    Ok(Inspected {
        file: path.display().to_string(),
        bytes,
        name: header.text("general.name").map(str::to_owned),
        architecture: header.arch().to_owned(),
        parameters: header.parameters(),
        tensors: header.tensors.len(),
        context_tokens: header.context_length(),
        vocabulary: header.vocab_len(),
        chat_template: header.template().is_some(),
        embeddings: header.pooling().is_some_and(|p| p > 0),
        planned_context_tokens: context,
        sequences,
        weights_bytes: estimate.weights,
        kv_bytes: estimate.kv,
        compute_bytes: estimate.compute,
        memory_bytes: estimate.total(),
        loadable: problem.is_none(),
        problem,
    })
}

impl Inspected {
    fn render(&self) -> String {
        let yes = |b: bool| if b { "yes" } else { "no" };
        format!(
            "file           {} ({} bytes)\n\
             name           {}\n\
             architecture   {}, {} parameters in {} tensors\n\
             context        {} tokens, vocabulary {}\n\
             chat template  {}, embeddings {}\n\
             memory         {} for {} sequences of {} tokens: weights {}, keys and values {}, computing up to {}\n\
             loadable       {}\n",
            self.file,
            grouped(self.bytes),
            self.name.as_deref().unwrap_or("-"),
            self.architecture,
            grouped(self.parameters),
            self.tensors,
            self.context_tokens,
            grouped(self.vocabulary),
            yes(self.chat_template),
            yes(self.embeddings),
            bytes(self.memory_bytes),
            self.sequences,
            self.planned_context_tokens,
            bytes(self.weights_bytes),
            bytes(self.kv_bytes),
            bytes(self.compute_bytes),
            self.problem.as_deref().unwrap_or("yes"),
        )
    }
}
