//! Against small lists of our own, and against the three dates and 89 planted-by-reality
//! anomalies of `shared/data/finops` where that is present.

use std::path::PathBuf;

use super::*;

#[expect(clippy::disallowed_methods, reason = "a test finds its data by BEDPLATE_SHARED")]
fn shared() -> Option<PathBuf> {
    let declared = std::env::var_os("BEDPLATE_SHARED").map(PathBuf::from);
    let found = declared.map(|shared| shared.join("data/finops")).or_else(|| {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        here.ancestors().map(|a| a.join("shared/data/finops")).find(|p| p.is_dir())
    });
    if found.is_none() {
        eprintln!("skipped: no shared/data/finops above this checkout, and BEDPLATE_SHARED is not set");
    }
    found
}

fn one(fields: &str) -> read::Entry {
    let text = format!(r#"{{"m":{{"litellm_provider":"openai","mode":"chat",{fields}}}}}"#);
    read::entries(&text).unwrap().remove(0)
}

fn rules(fields: &str) -> Vec<&'static str> {
    quarantine::check(&one(fields)).into_iter().map(|f| f.rule).collect()
}

#[test]
fn each_rule_catches_its_typo() {
    let none: [&str; 0] = [];
    assert_eq!(rules(r#""input_cost_per_token":1.5e-07,"output_cost_per_token":6e-07"#), none);
    assert_eq!(
        rules(r#""input_cost_per_token":0.135,"output_cost_per_token":0.54"#),
        ["input_gt_200_usd_per_M", "output_gt_1000_usd_per_M"]
    );
    assert_eq!(
        rules(r#""input_cost_per_token":2e-06,"output_cost_per_token":1e-06"#),
        ["output_below_input"]
    );
    assert_eq!(rules(r#""input_cost_per_token":0,"output_cost_per_token":0.0"#), ["zero_priced"]);
    assert_eq!(rules(r#""input_cost_per_token":1e-13,"output_cost_per_token":1e-06"#), ["not_exact"]);
    assert_eq!(rules(r#""input_cost_per_token":"free","output_cost_per_token":1e-06"#), ["not_exact"]);
    assert_eq!(rules(r#""input_cost_per_token":-1e-06,"output_cost_per_token":1e-06"#), ["negative"]);
    assert_eq!(
        rules(
            r#""input_cost_per_token":1e-06,"output_cost_per_token":2e-06,"output_cost_per_image_token":3e-05"#
        ),
        ["unmodelled_axis"]
    );
}

#[test]
fn trap_m2_the_grammar_of_price_fields_is_bands_by_tiers() {
    let entry = one(concat!(
        r#""input_cost_per_token":2.5e-06,"output_cost_per_token":1.5e-05,"cache_read_input_token_cost":2.5e-07,"#,
        r#""input_cost_per_token_cache_hit":9e-07,"#,
        r#""cache_creation_input_token_cost_above_1hr":6e-06,"#,
        r#""input_cost_per_token_above_272k_tokens_priority":1e-05,"output_cost_per_token_batches":7.5e-06"#
    ));
    let shown: Vec<String> = entry
        .rates
        .iter()
        .flat_map(|((above, tier), rates)| {
            rates.iter().map(move |(axis, pico)| format!("{above} {tier} {axis} {pico}"))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "0  cache_read 250000",
            "0  cache_write_1h 6000000",
            "0  input 2500000",
            "0  output 15000000",
            "0 batch output 7500000",
            "272000 priority input 10000000",
        ]
    );
}

#[test]
fn trap_m7_a_leap_needs_acceptance_and_history_stays() {
    let folder = tempdir("leap");
    let list = |rate: &str| {
        let path = folder.join("list.json");
        std::fs::write(&path, format!(r#"{{"gpt-x":{{"litellm_provider":"openai","mode":"chat","input_cost_per_token":{rate},"output_cost_per_token":9e-04}}}}"#)).unwrap();
        path
    };
    let out = folder.join("catalog");
    let day = |text: &str| text.parse::<Day>().unwrap();
    let text = || std::fs::read_to_string(out.join("openai.toml")).unwrap();

    assert_eq!(import(&list("1e-06"), day("2026-01-01"), false, &out).unwrap().new_versions, 1);
    let refused = import(&list("1e-05"), day("2026-02-01"), false, &out).unwrap();
    assert_eq!((refused.new_versions, refused.findings[0].rule), (0, "delta_over_3x"));
    assert!(!text().contains("2026-02-01\"\nrates"), "{}", text());
    let accepted = import(&list("1e-05"), day("2026-02-01"), true, &out).unwrap();
    assert_eq!((accepted.new_versions, accepted.findings.len()), (1, 0));
    assert!(text().contains("input = \"1\"") && text().contains("input = \"10\""), "{}", text());
    let before = text();
    assert_eq!(import(&list("1e-05"), day("2026-02-01"), true, &out).unwrap().new_versions, 0);
    assert_eq!(text(), before, "the same import twice is one");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn every_known_anomaly_of_the_public_list_is_quarantined() {
    let Some(finops) = shared() else { return };
    let text = text_of(&finops.join("model_prices_and_context_window.json")).unwrap();
    let found: BTreeSet<(String, &str)> =
        read::entries(&text).unwrap().iter().flat_map(quarantine::check).map(|f| (f.key, f.rule)).collect();
    let expected = std::fs::read_to_string(finops.join("catalogue-anomalies-2026-08-01.csv")).unwrap();
    let mut known = 0;
    for line in expected.lines().skip(1) {
        let mut fields = line.rsplitn(4, ',').skip(2);
        let (rule, key) = (fields.next().unwrap(), fields.next().unwrap());
        assert!(found.iter().any(|(k, r)| k == key && *r == rule), "{key} passed the rule {rule}");
        known += 1;
    }
    assert_eq!(known, 89);
}

fn tempdir(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("bedplate-prices-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
