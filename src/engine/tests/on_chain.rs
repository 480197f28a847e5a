//! The miniature chain: what blocks make of the engine's transactions.

use alloy::primitives::{Address, U256};

use crate::engine::event::{Body, OwnedPosition, PoolEvent};
use crate::engine::output::Command;
use crate::engine::tests::asked::{estimates, only, submits};
use crate::engine::tests::kept::hash_of;
use crate::engine::tests::stage::{EXECUTOR, POOL_AT, SIGNER, USDT, WETH, price_of};
use crate::engine::tests::world::World;
use crate::execution::tx::{Act, TxRequest};
use crate::market::pools::v3::V3Event;
use crate::math::amm::liquidity::{amounts_for_liquidity, liquidity_for_amounts};
use crate::math::amm::tick::{TickRange, sqrt_price_at};
use crate::math::amm::v3::{MAX_SWAP_AMOUNT, Quote, SwapAmount, SwapOrder};
use crate::math::amm::{Amounts, Direction, Rounding};
use crate::model::chain::{NftLog, Receipt, TokenTransfer};
use crate::model::intent::{CloseRange, OpenRange, SwapPlan};

/// The first NFT the position manager gives out.
pub(super) const TOKEN_ID: U256 = U256::from_limbs([7, 0, 0, 0]);
const GAS_USED: u64 = 90_000;
const SPACING: i32 = 10;

impl World {
    /// The asked estimate is answered and the transaction signed and sent.
    pub(super) fn send(&mut self, asked: &[Command]) -> TxRequest {
        let (intent, _) = only(estimates(asked));
        let request = only(submits(&self.estimated(intent)));
        let (chain, nonce) = (request.chain, request.nonce);
        self.feed(Body::Sent { chain, nonce, hash: hash_of(nonce) });
        request
    }

    /// The transaction is mined and did what it wanted.
    pub(super) fn mine(&mut self, request: &TxRequest) -> Vec<Command> {
        let (logs, transfers, nft_logs) = match &request.act {
            Act::Approve { token, spender, amount } => {
                self.allowances.retain(|(of, by, _)| (of, by) != (token, spender));
                self.allowances.push((*token, *spender, *amount));
                (Vec::new(), Vec::new(), Vec::new())
            }
            Act::Open { open, .. } => self.minted(open, request.nonce),
            Act::Close { close, .. } => self.withdrawn(close, request.nonce),
            Act::Swap { swap, .. } => self.swapped(swap, request.nonce),
            Act::Cycle { cycle, .. } => {
                let paid = Amounts { amount0: U256::ZERO, amount1: cycle.min_profit };
                self.usdt += paid.amount1;
                (Vec::new(), moved(request.nonce, EXECUTOR, SIGNER, paid), Vec::new())
            }
        };
        let receipt = self.receipt(request.nonce, true, transfers, nft_logs);
        let mut block = self.next_block(logs, vec![(request.nonce, receipt)], Vec::new());
        if matches!(request.act, Act::Cycle { .. }) {
            // Taken, the gap is closed.
            block.pool_logs.push(self.pair_moves(0));
        }
        self.feed(Body::Block(Box::new(block)))
    }

    /// The transaction is mined and failed.
    pub(super) fn revert(&mut self, request: &TxRequest) -> Vec<Command> {
        let receipt = self.receipt(request.nonce, false, Vec::new(), Vec::new());
        self.block_with(Vec::new(), vec![(request.nonce, receipt)])
    }

    fn receipt(
        &mut self,
        nonce: u64,
        is_success: bool,
        transfers: Vec<TokenTransfer>,
        nft_logs: Vec<NftLog>,
    ) -> Receipt {
        let receipt = Receipt {
            hash: hash_of(nonce),
            is_success,
            gas_used: GAS_USED,
            gas_price: self.base_fee + 100_000_000,
            l1_fee: U256::from(12_345),
            transfers,
            nft_logs,
        };
        self.native -= receipt.cost().expect("small");
        self.signer_nonce = nonce + 1;
        receipt
    }

    fn minted(&mut self, open: &OpenRange, nonce: u64) -> Made {
        let range = TickRange::new(open.tick_lower, open.tick_upper, SPACING).expect("on the grid");
        let root = self.pool.sqrt_price_x96();
        let most = Amounts { amount0: open.amount0, amount1: open.amount1 };
        let liquidity = liquidity_for_amounts(root, range, most).expect("fits");
        let paid = amounts_for_liquidity(root, range, liquidity, Rounding::Up).expect("fits");
        assert!(paid.amount0 >= open.amount0_min && paid.amount1 >= open.amount1_min);
        let (lower, upper) = (range.lower(), range.upper());
        let log = V3Event::Mint { lower, upper, amount: liquidity };
        self.pool.apply(&log).expect("the pool takes it");
        let [inside0, inside1] = self.pool.fee_growth_inside(range).expect("both ends stand");
        self.owned.push(OwnedPosition { token_id: TOKEN_ID, liquidity, inside0, inside1 });
        self.weth -= paid.amount0;
        self.usdt -= paid.amount1;
        let increased = NftLog::Increased {
            token_id: TOKEN_ID,
            liquidity,
            amount0: paid.amount0,
            amount1: paid.amount1,
        };
        let moved = moved(nonce, SIGNER, POOL_AT, paid);
        (vec![PoolEvent::V3(log)], moved, vec![increased])
    }

