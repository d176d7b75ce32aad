//! `Model`: a name that clients ask for, and the places that can run it.

use chat::Axis;
use report::Report;
use units::{PicoRate, Usd};

use crate::document::model_name;
use crate::kinds::provider::{LOCAL, Timeouts, timeouts};
use crate::read::{Fields, Problems, text};
use crate::yaml::Node;

#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// In the order of fallback; at least one.
    pub targets: Vec<Target>,
    /// Other names for the same model.
    pub aliases: Vec<String>,
    pub timeouts: Timeouts,
    pub retries: Option<u32>,
}

/// One place that can run it.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub place: Place,
    /// `None`: the price of the catalogue, or of the machine; else unpriced.
    pub price: Option<Price>,
    /// Share among the targets that carry a weight, from 1 to 1,000; `None` is fallback only.
    pub weight: Option<u32>,
    pub max_output_tokens: Option<u64>,
    pub context_tokens: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    Remote { provider: String, model: String },
    Local(Local),
}

/// The embedded engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Local {
    pub source: LocalSource,
    /// KV cache to reserve; `None`: the model's own, capped by the engine.
    pub context_tokens: Option<u64>,
    pub machine: Option<Machine>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalSource {
    /// A model in the binary: `guide`.
    Builtin(String),
    /// A GGUF file: relative to `<data>/models`, or absolute.
    File(String),
}

/// What the local machine costs, for the ledger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// USD per hour of the machine.
    pub hour: Usd,
    /// Power drawn under load.
    pub watts: u32,
    /// USD per kilowatt-hour.
    pub kwh: Usd,
}

/// Declared prices.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// Per token, in the order of [`Axis::ALL`].
    pub rates: Vec<(Axis, PicoRate)>,
    /// Per request, beside the tokens.
    pub per_request: Option<Usd>,
}

/// The names of the axes in a manifest.
const AXES: [(&str, Axis); 8] = [
    ("input", Axis::Input),
    ("cacheRead", Axis::CacheRead),
    ("cacheWrite", Axis::CacheWrite),
    ("cacheWrite1h", Axis::CacheWrite1h),
    ("inputAudio", Axis::InputAudio),
    ("output", Axis::Output),
    ("reasoning", Axis::Reasoning),
    ("outputAudio", Axis::OutputAudio),
];

/// Above this a price per million tokens is a typing slip, not a price: the
/// dearest in the catalogue of 2026-08-01 is 600 USD (TRAPS M7).
const PRICE_MAX: Usd = Usd::dollars(10_000);

pub(crate) fn read(fields: &mut Fields) -> Option<Model> {
    let problems = fields.problems;
    let nodes = fields.list("targets", 32);
    if nodes.is_none_or(|n| n.is_empty()) && (!fields.has("targets") || nodes.is_some()) {
        problems.missing(
            "spec.targets",
            fields.at,
            "name at least one: `targets: [{ provider: groq, model: llama-3.3-70b-versatile }]`",
        );
    }
    let targets: Vec<Option<Target>> = nodes
        .unwrap_or(&[])
        .iter()
        .enumerate()
        .map(|(index, node)| target(node, &format!("spec.targets[{index}]"), problems))
        .collect();
    let aliases = fields.list("aliases", 32).unwrap_or(&[]);
    let aliases = aliases.iter().filter_map(|node| alias(node, problems)).collect();
    let timeouts = fields.open_map("timeouts").map(timeouts).unwrap_or_default();
    let retries = fields.number("retries", 0, 10).map(|n| n as u32);
    let targets = targets.into_iter().collect::<Option<Vec<Target>>>()?;
    Some(Model { targets, aliases, timeouts, retries })
}

fn alias(node: &Node, problems: &Problems) -> Option<String> {
    let name = text(node, "spec.aliases", problems)?;
    if model_name(&name) {
        return Some(name);
    }
    problems.push(
        Report::new("MF0011", format!("\"{}\" is not a valid name", crate::yaml::clip(&name)))
            .at(problems.place(node.at))
            .because("a name has 1 to 200 letters, digits and `.` `_` `-` `/` `:` `@`"),
    );
    None
}

fn target(node: &Node, path: &str, problems: &Problems) -> Option<Target> {
    let mut fields = Fields::open(node, path, problems)?;
    let remote = fields.has("provider") || fields.has("model");
    let local = fields.has("local");
    let provider = fields.text("provider");
    let model = fields.text("model");
    let place = fields.open_map("local").map(self::local);
    let place = match (remote, local) {
        (true, true) => {
            problems.push(
                Report::new("MF0013", format!("`{path}` has both `provider` and `local`"))
                    .at(problems.place(node.at))
                    .hint("write two targets; the first that can run is tried first"),
            );
            None
        }
        (false, true) => place.flatten().map(Place::Local),
        (false, false) => {
            problems.missing(&format!("{path}.provider"), node.at, "give `provider` and `model`, or `local`");
            None
        }
        (true, false) => {
            for (name, value) in [("provider", &provider), ("model", &model)] {
                if value.is_none() && !fields.has(name) {
                    problems.missing(
                        &format!("{path}.{name}"),
                        node.at,
                        "a target needs both `provider` and `model`",
                    );
                }
            }
            provider.zip(model).map(|(provider, model)| Place::Remote { provider, model })
        }
    };
    let price = fields.open_map("price").map(price);
    let weight = fields.number("weight", 1, 1000).map(|n| n as u32);
    let max_output_tokens = fields.number("maxOutputTokens", 1, 1 << 24);
    let context_tokens = fields.number("contextTokens", 1, 1 << 28);
    fields.finish();
    let place = place?;
    if let Place::Remote { provider, .. } = &place
        && provider == LOCAL
    {
        problems.push(
            Report::new("MF0009", format!("`{path}.provider` is \"{LOCAL}\""))
                .at(problems.place(node.at))
                .hint("the embedded engine is written `local: { builtin: guide }` or `local: { file: name.gguf }`"),
        );
        return None;
    }
    Some(Target { place, price, weight, max_output_tokens, context_tokens })
}

