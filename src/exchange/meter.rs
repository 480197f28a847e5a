//! Request weight and order counts in windows aligned to the wall clock.

use crate::exchange::errors::{ApiError, Venue};

/// One counter over windows of fixed length.
#[derive(Debug)]
pub struct Window {
    span_ms: i64,
    limit: u64,
    index: i64,
    count: u64,
}

impl Window {
    fn new(span_ms: i64, limit: u64) -> Self {
        Self { span_ms, limit, index: 0, count: 0 }
    }

    fn turn(&mut self, now_ms: i64) {
        let index = now_ms.div_euclid(self.span_ms);
        if index != self.index {
            (self.index, self.count) = (index, 0);
        }
    }

    fn has_room(&mut self, now_ms: i64, more: u64) -> bool {
        self.turn(now_ms);
        self.count + more <= self.limit
    }

    fn left_s(&self, now_ms: i64) -> i64 {
        (self.span_ms - now_ms.rem_euclid(self.span_ms)) / 1_000 + 1
    }
}

/// The counters of one venue.
#[derive(Debug)]
pub struct Meter {
    weight: Window,
    orders_short: Window,
    orders_long: Window,
    long_name: &'static str,
}

impl Meter {
    /// The limits `exchangeInfo` publishes.
    pub fn new(venue: Venue) -> Self {
        match venue {
            Venue::Spot => Self {
                weight: Window::new(60_000, 6_000),
                orders_short: Window::new(10_000, 100),
                orders_long: Window::new(86_400_000, 200_000),
                long_name: "x-mbx-order-count-1d",
            },
            Venue::Usdm => Self {
                weight: Window::new(60_000, 2_400),
                orders_short: Window::new(10_000, 300),
                orders_long: Window::new(60_000, 1_200),
                long_name: "x-mbx-order-count-1m",
            },
        }
    }

    /// Counts a request, or refuses it.
    pub fn request(&mut self, weight: u64, now_ms: i64) -> Result<(), (ApiError, i64)> {
        if self.weight.has_room(now_ms, weight) {
            self.weight.count += weight;
            return Ok(());
        }
        let text = "Too much request weight used; current limit is reached. Please use WebSocket \
                    Streams for live updates to avoid polling the API.";
        Err((ApiError::with_status(429, -1003, text), self.weight.left_s(now_ms)))
    }

    /// Counts a new order, or refuses it.
    pub fn order(&mut self, now_ms: i64) -> Result<(), ApiError> {
        for window in [&mut self.orders_short, &mut self.orders_long] {
            if !window.has_room(now_ms, 1) {
                let text = format!(
                    "Too many new orders; current limit is {} orders per {} SECOND.",
                    window.limit,
                    window.span_ms / 1_000
                );
                return Err(ApiError::with_status(429, -1015, text));
            }
        }
        self.orders_short.count += 1;
        self.orders_long.count += 1;
        Ok(())
    }

    /// Weight used in the current minute.
    pub fn used_weight(&self) -> u64 {
        self.weight.count
    }

    /// The order-count headers.
    pub fn order_headers(&self) -> [(&'static str, u64); 2] {
        let short = ("x-mbx-order-count-10s", self.orders_short.count);
        [short, (self.long_name, self.orders_long.count)]
    }
}

#[cfg(test)]
mod tests {
    use super::Meter;
    use crate::exchange::errors::Venue;

    #[test]
    fn a_full_window_refuses_until_the_next_one() {
        let mut meter = Meter::new(Venue::Usdm);
        assert!(meter.request(2_400, 60_000).is_ok());
        let (error, wait_s) = meter.request(1, 119_000).unwrap_err();
        assert_eq!((error.status, error.code, wait_s), (429, -1003, 2));
        assert!(meter.request(1, 120_000).is_ok());
        for _ in 0..300 {
            meter.order(0).unwrap();
        }
        assert_eq!(meter.order(9_999).unwrap_err().code, -1015);
        assert!(meter.order(10_000).is_ok());
    }
}
