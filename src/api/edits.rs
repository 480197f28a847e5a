//! Numbers of strategies: what they are, what others would do, the change itself, and what was
//! changed before. Knows neither the files nor the engine: every request becomes an [`Ask`], and
//! whoever keeps the files answers it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::{
    DIRECTIVE_TIMEOUT, Problem, REASON_CHARS, ROOT, Shared, is_json, not_json, openapi, problem,
    unknown_strategy,
};
use crate::config::editable::{Difference, EditProblem, Parameter};

/// Where an answer is awaited.
pub type Answer<T> = oneshot::Sender<Result<T, Refused>>;

/// Asked of whoever keeps the strategies' files.
#[derive(Debug)]
pub enum Ask {
    /// The numbers in force.
    Parameters { strategy: String, answer: Answer<StrategyParameters> },
    /// What other numbers would do; nothing is changed.
    Preview {
        strategy: String,
        changes: BTreeMap<String, String>,
        answer: Answer<ParameterPreview>,
    },
    /// Other numbers; the answer is the new version.
    Change { strategy: String, new: NewVersion, answer: Answer<u64> },
    /// What was changed before.
    Versions { strategy: String, answer: Answer<StrategyVersions> },
}

/// Why an [`Ask`] is refused; nothing is changed then.
#[derive(Debug)]
pub enum Refused {
    /// No strategy has that name.
    NoSuchStrategy,
    /// What was asked is no longer about what is in force.
    Conflict(String),
    /// The files would not be right with it.
    Invalid(Vec<EditProblem>),
    /// Store, file or loop does not do it.
    Unkept(String),
}

/// The numbers of a strategy that may be changed while it runs.
#[derive(Debug, Serialize, ToSchema)]
pub struct StrategyParameters {
    /// Its name.
    pub id: String,
    /// Its file.
    pub file: String,
    /// The version in force.
    pub version: u64,
    /// When that was kept, unix ms.
    pub at_ms: i64,
    /// The numbers.
    pub keys: Vec<Parameter>,
}

/// Other values for some of the numbers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ParameterChanges {
    /// New values by key.
    pub changes: BTreeMap<String, String>,
}

/// What other values would do.
#[derive(Debug, Serialize, ToSchema)]
pub struct ParameterPreview {
    /// What speaks against them; empty when nothing does.
    pub problems: Vec<EditProblem>,
    /// What would be another value.
    pub diff: Vec<Difference>,
    /// What the strategy says now.
    pub now: Option<String>,
    /// What it would say on what is known now; null when there are problems.
    pub then: Option<String>,
}

/// Other values, to be in force from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewVersion {
    /// The version that they change.
    pub version: u64,
    /// New values by key.
    pub changes: BTreeMap<String, String>,
    /// Why, for the record.
    #[schema(min_length = 3, max_length = 200)]
    pub reason: String,
}

/// The file has the values and the loop has been told.
#[derive(Debug, Serialize, ToSchema)]
struct NewVersionAccepted {
    /// Always true.
    accepted: bool,
    /// The new version.
    version: u64,
}

/// Why other values were refused.
#[derive(Debug, Serialize, ToSchema)]
struct UnfitChange<'a> {
    /// What is wrong, in a few words.
    title: &'a str,
    /// What would help.
    detail: &'a str,
    /// The status of the answer.
    status: u16,
    /// What is wrong with each value; empty when the request itself is.
    problems: Vec<EditProblem>,
}

/// What a strategy's file said before.
#[derive(Debug, Serialize, ToSchema)]
pub struct StrategyVersions {
    /// Its name.
    pub id: String,
    /// At most 500, newest first.
    pub versions: Vec<StrategyVersion>,
}

/// One version of a strategy's file.
#[derive(Debug, Serialize, ToSchema)]
pub struct StrategyVersion {
    /// From 1.
    pub version: u64,
    /// When it was kept, unix ms.
    pub at_ms: i64,
    /// Why.
    pub reason: String,
    /// What changed since the version before.
    pub diff: Vec<Difference>,
}

/// The numbers of a strategy that may be changed while it runs.
#[utoipa::path(
    get, path = "/strategies/{id}/parameters", context_path = ROOT, tag = openapi::PARAMETERS,
    params(("id" = String, Path, description = "Name of the strategy.")),
    responses((status = 200, description = "Values in force.", body = StrategyParameters))
)]
pub(super) async fn parameters(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    told(ask(&shared, |answer| Ask::Parameters { strategy: id, answer }).await)
}

