use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
use rust_decimal::dec;

use super::*;
use crate::market::pools::v2::{V2Event, V2Observed};
use crate::market::pools::v3::V3Snapshot;
use crate::math::amm::tick::{TickState, sqrt_price_at};
use crate::math::amm::v2::KeptPart;
use crate::math::cycle::NEIGHBOURS;

const WETH: Address = Address::with_last_byte(1);
const USDC: Address = Address::with_last_byte(2);
const WBTC: Address = Address::with_last_byte(3);

const ETHER: u128 = 1_000_000_000_000_000_000;
const DOLLAR: u128 = 1_000_000;
const BITCOIN: u128 = 100_000_000;

/// 2,050.87 dollars per ether.
const DEAR_TICK: i32 = -200_060;
/// 2,002.24 dollars per ether.
const FAIR_TICK: i32 = -200_300;
const LIQUIDITY: u128 = 1_000_000_000_000_000_000;

fn parameters() -> Parameters {
    Parameters {
        strategy: "arb".into(),
        chain: 1,
        legs_max: 3,
        min_net: dec!(1),
        budget: dec!(1000000),
        slippage_bps: 0,
        gas_per_leg: 100_000,
        gas_base: 100_000,
        start_tokens: vec![WETH],
    }
}

fn tokens() -> Vec<TokenRef> {
    let token = |address, decimals, price, symbol: &str| TokenRef {
        address,
        decimals,
        price: Some(price),
        symbol: symbol.into(),
    };
    vec![
        token(WETH, 18, dec!(2000), "WETH"),
        token(USDC, 6, dec!(1), "USDC"),
        token(WBTC, 8, dec!(40000), "WBTC"),
    ]
}

/// Gas costs 0.6 dollars for two legs and 0.8 for three; one revert in a hundred.
fn view<'a>(pools: &'a [PoolRef<'a>], tokens: &'a [TokenRef]) -> View<'a> {
    View {
        pools,
        tokens,
        gas_price: 1_000_000_000,
        native_price: Some(dec!(2000)),
        landed: 98,
        reverted: 0,
        block: B256::ZERO,
        at: Timestamp::from_ms(0),
    }
}

fn pair(reserve0: u128, reserve1: u128) -> PoolV2 {
    PoolV2::from_snapshot(V2Observed { reserve0, reserve1 }, KeptPart::UNISWAP)
}

fn v2(index: u8, tokens: (Address, Address), pool: &PoolV2) -> PoolRef<'_> {
    PoolRef {
        id: PoolId { chain: 1, address: Address::with_last_byte(index).into() },
        dex: 4,
        token0: tokens.0,
        token1: tokens.1,
        fee_pips: 3_000,
        curve: CurveRef::V2(pool),
    }
}

/// A WETH/USDC pool with all its liquidity in a range around the tick.
fn ranged(tick: i32, half_width: i32) -> PoolV3 {
    let net = i128::try_from(LIQUIDITY).unwrap();
    let state = |net| TickState { gross: LIQUIDITY, net, ..TickState::default() };
    PoolV3::from_snapshot(V3Snapshot {
        sqrt_price_x96: sqrt_price_at(tick).unwrap(),
        tick,
        liquidity: LIQUIDITY,
        ticks: vec![(tick - half_width, state(net)), (tick + half_width, state(-net))],
        ..V3Snapshot::unopened(500, 10, 7)
    })
    .unwrap()
}

fn v3(index: u8, pool: &PoolV3) -> PoolRef<'_> {
    PoolRef {
        id: PoolId { chain: 1, address: Address::with_last_byte(index).into() },
        dex: 5,
        token0: WETH,
        token1: USDC,
        fee_pips: 500,
        curve: CurveRef::V3(pool),
    }
}

/// A fair pair and one that pays five percent more for ether.
fn two_pairs() -> [PoolV2; 2] {
    let ether = 1_000 * ETHER;
    [pair(ether, 2_000_000 * DOLLAR), pair(ether, 2_100_000 * DOLLAR)]
}

/// Ether to dollars and dollars to bitcoin are fair, bitcoin buys five percent more ether.
fn three_pairs() -> [PoolV2; 3] {
    [
        pair(1_000 * ETHER, 2_000_000 * DOLLAR),
        pair(4_000_000 * DOLLAR, 100 * BITCOIN),
        pair(2_100 * ETHER, 100 * BITCOIN),
    ]
}

