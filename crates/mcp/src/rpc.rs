//! JSON-RPC 2.0, one message at a time: MCP took batches out again.

use serde_json::{Map, Value, json};

use crate::{INVALID_REQUEST, MESSAGE_MAX, PARSE_ERROR};

/// What ties an answer to its request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Id {
    Number(i64),
    Text(String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    Request { id: Id, method: String, params: Map<String, Value> },
    Notification { method: String, params: Map<String, Value> },
    Response { id: Id, result: Result<Value, RpcError> },
}

/// A JSON-RPC error: its code, a sentence, and what else was said.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcError {
    pub code: i64,
    pub message: String,
    pub data: Value,
}

/// Bytes of an id as text, and of a method's name.
const NAME_MAX: usize = 256;

impl RpcError {
    pub fn new(code: i64, message: impl Into<String>) -> RpcError {
        RpcError { code, message: message.into(), data: Value::Null }
    }
}

/// Reads one message.
///
/// # Errors
/// `-32700` for what is not JSON, `-32600` for JSON that is no message; with the
/// id where one could be read, so that the sender can be told.
pub fn decode(bytes: &[u8]) -> Result<Message, (Option<Id>, RpcError)> {
    let refuse = |id: Option<Id>, why: &str| (id, RpcError::new(INVALID_REQUEST, why));
    if bytes.len() > MESSAGE_MAX {
        return Err(refuse(None, "the message is too large"));
    }
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|_| (None, RpcError::new(PARSE_ERROR, "the message is not JSON")))?;
    let Value::Object(mut map) = value else {
        return Err(refuse(None, "the message is not one object; batches are not taken"));
    };
    let raw = map.remove("id");
    let id = raw.as_ref().and_then(id);
    if map.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(refuse(id, "`jsonrpc` is not \"2.0\""));
    }
    if raw.is_some() && id.is_none() {
        return Err(refuse(None, "`id` is neither a whole number nor a short text"));
    }
    let params = match map.remove("params") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(params)) => params,
        Some(_) => return Err(refuse(id, "`params` is not an object")),
    };
    match (map.remove("method"), id) {
        (Some(Value::String(method)), id) if (1..=NAME_MAX).contains(&method.len()) => Ok(match id {
            Some(id) => Message::Request { id, method, params },
            None => Message::Notification { method, params },
        }),
        (None, Some(id)) => match (map.remove("result"), map.remove("error")) {
            (Some(result), None) => Ok(Message::Response { id, result: Ok(result) }),
            (None, Some(error)) => match error_of(&error) {
                Some(error) => Ok(Message::Response { id, result: Err(error) }),
                None => Err(refuse(Some(id), "`error` is not an error")),
            },
            _ => Err(refuse(Some(id), "an answer has either `result` or `error`")),
        },
        (_, id) => Err(refuse(id, "`method` is missing or not a short text")),
    }
}

fn id(value: &Value) -> Option<Id> {
    match value {
        Value::Number(number) => number.as_i64().map(Id::Number),
        Value::String(text) if text.len() <= NAME_MAX => Some(Id::Text(text.clone())),
        _ => None,
    }
}

fn error_of(value: &Value) -> Option<RpcError> {
    let code = value.get("code")?.as_i64()?;
    let message: String = value.get("message")?.as_str()?.chars().take(1000).collect();
    Some(RpcError { code, message, data: value.get("data").cloned().unwrap_or(Value::Null) })
}

impl From<&Id> for Value {
    fn from(id: &Id) -> Value {
        match id {
            Id::Number(number) => (*number).into(),
            Id::Text(text) => text.as_str().into(),
        }
    }
}

pub fn request(id: &Id, method: &str, params: Value) -> Vec<u8> {
    json!({"jsonrpc": "2.0", "id": Value::from(id), "method": method, "params": params})
        .to_string()
        .into_bytes()
}

pub fn notification(method: &str) -> Vec<u8> {
    json!({"jsonrpc": "2.0", "method": method}).to_string().into_bytes()
}

pub fn success(id: &Id, result: Value) -> Vec<u8> {
    json!({"jsonrpc": "2.0", "id": Value::from(id), "result": result}).to_string().into_bytes()
}

/// An answer that says what went wrong; without an id when the request's could not be read.
pub fn failure(id: Option<&Id>, error: &RpcError) -> Vec<u8> {
    let mut body = json!({"code": error.code, "message": error.message});
    if !error.data.is_null() {
        body["data"] = error.data.clone();
    }
    json!({"jsonrpc": "2.0", "id": id.map_or(Value::Null, Value::from), "error": body})
        .to_string()
        .into_bytes()
}
