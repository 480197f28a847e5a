//! Signatures, the only place that sees a secret.
//!
//! REST: parameters are percent-encoded first and the encoded text is signed (the order Binance
//! enforces since 2026-01-15). WebSocket API: parameters are sorted by name and signed as raw
//! UTF-8. Both are HMAC-SHA256, written as lower-case hex. Time is handed in.

use std::fmt;

use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::Sha256;

use crate::{
    model::time::Timestamp,
    venues::binance::orders::{Auth, Method, Request},
};

/// Longest `recvWindow` the venue takes.
pub const RECV_WINDOW_MS_MAX: u32 = 60_000;

/// An API key and its HMAC secret. Deliberately without `Debug`.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "secrets are a type without Debug")]
pub struct Credentials {
    /// Sent in the `X-MBX-APIKEY` header.
    pub api_key: SecretString,
    /// Never sent.
    pub secret: SecretString,
}

/// The time a signature speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Our clock.
    pub now: Timestamp,
    /// Venue's clock minus ours, in milliseconds, measured by round trip.
    pub offset_ms: i64,
    /// How long the venue may take to accept it; at most `RECV_WINDOW_MS_MAX`.
    pub recv_window_ms: u32,
}

impl Stamp {
    fn venue_ms(&self) -> i64 {
        self.now.plus_ms(self.offset_ms).ms()
    }

    fn window_ms(&self) -> u32 {
        self.recv_window_ms.min(RECV_WINDOW_MS_MAX)
    }
}

/// A request as it goes over the wire, apart from the host.
#[derive(Clone)]
pub struct SignedRequest {
    /// HTTP verb.
    pub method: Method,
    /// Path and query, encoded and signed.
    pub target: String,
    /// Value of the `X-MBX-APIKEY` header, if the endpoint wants one.
    pub api_key: Option<SecretString>,
    /// Request weight, for the rate limit.
    pub weight: u32,
}

impl fmt::Debug for SignedRequest {
    /// Without the query: a signature is good for as long as its window.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.target.split('?').next().unwrap_or_default();
        write!(f, "SignedRequest({} {path})", self.method)
    }
}

/// Encodes a request and signs it if it must be signed. All parameters travel in the query, which
/// every endpoint of both dialects accepts for every verb.
pub fn sign(request: &Request, credentials: &Credentials, stamp: &Stamp) -> SignedRequest {
    let mut query = encode_query(&request.params);
    if request.auth == Auth::Signed {
        if !query.is_empty() {
            query.push('&');
        }
        let (window, now) = (stamp.window_ms(), stamp.venue_ms());
        query.push_str(&format!("recvWindow={window}&timestamp={now}"));
        let signature = hmac_hex(&credentials.secret, &query);
        query.push_str("&signature=");
        query.push_str(&signature);
    }
    let target = match query.as_str() {
        "" => request.path.to_owned(),
        query => format!("{}?{query}", request.path),
    };
    let api_key = match request.auth {
        Auth::Public => None,
        Auth::Key | Auth::Signed => Some(credentials.api_key.clone()),
    };
    SignedRequest { method: request.method, target, api_key, weight: request.weight }
}

/// Encodes a request that needs neither key nor signature; `None` if it does need one.
pub fn unsigned(request: &Request) -> Option<SignedRequest> {
    if request.auth != Auth::Public {
        return None;
    }
    let query = encode_query(&request.params);
    let mark = if query.is_empty() { "" } else { "?" };
    Some(SignedRequest {
        method: request.method,
        target: format!("{}{mark}{query}", request.path),
        api_key: None,
        weight: request.weight,
    })
}

/// The frame that subscribes a spot WebSocket API connection to the account's events. The answer
/// carries the same `id`.
pub fn subscribe_user_stream(id: u64, credentials: &Credentials, stamp: &Stamp) -> String {
    let api_key = credentials.api_key.expose_secret();
    let (window, now) = (stamp.window_ms(), stamp.venue_ms());
    let (window_text, now_text) = (window.to_string(), now.to_string());
    let params = [("apiKey", api_key), ("recvWindow", &window_text), ("timestamp", &now_text)];
    let signature = ws_signature(&params, &credentials.secret);
    json!({
        "id": id,
        "method": "userDataStream.subscribe.signature",
        "params": {
            "apiKey": api_key,
            "recvWindow": window,
            "timestamp": now,
            "signature": signature,
        },
    })
    .to_string()
}

/// Signature of WebSocket API parameters (all but `signature` itself).
pub fn ws_signature(params: &[(&str, &str)], secret: &SecretString) -> String {
    let mut sorted = params.to_vec();
    sorted.sort_unstable();
    let pairs: Vec<String> = sorted.iter().map(|(name, value)| format!("{name}={value}")).collect();
    hmac_hex(secret, &pairs.join("&"))
}

