//! Binance's two dialects, spot and USD-M futures: bytes to facts and wants to bytes.
//!
//! Knows addresses, field names, sequence rules, error codes and signatures. Must never know a
//! socket or a clock: time, offset and secrets are handed in. Source: Binance's public API
//! documentation, spot and USD-M derivatives, state of 2026.

use serde::{Deserialize, Serialize};

pub mod account;
pub mod facts;
pub mod orders;
pub mod replies;
pub mod sign;
pub mod sync;
pub mod user;
pub mod wire;

/// Which of the two APIs is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Spot: `/api/v3`.
    Spot,
    /// USD-margined perpetuals: `/fapi`.
    UsdM,
}

/// Path of spot's WebSocket API, where the user stream is subscribed.
pub const SPOT_WS_API_PATH: &str = "/ws-api/v3";

impl Dialect {
    /// Socket path of one market's depth diffs; `symbol` in any case.
    pub fn depth_stream_path(self, symbol: &str) -> String {
        let symbol = symbol.to_ascii_lowercase();
        match self {
            Self::Spot => format!("/ws/{symbol}@depth@100ms"),
            Self::UsdM => format!("/public/ws/{symbol}@depth@100ms"),
        }
    }

    /// True for the client id of an order that the venue made itself: a liquidation, an automatic
    /// deleveraging, a settlement. Source: "Event: Order Update" of the USD-M documentation.
    pub fn is_forced(self, client_order_id: &str) -> bool {
        let begins = ["autoclose-", "adl_autoclose", "settlement_autoclose-"];
        self == Self::UsdM && begins.iter().any(|begin| client_order_id.starts_with(begin))
    }
}

/// Socket path of the USD-M user stream for a listen key.
pub fn usdm_user_stream_path(listen_key: &str) -> String {
    format!("/private/ws?listenKey={listen_key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_venue_s_own_orders_are_told_by_their_client_ids() {
        for id in ["autoclose-1596107620040000020", "adl_autoclose", "settlement_autoclose-7"] {
            assert!(Dialect::UsdM.is_forced(id) && !Dialect::Spot.is_forced(id), "{id}");
        }
        for id in ["tk0123456789abcdef0123456789abcd", "web_autoclose-1", ""] {
            assert!(!Dialect::UsdM.is_forced(id), "{id}");
        }
    }

    #[test]
    fn stream_paths_are_lower_case_and_split_by_kind() {
        assert_eq!(Dialect::Spot.depth_stream_path("ETHUSDT"), "/ws/ethusdt@depth@100ms");
        assert_eq!(Dialect::UsdM.depth_stream_path("ETHUSDT"), "/public/ws/ethusdt@depth@100ms");
        assert_eq!(usdm_user_stream_path("k1"), "/private/ws?listenKey=k1");
    }
}
