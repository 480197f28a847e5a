//! The processes of the database: making a cluster, starting its server, ending it, and ending the
//! one which a killed agent left behind.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::io::process::{Child, Output, Spawn, poll, spawn};
use crate::store::cluster::discover::{Binaries, leading_number};
use crate::store::cluster::place::{Home, io_at, write_secret};
use crate::store::cluster::{ClusterError, Durability, PORT, USER};

/// Making a cluster takes about a second; a loaded machine with a slow disk far longer.
const INITDB_LIMIT: Duration = Duration::from_mins(2);
/// How long a fast shutdown may take to write what is open.
const FAST_LIMIT: Duration = Duration::from_secs(20);
/// How long an immediate shutdown may take; the server kills its own children after five seconds.
const IMMEDIATE_LIMIT: Duration = Duration::from_secs(10);
/// How long a server left behind may take to end by itself: the kernel interrupts the server of a
/// killed agent on Linux; elsewhere waiting for that is of no use.
const ORPHAN_GRACE: Duration = Duration::from_secs(if cfg!(target_os = "linux") { 15 } else { 0 });
const LOOK_STEP: Duration = Duration::from_millis(10);
/// Bytes of a log shown in an error.
const LOG_TAIL_BYTES: u64 = 2_000;
/// A server log larger than this is put aside at the next start, over the one before.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// Settings of every server; it listens to its socket only. They are given at each start, so that a
/// cluster made by an older version has today's.
const SETTINGS: [(&str, &str); 8] = [
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    ("max_connections", "50"),
    ("shared_buffers", "128MB"),
    ("jit", "off"),
    ("password_encryption", "scram-sha-256"),
    ("log_min_duration_statement", "500ms"),
    ("logging_collector", "off"),
];
/// What money needs; the defaults, said aloud so that no edited file changes them.
const DURABLE: [(&str, &str); 3] =
    [("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on")];
/// What a test may lose with the machine, though not with the process.
const THROWAWAY: [(&str, &str); 3] =
    [("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off")];

/// All it takes to start the server, as often as it must be.
#[derive(Debug)]
pub(super) struct Launch {
    pub home: Home,
    pub binaries: Binaries,
    pub socket_dir: PathBuf,
    pub durability: Durability,
}

/// Makes the cluster when there is none; one that was begun and not finished is thrown away.
pub(super) fn make_cluster(launch: &Launch, password: &str) -> Result<(), ClusterError> {
    let home = &launch.home;
    let scrap = home.scrap();
    if scrap.exists() {
        end_servers(&scrap)?;
        fs::remove_dir_all(&scrap).map_err(|source| io_at(&scrap, source))?;
    }
    if home.data().exists() {
        return Ok(());
    }
    home.make_scrap()?;
    write_secret(&home.password_file(), password.as_bytes())?;
    let lent = home.lend_password(password)?;
    let made = run_initdb(launch, &scrap, &lent);
    fs::remove_file(&lent).map_err(|source| io_at(&lent, source))?;
    made?;
    // The name is the mark of a whole cluster, and is given last.
    fs::rename(&scrap, home.data())
        .and_then(|()| File::open(&home.dir)?.sync_all())
        .map_err(|source| io_at(&home.data(), source))
}

fn run_initdb(launch: &Launch, data: &Path, lent: &Path) -> Result<(), ClusterError> {
    let log = launch.home.dir.join("initdb.log");
    let mut args: Vec<OsString> = vec!["-D".into(), data.into()];
    args.push(joined("--pwfile=", lent));
    let words = ["-U", USER, "-A", "scram-sha-256", "--locale=C", "--encoding=UTF8"];
    args.extend(words.map(OsString::from));
    args.push("--no-instructions".into());
    if launch.durability == Durability::Throwaway {
        args.push("--no-sync".into());
    }
    let child = start(launch, "initdb", args, &log)?;
    match child.wait(INITDB_LIMIT) {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(ClusterError::Initdb { status: status.to_string(), log: tail(&log) }),
        None => {
            let status = format!("still running after {} s", INITDB_LIMIT.as_secs());
            Err(ClusterError::Initdb { status, log: tail(&log) })
        }
    }
}

/// Starts the server; it takes connections some time later.
pub(super) fn start_server(launch: &Launch) -> Result<Child, ClusterError> {
    let log = launch.home.log();
    if fs::metadata(&log).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
        fs::rename(&log, log.with_extension("log.old")).map_err(|source| io_at(&log, source))?;
    }
    let mut args: Vec<OsString> = vec!["-D".into(), launch.home.data().into()];
    let durability = match launch.durability {
        Durability::Durable => DURABLE,
        Durability::Throwaway => THROWAWAY,
    };
    for (name, value) in SETTINGS.iter().chain(&durability) {
        args.extend(["-c".into(), format!("{name}={value}").into()]);
    }
    args.extend(["-c".into(), format!("port={PORT}").into(), "-c".into()]);
    args.push(joined("unix_socket_directories=", &listed(&launch.socket_dir)));
    start(launch, "postgres", args, &log)
}

/// Ends the server: fast, or at once when that takes too long. Nothing committed is lost either
/// way.
pub(super) fn stop_server(launch: &Launch, child: &Child) -> Result<(), ClusterError> {
    for (signal, limit) in [(Signal::SIGINT, FAST_LIMIT), (Signal::SIGQUIT, IMMEDIATE_LIMIT)] {
        child.signal(signal)?;
        thaw(&launch.home.data());
        if child.wait(limit).is_some() {
            return Ok(());
        }
    }
    Err(ClusterError::Stuck { pids: child.pid().to_string() })
}

