//! Transactions and what they leave in the books; pools that may not be trusted.

use alloy::primitives::{Address, I256, U256};

use crate::engine::event::{Body, Observed, PoolEvent};
use crate::engine::output::Command;
use crate::engine::tests::asked::{estimates, is_idle, only, submits};
use crate::engine::tests::on_chain::TOKEN_ID;
use crate::engine::tests::stage::{
    CHAIN, MANAGER, POOL, SIGNER, STALE_AFTER_MS, TICK, USDT, WETH, only_liquidity,
};
use crate::engine::tests::world::World;
use crate::execution::tx::{Act, Spender, TxState};
use crate::ledger::entry::Kind;
use crate::market::pools::v3::{V3Event, V3Observed};
use crate::model::unit::{Account, Reason, Unit};

fn erc20(token: Address) -> Unit {
    Unit::Erc20 { chain: CHAIN, token }
}

fn wallet() -> Account {
    Account::Wallet { chain: CHAIN, signer: SIGNER }
}

fn signed(amount: U256) -> I256 {
    I256::try_from(amount).expect("small")
}

/// The ledger's wallet is the chain's, to the unit.
fn assert_wallet(world: &World) {
    let held = |unit: &Unit| world.engine.ledger.balance(&wallet(), unit);
    assert_eq!(held(&Unit::Native { chain: CHAIN }), signed(world.native));
    assert_eq!(held(&erc20(WETH)), signed(world.weth));
    assert_eq!(held(&erc20(USDT)), signed(world.usdt));
}

#[test]
fn a_mint_books_gas_principal_and_liquidity() {
    let (mut world, asked) = World::open(only_liquidity());
    let (weth, usdt, n) = (world.weth, world.usdt, world.kept.entries.len());
    world.open_position(&asked);
    assert_eq!(world.kept.kinds_after(n), [Kind::Gas, Kind::Mint]);
    assert_wallet(&world);
    let place = Account::Position { chain: CHAIN, token_id: TOKEN_ID };
    let ledger = &world.engine.ledger;
    assert_eq!(ledger.balance(&place, &erc20(WETH)), signed(weth - world.weth));
    assert_eq!(ledger.balance(&place, &erc20(USDT)), signed(usdt - world.usdt));
    let token_id = TOKEN_ID;
    let unit = Unit::V3Liquidity { chain: CHAIN, position_manager: MANAGER, token_id };
    let liquidity = U256::from(world.owned[0].liquidity);
    assert_eq!(ledger.balance(&place, &unit), signed(liquidity));
    assert_eq!(world.mode(), "running");
    assert!(is_idle(&world.pass(5_000)), "in range it holds");
}

#[test]
fn a_withdrawal_books_burn_and_collect_and_the_balances_return() {
    let (mut world, asked) = World::open(only_liquidity());
    world.open_position(&asked);
    world.pass(9_000);
    let usdt = world.usdt;
    world.swap_to(TICK + 300);
    let asked = world.pass(2_000);
    let request = world.send(&asked);
    let n = world.kept.entries.len();
    world.mine(&request);
    assert_eq!(world.kept.kinds_after(n), [Kind::Gas, Kind::Burn, Kind::Collect]);
    assert_wallet(&world);
    let ledger = &world.engine.ledger;
    for token in [WETH, USDT] {
        let (chain, token_id) = (CHAIN, TOKEN_ID);
        for place in [Account::Position { chain, token_id }, Account::Owed { chain, token_id }] {
            assert_eq!(ledger.balance(&place, &erc20(token)), I256::ZERO, "{place} {token}");
        }
    }
    let position = &world.kept.positions[&TOKEN_ID];
    assert!(position.closed.is_some() && position.fees1 > U256::ZERO);
    assert_eq!(position.collected1, world.usdt - usdt);
    let fees = ledger.balance(&Account::Reason(Reason::LpFees), &erc20(USDT));
    assert_eq!(fees, -signed(position.fees1), "income stands negative");
    world.audit_wallet();
    assert_eq!(world.mode(), "running");
}

#[test]
fn opening_a_position_costs_its_gas_and_nothing_else() {
    let (mut world, asked) = World::open(only_liquidity());
    world.open_position(&asked);
    let pnl = world.engine.snapshot(world.now).pnl;
    let total: f64 = pnl.total.expect("known").parse().expect("a number");
    assert!((-0.3..-0.2).contains(&total), "{total}: gas of 0.0001 ETH");
}

