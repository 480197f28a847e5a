//! Requests about one pool, with nobody or somebody at hand who knows none: the answers name the
//! pools there are. What a keeper tells of one is looked at in `worlds/faults.rs`.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::openapi::assert_answer_described;
use super::served::Served;

const POOL: &str = "0x8ad599c3a0ff1de082011efddc58f1908eb6e6d8";

/// A document of so many pools.
fn document(n_pools: usize) -> Value {
    let row = |index: usize| {
        let pool = format!("0x{index:040x}");
        json!({ "chain_id": 1, "pool": pool, "dex": "uniswap_v3", "pair": "WETH/USDT" })
    };
    let pools: Vec<Value> = (0..n_pools).map(row).collect();
    json!({ "pools": pools, "chains": [{ "pools_watched": n_pools }] })
}

/// Status and detail of the answer about a pool.
async fn asked(served: &Served, path: &str) -> (u16, String) {
    let (status, told) = served.sent(&format!("GET /api/v1/pools/{path}"), "").await;
    assert_answer_described("pools/{chain}/{pool}", "get", status, &told);
    (status, told["detail"].as_str().expect("words").to_owned())
}

#[tokio::test]
async fn a_pool_that_nobody_knows_is_refused_with_the_names_of_the_others() {
    let (questions, mut asks) = mpsc::channel(1);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ears = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Some(ask) = asks.recv().await {
            let tidekeeper::api::pools::PoolAsk { pool, answer } = ask;
            let said = format!("{} {}", pool.chain, pool.address).to_lowercase();
            ears.lock().expect("no holder panics").push(said);
            assert!(answer.send(None).is_ok(), "the API waits for its answer");
        }
    });
    let served = Served::with_questions(document(2), questions.clone()).await;
    for path in [format!("7/{POOL}"), format!("demo/{POOL}"), "7/pool".to_owned()] {
        let (status, detail) = asked(&served, &path).await;
        assert_eq!(status, 404, "{path}");
        let named = "1/0x0000000000000000000000000000000000000001 (uniswap_v3 WETH/USDT)";
        assert!(detail.contains(named) && !detail.contains("more"), "{detail}");
    }
    // What cannot be a pool's name is not worth a question.
    assert_eq!(*heard.lock().expect("no holder panics"), [format!("7 {POOL}")]);
    served.end().await;

    let served = Served::with_questions(document(23), questions.clone()).await;
    let (_, detail) = asked(&served, &format!("7/{POOL}")).await;
    assert!(detail.contains("and 3 more; GET /api/v1/pools lists up to 200"), "{detail}");
    served.end().await;
    let served = Served::with_questions(Value::Null, questions).await;
    let (_, detail) = asked(&served, &format!("7/{POOL}")).await;
    assert_eq!(detail, "GET /api/v1/pools lists up to 200 of each chain");
    served.end().await;
}

#[tokio::test]
async fn a_loop_that_does_not_answer_is_told() {
    let (questions, asks) = mpsc::channel(1);
    drop(asks);
    let served = Served::with_questions(document(1), questions).await;
    let (status, detail) = asked(&served, &format!("1/{POOL}")).await;
    assert_eq!(status, 503, "{detail}");
    served.end().await;
}
