//! `model bench`: how its figures look. `app` measures, for it holds the engine.

use std::process::ExitCode;

use serde::Serialize;

use crate::table::{grouped, table};

/// One measurement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Sequences at once.
    pub batch: u32,
    /// Prompt tokens per second, over all sequences.
    pub prefill_tokens_per_second: f64,
    /// Answer tokens per second, over all sequences.
    pub decode_tokens_per_second: f64,
    /// From the start to the first token, at the median.
    pub first_token_ms: f64,
}

/// What was measured, and where.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    pub model: String,
    pub parameters: u64,
    pub file_bytes: u64,
    pub threads: u32,
    pub load_ms: f64,
    pub rows: Vec<Row>,
}

pub fn print(measured: &Measured, json: bool) -> ExitCode {
    if json {
        println!("{}", serde_json::json!(measured));
    } else {
        print!("{}", render(measured));
    }
    ExitCode::SUCCESS
}

pub fn render(measured: &Measured) -> String {
    let rows: Vec<Vec<String>> = measured
        .rows
        .iter()
        .map(|row| {
            vec![
                row.batch.to_string(),
                format!("{:.1}", row.prefill_tokens_per_second),
                format!("{:.1}", row.decode_tokens_per_second),
                format!("{:.1}", row.first_token_ms),
            ]
        })
        .collect();
    format!(
        "{}: {} parameters, {} bytes, {} threads, loaded in {:.0} ms\n{}",
        measured.model,
        grouped(measured.parameters),
        grouped(measured.file_bytes),
        measured.threads,
        measured.load_ms,
        table(&[">batch", ">prefill tok/s", ">decode tok/s", ">first token ms"], &rows)
    )
}
