//! `pool quote`: what a trade would give and take at the block, by our own arithmetic, and beside
//! it what the chain's quoter says.

use alloy::primitives::U256;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rust_decimal::{Decimal, dec};
use serde_json::{Value, json};

use super::{Answer, OneArguments};
use crate::cli::columns::table;
use crate::cli::pool::figures::{difference, exact, joined, money, money_json, shown};
use crate::cli::pool::place::{Coin, Reading, Site};
use crate::cli::pool::quoter::{self, Quoted, Runs};
use crate::engine::event::Pool as State;
use crate::io::chain::evm::hooked::{HookRules, Quoting};
use crate::market::pools::v2::{PoolV2, V2Observed};
use crate::math::amm::price::Base;
use crate::math::amm::v2::KeptPart;
use crate::math::amm::v3::{SwapAmount, SwapOrder, SwapOutcome};
use crate::math::amm::v4::{protocol_part_pips, swap_fee_pips};
use crate::math::amm::{Direction, PIPS, Rounding, mul_div};
use crate::model::amount::{exact_raw, human_unsigned};

/// Places of a price impact in basis points.
const IMPACT_PLACES: u32 = 4;
const BPS: Decimal = dec!(10_000);

#[derive(Debug, Args)]
pub(super) struct QuoteArguments {
    #[command(flatten)]
    pub(super) one: OneArguments,
    /// Give exactly so much of a token, in whole tokens
    #[arg(
        long,
        num_args = 2,
        value_names = ["AMOUNT", "TOKEN"],
        required_unless_present = "buy",
        conflicts_with = "buy"
    )]
    sell: Option<Vec<String>>,
    /// Take exactly so much of a token, in whole tokens
    #[arg(long, num_args = 2, value_names = ["AMOUNT", "TOKEN"])]
    buy: Option<Vec<String>>,
}

/// The side of a trade that is fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Sell,
    Buy,
}

/// What is asked for: a fixed amount, and which token is given for which.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order<'c> {
    pub(super) side: Side,
    pub(super) raw: U256,
    pub(super) gives: Coin<'c>,
    pub(super) takes: Coin<'c>,
    pub(super) direction: Direction,
}

/// What it comes to. A run of contracts tells amounts alone.
#[derive(Clone, Copy, Debug)]
struct Trade {
    given: U256,
    taken: U256,
    /// Part of what is given.
    fee: Option<U256>,
    /// That part in millionths; `None` where it does not fit.
    fee_pips: Option<u32>,
    price_after: Option<Decimal>,
    /// V2 has none of the last two.
    sqrt_price_after: Option<U256>,
    n_crossed: Option<usize>,
}

/// Quotes a trade twice and compares.
pub(super) async fn quote(read: &Reading<'_>, arguments: &QuoteArguments) -> Result<Answer> {
    let Reading { site, state, .. } = read;
    let order = order(site, arguments)?;
    let quoting = quoting(read).await?;
    let trade = match (quoting, state) {
        (Quoting::Refused(why), _) => bail!("{} is not quoted: {why}", site.name),
        (Quoting::Simulation { .. }, _) => simulated(read, &order).await?,
        (Quoting::Curve, State::V2(pool)) => v2(site, pool, &order)?,
        (Quoting::Curve, State::V3(_) | State::V4(_)) => ticked(site, state, &order)?,
    };
    let quoted = quoter::ask(read, &order, Runs::OnTheEndpoint).await?;
    let ours = match order.side {
        Side::Sell => trade.taken,
        Side::Buy => trade.given,
    };
    let told = Told { read, order: &order, trade: &trade, ours, quoted, quoting };
    let failure = match quoting {
        Quoting::Simulation { .. } => {
            "the endpoint makes something else of the same call: the chain has rules that are \
             not simulated here, so that this pool is not quoted"
        }
        Quoting::Curve | Quoting::Refused(_) => {
            "the quoter of the chain says something else: do not trade on this pool, and report \
             pool and block"
        }
    };
    Ok(Answer {
        text: told.text(),
        json: joined(read.json(), told.json()),
        failure: (!told.agrees()).then(|| failure.to_owned()),
    })
}

