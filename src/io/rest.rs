//! One HTTP client for one venue's REST host.
//!
//! Knows bytes, time limits and the difference between "it never left" and "nobody knows". Must
//! never retry: whether to ask again is a decision about money, and not made here.

use std::{error::Error, time::Duration};

use reqwest::{
    Client, Url,
    header::{HeaderMap, HeaderValue},
    redirect, retry,
};
use secrecy::ExposeSecret;

use crate::venues::binance::{orders::Method, sign::SignedRequest};

/// Bounds of one client.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Patience for TCP and TLS; running out of it proves that nothing was sent.
    pub connect_timeout: Duration,
    /// Patience for the whole exchange after that.
    pub timeout: Duration,
    /// Largest body taken.
    pub body_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            // The venue's own limit is 10 s, after which it says that it does not know.
            timeout: Duration::from_secs(11),
            body_bytes_max: 32 * 1024 * 1024,
        }
    }
}

/// An answer, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestReply {
    /// HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
    /// Request weight used in this minute, as the venue counts it.
    pub used_weight_1m: Option<u32>,
    /// Orders sent in these ten seconds, as the venue counts them.
    pub order_count_10s: Option<u32>,
    /// How long to stay silent, in seconds (429 and 418).
    pub retry_after_s: Option<u64>,
}

/// No answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestError {
    /// The request cannot have reached the venue.
    #[error("not sent: {why}")]
    NotSent {
        /// For people.
        why: String,
    },
    /// The request may have reached the venue and may have been obeyed.
    #[error("sent, answer unknown: {why}")]
    Unknown {
        /// For people.
        why: String,
    },
}

/// A client of one host.
#[derive(Clone, Debug)]
pub struct RestClient {
    client: Client,
    base: Url,
    body_bytes_max: usize,
}

