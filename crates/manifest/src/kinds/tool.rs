//! `Tool`: a party that runs tools, and what its owner says of each.
//!
//! Where it is reached stands here and nowhere else: a URL or a command never
//! comes from a request (TRAPS X2, X5). What is left out is taken for the
//! worst: a tool without an entry sends things out, each of its arguments
//! decides where, and nothing that it returns is believed.

use std::collections::{BTreeMap, BTreeSet};

use report::Report;
use toolgate::{Effect, Field, Kind, Named, Target, Tool as Declared};
use units::Sensitivity;

use crate::kinds::graph::{self, ToolGraph};
use crate::kinds::labels::{self, PlaceLabels};
use crate::kinds::oauth::{self, OAuth};
use crate::kinds::provider::{KeyFrom, Timeouts, base_url, key, timeouts};
use crate::read::{Fields, text};
use crate::yaml::{Node, Value, clip};

#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    pub upstream: ToolUpstream,
    /// Teams that may call it; empty: nobody.
    pub teams: Vec<String>,
    /// By the name that the upstream gives it. With `tools` only these are offered.
    pub tools: BTreeMap<String, Declared>,
    /// Also offer what the upstream has and `tools` does not name, as the worst.
    pub others: bool,
    pub timeouts: Timeouts,
    /// What data it takes.
    pub labels: PlaceLabels,
}

/// Who runs it.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolUpstream {
    /// An MCP server over streamable HTTP.
    Mcp { url: String, allow_private: bool, credential: Option<Credential> },
    /// An MCP server as a child process. Only from a manifest.
    Command { program: String, arguments: Vec<String>, environment: Vec<(String, String)> },
    /// Whoever asks runs them; the gate looks at the calls in answers.
    Client,
    /// One HTTP function: arguments as the JSON body, the answer's body as the result.
    Function {
        url: String,
        allow_private: bool,
        credential: Option<Credential>,
        description: String,
        schema: String,
    },
    /// A knowledge graph that exists: declared queries, which are its tools.
    Graph(ToolGraph),
}

/// What a server is shown. Never what a client showed us.
#[derive(Clone, Debug, PartialEq)]
pub enum Credential {
    /// One key of ours for every call.
    Key(KeyFrom),
    /// A token for this server, got from an identity provider.
    Token(OAuth),
}

impl Credential {
    /// Where the secret is that we have ourselves.
    pub fn key(&self) -> &KeyFrom {
        match self {
            Credential::Key(key) => key,
            Credential::Token(oauth) => &oauth.client_secret,
        }
    }
}

/// Tools of one upstream that a manifest may describe.
const TOOLS_MAX: usize = 256;
/// Fields, targets or names in one list.
const LIST_MAX: usize = 64;

const KINDS: [(&str, Kind); 6] = [
    ("text", Kind::Text),
    ("exact", Kind::Exact),
    ("email", Kind::Email),
    ("url", Kind::Url),
    ("number", Kind::Number),
    ("account", Kind::Account),
];

const SENSITIVITIES: [(&str, Sensitivity); 4] = [
    ("public", Sensitivity::Public),
    ("internal", Sensitivity::Internal),
    ("confidential", Sensitivity::Confidential),
    ("restricted", Sensitivity::Restricted),
];

pub(crate) fn read(fields: &mut Fields) -> Option<Tool> {
    let upstream = upstream(fields);
    let teams = names(fields, "teams");
    let others = fields.boolean("others").unwrap_or(false);
    let timeouts = fields.open_map("timeouts").map(timeouts).unwrap_or_default();
    let labels = labels::of_place(fields);
    let tools = fields.take("tools").map(|node| tools(node, fields)).unwrap_or_default();
    Some(Tool { upstream: upstream?, teams, tools, others, timeouts, labels })
}

