//! Requests to a venue and what their answers prove.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::VenueClient;
use crate::engine::event::{Body, FillSource, VenueStart};
use crate::io::clock;
use crate::io::rest::{RestError, RestReply};
use crate::model::text::plain;
use crate::model::time::Timestamp;
use crate::model::venue::{
    AccountView, Fill, Income, IncomeKind, MarketRules, OrderReply, OrderReport, Reported,
};
use crate::store::{Committed, PlannedOrder};
use crate::venues::binance::account::filters;
use crate::venues::binance::facts::{OrderState, OrderView};
use crate::venues::binance::orders::{NewOrder, Pricing, Reach, Request};
use crate::venues::binance::replies::{self, OrderReply as Decoded};
use crate::venues::binance::{Dialect, account};

/// "Order does not exist."
const NO_SUCH_ORDER: i64 = -2013;
/// How far back the newest trade is looked for when a ledger begins.
const HISTORY_MS: i64 = 6 * 86_400_000;
/// How far back incomes are asked when the stream hints at one.
const INCOME_HINT_MS: i64 = 120_000;
/// Wait before the account is asked again after a failure; doubles up to the longest wait.
const RETRY_AFTER: Duration = Duration::from_millis(500);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(16);

/// The venue's state word in ours.
pub(super) fn reported(state: OrderState) -> Reported {
    match state {
        OrderState::New | OrderState::PendingNew => Reported::New,
        OrderState::PartiallyFilled | OrderState::PendingCancel => Reported::Partial,
        OrderState::Filled => Reported::Filled,
        OrderState::Canceled => Reported::Cancelled,
        OrderState::Rejected => Reported::Rejected,
        OrderState::Expired | OrderState::ExpiredInMatch => Reported::Expired,
    }
}

/// What an answer to placing proves.
fn placed(id: &str, answer: Result<RestReply, RestError>) -> OrderReply {
    match answer {
        Err(RestError::NotSent { why }) => OrderReply::Refused { code: 0, text: why },
        Err(RestError::Unknown { why }) => OrderReply::Unknown { why },
        Ok(reply) => match replies::order_reply(reply.status, &reply.body) {
            Decoded::Accepted(view) => known(id, &view),
            Decoded::Rejected { code, text, definitive: true } => {
                OrderReply::Refused { code, text: plain(&text) }
            }
            Decoded::Rejected { code, text, definitive: false } => {
                OrderReply::Unknown { why: plain(&format!("{code} {text}")) }
            }
            Decoded::Unknown { why } => OrderReply::Unknown { why: plain(&why) },
        },
    }
}

fn known(id: &str, view: &OrderView) -> OrderReply {
    OrderReply::Known(OrderReport {
        client_order_id: id.to_owned(),
        venue_order_id: view.venue_order_id,
        state: reported(view.state),
        filled: view.filled,
    })
}

/// What asking for an order can prove.
enum Asked {
    Known(OrderReply),
    Missing,
}

/// What an answer to asking proves; a failed question proves nothing.
fn asked(id: &str, answer: Result<RestReply, RestError>) -> Option<Asked> {
    let reply = answer.ok()?;
    match replies::order_reply(reply.status, &reply.body) {
        Decoded::Accepted(view) => Some(Asked::Known(known(id, &view))),
        Decoded::Rejected { code: NO_SUCH_ORDER, .. } => Some(Asked::Missing),
        Decoded::Rejected { .. } | Decoded::Unknown { .. } => None,
    }
}

impl VenueClient {
    /// Places a committed order; past its deadline it is not sent any more.
    pub(in crate::run) async fn place(self: Arc<Self>, planned: Committed<PlannedOrder>) {
        let order = &planned.get().order.request;
        let id = order.client_order_id.clone();
        let pricing = Pricing::Limit { price: order.price, time_in_force: order.time_in_force };
        let new = NewOrder {
            symbol: order.symbol.clone(),
            client_order_id: id.clone(),
            side: order.side,
            quantity: order.quantity,
            pricing,
            // A spot exchange knows no such word: there it is our own promise alone.
            reach: match self.dialect {
                Dialect::UsdM if order.reduce_only => Reach::ReduceOnly,
                Dialect::UsdM | Dialect::Spot => Reach::Any,
            },
        };
        let reply = match self.dialect.place(&new) {
            Err(error) => OrderReply::Refused { code: 0, text: error.to_string() },
            Ok(_) if clock::now() > order.valid_until => {
                OrderReply::Refused { code: 0, text: "committed too late to be sent".into() }
            }
            Ok(request) => placed(&id, self.send_until(&request, order.valid_until).await),
        };
        crate::run::deeds::fault_point("before_acknowledgement", 1);
        self.tell(Body::OrderReply { client_order_id: id, reply }).await;
    }

    /// Tells the engine that a committed order did not leave.
    pub(in crate::run) async fn hold_back(self: Arc<Self>, planned: Committed<PlannedOrder>) {
        let client_order_id = planned.get().order.request.client_order_id.clone();
        let text = "committed too late: trading had stopped".to_owned();
        let reply = OrderReply::Refused { code: 0, text };
        self.tell(Body::OrderReply { client_order_id, reply }).await;
    }

