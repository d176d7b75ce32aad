//! What a token costs, over a vocabulary of the usual size. Run by hand:
//! `cargo test --release -p constrain --test speed -- --ignored --nocapture`

use std::time::Instant;

use constrain::{Grammar, Item, Piece, Vocabulary};
use scheduler::Random;

/// 150,000 tokens as a byte-level BPE has them: bytes, words, words with a space.
fn pieces() -> (Vec<Piece>, Vec<u32>) {
    let mut random = Random::new(7, 0);
    let mut words: Vec<Vec<u8>> = (0..=255u8).map(|b| vec![b]).collect();
    for common in [
        "{\"", "\":", "\": \"", "\", \"", "\"}", "},", "[{", "}]", ": ", ", \"", "true", "false", "null",
        "\n  ",
    ] {
        words.push(common.as_bytes().to_vec());
    }
    let syllables = [
        "an", "er", "in", "tion", "con", "pro", "a", "e", "st", "ing", "de", "ly", "0", "1", "é", "日", "本",
    ];
    let mut seen = std::collections::BTreeSet::new();
    while words.len() < 150_000 {
        let mut word = if random.next_u32().is_multiple_of(3) { b" ".to_vec() } else { Vec::new() };
        for _ in 0..2 + random.next_u32() % 4 {
            word.extend(syllables[random.next_u32() as usize % syllables.len()].as_bytes());
        }
        if seen.insert(word.clone()) {
            words.push(word);
        }
    }
    let end = words.len() as u32;
    let mut pieces: Vec<Piece> = words.into_iter().map(Piece::Text).collect();
    pieces.extend(
        ["<|im_end|>", "<think>", "</think>", "<tool_call>", "</tool_call>"].map(|m| Piece::Mark(m.into())),
    );
    (pieces, vec![end])
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn now() -> Instant {
    Instant::now()
}

fn run(name: &str, v: &Vocabulary, n: usize, grammar: Grammar, tokens: usize) {
    let start = now();
    let mut state = v.compile(&grammar).expect("it compiles");
    let first = start.elapsed();
    let start = now();
    let _again = v.compile(&grammar).expect("it compiles");
    let again = start.elapsed();
    let mut random = Random::new(3, 0);
    let mut times = Vec::new();
    let mut words = vec![0u32; n.div_ceil(32)];
    for _ in 0..tokens {
        words.fill(0);
        let start = now();
        state.allow(&mut words).expect("something may follow");
        let mask = start.elapsed();
        let allowed: Vec<u32> =
            (0..n as u32).filter(|t| words[*t as usize / 32] >> (t % 32) & 1 == 1).collect();
        let token = allowed[random.next_u32() as usize % allowed.len()];
        let start = now();
        state.accept(token).expect("it was allowed");
        times.push((mask + start.elapsed()).as_micros());
        if state.is_complete() {
            break;
        }
    }
    times.sort_unstable();
    let at = |q: usize| times[(times.len() - 1) * q / 100];
    println!(
        "{name}: compiled in {first:?}, again in {again:?}; {} tokens, p50 {} us, p99 {} us, worst {} us",
        times.len(),
        at(50),
        at(99),
        at(100)
    );
}

#[test]
#[ignore = "measures; run by hand"]
fn a_token_costs() {
    let (pieces, ends) = pieces();
    let n = pieces.len();
    let start = now();
    let v = Vocabulary::new(pieces, &ends).expect("it ends");
    println!("{n} tokens: built in {:?}", start.elapsed());
    let invoice = r##"{"type":"object","properties":{"number":{"type":"string","pattern":"^INV-[0-9]{5}$"},
        "currency":{"enum":["EUR","USD"]},"note":{"type":"string"},"lines":{"type":"array","minItems":200,"items":{"$ref":"#/$defs/line"}}},
        "required":["number","currency","note","lines"],"additionalProperties":false,
        "$defs":{"line":{"type":"object","properties":{"text":{"type":"string","maxLength":40},"price":{"type":"number","minimum":0,"maximum":1000}},"required":["text","price"],"additionalProperties":false}}}"##;
    run("any object", &v, n, Grammar::JsonObject, 2000);
    run("invoice", &v, n, Grammar::JsonSchema(invoice.into()), 2000);
    let think = vec![
        Item::Mark("<think>".into()),
        Item::Until { mark: "</think>".into(), without: vec!["<|start|>".into(), "<|channel|>".into()] },
        Item::Space,
        Item::Json(invoice.into()),
    ];
    run("thinking, then invoice", &v, n, Grammar::Turn(think), 6000);
    let enums: Vec<String> = (0..2000).map(|i| format!("category/{i:04}")).collect();
    let schema = serde_json::json!({"type": "array", "items": {"enum": enums}, "minItems": 500}).to_string();
    run("enum of 2,000", &v, n, Grammar::JsonSchema(schema), 2000);
}
