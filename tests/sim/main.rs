//! Scenarios on a simulated cluster, in memory and under a paused clock.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests report by panicking, in their helpers too, where clippy.toml does not allow it by itself"
)]

mod admin;
mod admin_claims;
mod admin_groups;
mod admin_import;
mod admin_members;
mod admin_moves;
mod admin_roll;
mod backpressure;
mod blocking;
mod cancellation;
mod closing;
mod cluster_behaviour;
mod dead_peers;
mod deadlines;
mod dials;
mod dropped_anywhere;
mod durable;
mod failover;
mod fan_out;
mod faults;
mod half_moved_reads;
mod isolation;
mod large;
mod ledger;
mod observe;
mod outcomes;
mod pooling;
mod pubsub;
mod redirects;
mod replica_reads;
mod resharding;
mod runtimes;
mod scan;
mod scenarios;
mod schedules;
mod sessions;
mod storm;
mod support;
mod traced;
mod truth;
mod watch_sessions;

use keyslot::testkit::sim::SimCluster;
use keyslot::{Client, Commands};

#[tokio::test(start_paused = true)]
async fn a_client_reads_what_it_wrote() {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let client =
        Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await.unwrap();
    client.set("user:1", "Ann").await.unwrap();
    assert_eq!(client.get::<String>("user:1").await.unwrap(), "Ann");
    assert_eq!(cluster.ledger().count("SET user:1 Ann"), 1);
}

#[tokio::test]
async fn the_same_holds_on_real_sockets() {
    let cluster = SimCluster::builder().start().await.unwrap();
    let client = Client::connect(cluster.url()).await.unwrap();
    client.set("user:1", "Ann").await.unwrap();
    assert_eq!(client.get::<String>("user:1").await.unwrap(), "Ann");
}
