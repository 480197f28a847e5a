//! The local chain: finds a native anvil, starts it, ends it, and removes what it left behind.
//!
//! Knows nothing of what is deployed on it. Invariant: its standard output is always read, since a
//! full pipe would stop it.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ChildStdout;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use thiserror::Error;

use crate::io::process::{Child, Output, ProcessError, Spawn, spawn};

/// The variable that names an anvil and so ends the search.
pub const ANVIL_VARIABLE: &str = "TIDEKEEPER_ANVIL";
/// Older ones lack methods the world uses.
const VERSION_MIN: (u32, u32) = (1, 5);
/// Longest wait for `--version`.
const VERSION_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for the port to be open.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long it may take to end when asked.
const STOP_GRACE: Duration = Duration::from_secs(3);
/// Past states kept in memory: without a bound anvil writes whole states to disk, by gigabytes.
const PAST_STATES: u32 = 300;
/// Development accounts, and the ether each begins with.
const ACCOUNTS: u32 = 10;
const ACCOUNT_ETHER: u32 = 1_000_000;
/// Lines of a failed start that are told.
const TAIL_LINES: usize = 12;

/// What chain to start.
#[derive(Clone, Debug)]
pub struct AnvilPlan {
    /// Port on the loopback interface; 0 lets the system choose.
    pub port: u16,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Seconds between blocks, at least 1.
    pub block_time_s: u64,
    /// A directory of its own, made by anvil and removed with it.
    pub cache_path: PathBuf,
    /// Where its complaints go.
    pub stderr_log: Option<PathBuf>,
    /// What it begins with; `None` for an empty chain.
    pub fork: Option<ForkPoint>,
}

/// A block of another chain, to begin after.
#[derive(Clone, Debug)]
pub struct ForkPoint {
    /// Answers what the fork does not know yet. It stands on anvil's command line and in what anvil
    /// says, so that it must hold no key.
    pub url: String,
    /// Height.
    pub block: u64,
}

impl AnvilPlan {
    /// A chain whose files and complaints go to a world's folder.
    #[must_use]
    pub fn within(dir: &Path, chain_id: u64, block_time_s: u64) -> Self {
        Self {
            port: 0,
            chain_id,
            block_time_s,
            cache_path: dir.join(format!("anvil-{chain_id}")),
            stderr_log: Some(dir.join(format!("logs/anvil-{chain_id}.log"))),
            fork: None,
        }
    }
}

/// Why there is no chain.
#[derive(Debug, Error)]
pub enum AnvilError {
    /// No usable binary.
    #[error("no native anvil {}.{} or newer: not named by {ANVIL_VARIABLE}, nor in PATH, \
             ~/.foundry/bin or the cache; install Foundry or run `tools/setup.sh demo`",
            VERSION_MIN.0, VERSION_MIN.1)]
    NotFound,
    /// It cannot be started.
    #[error("cannot start anvil")]
    Start(#[from] ProcessError),
    /// It ended before it listened; the last lines it wrote.
    #[error("anvil ended before it listened: {said}")]
    Ended { said: String },
    /// It did not listen in time.
    #[error("anvil did not listen within {START_LIMIT:?}")]
    Late,
}

/// A running anvil. Dropping it ends it and blocks the thread until it has ended.
#[derive(Debug)]
pub struct AnvilProcess {
    /// For requests.
    pub http_url: String,
    /// For subscriptions; the same port.
    pub ws_url: String,
    /// Its process id.
    pub pid: u32,
    child: Child,
    cache_path: PathBuf,
}

impl AnvilProcess {
    /// Whether it has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.child.is_running()
    }

    /// Sends it a signal: tests stop and continue the chain with it.
    ///
    /// # Errors
    /// When the signal cannot be delivered.
    pub fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        self.child.signal(signal)
    }
}

impl Drop for AnvilProcess {
    fn drop(&mut self) {
        self.child.stop(Signal::SIGTERM, STOP_GRACE);
        // What remains of the cache is nobody's any more; a failure leaves litter, not harm.
        drop(fs::remove_dir_all(&self.cache_path));
    }
}

