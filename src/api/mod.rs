//! REST, WebSocket and the page, on the loopback address. Reads the published snapshot; the only
//! things it can do are halt and resume, and pause and start a strategy.

mod auth;
pub mod metrics;
mod page;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, extract::DefaultBodyLimit, middleware};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

pub use auth::Keys;

use crate::engine::event::Directive;

/// Largest request body.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Bounds of a reason given for halting or resuming.
const REASON_CHARS: std::ops::RangeInclusive<usize> = 3..=200;
/// Patience for the loop to take a directive.
const DIRECTIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// What the API is given; it knows nothing of the engine behind it.
#[derive(Clone, Debug)]
pub struct Door {
    /// The newest document.
    pub document: watch::Receiver<Option<Arc<Value>>>,
    /// Figures of the process, made when asked for.
    pub figures: fn(&Door) -> Value,
    /// Whatever `figures` needs.
    pub source: Arc<dyn std::any::Any + Send + Sync>,
    /// The operator's word.
    pub directives: mpsc::Sender<Directive>,
}

#[derive(Clone)]
struct Shared {
    door: Door,
    keys: Arc<Keys>,
    origin: Arc<str>,
}

/// Serves until `stop` says so.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    door: Door,
    keys: Keys,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    let router = router(door, keys, address);
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            // An error means that the owner is gone, which is a stop as well.
            let _ = stop.changed().await;
        })
        .await
}

fn router(door: Door, keys: Keys, address: SocketAddr) -> Router {
    let shared = Shared { door, keys: Arc::new(keys), origin: format!("http://{address}").into() };
    let api = Router::new()
        .route("/snapshot", get(snapshot))
        .route("/report", get(report))
        .route(
            "/status",
            get(|s| part(s, &["keeper", "mode", "state", "store", "chains", "venues"])),
        )
        .route("/pools", get(|s| part(s, &["pools"])))
        .route("/books", get(|s| part(s, &["books"])))
        .route("/positions", get(|s| part(s, &["positions"])))
        .route("/orders", get(|s| part(s, &["orders"])))
        .route("/transactions", get(|s| part(s, &["transactions"])))
        .route("/ledger", get(|s| part(s, &["ledger"])))
        .route("/reconciliation", get(|s| part(s, &["reconciliation"])))
        .route("/arbitrage", get(|s| part(s, &["arbitrage"])))
        .route("/strategies", get(|s| part(s, &["strategies"])))
        .route("/risk", get(|s| part(s, &["limits", "exposures", "fuel"])))
        .route("/strategies/{id}/pause", post(pause))
        .route("/strategies/{id}/resume", post(start))
        .route("/halt", post(halt))
        .route("/resume", post(resume))
        .route("/entry", post(entry))
        .route("/stream", get(stream::open))
        .route_layer(middleware::from_fn_with_state(shared.clone(), auth::require));
    let metrics = Router::new()
        .route("/metrics", get(metrics::scrape))
        .route_layer(middleware::from_fn_with_state(shared.clone(), auth::require));
    Router::new()
        .nest("/api/v1", api)
        .merge(metrics)
        .fallback(page::serve)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::map_response(harden))
        .with_state(shared)
}

/// Headers every answer carries: nothing foreign runs in the page, nothing frames it.
async fn harden(mut response: Response) -> Response {
    const HEADERS: [(header::HeaderName, &str); 5] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; \
             base-uri 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// An error as `application/problem+json` (RFC 9457).
fn problem(status: StatusCode, title: &str, detail: &str) -> Response {
    let body = json!({ "title": title, "detail": detail, "status": status.as_u16() });
    let kind = (header::CONTENT_TYPE, "application/problem+json");
    (status, [kind], body.to_string()).into_response()
}

fn not_yet() -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, "not ready", "no snapshot yet, ask again in a moment")
}

async fn snapshot(State(shared): State<Shared>) -> Response {
    match shared.door.document.borrow().clone() {
        Some(document) => Json(document.as_ref()).into_response(),
        None => not_yet(),
    }
}

async fn part(State(shared): State<Shared>, fields: &[&str]) -> Response {
    let Some(document) = shared.door.document.borrow().clone() else { return not_yet() };
    let mut picked: serde_json::Map<String, Value> = serde_json::Map::new();
    for field in ["seq", "at_ms"].iter().chain(fields) {
        picked.insert((*field).to_owned(), document.get(*field).cloned().unwrap_or(Value::Null));
    }
    Json(picked).into_response()
}

async fn report(State(shared): State<Shared>) -> Response {
    let Some(document) = shared.door.document.borrow().clone() else { return not_yet() };
    let figures = (shared.door.figures)(&shared.door);
    Json(json!({ "snapshot": document.as_ref(), "loop": figures })).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    reason: String,
}

#[derive(Serialize)]
struct Accepted {
    accepted: bool,
}

/// Another one-time address of the page.
async fn entry(State(shared): State<Shared>) -> Response {
    match shared.keys.entry_path() {
        Ok(path) => {
            let page = format!("{}{path}", shared.origin);
            Json(json!({ "page": page })).into_response()
        }
        Err(error) => {
            problem(StatusCode::INTERNAL_SERVER_ERROR, "no randomness", &error.to_string())
        }
    }
}

async fn pause(
    shared: State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    if !is_strategy(&shared, &id) {
        return unknown_strategy();
    }
    direct(shared, &headers, &body, |reason| Directive::Pause { strategy: id, reason }).await
}

async fn start(
    shared: State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    if !is_strategy(&shared, &id) {
        return unknown_strategy();
    }
    direct(shared, &headers, &body, |reason| Directive::Start { strategy: id, reason }).await
}

fn is_strategy(shared: &Shared, id: &str) -> bool {
    let document = shared.door.document.borrow().clone();
    let rows = document.as_ref().and_then(|document| document["strategies"].as_array());
    rows.is_some_and(|rows| rows.iter().any(|row| row["id"] == id))
}

fn unknown_strategy() -> Response {
    let detail = "GET /api/v1/strategies lists the names";
    problem(StatusCode::NOT_FOUND, "no such strategy", detail)
}

async fn halt(shared: State<Shared>, headers: HeaderMap, body: String) -> Response {
    direct(shared, &headers, &body, |reason| Directive::Halt { reason }).await
}

async fn resume(shared: State<Shared>, headers: HeaderMap, body: String) -> Response {
    direct(shared, &headers, &body, |reason| Directive::Resume { reason }).await
}

async fn direct(
    State(shared): State<Shared>,
    headers: &HeaderMap,
    body: &str,
    directive: impl FnOnce(String) -> Directive,
) -> Response {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/json"));
    if !is_json {
        let detail = "send application/json with a reason";
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not json", detail);
    }
    let reason = match serde_json::from_str::<Reason>(body) {
        Ok(Reason { reason }) => reason.trim().to_owned(),
        Err(error) => {
            let detail = error.to_string();
            return problem(StatusCode::UNPROCESSABLE_ENTITY, "body not understood", &detail);
        }
    };
    if !REASON_CHARS.contains(&reason.chars().count()) {
        let detail = "reason: 3 to 200 characters";
        return problem(StatusCode::UNPROCESSABLE_ENTITY, "a reason is needed", detail);
    }
    let sent = shared.door.directives.send_timeout(directive(reason), DIRECTIVE_TIMEOUT).await;
    match sent {
        Ok(()) => (StatusCode::ACCEPTED, Json(Accepted { accepted: true })).into_response(),
        Err(_) => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "the keeper does not listen",
            "create the halt file named in agent.toml, or stop the process",
        ),
    }
}
