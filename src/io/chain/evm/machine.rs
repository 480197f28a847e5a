//! One run: who calls what with which bytes, and what comes of it.
//!
//! Knows what was read and notes what was not. Invariant: nothing here waits, and no call takes
//! more gas than it is given.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::convert::Infallible;

use alloy::primitives::{Address, B256, Bytes, TxKind, U256, hex};
use alloy::sol_types::decode_revert_reason;
use revm::bytecode::Bytecode;
use revm::context::result::{ExecutionResult, HaltReason};
use revm::context::{BlockEnv, Context, TxEnv};
use revm::database::CacheDB;
use revm::handler::MainnetContext;
use revm::state::AccountInfo;
use revm::{DatabaseRef, ExecuteCommitEvm, ExecuteEvm, MainBuilder, MainContext, MainnetEvm};

use super::{Known, PARTS_A_ROUND, Part, Pinned};
use crate::model::text::plain;

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It went through, with these bytes.
    Returned(Bytes),
    /// It did not, and why.
    Failed(String),
}

/// The state that a run begins with, and what it misses of it.
struct Source<'k> {
    known: &'k Known,
    missing: &'k RefCell<BTreeSet<Part>>,
}

impl Source<'_> {
    /// What is known of a part; what is not is noted, and nothing stands in its place.
    fn look<T: Default>(&self, part: Part, found: Option<T>) -> T {
        let mut missing = self.missing.borrow_mut();
        if found.is_none() && missing.len() < PARTS_A_ROUND {
            missing.insert(part);
        }
        found.unwrap_or_default()
    }
}

impl DatabaseRef for Source<'_> {
    type Error = Infallible;

    /// Never `None`: the words of an account that is not there would not be asked for.
    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        let found = self.known.accounts.get(&address).cloned();
        Ok(Some(self.look(Part::Account(address), found)))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, Infallible> {
        Ok(self.known.code(hash))
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, Infallible> {
        let found = self.known.words.get(&(address, slot)).copied();
        Ok(self.look(Part::Word(address, slot), found))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Infallible> {
        let found = self.known.hashes.get(&number).copied();
        Ok(self.look(Part::Hash(number), found))
    }
}

/// An EVM at the block, or later.
pub(super) struct Machine<'k> {
    evm: MainnetEvm<MainnetContext<CacheDB<Source<'k>>>>,
    /// The block's own, in wei.
    base_fee: u64,
    /// What calls say that they pay for a unit of gas, in wei.
    gas_price: u128,
}

impl<'k> Machine<'k> {
    /// Calls pay nothing, and see no base fee: so it is in `eth_call`.
    pub(super) fn new(
        block: &Pinned,
        known: &'k Known,
        missing: &'k RefCell<BTreeSet<Part>>,
    ) -> Self {
        let context = Context::mainnet()
            .with_db(CacheDB::new(Source { known, missing }))
            .modify_cfg_chained(|cfg| {
                cfg.chain_id = block.chain_id;
                cfg.disable_nonce_check = true;
                // A pool gives tokens away, which it never does as the sender of a transaction.
                cfg.disable_eip3607 = true;
                cfg.tx_gas_limit_cap = Some(u64::MAX);
                cfg.disable_block_gas_limit = true;
                // Whoever calls need not own the price of the gas, and does not lose it.
                cfg.disable_fee_charge = true;
            })
            .modify_block_chained(|env| *env = BlockEnv { basefee: 0, ..block.env.clone() });
        let base_fee = block.env.basefee;
        Self { evm: context.build_mainnet(), base_fee, gas_price: 0 }
    }

    /// From now on calls have a gas price, and see the block's base fee, as transactions do: by
    /// neither can a contract tell that it is simulated.
    pub(super) fn price(&mut self) {
        self.evm.ctx.block.basefee = self.base_fee;
        self.gas_price = u128::from(self.base_fee.max(1));
    }

    /// Lets time go by.
    pub(super) fn pass(&mut self, n_blocks: u64, seconds: u64) {
        let block = &mut self.evm.ctx.block;
        block.number = block.number.saturating_add(U256::from(n_blocks));
        block.timestamp = block.timestamp.saturating_add(U256::from(seconds));
    }

