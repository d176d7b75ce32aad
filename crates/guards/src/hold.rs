//! One text as it streams: what may be given away, and what is held back.
//!
//! Given away is everything before the earliest byte at which some rule could
//! still match. What matched is replaced as a whole: overlapping matches are
//! one region, under the strictest action of any. A region longer than
//! [`REGION_MAX`] is replaced before its end is seen, and the rest swallowed.
//!
//! Every decision is a function of the bytes so far, never of how they were
//! cut, so the same text gives the same output for every split. A block
//! releases what the same text, cut anywhere, could have released before it.

use std::sync::Arc;

use crate::machine::{Machine, Rule, Sight, Thread};
use crate::verdict::{Action, Kind};

/// Bytes before a match that a rule may look at.
pub(crate) const CONTEXT: usize = 64;
/// Bytes that a rule may need from its beginning to its first match; a thread
/// that has not matched for longer is given up. Bounds what is held back.
pub(crate) const HOLD_MAX: u64 = 1024;
/// Bytes of a region after which its replacement does not wait for its end.
const REGION_MAX: u64 = 1024;
/// Bytes of a secret which, at the end of a part, count as the secret.
const HALF: u64 = 8;
/// Bytes of a known secret which, at the end of a part, wait for what follows. One
/// byte is no secret: nearly any text ends with one that some secret begins with.
const BEGUN: u64 = 2;

/// A machine in force, and what is done about what it finds.
#[derive(Clone)]
pub(crate) struct Watch {
    pub machine: Arc<Machine>,
    /// By rule.
    pub actions: Vec<Action>,
    /// Whether any rule makes text wait.
    pub holds: bool,
}

/// A checked match.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hit {
    pub start: u64,
    pub end: u64,
    pub watch: usize,
    pub rule: usize,
    pub action: Action,
}

