//! Requests and tokens per minute, per key and per team.
//!
//! A window of 31 slots of two seconds each: what the last 60 seconds took is
//! never more than what the slots hold, so the limit holds in *every* minute. A
//! token bucket lost here, because it admits up to twice its limit in a minute
//! (a full bucket and its refill), and a fixed minute for the same reason at its
//! border. The price is a wait up to two seconds longer than needed.
//!
//! Tokens are taken before the work, at their estimate, and corrected after it
//! (TRAPS M6: five parallel calls took 663 of 100 tokens where they were counted
//! afterwards). All four limits admit, or nothing is taken.

use std::collections::HashMap;

use units::{KeyId, Micros, TeamId};

use crate::{Denied, Principal};

const SLOT_US: i64 = 2_000_000;
/// 60 s, and the running slot.
const SLOTS: i64 = 31;
/// Windows beyond this many are swept of the idle ones before another is added.
/// 4,096 of them are 2.1 MB.
const SWEEP_AT: usize = 4_096;

/// What was taken; corrected or given back later. Not `Clone`: it counts once.
#[derive(Debug)]
#[must_use = "a ticket that is not trued up keeps its estimate for a minute"]
pub struct Ticket {
    taken: [Option<Place>; 2],
    tokens: u64,
}

/// Where in which window it was taken.
#[derive(Clone, Copy, Debug)]
struct Place {
    owner: Owner,
    slot: i64,
    turn: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Owner {
    Key(KeyId),
    Team(TeamId),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Taken {
    requests: u64,
    tokens: u64,
}

#[derive(Clone, Debug)]
struct Window {
    /// The newest slot, counted from the epoch.
    head: i64,
    /// Grows when the clock steps back and the slots lose their meaning.
    turn: u32,
    slots: [Taken; SLOTS as usize],
    sum: Taken,
}

/// The windows of every key and team that has a limit. One owner.
#[derive(Default)]
pub struct Limits {
    windows: HashMap<Owner, Window>,
    sweep_at: usize,
}

impl Limits {
    /// Takes one request and `tokens` from the key's and the team's minute, or
    /// nothing. `tokens` is the most that the request may use, as far as known.
    ///
    /// # Errors
    /// [`Denied::Rate`] with the longest wait that any limit asks for,
    /// [`Denied::TooLarge`] when waiting cannot help.
    pub fn admit(&mut self, principal: &Principal, tokens: u64, now: Micros) -> Result<Ticket, Denied> {
        let rates = &principal.rates;
        let slot = now.0.div_euclid(SLOT_US);
        let checks = [
            ("key", Owner::Key(principal.key), rates.key_requests, rates.key_tokens),
            ("team", Owner::Team(principal.team), rates.team_requests, rates.team_tokens),
        ];
        let mut taken = [None; 2];
        let mut refused: Option<Denied> = None;
        for (index, (whose, owner, requests, token_limit)) in checks.into_iter().enumerate() {
            if requests.is_none() && token_limit.is_none() {
                continue;
            }
            let window = self.window(owner, slot);
            window.advance(slot);
            // After a small step back of the clock, the head is later than `slot`.
            taken[index] = Some(Place { owner, slot: window.head, turn: window.turn });
            if let Some(limit) = token_limit.filter(|limit| tokens > *limit) {
                return Err(Denied::TooLarge { whose, asked: tokens, limit });
            }
            for (unit, asked, limit, of) in [
                ("requests", 1, requests.map(u64::from), (|t| t.requests) as fn(&Taken) -> u64),
                ("tokens", tokens, token_limit, |t| t.tokens),
            ] {
                let Some(limit) = limit else { continue };
                let used = of(&window.sum);
                if used.saturating_add(asked) <= limit {
                    continue;
                }
                let retry_after_s = window.wait_s(asked, limit, of, now);
                let longer = match &refused {
                    Some(Denied::Rate { retry_after_s: known, .. }) => retry_after_s > *known,
                    _ => true,
                };
                if longer {
                    refused = Some(Denied::Rate { whose, unit, used, asked, limit, retry_after_s });
                }
            }
        }
        if let Some(denied) = refused {
            return Err(denied);
        }
        for place in taken.iter().flatten() {
            self.window(place.owner, slot).change(place, |t| {
                t.requests += 1;
                t.tokens = t.tokens.saturating_add(tokens);
            });
        }
        Ok(Ticket { taken, tokens })
    }

    /// Replaces the estimate by what was really used. Beyond the estimate it
    /// may exceed the limit, and then keeps others out until the minute is over.
    pub fn true_up(&mut self, ticket: Ticket, actual_tokens: u64) {
        self.correct(&ticket, |t| {
            t.tokens = t.tokens.saturating_sub(ticket.tokens).saturating_add(actual_tokens);
        });
    }

    /// Gives everything back: the request was refused before it began.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.correct(&ticket, |t| {
            t.tokens = t.tokens.saturating_sub(ticket.tokens);
            t.requests = t.requests.saturating_sub(1);
        });
    }

    fn correct(&mut self, ticket: &Ticket, change: impl Fn(&mut Taken)) {
        for place in ticket.taken.iter().flatten() {
            if let Some(window) = self.windows.get_mut(&place.owner) {
                window.change(place, &change);
            }
        }
    }

    fn window(&mut self, owner: Owner, slot: i64) -> &mut Window {
        if self.windows.len() >= self.sweep_at.max(SWEEP_AT) && !self.windows.contains_key(&owner) {
            // An idle window says nothing that a new one would not.
            self.windows.retain(|_, w| w.head > slot - SLOTS && w.sum != Taken::default());
            self.sweep_at = self.windows.len() * 2;
        }
        self.windows.entry(owner).or_insert_with(|| Window {
            head: slot,
            turn: 0,
            slots: [Taken::default(); SLOTS as usize],
            sum: Taken::default(),
        })
    }
}

