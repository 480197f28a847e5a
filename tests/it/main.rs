//! The one integration binary.

mod cluster;
mod tidy;
mod worlds;