/// What comes out of a hold.
#[derive(Debug, PartialEq)]
pub(crate) enum Piece<'a> {
    /// To be given away as it is.
    Text(&'a [u8]),
    /// A region, replaced: what it was, and the hit that named it.
    Region { text: &'a [u8], hit: Hit },
    /// More bytes of the region before, swallowed.
    More(u64),
}

/// The state of one text.
#[derive(Default)]
pub(crate) struct Hold {
    /// Context and pending bytes; `base` is the offset of the first.
    buffer: Vec<u8>,
    base: u64,
    /// Everything before has been given away or replaced.
    done: u64,
    /// Where the last region ended: what continues there is the same region.
    region_end: Option<u64>,
    threads: Vec<Vec<Thread>>,
    /// Regions not yet decided, by start.
    regions: Vec<Hit>,
    /// Everything found since the last look.
    pub hits: Vec<Hit>,
    blocked: bool,
}

impl Hold {
    pub fn scanned(&self) -> u64 {
        self.base + self.buffer.len() as u64
    }
    pub fn done(&self) -> u64 {
        self.done
    }
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Where the earliest living thread of any machine began: hits that end before
    /// will not grow.
    pub fn pending(&self, watches: &[Watch]) -> u64 {
        let all = self.threads.iter().zip(watches);
        all.filter_map(|(threads, _)| threads.first()).map(|t| t.start).fold(self.scanned(), u64::min)
    }

    /// Takes bytes and gives what they release. Nothing comes after a block.
    pub fn push(&mut self, watches: &[Watch], bytes: &[u8], give: &mut dyn FnMut(Piece<'_>)) {
        self.threads.resize_with(watches.len(), Vec::new);
        if self.blocked {
            return;
        }
        for byte in bytes {
            self.take(watches, *byte);
            if self.blocked {
                return self.release_before_block(watches, give);
            }
        }
        self.release(self.horizon(watches), give);
        self.trim(watches);
    }

    /// The machines after the first `watches` are others from now on.
    pub fn forget_beyond(&mut self, watches: usize) {
        self.threads.truncate(watches);
    }

    /// The end of the text: what was waiting is decided.
    pub fn finish(&mut self, watches: &[Watch], give: &mut dyn FnMut(Piece<'_>)) {
        self.end(watches);
        if self.blocked {
            return self.release_before_block(watches, give);
        }
        self.threads.iter_mut().for_each(Vec::clear);
        self.release(self.scanned(), give);
    }

    /// The text may go on after something else. What is here is decided as at an
    /// end, but half a secret is masked, the beginning of a known one waits, and a
    /// match may still go on.
    pub fn pause(&mut self, watches: &[Watch], give: &mut dyn FnMut(Piece<'_>)) {
        if self.blocked {
            return;
        }
        self.end(watches);
        if !self.blocked {
            for (index, watch) in watches.iter().enumerate().filter(|(_, w)| w.holds) {
                let secret = |rule: &Rule| rule.kind.is_secret();
                let Some(rule) = watch.machine.rules.iter().position(secret) else { continue };
                let (end, action) = (self.scanned(), watch.actions[rule].min(Action::Mask));
                let half = |t: &&Thread| end - t.start >= HALF && end > self.done && action.holds();
                if let Some(thread) = self.threads.get(index).and_then(|t| t.iter().find(half)) {
                    // Of one that was interrupted before, what has come since.
                    let start = thread.start.max(self.done);
                    let hit = Hit { start, end, watch: index, rule, action };
                    self.cover(hit);
                    self.hits.push(hit);
                }
            }
            self.release(self.begun(watches), give);
        } else {
            self.release_before_block(watches, give);
        }
        self.trim(watches);
    }

    /// Where the earliest known secret began that has come to a few bytes. What has come
    /// to [`HALF`] is masked already.
    fn begun(&self, watches: &[Watch]) -> u64 {
        let known = |w: &Watch| {
            let names = |rule: &Rule| matches!(rule.kind, Kind::KnownSecret | Kind::Canary);
            w.holds && w.machine.rules.iter().all(names)
        };
        let waiting = self.threads.iter().zip(watches).filter(|(_, w)| known(w)).flat_map(|(t, _)| t);
        let begun = waiting.filter(|t| (BEGUN..HALF).contains(&(self.scanned() - t.start)));
        begun.map(|t| t.start).fold(self.scanned(), u64::min)
    }

    fn take(&mut self, watches: &[Watch], byte: u8) {
        let at = self.scanned();
        let before = self.buffer.last().copied();
        let tidy = at.is_multiple_of(256);
        for (index, watch) in watches.iter().enumerate() {
            if self.threads[index].is_empty() && !watch.machine.begins(byte) {
                continue;
            }
            let mut threads = std::mem::take(&mut self.threads[index]);
            let mut found: [Option<(usize, u64)>; 4] = [None; 4];
            let mut more = Vec::new();
            watch.machine.step(&mut threads, at, before, byte, |rule, start| {
                match found.iter_mut().find(|f| f.is_none()) {
                    Some(room) => *room = Some((rule, start)),
                    None => more.push((rule, start)),
                }
            });
            if tidy {
                threads.retain(|t| at - t.last <= HOLD_MAX);
            }
            self.threads[index] = threads;
            for (rule, start) in found.into_iter().flatten().chain(more) {
                self.judge(watches, index, rule, start, at, Some(byte));
            }
        }
        self.buffer.push(byte);
    }

    fn end(&mut self, watches: &[Watch]) {
        self.threads.resize_with(watches.len(), Vec::new);
        let at = self.scanned();
        for (index, watch) in watches.iter().enumerate() {
            let mut found = Vec::new();
            watch.machine.end(&self.threads[index], |rule, start| found.push((rule, start)));
            for (rule, start) in found {
                self.judge(watches, index, rule, start, at, None);
            }
        }
    }

    fn judge(
        &mut self,
        watches: &[Watch],
        watch: usize,
        rule: usize,
        start: u64,
        end: u64,
        next: Option<u8>,
    ) {
        let of = &watches[watch];
        let action = of.actions[rule];
        if action == Action::Allow {
            return;
        }
        if let Some(check) = of.machine.rules[rule].check {
            let from = start.saturating_sub(self.base) as usize;
            let before = &self.buffer[from.saturating_sub(CONTEXT)..from];
            let text = &self.buffer[from..(end - self.base) as usize];
            if start < self.base || !check(&Sight { before, text, next }) {
                return;
            }
        }
        let hit = Hit { start, end, watch, rule, action };
        self.note(hit);
        if action.holds() {
            self.cover(hit);
        }
        self.blocked |= action == Action::Block;
    }

    /// Keeps a hit for the verdict: of the same rule and start only the longest.
    fn note(&mut self, hit: Hit) {
        let same = |h: &&mut Hit| h.start == hit.start && h.watch == hit.watch && h.rule == hit.rule;
        match self.hits.iter_mut().rev().take(8).find(same) {
            Some(shorter) => shorter.end = hit.end,
            None => self.hits.push(hit),
        }
    }

    /// Adds a hit to the regions, joined with those it overlaps. The name is
    /// that of the one that begins first.
    fn cover(&mut self, hit: Hit) {
        let mut joined = hit;
        self.regions.retain(|region| {
            let overlaps = region.start < joined.end && joined.start < region.end;
            if overlaps {
                let first = if region.start <= joined.start { *region } else { joined };
                joined = Hit {
                    end: region.end.max(joined.end),
                    action: region.action.max(joined.action),
                    ..first
                };
            }
            !overlaps
        });
        let at = self.regions.partition_point(|r| r.start < joined.start);
        self.regions.insert(at, joined);
    }

    /// The earliest byte at which something could still begin.
    fn horizon(&self, watches: &[Watch]) -> u64 {
        let waiting = self.threads.iter().zip(watches).filter(|(_, w)| w.holds);
        waiting.filter_map(|(threads, _)| threads.first()).map(|t| t.start).fold(self.scanned(), u64::min)
    }

    fn release(&mut self, horizon: u64, give: &mut dyn FnMut(Piece<'_>)) {
        while let Some(region) = self.regions.first().copied() {
            let is_final = horizon >= region.end;
            let is_long = region.end - region.start > REGION_MAX;
            let goes_on = region.start < self.done;
            let is_decided = is_final || goes_on || is_long && horizon >= region.start;
            if !is_decided {
                break;
            }
            self.regions.remove(0);
            self.text_until(region.start, give);
            let from = self.done.max(region.start);
            if region.end > from {
                let text = &self.buffer[(from - self.base) as usize..(region.end - self.base) as usize];
                if self.region_end == Some(from) && goes_on {
                    give(Piece::More(text.len() as u64));
                } else {
                    let action =
                        if is_long && region.action < Action::Mask { Action::Mask } else { region.action };
                    give(Piece::Region { text, hit: Hit { action, ..region } });
                }
                self.done = region.end;
            }
            self.region_end = Some(self.done);
        }
        let until = self.regions.first().map_or(horizon, |r| r.start.min(horizon));
        self.text_until(until, give);
    }

    /// At a block: only what lies before anything that could be, or is, a match.
    fn release_before_block(&mut self, watches: &[Watch], give: &mut dyn FnMut(Piece<'_>)) {
        let horizon = self.horizon(watches);
        let first = self.regions.iter().find(|r| r.action == Action::Block).map_or(horizon, |r| r.start);
        let mut until = horizon.min(first);
        // What is undecided, and what follows it, stays here.
        for region in self.regions.iter().rev().filter(|r| r.end > horizon || r.end > first) {
            until = until.min(region.start);
        }
        self.regions.retain(|r| r.end <= until);
        self.release(until, give);
        self.regions.clear();
        self.threads.iter_mut().for_each(Vec::clear);
    }

    fn text_until(&mut self, until: u64, give: &mut dyn FnMut(Piece<'_>)) {
        if until <= self.done {
            return;
        }
        let from = (self.done - self.base) as usize;
        let mut to = (until - self.base) as usize;
        // Given away are whole characters.
        while to > from && to < self.buffer.len() && self.buffer[to] & 0xC0 == 0x80 {
            to -= 1;
        }
        if to > from {
            give(Piece::Text(&self.buffer[from..to]));
            self.done = self.base + to as u64;
        }
    }

    /// Forgets what no rule can look at any more.
    fn trim(&mut self, watches: &[Watch]) {
        let oldest = self.threads.iter().zip(watches).flat_map(|(t, w)| {
            // A rule without a check does not look back at its own text.
            t.iter().filter(|_| w.machine.rules.iter().any(|r| r.check.is_some())).map(|t| t.start)
        });
        let oldest = oldest.fold(self.done, u64::min).max(self.scanned().saturating_sub(4 * HOLD_MAX));
        let keep = oldest.min(self.done).saturating_sub(CONTEXT as u64);
        if keep > self.base + 1024 {
            self.buffer.drain(..(keep - self.base) as usize);
            self.base = keep;
        }
    }
}

impl Watch {
    pub fn new(machine: Arc<Machine>, action: impl Fn(&Rule) -> Action) -> Watch {
        let actions: Vec<Action> = machine.rules.iter().map(action).collect();
        let holds = actions.iter().any(|a| a.holds());
        Watch { machine, actions, holds }
    }
    pub fn kind(&self, hit: &Hit) -> Kind {
        self.machine.rules[hit.rule].kind
    }
}
