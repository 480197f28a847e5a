//! Recorded tapes, hand-made chains and every shuffle of them.

use proptest::prelude::{Just, Strategy, any, prop, prop_assert, proptest};
use rust_decimal::Decimal;

use super::*;
use crate::market::book::{Book, feed::Feed};

const SPOT_TAPE: &str =
    include_str!("../../../../tests/data/binance/spot_ethusdt_2024-08-08.jsonl");
const USDM_TAPE: &str =
    include_str!("../../../../tests/data/binance/usdm_ethusdt_2024-08-08.jsonl");
const QUIET_MS: i64 = 5_000;

fn t(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

/// A diff of one bid: `previous` matters on USD-M only.
fn diff(first: u64, last: u64, previous: u64) -> Vec<u8> {
    format!(
        r#"{{"e":"depthUpdate","E":5,"T":4,"s":"ETHUSDT","U":{first},"u":{last},"pu":{previous},
            "b":[["100","{last}"]],"a":[]}}"#
    )
    .into_bytes()
}

fn snapshot(last: u64) -> Vec<u8> {
    format!(r#"{{"lastUpdateId":{last},"bids":[["99","1"]],"asks":[["101","1"]]}}"#).into_bytes()
}

/// Steps in short: fetch, invalid, reconnect, s<id>, d<id>.
fn short(steps: &[Step]) -> String {
    let words: Vec<String> = steps
        .iter()
        .map(|step| match step {
            Step::FetchSnapshot => "fetch".to_owned(),
            Step::Invalid { .. } => "invalid".to_owned(),
            Step::Reconnect => "reconnect".to_owned(),
            Step::Emit(BookUpdate::Snapshot { update_id, .. }) => format!("s{update_id}"),
            Step::Emit(BookUpdate::Diff { update_id, .. }) => format!("d{update_id}"),
        })
        .collect();
    words.join(" ")
}

fn opened(dialect: Dialect) -> BookSync {
    let mut sync = BookSync::new(dialect, "ETHUSDT", QUIET_MS);
    assert_eq!(sync.opened(t(0)), []);
    sync
}

/// Live at update 20.
fn live(dialect: Dialect) -> BookSync {
    let mut sync = opened(dialect);
    sync.frame(&diff(11, 20, 10), t(1));
    assert_eq!(short(&sync.snapshot(&snapshot(15), t(2))), "s15 d20");
    sync
}

struct Replay {
    book: Book,
    compared: usize,
    fetches: usize,
}

/// Feeds a tape through the machine into a book and compares each touch with the recorded one.
fn replay(dialect: Dialect, tape: &str) -> Replay {
    let mut sync = BookSync::new(dialect, "ETHUSDT", QUIET_MS);
    let mut book = Book::new(QUIET_MS, t(0));
    let mut tickers: Vec<serde_json::Value> = Vec::new();
    let rows: Vec<(Timestamp, &str)> = tape
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(ns, json)| (Timestamp(ns.parse().unwrap()), json))
        .collect();
    for (_, json) in rows.iter().filter(|(_, json)| json.contains("bookTicker")) {
        let wrapped: serde_json::Value = serde_json::from_str(json).unwrap();
        tickers.push(wrapped["data"].clone());
    }
    sync.opened(rows[0].0);
    book.opened(rows[0].0);
    let (mut fetches, mut compared) = (0, 0);
    for (at, json) in &rows {
        let steps = if json.contains("lastUpdateId") {
            sync.snapshot(json.as_bytes(), *at)
        } else {
            sync.frame(json.as_bytes(), *at)
        };
        for step in steps {
            match step {
                Step::FetchSnapshot => fetches += 1,
                Step::Emit(update) => {
                    book.apply(&update, *at).unwrap();
                    let is_diff = matches!(update, BookUpdate::Diff { .. });
                    compared += usize::from(is_diff && agrees(&book, &tickers, *at));
                }
                Step::Invalid { why } => panic!("{why}"),
                Step::Reconnect => panic!("reconnect"),
            }
        }
    }
    Replay { book, compared, fetches }
}

