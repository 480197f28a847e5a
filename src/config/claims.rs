//! What no two files may claim at once: a chain's id, a market, a pool, and money over the limits.

use std::cell::RefCell;
use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::config::agent::Limits;
use crate::config::chain::ChainDraft;
use crate::config::doc::Report;
use crate::config::problem::{Fault, Origin, suggest};
use crate::config::strategy::Claim;

/// Refuses a chain whose id another file has.
pub(super) fn check_chain_ids(
    drafts: &BTreeMap<String, ChainDraft>,
    draft: &ChainDraft,
    origin: &Origin,
    report: &RefCell<Report<'_>>,
) {
    let Some(chain_id) = draft.chain_id else {
        return;
    };
    if let Some((name, _)) = drafts.iter().find(|(_, other)| other.chain_id == Some(chain_id)) {
        let what = format!("is already the id of the chain {name:?}");
        let fault = Fault::new(what, "one file for one chain");
        report.borrow_mut().tell(origin.clone(), "chains", "chain_id", fault);
    }
}

/// Refuses strategies that own one market or pool together, and budgets over the limits.
pub(super) fn check_claims(
    claims: &[Claim],
    limits: Option<&Limits>,
    report: &RefCell<Report<'_>>,
) {
    for (index, claim) in claims.iter().enumerate() {
        for other in &claims[..index] {
            check_pair(claim, other, report);
        }
    }
    for claim in claims {
        check_hedged_with(claim, claims, report);
    }
    let Some(limits) = limits else { return };
    let gross = limits.gross_exposure_usd;
    check_budgets(claims.iter(), "limits.gross_exposure_usd", gross, report);
    let mut by_venue: BTreeMap<&str, Vec<&Claim>> = BTreeMap::new();
    // A market maker's delta is bounded by its inventory limit, not by its budget.
    for claim in claims.iter().filter(|claim| claim.is_range) {
        let hedger = hedger_of(claim, claims).unwrap_or(claim);
        if let Some((venue, _, _)) = hedger.market.as_ref().filter(|_| hedger.is_hedge) {
            by_venue.entry(venue).or_default().push(claim);
        }
    }
    // A position that fell out of its range is all base, so its hedge is as large as its budget.
    let venue = limits.venue_exposure_usd;
    for claims in by_venue.into_values() {
        check_budgets(claims.into_iter(), "limits.venue_exposure_usd", venue, report);
    }
}

/// The strategy that hedges another one's delta.
fn hedger_of<'c>(claim: &Claim, claims: &'c [Claim]) -> Option<&'c Claim> {
    let (name, _) = claim.hedged_with.as_ref()?;
    claims.iter().find(|other| other.id == *name)
}

/// Refuses to be hedged by somebody who is not there or has no market of its own.
fn check_hedged_with(claim: &Claim, claims: &[Claim], report: &RefCell<Report<'_>>) {
    let Some((name, origin)) = &claim.hedged_with else { return };
    if hedger_of(claim, claims).is_some_and(|hedger| hedger.is_hedge) {
        return;
    }
    let names: Vec<&str> = claims.iter().filter(|c| c.is_hedge).map(|c| c.id.as_str()).collect();
    let what = format!("{name:?} is no strategy with a hedge of its own");
    let fault = Fault::new(what, suggest(name, &names));
    let scope = format!("strategies.{}", claim.id);
    report.borrow_mut().tell(origin.clone(), &scope, "hedge.with", fault);
}

fn check_pair(claim: &Claim, other: &Claim, report: &RefCell<Report<'_>>) {
    let scope = format!("strategies.{}", claim.id);
    let owner = &other.id;
    if let (Some((venue, market, origin)), Some((other_venue, other_market, _))) =
        (&claim.market, &other.market)
        && venue == other_venue
        && market == other_market
    {
        let what = format!("{market} on {venue} already belongs to the strategy {owner:?}");
        let fault = Fault::new(what, "one owner per account and market: use another account");
        report.borrow_mut().tell(origin.clone(), &scope, "hedge.market", fault);
    }
    if let (Some((chain, signer, pool, origin)), Some((other_chain, other_signer, other_pool, _))) =
        (&claim.pool, &other.pool)
        && chain == other_chain
        && signer == other_signer
        && pool.is_same_pool(other_pool)
    {
        let what = format!("{pool} under signer {signer} already belongs to {owner:?}");
        let fault = Fault::new(what, "one owner per account and pool: use another signer");
        report.borrow_mut().tell(origin.clone(), &scope, "pool.pair", fault);
    }
}

/// Tells the first budget with which the sum exceeds the limit.
fn check_budgets<'c>(
    claims: impl Iterator<Item = &'c Claim>,
    name: &str,
    limit: Decimal,
    report: &RefCell<Report<'_>>,
) {
    let mut sum = Some(Decimal::ZERO);
    for claim in claims {
        let Some((budget, origin)) = &claim.budget_usd else {
            continue;
        };
        sum = sum.and_then(|sum| sum.checked_add(*budget));
        if sum.is_some_and(|sum| sum <= limit) {
            continue;
        }
        let total = sum.map_or_else(|| "more than can be counted".to_owned(), |s| s.to_string());
        let what = format!("brings the budgets to {total}, over {name} = {limit}");
        let fault = Fault::new(what, "lower the budget or raise the limit");
        let scope = format!("strategies.{}", claim.id);
        report.borrow_mut().tell(origin.clone(), &scope, "capital.budget_usd", fault);
        return;
    }
}
