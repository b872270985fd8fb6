//! The data of one simulated node: keys with their values and expiry. Pure; knows no connection and no cluster.

pub(super) mod entry;
pub(super) mod interval;
pub(super) mod payload;
pub(super) mod sorted_set;
pub(super) mod store;
pub(super) mod stream;
