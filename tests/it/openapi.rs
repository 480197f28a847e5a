//! The API's description of itself: it is of this code, tells every route, and what is sent fits.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tidekeeper::api::openapi::document;
use tidekeeper::run::publish::{LoopFigures, Published};
use utoipa::OpenApi;

use super::served::Served;

/// Set to 1, the committed file is written instead of compared.
const BLESS: &str = "TIDEKEEPER_BLESS";
const COMMITTED: &str = "api/openapi.json";
const ROUTER: &str = "src/api/mod.rs";
/// Where most of the API stands.
const ROOT: &str = "/api/v1";

#[derive(OpenApi)]
#[openapi(components(schemas(Published, LoopFigures)))]
struct LoopTypes;

fn made() -> String {
    document(LoopTypes::openapi())
}

fn described() -> Value {
    serde_json::from_str(&made()).expect("it is JSON")
}

fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Every operation, as in `GET /metrics`.
fn operations(whole: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, item) in whole["paths"].as_object().expect("paths") {
        let methods = item.as_object().expect("operations").keys();
        found.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
    }
    found
}

/// The schema that a schema stands for.
fn resolved<'a>(whole: &'a Value, schema: &'a Value) -> &'a Value {
    let Some(reference) = schema["$ref"].as_str() else { return schema };
    let found = whole.pointer(reference.trim_start_matches('#'));
    found.unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

/// What an object of that schema holds.
fn fields<'a>(whole: &'a Value, schema: &'a Value) -> BTreeMap<&'a str, &'a Value> {
    let schema = resolved(whole, schema);
    let own = schema["properties"].as_object().into_iter().flatten();
    let mut found: BTreeMap<_, _> = own.map(|(name, schema)| (name.as_str(), schema)).collect();
    for item in schema["allOf"].as_array().into_iter().flatten() {
        found.extend(fields(whole, item));
    }
    found
}

/// Where a value differs from its schema; knows the keywords that our schemas use.
fn misfits(whole: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let schema = resolved(whole, schema);
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = choices.iter().any(|choice| misfits(whole, choice, value, at).is_empty());
        return if fits { Vec::new() } else { vec![format!("{at}: none of its choices")] };
    }
    let fields = fields(whole, schema);
    if !fields.is_empty() {
        return object_misfits(whole, &fields, value, at);
    }
    let (kind, kinds) = (kind_of(value), &schema["type"]);
    let is_listed = kinds.as_array().is_some_and(|kinds| kinds.iter().any(|k| *k == kind));
    if *kinds != kind && !is_listed {
        return vec![format!("{at}: {kind} where {kinds} is described")];
    }
    let items = value.as_array().into_iter().flatten().enumerate();
    items
        .flat_map(|(index, item)| misfits(whole, &schema["items"], item, &format!("{at}/{index}")))
        .collect()
}

