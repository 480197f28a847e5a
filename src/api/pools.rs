//! Questions about one pool. All of it is too much for the document, so the loop is asked: every
//! request becomes a [`PoolAsk`], answered between two facts.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{ROOT, Shared, openapi, problem};
use crate::engine::snapshot::pool::PoolDetail;
use crate::model::intent::PoolId;

/// Patience for the loop.
const LOOP_TIMEOUT: Duration = Duration::from_secs(2);
/// Most pools that a refusal names.
const NAMES_MAX: usize = 20;

/// Asked of the loop.
#[derive(Debug)]
pub struct PoolAsk {
    /// Which pool.
    pub pool: PoolId,
    /// Where the answer is awaited; `None` for a pool that is not watched.
    pub answer: oneshot::Sender<Option<PoolDetail>>,
}

/// One pool in full: liquidity around the price, tokens near it, newest logs.
#[utoipa::path(
    get, path = "/pools/{chain}/{pool}", context_path = ROOT, tag = openapi::QUESTIONS,
    params(
        ("chain" = u64, Path, description = "EIP-155 id of its chain."),
        ("pool" = String, Path, description = "Its address; in Uniswap V4 its id.")
    ),
    responses((status = 200, description = "As the loop keeps it.", body = PoolDetail))
)]
pub(super) async fn pool(
    State(shared): State<Shared>,
    Path((chain, pool)): Path<(String, String)>,
) -> Response {
    let Some(id) = id_of(&chain, &pool) else { return unknown_pool(&shared) };
    let (answer, answered) = oneshot::channel();
    let told = async {
        shared.door.questions.send(PoolAsk { pool: id, answer }).await.ok()?;
        answered.await.ok()
    };
    match timeout(LOOP_TIMEOUT, told).await.ok().flatten() {
        Some(Some(detail)) => Json(detail).into_response(),
        Some(None) => unknown_pool(&shared),
        None => {
            let detail = "ask again in a moment: is the keeper ending?";
            problem(StatusCode::SERVICE_UNAVAILABLE, "the loop does not answer", detail)
        }
    }
}

fn id_of(chain: &str, pool: &str) -> Option<PoolId> {
    Some(PoolId { chain: chain.parse().ok()?, address: pool.parse().ok()? })
}

/// Names the pools there are, as the path wants them.
fn unknown_pool(shared: &Shared) -> Response {
    let document = shared.door.document.borrow().clone();
    let rows = document.as_ref().and_then(|document| document["pools"].as_array());
    let rows = rows.map(Vec::as_slice).unwrap_or_default();
    let names: Vec<String> = rows.iter().take(NAMES_MAX).filter_map(name).collect();
    let chains = document.as_ref().and_then(|document| document["chains"].as_array());
    let watched = chains.into_iter().flatten().filter_map(|chain| chain["pools_watched"].as_u64());
    let watched = usize::try_from(watched.sum::<u64>()).unwrap_or(usize::MAX);
    let detail = match (names.len(), watched.saturating_sub(names.len())) {
        (0, _) => "GET /api/v1/pools lists up to 200 of each chain".to_owned(),
        (_, 0) => format!("there are {}", names.join(", ")),
        (_, more) => {
            let names = names.join(", ");
            format!("there are {names}, and {more} more; GET /api/v1/pools lists up to 200 a chain")
        }
    };
    problem(StatusCode::NOT_FOUND, "no such pool", &detail)
}

fn name(row: &Value) -> Option<String> {
    let text = |field: &str| row[field].as_str();
    let (pool, dex, pair) = (text("pool")?, text("dex")?, text("pair")?);
    Some(format!("{}/{pool} ({dex} {pair})", row["chain_id"].as_u64()?))
}
