//! `structured_outputs`: what an answer is held to, in vLLM's words (0.12 and later), for
//! chat and legacy completions.

use chat::Format;

use crate::fields::{list, object, text_of};
use crate::json::Writer;
use crate::{Decoded, Error};

/// Most texts of one `choice`.
const CHOICES_MAX: usize = 4_096;

/// Reads the object: exactly one of `choice`, `regex`, `json`, `grammar`.
///
/// # Errors
/// DI0004 for another field or value; DI0005 for none.
pub(crate) fn read(value: &str) -> Result<Format, Error> {
    const AT: &str = "structured_outputs";
    let mut found = None;
    for (key, v) in object(AT, value)? {
        let at = format!("{AT}.{key}");
        let format = match &*key {
            _ if v == "null" => continue,
            "regex" => Format::Regex(text_of(&at, v)?),
            "grammar" => Format::Grammar(text_of(&at, v)?),
            "choice" => one_of(&at, v)?,
            "json" => {
                // A schema, or the text of one.
                let schema = if v.starts_with('"') { text_of(&at, v)? } else { v.to_owned() };
                object(&at, &schema)?;
                Format::JsonSchema { name: "answer".into(), schema, strict: Some(true) }
            }
            _ => return Err(Error::field(at, v, "one of choice, regex, json and grammar")),
        };
        if found.replace(format).is_some() {
            return Err(Error::field(AT, value, "only one of choice, regex, json and grammar"));
        }
    }
    found.ok_or_else(|| Error::missing("structured_outputs.regex"))
}

/// The choices as a regular expression.
fn one_of(at: &str, value: &str) -> Result<Format, Error> {
    let choices = list(at, value)?;
    if choices.is_empty() || choices.len() > CHOICES_MAX {
        return Err(Error::field(at, value, format!("1 to {CHOICES_MAX} texts")));
    }
    let mut regex = String::from("(");
    for (i, choice) in choices.into_iter().enumerate() {
        if i > 0 {
            regex.push('|');
        }
        for c in text_of(&format!("{at}[{i}]"), choice)?.chars() {
            if "\\.+*?()|[]{}^$/&~@#<>-\"".contains(c) {
                regex.push('\\');
            }
            regex.push(c);
        }
    }
    regex.push(')');
    Ok(Format::Regex(regex))
}

/// Writes what chat's `response_format` has no form for.
pub(crate) fn write(w: &mut Writer<'_>, format: &Format) {
    match format {
        Format::Text => {}
        Format::JsonObject => {
            w.field_object("structured_outputs", |w| w.field_raw("json", "{\"type\":\"object\"}"));
        }
        Format::JsonSchema { schema, .. } => {
            w.field_object("structured_outputs", |w| w.field_raw("json", schema));
        }
        Format::Regex(regex) => w.field_object("structured_outputs", |w| w.field_str("regex", regex)),
        Format::Grammar(lark) => w.field_object("structured_outputs", |w| w.field_str("grammar", lark)),
    }
}

/// Fields of other servers that hold an answer to a form, and that only those servers
/// read: vLLM before 0.12, SGLang, llama-server.
const ELSEWHERE: [&str; 9] = [
    "ebnf",
    "grammar",
    "guided_choice",
    "guided_grammar",
    "guided_json",
    "guided_regex",
    "json_schema",
    "regex",
    "structural_tag",
];

impl Decoded {
    /// A field that holds the answer to a form and has no meaning here: to drop it
    /// would give an answer that looks held and is not.
    pub fn form_unread(&self) -> Option<&str> {
        self.rest.iter().map(|(name, _)| name.as_str()).find(|name| ELSEWHERE.contains(name))
    }
}
