//! Facts of the world turned into entries. One function per fact; each entry is idempotent by the
//! fact's own name.

use alloy::primitives::{Address, I256, U256};
use rust_decimal::Decimal;
use thiserror::Error;

use crate::ledger::Ledger;
use crate::ledger::entry::{Draft, Entry, Kind, OnBlock, Unbalanced};
use crate::model::amount::{exact_raw, signed};
use crate::model::chain::{NftLog, Receipt, TokenTransfer};
use crate::model::order::Side;
use crate::model::time::Timestamp;
use crate::model::unit::{Account, Reason, Unit, VENUE_DECIMALS};
use crate::model::venue::{Fill, Income, IncomeKind};

/// A fact that cannot be booked exactly: trading must stop, since the ledger would be wrong.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BookingError {
    /// Sum is not zero.
    #[error("unbalanced entry")]
    Unbalanced(#[from] Unbalanced),
    /// The venue sent more digits than its own step.
    #[error("{what} {value} is finer than 1e-8 or out of range")]
    NotExact { what: &'static str, value: String },
    /// More than 255 bits.
    #[error("{what} does not fit 255 bits")]
    TooLarge { what: &'static str },
}

/// Where and when chain facts are booked.
#[derive(Clone, Copy, Debug)]
pub struct ChainPlace {
    /// The block.
    pub on: OnBlock,
    /// When we learned it.
    pub at: Timestamp,
    /// Our signer on this chain.
    pub signer: Address,
    /// The position manager whose NFTs are booked.
    pub position_manager: Address,
}

/// The tokens of the pool a position belongs to.
#[derive(Clone, Copy, Debug)]
pub struct PoolTokens {
    /// token0.
    pub token0: Address,
    /// token1.
    pub token1: Address,
}

impl ChainPlace {
    fn wallet(&self) -> Account {
        Account::Wallet { chain: self.on.chain, signer: self.signer }
    }

    fn erc20(&self, token: Address) -> Unit {
        Unit::Erc20 { chain: self.on.chain, token }
    }

    fn draft(&self, kind: Kind, cause: impl Into<String>) -> Draft {
        Draft::new(kind, cause, self.at).on(self.on)
    }
}

/// What one of our transactions was for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// A position of the pool of these tokens; a swap where no position changed.
    Pool(PoolTokens),
    /// A cycle: what arrives is profit.
    Cycle,
    /// The swap of a pool traded against an exchange.
    CexDex,
    /// Anything else: every transfer is a leg of a swap.
    Other,
}

/// Gas, liquidity changes, swaps and profits of one of our transactions.
///
/// # Errors
/// `BookingError`; nothing may be booked then.
pub fn receipt(
    place: &ChainPlace,
    receipt: &Receipt,
    purpose: Purpose,
    ledger: &Ledger,
) -> Result<Vec<Entry>, BookingError> {
    let mut entries = Vec::new();
    let cost =
        receipt.cost().and_then(signed).ok_or(BookingError::TooLarge { what: "gas cost" })?;
    let native = Unit::Native { chain: place.on.chain };
    let gas = place.draft(Kind::Gas, receipt.hash.to_string());
    entries.extend(gas.moved(&place.wallet(), &native, -cost, Reason::Gas).entry()?);
    match purpose {
        Purpose::Pool(pool) if !receipt.nft_logs.is_empty() => {
            for (index, log) in receipt.nft_logs.iter().enumerate() {
                let cause = format!("{}/{index}", receipt.hash);
                let (kind, draft_of): (Kind, DraftOf) = match log {
                    NftLog::Increased { .. } => (Kind::Mint, minted),
                    NftLog::Decreased { .. } => (Kind::Burn, burned),
                    NftLog::Collected { .. } => (Kind::Collect, collected),
                };
                let draft = place.draft(kind, cause);
                entries.extend(draft_of(place, log, pool, ledger, &receipt.nft_logs, draft)?);
            }
        }
        _ => {
            let (kind, reason) = match purpose {
                Purpose::Cycle => (Kind::Cycle, Reason::Arbitrage),
                Purpose::CexDex => (Kind::Swap, Reason::CexDex),
                Purpose::Pool(_) | Purpose::Other => (Kind::Swap, Reason::Swap),
            };
            let mut draft = place.draft(kind, receipt.hash.to_string());
            for transfer in &receipt.transfers {
                let amount = wallet_change(place, transfer)?;
                let unit = place.erc20(transfer.token);
                draft = draft.moved(&place.wallet(), &unit, amount, reason);
            }
            entries.extend(draft.entry()?);
        }
    }
    Ok(entries)
}

type DraftOf = fn(
    &ChainPlace,
    &NftLog,
    PoolTokens,
    &Ledger,
    &[NftLog],
    Draft,
) -> Result<Option<Entry>, BookingError>;

fn liquidity_unit(place: &ChainPlace, token_id: U256) -> Unit {
    let (chain, position_manager) = (place.on.chain, place.position_manager);
    Unit::V3Liquidity { chain, position_manager, token_id }
}

fn amount_of(value: U256) -> Result<I256, BookingError> {
    signed(value).ok_or(BookingError::TooLarge { what: "token amount" })
}

fn liquidity_of(value: u128) -> I256 {
    I256::from_raw(U256::from(value))
}

fn minted(
    place: &ChainPlace,
    log: &NftLog,
    pool: PoolTokens,
    _: &Ledger,
    _: &[NftLog],
    draft: Draft,
) -> Result<Option<Entry>, BookingError> {
    let NftLog::Increased { token_id, liquidity, amount0, amount1 } = log else {
        return Ok(None);
    };
    let position = Account::Position { chain: place.on.chain, token_id: *token_id };
    let unit = liquidity_unit(place, *token_id);
    let draft = draft
        .between(&position, &place.wallet(), &place.erc20(pool.token0), amount_of(*amount0)?)
        .between(&position, &place.wallet(), &place.erc20(pool.token1), amount_of(*amount1)?)
        .moved(&position, &unit, liquidity_of(*liquidity), Reason::Liquidity);
    Ok(draft.entry()?)
}

/// Burning returns principal as the pool's price now splits it; the difference to what was put in
/// is a conversion, not income. All liquidity is always burned at once, so cost leaves whole.
fn burned(
    place: &ChainPlace,
    log: &NftLog,
    pool: PoolTokens,
    ledger: &Ledger,
    _: &[NftLog],
    mut draft: Draft,
) -> Result<Option<Entry>, BookingError> {
    let NftLog::Decreased { token_id, liquidity, amount0, amount1 } = log else {
        return Ok(None);
    };
    let chain = place.on.chain;
    let position = Account::Position { chain, token_id: *token_id };
    let owed = Account::Owed { chain, token_id: *token_id };
    for (token, amount) in [(pool.token0, *amount0), (pool.token1, *amount1)] {
        let unit = place.erc20(token);
        let cost = ledger.balance(&position, &unit);
        draft = draft.moved(&position, &unit, -cost, Reason::Conversion).moved(
            &owed,
            &unit,
            amount_of(amount)?,
            Reason::Conversion,
        );
    }
    let unit = liquidity_unit(place, *token_id);
    Ok(draft.moved(&position, &unit, -liquidity_of(*liquidity), Reason::Liquidity).entry()?)
}

/// Collecting takes principal owed and fees; what exceeds the principal is fee income.
fn collected(
    place: &ChainPlace,
    log: &NftLog,
    pool: PoolTokens,
    ledger: &Ledger,
    siblings: &[NftLog],
    mut draft: Draft,
) -> Result<Option<Entry>, BookingError> {
    let NftLog::Collected { token_id, amount0, amount1 } = log else {
        return Ok(None);
    };
    let owed = Account::Owed { chain: place.on.chain, token_id: *token_id };
    let mut principal = [
        ledger.balance(&owed, &place.erc20(pool.token0)),
        ledger.balance(&owed, &place.erc20(pool.token1)),
    ];
    for log in siblings {
        if let NftLog::Decreased { token_id: id, amount0, amount1, .. } = log
            && id == token_id
        {
            principal[0] += amount_of(*amount0)?;
            principal[1] += amount_of(*amount1)?;
        }
    }
    let amounts = [amount_of(*amount0)?, amount_of(*amount1)?];
    for (index, token) in [pool.token0, pool.token1].into_iter().enumerate() {
        let unit = place.erc20(token);
        let returned = principal[index].min(amounts[index]);
        draft = draft.between(&place.wallet(), &owed, &unit, returned).moved(
            &place.wallet(),
            &unit,
            amounts[index] - returned,
            Reason::LpFees,
        );
    }
    Ok(draft.entry()?)
}

fn wallet_change(place: &ChainPlace, transfer: &TokenTransfer) -> Result<I256, BookingError> {
    let amount = amount_of(transfer.amount)?;
    let out = if transfer.from == place.signer { amount } else { I256::ZERO };
    let into = if transfer.to == place.signer { amount } else { I256::ZERO };
    Ok(into - out)
}

/// A token transfer that no transaction of ours made.
///
/// # Errors
/// `BookingError::TooLarge`.
pub fn external_transfer(
    place: &ChainPlace,
    transfer: &TokenTransfer,
) -> Result<Option<Entry>, BookingError> {
    let amount = wallet_change(place, transfer)?;
    let kind = if amount.is_negative() { Kind::Withdrawal } else { Kind::Deposit };
    let cause = format!("{}/{}", transfer.tx, transfer.log_index);
    let unit = place.erc20(transfer.token);
    let draft = place.draft(kind, cause);
    Ok(draft.moved(&place.wallet(), &unit, amount, Reason::External).entry()?)
}

fn steps(what: &'static str, value: Decimal) -> Result<I256, BookingError> {
    exact_raw(value, VENUE_DECIMALS)
        .ok_or_else(|| BookingError::NotExact { what, value: value.to_string() })
}

/// By whose hand a trade was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// An order of ours, or one the venue made for us (a liquidation): it is profit or loss.
    Ours,
    /// Somebody else on our account: what it moved is external. `mid` is the market's price when
    /// it was booked.
    Other { mid: Decimal },
}

