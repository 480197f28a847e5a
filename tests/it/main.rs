//! The one integration binary.

mod backup;
mod chain_files;
mod cluster;
mod edits;
mod openapi;
mod ops;
mod served;
mod tidy;
mod worlds;