/// Compares the touch with the last ticker at or before the book's update, if there is one.
fn agrees(book: &Book, tickers: &[serde_json::Value], at: Timestamp) -> bool {
    let known = tickers.iter().filter(|ticker| ticker["u"].as_u64().unwrap() <= book.update_id());
    let Some(ticker) = known.last() else {
        return false;
    };
    let number = |field: &str| -> Decimal { ticker[field].as_str().unwrap().parse().unwrap() };
    let touch = book.touch(at).unwrap();
    let ours = [touch.bid.price, touch.bid.quantity, touch.ask.price, touch.ask.quantity];
    assert_eq!(ours, ["b", "B", "a", "A"].map(number), "at {}", book.update_id());
    true
}

#[test]
fn recorded_spot_tape_agrees_with_its_own_tickers() {
    let replay = replay(Dialect::Spot, SPOT_TAPE);
    assert_eq!(replay.book.feed(), Feed::Live);
    assert_eq!((replay.fetches, replay.compared), (1, 58));
    assert_eq!((replay.book.updates(), replay.book.resyncs()), (59, 0));
}

#[test]
fn recorded_usdm_tape_agrees_with_its_own_tickers() {
    let replay = replay(Dialect::UsdM, USDM_TAPE);
    assert_eq!(replay.book.feed(), Feed::Live);
    assert_eq!((replay.fetches, replay.book.resyncs()), (1, 0));
    assert!(replay.compared > 50, "{}", replay.compared);
}

#[test]
fn snapshot_is_asked_for_once_and_only_after_the_first_diff() {
    let mut sync = opened(Dialect::Spot);
    assert_eq!(short(&sync.tick(t(1))), "");
    assert_eq!(short(&sync.frame(&diff(11, 20, 10), t(1))), "fetch");
    assert_eq!(short(&sync.frame(&diff(21, 30, 20), t(2))), "");
}

#[test]
fn first_diff_must_touch_the_snapshot() {
    let check = |dialect, last, expected: &str| {
        let mut sync = opened(dialect);
        sync.frame(&diff(11, 20, 9), t(1));
        sync.frame(&diff(21, 30, 20), t(2));
        let mut steps = sync.snapshot(&snapshot(last), t(3));
        steps.extend(sync.tick(t(3_000)));
        assert_eq!(short(&steps), expected, "{dialect:?} {last}");
    };
    check(Dialect::Spot, 9, "fetch");
    check(Dialect::Spot, 10, "s10 d20 d30");
    check(Dialect::Spot, 15, "s15 d20 d30");
    check(Dialect::Spot, 20, "s20 d30");
    check(Dialect::Spot, 30, "");
    check(Dialect::UsdM, 8, "fetch");
    check(Dialect::UsdM, 9, "s9 d20 d30");
    check(Dialect::UsdM, 10, "fetch");
    check(Dialect::UsdM, 11, "s11 d20 d30");
    check(Dialect::UsdM, 20, "s20 d20 d30");
    check(Dialect::UsdM, 21, "s21 d30");
    check(Dialect::UsdM, 30, "s30 d30");
}

#[test]
fn snapshot_ahead_of_the_stream_waits_for_the_bridge() {
    let mut sync = opened(Dialect::Spot);
    sync.frame(&diff(11, 20, 10), t(1));
    assert_eq!(short(&sync.snapshot(&snapshot(25), t(2))), "");
    assert_eq!(short(&sync.frame(&diff(21, 24, 20), t(3))), "");
    assert_eq!(short(&sync.frame(&diff(25, 28, 24), t(4))), "s25 d28");
    let mut sync = opened(Dialect::Spot);
    sync.frame(&diff(11, 20, 10), t(1));
    sync.snapshot(&snapshot(25), t(2));
    assert_eq!(short(&sync.frame(&diff(27, 28, 26), t(2_500))), "fetch");
}

