//! Whom of the operator's files a fork of one chain needs: its strategies, their account, and the
//! exchange accounts that take their delta.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};

use crate::config::Config;
use crate::config::chain::Chain;
use crate::config::hedge::{Hedge, HedgeBy};
use crate::config::liquidity::Liquidity;
use crate::config::strategy::Strategy;
use crate::world::fork::chain_of;

/// What takes part in a fork.
#[derive(Debug)]
pub(super) struct Cast<'c> {
    pub(super) chain: &'c Chain,
    /// The strategies of the chain.
    pub(super) strategies: Vec<&'c Strategy>,
    /// Names of the other ones.
    pub(super) left_out: Vec<&'c str>,
    /// Name of the account that acts.
    pub(super) signer: &'c str,
    /// Names of the exchange accounts.
    pub(super) venues: BTreeSet<&'c str>,
    /// Strategies hedged by one that is left out, with that one: its `[hedge]` becomes theirs.
    pub(super) adopted: Vec<(&'c str, &'c str)>,
}

impl<'c> Cast<'c> {
    /// Chooses them.
    ///
    /// # Errors
    /// When the chain is unknown, nobody acts on it, or several accounts do.
    pub(super) fn of(config: &'c Config, name: &str) -> Result<Self> {
        let chain = chain_of(config, name)?;
        let (mut strategies, mut left_out) = (Vec::new(), Vec::new());
        for strategy in &config.strategies {
            match strategy.seat() {
                // The fork's exchange shows the prices of another day: every gap would be false.
                Some(_) if matches!(strategy, Strategy::CexDex(_)) => left_out.push(strategy.id()),
                Some(seat) if seat.chain == chain.name => strategies.push(strategy),
                Some(_) | None => left_out.push(strategy.id()),
            }
        }
        ensure!(
            !strategies.is_empty(),
            "no file in strategies/ acts on the chain {name:?}: add one with chain = {name:?}"
        );
        let seats = strategies.iter().copied().filter_map(Strategy::seat);
        let signers: BTreeSet<&str> = seats.map(|seat| seat.signer.as_str()).collect();
        let mut signers = signers.into_iter();
        let (Some(signer), None) = (signers.next(), signers.next()) else {
            bail!("strategies of {name:?} have several signers: one account a chain for now");
        };
        let (mut venues, mut adopted) = (BTreeSet::new(), Vec::new());
        for strategy in strategies.iter().copied() {
            let Strategy::Liquidity(hedged) = strategy else { continue };
            let id = hedged.head.id.as_str();
            let (owner, hedge) =
                hedger(config, hedged).with_context(|| format!("nobody hedges {id:?}"))?;
            venues.insert(hedge.venue.as_str());
            let owner = owner.head.id.as_str();
            if left_out.contains(&owner) {
                adopted.push((id, owner));
            }
        }
        Ok(Self { chain, strategies, left_out, signer, venues, adopted })
    }
}

/// Whoever owns the perpetual that takes a strategy's delta, and how it is hedged there.
fn hedger<'c>(config: &'c Config, hedged: &'c Liquidity) -> Option<(&'c Liquidity, &'c Hedge)> {
    let owner = match &hedged.hedge {
        HedgeBy::Own(_) => hedged,
        HedgeBy::With(name) => config.strategies.iter().find_map(|strategy| match strategy {
            Strategy::Liquidity(other) if other.head.id == *name => Some(other),
            _ => None,
        })?,
    };
    match &owner.hedge {
        HedgeBy::Own(hedge) => Some((owner, hedge)),
        HedgeBy::With(_) => None,
    }
}
