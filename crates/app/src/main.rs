//! `bedplate`: one binary. This file is its table of contents.

mod assemble;
mod backends;
mod bench;
mod compress;
mod doctor;
mod dumps;
mod energy;
mod engines;
mod front;
mod host;
mod identities;
mod import;
mod keys;
mod labels;
mod listen;
mod log;
mod pages;
mod policies;
mod queue;
mod serve;
mod shields;
mod signin;
mod sources;
mod teams;
mod tools;

use std::process::ExitCode;

use cli::Command;

/// mimalloc, because the hot path's small short-lived allocations on several
/// threads cost about a third of what glibc's arenas take for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::parse() {
        Command::Serve(args) => engines::with_openmp(|| serve::run(args)),
        Command::Bench { args, json } => engines::with_openmp(|| bench::run(&args, json)),
        Command::Quantize { args, json } => engines::with_openmp(|| compress::quantize(&args, json)),
        Command::Eval { args, json } => engines::with_openmp(|| compress::eval(&args, json)),
        Command::Import { args, json } => engines::with_openmp(|| import::run(&args, json)),
        Command::Rewrap { args, json } => keys::rewrap(args, json),
        // Its server has set the environment that `with_openmp` would.
        Command::EngineProcess => engine_process::run(),
        Command::FormatProcess => formats::run(),
        Command::AuditVerify { args, json } => log::verify(&args, json),
        Command::Doctor { args, json } => doctor::run(args, json),
        Command::Client(client) => {
            end_with_the_pipe();
            cli::run(client)
        }
    }
}

/// Ends a command with a report on standard error.
fn fail(report: &report::Report) -> ExitCode {
    eprintln!("{report}");
    ExitCode::from(1)
}

/// Lets a command whose reader has left (`bedplate ... | head`) end as other commands do,
/// in silence and with 128 and the number of SIGPIPE, where printing would panic.
fn end_with_the_pipe() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let what = info.payload_as_str().unwrap_or_default();
        if what.starts_with("failed") && what.contains("Broken pipe") {
            std::process::exit(141);
        }
        told(info);
    }));
}
