//! References: every name that a document mentions must exist.

use std::collections::BTreeSet;

use report::Report;

use crate::document::{Document, Kind, Spec};
use crate::kinds::budget::Scope;
use crate::kinds::collection::BUILTIN_EMBEDDER;
use crate::kinds::model::Place;
use crate::kinds::tool::ToolUpstream;
use crate::read::nearest;

/// The names that exist beside the documents being checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// Entries of `providers.toml`.
    pub catalog: BTreeSet<String>,
    pub providers: BTreeSet<String>,
    /// Models and their aliases.
    pub models: BTreeSet<String>,
    pub features: BTreeSet<String>,
    pub teams: BTreeSet<String>,
    pub guards: BTreeSet<String>,
    /// What Bedplate can call, as [`callable`] names it.
    pub tools: BTreeSet<String>,
    /// Ids, and `team/name`.
    pub keys: BTreeSet<String>,
    pub orgs: BTreeSet<String>,
}

/// Checks the names that `documents` mention against `known` and each other.
///
/// A target may name a catalogue entry directly, without a `Provider`. All
/// problems are returned; none means sound.
pub fn check(documents: &[Document], known: &Known) -> Vec<Report> {
    let named = |kind: Kind| documents.iter().filter(move |d| d.kind == kind).map(|d| d.name.as_str());
    let with = |kind: Kind, known: &'_ BTreeSet<String>| -> BTreeSet<String> {
        known.iter().cloned().chain(named(kind).map(str::to_owned)).collect()
    };
    let mut providers = with(Kind::Provider, &known.providers);
    providers.extend(known.catalog.iter().cloned());
    let teams = with(Kind::Team, &known.teams);
    let mut models = with(Kind::Model, &known.models);
    models.extend(documents.iter().flat_map(|d| match &d.spec {
        Spec::Model(model) => model.aliases.clone(),
        _ => Vec::new(),
    }));
    // A team's catalogue has models and features alike.
    let offered = &models | &with(Kind::Feature, &known.features);
    let guards = with(Kind::Guard, &known.guards);
    let tools: BTreeSet<String> = known.tools.iter().cloned().chain(callable(documents)).collect();
    let mut problems = Vec::new();
    for document in documents {
        match &document.spec {
            Spec::Provider(provider) => {
                if let Some(name) = &provider.catalog {
                    problems.extend(missing(
                        document,
                        "spec.catalog",
                        "catalogue entry",
                        name,
                        &known.catalog,
                    ));
                }
            }
            Spec::Model(model) => {
                for (index, target) in model.targets.iter().enumerate() {
                    if let Place::Remote { provider, .. } = &target.place {
                        let path = format!("spec.targets[{index}].provider");
                        problems.extend(missing(document, &path, "provider", provider, &providers));
                    }
                }
                for (index, name) in model.guards.iter().enumerate() {
                    let path = format!("spec.guards[{index}]");
                    problems.extend(missing(document, &path, "guard", name, &guards));
                }
            }
            Spec::Budget(budget) => problems.extend(match &budget.scope {
                Scope::Team(name) => missing(document, "spec.team", "team", name, &teams),
                Scope::Key(name) => missing(document, "spec.key", "key", name, &known.keys),
                Scope::Org(name) => missing(document, "spec.org", "org", name, &known.orgs),
            }),
            Spec::Feature(feature) => {
                problems.extend(missing(document, "spec.model", "model", &feature.model, &models));
                if let Some(name) = feature.retrieve.as_ref().and_then(|r| r.rerank.as_ref()) {
                    problems.extend(missing(document, "spec.retrieve.rerank", "model", name, &models));
                }
                for (index, name) in feature.guards.iter().enumerate() {
                    let path = format!("spec.guards[{index}]");
                    problems.extend(missing(document, &path, "guard", name, &guards));
                }
                for (index, name) in feature.tools.iter().enumerate() {
                    let any = name.split_once(JOINT).map(|(server, _)| format!("{server}{JOINT}*"));
                    if any.is_none_or(|any| !tools.contains(&any)) {
                        let path = format!("spec.tools[{index}]");
                        problems.extend(missing(document, &path, "tool", name, &tools));
                    }
                }
                for (index, team) in feature.teams.iter().flatten().enumerate() {
                    problems.extend(missing(document, &format!("spec.teams[{index}]"), "team", team, &teams));
                }
            }
            Spec::Collection(collection) => {
                problems.extend(missing(document, "spec.team", "team", &collection.team, &teams));
                if collection.embedder != BUILTIN_EMBEDDER {
                    problems.extend(missing(
                        document,
                        "spec.embedder",
                        "model",
                        &collection.embedder,
                        &models,
                    ));
                }
                if let Some(name) = &collection.reranker {
                    problems.extend(missing(document, "spec.reranker", "model", name, &models));
                }
                for (index, source) in collection.sources.iter().enumerate() {
                    let Some(payer) = &source.payer else { continue };
                    let path = format!("spec.sources[{index}].payer");
                    let payer = format!("{}/{payer}", collection.team);
                    problems.extend(missing(document, &path, "key", &payer, &known.keys));
                }
            }
            Spec::Tool(tool) => {
                for (index, name) in tool.teams.iter().enumerate() {
                    problems.extend(missing(document, &format!("spec.teams[{index}]"), "team", name, &teams));
                }
            }
            Spec::Guard(_) => {}
            // Its text names things by strings of its own; crate `policy` reads it.
            Spec::Policy(_) => {}
            Spec::Team(team) => {
                for name in team.models.iter().flatten() {
                    // An adapter is asked for as `model:adapter`.
                    let of: &str = match name.rsplit_once(':') {
                        Some((model, _)) if !offered.contains(name) => model,
                        _ => name,
                    };
                    problems.extend(missing(document, "spec.models", "model", of, &offered));
                }
            }
        }
    }
    problems.extend(names_given_twice(documents));
    problems
}

