//! The one place of the agent that reads the time.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::model::time::Timestamp;

/// Now: this machine's clock at the start of the process, moved on by its monotonic clock, so that
/// a wall clock set back or forth cannot make data look fresh or a deadline look far.
pub fn now() -> Timestamp {
    static START: OnceLock<(Instant, i64)> = OnceLock::new();
    let (start, wall_ns) = START.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (Instant::now(), i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    });
    let passed = i64::try_from(start.elapsed().as_nanos()).unwrap_or(i64::MAX);
    Timestamp(wall_ns.saturating_add(passed))
}
