//! The only room that touches private keys: acts become signed bytes here.

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::network::TxSignerSync;
use alloy::primitives::{Address, Bytes, TxKind, U256, keccak256};
use alloy::signers::local::PrivateKeySigner;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use uuid::Uuid;

use crate::engine::setup::{ChainSetup, Router};
use crate::execution::tx::{Act, SignedTx, Spender, TxRequest};
use crate::model::intent::{CycleLeg, CyclePlan, PoolId};
use crate::model::time::Timestamp;
use crate::venues::erc20;
use crate::venues::executor::{self, FeeTooLarge, Flash, Leg};
use crate::venues::uniswap_v3::calls::{self, EncodeError, ExactInput, MintOrder, Withdrawal};

/// A transaction could not be made.
#[derive(Debug, Error)]
pub enum SignError {
    /// The key's text is not one; the text itself is never shown.
    #[error("the key is not a private key")]
    Key,
    /// The keystore cannot be opened.
    #[error("keystore {path}: wrong passphrase or not a keystore file")]
    Keystore { path: String },
    /// An argument does not fit the contract.
    #[error("the call cannot be encoded")]
    Encode(#[from] EncodeError),
    /// A fee does not fit the executor.
    #[error("the cycle cannot be encoded")]
    Cycle(#[from] FeeTooLarge),
    /// The act names a pool or contract that is not configured.
    #[error("the act names something that is not configured")]
    NotConfigured,
    /// The signature failed.
    #[error("the key refused to sign")]
    Refused,
}

/// The text of a key made now: for an account of play money that nobody else has.
#[must_use]
pub fn random_key() -> SecretString {
    format!("{:#x}", PrivateKeySigner::random().to_bytes()).into()
}

/// A key in memory.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "secrets are a type without Debug")]
pub struct Key {
    signer: PrivateKeySigner,
}

impl Key {
    /// From hex text.
    ///
    /// # Errors
    /// `SignError::Key`.
    pub fn from_hex(text: &SecretString) -> Result<Self, SignError> {
        let signer = text.expose_secret().trim().parse().map_err(|_| SignError::Key)?;
        Ok(Self { signer })
    }

    /// From a V3 keystore file.
    ///
    /// # Errors
    /// `SignError::Keystore`.
    pub fn from_keystore(path: &std::path::Path, pass: &SecretString) -> Result<Self, SignError> {
        let signer = PrivateKeySigner::decrypt_keystore(path, pass.expose_secret())
            .map_err(|_| SignError::Keystore { path: path.display().to_string() })?;
        Ok(Self { signer })
    }

    /// Its address.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// Signs a request: the same request always gives the same bytes (RFC 6979).
    ///
    /// # Errors
    /// `SignError`.
    pub fn sign(
        &self,
        chain: &ChainSetup,
        request: &TxRequest,
        intent: Uuid,
        strategy: &str,
    ) -> Result<SignedTx, SignError> {
        let mut tx = unsigned(chain, request)?;
        let signature =
            self.signer.sign_transaction_sync(&mut tx).map_err(|_| SignError::Refused)?;
        let envelope = TxEnvelope::from(tx.into_signed(signature));
        Ok(SignedTx {
            request: request.clone(),
            signer: self.address(),
            intent,
            strategy: strategy.to_owned(),
            raw: Bytes::from(envelope.encoded_2718()),
            hash: *envelope.tx_hash(),
        })
    }
}

/// The transaction of a request, before anybody signs it.
fn unsigned(chain: &ChainSetup, request: &TxRequest) -> Result<TxEip1559, SignError> {
    let (to, input) = encode(chain, &request.act)?;
    Ok(TxEip1559 {
        chain_id: request.chain,
        nonce: request.nonce,
        gas_limit: request.gas_limit,
        max_fee_per_gas: request.max_fee,
        max_priority_fee_per_gas: request.max_priority_fee,
        to: TxKind::Call(to),
        value: U256::ZERO,
        input,
        ..TxEip1559::default()
    })
}

/// What a slot of a pretend signer keeps: the bytes that would be signed, and no signature. No
/// chain takes them; the hash names them and the pretend signer.
///
/// # Errors
/// `SignError::Encode`, `SignError::NotConfigured`.
pub fn pretend(
    chain: &ChainSetup,
    request: &TxRequest,
    intent: Uuid,
    strategy: &str,
) -> Result<SignedTx, SignError> {
    let raw = unsigned(chain, request)?.encoded_for_signing();
    let hash = keccak256([raw.as_slice(), chain.signer.as_slice()].concat());
    Ok(SignedTx {
        request: request.clone(),
        signer: chain.signer,
        intent,
        strategy: strategy.to_owned(),
        raw: Bytes::from(raw),
        hash,
    })
}

/// Contract and calldata of an act.
///
/// # Errors
/// `SignError::Encode`, `SignError::NotConfigured`.
pub fn encode(chain: &ChainSetup, act: &Act) -> Result<(Address, Bytes), SignError> {
    let router = || chain.router.ok_or(SignError::NotConfigured);
    let contract = |spender: Spender| match spender {
        Spender::PositionManager => Ok(chain.position_manager),
        Spender::SwapRouter => router().map(Router::address),
    };
    // The contracts below are Uniswap V3's: by a pair and a fee they mean its pools alone.
    let pool = |id: PoolId| {
        let pool = chain.pool(id.address).filter(|pool| pool.is_uniswap_v3());
        pool.ok_or(SignError::NotConfigured)
    };
    Ok(match act {
        Act::Approve { token, spender, amount } => {
            let known = chain.token(*token).ok_or(SignError::NotConfigured)?;
            (known.address, erc20::approve(contract(*spender)?, *amount))
        }
        Act::Open { open, deadline } => {
            let pool = pool(open.pool)?;
            let order = MintOrder {
                token0: pool.token0,
                token1: pool.token1,
                fee_pips: pool.fee_pips,
                lower: open.tick_lower,
                upper: open.tick_upper,
                amount0_desired: open.amount0,
                amount1_desired: open.amount1,
                amount0_min: open.amount0_min,
                amount1_min: open.amount1_min,
                recipient: chain.signer,
                deadline: seconds(*deadline),
            };
            (chain.position_manager, calls::mint(&order)?)
        }
        Act::Close { close, deadline } => {
            let order = Withdrawal {
                token_id: close.token_id,
                liquidity: close.liquidity,
                amount0_min: close.amount0_min,
                amount1_min: close.amount1_min,
                recipient: chain.signer,
                deadline: seconds(*deadline),
            };
            (chain.position_manager, calls::withdraw(&order))
        }
        Act::Swap { swap, deadline } => {
            let pool = pool(swap.pool)?;
            let order = ExactInput {
                token_in: swap.token_in,
                token_out: swap.token_out,
                fee_pips: pool.fee_pips,
                recipient: chain.signer,
                deadline: seconds(*deadline),
                amount_in: swap.amount_in,
                amount_out_min: swap.amount_out_min,
                sqrt_price_limit_x96: U256::ZERO,
            };
            let router = router()?;
            let input = match router {
                Router::SwapRouter(_) => calls::swap_exact_in(&order)?,
                Router::SwapRouter02(_) => calls::swap_exact_in_02(&order)?,
            };
            (router.address(), input)
        }
        Act::Cycle { cycle, deadline_block } => encode_cycle(chain, cycle, *deadline_block)?,
    })
}

fn encode_cycle(
    chain: &ChainSetup,
    cycle: &CyclePlan,
    deadline_block: u64,
) -> Result<(Address, Bytes), SignError> {
    let leg =
        |leg: &CycleLeg| Leg { dex: leg.dex, fee_pips: leg.fee_pips, token_out: leg.token_out };
    let legs: Vec<Leg> = cycle.legs.iter().map(leg).collect();
    let flash = Flash {
        token: cycle.token,
        amount_in: cycle.amount_in,
        min_profit: cycle.min_profit,
        deadline_block,
        legs: &legs,
    };
    let executor = chain.executor.ok_or(SignError::NotConfigured)?;
    Ok((executor, executor::flash(&flash)?))
}

fn seconds(at: Timestamp) -> U256 {
    U256::from(u64::try_from(at.ms() / 1_000).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::hex;
    use rust_decimal::dec;

    use super::*;
    use crate::engine::setup::{Curve, PoolSetup, TokenSetup};
    use crate::model::intent::SwapPlan;

    const MANAGER: Address = Address::with_last_byte(2);
    const ROUTER: Address = Address::with_last_byte(3);
    const WETH: Address = Address::with_last_byte(4);
    const USDT: Address = Address::with_last_byte(5);
    const POOL: Address = Address::with_last_byte(6);

    fn chain(router: Option<Router>) -> ChainSetup {
        ChainSetup {
            chain: 31_337,
            name: "local".into(),
            native: "ETH".into(),
            signer: Address::with_last_byte(1),
            position_manager: MANAGER,
            router,
            executor: None,
            tokens: vec![TokenSetup {
                address: WETH,
                symbol: "WETH".into(),
                decimals: 18,
                asset: "ETH".into(),
            }],
            pools: vec![PoolSetup {
                address: POOL.into(),
                manager: None,
                key: None,
                dex: "uniswap_v3".into(),
                curve: Curve::V3,
                executor_dex: None,
                pair: "WETH/USDT".into(),
                fee_pips: 500,
                tick_spacing: 10,
                token0: WETH,
                token1: USDT,
                base_is_token0: true,
            }],
            stale_after_ms: 5_000,
            block_time_ms: 1_000,
            max_fee: 1,
            max_priority_fee: 1,
            final_after_blocks: 5,
            min_native: U256::ZERO,
            exit_reserve: U256::ZERO,
        }
    }

    fn swap() -> Act {
        let swap = SwapPlan {
            pool: PoolId { chain: 31_337, address: POOL.into() },
            token_in: WETH,
            token_out: USDT,
            amount_in: U256::from(7),
            amount_out_min: U256::ONE,
            notional: dec!(1),
        };
        Act::Swap { swap, deadline: Timestamp::from_ms(1_700_000_000_999) }
    }

    #[test]
    fn each_router_is_called_in_its_own_words() {
        let (first, second) = (Router::SwapRouter(ROUTER), Router::SwapRouter02(ROUTER));
        for (router, selector) in [(first, hex!("414bf389")), (second, hex!("5ae401dc"))] {
            let (to, input) = encode(&chain(Some(router)), &swap()).unwrap();
            assert_eq!((to, &input[..4]), (ROUTER, &selector[..]));
            // The deadline is there in whole seconds, as a word of its own.
            let deadline = U256::from(1_700_000_000_u64).to_be_bytes::<32>();
            assert!(input[4..].chunks(32).any(|word| word == deadline), "{router:?}");
        }
    }

    #[test]
    fn a_pool_of_another_exchange_is_not_what_the_router_would_swap_in() {
        let mut chain = chain(Some(Router::SwapRouter02(ROUTER)));
        chain.pools[0].dex = "sushiswap_v3".into();
        assert!(matches!(encode(&chain, &swap()), Err(SignError::NotConfigured)));
    }

    #[test]
    fn without_a_router_nothing_is_swapped_or_allowed_to_it() {
        let spender = Spender::SwapRouter;
        let approve = Act::Approve { token: WETH, spender, amount: U256::ONE };
        for act in [swap(), approve] {
            let refused = encode(&chain(None), &act);
            assert!(matches!(refused, Err(SignError::NotConfigured)), "{act:?}");
        }
        let spender = Spender::PositionManager;
        let approve = Act::Approve { token: WETH, spender, amount: U256::ONE };
        assert!(encode(&chain(None), &approve).is_ok());
    }
}
