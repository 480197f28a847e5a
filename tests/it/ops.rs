//! What operators are given, against what the keeper tells: metrics, dashboard, alerts, units.
//!
//! Nothing here is started but the API itself. Units and compose file are read as text: that they
//! say what they must, not that a machine obeys them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;
use tidekeeper::api::Door;
use tidekeeper::api::metrics::{Kind, METRICS, render};

use super::served::Served;

const PREFIX: &str = "tidekeeper_";
/// Metrics that neither dashboard nor alert uses, and why they exist.
const UNUSED: [(&str, &str); 1] =
    [("tidekeeper_metrics_dropped_series", "tells whoever misses a series that there were more")];
/// Where the document's and the figures' fields are declared.
const DECLARED: [&str; 3] =
    ["src/engine/snapshot/rows.rs", "src/engine/snapshot/desk.rs", "src/run/publish.rs"];

/// Everything that a metric reads, and nothing else.
const DOCUMENT: &str = r#"{
  "at_ms": 1700000100000, "keeper": "desk-a", "version": "0.1.0", "mode": "observe",
  "started_ms": 1700000000000, "numeraire": "USD", "is_quiet": true,
  "state": { "kind": "reduce_only", "since_ms": 1700000040000 },
  "chains": [{ "chain_id": 1, "name": "ethereum", "head": 19000000, "head_age_ms": 1500,
    "stale_after_ms": 36000, "feed": "live", "pools_live": 3, "pools_quarantined": 1,
    "blocks": 42, "cycles_landed": 7, "pool_events": 99 }],
  "fuel": [{ "chain_id": 1, "native": "4.5", "minimum": "0.2", "exit_reserve": "0.1",
    "runway_h": "80.5" }],
  "venues": [{ "venue": "hedge", "feed": "stale", "user_stream": "live", "age_ms": 250,
    "resyncs": 2 }],
  "pnl": { "total": "-96.2275", "parts": [{ "name": "fees", "value": "184.3738" },
    { "name": "gas", "value": null }] },
  "exposures": [{ "scope": "asset", "name": "WETH", "value": "1000", "net_delta": "-12.5" }],
  "exposure": [{ "asset": "WETH", "positions": "1", "wallet": "2", "hedge": "-2.9",
    "net": "0.1" }],
  "hedge": { "venue": "hedge", "market": "ETHUSDT-PERP", "target": "-3", "have": "-2.9",
    "unhedged_value": "310.11" },
  "limits": [{ "name": "net_delta_usd", "used": "250", "limit": "10000" },
    { "name": "daily_loss_usd", "used": null, "limit": "2500" }],
  "arbitrage": { "found": 41, "sent": 39, "landed": 38, "lost": 2, "reverted": 1,
    "expected_net": "678.879", "realised_net": "920.0103" },
  "strategies": [{ "id": "lp", "kind": "liquidity", "sends": true, "is_paused": false,
    "budget": "120000", "used": "119373", "decided_ms": 1700000099000 }],
  "positions": [{ "state": "open" }, { "state": "closed" }],
  "orders_sent": 41, "orders_filled": 40, "rebalances": 4,
  "ledger": { "entries": 435, "postings": 1842 },
  "reconciliation": { "ok": false, "checked_ms": 1700000090000,
    "rows": [{ "difference": "0" }, { "difference": "-5" }] },
  "store": { "state": "live", "commit_ms_p99": "4.250" }
}"#;
const FIGURES: &str = r#"{ "events": 4124, "engine_ns": { "p50": 147789, "p99": 22007341 },
  "startup_ms": 2286, "rss_bytes": 35110912 }"#;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("it is JSON")
}

fn rendered() -> String {
    render(&parsed(DOCUMENT), &parsed(FIGURES))
}

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Labels from behind `{`, and what follows the closing brace.
fn read_labels(mut rest: &str) -> Result<(BTreeMap<String, String>, &str), String> {
    let mut labels = BTreeMap::new();
    loop {
        let (label, tail) = rest.split_once("=\"").ok_or("a label without a value")?;
        if !is_name(label) {
            return Err(format!("'{label}' is no label"));
        }
        let mut value = String::new();
        let mut letters = tail.char_indices();
        let end = loop {
            match letters.next().ok_or("a value without an end")? {
                (at, '"') => break at + 1,
                (_, '\\') => match letters.next() {
                    Some((_, c @ ('\\' | '"'))) => value.push(c),
                    Some((_, 'n')) => value.push('\n'),
                    other => return Err(format!("{other:?} is no escape")),
                },
                (_, c) => value.push(c),
            }
        };
        if labels.insert(label.to_owned(), value).is_some() {
            return Err(format!("{label} twice"));
        }
        let tail = &tail[end..];
        if let Some(tail) = tail.strip_prefix('}') {
            return Ok((labels, tail));
        }
        rest = tail.strip_prefix(',').ok_or("neither , nor } behind a value")?;
    }
}

