use rust_decimal::dec;

use super::*;

const RULES: MarketRules =
    MarketRules { tick: dec!(0.01), lot: dec!(0.001), min_notional: dec!(10) };

fn parameters() -> Parameters {
    Parameters {
        strategy: "mm".into(),
        venue: "spot".into(),
        symbol: "ETHUSDT".into(),
        budget: dec!(100000),
        quote_quantity: dec!(0.1),
        max_inventory: dec!(1),
        target_inventory: dec!(2),
        gamma: 0.01,
        kappa: 1.5,
        intensity_a: 0.5,
        min_half_spread_bps: dec!(2),
        max_half_spread_bps: dec!(50),
        maker_fee_bps: dec!(1),
        ttl_ms: 10_000,
        refresh_bps: dec!(5),
        volatility_window_ms: 60_000,
    }
}

/// Forty steps of half a unit, one a second: a variance of 0.25 per second.
fn mids() -> Vec<(Timestamp, Decimal)> {
    let mid = |s: i64| if s % 2 == 0 { dec!(2000) } else { dec!(2000.5) };
    (0..=40).map(|s| (Timestamp::from_s(s), mid(s))).collect()
}

fn view(mids: &[(Timestamp, Decimal)]) -> View<'_> {
    View {
        bid: dec!(1999.99),
        ask: dec!(2000.01),
        bid_quantity: dec!(5),
        ask_quantity: dec!(5),
        mids,
        inventory: dec!(2),
        quote_cash: dec!(100000),
        rules: &RULES,
        resting: &[],
        at: Timestamp::from_s(40),
        decision: 7,
    }
}

fn quoted(view: &View<'_>, parameters: &Parameters) -> (QuoteTarget, String) {
    match decide(view, parameters) {
        Decision::Quote { target, why, .. } => (target, why),
        other => panic!("does not quote: {other:?}"),
    }
}

fn wait(view: &View<'_>, parameters: &Parameters) -> String {
    match decide(view, parameters) {
        Decision::Wait(why) => why,
        other => panic!("does not wait: {other:?}"),
    }
}

fn side(price: Decimal, quantity: Decimal) -> Option<QuoteSide> {
    Some(QuoteSide { price, quantity })
}

/// The quotes at an inventory.
fn at_inventory(inventory: Decimal, parameters: &Parameters) -> (QuoteTarget, String) {
    let mids = mids();
    quoted(&View { inventory, ..view(&mids) }, parameters)
}

#[test]
fn at_its_target_it_quotes_both_sides_alike_and_says_why() {
    let (target, why) = at_inventory(dec!(2), &parameters());
    assert_eq!(target.bid, side(dec!(1999.12), dec!(0.1)));
    assert_eq!(target.ask, side(dec!(2000.88), dec!(0.1)));
    assert_eq!((target.venue.as_str(), target.symbol.as_str()), ("spot", "ETHUSDT"));
    assert_eq!((target.notional, target.expires), (dec!(400), Timestamp::from_s(50)));
    assert_eq!(
        why,
        "mid 2000, sigma 0.500000 per root second, inventory 0 from target, \
         half-spread 0.87708877: bid 0.1 at 1999.12, ask 0.1 at 2000.88"
    );
}

/// A term of the quotes at an inventory.
fn term(inventory: Decimal, parameters: &Parameters, name: &str) -> Option<String> {
    let mids = mids();
    let Decision::Quote { terms, .. } = decide(&View { inventory, ..view(&mids) }, parameters)
    else {
        panic!("does not quote");
    };
    assert!(terms.iter().all(|term| !term.unit.is_empty()));
    terms.into_iter().find(|term| term.name == name).map(|term| term.value)
}

