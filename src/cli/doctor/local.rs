//! What is on this machine: the state directory, the database, the API's port, halts.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access, geteuid};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::cli::db::{self, Database};
use crate::cli::findings::{Report, Status};
use crate::config::Config;
use crate::io::lock::{Lock, LockError};
use crate::store::backup::schema_known;
use crate::store::cluster::{Cluster, ClusterOptions, Durability};
use crate::world::cache;

/// Patience for a running keeper.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Patience for a database.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(15);
/// Free space below which somebody should look, and below which a database may stop.
const FREE_BYTES_WARN: u64 = 5 << 30;
const FREE_BYTES_MIN: u64 = 512 << 20;
const MIB: u64 = 1 << 20;

/// Whether the state directory can be used by us and read by us alone, and who holds it.
pub(super) fn state_dir(report: &mut Report, dir: &Path) {
    let at = format!("state in {}", dir.display());
    report.look(&at);
    let there = existing(dir);
    if there != dir {
        match access(&there, AccessFlags::W_OK | AccessFlags::X_OK) {
            Ok(()) => report.ok(&at, "is not there yet; `run` makes it"),
            Err(_) => {
                let found = format!("is not there, and {} cannot be written", there.display());
                let remedy = "give --state-dir a place of yours, or make it as root and chown it";
                report.bad(Status::Fail, &at, found, remedy);
            }
        }
    } else {
        owned(report, &at, dir);
        holder(report, dir);
    }
    disk(report, &there);
    if let Ok(Some(home)) = db::home(dir)
        && !home.starts_with(dir)
    {
        disk(report, &home);
    }
}

fn owned(report: &mut Report, at: &str, dir: &Path) {
    let Ok(meta) = fs::metadata(dir) else { return };
    let mode = meta.mode() & 0o7777;
    let us = geteuid();
    let remedy = format!("chown {us} {dir}; chmod 711 {dir}", dir = dir.display());
    if !meta.is_dir() {
        report.bad(Status::Fail, at, "is not a directory", "give another --state-dir");
    } else if access(dir, AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
        report.bad(Status::Fail, at, format!("cannot be written by user {us}"), remedy);
    } else if meta.uid() != us.as_raw() {
        report.bad(Status::Fail, at, format!("belongs to user {}", meta.uid()), remedy);
    } else if mode & 0o066 != 0 {
        let found = format!("mode {mode:04o}: others can look into it or write to it");
        report.bad(Status::Warn, at, found, remedy);
    } else {
        report.ok(at, format!("ours alone, mode {mode:04o}"));
    }
}

/// Whether a keeper runs there; the lock is free again at once.
fn holder(report: &mut Report, dir: &Path) {
    let path = dir.join("agent.lock");
    if !path.exists() {
        return;
    }
    match Lock::take(&path) {
        Ok(_) => report.ok("keeper", "none runs in this state directory"),
        Err(LockError::Held { pid, .. }) => {
            let pid = pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
            report.ok("keeper", format!("one runs in this state directory, process {pid}"));
        }
        Err(error @ LockError::Io { .. }) => {
            let remedy = format!("chown {} {}", geteuid(), path.display());
            report.bad(Status::Fail, "keeper", error.to_string(), remedy);
        }
    }
}

fn disk(report: &mut Report, path: &Path) {
    let at = format!("disk of {}", path.display());
    let Ok(stat) = statvfs(path) else {
        report.bad(Status::Warn, at, "its free space is unknown", "look with `df`");
        return;
    };
    // The widths of these differ between systems.
    #[allow(clippy::useless_conversion, reason = "they are narrower elsewhere")]
    let (blocks, size) = (u64::from(stat.blocks_available()), u64::from(stat.fragment_size()));
    let free = blocks.saturating_mul(size);
    let found = format!("{} MiB free", free / MIB);
    let remedy = "make room: the ledger grows, and a full disk pauses the keeper";
    match free {
        _ if free < FREE_BYTES_MIN => report.bad(Status::Fail, at, found, remedy),
        _ if free < FREE_BYTES_WARN => report.bad(Status::Warn, at, found, remedy),
        _ => report.ok(at, found),
    }
}