type Series = (String, BTreeMap<String, String>);

/// Every series and its value; refuses what Prometheus would, and what we promise besides.
fn read_exposition(text: &str) -> Result<BTreeMap<Series, f64>, String> {
    let mut series = BTreeMap::new();
    let mut families = BTreeSet::new();
    let (mut helped, mut open) = ("", ("", ""));
    if !text.ends_with('\n') {
        return Err("the last line does not end".into());
    }
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            helped = help.split_once(' ').ok_or("no help")?.0;
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            open = kind.split_once(' ').ok_or("no type")?;
            let is_kind = ["counter", "gauge"].contains(&open.1);
            if open.0 != helped || !is_name(open.0) || !is_kind || !families.insert(open.0) {
                return Err(format!("type out of place: {line}"));
            }
            continue;
        }
        let end = line.find(['{', ' ']).ok_or("no value")?;
        let (name, rest) = line.split_at(end);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => read_labels(rest).map_err(|why| format!("{why}: {line}"))?,
            None => (BTreeMap::new(), rest),
        };
        let value = rest.strip_prefix(' ').ok_or("no blank before the value")?;
        let value: f64 = value.parse().map_err(|_| format!("no number: {line}"))?;
        let is_total = name.ends_with("_total") && value >= 0.0;
        if name != open.0 || !value.is_finite() || (open.1 == "counter") != is_total {
            return Err(format!("not of its family: {line}"));
        }
        if series.insert((name.to_owned(), labels), value).is_some() {
            return Err(format!("twice: {line}"));
        }
    }
    Ok(series)
}

#[track_caller]
fn check(text: &str, line: &str) {
    assert!(text.lines().any(|seen| seen == line), "no line {line} in\n{text}");
}

/// Names of ours in a text, wherever they stand.
fn names_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with(PREFIX)).map(str::to_owned).collect()
}

fn fields_of(value: &Value, fields: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            fields.extend(map.keys().cloned());
            map.values().for_each(|value| fields_of(value, fields));
        }
        Value::Array(rows) => rows.iter().for_each(|row| fields_of(row, fields)),
        _ => {}
    }
}

#[test]
fn names_say_prefix_unit_and_kind() {
    let mut seen = BTreeSet::new();
    for metric in METRICS {
        let name = metric.name;
        assert!(name.starts_with(PREFIX) && is_name(name), "{name}");
        assert!(seen.insert(name), "{name} twice");
        assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
        let stem = name.trim_end_matches("_total");
        let ending = metric.unit.ending();
        assert!(ending.is_none_or(|ending| stem.ends_with(ending)), "{name}: {:?}", metric.unit);
        assert!(metric.help.ends_with('.') && !metric.help.contains(['\n', '\\']), "{name}");
        assert!(
            !name.contains("_per_") && !name.contains("_rate"),
            "{name}: rates are not metrics"
        );
    }
}

#[test]
fn every_metric_is_told_as_valid_text() {
    let series = read_exposition(&rendered()).expect("it is valid");
    let told: BTreeSet<&str> = series.keys().map(|(name, _)| name.as_str()).collect();
    let listed: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(told, listed);
}

#[test]
fn the_document_has_the_fields_that_are_read() {
    let declared: String = DECLARED.iter().map(|path| file(path)).collect();
    let mut fields = BTreeSet::new();
    fields_of(&parsed(DOCUMENT), &mut fields);
    fields_of(&parsed(FIGURES), &mut fields);
    for field in fields {
        assert!(declared.contains(&format!("pub {field}: ")), "nothing publishes {field}");
    }
}

