//! Who acts in the lives, with which tokens, and the contracts that all lives of a kind share.

use alloy::primitives::{Address, Bytes, U256, address, hex};
use alloy::sol_types::{SolConstructor, SolValue};
use anyhow::{Context, Result};
use revm::bytecode::Bytecode;
use tidekeeper::venues::erc20::Erc20;
use tidekeeper::world::artifacts::Artifacts;
use tidekeeper::world::cache;

use super::abi::{Singleton, Token};
use super::machine::{Machine, in_map};

/// Deploys everything, owns the factories and `PoolManager`, and sets the protocol's fees.
pub(super) const OWNER: Address = Address::repeat_byte(0xa1);
/// Trades, holds all liquidity, and pays what a V3 pool asks of it.
pub(super) const TRADER: Address = Address::repeat_byte(0xb2);
/// Gets the protocol's share.
pub(super) const TREASURY: Address = Address::repeat_byte(0xc3);
/// The hooks of pools whose LP fee changes. The low bits of the address ask for no call, so it
/// needs no code: it sends `updateDynamicLPFee` itself.
pub(super) const HOOKS: Address = address!("00000000000000000000000000000000dead4000");

/// Where the code stands that pays for [`TRADER`].
pub(crate) const PAYER: Address = Address::repeat_byte(0xd4);
/// What a V3 pool's callbacks are answered with. The trader is an account with this code
/// (EIP-7702), so that it calls pools itself. All three callbacks are `f(amount0, amount1, data)`,
/// and `data` are the addresses of both tokens. Every positive amount is transferred to the caller;
/// whether that went well the pool sees in its balance.
///
/// ```text
/// 63a9059cbb 60e0 1b 5f 52   memory[0..4] = transfer(address,uint256)
/// 33 6004 52                 memory[4..36] = the caller
/// 6004 35 80 6024 52         amount0, also to memory[36..68]
/// 5f 12 15 6027 57           to 27 unless 0 < amount0
/// 5f 5f 6044 5f 5f           68 bytes of memory, no value
/// 6084 35 5a f1 50           call token0
/// 5b 6024 35 ... 60a4 ...    27: the same for amount1 and token1
/// 5b 00                      41: done
/// ```
pub(crate) const PAYER_CODE: [u8; 67] = hex!(
    "63a9059cbb60e01b5f523360045260043580602452"
    "5f12156027575f5f60445f5f6084355af1505b"
    "602435806024525f12156041575f5f60445f5f60a4355af1505b00"
);

/// What the trader has of each token: more than the lives can spend.
const PURSE: U256 = U256::from_limbs([0, 0, 0, 1 << 58]);
/// What the trader has of the native coin.
const ETHER: U256 = U256::from_limbs([0, 0, 4, 0]);

/// Where the token keeps its balances.
const BALANCES: U256 = U256::from_limbs([3, 0, 0, 0]);

/// A machine with two tokens, in the order of their addresses, and the trader's purse full.
pub(super) struct Stage {
    pub(super) machine: Machine,
    pub(super) tokens: [Address; 2],
    artifacts: Artifacts,
}

impl Stage {
    pub(super) fn build() -> Result<Self> {
        let cache = cache::find().context("there is no cache: run `tools/setup.sh test` first")?;
        let artifacts = Artifacts::load(&cache.join("contracts"))?;
        let mut machine = Machine::new();
        machine.put(PAYER, U256::ZERO, Bytecode::new_legacy(Bytes::from_static(&PAYER_CODE)));
        machine.put(TRADER, ETHER, Bytecode::new_eip7702(PAYER));
        let mut stage = Self { machine, tokens: [Address::ZERO; 2], artifacts };
        stage.tokens = [stage.token()?, stage.token()?];
        stage.tokens.sort();
        Ok(stage)
    }

    fn token(&mut self) -> Result<Address> {
        let token = Erc20::constructorCall {
            _name: "Play".to_owned(),
            _symbol: "PLAY".to_owned(),
            _decimals: 18,
        };
        let token = self.create("MockERC20", &token.abi_encode())?;
        self.machine.must(OWNER, token, &Token::mintCall { to: TRADER, amount: PURSE })?;
        Ok(token)
    }

    /// Creates a contract of the cache.
    pub(super) fn create(&mut self, name: &str, arguments: &[u8]) -> Result<Address> {
        let mut code = self.artifacts.init_code(name, &[])?;
        code.extend_from_slice(arguments);
        self.machine.create(OWNER, code).with_context(|| format!("creating {name}"))
    }

    /// What a V3 pool hands on to the trader's callback.
    pub(super) fn payment(&self) -> Bytes {
        self.tokens.abi_encode().into()
    }

    /// V4's contracts, with the trader's leave to take its tokens.
    pub(super) fn singleton(&mut self) -> Result<V4Site> {
        let singleton = self.create("PoolManager", &OWNER.abi_encode())?;
        let call = Singleton::setProtocolFeeControllerCall { controller: OWNER };
        self.machine.must(OWNER, singleton, &call)?;
        let argument = singleton.abi_encode();
        let site = V4Site {
            singleton,
            swapper: self.create("PoolSwapTest", &argument)?,
            provider: self.create("PoolModifyLiquidityTest", &argument)?,
            donor: self.create("PoolDonateTest", &argument)?,
        };
        for spender in [site.swapper, site.provider, site.donor] {
            for token in self.tokens {
                let call = Token::approveCall { spender, amount: U256::MAX };
                self.machine.must(TRADER, token, &call)?;
            }
        }
        Ok(site)
    }
}

/// V4's contracts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct V4Site {
    pub(crate) singleton: Address,
    pub(crate) swapper: Address,
    pub(crate) provider: Address,
    pub(crate) donor: Address,
}

/// How much of a token somebody has.
pub(super) fn balance(machine: &Machine, token: Address, owner: Address) -> U256 {
    machine.word(token, in_map(owner.into_word().0, BALANCES))
}
