//! The engine as people see it: one document, money as decimal strings, unknown as null.

use rust_decimal::Decimal;

use crate::engine::Engine;
use crate::engine::event::{Pool, Position};
use crate::engine::figures::{NATIVE_DECIMALS, pool_price};
use crate::engine::setup::{PoolSetup, VenueSetup};
use crate::engine::state::{ChainState, PoolState, VenueState};
use crate::execution::order::Order;
use crate::ledger::entry::Entry;
use crate::math::amm::Amounts;
use crate::math::amm::Rounding;
use crate::math::amm::price::{Base, PriceFrame};
use crate::math::amm::tick::sqrt_price_at;
use crate::model::amount::{human, human_unsigned};
use crate::model::opportunity::OpportunityKind;
use crate::model::order::{Side, TimeInForce};
use crate::model::time::Timestamp;
use crate::model::unit::{Account, Unit};

/// Rows of orders and transactions shown.
const ROWS_MAX: usize = 50;
/// Places of shown values.
const VALUE_DP: u32 = 4;

mod desk;
mod pnl;
pub mod pool;
mod rows;

pub use rows::{
    BookRow, ChainRow, ExposureRow, HedgeRow, Label, LedgerView, OrderRow, PnlPart, PnlView,
    PoolRow, PositionRow, QuotesView, ReconciliationRow, ReconciliationView, Snapshot, StateView,
    TransactionRow, VenueRow,
};

impl Engine {
    /// Everything a person may want to see, as of now.
    pub fn snapshot(&self, at: Timestamp) -> Snapshot {
        Snapshot {
            seq: self.seq,
            at_ms: at.ms(),
            keeper: self.setup.keeper.clone(),
            version: env!("CARGO_PKG_VERSION"),
            mode: self.setup.mode.clone(),
            started_ms: self.started.ms(),
            numeraire: self.setup.numeraire.clone(),
            state: StateView {
                kind: self.mode.as_str(),
                reason: self.mode.reason().map(str::to_owned),
                since_ms: self.mode_since.ms(),
            },
            chains: self.chains.values().map(|chain| self.chain_row(chain, at)).collect(),
            venues: self.venue_rows(at),
            books: self.book_rows(at),
            pools: self.shown_pool_rows(at),
            positions: self.position_rows(),
            exposure: self.exposure_rows(),
            hedge: self.hedge_row(),
            pnl: self.pnl(),
            orders: self.order_rows(),
            transactions: self.transaction_rows(),
            ledger: self.ledger_view(),
            reconciliation: self.reconciliation_view(),
            labels: self.labels(),
            arbitrage: self.arbitrage_view(),
            strategies: self.strategy_rows(),
            limits: self.limit_rows(),
            exposures: self.exposure_by(),
            fuel: self.fuel_rows(at),
            rebalances: self.rebalances,
            orders_sent: self.orders_sent,
            orders_filled: self.orders_filled,
            quotes: QuotesView {
                sent: self.quotes.sent,
                filled: self.quotes.filled,
                cancelled: self.quotes.cancelled,
            },
            is_quiet: self.is_quiet(),
        }
    }

    /// True when nothing of ours is in flight: the moment to compare both sides.
    pub fn is_quiet(&self) -> bool {
        self.orders.is_empty()
            && self.venues.values().all(VenueState::is_settled)
            && self.chains.values().all(|chain| !chain.is_busy())
    }

    fn chain_row(&self, chain: &ChainState, at: Timestamp) -> ChainRow {
        let id = chain.setup.chain;
        let account = Account::Wallet { chain: id, signer: chain.setup.signer };
        let native =
            human(self.ledger.balance(&account, &Unit::Native { chain: id }), NATIVE_DECIMALS);
        let quarantined = chain.pools.values().filter(|pool| !pool.standing.is_live()).count();
        ChainRow {
            chain_id: id,
            name: chain.setup.name.clone(),
            head: chain.head.map(|head| head.block.number),
            head_hash: chain.head.map(|head| head.block.hash.to_string()),
            head_age_ms: chain.head_at.map(|head| at.ms_since(head)),
            stale_after_ms: chain.setup.stale_after_ms,
            block_time_ms: chain.setup.block_time_ms,
            feed: chain.feed.word(),
            feed_since_ms: chain.feed_since.ms(),
            base_fee_gwei: chain.head.and_then(|head| gwei(head.base_fee)),
            pools_watched: chain.setup.pools.len(),
            pools_live: chain.pools.len() - quarantined,
            pools_quarantined: quarantined,
            native_balance: native.map(text),
            blocks: chain.n_blocks,
            cycles_landed: self.tally(id, OpportunityKind::Cycle).landed,
            pool_events: chain.n_pool_events,
        }
    }

