//! A run again: its journal through a fresh engine, compared with what Postgres kept.
//!
//! Two things are told apart. A line whose digest does not follow from the lines before was altered
//! after it was written. An answer that is not the kept one means that the engine, or a fact, is
//! not what it was.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde::Serialize;
use thiserror::Error;

use crate::engine::Engine;
use crate::engine::event::Event;
use crate::engine::output::Output;
use crate::engine::snapshot::Snapshot;
use crate::model::time::Timestamp;
use crate::run::journal::{self, Chain, Head};
use crate::store::{Mark, Store, StoreError};

/// Marks asked for at once.
const MARKS_AT_ONCE: i64 = 10_000;
/// Longest line of a journal: the first fact holds everything earlier runs left.
const LINE_MAX: u64 = 1 << 30;

/// Why a run cannot be replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// A file of the journal cannot be read.
    #[error("reading {}", .path.display())]
    File { path: PathBuf, source: io::Error },
    /// The journal has no head, or one of another program.
    #[error("{}: line {line} does not read: {what}", .path.display())]
    Line { path: PathBuf, line: u64, what: String },
    /// The run was not written down.
    #[error("no journal of run {run}; there are: {known}")]
    Unknown { run: String, known: String },
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a replay found.
#[derive(Debug, Default, Serialize)]
pub struct Verdict {
    /// Facts replayed.
    pub events: u64,
    /// Answers that were the kept ones.
    pub agreed: u64,
    /// Answers decided at the end and never committed: the process ended first.
    pub uncommitted: u64,
    /// Marks of facts beyond the journal's end.
    pub unwritten: u64,
    /// True when the last line is incomplete: the process ended while writing it.
    pub is_cut: bool,
    /// The first fact that is not what was written; 0 is the head.
    pub altered: Option<u64>,
    /// The first answer that is not the kept one.
    pub differs: Option<Difference>,
}

impl Verdict {
    /// True when everything compared was the same.
    pub fn is_same(&self) -> bool {
        self.altered.is_none() && self.differs.is_none() && self.unwritten == 0
    }
}

/// The first answer that is not the kept one.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// Position of the fact.
    pub seq: u64,
    /// What is not the same.
    pub what: &'static str,
    /// Deeds that were committed, JSON; `None` when nothing was.
    pub committed: Option<String>,
    /// Deeds of the replay, JSON; `None` when nothing was to be kept.
    pub replayed: Option<String>,
}

/// One fact read back, with the digest up to it.
#[derive(Debug)]
pub struct Written {
    /// The fact.
    pub event: Event,
    /// The same as it stands in the journal.
    pub json: Vec<u8>,
    /// Digest of everything up to it.
    pub chain: Chain,
    /// True when it does not follow from the lines before: it is not what was written.
    pub is_altered: bool,
}

/// One whole line of a journal, its digest looked at and its JSON not.
#[derive(Debug)]
pub struct Line {
    /// The file it stands in.
    pub segment: PathBuf,
    /// Counted from 1 through all segments; the first is the head.
    pub number: u64,
    /// What stands behind the digest.
    pub json: Vec<u8>,
    /// True when it does not follow from the lines before: it is not what was written.
    pub is_altered: bool,
}

/// A journal being read.
pub struct Reader {
    segments: VecDeque<PathBuf>,
    open: Option<(PathBuf, BufReader<Box<dyn Read>>)>,
    n_lines: u64,
    chain: Chain,
    is_head_altered: bool,
    is_cut: bool,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("segments", &self.segments).finish_non_exhaustive()
    }
}

impl Reader {
    /// Opens the journal of a run, or of the newest one.
    ///
    /// # Errors
    /// `ReplayError`.
    pub fn open(state_dir: &Path, run: Option<&str>) -> Result<(Self, Head), ReplayError> {
        let failed = |source| ReplayError::File { path: state_dir.join("journal"), source };
        let runs = journal::runs(state_dir).map_err(failed)?;
        let found = match run {
            Some(run) => runs.iter().find(|known| *known == run),
            None => runs.last(),
        };
        let found = found.ok_or_else(|| ReplayError::Unknown {
            run: run.unwrap_or("(the newest)").to_owned(),
            known: if runs.is_empty() { "none".to_owned() } else { runs.join(", ") },
        })?;
        let segments = journal::segments(state_dir, found).map_err(failed)?.into();
        let (n_lines, chain, is_head_altered) = (0, Chain::default(), false);
        let mut reader =
            Self { segments, open: None, n_lines, chain, is_head_altered, is_cut: false };
        let nothing = ReplayError::Line {
            path: state_dir.join("journal").join(found),
            line: 1,
            what: "there is no head".to_owned(),
        };
        let Line { segment: path, json, is_altered, .. } = reader.line()?.ok_or(nothing)?;
        reader.is_head_altered = is_altered;
        let head = serde_json::from_slice(&json).map_err(|error| ReplayError::Line {
            path,
            line: 1,
            what: error.to_string(),
        })?;
        Ok((reader, head))
    }

