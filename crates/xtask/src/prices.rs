//! `cargo xtask prices import FILE [--date YYYY-MM-DD] [--accept] [--out DIR]`:
//! a community price list in, our catalogue of facts and a quarantine report out.
//!
//! Public price lists carry typos (13 models 100,000x too dear in a popular one)
//! and no dates, so an import never overwrites: it adds a version dated with the
//! list, refuses what breaks a rule (`quarantine.csv`), and leaves the rest to be
//! read as a diff. Numbers stay decimal text until they are integers; no `f64`.

mod catalogue;
mod quarantine;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use units::Day;

use catalogue::Catalogue;
use quarantine::Finding;

/// Our name (of `dialects/providers.toml`) for each provider of the list that we
/// serve. Alphabetic.
const PROVIDERS: &[(&str, &str)] = &[
    ("anthropic", "anthropic"),
    ("azure", "azure-openai"),
    ("baseten", "baseten"),
    ("cerebras", "cerebras"),
    ("cohere", "cohere"),
    ("cohere_chat", "cohere"),
    ("deepinfra", "deepinfra"),
    ("deepseek", "deepseek"),
    ("fireworks_ai", "fireworks"),
    ("fireworks_ai-embedding-models", "fireworks"),
    ("gemini", "gemini"),
    ("groq", "groq"),
    ("hyperbolic", "hyperbolic"),
    ("mistral", "mistral"),
    ("moonshot", "moonshot"),
    ("nebius", "nebius"),
    ("novita", "novita"),
    ("openai", "openai"),
    ("openrouter", "openrouter"),
    ("perplexity", "perplexity"),
    ("sambanova", "sambanova"),
    ("scaleway", "scaleway"),
    ("text-completion-openai", "openai"),
    ("together_ai", "together"),
    ("xai", "xai"),
    ("zai", "zai"),
];

/// Runs `prices` with the arguments after its name.
pub fn run(args: &[String]) -> anyhow::Result<()> {
    const USAGE: &str = "usage: cargo xtask prices import FILE [--date YYYY-MM-DD] [--accept] [--out DIR]";
    let mut words = args.iter();
    ensure!(words.next().is_some_and(|w| w == "import"), USAGE);
    let (mut file, mut date, mut accept) = (None, None, false);
    let mut out = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ledger/catalog");
    while let Some(word) = words.next() {
        match word.as_str() {
            "--accept" => accept = true,
            "--date" => date = Some(words.next().context(USAGE)?.parse::<Day>()?),
            "--out" => out = words.next().context(USAGE)?.into(),
            other if file.is_none() && !other.starts_with('-') => file = Some(PathBuf::from(other)),
            other => bail!("\"{other}\" is not known; {USAGE}"),
        }
    }
    let file = file.context(USAGE)?;
    let date = date
        .or_else(|| date_in(&file))
        .context("the list says nowhere of which day it is: give --date YYYY-MM-DD")?;
    let done = import(&file, date, accept, &out)?;
    println!(
        "{}: {} current models, {} new versions, {} retired; {} entries in quarantine ({})",
        date,
        done.current,
        done.new_versions,
        done.retired,
        done.findings.len(),
        out.join("quarantine.csv").display()
    );
    for (rule, count) in count_by_rule(&done.findings) {
        println!("  {count:>5}  {rule}");
    }
    Ok(())
}

struct Done {
    current: usize,
    new_versions: usize,
    retired: usize,
    findings: Vec<Finding>,
}

/// Adds the list of `date` to the catalogue in `out`. Importing the same list
/// twice changes nothing the second time.
fn import(file: &Path, date: Day, accept: bool, out: &Path) -> anyhow::Result<Done> {
    let text = text_of(file)?;
    let source = format!(
        "LiteLLM model_prices_and_context_window.json of {date} (MIT, (c) 2023 Berri AI), {} bytes",
        text.len()
    );
    let entries = read::entries(&text).with_context(|| format!("read {}", file.display()))?;
    let mut catalogue = Catalogue::load(out)?;
    let mut findings = Vec::new();
    // Offered is what the list has; listed is what of it may be believed.
    let mut offered = BTreeSet::new();
    let mut listed: BTreeMap<String, read::Entry> = BTreeMap::new();
    for entry in entries {
        let broken = quarantine::check(&entry);
        let deprecated = entry.deprecated.is_some_and(|day| day <= date);
        let ok = broken.is_empty();
        findings.extend(broken);
        if !deprecated && let Some(sku) = sku(&entry) {
            offered.insert(sku.clone());
            if !ok {
                continue;
            }
            // Two names of one sku: the one that is spelled with its provider wins.
            let spelled = entry.key.contains('/');
            if spelled || !listed.contains_key(&sku) {
                listed.insert(sku, entry);
            }
        }
    }
    let mut new_versions = 0;
    for (sku, entry) in &listed {
        match catalogue.add(sku, entry, date, accept) {
            Ok(added) => new_versions += usize::from(added),
            Err(change) => findings.push(Finding {
                key: entry.key.clone(),
                rule: "delta_over_3x",
                detail: format!("{change}; --accept takes it"),
            }),
        }
    }
    let retired = catalogue.retire_missing(date, |sku| offered.contains(sku));
    catalogue.sources.insert(date, source);
    catalogue.save(out)?;
    findings.sort();
    std::fs::write(out.join("quarantine.csv"), quarantine::csv(date, &findings))
        .context("write the quarantine report")?;
    Ok(Done { current: catalogue.current(), new_versions, retired, findings })
}

/// `provider/upstream-model` in our words; `None` for a provider, a kind of
/// model or a unit that the catalogue does not hold.
fn sku(entry: &read::Entry) -> Option<String> {
    let known = PROVIDERS.iter().find(|(theirs, _)| *theirs == entry.provider)?;
    if !entry.has_token_price() {
        return None;
    }
    let prefixes = [entry.provider.as_str(), "fireworks_ai", known.1];
    let model = prefixes
        .iter()
        .find_map(|prefix| entry.key.strip_prefix(prefix)?.strip_prefix('/'))
        .unwrap_or(&entry.key);
    Some(format!("{}/{model}", known.1))
}

fn text_of(file: &Path) -> anyhow::Result<String> {
    if file.extension().is_none_or(|e| e != "gz") {
        return std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()));
    }
    let out = Command::new("gzip").arg("-dc").arg(file).output().context("run gzip")?;
    ensure!(out.status.success(), "gzip -dc {}: {}", file.display(), String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8(out.stdout)?)
}

/// The first `YYYY-MM-DD` between dots of a file's name.
fn date_in(file: &Path) -> Option<Day> {
    file.file_name()?.to_str()?.split('.').find_map(|part| part.parse().ok())
}

fn count_by_rule(findings: &[Finding]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for finding in findings {
        *counts.entry(finding.rule).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests;
