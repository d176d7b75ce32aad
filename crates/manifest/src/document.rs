//! Documents: the envelope that every kind shares.

use std::collections::BTreeMap;

use report::Report;

use crate::kinds::{budget, collection, feature, guard, model, policy, provider, team, tool};
use crate::read::{Fields, Problems, nearest, text};
use crate::yaml::{self, Node, Value};

/// The kinds of DESIGN §6, in the order in which they are applied: what is
/// named stands before what names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Provider,
    Guard,
    Model,
    Team,
    Tool,
    Collection,
    Feature,
    Budget,
    Policy,
}

impl Kind {
    pub const ALL: [Kind; 9] = [
        Kind::Provider,
        Kind::Guard,
        Kind::Model,
        Kind::Team,
        Kind::Tool,
        Kind::Collection,
        Kind::Feature,
        Kind::Budget,
        Kind::Policy,
    ];
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Provider => "Provider",
            Kind::Guard => "Guard",
            Kind::Model => "Model",
            Kind::Team => "Team",
            Kind::Collection => "Collection",
            Kind::Feature => "Feature",
            Kind::Budget => "Budget",
            Kind::Policy => "Policy",
            Kind::Tool => "Tool",
        }
    }
    /// Its objects are asked for by clients, and so are named like models.
    fn is_asked_for(self) -> bool {
        matches!(self, Kind::Model | Kind::Feature)
    }
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.name() == name)
    }
}

/// Reserved for later versions, so that the error can say so.
const LATER: [&str; 3] = ["Prompt", "Site", "Rollout"];

/// What a document declares.
#[derive(Clone, Debug, PartialEq)]
pub enum Spec {
    Provider(provider::Provider),
    Guard(guard::Guard),
    Model(model::Model),
    Team(team::Team),
    Collection(collection::Collection),
    Feature(feature::Feature),
    Budget(budget::Budget),
    Policy(policy::Policy),
    Tool(tool::Tool),
}

/// One declared object.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub kind: Kind,
    /// Unique among its kind.
    pub name: String,
    pub spec: Spec,
    pub file: String,
    /// The line on which it begins, from 1.
    pub line: usize,
    /// The YAML as written, without its `---`.
    pub text: String,
    /// Every value by its path (`spec.targets[0].model`), for the diff.
    pub(crate) values: BTreeMap<String, String>,
    /// The line of each path.
    pub(crate) lines: BTreeMap<String, usize>,
}

impl Document {
    /// `file:line` of a path, or of the document when the path is not there.
    pub fn place(&self, path: &str) -> String {
        format!("{}:{}", self.file, self.lines.get(path).copied().unwrap_or(self.line))
    }
}

impl Document {
    /// `file:line` of a line (from 1) inside the text at a path: a block begins
    /// on the line after its `|`.
    pub fn place_in(&self, path: &str, line: usize) -> String {
        let Some(first) = self.lines.get(path) else { return self.place(path) };
        let is_block = self.values.get(path).is_some_and(|text| text.contains('\n'));
        let first = if is_block { first + 1 } else { *first };
        format!("{}:{}", self.file, first + line.saturating_sub(1))
    }
}

/// Reads a stream of manifests: `apiVersion`, `kind`, `metadata.name`, `spec`.
///
/// # Errors
/// All problems of the stream, at most [`crate::PROBLEMS_MAX`]; nothing is
/// returned of a stream that has one.
pub fn parse(text: &str, file: &str) -> Result<Vec<Document>, Vec<Report>> {
    let mut problems = Vec::new();
    let sources = yaml::read(text, file, &mut problems);
    let problems = Problems::new(file, problems);
    let mut documents: Vec<Document> = Vec::new();
    let mut first: BTreeMap<(Kind, String), usize> = BTreeMap::new();
    for source in sources {
        let Some(document) = document(&source.root, source.text, &problems) else { continue };
        if let Some(line) = first.get(&(document.kind, document.name.clone())) {
            problems.push(
                Report::new(
                    "MF0012",
                    format!("{} \"{}\" is declared twice", document.kind.name(), document.name),
                )
                .at(format!("{file}:{}", document.line))
                .because(format!("it is also declared on line {line}")),
            );
            continue;
        }
        first.insert((document.kind, document.name.clone()), document.line);
        documents.push(document);
    }
    let problems = problems.into_list();
    if problems.is_empty() { Ok(documents) } else { Err(problems) }
}

