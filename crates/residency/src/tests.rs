//! A process of models under a virtual clock, seeded.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use proptest::prelude::*;
use units::Micros;

use crate::{Action, Event, Limits, ModelId, Phase, Refusal, Residency, WaiterId};

const MS: i64 = 1_000;
const WAIT_MAX: i64 = 500 * MS;

fn limits(budget_bytes: u64) -> Limits {
    Limits { budget_bytes, wait_max_us: WAIT_MAX as u64, waiters_max: 10_000 }
}

struct Seed(u64);

impl Seed {
    /// SplitMix64 (S. Vigna, public domain).
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }
}

/// The world around a [`Residency`]: loads and requests take time.
struct World {
    residency: Residency,
    now: Micros,
    due: BinaryHeap<Reverse<(Micros, u64, usize)>>,
    later: Vec<Option<Event>>,
    need: BTreeMap<ModelId, u64>,
    budget: u64,
    in_memory: u64,
    leases: BTreeMap<ModelId, u32>,
    asked: BTreeMap<WaiterId, (ModelId, Micros)>,
    ended: BTreeMap<WaiterId, (bool, Micros)>,
    loads: BTreeMap<ModelId, u64>,
    load_us: i64,
    serve_us: u64,
    fails_in: u64,
    seed: Seed,
    trace: Vec<Action>,
}

impl World {
    fn new(budget: u64, needs: &[u64], seed: u64) -> World {
        let mut world = World {
            residency: Residency::new(limits(budget)),
            now: Micros(0),
            due: BinaryHeap::new(),
            later: Vec::new(),
            need: BTreeMap::new(),
            budget,
            in_memory: 0,
            leases: BTreeMap::new(),
            asked: BTreeMap::new(),
            ended: BTreeMap::new(),
            loads: BTreeMap::new(),
            load_us: 40 * MS,
            serve_us: 30_000,
            fails_in: 0,
            seed: Seed(seed),
            trace: Vec::new(),
        };
        for (index, need) in needs.iter().enumerate() {
            let model = ModelId(index as u64);
            world.need.insert(model, *need);
            world.tell(Event::Declare { model, need_bytes: *need, keep_alive_us: None });
        }
        world
    }

    fn at(&mut self, at: Micros, event: Event) {
        self.later.push(Some(event));
        let index = self.later.len() - 1;
        self.due.push(Reverse((at, index as u64, index)));
    }

    fn ask(&mut self, at: i64, waiter: u64, model: u64, until: i64) {
        let event = Event::Ask { waiter: WaiterId(waiter), model: ModelId(model), until: Micros(until) };
        self.at(Micros(at), event);
    }

    fn tell(&mut self, event: Event) {
        if let Event::Ask { waiter, model, .. } = event {
            self.asked.insert(waiter, (model, self.now));
        }
        match event {
            Event::Freed { model } => self.in_memory -= self.need[&model],
            Event::Failed { model } => self.in_memory -= self.need[&model],
            Event::Return { model } => *self.leases.get_mut(&model).expect("it was granted") -= 1,
            Event::Leave { waiter } if self.asked.contains_key(&waiter) => {
                if self.ended.contains_key(&waiter) {
                    return;
                }
                self.ended.insert(waiter, (false, self.now));
            }
            _ => {}
        }
        let actions = self.residency.step(self.now, [event]);
        self.obey(actions);
    }

    fn obey(&mut self, actions: Vec<Action>) {
        for action in actions {
            self.trace.push(action);
            match action {
                Action::Load(model) => {
                    self.in_memory += self.need[&model];
                    assert!(self.in_memory <= self.budget, "over budget at {:?}", self.now);
                    *self.loads.entry(model).or_default() += 1;
                    let fails = self.fails_in > 0 && self.seed.below(self.fails_in) == 0;
                    let event = if fails { Event::Failed { model } } else { Event::Loaded { model } };
                    self.at(self.now.plus_us(self.load_us), event);
                }
                Action::Unload(model) => {
                    assert_eq!(self.leases.get(&model).copied().unwrap_or(0), 0, "unloaded under a request");
                    self.at(self.now.plus_us(2 * MS), Event::Freed { model });
                }
                Action::Grant(waiter, model) => {
                    *self.leases.entry(model).or_default() += 1;
                    let before = self.ended.insert(waiter, (true, self.now));
                    assert_eq!(before, None, "{waiter:?} ends once");
                    let us = 1 + self.seed.below(self.serve_us) as i64;
                    self.at(self.now.plus_us(us), Event::Return { model });
                }
                Action::Refuse(waiter, _) => {
                    let before = self.ended.insert(waiter, (false, self.now));
                    assert_eq!(before, None, "{waiter:?} ends once");
                }
                Action::NotWarmed(_) | Action::Gone(_) => {}
            }
        }
        assert_eq!(self.residency.totals().committed_bytes, self.in_memory);
    }

