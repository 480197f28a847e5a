//! A chain's own coin and its own pace: gas without a price is unknown, and short blocks are
//! counted by the time they take.

use alloy::primitives::U256;

use crate::engine::output::Command;
use crate::engine::setup::Setup;
use crate::engine::tests::asked::is_idle;
use crate::engine::tests::stage::{only_cycles, only_liquidity, pair};
use crate::engine::tests::world::World;
use crate::execution::tx::Act;

/// A chain whose coin is not what the reference book prices.
fn foreign(mut setup: Setup) -> Setup {
    assert!(setup.unpriced().is_none(), "the stage pays gas in its base asset");
    setup.chains[0].native = "POL".into();
    setup
}

fn paced(mut setup: Setup, block_time_ms: i64) -> Setup {
    setup.chains[0].block_time_ms = block_time_ms;
    setup
}

/// The figure of a limit that people see; `None` is unknown.
fn used(world: &World, limit: &str) -> Option<String> {
    let limits = world.engine.snapshot(world.now).limits;
    let row = limits.into_iter().find(|row| row.name == limit).expect("a limit of the setup");
    row.used
}

#[test]
fn coins_without_a_price_are_not_counted_as_ether() {
    let setup = foreign(only_liquidity());
    assert_eq!(setup.unpriced().map(|chain| chain.native.as_str()), Some("POL"));
    let mut world = World::ready(setup);
    let asked = [world.timer(), world.pass(3_000)].concat();
    // Five coins of unknown worth: what the house has, and could lose, is unknown.
    assert_eq!((world.mode(), world.profit()), ("recovering", None));
    assert!(is_idle(&asked), "{asked:?}");
}

#[test]
fn without_a_price_of_gas_nothing_that_needs_gas_is_done() {
    for setup in [only_liquidity(), only_cycles()] {
        let mut world = World::new(foreign(setup));
        (world.native, world.pair) = (U256::ZERO, pair(100));
        world.begin();
        world.connect();
        world.compare();
        let asked = [world.timer(), world.pass(3_000)].concat();
        // No coins are worth nothing, so that the house opens; then the gas itself stops it.
        assert_eq!(world.mode(), "running");
        assert!(is_idle(&asked), "{asked:?}");
        assert_eq!(used(&world, "gas_budget_usd_per_day"), None);
        assert_eq!(world.engine.risk_view(Ok(()), None).gas_today, None);
    }
    let (world, _) = World::open(only_liquidity());
    assert!(used(&world, "gas_budget_usd_per_day").is_some(), "ether has a price");
}

#[test]
fn a_count_of_blocks_lasts_a_time_at_least() {
    for (block_time_ms, n_blocks) in
        [(12_000, 3), (1_000, 3), (999, 4), (450, 7), (250, 12), (200, 15), (0, 3_000), (-1, 3_000)]
    {
        let setup = paced(only_liquidity(), block_time_ms);
        assert_eq!(setup.chains[0].blocks_in(3_000, 3), n_blocks, "{block_time_ms} ms");
    }
}

#[test]
fn a_slot_is_not_sent_again_before_its_time_on_a_fast_chain() {
    for (block_time_ms, after) in [(1_000, 3), (200, 15)] {
        let (mut world, asked) = World::open(paced(only_liquidity(), block_time_ms));
        world.send(&asked);
        for n in 1..=after {
            let asked = world.block();
            let resent = asked.iter().any(|deed| matches!(deed, Command::Resend { .. }));
            assert_eq!(resent, n == after, "block {n} of {block_time_ms} ms");
        }
    }
}

#[test]
fn a_cycle_may_be_mined_for_a_time_on_a_fast_chain() {
    for (block_time_ms, n_blocks) in [(1_000, 2), (200, 10)] {
        let mut world = World::new(paced(only_cycles(), block_time_ms));
        world.pair = pair(100);
        world.begin();
        world.connect();
        world.compare();
        let mut asked = world.timer();
        asked.extend(world.pass(1_000));
        let request = world.send(&asked);
        let Act::Cycle { deadline_block, .. } = request.act else { panic!("{request:?}") };
        assert_eq!(deadline_block, world.head.block.number + n_blocks, "{block_time_ms} ms");
    }
}
