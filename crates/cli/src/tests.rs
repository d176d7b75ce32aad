use expect_test::{Expect, expect};

use super::*;
use crate::commands::{Stream, cost_report, render_plan};

fn check(shown: &str, expected: Expect) {
    assert!(!shown.contains('\x1b'), "it reads without colour");
    expected.assert_eq(shown);
}

fn from<T: serde::de::DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).expect("the fixture is of this type")
}

#[test]
fn the_record_of_a_fallback_reads_from_outcome_to_ledger() {
    check(
        &explain::render(&from(include_str!("../fixtures/fallback.json"))),
        expect![[r#"
        request 019a5c1e-7b1c-7c7e-9a51-0d6f5e0b7a11
          2026-11-23T16:00:09.125Z | completed | status 200 | 912.3 ms | 0.0000871 USD
          team search, key ci (019a5c1e-0000-7000-8000-000000000001), end user u-17
          asked for fast by openai.chat (stream), 1,834 bytes in, 5,120 bytes out, configuration 12

        decisions
          admission  allowed: role inference, model granted, 3 of 600 requests/min
          held       0.0021 USD at most, settled at 0.0000871 USD
          tried      groq/llama-3.3-70b-versatile: failed with UP0006
          tried      local/bedplate-guide: ok
          not tried  openai/gpt-x: circuit open for 12 s more

          step            at      took
          decode        0 us     41 us  #.......................................
          identify     41 us      6 us  #.......................................  key ci, version 2
          admit        47 us     22 us  #.......................................  2 budgets
          plan         69 us      9 us  #.......................................  2 of 3 targets
          dispatch     78 us  310.2 ms  #############...........................  second attempt
          stream    310.3 ms  601.9 ms  .............##########################.  64 events
          settle    912.2 ms    167 us  .......................................#

        attempt 1: groq/llama-3.3-70b-versatile for chat | failed with UP0006, status 429 | 120.0 ms
          tokens: none
          price: in force since 2026-07-05T00:00:00.000Z, from catalogue 2026-08-01
          note: retry-after 2 s

        attempt 2: local/bedplate-guide for chat | ok | 792.0 ms
          first byte after 190.1 ms, then 105 tokens/s
          tokens: 412 input, 100 cache_read, 64 output
          price: in force since 2026-11-01T00:00:00.000Z, from manifest Model/fast
          line     quantity        USD each           USD
          machine   792,000  0.000000000028   0.000022176
          energy     51,480   0.00000000003  0.0000015444
          total                                 0.0000871
          tier: default

        ledger
          account                     USD  attempt
          expense:search/fast   0.0000871  019a5c1e-7b1c-7c7e-9a51-000000000002
          engine:local         -0.0000871  019a5c1e-7b1c-7c7e-9a51-000000000002
    "#]],
    );
}

#[test]
fn the_record_of_a_refusal_shows_the_code_and_that_nothing_was_called() {
    check(
        &explain::render(&from(include_str!("../fixtures/refused.json"))),
        expect![[r#"
        request 019a5c1e-7b1c-7c7e-9a51-0d6f5e0b7a12
          2026-11-23T16:00:10.000Z | refused with LG0202 (docs/errors/LG0202.md) | status 402 | 84 us | 0 USD
          team search, key ci (019a5c1e-0000-7000-8000-000000000001)
          asked for big by anthropic.messages, 300 bytes in, 210 bytes out, configuration 12

        decisions
          admission  refused: could cost 0.30 USD, budget search-month has 0.12 USD left of 25 USD
          held       0 USD at most, settled at 0 USD

          step         at   took
          decode     0 us  40 us  ###################.....................
          identify  40 us   6 us  ...................##...................
          admit     46 us  38 us  .....................###################  LG0202

        no target was called

        ledger: nothing was posted
    "#]],
    );
}

#[test]
fn a_cost_report_ends_with_its_total() {
    let report = r#"{"by":"model","from":"2026-11-01","to":"2026-11-23",
        "rows":[{"name":"fast","attempts":12345,"estimated":2,"unpriced":0,"tokens":{"input":1200000,"cache_read":5,"output":90000,"reasoning":10},"cost_usd":"1.2345"},
                {"name":"bedplate-guide","attempts":3,"estimated":0,"unpriced":1,"tokens":{"input":40,"output":60},"cost_usd":"0.00000032"}],
        "total":{"name":"total","attempts":12348,"estimated":2,"unpriced":1,"tokens":{"input":1200040,"cache_read":5,"output":90060,"reasoning":10},"cost_usd":"1.23450032"}}"#;
    check(
        &cost_report(&from(report)),
        expect![[r#"
        2026-11-01 to 2026-11-23, UTC
        MODEL           ATTEMPTS  TOKENS IN  TOKENS OUT    COST USD  NOTE
        fast              12,345  1,200,005      90,010      1.2345  2 estimated
        bedplate-guide         3         40          60  0.00000032  1 unpriced
        total             12,348  1,200,045      90,070  1.23450032  1 unpriced, 2 estimated
    "#]],
    );
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
    check(
        &render_plan(&plan, true),
        expect![[r#"
        = Provider groq
        ~ Model fast
            targets[0].model: a -> b
            targets[0].weight: 3 -> (removed)
            aliases[0]: quick
        - Team old
        0 to create, 1 to update, 1 to delete, 1 unchanged"#]],
    );
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
            let takes_a_secret = ["secret", "token", "password", "api_key"].contains(&name);
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

#[test]
fn an_error_of_the_server_names_the_file_and_its_line() {
    let team = |name: &str| format!("apiVersion: bedplate/v1\nkind: Team\nmetadata: {{ name: {name} }}\n");
    let mut stream = Stream::default();
    stream.add("a.yaml", &format!("# first\n\n{}---\n# second\n{}", team("a"), team("b"))).expect("sound");
    stream.add("b.yaml", &format!("---\n{}", team("c"))).expect("sound");
    let places: Vec<Option<String>> =
        ["the request:4", "the request:4:7", "the request:9", "the request:13:1", "the request", "x.yaml:3"]
            .into_iter()
            .map(|at| stream.place(at))
            .collect();
    let places: Vec<String> = places.into_iter().map(|p| p.unwrap_or_else(|| "-".to_owned())).collect();
    check(
        &places.join("\n"),
        expect![[r#"
        a.yaml:3
        a.yaml:3:7
        a.yaml:8
        b.yaml:2:1
        -
        -"#]],
    );
}