fn document(root: &Node, source: &str, problems: &Problems) -> Option<Document> {
    if !matches!(root.value, Value::Map(_)) {
        problems.wrong("document", root, "a map with apiVersion, kind, metadata and spec");
        return None;
    }
    let mut fields = Fields::open(root, "", problems)?;
    let version_is_known = version(&mut fields);
    let kind = kind(&mut fields);
    let name = match fields.take("metadata") {
        Some(node) => metadata(node, kind, problems),
        None => {
            problems.missing("metadata.name", root.at, "write `metadata: { name: my-name }`");
            None
        }
    };
    let spec_node = fields.take("spec");
    fields.finish();
    if !version_is_known {
        return None;
    }
    let kind = kind?;
    let empty = Node { at: root.at, value: Value::Map(Vec::new()) };
    let mut spec = Fields::open(spec_node.unwrap_or(&empty), "spec", problems)?;
    let read = match kind {
        Kind::Provider => provider::read(&mut spec).map(Spec::Provider),
        Kind::Guard => guard::read(&mut spec).map(Spec::Guard),
        Kind::Model => model::read(&mut spec).map(Spec::Model),
        Kind::Team => team::read(&mut spec).map(Spec::Team),
        Kind::Collection => collection::read(&mut spec).map(Spec::Collection),
        Kind::Feature => feature::read(&mut spec).map(Spec::Feature),
        Kind::Budget => budget::read(&mut spec).map(Spec::Budget),
        Kind::Policy => policy::read(&mut spec).map(Spec::Policy),
        Kind::Tool => tool::read(&mut spec).map(Spec::Tool),
    };
    spec.finish();
    let (mut values, mut lines) = (BTreeMap::new(), BTreeMap::new());
    flatten(root, "", &mut values, &mut lines);
    Some(Document {
        kind,
        name: name?,
        spec: read?,
        file: problems.file.to_owned(),
        line: root.at.line,
        text: source.to_owned(),
        values,
        lines,
    })
}

fn version(fields: &mut Fields) -> bool {
    let Some(node) = fields.take("apiVersion") else {
        fields.problems.push(
            Report::new("MF0005", "`apiVersion` is missing")
                .at(fields.problems.place(fields.at))
                .hint("write `apiVersion: bedplate/v1`"),
        );
        return false;
    };
    match text(node, "apiVersion", fields.problems) {
        Some(version) if version == "bedplate/v1" => true,
        Some(version) => {
            fields.problems.push(
                Report::new("MF0005", format!("`apiVersion` is \"{}\"", yaml::clip(&version)))
                    .at(fields.problems.place(node.at))
                    .because("this version reads `bedplate/v1`"),
            );
            false
        }
        None => false,
    }
}

fn kind(fields: &mut Fields) -> Option<Kind> {
    let problems = fields.problems;
    let Some(node) = fields.take("kind") else {
        problems.missing("kind", fields.at, format!("one of {}", kinds()).as_str());
        return None;
    };
    let word = text(node, "kind", problems)?;
    if let Some(kind) = Kind::from_name(&word) {
        return Some(kind);
    }
    let report = Report::new("MF0006", format!("kind \"{}\" is not known", yaml::clip(&word)))
        .at(problems.place(node.at));
    let near = nearest(&word, Kind::ALL.iter().map(|k| k.name()).chain(LATER));
    problems.push(if LATER.contains(&word.as_str()) {
        Report { what: format!("kind \"{word}\" is not in this version yet"), ..report }
            .hint(format!("this version has {}", kinds()))
    } else if let Some(near) = near {
        report.hint(format!("did you mean `{near}`?"))
    } else {
        report.hint(format!("this version has {}", kinds()))
    });
    None
}

/// `Provider, Model, Team`...
fn kinds() -> String {
    Kind::ALL.map(Kind::name).join(", ")
}

fn metadata(node: &Node, kind: Option<Kind>, problems: &Problems) -> Option<String> {
    let mut fields = Fields::open(node, "metadata", problems)?;
    let asked_for = kind.is_some_and(Kind::is_asked_for);
    let name_node = fields.take("name");
    let name = match name_node {
        None => {
            problems.missing("metadata.name", node.at, "write `metadata: { name: my-name }`");
            None
        }
        Some(name_node) => text(name_node, "metadata.name", problems).filter(|name| {
            let valid = if asked_for { model_name(name) } else { object_name(name) };
            if !valid {
                let rule = if asked_for {
                    "1 to 200 letters, digits and `.` `_` `-` `/` `:` `@`"
                } else {
                    "1 to 63 lower-case letters, digits, `.` `_` `-`, beginning with a letter or digit"
                };
                problems.push(
                    Report::new("MF0011", format!("\"{}\" is not a valid name", yaml::clip(name)))
                        .at(problems.place(name_node.at))
                        .because(format!("a name has {rule}")),
                );
            }
            valid
        }),
    };
    fields.finish();
    name
}

/// The names of providers, teams and budgets.
pub(crate) fn object_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        && name.as_bytes()[0].is_ascii_alphanumeric()
}

/// The names of models, as clients send them.
pub(crate) fn model_name(name: &str) -> bool {
    (1..=200).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b))
        && name.as_bytes()[0].is_ascii_alphanumeric()
}

fn flatten(
    node: &Node,
    path: &str,
    values: &mut BTreeMap<String, String>,
    lines: &mut BTreeMap<String, usize>,
) {
    lines.insert(path.to_owned(), node.at.line);
    match &node.value {
        Value::Null => {}
        Value::Scalar { text, .. } => {
            values.insert(path.to_owned(), text.clone());
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                flatten(item, &format!("{path}[{index}]"), values, lines);
            }
        }
        Value::Map(entries) => {
            for (key, value) in entries {
                let path = if path.is_empty() { key.text.clone() } else { format!("{path}.{}", key.text) };
                flatten(value, &path, values, lines);
            }
        }
    }
}
