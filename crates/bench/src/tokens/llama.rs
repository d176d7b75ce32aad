//! llama.cpp's own benches on the same file, and how to read what they print.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Shape;

/// Tokens per second of one run, by shape.
pub fn run(peer: &Path, model: &Path, threads: usize, shape: Shape) -> Result<f64> {
    let bin = peer.join("build/bin");
    let threads = threads.to_string();
    let text = |number: u32| number.to_string();
    match shape {
        Shape::Prefill { tokens } => {
            let args = ["-p", &text(tokens), "-n", "0"];
            single(&output(&bin.join("llama-bench"), model, &threads, &[&args[..], &SINGLE].concat())?)
        }
        Shape::Decode { batch: 1, tokens, .. } => {
            let args = ["-p", "0", "-n", &text(tokens)];
            single(&output(&bin.join("llama-bench"), model, &threads, &[&args[..], &SINGLE].concat())?)
        }
        Shape::Decode { batch, prompt, tokens } => {
            let (cells, prompt, wide) = (text(shape.cells()), text(prompt), text(batch));
            let length = text(tokens);
            let args = ["-c", &cells, "-npp", &prompt, "-ntg", &length, "-npl", &wide];
            let more = ["--output-format", "jsonl"];
            batched(&output(&bin.join("llama-batched-bench"), model, &threads, &[&args[..], &more].concat())?)
        }
    }
}

/// One repetition a call (after its own warm-up): the rounds alternate outside.
const SINGLE: [&str; 4] = ["-r", "1", "-o", "json"];

fn output(program: &Path, model: &Path, threads: &str, args: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.arg("-m").arg(model).args(["-t", threads]).args(args);
    let output = command.output().with_context(|| format!("run {}", program.display()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}", program.display(), errors.lines().last().unwrap_or_default());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `llama-bench -o json`: an array of one test with `avg_ts` in tokens/s.
fn single(text: &str) -> Result<f64> {
    let value: Value = serde_json::from_str(text).context("read the answer of llama-bench")?;
    let rate = value.get(0).and_then(|test| test.get("avg_ts")).and_then(Value::as_f64);
    rate.context("llama-bench printed no avg_ts")
}

/// `llama-batched-bench --output-format jsonl`: seconds of each phase. The
/// rate counts generated tokens over *both* phases, as ours is measured: from
/// the moment all requests are there until the last answer ends.
fn batched(text: &str) -> Result<f64> {
    let line = text.lines().rev().find(|line| line.trim_start().starts_with('{'));
    let value: Value = serde_json::from_str(line.context("llama-batched-bench printed no line of JSON")?)?;
    let number = |key: &str| value.get(key).and_then(Value::as_f64).with_context(|| format!("no {key}"));
    Ok(number("pl")? * number("tg")? / (number("t_pp")? + number("t_tg")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_from_what_the_tools_print() {
        assert_eq!(single("[{\"n_prompt\": 512, \"avg_ts\": 410.5}]").unwrap(), 410.5);
        let line =
            "noise\n{\"n_kv_max\": 4096, \"pp\": 16, \"tg\": 128, \"pl\": 8, \"t_pp\": 1.0, \"t_tg\": 3.0}\n";
        assert_eq!(batched(line).unwrap(), 256.0);
    }

    #[test]
    fn a_tool_that_prints_nothing_is_an_error() {
        assert!(single("").is_err());
        assert!(single("[]").is_err());
        assert!(batched("main: error").is_err());
    }
}
