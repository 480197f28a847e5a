//! Pools on their way in, out and in again, while everything else goes on.

use crate::engine::event::{
    Body, ChainStart, Directive, LogGap, Pool, PoolEvent, PoolReading, PoolSearch,
};
use crate::engine::output::Command;
use crate::engine::snapshot::PoolRow;
use crate::engine::tests::asked::{estimates, is_idle, only, submits};
use crate::engine::tests::stage::{CHAIN, PAIR, POOL, TICK, only_liquidity, with_cycles};
use crate::engine::tests::world::World;
use crate::execution::tx::Act;
use crate::market::pools::v3::{PoolV3, V3Event};

const HOUR_MS: i64 = 3_600_000;

fn row(world: &World) -> PoolRow {
    world.engine.snapshot(world.now).pools.remove(0)
}

fn reason(world: &World) -> String {
    row(world).reason.expect("it is quarantined")
}

/// A log that follows from no state.
fn misfit() -> PoolEvent {
    PoolEvent::V3(V3Event::Burn { lower: -198_000, upper: -197_000, amount: u128::MAX / 4 })
}

/// The pool read whole at the head as this state.
fn reading(world: &World, pool: &PoolV3) -> Box<PoolReading> {
    let state = Pool::V3(Box::new(pool.clone()));
    Box::new(PoolReading { pool: POOL, block: world.head.block, state })
}

/// The chain answers a request to read the pool anew.
fn reload(world: &mut World) -> Vec<Command> {
    let reading = reading(world, &world.pool);
    world.feed(Body::PoolReload(reading))
}

/// Asked for: pools to be read anew.
fn reloads(asked: &[Command]) -> usize {
    asked.iter().filter(|c| matches!(c, Command::ReloadPool { pool, .. } if *pool == POOL)).count()
}

/// Asked for: missing logs after this block.
fn searches(asked: &[Command]) -> Vec<u64> {
    let of = |command: &Command| match command {
        Command::SearchPoolLogs { pool, after, .. } if *pool == POOL => Some(*after),
        _ => None,
    };
    asked.iter().filter_map(of).collect()
}

/// A misfit, a new reading and a second one.
fn flap(world: &mut World) {
    let asked = world.block_with(vec![misfit()], Vec::new());
    assert_eq!(reloads(&asked), 1);
    reload(world);
    world.block();
    world.read_pools();
    assert_eq!(row(world).state, "live");
}

#[test]
fn a_pool_read_once_is_used_when_a_later_reading_agrees() {
    let mut world = World::ready(only_liquidity());
    world.chain_read(true);
    let first = world.head.block.number;
    assert!(is_idle(&world.timer()));
    assert_eq!((world.mode(), row(&world).state), ("running", "quarantined"));
    assert!(reason(&world).contains("waits for a second reading"));
    assert!(is_idle(&world.read_pools()), "the same block is no second reading");
    // Its logs are followed meanwhile, and a partial comparison admits nothing.
    assert!(is_idle(&world.swap_to(TICK + 5)));
    assert_eq!((row(&world).state, row(&world).events), ("quarantined", 1));
    assert!(!is_idle(&world.read_pools()));
    let live = row(&world);
    assert_eq!((live.state, live.reason), ("live", None));
    assert_eq!((live.since_block, live.audits), (Some(first + 1), 1));
    assert!(world.kept.has_note("pool_live", ""));
}

#[test]
fn a_reading_of_another_block_admits_nothing() {
    let mut world = World::ready(only_liquidity());
    world.chain_read(true);
    world.block();
    let old = reading(&world, &world.pool);
    world.block();
    world.feed(Body::PoolReading(old));
    assert_eq!(row(&world).state, "quarantined");
}

