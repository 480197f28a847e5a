//! An EVM of our own over a chain's state at one block: calls as they would come out there, and
//! what would come out a month later, with nothing sent.
//!
//! Knows accounts, words and code, no strategy. The EVM waits for nobody: a run that meets what is
//! not read yet goes on with nothing in its place, is thrown away, and begins anew when all that
//! it met has been read. What is pretended is put among what was read, and is then never asked for.
//! Invariant: what comes out rests on the one block alone, and a run has an end: in rounds, parts
//! of the state, gas and time. An endpoint's chain may have instructions and precompiles that this
//! EVM does not know, so whoever relies on a run compares a call of it with the endpoint's own.

mod fetch;
pub mod hooked;
mod machine;
pub mod token;
pub mod verdict;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::sol_types::SolCall;
use revm::bytecode::Bytecode;
use revm::context::BlockEnv;
use revm::state::AccountInfo;
use thiserror::Error;

use crate::io::chain::{ChainClient, ChainError};

use machine::{Machine, Outcome};

/// Times that a run may begin anew.
const ROUNDS_MAX: usize = 100;
/// Accounts and words that one run may meet.
const PARTS_MAX: usize = 4_000;
/// Of these, what is noted of one round: what comes after the first that are missing was met by a
/// run that went astray.
const PARTS_A_ROUND: usize = 250;
/// Time for one run with all it must read.
const RUN_TIMEOUT: Duration = Duration::from_secs(30);
/// Gas of a simulated view: a quote across many ticks, and far below what nodes allow a call.
const VIEW_GAS: u64 = 16_000_000;

/// Nothing came of a run.
#[derive(Debug, Error)]
pub enum EvmError {
    /// The endpoint did not tell a part of the state.
    #[error("reading {part}: {why}")]
    Read {
        /// What was asked for.
        part: String,
        /// What came instead.
        why: ChainError,
    },
    /// The endpoint does not have the block.
    #[error("no block {hash}")]
    NoBlock {
        /// The hash asked for.
        hash: B256,
    },
    /// It touches ever more of the state.
    #[error("simulating: {n_parts} parts of the state read in {n_rounds} rounds, and no end of it")]
    Endless {
        /// Times that it began anew.
        n_rounds: usize,
        /// Accounts, words and hashes that were read.
        n_parts: usize,
    },
    /// The endpoint is slow, or the run is long.
    #[error("simulating: not done in {} s", RUN_TIMEOUT.as_secs())]
    Timeout,
    /// The call goes through in no way.
    #[error("{what}: {why}")]
    Failed {
        /// What was called.
        what: &'static str,
        /// The contract's words.
        why: String,
    },
}

/// A part of a chain's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Balance, count and code.
    Account(Address),
    /// What a contract keeps in a slot.
    Word(Address, U256),
    /// The hash of a block of this height.
    Hash(u64),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(address) => write!(f, "account {address}"),
            Self::Word(address, slot) => write!(f, "slot {slot:#x} of {address}"),
            Self::Hash(number) => write!(f, "the hash of block {number}"),
        }
    }
}

/// What is known of the state: read, or pretended.
#[derive(Clone, Debug, Default)]
struct Known {
    accounts: BTreeMap<Address, AccountInfo>,
    words: BTreeMap<(Address, U256), U256>,
    hashes: BTreeMap<u64, B256>,
}

impl Known {
    fn n_parts(&self) -> usize {
        self.accounts.len() + self.words.len() + self.hashes.len()
    }

    /// The code with a hash, of any account.
    fn code(&self, hash: B256) -> Bytecode {
        let of = self.accounts.values().find(|account| account.code_hash == hash);
        of.and_then(|account| account.code.clone()).unwrap_or_default()
    }
}

/// A block, as a run sees it.
#[derive(Clone, Debug)]
struct Pinned {
    hash: B256,
    number: u64,
    chain_id: u64,
    /// With the block's base fee, also where calls that pay nothing do not see it.
    env: BlockEnv,
}

/// A chain's state at a block, as far as it was needed so far.
struct Fork<'c> {
    client: &'c ChainClient,
    block: Pinned,
    known: Known,
}

impl<'c> Fork<'c> {
    fn new(client: &'c ChainClient, block: Pinned) -> Self {
        Self { client, block, known: Known::default() }
    }

    /// Makes an account one of nobody: it holds this much of the native coin and has no code.
    fn pretend(&mut self, address: Address, balance: U256) {
        let account = AccountInfo { balance, ..AccountInfo::default() };
        self.known.accounts.insert(address, account);
    }

    /// Runs a script on the state of the block, as often as it takes until all that it meets is
    /// known. Each time it begins with the block, and what it did before is forgotten.
    async fn run<T>(
        &mut self,
        mut script: impl FnMut(&mut Machine<'_>) -> T,
    ) -> Result<T, EvmError> {
        let all = async {
            let mut n_rounds = 0;
            loop {
                let missing = match once(&self.block, &self.known, &mut script) {
                    Ok(told) => return Ok(told),
                    Err(missing) => missing,
                };
                let n_parts = self.known.n_parts();
                if n_rounds == ROUNDS_MAX || n_parts + missing.len() > PARTS_MAX {
                    return Err(EvmError::Endless { n_rounds, n_parts });
                }
                self.client.fetch(&missing, &self.block, &mut self.known).await?;
                n_rounds += 1;
            }
        };
        tokio::time::timeout(RUN_TIMEOUT, all).await.unwrap_or(Err(EvmError::Timeout))
    }
}

/// What a script comes to, or what it met and nobody knows.
fn once<T>(
    block: &Pinned,
    known: &Known,
    script: &mut impl FnMut(&mut Machine<'_>) -> T,
) -> Result<T, BTreeSet<Part>> {
    let missing = RefCell::new(BTreeSet::new());
    let told = script(&mut Machine::new(block, known, &missing));
    let missing = missing.into_inner();
    if missing.is_empty() { Ok(told) } else { Err(missing) }
}

impl ChainClient {
    /// A view of a contract as of a block, by our own EVM on the state that the endpoint tells.
    ///
    /// # Errors
    /// `EvmError`.
    pub async fn simulated<C: SolCall>(
        &self,
        to: Address,
        call: &C,
        at: B256,
    ) -> Result<C::Return, EvmError> {
        let mut fork = Fork::new(self, self.pinned(at).await?);
        let input = Bytes::from(call.abi_encode());
        let outcome = fork.run(|machine| machine.view(to, &input, VIEW_GAS)).await?;
        let what = C::SIGNATURE;
        let failed = |why: String| EvmError::Failed { what, why };
        match outcome {
            Outcome::Returned(bytes) => {
                C::abi_decode_returns_validate(&bytes).map_err(|e| failed(e.to_string()))
            }
            Outcome::Failed(why) => Err(failed(why)),
        }
    }
}