fn upstream(fields: &mut Fields) -> Option<ToolUpstream> {
    let given =
        ["mcp", "command", "function", "graph", "client"].into_iter().filter(|k| fields.has(k)).count();
    if given != 1 {
        let hint = "write one of `mcp: { url }`, `command: [program, argument]`, `function: { url, description, schema }`, `graph: { language, url, queries }` and `client: true`";
        fields.problems.missing("spec.mcp", fields.at, hint);
        fields.take("mcp");
        fields.take("command");
        fields.take("function");
        fields.take("graph");
        fields.take("client");
        return None;
    }
    if fields.has("client") {
        return fields.boolean("client").filter(|client| *client).map(|_| ToolUpstream::Client);
    }
    if let Some(mut mcp) = fields.open_map("mcp") {
        let allow_private = mcp.boolean("allowPrivate").unwrap_or(false);
        let url = url(&mut mcp, allow_private);
        let credential = credential(&mut mcp);
        mcp.finish();
        return Some(ToolUpstream::Mcp { url: url?, allow_private, credential });
    }
    if fields.has("graph") {
        return fields.open_map("graph").and_then(graph::read).map(ToolUpstream::Graph);
    }
    if let Some(mut function) = fields.open_map("function") {
        let allow_private = function.boolean("allowPrivate").unwrap_or(false);
        let url = url(&mut function, allow_private);
        let credential = credential(&mut function);
        let description = function.text("description");
        let schema = function.take("schema").map(|node| json(node).to_string());
        function.finish();
        return Some(ToolUpstream::Function {
            url: url?,
            allow_private,
            credential,
            description: description.unwrap_or_default(),
            schema: schema.unwrap_or_else(|| r#"{"type":"object"}"#.into()),
        });
    }
    let words = fields.list("command", LIST_MAX)?;
    let mut words: Vec<String> =
        words.iter().filter_map(|node| text(node, "spec.command", fields.problems)).collect();
    let environment = fields.words("environment");
    if words.is_empty() || !words[0].starts_with('/') {
        let because = "`spec.command` begins with the absolute path of a program";
        fields.problems.missing("spec.command", fields.at, because);
        return None;
    }
    let program = words.remove(0);
    Some(ToolUpstream::Command { program, arguments: words, environment })
}

fn credential(fields: &mut Fields) -> Option<Credential> {
    let at = fields.at;
    if fields.has("oauth") && (fields.has("keyEnv") || fields.has("keySecret")) {
        fields.problems.push(
            Report::new("MF0013", "a key and `oauth` are both given")
                .at(fields.problems.place(at))
                .hint("keep one: the server is shown one key of ours, or a token for each caller"),
        );
    }
    let key = key(fields);
    let oauth = fields.open_map("oauth").and_then(oauth::read);
    oauth.map(Credential::Token).or(key.map(Credential::Key))
}

fn url(fields: &mut Fields, allow_private: bool) -> Option<String> {
    let at = fields.at;
    match fields.take("url") {
        Some(node) => base_url(node, allow_private, "url", fields),
        None => {
            let path = fields.path_of("url");
            fields.problems.missing(&path, at, "write the address that the operator of this server trusts");
            None
        }
    }
}

fn tools(node: &Node, fields: &Fields) -> BTreeMap<String, Declared> {
    let problems = fields.problems;
    let mut tools = BTreeMap::new();
    let Value::Map(entries) = &node.value else {
        problems.wrong("spec.tools", node, "a map of tools");
        return tools;
    };
    if entries.len() > TOOLS_MAX {
        problems.wrong("spec.tools", node, format!("a map of at most {TOOLS_MAX} tools"));
        return tools;
    }
    for (key, node) in entries {
        let path = format!("spec.tools.{}", clip(&key.text));
        if !tool_name(&key.text) {
            problems.wrong(&path, node, "a tool whose name has 1 to 64 letters, digits, `_` and `-`");
            continue;
        }
        // Nothing said: nothing believed.
        let declared = match &node.value {
            Value::Null => Declared::default(),
            _ => match Fields::open(node, &path, problems) {
                Some(fields) => tool(fields),
                None => continue,
            },
        };
        tools.insert(key.text.clone(), declared);
    }
    tools
}

/// What every client's function names allow.
pub(crate) fn tool_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

fn tool(mut fields: Fields) -> Declared {
    let effects: Vec<(&'static str, Effect)> = Effect::ALL.into_iter().map(|e| (e.name(), e)).collect();
    let effect = fields.choice("effect", &effects).unwrap_or_default();
    let targets = fields.take("targets").map(|node| targets(node, &fields));
    let trusted = names(&mut fields, "trusted");
    let listed = names(&mut fields, "listed");
    let named = named(&mut fields);
    let readers = set(&mut fields, "readers");
    let audience = set(&mut fields, "audience");
    let parties = boxed(names(&mut fields, "parties"));
    let private = boxed(names(&mut fields, "private"));
    let sensitivity = fields.choice("sensitivity", &SENSITIVITIES).unwrap_or_default();
    let ceiling = fields.choice("ceiling", &SENSITIVITIES);
    fields.finish();
    let trusted = trusted.iter().map(|path| Field::trusted(path));
    let fields = trusted.chain(listed.iter().map(|path| Field::listed(path))).collect();
    Declared { effect, targets, fields, named, readers, audience, parties, private, sensitivity, ceiling }
}

fn targets(node: &Node, fields: &Fields) -> BTreeMap<Box<str>, Target> {
    let problems = fields.problems;
    let mut targets = BTreeMap::new();
    let Value::Map(entries) = &node.value else {
        problems.wrong(&fields.path_of("targets"), node, "a map of arguments to their kinds");
        return targets;
    };
    for (key, node) in entries.iter().take(LIST_MAX) {
        let path = fields.path_of(&format!("targets.{}", clip(&key.text)));
        let target = match &node.value {
            // `recipient: email` for `recipient: { kind: email }`.
            Value::Scalar { text, .. } => {
                let found = KINDS.iter().find(|(word, _)| word == text);
                if found.is_none() {
                    let words: Vec<&str> = KINDS.iter().map(|(w, _)| *w).collect();
                    problems.wrong(&path, node, format!("one of `{}`", words.join("`, `")));
                }
                found.map(|(_, kind)| Target::new(*kind))
            }
            _ => Fields::open(node, &path, problems).map(|mut fields| {
                let kind = fields.choice("kind", &KINDS).unwrap_or_default();
                let role = fields.text("role").map(Into::into);
                let own = boxed(names(&mut fields, "own"));
                fields.finish();
                Target { kind, role, own }
            }),
        };
        if let Some(target) = target {
            targets.insert(key.text.as_str().into(), target);
        }
    }
    targets
}

fn named(fields: &mut Fields) -> Vec<Named> {
    let Some(items) = fields.list("named", LIST_MAX) else { return Vec::new() };
    let mut rules = Vec::new();
    for (at, node) in items.iter().enumerate() {
        let path = fields.path_of(&format!("named[{at}]"));
        let Some(mut rule) = Fields::open(node, &path, fields.problems) else { continue };
        let by = boxed(names(&mut rule, "by"));
        let gives = boxed(names(&mut rule, "gives"));
        let mut kinds = Vec::new();
        for node in rule.list("kinds", KINDS.len()).unwrap_or_default() {
            let word = text(node, &rule.path_of("kinds"), rule.problems).unwrap_or_default();
            match KINDS.iter().find(|(w, _)| *w == word) {
                Some((_, kind)) => kinds.push(*kind),
                None => rule.problems.wrong(&rule.path_of("kinds"), node, "a list of kinds of values"),
            }
        }
        rule.finish();
        rules.push(Named { by, gives, kinds });
    }
    rules
}

fn names(fields: &mut Fields, name: &'static str) -> Vec<String> {
    let Some(items) = fields.list(name, LIST_MAX) else { return Vec::new() };
    let path = fields.path_of(name);
    items.iter().filter_map(|node| text(node, &path, fields.problems)).collect()
}

fn set(fields: &mut Fields, name: &'static str) -> Option<BTreeSet<Box<str>>> {
    fields.has(name).then(|| names(fields, name).into_iter().map(Into::into).collect())
}

fn boxed(names: Vec<String>) -> Vec<Box<str>> {
    names.into_iter().map(Into::into).collect()
}

/// A node as JSON: what is written without quotes and looks like one is a number or a boolean.
fn json(node: &Node) -> serde_json::Value {
    use serde_json::Value as Json;
    match &node.value {
        Value::Null => Json::Null,
        Value::Scalar { text, plain: true } => match text.as_str() {
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            other => match other.parse::<i64>() {
                Ok(number) => number.into(),
                Err(_) => text.as_str().into(),
            },
        },
        Value::Scalar { text, .. } => text.as_str().into(),
        Value::List(items) => Json::Array(items.iter().map(json).collect()),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|(key, value)| (key.text.clone(), json(value))).collect())
        }
    }
}
