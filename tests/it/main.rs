//! The one integration binary.

mod backup;
mod chain_files;
mod cluster;
mod openapi;
mod ops;
mod served;
mod tidy;
mod worlds;
