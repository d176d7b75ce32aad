//! Judged sets: texts, questions, and which texts answer them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Deserializer, Value};

/// A collection and questions about it.
pub struct Set {
    pub texts: Vec<Text>,
    pub questions: Vec<Question>,
}

pub struct Text {
    pub id: String,
    pub text: String,
}

pub struct Question {
    pub text: String,
    /// By the text's id; only those that are not 0 and of a text that is there.
    pub grades: BTreeMap<String, u32>,
}

/// A folder with `corpus.jsonl`, `queries.jsonl` and `qrels/test.tsv` (BEIR's layout).
/// Questions without a relevant text are left out.
pub fn beir(folder: &Path) -> Result<Set> {
    let texts: Vec<Text> = lines(&folder.join("corpus.jsonl"))?
        .into_iter()
        .map(|row| {
            let title = row["title"].as_str().unwrap_or_default();
            let text = row["text"].as_str().unwrap_or_default();
            let text = if title.is_empty() { text.to_owned() } else { format!("{title}\n{text}") };
            Text { id: id(&row), text }
        })
        .collect();
    let mut judged: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    let tsv = folder.join("qrels/test.tsv");
    for line in std::fs::read_to_string(&tsv).with_context(|| format!("read {}", tsv.display()))?.lines() {
        let parts: Vec<&str> = line.split('\t').collect();
        // A heading, where there is one, has no grade.
        if let [query, text, grade] = parts[..]
            && let Ok(grade) = grade.trim().parse::<u32>()
            && grade > 0
        {
            judged.entry(query.into()).or_default().insert(text.into(), grade);
        }
    }
    let questions = lines(&folder.join("queries.jsonl"))?
        .into_iter()
        .filter_map(|row| {
            let grades = judged.remove(&id(&row))?;
            Some(Question { text: row["text"].as_str().unwrap_or_default().to_owned(), grades })
        })
        .collect();
    Ok(Set { texts, questions })
}

/// LoCoMo's conversations, each a set: turns as `speaker: text`, and questions with the turns
/// that are their evidence.
pub fn conversations(archive: &Path) -> Result<Vec<Set>> {
    let unzip = Command::new("unzip").arg("-p").arg(archive).arg("*.json").output().context("run unzip")?;
    if !unzip.status.success() {
        bail!("unzip {}: {}", archive.display(), String::from_utf8_lossy(&unzip.stderr));
    }
    let files: Vec<Value> = Deserializer::from_slice(&unzip.stdout)
        .into_iter()
        .collect::<Result<_, _>>()
        .context("read the conversations")?;
    Ok(files.iter().map(conversation).collect())
}

fn conversation(file: &Value) -> Set {
    let sessions = file.as_object().into_iter().flatten().filter(|(name, _)| {
        name.strip_prefix("session_").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
    });
    let turns = sessions.filter_map(|(_, turns)| turns.as_array()).flatten();
    let texts: Vec<Text> = turns
        .map(|turn| {
            let part = |name: &str| turn[name].as_str().unwrap_or_default();
            let picture = part("blip_caption");
            let shown = if picture.is_empty() { String::new() } else { format!(" [{picture}]") };
            Text { id: part("dia_id").into(), text: format!("{}: {}{shown}", part("speaker"), part("text")) }
        })
        .collect();
    let there = |id: &&str| texts.iter().any(|text| text.id == *id);
    let questions = file["qa"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|row| {
            let evidence = row["evidence"].as_array().into_iter().flatten().filter_map(Value::as_str);
            // Some rows hold several ids in one text.
            let ids = evidence.flat_map(|text| text.split([' ', ';', ','])).filter(there);
            let grades: BTreeMap<String, u32> = ids.map(|id| (id.to_owned(), 1)).collect();
            let text = row["question"].as_str()?.to_owned();
            (!grades.is_empty()).then_some(Question { text, grades })
        })
        .collect();
    Set { texts, questions }
}

fn id(row: &Value) -> String {
    row["_id"].as_str().unwrap_or_default().to_owned()
}

fn lines(path: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let rows = text.lines().filter(|line| !line.trim().is_empty()).map(serde_json::from_str);
    rows.collect::<Result<_, _>>().with_context(|| format!("parse {}", path.display()))
}