fn three_refs(pools: &[PoolV2; 3]) -> Vec<PoolRef<'_>> {
    let tokens = [(WETH, USDC), (USDC, WBTC), (WETH, WBTC)];
    (1..).zip(tokens).zip(pools).map(|((index, tokens), pool)| v2(index, tokens, pool)).collect()
}

fn refs(pools: &[PoolV2; 2]) -> [PoolRef<'_>; 2] {
    [v2(1, (WETH, USDC), &pools[0]), v2(2, (WETH, USDC), &pools[1])]
}

fn found(pools: &[PoolRef<'_>], parameters: &Parameters) -> Vec<Found> {
    decide(&view(pools, &tokens()), parameters)
}

/// The pools of a cycle by their last bytes, in order.
fn route(found: &Found) -> Vec<u8> {
    found.cycle.legs.iter().map(|leg| leg.pool.address.as_slice()[19]).collect()
}

/// What the cycle's pools return, asked directly; `None` when they do not fill it.
fn replay(plan: &CyclePlan, pools: &[PoolRef<'_>], amount_in: U256) -> Option<U256> {
    plan.legs.iter().try_fold(amount_in, |amount, leg| {
        let pool = pools.iter().find(|pool| pool.id == leg.pool).unwrap();
        let is_zero_in = leg.token_in == pool.token0;
        let way = if is_zero_in { Direction::ZeroForOne } else { Direction::OneForZero };
        Edge::new(pool, way).unwrap().quote(amount)
    })
}

fn profit(plan: &CyclePlan, pools: &[PoolRef<'_>], amount_in: U256) -> U256 {
    replay(plan, pools, amount_in).unwrap_or_default().saturating_sub(amount_in)
}

/// The plan's own figures hold, and neither neighbours nor other sizes earn more.
fn check_sizing(found: &Found, pools: &[PoolRef<'_>]) {
    let plan = &found.cycle;
    let (first, last) = (plan.legs.first().unwrap(), plan.legs.last().unwrap());
    assert_eq!((first.token_in, last.token_out), (plan.token, plan.token));
    assert!(plan.legs.windows(2).all(|legs| legs[0].token_out == legs[1].token_in));
    assert_eq!(replay(plan, pools, plan.amount_in), Some(last.amount_out));
    let most = profit(plan, pools, plan.amount_in);
    assert!(most > U256::ZERO);
    for away in (1..=NEIGHBOURS).map(U256::from) {
        assert!(profit(plan, pools, plan.amount_in - away) <= most);
        assert!(profit(plan, pools, plan.amount_in + away) <= most);
    }
    for percent in [1, 50, 90, 99, 101, 110, 200, 1_000] {
        let other = plan.amount_in * U256::from(percent) / U256::from(100);
        assert!(profit(plan, pools, other) <= most, "{percent}");
    }
}

#[test]
fn a_planted_cycle_of_two_pairs_is_found_in_its_direction_and_sized_to_the_unit() {
    let pairs = two_pairs();
    let pools = refs(&pairs);
    let found = found(&pools, &parameters());
    assert_eq!(found.len(), 1);
    assert_eq!(route(&found[0]), [2u8, 1]);
    check_sizing(&found[0], &pools);
    let legs = &found[0].cycle.legs;
    assert_eq!((legs[0].dex, legs[0].fee_pips), (4, 3_000));
    assert_eq!((legs[0].token_in, legs[0].token_out), (WETH, USDC));
    // The real peak is 10.594840615929895756 ether.
    let amount_in = found[0].cycle.amount_in;
    let (low, high) = (1_059 * ETHER / 100, 1_060 * ETHER / 100);
    assert!(amount_in > U256::from(low) && amount_in < U256::from(high), "{amount_in}");
    assert!(found[0].is_worth, "{}", found[0].why);
}

#[test]
fn a_planted_cycle_through_ticks_is_found_and_sized_to_the_unit() {
    let (fair, dear) = (pair(1_000 * ETHER, 2_000_000 * DOLLAR), ranged(DEAR_TICK, 20_000));
    let pools = [v2(1, (WETH, USDC), &fair), v3(2, &dear)];
    let found = found(&pools, &parameters());
    assert_eq!(found.len(), 1);
    assert_eq!(route(&found[0]), [2u8, 1]);
    check_sizing(&found[0], &pools);
    assert_eq!((found[0].cycle.legs[0].dex, found[0].cycle.legs[0].fee_pips), (5, 500));
}

#[test]
fn a_pool_that_runs_dry_is_filled_and_no_more() {
    // Ten ticks hold some 11 ether, the pair would take ten times that.
    let (fair, dear) = (pair(10_000 * ETHER, 20_000_000 * DOLLAR), ranged(DEAR_TICK, 10));
    let pools = [v2(1, (WETH, USDC), &fair), v3(2, &dear)];
    let found = found(&pools, &parameters());
    assert_eq!(found.len(), 1);
    let amount_in = found[0].cycle.amount_in;
    assert!(replay(&found[0].cycle, &pools, amount_in).is_some());
    assert!(
        replay(&found[0].cycle, &pools, amount_in * U256::from(102) / U256::from(100)).is_none()
    );
    check_sizing(&found[0], &pools);
}

#[test]
fn a_planted_cycle_of_three_pools_is_found_in_its_direction_and_sized_to_the_unit() {
    let pairs = three_pairs();
    let pools = three_refs(&pairs);
    let found = found(&pools, &parameters());
    assert_eq!(found.len(), 1);
    assert_eq!(route(&found[0]), [1u8, 2, 3]);
    check_sizing(&found[0], &pools);
    let tokens: Vec<_> = found[0].cycle.legs.iter().map(|leg| leg.token_out).collect();
    assert_eq!(tokens, [USDC, WBTC, WETH]);
    let net = found[0].net.unwrap();
    assert_eq!(net.gas, dec!(0.8));
    assert!((net.fees / found[0].cycle.notional - dec!(0.009)).abs() < dec!(0.000001));
}

#[test]
fn two_legs_at_most_leave_three_pools_alone() {
    let pairs = three_pairs();
    for legs_max in [0, 1, 2] {
        let parameters = Parameters { legs_max, ..parameters() };
        assert!(found(&three_refs(&pairs), &parameters).is_empty());
    }
}

#[test]
fn prices_that_agree_within_the_fees_are_no_opportunity() {
    // Half a percent apart, fees of 0.3 % twice and of 0.3 % and 0.05 %.
    let near = [pair(1_000 * ETHER, 2_000_000 * DOLLAR), pair(1_000 * ETHER, 2_010_000 * DOLLAR)];
    assert!(found(&refs(&near), &parameters()).is_empty());
    let fair = ranged(FAIR_TICK, 20_000);
    assert!(found(&[v2(1, (WETH, USDC), &near[0]), v3(2, &fair)], &parameters()).is_empty());
}

#[test]
fn the_budget_caps_the_input() {
    let pairs = two_pairs();
    let parameters = Parameters { budget: dec!(1000), ..parameters() };
    let found = found(&refs(&pairs), &parameters);
    let plan = &found[0].cycle;
    assert!(plan.notional <= dec!(1000) && plan.notional > dec!(999.99), "{}", plan.notional);
    assert!(plan.amount_in <= U256::from(ETHER / 2));
    for budget in [dec!(0), dec!(-1)] {
        let parameters = Parameters { budget, ..parameters.clone() };
        assert!(decide(&view(&refs(&pairs), &tokens()), &parameters).is_empty());
    }
}

#[test]
fn gas_above_the_profit_makes_it_not_worth_but_it_is_still_told() {
    let (pairs, tokens) = (two_pairs(), tokens());
    let pools = refs(&pairs);
    // The profit is some 458 dollars; 300,000 gas at 1,000 gwei cost 600.
    let dear = View { gas_price: 1_000_000_000_000, ..view(&pools, &tokens) };
    let found = decide(&dear, &parameters());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].net.unwrap().gas, dec!(600));
    assert!(found[0].expected.unwrap() < Decimal::ZERO && !found[0].is_worth);
    // 0.3 ether of gas, and a unit for rounding.
    assert_eq!(found[0].cycle.min_profit, U256::from(3 * ETHER / 10 + 1));
}

#[test]
fn the_least_profit_is_the_operator_s() {
    let pairs = two_pairs();
    let expected = found(&refs(&pairs), &parameters())[0].expected.unwrap();
    for (min_net, is_worth) in [(expected, true), (expected + dec!(0.01), false)] {
        let parameters = Parameters { min_net, ..parameters() };
        assert_eq!(found(&refs(&pairs), &parameters)[0].is_worth, is_worth);
    }
}

#[test]
fn free_gas_still_leaves_a_floor_of_one_unit() {
    let (pairs, tokens) = (two_pairs(), tokens());
    let pools = refs(&pairs);
    let found = decide(&View { gas_price: 0, ..view(&pools, &tokens) }, &parameters());
    assert_eq!(found[0].cycle.min_profit, U256::ONE);
}

#[test]
fn what_has_no_price_is_not_worth_anything() {
    let (pairs, tokens) = (two_pairs(), tokens());
    let pools = refs(&pairs);
    for native_price in [None, Some(dec!(0)), Some(dec!(-1))] {
        let found = decide(&View { native_price, ..view(&pools, &tokens) }, &parameters());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].net, found[0].expected, found[0].is_worth), (None, None, false));
        let profit = profit(&found[0].cycle, &pools, found[0].cycle.amount_in);
        assert_eq!(found[0].cycle.min_profit, profit);
    }
    for price in [None, Some(dec!(0)), Some(dec!(-1))] {
        let mut unpriced = tokens.clone();
        unpriced[0].price = price;
        assert!(decide(&view(&pools, &unpriced), &parameters()).is_empty());
    }
    assert!(decide(&view(&pools, &tokens[1..]), &parameters()).is_empty());
    // A token in the middle needs none.
    let mut middle = tokens.clone();
    middle[1].price = None;
    assert_eq!(decide(&view(&pools, &middle), &parameters()), found(&pools, &parameters()));
}

