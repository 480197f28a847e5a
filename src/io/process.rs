//! Child processes that never outlive us: the local Postgres, the anvil, the agent below the demo.
//!
//! Knows how to start, signal, await and end one direct child. Must never know what the child does.
//! Invariant: every child runs in its own session, so that Ctrl-C reaches us alone and we end it in
//! our own order, and on Linux the kernel interrupts it when we die without a chance to do so
//! ourselves.

use std::ffi::OsString;
use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid, setsid};

/// What the kernel sends to a child whose parent died. Postgres takes it as "fast shutdown", anvil
/// and the agent as Ctrl-C.
const PARENT_DEATH_SIGNAL: Signal = Signal::SIGINT;
/// Spawn requests that may wait for the spawning thread before a caller blocks.
const SPAWN_QUEUE_MAX: usize = 16;
/// How often a waiting caller looks at a child.
const WAIT_STEP: Duration = Duration::from_millis(5);
/// How long a killed child may take until it can be reaped; longer means it hangs in the kernel.
const REAP_LIMIT: Duration = Duration::from_secs(2);
/// Log files of children may quote what they were asked to do: for the owner alone.
const LOG_FILE_MODE: u32 = 0o600;

/// Where an output stream of a child goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Thrown away.
    Null,
    /// To our own stream of the same name.
    Inherit,
    /// To us, by [`Child::take_stdout`] or [`Child::take_stderr`]; the caller must keep reading.
    Piped,
    /// Appended to this file, created with mode 0600 by us, so that a child with another user can
    /// write too.
    File(PathBuf),
}

/// What to start, and how.
#[derive(Clone)]
pub struct Spawn {
    /// The program: a path, or a name to be found by `PATH`.
    pub program: PathBuf,
    /// Its arguments, without the program itself.
    pub args: Vec<OsString>,
    /// `None` inherits our environment; `Some` is the whole environment of the child.
    pub env: Option<Vec<(OsString, OsString)>>,
    /// Where it starts; `None` means where we are.
    pub current_dir: Option<PathBuf>,
    /// User and group id to run as, which only root may choose; supplementary groups are dropped.
    pub user: Option<(u32, u32)>,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
}

impl Spawn {
    /// The program with our environment, directory and user, no arguments and no output.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: None,
            current_dir: None,
            user: None,
            stdout: Output::Null,
            stderr: Output::Null,
        }
    }
}

/// Arguments and environment stay out: they may hold a secret.
impl fmt::Debug for Spawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawn").field("program", &self.program).finish_non_exhaustive()
    }
}

/// Why a child could not be started or signalled.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program does not exist, may not be executed, or not with that user or directory.
    #[error("cannot start {}", .program.display())]
    Start { program: PathBuf, source: io::Error },
    /// The file for the child's output cannot be opened.
    #[error("cannot open the log file {}", .path.display())]
    Log { path: PathBuf, source: io::Error },
    /// The thread that owns all children cannot be started, or is gone.
    #[error("the thread that starts processes is not available")]
    Thread,
    /// The signal could not be delivered: another user's process.
    #[error("cannot send {signal} to process {pid}")]
    Signal { pid: u32, signal: Signal, source: nix::Error },
}

/// A running child, or one that has ended and was reaped. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    inner: Mutex<std::process::Child>,
}

/// Starts a child.
///
/// Linux ties a child to the *thread* which spawned it, so that one thread, which lives as long as
/// we do, spawns them all; a thread of a pool would take its children with it when the pool
/// shrinks.
pub fn spawn(spawn: Spawn) -> Result<Child, ProcessError> {
    let (answer, reply) = sync_channel(1);
    spawner()?.send(Request { spawn, answer }).map_err(|_| ProcessError::Thread)?;
    reply.recv().map_err(|_| ProcessError::Thread)?
}

/// Calls `look` at once and then every `step` until it answers or `limit` has been slept away.
/// Blocks the thread.
pub fn poll<T>(limit: Duration, step: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let mut slept = Duration::ZERO;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if slept >= limit {
            return None;
        }
        thread::sleep(step);
        slept = slept.saturating_add(step);
    }
}

