//! Units (what is counted) and accounts (where it sits): the two names every posting carries.

use std::fmt;
use std::str::FromStr;

use alloy::primitives::{Address, U256};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Decimal places of every asset's smallest step on a Binance-like venue.
pub const VENUE_DECIMALS: u32 = 8;

/// What a posting counts: a token on a chain, liquidity of one position, or an asset on a venue.
/// Amounts are always integers in this unit's smallest step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Unit {
    /// The chain's native coin, in wei.
    Native { chain: u64 },
    /// An ERC-20 token, in its smallest unit.
    Erc20 { chain: u64, token: Address },
    /// Liquidity of one Uniswap V3 NFT, in the pool's own liquidity units.
    V3Liquidity { chain: u64, position_manager: Address, token_id: U256 },
    /// An asset on a venue, in steps of 1e-8.
    Asset { venue: String, asset: String },
    /// Perpetual contracts on a venue, in steps of 1e-8 base; negative when short.
    Perp { venue: String, symbol: String },
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native { chain } => write!(f, "eip155:{chain}/native"),
            Self::Erc20 { chain, token } => write!(f, "eip155:{chain}/erc20:{}", lower(token)),
            Self::V3Liquidity { chain, position_manager, token_id } => {
                write!(f, "eip155:{chain}/v3lp:{}:{token_id}", lower(position_manager))
            }
            Self::Asset { venue, asset } => write!(f, "venue:{venue}/{asset}"),
            Self::Perp { venue, symbol } => write!(f, "venue:{venue}/{symbol}-PERP"),
        }
    }
}

/// A unit or account name that this house never writes.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{text:?} is not the name of a {what}")]
pub struct BadName {
    /// What was expected: a unit or an account.
    pub what: &'static str,
    /// What was found.
    pub text: String,
}

impl FromStr for Unit {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        parse_unit(text).ok_or_else(|| BadName { what: "unit", text: text.to_owned() })
    }
}

fn parse_unit(text: &str) -> Option<Unit> {
    if let Some(rest) = text.strip_prefix("venue:") {
        let (venue, name) = rest.split_once('/')?;
        let venue = venue.to_owned();
        return Some(match name.strip_suffix("-PERP") {
            Some(symbol) => Unit::Perp { venue, symbol: symbol.to_owned() },
            None => Unit::Asset { venue, asset: name.to_owned() },
        });
    }
    let (chain, name) = text.strip_prefix("eip155:")?.split_once('/')?;
    let chain = chain.parse().ok()?;
    if name == "native" {
        return Some(Unit::Native { chain });
    }
    if let Some(token) = name.strip_prefix("erc20:") {
        return Some(Unit::Erc20 { chain, token: token.parse().ok()? });
    }
    let (position_manager, token_id) = name.strip_prefix("v3lp:")?.split_once(':')?;
    Some(Unit::V3Liquidity {
        chain,
        position_manager: position_manager.parse().ok()?,
        token_id: U256::from_str_radix(token_id, 10).ok()?,
    })
}

/// Where a balance sits. Places hold something in the world; the rest explain why it moved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Account {
    /// A signer's balances on a chain.
    Wallet { chain: u64, signer: Address },
    /// One liquidity position: its liquidity, and its principal at cost.
    Position { chain: u64, token_id: U256 },
    /// Principal burned but not yet collected.
    Owed { chain: u64, token_id: U256 },
    /// Our account on a venue.
    Venue { venue: String },
    /// An explanation: equity, income, expense, trading or external.
    Reason(Reason),
}

/// Why a place's balance moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// What we held when the ledger began.
    Opening,
    /// Moved in or out by somebody else.
    External,
    /// Traded on our venue account by somebody else: a person, or another program.
    Manual,
    /// Swap fees earned by liquidity.
    LpFees,
    /// Gas paid to a chain.
    Gas,
    /// Trading fees paid to a venue.
    VenueFees,
    /// Perpetual funding received (negative balance) or paid.
    Funding,
    /// Realised profit of perpetual positions, as the venue settles it.
    RealizedPnl,
    /// Profit of cycles of pools, before gas.
    Arbitrage,
    /// Both sides of a pool traded against an exchange: what is left of them is profit.
    CexDex,
    /// One asset turned into another by a trade on a spot book.
    Spot,
    /// One asset turned into another by a swap.
    Swap,
    /// One asset turned into another inside a position by price moves.
    Conversion,
    /// The other side of liquidity units.
    Liquidity,
    /// The other side of perpetual contracts.
    PerpContracts,
}

