//! In which directories a cluster lives.
//!
//! The user who runs the database must be able to pass every directory above. A state directory
//! below a closed one (a checkout in `/root`, a `mktemp -d`) cannot hold root's cluster then: its
//! home is below [`ROOT_BASE`] instead, and a file in the state directory says where. That home has
//! a random name, so that a state directory removed and made again never meets its old database.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use sha2::{Digest, Sha256};

use crate::store::cluster::account::{Account, closed_ancestor};
use crate::store::cluster::{ClusterError, Durability};

/// Home of the clusters of root whose state directories the database's user cannot reach, and of
/// program copies.
pub(super) const ROOT_BASE: &str = "/var/lib/tidekeeper";
/// Names the home elsewhere, inside the state directory's own.
const ELSEWHERE_FILE: &str = "elsewhere";
/// Names the state directory of a throwaway home elsewhere, so that it can be swept once that is
/// gone.
const THROWAWAY_FILE: &str = "throwaway";
/// May be passed but not listed by the database's user.
const HOME_MODE: u32 = 0o711;
const BASE_MODE: u32 = 0o755;
const PRIVATE_DIR_MODE: u32 = 0o700;
const SECRET_FILE_MODE: u32 = 0o600;
/// Longest path of a socket: `sun_path` less its final zero.
const SOCKET_PATH_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
/// Longest name which Postgres gives a file in its socket directory.
const SOCKET_NAME: &str = ".s.PGSQL.5432";

/// The directories of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Home {
    pub dir: PathBuf,
    pub account: Account,
}

impl Home {
    /// The home of the cluster of a state directory's own part, which must be locked.
    pub(super) fn find(
        near: PathBuf,
        base: &Path,
        durability: Durability,
    ) -> Result<Self, ClusterError> {
        if near.join("data").exists() {
            let account = Account::choose(Some(&near.join("data")))?;
            return Self { dir: near, account }.reachable();
        }
        if let Some(dir) = elsewhere(&near)? {
            return Self::at(dir, base);
        }
        let home = Self { account: Account::choose(None)?, dir: near };
        if home.closed()?.is_none() {
            return Ok(home);
        }
        home.moved(base, durability)
    }

    /// A new home below `base`, named in the old one before it exists, so that no sweep takes it.
    fn moved(self, base: &Path, durability: Durability) -> Result<Self, ClusterError> {
        let dir = base.join(hex::encode(rand::random::<[u8; 8]>()));
        write_secret(&self.dir.join(ELSEWHERE_FILE), dir.as_os_str().as_encoded_bytes())?;
        let home = Self::at(dir, base)?;
        if durability == Durability::Throwaway {
            let near = self.dir.as_os_str().as_encoded_bytes();
            write_secret(&home.dir.join(THROWAWAY_FILE), near)?;
        }
        Ok(home)
    }

    /// The home elsewhere, made when missing.
    fn at(dir: PathBuf, base: &Path) -> Result<Self, ClusterError> {
        make_dir(base, BASE_MODE)?;
        make_dir(&dir, HOME_MODE)?;
        let data = dir.join("data");
        let account = Account::choose(data.exists().then_some(data.as_path()))?;
        Self { dir, account }.reachable()
    }

    fn reachable(self) -> Result<Self, ClusterError> {
        match self.closed()? {
            Some(dir) => Err(ClusterError::Closed { dir, user: self.account.name }),
            None => Ok(self),
        }
    }

    fn closed(&self) -> Result<Option<PathBuf>, ClusterError> {
        closed_ancestor(&self.dir, &self.account).map_err(|source| io_at(&self.dir, source))
    }

    /// The data directory; it exists only when its cluster is whole.
    pub(super) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Where a cluster is made, before it gets the name of the data directory.
    pub(super) fn scrap(&self) -> PathBuf {
        self.dir.join("data.scrap")
    }

    /// The password of the database's only user, for us alone.
    pub(super) fn password_file(&self) -> PathBuf {
        self.dir.join("password")
    }

