//! Refusals and controls, in the venue's words.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::exchange::tests::House;
use crate::exchange::{SPOT_TAPE, USDM_TAPE, tape};
use crate::model::order::Side;
use crate::sim::desk::Desk;
use crate::sim::market::{FirstIds, Market};
use crate::sim::rules::Rules;
use crate::sim::spot::SpotClearing;

const LIMIT: &str = "symbol=ETHUSDT&side=BUY&type=LIMIT&timeInForce=GTC";

async fn check(house: &House, rows: &[(&str, &str, String, u16, i32)]) {
    for (method, path, query, status, code) in rows {
        let (got, body) = house.ask(method, path, query).await;
        let want = (*status, &json!(code));
        assert_eq!((got, &body["code"]), want, "{method} {path} {query}: {body}");
    }
}

#[tokio::test]
async fn spot_mistakes_are_told_in_the_venues_words() {
    let house = House::open(|_| {}).await;
    let order = "/api/v3/order";
    let rows = [
        ("POST", order, format!("{LIMIT}&quantity=1&price=2000.001"), 400, -1013),
        ("POST", order, format!("{LIMIT}&quantity=1.00001&price=2000"), 400, -1013),
        ("POST", order, format!("{LIMIT}&quantity=0.001&price=2000"), 400, -1013),
        ("POST", order, format!("{LIMIT}&quantity=1000&price=2000"), 400, -2010),
        ("POST", order, format!("{LIMIT}&quantity=1"), 400, -1102),
        ("POST", order, format!("{LIMIT}&quantity=x&price=1"), 400, -1100),
    ];
    check(&house, &rows).await;
    house.close().await;
}

#[tokio::test]
async fn spot_refuses_what_it_does_not_know() {
    let house = House::open(|_| {}).await;
    let maker = "symbol=ETHUSDT&side=BUY&type=LIMIT_MAKER&quantity=1&price=3000";
    let order = "/api/v3/order";
    let rows = [
        ("POST", order, LIMIT.replace("ETH", "BTC"), 400, -1121),
        ("POST", order, LIMIT.replace("GTC", "GTX"), 400, -1115),
        ("POST", order, maker.to_owned(), 400, -2010),
        ("DELETE", order, "symbol=ETHUSDT&orderId=5".to_owned(), 400, -2011),
        ("GET", order, "symbol=ETHUSDT&orderId=5".to_owned(), 400, -2013),
        ("GET", "/api/v3/account", "timestamp=5".to_owned(), 400, -1021),
        ("POST", "/api/v3/userDataStream", String::new(), 410, -1000),
        ("GET", "/api/v3/nowhere", String::new(), 404, -1000),
    ];
    check(&house, &rows).await;
    let wrong = format!("{}0", House::signed(""));
    let (_, body) = house.try_ask("GET", "/api/v3/account", &wrong).await.unwrap();
    assert_eq!(body["code"], json!(-1022));
    house.close().await;
}

#[tokio::test]
async fn futures_mistakes_are_told_in_the_venues_words() {
    let house = House::open(|_| {}).await;
    let post_only = format!("{}&quantity=1&price=3000", LIMIT.replace("GTC", "GTX"));
    let stop = "symbol=ETHUSDT&side=BUY&type=STOP_MARKET&quantity=1";
    let order = "/fapi/v1/order";
    let rows = [
        ("POST", order, format!("{LIMIT}&quantity=1&price=2000.001"), 400, -1111),
        ("POST", order, format!("{LIMIT}&quantity=0.001&price=2000"), 400, -4164),
        ("POST", order, format!("{LIMIT}&quantity=5000&price=2000"), 400, -2019),
        ("POST", order, format!("{LIMIT}&quantity=1&price=2000&reduceOnly=true"), 400, -2022),
        ("POST", order, post_only, 400, -5022),
        ("POST", order, stop.to_owned(), 400, -4120),
        ("DELETE", order, "symbol=ETHUSDT&orderId=5".to_owned(), 400, -2011),
        ("PUT", "/fapi/v1/listenKey", String::new(), 400, -1125),
    ];
    check(&house, &rows).await;
    house.close().await;
}

#[tokio::test]
async fn controls_tell_what_is_simulated_and_can_steal() {
    let house = House::open(|_| {}).await;
    let (_, empty) = house.try_ask("GET", "/sapi/v1/margin/allPairs", "").await.unwrap();
    assert_eq!(empty, json!([]));
    let labels: Value = house.try_ask("GET", "/sim/labels", "").await.unwrap().1;
    assert_eq!(labels["day"], json!("2024-08-08"));
    let theft = json!({"adjust": {"account": "usdm", "asset": "USDT", "steps": -1}});
    house.control("/sim/fault", theft).await;
    let balance = house.get("/fapi/v3/balance", "").await;
    assert_eq!(balance[0]["balance"], json!("199999.99999999"));
    house.close().await;
}

#[test]
fn the_recorded_books_never_cross_and_the_tapes_go_round() {
    for packed in [SPOT_TAPE, USDM_TAPE] {
        let tape = tape(packed).unwrap();
        let (anchor, span_ms) = (tape.anchor.clone(), tape.span_ms);
        let first = FirstIds { update: 0, order: 1, trade: 1 };
        let market = Market::new(Rules::spot(), Arc::clone(&tape), first);
        let clearing = SpotClearing::new(Rules::spot(), 1, 0, 0, 0);
        let mut desk = Desk { market, clearing };
        for now_ms in (0..=span_ms).step_by(20) {
            desk.advance(20, now_ms);
            desk.market.drain_public();
            let (bid, ask) =
                (desk.market.book().best(Side::Buy), desk.market.book().best(Side::Sell));
            assert!(bid.unwrap().0 < ask.unwrap().0, "crossed at {now_ms}");
        }
        let recorded =
            tape.facts.iter().filter(|(_, fact)| matches!(fact, crate::sim::tape::Fact::Trade(_)));
        assert!(desk.market.tally().count >= recorded.count() as u64);
        assert_eq!(desk.market.loops(), 1);
        assert!(!anchor.is_empty());
    }
}
