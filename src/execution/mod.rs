//! How wants become deeds: the state machines of transactions and orders.
//!
//! Nothing here sends; a machine answers what is true after an event and what may follow.

pub mod order;
pub mod plan;
pub mod tx;
