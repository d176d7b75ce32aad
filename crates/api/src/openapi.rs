//! `/api/openapi.json`: OpenAPI 3.1 from the route table and the types.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::{Body, DATA_PLANE, ErrorResponse, ROUTES, Route};

/// The document, the same bytes for the same `version`.
pub fn openapi(version: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for route in ROUTES.iter().chain(DATA_PLANE) {
        let operation = operation(route, &mut generator);
        let item = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(item) = item {
            item.insert(route.method.name().to_ascii_lowercase(), operation);
        }
    }
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Bedplate control API",
            "version": version,
            "description": "Money is exact decimal text in USD, time is RFC 3339 text in UTC.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas,
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": route.name,
        "summary": route.summary,
        "x-bedplate-action": route.action.name(),
        "parameters": parameters(route),
        "responses": {
            route.status.to_string(): response("done", route.response, generator),
            "default": response("refused or failed", Body::Json(|g| g.subschema_for::<ErrorResponse>()), generator),
        },
    });
    if let Some(content) = content(route.request, generator) {
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    operation
}

fn parameters(route: &Route) -> Vec<Value> {
    let in_path =
        route.path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')).map(
            |name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }),
        );
    let in_query = route.query.iter().map(|q| {
        json!({ "name": q.name, "in": "query", "required": q.required, "description": q.summary,
            "schema": { "type": "string" } })
    });
    in_path.chain(in_query).collect()
}

fn response(description: &str, body: Body, generator: &mut SchemaGenerator) -> Value {
    let mut response = json!({ "description": description });
    if let Some(content) = content(body, generator) {
        response["content"] = content;
    }
    response
}

fn content(body: Body, generator: &mut SchemaGenerator) -> Option<Value> {
    match body {
        Body::None => None,
        Body::Json(schema) => Some(json!({ "application/json": { "schema": schema(generator) } })),
        Body::Lines => Some(json!({ "application/x-ndjson": { "schema": { "type": "string" } } })),
        Body::Yaml => Some(json!({ "application/yaml": { "schema": { "type": "string" } } })),
        Body::Document => Some(json!({ "*/*": { "schema": { "type": "string", "format": "binary" } } })),
    }
}