#[test]
fn pools_out_of_step_and_pools_of_other_chains_are_left_out() {
    let mut pairs = two_pairs();
    let mut foreign = refs(&pairs);
    foreign[1].id.chain = 2;
    assert!(found(&foreign, &parameters()).is_empty());
    let misfit = V2Event::Mint { amount0: U256::ONE, amount1: U256::ONE };
    assert!(pairs[1].apply(&misfit).is_err());
    assert!(found(&refs(&pairs), &parameters()).is_empty());
}

#[test]
fn the_same_view_gives_the_same_answer_in_any_order_of_the_pools() {
    let (two, three) = (two_pairs(), three_pairs());
    let mut pools = three_refs(&three);
    pools.push(v2(9, (WETH, USDC), &two[1]));
    let parameters = Parameters { start_tokens: vec![WETH, USDC, WETH], ..parameters() };
    let first = found(&pools, &parameters);
    assert!(first.len() > 2);
    assert_eq!(first, found(&pools, &parameters));
    pools.reverse();
    assert_eq!(first, found(&pools, &parameters));
    assert!(first.is_sorted_by(|a, b| a.expected >= b.expected));
    let mut keys: Vec<_> = first.iter().map(|found| &found.key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), first.len());
}

#[test]
fn both_ends_of_a_cycle_may_begin_it() {
    let pairs = two_pairs();
    let parameters = Parameters { start_tokens: vec![USDC], ..parameters() };
    let from_dollars = found(&refs(&pairs), &parameters);
    assert_eq!(from_dollars.len(), 1);
    assert_eq!(route(&from_dollars[0]), [1u8, 2]);
    let [one, two] = [1, 2].map(|index| format!("{:#x}", Address::with_last_byte(index)));
    assert_eq!(from_dollars[0].key, format!("1/{}/{two}/{one}+{two}", B256::ZERO));
    check_sizing(&from_dollars[0], &refs(&pairs));
}