    /// Until nothing is due any more.
    fn run(&mut self) {
        for _ in 0..1_000_000 {
            let wake = self.residency.wake();
            let next = self.due.peek().map(|Reverse((at, ..))| *at);
            match (wake, next) {
                (Some(wake), next) if next.is_none_or(|n| wake < n) => {
                    assert!(wake > self.now || next.is_some(), "woken for nothing at {wake:?}");
                    self.now = self.now.max(wake);
                    let actions = self.residency.step(self.now, []);
                    self.obey(actions);
                }
                (_, Some(_)) => {
                    let Some(Reverse((at, _, index))) = self.due.pop() else { unreachable!() };
                    self.now = self.now.max(at);
                    if let Some(event) = self.later[index].take() {
                        self.tell(event);
                    }
                }
                (_, None) => return,
            }
        }
        panic!("it never comes to rest");
    }

    fn waited(&self, waiter: u64) -> i64 {
        let (granted, at) = self.ended[&WaiterId(waiter)];
        assert!(granted, "{waiter} was refused");
        at.0 - self.asked[&WaiterId(waiter)].1.0
    }
    fn loads(&self) -> u64 {
        self.loads.values().sum()
    }
}

const FAR: i64 = 3_600_000 * MS;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn whatever_comes_it_stays_within_budget_and_every_request_ends_once(
        seed in any::<u64>(),
        models in 1u64..7,
        requests in 1u64..160,
        spread_ms in 1u64..4_000,
        fails_in in prop::sample::select(vec![0u64, 3, 10]),
        keep_alive in prop::sample::select(vec![None, Some(0u64), Some(50_000)]),
    ) {
        let mut dice = Seed(seed);
        let needs: Vec<u64> = (0..models).map(|_| 1 + dice.below(60)).collect();
        let mut world = World::new(64, &needs, seed);
        world.fails_in = fails_in;
        for model in 0..models {
            let model = ModelId(model);
            world.tell(Event::Declare { model, need_bytes: world.need[&model], keep_alive_us: keep_alive });
            if dice.below(3) == 0 {
                world.tell(Event::Warm { model });
            }
        }
        for waiter in 0..requests {
            let at = dice.below(spread_ms * 1_000) as i64;
            let patience = if dice.below(4) == 0 { dice.below(200) as i64 * MS } else { FAR };
            world.ask(at, waiter, dice.below(models), at + patience);
            if dice.below(8) == 0 {
                let leave = Event::Leave { waiter: WaiterId(waiter) };
                world.at(Micros(at + 1 + dice.below(100_000) as i64), leave);
            }
            if dice.below(40) == 0 {
                world.at(Micros(at), Event::Retire { model: ModelId(dice.below(models)) });
            }
        }
        world.run();
        prop_assert_eq!(world.ended.len() as u64, requests);
        prop_assert_eq!(world.residency.totals().waiters, 0);
        // No swap without somebody who asked for it: preloads aside, at most one per request.
        prop_assert!(world.loads() <= requests + models);
        for (model, need) in &world.need {
            let Some(look) = world.residency.look(*model) else { continue };
            prop_assert_eq!((look.leases, look.waiters, look.need_bytes), (0, 0, *need));
            if keep_alive.is_some() {
                prop_assert!(!matches!(look.phase, Phase::Loaded { .. }), "{:?}", look);
            }
        }
    }

    #[test]
    fn nobody_starves_under_models_that_are_always_busy(seed in any::<u64>(), models in 2u64..6) {
        // Memory for one, and every model is asked for all the time.
        let needs = vec![10; models as usize];
        let mut world = World::new(10, &needs, seed);
        let mut dice = Seed(seed);
        for waiter in 0..600 {
            let at = dice.below(6_000_000) as i64;
            world.ask(at, waiter, dice.below(models), FAR);
        }
        world.run();
        // Each of the others may go before it, with a wait, a load, as long a stay, a free and a last request.
        let most = models as i64 * (WAIT_MAX + 2 * world.load_us + 2 * MS + world.serve_us as i64 + 1_000);
        for waiter in 0..600 {
            prop_assert!(world.waited(waiter) <= most, "{} > {most}", world.waited(waiter));
        }
        // And no thrash: at most half of the time goes into loads.
        let swaps = world.loads();
        prop_assert!(swaps <= 10 + world.now.0 as u64 / world.load_us as u64 / 2, "{swaps} swaps");
    }

    #[test]
    fn the_same_seed_gives_the_same_trace(seed in any::<u64>()) {
        let trace = || {
            let mut world = World::new(30, &[10, 15, 20], seed);
            let mut dice = Seed(seed);
            for waiter in 0..100 {
                world.ask(dice.below(2_000_000) as i64, waiter, dice.below(3), FAR);
            }
            world.run();
            world.trace
        };
        prop_assert_eq!(trace(), trace());
    }
}

#[test]
fn a_model_that_can_never_fit_is_refused_at_once() {
    let mut world = World::new(10, &[11], 1);
    world.ask(0, 1, 0, FAR);
    world.run();
    let refused = Action::Refuse(WaiterId(1), Refusal::TooLarge { need_bytes: 11, budget_bytes: 10 });
    assert_eq!(world.trace, [refused]);
}

