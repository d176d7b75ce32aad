//! Judged questions, as a file has them.

use std::collections::BTreeMap;
use std::path::Path;

use report::Report;
use serde::Deserialize;

use crate::{Failure, failure};

/// Of the whole file.
const BYTES_MAX: u64 = 64 << 20;
/// Each is a search.
const QUESTIONS_MAX: usize = 100_000;

/// A question and what is known of the documents for it.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    pub query: String,
    /// Grades by source; a list of sources grades each 1.
    #[serde(deserialize_with = "grades")]
    pub relevant: BTreeMap<String, u32>,
    /// Sources that an attacker planted.
    #[serde(default)]
    pub poison: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Grades {
    Each(BTreeMap<String, u32>),
    Alike(Vec<String>),
}

fn grades<'de, D: serde::Deserializer<'de>>(from: D) -> Result<BTreeMap<String, u32>, D::Error> {
    Ok(match Grades::deserialize(from)? {
        Grades::Each(grades) => grades,
        Grades::Alike(sources) => sources.into_iter().map(|source| (source, 1)).collect(),
    })
}

pub(super) fn read(path: &Path) -> Result<Vec<Question>, Failure> {
    let size = std::fs::metadata(path).map_err(|e| failure::file("read", path, &e))?.len();
    if size > BYTES_MAX {
        return Err(bad(path, None, format!("it has {size} bytes; {BYTES_MAX} are read at most")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| failure::file("read", path, &e))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = lines.map(|(number, line)| {
        serde_json::from_str(line).map_err(|why| bad(path, Some(number + 1), why.to_string()))
    });
    let questions: Vec<Question> = read.collect::<Result<_, _>>()?;
    if questions.len() > QUESTIONS_MAX {
        return Err(bad(path, None, format!("it has more than {QUESTIONS_MAX} questions")));
    }
    Ok(questions)
}

fn bad(path: &Path, line: Option<usize>, why: String) -> Failure {
    let at = line.map_or_else(|| path.display().to_string(), |line| format!("{}:{line}", path.display()));
    Report::new("CL0010", "the judged questions cannot be read")
        .at(at)
        .because(why)
        .hint("a line is an object: {\"query\": \"how long is leave\", \"relevant\": {\"leave.md\": 2}}")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_question_and_a_bad_one_is_told_by_its_number() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let good = "{\"query\":\"a\",\"relevant\":[\"x\"]}\n\n{\"query\":\"b\",\"relevant\":{\"y\":2},\"poison\":[\"p\"]}\n";
        std::fs::write(file.path(), good).expect("written");
        let read = |path: &Path| super::read(path);
        let questions = read(file.path()).expect("they are read");
        assert_eq!(questions[0].relevant, BTreeMap::from([("x".to_owned(), 1)]));
        assert_eq!((questions[1].relevant["y"], questions[1].poison.len()), (2, 1));
        std::fs::write(file.path(), format!("{good}{{\"query\":\"c\"}}\n")).expect("written");
        let why = read(file.path()).expect_err("refused").to_string();
        assert!(why.contains(":4") && why.contains("relevant"), "{why}");
    }
}