#[test]
fn a_revert_costs_its_gas_and_history_tells_how_often() {
    let net = NetProfit {
        gross: dec!(10),
        gas: dec!(1),
        fees: dec!(100),
        slippage: dec!(0.5),
        failure_probability: dec!(0.2),
    };
    assert_eq!(net.expected(), Some(dec!(6.6)));
    assert_eq!(NetProfit { gross: Decimal::MIN, ..net }.expected(), None);
    assert_eq!(failure_probability(0, 0), dec!(0.5));
    assert_eq!(failure_probability(8, 0), dec!(0.1));
    assert_eq!(failure_probability(0, 8), dec!(0.9));
    assert!(failure_probability(u64::MAX, u64::MAX) <= Decimal::ONE);
}

#[test]
fn slippage_is_a_part_of_the_input() {
    let pairs = two_pairs();
    let found = found(&refs(&pairs), &Parameters { slippage_bps: 10, ..parameters() });
    let net = found[0].net.unwrap();
    assert_eq!(net.slippage, found[0].cycle.notional / dec!(1000));
    assert!(found[0].expected.unwrap() < net.gross - net.gas - net.slippage);
}

fn told<'a>(found: &'a Found, name: &str) -> &'a Term {
    found.terms.iter().find(|term| term.name == name).expect(name)
}

