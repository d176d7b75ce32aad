//! One result, as people and as other programs read it.
//!
//! The JSON shape is an outside contract (DESIGN §6): an array of
//! `{bench,row,unit,ours,peer,peer_name,ratio,target,met,n,spread}`.

use serde_json::{Value, json};

use crate::stats::Summary;

/// Which way is better, and the bound the issue sets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// At least this share of the peer of the same row.
    ShareOfPeer(f64),
    /// So many times lower than the peer of the same row, or more.
    TimesLower(f64),
    /// Measured for the reader; no bound set.
    Shown,
}

/// One comparison: one figure of ours beside one peer's.
#[derive(Clone, Debug)]
pub struct Row {
    pub bench: &'static str,
    pub row: String,
    pub unit: &'static str,
    pub ours: Option<Summary>,
    pub peer: Option<Summary>,
    /// The peer, or the peer and why it has no figure: `litellm: not installed`.
    pub peer_name: Option<String>,
    pub target: Target,
    /// Ours over the peer's within each round, where rounds come in pairs.
    pub ratios: Option<Summary>,
    /// Samples behind one round of ours (requests, postings, tokens).
    pub n: u64,
}

impl Row {
    /// Ours over the peer's: the median over pairs of rounds, or both medians
    /// of the same run.
    pub fn ratio(&self) -> Option<f64> {
        if let Some(ratios) = self.ratios {
            return Some(ratios.median);
        }
        let (ours, peer) = (self.ours?.median, self.peer?.median);
        (peer != 0.0).then(|| ours / peer)
    }

    /// The bound in the row's own unit.
    pub fn bound(&self) -> Option<f64> {
        match self.target {
            Target::AtMost(bound) | Target::AtLeast(bound) => Some(bound),
            Target::ShareOfPeer(share) => Some(share * self.peer?.median),
            Target::TimesLower(times) => Some(self.peer?.median / times),
            Target::Shown => None,
        }
    }

    /// Against a peer, by the ratio that is shown; against a number, by ours.
    pub fn met(&self) -> Option<bool> {
        match self.target {
            Target::AtMost(bound) => Some(self.ours?.median <= bound),
            Target::AtLeast(bound) => Some(self.ours?.median >= bound),
            Target::ShareOfPeer(share) => Some(self.ratio()? >= share),
            Target::TimesLower(times) => Some(self.ratio()? * times <= 1.0),
            Target::Shown => None,
        }
    }

    fn json(&self) -> Value {
        json!({
            "bench": self.bench,
            "row": self.row,
            "unit": self.unit,
            "ours": self.ours.map(|s| round(s.median)),
            "peer": self.peer.map(|s| round(s.median)),
            "peer_name": self.peer_name,
            "ratio": self.ratio().map(round),
            "target": self.bound().map(round),
            "met": self.met(),
            "n": self.n,
            "spread": self.ours.or(self.peer).map(|s| round(s.spread())),
        })
    }
}

/// The array other programs read.
pub fn json(rows: &[Row]) -> String {
    let values: Vec<Value> = rows.iter().map(Row::json).collect();
    serde_json::to_string_pretty(&values).expect("a tree of numbers and strings is always JSON")
}

/// The table people read: one line per row and peer, medians with their range.
pub fn table(rows: &[Row]) -> String {
    let header = ["row", "unit", "ours [low-high]", "peer [low-high]", "who", "ours/peer", "target", "met"];
    let mut lines = vec![header.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        [
            row.row.clone(),
            row.unit.to_owned(),
            row.ours.map_or("-".into(), figure),
            row.peer.map_or("-".into(), figure),
            shorten(row.peer_name.as_deref().unwrap_or("-")),
            row.ratio().map_or("-".into(), |ratio| ratio_text(ratio, row.ratios)),
            target_text(row.target),
            row.met().map_or("-", |met| if met { "yes" } else { "NO" }).to_owned(),
        ]
    }));
    align(&lines)
}