    /// Calls a contract for good: what a call that goes through changes stays.
    pub(super) fn send(&mut self, from: Address, to: Address, input: &Bytes, gas: u64) -> Outcome {
        match self.evm.transact_commit(transaction(from, to, input, gas, self.gas_price)) {
            Ok(result) => outcome(result, gas),
            Err(error) => Outcome::Failed(plain(&error.to_string())),
        }
    }

    /// Asks a contract; nothing stays.
    pub(super) fn view(&mut self, to: Address, input: &Bytes, gas: u64) -> Outcome {
        self.view_from(Address::ZERO, to, input, gas)
    }

    /// Asks a contract as somebody; nothing stays.
    pub(super) fn view_from(
        &mut self,
        from: Address,
        to: Address,
        input: &Bytes,
        gas: u64,
    ) -> Outcome {
        match self.evm.transact(transaction(from, to, input, gas, self.gas_price)) {
            Ok(told) => outcome(told.result, gas),
            Err(error) => Outcome::Failed(plain(&error.to_string())),
        }
    }
}

/// A call; of the first kind of transactions, which need not name their chain.
fn transaction(from: Address, to: Address, input: &Bytes, gas: u64, gas_price: u128) -> TxEnv {
    TxEnv {
        caller: from,
        gas_limit: gas,
        gas_price,
        kind: TxKind::Call(to),
        data: input.clone(),
        chain_id: None,
        ..TxEnv::default()
    }
}

fn outcome(result: ExecutionResult, gas: u64) -> Outcome {
    match result {
        ExecutionResult::Success { output, .. } => Outcome::Returned(output.into_data()),
        ExecutionResult::Revert { output, .. } => Outcome::Failed(reason(&output)),
        ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. } => {
            Outcome::Failed(format!("it takes more than {gas} gas"))
        }
        ExecutionResult::Halt { reason, .. } => Outcome::Failed(format!("{reason:?}")),
    }
}

/// A contract's words, or its bytes where it has none.
fn reason(output: &Bytes) -> String {
    if output.is_empty() {
        return "it reverts without a reason".to_owned();
    }
    let words = decode_revert_reason(output);
    plain(&words.unwrap_or_else(|| format!("it reverts with {}", hex::encode_prefixed(output))))
}

#[cfg(test)]
mod tests {
    use super::super::once;
    use super::*;

    const ME: Address = Address::with_last_byte(1);
    const COUNTER: Address = Address::with_last_byte(0xc0);
    const GAS: u64 = 100_000;

    /// Adds one to the word in slot seven and returns it.
    const ADDS_ONE: &str = "600754600101806007555f5260205ff3";
    /// Returns the hash of block 9.
    const ASKS_HASH: &str = "6009405f5260205ff3";
    /// Returns the time.
    const ASKS_TIME: &str = "425f5260205ff3";
    /// Returns the gas price and the base fee.
    const ASKS_PRICES: &str = "3a5f524860205260405ff3";
    /// Jumps to its own beginning.
    const NEVER_ENDS: &str = "5b5f56";
    /// Reverts with four bytes that are no text.
    const REFUSES: &str = "63fffefdfc5f526004601cfd";

    /// Reads every slot from the thousandth down to the first.
    const READS_MANY: &str = "6103e85b8054506001900380600357";

    fn pinned() -> Pinned {
        let env = BlockEnv {
            number: U256::from(10),
            timestamp: U256::from(1_000),
            ..BlockEnv::default()
        };
        Pinned { hash: B256::repeat_byte(1), number: 10, chain_id: 31_337, env }
    }

    fn with(code: &str) -> Known {
        let code = Bytecode::new_legacy(hex::decode(code).unwrap().into());
        let mut known = Known::default();
        known.accounts.insert(COUNTER, AccountInfo::default().with_code(code));
        for address in [ME, Address::ZERO] {
            known.accounts.insert(address, AccountInfo::default());
        }
        known
    }

    fn word(n: u64) -> Outcome {
        Outcome::Returned(U256::from(n).to_be_bytes::<32>().into())
    }

