//! Samples of every event, then damage to them.

use proptest::prelude::{any, prop, proptest};
use serde_json::{Value, json};

use super::*;
use crate::venues::binance::facts::PositionSide;

const SPOT: &str = include_str!("../../../../tests/data/binance/spot_user.json");
const USDM: &str = include_str!("../../../../tests/data/binance/usdm_user.json");

fn value(file: &str, name: &str) -> Value {
    let all: Value = serde_json::from_str(file).unwrap();
    assert!(!all[name].is_null(), "{name}");
    all[name].clone()
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn events(file: &str, name: &str) -> Vec<UserEvent> {
    decode(&bytes(&value(file, name))).unwrap()
}

fn one(file: &str, name: &str) -> UserEvent {
    let mut events = events(file, name);
    assert_eq!(events.len(), 1);
    events.remove(0)
}

fn order(file: &str, name: &str) -> OrderChange {
    match one(file, name) {
        UserEvent::Order(change) => change,
        other => panic!("{other:?}"),
    }
}

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn t(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

fn other(name: &str) -> UserEvent {
    UserEvent::Other(OtherEvent { name: name.to_owned() })
}

#[test]
fn spot_order_lives_fills_and_ends() {
    let new = order(SPOT, "new");
    assert_eq!((new.state, new.fill, new.reason), (OrderState::New, None, None));
    let partial = order(SPOT, "trade");
    let expected = OrderChange {
        symbol: "ETHUSDT".to_owned(),
        client_order_id: "tkspot2".to_owned(),
        venue_order_id: 30,
        state: OrderState::PartiallyFilled,
        side: Side::Buy,
        quantity: d("1"),
        filled: d("0.25"),
        price: d("2600"),
        reason: None,
        at: t(1_780_000_045_000),
        fill: Some(Fill {
            trade_id: 59,
            price: d("2600"),
            quantity: d("0.25"),
            fee: d("0.00025"),
            fee_asset: Some("ETH".to_owned()),
            maker: Some(true),
            realized_pnl: None,
        }),
    };
    assert_eq!(partial, expected);
    let canceled = order(SPOT, "canceled");
    assert_eq!((canceled.client_order_id.as_str(), canceled.fill), ("tkspot2", None));
    assert_eq!((canceled.state, canceled.filled), (OrderState::Canceled, d("0.25")));
    let expired = order(SPOT, "expired");
    assert_eq!(expired.state, OrderState::Expired);
    assert_eq!(expired.reason.as_deref(), Some("INSUFFICIENT_LIQUIDITY"));
}

#[test]
fn raw_and_wrapped_frames_say_the_same() {
    for (file, name) in [(SPOT, "trade"), (USDM, "trade"), (USDM, "order_account")] {
        let sample = value(file, name);
        let inner = sample.get("event").unwrap_or(&sample);
        let expected = decode(&bytes(&sample)).unwrap();
        let wraps = [
            inner.clone(),
            json!({ "subscriptionId": 3, "event": inner }),
            json!({ "event": inner }),
            json!({ "stream": "key", "data": inner }),
        ];
        for wrapped in wraps {
            assert_eq!(decode(&bytes(&wrapped)).unwrap(), expected, "{name}");
        }
    }
}

#[test]
fn spot_balances_are_absolute_and_movements_relative() {
    let at = t(1_780_000_045_001);
    let holding = |asset: &str, total| Holding { asset: asset.to_owned(), total: d(total) };
    let balances = vec![holding("ETH", "10.24975"), holding("USDT", "98050")];
    let reason = "outboundAccountPosition".to_owned();
    let expected = UserEvent::Balances { balances, positions: Vec::new(), reason, at };
    assert_eq!(one(SPOT, "account_position"), expected);
    let expected = UserEvent::Balance {
        asset: "USDT".to_owned(),
        delta: d("-1000"),
        total: None,
        reason: "balanceUpdate".to_owned(),
        at: t(1_780_000_060_000),
    };
    assert_eq!(one(SPOT, "balance_update"), expected);
}

#[test]
fn usdm_fill_carries_fee_and_profit() {
    let change = order(USDM, "trade");
    assert_eq!((change.state, change.side), (OrderState::PartiallyFilled, Side::Sell));
    assert_eq!((change.filled, change.at), (d("0.4"), t(1_780_000_000_123)));
    let expected = Fill {
        trade_id: 698_759,
        price: d("2681"),
        quantity: d("0.4"),
        fee: d("0.42896"),
        fee_asset: Some("USDT".to_owned()),
        maker: Some(false),
        realized_pnl: Some(d("-0.5")),
    };
    assert_eq!(change.fill, Some(expected));
    let new = order(USDM, "new");
    assert_eq!((new.state, new.fill), (OrderState::New, None));
    let expired = order(USDM, "expired");
    assert_eq!((expired.state, expired.fill), (OrderState::Expired, None));
}

#[test]
fn usdm_fill_without_a_fee_costs_nothing() {
    let mut sample = value(USDM, "trade");
    let fields = sample["o"].as_object_mut().unwrap();
    fields.remove("n");
    fields.remove("N");
    let events = decode(&bytes(&sample)).unwrap();
    let [UserEvent::Order(OrderChange { fill: Some(fill), .. })] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((fill.fee, fill.fee_asset.as_deref()), (Decimal::ZERO, None));
}

#[test]
fn account_update_is_told_by_its_reason() {
    let short = Position {
        symbol: "ETHUSDT".to_owned(),
        side: PositionSide::Both,
        quantity: d("-12.345"),
        entry_price: Some(d("2679.5")),
    };
    let balances = |positions: Vec<Position>, total, reason: &str, at| UserEvent::Balances {
        balances: vec![Holding { asset: "USDT".to_owned(), total: d(total) }],
        positions,
        reason: reason.to_owned(),
        at: t(at),
    };
    let at = 1_780_000_000_123;
    assert_eq!(
        events(USDM, "order_account"),
        [balances(vec![short], "122624.12345678", "ORDER", at)]
    );
    let at = 1_780_000_030_000;
    let funding = UserEvent::Funding {
        asset: "USDT".to_owned(),
        amount: d("-0.375"),
        balance: d("122623.74845678"),
        at: t(at),
    };
    let after = balances(Vec::new(), "122623.74845678", "FUNDING_FEE", at);
    assert_eq!(events(USDM, "funding"), [funding, after]);
    let at = 1_780_000_031_000;
    let deposit = UserEvent::Balance {
        asset: "USDT".to_owned(),
        delta: d("1000"),
        total: Some(d("123623.74845678")),
        reason: "DEPOSIT".to_owned(),
        at: t(at),
    };
    let after = balances(Vec::new(), "123623.74845678", "DEPOSIT", at);
    assert_eq!(events(USDM, "deposit"), [deposit, after]);
}

#[test]
fn ends_of_streams_and_events_of_no_matter_are_told_apart() {
    let check = |frame: Value, expected: UserEvent| {
        assert_eq!(decode(&bytes(&frame)).unwrap(), [expected], "{frame}");
    };
    check(json!({ "e": "listenKeyExpired", "E": 1, "listenKey": "k" }), UserEvent::Expired);
    let terminated = json!({ "e": "eventStreamTerminated", "E": 1 });
    check(json!({ "subscriptionId": 0, "event": terminated }), UserEvent::Terminated);
    check(json!({ "event": { "e": "serverShutdown", "E": 1 } }), UserEvent::Terminated);
    for name in ["TRADE_LITE", "ACCOUNT_CONFIG_UPDATE", "listStatus", "externalLockUpdate"] {
        check(json!({ "e": name, "E": 1 }), other(name));
    }
    let accepted = json!({ "id": 1, "status": 200, "result": { "subscriptionId": 0 } });
    check(accepted, UserEvent::Subscribed);
    check(json!({ "id": 1, "result": null }), other("answer"));
    let error = json!({ "code": -1022, "msg": "Signature for this request is not valid." });
    let text = "Signature for this request is not valid.".to_owned();
    let refused = UserEvent::Refused { code: -1022, text };
    check(json!({ "id": 1, "status": 400, "error": error }), refused);
}

#[test]
fn every_required_field_is_missed_by_name() {
    let check = |file: &str, name: &str, inside: &str, required: &[&str]| {
        for field in required {
            let mut sample = value(file, name);
            let object = sample.pointer_mut(inside).unwrap().as_object_mut().unwrap();
            object.remove(*field).unwrap();
            match decode(&bytes(&sample)).unwrap_err() {
                DecodeError::Missing { field: missed, .. } => assert_eq!(missed, *field),
                error => panic!("{field}: {error}"),
            }
        }
    };
    let order = ["s", "c", "S", "q", "p", "X", "i", "l", "z", "L", "t", "m"];
    check(SPOT, "trade", "/event", &order);
    check(SPOT, "trade", "/event", &["T", "e"]);
    check(USDM, "trade", "/o", &order);
    check(USDM, "trade", "", &["T", "o"]);
    check(SPOT, "account_position", "/event", &["B", "u"]);
    check(SPOT, "account_position", "/event/B/0", &["a", "f", "l"]);
    check(SPOT, "balance_update", "/event", &["a", "d", "T"]);
    check(USDM, "funding", "/a", &["m"]);
    check(USDM, "funding", "/a/B/0", &["a", "wb", "bc"]);
    check(USDM, "order_account", "/a/P/0", &["s", "pa", "ps"]);
}

fn all_samples() -> Vec<Vec<u8>> {
    [SPOT, USDM]
        .iter()
        .flat_map(|file| {
            let all: Value = serde_json::from_str(file).unwrap();
            all.as_object().unwrap().values().map(bytes).collect::<Vec<_>>()
        })
        .collect()
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn no_mutated_sample_panics(
        pick in any::<prop::sample::Index>(),
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let samples = all_samples();
        let mut frame = pick.get(&samples).clone();
        for (place, byte) in places {
            let at = place.index(frame.len());
            frame[at] = byte;
        }
        let _ = decode(&frame);
    }
}
