//! One chain endpoint: reads pinned to a block hash, calls with a deadline, bytes sent as they are.
//!
//! Every request has a timeout; an answer that contradicts the block it was asked for is an error,
//! never a fact.

pub mod discover;
mod read;
mod v4;
pub mod watch;

use std::time::Duration;

use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::network::{Ethereum, TransactionBuilder};
use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::providers::{Provider, RootProvider};
use alloy::rpc::client::BatchRequest;
use alloy::rpc::types::{Block, Filter, Log, TransactionReceipt, TransactionRequest};
use alloy::sol_types::SolCall;
use alloy::transports::{RpcError, TransportErrorKind};
use thiserror::Error;

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
    /// The endpoint answered with an error.
    #[error("{what}: {why}")]
    Refused { what: &'static str, why: String },
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
}

impl ChainClient {
    /// A client of an HTTP endpoint; nothing is asked yet.
    ///
    /// # Errors
    /// `ChainError::Address`.
    pub fn new(http_url: &str) -> Result<Self, ChainError> {
        let url = http_url.parse().map_err(|e| ChainError::Address(format!("{e}")))?;
        Ok(Self { provider: RootProvider::new_http(url) })
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

    /// Logs of one block, by its hash: a node that does not know the hash answers with an error.
    ///
    /// # Errors
    /// `ChainError`.
    pub async fn logs(&self, filter: &Filter) -> Result<Vec<Log>, ChainError> {
        ask("eth_getLogs", self.provider.get_logs(filter)).await
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

    /// Many views of one contract in few requests, in the order asked.
    ///
    /// # Errors
    /// `ChainError`; one bad answer spoils all.
    pub async fn views<C: SolCall>(
        &self,
        to: Address,
        calls: &[C],
        at: B256,
    ) -> Result<Vec<C::Return>, ChainError> {
        let what = C::SIGNATURE;
        let mut answers = Vec::with_capacity(calls.len());
        for chunk in calls.chunks(BATCH_MAX) {
            let mut batch = BatchRequest::new(self.provider.client());
            let mut waiters = Vec::with_capacity(chunk.len());
            for call in chunk {
                let request =
                    TransactionRequest::default().with_to(to).with_input(call.abi_encode());
                let waiter = batch
                    .add_call::<_, Bytes>("eth_call", &(request, BlockId::hash(at)))
                    .map_err(|e| refused(what, &e))?;
                waiters.push(waiter);
            }
            ask(what, async { batch.send().await }).await?;
            for waiter in waiters {
                let bytes = ask(what, async { waiter.await }).await?;
                answers.push(decode::<C>(&bytes)?);
            }
        }
        Ok(answers)
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
    let why = match error {
        RpcError::ErrorResp(payload) => plain(&payload.message),
        RpcError::Transport(_) => "the endpoint cannot be reached".to_owned(),
        _ => "the answer cannot be read".to_owned(),
    };
    ChainError::Refused { what, why }
}
