//! Small runs written down, exported, and read again.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use alloy::primitives::{Address, B256, I256, U256};
use flate2::read::GzDecoder;
use rust_decimal::{Decimal, dec};

use super::{ExportArguments, Format, Wanted, What, export};
use crate::cli::data::pools;
use crate::engine::event::{Block, Body, BookStep, Event, FillSource, PoolEvent};
use crate::history::forms::Given;
use crate::history::sheet::{self, Sheet};
use crate::history::shelf::{self, Imported};
use crate::market::book::{BookUpdate, Level};
use crate::market::pools::v2::V2Event;
use crate::market::pools::v3::V3Event;
use crate::market::pools::v4::{SwapEnd, V4Event};
use crate::model::chain::{BlockRef, Header, PoolAddress};
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
        run: Some(RUN.to_owned()),
        source: None,
        what,
        format: Some(format),
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
    comes_back(&state, &plain, expected);

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
    assert_eq!(text, format!("{}{row}", sheet::FILLS.head()));
    comes_back(&state, &arguments, &text);
    fs::remove_dir_all(&state).unwrap();
}

/// Imports a file; its name in the history.
fn brought(state: &Path, file: &Path) -> String {
    match shelf::import(state, file, &Given::default(), &mut |_| ()).unwrap() {
        Imported::New(manifest) => manifest.id().to_owned(),
        Imported::Known(manifest) => panic!("it was there before: {manifest:?}"),
    }
}

/// What was exported as CSV comes back the same: as it is, and by way of Parquet.
#[track_caller]
fn comes_back(state: &Path, csv: &ExportArguments, text: &str) {
    let run = csv.run.clone();
    let to = |out: &str, run: Option<String>, source| ExportArguments {
        run,
        source,
        format: None,
        ..arguments(state, csv.what, Format::Csv, out)
    };
    let parquet = to("way.parquet", run, None);
    export(&parquet).unwrap();
    assert_eq!(fs::read(&parquet.out).unwrap()[..4], *b"PAR1");
    let by_parquet = brought(state, &parquet.out);
    let as_it_is = brought(state, &csv.out);
    for (source, out) in [(&by_parquet, "one.csv"), (&as_it_is, "two.csv")] {
        let back = to(out, None, Some(source.clone()));
        export(&back).unwrap();
        assert_eq!(fs::read_to_string(&back.out).unwrap(), text);
    }
    // From the history into Parquet the bytes are those of the first way.
    let again = to("again.parquet", None, Some(as_it_is));
    export(&again).unwrap();
    assert_eq!(fs::read(&again.out).unwrap(), fs::read(&parquet.out).unwrap());
    let other =
        ExportArguments { venue: Some("other".to_owned()), ..to("no.csv", None, Some(by_parquet)) };
    assert!(format!("{:#}", export(&other).unwrap_err()).contains("of that market"));
    assert!(!other.out.exists());
}

#[test]
fn the_name_of_a_file_must_fit_what_is_in_it() {
    let state = state_with("names", vec![snapshot(dec!(1), dec!(2))]);
    for (format, out) in [(Format::Csv, "x.parquet"), (Format::Parquet, "x.parquet.gz")] {
        let arguments = arguments(&state, What::Books, format, out);
        assert!(export(&arguments).is_err(), "{out}");
        assert!(!arguments.out.exists());
    }
    let of_history = arguments(&state, What::Candles, Format::Csv, "x.csv");
    assert!(format!("{:#}", export(&of_history).unwrap_err()).contains("--source"));
    fs::remove_dir_all(&state).unwrap();
}

#[test]
fn every_log_of_a_pool_is_a_row_of_the_recorded_columns() {
    let pool = PoolAddress::Contract(Address::repeat_byte(0xAB));
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
    let event = block_with(pool, logs);
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
    let n_columns = sheet::POOLS.columns.len();
    assert!(found[..3].iter().all(|row| row.split(',').count() == n_columns), "{text}");

    comes_back_as_table(&text);

    let elsewhere = Wanted { chain: Some(2), ..Wanted::default() };
    assert_eq!(pools::pools(&event, &elsewhere, &mut text), 0);
}

/// A block with logs of one pool.
fn block_with(pool: PoolAddress, logs: Vec<PoolEvent>) -> Event {
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
    Event { seq: 2, at: Timestamp(3), body: Body::Block(Box::new(block)) }
}

#[test]
fn logs_of_a_v4_pool_bear_its_id_and_the_pool_s_side_of_a_swap() {
    let id = PoolAddress::Id(B256::repeat_byte(0xCD));
    let swap = V4Event::Swap(SwapEnd {
        amount0: i128::MIN,
        amount1: 4,
        sqrt_price_x96: U256::from(1) << 96,
        liquidity: 9,
        tick: -1,
        fee_pips: 500,
    });
    let logs = [
        swap,
        V4Event::ModifyLiquidity { lower: -10, upper: 10, delta: -6 },
        V4Event::Donate { amount0: U256::ZERO, amount1: U256::from(7) },
        V4Event::ProtocolFeeUpdated { protocol_fee: 0x03_2000 },
    ];
    let event = block_with(id, logs.map(PoolEvent::V4).into());
    let mut text = String::new();
    assert_eq!(pools::pools(&event, &Wanted::default(), &mut text), 4);
    let place = format!("0x{},1,0x{}", "01".repeat(32), "cd".repeat(32));
    let (price, most) = (U256::from(1) << 96, 1_u128 << 127);
    let expected = [
        format!("swap,,,,,,{most},-4,{price},9,-1,{place},,,,,,,500 pips paid"),
        format!("modify_liquidity,,,-10,10,-6,,,,,,{place},,,,,,,"),
        format!("donate,,,,,,0,7,,,,{place},,,,,,,"),
        format!(
            "protocol_fee_updated,,,,,,,,,,,{place},,,,,,,\"0x032000, twelve bits a direction\""
        ),
    ];
    let found: Vec<&str> = text.lines().collect();
    assert_eq!(found, expected.map(|row| format!("12,1700000000,,,,{row},3,2")));
    comes_back_as_table(&text);
    let other = Wanted { pool: Some(Address::repeat_byte(0xCD).into()), ..Wanted::default() };
    assert_eq!(pools::pools(&event, &other, &mut text), 0);
}

/// The rows of pools, through the history.
#[track_caller]
fn comes_back_as_table(rows: &str) {
    let state = state_with("pools", Vec::new());
    let (file, sheet): (_, &Sheet) = (state.join("pools.csv"), &sheet::POOLS);
    let text = format!("{}{rows}", sheet.head());
    fs::write(&file, &text).unwrap();
    let source = Some(brought(&state, &file));
    let (run, venue, symbol) = (None, None, None);
    let back = arguments(&state, What::Pools, Format::Csv, "back.csv");
    let back = ExportArguments { run, source, venue, symbol, chain: Some("1".to_owned()), ..back };
    export(&back).unwrap();
    assert_eq!(fs::read_to_string(&back.out).unwrap(), text);
    fs::remove_dir_all(&state).unwrap();
}
