//! Price to tick and back, on every price and every tick.

use alloy::primitives::U256;
use tidekeeper::math::amm::tick::{
    MAX_SQRT_PRICE_X96, MAX_TICK, MIN_SQRT_PRICE_X96, MIN_TICK, sqrt_price_at, tick_at,
};

use super::input::Input;

/// Two prices, of any width, and a tick: of the protocol's range if the byte before it is odd.
pub(super) fn prices(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (one, other) = (input.wide(), input.wide());
    if let (Some(of_one), Some(of_other)) = (tick_of(one), tick_of(other)) {
        let (lower, upper) = if one <= other { (of_one, of_other) } else { (of_other, of_one) };
        assert!(lower <= upper, "{one} {other}");
    }
    let is_tick = input.byte() & 1 == 1;
    check_tick(if is_tick { input.tick() } else { input.i32() });
}

/// The tick of a price is the last one whose price is not above it.
fn tick_of(price: U256) -> Option<i32> {
    let is_price = MIN_SQRT_PRICE_X96 <= price && price < MAX_SQRT_PRICE_X96;
    let tick = tick_at(price).ok();
    assert_eq!(tick.is_some(), is_price, "{price}");
    let tick = tick?;
    let [here, above] = [tick, tick + 1].map(|tick| sqrt_price_at(tick).expect("a tick's price"));
    assert!(here <= price && price < above, "{price} {tick}");
    Some(tick)
}

/// A tick's price is the first that has the tick, and above the price of the tick below.
fn check_tick(tick: i32) {
    let price = sqrt_price_at(tick);
    assert_eq!(price.is_ok(), (MIN_TICK..=MAX_TICK).contains(&tick), "{tick}");
    let Ok(price) = price else { return };
    let is_last = tick == MAX_TICK;
    assert_eq!(tick_at(price).ok(), (!is_last).then_some(tick));
    if tick > MIN_TICK {
        assert_eq!(tick_at(price - U256::ONE), Ok(tick - 1));
    }
}
