//! Whose cells go when they are needed: what is kept, then what runs.

use std::cmp::Reverse;

use crate::Token;
use crate::admission::Waiting;
use crate::cells::BLOCK;
use crate::choice::Choice;
use crate::fair::Tenant;
use crate::kernel::{Kernel, SeqId};
use crate::prefix::alike;
use crate::scheduler::{Kept, Scheduler};
use crate::tier::BlockKey;
use crate::tiers::SAVED_MIN;

/// Blocks that are moved from cells to memory in a step: copies of a millisecond or so.
const PUT_AWAY: usize = 4;

impl Scheduler {
    /// The running choice that costs least to stop: the smallest goes first.
    pub(crate) fn rank(&self, at: usize, choice: &Choice) -> (u64, bool, Reverse<u128>, Reverse<usize>) {
        let shared = self.jobs.get(&choice.job);
        let class = shared.map_or(0, |s| self.aged(s));
        let reads = shared.is_none_or(|s| !s.paused);
        let counter = shared.map_or(u128::MAX, |s| self.fair.counter(s.tenant));
        (class, reads, Reverse(counter), Reverse(at))
    }

    /// Whom to preempt when cells run out. `None`: one choice has them all.
    pub(crate) fn victim(&self) -> Option<usize> {
        let all = self.running.iter().enumerate();
        let victim = all.min_by_key(|(at, c)| self.rank(*at, c)).map(|(at, _)| at);
        victim.filter(|_| self.running.len() > 1)
    }

    /// Evicts and preempts until every choice can grow by one token.
    pub(crate) fn make_room(&mut self, kernel: &mut impl Kernel) {
        while self.committed() > self.caps.cells {
            if self.evict(kernel, None) {
                continue;
            }
            match self.victim() {
                Some(at) => self.preempt(at, kernel),
                None if self.evict_pinned(kernel) => {}
                None => return,
            }
        }
    }

    /// Takes a choice's cells. It goes on later from what was saved of them.
    pub(crate) fn preempt(&mut self, at: usize, kernel: &mut impl Kernel) {
        let mut choice = self.running.remove(at);
        self.counters.preempted += 1;
        self.free.extend(choice.forks.iter().map(|fork| fork.seq));
        let named = choice.published * BLOCK;
        choice.saved = None;
        if self.caps.parts && choice.held > named && choice.held - named <= BLOCK {
            choice.saved = kernel.save(choice.seq, named, choice.held).map(|bytes| (named, bytes));
        }
        let mut tokens = choice.tokens.clone();
        tokens.truncate(choice.held as usize);
        self.keep(choice.seq, (choice.tenant, choice.root), tokens, named, kernel);
        if let Some(kept) = self.kept.last().filter(|k| k.seq == choice.seq) {
            self.cells.shun(kept.seq);
        }
        (choice.seq, choice.held, choice.published) = (SeqId::MAX, 0, 0);
        self.waiting.push(Waiting::new(choice));
    }

    /// Frees a choice's slots; what it computed stays until its cells are needed.
    pub(crate) fn release(&mut self, choice: Choice, kernel: &mut impl Kernel) {
        self.free.extend(choice.forks.iter().map(|fork| fork.seq));
        let trusted = self.jobs.get(&choice.job).is_some_and(|s| s.failed.is_none());
        let len = if trusted { choice.held } else { 0 };
        self.cells.touch(choice.seq);
        let mut tokens = choice.tokens;
        tokens.truncate(len as usize);
        self.keep(choice.seq, (choice.tenant, choice.root), tokens, len, kernel);
    }

    /// Keeps the first `len` tokens of a sequence for later prompts, if anything
    /// of it would be new to them.
    fn keep(
        &mut self,
        seq: SeqId,
        (tenant, root): (Tenant, BlockKey),
        mut tokens: Vec<Token>,
        len: u32,
        kernel: &mut impl Kernel,
    ) {
        tokens.truncate(len as usize);
        let held = |other: &[Token]| alike(&tokens, other) == len;
        let known = self.kept.iter().any(|k| k.root == root && held(&k.tokens))
            || self.running.iter().any(|c| c.root == root && held(&c.tokens[..c.held as usize]));
        if !self.caps.parts || len < BLOCK || known || !kernel.truncate(seq, len) {
            kernel.clear(seq);
            self.cells.clear(seq);
            self.free.push(seq);
        } else {
            self.cells.truncate(seq, len);
            self.kept.push(Kept { seq, tenant, root, tokens });
        }
        self.sweep();
    }

