//! The `OpenAPI` document, made from the table of endpoints and the wire types. What is served is the
//! committed file; `cargo xtask tidy` holds it against this.

use exeunt_types::Roles;
use serde_json::{Map, Value, json};

use crate::endpoint::{AnswerForm, ENDPOINTS, Endpoint, EndpointDoor, Kind, Parameter};
use crate::settings::Limits;

/// Statuses of problems, and when they are answered.
const PROBLEMS: [(u16, &str); 13] = [
    (400, "something in the request cannot be meant"),
    (401, "nobody known has come"),
    (403, "whoever has come may not"),
    (404, "there is no such thing"),
    (408, "the body did not arrive in time"),
    (409, "it is not in a state for that"),
    (413, "the body is too large"),
    (414, "path and query are too long"),
    (422, "the key stands for another request"),
    (429, "somebody at this address has guessed tokens"),
    (431, "the head is too long"),
    (500, "a fault in the server"),
    (503, "the CA is unable to do it at the moment, or has too much to do"),
];

/// Those that every endpoint may answer with.
const EVERYWHERE: [u16; 5] = [400, 414, 431, 500, 503];

const INTRODUCTION: &str = "What `docs/api.md` tells, for programs. Made from the sources; do not edit. \
    Every GET is also answered as HEAD. An endpoint's `x-exeunt` says by which door it is reached, which \
    rights are needed (one of them is enough) and which for what is the caller's own, and its limits: bytes of the body, seconds to read head \
    and body, how many are at work at a time (the others wait), and how many may wait before one is \
    turned away with 503; null where the number of connections is the only bound.";

/// The document.
///
/// # Panics
///
/// If the table names a schema that there is none of.
#[must_use]
pub fn document() -> Value {
    let schemas = exeunt_api::schema::schemas();
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        for name in named(endpoint) {
            assert!(schemas.contains_key(name), "BUG: no schema {name} in exeunt_api::schema");
        }
        let path = paths.entry(endpoint.path.replace("{+", "{")).or_insert_with(|| json!({}));
        path[endpoint.method.to_lowercase()] = operation(endpoint);
    }
    let mut shared = json!({});
    for (status, means) in PROBLEMS {
        add(&mut shared, status, means, Some(problem()));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Exeunt",
            "version": "1",
            "description": INTRODUCTION,
            "license": {"name": env!("CARGO_PKG_LICENSE")},
        },
        "paths": paths,
        "components": {
            "responses": shared,
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "x-exeunt": {
            "connections": Limits::CONNECTIONS,
            "local_connections": Limits::LOCAL_CONNECTIONS,
            "head_bytes_max": Limits::HEAD_BYTES_MAX,
            "url_bytes_max": Limits::URL_BYTES_MAX,
            "handshake_s": Limits::HANDSHAKE.as_secs(),
        },
    })
}

/// Names of the schemas of an endpoint.
fn named(endpoint: &Endpoint) -> impl Iterator<Item = &'static str> {
    let body = endpoint.body.and_then(|it| it.schema);
    endpoint.answers.iter().filter_map(|it| it.schema).chain(body)
}

