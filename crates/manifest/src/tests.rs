use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

const GOOD: &str = r#"# The house's models.
apiVersion: bedplate/v1
kind: Provider
metadata: { name: groq }
spec:
  catalog: groq
  keyEnv: GROQ_API_KEY
  timeouts: { connectMs: 3000, firstByteMs: 20000 }
---
apiVersion: bedplate/v1
kind: Model
metadata:
  name: fast
spec:
  targets:
    - provider: groq
      model: llama-3.3-70b-versatile
      price: { input: "0.59", output: "0.79", request: "0.001" }
      weight: 3
    - local: { builtin: guide, machine: { hour: "0.10", watts: 65, kwh: "0.12" } }
  aliases: [ meta/llama-fast ]
---
apiVersion: bedplate/v1
kind: Team
metadata: { name: search }
spec: { requestsPerMinute: 600 }
---
apiVersion: bedplate/v1
kind: Feature
metadata: { name: assistant }
spec:
  model: meta/llama-fast
  prompt: |
    You answer questions about our products.
    Be brief.
  teams: [ search ]
---
apiVersion: bedplate/v1
kind: Budget
metadata: { name: search-month }
spec: { team: search, limit: "25.00", period: month, kind: hard }
"#;

fn check_errors(text: &str, expected: Expect) {
    let shown = match parse(text, "x.yaml") {
        Ok(documents) => check(&documents, &known()),
        Err(reports) => reports,
    };
    let shown: Vec<String> = shown.iter().map(ToString::to_string).collect();
    expected.assert_eq(&shown.join("\n"));
}

fn known() -> Known {
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    Known { catalog: set(&["groq", "openai"]), orgs: set(&["default"]), ..Known::default() }
}

fn in_spec(kind: &str, spec: &str) -> String {
    format!("apiVersion: bedplate/v1\nkind: {kind}\nmetadata: {{ name: n }}\nspec:\n{spec}")
}

