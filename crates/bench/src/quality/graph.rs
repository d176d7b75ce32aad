//! `graph`: judged sets with the walk over the graph and without, through the very calls that a
//! search makes. Their questions take one passage each: here the graph can only do harm, and what
//! it does is told. What it is for is measured by `retrieval`'s `tests::hops`.

use std::sync::Arc;

use ::context::eval::{self, Judged};
use anyhow::{Context, Result};
use report::Report;
use retrieval::{Collections, Content, Embed, Embedded, Query, Wish};
use store::documents::{Acl, Reader};
use store_sqlite::{SqliteTenants, TenantsConfig};
use units::{Labels, Micros, TeamId, Uuid7};

use super::sets::{self, Set};
use super::{Setting, row};
use crate::record::{Row, Target};

const DEPTH: usize = 10;

/// The built-in embedder is asked of nobody.
struct NoModel;

impl Embed for NoModel {
    fn embed(&self, model: &str, _: &Labels, _: &[String]) -> Result<Embedded, Report> {
        Err(Report::new("GW0005", format!("no model is named \"{model}\"")))
    }
}

pub fn run(setting: &Setting<'_>, rows: &mut Vec<Row>) -> Result<()> {
    for (name, language) in [("msmarco", "en"), ("arcd", "ar")] {
        let folder = setting.data.join("agentset").join(name);
        if !folder.is_dir() {
            setting.output.say(&format!("skipped: {name}: {} is absent", folder.display()));
            continue;
        }
        let set = sets::beir(&folder)?;
        setting.output.step(&format!("{name} with a graph: {} texts", set.texts.len()));
        let [without, with] = both(&set, language)?;
        setting.output.step_done();
        let unit = "nDCG@10";
        rows.push(row(
            format!("{name}, with the graph"),
            unit,
            with.mean.ndcg,
            Some(("without", without.mean.ndcg)),
            Target::Shown,
            with.queries,
        ));
    }
    Ok(())
}

/// Without and with the walk.
fn both(set: &Set, language: &str) -> Result<[eval::Summary; 2]> {
    let folder = tempfile::tempdir().context("make a directory")?;
    let keys = seal::KeyRing::ephemeral();
    let tenants = Arc::new(SqliteTenants::new(folder.path(), &keys, TenantsConfig::default()));
    let collections = Collections::new(tenants);
    let team = TeamId(Uuid7::from_bytes([1; 16]));
    let reader = Reader::new(team, []);
    let wish = Wish {
        name: "bench".into(),
        language: language.into(),
        lexing: None,
        acl: Acl::team(),
        labels: Labels::default(),
        embedder: None,
        graph: true,
        ranking: retrieval::Ranking::default(),
    };
    collections.create(team, &wish, Micros(0)).context("make a collection")?;
    let collection = collections.find(&reader, "bench").context("find it")?;
    for text in &set.texts {
        let content = Content {
            source: &text.id,
            title: Some(&text.id),
            media_type: "text/plain",
            bytes: text.text.as_bytes(),
            acl: None,
            labels: Labels::default(),
            batch: &text.id,
            modified: None,
        };
        collections.put(&reader, &collection, &content, &NoModel, Micros(0)).context("put a text")?;
    }
    let scores = |graph: bool| -> Result<eval::Summary> {
        let mut all = Vec::new();
        for question in &set.questions {
            let labels = Labels::default();
            let query = Query { graph, ..Query::new(&question.text, DEPTH, &labels, Micros(0)) };
            let found = collections.search(&reader, &collection, &query, &NoModel).context("search")?;
            let ranked: Vec<&str> = found.evidence.iter().map(|e| e.chunk.source.as_str()).collect();
            let grades = question.grades.iter().map(|(id, grade)| (id.as_str(), *grade)).collect();
            let judged = Judged { ranked: &ranked, grades: &grades, poison: &Default::default() };
            all.extend(eval::score(&judged, DEPTH));
        }
        Ok(eval::mean(&all))
    };
    Ok([scores(false)?, scores(true)?])
}
