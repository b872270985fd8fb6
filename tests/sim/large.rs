//! Clusters as large as the largest: a thousand nodes in memory, a hundred on sockets.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use keyslot::testkit::sim::SimCluster;
use keyslot::{Client, Commands, NodeAddr, Slot};
use tokio::time::Instant;

use crate::support::{MS, SECOND, connect, received_by_all, soon};

/// A key for each shard, with who serves it.
fn one_for_each_shard(cluster: &SimCluster) -> Vec<(String, NodeAddr)> {
    let owners: Vec<NodeAddr> = Slot::all().map(|slot| cluster.primary_of(slot).unwrap()).collect();
    let shards: BTreeSet<&NodeAddr> = owners.iter().collect();
    let mut found: BTreeMap<&NodeAddr, String> = BTreeMap::new();
    let mut keys = (0..).map(|number| format!("key:{number}"));
    while found.len() < shards.len() {
        let key = keys.next().unwrap();
        found.entry(&owners[usize::from(Slot::of_key(key.as_bytes()).get())]).or_insert(key);
    }
    found.into_iter().map(|(owner, key)| (key, owner.clone())).collect()
}

/// Writes over all shards and reads back, one by one, in a pipeline and by one command.
async fn writes_everywhere(cluster: &SimCluster, client: &Client, shards: usize) {
    let placed = one_for_each_shard(cluster);
    assert_eq!(placed.len(), shards);
    let keys: Vec<&String> = placed.iter().map(|(key, _)| key).collect();
    for result in join_all(keys.iter().map(|key| client.set(*key, *key))).await {
        result.unwrap();
    }
    let mut pipe = client.pipeline();
    keys.iter().for_each(|key| _ = pipe.get(*key));
    assert_eq!(soon(pipe.run::<Vec<String>>()).await.unwrap().iter().collect::<Vec<_>>(), keys);
    assert_eq!(
        soon(client.mget::<Vec<String>>(keys.iter().copied())).await.unwrap().iter().collect::<Vec<_>>(),
        keys
    );
    let mut where_executed: BTreeMap<String, Vec<NodeAddr>> = BTreeMap::new();
    for effect in cluster.ledger().iter() {
        let key = String::from_utf8(effect.command[1].to_vec()).unwrap();
        where_executed.entry(key).or_default().push(effect.node.clone());
    }
    for (key, owner) in placed {
        assert_eq!(where_executed[&key], vec![owner; 3], "{key}");
    }
    assert_eq!(client.stats().moved, 0);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_nodes_in_memory() {
    let cluster = SimCluster::builder().primaries(500).replicas(1).start_in_memory().unwrap();
    assert_eq!(cluster.nodes().len(), 1000);
    let client = connect(&cluster).await;
    let begin = Instant::now();
    writes_everywhere(&cluster, &client, 500).await;
    assert!(begin.elapsed() <= 10 * MS, "{:?}", begin.elapsed());
    assert!(received_by_all(&cluster, "CLUSTER SLOTS") <= 6, "its topology is not asked for again");
}

#[tokio::test(start_paused = true)]
async fn a_failover_in_a_cluster_of_two_hundred_nodes_is_found() {
    let cluster = SimCluster::builder()
        .primaries(100)
        .replicas(1)
        .node_timeout(SECOND)
        .full_coverage(false)
        .start_in_memory()
        .unwrap();
    let client = connect(&cluster).await;
    client.set("k", "1").await.unwrap();
    let primary = cluster.primary_of(Slot::of_key(b"k")).unwrap();
    let replica = cluster.replicas_of(&primary).remove(0);
    tokio::time::sleep(SECOND).await;
    cluster.kill(&primary).unwrap();
    assert_eq!(client.get::<i64>("k").await.unwrap(), 1);
    assert_eq!(cluster.primary_of(Slot::of_key(b"k")), Some(replica));
}

#[tokio::test]
async fn a_hundred_nodes_on_sockets() {
    let cluster = SimCluster::builder().primaries(50).replicas(1).start().await.unwrap();
    assert_eq!(cluster.nodes().len(), 100);
    let client = Client::connect(cluster.url()).await.unwrap();
    writes_everywhere(&cluster, &client, 50).await;
}
