//! `fork`: the operator's own files against a copy of their chain, with play money.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, value_parser};
use secrecy::SecretString;
use tokio::sync::watch;

use crate::cli::check::{self, Secrets};
use crate::config::chain::Chain;
use crate::run::setup;
use crate::world::fork::{self, UPSTREAM_VARIABLE};

#[derive(Args)]
pub(super) struct ForkArguments {
    /// The chain to fork, by the name in its file; its liquidity and cycle strategies run, at stage
    /// live whatever their files say, and all others are left out
    #[arg(long, value_name = "NAME")]
    chain: String,
    /// Folder with agent.toml, chains/ and strategies/
    #[arg(long, default_value = ".")]
    config: PathBuf,
    /// HTTP endpoint of the chain, only read; the first one of the chain's file when absent
    #[arg(long, value_name = "URL", env = UPSTREAM_VARIABLE, hide_env_values = true)]
    rpc_url: Option<String>,
    /// Block to fork at; the newest minus the chain's confirmations when absent
    #[arg(long, value_name = "N")]
    block: Option<u64>,
    /// Blocks to run for
    #[arg(
        long,
        value_name = "M",
        default_value_t = 60,
        value_parser = value_parser!(u64).range(1..)
    )]
    blocks: u64,
    /// Everything the fork writes; emptied at the start
    #[arg(long, default_value = "target/fork")]
    dir: PathBuf,
    /// Address of the page
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// The endpoint's address may hold a key.
impl std::fmt::Debug for ForkArguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForkArguments").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// Forks, runs and judges.
pub(super) async fn run(arguments: ForkArguments, stop: watch::Receiver<bool>) -> Result<()> {
    let (files, config) = check::load_with(&arguments.config, Secrets::Unread)?;
    let chain = fork::chain_of(&config, &arguments.chain)?;
    let upstream = upstream(arguments.rpc_url, chain)?;
    let options = fork::Options {
        program: std::env::current_exe().context("finding our own binary")?,
        dir: arguments.dir,
        listen: arguments.listen.to_string(),
        files,
        config,
        chain: arguments.chain,
        upstream,
        block: arguments.block,
        n_blocks: arguments.blocks,
    };
    fork::run(options, stop).await
}

/// The endpoint given, or else the first one of the chain's file.
fn upstream(given: Option<String>, chain: &Chain) -> Result<SecretString> {
    if let Some(url) = given.filter(|url| !url.is_empty()) {
        return Ok(url.into());
    }
    let name = &chain.name;
    let first = chain.endpoints.first();
    let first = first.with_context(|| format!("{name} has no endpoint: give --rpc-url"))?;
    let url = setup::url(&first.http);
    Ok(url.with_context(|| format!("endpoint of {name}, without --rpc-url"))?.into())
}
