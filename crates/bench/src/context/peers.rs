//! Other libraries over the same vectors, under the same rights, each in a process of
//! its own that waits while others are measured (`peers.py`).

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::corpus::{CHUNKS, Corpus, DIMENSIONS};
use super::dense::{K, Truth};
use crate::output::Output;
use crate::peers::dense::{LIBRARIES, Library};

/// What each must find of the truth before its speed counts.
pub const RECALL: f64 = 0.995;
/// A question that takes longer ends the search for an effort that finds enough.
const PATIENCE_MS: f64 = 500.0;
/// Seconds of questions at one effort, and of one round: a slow peer answers fewer of them.
const LIMIT_S: u64 = 5;

/// A library, and its process or why there is none.
pub struct Peer {
    pub name: &'static str,
    pub state: Result<Running, String>,
}

/// One that has built its index.
pub struct Running {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub built_s: f64,
    /// Resident memory that building took.
    pub bytes: f64,
}

/// The effort (`ef`, or neighbours asked for) with which a peer finds enough.
#[derive(Clone, Copy, Debug)]
pub struct Tuned {
    pub effort: usize,
    pub recall: f64,
}

/// What a peer did with some questions.
pub struct Searched {
    pub ms: Vec<f64>,
    pub cpu_ms: f64,
    pub recall: f64,
}

/// Starts all, one after the other: building takes every core.
pub fn start(corpus: &Corpus, questions: u64, folder: &Path, output: &Output) -> Result<Vec<Peer>> {
    write_files(corpus, questions, folder).context("write the peers' vectors")?;
    Ok(LIBRARIES
        .iter()
        .map(|library| {
            output.step(&format!("{}: build", library.name));
            let state = Running::start(library, folder, output).map_err(|error| format!("{error:#}"));
            if let Ok(running) = &state {
                output.passed(&format!("{}: built in {:.0} s", library.name, running.built_s));
            }
            Peer { name: library.name, state }
        })
        .collect())
}

fn write_files(corpus: &Corpus, questions: u64, folder: &Path) -> Result<()> {
    let about = json!({
        "chunks": corpus.chunks(), "dimensions": DIMENSIONS, "chunks_of_document": CHUNKS, "k": K,
    });
    std::fs::write(folder.join("about.json"), about.to_string())?;
    std::fs::write(folder.join("peers.py"), include_str!("peers.py"))?;
    let write = |name: &str, vectors: &mut dyn Iterator<Item = Vec<f32>>| -> Result<()> {
        let mut file = BufWriter::new(File::create(folder.join(name))?);
        for vector in vectors {
            let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            let bytes: Vec<u8> = vector.iter().flat_map(|x| (x / norm).to_le_bytes()).collect();
            file.write_all(&bytes)?;
        }
        Ok(file.flush()?)
    };
    write("vectors", &mut (0..corpus.chunks()).map(|n| corpus.vector(n)))?;
    write("questions", &mut (0..questions).map(|n| corpus.question(n)))
}

impl Running {
    fn start(library: &Library, folder: &Path, output: &Output) -> Result<Running> {
        let python = library.ensure_installed(&output.peers)?;
        let mut child = Command::new(python)
            .arg(folder.join("peers.py"))
            .args([library.kind.as_ref(), folder.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start python")?;
        let input = child.stdin.take().context("it has no input")?;
        let reader = BufReader::new(child.stdout.take().context("it has no output")?);
        let mut running = Running { child, input, output: reader, built_s: 0.0, bytes: 0.0 };
        let built = running.read()?;
        running.built_s = built["seconds"].as_f64().context("no seconds")?;
        running.bytes = built["bytes"].as_f64().context("no bytes")?;
        Ok(running)
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        ensure!(self.output.read_line(&mut line)? > 0, "it ended; what it said is above");
        Ok(serde_json::from_str(&line)?)
    }

    pub fn search(
        &mut self,
        level: u32,
        questions: Range<u64>,
        effort: usize,
        truth: &Truth,
    ) -> Result<Searched> {
        let count = questions.end - questions.start;
        writeln!(self.input, "{level} {} {count} {effort} {LIMIT_S}", questions.start)?;
        self.input.flush()?;
        let answer = self.read()?;
        let numbers = |name: &str| answer[name].as_array().with_context(|| format!("no {name}"));
        let ms: Vec<f64> = numbers("ms")?.iter().filter_map(Value::as_f64).collect();
        let found = numbers("found")?;
        let answered = ms.len() as u64;
        let sound = answered >= count.min(10) && answered <= count && found.len() == ms.len();
        ensure!(sound, "{answered} times and {} answers to {count} questions", found.len());
        let found = found.iter().map(|ids| ids.as_array().into_iter().flatten().filter_map(Value::as_u64));
        let asked = questions.start..questions.start + answered;
        let recall = truth.recall(asked, found.map(Iterator::collect));
        Ok(Searched { ms, cpu_ms: answer["cpu_ms"].as_f64().context("no CPU time")?, recall })
    }

    /// The least effort that finds enough, or the last that was tried: doubled until it is
    /// enough, and then once between that and the half of it.
    pub fn tune(&mut self, level: u32, questions: Range<u64>, chunks: u64, truth: &Truth) -> Result<Tuned> {
        let most = usize::try_from(chunks).unwrap_or(usize::MAX);
        let mut effort = K;
        loop {
            let tried = self.search(level, questions.clone(), effort, truth)?;
            let slow = tried.ms.iter().sum::<f64>() / tried.ms.len() as f64 > PATIENCE_MS;
            let enough = Tuned { effort, recall: tried.recall };
            if tried.recall >= RECALL && effort > K {
                let between = effort * 3 / 4;
                let recall = self.search(level, questions, between, truth)?.recall;
                let tuned = Tuned { effort: between, recall };
                return Ok(if recall >= RECALL { tuned } else { enough });
            }
            if tried.recall >= RECALL || slow || effort >= most {
                return Ok(enough);
            }
            effort = (effort * 2).min(most);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It ends by itself when its input does; it may be in the middle of a long answer.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