#[test]
fn live_chain_follows_each_dialects_rule() {
    let check = |dialect, frame: Vec<u8>, expected: &str| {
        let steps = live(dialect).frame(&frame, t(2_000));
        assert_eq!(short(&steps), expected, "{dialect:?} {}", String::from_utf8_lossy(&frame));
    };
    check(Dialect::Spot, diff(21, 30, 0), "d30");
    check(Dialect::Spot, diff(20, 30, 0), "d30");
    check(Dialect::Spot, diff(11, 20, 10), "");
    check(Dialect::Spot, diff(5, 9, 4), "");
    check(Dialect::Spot, diff(22, 30, 20), "invalid fetch");
    check(Dialect::UsdM, diff(21, 30, 20), "d30");
    check(Dialect::UsdM, diff(25, 30, 20), "d30");
    check(Dialect::UsdM, diff(11, 20, 10), "");
    check(Dialect::UsdM, diff(21, 30, 19), "invalid fetch");
    check(Dialect::UsdM, diff(5, 9, 4), "invalid fetch");
    check(Dialect::UsdM, diff(5, 9, 20), "invalid fetch");
}

#[test]
fn after_a_gap_the_book_comes_back_from_a_new_snapshot() {
    let mut sync = live(Dialect::UsdM);
    assert_eq!(short(&sync.frame(&diff(41, 50, 40), t(2_000))), "invalid fetch");
    assert_eq!(short(&sync.frame(&diff(51, 60, 50), t(2_001))), "");
    assert_eq!(short(&sync.snapshot(&snapshot(45), t(2_002))), "s45 d50 d60");
    assert_eq!(short(&sync.frame(&diff(61, 70, 60), t(2_003))), "d70");
}

#[test]
fn every_phase_and_event_has_its_answer() {
    // Phases: closed, buffering, bridging, live. Columns: opened, next diff, diff after a gap,
    // snapshot, failed snapshot, quiet tick, shutdown, unreadable frame, closed.
    let shutdown = br#"{"e":"serverShutdown","E":1}"#;
    let build: [fn() -> BookSync; 4] = [
        || BookSync::new(Dialect::Spot, "ETHUSDT", QUIET_MS),
        || {
            let mut sync = opened(Dialect::Spot);
            sync.frame(&diff(11, 20, 10), t(1));
            sync
        },
        || {
            let mut sync = opened(Dialect::Spot);
            sync.frame(&diff(11, 20, 10), t(1));
            sync.snapshot(&snapshot(20), t(2));
            sync
        },
        || live(Dialect::Spot),
    ];
    let events: [fn(&mut BookSync, &[u8]) -> Vec<Step>; 9] = [
        |sync, _| sync.opened(t(2_000)),
        |sync, _| sync.frame(&diff(21, 30, 20), t(2_000)),
        |sync, _| sync.frame(&diff(32, 40, 31), t(2_000)),
        |sync, _| sync.snapshot(&snapshot(15), t(2_000)),
        |sync, _| sync.snapshot_failed(t(2_100)),
        |sync, _| sync.tick(t(60_000)),
        |sync, shutdown| sync.frame(shutdown, t(2_000)),
        |sync, _| sync.frame(b"{", t(2_000)),
        |sync, _| sync.closed(t(2_000)),
    ];
    let gone = "invalid reconnect";
    let table = [
        ["", "", "", "", "", "", "", "", ""],
        ["", "", "", "s15 d20", "fetch", gone, gone, "invalid", "invalid"],
        ["", "s20 d30", "", "", "", gone, gone, "invalid", "invalid"],
        ["invalid", "d30", "invalid fetch", "", "", gone, gone, "invalid", "invalid"],
    ];
    for (phase, (build, row)) in build.iter().zip(table).enumerate() {
        for (n, (event, expected)) in events.iter().zip(row).enumerate() {
            let steps = event(&mut build(), shutdown);
            assert_eq!(short(&steps), expected, "phase {phase}, event {n}");
        }
    }
}