#[test]
fn a_whole_reading_finds_what_a_part_does_not_show_and_the_missing_block_is_named() {
    let (mut world, asked) = World::open(only_liquidity());
    let (intent, _) = only(estimates(&asked));
    let agreed = world.head.block.number;
    // Somebody mints far from the price, and its log is not told.
    let minted = V3Event::Mint { lower: -196_000, upper: -195_000, amount: 7 };
    world.pool.apply(&minted).expect("the pool takes it");
    world.block();
    let asked = world.read_pools();
    assert!(world.kept.has_note("pool_quarantined", "ticks is -196000 not initialized here"));
    assert_eq!((searches(&asked), reloads(&asked)), (vec![agreed], 1));
    let block = agreed + 1;
    let gap = Some(LogGap { block, told: 0, on_chain: 1 });
    let search = PoolSearch { chain: CHAIN, pool: POOL, from: block, to: block, gap };
    world.feed(Body::PoolLogs(search));
    let named = format!("the first block whose log is missing is {block}: it has 1, and 0 were");
    assert!(reason(&world).contains(&named), "{}", reason(&world));
    assert!(world.kept.has_note("pool_logs_searched", &named));

    assert!(submits(&world.estimated(intent)).is_empty());
    reload(&mut world);
    assert_eq!((row(&world).state, row(&world).reloads), ("quarantined", 1));
    assert!(is_idle(&world.block()));
    let asked = world.read_pools();
    assert_eq!(row(&world).state, "live");
    let (_, act) = only(estimates(&asked));
    assert!(matches!(act, Act::Open { .. }), "{act:?}");
}

#[test]
fn what_a_pool_that_is_to_be_read_anew_logs_says_nothing() {
    let (mut world, _) = World::open(only_liquidity());
    world.block_with(vec![misfit()], Vec::new());
    let n_events = row(&world).events;
    let asked = world.swap_to(TICK + 7);
    assert_eq!((row(&world).events, reloads(&asked)), (n_events, 0), "it is asked for once");
    world.read_pools();
    assert_eq!(row(&world).state, "quarantined", "a comparison is no new beginning");
    reload(&mut world);
    world.swap_to(TICK + 3);
    world.read_pools();
    assert_eq!((row(&world).state, row(&world).events), ("live", n_events + 1));
    let Pool::V3(pool) = &world.engine.chains[&CHAIN].pools[&POOL].pool else { panic!("V3") };
    assert_eq!(pool.as_ref(), &world.pool);
}

#[test]
fn one_pool_out_of_step_stops_no_other() {
    let mut world = World::ready(with_cycles());
    let mut block = world.next_block(Vec::new(), Vec::new(), Vec::new());
    block.pool_logs.push((PAIR, PoolEvent::Broken("not a swap".into())));
    let asked = world.feed(Body::Block(Box::new(block)));
    let is_pair = |c: &&Command| matches!(c, Command::ReloadPool { pool, .. } if *pool == PAIR);
    assert_eq!(asked.iter().filter(is_pair).count(), 1);
    let (_, act) = only(estimates(&world.timer()));
    assert!(matches!(act, Act::Open { .. }), "{act:?}");
    let rows = world.engine.snapshot(world.now).pools;
    assert_eq!([rows[0].state, rows[1].state], ["live", "quarantined"]);
}

#[test]
fn a_pool_that_flaps_waits_for_a_person() {
    let (mut world, _) = World::open(only_liquidity());
    for _ in 0..3 {
        flap(&mut world);
    }
    let asked = world.block_with(vec![misfit()], Vec::new());
    assert_eq!((reloads(&asked), searches(&asked).len()), (0, 1));
    assert!(reason(&world).contains("waits for a resume or a restart"), "{}", reason(&world));
    world.now = world.now.plus_ms(2 * HOUR_MS);
    world.block();
    reload(&mut world);
    assert!(reason(&world).contains("waits for a resume"), "nobody asked for that reading");
    let reason = "looked".to_owned();
    let asked = world.feed(Body::Directive(Directive::Resume { reason }));
    assert_eq!(reloads(&asked), 1);
    reload(&mut world);
    world.block();
    world.read_pools();
    assert_eq!((row(&world).state, row(&world).reloads), ("live", 4));
}

#[test]
fn trouble_of_hours_ago_does_not_count() {
    let (mut world, _) = World::open(only_liquidity());
    for _ in 0..3 {
        flap(&mut world);
    }
    world.now = world.now.plus_ms(HOUR_MS + 1);
    flap(&mut world);
    assert_eq!(row(&world).reloads, 4);
}

