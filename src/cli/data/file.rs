//! The file of an export: it appears whole and under its own name, or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;

/// What is exported may tell of our trades.
const FILE_MODE: u32 = 0o600;

enum Sink {
    Plain(BufWriter<File>),
    Packed(GzEncoder<BufWriter<File>>),
}

/// A file being written beside its place; dropped before its end it leaves nothing.
pub(super) struct Part {
    path: PathBuf,
    scrap: PathBuf,
    sink: Option<Sink>,
}

impl Part {
    /// Begins a file that must not exist; it is packed when its name ends in `.gz`.
    pub(super) fn create(path: &Path) -> Result<Self> {
        refuse(path)?;
        let mut scrap = OsString::from(path);
        scrap.push(".part");
        let scrap = PathBuf::from(scrap);
        // A killed export may have left one.
        let _ = fs::remove_file(&scrap);
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

    pub(super) fn write(&mut self, text: &str) -> Result<()> {
        let written = match &mut self.sink {
            Some(Sink::Plain(out)) => out.write_all(text.as_bytes()),
            Some(Sink::Packed(out)) => out.write_all(text.as_bytes()),
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
    };
    out.into_inner().map_err(|error| error.into_error())?.sync_all()
}