#[test]
fn snapshot_requests_are_spaced_and_end_in_a_reconnect() {
    let mut sync = opened(Dialect::Spot);
    let mut asked = Vec::new();
    let mut last = 10;
    for n in 0..1_200 {
        let now = t(n * 100);
        last += 1;
        let mut steps = sync.frame(&diff(last, last, last - 1), now);
        steps.extend(sync.tick(now));
        if steps.contains(&Step::FetchSnapshot) {
            asked.push(n * 100);
            steps.extend(sync.snapshot(b"<html>busy</html>", now));
        }
        if steps.contains(&Step::Reconnect) {
            break;
        }
    }
    assert_eq!(asked, [0, 2_000, 6_000, 14_000, 30_000, 46_000, 62_000, 78_000]);
}

#[test]
fn an_unanswered_request_is_repeated() {
    let mut sync = opened(Dialect::Spot);
    assert_eq!(short(&sync.frame(&diff(1, 1, 0), t(0))), "fetch");
    let mut asked_again = None;
    for n in 1..200_u64 {
        let now = t(i64::try_from(n).unwrap() * 100);
        let mut steps = sync.frame(&diff(n + 1, n + 1, n), now);
        steps.extend(sync.tick(now));
        if steps.contains(&Step::FetchSnapshot) && asked_again.is_none() {
            asked_again = Some(now);
        }
    }
    assert_eq!(asked_again, Some(t(SNAPSHOT_WAIT_MS + 100)));
}

#[test]
fn the_buffer_is_bounded_and_recovers() {
    let mut sync = opened(Dialect::Spot);
    let bound = u64::try_from(BUFFERED_DIFFS_MAX).unwrap();
    for n in 1..=bound + 1 {
        sync.frame(&diff(n, n, n - 1), t(1));
    }
    assert_eq!(sync.buffer.len(), 1);
    assert_eq!(short(&sync.snapshot(&snapshot(5), t(2))), "", "older than what was kept");
    assert_eq!(short(&sync.tick(t(3_000))), "fetch");
    assert_eq!(short(&sync.snapshot(&snapshot(bound), t(3_001))), "s2000 d2001");
}

#[test]
fn old_diffs_are_no_sign_of_life() {
    let mut sync = live(Dialect::Spot);
    for n in 1..60 {
        let now = t(n * 100);
        assert_eq!(sync.frame(&diff(1, 2, 0), now), []);
        if n * 100 > QUIET_MS + 2 {
            assert_eq!(short(&sync.tick(now)), "invalid reconnect");
            return;
        }
        assert_eq!(sync.tick(now), []);
    }
    panic!("never gave up");
}

