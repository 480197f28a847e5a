//! A journal looked at without an engine and without a database: how much it holds, and whether
//! every line is what was written.
//!
//! Lines that are missing at the end leave no trace here; only what was committed tells of them
//! (see `replay`).

use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

use crate::model::time::Timestamp;
use crate::run::journal;
use crate::run::replay::{Line, Reader, ReplayError};

/// What a look at a run found.
#[derive(Debug)]
pub struct Extent {
    /// The run's name.
    pub run: String,
    /// When it began; `None` when its head does not read.
    pub began: Option<Timestamp>,
    /// Facts that were read.
    pub facts: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// True when the last line is incomplete: the process ended while writing it, or writes it now.
    pub is_cut: bool,
    /// The first line that is not what was written.
    pub bad: Option<BadLine>,
}

/// A line that is not what was written, or that does not read.
#[derive(Debug)]
pub struct BadLine {
    /// Name of the segment it stands in; `None` when the segments cannot be listed.
    pub segment: Option<String>,
    /// Counted from 1 through the run.
    pub line: u64,
    /// Position of the fact as the line tells it; `None` for the head and for what does not read.
    pub seq: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// Position of a fact, of a line whose rest may not read.
#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

/// Reads a run to its end; `tell` hears how many facts were read.
///
/// # Errors
/// `ReplayError` when there is no such run; what is wrong with its journal is part of the answer.
pub fn look(state_dir: &Path, run: &str, mut tell: impl FnMut(u64)) -> Result<Extent, ReplayError> {
    let opened = match Reader::open(state_dir, Some(run)) {
        Err(unknown @ ReplayError::Unknown { .. }) => return Err(unknown),
        opened => opened,
    };
    let bytes = bytes(state_dir, run).map_err(|source| ReplayError::File {
        path: state_dir.join("journal").join(run),
        source,
    })?;
    let (run, began, facts) = (run.to_owned(), None, 0);
    let mut extent = Extent { run, began, facts, bytes, is_cut: false, bad: None };
    let mut reader = match opened {
        Ok((reader, head)) => {
            extent.began = Some(head.began);
            extent.bad = reader.is_head_altered().then(|| altered_head(state_dir, &extent.run));
            reader
        }
        Err(error) => {
            extent.bad = Some(unread(&error, 1));
            return Ok(extent);
        }
    };
    loop {
        match reader.line() {
            Ok(Some(line)) => {
                extent.facts += 1;
                tell(extent.facts);
                if line.is_altered && extent.bad.is_none() {
                    extent.bad = Some(altered(&line));
                }
            }
            Ok(None) => break,
            Err(error) => {
                let next = extent.facts + 2;
                extent.bad.get_or_insert_with(|| unread(&error, next));
                break;
            }
        }
    }
    extent.is_cut = reader.is_cut();
    Ok(extent)
}

/// Bytes of a run on disk.
fn bytes(state_dir: &Path, run: &str) -> io::Result<u64> {
    let mut bytes = 0;
    for segment in journal::segments(state_dir, run)? {
        bytes += match fs::metadata(&segment) {
            // It was packed since the segments were listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::metadata(segment.with_extension("jsonl.gz"))?.len()
            }
            found => found?.len(),
        };
    }
    Ok(bytes)
}

fn altered(line: &Line) -> BadLine {
    BadLine {
        segment: name(&line.segment),
        line: line.number,
        seq: serde_json::from_slice::<Numbered>(&line.json).ok().map(|numbered| numbered.seq),
        what: "it does not follow from the lines before: it is not what was written".to_owned(),
    }
}

fn altered_head(state_dir: &Path, run: &str) -> BadLine {
    let segments = journal::segments(state_dir, run).unwrap_or_default();
    BadLine {
        segment: segments.first().and_then(|first| name(first)),
        line: 1,
        seq: None,
        what: "the head is not what was written".to_owned(),
    }
}

/// `next` is the line that was to be read.
fn unread(error: &ReplayError, next: u64) -> BadLine {
    let (segment, line, what) = match error {
        ReplayError::File { path, source } => (name(path), next, source.to_string()),
        ReplayError::Line { path, line, what } => (name(path), *line, what.clone()),
        ReplayError::Unknown { .. } | ReplayError::Store(_) => (None, next, error.to_string()),
    };
    BadLine { segment, line, seq: None, what: format!("it does not read: {what}") }
}