/// How the pool is quoted; one that is not V4's by its arithmetic.
pub(super) async fn quoting(read: &Reading<'_>) -> Result<Quoting> {
    let State::V4(pool) = &read.state else { return Ok(Quoting::Curve) };
    let (rules, at) = (HookRules::of(read.place.chain), read.place.block.hash);
    let quoting = read.place.client.quoting(pool.key(), &rules, at).await;
    quoting.with_context(|| format!("asking for the code of the hooks of {}", read.site.name))
}

/// A trade in a pool whose hooks take part, by a run of the quoter's code in our own EVM.
async fn simulated(read: &Reading<'_>, order: &Order<'_>) -> Result<Trade> {
    let told = quoter::ask(read, order, Runs::InOurEvm).await?;
    let raw = told.context("no quoter is named")?.raw;
    let (given, taken) = match order.side {
        Side::Sell => (order.raw, raw),
        Side::Buy => (raw, order.raw),
    };
    Ok(Trade {
        given,
        taken,
        fee: None,
        fee_pips: None,
        price_after: None,
        sqrt_price_after: None,
        n_crossed: None,
    })
}

fn order<'c>(site: &Site<'c>, arguments: &QuoteArguments) -> Result<Order<'c>> {
    let (side, words) = match (&arguments.sell, &arguments.buy) {
        (Some(words), None) => (Side::Sell, words),
        (None, Some(words)) => (Side::Buy, words),
        _ => bail!("write either --sell AMOUNT TOKEN or --buy AMOUNT TOKEN"),
    };
    let [amount, symbol] = words.as_slice() else {
        bail!("write one amount and one token, as in --sell 1.5 {}", site.base.symbol)
    };
    let (fixed, other) = match symbol.as_str() {
        symbol if symbol == site.base.symbol => (site.base, site.quote),
        symbol if symbol == site.quote.symbol => (site.quote, site.base),
        _ => {
            let (base, quote) = (site.base.symbol, site.quote.symbol);
            bail!("{} has no {symbol:?}: write {base} or {quote}", site.name)
        }
    };
    let (gives, takes) = match side {
        Side::Sell => (fixed, other),
        Side::Buy => (other, fixed),
    };
    let gives_base = gives.address == site.base.address;
    let direction = match (site.frame.base(), gives_base) {
        (Base::Token0, true) | (Base::Token1, false) => Direction::ZeroForOne,
        (Base::Token0, false) | (Base::Token1, true) => Direction::OneForZero,
    };
    Ok(Order { side, raw: raw(amount, fixed)?, gives, takes, direction })
}

/// An amount in whole tokens as a person writes it, in the token's smallest units.
fn raw(text: &str, coin: Coin<'_>) -> Result<U256> {
    let amount = Decimal::from_str_exact(text);
    let amount = amount.with_context(|| format!("{text:?} is no amount: write it as in 1.5"))?;
    ensure!(amount > Decimal::ZERO, "{text} is nothing to trade: write more than 0");
    let (symbol, decimals) = (coin.symbol, coin.decimals);
    let raw = exact_raw(amount, decimals.into());
    let raw = raw.with_context(|| format!("{symbol} has {decimals} decimals: {text} has more"))?;
    Ok(raw.into_raw())
}

