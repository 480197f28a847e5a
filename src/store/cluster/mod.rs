//! The private Postgres cluster of one state directory: made, started, found again and ended by us.
//!
//! Knows processes, files and one readiness query; must never know a table. It is reached by a Unix
//! socket only, with a random password (scram-sha-256) in a file for us alone. Invariants: one
//! agent per cluster (a lock which dies with its owner); a directory named `data` is a whole
//! cluster, and is never removed by us; no server of ours outlives us on Linux, and the next start
//! ends one that did.
//!
//! Below root the server runs as user `postgres` or else `nobody`. That user must be able to pass
//! every directory above the state directory; when it cannot, the cluster lives in
//! `/var/lib/tidekeeper/<random>`, and `<state>/pg/elsewhere` names that directory. Removing the
//! state directory leaves it there, to be removed by hand, unless it was made as
//! [`Durability::Throwaway`].

mod account;
mod bundle;
mod discover;
mod place;
mod ready;
mod supervise;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::io::lock::{Lock, LockError};
use crate::io::process::{Child, ProcessError};
use crate::store::cluster::discover::{CHOICE_VARIABLE, Search, discover, leading_number};
use crate::store::cluster::place::{Home, ROOT_BASE, io_at, near_dir, sweep};
use crate::store::cluster::ready::{Readiness, await_ready};
use crate::store::cluster::supervise::{
    Launch, end_orphans, has_servers, make_cluster, start_server, stop_server, tail,
};

/// The only user of the cluster.
const USER: &str = "tidekeeper";
/// The database made in it.
const DATABASE: &str = "tidekeeper";
/// Part of the socket's name only; no TCP port is opened.
const PORT: u16 = 5432;
const PASSWORD_BYTES: usize = 32;
/// A server whose killed predecessor still has children refuses to start until they end.
const START_TRIES: usize = 5;
const START_PAUSE: Duration = Duration::from_millis(300);

/// What a crash of the machine may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was committed.
    Durable,
    /// Everything: for tests, several times faster.
    Throwaway,
}

/// Which cluster, and how.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The agent's state directory; the cluster is `pg` in it. Made when missing.
    pub state_dir: PathBuf,
    /// What a crash of the machine may take.
    pub durability: Durability,
    /// The project's cache, which may hold the npm package with Postgres, the last place looked at.
    pub cache_dir: Option<PathBuf>,
}

/// How others of our user reach the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Directory of the socket; host for every Postgres client.
    pub socket_dir: PathBuf,
    /// Port, which is part of the socket's name only.
    pub port: u16,
    /// The only user.
    pub user: String,
    /// File with the password, mode 0600.
    pub password_file: PathBuf,
    /// The database.
    pub database: String,
}

/// A running cluster. Dropping it ends the server as [`Cluster::stop`] does, without telling of
/// trouble.
#[derive(Debug)]
pub struct Cluster {
    launch: Launch,
    password: SecretString,
    server: Child,
    /// Released last.
    _lock: Lock,
}

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Another agent uses this state directory.
    #[error("the database of this state directory is in use")]
    Lock(#[from] LockError),
    /// No Postgres programs that can be used.
    #[error(
        "no Postgres 15 or newer; tried {tried}; install one (Debian: apt-get install postgresql) \
         or set {CHOICE_VARIABLE} to the directory of its programs, or give a database url"
    )]
    NoBinaries { tried: String },
    /// The data was written by a major version which none of the programs found has.
    #[error(
        "{} was written by Postgres {major}, and only {found} was found; set {CHOICE_VARIABLE} \
         to the programs of version {major}, or move the directory away to begin with nothing",
        .data_dir.display()
    )]
    Major { data_dir: PathBuf, major: u32, found: String },
    /// Postgres needs a user with a name.
    #[error(
        "user id {uid} has no entry in the user database, as Postgres needs; give a database url"
    )]
    NoAccount { uid: u32 },
    /// The user the server runs as cannot reach its files.
    #[error(
        "user {user}, who runs the database, may not pass {dir}; allow it: chmod o+x {dir}",
        dir = .dir.display()
    )]
    Closed { dir: PathBuf, user: String },
    /// Something is where only we put things, and is not what we put.
    #[error("{} {why}", .path.display())]
    Damaged { path: PathBuf, why: String },
    /// A file or directory cannot be used.
    #[error("cannot use {}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    /// A program cannot be started or signalled.
    #[error("cannot run the database")]
    Process(#[from] ProcessError),
    /// The cluster could not be made.
    #[error("initdb failed ({status}): {log}")]
    Initdb { status: String, log: String },
    /// The server ends instead of starting.
    #[error("the database does not start: {log}")]
    Start { log: String },
    /// The server runs, but does not answer.
    #[error("the database did not answer within {limit_s} s")]
    Unready { limit_s: u64 },
    /// The server refused our first queries.
    #[error("the database refuses to work")]
    Query { source: sqlx::Error },
    /// A server which does not end.
    #[error("the database server does not end (process {pids})")]
    Stuck { pids: String },
    /// No runtime for the readiness query.
    #[error("cannot wait for the database")]
    Runtime { source: io::Error },
}