#[test]
fn the_terms_are_the_figures_of_the_quotes() {
    let text = |name: &str| term(dec!(2.5), &parameters(), name).expect(name);
    let exact = |name: &str| -> Decimal { text(name).parse().expect("a decimal") };
    let model = |name: &str| -> f64 { text(name).parse().expect("a number") };
    assert_eq!((exact("mid"), exact("inventory")), (dec!(2000), dec!(0.5)));
    let model_of = ["sigma", "gamma", "kappa", "intensity_a"].map(text);
    assert_eq!(model_of, ["0.5", "0.01", "1.5", "0.5"]);
    let (target, _) = at_inventory(dec!(2.5), &parameters());
    assert_eq!(side(exact("bid"), exact("bid_quantity")), target.bid);
    assert_eq!(side(exact("ask"), exact("ask_quantity")), target.ask);
    assert_eq!(floor_to(exact("mid") - exact("bid_distance"), RULES.tick), Some(exact("bid")));
    assert_eq!(ceil_to(exact("mid") + exact("ask_distance"), RULES.tick), Some(exact("ask")));
    let both = exact("bid_distance") + exact("ask_distance");
    assert_eq!(exact("half_spread"), both / dec!(2));
    assert_eq!(exact("maker_fee"), dec!(0.2));
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
    near(model("reservation_offset"), -0.5 * model("skew_per_base"));
    near(model("model_half_spread"), model("edge") + 0.1 * model("skew_per_base") / 2.0);
    near(model("half_spread"), model("model_half_spread") + model("maker_fee"));
}

#[test]
fn a_side_that_is_not_wanted_has_no_terms() {
    assert_eq!(term(dec!(3), &parameters(), "bid"), None);
    assert_eq!(term(dec!(3), &parameters(), "ask").as_deref(), Some("2000.67"));
}

#[test]
fn the_same_view_gives_the_same_decision() {
    let mids = mids();
    let first = decide(&view(&mids), &parameters());
    assert_eq!(first, decide(&view(&mids), &parameters()));
    assert!(matches!(first, Decision::Quote { key, .. } if key == "quote/7"));
}

#[test]
fn a_long_inventory_lowers_both_prices() {
    let (target, _) = at_inventory(dec!(2.5), &parameters());
    assert_eq!(target.bid, side(dec!(1999.01), dec!(0.1)));
    assert_eq!(target.ask, side(dec!(2000.78), dec!(0.1)));
}

#[test]
fn at_the_inventory_limit_only_the_way_back_is_quoted() {
    let (full, why) = at_inventory(dec!(3), &parameters());
    assert_eq!((full.bid, full.ask), (None, side(dec!(2000.67), dec!(0.1))));
    assert!(why.contains("no bid because the inventory limit leaves 0 base"), "{why}");
    let (beyond, _) = at_inventory(dec!(3.5), &parameters());
    assert_eq!(beyond.bid, None);
    let (empty, why) = at_inventory(dec!(1), &parameters());
    assert_eq!((empty.bid, empty.ask), (side(dec!(1999.33), dec!(0.1)), None));
    assert!(why.contains("no ask because the inventory limit leaves 0 base"), "{why}");
    let (near, _) = at_inventory(dec!(2.95), &parameters());
    assert_eq!(near.bid.map(|bid| bid.quantity), Some(dec!(0.05)));
}

#[test]
fn only_what_is_owned_is_sold() {
    let flat = Parameters { target_inventory: dec!(0), ..parameters() };
    let (some, _) = at_inventory(dec!(0.0505), &flat);
    assert_eq!(some.ask.map(|ask| ask.quantity), Some(dec!(0.05)));
    let (none, why) = at_inventory(dec!(0), &flat);
    assert_eq!(none.ask, None);
    assert!(why.contains("no ask because the base owned leaves 0 base"), "{why}");
}

#[test]
fn cash_covers_the_bid_and_its_fee() {
    let mids = mids();
    let check = |quote_cash: Decimal, expected: Option<Decimal>| {
        let (target, _) = quoted(&View { quote_cash, ..view(&mids) }, &parameters());
        assert_eq!(target.bid.map(|bid| bid.quantity), expected, "{quote_cash}");
    };
    // 0.05 x 1999.12 x 1.0001
    check(dec!(99.9659956), Some(dec!(0.05)));
    check(dec!(99.9659955), Some(dec!(0.049)));
    check(dec!(0), None);
    check(dec!(-5), None);
}

