//! Logs and storage of `PoolManager`'s own bytecode, against what it and `StateView` say of them.
//! How they were made stands in `tests/data/amm/README.md`.

use alloy::primitives::{Address, B256, Bytes, Log, U256};
use serde_json::Value;

use super::storage::{self, Slot0};
use super::{decode_initialize, decode_manager_log};
use crate::market::pools::v4::key::PoolKey;
use crate::market::pools::v4::{SwapEnd, V4Event};
use crate::math::amm::tick::TickState;

fn recorded() -> Value {
    let text =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/amm/v4_core_words.json"));
    serde_json::from_str(text).unwrap()
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn wide<T: std::str::FromStr>(value: &Value) -> T {
    value.as_str().unwrap().parse().ok().unwrap()
}

fn i(value: &Value) -> i32 {
    i32::try_from(value.as_i64().unwrap()).unwrap()
}

fn u(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

fn id(recorded: &Value) -> B256 {
    wide(&recorded["id"])
}

fn key(recorded: &Value) -> PoolKey {
    let key = rows(&recorded["key"]);
    PoolKey {
        currency0: wide(&key[0]),
        currency1: wide(&key[1]),
        fee_pips: u(&key[2]),
        tick_spacing: i(&key[3]),
        hooks: wide(&key[4]),
    }
}

/// A word of the contract's storage; what it never wrote is zero.
fn word(recorded: &Value, slot: B256) -> B256 {
    let word = &recorded["storage"][slot.to_string()];
    if word.is_null() { B256::ZERO } else { wide(word) }
}

fn event(told: &[Value]) -> V4Event {
    match told[0].as_str().unwrap() {
        "Initialize" => V4Event::Initialize { sqrt_price_x96: wide(&told[1]), tick: i(&told[2]) },
        "Swap" => V4Event::Swap(SwapEnd {
            amount0: wide(&told[1]),
            amount1: wide(&told[2]),
            sqrt_price_x96: wide(&told[3]),
            liquidity: wide(&told[4]),
            tick: i(&told[5]),
            fee_pips: u(&told[6]),
        }),
        "ModifyLiquidity" => V4Event::ModifyLiquidity {
            lower: i(&told[1]),
            upper: i(&told[2]),
            delta: wide(&told[3]),
        },
        "Donate" => V4Event::Donate { amount0: wide(&told[1]), amount1: wide(&told[2]) },
        "ProtocolFeeUpdated" => V4Event::ProtocolFeeUpdated { protocol_fee: u(&told[1]) },
        other => panic!("{other}"),
    }
}

#[test]
fn logs_of_the_bytecode_are_read() {
    let recorded = recorded();
    let contract: Address = wide(&recorded["contract"]);
    let mut n_opened = 0;
    for row in rows(&recorded["logs"]) {
        let topics = rows(&row["topics"]).iter().map(wide).collect();
        let log = Log::new_unchecked(contract, topics, wide::<Bytes>(&row["data"]));
        let expected = (id(&recorded), event(rows(&row["is"])));
        assert_eq!(decode_manager_log(&log), Ok(Some(expected)), "{row}");
        if let Some(opened) = decode_initialize(&log).unwrap() {
            assert_eq!((opened.key, opened.key.id()), (key(&recorded), opened.id));
            n_opened += 1;
        }
    }
    assert_eq!((n_opened, rows(&recorded["logs"]).len()), (1, 9));
}

#[test]
fn storage_of_the_bytecode_is_found_and_understood() {
    let recorded = recorded();
    let (id, at) = (id(&recorded), |slot| word(&recorded, slot));
    let told = rows(&recorded["slot0"]);
    let slot0 = Slot0 {
        sqrt_price_x96: wide(&told[0]),
        tick: i(&told[1]),
        protocol_fee: u(&told[2]),
        lp_fee_pips: u(&told[3]),
    };
    assert_eq!(storage::slot0(at(storage::slot0_slot(id))), slot0);
    let liquidity: u128 = wide(&recorded["liquidity"]);
    assert_eq!(storage::liquidity(at(storage::liquidity_slot(id))), liquidity);
    let growth: Vec<U256> = rows(&recorded["growth"]).iter().map(wide).collect();
    let found = storage::fee_growth_slots(id).map(|slot| -> U256 { at(slot).into() });
    assert_eq!(found.to_vec(), growth);
    for row in rows(&recorded["ticks"]) {
        let state = TickState {
            gross: wide(&row[1]),
            net: wide(&row[2]),
            outside0: wide(&row[3]),
            outside1: wide(&row[4]),
        };
        let words = storage::tick_slots(id, i(&row[0])).map(at);
        assert_eq!(storage::tick_state(words), state, "{row}");
        assert!(state.gross > 0);
    }
    for row in rows(&recorded["words"]) {
        let position = i16::try_from(i(&row[0])).unwrap();
        let bits: B256 = wide(&row[1]);
        assert_eq!(at(storage::bitmap_slot(id, position)), bits, "{row}");
        assert_ne!(bits, B256::ZERO);
    }
    let never = [storage::bitmap_slot(id, 7), storage::tick_slots(id, 11)[0]];
    assert_eq!(never.map(at), [B256::ZERO; 2]);
}
