use expect_test::{Expect, expect};

use super::*;
use crate::commands::{cost_report, render_plan};

fn check(shown: &str, expected: Expect) {
    assert!(!shown.contains('\x1b'), "it reads without colour");
    expected.assert_eq(shown);
}

fn from<T: serde::de::DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).expect("the fixture is of this type")
}

#[test]
fn the_record_of_a_fallback_reads_from_outcome_to_ledger() {
    check(&explain::render(&from(include_str!("../fixtures/fallback.json"))), expect![[r#""#]]);
}

#[test]
fn the_record_of_a_refusal_shows_the_code_and_that_nothing_was_called() {
    check(&explain::render(&from(include_str!("../fixtures/refused.json"))), expect![[r#""#]]);
}

#[test]
fn a_cost_report_ends_with_its_total() {
    let report = r#"{"by":"model","from":"2026-11-01","to":"2026-11-23",
        "rows":[{"name":"fast","attempts":12345,"estimated":2,"unpriced":0,"tokens":{"input":1200000,"cache_read":5,"output":90000,"reasoning":10},"cost_usd":"1.2345"},
                {"name":"bedplate-guide","attempts":3,"estimated":0,"unpriced":1,"tokens":{"input":40,"output":60},"cost_usd":"0.00000032"}],
        "total":{"name":"total","attempts":12348,"estimated":2,"unpriced":1,"tokens":{"input":1200040,"cache_read":5,"output":90060,"reasoning":10},"cost_usd":"1.23450032"}}"#;
    check(&cost_report(&from(report)), expect![[r#""#]]);
}

#[test]
fn a_plan_shows_what_changes_and_a_diff_leaves_out_the_rest() {
    let plan = from(
        r#"{"generation":7,"changed":true,"applied":false,"steps":[
        {"action":"unchanged","kind":"Provider","name":"groq"},
        {"action":"update","kind":"Model","name":"fast","changes":[
            {"path":"spec.targets[0].model","from":"a","to":"b"},
            {"path":"spec.targets[0].weight","from":"3","to":null},
            {"path":"spec.aliases[0]","from":null,"to":"quick"}]},
        {"action":"delete","kind":"Team","name":"old"}]}"#,
    );
    check(&render_plan(&plan, true), expect![[r#""#]]);
    assert!(!render_plan(&plan, false).contains("groq"));
}

#[test]
fn arguments_become_commands() {
    let serve = parse_from(["bedplate", "serve", "--listen", "127.0.0.1:0", "--roles", "gateway,engine"]);
    let Ok(Command::Serve(serve)) = serve else { panic!("it is `serve`") };
    assert_eq!(serve.roles, [Role::Gateway, Role::Engine]);
    assert!(matches!(parse_from(["bedplate", "doctor", "--json"]), Ok(Command::Doctor { json: true, .. })));
    assert!(matches!(parse_from(["bedplate", "model", "bench", "x.gguf"]), Ok(Command::Bench { .. })));
    assert!(matches!(parse_from(["bedplate", "key", "list"]), Ok(Command::Client(_))));
    tree().debug_assert();
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    for words in [
        vec!["bedplate", "frobnicate"],
        vec!["bedplate", "budget", "create", "b", "--limit", "1"],
        vec!["bedplate", "budget", "create", "b", "--limit", "1", "--team", "a", "--key", "b"],
        vec!["bedplate", "plan"],
        vec!["bedplate", "serve", "--listen", "nowhere"],
        vec!["bedplate", "key", "create", "k", "--team", "t", "--role", "god"],
    ] {
        let error = parse_from(&words).expect_err(&words.join(" "));
        assert_eq!(error.exit_code(), 2, "{words:?}");
    }
}

#[test]
fn trap_x4_no_argument_takes_a_key() {
    fn walk(command: &clap::Command) {
        for argument in command.get_arguments() {
            let name = argument.get_id().as_str();
            let takes_a_secret = ["secret", "token", "password", "api_key"].iter().any(|w| name == *w);
            assert!(!takes_a_secret, "{} --{name}", command.get_name());
        }
        command.get_subcommands().for_each(walk);
    }
    walk(&tree());
}

#[test]
fn durations_are_numbers_with_units() {
    for (text, seconds) in
        [("0", 0), ("90s", 90), ("30m", 1800), ("24h", 86_400), ("7d", 604_800), ("2w", 1_209_600)]
    {
        assert_eq!(duration::seconds("--expires", text).expect(text), seconds);
    }
    for text in ["", "h", "12", "-1h", "1.5h", "1y", "99999999999999999999d", "999999d", "1H"] {
        assert!(duration::seconds("--expires", text).is_err(), "{text}");
    }
}
