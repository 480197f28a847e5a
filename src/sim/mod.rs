//! The pretend world: a price-time-priority exchange whose market is a recording, and pretend
//! accounts in the real world (`paper`).
//!
//! Pure and single-threaded: time is a parameter, events are returned, nothing here knows a socket.
//! Prices and quantities are `i64` in 1e-8 units, money is `i128` in 1e-8 units of its asset. All
//! sums are exact: the grids of `rules` make every price times quantity a whole number of units,
//! and `BALANCE_MAX` keeps every intermediate product inside `i128`.

pub mod book;
pub mod clearing;
pub mod depth;
pub mod desk;
pub mod fixed;
pub mod market;
pub mod order;
pub mod paper;
pub mod perp;
pub mod position;
pub mod rules;
pub mod spot;
pub mod tape;

#[cfg(test)]
mod tests;

/// Largest balance of one asset, 1e-8 units: deposits beyond it are refused.
pub const BALANCE_MAX: i128 = 1_000_000_000 * fixed::ONE as i128;