#[test]
fn inventory_and_bid_together_stay_within_the_budget() {
    let (some, _) = at_inventory(dec!(2), &Parameters { budget: dec!(4100), ..parameters() });
    assert_eq!(some.bid.map(|bid| bid.quantity), Some(dec!(0.05)));
    let (none, why) = at_inventory(dec!(2), &Parameters { budget: dec!(4000), ..parameters() });
    assert_eq!((none.bid, none.ask.is_some()), (None, true));
    assert!(why.contains("the budget leaves 0 base"), "{why}");
}

#[test]
fn an_order_below_the_venues_minimum_is_not_wanted() {
    let mids = mids();
    let poor = View { quote_cash: dec!(9), ..view(&mids) };
    let (target, why) = quoted(&poor, &parameters());
    assert_eq!(target.bid, None);
    assert!(why.contains("leaves 0.004 base worth 7.99648, at least 10 is needed"), "{why}");
}

#[test]
fn nothing_to_buy_with_and_nothing_to_sell_is_a_reason_to_wait() {
    let mids = mids();
    let broke = View { quote_cash: dec!(0), inventory: dec!(0), ..view(&mids) };
    let why = wait(&broke, &Parameters { target_inventory: dec!(0), ..parameters() });
    assert!(why.contains("no bid because the cash leaves 0"), "{why}");
    assert!(why.contains("no ask because the base owned leaves 0"), "{why}");
}

#[test]
fn the_spread_is_never_below_its_floor() {
    let wide = Parameters { min_half_spread_bps: dec!(20), ..parameters() };
    let (target, _) = at_inventory(dec!(2), &wide);
    assert_eq!(target.bid, side(dec!(1996), dec!(0.1)));
    assert_eq!(target.ask, side(dec!(2004), dec!(0.1)));
}

#[test]
fn a_market_wider_than_the_limit_is_left_alone() {
    let mids = mids();
    let narrow = Parameters { max_half_spread_bps: dec!(4), ..parameters() };
    let why = wait(&view(&mids), &narrow);
    assert!(why.contains("half-spread 0.87708877 is above the limit of 4 bps"), "{why}");
    let resting = [resting(Side::Buy, dec!(1999), dec!(0.1), 39_000)];
    let decision = decide(&View { resting: &resting, ..view(&mids) }, &narrow);
    assert_eq!(decision, Decision::Withdraw { why });
}

#[test]
fn unwinding_never_gives_up_the_fee() {
    let patient = Parameters { max_inventory: dec!(10), ..parameters() };
    let (long, _) = at_inventory(dec!(7), &patient);
    assert_eq!(long.ask.map(|ask| ask.price), Some(dec!(2000.2)));
    assert_eq!(long.bid.map(|bid| bid.price), Some(dec!(1998.05)));
}

#[test]
fn no_price_ever_crosses_the_touch() {
    let mids = mids();
    let reckless = Parameters {
        budget: dec!(1000000),
        max_inventory: dec!(100),
        target_inventory: dec!(50),
        maker_fee_bps: dec!(0),
        min_half_spread_bps: dec!(0),
        ..parameters()
    };
    for gap in 1..=9 {
        for away in -9..=9 {
            let bid = dec!(2000.03);
            let ask = bid + RULES.tick * Decimal::from(gap);
            let inventory = dec!(50) + Decimal::from(away);
            let view = View { bid, ask, inventory, ..view(&mids) };
            let (target, _) = quoted(&view, &reckless);
            let (ours, theirs) = (target.bid.expect("room"), target.ask.expect("room"));
            assert!(ours.price <= ask - RULES.tick && theirs.price >= bid + RULES.tick);
            assert!(ours.price < theirs.price);
            for price in [ours.price, theirs.price] {
                assert!((price % RULES.tick).is_zero(), "{price}");
            }
        }
    }
}

