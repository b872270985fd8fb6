//! Whom a client believes about the cluster: nodes that are stale, cut off or of another cluster are outvoted, and a cluster
//! that has moved as a whole is found again by the names of its seeds.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use keyslot::testkit::sim::{Endpoint, Fault, FaultKind, SimCluster, SimConnector, Step};
use keyslot::{
    Client, Command, Commands, Connector, ErrorKind, NodeAddr, Outcome, Role, Target, Transport, Value,
};
use tokio::time::{Instant, sleep};

use crate::support::{
    MS, SECOND, another, builder, connect, key_of, keys_of, owner, primaries, received_by_all, replicated,
    slot, three,
};

fn known(client: &Client, key: &str) -> NodeAddr {
    client.slot_map().primary_of(slot(key)).unwrap().addr.clone()
}

/// Leads each host name to a cluster, or nowhere.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<Vec<(String, Way)>>>);

#[derive(Clone)]
enum Way {
    To(SimConnector),
    /// Nobody is at the address, and nobody says so.
    Nowhere,
}

impl Names {
    fn lead(&self, host: &str, way: Way) {
        let mut ways = self.0.lock().unwrap();
        ways.retain(|(known, _)| known != host);
        ways.push((host.to_owned(), way));
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

impl Connector for Names {
    fn connect<'a>(&'a self, node: &'a NodeAddr) -> BoxFuture<'a, io::Result<Box<dyn Transport>>> {
        Box::pin(async move {
            let ways = self.0.lock().unwrap().clone();
            match ways.into_iter().find(|(host, _)| host == node.host()) {
                Some((_, Way::To(connector))) => {
                    connector.connect(&NodeAddr::new("127.0.0.1", node.port())).await
                }
                Some((_, Way::Nowhere)) => std::future::pending().await,
                None => Err(io::Error::new(io::ErrorKind::NotFound, "no such host")),
            }
        })
    }
}

/// A cluster whose nodes announce themselves by this name.
fn named(host: &str, primaries: usize) -> SimCluster {
    let builder = SimCluster::builder().primaries(primaries).endpoint(Endpoint::Hostname).hostname(host);
    builder.start_in_memory().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_comes_back_at_other_addresses_is_found_by_its_seeds_names() {
    for primaries in [3, 60] {
        let (before, after) = (named("old.example", primaries), named("new.example", primaries));
        let names = Names::default();
        names.lead("seed.example", Way::To(before.connector()));
        names.lead("old.example", Way::To(before.connector()));
        let builder = Client::builder().url("redis://seed.example:7000").connector(names.clone());
        let client = builder.connect().await.unwrap();
        client.set("k", "before").await.unwrap();
        assert_eq!(known(&client, "k").host(), "old.example");

        // All nodes are moved; packets to the old addresses are lost.
        names.lead("seed.example", Way::To(after.connector()));
        names.lead("old.example", Way::Nowhere);
        names.lead("new.example", Way::To(after.connector()));
        for node in before.nodes() {
            before.kill(&node).unwrap();
        }
        let begin = Instant::now();
        client.set("k", "after").await.unwrap();
        assert!(begin.elapsed() < 5 * SECOND, "{primaries} primaries: {:?}", begin.elapsed());
        assert_eq!(known(&client, "k").host(), "new.example");
        assert_eq!(after.ledger().count("SET k after"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_finds_a_moved_cluster_too() {
    let (before, after) = (named("old.example", 3), named("new.example", 3));
    let names = Names::default();
    names.lead("seed.example", Way::To(before.connector()));
    names.lead("old.example", Way::To(before.connector()));
    let builder = Client::builder().url("redis://seed.example:7000").connector(names.clone());
    let client = builder.connect().await.unwrap();
    client.set("k", "before").await.unwrap();
    names.lead("seed.example", Way::To(after.connector()));
    names.lead("new.example", Way::To(after.connector()));
    names.lead("old.example", Way::Nowhere);
    for node in before.nodes() {
        // Nobody says goodbye.
        before.stop(&node).unwrap();
    }
    sleep(20 * SECOND).await;
    assert_eq!(known(&client, "k").host(), "new.example");
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_address_went_to_another_cluster_takes_nobody_there() {
    let ours =
        SimCluster::builder().primaries(5).endpoint(Endpoint::Hostname).hostname("ours.example").seed(1);
    let ours = ours.start_in_memory().unwrap();
    // With epochs that are far higher.
    let theirs = SimCluster::builder().primaries(5).replicas(1).endpoint(Endpoint::Hostname);
    let theirs = theirs.hostname("theirs.example").seed(2).start_in_memory().unwrap();
    for replica in theirs.nodes().into_iter().skip(5) {
        theirs.promote(&replica).unwrap();
        sleep(100 * MS).await;
    }
    let names = Names::default();
    names.lead("ours.example", Way::To(ours.connector()));
    names.lead("theirs.example", Way::To(theirs.connector()));
    names.lead("reused.example", Way::To(theirs.connector()));
    let builder = Client::builder().url("redis://ours.example:7000").connector(names.clone());
    let client = builder.refresh_interval(SECOND).seeds(["reused.example:7000"]);
    // Whichever of them answered first.
    let client = client.connect().await.unwrap();
    let home = known(&client, "k").host().to_owned();
    for _ in 0..200 {
        sleep(SECOND).await;
        assert_eq!(known(&client, "k").host(), home);
    }
}

#[tokio::test(start_paused = true)]
async fn one_stale_node_of_three_is_outvoted_at_every_refresh() {
    let cluster = replicated().replicas(1).start_in_memory().unwrap();
    let client = builder(&cluster).refresh_interval(SECOND).connect().await.unwrap();
    client.set("k", "1").await.unwrap();
    sleep(SECOND).await;
    let primary = owner(&cluster, "k");
    let replica = cluster.replicas_of(&primary).remove(0);
    // It goes on to tell what was true until now.
    cluster.inject(Fault::new(FaultKind::StaleTopology).node(&another(&cluster, "k")));
    cluster.promote(&replica).unwrap();
    let begin = Instant::now();
    while known(&client, "k") != replica {
        assert!(begin.elapsed() < 5 * SECOND);
        sleep(10 * MS).await;
    }
    for _ in 0..100 {
        sleep(SECOND).await;
        assert_eq!(known(&client, "k"), replica);
    }
}

/// The configuration epoch of each node, as one of them tells it.
fn epochs(cluster: &SimCluster, node: &NodeAddr) -> BTreeSet<(String, String)> {
    let told = cluster.ask(node, ["CLUSTER", "NODES"]).unwrap();
    let lines = told.as_str().unwrap().lines();
    let columns = lines.map(|line| line.split(' ').collect::<Vec<&str>>());
    columns.map(|columns| (columns[0].to_owned(), columns[6].to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn one_node_that_names_another_owner_with_the_same_epochs_is_outvoted_at_every_refresh() {
    let cluster = three();
    let client = builder(&cluster).refresh_interval(SECOND).connect().await.unwrap();
    let [true_owner, liar, wrong_owner] = <[NodeAddr; 3]>::try_from(primaries(&cluster)).unwrap();
    let keys = keys_of(&cluster, &true_owner, "k", 20);
    let id = cluster.ask(&wrong_owner, ["CLUSTER", "MYID"]).unwrap();
    for key in &keys {
        // Its own word only: no epoch grows by it, and it tells no other node.
        let number = slot(key).to_string();
        let words = ["CLUSTER", "SETSLOT", number.as_str(), "NODE", id.as_str().unwrap()];
        assert_eq!(cluster.ask(&liar, words).unwrap().as_str(), Some("OK"));
    }
    assert_eq!(epochs(&cluster, &liar), epochs(&cluster, &true_owner));
    let rounds = 100;
    for _ in 0..rounds {
        sleep(SECOND).await;
        for key in &keys {
            assert_eq!(known(&client, key), true_owner);
            client.incr(key).await.unwrap();
        }
    }
    assert_eq!(received_by_all(&cluster, "INCR"), rounds * 20, "none goes a second way");
    let stats = client.stats();
    assert!(stats.moved == 0 && stats.refreshes >= 90, "{stats:?}");
    assert!(cluster.received(&liar, "CLUSTER SLOTS") >= 90, "it was asked each time");

    // Who knows nobody else in the beginning believes it until the first redirect.
    let url = format!("redis://{liar}");
    let misled = Client::builder().url(&url).connector(cluster.connector()).connect().await.unwrap();
    assert_eq!(known(&misled, &keys[0]), wrong_owner);
    assert_eq!(misled.incr(&keys[0]).await.unwrap(), 101);
    assert_eq!(misled.stats().moved, 1);
    sleep(SECOND).await;
    for key in &keys {
        assert_eq!(known(&misled, key), true_owner);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_among_a_minority_leaves_it_for_the_majority() {
    let cluster = replicated().primaries(5).start_in_memory().unwrap();
    let client = connect(&cluster).await;
    let nodes = primaries(&cluster);
    let keys: Vec<String> = nodes.iter().map(|node| key_of(&cluster, node, "k")).collect();
    for key in &keys {
        client.set(key, "0").await.unwrap();
    }
    sleep(SECOND).await;
    // Two primaries are cut off, each alone; the client reaches all of them.
    let replicas: Vec<NodeAddr> = nodes[..2].iter().map(|node| cluster.replicas_of(node).remove(0)).collect();
    for node in &nodes[..2] {
        cluster.perform(Step::Isolate(node.clone())).unwrap();
    }
    let begin = Instant::now();
    for (key, replica) in keys.iter().zip(&replicas) {
        while known(&client, key) != *replica {
            drop(client.get::<Value>(key).await);
            assert!(begin.elapsed() < 10 * SECOND, "{key} is still at {}", known(&client, key));
            sleep(20 * MS).await;
        }
    }
    // What those two tell from now on changes nothing.
    for _ in 0..60 {
        sleep(500 * MS).await;
        for (key, replica) in keys.iter().zip(&replicas) {
            client.incr(key).await.unwrap();
            assert_eq!(known(&client, key), *replica);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_failed_over_is_known_as_a_replica_soon_although_nobody_asks() {
    let cluster = replicated().start_in_memory().unwrap();
    let client = builder(&cluster).refresh_interval(Duration::from_secs(3600)).connect().await.unwrap();
    client.set("k", "1").await.unwrap();
    sleep(SECOND).await;
    let primary = owner(&cluster, "k");
    cluster.kill(&primary).unwrap();
    client.incr("k").await.unwrap();
    // It comes back, and nobody has a reason to ask.
    cluster.restart(&primary).unwrap();
    sleep(10 * SECOND).await;
    let map = client.slot_map();
    let back = map.nodes().iter().find(|node| node.addr == primary);
    assert_eq!(back.map(|node| node.role), Some(Role::Replica), "{map:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_node_ends_its_part_of_a_fan_out_at_once_and_the_others_answer() {
    let cluster = replicated().start_in_memory().unwrap();
    let client = connect(&cluster).await;
    for node in primaries(&cluster) {
        client.set(key_of(&cluster, &node, "k"), "1").await.unwrap();
    }
    sleep(SECOND).await;
    let victim = cluster.replicas_of(&primaries(&cluster)[0]).remove(0);
    client.execute::<Value>(Command::new("PING").to(Target::AllNodes)).await.unwrap();
    cluster.kill(&victim).unwrap();
    // It is waited for as long as nobody has noticed; then the cluster says so.
    sleep(40 * SECOND).await;
    let begin = Instant::now();
    let each = client.execute_each::<Value>(Command::new("PING").to(Target::AllNodes)).await.unwrap();
    assert!(begin.elapsed() < SECOND, "{:?}", begin.elapsed());
    let mut failed = 0;
    for (node, result) in each {
        if node == victim {
            let error = result.unwrap_err();
            assert_eq!(
                (error.kind(), error.outcome()),
                (ErrorKind::Unavailable, Outcome::NotSent),
                "{error}"
            );
            failed += 1;
        } else {
            result.unwrap();
        }
    }
    // Before 7.0 nobody tells that a replica has failed; it is gone from the list then.
    assert!(failed <= 1);
}
