//! `kind = "market_making"`: two-sided quotes on a spot book, leaning against the inventory.

use rust_decimal::Decimal;

use crate::config::editable::{Editable, editable};
use crate::config::problem::{Fault, suggest};
use crate::config::reader::Node;
use crate::config::strategy::{Capital, Claim, Draft, Head, Known, read_capital};
use crate::config::values::{self, Bounds, integer};
use crate::config::venue::VenueKind;

/// Two-sided quotes on a spot book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarketMaking {
    /// Name and stage.
    pub head: Head,
    /// Name of the venue; a spot account.
    pub venue: String,
    /// The exchange's symbol, as `ETHUSDT`.
    pub market: String,
    /// Its money: inventory and resting bid together.
    pub capital: Capital,
    /// How it quotes.
    pub quotes: Quotes,
    /// The strategy whose hedge nets its inventory too; absent, it is not hedged.
    pub hedged_with: Option<String>,
}

/// How a market maker quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quotes {
    /// Base per order, one order a side.
    pub quantity: Decimal,
    /// Base the inventory may be away from its target, either way.
    pub max_inventory: Decimal,
    /// Base at which both sides are quoted alike.
    pub target_inventory: Decimal,
    /// Risk aversion, per unit of quote.
    pub gamma: Decimal,
    /// Decay of the fill intensity with distance, per unit of price.
    pub kappa: Decimal,
    /// Fills per second of such an order at the mid.
    pub intensity_per_s: Decimal,
    /// Least half-spread, basis points of the mid.
    pub min_half_spread_bps: Decimal,
    /// A model that asks for more does not quote, basis points of the mid.
    pub max_half_spread_bps: Decimal,
    /// A quote is taken back after so long, seconds.
    pub ttl_s: u64,
    /// A resting quote moves when its price is off by this, basis points.
    pub refresh_bps: Decimal,
    /// Mids this old still count for the volatility, seconds.
    pub volatility_window_s: u64,
}

/// Numbers that may be changed while it runs. The target of the inventory is none of them: the
/// hedge would follow it at once, which no preview tells.
pub(super) const EDITABLE: &[Editable] = &[
    editable("quotes.quantity", "Size of an order, one order a side, in the base asset."),
    editable("quotes.max_inventory", "Distance of the inventory from its target at most, base."),
    editable("quotes.gamma", "Risk aversion, per unit of the quote asset."),
    editable("quotes.kappa", "Decay of the fill intensity with distance, per unit of price."),
    editable("quotes.intensity_per_s", "Fills of an order at the mid, per second."),
    editable("quotes.min_half_spread_bps", "Half-spread at least, basis points of the mid."),
    editable(
        "quotes.max_half_spread_bps",
        "Half-spread beyond which nothing is quoted, basis points of the mid.",
    ),
    editable("quotes.ttl_s", "Time after which a quote is taken back, seconds."),
    editable("quotes.refresh_bps", "A quote moves when its price is off by this, basis points."),
    editable("quotes.volatility_window_s", "Age of mids that still count, seconds."),
];

/// Reads what is the kind's own; the head was read before.
pub(super) fn read_market_making(
    mut node: Node<'_>,
    draft: Draft,
    known: &Known<'_>,
) -> (Option<MarketMaking>, Claim) {
    let venue = read_spot_venue(&mut node, known);
    let market = node.need("market", &values::symbol("ETHUSDT"));
    let market_at = node.origin_of("market");
    let capital = node.table("capital", "the money it may use").and_then(read_capital);
    let quotes = node.table("quotes", "how it quotes").and_then(read_quotes);
    let has_hedge = node.has("hedge");
    let hedge = match has_hedge {
        true => node.table("hedge", "who hedges it").and_then(read_hedged_with).map(Some),
        false => {
            node.skip_all(&["hedge"]);
            Some(None)
        }
    };
    let claim = Claim {
        market: venue.clone().zip(market.clone()).map(|(venue, market)| (venue, market, market_at)),
        hedged_with: hedge.clone().flatten(),
        ..Claim::of(&draft, capital.as_ref())
    };
    node.finish();
    let making = || {
        Some(MarketMaking {
            head: draft.head()?,
            venue: venue?,
            market: market?,
            capital: capital?.0,
            quotes: quotes?,
            hedged_with: hedge?.map(|(name, _)| name),
        })
    };
    (making(), claim)
}

pub(super) fn read_hedged_with(
    mut node: Node<'_>,
) -> Option<(String, crate::config::problem::Origin)> {
    let with = node.need("with", &values::name("base-weth-usdc-lp"));
    let origin = node.origin_of("with");
    node.finish();
    Some((with?, origin))
}

pub(super) fn read_spot_venue(node: &mut Node<'_>, known: &Known<'_>) -> Option<String> {
    let name = node.need("venue", &values::name("spot"))?;
    match known.agent.venues.get(&name) {
        None if known.is_agent_whole => {
            let names: Vec<&str> = known.agent.venues.keys().map(String::as_str).collect();
            let what = format!("agent.toml has no [venues.{name}]");
            node.fault("venue", Fault::new(what, suggest(&name, &names)));
        }
        Some(Some(venue)) if venue.kind != VenueKind::BinanceSpot => {
            let what = format!("[venues.{name}] is no spot account");
            node.fault("venue", Fault::new(what, "name a venue of kind \"binance_spot\""));
        }
        None | Some(_) => {}
    }
    Some(name)
}

/// Largest amount of base in a file.
const BASE_MAX: i64 = 1_000_000;
/// Largest parameter of the model.
const MODEL_MAX: i64 = 1_000_000;

fn read_quotes(mut node: Node<'_>) -> Option<Quotes> {
    let base = |example| values::decimal(Bounds::above(0, BASE_MAX), example);
    let model = |example| values::decimal(Bounds::above(0, MODEL_MAX), example);
    let bps = |example| values::decimal(Bounds::within(0, 1_000), example);
    let quantity = node.need("quantity", &base("0.5"));
    let max_inventory = node.need("max_inventory", &base("5"));
    let target = values::decimal(Bounds::within(0, BASE_MAX), "10");
    let target_inventory = node.need("target_inventory", &target);
    let gamma = node.need("gamma", &model("0.02"));
    let kappa = node.need("kappa", &model("2"));
    let intensity_per_s = node.need("intensity_per_s", &model("0.5"));
    let min_half_spread_bps = node.need("min_half_spread_bps", &bps("0.5"));
    let max_half_spread_bps = node.need("max_half_spread_bps", &bps("20"));
    let ttl_s = node.need("ttl_s", &integer::<u64>(1..=3_600, 30));
    let refresh_bps = node.need("refresh_bps", &bps("0.3"));
    let volatility_window_s = node.need("volatility_window_s", &integer::<u64>(5..=86_400, 60));
    if let (Some(min), Some(max)) = (min_half_spread_bps, max_half_spread_bps)
        && min > max
    {
        node.fault("min_half_spread_bps", Fault::new("is more than the maximum", "exchange them"));
    }
    node.finish();
    Some(Quotes {
        quantity: quantity?,
        max_inventory: max_inventory?,
        target_inventory: target_inventory?,
        gamma: gamma?,
        kappa: kappa?,
        intensity_per_s: intensity_per_s?,
        min_half_spread_bps: min_half_spread_bps?,
        max_half_spread_bps: max_half_spread_bps?,
        ttl_s: ttl_s?,
        refresh_bps: refresh_bps?,
        volatility_window_s: volatility_window_s?,
    })
}
