//! Who listens to what. Payloads are written once and handed to bounded queues; a listener that
//! does not keep up is cut off rather than waited for, and never loses an event silently.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::ws::Utf8Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Messages that may wait for one socket before it is cut.
pub const SOCKET_QUEUE: usize = 16_384;
/// Sockets at once.
pub const SOCKETS_MAX: usize = 512;
/// Streams of one socket (the venue's limit).
pub const STREAMS_MAX: usize = 1_024;

/// The door a socket came through; streams of one are silent on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Spot market streams.
    Spot,
    /// Futures book streams.
    UsdmPublic,
    /// Futures other market streams.
    UsdmMarket,
    /// Futures user streams; a stream is a listen key.
    UsdmPrivate,
    /// Spot WebSocket API with its user subscriptions.
    SpotApi,
}

/// How payloads are wrapped for one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrap {
    /// As they are.
    Raw,
    /// `{"stream":..,"data":..}`.
    Combined,
}

#[derive(Debug)]
struct Listener {
    queue: mpsc::Sender<Utf8Bytes>,
    door: Door,
    wrap: Wrap,
    streams: BTreeSet<String>,
    /// Event types wanted; empty means all (futures user streams).
    wanted: BTreeSet<String>,
    /// Subscription id and account (spot WebSocket API).
    accounts: BTreeMap<u32, usize>,
    next_subscription: u32,
}

/// A new listener's id and its queue.
pub type Joined = (u64, mpsc::Receiver<Utf8Bytes>);

/// All listeners.
#[derive(Debug, Default)]
pub struct Hub {
    listeners: BTreeMap<u64, Listener>,
    next_id: u64,
}

impl Hub {
    /// A new listener and its queue; `None` when the house is full.
    pub fn join(&mut self, door: Door, wrap: Wrap) -> Option<Joined> {
        if self.listeners.len() >= SOCKETS_MAX {
            return None;
        }
        let (queue, receiver) = mpsc::channel(SOCKET_QUEUE);
        let listener = Listener {
            queue,
            door,
            wrap,
            streams: BTreeSet::new(),
            wanted: BTreeSet::new(),
            accounts: BTreeMap::new(),
            next_subscription: 0,
        };
        self.next_id += 1;
        self.listeners.insert(self.next_id, listener);
        Some((self.next_id, receiver))
    }

    /// A listener is gone.
    pub fn leave(&mut self, id: u64) {
        self.listeners.remove(&id);
    }

    /// Cuts every socket: their queues end.
    pub fn cut_all(&mut self) {
        self.listeners.clear();
    }

    /// Adds streams; false when there would be too many.
    pub fn subscribe(&mut self, id: u64, streams: Vec<String>) -> bool {
        let Some(listener) = self.listeners.get_mut(&id) else {
            return false;
        };
        if listener.streams.len() + streams.len() > STREAMS_MAX {
            return false;
        }
        listener.streams.extend(streams);
        true
    }

    /// Takes streams away.
    pub fn unsubscribe(&mut self, id: u64, streams: &[String]) {
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.streams.retain(|stream| !streams.contains(stream));
        }
    }

    /// The streams of a listener.
    pub fn streams(&self, id: u64) -> Vec<String> {
        self.listeners.get(&id).map(|l| l.streams.iter().cloned().collect()).unwrap_or_default()
    }

    /// Sets how payloads are wrapped.
    pub fn set_wrap(&mut self, id: u64, wrap: Wrap) {
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.wrap = wrap;
        }
    }

    /// How payloads are wrapped.
    pub fn wrap(&self, id: u64) -> Wrap {
        self.listeners.get(&id).map_or(Wrap::Raw, |listener| listener.wrap)
    }

    /// Limits a futures user stream to these event types; none means all.
    pub fn want(&mut self, id: u64, events: impl IntoIterator<Item = String>) {
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.wanted.extend(events);
        }
    }

    /// Subscribes a spot API socket to an account. Err: it already is.
    pub fn follow(&mut self, id: u64, account: usize) -> Result<u32, u32> {
        let Some(listener) = self.listeners.get_mut(&id) else {
            return Err(0);
        };
        if let Some((subscription, _)) = listener.accounts.iter().find(|(_, a)| **a == account) {
            return Err(*subscription);
        }
        let subscription = listener.next_subscription;
        listener.next_subscription = subscription.wrapping_add(1);
        listener.accounts.insert(subscription, account);
        Ok(subscription)
    }

    /// Ends one subscription of a spot API socket, or all of them. False when there was none.
    pub fn unfollow(&mut self, id: u64, subscription: Option<u32>) -> bool {
        let Some(listener) = self.listeners.get_mut(&id) else {
            return false;
        };
        let before = listener.accounts.len();
        listener.accounts.retain(|known, _| subscription.is_some_and(|s| s != *known));
        listener.accounts.len() < before
    }

    /// Hands a payload to all who subscribed to `stream` behind `door`.
    pub fn publish(&mut self, door: Door, stream: &str, payload: &Value) {
        let kind = payload.get("e").and_then(Value::as_str).unwrap_or_default();
        let (mut raw, mut combined) = (None, None);
        self.listeners.retain(|_, listener| {
            let is_wanted = listener.wanted.is_empty() || listener.wanted.contains(kind);
            if listener.door != door || !is_wanted || !listener.streams.contains(stream) {
                return true;
            }
            let text = match listener.wrap {
                Wrap::Raw => raw.get_or_insert_with(|| Utf8Bytes::from(payload.to_string())),
                Wrap::Combined => combined.get_or_insert_with(|| {
                    Utf8Bytes::from(json!({"stream": stream, "data": payload}).to_string())
                }),
            };
            listener.queue.try_send(text.clone()).is_ok()
        });
    }

    /// Hands a spot user event to all who follow the account.
    pub fn publish_spot_user(&mut self, account: usize, event: &Value) {
        self.listeners.retain(|_, listener| {
            let mut followed = listener.accounts.iter().filter(|(_, a)| **a == account);
            followed.all(|(subscription, _)| {
                let text = json!({"subscriptionId": subscription, "event": event}).to_string();
                listener.queue.try_send(Utf8Bytes::from(text)).is_ok()
            })
        });
    }
}
