//! Streams of a venue: books in sequence, and everything that happens to our account.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;

use super::VenueClient;
use crate::engine::event::{Body, BookStep, FillSource};
use crate::io::clock;
use crate::io::websocket::{self, SocketEvent};
use crate::model::venue::{Fill, Income, IncomeKind, OrderReport};
use crate::venues::binance::orders::Method;
use crate::venues::binance::sync::{BookSync, Step};
use crate::venues::binance::user::{self, OrderChange, UserEvent};
use crate::venues::binance::{Dialect, SPOT_WS_API_PATH, account, sign, usdm_user_stream_path};

/// Machines are told the time so often.
const TICK: Duration = Duration::from_millis(250);
/// A depth stream without a frame for so long is not trusted.
const QUIET_MAX_MS: i64 = 10_000;
/// A listen key lives 60 minutes; it is renewed well before.
const KEY_RENEWED_EVERY: Duration = Duration::from_secs(20 * 60);
/// Wait after a user stream could not be opened.
const RETRY_AFTER: Duration = Duration::from_millis(500);

impl VenueClient {
    /// Keeps one market's book for as long as the process lives.
    pub(super) async fn follow_book(self: Arc<Self>, symbol: String) {
        let url = format!("{}{}", self.ws_url, self.dialect.depth_stream_path(&symbol));
        let mut sync = BookSync::new(self.dialect, &symbol, QUIET_MAX_MS);
        let mut socket = websocket::connect(url, websocket::Options::default());
        let (fetched, mut snapshots) = mpsc::channel::<Option<Vec<u8>>>(4);
        let resync = self.resyncs.get(&symbol).cloned().unwrap_or_default();
        let mut ticks = tokio::time::interval(TICK);
        loop {
            let steps = tokio::select! {
                biased;
                event = socket.frames.recv() => match event {
                    Some(SocketEvent::Opened) => {
                        self.book(&symbol, BookStep::Opened).await;
                        sync.opened(clock::now())
                    }
                    Some(SocketEvent::Frame(bytes)) => sync.frame(&bytes, clock::now()),
                    Some(SocketEvent::Closed { .. }) => {
                        self.book(&symbol, BookStep::Closed).await;
                        sync.closed(clock::now())
                    }
                    None => return,
                },
                Some(body) = snapshots.recv() => match body {
                    Some(body) => sync.snapshot(&body, clock::now()),
                    None => sync.snapshot_failed(clock::now()),
                },
                () = resync.notified() => sync.resync("the book refused an update", clock::now()),
                _ = ticks.tick() => sync.tick(clock::now()),
            };
            for step in steps {
                match step {
                    Step::Emit(update) => self.book(&symbol, BookStep::Update(update)).await,
                    Step::Invalid { why } => {
                        tracing::warn!(venue = self.name, symbol, why, "book out of sequence");
                        self.book(&symbol, BookStep::Invalid).await;
                    }
                    Step::Reconnect => socket.reconnect.notify_one(),
                    Step::FetchSnapshot => {
                        let (client, fetched) = (Arc::clone(&self), fetched.clone());
                        let symbol = symbol.clone();
                        tokio::spawn(async move {
                            let reply = client.send(&client.dialect.depth(&symbol)).await;
                            let body = reply.ok().filter(|r| r.status == 200).map(|r| r.body);
                            let _ = fetched.send(body).await;
                        });
                    }
                }
            }
        }
    }

    async fn book(&self, symbol: &str, step: BookStep) {
        let (venue, symbol) = (self.name.clone(), symbol.to_owned());
        self.tell(Body::Book { venue, symbol, step }).await;
    }