impl Hand {
    /// The other side of what a trade moved, when ours is `ours`.
    fn reason(self, ours: Reason) -> Reason {
        match self {
            Self::Ours => ours,
            Self::Other { .. } => Reason::Manual,
        }
    }
}

/// The name a trade is booked by, whoever made it: it books once, whichever way it is judged.
pub fn fill_cause(venue: &str, symbol: &str, trade_id: u64) -> String {
    format!("{venue}/{symbol}/{trade_id}")
}

/// A perpetual trade: contracts, realised profit and commission.
///
/// Made by another hand it must move no profit. With `s` contracts (signed), price `p`, mid `m`,
/// realised profit `r` and commission `f`, what we are worth (`engine/figures.rs`: wallet balance +
/// cash of all trades + contracts x mid - realised profit) moves by
///
/// ```text
/// (r - f) - s p + s m - r  =  s (m - p) - f
/// ```
///
/// `r` drops out: it settles what the contracts had earned before, which is ours. The rest is
/// external: `f`, and `s (m - p)`, by which the contracts were dearer or cheaper than the mid at
/// which we take them over. No balance shows the latter yet, so it stands between
/// `trading:perp_contracts` and `external:manual`. The opening value moves by the external lines,
/// and the hedge's part of the profit leaves out what stands on the former.
///
/// # Errors
/// `BookingError::NotExact` when the venue's numbers are finer than its own step.
pub fn perp_fill(
    venue: &str,
    symbol: &str,
    fill: &Fill,
    hand: Hand,
    at: Timestamp,
) -> Result<Option<Entry>, BookingError> {
    let place = Account::Venue { venue: venue.to_owned() };
    let contracts = Unit::Perp { venue: venue.to_owned(), symbol: symbol.to_owned() };
    let of = |asset: &String| Unit::Asset { venue: venue.to_owned(), asset: asset.clone() };
    let quantity = steps("quantity", fill.quantity)?;
    let signed_quantity = match fill.side {
        Side::Buy => quantity,
        Side::Sell => -quantity,
    };
    let cause = fill_cause(venue, symbol, fill.trade_id);
    let realized = steps("realised profit", fill.realized_pnl)?;
    let (margin, fee) = (of(&fill.margin_asset), -steps("fee", fill.fee)?);
    let mut draft = Draft::new(Kind::Fill, cause, at)
        .moved(&place, &contracts, signed_quantity, Reason::PerpContracts)
        .moved(&place, &margin, realized, Reason::RealizedPnl)
        .moved(&place, &of(&fill.fee_asset), fee, hand.reason(Reason::VenueFees));
    if let Hand::Other { mid } = hand {
        let [contracts, manual] = [Reason::PerpContracts, Reason::Manual].map(Account::Reason);
        draft = draft.between(&contracts, &manual, &margin, taken_over(fill, mid)?);
    }
    Ok(draft.entry()?)
}

