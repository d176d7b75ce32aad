//! `bedplate model bench`: how fast this machine runs a model.

use std::path::PathBuf;
use std::process::ExitCode;

use cli::bench::{Measured, Row};
use engine::{Meter, Workload};

use crate::engines::{self, GUIDE};

pub fn run(args: &cli::Bench, json: bool) -> ExitCode {
    match measure(args) {
        Ok(measured) => cli::bench::print(&measured, json),
        Err(report) => crate::fail(&report),
    }
}

fn measure(args: &cli::Bench) -> Result<Measured, report::Report> {
    let path = file(args)?;
    let threads = args.threads.unwrap_or_else(engines::threads);
    let most = args.batches.iter().copied().max().unwrap_or(1).max(1);
    let cells = (args.prompt_tokens + args.answer_tokens + 1).saturating_mul(most).max(512);
    let started = runtime::clock::monotonic_us();
    let mut meter = Meter::open(&path, threads, cells, most).map_err(|e| e.report())?;
    let load_ms = runtime::clock::monotonic_us().saturating_sub(started) as f64 / 1e3;
    let mut rows = Vec::new();
    for &batch in &args.batches {
        let prefill = meter.run(Workload::Prefill { tokens: args.prompt_tokens }).map_err(|e| e.report())?;
        let decode = Workload::Decode { batch, context: args.prompt_tokens, tokens: args.answer_tokens };
        let decode = meter.run(decode).map_err(|e| e.report())?;
        rows.push(Row {
            batch,
            prefill_tokens_per_second: prefill.tokens_per_second(),
            decode_tokens_per_second: decode.tokens_per_second(),
            first_token_ms: prefill.us as f64 / 1e3,
        });
    }
    let bytes = std::fs::metadata(&path).map(|m| m.len()).unwrap_or(0);
    let file = std::fs::File::open(&path).map_err(|e| report::Report::new("CL0004", e.to_string()))?;
    let header = gguf::Header::read(std::io::BufReader::new(file), bytes)
        .map_err(|e| report::Report::new("CL0009", e.to_string()))?;
    let model = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Measured { model, parameters: header.parameters(), file_bytes: bytes, threads, load_ms, rows })
}

fn file(args: &cli::Bench) -> Result<PathBuf, report::Report> {
    if args.model != GUIDE {
        return Ok(PathBuf::from(&args.model));
    }
    let data = cli::data_dir(args.data.clone()).map_err(|f| report::Report::new("CL0010", f.to_string()))?;
    engines::guide_file(&data).map_err(|e| {
        report::Report::new("CL0004", "the built-in model cannot be written").because(e.to_string())
    })
}
