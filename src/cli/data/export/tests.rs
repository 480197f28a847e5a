//! Small runs written down, exported, and read again.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use alloy::primitives::{Address, B256, I256, U256};
use flate2::read::GzDecoder;
use rust_decimal::{Decimal, dec};

use super::{ExportArguments, Format, Wanted, What, export};
use crate::cli::data::{pools, sheets};
use crate::engine::event::{Block, Body, BookStep, Event, FillSource, PoolEvent};
use crate::market::book::{BookUpdate, Level};
use crate::market::pools::v2::V2Event;
use crate::market::pools::v3::V3Event;
use crate::model::chain::{BlockRef, Header};
use crate::model::order::Side;
use crate::model::time::Timestamp;
use crate::model::venue::Fill;
use crate::run::recorded::tests::{RUN, state_with};
use crate::sim::tape::{Fact, Tape};

fn book(step: BookStep) -> Body {
    Body::Book { venue: "spot".into(), symbol: "ETHUSDT".into(), step }
}

fn level(price: Decimal, quantity: Decimal) -> Vec<Level> {
    vec![Level { price, quantity }]
}

fn snapshot(bid: Decimal, ask: Decimal) -> Body {
    book(BookStep::Update(BookUpdate::Snapshot {
        bids: level(bid, dec!(1.50)),
        asks: level(ask, dec!(2)),
        update_id: 7,
        venue_time: None,
    }))
}

fn diff(bids: Vec<Level>) -> Body {
    let venue_time = Timestamp(5);
    book(BookStep::Update(BookUpdate::Diff { bids, asks: Vec::new(), update_id: 8, venue_time }))
}

fn arguments(state: &Path, what: What, format: Format, out: &str) -> ExportArguments {
    ExportArguments {
        run: RUN.to_owned(),
        what,
        format,
        out: state.join(out),
        venue: Some("spot".to_owned()),
        symbol: Some("ETHUSDT".to_owned()),
        chain: None,
        pool: None,
        state_dir: state.to_owned(),
    }
}

#[test]
fn books_are_exported_digit_by_digit_and_never_over_a_file() {
    let facts = vec![
        book(BookStep::Opened),
        snapshot(dec!(2000.10), dec!(2000.20)),
        diff(level(dec!(2000.10), dec!(0))),
        book(BookStep::Closed),
    ];
    let state = state_with("books", facts);
    let plain = arguments(&state, What::Books, Format::Csv, "books.csv");
    export(&plain).unwrap();
    let expected = "time_ns,venue,symbol,update,side,price,quantity,venue_time_ns,update_id,seq\n\
        1700000000001000000,spot,ETHUSDT,opened,,,,,,1\n\
        1700000000002000000,spot,ETHUSDT,snapshot,bid,2000.10,1.50,,7,2\n\
        1700000000002000000,spot,ETHUSDT,snapshot,ask,2000.20,2,,7,2\n\
        1700000000003000000,spot,ETHUSDT,diff,bid,2000.10,0,5,8,3\n\
        1700000000004000000,spot,ETHUSDT,closed,,,,,,4\n";
    assert_eq!(fs::read_to_string(&plain.out).unwrap(), expected);
    assert!(format!("{:#}", export(&plain).unwrap_err()).contains("nothing is overwritten"));

    let packed = arguments(&state, What::Books, Format::Csv, "books.csv.gz");
    export(&packed).unwrap();
    let mut text = String::new();
    GzDecoder::new(fs::File::open(&packed.out).unwrap()).read_to_string(&mut text).unwrap();
    assert_eq!(text, expected);

    let mut other = arguments(&state, What::Books, Format::Csv, "other.csv");
    other.symbol = Some("BTCUSDT".to_owned());
    assert!(export(&other).is_err(), "the run did not watch it");
    assert!(!other.out.exists());
    fs::remove_dir_all(&state).unwrap();
}

#[test]
fn a_book_becomes_a_tape_that_the_local_exchange_reads() {
    let facts = vec![
        diff(level(dec!(1), dec!(1))),
        snapshot(dec!(99.0), dec!(101)),
        diff(level(dec!(98), dec!(0.25))),
        book(BookStep::Invalid),
        diff(level(dec!(97), dec!(1))),
        snapshot(dec!(99), dec!(102)),
    ];
    let state = state_with("tape", facts);
    let arguments = arguments(&state, What::Books, Format::Tape, "spot.tape");
    export(&arguments).unwrap();
    let text = fs::read_to_string(&arguments.out).unwrap();
    let tape = Tape::parse(&text).unwrap();
    assert_eq!((tape.anchor.len(), tape.span_ms), (2, 4), "{text}");
    let changes: Vec<usize> = tape
        .facts
        .iter()
        .map(|(_, fact)| match fact {
            Fact::Depth(levels) => levels.len(),
            Fact::Trade(_) => 0,
        })
        .collect();
    // The second snapshot takes 98 and 101 away, brings 102, and leaves 99 alone.
    assert_eq!(changes, [1, 3], "{text}");
    assert!(text.contains("D 4 a 101 0 a 102 2 b 98 0\n"), "{text}");
    fs::remove_dir_all(&state).unwrap();
}

