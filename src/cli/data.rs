//! `data`: what the journals hold. It reads them alone: no database, no keeper, nothing changed.

mod export;
mod file;
mod pools;
mod sheets;
mod tape;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::run::journal;
use crate::run::recorded::{self, BadLine, Extent};
use crate::run::replay::ReplayError;

/// Facts between two words of progress.
const TELL_EVERY: u64 = 1_000;

#[derive(Debug, Args)]
pub(super) struct DataArguments {
    #[command(subcommand)]
    verb: DataVerb,
}

#[derive(Debug, Subcommand)]
enum DataVerb {
    /// List the runs that were written down, oldest first
    List(ListArguments),
    /// Check that every line is what was written; lines missing at the end only `replay` can see
    Verify(VerifyArguments),
    /// Write the books, the pools or our trades of one run into a file
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
    /// The runs, by their names in `data list`; all when none is given
    runs: Vec<String>,
    /// State folder of the keeper
    #[arg(long, default_value_os_t = super::default_state_dir())]
    state_dir: PathBuf,
}

/// Does what the verb says.
pub(super) fn run(arguments: DataArguments) -> Result<()> {
    match arguments.verb {
        DataVerb::List(ListArguments { state_dir }) => list(&state_dir),
        DataVerb::Verify(VerifyArguments { runs, state_dir }) => verify(runs, &state_dir),
        DataVerb::Export(arguments) => export::export(&arguments),
    }
}

fn list(state_dir: &Path) -> Result<()> {
    let runs = journal::runs(state_dir)?;
    if runs.is_empty() {
        say(&format!("no run was written down in {}\n", state_dir.display()));
        return Ok(());
    }
    let mut text = format!(
        "{:<14} {:<27} {:>12} {:>14} whole\n",
        "run", "began (UTC)", "facts", "bytes on disk"
    );
    for run in runs {
        let extent = look(state_dir, &run)?;
        let began = extent.began.map_or_else(|| "unknown".to_owned(), |began| began.utc());
        let (facts, bytes, state) = (extent.facts, extent.bytes, state(&extent));
        text.push_str(&format!("{run:<14} {began:<27} {facts:>12} {bytes:>14} {state}\n"));
    }
    say(&text);
    Ok(())
}

fn verify(mut runs: Vec<String>, state_dir: &Path) -> Result<()> {
    if runs.is_empty() {
        runs = journal::runs(state_dir)?;
    }
    if runs.is_empty() {
        bail!("no run was written down in {}", state_dir.display());
    }
    let mut n_bad = 0;
    for run in &runs {
        let extent = look(state_dir, run)?;
        n_bad += usize::from(extent.bad.is_some());
        say(&format!("run {run}: {}\n", judged(&extent)));
    }
    if n_bad > 0 {
        bail!("{n_bad} of {} runs are not what was written", runs.len());
    }
    Ok(())
}

fn look(state_dir: &Path, run: &str) -> Result<Extent, ReplayError> {
    let bar = bar(run);
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

/// Shows on a terminal how many facts of a run were read; silent elsewhere.
fn bar(run: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = "{spinner} run {msg}: {pos} facts read in {elapsed}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar.set_message(run.to_owned());
    bar
}

fn tell(bar: &ProgressBar, n_facts: u64) {
    if n_facts.is_multiple_of(TELL_EVERY) {
        bar.set_position(n_facts);
    }
}

/// A reader that went away (`data list | head`) is not our problem.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