/// Between a server and its tool, in the name of both.
const JOINT: &str = "__";

/// The tools that Bedplate itself can call: `server` for all of one, `server__tool`
/// for each that is declared, `server__*` where others are offered too.
pub fn callable(documents: &[Document]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for document in documents {
        let Spec::Tool(tool) = &document.spec else { continue };
        if tool.upstream == ToolUpstream::Client {
            continue;
        }
        names.insert(document.name.clone());
        names.extend(tool.tools.keys().map(|name| format!("{}{JOINT}{name}", document.name)));
        if let ToolUpstream::Graph(graph) = &tool.upstream {
            names.extend(graph.queries.keys().map(|name| format!("{}{JOINT}{name}", document.name)));
        }
        // A function that nothing is declared of has its server's name.
        if tool.tools.is_empty() && matches!(tool.upstream, ToolUpstream::Function { .. }) {
            names.insert(format!("{0}{JOINT}{0}", document.name));
        }
        if tool.others {
            names.insert(format!("{}{JOINT}*", document.name));
        }
    }
    names
}

fn missing(
    document: &Document,
    path: &str,
    what: &str,
    name: &str,
    known: &BTreeSet<String>,
) -> Option<Report> {
    if known.contains(name) {
        return None;
    }
    let report = Report::new(
        "MF0031",
        format!("{} \"{}\" names {what} \"{name}\"", document.kind.name(), document.name),
    )
    .at(document.place(path))
    .because(format!("no {what} has that name"));
    let noun = match what {
        "catalogue entry" => "provider",
        other => other,
    };
    let list = if noun == "org" { "status" } else { &format!("{noun} list") };
    Some(report.hint(match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"? `bedplate {list}` shows all {}", known.len()),
        None => format!("`bedplate {list}` shows all {}", known.len()),
    }))
}

/// A model's name or alias belongs to one model, and to no feature.
fn names_given_twice(documents: &[Document]) -> Vec<Report> {
    let mut owners = std::collections::BTreeMap::<&str, &Document>::new();
    let mut problems = Vec::new();
    for document in documents {
        let aliases = match &document.spec {
            Spec::Model(model) => &model.aliases[..],
            Spec::Feature(_) => &[],
            _ => continue,
        };
        for name in std::iter::once(&document.name).chain(aliases) {
            match owners.insert(name, document) {
                Some(other) if other.name != document.name || other.kind != document.kind => problems.push(
                    Report::new("MF0012", format!("the name \"{name}\" is given twice"))
                        .at(document.place("spec.aliases"))
                        .because(format!(
                            "{} \"{}\" at {}:{} has it too",
                            other.kind.name(),
                            other.name,
                            other.file,
                            other.line
                        )),
                ),
                _ => {}
            }
        }
    }
    problems
}