impl Child {
    /// Process id; also its session and process group.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The read end of a [`Output::Piped`] standard output, once.
    #[must_use]
    pub fn take_stdout(&self) -> Option<ChildStdout> {
        self.lock().stdout.take()
    }

    /// The read end of a [`Output::Piped`] standard error, once.
    #[must_use]
    pub fn take_stderr(&self) -> Option<ChildStderr> {
        self.lock().stderr.take()
    }

    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.ended().is_none()
    }

    /// Sends a signal; a child that has ended already is not an error.
    pub fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        // The lock keeps the child unreaped, so that its pid cannot belong to somebody else
        // meanwhile.
        let mut inner = self.lock();
        if !matches!(inner.try_wait(), Ok(None)) {
            return Ok(());
        }
        match kill(pid_of(self.pid), signal) {
            Ok(()) | Err(nix::Error::ESRCH) => Ok(()),
            Err(source) => Err(ProcessError::Signal { pid: self.pid, signal, source }),
        }
    }

    /// Waits until it ends, at most `limit`; `None` when it still runs. Blocks the thread.
    pub fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        poll(limit, WAIT_STEP, || self.ended())
    }

    /// Asks it to end by `signal`, and kills it after `grace`. `None` when even that did not end
    /// it. Blocks.
    pub fn stop(&self, signal: Signal, grace: Duration) -> Option<ExitStatus> {
        // A signal that cannot be delivered leaves the killing below, so nothing is lost by going
        // on.
        if self.signal(signal).is_ok()
            && let Some(status) = self.wait(grace)
        {
            return Some(status);
        }
        self.kill()
    }

    /// Ends it without asking. `None` when it hangs in the kernel.
    fn kill(&self) -> Option<ExitStatus> {
        self.signal(Signal::SIGKILL).ok()?;
        self.wait(REAP_LIMIT)
    }

    /// Its status when it has ended, reaping it. A child that cannot be asked about counts as
    /// running.
    fn ended(&self) -> Option<ExitStatus> {
        self.lock().try_wait().ok().flatten()
    }

    /// The child stays consistent whatever happened to a thread that held the lock.
    fn lock(&self) -> MutexGuard<'_, std::process::Child> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.is_running() {
            self.kill();
        }
    }
}

struct Request {
    spawn: Spawn,
    answer: SyncSender<Result<Child, ProcessError>>,
}

/// The door to the one spawning thread, which starts with the first child.
fn spawner() -> Result<SyncSender<Request>, ProcessError> {
    static SPAWNER: Mutex<Option<SyncSender<Request>>> = Mutex::new(None);
    let mut slot = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(sender) = slot.as_ref() {
        return Ok(sender.clone());
    }
    let (sender, requests) = sync_channel(SPAWN_QUEUE_MAX);
    thread::Builder::new()
        .name("spawner".into())
        .spawn(move || serve(&requests))
        .map_err(|_| ProcessError::Thread)?;
    *slot = Some(sender.clone());
    Ok(sender)
}

fn serve(requests: &Receiver<Request>) {
    while let Ok(request) = requests.recv() {
        // A caller that no longer waits drops the answer, and with it the child, which kills it.
        drop(request.answer.send(start(request.spawn)));
    }
}

fn start(spawn: Spawn) -> Result<Child, ProcessError> {
    let mut command = Command::new(&spawn.program);
    command.args(&spawn.args).stdin(Stdio::null());
    command.stdout(stdio(&spawn.stdout)?).stderr(stdio(&spawn.stderr)?);
    if let Some(env) = spawn.env {
        command.env_clear().envs(env);
    }
    if let Some(dir) = &spawn.current_dir {
        command.current_dir(dir);
    }
    if let Some((uid, gid)) = spawn.user {
        command.uid(uid).gid(gid);
    }
    tie_to_us(&mut command);
    let inner =
        command.spawn().map_err(|source| ProcessError::Start { program: spawn.program, source })?;
    Ok(Child { pid: inner.id(), inner: Mutex::new(inner) })
}