/// What contracts traded at their price are worth more than that at the mid.
fn taken_over(fill: &Fill, mid: Decimal) -> Result<I256, BookingError> {
    let gain = match fill.side {
        Side::Buy => mid.checked_sub(fill.price),
        Side::Sell => fill.price.checked_sub(mid),
    };
    let gain = gain.and_then(|gain| gain.checked_mul(fill.quantity));
    let gain = gain.ok_or(BookingError::TooLarge { what: "value of a trade" })?;
    // A mid may end in half a tick; what we take over is our own figure, not the venue's.
    steps("value of a trade", gain.round_dp(VENUE_DECIMALS))
}

/// The two assets of a spot market, as the venue names them.
#[derive(Clone, Copy, Debug)]
pub struct SpotPair<'a> {
    /// What is priced.
    pub base: &'a str,
    /// What it is priced in.
    pub quote: &'a str,
    /// What the trade is for.
    pub reason: Reason,
}

/// A spot trade: both legs and the commission, against `external:manual` when another hand made it.
///
/// # Errors
/// `BookingError::NotExact` when the venue's numbers are finer than its own step.
pub fn spot_fill(
    venue: &str,
    symbol: &str,
    pair: SpotPair<'_>,
    fill: &Fill,
    hand: Hand,
    at: Timestamp,
) -> Result<Option<Entry>, BookingError> {
    let place = Account::Venue { venue: venue.to_owned() };
    let of = |asset: &str| Unit::Asset { venue: venue.to_owned(), asset: asset.to_owned() };
    let value = fill.price.checked_mul(fill.quantity);
    let value = value.ok_or(BookingError::TooLarge { what: "value of a trade" })?;
    let (base, quote) = (steps("quantity", fill.quantity)?, steps("value", value)?);
    let (base, quote) = match fill.side {
        Side::Buy => (base, -quote),
        Side::Sell => (-base, quote),
    };
    let traded = hand.reason(pair.reason);
    let fee = -steps("fee", fill.fee)?;
    let entry = Draft::new(Kind::Fill, fill_cause(venue, symbol, fill.trade_id), at)
        .moved(&place, &of(pair.base), base, traded)
        .moved(&place, &of(pair.quote), quote, traded)
        .moved(&place, &of(&fill.fee_asset), fee, hand.reason(Reason::VenueFees))
        .entry()?;
    Ok(entry)
}

