//! `pool`: the pools of the operator's files, as their chains have them at one block, and others
//! that the files could name.
//!
//! It asks and changes nothing: no key, no keeper, no database. Invariant: every figure is of the
//! block that is told with it, and what could not be asked is unknown.

mod curve;
mod depth;
mod discover;
mod figures;
mod inspect;
mod list;
pub(super) mod name;
mod picture;
mod place;
mod quote;
mod quoter;
mod ranges;
mod verify;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::Value;
use tokio::sync::watch;

use crate::cli::check::{self, Secrets};
use crate::cli::findings::Report;
use crate::config::Config;
use crate::config::chain::Chain;
use crate::world::fork::{self, NoSuchChain};

#[derive(Debug, Args)]
pub(super) struct PoolArguments {
    #[command(subcommand)]
    verb: PoolVerb,
}

#[derive(Debug, Subcommand)]
enum PoolVerb {
    /// Every pool of the files, with its price and its liquidity
    List(SomeArguments),
    /// Everything that one pool says of itself
    Inspect(OneArguments),
    /// What a trade would give and take now, by our arithmetic and by the chain's quoter
    Quote(quote::QuoteArguments),
    /// The liquidity around the price as a picture, and what moves the price how far
    Depth(depth::DepthArguments),
    /// Pools of a chain that its file could name, found by what their factories logged
    Discover(discover::DiscoverArguments),
    /// Read every pool twice, and bring the first reading forward by the logs between
    Verify(SomeArguments),
}

#[derive(Debug, Args)]
struct FilesArguments {
    /// Folder with agent.toml, chains/ and strategies/
    #[arg(long, default_value = ".")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct SomeArguments {
    #[command(flatten)]
    files: FilesArguments,
    /// One chain alone, by the name in its file
    #[arg(long, value_name = "NAME")]
    chain: Option<String>,
}

#[derive(Debug, Args)]
struct OneArguments {
    #[command(flatten)]
    files: FilesArguments,
    /// CHAIN/DEX/BASE/QUOTE/FEE as `pool list` names it, a V4 pool with /SPACING and /HOOKS behind
    /// its fee; or its address or V4 id, after CHAIN/ where several chains have one there
    pool: String,
}

/// What a verb has to say.
#[derive(Debug)]
struct Answer {
    /// For people.
    text: String,
    /// For programs.
    json: Value,
    /// What is not as it should be, in one sentence.
    failure: Option<String>,
}

impl FilesArguments {
    fn load(&self) -> Result<Config> {
        let (_, config) = check::load_with(&self.config, Secrets::Unread)?;
        Ok(config)
    }
}

impl SomeArguments {
    fn chains<'c>(&self, config: &'c Config) -> Result<Vec<&'c Chain>, NoSuchChain> {
        match &self.chain {
            Some(name) => Ok(vec![fork::chain_of(config, name)?]),
            None => Ok(config.chains.iter().collect()),
        }
    }
}

impl PoolVerb {
    fn files(&self) -> &FilesArguments {
        match self {
            Self::List(some) | Self::Verify(some) => &some.files,
            Self::Inspect(one) => &one.files,
            Self::Quote(quote) => &quote.one.files,
            Self::Depth(depth) => &depth.one.files,
            Self::Discover(discover) => &discover.files,
        }
    }
}

/// Asks and prints; an error when something is not as it should be.
pub(super) async fn run(arguments: PoolArguments, mut stop: watch::Receiver<bool>) -> Result<()> {
    let is_json = arguments.verb.files().json;
    let Answer { text, json, failure } = tokio::select! {
        biased;
        told = answer(&arguments.verb) => told?,
        _ = stop.changed() => bail!("stopped before every answer came"),
    };
    let text = match is_json {
        true => format!("{}\n", serde_json::to_string_pretty(&json)?),
        false => text,
    };
    // A reader that went away (`pool list | head`) is not our problem.
    let _ = std::io::stdout().write_all(text.as_bytes());
    match failure {
        Some(failure) => bail!(failure),
        None => Ok(()),
    }
}

async fn answer(verb: &PoolVerb) -> Result<Answer> {
    let config = verb.files().load()?;
    match verb {
        PoolVerb::List(some) => Ok(list::list(some.chains(&config)?).await),
        PoolVerb::Inspect(one) => inspect::inspect(&place::read(&config, &one.pool).await?).await,
        PoolVerb::Quote(arguments) => {
            let read = place::read(&config, &arguments.one.pool).await?;
            quote::quote(&read, arguments).await
        }
        PoolVerb::Depth(arguments) => {
            depth::depth(&place::read(&config, &arguments.one.pool).await?, arguments)
        }
        PoolVerb::Discover(arguments) => discover::discover(&config, arguments).await,
        PoolVerb::Verify(some) => verify::verify(some.chains(&config)?).await,
    }
}

/// Says on stderr which endpoints are not as they should be, and what to do about it.
fn complain(report: &Report) {
    report.end();
    eprint!("{}", report.failures());
}
