//! The operator's own history: recorded market data, checked row by row and kept as Parquet.
//!
//! Knows files, columns and what a recording promises. Must never know a run or an engine.
//! Invariant: a source is in the history whole or not at all, every row of it was checked, and its
//! manifest says where it came from.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::io::lock::LockError;

/// Parquet files of one sheet, written and read.
pub mod columns;
pub mod forms;
mod intake;
/// Text files line by line, packed or not.
pub mod lines;
mod recording;
pub mod sheet;
pub mod shelf;
mod watch;

/// Why something did not come into the history, or out of it.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// Of the file system.
    #[error("reading or writing {}", .path.display())]
    File { path: PathBuf, source: io::Error },
    /// A row is not what files of its form promise.
    #[error("{}, {at}, {fault}", .path.display())]
    Row { path: PathBuf, at: At, fault: Fault },
    /// A whole file cannot be taken.
    #[error("{}: {what}", .path.display())]
    Refused { path: PathBuf, what: String },
    /// Another process imports.
    #[error("the history of this state folder is being written")]
    Busy(#[from] LockError),
    /// Nothing was imported under this name.
    #[error("the history has no source {id}: see data list")]
    Unknown { id: String },
}

impl HistoryError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { path: path.to_owned(), source }
    }

    pub(crate) fn refused(path: &Path, what: impl Into<String>) -> Self {
        Self::Refused { path: path.to_owned(), what: what.into() }
    }
}

/// Where in a file a row stands, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Of a text.
    Line(u64),
    /// Of a Parquet file.
    Row(u64),
    /// A Parquet file says at its end which columns it has.
    Schema,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Row(number) => write!(f, "row {number}"),
            Self::Schema => f.write_str("its schema"),
        }
    }
}

/// What is wrong with a row, and in which column.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("column {column}: {what}")]
pub struct Fault {
    /// As the file calls it.
    pub column: String,
    /// What is wrong, and the fix where there is one.
    pub what: String,
}

impl Fault {
    pub(crate) fn new(column: impl Into<String>, what: impl Into<String>) -> Self {
        Self { column: column.into(), what: what.into() }
    }
}

#[cfg(test)]
mod tests;
