//! The pools of the operator's files, found on their chain.

use alloy::primitives::aliases::U24;
use alloy::primitives::{Address, B256};
use anyhow::{Context, Result, ensure};

use crate::config::chain::Chain;
use crate::config::pool::{Dex, Pool};
use crate::engine::setup::{Curve, PoolSetup};
use crate::io::chain::ChainClient;
use crate::market::pools::v4::key::PoolKey;
use crate::model::chain::PoolAddress;
use crate::run::setup::contracts;
use crate::venues::uniswap_v2::abi::UniswapV2Factory;
use crate::venues::uniswap_v3;
use crate::venues::uniswap_v3::abi::{UniswapV3Factory, UniswapV3Pool};

/// One pool that is looked for, in one block.
struct Search<'a> {
    client: &'a ChainClient,
    at: B256,
    pool: &'a Pool,
    /// The factory or, of V4, the `PoolManager`.
    maker: Address,
    token0: Address,
    token1: Address,
}

/// What the chain knows of it.
struct Found {
    curve: Curve,
    address: PoolAddress,
    key: Option<PoolKey>,
    fee_pips: u32,
    tick_spacing: i32,
}

/// Finds a pool by the contract that makes its kind and proves that there is one in a block.
pub(crate) async fn find_pool(
    chain: &Chain,
    pool: &Pool,
    client: &ChainClient,
    at: B256,
) -> Result<PoolSetup> {
    let maker = contracts(chain, pool)?.factory;
    let coin = |symbol: &String| -> Result<Address> {
        let coin = chain.coin(pool, symbol).with_context(|| format!("unknown token {symbol}"))?;
        Ok(coin.0)
    };
    let (base, quote) = (coin(&pool.base)?, coin(&pool.quote)?);
    let (token0, token1) = if base < quote { (base, quote) } else { (quote, base) };
    let search = Search { client, at, pool, maker, token0, token1 };
    let found = match pool.dex {
        Dex::UniswapV2 | Dex::SushiswapV2 => search.pair().await?,
        Dex::UniswapV3 | Dex::SushiswapV3 => search.v3().await?,
        Dex::UniswapV4 => search.v4().await?,
    };
    Ok(PoolSetup {
        address: found.address,
        manager: found.key.map(|_| maker),
        key: found.key,
        dex: pool.dex.name().to_owned(),
        curve: found.curve,
        executor_dex: None,
        pair: format!("{}/{}", pool.base, pool.quote),
        fee_pips: found.fee_pips,
        tick_spacing: found.tick_spacing,
        token0,
        token1,
        base_is_token0: token0 == base,
    })
}

impl Search<'_> {
    async fn pair(&self) -> Result<Found> {
        let call = UniswapV2Factory::getPairCall { _0: self.token0, _1: self.token1 };
        let address = self.client.view(self.maker, &call, self.at).await?;
        ensure!(address != Address::ZERO, "no {} pair: check the factory", self.pool);
        Ok(Found {
            curve: Curve::V2,
            address: address.into(),
            key: None,
            fee_pips: self.pool.fee_pips,
            tick_spacing: 1,
        })
    }

    async fn v3(&self) -> Result<Found> {
        let Self { client, at, pool, maker, token0, token1 } = *self;
        let address = match pool.dex {
            // On some chains its pools have code of their own, and so other addresses.
            Dex::SushiswapV3 => {
                let fee = U24::saturating_from(pool.fee_pips);
                let call = UniswapV3Factory::getPoolCall { _0: token0, _1: token1, _2: fee };
                client.view(maker, &call, at).await?
            }
            _ => uniswap_v3::pool_address(maker, token0, token1, pool.fee_pips),
        };
        ensure!(address != Address::ZERO, "no {pool}: check factory and fee");
        let spacing = client.view(address, &UniswapV3Pool::tickSpacingCall {}, at).await;
        let spacing =
            spacing.with_context(|| format!("no {pool} at {address}: check factory and fee"))?;
        Ok(Found {
            curve: Curve::V3,
            address: address.into(),
            key: None,
            fee_pips: pool.fee_pips,
            tick_spacing: spacing.as_i32(),
        })
    }

    async fn v4(&self) -> Result<Found> {
        let Self { client, at, pool, maker, token0, token1 } = *self;
        let key = pool.key(token0, token1).context("the pool has no tick spacing")?;
        key.check().with_context(|| format!("{pool} can be no pool"))?;
        let id = key.id();
        let state = client.v4_state(maker, id, at).await;
        let (slot0, _) = state.with_context(|| {
            let manager = Dex::UniswapV4.key(Dex::UniswapV4.maker());
            format!("no PoolManager answers at {maker}: check {manager}")
        })?;
        ensure!(
            !slot0.sqrt_price_x96.is_zero(),
            "no {pool}, its id would be {id}: check pair, fee_pips, tick_spacing and hooks"
        );
        Ok(Found {
            curve: Curve::V4,
            address: id.into(),
            key: Some(key),
            fee_pips: slot0.lp_fee_pips,
            tick_spacing: key.tick_spacing,
        })
    }
}