    pub(in crate::run) async fn query(self: Arc<Self>, symbol: String, id: String) {
        let asked_at = clock::now();
        let answer = self.send(&self.dialect.query(&symbol, &id)).await;
        match asked(&id, answer) {
            Some(Asked::Known(reply)) => {
                self.tell(Body::OrderReply { client_order_id: id, reply }).await;
            }
            Some(Asked::Missing) => {
                self.tell(Body::OrderMissed { client_order_id: id, asked: asked_at }).await;
            }
            None => {}
        }
    }

    /// Asks to cancel one order. Only an answer that shows the order proves anything about it; the
    /// stream and later questions settle the rest.
    pub(in crate::run) async fn cancel(self: Arc<Self>, symbol: String, id: String) {
        let answer = self.send(&self.dialect.cancel(&symbol, &id)).await;
        match asked(&id, answer) {
            Some(Asked::Known(reply)) => {
                self.tell(Body::OrderReply { client_order_id: id, reply }).await;
            }
            Some(Asked::Missing) | None => {
                tracing::debug!(venue = self.name, symbol, id, "cancel proved nothing");
            }
        }
    }

    pub(in crate::run) async fn cancel_all(self: Arc<Self>, symbol: String) {
        let request = self.dialect.cancel_all(&symbol);
        if let Err(error) = self.send(&request).await {
            tracing::error!(venue = self.name, symbol, %error, "cancel-all has no answer");
        }
    }

    /// Asks by whom an order was made, of which only the venue's id is known. An answer that does
    /// not show it says nothing: it is asked for again.
    pub(in crate::run) async fn owner(self: Arc<Self>, symbol: String, venue_order_id: u64) {
        let answer = self.body(&self.dialect.query_by_id(&symbol, venue_order_id)).await;
        match answer.and_then(|body| replies::order(&body).map_err(|e| e.to_string())) {
            Ok(view) => {
                let (venue, client_order_id) = (self.name.clone(), view.client_order_id);
                let is_forced = self.dialect.is_forced(&client_order_id);
                self.tell(Body::OrderOwner {
                    venue,
                    symbol,
                    venue_order_id,
                    client_order_id,
                    is_forced,
                })
                .await;
            }
            Err(why) => {
                tracing::warn!(venue = self.name, symbol, venue_order_id, why, "order not named");
            }
        }
    }

    pub(in crate::run) async fn fills(
        self: Arc<Self>,
        symbol: String,
        after: u64,
        since: Timestamp,
    ) {
        let request = match after {
            0 => self.dialect.trades_since(&symbol, since),
            newest => self.dialect.trades_from(&symbol, newest + 1),
        };
        match self.trades(&request).await {
            Ok(fills) => {
                let venue = self.name.clone();
                let source = FillSource::List;
                self.tell(Body::Fills { venue, symbol, fills, source }).await;
            }
            Err(why) => tracing::warn!(venue = self.name, symbol, why, "trades not read"),
        }
    }

    async fn trades(&self, request: &Request) -> Result<Vec<Fill>, String> {
        let body = self.body(request).await?;
        let rows = account::trades(self.dialect, &body).map_err(|e| e.to_string())?;
        let mut fills: Vec<Fill> = rows
            .into_iter()
            .map(|row| Fill {
                trade_id: row.fill.trade_id,
                client_order_id: None,
                is_forced: false,
                venue_order_id: row.venue_order_id,
                side: row.side,
                price: row.fill.price,
                quantity: row.fill.quantity,
                fee: row.fill.fee,
                fee_asset: row.fill.fee_asset.unwrap_or_default(),
                realized_pnl: row.fill.realized_pnl.unwrap_or_default(),
                margin_asset: self.margin_asset.clone(),
                venue_time: row.at,
            })
            .collect();
        fills.sort_by_key(|fill| fill.trade_id);
        Ok(fills)
    }

    pub(super) async fn ask_incomes_of_late(self: &Arc<Self>) {
        let since = clock::now().plus_ms(-INCOME_HINT_MS);
        tokio::spawn(Self::incomes(Arc::clone(self), since));
    }

    /// Incomes that neither trades nor commissions explain.
    pub(in crate::run) async fn incomes(self: Arc<Self>, since: Timestamp) {
        let Ok(request) = self.dialect.income_since(since) else { return };
        let rows = match self.body(&request).await {
            Ok(body) => account::income(&body).map_err(|e| e.to_string()),
            Err(why) => Err(why),
        };
        let rows = match rows {
            Ok(rows) => rows,
            Err(why) => {
                return tracing::warn!(venue = self.name, why, "incomes not read");
            }
        };
        let income = |row: account::Income| {
            let kind = match row.kind.as_str() {
                "REALIZED_PNL" | "COMMISSION" => return None,
                "FUNDING_FEE" => IncomeKind::Funding,
                _ => IncomeKind::Transfer,
            };
            let id = format!("{}/{}", row.kind, row.transaction_id);
            Some(Income { id, kind, asset: row.asset, amount: row.amount, venue_time: row.at })
        };
        self.tell_incomes(rows.into_iter().filter_map(income).collect()).await;
    }

