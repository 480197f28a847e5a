//! `agent.toml`: the keeper itself, its limits, signers, venues and alerts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use rust_decimal::Decimal;

use crate::config::alerts::{Alerts, read_alerts};
use crate::config::chain::complete;
use crate::config::problem::Fault;
use crate::config::reader::Node;
use crate::config::signer::{Signer, read_signers};
use crate::config::urls;
use crate::config::values::{self, Bounds, integer};

use crate::config::venue::{Venue, read_venues};

/// The only version of the files' layout.
pub(super) const SCHEMA: i128 = 1;

/// Largest sum of money that can be written: a thousand billion.
pub(super) const USD_MAX: i64 = 1_000_000_000_000;

/// The keeper and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Name of this keeper, unique among those that share accounts.
    pub keeper: String,
    /// How real its deeds are.
    pub mode: Mode,
    /// Unit of all limits and reports: `USD`.
    pub numeraire: String,
    /// End of the trading day, minutes after midnight UTC.
    pub day_ends_at_utc_min: u16,
    /// Where money and decisions are recorded.
    pub store: Store,
    /// Where the dashboard is served.
    pub api: Api,
    /// Conditions under which the keeper stops by itself.
    pub safety: Safety,
    /// The whole keeper's limits.
    pub limits: Limits,
    /// Accounts on chains, by name.
    pub signers: BTreeMap<String, Signer>,
    /// Accounts on exchanges, by name.
    pub venues: BTreeMap<String, Venue>,
    /// Who is told what.
    pub alerts: Alerts,
}

/// How real the keeper's deeds are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Watches and decides, sends nothing.
    Observe,
    /// Acts in pretend accounts: reads public data, sends nothing, needs no key.
    Paper,
    /// Sends for real, with real money; also needs `--live`.
    Live,
    /// Sends for real to a local world of play money; nothing may lead off this machine.
    Demo,
}

/// Where money and decisions are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Variable with the database URL; absent: the private embedded cluster.
    pub url_env: Option<String>,
    /// Days that quotes are kept; money, orders and transactions are kept for ever.
    pub keep_quotes_days: u32,
}

/// Where the dashboard and API are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// Address and port, on this machine.
    pub listen: SocketAddr,
}

/// Conditions under which the keeper stops by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Safety {
    /// While this file exists the keeper is halted.
    pub halt_file: PathBuf,
    /// Largest difference between our clock and a venue's, milliseconds.
    pub max_clock_offset_ms: u64,
    /// What to do while profit and loss cannot be computed.
    pub unknown_pnl_action: UnknownPnlAction,
    /// Seconds between two signs of life.
    pub deadman_every_s: u64,
}

/// What to do while profit and loss cannot be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownPnlAction {
    /// Only deeds that reduce risk.
    ReduceOnly,
    /// Halt.
    Halt,
}

/// The whole keeper's limits; each must be stated, in every mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sum of the absolute exposures, USD.
    pub gross_exposure_usd: Decimal,
    /// Absolute net delta, USD.
    pub net_delta_usd: Decimal,
    /// Exposure on any one venue, USD.
    pub venue_exposure_usd: Decimal,
    /// Loss of one day (UTC), USD; while more is lost, only reducing deeds. It does not latch.
    pub daily_loss_usd: Decimal,
    /// Fall from the highest equity, percent.
    pub drawdown_from_peak_pct: Decimal,
    /// Expected shortfall at 97.5 % over one day, USD.
    pub es_97_5_1d_usd: Decimal,
    /// Smallest distance of a leveraged position from its liquidation price, percent.
    pub liquidation_distance_min_pct: Decimal,
    /// Gas of one day, USD.
    pub gas_budget_usd_per_day: Decimal,
    /// Unhedged delta times its duration, USD · s.
    pub unhedged_delta_usd_seconds: Decimal,
}

/// What could be read of `agent.toml`, for the files that refer to it.
#[derive(Default)]
pub(super) struct AgentDraft {
    /// The typed file, when all of it is right.
    pub(super) agent: Option<Agent>,
    pub(super) mode: Option<Mode>,
    pub(super) limits: Option<Limits>,
    /// `None` under a name that exists but is wrong.
    pub(super) signers: BTreeMap<String, Option<Signer>>,
    pub(super) venues: BTreeMap<String, Option<Venue>>,
}

/// A sum of money, above zero.
pub(super) fn usd(example: &str) -> values::Kind<Decimal> {
    values::decimal(Bounds::above(0, USD_MAX), example)
}