fn object_misfits(
    whole: &Value,
    fields: &BTreeMap<&str, &Value>,
    value: &Value,
    at: &str,
) -> Vec<String> {
    let Some(map) = value.as_object() else { return vec![format!("{at}: no object")] };
    let unknown = map.keys().filter(|name| !fields.contains_key(name.as_str()));
    let unknown = unknown.map(|name| format!("{at}/{name}: not described"));
    let known = fields.iter().flat_map(|(name, schema)| match map.get(*name) {
        Some(value) => misfits(whole, schema, value, &format!("{at}/{name}")),
        None => vec![format!("{at}/{name}: not sent")],
    });
    unknown.chain(known).collect()
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// What `GET /api/v1/{path}` sent is what is described there.
#[track_caller]
pub(super) fn assert_described(path: &str, sent: &Value) {
    assert_answer_described(path, "get", 200, sent);
}

/// What was sent with that status is what is described there.
#[track_caller]
pub(super) fn assert_answer_described(path: &str, method: &str, status: u16, sent: &Value) {
    let whole = described();
    let answers = &whole["paths"][format!("{ROOT}/{path}")][method]["responses"];
    let answer = resolved(&whole, &answers[status.to_string()]);
    let kind = if status < 400 { "application/json" } else { "application/problem+json" };
    let schema = &answer["content"][kind]["schema"];
    let found = misfits(&whole, schema, sent, path);
    assert!(found.is_empty(), "{found:#?}");
}

fn collect_references<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(map) => {
            if map.contains_key("$ref") {
                found.push(value);
            }
            map.values().for_each(|value| collect_references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

#[test]
fn the_committed_description_is_of_this_code() {
    let made = made();
    if std::env::var(BLESS).is_ok_and(|word| word == "1") {
        fs::write(place(COMMITTED), made).expect("the file can be written");
        return;
    }
    let committed = fs::read_to_string(place(COMMITTED)).unwrap_or_default();
    let differs = made.lines().zip(committed.lines()).find(|(made, committed)| made != committed);
    assert!(
        made == committed,
        "{COMMITTED} is not of this code, first {differs:?}: run `{BLESS}=1 cargo nextest run \
         openapi`, then `npm run generate --prefix dashboard`, and commit both"
    );
}

#[test]
fn every_route_of_the_router_is_described() {
    let told = operations(&described());
    let text = fs::read_to_string(place(ROUTER)).expect("the router is readable");
    let routes: Vec<&str> = text.split(".route(").skip(1).collect();
    assert!(routes.len() > 5, "{ROUTER} has other routes than this test reads");
    for route in routes {
        let pieces: Vec<&str> = route.splitn(3, '"').collect();
        let [_, path, rest] = pieces[..] else { panic!("no literal path: {route}") };
        let method = rest.trim_start_matches([',', ' ', '\n']).split('(').next();
        let method = method.unwrap_or_default().to_uppercase();
        let is_told = |root: &&str| told.contains(&format!("{method} {root}{path}"));
        assert!(["", ROOT].iter().any(is_told), "{method} {path} is not described");
    }
}

#[test]
fn every_reference_leads_to_a_schema_or_an_answer() {
    let whole = described();
    let mut references = Vec::new();
    collect_references(&whole, &mut references);
    assert!(references.len() > 20, "{references:?}");
    for reference in references {
        assert!(resolved(&whole, reference).is_object(), "{reference}");
    }
}

#[test]
fn a_value_that_does_not_fit_is_told() {
    let whole = json!({ "components": { "schemas": {
        "A": { "allOf": [
            { "$ref": "#/components/schemas/B" },
            { "type": "object", "properties": { "rows": {
                "type": "array", "items": { "$ref": "#/components/schemas/B" },
            } } },
        ] },
        "B": { "type": "object", "properties": { "n": { "type": ["integer", "null"] } } },
    } } });
    let check = |value: Value, expected: &[&str]| {
        let schema = json!({ "$ref": "#/components/schemas/A" });
        assert_eq!(misfits(&whole, &schema, &value, "a"), expected);
    };
    check(json!({ "n": null, "rows": [{ "n": 1 }] }), &[]);
    check(
        json!({ "n": "1", "rows": [] }),
        &[r#"a/n: string where ["integer","null"] is described"#],
    );
    check(json!({ "rows": [{ "n": 1, "m": 2 }] }), &["a/n: not sent", "a/rows/0/m: not described"]);
    check(json!([]), &["a: no object"]);
}

#[test]
fn figures_of_the_loop_fit() {
    let whole = described();
    let figures = serde_json::to_value(LoopFigures::default()).expect("it is JSON");
    let schema = json!({ "$ref": "#/components/schemas/LoopFigures" });
    assert_eq!(misfits(&whole, &schema, &figures, "loop"), Vec::<String>::new());
}

#[tokio::test]
async fn every_described_operation_is_served_to_the_bearer_of_the_token_alone() {
    let served = Served::begin(Value::Null, |_| Value::Null).await;
    for operation in operations(&described()) {
        let names = [("{id}", "lp"), ("{chain}", "1"), ("{pool}", "0x00")];
        let fill = |request: String, (name, value): (&str, &str)| request.replace(name, value);
        let request = names.into_iter().fold(operation.clone(), fill);
        let answer = served.ask(&request, "").await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{operation}: {answer}");
    }
    let (head, body) = served.told("GET /openapi.json").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    let body: Value = serde_json::from_str(&body).expect("it is JSON");
    assert_eq!(body["openapi"], "3.1.0");
    served.end().await;
}