#[test]
fn a_pool_whose_reading_was_taken_back_is_read_anew() {
    let (mut world, _) = World::open(only_liquidity());
    world.swap_to(TICK + 5);
    let before = world.checkpoint();
    flap(&mut world);
    world.swap_to(TICK + 9);
    let asked = world.take_back(&before);
    assert_eq!((reloads(&asked), searches(&asked)), (1, vec![]));
    assert!(reason(&world).contains("which the chain took back"));
    reload(&mut world);
    world.block();
    world.read_pools();
    assert_eq!(row(&world).state, "live");
    // What was undone is not undone again in the new state.
    let Pool::V3(pool) = &world.engine.chains[&CHAIN].pools[&POOL].pool else { panic!("V3") };
    assert_eq!(pool.as_ref(), &world.pool);
}

#[test]
fn a_search_begins_where_it_agreed_in_blocks_that_stand() {
    let (mut world, _) = World::open(only_liquidity());
    let read_at = world.engine.chains[&CHAIN].pools[&POOL].read_at;
    world.swap_to(TICK + 5);
    let before = world.checkpoint();
    world.swap_to(TICK + 9);
    world.read_pools();
    world.take_back(&before);
    assert!(read_at < world.head.block.number);
    let asked = world.block_with(vec![misfit()], Vec::new());
    assert_eq!(searches(&asked), vec![read_at]);
}

#[test]
fn a_log_that_did_not_fit_goes_with_its_block_and_what_a_reading_found_does_not() {
    let (mut world, _) = World::open(only_liquidity());
    let before = world.checkpoint();
    world.block_with(vec![misfit()], Vec::new());
    assert_eq!(row(&world).state, "quarantined");
    world.take_back(&before);
    assert_eq!(row(&world).state, "live");
    // It was asked for before its cause was gone: whoever was told begins anew, so the engine too.
    reload(&mut world);
    assert_eq!((row(&world).state, row(&world).reloads), ("quarantined", 1));
    world.block();
    world.read_pools();
    assert_eq!(row(&world).state, "live");

    let before = world.checkpoint();
    world.swap_to(TICK + 5);
    let mut other = world.pool.clone();
    let minted = V3Event::Mint { lower: -196_000, upper: -195_000, amount: 7 };
    other.apply(&minted).expect("the pool takes it");
    let wrong = reading(&world, &other);
    assert_eq!(reloads(&world.feed(Body::PoolReading(wrong))), 1);
    world.take_back(&before);
    assert_eq!(row(&world).state, "quarantined", "the log may be missing in a block that stands");
}

#[test]
fn a_pool_that_waits_again_after_its_block_is_gone_is_asked_for() {
    let mut world = World::ready(only_liquidity());
    world.chain_read(true);
    world.block();
    let before = world.checkpoint();
    world.block_with(vec![misfit()], Vec::new());
    // Its second reading comes while it does not follow its logs, and counts for nothing.
    world.read_pools();
    let asked = world.take_back(&before);
    assert_eq!((reloads(&asked), row(&world).state), (1, "quarantined"));
    reload(&mut world);
    world.block();
    world.read_pools();
    assert_eq!(row(&world).state, "live");
}

#[test]
fn what_was_decided_on_a_contradicted_pool_is_not_signed_after_it_was_read_anew() {
    let (mut world, asked) = World::open(only_liquidity());
    let (intent, _) = only(estimates(&asked));
    world.block_with(vec![misfit()], Vec::new());
    reload(&mut world);
    assert!(submits(&world.estimated(intent)).is_empty());
    world.block();
    // What is decided now, on the pool as it was read anew, is estimated anew.
    let (_, act) = only(estimates(&world.read_pools()));
    assert!(matches!(act, Act::Open { .. }), "{act:?}");
}

