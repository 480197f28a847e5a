//! One task per WebSocket connection: keeps it open, and tells every end and every beginning.
//!
//! Knows frames, timeouts and backoff. Must never know what a frame means. Invariant: no frame is
//! dropped silently; a reader that falls behind gets `Closed` after the frames it was owed.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, SinkExt, StreamExt};
use tokio::{
    net::TcpStream,
    sync::{
        Notify,
        mpsc::{self, error::TrySendError},
    },
    task::JoinHandle,
    time::{Instant, Sleep, sleep, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{self, Message, protocol::WebSocketConfig},
};

/// Messages that may wait to be sent; the sender waits beyond it.
pub const OUTGOING_MAX: usize = 64;

/// A write that takes longer means the connection is dead.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Patience for a polite goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(250);

/// A connection that lived this long was good: the next backoff starts from the first step.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Characters of a peer's text that are kept.
const TEXT_CHARS_MAX: usize = 200;

type Connection = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Bounds of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Largest message taken; a larger one closes the connection.
    pub max_message_bytes: usize,
    /// Events that may wait for the reader; one more closes the connection.
    pub frames_max: usize,
    /// Patience for TCP, TLS and handshake together.
    pub connect_timeout: Duration,
    /// A connection without any frame for this long is closed; after half of it, it is pinged.
    pub idle_timeout: Duration,
    /// Wait before the first reconnect; doubles with each failure.
    pub backoff_first: Duration,
    /// Longest wait before a reconnect.
    pub backoff_max: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_message_bytes: 8 * 1024 * 1024,
            frames_max: 4_096,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            backoff_first: Duration::from_millis(250),
            backoff_max: Duration::from_secs(8),
        }
    }
}

/// What the reader sees, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketEvent {
    /// A new connection: subscribe now.
    Opened,
    /// A text or binary message.
    Frame(Vec<u8>),
    /// The connection ended, or could not be made; another attempt follows by itself.
    Closed {
        /// Why.
        why: CloseWhy,
    },
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseWhy {
    /// It never came to be.
    #[error("no connection: {0}")]
    Refused(String),
    /// The peer closed it, in its words.
    #[error("closed by the peer: {0}")]
    Remote(String),
    /// Broken below or against the protocol, a message over the bound included.
    #[error("broken: {0}")]
    Broken(String),
    /// Nothing was heard for the idle timeout.
    #[error("idle")]
    Idle,
    /// Frames came faster than they were read.
    #[error("the reader is too slow")]
    SlowReader,
    /// `reconnect` was notified.
    #[error("asked to reconnect")]
    Asked,
}

/// The two ends of a connection's task. Dropping `frames` ends the task.
#[derive(Debug)]
pub struct Socket {
    /// Events in order.
    pub frames: mpsc::Receiver<SocketEvent>,
    /// Text to send. What waits here when a connection opens is dropped: it was meant for another.
    pub outgoing: mpsc::Sender<String>,
    /// Notify it to close this connection and open another.
    pub reconnect: Arc<Notify>,
    /// The task, for its owner to join after dropping `frames`.
    pub task: JoinHandle<()>,
}

/// Starts the task that keeps a connection to `url` (`ws://` or `wss://`). For `wss://` a process
/// default rustls provider must be installed.
pub fn connect(url: String, options: Options) -> Socket {
    let (events, frames) = mpsc::channel(options.frames_max.max(1));
    let (outgoing, texts) = mpsc::channel(OUTGOING_MAX);
    let reconnect = Arc::new(Notify::new());
    let keeper = Keeper { url, options, events, texts, reconnect: Arc::clone(&reconnect) };
    let task = tokio::spawn(keeper.run());
    Socket { frames, outgoing, reconnect, task }
}

/// The reader is gone: nothing is left to do.
struct ReaderGone;

struct Keeper {
    url: String,
    options: Options,
    events: mpsc::Sender<SocketEvent>,
    texts: mpsc::Receiver<String>,
    reconnect: Arc<Notify>,
}

