//! What the engine asked for, sorted for an assertion.

use uuid::Uuid;

use crate::engine::output::Command;
use crate::engine::tests::stage::{HEDGE, SYMBOL};
use crate::execution::order::Order;
use crate::execution::tx::{Act, TxRequest};

/// Gas estimates asked for.
pub(super) fn estimates(asked: &[Command]) -> Vec<(Uuid, Act)> {
    let of = |command: &Command| match command {
        Command::Estimate { intent, act, .. } => Some((*intent, act.clone())),
        _ => None,
    };
    asked.iter().filter_map(of).collect()
}

/// Transactions to be signed.
pub(super) fn submits(asked: &[Command]) -> Vec<TxRequest> {
    let of = |command: &Command| match command {
        Command::Submit { request, .. } => Some(request.clone()),
        _ => None,
    };
    asked.iter().filter_map(of).collect()
}

/// Orders to be placed.
pub(super) fn places(asked: &[Command]) -> Vec<Order> {
    let of = |command: &Command| match command {
        Command::Place { order, .. } => Some(order.clone()),
        _ => None,
    };
    asked.iter().filter_map(of).collect()
}

/// The only element.
pub(super) fn only<T: std::fmt::Debug>(mut of: Vec<T>) -> T {
    assert_eq!(of.len(), 1, "{of:?}");
    of.remove(0)
}

/// True when nothing that reaches a market, or prepares to, was asked.
pub(super) fn is_idle(asked: &[Command]) -> bool {
    estimates(asked).is_empty() && submits(asked).is_empty() && places(asked).is_empty()
}

/// True when everything resting is to be cancelled.
pub(super) fn cancels_all(asked: &[Command]) -> bool {
    asked.iter().any(|command| match command {
        Command::CancelAll { venue, symbol } => venue == HEDGE && symbol == SYMBOL,
        _ => false,
    })
}