/// A trade in a pool of V3 or V4.
fn ticked(site: &Site<'_>, state: &State, order: &Order<'_>) -> Result<Trade> {
    let amount = match order.side {
        Side::Sell => SwapAmount::ExactIn(order.raw),
        Side::Buy => SwapAmount::ExactOut(order.raw),
    };
    let asked = SwapOrder { direction: order.direction, amount, sqrt_limit_x96: None };
    let outcome = walk(state, &asked).with_context(|| format!("quoting on {}", site.name))?;
    let (given, taken) = (outcome.amount_in, outcome.amount_out);
    ensure!(
        outcome.unfilled.is_zero(),
        "{} gives at most {} for {}: ask for less",
        site.name,
        money(taken, order.takes),
        money(given, order.gives)
    );
    Ok(Trade {
        given,
        taken,
        fee: Some(outcome.fee),
        fee_pips: fee_pips(site, state, order.direction),
        price_after: site.price_at(outcome.sqrt_price_x96),
        sqrt_price_after: Some(outcome.sqrt_price_x96),
        n_crossed: Some(outcome.crossed.len()),
    })
}

fn walk(state: &State, order: &SwapOrder) -> Result<SwapOutcome> {
    match state {
        State::V2(_) => bail!("it has no ticks"),
        State::V3(pool) => Ok(pool.walk(order)?),
        // Refused where hooks take part in swaps, with what they may do.
        State::V4(pool) => Ok(pool.walk(order)?),
    }
}

/// All that a swap pays, the protocol's part included.
fn fee_pips(site: &Site<'_>, state: &State, way: Direction) -> Option<u32> {
    match state {
        State::V2(_) | State::V3(_) => Some(site.pool.fee_pips),
        State::V4(pool) => {
            let part = protocol_part_pips(pool.protocol_fee(), way);
            swap_fee_pips(pool.lp_fee_pips(), part).ok()
        }
    }
}

fn v2(site: &Site<'_>, pool: &PoolV2, order: &Order<'_>) -> Result<Trade> {
    let quoting = || format!("quoting on {}: ask for less than it has", site.name);
    let (given, taken) = match order.side {
        Side::Sell => {
            let taken = pool.quote_exact_in(order.direction, order.raw).with_context(quoting)?;
            (order.raw, taken)
        }
        Side::Buy => {
            let given = pool.quote_exact_out(order.direction, order.raw).with_context(quoting)?;
            (given, order.raw)
        }
    };
    let pips = U256::from(site.pool.fee_pips);
    let fee = mul_div(given, pips, U256::from(PIPS), Rounding::Up)?;
    let price_after = v2_after(pool, order.direction, [given, taken]);
    let price_after = price_after.and_then(|after| site.price_of(after.reserves()));
    Ok(Trade {
        given,
        taken,
        fee: Some(fee),
        fee_pips: Some(site.pool.fee_pips),
        price_after,
        sqrt_price_after: None,
        n_crossed: None,
    })
}

/// The pair after a trade; `None` where its reserves do not fit any more.
fn v2_after(pool: &PoolV2, direction: Direction, [given, taken]: [U256; 2]) -> Option<PoolV2> {
    let (reserve0, reserve1) = pool.reserves();
    let plus = |reserve: u128| u128::try_from(U256::from(reserve).checked_add(given)?).ok();
    let minus = |reserve: u128| u128::try_from(U256::from(reserve).checked_sub(taken)?).ok();
    let (reserve0, reserve1) = match direction {
        Direction::ZeroForOne => (plus(reserve0)?, minus(reserve1)?),
        Direction::OneForZero => (minus(reserve0)?, plus(reserve1)?),
    };
    Some(PoolV2::from_snapshot(V2Observed { reserve0, reserve1 }, KeptPart::UNISWAP))
}

/// A quote in words.
struct Told<'a> {
    read: &'a Reading<'a>,
    order: &'a Order<'a>,
    trade: &'a Trade,
    /// The side that was not fixed, as we have it.
    ours: U256,
    quoted: Option<Quoted>,
    quoting: Quoting,
}

