//! Reads from replicas: who answers under each policy, what a replica may not be believed, and what happens when it dies,
//! hangs, loads, moves on to another primary or loses its slots.

use keyslot::testkit::sim::{Fault, FaultKind, Profile, SimCluster, SimClusterBuilder};
use keyslot::{Client, Command, Commands, ErrorKind, NodeAddr, ReadFrom};
use tokio::time::{Instant, sleep};

use crate::support::{MS, SECOND, another, builder, owner, slot, soon};

/// Three shards of a primary and two replicas, a client, and who serves `k`: the primary, then the replicas.
async fn started(from: ReadFrom) -> (SimCluster, Client, Vec<NodeAddr>) {
    started_with(SimCluster::builder().replicas(2).node_timeout(SECOND).full_coverage(false), from).await
}

async fn started_with(cluster: SimClusterBuilder, from: ReadFrom) -> (SimCluster, Client, Vec<NodeAddr>) {
    let cluster = cluster.start_in_memory().unwrap();
    let client = builder(&cluster).read_from(from).connect().await.unwrap();
    client.set("k", "1").await.unwrap();
    sleep(SECOND).await;
    let primary = owner(&cluster, "k");
    let mut shard = cluster.replicas_of(&primary);
    shard.insert(0, primary);
    (cluster, client, shard)
}

/// How many `GET`s each of these has received.
fn gets(cluster: &SimCluster, nodes: &[NodeAddr]) -> Vec<u64> {
    nodes.iter().map(|node| cluster.received(node, "GET")).collect()
}

#[tokio::test(start_paused = true)]
async fn each_policy_asks_the_nodes_that_it_names() {
    for (policy, expected) in [
        (ReadFrom::Primary, [60, 0, 0]),
        (ReadFrom::Replica, [0, 30, 30]),
        (ReadFrom::PreferReplica, [0, 30, 30]),
        // No zones are known here.
        (ReadFrom::zone("here"), [0, 30, 30]),
    ] {
        let (cluster, client, shard) = started(policy.clone()).await;
        for _ in 0..60 {
            assert_eq!(client.get::<i64>("k").await.unwrap(), 1);
        }
        assert_eq!(gets(&cluster, &shard), expected, "{policy}");
        // Writes, and what reads and writes, are for the primary.
        client.incr("k").await.unwrap();
        assert_eq!(client.getdel::<i64>("k").await.unwrap(), 2);
        assert_eq!(cluster.received(&shard[0], "GETDEL"), 1, "{policy}");
    }
}