/// Reads the whole file.
pub(super) fn read_agent(mut node: Node<'_>) -> AgentDraft {
    let schema = node.identity("schema", &integer::<u8>(SCHEMA..=SCHEMA, SCHEMA));
    let keeper = node.need("keeper", &values::name("desk-a"));
    let mode = node.or("mode", &mode_kind(), "paper");
    let numeraire = node.need("numeraire", &values::choice(&[("USD", "USD")], &["EUR"]));
    let day = node.or("day_ends_at_utc", &values::time_of_day(), "00:00");
    let store = node.table_or_defaults("store").and_then(read_store);
    let api = node.table_or_defaults("api").and_then(read_api);
    let safety = node.table("safety", "when the keeper must stop").and_then(read_safety);
    let why = "every limit must be stated, an absent one is refused";
    let limits = node.table("limits", why).and_then(read_limits);
    let signers = read_signers(&mut node);
    let venues = read_venues(&mut node, mode);
    let alerts = node.table_or_defaults("alerts").and_then(read_alerts);
    node.finish();
    let agent = || {
        schema?;
        Some(Agent {
            keeper: keeper?,
            mode: mode?,
            numeraire: numeraire?.to_owned(),
            day_ends_at_utc_min: day?,
            store: store?,
            api: api?,
            safety: safety?,
            limits: limits.clone()?,
            signers: complete(signers.clone())?,
            venues: complete(venues.clone())?,
            alerts: alerts?,
        })
    };
    AgentDraft { agent: agent(), mode, limits, signers, venues }
}

fn mode_kind() -> values::Kind<Mode> {
    let words = &[
        ("observe", Mode::Observe),
        ("paper", Mode::Paper),
        ("live", Mode::Live),
        ("demo", Mode::Demo),
    ];
    values::choice(words, &[])
}

fn read_store(mut node: Node<'_>) -> Option<Store> {
    let url_env = node.may("url_env", &values::env_name("TIDEKEEPER_DATABASE_URL"));
    let keep_quotes_days = node.or("keep_quotes_days", &integer(1..=36_500, 30), "30");
    node.finish();
    Some(Store { url_env: url_env?, keep_quotes_days: keep_quotes_days? })
}

fn read_api(mut node: Node<'_>) -> Option<Api> {
    let listen = node.or("listen", &urls::listen(), "127.0.0.1:8787");
    node.finish();
    Some(Api { listen: listen? })
}

fn read_safety(mut node: Node<'_>) -> Option<Safety> {
    let actions =
        &[("reduce_only", UnknownPnlAction::ReduceOnly), ("halt", UnknownPnlAction::Halt)];
    let halt_file = node.need("halt_file", &values::path("/run/tidekeeper/HALT"));
    let max_clock_offset_ms = node.need("max_clock_offset_ms", &integer(1..=5_000, 250));
    let unknown_pnl_action = node.need("unknown_pnl_action", &values::choice(actions, &[]));
    let deadman_every_s = node.need("deadman_every_s", &integer(1..=3_600, 30));
    node.finish();
    Some(Safety {
        halt_file: halt_file?,
        max_clock_offset_ms: max_clock_offset_ms?,
        unknown_pnl_action: unknown_pnl_action?,
        deadman_every_s: deadman_every_s?,
    })
}

fn read_limits(mut node: Node<'_>) -> Option<Limits> {
    let percent = |example| values::decimal(Bounds::above(0, 100), example);
    let gross = node.need("gross_exposure_usd", &usd("250000"));
    let net_delta = node.need("net_delta_usd", &usd("10000"));
    let venue = node.need("venue_exposure_usd", &usd("100000"));
    let daily_loss = node.need("daily_loss_usd", &usd("2500"));
    let drawdown = node.need("drawdown_from_peak_pct", &percent("3.0"));
    let shortfall = node.need("es_97_5_1d_usd", &usd("6000"));
    let liquidation = node.need("liquidation_distance_min_pct", &percent("25.0"));
    let gas = node.need("gas_budget_usd_per_day", &usd("150"));
    let unhedged = node.need("unhedged_delta_usd_seconds", &usd("300000"));
    if let (Some(gross), Some(net)) = (gross, net_delta)
        && net > gross
    {
        let what = format!("is {net}, more than gross_exposure_usd = {gross}");
        node.fault("net_delta_usd", Fault::new(what, "the net can never exceed the gross"));
    }
    node.finish();
    Some(Limits {
        gross_exposure_usd: gross?,
        net_delta_usd: net_delta?,
        venue_exposure_usd: venue?,
        daily_loss_usd: daily_loss?,
        drawdown_from_peak_pct: drawdown?,
        es_97_5_1d_usd: shortfall?,
        liquidation_distance_min_pct: liquidation?,
        gas_budget_usd_per_day: gas?,
        unhedged_delta_usd_seconds: unhedged?,
    })
}
