//! What was measured, by figure and system, and how it becomes rows.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::record::{Row, Target};
use crate::stats::Summary;

/// One line of the table: a figure that each system may have.
#[derive(Clone, Debug)]
pub struct Figure {
    pub row: String,
    pub unit: &'static str,
    pub target: Target,
    /// Requests behind one round.
    pub n: u64,
}

/// All values of a run. Systems are numbered in the order of `systems`.
#[derive(Debug, Default)]
pub struct Figures {
    pub systems: Vec<String>,
    order: Vec<Figure>,
    values: BTreeMap<(String, usize), Vec<f64>>,
    notes: BTreeMap<(String, usize), String>,
}

impl Figures {
    pub fn new(systems: Vec<String>) -> Figures {
        Figures { systems, ..Figures::default() }
    }

    /// Announces a figure; the table keeps the order of announcement.
    pub fn announce(&mut self, figure: Figure) {
        if self.order.iter().all(|known| known.row != figure.row) {
            self.order.push(figure);
        }
    }

    pub fn add(&mut self, row: &str, system: usize, value: f64) {
        self.values.entry((row.to_owned(), system)).or_default().push(value);
    }

    /// Says why a system has no value for a figure; the first reason stays.
    pub fn note(&mut self, row: &str, system: usize, why: impl Into<String>) {
        self.notes.entry((row.to_owned(), system)).or_insert_with(|| why.into());
    }

    pub fn noted(&self, row: &str, system: usize) -> bool {
        self.notes.contains_key(&(row.to_owned(), system))
    }

    pub fn summary(&self, row: &str, system: usize) -> Option<Summary> {
        Summary::of(self.values.get(&(row.to_owned(), system))?)
    }

    /// One row per figure and peer. `ours` is the number of our system, absent
    /// when the binary was not given: the peers are then compared with nothing.
    pub fn rows(&self, bench: &'static str, ours: Option<usize>) -> Vec<Row> {
        let mut rows = Vec::new();
        for figure in &self.order {
            let mine = ours.and_then(|system| self.summary(&figure.row, system));
            let row = |peer, peer_name| Row {
                bench,
                row: figure.row.clone(),
                unit: figure.unit,
                ours: mine,
                peer,
                peer_name,
                target: figure.target,
                ratios: None,
                n: figure.n,
            };
            let before = rows.len();
            for system in (0..self.systems.len()).filter(|system| Some(*system) != ours) {
                let name = &self.systems[system];
                let summary = self.summary(&figure.row, system);
                match (summary, self.notes.get(&(figure.row.clone(), system))) {
                    (Some(_), _) => rows.push(row(summary, Some(name.clone()))),
                    (None, Some(why)) => rows.push(row(None, Some(format!("{name}: {why}")))),
                    (None, None) => {}
                }
            }
            let why = ours.and_then(|system| self.notes.get(&(figure.row.clone(), system)));
            if rows.len() == before && (mine.is_some() || why.is_some()) {
                rows.push(row(None, why.map(|why| format!("(ours: {why})"))));
            }
        }
        rows
    }

    /// Every value of every round, to be kept beside the table.
    pub fn raw(&self) -> Value {
        let values = self.values.iter().map(
            |((row, system), values)| json!({"row": row, "system": self.systems[*system], "rounds": values}),
        );
        let notes = self
            .notes
            .iter()
            .map(|((row, system), why)| json!({"row": row, "system": self.systems[*system], "note": why}));
        json!({"values": values.collect::<Vec<_>>(), "notes": notes.collect::<Vec<_>>()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let mut figures = Figures::new(vec!["ours".into(), "floor".into(), "absent".into()]);
        figures.announce(Figure { row: "cpu".into(), unit: "us", target: Target::AtMost(60.0), n: 10 });
        for value in [50.0, 52.0, 51.0] {
            figures.add("cpu", 0, value);
        }
        figures.add("cpu", 1, 25.0);
        figures.note("cpu", 2, "not installed");
        figures.note("cpu", 2, "something later");
        figures
    }

    #[test]
    fn an_absent_peer_is_a_row_that_says_so() {
        let rows = figures().rows("gateway", Some(0));
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].ratio(), Some(51.0 / 25.0));
        assert_eq!(rows[1].peer_name.as_deref(), Some("absent: not installed"));
        assert_eq!(rows[1].met(), Some(true));
    }

    #[test]
    fn without_ours_the_peers_are_still_shown() {
        let mut figures = figures();
        figures.systems[0] = "another".into();
        let rows = figures.rows("gateway", None);
        assert_eq!(rows.len(), 3);
        assert!(rows.iter().all(|row| row.ours.is_none() && row.met().is_none()));
    }

    #[test]
    fn a_figure_that_only_ours_has_is_one_row() {
        let mut figures = figures();
        figures.announce(Figure { row: "ready".into(), unit: "ms", target: Target::AtMost(150.0), n: 1 });
        figures.add("ready", 0, 90.0);
        let rows = figures.rows("gateway", Some(0));
        assert_eq!(
            (rows[2].row.as_str(), rows[2].peer_name.as_deref(), rows[2].met()),
            ("ready", None, Some(true))
        );
    }
}
