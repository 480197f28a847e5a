//! Numbers of a strategy that may be changed while it runs: which they are, and the text of its
//! file with some of them replaced.
//!
//! A value is replaced at its own place, so that comments and layout stay. Invariant: a new text is
//! handed out only when it differs from the old one in the asked values alone, and when all files
//! together pass the checks of a start.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};
use utoipa::ToSchema;

use crate::config::problem::{Origin, Problem, suggest};
use crate::config::reader::bare_or_quoted;
use crate::config::secret::shown;
use crate::config::strategy::Strategy;
use crate::config::values::{Shape, plain_decimal};
use crate::config::{Config, Setting, load};

/// What a difference says of a key that one of the two texts does not have.
const ABSENT: &str = "not in the file";

/// A number that may be changed while its strategy runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Editable {
    /// `table.name`, as in the file.
    key: &'static str,
    /// What it is, with its unit, in one sentence.
    what: &'static str,
}

/// One row of a kind's list.
pub(super) const fn editable(key: &'static str, what: &'static str) -> Editable {
    Editable { key, what }
}

/// A number that may be changed, and its value in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Parameter {
    /// Its key in the strategy's file.
    pub key: String,
    /// Its value in force, as it is written.
    pub value: String,
    /// decimal or integer.
    pub kind: &'static str,
    /// What it is, with its unit.
    pub what: &'static str,
}

/// One value that is not the same in two versions of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// Its key in the strategy's file.
    pub key: String,
    /// What it was.
    pub before: String,
    /// What it is then.
    pub after: String,
}

/// Why a value cannot be as asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EditProblem {
    /// The key that is wrong.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub fix: String,
}

impl EditProblem {
    /// A problem of a key.
    pub fn new(key: &str, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { key: key.to_owned(), problem: problem.into(), fix: fix.into() }
    }

    /// A problem that the checks of all files found; one that stands elsewhere says where.
    fn of(found: Problem, file: &Path) -> Self {
        let Problem { origin, key, what, help } = found;
        let problem = match &origin {
            Origin::File { file: at, .. } if at == file => what,
            _ => format!("{what} ({origin})"),
        };
        Self { key, problem, fix: help }
    }
}

/// What a change of some values comes to.
#[derive(Debug)]
pub struct Edit {
    /// Values that would be others.
    pub diff: Vec<Difference>,
    /// The files with them, or everything that speaks against it.
    pub outcome: Result<Edited, Vec<EditProblem>>,
}

/// The operator's files with some values changed, checked as at a start.
#[derive(Debug)]
pub struct Edited {
    /// The one file that changed.
    pub file: PathBuf,
    /// Its text.
    pub text: String,
    /// All files.
    pub files: Vec<(PathBuf, String)>,
    /// What they say.
    pub config: Config,
}

/// The file of a strategy, as its path was given to [`load`].
pub fn file_of<'c>(config: &'c Config, id: &str) -> Option<&'c Path> {
    match &setting(config, id, "id")?.origin {
        Origin::File { file, .. } => Some(file),
        Origin::Env { .. } | Origin::Default => None,
    }
}

/// The numbers of a strategy that may be changed while it runs; none for an unknown one.
pub fn parameters(config: &Config, id: &str) -> Vec<Parameter> {
    let all = config.strategy(id).into_iter().flat_map(Strategy::editable);
    let parameter = |editable: &Editable| {
        let Setting { value, shape, .. } = setting(config, id, editable.key)?;
        let kind = if *shape == Shape::Integer { "integer" } else { "decimal" };
        let (key, value) = (editable.key.to_owned(), value.clone());
        Some(Parameter { key, value, kind, what: editable.what })
    };
    all.filter_map(parameter).collect()
}

/// Values that are not the same in two texts of one file, by key.
pub fn differences(before: &str, after: &str) -> Vec<Difference> {
    let (before, after) = (flat(before), flat(after));
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let value_of = |values: &BTreeMap<String, String>, key: &String| {
        values.get(key).cloned().unwrap_or_else(|| ABSENT.to_owned())
    };
    let both = keys.into_iter().map(|key| Difference {
        key: key.clone(),
        before: value_of(&before, key),
        after: value_of(&after, key),
    });
    both.filter(|row| row.before != row.after).collect()
}

