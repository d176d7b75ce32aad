//! One measurement of our engine, in a process of its own.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use chat::{Event, Message, Part, Request, Role};
use engine::{Engine, Generation};

use super::Shape;
use crate::clock;

/// `bench engine-single`: what `bench engine` starts for each measurement.
#[derive(Debug, clap::Args)]
pub struct Single {
    model: PathBuf,
    #[arg(long, default_value_t = 1)]
    threads: u32,
    #[arg(long)]
    prefill: Option<u32>,
    #[arg(long, default_value_t = 1)]
    batch: u32,
    #[arg(long, default_value_t = 1)]
    prompt: u32,
    #[arg(long, default_value_t = 128)]
    tokens: u32,
}

/// Prints tokens per second.
pub fn run(single: &Single) -> Result<()> {
    let shape = match single.prefill {
        Some(tokens) => Shape::Prefill { tokens },
        None => Shape::Decode { batch: single.batch, prompt: single.prompt, tokens: single.tokens },
    };
    let options = engine::Options {
        n_ctx: Some(shape.cells()),
        n_seq_max: single.batch,
        threads: single.threads,
        ..engine::Options::default()
    };
    let engine = Engine::open(&single.model, options)?;
    measure(&engine, warm_up(shape))?;
    println!("{:.3}", measure(&engine, shape)?);
    Ok(())
}

/// The same shape, short: pages are touched and buffers are made.
fn warm_up(shape: Shape) -> Shape {
    match shape {
        Shape::Decode { batch, prompt, .. } => Shape::Decode { batch, prompt, tokens: 2 },
        prefill => prefill,
    }
}

fn measure(engine: &Engine, shape: Shape) -> Result<f64> {
    let (batch, prompt, tokens) = match shape {
        Shape::Prefill { tokens } => (1, tokens, 1),
        Shape::Decode { batch, prompt, tokens } => (batch, prompt, tokens),
    };
    let requests: Vec<Request> = (0..batch).map(|index| request(index, prompt, tokens)).collect();
    let before = engine.stats();
    let start = clock::now();
    let running: Vec<Generation> = requests.iter().map(|r| engine.complete(r)).collect::<Result<_, _>>()?;
    let prompts: u64 = running.iter().map(|generation| u64::from(generation.prompt_tokens())).sum();
    drain(running)?;
    let elapsed = start.elapsed().as_secs_f64();
    let after = engine.stats();
    let written = after.generated_tokens - before.generated_tokens;
    let planned = u64::from(batch * tokens);
    ensure!(written == planned, "{written} tokens were written and {planned} were asked for");
    ensure!(
        prompts == u64::from(batch * prompt),
        "the prompts have {prompts} tokens, not {}",
        batch * prompt
    );
    Ok(match shape {
        Shape::Prefill { tokens } => f64::from(tokens) / elapsed,
        Shape::Decode { .. } => written as f64 / elapsed,
    })
}

/// A prompt of exactly `tokens` tokens (the tokenizer adds a first one), no two
/// alike from their first word on, and an answer that cannot end by itself.
fn request(index: u32, tokens: u32, answer: u32) -> Request {
    let letter = |n: u32| char::from(b'a' + (n % 26) as u8).to_string();
    let words: Vec<String> = (1..tokens).map(|place| letter(index + place)).collect();
    let mut request = Request {
        messages: vec![Message { role: Role::User, parts: vec![Part::Text(words.join(" "))], name: None }],
        max_tokens: Some(answer),
        n: 1,
        ..Request::default()
    };
    request.sampling.temperature = Some(0.0);
    // `</s>` of the random model's vocabulary.
    request.sampling.logit_bias = vec![(2, -100.0)];
    request
}

/// Reads all answers to their ends. The engine writes each into its own bounded
/// queue, so they are read side by side, as a server would.
fn drain(running: Vec<Generation>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().context("start a runtime")?;
    runtime.block_on(async {
        let mut readers = tokio::task::JoinSet::new();
        for mut generation in running {
            readers.spawn(async move {
                while let Some(event) = generation.next().await {
                    if let Event::Failed { message, .. } = event {
                        bail!("{message}");
                    }
                }
                Ok(())
            });
        }
        while let Some(read) = readers.join_next().await {
            read.context("read an answer")??;
        }
        Ok(())
    })
}
