//! From runs to rows: which figure of a workload has which target.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::measure::Taken;
use super::subject::Setting;
use super::workload::Workload;
use crate::record::{Row, Target};
use crate::stats::Summary;

/// A figure of a workload. The first of a workload is the one by which a
/// setting of llama-server is its best.
struct Spec {
    figure: &'static str,
    unit: &'static str,
    lower_is_better: bool,
    /// Against llama-server's best setting, or a number.
    target: Target,
    /// Against its default, where the issue has another bound for it.
    default_target: Option<Target>,
}

const fn spec(figure: &'static str, unit: &'static str, lower_is_better: bool, target: Target) -> Spec {
    Spec { figure, unit, lower_is_better, target, default_target: None }
}

const SHOWN_LOW: (bool, Target) = (true, Target::Shown);
const SHOWN_HIGH: (bool, Target) = (false, Target::Shown);

fn specs(workload: Workload) -> Vec<Spec> {
    let low = |figure, unit, times| spec(figure, unit, true, Target::TimesLower(times));
    let high = |figure, unit, share| spec(figure, unit, false, Target::ShareOfPeer(share));
    let shown = |figure, unit, (lower, target): (bool, Target)| spec(figure, unit, lower, target);
    let cost = [
        shown("tokens per CPU-second", "tok/CPU-s", SHOWN_HIGH),
        shown("tokens per joule", "tok/J", SHOWN_HIGH),
    ];
    let [cpu, joule] = cost;
    match workload {
        Workload::B1 => vec![shown("decode", "tok/s", SHOWN_HIGH), cpu, joule],
        Workload::W1 => vec![
            low("ttft p50", "ms", 3.0),
            high("throughput", "tok/s", 2.5),
            cpu,
            joule,
            shown("rss after", "MB", SHOWN_LOW),
        ],
        Workload::W2 => vec![
            Spec { default_target: Some(Target::ShareOfPeer(1.25)), ..high("throughput", "tok/s", 1.1) },
            shown("ttft p50", "ms", SHOWN_LOW),
            cpu,
            joule,
        ],
        Workload::W3 => vec![
            low("worst inter-token", "ms", 8.0),
            shown("newcomer ttft", "ms", SHOWN_LOW),
            shown("throughput", "tok/s", SHOWN_HIGH),
        ],
        Workload::W4 => vec![
            low("ttft after restart", "ms", 40.0),
            low("ttft after kill -9", "ms", 40.0),
            shown("cold ttft", "ms", SHOWN_LOW),
        ],
        Workload::W5 => vec![
            low("B ttft", "ms", 30.0),
            spec("A beside B, of A alone", "share", false, Target::AtLeast(0.95)),
            shown("A throughput", "tok/s", SHOWN_HIGH),
            cpu,
            joule,
        ],
        Workload::W6 => vec![spec("core free after", "ms", true, Target::AtMost(50.0))],
        Workload::W7 => vec![
            spec("errors", "of 32", true, Target::AtMost(0.0)),
            shown("throughput", "tok/s", SHOWN_HIGH),
            cpu,
        ],
    }
}

/// Everything that was taken, by workload and setting, and within by round.
#[derive(Default)]
pub struct Figures {
    taken: BTreeMap<(Workload, Setting), BTreeMap<usize, Taken>>,
    /// Why a setting has no figures.
    notes: BTreeMap<(Workload, Setting), String>,
}

impl Figures {
    pub fn add(&mut self, workload: Workload, setting: Setting, round: usize, taken: Taken) {
        self.taken.entry((workload, setting)).or_default().insert(round, taken);
    }

    pub fn note(&mut self, workload: Workload, setting: Setting, why: String) {
        self.notes.entry((workload, setting)).or_insert(why);
    }

    fn values(&self, workload: Workload, setting: Setting, figure: &str) -> BTreeMap<usize, f64> {
        let rounds = self.taken.get(&(workload, setting)).into_iter().flatten();
        rounds.filter_map(|(round, taken)| Some((*round, taken.get(figure)?))).collect()
    }

    fn summary(&self, workload: Workload, setting: Setting, figure: &str) -> Option<Summary> {
        Summary::of(&self.values(workload, setting, figure).into_values().collect::<Vec<_>>())
    }

