//! `[gas]` and `[fuel]` of a chain: what transactions may cost and what signers keep for them.

use rust_decimal::Decimal;

use crate::config::problem::Fault;
use crate::config::reader::Node;
use crate::config::values::{self, Bounds, integer};

/// What a transaction may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gas {
    /// How the fee is made up.
    pub fee_model: FeeModel,
    /// Highest `maxFeePerGas`, gwei.
    pub max_fee_gwei: Decimal,
    /// Highest `maxPriorityFeePerGas`, gwei.
    pub max_priority_gwei: Decimal,
    /// Highest `maxFeePerGas` of an emergency exit, gwei; not acted on yet.
    pub exit_max_fee_gwei: Decimal,
    /// Blocks after which to replace a waiting transaction; not acted on yet: the same bytes are
    /// sent again.
    pub bump_after_blocks: u64,
    /// By how much a replacement is to pay more, percent; not acted on yet.
    pub bump_pct: Decimal,
}

/// How a transaction's fee is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeeModel {
    /// EIP-1559 alone.
    Ethereum,
    /// EIP-1559 and an L1 data fee (OP Stack).
    OpStack,
    /// EIP-1559 with the L1 data in the gas (Arbitrum).
    Arbitrum,
}

/// How much native coin each signer keeps, in whole coins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fuel {
    /// Below it only reducing deeds.
    pub min_native_per_signer: Decimal,
    /// Kept for exits.
    pub exit_reserve_native: Decimal,
}

/// The fee model of the chains we know by id (chainlist ids; OP Stack: 10, 8453).
fn fee_model_of(chain_id: u64) -> Option<FeeModel> {
    match chain_id {
        1 | 56 | 137 | 31_337..=31_350 => Some(FeeModel::Ethereum),
        10 | 8_453 => Some(FeeModel::OpStack),
        42_161 => Some(FeeModel::Arbitrum),
        _ => None,
    }
}

/// Highest gas price that can be written, gwei.
const GWEI_MAX: i64 = 100_000;

/// Reads `[gas]`; the fee model must fit a chain id that is known.
pub(super) fn read_gas(mut node: Node<'_>, chain_id: Option<u64>) -> Option<Gas> {
    let models = &[
        ("ethereum", FeeModel::Ethereum),
        ("op_stack", FeeModel::OpStack),
        ("arbitrum", FeeModel::Arbitrum),
    ];
    let gwei = |example| values::decimal(Bounds::above(0, GWEI_MAX), example);
    let fee_model = node.need("fee_model", &values::choice(models, &[]));
    let max_fee = node.need("max_fee_gwei", &gwei("2.0"));
    let priority = values::decimal(Bounds::within(0, GWEI_MAX), "0.05");
    let max_priority = node.need("max_priority_gwei", &priority);
    let exit_max_fee = node.need("exit_max_fee_gwei", &gwei("20.0"));
    let bump_after_blocks = node.need("bump_after_blocks", &integer(1..=1_000, 5));
    // Nodes refuse a replacement that pays less than a tenth more.
    let bump_pct = node.need("bump_pct", &values::decimal(Bounds::within(10, 100), "12.5"));
    let expected = chain_id.and_then(fee_model_of);
    if fee_model.is_some() && expected.is_some() && fee_model != expected {
        let fault = Fault::new("does not fit this chain_id", "see the sample of this chain");
        node.fault("fee_model", fault);
    }
    if max_fee.zip(max_priority).is_some_and(|(fee, priority)| priority > fee) {
        let fault = Fault::new("is more than max_fee_gwei", "the tip is a part of the fee");
        node.fault("max_priority_gwei", fault);
    }
    if max_fee.zip(exit_max_fee).is_some_and(|(fee, exit)| exit < fee) {
        let what = "is less than max_fee_gwei: an emergency would be stingier than usual";
        node.fault("exit_max_fee_gwei", Fault::new(what, "allow exits at least max_fee_gwei"));
    }
    node.finish();
    Some(Gas {
        fee_model: fee_model?,
        max_fee_gwei: max_fee?,
        max_priority_gwei: max_priority?,
        exit_max_fee_gwei: exit_max_fee?,
        bump_after_blocks: bump_after_blocks?,
        bump_pct: bump_pct?,
    })
}

/// Most native coin that a signer can be asked to keep.
const FUEL_MAX: i64 = 10_000;

/// Reads `[fuel]`.
pub(super) fn read_fuel(mut node: Node<'_>) -> Option<Fuel> {
    let coins = |example| values::decimal(Bounds::above(0, FUEL_MAX), example);
    let min = node.need("min_native_per_signer", &coins("0.010"));
    let reserve = node.need("exit_reserve_native", &coins("0.005"));
    if min.zip(reserve).is_some_and(|(min, reserve)| reserve > min) {
        let what = "is more than min_native_per_signer: the reserve could be gone before the stop";
        node.fault("exit_reserve_native", Fault::new(what, "make it smaller"));
    }
    node.finish();
    Some(Fuel { min_native_per_signer: min?, exit_reserve_native: reserve? })
}