#[test]
fn a_touch_off_the_grid_is_kept_a_whole_tick_away_from() {
    let mids = mids();
    let check = |target_inventory: Decimal| {
        let parameters = Parameters {
            target_inventory,
            max_inventory: dec!(10),
            maker_fee_bps: dec!(0),
            ..parameters()
        };
        let inventory = dec!(7);
        let view = View { bid: dec!(2000.001), ask: dec!(2000.009), inventory, ..view(&mids) };
        quoted(&view, &parameters).0
    };
    assert_eq!(check(dec!(12)).bid.map(|bid| bid.price), Some(dec!(1999.99)));
    assert_eq!(check(dec!(2)).ask.map(|ask| ask.price), Some(dec!(2000.02)));
}

#[test]
fn unknown_volatility_is_waited_for_not_guessed() {
    let mids = mids();
    let young = View { at: Timestamp::from_s(29), ..view(&mids[..30]) };
    let why = "volatility is unknown: 29 steps of the mid, at least 30 are needed";
    assert_eq!(wait(&young, &parameters()), why);
    quoted(&View { at: Timestamp::from_s(30), ..view(&mids[..31]) }, &parameters());
    let short = Parameters { volatility_window_ms: 29_000, ..parameters() };
    assert_eq!(wait(&view(&mids), &short), why);
    quoted(&view(&mids), &Parameters { volatility_window_ms: 30_000, ..parameters() });
}

#[test]
fn without_volatility_a_quote_stays_until_it_expires() {
    let check = |placed_ms: i64| {
        let resting = [resting(Side::Sell, dec!(2001), dec!(0.1), placed_ms)];
        decide(&View { resting: &resting, ..view(&[]) }, &parameters())
    };
    assert!(matches!(check(30_001), Decision::Wait(_)));
    assert!(matches!(check(30_000), Decision::Withdraw { why } if why.contains("has expired")));
}

#[test]
fn a_still_window_does_not_prove_that_there_is_no_risk() {
    let mids: Vec<_> = mids().into_iter().map(|(at, _)| (at, dec!(2000))).collect();
    let (_, why) = quoted(&view(&mids), &parameters());
    // Half a tick over the root of forty seconds.
    assert!(why.contains("sigma 0.000791"), "{why}");
}

#[test]
fn impossible_books_rules_and_times_take_what_rests_away() {
    let mids = mids();
    let resting = [resting(Side::Buy, dec!(1999), dec!(0.1), 39_000)];
    let no_tick = MarketRules { tick: dec!(0), ..RULES };
    let base = View { resting: &resting, ..view(&mids) };
    let mortal = Parameters { ttl_ms: 0, ..parameters() };
    for (view, parameters) in [
        (View { bid: dec!(2000.01), ..base }, parameters()),
        (View { bid: dec!(0), ..base }, parameters()),
        (View { ask_quantity: dec!(0), ..base }, parameters()),
        (View { rules: &no_tick, ..base }, parameters()),
        (base, mortal),
    ] {
        assert!(matches!(decide(&view, &parameters), Decision::Withdraw { .. }), "{view:?}");
        let nothing = View { resting: &[], ..view };
        assert!(matches!(decide(&nothing, &parameters), Decision::Wait(_)));
    }
}

#[test]
fn impossible_figures_are_a_reason_never_a_panic() {
    let mids = mids();
    let why = wait(&view(&mids), &Parameters { gamma: f64::NAN, ..parameters() });
    assert_eq!(why, "gamma_per_quote is NaN, it must be finite and not negative");
    for figure in [f64::NAN, f64::INFINITY, -1.0, 0.0, 5e-324, 1e308] {
        decide(&view(&mids), &Parameters { gamma: figure, ..parameters() });
        decide(&view(&mids), &Parameters { kappa: figure, ..parameters() });
        decide(&view(&mids), &Parameters { intensity_a: figure, ..parameters() });
    }
    for figure in [Decimal::MAX, Decimal::MIN, dec!(0), Decimal::new(1, 28)] {
        let base = view(&mids);
        for view in [
            View { bid: figure, ..base },
            View { ask: figure, ..base },
            View { inventory: figure, ..base },
            View { quote_cash: figure, ..base },
            base,
        ] {
            for parameters in [
                Parameters { budget: figure, ..parameters() },
                Parameters { quote_quantity: figure, ..parameters() },
                Parameters { max_inventory: figure, ..parameters() },
                Parameters { target_inventory: figure, ..parameters() },
                Parameters { min_half_spread_bps: figure, ..parameters() },
                Parameters { maker_fee_bps: figure, ..parameters() },
            ] {
                decide(&view, &parameters);
            }
        }
    }
}

