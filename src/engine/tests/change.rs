//! Other numbers while the house runs: taken over, told beforehand, and the same in a replay.

use rust_decimal::{Decimal, dec};

use crate::engine::event::{Body, Change};
use crate::engine::setup::{HedgeSetup, Setup, StrategyKind, StrategySetup};
use crate::engine::tests::asked::{estimates, is_idle, only, places, submits};
use crate::engine::tests::stage::{TICK, both, only_cycles, only_hedge, only_liquidity};
use crate::engine::tests::world::World;
use crate::execution::tx::Act;
use crate::strategy::liquidity;

/// The liquidity strategy of a setup, changed.
fn changed(setup: Setup, by: impl FnOnce(&mut liquidity::Parameters)) -> Change {
    let mut setup = setup.strategies.into_iter().next().expect("it is the first");
    let StrategyKind::Liquidity(parameters) = &mut setup.kind else { panic!("no range") };
    by(parameters);
    setup.version = 2;
    Change { setup, hedge: None, reason: "a test".into() }
}

fn wider(setup: Setup) -> Body {
    Body::Change(Box::new(changed(setup, |lp| lp.half_width_pct = dec!(4))))
}

/// The band of a setup's hedge, as wide as no delta is; its strategy as it was.
fn without_hedge(setup: Setup) -> Change {
    let HedgeSetup { mut parameters, .. } = only(setup.hedges.clone());
    (parameters.band_min, parameters.band_max) = (dec!(1000000000), dec!(1000000000));
    Change { hedge: Some(parameters), ..changed(setup, |_| ()) }
}

#[test]
fn the_next_range_has_the_new_width() {
    let range = |before: Option<Body>| {
        let mut world = World::ready(only_liquidity());
        if let Some(change) = before {
            assert!(is_idle(&world.feed(change)));
            assert!(world.kept.has_note("strategy_changed", "a test"));
        }
        let (_, act) = only(estimates(&world.timer()));
        let Act::Open { open, .. } = act else { panic!("{act:?}") };
        let version = world.engine.snapshot(world.now).strategies[0].version;
        (version, open.tick_lower, open.tick_upper)
    };
    let (first, lower, upper) = range(None);
    let (second, wide_lower, wide_upper) = range(Some(wider(only_liquidity())));
    assert_eq!((first, second), (1, 2));
    let (narrow, wide) = (upper - lower, wide_upper - wide_lower);
    assert!((1.9..2.1).contains(&(f64::from(wide) / f64::from(narrow))), "{narrow} and {wide}");
}

#[test]
fn a_standing_range_is_held_and_judged_by_the_new_numbers() {
    let (mut world, asked) = World::open(only_liquidity());
    world.open_position(&asked);
    let quiet = world.pass(9_000);
    assert!(is_idle(&quiet), "{quiet:?}");
    assert!(is_idle(&world.feed(wider(only_liquidity()))), "in range it holds");
    world.swap_to(TICK + 300);
    let longer = changed(only_liquidity(), |lp| lp.min_dwell_ms = 60_000);
    world.feed(Body::Change(Box::new(longer)));
    assert!(is_idle(&world.pass(20_000)), "it would have left after ten seconds");
    let shorter = changed(only_liquidity(), |lp| lp.min_dwell_ms = 1_000);
    let asked = world.feed(Body::Change(Box::new(shorter)));
    let (_, act) = only(estimates(&asked));
    assert!(matches!(act, Act::Close { .. }), "{act:?}");
}

fn width(act: &Act) -> i32 {
    let Act::Open { open, .. } = act else { panic!("{act:?}") };
    open.tick_upper - open.tick_lower
}

#[test]
fn what_waits_for_its_gas_does_not_leave_by_the_old_numbers() {
    let (mut world, asked) = World::open(only_liquidity());
    let (old, narrow) = only(estimates(&asked));
    let asked = world.feed(wider(only_liquidity()));
    assert!(submits(&world.estimated(old)).is_empty(), "it left, or passed for the next one");
    let request = world.send(&asked);
    assert!(width(&request.act) > width(&narrow), "{request:?}");
}