    /// Settings of llama-server that were to run, in order.
    fn peers(&self, workload: Workload) -> Vec<Setting> {
        let keys = self.taken.keys().chain(self.notes.keys());
        let mut found: Vec<Setting> =
            keys.filter(|(w, s)| *w == workload && *s != Setting::Ours).map(|(_, s)| *s).collect();
        found.sort();
        found.dedup();
        found
    }

    /// The setting of llama-server that does best at the workload's first figure.
    pub fn best_peer(&self, workload: Workload) -> Option<Setting> {
        let first = specs(workload).into_iter().next()?;
        let figures = self
            .peers(workload)
            .into_iter()
            .filter_map(|setting| Some((setting, self.summary(workload, setting, first.figure)?.median)));
        let sign = if first.lower_is_better { 1.0 } else { -1.0 };
        figures.min_by(|a, b| (sign * a.1).total_cmp(&(sign * b.1))).map(|(setting, _)| setting)
    }

    /// How much worse than the best a setting does: 1 is the best itself.
    pub fn worse_than_best(&self, workload: Workload, setting: Setting) -> Option<f64> {
        let first = specs(workload).into_iter().next()?;
        let median = |s| Some(self.summary(workload, s, first.figure)?.median);
        let (best, this) = (median(self.best_peer(workload)?)?, median(setting)?);
        Some(if first.lower_is_better { this / best } else { best / this })
    }

    pub fn rows(&self, workload: Workload) -> Vec<Row> {
        let best = self.best_peer(workload);
        let mut rows = Vec::new();
        for spec in specs(workload) {
            let before = rows.len();
            for setting in self.peers(workload) {
                rows.extend(self.row(workload, &spec, Some(setting), best == Some(setting)));
            }
            if rows.len() == before {
                rows.extend(self.row(workload, &spec, None, false));
            }
        }
        rows.extend(self.failures(workload));
        rows
    }

    /// One figure beside one setting. `None` where nobody has the figure, or
    /// the setting has none of it and another one has.
    fn row(&self, workload: Workload, spec: &Spec, peer: Option<Setting>, best: bool) -> Option<Row> {
        let ours = self.values(workload, Setting::Ours, spec.figure);
        let theirs = peer.map(|setting| self.values(workload, setting, spec.figure)).unwrap_or_default();
        let note = peer.and_then(|setting| self.notes.get(&(workload, setting)));
        let why_not = self.notes.get(&(workload, Setting::Ours));
        if theirs.is_empty() && (ours.is_empty() || (peer.is_some() && note.is_none())) {
            return None;
        }
        let ratios: Vec<f64> = ours
            .iter()
            .filter_map(|(round, mine)| theirs.get(round).filter(|t| **t != 0.0).map(|t| mine / t))
            .collect();
        let default = peer == Some(Setting::Llama(None));
        let target = match (spec.default_target, default) {
            (Some(target), true) if !best => target,
            _ => spec.target,
        };
        let mut name = peer.map(Setting::name);
        if best && self.peers(workload).len() > 1 {
            name = name.map(|name| name + ", its best");
        }
        if let Some(why) = note.filter(|_| theirs.is_empty()) {
            name = name.map(|name| format!("{name}: {why}"));
        }
        if let (true, Some(why)) = (ours.is_empty(), why_not) {
            name = name.map(|name| format!("{name} (ours: {why})"));
        }
        let summary =
            |values: &BTreeMap<usize, f64>| Summary::of(&values.values().copied().collect::<Vec<_>>());
        let asked = self.taken.get(&(workload, Setting::Ours)).and_then(|rounds| rounds.values().next());
        Some(Row {
            bench: "serve",
            row: format!("{} {}", workload.name(), spec.figure),
            unit: spec.unit,
            ours: summary(&ours),
            peer: summary(&theirs),
            peer_name: name,
            target,
            ratios: Summary::of(&ratios),
            n: asked.map_or(0, |taken| taken.asked as u64),
        })
    }

