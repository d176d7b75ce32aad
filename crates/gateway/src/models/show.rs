//! Where the models stand, for people, metrics and `/readyz`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use engine::{Health, Standing, Stats, Tenant};
use report::Report;
use residency::Phase;
use units::Micros;

use super::Key;
use super::keeper::{Inner, Slot, State, now};

/// One model, as far as memory is concerned.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// `unloaded`, `loading`, `loaded`, `idle`, `draining`, `unloading`, `failed`, `stalled` or `dead`.
    pub state: &'static str,
    /// Of a load under way, in percent.
    pub progress_percent: Option<u32>,
    /// What it takes when loaded, exact before the load.
    pub memory_bytes: u64,
    pub keep_alive: Option<Duration>,
    pub preload: bool,
    /// Requests that use it.
    pub requests: u32,
    /// Requests that wait until it is in memory.
    pub waiting: u32,
    /// When a request used it last; wall clock.
    pub used: Option<Micros>,
    /// How often it was loaded, this version of its file.
    pub loads: u64,
    /// Why it failed.
    pub failure: Option<Report>,
    /// Of the loaded engine.
    pub stats: Option<Stats>,
    /// Tenants that have requests there, or had lately.
    pub tenants: Vec<(Tenant, Standing)>,
}

/// Whether the models that should be there are.
#[derive(Clone, Debug, PartialEq)]
pub enum Readiness {
    Ready,
    /// Preloads are under way.
    Loading(String),
    /// A preloaded model cannot be loaded, or an engine computes nothing.
    Broken(String),
}

impl Inner {
    pub fn show(self: &Arc<Inner>, key: &Key) -> Option<Shown> {
        let state = self.state();
        let declared = state.declared.get(key)?;
        let model = *declared.current.as_ref().ok()?;
        let (slot, look) = (state.slots.get(&model)?, state.residency.look(model)?);
        let name = match look.phase {
            _ if look.need_bytes > self.config.budget_bytes => "failed",
            Phase::Unloaded => "unloaded",
            Phase::Loading { .. } => "loading",
            Phase::Loaded { .. } if slot.is_dead() => "dead",
            Phase::Loaded { .. } if stalled(slot).is_some() => "stalled",
            Phase::Loaded { .. } if look.draining => "draining",
            Phase::Loaded { .. } if look.leases > 0 => "loaded",
            Phase::Loaded { .. } => "idle",
            Phase::Unloading => "unloading",
            Phase::Failed { .. } => "failed",
        };
        let failure = match name {
            "failed" if look.need_bytes > self.config.budget_bytes => {
                let error = engine::Error::Memory { need: look.need_bytes, have: self.config.budget_bytes };
                Some(error.report())
            }
            "failed" => slot.failure.clone(),
            _ => None,
        };
        let ago = |at: Micros| i64::try_from(now().since(at)).unwrap_or(0);
        Some(Shown {
            state: name,
            progress_percent: (name == "loading").then(|| slot.progress.load(Relaxed).min(1_000) / 10),
            memory_bytes: look.need_bytes,
            keep_alive: declared.wish.keep_alive,
            preload: declared.wish.preload,
            requests: look.leases,
            waiting: look.waiters,
            used: look.used.map(|at| runtime::clock::now().plus_us(-ago(at))),
            loads: look.loads,
            failure,
            stats: slot.engine.as_ref().map(|engine| engine.stats()),
            tenants: slot.engine.as_ref().map(|engine| engine.tenants()).unwrap_or_default(),
        })
    }

    pub fn readiness(self: &Arc<Inner>) -> Readiness {
        let state = self.state();
        let mut loading = Vec::new();
        for (key, declared) in &state.declared {
            let file = key.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match preload(&state, key) {
                _ if !declared.wish.preload => {}
                Preload::There => {}
                Preload::Coming(percent) => loading.push(format!("{file} {percent} %")),
                Preload::Failed(why) => return Readiness::Broken(format!("{file} cannot be loaded: {why}")),
            }
        }
        for slot in state.slots.values() {
            let file = slot.key.path.file_name().unwrap_or_default().to_string_lossy();
            if slot.is_dead() {
                return Readiness::Broken(format!("the engine of {file} has died"));
            }
            if let Some(us) = stalled(slot) {
                let seconds = us / 1_000_000;
                return Readiness::Broken(format!(
                    "the engine of {file} has computed nothing for {seconds} s"
                ));
            }
        }
        if loading.is_empty() { Readiness::Ready } else { Readiness::Loading(loading.join(", ")) }
    }
}

/// For how long its engine has had work and computed nothing (TRAPS R2).
fn stalled(slot: &Slot) -> Option<u64> {
    match slot.engine.as_ref()?.health() {
        Health::Stalled { for_us } => Some(for_us),
        Health::Ready | Health::Dead => None,
    }
}

enum Preload {
    /// In memory, or it was and had to go: requests load it.
    There,
    Coming(u32),
    Failed(String),
}

fn preload(state: &State, key: &Key) -> Preload {
    let Some(declared) = state.declared.get(key) else { return Preload::There };
    let model = match &declared.current {
        Ok(model) => *model,
        Err(report) => return Preload::Failed(report.sentence()),
    };
    let (Some(slot), Some(look)) = (state.slots.get(&model), state.residency.look(model)) else {
        return Preload::There;
    };
    match look.phase {
        Phase::Loading { .. } => Preload::Coming(slot.progress.load(Relaxed).min(1_000) / 10),
        Phase::Unloaded if look.warming => Preload::Coming(0),
        Phase::Failed { .. } => {
            Preload::Failed(slot.failure.as_ref().map_or_else(|| "it failed".into(), Report::sentence))
        }
        _ => Preload::There,
    }
}
