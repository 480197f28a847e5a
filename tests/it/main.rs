//! The one integration binary.

mod backup;
mod bytecode;
mod chain_files;
mod cluster;
mod edits;
mod fuzz;
mod openapi;
mod ops;
mod pools;
mod recorded;
mod served;
mod tidy;
mod worlds;