#[test]
fn a_position_survives_a_restart_to_the_unit() {
    let (mut world, asked) = World::open(only_liquidity());
    world.open_position(&asked);
    world.pass(9_000);
    world.die();
    world.connect();
    world.pass(2_000);
    assert_eq!(world.mode(), "running");
    assert_wallet(&world);
    world.swap_to(TICK + 300);
    let mut asked = world.pass(8_000);
    asked.retain(|command| !estimates(std::slice::from_ref(command)).is_empty());
    let request = world.send(&asked);
    world.mine(&request);
    assert_wallet(&world);
}

#[test]
fn a_mint_mined_while_the_house_was_down_is_booked_by_its_slot() {
    let (mut world, asked) = World::open(only_liquidity());
    let request = world.send(&asked);
    world.die();
    let n = world.kept.entries.len();
    world.mine(&request);
    assert_eq!(world.kept.kinds_after(n), [Kind::Gas, Kind::Mint]);
    world.connect();
    let asked = world.pass(3_000);
    assert_eq!(world.mode(), "running");
    assert_wallet(&world);
    assert!(is_idle(&asked), "its position is known: no second one is opened");
}

#[test]
fn a_slot_not_mined_is_sent_again_and_holds_the_lane_over_a_restart() {
    let (mut world, asked) = World::open(only_liquidity());
    let request = world.send(&asked);
    world.die();
    world.connect();
    let asked = world.pass(5_000);
    assert!(is_idle(&asked));
    let resent = |command: &Command| match command {
        Command::Resend { nonce, .. } => Some(*nonce),
        _ => None,
    };
    assert!(asked.iter().filter_map(resent).any(|nonce| nonce == request.nonce));
}

#[test]
fn an_unknown_allowance_is_set_to_zero_before_it_is_set() {
    let mut world = World::new(only_liquidity());
    world.begin();
    world.connect();
    world.chain_ready(false);
    world.compare();
    let mut asked = world.timer();
    let mut acts = Vec::new();
    for _ in 0..5 {
        let request = world.send(&asked);
        asked = world.mine(&request);
        acts.push(request.act);
    }
    let approved = |act: &Act| match act {
        Act::Approve { token, spender: Spender::PositionManager, amount } => {
            Some((*token, *amount))
        }
        _ => None,
    };
    let approvals: Vec<_> = acts.iter().filter_map(approved).collect();
    let Act::Open { open, .. } = &acts[4] else { panic!("{:?}", acts[4]) };
    assert_eq!([approvals[0], approvals[2]], [(WETH, U256::ZERO), (USDT, U256::ZERO)]);
    assert!(approvals[1].0 == WETH && approvals[1].1 >= open.amount0);
    assert!(approvals[3].0 == USDT && approvals[3].1 >= open.amount1);
    assert_wallet(&world);
}

#[test]
fn a_reverted_transaction_costs_gas_and_the_next_waits() {
    let (mut world, asked) = World::open(only_liquidity());
    let (weth, usdt, n) = (world.weth, world.usdt, world.kept.entries.len());
    let request = world.send(&asked);
    let asked = world.revert(&request);
    assert_eq!(world.kept.kinds_after(n), [Kind::Gas]);
    assert_eq!(world.kept.txs[&request.nonce].state, TxState::Reverted);
    assert_eq!((world.weth, world.usdt), (weth, usdt));
    assert_wallet(&world);
    assert!(is_idle(&asked) && is_idle(&world.pass(4_999)));
    let (_, act) = only(estimates(&world.pass(1)));
    assert!(matches!(act, Act::Open { .. }), "what is allowed is still allowed: {act:?}");
}

#[test]
fn what_is_allowed_is_what_the_chain_says_once_nothing_of_ours_is_on_its_way() {
    let (mut world, asked) = World::open(only_liquidity());
    let request = world.send(&asked);
    // Somebody takes an allowance back while an opening is on its way, which then fails.
    world.allowances.retain(|(token, ..)| *token != WETH);
    world.allowances.push((WETH, Spender::PositionManager, U256::ZERO));
    world.audit_wallet();
    world.revert(&request);
    world.audit_wallet();
    let (_, act) = only(estimates(&world.pass(5_000)));
    let Act::Approve { token: WETH, spender, amount } = act else { panic!("{act:?}") };
    assert!(spender == Spender::PositionManager && !amount.is_zero(), "it is known to be none");
}