    /// A row for requests that failed where none may; W7 has its own.
    fn failures(&self, workload: Workload) -> Option<Row> {
        let count = |setting| {
            let rounds = self.taken.get(&(workload, setting)).into_iter().flatten();
            rounds.map(|(_, taken)| taken.errors.len() as f64).collect::<Vec<f64>>()
        };
        let ours = count(Setting::Ours);
        let best = self.best_peer(workload);
        let theirs = best.map(count).unwrap_or_default();
        let any = |counts: &[f64]| counts.iter().any(|n| *n > 0.0);
        let shown = workload != Workload::W7 && (any(&ours) || any(&theirs));
        shown.then(|| Row {
            bench: "serve",
            row: format!("{} failed requests", workload.name()),
            unit: "requests",
            ours: Summary::of(&ours),
            peer: Summary::of(&theirs),
            peer_name: best.map(Setting::name),
            target: Target::AtMost(0.0),
            ratios: None,
            n: 1,
        })
    }

    /// Every value of every round.
    pub fn raw(&self) -> Value {
        let runs = self.taken.iter().flat_map(|((workload, setting), rounds)| {
            rounds.iter().map(move |(round, taken)| {
                let figures: serde_json::Map<String, Value> =
                    taken.figures.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
                json!({
                    "workload": workload.name(),
                    "system": setting.name(),
                    "round": round,
                    "asked": taken.asked,
                    "figures": figures,
                    "errors": taken.errors,
                })
            })
        });
        json!(runs.collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Setting = Setting::Llama(None);
    const WIDE: Setting = Setting::Llama(Some(16));

    fn taken(figure: &'static str, value: f64) -> Taken {
        Taken { figures: vec![(figure, value)], asked: 16, errors: Vec::new() }
    }

    fn two_rounds() -> Figures {
        let mut figures = Figures::default();
        for (round, values) in [[8.0, 24.0, 70.0], [10.0, 20.0, 72.0]].into_iter().enumerate() {
            for (setting, value) in [Setting::Ours, DEFAULT, WIDE].into_iter().zip(values) {
                figures.add(Workload::W1, setting, round, taken("ttft p50", value));
            }
        }
        figures
    }

    #[test]
    fn rounds_are_compared_in_pairs_with_every_setting() {
        let rows = two_rounds().rows(Workload::W1);
        assert_eq!(rows.len(), 2);
        let first = &rows[0];
        assert_eq!(first.peer_name.as_deref(), Some("llama-server default (-np 4), its best"));
        let ratios = first.ratios.unwrap();
        assert_eq!((ratios.low, ratios.high), (8.0 / 24.0, 0.5));
        assert_eq!(first.met(), Some(false));
        assert_eq!(rows[1].met(), Some(true));
    }

    #[test]
    fn the_best_setting_is_the_best_at_the_first_figure() {
        let figures = two_rounds();
        assert_eq!(figures.best_peer(Workload::W1), Some(DEFAULT));
        assert!(figures.worse_than_best(Workload::W1, WIDE).unwrap() > 3.0);
        assert_eq!(figures.best_peer(Workload::W2), None);
    }

    #[test]
    fn the_default_has_its_own_target_only_while_it_is_not_the_best() {
        let mut figures = Figures::default();
        for (setting, value) in [(Setting::Ours, 140.0), (DEFAULT, 113.0), (WIDE, 128.0)] {
            figures.add(Workload::W2, setting, 0, taken("throughput", value));
        }
        let targets: Vec<Target> = figures.rows(Workload::W2).iter().map(|row| row.target).collect();
        assert_eq!(targets, [Target::ShareOfPeer(1.25), Target::ShareOfPeer(1.1)]);
    }

    #[test]
    fn a_missing_peer_is_a_row_that_says_so_and_ours_is_shown_alone_without_one() {
        let mut figures = Figures::default();
        figures.add(Workload::W6, Setting::Ours, 0, taken("core free after", 12.0));
        assert_eq!(figures.rows(Workload::W6)[0].met(), Some(true));
        figures.note(Workload::W6, DEFAULT, "not built".into());
        let rows = figures.rows(Workload::W6);
        assert_eq!(rows.len(), 1);
        assert!(rows[0].peer_name.as_deref().unwrap().ends_with(": not built"));
    }

    #[test]
    fn requests_that_failed_get_a_row_of_their_own() {
        let mut figures = two_rounds();
        let failed = Taken { errors: vec!["HTTP 500".into()], ..taken("ttft p50", 9.0) };
        figures.add(Workload::W1, Setting::Ours, 2, failed);
        let rows = figures.rows(Workload::W1);
        let last = rows.last().unwrap();
        assert_eq!((last.row.as_str(), last.ours.unwrap().high), ("W1 failed requests", 1.0));
    }
}
