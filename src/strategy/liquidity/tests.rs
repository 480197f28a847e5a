use rust_decimal::dec;

use super::*;

fn parameters() -> Parameters {
    Parameters {
        strategy: "lp".into(),
        pool: PoolId { chain: 1, address: Address::ZERO.into() },
        budget: dec!(100000),
        half_width_pct: dec!(0.2),
        horizon_h: dec!(1),
        min_gain_over_cost: dec!(2),
        min_dwell_ms: 10_000,
        moves_per_day_max: 100,
        max_slippage_bps: 30,
        max_pool_vs_reference_bps: 40,
    }
}

/// A WETH/USDT pool at tick 0 of an 18/18 pair, price 1: the shape is what matters here.
fn view() -> View {
    let one = U256::from(10).pow(U256::from(18));
    View {
        pool: PoolView {
            sqrt_price_x96: sqrt_price_at(0).expect("tick 0"),
            tick: 0,
            tick_spacing: 10,
            fee_pips: 500,
            token0: Address::with_last_byte(1),
            token1: Address::with_last_byte(2),
            base_is_token0: true,
            base_decimals: 18,
            quote_decimals: 18,
            price: dec!(1),
            fee_rate: Some(dec!(0.00001)),
        },
        reference: dec!(1),
        wallet_base: one * U256::from(60_000),
        wallet_quote: one * U256::from(60_000),
        held: None,
        moves_today: 0,
        gas_per_move: dec!(1),
        at: Timestamp::from_ms(100_000),
        decision: 7,
    }
}

fn held(lower: i32, upper: i32) -> Option<Held> {
    let liquidity = PROBE_LIQUIDITY;
    let opened = Timestamp::from_ms(0);
    Some(Held { token_id: U256::ONE, tick_lower: lower, tick_upper: upper, liquidity, opened })
}

fn want(view: &View) -> Want {
    match decide(view, &parameters()) {
        Decision::Act(intent) => intent.want,
        Decision::Wait(why) => panic!("waits: {why}"),
    }
}

fn why(view: &View) -> String {
    match decide(view, &parameters()) {
        Decision::Act(intent) => panic!("acts: {:?}", intent.want),
        Decision::Wait(why) => why,
    }
}

#[test]
fn a_balanced_wallet_opens_a_range_around_the_price() {
    let Want::Open(open) = want(&view()) else { panic!("not an open") };
    assert_eq!((open.tick_lower, open.tick_upper), (-20, 30));
    assert!(open.amount0_min < open.amount0 && open.amount1_min < open.amount1);
    assert!(open.notional <= dec!(100000));
}

#[test]
fn a_one_sided_wallet_swaps_first() {
    let mut one_sided = view();
    one_sided.wallet_base = U256::ZERO;
    one_sided.wallet_quote *= U256::from(2);
    let Want::Swap(swap) = want(&one_sided) else { panic!("not a swap") };
    assert_eq!(swap.token_in, one_sided.pool.token1);
    assert!(swap.amount_out_min < swap.amount_in);
    assert!(swap.amount_out_min > swap.amount_in * U256::from(99) / U256::from(100));
}

/// A wallet of 120,000 with so much base, where 0.1 % of slippage is accepted.
fn short_of_base(base: u64) -> Decision {
    let mut short = view();
    let all = U256::from(120_000);
    short.wallet_base = U256::from(base) * U256::from(10).pow(U256::from(18));
    short.wallet_quote = (all - U256::from(base)) * U256::from(10).pow(U256::from(18));
    decide(&short, &Parameters { max_slippage_bps: 10, ..parameters() })
}

#[test]
fn what_a_move_of_the_price_takes_is_not_swapped_for_and_the_range_is_smaller() {
    // It fills 79 % of its range; within the slippage the range may need a third more of the base.
    let Decision::Act(opening) = short_of_base(47_000) else { panic!("waits") };
    let needed = term(&opening, "base_needed");
    let Want::Open(open) = opening.want else { panic!("not an open: {}", opening.why) };
    let brought = human_unsigned(open.amount0, 18).expect("fits");
    assert_eq!(brought, dec!(47000));
    assert!(brought < needed * dec!(0.81) && brought > needed * dec!(0.78), "of {needed}");
    // The least that must be minted is of what the wallet fills, not of the whole range.
    assert!(open.amount0_min < open.amount0 / U256::from(2));
    assert!(open.amount1_min > U256::ZERO);

    let Decision::Act(swapping) = short_of_base(39_000) else { panic!("waits") };
    let Want::Swap(_) = swapping.want else { panic!("not a swap: {}", swapping.why) };
    assert!(term(&swapping, "base_short") > term(&swapping, "worth_a_swap"));
}

