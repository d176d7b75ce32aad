//! What servers say of their tools, and what tools answer.

use serde_json::{Map, Value};
use toolgate::Definition;

use crate::{DESCRIPTION_MAX, SCHEMA_MAX, TOOLS_MAX};

/// One page of `tools/list`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Page {
    pub tools: Vec<(Definition, Value)>,
    pub next: Option<String>,
    /// Tools that were left out, and why.
    pub refused: Vec<String>,
}

/// What a tool answered.
#[derive(Clone, Debug, PartialEq)]
pub struct CallResult {
    /// The result as it may be handed on: texts without characters that show nothing.
    pub value: Value,
    /// The text that a model will read: the structured content if there is one.
    pub text: String,
    pub is_error: bool,
    /// Characters that were taken out.
    pub disarmed: usize,
}

/// Reads a `tools/list` result. A tool that breaks a limit is left out and told;
/// a result of another shape is an error.
///
/// # Errors
/// What is wrong with the page as a whole.
pub fn read_page(result: &Value) -> Result<Page, &'static str> {
    let tools = result.get("tools").and_then(Value::as_array).ok_or("the list of tools is not a list")?;
    let mut page = Page::default();
    for tool in tools.iter().take(TOOLS_MAX) {
        match definition(tool) {
            Ok(definition) => page.tools.push((definition, tool.clone())),
            Err(why) => {
                let name: String = tool["name"].as_str().unwrap_or("?").chars().take(64).collect();
                page.refused.push(format!("{}: {why}", name.escape_debug()));
            }
        }
    }
    if tools.len() > TOOLS_MAX {
        page.refused.push(format!("{} more tools than {TOOLS_MAX}", tools.len() - TOOLS_MAX));
    }
    let next = result.get("nextCursor").and_then(Value::as_str);
    page.next = next.filter(|c| !c.is_empty() && c.len() <= 1024).map(str::to_owned);
    Ok(page)
}

/// What of a tool is pinned: everything a model is shown.
///
/// # Errors
/// Why it is not offered.
pub fn definition(tool: &Value) -> Result<Definition, &'static str> {
    let map = tool.as_object().ok_or("it is not an object")?;
    let name = map.get("name").and_then(Value::as_str).ok_or("it has no name")?;
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    if !(1..=64).contains(&name.len()) || !plain {
        return Err("its name is not 1 to 64 letters, digits, `_`, `-` and `.`");
    }
    let description = match map.get("description") {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text,
        Some(_) => return Err("its description is not a text"),
    };
    if description.len() > DESCRIPTION_MAX {
        return Err("its description is too long");
    }
    let schema = map.get("inputSchema").cloned().unwrap_or_else(|| serde_json::json!({"type": "object"}));
    if !schema.is_object() {
        return Err("its schema is not an object");
    }
    // `_meta` is between programs and may change with each answer.
    let known = ["name", "description", "inputSchema", "_meta"];
    let rest: Map<String, Value> = map
        .iter()
        .filter(|(k, _)| !known.contains(&k.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let rest = Value::Object(rest);
    if schema.to_string().len() + rest.to_string().len() > SCHEMA_MAX {
        return Err("its schema is too large");
    }
    // A description is a prompt; one that hides text is an attack.
    if [description, &schema.to_string(), &rest.to_string()].iter().any(|text| disarm(text).1 > 0) {
        return Err("it has characters that cannot be seen");
    }
    Ok(Definition { name: name.into(), description: description.into(), schema, rest })
}

/// Reads a `tools/call` result.
///
/// # Errors
/// What is wrong with its shape.
pub fn read_call(result: Value) -> Result<CallResult, &'static str> {
    let Value::Object(mut map) = result else { return Err("the result is not an object") };
    let is_error = map.get("isError").and_then(Value::as_bool).unwrap_or(false);
    if !matches!(map.get("content"), None | Some(Value::Array(_))) {
        return Err("the content of the result is not a list");
    }
    map.entry("content").or_insert_with(|| Value::Array(Vec::new()));
    let mut disarmed = 0;
    let mut value = Value::Object(map);
    clean(&mut value, &mut disarmed);
    let text = match value.get("structuredContent").filter(|v| !v.is_null()) {
        Some(structured) => structured.to_string(),
        None => {
            let parts = value["content"].as_array().into_iter().flatten();
            let texts: Vec<&str> = parts
                .filter_map(|part| part.get("text").or_else(|| part.get("resource")?.get("text"))?.as_str())
                .collect();
            texts.join("\n")
        }
    };
    Ok(CallResult { value, text, is_error, disarmed })
}

fn clean(value: &mut Value, removed: &mut usize) {
    match value {
        Value::String(text) => {
            let (clean, count) = disarm(text);
            if count > 0 {
                *removed += count;
                *text = clean;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| clean(item, removed)),
        Value::Object(map) => map.values_mut().for_each(|item| clean(item, removed)),
        _ => {}
    }
}

/// The text without characters that a person cannot see and a model can: tags,
/// zero-width marks, and those that turn the direction of what is shown.
/// Joiners and variation selectors stay: emoji and several scripts need them.
pub fn disarm(text: &str) -> (String, usize) {
    let hidden = |c: char| {
        matches!(c, '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    let count = text.chars().filter(|c| hidden(*c)).count();
    if count == 0 {
        return (text.to_owned(), 0);
    }
    (text.chars().filter(|c| !hidden(*c)).collect(), count)
}
