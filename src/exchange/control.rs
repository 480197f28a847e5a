//! Controls of the simulation, outside the venue's paths and for loopback only: freezing, faults,
//! labels.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::exchange::TAPE_DAY;
use crate::exchange::core::Core;
use crate::sim::fixed;
use crate::sim::order::Refusal;
use crate::sim::spot::Asset;

/// Largest deposit, 1e-8 units.
const DEPOSIT_MAX: i64 = 1_000_000 * fixed::ONE;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Freeze {
    on: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    Spot,
    Usdm,
}

/// A silent change of a balance.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Adjust {
    account: Place,
    asset: String,
    /// Signed, 1e-8 each.
    steps: i64,
    #[serde(default)]
    key_index: usize,
}

/// A deposit with its events.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deposit {
    account: Place,
    asset: String,
    /// Decimal; negative withdraws.
    amount: String,
    #[serde(default)]
    key_index: usize,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Fault {
    drop_ws: bool,
    ack_loss_next_order: bool,
    adjust: Option<Adjust>,
    deposit: Option<Deposit>,
}

/// Answers a control request with status and body; `None` when there is no such path.
pub fn answer(
    core: &mut Core,
    method: &str,
    path: &str,
    body: &str,
    now_ms: i64,
) -> Option<(u16, Value)> {
    let now_ms = core.stamp(now_ms);
    let done = match (method, path) {
        ("GET", "/sim/labels") => return Some((200, labels(core))),
        ("POST", "/sim/freeze") => serde_json::from_str::<Freeze>(body)
            .map(|freeze| core.freeze(freeze.on, now_ms))
            .map_err(|error| error.to_string()),
        ("POST", "/sim/fault") => serde_json::from_str::<Fault>(body)
            .map_err(|error| error.to_string())
            .and_then(|fault| apply(core, fault, now_ms).map_err(|refusal| refusal.to_string())),
        _ => return None,
    };
    Some(match done {
        Ok(()) => (200, json!({"ok": true, "frozen": core.is_frozen, "at_ms": now_ms})),
        Err(reason) => (400, json!({"ok": false, "reason": reason})),
    })
}

fn apply(core: &mut Core, fault: Fault, now_ms: i64) -> Result<(), Refusal> {
    if let Some(adjust) = &fault.adjust {
        let asset = Asset::named(&adjust.asset).ok_or(Refusal::Funds)?;
        match (adjust.account, asset) {
            (Place::Spot, asset) => {
                core.spot.clearing.falsify(adjust.key_index, asset, adjust.steps)?;
            }
            (Place::Usdm, Asset::Usdt) => {
                core.perp.clearing.falsify(adjust.key_index, adjust.steps)?;
            }
            (Place::Usdm, Asset::Eth) => return Err(Refusal::Funds),
        }
    }
    if let Some(deposit) = &fault.deposit {
        let asset = Asset::named(&deposit.asset).ok_or(Refusal::Funds)?;
        let amount = fixed::parse(&deposit.amount).map_err(|_| Refusal::QuantityStep)?;
        if amount == 0 || !(-DEPOSIT_MAX..=DEPOSIT_MAX).contains(&amount) {
            return Err(Refusal::QuantityMax);
        }
        match (deposit.account, asset) {
            (Place::Spot, asset) => {
                core.spot.clearing.transfer(deposit.key_index, asset, amount, now_ms)?;
            }
            (Place::Usdm, Asset::Usdt) => {
                core.perp.clearing.transfer(deposit.key_index, amount, now_ms)?;
            }
            (Place::Usdm, Asset::Eth) => return Err(Refusal::Funds),
        }
        core.publish(now_ms);
    }
    core.loses_next_ack |= fault.ack_loss_next_order;
    if fault.drop_ws {
        core.hub.cut_all();
    }
    Ok(())
}

/// What is recorded, from which day, and what is simulated.
fn labels(core: &Core) -> Value {
    let every_s = core.funding_every_s;
    let rate = fixed::show(core.premium().rate, 8);
    let tape = |name: &str| format!("{name}: depth and trades of {TAPE_DAY}, replayed in a loop");
    let fills = "each recorded level is one order and ours queue behind it; recorded trades \
                 consume by price and time; what we take stays taken until that level's next diff";
    let funding = format!("every {every_s} s at {rate}, not the recorded rate");
    let texts = [
        ("spot book", "recorded", tape("Binance spot ETHUSDT")),
        ("perpetual book", "recorded", tape("Binance USD-M ETHUSDT perpetual")),
        ("event times", "simulated", "the exchange's wall clock, not the recording's".into()),
        ("loop", "simulated", "at a tape's end its book returns to the start by diffs".into()),
        ("our fills", "simulated", fills.into()),
        ("funding", "simulated", funding),
        ("mark price", "simulated", "middle of the perpetual book; index: of the spot book".into()),
        ("liquidation", "assumed", "none: margin is checked only when an order opens risk".into()),
        ("balances and keys", "simulated", "play money".into()),
    ];
    let labels: Vec<Value> = texts
        .into_iter()
        .map(|(what, kind, text)| json!({"what": what, "kind": kind, "text": text}))
        .collect();
    let rounds = core.perp.clearing.fundings().len();
    json!({
        "labels": labels,
        "day": TAPE_DAY,
        "loops": {"spot": core.spot.market.loops(), "usdm": core.perp.market.loops()},
        "frozen": core.is_frozen,
        "funding": {"every_s": every_s, "rate": rate, "rounds": rounds},
    })
}
