//! The state of every model and the policy over it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use units::Micros;

/// One version of one model's file, loaded in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId(pub u64);

/// One request that wants a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// For the estimates of all models together, in bytes.
    pub budget_bytes: u64,
    /// Up to here requests of loaded models go first; afterwards the waiting model does.
    pub wait_max_us: u64,
    /// Most waiters at once; one more is refused.
    pub waiters_max: usize,
}

/// The first pause after a failed load; it doubles up to [`FAILED_MAX_US`].
const FAILED_BASE_US: i64 = 2_000_000;
const FAILED_MAX_US: i64 = 120_000_000;

/// A load that took longer than this was slow for another reason than its size.
const LINGER_MAX_US: u64 = 300_000_000;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// A model that requests may ask for, from now on. Said again it changes the keep-alive.
    Declare {
        model: ModelId,
        need_bytes: u64,
        /// Unloaded when idle that long; `None`: never for that reason.
        keep_alive_us: Option<u64>,
    },
    /// Load it if there is free memory; nothing is unloaded for it.
    Warm {
        model: ModelId,
    },
    /// Not to be loaded before then, as after a load that failed: its engines die.
    Pause {
        model: ModelId,
        until: Micros,
    },
    /// Nobody will ask for it any more: it goes when its last request has.
    Retire {
        model: ModelId,
    },
    /// A request wants the model and waits until then.
    Ask {
        waiter: WaiterId,
        model: ModelId,
        until: Micros,
    },
    /// A request that waits does so no more.
    Leave {
        waiter: WaiterId,
    },
    /// A request that was granted the model is done with it.
    Return {
        model: ModelId,
    },
    Loaded {
        model: ModelId,
    },
    Failed {
        model: ModelId,
    },
    /// The memory of an unloaded model is free.
    Freed {
        model: ModelId,
    },
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// Answered by [`Event::Loaded`] or [`Event::Failed`].
    Load(ModelId),
    /// Answered by [`Event::Freed`].
    Unload(ModelId),
    /// The request has the model until [`Event::Return`].
    Grant(WaiterId, ModelId),
    Refuse(WaiterId, Refusal),
    /// A preload for which there is no free memory; requests load it.
    NotWarmed(ModelId),
    /// A retired model is no longer known.
    Gone(ModelId),
}

/// Why a request does not get its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It can never fit.
    TooLarge { need_bytes: u64, budget_bytes: u64 },
    /// The request could wait no longer.
    TimedOut,
    /// Too many wait already.
    Crowded,
    /// The load failed, and is tried again by a request after this time.
    Failed { again: Micros },
    /// The model is not declared (any more).
    Unknown,
}

/// Where a model stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    Unloaded,
    Loading { since: Micros },
    Loaded { since: Micros, linger_us: u64 },
    Unloading,
    Failed { again: Micros },
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    id: WaiterId,
    since: Micros,
    until: Micros,
}

#[derive(Clone, Debug)]
struct Entry {
    need: u64,
    keep_alive_us: Option<u64>,
    phase: Phase,
    warm: bool,
    retired: bool,
    leases: u32,
    waiters: VecDeque<Waiter>,
    granted: Micros,
    used: Micros,
    loads: u64,
    failures: u32,
}

/// What can be seen of one model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    pub phase: Phase,
    pub need_bytes: u64,
    pub keep_alive_us: Option<u64>,
    /// Requests that have it.
    pub leases: u32,
    pub waiters: u32,
    /// It takes no new requests, so that a model that waited too long gets its place.
    pub draining: bool,
    /// Also true before a preload has begun.
    pub warming: bool,
    /// When a request was granted it or returned it last.
    pub used: Option<Micros>,
    pub loads: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Totals {
    pub budget_bytes: u64,
    /// Loaded, being loaded, or not yet freed.
    pub committed_bytes: u64,
    pub loads: u64,
    pub unloads: u64,
    pub waiters: u64,
}

/// All models of a process.
#[derive(Clone, Debug)]
pub struct Residency {
    limits: Limits,
    models: BTreeMap<ModelId, Entry>,
    /// Which model a waiter waits for.
    waiting: BTreeMap<WaiterId, ModelId>,
    draining: BTreeSet<ModelId>,
    totals: Totals,
    wake: Option<Micros>,
}