fn stdio(output: &Output) -> Result<Stdio, ProcessError> {
    Ok(match output {
        Output::Null => Stdio::null(),
        Output::Inherit => Stdio::inherit(),
        Output::Piped => Stdio::piped(),
        Output::File(path) => OpenOptions::new()
            .append(true)
            .create(true)
            .mode(LOG_FILE_MODE)
            .open(path)
            .map_err(|source| ProcessError::Log { path: path.clone(), source })?
            .into(),
    })
}

/// Gives the child its own session and the parent death signal.
fn tie_to_us(command: &mut Command) {
    let parent = Pid::this();
    let prepare = move || -> io::Result<()> {
        setsid()?;
        #[cfg(target_os = "linux")]
        nix::sys::prctl::set_pdeathsig(PARENT_DEATH_SIGNAL)?;
        // Our death before the line above would have gone unnoticed.
        if getppid() == parent { Ok(()) } else { Err(nix::Error::ESRCH.into()) }
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed, since another thread
    // may have held any lock at the fork. `prepare` makes the system calls setsid, sigaction, prctl
    // and getppid, reads one captured integer, and builds errors from raw codes; it takes no lock,
    // allocates nothing, cannot panic.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(prepare);
    }
}

/// Process ids of Linux and macOS are below 2^22 and 10^5: far inside i32.
fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("a process id fits pid_t, which it came from"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    fn shell(script: &str) -> Spawn {
        Spawn { args: vec!["-c".into(), script.into()], ..Spawn::new("/bin/sh") }
    }

    fn said(request: Spawn) -> String {
        let child = spawn(Spawn { stdout: Output::Piped, ..request }).unwrap();
        let mut text = String::new();
        child.take_stdout().unwrap().read_to_string(&mut text).unwrap();
        assert!(child.wait(SOON).unwrap().success());
        text
    }

    #[test]
    fn piped_output_arrives() {
        assert_eq!(said(shell("echo here")), "here\n");
    }

    #[test]
    fn given_environment_is_the_whole_environment() {
        let env = Some(vec![("TIDE".into(), "high".into())]);
        assert_eq!(said(Spawn { env, ..shell("echo $TIDE${HOME:-none}") }), "highnone\n");
    }

    #[test]
    fn missing_program_is_an_error_that_names_it() {
        let error = spawn(Spawn::new("/no/such/program")).unwrap_err();
        assert_eq!(error.to_string(), "cannot start /no/such/program");
    }

    #[test]
    fn stop_kills_what_ignores_the_signal() {
        let request = Spawn { stdout: Output::Piped, ..shell("trap '' TERM; echo; exec sleep 60") };
        let child = spawn(request).unwrap();
        // The line says that the trap is set.
        child.take_stdout().unwrap().read_exact(&mut [0]).unwrap();
        let status = child.stop(Signal::SIGTERM, Duration::from_millis(30)).unwrap();
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
        assert!(!child.is_running());
        child.signal(Signal::SIGTERM).unwrap();
    }

    #[test]
    fn drop_ends_the_child() {
        let child = spawn(shell("exec sleep 60")).unwrap();
        let pid = pid_of(child.pid());
        drop(child);
        assert_eq!(kill(pid, None), Err(nix::Error::ESRCH));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn child_outlives_the_thread_that_asked_for_it_and_leads_its_session() {
        let child = thread::spawn(|| spawn(shell("exec sleep 60")).unwrap()).join().unwrap();
        assert!(child.wait(Duration::from_millis(50)).is_none());
        let pid = pid_of(child.pid());
        assert_eq!(nix::unistd::getsid(Some(pid)), Ok(pid));
        assert!(child.stop(Signal::SIGTERM, SOON).is_some());
    }

    #[test]
    fn file_output_is_appended_and_private() {
        use std::os::unix::fs::PermissionsExt;

        let path = std::env::temp_dir().join(format!("process-log-{}", Pid::this()));
        for _ in 0..2 {
            let child =
                spawn(Spawn { stdout: Output::File(path.clone()), ..shell("echo x") }).unwrap();
            assert!(child.wait(SOON).unwrap().success());
        }
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!((text.as_str(), mode), ("x\nx\n", 0o600));
    }
}
