//! Whole states read at one block: pools, wallets, allowances.

use alloy::primitives::aliases::I24;
use alloy::primitives::{Address, B256, U256};
use alloy::rpc::types::{Filter, Log};

use crate::engine::event::{Observed, OwnedPosition, Pool, PoolEvent, WalletAudit};
use crate::engine::setup::{ChainSetup, Curve, PoolSetup};
use crate::execution::tx::Spender;
use crate::io::chain::v4::{self, v4_event};
use crate::io::chain::{ChainClient, ChainError};
use crate::market::pools::v2::{PoolV2, V2Observed};
use crate::market::pools::v3::{PoolV3, V3Observed, V3Snapshot};
use crate::math::amm::tick::{MAX_TICK, MIN_TICK, TickState};
use crate::math::amm::v2::KeptPart;
use crate::model::chain::{BlockRef, PoolAddress};
use crate::venues::erc20::Erc20;
use crate::venues::uniswap_v2::abi::UniswapV2Pair as Pair;
use crate::venues::uniswap_v3::abi::{
    NonfungiblePositionManager as Positions, UniswapV3Pool as V3,
};
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
fn contract(setup: &PoolSetup) -> Result<Address, ChainError> {
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
    /// A pool's whole state at a block.
    ///
    /// # Errors
    /// `ChainError`, also when the values cannot belong to one state.
    pub async fn pool(&self, setup: &PoolSetup, block: &BlockRef) -> Result<Pool, ChainError> {
        let at = block.hash;
        let address = match setup.curve {
            Curve::V4 => return self.v4_pool(setup, block).await,
            Curve::V3 => contract(setup)?,
            Curve::V2 => {
                let observed = self.pair(contract(setup)?, at).await?;
                return Ok(Pool::V2(PoolV2::from_snapshot(observed, KeptPart::UNISWAP)));
            }
        };
        let slot0 = self.view(address, &V3::slot0Call {}, at).await?;
        let observed = self.v3(address, at).await?;
        let spacing = self.view(address, &V3::tickSpacingCall {}, at).await?.as_i32();
        let fee_pips: u32 = self.view(address, &V3::feeCall {}, at).await?.to();
        let snapshot = V3Snapshot {
            fee_pips,
            tick_spacing: spacing,
            sqrt_price_x96: observed.sqrt_price_x96,
            tick: observed.tick,
            liquidity: observed.liquidity,
            fee_growth_global0: observed.fee_growth_global0,
            fee_growth_global1: observed.fee_growth_global1,
            fee_protocol: slot0.feeProtocol,
            protocol_fees0: observed.protocol_fees.0,
            protocol_fees1: observed.protocol_fees.1,
            ticks: self.ticks(address, spacing, at).await?,
            block: block.number,
        };
        let pool = PoolV3::from_snapshot(snapshot).map_err(|e| nonsense("pool state", e))?;
        Ok(Pool::V3(Box::new(pool)))
    }

    /// What the logs of one block tell of these pools, in order.
    ///
    /// # Errors
    /// `ChainError`.
    pub async fn pool_events(
        &self,
        pools: &[PoolSetup],
        at: B256,
    ) -> Result<Vec<(PoolAddress, PoolEvent)>, ChainError> {
        let mut logs = self.v4_logs(pools, at).await?;
        let contracts: Vec<Address> =
            pools.iter().filter_map(|pool| pool.address.contract()).collect();
        // A filter without an address asks for the logs of all.
        if !contracts.is_empty() {
            let filter = Filter::new().at_block_hash(at).address(contracts);
            logs.extend(self.logs(&filter).await?);
        }
        logs.sort_by_key(|log| log.log_index);
        Ok(logs.iter().filter_map(|log| pool_event(pools, log)).collect())
    }

    /// The comparable part of a pool at a block.
    ///
    /// # Errors
    /// `ChainError`.
    pub async fn observe(&self, setup: &PoolSetup, at: B256) -> Result<Observed, ChainError> {
        Ok(match setup.curve {
            Curve::V2 => Observed::V2(self.pair(contract(setup)?, at).await?),
            Curve::V3 => Observed::V3(Box::new(self.v3(contract(setup)?, at).await?)),
            Curve::V4 => Observed::V4(Box::new(self.v4_observed(setup, at).await?)),
        })
    }

    async fn pair(&self, address: Address, at: B256) -> Result<V2Observed, ChainError> {
        let reserves = self.view(address, &Pair::getReservesCall {}, at).await?;
        Ok(V2Observed { reserve0: reserves._reserve0.to(), reserve1: reserves._reserve1.to() })
    }

    async fn v3(&self, address: Address, at: B256) -> Result<V3Observed, ChainError> {
        let slot0 = self.view(address, &V3::slot0Call {}, at).await?;
        let fees = self.view(address, &V3::protocolFeesCall {}, at).await?;
        Ok(V3Observed {
            sqrt_price_x96: U256::from(slot0.sqrtPriceX96),
            tick: slot0.tick.as_i32(),
            liquidity: self.view(address, &V3::liquidityCall {}, at).await?,
            fee_growth_global0: self.view(address, &V3::feeGrowthGlobal0X128Call {}, at).await?,
            fee_growth_global1: self.view(address, &V3::feeGrowthGlobal1X128Call {}, at).await?,
            protocol_fees: (fees.token0, fees.token1),
        })
    }

    /// All initialized ticks, found through the tick bitmap.
    async fn ticks(
        &self,
        address: Address,
        spacing: i32,
        at: B256,
    ) -> Result<Vec<(i32, TickState)>, ChainError> {
        if spacing <= 0 {
            return Err(nonsense("tickSpacing", spacing));
        }
        let first = (MIN_TICK / spacing).div_euclid(256);
        let last = (MAX_TICK / spacing).div_euclid(256);
        let word = |position: i32| -> Result<V3::tickBitmapCall, ChainError> {
            i16::try_from(position)
                .map(|position| V3::tickBitmapCall(position))
                .map_err(|e| nonsense("tickBitmap", e))
        };
        let calls = (first..=last).map(word).collect::<Result<Vec<_>, _>>()?;
        let words = self.views(address, &calls, at).await?;
        let mut indices = Vec::new();
        for (position, bits) in (first..=last).zip(words) {
            indices.extend((0..256).filter(|bit| bits.bit(*bit)).map(|bit| {
                let bit = i32::try_from(bit).expect("below 256");
                (position * 256 + bit) * spacing
            }));
        }
        let call = |tick: &i32| -> Result<V3::ticksCall, ChainError> {
            I24::try_from(*tick).map(V3::ticksCall).map_err(|e| nonsense("ticks", e))
        };
        let calls = indices.iter().map(call).collect::<Result<Vec<_>, _>>()?;
        let states = self.views(address, &calls, at).await?;
        let state = |(tick, state): (i32, V3::ticksReturn)| {
            let state = TickState {
                gross: state.liquidityGross,
                net: state.liquidityNet,
                outside0: state.feeGrowthOutside0X128,
                outside1: state.feeGrowthOutside1X128,
            };
            (tick, state)
        };
        Ok(indices.into_iter().zip(states).map(state).collect())
    }

    /// Our balances and positions at a block.
    ///
    /// # Errors
    /// `ChainError`.
    pub async fn wallet(
        &self,
        setup: &ChainSetup,
        block: &BlockRef,
    ) -> Result<WalletAudit, ChainError> {
        let (signer, at) = (setup.signer, block.hash);
        let mut tokens = Vec::with_capacity(setup.tokens.len());
        for token in &setup.tokens {
            let call = Erc20::balanceOfCall(signer);
            tokens.push((token.address, self.view(token.address, &call, at).await?));
        }
        Ok(WalletAudit {
            block: *block,
            native: self.balance(signer, at).await?,
            tokens,
            positions: self.owned_positions(setup, at).await?,
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

    /// What the deployment's contracts may still take from us.
    ///
    /// # Errors
    /// `ChainError`.
    pub async fn allowances(
        &self,
        setup: &ChainSetup,
        at: B256,
    ) -> Result<Vec<(Address, Spender, U256)>, ChainError> {
        let mut spenders = vec![(Spender::PositionManager, setup.position_manager)];
        spenders.extend(setup.router.map(|router| (Spender::SwapRouter, router.address())));
        let mut allowances = Vec::new();
        for token in &setup.tokens {
            for &(name, spender) in &spenders {
                let call = Erc20::allowanceCall { _0: setup.signer, _1: spender };
                let amount = self.view(token.address, &call, at).await?;
                allowances.push((token.address, name, amount));
            }
        }
        Ok(allowances)
    }
}
