//! Numbers in, numbers out.
//!
//! What the curves say, exactly, and what statistics estimate. Nothing here knows an event, a
//! clock or an account; whatever is integer on chain stays integer here.

pub mod amm;
pub mod cycle;
pub mod il;
pub mod quoting;
