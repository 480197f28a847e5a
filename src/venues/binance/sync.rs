//! From raw depth frames and REST snapshots to a book that provably misses nothing.
//!
//! One machine per market and stream, without a socket or a clock. Its invariant: whenever the
//! chain of update ids is in doubt, `Invalid` is the first step it returns, before any other.
//! The two dialects differ in all three rules:
//!
//! | rule | spot | USD-M |
//! |---|---|---|
//! | drop a diff covered by the snapshot | `u <= last` | `u < last` |
//! | first diff after the snapshot | `U <= last + 1 <= u` | `U <= last <= u` |
//! | next diff | `U <= last + 1` | `pu == last` |

use std::collections::VecDeque;

use crate::{
    market::book::BookUpdate,
    model::time::Timestamp,
    venues::binance::{
        Dialect,
        sync::depth::{Depth, DepthSnapshot, Frame},
    },
};

mod depth;

/// Diffs kept while waiting for a snapshot; about three minutes of a 100 ms stream.
pub const BUFFERED_DIFFS_MAX: usize = 2_000;

/// Shortest time between two snapshot requests; doubles with every failure in a row.
pub const SNAPSHOT_SPACING_MS: i64 = 1_000;

/// Longest time between two snapshot requests.
pub const SNAPSHOT_SPACING_MS_MAX: i64 = 16_000;

/// Snapshot requests without success before the connection itself is given up.
pub const SNAPSHOT_ATTEMPTS_MAX: u32 = 8;

/// An unanswered snapshot request is repeated after this time.
pub const SNAPSHOT_WAIT_MS: i64 = 10_000;

/// What the owner of the socket must do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask REST for the book and give the answer to `snapshot`.
    FetchSnapshot,
    /// Apply this to the book.
    Emit(BookUpdate),
    /// What the book holds may be wrong: empty it now.
    Invalid {
        /// For people.
        why: String,
    },
    /// Close the socket and open it again; `closed` and `opened` will tell.
    Reconnect,
}

/// Where the machine stands.
///
/// ```text
///            opened              snapshot             next diff bridges it
///  Closed ──────────▶ Buffering ──────────▶ Bridging ──────────────────────▶ Live
///    ▲                  ▲   ▲                  │ diff beyond it                │
///    │                  │   └──────────────────┘                               │
///    │ closed, quiet,   └──────────────────────────────────────── gap ─────────┘
///    └ shutdown (from any)
/// ```
#[derive(Debug)]
enum Phase {
    Closed,
    /// Diffs are kept, a snapshot is on its way.
    Buffering,
    /// A snapshot is here; the diff that proves it belongs to this stream is not.
    Bridging(DepthSnapshot),
    Live {
        /// Update id of the last diff emitted.
        last: u64,
    },
}

/// How a diff stands to the last known update id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Follows directly.
    Next,
    /// Known already.
    Old,
    /// Something between is missing.
    Gap,
}

/// The request for a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fetch {
    Idle,
    Due(Timestamp),
    Asked(Timestamp),
}

/// The sync machine of one depth stream.
#[derive(Debug)]
pub struct BookSync {
    dialect: Dialect,
    symbol: String,
    quiet_max_ms: i64,
    phase: Phase,
    buffer: VecDeque<Depth>,
    fetch: Fetch,
    asked_last: Option<Timestamp>,
    attempts: u32,
    heard: Timestamp,
}

impl BookSync {
    /// A machine for `symbol` (in the venue's upper case), closed; a stream that brings no usable
    /// diff for `quiet_max_ms` is reconnected.
    pub fn new(dialect: Dialect, symbol: &str, quiet_max_ms: i64) -> Self {
        Self {
            dialect,
            symbol: symbol.to_owned(),
            quiet_max_ms,
            phase: Phase::Closed,
            buffer: VecDeque::new(),
            fetch: Fetch::Idle,
            asked_last: None,
            attempts: 0,
            heard: Timestamp::default(),
        }
    }

    /// The socket opened. The snapshot is asked for when the first diff is here, so that it
    /// cannot be older than the stream.
    pub fn opened(&mut self, at: Timestamp) -> Vec<Step> {
        let steps = match self.phase {
            Phase::Live { .. } => vec![invalid("the socket opened again")],
            Phase::Closed | Phase::Buffering | Phase::Bridging(_) => Vec::new(),
        };
        self.phase = Phase::Buffering;
        self.buffer.clear();
        self.fetch = Fetch::Idle;
        self.heard = at;
        steps
    }

