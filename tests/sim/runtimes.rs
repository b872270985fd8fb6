//! A client that several runtimes use: what it keeps lives in the one that it was made in.

use keyslot::testkit::sim::SimCluster;
use keyslot::{Client, Commands, Outcome, ReadFrom};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::support::{SECOND, builder, owner, slot};

/// The runtime that clients are made in. It runs while others do.
fn home() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Uses the client in a runtime of its own, which ends with that.
fn elsewhere<T>(future: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn made(from: ReadFrom) -> (SimCluster, Client) {
    let cluster = SimCluster::builder().replicas(1).start_in_memory().unwrap();
    let client = builder(&cluster).read_from(from).command_timeout(2 * SECOND).connect().await.unwrap();
    client.set("k", "1").await.unwrap();
    (cluster, client)
}

#[test]
fn a_replica_that_another_runtime_was_the_first_to_read_from_is_read_from_when_that_has_ended() {
    let home = home();
    let (_cluster, client) = home.block_on(made(ReadFrom::Replica));
    assert_eq!(elsewhere(async { client.get::<String>("k").await }).unwrap(), "1");
    assert_eq!(home.block_on(async { client.get::<String>("k").await }).unwrap(), "1");
    assert_eq!(elsewhere(async { client.get::<String>("k").await }).unwrap(), "1");
}

#[test]
fn a_node_that_another_runtime_was_redirected_to_first_is_used_when_that_has_ended() {
    let home = home();
    let (cluster, client) = home.block_on(made(ReadFrom::Primary));
    let to = home.block_on(cluster.add_node()).unwrap();
    // The owner has to have heard of it.
    home.block_on(cluster.until(|cluster| cluster.open_slot(slot("k"), &to).is_ok()));
    cluster.migrate_keys(slot("k"), usize::MAX).unwrap();
    // Asked there, while no map tells of slots of it, and then moved there for good.
    assert_eq!(elsewhere(async { client.incr("k").await }).unwrap(), 2);
    assert_eq!(home.block_on(async { client.incr("k").await }).unwrap(), 3);
    cluster.close_slot(slot("k")).unwrap();
    assert_eq!(elsewhere(async { client.incr("k").await }).unwrap(), 4);
    assert_eq!(home.block_on(async { client.incr("k").await }).unwrap(), 5);
    assert_eq!(owner(&cluster, "k"), to);
}

#[test]
fn when_the_runtime_of_the_client_has_ended_commands_elsewhere_end_with_an_error_in_their_time() {
    for from in [ReadFrom::Primary, ReadFrom::Replica] {
        let home = home();
        let (_cluster, client) = home.block_on(made(from));
        drop(home);
        // Neither a link that was made before nor one that would be made now is served.
        let ended = elsewhere(async { timeout(60 * SECOND, client.get::<String>("k")).await });
        assert_eq!(ended.unwrap().unwrap_err().outcome(), Outcome::NotSent);
    }
}