const NOTHING: [QuoteAction; 0] = [];

fn resting(side: Side, price: Decimal, remaining: Decimal, placed_ms: i64) -> RestingQuote {
    RestingQuote { side, price, remaining, placed: Timestamp::from_ms(placed_ms) }
}

fn target(bid: Option<QuoteSide>, ask: Option<QuoteSide>) -> QuoteTarget {
    let expires = Timestamp::from_s(20);
    let (venue, symbol) = ("spot".into(), "ETHUSDT".into());
    QuoteTarget { venue, symbol, bid, ask, expires, notional: dec!(201) }
}

/// What one resting order leads to when this is wanted in its place.
fn replaced(quote: RestingQuote, price: Decimal, quantity: Decimal) -> Vec<QuoteAction> {
    let wanted = side(price, quantity);
    let target = match quote.side {
        Side::Buy => target(wanted, None),
        Side::Sell => target(None, wanted),
    };
    diff(&target, &[quote], &parameters(), Timestamp::from_ms(9_999))
}

#[test]
fn an_empty_book_gets_both_sides() {
    let (bid, ask) = (side(dec!(100), dec!(1)), side(dec!(101), dec!(1)));
    let actions = diff(&target(bid, ask), &[], &parameters(), Timestamp(0));
    let places = [
        QuoteAction::Place(Side::Buy, bid.expect("wanted")),
        QuoteAction::Place(Side::Sell, ask.expect("wanted")),
    ];
    assert_eq!(actions, places);
}

#[test]
fn a_quote_keeps_its_place_in_the_queue_until_moving_is_worth_it() {
    let bid = resting(Side::Buy, dec!(100), dec!(1), 0);
    assert_eq!(replaced(bid, dec!(100.04), dec!(1)), NOTHING);
    assert_eq!(replaced(bid, dec!(99.96), dec!(1)), NOTHING);
    assert_eq!(replaced(bid, dec!(100.05), dec!(1)), [QuoteAction::Cancel(Side::Buy)]);
    assert_eq!(replaced(bid, dec!(99.95), dec!(1)), [QuoteAction::Cancel(Side::Buy)]);
    let eager = Parameters { refresh_bps: dec!(0), ..parameters() };
    let same = target(side(dec!(100), dec!(1)), None);
    assert_eq!(diff(&same, &[bid], &eager, Timestamp(0)), NOTHING);
}

#[test]
fn a_partly_filled_quote_stays_and_one_too_large_goes() {
    let part = resting(Side::Sell, dec!(101), dec!(0.2), 0);
    assert_eq!(replaced(part, dec!(101), dec!(1)), NOTHING);
    let large = resting(Side::Sell, dec!(101), dec!(1), 0);
    assert_eq!(replaced(large, dec!(101.04), dec!(0.9997)), [QuoteAction::Cancel(Side::Sell)]);
    // A bid of the same money is no larger: 100.04 x 0.9997 is above 100, x 0.9995 is not.
    let bid = resting(Side::Buy, dec!(100), dec!(1), 0);
    assert_eq!(replaced(bid, dec!(100.04), dec!(0.9997)), NOTHING);
    assert_eq!(replaced(bid, dec!(100.04), dec!(0.9995)), [QuoteAction::Cancel(Side::Buy)]);
}

