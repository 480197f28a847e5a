//! The live driver: facts from sockets and chains into the engine, its answers to store and world.

pub mod agent;
mod deeds;
mod keeper;
pub mod publish;
mod setup;
mod venue;
mod writer;