    fn swapped(&mut self, swap: &SwapPlan, nonce: u64) -> Made {
        let is_down = swap.token_in == WETH;
        let order = SwapOrder {
            direction: if is_down { Direction::ZeroForOne } else { Direction::OneForZero },
            amount: SwapAmount::ExactIn(swap.amount_in),
            sqrt_limit_x96: None,
        };
        let outcome = self.pool.quote(&order).expect("liquidity is there");
        assert!(outcome.amount_out >= swap.amount_out_min, "the chain would refuse it");
        let (paid, got) = (outcome.amount_in, outcome.amount_out);
        let (given, taken) = if is_down {
            self.weth -= paid;
            self.usdt += got;
            let given = Amounts { amount0: paid, amount1: U256::ZERO };
            (given, Amounts { amount0: U256::ZERO, amount1: got })
        } else {
            self.usdt -= paid;
            self.weth += got;
            let given = Amounts { amount0: U256::ZERO, amount1: paid };
            (given, Amounts { amount0: got, amount1: U256::ZERO })
        };
        let log = swap_log(&outcome);
        self.pool.apply(&log).expect("its own quote");
        let mut legs = moved(nonce, SIGNER, POOL_AT, given);
        legs.extend(moved(nonce, POOL_AT, SIGNER, taken));
        (vec![PoolEvent::V3(log)], legs, Vec::new())
    }

    fn withdrawn(&mut self, close: &CloseRange, nonce: u64) -> Made {
        let owned = self.owned.pop().expect("a position is open");
        assert_eq!((close.token_id, close.liquidity), (owned.token_id, owned.liquidity));
        let position = &self.kept.positions[&owned.token_id];
        let (lower, upper) = (position.tick_lower, position.tick_upper);
        let range = TickRange::new(lower, upper, SPACING).expect("on the grid");
        let root = self.pool.sqrt_price_x96();
        let amount = owned.liquidity;
        let principal = amounts_for_liquidity(root, range, amount, Rounding::Down).expect("fits");
        assert!(principal.amount0 >= close.amount0_min && principal.amount1 >= close.amount1_min);
        let fees = self.pool.position_fees(range, amount, [owned.inside0, owned.inside1]);
        let fees = fees.expect("both ends stand");
        let taken = Amounts {
            amount0: principal.amount0 + U256::from(fees.owed0),
            amount1: principal.amount1 + U256::from(fees.owed1),
        };
        let burned = V3Event::Burn { lower, upper, amount };
        self.pool.apply(&burned).expect("the pool gives it");
        self.weth += taken.amount0;
        self.usdt += taken.amount1;
        let decreased = NftLog::Decreased {
            token_id: owned.token_id,
            liquidity: amount,
            amount0: principal.amount0,
            amount1: principal.amount1,
        };
        let collected = NftLog::Collected {
            token_id: owned.token_id,
            amount0: taken.amount0,
            amount1: taken.amount1,
        };
        let moved = moved(nonce, POOL_AT, SIGNER, taken);
        (vec![PoolEvent::V3(burned)], moved, vec![decreased, collected])
    }

    /// Somebody trades the pool to a tick, in one block; the books follow.
    pub(super) fn swap_to(&mut self, tick: i32) -> Vec<Command> {
        let is_up = tick > self.pool.tick();
        let order = SwapOrder {
            direction: if is_up { Direction::OneForZero } else { Direction::ZeroForOne },
            amount: SwapAmount::ExactIn(MAX_SWAP_AMOUNT),
            sqrt_limit_x96: Some(sqrt_price_at(tick).expect("a tick")),
        };
        let outcome = self.pool.quote(&order).expect("liquidity is there");
        let log = swap_log(&outcome);
        self.pool.apply(&log).expect("its own quote");
        self.quote(price_of(&self.pool));
        self.block_with(vec![PoolEvent::V3(log)], Vec::new())
    }

    /// A position is opened from a first estimate, mined and compared.
    pub(super) fn open_position(&mut self, asked: &[Command]) {
        let request = self.send(asked);
        assert!(matches!(request.act, Act::Open { .. }), "{request:?}");
        self.mine(&request);
        self.audit_wallet();
    }

    /// A token comes from or goes to somebody else.
    pub(super) fn foreign(
        &mut self,
        token: Address,
        is_received: bool,
        amount: U256,
    ) -> TokenTransfer {
        let held = if token == WETH { &mut self.weth } else { &mut self.usdt };
        *held = if is_received { *held + amount } else { *held - amount };
        let other = Address::with_last_byte(0xee);
        let (from, to) = if is_received { (other, SIGNER) } else { (SIGNER, other) };
        let tx = hash_of(9_000 + self.head.block.number);
        TokenTransfer { token, from, to, amount, tx, log_index: 3 }
    }

    /// A block with a foreign transfer.
    pub(super) fn foreign_block(&mut self, transfer: TokenTransfer) -> Vec<Command> {
        let block = self.next_block(Vec::new(), Vec::new(), vec![transfer]);
        self.feed(Body::Block(Box::new(block)))
    }
}

/// Pool logs, transfers of ours and position events of one transaction.
type Made = (Vec<PoolEvent>, Vec<TokenTransfer>, Vec<NftLog>);

fn swap_log(outcome: &Quote) -> V3Event {
    let (amount0, amount1) = outcome.deltas();
    V3Event::Swap {
        amount0,
        amount1,
        sqrt_price_x96: outcome.sqrt_price_x96,
        liquidity: outcome.liquidity,
        tick: outcome.tick,
    }
}

fn moved(nonce: u64, from: Address, to: Address, amounts: Amounts) -> Vec<TokenTransfer> {
    let both = [(WETH, amounts.amount0, 1), (USDT, amounts.amount1, 2)];
    let real = both.into_iter().filter(|(_, amount, _)| !amount.is_zero());
    let tx = hash_of(nonce);
    let of = |(token, amount, log_index)| TokenTransfer { token, from, to, amount, tx, log_index };
    real.map(of).collect()
}
