//! `Request::traced`: the way that it tells is the one that the simulated cluster has seen.

use keyslot::testkit::sim::{Fault, FaultKind, SimCluster};
use keyslot::{Command, Commands, ErrorKind, Outcome, ReadFrom, RedirectKind, Target, Value};
use tokio::time::sleep;

use crate::support::{
    MS, SECOND, another, builder, connect, executed_at, owner, primaries, received_by_all, slot, three,
};

#[tokio::test(start_paused = true)]
async fn the_usual_way_is_one_attempt_at_the_owner() {
    let cluster = three();
    let client = connect(&cluster).await;
    let (reply, way) = client.incr("k").traced().await;
    assert_eq!(reply.unwrap(), 1);
    assert_eq!(way.parts.len(), 1);
    assert_eq!((way.parts[0].slot, way.node()), (Some(slot("k")), Some(&owner(&cluster, "k"))));
    assert_eq!((way.attempts(), way.redirects().count()), (1, 0));
    assert_eq!(executed_at(&cluster, "INCR k"), [owner(&cluster, "k")]);
}

#[tokio::test(start_paused = true)]
async fn redirects_are_told_with_both_ends_and_the_node_is_the_last() {
    let cluster = three();
    let client = connect(&cluster).await;
    client.set("k", "1").await.unwrap();
    let (from, to) = (owner(&cluster, "k"), another(&cluster, "k"));

    cluster.open_slot(slot("k"), &to).unwrap();
    cluster.migrate_keys(slot("k"), usize::MAX).unwrap();
    let (reply, way) = client.get::<String>("k").traced().await;
    assert_eq!(reply.unwrap(), "1");
    let hops: Vec<_> = way.redirects().map(|hop| (hop.kind, &hop.from, &hop.to)).collect();
    assert_eq!(hops, [(RedirectKind::Ask, &from, &to)]);
    assert_eq!((way.node(), way.attempts()), (Some(&to), 2));

    cluster.close_slot(slot("k")).unwrap();
    let (reply, way) = client.incr("k").traced().await;
    assert_eq!(reply.unwrap(), 2);
    let hops: Vec<_> = way.redirects().map(|hop| (hop.kind, hop.slot)).collect();
    assert_eq!(hops, [(RedirectKind::Moved, slot("k"))]);
    assert_eq!((way.node(), way.attempts()), (Some(&to), 2));

    let (reply, way) = client.get::<i64>("k").traced().await;
    assert_eq!((reply.unwrap(), way.attempts(), way.redirects().count()), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_split_command_has_a_part_for_each_slot_and_a_fan_out_one_for_each_node() {
    let cluster = three();
    let client = connect(&cluster).await;
    client.mset([("a", 1), ("b", 2), ("c", 3)]).await.unwrap();
    let (reply, way) = client.mget::<Vec<i64>>(["a", "b", "c"]).traced().await;
    assert_eq!(reply.unwrap(), [1, 2, 3]);
    assert_eq!(way.node(), None, "it was not one");
    let mut told: Vec<_> =
        way.parts.iter().map(|part| (part.slot.unwrap(), part.node.clone().unwrap())).collect();
    let mut wanted = ["a", "b", "c"].map(|key| (slot(key), owner(&cluster, key)));
    told.sort();
    wanted.sort();
    assert_eq!(told, wanted);
    assert_eq!(way.attempts(), 3);

    let (reply, way) = client.dbsize().traced().await;
    assert_eq!(reply.unwrap(), 3);
    let mut nodes: Vec<_> = way.parts.iter().map(|part| part.node.clone().unwrap()).collect();
    let mut wanted = primaries(&cluster);
    nodes.sort();
    wanted.sort();
    assert_eq!(nodes, wanted);
    assert!(way.parts.iter().all(|part| part.slot.is_none()));
}

#[tokio::test(start_paused = true)]
async fn retries_and_their_time_are_in_it() {
    let cluster = three();
    let client = connect(&cluster).await;
    client.set("k", "1").await.unwrap();
    let node = owner(&cluster, "k");
    cluster.inject(Fault::new(FaultKind::CloseBefore).command("GET").times(2));
    let (reply, way) = client.get::<i64>("k").traced().await;
    assert_eq!(reply.unwrap(), 1);
    assert_eq!((way.node(), way.attempts()), (Some(&node), 3), "{way:?}");

    cluster.stop(&node).unwrap();
    let (reply, way) = client.get::<i64>("k").timeout(200 * MS).traced().await;
    assert_eq!(reply.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(way.elapsed >= 200 * MS && way.elapsed < SECOND, "{way:?}");
    assert_eq!(way.node(), Some(&node));
}

#[tokio::test(start_paused = true)]
async fn a_replica_s_word_that_was_checked_is_two_attempts() {
    let cluster = SimCluster::builder().replicas(1).start_in_memory().unwrap();
    let client = builder(&cluster).read_from(ReadFrom::Replica).connect().await.unwrap();
    client.set("k", "1").await.unwrap();
    sleep(SECOND).await;
    let primary = owner(&cluster, "k");
    let (reply, way) = client.get::<Option<i64>>("k").traced().await;
    assert_eq!((reply.unwrap(), way.attempts()), (Some(1), 1));
    assert_eq!(way.node(), cluster.replicas_of(&primary).first());
    let (reply, way) = client.get::<Option<i64>>("{k}none").traced().await;
    assert_eq!((reply.unwrap(), way.attempts()), (None, 2));
    assert_eq!(way.node(), Some(&primary));
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_before_it_was_sent_has_no_way() {
    let cluster = three();
    let client = connect(&cluster).await;
    let (reply, way) = client.msetnx([("a", 1), ("b", 2)]).traced().await;
    let error = reply.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::CrossSlot, Outcome::Rejected));
    assert!(way.parts.is_empty());

    // Nobody was asked where nobody is.
    let nowhere = Target::Node("127.0.0.1:1".parse().unwrap());
    let (reply, way) =
        client.execute::<Value>(Command::new("PING").to(nowhere)).timeout(100 * MS).traced().await;
    assert!(reply.is_err());
    assert_eq!(way.parts.len(), 1);

    client.close().await;
    let (reply, way) = client.get::<Value>("k").traced().await;
    assert_eq!(reply.unwrap_err().kind(), ErrorKind::Closed);
    assert!(way.parts.is_empty());
    assert_eq!(received_by_all(&cluster, "GET"), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_under_way_is_given_up_and_may_have_been_executed() {
    let cluster = three();
    let client = connect(&cluster).await;
    let mut request = client.incr("k");
    assert!(futures::poll!(&mut request).is_pending());
    sleep(SECOND).await;
    let (reply, way) = request.traced().await;
    let error = reply.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::MaybeExecuted));
    assert!(way.parts.is_empty());
    assert_eq!(client.get::<i64>("k").await.unwrap(), 1, "it had left");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_dropped_before_it_was_written_is_not_sent() {
    let cluster = three();
    let client = connect(&cluster).await;
    drop(client.incr("k").traced());
    let mut traced = Box::pin(client.incr("k").traced());
    assert!(futures::poll!(traced.as_mut()).is_pending());
    drop(traced);
    sleep(SECOND).await;
    assert_eq!(received_by_all(&cluster, "INCR"), 0);
    assert_eq!(client.incr("k").await.unwrap(), 1);
}
