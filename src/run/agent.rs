//! Puts an agent together from the operator's files, runs it, and takes it apart in order.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::api::edits::Ask;
use crate::api::pools::PoolAsk;
use crate::api::{self, Door, Keys};
use crate::config::Config;
use crate::config::agent::Mode;
use crate::config::editable::EditProblem;
use crate::engine::Engine;
use crate::engine::event::Body;
use crate::engine::setup::Setup;
use crate::io::clock;
use crate::io::lock::Lock;
use crate::model::time::Timestamp;
use crate::run::editor::{self, Editor};
use crate::run::journal::{self, Journal};
use crate::run::keeper::Keeper;
use crate::run::publish::{Clockwork, Published};
use crate::run::states::Rounds;
use crate::run::wiring::Wiring;
use crate::run::writer::{self, Health};
use crate::run::{paper, setup};
use crate::store::Store;
use crate::store::cluster::{Cluster, ClusterOptions, Durability};

/// Batches that may wait for the store; the loop waits beyond that.
const BATCHES_MAX: usize = 1_024;
/// Directives that may wait.
const DIRECTIVES_MAX: usize = 16;
/// Questions about single pools that may wait.
const QUESTIONS_MAX: usize = 4;
/// Time the last rows have to reach the store at the end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
/// Spot and USD-M addresses of Binance (REST, streams).
pub(crate) const BINANCE_SPOT: (&str, &str) =
    ("https://api.binance.com", "wss://stream.binance.com:9443");
pub(crate) const BINANCE_USDM: (&str, &str) =
    ("https://fapi.binance.com", "wss://fstream.binance.com");

/// Where and how an agent runs.
#[derive(Debug)]
pub struct Options {
    /// The operator's files: path and text, as read.
    pub files: Vec<(PathBuf, String)>,
    /// What they say.
    pub config: Config,
    /// Everything that outlives the process.
    pub state_dir: PathBuf,
    /// Set-up's cache, where the private Postgres may come from.
    pub cache_dir: Option<PathBuf>,
    /// Play-money databases need not survive a power cut.
    pub durability: Durability,
    /// The operator's second switch for live trading.
    pub is_live_allowed: bool,
    /// What is recorded, simulated or assumed.
    pub labels: Vec<(String, String, String)>,
    /// Tells a supervisor where things are: written once everything listens.
    pub site_file: Option<PathBuf>,
}

/// An environment variable: the one place that reads them for the agent.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The switches for live trading do not agree; the message says which is missing.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ModeRefused(String);

/// The three switches: the file says live, the command line says live, every limit is set (the
/// files are refused without).
fn check_mode(options: &Options) -> Result<(), ModeRefused> {
    let why = match (options.config.agent.mode, options.is_live_allowed) {
        (Mode::Live, false) => "agent.toml says mode = \"live\": say --live as well".to_owned(),
        (mode, true) if mode != Mode::Live => {
            format!("--live was given, agent.toml says mode = \"{}\"", setup::mode_name(mode))
        }
        _ => return Ok(()),
    };
    Err(ModeRefused(why))
}

/// Runs an agent until `stop` says so.
///
/// # Errors
/// Whatever keeps it from starting, with what to do; a running agent reports through its state.
pub async fn run(options: Options, stop: watch::Receiver<bool>) -> Result<()> {
    let started = Instant::now();
    check_mode(&options)?;
    let _lock = Lock::agent(&options.state_dir).context("locking the state directory")?;
    let folder = editor::own_folder(&options.config);
    if let Err(EditProblem { problem, fix, .. }) = &folder {
        tracing::warn!(problem, fix, "no number can be changed while this keeper runs");
    }
    let locked_out = folder.as_ref().err();
    let (cluster, connect) = database(&options).await?;
    let store = Store::open(connect).await.context("opening the store")?;
    let outcome = with_store(&options, &store, cluster.as_ref(), started, stop, locked_out).await;
    store.close().await;
    if let Some(cluster) = cluster {
        tokio::task::spawn_blocking(move || cluster.stop()).await?.context("stopping Postgres")?;
    }
    outcome
}