    /// True when the head is not what was written.
    pub fn is_head_altered(&self) -> bool {
        self.is_head_altered
    }

    /// True once the end was reached and the last line is incomplete.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The next fact; `None` at the end.
    ///
    /// # Errors
    /// `ReplayError`.
    pub fn fact(&mut self) -> Result<Option<Written>, ReplayError> {
        let Some(Line { segment: path, number, json, is_altered }) = self.line()? else {
            return Ok(None);
        };
        let event = serde_json::from_slice(&json).map_err(|error| ReplayError::Line {
            path,
            line: number,
            what: error.to_string(),
        })?;
        Ok(Some(Written { event, json, chain: self.chain, is_altered }))
    }

    /// The next whole line behind the head; `None` at the end.
    ///
    /// # Errors
    /// `ReplayError`.
    pub fn line(&mut self) -> Result<Option<Line>, ReplayError> {
        loop {
            let Some((path, open)) = &mut self.open else {
                let Some(path) = self.segments.pop_front() else { return Ok(None) };
                self.open = Some((path.clone(), open_segment(&path)?));
                continue;
            };
            let mut line = Vec::new();
            let failed = |source| ReplayError::File { path: path.clone(), source };
            open.take(LINE_MAX).read_until(b'\n', &mut line).map_err(failed)?;
            if line.is_empty() {
                self.open = None;
                continue;
            }
            let path = path.clone();
            if line.pop() != Some(b'\n') {
                if !self.segments.is_empty() {
                    let what = "it is incomplete, and more segments follow".to_owned();
                    return Err(ReplayError::Line { path, line: self.n_lines + 1, what });
                }
                self.is_cut = true;
                return Ok(None);
            }
            self.n_lines += 1;
            let Some((digest, json)) = line.split_at_checked(64) else {
                let what = "it is too short".to_owned();
                return Err(ReplayError::Line { path, line: self.n_lines, what });
            };
            let json = json.get(1..).unwrap_or_default().to_vec();
            self.chain.link(&json);
            let is_altered = hex::encode(self.chain.0).as_bytes() != digest;
            if is_altered {
                // The lines after it are judged by what stands here, each for itself.
                hex::decode_to_slice(digest, &mut self.chain.0).unwrap_or_default();
            }
            return Ok(Some(Line { segment: path, number: self.n_lines, json, is_altered }));
        }
    }
}

fn open_segment(path: &Path) -> Result<BufReader<Box<dyn Read>>, ReplayError> {
    let is_packed = path.extension().is_some_and(|end| end == "gz");
    let file = match File::open(path) {
        Ok(file) => file,
        // It was packed since the segments were listed.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_packed => {
            return open_segment(&path.with_extension("jsonl.gz"));
        }
        Err(source) => return Err(ReplayError::File { path: path.to_owned(), source }),
    };
    let inner: Box<dyn Read> =
        if is_packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(BufReader::new(inner))
}

/// The marks of a run in order, fetched as they are needed.
struct Marks<'a> {
    store: &'a Store,
    run: String,
    ahead: VecDeque<(u64, Mark)>,
    last: u64,
}

impl Marks<'_> {
    async fn fill(&mut self) -> Result<(), StoreError> {
        if self.ahead.is_empty() {
            self.ahead = self.store.marks(&self.run, self.last, MARKS_AT_ONCE).await?.into();
            self.last = self.ahead.back().map_or(self.last, |(seq, _)| *seq);
        }
        Ok(())
    }

    /// The mark of a fact, when one was committed.
    async fn take(&mut self, seq: u64) -> Result<Option<Mark>, StoreError> {
        self.fill().await?;
        let is_its = self.ahead.front().is_some_and(|(at, _)| *at == seq);
        Ok(if is_its { self.ahead.pop_front().map(|(_, mark)| mark) } else { None })
    }

    /// How many are left.
    async fn rest(&mut self) -> Result<u64, StoreError> {
        let mut n = 0;
        loop {
            self.fill().await?;
            if self.ahead.is_empty() {
                return Ok(n);
            }
            n += u64::try_from(self.ahead.len()).unwrap_or(u64::MAX);
            self.ahead.clear();
        }
    }
}

