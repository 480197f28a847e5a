//! What was looked at, what was found, and what to do about it: the table of `doctor` and of
//! `check --online`.

use std::time::Duration;

use indicatif::ProgressBar;
use serde::Serialize;

/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(100);

/// How good it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// Nothing to do.
    Ok,
    /// A keeper starts, and somebody should look.
    Warn,
    /// A keeper does not start, or does not work.
    Fail,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    status: Status,
    looked_at: String,
    found: String,
    /// What to type or to change.
    remedy: Option<String>,
}

/// Who is told on stderr what is being looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// A terminal in place, and a log line by line.
    Everybody,
    /// A terminal alone.
    Terminal,
}

/// The findings so far, and what is being looked at now.
pub(super) struct Report {
    pub(super) findings: Vec<Finding>,
    bar: ProgressBar,
    progress: Progress,
}

impl Report {
    pub(super) fn new(progress: Progress) -> Self {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(TICK);
        Self { findings: Vec::new(), bar, progress }
    }

    /// Says on stderr what is looked at, since the answer may take a while.
    pub(super) fn look(&self, at: &str) {
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("looking at {at}"));
        } else if self.progress == Progress::Everybody {
            eprintln!("looking at {at}");
        }
    }

    /// Nothing more is looked at.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    pub(super) fn ok(&mut self, looked_at: impl Into<String>, found: impl Into<String>) {
        let (looked_at, found) = (looked_at.into(), found.into());
        self.findings.push(Finding { status: Status::Ok, looked_at, found, remedy: None });
    }

    pub(super) fn bad(
        &mut self,
        status: Status,
        looked_at: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let (looked_at, found, remedy) = (looked_at.into(), found.into(), Some(remedy.into()));
        self.findings.push(Finding { status, looked_at, found, remedy });
    }

    pub(super) fn n_failed(&self) -> usize {
        self.findings.iter().filter(|finding| finding.status == Status::Fail).count()
    }

    /// One line a finding, and one for its remedy.
    pub(super) fn table(&self) -> String {
        told(&self.findings.iter().collect::<Vec<_>>())
    }

    /// The same of what fails alone.
    pub(super) fn failures(&self) -> String {
        let fails = |finding: &&Finding| finding.status == Status::Fail;
        told(&self.findings.iter().filter(fails).collect::<Vec<_>>())
    }
}

fn told(findings: &[&Finding]) -> String {
    let width = findings.iter().map(|f| f.looked_at.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { status, looked_at, found, remedy } in findings {
        text.push_str(&format!("{:4}  {looked_at:width$}  {found}\n", status.word()));
        if let Some(remedy) = remedy {
            text.push_str(&format!("      {:width$}  do: {remedy}\n", ""));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_stands_below_what_was_found() {
        let (bar, progress) = (ProgressBar::hidden(), Progress::Terminal);
        let mut report = Report { findings: Vec::new(), bar, progress };
        report.ok("disk", "9 GiB free");
        report.bad(Status::Fail, "clock", "3 s ahead", "set it");
        let lines =
            ["ok    disk   9 GiB free", "fail  clock  3 s ahead", "             do: set it"];
        assert_eq!(report.table(), lines.join("\n") + "\n");
        assert_eq!(report.failures(), "fail  clock  3 s ahead\n             do: set it\n");
        assert_eq!(report.n_failed(), 1);
        let json = serde_json::to_value(&report.findings).expect("plain");
        assert_eq!(json[1]["status"], "fail");
        assert_eq!(json[0]["remedy"], serde_json::Value::Null);
    }
}