impl Told<'_> {
    fn text(&self) -> String {
        let (site, trade, order) = (&self.read.site, self.trade, self.order);
        let unit = site.unit();
        let unknown = || "unknown".to_owned();
        let impact = exact(self.impact_bps()).unwrap_or_else(unknown);
        let fee = trade.fee.map_or_else(unknown, |fee| money(fee, order.gives));
        let pips = trade.fee_pips.map_or_else(unknown, |pips| pips.to_string());
        let crossed = match (trade.n_crossed, self.quoting) {
            (Some(n), _) => n.to_string(),
            (None, Quoting::Curve) => "none: V2".to_owned(),
            (None, _) => unknown(),
        };
        let rows = [
            ["give".to_owned(), money(trade.given, order.gives)],
            ["take".to_owned(), money(trade.taken, order.takes)],
            ["average price".to_owned(), format!("{} {unit}, fee included", shown(self.average()))],
            ["price before".to_owned(), format!("{} {unit}", shown(self.before()))],
            ["price after".to_owned(), format!("{} {unit}", shown(trade.price_after))],
            ["price impact".to_owned(), format!("{impact} bps of the price before, without fee")],
            ["fee".to_owned(), format!("{fee}, {pips} pips")],
            ["ticks crossed".to_owned(), crossed],
            ["on-chain quoter".to_owned(), self.quoter_told()],
            ["how".to_owned(), self.quoting.to_string()],
        ];
        self.read.told() + &table(&rows)
    }

    fn quoter_told(&self) -> String {
        let open = self.open();
        match self.quoted {
            Some(Quoted { by, raw, sqrt_price_after }) => {
                let more = difference([self.ours, raw], open.decimals);
                let price = match sqrt_price_after {
                    None => "no price after",
                    same if same == self.trade.sqrt_price_after => "the same price after",
                    Some(_) => "ANOTHER price after",
                };
                format!("{}, difference {more}, {price}; {by}", money(raw, open))
            }
            None if self.read.site.pool.dex.has_quoter() => {
                let key = self.read.site.pool.dex.key("quoter");
                format!("none: the file of chain {} has no {key}", self.read.place.chain.name)
            }
            None => "none: V2 has none".to_owned(),
        }
    }

    /// Whether the quoter, where there is one, says what we say.
    fn agrees(&self) -> bool {
        self.quoted.is_none_or(|quoted| {
            let price = quoted.sqrt_price_after;
            let is_same_price = price.is_none() || price == self.trade.sqrt_price_after;
            quoted.raw == self.ours && is_same_price
        })
    }

    fn json(&self) -> Value {
        let Self { read, order, trade, ours, .. } = self;
        let open = self.open();
        let quoter = self.quoted.map(|Quoted { by, raw, sqrt_price_after }| {
            json!({
                "address": by.to_string(),
                "amount": money_json(raw, open),
                "difference": difference([*ours, raw], open.decimals),
                // V4's tells none.
                "sqrt_price_x96_after": sqrt_price_after.map(|sqrt| sqrt.to_string()),
                "is_same": self.agrees(),
            })
        });
        json!({
            "side": match order.side { Side::Sell => "sell", Side::Buy => "buy" },
            "give": money_json(trade.given, order.gives),
            "take": money_json(trade.taken, order.takes),
            "unit": read.site.unit(),
            "average_price": exact(self.average()),
            "price_before": exact(self.before()),
            "price_after": exact(trade.price_after),
            "sqrt_price_x96_after": trade.sqrt_price_after.map(|sqrt| sqrt.to_string()),
            "price_impact_bps": exact(self.impact_bps()),
            "fee": trade.fee.map(|fee| money_json(fee, order.gives)),
            "swap_fee_pips": trade.fee_pips,
            "ticks_crossed": trade.n_crossed,
            "quoter": quoter,
            "quoted": self.quoting.to_string(),
        })
    }

    /// The token of the side that was not fixed.
    fn open(&self) -> Coin<'_> {
        match self.order.side {
            Side::Sell => self.order.takes,
            Side::Buy => self.order.gives,
        }
    }

    fn gives_base(&self) -> bool {
        self.order.gives.address == self.read.site.base.address
    }

    fn before(&self) -> Option<Decimal> {
        self.read.site.price(&self.read.state)
    }

    /// Quote per base of the whole trade.
    fn average(&self) -> Option<Decimal> {
        let given = human_unsigned(self.trade.given, self.order.gives.decimals.into())?;
        let taken = human_unsigned(self.trade.taken, self.order.takes.decimals.into())?;
        if self.gives_base() { taken.checked_div(given) } else { given.checked_div(taken) }
    }

    /// How much less is taken than the price before would give for what is given without the fee.
    fn impact_bps(&self) -> Option<Decimal> {
        let net = self.trade.given.checked_sub(self.trade.fee?)?;
        let net = human_unsigned(net, self.order.gives.decimals.into())?;
        let taken = human_unsigned(self.trade.taken, self.order.takes.decimals.into())?;
        let price = self.before()?;
        let fair = match self.gives_base() {
            true => net.checked_mul(price)?,
            false => net.checked_div(price)?,
        };
        impact_bps([fair, taken])
    }
}

