//! What a process of its own costs per token: the same requests to an engine
//! here and to one there, in turns. CPU time of both processes, because wall
//! time on a shared machine says more about the others.
//!
//!     cargo run --release -p engine-process --example child -- models/guide/bedplate-guide.q8_0.gguf

use std::path::Path;
use std::process::ExitCode;

use chat::{Message, Request, Role};
use engine::{Caller, Options};
use engine_process::{Engine, Launch, Place};

const ROUNDS: usize = 7;
const TOKENS: u32 = 800;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("engine-process") => engine_process::run(),
        Some(path) => {
            measure(Path::new(path));
            ExitCode::SUCCESS
        }
        None => ExitCode::from(2),
    }
}

fn measure(path: &Path) {
    let there = Place::Child(Launch::me("engine-process", Vec::new()));
    let options = Options { threads: 1, n_ctx: Some(8 * 1024), n_seq_max: 8, ..Options::default() };
    let engines = [Place::Here, there]
        .map(|place| Engine::open_with(&place, path, options.clone(), |_| true).expect("it loads"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for streams in [1, 8] {
        let mut us = [const { Vec::new() }; 2];
        for round in 0..=ROUNDS {
            for (engine, us) in engines.iter().zip(&mut us) {
                let before = cpu_us(engine);
                let tokens = runtime.block_on(answers(engine, streams));
                let spent = (cpu_us(engine) - before) as f64 / f64::from(tokens);
                // The first round warms up.
                if round > 0 {
                    us.push(spent);
                }
            }
        }
        let [here, there] = us.map(|mut us| {
            us.sort_by(f64::total_cmp);
            (us[ROUNDS / 2], us[0], us[ROUNDS - 1])
        });
        println!(
            "{streams} streams: CPU per token here {:.1} us [{:.1}-{:.1}], there {:.1} us [{:.1}-{:.1}]",
            here.0, here.1, here.2, there.0, there.1, there.2
        );
    }
}

async fn answers(engine: &Engine, streams: u32) -> u32 {
    let mut running = Vec::new();
    for stream in 0..streams {
        let mut request = Request::new("m");
        request.messages.push(Message::text(Role::User, format!("What is a budget? {stream}")));
        request.max_tokens = Some(TOKENS);
        request.sampling.temperature = Some(0.0);
        request.sampling.logit_bias = (0..8).map(|control| (control, -100.0)).collect();
        running.push(engine.submit_as(&request, &Caller::default()).await.expect("accepted"));
    }
    let mut readers = tokio::task::JoinSet::new();
    for mut generation in running {
        readers.spawn(async move { while generation.next().await.is_some() {} });
    }
    readers.join_all().await;
    streams * TOKENS
}

/// User and system time of this process and of the engine's, in microseconds.
fn cpu_us(engine: &Engine) -> u64 {
    let of = |process: u32| {
        let path = format!("/proc/{process}/schedstat");
        let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect(&path);
        // The scheduler's account, in nanoseconds: `stat` counts in hundredths of a second.
        let each = tasks.filter_map(|task| {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        each.sum::<u64>() / 1_000
    };
    of(std::process::id()) + engine.process().map_or(0, of)
}
