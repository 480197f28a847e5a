//! WebSockets: one task per socket that moves text between the hub and the wire.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::Response;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};

use crate::exchange::auth::Params;
use crate::exchange::core::Core;
use crate::exchange::hub::{Door, Wrap};
use crate::exchange::{Shared, ws_api};

/// Largest message a client may send.
const MESSAGE_MAX: usize = 64 * 1024;
/// A client that does not take a message within this time is cut.
const SEND_WAIT: Duration = Duration::from_secs(10);

/// Where a socket came in and what it asked for in its path.
#[derive(Debug)]
pub struct Entry {
    door: Door,
    wrap: Wrap,
    streams: Vec<String>,
    wanted: BTreeSet<String>,
}

/// What a path means as a socket, if it is one.
pub fn entry(path: &str, query: &str) -> Option<Entry> {
    if path == "/ws-api/v3" {
        let (streams, wanted) = (Vec::new(), BTreeSet::new());
        return Some(Entry { door: Door::SpotApi, wrap: Wrap::Raw, streams, wanted });
    }
    let (door, rest) = [
        ("/public", Door::UsdmPublic),
        ("/market", Door::UsdmMarket),
        ("/private", Door::UsdmPrivate),
    ]
    .into_iter()
    .find_map(|(prefix, door)| path.strip_prefix(prefix).map(|rest| (door, rest)))
    // ccxt tells spot from futures by "/stream" in the address, so its base may be "/stream/ws".
    .unwrap_or((
        Door::Spot,
        path.strip_prefix("/stream").filter(|r| r.starts_with("/ws")).unwrap_or(path),
    ));
    let params = Params::decode(&[query]);
    let split = |text: &str| text.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect();
    let listed = |name: &str| -> Vec<String> { params.get(name).map(split).unwrap_or_default() };
    let (wrap, mut streams) = match rest.trim_end_matches('/') {
        "/ws" => (Wrap::Raw, Vec::new()),
        "/stream" => (Wrap::Combined, listed("streams")),
        other => (Wrap::Raw, split(other.strip_prefix("/ws/")?)),
    };
    if door == Door::UsdmPrivate {
        streams.extend(listed("listenKey"));
    }
    Some(Entry { door, wrap, streams, wanted: listed("events").into_iter().collect() })
}

/// Answers the upgrade and starts the socket's task, which ends with the socket or when the hub
/// cuts it.
pub fn open(upgrade: WebSocketUpgrade, shared: Shared, entry: Entry) -> Response<Body> {
    let upgrade = upgrade.max_message_size(MESSAGE_MAX).max_frame_size(MESSAGE_MAX);
    upgrade.on_upgrade(move |socket| run(socket, shared, entry))
}

/// How often the venue pings and how long it waits for the pong.
fn keepalive(door: Door) -> (Duration, Duration) {
    match door {
        Door::Spot | Door::SpotApi => (Duration::from_secs(20), Duration::from_secs(60)),
        _ => (Duration::from_secs(180), Duration::from_secs(600)),
    }
}

async fn run(mut socket: WebSocket, shared: Shared, entry: Entry) {
    let door = entry.door;
    let joined = shared.lock().join(door, entry.wrap);
    let Some((id, mut queue)) = joined else {
        return;
    };
    {
        let mut core = shared.lock();
        core.hub.subscribe(id, entry.streams);
        core.hub.want(id, entry.wanted);
    }
    let (ping_every, pong_wait) = keepalive(door);
    let mut ping = tokio::time::interval_at(Instant::now() + ping_every, ping_every);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_pong = Instant::now();
    loop {
        let message = tokio::select! {
            biased;
            _ = ping.tick() => {
                if last_pong.elapsed() > pong_wait + ping_every {
                    break;
                }
                Message::Ping(Bytes::from(crate::exchange::clock::now_ms().to_string()))
            }
            incoming = socket.recv() => match incoming {
                Some(Ok(Message::Text(text))) => match reply(&shared, door, id, &text) {
                    Some(reply) => Message::Text(reply.to_string().into()),
                    None => break,
                },
                Some(Ok(Message::Pong(_))) => {
                    last_pong = Instant::now();
                    continue;
                }
                Some(Ok(Message::Ping(_) | Message::Binary(_))) => continue,
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
            },
            queued = queue.recv() => match queued {
                Some(text) => Message::Text(text),
                None => break,
            },
        };
        let sent = tokio::time::timeout(SEND_WAIT, socket.send(message)).await;
        if !matches!(sent, Ok(Ok(()))) {
            break;
        }
    }
    shared.lock().hub.leave(id);
}

