//! Everything the exchange knows, behind one lock: both desks, listeners, counters, faults.
//!
//! Time enters as a parameter; each change is told to all listeners before the lock is released, so
//! that every socket sees events in the order in which they happened.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::exchange::Options;
use crate::exchange::auth::ApiKey;
use crate::exchange::errors::Venue;
use crate::exchange::hub::{Door, Hub, Joined, Wrap};
use crate::exchange::meter::Meter;
use crate::exchange::usdm_wire::Premium;
use crate::exchange::{spot_wire, usdm_wire};
use crate::sim::depth::{DepthEvent, DepthFeed};
use crate::sim::market::{FirstIds, Market, Public};
use crate::sim::perp::{PerpClearing, PerpDesk};
use crate::sim::rules::Rules;
use crate::sim::spot::{SpotClearing, SpotDesk};
use crate::sim::tape::Tape;

/// A listen key lives this long without being renewed, ms.
pub const LISTEN_KEY_MS: i64 = 60 * 60 * 1_000;
/// Longest step of the exchange's clock in one pulse, ms: after a pause of the machine the tapes go
/// on, not catch up.
const PULSE_MAX_MS: i64 = 1_000;
/// Initial leverage of a new account.
pub const LEVERAGE_DEFAULT: i64 = 20;

const SPOT_IDS: FirstIds = FirstIds { update: 10_000_000, order: 100_001, trade: 1_000_001 };
const USDM_IDS: FirstIds = FirstIds { update: 50_000_000, order: 800_001, trade: 7_000_001 };

/// A futures user stream.
#[derive(Clone, Debug)]
pub struct ListenKey {
    /// Index of the account.
    pub account: usize,
    /// Unix ms.
    pub expires_ms: i64,
}

