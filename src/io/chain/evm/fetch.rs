//! Parts of a chain's state, read in batches at one block. A batch that fails as a whole is asked
//! for again in halves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use alloy::eips::BlockId;
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::providers::Provider;
use alloy::rpc::client::BatchRequest;
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::SolCall;
use alloy::transports::{RpcError, TransportErrorKind};
use revm::bytecode::Bytecode;
use revm::context::BlockEnv;
use revm::state::AccountInfo;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::machine::Outcome;
use super::{EvmError, Known, Part, Pinned};
use crate::io::chain::batch::{BATCH_MIN, fewer};
use crate::io::chain::{BATCH_MAX, ChainClient, ChainError, ask, refused};
use crate::model::text::plain;

/// Codes asked for at once: each may have 24 KiB, and is written with two characters a byte.
const CODES_MAX: usize = 50;
/// Most bytes of a code that are taken; no chain allows as many.
const CODE_BYTES_MAX: usize = 1 << 20;
/// Code of an error that says that a call reverted.
const REVERTED: i64 = 3;
/// What nodes that answer with another code, and without a contract's bytes, say of a call that
/// ended badly.
const ENDS: [&str; 5] = ["revert", "opcode", "jump", "out of gas", "vm execution error"];

/// A call that is asked for as somebody.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) input: Bytes,
}

impl Call {
    /// A view, which nobody in particular asks.
    pub(super) fn view(to: Address, call: &impl SolCall) -> Self {
        Self { from: Address::ZERO, to, input: call.abi_encode().into() }
    }
}

/// A question about a part of the state.
#[derive(Clone, Debug)]
struct Question {
    part: Part,
    method: &'static str,
    params: Value,
}

impl Question {
    fn code(address: Address, at: BlockId) -> Self {
        let part = Part::Account(address);
        Self { part, method: "eth_getCode", params: json!([address, at]) }
    }
}

/// How a call ended, where an error tells that, and not the endpoint's own trouble.
fn end(error: &RpcError<TransportErrorKind>) -> Option<Outcome> {
    let said = error.as_error_resp()?;
    let words = said.message.to_lowercase();
    let is_end = said.code == REVERTED
        || said.data.as_ref().is_some_and(|data| data.get().starts_with("\"0x"))
        || ENDS.iter().any(|end| words.contains(end));
    is_end.then(|| Outcome::Failed(plain(&said.message)))
}

fn unread(part: Part, why: ChainError) -> EvmError {
    EvmError::Read { part: part.to_string(), why }
}

impl ChainClient {
    /// A block, as runs on it see it.
    pub(super) async fn pinned(&self, hash: B256) -> Result<Pinned, EvmError> {
        let part = |why| EvmError::Read { part: format!("block {hash}"), why };
        let chain_id = self.chain_id().await.map_err(part)?;
        let block = self.provider.get_block_by_hash(hash);
        let block = ask("eth_getBlockByHash", async { block.await }).await.map_err(part)?;
        let header = block.ok_or(EvmError::NoBlock { hash })?.header;
        let env = BlockEnv {
            number: U256::from(header.number),
            beneficiary: header.beneficiary,
            timestamp: U256::from(header.timestamp),
            gas_limit: header.gas_limit,
            // A chain from before it has none.
            basefee: header.base_fee_per_gas.unwrap_or(0),
            prevrandao: Some(header.mix_hash),
            ..BlockEnv::default()
        };
        Ok(Pinned { hash, number: header.number, chain_id, env })
    }