#[test]
fn in_range_it_waits_and_out_of_range_it_closes_when_paid() {
    let mut position = view();
    position.held = held(-20, 20);
    assert_eq!(why(&position), "in range");
    position.held = held(-40, 0);
    let Want::Close(close) = want(&position) else { panic!("not a close") };
    assert_eq!(close.liquidity, PROBE_LIQUIDITY);
}

#[test]
fn it_does_not_move_for_fees_that_do_not_pay() {
    let mut position = view();
    position.held = held(-40, 0);
    position.pool.fee_rate = Some(dec!(0));
    assert!(why(&position).contains("not worth moving"));
    position.pool.fee_rate = None;
    assert!(why(&position).contains("not measured"));
}

#[test]
fn it_holds_a_range_at_least_as_long_as_told_and_not_too_often() {
    let mut position = view();
    position.held = held(-40, 0);
    position.at = Timestamp::from_ms(9_999);
    assert!(why(&position).contains("held 9999 ms"));
    position.at = Timestamp::from_ms(10_000);
    position.moves_today = 100;
    assert!(why(&position).contains("100 moves today"));
}

#[test]
fn a_pool_far_from_the_reference_is_left_alone() {
    let mut manipulated = view();
    manipulated.reference = dec!(1.0041);
    assert!(why(&manipulated).contains("from the reference"));
}

#[test]
fn an_empty_wallet_waits() {
    let mut empty = view();
    empty.wallet_base = U256::ZERO;
    empty.wallet_quote = U256::ZERO;
    assert_eq!(why(&empty), "no capital in the wallet");
}

fn intent(view: &View) -> Intent {
    match decide(view, &parameters()) {
        Decision::Act(intent) => *intent,
        Decision::Wait(why) => panic!("waits: {why}"),
    }
}

fn term(intent: &Intent, name: &str) -> Decimal {
    let term = intent.terms.iter().find(|term| term.name == name).expect(name);
    assert!(!term.unit.is_empty(), "{name} has no unit");
    term.value.parse().expect("a decimal")
}

#[test]
fn the_terms_of_a_move_are_the_figures_that_decided_it() {
    let mut position = view();
    position.held = held(-40, 0);
    let close = intent(&position);
    let of = |name| term(&close, name);
    assert_eq!((of("price"), of("reference"), of("distance")), (dec!(1), dec!(1), dec!(0)));
    assert_eq!((of("held_tick_lower"), of("held_tick_upper")), (dec!(-40), dec!(0)));
    assert_eq!((of("gas"), of("horizon"), of("held_for")), (dec!(1), dec!(3600), dec!(100000)));
    assert_eq!(of("cost"), of("gas") + of("swap_fee") + of("slippage"));
    assert_eq!(of("swap_fee"), of("turned_over") * dec!(0.0005));
    assert_eq!(of("expected_fees"), of("fee_rate") * of("liquidity") * of("horizon"));
    assert!(of("expected_fees") >= of("cost") * of("min_gain_over_cost"));
    assert_eq!(of("gain_over_cost"), (of("expected_fees") / of("cost")).round_dp(6));
    assert!(close.why.contains(&of("cost").round_dp(2).to_string()), "{}", close.why);
}

#[test]
fn the_terms_of_an_opening_and_a_swap_are_their_own_figures() {
    let opening = intent(&view());
    let Want::Open(open) = &opening.want else { panic!("not an open") };
    assert_eq!(term(&opening, "tick_lower"), Decimal::from(open.tick_lower));
    assert_eq!(term(&opening, "tick_upper"), Decimal::from(open.tick_upper));
    assert_eq!(term(&opening, "capital"), open.notional);
    assert!(opening.terms.iter().all(|term| term.name != "expected_fees"), "not looked at");

    let mut one_sided = view();
    one_sided.wallet_base = U256::ZERO;
    one_sided.wallet_quote *= U256::from(2);
    let swapping = intent(&one_sided);
    let Want::Swap(swap) = &swapping.want else { panic!("not a swap") };
    let of = |name| term(&swapping, name);
    assert_eq!(of("swapped"), swap.notional);
    assert_eq!(of("base_short"), of("base_needed") * of("price"));
    assert_eq!(of("quote_short"), of("quote_needed") - of("quote_in_wallet"));
    assert!(of("base_short") > of("worth_a_swap") && of("base_in_wallet").is_zero());
}
