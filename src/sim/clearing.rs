//! What a market needs from those who keep the money: spot and perpetual accounts both give it.

use crate::sim::order::{Fill, Order, Refusal};

/// Keeps accounts in step with a market's orders. Called in the order in which things happen.
pub trait Clearing {
    /// May this order stand? Nothing is changed. `cost` is what it would pay in quote if it traded
    /// now: the value of its limit, or of the liquidity a market order would meet.
    fn admit(&self, order: &Order, cost: i128) -> Result<(), Refusal>;
    /// The order is accepted: lock what it needs and tell its owner.
    fn open(&mut self, order: &Order);
    /// How much of the order may still trade; below its remaining quantity it expires instead.
    fn fillable(&self, order: &Order) -> i64;
    /// A fill happened; `order` already counts it.
    fn settle(&mut self, order: &Order, fill: &Fill);
    /// The order ended with something left: release what is locked and tell its owner.
    fn close(&mut self, order: &Order);
}