impl Cluster {
    /// Makes the cluster when there is none, ends a server which a killed agent left, starts the
    /// server, and returns when our database answers. Blocks the thread, for seconds.
    pub fn open(options: &ClusterOptions) -> Result<Self, ClusterError> {
        let base = Path::new(ROOT_BASE);
        let near = near_dir(&options.state_dir)?;
        let lock = Lock::take(&near.join("cluster.lock"))?;
        let home = Home::find(near, base, options.durability)?;
        sweep(base, |home| has_servers(&home.join("data")));
        let choice = env::var_os(CHOICE_VARIABLE).map(PathBuf::from);
        let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let launch = Launch {
            binaries: discover(&Search {
                choice: choice.as_deref(),
                path: env::var_os("PATH").as_deref(),
                cache: options.cache_dir.as_deref(),
                base,
                account: &home.account,
                data: data_major(&home.data())?
                    .as_ref()
                    .map(|(dir, major)| (dir.as_path(), *major)),
            })?,
            socket_dir: home.socket_dir(base, runtime.as_deref())?,
            durability: options.durability,
            home,
        };
        make_cluster(&launch, &hex::encode(rand::random::<[u8; PASSWORD_BYTES]>()))?;
        let password = SecretString::from(read_text(&launch.home.password_file())?);
        let server = launch_server(&launch, &password)?;
        Ok(Self { launch, password, server, _lock: lock })
    }

    /// How to connect: our user in our database, by the socket.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        connect_options(&self.launch, &self.password)
    }

    /// Process id of the server.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Version of the server, such as `15.18`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.launch.binaries.version.text
    }

    /// How others of our user reach the cluster.
    #[must_use]
    pub fn manifest(&self) -> Manifest {
        Manifest {
            socket_dir: self.launch.socket_dir.clone(),
            port: PORT,
            user: USER.into(),
            password_file: self.launch.home.password_file(),
            database: DATABASE.into(),
        }
    }

    /// Whether the server's process still runs; that it answers is for the next query to say.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.server.is_running()
    }

    /// Starts the server again when it has ended without us; how often is for the caller to bound.
    /// Blocks.
    pub fn revive(&mut self) -> Result<(), ClusterError> {
        if !self.is_running() {
            self.server = launch_server(&self.launch, &self.password)?;
        }
        Ok(())
    }

    /// Ends the server: fast shutdown, after 20 s immediate shutdown, which loses nothing
    /// committed. Blocks.
    pub fn stop(self) -> Result<(), ClusterError> {
        stop_server(&self.launch, &self.server)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.is_running()
            && let Err(error) = stop_server(&self.launch, &self.server)
        {
            tracing::error!(%error, "the database was not ended in order");
        }
    }
}

/// Starts the server on data which nobody else has, and waits until it answers.
fn launch_server(launch: &Launch, password: &SecretString) -> Result<Child, ClusterError> {
    end_orphans(launch)?;
    let options = connect_options(launch, password);
    for _ in 0..START_TRIES {
        let server = start_server(launch)?;
        match await_ready(&options, || server.is_running())? {
            Readiness::Ready => return Ok(server),
            Readiness::Ended => std::thread::sleep(START_PAUSE),
        }
    }
    Err(ClusterError::Start { log: tail(&launch.home.log()) })
}

fn connect_options(launch: &Launch, password: &SecretString) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(&launch.socket_dir)
        .port(PORT)
        .username(USER)
        .password(password.expose_secret())
        .database(DATABASE)
        .ssl_mode(PgSslMode::Disable)
        .application_name(USER)
}

/// The major version the data was written by; `None` when there is none yet.
fn data_major(data: &Path) -> Result<Option<(PathBuf, u32)>, ClusterError> {
    if !data.exists() {
        return Ok(None);
    }
    let text = read_text(&data.join("PG_VERSION"))?;
    let major = leading_number(text.trim()).ok_or_else(|| ClusterError::Damaged {
        path: data.join("PG_VERSION"),
        why: format!("must hold a major version, and holds {text:?}"),
    })?;
    Ok(Some((data.into(), major)))
}

fn read_text(path: &Path) -> Result<String, ClusterError> {
    fs::read_to_string(path).map_err(|source| io_at(path, source))
}