    /// Keeps the user stream for as long as the process lives; after every opening the account is
    /// read, since the stream replays nothing.
    pub(super) async fn follow_account(self: Arc<Self>) {
        loop {
            let url = match self.user_url().await {
                Ok(url) => url,
                Err(why) => {
                    self.user(false, &why).await;
                    tokio::time::sleep(RETRY_AFTER).await;
                    continue;
                }
            };
            let socket = websocket::connect(url, websocket::Options::default());
            let why = self.listen(socket).await;
            self.user(false, &why).await;
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    async fn user_url(&self) -> Result<String, String> {
        match self.dialect {
            Dialect::Spot => Ok(format!("{}{SPOT_WS_API_PATH}", self.ws_url)),
            Dialect::UsdM => {
                let request = self.dialect.listen_key(Method::Post).map_err(|e| e.to_string())?;
                let reply = self.send(&request).await.map_err(|e| e.to_string())?;
                let key = account::listen_key(&reply.body).map_err(|e| e.to_string())?;
                Ok(format!("{}{}", self.ws_url, usdm_user_stream_path(&key)))
            }
        }
    }

    /// Listens until the connection ends, and says why it did.
    async fn listen(self: &Arc<Self>, mut socket: websocket::Socket) -> String {
        let mut renewals = tokio::time::interval(KEY_RENEWED_EVERY);
        renewals.tick().await;
        loop {
            let event = tokio::select! {
                event = socket.frames.recv() => event,
                _ = renewals.tick() => {
                    if let Ok(request) = self.dialect.listen_key(Method::Put) {
                        let _ = self.send(&request).await;
                    }
                    continue;
                }
            };
            match event {
                Some(SocketEvent::Opened) => self.opened(&socket).await,
                Some(SocketEvent::Frame(bytes)) => {
                    if let Err(why) = self.user_frame(&bytes).await {
                        return why;
                    }
                }
                Some(SocketEvent::Closed { why }) => return why.to_string(),
                None => return "the socket's task ended".into(),
            }
        }
    }

    async fn opened(self: &Arc<Self>, socket: &websocket::Socket) {
        let Some(credentials) = &self.credentials else { return };
        match self.dialect {
            Dialect::Spot => {
                let text = sign::subscribe_user_stream(1, credentials, &self.stamp());
                // A full queue means the socket is closing: the next opening subscribes again.
                let _ = socket.outgoing.try_send(text);
            }
            Dialect::UsdM => self.user(true, "").await,
        }
    }

    async fn user(self: &Arc<Self>, is_up: bool, why: &str) {
        let (venue, why) = (self.name.clone(), why.to_owned());
        self.tell(Body::UserStream { venue, is_up, why }).await;
        let opening = self.openings.fetch_add(1, Ordering::AcqRel) + 1;
        if is_up {
            tokio::spawn(Self::read_account(Arc::clone(self), opening));
        }
    }

    async fn user_frame(self: &Arc<Self>, bytes: &[u8]) -> Result<(), String> {
        let events = user::decode(bytes).map_err(|e| format!("user event: {e}"))?;
        for event in events {
            match event {
                UserEvent::Order(change) => self.order_changed(change).await,
                UserEvent::Funding { .. } => self.ask_incomes_of_late().await,
                UserEvent::Balance { asset, delta, reason, at, .. } => match self.dialect {
                    Dialect::UsdM => self.ask_incomes_of_late().await,
                    Dialect::Spot => {
                        let id = format!("{reason}/{}/{asset}/{delta}", at.ms());
                        let kind = IncomeKind::Transfer;
                        let income = Income { id, kind, asset, amount: delta, venue_time: at };
                        self.tell_incomes(vec![income]).await;
                    }
                },
                UserEvent::Subscribed => self.user(true, "").await,
                UserEvent::Refused { code, text } => return Err(format!("{code} {text}")),
                UserEvent::Expired => return Err("the listen key expired".into()),
                UserEvent::Terminated => return Err("the venue ended the stream".into()),
                UserEvent::Balances { .. } | UserEvent::Other(_) => {}
            }
        }
        Ok(())
    }

    pub(super) async fn tell_incomes(&self, incomes: Vec<Income>) {
        self.tell(Body::Incomes { venue: self.name.clone(), incomes }).await;
    }

    async fn order_changed(&self, change: OrderChange) {
        let venue = self.name.clone();
        if let Some(fill) = change.fill {
            let fill = Fill {
                trade_id: fill.trade_id,
                client_order_id: Some(change.client_order_id.clone()),
                is_forced: self.dialect.is_forced(&change.client_order_id),
                venue_order_id: change.venue_order_id,
                side: change.side,
                price: fill.price,
                quantity: fill.quantity,
                fee: fill.fee,
                fee_asset: fill.fee_asset.unwrap_or_default(),
                realized_pnl: fill.realized_pnl.unwrap_or_default(),
                margin_asset: self.margin_asset.clone(),
                venue_time: change.at,
            };
            let (venue, symbol) = (venue.clone(), change.symbol.clone());
            let (fills, source) = (vec![fill], FillSource::Stream);
            self.tell(Body::Fills { venue, symbol, fills, source }).await;
        }
        let report = OrderReport {
            client_order_id: change.client_order_id,
            venue_order_id: change.venue_order_id,
            state: super::requests::reported(change.state),
            filled: change.filled,
        };
        self.tell(Body::OrderReport { venue, report }).await;
    }
}