    /// What Postgres says.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("postgres.log")
    }

    /// An empty directory of the account with nothing in it that existed before.
    pub(super) fn make_scrap(&self) -> Result<PathBuf, ClusterError> {
        let dir = self.scrap();
        make_dir(&dir, PRIVATE_DIR_MODE)?;
        self.account.own(&dir)?;
        Ok(dir)
    }

    /// A copy of the password which initdb, run by the account, can read.
    pub(super) fn lend_password(&self, password: &str) -> Result<PathBuf, ClusterError> {
        let path = self.dir.join("password.lent");
        write_secret(&path, password.as_bytes())?;
        self.account.own(&path)?;
        Ok(path)
    }

    /// The directory of the socket, private to the account: in the home, or where the path is short
    /// enough.
    pub(super) fn socket_dir(
        &self,
        base: &Path,
        runtime: Option<&Path>,
    ) -> Result<PathBuf, ClusterError> {
        let inside = self.dir.join("run");
        let dir = if fits_socket(&inside) { inside } else { self.short_dir(base, runtime) };
        if !fits_socket(&dir) {
            let why = format!("is too long for a socket, which has {SOCKET_PATH_MAX} bytes");
            return Err(ClusterError::Damaged { path: dir, why });
        }
        match DirBuilder::new().mode(PRIVATE_DIR_MODE).create(&dir) {
            Ok(()) => self.account.own(&dir)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.check_own(&dir)?,
            Err(source) => return Err(io_at(&dir, source)),
        }
        Ok(dir)
    }

    fn short_dir(&self, base: &Path, runtime: Option<&Path>) -> PathBuf {
        let digest = hex::encode(Sha256::digest(self.dir.as_os_str().as_encoded_bytes()));
        let name = format!("tidekeeper-{}-{}", self.account.uid, &digest[..16]);
        match runtime {
            _ if self.account.is_other => base.join(name),
            Some(runtime) if runtime.is_dir() => runtime.join(name),
            _ => std::env::temp_dir().join(name),
        }
    }

    /// A directory in a public place may have been put there by somebody else to read our traffic.
    fn check_own(&self, dir: &Path) -> Result<(), ClusterError> {
        let meta = fs::symlink_metadata(dir).map_err(|source| io_at(dir, source))?;
        let is_private = meta.is_dir() && meta.mode() & 0o077 == 0;
        if is_private && meta.uid() == self.account.uid {
            return Ok(());
        }
        // Root made it, and was killed before giving it away.
        if is_private && meta.uid() == geteuid().as_raw() {
            return self.account.own(dir);
        }
        let why = format!("must be a directory of user {} with mode 0700", self.account.name);
        Err(ClusterError::Damaged { path: dir.into(), why })
    }
}

/// Removes throwaway homes elsewhere whose state directory is gone or has another home, and which
/// nobody uses.
pub(super) fn sweep(base: &Path, is_used: impl Fn(&Path) -> bool) {
    // Space won back late is no loss, so nothing here is an error.
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let home = entry.path();
        let Ok(near) = read_path(&home.join(THROWAWAY_FILE)) else {
            continue;
        };
        let still = elsewhere(&near).ok().flatten();
        if still.as_deref() != Some(&home) && !is_used(&home) {
            drop(fs::remove_dir_all(&home));
        }
    }
}

/// Writes a file for us alone, whole or not at all.
pub(super) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), ClusterError> {
    let partial = path.with_extension("partial");
    let write = || -> io::Result<()> {
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create_new(true).mode(SECRET_FILE_MODE).open(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)?;
        path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    };
    write().map_err(|source| io_at(path, source))
}

/// The state directory's own part for the database, as a full path; both are made when missing.
pub(super) fn near_dir(state_dir: &Path) -> Result<PathBuf, ClusterError> {
    let near = state_dir.join("pg");
    if let Some(parent) = state_dir.parent() {
        fs::create_dir_all(parent).map_err(|source| io_at(parent, source))?;
    }
    make_dir(state_dir, HOME_MODE)?;
    make_dir(&near, HOME_MODE)?;
    near.canonicalize().map_err(|source| io_at(&near, source))
}

