//! A pool against an exchange: one search per head, the swap on its way to the gate, and the leg
//! that is owed on the exchange once the swap is mined.

use alloy::primitives::{Address, U256};
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use crate::engine::Engine;
use crate::engine::event::Pool;
use crate::engine::output::Command;
use crate::engine::setup::{PoolSetup, StrategyKind};
use crate::engine::state::ChainState;
use crate::execution::plan;
use crate::execution::tx::Act;
use crate::math::quoting::floor_to;
use crate::model::amount::human_unsigned;
use crate::model::intent::{HedgeTarget, Intent, PoolId, Term, Want};
use crate::model::opportunity::{Fate, LegState, Moved, Opportunity, OpportunityKind, VenueLeg};
use crate::model::order::Side;
use crate::model::unit::{Account, Unit};
use crate::model::venue::Fill;
use crate::risk::gate;
use crate::strategy::cex_dex::{self, Found, Parameters, PoolRef};

/// Gas of one exact-input swap by the router: at most 136,000 on a pool whose ticks are near.
const GAS_PER_SWAP: u64 = 150_000;
/// A leg's next order waits so long after its last one, doubled so many times at most.
const LEG_RETRY_MS: i64 = 500;
const LEG_RETRY_DOUBLINGS_MAX: u32 = 4;
/// After a leg that was left, no gap is taken for so long: an exchange that does not trade now is
/// not believed at once.
const LEFT_REST_MS: i64 = 300_000;
/// Pips of one percent.
const PIPS_PER_PERCENT: i64 = 10_000;

impl Engine {
    pub(super) fn decide_cex_dex(&mut self, index: usize, parameters: &Parameters) {
        let Some(chain) = self.chains.get(&parameters.chain) else { return };
        let Some(head) = chain.head.filter(|_| chain.is_ready) else { return };
        if self.strategies[index].searched == Some(head.block.hash) {
            return;
        }
        self.strategies[index].searched = Some(head.block.hash);
        let is_free = !chain.is_busy() && self.now >= chain.retry_at;
        let found = match self.search_pools(parameters) {
            Ok(found) => found,
            Err(why) => return self.strategies[index].say(why, self.now),
        };
        let n_found = found.len();
        let Some(best) = found.into_iter().find(|found| found.is_worth) else {
            self.strategies[index].open_routes.clear();
            let why = none_taken(head.block.number, n_found);
            return self.strategies[index].say(why, self.now);
        };
        let route = format!("{:#x}/{}", best.swap.pool.address, best.leg.is_sign_negative());
        let is_new = self.strategies[index].open_routes.insert(route);
        let (fate, why) = if let Some(why) = self.is_engaged(parameters) {
            (Fate::Skipped, format!("{why}: {}", best.why))
        } else if !is_free {
            (Fate::Skipped, format!("the lane is busy: {}", best.why))
        } else {
            (Fate::Found, best.why.clone())
        };
        self.strategies[index].say(why.clone(), self.now);
        if is_new || fate == Fate::Found {
            self.see_gap(parameters, best, fate, why);
        }
    }