/// Makes sure that no server of an agent which is gone still has the data, then removes what it
/// left.
///
/// The kernel interrupts the server of a killed agent, so that waiting is usually enough.
pub(super) fn end_orphans(launch: &Launch) -> Result<(), ClusterError> {
    let data = launch.home.data();
    end_servers(&data)?;
    let pid_file = data.join("postmaster.pid");
    // The number may belong to another program by now, which Postgres would take for a living
    // server. A dead number stays: by it Postgres finds and frees the shared memory.
    if told_pid(&pid_file).is_some_and(is_alive) {
        remove(&pid_file)?;
    }
    remove(&launch.socket_dir.join(format!(".s.PGSQL.{PORT}")))?;
    remove(&launch.socket_dir.join(format!(".s.PGSQL.{PORT}.lock")))
}

fn end_servers(data: &Path) -> Result<(), ClusterError> {
    let ended = |limit| poll(limit, LOOK_STEP, || servers(data).is_empty().then_some(())).is_some();
    if ended(ORPHAN_GRACE) {
        return Ok(());
    }
    let postmaster = told_pid(&data.join("postmaster.pid"));
    for (signal, limit) in [(Signal::SIGINT, FAST_LIMIT), (Signal::SIGQUIT, IMMEDIATE_LIMIT)] {
        let running = servers(data);
        // A postmaster ends its children; children without one each take the signal for a cancelled
        // query, and end at SIGQUIT.
        let told = postmaster.filter(|pid| running.contains(pid));
        for pid in told.map_or(running, |pid| vec![pid]) {
            tracing::warn!(pid, %signal, "ending a database server left behind");
            send(pid, signal);
        }
        thaw(data);
        if ended(limit) {
            return Ok(());
        }
    }
    let pids: Vec<String> = servers(data).iter().map(ToString::to_string).collect();
    Err(ClusterError::Stuck { pids: pids.join(" ") })
}

/// Lets stopped processes of the server go on, which could not end otherwise.
fn thaw(data: &Path) {
    for pid in servers(data) {
        send(pid, Signal::SIGCONT);
    }
}

/// A process that has ended since needs no signal; one that may not have it is seen by its not
/// ending.
fn send(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

/// Whether any Postgres process works in this data directory.
pub(super) fn has_servers(data: &Path) -> bool {
    !servers(data).is_empty()
}

/// The Postgres processes of a data directory: all of them work inside it.
#[cfg(target_os = "linux")]
fn servers(data: &Path) -> Vec<i32> {
    let Ok(data) = data.canonicalize() else {
        return Vec::new();
    };
    let is_server = |process: &Path| {
        fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == data)
            && fs::read_link(process.join("exe")).is_ok_and(|exe| is_postgres(&exe))
    };
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| is_server(&entry.path()))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// An upgraded package leaves running programs with `postgres (deleted)`.
#[cfg(target_os = "linux")]
fn is_postgres(exe: &Path) -> bool {
    exe.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("postgres"))
}

/// The server which the data directory names, when its command line still says so.
#[cfg(not(target_os = "linux"))]
fn servers(data: &Path) -> Vec<i32> {
    let Some(pid) = told_pid(&data.join("postmaster.pid")) else {
        return Vec::new();
    };
    let told = std::process::Command::new("/bin/ps")
        .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .output();
    let is_server = told.is_ok_and(|told| {
        let command = String::from_utf8_lossy(&told.stdout);
        command.contains("postgres") && command.contains(&*data.to_string_lossy())
    });
    if is_server { vec![pid] } else { Vec::new() }
}

/// The first line of a `postmaster.pid`; a standalone backend writes it negative.
fn told_pid(pid_file: &Path) -> Option<i32> {
    let text = fs::read_to_string(pid_file).ok()?;
    let first = text.lines().next()?.trim();
    let pid = leading_number(first.strip_prefix('-').unwrap_or(first))?;
    i32::try_from(pid).ok().filter(|pid| *pid > 1)
}

fn is_alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) != Err(nix::Error::ESRCH)
}

fn remove(path: &Path) -> Result<(), ClusterError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_at(path, error)),
        _ => Ok(()),
    }
}

fn start(
    launch: &Launch,
    program: &str,
    args: Vec<OsString>,
    log: &Path,
) -> Result<Child, ClusterError> {
    let account = &launch.home.account;
    Ok(spawn(Spawn {
        program: launch.binaries.dir.join(program),
        args,
        env: Some(account.environment()),
        current_dir: Some("/".into()),
        user: account.switch(),
        stdout: Output::File(log.into()),
        stderr: Output::File(log.into()),
    })?)
}

fn joined(name: &str, value: &Path) -> OsString {
    let mut argument = OsString::from(name);
    argument.push(value);
    argument
}

/// A path as the one element of a list setting, where commas and quotes have a meaning.
fn listed(path: &Path) -> PathBuf {
    path.to_str().map_or_else(
        || path.into(),
        |text| PathBuf::from(format!("\"{}\"", text.replace('"', "\"\""))),
    )
}

/// The end of a log, for an error.
pub(super) fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(end.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_string())
    };
    read().unwrap_or_else(|error| format!("no log: {error}"))
}
