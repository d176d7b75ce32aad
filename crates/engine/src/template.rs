//! The chat template that a model file carries.
//!
//! It is a program from outside (TRAPS X6): it runs in minijinja, which has no
//! way to files, network or code, with fuel that also pays for every byte it
//! makes, so a loop or a doubling text ends in milliseconds. No caller's value
//! reaches it but messages, tools and two settings, by fixed names.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, ErrorKind};
use serde_json::Value as Json;
use units::Micros;

use crate::Error;
use crate::parse::Family;

/// Instructions, and bytes at the library's rate, for one rendering. A long chat
/// of a large template takes about 200,000.
const FUEL: u64 = 4_000_000;
/// Fuel for each byte of the messages: templates copy a text a few times.
const FUEL_PER_BYTE: u64 = 8;
/// Longest rendered prompt: 64 MiB is 16 M tokens.
const RENDERED_MAX: usize = 64 << 20;

/// What models without a template of their own are given: ChatML, the most common form.
const FALLBACK: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}\
<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// A compiled template.
pub(crate) struct Template {
    env: Environment<'static>,
    source: String,
    bos: String,
    eos: String,
}

/// What a rendering is given.
pub(crate) struct Input<'a> {
    pub messages: &'a [Json],
    pub tools: Option<&'a [Json]>,
    pub thinking: Option<bool>,
    pub effort: Option<&'a str>,
    pub now: Micros,
    /// Bytes of the messages and tools, which the fuel is sized by.
    pub bytes: usize,
}

impl Template {
    /// Compiles a template; `None` is the fallback.
    pub(crate) fn new(source: Option<&str>, bos: String, eos: String) -> Result<Template, Error> {
        let source = source.unwrap_or(FALLBACK).to_owned();
        let mut env = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        env.set_syntax(syntax.map_err(broken)?);
        env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        env.add_filter("tojson", to_json);
        env.add_function("raise_exception", |why: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, why))
        });
        env.add_template_owned("chat", source.clone()).map_err(broken)?;
        Ok(Template { env, source, bos, eos })
    }

    /// Whether the template does something with this name: `tools`, `<think>`.
    pub(crate) fn mentions(&self, what: &str) -> bool {
        self.source.contains(what)
    }
    /// How the model writes calls.
    pub(crate) fn family(&self) -> Family {
        Family::of(&self.source)
    }
    /// The text that begins every prompt, where the model has one.
    pub(crate) fn bos(&self) -> &str {
        &self.bos
    }

    /// The prompt, up to where the assistant begins to speak.
    pub(crate) fn render(&self, input: &Input) -> Result<String, Error> {
        let mut env = self.env.clone();
        env.set_fuel(Some(FUEL + FUEL_PER_BYTE * input.bytes as u64));
        let now = input.now;
        env.add_function("strftime_now", move |format: String| strftime(now, &format));
        let mut values: BTreeMap<&str, Value> = BTreeMap::new();
        values.insert("messages", Value::from(Serde(input.messages)));
        if let Some(tools) = input.tools {
            values.insert("tools", Value::from(Serde(tools)));
        }
        values.insert("add_generation_prompt", Value::from(true));
        values.insert("bos_token", Value::from(self.bos.as_str()));
        values.insert("eos_token", Value::from(self.eos.as_str()));
        if let Some(thinking) = input.thinking {
            values.insert("enable_thinking", Value::from(thinking));
        }
        if let Some(effort) = input.effort {
            values.insert("reasoning_effort", Value::from(effort));
        }
        let text = env.get_template("chat").and_then(|t| t.render(Value::from(values))).map_err(broken)?;
        if text.len() > RENDERED_MAX {
            return Err(Error::Template(format!("it made {} bytes", text.len())));
        }
        Ok(text)
    }
}

fn broken(e: minijinja::Error) -> Error {
    let why = match e.kind() {
        ErrorKind::OutOfFuel => "it ran too long".to_owned(),
        _ => e.detail().map_or_else(|| e.to_string(), str::to_owned),
    };
    Error::Template(why.chars().take(500).collect())
}

/// `tojson` as transformers has it: Python's separators, nothing escaped for HTML.
fn to_json(value: Value, options: Kwargs) -> Result<String, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    for ignored in ["ensure_ascii", "sort_keys", "separators"] {
        let _: Option<Value> = options.get(ignored)?;
    }
    options.assert_all_used()?;
    let json = serde_json::to_value(&value)
        .map_err(|e| minijinja::Error::new(ErrorKind::BadSerialization, e.to_string()))?;
    let mut text = String::new();
    python_json(&json, indent.map(|i| i.min(16)), 0, &mut text);
    Ok(text)
}