fn is_harmless(name: &std::ffi::OsStr) -> bool {
    const PASSED: [&str; 7] = ["PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "RUST_BACKTRACE"];
    PASSED.iter().any(|passed| name == *passed)
}

/// Starts an anvil and waits until it listens. Blocks the thread, `START_LIMIT` at most.
///
/// # Errors
/// When the binary cannot be started, ends at once, or does not listen in time.
pub fn start(program: &Path, plan: &AnvilPlan) -> Result<AnvilProcess, AnvilError> {
    let child = spawn(Spawn {
        args: arguments(plan),
        stdout: Output::Piped,
        stderr: plan.stderr_log.clone().map_or(Output::Null, Output::File),
        // Somebody else's program: none of our keys is its business.
        env: Some(std::env::vars_os().filter(|(name, _)| is_harmless(name)).collect()),
        ..Spawn::new(program)
    })?;
    let address = listening(&child)?;
    Ok(AnvilProcess {
        http_url: format!("http://{address}"),
        ws_url: format!("ws://{address}"),
        pid: child.pid(),
        child,
        cache_path: plan.cache_path.clone(),
    })
}

/// Finds an anvil and starts it, without blocking the runtime.
///
/// # Errors
/// As [`find`] and [`start`].
pub async fn launch(cache: Option<PathBuf>, plan: AnvilPlan) -> anyhow::Result<AnvilProcess> {
    let started = tokio::task::spawn_blocking(move || start(&find(cache.as_deref())?, &plan));
    started.await.context("waiting for anvil")?.context("starting a local chain")
}

/// The first usable anvil: the one named by [`ANVIL_VARIABLE`], else of PATH, `~/.foundry/bin`, the
/// cache. A script, such as npm's, is not usable: it would stand between us and our signals.
///
/// # Errors
/// When none is native and new enough.
pub fn find(cache: Option<&Path>) -> Result<PathBuf, AnvilError> {
    let candidates = match env::var_os(ANVIL_VARIABLE).filter(|name| !name.is_empty()) {
        Some(named) => vec![PathBuf::from(named)],
        None => places(cache),
    };
    candidates
        .into_iter()
        .find(|candidate| is_native(candidate) && is_new_enough(candidate))
        .ok_or(AnvilError::NotFound)
}

fn places(cache: Option<&Path>) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = env::split_paths(&path).map(|dir| dir.join("anvil")).collect();
    if let Some(home) = env::var_os("HOME") {
        found.push(PathBuf::from(home).join(".foundry/bin/anvil"));
    }
    if let Some(cache) = cache {
        let package = format!("tools/node_modules/@foundry-rs/anvil-{}/bin/anvil", platform());
        found.push(cache.join(package));
    }
    found
}

/// The platform as the npm packages spell it.
fn platform() -> String {
    let os = if env::consts::OS == "macos" { "darwin" } else { env::consts::OS };
    let arch = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{os}-{arch}")
}

fn is_native(program: &Path) -> bool {
    let mut start = [0; 2];
    let read = File::open(program).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && &start != b"#!"
}

fn is_new_enough(program: &Path) -> bool {
    let asked =
        Spawn { args: vec!["--version".into()], stdout: Output::Piped, ..Spawn::new(program) };
    let Ok(child) = spawn(asked) else {
        return false;
    };
    // The answer is far smaller than a pipe holds, so it may be read after the end.
    if child.wait(VERSION_LIMIT).is_none() {
        return false;
    }
    let mut said = String::new();
    let read = child.take_stdout().map(|mut stdout| stdout.read_to_string(&mut said));
    matches!(read, Some(Ok(_))) && version(&said).is_some_and(|found| found >= VERSION_MIN)
}

