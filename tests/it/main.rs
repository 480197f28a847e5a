//! The one integration binary.

mod chain_files;
mod cluster;
mod tidy;
mod worlds;
