//! What changed pools: their logs, and the blocks that a chain took back.

use alloy::primitives::U256;

use super::export::Wanted;
use super::sheets::line;
use crate::engine::event::{Body, Event, Pool, PoolEvent};
use crate::market::pools::v2::V2Event;
use crate::market::pools::v3::{V3Event, Watched};
use crate::market::pools::v4::{SwapEnd, V4Event};
use crate::model::chain::{BlockRef, Header, PoolAddress};

/// Where and when a row belongs.
struct Place<'a> {
    event: &'a Event,
    chain: u64,
    number: u64,
    hash: String,
    /// The chain's clock, Unix seconds; nothing where it is not known.
    timestamp: String,
}

/// What a row says of a pool; nothing where a kind of log has no such figure.
#[derive(Default)]
struct Change {
    event: &'static str,
    range: [String; 2],
    liquidity_delta: String,
    amounts: [String; 2],
    sqrt_price_x96: String,
    pool_liquidity: String,
    tick: String,
    reserves: [String; 2],
    amounts_in: [String; 2],
    amounts_out: [String; 2],
    detail: String,
}

/// Writes the rows of a block, of the pools at the start, or of blocks taken back; says how many.
pub(super) fn pools(event: &Event, wanted: &Wanted, text: &mut String) -> u64 {
    match &event.body {
        Body::ChainReady(start) => {
            let place = Place::of(event, &start.header);
            let pools = start.pools.iter().map(|(pool, state)| (pool, Change::state(state)));
            write(&place, pools, wanted, text)
        }
        Body::Block(block) => {
            let place = Place::of(event, &block.header);
            let logs = block.pool_logs.iter().map(|(pool, log)| (pool, Change::of(log)));
            write(&place, logs, wanted, text)
        }
        Body::PoolReload(reading) => {
            let BlockRef { chain, number, hash } = reading.block;
            let (hash, timestamp) = (hash.to_string(), String::new());
            let place = Place { event, chain, number, hash, timestamp };
            let state = Change::state(&reading.state);
            write(&place, std::iter::once((&reading.pool, state)), wanted, text)
        }
        Body::Reorganised(kept) if wanted.chain(kept.block.chain) => {
            Place::of(event, kept).row(None, &Change::bare("reorganised"), text);
            1
        }
        Body::ReorganisedTooDeep { chain, number, canonical, .. } if wanted.chain(*chain) => {
            let (chain, number, hash) = (*chain, *number, canonical.to_string());
            let place = Place { event, chain, number, hash, timestamp: String::new() };
            place.row(None, &Change::bare("reorganised_too_deep"), text);
            1
        }
        _ => 0,
    }
}

fn write<'a>(
    place: &Place<'_>,
    changes: impl Iterator<Item = (&'a PoolAddress, Change)>,
    wanted: &Wanted,
    text: &mut String,
) -> u64 {
    let mut n_rows = 0;
    for (pool, change) in changes.filter(|(pool, _)| wanted.pool(place.chain, **pool)) {
        place.row(Some(pool), &change, text);
        n_rows += 1;
    }
    n_rows
}

impl<'a> Place<'a> {
    fn of(event: &'a Event, header: &Header) -> Self {
        Self {
            event,
            chain: header.block.chain,
            number: header.block.number,
            hash: header.block.hash.to_string(),
            timestamp: header.time.ms().div_euclid(1_000).to_string(),
        }
    }

    fn row(&self, pool: Option<&PoolAddress>, change: &Change, text: &mut String) {
        line(
            text,
            &[
                &self.number.to_string(),
                &self.timestamp,
                "",
                "",
                "",
                change.event,
                "",
                "",
                &change.range[0],
                &change.range[1],
                &change.liquidity_delta,
                &change.amounts[0],
                &change.amounts[1],
                &change.sqrt_price_x96,
                &change.pool_liquidity,
                &change.tick,
                &self.hash,
                &self.chain.to_string(),
                &pool.map(|pool| format!("{pool:#x}")).unwrap_or_default(),
                &change.reserves[0],
                &change.reserves[1],
                &change.amounts_in[0],
                &change.amounts_in[1],
                &change.amounts_out[0],
                &change.amounts_out[1],
                &change.detail,
                &self.event.at.0.to_string(),
                &self.event.seq.to_string(),
            ],
        );
    }
}

impl Change {
    fn bare(event: &'static str) -> Self {
        Self { event, ..Self::default() }
    }

    /// A pool as read at the start or anew, ticks apart.
    fn state(pool: &Pool) -> Self {
        match pool {
            Pool::V2(pair) => {
                let (reserve0, reserve1) = pair.reserves();
                Self { reserves: both(reserve0, reserve1), ..Self::bare("state") }
            }
            Pool::V3(pool) => match pool.snapshot() {
                Ok(state) => Self {
                    sqrt_price_x96: state.sqrt_price_x96.to_string(),
                    pool_liquidity: state.liquidity.to_string(),
                    tick: state.tick.to_string(),
                    ..Self::bare("state")
                },
                Err(error) => Self { detail: error.to_string(), ..Self::bare("broken") },
            },
            Pool::V4(pool) => match pool.snapshot() {
                Ok(state) => Self {
                    sqrt_price_x96: state.sqrt_price_x96.to_string(),
                    pool_liquidity: state.liquidity.to_string(),
                    tick: state.tick.to_string(),
                    ..Self::bare("state")
                },
                Err(error) => Self { detail: error.to_string(), ..Self::bare("broken") },
            },
        }
    }

