//! The four states of a feed and its one transition function.

use serde::{Deserialize, Serialize};

use crate::model::time::Timestamp;

/// State of a feed.
///
/// ```text
///            snapshot             overdue
/// Syncing ────────────▶ Live ◀──────────────▶ Stale
///    ▲  ▲               │ │   snapshot, diff    │
///    │  └───────────────┘ └───────┬─────────────┘
///    │      broken, opened        │ closed (from any)
///    └──────── opened ────────── Down
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "feed", rename_all = "snake_case")]
pub enum Feed {
    /// Connected or connecting; no trustworthy levels yet.
    Syncing,
    /// Complete and young enough.
    Live,
    /// Complete when last heard, but silent for longer than the limit.
    Stale {
        /// When the limit was passed.
        since: Timestamp,
    },
    /// No connection.
    Down {
        /// When it was lost.
        since: Timestamp,
    },
}

/// What can happen to a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedEvent {
    /// The connection opened.
    Opened,
    /// A whole book arrived.
    Snapshot,
    /// A proven next change arrived.
    Diff,
    /// The chain of changes broke.
    Broken,
    /// Nothing was heard for longer than the limit.
    Overdue,
    /// The connection closed.
    Closed,
}

impl Feed {
    /// The one transition function; `at` becomes `since` where the new state has one.
    #[must_use]
    pub fn after(self, event: FeedEvent, at: Timestamp) -> Self {
        match (self, event) {
            (Self::Down { .. }, FeedEvent::Opened) => Self::Syncing,
            // Late frames of a connection that is gone prove nothing about the present.
            (Self::Down { .. }, _) => self,
            (_, FeedEvent::Closed) => Self::Down { since: at },
            (_, FeedEvent::Opened | FeedEvent::Broken) => Self::Syncing,
            (_, FeedEvent::Snapshot) => Self::Live,
            (Self::Syncing, FeedEvent::Diff | FeedEvent::Overdue) => Self::Syncing,
            (Self::Live | Self::Stale { .. }, FeedEvent::Diff) => Self::Live,
            (Self::Live, FeedEvent::Overdue) => Self::Stale { since: at },
            (Self::Stale { .. }, FeedEvent::Overdue) => self,
        }
    }

    /// The state as one word: `syncing`, `live`, `stale` or `down`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Syncing => "syncing",
            Self::Live => "live",
            Self::Stale { .. } => "stale",
            Self::Down { .. } => "down",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_and_event_has_its_successor() {
        use Feed::{Live, Syncing};
        use FeedEvent::{Broken, Closed, Diff, Opened, Overdue, Snapshot};
        let (old, now) = (Timestamp::from_ms(1), Timestamp::from_ms(2));
        let stale = |since| Feed::Stale { since };
        let down = |since| Feed::Down { since };
        let events = [Opened, Snapshot, Diff, Broken, Overdue, Closed];
        let table = [
            (Syncing, [Syncing, Live, Syncing, Syncing, Syncing, down(now)]),
            (Live, [Syncing, Live, Live, Syncing, stale(now), down(now)]),
            (stale(old), [Syncing, Live, Live, Syncing, stale(old), down(now)]),
            (down(old), [Syncing, down(old), down(old), down(old), down(old), down(old)]),
        ];
        for (state, successors) in table {
            for (event, successor) in events.into_iter().zip(successors) {
                assert_eq!(state.after(event, now), successor, "{state:?} {event:?}");
            }
        }
    }
}
