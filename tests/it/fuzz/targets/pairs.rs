//! V2's constant product: what goes in and what comes out undo each other, and k never falls.

use alloy::primitives::{U256, U512};
use tidekeeper::math::amm::v2::{KeptPart, Reserves, amount_in, amount_out};

use super::input::Input;

/// The kept part of the input as two numbers, both reserves, and an amount to give or to take.
pub(super) fn v2_amounts(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (num, den) = (input.u32(), input.u32());
    let Ok(kept) = KeptPart::new(num, den) else {
        assert!(num == 0 || num > den);
        return;
    };
    let reserves = Reserves { reserve_in: input.wide(), reserve_out: input.wide() };
    let amount = input.wide();
    if let Ok(bought) = amount_out(amount, reserves, kept) {
        assert!(bought < reserves.reserve_out);
        check_product(amount, bought, reserves, (num, den));
        // The library adds one to every input, so the way back may cost one more.
        if let Ok(needed) = amount_in(bought, reserves, kept) {
            assert!(needed <= amount + U256::ONE);
        }
    }
    if let Ok(needed) = amount_in(amount, reserves, kept) {
        if let Ok(bought) = amount_out(needed, reserves, kept) {
            assert!(bought >= amount);
        }
        let less = needed - U256::ONE;
        if let Ok(bought) = amount_out(less, reserves, kept) {
            assert!(bought <= amount);
        }
    }
}

/// The pair's own check: the product of the reserves, the input counted without its fee, is not
/// below what it was.
fn check_product(given: U256, bought: U256, reserves: Reserves, (num, den): (u32, u32)) {
    let scaled = reserves.reserve_in * U256::from(den);
    let before: U512 = scaled.widening_mul(reserves.reserve_out);
    let scaled = scaled + given * U256::from(num);
    let after: U512 = scaled.widening_mul(reserves.reserve_out - bought);
    assert!(before <= after);
}
