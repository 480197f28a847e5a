//! An EVM in memory: who calls what with which bytes, and what comes of it.
//!
//! Knows no contract of ours. Gas costs nothing and never ends, so that a refusal is always the
//! contracts' own.

use alloy::primitives::{Address, Bytes, Log, U256, hex, keccak256};
use alloy::sol_types::{SolCall, decode_revert_reason};
use anyhow::{Result, anyhow, bail};
use revm::bytecode::Bytecode;
use revm::context::result::{ExecutionResult, HaltReason};
use revm::context::tx::TxEnvBuilder;
use revm::context::{ContextTr, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::handler::MainnetContext;
use revm::state::AccountInfo;
use revm::{Context, DatabaseRef, ExecuteCommitEvm, MainBuilder, MainContext, MainnetEvm};

type Db = CacheDB<EmptyDB>;

/// More than any call here takes.
const GAS: u64 = 1 << 40;
/// Unix time of the first block.
const START_S: u64 = 1_700_000_000;

/// What a call that went through left.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) logs: Vec<Log>,
    pub(super) output: Bytes,
}

/// How a call ended.
#[derive(Debug)]
pub(super) enum Sent {
    Done(Done),
    /// The contract's words, or its bytes where it has none.
    Refused(String),
}

/// An EVM and all that stands in it.
pub(super) struct Machine {
    evm: MainnetEvm<MainnetContext<Db>>,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self::on(Db::default(), U256::from(START_S))
    }

    fn on(db: Db, now_s: U256) -> Self {
        let context = Context::mainnet().with_db(db).modify_cfg_chained(|cfg| {
            cfg.disable_nonce_check = true;
            cfg.tx_gas_limit_cap = Some(u64::MAX);
        });
        let context = context.modify_block_chained(|block| block.timestamp = now_s);
        Self { evm: context.build_mainnet() }
    }

    /// The same state once more; what happens there does not happen here.
    pub(super) fn fork(&self) -> Self {
        Self::on(self.evm.ctx.db().clone(), self.evm.ctx.block.timestamp)
    }

    /// Lets time go by.
    pub(super) fn pass(&mut self, seconds: u64) {
        self.evm.ctx.block.timestamp += U256::from(seconds);
    }

    /// Makes an account what is said here, without a transaction.
    pub(super) fn put(&mut self, account: Address, balance: U256, code: Bytecode) {
        let info = AccountInfo { balance, code: Some(code), ..AccountInfo::default() };
        self.evm.ctx.db_mut().insert_account_info(account, info);
    }

    /// Creates a contract.
    pub(super) fn create(&mut self, from: Address, code: Vec<u8>) -> Result<Address> {
        let result = self.run(TxEnv::builder().caller(from).create().data(code.into()))?;
        result.created_address().ok_or_else(|| anyhow!("nothing was created: {result:?}"))
    }

    /// Calls a contract; what a call that is refused changed is undone, as on a chain.
    pub(super) fn send(
        &mut self,
        from: Address,
        to: Address,
        value: U256,
        call: &impl SolCall,
    ) -> Result<Sent> {
        let data = Bytes::from(call.abi_encode());
        let tx = TxEnv::builder().caller(from).call(to).value(value).data(data);
        Ok(match self.run(tx)? {
            ExecutionResult::Success { logs, output, .. } => {
                Sent::Done(Done { logs, output: output.into_data() })
            }
            ExecutionResult::Revert { output, .. } => {
                let why = decode_revert_reason(&output);
                Sent::Refused(why.unwrap_or_else(|| hex::encode(&output)))
            }
            ExecutionResult::Halt { reason: HaltReason::OutOfGas(why), .. } => {
                bail!("a call took more gas than there is: {why:?}")
            }
            ExecutionResult::Halt { reason, .. } => Sent::Refused(format!("{reason:?}")),
        })
    }

    /// Calls a contract that must not refuse.
    pub(super) fn must(&mut self, from: Address, to: Address, call: &impl SolCall) -> Result<Done> {
        match self.send(from, to, U256::ZERO, call)? {
            Sent::Done(done) => Ok(done),
            Sent::Refused(why) => bail!("{to} refused a call that must go through: {why}"),
        }
    }

    /// A word of a contract's storage.
    pub(super) fn word(&self, account: Address, slot: U256) -> U256 {
        self.evm.ctx.db().storage_ref(account, slot).expect("memory answers")
    }

    fn run(&mut self, tx: TxEnvBuilder) -> Result<ExecutionResult> {
        let tx = tx.gas_limit(GAS).build().map_err(|error| anyhow!("{error}"))?;
        self.evm.transact_commit(tx).map_err(|error| anyhow!("not even begun: {error:?}"))
    }
}

/// Where a Solidity mapping that stands at `slot` keeps the value of a key.
pub(super) fn in_map(key: [u8; 32], slot: U256) -> U256 {
    keccak256([key, slot.to_be_bytes()].concat()).into()
}

/// A word's low and high half.
pub(super) fn halves(word: U256) -> [u128; 2] {
    let [a, b, c, d] = word.into_limbs();
    [u128::from(a) | u128::from(b) << 64, u128::from(c) | u128::from(d) << 64]
}
