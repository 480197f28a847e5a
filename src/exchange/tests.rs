//! The exchange as its clients meet it: over its own port, by REST and WebSocket.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::exchange::{DEMO_API_KEY, DEMO_API_SECRET, Options, clock, serve};

mod mistakes;

const WAIT: Duration = Duration::from_secs(10);

struct House {
    addr: SocketAddr,
    client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

fn sign(payload: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(DEMO_API_SECRET.as_bytes()).unwrap();
    mac.update(payload.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

impl House {
    async fn open(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::demo(SocketAddr::from(([127, 0, 0, 1], 0)));
        change(&mut options);
        let serving = serve(options).await.unwrap();
        let addr = serving.addr();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            serving.run_until(async { drop(stopped.await) }).await.unwrap();
        });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { addr, client, stop: Some(stop), task }
    }

    async fn close(mut self) {
        drop(self.stop.take());
        timeout(WAIT, self.task).await.expect("shutdown ends").unwrap();
    }

    async fn try_ask(
        &self,
        method: &str,
        path: &str,
        query: &str,
    ) -> Result<(u16, Value), reqwest::Error> {
        let url = format!("http://{}{path}?{query}", self.addr);
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.client.request(method, url).header("X-MBX-APIKEY", DEMO_API_KEY);
        let response = request.timeout(WAIT).send().await?;
        let status = response.status().as_u16();
        assert!(
            path.starts_with("/sim")
                || status == 404
                || response.headers().contains_key("x-mbx-used-weight-1m")
        );
        Ok((status, response.json().await?))
    }

    fn signed(query: &str) -> String {
        let query = format!("{query}&timestamp={}", clock::now_ms());
        let signature = sign(&query);
        format!("{query}&signature={signature}")
    }

    async fn ask(&self, method: &str, path: &str, query: &str) -> (u16, Value) {
        self.try_ask(method, path, &Self::signed(query)).await.unwrap()
    }

    async fn get(&self, path: &str, query: &str) -> Value {
        let (status, value) = self.ask("GET", path, query).await;
        assert_eq!(status, 200, "{path} {value}");
        value
    }

    async fn control(&self, path: &str, body: Value) -> Value {
        let url = format!("http://{}{path}", self.addr);
        let response = self.client.post(url).body(body.to_string()).send().await.unwrap();
        let value: Value = response.json().await.unwrap();
        assert_eq!(value["ok"], json!(true), "{value}");
        value
    }

    async fn socket(&self, path: &str) -> Socket {
        let url = format!("ws://{}{path}", self.addr);
        Socket(timeout(WAIT, connect_async(url)).await.unwrap().unwrap().0)
    }

    async fn spot_user(&self) -> Socket {
        let mut socket = self.socket("/ws-api/v3").await;
        let timestamp = clock::now_ms();
        let signature = sign(&format!("apiKey={DEMO_API_KEY}&timestamp={timestamp}"));
        let params =
            json!({"apiKey": DEMO_API_KEY, "timestamp": timestamp, "signature": signature});
        socket
            .say(json!({"id": 1, "method": "userDataStream.subscribe.signature", "params": params}))
            .await;
        let answer = socket.next().await.unwrap();
        assert_eq!(answer["result"]["subscriptionId"], json!(0), "{answer}");
        socket
    }
}

impl Socket {
    async fn say(&mut self, value: Value) {
        self.0.send(Message::Text(value.to_string().into())).await.unwrap();
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            match timeout(WAIT, self.0.next()).await.expect("a message in time")? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    async fn until(&mut self, found: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut seen = Vec::new();
        loop {
            seen.push(self.next().await.expect("the socket is open"));
            if found(seen.last().unwrap()) {
                return seen;
            }
        }
    }
}

type Side = BTreeMap<String, String>;

fn apply(side: &mut Side, levels: &Value) {
    for level in levels.as_array().unwrap() {
        let (price, quantity) = (level[0].as_str().unwrap(), level[1].as_str().unwrap());
        if quantity.bytes().all(|b| matches!(b, b'0' | b'.')) {
            side.remove(price);
        } else {
            side.insert(price.to_owned(), quantity.to_owned());
        }
    }
}

/// Follows a book by the documented rules and compares it with a later snapshot.
async fn check_book(house: &House, ws: &str, rest: &str, is_futures: bool) {
    let mut socket = house.socket(ws).await;
    socket.say(json!({"method": "SUBSCRIBE", "params": ["ethusdt@depth@100ms"], "id": 7})).await;
    let before = socket.until(|message| message["e"] == json!("depthUpdate")).await;
    assert!(before.contains(&json!({"result": null, "id": 7})));
    let snapshot = house.get(rest, "symbol=ETHUSDT&limit=1000").await;
    let mut local = snapshot["lastUpdateId"].as_u64().unwrap();
    let (mut bids, mut asks) = (Side::new(), Side::new());
    apply(&mut bids, &snapshot["bids"]);
    apply(&mut asks, &snapshot["asks"]);
    let mut events: Vec<Value> = before;
    for _ in 0..12 {
        events.push(socket.next().await.unwrap());
    }
    house.control("/sim/freeze", json!({"on": true})).await;
    let last = house.get(rest, "symbol=ETHUSDT&limit=1000").await;
    while events.last().unwrap()["u"] != last["lastUpdateId"] {
        events.push(socket.next().await.unwrap());
    }
    let mut previous = None;
    for event in events.iter().filter(|event| event["e"] == json!("depthUpdate")) {
        let (first, update) = (event["U"].as_u64().unwrap(), event["u"].as_u64().unwrap());
        if let Some(previous) = previous {
            let chained = if is_futures { event["pu"].as_u64().unwrap() } else { first - 1 };
            assert_eq!(chained, previous, "no gap");
        }
        previous = Some(update);
        if update <= local {
            continue;
        }
        assert!(first <= local + 1, "the snapshot joins the stream");
        apply(&mut bids, &event["b"]);
        apply(&mut asks, &event["a"]);
        local = update;
    }
    let side = |levels: &Value| {
        let mut side = Side::new();
        apply(&mut side, levels);
        side
    };
    assert_eq!(Value::from(local), last["lastUpdateId"]);
    // Levels beyond the snapshot's depth are not comparable; the near ones must all agree.
    let near = |side: &Side| -> Side {
        let is_near =
            |price: &str| price.parse::<f64>().is_ok_and(|p| (2_670.0..2_695.0).contains(&p));
        side.iter().filter(|(p, _)| is_near(p)).map(|(p, q)| (p.clone(), q.clone())).collect()
    };
    assert_eq!(near(&bids), near(&side(&last["bids"])));
    assert_eq!(near(&asks), near(&side(&last["asks"])));
    assert!(near(&bids).len() > 20);
    house.control("/sim/freeze", json!({"on": false})).await;
}

#[tokio::test]
async fn books_can_be_followed_by_the_documented_rules() {
    let house = House::open(|_| {}).await;
    check_book(&house, "/ws/0", "/api/v3/depth", false).await;
    check_book(&house, "/public/ws/0", "/fapi/v1/depth", true).await;
    house.close().await;
}

#[tokio::test]
async fn spot_orders_fill_and_the_user_stream_tells_all_of_it() {
    let house = House::open(|_| {}).await;
    let mut user = house.spot_user().await;
    let query = "symbol=ETHUSDT&side=BUY&type=MARKET&quantity=2.5&newClientOrderId=a1";
    let (status, order) = house.ask("POST", "/api/v3/order", query).await;
    assert_eq!((status, &order["status"]), (200, &json!("FILLED")), "{order}");
    let seen = user
        .until(|m| {
            m["event"]["e"] == json!("outboundAccountPosition")
                && m["event"]["B"][0]["l"] == json!("0.00000000")
                && m["event"]["B"][0]["f"] == json!("102.49750000")
        })
        .await;
    let reports: Vec<&Value> =
        seen.iter().map(|m| &m["event"]).filter(|e| e["e"] == json!("executionReport")).collect();
    assert_eq!(reports[0]["x"], json!("NEW"));
    assert_eq!(reports.last().unwrap()["X"], json!("FILLED"));
    let trades = house.get("/api/v3/myTrades", "symbol=ETHUSDT").await;
    assert_eq!(trades.as_array().unwrap().len(), reports.len() - 1);
    assert_eq!(trades[0]["id"], reports[1]["t"]);
    assert_eq!(order["fills"].as_array().unwrap().len(), reports.len() - 1);
    let maker =
        "symbol=ETHUSDT&side=BUY&type=LIMIT_MAKER&quantity=1&price=2000&newClientOrderId=m1";
    assert_eq!(house.ask("POST", "/api/v3/order", maker).await.0, 200);
    assert_eq!(
        house.ask("POST", "/api/v3/order", maker).await.1["msg"],
        json!("Duplicate order sent.")
    );
    let open = house.get("/api/v3/openOrders", "symbol=ETHUSDT").await;
    assert_eq!(open[0]["clientOrderId"], json!("m1"));
    let (_, gone) =
        house.ask("DELETE", "/api/v3/order", "symbol=ETHUSDT&origClientOrderId=m1").await;
    assert_eq!((&gone["status"], &gone["origClientOrderId"]), (&json!("CANCELED"), &json!("m1")));
    let seen = user.until(|m| m["event"]["x"] == json!("CANCELED")).await;
    assert_eq!(seen.last().unwrap()["event"]["C"], json!("m1"));
    let deposit = json!({"deposit": {"account": "spot", "asset": "USDT", "amount": "12.5"}});
    house.control("/sim/fault", deposit).await;
    let seen = user.until(|m| m["event"]["e"] == json!("balanceUpdate")).await;
    assert_eq!(seen.last().unwrap()["event"]["d"], json!("12.50000000"));
    house.close().await;
}

#[tokio::test]
async fn perpetual_orders_funding_and_the_dead_man_switch() {
    let house = House::open(|options| options.funding_every_s = 2).await;
    let (_, key) = house.ask("POST", "/fapi/v1/listenKey", "").await;
    let key = key["listenKey"].as_str().unwrap().to_owned();
    let mut user = house.socket(&format!("/private/ws?listenKey={key}")).await;
    let sell = "symbol=ETHUSDT&side=SELL&type=MARKET&quantity=3";
    assert_eq!(house.ask("POST", "/fapi/v1/order", sell).await.1["status"], json!("FILLED"));
    let resting = "symbol=ETHUSDT&side=BUY&type=LIMIT&timeInForce=GTX&quantity=1&price=2500\
                   &newClientOrderId=r1";
    assert_eq!(house.ask("POST", "/fapi/v1/order", resting).await.0, 200);
    assert_eq!(house.ask("POST", "/fapi/v1/order", resting).await.1["code"], json!(-4116));
    house.ask("POST", "/fapi/v1/countdownCancelAll", "symbol=ETHUSDT&countdownTime=300").await;
    let seen = user.until(|m| m["o"]["x"] == json!("CANCELED")).await;
    assert_eq!(seen.last().unwrap()["o"]["c"], json!("r1"));
    let seen_funding = user.until(|m| m["a"]["m"] == json!("FUNDING_FEE")).await;
    house.control("/sim/freeze", json!({"on": true})).await;
    let trades: Vec<&Value> = seen.iter().filter(|m| m["o"]["x"] == json!("TRADE")).collect();
    assert_eq!(trades.last().unwrap()["o"]["X"], json!("FILLED"));
    let income = house.get("/fapi/v1/income", "limit=1000").await;
    let sum: i128 = income
        .as_array()
        .unwrap()
        .iter()
        .map(|row| i128::from(crate::sim::fixed::parse(row["income"].as_str().unwrap()).unwrap()))
        .sum();
    let balance = house.get("/fapi/v2/balance", "").await;
    let wallet = crate::sim::fixed::parse(balance[0]["balance"].as_str().unwrap()).unwrap();
    assert_eq!(i128::from(wallet), i128::from(200_000 * crate::sim::fixed::ONE) + sum);
    let kinds: Vec<&str> =
        income.as_array().unwrap().iter().map(|r| r["incomeType"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"FUNDING_FEE") && kinds.contains(&"COMMISSION"), "{kinds:?}");
    let update = &seen_funding.last().unwrap()["a"]["B"][0];
    assert!(!update["bc"].as_str().unwrap().starts_with('-'), "a short receives: {update}");
    let risk = house.get("/fapi/v3/positionRisk", "symbol=ETHUSDT").await;
    assert_eq!(risk[0]["positionAmt"], json!("-3.000"));
    house.close().await;
}

#[tokio::test]
async fn an_order_whose_answer_is_lost_is_still_executed() {
    let house = House::open(|_| {}).await;
    house.control("/sim/fault", json!({"ack_loss_next_order": true})).await;
    let query = "symbol=ETHUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=2500\
                 &newClientOrderId=lost";
    let answer = house.try_ask("POST", "/fapi/v1/order", &House::signed(query)).await;
    let error = answer.expect_err("no answer");
    assert!(!error.is_timeout(), "the connection is closed, not left hanging: {error:?}");
    let order = house.get("/fapi/v1/order", "symbol=ETHUSDT&origClientOrderId=lost").await;
    assert_eq!(order["status"], json!("NEW"));
    let mut socket = house.socket("/market/stream?streams=ethusdt@markPrice@1s").await;
    let event = socket.next().await.unwrap();
    assert_eq!(event["data"]["e"], json!("markPriceUpdate"));
    house.control("/sim/fault", json!({"drop_ws": true})).await;
    while socket.next().await.is_some() {}
    house.close().await;
}
