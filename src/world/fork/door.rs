//! The one way from a fork to the chain it was taken from: a door on this machine that lets reads
//! through.
//!
//! anvil asks here and not at the endpoint, so that the endpoint's address, which may hold a key,
//! stands on no command line, in no file and in no log; and whatever could change something is
//! refused here, whoever asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use reqwest::{Client, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Patience for one answer of the endpoint; anvil itself asks again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Questions the endpoint has to answer at a time; more wait.
const IN_FLIGHT_MAX: usize = 64;
/// JSON-RPC's error code of a method that does not exist.
const NO_SUCH_METHOD: i64 = -32_601;
/// JSON-RPC's first error code for whatever else is wrong with a server.
const SERVER_ERROR: i64 = -32_000;
/// Beginnings of the names of the methods that only read.
const READS: [&str; 15] = [
    "eth_get",
    "eth_call",
    "eth_blockNumber",
    "eth_chainId",
    "eth_gasPrice",
    "eth_maxPriorityFeePerGas",
    "eth_blobBaseFee",
    "eth_feeHistory",
    "eth_estimateGas",
    "eth_createAccessList",
    "eth_syncing",
    "net_version",
    "web3_clientVersion",
    "trace_",
    "debug_trace",
];

/// An open door; dropping it closes it.
pub(super) struct Door {
    http_url: String,
    origin: Arc<Origin>,
    serving: JoinHandle<()>,
}

/// The endpoint behind it.
struct Origin {
    url: Url,
    client: Client,
    places: Semaphore,
    n_reads: AtomicU64,
    n_refused: AtomicU64,
}

