//! Parts of the document that can be asked for alone.
//!
//! [`PARTS`] is the one list of them: the router and the description are both made from it.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value};

use super::{Shared, not_yet};

/// Fields of the document that come with every part.
pub(super) const STAMP: &[&str] = &["seq", "at_ms"];

/// Some fields of the document.
pub(super) struct Part {
    /// Below the root of the API.
    pub(super) path: &'static str,
    /// What they tell, in one sentence.
    pub(super) tells: &'static str,
    /// Their names.
    pub(super) fields: &'static [&'static str],
}

const fn part(path: &'static str, fields: &'static [&'static str], tells: &'static str) -> Part {
    Part { path, tells, fields }
}

/// Everything that can be asked for alone.
pub(super) const PARTS: &[Part] = &[
    part(
        "/status",
        &["keeper", "mode", "state", "store", "chains", "venues"],
        "How the keeper, its store, chains and venues are.",
    ),
    part("/pools", &["pools"], "Pools as kept from their logs, up to 200 of each chain."),
    part("/books", &["books"], "The best levels of every book."),
    part("/positions", &["positions"], "Liquidity positions, open ones first."),
    part("/orders", &["orders"], "Orders, open ones first."),
    part("/transactions", &["transactions"], "The newest transactions of every chain."),
    part("/ledger", &["ledger"], "The newest entries of the ledger."),
    part("/reconciliation", &["reconciliation"], "The ledger compared with the world."),
    part("/arbitrage", &["arbitrage"], "Cycles and gaps to exchanges, and what became of them."),
    part("/strategies", &["strategies"], "Strategies, with their money and last decision."),
    part("/risk", &["limits", "exposures", "fuel"], "Limits, exposures and fuel."),
];

/// A route for each part.
pub(super) fn routes() -> Router<Shared> {
    PARTS.iter().fold(Router::new(), |router, part| {
        router.route(part.path, get(move |shared: State<Shared>| pick(shared, part.fields)))
    })
}

async fn pick(State(shared): State<Shared>, fields: &'static [&'static str]) -> Response {
    let Some(document) = shared.door.document.borrow().clone() else { return not_yet() };
    let mut picked = Map::new();
    for field in STAMP.iter().chain(fields) {
        picked.insert((*field).to_owned(), document.get(*field).cloned().unwrap_or(Value::Null));
    }
    Json(picked).into_response()
}