/// The home named in the state directory's own part.
fn elsewhere(near: &Path) -> Result<Option<PathBuf>, ClusterError> {
    let file = near.join(ELSEWHERE_FILE);
    match read_path(&file) {
        Ok(dir) if dir.is_absolute() => Ok(Some(dir)),
        Ok(_) => {
            Err(ClusterError::Damaged { path: file, why: "must name an absolute path".into() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io_at(&file, source)),
    }
}

fn read_path(file: &Path) -> io::Result<PathBuf> {
    let text = fs::read_to_string(file)?;
    Ok(PathBuf::from(text.trim_end_matches('\n')))
}

/// Makes a directory with exactly this mode whatever the umask; one that exists stays as it is.
fn make_dir(dir: &Path, mode: u32) -> Result<(), ClusterError> {
    let make = || match fs::create_dir(dir) {
        Ok(()) => fs::set_permissions(dir, fs::Permissions::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    };
    make().map_err(|source| io_at(dir, source))
}

fn fits_socket(dir: &Path) -> bool {
    dir.join(SOCKET_NAME).as_os_str().len() <= SOCKET_PATH_MAX
}

pub(super) fn io_at(path: &Path, source: io::Error) -> ClusterError {
    ClusterError::Io { path: path.into(), source }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::store::cluster::account::tests::other_account;

    /// A directory everybody may pass, removed at the end of the test.
    pub(crate) struct TempDir(pub PathBuf);

    impl TempDir {
        pub(crate) fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("pg-{name}-{}", std::process::id()));
            make_dir(&dir, BASE_MODE).unwrap();
            Self(dir.canonicalize().unwrap())
        }

        /// A directory in it for us alone.
        pub(crate) fn closed(&self, name: &str) -> PathBuf {
            let dir = self.0.join(name);
            make_dir(&dir, PRIVATE_DIR_MODE).unwrap();
            dir
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn home(dir: impl Into<PathBuf>, account: Account) -> Home {
        Home { dir: dir.into(), account }
    }

    #[test]
    fn closed_state_directory_has_its_home_elsewhere_for_root_and_keeps_it() {
        let temp = TempDir::new("elsewhere");
        let (state, base) = (temp.closed("closed").join("state"), temp.0.join("base"));
        let find = || Home::find(near_dir(&state).unwrap(), &base, Durability::Throwaway).unwrap();
        let first = find();
        assert_eq!(find(), first);
        assert_eq!(first.dir.starts_with(&base), geteuid().is_root());
        sweep(&base, |_| false);
        assert!(first.dir.exists());
        fs::remove_dir_all(&state).unwrap();
        sweep(&base, |_| true);
        assert_eq!(first.dir.exists(), geteuid().is_root());
        sweep(&base, |_| false);
        assert!(!first.dir.exists());
    }

    #[test]
    fn existing_data_that_became_unreachable_is_refused_not_replaced() {
        let temp = TempDir::new("became");
        let state = temp.0.join("state");
        let base = temp.0.join("base");
        let first = Home::find(near_dir(&state).unwrap(), &base, Durability::Durable).unwrap();
        first.account.own(&first.make_scrap().unwrap()).unwrap();
        fs::rename(first.scrap(), first.data()).unwrap();
        fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
        let again = Home::find(near_dir(&state).unwrap(), &base, Durability::Durable);
        if geteuid().is_root() {
            let error = again.unwrap_err().to_string();
            assert!(error.contains(&format!("chmod o+x {}", state.display())), "{error}");
        } else {
            assert_eq!(again.unwrap(), first);
        }
    }

    #[test]
    fn long_path_puts_the_socket_where_it_fits() {
        let temp = TempDir::new("long");
        let account = Account { is_other: false, uid: geteuid().as_raw(), ..other_account() };
        let long = home(temp.0.join("x".repeat(100)), account.clone());
        let dir = long.socket_dir(Path::new("/none"), Some(&temp.0)).unwrap();
        assert!(dir.starts_with(&temp.0) && fits_socket(&dir));
        let short = home(temp.0.clone(), account);
        assert_eq!(short.socket_dir(Path::new("/none"), None).unwrap(), temp.0.join("run"));
    }

    #[test]
    fn socket_directory_that_others_may_enter_is_refused() {
        let temp = TempDir::new("open");
        make_dir(&temp.0.join("run"), BASE_MODE).unwrap();
        let account = Account { is_other: false, uid: geteuid().as_raw(), ..other_account() };
        assert!(home(temp.0.clone(), account).socket_dir(Path::new("/none"), None).is_err());
    }

    #[test]
    fn secret_is_for_us_alone_and_replaced_whole() {
        let temp = TempDir::new("secret");
        let path = temp.0.join("password");
        for text in ["first", "next"] {
            write_secret(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, SECRET_FILE_MODE);
    }
}
