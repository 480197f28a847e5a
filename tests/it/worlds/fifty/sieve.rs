//! Stands between the watcher and its node: loses logs of a block, tells some twice and out of
//! order, answers late, or not at all.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy::primitives::{Address, B256};
use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tidekeeper::engine::setup::ChainSetup;
use tidekeeper::model::chain::PoolAddress;
use tokio::net::TcpListener;

/// Of the answers that hold a block's logs of pools, those that lose some, and those that tell some
/// twice.
const LOST_SHARE: f64 = 0.25;
const REPEATED_SHARE: f64 = 0.25;
/// Most logs of one answer that are told twice.
const REPEATED_MAX: usize = 3;
/// Of all questions, those that are answered late, and those that are not answered.
const LATE_SHARE: f64 = 0.004;
const REFUSED_SHARE: f64 = 0.001_5;
/// How late, in ms.
const LATE_MS_MAX: u64 = 150;

/// What the node is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    /// It answers, and what it says is true.
    Fair,
    /// It repeats itself, is late, or silent.
    Rough,
    /// It loses logs as well.
    Storm,
}

/// What was done to answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Spoiled {
    /// Pools that lost logs, and in which block.
    pub(super) lost: BTreeSet<(PoolAddress, u64)>,
    pub(super) n_lost: u64,
    pub(super) n_repeated: u64,
    pub(super) n_late: u64,
    pub(super) n_refused: u64,
}

struct Mood {
    rng: StdRng,
    weather: Weather,
    spoiled: Spoiled,
}

/// What becomes of a question.
enum Fate {
    Answered,
    Late(Duration),
    Refused,
}

/// The sieve. Nothing else can be told of a node than through it.
pub(super) struct Sieve {
    node: String,
    client: reqwest::Client,
    /// The contract of all V4 pools.
    singleton: Option<Address>,
    pools: BTreeSet<PoolAddress>,
    mood: Mutex<Mood>,
}

impl Sieve {
    /// Opens it in fair weather; answers where to ask instead of at the node.
    pub(super) async fn open(
        node: &str,
        setup: &ChainSetup,
        seed: u64,
    ) -> Result<(String, Arc<Self>)> {
        let rng = StdRng::seed_from_u64(seed);
        let mood = Mood { rng, weather: Weather::Fair, spoiled: Spoiled::default() };
        let sieve = Arc::new(Self {
            node: node.to_owned(),
            client: reqwest::Client::builder().no_proxy().build()?,
            singleton: setup.pools.iter().find_map(|pool| pool.manager),
            pools: setup.pools.iter().map(|pool| pool.address).collect(),
            mood: Mutex::new(mood),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new().route("/", post(pass)).with_state(Arc::clone(&sieve));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok((url, sieve))
    }

    /// From here on the node is worth this.
    pub(super) fn be(&self, weather: Weather) {
        self.mood.lock().expect("no holder panics").weather = weather;
    }

    /// What was done to answers so far.
    pub(super) fn spoiled(&self) -> Spoiled {
        self.mood.lock().expect("no holder panics").spoiled.clone()
    }

    /// The node's answer, or what is left of it; `None` where there is none.
    async fn ask(&self, question: Bytes) -> Result<Option<Bytes>> {
        match self.fate() {
            Fate::Answered => {}
            Fate::Late(wait) => tokio::time::sleep(wait).await,
            Fate::Refused => return Ok(None),
        }
        let is_of_block = is_of_block(&question);
        let request = self.client.post(&self.node).header(header::CONTENT_TYPE, "application/json");
        let answer = request.body(question).send().await?.bytes().await?;
        Ok(Some(if is_of_block { self.sift(answer)? } else { answer }))
    }

    fn fate(&self) -> Fate {
        let mut mood = self.mood.lock().expect("no holder panics");
        if mood.weather == Weather::Fair {
            return Fate::Answered;
        }
        if mood.rng.random_bool(REFUSED_SHARE) {
            mood.spoiled.n_refused += 1;
            return Fate::Refused;
        }
        if mood.rng.random_bool(LATE_SHARE) {
            mood.spoiled.n_late += 1;
            return Fate::Late(Duration::from_millis(mood.rng.random_range(1..=LATE_MS_MAX)));
        }
        Fate::Answered
    }

    /// Loses or repeats logs of pools among those of one block.
    fn sift(&self, answer: Bytes) -> Result<Bytes> {
        let mut told: Value = serde_json::from_slice(&answer)?;
        let Some(logs) = told["result"].as_array_mut() else { return Ok(answer) };
        if !logs.iter().any(|log| self.pool_of(log).is_some()) {
            return Ok(answer);
        }
        let mut mood = self.mood.lock().expect("no holder panics");
        if mood.weather == Weather::Storm && mood.rng.random_bool(LOST_SHARE) {
            self.lose(logs, &mut mood)?;
        } else if mood.weather != Weather::Fair && mood.rng.random_bool(REPEATED_SHARE) {
            for _ in 0..mood.rng.random_range(1..=REPEATED_MAX) {
                let again = logs[mood.rng.random_range(0..logs.len())].clone();
                let place = mood.rng.random_range(0..=logs.len());
                logs.insert(place, again);
                mood.spoiled.n_repeated += 1;
            }
        } else {
            return Ok(answer);
        }
        Ok(told.to_string().into())
    }

    /// One log of a pool is gone, or all that its pool has in the block.
    fn lose(&self, logs: &mut Vec<Value>, mood: &mut Mood) -> Result<()> {
        let at: Vec<usize> =
            (0..logs.len()).filter(|index| self.pool_of(&logs[*index]).is_some()).collect();
        let index = at[mood.rng.random_range(0..at.len())];
        let pool = self.pool_of(&logs[index]).context("it is a pool's")?;
        let number = logs[index]["blockNumber"].as_str().context("a log of no block")?;
        let number = u64::from_str_radix(number.trim_start_matches("0x"), 16)?;
        let before = logs.len();
        if mood.rng.random() {
            logs.remove(index);
        } else {
            logs.retain(|log| self.pool_of(log) != Some(pool));
        }
        mood.spoiled.n_lost += u64::try_from(before - logs.len())?;
        mood.spoiled.lost.insert((pool, number));
        Ok(())
    }

    /// The pool that a log is about, if it is one of ours.
    fn pool_of(&self, log: &Value) -> Option<PoolAddress> {
        let by: Address = log["address"].as_str()?.parse().ok()?;
        let pool = if Some(by) == self.singleton {
            PoolAddress::Id(log["topics"][1].as_str()?.parse::<B256>().ok()?)
        } else {
            PoolAddress::Contract(by)
        };
        self.pools.contains(&pool).then_some(pool)
    }
}

/// Whether the logs of one block are asked for; what is asked for in packs is something else.
fn is_of_block(question: &[u8]) -> bool {
    if !question.starts_with(b"{") {
        return false;
    }
    let asked: Value = serde_json::from_slice(question).unwrap_or_default();
    asked["method"] == "eth_getLogs" && asked["params"][0]["blockHash"].is_string()
}

async fn pass(State(sieve): State<Arc<Sieve>>, body: Bytes) -> Response {
    match sieve.ask(body).await {
        Ok(Some(answer)) => ([(header::CONTENT_TYPE, "application/json")], answer).into_response(),
        Ok(None) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
    }
}
