//! What is wrong with a configuration, where it stands, and how to mend it.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Written in a file; line and column count from 1, columns in characters.
    File {
        /// Path as it was given to [`load`](super::load).
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// Taken from an environment variable that overrides the files.
    Env {
        /// Name of the variable.
        name: String,
    },
    /// Written nowhere: the documented default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line, column } => {
                write!(f, "{}:{line}:{column}", file.display())
            }
            Self::Env { name } => write!(f, "environment {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One thing an operator must mend before the keeper starts.
///
/// `Display` reads like a compiler error: `file:line:column: key: what; help: how`. Neither `what`
/// nor `help` ever repeats a value that looks like a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{origin}: {key}: {what}; help: {help}")]
pub struct Problem {
    /// Where the wrong text stands, or where the missing text belongs.
    pub origin: Origin,
    /// Dotted key inside the file; the full key when the value came from the environment.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub help: String,
}

/// What a value's reader found wrong, before the place is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) what: String,
    pub(super) help: String,
}

impl Fault {
    pub(super) fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into() }
    }
}

/// Names closer than this (Jaro-Winkler similarity, 0 to 1) are offered as a suggestion.
const SIMILARITY_MIN: f64 = 0.80;

/// The known name most like `wrong`, when one is near enough to be meant.
pub(super) fn nearest<'n>(wrong: &str, known: &[&'n str]) -> Option<&'n str> {
    let wrong = wrong.to_lowercase();
    let score = |name: &str| strsim::jaro_winkler(&wrong, &name.to_lowercase());
    known
        .iter()
        .map(|name| (score(name), *name))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// A help text for an unknown name: the nearest known one, else all of them.
pub(crate) fn suggest(wrong: &str, known: &[&str]) -> String {
    match nearest(wrong, known) {
        Some(name) => format!("did you mean `{name}`?"),
        None if known.is_empty() => {
            "nothing is known here: remove it or define it first".to_owned()
        }
        None => format!("known here: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin, Problem, nearest, suggest};

    #[test]
    fn problem_reads_like_a_compiler_error() {
        let problem = Problem {
            origin: Origin::File { file: "chains/base.toml".into(), line: 12, column: 5 },
            key: "gas.bump_pct".into(),
            what: "is missing".into(),
            help: "add it".into(),
        };
        assert_eq!(
            problem.to_string(),
            "chains/base.toml:12:5: gas.bump_pct: is missing; help: add it"
        );
    }

    #[test]
    fn nearest_needs_likeness() {
        assert_eq!(
            nearest("net_dela_usd", &["gross_exposure_usd", "net_delta_usd"]),
            Some("net_delta_usd")
        );
        assert_eq!(nearest("colour", &["listen"]), None);
        assert_eq!(suggest("colour", &["listen"]), "known here: listen");
    }
}
