//! Recorded files brought in, looked at and spoilt.

use std::fs;
use std::path::{Path, PathBuf};

use super::forms::Given;
use super::sheet::{self, Sheet};
use super::shelf::{self, Imported, Kept, Manifest};
use super::{At, HistoryError};
use crate::model::time::Timestamp;

const RECORDING: &[u8] = include_bytes!("../../tests/data/history/binance_usdm_ethusdt.jsonl.gz");
const EVENTS: &[u8] = include_bytes!("../../tests/data/history/univ3_usdc_weth_3000.csv.gz");
const FUNDING: &[u8] = include_bytes!("../../tests/data/history/funding_rates.csv.gz");
const CANDLES: &str = include_str!("../../tests/data/history/candles_synthetic.csv");
const SPOT: &str = include_str!("../../tests/data/binance/spot_ethusdt_2024-08-08.jsonl");
const POOL: &str = "0x8ad599c3a0ff1de082011efddc58f1908eb6e6d8";

/// An empty state folder.
fn state(name: &str) -> PathBuf {
    let name = format!("tidekeeper-history-{name}-{}", std::process::id());
    let state = std::env::temp_dir().join(name);
    if state.exists() {
        fs::remove_dir_all(&state).unwrap();
    }
    fs::create_dir(&state).unwrap();
    state
}

fn of_venue() -> Given {
    Given { venue: Some("usdm".to_owned()), ..Given::default() }
}

fn of_pool() -> Given {
    Given { chain: Some(1), pool: Some(POOL.parse().unwrap()), ..Given::default() }
}

fn bring(state: &Path, bytes: &[u8], given: &Given) -> Result<Imported, HistoryError> {
    let source = state.join("source");
    fs::write(&source, bytes).unwrap();
    shelf::import(state, &source, given, &mut |_| ())
}

#[track_caller]
fn brought(state: &Path, bytes: &[u8], given: &Given) -> Manifest {
    match bring(state, bytes, given) {
        Ok(Imported::New(manifest)) => manifest,
        other => panic!("it was not brought in: {other:?}"),
    }
}

#[track_caller]
fn refused(state: &Path, text: &str, given: &Given, at: At, column: &str) {
    match bring(state, text.as_bytes(), given) {
        Err(HistoryError::Row { at: found, fault, .. }) => {
            assert_eq!((found, fault.column.as_str()), (at, column), "{fault}");
        }
        other => panic!("no row was refused: {other:?}"),
    }
    assert!(shelf::sources(state).unwrap().is_empty());
    // Nothing half is left: only the lock.
    let left = fs::read_dir(state.join("history")).unwrap().count();
    assert_eq!(left, 1, "a refused source leaves nothing");
}

fn rows(state: &Path, manifest: &Manifest, sheet: &Sheet) -> Vec<String> {
    let mut rows = Vec::new();
    shelf::rows(state, manifest.id(), sheet, |fields| {
        rows.push(fields.join(","));
        Ok::<_, HistoryError>(())
    })
    .unwrap();
    rows
}

fn of<'a>(manifest: &'a Manifest, sheet: &Sheet) -> &'a Kept {
    manifest.files.iter().find(|kept| kept.sheet == sheet.name).unwrap()
}