fn impact_bps([fair, taken]: [Decimal; 2]) -> Option<Decimal> {
    let missing = Decimal::ONE.checked_sub(taken.checked_div(fair)?)?;
    Some(missing.checked_mul(BPS)?.round_dp(IMPACT_PLACES))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;

    use super::*;
    use crate::cli::pool::ranges::tests::{HOOKS, v4};

    fn coin() -> Coin<'static> {
        Coin { symbol: "USDT", address: Address::ZERO, decimals: 6 }
    }

    #[test]
    fn an_amount_is_exact_or_refused_with_what_to_write() {
        assert_eq!(raw("1.5", coin()).unwrap(), U256::from(1_500_000));
        assert_eq!(raw("1.50", coin()).unwrap(), U256::from(1_500_000));
        for (wrong, told) in [
            ("a lot", "write it as in 1.5"),
            ("0", "more than 0"),
            ("-1", "more than 0"),
            ("0.0000001", "USDT has 6 decimals"),
        ] {
            let refused = format!("{:#}", raw(wrong, coin()).unwrap_err());
            assert!(refused.contains(told), "{wrong}: {refused}");
        }
    }

    #[test]
    fn the_impact_is_what_is_missing_of_a_fair_trade() {
        assert_eq!(impact_bps([dec!(2000), dec!(1999)]), Some(dec!(5)));
        assert_eq!(impact_bps([dec!(1), dec!(1)]), Some(Decimal::ZERO));
        assert_eq!(impact_bps([Decimal::ZERO, dec!(1)]), None);
    }

    #[test]
    fn a_pool_whose_hooks_take_part_in_swaps_is_refused_with_what_they_may_do() {
        let amount = SwapAmount::ExactIn(U256::from(1_000));
        let order = SwapOrder { direction: Direction::ZeroForOne, amount, sqrt_limit_x96: None };
        assert_eq!(walk(&v4(Address::ZERO), &order).unwrap().amount_in, U256::from(1_000));
        let refused = format!("{:#}", walk(&v4(HOOKS), &order).unwrap_err());
        assert!(refused.contains("beforeSwap may move the pool first"), "{refused}");
    }

    #[test]
    fn a_pair_after_a_trade_has_the_whole_input() {
        let observed = V2Observed { reserve0: 1_000, reserve1: 4_000 };
        let pool = PoolV2::from_snapshot(observed, KeptPart::UNISWAP);
        let traded = [U256::from(100), U256::from(350)];
        let after = |direction| v2_after(&pool, direction, traded).map(|pool| pool.reserves());
        assert_eq!(after(Direction::ZeroForOne), Some((1_100, 3_650)));
        assert_eq!(after(Direction::OneForZero), Some((650, 4_100)));
        let all = [U256::from(1), U256::from(4_001)];
        assert!(v2_after(&pool, Direction::ZeroForOne, all).is_none());
    }
}