#[test]
fn a_refused_estimate_is_not_signed_and_the_next_waits() {
    let (mut world, asked) = World::open(only_liquidity());
    let (intent, _) = only(estimates(&asked));
    let gas = Err("execution reverted: STF".to_owned());
    assert!(is_idle(&world.feed(Body::Estimated { chain: CHAIN, intent, gas })));
    assert!(world.kept.has_note("estimate_refused", "STF"));
    assert!(is_idle(&world.pass(4_999)));
    only(estimates(&world.pass(1)));
}

#[test]
fn above_the_cap_on_the_base_fee_nothing_is_signed() {
    let (mut world, asked) = World::open(only_liquidity());
    let (intent, _) = only(estimates(&asked));
    world.base_fee = 50_000_000_000;
    world.block();
    assert!(submits(&world.estimated(intent)).is_empty());
    assert!(world.kept.has_note("gas_too_dear", "50000000000"));
    assert!(is_idle(&world.pass(4_000)));
    world.base_fee = 1_000_000_000;
    let asked = world.pass(2_000);
    let request = world.send(&asked);
    assert!(request.max_fee <= 50_000_000_000);
    assert_eq!(request.nonce, 0, "no slot was lost");
}

fn quarantined(world: &World) -> bool {
    world.engine.snapshot(world.now).pools[0].state == "quarantined"
}

fn misfit() -> PoolEvent {
    PoolEvent::V3(V3Event::Burn { lower: -198_000, upper: -197_000, amount: u128::MAX / 4 })
}

#[test]
fn a_pool_log_that_does_not_fit_quarantines_the_pool() {
    for log in [misfit(), PoolEvent::Broken("not a swap".into())] {
        let mut world = World::ready(only_liquidity());
        world.block_with(vec![log], Vec::new());
        // A lasting refusal is noted once a minute.
        assert!(is_idle(&world.pass(61_000)));
        assert_eq!(world.mode(), "running");
        assert!(quarantined(&world) && world.kept.has_note("pool_quarantined", ""));
        assert!(world.kept.has_note("refused", "quarantined"));
    }
}

#[test]
fn a_pool_quarantined_while_gas_was_estimated_stops_the_want() {
    let (mut world, asked) = World::open(only_liquidity());
    let (intent, _) = only(estimates(&asked));
    world.block_with(vec![misfit()], Vec::new());
    assert!(quarantined(&world));
    assert!(submits(&world.estimated(intent)).is_empty());
}

#[test]
fn a_chain_that_fell_silent_while_gas_was_estimated_stops_the_want() {
    let (mut world, asked) = World::open(only_liquidity());
    let (intent, _) = only(estimates(&asked));
    world.pass_without_blocks(STALE_AFTER_MS + 1_000);
    assert!(submits(&world.estimated(intent)).is_empty());
}

fn observed(world: &World) -> V3Observed {
    let [fee_growth_global0, fee_growth_global1] = world.pool.fee_growth_global();
    V3Observed {
        sqrt_price_x96: world.pool.sqrt_price_x96(),
        tick: world.pool.tick(),
        liquidity: world.pool.liquidity(),
        fee_growth_global0,
        fee_growth_global1,
        protocol_fees: (0, 0),
    }
}

#[test]
fn a_pool_that_differs_from_the_chain_is_quarantined() {
    let mut world = World::ready(only_liquidity());
    let audit = |world: &World, observed| Body::PoolAudit {
        chain: CHAIN,
        pool: POOL,
        block: world.head.block,
        observed: Observed::V3(Box::new(observed)),
    };
    world.swap_to(TICK + 5);
    let same = observed(&world);
    world.feed(audit(&world, same));
    assert!(!quarantined(&world));
    let other = V3Observed { fee_growth_global1: same.fee_growth_global1 + U256::ONE, ..same };
    let old = audit(&world, other);
    world.block();
    world.feed(old);
    assert!(!quarantined(&world), "a read of another block proves nothing");
    world.feed(audit(&world, other));
    assert!(quarantined(&world));
    assert!(is_idle(&world.pass(5_000)));
    assert!(!is_idle(&world.chain_ready(true)), "read twice anew, it may be used again");
    assert!(!quarantined(&world));
}

#[test]
fn what_a_quarantined_pool_holds_is_not_known_and_nothing_leaves_it() {
    let (mut world, asked) = World::open(only_liquidity());
    world.open_position(&asked);
    world.pass(9_000);
    world.block_with(vec![misfit()], Vec::new());
    world.swap_to(TICK + 300);
    assert!(is_idle(&world.pass(10_000)));
    assert_eq!(world.profit(), None, "unknown is not zero");
}