    /// The socket closed.
    pub fn closed(&mut self, _at: Timestamp) -> Vec<Step> {
        self.close("the socket closed")
    }

    /// A frame arrived. Frames of other markets and answers to subscriptions are passed over.
    pub fn frame(&mut self, bytes: &[u8], at: Timestamp) -> Vec<Step> {
        if matches!(self.phase, Phase::Closed) {
            return Vec::new();
        }
        match depth::frame(self.dialect, bytes) {
            Ok(Frame::Depth(event)) if event.symbol == self.symbol => self.diff(event, at),
            Ok(Frame::Depth(_) | Frame::Other) => Vec::new(),
            Ok(Frame::Shutdown) => self.reconnect("the venue shuts this connection down"),
            Ok(Frame::Refused(text)) => self.reconnect(&format!("refused: {text}")),
            // An unreadable frame may have been a change, so the chain is in doubt.
            Err(e) => self.restart(&e.to_string(), None, at),
        }
    }

    /// The answer to `FetchSnapshot` arrived.
    pub fn snapshot(&mut self, bytes: &[u8], at: Timestamp) -> Vec<Step> {
        if !matches!(self.phase, Phase::Buffering) {
            return Vec::new();
        }
        match depth::snapshot(bytes) {
            Ok(snapshot) => {
                self.fetch = Fetch::Idle;
                self.bridge(snapshot, at)
            }
            Err(_) => self.snapshot_failed(at),
        }
    }

    /// The request behind `FetchSnapshot` failed: it will be asked for again, later each time.
    pub fn snapshot_failed(&mut self, at: Timestamp) -> Vec<Step> {
        if !matches!(self.phase, Phase::Buffering) {
            return Vec::new();
        }
        self.attempts = self.attempts.saturating_add(1);
        if self.attempts >= SNAPSHOT_ATTEMPTS_MAX {
            return self.reconnect("no usable snapshot");
        }
        self.ask(at)
    }

    /// Lets time pass; wants a call a few times a second.
    pub fn tick(&mut self, at: Timestamp) -> Vec<Step> {
        if matches!(self.phase, Phase::Closed) {
            return Vec::new();
        }
        if at.ms_since(self.heard) > self.quiet_max_ms {
            return self.reconnect("the stream is quiet");
        }
        match self.fetch {
            Fetch::Due(due) if at >= due => self.ask(at),
            Fetch::Asked(asked) if at.ms_since(asked) > SNAPSHOT_WAIT_MS => {
                self.snapshot_failed(at)
            }
            Fetch::Idle | Fetch::Due(_) | Fetch::Asked(_) => Vec::new(),
        }
    }

    /// Starts over on the open socket, because the book's owner found it wrong.
    pub fn resync(&mut self, why: &str, at: Timestamp) -> Vec<Step> {
        match self.phase {
            Phase::Closed => Vec::new(),
            Phase::Buffering | Phase::Bridging(_) | Phase::Live { .. } => {
                self.restart(why, None, at)
            }
        }
    }

    fn diff(&mut self, event: Depth, at: Timestamp) -> Vec<Step> {
        match &self.phase {
            Phase::Closed => Vec::new(),
            Phase::Live { last } => match self.order(*last, &event) {
                // Old diffs do not count as life: a venue that starts its ids again
                // would otherwise look alive for ever.
                Order::Old => Vec::new(),
                Order::Gap => {
                    let why = format!("gap: have {last}, got {}..{}", event.first, event.last);
                    self.restart(&why, Some(event), at)
                }
                Order::Next => {
                    self.heard = at;
                    self.phase = Phase::Live { last: event.last };
                    vec![Step::Emit(event.into_update())]
                }
            },
            Phase::Buffering => {
                self.heard = at;
                self.keep(event, at)
            }
            // Not a sign of life until one of them bridges: the snapshot may be far ahead for ever.
            Phase::Bridging(_) => self.keep(event, at),
        }
    }