#[test]
fn a_recording_becomes_the_book_that_a_keeper_would_have_had() {
    let state = state("recording");
    let manifest = brought(&state, RECORDING, &of_venue());
    let sheets: Vec<_> =
        manifest.files.iter().map(|kept| (kept.sheet.as_str(), kept.extent.rows)).collect();
    // Opened, 20 levels a side, and the diffs from the one that reaches the snapshot on.
    assert_eq!(sheets, [("books", 684), ("tickers", 12), ("trades", 8)]);
    assert!(manifest.files.iter().all(|kept| kept.extent.markets[0].gaps == 0));
    let n_bytes = u64::try_from(RECORDING.len()).unwrap();
    assert_eq!((manifest.label.as_str(), manifest.source.bytes), ("recorded", n_bytes));

    let books = rows(&state, &manifest, &sheet::BOOKS);
    assert_eq!(books[0], "1723161255088156767,usdm,ETHUSDT,opened,,,,,,1");
    assert!(books[1].starts_with("1723161255378345766,usdm,ETHUSDT,snapshot,bid,2681.62,16.969,"));
    assert!(books[41].contains(",diff,") && books[41].contains(",5123107856276,"), "{}", books[41]);
    assert_eq!(of(&manifest, &sheet::BOOKS).extent.sorted_by.as_deref(), Some("time_ns"));
    let trades = rows(&state, &manifest, &sheet::TRADES);
    assert!(trades[0].contains(",usdm,ETHUSDT,4308068523,sell,2681.62,1.000,MARKET,"));

    assert_eq!(shelf::verify(&state, manifest.id(), &mut |_| ()).unwrap(), [""; 0]);
    fs::remove_dir_all(&state).unwrap();
}

#[test]
fn a_hole_in_a_recording_is_counted_and_empties_the_book() {
    let state = state("hole");
    let is_diff = |line: &&str| line.contains("depthUpdate");
    let last_but_one = SPOT.lines().filter(is_diff).rev().nth(1).unwrap();
    let holed: String =
        SPOT.lines().filter(|line| *line != last_but_one).map(|line| format!("{line}\n")).collect();
    let whole = brought(&state, SPOT.as_bytes(), &of_venue());
    let holed = brought(&state, holed.as_bytes(), &of_venue());
    let gaps = |manifest: &Manifest| of(manifest, &sheet::BOOKS).extent.markets[0].gaps;
    assert_eq!((gaps(&whole), gaps(&holed)), (0, 1));
    let books = rows(&state, &holed, &sheet::BOOKS);
    let invalid = books.iter().position(|row| row.contains(",invalid,"));
    assert_eq!(invalid, Some(books.len() - 1), "no diff counts after a hole");
    fs::remove_dir_all(&state).unwrap();
}

#[test]
fn tables_of_others_become_rows_of_a_sheet() {
    let state = state("tables");
    let manifest = brought(&state, EVENTS, &of_pool());
    let pools = rows(&state, &manifest, &sheet::POOLS);
    assert_eq!(pools.len(), 40);
    let extent = &of(&manifest, &sheet::POOLS).extent;
    assert_eq!(extent.sorted_by.as_deref(), Some("timestamp"));
    assert_eq!((extent.markets[0].place.as_str(), extent.markets[0].name.as_str()), ("1", POOL));
    assert!(pools.iter().all(|row| row.contains(&format!(",1,{POOL},"))));

    let manifest = brought(&state, FUNDING, &Given::default());
    assert_eq!(of(&manifest, &sheet::FUNDING).extent.rows, 40);
    let funding = rows(&state, &manifest, &sheet::FUNDING);
    assert_eq!(funding[0], "1664283600,dydx,BTC-USDT,2.03271e-05,2", "as it was written");

    let manifest = brought(&state, CANDLES.as_bytes(), &of_venue());
    let extent = &of(&manifest, &sheet::CANDLES).extent;
    assert_eq!(extent.last_ns, Some(Timestamp::from_s(1_700_010_800)));
    let markets: Vec<_> =
        extent.markets.iter().map(|m| (m.name.as_str(), m.gaps, m.step_s)).collect();
    assert_eq!(markets, [("AAAUSDT", 0, Some(3_600)), ("BBBUSDT", 1, Some(3_600))]);
    assert_eq!(shelf::sources(&state).unwrap().len(), 3);
    fs::remove_dir_all(&state).unwrap();
}

