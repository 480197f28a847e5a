//! `pool inspect`: everything that one pool says of itself.

use alloy::primitives::{Address, U256};
use anyhow::{Context, Result};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::Answer;
use crate::cli::columns::table;
use crate::cli::pool::curve;
use crate::cli::pool::figures::{exact, joined, money, money_json, shown};
use crate::cli::pool::place::{Reading, Site};
use crate::cli::pool::quote::quoting;
use crate::cli::pool::ranges::Ranges;
use crate::engine::event::Pool as State;
use crate::io::chain::evm::hooked::Quoting;
use crate::market::pools::v2::PoolV2;
use crate::market::pools::v3::{PoolV3, V3Snapshot};
use crate::market::pools::v4::PoolV4;
use crate::math::amm::Direction;
use crate::math::amm::tick::{TickState, sqrt_price_at};
use crate::math::amm::v4::protocol_part_pips;
use crate::model::amount::human_unsigned;

/// One line for people: what, and how much.
type Line = [String; 2];

/// Tells a pool.
pub(super) async fn inspect(read: &Reading<'_>) -> Result<Answer> {
    let Reading { site, state, .. } = read;
    let quoting = quoting(read).await?;
    let price = site.price(state);
    let mut lines = vec![
        line("price", format!("{} {}", shown(price), site.unit())),
        line("fee", fee_told(site, state)),
    ];
    for (name, coin) in ["token0", "token1"].into_iter().zip(site.coins()) {
        let told = format!("{} {}, {} decimals", coin.symbol, coin.address, coin.decimals);
        lines.push(line(name, told));
    }
    let (of_kind, more) = match state {
        State::V3(pool) => joined_with_ranges(site, state, v3(site, pool)?)?,
        State::V4(pool) => joined_with_ranges(site, state, v4(site, pool, quoting))?,
        State::V2(pool) => v2(site, pool),
    };
    lines.extend(of_kind);
    let tokens = site.coins().map(|coin| {
        let address = coin.address.to_string();
        json!({ "symbol": coin.symbol, "address": address, "decimals": coin.decimals })
    });
    let json = json!({ "price": exact(price), "unit": site.unit(), "tokens": tokens });
    let json = joined(joined(read.json(), json), more);
    Ok(Answer { text: read.told() + &table(&lines), json, failure: None })
}

fn line(what: &str, told: impl ToString) -> Line {
    [what.to_owned(), told.to_string()]
}

fn v2(site: &Site<'_>, pool: &PoolV2) -> (Vec<Line>, Value) {
    let (reserve0, reserve1) = pool.reserves();
    let held = [reserve0, reserve1].map(U256::from);
    let value = value(site, held, site.price_of(pool.reserves()));
    let mut lines = holds(site, held, "reserve");
    lines.push(line("worth", value_told(site, value)));
    let [coin0, coin1] = site.coins();
    let json = json!({
        "reserves": [money_json(held[0], coin0), money_json(held[1], coin1)],
        "value_in_quote": exact(value),
    });
    (lines, json)
}

/// What pools of V3 and V4 have alike, and behind it what is a kind's own.
fn joined_with_ranges(
    site: &Site<'_>,
    state: &State,
    (own_lines, own_json): (Vec<Line>, Value),
) -> Result<(Vec<Line>, Value)> {
    let known = Ranges::of(state).zip(state.fee_growth_global());
    let (pool, [growth0, growth1]) =
        known.with_context(|| format!("{} has no ticks", site.name))?;
    let sides = curve::sides(pool).with_context(|| format!("adding up {}", site.name))?;
    let held = [sides.amount0, sides.amount1];
    let value = value(site, held, site.price_at(pool.sqrt_price_x96));
    let [below, above] = nearest(site, pool);
    let spacing = site.setup.tick_spacing;
    let mut lines = vec![
        line("sqrtPriceX96", pool.sqrt_price_x96),
        line("tick", format!("{}, on a grid of {spacing}", pool.tick)),
        line("liquidity in range", pool.liquidity),
        line("initialized ticks", pool.ticks.len()),
        line("nearest below", tick_told(site, below.as_ref())),
        line("nearest above", tick_told(site, above.as_ref())),
    ];
    lines.extend(holds(site, held, "liquidity holds"));
    lines.push(line("worth", value_told(site, value)));
    lines.extend(own_lines);
    lines.push(line("feeGrowthGlobal0X128", growth0));
    lines.push(line("feeGrowthGlobal1X128", growth1));
    let [coin0, coin1] = site.coins();
    let json = json!({
        "sqrt_price_x96": pool.sqrt_price_x96.to_string(),
        "tick": pool.tick,
        "tick_spacing": spacing,
        "liquidity": pool.liquidity.to_string(),
        "initialized_ticks": pool.ticks.len(),
        "nearest_below": below.map(Near::json),
        "nearest_above": above.map(Near::json),
        "holds": [money_json(held[0], coin0), money_json(held[1], coin1)],
        "value_in_quote": exact(value),
        "fee_growth_global_x128": [growth0.to_string(), growth1.to_string()],
    });
    Ok((lines, joined(json, own_json)))
}

