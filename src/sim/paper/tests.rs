//! Pretend accounts: alone by their rules, and as the whole of what an engine is told of itself.

mod acts;
mod gaps;
mod orders;
mod story;
mod taken;
