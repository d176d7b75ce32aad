//! `local`: a target of a `Model` that the embedded engine runs.

use report::Report;
use units::Usd;

use crate::document::model_name;
use crate::kinds::model::PRICE_MAX;
use crate::read::{Fields, Problems, text};
use crate::yaml::Node;

/// The embedded engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Local {
    pub source: LocalSource,
    /// KV cache to reserve; `None`: the model's own, capped by the engine.
    pub context_tokens: Option<u64>,
    pub machine: Option<Machine>,
    pub keep_alive: KeepAlive,
    /// Loaded at start, if there is free memory; else by the first request.
    pub preload: bool,
    /// Asked for as `model:adapter`.
    pub adapters: Vec<Adapter>,
}

/// How long an idle model stays in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum KeepAlive {
    /// Until another model needs its memory. The default: memory is bounded by
    /// the engine's budget anyway, and an idle model costs nothing else.
    #[default]
    Forever,
    Seconds(u64),
}

/// A LoRA adapter of a local model.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    pub name: String,
    /// A GGUF file, as [`LocalSource::File`].
    pub file: String,
    /// How strongly it counts; 1 as it was trained.
    pub scale: f32,
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

pub(super) fn read(mut fields: Fields) -> Option<Local> {
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
    let keep_alive = keep_alive(&mut fields);
    let preload = fields.boolean("preload").unwrap_or(false);
    let adapters = adapters(&mut fields);
    let machine_is_broken = fields.has("machine") && machine.is_none();
    let _ = fields.take("machine");
    fields.finish();
    let source = source?;
    (!machine_is_broken).then_some(Local { source, context_tokens, machine, keep_alive, preload, adapters })
}

fn keep_alive(fields: &mut Fields) -> KeepAlive {
    let path = fields.path_of("keepAlive");
    let Some(node) = fields.take("keepAlive") else { return KeepAlive::default() };
    match text(node, &path, fields.problems) {
        Some(word) if word == "forever" => KeepAlive::Forever,
        Some(word) => match seconds(&word) {
            Some(seconds) => KeepAlive::Seconds(seconds),
            None => {
                let expected = "`forever`, or a whole number and a unit: 0s, 30s, 5m, 2h, 1d";
                fields.problems.wrong(&path, node, expected);
                KeepAlive::default()
            }
        },
        None => KeepAlive::default(),
    }
}

/// At most a year.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let digits = Some(digits).filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse::<u64>().ok()?.checked_mul(unit).filter(|s| *s <= 366 * 86_400)
}

fn adapters(fields: &mut Fields) -> Vec<Adapter> {
    let path = fields.path_of("adapters");
    let problems = fields.problems;
    let nodes = fields.list("adapters", 64).unwrap_or(&[]);
    let mut adapters: Vec<Adapter> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let Some(adapter) = adapter(node, &format!("{path}[{index}]"), problems) else { continue };
        if adapters.iter().any(|other| other.name == adapter.name) {
            problems.push(
                Report::new("MF0012", format!("the adapter \"{}\" is declared twice", adapter.name))
                    .at(problems.place(node.at)),
            );
            continue;
        }
        adapters.push(adapter);
    }
    adapters
}

fn adapter(node: &Node, path: &str, problems: &Problems) -> Option<Adapter> {
    let mut fields = Fields::open(node, path, problems)?;
    let name = fields.text("name");
    let file = fields.text("file").filter(|f| file_name(f, &fields));
    let scale = fields.parsed::<f32>("scale", "a number such as 1.0");
    for (key, there) in [("name", fields.has("name")), ("file", fields.has("file"))] {
        if !there {
            problems.missing(&format!("{path}.{key}"), node.at, "{ name: legal, file: legal-lora.gguf }");
        }
    }
    let sane = |s: f32| s.is_finite() && s != 0.0 && s.abs() <= 16.0;
    if let Some(scale) = scale.filter(|s| !sane(*s)) {
        problems.push(
            Report::new("MF0009", format!("`{path}.scale` is {scale}"))
                .at(problems.place(node.at))
                .because("it must be a number other than 0, at most 16"),
        );
    }
    fields.finish();
    let name = name?;
    if !model_name(&name) || name.contains(':') {
        problems.push(
            Report::new("MF0011", format!("\"{}\" is not a valid name", crate::yaml::clip(&name)))
                .at(problems.place(node.at))
                .because("an adapter's name has 1 to 200 letters, digits and `.` `_` `-` `/` `@`"),
        );
        return None;
    }
    Some(Adapter { name, file: file?, scale: scale.unwrap_or(1.0) })
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