fn operation(endpoint: &Endpoint) -> Value {
    let Endpoint { operation, summary, door, query, headers, body, room, .. } = *endpoint;
    let mut parameters: Vec<Value> = parts(endpoint.path).map(part).collect();
    parameters.extend(query.iter().map(|it| parameter(it, "query")));
    parameters.extend(headers.iter().map(|it| parameter(it, "header")));
    let mut made = json!({
        "operationId": operation.id(),
        "summary": summary,
        "parameters": parameters,
        "responses": responses(endpoint),
        "x-exeunt": {
            "door": match door {
                EndpointDoor::Public => "public",
                EndpointDoor::Authenticated => "authenticated",
                EndpointDoor::Local => "local",
            },
            "roles": endpoint.needs.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            "roles_for_own": endpoint.own.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            "body_bytes_max": body.map_or(0, |it| it.bytes_max),
            "read_s": Limits::READ.as_secs(),
            "at_a_time": room.at_a_time(),
            "in_flight_max": room.in_flight_max(),
        },
    });
    if door == EndpointDoor::Authenticated {
        made["security"] = json!([{"token": []}]);
    }
    if let Some(body) = body {
        let schema = body.schema.map_or_else(|| json!({"type": "string"}), reference);
        let form = |media_type: &&str| ((*media_type).to_owned(), json!({"schema": schema}));
        let content: Map<String, Value> = body.media_types.iter().map(form).collect();
        made["requestBody"] = json!({"required": body.required, "content": content});
    }
    made
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// Every answer by its status, and every problem.
fn responses(endpoint: &Endpoint) -> Value {
    let mut responses = json!({});
    for AnswerForm { status, media_type, schema, means } in endpoint.answers.iter().copied() {
        let unnamed = || match media_type {
            Some("application/json") => json!({"type": "object"}),
            _ => json!({"type": "string", "contentMediaType": media_type}),
        };
        let content = media_type.map(|it| (it, schema.map_or_else(unnamed, reference)));
        add(&mut responses, status, means, content);
    }
    let mut problems = EVERYWHERE.to_vec();
    if endpoint.needs != Roles::NONE {
        problems.extend([401, 403, 429]);
    }
    if endpoint.path.contains('{') {
        problems.push(404);
    }
    if endpoint.body.is_some() {
        problems.extend([408, 413]);
    }
    problems.extend(endpoint.problems);
    for (status, means) in PROBLEMS.into_iter().filter(|(it, _)| problems.contains(it)) {
        if responses[status.to_string()].is_null() {
            let shared = format!("#/components/responses/{status}");
            responses[status.to_string()] = json!({"$ref": shared});
        } else {
            add(&mut responses, status, means, Some(problem()));
        }
    }
    responses
}

fn problem() -> (&'static str, Value) {
    (exeunt_api::PROBLEM_MEDIA_TYPE, reference("Problem"))
}

/// Adds one of perhaps several answers with a status.
fn add(responses: &mut Value, status: u16, means: &str, content: Option<(&str, Value)>) {
    let response = &mut responses[status.to_string()];
    if let Some(before) = response["description"].as_str().filter(|it| *it != means) {
        response["description"] = format!("{before}; or {means}").into();
    } else {
        response["description"] = means.into();
    }
    if let Some((media_type, schema)) = content {
        // What stands behind it is for the one who reads it.
        let media_type = media_type.split(';').next().unwrap_or(media_type);
        response["content"][media_type] = json!({"schema": schema});
    }
}

/// Names of the parts of a path.
fn parts(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('{').skip(1).filter_map(|it| Some(it.split_once('}')?.0.trim_start_matches('+')))
}

fn part(name: &str) -> Value {
    let schema = match name {
        "id" | "number" => json!({"type": "integer", "format": "uint64", "minimum": 0}),
        "serial" => json!({"type": "string", "pattern": "^([0-9a-fA-F]{2}){1,20}$"}),
        "list" => json!({"type": "string", "pattern": "^([0-9]+-[0-9]+-)?(base|delta)$"}),
        "oid" => json!({"type": "string", "pattern": "^[0-2](\\.(0|[1-9][0-9]*))+$"}),
        _ => json!({"type": "string", "minLength": 1}),
    };
    json!({"name": name, "in": "path", "required": true, "schema": schema})
}

fn parameter(it: &Parameter, place: &str) -> Value {
    let Parameter { name, kind, required, means } = *it;
    let text = || json!({"type": "string"});
    let schema = match kind {
        Kind::Text => text(),
        Kind::Texts => json!({"type": "array", "items": text()}),
        Kind::Key => {
            let letters = r"[!#-\[\]-~]";
            let most = exeunt_api::IDEMPOTENCY_KEY_BYTES_MAX;
            let pattern = format!("^({letters}{{1,{most}}}|\"{letters}{{1,{most}}}\")$");
            json!({"type": "string", "pattern": pattern})
        }
        Kind::Number => json!({"type": "integer", "format": "uint64", "minimum": 0}),
        Kind::Within(least, most) => {
            json!({"type": "integer", "minimum": least, "maximum": most})
        }
        Kind::Flag => json!({"type": "boolean"}),
        Kind::OneOf(words) => json!({"type": "string", "enum": words}),
    };
    let mut made = json!({
        "name": name, "in": place, "required": required, "description": means, "schema": schema,
    });
    // Repeated, not joined with commas.
    if place == "query" && matches!(kind, Kind::Texts) {
        made["explode"] = true.into();
    }
    made
}
