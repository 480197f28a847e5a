//! An agent in a local world: a child process, met by its API alone.
//!
//! It is a process of its own, so that killing it leaves the world standing, as in life.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::io::process::{Child, Output, Spawn, spawn};
use crate::store::cluster;

/// How often an agent is asked while something is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// After a halt all that moves has come to rest by then, unless the halt holds it back.
const REST_WITHIN: Duration = Duration::from_secs(15);
/// What was held back has left by then.
const LEAVES_WITHIN: Duration = Duration::from_secs(1);
/// Patience for an agent to tell where it is.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// How an agent is started.
#[allow(missing_debug_implementations, reason = "its environment holds keys")]
pub struct AgentPlan {
    /// The binary whose verb it is.
    pub program: PathBuf,
    /// The world's folder, for the agent's log and the note of where it listens.
    pub dir: PathBuf,
    /// Folder of operator files.
    pub config_dir: PathBuf,
    /// Its state.
    pub state_dir: PathBuf,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// File that says what the world is made of; the demo's own words without one.
    pub labels: Option<PathBuf>,
}

impl AgentPlan {
    /// Starts it; `crash_at` names the point at which it must die.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(&self, crash_at: Option<&str>) -> Result<Child> {
        let site = self.site_file();
        if site.exists() {
            std::fs::remove_file(&site)?;
        }
        let mut env = self.env.clone();
        if let Some(point) = crash_at {
            env.push(("TIDEKEEPER_CRASH_AT".into(), point.into()));
        }
        let mut args: Vec<OsString> = vec!["run".into(), "--play-money".into()];
        let paths = [
            ("--config", &self.config_dir),
            ("--state-dir", &self.state_dir),
            ("--site-file", &site),
        ];
        let labels = self.labels.iter().map(|labels| ("--labels", labels));
        for (name, path) in paths.into_iter().chain(labels) {
            args.extend([name.into(), path.clone().into_os_string()]);
        }
        let log = self.log();
        let child = spawn(Spawn {
            args,
            env: Some(env),
            stdout: Output::File(log.clone()),
            stderr: Output::File(log),
            ..Spawn::new(&self.program)
        })?;
        Ok(child)
    }

    /// Waits until a started agent tells where it is.
    ///
    /// # Errors
    /// When it ends or takes too long; its last words are in the error.
    pub async fn meet(&self, agent: &Child) -> Result<Met> {
        let began = Instant::now();
        loop {
            if let Ok(text) = std::fs::read_to_string(self.site_file()) {
                let site: SiteFile = serde_json::from_str(&text).context("reading agent.json")?;
                return Ok(Met { site: Site::of(&site)?, database: site.database });
            }
            self.ensure_running(agent)?;
            ensure!(
                began.elapsed() < READY_TIMEOUT,
                "the agent is not ready:\n{}",
                last_lines(&self.log())
            );
            tokio::time::sleep(LOOK_EVERY / 4).await;
        }
    }

    /// Says what an agent that has ended said last.
    pub(crate) fn ensure_running(&self, agent: &Child) -> Result<()> {
        ensure!(agent.is_running(), "the agent ended:\n{}", last_lines(&self.log()));
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.dir.join("logs/agent.log")
    }

    fn site_file(&self) -> PathBuf {
        self.dir.join("agent.json")
    }
}

/// An agent that told where it is.
#[derive(Clone, Debug)]
pub struct Met {
    /// How to reach it.
    pub site: Site,
    /// Its private database; `None` when it was given another one.
    pub database: Option<cluster::Manifest>,
}

#[derive(serde::Deserialize)]
struct SiteFile {
    api: String,
    page: String,
    token: String,
    database: Option<cluster::Manifest>,
}

/// How to reach a running agent.
#[derive(Clone, Debug)]
pub struct Site {
    /// Address of the API.
    pub api: String,
    /// Address of the page, with its one-time token.
    pub page: String,
    token: String,
    client: reqwest::Client,
}

/// A client for what runs on this machine.
pub(crate) fn client() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?)
}

