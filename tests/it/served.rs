//! The API alone: a document and figures of a test's own, behind a real socket; and what each of
//! its tokens opens.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use tidekeeper::api::edits::Ask;
use tidekeeper::api::pools::PoolAsk;
use tidekeeper::api::{Door, Keys, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// A running API without a keeper behind it.
pub(super) struct Served {
    address: SocketAddr,
    bearer: String,
    metrics: String,
    stop: watch::Sender<bool>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Served {
    /// Listens on a port of its own; nobody answers questions about strategies or pools.
    pub(super) async fn begin(document: Value, figures: fn(&Door) -> Value) -> Self {
        Self::with_edits(document, figures, mpsc::channel(1).0).await
    }

    /// The same with somebody who answers those about strategies.
    pub(super) async fn with_edits(
        document: Value,
        figures: fn(&Door) -> Value,
        edits: mpsc::Sender<Ask>,
    ) -> Self {
        Self::with(document, figures, edits, mpsc::channel(1).0).await
    }

    /// The same with somebody who answers those about pools.
    pub(super) async fn with_questions(document: Value, questions: mpsc::Sender<PoolAsk>) -> Self {
        Self::with(document, |_| Value::Null, mpsc::channel(1).0, questions).await
    }

    async fn with(
        document: Value,
        figures: fn(&Door) -> Value,
        edits: mpsc::Sender<Ask>,
        questions: mpsc::Sender<PoolAsk>,
    ) -> Self {
        let (_, document) = watch::channel(Some(Arc::new(document)));
        let (directives, _) = mpsc::channel(1);
        let source = Arc::new(());
        let door = Door { document, figures, source, directives, edits, questions };
        let keys = Keys::random().expect("randomness");
        let bearer = keys.bearer().expose().to_owned();
        let metrics = keys.metrics().expose().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(serve(listener, door, keys, stopped));
        Self { address, bearer, metrics, stop, task }
    }

    /// The whole answer to a request such as `GET /metrics`; each header ends its line.
    pub(super) async fn ask(&self, request: &str, headers: &str) -> String {
        self.send(request, headers, "").await
    }

    async fn send(&self, request: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        let head = format!("{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}");
        let request = format!("{head}\r\n{body}");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        answer
    }

    /// Head and body of the answer to whoever has the token.
    pub(super) async fn told(&self, request: &str) -> (String, String) {
        let answer = self.ask(request, &format!("Authorization: Bearer {}\r\n", self.bearer)).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (head.to_owned(), body.to_owned())
    }

    /// Status and body of the answer to whoever has the token and sends this as JSON.
    pub(super) async fn sent(&self, request: &str, body: &str) -> (u16, Value) {
        let headers = format!(
            "Authorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            self.bearer,
            body.len()
        );
        let answer = self.send(request, &headers, body).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), serde_json::from_str(body).expect("it is JSON"))
    }

    /// Ends it and looks that it served until then.
    pub(super) async fn end(self) {
        self.stop.send_replace(true);
        self.task.await.expect("no panic").expect("it served");
    }
}

#[tokio::test]
async fn the_token_of_the_metrics_opens_them_and_nothing_else() {
    let served = Served::begin(Value::Null, |_| Value::Null).await;
    let headers = format!("Authorization: Bearer {}\r\n", served.metrics);
    let answer = served.ask("GET /metrics", &headers).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for request in [
        "GET /api/v1/snapshot",
        "GET /api/v1/stream",
        "GET /api/v1/pools/1/0x00",
        "GET /api/v1/strategies/lp/parameters",
        "GET /openapi.json",
        "POST /api/v1/entry",
        "POST /api/v1/halt",
        "POST /api/v1/strategies/lp/pause",
        "POST /api/v1/strategies/lp/parameters",
    ] {
        let answer = served.ask(request, &headers).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{request}: {answer}");
    }
    let (head, _) = served.told("GET /metrics").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "the whole token opens them too: {head}");
    served.end().await;
}
