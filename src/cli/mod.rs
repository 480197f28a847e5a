//! Arguments in, one call, an exit status out: 0 ok, 1 failure, 2 usage, 3 check failed.

mod check;
mod columns;
mod data;
mod db;
mod doctor;
mod endpoints;
mod findings;
mod fork;
mod online;
mod pool;
mod replay;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use tokio::sync::watch;

use crate::store::cluster::Durability;
use crate::world::fork::NoSuchChain;
use crate::world::{cache, demo};
use crate::{exchange, run};

/// Exit status of a command line that does not fit the files.
const USAGE: u8 = 2;
/// Exit status of files that are refused, by us or by a chain.
const CHECK_FAILED: u8 = 3;

/// On-chain liquidity agent: provides liquidity and hedges it, trades pools and books, and accounts
/// for every wei.
#[derive(Debug, Parser)]
#[command(name = "tidekeeper", version, about, long_about = None)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the agent with the operator's files; their mode is paper when they name none
    Run(RunArguments),
    /// A self-contained world with play money, and an agent in it
    Demo(DemoArguments),
    /// The operator's own files against a copy of a chain at one block, with play money
    Fork(fork::ForkArguments),
    /// The local exchange alone: Binance's spot and USD-M protocols over a recorded market
    Exchange(ExchangeArguments),
    /// Check the operator's files and print every value with its origin
    Check(CheckArguments),
    /// Back up the database into a file, or restore it from one
    Db(db::DbArguments),
    /// The operator's own market data: list, verify and export what runs wrote down, import what
    /// was recorded elsewhere
    Data(data::DataArguments),
    /// Feed a run's journal through a fresh engine and compare with what was committed
    Replay(replay::ReplayArguments),
    /// Say what the engine knew when it decided an intent, and what it answered
    Explain(replay::ExplainArguments),
    /// Look at everything a keeper needs, and say what to do about what is missing
    Doctor(doctor::DoctorArguments),
    /// The pools of the operator's files at one block: list, inspect, quote, depth, verify; and
    /// discover others
    Pool(pool::PoolArguments),
    /// Say how a running agent is doing
    Status(ClientArguments),
    /// Print an address that opens the page once
    Page(ClientArguments),
    /// Halt: cancel what rests and take no new risk; what only lowers risk goes on
    Halt(DirectArguments),
    /// Go on after a halt
    Resume(DirectArguments),
}

#[derive(Debug, Args)]
struct RunArguments {
    /// Folder with agent.toml, chains/ and strategies/
    #[arg(long, default_value = ".")]
    config: PathBuf,
    /// Everything that outlives the process
    #[arg(long, default_value_os_t = default_state_dir())]
    state_dir: PathBuf,
    /// The second switch for live trading; agent.toml must say mode = "live"
    #[arg(long)]
    live: bool,
    /// Write where the agent listens to this file (for supervisors)
    #[arg(long)]
    site_file: Option<PathBuf>,
    /// The world is a local one with play money: label its parts so
    #[arg(long, hide = true)]
    play_money: bool,
    /// The labels of such a world, when it is not the demo's
    #[arg(long, hide = true)]
    labels: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct DemoArguments {
    /// End after so many seconds, write a report and judge the run
    #[arg(long = "for", value_name = "SECONDS")]
    for_s: Option<u64>,
    /// Everything the demo writes; emptied at the start
    #[arg(long, default_value = "target/demo")]
    dir: PathBuf,
    /// Address of the page
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Seconds between simulated funding payments
    #[arg(long, default_value_t = 30)]
    funding_every_s: u32,
}

#[derive(Debug, Args)]
struct ExchangeArguments {
    /// Address to listen on; port 0 takes a free one and prints it
    #[arg(long, default_value = "127.0.0.1:9100")]
    listen: SocketAddr,
    /// How many times faster than recorded the tapes run
    #[arg(long, default_value_t = 1)]
    speed: u32,
    /// Seconds between simulated funding payments; 0 is never
    #[arg(long, default_value_t = 30)]
    funding_every_s: u32,
    /// Fee of a resting spot order in basis points; venues give market makers tiers of their own
    #[arg(long, default_value_t = exchange::SPOT_MAKER_FEE_BPS)]
    spot_maker_fee_bps: u32,
}

#[derive(Debug, Args)]
struct CheckArguments {
    /// Folder with agent.toml, chains/ and strategies/
    #[arg(long, default_value = ".")]
    config: PathBuf,
    /// Then ask the chains whether every address in the files is what the files say
    #[arg(long)]
    online: bool,
}

#[derive(Debug, Args)]
struct ClientArguments {
    /// State folder of the running agent
    #[arg(long, default_value_os_t = default_state_dir())]
    state_dir: PathBuf,
    /// Address of its API
    #[arg(long, default_value = "http://127.0.0.1:8787")]
    api: String,
}

#[derive(Debug, Args)]
struct DirectArguments {
    #[command(flatten)]
    client: ClientArguments,
    /// Why; it is kept
    #[arg(long)]
    reason: String,
}

/// Root keeps state where a service would, a person in their own folder.
fn default_state_dir() -> PathBuf {
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from("/var/lib/tidekeeper");
    }
    let own = run::agent::variable("XDG_STATE_HOME").map(PathBuf::from).or_else(|| {
        run::agent::variable("HOME").map(|home| PathBuf::from(home).join(".local/state"))
    });
    own.unwrap_or_else(|| PathBuf::from(".")).join("tidekeeper")
}

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_logging();
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was already chosen");
    }
    let outcome = match arguments.verb {
        Verb::Check(arguments) => match (check::check(&arguments.config), arguments.online) {
            (None, _) => return ExitCode::from(CHECK_FAILED),
            (Some(_), false) => return ExitCode::SUCCESS,
            (Some(config), true) => with_runtime(|stop| online::run(config, stop)),
        },
        Verb::Db(arguments) => with_runtime(|stop| db::run(arguments, stop)),
        Verb::Data(arguments) => data::run(arguments),
        Verb::Replay(arguments) => with_runtime(|stop| replay::replay(arguments, stop)),
        Verb::Explain(arguments) => with_runtime(|stop| replay::explain(arguments, stop)),
        Verb::Doctor(arguments) => with_runtime(|stop| doctor::run(arguments, stop)),
        Verb::Pool(arguments) => with_runtime(|stop| pool::run(arguments, stop)),
        Verb::Run(arguments) => with_runtime(|stop| run_agent(arguments, stop)),
        Verb::Demo(arguments) => with_runtime(|stop| run_demo(arguments, stop)),
        Verb::Fork(arguments) => with_runtime(|stop| fork::run(arguments, stop)),
        Verb::Exchange(arguments) => with_runtime(|stop| run_exchange(arguments, stop)),
        Verb::Status(client) => with_runtime(|_| check::status(client.api, client.state_dir)),
        Verb::Page(client) => with_runtime(|_| check::page(client.api, client.state_dir)),
        Verb::Halt(halt) => with_runtime(|_| direct("halt", halt)),
        Verb::Resume(resume) => with_runtime(|_| direct("resume", resume)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidekeeper: {error:#}");
            ExitCode::from(match () {
                () if error.is::<check::Refused>() => CHECK_FAILED,
                () if error.is::<online::Failed>() => CHECK_FAILED,
                () if error.is::<run::agent::ModeRefused>() => USAGE,
                () if error.is::<NoSuchChain>() => USAGE,
                () if error.is::<pool::name::NoSuchPool>() => USAGE,
                () => 1,
            })
        }
    }
}

