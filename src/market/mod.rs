//! What is: pools kept exactly from logs, order books kept from diffs.

pub mod book;
pub mod pools;
