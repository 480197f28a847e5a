//! Every request of both dialects, line by line.

use super::*;

fn order(pricing: Pricing) -> NewOrder {
    NewOrder {
        symbol: "ETHUSDT".to_owned(),
        client_order_id: "tk1".to_owned(),
        side: Side::Sell,
        quantity: Decimal::new(1500, 3),
        pricing,
        reach: Reach::Any,
    }
}

fn limit(time_in_force: TimeInForce) -> Pricing {
    Pricing::Limit { price: Decimal::new(268_100, 2), time_in_force }
}

fn line(request: &Request) -> String {
    let params: Vec<String> =
        request.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{} {} {} {}", request.method, request.path, params.join("&"), request.weight)
}

#[test]
fn orders_are_said_in_each_dialects_words() {
    let check = |dialect: Dialect, pricing, expected: &str| {
        assert_eq!(line(&dialect.place(&order(pricing)).unwrap()), expected);
    };
    check(
        Dialect::Spot,
        limit(TimeInForce::PostOnly),
        "POST /api/v3/order symbol=ETHUSDT&side=SELL&type=LIMIT_MAKER&price=2681&quantity=1.5\
         &newClientOrderId=tk1&newOrderRespType=FULL 1",
    );
    check(
        Dialect::UsdM,
        limit(TimeInForce::PostOnly),
        "POST /fapi/v1/order symbol=ETHUSDT&side=SELL&type=LIMIT&timeInForce=GTX&price=2681\
         &quantity=1.5&newClientOrderId=tk1&newOrderRespType=RESULT 1",
    );
    check(
        Dialect::UsdM,
        limit(TimeInForce::Ioc),
        "POST /fapi/v1/order symbol=ETHUSDT&side=SELL&type=LIMIT&timeInForce=IOC&price=2681\
         &quantity=1.5&newClientOrderId=tk1&newOrderRespType=RESULT 1",
    );
    check(
        Dialect::Spot,
        Pricing::Market,
        "POST /api/v3/order symbol=ETHUSDT&side=SELL&type=MARKET&quantity=1.5\
         &newClientOrderId=tk1&newOrderRespType=FULL 1",
    );
}

#[test]
fn reduce_only_exists_on_usdm_only() {
    let order = NewOrder { reach: Reach::ReduceOnly, ..order(Pricing::Market) };
    let request = Dialect::UsdM.place(&order).unwrap();
    assert!(request.params.contains(&("reduceOnly", "true".to_owned())));
    assert!(matches!(Dialect::Spot.place(&order), Err(RequestError::NotOffered { .. })));
}

#[test]
fn senseless_orders_are_refused_here() {
    let check = |order: NewOrder| Dialect::UsdM.place(&order).unwrap_err();
    let zero = NewOrder { quantity: Decimal::ZERO, ..order(Pricing::Market) };
    assert!(matches!(check(zero), RequestError::NotPositive { field: "quantity", .. }));
    let free = Pricing::Limit { price: Decimal::ZERO, time_in_force: TimeInForce::Gtc };
    assert!(matches!(check(order(free)), RequestError::NotPositive { field: "price", .. }));
    for id in ["", "a b", "é", &"x".repeat(37)] {
        let order = NewOrder { client_order_id: id.to_owned(), ..order(Pricing::Market) };
        assert_eq!(check(order), RequestError::ClientOrderId(id.to_owned()));
    }
}

#[test]
fn every_other_request_has_its_address_and_weight() {
    let (spot, usdm) = (Dialect::Spot, Dialect::UsdM);
    let check = |request: Request, auth, expected: &str| {
        assert_eq!((line(&request).as_str(), request.auth), (expected, auth));
    };
    let s = Auth::Signed;
    let (at, id) = (Timestamp::from_ms(9), "symbol=E&origClientOrderId=c");
    check(spot.cancel("E", "c"), s, &format!("DELETE /api/v3/order {id} 1"));
    check(usdm.cancel("E", "c"), s, &format!("DELETE /fapi/v1/order {id} 1"));
    check(spot.cancel_all("E"), s, "DELETE /api/v3/openOrders symbol=E 1");
    check(usdm.cancel_all("E"), s, "DELETE /fapi/v1/allOpenOrders symbol=E 1");
    check(spot.query("E", "c"), s, &format!("GET /api/v3/order {id} 4"));
    check(usdm.query("E", "c"), s, &format!("GET /fapi/v1/order {id} 1"));
    check(spot.query_by_id("E", 7), s, "GET /api/v3/order symbol=E&orderId=7 4");
    check(usdm.query_by_id("E", 7), s, "GET /fapi/v1/order symbol=E&orderId=7 1");
    check(spot.open_orders("E"), s, "GET /api/v3/openOrders symbol=E 6");
    check(usdm.open_orders("E"), s, "GET /fapi/v1/openOrders symbol=E 1");
    let trades = "GET /api/v3/myTrades symbol=E&startTime=9&limit=1000 20";
    check(spot.trades_since("E", at), s, trades);
    let trades = "GET /fapi/v1/userTrades symbol=E&fromId=7&limit=1000 5";
    check(usdm.trades_from("E", 7), s, trades);
    check(spot.account(), s, "GET /api/v3/account  20");
    check(usdm.account(), s, "GET /fapi/v3/account  5");
    let income = "GET /fapi/v1/income startTime=9&limit=1000 30";
    check(usdm.income_since(at).unwrap(), s, income);
    let countdown = "POST /fapi/v1/countdownCancelAll symbol=E&countdownTime=5000 10";
    check(usdm.countdown_cancel("E", 5_000).unwrap(), s, countdown);
    let p = Auth::Public;
    check(spot.exchange_info("E"), p, "GET /api/v3/exchangeInfo symbol=E 20");
    check(usdm.exchange_info("E"), p, "GET /fapi/v1/exchangeInfo  1");
    check(spot.depth("E"), p, "GET /api/v3/depth symbol=E&limit=5000 250");
    check(usdm.depth("E"), p, "GET /fapi/v1/depth symbol=E&limit=1000 20");
    check(spot.server_time(), p, "GET /api/v3/time  1");
    check(usdm.server_time(), p, "GET /fapi/v1/time  1");
    let listen_key = usdm.listen_key(Method::Put).unwrap();
    check(listen_key, Auth::Key, "PUT /fapi/v1/listenKey  1");
    assert!(spot.listen_key(Method::Post).is_err());
    assert!(spot.income_since(at).is_err());
    assert!(spot.countdown_cancel("E", 1).is_err());
}