impl RestClient {
    /// A client for `base_url` (scheme, host and port). Follows no redirects, repeats nothing and
    /// uses no proxy: a signed request goes where it was signed for or nowhere.
    ///
    /// # Errors
    /// `NotSent` when the address is unusable or TLS cannot be set up.
    pub fn new(base_url: &str, options: Options) -> Result<Self, RestError> {
        let base = Url::parse(base_url)
            .map_err(|e| RestError::NotSent { why: format!("address {base_url}: {e}") })?;
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .connect_timeout(options.connect_timeout)
            // Later than the connect timeout, or else an unsent request would look ambiguous.
            .timeout(options.connect_timeout + options.timeout)
            .build()
            .map_err(|e| RestError::NotSent { why: chain(&e) })?;
        Ok(Self { client, base, body_bytes_max: options.body_bytes_max })
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// `NotSent` when no connection came to be, `Unknown` for everything after.
    pub async fn send(&self, request: &SignedRequest) -> Result<RestReply, RestError> {
        let url = self
            .base
            .join(&request.target)
            .map_err(|e| RestError::NotSent { why: format!("path: {e}") })?;
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut call = self.client.request(method, url);
        if let Some(key) = &request.api_key {
            let mut value = HeaderValue::from_str(key.expose_secret())
                .map_err(|e| RestError::NotSent { why: format!("api key: {e}") })?;
            value.set_sensitive(true);
            call = call.header("X-MBX-APIKEY", value);
        }
        let response = call.send().await.map_err(|e| unanswered(&e))?;
        let status = response.status().as_u16();
        let headers = response.headers();
        let mut reply = RestReply {
            status,
            body: Vec::new(),
            used_weight_1m: number(headers, "x-mbx-used-weight-1m"),
            order_count_10s: number(headers, "x-mbx-order-count-10s"),
            retry_after_s: number(headers, "retry-after"),
        };
        reply.body = self.body(response).await?;
        Ok(reply)
    }

    async fn body(&self, mut response: reqwest::Response) -> Result<Vec<u8>, RestError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| unanswered(&e))? {
            if body.len() + chunk.len() > self.body_bytes_max {
                let why = format!("the answer is larger than {} bytes", self.body_bytes_max);
                return Err(RestError::Unknown { why });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// Only a failure to connect (DNS, TCP, TLS) or to build the request proves that nothing was sent.
fn unanswered(error: &reqwest::Error) -> RestError {
    let why = chain(error);
    if error.is_connect() || error.is_builder() {
        return RestError::NotSent { why };
    }
    RestError::Unknown { why }
}

/// The error and its causes, without the address: its query holds a signature.
fn chain(error: &reqwest::Error) -> String {
    let mut words = Vec::new();
    let mut cause = error.source();
    while let Some(inner) = cause {
        words.push(inner.to_string());
        cause = inner.source();
    }
    if error.is_timeout() {
        words.insert(0, "timed out".to_owned());
    }
    if words.is_empty() {
        words.push("http failed".to_owned());
    }
    words.join(": ")
}

fn number<T: std::str::FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        task::JoinHandle,
    };

    use super::*;

    fn options() -> Options {
        Options {
            connect_timeout: Duration::from_millis(500),
            timeout: Duration::from_millis(500),
            body_bytes_max: 100,
        }
    }

    fn request(method: Method, target: &str) -> SignedRequest {
        let api_key = Some("key-1".into());
        SignedRequest { method, target: target.to_owned(), api_key, weight: 1 }
    }

    /// A peer that reads one request head, writes `answer` and hangs up; gives the head back.
    async fn peer(answer: &'static str) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4_096];
            let n = stream.read(&mut head).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(head[..n].to_vec()).unwrap()
        });
        (url, task)
    }

    async fn send(url: &str, target: &str) -> Result<RestReply, RestError> {
        RestClient::new(url, options()).unwrap().send(&request(Method::Delete, target)).await
    }

    #[tokio::test]
    async fn the_signed_target_goes_out_byte_for_byte_and_the_answer_comes_back() {
        let answer = "HTTP/1.1 429 Slow\r\nX-MBX-USED-WEIGHT-1M: 1200\r\nRetry-After: 7\r\n\
                      X-MBX-ORDER-COUNT-10S: 3\r\nContent-Length: 2\r\n\r\n{}";
        let (url, peer) = peer(answer).await;
        let target = "/api/v3/order?symbol=%EF%BC%91&a=b%20c&signature=0f";
        let reply = send(&url, target).await.unwrap();
        let head = peer.await.unwrap();
        assert!(head.starts_with(&format!("DELETE {target} HTTP/1.1\r\n")), "{head}");
        assert!(head.to_ascii_lowercase().contains("x-mbx-apikey: key-1\r\n"), "{head}");
        let expected = RestReply {
            status: 429,
            body: b"{}".to_vec(),
            used_weight_1m: Some(1_200),
            order_count_10s: Some(3),
            retry_after_s: Some(7),
        };
        assert_eq!(reply, expected);
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_not_followed() {
        let answer =
            "HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
        let (url, _peer) = peer(answer).await;
        assert_eq!(send(&url, "/x").await.unwrap().status, 307);
    }

    #[tokio::test]
    async fn a_refused_connection_proves_that_nothing_was_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = send(&url, "/x?signature=0f").await.unwrap_err();
        assert!(matches!(error, RestError::NotSent { .. }), "{error}");
        assert!(!error.to_string().contains("signature"), "{error}");
    }

    #[tokio::test]
    async fn whatever_fails_after_sending_is_unknown() {
        let check = async |answer: &'static str, why: &str| {
            let (url, _peer) = peer(answer).await;
            let error = send(&url, "/x?signature=0f").await.unwrap_err();
            assert!(matches!(error, RestError::Unknown { .. }), "{why}: {error}");
            assert!(!error.to_string().contains("signature"), "{error}");
        };
        check("", "hung up before answering").await;
        check("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", "hung up within the body").await;
        check("garbage\r\n\r\n", "not http").await;
        const LONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n\
            0123456789012345678901234567890123456789012345678901234567890123456789\
            0123456789012345678901234567890";
        check(LONG, "larger than the bound").await;
    }

    #[tokio::test]
    async fn silence_is_unknown() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let error = send(&url, "/x").await.unwrap_err();
        let RestError::Unknown { why } = error else { panic!("{error}") };
        assert!(why.contains("timed out"), "{why}");
    }

    #[test]
    fn an_unusable_address_is_refused_at_once() {
        assert!(matches!(RestClient::new("no address", options()), Err(RestError::NotSent { .. })));
    }
}
