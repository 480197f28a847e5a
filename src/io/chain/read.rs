//! What a log tells of a pool; what a wallet holds and allows, read at one block.

use alloy::primitives::{Address, B256, U256};
use alloy::rpc::types::{Filter, Log};
use alloy::sol_types::SolCall;

use crate::engine::event::{OwnedPosition, PoolEvent, WalletAudit};
use crate::engine::setup::{ChainSetup, Curve, PoolSetup};
use crate::execution::tx::Spender;
use crate::io::chain::batch::{Asked, Call, decoded, silent};
use crate::io::chain::v4::{self, v4_event};
use crate::io::chain::{ChainClient, ChainError};
use crate::model::chain::{BlockRef, PoolAddress};
use crate::venues::erc20::Erc20;
use crate::venues::uniswap_v3::abi::NonfungiblePositionManager as Positions;
use crate::venues::{uniswap_v2, uniswap_v3};

/// NFTs of one signer that are read; more are an error, so that none is overlooked.
const POSITIONS_MAX: u64 = 200;

/// The event a pool's log tells of; one that cannot be read is told as broken.
pub(super) fn pool_event(pools: &[PoolSetup], log: &Log) -> Option<(PoolAddress, PoolEvent)> {
    let address = PoolAddress::from(log.inner.address);
    let Some(setup) = pools.iter().find(|pool| pool.address == address) else {
        return v4_event(pools, log);
    };
    let event = match setup.curve {
        Curve::V2 => uniswap_v2::decode_pair_log(&log.inner)
            .map(|event| event.map(PoolEvent::V2))
            .map_err(|e| e.to_string()),
        Curve::V3 => uniswap_v3::decode_pool_log(&log.inner)
            .map(|event| event.map(PoolEvent::V3))
            .map_err(|e| e.to_string()),
        // No contract's address is a V4 pool's.
        Curve::V4 => return None,
    };
    match event {
        Ok(event) => Some((address, event?)),
        Err(why) => Some((address, PoolEvent::Broken(why))),
    }
}

/// A pool of V2 or V3 is a contract of its own.
pub(super) fn contract(setup: &PoolSetup) -> Result<Address, ChainError> {
    setup.address.contract().ok_or_else(|| nonsense("a pool", "it has no contract"))
}

/// Asks for the logs of one pool.
pub(super) fn logs_of(setup: &PoolSetup) -> Result<Filter, ChainError> {
    Ok(match setup.address {
        PoolAddress::Contract(pool) => Filter::new().address(pool),
        PoolAddress::Id(id) => Filter::new().address(v4::place(setup)?.0).topic1(id),
    })
}

pub(super) fn nonsense(what: &'static str, why: impl ToString) -> ChainError {
    ChainError::Nonsense { what, why: why.to_string() }
}

impl ChainClient {
    /// Our balances and positions at a block, and what the deployment's contracts may take.
    ///
    /// # Errors
    /// `ChainError`.
    pub async fn wallet(
        &self,
        setup: &ChainSetup,
        block: &BlockRef,
    ) -> Result<WalletAudit, ChainError> {
        let (signer, at) = (setup.signer, block.hash);
        let mut spenders = vec![(Spender::PositionManager, setup.position_manager)];
        spenders.extend(setup.router.map(|router| (Spender::SwapRouter, router.address())));
        let mut calls: Vec<Call> = Vec::new();
        for token in &setup.tokens {
            calls.push((token.address, Erc20::balanceOfCall(signer).abi_encode().into()));
            for (_, spender) in &spenders {
                let call = Erc20::allowanceCall { _0: signer, _1: *spender };
                calls.push((token.address, call.abi_encode().into()));
            }
        }
        let answers = self.answers(&calls, at, &Asked::new(&silent, 0)).await?;
        let (mut tokens, mut allowances) = (Vec::new(), Vec::new());
        for (token, answers) in setup.tokens.iter().zip(answers.chunks(1 + spenders.len())) {
            let [balance, allowed @ ..] = answers else { continue };
            tokens.push((token.address, decoded::<Erc20::balanceOfCall>(balance)?));
            for ((spender, _), answer) in spenders.iter().zip(allowed) {
                let amount = decoded::<Erc20::allowanceCall>(answer)?;
                allowances.push((token.address, *spender, amount));
            }
        }
        Ok(WalletAudit {
            block: *block,
            native: self.balance(signer, at).await?,
            tokens,
            positions: self.owned_positions(setup, at).await?,
            allowances,
        })
    }

    async fn owned_positions(
        &self,
        setup: &ChainSetup,
        at: B256,
    ) -> Result<Vec<OwnedPosition>, ChainError> {
        let (owner, contract) = (setup.signer, setup.position_manager);
        let count = self.view(contract, &Positions::balanceOfCall { owner }, at).await?;
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        if count > POSITIONS_MAX {
            return Err(nonsense(
                "balanceOf",
                format!("{count} positions, at most {POSITIONS_MAX}"),
            ));
        }
        let mut owned = Vec::new();
        for index in 0..count {
            let call = Positions::tokenOfOwnerByIndexCall { owner, index: U256::from(index) };
            let token_id = self.view(contract, &call, at).await?;
            let call = Positions::positionsCall { tokenId: token_id };
            let position = self.view(contract, &call, at).await?;
            owned.push(OwnedPosition {
                token_id,
                liquidity: position.liquidity,
                inside0: position.feeGrowthInside0LastX128,
                inside1: position.feeGrowthInside1LastX128,
            });
        }
        Ok(owned)
    }
}
