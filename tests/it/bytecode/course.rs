//! One sequence under way: what is drawn for it, where it stands, and what became of each act.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::thread;

use anyhow::{Result, bail};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::machine::{Done, Sent};

/// Acts by kind: those that went through, and those that both sides refused.
#[derive(Default)]
pub(super) struct Tally {
    counts: BTreeMap<&'static str, [u64; 2]>,
}

impl Tally {
    pub(super) fn total(&self) -> u64 {
        self.counts.values().flatten().sum()
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (kind, counts) in &other.counts {
            let sum = self.counts.entry(*kind).or_default();
            for (sum, count) in sum.iter_mut().zip(counts) {
                *sum += count;
            }
        }
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, [done, refused])) in self.counts.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{kind} {done}")?;
            if *refused > 0 {
                write!(f, " (+{refused} refused)")?;
            }
        }
        Ok(())
    }
}

/// One pool there and ours beside it.
pub(super) trait Lives {
    /// One act of those that such pools see, and the comparison after it.
    fn act(&mut self, course: &mut Course) -> Result<()>;

    /// What is done and compared at the end.
    fn end(&mut self, course: &mut Course) -> Result<()>;
}

/// One sequence. Everything in it follows from its seed.
pub(super) struct Course {
    pub(super) rng: StdRng,
    pub(super) tally: Tally,
    seed: u64,
    kind: &'static str,
    doing: String,
}

impl Course {
    pub(super) fn begin(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            tally: Tally::default(),
            seed,
            kind: "opening",
            doing: String::new(),
        }
    }

    /// Says what comes next, for the message of a failure.
    pub(super) fn does(&mut self, kind: &'static str, doing: impl Display) {
        (self.kind, self.doing) = (kind, doing.to_string());
    }

    /// Holds what the contract did against what we foresaw. `why_not` is our reason to refuse;
    /// `None` is given back where both sides refused.
    pub(super) fn judge(&mut self, why_not: Option<String>, sent: Sent) -> Result<Option<Done>> {
        match (why_not, sent) {
            (None, Sent::Done(done)) => {
                self.count(true);
                Ok(Some(done))
            }
            (Some(_), Sent::Refused(_)) => {
                self.count(false);
                Ok(None)
            }
            (None, Sent::Refused(why)) => bail!("the contract refuses what we do not: {why}"),
            (Some(why), Sent::Done(_)) => bail!("the contract does what we refuse: {why}"),
        }
    }

    /// Counts the act under way.
    pub(super) fn count(&mut self, is_done: bool) {
        let [done, refused] = self.tally.counts.entry(self.kind).or_default();
        *(if is_done { done } else { refused }) += 1;
    }

    /// What is under way, and how to come here again.
    pub(super) fn place(&self) -> String {
        let (seed, step) = (self.seed, self.tally.total() + 1);
        format!(
            "seed {seed}, act {step}: {} {} (TIDEKEEPER_SEED={seed} begins here)",
            self.kind, self.doing
        )
    }
}

impl Drop for Course {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.place());
        }
    }
}