    /// Why a strategy takes no gap now, when it does not.
    fn is_engaged(&self, parameters: &Parameters) -> Option<&'static str> {
        let mut own = self.opportunities.iter().filter(|o| o.strategy == parameters.strategy);
        let was_left = |leg: &VenueLeg| {
            let rest_ms = parameters.unwind_ms.saturating_add(LEFT_REST_MS);
            let is_late = |at| self.now.ms_since(at) > rest_ms;
            leg.state == LegState::Left && !leg.since.is_some_and(is_late)
        };
        own.find_map(|seen| match &seen.leg {
            _ if seen.is_open() => Some("the one before is not over"),
            Some(leg) if was_left(leg) => Some("a leg was left of late"),
            _ => None,
        })
    }

    /// What it would say with these parameters, whether the lane is free or not.
    pub(in crate::engine) fn cex_dex_says(&self, parameters: &Parameters) -> String {
        let head = self.chains.get(&parameters.chain).and_then(|chain| chain.head);
        match self.search_pools(parameters) {
            Err(why) => why,
            Ok(found) => {
                let none = none_taken(head.map_or(0, |head| head.block.number), found.len());
                found.into_iter().find(|found| found.is_worth).map_or(none, |best| best.why)
            }
        }
    }

    fn search_pools(&self, parameters: &Parameters) -> Result<Vec<Found>, String> {
        let Parameters { venue, symbol, .. } = parameters;
        let chain = self.chains.get(&parameters.chain).ok_or("unknown chain")?;
        chain.live(self.now)?;
        self.venue_live(venue, symbol)?;
        let head = chain.head.ok_or("no head")?;
        let state = self.venues.get(venue).ok_or("unknown venue")?;
        let held = |asset: &str| self.spot_held(venue, asset).ok_or("the account is not known");
        let price = head.base_fee.saturating_add(chain.setup.max_priority_fee);
        let gas = U256::from(GAS_PER_SWAP).saturating_mul(U256::from(price));
        let pools: Vec<PoolRef<'_>> =
            chain.setup.pools.iter().filter_map(|setup| self.pool_of_pair(chain, setup)).collect();
        let past = self.tally(parameters.chain, OpportunityKind::Venue);
        let view = cex_dex::View {
            pools: &pools,
            book: state.books.get(symbol).ok_or("unknown market")?,
            rules: state.rules.get(symbol).ok_or("the market's rules are not read")?,
            venue_base: held(&self.setup.base_asset)?,
            venue_quote: held(&self.setup.numeraire)?,
            gas: self.gas_value(&chain.setup, gas),
            landed: past.landed,
            reverted: past.reverted,
            block: head.block.hash,
        };
        Ok(cex_dex::decide(&view, parameters))
    }

    /// A believed Uniswap V3 pool of base and numeraire, with what the wallet holds; `None` for
    /// others, which the router does not know.
    fn pool_of_pair<'a>(&self, chain: &'a ChainState, setup: &'a PoolSetup) -> Option<PoolRef<'a>> {
        let state = chain.pools.get(&setup.address).filter(|state| state.is_usable())?;
        let Pool::V3(pool) = &state.pool else { return None };
        if !setup.is_uniswap_v3() {
            return None;
        }
        let (token0, token1) = (chain.setup.token(setup.token0)?, chain.setup.token(setup.token1)?);
        let (base, quote) = if setup.base_is_token0 { (token0, token1) } else { (token1, token0) };
        if base.asset != self.setup.base_asset || quote.asset != self.setup.numeraire {
            return None;
        }
        let id = chain.setup.chain;
        let wallet = Account::Wallet { chain: id, signer: chain.setup.signer };
        let held = |token: Address| {
            U256::try_from(self.ledger.balance(&wallet, &Unit::Erc20 { chain: id, token })).ok()
        };
        Some(PoolRef {
            id: PoolId { chain: id, address: setup.address },
            pool,
            fee_pips: setup.fee_pips,
            tokens: (base.address, quote.address),
            decimals: (base.decimals, quote.decimals),
            held: (held(base.address)?, held(quote.address)?),
            base_is_token0: setup.base_is_token0,
        })
    }

    /// Keeps a gap, and sends the one that is taken on to the gate.
    fn see_gap(&mut self, parameters: &Parameters, found: Found, fate: Fate, why: String) {
        let Found { key, swap, expected, leg, anchor, net, terms, .. } = found;
        let Some(chain) = self.chains.get(&parameters.chain) else { return };
        let token = chain.setup.token(swap.token_in);
        let pool = chain.setup.pool(swap.pool.address).map_or(String::new(), |pool| {
            let fee = Decimal::from(pool.fee_pips) / Decimal::from(PIPS_PER_PERCENT);
            format!("{} {} % {}", pool.dex, fee.normalize(), pool.pair)
        });
        let (id, pays) = (swap.pool, token.map(|token| (token.symbol.clone(), token.decimals)));
        let (token, decimals) = pays.unwrap_or_default();
        let amount_in = human_unsigned(swap.amount_in, decimals).unwrap_or_default();
        let intent = Intent::new(&parameters.strategy, &key, Want::Swap(swap), why.clone())
            .with_terms(terms);
        let opportunity = Opportunity {
            id: intent.id,
            chain: id.chain,
            strategy: parameters.strategy.clone(),
            block: chain.head.map_or(0, |head| head.block.number),
            seen: self.now,
            route: vec![pool, format!("{} {}", parameters.venue, parameters.symbol)],
            token,
            amount_in,
            net,
            realised: None,
            fate,
            why,
            hash: None,
            leg: Some(VenueLeg {
                venue: parameters.venue.clone(),
                symbol: parameters.symbol.clone(),
                plan: leg,
                expected,
                anchor,
                target: Decimal::ZERO,
                done: Decimal::ZERO,
                on_chain: Moved::default(),
                on_venue: Moved::default(),
                gas_wei: None,
                attempts: 0,
                since: None,
                tried: None,
                state: LegState::Planned,
            }),
        };
        self.keep_opportunity(opportunity);
        if fate == Fate::Found {
            self.take_gap(intent);
        }
    }

    fn take_gap(&mut self, intent: Intent) {
        let (id, chain) = (intent.id, intent.want.pools().first().map(|pool| pool.chain));
        let outcome = self.review_on_chain(intent);
        let pending = chain.and_then(|chain| self.chains.get(&chain)?.pending.as_ref());
        let is_approval = pending.is_some_and(|pending| {
            pending.intent == id && matches!(pending.act, Act::Approve { .. })
        });
        let why = match outcome {
            Err(why) => why,
            Ok(()) if is_approval => "the router is allowed to take the token first".to_owned(),
            Ok(()) => return,
        };
        self.turn_opportunity(id, Fate::Skipped, Some(why));
    }

    /// What swap and leg would bring now, before gas; `Err` says why it cannot be told.
    pub(super) fn gross_now(&self, strategy: &str, leg: &VenueLeg) -> Result<Decimal, String> {
        let parameters = self.cex_dex(strategy).ok_or("its strategy is gone")?;
        self.venue_live(&leg.venue, &leg.symbol)?;
        let book = self.venues.get(&leg.venue).and_then(|state| state.books.get(&leg.symbol));
        let book = book.ok_or("unknown market")?;
        let moved = cex_dex::leg_now(book, leg.plan, parameters).ok_or("the book is too thin")?;
        leg.expected.quote.checked_add(moved.quote).ok_or_else(|| "it does not fit".to_owned())
    }

    /// Legs that are due are traded away, whether their strategy is paused or not.
    pub(super) fn close_legs(&mut self) {
        let is_due = |leg: &VenueLeg| leg.state == LegState::Due;
        let due = self.opportunities.iter().filter(|o| o.leg.as_ref().is_some_and(is_due));
        let due: Vec<Opportunity> = due.cloned().collect();
        for seen in due {
            match self.cex_dex(&seen.strategy).cloned() {
                Some(parameters) => self.close_leg(&seen, &parameters),
                None => self.end_leg(seen.id, LegState::Left),
            }
        }
    }

    fn close_leg(&mut self, seen: &Opportunity, parameters: &Parameters) {
        let Some(leg) = &seen.leg else { return };
        let VenueLeg { venue, symbol, .. } = leg;
        let Some(state) = self.venues.get(venue) else { return };
        // An order may be over before its trades are booked: only then we know what is open.
        if self.has_open_order(venue, symbol) || !state.is_settled() {
            return;
        }
        let Some(rules) = state.rules.get(symbol).cloned() else { return };
        // An account that is another now is no place to go on at.
        let is_elsewhere = (venue, symbol) != (&parameters.venue, &parameters.symbol);
        let is_over = is_elsewhere
            || leg.since.is_some_and(|at| self.now.ms_since(at) > parameters.unwind_ms);
        let price = self.venue_live(venue, symbol).ok().and_then(|()| self.mid(venue, symbol));
        let quantity = floor_to(leg.open().abs(), rules.lot).unwrap_or_default();
        let is_small = |price: Decimal| {
            quantity.checked_mul(price).is_some_and(|value| value < rules.min_notional)
        };
        if quantity.is_zero() || price.is_some_and(is_small) {
            return self.end_leg(seen.id, LegState::Closed);
        }
        if is_over {
            return self.end_leg(seen.id, LegState::Left);
        }
        let wait_ms = LEG_RETRY_MS << leg.attempts.saturating_sub(1).min(LEG_RETRY_DOUBLINGS_MAX);
        let is_early = leg.tried.is_some_and(|at| self.now.ms_since(at) < wait_ms);
        let limit = parameters.price_limit(leg.side(), leg.measure(), rules.tick);
        if let (Some(limit), false) = (limit.filter(|_| price.is_some()), is_early)
            && self.is_within(leg, limit)
        {
            self.place_leg(seen, leg, (quantity, limit), cex_dex::leg_terms(leg, parameters));
        }
    }

    /// True when the best price is no worse than the limit: an order would trade something.
    fn is_within(&self, leg: &VenueLeg, limit: Decimal) -> bool {
        let book = self.venues.get(&leg.venue).and_then(|state| state.books.get(&leg.symbol));
        book.is_some_and(|book| match leg.side() {
            Side::Buy => book.best_ask().is_some_and(|ask| ask.price <= limit),
            Side::Sell => book.best_bid().is_some_and(|bid| bid.price >= limit),
        })
    }

    fn place_leg(
        &mut self,
        seen: &Opportunity,
        leg: &VenueLeg,
        (quantity, limit): (Decimal, Decimal),
        terms: Vec<Term>,
    ) {
        let Some(notional) = quantity.checked_mul(limit) else { return };
        let (side, strategy) = (leg.side(), seen.strategy.clone());
        let why = format!(
            "{side} {} on {} at {} or better: the leg of a swap at {}",
            quantity.normalize(),
            leg.venue,
            limit,
            leg.measure().round_dp(4)
        );
        let want = Want::Leg(HedgeTarget {
            venue: leg.venue.clone(),
            symbol: leg.symbol.clone(),
            side,
            quantity,
            price_limit: limit,
            reduce_only: true,
            notional,
        });
        let key = format!("leg/{}/{}", seen.id.simple(), leg.attempts);
        let intent = Intent::new(&strategy, &key, want, why).with_terms(terms);
        let view = self.risk_view(self.venue_live(&leg.venue, &leg.symbol), None);
        let checks = gate::checks(&intent, &view, &self.setup.limits);
        let of = format!("{strategy}/leg");
        let approved = match gate::review(intent.clone(), &view, &self.setup.limits) {
            Ok(approved) => approved,
            Err(refusal) => return self.refused(&of, &intent, &checks, &refusal.to_string()),
        };
        if !self.sends_for(&strategy) {
            return self.refused(&of, &intent, &checks, "observing only");
        }
        self.last_refusal.remove(&of);
        self.note_intent(&intent, "leg", &checks);
        self.decisions += 1;
        let now = self.now;
        self.change_opportunity(seen.id, |seen| {
            if let Some(leg) = &mut seen.leg {
                (leg.attempts, leg.tried) = (leg.attempts.saturating_add(1), Some(now));
            }
        });
        let Some(order) = plan::order(&approved, now) else { return };
        self.orders.insert(order.request.client_order_id.clone(), order.clone());
        self.out.commands.push(Command::Place { order, intent: intent.id, strategy });
    }

    /// A leg is over: what both sides brought is told, at the price of now for what is left of it.
    fn end_leg(&mut self, id: Uuid, state: LegState) {
        let Some(price) = self.reference_price() else { return };
        let Some(seen) = self.opportunity(id) else { return };
        let Some(leg) = &seen.leg else { return };
        let chain = self.chains.get(&seen.chain);
        let gas = chain.zip(leg.gas_wei).and_then(|(chain, wei)| self.gas_value(&chain.setup, wei));
        let realised = gas.and_then(|gas| leg.realised(price, gas));
        let left = leg.open().to_string();
        self.change_opportunity(id, |seen| {
            seen.realised = realised;
            if let Some(leg) = &mut seen.leg {
                leg.state = state;
            }
        });
        if state == LegState::Left {
            self.note("leg_left", json!({ "opportunity": id, "base": left }));
        }
    }

    /// A trade on an account that only legs use belongs to the leg whose order is the newest there:
    /// no order is placed before the trades of the one before are booked.
    pub(in crate::engine) fn leg_filled(&mut self, venue: &str, symbol: &str, fill: &Fill) {
        let tried = |seen: &&Opportunity| {
            let here = seen.leg.as_ref().filter(|leg| leg.venue == venue && leg.symbol == symbol);
            here.and_then(|leg| leg.tried)
        };
        let newest =
            self.opportunities.iter().filter(|seen| tried(seen).is_some()).max_by_key(tried);
        let Some(id) = newest.map(|seen| seen.id) else { return };
        let signed = match fill.side {
            Side::Buy => fill.quantity,
            Side::Sell => -fill.quantity,
        };
        let fee = |asset: &str| if fill.fee_asset == asset { fill.fee } else { Decimal::ZERO };
        let (fee_base, fee_quote) = (fee(&self.setup.base_asset), fee(&self.setup.numeraire));
        let Some(paid) = signed.checked_mul(fill.price) else { return };
        let moved = Moved { base: signed - fee_base, quote: -paid - fee_quote };
        self.change_opportunity(id, |seen| {
            if let Some(leg) = &mut seen.leg {
                leg.done = leg.done.saturating_add(signed);
                leg.on_venue = leg.on_venue.plus(moved).unwrap_or(leg.on_venue);
            }
        });
    }

    /// Base that legs of these strategies still trade, or will when a swap that was taken back
    /// returns: until their time is over nobody else hedges it.
    pub(super) fn base_in_legs(&self, strategies: &[String]) -> Decimal {
        let own = self.legs_of_setup().filter(|legs| strategies.contains(&legs.strategy));
        let counts = |leg: &VenueLeg, unwind_ms: i64| match leg.state {
            LegState::Due => true,
            LegState::Planned => leg.since.is_some_and(|at| self.now.ms_since(at) <= unwind_ms),
            LegState::Closed | LegState::Left => false,
        };
        let open = own.flat_map(|legs| {
            let seen = self.opportunities.iter().filter(|seen| seen.strategy == legs.strategy);
            let of = seen.filter_map(|seen| seen.leg.as_ref());
            of.filter(move |leg| counts(leg, legs.unwind_ms)).map(VenueLeg::open)
        });
        open.fold(Decimal::ZERO, |sum, open| sum.saturating_add(open))
    }

    /// True for a market in which only legs are traded.
    pub(in crate::engine) fn is_leg_market(&self, venue: &str, symbol: &str) -> bool {
        self.legs_of_setup().any(|legs| legs.venue == venue && legs.symbol == symbol)
    }

    fn cex_dex(&self, strategy: &str) -> Option<&Parameters> {
        self.legs_of_setup().find(|legs| legs.strategy == strategy)
    }

    /// Parameters of every strategy with legs.
    pub(in crate::engine) fn legs_of_setup(&self) -> impl Iterator<Item = &Parameters> {
        self.setup.strategies.iter().filter_map(|setup| match &setup.kind {
            StrategyKind::CexDex(parameters) => Some(parameters),
            _ => None,
        })
    }
}

fn none_taken(block: u64, n_found: usize) -> String {
    format!("{n_found} gaps at block {block}, none worth it")
}
