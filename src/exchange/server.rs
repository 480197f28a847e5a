//! The thin layer of HTTP: reads a request, hands it to the venue it belongs to, writes the answer.

use std::future::{Future, IntoFuture};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{ConnectInfo, FromRequestParts, State};
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use crate::exchange::auth::{Params, unsigned};
use crate::exchange::call::Call;
use crate::exchange::door::{Doorman, Peer};
use crate::exchange::errors::{ApiError, Venue};
use crate::exchange::{Shared, clock, control, sockets, spot_rest, usdm_rest};

/// The exchange's heartbeat: how finely the tapes are played.
const PULSE: Duration = Duration::from_millis(20);
/// Largest request body.
const BODY_MAX: usize = 64 * 1024;
/// How long open requests may take to end at shutdown.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(3);

/// Serves until `shutdown` ends.
pub async fn run(
    listener: TcpListener,
    shared: Shared,
    shutdown: impl Future<Output = ()> + Send,
) -> std::io::Result<()> {
    let router = Router::new().fallback(respond).with_state(shared.clone());
    let service = router.into_make_service_with_connect_info::<Peer>();
    let (stop, stopped) = oneshot::channel::<()>();
    let until_stopped = async move {
        // An error means that `run` itself is gone, which is a stop too.
        let _ = stopped.await;
    };
    let server = axum::serve(Doorman(listener), service).with_graceful_shutdown(until_stopped);
    let server = server.into_future();
    tokio::pin!(server, shutdown);
    tokio::select! {
        biased;
        () = &mut shutdown => {}
        result = &mut server => return result,
        () = beat(&shared) => {}
    }
    shared.lock().close();
    drop(stop);
    // Whoever still holds a connection after the wait is dropped with the runtime.
    tokio::time::timeout(SHUTDOWN_WAIT, server).await.unwrap_or(Ok(()))
}

async fn beat(shared: &Shared) {
    let mut pulse = tokio::time::interval(PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        pulse.tick().await;
        shared.lock().advance(clock::now_ms());
    }
}

/// What a request leads to.
struct Reply {
    status: u16,
    body: Value,
    headers: Vec<(&'static str, String)>,
    /// Executed, but the caller never hears of it.
    is_lost: bool,
}

async fn respond(
    State(shared): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request<Body>,
) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    if let Some(entry) = sockets::entry(&path, &query) {
        return match WebSocketUpgrade::from_request_parts(&mut parts, &shared).await {
            Ok(upgrade) => sockets::open(upgrade, shared, entry),
            Err(_) => write(not_found(StatusCode::UPGRADE_REQUIRED)),
        };
    }
    let Ok(bytes) = to_bytes(body, BODY_MAX).await else {
        return write(not_found(StatusCode::PAYLOAD_TOO_LARGE));
    };
    let body = String::from_utf8_lossy(&bytes).into_owned();
    if path.starts_with("/sim/") {
        let now_ms = clock::now_ms();
        let is_local = peer.address.ip().is_loopback();
        let answer =
            control::answer(&mut shared.lock(), parts.method.as_str(), &path, &body, now_ms);
        return match answer {
            Some((status, body)) if is_local => {
                write(Reply { status, body, headers: Vec::new(), is_lost: false })
            }
            _ => write(not_found(StatusCode::NOT_FOUND)),
        };
    }
    let method = parts.method.as_str().to_owned();
    let reply = ask(&shared, method, path, &query, &body, &parts.headers);
    if reply.is_lost {
        peer.cut.cut();
        // The connection dies under this request; nothing is ever written to it.
        std::future::pending::<()>().await;
    }
    write(reply)
}

fn ask(
    shared: &Shared,
    method: String,
    path: String,
    query: &str,
    body: &str,
    headers: &HeaderMap,
) -> Reply {
    let key = headers.get("x-mbx-apikey").and_then(|value| value.to_str().ok());
    let mut core = shared.lock();
    let call = Call {
        method,
        path,
        params: Params::decode(&[query, body]),
        payload: format!("{}{}", unsigned(query), unsigned(body)),
        key: key.map(str::to_owned),
        now_ms: core.stamp(clock::now_ms()),
    };
    let venue = if call.path.starts_with("/fapi/") { Venue::Usdm } else { Venue::Spot };
    let (weight, meter) = match venue {
        Venue::Spot => (spot_rest::weight(&call), &mut core.spot_meter),
        Venue::Usdm => (usdm_rest::weight(&call), &mut core.usdm_meter),
    };
    if let Err((error, wait_s)) = meter.request(weight, call.now_ms) {
        let headers = vec![("retry-after", wait_s.to_string())];
        return refuse(&error, headers);
    }
    let answer = match venue {
        Venue::Spot => spot_rest::answer(&mut core, &call),
        Venue::Usdm => usdm_rest::answer(&mut core, &call),
    };
    let answer = answer.or_else(|| elsewhere(&call).map(Ok));
    let Some(answer) = answer else {
        return not_found(StatusCode::NOT_FOUND);
    };
    let is_order = call.method == "POST" && call.path.ends_with("/order");
    let is_lost = is_order && answer.is_ok() && core.loses_ack();
    let meter = if venue == Venue::Spot { &core.spot_meter } else { &core.usdm_meter };
    let mut headers = vec![("x-mbx-used-weight-1m", meter.used_weight().to_string())];
    if is_order {
        headers.extend(meter.order_headers().map(|(name, count)| (name, count.to_string())));
    }
    match answer {
        Ok(body) => Reply { status: 200, body, headers, is_lost },
        Err(error) => refuse(&error, headers),
    }
}

/// Other parts of the venue that clients ask before they trade: there is nothing in them.
fn elsewhere(call: &Call) -> Option<Value> {
    if call.method == "GET" && call.path.starts_with("/sapi/") {
        return Some(json!([]));
    }
    let is_empty_venue =
        matches!(call.path.as_str(), "/dapi/v1/exchangeInfo" | "/eapi/v1/exchangeInfo");
    is_empty_venue.then(|| {
        json!({"timezone": "UTC", "serverTime": call.now_ms, "rateLimits": [],
            "exchangeFilters": [], "symbols": [], "optionSymbols": []})
    })
}

fn not_found(status: StatusCode) -> Reply {
    let error = ApiError::with_status(status.as_u16(), -1000, "This path is not served here.");
    refuse(&error, Vec::new())
}

fn refuse(error: &ApiError, headers: Vec<(&'static str, String)>) -> Reply {
    Reply { status: error.status, body: error.body(), headers, is_lost: false }
}

fn write(reply: Reply) -> Response<Body> {
    let mut builder = Response::builder()
        .status(reply.status)
        .header(header::CONTENT_TYPE, "application/json;charset=UTF-8");
    for (name, value) in reply.headers {
        builder = builder.header(name, value);
    }
    let built = builder.body(Body::from(reply.body.to_string()));
    built.unwrap_or_else(|_| Response::new(Body::empty()))
}
