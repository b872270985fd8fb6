//! Nodes that die, hang and leave, and slots that move: a gap wherever a message may be missing, and none elsewhere.

use keyslot::testkit::sim::{Fault, FaultKind, Profile, SimCluster, Step};
use keyslot::{Client, NodeAddr, Subscriber, SubscriberOptions};
use tokio::time::{Instant, sleep};

use crate::pubsub::{
    all_subscribers_of, expect, expect_nothing_for, next, node_of, publish, spublish, subscribers_of,
};
use crate::support::{MS, SECOND, another, connect, owner, replicated, slot, three};

const SHARDED: [Profile; 4] = [Profile::Redis70, Profile::Redis82, Profile::Valkey81, Profile::Valkey91];

/// A replicated cluster and a subscriber to `news` and to the shard channel `s`.
async fn started(profile: Profile) -> (SimCluster, Client, Subscriber) {
    let cluster = replicated().profile(profile).start_in_memory().unwrap();
    let client = connect(&cluster).await;
    for node in crate::support::primaries(&cluster) {
        // A replica is known once it has received something.
        let key = crate::support::key_of(&cluster, &node, "warm:");
        keyslot::Commands::set(&client, key, "1").await.unwrap();
    }
    sleep(SECOND).await;
    let subscriber = client.subscriber();
    subscriber.subscribe("news").await.unwrap();
    subscriber.ssubscribe("s").await.unwrap();
    (cluster, client, subscriber)
}

/// What is published to both now is told.
async fn expect_both(cluster: &SimCluster, subscriber: &mut Subscriber) {
    let node = node_of(subscriber, "news").await.unwrap();
    publish(cluster, &node, "news", "x");
    expect(subscriber, &["news: x"]).await;
    assert_eq!(spublish(cluster, "s", "y"), 1);
    expect(subscriber, &["s: y"]).await;
}

