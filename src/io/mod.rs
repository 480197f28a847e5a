//! The shore: clock, sockets, processes, chains. Everything that can wait or fail outside of us.

pub mod chain;
pub mod clock;
pub mod lock;
pub mod process;
pub mod rest;
pub mod signer;
pub mod websocket;