fn name(segment: &Path) -> Option<String> {
    Some(segment.file_name()?.to_string_lossy().into_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::path::PathBuf;

    use rust_decimal::dec;

    use super::look;
    use crate::engine::event::{Body, Event};
    use crate::engine::setup::{Setup, VenueSetup};
    use crate::model::time::Timestamp;
    use crate::risk::gate::Limits;
    use crate::run::journal::{self, Journal};

    /// The name of every run made here.
    pub(crate) const RUN: &str = "1700000000000";

    fn setup() -> Setup {
        let venue = VenueSetup {
            name: "spot".into(),
            kind: "binance_spot".into(),
            symbols: vec!["ETHUSDT".into()],
            is_perpetual: false,
        };
        Setup {
            keeper: "test".into(),
            mode: "observe".into(),
            sends: false,
            numeraire: "USDT".into(),
            base_asset: "ETH".into(),
            reference: ("spot".into(), "ETHUSDT".into()),
            chains: Vec::new(),
            venues: vec![venue],
            strategies: Vec::new(),
            hedges: Vec::new(),
            limits: Limits {
                gross_exposure: dec!(1),
                net_delta: dec!(1),
                venue_exposure: dec!(1),
                daily_loss: dec!(1),
                gas_budget_per_day: dec!(1),
            },
            book_age_max_ms: 1_000,
            labels: Vec::new(),
        }
    }

    /// A state directory with one run of these facts, a millisecond apart.
    pub(crate) fn state_with(name: &str, facts: Vec<Body>) -> PathBuf {
        let state =
            std::env::temp_dir().join(format!("tidekeeper-recorded-{name}-{}", std::process::id()));
        if state.exists() {
            fs::remove_dir_all(&state).unwrap();
        }
        let began = Timestamp::from_ms(1_700_000_000_000);
        let mut journal = Journal::begin(&state, setup(), began).unwrap();
        for (seq, body) in (1..).zip(facts) {
            let at = began.plus_ms(i64::try_from(seq).unwrap());
            journal.fact(&Event { seq, at, body }).unwrap();
        }
        drop(journal);
        state
    }

    #[test]
    fn the_first_line_that_is_not_what_was_written_is_named() {
        let state = state_with("named", vec![Body::Timer, Body::Timer, Body::Timer]);
        let whole = look(&state, RUN, |_| ()).unwrap();
        assert_eq!((whole.facts, whole.is_cut), (3, false), "{whole:?}");
        assert_eq!(whole.began.unwrap().utc(), "2023-11-14T22:13:20.000000Z");
        assert!(whole.bad.is_none(), "{whole:?}");

        let segment = journal::segments(&state, RUN).unwrap().remove(0);
        let written = fs::read_to_string(&segment).unwrap();
        assert_eq!(whole.bytes, u64::try_from(written.len()).unwrap());
        for (from, to, line, seq) in [
            (r#""seq":2,"at":1700"#, r#""seq":2,"at":1600"#, 3, Some(2)),
            (r#""keeper":"test""#, r#""keeper":"best""#, 1, None),
            (r#""seq":3,"#, r#""seq":x,"#, 4, None),
        ] {
            assert!(written.contains(from), "{written}");
            fs::write(&segment, written.replacen(from, to, 1)).unwrap();
            let bad = look(&state, RUN, |_| ()).unwrap().bad.expect("a line was changed");
            assert_eq!((bad.line, bad.seq), (line, seq), "{bad:?}");
            assert_eq!(bad.segment.as_deref(), Some("000001.jsonl"));
        }
        fs::remove_dir_all(&state).unwrap();
    }

    #[test]
    fn an_incomplete_line_is_bad_only_when_more_follows() {
        let state = state_with("cut", vec![Body::Timer, Body::Timer]);
        let segment = journal::segments(&state, RUN).unwrap().remove(0);
        let written = fs::read_to_string(&segment).unwrap();
        fs::write(&segment, &written[..written.len() - 3]).unwrap();
        let cut = look(&state, RUN, |_| ()).unwrap();
        assert!(cut.is_cut && cut.bad.is_none() && cut.facts == 1, "{cut:?}");

        fs::write(segment.with_file_name("000002.jsonl"), "").unwrap();
        let bad = look(&state, RUN, |_| ()).unwrap().bad.expect("a segment ends too early");
        assert_eq!((bad.segment.as_deref(), bad.line), (Some("000001.jsonl"), 3), "{bad:?}");
        assert!(look(&state, "1", |_| ()).is_err(), "there is no such run");
        fs::remove_dir_all(&state).unwrap();
    }
}
