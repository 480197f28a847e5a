//! Who may ask: programs with a bearer token, the page with a session cookie that a one-time token
//! in the printed address was exchanged for; for the metrics alone, who has their own token.

use std::fmt::Write as _;
use std::sync::Mutex;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use rand::TryRngCore;
use rand::rngs::OsRng;
use secrecy::{ExposeSecret, SecretString};

use super::{Shared, problem};

/// Bytes of a token.
const TOKEN_BYTES: usize = 32;
/// Name of the page's cookie.
pub(super) const COOKIE: &str = "tidekeeper_session";

/// A secret of the API, made anew at every start.
#[allow(missing_debug_implementations, reason = "secrets are a type without Debug")]
pub struct Token {
    hex: SecretString,
}

impl Token {
    /// 256 random bits.
    ///
    /// # Errors
    /// When the operating system has no randomness.
    pub fn random() -> std::io::Result<Self> {
        let mut bytes = [0_u8; TOKEN_BYTES];
        OsRng.try_fill_bytes(&mut bytes).map_err(std::io::Error::other)?;
        Ok(Self { hex: hex::encode(bytes).into() })
    }

    /// The text, for the address that is printed and the file the command line reads.
    pub fn expose(&self) -> &str {
        self.hex.expose_secret()
    }

    /// Compares in a time that does not depend on where the texts differ.
    pub(super) fn is(&self, text: &str) -> bool {
        let (own, other) = (self.hex.expose_secret().as_bytes(), text.as_bytes());
        if own.len() != other.len() {
            return false;
        }
        let difference = own.iter().zip(other).fold(0, |seen, (a, b)| seen | (a ^ b));
        std::hint::black_box(difference) == 0
    }

    /// The header that hands the page its session.
    pub(super) fn cookie(&self) -> String {
        let mut text = String::new();
        write!(text, "{COOKIE}={}; HttpOnly; SameSite=Strict; Path=/", self.expose())
            .expect("writing to a string cannot fail");
        text
    }
}

/// Everything that opens the API.
#[allow(missing_debug_implementations, reason = "secrets are a type without Debug")]
pub struct Keys {
    bearer: Token,
    metrics: Token,
    session: Token,
    entry: Mutex<Option<Token>>,
}

impl Keys {
    /// Fresh secrets.
    ///
    /// # Errors
    /// When the operating system has no randomness.
    pub fn random() -> std::io::Result<Self> {
        let (bearer, metrics) = (Token::random()?, Token::random()?);
        Ok(Self { bearer, metrics, session: Token::random()?, entry: Mutex::new(None) })
    }

    /// What programs send.
    pub fn bearer(&self) -> &Token {
        &self.bearer
    }

    /// What a program sends that may read the metrics and nothing else.
    pub fn metrics(&self) -> &Token {
        &self.metrics
    }

    /// A path that lets one browser in, once; an earlier one that was not used is void.
    ///
    /// # Errors
    /// When the operating system has no randomness.
    pub fn entry_path(&self) -> std::io::Result<String> {
        let token = Token::random()?;
        let path = format!("/?token={}", token.expose());
        *self.entry.lock().expect("no holder panics") = Some(token);
        Ok(path)
    }

    /// Exchanges a one-time token for the session's cookie.
    pub(super) fn enter(&self, text: &str) -> Option<String> {
        let mut entry = self.entry.lock().expect("no holder panics");
        entry.take_if(|token| token.is(text)).map(|_| self.session.cookie())
    }
}

/// Lets a request pass with the bearer token, or with the cookie from the page's own origin.
pub(super) async fn require(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    if bearer(headers).is_some_and(|token| shared.keys.bearer.is(token)) {
        return next.run(request).await;
    }
    if !cookie(headers).is_some_and(|token| shared.keys.session.is(token)) {
        let detail = "open the address the keeper printed, or send its token as a bearer";
        return problem(StatusCode::UNAUTHORIZED, "not signed in", detail);
    }
    let is_upgrade = headers.contains_key(header::UPGRADE);
    let must_match = is_upgrade || !matches!(*request.method(), Method::GET | Method::HEAD);
    if must_match && !is_own_origin(headers, &shared.origin) {
        let detail = "the request does not come from the keeper's own page";
        return problem(StatusCode::FORBIDDEN, "foreign origin", detail);
    }
    next.run(request).await
}

/// Lets a request for the metrics pass with the token that is good for them alone, or as any other.
pub(super) async fn require_for_metrics(
    shared: State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    if bearer(request.headers()).is_some_and(|token| shared.keys.metrics.is(token)) {
        return next.run(request).await;
    }
    require(shared, request, next).await
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get(header::COOKIE)?.to_str().ok()?;
    all.split(';').find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

fn is_own_origin(headers: &HeaderMap, own: &str) -> bool {
    headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()) == Some(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_passes() {
        let token = Token::random().expect("randomness");
        assert!(token.is(token.expose()));
        assert!(!token.is(&token.expose()[1..]));
        assert!(!token.is(""));
        assert!(!token.is(&"0".repeat(2 * TOKEN_BYTES)));
    }

    #[test]
    fn an_entry_opens_once_and_a_new_one_voids_the_old() {
        let keys = Keys::random().expect("randomness");
        let token = |path: String| path.trim_start_matches("/?token=").to_owned();
        let first = token(keys.entry_path().expect("randomness"));
        assert!(keys.enter("").is_none() && keys.enter(keys.bearer().expose()).is_none());
        assert!(keys.enter(&first).is_some_and(|cookie| cookie.contains("HttpOnly")));
        assert!(keys.enter(&first).is_none(), "it opened twice");
        let second = token(keys.entry_path().expect("randomness"));
        let third = token(keys.entry_path().expect("randomness"));
        assert!(keys.enter(&second).is_none() && keys.enter(&third).is_some());
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "a=b; tidekeeper_session=x; c=d".parse().expect("header"));
        assert_eq!(cookie(&headers), Some("x"));
        headers.insert(header::COOKIE, "tidekeeper_sessionx=x".parse().expect("header"));
        assert_eq!(cookie(&headers), None);
    }
}