    fn of(log: &PoolEvent) -> Self {
        match log {
            PoolEvent::V3(log) => Self::of_v3(log),
            PoolEvent::V2(log) => Self::of_v2(log),
            PoolEvent::V4(log) => Self::of_v4(log),
            PoolEvent::Broken(why) => Self { detail: why.clone(), ..Self::bare("broken") },
            PoolEvent::Watched(Watched { lower, upper, liquidity, .. }) => Self {
                range: both(*lower, *upper),
                detail: format!("pretend liquidity {liquidity}"),
                ..Self::bare("watched")
            },
            PoolEvent::Unwatched { lower, upper } => {
                Self { range: both(*lower, *upper), ..Self::bare("unwatched") }
            }
        }
    }

    fn of_v3(log: &V3Event) -> Self {
        match *log {
            V3Event::Initialize { sqrt_price_x96, tick } => Self {
                sqrt_price_x96: sqrt_price_x96.to_string(),
                tick: tick.to_string(),
                ..Self::bare("initialize")
            },
            V3Event::Swap { amount0, amount1, sqrt_price_x96, liquidity, tick } => Self {
                amounts: both(amount0, amount1),
                sqrt_price_x96: sqrt_price_x96.to_string(),
                pool_liquidity: liquidity.to_string(),
                tick: tick.to_string(),
                ..Self::bare("swap")
            },
            V3Event::Mint { lower, upper, amount } => Self {
                range: both(lower, upper),
                liquidity_delta: amount.to_string(),
                ..Self::bare("mint")
            },
            V3Event::Burn { lower, upper, amount } => Self {
                range: both(lower, upper),
                liquidity_delta: difference(U256::ZERO, U256::from(amount)),
                ..Self::bare("burn")
            },
            V3Event::Flash { paid0, paid1 } => {
                Self { amounts: both(paid0, paid1), ..Self::bare("flash") }
            }
            V3Event::SetFeeProtocol { old0, old1, new0, new1 } => Self {
                detail: format!("{old0}/{old1} to {new0}/{new1}"),
                ..Self::bare("set_fee_protocol")
            },
            V3Event::CollectProtocol { amount0, amount1 } => {
                Self { amounts: both(amount0, amount1), ..Self::bare("collect_protocol") }
            }
            V3Event::Collect { lower, upper, amount0, amount1 } => Self {
                range: both(lower, upper),
                amounts: both(amount0, amount1),
                ..Self::bare("collect")
            },
        }
    }

    fn of_v2(log: &V2Event) -> Self {
        match *log {
            V2Event::Sync { reserve0, reserve1 } => {
                Self { reserves: both(reserve0, reserve1), ..Self::bare("sync") }
            }
            V2Event::Swap { amount0_in, amount1_in, amount0_out, amount1_out } => Self {
                amounts: [difference(amount0_in, amount0_out), difference(amount1_in, amount1_out)],
                amounts_in: both(amount0_in, amount1_in),
                amounts_out: both(amount0_out, amount1_out),
                ..Self::bare("swap")
            },
            V2Event::Mint { amount0, amount1 } => {
                Self { amounts: both(amount0, amount1), ..Self::bare("mint") }
            }
            V2Event::Burn { amount0, amount1 } => {
                Self { amounts: both(amount0, amount1), ..Self::bare("burn") }
            }
        }
    }

    /// Its logs tell the swapper's side of the amounts; the columns are the pool's.
    fn of_v4(log: &V4Event) -> Self {
        match *log {
            V4Event::Initialize { sqrt_price_x96, tick } => Self {
                sqrt_price_x96: sqrt_price_x96.to_string(),
                tick: tick.to_string(),
                ..Self::bare("initialize")
            },
            V4Event::Swap(SwapEnd {
                amount0,
                amount1,
                sqrt_price_x96,
                liquidity,
                tick,
                fee_pips,
            }) => Self {
                amounts: [amount0, amount1].map(other_side),
                sqrt_price_x96: sqrt_price_x96.to_string(),
                pool_liquidity: liquidity.to_string(),
                tick: tick.to_string(),
                detail: format!("{fee_pips} pips paid"),
                ..Self::bare("swap")
            },
            V4Event::ModifyLiquidity { lower, upper, delta } => Self {
                range: both(lower, upper),
                liquidity_delta: delta.to_string(),
                ..Self::bare("modify_liquidity")
            },
            V4Event::Donate { amount0, amount1 } => {
                Self { amounts: both(amount0, amount1), ..Self::bare("donate") }
            }
            V4Event::ProtocolFeeUpdated { protocol_fee } => Self {
                detail: format!("{protocol_fee:#08x}, twelve bits a direction"),
                ..Self::bare("protocol_fee_updated")
            },
        }
    }
}

/// What one side lost the other got.
fn other_side(amount: i128) -> String {
    let size = U256::from(amount.unsigned_abs());
    if amount > 0 { difference(U256::ZERO, size) } else { size.to_string() }
}

fn both<T: ToString>(zero: T, one: T) -> [String; 2] {
    [zero.to_string(), one.to_string()]
}

/// `have - less`, signed and exact.
fn difference(have: U256, less: U256) -> String {
    if have >= less { (have - less).to_string() } else { format!("-{}", less - have) }
}
