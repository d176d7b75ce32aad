//! 200 schemas: valid answers from a model that knows nothing, or a refusal
//! before anything is computed. Never an answer that nobody held to the schema.

mod sampler;
mod schemas;
mod validator;

use constrain::{Error, Grammar, Piece, Vocabulary};
use scheduler::Random;
use serde_json::Value;

use schemas::Fate;

/// Draws for each schema; `BEDPLATE_SUITE_DRAWS` of 40 takes a minute.
const DRAWS: u64 = 4;
const TOKENS: usize = 400;

struct Tally {
    held: usize,
    refused: usize,
    answers: usize,
    cut: usize,
}

/// One schema: `Err` says how it broke the promise.
fn run(
    v: &Vocabulary,
    pieces: &[Piece],
    ends: &[u32],
    schema: &Value,
    fate: Fate,
    tally: &mut Tally,
) -> Result<(), String> {
    let state = match v.compile(&Grammar::JsonSchema(schema.to_string())) {
        Ok(state) => state,
        Err(e) if fate == Fate::Refused => {
            tally.refused += 1;
            assert!(!e.to_string().contains("panic"), "{e}");
            return Ok(());
        }
        Err(e) => return Err(format!("it was refused: {e}")),
    };
    if fate == Fate::Refused {
        return Err("it was not refused".into());
    }
    tally.held += 1;
    for seed in 0..DRAWS {
        match sampler::draw(pieces, ends, state.fork(), seed, TOKENS)? {
            None => tally.cut += 1,
            Some(bytes) => {
                tally.answers += 1;
                let text = String::from_utf8(bytes).map_err(|e| e.to_string())?;
                let value: Value = serde_json::from_str(&text).map_err(|e| format!("{text}: {e}"))?;
                validator::validate(schema, &value).map_err(|e| format!("{text}: {e}"))?;
                if let Some(path) = option_env!("BEDPLATE_SUITE_DUMP") {
                    use std::io::Write;
                    let mut file = std::fs::OpenOptions::new()
                        .create(true)
                        .append(true)
                        .open(path)
                        .map_err(|e| e.to_string())?;
                    writeln!(file, "{}", serde_json::json!([schema, text])).map_err(|e| e.to_string())?;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn every_schema_gives_valid_answers_or_is_refused_before_admission() {
    let (pieces, ends) = sampler::bytes();
    let v = sampler::vocabulary();
    let schemas = schemas::all();
    assert!(schemas.len() >= 200, "{}", schemas.len());
    let mut tally = Tally { held: 0, refused: 0, answers: 0, cut: 0 };
    let mut broken = Vec::new();
    for (name, schema, fate) in &schemas {
        if let Err(e) = run(&v, &pieces, &ends, schema, *fate, &mut tally) {
            broken.push(format!("{name}: {e}"));
        }
    }
    println!(
        "{} schemas: {} held, {} refused; {} answers valid, {} cut at {TOKENS} tokens",
        schemas.len(),
        tally.held,
        tally.refused,
        tally.answers,
        tally.cut
    );
    assert!(broken.is_empty(), "{} broken:\n{}", broken.len(), broken.join("\n"));
    assert!(tally.cut * 10 < tally.answers, "the sampler ends most of its answers");
}

/// Replaces a part of a schema by what does not belong there.
fn mutate(value: &mut Value, random: &mut Random, depth: usize) {
    let junk = [
        serde_json::json!(null),
        serde_json::json!(-3),
        serde_json::json!(2.5),
        serde_json::json!("é{"),
        serde_json::json!(true),
        serde_json::json!(false),
        serde_json::json!([]),
        serde_json::json!({}),
        serde_json::json!(["a", "a", 1]),
        serde_json::json!({"type": "integer", "minimum": 3}),
        serde_json::json!({"$ref": "#"}),
        serde_json::json!(100_000),
    ];
    let mut pick = |n: usize| random.next_u32() as usize % n.max(1);
    if depth == 0 || pick(6) == 0 {
        *value = junk[pick(junk.len())].clone();
        return;
    }
    let at = match value {
        Value::Object(fields) if !fields.is_empty() => {
            let at = pick(fields.len());
            if pick(8) == 0 {
                fields.insert(
                    ["minLength", "maximum", "pattern", "items", "format"][pick(5)].into(),
                    junk[pick(12)].clone(),
                );
                return;
            }
            fields.values_mut().nth(at)
        }
        Value::Array(list) if !list.is_empty() => {
            let at = pick(list.len());
            list.get_mut(at)
        }
        other => {
            *other = junk[pick(junk.len())].clone();
            return;
        }
    };
    mutate(at.expect("it is within"), random, depth - 1);
}

#[test]
fn broken_schemas_are_refused_or_held() {
    let (pieces, ends) = sampler::bytes();
    let v = sampler::vocabulary();
    let schemas: Vec<Value> =
        schemas::all().into_iter().map(|(_, s, _)| s).filter(|s| s.to_string().len() < 2000).collect();
    let (mut held, mut refused) = (0, 0);
    for seed in 0..600u64 {
        let mut random = Random::new(seed, 1);
        let mut schema = schemas[random.next_u32() as usize % schemas.len()].clone();
        for _ in 0..1 + random.next_u32() % 3 {
            mutate(&mut schema, &mut random, 5);
        }
        let Ok(state) = v.compile(&Grammar::JsonSchema(schema.to_string())) else {
            refused += 1;
            continue;
        };
        held += 1;
        let Ok(Some(bytes)) = sampler::draw(&pieces, &ends, state, seed, TOKENS) else { continue };
        let value: Value = serde_json::from_slice(&bytes).expect("it is JSON");
        if let Err(e) = validator::validate(&schema, &value) {
            // The validator is stricter about what is no schema at all.
            assert!(e.contains("not a ") || e.contains("leads nowhere"), "{schema}: {value}: {e}");
        }
    }
    println!("{held} held, {refused} refused");
    assert!(held > 50 && refused > 100, "{held} {refused}");
}

#[test]
fn the_validator_refuses_what_it_should() {
    let refuses = |schema: Value, text: &str| {
        let value: Value = serde_json::from_str(text).expect("JSON");
        assert!(validator::validate(&schema, &value).is_err(), "{schema} took {text}");
    };
    refuses(serde_json::json!({"type": "integer"}), "1.5");
    refuses(serde_json::json!({"type": "string", "format": "date"}), "\"2023-02-29\"");
    refuses(
        serde_json::json!({"properties": {"a": {"type": "null"}}, "additionalProperties": false}),
        "{\"b\": 1}",
    );
    refuses(serde_json::json!({"required": ["a"]}), "{}");
    refuses(serde_json::json!({"oneOf": [{"type": "integer"}, {"minimum": 3}]}), "4");
    refuses(serde_json::json!({"prefixItems": [{"type": "null"}], "items": false}), "[null, 1]");
    refuses(serde_json::json!({"type": "string", "maxLength": 1}), "\"é1\"");
}

#[test]
fn a_refusal_names_the_keyword_and_its_place() {
    let v = sampler::vocabulary();
    let schema = r#"{"properties": {"tags": {"type": "array", "uniqueItems": true}}}"#;
    match v.compile(&Grammar::JsonSchema(schema.into())) {
        Err(Error::Unsupported { keyword, at, .. }) => {
            assert_eq!((keyword.as_str(), at.as_str()), ("uniqueItems", "#/properties/tags"));
        }
        other => panic!("{other:?}"),
    }
    let contradiction =
        v.compile(&Grammar::JsonSchema(r#"{"type":"integer","minimum":2,"maximum":1}"#.into()));
    assert!(matches!(contradiction, Err(Error::Contradiction(_))), "{contradiction:?}");
    let not_json = v.compile(&Grammar::JsonSchema("{".into()));
    assert!(matches!(not_json, Err(Error::Invalid(_))), "{not_json:?}");
}