    fn ask(known: &Known) -> Result<Outcome, BTreeSet<Part>> {
        once(&pinned(), known, &mut |machine: &mut Machine<'_>| {
            machine.view(COUNTER, &Bytes::new(), GAS)
        })
    }

    #[test]
    fn what_is_missing_is_told_whole_and_the_run_begins_anew() {
        let slot = U256::from(7);
        let mut script = |machine: &mut Machine<'_>| {
            let input = Bytes::new();
            let first = machine.view(COUNTER, &input, GAS);
            let sent = machine.send(ME, COUNTER, &input, GAS);
            [first, sent, machine.send(ME, COUNTER, &input, GAS)]
        };
        let nothing = once(&pinned(), &Known::default(), &mut script).unwrap_err();
        let accounts = [Address::ZERO, ME, COUNTER].map(Part::Account);
        assert!(accounts.iter().all(|part| nothing.contains(part)), "{nothing:?}");
        let mut known = with(ADDS_ONE);
        let word_missing = BTreeSet::from([Part::Word(COUNTER, slot)]);
        assert_eq!(once(&pinned(), &known, &mut script), Err(word_missing));
        known.words.insert((COUNTER, slot), U256::from(40));
        // A view leaves nothing, a call does.
        assert_eq!(once(&pinned(), &known, &mut script), Ok([word(41), word(41), word(42)]));
        assert_eq!(once(&pinned(), &known, &mut script), Ok([word(41), word(41), word(42)]));
    }

    #[test]
    fn a_run_that_goes_astray_is_not_followed_far() {
        let view =
            &mut |machine: &mut Machine<'_>| machine.view(COUNTER, &Bytes::new(), 10_000_000);
        let missing = once(&pinned(), &with(READS_MANY), view).unwrap_err();
        assert_eq!(missing.len(), PARTS_A_ROUND);
        assert!(missing.contains(&Part::Word(COUNTER, U256::from(1_000))));
        assert!(!missing.contains(&Part::Word(COUNTER, U256::from(700))));
    }

    #[test]
    fn a_contract_may_send_and_what_ends_badly_says_why() {
        let mut known = with(ADDS_ONE);
        known.words.insert((COUNTER, U256::from(7)), U256::ZERO);
        let by_itself = once(&pinned(), &known, &mut |machine: &mut Machine<'_>| {
            machine.send(COUNTER, COUNTER, &Bytes::new(), GAS)
        });
        assert_eq!(by_itself, Ok(word(1)));
        let failed = |why: &str| Ok(Outcome::Failed(why.to_owned()));
        assert_eq!(ask(&with(NEVER_ENDS)), failed("it takes more than 100000 gas"));
        assert_eq!(ask(&with(REFUSES)), failed("it reverts with 0xfffefdfc"));
        assert_eq!(ask(&with("5f5ffd")), failed("it reverts without a reason"));
        assert_eq!(ask(&with("fe")), failed("InvalidFEOpcode"));
    }

    #[test]
    fn gas_costs_nothing_until_it_has_a_price() {
        let prices = |of: [u64; 2]| {
            let words = of.map(|n| U256::from(n).to_be_bytes::<32>());
            Outcome::Returned(words.concat().into())
        };
        let mut script = |machine: &mut Machine<'_>| {
            let input = Bytes::new();
            let free = machine.view(COUNTER, &input, GAS);
            machine.price();
            let sent = machine.send(ME, COUNTER, &input, GAS);
            [free, sent, machine.view(COUNTER, &input, GAS)]
        };
        // The caller owns nothing, and the block has less room than the call may take.
        let mut block = pinned();
        for (base_fee, price) in [(7, 7), (0, 1)] {
            (block.env.basefee, block.env.gas_limit) = (base_fee, GAS - 1);
            let priced = prices([price, base_fee]);
            let told = once(&block, &with(ASKS_PRICES), &mut script);
            assert_eq!(told, Ok([prices([0, 0]), priced.clone(), priced]));
        }
    }

    #[test]
    fn time_goes_by_and_hashes_are_asked_for() {
        let later = once(&pinned(), &with(ASKS_TIME), &mut |machine: &mut Machine<'_>| {
            machine.pass(3, 86_400);
            machine.view(COUNTER, &Bytes::new(), GAS)
        });
        assert_eq!(later, Ok(word(87_400)));
        let mut known = with(ASKS_HASH);
        assert_eq!(ask(&known), Err(BTreeSet::from([Part::Hash(9)])));
        known.hashes.insert(9, B256::from(U256::from(5)));
        assert_eq!(ask(&known), Ok(word(5)));
    }
}
