//! The client and its administration on real servers of every version. One program, as linking the crate again for each
//! subject took half of the time that the tests are built in; `cargo nextest run --test live scan::` is one subject.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests report by panicking, in their helpers too, where clippy.toml does not allow it by itself"
)]

#[path = "../live_support/mod.rs"]
mod live_support;

mod addresses;
mod admin;
mod admin_ops;
mod blocking;
mod client;
mod commands;
mod credentials;
mod failover;
mod failover_support;
mod fan_out;
mod learned;
mod namespaces;
mod observe;
mod partition;
mod pubsub;
mod reads;
mod recovery;
mod redirects;
mod reshard;
mod resize;
mod resumed;
mod scan;
mod scripts;
mod sessions;
mod testkit;