/// Pads each column to its widest cell.
fn align<const COLUMNS: usize>(lines: &[[String; COLUMNS]]) -> String {
    let mut widths = [0; COLUMNS];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for line in lines {
        let cells: Vec<String> =
            line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

fn target_text(target: Target) -> String {
    match target {
        Target::AtMost(bound) => format!("<= {}", number(bound)),
        Target::AtLeast(bound) => format!(">= {}", number(bound)),
        Target::ShareOfPeer(share) => format!(">= {share:.2}x"),
        Target::TimesLower(times) => format!("<= peer/{times}"),
        Target::Shown => "-".into(),
    }
}

/// Ratios of latencies may be far below a hundredth.
fn ratio_text(ratio: f64, rounds: Option<Summary>) -> String {
    let short = |r: f64| if r >= 0.1 { format!("{r:.2}") } else { format!("{r:.4}") };
    match rounds {
        Some(Summary { low, high, .. }) => format!("{}x [{}-{}]", short(ratio), short(low), short(high)),
        None => format!("{ratio:.2}x"),
    }
}

fn figure(summary: Summary) -> String {
    let Summary { median, low, high, .. } = summary;
    format!("{} [{}-{}]", number(median), number(low), number(high))
}

/// A reason may quote a whole error page; the JSON keeps all of it.
fn shorten(text: &str) -> String {
    const ROOM: usize = 64;
    if text.chars().count() <= ROOM {
        text.to_owned()
    } else {
        text.chars().take(ROOM - 3).collect::<String>() + "..."
    }
}

/// Three significant figures are all that a shared machine can promise.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn summary(values: &[f64]) -> Option<Summary> {
        Summary::of(values)
    }

    fn rows() -> Vec<Row> {
        let row = |row: &str, ours, peer, peer_name: &str, target| Row {
            bench: "gateway",
            row: row.into(),
            unit: "us CPU/request",
            ours,
            peer,
            peer_name: Some(peer_name.into()),
            target,
            ratios: None,
            n: 8000,
        };
        let ours = summary(&[50.0, 55.0, 57.5]);
        vec![
            row("chat-1k cpu", ours, summary(&[25.0]), "nginx", Target::AtMost(60.0)),
            row("chat-1k cpu", ours, None, "litellm: not installed", Target::AtMost(54.0)),
            row("decode", summary(&[94.0]), summary(&[100.0]), "llama-bench", Target::ShareOfPeer(0.95)),
            row("decode", None, summary(&[100.0]), "llama-bench", Target::ShareOfPeer(0.95)),
        ]
    }

    #[test]
    fn people_read_a_table_with_ranges() {
        expect![[r#"
            row          unit            ours [low-high]   peer [low-high]   who                     ours/peer  target    met
            chat-1k cpu  us CPU/request  55.0 [50.0-57.5]  25.0 [25.0-25.0]  nginx                   2.20x      <= 60.0   yes
            chat-1k cpu  us CPU/request  55.0 [50.0-57.5]  -                 litellm: not installed  -          <= 54.0   NO
            decode       us CPU/request  94.0 [94.0-94.0]  100 [100-100]     llama-bench             0.94x      >= 0.95x  NO
            decode       us CPU/request  -                 100 [100-100]     llama-bench             -          >= 0.95x  -
        "#]]
        .assert_eq(&table(&rows()));
    }

    #[test]
    fn pairs_of_rounds_have_a_ratio_with_its_range() {
        let row = Row {
            bench: "serve",
            row: "W1 ttft p50".into(),
            unit: "ms",
            ours: summary(&[1000.0, 1100.0]),
            peer: summary(&[20_000.0, 30_000.0]),
            peer_name: Some("llama-server".into()),
            target: Target::TimesLower(3.0),
            ratios: summary(&[0.05, 0.25]),
            n: 16,
        };
        expect![[r#"
            row          unit  ours [low-high]   peer [low-high]      who           ours/peer            target     met
            W1 ttft p50  ms    1050 [1000-1100]  25000 [20000-30000]  llama-server  0.15x [0.0500-0.25]  <= peer/3  yes
        "#]]
        .assert_eq(&table(std::slice::from_ref(&row)));
        assert_eq!(row.bound(), Some(25_000.0 / 3.0));
    }

    #[test]
    fn programs_read_exactly_the_contract() {
        let values: Vec<Value> = serde_json::from_str(&json(&rows())).unwrap();
        let keys: Vec<&String> = values[0].as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            ["bench", "row", "unit", "ours", "peer", "peer_name", "ratio", "target", "met", "n", "spread"]
        );
        assert_eq!(values[0]["met"], true);
        assert_eq!(values[0]["ratio"], 2.2);
        assert_eq!(values[2]["target"], 95.0);
        assert_eq!(values[2]["met"], false);
        assert!(values[3]["met"].is_null());
    }
}
