//! Reads from replicas of real servers: who is asked, what a replica may not be believed, and failures in the middle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::live_support::{ask, check_each, on_every_server, primaries, tag_at, until};
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, Command, Commands, NodeAddr, ReadFrom, Slot};

on_every_server! {
    all: reads_from_replicas ;
    since_7_0: ;
    valkey_9_1: reads_stay_in_their_zone ;
}

/// Policies that allow replicas.
const POLICIES: [ReadFrom; 3] = [ReadFrom::Replica, ReadFrom::PreferReplica, ReadFrom::Nearest];

struct Fixture {
    cluster: LocalCluster,
    client: Client,
}

async fn reads_from_replicas(server: Server) {
    let cluster = LocalCluster::builder()
        .server(server)
        .replicas(1)
        .node_timeout(Duration::from_secs(1))
        .start()
        .await
        .unwrap();
    let client = Client::connect(cluster.url()).await.unwrap();
    let fixture = Arc::new(Fixture { cluster, client });
    check_each!(fixture;
        each_policy_asks_the_nodes_that_it_names
        a_key_that_has_left_with_its_half_migrated_slot_is_found
        reads_go_on_while_a_replica_hangs
        reads_go_on_through_a_failover
    );
}

impl Fixture {
    async fn reader(&self, from: ReadFrom) -> Client {
        Client::builder().url(&self.cluster.url()).read_from(from).connect().await.unwrap()
    }

    /// The primary of a shard, its replica, and a tag of keys there; the `number`th, in the order of the slots.
    fn shard(&self, number: usize, salt: &str) -> (NodeAddr, NodeAddr, String) {
        let map = self.client.slot_map();
        let primary = primaries(&map)[number].clone();
        let shard = map.shards().find(|shard| shard.primary().addr == primary).unwrap();
        let replica = shard.replicas().next().unwrap().addr.clone();
        let tag = tag_at(&map, &primary, salt);
        (primary, replica, tag)
    }

    /// Sets a key and waits until the replica has it.
    async fn set(&self, key: &str, value: i64, replica: &NodeAddr) {
        self.client.set(key, value).await.unwrap();
        let reader = self.reader(ReadFrom::Replica).await;
        until(&format!("{replica} has {key}"), async || {
            (reader.get::<Option<i64>>(key).await.unwrap() == Some(value)).then_some(())
        })
        .await;
    }

    async fn calls(&self, node: &NodeAddr) -> u64 {
        gets_at(&self.cluster, node).await
    }
}

async fn each_policy_asks_the_nodes_that_it_names(fixture: Arc<Fixture>) {
    let (primary, replica, key) = fixture.shard(0, "policy");
    fixture.set(&key, 1, &replica).await;
    for (policy, at_primary, at_replica) in
        [(ReadFrom::Primary, 40, 0), (ReadFrom::Replica, 0, 40), (ReadFrom::PreferReplica, 0, 40)]
    {
        let reader = fixture.reader(policy.clone()).await;
        let before = (fixture.calls(&primary).await, fixture.calls(&replica).await);
        for _ in 0..20 {
            assert_eq!(reader.get::<i64>(&key).await.unwrap(), 1);
        }
        let mut pipe = reader.pipeline();
        (0..20).for_each(|_| {
            pipe.get(&key);
        });
        assert_eq!(pipe.run::<Vec<i64>>().await.unwrap(), [1; 20]);
        let after = (fixture.calls(&primary).await, fixture.calls(&replica).await);
        assert_eq!((after.0 - before.0, after.1 - before.1), (at_primary, at_replica), "{policy}");
    }
    let nearest = fixture.reader(ReadFrom::Nearest).await;
    for _ in 0..200 {
        assert_eq!(nearest.get::<i64>(&key).await.unwrap(), 1);
    }
    let none: Option<i64> = nearest.get(format!("{{{key}}}none")).await.unwrap();
    assert_eq!(none, None);
}

async fn a_key_that_has_left_with_its_half_migrated_slot_is_found(fixture: Arc<Fixture>) {
    let (from, replica, key) = fixture.shard(0, "moving");
    let (to, _, _) = fixture.shard(1, "any");
    let slot = Slot::of_key(key.as_bytes());
    fixture.set(&key, 1, &replica).await;
    fixture.cluster.open_slot(slot, &from, &to).await.unwrap();
    fixture.cluster.migrate_keys(slot, &from, &to, 10).await.unwrap();
    for policy in POLICIES {
        let reader = fixture.reader(policy.clone()).await;
        for _ in 0..10 {
            let value: Option<i64> = reader.get(&key).await.unwrap();
            assert_eq!(value, Some(1), "{policy}, half moved");
        }
    }
    fixture.cluster.close_slot(slot, &from, &to).await.unwrap();
    for policy in POLICIES {
        let reader = fixture.reader(policy.clone()).await;
        for _ in 0..10 {
            let value: Option<i64> = reader.get(&key).await.unwrap();
            assert_eq!(value, Some(1), "{policy}, moved");
        }
    }
}

