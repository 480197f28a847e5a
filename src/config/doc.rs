//! One parsed file and the list of everything found so far, over all files.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeTable;

use crate::config::Setting;
use crate::config::problem::{Fault, Origin, Problem};

/// Largest file that is read; the longest sensible one is a few kilobytes.
const FILE_BYTES_MAX: usize = 1 << 17;

/// Looks up an environment variable.
type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Everything found so far, over all files.
pub(super) struct Report<'a> {
    pub(super) env: Env<'a>,
    pub(super) problems: Vec<Problem>,
    pub(super) settings: BTreeMap<String, Setting>,
    /// Overriding variable → the key that answers to it.
    pub(super) overrides: BTreeMap<String, String>,
}

impl Report<'_> {
    /// Records a problem; a key whose value stands in no file is told with its scope.
    pub(super) fn tell(&mut self, origin: Origin, scope: &str, key: &str, fault: Fault) {
        let Fault { what, help } = fault;
        let key = match origin {
            Origin::File { .. } => key.to_owned(),
            Origin::Env { .. } | Origin::Default => format!("{scope}.{key}"),
        };
        self.problems.push(Problem { origin, key, what, help });
    }
}

/// One parsed file.
pub(super) struct Doc<'a> {
    pub(super) file: &'a Path,
    text: &'a str,
    pub(super) root: Spanned<DeTable<'a>>,
    /// First line with a syntax error: what follows it, and what is absent, is not told.
    broken_from: Option<usize>,
}

impl<'a> Doc<'a> {
    /// Parses with recovery; syntax errors go to `report`.
    pub(super) fn parse(file: &'a Path, text: &'a str, report: &RefCell<Report<'_>>) -> Self {
        let is_short = text.len() <= FILE_BYTES_MAX;
        let (root, errors) = DeTable::parse_recoverable(if is_short { text } else { "" });
        let mut doc = Self { file, text, root, broken_from: (!is_short).then_some(0) };
        let mut report = report.borrow_mut();
        if !is_short {
            let what = format!("is {} bytes long, more than {FILE_BYTES_MAX}", text.len());
            report.tell(doc.origin(0), "", "(file)", Fault::new(what, "is this the right file?"));
        }
        for error in errors {
            let place = error.span().map_or(0, |span| span.start);
            let (line, _) = doc.line_column(place);
            doc.broken_from = Some(doc.broken_from.map_or(line, |first| first.min(line)));
            let help = "mend the TOML here; strings stand in double quotes, tables in [brackets]";
            let fault = Fault::new(error.message(), help);
            report.tell(doc.origin(place), "", "(syntax)", fault);
        }
        drop(report);
        doc
    }

    /// Whether all of the file could be parsed, so that a name not found in it does not exist.
    pub(super) fn is_whole(&self) -> bool {
        self.broken_from.is_none()
    }

    /// A string at the top of the file, read without recording it.
    pub(super) fn peek(&self, key: &str) -> Option<&str> {
        self.root.get_ref().get(key).and_then(|value| value.get_ref().as_str())
    }

    /// Where a key at the top of the file stands; the file's beginning when it is absent.
    pub(super) fn origin_of(&self, key: &str) -> Origin {
        self.origin(self.root.get_ref().get(key).map_or(0, |value| value.span().start))
    }

    /// The file's name without its ending.
    pub(super) fn stem(&self) -> String {
        self.file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
    }

    pub(super) fn origin(&self, place: usize) -> Origin {
        let (line, column) = self.line_column(place);
        Origin::File { file: PathBuf::from(self.file), line, column }
    }

    fn line_column(&self, place: usize) -> (usize, usize) {
        let before = self.text.get(..place).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        (line, column)
    }

    /// Whether a problem there is the operator's and not an echo of a syntax error.
    pub(super) fn tells(&self, origin: &Origin) -> bool {
        match (self.broken_from, origin) {
            (Some(broken), Origin::File { line, .. }) => *line < broken,
            _ => true,
        }
    }
}