impl Residency {
    pub fn new(limits: Limits) -> Residency {
        let totals = Totals { budget_bytes: limits.budget_bytes, ..Totals::default() };
        Residency {
            limits,
            models: BTreeMap::new(),
            waiting: BTreeMap::new(),
            draining: BTreeSet::new(),
            totals,
            wake: None,
        }
    }

    /// Takes what has happened and says what to do. Call it again at
    /// [`Residency::wake`] even if nothing has happened.
    pub fn step(&mut self, now: Micros, events: impl IntoIterator<Item = Event>) -> Vec<Action> {
        let mut actions = Vec::new();
        for event in events {
            self.hear(now, event, &mut actions);
        }
        self.expire(now, &mut actions);
        self.wake = None;
        self.swap(now, &mut actions);
        self.warm(&mut actions, now);
        self.grant(now, &mut actions);
        self.idle(now, &mut actions);
        actions
    }

    /// When the next step is due, if nothing happens before.
    pub fn wake(&self) -> Option<Micros> {
        self.wake
    }

    pub fn totals(&self) -> Totals {
        Totals { waiters: self.waiting.len() as u64, ..self.totals }
    }

    pub fn look(&self, model: ModelId) -> Option<Look> {
        let entry = self.models.get(&model)?;
        Some(Look {
            phase: entry.phase,
            need_bytes: entry.need,
            keep_alive_us: entry.keep_alive_us,
            leases: entry.leases,
            waiters: entry.waiters.len() as u32,
            draining: self.draining.contains(&model),
            warming: entry.warm,
            used: (entry.used > Micros(i64::MIN)).then_some(entry.used),
            loads: entry.loads,
        })
    }