#[test]
fn a_trade_told_twice_is_one_row_and_its_texts_stay_in_their_fields() {
    let fill = Fill {
        trade_id: 3,
        client_order_id: Some("a,\"b\"".to_owned()),
        is_forced: false,
        venue_order_id: 4,
        side: Side::Buy,
        price: dec!(2000.10),
        quantity: dec!(0.5),
        fee: dec!(0.00010),
        fee_asset: "ETH".to_owned(),
        realized_pnl: dec!(0),
        margin_asset: "USDT".to_owned(),
        venue_time: Timestamp(9),
    };
    let fills = |source| Body::Fills {
        venue: "spot".into(),
        symbol: "ETHUSDT".into(),
        fills: vec![fill.clone()],
        source,
    };
    let state = state_with("fills", vec![fills(FillSource::Stream), fills(FillSource::List)]);
    let arguments = arguments(&state, What::Fills, Format::Csv, "fills.csv");
    export(&arguments).unwrap();
    let row = "9,spot,ETHUSDT,3,buy,2000.10,0.5,0.00010,ETH,0,USDT,\"a,\"\"b\"\"\",4,stream,\
        1700000000001000000,1\n";
    let text = fs::read_to_string(&arguments.out).unwrap();
    assert_eq!(text, format!("{}{row}", sheets::TRADES));
    fs::remove_dir_all(&state).unwrap();
}

#[test]
fn every_log_of_a_pool_is_a_row_of_the_recorded_columns() {
    let pool = Address::repeat_byte(0xAB);
    let swap = V2Event::Swap {
        amount0_in: U256::from(5),
        amount1_in: U256::ZERO,
        amount0_out: U256::ZERO,
        amount1_out: U256::from(7),
    };
    let v3 = V3Event::Swap {
        amount0: I256::MINUS_ONE,
        amount1: I256::ONE,
        sqrt_price_x96: U256::from(1) << 96,
        liquidity: u128::MAX,
        tick: -1,
    };
    let logs = vec![
        PoolEvent::V3(v3),
        PoolEvent::V3(V3Event::Burn { lower: -10, upper: 10, amount: 6 }),
        PoolEvent::V2(swap),
        PoolEvent::Broken("bad, worse".to_owned()),
    ];
    let header = Header {
        block: BlockRef { chain: 1, number: 12, hash: B256::repeat_byte(1) },
        parent: B256::ZERO,
        time: Timestamp::from_s(1_700_000_000),
        base_fee: 0,
    };
    let block = Block {
        header,
        pool_logs: logs.into_iter().map(|log| (pool, log)).collect(),
        receipts: Vec::new(),
        foreign_transfers: Vec::new(),
        signer_nonce: None,
    };
    let event = Event { seq: 2, at: Timestamp(3), body: Body::Block(Box::new(block)) };
    let mut text = String::new();
    assert_eq!(pools::pools(&event, &Wanted::default(), &mut text), 4);

    let (hash, address) = ("01".repeat(32), "ab".repeat(20));
    let place = format!("0x{hash},1,0x{address}");
    let (first, last) = ("12,1700000000,,,", ",3,2");
    let limit = "340282366920938463463374607431768211455";
    let expected = [
        format!("{first},swap,,,,,,-1,1,79228162514264337593543950336,{limit},-1,{place},,,,,,,"),
        format!("{first},burn,,,-10,10,-6,,,,,,{place},,,,,,,"),
        format!("{first},swap,,,,,,5,-7,,,,{place},,,5,0,0,7,"),
        format!("{first},broken,,,,,,,,,,,{place},,,,,,,\"bad, worse\""),
    ];
    let found: Vec<&str> = text.lines().collect();
    assert_eq!(found, expected.map(|row| format!("{row}{last}")));
    let n_columns = pools::POOLS.trim_end().split(',').count();
    assert!(found[..3].iter().all(|row| row.split(',').count() == n_columns), "{text}");

    let elsewhere = Wanted { chain: Some(2), ..Wanted::default() };
    assert_eq!(pools::pools(&event, &elsewhere, &mut text), 0);
}
