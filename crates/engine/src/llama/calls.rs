//! Which rows of a step are computed in one call.
//!
//! Flash attention on a CPU has two ways. In a call of fewer than 64 rows each
//! row walks the cells and skips those it does not see. From 64 rows on, rows are
//! taken 64 at a time, and such a tile is multiplied with every 64 cells that
//! *any* of its rows sees. That wins where the rows of a tile are of one prompt;
//! where each is of another sequence, nearly all of the products are thrown away.
//! So the rows of prompts and those of writers are computed in calls of their own.
//!
//! What it costs is one more pass over the weights, which a call of 64 rows pays
//! for ten times over.

use std::ops::Range;

use scheduler::Row;

/// Rows of a call from which attention is computed in tiles, and of a tile
/// (`GGML_FA_TILE_Q` of ggml-cpu).
pub(super) const TILE: usize = 64;
/// Rows that follow on in one sequence, from which a tile pays: with fewer, four
/// sequences or more would share it.
const RUN: usize = 16;

/// The rows in the order in which they are computed, and where each call ends.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) order: Vec<usize>,
    ends: Vec<usize>,
}

impl Calls {
    /// All rows in one call, as they come.
    pub(super) fn whole(&mut self, rows: usize) {
        self.order.clear();
        self.order.extend(0..rows);
        self.ends.clear();
        self.ends.push(rows);
    }

    /// Long runs of one sequence in a call of their own, before the rest; the rest
    /// in calls too small for tiles.
    pub(super) fn apart(&mut self, rows: &[Row]) {
        self.whole(rows.len());
        if rows.len() < TILE {
            return;
        }
        let mut scattered = Vec::new();
        self.order.clear();
        for run in runs(rows) {
            match run.len() < RUN {
                true => scattered.extend(run),
                false => self.order.extend(run),
            }
        }
        self.ends.clear();
        self.ends.extend(Some(self.order.len()).filter(|long| *long > 0));
        for part in scattered.chunks(TILE - 1) {
            self.order.extend(part);
            self.ends.push(self.order.len());
        }
    }

    /// Each call's part of the order.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(self.ends.iter().copied()).map(|(begin, end)| begin..end)
    }
}

/// Rows that follow on in one sequence.
fn runs(rows: &[Row]) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let first = rows.get(from)?;
        let len = rows[from..].iter().take_while(|row| row.seq == first.seq).count();
        from += len;
        Some(from - len..from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(sequence, rows)` of each run, and the rows of each call as sequences.
    fn calls(runs: &[(u32, u32)]) -> Vec<Vec<u32>> {
        let row = |seq, pos| Row { token: 0, pos, seq, logits: false };
        let rows: Vec<Row> = runs.iter().flat_map(|(seq, n)| (0..*n).map(|pos| row(*seq, pos))).collect();
        let mut calls = Calls::default();
        calls.apart(&rows);
        let mut all = calls.order.clone();
        all.sort_unstable();
        assert_eq!(all, (0..rows.len()).collect::<Vec<_>>(), "each row once");
        calls.ranges().map(|r| calls.order[r].iter().map(|at| rows[*at].seq).collect()).collect()
    }

    fn shape(runs: &[(u32, u32)]) -> Vec<usize> {
        calls(runs).iter().map(Vec::len).collect()
    }

    #[test]
    fn a_small_step_is_one_call() {
        assert_eq!(shape(&[(1, 1), (2, 1), (3, 61)]), [63]);
    }

    #[test]
    fn writers_are_computed_apart_from_prompts() {
        let mixed: Vec<(u32, u32)> = (0..32).map(|seq| (seq, 1)).chain([(40, 100), (41, 20)]).collect();
        let calls = calls(&mixed);
        assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [120, 32]);
        assert!(calls[0].iter().all(|seq| *seq >= 40));
    }

    #[test]
    fn prompts_alone_are_one_call_and_a_crowd_of_writers_is_several() {
        assert_eq!(shape(&[(1, 300), (2, 40)]), [340]);
        let crowd: Vec<(u32, u32)> = (0..130).map(|seq| (seq, 1)).collect();
        assert_eq!(shape(&crowd), [63, 63, 4]);
    }
}