fn local(mut fields: Fields) -> Option<Local> {
    let problems = fields.problems;
    let (builtin, file) = (fields.choice("builtin", &[("guide", "guide")]), fields.text("file"));
    let source = match (fields.has("builtin"), fields.has("file")) {
        (true, false) => builtin.map(|name| LocalSource::Builtin(name.to_owned())),
        (false, true) => file.filter(|f| file_name(f, &fields)).map(LocalSource::File),
        _ => {
            problems.push(
                Report::new("MF0013", format!("`{}` must name one model", fields.path))
                    .at(problems.place(fields.at))
                    .hint("write `builtin: guide` or `file: name.gguf`"),
            );
            None
        }
    };
    let context_tokens = fields.number("contextTokens", 16, 1 << 24);
    let machine = if fields.has("machine") { fields.open_map("machine").and_then(machine) } else { None };
    let machine_is_broken = fields.has("machine") && machine.is_none();
    let _ = fields.take("machine");
    fields.finish();
    let source = source?;
    (!machine_is_broken).then_some(Local { source, context_tokens, machine })
}

fn file_name(file: &str, fields: &Fields) -> bool {
    let sane = file.ends_with(".gguf") && !file.split('/').any(|part| part == "..") && file.len() <= 1024;
    if !sane {
        fields.problems.push(
            Report::new("MF0009", format!("`{}.file` is \"{}\"", fields.path, crate::yaml::clip(file)))
                .at(fields.problems.place(fields.at))
                .because("it must be the path of a `.gguf` file, below the data directory's `models` or absolute, without `..`")
                .hint("`bedplate model list` shows the files there are"),
        );
    }
    sane
}

fn machine(mut fields: Fields) -> Option<Machine> {
    let amount = "an exact amount in USD, such as \"0.10\"";
    let (at, path) = (fields.at, fields.path.clone());
    let hour = fields.parsed::<Usd>("hour", amount);
    let watts = fields.number("watts", 0, 1_000_000).map(|n| n as u32);
    let kwh = fields.parsed::<Usd>("kwh", amount);
    for (name, value) in [("hour", hour), ("kwh", kwh)] {
        match value {
            Some(v) if v.is_negative() || v > PRICE_MAX => fields.problems.push(
                Report::new("MF0009", format!("`{path}.{name}` is {v}"))
                    .at(fields.problems.place(at))
                    .because(format!("it must lie between 0 and {PRICE_MAX} USD")),
            ),
            None if !fields.has(name) => {
                fields.problems.missing(
                    &format!("{path}.{name}"),
                    at,
                    "machine: { hour: \"0.10\", watts: 65, kwh: \"0.12\" }",
                );
            }
            _ => {}
        }
    }
    if !fields.has("watts") {
        fields.problems.missing(
            &format!("{path}.watts"),
            at,
            "machine: { hour: \"0.10\", watts: 65, kwh: \"0.12\" }",
        );
    }
    fields.finish();
    Some(Machine { hour: hour?, watts: watts?, kwh: kwh? })
}

fn price(mut fields: Fields) -> Price {
    let mut rates = Vec::new();
    for (name, axis) in AXES {
        if let Some(rate) = rate(&mut fields, name) {
            rates.push((axis, rate));
        }
    }
    let expected = "an exact amount in USD per request";
    let per_request = fields.parsed::<Usd>("request", expected).filter(|p| in_bounds(*p, "request", &fields));
    fields.finish();
    Price { rates, per_request }
}

/// USD per million tokens, as a rate per token.
fn rate(fields: &mut Fields, name: &'static str) -> Option<PicoRate> {
    let expected = "an exact amount in USD per million tokens, such as \"0.15\"";
    let price = fields.parsed::<Usd>(name, expected)?;
    if !in_bounds(price, name, fields) {
        return None;
    }
    if price.pico() % 1_000_000 != 0 {
        fields.problems.push(
            Report::new("MF0009", format!("`{}` is {price}", fields.path_of(name)))
                .at(fields.problems.place(fields.at))
                .because("a token's price would have a fraction of a pico-dollar (1e-12 USD)")
                .hint("give at most six digits after the point"),
        );
        return None;
    }
    Some(PicoRate::from_pico(price.pico() / 1_000_000))
}

fn in_bounds(price: Usd, name: &str, fields: &Fields) -> bool {
    let inside = !price.is_negative() && price <= PRICE_MAX;
    if !inside {
        fields.problems.push(
            Report::new("MF0009", format!("`{}` is {price}", fields.path_of(name)))
                .at(fields.problems.place(fields.at))
                .because(format!("a price lies between 0 and {PRICE_MAX} USD per million tokens")),
        );
    }
    inside
}
