//! The files of `tests/data/amm/days`: the logs of a pool on one day, in the chain's order.

use std::fmt::Debug;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use alloy::primitives::U256;
use flate2::read::GzDecoder;
use tidekeeper::market::pools::v3::V3Event;

/// Block and log index.
pub(super) type Place = (u64, u32);

/// A pool and where a day of it stands.
pub(super) struct Pool {
    pub(super) fee_pips: u32,
    pub(super) spacing: i32,
    pub(super) files: &'static [&'static str],
}

/// One log of a pool.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) place: Place,
    pub(super) event: V3Event,
    /// Whose position it is; empty for swaps.
    pub(super) owner: String,
    /// What a mint cost, a burn freed or a collect paid of both tokens, raw; zero for swaps.
    pub(super) amounts: [U256; 2],
}

/// One log of the NFT contract, in the words of the pool's.
pub(super) struct Nft {
    pub(super) place: Place,
    pub(super) kind: &'static str,
    pub(super) liquidity: u128,
    pub(super) amounts: [U256; 2],
}

impl Pool {
    /// The day's logs, its files one after the other.
    pub(super) fn rows(&self) -> Vec<Row> {
        let lines = self.files.iter().flat_map(|file| lines(file));
        let rows: Vec<Row> = lines.map(|line| row(&line)).collect();
        assert!(rows.is_sorted_by(|a, b| a.place < b.place), "{:?}", self.files);
        rows
    }
}

impl Row {
    /// What the recording calls the event.
    pub(super) fn kind(&self) -> &'static str {
        match self.event {
            V3Event::Swap { .. } => "swap",
            V3Event::Mint { .. } => "mint",
            V3Event::Burn { .. } => "burn",
            V3Event::Collect { .. } => "collect",
            _ => panic!("{self:?} is in no recording"),
        }
    }

    /// Liquidity that came or went; a collect moves none.
    pub(super) fn liquidity(&self) -> u128 {
        match self.event {
            V3Event::Mint { amount, .. } | V3Event::Burn { amount, .. } => amount,
            _ => 0,
        }
    }
}

/// The rows of the NFT contract's file.
pub(super) fn nfts(file: &str) -> Vec<Nft> {
    let nft = |line: String| {
        let cells: Vec<&str> = line.split(',').collect();
        let [block, log, kind, _token, liquidity, amount0, amount1] = cells[..] else {
            panic!("{line}");
        };
        Nft {
            place: (number(block), number(log)),
            kind: match kind {
                "increase_liquidity" => "mint",
                "decrease_liquidity" => "burn",
                "nfpm_collect" => "collect",
                _ => panic!("{line}"),
            },
            liquidity: liquidity_of(liquidity),
            amounts: [number(amount0), number(amount1)],
        }
    };
    lines(file).into_iter().map(nft).collect()
}

/// The lines of a file below its header.
fn lines(file: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/amm/days").join(file);
    let gz = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut text = String::new();
    GzDecoder::new(&gz[..]).read_to_string(&mut text).expect("text in gzip");
    text.lines().skip(1).map(str::to_owned).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.split(',').collect();
    let [block, log, kind, owner, lower, upper, delta, amount0, amount1, price, in_range, tick] =
        cells[..]
    else {
        panic!("{line}");
    };
    let place = (number(block), number(log));
    if kind == "swap" {
        let event = V3Event::Swap {
            amount0: number(amount0),
            amount1: number(amount1),
            sqrt_price_x96: number(price),
            liquidity: number(in_range),
            tick: number(tick),
        };
        return Row { place, event, owner: String::new(), amounts: [U256::ZERO; 2] };
    }
    let (lower, upper, amount) = (number(lower), number(upper), liquidity_of(delta));
    let event = match kind {
        "mint" => V3Event::Mint { lower, upper, amount },
        "burn" => V3Event::Burn { lower, upper, amount },
        "collect" => {
            let (amount0, amount1) = (number(amount0), number(amount1));
            V3Event::Collect { lower, upper, amount0, amount1 }
        }
        _ => panic!("{line}"),
    };
    Row { place, event, owner: owner.to_owned(), amounts: [number(amount0), number(amount1)] }
}

/// Burnt liquidity stands as a negative number, and none as an empty cell.
fn liquidity_of(cell: &str) -> u128 {
    if cell.is_empty() { 0 } else { number::<i128>(cell).unsigned_abs() }
}

fn number<T: FromStr<Err: Debug>>(cell: &str) -> T {
    cell.parse().unwrap_or_else(|error| panic!("{cell}: {error:?}"))
}