/// The simulated servers run no scripts and refuse them: who was asked is what is looked at.
#[tokio::test(start_paused = true)]
async fn in_a_pipeline_scripts_and_functions_that_only_read_go_where_reads_go() {
    for (policy, reads_at_primary) in [(ReadFrom::Primary, 20), (ReadFrom::Replica, 0)] {
        let (cluster, client, shard) = started(policy.clone()).await;
        for (name, at_primary) in [
            ("EVALSHA_RO", reads_at_primary),
            ("EVAL_RO", reads_at_primary),
            ("FCALL_RO", reads_at_primary),
            ("EVALSHA", 20),
            ("FCALL", 20),
        ] {
            let mut pipe = client.pipeline();
            (0..20).for_each(|_| {
                pipe.push(Command::new(name).arg("one").arg(1).key("k"));
            });
            assert_eq!(pipe.run_each().await.unwrap().len(), 20);
            let received: Vec<u64> = shard.iter().map(|node| cluster.received(node, name)).collect();
            assert_eq!(received.first(), Some(&at_primary), "{policy} {name}: {received:?}");
            assert_eq!(received.iter().sum::<u64>(), 20, "{policy} {name}: {received:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_may_have_a_policy_of_its_own() {
    let (cluster, client, shard) = started(ReadFrom::Primary).await;
    for _ in 0..4 {
        let value: i64 = client.get("k").read_from(ReadFrom::Replica).await.unwrap();
        assert_eq!(value, 1);
    }
    assert_eq!(gets(&cluster, &shard), [0, 2, 2]);
    let (cluster, client, shard) = started(ReadFrom::Replica).await;
    let value: i64 = client.get("k").read_from(ReadFrom::Primary).await.unwrap();
    assert_eq!((value, gets(&cluster, &shard)), (1, vec![1, 0, 0]));
}

#[tokio::test(start_paused = true)]
async fn the_nearest_node_is_the_one_that_answers_soonest() {
    let (cluster, client, shard) = started(ReadFrom::Nearest).await;
    for (node, delay) in shard.iter().zip([20, 5, 40]) {
        cluster.inject(Fault::new(FaultKind::DelayReply(delay * MS)).command("GET").node(node));
    }
    for _ in 0..640 {
        client.get::<i64>("k").await.unwrap();
    }
    let asked = gets(&cluster, &shard);
    assert!(asked[1] > 600, "{asked:?}");
    assert!(asked[0] > 0 && asked[2] > 0, "the others are looked at now and then: {asked:?}");
}

#[tokio::test(start_paused = true)]
async fn pipelines_and_split_commands_read_from_replicas_too() {
    let (cluster, client, shard) = started(ReadFrom::PreferReplica).await;
    let mut pipe = client.pipeline();
    (0..10).for_each(|_| {
        pipe.get("k");
    });
    assert_eq!(pipe.run::<Vec<i64>>().await.unwrap(), [1; 10]);
    assert_eq!(gets(&cluster, &shard), [0, 5, 5]);
    client.mset([("a", "1"), ("b", "2"), ("c", "3")]).await.unwrap();
    sleep(SECOND).await;
    assert_eq!(client.mget::<Vec<i64>>(["a", "b", "c"]).await.unwrap(), [1, 2, 3]);
    let primaries: u64 =
        ["a", "b", "c"].iter().map(|key| cluster.received(&owner(&cluster, key), "MGET")).sum();
    assert_eq!(primaries, 0);
    // A transaction is for the primary, whatever it holds.
    let mut tx = client.transaction();
    tx.get("k");
    assert_eq!(tx.run::<(i64,)>().await.unwrap(), (1,));
    assert_eq!(gets(&cluster, &shard), [1, 5, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_a_replica_does_not_have_is_looked_for_at_the_primary() {
    let (cluster, client, shard) = started(ReadFrom::Replica).await;
    assert_eq!(client.get::<Option<i64>>("none").await.unwrap(), None);
    let asked: u64 = cluster.nodes().iter().map(|node| cluster.received(node, "GET")).sum();
    assert_eq!(asked, 2, "a replica and the primary");
    // Many keys of which one is missing: only its part is asked again.
    let values: Vec<Option<i64>> = client.mget(["k", "none"]).await.unwrap();
    assert_eq!(values, [Some(1), None]);
    assert_eq!(cluster.received(&shard[0], "MGET"), u64::from(owner(&cluster, "none") == shard[0]));
    let unchecked = builder(&cluster)
        .read_from(ReadFrom::Replica)
        .check_missing_at_primary(false)
        .connect()
        .await
        .unwrap();
    assert_eq!(unchecked.get::<Option<i64>>("none").await.unwrap(), None);
    let now: u64 = cluster.nodes().iter().map(|node| cluster.received(node, "GET")).sum();
    assert_eq!(now, asked + 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_has_left_with_its_half_migrated_slot_is_found() {
    for profile in Profile::ALL {
        for policy in [ReadFrom::Replica, ReadFrom::PreferReplica, ReadFrom::Nearest] {
            let builder = SimCluster::builder().replicas(1).profile(profile);
            let (cluster, client, _) = started_with(builder, policy.clone()).await;
            let target = another(&cluster, "k");
            cluster.open_slot(slot("k"), &target).unwrap();
            cluster.migrate_keys(slot("k"), 10).unwrap();
            sleep(SECOND).await;
            for _ in 0..4 {
                let value: Option<i64> = soon(client.get("k")).await.unwrap();
                assert_eq!(value, Some(1), "{profile} {policy}");
            }
            cluster.close_slot(slot("k")).unwrap();
            sleep(SECOND).await;
            for _ in 0..4 {
                assert_eq!(
                    soon(client.get::<Option<i64>>("k")).await.unwrap(),
                    Some(1),
                    "{profile} {policy}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_dies_is_left_out() {
    for policy in [ReadFrom::Replica, ReadFrom::PreferReplica, ReadFrom::Nearest] {
        let (cluster, client, shard) = started(policy.clone()).await;
        for _ in 0..8 {
            client.get::<i64>("k").await.unwrap();
        }
        cluster.kill(&shard[1]).unwrap();
        let begin = Instant::now();
        for _ in 0..200 {
            assert_eq!(soon(client.get::<i64>("k")).await.unwrap(), 1, "{policy}");
        }
        assert!(begin.elapsed() < SECOND, "{policy}: {:?}", begin.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_hangs_costs_one_read_its_silence_and_no_more() {
    let (cluster, client, shard) = started(ReadFrom::PreferReplica).await;
    for _ in 0..4 {
        client.get::<i64>("k").await.unwrap();
    }
    cluster.stop(&shard[1]).unwrap();
    let begin = Instant::now();
    for _ in 0..100 {
        assert_eq!(soon(client.get::<i64>("k")).await.unwrap(), 1);
    }
    assert!(begin.elapsed() < 3 * SECOND, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn without_a_replica_the_primary_answers_if_the_policy_allows_it() {
    for policy in [ReadFrom::PreferReplica, ReadFrom::Nearest, ReadFrom::zone("z")] {
        let (_cluster, client, _) = started_with(SimCluster::builder(), policy).await;
        assert_eq!(client.get::<i64>("k").await.unwrap(), 1);
    }
    let (_cluster, client, _) = started_with(SimCluster::builder(), ReadFrom::Replica).await;
    let error = client.get::<i64>("k").timeout(SECOND).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("no replica of the slot could be used for 1s"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn reads_go_on_through_a_failover() {
    for policy in [ReadFrom::Replica, ReadFrom::PreferReplica, ReadFrom::Nearest] {
        let (cluster, client, shard) = started(policy.clone()).await;
        cluster.kill(&shard[0]).unwrap();
        let begin = Instant::now();
        while begin.elapsed() < 5 * SECOND {
            assert_eq!(soon(client.get::<i64>("k")).await.unwrap(), 1, "{policy}");
            sleep(10 * MS).await;
        }
        assert_ne!(owner(&cluster, "k"), shard[0]);
        client.incr("k").await.unwrap();
        sleep(SECOND).await;
        assert_eq!(soon(client.get::<i64>("k")).await.unwrap(), 2, "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_becomes_a_replica_does_not_answer_reads_for_the_primary() {
    // The same node has a link for replica reads open from before; the reads meant for the primary never use it.
    let (cluster, client, shard) = started(ReadFrom::Primary).await;
    for _ in 0..4 {
        client.get::<i64>("k").read_from(ReadFrom::Nearest).await.unwrap();
    }
    cluster.ask(&shard[1], ["CLUSTER", "FAILOVER"]).unwrap();
    sleep(SECOND).await;
    assert_eq!(owner(&cluster, "k"), shard[1]);
    for count in 2..10 {
        assert_eq!(client.incr("k").await.unwrap(), count);
        assert_eq!(client.get::<i64>("k").await.unwrap(), count, "what was written before is seen");
    }
}

#[tokio::test(start_paused = true)]
async fn commands_that_only_look_like_reads_go_to_the_primary() {
    let (cluster, client, shard) = started(ReadFrom::Replica).await;
    let _: keyslot::Value = client.execute(Command::new("GETEX").key("k")).await.unwrap();
    assert_eq!(cluster.received(&shard[0], "GETEX"), 1);
    let _: i64 = client.execute(Command::new("DBSIZE")).await.unwrap();
    assert_eq!(cluster.received(&shard[0], "DBSIZE"), 1, "keyless ones have their own policies");
}

/// Nobody takes its place, and the cluster does not call it failed: the replicas are all that there is.
#[tokio::test(start_paused = true)]
async fn where_replicas_may_answer_a_primary_that_has_died_is_left_out() {
    for policy in [ReadFrom::Nearest, ReadFrom::PreferReplica, ReadFrom::zone("nowhere")] {
        let servers = SimCluster::builder().replicas(2).node_timeout(3600 * SECOND).full_coverage(false);
        let (cluster, client, shard) = started_with(servers, policy.clone()).await;
        // The primary is by far the nearest.
        for node in &shard[1..] {
            cluster.inject(Fault::new(FaultKind::DelayReply(20 * MS)).command("GET").node(node));
        }
        for _ in 0..100 {
            client.get::<i64>("k").await.unwrap();
        }
        cluster.kill(&shard[0]).unwrap();
        let begin = Instant::now();
        for _ in 0..20 {
            assert_eq!(client.get::<i64>("k").await.unwrap(), 1, "{policy}");
        }
        let mut pipe = client.pipeline();
        (0..20).for_each(|_| {
            pipe.get("k");
        });
        assert_eq!(pipe.run::<Vec<i64>>().await.unwrap(), [1; 20], "{policy}");
        assert!(begin.elapsed() < 3 * SECOND, "{policy}: {:?}", begin.elapsed());
    }
}
