//! Who is computed next, and from where.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::cells::BLOCK;
use crate::choice::{Choice, Shared};
use crate::fair::Tenant;
use crate::job::{Class, Failure, JobId, Output};
use crate::kernel::{Kernel, SeqId};
use crate::prefix::{Blob, alike};
use crate::scheduler::Scheduler;
use crate::tier::BlockKey;

/// Cells kept free for the growth of a new choice before it is admitted.
/// Fewer admit more and preempt more; 32 is a short sentence.
const GROWTH: u32 = 32;
/// How far an answer is thought to go on, where it may: half of a short one.
const AHEAD: u32 = 64;
/// After this long in the queue a job counts as one class higher.
const AGING_US: u64 = 10_000_000;
/// A tenant that is this much ahead, in prompt tokens, gives up a choice to one
/// that is behind. A swap costs two copies of a sequence's keys and values.
pub(crate) const GAP: u64 = 8192;
/// Jobs whose blocks are on their way from disk at once: their bytes are in memory.
const FETCHING_MAX: usize = 4;

/// A choice that has no cells: a new one, or one that was preempted.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) choice: Box<Choice>,
    /// Blocks on their way from disk, and those that came.
    pub(crate) fetching: BTreeSet<BlockKey>,
    pub(crate) fetched: BTreeMap<BlockKey, Blob>,
    asked: bool,
}

impl Waiting {
    pub(crate) fn new(choice: Choice) -> Waiting {
        Waiting {
            choice: Box::new(choice),
            fetching: BTreeSet::new(),
            fetched: BTreeMap::new(),
            asked: false,
        }
    }
    fn name(&self) -> (JobId, u32) {
        (self.choice.job, self.choice.index)
    }
}

/// What a step's attention walks: each row all cells.
struct Walk {
    rows: u32,
    cells: u64,
    /// Of the cells, those that each row sees, over all rows.
    attended: u64,
}

/// How far a choice is thought to grow.
fn ahead(shared: &Shared, written: u32) -> u32 {
    shared.max_tokens.saturating_sub(written).min(AHEAD)
}

/// What became of an attempt to start a waiting choice.
enum Placed {
    Started,
    /// Others may start before it: somebody computes what it needs, or the disk has it.
    Later,
    /// There is no room, and nobody may pass.
    Full,
}

impl Scheduler {
    /// Starts what fits, those whose turn it is first.
    pub(crate) fn admit(&mut self, kernel: &mut impl Kernel, out: &mut Vec<Output>) {
        // Each once: who is preempted for another does not come back in this step.
        let reads = |w: &&Waiting| self.jobs.get(&w.choice.job).is_some_and(|s| !s.paused);
        let mut open: BTreeSet<_> = self.waiting.iter().filter(reads).map(Waiting::name).collect();
        while let Some(at) = self.next(&open) {
            open.remove(&self.waiting[at].name());
            if let Some(why) = self.refusal(&self.waiting[at].choice) {
                let choice = self.waiting.remove(at).choice;
                if let Some(shared) = self.jobs.remove(&choice.job) {
                    self.fair.leave(shared.tenant);
                }
                out.push(Output::Done { job: choice.job, failed: Some(Failure::Broken(why)) });
                continue;
            }
            match self.place(at, kernel, out) {
                Placed::Started | Placed::Later => {}
                Placed::Full => return,
            }
        }
    }

    /// Whose turn it is: the highest class, then the tenant that has had least,
    /// what it is about to have included; then the oldest.
    fn next(&self, open: &BTreeSet<(JobId, u32)>) -> Option<usize> {
        let mut pending: BTreeMap<Tenant, u64> = BTreeMap::new();
        for choice in &self.running {
            if let Some(shared) = self.jobs.get(&choice.job) {
                *pending.entry(shared.tenant).or_default() += u64::from(choice.rows_left());
            }
        }
        let order = |w: &Waiting| {
            let shared = self.jobs.get(&w.choice.job)?;
            let class = self.aged(shared);
            let pending = pending.get(&shared.tenant).copied().unwrap_or(0);
            let counter = self.fair.counter(shared.tenant) + self.fair.weighed(shared.tenant, pending);
            Some((Reverse(class), counter, shared.arrival, w.choice.index))
        };
        let open = self.waiting.iter().enumerate().filter(|(_, w)| open.contains(&w.name()));
        open.min_by_key(|(_, w)| order(w)).map(|(at, _)| at)
    }

    /// A job's class, and one more for each time it has waited long: what it has
    /// won by waiting is not taken from it when it runs.
    pub(crate) fn aged(&self, shared: &Shared) -> u64 {
        let class = shared.class as u64 + self.now.since(shared.since) / AGING_US;
        class.min(Class::High as u64)
    }

    fn refusal(&self, choice: &Choice) -> Option<String> {
        if choice.written > 0 {
            return None;
        }
        let len = choice.tokens.len() as u32;
        let longest = self.caps.seq_len_max.min(self.caps.cells);
        if len == 0 || len >= longest {
            return Some(format!("a prompt of {len} tokens does not fit a sequence of {longest}"));
        }
        let n = self.jobs.get(&choice.job).map_or(0, |s| s.open);
        if n == 0 || n > self.limits.running || (n > 1 && !self.caps.parts) {
            return Some(format!("{n} choices cannot be computed together"));
        }
        None
    }

