//! The API's description of itself: OpenAPI 3.1, made from its own types and functions.
//!
//! Knows paths, answers and refusals. What the loop publishes is declared in a room below, so its
//! schemas are handed in. Invariant: what is served is the committed text, and that text is what
//! [`document`] makes of the code (`tests/it/openapi.rs`).

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{Ref, RefOr};

use super::ROOT;
use super::auth::COOKIE;
use super::parts::{PARTS, Part, STAMP};

/// The committed text.
const COMMITTED: &str = include_str!("../../api/openapi.json");
/// Where schemas stand in the document.
const SCHEMAS: &str = "#/components/schemas/";
/// Where answers that several operations share stand in it.
const RESPONSES: &str = "#/components/responses/";
/// What the loop publishes.
const PUBLISHED: &str = "#/components/schemas/Published";
/// Figures of the loop.
const FIGURES: &str = "#/components/schemas/LoopFigures";

/// Operations that read the published document.
pub(super) const DOCUMENT: &str = "document";
/// Operations that hand the operator's word to the loop.
pub(super) const DIRECTIVES: &str = "directives";
/// Operations that the loop answers when asked.
pub(super) const QUESTIONS: &str = "questions";
/// Operations on the numbers of strategies.
pub(super) const PARAMETERS: &str = "parameters";
/// Operations that the API answers by itself.
pub(super) const KEEPER: &str = "keeper";

/// What is declared beside the code: everything but the parts, the refusals and the loop's types.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tidekeeper",
        description = "The HTTP API of one keeper, on its own machine. Money and other decimals \
                       are strings, in whole units where nothing else is said; instants are unix \
                       milliseconds; null is «not known». Every field is always there."
    ),
    paths(
        super::snapshot,
        super::report,
        super::halt,
        super::resume,
        super::pause,
        super::start,
        super::edits::parameters,
        super::edits::preview,
        super::edits::change,
        super::edits::versions,
        super::pools::pool,
        super::entry,
        super::stream::open,
        super::metrics::scrape,
        describe
    ),
    components(schemas(super::Problem)),
    security(("bearer" = []), ("session" = [])),
    tags(
        (name = DOCUMENT, description = "What the loop published last."),
        (name = QUESTIONS, description = "What the loop tells when it is asked."),
        (name = DIRECTIVES, description = "The operator's word; accepted is not yet done."),
        (name = PARAMETERS, description = "Numbers of strategies, changed while they run."),
        (name = KEEPER, description = "The keeper's process and its page.")
    )
)]
struct Declared;

/// To whom a refusal may be told.
enum Whom {
    All,
    /// Who writes, or opens a stream.
    WithSideEffect,
    /// Who names a strategy in the path.
    NamingStrategy,
    /// Who uses an operation of that tag.
    Tagged(&'static str),
}

/// A problem that several operations may answer with.
struct Refusal {
    name: &'static str,
    status: &'static str,
    tells: &'static str,
    whom: Whom,
}

const REFUSALS: [Refusal; 10] = [
    Refusal {
        name: "NotSignedIn",
        status: "401",
        tells: "Neither the token nor the cookie of a session.",
        whom: Whom::All,
    },
    Refusal {
        name: "ForeignOrigin",
        status: "403",
        tells: "The cookie of a session, but not from the keeper's own page.",
        whom: Whom::WithSideEffect,
    },
    Refusal {
        name: "UnknownStrategy",
        status: "404",
        tells: "No strategy has that name.",
        whom: Whom::NamingStrategy,
    },
    Refusal {
        name: "UnknownPool",
        status: "404",
        tells: "No file names that pool; the answer names those there are.",
        whom: Whom::Tagged(QUESTIONS),
    },
    Refusal {
        name: "NotJson",
        status: "415",
        tells: "The body is not told to be `application/json`.",
        whom: Whom::Tagged(DIRECTIVES),
    },
    Refusal {
        name: "NotUnderstood",
        status: "422",
        tells: "The body is not a reason, or the reason is too short or too long.",
        whom: Whom::Tagged(DIRECTIVES),
    },
    Refusal {
        name: "NotHeard",
        status: "503",
        tells: "The loop takes no directives; the halt file and stopping the process still work.",
        whom: Whom::Tagged(DIRECTIVES),
    },
    Refusal {
        name: "NotKept",
        status: "503",
        tells: "The store, the file or the loop does not do it; nothing is changed.",
        whom: Whom::Tagged(PARAMETERS),
    },
    Refusal {
        name: "NotAnswered",
        status: "503",
        tells: "The loop does not answer in time.",
        whom: Whom::Tagged(QUESTIONS),
    },
    Refusal {
        name: "NotReady",
        status: "503",
        tells: "Nothing is published yet.",
        whom: Whom::Tagged(DOCUMENT),
    },
];

impl Refusal {
    fn is_for(&self, method: &str, operation: &Value) -> bool {
        match self.whom {
            Whom::All => true,
            Whom::WithSideEffect => method != "get" || operation["responses"]["101"].is_object(),
            Whom::NamingStrategy => operation["parameters"][0]["name"] == "id",
            Whom::Tagged(tag) => operation["tags"][0] == tag,
        }
    }
}

/// The schema of what the loop publishes.
pub(super) fn published() -> RefOr<Schema> {
    RefOr::Ref(Ref::new(PUBLISHED))
}

/// The schema of the loop's figures.
pub(super) fn figures() -> RefOr<Schema> {
    RefOr::Ref(Ref::new(FIGURES))
}

/// This description.
#[utoipa::path(
    get, path = "/openapi.json", tag = KEEPER, operation_id = "openapi",
    responses((status = 200, description = "An OpenAPI 3.1 document.", body = Value,
        content_type = "application/json"))
)]
pub(super) async fn describe() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], COMMITTED).into_response()
}

