//! What one trade took is not there for the next one, until others moved the price as far.

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256};
use rust_decimal::dec;

use crate::engine::event::{Pool, PoolEvent};
use crate::engine::tests::stage::{POOL, USDT, WETH, pool};
use crate::execution::tx::{Act, Spender};
use crate::market::pools::v3::{PoolV3, V3Event};
use crate::math::amm::Direction;
use crate::math::amm::v3::{SwapAmount, SwapOrder};
use crate::model::intent::SwapPlan;
use crate::sim::paper::PaperChain;
use crate::sim::paper::acts::{Place, run};
use crate::sim::paper::tests::acts::{LATE, a_trade, begun, block, header, id, rich, sent, setup};

/// Five thousand USDT buy: the price rises by about a basis point.
const AMOUNT: u128 = 5_000_000_000;
/// Three ETH move it back by about twice as much.
const BACK: u128 = 3_000_000_000_000_000_000;

fn swap((token_in, token_out): (Address, Address), amount_in: u128, amount_out_min: U256) -> Act {
    let amount_in = U256::from(amount_in);
    let notional = dec!(0);
    let pool = id(POOL);
    let swap = SwapPlan { pool, token_in, token_out, amount_in, amount_out_min, notional };
    Act::Swap { swap, deadline: LATE }
}

fn buy(amount_out_min: U256) -> Act {
    swap((USDT, WETH), AMOUNT, amount_out_min)
}

/// What a pool would really give now.
fn given(pool: &PoolV3, direction: Direction, amount: u128) -> U256 {
    let amount = SwapAmount::ExactIn(U256::from(amount));
    let order = SwapOrder { direction, amount, sqrt_limit_x96: None };
    pool.quote(&order).unwrap().amount_out
}

#[test]
fn the_same_way_a_swap_gets_what_a_pool_that_was_moved_would_give() {
    let pools = BTreeMap::from([(POOL, Pool::V3(Box::new(pool())))]);
    let (setup, header) = (setup(), header(10));
    let place = Place { setup: &setup, pools: &pools, header: &header, nonce: 0 };
    let (mut wallet, mut moved) = (rich(), pool());
    for _ in 0..3 {
        let due = given(&moved, Direction::OneForZero, AMOUNT);
        let done = run(&place, &wallet, &buy(U256::ZERO)).unwrap();
        let gained = done.wallet.held(WETH) - wallet.held(WETH);
        assert!(gained.abs_diff(due) <= U256::from(2), "{gained} instead of {due}");
        assert_eq!(wallet.held(USDT) - done.wallet.held(USDT), U256::from(AMOUNT));
        let better = run(&place, &wallet, &buy(due + U256::from(3))).unwrap_err();
        assert_eq!(better, "Too little received");
        wallet = done.wallet;
        a_trade(&mut moved, Direction::OneForZero, AMOUNT);
    }
    // The other way it would be better than it stands, which is not counted on.
    let done = run(&place, &wallet, &swap((WETH, USDT), BACK, U256::ZERO)).unwrap();
    let gained = done.wallet.held(USDT) - wallet.held(USDT);
    assert_eq!(gained, given(&pool(), Direction::ZeroForOne, BACK));
}

/// A chain on which the router may take all USDT, and its pool.
fn allowed() -> (PaperChain, PoolV3) {
    let mut chain = begun();
    let approve = Act::Approve { token: USDT, spender: Spender::SwapRouter, amount: U256::MAX };
    chain.keep(&sent(0, approve), Some(header(100).time));
    assert!(chain.block(&mut block(101, Vec::new())).is_some());
    (chain, pool())
}

/// Whether a swap in the block after these trades of others brings at least as much as asked.
fn goes(chain: &mut PaperChain, nonce: u64, logs: Vec<PoolEvent>, least: U256) -> bool {
    let number = 101 + nonce;
    chain.keep(&sent(nonce, buy(least)), Some(header(number - 1).time));
    let mut block = block(number, logs.into_iter().map(|log| (POOL, log)).collect());
    chain.block(&mut block).expect("a transaction of ours is in it");
    block.receipts[0].1.is_success
}