fn start_logging() {
    use std::io::IsTerminal as _;
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.json().init();
    }
}

/// Runs a future until it ends; SIGINT and SIGTERM ask it to stop.
fn with_runtime<F>(work: impl FnOnce(watch::Receiver<bool>) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (stop, stopped) = watch::channel(false);
        let mut interrupt = signal(tokio::signal::unix::SignalKind::interrupt())?;
        let mut terminate = signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            stop.send_replace(true);
        });
        work(stopped).await
    })
}

fn signal(kind: tokio::signal::unix::SignalKind) -> Result<tokio::signal::unix::Signal> {
    tokio::signal::unix::signal(kind).context("listening for signals")
}

async fn run_agent(arguments: RunArguments, stop: watch::Receiver<bool>) -> Result<()> {
    let (files, config) = check::load_with(&arguments.config, check::Secrets::Needed)?;
    let labels = match (&arguments.labels, arguments.play_money) {
        (Some(path), _) => read_labels(path)?,
        (None, true) => check::demo_labels(),
        (None, false) => Vec::new(),
    };
    let options = run::agent::Options {
        files,
        config,
        state_dir: arguments.state_dir,
        cache_dir: cache::find(),
        durability: Durability::Durable,
        is_live_allowed: arguments.live,
        labels,
        site_file: arguments.site_file,
    };
    run::agent::run(options, stop).await
}

fn read_labels(path: &Path) -> Result<Vec<(String, String, String)>> {
    let reading = || format!("reading {}", path.display());
    let text = std::fs::read_to_string(path).with_context(reading)?;
    serde_json::from_str(&text).with_context(reading)
}

async fn run_demo(arguments: DemoArguments, stop: watch::Receiver<bool>) -> Result<()> {
    let options = demo::Options {
        program: std::env::current_exe().context("finding our own binary")?,
        dir: arguments.dir,
        for_s: arguments.for_s,
        listen: arguments.listen.to_string(),
        funding_every_s: arguments.funding_every_s,
    };
    demo::run(options, stop).await
}

async fn run_exchange(arguments: ExchangeArguments, mut stop: watch::Receiver<bool>) -> Result<()> {
    let options = exchange::Options {
        speed: arguments.speed,
        funding_every_s: arguments.funding_every_s,
        spot_maker_fee_bps: arguments.spot_maker_fee_bps,
        ..exchange::Options::demo(arguments.listen)
    };
    let serving = exchange::serve(options).await?;
    let (key, secret) = (exchange::DEMO_API_KEY, exchange::DEMO_API_SECRET);
    println!("listening http://{} key={key} secret={secret}", serving.addr());
    serving.run_until(async move { drop(stop.changed().await) }).await?;
    Ok(())
}

async fn direct(verb: &str, arguments: DirectArguments) -> Result<()> {
    let client = arguments.client;
    check::direct(client.api, client.state_dir, verb, arguments.reason).await
}