/// Changes values of one strategy, by key; `files` and `env` are those `config` was made of.
pub fn edit(
    files: &[(PathBuf, String)],
    config: &Config,
    id: &str,
    changes: &BTreeMap<String, String>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Edit {
    let (mut diff, mut problems, mut literals) = (Vec::new(), Vec::new(), Vec::new());
    for (key, value) in changes {
        match checked(config, id, key, value.trim()) {
            Ok(change) if change.row.before == change.row.after => {}
            Ok(Change { row, literal }) => {
                diff.push(row);
                literals.push(literal);
            }
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Edit { diff, outcome: Err(problems) };
    }
    let outcome = applied(files, config, id, (&diff, &literals), env);
    Edit { diff, outcome }
}

/// One value that may be as asked, as far as it can be told alone.
struct Change {
    row: Difference,
    /// The value in TOML.
    literal: String,
}

fn checked(config: &Config, id: &str, key: &str, value: &str) -> Result<Change, EditProblem> {
    let known = parameters(config, id);
    let is_known = known.iter().any(|parameter| parameter.key == key);
    let Some(setting) = setting(config, id, key).filter(|_| is_known) else {
        let names: Vec<&str> = known.iter().map(|parameter| parameter.key.as_str()).collect();
        let problem = "is not a number that may be changed while the strategy runs";
        return Err(EditProblem::new(key, problem, suggest(key, &names)));
    };
    if let Origin::Env { name } = &setting.origin {
        let problem = format!("is overridden by the environment variable {name}");
        let fix = "change it there, or unset it, and start again";
        return Err(EditProblem::new(key, problem, fix));
    }
    let (after, literal) = match setting.shape {
        Shape::Integer => {
            let number = value.parse::<i128>().map_err(|_| {
                let problem = format!("{} is not a whole number", shown(value));
                EditProblem::new(key, problem, format!("digits only, as in {}", setting.value))
            })?;
            (number.to_string(), number.to_string())
        }
        Shape::Text | Shape::Boolean => {
            if plain_decimal(value).is_none() {
                let problem = format!("{} is not a plain decimal number", shown(value));
                let fix = format!("digits and one point only, as in {}", setting.value);
                return Err(EditProblem::new(key, problem, fix));
            }
            (value.to_owned(), format!("\"{value}\""))
        }
    };
    let row = Difference { key: key.to_owned(), before: setting.value.clone(), after };
    Ok(Change { row, literal })
}

/// The files with the rows' values in place, or what the checks of all files say against it.
fn applied(
    files: &[(PathBuf, String)],
    config: &Config,
    id: &str,
    (rows, literals): (&[Difference], &[String]),
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Edited, Vec<EditProblem>> {
    let file = file_of(config, id);
    let found = file.and_then(|file| files.iter().find(|(path, _)| path == file));
    let Some((file, before)) = found else {
        let fix = "name one of the strategies that run";
        return Err(vec![EditProblem::new("id", format!("{id:?} has no file"), fix)]);
    };
    let mut text = before.clone();
    let mut expected = flat(before);
    for (row, literal) in rows.iter().zip(literals) {
        expected.insert(row.key.clone(), row.after.clone());
        text = replaced(&text, &row.key, literal).ok_or_else(|| vec![not_placed(&row.key)])?;
    }
    if flat(&text) != expected {
        return Err(rows.iter().map(|row| not_placed(&row.key)).collect());
    }
    let mut files = files.to_vec();
    let file = file.clone();
    for (_, old) in files.iter_mut().filter(|(path, _)| *path == file) {
        old.clone_from(&text);
    }
    match load(&files, env) {
        Ok(config) => Ok(Edited { file, text, files, config }),
        Err(found) => {
            Err(found.into_iter().map(|problem| EditProblem::of(problem, &file)).collect())
        }
    }
}

fn not_placed(key: &str) -> EditProblem {
    let problem = "cannot be replaced in the file without touching the rest of it";
    EditProblem::new(key, problem, "write it on a line of its own below its [table], by hand")
}

fn setting<'c>(config: &'c Config, id: &str, key: &str) -> Option<&'c Setting> {
    config.settings.get(&format!("strategies.{id}.{key}"))
}

/// The text with one value exchanged, or added behind the last one of its table.
fn replaced(text: &str, key: &str, literal: &str) -> Option<String> {
    let root = DeTable::parse(text).ok()?;
    let (table, name) = key.split_once('.')?;
    let table = root.get_ref().get(table)?;
    let values = table.get_ref().as_table()?;
    let (place, written) = match values.get(name) {
        Some(old) => (old.span(), literal.to_owned()),
        None => {
            let plain = values.values().filter(|value| value.get_ref().as_table().is_none());
            let last = plain.map(|value| value.span().end).max().unwrap_or(table.span().end);
            if text.get(table.span())?.starts_with('{') {
                (last..last, format!(", {name} = {literal}"))
            } else {
                let rest = text.get(last..)?;
                let end = last + rest.find('\n').unwrap_or(rest.len());
                (end..end, format!("\n{name} = {literal}"))
            }
        }
    };
    let (before, after) = (text.get(..place.start)?, text.get(place.end..)?);
    Some(format!("{before}{written}{after}"))
}

/// Every value of a text by its dotted key; nothing of a text that is no TOML.
fn flat(text: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    if let Ok(root) = DeTable::parse(text) {
        flatten(text, root.get_ref(), "", &mut values);
    }
    values
}

fn flatten(text: &str, table: &DeTable<'_>, path: &str, values: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let name = bare_or_quoted(name.get_ref());
        let key = if path.is_empty() { name } else { format!("{path}.{name}") };
        match value.get_ref() {
            DeValue::Table(inner) => flatten(text, inner, &key, values),
            DeValue::String(word) => drop(values.insert(key, word.to_string())),
            _ => {
                let written = text.get(value.span()).unwrap_or_default();
                values.insert(key, written.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests;
