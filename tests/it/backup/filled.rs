//! A database with rows in every table, through the door by which every row comes.

use alloy::primitives::{Address, B256, Bytes, I256, U256};
use anyhow::{Context, Result, ensure};
use rust_decimal::dec;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use tidekeeper::config::editable::Difference;
use tidekeeper::config::pool::Dex;
use tidekeeper::engine::event::Position;
use tidekeeper::engine::output::{Mined, Record};
use tidekeeper::engine::pools::PoolForm;
use tidekeeper::execution::order::{Order, OrderState, Outcome};
use tidekeeper::execution::tx::{Act, SignedTx, Spender, TxRequest, TxState};
use tidekeeper::io::chain::discover::{Found, Terms};
use tidekeeper::ledger::entry::{Draft, Entry, Kind, OnBlock};
use tidekeeper::ledger::reconcile::Comparison;
use tidekeeper::market::pools::v2::V2Observed;
use tidekeeper::market::pools::v4::key::PoolKey;
use tidekeeper::model::chain::BlockRef;
use tidekeeper::model::intent::{OpenRange, PoolId};
use tidekeeper::model::opportunity::{Fate, LegState, Moved, NetProfit, Opportunity, VenueLeg};
use tidekeeper::model::order::{Side, TimeInForce};
use tidekeeper::model::time::Timestamp;
use tidekeeper::model::unit::{Account, Reason, Unit};
use tidekeeper::model::venue::{Fill, NewOrder};
use tidekeeper::store::{
    Batch, KeptPool, Mark, PlannedOrder, PoolStates, SearchScope, Store, Version,
};
use uuid::Uuid;

pub(super) const CHAIN: u64 = 31_337;
/// An amount that stands in one posting only.
pub(super) const AMOUNT: &str = "1000000000000000000000000000007";
/// The first block that no search for pools has reached.
pub(super) const SEARCHED_BEFORE: u64 = 10;
/// What `COPY` must not stumble over.
const AWKWARD: &str = "tab\there, line\nend, back\\slash, \\. and \\N, ä\u{1F980}";

/// Rows in every table, by the way every row takes.
pub(super) async fn fill_all(connect: &PgConnectOptions) -> Result<()> {
    let planned = |id: &str| PlannedOrder {
        order: order(id),
        intent: Uuid::from_u128(5),
        strategy: "lp".into(),
    };
    let orders = vec![planned("tk1"), planned("tk2")];
    let mark = Mark {
        run: "1700000000000".into(),
        chain: [0xc4; 32],
        records: [0x4e; 32],
        deeds: r#"[{"liquidity":340282366920938463463374607431768211455}]"#.into(),
    };
    let records = records()?;
    let batch = Batch { seq: 1, at: instant(5), records, txs: txs(), orders, mark: Some(mark) };
    let store = Store::open(connect.clone()).await?;
    let kept = store.commit(batch).await.map_err(|(_, error)| error)?;
    drop(kept);
    for n in [1, 2] {
        ensure!(store.add_version("lp", &version(n)).await?, "version {n} is taken");
    }
    PoolStates::new(store.clone()).keep(&[kept_pool(7)]).await?;
    store.keep_openings(&search_scope(), &openings(), SEARCHED_BEFORE).await?;
    store.close().await;
    Ok(())
}

/// A version of the strategy's file.
pub(super) fn version(n: u64) -> Version {
    let (key, before, after) = ("range.half_width_pct".into(), "4.0".into(), AWKWARD.into());
    Version {
        version: n,
        at: instant(8),
        reason: AWKWARD.into(),
        diff: if n == 1 { Vec::new() } else { vec![Difference { key, before, after }] },
        text: format!("# {n}\n[range]\nhalf_width_pct = \"4.0\"\n"),
    }
}

pub(super) fn instant(n: i64) -> Timestamp {
    Timestamp::from_ms(1_700_000_000_000 + n)
}

/// A pair after a block.
pub(super) fn kept_pool(block: u8) -> KeptPool {
    let number = block.into();
    KeptPool {
        pool: Address::with_last_byte(9).into(),
        block: BlockRef { chain: CHAIN, number, hash: B256::with_last_byte(block) },
        form: PoolForm::V2(V2Observed { reserve0: u128::MAX, reserve1: 2 }),
    }
}

/// A search for pools of three exchanges between two tokens and the native coin.
pub(super) fn search_scope() -> SearchScope {
    let sources = openings().map(|found| (found.dex, found.source)).into();
    let coins = vec![Address::with_last_byte(2), Address::with_last_byte(3), Address::ZERO];
    SearchScope { chain: CHAIN, sources, coins, from: 3 }
}

