//! Everything that touches a socket. Imports floors 0 to 2 only; knows nothing of slots or topology.

pub(crate) mod budget;
pub(crate) mod handshake;
pub(crate) mod link;
mod link_task;
pub(crate) mod loss;
mod outgoing;
pub(crate) mod pool;
pub(crate) mod transport;
pub(crate) mod unit;
