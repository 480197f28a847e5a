//! Recorded days of Ethereum's and Polygon's USDC/WETH pools, replayed whole, log by log.
//!
//! A recording holds every log of a day and nothing of the pool before it. `told` reads off the
//! logs what they say of its ticks, `replay` follows the day on one `PoolV3` and gives each swap,
//! mint, burn and payment of fees its verdict. The counts are asserted, so a miss has a name: a
//! block and a log index, and the intervals of the tick grid that no log of that day shows.

mod day;
mod replay;
mod told;

use std::collections::BTreeMap;

use alloy::primitives::U256;
use tidekeeper::market::pools::v3::V3Event;

use day::{Place, Pool, Row};
use replay::{Tally, replay};

const ETHEREUM_500: Pool = Pool {
    fee_pips: 500,
    spacing: 10,
    files: &["ethereum_500_2024-01-05.1.csv.gz", "ethereum_500_2024-01-05.2.csv.gz"],
};
const ETHEREUM_3000: Pool =
    Pool { fee_pips: 3_000, spacing: 60, files: &["ethereum_3000_2024-01-05.csv.gz"] };
const POLYGON_500: Pool = Pool {
    fee_pips: 500,
    spacing: 10,
    files: &["polygon_500_2022-01-05.1.csv.gz", "polygon_500_2022-01-05.2.csv.gz"],
};
const POLYGON_500_QUIET: Pool =
    Pool { fee_pips: 500, spacing: 10, files: &["polygon_500_2021-12-22.csv.gz"] };

/// What the NFT contract logged that day beside these pools' logs.
const NFTS: &str = "ethereum_nfts_2024-01-05.csv.gz";
/// NonfungiblePositionManager on Ethereum.
const NFT_CONTRACT: &str = "0xc36442b4a4522e871399cd717abdd847ab11fe88";

/// What it asked of a pool above what it got, raw units of both tokens.
const ASKED_MORE: [(Place, [u32; 2]); 2] =
    [((18_939_850, 177), [2, 1]), ((18_940_129, 220), [1, 0])];

/// A quarter of both tokens' fees for the protocol.
const A_QUARTER: u8 = 0x44;

/// The protocol took nothing from these pools on their days, as the fees paid out show.
fn followed(pool: &Pool) -> Tally {
    let tally = replay(pool, &pool.rows(), 0);
    println!("{:?}\n{tally}", pool.files);
    tally
}

/// The ten are five times a swap there and another one back in the same block. They run through the
/// ticks 198980 to 198990 or 199320 to 199340, where no swap of the day ended.
#[test]
fn ethereum_at_5_bps_is_reproduced_but_for_ten_swaps() {
    let expected = Tally {
        inside: 5_372,
        across: 663,
        guessed: 0,
        foreknown: 5_999,
        undetermined: vec![
            (18_939_436, 116),
            (18_939_436, 120),
            (18_939_500, 12),
            (18_939_500, 53),
            (18_942_403, 2),
            (18_942_403, 43),
            (18_942_433, 17),
            (18_942_433, 57),
            (18_942_442, 2),
            (18_942_442, 32),
        ],
        mints: 54,
        burns: 69,
        fees_exact: 34,
        fees_of_older: 29,
        fees_undetermined: 2,
        ..Tally::default()
    };
    assert_eq!(followed(&ETHEREUM_500), expected);
}

#[test]
fn ethereum_at_30_bps_is_reproduced() {
    let expected = Tally {
        inside: 244,
        across: 22,
        foreknown: 262,
        mints: 4,
        burns: 17,
        fees_of_older: 16,
        ..Tally::default()
    };
    assert_eq!(followed(&ETHEREUM_3000), expected);
}

/// The two swaps run through the ticks 194840 to 194870, where no swap of the day ended.
#[test]
fn polygon_is_reproduced_but_for_two_swaps() {
    let expected = Tally {
        inside: 3_159,
        across: 808,
        guessed: 2,
        foreknown: 3_849,
        undetermined: vec![(23_384_517, 33), (23_384_564, 47)],
        mints: 64,
        burns: 62,
        fees_exact: 12,
        fees_of_older: 48,
        ..Tally::default()
    };
    assert_eq!(followed(&POLYGON_500), expected);
}

