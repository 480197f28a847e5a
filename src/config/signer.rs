//! `[signers.*]` of `agent.toml`: accounts on chains and where their keys are kept.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rust_decimal::Decimal;

use crate::config::problem::Fault;
use crate::config::reader::Node;
use crate::config::values::{self, Bounds};

/// An account that signs transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// Where the key is.
    pub key: Key,
    /// What the account is for; no other kind of strategy may use it.
    pub lanes: Vec<Lane>,
    /// Most native coin spent per hour, in whole coins.
    pub native_spend_cap_per_hour: Decimal,
}

/// Where a signer's key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// An encrypted keystore file (Web3 Secret Storage).
    Keystore {
        /// The keystore.
        path: PathBuf,
        /// File whose content unlocks it.
        passphrase_file: PathBuf,
    },
    /// A bare key of a local world, only for chain ids in
    /// [`LOCAL_CHAIN_IDS`](super::chain::LOCAL_CHAIN_IDS).
    Dev {
        /// Variable that holds the key.
        private_key_env: String,
    },
}

/// A kind of strategy that an account serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Liquidity positions.
    Liquidity,
    /// Cycles through the executor contract, whose operator the account is, and swaps against an
    /// exchange.
    Arbitrage,
}

impl Lane {
    /// The word in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Liquidity => "liquidity",
            Self::Arbitrage => "arbitrage",
        }
    }
}

#[derive(Clone, Copy)]
enum KeyKind {
    Keystore,
    Dev,
}

const LANES: &[(&str, Lane)] = &[("liquidity", Lane::Liquidity), ("arbitrage", Lane::Arbitrage)];

/// Most native coin an hour's cap may allow.
const NATIVE_CAP_MAX: i64 = 1_000;

/// Reads all signers; two names for one key are refused, since their nonces would collide.
pub(super) fn read_signers(agent: &mut Node<'_>) -> BTreeMap<String, Option<Signer>> {
    let mut signers: BTreeMap<String, Option<Signer>> = BTreeMap::new();
    for (name, mut node) in agent.named("signers") {
        if let Err(fault) = values::check_name(&name) {
            node.fault_here(fault);
        }
        let signer = read_signer(&mut node);
        let twin = signer.as_ref().and_then(|signer| {
            let is_same =
                |other: &&Option<Signer>| other.as_ref().map(|o| &o.key) == Some(&signer.key);
            signers.iter().find(|(_, other)| is_same(other)).map(|(name, _)| name.clone())
        });
        if let Some(twin) = twin {
            let what = format!("has the same key as [signers.{twin}]: their nonces would collide");
            node.fault_here(Fault::new(what, format!("use {twin} in both places")));
        }
        node.finish();
        signers.insert(name, signer);
    }
    signers
}

fn read_signer(node: &mut Node<'_>) -> Option<Signer> {
    let kinds = &[("keystore", KeyKind::Keystore), ("dev", KeyKind::Dev)];
    let kind = node.need("kind", &values::choice(kinds, &["aws_kms", "web3signer"]));
    let lanes = node.list("lanes", &values::choice(LANES, &[]));
    let cap = values::decimal(Bounds::above(0, NATIVE_CAP_MAX), "0.02");
    let native_spend_cap_per_hour = node.need("native_spend_cap_per_hour", &cap);
    let key = match kind {
        Some(KeyKind::Keystore) => {
            let path = node.need("path", &values::path("/etc/tidekeeper/keys/lp.json"));
            let example = values::path("/run/credentials/tidekeeper.service/lp_pass");
            let passphrase = node.need("passphrase_file", &example);
            path.zip(passphrase)
                .map(|(path, passphrase_file)| Key::Keystore { path, passphrase_file })
        }
        Some(KeyKind::Dev) => node
            .need("private_key_env", &values::env_name("TK_DEV_KEY"))
            .map(|private_key_env| Key::Dev { private_key_env }),
        None => {
            node.skip_all(&["path", "passphrase_file", "private_key_env"]);
            None
        }
    };
    Some(Signer { key: key?, lanes: lanes?, native_spend_cap_per_hour: native_spend_cap_per_hour? })
}