async fn database(options: &Options) -> Result<(Option<Cluster>, PgConnectOptions)> {
    if let Some(name) = &options.config.agent.store.url_env
        && let Some(url) = variable(name)
    {
        let connect = url.parse().map_err(|_| anyhow::anyhow!("{name} is not a database URL"))?;
        return Ok((None, connect));
    }
    let place = ClusterOptions {
        state_dir: options.state_dir.clone(),
        durability: options.durability,
        cache_dir: options.cache_dir.clone(),
    };
    let cluster = tokio::task::spawn_blocking(move || Cluster::open(&place)).await?;
    let cluster = cluster.context("starting the private Postgres")?;
    let connect = cluster.connect_options();
    Ok((Some(cluster), connect))
}

async fn with_store(
    options: &Options,
    store: &Store,
    cluster: Option<&Cluster>,
    started: Instant,
    mut stop: watch::Receiver<bool>,
    locked_out: Option<&EditProblem>,
) -> Result<()> {
    // Before anything is written: books of another kind of money are left as they are.
    store.claim(&paper::money(&options.config)).await?;
    let versions = editor::record_all(options, store).await.context("recording versions")?;
    let Some(wiring) = wired(options, store, &versions, &mut stop).await? else { return Ok(()) };
    let Wiring { setup, hands, facts, eyes, hunts, paper: wires } = wiring;
    let (batches, written) = mpsc::channel(BATCHES_MAX);
    let (committed_in, committed) = mpsc::channel(BATCHES_MAX);
    let (directives_in, directives) = mpsc::channel(DIRECTIVES_MAX);
    let (publish, published) = watch::channel(None);
    let health = Arc::new(Health::default());
    let clockwork = Arc::new(Clockwork::default());
    let writer =
        tokio::spawn(writer::run(store.clone(), written, committed_in, Arc::clone(&health)));
    let ids = setup.chains.iter().map(|chain| chain.chain);
    let (states, kept) = Rounds::begin(ids, store.clone());
    let listener = listen(options).await?;
    let keys = Keys::random().context("making the API's secrets")?;
    announce(options, listener.local_addr()?, &keys, cluster)?;
    let (edits, asked) = Editor::start(options, store, &setup.chains, versions, locked_out);
    let (door, questions) = door(published, directives_in, edits, Arc::clone(&clockwork));
    let api = tokio::spawn(api::serve(listener, door, keys, stop.clone()));
    let began = clock::now();
    let journal = begin_journal(options, store, &setup, began).await?;
    let engine = Engine::new(setup.clone(), began);
    let mut keeper = Keeper {
        engine,
        journal: Some(journal),
        hands,
        facts,
        directives,
        asked,
        questions,
        batches,
        committed,
        health,
        states,
        publish,
        clockwork,
        halt_file: options.config.agent.safety.halt_file.clone(),
        seq: 0,
        is_stalled: false,
        started,
    };
    let recovered = store.load().await.context("reading what earlier runs left")?;
    let mut tasks = Vec::new();
    if let Some(wires) = wires {
        let world = paper::world(&options.config, &setup, &recovered);
        tasks.push(tokio::spawn(wires.run(world)));
    }
    keeper.handle(Body::Started(Box::new(recovered))).await;
    tasks.extend(eyes.open(&options.config, &setup, store, &keeper.hands).await?);
    tasks.extend(hunts.into_iter().map(|hunt| tokio::spawn(hunt.finish())));
    for client in keeper.hands.venues.values() {
        tasks.extend(client.start());
    }
    keeper.run(stop.clone()).await;
    end(keeper, tasks, [writer, kept]).await;
    let _ = stop.borrow_and_update();
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, api).await;
    Ok(())
}

