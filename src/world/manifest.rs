//! `world.json`: what the demo tells everybody else about the world it has built.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::chain::PoolAddress;
use crate::store::cluster;
use crate::world::v4::NATIVE;

/// Why a manifest could not be written or read.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// The file cannot be written or read.
    #[error("cannot access {}", .path.display())]
    File { path: PathBuf, source: io::Error },
    /// The file is not a manifest.
    #[error("{} is not a world manifest", .path.display())]
    Malformed { path: PathBuf, source: serde_json::Error },
}

/// The whole local world. Holds no secret that guards anything: keys and accounts are published
/// ones with play money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The chains.
    pub chains: Vec<ChainSite>,
    /// The exchange's REST address, without a path.
    pub exchange_http: String,
    /// The exchange's WebSocket address, without a path.
    pub exchange_ws: String,
    /// The agent's accounts on the exchange.
    pub accounts: Vec<AccountSite>,
    /// The agent's account on every chain.
    pub signer: Address,
    /// The agent's Postgres; unknown until it runs.
    pub database: Option<cluster::Manifest>,
}

/// One side of an account on the exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSite {
    /// The agent's name for it.
    pub venue: String,
    /// Which side.
    pub side: AccountSide,
    /// The exchange's fixed key.
    pub api_key: String,
    /// Its fixed secret.
    pub api_secret: String,
}

/// The two sides of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountSide {
    /// Spot.
    Spot,
    /// USD-M futures.
    Usdm,
}

/// One chain of the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainSite {
    /// The operator's name of it.
    pub name: String,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Seconds between blocks.
    pub block_time_s: u64,
    /// For requests.
    pub rpc_http: String,
    /// For subscriptions.
    pub rpc_ws: String,
    /// Where the contracts are.
    pub contracts: Contracts,
    /// The pools that exist.
    pub pools: Vec<PoolSite>,
}

/// Addresses of the contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contracts {
    /// Wrapped ether, 18 decimals.
    pub weth: Address,
    /// The test dollar, 6 decimals, free to mint.
    pub usdt: Address,
    /// Another one.
    pub usdc: Address,
    /// `UniswapV2Factory`.
    pub v2_factory: Address,
    /// `UniswapV2Router02`.
    pub v2_router: Address,
    /// SushiSwap's `UniswapV2Factory`.
    pub sushi_factory: Address,
    /// SushiSwap's `UniswapV2Router02`.
    pub sushi_router: Address,
    /// `UniswapV3Factory`.
    pub v3_factory: Address,
    /// `NonfungiblePositionManager`.
    pub position_manager: Address,
    /// `SwapRouter`.
    pub swap_router: Address,
    /// `SwapRouter02`.
    pub swap_router02: Address,
    /// `QuoterV2`.
    pub quoter: Address,
    /// SushiSwap V3's.
    pub sushi_v3: SushiV3,
    /// Uniswap V4's.
    pub v4: V4,
    /// Our executor, operated by the agent.
    pub executor: Address,
}

/// Contracts of SushiSwap V3 as far as they can be had: pool code byte-identical to SushiSwap V3's;
/// factory and periphery are Uniswap's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SushiV3 {
    /// A second `UniswapV3Factory`.
    pub factory: Address,
    /// Its `NonfungiblePositionManager`, which draws no pictures.
    pub position_manager: Address,
    /// Its `SwapRouter`.
    pub router: Address,
    /// Its `QuoterV2`.
    pub quoter: Address,
}

/// Contracts of Uniswap V4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct V4 {
    /// `PoolManager`, which holds all pools.
    pub pool_manager: Address,
    /// `StateView`.
    pub state_view: Address,
    /// `V4Quoter`.
    pub quoter: Address,
    /// `PoolSwapTest`, by which the world's actors swap.
    pub swap_test: Address,
    /// `PoolModifyLiquidityTest`, by which the deployer put liquidity in.
    pub liquidity_test: Address,
}

/// The chain's accounts by role; the node holds all their keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounts {
    /// Owns the contracts and the first liquidity.
    pub deployer: Address,
    /// The agent.
    pub signer: Address,
    /// Replay the recorded swaps.
    pub traders: Vec<Address>,
    /// Ties the deepest pools to the book.
    pub arbitrageur: Address,
    /// Holds the cold key of the executors.
    pub owner: Address,
    /// Compete for cycles of pools.
    pub rivals: Vec<Address>,
}

/// Which curve a pool follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dex {
    /// Constant product.
    UniswapV2,
    /// Constant product, from SushiSwap's factory.
    SushiswapV2,
    /// Concentrated liquidity.
    UniswapV3,
    /// Concentrated liquidity, from the factory that plays SushiSwap's.
    SushiswapV3,
    /// Concentrated liquidity, all pools in one contract.
    UniswapV4,
}

/// One pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSite {
    /// Its contract; a V4 pool's id.
    pub address: PoolAddress,
    /// Its curve.
    pub dex: Dex,
    /// Swap fee in millionths, without what a V4 pool's protocol keeps.
    pub fee_pips: u32,
    /// Grid of the ticks; 1 for pools without ticks.
    pub tick_spacing: i32,
    /// The token of the lower address; the zero address is the native coin.
    pub token0: Address,
    /// The other.
    pub token1: Address,
}