/// Funding, deposit or withdrawal on a venue.
///
/// # Errors
/// `BookingError::NotExact`.
pub fn income(venue: &str, income: &Income, at: Timestamp) -> Result<Option<Entry>, BookingError> {
    let place = Account::Venue { venue: venue.to_owned() };
    let unit = Unit::Asset { venue: venue.to_owned(), asset: income.asset.clone() };
    let amount = steps("income", income.amount)?;
    let (kind, reason) = match income.kind {
        IncomeKind::Funding => (Kind::Funding, Reason::Funding),
        IncomeKind::Transfer if amount.is_negative() => (Kind::Withdrawal, Reason::External),
        IncomeKind::Transfer => (Kind::Deposit, Reason::External),
    };
    let draft = Draft::new(kind, format!("{venue}/{}", income.id), at);
    Ok(draft.moved(&place, &unit, amount, reason).entry()?)
}

/// What a place held when the ledger began.
///
/// # Errors
/// `BookingError::Unbalanced` at the edge of 256 bits.
pub fn opening(
    account: &Account,
    holdings: &[(Unit, I256)],
    at: Timestamp,
) -> Result<Option<Entry>, BookingError> {
    let mut draft = Draft::new(Kind::Opening, account.to_string(), at);
    for (unit, amount) in holdings {
        draft = draft.moved(account, unit, *amount, Reason::Opening);
    }
    Ok(draft.entry()?)
}

/// A venue balance in ledger steps.
///
/// # Errors
/// `BookingError::NotExact`.
pub fn venue_steps(value: Decimal) -> Result<I256, BookingError> {
    steps("balance", value)
}
