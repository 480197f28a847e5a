//! `db backup` and `db restore`, and how a verb finds the database of a keeper.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::sync::watch;

use crate::config::{self, Config};
use crate::io::clock;
use crate::io::lock::{Lock, LockError};
use crate::run::agent::variable;
use crate::store::backup::{self, Progress};
use crate::store::cluster::{Cluster, ClusterError, ClusterOptions, Durability};
use crate::world::cache;

/// User and database of a private cluster.
const OURS: &str = "tidekeeper";

#[derive(Debug, Args)]
pub(super) struct DbArguments {
    #[command(subcommand)]
    verb: DbVerb,
}

#[derive(Debug, Subcommand)]
enum DbVerb {
    /// Write every table into one file; a running keeper goes on
    Backup(BackupArguments),
    /// Fill a new state directory or an empty database from such a file
    Restore(RestoreArguments),
}

#[derive(Debug, Args)]
pub(super) struct PlaceArguments {
    /// State folder of the keeper
    #[arg(long, default_value_os_t = super::default_state_dir())]
    pub(super) state_dir: PathBuf,
    /// Folder with agent.toml: needed when its [store] url_env names the database
    #[arg(long)]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct BackupArguments {
    #[command(flatten)]
    place: PlaceArguments,
    /// The file to write; it must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct RestoreArguments {
    #[command(flatten)]
    place: PlaceArguments,
    /// A file that `db backup` wrote
    file: PathBuf,
}

/// Does what the verb says; a stop in the middle changes nothing.
pub(super) async fn run(arguments: DbArguments, mut stop: watch::Receiver<bool>) -> Result<()> {
    let work = async {
        match arguments.verb {
            DbVerb::Backup(arguments) => back_up(arguments).await,
            DbVerb::Restore(arguments) => restore(arguments).await,
        }
    };
    tokio::select! {
        biased;
        done = work => done,
        _ = stop.changed() => bail!("stopped: it happens whole or not at all, so begin again"),
    }
}

async fn back_up(BackupArguments { place, out }: BackupArguments) -> Result<()> {
    let database = Database::of(&place).await?;
    let bar = Bar::new();
    let mut tell = |progress: Progress<'_>| bar.tell(progress);
    let written = backup::write(&database.connect, &out, clock::now(), &mut tell).await;
    bar.clear();
    database.close().await?;
    let header = written.context("backing up")?;
    println!(
        "{}: {} rows of {} tables, schema {}",
        out.display(),
        header.rows(),
        header.tables.len(),
        header.schema_step
    );
    Ok(())
}

async fn restore(RestoreArguments { place, file }: RestoreArguments) -> Result<()> {
    let url = configured(place.config.as_deref())?;
    let bar = Bar::new();
    let mut tell = |progress: Progress<'_>| bar.tell(progress);
    // Before anything is made: a file that is refused leaves no trace.
    let contents = backup::verify(&file, &mut tell).await.context("reading the backup")?;
    let _lock = Lock::agent(&place.state_dir).map_err(|error| match error {
        LockError::Held { .. } => {
            anyhow!(error).context("a keeper is running there: stop it, then restore")
        }
        LockError::Io { .. } => anyhow!(error).context("locking the state directory"),
    })?;
    let database = match url {
        Some(connect) => Database::at(connect),
        None => Database::start(&place.state_dir).await.context("starting the database")?,
    };
    let restored = backup::restore(&database.connect, &file, &contents, &mut tell).await;
    bar.clear();
    database.close().await?;
    restored.context("restoring")?;
    let header = contents.header();
    println!(
        "{}: {} rows of {} tables restored; every sum is what the backup says",
        file.display(),
        header.rows(),
        header.tables.len()
    );
    Ok(())
}

/// A keeper's database, and its cluster when we started that.
pub(super) struct Database {
    /// How to connect.
    pub(super) connect: PgConnectOptions,
    cluster: Option<Cluster>,
}

impl Database {
    /// One that somebody else runs.
    pub(super) fn at(connect: PgConnectOptions) -> Self {
        Self { connect, cluster: None }
    }

    /// The one that exists at a place.
    pub(super) async fn of(place: &PlaceArguments) -> Result<Self> {
        if let Some(connect) = configured(place.config.as_deref())? {
            return Ok(Self::at(connect));
        }
        Self::private(&place.state_dir).await?.with_context(|| {
            format!(
                "there is no database in {}: give the --state-dir of the keeper, or the --config \
                 whose [store] url_env names a database",
                place.state_dir.display()
            )
        })
    }

