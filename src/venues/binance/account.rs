//! Answers about ourselves and the markets' rules: balances, positions, trades, income, filters.
//!
//! Every number is an exact decimal as the venue wrote it; nothing is derived but sums.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    model::{order::Side, time::Timestamp},
    venues::binance::{
        Dialect,
        facts::{Fill, Position, PositionNames},
        wire::{DecodeError, Fields, parse, rows},
    },
};

pub mod filters;

/// What an account holds of one asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// The venue's asset code.
    pub asset: String,
    /// All of it: spot free plus locked, USD-M wallet balance without unrealised profit.
    pub total: Decimal,
    /// What may be used now.
    pub free: Decimal,
}

/// An account at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Every asset the answer names.
    pub balances: Vec<Balance>,
    /// Every position the answer names, empty ones included; none on spot.
    pub positions: Vec<Position>,
}

/// One of our trades, from the trade list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TradeRow {
    /// The venue's symbol.
    pub symbol: String,
    /// The order it belongs to.
    pub venue_order_id: u64,
    /// Buy or sell, from our side.
    pub side: Side,
    /// When it happened.
    pub at: Timestamp,
    /// The execution.
    pub fill: Fill,
}

/// One cash movement of a USD-M account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Income {
    /// The venue's word: `FUNDING_FEE`, `REALIZED_PNL`, `COMMISSION`, `TRANSFER`, ...
    pub kind: String,
    /// The market it came from, if one.
    pub symbol: Option<String>,
    /// Asset of the amount.
    pub asset: String,
    /// Signed: positive is received.
    pub amount: Decimal,
    /// The venue's id, unique within a user and kind.
    pub transaction_id: i64,
    /// When it happened.
    pub at: Timestamp,
}

const BALANCE: &str = "balance";

/// The answer to `account`.
///
/// # Errors
/// When a balance or position lacks a field, or a sum leaves a Decimal.
pub fn account(dialect: Dialect, body: &[u8]) -> Result<Account, DecodeError> {
    let value = parse("account", body)?;
    let fields = Fields::of("account", &value)?;
    match dialect {
        Dialect::Spot => {
            let balances = fields.rows("balances", BALANCE, |row| {
                let (free, locked) = (row.decimal("free")?, row.decimal("locked")?);
                let total = free.checked_add(locked).ok_or_else(|| row.invalid("locked"))?;
                Ok(Balance { asset: row.owned("asset")?, total, free })
            })?;
            Ok(Account { balances, positions: Vec::new() })
        }
        Dialect::UsdM => {
            let balances = fields.rows("assets", BALANCE, |row| {
                Ok(Balance {
                    asset: row.owned("asset")?,
                    total: row.decimal("walletBalance")?,
                    free: row.decimal("availableBalance")?,
                })
            })?;
            let names = PositionNames {
                symbol: "symbol",
                side: "positionSide",
                quantity: "positionAmt",
                entry_price: "entryPrice",
            };
            let positions =
                fields.rows("positions", "position", |row| Position::read(row, &names))?;
            Ok(Account { balances, positions })
        }
    }
}

/// The answer to `trades_since` and `trades_from`.
///
/// # Errors
/// When it is not a list of trades.
pub fn trades(dialect: Dialect, body: &[u8]) -> Result<Vec<TradeRow>, DecodeError> {
    list("trade", body, |row| {
        let (side, maker, realized_pnl) = match dialect {
            Dialect::Spot => {
                let side = if row.truth("isBuyer")? { Side::Buy } else { Side::Sell };
                (side, row.truth("isMaker")?, None)
            }
            Dialect::UsdM => {
                (row.side("side")?, row.truth("maker")?, Some(row.decimal("realizedPnl")?))
            }
        };
        Ok(TradeRow {
            symbol: row.owned("symbol")?,
            venue_order_id: row.u64("orderId")?,
            side,
            at: row.time("time")?,
            fill: Fill {
                trade_id: row.u64("id")?,
                price: row.decimal("price")?,
                quantity: row.decimal("qty")?,
                fee: row.decimal("commission")?,
                fee_asset: row.optional_text("commissionAsset").map(str::to_owned),
                maker: Some(maker),
                realized_pnl,
            },
        })
    })
}

/// The answer to `income_since`.
///
/// # Errors
/// When it is not a list of movements.
pub fn income(body: &[u8]) -> Result<Vec<Income>, DecodeError> {
    list("income", body, |row| {
        Ok(Income {
            kind: row.owned("incomeType")?,
            symbol: row.optional_text("symbol").map(str::to_owned),
            asset: row.owned("asset")?,
            amount: row.decimal("income")?,
            transaction_id: row.i64("tranId")?,
            at: row.time("time")?,
        })
    })
}

