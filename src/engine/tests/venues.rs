//! The miniature venues: what they tell of orders and trades.

use rust_decimal::{Decimal, dec};

use crate::engine::event::{Body, FillSource};
use crate::engine::output::Command;
use crate::engine::tests::stage::{HEDGE, SYMBOL};
use crate::engine::tests::world::World;
use crate::execution::order::Order;
use crate::model::order::Side;
use crate::model::venue::{Fill, OrderReply, OrderReport, Reported};

impl World {
    /// The venue's own list of trades.
    pub(super) fn list(&mut self, venue: &str, fills: Vec<Fill>) -> Vec<Command> {
        let (venue, symbol, source) = (venue.to_owned(), SYMBOL.to_owned(), FillSource::List);
        self.feed(Body::Fills { venue, symbol, fills, source })
    }

    /// Part of an order trades, at its own price: the account moves, nobody was told yet.
    pub(super) fn trade(
        &mut self,
        order: &Order,
        trade_id: u64,
        order_id: u64,
        base: Decimal,
    ) -> Fill {
        let request = &order.request;
        let fee = (request.price * base * dec!(0.0004)).round_dp(8);
        let account = self.accounts.get_mut(HEDGE).expect("a venue of the setup");
        account.balances[0].1 -= fee;
        account.positions[0].1 += match request.side {
            Side::Buy => base,
            Side::Sell => -base,
        };
        Fill {
            trade_id,
            client_order_id: Some(request.client_order_id.clone()),
            is_forced: false,
            venue_order_id: order_id,
            side: request.side,
            price: request.price,
            quantity: base,
            fee,
            fee_asset: "USDT".into(),
            realized_pnl: Decimal::ZERO,
            margin_asset: "USDT".into(),
            venue_time: self.now,
        }
    }

    /// A trade is told.
    pub(super) fn tell(&mut self, fill: &Fill, source: FillSource) -> Vec<Command> {
        let (venue, symbol) = (HEDGE.to_owned(), SYMBOL.to_owned());
        self.feed(Body::Fills { venue, symbol, fills: vec![fill.clone()], source })
    }

    /// The user stream speaks of an order.
    pub(super) fn report(
        &mut self,
        order: &Order,
        order_id: u64,
        state: Reported,
        filled: Decimal,
    ) -> Vec<Command> {
        let report = report(order, order_id, state, filled);
        self.feed(Body::OrderReport { venue: HEDGE.into(), report })
    }

    /// A request about an order is answered.
    pub(super) fn reply(&mut self, order: &Order, reply: OrderReply) -> Vec<Command> {
        let client_order_id = order.request.client_order_id.clone();
        self.feed(Body::OrderReply { client_order_id, reply })
    }
}

/// What a venue says of an order.
pub(super) fn report(
    order: &Order,
    order_id: u64,
    state: Reported,
    filled: Decimal,
) -> OrderReport {
    let client_order_id = order.request.client_order_id.clone();
    OrderReport { client_order_id, venue_order_id: order_id, state, filled }
}