async fn reads_go_on_while_a_replica_hangs(fixture: Arc<Fixture>) {
    let (_, replica, key) = fixture.shard(1, "hang");
    fixture.set(&key, 1, &replica).await;
    for policy in [ReadFrom::PreferReplica, ReadFrom::Nearest] {
        let reader = fixture.reader(policy.clone()).await;
        assert_eq!(reader.get::<i64>(&key).await.unwrap(), 1);
        fixture.cluster.stop(&replica).unwrap();
        let begin = Instant::now();
        for _ in 0..50 {
            assert_eq!(reader.get::<i64>(&key).await.unwrap(), 1, "{policy}");
        }
        let took = begin.elapsed();
        fixture.cluster.cont(&replica).unwrap();
        // One read waits for the silence of a second, and the next ones are sent elsewhere.
        assert!(took < Duration::from_secs(5), "{policy}: {took:?}");
    }
    // The cluster has called it failed meanwhile; the next check begins when it is back.
    let witness = fixture.reader(ReadFrom::Replica).await;
    assert_eq!(witness.get::<i64>(&key).await.unwrap(), 1);
}

async fn reads_go_on_through_a_failover(fixture: Arc<Fixture>) {
    let (primary, replica, key) = fixture.shard(2, "failover");
    fixture.set(&key, 1, &replica).await;
    let readers = [
        fixture.reader(ReadFrom::PreferReplica).await,
        fixture.reader(ReadFrom::Nearest).await,
        fixture.reader(ReadFrom::Primary).await,
    ];
    for reader in &readers {
        assert_eq!(reader.get::<i64>(&key).await.unwrap(), 1);
    }
    fixture.cluster.kill(&primary).unwrap();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(6) {
        for reader in &readers {
            assert_eq!(reader.get::<i64>(&key).await.unwrap(), 1);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(readers[2].incr(&key).await.unwrap(), 2);
    // Without a replica left the promoted one answers alone.
    assert_eq!(readers[0].get::<i64>(&key).await.unwrap(), 2);
}

async fn reads_stay_in_their_zone(server: Server) {
    let cluster = LocalCluster::builder().server(server).replicas(2).start().await.unwrap();
    let primary = cluster.nodes()[0].clone();
    let replicas = cluster.replicas_of(&primary).await.unwrap();
    for node in cluster.nodes() {
        let zone = match replicas.iter().position(|replica| *replica == node) {
            Some(place) => format!("zone-{place}"),
            None => "zone-of-primaries".to_owned(),
        };
        let set = Command::new("CONFIG SET").arg("availability-zone").arg(zone);
        ask::<()>(&cluster, &node, set).await;
    }
    let client = Client::connect(cluster.url()).await.unwrap();
    let key = tag_at(&client.slot_map(), &primary, "zone");
    client.set(&key, 1).await.unwrap();
    for (zone, expected) in [
        ("zone-0", [0, 40, 0]),
        ("zone-1", [0, 0, 40]),
        ("zone-of-primaries", [40, 0, 0]),
        // As replicas first.
        ("elsewhere", [0, 20, 20]),
    ] {
        // The nodes tell each other their zones now and then.
        let reader = until(&format!("all know the zones, {zone} among them"), async || {
            let reader = Client::builder().url(&cluster.url()).read_from(ReadFrom::zone(zone));
            let reader = reader.connect().await.unwrap();
            reader.slot_map().nodes().iter().all(|node| node.zone.is_some()).then_some(reader)
        })
        .await;
        until("the replicas have the key", async || {
            let mut has_all = true;
            for replica in &replicas {
                has_all &= ask::<i64>(&cluster, replica, Command::new("DBSIZE")).await == 1;
            }
            has_all.then_some(())
        })
        .await;
        let nodes = [&primary, &replicas[0], &replicas[1]];
        let before = gets(&cluster, nodes).await;
        for _ in 0..40 {
            assert_eq!(reader.get::<i64>(&key).await.unwrap(), 1);
        }
        let after = gets(&cluster, nodes).await;
        let seen: [u64; 3] = std::array::from_fn(|node| after[node] - before[node]);
        assert_eq!(seen, expected, "{zone}");
    }
}

async fn gets(cluster: &LocalCluster, nodes: [&NodeAddr; 3]) -> [u64; 3] {
    let mut counts = [0; 3];
    for (count, node) in counts.iter_mut().zip(nodes) {
        *count = gets_at(cluster, node).await;
    }
    counts
}

/// The `GET`s that this node has executed.
async fn gets_at(cluster: &LocalCluster, node: &NodeAddr) -> u64 {
    let stats: String = ask(cluster, node, Command::new("INFO").arg("commandstats")).await;
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_get:calls=")).unwrap_or("0");
    line.split(',').next().unwrap().parse().unwrap()
}
