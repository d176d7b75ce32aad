//! `bench gateway`: what one hop costs.
//!
//! Our binary with keys, limits, ledger and store on, a reverse-proxy floor, and
//! every peer that is installed, all in front of the same mock. Rounds go
//! through the systems in rotating order, so that a slow minute of the machine
//! falls on all of them. See docs/benchmarks.md for the method.

mod figures;
mod measure;
mod ours;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::machine::{self, Pinning};
use crate::mock::Mock;
use crate::output::Output;
use crate::peers::{GATEWAYS, Running};
use crate::server::Launcher;
use figures::Figures;
use measure::Plan;
pub use ours::{admin_key, check_binary, find_key};

/// Options of `bench gateway`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The release binary to measure; without it only floor and peers run.
    #[arg(long, env = "BEDPLATE_BIN")]
    pub bedplate: Option<PathBuf>,
    /// Install the peers that are not there yet (minutes, about 1 GB).
    #[arg(long)]
    pub peers: bool,
    /// Only systems whose name starts with one of these, by comma.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Only scenarios of these names, by comma.
    #[arg(long, value_delimiter = ',')]
    pub scenario: Vec<String>,
    /// Rounds over all systems [default: 5, with --quick 2].
    #[arg(long)]
    pub rounds: Option<usize>,
    /// Requests in flight in the closed loop of every system, as in the peers'
    /// published runs. More of them share one disk sync of ours.
    #[arg(long, default_value_t = 16)]
    pub connections: usize,
    /// Keep the run's scratch folder (logs, configurations, data directory).
    #[arg(long)]
    pub keep: bool,
}

/// One system of the run: up, or the reason why not.
struct System {
    name: String,
    state: Result<Running, String>,
}

pub fn run(options: &Options, output: &Output) -> Result<()> {
    if let Some(binary) = &options.bedplate {
        ours::check_binary(binary)?;
    }
    let machine = machine::describe();
    let pinning = Pinning::available(machine.cores);
    output.say(&format!("machine: {machine}"));
    output.say(match pinning {
        Pinning::Split => "cores: the system under test on 0, generator and mock on 1",
        Pinning::None => "cores: not pinned (one core, or no taskset): latencies mean little",
    });
    pinning.pin_generator();
    crate::load::sharpen_sleep();

    let scratch =
        tempfile::Builder::new().prefix("bedplate-bench-").tempdir().context("make a scratch folder")?;
    let launcher = Launcher::new(pinning, scratch.path().to_owned());
    let mock = Mock::start(&launcher).context("start the mock")?;
    let subject =
        options.bedplate.clone().map(|binary| ours::Ours::new(binary, &launcher, &mock)).transpose()?;
    let systems = start_all(options, output, &launcher, &mock, subject.as_ref());
    let mut figures = Figures::new(systems.iter().map(|system| system.name.clone()).collect());
    let ours = subject.is_some().then_some(0);

    let plan = Plan::new(output.quick, options.rounds, options.connections, &options.scenario);
    measure::all(&plan, &systems, &mock, output, &mut figures)?;
    stop_all(systems);
    if let Some(subject) = &subject {
        measure::starts(subject, &launcher, &plan, &mut figures)?;
    }
    pinning.unpin_generator(machine.cores);

    output.say(&format!("load after: {:.2} (1 min) {:.2} (5 min)", machine::load().0, machine::load().1));
    output.keep_raw("gateway", &machine, figures.raw())?;
    output.print(&figures.rows("gateway", ours));
    if options.keep {
        output.say(&format!("kept {}", scratch.keep().display()));
    }
    Ok(())
}

/// Starts ours first, then the floor and the peers. None of them can fail the
/// run; what did not start carries its reason into the table.
fn start_all(
    options: &Options,
    output: &Output,
    launcher: &Launcher,
    mock: &Mock,
    subject: Option<&ours::Ours>,
) -> Vec<System> {
    let mut systems = Vec::new();
    if let Some(subject) = subject {
        let state = subject.start(launcher).map_err(|error| one_line(&error));
        systems.push(System { name: ours::NAME.into(), state });
    }
    let wanted =
        |name: &str| options.only.is_empty() || options.only.iter().any(|only| name.starts_with(only));
    for peer in GATEWAYS.iter().filter(|peer| wanted(peer.name)) {
        let installed = if options.peers { peer.ensure_installed(&output.peers) } else { Ok(()) };
        let state = match installed {
            Err(error) => Err(format!("not installed ({})", one_line(&error))),
            Ok(()) if !peer.installed(&output.peers) => Err("not installed (add --peers)".into()),
            Ok(()) => {
                (peer.start)(launcher, mock, &peer.home(&output.peers)).map_err(|error| one_line(&error))
            }
        };
        systems.push(System { name: peer.name.into(), state });
    }
    for system in &systems {
        match &system.state {
            Ok(running) => output.say(&format!("{}: up in {:.0} ms", system.name, millis(running.ready))),
            Err(why) => output.say(&format!("{}: {why}", system.name)),
        }
    }
    systems
}

/// Ends everything politely, then not: ours gets to drain and to write.
fn stop_all(systems: Vec<System>) {
    for server in
        systems.into_iter().filter_map(|system| system.state.ok()).flat_map(|running| running.servers)
    {
        server.stop(Duration::from_secs(1));
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").replace('\n', " ").chars().take(300).collect()
}
