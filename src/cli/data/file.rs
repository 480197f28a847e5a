//! The file of an export: it appears whole and under its own name, or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::history::columns::Table;
use crate::history::lines::Lines;
use crate::history::sheet::Sheet;

/// What is exported may tell of our trades.
const FILE_MODE: u32 = 0o600;

enum Sink {
    Plain(BufWriter<File>),
    Packed(GzEncoder<BufWriter<File>>),
    Table(Box<Table>, &'static Sheet),
}

/// A file being written beside its place; dropped before its end it leaves nothing.
pub(super) struct Part {
    path: PathBuf,
    scrap: PathBuf,
    sink: Option<Sink>,
}

impl Part {
    /// Begins a text that must not exist; it is packed when its name ends in `.gz`.
    pub(super) fn text(path: &Path) -> Result<Self> {
        let scrap = scrap(path)?;
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(FILE_MODE).open(&scrap);
        let file = BufWriter::new(file.with_context(|| format!("making {}", scrap.display()))?);
        let is_packed = path.extension().is_some_and(|end| end == "gz");
        let sink = if is_packed {
            Sink::Packed(GzEncoder::new(file, Compression::default()))
        } else {
            Sink::Plain(file)
        };
        Ok(Self { path: path.to_owned(), scrap, sink: Some(sink) })
    }

    /// Begins a Parquet file that must not exist.
    pub(super) fn table(path: &Path, sheet: &'static Sheet) -> Result<Self> {
        let scrap = scrap(path)?;
        let table = Table::create(&scrap, sheet);
        let table = table.with_context(|| format!("making {}", scrap.display()))?;
        let sink = Some(Sink::Table(Box::new(table), sheet));
        Ok(Self { path: path.to_owned(), scrap, sink })
    }

    /// Writes whole lines; into a Parquet file those of comma-separated values, without their head.
    pub(super) fn write(&mut self, text: &str) -> Result<()> {
        let written = match &mut self.sink {
            Some(Sink::Plain(out)) => out.write_all(text.as_bytes()).map_err(anyhow::Error::from),
            Some(Sink::Packed(out)) => out.write_all(text.as_bytes()).map_err(anyhow::Error::from),
            Some(Sink::Table(table, sheet)) => rows(table, sheet, text),
            None => Ok(()),
        };
        written.with_context(|| format!("writing {}", self.scrap.display()))
    }

    /// Gives the file its name.
    pub(super) fn finish(mut self) -> Result<()> {
        let closed = self.sink.take().map_or(Ok(()), close);
        closed.with_context(|| format!("writing {}", self.scrap.display()))?;
        refuse(&self.path)?;
        fs::rename(&self.scrap, &self.path)
            .with_context(|| format!("making {}", self.path.display()))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Gone when it was given its name; a scrap that stays is removed by the next export.
        let _ = fs::remove_file(&self.scrap);
    }
}

/// Where a file is made.
fn scrap(path: &Path) -> Result<PathBuf> {
    refuse(path)?;
    let mut scrap = OsString::from(path);
    scrap.push(".part");
    let scrap = PathBuf::from(scrap);
    // A killed export may have left one.
    let _ = fs::remove_file(&scrap);
    Ok(scrap)
}

fn rows(table: &mut Table, sheet: &Sheet, text: &str) -> Result<()> {
    let mut lines = Lines::new(text.as_bytes());
    while let Some(record) = lines.record()? {
        let fields: Vec<&str> = record.iter().map(String::as_str).collect();
        table.row(sheet.cells(&fields)?)?;
    }
    Ok(())
}

fn refuse(path: &Path) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        bail!("{} exists: nothing is overwritten", path.display());
    }
    Ok(())
}

fn close(sink: Sink) -> io::Result<()> {
    let out = match sink {
        Sink::Plain(out) => out,
        Sink::Packed(out) => out.finish()?,
        Sink::Table(table, _) => return table.finish(),
    };
    out.into_inner().map_err(|error| error.into_error())?.sync_all()
}
