//! A running agent as the world meets it: by its API alone.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::store::cluster;

/// How often an agent is asked while something is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(serde::Deserialize)]
pub(super) struct SiteFile {
    api: String,
    page: String,
    token: String,
    pub(super) database: Option<cluster::Manifest>,
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

pub(super) fn client() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?)
}

impl Site {
    pub(super) fn of(site: &SiteFile) -> Result<Self> {
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
        let url = format!("{}/api/v1/{verb}", self.api);
        let body = serde_json::json!({ "reason": reason });
        let reply = self.client.post(url).bearer_auth(&self.token).json(&body).send().await?;
        reply.error_for_status()?;
        Ok(())
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
        bail!(
            "waited {} s for {what}; state {}, reconciliation {}",
            limit.as_secs(),
            last["state"],
            last["reconciliation"]["ok"]
        )
    }
}

pub(super) fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(15).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