#[test]
fn a_gap_is_there_again_when_others_moved_the_price_back_by_as_much() {
    let (mut chain, mut real) = allowed();
    let fresh = given(&real, Direction::OneForZero, AMOUNT);
    assert!(goes(&mut chain, 1, vec![], fresh));
    assert!(!goes(&mut chain, 2, vec![], fresh), "nobody came");
    let dust = a_trade(&mut real, Direction::ZeroForOne, 10_u128.pow(15));
    assert!(!goes(&mut chain, 3, vec![dust], fresh), "dust moves nothing");
    let (lower, upper, amount) = (-198_000, -197_000, 1_000_000_000_000_000);
    let mint = V3Event::Mint { lower, upper, amount };
    real.apply(&mint).unwrap();
    assert!(!goes(&mut chain, 4, vec![PoolEvent::V3(mint)], fresh), "liquidity is no price");
    let sold = a_trade(&mut real, Direction::ZeroForOne, BACK);
    assert!(goes(&mut chain, 5, vec![sold], fresh));
    assert!(!goes(&mut chain, 6, vec![], given(&real, Direction::OneForZero, AMOUNT)));
}

#[test]
fn what_others_took_as_well_is_not_taken_off_once_more() {
    let (mut chain, mut real) = allowed();
    assert!(goes(&mut chain, 1, vec![], U256::ZERO));
    let less = a_trade(&mut real, Direction::OneForZero, AMOUNT / 2);
    let fresh = given(&real, Direction::OneForZero, AMOUNT);
    assert!(!goes(&mut chain, 2, vec![less], fresh), "they took less than we did");
    let more = a_trade(&mut real, Direction::OneForZero, AMOUNT);
    let fresh = given(&real, Direction::OneForZero, AMOUNT);
    assert!(goes(&mut chain, 3, vec![more], fresh));
}

#[test]
fn a_block_that_is_taken_back_took_nothing() {
    let (mut chain, real) = allowed();
    let fresh = given(&real, Direction::OneForZero, AMOUNT);
    assert!(goes(&mut chain, 1, vec![], fresh));
    assert!(chain.estimate(&buy(fresh)).unwrap_err().contains("Too little received"));
    chain.reorganised(&header(101));
    assert!(chain.estimate(&buy(fresh)).is_ok());
    let mut again = block(102, Vec::new());
    chain.block(&mut again).expect("it is run again");
    assert!(again.receipts[0].1.is_success);
    assert!(chain.estimate(&buy(fresh)).is_err());
}

#[test]
fn pools_are_again_what_they_were_before_a_block_that_is_taken_back() {
    let (mut chain, real) = allowed();
    let fresh = given(&real, Direction::OneForZero, AMOUNT);
    let (lower, upper, amount) = (-198_000, -197_000, 1 << 120);
    let misfit = PoolEvent::V3(V3Event::Burn { lower, upper, amount });
    for last in [None, Some(misfit), Some(PoolEvent::Broken("no such log".into()))] {
        let mut moved = real.clone();
        let is_followed = last.is_none();
        let sold = [(); 2].map(|()| a_trade(&mut moved, Direction::ZeroForOne, BACK));
        let logs = sold.into_iter().chain(last).map(|log| (POOL, log)).collect();
        assert!(chain.block(&mut block(102, logs)).is_none(), "nothing of ours is in it");
        assert_eq!(chain.estimate(&buy(fresh + U256::ONE)).is_ok(), is_followed);
        chain.reorganised(&header(101));
        assert!(chain.estimate(&buy(fresh)).is_ok());
        assert!(chain.estimate(&buy(fresh + U256::ONE)).is_err());
    }
}
