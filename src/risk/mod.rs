//! What we may: the only door between a want and a deed.

pub mod gate;
