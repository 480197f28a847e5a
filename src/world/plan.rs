//! What world to build: prices, pools, purses. Plain numbers in human units, no chain.

use rust_decimal::Decimal;

/// What world to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldPlan {
    /// Start price of every pool, test dollars per ether: the exchange tape's first mid.
    pub price: Decimal,
    /// Seconds between blocks once the world is built.
    pub block_time_s: u64,
    /// Uniswap's V3 pools.
    pub v3_pools: Vec<V3Plan>,
    /// SushiSwap's V3 pools.
    pub sushi_v3_pools: Vec<V3Plan>,
    /// Uniswap's V4 pools.
    pub v4_pools: Vec<V4Plan>,
    /// Ether in Uniswap's V2 pair; as much value again in test dollars.
    pub v2_base: Decimal,
    /// Ether in SushiSwap's V2 pair; as much value again in test dollars.
    pub sushi_base: Decimal,
    /// What the agent begins with.
    pub agent: Purse,
    /// Native ether the agent begins with, for gas.
    pub agent_ether: Decimal,
    /// What each trader begins with.
    pub trader: Purse,
    /// What the arbitrageur begins with.
    pub arbitrageur: Purse,
}

/// The two tokens of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// Ether in the dollar that the books trade in.
    WethUsdt,
    /// Ether in the other dollar.
    WethUsdc,
    /// One dollar in the other.
    UsdcUsdt,
}

/// One V3 pool: its tokens, its fee tier and its liquidity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct V3Plan {
    /// Its tokens.
    pub pair: Pair,
    /// Fee tier in millionths.
    pub fee_pips: u32,
    /// Positions of the deployer around the start price.
    pub bands: Vec<Band>,
}

/// One V4 pool: ether in the dollar that the books trade in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct V4Plan {
    /// Which ether.
    pub ether: Ether,
    /// What a swap pays to the liquidity, in millionths.
    pub fee_pips: u32,
    /// Grid of the ticks.
    pub tick_spacing: i32,
    /// What the protocol keeps before, in millionths: of a swap of token0, and of one of token1.
    pub protocol_fee_pips: [u32; 2],
    /// Positions of the deployer around the start price.
    pub bands: Vec<Band>,
}

/// The two forms of ether that a V4 pool may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ether {
    /// The chain's own coin.
    Native,
    /// The token that wraps it.
    Wrapped,
}

/// One liquidity position around the start price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// How far it reaches.
    pub reach: Reach,
    /// The first token in it; as much value again in the second.
    pub base: Decimal,
}

/// How far a position reaches to either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// So many ticks, widened to the pool's grid.
    Ticks(i32),
    /// As far as the pool goes.
    Full,
}

/// Tokens in human units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purse {
    /// Wrapped ether.
    pub base: Decimal,
    /// Test dollars.
    pub quote: Decimal,
}

impl WorldPlan {
    /// The demo's world at a start price: a deep 0.01 % pool at about a third of the depth that
    /// mainnet's 0.05 % pool had on the recorded day; beside it a 0.3 % pool, two V2 pairs and
    /// SushiSwap's V3 pool, shallow enough for a trade to open a gap, and a second dollar, so that
    /// cycles of three pools exist. Of V4's two pools one holds the native coin; in the other the
    /// protocol takes its part, another one each way.
    #[must_use]
    pub fn demo(price: Decimal) -> Self {
        let purse = |base: i64, quote: i64| Purse { base: base.into(), quote: quote.into() };
        // 1,000 ticks are about 10 %.
        let near = |base: i64| Band { reach: Reach::Ticks(1_000), base: base.into() };
        let full = |base: i64| Band { reach: Reach::Full, base: base.into() };
        let pool = |pair, fee_pips, bands| V3Plan { pair, fee_pips, bands };
        let v4_pool = |ether, (fee_pips, tick_spacing), protocol_fee_pips, bands| V4Plan {
            ether,
            fee_pips,
            tick_spacing,
            protocol_fee_pips,
            bands,
        };
        Self {
            price,
            block_time_s: 1,
            v3_pools: vec![
                pool(Pair::WethUsdt, 100, vec![near(3_000), full(1_000)]),
                pool(Pair::WethUsdt, 3_000, vec![near(100), full(100)]),
                pool(Pair::WethUsdc, 500, vec![near(100), full(100)]),
                pool(Pair::UsdcUsdt, 100, vec![near(5_000_000)]),
            ],
            sushi_v3_pools: vec![pool(Pair::WethUsdt, 3_000, vec![near(100), full(100)])],
            v4_pools: vec![
                v4_pool(Ether::Native, (500, 10), [0, 0], vec![near(200), full(200)]),
                v4_pool(Ether::Wrapped, (3_000, 60), [400, 600], vec![near(100), full(100)]),
            ],
            v2_base: 300.into(),
            sushi_base: 150.into(),
            agent: purse(60, 150_000),
            agent_ether: 100.into(),
            trader: purse(2_000, 5_000_000),
            arbitrageur: purse(5_000, 12_000_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demo_has_pools_of_several_tiers_and_something_in_each() {
        let plan = WorldPlan::demo(Decimal::from(2_683));
        let tiers: Vec<u32> = plan.v3_pools.iter().map(|pool| pool.fee_pips).collect();
        assert_eq!(tiers, [100, 3_000, 500, 100]);
        let v3 = plan.v3_pools.iter().chain(&plan.sushi_v3_pools).map(|pool| &pool.bands);
        let bands: Vec<_> = v3.chain(plan.v4_pools.iter().map(|pool| &pool.bands)).collect();
        assert_eq!(bands.len(), 7);
        let is_full = |bands: &&Vec<Band>| bands.iter().all(|band| !band.base.is_zero());
        assert!(bands.iter().all(|bands| !bands.is_empty() && is_full(bands)));
    }

    #[test]
    fn one_v4_pool_is_of_the_coin_and_one_pays_the_protocol() {
        let pools = WorldPlan::demo(Decimal::from(2_683)).v4_pools;
        let [native, wrapped] = &pools[..] else { panic!("{pools:?}") };
        assert_eq!((native.ether, wrapped.ether), (Ether::Native, Ether::Wrapped));
        assert_eq!(native.protocol_fee_pips, [0, 0]);
        let [one, other] = wrapped.protocol_fee_pips;
        // v4-core allows at most 1,000 pips each way.
        assert!(one != other && one.min(other) > 0 && one.max(other) <= 1_000);
    }
}
