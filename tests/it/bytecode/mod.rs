//! The contracts' own bytecode as the judge of our pools.
//!
//! Each life is one pool in an EVM in memory, created by its factory, and one of ours, which sees
//! nothing but the logs. Random people trade, bring and take liquidity, collect, lend, give and
//! change fees. Every act is foreseen by ours before it happens: what it will pay and get, or that
//! it will be refused. After every act both states are compared, read from the contract's storage:
//! price, tick, liquidity, fee growth, the protocol's fees, every tick that was touched and every
//! position; at the end of a life all ticks and positions there ever were.
//!
//! A life follows from its seed alone. `TIDEKEEPER_SEQUENCES` is how many acts all tests together
//! play, `TIDEKEEPER_SEED` the seed of the first life; a failure tells the seed and the act.

pub(crate) mod abi;
mod course;
mod draw;
mod machine;
mod pair;
pub(crate) mod stage;
mod v3;
mod v4;

use std::env;
use std::fmt::Debug;
use std::ops::RangeInclusive;

use alloy::sol_types::SolValue;
use anyhow::{Context, Result, anyhow, ensure};
use rand::Rng;

use course::{Course, Lives, Tally};
use stage::{OWNER, Stage};

/// Acts of all tests together, unless the environment says otherwise: a slice.
const ACTS: u64 = 40_000;
/// Acts of one life at least and at most, before its end.
const LIFE: RangeInclusive<u32> = 40..=160;

/// A whole number that the environment may say.
pub(crate) fn number(variable: &str, default: u64) -> Result<u64> {
    match env::var(variable) {
        Ok(value) => value.parse().with_context(|| format!("{variable}={value} is no number")),
        Err(_) => Ok(default),
    }
}

/// Plays lives until so many percent of all acts are played, and tells what was played.
fn play(name: &str, percent: u64, mut life: impl FnMut(&mut Course) -> Result<()>) -> Result<()> {
    let wanted = number("TIDEKEEPER_SEQUENCES", ACTS)? * percent / 100;
    let first = number("TIDEKEEPER_SEED", 1)?;
    let (mut seed, mut tally) = (first, Tally::default());
    while tally.total() < wanted {
        let mut course = Course::begin(seed);
        life(&mut course).with_context(|| course.place())?;
        tally.add(&course.tally);
        seed += 1;
    }
    let n_acts = tally.total();
    println!("{name}: {n_acts} acts, seeds {first} to {}: {tally}", seed - 1);
    Ok(())
}

fn live(mut life: impl Lives, course: &mut Course) -> Result<()> {
    for _ in 0..course.rng.random_range(LIFE) {
        life.act(course)?;
    }
    life.end(course)
}

fn pairs(name: &str, factory: &str) -> Result<()> {
    let mut stage = Stage::build()?;
    let factory = stage.create(factory, &OWNER.abi_encode())?;
    play(name, 15, |course| live(pair::Life::begin(&stage, factory, course)?, course))
}

#[test]
fn uniswap_v2_pairs_do_what_ours_do() -> Result<()> {
    pairs("uniswap v2", "UniswapV2Factory")
}

#[test]
fn sushiswap_v2_pairs_do_what_ours_do() -> Result<()> {
    pairs("sushiswap v2", "SushiV2Factory")
}

#[test]
fn v3_pools_do_what_ours_do() -> Result<()> {
    let mut stage = Stage::build()?;
    let factory = stage.create("UniswapV3Factory", &[])?;
    play("v3", 35, |course| live(v3::Life::begin(&stage, factory, course)?, course))
}

#[test]
fn v4_pools_do_what_ours_do() -> Result<()> {
    let mut stage = Stage::build()?;
    let site = stage.singleton()?;
    play("v4", 35, |course| live(v4::Life::begin(&stage, site, course)?, course))
}

/// The judge judges: a pool of ours with a fee that is one pip off does not last.
#[test]
fn a_pool_with_another_fee_is_found_out() -> Result<()> {
    let mut stage = Stage::build()?;
    let factory = stage.create("UniswapV3Factory", &[])?;
    for seed in 1..=3 {
        let mut course = Course::begin(seed);
        let mut life = v3::Life::begin(&stage, factory, &mut course)?;
        life.bend()?;
        let lived = (0..200).try_for_each(|_| life.act(&mut course));
        ensure!(lived.is_err(), "seed {seed}: nobody noticed");
    }
    Ok(())
}

/// A log is followed, taken back and followed again: it must fit, and each way end in one state.
fn there_and_back<P: Clone + PartialEq, E: Debug, U, D: Debug>(
    ours: &mut P,
    event: &E,
    apply: impl Fn(&mut P, &E) -> Result<U, D>,
    undo: impl Fn(&mut P, U),
) -> Result<()> {
    let apply = |ours: &mut P| {
        apply(ours, event).map_err(|desync| anyhow!("{event:?} does not fit: {desync:?}"))
    };
    let before = ours.clone();
    let told = apply(ours)?;
    let after = ours.clone();
    undo(ours, told);
    ensure!(*ours == before, "taken back {event:?} left another state");
    apply(ours).context("once it was taken back")?;
    ensure!(*ours == after, "told again {event:?} came to another state");
    Ok(())
}