    fn hear(&mut self, now: Micros, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Declare { model, need_bytes, keep_alive_us } => {
                let entry = self.models.entry(model).or_insert_with(|| Entry::new(need_bytes));
                entry.keep_alive_us = keep_alive_us;
                entry.retired = false;
            }
            Event::Warm { model } => {
                if let Some(entry) = self.models.get_mut(&model) {
                    if matches!(entry.phase, Phase::Failed { again } if now >= again) {
                        entry.phase = Phase::Unloaded;
                    }
                    entry.warm = entry.phase == Phase::Unloaded;
                }
            }
            Event::Pause { model, until } => {
                let Some(entry) = self.models.get_mut(&model) else { return };
                if entry.phase == Phase::Unloaded && entry.waiters.is_empty() {
                    entry.phase = Phase::Failed { again: until };
                    entry.warm = false;
                }
            }
            Event::Retire { model } => {
                if let Some(entry) = self.models.get_mut(&model) {
                    entry.retired = true;
                    entry.warm = false;
                }
            }
            Event::Ask { waiter, model, until } => self.ask(now, waiter, model, until, actions),
            Event::Leave { waiter } => {
                if let Some(model) = self.waiting.remove(&waiter)
                    && let Some(entry) = self.models.get_mut(&model)
                {
                    entry.waiters.retain(|w| w.id != waiter);
                }
            }
            Event::Return { model } => {
                if let Some(entry) = self.models.get_mut(&model) {
                    entry.leases = entry.leases.saturating_sub(1);
                    entry.used = now;
                }
            }
            Event::Loaded { model } => {
                let Some(entry) = self.models.get_mut(&model) else { return };
                let Phase::Loading { since } = entry.phase else { return };
                entry.phase = Phase::Loaded { since: now, linger_us: now.since(since).min(LINGER_MAX_US) };
                entry.failures = 0;
                entry.granted = now;
                self.draining.remove(&model);
                // Before anything else may want its place.
                self.grant_one(now, model, actions);
            }
            Event::Failed { model } => {
                let Some(entry) = self.models.get_mut(&model) else { return };
                if !matches!(entry.phase, Phase::Loading { .. }) {
                    return;
                }
                let pause = (FAILED_BASE_US << entry.failures.min(6)).min(FAILED_MAX_US);
                let again = now.plus_us(pause);
                entry.failures += 1;
                entry.phase = Phase::Failed { again };
                let refused = std::mem::take(&mut entry.waiters);
                self.totals.committed_bytes -= entry.need;
                for waiter in refused {
                    self.waiting.remove(&waiter.id);
                    actions.push(Action::Refuse(waiter.id, Refusal::Failed { again }));
                }
            }
            Event::Freed { model } => {
                let Some(entry) = self.models.get_mut(&model) else { return };
                if entry.phase == Phase::Unloading {
                    entry.phase = Phase::Unloaded;
                    self.totals.committed_bytes -= entry.need;
                }
            }
        }
    }

    fn ask(&mut self, now: Micros, id: WaiterId, model: ModelId, until: Micros, actions: &mut Vec<Action>) {
        let Limits { budget_bytes, waiters_max, .. } = self.limits;
        let Some(entry) = self.models.get_mut(&model) else {
            actions.push(Action::Refuse(id, Refusal::Unknown));
            return;
        };
        let refusal = match entry.phase {
            _ if entry.need > budget_bytes => {
                Some(Refusal::TooLarge { need_bytes: entry.need, budget_bytes })
            }
            Phase::Failed { again } if now < again => Some(Refusal::Failed { again }),
            Phase::Loaded { .. } => None,
            _ if self.waiting.len() >= waiters_max => Some(Refusal::Crowded),
            _ => None,
        };
        if let Some(refusal) = refusal {
            actions.push(Action::Refuse(id, refusal));
            return;
        }
        if let Phase::Failed { .. } = entry.phase {
            entry.phase = Phase::Unloaded;
        }
        entry.waiters.push_back(Waiter { id, since: now, until });
        self.waiting.insert(id, model);
    }

    fn expire(&mut self, now: Micros, actions: &mut Vec<Action>) {
        for entry in self.models.values_mut() {
            entry.waiters.retain(|waiter| {
                let late = waiter.until <= now;
                if late {
                    self.waiting.remove(&waiter.id);
                    actions.push(Action::Refuse(waiter.id, Refusal::TimedOut));
                }
                !late
            });
        }
    }

    fn wake_at(&mut self, at: Micros) {
        self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
    }

    fn free(&self) -> u64 {
        self.limits.budget_bytes.saturating_sub(self.totals.committed_bytes)
    }

    /// Loads what is waited for, and makes room for the one that waits longest.
    fn swap(&mut self, now: Micros, actions: &mut Vec<Action>) {
        self.draining.clear();
        let mut queue: Vec<(Micros, ModelId)> = self
            .models
            .iter()
            .filter(|(_, e)| e.phase == Phase::Unloaded)
            .filter_map(|(id, e)| e.waiters.front().map(|w| (w.since, *id)))
            .collect();
        // By the longest wait; the longest waiter of a model is its first.
        queue.sort_unstable();
        let mut head_waits = false;
        for (since, model) in queue {
            let need = self.models[&model].need;
            if need <= self.free() {
                self.load(now, model, actions);
                continue;
            }
            if head_waits {
                continue;
            }
            head_waits = true;
            let urgent = now.since(since) >= self.limits.wait_max_us;
            if !urgent {
                let at = since.plus_us(i64::try_from(self.limits.wait_max_us).unwrap_or(i64::MAX));
                self.wake_at(at);
            }
            if self.make_room(now, need, urgent, actions) {
                // Nobody behind it may take the room that is coming.
                break;
            }
        }
    }

    fn load(&mut self, now: Micros, model: ModelId, actions: &mut Vec<Action>) {
        let entry = self.models.get_mut(&model).expect("the caller found it among the models");
        entry.phase = Phase::Loading { since: now };
        entry.warm = false;
        entry.loads += 1;
        self.totals.committed_bytes += entry.need;
        self.totals.loads += 1;
        actions.push(Action::Load(model));
    }

    fn unload(&mut self, model: ModelId, actions: &mut Vec<Action>) {
        let entry = self.models.get_mut(&model).expect("the caller found it among the models");
        debug_assert!(entry.leases == 0, "a request in flight keeps its model");
        entry.phase = Phase::Unloading;
        self.totals.unloads += 1;
        actions.push(Action::Unload(model));
    }

    /// Whether `need` bytes are coming: from what is being freed, from idle models,
    /// and, if `urgent`, from models that take no more requests from now on.
    fn make_room(&mut self, now: Micros, need: u64, urgent: bool, actions: &mut Vec<Action>) -> bool {
        let mut short = need - self.free();
        let coming: u64 = self.models.values().filter(|e| e.phase == Phase::Unloading).map(|e| e.need).sum();
        short = short.saturating_sub(coming);
        if short == 0 {
            return true;
        }
        // Retired first, then idle before busy, then the least recently granted.
        let mut victims: Vec<(bool, bool, Micros, ModelId, u64)> = Vec::new();
        let mut lingering: Option<Micros> = None;
        for (id, entry) in &self.models {
            let Phase::Loaded { since, linger_us } = entry.phase else { continue };
            let busy = entry.leases > 0 || !entry.waiters.is_empty();
            let until = since.plus_us(i64::try_from(linger_us).unwrap_or(i64::MAX));
            if now < until && !entry.retired {
                lingering = Some(lingering.map_or(until, |l| l.min(until)));
                continue;
            }
            if busy && !urgent {
                continue;
            }
            victims.push((!entry.retired, busy, entry.granted, *id, entry.need));
        }
        victims.sort_unstable();
        let mut gained = 0u64;
        let enough = victims.iter().position(|v| {
            gained += v.4;
            gained >= short
        });
        let Some(last) = enough else {
            if let Some(until) = lingering {
                self.wake_at(until);
            }
            return urgent;
        };
        victims.truncate(last + 1);
        // One large model may make some of the small ones before it unnecessary.
        let mut spare = gained - short;
        victims.retain(|v| {
            let superfluous = v.4 <= spare;
            if superfluous {
                spare -= v.4;
            }
            !superfluous
        });
        for (_, _, _, model, _) in victims {
            if self.models[&model].leases > 0 {
                self.draining.insert(model);
            } else {
                self.unload(model, actions);
            }
        }
        true
    }

    /// Preloads, in the order of their declaration, into free memory only.
    fn warm(&mut self, actions: &mut Vec<Action>, now: Micros) {
        let wanted: Vec<ModelId> = self
            .models
            .iter()
            .filter(|(_, e)| e.warm && e.phase == Phase::Unloaded)
            .map(|(id, _)| *id)
            .collect();
        for model in wanted {
            if self.models[&model].need <= self.free() {
                self.load(now, model, actions);
            } else if let Some(entry) = self.models.get_mut(&model) {
                entry.warm = false;
                actions.push(Action::NotWarmed(model));
            }
        }
    }

    fn grant(&mut self, now: Micros, actions: &mut Vec<Action>) {
        let ready: Vec<ModelId> = self
            .models
            .iter()
            .filter(|(id, e)| {
                matches!(e.phase, Phase::Loaded { .. })
                    && !e.waiters.is_empty()
                    && !self.draining.contains(id)
            })
            .map(|(id, _)| *id)
            .collect();
        for model in ready {
            self.grant_one(now, model, actions);
        }
    }

    fn grant_one(&mut self, now: Micros, model: ModelId, actions: &mut Vec<Action>) {
        let Some(entry) = self.models.get_mut(&model) else { return };
        for waiter in std::mem::take(&mut entry.waiters) {
            entry.leases += 1;
            entry.granted = now;
            entry.used = now;
            self.waiting.remove(&waiter.id);
            actions.push(Action::Grant(waiter.id, model));
        }
    }

    /// Unloads what has been idle for its keep-alive, forgets what is retired,
    /// and notes when something like it is due.
    fn idle(&mut self, now: Micros, actions: &mut Vec<Action>) {
        let mut over = Vec::new();
        let mut gone = Vec::new();
        let mut wakes = Vec::new();
        for (id, entry) in &self.models {
            wakes.extend(entry.waiters.iter().map(|w| w.until).min());
            let unwanted = entry.leases == 0 && entry.waiters.is_empty();
            match entry.phase {
                Phase::Loaded { since, .. } if unwanted => {
                    let due = match entry.keep_alive_us {
                        _ if entry.retired => now,
                        None => continue,
                        Some(us) => since.max(entry.used).plus_us(i64::try_from(us).unwrap_or(i64::MAX)),
                    };
                    if due <= now { over.push(*id) } else { wakes.push(due) }
                }
                Phase::Unloaded | Phase::Failed { .. } if unwanted && entry.retired => gone.push(*id),
                _ => {}
            }
        }
        over.into_iter().for_each(|model| self.unload(model, actions));
        for model in gone {
            self.models.remove(&model);
            actions.push(Action::Gone(model));
        }
        wakes.into_iter().for_each(|at| self.wake_at(at));
    }
}

impl Entry {
    fn new(need: u64) -> Entry {
        Entry {
            need,
            keep_alive_us: None,
            phase: Phase::Unloaded,
            warm: false,
            retired: false,
            leases: 0,
            waiters: VecDeque::new(),
            granted: Micros(i64::MIN),
            used: Micros(i64::MIN),
            loads: 0,
            failures: 0,
        }
    }
}