    /// The private database of a state directory: that of the keeper which runs there, or else
    /// started for us. `None` where there is none.
    pub(super) async fn private(state_dir: &Path) -> Result<Option<Self>> {
        let Some(home) = home(state_dir)? else { return Ok(None) };
        match Self::start(state_dir).await {
            Ok(database) => Ok(Some(database)),
            Err(ClusterError::Lock(LockError::Held { .. })) => Ok(Some(Self::at(running(&home)?))),
            Err(error) => Err(error).context("starting the database"),
        }
    }

    /// The private database of a state directory, made when missing.
    async fn start(state_dir: &Path) -> Result<Self, ClusterError> {
        let place = ClusterOptions {
            state_dir: state_dir.to_owned(),
            durability: Durability::Durable,
            cache_dir: cache::find(),
        };
        let opened = tokio::task::spawn_blocking(move || Cluster::open(&place)).await;
        let cluster =
            opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        Ok(Self { connect: cluster.connect_options(), cluster: Some(cluster) })
    }

    /// Version of the server, when we started it.
    pub(super) fn version(&self) -> Option<&str> {
        self.cluster.as_ref().map(Cluster::version)
    }

    /// Ends what was started for us.
    pub(super) async fn close(self) -> Result<()> {
        let Some(cluster) = self.cluster else { return Ok(()) };
        let stopped = tokio::task::spawn_blocking(move || cluster.stop()).await?;
        stopped.context("stopping the database")
    }
}

/// Where the private cluster of a state directory lives; `None` where there is none.
pub(super) fn home(state_dir: &Path) -> Result<Option<PathBuf>> {
    let near = state_dir.join("pg");
    let named = near.join("elsewhere");
    let home = match fs::read_to_string(&named) {
        _ if near.join("data").exists() => near,
        Ok(text) => PathBuf::from(text.trim_end_matches('\n')),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading {}", named.display())),
    };
    Ok(home.join("data").exists().then_some(home))
}

/// How to connect to the server that runs in a home, by what it wrote there itself.
fn running(home: &Path) -> Result<PgConnectOptions> {
    let read = |path: PathBuf| {
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    };
    let told = read(home.join("data").join("postmaster.pid"))
        .context("the keeper's database is starting or stopping: try again")?;
    // Process, data directory, start time, port, directory of the socket.
    let (port, socket_dir) = (told.lines().nth(3), told.lines().nth(4));
    let (Some(port), Some(socket_dir)) = (port, socket_dir.filter(|dir| !dir.is_empty())) else {
        bail!("the keeper's database is starting: try again");
    };
    let password = read(home.join("password"))?;
    Ok(PgConnectOptions::new_without_pgpass()
        .socket(socket_dir)
        .port(port.trim().parse().context("reading the port of the keeper's database")?)
        .username(OURS)
        .password(&password)
        .database(OURS)
        .ssl_mode(PgSslMode::Disable)
        .application_name("tidekeeper db"))
}

/// The database that the operator's files name, when there are files and they name one.
fn configured(dir: Option<&Path>) -> Result<Option<PgConnectOptions>> {
    let Some(dir) = dir else { return Ok(None) };
    let files = super::check::read(dir)?;
    let config = config::load(&files, &variable).map_err(|problems| {
        for problem in &problems {
            eprintln!("{problem}");
        }
        anyhow!("{} problem(s) in the operator's files", problems.len())
    })?;
    url_options(&config)
}

/// The database behind `[store] url_env`; the URL itself is never shown.
pub(super) fn url_options(config: &Config) -> Result<Option<PgConnectOptions>> {
    let Some(name) = &config.agent.store.url_env else { return Ok(None) };
    let url = variable(name).with_context(|| format!("set {name} to the URL of the database"))?;
    let connect = url.parse().map_err(|_| anyhow!("{name} is not a database URL"))?;
    Ok(Some(connect))
}

/// Shows on a terminal how far the work is; silent elsewhere.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{msg:28} {bar:40} {pos} of {len} rows") {
            bar.set_style(style);
        }
        Self(bar)
    }

    fn tell(&self, progress: Progress<'_>) {
        self.0.set_length(progress.rows_total);
        self.0.set_message(format!("{} {}", progress.work, progress.table));
        self.0.set_position(progress.rows);
    }

    fn clear(&self) {
        self.0.finish_and_clear();
    }
}
