//! `data`: what the journals and the history hold. It reads files alone: no database, no keeper;
//! journals are never changed.

mod export;
mod file;
mod history;
mod import;
mod pools;
mod sheets;
mod tape;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::history::shelf;
use crate::run::journal;
use crate::run::recorded::{self, BadLine, Extent};
use crate::run::replay::ReplayError;

/// Facts or rows between two words of progress.
const TELL_EVERY: u64 = 1_000;

#[derive(Debug, Args)]
pub(super) struct DataArguments {
    #[command(subcommand)]
    verb: DataVerb,
}

#[derive(Debug, Subcommand)]
enum DataVerb {
    /// List the runs that were written down, oldest first, and the sources in the history
    List(ListArguments),
    /// Check that every line of a run and every file of the history is what was written; lines
    /// missing at a run's end only `replay` can see
    Verify(VerifyArguments),
    /// Bring recorded market data into the history, checked row by row: what `data export` wrote,
    /// recordings of Binance's streams, tables of Uniswap V3 events, candles or funding rates
    Import(import::ImportArguments),
    /// Write books, pools or our trades of one run, or a sheet of the history, into a file
    Export(export::ExportArguments),
}

#[derive(Debug, Args)]
struct ListArguments {
    /// State folder of the keeper
    #[arg(long, default_value_os_t = super::default_state_dir())]
    state_dir: PathBuf,
}

#[derive(Debug, Args)]
struct VerifyArguments {
    /// Runs and sources, by their names in `data list`; all when none is given
    names: Vec<String>,
    /// State folder of the keeper
    #[arg(long, default_value_os_t = super::default_state_dir())]
    state_dir: PathBuf,
}

/// Does what the verb says.
pub(super) fn run(arguments: DataArguments) -> Result<()> {
    match arguments.verb {
        DataVerb::List(ListArguments { state_dir }) => list(&state_dir),
        DataVerb::Verify(VerifyArguments { names, state_dir }) => verify(names, &state_dir),
        DataVerb::Import(arguments) => import::import(&arguments),
        DataVerb::Export(arguments) => export::export(&arguments),
    }
}

fn list(state_dir: &Path) -> Result<()> {
    let runs = journal::runs(state_dir)?;
    let mut text = format!(
        "{:<14} {:<27} {:>12} {:>14} whole\n",
        "run", "began (UTC)", "facts", "bytes on disk"
    );
    if runs.is_empty() {
        text = format!("no run was written down in {}\n", state_dir.display());
    }
    for run in runs {
        let extent = look(state_dir, &run)?;
        let began = extent.began.map_or_else(|| "unknown".to_owned(), |began| began.utc());
        let (facts, bytes, state) = (extent.facts, extent.bytes, state(&extent));
        text.push_str(&format!("{run:<14} {began:<27} {facts:>12} {bytes:>14} {state}\n"));
    }
    text.push_str(&history::table(state_dir)?);
    say(&text);
    Ok(())
}

fn verify(mut names: Vec<String>, state_dir: &Path) -> Result<()> {
    let sources = shelf::sources(state_dir)?;
    if names.is_empty() {
        names = journal::runs(state_dir)?;
        names.extend(sources.iter().cloned());
    }
    if names.is_empty() {
        bail!("nothing was written down in {}", state_dir.display());
    }
    let mut n_bad = 0;
    for name in &names {
        if sources.contains(name) {
            let bad = history::look(state_dir, name)?;
            n_bad += usize::from(!bad.is_empty());
            say(&history::judged(name, &bad));
        } else {
            let extent = look(state_dir, name)?;
            n_bad += usize::from(extent.bad.is_some());
            say(&format!("run {name}: {}\n", judged(&extent)));
        }
    }
    if n_bad > 0 {
        bail!("{n_bad} of {} are not what was written", names.len());
    }
    Ok(())
}

fn look(state_dir: &Path, run: &str) -> Result<Extent, ReplayError> {
    let bar = bar(&format!("run {run}"), "facts");
    let extent = recorded::look(state_dir, run, |n| tell(&bar, n));
    bar.finish_and_clear();
    extent
}

/// One or two words for a table.
fn state(extent: &Extent) -> String {
    match (&extent.bad, extent.is_cut) {
        (Some(BadLine { line, .. }), _) => format!("no, from line {line} on: see data verify"),
        (None, true) => "yes, but for its last line".to_owned(),
        (None, false) => "yes".to_owned(),
    }
}

fn judged(extent: &Extent) -> String {
    let facts = extent.facts;
    if let Some(BadLine { segment, line, seq, what }) = &extent.bad {
        let segment = segment.as_deref().unwrap_or("unknown");
        let seq = seq.map_or_else(|| "unknown".to_owned(), |seq| seq.to_string());
        return format!("BAD: segment {segment}, seq {seq}, line {line} of the run: {what}");
    }
    let end = if extent.is_cut {
        "; the last line is incomplete: the process ended while writing it, or still runs"
    } else {
        ""
    };
    format!("ok, {facts} facts, every line is what was written{end}")
}

/// Shows on a terminal how many facts or rows of something were read; silent elsewhere.
fn bar(what: &str, unit: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = format!("{{spinner}} {{msg}}: {{pos}} {unit} read in {{elapsed}}");
    if let Ok(style) = ProgressStyle::with_template(&style) {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}

fn tell(bar: &ProgressBar, n_read: u64) {
    if n_read.is_multiple_of(TELL_EVERY) {
        bar.set_position(n_read);
    }
}

/// A reader that went away (`data list | head`) is not our problem.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
