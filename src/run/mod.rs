//! The live driver: facts from sockets and chains into the engine, its answers to store and world.

pub mod agent;
mod deeds;
mod editor;
pub mod journal;
mod keeper;
mod paper;
pub mod publish;
pub mod recorded;
pub mod replay;
pub(crate) mod setup;
mod states;
mod venue;
mod wiring;
mod writer;