/// What other values would do; nothing is changed.
#[utoipa::path(
    post, path = "/strategies/{id}/parameters/preview", context_path = ROOT,
    tag = openapi::PARAMETERS,
    params(("id" = String, Path, description = "Name of the strategy.")),
    request_body = ParameterChanges,
    responses(
        (status = 200, description = "Problems are part of it.", body = ParameterPreview),
        (status = 415, description = "The body is not told to be `application/json`.",
            body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body is not understood.",
            body = UnfitChange, content_type = "application/problem+json")
    )
)]
pub(super) async fn preview(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let ParameterChanges { changes } = match read(&headers, &body) {
        Ok(read) => read,
        Err(refusal) => return *refusal,
    };
    told(ask(&shared, |answer| Ask::Preview { strategy: id, changes, answer }).await)
}

/// Other values for a strategy, in its file and at work from now on.
#[utoipa::path(
    post, path = "/strategies/{id}/parameters", context_path = ROOT, tag = openapi::PARAMETERS,
    params(("id" = String, Path, description = "Name of the strategy.")),
    request_body = NewVersion,
    responses(
        (status = 202, description = "The file has them and the loop was told.",
            body = NewVersionAccepted),
        (status = 409, description = "Another version, or a file changed by hand.",
            body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not told to be `application/json`.",
            body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body is not understood, or the values do not fit.",
            body = UnfitChange, content_type = "application/problem+json")
    )
)]
pub(super) async fn change(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let mut new: NewVersion = match read(&headers, &body) {
        Ok(read) => read,
        Err(refusal) => return *refusal,
    };
    new.reason = new.reason.trim().to_owned();
    if !REASON_CHARS.contains(&new.reason.chars().count()) {
        return unfit("a reason is needed", "reason: 3 to 200 characters", Vec::new());
    }
    match ask(&shared, |answer| Ask::Change { strategy: id, new, answer }).await {
        Ok(version) => {
            let body = NewVersionAccepted { accepted: true, version };
            (StatusCode::ACCEPTED, Json(body)).into_response()
        }
        Err(refused) => refusal(refused),
    }
}

/// What a strategy's file said before, newest first.
#[utoipa::path(
    get, path = "/strategies/{id}/versions", context_path = ROOT, tag = openapi::PARAMETERS,
    params(("id" = String, Path, description = "Name of the strategy.")),
    responses((status = 200, description = "Every change.", body = StrategyVersions))
)]
pub(super) async fn versions(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    told(ask(&shared, |answer| Ask::Versions { strategy: id, answer }).await)
}

/// Hands an ask over and waits: whoever answers has its own bounds of time, and an answer given up
/// here could still be followed by the deed.
async fn ask<T>(shared: &Shared, make: impl FnOnce(Answer<T>) -> Ask) -> Result<T, Refused> {
    let nobody = || Refused::Unkept("nobody answers: is the keeper ending?".to_owned());
    let (answer, answered) = oneshot::channel();
    let sent = shared.door.edits.send_timeout(make(answer), DIRECTIVE_TIMEOUT).await;
    sent.map_err(|_| nobody())?;
    answered.await.map_err(|_| nobody())?
}

/// The body of a request, or the answer to one that is not understood.
fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &str) -> Result<T, Box<Response>> {
    if !is_json(headers) {
        return Err(Box::new(not_json("send application/json with the changes")));
    }
    serde_json::from_str(body)
        .map_err(|error| Box::new(unfit("body not understood", &error.to_string(), Vec::new())))
}

fn told<T: Serialize>(answer: Result<T, Refused>) -> Response {
    answer.map_or_else(refusal, |body| Json(body).into_response())
}

fn refusal(refused: Refused) -> Response {
    match refused {
        Refused::NoSuchStrategy => unknown_strategy(),
        Refused::Conflict(why) => problem(StatusCode::CONFLICT, "not what is in force", &why),
        Refused::Invalid(problems) => unfit("the values do not fit", "see problems", problems),
        Refused::Unkept(why) => problem(StatusCode::SERVICE_UNAVAILABLE, "nothing changed", &why),
    }
}

fn unfit(title: &str, detail: &str, problems: Vec<EditProblem>) -> Response {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let body = UnfitChange { title, detail, status: status.as_u16(), problems };
    let body = serde_json::to_string(&body).expect("texts and a number are JSON");
    let kind = (header::CONTENT_TYPE, "application/problem+json");
    (status, [kind], body).into_response()
}
