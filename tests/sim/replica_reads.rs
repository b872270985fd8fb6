//! Reads from replicas: who answers under each policy, what a replica may not be believed, and what happens when it dies,
//! hangs, loads, moves on to another primary or loses its slots.

use std::time::Duration;

use keyslot::testkit::sim::{Fault, FaultKind, Profile, Script, SimCluster, SimClusterBuilder, Step};
use keyslot::{Client, Command, Commands, ErrorKind, Health, NodeAddr, ReadFrom};
use tokio::time::{Instant, sleep};

use crate::support::{MS, SECOND, another, builder, key_of, owner, slot, soon};

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

/// How many more each has received than it had.
fn gets_since(before: &[u64], cluster: &SimCluster, nodes: &[NodeAddr]) -> Vec<u64> {
    gets(cluster, nodes).iter().zip(before).map(|(now, before)| now - before).collect()
}

/// Those under which a replica is asked although nobody names a zone.
fn policies_with_replicas() -> [ReadFrom; 3] {
    [ReadFrom::Replica, ReadFrom::PreferReplica, ReadFrom::Nearest]
}

/// Reads `key`, which is 1 every time, until this node is asked for it; how many reads it took.
async fn read_until_asked(cluster: &SimCluster, client: &Client, key: &str, node: &NodeAddr) -> u64 {
    let before = cluster.received(node, "GET");
    // Even where others are nearer, three nodes have had their turns by then.
    for reads in 1..=200 {
        assert_eq!(soon(client.get::<i64>(key)).await.unwrap(), 1);
        if cluster.received(node, "GET") > before {
            return reads;
        }
    }
    panic!("{node} was not asked");
}

/// Reads `k`, which is 1 every time, each 10 ms until so long after `begin`; how many reads these were.
async fn read_until(client: &Client, begin: Instant, after: Duration) -> u64 {
    let mut reads = 0;
    while begin.elapsed() < after {
        assert_eq!(soon(client.get::<i64>("k")).await.unwrap(), 1);
        reads += 1;
        sleep(10 * MS).await;
    }
    reads
}

/// `asked` are the primary, the replica that refused all that it was asked, and the other replica: each of so
/// many reads was answered by one of the two others, by the primary only where the policy has it.
fn assert_answered_elsewhere(policy: &ReadFrom, asked: &[u64], reads: u64) {
    assert_eq!(asked[0] + asked[2], reads, "{policy}: {asked:?}");
    if *policy == ReadFrom::Replica {
        assert_eq!(asked[0], 0, "{policy}: {asked:?}");
    } else if *policy == ReadFrom::PreferReplica {
        assert_eq!(asked[0], asked[1], "{policy}: {asked:?}");
    } else {
        assert!(asked[0] >= asked[1], "{policy}: {asked:?}");
    }
}

/// Makes a node the replica of that primary.
fn repoint(cluster: &SimCluster, replica: &NodeAddr, primary: &NodeAddr) {
    let id = cluster.ask(primary, ["CLUSTER", "MYID"]).unwrap();
    let reply = cluster.ask(replica, ["CLUSTER", "REPLICATE", id.as_str().unwrap()]).unwrap();
    assert_eq!(reply.as_str(), Some("OK"));
}

