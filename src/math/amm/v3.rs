//! Uniswap V3's rules of a swap: `UniswapV3Pool.swap` of v3-core 1.0.

use alloy::primitives::U256;

use crate::math::amm::swap::{self, Profile};
use crate::math::amm::tick::{Ticks, check_spacing};
use crate::math::amm::v3_step::{StepInput, SwapStep, compute_swap_step};
use crate::math::amm::{AmmError, Direction};

pub use crate::math::amm::swap::{
    Crossing, MAX_SWAP_AMOUNT, MAX_SWAP_STEPS, Quote, SwapAmount, SwapOrder, SwapOutcome, swap,
};

/// The state of a pool a swap reads.
#[derive(Debug, Clone, Copy)]
pub struct Curve<'a> {
    /// Fee in parts of one million.
    pub fee_pips: u32,
    /// Grid of the ticks.
    pub tick_spacing: i32,
    /// `slot0.feeProtocol`: low four bits for token0, high four for token1; 0 is none, n is 1/n.
    pub fee_protocol: u8,
    /// Price, Q64.96.
    pub sqrt_price_x96: U256,
    /// `slot0.tick`; one below the price's own tick after stopping on a tick from above.
    pub tick: i32,
    /// Liquidity in range.
    pub liquidity: u128,
    /// Initialized ticks.
    pub ticks: &'a Ticks,
}

impl swap::Curve for Curve<'_> {
    /// The contract's amounts are `int256`.
    const TOO_MUCH: U256 = U256::from_limbs([0, 0, 0, 1 << 63]);

    fn profile(&self) -> Profile<'_> {
        Profile {
            tick_spacing: self.tick_spacing,
            sqrt_price_x96: self.sqrt_price_x96,
            tick: self.tick,
            liquidity: self.liquidity,
            ticks: self.ticks,
        }
    }

    fn fee_pips(&self, _: Direction) -> Result<u32, AmmError> {
        check_spacing(self.tick_spacing)?;
        Ok(self.fee_pips)
    }

    fn step(&self, input: &StepInput) -> Result<SwapStep, AmmError> {
        compute_swap_step(input)
    }

    /// A part of the fee itself, rounded down.
    fn protocol_part(&self, direction: Direction, _: U256, fee: U256) -> Result<U256, AmmError> {
        let part = match direction {
            Direction::ZeroForOne => self.fee_protocol & 0x0f,
            Direction::OneForZero => self.fee_protocol >> 4,
        };
        Ok(if part == 0 { U256::ZERO } else { fee / U256::from(part) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::amm::tick::{MAX_SQRT_PRICE_X96, MIN_SQRT_PRICE_X96, TickState};
    use crate::math::amm::{Q96, Q128};

    fn ticks(at: &[(i32, i128)]) -> Ticks {
        at.iter()
            .map(|&(tick, net)| {
                (tick, TickState { gross: net.unsigned_abs(), net, ..TickState::default() })
            })
            .collect()
    }

    fn curve(ticks: &Ticks) -> Curve<'_> {
        Curve {
            fee_pips: 3_000,
            tick_spacing: 60,
            fee_protocol: 0,
            sqrt_price_x96: Q96,
            tick: 0,
            liquidity: 1_000_000_000_000,
            ticks,
        }
    }

    fn order(direction: Direction, amount: SwapAmount) -> SwapOrder {
        SwapOrder { direction, amount, sqrt_limit_x96: None }
    }

    #[test]
    fn the_protocol_takes_its_part_before_the_liquidity() {
        let ticks = ticks(&[(-6_000, 1_000_000_000_000), (6_000, -1_000_000_000_000)]);
        let order = order(Direction::ZeroForOne, SwapAmount::ExactIn(U256::from(1_000_000)));
        let plain = swap(&curve(&ticks), &order).unwrap();
        let split = swap(&Curve { fee_protocol: 0x54, ..curve(&ticks) }, &order).unwrap();
        assert_eq!(plain.protocol_fee, 0);
        assert_eq!(U256::from(split.protocol_fee), plain.fee / U256::from(4));
        assert_eq!(split.amount_out, plain.amount_out);
        let rest = plain.fee - U256::from(split.protocol_fee);
        assert_eq!(split.fee_growth_x128, rest * Q128 / U256::from(1_000_000_000_000u64));
    }

    #[test]
    fn without_liquidity_the_price_runs_to_the_limit_for_nothing() {
        let ticks = Ticks::new();
        let empty = Curve { liquidity: 0, ..curve(&ticks) };
        for (direction, limit) in [
            (Direction::ZeroForOne, MIN_SQRT_PRICE_X96 + U256::ONE),
            (Direction::OneForZero, MAX_SQRT_PRICE_X96 - U256::ONE),
        ] {
            let amount = SwapAmount::ExactIn(MAX_SWAP_AMOUNT);
            let outcome = swap(&empty, &order(direction, amount)).unwrap();
            assert_eq!(outcome.sqrt_price_x96, limit);
            assert_eq!((outcome.amount_in, outcome.amount_out), (U256::ZERO, U256::ZERO));
            assert_eq!(outcome.unfilled, MAX_SWAP_AMOUNT);
        }
    }

    #[test]
    fn what_the_contract_reverts_on_is_refused() {
        let ticks = Ticks::new();
        let one = SwapAmount::ExactIn(U256::ONE);
        let swap_to = |direction, limit| {
            let order = SwapOrder { direction, amount: one, sqrt_limit_x96: Some(limit) };
            swap(&curve(&ticks), &order).unwrap_err()
        };
        assert_eq!(swap_to(Direction::ZeroForOne, Q96), AmmError::PriceLimit);
        assert_eq!(swap_to(Direction::OneForZero, Q96), AmmError::PriceLimit);
        assert_eq!(swap_to(Direction::ZeroForOne, MIN_SQRT_PRICE_X96), AmmError::PriceLimit);
        assert_eq!(swap_to(Direction::OneForZero, MAX_SQRT_PRICE_X96), AmmError::PriceLimit);
        let zero = order(Direction::ZeroForOne, SwapAmount::ExactIn(U256::ZERO));
        assert_eq!(swap(&curve(&ticks), &zero), Err(AmmError::ZeroAmount));
        let large = order(Direction::ZeroForOne, SwapAmount::ExactOut(U256::MAX));
        assert_eq!(swap(&curve(&ticks), &large), Err(AmmError::Overflow));
    }

    #[test]
    fn nets_that_do_not_fit_are_refused() {
        let ticks = ticks(&[(60, -2_000_000_000_000)]);
        let up = order(Direction::OneForZero, SwapAmount::ExactIn(MAX_SWAP_AMOUNT));
        let refused = swap(&curve(&ticks), &up);
        assert_eq!(refused, Err(AmmError::LiquidityAtTick { tick: 60 }));
    }
}