#[test]
fn a_stream_of_every_kind_is_read() {
    let documents = parse(GOOD, "house.yaml").expect("it is sound");
    assert_eq!(check(&documents, &known()), []);
    let places: Vec<String> =
        documents.iter().map(|d| format!("{} {} {}:{}", d.kind.name(), d.name, d.file, d.line)).collect();
    expect![[r#"
        Provider groq house.yaml:2
        Model fast house.yaml:10
        Team search house.yaml:23
        Feature assistant house.yaml:28
        Budget search-month house.yaml:38"#]]
    .assert_eq(&places.join("\n"));
    assert!(documents[0].text.starts_with("# The house's"), "{}", documents[0].text);
    assert!(
        documents[1].text.starts_with("apiVersion") && documents[1].text.ends_with("[ meta/llama-fast ]")
    );
    let Spec::Model(model) = &documents[1].spec else { panic!("the second is a model") };
    let price = model.targets[0].price.as_ref().expect("a price");
    assert_eq!(price.rates[0], (chat::Axis::Input, units::PicoRate::from_pico(590_000)));
}

#[test]
fn a_document_kept_as_text_reads_as_itself() {
    for document in parse(GOOD, "house.yaml").expect("it is sound") {
        let again = parse(&document.text, "house.yaml").expect("it is sound");
        assert_eq!(again.len(), 1);
        assert_eq!((&again[0].spec, &again[0].name), (&document.spec, &document.name));
    }
}

#[test]
fn an_unknown_key_is_an_error_with_a_suggestion_and_its_place() {
    check_errors(
        &in_spec("Provider", "  catalog: groq\n  keyEnv: A\n  timeouts: { conectMs: 3 }\n  colour: red\n"),
        expect![[r#"
            error[MF0007]: `spec.timeouts.conectMs` is not a known key
              --> x.yaml:7:15
            hint: did you mean `connectMs`?
            error[MF0007]: `spec.colour` is not a known key
              --> x.yaml:8:3
            hint: known here: allowPrivate, baseUrl, catalog, dialect, headers, keyEnv, keySecret, labels, query, retries, timeouts"#]],
    );
    check_errors(
        "apiVersion: bedplate/v1\nkind: Team\nmetadta: { name: a }\n",
        expect![[r#"
        error[MF0008]: `metadata.name` is missing
          --> x.yaml:1:1
        hint: write `metadata: { name: my-name }`
        error[MF0007]: `metadta` is not a known key
          --> x.yaml:3:1
        hint: did you mean `metadata`?"#]],
    );
}

#[test]
fn a_feature_names_a_model_and_teams_that_exist() {
    check_errors(
        &in_spec("Feature", "  model: fast\n  prompt: \"\"\n  teams: [ serach, search, search ]\n"),
        expect![[r#"
            error[MF0009]: `spec.prompt` has 0 bytes
              --> x.yaml:6:11
              because: it must be text of at most 32768 bytes, without control characters
            error[MF0012]: `spec.teams[2]` names "search" again
              --> x.yaml:7:28"#]],
    );
    check_errors(
        &in_spec("Feature", "  model: fast\n  teams: [ search ]\n"),
        expect![[r#"
        error[MF0031]: Feature "n" names model "fast"
          --> x.yaml:5
          because: no model has that name
        hint: `bedplate model list` shows all 0
        error[MF0031]: Feature "n" names team "search"
          --> x.yaml:6
          because: no team has that name
        hint: `bedplate team list` shows all 0"#]],
    );
    let twice =
        format!("{GOOD}---\n{}", in_spec("Feature", "  model: fast\n").replace("name: n", "name: fast"));
    check_errors(
        &twice,
        expect![[r#"
        error[MF0012]: the name "fast" is given twice
          --> x.yaml:43
          because: Model "fast" at x.yaml:10 has it too"#]],
    );
}

#[test]
fn a_features_tools_are_ones_that_bedplate_can_call() {
    check_errors(
        &in_spec("Feature", "  model: fast\n  tools: [ Office, office__ ]\n  maxRounds: 99\n"),
        expect![[r#"
            error[MF0009]: `spec.tools[0]` is "Office"
              --> x.yaml:6:12
              because: it must be the name of an object
            error[MF0009]: `spec.tools[1]` is "office__"
              --> x.yaml:6:20
              because: it must be the name of an object
            error[MF0009]: `spec.maxRounds` is "99"
              --> x.yaml:7:14
              because: it must be a whole number from 1 to 32"#]],
    );
    let tools = "apiVersion: bedplate/v1\nkind: Tool\nmetadata: { name: office }\nspec:\n  \
        mcp: { url: https://office.example.com/mcp }\n  tools: { send: { effect: egress } }\n---\n\
        apiVersion: bedplate/v1\nkind: Tool\nmetadata: { name: open }\nspec:\n  \
        mcp: { url: https://open.example.com/mcp }\n  others: true\n---\n\
        apiVersion: bedplate/v1\nkind: Tool\nmetadata: { name: own }\nspec: { client: true }\n---\n";
    let with = |names: &str| {
        let feature = in_spec("Feature", &format!("  model: meta/llama-fast\n  tools: [ {names} ]\n"));
        format!("{GOOD}---\n{tools}{feature}")
    };
    check_errors(&with("office, office__send, open__whatever"), expect![""]);
    check_errors(
        &with("office__sent, own, nobody"),
        expect![[r#"
        error[MF0031]: Feature "n" names tool "office__sent"
          --> x.yaml:67
          because: no tool has that name
        hint: did you mean "office__send"? `bedplate tool list` shows all 4
        error[MF0031]: Feature "n" names tool "own"
          --> x.yaml:67
          because: no tool has that name
        hint: `bedplate tool list` shows all 4
        error[MF0031]: Feature "n" names tool "nobody"
          --> x.yaml:67
          because: no tool has that name
        hint: `bedplate tool list` shows all 4"#]],
    );
}

#[test]
fn kinds_of_later_versions_say_so() {
    check_errors(
        "apiVersion: bedplate/v1\nkind: Rollout\nmetadata: { name: a }\n",
        expect![[r#"
            error[MF0006]: kind "Rollout" is not in this version yet
              --> x.yaml:2:7
            hint: this version has Provider, Guard, Model, Team, Tool, Collection, Feature, Budget, Policy"#]],
    );
    check_errors(
        "apiVersion: bedplate/v1\nkind: Modle\nmetadata: { name: a }\n",
        expect![[r#"
        error[MF0006]: kind "Modle" is not known
          --> x.yaml:2:7
        hint: did you mean `Model`?"#]],
    );
    check_errors(
        "apiVersion: v1\nkind: Model\nmetadata: { name: a }\n",
        expect![[r#"
        error[MF0005]: `apiVersion` is "v1"
          --> x.yaml:1:13
          because: this version reads `bedplate/v1`"#]],
    );
}

#[test]
fn trap_x4_a_secret_in_a_manifest_is_refused_and_not_repeated() {
    let canary = "sk-canary0123456789abcdef";
    for spec in [
        format!("  catalog: groq\n  apiKey: {canary}\n"),
        format!("  catalog: groq\n  key: {canary}\n"),
        format!("  catalog: groq\n  keyEnv: {canary}\n"),
        format!("  catalog: groq\n  keySecret: {canary}\n"),
        format!("  catalog: {canary}\n"),
        format!("  catalog: groq\n  headers: {{ x-org: {canary} }}\n"),
        format!("  catalog: groq\n  headers: {{ authorization: \"{canary}\" }}\n"),
        format!("  dialect: openai\n  baseUrl: https://user:{canary}@host/v1\n"),
        format!("  catalog: groq\n  retries: {canary}\n"),
    ] {
        let reports = parse(&in_spec("Provider", &spec), "x.yaml").expect_err("a secret is refused");
        let text: Vec<String> = reports.iter().map(ToString::to_string).collect();
        assert!(reports.iter().any(|r| r.code.0 == "MF0010"), "{spec}: {text:?}");
        assert!(!text.join("").contains("canary"), "{text:?}");
    }
    check_errors(
        &in_spec("Provider", "  catalog: groq\n  apiKey: abc\n"),
        expect![[r#"
        error[MF0010]: `spec.apiKey` looks like a secret
          --> x.yaml:6:3
          because: manifests are stored, shown and committed; a secret in one is a leaked secret
        hint: name it instead: `keyEnv: NAME` reads the server's environment, `keySecret: NAME` the encrypted store (`bedplate provider set-key NAME`); then rotate this one"#]],
    );
}

#[test]
fn trap_x2_a_base_url_is_https_unless_private_was_asked_for() {
    let provider = |url: &str, more: &str| {
        parse(&in_spec("Provider", &format!("  dialect: openai\n  baseUrl: \"{url}\"\n{more}")), "x.yaml")
    };
    assert!(provider("http://10.0.0.5:8000/v1", "").is_err());
    assert!(provider("http://10.0.0.5:8000/v1", "  allowPrivate: true\n").is_ok());
    assert!(provider("https://[2001:db8::1]:8443/v1/", "").is_ok());
    for url in [
        "ftp://a",
        "https://",
        "https://a b/",
        "https://a?x=1",
        "https://a#f",
        "file:///etc/passwd",
        "https://a\\@b",
    ] {
        assert!(provider(url, "").is_err(), "{url}");
    }
}

#[test]
fn references_are_checked_with_a_suggestion() {
    check_errors(
        &GOOD.replace("provider: groq", "provider: groqq"),
        expect![[r#"
        error[MF0031]: Model "fast" names provider "groqq"
          --> x.yaml:16
          because: no provider has that name
        hint: did you mean "groq"? `bedplate provider list` shows all 2"#]],
    );
    check_errors(
        &GOOD.replace("team: search,", "team: serch,"),
        expect![[r#"
            error[MF0031]: Budget "search-month" names team "serch"
              --> x.yaml:41
              because: no team has that name
            hint: did you mean "search"? `bedplate team list` shows all 1"#]],
    );
    let twice = format!(
        "{GOOD}---\n{}",
        in_spec("Model", "  targets: [{ provider: groq, model: m }]\n  aliases: [fast]\n")
    );
    check_errors(
        &twice,
        expect![[r#"
            error[MF0012]: the name "fast" is given twice
              --> x.yaml:48
              because: Model "fast" at x.yaml:10 has it too"#]],
    );
}

#[test]
fn amounts_out_of_bounds_are_refused_with_the_rule() {
    for (spec, why) in [
        ("  team: t\n  limit: \"-1\"\n  period: day\n", "from 0"),
        ("  team: t\n  limit: \"1e99\"\n  period: day\n", "exact amount"),
        ("  team: t\n  limit: 99999999999\n  period: day\n", "exact amount"),
        ("  team: t\n  limit: \"1\"\n  period: week\n", "one of `day`"),
        ("  team: t\n  key: k\n  limit: \"1\"\n  period: day\n", "exactly one"),
        ("  limit: \"1\"\n  period: day\n", "exactly one"),
    ] {
        let reports = parse(&in_spec("Budget", spec), "x.yaml").expect_err(spec);
        assert!(reports.iter().any(|r| r.to_string().contains(why)), "{spec}: {reports:?}");
    }
    for price in ["\"-0.1\"", "\"20000\"", "\"0.0000001\"", "[1]", "\"1,5\""] {
        let spec = format!("  targets: [{{ provider: groq, model: m, price: {{ input: {price} }} }}]\n");
        assert!(parse(&in_spec("Model", &spec), "x.yaml").is_err(), "{price}");
    }
}

#[test]
fn what_yaml_could_expand_is_refused() {
    check_errors(
        "a: &x 1\nb: *x\n",
        expect![[r#"
        error[MF0003]: an anchor (`&name`) is not accepted
          --> x.yaml:1:7
          because: a manifest is read as it is written, without expansion
        hint: write the value out where it is used"#]],
    );
    check_errors(
        "a: !!python/object:os.system x\n",
        expect![[r#"
        error[MF0003]: a tag (`!name`) is not accepted
          --> x.yaml:1:30
          because: a manifest is read as it is written, without expansion
        hint: write the value out where it is used"#]],
    );
    check_errors(
        "<<: { a: 1 }\n",
        expect![[r#"
        error[MF0003]: a merge key (`<<`) is not accepted
          --> x.yaml:1:1
          because: a manifest is read as it is written, without expansion
        hint: write the value out where it is used"#]],
    );
    check_errors(
        "kind: Team\nkind: Model\n",
        expect![[r#"
        error[MF0004]: key `kind` is given twice
          --> x.yaml:2:1
          because: it already stands on line 1
        hint: remove one of the two"#]],
    );
    check_errors(
        &"[".repeat(100_000),
        expect![[r#"
        error[MF0002]: the YAML cannot be read
          --> x.yaml:1:25
          because: recursion limit exceeded"#]],
    );
    check_errors(
        "a: [1, 2\n---\nb: \"open\n",
        expect![[r#"
        error[MF0002]: the YAML cannot be read
          --> x.yaml:1:4
          because: unclosed bracket '['
        error[MF0002]: the YAML cannot be read
          --> x.yaml:3:4
          because: unclosed quote"#]],
    );
    let mut bomb = String::from("a: &a [x,x,x,x,x,x,x,x,x]\n");
    for level in 'b'..='i' {
        let under = (level as u8 - 1) as char;
        bomb.push_str(&format!(
            "{level}: &{level} [*{under},*{under},*{under},*{under},*{under},*{under}]\n"
        ));
    }
    assert!(parse(&bomb, "x.yaml").is_err());
}

#[test]
fn a_stream_over_a_limit_is_refused_with_the_number() {
    check_errors(
        &"#".repeat(TEXT_BYTES_MAX + 1),
        expect![[r#"
        error[MF0001]: x.yaml has 1048577 bytes, the limit is 1048576
        hint: split it into several files"#]],
    );
    let many = "---\nkind: Team\n".repeat(DOCUMENTS_MAX + 1);
    assert_eq!(parse(&many, "x.yaml").expect_err("too many").len(), PROBLEMS_MAX);
}

#[test]
fn an_empty_stream_declares_nothing() {
    for text in ["", "\n# only a comment\n", "---\n---\n", "~"] {
        assert_eq!(parse(text, "x.yaml").map(|d| d.len()), Ok(0), "{text:?}");
    }
}

fn local(spec: &str) -> Result<crate::Local, String> {
    let text = format!(
        "apiVersion: bedplate/v1\nkind: Model\nmetadata: {{ name: m }}\nspec: {{ targets: [ {{ local: {spec} }} ] }}\n"
    );
    let told = |reports: Vec<report::Report>| reports.iter().map(ToString::to_string).collect::<String>();
    let documents = parse(&text, "x.yaml").map_err(told)?;
    let Spec::Model(model) = &documents[0].spec else { panic!("a Model was written") };
    let crate::Place::Local(local) = &model.targets[0].place else { panic!("a local target was written") };
    Ok(local.clone())
}

#[test]
fn a_local_target_says_how_long_it_stays_in_memory() {
    use crate::KeepAlive::{Forever, Seconds};
    let kept = |text: &str| local(&format!("{{ file: a.gguf, keepAlive: {text} }}")).map(|l| l.keep_alive);
    assert_eq!(local("{ file: a.gguf }").map(|l| (l.keep_alive, l.preload)), Ok((Forever, false)));
    assert_eq!(kept("forever"), Ok(Forever));
    assert_eq!([kept("0s"), kept("5m"), kept("2h")], [Ok(Seconds(0)), Ok(Seconds(300)), Ok(Seconds(7_200))]);
    for wrong in ["5", "m", "\"\"", "-5m", "5 m", "99999999999999999999s", "400d", "5min", "é"] {
        assert!(kept(wrong).is_err_and(|e| e.contains("MF0009") && e.contains("keepAlive")), "{wrong}");
    }
    assert!(
        local("{ file: a.gguf, keep_alive: 5m }").is_err_and(|e| e.contains("did you mean `keepAlive`?"))
    );
    assert_eq!(local("{ builtin: guide, preload: true }").map(|l| l.preload), Ok(true));
}

#[test]
fn adapters_have_a_name_a_file_and_a_scale() {
    let read = |text: &str| local(&format!("{{ file: a.gguf, adapters: [ {text} ] }}")).map(|l| l.adapters);
    let adapters = read("{ name: legal, file: l.gguf }, { name: terse, file: t.gguf, scale: 0.5 }");
    let adapters = adapters.expect("they are sound");
    assert_eq!((adapters[0].name.as_str(), adapters[0].scale), ("legal", 1.0));
    assert_eq!((adapters[1].file.as_str(), adapters[1].scale), ("t.gguf", 0.5));
    for (wrong, code) in [
        ("{ name: legal }", "MF0008"),
        ("{ file: l.gguf }", "MF0008"),
        ("{ name: \"a:b\", file: l.gguf }", "MF0011"),
        ("{ name: a, file: ../l.gguf }", "MF0009"),
        ("{ name: a, file: l.gguf, scale: 0 }", "MF0009"),
        ("{ name: a, file: l.gguf, scale: inf }", "MF0009"),
        ("{ name: a, file: l.gguf }, { name: a, file: l.gguf }", "MF0012"),
    ] {
        assert!(read(wrong).is_err_and(|e| e.contains(code)), "{wrong}");
    }
}

#[test]
fn a_plan_shows_each_changed_field() {
    let current = parse(GOOD, "a.yaml").expect("it is sound");
    let changed = GOOD
        .replace("model: llama-3.3-70b-versatile", "model: llama-4")
        .replace("weight: 3\n", "maxOutputTokens: 900\n")
        .replace("limit: \"25.00\"", "limit: \"25\"");
    let shorter = changed.split("---\napiVersion: bedplate/v1\nkind: Team").next().expect("a part");
    let more = format!(
        "{shorter}---\n{}---\n{}",
        "apiVersion: bedplate/v1\nkind: Team\nmetadata: { name: chat }\nspec: {}\n",
        "apiVersion: bedplate/v1\nkind: Budget\nmetadata: { name: search-month }\nspec: { team: search, limit: \"25\", period: month }\n"
    );
    let desired = parse(&more, "b.yaml").expect("it is sound");
    expect![[r#"
        = Provider groq
        ~ Model fast
            targets[0].maxOutputTokens: 900
            targets[0].model: llama-3.3-70b-versatile -> llama-4
            targets[0].weight: 3 -> (removed)
        + Team chat
        = Budget search-month
        - Team search
        1 to create, 1 to update, 1 to delete, 2 unchanged"#]]
    .assert_eq(&diff(&current, &desired, true).to_string());
    assert!(!diff(&current, &current, true).changed());
    let none = diff(&current, &desired, false);
    assert!(none.steps.iter().all(|s| s.action != Action::Delete));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_panic(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        fuzz(&data);
    }

    #[test]
    fn no_damaged_manifest_panics(at in 0..GOOD.len(), put in "[-\\[\\]{}:,&*!|>'\"%@`#\\n \\ta0]{0,4}") {
        if GOOD.is_char_boundary(at) {
            let text = format!("{}{put}{}", &GOOD[..at], &GOOD[at..]);
            fuzz(text.as_bytes());
            fuzz(&GOOD.as_bytes()[..at]);
        }
    }
}

#[test]
fn a_collection_says_whose_it_is_and_who_reads_it() {
    let read = |spec: &str| {
        let text = in_spec("Collection", spec);
        parse(&text, "x.yaml").map(|mut documents| match documents.remove(0).spec {
            Spec::Collection(collection) => collection,
            other => panic!("{other:?}"),
        })
    };
    let least = read("  team: shop\n").expect("it is sound");
    assert_eq!(
        (least.language.as_str(), least.lexing, least.embedder.as_str()),
        ("und", None, BUILTIN_EMBEDDER)
    );
    assert_eq!(least.acl, store::documents::Acl::team());
    let full =
        read("  team: shop\n  language: de-CH\n  lexing: trigrams\n  acl: [ \"user:Ada@acme.eu\", team ]\n");
    let full = full.expect("it is sound");
    assert_eq!(full.lexing, Some(store::documents::Lexing::Trigrams));
    assert!(!full.graph && read("  team: shop\n  graph: true\n").expect("it is sound").graph);
    assert_eq!(
        full.acl.subjects().map(ToString::to_string).collect::<Vec<_>>(),
        ["team", "user:ada@acme.eu"]
    );
    let ranked =
        "  team: shop\n  reranker: judge\n  rerankDeadlineMs: 300\n  decay: { halfLife: 30d }\n  mmr: 0.7\n";
    let ranked = read(ranked).expect("it is sound");
    assert_eq!((ranked.reranker.as_deref(), ranked.rerank_deadline_ms), (Some("judge"), Some(300)));
    assert_eq!((ranked.half_life_s, ranked.mmr_percent), (Some(30 * 86_400), Some(70)));
    for (spec, word) in [
        ("  team: shop\n  reranker: \"a b\"\n", "spec.reranker"),
        ("  team: shop\n  rerankDeadlineMs: 0\n", "spec.rerankDeadlineMs"),
        ("  team: shop\n  decay: { halfLife: 0d }\n", "spec.decay.halfLife"),
        ("  team: shop\n  mmr: 1.5\n", "spec.mmr"),
        ("  language: en\n", "spec.team"),
        ("  team: shop\n  language: \"en us\"\n", "spec.language"),
        ("  team: shop\n  embedder: \"mini lm\"\n", "spec.embedder"),
        ("  team: shop\n  acl: [ everybody ]\n", "spec.acl[0]"),
        ("  team: shop\n  acl: []\n", "spec.acl"),
    ] {
        let reports = read(spec).expect_err(spec);
        assert!(reports[0].what.contains(word), "{spec}: {reports:?}");
    }
    let unknown = parse(&in_spec("Collection", "  team: nobody\n"), "x.yaml").expect("it is sound");
    assert_eq!(check(&unknown, &known()).len(), 1, "the team has to be there");
    let unknown = parse(&in_spec("Collection", "  team: shop\n  embedder: minilm\n"), "x.yaml");
    let reports = check(&unknown.expect("it is sound"), &known());
    assert!(reports[1].because.as_deref() == Some("no model has that name"), "{reports:?}");
}

#[test]
fn a_soft_rule_replaces_nothing_and_its_budget_is_bounded() {
    let guard = |spec: &str| parse(&in_spec("Guard", spec), "x.yaml");
    let documents = guard(
        "  deny: [ { phrases: [abc], action: flag, soft: true } ]\n  release: { bytes: 0, ms: 5000 }\n",
    );
    let documents = documents.expect("it is sound");
    let Spec::Guard(read) = &documents[0].spec else { panic!("it is a guard") };
    assert!(read.deny[0].soft && read.release == Some(GuardRelease { bytes: Some(0), ms: Some(5000) }));
    for wrong in [
        "  deny: [ { phrases: [abc], action: mask, soft: true } ]\n",
        "  secrets: mask\n  release: { bytes: 16385 }\n",
        "  secrets: mask\n  release: { ms: 5001 }\n",
        "  secrets: mask\n  release: { milliseconds: 1 }\n",
    ] {
        assert!(guard(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_tool_server_takes_one_key_or_tokens_for_somebody() {
    let tool = |oauth: &str| {
        in_spec("Tool", &format!("  mcp:\n    url: https://crm.example.com/mcp\n    oauth: {{ {oauth} }}\n"))
    };
    let whole = "issuer: \"https://login.example.com\", clientId: gate, keyEnv: GATE, audience: crm";
    check_errors(&tool(whole), expect![""]);
    check_errors(&tool(&format!("{whole}, as: caller-or-server, scope: read write")), expect![""]);
    check_errors(
        &tool("issuer: \"https://login.example.com\", clientId: a b\u{e9}, as: everybody"),
        expect![[r#"
            error[MF0009]: `spec.mcp.oauth.clientId` is not accepted
              --> x.yaml:7:61
              because: it must be 1 to 512 printable ASCII characters
            error[MF0009]: `spec.mcp.oauth.as` is "everybody"
              --> x.yaml:7:71
              because: it must be one of `caller`, `server`, `caller-or-server`
            error[MF0008]: `spec.mcp.oauth.keySecret` is missing
              --> x.yaml:7:12
            hint: name where the client's secret is: `keyEnv: NAME` or `keySecret: NAME`
            error[MF0008]: `spec.mcp.oauth.audience` is missing
              --> x.yaml:7:12
            hint: say whom the token is for, as the identity provider calls it: `audience`, `resource` or both"#]],
    );
    let both = format!("  mcp: {{ url: https://crm.example.com/mcp, keyEnv: CRM, oauth: {{ {whole} }} }}\n");
    check_errors(
        &in_spec("Tool", &both),
        expect![[r#"
            error[MF0013]: a key and `oauth` are both given
              --> x.yaml:5:8
            hint: keep one: the server is shown one key of ours, or a token for each caller"#]],
    );
}