const REASONS: [(Reason, &str); 15] = [
    (Reason::Opening, "equity:opening"),
    (Reason::External, "external:unknown"),
    (Reason::Manual, "external:manual"),
    (Reason::LpFees, "income:lp_fees"),
    (Reason::Gas, "expense:gas"),
    (Reason::VenueFees, "expense:venue_fees"),
    (Reason::Funding, "income:funding"),
    (Reason::RealizedPnl, "income:realized_pnl"),
    (Reason::Arbitrage, "income:arbitrage"),
    (Reason::CexDex, "trading:cex_dex"),
    (Reason::Spot, "trading:spot"),
    (Reason::Swap, "trading:swap"),
    (Reason::Conversion, "trading:conversion"),
    (Reason::Liquidity, "trading:liquidity"),
    (Reason::PerpContracts, "trading:perp_contracts"),
];

impl Reason {
    /// True for what others put in, took out or traded: neither profit nor loss of ours.
    pub fn is_outside(self) -> bool {
        matches!(self, Self::Opening | Self::External | Self::Manual)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wallet { chain, signer } => write!(f, "wallet:{chain}:{}", lower(signer)),
            Self::Position { chain, token_id } => write!(f, "position:{chain}:{token_id}"),
            Self::Owed { chain, token_id } => write!(f, "owed:{chain}:{token_id}"),
            Self::Venue { venue } => write!(f, "venue:{venue}"),
            Self::Reason(reason) => {
                let named = REASONS.iter().find(|(r, _)| r == reason);
                f.write_str(named.expect("every reason stands in REASONS").1)
            }
        }
    }
}

impl FromStr for Account {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        parse_account(text).ok_or_else(|| BadName { what: "account", text: text.to_owned() })
    }
}

fn parse_account(text: &str) -> Option<Account> {
    if let Some((reason, _)) = REASONS.iter().find(|(_, name)| *name == text) {
        return Some(Account::Reason(*reason));
    }
    let (kind, rest) = text.split_once(':')?;
    if kind == "venue" {
        return Some(Account::Venue { venue: rest.to_owned() });
    }
    let (chain, name) = rest.split_once(':')?;
    let chain = chain.parse().ok()?;
    match kind {
        "wallet" => Some(Account::Wallet { chain, signer: name.parse().ok()? }),
        "position" => {
            Some(Account::Position { chain, token_id: U256::from_str_radix(name, 10).ok()? })
        }
        "owed" => Some(Account::Owed { chain, token_id: U256::from_str_radix(name, 10).ok()? }),
        _ => None,
    }
}

fn lower(address: &Address) -> String {
    format!("{address:#x}")
}

#[cfg(test)]
mod tests {
    use alloy::primitives::address;

    use super::*;

    #[test]
    fn every_name_reads_back_as_itself() {
        let token = address!("00000000000000000000000000000000000000aB");
        let units = [
            Unit::Native { chain: 1 },
            Unit::Erc20 { chain: 8453, token },
            Unit::V3Liquidity { chain: 1, position_manager: token, token_id: U256::from(7) },
            Unit::Asset { venue: "hedge".into(), asset: "USDT".into() },
            Unit::Perp { venue: "hedge".into(), symbol: "ETHUSDT".into() },
        ];
        for unit in units {
            assert_eq!(unit.to_string().parse(), Ok(unit));
        }
        let mut accounts = vec![
            Account::Wallet { chain: 1, signer: token },
            Account::Position { chain: 1, token_id: U256::from(3) },
            Account::Owed { chain: 1, token_id: U256::from(3) },
            Account::Venue { venue: "spot".into() },
        ];
        accounts.extend(REASONS.iter().map(|(reason, _)| Account::Reason(*reason)));
        for account in accounts {
            assert_eq!(account.to_string().parse(), Ok(account));
        }
    }

    #[test]
    fn foreign_names_are_refused() {
        for text in ["", "eip155:1/erc20:nothex", "venue:x", "eip155:/native", "wallet:1"] {
            assert!(text.parse::<Unit>().is_err(), "{text}");
            assert!(text == "venue:x" || text.parse::<Account>().is_err(), "{text}");
        }
    }
}