    /// Reads parts of the state and adds them to what is known.
    pub(super) async fn fetch(
        &self,
        wanted: &BTreeSet<Part>,
        block: &Pinned,
        known: &mut Known,
    ) -> Result<(), EvmError> {
        let at = BlockId::hash(block.hash);
        let (mut words, mut accounts) = (Vec::new(), Vec::new());
        for &part in wanted {
            match part {
                Part::Account(address) => accounts.push(address),
                Part::Word(address, slot) => words.push((address, slot)),
                Part::Hash(number) => {
                    known.hashes.insert(number, self.hash_of(number, block).await?);
                }
            }
        }
        let word = |&(address, slot): &(Address, U256)| Question {
            part: Part::Word(address, slot),
            method: "eth_getStorageAt",
            params: json!([address, slot, at]),
        };
        let questions: Vec<Question> = words.iter().map(word).collect();
        let told: Vec<U256> = self.many(&questions, BATCH_MAX).await?;
        known.words.extend(words.into_iter().zip(told));
        if accounts.is_empty() {
            return Ok(());
        }
        let number = |method| {
            move |&address: &Address| Question {
                part: Part::Account(address),
                method,
                params: json!([address, at]),
            }
        };
        let balances: Vec<Question> = accounts.iter().map(number("eth_getBalance")).collect();
        let counts: Vec<Question> =
            accounts.iter().map(number("eth_getTransactionCount")).collect();
        let numbers = [balances, counts].concat();
        let numbers: Vec<U256> = self.many(&numbers, BATCH_MAX).await?;
        let (balances, counts) = numbers.split_at(accounts.len());
        let codes = self.codes(&accounts, at).await?;
        for (((address, balance), count), code) in
            accounts.into_iter().zip(balances).zip(counts).zip(codes)
        {
            let account = AccountInfo { balance: *balance, nonce: count.saturating_to(), ..code };
            known.accounts.insert(address, account);
        }
        Ok(())
    }

    /// Accounts with nothing but their code.
    async fn codes(&self, accounts: &[Address], at: BlockId) -> Result<Vec<AccountInfo>, EvmError> {
        let questions: Vec<Question> =
            accounts.iter().map(|address| Question::code(*address, at)).collect();
        let codes: Vec<Bytes> = self.many(&questions, CODES_MAX).await?;
        let account = |(code, question): (Bytes, &Question)| {
            let nonsense = |why: String| {
                unread(question.part, ChainError::Nonsense { what: question.method, why })
            };
            if code.len() > CODE_BYTES_MAX {
                return Err(nonsense(format!("{} bytes", code.len())));
            }
            let code = Bytecode::new_raw_checked(code).map_err(|e| nonsense(e.to_string()))?;
            Ok(AccountInfo::default().with_code(code))
        };
        codes.into_iter().zip(&questions).map(account).collect()
    }

    /// The hash of the code at each of some addresses; `None` where there is no code.
    ///
    /// # Errors
    /// `EvmError` when the endpoint does not tell one of them.
    pub async fn code_hashes(
        &self,
        of: &BTreeSet<Address>,
        at: B256,
    ) -> Result<BTreeMap<Address, Option<B256>>, EvmError> {
        let at = BlockId::hash(at);
        let questions: Vec<Question> = of.iter().map(|of| Question::code(*of, at)).collect();
        let codes: Vec<Bytes> = self.many(&questions, CODES_MAX).await?;
        let hash = |code: Bytes| (!code.is_empty()).then(|| keccak256(&code));
        Ok(of.iter().copied().zip(codes.into_iter().map(hash)).collect())
    }

    /// The hash of a block at or before the pinned one, on its own branch; of a pretended later
    /// one, a hash that no block has.
    async fn hash_of(&self, number: u64, block: &Pinned) -> Result<B256, EvmError> {
        if number >= block.number {
            return Ok(if number == block.number { block.hash } else { keccak256(block.hash) });
        }
        let part = |why| unread(Part::Hash(number), why);
        let hash = self.block(number.into()).await.map_err(part)?.header.hash;
        // Blocks are told by height: they are those of the branch only while the pinned one is.
        let now = self.block(block.number.into()).await.map_err(part)?.header.hash;
        if now != block.hash {
            let why = format!("block {} was taken back meanwhile", block.number);
            return Err(part(ChainError::Nonsense { what: "eth_getBlockByNumber", why }));
        }
        Ok(hash)
    }

