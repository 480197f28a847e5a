//! The journal: every fact of a run on disk, in the order the engine took it in. The engine reads
//! no clock and draws no lots, so that the same facts lead to the same deeds (see `replay`).
//!
//! A run is a folder of segments. A line is the digest of everything up to and with it, a blank,
//! and JSON: first the head with what the engine was set up with, then one fact a line. What is
//! committed was handed to the system before, so that a killed process loses no fact that led to a
//! row; a machine without power may.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use nix::sys::statvfs::statvfs;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::engine::event::Event;
use crate::engine::output::{Command, Output};
use crate::engine::setup::Setup;
use crate::model::time::Timestamp;
use crate::store::Mark;

/// Folder of all journals in a state directory.
const FOLDER: &str = "journal";
/// A segment is closed, and packed, when it has grown to so many bytes.
const SEGMENT_BYTES: u64 = 64 << 20;
/// A run is written down up to so many bytes, before packing.
const RUN_BYTES_MAX: u64 = 32 << 30;
/// Older runs are removed while all of them together take more.
const ALL_BYTES_MAX: u64 = 8 << 30;
/// Lines wait in memory for the next row, and no longer than for so many bytes.
const BUFFER_BYTES: usize = 1 << 20;
/// Less room than this on the disk ends the journal: the database needs it more.
const FREE_BYTES_MIN: u64 = 2 << 30;
/// Ends of the names of segments.
const OPEN: &str = ".jsonl";
const PACKED: &str = ".jsonl.gz";

/// What a replay must know before the first fact.
#[derive(Debug, Serialize, Deserialize)]
pub struct Head {
    /// The run's name: when it began, Unix milliseconds, so that names sort as runs follow.
    pub run: String,
    /// Version of the program.
    pub program: String,
    /// When the engine was made.
    pub began: Timestamp,
    /// What it was told.
    pub setup: Setup,
}

/// Digest of everything up to a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain(pub [u8; 32]);

impl Chain {
    /// Goes on by one line.
    pub fn link(&mut self, json: &[u8]) {
        let mut digest = Sha256::new();
        digest.update(self.0);
        digest.update(json);
        self.0 = digest.finalize().into();
    }
}

/// What of an answer a replay compares: a digest of its rows, and the deeds that wait for them.
/// `None` for an answer of which nothing is kept.
///
/// # Errors
/// A value that JSON cannot hold.
pub fn kept(output: &Output) -> serde_json::Result<Option<([u8; 32], String)>> {
    let deeds: Vec<&Command> = output.commands.iter().filter(|c| c.needs_commit()).collect();
    if output.records.is_empty() && deeds.is_empty() {
        return Ok(None);
    }
    let records = serde_json::to_vec(&output.records)?;
    Ok(Some((Sha256::digest(records).into(), serde_json::to_string(&deeds)?)))
}

/// The journal of the running process.
#[derive(Debug)]
pub struct Journal {
    run: String,
    dir: PathBuf,
    segment: u32,
    out: BufWriter<File>,
    in_segment: u64,
    in_run: u64,
    chain: Chain,
    line: Vec<u8>,
}

impl Journal {
    /// Begins the journal of a run; what other runs left open is packed, and the oldest are removed
    /// while all take too much.
    ///
    /// # Errors
    /// Of the file system.
    pub fn begin(state_dir: &Path, setup: Setup, began: Timestamp) -> io::Result<Self> {
        let run = began.ms().to_string();
        let folder = state_dir.join(FOLDER);
        let dir = folder.join(&run);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        prune(&folder, &run)?;
        let left = folder.clone();
        let ours = run.clone();
        std::thread::spawn(move || pack_all(&left, &ours));
        let out = BufWriter::with_capacity(BUFFER_BYTES, create(&path(&dir, 1, OPEN))?);
        let (chain, line) = (Chain::default(), Vec::new());
        let mut journal = Self { run, dir, segment: 1, out, in_segment: 0, in_run: 0, chain, line };
        let program = env!("CARGO_PKG_VERSION").to_owned();
        journal.write(&Head { run: journal.run.clone(), program, began, setup })?;
        journal.out.flush()?;
        Ok(journal)
    }

    /// The run's name.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Writes a fact down.
    ///
    /// # Errors
    /// Of the file system; then nothing more may be written.
    pub fn fact(&mut self, event: &Event) -> io::Result<()> {
        if self.in_run > RUN_BYTES_MAX {
            return Err(io::Error::other(format!("the run takes more than {RUN_BYTES_MAX} bytes")));
        }
        if self.in_segment > SEGMENT_BYTES {
            self.turn_over()?;
        }
        self.write(event)
    }

