//! Typed calls and transactions on an anvil, from accounts the node itself has unlocked.
//!
//! Only the local world uses this: the agent signs for itself. Invariant: every wait is bounded,
//! and a transaction that was mined but failed is an error with its reason.

use std::fmt::Debug;
use std::future::{Future, IntoFuture};
use std::time::Duration;

use alloy::eips::BlockId;
use alloy::network::{ReceiptResponse, TransactionBuilder};
use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::providers::{DynProvider, Provider, ProviderBuilder};
use alloy::rpc::types::{TransactionReceipt, TransactionRequest};
use alloy::sol_types::SolCall;
use alloy::transports::{RpcError, TransportError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::time::{sleep, timeout};

/// Longest wait for one answer of the node.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for a transaction to be mined: several blocks, also on a slow machine.
const RECEIPT_LIMIT: Duration = Duration::from_secs(15);
/// Longest wait for the next block.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// First pause between two looks; it doubles up to [`LOOK_STEP_MAX`].
const LOOK_STEP_MIN: Duration = Duration::from_millis(4);
/// Longest pause between two looks.
const LOOK_STEP_MAX: Duration = Duration::from_millis(200);
/// Gas limit = estimate x 13 / 10 + 50,000: a pair's price accumulators are written only when the
/// second has changed since the estimate, so that the bare estimate runs out of gas.
const GAS_FACTOR: (u64, u64) = (13, 10);
/// The fixed part of the gas margin.
const GAS_MARGIN: u64 = 50_000;

/// No deadline: nobody can delay a transaction on this chain to our harm.
pub const NO_DEADLINE: U256 = U256::MAX;

/// Why the chain did not do what was asked.
#[derive(Debug, Error)]
pub enum ChainError {
    /// The address is not a URL.
    #[error("{url:?} is not an address of a node")]
    Url { url: String },
    /// The node refused the request, or cannot be reached.
    #[error("{what} failed")]
    Rpc { what: &'static str, source: TransportError },
    /// The node did not answer in time.
    #[error("{what} was not answered within {ANSWER_LIMIT:?}")]
    Silent { what: &'static str },
    /// The answer is not what the contract's ABI promises.
    #[error("unexpected answer to {what}")]
    Answer { what: &'static str, source: alloy::sol_types::Error },
    /// The transaction would fail, so it was not sent.
    #[error("transaction would revert: {reason}")]
    Refused { reason: String },
    /// The transaction was mined and failed.
    #[error("transaction {hash} reverted: {reason}")]
    Reverted { hash: B256, reason: String },
    /// The transaction was sent and not mined in time.
    #[error("transaction {hash} was not mined within {RECEIPT_LIMIT:?}")]
    Unmined { hash: B256 },
    /// A creation left no contract.
    #[error("transaction {hash} created no contract")]
    NoContract { hash: B256 },
    /// The node has no latest block.
    #[error("the node has no latest block")]
    NoBlock,
    /// No new block in time.
    #[error("no block after {head} within {HEAD_LIMIT:?}")]
    Halted { head: u64 },
}

/// The latest block, as far as the world needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Height.
    pub number: u64,
    /// The chain's clock, unix seconds.
    pub time_s: u64,
}

/// What to send: a call of `to`, or the creation of a contract when it is `None`.
#[derive(Clone, Debug)]
pub struct Deed {
    /// An account that the node has unlocked.
    pub from: Address,
    /// The contract called.
    pub to: Option<Address>,
    /// Calldata or creation code.
    pub input: Bytes,
    /// Wei sent along.
    pub value: U256,
}

impl Deed {
    /// A call without value.
    pub fn call(from: Address, to: Address, call: &impl SolCall) -> Self {
        Self { from, to: Some(to), input: call.abi_encode().into(), value: U256::ZERO }
    }

    /// A call with ready-made calldata, without value.
    #[must_use]
    pub fn with_input(from: Address, to: Address, input: Bytes) -> Self {
        Self { from, to: Some(to), input, value: U256::ZERO }
    }

    fn request(&self) -> TransactionRequest {
        let request = TransactionRequest::default()
            .with_from(self.from)
            .with_input(self.input.clone())
            .with_value(self.value);
        match self.to {
            Some(to) => request.with_to(to),
            None => request.into_create(),
        }
    }
}

/// A connection over HTTP that adds nothing of its own to a request.
///
/// # Errors
/// When the address is not a URL; whether somebody listens there shows at the first call.
pub fn connect(http_url: &str) -> Result<DynProvider, ChainError> {
    let url = http_url.parse().map_err(|_| ChainError::Url { url: http_url.to_owned() })?;
    Ok(ProviderBuilder::new().disable_recommended_fillers().connect_http(url).erased())
}

/// Reads a contract at the latest block.
///
/// # Errors
/// When the node is silent, the call reverts, or the answer does not fit the ABI.
pub async fn call<C: SolCall>(
    provider: &DynProvider,
    to: Address,
    call: &C,
) -> Result<C::Return, ChainError> {
    let what = C::SIGNATURE;
    let request =
        TransactionRequest::default().with_to(to).with_input(Bytes::from(call.abi_encode()));
    let answer = bounded(what, provider.call(request).latest()).await?;
    C::abi_decode_returns_validate(&answer).map_err(|source| ChainError::Answer { what, source })
}

/// Any method of the node, anvil's own included.
///
/// # Errors
/// When the node is silent or refuses.
pub async fn raw<P, R>(
    provider: &DynProvider,
    method: &'static str,
    params: P,
) -> Result<R, ChainError>
where
    P: Serialize + Clone + Debug + Send + Sync + Unpin,
    R: DeserializeOwned + Debug + Send + Sync + Unpin + 'static,
{
    bounded(method, provider.raw_request(method.into(), params)).await
}

/// The latest block.
///
/// # Errors
/// When the node is silent, or has no block at all.
pub async fn head(provider: &DynProvider) -> Result<Head, ChainError> {
    let block =
        bounded("eth_getBlockByNumber", provider.get_block(BlockId::latest()).hashes()).await?;
    let header = block.ok_or(ChainError::NoBlock)?.header;
    Ok(Head { number: header.number, time_s: header.timestamp })
}

/// Waits for another latest block than number `seen`. A head that went backwards counts as well, so
/// that a caller survives a rollback.
///
/// # Errors
/// When the node is silent or mines nothing.
pub async fn next_head(provider: &DynProvider, seen: u64) -> Result<Head, ChainError> {
    next_head_soon(provider, seen, LOOK_STEP_MAX).await
}

/// As [`next_head`], looking at least every `step_max`: for actors to whom milliseconds matter.
///
/// # Errors
/// When the node is silent or mines nothing.
pub async fn next_head_soon(
    provider: &DynProvider,
    seen: u64,
    step_max: Duration,
) -> Result<Head, ChainError> {
    let look = async || head(provider).await.map(|head| (head.number != seen).then_some(head));
    poll_every(step_max, HEAD_LIMIT, look).await?.ok_or(ChainError::Halted { head: seen })
}

/// Sends a transaction and returns its hash without waiting for its block.
///
/// # Errors
/// When it would revert, or the node is silent or refuses it.
pub async fn submit(provider: &DynProvider, deed: &Deed) -> Result<B256, ChainError> {
    let request = deed.request();
    let gas = bounded("eth_estimateGas", provider.estimate_gas(request.clone()))
        .await
        .map_err(refused)?;
    let limit = gas.saturating_mul(GAS_FACTOR.0) / GAS_FACTOR.1;
    let request = request.with_gas_limit(limit.saturating_add(GAS_MARGIN));
    raw(provider, "eth_sendTransaction", (request,)).await
}

/// Waits until a submitted transaction is mined, and insists on its success.
///
/// # Errors
/// When it failed, with the reason, or is not mined in time.
pub async fn receipt(
    provider: &DynProvider,
    deed: &Deed,
    hash: B256,
) -> Result<TransactionReceipt, ChainError> {
    let look =
        async || bounded("eth_getTransactionReceipt", provider.get_transaction_receipt(hash)).await;
    let receipt = poll(RECEIPT_LIMIT, look).await?.ok_or(ChainError::Unmined { hash })?;
    if receipt.status() {
        return Ok(receipt);
    }
    Err(ChainError::Reverted { hash, reason: reason(provider, deed, &receipt).await })
}

/// Sends a transaction and waits until it has succeeded.
///
/// # Errors
/// As [`submit`] and [`receipt`].
pub async fn send(provider: &DynProvider, deed: &Deed) -> Result<TransactionReceipt, ChainError> {
    let hash = submit(provider, deed).await?;
    receipt(provider, deed, hash).await
}

/// Creates a contract and returns its address.
///
/// # Errors
/// As [`send`].
pub async fn create(
    provider: &DynProvider,
    from: Address,
    init_code: Bytes,
) -> Result<Address, ChainError> {
    let deed = Deed { from, to: None, input: init_code, value: U256::ZERO };
    let receipt = send(provider, &deed).await?;
    receipt.contract_address.ok_or(ChainError::NoContract { hash: receipt.transaction_hash })
}

/// Why a mined transaction failed: the same call again, on the state before its block. Transactions
/// before it in the block are missing there, so the answer may be that it would have passed.
async fn reason(provider: &DynProvider, deed: &Deed, receipt: &TransactionReceipt) -> String {
    let before = receipt.block_number().unwrap_or_default().saturating_sub(1);
    match bounded("eth_call", provider.call(deed.request()).number(before)).await {
        Ok(_) => "no reason: it passes on the state before its block".to_owned(),
        Err(ChainError::Rpc { source, .. }) => said(&source),
        Err(other) => other.to_string(),
    }
}

/// A node answers a reverting estimate with an error response, anything else is its own trouble.
fn refused(error: ChainError) -> ChainError {
    match error {
        ChainError::Rpc { source: source @ RpcError::ErrorResp(_), .. } => {
            ChainError::Refused { reason: said(&source) }
        }
        other => other,
    }
}

/// The node's own words for an error.
fn said(error: &TransportError) -> String {
    match error.as_error_resp() {
        Some(answer) => answer.message.to_string(),
        None => error.to_string(),
    }
}

async fn bounded<T>(
    what: &'static str,
    request: impl IntoFuture<Output = Result<T, TransportError>>,
) -> Result<T, ChainError> {
    match timeout(ANSWER_LIMIT, request.into_future()).await {
        Ok(answer) => answer.map_err(|source| ChainError::Rpc { what, source }),
        Err(_) => Err(ChainError::Silent { what }),
    }
}

/// Looks until there is an answer, at growing distances; `None` when `limit` has been slept away.
async fn poll<T, F: Future<Output = Result<Option<T>, ChainError>>>(
    limit: Duration,
    look: impl FnMut() -> F,
) -> Result<Option<T>, ChainError> {
    poll_every(LOOK_STEP_MAX, limit, look).await
}

async fn poll_every<T, F: Future<Output = Result<Option<T>, ChainError>>>(
    step_max: Duration,
    limit: Duration,
    mut look: impl FnMut() -> F,
) -> Result<Option<T>, ChainError> {
    let (mut slept, mut step) = (Duration::ZERO, LOOK_STEP_MIN);
    while slept < limit {
        if let Some(found) = look().await? {
            return Ok(Some(found));
        }
        sleep(step).await;
        slept += step;
        step = (step * 2).min(step_max);
    }
    Ok(None)
}