/// The server has ended the subscription to `s`, which goes to this node. The old primary may be a replica of it and take
/// its subscribers back, as any replica does, and tell them what it hears; until that is known here.
async fn expect_move(subscriber: &mut Subscriber, to: &NodeAddr) {
    expect(subscriber, &["interrupted SlotMoved: s", "gap SlotMoved: s"]).await;
    if node_of(subscriber, "s").await.as_ref() != Some(to) {
        expect(subscriber, &["gap SlotMoved: s"]).await;
    }
    assert_eq!(node_of(subscriber, "s").await.as_ref(), Some(to));
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_made_again() {
    let (cluster, client, mut subscriber) = started(Profile::default()).await;
    let at = node_of(&subscriber, "news").await.unwrap();
    let shard_at = owner(&cluster, "s");
    let before = client.stats();
    cluster.perform(Step::Disconnect(at.clone())).unwrap();
    let mut lost = vec!["news"];
    if at == shard_at {
        lost.push("s");
    }
    let begin = Instant::now();
    expect(&mut subscriber, &[&format!("interrupted ConnectionLost: {}", lost.join(" "))]).await;
    for _ in &lost {
        assert!(next(&mut subscriber).await.starts_with("gap ConnectionLost: "));
    }
    assert!(begin.elapsed() < 100 * MS, "{:?}", begin.elapsed());
    assert!(client.stats().disconnects > before.disconnects);
    expect_both(&cluster, &mut subscriber).await;
    expect_nothing_for(&mut subscriber, 60 * SECOND).await;
    assert_eq!(all_subscribers_of(&cluster, "news"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_primary_of_a_shard_channel_dies_and_its_replica_goes_on() {
    for profile in SHARDED {
        let (cluster, _client, mut subscriber) = started(profile).await;
        // Of two connections to the same node both would be lost.
        let dead = owner(&cluster, "s");
        subscriber.unsubscribe("news").await.unwrap();
        cluster.kill(&dead).unwrap();
        expect(&mut subscriber, &["interrupted ConnectionLost: s"]).await;
        assert_eq!(node_of(&subscriber, "s").await, None);
        expect(&mut subscriber, &["gap ConnectionLost: s"]).await;
        let now = owner(&cluster, "s");
        assert_ne!(now, dead);
        assert_eq!(node_of(&subscriber, "s").await, Some(now));
        spublish(&cluster, "s", "1");
        expect(&mut subscriber, &["s: 1"]).await;
        // That the old primary comes back as a replica is no news.
        cluster.restart(&dead).unwrap();
        expect_nothing_for(&mut subscriber, 60 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_node_of_the_channels_dies_and_another_goes_on() {
    for profile in Profile::ALL {
        let cluster = replicated().profile(profile).start_in_memory().unwrap();
        let client = connect(&cluster).await;
        let mut subscriber = client.subscriber();
        subscriber.subscribe("news").await.unwrap();
        subscriber.psubscribe("n*").await.unwrap();
        let dead = node_of(&subscriber, "news").await.unwrap();
        cluster.kill(&dead).unwrap();
        let begin = Instant::now();
        expect(&mut subscriber, &["interrupted ConnectionLost: news n*"]).await;
        expect(&mut subscriber, &["gap ConnectionLost: news n*"]).await;
        assert!(begin.elapsed() < 100 * MS, "{:?}", begin.elapsed());
        let now = node_of(&subscriber, "news").await.unwrap();
        assert_ne!(now, dead);
        publish(&cluster, &now, "news", "1");
        expect(&mut subscriber, &["news: 1", "news: 1 by n*"]).await;
        expect_nothing_for(&mut subscriber, 60 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_planned_handover_moves_the_shard_channel() {
    for profile in SHARDED {
        let (cluster, _client, mut subscriber) = started(profile).await;
        let replica = cluster.replicas_of(&owner(&cluster, "s")).remove(0);
        cluster.promote(&replica).unwrap();
        expect_move(&mut subscriber, &replica).await;
        expect_both(&cluster, &mut subscriber).await;
        expect_nothing_for(&mut subscriber, 60 * SECOND).await;
        assert_eq!(all_subscribers_of(&cluster, "s"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handover_that_other_nodes_hear_of_late_is_looked_for_until_it_is_known() {
    for delay in [30, 100, 300, 1000, 3000] {
        let cluster = replicated().start_in_memory().unwrap();
        let client = connect(&cluster).await;
        let mut subscriber = client.subscriber();
        sleep(10 * SECOND).await;
        subscriber.ssubscribe("s").await.unwrap();
        let replica = cluster.replicas_of(&owner(&cluster, "s")).remove(0);
        let stale = cluster.inject(Fault::new(FaultKind::StaleTopology));
        cluster.promote(&replica).unwrap();
        let begin = Instant::now();
        sleep(delay * MS).await;
        cluster.lift(stale);
        while node_of(&subscriber, "s").await.as_ref() != Some(&replica) {
            assert!(next(&mut subscriber).await.ends_with(" SlotMoved: s"));
        }
        assert!(begin.elapsed() < 3 * delay * MS + SECOND, "{delay} ms: {:?}", begin.elapsed());
        spublish(&cluster, "s", "x");
        while next(&mut subscriber).await != "s: x" {}
        expect_nothing_for(&mut subscriber, 60 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_moves_takes_its_channels_along_and_leaves_the_others() {
    for profile in SHARDED {
        let cluster = SimCluster::builder().profile(profile).start_in_memory().unwrap();
        let client = connect(&cluster).await;
        let mut subscriber = client.subscriber();
        let old = owner(&cluster, "{t}a");
        let stays = crate::support::key_of(&cluster, &old, "stays:");
        subscriber.ssubscribe(["{t}a", "{t}b", &stays]).await.unwrap();
        let new = another(&cluster, "{t}a");
        let connections = cluster.connections_accepted(&old);
        cluster.open_slot(slot("t"), &new).unwrap();
        sleep(SECOND).await;
        // Its owner serves it to the end.
        spublish(&cluster, "{t}a", "1");
        expect(&mut subscriber, &["{t}a: 1"]).await;
        cluster.close_slot(slot("t")).unwrap();
        expect(&mut subscriber, &["interrupted SlotMoved: {t}a {t}b", "gap SlotMoved: {t}a {t}b"]).await;
        assert_eq!(node_of(&subscriber, "{t}a").await, Some(new));
        for channel in ["{t}a", "{t}b", &stays] {
            assert_eq!(spublish(&cluster, channel, "2"), 1);
            expect(&mut subscriber, &[&format!("{channel}: 2")]).await;
        }
        expect_nothing_for(&mut subscriber, 60 * SECOND).await;
        assert_eq!(cluster.connections_accepted(&old), connections, "the connection stays open");
    }
}

#[tokio::test(start_paused = true)]
async fn an_own_end_that_meets_the_servers_end_is_no_gap() {
    // The slot moves before, while and after the unsubscription is on its way.
    for delay in 0..12 {
        let cluster = three();
        let client = connect(&cluster).await;
        let mut subscriber = client.subscriber();
        subscriber.ssubscribe(["{t}a", "{t}b"]).await.unwrap();
        let (old, new) = (owner(&cluster, "t"), another(&cluster, "t"));
        cluster.inject(Fault::new(FaultKind::Delay(5 * MS)).command("SUNSUBSCRIBE").node(&old));
        cluster.inject(Fault::new(FaultKind::DelayReply(3 * MS)).command("SUNSUBSCRIBE").node(&old));
        let (ended, ()) = futures::join!(subscriber.sunsubscribe("{t}a"), async {
            sleep(delay * MS).await;
            cluster.move_slot(slot("t"), &new).unwrap();
        });
        ended.unwrap();
        expect(&mut subscriber, &["interrupted SlotMoved: {t}b", "gap SlotMoved: {t}b"]).await;
        expect_nothing_for(&mut subscriber, 60 * SECOND).await;
        assert_eq!(all_subscribers_of(&cluster, "{t}a"), 0, "after {delay} ms");
        assert_eq!(subscribers_of(&cluster, &new, "{t}b"), 1);
        // The bookkeeping is right: what is asked for next is answered.
        subscriber.ssubscribe("{t}a").await.unwrap();
        assert_eq!(spublish(&cluster, "{t}a", "1"), 1);
        expect(&mut subscriber, &["{t}a: 1"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_goes_and_comes_back_loses_no_subscription() {
    let cluster = three();
    let client = connect(&cluster).await;
    let mut subscriber = client.subscriber();
    subscriber.ssubscribe("s").await.unwrap();
    let (old, new) = (owner(&cluster, "s"), another(&cluster, "s"));
    for round in 0..100 {
        let to = if round % 2 == 0 { &new } else { &old };
        cluster.move_slot(slot("s"), to).unwrap();
        sleep(fastrand::u32(0..5) * MS).await;
    }
    sleep(10 * SECOND).await;
    assert_eq!(all_subscribers_of(&cluster, "s"), 1);
    assert_eq!(spublish(&cluster, "s", "1"), 1);
    let mut last_gap = String::new();
    loop {
        match next(&mut subscriber).await {
            message if message == "s: 1" => break,
            other => last_gap = other,
        }
    }
    assert_eq!(last_gap, "gap SlotMoved: s");
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_noticed_by_the_keep_alive() {
    // The other nodes do not notice it.
    let cluster = SimCluster::builder().node_timeout(3600 * SECOND).start_in_memory().unwrap();
    let client = connect(&cluster).await;
    let mut subscriber = client.subscriber_with(SubscriberOptions::new().keep_alive(2 * SECOND));
    subscriber.subscribe("news").await.unwrap();
    // A line that is quiet is alive.
    expect_nothing_for(&mut subscriber, 60 * SECOND).await;
    let hung = node_of(&subscriber, "news").await.unwrap();
    cluster.stop(&hung).unwrap();
    let begin = Instant::now();
    expect(&mut subscriber, &["interrupted ConnectionLost: news"]).await;
    assert!(begin.elapsed() <= 4 * SECOND + 10 * MS, "{:?}", begin.elapsed());
    expect(&mut subscriber, &["gap ConnectionLost: news"]).await;
    assert_ne!(node_of(&subscriber, "news").await, Some(hung));
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_hangs_is_left_as_soon_as_its_successor_is_known() {
    let (cluster, client, _) = started(Profile::default()).await;
    let mut subscriber = client.subscriber_with(SubscriberOptions::new().keep_alive(3600 * SECOND));
    subscriber.ssubscribe("s").await.unwrap();
    let hung = owner(&cluster, "s");
    cluster.stop(&hung).unwrap();
    // Somebody has to notice: a command does.
    let key = crate::support::key_of(&cluster, &hung, "k");
    keyslot::Commands::set(&client, key, "1").await.unwrap();
    expect(&mut subscriber, &["gap SlotMoved: s"]).await;
    assert_eq!(node_of(&subscriber, "s").await, Some(owner(&cluster, "s")));
    assert_eq!(spublish(&cluster, "s", "1"), 1);
    expect(&mut subscriber, &["s: 1"]).await;
    // What the old one says when it goes on is not listened to.
    cluster.cont(&hung).unwrap();
    expect_nothing_for(&mut subscriber, 60 * SECOND).await;
    assert_eq!(subscribers_of(&cluster, &hung, "s"), 0);
}

/// Takes a node without slots out of the cluster, as `del-node` does.
fn forget(cluster: &SimCluster, node: &NodeAddr) {
    let id = cluster.ask(node, ["CLUSTER", "MYID"]).unwrap();
    let id = id.as_str().unwrap().to_owned();
    for other in cluster.nodes().iter().filter(|other| *other != node) {
        cluster.ask(other, ["CLUSTER", "FORGET", &id]).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_the_cluster_is_left() {
    let cluster = three();
    let client = connect(&cluster).await;
    let mut subscriber = client.subscriber();
    let gone = cluster.add_node().await.unwrap();
    sleep(SECOND).await;
    cluster.move_slot(slot("s"), &gone).unwrap();
    sleep(120 * SECOND).await;
    subscriber.ssubscribe("s").await.unwrap();
    assert_eq!(node_of(&subscriber, "s").await, Some(gone.clone()));
    let mut at = None;
    while at.as_ref() != Some(&gone) {
        subscriber.unsubscribe("news").await.unwrap();
        subscriber.subscribe("news").await.unwrap();
        at = node_of(&subscriber, "news").await;
    }
    let home = cluster.nodes().remove(0);
    cluster.move_slot(slot("s"), &home).unwrap();
    expect_move(&mut subscriber, &home).await;
    sleep(SECOND).await;
    forget(&cluster, &gone);
    // The node still answers, but hears nothing of the others any more.
    expect(&mut subscriber, &["interrupted NodeGone: news", "gap NodeGone: news"]).await;
    publish(&cluster, &home, "news", "1");
    expect(&mut subscriber, &["news: 1"]).await;
    expect_nothing_for(&mut subscriber, 60 * SECOND).await;
    assert_eq!(subscribers_of(&cluster, &gone, "news") + subscribers_of(&cluster, &gone, "s"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_long_outage_is_waited_out_without_a_storm() {
    let cluster = three();
    let client = connect(&cluster).await;
    let mut subscriber = client.subscriber();
    subscriber.ssubscribe("s").await.unwrap();
    let dead = owner(&cluster, "s");
    let before = client.stats();
    cluster.kill(&dead).unwrap();
    expect(&mut subscriber, &["interrupted ConnectionLost: s"]).await;
    expect_nothing_for(&mut subscriber, 600 * SECOND).await;
    // About one attempt and a few looks at the topology a second.
    let refreshes = client.stats().refreshes - before.refreshes;
    assert!(refreshes < 600 * 6, "{refreshes}");
    cluster.restart(&dead).unwrap();
    let begin = Instant::now();
    expect(&mut subscriber, &["gap ConnectionLost: s"]).await;
    assert!(begin.elapsed() < 5 * SECOND, "{:?}", begin.elapsed());
    spublish(&cluster, "s", "1");
    expect(&mut subscriber, &["s: 1"]).await;
}

#[tokio::test(start_paused = true)]
async fn total_loss_is_survived() {
    let (cluster, _client, mut subscriber) = started(Profile::default()).await;
    for node in cluster.nodes() {
        cluster.kill(&node).unwrap();
    }
    sleep(60 * SECOND).await;
    for node in cluster.nodes() {
        cluster.restart(&node).unwrap();
    }
    let mut gaps = Vec::new();
    while gaps.len() < 2 {
        let event = next(&mut subscriber).await;
        if event.starts_with("gap ") {
            gaps.push(event);
        }
    }
    gaps.sort();
    assert_eq!(gaps, ["gap ConnectionLost: news", "gap ConnectionLost: s"]);
    expect_both(&cluster, &mut subscriber).await;
}
