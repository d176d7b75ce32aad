//! What an answer is held to: a response format, calls that must be made, calls
//! whose arguments must fit.
//!
//! A tool that is not strict promises less: where its schema cannot be
//! enforced, its arguments are any object. Everything else that cannot be
//! enforced is refused, because an answer that ignored it would look the same.

use std::sync::Arc;

use chat::{Format, Request, Tool, ToolChoice};
use constrain::{Grammar, Item, Vocabulary};
use scheduler::Constraint;
use serde_json::{Value, json};

use crate::Error;
use crate::parse::{Call, Family, Known, Think};

/// Most calls of one held turn: a model that repeats itself ends somewhere.
const CALLS_MAX: usize = 16;
const ANY_OBJECT: &str = "{\"type\":\"object\"}";

/// What can be refused without a model.
pub(crate) fn check(request: &Request) -> Result<(), Error> {
    match &request.tool_choice {
        ToolChoice::Named(name) if !request.tools.iter().any(|t| t.name == *name) => {
            Err(Error::Unsupported(format!("tool_choice names \"{name}\", and no tool has that name")))
        }
        ToolChoice::Required if request.tools.is_empty() => {
            Err(Error::Unsupported("tool_choice requires a call, and there is no tool".into()))
        }
        _ => Ok(()),
    }
}

/// Whether the answer is held to anything.
pub(crate) fn asks(request: &Request) -> bool {
    request.format != Format::Text || must_call(request) || may_call_strictly(request)
}

fn must_call(request: &Request) -> bool {
    matches!(request.tool_choice, ToolChoice::Required | ToolChoice::Named(_))
}
fn may_call_strictly(request: &Request) -> bool {
    request.tool_choice == ToolChoice::Auto && request.tools.iter().any(|t| t.strict == Some(true))
}

/// The tools, for those who read the answer.
pub(crate) fn known(request: &Request) -> Arc<[Known]> {
    let texts = |tool: &Tool| -> Vec<String> {
        let schema: Value =
            tool.parameters.as_deref().and_then(|p| serde_json::from_str(p).ok()).unwrap_or_default();
        let properties = schema.get("properties").and_then(Value::as_object);
        let is_text = |schema: &Value| schema.get("type").is_some_and(|t| t == "string");
        properties.into_iter().flatten().filter(|(_, s)| is_text(s)).map(|(name, _)| name.clone()).collect()
    };
    request.tools.iter().map(|t| Known { name: t.name.clone(), texts: texts(t) }).collect()
}

/// Compiles what the request asks for.
pub(crate) fn constraint(
    request: &Request,
    family: Family,
    think: Think,
    vocabulary: &Vocabulary,
) -> Result<Box<dyn Constraint>, Error> {
    let grammar = grammar(request, family, think, false)?;
    match vocabulary.compile(&grammar) {
        Ok(constraint) => Ok(constraint),
        // A tool that is not strict need not be why nothing works.
        Err(e) if request.tools.iter().any(|t| t.strict != Some(true)) && calls(request) => {
            let looser = self::grammar(request, family, think, true)?;
            if looser == grammar {
                return Err(refused(e));
            }
            vocabulary.compile(&looser).map_err(refused)
        }
        Err(e) => Err(refused(e)),
    }
}

fn calls(request: &Request) -> bool {
    !request.tools.is_empty() && request.tool_choice != ToolChoice::None
}

fn refused(e: constrain::Error) -> Error {
    match e {
        constrain::Error::Contradiction(_) => Error::Contradiction(e.to_string()),
        _ => Error::Schema(e.to_string()),
    }
}

/// `loose`: tools that are not strict take any object.
fn grammar(request: &Request, family: Family, think: Think, loose: bool) -> Result<Grammar, Error> {
    let body = match &request.format {
        Format::Text => None,
        Format::JsonObject => Some(Item::Json(ANY_OBJECT.to_owned())),
        Format::JsonSchema { schema, .. } => Some(Item::Json(schema.clone())),
        Format::Regex(expression) => Some(Item::Regex(expression.clone())),
        Format::Grammar(lark) => {
            let framed = family == Family::Harmony || think != Think::Never;
            return if framed || calls(request) {
                Err(Error::Unsupported(
                    "a grammar cannot be held beside tools or thinking: say it as a regex".into(),
                ))
            } else {
                Ok(Grammar::Lark(lark.clone()))
            };
        }
    };
    if !calls(request) {
        let body = body.unwrap_or_else(|| Item::Json(ANY_OBJECT.to_owned()));
        return Ok(match (family, think, body) {
            (Family::Harmony, _, body) | (_, Think::Opened | Think::Maybe, body) => {
                Grammar::Turn(family.answer(think, vec![body]))
            }
            (.., Item::Json(schema)) => Grammar::JsonSchema(schema),
            (.., body) => Grammar::Turn(vec![body]),
        });
    }
    let named = match &request.tool_choice {
        ToolChoice::Named(name) => Some(name),
        _ => None,
    };
    let tools: Vec<Call> = request
        .tools
        .iter()
        .filter(|t| named.is_none_or(|n| *n == t.name))
        .map(|t| call(t, loose))
        .collect::<Result<_, _>>()?;
    let most = if named.is_some() || request.parallel_tool_calls == Some(false) { 1 } else { CALLS_MAX };
    let must = must_call(request) || body.is_some();
    let no_form =
        || Error::Unsupported("this model's chat template has no form of calls that can be enforced".into());
    let turn = family.turn(think, &tools, most, must).ok_or_else(no_form)?;
    Ok(Grammar::Turn(match body {
        // Free text is not an option beside a format: a call, or an answer in it.
        Some(body) if !must_call(request) => {
            vec![Item::OneOf(vec![turn, family.answer(think, vec![body])])]
        }
        _ => turn,
    }))
}

/// A tool with a schema whose values are objects.
fn call(tool: &Tool, loose: bool) -> Result<Call, Error> {
    let name = tool.name.clone();
    let Some(text) = &tool.parameters else {
        let schema = json!({"type": "object", "properties": {}, "additionalProperties": false}).to_string();
        return Ok(Call { name, schema });
    };
    if loose && tool.strict != Some(true) {
        return Ok(Call { name, schema: ANY_OBJECT.into() });
    }
    let mut schema: Value = serde_json::from_str(text)
        .map_err(|e| Error::Schema(format!("the parameters of tool \"{name}\" are not JSON: {e}")))?;
    match schema.as_object_mut() {
        Some(fields) => match fields.get("type") {
            None => {
                fields.insert("type".into(), "object".into());
            }
            Some(kind) if kind == "object" => {}
            Some(_) if tool.strict != Some(true) => return Ok(Call { name, schema: ANY_OBJECT.into() }),
            Some(kind) => {
                let why = format!("the parameters of tool \"{name}\" are of type {kind}, not an object");
                return Err(Error::Schema(why));
            }
        },
        None => schema = serde_json::from_str(ANY_OBJECT).expect("it is JSON"),
    }
    Ok(Call { name, schema: schema.to_string() })
}

#[cfg(test)]
mod engine;
#[cfg(test)]
mod tests;
