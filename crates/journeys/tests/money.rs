//! Money under load, under `kill -9`, and after it.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use journeys::{World, binary, eventually, number, price};
use serde_json::Value;
use testkit::{Ask, Provider};

/// A model each of whose requests costs a dollar and a little.
fn dear(world: &World, url: &str, model: &str) {
    world.provider("scripted", "openai", url, &[]);
    world.apply(&format!(
        "apiVersion: bedplate/v1\nkind: Model\nmetadata: {{ name: \"{model}\" }}\n\
         spec: {{ retries: 0, targets: [ {} ] }}\n",
        price("scripted", model, "1")
    ));
}

fn dollars(value: &Value) -> f64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("not an amount: {value}"))
}

#[test]
fn trap_m6_parallel_requests_never_overspend_a_hard_budget() {
    let Some(binary) = binary() else { return };
    let world = World::new(binary);
    let provider = Provider::start();
    dear(&world, &provider.url(), "slow:20");
    let key = world.team("people");
    world.budget("people", "people", "5.50");
    let asks: Vec<Ask> = (0..24)
        .map(|i| match i % 3 {
            0 => world.chat(&key, "slow:20", false),
            1 => world.chat(&key, "slow:20", true),
            _ => world.message(&key, "slow:20", true),
        })
        .collect();
    let answers = thread::scope(|scope| {
        let running: Vec<_> = asks.iter().map(|ask| scope.spawn(|| world.send(ask))).collect();
        running.into_iter().map(|r| r.join().expect("the request")).collect::<Vec<_>>()
    });
    let paid = answers.iter().filter(|a| a.status == 200).count();
    assert_eq!(paid, 5, "five dollars and a half pay for five");
    for refused in answers.iter().filter(|a| a.status != 200) {
        assert_eq!((refused.status, refused.header("bedplate-error")), (402, Some("LG0202")), "{refused:?}");
    }
    assert_eq!(provider.seen().len(), 5, "a refused request reaches nobody");
    let budget = world.budget_now("people");
    assert!(dollars(&budget["spent_usd"]) <= 5.5 && dollars(&budget["spent_usd"]) >= 5.0, "{budget}");
    assert_eq!(budget["held_usd"], "0", "{budget}");
    world.check_books();

    // What was spent is still spent after a crash.
    let world = world.killed();
    assert_eq!(world.budget_now("people")["spent_usd"], budget["spent_usd"]);
    let again = world.send(&world.chat(&key, "slow:20", false));
    assert_eq!(again.status, 402, "{again:?}");
    world.is_sound();
}

#[test]
fn a_model_without_a_price_is_refused_under_a_hard_budget() {
    let Some(binary) = binary() else { return };
    let world = World::new(binary);
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &[]);
    world.apply(
        "apiVersion: bedplate/v1\nkind: Model\nmetadata: { name: unpriced }\n\
         spec: { targets: [ { provider: scripted, model: unpriced } ] }\n",
    );
    let (bound, free) = (world.team("bound"), world.team("free"));
    world.budget("bound", "bound", "100");
    let refused = world.send(&world.chat(&bound, "unpriced", false));
    assert_eq!((refused.status, refused.header("bedplate-error")), (402, Some("LG0203")), "{refused:?}");
    // Without a hard budget it passes, and its cost waits in suspense, not at zero.
    let answer = world.send(&world.chat(&free, "unpriced", false));
    assert_eq!(answer.status, 200, "{answer:?}");
    let record = world.record_of(&answer);
    let accounts: Vec<&str> = record["postings"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|posting| posting["account"].as_str())
        .collect();
    assert_eq!(record["attempts"][0]["price_from"], Value::Null, "{record:#}");
    assert!(accounts.iter().any(|account| account.starts_with("suspense")), "{record:#}");
    world.check_books();
}

/// Kills the server inside an answer, and looks for what it cost.
fn killed_inside(model: &str, stream: bool, until: Option<&str>) {
    let Some(binary) = binary() else { return };
    let world = World::new(binary);
    let provider = Provider::start();
    dear(&world, &provider.url(), model);
    let key = world.team("people");
    world.budget("people", "people", "10");
    let mut open = world.chat(&key, model, stream).open(world.server.address()).expect("reach the server");
    provider.wait_for("the request", |seen| seen.len() == 1);
    if let Some(text) = until {
        open.until(text).expect("a part of the answer");
    }
    let held = dollars(&world.budget_now("people")["held_usd"]);
    assert!(held > 1.0, "{held}");
    // A hold is written down once its request has lasted 20 ms. This one lasts
    // longer, began later, and ends only when everything before it is on disk.
    dear(&world, &provider.url(), "slow:100");
    assert_eq!(world.send(&world.chat(&key, "slow:100", false)).status, 200);
    let world = world.killed();
    drop(open);
    let record = world.record_for(model);
    assert_eq!(record["outcome"], "crashed", "{record:#}");
    let budget = world.budget_now("people");
    assert!(dollars(&budget["spent_usd"]) >= 1.0, "the budget counts it: {budget} {record:#}");
    assert_eq!(budget["held_usd"], "0", "{budget}");
    world.check_books();
    world.is_sound();
}

