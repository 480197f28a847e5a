//! One process at a time per directory, by a lock which the kernel releases however its owner ends.
//!
//! The file holds the owner's process id, for the message to the second one only: the lock decides,
//! never the text, so that a file left behind by a killed owner stops nobody.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;

/// The lock of an agent in its state directory.
const AGENT_LOCK: &str = "agent.lock";
/// Longest text taken for a process id.
const PID_TEXT_MAX: u64 = 20;
const LOCK_FILE_MODE: u32 = 0o600;
/// Others may pass through a state directory, since the database below it runs as another user when
/// we are root, but may not list it.
const STATE_DIR_MODE: u32 = 0o711;

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{} is held by {}", .path.display(), whose(.pid.as_ref()))]
    Held { path: PathBuf, pid: Option<u32> },
    /// The file or its directory cannot be made or written.
    #[error("cannot lock {}", .path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// A held lock; dropping it releases it. What is locked stays, since removing it would let two
/// owners lock two files of one name.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    #[expect(dead_code, reason = "the open file is the lock")]
    file: File,
}

impl Lock {
    /// Makes this process the only agent on a state directory, which is created when missing.
    pub fn agent(state_dir: &Path) -> Result<Self, LockError> {
        make_state_dir(state_dir)
            .map_err(|source| LockError::Io { path: state_dir.into(), source })?;
        Self::take(&state_dir.join(AGENT_LOCK))
    }

    /// Locks a file, which is created when missing; never waits.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: path.into(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(LOCK_FILE_MODE)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { path: path.into(), pid: owner(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "{}", process::id()).map_err(failed)?;
        Ok(Self { path: path.into(), file })
    }

    /// Locks a folder itself, which must be there and readable; never waits and writes nothing.
    pub fn folder(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: path.into(), source };
        let file = File::open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path: path.into(), file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held { path: path.into(), pid: None }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// The locked file or folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes a state directory unless it is there. Only the last part gets the special mode: the rest
/// of the way is not ours.
///
/// # Errors
/// Of the file system.
pub fn make_state_dir(state_dir: &Path) -> io::Result<()> {
    state_dir.parent().map_or(Ok(()), fs::create_dir_all)?;
    match DirBuilder::new().mode(STATE_DIR_MODE).create(state_dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn whose(pid: Option<&u32>) -> String {
    pid.map_or_else(|| "another process".into(), |pid| format!("process {pid}"))
}

/// Who wrote the file; the owner may be about to write it, so nothing there is no error.
fn owner(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_TEXT_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temp(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("lock-{name}-{}", process::id()))
    }

    #[test]
    fn second_agent_is_refused_with_the_pid_until_the_first_ends() {
        let dir = temp("second");
        let first = Lock::agent(&dir).unwrap();
        let refused = Lock::agent(&dir);
        let pid = process::id();
        assert!(matches!(refused, Err(LockError::Held { pid: Some(held), .. }) if held == pid));
        drop(first);
        let again = Lock::agent(&dir).unwrap();
        assert_eq!(again.path(), dir.join("agent.lock"));
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn file_left_by_a_killed_owner_stops_nobody() {
        let path = temp("stale");
        fs::write(&path, "999999999999999999999 some much longer text than a pid").unwrap();
        let lock = Lock::take(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", process::id()));
        drop(lock);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_folder_is_held_once_and_nothing_is_written_there() {
        let dir = temp("folder");
        fs::create_dir(&dir).unwrap();
        let first = Lock::folder(&dir).unwrap();
        assert!(matches!(Lock::folder(&dir), Err(LockError::Held { pid: None, .. })));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        drop(first);
        drop(Lock::folder(&dir).unwrap());
        fs::remove_dir(&dir).unwrap();
        assert!(matches!(Lock::folder(&dir), Err(LockError::Io { .. })));
    }

    #[test]
    fn impossible_place_is_named() {
        let error = Lock::take(Path::new("/no/such/dir/file")).unwrap_err();
        assert_eq!(error.to_string(), "cannot lock /no/such/dir/file");
    }
}
