//! V4 pools whose hooks take part in swaps: what becomes of a swap there is not the pool's own
//! arithmetic, and only a run of all its code tells it beforehand.
//!
//! A hook is trusted by the hash of its code, which the operator lists after reading it. The hash
//! says nothing about contracts that this code calls, so code that leads to other code, as a
//! proxy's does, is no code to list.

use std::fmt;

use alloy::primitives::{Address, B256, KECCAK256_EMPTY, keccak256};
use thiserror::Error;

use crate::config::chain::Chain;
use crate::config::pool::Dex;
use crate::io::chain::{ChainClient, ChainError};
use crate::market::pools::v4::key::{PoolKey, SwapHook};

/// How a V4 pool's swaps are told beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    /// By the pool's own arithmetic: no hooks take part.
    Curve,
    /// By a run of the contracts, hooks included.
    Simulation {
        /// Keccak of the hooks' code, which the operator lists.
        code_hash: B256,
    },
    /// Not at all.
    Refused(NoQuote),
}

impl fmt::Display for Quoting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Curve => f.write_str("quoted by its arithmetic: no hooks take part in swaps"),
            Self::Simulation { code_hash } => {
                write!(f, "quoted by simulation: the code of its hooks hashes to {code_hash}")
            }
            Self::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}

/// Why a pool with hooks in its swaps is not quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoQuote {
    /// The operator does not list their code.
    #[error(
        "{hook}, and hook_code_hashes of dex.uniswap_v4 lacks {code_hash}, the hash of their \
             code"
    )]
    Unlisted {
        /// What the hooks may do.
        hook: SwapHook,
        /// Keccak of their code.
        code_hash: B256,
    },
    /// There is nothing that could be called.
    #[error("{hook}, and there is no code at their address")]
    NoCode {
        /// What the hooks may do.
        hook: SwapHook,
    },
    /// There is no contract to run.
    #[error("{hook}, and a simulation needs the quoter, which dex.uniswap_v4 does not name")]
    NoQuoter {
        /// What the hooks may do.
        hook: SwapHook,
    },
}

/// What the operator allows of hooks on a chain.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HookRules {
    /// Hashes of code that may take part in quoted swaps.
    pub code_hashes: Vec<B256>,
    /// `V4Quoter`, whose code is run.
    pub quoter: Option<Address>,
}

impl HookRules {
    /// Those of a chain's file.
    pub fn of(chain: &Chain) -> Self {
        let v4 = chain.dexes.get(&Dex::UniswapV4);
        let quoter = v4.and_then(|contracts| contracts.quoter);
        Self { code_hashes: chain.hook_code_hashes.clone(), quoter }
    }

    /// How a pool with such hooks is quoted, by the hash of their code, `None` where there is none.
    pub fn judge(&self, hook: SwapHook, code_hash: Option<B256>) -> Quoting {
        let Some(code_hash) = code_hash.filter(|hash| *hash != KECCAK256_EMPTY) else {
            return Quoting::Refused(NoQuote::NoCode { hook });
        };
        if !self.code_hashes.contains(&code_hash) {
            return Quoting::Refused(NoQuote::Unlisted { hook, code_hash });
        }
        match self.quoter {
            Some(_) => Quoting::Simulation { code_hash },
            None => Quoting::Refused(NoQuote::NoQuoter { hook }),
        }
    }
}

impl ChainClient {
    /// How a V4 pool is quoted at a block; hooks are asked for their code only where they matter.
    ///
    /// # Errors
    /// `ChainError` when the endpoint does not tell the hooks' code.
    pub async fn quoting(
        &self,
        key: &PoolKey,
        rules: &HookRules,
        at: B256,
    ) -> Result<Quoting, ChainError> {
        let Some(hook) = key.swap_hook() else { return Ok(Quoting::Curve) };
        let code = self.code(key.hooks, at).await?;
        Ok(rules.judge(hook, Some(keccak256(&code))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_in_swaps_need_listed_code_and_a_quoter() {
        let (hook, known) = (SwapHook::TakesResult, B256::repeat_byte(7));
        let quoter = Some(Address::with_last_byte(9));
        let rules = HookRules { code_hashes: vec![B256::ZERO, known], quoter };
        assert_eq!(rules.judge(hook, Some(known)), Quoting::Simulation { code_hash: known });
        let refused = |rules: &HookRules, code_hash| match rules.judge(hook, code_hash) {
            Quoting::Refused(why) => why,
            other => panic!("{other:?}"),
        };
        let code_hash = B256::repeat_byte(8);
        let unlisted = refused(&rules, Some(code_hash));
        assert_eq!(unlisted, NoQuote::Unlisted { hook, code_hash });
        let told = Quoting::Refused(unlisted).to_string();
        assert!(
            told.starts_with("refused: afterSwap may take from the result, and hook_"),
            "{told}"
        );
        assert!(told.contains(&code_hash.to_string()), "{told}");
        for none in [None, Some(KECCAK256_EMPTY)] {
            assert_eq!(refused(&rules, none), NoQuote::NoCode { hook });
        }
        let nobody = HookRules { quoter: None, ..rules };
        assert_eq!(refused(&nobody, Some(known)), NoQuote::NoQuoter { hook });
        // Nothing is trusted by itself.
        let nothing = refused(&HookRules { quoter, ..HookRules::default() }, Some(known));
        assert_eq!(nothing, NoQuote::Unlisted { hook, code_hash: known });
    }
}