/// What the run is made of; `None` when it is told to stop before: the first search for pools may
/// take long.
async fn wired(
    options: &Options,
    store: &Store,
    versions: &editor::Versions,
    stop: &mut watch::Receiver<bool>,
) -> Result<Option<Wiring>> {
    tokio::select! {
        biased;
        wiring = Wiring::new(options, store, versions) => wiring.map(Some),
        _ = stop.changed() => {
            tracing::info!("told to stop before the start was done: nothing was decided");
            Ok(None)
        }
    }
}

/// Ends those who look at the world, then lets the store take what was decided.
async fn end(keeper: Keeper, tasks: Vec<JoinHandle<()>>, writers: [JoinHandle<()>; 2]) {
    for task in tasks {
        task.abort();
    }
    // Dropping the loop closes their queues: what was decided is kept before we go.
    drop(keeper);
    for writer in writers {
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, writer).await;
    }
}

async fn begin_journal(
    options: &Options,
    store: &Store,
    setup: &Setup,
    began: Timestamp,
) -> Result<Journal> {
    let journal = Journal::begin(&options.state_dir, setup.clone(), began);
    let journal = journal.context("beginning the journal of this run")?;
    let runs = journal::runs(&options.state_dir).context("listing journals")?;
    store.keep_marks_of(&runs).await.context("forgetting runs without a journal")?;
    Ok(journal)
}

async fn listen(options: &Options) -> Result<TcpListener> {
    let address = options.config.agent.api.listen;
    TcpListener::bind(address).await.with_context(|| {
        format!("listening on {address}: is another keeper running? change [api] listen")
    })
}

/// The API's side of the loop, and what it asks there: documents become JSON once, whoever reads
/// them.
fn door(
    mut published: watch::Receiver<Option<Arc<Published>>>,
    directives: mpsc::Sender<crate::engine::event::Directive>,
    edits: mpsc::Sender<Ask>,
    clockwork: Arc<Clockwork>,
) -> (Door, mpsc::Receiver<PoolAsk>) {
    let (documents, document) = watch::channel(None);
    let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
    tokio::spawn(async move {
        while published.changed().await.is_ok() {
            let newest = published.borrow_and_update().clone();
            let Some(newest) = newest else { continue };
            match serde_json::to_value(newest.as_ref()) {
                Ok(value) => drop(documents.send_replace(Some(Arc::new(value)))),
                Err(error) => tracing::error!(%error, "the snapshot cannot be written as JSON"),
            }
        }
    });
    (Door { document, figures, source: clockwork, directives, edits, questions }, asked)
}

fn figures(door: &Door) -> Value {
    let figures = door.source.downcast_ref::<Clockwork>().map(Clockwork::figures);
    serde_json::to_value(figures).unwrap_or(Value::Null)
}

/// Tells where the API listens and leaves a note for programs: each token in a file that only we
/// can read.
fn announce(
    options: &Options,
    address: std::net::SocketAddr,
    keys: &Keys,
    cluster: Option<&Cluster>,
) -> Result<()> {
    let page = format!("http://{address}{}", keys.entry_path()?);
    let bearer = keys.bearer().expose();
    write_private(&options.state_dir.join("api-token"), bearer)?;
    write_private(&options.state_dir.join("metrics-token"), keys.metrics().expose())?;
    if let Some(path) = &options.site_file {
        let api = format!("http://{address}");
        let database = cluster.map(Cluster::manifest);
        let site = json!({ "api": api, "page": page, "token": bearer, "database": database });
        write_private(path, &site.to_string())?;
    }
    let token_file = options.state_dir.join("api-token");
    tracing::info!(%address, token_file = %token_file.display(), "the API listens");
    Ok(())
}

/// Writes a file that only its owner can read, whole or not at all.
fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let scrap = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&scrap)
        .with_context(|| format!("writing {}", scrap.display()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&scrap, path).with_context(|| format!("writing {}", path.display()))
}