/// The whole description as text; `loop_types` holds the schemas `Published` and `LoopFigures`.
///
/// # Panics
/// When a part names a field that `Published` does not have.
pub fn document(loop_types: utoipa::openapi::OpenApi) -> String {
    let declared = Declared::openapi().merge_from(loop_types);
    let mut whole = serde_json::to_value(declared).expect("a description is JSON");
    let fields = fields(&whole["components"]["schemas"], &json!({ "$ref": PUBLISHED }));
    for part in PARTS {
        whole["paths"][format!("{ROOT}{}", part.path)] = json!({ "get": reading(part, &fields) });
    }
    whole["components"]["securitySchemes"] = json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "The token in the state directory's `api-token`, new at every start.",
        },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": COOKIE,
            "description": "What the page is given for the one-time token in its address.",
        },
    });
    whole["components"]["responses"] =
        REFUSALS.iter().map(|refusal| (refusal.name.to_owned(), problem(refusal))).collect();
    refuse(&mut whole["paths"]);
    require_all(&mut whole);
    let mut text = serde_json::to_string_pretty(&whole).expect("a description is JSON");
    text.push('\n');
    text
}

/// Properties of a schema, those of the schemas it is composed of included.
fn fields(schemas: &Value, schema: &Value) -> Map<String, Value> {
    let mut found = schema["properties"].as_object().cloned().unwrap_or_default();
    if let Some(name) = schema["$ref"].as_str().and_then(|at| at.strip_prefix(SCHEMAS)) {
        found.extend(fields(schemas, &schemas[name]));
    }
    for item in schema["allOf"].as_array().into_iter().flatten() {
        found.extend(fields(schemas, item));
    }
    found
}

/// The operation that tells one part.
fn reading(part: &Part, fields: &Map<String, Value>) -> Value {
    let field = |name: &&str| {
        let schema = fields.get(*name).expect("a part is made of the document's fields");
        ((*name).to_owned(), schema.clone())
    };
    let properties: Map<String, Value> = STAMP.iter().chain(part.fields).map(field).collect();
    let schema = json!({ "type": "object", "properties": properties });
    json!({
        "tags": [DOCUMENT],
        "summary": part.tells,
        "operationId": part.path.trim_start_matches('/'),
        "responses": {
            "200": {
                "description": "That part of the document.",
                "content": { "application/json": { "schema": schema } },
            },
        },
    })
}

/// A refusal as an answer.
fn problem(refusal: &Refusal) -> Value {
    let schema = json!({ "$ref": format!("{SCHEMAS}Problem") });
    json!({
        "description": refusal.tells,
        "content": { "application/problem+json": { "schema": schema } },
    })
}

/// Gives every operation the refusals it may answer with.
fn refuse(paths: &mut Value) {
    let items = paths.as_object_mut().into_iter().flat_map(Map::values_mut);
    let operations = items.filter_map(Value::as_object_mut).flatten();
    for (method, operation) in operations {
        for refusal in &REFUSALS {
            if refusal.is_for(method, operation) {
                let at = format!("{RESPONSES}{}", refusal.name);
                operation["responses"][refusal.status] = json!({ "$ref": at });
            }
        }
    }
}

/// Every field is always there: an unknown one is null, none is left out.
fn require_all(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get("properties") {
                let names: Vec<Value> = properties.keys().cloned().map(Value::String).collect();
                map.insert("required".to_owned(), Value::Array(names));
            }
            map.values_mut().for_each(require_all);
        }
        Value::Array(items) => items.iter_mut().for_each(require_all),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::REASON_CHARS;

    #[test]
    fn a_reason_is_described_with_its_bounds() {
        let declared = serde_json::to_value(Declared::openapi()).expect("a description is JSON");
        let reason = &declared["components"]["schemas"]["Reason"]["properties"]["reason"];
        let new = &declared["components"]["schemas"]["NewVersion"]["properties"]["reason"];
        for reason in [reason, new] {
            assert_eq!(reason["minLength"], *REASON_CHARS.start(), "{reason}");
            assert_eq!(reason["maxLength"], *REASON_CHARS.end(), "{reason}");
        }
    }

    #[test]
    fn fields_are_found_through_references_and_compositions() {
        let schemas = json!({
            "A": { "allOf": [{ "$ref": "#/components/schemas/B" }, { "properties": { "x": 1 } }] },
            "B": { "properties": { "y": 2 } },
        });
        let found = fields(&schemas, &json!({ "$ref": "#/components/schemas/A" }));
        assert_eq!(Value::Object(found), json!({ "x": 1, "y": 2 }));
    }

    #[test]
    fn all_fields_are_required_wherever_they_stand() {
        let mut value =
            json!({ "items": [{ "properties": { "b": {}, "a": { "type": "null" } } }] });
        require_all(&mut value);
        let required = value["items"][0]["required"].as_array().expect("a list");
        assert!(required.len() == 2 && required.contains(&json!("a")), "{value}");
    }
}
