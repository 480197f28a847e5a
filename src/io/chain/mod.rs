//! One chain endpoint: reads pinned to a block hash, calls with a deadline, bytes sent as they are.
//!
//! Every request has a timeout; an answer that contradicts the block it was asked for is an error,
//! never a fact.

mod batch;
pub mod discover;
pub mod evm;
pub mod gap;
pub mod load;
mod read;
pub mod roster;
mod v4;
pub mod watch;

use std::sync::Arc;
use std::time::Duration;

use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::network::{Ethereum, TransactionBuilder};
use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::providers::{Provider, RootProvider};
use alloy::rpc::types::{Block, Filter, Log, TransactionReceipt, TransactionRequest};
use alloy::sol_types::SolCall;
use alloy::transports::{RpcError, TransportErrorKind};
use thiserror::Error;

use crate::io::chain::batch::Pace;
use crate::model::text::plain;

/// Patience for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Calls packed into one request.
const BATCH_MAX: usize = 250;

/// An endpoint did not give a usable answer.
#[derive(Debug, Error)]
pub enum ChainError {
    /// No answer in time.
    #[error("{what}: no answer in {} s", ANSWER_TIMEOUT.as_secs())]
    Timeout { what: &'static str },
    /// The endpoint answered with an error, or nothing came of asking it.
    #[error("{what}: {why}")]
    Refused {
        what: &'static str,
        why: String,
        /// Whether it was not even reached.
        is_unreached: bool,
    },
    /// The answer is not what was asked for.
    #[error("{what}: {why}")]
    Nonsense { what: &'static str, why: String },
    /// The address is not one.
    #[error("endpoint address: {0}")]
    Address(String),
}

/// A client of one endpoint.
#[derive(Clone, Debug)]
pub struct ChainClient {
    provider: RootProvider<Ethereum>,
    /// How fast much may be asked; `None` for as fast as it is answered.
    pace: Option<Arc<Pace>>,
}

impl ChainClient {
    /// A client of an HTTP endpoint; nothing is asked yet.
    ///
    /// # Errors
    /// `ChainError::Address`.
    pub fn new(http_url: &str) -> Result<Self, ChainError> {
        let url = http_url.parse().map_err(|e| ChainError::Address(format!("{e}")))?;
        Ok(Self { provider: RootProvider::new_http(url), pace: None })
    }

    /// Whole readings of pools then keep to so many requests a second. A request may hold many
    /// calls; what follows blocks is a handful of them and does not wait.
    #[must_use]
    pub fn paced(self, requests_per_s: u32) -> Self {
        Self { pace: Some(Arc::new(Pace::new(requests_per_s))), ..self }
    }

    /// EIP-155 chain id.
    ///
    /// # Errors
    /// `ChainError`.
    pub async fn chain_id(&self) -> Result<u64, ChainError> {
        ask("eth_chainId", self.provider.get_chain_id()).await
    }

    /// The newest block with the hashes of its transactions.
    ///
    /// # Errors
    /// `ChainError`.
    pub async fn latest(&self) -> Result<Block, ChainError> {
        self.block(BlockNumberOrTag::Latest).await
    }

    /// A block by height with the hashes of its transactions.
    ///
    /// # Errors
    /// `ChainError`.
    pub async fn block(&self, number: BlockNumberOrTag) -> Result<Block, ChainError> {
        let what = "eth_getBlockByNumber";
        let block = ask(what, async { self.provider.get_block_by_number(number).await }).await?;
        block.ok_or_else(|| ChainError::Nonsense { what, why: format!("no block {number}") })
    }

    /// A block by height, `None` where the endpoint does not have it.
    ///
    /// # Errors
    /// `ChainError`.
    pub async fn block_if_there(&self, number: u64) -> Result<Option<Block>, ChainError> {
        let block = self.provider.get_block_by_number(number.into());
        ask("eth_getBlockByNumber", async { block.await }).await
    }

    /// The logs that a filter asks for, each once, in the chain's order. Where it names a block's
    /// hash, a node that does not know the hash answers with an error.
    ///
    /// # Errors
    /// `ChainError`.
    pub async fn logs(&self, filter: &Filter) -> Result<Vec<Log>, ChainError> {
        Ok(in_order(ask("eth_getLogs", self.provider.get_logs(filter)).await?))
    }

    /// The receipt of a mined transaction.
    ///
    /// # Errors
    /// `ChainError`.
    pub async fn receipt(&self, hash: B256) -> Result<TransactionReceipt, ChainError> {
        let what = "eth_getTransactionReceipt";
        let receipt =
            ask(what, async { self.provider.get_transaction_receipt(hash).await }).await?;
        receipt.ok_or_else(|| ChainError::Nonsense { what, why: format!("no receipt of {hash}") })
    }

    /// Transactions an address ever made, as of a block.
    ///
    /// # Errors
    /// `ChainError`.
    pub async fn nonce(&self, of: Address, at: B256) -> Result<u64, ChainError> {
        let request = self.provider.get_transaction_count(of).hash(at);
        ask("eth_getTransactionCount", async { request.await }).await
    }

    /// Native balance as of a block.
    ///
    /// # Errors
    /// `ChainError`.
    pub async fn balance(&self, of: Address, at: B256) -> Result<U256, ChainError> {
        let request = self.provider.get_balance(of).hash(at);
        ask("eth_getBalance", async { request.await }).await
    }

    /// The code at an address, as of a block; empty when there is none.
    ///
    /// # Errors
    /// `ChainError`.
    pub async fn code(&self, of: Address, at: B256) -> Result<Bytes, ChainError> {
        let request = self.provider.get_code_at(of).hash(at);
        ask("eth_getCode", async { request.await }).await
    }

    /// Whether there is code at an address, as of a block.
    ///
    /// # Errors
    /// `ChainError`.
    pub async fn has_code(&self, of: Address, at: B256) -> Result<bool, ChainError> {
        Ok(!self.code(of, at).await?.is_empty())
    }

    /// A view of a contract as of a block.
    ///
    /// # Errors
    /// `ChainError`.
    pub async fn view<C: SolCall>(
        &self,
        to: Address,
        call: &C,
        at: B256,
    ) -> Result<C::Return, ChainError> {
        let what = C::SIGNATURE;
        let request = TransactionRequest::default().with_to(to).with_input(call.abi_encode());
        let eth_call = self.provider.call(request).block(BlockId::hash(at));
        let bytes = ask(what, async { eth_call.await }).await?;
        decode::<C>(&bytes)
    }

    /// What a call would use on the newest state.
    ///
    /// # Errors
    /// `ChainError::Refused` with the chain's reason when it would revert.
    pub async fn estimate(
        &self,
        from: Address,
        to: Address,
        input: Bytes,
    ) -> Result<u64, ChainError> {
        let request = TransactionRequest::default().with_from(from).with_to(to).with_input(input);
        ask("eth_estimateGas", async { self.provider.estimate_gas(request).await }).await
    }

    /// Hands signed bytes to the endpoint. An error proves nothing about the transaction.
    ///
    /// # Errors
    /// `ChainError`.
    pub async fn send_raw(&self, raw: &Bytes) -> Result<(), ChainError> {
        let what = "eth_sendRawTransaction";
        ask(what, async { self.provider.send_raw_transaction(raw).await.map(|_| ()) }).await
    }
}

/// A log has one place in its chain, however often an endpoint lists it.
fn in_order(mut logs: Vec<Log>) -> Vec<Log> {
    logs.sort_by_key(|log| (log.block_number, log.log_index));
    logs.dedup();
    logs
}

fn decode<C: SolCall>(bytes: &Bytes) -> Result<C::Return, ChainError> {
    C::abi_decode_returns_validate(bytes)
        .map_err(|e| ChainError::Nonsense { what: C::SIGNATURE, why: e.to_string() })
}

async fn ask<T>(
    what: &'static str,
    answer: impl IntoFuture<Output = Result<T, RpcError<TransportErrorKind>>>,
) -> Result<T, ChainError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, answer.into_future()).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(refused(what, &error)),
        Err(_) => Err(ChainError::Timeout { what }),
    }
}

/// The node's own words when it has some; never the address, which may carry a key.
fn refused(what: &'static str, error: &RpcError<TransportErrorKind>) -> ChainError {
    let (why, is_unreached) = match error {
        RpcError::ErrorResp(payload) => (plain(&payload.message), false),
        // So a node that takes no batch of such a size answers all of it with one error.
        RpcError::Transport(TransportErrorKind::MissingBatchResponse(_)) => {
            ("the answer leaves out some of what was asked".to_owned(), false)
        }
        RpcError::Transport(_) => ("the endpoint cannot be reached".to_owned(), true),
        _ => ("the answer cannot be read".to_owned(), false),
    };
    ChainError::Refused { what, why, is_unreached }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_listed_twice_is_one() {
        let log = |block, index| Log {
            block_number: Some(block),
            log_index: Some(index),
            ..Log::default()
        };
        // The same words at another place are another log.
        let listed = [log(7, 1), log(6, 9), log(7, 0), log(7, 1), log(6, 9), log(7, 2)];
        let told = in_order(listed.to_vec());
        assert_eq!(told, [log(6, 9), log(7, 0), log(7, 1), log(7, 2)]);
    }
}