#[test]
fn wrapped_foreign_and_answer_frames_are_told_apart() {
    let check = |frame: &str, expected: &str| {
        let steps = live(Dialect::Spot).frame(frame.as_bytes(), t(2_000));
        assert_eq!(short(&steps), expected, "{frame}");
    };
    let inner = String::from_utf8(diff(21, 30, 20)).unwrap();
    check(&format!(r#"{{"stream":"ethusdt@depth@100ms","data":{inner}}}"#), "d30");
    check(&inner.replace("ETHUSDT", "BTCUSDT"), "");
    check(r#"{"result":null,"id":1}"#, "");
    check(r#"{"stream":"!ticker@arr","data":[{"e":"24hrTicker"}]}"#, "");
    check(r#"{"e":"trade","s":"ETHUSDT","p":"1","q":"1"}"#, "");
    let shutdown = r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}"#;
    check(shutdown, "invalid reconnect");
    check(r#"{"error":{"code":2,"msg":"Invalid request"},"id":1}"#, "invalid reconnect");
    check(&inner.replace(r#""U":21"#, r#""U":31"#), "invalid");
    check(&inner.replace(r#""u":30,"#, ""), "invalid");
    check(&inner.replace(r#""100""#, r#""-100""#), "invalid");
    check(&inner.replace(r#""100""#, r#"100.5"#), "invalid");
}

#[test]
fn a_missing_field_is_named() {
    let frame = String::from_utf8(diff(21, 30, 20)).unwrap();
    let check = |frame: &str, field: &str| {
        let steps = live(Dialect::UsdM).frame(frame.as_bytes(), t(2_000));
        let [Step::Invalid { why }] = &steps[..] else { panic!("{steps:?}") };
        assert!(why.contains(field), "{why}");
    };
    check(&frame.replace(r#""pu":20,"#, ""), "pu");
    check(&frame.replace(r#""U":21,"#, ""), "`U`");
    check(&frame.replace(r#""s":"ETHUSDT","#, ""), "`s`");
}

/// Plays frames in any order with losses and repeats; whatever is emitted must be one chain.
fn chain_holds(dialect: Dialect, picks: &[usize]) -> bool {
    let mut sync = opened(dialect);
    let mut have: Option<u64> = None;
    for (n, pick) in picks.iter().enumerate() {
        let now = t(i64::try_from(n).unwrap() * 10);
        let base = 10 * u64::try_from(*pick).unwrap();
        // Spot ids are dense, USD-M ids have holes.
        let frame = match dialect {
            Dialect::Spot => diff(base + 1, base + 10, 0),
            Dialect::UsdM => diff(base + 3, base + 10, base),
        };
        let mut queue: VecDeque<Step> = sync.frame(&frame, now).into();
        queue.extend(sync.tick(now));
        while let Some(step) = queue.pop_front() {
            match step {
                Step::FetchSnapshot => queue.extend(sync.snapshot(&snapshot(base + 5), now)),
                Step::Emit(BookUpdate::Snapshot { update_id, .. }) => have = Some(update_id),
                Step::Emit(BookUpdate::Diff { update_id, .. }) => {
                    let follows = have.is_some_and(|have| {
                        update_id > have && update_id - have <= 10 && update_id % 10 == 0
                    });
                    if !follows {
                        return false;
                    }
                    have = Some(update_id);
                }
                Step::Invalid { .. } => have = None,
                Step::Reconnect => {
                    have = None;
                    sync.opened(now);
                }
            }
        }
    }
    true
}

fn disorder() -> impl Strategy<Value = Vec<usize>> {
    let shuffled = Just((1..24_usize).collect::<Vec<_>>()).prop_shuffle();
    let random = prop::collection::vec(1..24_usize, 0..60);
    // Mostly in order, with single losses and repeats.
    let bent = prop::collection::vec(0..3_usize, 200).prop_map(|copies| {
        copies.iter().enumerate().flat_map(|(n, c)| std::iter::repeat_n(n + 1, *c)).collect()
    });
    proptest::prop_oneof![shuffled, random, bent]
}

proptest! {
    #[test]
    fn emitted_updates_are_one_chain_under_any_disorder(picks in disorder()) {
        prop_assert!(chain_holds(Dialect::Spot, &picks));
        prop_assert!(chain_holds(Dialect::UsdM, &picks));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for dialect in [Dialect::Spot, Dialect::UsdM] {
            live(dialect).frame(&bytes, t(3));
            let mut sync = opened(dialect);
            sync.frame(&diff(1, 2, 0), t(1));
            sync.snapshot(&bytes, t(2));
        }
    }

    #[test]
    fn no_mutated_frame_panics(place in 0..150_usize, byte in any::<u8>()) {
        let mut frame = diff(21, 30, 20);
        if let Some(at) = frame.get_mut(place) {
            *at = byte;
        }
        live(Dialect::Spot).frame(&frame, t(3));
        live(Dialect::UsdM).frame(&frame, t(3));
    }
}