#[test]
fn one_load_serves_everybody_who_waits_for_it() {
    let mut world = World::new(10, &[10, 10], 1);
    for waiter in 0..50 {
        world.ask(waiter as i64, waiter, waiter % 2, FAR);
    }
    world.run();
    assert_eq!(world.loads(), 2);
}

#[test]
fn the_least_recently_used_idle_model_goes() {
    let mut world = World::new(20, &[10, 10, 10], 1);
    for (at, model) in [(0, 0), (1, 1), (2, 0), (3, 2)] {
        world.ask(at * 1_000 * MS, at as u64, model, FAR);
    }
    world.run();
    let phase = |m| world.residency.look(ModelId(m)).expect("declared").phase;
    assert_eq!(phase(1), Phase::Unloaded);
    assert!(matches!(phase(0), Phase::Loaded { .. }) && matches!(phase(2), Phase::Loaded { .. }));
}

#[test]
fn small_idle_models_stay_when_the_large_one_has_to_go_anyway() {
    let mut world = World::new(30, &[5, 25, 30 - 5], 1);
    for (at, model) in [(0, 0), (1, 1), (2, 2)] {
        world.ask(at * 1_000 * MS, at as u64, model, FAR);
    }
    world.run();
    let phase = |m| world.residency.look(ModelId(m)).expect("declared").phase;
    assert!(matches!(phase(0), Phase::Loaded { .. }), "5 bytes would not have helped");
    assert_eq!(phase(1), Phase::Unloaded);
}

#[test]
fn a_busy_model_keeps_its_place_until_somebody_has_waited_too_long() {
    let mut world = World::new(10, &[10, 10], 1);
    world.serve_us = 50_000;
    // A request to model 0 every 10 ms for two seconds: it is never idle.
    for n in 0..200 {
        world.ask(n * 10 * MS, n as u64, 0, FAR);
    }
    world.ask(100 * MS, 900, 1, FAR);
    world.run();
    let waited = world.waited(900);
    assert!(waited <= WAIT_MAX + 150 * MS, "{waited}");
    assert!(world.loads() <= 3 + 2, "{} loads", world.loads());
}

#[test]
fn loads_that_take_longer_than_anybody_waits_still_leave_half_of_the_time() {
    let mut world = World::new(10, &[10, 10], 1);
    world.load_us = 3 * WAIT_MAX;
    for n in 0..400 {
        world.ask(n * 50 * MS, n as u64, n as u64 % 2, FAR);
    }
    world.run();
    assert!(world.ended.values().all(|(granted, _)| *granted));
    let loading = world.loads() as i64 * world.load_us;
    assert!(loading <= world.now.0 / 2 + world.load_us, "{loading} of {}", world.now);
}

#[test]
fn a_failed_load_refuses_at_once_until_its_pause_is_over() {
    let mut world = World::new(10, &[10], 1);
    world.fails_in = 1;
    world.ask(0, 1, 0, FAR);
    world.ask(1_000 * MS, 2, 0, FAR);
    world.ask(3_000 * MS, 3, 0, FAR);
    world.run();
    assert_eq!(world.loads(), 2, "the second request came within the pause");
    assert!(world.ended.values().all(|(granted, _)| !granted));
}

#[test]
fn a_model_that_pauses_is_loaded_by_nobody_before_its_time() {
    let mut world = World::new(10, &[10], 1);
    let model = ModelId(0);
    world.tell(Event::Pause { model, until: Micros(2_000 * MS) });
    world.tell(Event::Warm { model });
    world.ask(1_000 * MS, 1, 0, FAR);
    world.at(Micros(1_999 * MS), Event::Warm { model });
    world.ask(2_000 * MS, 2, 0, FAR);
    world.run();
    assert_eq!(world.loads(), 1);
    assert_eq!((world.ended[&WaiterId(1)].0, world.ended[&WaiterId(2)].0), (false, true));
}

#[test]
fn a_failed_preload_is_tried_again_when_its_pause_is_over() {
    let mut world = World::new(10, &[10], 1);
    let model = ModelId(0);
    world.tell(Event::Pause { model, until: Micros(2_000 * MS) });
    world.at(Micros(2_001 * MS), Event::Warm { model });
    world.run();
    assert_eq!(world.trace, [Action::Load(model)]);
}

#[test]
fn a_preload_takes_free_memory_and_nobody_elses() {
    let mut world = World::new(10, &[10, 10], 1);
    world.tell(Event::Warm { model: ModelId(0) });
    world.tell(Event::Warm { model: ModelId(1) });
    world.run();
    assert_eq!(world.trace, [Action::Load(ModelId(0)), Action::NotWarmed(ModelId(1))]);
}

#[test]
fn a_retired_model_goes_after_its_last_request() {
    let mut world = World::new(10, &[10], 1);
    world.ask(0, 1, 0, FAR);
    world.at(Micros(41 * MS), Event::Retire { model: ModelId(0) });
    world.run();
    let model = ModelId(0);
    assert_eq!(
        world.trace,
        [Action::Load(model), Action::Grant(WaiterId(1), model), Action::Unload(model), Action::Gone(model)]
    );
    assert_eq!(world.residency.look(model), None);
}