    /// Answers to many questions of one type, in the order asked.
    async fn many<R>(&self, questions: &[Question], at_once: usize) -> Result<Vec<R>, EvmError>
    where
        R: DeserializeOwned + Debug + Send + Sync + Unpin + 'static,
    {
        let mut answers: Vec<R> = Vec::with_capacity(questions.len());
        let (mut rest, mut most) = (questions, at_once);
        while !rest.is_empty() {
            let (some, later) = rest.split_at(rest.len().min(most));
            match self.one_batch::<R>(some).await {
                Ok(found) => {
                    answers.extend(found);
                    rest = later;
                }
                Err((part, why)) => {
                    let fewer = fewer(some.len(), BATCH_MIN, why);
                    most = fewer.map_err(|why| unread(part, why))?;
                }
            }
        }
        Ok(answers)
    }

    /// Answers to questions of one request, or which of them was not answered and why.
    async fn one_batch<R>(&self, questions: &[Question]) -> Result<Vec<R>, (Part, ChainError)>
    where
        R: DeserializeOwned + Debug + Send + Sync + Unpin + 'static,
    {
        self.turn().await;
        let mut batch = BatchRequest::new(self.provider.client());
        let mut waiters = Vec::with_capacity(questions.len());
        for Question { part, method, params } in questions {
            let waiter = batch.add_call::<_, R>(*method, params);
            waiters.push(waiter.map_err(|e| (*part, refused(*method, &e)))?);
        }
        if let Some(Question { part, method, .. }) = questions.first() {
            let sent = ask(*method, async { batch.send().await }).await;
            sent.map_err(|why| (*part, why))?;
        }
        let mut answers = Vec::with_capacity(questions.len());
        for (Question { part, method, .. }, waiter) in questions.iter().zip(waiters) {
            // All of them have their answer by now.
            let answer = waiter.await;
            answers.push(answer.map_err(|e| (*part, refused(*method, &e)))?);
        }
        Ok(answers)
    }

    /// What the endpoint itself makes of calls at a block, in the order asked. An error that says
    /// how a call ended is that call's end.
    ///
    /// # Errors
    /// `ChainError`, also where the endpoint answers a call with trouble of its own.
    pub(super) async fn told(&self, calls: &[Call], at: B256) -> Result<Vec<Outcome>, ChainError> {
        let mut outcomes = Vec::with_capacity(calls.len());
        let (mut rest, mut most) = (calls, BATCH_MAX);
        while !rest.is_empty() {
            let (some, later) = rest.split_at(rest.len().min(most));
            match self.some_told(some, at).await {
                Ok(told) => {
                    outcomes.extend(told);
                    rest = later;
                }
                Err(error) => most = fewer(some.len(), BATCH_MIN, error)?,
            }
        }
        Ok(outcomes)
    }

    /// The same of one request.
    async fn some_told(&self, calls: &[Call], at: B256) -> Result<Vec<Outcome>, ChainError> {
        let what = "eth_call";
        self.turn().await;
        let mut batch = BatchRequest::new(self.provider.client());
        let mut waiters = Vec::with_capacity(calls.len());
        for Call { from, to, input } in calls {
            let request = TransactionRequest::default().with_from(*from).with_to(*to);
            let request = request.with_input(input.clone());
            let waiter = batch
                .add_call::<_, Bytes>(what, &(request, BlockId::hash(at)))
                .map_err(|e| refused(what, &e))?;
            waiters.push(waiter);
        }
        ask(what, async { batch.send().await }).await?;
        let mut outcomes = Vec::with_capacity(calls.len());
        for waiter in waiters {
            outcomes.push(match waiter.await {
                Ok(bytes) => Outcome::Returned(bytes),
                Err(error) => end(&error).ok_or_else(|| refused(what, &error))?,
            });
        }
        Ok(outcomes)
    }
}

#[cfg(test)]
mod tests {
    use alloy::providers::RootProvider;
    use alloy::providers::mock::Asserter;
    use alloy::rpc::client::RpcClient;

    use super::*;

    fn client(endpoint: &Asserter) -> ChainClient {
        ChainClient { provider: RootProvider::new(RpcClient::mocked(endpoint.clone())), pace: None }
    }