fn v3(site: &Site<'_>, pool: &PoolV3) -> Result<(Vec<Line>, Value)> {
    let whole = pool.snapshot().with_context(|| format!("telling {}", site.name))?;
    let parts = protocol_parts(&whole);
    let mut lines = Vec::new();
    for (coin, (part, owed)) in site.coins().into_iter().zip(parts.into_iter().zip(owed(&whole))) {
        let part = if part == 0 { "none".to_owned() } else { format!("1/{part} of the fee") };
        let told = format!("{part}; {} to be collected", money(owed, coin));
        lines.push(line(&format!("protocol, {}", coin.symbol), told));
    }
    let ([owed0, owed1], [coin0, coin1]) = (owed(&whole), site.coins());
    let json = json!({
        // One over this part of each fee is the protocol's; zero is none.
        "fee_protocol": parts,
        "protocol_fees": [money_json(owed0, coin0), money_json(owed1, coin1)],
    });
    Ok((lines, json))
}

fn v4(site: &Site<'_>, pool: &PoolV4, quoting: Quoting) -> (Vec<Line>, Value) {
    let key = pool.key();
    let parts = [Direction::ZeroForOne, Direction::OneForZero]
        .map(|way| protocol_part_pips(pool.protocol_fee(), way));
    let mut lines = Vec::new();
    for (coin, part) in site.coins().into_iter().zip(parts) {
        let told = format!("{part} pips of what is given, before the liquidity's fee");
        lines.push(line(&format!("protocol, {}", coin.symbol), told));
    }
    let refusal = match quoting {
        Quoting::Refused(why) => Some(why.to_string()),
        Quoting::Curve | Quoting::Simulation { .. } => None,
    };
    let hooks = (!key.hooks.is_zero()).then(|| key.hooks.to_string());
    lines.push(line("manager", told_or_unknown(site.setup.manager)));
    lines.push(line("hooks", hooks.as_deref().unwrap_or("none")));
    lines.push(line("quotes", quoting));
    let json = json!({
        "manager": site.setup.manager.map(|manager| manager.to_string()),
        "hooks": hooks,
        "has_dynamic_fee": key.has_dynamic_fee(),
        "quoted": quoting.to_string(),
        "no_quote": refusal,
        // Parts of one million of what is given, by the token that is given.
        "protocol_fee_pips": parts,
    });
    (lines, json)
}

fn told_or_unknown(address: Option<Address>) -> String {
    address.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
}

fn fee_told(site: &Site<'_>, state: &State) -> String {
    match state {
        State::V4(pool) if pool.key().has_dynamic_fee() => {
            format!("{} pips to the liquidity, set by the hooks", pool.lp_fee_pips())
        }
        State::V4(pool) => format!("{} pips to the liquidity", pool.lp_fee_pips()),
        State::V2(_) | State::V3(_) => format!("{} pips", site.pool.fee_pips),
    }
}

/// An initialized tick.
#[derive(Debug)]
struct Near {
    tick: i32,
    price: Option<Decimal>,
    state: TickState,
}

impl Near {
    fn json(self) -> Value {
        let Self { tick, price, state } = self;
        let (gross, net) = (state.gross.to_string(), state.net.to_string());
        json!({ "tick": tick, "price": exact(price), "liquidity_gross": gross,
            "liquidity_net": net })
    }
}

/// The initialized ticks beside the pool's: the one at or below it, and the one above.
fn nearest(site: &Site<'_>, pool: Ranges<'_>) -> [Option<Near>; 2] {
    let near = |(&tick, &state): (&i32, &TickState)| {
        let price = sqrt_price_at(tick).ok().and_then(|sqrt| site.price_at(sqrt));
        Near { tick, price, state }
    };
    let below = pool.ticks.range(..=pool.tick).next_back().map(near);
    let above = pool.ticks.range(pool.tick.saturating_add(1)..).next().map(near);
    [below, above]
}

fn tick_told(site: &Site<'_>, near: Option<&Near>) -> String {
    let Some(Near { tick, price, state }) = near else { return "none".to_owned() };
    let (price, unit) = (shown(*price), site.unit());
    format!("{tick} at {price} {unit}, liquidity {:+} above it", state.net)
}

/// Parts of token0's and token1's fees that are the protocol's, as one over this.
fn protocol_parts(whole: &V3Snapshot) -> [u8; 2] {
    [whole.fee_protocol & 0x0f, whole.fee_protocol >> 4]
}

fn owed(whole: &V3Snapshot) -> [U256; 2] {
    [whole.protocol_fees0, whole.protocol_fees1].map(U256::from)
}

/// What stands on either side: with ticks above and below the price.
fn holds(site: &Site<'_>, held: [U256; 2], what: &str) -> Vec<Line> {
    let line_of = |(raw, coin)| line(what, money(raw, coin));
    held.into_iter().zip(site.coins()).map(line_of).collect()
}

/// All of it in the quote, at the pool's own price.
fn value(site: &Site<'_>, held: [U256; 2], price: Option<Decimal>) -> Option<Decimal> {
    let [base, quote] = site.base_first(held);
    let base = human_unsigned(base, site.base.decimals.into())?.checked_mul(price?)?;
    base.checked_add(human_unsigned(quote, site.quote.decimals.into())?)
}

fn value_told(site: &Site<'_>, value: Option<Decimal>) -> String {
    format!("{} {}, at the pool's own price", shown(value), site.quote.symbol)
}