#[test]
fn a_reading_that_was_asked_for_finds_what_the_removal_left() {
    let (mut world, _) = World::open(only_liquidity());
    // Somebody mints far from the price, and its log is not told: what burns it does not fit.
    let (lower, upper, amount) = (-196_000, -195_000, 7);
    world.pool.apply(&V3Event::Mint { lower, upper, amount }).expect("the pool takes it");
    world.block();
    let before = world.checkpoint();
    let burned = PoolEvent::V3(V3Event::Burn { lower, upper, amount });
    let asked = world.block_with(vec![burned], Vec::new());
    assert_eq!((reloads(&asked), row(&world).state), (1, "quarantined"));
    world.take_back(&before);
    assert_eq!(row(&world).state, "live");
    world.block();
    // Read anew, it has what the missing log did.
    reload(&mut world);
    world.block();
    world.read_pools();
    let Pool::V3(pool) = &world.engine.chains[&CHAIN].pools[&POOL].pool else { panic!("V3") };
    assert_eq!((row(&world).state, pool.as_ref()), ("live", &world.pool));
}

#[test]
fn undo_stops_at_a_new_reading() {
    let (mut world, _) = World::open(only_liquidity());
    world.swap_to(TICK + 5);
    flap(&mut world);
    let before = world.checkpoint();
    world.swap_to(TICK + 9);
    let asked = world.take_back(&before);
    assert_eq!((reloads(&asked), row(&world).state), (0, "live"));
    world.block();
    world.read_pools();
    assert_eq!(row(&world).state, "live");
}

#[test]
fn a_chain_whose_own_reading_was_taken_back_is_read_anew_by_the_watcher() {
    let (mut world, _) = World::open(only_liquidity());
    let before = world.checkpoint();
    world.block();
    world.chain_read(true);
    let asked = world.take_back(&before);
    assert_eq!((reloads(&asked), row(&world).state), (0, "quarantined"));
    world.chain_ready(true);
    assert_eq!(row(&world).state, "live");
}

#[test]
fn a_pool_that_could_not_be_read_with_the_others_begins_when_it_can_be() {
    let mut world = World::ready(only_liquidity());
    let start = ChainStart {
        header: world.head,
        pools: Vec::new(),
        wallet: world.wallet(),
        signer_nonce: world.signer_nonce,
    };
    world.feed(Body::ChainReady(Box::new(start)));
    let old = reading(&world, &world.pool);
    world.block();
    // It was read at a block that is not the newest any more: once more.
    assert_eq!(reloads(&world.feed(Body::PoolReload(old))), 1);
    assert_eq!(reloads(&reload(&mut world)), 0);
    assert_eq!(row(&world).state, "quarantined");
    assert!(world.kept.has_note("pool_read_late", ""));
    world.block();
    world.read_pools();
    assert_eq!(row(&world).state, "live");
}

#[test]
fn live_pools_are_handed_out_in_a_form_that_comes_back_the_same() {
    let mut world = World::ready(with_cycles());
    world.swap_to(TICK + 5);
    let mut behind = None;
    let mut forms = Vec::new();
    loop {
        let some = world.engine.pool_forms(CHAIN, behind, 1).expect("the chain is followed");
        assert_eq!(some.block, world.head.block);
        forms.extend(some.forms);
        behind = some.last;
        if behind.is_none() {
            break;
        }
    }
    let mut both = [POOL, PAIR];
    both.sort();
    assert_eq!(forms.iter().map(|(pool, _)| *pool).collect::<Vec<_>>(), both);
    for (pool, form) in forms {
        let kept = &world.engine.chains[&CHAIN].pools[&pool].pool;
        assert_eq!(kept.form().as_ref(), Some(&form));
        let back = form.pool(world.head.block.number).expect("it is one");
        assert_eq!(kept.differences(&back), Ok(Vec::new()));
    }
    world.block_with(vec![misfit()], Vec::new());
    let some = world.engine.pool_forms(CHAIN, None, 9).expect("the chain is followed");
    assert_eq!(some.forms.iter().map(|(pool, _)| *pool).collect::<Vec<_>>(), [PAIR]);
    assert!(world.engine.pool_forms(CHAIN + 1, None, 9).is_none());
}
