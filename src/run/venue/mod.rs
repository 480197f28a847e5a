//! One venue account: its books, its user stream, and the requests the engine asks for.

mod requests;
mod streams;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use crate::engine::event::Body;
use crate::io::clock;
use crate::io::rest::{Options, RestClient, RestError, RestReply};
use crate::model::time::Timestamp;
use crate::venues::binance::orders::Request;
use crate::venues::binance::sign::{self, Credentials, Stamp};
use crate::venues::binance::{Dialect, account};

/// How long the venue may take to accept a request; bounds what an unanswered one can still do.
const RECV_WINDOW_MS: u32 = 5_000;
/// The venue's clock is compared with ours so often.
const CLOCK_EVERY: Duration = Duration::from_secs(30);

/// A venue account, shared by its tasks.
#[allow(missing_debug_implementations, reason = "it holds credentials")]
pub(super) struct VenueClient {
    /// Operator's name.
    pub(super) name: String,
    /// API spoken.
    pub(super) dialect: Dialect,
    /// Symbols watched.
    pub(super) symbols: Vec<String>,
    /// Asset perpetual profits are settled in.
    pub(super) margin_asset: String,
    /// Where streams are.
    pub(super) ws_url: String,
    rest: RestClient,
    /// `None` for a pretend account: nothing can be signed, and public data alone is read.
    credentials: Option<Credentials>,
    offset_ms: AtomicI64,
    /// Counts openings and closings of the user stream.
    openings: AtomicU64,
    /// The venue cancels everything itself when it has not heard from us for so long.
    cancel_after_s: Option<u32>,
    facts: mpsc::Sender<Body>,
    resyncs: BTreeMap<String, Arc<Notify>>,
}

/// What a venue client is made of.
#[allow(missing_debug_implementations, reason = "it holds credentials")]
pub(super) struct Parts {
    pub(super) name: String,
    pub(super) dialect: Dialect,
    pub(super) symbols: Vec<String>,
    pub(super) margin_asset: String,
    pub(super) rest_url: String,
    pub(super) ws_url: String,
    pub(super) credentials: Option<Credentials>,
    pub(super) cancel_after_s: Option<u32>,
    pub(super) facts: mpsc::Sender<Body>,
}

impl VenueClient {
    pub(super) fn new(parts: Parts) -> Result<Arc<Self>, RestError> {
        let rest = RestClient::new(&parts.rest_url, Options::default())?;
        let resyncs = parts.symbols.iter().map(|symbol| (symbol.clone(), Arc::default())).collect();
        Ok(Arc::new(Self {
            name: parts.name,
            dialect: parts.dialect,
            symbols: parts.symbols,
            margin_asset: parts.margin_asset,
            ws_url: parts.ws_url.trim_end_matches('/').to_owned(),
            rest,
            credentials: parts.credentials,
            offset_ms: AtomicI64::new(0),
            openings: AtomicU64::new(0),
            cancel_after_s: parts.cancel_after_s,
            facts: parts.facts,
            resyncs,
        }))
    }

    /// Starts every task of the account.
    pub(super) fn start(self: &Arc<Self>) -> Vec<tokio::task::JoinHandle<()>> {
        let mut tasks = vec![tokio::spawn(Self::keep_clock(Arc::clone(self)))];
        tasks.push(match self.credentials {
            Some(_) => tokio::spawn(Self::follow_account(Arc::clone(self))),
            None => tokio::spawn(Self::read_markets(Arc::clone(self))),
        });
        if let Some(after_s) = self.cancel_after_s {
            tasks.push(tokio::spawn(Self::keep_alive(Arc::clone(self), after_s)));
        }
        for symbol in &self.symbols {
            tasks.push(tokio::spawn(Self::follow_book(Arc::clone(self), symbol.clone())));
        }
        tasks
    }

    /// Begins a book anew.
    pub(super) fn resync(&self, symbol: &str) {
        if let Some(notify) = self.resyncs.get(symbol) {
            notify.notify_one();
        }
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            now: clock::now(),
            offset_ms: self.offset_ms.load(Ordering::Relaxed),
            recv_window_ms: RECV_WINDOW_MS,
        }
    }

    async fn send(&self, request: &Request) -> Result<RestReply, RestError> {
        self.send_within(request, RECV_WINDOW_MS).await
    }

    /// Sends a request that the venue must refuse after an instant.
    async fn send_until(
        &self,
        request: &Request,
        until: Timestamp,
    ) -> Result<RestReply, RestError> {
        let left_ms = u32::try_from(until.ms_since(clock::now())).unwrap_or(1);
        self.send_within(request, left_ms.clamp(1, RECV_WINDOW_MS)).await
    }

    async fn send_within(&self, request: &Request, window_ms: u32) -> Result<RestReply, RestError> {
        let signed = match (sign::unsigned(request), &self.credentials) {
            (Some(public), _) => public,
            (None, Some(credentials)) => {
                let stamp = Stamp { recv_window_ms: window_ms, ..self.stamp() };
                sign::sign(request, credentials, &stamp)
            }
            (None, None) => {
                let why = "a pretend account has no key to sign with".to_owned();
                return Err(RestError::NotSent { why });
            }
        };
        self.rest.send(&signed).await
    }

    async fn tell(&self, fact: Body) {
        // Nobody listens only while the process ends.
        let _ = self.facts.send(fact).await;
    }

    /// The dead-man switch: renewed three times in its span, so that one lost renewal does no harm.
    async fn keep_alive(self: Arc<Self>, after_s: u32) {
        let span_ms = after_s.saturating_mul(1_000);
        let mut renewals = tokio::time::interval(Duration::from_secs(after_s.into()) / 3);
        loop {
            renewals.tick().await;
            for symbol in &self.symbols {
                let Ok(request) = self.dialect.countdown_cancel(symbol, span_ms) else { return };
                if let Err(error) = self.send(&request).await {
                    let venue = &self.name;
                    tracing::warn!(venue, symbol, %error, "dead-man switch not renewed");
                }
            }
        }
    }

    async fn keep_clock(self: Arc<Self>) {
        loop {
            let asked = clock::now();
            if let Ok(reply) = self.send(&self.dialect.server_time()).await
                && let Ok(server) = account::server_time(&reply.body)
            {
                let answered = clock::now();
                let middle = asked.plus_ms(answered.ms_since(asked) / 2);
                self.offset_ms.store(server.ms_since(middle), Ordering::Relaxed);
            }
            tokio::time::sleep(CLOCK_EVERY).await;
        }
    }
}
