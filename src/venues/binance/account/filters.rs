//! The rules a market puts on orders: tick, lot, notional. Both dialects.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::venues::binance::wire::{DecodeError, Fields, parse};

/// A grid with bounds. Zero means the venue does not enforce that part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Distance of two allowed values.
    pub step: Decimal,
    /// Smallest allowed value.
    pub min: Decimal,
    /// Largest allowed value.
    pub max: Decimal,
}

/// What a market demands of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketRules {
    /// The venue's symbol.
    pub symbol: String,
    /// The venue's word for the market's state; orders pass at `TRADING` only.
    pub status: String,
    /// Base asset.
    pub base: String,
    /// Quote asset.
    pub quote: String,
    /// Price grid (`PRICE_FILTER`).
    pub price: Step,
    /// Quantity grid of limit orders (`LOT_SIZE`).
    pub lot: Step,
    /// Quantity grid of market orders (`MARKET_LOT_SIZE`); all zero where the venue has none.
    pub market_lot: Step,
    /// Smallest price times quantity (`NOTIONAL`, `MIN_NOTIONAL`); zero where there is none.
    pub notional_min: Decimal,
}

/// The answer to `exchange_info`, one entry per market.
///
/// # Errors
/// When a market lacks its names, its price grid or its lot, or a filter is unreadable.
pub fn exchange_info(body: &[u8]) -> Result<Vec<MarketRules>, DecodeError> {
    let value = parse("exchange information", body)?;
    Fields::of("exchange information", &value)?.rows("symbols", "market", market)
}

fn market(row: Fields<'_>) -> Result<MarketRules, DecodeError> {
    let mut rules = MarketRules {
        symbol: row.owned("symbol")?,
        status: row.owned("status")?,
        base: row.owned("baseAsset")?,
        quote: row.owned("quoteAsset")?,
        price: Step::default(),
        lot: Step::default(),
        market_lot: Step::default(),
        notional_min: Decimal::ZERO,
    };
    let (mut has_price, mut has_lot) = (false, false);
    for filter in row.rows("filters", "filter", Ok)? {
        match filter.text("filterType")? {
            "PRICE_FILTER" => {
                rules.price = step(&filter, ["tickSize", "minPrice", "maxPrice"])?;
                has_price = true;
            }
            "LOT_SIZE" => {
                rules.lot = step(&filter, ["stepSize", "minQty", "maxQty"])?;
                has_lot = true;
            }
            "MARKET_LOT_SIZE" => {
                rules.market_lot = step(&filter, ["stepSize", "minQty", "maxQty"])?;
            }
            "NOTIONAL" | "MIN_NOTIONAL" => {
                // Spot calls it minNotional, USD-M notional.
                rules.notional_min = match filter.optional_decimal("minNotional")? {
                    Some(min) => min,
                    None => filter.decimal("notional")?,
                };
            }
            // Filters of order kinds we never send, and those of tomorrow.
            _ => {}
        }
    }
    // Trading without a known grid would mean guessing it.
    if !has_price {
        return Err(DecodeError::Missing { what: "market", field: "PRICE_FILTER" });
    }
    if !has_lot {
        return Err(DecodeError::Missing { what: "market", field: "LOT_SIZE" });
    }
    Ok(rules)
}

fn step(filter: &Fields<'_>, [step, min, max]: [&'static str; 3]) -> Result<Step, DecodeError> {
    let read = |field| {
        let value = filter.decimal(field)?;
        if value < Decimal::ZERO { Err(filter.invalid(field)) } else { Ok(value) }
    };
    Ok(Step { step: read(step)?, min: read(min)?, max: read(max)? })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const SPOT: &str = include_str!("../../../../tests/data/binance/spot_replies.json");
    const USDM: &str = include_str!("../../../../tests/data/binance/usdm_replies.json");

    fn rules(file: &str) -> Result<Vec<MarketRules>, DecodeError> {
        let all: Value = serde_json::from_str(file).unwrap();
        exchange_info(&serde_json::to_vec(&all["exchange_info"]).unwrap())
    }

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn filters_of_both_dialects_are_exact() {
        let spot = &rules(SPOT).unwrap()[0];
        assert_eq!((spot.symbol.as_str(), spot.status.as_str()), ("ETHUSDT", "TRADING"));
        assert_eq!((spot.base.as_str(), spot.quote.as_str()), ("ETH", "USDT"));
        assert_eq!((spot.price.step, spot.lot.step), (d("0.01"), d("0.0001")));
        assert_eq!((spot.lot.min, spot.notional_min), (d("0.0001"), d("5")));
        let usdm = &rules(USDM).unwrap()[0];
        assert_eq!((usdm.price.step, usdm.lot.step), (d("0.01"), d("0.001")));
        assert_eq!((usdm.market_lot.max, usdm.notional_min), (d("2000"), d("20")));
    }

    #[test]
    fn a_market_without_its_grid_is_refused() {
        for filter in ["PRICE_FILTER", "LOT_SIZE"] {
            let error = rules(&USDM.replace(&format!("\"{filter}\""), "\"OTHER\"")).unwrap_err();
            assert_eq!(error, DecodeError::Missing { what: "market", field: filter });
        }
        let negative = USDM.replace(r#""tickSize": "0.01""#, r#""tickSize": "-0.01""#);
        assert!(matches!(rules(&negative), Err(DecodeError::Invalid { field: "tickSize", .. })));
    }
}