impl Window {
    /// Moves on to `slot`, forgetting what left the window.
    fn advance(&mut self, slot: i64) {
        if slot <= self.head - SLOTS {
            // The clock was in the future and came back by more than a minute.
            // Keep all that was taken, as if it were taken now: nobody gets more
            // than the limit, and nobody waits for the future.
            let sum = self.sum;
            self.slots = [Taken::default(); SLOTS as usize];
            self.slots[index(slot)] = sum;
            self.head = slot;
            self.turn = self.turn.wrapping_add(1);
        }
        let steps = (slot - self.head).clamp(0, SLOTS);
        for step in 1..=steps {
            // Beyond a whole turn each slot is cleared once; which ones is the same.
            self.change_at(index(self.head + step), |t| *t = Taken::default());
        }
        self.head = self.head.max(slot);
    }

    /// Changes a slot that is still in the window.
    fn change(&mut self, place: &Place, change: impl FnOnce(&mut Taken)) {
        if place.turn == self.turn && place.slot <= self.head && place.slot > self.head - SLOTS {
            self.change_at(index(place.slot), change);
        }
    }

    fn change_at(&mut self, index: usize, change: impl FnOnce(&mut Taken)) {
        let before = self.slots[index];
        change(&mut self.slots[index]);
        let after = self.slots[index];
        let moved = |sum: u64, before: u64, after: u64| sum.saturating_sub(before).saturating_add(after);
        self.sum.requests = moved(self.sum.requests, before.requests, after.requests);
        self.sum.tokens = moved(self.sum.tokens, before.tokens, after.tokens);
    }

    /// Seconds until enough has left the window, at least 1, rounded up.
    fn wait_s(&self, asked: u64, limit: u64, of: fn(&Taken) -> u64, now: Micros) -> u32 {
        let mut used = of(&self.sum);
        for slot in self.head - SLOTS + 1..=self.head {
            used = used.saturating_sub(of(&self.slots[index(slot)]));
            if used.saturating_add(asked) <= limit {
                let leaves = (slot + SLOTS).saturating_mul(SLOT_US);
                let wait_us = Micros(leaves).since(now);
                return u32::try_from(wait_us.div_ceil(1_000_000)).unwrap_or(u32::MAX).max(1);
            }
        }
        // A limit of zero: no wait will do.
        60
    }
}

fn index(slot: i64) -> usize {
    slot.rem_euclid(SLOTS) as usize
}

#[cfg(test)]
mod tests;
