//! What a market accepts: grids, limits and fees, as the venue publishes them.

use crate::sim::fixed::{ONE, product};
use crate::sim::order::{Kind, Refusal, Request, Size};

/// Open orders one account may have in one market (the venue's `MAX_NUM_ORDERS`).
pub const OPEN_ORDERS_MAX: usize = 200;

/// The rules of one market. All figures in 1e-8 units.
#[derive(Clone, Debug)]
pub struct Rules {
    /// As in the venue's paths.
    pub symbol: &'static str,
    /// Decimals of a price on the wire.
    pub price_places: u32,
    /// Decimals of a quantity on the wire.
    pub quantity_places: u32,
    /// Price grid.
    pub tick: i64,
    /// Lowest price.
    pub price_min: i64,
    /// Highest price.
    pub price_max: i64,
    /// Quantity grid and smallest quantity.
    pub lot: i64,
    /// Largest quantity of a limit order.
    pub quantity_max: i64,
    /// Largest quantity of a market order.
    pub market_quantity_max: i64,
    /// Smallest value in quote; reduce-only orders are exempt.
    pub notional_min: i64,
    /// Fee of a resting order, as a share.
    pub maker_fee: i64,
    /// Fee of a taking order, as a share.
    pub taker_fee: i64,
}

impl Rules {
    /// Binance spot ETHUSDT: 0.1 % both ways, taken from what is received.
    pub fn spot() -> Self {
        Self {
            symbol: "ETHUSDT",
            price_places: 8,
            quantity_places: 8,
            tick: ONE / 100,
            price_min: ONE / 100,
            price_max: 1_000_000 * ONE,
            lot: ONE / 10_000,
            quantity_max: 9_000 * ONE,
            market_quantity_max: 3_000 * ONE,
            notional_min: 5 * ONE,
            maker_fee: ONE / 1_000,
            taker_fee: ONE / 1_000,
        }
    }

    /// The same rules with another fee of resting orders, in basis points.
    pub fn with_maker_fee(mut self, bps: u32) -> Self {
        self.maker_fee = ONE / 10_000 * i64::from(bps);
        self
    }

    /// Binance USD-M ETHUSDT perpetual: maker 0.02 %, taker 0.05 %, in USDT.
    pub fn perp() -> Self {
        Self {
            symbol: "ETHUSDT",
            price_places: 2,
            quantity_places: 3,
            tick: ONE / 100,
            price_min: 3_986 * ONE / 100,
            price_max: 306_177 * ONE,
            lot: ONE / 1_000,
            quantity_max: 10_000 * ONE,
            market_quantity_max: 2_000 * ONE,
            notional_min: 20 * ONE,
            maker_fee: ONE / 5_000,
            taker_fee: ONE / 2_000,
        }
    }

    /// The filters; `reference` is the price that values a market order.
    pub fn admit(&self, request: &Request, reference: i64) -> Result<(), Refusal> {
        let is_market = request.kind == Kind::Market;
        let price = if is_market { reference } else { request.price };
        if !is_market
            && (price < self.price_min || price > self.price_max || price % self.tick != 0)
        {
            return Err(Refusal::Price);
        }
        let value = match request.size {
            Size::Base(quantity) => {
                let most = if is_market { self.market_quantity_max } else { self.quantity_max };
                self.admit_quantity(quantity, most)?;
                product(price, quantity)
            }
            Size::Quote(quote) => i128::from(quote),
        };
        if value < i128::from(self.notional_min) && !request.reduce_only {
            return Err(Refusal::Notional);
        }
        Ok(())
    }

    fn admit_quantity(&self, quantity: i64, most: i64) -> Result<(), Refusal> {
        if quantity < self.lot {
            return Err(Refusal::QuantityMin);
        }
        if quantity > most {
            return Err(Refusal::QuantityMax);
        }
        if quantity % self.lot != 0 {
            return Err(Refusal::QuantityStep);
        }
        Ok(())
    }
}
