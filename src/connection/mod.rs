//! Everything that touches a socket. Imports floors 0 to 2 only; knows nothing of slots or topology.

pub(crate) mod address_map;
pub(crate) mod budget;
mod clock;
mod conversation;
pub(crate) mod dials;
pub(crate) mod feed;
pub(crate) mod handshake;
pub(crate) mod link;
pub(crate) mod link_context;
mod link_task;
mod lock;
pub(crate) mod logins;
pub(crate) mod loss;
pub(crate) mod observed;
mod outgoing;
pub(crate) mod pool;
mod queue;
mod relogin;
mod socket;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod transport;
pub(crate) mod unit;
mod waiters;