/// A pool of each kind, oldest first.
pub(super) fn openings() -> [Found; 3] {
    let [two, three] = [2, 3].map(Address::with_last_byte);
    let pair = Found {
        dex: Dex::SushiswapV2,
        source: Address::with_last_byte(11),
        coins: [two, three],
        terms: Terms::V2 { pair: Address::with_last_byte(21) },
        block: 5,
    };
    let terms = Terms::V3 { pool: Address::with_last_byte(22), fee_pips: 999_999 };
    let source = Address::with_last_byte(12);
    let v3 = Found { dex: Dex::UniswapV3, source, terms, block: 7, ..pair };
    let key = PoolKey {
        currency0: Address::ZERO,
        currency1: two,
        fee_pips: 0x80_0000,
        tick_spacing: 32_767,
        hooks: Address::repeat_byte(0x40),
    };
    let (source, terms) = (Address::with_last_byte(13), Terms::V4 { id: key.id(), key });
    let coins = [key.currency0, key.currency1];
    [pair, v3, Found { dex: Dex::UniswapV4, source, coins, terms, ..v3 }]
}

fn pool() -> PoolId {
    PoolId { chain: CHAIN, address: Address::with_last_byte(9).into() }
}

pub(super) fn entry(
    kind: Kind,
    cause: &str,
    place: &Account,
    unit: &Unit,
    amount: &str,
) -> Result<Entry> {
    let draft = Draft::new(kind, cause, instant(1));
    let on = OnBlock { chain: CHAIN, number: 7, hash: B256::with_last_byte(7) };
    let draft = if kind == Kind::Gas { draft.on(on) } else { draft };
    let entry = draft.moved(place, unit, amount.parse()?, Reason::Opening).entry()?;
    entry.context("nothing moved")
}

fn entries() -> Result<Vec<Record>> {
    let signer = Address::with_last_byte(1);
    let (wallet, venue) =
        (Account::Wallet { chain: CHAIN, signer }, Account::Venue { venue: "hedge".into() });
    let native = Unit::Native { chain: CHAIN };
    let cash = Unit::Asset { venue: "hedge".into(), asset: "USDT".into() };
    let entries = [
        entry(Kind::Opening, "opening", &wallet, &native, AMOUNT)?,
        entry(Kind::Opening, "opening/hedge", &venue, &cash, "20000000000000")?,
        entry(Kind::Funding, AWKWARD, &venue, &cash, "-1234")?,
        entry(Kind::Gas, "0xgas", &wallet, &native, "-21000")?,
    ];
    Ok(entries.into_iter().map(Record::Entry).collect())
}

fn tx(nonce: u8, act: Act) -> SignedTx {
    let request = TxRequest {
        chain: CHAIN,
        nonce: nonce.into(),
        act,
        gas_limit: 300_000,
        max_fee: 2,
        max_priority_fee: 1,
    };
    SignedTx {
        request,
        signer: Address::with_last_byte(1),
        intent: Uuid::from_u128(nonce.into()),
        strategy: "lp".into(),
        raw: Bytes::from(vec![0, b'\n', b'\\', b'\t', 255, nonce]),
        hash: B256::with_last_byte(nonce),
    }
}

fn txs() -> Vec<SignedTx> {
    let open = OpenRange {
        pool: pool(),
        tick_lower: -60,
        tick_upper: 60,
        amount0: U256::from(5),
        amount1: U256::MAX,
        amount0_min: U256::ZERO,
        amount1_min: U256::ZERO,
        notional: dec!(12.5),
    };
    let spender = Spender::PositionManager;
    let approve = Act::Approve { token: Address::with_last_byte(2), spender, amount: U256::ONE };
    vec![tx(1, approve), tx(2, Act::Open { open, deadline: instant(120_000) })]
}

fn order(id: &str) -> Order {
    let request = NewOrder {
        venue: "hedge".into(),
        symbol: "ETHUSDT".into(),
        client_order_id: id.into(),
        side: Side::Sell,
        price: dec!(2600.10),
        quantity: dec!(0.500),
        time_in_force: TimeInForce::Ioc,
        reduce_only: true,
        valid_until: instant(5_000),
    };
    Order::new(request, instant(2), AWKWARD.to_owned())
}