impl Site {
    fn of(site: &SiteFile) -> Result<Self> {
        let SiteFile { api, page, token, .. } = site;
        let (api, page, token) = (api.clone(), page.clone(), token.clone());
        Ok(Self { api, page, token, client: client()? })
    }

    /// What programs send.
    pub fn bearer(&self) -> &str {
        &self.token
    }

    /// A document of the API.
    ///
    /// # Errors
    /// When the agent does not answer or refuses.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let url = format!("{}/api/v1/{path}", self.api);
        let reply = self.client.get(url).bearer_auth(&self.token).send().await?;
        Ok(reply.error_for_status()?.json().await?)
    }

    /// Halts or resumes.
    ///
    /// # Errors
    /// When the agent does not answer or refuses.
    pub async fn direct(&self, verb: &str, reason: &str) -> Result<()> {
        let (status, answer) = self.post(verb, &serde_json::json!({ "reason": reason })).await?;
        ensure!(status < 400, "{verb}: {status} {answer}");
        Ok(())
    }

    /// Halts until nothing of ours moves. A halt between commit and sending of a transaction holds
    /// it back for as long as it lasts, so one without rest is lifted for a moment and tried again.
    ///
    /// # Errors
    /// When the agent does not answer, or something still moves after `patience`.
    pub async fn halt_until_quiet(&self, why: &str, patience: Duration) -> Result<()> {
        let is_quiet = |seen: &Value| seen["is_quiet"] == true;
        let is_over = |seen: &Value| {
            seen["state"]["kind"] == "halted" && (is_quiet(seen) || is_holding_back(seen))
        };
        let began = Instant::now();
        loop {
            self.direct("halt", why).await?;
            let limit = patience.saturating_sub(began.elapsed()).min(REST_WITHIN);
            let rest = self.wait_for("nothing to move after a halt", limit, is_over).await;
            if rest.as_ref().is_ok_and(is_quiet) {
                return Ok(());
            }
            if began.elapsed() >= patience {
                let seen = rest?;
                bail!("a halt holds something back again and again: {:#}", in_short(&seen));
            }
            self.direct("resume", "what the halt held back may leave").await?;
            tokio::time::sleep(LEAVES_WITHIN).await;
        }
    }

    /// Sends a document; answers status and document, whatever they say.
    ///
    /// # Errors
    /// When the agent does not answer.
    pub async fn post(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        let url = format!("{}/api/v1/{path}", self.api);
        let reply = self.client.post(url).bearer_auth(&self.token).json(body).send().await?;
        Ok((reply.status().as_u16(), reply.json().await?))
    }

    /// Waits until a snapshot satisfies `is_so`, and returns it.
    ///
    /// # Errors
    /// When it does not within `limit`; the last snapshot's state is in the error.
    pub async fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let began = Instant::now();
        let mut last = Value::Null;
        while began.elapsed() < limit {
            if let Ok(snapshot) = self.get("snapshot").await {
                if is_so(&snapshot) {
                    return Ok(snapshot);
                }
                last = snapshot;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("waited {} s for {what}; last seen: {:#}", limit.as_secs(), in_short(&last))
    }
}

/// A transaction is signed and not sent.
fn is_holding_back(snapshot: &Value) -> bool {
    let transactions = snapshot["transactions"].as_array();
    transactions.is_some_and(|all| all.iter().any(|tx| tx["state"] == "signed"))
}

/// What an error tells of a snapshot: how far the agent may act, and what it is at.
fn in_short(snapshot: &Value) -> Value {
    let pools = snapshot["pools"].as_array().cloned().unwrap_or_default();
    let unused: Vec<Value> = pools.into_iter().filter(|pool| pool["state"] != "live").collect();
    serde_json::json!({
        "state": snapshot["state"],
        "reconciliation": snapshot["reconciliation"]["ok"],
        "is_quiet": snapshot["is_quiet"],
        "chains": snapshot["chains"],
        "pools not live": unused,
        "strategies": snapshot["strategies"],
        "positions": snapshot["positions"],
        "hedge": snapshot["hedge"],
        "orders": snapshot["orders"],
        "orders_filled": snapshot["orders_filled"],
        "transactions": snapshot["transactions"],
    })
}

/// The end of a log, for an error.
pub(crate) fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(15).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