#[test]
fn figures_are_in_base_units() {
    let text = rendered();
    check(&text, "tidekeeper_build_info{version=\"0.1.0\"} 1");
    check(&text, "tidekeeper_state{state=\"reduce_only\"} 1");
    check(&text, "tidekeeper_state{state=\"halted\"} 0");
    check(&text, "tidekeeper_state_age_seconds 60");
    check(&text, "tidekeeper_chain_head_age_seconds{chain_id=\"1\",chain=\"ethereum\"} 1.5");
    check(&text, "tidekeeper_fuel_runway_seconds{chain_id=\"1\"} 289800");
    check(&text, "tidekeeper_venue_feed_up{venue=\"hedge\"} 0");
    check(&text, "tidekeeper_pnl_numeraire -96.2275");
    check(&text, "tidekeeper_limit_used_ratio{limit=\"net_delta_usd\"} 0.025");
    check(&text, "tidekeeper_opportunities_total{fate=\"landed\"} 38");
    check(&text, "tidekeeper_positions_open 1");
    check(&text, "tidekeeper_reconciliation_differences 1");
    check(&text, "tidekeeper_reconciliation_age_seconds 10");
    check(&text, "tidekeeper_store_commit_p99_seconds 0.00425");
    check(&text, "tidekeeper_engine_event_seconds{quantile=\"0.99\"} 0.022007341");
}

