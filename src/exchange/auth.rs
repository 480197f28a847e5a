//! Parameters of a request and the proof of who sent it (HMAC-SHA256, the key types of this
//! exchange).

use std::collections::BTreeMap;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::exchange::errors::{ApiError, Venue};
use crate::sim::fixed;

/// Longest `recvWindow`, ms.
const RECV_WINDOW_MAX_MS: i64 = 60_000;
/// `recvWindow` when none is sent, ms.
const RECV_WINDOW_DEFAULT_MS: i64 = 5_000;
/// How far ahead of us a timestamp may be, ms.
const AHEAD_MAX_MS: i64 = 1_000;
/// Timestamps from here on are microseconds.
const MICROSECONDS_FROM: i64 = 100_000_000_000_000;

/// A play-money key pair; its index is the index of its accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Sent with every request.
    pub key: String,
    /// Never sent.
    pub secret: String,
}

/// Decoded parameters. When one is sent twice the first counts: the query stands before the body.
#[derive(Clone, Debug, Default)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// From `a=b&c=d` texts, percent-decoded.
    pub fn decode(parts: &[&str]) -> Self {
        let mut map = BTreeMap::new();
        for pair in parts.iter().flat_map(|part| part.split('&')).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            map.entry(unescape(name)).or_insert_with(|| unescape(value));
        }
        Self(map)
    }

    /// From pairs that need no decoding.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    /// A parameter that is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A parameter that must be there.
    pub fn need(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).ok_or_else(|| ApiError::missing(name))
    }

    /// A whole number, if there.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let parsed = self.get(name).map(|text| text.parse().ok());
        match parsed {
            None => Ok(None),
            Some(Some(value)) => Ok(Some(value)),
            Some(None) => Err(ApiError::illegal(name, "^[0-9]{1,20}$")),
        }
    }

    /// A decimal in 1e-8 units, if there; never negative.
    pub fn decimal(&self, venue: Venue, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        match fixed::parse(text) {
            Ok(value) if value >= 0 => Ok(Some(value)),
            Ok(_) => Err(ApiError::number(venue, name, fixed::FixedError::Malformed)),
            Err(error) => Err(ApiError::number(venue, name, error)),
        }
    }

    /// `limit`, at most `most`, else `default`.
    pub fn limit(&self, default: usize, most: usize) -> Result<usize, ApiError> {
        let limit = self.integer("limit")?.map(|limit| usize::try_from(limit).unwrap_or(0));
        Ok(limit.unwrap_or(default).clamp(1, most))
    }

    /// True for the word `true`.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// All but the signature, sorted: what a WebSocket API request signs.
    pub fn sorted_payload(&self) -> String {
        let signed = self.0.iter().filter(|(name, _)| *name != "signature");
        signed.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }
}

fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let hex = bytes.get(index + 1..index + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        let escaped = hex.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match (bytes[index], escaped) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                index += 2;
            }
            (b'+', _) => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        index += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// A text of parameters without its signature, as the signer saw it.
pub fn unsigned(text: &str) -> String {
    let kept = text.split('&').filter(|pair| !pair.starts_with("signature="));
    kept.collect::<Vec<_>>().join("&")
}

/// The index of a key, or why it is not known.
pub fn account_of(keys: &[ApiKey], key: Option<&str>) -> Result<usize, ApiError> {
    let key = key.filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| ApiError::with_status(401, -2014, "API-key format invalid."))?;
    keys.iter().position(|known| known.key == key).ok_or_else(|| {
        ApiError::with_status(401, -2015, "Invalid API-key, IP, or permissions for action.")
    })
}

/// Verifies time and signature of a signed request and returns the account's index.
pub fn authenticate(
    keys: &[ApiKey],
    key: Option<&str>,
    params: &Params,
    payload: &str,
    now_ms: i64,
) -> Result<usize, ApiError> {
    let account = account_of(keys, key)?;
    admit_time(params, now_ms)?;
    let signature = params.need("signature")?;
    let refused = || ApiError::new(-1022, "Signature for this request is not valid.");
    let signature = hex::decode(signature).map_err(|_| refused())?;
    let secret = keys[account].secret.as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| refused())?;
    mac.update(payload.as_bytes());
    mac.verify_slice(&signature).map_err(|_| refused())?;
    Ok(account)
}

fn admit_time(params: &Params, now_ms: i64) -> Result<(), ApiError> {
    let sent = params.integer("timestamp")?.ok_or_else(|| ApiError::missing("timestamp"))?;
    let sent_ms = if sent >= MICROSECONDS_FROM { sent / 1_000 } else { sent };
    let window = match params.get("recvWindow") {
        None => RECV_WINDOW_DEFAULT_MS,
        Some(text) => {
            let whole = text.split('.').next().unwrap_or(text);
            whole.parse().map_err(|_| ApiError::illegal("recvWindow", "^[0-9]{1,20}$"))?
        }
    };
    if !(0..=RECV_WINDOW_MAX_MS).contains(&window) {
        return Err(ApiError::new(-1131, "recvWindow must be less than 60000"));
    }
    if sent_ms >= now_ms.saturating_add(AHEAD_MAX_MS) {
        let text = "Timestamp for this request was 1000ms ahead of the server's time.";
        return Err(ApiError::new(-1021, text));
    }
    if now_ms.saturating_sub(sent_ms) > window {
        let text = "Timestamp for this request is outside of the recvWindow.";
        return Err(ApiError::new(-1021, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{ApiKey, Params, authenticate, unsigned};

    /// The HMAC example of Binance's spot REST documentation.
    #[test]
    fn the_documented_signature_is_accepted_and_any_other_is_not() {
        let query = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1\
                     &recvWindow=5000&timestamp=1499827319559";
        let signature = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71";
        let keys = [ApiKey {
            key: "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A".into(),
            secret: "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j".into(),
        }];
        let key = Some(keys[0].key.as_str());
        let text = format!("{query}&signature={signature}");
        let params = Params::decode(&[&text]);
        let check = |now: i64, payload: &str| {
            authenticate(&keys, key, &params, payload, now).map_err(|error| error.code)
        };
        assert_eq!(check(1_499_827_319_560, &unsigned(&text)), Ok(0));
        assert_eq!(check(1_499_827_319_560, "other"), Err(-1022));
        assert_eq!(check(1_499_827_324_560, &unsigned(&text)), Err(-1021), "too late");
        assert_eq!(check(1_499_827_318_559, &unsigned(&text)), Err(-1021), "too early");
        let unknown = authenticate(&keys, Some("x"), &params, query, 0);
        assert_eq!(unknown.map_err(|error| error.code), Err(-2015));
    }

    #[test]
    fn parameters_are_decoded_and_the_query_wins() {
        let params = Params::decode(&["a=1%2B1&b=x+y", "a=2&c=%zz"]);
        assert_eq!(params.get("a"), Some("1+1"));
        assert_eq!(params.get("b"), Some("x y"));
        assert_eq!(params.get("c"), Some("%zz"));
    }
}
