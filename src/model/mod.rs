//! Nouns: what the rest of the house speaks about. No behaviour beyond their own arithmetic.

pub mod amount;
pub mod chain;
pub mod intent;
pub mod opportunity;
pub mod order;
pub mod text;
pub mod time;
pub mod unit;
pub mod venue;