#[test]
fn what_is_unknown_is_absent() {
    let text = rendered();
    assert!(!text.contains("part=\"gas\"") && text.contains("part=\"fees\""), "{text}");
    assert!(!text.contains("tidekeeper_limit_used_numeraire{limit=\"daily_loss_usd\"}"), "{text}");
    assert!(!text.contains("tidekeeper_limit_used_ratio{limit=\"daily_loss_usd\"}"), "{text}");
    let nothing = render(&Value::Null, &Value::Null);
    let series = read_exposition(&nothing).expect("it is valid");
    assert_eq!(series.len(), 1, "{nothing}");
    let mut document = parsed(DOCUMENT);
    document["reconciliation"]["ok"] = Value::Null;
    document["hedge"] = Value::Null;
    for word in ["NaN", "inf", "", "0x1", "1e999"] {
        document["pnl"]["total"] = word.into();
        let text = render(&document, &parsed(r#"{ "engine_ns": { "p50": 0, "p99": 0 } }"#));
        read_exposition(&text).expect("it is valid");
        for name in ["reconciliation_differences", "hedge_contracts", "pnl_numeraire", "engine_"] {
            assert!(!text.contains(&format!("TYPE {PREFIX}{name}")), "{name} with {word}");
        }
    }
}

#[test]
fn hostile_text_stays_inside_its_label() {
    let hostile = "a\"} 1\nx\\y\r\u{1b}[31m{=,# é";
    let mut document = parsed(DOCUMENT);
    document["exposures"][0]["name"] = hostile.into();
    document["chains"][0]["name"] = "n".repeat(10_000).into();
    document["state"]["kind"] = hostile.into();
    let text = render(&document, &Value::Null);
    let series = read_exposition(&text).expect("it is valid");
    let value = |label: &str, name: &str| {
        let found = series.keys().find(|(seen, _)| seen == name);
        found.map(|(_, labels)| labels[label].clone()).expect("it is told")
    };
    let plain = "a\"} 1\nx\\y\u{fffd}\u{fffd}[31m{=,# é";
    assert_eq!(value("name", "tidekeeper_exposure_numeraire"), plain);
    assert!(text.contains(r#"name="a\"} 1\nx\\y"#), "{text}");
    assert_eq!(value("chain", "tidekeeper_chain_head_block").len(), 128);
    assert!(!text.contains("tidekeeper_state{state=\"a"), "a foreign state became a label");
}

#[test]
fn series_are_bounded_and_never_told_twice() {
    let mut document = parsed(DOCUMENT);
    let row = document["exposures"][0].clone();
    let rows = (0..1_000).map(|n| {
        let mut row = row.clone();
        row["name"] = format!("token {}", n % 900).into();
        row
    });
    document["exposures"] = rows.collect();
    let text = render(&document, &Value::Null);
    let series = read_exposition(&text).expect("it is valid");
    let of = |name: &str| series.keys().filter(|(seen, _)| seen == name).count();
    assert_eq!(of("tidekeeper_exposure_numeraire"), 256);
    check(&text, &format!("tidekeeper_metrics_dropped_series {}", 2 * (1_000 - 256)));
    let labels = series.keys().flat_map(|(_, labels)| labels.keys().cloned());
    for label in labels.collect::<BTreeSet<_>>() {
        let named = ["order", "tx", "hash", "token_id", "signer"].contains(&label.as_str());
        assert!(!named, "{label} has no bound");
    }
}

#[test]
fn dashboard_and_alerts_use_what_exists() {
    let listed: BTreeSet<String> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    let mut used = names_in(&file("ops/grafana/tidekeeper.json"));
    used.extend(names_in(&file("ops/alerts.yml")));
    let unknown: Vec<_> = used.difference(&listed).collect();
    assert!(unknown.is_empty(), "nothing tells {unknown:?}");
    for (name, reason) in UNUSED {
        assert!(listed.contains(name) && !used.contains(name) && !reason.is_empty(), "{name}");
    }
    let idle = listed.difference(&used).filter(|name| !UNUSED.iter().any(|(u, _)| u == name));
    let idle: Vec<_> = idle.collect();
    assert!(idle.is_empty(), "nobody looks at {idle:?}: use them, or say why not in UNUSED");
}

#[test]
fn the_dashboard_answers_its_questions() {
    let dashboard = parsed(&file("ops/grafana/tidekeeper.json"));
    let panels = dashboard["panels"].as_array().expect("panels");
    let titles = panels.iter().filter(|panel| panel["type"] == "row");
    let titles: Vec<_> = titles.filter_map(|panel| panel["title"].as_str()).collect();
    let questions = ["Did we make money?", "What do we hold?", "What can hurt us?"];
    assert_eq!(titles[..3], questions);
    let mut ids = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64()), "{title}: its id is taken");
        if panel["type"] == "row" {
            continue;
        }
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str();
        assert!(unit.is_some_and(|unit| !unit.is_empty()), "{title} has no unit");
        assert!(panel["description"].as_str().is_some_and(|d| d.len() > 3), "{title}: say more");
        let targets = panel["targets"].as_array().expect("targets");
        assert!(!targets.is_empty(), "{title} asks nothing");
        for target in targets {
            let asked = target["expr"].as_str().map(names_in).unwrap_or_default();
            assert_eq!(asked.len(), 1, "{title}: one metric a target");
            // A counter is read as a change, a gauge as it is.
            let expr = target["expr"].as_str().unwrap_or_default();
            let is_counter = asked.iter().any(|name| name.ends_with("_total"));
            let is_change = expr.starts_with("rate(") || expr.starts_with("increase(");
            assert_eq!(is_counter, is_change, "{title}: {expr}");
        }
    }
}

#[test]
fn every_alert_says_how_bad_and_what_to_do() {
    let text = file("ops/alerts.yml");
    let rules: Vec<&str> = text.split("      - alert: ").skip(1).collect();
    let names: BTreeSet<&str> = rules.iter().filter_map(|rule| rule.lines().next()).collect();
    assert_eq!(names.len(), rules.len(), "two alerts share a name");
    for needed in ["Down", "Halted", "ReduceOnlyLong", "ChainStale", "ReconciliationDifference"] {
        assert!(names.contains(format!("Tidekeeper{needed}").as_str()), "no alert {needed}");
    }
    for needed in ["FuelRunwayShort", "LimitNearlyUsed", "DatabaseStalled"] {
        assert!(names.contains(format!("Tidekeeper{needed}").as_str()), "no alert {needed}");
    }
    for rule in rules {
        for key in
            ["        expr: ", "        for: ", "          summary: ", "          runbook: >-"]
        {
            let n = rule.lines().filter(|line| line.starts_with(key)).count();
            assert_eq!(n, 1, "{key} in {rule}");
        }
        let severity = rule.lines().find_map(|line| line.trim().strip_prefix("severity: "));
        assert!(["page", "warn", "notice"].contains(&severity.unwrap_or_default()), "{rule}");
    }
    assert!(text.contains("tidekeeper_fuel_runway_seconds < 72 * 3600"));
    assert!(text.contains("tidekeeper_limit_used_ratio > 0.8"));
}

/// Sections of a unit file with their settings, in order.
fn unit_lines(text: &str) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut lines = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
            continue;
        }
        let is_setting = line.split_once('=').is_some_and(|(key, _)| {
            key.starts_with(|c: char| c.is_ascii_uppercase())
                && key.chars().all(|c| c.is_ascii_alphanumeric())
        });
        assert!(is_setting && !section.is_empty(), "not a setting: {line}");
        lines.push((section.clone(), line.to_owned()));
    }
    lines
}