    fn place(&mut self, at: usize, kernel: &mut impl Kernel, out: &mut Vec<Output>) -> Placed {
        let choice = &self.waiting[at].choice;
        // The last token's logits are needed, so it is always computed.
        let most = choice.tokens.len() as u32 - 1;
        let (mut source, mut start) = self.source(choice);
        if self.is_coming(choice, start) || !self.waiting[at].fetching.is_empty() {
            return Placed::Later;
        }
        let below = self.below(at, start);
        let from_disk: Vec<BlockKey> = below.iter().copied().filter(|k| !self.in_reach(at, *k)).collect();
        if !from_disk.is_empty() {
            let busy = self.waiting.iter().filter(|w| !w.fetching.is_empty() || !w.fetched.is_empty());
            if busy.count() < FETCHING_MAX {
                self.waiting[at].asked = true;
                self.waiting[at].fetching.extend(&from_disk);
                self.wants.extend(from_disk);
            }
            return Placed::Later;
        }
        let restored = !below.is_empty();
        if restored {
            start -= start % BLOCK;
        }
        if !self.find_room(at, start, source, kernel) {
            if !self.running.is_empty() {
                return Placed::Full;
            }
            // Alone it fits, if not beside what it would share or what is pinned.
            (source, start) = (None, 0);
            while !self.fits(at) && (self.evict(kernel, None) || self.evict_pinned(kernel)) {}
        }
        self.start(at, source.map(|seq| (seq, start)), restored, most, kernel, out);
        Placed::Started
    }

    /// The sequence that begins most like the choice, and how many tokens it gives.
    fn source(&self, choice: &Choice) -> (Option<SeqId>, u32) {
        if !self.caps.parts {
            return (None, 0);
        }
        let wanted = &choice.tokens[..choice.tokens.len() - 1];
        let running = self.running.iter().filter(|c| c.root == choice.root);
        let running = running.map(|c| (c.seq, &c.tokens[..c.held as usize]));
        let kept = self.kept.iter().filter(|k| k.root == choice.root).map(|k| (k.seq, &k.tokens[..]));
        let best = running.chain(kept).map(|(seq, held)| (alike(wanted, held), Reverse(seq))).max();
        match best {
            Some((len, Reverse(seq))) if len > 0 => (Some(seq), len),
            _ => (None, 0),
        }
    }

    /// Whether somebody is computing a longer beginning of the choice's prompt:
    /// then it is computed once, and shared.
    fn is_coming(&self, choice: &Choice, have: u32) -> bool {
        let wanted = &choice.tokens[..choice.tokens.len() - 1];
        let class = |job: JobId| self.jobs.get(&job).map(|s| self.aged(s));
        self.caps.parts
            && self.running.iter().any(|c| {
                c.root == choice.root
                    && c.rows_left() > 1
                    && class(c.job) >= class(choice.job)
                    && alike(wanted, &c.tokens) >= (have + BLOCK).max(c.held + 1)
            })
    }

    /// Blocks that follow the first `start` tokens and are not in cells, but in
    /// memory or on disk, without a gap. Empty where they would not reach further.
    fn below(&self, at: usize, start: u32) -> Vec<BlockKey> {
        let waiting = &self.waiting[at];
        let keys = waiting.choice.keys.iter().skip((start / BLOCK) as usize);
        let stored =
            |key: &&BlockKey| self.in_reach(at, **key) || (!waiting.asked && self.prefix.on_disk(**key));
        let blocks: Vec<BlockKey> = keys.take_while(stored).copied().collect();
        let reach = (start / BLOCK + blocks.len() as u32) * BLOCK;
        if reach > start { blocks } else { Vec::new() }
    }

    fn in_reach(&self, at: usize, key: BlockKey) -> bool {
        self.waiting[at].fetched.contains_key(&key) || self.prefix.in_memory(key)
    }

    /// Cells that a choice needs beyond its first `start` tokens, and to grow a little.
    fn need(&self, choice: &Choice, start: u32) -> u32 {
        let most = self.jobs.get(&choice.job).map_or(0, |s| s.max_tokens);
        let growth = most.min(GROWTH).saturating_mul(choice.slots());
        (choice.tokens.len() as u32 - start).saturating_add(growth)
    }

    /// Whether a waiting choice that shares nothing has its cells and slots.
    fn fits(&self, at: usize) -> bool {
        let choice = &self.waiting[at].choice;
        let cells = self.committed().saturating_add(self.need(choice, 0));
        cells <= self.caps.cells && self.free.len() as u32 >= choice.slots()
    }