    /// What the newest fact led to, once the system has its line.
    ///
    /// # Errors
    /// Of the file system; then nothing more may be written.
    pub fn mark(&mut self, output: &Output) -> io::Result<Option<Mark>> {
        let Some((records, deeds)) = kept(output)? else { return Ok(None) };
        self.out.flush()?;
        Ok(Some(Mark { run: self.run.clone(), chain: self.chain.0, records, deeds }))
    }

    fn write(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, value)?;
        self.chain.link(&self.line);
        let digest = hex::encode(self.chain.0);
        self.out.write_all(digest.as_bytes())?;
        self.out.write_all(b" ")?;
        self.out.write_all(&self.line)?;
        self.out.write_all(b"\n")?;
        let written = u64::try_from(digest.len() + self.line.len() + 2).unwrap_or(u64::MAX);
        (self.in_segment, self.in_run) = (self.in_segment + written, self.in_run + written);
        Ok(())
    }

    fn turn_over(&mut self) -> io::Result<()> {
        self.out.flush()?;
        let disk = statvfs(&self.dir)?;
        let free = disk.blocks_available().saturating_mul(disk.fragment_size());
        if free < FREE_BYTES_MIN {
            return Err(io::Error::other(format!("only {free} bytes are free on its disk")));
        }
        let full = path(&self.dir, self.segment, OPEN);
        self.segment += 1;
        self.out =
            BufWriter::with_capacity(BUFFER_BYTES, create(&path(&self.dir, self.segment, OPEN))?);
        self.in_segment = 0;
        std::thread::spawn(move || pack_aloud(&full));
        Ok(())
    }
}

/// Names of the runs written down in a state directory, oldest first.
///
/// # Errors
/// Of the file system.
pub fn runs(state_dir: &Path) -> io::Result<Vec<String>> {
    runs_in(&state_dir.join(FOLDER))
}

/// The segments of a run, in order.
///
/// # Errors
/// Of the file system.
pub fn segments(state_dir: &Path, run: &str) -> io::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = files(&state_dir.join(FOLDER).join(run))?;
    // While one is being packed both exist; the open one is whole.
    found.sort();
    found.dedup_by(|later, earlier| number(later) == number(earlier));
    Ok(found)
}

fn number(segment: &Path) -> Option<&str> {
    segment.file_name()?.to_str()?.split('.').next()
}

fn runs_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut runs = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            runs.extend(entry.file_name().into_string());
        }
    }
    runs.sort();
    Ok(runs)
}

fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(OPEN) || name.ends_with(PACKED)
    };
    let entries = fs::read_dir(dir)?.map(|entry| Ok(entry?.path()));
    Ok(entries.collect::<io::Result<Vec<_>>>()?.into_iter().filter(is_ours).collect())
}

fn path(dir: &Path, segment: u32, end: &str) -> PathBuf {
    dir.join(format!("{segment:06}{end}"))
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn prune(folder: &Path, ours: &str) -> io::Result<()> {
    let mut sizes = Vec::new();
    for run in runs_in(folder)? {
        let mut bytes = 0;
        for file in files(&folder.join(&run))? {
            bytes += fs::metadata(file)?.len();
        }
        sizes.push((run, bytes));
    }
    let mut all: u64 = sizes.iter().map(|(_, bytes)| bytes).sum();
    for (run, bytes) in sizes {
        if all <= ALL_BYTES_MAX || run == ours {
            return Ok(());
        }
        tracing::info!(run, bytes, "journal removed: all together take too much");
        fs::remove_dir_all(folder.join(run))?;
        all -= bytes;
    }
    Ok(())
}

fn pack_all(folder: &Path, ours: &str) {
    let others = runs_in(folder).unwrap_or_default().into_iter().filter(|run| run != ours);
    for run in others {
        let files = files(&folder.join(run)).unwrap_or_default();
        for file in files.iter().filter(|file| file.to_string_lossy().ends_with(OPEN)) {
            pack_aloud(file);
        }
    }
}

/// Packs a closed segment; what cannot be packed stays as it is.
fn pack_aloud(open: &Path) {
    if let Err(error) = pack(open) {
        drop(fs::remove_file(partial(open)));
        tracing::warn!(file = %open.display(), %error, "segment not packed");
    }
}

fn pack(open: &Path) -> io::Result<()> {
    let packed = open.with_extension("jsonl.gz");
    let partial = partial(open);
    let out =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    let mut encoder = GzEncoder::new(out, Compression::default());
    io::copy(&mut File::open(open)?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    fs::rename(&partial, packed)?;
    fs::remove_file(open)
}

fn partial(open: &Path) -> PathBuf {
    open.with_extension("part")
}
