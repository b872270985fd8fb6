//! Where topology, connections and routing meet. The loop of attempts exists once, in `executor`.

pub(crate) mod connect;
pub(crate) mod core;
pub(crate) mod executor;
pub(crate) mod job;
mod refresher;
pub(crate) mod routes;
