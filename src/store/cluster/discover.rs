//! Where the Postgres programs are: the operator's choice, the system's, then those of the npm
//! package.
//!
//! Only a directory which holds both `postgres` and `initdb`, after following links, is taken: they
//! must be of one version. What was looked at and why it was not taken is kept, for the message
//! when nothing fits.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::io::process::{Output, Spawn, spawn};
use crate::store::cluster::ClusterError;
use crate::store::cluster::account::{Account, closed_ancestor};
use crate::store::cluster::bundle;

/// Names the directory of the Postgres programs; then no other place is looked at.
pub(super) const CHOICE_VARIABLE: &str = "TIDEKEEPER_PG_BIN";
/// Oldest major version whose SQL we speak.
const MAJOR_MIN: u32 = 15;
const VERSION_LIMIT: Duration = Duration::from_secs(10);
/// Where packages put one directory per version: parent, and what the
/// name has before the version.
const SYSTEM_PLACES: [(&str, &str); 5] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
    ("/Applications/Postgres.app/Contents/Versions", ""),
];

/// The programs which will be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    /// Directory of `postgres` and `initdb`, links resolved.
    pub dir: PathBuf,
    pub version: Version,
}

/// A Postgres version as its programs tell it: `15.18`, `18beta1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub major: u32,
    pub text: String,
}

/// What decides where to look.
#[derive(Debug, Clone)]
pub(super) struct Search<'a> {
    /// The operator's choice.
    pub choice: Option<&'a Path>,
    /// The value of `PATH`.
    pub path: Option<&'a OsStr>,
    /// The project's cache, which may hold the npm package.
    pub cache: Option<&'a Path>,
    /// Where the npm package is copied to when `account` cannot reach it.
    pub base: &'a Path,
    /// Who will run the programs.
    pub account: &'a Account,
    /// Data directory that exists already and its major version, which the programs must have.
    pub data: Option<(&'a Path, u32)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Choice(PathBuf),
    System(PathBuf),
    Bundle(PathBuf),
    /// A place which holds no directory to look at, kept for the message.
    Empty(String),
}

/// The first programs in order that run as `account` and fit the data.
pub(super) fn discover(search: &Search<'_>) -> Result<Binaries, ClusterError> {
    let look = |place: &Place| match place {
        Place::Choice(dir) | Place::System(dir) => look_at(dir, search.account),
        Place::Empty(_) => Err("nothing there".into()),
        Place::Bundle(native) => bundle::reachable(native, search.base, search.account)
            .and_then(|native| look_at(&native.join("bin"), search.account)),
    };
    pick(&places(search), search.data, look)
}

fn pick(
    places: &[Place],
    data: Option<(&Path, u32)>,
    look: impl Fn(&Place) -> Result<Binaries, String>,
) -> Result<Binaries, ClusterError> {
    let mut tried = Vec::new();
    let mut others = Vec::new();
    for place in places {
        match look(place) {
            Ok(found) if found.version.major < MAJOR_MIN => {
                tried.push(format!("{place}: {} is older than {MAJOR_MIN}", found.version.text));
            }
            Ok(found) if data.is_some_and(|(_, major)| major != found.version.major) => {
                others.push(format!("{} in {}", found.version.text, found.dir.display()));
            }
            Ok(found) => return Ok(found),
            Err(why) => tried.push(format!("{place}: {why}")),
        }
    }
    match data {
        Some((dir, major)) if !others.is_empty() => {
            Err(ClusterError::Major { data_dir: dir.into(), major, found: others.join(", ") })
        }
        _ => Err(ClusterError::NoBinaries { tried: tried.join("; ") }),
    }
}

fn places(search: &Search<'_>) -> Vec<Place> {
    if let Some(dir) = search.choice {
        return vec![Place::Choice(dir.into())];
    }
    let in_path = std::env::split_paths(search.path.unwrap_or_default())
        .filter(|dir| dir.is_absolute() && dir.join("postgres").exists());
    let mut places = or_empty(in_path.collect(), || "PATH".into());
    for (parent, prefix) in SYSTEM_PLACES {
        let found = versions_in(parent, prefix);
        places.extend(or_empty(found, || format!("{parent}/{prefix}*/bin")));
    }
    if let (Some(cache), Some(platform)) = (search.cache, bundle::platform()) {
        places.push(Place::Bundle(bundle::native_dir(cache, platform)));
    }
    places
}

fn or_empty(dirs: Vec<PathBuf>, name: impl FnOnce() -> String) -> Vec<Place> {
    if dirs.is_empty() {
        return vec![Place::Empty(name())];
    }
    dirs.into_iter().map(Place::System).collect()
}

/// `<parent>/<prefix><version>/bin`, newest first.
fn versions_in(parent: &str, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let major = leading_number(name.to_str()?.strip_prefix(prefix)?)?;
            Some((major, entry.path().join("bin")))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, dir)| dir).collect()
}

