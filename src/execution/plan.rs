//! From what was approved to the next deed. Nothing but [`Approved`] is planned for.

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256};

use crate::execution::order::Order;
use crate::execution::tx::{Act, Spender};
use crate::model::intent::Want;
use crate::model::order::TimeInForce;
use crate::model::time::Timestamp;
use crate::model::venue::NewOrder;
use crate::risk::gate::Approved;

/// Time an order stays valid at the venue: bounds every doubt about it.
const ORDER_VALID_MS: i64 = 5_000;
/// Digits of an intent in a client order id: two letters and these are 32 characters.
const ID_DIGITS: usize = 30;

/// What contracts may still take; a missing one is unknown, not zero.
pub type Allowances = BTreeMap<(Address, Spender), U256>;

/// How long a transaction may be mined, by the chain's clock and by its height, and how much more
/// than it needs is approved before it.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Last block time.
    pub time: Timestamp,
    /// Last block, for what is worth nothing later.
    pub block: u64,
    /// What is approved, in times of what is needed.
    pub approved_times: u64,
}

/// The transaction an approved want asks for next: its own, or the approval it still lacks. `None`
/// for wants of other places. `pair` is token0 and token1 of the want's pool.
pub fn act(
    approved: &Approved,
    pair: (Address, Address),
    allowances: &Allowances,
    terms: Terms,
) -> Option<Act> {
    let deadline = terms.time;
    let (needs, spender, act) = match &approved.intent().want {
        Want::Open(open) => (
            vec![(pair.0, open.amount0), (pair.1, open.amount1)],
            Spender::PositionManager,
            Act::Open { open: open.clone(), deadline },
        ),
        Want::Swap(swap) => (
            vec![(swap.token_in, swap.amount_in)],
            Spender::SwapRouter,
            Act::Swap { swap: swap.clone(), deadline },
        ),
        Want::Close(close) => return Some(Act::Close { close: close.clone(), deadline }),
        // A flash swap takes nothing of ours, so it needs no allowance.
        Want::Cycle(cycle) => {
            return Some(Act::Cycle { cycle: cycle.clone(), deadline_block: terms.block });
        }
        Want::Hedge(_) | Want::Leg(_) | Want::Quote(_) => return None,
    };
    for (token, amount) in needs {
        // Some tokens (USDT) refuse to change an allowance that is not zero; an unknown one may be
        // anything, so it is set to zero first as well.
        let amount = match allowances.get(&(token, spender)) {
            Some(allowed) if *allowed >= amount => continue,
            Some(allowed) if allowed.is_zero() => {
                amount.saturating_mul(U256::from(terms.approved_times))
            }
            _ => U256::ZERO,
        };
        return Some(Act::Approve { token, spender, amount });
    }
    Some(act)
}

/// The order an approved hedge, leg or quote asks for; its id is the intent's, alphanumeric, 32
/// long, unique for ever. `None` for wants of other places.
pub fn order(approved: &Approved, now: Timestamp) -> Option<Order> {
    let intent = approved.intent();
    let digits = intent.id.simple().to_string();
    let client_order_id = format!("tk{}", &digits[..ID_DIGITS]);
    let valid_until = now.plus_ms(ORDER_VALID_MS);
    let request = match &intent.want {
        Want::Hedge(hedge) | Want::Leg(hedge) => NewOrder {
            venue: hedge.venue.clone(),
            symbol: hedge.symbol.clone(),
            client_order_id,
            side: hedge.side,
            price: hedge.price_limit,
            quantity: hedge.quantity,
            time_in_force: TimeInForce::Ioc,
            reduce_only: hedge.reduce_only,
            valid_until,
        },
        Want::Quote(quote) => NewOrder {
            venue: quote.venue.clone(),
            symbol: quote.symbol.clone(),
            client_order_id,
            side: quote.side,
            price: quote.price,
            quantity: quote.quantity,
            time_in_force: TimeInForce::PostOnly,
            reduce_only: false,
            valid_until,
        },
        _ => return None,
    };
    Some(Order::new(request, now, intent.why.clone()))
}
