//! A market together with the accounts that trade on it: the door through which orders come.

use crate::sim::clearing::Clearing;
use crate::sim::market::Market;
use crate::sim::order::{Reference, Refusal, Request};

/// One market and its clearing.
#[derive(Debug)]
pub struct Desk<C> {
    /// The book, the tape, orders and trades.
    pub market: Market,
    /// The accounts.
    pub clearing: C,
}

impl<C: Clearing> Desk<C> {
    /// Plays the tape for `by_ms`, stamping what happens with `now_ms`.
    pub fn advance(&mut self, by_ms: i64, now_ms: i64) {
        self.market.advance(by_ms, now_ms, &mut self.clearing);
        self.sweep(now_ms);
    }

    /// Accepts and matches an order; its id, or why not.
    pub fn place(&mut self, request: Request, now_ms: i64) -> Result<u64, Refusal> {
        let placed = self.market.place(request, now_ms, &mut self.clearing);
        self.sweep(now_ms);
        placed
    }

    /// Cancels one open order; its id, or why not.
    pub fn cancel(
        &mut self,
        account: usize,
        reference: &Reference,
        cancel_id: Option<String>,
        now_ms: i64,
    ) -> Result<u64, Refusal> {
        self.market.cancel(account, reference, cancel_id, now_ms, &mut self.clearing)
    }

    /// Cancels all open orders of an account; their ids, oldest first.
    pub fn cancel_all(&mut self, account: usize, now_ms: i64) -> Vec<u64> {
        let ids: Vec<u64> = self.market.open_orders(account).map(|order| order.id).collect();
        let cancelled = |id: &u64| self.cancel(account, &Reference::Id(*id), None, now_ms).is_ok();
        ids.into_iter().filter(cancelled).collect()
    }

    /// Expires orders that may no longer trade in full (reduce-only after the position shrank).
    fn sweep(&mut self, now_ms: i64) {
        for id in self.market.open_reducing() {
            let order = self.market.order(id);
            if order.is_some_and(|order| self.clearing.fillable(order) < order.remaining()) {
                self.market.expire(id, now_ms, &mut self.clearing);
            }
        }
    }
}
