//! `[venues.*]` of `agent.toml`: accounts on exchanges.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::config::agent::Mode;
use crate::config::problem::Fault;
use crate::config::reader::Node;
use crate::config::urls::{self, Reach};
use crate::config::values::{self, Bounds, integer};

/// An account on an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Venue {
    /// Which exchange and market type, with what only that type has.
    pub kind: VenueKind,
    /// The account's own name at the exchange; the record of ownership.
    pub account: String,
    /// Variable that holds the API key.
    pub api_key_env: String,
    /// Variable that holds the API secret.
    pub api_secret_env: String,
    /// Fee of a resting fill, basis points; negative for a rebate. Counts where a strategy quotes,
    /// and in mode paper; not compared with the account yet.
    pub maker_fee_bps: Decimal,
    /// Fee of a taking fill, basis points. Counts where a leg is traded, and in mode paper; not
    /// compared with the account yet.
    pub taker_fee_bps: Decimal,
    /// REST root instead of the exchange's own.
    pub rest_url: Option<String>,
    /// WebSocket root instead of the exchange's own.
    pub ws_url: Option<String>,
}

/// Which exchange and market type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VenueKind {
    /// Binance spot.
    BinanceSpot,
    /// Binance USD-M perpetuals.
    BinanceUsdm {
        /// Largest position value over margin balance.
        max_leverage: Decimal,
        /// Largest share of the margin in use, percent.
        max_margin_use_pct: Decimal,
        /// Seconds after which the exchange cancels our orders when it hears nothing from us.
        cancel_on_disconnect_s: u32,
    },
}

#[derive(Clone, Copy)]
enum KindWord {
    Spot,
    Usdm,
}

const KINDS: &[(&str, KindWord)] =
    &[("binance_usdm", KindWord::Usdm), ("binance_spot", KindWord::Spot)];

/// Exchanges of the design that this version does not speak to.
const KINDS_LATER: &[&str] = &["coinbase", "kraken", "okx", "bybit"];

const FUTURES_KEYS: [&str; 3] = ["max_leverage", "max_margin_use_pct", "cancel_on_disconnect_s"];

/// Highest leverage that can be asked for.
const LEVERAGE_MAX: i64 = 20;

/// Reads all venues; two names for one account are refused.
pub(super) fn read_venues(
    agent: &mut Node<'_>,
    mode: Option<Mode>,
) -> BTreeMap<String, Option<Venue>> {
    let mut venues: BTreeMap<String, Option<Venue>> = BTreeMap::new();
    for (name, mut node) in agent.named("venues") {
        if let Err(fault) = values::check_name(&name) {
            node.fault_here(fault);
        }
        let venue = read_venue(&mut node, mode);
        let twin = venue.as_ref().and_then(|venue| {
            let is_same = |other: &Venue| {
                let same_kind =
                    std::mem::discriminant(&other.kind) == std::mem::discriminant(&venue.kind);
                same_kind && other.account == venue.account
            };
            venues
                .iter()
                .find(|(_, o)| o.as_ref().is_some_and(is_same))
                .map(|(name, _)| name.clone())
        });
        if let Some(twin) = twin {
            let what = format!("is the same account as [venues.{twin}]");
            node.fault("account", Fault::new(what, format!("use {twin} in both places")));
        }
        node.finish();
        venues.insert(name, venue);
    }
    venues
}

fn read_venue(node: &mut Node<'_>, mode: Option<Mode>) -> Option<Venue> {
    let kind = node.need("kind", &values::choice(KINDS, KINDS_LATER));
    let account = node.need("account", &values::text("sub-hedge-01"));
    let api_key_env = node.need("api_key_env", &values::env_name("TK_HEDGE_KEY"));
    let api_secret_env = node.need("api_secret_env", &values::env_name("TK_HEDGE_SECRET"));
    let maker = node.need("maker_fee_bps", &values::decimal(Bounds::within(-10, 100), "2.0"));
    let taker = node.need("taker_fee_bps", &values::decimal(Bounds::within(0, 100), "5.0"));
    let rest_url = node.may("rest_url", &urls::url("http", Reach::Encrypted));
    let ws_url = node.may("ws_url", &urls::url("ws", Reach::Encrypted));
    if mode == Some(Mode::Demo) {
        require_loopback(node, "rest_url", rest_url.as_ref());
        require_loopback(node, "ws_url", ws_url.as_ref());
    }
    let kind = match kind {
        Some(KindWord::Usdm) => read_futures(node),
        Some(KindWord::Spot) => {
            refuse_futures(node);
            Some(VenueKind::BinanceSpot)
        }
        None => {
            node.skip_all(&FUTURES_KEYS);
            None
        }
    };
    Some(Venue {
        kind: kind?,
        account: account?,
        api_key_env: api_key_env?,
        api_secret_env: api_secret_env?,
        maker_fee_bps: maker?,
        taker_fee_bps: taker?,
        rest_url: rest_url?,
        ws_url: ws_url?,
    })
}

fn read_futures(node: &mut Node<'_>) -> Option<VenueKind> {
    let leverage = values::decimal(Bounds::above(0, LEVERAGE_MAX), "2.0");
    let max_leverage = node.need("max_leverage", &leverage);
    let margin = values::decimal(Bounds::above(0, 100), "40.0");
    let max_margin_use_pct = node.need("max_margin_use_pct", &margin);
    let cancel_on_disconnect_s = node.need("cancel_on_disconnect_s", &integer(2..=600, 15));
    Some(VenueKind::BinanceUsdm {
        max_leverage: max_leverage?,
        max_margin_use_pct: max_margin_use_pct?,
        cancel_on_disconnect_s: cancel_on_disconnect_s?,
    })
}

fn refuse_futures(node: &mut Node<'_>) {
    node.skip_all(&FUTURES_KEYS);
    for key in FUTURES_KEYS {
        if node.has(key) {
            let fault = Fault::new("belongs to binance_usdm, a spot account has none", "remove it");
            node.fault(key, fault);
        }
    }
}

/// Play money must not meet a real exchange: in demo both roots are stated and local.
fn require_loopback(node: &Node<'_>, key: &'static str, url: Option<&Option<String>>) {
    let Some(url) = url else { return };
    if url.as_deref().is_some_and(urls::is_loopback_url) {
        return;
    }
    let what = match url {
        Some(_) => "leads off this machine, which mode \"demo\" forbids",
        None => "is not stated, so the real exchange would be used in mode \"demo\"",
    };
    node.fault(key, Fault::new(what, "write the local exchange's address, or leave mode \"demo\""));
}
