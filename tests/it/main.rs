//! The one integration binary.

mod worlds;