/// The key in the answer to creating or prolonging a listen key.
///
/// # Errors
/// When there is none; prolonging may rightly answer `{}`.
pub fn listen_key(body: &[u8]) -> Result<String, DecodeError> {
    let value = parse("listen key", body)?;
    Fields::of("listen key", &value)?.owned("listenKey")
}

/// The venue's clock in the answer to `server_time`.
///
/// # Errors
/// When there is none.
pub fn server_time(body: &[u8]) -> Result<Timestamp, DecodeError> {
    let value = parse("server time", body)?;
    Fields::of("server time", &value)?.time("serverTime")
}

fn list<T>(
    what: &'static str,
    body: &[u8],
    read: impl Fn(Fields<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let value: Value = parse(what, body)?;
    rows(what, &value, read)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::*;
    use crate::venues::binance::facts::PositionSide;

    const SPOT: &str = include_str!("../../../tests/data/binance/spot_replies.json");
    const USDM: &str = include_str!("../../../tests/data/binance/usdm_replies.json");

    fn sample(file: &str, name: &str) -> Vec<u8> {
        let all: Value = serde_json::from_str(file).unwrap();
        serde_json::to_vec(&all[name]).unwrap()
    }

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn spot_total_is_free_plus_locked() {
        let account = account(Dialect::Spot, &sample(SPOT, "account")).unwrap();
        let total = d("10.00000001");
        let eth = Balance { asset: "ETH".to_owned(), total, free: d("7.50000000") };
        assert_eq!((&account.balances[0], account.positions.len()), (&eth, 0));
        assert_eq!(account.balances[0].total.to_string(), "10.00000001");
    }

    #[test]
    fn usdm_account_has_balances_and_signed_positions() {
        let account = account(Dialect::UsdM, &sample(USDM, "account")).unwrap();
        let (total, free) = (d("122624.12345678"), d("122000.00000001"));
        let usdt = Balance { asset: "USDT".to_owned(), total, free };
        assert_eq!(account.balances, [usdt]);
        let short = &account.positions[0];
        assert_eq!((short.side, short.quantity), (PositionSide::Both, d("-12.345")));
        assert_eq!(short.entry_price, None);
    }

    #[test]
    fn trades_of_both_dialects_are_told_alike() {
        let spot = &trades(Dialect::Spot, &sample(SPOT, "trades")).unwrap()[0];
        assert_eq!((spot.side, spot.venue_order_id, spot.fill.trade_id), (Side::Buy, 29, 58));
        assert_eq!((spot.fill.maker, spot.fill.fee), (Some(true), d("0.00075")));
        assert_eq!(spot.fill.realized_pnl, None);
        let usdm = &trades(Dialect::UsdM, &sample(USDM, "trades")).unwrap()[0];
        assert_eq!((usdm.side, usdm.at), (Side::Sell, Timestamp::from_ms(1_780_000_000_200)));
        assert_eq!(usdm.fill.realized_pnl, Some(d("-0.5")));
        assert_eq!(usdm.fill.fee_asset.as_deref(), Some("USDT"));
    }

    #[test]
    fn income_tells_funding_with_its_sign() {
        let rows = income(&sample(USDM, "income")).unwrap();
        assert_eq!((rows[0].kind.as_str(), rows[0].amount), ("FUNDING_FEE", d("-0.37500000")));
        assert_eq!((rows[0].symbol.as_deref(), rows[1].symbol.as_deref()), (Some("ETHUSDT"), None));
    }

    #[test]
    fn small_answers_decode_or_name_what_they_lack() {
        assert_eq!(listen_key(br#"{"listenKey":"k"}"#).unwrap(), "k");
        assert_eq!(
            listen_key(b"{}").unwrap_err().to_string(),
            "listen key lacks the field listenKey"
        );
        let time = server_time(br#"{"serverTime":1499827319559}"#).unwrap();
        assert_eq!(time, Timestamp::from_ms(1_499_827_319_559));
        let error = account(Dialect::UsdM, br#"{"assets":[{"asset":"USDT"}],"positions":[]}"#);
        assert_eq!(error.unwrap_err().to_string(), "balance lacks the field walletBalance");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            for dialect in [Dialect::Spot, Dialect::UsdM] {
                let _ = account(dialect, &body);
                let _ = trades(dialect, &body);
                let _ = filters::exchange_info(&body);
            }
            let _ = income(&body);
        }
    }
}