#[test]
fn polygon_s_first_quiet_day_is_reproduced() {
    let expected = Tally {
        inside: 89,
        across: 102,
        guessed: 7,
        foreknown: 177,
        mints: 7,
        burns: 2,
        fees_of_older: 2,
        ..Tally::default()
    };
    assert_eq!(followed(&POLYGON_500_QUIET), expected);
}

/// Swaps trade alike whatever the protocol takes of their fees; what positions are paid does not.
/// One position of Ethereum was never in range and earned nothing.
#[test]
fn what_positions_were_paid_tells_that_the_protocol_took_nothing() {
    for (pool, swaps, exact, off) in [(ETHEREUM_500, 6_035, 1, 33), (POLYGON_500, 3_969, 0, 12)] {
        let tally = replay(&pool, &pool.rows(), A_QUARTER);
        assert_eq!(tally.inside + tally.across + tally.guessed, swaps);
        assert_eq!((tally.fees_exact, tally.fees_off.len()), (exact, off), "{:?}", pool.files);
    }
}

/// A price that is off is found, and so is the swap that begins at it; the ones after them are not.
#[test]
fn a_wrong_row_is_named() {
    let mut rows = ETHEREUM_3000.rows();
    let is_swap = |row: &Row| matches!(row.event, V3Event::Swap { .. });
    let swaps: Vec<usize> = (0..rows.len()).filter(|at| is_swap(&rows[*at])).collect();
    let (wrong, next) = (swaps[5], swaps[6]);
    if let V3Event::Swap { sqrt_price_x96, .. } = &mut rows[wrong].event {
        *sqrt_price_x96 += U256::ONE << 90;
    }
    let tally = replay(&ETHEREUM_3000, &rows, 0);
    assert_eq!(tally.mismatches, [rows[wrong].place, rows[next].place]);
    assert_eq!(tally.inside + tally.across, 264);
}

/// Each change of an NFT stands one or two logs behind the change of the pool it tells of, with the
/// same liquidity and amounts. Of a payment the contract tells what it asked for, which two times
/// was up to two units more than the pool had for the position.
#[test]
fn ethereum_s_nfts_say_what_the_pools_say() {
    let rows = [ETHEREUM_500.rows(), ETHEREUM_3000.rows()].concat();
    let of_nfts: BTreeMap<_, &Row> = rows
        .iter()
        .filter(|row| row.owner == NFT_CONTRACT)
        .map(|row| ((row.place, row.kind()), row))
        .collect();
    let (mut told, mut asked_more) = (BTreeMap::new(), Vec::new());
    for nft in day::nfts(NFTS) {
        let (block, log) = nft.place;
        let beside = [1, 2].map(|back| ((block, log - back), nft.kind));
        let pool = beside.iter().find_map(|place| of_nfts.get(place));
        let pool = pool.unwrap_or_else(|| panic!("{:?} has no log of a pool", nft.place));
        *told.entry(nft.kind).or_insert(0) += 1;
        assert_eq!(pool.liquidity(), nft.liquidity, "{:?}", nft.place);
        let more = [0, 1].map(|token| nft.amounts[token] - pool.amounts[token]);
        if more != [U256::ZERO; 2] {
            asked_more.push((nft.place, more.map(|more| more.to::<u32>())));
        }
    }
    assert_eq!(told, BTreeMap::from([("mint", 29), ("burn", 37), ("collect", 52)]));
    assert_eq!(asked_more, ASKED_MORE);
    // Only the burns of nothing that bring fees up to date are told of the pools alone.
    let changes = of_nfts.values().filter(|row| row.kind() == "collect" || row.liquidity() > 0);
    assert_eq!(changes.count(), 29 + 37 + 52);
}