/// What the client was told of a node; `None` if it does not know the node.
fn health(client: &Client, node: &NodeAddr) -> Option<Health> {
    client.slot_map().nodes().iter().find(|known| known.addr == *node).map(|known| known.health)
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

#[tokio::test(start_paused = true)]
async fn a_replica_that_has_become_fast_again_is_found_among_two() {
    let servers = SimCluster::builder().replicas(1);
    let (cluster, client, shard) = started_with(servers, ReadFrom::Nearest).await;
    // The first that fits counts.
    let slow = cluster.inject(Fault::new(FaultKind::DelayReply(50 * MS)).command("GET").node(&shard[1]));
    for node in &shard {
        cluster.inject(Fault::new(FaultKind::DelayReply(5 * MS)).command("GET").node(node));
    }
    for _ in 0..200 {
        assert_eq!(client.get::<i64>("k").await.unwrap(), 1);
    }
    let asked = gets(&cluster, &shard);
    assert!(asked[1] < 20, "{asked:?}");
    cluster.lift(slow);
    let before = gets(&cluster, &shard);
    for _ in 0..2000 {
        assert_eq!(client.get::<i64>("k").await.unwrap(), 1);
    }
    let asked = gets_since(&before, &cluster, &shard);
    assert!(asked.iter().all(|asked| *asked > 10), "{asked:?}");
}

/// A replica that refuses reads by this error is left alone for a second each time, until it answers.
async fn one_that_refuses_is_left_alone(refusal: &str) {
    for policy in policies_with_replicas() {
        let (cluster, client, shard) = started(policy.clone()).await;
        if policy == ReadFrom::Nearest {
            // It refuses at once, so by the time that it takes it is the nearest.
            for node in [&shard[0], &shard[2]] {
                cluster.inject(Fault::new(FaultKind::DelayReply(20 * MS)).command("GET").node(node));
            }
        }
        let fault = Fault::new(FaultKind::Error(refusal.to_owned())).command("GET").node(&shard[1]);
        let fault = cluster.inject(fault);
        let mut reads = read_until_asked(&cluster, &client, "k", &shard[1]).await;
        let begin = Instant::now();
        reads += read_until(&client, begin, 900 * MS).await;
        let asked = gets(&cluster, &shard);
        assert_eq!(asked[1], 1, "{policy}: {asked:?}");
        assert_answered_elsewhere(&policy, &asked, reads);

        // It is looked at again once a second, at the cost of one read.
        reads += read_until(&client, begin, 4500 * MS).await;
        let asked = gets(&cluster, &shard);
        assert!((4..=5).contains(&asked[1]), "{policy}: {asked:?}");
        assert_answered_elsewhere(&policy, &asked, reads);

        cluster.lift(fault);
        sleep(2 * SECOND).await;
        let before = gets(&cluster, &shard);
        for _ in 0..20 {
            assert_eq!(client.get::<i64>("k").await.unwrap(), 1, "{policy}");
        }
        let asked = gets_since(&before, &cluster, &shard);
        assert!(asked[1] >= 10, "{policy}: {asked:?}");
        assert_eq!(asked.iter().sum::<u64>(), 20, "{policy}: who is asked answers: {asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_loads_is_left_alone_for_a_while() {
    one_that_refuses_is_left_alone("LOADING Redis is loading the dataset in memory").await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_has_lost_its_primary_and_may_not_be_stale_is_left_alone_for_a_while() {
    one_that_refuses_is_left_alone(
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    )
    .await;
}

/// All replicas load: who may go to the primary does, and who may not waits.
#[tokio::test(start_paused = true)]
async fn while_all_replicas_load_the_primary_answers_if_the_policy_allows_it() {
    for policy in policies_with_replicas() {
        let (cluster, client, shard) = started(policy.clone()).await;
        for node in &shard[1..] {
            let loading = FaultKind::Error("LOADING Redis is loading the dataset in memory".to_owned());
            cluster.inject(Fault::new(loading).command("GET").node(node));
        }
        cluster.play(Script::new().at(3 * SECOND).lift_all());
        let begin = Instant::now();
        if policy == ReadFrom::Replica {
            assert_eq!(client.get::<i64>("k").timeout(10 * SECOND).await.unwrap(), 1);
            let took = begin.elapsed();
            assert!(took >= 3 * SECOND && took < 4500 * MS, "{took:?}");
            assert_eq!(cluster.received(&shard[0], "GET"), 0);
        } else {
            let reads = read_until(&client, begin, 900 * MS).await;
            assert_eq!(gets(&cluster, &shard), [reads, 1, 1], "{policy}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_was_pointed_to_another_primary_is_asked_for_the_slots_of_that_one() {
    for profile in Profile::ALL {
        for policy in policies_with_replicas() {
            let servers = SimCluster::builder().replicas(2).full_coverage(false).profile(profile);
            let (cluster, client, shard) = started_with(servers, policy.clone()).await;
            let other = another(&cluster, "k");
            let key = key_of(&cluster, &other, "o");
            client.set(key.as_str(), "1").await.unwrap();
            // The client has a connection to it from before.
            read_until_asked(&cluster, &client, "k", &shard[1]).await;
            repoint(&cluster, &shard[1], &other);
            // All nodes know it, and the client does not.
            sleep(50 * MS).await;
            let before = gets(&cluster, &shard);
            let reads = read_until_asked(&cluster, &client, "k", &shard[1]).await;
            let asked = gets_since(&before, &cluster, &shard);
            assert_eq!(asked[1], 1, "{profile} {policy}: {asked:?}");
            assert_answered_elsewhere(&policy, &asked, reads);

            // By now it is not only left alone for having refused.
            sleep(2 * SECOND).await;
            let before = gets(&cluster, &shard);
            let reads = read_until(&client, Instant::now(), 2 * SECOND).await;
            let asked = gets_since(&before, &cluster, &shard);
            assert_eq!(asked[1], 0, "{profile} {policy}: {asked:?}");
            assert_answered_elsewhere(&policy, &asked, reads);

            // When it has the other one's data it answers for that one.
            sleep(15 * SECOND).await;
            let before = cluster.received(&shard[1], "GET");
            for _ in 0..6 {
                let value = client.get::<i64>(key.as_str()).read_from(ReadFrom::Replica).await.unwrap();
                assert_eq!(value, 1, "{profile} {policy}");
            }
            assert_eq!(cluster.received(&shard[1], "GET") - before, 2, "{profile} {policy}: one of three");
        }
    }
}

/// A new replica knows nothing at first, and would answer so. `CLUSTER SHARDS` calls it loading; Redis 6.2
/// has no such word for it, and there the primary is asked for what it lacks.
#[tokio::test(start_paused = true)]
async fn a_replica_that_the_cluster_calls_loading_is_not_asked() {
    for profile in Profile::ALL {
        for policy in policies_with_replicas() {
            let servers = SimCluster::builder().replicas(2).full_coverage(false).profile(profile);
            let (cluster, _client, shard) = started_with(servers, ReadFrom::Primary).await;
            let new = cluster.replicas_of(&another(&cluster, "k")).remove(0);
            repoint(&cluster, &new, &shard[0]);
            sleep(50 * MS).await;
            let client =
                builder(&cluster).read_from(policy.clone()).refresh_interval(SECOND).connect().await.unwrap();
            let is_told = profile != Profile::Redis62;
            let expected = if is_told { Health::Loading } else { Health::Online };
            assert_eq!(health(&client, &new), Some(expected), "{profile} {policy}");
            let reads = read_until(&client, Instant::now(), 400 * MS).await;
            let asked = cluster.received(&new, "GET");
            assert_eq!(asked == 0, is_told, "{profile} {policy}: {asked}");
            if policy == ReadFrom::Replica && is_told {
                let others = gets(&cluster, &shard);
                assert_eq!((others[0], others[1] + others[2]), (0, reads), "{profile}");
            }
            sleep(8 * SECOND).await;
            assert_eq!(health(&client, &new), Some(Health::Online), "{profile} {policy}");
            read_until_asked(&cluster, &client, "k", &new).await;
        }
    }
}

/// Its clients reach it, but not the other nodes: what it has grows old. `CLUSTER SLOTS` does not name it any
/// more, `CLUSTER SHARDS` does.
#[tokio::test(start_paused = true)]
async fn a_replica_that_the_cluster_calls_failed_is_not_asked() {
    for profile in [Profile::Redis70, Profile::Redis82, Profile::Valkey81, Profile::Valkey91] {
        for policy in policies_with_replicas() {
            let servers = SimCluster::builder().replicas(2).node_timeout(SECOND).profile(profile);
            let (cluster, _client, shard) = started_with(servers, ReadFrom::Primary).await;
            cluster.perform(Step::Isolate(shard[1].clone())).unwrap();
            sleep(3 * SECOND).await;
            let client =
                builder(&cluster).read_from(policy.clone()).refresh_interval(SECOND).connect().await.unwrap();
            assert_eq!(health(&client, &shard[1]), Some(Health::Failed), "{profile} {policy}");
            let reads = read_until(&client, Instant::now(), 3 * SECOND).await;
            let asked = gets(&cluster, &shard);
            assert_eq!(asked[1], 0, "{profile} {policy}: {asked:?}");
            assert_answered_elsewhere(&policy, &asked, reads);

            cluster.perform(Step::Heal(shard[1].clone())).unwrap();
            sleep(3 * SECOND).await;
            assert_eq!(health(&client, &shard[1]), Some(Health::Online), "{profile} {policy}");
            read_until_asked(&cluster, &client, "k", &shard[1]).await;
        }
    }
}
