//! Instants and spans of time as plain integers, so that a replay sees what the live
//! run saw.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// Nanoseconds in one millisecond.
pub const NS_PER_MS: i64 = 1_000_000;

impl Timestamp {
    /// From unix milliseconds, saturating at the edges of the type (years 1677 and 2262).
    pub fn from_ms(ms: i64) -> Self {
        Self(ms.saturating_mul(NS_PER_MS))
    }

    /// From unix seconds, saturating.
    pub fn from_s(s: i64) -> Self {
        Self::from_ms(s.saturating_mul(1_000))
    }

    /// Unix milliseconds, rounded towards the past.
    pub fn ms(self) -> i64 {
        self.0.div_euclid(NS_PER_MS)
    }

    /// Milliseconds from `earlier` to `self`; negative when `earlier` is later.
    pub fn ms_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0) / NS_PER_MS
    }

    /// This instant moved by `ms` milliseconds, saturating.
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(NS_PER_MS)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.ms())
    }
}
