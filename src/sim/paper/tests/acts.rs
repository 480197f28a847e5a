//! Acts against recorded answers of a real chain, and what makes them fail.

use std::collections::BTreeMap;
use std::io::Read;

use alloy::primitives::{B256, Bytes, U256};
use flate2::read::GzDecoder;
use rust_decimal::dec;
use serde_json::Value;
use uuid::Uuid;

use crate::engine::event::{Block, ChainStart, Pool, PoolEvent, Recovered, WalletAudit};
use crate::engine::setup::ChainSetup;
use crate::engine::tests::stage::{CHAIN, PAIR, POOL, USDT, WETH, pair, pool, with_cycles};
use crate::execution::tx::{Act, SignedTx, Spender, TxRequest};
use crate::market::pools::v2::V2Event;
use crate::market::pools::v3::{PoolV3, V3Event, V3Snapshot};
use crate::math::amm::Direction;
use crate::math::amm::tick::TickState;
use crate::math::amm::v3::{Quote, SwapAmount, SwapOrder};
use crate::model::chain::{BlockRef, Header, NftLog, PoolAddress};
use crate::model::intent::{CloseRange, CycleLeg, CyclePlan, OpenRange, PoolId, SwapPlan};
use crate::model::time::Timestamp;
use crate::sim::paper::PaperChain;
use crate::sim::paper::acts::{Place, run};
use crate::sim::paper::wallet::Wallet;

const QUOTES: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/amm/quoter_block_24407242.json.gz"
));
pub(super) const LATE: Timestamp = Timestamp(i64::MAX);
const GWEI: u128 = 1_000_000_000;

pub(super) fn setup() -> ChainSetup {
    with_cycles().chains.remove(0)
}

pub(super) fn id(address: PoolAddress) -> PoolId {
    PoolId { chain: CHAIN, address }
}

/// One block a second.
pub(super) fn header(number: u64) -> Header {
    let hash = B256::from(U256::from(number));
    let parent = B256::from(U256::from(number - 1));
    let time = Timestamp::from_s(i64::try_from(number).unwrap());
    Header { block: BlockRef { chain: CHAIN, number, hash }, parent, time, base_fee: GWEI }
}