    pub(in crate::run) async fn audit(self: Arc<Self>, version: u64) {
        match self.account_view().await {
            Ok(account) => {
                let venue = self.name.clone();
                self.tell(Body::VenueAudit { venue, version, account }).await;
            }
            Err(why) => tracing::warn!(venue = self.name, why, "account not read"),
        }
    }

    async fn body(&self, request: &Request) -> Result<Vec<u8>, String> {
        let reply = self.send(request).await.map_err(|e| e.to_string())?;
        if reply.status == 200 {
            return Ok(reply.body);
        }
        let error = replies::venue_error(&reply.body);
        Err(match error {
            Some(error) => format!("http {}: {} {}", reply.status, error.code, error.text),
            None => format!("http {}", reply.status),
        })
    }

    /// What the account holds; empty balances and flat positions are left out.
    async fn account_view(&self) -> Result<AccountView, String> {
        let body = self.body(&self.dialect.account()).await?;
        let account = account::account(self.dialect, &body).map_err(|e| e.to_string())?;
        let balances = account.balances.into_iter().map(|b| (b.asset, b.total));
        let positions = account.positions.into_iter().map(|p| (p.symbol, p.quantity));
        Ok(AccountView {
            balances: balances.filter(|(_, total)| !total.is_zero()).collect(),
            positions: positions.filter(|(_, quantity)| !quantity.is_zero()).collect(),
        })
    }

    /// Reads everything the engine needs after the user stream opened.
    pub(super) async fn read_account(self: Arc<Self>, opening: u64) {
        let mut wait = RETRY_AFTER;
        // A stream that closed meanwhile will be opened again, and the account read again.
        while self.openings.load(Ordering::Acquire) == opening {
            match self.start_facts().await {
                // Read of a stream that closed meanwhile: the next opening reads again.
                Ok(_) if self.openings.load(Ordering::Acquire) != opening => return,
                Ok(start) => return self.tell(Body::VenueReady(Box::new(start))).await,
                Err(why) => tracing::warn!(venue = self.name, why, "venue not ready"),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_AFTER_MAX);
        }
    }

    async fn start_facts(&self) -> Result<VenueStart, String> {
        let (venue_time, rules) = self.market_facts().await?;
        let mut newest_trade = Vec::new();
        for symbol in &self.symbols {
            // Spot lists its newest trades when no beginning is named, USD-M needs one.
            let request = match self.dialect {
                Dialect::Spot => self.dialect.trades_newest(symbol),
                Dialect::UsdM => self.dialect.trades_since(symbol, venue_time.plus_ms(-HISTORY_MS)),
            };
            let trades = self.trades(&request).await?;
            let newest = trades.last().map_or(0, |trade| trade.trade_id);
            newest_trade.push((symbol.clone(), newest));
        }
        let account = self.account_view().await?;
        Ok(VenueStart { venue: self.name.clone(), account, rules, newest_trade, venue_time })
    }

    /// The venue's clock and its markets' rules: what is told without a key.
    async fn market_facts(&self) -> Result<(Timestamp, Vec<(String, MarketRules)>), String> {
        let body = self.body(&self.dialect.server_time()).await?;
        let venue_time = account::server_time(&body).map_err(|e| e.to_string())?;
        let mut rules = Vec::new();
        for symbol in &self.symbols {
            let body = self.body(&self.dialect.exchange_info(symbol)).await?;
            let markets = filters::exchange_info(&body).map_err(|e| e.to_string())?;
            let market = markets.into_iter().find(|market| market.symbol == *symbol);
            let market = market.ok_or_else(|| format!("the venue has no market {symbol}"))?;
            let market = MarketRules {
                tick: market.price.step,
                lot: market.lot.step,
                min_notional: market.notional_min,
            };
            rules.push((symbol.clone(), market));
        }
        Ok((venue_time, rules))
    }

    /// Reads what is public and tells it; the account itself is somebody else's to tell.
    pub(super) async fn read_markets(self: Arc<Self>) {
        let mut wait = RETRY_AFTER;
        loop {
            match self.market_facts().await {
                Ok((venue_time, rules)) => {
                    let (venue, account) = (self.name.clone(), AccountView::default());
                    let start =
                        VenueStart { venue, account, rules, newest_trade: Vec::new(), venue_time };
                    let (venue, why) = (self.name.clone(), String::new());
                    self.tell(Body::UserStream { venue, is_up: true, why }).await;
                    return self.tell(Body::VenueReady(Box::new(start))).await;
                }
                Err(why) => tracing::warn!(venue = self.name, why, "venue not ready"),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_AFTER_MAX);
        }
    }
}