impl Door {
    /// Opens a door to an endpoint; nothing is asked yet.
    ///
    /// # Errors
    /// When the address is not one of HTTP, which is told without the address.
    pub(super) async fn open(address: &SecretString) -> Result<Self> {
        let url = Url::parse(address.expose_secret().trim()).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.context(
            "the endpoint to fork is no http:// or https:// URL (not shown: it may hold a key)",
        )?;
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(ANSWER_TIMEOUT)
            .build()
            .context("making a client for the endpoint")?;
        let origin = Arc::new(Origin {
            url,
            client,
            places: Semaphore::new(IN_FLIGHT_MAX),
            n_reads: AtomicU64::new(0),
            n_refused: AtomicU64::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.context("opening a local port")?;
        let http_url = format!("http://{}", listener.local_addr()?);
        let router = Router::new().route("/", post(ask)).with_state(Arc::clone(&origin));
        let serving = tokio::spawn(async move {
            // It ends with the door; until then a failing accept is tried again by axum.
            drop(axum::serve(listener, router).await);
        });
        Ok(Self { http_url, origin, serving })
    }

    /// Where to ask instead of at the endpoint.
    pub(super) fn http_url(&self) -> &str {
        &self.http_url
    }

    /// Questions that went through.
    pub(super) fn n_reads(&self) -> u64 {
        self.origin.n_reads.load(Ordering::Relaxed)
    }

    /// Requests that were turned away, since they do more than read.
    pub(super) fn n_refused(&self) -> u64 {
        self.origin.n_refused.load(Ordering::Relaxed)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn ask(State(origin): State<Arc<Origin>>, body: Bytes) -> Response {
    let Ok(questions) = serde_json::from_slice::<Value>(&body) else {
        return (StatusCode::BAD_REQUEST, "not JSON").into_response();
    };
    let asked = one_by_one(&questions);
    let beyond = asked.iter().copied().find_map(|question| {
        let method = question["method"].as_str().unwrap_or("a request without a method");
        (!is_read(method)).then_some(method)
    });
    if let Some(method) = beyond {
        origin.n_refused.fetch_add(1, Ordering::Relaxed);
        let why = format!("{method} does more than read: a fork does not pass it on");
        return json_reply(StatusCode::OK, &errors(&questions, NO_SUCH_METHOD, &why));
    }
    let n_asked = u64::try_from(asked.len()).unwrap_or(u64::MAX);
    origin.n_reads.fetch_add(n_asked, Ordering::Relaxed);
    match origin.pass(rebuilt(&questions).to_string().into()).await {
        Ok(answer) => ([(header::CONTENT_TYPE, "application/json")], answer).into_response(),
        Err((status, why)) => json_reply(status, &errors(&questions, SERVER_ERROR, &why)),
    }
}

/// The questions as they were judged, member by member: another reader of the same bytes might take
/// another method out of them.
fn rebuilt(questions: &Value) -> Value {
    let of = |question: &Value| {
        let member = |name: &str| question.get(name).cloned().unwrap_or(Value::Null);
        json!({
            "jsonrpc": "2.0",
            "id": member("id"),
            "method": member("method"),
            "params": question.get("params").cloned().unwrap_or_else(|| json!([])),
        })
    };
    match questions {
        Value::Array(batch) => batch.iter().map(of).collect(),
        one => of(one),
    }
}

fn is_read(method: &str) -> bool {
    READS.iter().any(|read| method.starts_with(read))
}

/// The questions of a batch, or the one that is none.
fn one_by_one(questions: &Value) -> Vec<&Value> {
    match questions {
        Value::Array(batch) => batch.iter().collect(),
        one => vec![one],
    }
}

/// The same error for every question.
fn errors(questions: &Value, code: i64, why: &str) -> Value {
    let error = |question: &Value| {
        json!({
            "jsonrpc": "2.0",
            "id": question["id"],
            "error": { "code": code, "message": why },
        })
    };
    match questions {
        Value::Array(batch) => batch.iter().map(error).collect(),
        one => error(one),
    }
}

fn json_reply(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

impl Origin {
    /// Asks the endpoint. What went wrong is told in our words: the endpoint's may repeat its key.
    async fn pass(&self, question: Bytes) -> Result<Bytes, (StatusCode, String)> {
        let failed = |error: reqwest::Error| {
            let what = match () {
                () if error.is_timeout() => "does not answer in time",
                () if error.is_connect() => "cannot be reached",
                () => "broke off",
            };
            (StatusCode::SERVICE_UNAVAILABLE, format!("the endpoint to fork {what}"))
        };
        let _place = self.places.acquire().await.expect("the door never closes its places");
        let request = self.client.post(self.url.clone());
        let request = request.header(header::CONTENT_TYPE, "application/json").body(question);
        let reply = request.send().await.map_err(failed)?;
        let status = reply.status();
        if !status.is_success() {
            return Err((status, format!("the endpoint to fork answers {status}")));
        }
        reply.bytes().await.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_reads_goes_through() {
        for method in ["eth_getStorageAt", "eth_getAccountInfo", "eth_call", "eth_chainId"] {
            assert!(is_read(method), "{method}");
        }
        for method in [
            "eth_sendRawTransaction",
            "eth_sendTransaction",
            "eth_sign",
            "eth_subscribe",
            "personal_sign",
            "anvil_setBalance",
            "evm_mine",
            "debug_setHead",
            "",
        ] {
            assert!(!is_read(method), "{method}");
        }
    }

    #[test]
    fn every_question_of_a_batch_has_its_error() {
        let batch = json!([{ "id": 1, "method": "eth_sign" }, { "id": "two" }]);
        let answer = errors(&batch, NO_SUCH_METHOD, "no");
        assert_eq!(answer[0]["id"], 1);
        assert_eq!(answer[1]["id"], "two");
        assert_eq!(answer[1]["error"]["code"], NO_SUCH_METHOD);
        assert_eq!(one_by_one(&batch).len(), 2);
        assert_eq!(errors(&json!({ "id": 3 }), SERVER_ERROR, "no")["id"], 3);
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_refused_without_being_shown() {
        let secret = "wss://node.example/0123456789abcdef".to_owned();
        let error = Door::open(&secret.clone().into()).await.err().expect("a refusal");
        assert!(!format!("{error:#}").contains(&secret));
    }

    #[tokio::test]
    async fn a_request_that_does_more_than_read_never_leaves() {
        // Nobody listens behind the door: what went through would be answered otherwise.
        let door = Door::open(&"http://127.0.0.1:1/key".to_owned().into()).await.expect("a door");
        let client = Client::builder().no_proxy().build().expect("a client");
        let ask = async |method: &str| -> Value {
            let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": [] });
            let reply = client.post(door.http_url()).body(body.to_string()).send().await;
            let text = reply.expect("an answer").text().await.expect("a body");
            serde_json::from_str(&text).expect("JSON")
        };
        let refused = ask("eth_sendRawTransaction").await;
        assert_eq!(refused["error"]["code"], NO_SUCH_METHOD);
        let passed = ask("eth_chainId").await;
        assert_eq!(passed["error"]["code"], SERVER_ERROR);
        assert!(!passed.to_string().contains("key"));
        assert_eq!((door.n_reads(), door.n_refused()), (1, 1));
    }
}