impl Keeper {
    async fn run(mut self) {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let Ok(why) = self.one_connection().await else {
                return;
            };
            if began.elapsed() >= STABLE_AFTER {
                failures = 0;
            }
            if self.events.send(SocketEvent::Closed { why }).await.is_err() {
                return;
            }
            tokio::select! {
                biased;
                () = self.events.closed() => return,
                () = sleep(backoff(&self.options, failures)) => {}
            }
            failures = failures.saturating_add(1);
        }
    }

    /// From the attempt to the end of one connection.
    async fn one_connection(&mut self) -> Result<CloseWhy, ReaderGone> {
        let mut connection = match self.open().await? {
            Ok(connection) => connection,
            Err(why) => return Ok(why),
        };
        while self.texts.try_recv().is_ok() {}
        // Forget a request to reconnect that was meant for the connection before.
        let _ = self.reconnect.notified().now_or_never();
        if self.events.send(SocketEvent::Opened).await.is_err() {
            return Err(ReaderGone);
        }
        let end = self.converse(&mut connection).await;
        // Politeness only: the connection is over whatever the peer answers.
        let _ = timeout(CLOSE_TIMEOUT, connection.close(None)).await;
        end
    }

    async fn open(&self) -> Result<Result<Connection, CloseWhy>, ReaderGone> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(self.options.max_message_bytes))
            .max_frame_size(Some(self.options.max_message_bytes));
        let attempt = connect_async_with_config(self.url.as_str(), Some(config), true);
        tokio::select! {
            biased;
            () = self.events.closed() => Err(ReaderGone),
            opened = timeout(self.options.connect_timeout, attempt) => Ok(match opened {
                Ok(Ok((connection, _response))) => Ok(connection),
                Ok(Err(e)) => Err(CloseWhy::Refused(short(&e.to_string()))),
                Err(_elapsed) => Err(CloseWhy::Refused("timed out".to_owned())),
            }),
        }
    }

    async fn converse(&mut self, connection: &mut Connection) -> Result<CloseWhy, ReaderGone> {
        let half = self.options.idle_timeout / 2;
        let mut quiet = std::pin::pin!(sleep(half));
        let mut was_probed = false;
        loop {
            let sent = tokio::select! {
                biased;
                () = self.events.closed() => return Err(ReaderGone),
                () = self.reconnect.notified() => return Ok(CloseWhy::Asked),
                Some(text) = self.texts.recv() => send(connection, Message::text(text)).await,
                message = connection.next() => {
                    postpone(quiet.as_mut(), half);
                    was_probed = false;
                    self.received(connection, message).await?
                }
                () = quiet.as_mut() => {
                    if was_probed {
                        return Ok(CloseWhy::Idle);
                    }
                    was_probed = true;
                    postpone(quiet.as_mut(), half);
                    send(connection, Message::Ping(tungstenite::Bytes::new())).await
                }
            };
            if let Err(why) = sent {
                return Ok(why);
            }
        }
    }

    async fn received(
        &self,
        connection: &mut Connection,
        message: Option<Result<Message, tungstenite::Error>>,
    ) -> Result<Result<(), CloseWhy>, ReaderGone> {
        match message {
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                let frame = SocketEvent::Frame(message.into_data().into());
                match self.events.try_send(frame) {
                    Ok(()) => Ok(Ok(())),
                    Err(TrySendError::Full(_)) => Ok(Err(CloseWhy::SlowReader)),
                    Err(TrySendError::Closed(_)) => Err(ReaderGone),
                }
            }
            // The pong is queued by the protocol layer and leaves with the next flush.
            Some(Ok(Message::Ping(_))) => Ok(flush(connection).await),
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => Ok(Ok(())),
            Some(Ok(Message::Close(frame))) => {
                let text = frame.map(|frame| frame.to_string()).unwrap_or_default();
                Ok(Err(CloseWhy::Remote(short(&text))))
            }
            Some(Err(e)) => Ok(Err(CloseWhy::Broken(short(&e.to_string())))),
            None => Ok(Err(CloseWhy::Remote("end of stream".to_owned()))),
        }
    }
}

async fn send(connection: &mut Connection, message: Message) -> Result<(), CloseWhy> {
    written(timeout(SEND_TIMEOUT, connection.send(message)).await)
}

async fn flush(connection: &mut Connection) -> Result<(), CloseWhy> {
    written(timeout(SEND_TIMEOUT, connection.flush()).await)
}

fn written(
    result: Result<Result<(), tungstenite::Error>, tokio::time::error::Elapsed>,
) -> Result<(), CloseWhy> {
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(e)) => Err(CloseWhy::Broken(short(&e.to_string()))),
        Err(_elapsed) => Err(CloseWhy::Broken("a write timed out".to_owned())),
    }
}

fn postpone(quiet: std::pin::Pin<&mut Sleep>, by: Duration) {
    quiet.reset(Instant::now() + by);
}

/// Doubles with every failure in a row up to the cap; no jitter, so that a replay waits the same.
fn backoff(options: &Options, failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    options.backoff_first.saturating_mul(factor).min(options.backoff_max)
}

fn short(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
