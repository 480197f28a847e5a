//! One WebSocket stream: whole snapshots with a sequence number of the connection.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::{ROOT, Shared, openapi};
use crate::io::clock;

/// At most four documents a second reach a page.
const FRAME_EVERY: Duration = Duration::from_millis(250);
/// The other side must show life so often.
const PING_EVERY: Duration = Duration::from_secs(15);
/// A page that takes longer for one frame is cut off; it will come back.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// One message of the stream.
#[derive(Serialize, ToSchema)]
struct Frame<'a> {
    /// Grows by 1; each connection begins with 1.
    seq: u64,
    /// Always `snapshot`.
    topic: &'static str,
    /// When it was sent, unix ms.
    ts_ms: i64,
    #[schema(schema_with = openapi::published)]
    body: &'a Value,
}

/// A WebSocket that sends the whole document, at most four times a second.
#[utoipa::path(
    get, path = "/stream", context_path = ROOT, tag = openapi::KEEPER, operation_id = "stream",
    responses((status = 101, description = "Every text message is a frame.", body = Frame))
)]
pub(super) async fn open(State(shared): State<Shared>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| feed(socket, shared.door.document))
}

async fn feed(mut socket: WebSocket, documents: watch::Receiver<Option<Arc<Value>>>) {
    let mut seq = 0_u64;
    let mut frames = tokio::time::interval(FRAME_EVERY);
    let mut pings = tokio::time::interval(PING_EVERY);
    loop {
        let message = tokio::select! {
            _ = frames.tick() => {
                let Some(document) = documents.borrow().clone() else { continue };
                seq += 1;
                frame(seq, &document)
            }
            _ = pings.tick() => Message::Ping(Vec::new().into()),
            heard = socket.recv() => match heard {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
        };
        let sent = tokio::time::timeout(SEND_TIMEOUT, socket.send(message)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

fn frame(seq: u64, document: &Value) -> Message {
    let frame = Frame { seq, topic: "snapshot", ts_ms: clock::now().ms(), body: document };
    let text = serde_json::to_string(&frame).expect("a document is JSON");
    Message::Text(text.into())
}