/// The whole exchange.
#[derive(Debug)]
pub struct Core {
    /// Spot.
    pub spot: SpotDesk,
    /// USD-M.
    pub perp: PerpDesk,
    /// Listeners.
    pub hub: Hub,
    /// Keys, one per account.
    pub keys: Vec<ApiKey>,
    /// Weight and orders on spot.
    pub spot_meter: Meter,
    /// Weight and orders on USD-M.
    pub usdm_meter: Meter,
    /// Highest initial leverage.
    pub leverage_max: i64,
    /// The next order is executed but never answered.
    pub loses_next_ack: bool,
    /// Tapes and funding stand still.
    pub is_frozen: bool,
    /// Unix ms of the start.
    pub started_ms: i64,
    /// Seconds between rounds of funding; 0 means none.
    pub funding_every_s: u32,
    is_closing: bool,
    listen_keys: BTreeMap<String, ListenKey>,
    n_listen_keys: u64,
    /// Dead-man switches: unix ms at which all orders of the account are cancelled.
    deadlines: Vec<Option<i64>>,
    spot_feeds: Vec<(&'static str, DepthFeed)>,
    usdm_feeds: Vec<(&'static str, DepthFeed)>,
    tops: [Option<Value>; 2],
    now_ms: i64,
    speed: i64,
    funding_rate: i64,
    next_funding_ms: i64,
    marks_due_ms: [i64; 2],
}

fn feeds(names: &[(&'static str, i64)], market: &Market) -> Vec<(&'static str, DepthFeed)> {
    let id = market.book().update_id();
    names.iter().map(|(name, every_ms)| (*name, DepthFeed::new(*every_ms, id))).collect()
}

impl Core {
    /// An exchange at the first instant of both tapes.
    pub fn new(options: &Options, spot: Arc<Tape>, usdm: Arc<Tape>, now_ms: i64) -> Self {
        let seeds = &options.seed_balances;
        let n_accounts = options.keys.len();
        let spot_rules = Rules::spot().with_maker_fee(options.spot_maker_fee_bps);
        let spot_market = Market::new(spot_rules.clone(), spot, SPOT_IDS);
        let usdm_market = Market::new(Rules::perp(), usdm, USDM_IDS);
        let spot_accounts =
            SpotClearing::new(spot_rules, n_accounts, seeds.spot_eth, seeds.spot_usdt, now_ms);
        let leverage = LEVERAGE_DEFAULT.min(i64::from(options.leverage_max));
        let mut usdm_accounts =
            PerpClearing::new(Rules::perp(), n_accounts, seeds.usdm_usdt, leverage, now_ms);
        usdm_accounts.set_mark(usdm_market.mid());
        let spot_names = [("ethusdt@depth@100ms", 100), ("ethusdt@depth", 1_000)];
        let usdm_names = [
            ("ethusdt@depth@0ms", 0),
            ("ethusdt@depth@100ms", 100),
            ("ethusdt@depth", 250),
            ("ethusdt@depth@500ms", 500),
        ];
        Self {
            spot_feeds: feeds(&spot_names, &spot_market),
            usdm_feeds: feeds(&usdm_names, &usdm_market),
            spot: SpotDesk { market: spot_market, clearing: spot_accounts },
            perp: PerpDesk { market: usdm_market, clearing: usdm_accounts },
            hub: Hub::default(),
            keys: options.keys.clone(),
            spot_meter: Meter::new(Venue::Spot),
            usdm_meter: Meter::new(Venue::Usdm),
            leverage_max: i64::from(options.leverage_max),
            loses_next_ack: options.fault.loses_next_ack,
            is_frozen: false,
            started_ms: now_ms,
            funding_every_s: options.funding_every_s,
            is_closing: false,
            listen_keys: BTreeMap::new(),
            n_listen_keys: 0,
            deadlines: vec![None; n_accounts],
            tops: [None, None],
            now_ms,
            speed: i64::from(options.speed),
            funding_rate: options.funding_rate,
            next_funding_ms: now_ms + i64::from(options.funding_every_s) * 1_000,
            marks_due_ms: [0, 0],
        }
    }

    /// The latest instant the exchange has lived through; its clock never runs backwards.
    pub fn stamp(&self, now_ms: i64) -> i64 {
        self.now_ms.max(now_ms)
    }

    /// Lives until `now_ms`: plays the tapes, funds, runs the switches, tells the listeners.
    pub fn advance(&mut self, now_ms: i64) {
        let now_ms = self.stamp(now_ms);
        let passed_ms = now_ms - self.now_ms;
        self.now_ms = now_ms;
        if self.is_frozen {
            self.next_funding_ms += passed_ms;
        } else {
            let tape_ms = passed_ms.min(PULSE_MAX_MS) * self.speed;
            self.spot.advance(tape_ms, now_ms);
            self.perp.advance(tape_ms, now_ms);
            let mark = self.perp.market.mid();
            self.perp.clearing.set_mark(mark);
            self.fund(now_ms);
        }
        for account in 0..self.deadlines.len() {
            if self.deadlines[account].is_some_and(|deadline| deadline <= now_ms) {
                self.deadlines[account] = None;
                self.perp.cancel_all(account, now_ms);
            }
        }
        self.publish(now_ms);
        self.publish_marks(now_ms);
        self.expire_listen_keys(now_ms);
    }

    fn fund(&mut self, now_ms: i64) {
        if self.funding_every_s > 0 && now_ms >= self.next_funding_ms {
            self.perp.clearing.fund(self.funding_rate, now_ms);
            let every_ms = i64::from(self.funding_every_s) * 1_000;
            let missed = (now_ms - self.next_funding_ms) / every_ms;
            self.next_funding_ms += (missed + 1) * every_ms;
        }
    }

    /// Stops tapes and funding with nothing left unsaid, or lets them go on.
    pub fn freeze(&mut self, is_frozen: bool, now_ms: i64) {
        self.advance(now_ms);
        self.is_frozen = is_frozen;
        if is_frozen {
            self.publish_depth(now_ms, DepthFeed::flush);
        }
    }

    /// A new socket; `None` when the house is full or closing.
    pub fn join(&mut self, door: Door, wrap: Wrap) -> Option<Joined> {
        if self.is_closing { None } else { self.hub.join(door, wrap) }
    }

    /// Cuts all sockets and lets no new one in.
    pub fn close(&mut self) {
        self.is_closing = true;
        self.hub.cut_all();
    }

    /// True once after an order's answer was told to get lost.
    pub fn loses_ack(&mut self) -> bool {
        std::mem::take(&mut self.loses_next_ack)
    }

    /// Prices and funding of the moment.
    pub fn premium(&self) -> Premium {
        Premium {
            mark: self.perp.clearing.mark(),
            index: self.spot.market.mid(),
            rate: self.funding_rate,
            next_ms: self.next_funding_ms,
        }
    }

    /// Arms the dead-man switch of an account; 0 disarms it.
    pub fn arm(&mut self, account: usize, countdown_ms: i64, now_ms: i64) {
        if let Some(deadline) = self.deadlines.get_mut(account) {
            *deadline = (countdown_ms > 0).then(|| now_ms.saturating_add(countdown_ms));
        }
    }

    /// The listen key of an account, made or prolonged.
    pub fn open_listen_key(&mut self, account: usize, now_ms: i64) -> String {
        let expires_ms = now_ms + LISTEN_KEY_MS;
        if let Some((key, known)) = self.listen_keys.iter_mut().find(|(_, k)| k.account == account)
        {
            known.expires_ms = expires_ms;
            return key.clone();
        }
        self.n_listen_keys += 1;
        let key = format!("simListenKey{:04}{:048}", account, self.n_listen_keys);
        self.listen_keys.insert(key.clone(), ListenKey { account, expires_ms });
        key
    }

    /// Prolongs the listen key of an account; false when there is none.
    pub fn renew_listen_key(&mut self, account: usize, now_ms: i64) -> bool {
        let known = self.listen_keys.values_mut().find(|known| known.account == account);
        known.map(|known| known.expires_ms = now_ms + LISTEN_KEY_MS).is_some()
    }

    /// Ends the listen key of an account.
    pub fn close_listen_key(&mut self, account: usize) {
        self.listen_keys.retain(|_, known| known.account != account);
    }

    fn expire_listen_keys(&mut self, now_ms: i64) {
        let is_old = |known: &ListenKey| known.expires_ms <= now_ms;
        let old: Vec<String> = self
            .listen_keys
            .iter()
            .filter(|(_, known)| is_old(known))
            .map(|(key, _)| key.clone())
            .collect();
        for key in old {
            let event = json!({"e": "listenKeyExpired", "E": now_ms, "listenKey": key});
            self.hub.publish(Door::UsdmPrivate, &key, &event);
            self.listen_keys.remove(&key);
        }
    }

    /// Tells everybody what happened since the last call.
    pub fn publish(&mut self, now_ms: i64) {
        self.publish_users();
        self.publish_trades();
        self.publish_depth(now_ms, |feed, book| feed.due(now_ms, book));
        let spot_top = spot_wire::book_ticker_event(&self.spot.market);
        self.publish_top(0, Door::Spot, spot_top);
        let usdm_top = usdm_wire::book_ticker_event(&self.perp.market, now_ms);
        self.publish_top(1, Door::UsdmPublic, usdm_top);
    }

    fn publish_users(&mut self) {
        for event in self.spot.clearing.drain_events() {
            let (account, payload) = spot_wire::user_event(self.spot.market.rules.symbol, &event);
            self.hub.publish_spot_user(account, &payload);
        }
        for event in self.perp.clearing.drain_events() {
            let (account, payload) = usdm_wire::user_event(self.perp.market.rules.symbol, &event);
            for (key, known) in &self.listen_keys {
                if known.account == account {
                    self.hub.publish(Door::UsdmPrivate, key, &payload);
                }
            }
        }
    }

    fn publish_trades(&mut self) {
        let symbol = self.spot.market.rules.symbol;
        for public in self.spot.market.drain_public() {
            match public {
                Public::Batch(batch) => {
                    self.spot_feeds.iter_mut().for_each(|(_, feed)| feed.absorb(&batch));
                }
                Public::Trade(trade) => {
                    let event = spot_wire::trade_event(symbol, &trade);
                    self.hub.publish(Door::Spot, "ethusdt@trade", &event);
                    let event = spot_wire::agg_trade_event(symbol, &trade);
                    self.hub.publish(Door::Spot, "ethusdt@aggTrade", &event);
                }
            }
        }
        for public in self.perp.market.drain_public() {
            match public {
                Public::Batch(batch) => {
                    self.usdm_feeds.iter_mut().for_each(|(_, feed)| feed.absorb(&batch));
                }
                Public::Trade(trade) => {
                    let event = usdm_wire::trade_event(symbol, &trade);
                    self.hub.publish(Door::UsdmPublic, "ethusdt@trade", &event);
                    let event = usdm_wire::agg_trade_event(symbol, &trade);
                    self.hub.publish(Door::UsdmMarket, "ethusdt@aggTrade", &event);
                }
            }
        }
    }

    fn publish_depth(
        &mut self,
        now_ms: i64,
        next: impl Fn(&mut DepthFeed, &crate::sim::book::Book) -> Option<DepthEvent>,
    ) {
        let symbol = self.spot.market.rules.symbol;
        for (name, feed) in &mut self.spot_feeds {
            if let Some(event) = next(feed, self.spot.market.book()) {
                let payload = spot_wire::depth_event(symbol, &event, now_ms);
                self.hub.publish(Door::Spot, name, &payload);
            }
        }
        for (name, feed) in &mut self.usdm_feeds {
            if let Some(event) = next(feed, self.perp.market.book()) {
                let payload = usdm_wire::depth_event(symbol, &event, now_ms);
                self.hub.publish(Door::UsdmPublic, name, &payload);
            }
        }
    }

    /// A top is told when a price or size of it changed; its id and time alone are no news.
    fn publish_top(&mut self, index: usize, door: Door, top: Option<Value>) {
        let Some(payload) = top else { return };
        let figures = json!([payload["b"], payload["B"], payload["a"], payload["A"]]);
        if self.tops[index].as_ref() != Some(&figures) {
            self.tops[index] = Some(figures);
            self.hub.publish(door, "ethusdt@bookTicker", &payload);
        }
    }

    fn publish_marks(&mut self, now_ms: i64) {
        let streams = [("ethusdt@markPrice", 3_000), ("ethusdt@markPrice@1s", 1_000)];
        for (index, (stream, every_ms)) in streams.into_iter().enumerate() {
            if now_ms >= self.marks_due_ms[index] {
                self.marks_due_ms[index] = now_ms - now_ms.rem_euclid(every_ms) + every_ms;
                let symbol = self.perp.market.rules.symbol;
                let payload = usdm_wire::mark_price_event(symbol, &self.premium(), now_ms);
                self.hub.publish(Door::UsdmMarket, stream, &payload);
            }
        }
    }
}
