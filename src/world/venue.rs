//! The local exchange in a local world: a child process, and the controls outside of its protocol.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::io::process::{Child, Output, Spawn, poll, spawn};
use crate::world::agent::{client, last_lines};

/// Patience for it to listen.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How often its first words are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Told to stop, it is killed after this.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How an exchange is started.
#[derive(Clone, Copy, Debug)]
pub struct ExchangePlan<'a> {
    /// The binary whose verb it is.
    pub program: &'a Path,
    /// The world's folder, for its logs.
    pub dir: &'a Path,
    /// Seconds between funding payments.
    pub funding_every_s: u32,
    /// Fee of a resting spot order, basis points.
    pub spot_maker_fee_bps: u32,
}

/// A running exchange; dropping it ends it.
#[derive(Debug)]
pub struct LocalExchange {
    http: String,
    child: Child,
}

impl LocalExchange {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started or does not listen in time; its last words are in the error.
    pub async fn start(plan: ExchangePlan<'_>) -> Result<Self> {
        let ExchangePlan { program, dir, funding_every_s, spot_maker_fee_bps } = plan;
        let (funding, fee) = (funding_every_s.to_string(), spot_maker_fee_bps.to_string());
        let args = [
            "exchange",
            "--listen",
            "127.0.0.1:0",
            "--funding-every-s",
            &funding,
            "--spot-maker-fee-bps",
            &fee,
        ];
        let child = spawn(Spawn {
            args: args.iter().map(Into::into).collect(),
            stdout: Output::File(dir.join("logs/exchange.out")),
            stderr: Output::File(dir.join("logs/exchange.log")),
            ..Spawn::new(program)
        })?;
        let out = dir.join("logs/exchange.out");
        let look = move || {
            let text = std::fs::read_to_string(&out).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("listening "))?.to_owned();
            line.split_whitespace().next().map(str::to_owned)
        };
        let http = tokio::task::spawn_blocking(move || poll(READY_TIMEOUT, LOOK_EVERY, look));
        let http = http.await?.with_context(|| {
            format!("the exchange is not ready:\n{}", last_lines(&dir.join("logs/exchange.log")))
        })?;
        Ok(Self { http, child })
    }

    /// Its REST address, without a path.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// Its WebSocket address, without a path.
    pub fn ws(&self) -> String {
        self.http.replacen("http", "ws", 1)
    }

    /// Its process.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// A control request, outside of the venue's protocol.
    ///
    /// # Errors
    /// When the exchange does not answer or refuses.
    pub async fn control(&self, what: &str, body: &Value) -> Result<()> {
        let url = format!("{}/sim/{what}", self.http);
        let reply = client()?.post(url).json(body).send().await?;
        ensure!(
            reply.status().is_success(),
            "the exchange refused {what}: {}",
            reply.text().await?
        );
        Ok(())
    }

    /// Stops tapes and funding, for good.
    ///
    /// # Errors
    /// When the exchange does not answer.
    pub async fn freeze(&self) -> Result<()> {
        self.control("freeze", &json!({ "on": true })).await
    }

    /// Ends it. Blocks the thread.
    pub(crate) fn stop(&self) {
        self.child.stop(Signal::SIGTERM, STOP_GRACE);
    }
}
