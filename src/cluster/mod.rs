//! Where topology, connections and routing meet. The loop of attempts exists once, in `executor`;
//! what `pinned` sends has one connection, and so no other attempt once it has begun.

pub(crate) mod acknowledged;
mod attempt;
pub(crate) mod batches;
pub(crate) mod connect;
pub(crate) mod core;
pub(crate) mod executor;
pub(crate) mod figures;
mod group;
mod history;
pub(crate) mod job;
pub(crate) mod learned;
mod merging;
pub(crate) mod pinned;
pub(crate) mod pubsub;
mod refresher;
pub(crate) mod routes;
pub(crate) mod topology_feed;
pub(crate) mod unit;
pub(crate) mod way;
