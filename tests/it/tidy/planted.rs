//! Every rule is shown a breach that it must see and a likeness that it must pass.

use super::tree::Source;
use super::{
    Exception, MACHINE_PATHS, ORDER, Offence, empty_names, excesses, loose_ends, machine_paths,
    offence, order_breaches, shore_breaches, unproven, unwraps, verdict, wall_breaches,
};

/// What a rule finds in one planted file: (line, subject).
#[track_caller]
fn finds(
    rule: impl Fn(&Source) -> Vec<Offence>,
    path: &str,
    text: &str,
    expected: &[(usize, &str)],
) {
    let found = rule(&Source::new(path, text));
    let found: Vec<_> = found.iter().map(|o| (o.line, o.subject.as_str())).collect();
    assert_eq!(found, expected, "{path}: {text}");
}

#[test]
fn the_order_is_seen_through_every_way_to_name_a_room() {
    let order = ["model", "math", "io"].map(str::to_owned);
    let rule = |source: &Source| order_breaches(source, &order);
    finds(rule, "src/math/mod.rs", "use crate::model::Asset;", &[]);
    finds(rule, "src/math/mod.rs", "\nuse crate::io::x;", &[(2, "names io")]);
    finds(
        rule,
        "src/math/amm/v3.rs",
        "fn f() { super::super::super::io::x() }",
        &[(1, "names io")],
    );
    finds(rule, "src/math/il.rs", "mod a { use super::super::super::io; }", &[(1, "names io")]);
    finds(
        rule,
        "src/model/a.rs",
        "use crate::{\nmath::{a as b, c},\nmodel::io,\nio as model};",
        &[(2, "names math"), (2, "names math"), (4, "names io")],
    );
    finds(rule, "src/model/a.rs", "// crate::io\n/* /* */ crate::io */ \"crate::io\"", &[]);
    finds(
        rule,
        "src/model/a.rs",
        r##"const A: &str = r#""crate::io"#; const B: char = '"';"##,
        &[],
    );
    finds(rule, "src/model/a.rs", "#[cfg(test)]\nmod tests { use crate::io::x; }", &[]);
    finds(
        rule,
        "src/model/a.rs",
        "#[cfg(test)] mod t;\nfn f<'a>() { crate::io::x() }",
        &[(2, "names io")],
    );
}

#[test]
fn walls_are_seen() {
    let modules = ["venues::a", "venues::b"].map(str::to_owned).into();
    let rule = |source: &Source| wall_breaches(source, &modules);
    finds(rule, "src/venues/a/abi.rs", "use super::super::b::X;", &[(1, "names venues::b")]);
    finds(rule, "src/venues/a/abi.rs", "use crate::venues::{a::X, Shared};", &[]);
    finds(rule, "src/risk/gate.rs", "use crate::strategy::X;", &[(1, "names strategy")]);
    finds(rule, "src/engine/mod.rs", "use crate::{strategy, venues::b};", &[]);
}

#[test]
fn the_shore_is_seen() {
    let text = "async fn f() {}\nuse std::{env, time::SystemTime};\ntracing::info!(\"x\");";
    let (first, second) = ((1, "async"), (2, "std::env"));
    let all = [first, second, (2, "SystemTime"), (3, "tracing")];
    finds(shore_breaches, "src/sim/mod.rs", text, &all);
    finds(shore_breaches, "src/io/mod.rs", text, &[]);
    finds(
        shore_breaches,
        "src/sim/mod.rs",
        "println!(); let rand = 1; env!(\"X\");",
        &[(1, "println")],
    );
}

#[test]
fn the_small_rules_see_their_breaches() {
    let text =
        "fn f() { x.unwrap(); y.unwrap_or(0); }\n#[cfg(test)] mod t { fn g() { x.unwrap() } }";
    finds(unwraps, "src/a.rs", text, &[(1, ".unwrap()")]);
    let long = format!("\nfn f(a: [u8; 2]) {{{}}}\n// {}", "\n".repeat(70), "é".repeat(98));
    finds(excesses, "src/a.rs", &long, &[(2, "71 lines in fn f"), (73, "101 characters")]);
    finds(excesses, "tests/a.py", &"\n".repeat(501), &[(501, "501 lines in a file")]);
    let named = "struct OrderManager;\nfn position_manager() {}\nmod utils {}\nfn processed() {}";
    finds(empty_names, "src/a.rs", named, &[(1, "OrderManager"), (3, "utils")]);
    let path = MACHINE_PATHS[0];
    finds(machine_paths, "README.md", &format!("\nsee {path}x"), &[(2, path)]);
    finds(
        loose_ends,
        "src/a.rs",
        "#[ignore = \"x\"]\nfn f() { todo!() }",
        &[(1, "#[ignore"), (2, "todo!")],
    );
    let bare = [(1, "unsafe without // SAFETY:")];
    finds(unproven, "src/a.rs", "unsafe { f() }", &bare);
    finds(unproven, "src/a.rs", "// SAFETY: f has no precondition.\nunsafe { f() }", &[]);
}

#[test]
fn an_exception_covers_its_place_and_no_other() {
    let exception =
        |subject, because| Exception { rule: ORDER, path: "src/a.rs", subject, because };
    let source = Source::new("src/a.rs", "");
    let found = vec![offence(&source, 1, "x")];
    let left = |exceptions: &[Exception]| verdict(ORDER, &found, exceptions).len();
    assert_eq!(left(&[]), 1);
    assert_eq!(left(&[exception("x", "why")]), 0);
    assert_eq!(left(&[exception("x", "")]), 1, "a reason is asked for");
    assert_eq!(left(&[exception("x", "why"), exception("y", "why")]), 1, "y covers nothing");
}