/// Follows `postgres` to where it really is, and asks it for its version as the account which will
/// run it.
fn look_at(dir: &Path, account: &Account) -> Result<Binaries, String> {
    let program = dir.join("postgres");
    let program = program.canonicalize().map_err(|error| format!("postgres: {error}"))?;
    let real = program.parent().ok_or("postgres has no directory")?;
    if let Some(closed) = closed_ancestor(real, account).map_err(|error| error.to_string())? {
        return Err(format!("user {} may not pass {}", account.name, closed.display()));
    }
    if !real.join("initdb").is_file() {
        return Err(format!("no initdb in {}", real.display()));
    }
    let told = ask_version(&program, account)?;
    let version = Version::parse(&told).ok_or_else(|| format!("unknown version {told:?}"))?;
    Ok(Binaries { dir: real.into(), version })
}

fn ask_version(program: &Path, account: &Account) -> Result<String, String> {
    let request = Spawn {
        args: vec![OsString::from("--version")],
        env: Some(account.environment()),
        current_dir: Some("/".into()),
        user: account.switch(),
        stdout: Output::Piped,
        ..Spawn::new(program)
    };
    let child = spawn(request).map_err(|error| with_source(&error))?;
    let status = child.wait(VERSION_LIMIT).ok_or("--version does not answer")?;
    let mut told = String::new();
    if let Some(mut stdout) = child.take_stdout() {
        stdout.read_to_string(&mut told).map_err(|error| error.to_string())?;
    }
    if status.success() { Ok(told.trim().into()) } else { Err(format!("--version: {status}")) }
}

fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

impl Version {
    /// Reads `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
    fn parse(told: &str) -> Option<Self> {
        let text = told.strip_prefix("postgres (PostgreSQL) ")?.split_whitespace().next()?;
        Some(Self { major: leading_number(text)?, text: text.into() })
    }
}

/// The number a text begins with.
pub(super) fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Choice(dir) => write!(f, "{CHOICE_VARIABLE}={}", dir.display()),
            Self::Empty(name) => f.write_str(name),
            Self::System(dir) | Self::Bundle(dir) => write!(f, "{}", dir.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version { major: leading_number(text).unwrap(), text: text.into() }
    }

    /// Looks through places whose directory name is the version they would tell.
    fn pick_among(names: &[&str], data: Option<u32>) -> Result<String, ClusterError> {
        let places: Vec<Place> =
            names.iter().map(|name| Place::System(PathBuf::from("/pg").join(name))).collect();
        let look = |place: &Place| match place {
            Place::System(dir) => match dir.file_name().and_then(OsStr::to_str) {
                Some("none") | None => Err("postgres: no such file".to_string()),
                Some(name) => Ok(Binaries { dir: dir.clone(), version: version(name) }),
            },
            _ => Err("other place".into()),
        };
        pick(&places, data.map(|major| (Path::new("/state/data"), major)), look)
            .map(|found| found.version.text)
    }

    #[test]
    fn first_fitting_place_wins() {
        assert_eq!(pick_among(&["none", "14.9", "15.2", "18.4"], None).unwrap(), "15.2");
    }

    #[test]
    fn existing_data_asks_for_its_own_major_version() {
        assert_eq!(pick_among(&["18.4", "15.2"], Some(15)).unwrap(), "15.2");
    }

    #[test]
    fn other_major_version_than_the_data_is_refused_with_the_choices() {
        let error = pick_among(&["18.4", "none"], Some(15)).unwrap_err().to_string();
        for part in ["/state/data", "15", "18.4 in /pg/18.4", CHOICE_VARIABLE] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn failure_lists_every_place_tried_and_the_fix() {
        let error = pick_among(&["none", "14.9"], None).unwrap_err().to_string();
        let parts = ["/pg/none: postgres: no such file", "/pg/14.9: 14.9 is older", "apt-get"];
        for part in parts {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn places_without_anything_are_named_too() {
        let account = Account { name: "a".into(), uid: 1, gid: 1, is_other: false };
        let search = Search {
            choice: None,
            path: Some(OsStr::new("/none/bin:relative")),
            cache: Some(Path::new("/cache")),
            base: Path::new("/base"),
            account: &account,
            data: None,
        };
        let places = places(&search);
        assert_eq!(places[0], Place::Empty("PATH".into()));
        assert!(places.len() >= SYSTEM_PLACES.len());
    }

    #[test]
    fn choice_of_the_operator_is_the_only_place() {
        let account = Account { name: "a".into(), uid: 1, gid: 1, is_other: false };
        let search = Search {
            choice: Some(Path::new("/opt/pg/bin")),
            path: Some(OsStr::new("/usr/bin")),
            cache: Some(Path::new("/cache")),
            base: Path::new("/base"),
            account: &account,
            data: None,
        };
        assert_eq!(places(&search), [Place::Choice("/opt/pg/bin".into())]);
        let error = discover(&search).unwrap_err().to_string();
        assert!(error.contains("TIDEKEEPER_PG_BIN=/opt/pg/bin: postgres: No such file"), "{error}");
    }

    #[test]
    fn versions_are_read_as_programs_tell_them() {
        let told = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)";
        assert_eq!(Version::parse(told), Some(version("15.18")));
        assert_eq!(Version::parse("postgres (PostgreSQL) 19devel"), Some(version("19devel")));
        assert_eq!(Version::parse("psql (PostgreSQL) 15.18"), None);
        assert_eq!(Version::parse(""), None);
    }
}
