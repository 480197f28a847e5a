//! Whole worlds: real contracts on anvil, the real exchange protocol, real Postgres, and
//! the real binary.

mod audits;
mod chain;
mod crashes;
mod discovers;
mod edits;
mod exports;
mod faults;
mod fifty;
mod fork;
mod hands;
mod loading;
mod online;
mod paper;
mod pools;
mod probe;
mod reorgs;
mod replays;
mod stage;
mod v4;
