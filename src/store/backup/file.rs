//! The file of a backup: lines in a gzip stream, written whole or not at all, read to the end.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::store::backup::{BackupError, Header};

/// The first word of every backup.
pub(super) const FORMAT: &str = "tidekeeper backup";
/// The only version of its layout.
pub(super) const VERSION: u32 = 1;
/// Ends the rows of a table; in a row a backslash is always doubled or begins an escape.
pub(super) const END_OF_ROWS: &[u8] = b"\\.\n";
/// Longest line taken; Postgres itself has no longer value.
const LINE_BYTES_MAX: u64 = 1 << 30;
const FILE_MODE: u32 = 0o600;

/// What stands behind the rows of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Footer {
    pub table: String,
    pub rows: u64,
    pub bytes: u64,
    pub sha256: String,
}

/// Account, unit, and the sum of all postings.
pub(super) type Balance = (String, String, String);

/// What stands at the end.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Trailer {
    pub balances: Vec<Balance>,
}

/// Adds up the rows of a table.
#[derive(Default)]
pub(super) struct Sums {
    pub rows: u64,
    bytes: u64,
    digest: Sha256,
}

impl Sums {
    /// Whole rows: each ends with the one line feed it has.
    pub(super) fn add(&mut self, rows: &[u8]) {
        self.rows += rows.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.bytes += rows.len() as u64;
        self.digest.update(rows);
    }

    pub(super) fn footer(self, table: &str) -> Footer {
        let sha256 = hex::encode(self.digest.finalize());
        Footer { table: table.to_owned(), rows: self.rows, bytes: self.bytes, sha256 }
    }
}

/// A file that is being written; removed again unless it was finished.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    scrap: PathBuf,
    stream: Option<GzEncoder<BufWriter<File>>>,
    is_finished: bool,
}

impl Part {
    /// Begins a file for us alone.
    pub(super) fn create(path: &Path) -> Result<Self, BackupError> {
        if path.symlink_metadata().is_ok() {
            return Err(BackupError::Exists { path: path.into() });
        }
        let mut scrap = OsString::from(path);
        scrap.push(".part");
        let scrap = PathBuf::from(scrap);
        let failed = |source| BackupError::File { path: scrap.clone(), source };
        match fs::remove_file(&scrap) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(FILE_MODE).open(&scrap);
        let file = BufWriter::new(file.map_err(failed)?);
        let stream = Some(GzEncoder::new(file, Compression::default()));
        Ok(Self { path: path.into(), scrap, stream, is_finished: false })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        let stream = self.stream.as_mut().expect("only finish takes it, and self with it");
        let written = stream.write_all(bytes);
        written.map_err(|source| BackupError::File { path: self.scrap.clone(), source })
    }

    /// One line.
    pub(super) fn json<T: Serialize>(&mut self, value: &T) -> Result<(), BackupError> {
        let mut line = serde_json::to_vec(value).map_err(|error| BackupError::File {
            path: self.scrap.clone(),
            source: error.into(),
        })?;
        line.push(b'\n');
        self.write(&line)
    }

    /// Makes sure that all of it is on the disk, then gives it its name.
    pub(super) fn finish(mut self) -> Result<(), BackupError> {
        let stream = self.stream.take().expect("only finish takes it, and self with it");
        let finish = || -> io::Result<()> {
            let file = stream.finish()?.into_inner().map_err(|error| error.into_error())?;
            file.sync_all()?;
            fs::rename(&self.scrap, &self.path)?;
            let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
        };
        let finished = finish();
        finished.map_err(|source| BackupError::File { path: self.path.clone(), source })?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_finished {
            // What remains is litter that the next backup of this name removes.
            drop(fs::remove_file(&self.scrap));
        }
    }
}

/// A file that is being read.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    lines: BufReader<GzDecoder<BufReader<File>>>,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, BackupError> {
        let file =
            File::open(path).map_err(|source| BackupError::File { path: path.into(), source })?;
        let lines = BufReader::new(GzDecoder::new(BufReader::new(file)));
        Ok(Self { path: path.into(), lines })
    }

    /// The first line: who wrote this, and whether we can read it.
    pub(super) fn header(&mut self) -> Result<Header, BackupError> {
        let value: Value = self.json()?;
        if value["format"] != FORMAT {
            return Err(self.damaged("it was not written by `db backup`"));
        }
        match value["version"].as_i64() {
            Some(version) if version == i64::from(VERSION) => {}
            Some(found) => {
                let known = VERSION.into();
                return Err(BackupError::Newer { what: "layout", found, known });
            }
            None => return Err(self.damaged("it has no version")),
        }
        serde_json::from_value(value).map_err(|error| self.damaged(format!("header: {error}")))
    }

    /// The next line, with its end.
    pub(super) fn line(&mut self, line: &mut Vec<u8>) -> Result<(), BackupError> {
        line.clear();
        let read = Read::by_ref(&mut self.lines).take(LINE_BYTES_MAX).read_until(b'\n', line);
        match read {
            Err(error) => Err(self.damaged(error.to_string())),
            Ok(_) if line.ends_with(b"\n") => Ok(()),
            Ok(_) => Err(self.damaged("it ends too early")),
        }
    }

    pub(super) fn json<T: DeserializeOwned>(&mut self) -> Result<T, BackupError> {
        let mut line = Vec::new();
        self.line(&mut line)?;
        serde_json::from_slice(&line).map_err(|error| self.damaged(error.to_string()))
    }

    /// Nothing more, and the stream's own sum is right.
    pub(super) fn end(mut self) -> Result<(), BackupError> {
        let is_over = match self.lines.fill_buf() {
            Ok(rest) => rest.is_empty(),
            Err(error) => return Err(damaged(&self.path, error.to_string())),
        };
        let mut behind = self.lines.into_inner().into_inner();
        let is_alone = behind.fill_buf().is_ok_and(|rest| rest.is_empty());
        if is_over && is_alone {
            return Ok(());
        }
        Err(damaged(&self.path, "something stands behind its end"))
    }

    pub(super) fn damaged(&self, what: impl Into<String>) -> BackupError {
        damaged(&self.path, what)
    }
}

fn damaged(path: &Path, what: impl Into<String>) -> BackupError {
    BackupError::Damaged { path: path.into(), what: what.into() }
}