#[test]
fn trap_m6_a_stream_that_a_crash_cut_is_counted() {
    // Slow enough that a loaded machine kills it inside the answer too.
    killed_inside("paced:1000", true, Some("big"));
}

#[test]
fn trap_m6_a_silent_stream_that_a_crash_cut_is_counted() {
    killed_inside("hang-mid-stream:2", true, Some("hello"));
}

#[test]
fn trap_m6_a_whole_answer_that_a_crash_cut_is_counted() {
    killed_inside("hang-before-head", false, None);
}

#[test]
fn trap_m6_a_whole_answer_that_a_crash_cut_after_its_head_is_counted() {
    killed_inside("hang-after-head", false, None);
}

/// Whoever got a whole answer finds its record and its price after any crash.
#[test]
fn no_acknowledged_answer_is_lost_over_many_kills() {
    let Some(binary) = binary() else { return };
    let mut world = World::new(binary);
    let provider = Provider::start();
    dear(&world, &provider.url(), "echo");
    let key = world.team("people");
    world.budget("people", "people", "1000000");
    let (mut acknowledged, mut all) = (BTreeSet::new(), BTreeSet::new());
    let rounds = number("JOURNEY_KILLS", 8);
    for round in 0..rounds {
        let enough = 10 + (round as usize * 7) % 40;
        let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
        let got = Mutex::new(Vec::new());
        let address = world.server.address();
        thread::scope(|scope| {
            for client in 0..6 {
                let ask = match client % 3 {
                    0 => world.chat(&key, "echo", false),
                    1 => world.chat(&key, "echo", true),
                    _ => world.message(&key, "echo", true),
                };
                let (stop, count, got) = (&stop, &count, &got);
                scope.spawn(move || {
                    while !stop.load(SeqCst) {
                        // The connection breaks when the server is killed: that answer was not acknowledged.
                        let Ok(answer) = ask.send(address) else { continue };
                        let done = answer.body.contains("[DONE]")
                            || answer.body.contains("message_stop")
                            || answer.header("bedplate-cost").is_some();
                        if answer.status == 200 && answer.whole && done {
                            let id = answer.header("x-request-id").expect("an id").to_owned();
                            got.lock().expect("no thread panics with it").push(id);
                            count.fetch_add(1, SeqCst);
                        }
                    }
                });
            }
            eventually("enough answers came", || (count.load(SeqCst) >= enough).then_some(()));
            world.server.signal("KILL").expect("kill the server");
            stop.store(true, SeqCst);
        });
        // Older ones were found in an earlier round; all are looked for again in the last.
        if round + 1 < rounds {
            all.append(&mut acknowledged);
        }
        acknowledged.extend(got.into_inner().expect("all threads have ended"));
        if round + 1 == rounds {
            acknowledged.append(&mut all);
        }
        world = world.killed();
        let known = known_records(&world);
        let has_record = |id: &&String| {
            known.contains(*id)
                || world.api("GET", &format!("/api/v1/records/{id}"), &Value::Null).json()["outcome"]
                    == "completed"
        };
        let lost: Vec<_> = acknowledged.iter().filter(|id| !has_record(id)).collect();
        assert!(lost.is_empty(), "round {round}: {} of {} lost: {lost:?}", lost.len(), acknowledged.len());
        world.check_books();
    }
    let budget = world.budget_now("people");
    assert!(dollars(&budget["spent_usd"]) >= acknowledged.len() as f64, "{budget}");
    eprintln!("{} answers acknowledged, none lost", acknowledged.len());
    world.is_sound();
}

/// The newest thousand, and whatever older ones are asked for one by one.
fn known_records(world: &World) -> BTreeSet<String> {
    let all = world.show("/api/v1/records?limit=1000");
    let records = all["data"].as_array().into_iter().flatten();
    records
        .filter(|r| r["outcome"] == "completed")
        .filter_map(|r| Some(r["id"].as_str()?.to_owned()))
        .collect()
}