    fn venue_rows(&self, at: Timestamp) -> Vec<VenueRow> {
        let row = |setup: &VenueSetup| {
            let state = self.venues.get(&setup.name)?;
            let age = state.books.values().filter_map(|book| book.age_ms(at)).max();
            let worst = state.books.values().find(|book| book.touch(at).is_err());
            Some(VenueRow {
                venue: setup.name.clone(),
                kind: setup.kind.clone(),
                feed: worst.map_or("live", |book| book.feed().word()),
                user_stream: if state.is_user_up && state.is_ready { "live" } else { "down" },
                age_ms: age,
                resyncs: state.books.values().map(crate::market::book::Book::resyncs).sum(),
            })
        };
        self.setup.venues.iter().filter_map(row).collect()
    }

    fn book_rows(&self, at: Timestamp) -> Vec<BookRow> {
        let mut rows = Vec::new();
        for (venue, state) in &self.venues {
            for (symbol, book) in &state.books {
                let (bid, ask) = (book.best_bid(), book.best_ask());
                rows.push(BookRow {
                    venue: venue.clone(),
                    market: self.market_name(venue, symbol),
                    feed: book.feed().word(),
                    bid: bid.map(|level| text(level.price)),
                    bid_quantity: bid.map(|level| text(level.quantity)),
                    ask: ask.map(|level| text(level.price)),
                    ask_quantity: ask.map(|level| text(level.quantity)),
                    age_ms: book.age_ms(at),
                    update_id: book.update_id(),
                    updates: book.updates(),
                    resyncs: book.resyncs(),
                });
            }
        }
        rows
    }

