//! What the benches count: time of the processor spent by this thread, not of the clock on the
//! wall, which on a shared machine also counts what others do.

use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use nix::time::{ClockId, clock_gettime};

/// How times are written; they are nanoseconds like those of the wall.
static WRITTEN: WallTime = WallTime;

/// Processor time of the calling thread, from `CLOCK_THREAD_CPUTIME_ID`.
#[derive(Debug)]
pub(crate) struct ThreadTime;

impl ThreadTime {
    /// Spent by this thread so far.
    pub(crate) fn now() -> Duration {
        let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every thread has it");
        now.into()
    }
}

impl Measurement for ThreadTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        Self::now()
    }

    fn end(&self, began: Duration) -> Duration {
        Self::now() - began
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WRITTEN.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WRITTEN.formatter()
    }
}