#[test]
fn a_replacement_is_placed_only_once_the_old_order_is_gone() {
    let (bid, ask) = (side(dec!(102), dec!(1)), side(dec!(103), dec!(1)));
    let wanted = target(bid, ask);
    let old = [resting(Side::Buy, dec!(100), dec!(1), 0)];
    let place_ask = QuoteAction::Place(Side::Sell, ask.expect("wanted"));
    let first = diff(&wanted, &old, &parameters(), Timestamp(0));
    assert_eq!(first, [QuoteAction::Cancel(Side::Buy), place_ask]);
    let filled = [resting(Side::Buy, dec!(100), dec!(0), 0)];
    let then = diff(&wanted, &filled, &parameters(), Timestamp(0));
    assert_eq!(then, [QuoteAction::Place(Side::Buy, bid.expect("wanted")), place_ask]);
}

#[test]
fn two_orders_on_one_side_are_both_taken_back() {
    let bid = resting(Side::Buy, dec!(100), dec!(0.5), 0);
    let wanted = target(side(dec!(100), dec!(1)), None);
    let actions = diff(&wanted, &[bid, bid], &parameters(), Timestamp(0));
    assert_eq!(actions, [QuoteAction::Cancel(Side::Buy)]);
}

#[test]
fn a_quote_never_meets_our_own() {
    let wanted = target(side(dec!(100), dec!(1)), side(dec!(101), dec!(1)));
    let low_ask = [resting(Side::Sell, dec!(100), dec!(1), 0)];
    let actions = diff(&wanted, &low_ask, &parameters(), Timestamp(0));
    assert_eq!(actions, [QuoteAction::Cancel(Side::Sell)]);
}

#[test]
fn quotes_and_targets_expire() {
    let bid = resting(Side::Buy, dec!(100), dec!(1), 0);
    let wanted = target(side(dec!(100), dec!(1)), None);
    let at = |ms: i64| diff(&wanted, &[bid], &parameters(), Timestamp::from_ms(ms));
    assert_eq!(at(9_999), NOTHING);
    assert_eq!(at(10_000), [QuoteAction::Cancel(Side::Buy)]);
    let fresh = RestingQuote { placed: Timestamp::from_s(19), ..bid };
    let late = diff(&wanted, &[fresh], &parameters(), Timestamp::from_s(20));
    assert_eq!(late, [QuoteAction::Cancel(Side::Buy)]);
    assert_eq!(diff(&wanted, &[], &parameters(), Timestamp::from_s(20)), NOTHING);
}

#[test]
fn what_is_no_longer_wanted_is_taken_back() {
    let quotes =
        [resting(Side::Buy, dec!(100), dec!(1), 0), resting(Side::Sell, dec!(101), dec!(1), 0)];
    let wanted = target(side(dec!(100), dec!(1)), None);
    let actions = diff(&wanted, &quotes, &parameters(), Timestamp(0));
    assert_eq!(actions, [QuoteAction::Cancel(Side::Sell)]);
    let all = [QuoteAction::Cancel(Side::Buy), QuoteAction::Cancel(Side::Sell)];
    assert_eq!(withdrawal(&quotes), all);
    assert_eq!(withdrawal(&[]), NOTHING);
}

#[test]
fn our_own_quote_is_not_the_touch() {
    let ours = [resting(Side::Buy, dec!(100), dec!(0.1), 0)];
    let check = |at_best: Decimal, expected: Option<(Decimal, Decimal)>| {
        let levels = [(dec!(100), at_best), (dec!(99.9), dec!(3))];
        let levels = levels.map(|(price, quantity)| Level { price, quantity });
        let touch = touch_of_others(levels.into_iter(), Side::Buy, &ours);
        assert_eq!(touch.map(|level| (level.price, level.quantity)), expected);
    };
    check(dec!(0.1), Some((dec!(99.9), dec!(3))));
    check(dec!(0.3), Some((dec!(100), dec!(0.2))));
    check(dec!(0.05), Some((dec!(99.9), dec!(3))));
    assert_eq!(touch_of_others(std::iter::empty(), Side::Sell, &ours), None);
}
