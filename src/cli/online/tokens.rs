//! The tokens of a chain's file: what they say of themselves, and what they do when they are bought
//! and sold in the file's pools.

use std::collections::BTreeMap;

use alloy::primitives::Address;

use super::{Row, Site};
use crate::cli::findings::Report;
use crate::config::chain::{Token, token_key};
use crate::io::chain::evm::token::Holding;
use crate::io::chain::evm::verdict::Verdict;
use crate::run::setup::find_pool;

/// Decimals of a wrapped native coin, as of the coin.
const WRAPPED_DECIMALS: u8 = 18;

impl Site<'_> {
    pub(super) async fn tokens(&self, report: &mut Report) {
        let (key, address) = ("wrapped_native", self.chain.wrapped_native);
        let mut row = self.row(key, address);
        row.token(address, WRAPPED_DECIMALS, &[key]).await;
        row.tell(report);
        let verdicts = self.tried().await;
        for (symbol, token) in &self.chain.tokens {
            let table = token_key(symbol);
            let (address, decimals) = (format!("{table}.address"), format!("{table}.decimals"));
            let blame = [decimals.as_str(), address.as_str()];
            let mut row = self.row(&address, token.address);
            row.token(token.address, token.decimals, &blame).await;
            self.judged(&mut row, symbol, token, &verdicts);
            row.tell(report);
        }
    }

    /// What became of the tokens in the pools of the file that are there; those that are not have
    /// rows of their own.
    async fn tried(&self) -> BTreeMap<Address, Verdict> {
        let mut holdings = Vec::new();
        for pool in &self.chain.pools {
            if let Ok(found) = find_pool(self.chain, pool, self.client, self.at).await {
                holdings.extend(Holding::of(&found));
            }
        }
        self.client.try_tokens(&holdings, self.at).await
    }

    fn judged(
        &self,
        row: &mut Row<'_>,
        symbol: &str,
        token: &Token,
        verdicts: &BTreeMap<Address, Verdict>,
    ) {
        match verdicts.get(&token.address) {
            Some(Verdict::Plain) => {
                row.facts.push("bought, sold and kept in simulation as it should".to_owned());
            }
            Some(Verdict::Refused(fault)) => {
                let remedy = self.without(symbol);
                row.faults.push((format!("{symbol} cannot be used: {fault}"), remedy));
            }
            Some(Verdict::Unknown(doubt)) => {
                let remedy = format!("ask again, or {}", self.without(symbol));
                row.doubts.push((doubt.to_string(), remedy));
            }
            None => row.facts.push("in no pool of the file".to_owned()),
        }
    }

    /// The way out of a token that cannot be used.
    fn without(&self, symbol: &str) -> String {
        let pools = self.chain.pools.iter().enumerate();
        let of = pools.filter(|(_, pool)| pool.base == symbol || pool.quote == symbol);
        let keys: Vec<String> = of.map(|(index, _)| format!("pools.allow[{index}].pair")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        format!("take its pools out of the file: {}", self.places(&keys).join(", "))
    }
}