/// Replays a run and compares every answer with the kept one; `tell` hears of each fact.
///
/// # Errors
/// `ReplayError`; a difference is no error but part of the verdict.
pub async fn compare(
    mut reader: Reader,
    head: Head,
    store: &Store,
    mut tell: impl FnMut(u64),
) -> Result<Verdict, ReplayError> {
    let mut marks = Marks { store, run: head.run, ahead: VecDeque::new(), last: 0 };
    let mut engine = Engine::new(head.setup, head.began);
    let altered = reader.is_head_altered.then_some(0);
    let mut verdict = Verdict { altered, ..Verdict::default() };
    // Answers without a mark: only the end of a run may have them.
    let mut unmarked: Option<Difference> = None;
    while let Some(Written { event, chain, is_altered, .. }) = reader.fact()? {
        let seq = event.seq;
        verdict.events += 1;
        tell(verdict.events);
        if is_altered && verdict.altered.is_none() {
            verdict.altered = Some(seq);
        }
        let output = engine.handle(event);
        let kept = journal::kept(&output).unwrap_or_default();
        let mark = marks.take(seq).await?;
        if mark.is_some() && verdict.differs.is_none() {
            verdict.differs = unmarked.take();
        }
        match (judge(seq, chain, kept, mark), &verdict.differs) {
            (Judged::Same, _) => verdict.agreed += 1,
            (Judged::Nothing, _) => {}
            (Judged::Unmarked(difference), _) => {
                verdict.uncommitted += 1;
                unmarked.get_or_insert(difference);
            }
            (Judged::Differs(difference), None) => verdict.differs = Some(difference),
            (Judged::Differs(_), Some(_)) => {}
        }
    }
    verdict.is_cut = reader.is_cut;
    verdict.unwritten = marks.rest().await?;
    Ok(verdict)
}

enum Judged {
    Same,
    Nothing,
    Unmarked(Difference),
    Differs(Difference),
}

fn judge(seq: u64, chain: Chain, kept: Option<([u8; 32], String)>, mark: Option<Mark>) -> Judged {
    let differs = |what, committed, replayed| Difference { seq, what, committed, replayed };
    match (kept, mark) {
        (None, None) => Judged::Nothing,
        (None, Some(mark)) => Judged::Differs(differs(
            "only the committed answer asks for rows",
            Some(mark.deeds),
            None,
        )),
        (Some((_, deeds)), None) => {
            Judged::Unmarked(differs("only the replayed answer asks for rows", None, Some(deeds)))
        }
        (Some((_, deeds)), Some(mark)) if deeds != mark.deeds => {
            Judged::Differs(differs("the deeds", Some(mark.deeds), Some(deeds)))
        }
        (Some((records, deeds)), Some(mark)) if records != mark.records => {
            Judged::Differs(differs("the rows", Some(mark.deeds), Some(deeds)))
        }
        (Some((_, deeds)), Some(mark)) if chain.0 != mark.chain => {
            Judged::Differs(differs("the journal up to here", Some(mark.deeds), Some(deeds)))
        }
        (Some(_), Some(_)) => Judged::Same,
    }
}

/// One fact, and what the engine knew and answered.
#[derive(Debug)]
pub struct Moment {
    /// The fact, JSON.
    pub fact: String,
    /// When it reached the engine.
    pub at: Timestamp,
    /// Everything a reader could see just before it.
    pub before: Snapshot,
    /// The answer.
    pub output: Output,
}

/// What the engine knew when a fact reached it; `None` when the journal ends before.
///
/// # Errors
/// `ReplayError`.
pub fn at(mut reader: Reader, head: Head, seq: u64) -> Result<Option<Moment>, ReplayError> {
    let mut engine = Engine::new(head.setup, head.began);
    while let Some(Written { event, json, .. }) = reader.fact()? {
        if event.seq < seq {
            engine.handle(event);
            continue;
        }
        let (at, before) = (event.at, engine.snapshot(event.at));
        let fact = String::from_utf8_lossy(&json).into_owned();
        return Ok(Some(Moment { fact, at, before, output: engine.handle(event) }));
    }
    Ok(None)
}