    /// Makes room for a waiting choice that shares its first `start` tokens with `source`.
    fn find_room(&mut self, at: usize, start: u32, source: Option<SeqId>, kernel: &mut impl Kernel) -> bool {
        let choice = &self.waiting[at].choice;
        let (slots, job) = (choice.slots(), choice.job);
        let Some(shared) = self.jobs.get(&job) else { return false };
        let cells = self.need(choice, start);
        let (tenant, class) = (shared.tenant, self.aged(shared));
        let of_tenant = |c: &Choice| self.jobs.get(&c.job).is_some_and(|s| s.tenant == tenant);
        let runs = self.running.iter().any(of_tenant);
        let ahead = u64::from(ahead(shared, choice.written));
        let walk = Walk {
            rows: slots,
            cells: u64::from(choice.tokens.len() as u32 - start) + ahead * u64::from(slots),
            attended: (choice.tokens.len() as u64 + ahead) * u64::from(slots),
        };
        loop {
            let running: u32 = self.running.iter().map(Choice::slots).sum();
            let crowded = runs && self.walked_in_vain(&walk) > self.limits.crowd;
            if running + slots <= self.limits.running && !crowded {
                if self.committed().saturating_add(cells) > self.caps.cells {
                    if self.evict(kernel, source) {
                        continue;
                    }
                } else if (self.free.len() as u32) < slots {
                    if self.evict_slot(kernel, source) {
                        continue;
                    }
                } else {
                    return true;
                }
            }
            match self.owes(tenant, class, source) {
                Some(victim) => self.preempt(victim, kernel),
                None => return false,
            }
        }
    }

    /// Cells that nobody needed of those that a step of all writers walks, with one
    /// more choice among them.
    fn walked_in_vain(&self, new: &Walk) -> u64 {
        let mut all = Walk { cells: new.cells + u64::from(self.committed() - self.kept_alone()), ..*new };
        for choice in &self.running {
            let slots = u64::from(choice.slots());
            let ahead = self.jobs.get(&choice.job).map_or(0, |s| u64::from(ahead(s, choice.written)));
            all.rows += choice.slots();
            all.cells += ahead * slots;
            all.attended += (choice.tokens.len() as u64 + ahead) * slots;
        }
        (u64::from(all.rows) * all.cells).saturating_sub(all.attended)
    }

    /// A running choice that should make way for one of this tenant and class:
    /// one whose reader is behind, or of a lower class, or of a tenant that has had
    /// much more, or that runs several where this tenant runs none.
    fn owes(&self, tenant: Tenant, class: u64, source: Option<SeqId>) -> Option<usize> {
        let mut runs: BTreeMap<Tenant, u32> = BTreeMap::new();
        for choice in &self.running {
            if let Some(shared) = self.jobs.get(&choice.job) {
                *runs.entry(shared.tenant).or_default() += 1;
            }
        }
        let owes = |choice: &Choice| {
            let Some(s) = self.jobs.get(&choice.job) else { return false };
            let several = !runs.contains_key(&tenant) && runs.get(&s.tenant).is_some_and(|n| *n > 1);
            let ahead = s.tenant != tenant && self.fair.ahead(s.tenant, tenant) > GAP;
            // Whoever does not read what was written keeps nobody waiting.
            let own = self.aged(s);
            s.paused || own < class || (own == class && (several || ahead))
        };
        let candidates = self.running.iter().enumerate();
        let candidates = candidates.filter(|(_, c)| Some(c.seq) != source && owes(c));
        candidates.min_by_key(|(at, c)| self.rank(*at, c)).map(|(at, _)| at)
    }

    /// Gives a waiting choice its slot, what there is of its prompt, and its turn.
    fn start(
        &mut self,
        at: usize,
        source: Option<(SeqId, u32)>,
        restored: bool,
        most: u32,
        kernel: &mut impl Kernel,
        out: &mut Vec<Output>,
    ) {
        let Waiting { mut choice, mut fetched, .. } = self.waiting.remove(at);
        choice.seq = self.slot();
        for fork in 0..choice.forks.len() {
            choice.forks[fork].seq = self.slot();
        }
        if let Some((from, len)) = source.filter(|(_, len)| *len > 0) {
            kernel.share(from, choice.seq, len);
            self.cells.share(from, choice.seq, len);
            choice.held = len;
            choice.published = len / BLOCK;
        }
        let shared = choice.held;
        if restored {
            self.restore(&mut choice, &mut fetched, kernel);
        }
        if let Some((from, bytes)) = choice.saved.take()
            && from == choice.held
            && kernel.restore(choice.seq, from, &bytes)
        {
            let end = kernel.len(choice.seq).min(choice.tokens.len() as u32);
            self.cells.grow(choice.seq, end - from);
            choice.held = end;
        }
        if choice.held > most && kernel.truncate(choice.seq, most) {
            self.cells.truncate(choice.seq, most);
            choice.held = most;
            choice.published = choice.published.min(most / BLOCK);
            self.sweep();
        }
        let (job, reused) = (choice.job, choice.held);
        self.counters.reused += u64::from(shared.min(reused));
        self.running.push(*choice);
        if let Some(s) = self.jobs.get_mut(&job)
            && !s.started
        {
            s.started = true;
            out.push(Output::Start { job, reused });
        }
    }

    fn slot(&mut self) -> SeqId {
        self.free.pop().expect("admission counted the free slots")
    }
}