fn python_json(json: &Json, indent: Option<usize>, depth: usize, out: &mut String) {
    let line = |out: &mut String, depth: usize| {
        if let Some(indent) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    };
    let comma = if indent.is_some() { "," } else { ", " };
    match json {
        Json::Array(items) if !items.is_empty() => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { comma } else { "" });
                line(out, depth + 1);
                python_json(item, indent, depth + 1, out);
            }
            line(out, depth);
            out.push(']');
        }
        Json::Object(fields) if !fields.is_empty() => {
            out.push('{');
            for (i, (key, value)) in fields.iter().enumerate() {
                out.push_str(if i > 0 { comma } else { "" });
                line(out, depth + 1);
                out.push_str(&Json::from(key.as_str()).to_string());
                out.push_str(": ");
                python_json(value, indent, depth + 1, out);
            }
            line(out, depth);
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// The formats that published templates use; others are left as they are.
fn strftime(now: Micros, format: &str) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let (year, month, day) = now.day().civil();
    let name = MONTHS[(month as usize - 1) % 12];
    let second_of_day = now.seconds().rem_euclid(86_400);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('Y') => out.push_str(&format!("{year:04}")),
            Some('m') => out.push_str(&format!("{month:02}")),
            Some('d') => out.push_str(&format!("{day:02}")),
            Some('B') => out.push_str(name),
            Some('b') => out.push_str(&name[..3]),
            Some('H') => out.push_str(&format!("{:02}", second_of_day / 3600)),
            Some('M') => out.push_str(&format!("{:02}", second_of_day / 60 % 60)),
            Some('S') => out.push_str(&format!("{:02}", second_of_day % 60)),
            Some('%') => out.push('%'),
            Some(other) => out.extend(['%', other]),
            None => out.push('%'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(source: Option<&str>, messages: &[Json], tools: Option<&[Json]>) -> Result<String, Error> {
        let template = Template::new(source, "<s>".into(), "</s>".into())?;
        let bytes = messages.iter().map(|m| m.to_string().len()).sum();
        let now = Micros(1_795_392_000_000_000);
        template.render(&Input { messages, tools, thinking: None, effort: None, now, bytes })
    }
    fn user(text: &str) -> Json {
        json!({"role": "user", "content": text})
    }

    #[test]
    fn a_model_without_a_template_speaks_chatml() {
        let text = render(None, &[json!({"role": "system", "content": "be"}), user("hi")], None);
        let expected =
            "<|im_start|>system\nbe<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n";
        assert_eq!(text.as_deref(), Ok(expected));
    }

    #[test]
    fn the_idioms_of_published_templates_work() {
        let source = "{{- bos_token }}{%- set ns = namespace(found=false) %}\
            {%- for m in messages[1:] %}{%- if loop.first and m.role == 'user' and m['content'] is string %}\
            {%- set ns.found = true %}[{{ m.content.strip().split(' ')[-1] | upper }}]{%- endif %}{%- endfor %}\
            {{- ns.found }}{{ '!' if messages | length > 1 else '?' }}\
            {%- if not tools is defined or tools is none %}none{% endif %}{{ strftime_now('%d %b %Y') }}";
        let text = render(Some(source), &[user("a"), user(" b c ")], None);
        assert_eq!(text.as_deref(), Ok("<s>[C]True!none23 Nov 2026"));
    }

    #[test]
    fn tools_are_written_as_python_writes_json() {
        let tools = [json!({"name": "f", "a": [1, "<é>"], "e": {}})];
        let text = render(Some("{% for t in tools %}{{ t | tojson }}{% endfor %}"), &[], Some(&tools));
        assert_eq!(text.as_deref(), Ok("{\"name\": \"f\", \"a\": [1, \"<é>\"], \"e\": {}}"));
        let text = render(Some("{{ tools[0].a | tojson(indent=2) }}"), &[], Some(&tools));
        assert_eq!(text.as_deref(), Ok("[\n  1,\n  \"<é>\"\n]"));
    }

    #[test]
    fn trap_x6_a_template_that_loops_runs_out_of_fuel() {
        for source in [
            "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
            "{% set ns = namespace(s='x') %}{% for a in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
            "{% for a in range(90000) %}{{ 'x' * 90000 }}{% endfor %}",
        ] {
            assert!(matches!(render(Some(source), &[], None), Err(Error::Template(_))), "{source}");
        }
    }

    #[test]
    fn a_template_may_refuse_and_its_reason_is_told() {
        let refused = render(Some("{{ raise_exception('roles must alternate') }}"), &[], None);
        assert_eq!(refused, Err(Error::Template("roles must alternate".into())));
        assert!(matches!(render(Some("{% broken"), &[], None), Err(Error::Template(_))));
    }
}
