//! `doctor`: looks at everything a keeper needs, and says what to do about what is missing.
//!
//! It changes nothing of the keeper's. No finding ever holds a secret, or an address that stands in
//! the environment.

mod local;
mod reach;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use tokio::sync::watch;

use crate::cli::findings::{Progress, Report, Status};
use crate::config::agent::Mode;
use crate::config::strategy::Stage;
use crate::config::{self, Config};
use crate::run::agent::variable;

/// Endpoints that mode `live` wants on each chain.
const LIVE_ENDPOINTS_MIN: usize = 2;
/// Problems of the files that are told here; `check` tells all.
const PROBLEMS_TOLD: usize = 3;

#[derive(Debug, Args)]
pub(super) struct DoctorArguments {
    /// Folder with agent.toml, chains/ and strategies/
    #[arg(long, default_value = ".")]
    config: PathBuf,
    /// State folder of the keeper
    #[arg(long, default_value_os_t = super::default_state_dir())]
    state_dir: PathBuf,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// Looks at everything and prints it; an error when something fails.
pub(super) async fn run(arguments: DoctorArguments, mut stop: watch::Receiver<bool>) -> Result<()> {
    let report = tokio::select! {
        biased;
        report = examine(&arguments.config, &arguments.state_dir) => report,
        _ = stop.changed() => bail!("stopped before everything was looked at"),
    };
    let n_failed = report.n_failed();
    let text = if arguments.json {
        let whole = json!({ "ok": n_failed == 0, "findings": report.findings });
        format!("{}\n", serde_json::to_string_pretty(&whole)?)
    } else {
        report.table()
    };
    // A reader that went away (`doctor | head`) is not our problem.
    let _ = std::io::stdout().write_all(text.as_bytes());
    if n_failed > 0 {
        bail!("{n_failed} of {} findings fail", report.findings.len());
    }
    Ok(())
}

async fn examine(dir: &Path, state_dir: &Path) -> Report {
    let mut report = Report::new(Progress::Everybody);
    let config = files(&mut report, dir);
    local::state_dir(&mut report, state_dir);
    local::database(&mut report, config.as_ref(), state_dir).await;
    if let Some(config) = &config {
        environment(&mut report, config);
        mode(&mut report, config);
        local::api(&mut report, config.agent.api.listen, state_dir).await;
        local::halt_file(&mut report, &config.agent.safety.halt_file);
        let reached = reach::chains(&mut report, config).await;
        if config.agent.mode == Mode::Paper {
            report.ok("signers", "not read: mode paper signs nothing and pays no gas");
        } else {
            let signers = reach::signers(&mut report, config).await;
            reach::fuel(&mut report, config, &reached, &signers).await;
        }
        reach::venues(&mut report, config).await;
    }
    report.end();
    report
}

/// The operator's files; `None` when nothing can be told from them.
fn files(report: &mut Report, dir: &Path) -> Option<Config> {
    let at = format!("files in {}", dir.display());
    report.look(&at);
    let files = match super::check::read(dir) {
        Ok(files) => files,
        Err(error) => {
            let remedy = "give --config the folder with agent.toml, chains/ and strategies/";
            report.bad(Status::Fail, at, format!("{error:#}"), remedy);
            return None;
        }
    };
    match config::load(&files, &variable) {
        Ok(config) => {
            let (chains, strategies) = (config.chains.len(), config.strategies.len());
            report.ok(at, format!("{chains} chain(s), {strategies} strategies, no problem"));
            Some(config)
        }
        Err(problems) => {
            let told: Vec<String> =
                problems.iter().take(PROBLEMS_TOLD).map(ToString::to_string).collect();
            let found = format!("{} problem(s): {}", problems.len(), told.join(" | "));
            let remedy = format!("tidekeeper check --config {}", dir.display());
            report.bad(Status::Fail, at, found, remedy);
            None
        }
    }
}

/// Variables that the files name, and variables that were meant to override something.
fn environment(report: &mut Report, config: &Config) {
    let unset = config::unset_variables(config, &variable);
    for problem in &unset {
        report.bad(Status::Fail, &problem.key, &problem.what, &problem.help);
    }
    if unset.is_empty() && config.agent.mode == Mode::Paper {
        let found = "all that mode paper needs are set; keys and secrets of accounts it does not";
        report.ok("environment variables", found);
    } else if unset.is_empty() {
        let n_named = config.settings.keys().filter(|key| key.ends_with("_env")).count();
        report.ok("environment variables", format!("all {n_named} that the files name are set"));
    }
    let names: Vec<String> =
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    let idle = config::idle_overrides(config, names.iter().map(String::as_str));
    for problem in &idle {
        let at = problem.origin.to_string();
        report.bad(Status::Fail, at, &problem.what, &problem.help);
    }
    if idle.is_empty() {
        let n_used = names.iter().filter(|name| config.overrides.contains_key(*name)).count();
        report.ok("overrides", format!("{n_used} in the environment, each overrides a value"));
    }
}

/// The mode, and the three switches that `live` wants together.
fn mode(report: &mut Report, config: &Config) {
    let mode = config.agent.mode;
    let (word, meaning) = match mode {
        Mode::Observe => ("observe", "asks and decides, sends nothing"),
        Mode::Paper => (
            "paper",
            "acts in pretend accounts: reads public data, sends nothing, reads no key; its state \
             directory is of no other mode",
        ),
        Mode::Live => ("live", "sends for real, with real money"),
        Mode::Demo => ("demo", "sends to local chains and addresses of this machine only"),
    };
    report.ok("mode", format!("{word}: {meaning}"));
    let file = if mode == Mode::Live {
        "on: agent.toml says mode = \"live\"".to_owned()
    } else {
        format!("off: agent.toml says mode = \"{word}\"; live needs mode = \"live\"")
    };
    report.ok("live switch 1, the file", file);
    let line = if mode == Mode::Live {
        "needed: `run` refuses without --live; it is not stored anywhere"
    } else {
        "off: `run` refuses --live while agent.toml says another mode"
    };
    report.ok("live switch 2, --live", line);
    report.ok("live switch 3, limits", "on: every limit is stated, or the files were refused");
    let short: Vec<&str> = config
        .chains
        .iter()
        .filter(|chain| chain.endpoints.len() < LIVE_ENDPOINTS_MIN)
        .map(|chain| chain.name.as_str())
        .collect();
    if !short.is_empty() {
        let found = format!("live wants {LIVE_ENDPOINTS_MIN} on each chain, missing on: ");
        report.ok("endpoints for live", found + &short.join(", "));
    }
    let (least, word) = match mode {
        Mode::Paper => (Stage::Paper, "paper"),
        Mode::Observe | Mode::Live | Mode::Demo => (Stage::Live, "live"),
    };
    let held: Vec<&str> = config
        .strategies
        .iter()
        .filter(|strategy| strategy.head().stage < least)
        .map(|strategy| strategy.id())
        .collect();
    if !held.is_empty() {
        let found = format!("not at stage \"{word}\", so they send nothing: {}", held.join(", "));
        report.ok("strategies", found);
    }
}
