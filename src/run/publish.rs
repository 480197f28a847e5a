//! What readers see: the newest snapshot, replaced as a whole, and figures of the loop itself.

use std::sync::{Arc, Mutex};

use serde::Serialize;
use tokio::sync::{mpsc, watch};
use utoipa::ToSchema;

use crate::engine::event::Directive;
use crate::engine::snapshot::Snapshot;

/// Handling times kept for the percentiles.
const TIMES_MAX: usize = 200_000;

/// The published document: the engine's snapshot and the store's state beside it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Published {
    /// The engine.
    #[serde(flatten)]
    pub snapshot: Snapshot,
    /// The store.
    pub store: StoreView,
}

/// The store as people see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StoreView {
    /// live or stalled.
    pub state: &'static str,
    /// 99th percentile of recent commits, milliseconds.
    pub commit_ms_p99: Option<String>,
}

/// Figures of the loop since the process started.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct LoopFigures {
    /// Facts handled.
    pub events: u64,
    /// Nanoseconds one fact took, median and 99th percentile.
    pub engine_ns: Percentiles,
    /// From process start to the first running state, milliseconds.
    pub startup_ms: Option<i64>,
    /// Resident memory, bytes.
    pub rss_bytes: Option<u64>,
}

/// Two percentiles.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct Percentiles {
    /// Median.
    pub p50: u64,
    /// 99th.
    pub p99: u64,
}

/// The door between the loop and its readers.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The newest document.
    pub published: watch::Receiver<Option<Arc<Published>>>,
    /// The operator's word.
    pub directives: mpsc::Sender<Directive>,
    /// Figures of the loop.
    pub clockwork: Arc<Clockwork>,
}

/// Handling times, shared with readers.
#[derive(Debug, Default)]
pub struct Clockwork {
    times_ns: Mutex<Vec<u32>>,
    events: std::sync::atomic::AtomicU64,
    startup_ms: Mutex<Option<i64>>,
}

impl Clockwork {
    /// One fact was handled.
    pub(super) fn handled(&self, ns: u128) {
        let n = self.events.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut times = self.times_ns.lock().expect("no holder panics");
        let value = u32::try_from(ns).unwrap_or(u32::MAX);
        if times.len() < TIMES_MAX {
            times.push(value);
        } else if let Ok(index) = usize::try_from(n % TIMES_MAX as u64) {
            times[index] = value;
        }
    }

    /// The house runs for the first time.
    pub(super) fn started(&self, ms: i64) {
        self.startup_ms.lock().expect("no holder panics").get_or_insert(ms);
    }

    /// The figures now.
    pub fn figures(&self) -> LoopFigures {
        let mut times = self.times_ns.lock().expect("no holder panics").clone();
        times.sort_unstable();
        let at = |percent: usize| {
            times.get(times.len().saturating_sub(1) * percent / 100).copied().map_or(0, u64::from)
        };
        LoopFigures {
            events: self.events.load(std::sync::atomic::Ordering::Relaxed),
            engine_ns: Percentiles { p50: at(50), p99: at(99) },
            startup_ms: *self.startup_ms.lock().expect("no holder panics"),
            rss_bytes: rss_bytes(),
        }
    }
}

/// Resident memory by the kernel's account; `None` where there is no such file.
fn rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1_024)
}