fn position(id: u64) -> Position {
    Position {
        pool: pool(),
        token_id: U256::from(id),
        strategy: "lp".into(),
        tick_lower: -60,
        tick_upper: 60,
        liquidity: u128::MAX,
        amount0: U256::from(1),
        amount1: U256::from(2),
        inside: Some((U256::MAX, U256::ZERO)),
        opened: instant(3),
        closed: None,
        collected0: U256::ZERO,
        collected1: U256::ZERO,
        fees0: U256::ZERO,
        fees1: U256::ZERO,
        gas: U256::from(21_000),
        blocks_in_range: 4,
        blocks_total: 5,
        closed_price: None,
    }
}

fn leg() -> VenueLeg {
    VenueLeg {
        venue: "legs".into(),
        symbol: "ETHUSDT".into(),
        plan: dec!(-1.5),
        expected: Moved { base: dec!(1.5), quote: dec!(-4000.000001) },
        anchor: dec!(2666.666667),
        target: dec!(-1.5),
        done: dec!(-0.5),
        on_chain: Moved { base: dec!(1.5), quote: dec!(-4000.000001) },
        on_venue: Moved { base: dec!(-0.5), quote: dec!(1335.12345678) },
        gas_wei: Some(U256::MAX),
        attempts: 1,
        since: Some(instant(5)),
        tried: Some(instant(6)),
        state: LegState::Due,
    }
}

fn opportunity(id: u128, net: Option<NetProfit>) -> Opportunity {
    Opportunity {
        id: Uuid::from_u128(id),
        chain: CHAIN,
        strategy: "cycles".into(),
        block: 7,
        seen: instant(i64::try_from(id).unwrap_or(0)),
        route: vec!["a".into(), "b".into()],
        token: "USDT".into(),
        amount_in: dec!(100),
        net,
        realised: net.map(|net| net.gross),
        fate: if net.is_some() { Fate::Landed } else { Fate::Skipped },
        why: AWKWARD.into(),
        hash: net.map(|_| B256::with_last_byte(3)),
        leg: net.map(|_| leg()),
    }
}

fn fill() -> Fill {
    Fill {
        trade_id: 11,
        client_order_id: Some("tk1".into()),
        is_forced: false,
        venue_order_id: 12,
        side: Side::Sell,
        price: dec!(2600.1),
        quantity: dec!(0.5),
        fee: dec!(0.65),
        fee_asset: "USDT".into(),
        realized_pnl: dec!(-3.20),
        margin_asset: "USDT".into(),
        venue_time: instant(4),
    }
}

fn records() -> Result<Vec<Record>> {
    let (place, unit) = (Account::Venue { venue: "hedge".into() }, Unit::Native { chain: CHAIN });
    let (ledger, actual, at) = (I256::MAX, I256::MINUS_ONE, AWKWARD.to_owned());
    let compared = Comparison { account: place, unit, ledger, actual, at };
    let mined = Mined {
        number: 7,
        block_hash: B256::with_last_byte(7),
        gas_used: 21_000,
        cost: U256::from(42_000),
    };
    let done = OrderState::Done { outcome: Outcome::Filled };
    let net = NetProfit {
        gross: dec!(10),
        gas: dec!(2),
        fees: dec!(3),
        slippage: dec!(1),
        failure_probability: dec!(0.25),
    };
    let cash = dec!(-3.85);
    let (venue, symbol) = ("hedge".to_owned(), "ETHUSDT".to_owned());
    let mut records = entries()?;
    records.extend([
        Record::TxState { chain: CHAIN, nonce: 1, state: TxState::Included, mined: Some(mined) },
        Record::OrderState(Order { state: done, filled: dec!(0.5), ..order("tk1") }),
        Record::Fill { venue, symbol, fill: fill(), cash },
        Record::Position(position(1)),
        Record::Position(position(2)),
        Record::Position(Position { closed: Some(instant(9)), liquidity: 0, ..position(1) }),
        Record::Opportunity(opportunity(1, Some(net))),
        Record::Opportunity(opportunity(2, None)),
        Record::Cursor(BlockRef { chain: CHAIN, number: 7, hash: B256::with_last_byte(7) }),
        Record::Reconciled(vec![compared.clone(), compared]),
        Record::Note { kind: "mode", body: json!({ "why": AWKWARD, "n": 1.5 }) },
        Record::Note { kind: "refusal", body: json!(null) },
        Record::Remember { key: "opening_value", value: json!("100.5") },
        Record::Remember { key: "paused", value: json!(["lp"]) },
    ]);
    Ok(records)
}