fn encode_query(params: &[(&'static str, String)]) -> String {
    let pairs: Vec<String> = params
        .iter()
        .map(|(name, value)| format!("{}={}", percent_encode(name), percent_encode(value)))
        .collect();
    pairs.join("&")
}

/// RFC 3986: everything but the unreserved characters becomes `%XX`.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn hmac_hex(secret: &SecretString, message: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .expect("HMAC takes a key of any length");
    mac.update(message.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const VECTORS: &str = include_str!("../../../tests/data/binance/signing_vectors.json");

    fn vector(id: &str) -> (SecretString, String, String) {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let found = vectors.as_array().unwrap().iter().find(|v| v["id"] == id).unwrap();
        let text = |field: &str| found[field].as_str().unwrap().to_owned();
        (text("secret").into(), text("message"), text("signature"))
    }

    fn stamp(now_ms: i64) -> Stamp {
        Stamp { now: Timestamp::from_ms(now_ms), offset_ms: 0, recv_window_ms: 5_000 }
    }

    fn order(symbol: &str, price_last: &[(&'static str, &str)]) -> Request {
        let mut params = vec![("symbol", symbol.to_owned()), ("side", "BUY".to_owned())];
        params.push(("type", "LIMIT".to_owned()));
        params.extend(price_last.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Request { method: Method::Post, path: "/p", params, auth: Auth::Signed, weight: 1 }
    }

    fn check_rest(id: &str, request: &Request, now_ms: i64) {
        let (secret, message, signature) = vector(id);
        let credentials = Credentials { api_key: "key".into(), secret };
        let signed = sign(request, &credentials, &stamp(now_ms));
        assert_eq!(signed.target, format!("/p?{message}&signature={signature}"), "{id}");
        assert_eq!(signed.api_key.unwrap().expose_secret(), "key");
    }

    #[test]
    fn rest_encodes_then_signs_like_the_published_vectors() {
        let spot = [("timeInForce", "GTC"), ("quantity", "1"), ("price", "0.1")];
        check_rest("binance-spot-rest-hmac-ascii", &order("LTCBTC", &spot), 1_499_827_319_559);
        let wide = order("１２３４５６", &spot);
        let id = "binance-spot-rest-hmac-nonascii-percent-encoded";
        check_rest(id, &wide, 1_499_827_319_559);
        let usdm = [("quantity", "1"), ("price", "9000"), ("timeInForce", "GTC")];
        check_rest("binance-usdm-rest-hmac", &order("BTCUSDT", &usdm), 1_591_702_613_943);
    }

    #[test]
    fn ws_api_sorts_and_signs_raw_text_like_the_published_vectors() {
        for id in ["binance-spot-wsapi-hmac-ascii", "binance-spot-wsapi-hmac-utf8-not-encoded"] {
            let (secret, message, signature) = vector(id);
            let mut params: Vec<(&str, &str)> =
                message.split('&').map(|pair| pair.split_once('=').unwrap()).collect();
            params.reverse();
            assert_eq!(ws_signature(&params, &secret), signature, "{id}");
        }
    }

    #[test]
    fn subscription_carries_its_own_signature() {
        let credentials = Credentials { api_key: "k".into(), secret: "s".into() };
        let frame = subscribe_user_stream(7, &credentials, &stamp(1_000));
        let frame: Value = serde_json::from_str(&frame).unwrap();
        let message = "apiKey=k&recvWindow=5000&timestamp=1000";
        assert_eq!(frame["params"]["signature"], hmac_hex(&"s".into(), message));
        assert_eq!(frame["method"], "userDataStream.subscribe.signature");
        assert_eq!(frame["id"], 7);
    }

    #[test]
    fn stamp_adds_the_offset_and_caps_the_window() {
        let credentials = Credentials { api_key: "k".into(), secret: "s".into() };
        let now = Timestamp::from_ms(1_000);
        let stamp = Stamp { now, offset_ms: -250, recv_window_ms: 90_000 };
        let mut request = order("X", &[]);
        request.params.clear();
        let signed = sign(&request, &credentials, &stamp);
        let beginning = "/p?recvWindow=60000&timestamp=750&signature=";
        assert!(signed.target.starts_with(beginning), "{}", signed.target);
    }

    #[test]
    fn only_what_must_be_signed_is_signed() {
        let credentials = Credentials { api_key: "k".into(), secret: "s".into() };
        let check = |auth, target: &str, has_key: bool, is_unsigned: bool| {
            let params = vec![("a", "b c".to_owned())];
            let request = Request { method: Method::Get, path: "/p", params, auth, weight: 3 };
            let signed = sign(&request, &credentials, &stamp(1));
            assert!(signed.target.starts_with(target), "{}", signed.target);
            assert_eq!(signed.api_key.is_some(), has_key);
            assert_eq!(unsigned(&request).map(|r| r.target), is_unsigned.then_some(signed.target));
        };
        check(Auth::Public, "/p?a=b%20c", false, true);
        check(Auth::Key, "/p?a=b%20c", true, false);
        check(Auth::Signed, "/p?a=b%20c&recvWindow=5000&timestamp=1&signature=", true, false);
    }

    #[test]
    fn debug_shows_neither_key_nor_signature() {
        let credentials = Credentials { api_key: "secretkey".into(), secret: "s".into() };
        let signed = sign(&order("X", &[]), &credentials, &stamp(1));
        assert_eq!(format!("{signed:?}"), "SignedRequest(POST /p)");
    }
}
