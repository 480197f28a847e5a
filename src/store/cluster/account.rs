//! Who runs the database: Postgres refuses to run as root, so below root it is somebody else.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User, geteuid};

use crate::store::cluster::ClusterError;
use crate::store::cluster::place::io_at;

/// Users tried when we are root: the one a Postgres package made, then the one every system has.
const OTHER_USERS: [&str; 2] = ["postgres", "nobody"];

/// The user the database runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    /// Whether that is somebody else than us, so that we must be root.
    pub is_other: bool,
}

impl Account {
    /// Us, or when we are root the owner of the data that exists, or one of [`OTHER_USERS`].
    pub(super) fn choose(data: Option<&Path>) -> Result<Self, ClusterError> {
        let us = geteuid();
        let owner = data.map_or(Ok(us), |dir| owner_of(dir, us))?;
        let user = if owner.is_root() {
            OTHER_USERS.iter().find_map(|name| User::from_name(name).ok().flatten())
        } else {
            User::from_uid(owner).ok().flatten()
        };
        let user = user.ok_or(ClusterError::NoAccount { uid: owner.as_raw() })?;
        let is_other = user.uid != us;
        Ok(Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), is_other })
    }

    /// What a child must switch to.
    pub(super) fn switch(&self) -> Option<(u32, u32)> {
        self.is_other.then_some((self.uid, self.gid))
    }

    /// The whole environment of the database's programs: nothing of ours changes what they do.
    pub(super) fn environment(&self) -> Vec<(OsString, OsString)> {
        [("PATH", "/usr/bin:/bin"), ("LC_ALL", "C"), ("TZ", "UTC"), ("USER", self.name.as_str())]
            .map(|(name, value)| (name.into(), value.into()))
            .into()
    }

    /// Gives a file or directory to the account.
    pub(super) fn own(&self, path: &Path) -> Result<(), ClusterError> {
        if !self.is_other {
            return Ok(());
        }
        chown(path, Some(self.uid), Some(self.gid)).map_err(|source| io_at(path, source))
    }

    fn may_pass(&self, dir: &Metadata) -> bool {
        let bit = match () {
            () if dir.uid() == self.uid => 0o100,
            () if dir.gid() == self.gid => 0o010,
            () => 0o001,
        };
        dir.mode() & bit != 0
    }
}

/// Whose the data is; only root can run the server as somebody else.
fn owner_of(data: &Path, us: Uid) -> Result<Uid, ClusterError> {
    let meta = fs::metadata(data).map_err(|source| io_at(data, source))?;
    let owner = Uid::from_raw(meta.uid());
    if us.is_root() || owner == us {
        return Ok(owner);
    }
    let why = format!("belongs to user id {owner}, and we are {us}");
    Err(ClusterError::Damaged { path: data.into(), why })
}

/// The first directory on the way to `path`, itself included, which the account may not pass.
pub(super) fn closed_ancestor(path: &Path, account: &Account) -> io::Result<Option<PathBuf>> {
    if !account.is_other {
        return Ok(None);
    }
    let path = path.canonicalize()?;
    let mut way: Vec<&Path> = path.ancestors().collect();
    way.reverse();
    for dir in way {
        let meta = fs::metadata(dir)?;
        if meta.is_dir() && !account.may_pass(&meta) {
            return Ok(Some(dir.into()));
        }
    }
    Ok(None)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::store::cluster::place::tests::TempDir;

    /// Somebody who owns nothing here.
    pub(crate) fn other_account() -> Account {
        Account { name: "other".into(), uid: 65_533, gid: 65_533, is_other: true }
    }

    #[test]
    fn first_closed_directory_on_the_way_is_named() {
        let temp = TempDir::new("way");
        let closed = temp.closed("closed");
        let inner = closed.join("inner");
        fs::create_dir(&inner).unwrap();
        assert_eq!(closed_ancestor(&inner, &other_account()).unwrap(), Some(closed));
        assert_eq!(closed_ancestor(&temp.0, &other_account()).unwrap(), None);
        let ours = Account { is_other: false, ..other_account() };
        assert_eq!(closed_ancestor(&inner, &ours).unwrap(), None);
    }
}
