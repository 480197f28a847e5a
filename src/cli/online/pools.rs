//! The pools of a chain's file, each by the contract that makes its kind.

use alloy::primitives::Address;
use alloy::primitives::aliases::U24;

use super::{Row, Site};
use crate::cli::findings::Report;
use crate::config::pool::{Dex, Pool};
use crate::engine::pools::Oddity;
use crate::io::chain::evm::hooked::HookRules;
use crate::venues::uniswap_v2::abi::{UniswapV2Factory, UniswapV2Pair};
use crate::venues::uniswap_v2::{PAIR_INIT_CODE_HASH, pair_address};
use crate::venues::uniswap_v3::abi::{UniswapV3Factory, UniswapV3Pool};
use crate::venues::uniswap_v3::pool_address;

/// What the files say of a pool.
struct Members {
    factory: Address,
    base: Address,
    quote: Address,
    fee: U24,
}

impl Site<'_> {
    /// A pool by the contract that makes its kind, which must know it.
    pub(super) async fn pool(&self, report: &mut Report, index: usize, pool: &Pool) {
        let key = format!("pools.allow[{index}]");
        let (fee_key, pair_key) = (format!("{key}.fee_pips"), format!("{key}.pair"));
        let factory_key = pool.dex.key("factory");
        let blame = [fee_key.as_str(), pair_key.as_str(), factory_key.as_str()];
        let Members { factory, base, quote, fee } = self.members(pool);
        let mut row = self.row(&key, pool);
        // All pairs of V2 have one fee, so that it cannot be to blame.
        let (found, blame) = match pool.dex {
            Dex::UniswapV4 => return self.v4_pool(report, &key, pool).await,
            Dex::UniswapV3 | Dex::SushiswapV3 => {
                let call = UniswapV3Factory::getPoolCall { _0: base, _1: quote, _2: fee };
                (row.ask(factory, &call, &blame).await, &blame[..])
            }
            Dex::UniswapV2 | Dex::SushiswapV2 => {
                let call = UniswapV2Factory::getPairCall { _0: base, _1: quote };
                (row.ask(factory, &call, &blame[1..]).await, &blame[1..])
            }
        };
        match found {
            Some(Address::ZERO) => {
                row.wrong(format!("the factory {factory} has no such pool"), blame);
            }
            Some(address) => self.inside(&mut row, pool, address, blame).await,
            // Why was noted.
            None => {}
        }
        row.tell(report);
    }

    /// A V4 pool by its id, under which the manager must have a price.
    async fn v4_pool(&self, report: &mut Report, key: &str, pool: &Pool) {
        let mut keys =
            ["pair", "fee_pips", "tick_spacing"].map(|of| format!("{key}.{of}")).to_vec();
        keys.push(pool.dex.key(pool.dex.maker()));
        let blame: Vec<&str> = keys.iter().map(String::as_str).collect();
        let Members { factory: manager, base, quote, .. } = self.members(pool);
        let (token0, token1) = if base < quote { (base, quote) } else { (quote, base) };
        let mut row = self.row(key, pool);
        // The loader refuses a V4 pool without the rest of its key.
        let Some(of) = pool.key(token0, token1) else { return };
        let id = of.id();
        match self.client.v4_state(manager, id, self.at).await {
            Ok((slot0, _)) if slot0.sqrt_price_x96.is_zero() => {
                row.wrong(format!("{manager} has no pool under its id {id}"), &blame);
            }
            Ok((slot0, liquidity)) => {
                row.facts.push(format!("has a price under its id {id}"));
                row.facts.push(format!("its LP fee is {} pips", slot0.lp_fee_pips));
                row.doubt(Oddity::of_range(slot0.tick, liquidity));
            }
            Err(error) => row.unanswered(&error, &blame),
        }
        if !of.hooks.is_zero() {
            let hooks_key = format!("{key}.hooks");
            row.has_code(of.hooks, &[hooks_key.as_str()]).await;
        }
        match self.client.quoting(&of, &HookRules::of(self.chain), self.at).await {
            Ok(quoting) => row.facts.push(quoting.to_string()),
            Err(error) => row.unanswered(&error, &blame),
        }
        row.tell(report);
    }

    /// What a pool says of itself, and whether its code is the one we know.
    async fn inside(&self, row: &mut Row<'_>, pool: &Pool, address: Address, blame: &[&str]) {
        if !row.has_code(address, blame).await {
            return;
        }
        row.facts.push(format!("at {address}"));
        let Members { factory, base, quote, fee } = self.members(pool);
        let (token0, token1) = if base < quote { (base, quote) } else { (quote, base) };
        // Pairs of V2 have these three words as well.
        row.expect(address, &UniswapV3Pool::factoryCall {}, factory, blame).await;
        row.expect(address, &UniswapV3Pool::token0Call {}, token0, blame).await;
        row.expect(address, &UniswapV3Pool::token1Call {}, token1, blame).await;
        let derived = match pool.dex {
            Dex::UniswapV3 | Dex::SushiswapV3 => {
                row.expect(address, &UniswapV3Pool::feeCall {}, fee, blame).await;
                let call = UniswapV3Factory::feeAmountTickSpacingCall(fee);
                if let Some(spacing) = row.ask(factory, &call, blame).await {
                    let call = UniswapV3Pool::tickSpacingCall {};
                    row.expect(address, &call, spacing, blame).await;
                }
                let derived = pool_address(factory, base, quote, pool.fee_pips);
                // On some chains SushiSwap's pools have code of their own.
                (pool.dex == Dex::UniswapV3 || derived == address).then_some(derived)
            }
            Dex::UniswapV2 => Some(pair_address(factory, PAIR_INIT_CODE_HASH, base, quote)),
            // The files have no hash of its pairs' code; V4's pools have none.
            Dex::SushiswapV2 | Dex::UniswapV4 => None,
        };
        match derived {
            Some(derived) if derived != address => {
                let found = format!("is at {address}, the code we know would be at {derived}");
                row.wrong(found, &[pool.dex.key("factory").as_str()]);
            }
            Some(_) => row.facts.push("CREATE2 gives this address".to_owned()),
            None => {}
        }
        let odd = oddity(row, pool.dex, address, blame).await;
        row.doubt(odd);
    }

    /// The loader refuses a pool of an unknown exchange or of unknown tokens.
    fn members(&self, pool: &Pool) -> Members {
        let coin = |symbol: &str| {
            let coin = self.chain.coin(pool, symbol);
            coin.map_or(Address::ZERO, |(address, _)| address)
        };
        Members {
            factory: self.chain.dexes[&pool.dex].factory,
            base: coin(&pool.base),
            quote: coin(&pool.quote),
            fee: U24::saturating_from(pool.fee_pips),
        }
    }
}

/// What will keep a keeper from trading in a pool that has a contract of its own.
async fn oddity(row: &mut Row<'_>, dex: Dex, at: Address, blame: &[&str]) -> Option<Oddity> {
    match dex {
        Dex::UniswapV2 | Dex::SushiswapV2 => {
            let held = row.ask(at, &UniswapV2Pair::getReservesCall {}, blame).await?;
            Oddity::of_pair([held._reserve0.to(), held._reserve1.to()])
        }
        Dex::UniswapV3 | Dex::SushiswapV3 => {
            let tick = row.ask(at, &UniswapV3Pool::slot0Call {}, blame).await?.tick;
            let liquidity = row.ask(at, &UniswapV3Pool::liquidityCall {}, blame).await?;
            Oddity::of_range(tick.as_i32(), liquidity)
        }
        Dex::UniswapV4 => None,
    }
}
