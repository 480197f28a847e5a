//! URLs and socket addresses, and whether they lead off this machine.

use std::net::{IpAddr, SocketAddr};

use crate::config::problem::Fault;
use crate::config::secret::shown;
use crate::config::values::{Kind, Shape, TEXT_CHARS_MAX};

/// Whether and where a URL may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Only this machine: remote node URLs usually carry a key and come from the environment.
    Loopback,
    /// Anywhere when encrypted, this machine without.
    Encrypted,
}

/// `ws://` or `http://` on this machine, or their encrypted forms where `reach` allows.
pub(super) fn url(scheme: &'static str, reach: Reach) -> Kind<String> {
    let example = format!("\"{scheme}://127.0.0.1:8545\"");
    Kind::new(Shape::Text, example, move |text| {
        let Some((found, host)) = split_url(text) else {
            return Err(Fault::new(
                "is not a plain URL (hidden: it may carry a key)",
                format!("{scheme}://host:port/path without user, query or fragment"),
            ));
        };
        let is_plain = found == scheme;
        if !is_plain && found.strip_suffix('s') != Some(scheme) {
            let what = format!("begins with {found}:// where {scheme}:// or {scheme}s:// belongs");
            return Err(Fault::new(what, format!("write {scheme}s://…")));
        }
        match reach {
            _ if is_loopback(&host) => Ok(text.to_owned()),
            Reach::Loopback => Err(Fault::new(
                format!("leads to {host}; only URLs of this machine may stand in a file"),
                "put the URL in the environment and name it with the _env key instead",
            )),
            Reach::Encrypted if is_plain => Err(Fault::new(
                format!("sends keys to {host} without encryption"),
                format!("write {scheme}s://…"),
            )),
            Reach::Encrypted => Ok(text.to_owned()),
        }
    })
}

/// Whether a checked URL leads to this machine.
pub(super) fn is_loopback_url(url: &str) -> bool {
    split_url(url).is_some_and(|(_, host)| is_loopback(&host))
}

/// Scheme and host of `scheme://host[:port][/path]`, of plain characters only, so that no two
/// readers can disagree about which part is the host.
fn split_url(url: &str) -> Option<(&str, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || ".:[]/_-".contains(c);
    if url.len() > TEXT_CHARS_MAX || !rest.chars().all(is_allowed) {
        return None;
    }
    let authority = rest.split('/').next()?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => v6.split_once(']')?,
        None => match authority.split_once(':') {
            Some((host, port)) => (host, &authority[authority.len() - port.len() - 1..]),
            None => (authority, ""),
        },
    };
    let is_port =
        port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.parse::<u16>().is_ok());
    (is_port && !host.is_empty()).then(|| (scheme, host.to_owned()))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The address the API listens on: this machine only, since it has no TLS of its own yet.
pub(super) fn listen() -> Kind<SocketAddr> {
    Kind::new(Shape::Text, "\"127.0.0.1:8787\"", |text| {
        let Ok(socket) = text.parse::<SocketAddr>() else {
            let what = format!("{} is not an IP address and port", shown(text));
            return Err(Fault::new(what, "for example \"127.0.0.1:8787\""));
        };
        if socket.ip().is_loopback() {
            return Ok(socket);
        }
        Err(Fault::new(
            format!("{socket} can be reached from other machines; only loopback is allowed"),
            "listen on 127.0.0.1 and reach it through an SSH tunnel",
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::{Reach, listen, url};

    #[test]
    fn urls_say_where_they_lead() {
        let node = url("ws", Reach::Loopback);
        for good in ["ws://127.0.0.1:8545", "ws://localhost/x", "ws://[::1]:1", "wss://127.0.0.1"] {
            assert!(node.parse(good).is_ok(), "{good}");
        }
        for bad in [
            "ws://127.0.0.1@evil.example",
            "ws://127.0.0.1\\@evil.example",
            "ws://evil.example",
            "wss://evil.example",
            "http://127.0.0.1",
            "ws://",
            "ws://127.0.0.1:99999",
            "ws://127.0.0.1.evil.example",
        ] {
            assert!(node.parse(bad).is_err(), "{bad}");
        }
        let venue = url("http", Reach::Encrypted);
        assert!(venue.parse("https://fapi.binance.com").is_ok());
        assert!(venue.parse("http://fapi.binance.com").is_err());
    }

    #[test]
    fn api_listens_on_this_machine() {
        assert!(listen().parse("127.0.0.1:8787").is_ok());
        assert!(listen().parse("0.0.0.0:8787").is_err());
        assert!(listen().parse("localhost:8787").is_err());
    }
}
