//! The machine's energy, watched while the server runs: in the metrics, and as
//! the power that local engines are charged by.

use std::collections::HashMap;
use std::time::Duration;

use gateway::models::Models;
use observe::EngineMetrics;
use sensors::{Meter, Power, Spent};

/// Short enough for a counter that begins again, and for power that follows the
/// load; each reading takes some ten microseconds a counter.
const PAUSE: Duration = Duration::from_secs(2);

/// Starts to watch, if there is something to watch.
pub fn watch(models: Models, metrics: EngineMetrics, power: Power) {
    let found = sensors::all();
    for hidden in &found.hidden {
        observe::info!("sensors.hidden", why = hidden.as_str());
    }
    let Some(mut meter) = Meter::new(found) else { return };
    let counters: Vec<&str> = meter.totals().map(|(name, _)| name).collect();
    observe::info!("sensors.found", counters = counters.join(", ").as_str());
    let mut shares = Shares::default();
    let watch = move || loop {
        let spent = meter.read(runtime::clock::monotonic_us());
        power.set(spent.map(|spent| spent.milliwatts()));
        for (name, total) in meter.totals() {
            let counter = metrics.energy.with(&[name]);
            counter.add(total.saturating_sub(counter.value()));
        }
        let mut busy = Vec::new();
        models.each_loaded(|engine| busy.push((engine.info().name.clone(), engine.stats().busy_us)));
        for (model, microjoules) in shares.of(spent, busy) {
            metrics.engine_energy.with(&[&model]).add(microjoules);
        }
        std::thread::sleep(PAUSE);
    };
    if let Err(error) = std::thread::Builder::new().name("sensors".into()).spawn(watch) {
        observe::warn!("sensors.thread", why = error.to_string().as_str());
    }
}

/// How far each engine had come.
#[derive(Default)]
struct Shares(HashMap<String, u64>);

impl Shares {
    /// Each engine's part of what the machine spent: by the time that it
    /// computed. What is left over is the idle machine's.
    fn of(&mut self, spent: Option<Spent>, busy: Vec<(String, u64)>) -> Vec<(String, u64)> {
        let before = std::mem::take(&mut self.0);
        let mut more: Vec<(String, u64)> = Vec::new();
        for (model, is) in busy {
            // One that was loaded anew begins at nothing.
            let was = before.get(&model).copied().filter(|was| *was <= is).unwrap_or(0);
            more.push((model.clone(), is - was));
            *self.0.entry(model).or_default() += is;
        }
        let Some(spent) = spent else { return Vec::new() };
        // Engines that compute side by side share one machine.
        let all: u64 = more.iter().map(|(_, us)| us).sum::<u64>().max(spent.over_us).max(1);
        let part = |us: u64| (u128::from(spent.microjoules) * u128::from(us) / u128::from(all)) as u64;
        more.into_iter().map(|(model, us)| (model, part(us))).filter(|(_, uj)| *uj > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_share_what_the_machine_spent_by_their_time() {
        let mut shares = Shares::default();
        let spent = Some(Spent { microjoules: 1_000, over_us: 100 });
        let busy = |a: u64, b: u64| vec![("a".to_owned(), a), ("b".to_owned(), b)];
        assert_eq!(shares.of(None, busy(10, 0)), []);
        let told =
            |s: &mut Shares, a, b| s.of(spent, busy(a, b)).into_iter().map(|(_, uj)| uj).collect::<Vec<_>>();
        assert_eq!(told(&mut shares, 60, 0), [500], "half of the time, half of the energy");
        assert_eq!(told(&mut shares, 160, 300), [250, 750], "never more than there was");
        assert_eq!(told(&mut shares, 5, 300), [50], "a was loaded anew");
    }
}
