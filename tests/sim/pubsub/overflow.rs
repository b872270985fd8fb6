//! A reader that is slower than the messages: memory stays bounded, and what is lost is told.

use keyslot::testkit::sim::SimCluster;
use keyslot::{OverflowPolicy, Subscriber, SubscriberOptions};
use tokio::time::sleep;

use crate::pubsub::{expect, expect_nothing_for, publish};
use crate::support::{MS, SECOND, connect, three};

async fn started(policy: OverflowPolicy) -> (SimCluster, Subscriber) {
    let cluster = three();
    let client = connect(&cluster).await;
    let options = SubscriberOptions::new().buffer(3, 1000).overflow(policy);
    let subscriber = client.subscriber_with(options);
    subscriber.subscribe(["a", "b"]).await.unwrap();
    (cluster, subscriber)
}

/// Publishes numbers, and lets them arrive.
async fn publish_all(cluster: &SimCluster, numbers: std::ops::RangeInclusive<u32>) {
    for number in numbers {
        publish(cluster, &cluster.nodes()[0], if number % 2 == 0 { "b" } else { "a" }, &number.to_string());
    }
    sleep(100 * MS).await;
}

#[tokio::test(start_paused = true)]
async fn the_oldest_make_room() {
    let (cluster, mut subscriber) = started(OverflowPolicy::DropOldest).await;
    publish_all(&cluster, 1..=3).await;
    expect(&mut subscriber, &["a: 1", "b: 2", "a: 3"]).await;
    publish_all(&cluster, 4..=8).await;
    expect(&mut subscriber, &["gap Overflow 2: a b", "b: 6", "a: 7", "b: 8"]).await;
    publish_all(&cluster, 9..=9).await;
    expect(&mut subscriber, &["a: 9"]).await;
    expect_nothing_for(&mut subscriber, SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn the_newest_are_dropped() {
    let (cluster, mut subscriber) = started(OverflowPolicy::DropNewest).await;
    publish_all(&cluster, 1..=5).await;
    expect(&mut subscriber, &["a: 1", "b: 2"]).await;
    publish_all(&cluster, 6..=6).await;
    expect(&mut subscriber, &["a: 3", "gap Overflow 2: a b", "b: 6"]).await;
    publish_all(&cluster, 1..=4).await;
    expect(&mut subscriber, &["a: 1", "b: 2", "a: 3", "gap Overflow 1: b"]).await;
    expect_nothing_for(&mut subscriber, SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn reading_stops_and_nothing_is_lost() {
    let (cluster, mut subscriber) = started(OverflowPolicy::StopReading).await;
    publish_all(&cluster, 1..=500).await;
    // The silence of a connection that is not listened to is no death.
    sleep(60 * SECOND).await;
    for number in 1..=500 {
        let channel = if number % 2 == 0 { "b" } else { "a" };
        expect(&mut subscriber, &[&format!("{channel}: {number}")]).await;
    }
    expect_nothing_for(&mut subscriber, 60 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn an_end_behind_the_backlog_is_noticed_when_it_is_read() {
    let (cluster, mut subscriber) = started(OverflowPolicy::StopReading).await;
    publish_all(&cluster, 1..=5).await;
    let node = crate::pubsub::node_of(&subscriber, "a").await.unwrap();
    cluster.perform(keyslot::testkit::sim::Step::Disconnect(node)).unwrap();
    sleep(SECOND).await;
    for number in 1..=5 {
        let channel = if number % 2 == 0 { "b" } else { "a" };
        expect(&mut subscriber, &[&format!("{channel}: {number}")]).await;
    }
    expect(&mut subscriber, &["interrupted ConnectionLost: a b", "gap ConnectionLost: a b"]).await;
}