    fn pool_rows<'s>(
        &self,
        chain: &ChainState,
        of: impl IntoIterator<Item = &'s PoolSetup>,
        at: Timestamp,
    ) -> Vec<PoolRow> {
        let row = |setup: &PoolSetup| {
            let state = chain.pools.get(&setup.address);
            let (tick, liquidity) = state.and_then(|state| state.pool.in_range()).unzip();
            let own_fee = state.and_then(|state| state.pool.own_fee_pips());
            PoolRow {
                chain_id: chain.setup.chain,
                pool: format!("{:#x}", setup.address),
                dex: setup.dex.clone(),
                pair: setup.pair.clone(),
                fee_pips: own_fee.unwrap_or(setup.fee_pips),
                state: state.map_or("syncing", |state| state.standing.word()),
                reason: state.and_then(PoolState::why_not),
                since_block: state.map(|state| state.standing.since()),
                price: state
                    .and_then(|state| pool_price(&chain.setup, setup, &state.pool))
                    .map(|price| text(price.round_dp(6))),
                tick,
                liquidity: liquidity.map(|liquidity| liquidity.to_string()),
                block: chain.head.map(|head| head.block.number),
                age_ms: chain.head_at.map(|head| at.ms_since(head)),
                audited_block: state.and_then(|state| state.audited),
                audits: state.map_or(0, |state| state.n_audits),
                reloads: state.map_or(0, |state| state.n_reloads),
                events: state.map_or(0, |state| state.n_events),
            }
        };
        of.into_iter().map(row).collect()
    }

    fn position_rows(&self) -> Vec<PositionRow> {
        let mut positions: Vec<&Position> = self.positions.values().collect();
        positions.sort_by_key(|position| {
            (position.closed.is_some(), std::cmp::Reverse(position.opened))
        });
        positions.into_iter().take(ROWS_MAX).map(|position| self.position_row(position)).collect()
    }

    fn position_row(&self, position: &Position) -> PositionRow {
        let chain = self.chains.get(&position.pool.chain);
        let setup = chain.and_then(|chain| chain.setup.pool(position.pool.address));
        let pool = chain.and_then(|chain| chain.pools.get(&position.pool.address));
        let price = chain
            .zip(setup)
            .zip(pool)
            .and_then(|((chain, setup), pool)| pool_price(&chain.setup, setup, &pool.pool));
        let tick = match pool.map(|pool| &pool.pool) {
            Some(Pool::V3(pool)) => Some(pool.tick()),
            _ => None,
        };
        let is_in = tick.map(|t| position.tick_lower <= t && t < position.tick_upper);
        let bounds = self.price_bounds(position);
        let is_open = position.closed.is_none();
        let figures = self.position_figures(position);
        let share = (position.blocks_total > 0).then(|| {
            Decimal::from(position.blocks_in_range) / Decimal::from(position.blocks_total)
        });
        let why = self.why(position);
        PositionRow {
            chain_id: position.pool.chain,
            pool: format!("{:#x}", position.pool.address),
            pair: setup.map(|s| s.pair.clone()).unwrap_or_default(),
            fee_pips: setup.map_or(0, |s| s.fee_pips),
            strategy: position.strategy.clone(),
            token_id: position.token_id.to_string(),
            state: if is_open { "open" } else { "closed" },
            price_lower: bounds.map(|(lower, _)| text(lower)),
            price_upper: bounds.map(|(_, upper)| text(upper)),
            price: price.map(|price| text(price.round_dp(6))),
            in_range: is_in.filter(|_| is_open),
            in_range_share: share.map(|share| text(share.round_dp(4))),
            base: figures.map(|f| text(f.base)),
            quote: figures.map(|f| text(f.quote)),
            fees_base: figures.map(|f| text(f.fees_base)),
            fees_quote: figures.map(|f| text(f.fees_quote)),
            fees: figures.map(|f| text(f.fees.round_dp(VALUE_DP))),
            value: figures.map(|f| text(f.value.round_dp(VALUE_DP))),
            value_hold: figures.map(|f| text(f.hold.round_dp(VALUE_DP))),
            impermanent_loss: figures.map(|f| text((f.value - f.fees - f.hold).round_dp(VALUE_DP))),
            gas: figures.map(|f| text(f.gas.round_dp(VALUE_DP))),
            opened_ms: position.opened.ms(),
            closed_ms: position.closed.map(Timestamp::ms),
            why,
        }
    }

    fn why(&self, position: &Position) -> String {
        if position.closed.is_some() {
            return "closed".into();
        }
        let index = self.setup.strategies.iter().position(|s| s.id == position.strategy);
        index
            .and_then(|index| self.strategies.get(index))
            .map(|s| s.why.clone())
            .unwrap_or_default()
    }

    fn price_bounds(&self, position: &Position) -> Option<(Decimal, Decimal)> {
        let chain = &self.chains.get(&position.pool.chain)?.setup;
        let setup = chain.pool(position.pool.address)?;
        let base = if setup.base_is_token0 { Base::Token0 } else { Base::Token1 };
        let decimals0 = u8::try_from(chain.token(setup.token0)?.decimals).ok()?;
        let decimals1 = u8::try_from(chain.token(setup.token1)?.decimals).ok()?;
        let frame = PriceFrame::new(decimals0, decimals1, base).ok()?;
        let at = |tick| frame.price(sqrt_price_at(tick).ok()?, Rounding::Down).ok();
        let (one, other) = (at(position.tick_lower)?, at(position.tick_upper)?);
        Some((one.min(other).round_dp(6), one.max(other).round_dp(6)))
    }

    /// Value, HOLD and fees of a position at its own pool's price (what impermanent loss is defined
    /// by): an open one at the price of now, a closed one at the price it was closed at.
    fn position_figures(&self, position: &Position) -> Option<PositionFigures> {
        let entry = Amounts { amount0: position.amount0, amount1: position.amount1 };
        let [entry_base, entry_quote] = self.oriented(position, entry)?;
        let (price, [base, quote, fees_base, fees_quote]) = match position.closed {
            None => (self.price_in(position.pool)?, self.position_amounts(position)?),
            Some(_) => {
                let taken = Amounts { amount0: position.collected0, amount1: position.collected1 };
                let fees = Amounts { amount0: position.fees0, amount1: position.fees1 };
                let [base, quote] = self.oriented(position, taken)?;
                let [fees_base, fees_quote] = self.oriented(position, fees)?;
                let principal = [base - fees_base, quote - fees_quote, fees_base, fees_quote];
                (position.closed_price?, principal)
            }
        };
        let fees = fees_base.checked_mul(price)? + fees_quote;
        let native = &self.chains.get(&position.pool.chain)?.setup.native;
        let gas = self.value(native, human_unsigned(position.gas, NATIVE_DECIMALS)?, price)?;
        Some(PositionFigures {
            base,
            quote,
            fees_base,
            fees_quote,
            fees,
            value: base.checked_mul(price)? + quote + fees,
            hold: entry_base.checked_mul(price)? + entry_quote,
            gas,
        })
    }

    fn exposure_rows(&self) -> Vec<ExposureRow> {
        let exposure = self.exposure();
        let price = self.reference_price();
        let net = exposure.map(|e| e.held + e.contracts);
        let band = self.setup.hedges.first().map(|hedge| hedge.parameters.band_max).zip(price);
        let band = band.and_then(|(band, price)| band.checked_div(price));
        vec![ExposureRow {
            asset: self.setup.base_asset.clone(),
            positions: exposure.map(|e| text(e.in_positions.round_dp(8))),
            wallet: exposure.map(|e| text(e.in_wallet.round_dp(8))),
            hedge: exposure.map(|e| text(e.contracts)),
            net: net.map(|net| text(net.round_dp(8))),
            band: band.map(|band| text(band.round_dp(8))),
            net_value: net
                .zip(price)
                .and_then(|(net, price)| Some(text(net.checked_mul(price)?.round_dp(2)))),
        }]
    }

    fn hedge_row(&self) -> Option<HedgeRow> {
        let (setup, state) = (self.setup.hedges.first()?, self.hedges.first()?);
        let hedge = &setup.parameters;
        let have = self.contracts(&hedge.venue, &hedge.symbol);
        let held = setup.chains.iter().try_fold(Decimal::ZERO, |held, chain| {
            let (in_positions, in_wallet) = self.base_on_chain(*chain)?;
            Some(held + in_positions + in_wallet)
        });
        let on_books = self.base_on_books(Some(&setup.accounts));
        let held = held.zip(on_books).map(|(held, books)| held + books);
        let target = held.map(|held| -held * (Decimal::ONE - hedge.target_delta_fraction));
        let mid = self.mid(&hedge.venue, &hedge.symbol);
        let gap = target.zip(have).map(|(target, have)| target - have);
        let is_hedging = self.has_open_order(&hedge.venue, &hedge.symbol);
        Some(HedgeRow {
            venue: hedge.venue.clone(),
            market: self.market_name(&hedge.venue, &hedge.symbol),
            target: target.map(|t| text(t.round_dp(8))),
            have: have.map(text),
            unhedged_value: gap
                .zip(mid)
                .and_then(|(gap, mid)| Some(text(gap.checked_mul(mid)?.abs().round_dp(2)))),
            state: if is_hedging {
                "hedging"
            } else if gap.is_none() {
                "blocked"
            } else {
                "inside band"
            },
            why: state.why.clone(),
        })
    }

    fn order_rows(&self) -> Vec<OrderRow> {
        let mut open: Vec<&Order> = self.orders.values().collect();
        open.sort_by_key(|order| std::cmp::Reverse(order.created));
        let all = open.into_iter().chain(self.closed_orders.iter());
        all.take(ROWS_MAX).map(|order| self.order_row(order)).collect()
    }

    fn order_row(&self, order: &Order) -> OrderRow {
        let request = &order.request;
        OrderRow {
            client_order_id: request.client_order_id.clone(),
            venue: request.venue.clone(),
            market: self.market_name(&request.venue, &request.symbol),
            side: match request.side {
                Side::Buy => "buy",
                Side::Sell => "sell",
            },
            kind: match request.time_in_force {
                TimeInForce::Gtc => "limit",
                TimeInForce::Ioc => "limit ioc",
                TimeInForce::PostOnly => "limit post-only",
            },
            price: text(request.price),
            quantity: text(request.quantity),
            filled: text(order.filled),
            state: order.state_name(),
            created_ms: order.created.ms(),
            reason: order.why.clone(),
        }
    }

    /// A market as the operator writes it.
    fn market_name(&self, venue: &str, symbol: &str) -> String {
        let is_perpetual = |v: &&VenueSetup| v.name == venue && v.is_perpetual;
        match self.setup.venues.iter().find(is_perpetual) {
            Some(_) => format!("{symbol}-PERP"),
            None => symbol.to_owned(),
        }
    }

    fn transaction_rows(&self) -> Vec<TransactionRow> {
        let mut rows = Vec::new();
        for chain in self.chains.values() {
            for tx in chain.txs.values().rev().take(ROWS_MAX) {
                rows.push(TransactionRow {
                    chain_id: chain.setup.chain,
                    nonce: tx.nonce,
                    hash: tx.hash.map(|hash| hash.to_string()),
                    purpose: tx.purpose.clone(),
                    state: tx.state.as_str(),
                    block: tx.block,
                    gas_used: tx.gas_used,
                    cost_native: tx
                        .cost
                        .and_then(|cost| human_unsigned(cost, NATIVE_DECIMALS))
                        .map(text),
                    created_ms: tx.created.ms(),
                });
            }
        }
        // Newest first over all chains; within one the nonce has decided already.
        rows.sort_by_key(|row| std::cmp::Reverse(row.created_ms));
        rows
    }

    fn ledger_view(&self) -> LedgerView {
        let (entries, postings) = self.ledger.counts();
        let last = self.ledger.recent().map(|entry| self.entry_row(entry)).collect();
        LedgerView { entries, postings, last }
    }

    fn entry_row(&self, entry: &Entry) -> rows::EntryRow {
        let posting = |p: &crate::ledger::entry::Posting| rows::PostingRow {
            account: p.account.to_string(),
            unit: p.unit.to_string(),
            amount: p.amount.to_string(),
            human: self.human_amount(&p.unit, p.amount),
        };
        rows::EntryRow {
            id: entry.id.to_string(),
            at_ms: entry.at.ms(),
            kind: entry.kind.as_str(),
            cause: entry.cause.clone(),
            postings: entry.postings.iter().map(posting).collect(),
        }
    }

    fn human_amount(&self, unit: &Unit, amount: alloy::primitives::I256) -> Option<String> {
        let (asset, decimals) = self.asset_of(unit)?;
        Some(format!("{} {asset}", human(amount, decimals)?.normalize()))
    }

    fn reconciliation_view(&self) -> ReconciliationView {
        let row = |c: &crate::ledger::reconcile::Comparison| ReconciliationRow {
            place: c.account.to_string(),
            unit: c.unit.to_string(),
            ledger: c.ledger.to_string(),
            actual: c.actual.to_string(),
            difference: c.difference().to_string(),
            at: c.at.clone(),
        };
        let rows: Vec<_> =
            self.reconciled.values().flat_map(|(_, rows)| rows.iter().map(row)).collect();
        let is_complete = self.is_reconciled_everywhere();
        ReconciliationView {
            ok: is_complete.then(|| self.first_difference().is_none()),
            checked_ms: self.reconciled.values().map(|(at, _)| at.ms()).min(),
            rows,
        }
    }

    fn labels(&self) -> Vec<Label> {
        let label = |(what, kind, text): &(String, String, String)| Label {
            what: what.clone(),
            kind: kind.clone(),
            text: text.clone(),
        };
        self.setup.labels.iter().map(label).collect()
    }
}

#[derive(Clone, Copy)]
struct PositionFigures {
    base: Decimal,
    quote: Decimal,
    fees_base: Decimal,
    fees_quote: Decimal,
    fees: Decimal,
    value: Decimal,
    hold: Decimal,
    gas: Decimal,
}

fn text(value: Decimal) -> String {
    value.normalize().to_string()
}

fn gwei(wei: u128) -> Option<String> {
    human_unsigned(alloy::primitives::U256::from(wei), 9).map(text)
}