impl PoolSite {
    /// The token that is not this one; `None` for a pool without it.
    pub fn other(&self, token: Address) -> Option<Address> {
        if self.token0 == token {
            Some(self.token1)
        } else {
            (self.token1 == token).then_some(self.token0)
        }
    }

    /// Ether, wrapped or native, and the token it is traded for; `None` for a pool without ether.
    pub fn ether_and_other(&self, weth: Address) -> Option<(Address, Address)> {
        [weth, NATIVE].into_iter().find_map(|ether| Some((ether, self.other(ether)?)))
    }
}

impl Manifest {
    /// Writes the file whole or not at all: a reader never sees half of it.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ManifestError> {
        let failed = |source| ManifestError::File { path: path.to_owned(), source };
        let text = serde_json::to_string_pretty(self).map_err(|source| failed(source.into()))?;
        let draft = path.with_extension("json.part");
        fs::write(&draft, text + "\n").map_err(failed)?;
        fs::rename(&draft, path).map_err(failed)
    }

    /// Reads what [`Manifest::write`] wrote.
    ///
    /// # Errors
    /// When there is no such file or it is not a manifest.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ManifestError::File { path: path.to_owned(), source })?;
        serde_json::from_str(&text)
            .map_err(|source| ManifestError::Malformed { path: path.to_owned(), source })
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;

    use super::*;

    fn pool(dex: Dex, address: PoolAddress, token0: Address) -> PoolSite {
        let token1 = Address::with_last_byte(3);
        PoolSite { address, dex, fee_pips: 500, tick_spacing: 10, token0, token1 }
    }

    fn manifest() -> Manifest {
        let at = Address::with_last_byte;
        let contracts = Contracts {
            weth: at(2),
            usdt: at(3),
            usdc: at(11),
            v2_factory: at(4),
            v2_router: at(5),
            sushi_factory: at(12),
            sushi_router: at(13),
            v3_factory: at(6),
            position_manager: at(7),
            swap_router: at(8),
            swap_router02: at(15),
            quoter: at(9),
            sushi_v3: SushiV3 {
                factory: at(16),
                position_manager: at(17),
                router: at(18),
                quoter: at(19),
            },
            v4: V4 {
                pool_manager: at(20),
                state_view: at(21),
                quoter: at(22),
                swap_test: at(23),
                liquidity_test: at(24),
            },
            executor: at(14),
        };
        let pools = vec![
            pool(Dex::UniswapV3, at(10).into(), at(2)),
            pool(Dex::UniswapV4, B256::repeat_byte(10).into(), NATIVE),
            pool(Dex::SushiswapV3, at(25).into(), at(4)),
        ];
        Manifest {
            chains: vec![ChainSite {
                name: "demo".to_owned(),
                chain_id: 31_337,
                block_time_s: 1,
                rpc_http: "http://127.0.0.1:8545".to_owned(),
                rpc_ws: "ws://127.0.0.1:8545".to_owned(),
                contracts,
                pools,
            }],
            exchange_http: "http://127.0.0.1:9000".to_owned(),
            exchange_ws: "ws://127.0.0.1:9000".to_owned(),
            accounts: vec![AccountSite {
                venue: "spot".to_owned(),
                side: AccountSide::Spot,
                api_key: "key".to_owned(),
                api_secret: "secret".to_owned(),
            }],
            signer: at(1),
            database: None,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = std::env::temp_dir().join(format!("world-manifest-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("world.json");
        manifest().write(&path).unwrap();
        let read = Manifest::read(&path).unwrap();
        fs::write(&path, "{}").unwrap();
        let bad = Manifest::read(&path);
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(read, manifest());
        assert!(matches!(bad, Err(ManifestError::Malformed { .. })));
        assert!(matches!(Manifest::read(&path), Err(ManifestError::File { .. })));
    }

    #[test]
    fn names_are_the_agreed_ones() {
        let json = serde_json::to_value(manifest()).unwrap();
        let chain = &json["chains"][0];
        let dexes = [0, 1, 2].map(|index| &chain["pools"][index]["dex"]);
        assert_eq!(dexes, ["uniswap_v3", "uniswap_v4", "sushiswap_v3"]);
        let id = format!("0x{}", "0a".repeat(32));
        assert_eq!(chain["pools"][1]["address"], id.as_str());
        assert_eq!(chain["contracts"]["usdt"], "0x0000000000000000000000000000000000000003");
        assert!(json["database"].is_null());
    }

    #[test]
    fn ether_is_found_wrapped_or_native() {
        let [weth, dollar, other] = [2, 3, 4].map(Address::with_last_byte);
        let address = PoolAddress::from(other);
        let found = |token0| pool(Dex::UniswapV4, address, token0).ether_and_other(weth);
        assert_eq!(found(weth), Some((weth, dollar)));
        assert_eq!(found(NATIVE), Some((NATIVE, dollar)));
        assert_eq!(found(other), None);
    }
}
