//! The command line: its words, the client commands, and how answers look.
//!
//! Some commands run inside the process (`serve`, `doctor`, and the `model`
//! commands that compute) and belong to `app`, which holds the edges they need; [`parse`] hands them
//! over as values. Everything else is a client of the control API and the data
//! plane, and runs here.
//!
//! Data goes to standard output, speech to standard error; `--json` makes the
//! data one JSON value. Secrets are read from the environment or from standard
//! input, never from arguments: those stand in the process list (TRAPS X4).

mod args;
pub mod bench;
mod client;
mod commands;
pub mod compress;
mod context;
pub mod doctor;
mod duration;
mod explain;
mod failure;
pub mod guard;
pub mod import;
mod kept;
mod progress;
mod pull;
mod size;
mod sse;
mod table;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

pub use crate::context::{data_dir, environment};
pub use args::{
    Attention, AuditDamage, AuditVerify, Bench, Doctor, EngineProcess, MasterKey, Rewrap, Role, Serve,
};
pub use commands::audit::{print_check, public_key};
pub use failure::Failure;
pub use progress::Progress;

/// What the user asked for.
#[derive(Debug)]
pub enum Command {
    Serve(Serve),
    Doctor { args: Doctor, json: bool },
    EngineProcess,
    FormatProcess,
    Bench { args: Bench, json: bool },
    Quantize { args: compress::Quantize, json: bool },
    Eval { args: compress::Eval, json: bool },
    Import { args: import::Import, json: bool },
    Rewrap { args: Rewrap, json: bool },
    AuditVerify { args: AuditVerify, json: bool },
    Client(Client),
}

/// A command that talks to a server, or to files; run by [`run`].
#[derive(Debug)]
pub struct Client {
    global: args::Global,
    command: args::Top,
}

/// Reads the process's arguments. Ends the process on `--help` (0) and on
/// arguments that make no sense (2).
pub fn parse() -> Command {
    sort(args::Cli::parse())
}

/// Reads given arguments, the program's name first.
///
/// # Errors
/// What clap says about them; also `--help` and `--version`.
pub fn parse_from<I, T>(arguments: I) -> Result<Command, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<std::ffi::OsString> + Clone,
{
    args::Cli::try_parse_from(arguments).map(sort)
}

/// The whole command tree, for completions and for checking documentation.
pub fn tree() -> clap::Command {
    args::Cli::command()
}

fn sort(cli: args::Cli) -> Command {
    let json = cli.global.json;
    match cli.command {
        args::Top::Serve(args) => Command::Serve(args),
        args::Top::EngineProcess { .. } => Command::EngineProcess,
        args::Top::FormatProcess => Command::FormatProcess,
        args::Top::Doctor(args) => Command::Doctor { args, json },
        args::Top::Keys(args::Keys::Rewrap(args)) => Command::Rewrap { args, json },
        args::Top::Model(args::Model::Bench(args)) => Command::Bench { args, json },
        args::Top::Model(args::Model::Quantize(args)) => Command::Quantize { args, json },
        args::Top::Model(args::Model::Import(args)) => Command::Import { args, json },
        args::Top::Model(args::Model::Eval(args)) => Command::Eval { args, json },
        args::Top::Audit(args::Audit::Verify(args)) if args.data.is_some() => {
            Command::AuditVerify { args, json }
        }
        command => Command::Client(Client { global: cli.global, command }),
    }
}

/// Runs a client command to its end.
pub fn run(client: Client) -> ExitCode {
    let json = client.global.json;
    match commands::run(client.global, client.command) {
        Ok(code) => code,
        Err(failure) => failure.print(json),
    }
}

#[cfg(test)]
mod tests;