/// The answer to one message; `None` ends the socket without one.
fn reply(shared: &Shared, door: Door, id: u64, text: &str) -> Option<Value> {
    let mut core = shared.lock();
    if door == Door::SpotApi {
        return ws_api::reply(&mut core, id, text);
    }
    let Ok(message) = serde_json::from_str::<Value>(text) else {
        return Some(json!({"error": {"code": 3, "msg": "Invalid JSON"}, "id": null}));
    };
    Some(command(&mut core, id, &message))
}

fn command(core: &mut Core, id: u64, message: &Value) -> Value {
    let tag = message.get("id").cloned().unwrap_or(Value::Null);
    let params = message.get("params").and_then(Value::as_array);
    let names: Vec<String> = params
        .map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    let result = match message.get("method").and_then(Value::as_str) {
        Some("SUBSCRIBE") => {
            if !core.hub.subscribe(id, names) {
                return json!({"error": {"code": 2, "msg": "Too many subscriptions"}, "id": tag});
            }
            Value::Null
        }
        Some("UNSUBSCRIBE") => {
            core.hub.unsubscribe(id, &names);
            Value::Null
        }
        Some("LIST_SUBSCRIPTIONS") => json!(core.hub.streams(id)),
        Some("SET_PROPERTY") => {
            let value = params.and_then(|list| list.get(1)).and_then(Value::as_bool);
            let wrap = if value == Some(true) { Wrap::Combined } else { Wrap::Raw };
            core.hub.set_wrap(id, wrap);
            Value::Null
        }
        Some("GET_PROPERTY") => json!(core.hub.wrap(id) == Wrap::Combined),
        _ => {
            let error = json!({"code": 2, "msg": "Invalid request: unknown method"});
            return json!({"error": error, "id": tag});
        }
    };
    json!({"result": result, "id": tag})
}

#[cfg(test)]
mod tests {
    use super::entry;
    use crate::exchange::hub::{Door, Wrap};

    #[test]
    fn paths_lead_through_their_doors() {
        for (path, query, door, wrap, streams) in [
            ("/ws", "", Door::Spot, Wrap::Raw, vec![]),
            ("/ws/0", "", Door::Spot, Wrap::Raw, vec!["0"]),
            ("/ws/a@depth/b@trade", "", Door::Spot, Wrap::Raw, vec!["a@depth", "b@trade"]),
            (
                "/stream",
                "streams=a@depth/b@trade",
                Door::Spot,
                Wrap::Combined,
                vec!["a@depth", "b@trade"],
            ),
            ("/public/stream", "", Door::UsdmPublic, Wrap::Combined, vec![]),
            ("/market/ws", "", Door::UsdmMarket, Wrap::Raw, vec![]),
            ("/private/ws", "listenKey=k&events=A/B", Door::UsdmPrivate, Wrap::Raw, vec!["k"]),
            ("/private/ws/k", "", Door::UsdmPrivate, Wrap::Raw, vec!["k"]),
            ("/ws-api/v3", "", Door::SpotApi, Wrap::Raw, vec![]),
        ] {
            let found = entry(path, query).unwrap();
            assert_eq!((found.door, found.wrap), (door, wrap), "{path}");
            assert_eq!(found.streams, streams, "{path}");
        }
        assert!(entry("/api/v3/order", "").is_none());
    }
}