    /// Frees the cells that were used longest ago, and saves what was in them.
    /// False: there is nothing left to free.
    pub(crate) fn evict(&mut self, kernel: &mut impl Kernel, except: Option<SeqId>) -> bool {
        let last = |at: usize| self.cells.tail(self.kept[at].seq);
        let Some(at) = self.least_used(except) else { return false };
        let tail = last(at).expect("what is kept is not empty");
        let seq = self.kept[at].seq;
        if tail.start == 0 || !tail.alone {
            // Whatever of it others see stays with them.
            self.save_tail(at, kernel);
            self.drop_kept(at, kernel);
        } else {
            self.save_tail(at, kernel);
            kernel.truncate(seq, tail.start);
            self.cells.truncate(seq, tail.start);
            self.kept[at].tokens.truncate(tail.start as usize);
            self.sweep();
        }
        true
    }

    /// The same of what is pinned, for a choice that has the kernel to itself and does
    /// not fit beside it: a pin must not keep a prompt from ever being computed.
    pub(crate) fn evict_pinned(&mut self, kernel: &mut impl Kernel) -> bool {
        let pinned = |k: &Kept| self.cells.tail(k.seq).filter(|tail| tail.pinned).map(|tail| tail.used);
        let kept = self.kept.iter().filter_map(|k| Some((pinned(k)?, k.seq)));
        let Some((_, seq)) = kept.min() else { return false };
        self.cells.unpin(seq);
        self.evict(kernel, None)
    }

    /// Moves some of what is kept in cells to memory, where it costs running
    /// choices nothing: every row walks all cells in use. False: there is nothing to
    /// move, or what would go is worth its cells.
    pub(crate) fn put_away(&mut self, kernel: &mut impl Kernel) -> bool {
        let mut moved = false;
        for _ in 0..PUT_AWAY {
            let over = self.kept_alone() > self.limits.kept_cells;
            if !over || !self.may_go() || !self.evict(kernel, None) {
                break;
            }
            moved = true;
        }
        moved
    }

    /// Whether what would be freed next can be had again for little: memory takes it
    /// beside what it has, the disk has it, or it is short.
    fn may_go(&self) -> bool {
        let Some(at) = self.least_used(None) else { return false };
        let kept = &self.kept[at];
        let on_disk = |key: BlockKey| self.prefix.on_disk(key);
        self.prefix.has_room()
            || (kept.tokens.len() as u32) < SAVED_MIN * BLOCK
            || self.cells.tail(kept.seq).is_none_or(|tail| !tail.alone || tail.key.is_none_or(on_disk))
    }

    /// Frees a slot, with all that is in it.
    pub(crate) fn evict_slot(&mut self, kernel: &mut impl Kernel, except: Option<SeqId>) -> bool {
        let Some(at) = self.least_used(except) else { return false };
        let (seq, slots) = (self.kept[at].seq, self.free.len());
        while self.free.len() == slots {
            let at = self.kept.iter().position(|k| k.seq == seq).expect("it is there until its slot is free");
            let tail = self.cells.tail(seq).expect("what is kept is not empty");
            self.save_tail(at, kernel);
            if tail.start == 0 || !tail.alone {
                self.drop_kept(at, kernel);
            } else {
                kernel.truncate(seq, tail.start);
                self.cells.truncate(seq, tail.start);
                self.kept[at].tokens.truncate(tail.start as usize);
            }
        }
        self.sweep();
        true
    }

    fn least_used(&self, except: Option<SeqId>) -> Option<usize> {
        let kept = self.kept.iter().enumerate().filter(|(_, k)| Some(k.seq) != except);
        let tails = kept.filter_map(|(at, k)| self.cells.tail(k.seq).map(|tail| (at, tail)));
        // One whose end others see too costs nothing to drop.
        let free = tails.filter(|(_, tail)| !tail.pinned || !tail.alone);
        free.min_by_key(|(at, tail)| (tail.alone, tail.used, *at)).map(|(at, _)| at)
    }

    /// Frees everything that is kept in cells, without saving it.
    pub fn drop_all_kept(&mut self, kernel: &mut impl Kernel) {
        while !self.kept.is_empty() {
            self.drop_kept(0, kernel);
        }
    }

    fn drop_kept(&mut self, at: usize, kernel: &mut impl Kernel) {
        let kept = self.kept.remove(at);
        kernel.clear(kept.seq);
        self.cells.clear(kept.seq);
        self.free.push(kept.seq);
        self.sweep();
    }
}
