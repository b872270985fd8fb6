//! `Pipeline::run_durable`: an acknowledgement is told of the writes that the node has executed on that very connection.

use std::time::Duration;

use keyslot::testkit::sim::{Fault, FaultKind, Profile, SimCluster};
use keyslot::{Client, Command, Commands, ErrorKind, NodeAddr, Outcome, Value};

use crate::support::{
    MS, SECOND, another, connect, executed_at, key_of, owner, primaries, received_by_all, slot, soon, three,
};

/// Three primaries with two replicas each, which are 10 ms behind.
fn shards() -> SimCluster {
    SimCluster::builder().replicas(2).replication_delay(10 * MS).start_in_memory().unwrap()
}

/// What each node said, in the order of the nodes.
fn said(durable: &keyslot::Durable<u64>) -> Vec<(NodeAddr, u64)> {
    let mut said: Vec<_> =
        durable.acknowledged.iter().map(|one| (one.node.clone(), *one.by.as_ref().unwrap())).collect();
    said.sort_by_key(|(node, _)| node.port());
    said
}

#[tokio::test(start_paused = true)]
async fn each_node_says_how_many_replicas_have_its_writes() {
    let cluster = shards();
    let client = connect(&cluster).await;
    let nodes = primaries(&cluster);
    let keys: Vec<String> = nodes.iter().map(|node| key_of(&cluster, node, "k")).collect();
    let mut pipe = client.pipeline();
    keys.iter().for_each(|key| {
        pipe.set(key, "v").incr(format!("{{{key}}}n")).get(key);
    });
    let begin = cluster.elapsed();
    let durable = pipe.run_durable(2, SECOND).await.unwrap();
    assert!(cluster.elapsed() - begin < 30 * MS, "they wait side by side");
    assert_eq!(durable.replicas().unwrap(), Some(2));
    let mut all: Vec<_> = nodes.iter().map(|node| (node.clone(), 2)).collect();
    all.sort_by_key(|(node, _)| node.port());
    assert_eq!(said(&durable), all);
    let replies: Vec<Value> = durable.read().unwrap();
    assert_eq!((replies.len(), &replies[1], &replies[2]), (9, &Value::Int(1), &Value::Bulk("v".into())));
    for node in &nodes {
        assert_eq!(cluster.received(node, "WAIT"), 1);
    }
    // Too short a time, and more than there are.
    assert_eq!(pipe.run_durable(2, 5 * MS).await.unwrap().replicas().unwrap(), Some(0));
    let begin = cluster.elapsed();
    assert_eq!(pipe.run_durable(3, 12 * SECOND).await.unwrap().replicas().unwrap(), Some(2));
    assert_eq!(cluster.elapsed() - begin, 12 * SECOND);
    let kept = pipe.run_durable_on_disk(false, 1, SECOND).await.unwrap().on_disk().unwrap().unwrap();
    assert_eq!((kept.local, kept.replicas), (false, 2));
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_written_nothing_is_told() {
    let cluster = shards();
    let client = connect(&cluster).await;
    let mut pipe = client.pipeline();
    let durable = pipe.run_durable(1, SECOND).await.unwrap();
    assert_eq!((durable.replies.len(), durable.replicas().unwrap()), (0, None));
    pipe.get("a").get("b");
    let durable = pipe.run_durable(1, SECOND).await.unwrap();
    assert_eq!((durable.replies.len(), durable.replicas().unwrap()), (2, None));
    assert_eq!(received_by_all(&cluster, "WAIT"), 0);
    // A write that failed is none.
    pipe.clear();
    pipe.push(Command::new("INCRBY").key("a").arg("x"));
    let durable = pipe.run_durable(1, SECOND).await.unwrap();
    assert!(durable.replies[0].is_err());
    assert_eq!(durable.replicas().unwrap(), None);
    assert_eq!(pipe.run_durable(1, Duration::ZERO).await.unwrap_err().kind(), ErrorKind::Usage);
    pipe.clear();
    pipe.blpop("q", 1.0);
    assert_eq!(pipe.run_durable(1, SECOND).await.unwrap_err().kind(), ErrorKind::Usage);
}

#[tokio::test(start_paused = true)]
async fn keys_of_all_slots_are_acknowledged_by_all_their_nodes() {
    let cluster = shards();
    let client = connect(&cluster).await;
    let mut pipe = client.pipeline();
    pipe.mset((0..100).map(|number| (format!("k{number}"), number)));
    let durable = pipe.run_durable(1, SECOND).await.unwrap();
    assert_eq!(durable.acknowledged.len(), 3);
    assert!(durable.replicas().unwrap().unwrap() >= 1);
    assert_eq!(client.get::<i64>("k99").await.unwrap(), 99);
}

/// Writes `{a}k` and another key of the same node, durably, while the slot of `{a}k` is somewhere else.
async fn redirected(cluster: &SimCluster, client: &Client) -> (keyslot::Durable<u64>, String) {
    let node = client.slot_map().primary_of(slot("{a}k")).unwrap().addr.clone();
    let stays = (0..)
        .map(|number| format!("s{number}"))
        .find(|key| slot(key) != slot("{a}k") && owner(cluster, key) == node)
        .unwrap();
    let mut pipe = client.pipeline();
    pipe.incr(&stays).incr("{a}k");
    (soon(pipe.run_durable(2, SECOND)).await.unwrap(), stays)
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_redirected_is_acknowledged_where_it_was_executed() {
    for is_half_way in [false, true] {
        let cluster = shards();
        let client = connect(&cluster).await;
        let (from, to) = (owner(&cluster, "{a}k"), another(&cluster, "{a}k"));
        if is_half_way {
            cluster.open_slot(slot("{a}k"), &to).unwrap();
        } else {
            cluster.move_slot(slot("{a}k"), &to).unwrap();
        }
        // The replicas of the new node are down: none of them may be told to have the write.
        for replica in cluster.replicas_of(&to) {
            cluster.stop(&replica).unwrap();
        }
        let (durable, stays) = redirected(&cluster, &client).await;
        assert_eq!(executed_at(&cluster, "INCR {a}k"), std::slice::from_ref(&to));
        assert_eq!(executed_at(&cluster, &format!("INCR {stays}")), std::slice::from_ref(&from));
        let mut wanted = vec![(from.clone(), 2), (to.clone(), 0)];
        wanted.sort_by_key(|(node, _)| node.port());
        assert_eq!(said(&durable), wanted, "{is_half_way}");
        assert_eq!(durable.replicas().unwrap(), Some(0));
        assert_eq!((cluster.received(&from, "WAIT"), cluster.received(&to, "WAIT")), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_writes_all_went_elsewhere_says_nothing_of_them() {
    let cluster = shards();
    let client = connect(&cluster).await;
    let to = another(&cluster, "{a}k");
    cluster.move_slot(slot("{a}k"), &to).unwrap();
    let mut pipe = client.pipeline();
    pipe.incr("{a}k");
    let durable = pipe.run_durable(1, SECOND).await.unwrap();
    assert_eq!(durable.acknowledged.len(), 1);
    assert_eq!(durable.acknowledged[0].node, to);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_dies_before_the_acknowledgement_gives_none() {
    for (kind, at, outcome, executed) in [
        // The writes are answered, the count is not.
        (FaultKind::CloseBefore, "WAIT", None, 1),
        (FaultKind::CloseAfter, "INCR", Some(Outcome::MaybeExecuted), 1),
        (FaultKind::CloseBefore, "INCR", Some(Outcome::MaybeExecuted), 0),
    ] {
        let cluster = shards();
        let client = connect(&cluster).await;
        cluster.inject(Fault::new(kind.clone()).command(at).times(1));
        let mut pipe = client.pipeline();
        pipe.incr("{a}k");
        let durable = soon(pipe.run_durable(2, SECOND)).await.unwrap();
        assert_eq!(cluster.ledger().count("INCR {a}k"), executed, "{kind:?} {at}");
        match outcome {
            Some(outcome) => {
                assert_eq!(durable.replies[0].as_ref().unwrap_err().outcome(), outcome, "{kind:?} {at}");
                assert_eq!(durable.replicas().unwrap(), None);
            }
            None => {
                assert_eq!(durable.replies[0].as_ref().unwrap(), &Value::Int(1));
                let error = durable.replicas().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionLost);
                assert!(error.to_string().contains("the writes were executed"), "{error}");
                assert_eq!(error.command(), Some("WAIT"));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_be_repeated_is_acknowledged_by_its_last_node() {
    let cluster = shards();
    let client = connect(&cluster).await;
    cluster.inject(Fault::new(FaultKind::CloseAfter).command("SET").times(1));
    let mut pipe = client.pipeline();
    pipe.set("{a}k", "v");
    let durable = soon(pipe.run_durable(2, SECOND)).await.unwrap();
    assert_eq!(durable.replicas().unwrap(), Some(2));
    assert_eq!(cluster.ledger().count("SET {a}k v"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_count_is_an_error_that_says_the_writes_were_executed() {
    let cluster = three();
    let client = connect(&cluster).await;
    let text = "ERR unknown command 'WAITAOF', with args beginning with: '1' '0' '1000' ";
    cluster.inject(Fault::new(FaultKind::Error(text.to_owned())).command("WAITAOF"));
    let mut pipe = client.pipeline();
    pipe.incr("{a}k");
    let durable = pipe.run_durable_on_disk(true, 0, SECOND).await.unwrap();
    assert_eq!(durable.replies[0].as_ref().unwrap(), &Value::Int(1));
    let error = durable.on_disk().unwrap_err();
    assert!(
        error.to_string().contains("unknown command") && error.to_string().contains("were executed"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failover_while_it_waits_tells_no_number_of_the_lost_primary() {
    let cluster = SimCluster::builder()
        .replicas(2)
        .node_timeout(SECOND)
        .full_coverage(false)
        .start_in_memory()
        .unwrap();
    let client = connect(&cluster).await;
    let old = owner(&cluster, "{a}k");
    // A replica that does not follow keeps the count waiting until the primary dies.
    cluster.stop(&cluster.replicas_of(&old)[0]).unwrap();
    let mut pipe = client.pipeline();
    pipe.incr("{a}k");
    let run = pipe.run_durable(2, 30 * SECOND);
    let kill = async {
        tokio::time::sleep(SECOND).await;
        cluster.kill(&old).unwrap();
    };
    let (durable, ()) = soon(async { tokio::join!(run, kill) }).await;
    let durable = durable.unwrap();
    // The write was answered before, but nobody knows who has it.
    assert_eq!(durable.replies[0].as_ref().unwrap(), &Value::Int(1));
    assert!(durable.replicas().is_err());
    // And the other shards are as before.
    let mut pipe = client.pipeline();
    pipe.incr(key_of(&cluster, &another(&cluster, "{a}k"), "other"));
    assert_eq!(pipe.run_durable(2, SECOND).await.unwrap().replicas().unwrap(), Some(2));
}

/// A second from now a replica takes the place of the primary of `{a}k`, which lives on. If `is_told`, another caller's
/// command shows that to the client.
async fn hand_over(cluster: &SimCluster, client: &Client, is_told: bool) {
    tokio::time::sleep(SECOND).await;
    let replica = cluster.replicas_of(&owner(cluster, "{a}k")).remove(0);
    cluster.promote(&replica).unwrap();
    tokio::time::sleep(100 * MS).await;
    if is_told {
        client.incr("{a}other").await.unwrap();
        assert_eq!(executed_at(cluster, "INCR {a}other"), [replica]);
    }
}

/// All servers but Valkey 9.1 send those away who wait in `WAIT` at a node that is demoted. There a client that nobody tells
/// of it learns no sooner than its time is over.
fn learns_of_it(profile: Profile, is_told: bool) -> bool {
    is_told || profile != Profile::Valkey91
}

/// Every server, and whether the client is told.
fn every_way() -> impl Iterator<Item = (Profile, bool)> {
    Profile::ALL.into_iter().flat_map(|profile| [(profile, true), (profile, false)])
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_is_demoted_while_it_waits_tells_no_number_and_keeps_nobody_waiting() {
    for (profile, is_told) in every_way() {
        let what = format!("{profile}, told: {is_told}");
        let cluster = SimCluster::builder().profile(profile).replicas(1).start_in_memory().unwrap();
        let client = connect(&cluster).await;
        let mut pipe = client.pipeline();
        pipe.incr("{a}k");
        let begin = cluster.elapsed();
        let run = async {
            // More than there are, so that it waits.
            let durable = pipe.run_durable(2, 30 * SECOND).await.unwrap();
            (durable, cluster.elapsed() - begin)
        };
        let ((durable, took), ()) =
            soon(async { tokio::join!(run, hand_over(&cluster, &client, is_told)) }).await;
        assert_eq!(cluster.ledger().count("INCR {a}k"), 1, "{what}");
        // It was answered before.
        assert_eq!(durable.replies[0].as_ref().unwrap(), &Value::Int(1), "{what}");
        let replicas = durable.replicas();
        if learns_of_it(profile, is_told) {
            assert!(took < 5 * SECOND, "{what}: {took:?}");
            let error = replicas.unwrap_err();
            assert_eq!(error.command(), Some("WAIT"), "{what}: {error}");
            assert!(error.to_string().contains("the writes were executed"), "{what}: {error}");
        } else {
            assert!(took < 31 * SECOND, "{what}: {took:?}");
            // Nobody follows it any more, so it has no number to tell but this.
            assert!(matches!(replicas, Err(_) | Ok(Some(0))), "{what}: {replicas:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_waits_at_a_primary_that_is_demoted_is_over_soon() {
    for (profile, is_told) in every_way() {
        let what = format!("{profile}, told: {is_told}");
        let cluster = SimCluster::builder().profile(profile).replicas(1).start_in_memory().unwrap();
        let client = connect(&cluster).await;
        let mut session = client.session("{a}k").await.unwrap();
        session.set("{a}k", 1).await.unwrap();
        let begin = cluster.elapsed();
        let wait = async {
            let count = session.wait(2, 30 * SECOND).await;
            (count, cluster.elapsed() - begin)
        };
        let ((count, took), ()) =
            soon(async { tokio::join!(wait, hand_over(&cluster, &client, is_told)) }).await;
        if learns_of_it(profile, is_told) {
            assert!(took < 5 * SECOND, "{what}: {took:?}");
            let error = count.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::SessionLost, "{what}: {error}");
        } else {
            assert!(took < 31 * SECOND, "{what}: {took:?}");
            assert!(matches!(count, Err(_) | Ok(0)), "{what}: {count:?}");
        }
        // Either way it does not go on at a node that does not serve its slot.
        let error = session.set("{a}k", 2).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SessionLost, "{what}: {error}");
        assert_eq!(cluster.ledger().count("SET {a}k 2"), 0, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bare_wait_is_refused_and_says_how_it_is_done() {
    let cluster = three();
    let client = connect(&cluster).await;
    for name in ["WAIT", "WAITAOF"] {
        let error = client.execute::<Value>(Command::new(name).args(["1", "100"])).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::Rejected));
        let text = error.to_string();
        assert!(text.contains("Pipeline::run_durable") && text.contains("Session::wait"), "{text}");
    }
    assert_eq!(received_by_all(&cluster, "WAIT"), 0);
}
