//! One file per noun.

mod access;
pub(crate) mod audit;
mod chat;
mod collections;
mod declared;
mod graph;
mod keys;
mod login;
mod memory;
mod models;
mod money;
mod policies;
mod requests;
mod tools;

#[cfg(test)]
pub(crate) use declared::{Stream, render as render_plan};
pub(crate) use models::header;
#[cfg(test)]
pub(crate) use money::cost_report;

use std::process::ExitCode;

use clap::CommandFactory;
use serde::Serialize;

use crate::args::{self, Cli, Global, Top};
use crate::client::Server;
use crate::{Failure, pull};

pub(crate) fn run(global: Global, command: Top) -> Result<ExitCode, Failure> {
    let json = global.json;
    match command {
        Top::Completions(args) => {
            clap_complete::generate(args.shell, &mut Cli::command(), "bedplate", &mut std::io::stdout());
            return Ok(ExitCode::SUCCESS);
        }
        Top::Chat(args) => return chat::run(&Server::new(&global)?, &args, json),
        Top::Login => login::login(&Server::anonymous(&global)?, json)?,
        Top::Logout => login::logout(&Server::new(&global)?, json)?,
        Top::Whoami => login::whoami(&Server::new(&global)?, json)?,
        Top::BreakGlass(command) => login::break_glass(&Server::new(&global)?, command, json)?,
        Top::Key(command) => access::key(&Server::new(&global)?, command, json)?,
        Top::Keys(args::Keys::List) => keys::list(&Server::new(&global)?, json)?,
        Top::Keys(args::Keys::Rotate(args)) => keys::rotate(&Server::new(&global)?, args, json)?,
        Top::Tenant(command) => keys::tenant(&Server::new(&global)?, command, json)?,
        Top::Team(command) => access::team(&Server::new(&global)?, command, json)?,
        Top::User(command) => access::user(&Server::new(&global)?, command, json)?,
        Top::Provider(command) => access::provider(&Server::new(&global)?, command, json)?,
        Top::Tool(command) => tools::tool(&Server::new(&global)?, command, json)?,
        Top::Approval(command) => tools::approval(&Server::new(&global)?, command, json)?,
        Top::Budget(command) => money::budget(&Server::new(&global)?, command, json)?,
        Top::Cache(command) => collections::cache(&Server::new(&global)?, command, json)?,
        Top::Collection(command) => return collections::run(&Server::new(&global)?, command, json),
        Top::Policy(command) => return policies::run(&Server::new(&global)?, command, json),
        Top::Cost(command) => return money::cost(&Server::new(&global)?, command, json),
        Top::Memory(command) => memory::run(&Server::new(&global)?, command, json)?,
        Top::Model(command) => models::run(&global, command)?,
        Top::Graph(command) => graph::run(&Server::new(&global)?, command, json)?,
        Top::Guard(command) => return crate::guard::run(&global, command),
        Top::Audit(command) => return audit::run(&global, command),
        Top::Explain(args) => requests::explain(&Server::new(&global)?, &args.request_id, json)?,
        Top::Plan(args) => return declared::plan(&Server::new(&global)?, &args, json, true),
        Top::Diff(args) => return declared::plan(&Server::new(&global)?, &args, json, false),
        Top::Apply(args) => declared::apply(&Server::new(&global)?, &args, json)?,
        Top::Status(args) => return declared::status(&Server::new(&global)?, &args, json),
        Top::Serve(_)
        | Top::Doctor(_)
        | Top::EngineProcess { .. }
        | Top::FormatProcess
        | Top::Keys(args::Keys::Rewrap(_)) => {
            unreachable!("`sort` hands these to the caller")
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The data of a command: the value as JSON, or a text made from it.
pub(crate) fn show<T: Serialize>(json: bool, value: &T, text: impl FnOnce(&T) -> String) {
    if json {
        println!("{}", serde_json::json!(value));
    } else {
        let text = text(value);
        print!("{text}{}", if text.ends_with('\n') { "" } else { "\n" });
    }
}

fn pull_model(args: &crate::args::Pull, json: bool) -> Result<(), Failure> {
    let pulled = pull::run(args)?;
    show(json, &pulled, pull::Pulled::render);
    Ok(())
}