/// The first directory on the way up that exists.
fn existing(path: &Path) -> PathBuf {
    let there = path.ancestors().find(|path| path.exists());
    let there = there.filter(|path| !path.as_os_str().is_empty());
    there.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// The database: the operator's own, the private one, or what a private one would be made with.
pub(super) async fn database(report: &mut Report, config: Option<&Config>, state_dir: &Path) {
    report.look("the database");
    match opened(config, state_dir).await {
        Ok(Some(database)) => {
            let connect = database.connect.clone();
            let looked = tokio::time::timeout(DATABASE_TIMEOUT, inside(report, &connect)).await;
            let looked = looked.unwrap_or_else(|_| Err(anyhow::anyhow!("it does not answer")));
            if let Err(error) = looked {
                refused(report, &error);
            } else if let Some(version) = database.version() {
                report.ok("database programs", format!("PostgreSQL {version}"));
            }
            if let Err(error) = database.close().await {
                refused(report, &error);
            }
        }
        Ok(None) => rehearse(report).await,
        Err(error) => refused(report, &error),
    }
}

async fn opened(config: Option<&Config>, state_dir: &Path) -> Result<Option<Database>> {
    match config.map(db::url_options).transpose()?.flatten() {
        Some(connect) => Ok(Some(Database::at(connect))),
        None => Database::private(state_dir).await,
    }
}

fn refused(report: &mut Report, error: &anyhow::Error) {
    let remedy = "do what the message says; `[store] url_env` names a database of your own instead";
    report.bad(Status::Fail, "database", format!("{error:#}"), remedy);
}

/// Schema and remembered halt.
async fn inside(report: &mut Report, connect: &PgConnectOptions) -> Result<()> {
    let mut connection = connect.connect().await.context("connecting to the database")?;
    let has_schema: bool = sqlx::query_scalar("select to_regclass('schema_steps') is not null")
        .fetch_one(&mut connection)
        .await?;
    if !has_schema {
        report.ok("database", "answers, and is empty: `run` makes its tables");
        return Ok(());
    }
    let known = schema_known();
    let step: i32 = sqlx::query_scalar("select coalesce(max(step), 0) from schema_steps")
        .fetch_one(&mut connection)
        .await?;
    if step > known {
        let found = format!("has schema {step}, this program knows {known}");
        report.bad(Status::Fail, "database", found, "use the newer program");
        return Ok(());
    }
    let forward = if step < known { "; `run` brings it forward" } else { "" };
    report.ok("database", format!("answers, schema {step} of {known}{forward}"));
    if step == 0 {
        return Ok(());
    }
    let halted: Option<Option<String>> =
        sqlx::query_scalar("select value #>> '{}' from memory where key = 'halted'")
            .fetch_optional(&mut connection)
            .await?;
    match halted.flatten() {
        None => report.ok("remembered halt", "none"),
        Some(reason) => {
            let remedy = "when its cause is gone: tidekeeper resume --reason \"…\"";
            report.bad(Status::Warn, "remembered halt", format!("halted: {reason}"), remedy);
        }
    }
    connection.close().await?;
    Ok(())
}

/// There is no database yet: makes one in a place of its own, and takes it away again.
async fn rehearse(report: &mut Report) {
    report.look("the programs of Postgres, by making a database with them");
    let rehearsed = tokio::task::spawn_blocking(|| -> Result<String> {
        let dir = std::env::temp_dir().join(format!("tidekeeper-doctor-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o711).create(&dir).context("making a directory to try in")?;
        let place = ClusterOptions {
            state_dir: dir.clone(),
            durability: Durability::Throwaway,
            cache_dir: cache::find(),
        };
        let tried = Cluster::open(&place).and_then(|cluster| {
            let version = cluster.version().to_owned();
            cluster.stop().map(|()| version)
        });
        // What remains is litter in a place for litter.
        drop(fs::remove_dir_all(&dir));
        Ok(tried?)
    });
    match rehearsed.await.map_err(anyhow::Error::from).flatten() {
        Ok(version) => {
            let found = format!("none yet; PostgreSQL {version} starts here, `run` makes it");
            report.ok("database", found);
        }
        Err(error) => refused(report, &error),
    }
}

/// Whether the API can listen, or who does.
pub(super) async fn api(report: &mut Report, listen: SocketAddr, state_dir: &Path) {
    let at = format!("API on {listen}");
    report.look(&at);
    match std::net::TcpListener::bind(listen) {
        Ok(_) => report.ok(at, "the port is free"),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            match state_of_keeper(listen, state_dir).await {
                Some(state) => report.ok(at, format!("this keeper answers, it is {state}")),
                None => {
                    let found = "the port is taken, and not by the keeper of this state directory";
                    let remedy = "change [api] listen in agent.toml, or stop what listens there";
                    report.bad(Status::Fail, at, found, remedy);
                }
            }
        }
        Err(error) => {
            let remedy = "change [api] listen in agent.toml to 127.0.0.1 and a port above 1023";
            report.bad(Status::Fail, at, error.to_string(), remedy);
        }
    }
}

/// What the keeper says of itself, when it takes the token of this state directory.
async fn state_of_keeper(listen: SocketAddr, state_dir: &Path) -> Option<String> {
    let token = fs::read_to_string(state_dir.join("api-token")).ok()?;
    let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_TIMEOUT).build().ok()?;
    let request = client.get(format!("http://{listen}/api/v1/status")).bearer_auth(token.trim());
    let reply = request.send().await.ok()?;
    if !reply.status().is_success() {
        return None;
    }
    let status: serde_json::Value = reply.json().await.ok()?;
    Some(status["state"]["kind"].as_str().unwrap_or("unknown").to_owned())
}

/// While the file exists, the keeper is halted.
pub(super) fn halt_file(report: &mut Report, path: &Path) {
    let at = format!("halt file {}", path.display());
    match path.try_exists() {
        Ok(false) => report.ok(at, "is not there"),
        Ok(true) => {
            let remedy = format!("rm {}, then tidekeeper resume --reason \"…\"", path.display());
            report.bad(Status::Warn, at, "is there: the keeper halts at once", remedy);
        }
        Err(error) => {
            let found = format!("nobody knows whether it is there: {error}");
            report.bad(Status::Fail, at, found, "give the keeper's user the way to it");
        }
    }
}