    /// Buffers a diff. The buffer is always one unbroken chain: a gap drops what was before it.
    fn keep(&mut self, event: Depth, at: Timestamp) -> Vec<Step> {
        let order = self.buffer.back().map(|previous| self.order(previous.last, &event));
        if order == Some(Order::Old) {
            return Vec::new();
        }
        if order == Some(Order::Gap) || self.buffer.len() >= BUFFERED_DIFFS_MAX {
            self.buffer.clear();
        }
        self.buffer.push_back(event);
        match std::mem::replace(&mut self.phase, Phase::Buffering) {
            Phase::Bridging(snapshot) => self.bridge(snapshot, at),
            Phase::Closed | Phase::Buffering | Phase::Live { .. } if self.fetch == Fetch::Idle => {
                self.ask(at)
            }
            Phase::Closed | Phase::Buffering | Phase::Live { .. } => Vec::new(),
        }
    }

    /// Lays the buffered diffs onto the snapshot, if they touch it.
    fn bridge(&mut self, snapshot: DepthSnapshot, at: Timestamp) -> Vec<Step> {
        while self.buffer.front().is_some_and(|event| self.is_covered(snapshot.last, event)) {
            self.buffer.pop_front();
        }
        let Some(first) = self.buffer.front() else {
            self.phase = Phase::Bridging(snapshot);
            return Vec::new();
        };
        if !self.is_bridge(snapshot.last, first) {
            self.phase = Phase::Buffering;
            return self.snapshot_failed(at);
        }
        let last = self.buffer.back().map_or(snapshot.last, |event| event.last);
        self.phase = Phase::Live { last };
        self.heard = at;
        self.attempts = 0;
        let diffs = self.buffer.drain(..).map(Depth::into_update);
        std::iter::once(snapshot.into_update()).chain(diffs).map(Step::Emit).collect()
    }

    fn order(&self, last: u64, event: &Depth) -> Order {
        match self.dialect {
            Dialect::Spot if event.last <= last => Order::Old,
            Dialect::Spot if event.first <= last.saturating_add(1) => Order::Next,
            Dialect::UsdM if event.previous == Some(last) && event.last >= last => Order::Next,
            // The same diff twice changes nothing; anything else out of order is a break.
            Dialect::UsdM if event.last == last => Order::Old,
            Dialect::Spot | Dialect::UsdM => Order::Gap,
        }
    }

    fn is_covered(&self, last: u64, event: &Depth) -> bool {
        match self.dialect {
            Dialect::Spot => event.last <= last,
            Dialect::UsdM => event.last < last,
        }
    }

    fn is_bridge(&self, last: u64, event: &Depth) -> bool {
        match self.dialect {
            Dialect::Spot => event.first <= last.saturating_add(1),
            // A diff whose predecessor is the snapshot's last change follows it as well.
            Dialect::UsdM => event.first <= last || event.previous == Some(last),
        }
    }

    /// Asks for a snapshot now, or when the spacing allows.
    fn ask(&mut self, at: Timestamp) -> Vec<Step> {
        let due = self.asked_last.map_or(at, |asked| asked.plus_ms(self.spacing_ms()));
        if due > at {
            self.fetch = Fetch::Due(due);
            return Vec::new();
        }
        self.fetch = Fetch::Asked(at);
        self.asked_last = Some(at);
        vec![Step::FetchSnapshot]
    }

    fn spacing_ms(&self) -> i64 {
        let doublings = self.attempts.min(SNAPSHOT_ATTEMPTS_MAX);
        (SNAPSHOT_SPACING_MS << doublings).min(SNAPSHOT_SPACING_MS_MAX)
    }

    fn restart(&mut self, why: &str, first: Option<Depth>, at: Timestamp) -> Vec<Step> {
        let mut steps = vec![invalid(why)];
        self.phase = Phase::Buffering;
        self.buffer.clear();
        self.fetch = Fetch::Idle;
        if let Some(event) = first {
            steps.extend(self.keep(event, at));
        }
        steps
    }

    fn reconnect(&mut self, why: &str) -> Vec<Step> {
        let mut steps = self.close(why);
        steps.push(Step::Reconnect);
        steps
    }

    fn close(&mut self, why: &str) -> Vec<Step> {
        let was_closed = matches!(self.phase, Phase::Closed);
        self.phase = Phase::Closed;
        self.buffer.clear();
        self.fetch = Fetch::Idle;
        self.attempts = 0;
        if was_closed { Vec::new() } else { vec![invalid(why)] }
    }
}

fn invalid(why: &str) -> Step {
    Step::Invalid { why: why.to_owned() }
}

#[cfg(test)]
mod tests;
