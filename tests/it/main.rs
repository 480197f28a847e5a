//! The one integration binary.

mod backup;
mod chain_files;
mod cluster;
mod ops;
mod tidy;
mod worlds;