    fn calls(n: u8) -> Vec<Call> {
        let call = |n: u8| Call { from: Address::ZERO, to: Address::ZERO, input: vec![n].into() };
        (0..n).map(call).collect()
    }

    #[tokio::test]
    async fn a_batch_that_is_refused_is_asked_for_in_halves() {
        let endpoint = Asserter::new();
        // All of 24 are refused; then 12 and 12 are answered.
        for _ in 0..24 {
            endpoint.push_failure_msg("batch is too large");
        }
        for n in 0..24_u8 {
            endpoint.push_success(&Bytes::from(vec![n]));
        }
        let told = client(&endpoint).told(&calls(24), B256::ZERO).await.unwrap();
        let expected: Vec<Outcome> =
            (0..24_u8).map(|n| Outcome::Returned(vec![n].into())).collect();
        assert_eq!(told, expected);
        assert!(endpoint.pop_response().is_none());
        // The same of parts of the state.
        let question = |n| Question::code(Address::with_last_byte(n), BlockId::latest());
        let questions: Vec<Question> = (0..24).map(question).collect();
        for _ in 0..24 {
            endpoint.push_failure_msg("batch is too large");
        }
        for n in 0..24_u64 {
            endpoint.push_success(&U256::from(n));
        }
        let told: Vec<U256> = client(&endpoint).many(&questions, CODES_MAX).await.unwrap();
        assert_eq!(told, (0..24_u64).map(U256::from).collect::<Vec<_>>());
        // Few are not asked for again.
        for _ in 0..2 * BATCH_MIN {
            endpoint.push_failure_msg("come back later");
        }
        let few = &questions[..BATCH_MIN];
        let error = client(&endpoint).many::<U256>(few, CODES_MAX).await.unwrap_err();
        assert!(matches!(error, EvmError::Read { .. }), "{error}");
        for _ in 0..BATCH_MIN {
            assert!(endpoint.pop_response().is_some());
        }
        assert!(endpoint.pop_response().is_none());
    }

    #[tokio::test]
    async fn trouble_of_the_endpoint_is_not_a_calls_end() {
        let endpoint = Asserter::new();
        let failure = |said: Value| {
            endpoint.push_failure(serde_json::from_str(&said.to_string()).unwrap());
        };
        failure(json!({ "code": 3, "message": "execution reverted", "data": "0x" }));
        endpoint.push_success(&Bytes::from(vec![1]));
        let told = client(&endpoint).told(&calls(2), B256::ZERO).await.unwrap();
        let failed = Outcome::Failed("execution reverted".to_owned());
        assert_eq!(told, [failed, Outcome::Returned(vec![1].into())]);
        endpoint.push_success(&Bytes::from(vec![1]));
        failure(json!({ "code": -32_005, "message": "limit exceeded" }));
        let told = client(&endpoint).told(&calls(2), B256::ZERO).await;
        assert!(matches!(told, Err(ChainError::Refused { is_unreached: false, .. })), "{told:?}");
    }

    #[test]
    fn an_end_is_told_by_code_bytes_or_words() {
        let is_end = |code: i64, message: &str, data: Value| {
            let said = json!({ "code": code, "message": message, "data": data });
            end(&RpcError::ErrorResp(serde_json::from_str(&said.to_string()).unwrap())).is_some()
        };
        assert!(is_end(3, "", Value::Null));
        assert!(is_end(-32_000, "call failed", json!("0x08c379a0")));
        for words in ["execution reverted", "invalid opcode: INVALID", "VM execution error."] {
            assert!(is_end(-32_000, words, Value::Null), "{words}");
        }
        assert!(!is_end(-32_000, "header not found", Value::Null));
        assert!(!is_end(-32_000, "missing trie node 5c1a", Value::Null));
        assert!(!is_end(-32_005, "rate limit", json!({ "see": "https://example.org" })));
        assert!(!is_end(429, "too many requests", json!("wait for a second")));
    }
}