#[test]
fn the_unit_is_hardened_and_sends_nothing_by_default() {
    let lines = unit_lines(&file("ops/systemd/tidekeeper.service"));
    let needed = "User=tidekeeper StateDirectory=tidekeeper Restart=on-failure KillMode=mixed \
                  TimeoutStopSec=60s RestartPreventExitStatus=2 NoNewPrivileges=yes UMask=0077 \
                  ProtectSystem=strict ProtectHome=yes PrivateTmp=yes PrivateDevices=yes \
                  MemoryDenyWriteExecute=yes MemoryMax=2G LimitCORE=0 CapabilityBoundingSet= \
                  RestrictNamespaces=yes SystemCallFilter=@system-service LoadCredential=lp_pass: \
                  EnvironmentFile=/etc/tidekeeper/secrets/env";
    for setting in needed.split_whitespace() {
        let has =
            |(section, line): &(String, String)| section == "Service" && line.starts_with(setting);
        assert!(lines.iter().any(has), "the unit lacks {setting}");
    }
    let starts: Vec<_> = lines.iter().filter(|(_, line)| line.starts_with("ExecStart=")).collect();
    assert_eq!(starts.len(), 1);
    assert!(starts[0].1.contains(" run --config /etc/tidekeeper"), "{starts:?}");
    assert!(!starts[0].1.contains("--live"), "live trading is the operator's own word");
    for name in ["tidekeeper-token.path", "tidekeeper-token.service"] {
        assert!(!unit_lines(&file(&format!("ops/systemd/{name}"))).is_empty());
    }
}

#[test]
fn containers_are_hardened_and_open_no_port() {
    let text = file("ops/compose.yaml");
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().starts_with('#')).collect();
    let has = |needed: &str| lines.iter().any(|line| line.trim().starts_with(needed));
    for line in &lines {
        assert!(!line.contains('\t') && !line.contains("privileged: true"), "{line}");
        assert!(!line.trim().starts_with("ports:") && !line.contains("0.0.0.0"), "{line}");
        assert!(!line.contains("--live") && !line.contains("docker.sock"), "{line}");
        let indent = line.len() - line.trim_start().len();
        assert!(indent.is_multiple_of(2), "half a step: {line}");
    }
    for needed in ["cap_drop: [ALL]", "security_opt: [\"no-new-privileges:true\"]"] {
        assert!(has(needed), "no {needed}");
    }
    for needed in ["read_only: true", "stop_grace_period: 60s", "- --web.listen-address=127.0.0.1:"]
    {
        assert!(has(needed), "no {needed}");
    }
    assert!(has("GF_SERVER_HTTP_ADDR: 127.0.0.1"));
    let of = |needed: &str| lines.iter().filter(|line| line.trim().starts_with(needed)).count();
    let named = ["  keeper:", "  token:", "  prometheus:", "  grafana:"];
    let n_hardened = of("<<: *hardened");
    assert_eq!((n_hardened, of("mem_limit: ")), (named.len(), named.len()));
    for name in named {
        assert!(lines.contains(&name), "nothing is called {name}");
    }
    let build = file("ops/Dockerfile");
    let beside = ["api/openapi.json", "tools/contracts.lock.json", "contracts/Executor.json"];
    for source in ["abis/", "src/"].into_iter().chain(beside) {
        assert!(build.contains(&format!("\nCOPY {source} {source}\n")), "{source} is not copied");
    }
    assert!(build.contains("npm run build") && build.contains("cargo build --release --locked"));
    assert!(build.contains("\nUSER tidekeeper\n") && !build.contains("\"--live\""));
    let scrape = file("ops/prometheus.yml");
    assert!(scrape.contains("credentials_file: /run/tidekeeper-token/metrics-token"));
    assert!(scrape.contains("targets: [\"127.0.0.1:8787\"]"));
}

#[test]
fn prometheus_is_handed_the_token_of_the_metrics_alone() {
    let units = ["systemd/tidekeeper-token.path", "systemd/tidekeeper-token.service"];
    for name in units.into_iter().chain(["compose.yaml", "prometheus.yml"]) {
        let text = file(&format!("ops/{name}"));
        assert!(text.contains("/metrics-token") && !text.contains("api-token"), "{name}");
    }
}

fn loop_figures(_: &Door) -> Value {
    parsed(FIGURES)
}

#[tokio::test]
async fn metrics_are_told_to_the_bearer_of_the_token_alone() {
    let served = Served::begin(parsed(DOCUMENT), loop_figures).await;
    for headers in ["", "Authorization: Bearer 0\r\n", "Cookie: tidekeeper_session=0\r\n"] {
        let answer = served.ask("GET /metrics", headers).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(!answer.contains(PREFIX), "{answer}");
    }
    let (head, body) = served.told("GET /metrics").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert_eq!(body, rendered());
    served.end().await;
}