fn figure(found: &Found, name: &str) -> Decimal {
    told(found, name).value.parse().expect("a decimal")
}

#[test]
fn the_terms_are_the_figures_it_was_weighed_with() {
    let pairs = two_pairs();
    let found = found(&refs(&pairs), &Parameters { slippage_bps: 10, ..parameters() });
    let of = |name| figure(&found[0], name);
    let landed = of("gross") - of("gas") - of("slippage");
    let fails = of("failure_probability");
    assert_eq!(of("net"), (dec!(1) - fails) * landed - fails * of("gas"));
    assert_eq!(Some(of("net")), found[0].expected);
    assert_eq!((of("gas"), fails, of("landed")), (dec!(0.6), dec!(0.01), dec!(98)));
    assert_eq!(of("slippage"), of("notional") / dec!(1000));
    assert_eq!(of("profit"), of("amount_out") - of("amount_in"));
    assert_eq!(of("gross"), of("profit") * of("start_price"));
    let plan = &found[0].cycle;
    assert_eq!(told(&found[0], "amount_in").unit, "WETH");
    assert_eq!(of("notional"), plan.notional);
    assert_eq!(raw_down(of("amount_in"), 18), Some(plan.amount_in));
    assert_eq!(raw_down(of("min_profit"), 18), Some(plan.min_profit));
    // 2.1 million dollars against 2 million, less 0.3 percent twice.
    let rate = libm::log(1.05 * 0.997 * 0.997);
    let of_rate: f64 = told(&found[0], "log_marginal_rate").value.parse().unwrap();
    assert!((of_rate - rate).abs() < 1e-9, "{of_rate} {rate}");
}

#[test]
fn what_has_no_price_has_no_terms_of_profit() {
    let (pairs, tokens) = (two_pairs(), tokens());
    let pools = refs(&pairs);
    let found = decide(&View { native_price: None, ..view(&pools, &tokens) }, &parameters());
    let names: Vec<_> = found[0].terms.iter().map(|term| term.name).collect();
    assert!(names.contains(&"amount_in") && !names.contains(&"net") && !names.contains(&"gas"));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_panics_and_everything_repeats(
        reserves in any::<[(u128, u128); 4]>(),
        fee_pips in any::<u32>(),
        decimals in any::<u32>(),
        is_small in any::<bool>(),
        (price, budget, gas_price) in (any::<i64>(), any::<i64>(), any::<u128>()),
        (landed, reverted) in any::<(u64, u64)>(),
        gas in any::<u64>(),
    ) {
        let pairs = reserves.map(|(reserve0, reserve1)| pair(reserve0, reserve1));
        let sides = [(WETH, USDC), (WETH, USDC), (USDC, WBTC), (WETH, WBTC)];
        let mut pools: Vec<_> =
            (1..).zip(sides).zip(&pairs).map(|((i, sides), pool)| v2(i, sides, pool)).collect();
        pools[0].fee_pips = fee_pips;
        let mut tokens = tokens();
        tokens[0].decimals = if is_small { decimals % 37 } else { decimals };
        tokens[0].price = Some(Decimal::new(price, 9));
        let odd = View {
            gas_price, landed, reverted, native_price: Some(Decimal::MAX), ..view(&pools, &tokens)
        };
        let parameters = Parameters {
            budget: Decimal::new(budget, 3), gas_per_leg: gas, gas_base: gas,
            slippage_bps: fee_pips, start_tokens: vec![WETH, USDC, WBTC], ..parameters()
        };
        prop_assert_eq!(decide(&odd, &parameters), decide(&odd, &parameters));
    }
}