#[test]
fn the_same_bytes_come_in_once() {
    let state = state("once");
    let first = brought(&state, CANDLES.as_bytes(), &of_venue());
    match bring(&state, CANDLES.as_bytes(), &of_venue()).unwrap() {
        Imported::Known(known) => assert_eq!(known, first),
        Imported::New(_) => panic!("it came in twice"),
    }
    // What a killed import left is swept, and does not keep the source out.
    let history = state.join("history");
    fs::rename(history.join(format!("source={}", first.id())), history.join(".part-x")).unwrap();
    assert!(shelf::sources(&state).unwrap().is_empty());
    assert_eq!(brought(&state, CANDLES.as_bytes(), &of_venue()), first);
    assert!(!history.join(".part-x").exists());
    fs::remove_dir_all(&state).unwrap();
}

#[test]
fn what_breaks_a_promise_is_refused_with_its_place() {
    let state = state("refused");
    let venue = of_venue();
    let named = CANDLES.replace("volume", "volumen");
    refused(&state, &named, &venue, At::Line(1), "\"volumen\"");
    refused(&state, CANDLES, &Given::default(), At::Line(1), "venue");
    refused(&state, CANDLES, &of_pool(), At::Line(1), "venue");
    let spoilt = CANDLES.replace("101.75,8.25", "101.7x,8.25");
    refused(&state, &spoilt, &venue, At::Line(4), "close");
    refused(&state, &CANDLES.replace(",12.5", ""), &venue, At::Line(2), "(all)");
    let twice = CANDLES.replace("1700003600,AAA", "1700000000,AAA");
    refused(&state, &twice, &venue, At::Line(4), "timestamp");

    let lines: Vec<&str> = SPOT.lines().collect();
    let back = format!("{}\n{}\n", lines[1], lines[0]);
    refused(&state, &back, &venue, At::Line(2), "time");
    let other = format!("{}\n{}\n", lines[0], lines[1].replace("ETHUSDT", "BTCUSDT"));
    refused(&state, &other, &venue, At::Line(2), "s");
    let unknown = r#"1 {"stream":"ethusdt@kline_1m","data":{}}"#;
    refused(&state, unknown, &venue, At::Line(1), "stream");
    refused(&state, "1 {\"a\":1}", &venue, At::Line(1), "json");
    for (text, what) in [("", "it is empty"), (CANDLES.lines().next().unwrap(), "it has no rows")] {
        let error = bring(&state, text.as_bytes(), &venue).unwrap_err().to_string();
        assert!(error.ends_with(what), "{error}");
    }
    fs::remove_dir_all(&state).unwrap();
}

#[test]
fn a_flipped_byte_is_named() {
    let state = state("flipped");
    let manifest = brought(&state, RECORDING, &of_venue());
    let folder = state.join("history").join(format!("source={}", manifest.id()));
    let verify = || shelf::verify(&state, manifest.id(), &mut |_| ()).unwrap();
    for name in ["books.parquet", "trades.parquet"] {
        let path = folder.join(name);
        let whole = fs::read(&path).unwrap();
        let mut spoilt = whole.clone();
        spoilt[whole.len() / 2] ^= 1;
        fs::write(&path, &spoilt).unwrap();
        let bad = verify();
        assert!(bad.len() == 1 && bad[0].contains(name), "{bad:?}");
        fs::write(&path, &whole).unwrap();
    }
    let path = folder.join("manifest.json");
    let whole = fs::read_to_string(&path).unwrap();
    for (from, to) in [("\"rows\": 12", "\"rows\": 13"), ("\"usdm\"", "\"usdn\""), ("{", "")] {
        assert!(whole.contains(from), "{whole}");
        fs::write(&path, whole.replacen(from, to, 1)).unwrap();
        assert!(!verify().is_empty(), "{from} to {to}");
    }
    fs::write(&path, &whole).unwrap();
    fs::write(folder.join("more.parquet"), "").unwrap();
    assert_eq!(verify(), ["more.parquet: its manifest does not know it"]);
    fs::remove_file(folder.join("more.parquet")).unwrap();
    assert!(verify().is_empty());

    let absent = shelf::verify(&state, "0123456789abcdef", &mut |_| ()).unwrap_err();
    assert!(matches!(absent, HistoryError::Unknown { .. }));
    fs::remove_dir_all(&state).unwrap();
}
