//! Whole worlds: real contracts on anvil, the real exchange protocol, real Postgres, the real binary.

mod crashes;
mod faults;
mod stage;