#[test]
fn a_closing_that_waits_for_its_gas_leaves_whatever_the_numbers_are() {
    let (mut world, asked) = World::open(only_liquidity());
    world.open_position(&asked);
    world.pass(9_000);
    world.swap_to(TICK + 300);
    let (intent, _) = only(estimates(&world.pass(2_000)));
    world.feed(wider(only_liquidity()));
    let request = only(submits(&world.estimated(intent)));
    assert!(matches!(request.act, Act::Close { .. }), "{request:?}");
}

#[test]
fn a_strategy_nobody_knows_changes_nothing() {
    let mut world = World::ready(only_liquidity());
    let mut change = changed(only_liquidity(), |lp| lp.half_width_pct = dec!(4));
    change.setup.id = "other".into();
    assert_eq!(world.engine.preview(&change.setup, None), None);
    world.feed(Body::Change(Box::new(change)));
    assert!(!world.kept.has_note("strategy_changed", ""));
    assert_eq!(world.engine.snapshot(world.now).strategies[0].version, 1);
}

#[test]
fn a_hedge_takes_its_new_band() {
    let hedges = |before: Option<Change>| {
        let mut world = World::ready(only_hedge());
        if let Some(change) = before {
            world.feed(Body::Change(Box::new(change)));
        }
        places(&world.timer()).len()
    };
    assert_eq!((hedges(None), hedges(Some(without_hedge(only_hedge())))), (1, 0));
}

#[test]
fn a_preview_says_what_would_be_and_touches_nothing() {
    let (mut world, asked) = World::open(both());
    world.open_position(&asked);
    world.pass(5_000);
    let strict = changed(both(), |lp| lp.max_pool_vs_reference_bps = 0);
    let Change { setup, hedge, .. } = without_hedge(both());
    let before = format!("{:?}", world.engine);
    let said = world.engine.preview(&strict.setup, None).expect("it runs");
    assert_eq!(said.now.as_deref(), Some("in range"));
    assert!(said.then.contains("limit 0"), "{said:?}");
    let said = world.engine.preview(&setup, hedge.as_ref()).expect("it runs");
    assert_eq!(said.then, "in range; hedge: inside the band");
    assert!(said.now.is_some_and(|now| now.starts_with("in range; hedge: ")));
    assert_eq!(format!("{:?}", world.engine), before);
}

#[test]
fn cycles_are_searched_for_anew_by_a_preview() {
    let (mut world, _) = World::open(only_cycles());
    world.pair_block(300);
    let mut setup = only_cycles().strategies.pop().expect("cycles are the last");
    let said = |setup: &StrategySetup| world.engine.preview(setup, None).expect("it runs").then;
    let worth = said(&setup);
    assert!(!worth.contains("none taken"), "{worth}");
    let StrategyKind::Arbitrage(cycles) = &mut setup.kind else { panic!("no cycles") };
    cycles.min_net = Decimal::from(1_000_000);
    let worth = said(&setup);
    assert!(worth.contains("0 worth it, none taken"), "{worth}");
}

#[test]
fn changed_numbers_are_the_same_in_a_replay() {
    let story = || {
        let (mut world, asked) = World::open(both());
        world.open_position(&asked);
        world.feed(wider(both()));
        world.feed(Body::Change(Box::new(without_hedge(both()))));
        world.pass(12_000);
        world.swap_to(TICK + 300);
        world.pass(5_000);
        let snapshot = format!("{:?}", world.engine.snapshot(world.now));
        (world.answers, snapshot)
    };
    assert_eq!(story(), story());
}

#[test]
fn a_setup_without_versions_has_the_first() {
    let mut written = serde_json::to_value(only_liquidity()).expect("a setup is JSON");
    let strategy = written["strategies"][0].as_object_mut().expect("a strategy");
    assert!(strategy.remove("version").is_some());
    let read: Setup = serde_json::from_value(written).expect("it reads back");
    assert_eq!(read.strategies[0].version, 1);
}