pub(super) fn rich() -> Wallet {
    let mut wallet = Wallet::default();
    for token in [WETH, USDT] {
        wallet.receive(token, U256::from(u128::MAX));
        for spender in [Spender::PositionManager, Spender::SwapRouter] {
            wallet.allowances.insert((token, spender), U256::MAX);
        }
    }
    wallet
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn recorded(pool: &Value) -> PoolV3 {
    let tick = |row: &Value| {
        let (net, gross) = (text(&row[1]).parse().unwrap(), text(&row[2]).parse().unwrap());
        let tick = i32::try_from(row[0].as_i64().unwrap()).unwrap();
        (tick, TickState { gross, net, ..TickState::default() })
    };
    let small = |name: &str| i32::try_from(pool[name].as_i64().unwrap()).unwrap();
    let fee_pips = u32::try_from(small("fee")).unwrap();
    PoolV3::from_snapshot(V3Snapshot {
        sqrt_price_x96: text(&pool["sqrt_price_x96"]).parse().unwrap(),
        tick: small("tick"),
        liquidity: text(&pool["liquidity"]).parse().unwrap(),
        ticks: pool["ticks"].as_array().unwrap().iter().map(tick).collect(),
        ..V3Snapshot::unopened(fee_pips, small("tick_spacing"), 24_407_242)
    })
    .unwrap()
}

#[test]
fn a_pretend_swap_brings_what_mainnets_quoter_answered() {
    let mut json = String::new();
    GzDecoder::new(QUOTES).read_to_string(&mut json).unwrap();
    let file: Value = serde_json::from_str(&json).unwrap();
    let of_v3 = |pool: &&Value| pool["protocol"] == "uniswap_v3";
    let told = file["pools"].as_array().unwrap().iter().find(of_v3).unwrap();
    let pools = BTreeMap::from([(POOL, Pool::V3(Box::new(recorded(told))))]);
    let (setup, header) = (setup(), header(10));
    let place = Place { setup: &setup, pools: &pools, header: &header, nonce: 0 };
    let mut checked = 0;
    for quote in told["quotes"].as_array().unwrap() {
        if quote[0] != "quoteExactInputSingle" || quote[3].is_null() {
            continue;
        }
        let is_first = text(&quote[1]).starts_with("WBTC");
        let (token_in, token_out) = if is_first { (WETH, USDT) } else { (USDT, WETH) };
        let answer: U256 = text(&quote[3]).parse().unwrap();
        let swap = |amount_out_min| Act::Swap {
            swap: SwapPlan {
                pool: id(POOL),
                token_in,
                token_out,
                amount_in: text(&quote[2]).parse().unwrap(),
                amount_out_min,
                notional: dec!(0),
            },
            deadline: LATE,
        };
        let done = run(&place, &rich(), &swap(answer)).unwrap();
        let gained = done.wallet.held(token_out) - rich().held(token_out);
        assert_eq!(gained, answer, "{quote}");
        let received = done.moved.iter().filter(|moved| moved.token == token_out);
        assert!(received.map(|moved| moved.amount).eq((!answer.is_zero()).then_some(answer)));
        let greedy = run(&place, &rich(), &swap(answer + U256::ONE)).unwrap_err();
        assert_eq!(greedy, "Too little received");
        checked += 1;
    }
    assert_eq!(checked, 40);
}

fn opening(amount0_min: u64) -> OpenRange {
    OpenRange {
        pool: id(POOL),
        tick_lower: -197_500,
        tick_upper: -197_250,
        amount0: U256::from(10).pow(U256::from(18)),
        amount1: U256::from(2_700_000_000_u64),
        amount0_min: U256::from(amount0_min),
        amount1_min: U256::ZERO,
        notional: dec!(0),
    }
}

#[test]
fn a_range_is_minted_rounded_up_and_withdrawn_rounded_down() {
    let pools = BTreeMap::from([(POOL, Pool::V3(Box::new(pool())))]);
    let (setup, header) = (setup(), header(10));
    let place = Place { setup: &setup, pools: &pools, header: &header, nonce: 7 };
    let open = |amount0_min| Act::Open { open: opening(amount0_min), deadline: LATE };
    let done = run(&place, &rich(), &open(1)).unwrap();
    let [NftLog::Increased { token_id, liquidity, amount0, amount1 }] = done.nft_logs[..] else {
        panic!("{done:?}");
    };
    assert_eq!(rich().held(WETH) - done.wallet.held(WETH), amount0);
    assert_eq!(rich().held(USDT) - done.wallet.held(USDT), amount1);
    assert!(amount0 <= opening(0).amount0 && amount1 <= opening(0).amount1 && liquidity > 0);
    assert_eq!(run(&place, &rich(), &open(u64::MAX)).unwrap_err(), "Price slippage check");
    let stranger = Wallet { allowances: BTreeMap::new(), ..rich() };
    assert!(run(&place, &stranger, &open(1)).unwrap_err().starts_with("STF"));
    let late = Act::Open { open: opening(1), deadline: Timestamp::from_s(9) };
    assert_eq!(run(&place, &rich(), &late).unwrap_err(), "Transaction too old");

    let mut pools = pools.clone();
    for (address, event) in &done.told {
        pools.get_mut(address).unwrap().apply(event).unwrap();
    }
    let place = Place { pools: &pools, ..place };
    let close = |liquidity| Act::Close {
        close: CloseRange {
            pool: id(POOL),
            token_id,
            liquidity,
            amount0_min: U256::ZERO,
            amount1_min: U256::ZERO,
        },
        deadline: LATE,
    };
    let closed = run(&place, &done.wallet, &close(liquidity)).unwrap();
    for token in [WETH, USDT] {
        assert!(rich().held(token) - closed.wallet.held(token) <= U256::ONE);
    }
    assert!(closed.wallet.positions.is_empty());
    let part = run(&place, &done.wallet, &close(liquidity - 1)).unwrap_err();
    assert_eq!(part, "Not cleared");
    assert!(run(&place, &closed.wallet, &close(liquidity)).is_err(), "it was burned");
}

/// Buys in the pool what the dearer pair pays more for, as much as two percent pay for.
fn cycle() -> Act {
    let leg = |pool, token_in, token_out| CycleLeg {
        pool: id(pool),
        dex: 0,
        fee_pips: 500,
        token_in,
        token_out,
        amount_out: U256::ZERO,
    };
    let cycle = CyclePlan {
        chain: CHAIN,
        token: USDT,
        amount_in: U256::from(6_000_000_000_u64),
        min_profit: U256::ONE,
        legs: vec![leg(POOL, USDT, WETH), leg(PAIR, WETH, USDT)],
        notional: dec!(6000),
    };
    Act::Cycle { cycle, deadline_block: 1_000 }
}

pub(super) fn block(number: u64, pool_logs: Vec<(PoolAddress, PoolEvent)>) -> Block {
    Block {
        header: header(number),
        pool_logs,
        receipts: Vec::new(),
        foreign_transfers: Vec::new(),
        signer_nonce: Some(0),
    }
}

pub(super) fn sent(nonce: u64, act: Act) -> SignedTx {
    let request = TxRequest {
        chain: CHAIN,
        nonce,
        act,
        gas_limit: 1_000_000,
        max_fee: 3 * GWEI,
        max_priority_fee: GWEI / 10,
    };
    let hash = B256::from(U256::from(1_000 + nonce));
    let (signer, intent, raw) = (setup().signer, Uuid::nil(), Bytes::new());
    SignedTx { request, signer, intent, strategy: "cycles".into(), raw, hash }
}

/// A chain that was just read, with a pair 2 % above the pool.
pub(super) fn begun() -> PaperChain {
    let mut chain = PaperChain::new(setup(), &with_cycles().strategies, &Recovered::default());
    let block = header(100).block;
    let empty = WalletAudit {
        block,
        native: U256::ZERO,
        tokens: vec![],
        positions: vec![],
        allowances: vec![],
    };
    let mut start = ChainStart {
        header: header(100),
        pools: vec![(POOL, Pool::V3(Box::new(pool()))), (PAIR, Pool::V2(pair(200)))],
        wallet: empty,
        signer_nonce: 9,
    };
    chain.ready(&mut start).unwrap();
    assert_eq!((start.signer_nonce, start.wallet.allowances.len()), (0, 4));
    let half = |token| start.wallet.tokens.iter().find(|(of, _)| *of == token).unwrap().1;
    assert_eq!(half(USDT), U256::from(25_000_000_000_u64), "half of the budget of 50,000");
    assert!(half(WETH) > U256::from(9 * 10_u128.pow(18)));
    assert_eq!(start.wallet.native, U256::from(10_u128.pow(18)), "one coin at least");
    chain
}

/// Somebody trades in the pool.
pub(super) fn a_trade(pool: &mut PoolV3, direction: Direction, amount: u128) -> PoolEvent {
    let amount = SwapAmount::ExactIn(U256::from(amount));
    let order = SwapOrder { direction, amount, sqrt_limit_x96: None };
    let outcome = pool.quote(&order).unwrap();
    let (amount0, amount1) = outcome.deltas();
    let Quote { sqrt_price_x96, liquidity, tick, .. } = outcome;
    let log = V3Event::Swap { amount0, amount1, sqrt_price_x96, liquidity, tick };
    pool.apply(&log).unwrap();
    PoolEvent::V3(log)
}

/// The pair's reserves after somebody moved its price or its depth.
fn sync(above_bps: u128, depth_pct: u128) -> (PoolAddress, PoolEvent) {
    let (reserve0, reserve1) = pair(above_bps).reserves();
    let (reserve0, reserve1) = (reserve0 * depth_pct / 100, reserve1 * depth_pct / 100);
    (PAIR, PoolEvent::V2(V2Event::Sync { reserve0, reserve1 }))
}

#[test]
fn a_cycle_is_not_taken_twice_while_nobody_moves_its_pools() {
    let mut chain = begun();
    let dust = (POOL, a_trade(&mut pool(), Direction::ZeroForOne, 10_u128.pow(15)));
    // Twice nothing; then liquidity at the same price, a trade of dust, the pair dearer again.
    let logs = [vec![], vec![], vec![sync(200, 110)], vec![dust], vec![sync(400, 110)]];
    let mut outcomes = Vec::new();
    for (nonce, logs) in (0..).zip(logs) {
        chain.keep(&sent(nonce, cycle()), Some(header(100 + nonce).time));
        let mut block = block(101 + nonce, logs);
        let audit = chain.block(&mut block).expect("a transaction of ours is in it");
        let [(mined, receipt)] = &block.receipts[..] else { panic!("{:?}", block.receipts) };
        assert_eq!((*mined, block.signer_nonce), (nonce, Some(nonce + 1)));
        assert_eq!(receipt.gas_price, GWEI + GWEI / 10);
        assert_eq!(audit.block, block.header.block);
        outcomes.push(receipt.is_success);
    }
    assert_eq!(outcomes, [true, false, false, false, true]);
}

#[test]
fn a_block_of_the_second_of_sending_or_before_holds_nothing() {
    let mut chain = begun();
    let approve = || Act::Approve { token: USDT, spender: Spender::SwapRouter, amount: U256::ONE };
    let holds = |chain: &mut PaperChain, number| chain.block(&mut block(number, vec![])).is_some();
    chain.keep(&sent(0, approve()), Some(Timestamp::from_ms(102_001)));
    assert!(!holds(&mut chain, 101), "it was sealed before, and is heard of late");
    assert!(!holds(&mut chain, 102), "was it sealed before or after?");
    // Sent again it is no younger.
    assert!(chain.resend(0, Timestamp::from_ms(103_500)).is_some());
    assert!(holds(&mut chain, 103));
    chain.keep(&sent(1, approve()), None);
    assert!(!holds(&mut chain, 104), "it was held back");
    assert!(chain.resend(1, Timestamp::from_ms(105_999)).is_some());
    assert!(!holds(&mut chain, 105) && holds(&mut chain, 106));
}

#[test]
fn what_no_block_would_take_waits_and_gas_is_paid_for_failures() {
    let mut chain = begun();
    let approve = Act::Approve { token: USDT, spender: Spender::SwapRouter, amount: U256::ONE };
    chain.keep(&sent(0, approve), None);
    let mut held_back = block(101, Vec::new());
    assert!(chain.block(&mut held_back).is_none(), "it was never sent");
    assert_eq!(chain.resend(0, header(101).time), Some(B256::from(U256::from(1_000))));
    let mut dear = block(102, Vec::new());
    dear.header.base_fee = 4 * GWEI;
    assert!(chain.block(&mut dear).is_none(), "its fee cap is below the base fee");
    let mut cheap = block(103, Vec::new());
    let audit = chain.block(&mut cheap).expect("now it is in");
    let paid = U256::from(10_u128.pow(18)) - audit.native;
    assert_eq!(Some(paid), cheap.receipts[0].1.cost());
    let close = CloseRange {
        pool: id(POOL),
        token_id: U256::ONE,
        liquidity: 1,
        amount0_min: U256::ZERO,
        amount1_min: U256::ZERO,
    };
    let nothing = Act::Close { close, deadline: LATE };
    assert!(chain.estimate(&nothing).unwrap_err().contains("Invalid token ID"));
    chain.keep(&sent(1, nothing), Some(header(103).time));
    let mut failing = block(104, Vec::new());
    let after = chain.block(&mut failing).expect("it fails in a block");
    let (_, receipt) = &failing.receipts[0];
    assert!(!receipt.is_success && receipt.nft_logs.is_empty());
    assert_eq!(audit.native - after.native, receipt.cost().unwrap());
}

#[test]
fn what_uniswap_v3_does_not_know_is_neither_swapped_nor_opened_and_may_be_cycled() {
    let (mut setup, header) = (setup(), header(10));
    setup.pools[0].dex = "sushiswap_v3".into();
    let pools = BTreeMap::from([(POOL, Pool::V3(Box::new(pool()))), (PAIR, Pool::V2(pair(200)))]);
    let place = Place { setup: &setup, pools: &pools, header: &header, nonce: 0 };
    let swap = SwapPlan {
        pool: id(POOL),
        token_in: WETH,
        token_out: USDT,
        amount_in: U256::from(1_000),
        amount_out_min: U256::ZERO,
        notional: dec!(0),
    };
    let acts = [Act::Swap { swap, deadline: LATE }, Act::Open { open: opening(1), deadline: LATE }];
    for act in acts {
        assert_eq!(run(&place, &rich(), &act).unwrap_err(), "the pool is none of Uniswap V3");
    }
    // The executor knows the pool by its factory.
    assert!(run(&place, &rich(), &cycle()).is_ok());
}
