//! `Model`: a name that clients ask for, and the places that can run it.

use chat::Axis;
use report::Report;
use units::{Labels, PicoRate, Usd};

use crate::document::model_name;
use crate::kinds::feature::{self, AnswerCache};
use crate::kinds::labels::{self, PlaceLabels};
use crate::kinds::local::{self, Local};
use crate::kinds::provider::{LOCAL, Timeouts, timeouts};
use crate::read::{Fields, Problems, text};
use crate::yaml::Node;

#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// In the order of fallback; at least one.
    pub targets: Vec<Target>,
    /// Other names for the same model.
    pub aliases: Vec<String>,
    /// Guards by name, beside those that are default.
    pub guards: Vec<String>,
    pub timeouts: Timeouts,
    pub retries: Option<u32>,
    /// What everything that is sent to it is at least.
    pub labels: Labels,
    /// The same question may be given the same answer again.
    pub cache: Option<AnswerCache>,
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
    /// What is declared here goes before what its provider declares.
    pub labels: PlaceLabels,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    Remote { provider: String, model: String },
    Local(Local),
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
pub(super) const PRICE_MAX: Usd = Usd::dollars(10_000);

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
    let guards = fields.list("guards", 16).unwrap_or(&[]);
    let guards = guards.iter().filter_map(|node| text(node, "spec.guards", problems)).collect();
    let timeouts = fields.open_map("timeouts").map(timeouts).unwrap_or_default();
    let retries = fields.number("retries", 0, 10).map(|n| n as u32);
    let labels = labels::of_data(fields);
    let cache = feature::cache(fields);
    let targets = targets.into_iter().collect::<Option<Vec<Target>>>()?;
    Some(Model { targets, aliases, guards, timeouts, retries, labels, cache })
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
    let is_local = fields.has("local");
    let provider = fields.text("provider");
    let model = fields.text("model");
    let place = fields.open_map("local").map(local::read);
    let place = match (remote, is_local) {
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
    let labels = labels::of_place(&mut fields);
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
    Some(Target { place, price, weight, max_output_tokens, context_tokens, labels })
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