/// Major and minor of `anvil Version: 1.7.1`.
fn version(said: &str) -> Option<(u32, u32)> {
    let (_, rest) = said.split_once("ersion: ")?;
    let mut numbers = rest.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn arguments(plan: &AnvilPlan) -> Vec<OsString> {
    let pairs = [
        ("--host", "127.0.0.1".to_owned()),
        ("--port", plan.port.to_string()),
        ("--chain-id", plan.chain_id.to_string()),
        ("--block-time", plan.block_time_s.max(1).to_string()),
        ("--prune-history", PAST_STATES.to_string()),
        ("--accounts", ACCOUNTS.to_string()),
        ("--balance", ACCOUNT_ETHER.to_string()),
    ];
    let mut arguments: Vec<OsString> =
        pairs.into_iter().flat_map(|(name, value)| [name.into(), value.into()]).collect();
    arguments.extend(["--cache-path".into(), plan.cache_path.clone().into_os_string()]);
    if let Some(ForkPoint { url, block }) = &plan.fork {
        arguments.extend(["--fork-url".into(), OsString::from(url)]);
        arguments.extend(["--fork-block-number".into(), OsString::from(block.to_string())]);
        // The cache is kept by chain id and block, and ours is not the id of the chain read from.
        arguments.push("--no-storage-caching".into());
    }
    arguments
}

/// The address it listens on, as it says itself.
fn listening(child: &Child) -> Result<String, AnvilError> {
    let (found, address) = sync_channel(1);
    if let Some(stdout) = child.take_stdout() {
        // Ends with the pipe, and that with the child, which the caller owns.
        thread::spawn(move || drain(stdout, &found));
    }
    match address.recv_timeout(START_LIMIT) {
        Ok(Ok(address)) => Ok(address),
        Ok(Err(said)) => Err(AnvilError::Ended { said }),
        Err(RecvTimeoutError::Disconnected) => Err(AnvilError::Ended { said: String::new() }),
        Err(RecvTimeoutError::Timeout) => Err(AnvilError::Late),
    }
}

/// Tells the address once, or the last lines when there was none; reads on to the end either way.
fn drain(stdout: ChildStdout, found: &SyncSender<Result<String, String>>) {
    let mut tail = VecDeque::with_capacity(TAIL_LINES);
    let mut is_told = false;
    for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
        if is_told {
            continue;
        }
        let line = String::from_utf8_lossy(&line).trim().to_owned();
        if let Some(address) = line.strip_prefix("Listening on ") {
            is_told = found.send(Ok(address.to_owned())).is_ok();
        }
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }
    if !is_told {
        let said = Vec::from(tail).join(" ").trim().to_owned();
        // A caller that no longer waits has had its answer: too late.
        drop(found.send(Err(said)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_from_what_anvil_says() {
        assert_eq!(version("anvil Version: 1.7.1\nCommit SHA: 4072e4"), Some((1, 7)));
        assert_eq!(version("anvil Version: 1.10.0-stable"), Some((1, 10)));
        assert_eq!(version("node v20"), None);
    }

    #[test]
    fn scripts_and_missing_files_are_not_native() {
        assert!(!is_native(Path::new("/no/such/anvil")));
        assert!(is_native(Path::new("/bin/sh")));
    }

    #[test]
    fn what_is_not_anvil_is_not_new_enough() {
        assert!(!is_new_enough(Path::new("/bin/true")));
    }

    #[test]
    fn program_that_ends_at_once_is_an_error_with_its_words() {
        let plan = AnvilPlan {
            port: 0,
            chain_id: 31_337,
            block_time_s: 1,
            cache_path: env::temp_dir().join("no-such-anvil-cache"),
            stderr_log: None,
            fork: None,
        };
        let said = |plan: &AnvilPlan| start(Path::new("/bin/echo"), plan).unwrap_err().to_string();
        let error = said(&plan);
        assert!(error.contains("--chain-id 31337") && !error.contains("--fork"), "{error}");
        let fork = Some(ForkPoint { url: "http://127.0.0.1:1".to_owned(), block: 7 });
        let error = said(&AnvilPlan { fork, ..plan });
        let forks = "--fork-url http://127.0.0.1:1 --fork-block-number 7 --no-storage-caching";
        assert!(error.contains(forks), "{error}");
    }
}
