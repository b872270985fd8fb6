//! Where topology, connections and routing meet. The loop of attempts exists once, in `executor`.

mod attempt;
pub(crate) mod connect;
pub(crate) mod core;
pub(crate) mod executor;
mod group;
pub(crate) mod job;
pub(crate) mod learned;
pub(crate) mod pubsub;
mod refresher;
pub(crate) mod routes;
mod unit;
