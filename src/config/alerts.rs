//! `[alerts]` of `agent.toml`: which conditions are told to whom.

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use crate::config::problem::Fault;
use crate::config::reader::Node;
use crate::config::values::{self, Bounds, integer};

/// Who is told what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alerts {
    /// Ways to people, by severity.
    pub routes: Vec<Route>,
    /// Conditions.
    pub rules: Vec<Rule>,
}

/// How urgent an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For the record.
    Notice,
    /// Look at it today.
    Warn,
    /// Wake somebody.
    Page,
}

/// A way to a person: a Telegram chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The severity that goes this way.
    pub severity: Severity,
    /// Variable that holds the bot's token.
    pub token_env: String,
    /// The chat.
    pub chat_id: String,
    /// What may be asked from there.
    pub inbound: Vec<Inbound>,
}

/// What may be asked from a chat: never to resume, never to change limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// Tell the state.
    Status,
    /// Halt.
    Halt,
}

/// A condition on one figure that must hold for some time before it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// The figure, as `gas_runway_h`.
    pub figure: String,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what.
    pub threshold: Decimal,
    /// Seconds that the condition must hold.
    pub for_s: u64,
    /// How urgent it is.
    pub severity: Severity,
    /// What to do then: a path in the documentation.
    pub runbook: String,
}

/// How a rule compares its figure with its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Below,
    /// `>`
    Above,
}

const SEVERITIES: &[(&str, Severity)] =
    &[("page", Severity::Page), ("warn", Severity::Warn), ("notice", Severity::Notice)];

/// Reads routes and rules; a rule whose severity has no route would reach nobody and is refused.
pub(super) fn read_alerts(mut node: Node<'_>) -> Option<Alerts> {
    let routes: Vec<_> = node.array("routes").into_iter().map(read_route).collect();
    let are_routes_known = routes.iter().all(Option::is_some);
    let severities: BTreeSet<Severity> =
        routes.iter().flatten().map(|route| route.severity).collect();
    let mut names = BTreeSet::new();
    let mut rules = Vec::new();
    for mut node in node.array("rules") {
        let rule = read_rule(&mut node);
        if let Some(rule) = &rule {
            if !names.insert(rule.name.clone()) {
                node.fault("name", Fault::new("names a second rule", "give it another name"));
            }
            if are_routes_known && !severities.contains(&rule.severity) {
                let help = "add [[alerts.routes]] for this severity";
                node.fault("severity", Fault::new("has no route: nobody would be told", help));
            }
        }
        node.finish();
        rules.push(rule);
    }
    node.finish();
    Some(Alerts {
        routes: routes.into_iter().collect::<Option<_>>()?,
        rules: rules.into_iter().collect::<Option<_>>()?,
    })
}

fn read_route(mut node: Node<'_>) -> Option<Route> {
    let severity = node.need("severity", &values::choice(SEVERITIES, &[]));
    let channel = node.need("channel", &values::choice(&[("telegram", ())], &["email", "webhook"]));
    let token_env = node.need("token_env", &values::env_name("TK_TELEGRAM_TOKEN"));
    let chat_id = node.need("chat_id", &values::text("-1001234567890"));
    let asks = &[("status", Inbound::Status), ("halt", Inbound::Halt)];
    let inbound = if node.has("inbound") {
        node.list("inbound", &values::choice(asks, &[]))
    } else {
        node.skip_all(&["inbound"]);
        Some(Vec::new())
    };
    node.finish();
    channel?;
    Some(Route { severity: severity?, token_env: token_env?, chat_id: chat_id?, inbound: inbound? })
}

fn read_rule(node: &mut Node<'_>) -> Option<Rule> {
    let name = node.need("name", &values::text("gas runway"));
    let when = node.need("when", &values::text("gas_runway_h < 72"));
    let for_s = node.need("for_s", &integer(0..=86_400, 300));
    let severity = node.need("severity", &values::choice(SEVERITIES, &[]));
    let runbook = node.need("runbook", &values::text("ops/README.md"));
    let condition = when.and_then(|when| {
        let condition = read_condition(&when);
        if condition.is_none() {
            let help = "a figure, < or >, and a number, as in \"gas_runway_h < 72\"";
            node.fault("when", Fault::new("is not a condition", help));
        }
        condition
    });
    let (figure, comparison, threshold) = condition?;
    Some(Rule {
        name: name?,
        figure,
        comparison,
        threshold,
        for_s: for_s?,
        severity: severity?,
        runbook: runbook?,
    })
}

/// Largest threshold, either way.
const THRESHOLD_MAX: i64 = 1_000_000_000_000;

fn read_condition(when: &str) -> Option<(String, Comparison, Decimal)> {
    let words: Vec<&str> = when.split_whitespace().collect();
    let [figure, sign, threshold] = words.as_slice() else {
        return None;
    };
    let comparison = match *sign {
        "<" => Comparison::Below,
        ">" => Comparison::Above,
        _ => return None,
    };
    values::check_name(figure).ok()?;
    let bounds = Bounds::within(-THRESHOLD_MAX, THRESHOLD_MAX);
    let threshold = values::decimal(bounds, "72").parse(threshold).ok()?;
    Some(((*figure).to_owned(), comparison, threshold))
}
