//! REST, WebSocket and the page, on the loopback address. Reads the published snapshot and asks the
//! loop about single pools; the only things it can do are halt and resume, pause and start a
//! strategy, and change a strategy's numbers.

mod auth;
pub mod edits;
pub mod metrics;
pub mod openapi;
mod page;
mod parts;
pub mod pools;
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
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use utoipa::ToSchema;

pub use auth::Keys;

use self::edits::Ask;
use self::pools::PoolAsk;
use crate::engine::event::Directive;

/// Where all but the metrics, the description and the page stands.
const ROOT: &str = "/api/v1";
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
    /// The operator's other numbers, and questions about them.
    pub edits: mpsc::Sender<Ask>,
    /// Questions about single pools, for the loop.
    pub questions: mpsc::Sender<PoolAsk>,
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
    let api = parts::routes()
        .route("/snapshot", get(snapshot))
        .route("/report", get(report))
        .route("/pools/{chain}/{pool}", get(pools::pool))
        .route("/strategies/{id}/pause", post(pause))
        .route("/strategies/{id}/resume", post(start))
        .route("/strategies/{id}/parameters", get(edits::parameters).post(edits::change))
        .route("/strategies/{id}/parameters/preview", post(edits::preview))
        .route("/strategies/{id}/versions", get(edits::versions))
        .route("/halt", post(halt))
        .route("/resume", post(resume))
        .route("/entry", post(entry))
        .route("/stream", get(stream::open))
        .route_layer(middleware::from_fn_with_state(shared.clone(), auth::require));
    let about = Router::new()
        .route("/openapi.json", get(openapi::describe))
        .route_layer(middleware::from_fn_with_state(shared.clone(), auth::require));
    let figures = Router::new()
        .route("/metrics", get(metrics::scrape))
        .route_layer(middleware::from_fn_with_state(shared.clone(), auth::require_for_metrics));
    Router::new()
        .nest(ROOT, api)
        .merge(about)
        .merge(figures)
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

/// Why a request was refused (RFC 9457).
#[derive(Serialize, ToSchema)]
struct Problem<'a> {
    /// What is wrong, in a few words.
    title: &'a str,
    /// What would help.
    detail: &'a str,
    /// The status of the answer.
    status: u16,
}

/// An error as `application/problem+json`.
fn problem(status: StatusCode, title: &str, detail: &str) -> Response {
    let body = Problem { title, detail, status: status.as_u16() };
    let body = serde_json::to_string(&body).expect("two texts and a number are JSON");
    let kind = (header::CONTENT_TYPE, "application/problem+json");
    (status, [kind], body).into_response()
}

fn not_yet() -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, "not ready", "no snapshot yet, ask again in a moment")
}

/// The whole document.
#[utoipa::path(
    get, path = "/snapshot", context_path = ROOT, tag = openapi::DOCUMENT,
    responses((status = 200, description = "All.", body = ref("#/components/schemas/Published")))
)]
async fn snapshot(State(shared): State<Shared>) -> Response {
    match shared.door.document.borrow().clone() {
        Some(document) => Json(document.as_ref()).into_response(),
        None => not_yet(),
    }
}

/// The document, and figures of the loop made for this answer.
#[derive(Serialize, ToSchema)]
struct Report<'a> {
    #[schema(schema_with = openapi::published)]
    snapshot: &'a Value,
    #[serde(rename = "loop")]
    #[schema(schema_with = openapi::figures)]
    figures: Value,
}

/// The whole document and the loop's own figures.
#[utoipa::path(
    get, path = "/report", context_path = ROOT, tag = openapi::DOCUMENT,
    responses((status = 200, description = "Both.", body = Report))
)]
async fn report(State(shared): State<Shared>) -> Response {
    let Some(document) = shared.door.document.borrow().clone() else { return not_yet() };
    let figures = (shared.door.figures)(&shared.door);
    Json(Report { snapshot: document.as_ref(), figures }).into_response()
}

/// What every directive needs.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// Why, for the record.
    #[schema(min_length = 3, max_length = 200)]
    reason: String,
}

/// The loop has the directive; it may not be done yet.
#[derive(Serialize, ToSchema)]
struct Accepted {
    /// Always true.
    accepted: bool,
}

/// A way into the page.
#[derive(Serialize, ToSchema)]
struct Page {
    /// Address with a token that opens once.
    page: String,
}

/// Another one-time address of the page.
#[utoipa::path(
    post, path = "/entry", context_path = ROOT, tag = openapi::KEEPER,
    responses(
        (status = 200, description = "Good once; an earlier one is void.", body = Page),
        (status = 500, description = "The operating system has no randomness.", body = Problem,
            content_type = "application/problem+json")
    )
)]
async fn entry(State(shared): State<Shared>) -> Response {
    match shared.keys.entry_path() {
        Ok(path) => {
            let page = format!("{}{path}", shared.origin);
            Json(Page { page }).into_response()
        }
        Err(error) => {
            problem(StatusCode::INTERNAL_SERVER_ERROR, "no randomness", &error.to_string())
        }
    }
}

/// Pauses one strategy: it decides nothing new.
#[utoipa::path(
    post, path = "/strategies/{id}/pause", context_path = ROOT, tag = openapi::DIRECTIVES,
    params(("id" = String, Path, description = "Name of the strategy.")),
    request_body = Reason,
    responses((status = 202, description = "The loop has it.", body = Accepted))
)]
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

/// Starts a paused strategy again.
#[utoipa::path(
    post, path = "/strategies/{id}/resume", context_path = ROOT, tag = openapi::DIRECTIVES,
    params(("id" = String, Path, description = "Name of the strategy.")),
    request_body = Reason,
    responses((status = 202, description = "The loop has it.", body = Accepted))
)]
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

/// Halts the keeper: nothing new is sent, what lowers risk may pass.
#[utoipa::path(
    post, path = "/halt", context_path = ROOT, tag = openapi::DIRECTIVES,
    request_body = Reason,
    responses((status = 202, description = "The loop has it.", body = Accepted))
)]
async fn halt(shared: State<Shared>, headers: HeaderMap, body: String) -> Response {
    direct(shared, &headers, &body, |reason| Directive::Halt { reason }).await
}

/// Ends a halt.
#[utoipa::path(
    post, path = "/resume", context_path = ROOT, tag = openapi::DIRECTIVES,
    request_body = Reason,
    responses((status = 202, description = "The loop has it.", body = Accepted))
)]
async fn resume(shared: State<Shared>, headers: HeaderMap, body: String) -> Response {
    direct(shared, &headers, &body, |reason| Directive::Resume { reason }).await
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/json"))
}

fn not_json(detail: &str) -> Response {
    problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not json", detail)
}

async fn direct(
    State(shared): State<Shared>,
    headers: &HeaderMap,
    body: &str,
    directive: impl FnOnce(String) -> Directive,
) -> Response {
    if !is_json(headers) {
        return not_json("send application/json with a reason");
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
