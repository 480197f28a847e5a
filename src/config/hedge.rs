//! `[hedge]` of a strategy's file: which perpetual takes its delta, and within which band.

use rust_decimal::Decimal;

use crate::config::agent::USD_MAX;
use crate::config::editable::{Editable, editable};
use crate::config::problem::{Fault, Origin, suggest};
use crate::config::reader::Node;
use crate::config::strategy::Known;
use crate::config::values::{self, Bounds, integer};
use crate::config::venue::VenueKind;

/// Who hedges a strategy's delta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HedgeBy {
    /// The strategy itself, in a market it owns.
    Own(Hedge),
    /// Another strategy, whose hedge nets both deltas: one owner per account and market.
    With(String),
}

/// How the delta is hedged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hedge {
    /// Name of the venue; a perpetual account.
    pub venue: String,
    /// The perpetual, as `ETHUSDT-PERP`.
    pub market: String,
    /// Share of the position's delta that is kept: 0 is flat, 1 unhedged.
    pub target_delta_fraction: Decimal,
    /// Delta that is left alone when trading is dear, USD.
    pub band_min_usd: Decimal,
    /// Delta that is never left alone, USD.
    pub band_max_usd: Decimal,
    /// Seconds that a delta beyond the band may last.
    pub max_unhedged_s: u64,
}

impl Hedge {
    /// The perpetual as the exchange spells it, as `ETHUSDT`.
    pub fn symbol(&self) -> &str {
        self.market.strip_suffix(PERPETUAL).unwrap_or(&self.market)
    }
}

/// End of the name of every perpetual.
const PERPETUAL: &str = "-PERP";

/// Numbers that may be changed while it runs; only a hedge of one's own has them.
pub(super) const EDITABLE: &[Editable] = &[
    editable(
        "hedge.target_delta_fraction",
        "Share of the delta that is kept: 0 is flat, 1 is not hedged at all.",
    ),
    editable("hedge.band_min_usd", "Delta that is left alone for a while, USD."),
    editable("hedge.band_max_usd", "Delta that is never left alone, USD."),
    editable("hedge.max_unhedged_s", "Time a delta between the two may last, seconds."),
];

/// Keys of a hedge of one's own.
const OWN_KEYS: [&str; 6] =
    ["venue", "market", "target_delta_fraction", "band_min_usd", "band_max_usd", "max_unhedged_s"];

/// Reads `[hedge]`, with the place of its market, or of the name of whoever hedges.
pub(super) fn read_hedge(
    mut node: Node<'_>,
    known: &Known<'_>,
    base_asset: Option<&String>,
) -> Option<(HedgeBy, Origin)> {
    if !node.has("with") {
        node.skip_all(&["with"]);
        return read_own(node, known, base_asset).map(|(own, at)| (HedgeBy::Own(own), at));
    }
    let with = node.need("with", &values::name("base-weth-usdc-lp"));
    let origin = node.origin_of("with");
    node.skip_all(&OWN_KEYS);
    for key in OWN_KEYS {
        if node.has(key) {
            let what = "belongs to the strategy named by `with`, which hedges both";
            node.fault(key, Fault::new(what, "remove it here"));
        }
    }
    node.finish();
    Some((HedgeBy::With(with?), origin))
}

fn read_own(
    mut node: Node<'_>,
    known: &Known<'_>,
    base_asset: Option<&String>,
) -> Option<(Hedge, Origin)> {
    let venue = read_venue_name(&mut node, known);
    let market = node.need("market", &values::text("ETHUSDT-PERP"));
    let origin = node.origin_of("market");
    if let Some(market) = &market {
        check_market(&node, market, base_asset);
    }
    let fraction = values::decimal(Bounds::within(0, 1), "0.0");
    let target_delta_fraction = node.need("target_delta_fraction", &fraction);
    let band = |example| values::decimal(Bounds::above(0, USD_MAX), example);
    let band_min = node.need("band_min_usd", &band("1000"));
    let band_max = node.need("band_max_usd", &band("5000"));
    let max_unhedged_s = node.need("max_unhedged_s", &integer::<u64>(1..=3_600, 30));
    if band_min.zip(band_max).is_some_and(|(min, max)| min > max) {
        node.fault("band_min_usd", Fault::new("is more than band_max_usd", "exchange the two"));
    }
    if let (Some(max), Some(seconds)) = (band_max, max_unhedged_s) {
        check_band(&node, known, max, seconds);
    }
    node.finish();
    let hedge = Hedge {
        venue: venue?,
        market: market?,
        target_delta_fraction: target_delta_fraction?,
        band_min_usd: band_min?,
        band_max_usd: band_max?,
        max_unhedged_s: max_unhedged_s?,
    };
    Some((hedge, origin))
}

fn read_venue_name(node: &mut Node<'_>, known: &Known<'_>) -> Option<String> {
    let name = node.need("venue", &values::name("hedge"))?;
    match known.agent.venues.get(&name) {
        None if known.is_agent_whole => {
            let names: Vec<&str> = known.agent.venues.keys().map(String::as_str).collect();
            let what = format!("agent.toml has no [venues.{name}]");
            node.fault("venue", Fault::new(what, suggest(&name, &names)));
        }
        Some(Some(venue)) if venue.kind == VenueKind::BinanceSpot => {
            let what = format!("[venues.{name}] is a spot account and cannot be short");
            node.fault("venue", Fault::new(what, "name a venue of kind \"binance_usdm\""));
        }
        None | Some(_) => {}
    }
    Some(name)
}

/// A perpetual is written `BASEQUOTE-PERP`, and hedges only what it is made of.
fn check_market(node: &Node<'_>, market: &str, base_asset: Option<&String>) {
    let symbol = market.strip_suffix(PERPETUAL).filter(|symbol| {
        let is_allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
        symbol.len() >= 5 && symbol.len() <= 20 && symbol.chars().all(is_allowed)
    });
    let Some(symbol) = symbol else {
        let what = "is not the name of a perpetual";
        node.fault("market", Fault::new(what, "write it as in \"ETHUSDT-PERP\""));
        return;
    };
    if let Some(asset) = base_asset.filter(|asset| !symbol.starts_with(asset.as_str())) {
        let what = format!("does not hedge {asset}, the asset of the pool's base token");
        node.fault("market", Fault::new(what, format!("for example \"{asset}USDT-PERP\"")));
    }
}

/// A band wider than the keeper's limits would be cut by the gate in the middle of a hedge.
fn check_band(node: &Node<'_>, known: &Known<'_>, band_max: Decimal, max_unhedged_s: u64) {
    let Some(limits) = &known.agent.limits else {
        return;
    };
    if band_max > limits.net_delta_usd {
        let what = format!("is {band_max}, over limits.net_delta_usd = {}", limits.net_delta_usd);
        node.fault("band_max_usd", Fault::new(what, "narrow the band or raise the limit"));
    }
    let exposure = band_max.checked_mul(Decimal::from(max_unhedged_s));
    if exposure.is_none_or(|exposure| exposure > limits.unhedged_delta_usd_seconds) {
        let limit = limits.unhedged_delta_usd_seconds;
        let what =
            format!("times band_max_usd is over limits.unhedged_delta_usd_seconds = {limit}");
        node.fault("max_unhedged_s", Fault::new(what, "hedge sooner or narrow the band"));
    }
}
