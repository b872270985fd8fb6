//! Subscribing, receiving, and ending both.

use std::time::Duration;

use keyslot::testkit::sim::{Profile, SimCluster};
use keyslot::{Command, ErrorKind, Outcome, Protocol, SubscriptionKind};
use tokio::time::sleep;

use crate::pubsub::{
    all_subscribers_of, expect, expect_nothing_for, node_of, publish, spublish, subscribers_of,
};
use crate::support::{MS, SECOND, builder, connect, keys_of, owner, primaries, soon, three};

#[tokio::test(start_paused = true)]
async fn every_kind_of_subscription_brings_its_messages() {
    for protocol in [Protocol::Auto, Protocol::Resp2] {
        for profile in Profile::ALL {
            let cluster = SimCluster::builder().profile(profile).start_in_memory().unwrap();
            let client = builder(&cluster).protocol(protocol).connect().await.unwrap();
            let mut subscriber = client.subscriber();
            subscriber.subscribe("news").await.unwrap();
            subscriber.psubscribe("n?ws").await.unwrap();
            for node in cluster.nodes() {
                publish(&cluster, &node, "news", "hi");
                publish(&cluster, &node, "olds", "ho");
                expect(&mut subscriber, &["news: hi", "news: hi by n?ws"]).await;
            }
            if profile == Profile::Redis62 {
                let error = subscriber.ssubscribe(["orders", "items"]).await.unwrap_err();
                assert_eq!((error.kind(), error.outcome()), (ErrorKind::Server, Outcome::Rejected));
                assert!(error.to_string().contains("Redis 7.0"), "{error}");
            } else {
                subscriber.ssubscribe(["orders", "items"]).await.unwrap();
                spublish(&cluster, "orders", "1");
                expect(&mut subscriber, &["orders: 1"]).await;
                spublish(&cluster, "items", "2");
                expect(&mut subscriber, &["items: 2"]).await;
            }
            expect_nothing_for(&mut subscriber, 60 * SECOND).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn commands_of_the_same_client_publish() {
    let cluster = three();
    let client = connect(&cluster).await;
    let mut subscriber = client.subscriber();
    subscriber.subscribe("news").await.unwrap();
    subscriber.ssubscribe("orders").await.unwrap();
    let _: i64 = client.execute(Command::new("PUBLISH").arg("news").arg("hi")).await.unwrap();
    expect(&mut subscriber, &["news: hi"]).await;
    let told: i64 = client.execute(Command::new("SPUBLISH").key("orders").arg("1")).await.unwrap();
    assert_eq!(told, 1);
    expect(&mut subscriber, &["orders: 1"]).await;
}

#[tokio::test(start_paused = true)]
async fn many_shard_channels_share_one_connection_to_each_primary() {
    let cluster = three();
    let client = connect(&cluster).await;
    let before: Vec<u64> = cluster.nodes().iter().map(|node| cluster.connections_accepted(node)).collect();
    let subscriber = client.subscriber();
    assert_eq!(
        cluster.connections_accepted(&cluster.nodes()[0]),
        before[0],
        "nothing is connected in advance"
    );
    let channels: Vec<String> =
        primaries(&cluster).iter().flat_map(|node| keys_of(&cluster, node, "c", 300)).collect();
    subscriber.ssubscribe(&channels).await.unwrap();
    let after = cluster.nodes().into_iter().map(|node| cluster.connections_accepted(&node));
    assert!(after.zip(&before).all(|(after, before)| after == before + 1));
    for channel in &channels {
        assert_eq!(subscribers_of(&cluster, &owner(&cluster, channel), channel), 1);
    }
    assert_eq!(subscriber.subscriptions().await.len(), 900);
    // Channels of one slot share a command, and one command has some hundreds of names at most.
    let tagged: Vec<String> = (0..1000).map(|number| format!("{{t}}{number}")).collect();
    let node = owner(&cluster, "{t}");
    let sent = cluster.received(&node, "SSUBSCRIBE");
    subscriber.ssubscribe(&tagged).await.unwrap();
    assert_eq!(cluster.received(&node, "SSUBSCRIBE") - sent, 4);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_has_moved_before_is_followed_without_a_gap() {
    let cluster = three();
    let client = connect(&cluster).await;
    let (old, new) = (owner(&cluster, "orders"), crate::support::another(&cluster, "orders"));
    cluster.move_slot(crate::support::slot("orders"), &new).unwrap();
    sleep(SECOND).await;
    let mut subscriber = client.subscriber();
    subscriber.ssubscribe("orders").await.unwrap();
    assert_eq!(cluster.received(&old, "SSUBSCRIBE"), 1);
    assert_eq!(node_of(&subscriber, "orders").await, Some(new));
    assert_eq!(client.stats().moved, 1);
    spublish(&cluster, "orders", "1");
    expect(&mut subscriber, &["orders: 1"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_end_is_confirmed_and_silent_and_what_is_not_ended_goes_on() {
    let cluster = three();
    let client = connect(&cluster).await;
    let mut subscriber = client.subscriber();
    subscriber.subscribe(["a", "b"]).await.unwrap();
    subscriber.psubscribe(["p*", "q*"]).await.unwrap();
    subscriber.ssubscribe(["{t}s", "{t}t"]).await.unwrap();
    subscriber.unsubscribe(["a", "unknown"]).await.unwrap();
    subscriber.punsubscribe("p*").await.unwrap();
    subscriber.sunsubscribe("{t}s").await.unwrap();
    assert_eq!(all_subscribers_of(&cluster, "a") + all_subscribers_of(&cluster, "{t}s"), 0);
    let left: Vec<_> = subscriber.subscriptions().await.into_iter().map(|state| state.subscription).collect();
    let kinds: Vec<_> = left.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [SubscriptionKind::Channel, SubscriptionKind::Pattern, SubscriptionKind::Shard]);
    let node = cluster.nodes().remove(0);
    for channel in ["a", "p1", "b", "q1"] {
        publish(&cluster, &node, channel, "x");
    }
    expect(&mut subscriber, &["b: x", "q1: x by q*"]).await;
    assert_eq!(spublish(&cluster, "{t}s", "x"), 0);
    spublish(&cluster, "{t}t", "x");
    expect(&mut subscriber, &["{t}t: x"]).await;
    expect_nothing_for(&mut subscriber, 60 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn connections_without_subscriptions_are_closed() {
    let cluster = three();
    // The shared links ask for signs of life too.
    let client = builder(&cluster).keep_alive(Duration::ZERO).connect().await.unwrap();
    let subscriber = client.subscriber();
    subscriber.subscribe("a").await.unwrap();
    subscriber.ssubscribe("s").await.unwrap();
    let at = owner(&cluster, "s");
    let count = |cluster: &SimCluster| {
        let list = cluster.ask(&at, ["CLIENT", "LIST"]).unwrap();
        list.as_str().unwrap().lines().filter(|line| line.contains(" ssub=1 ")).count()
    };
    assert_eq!(count(&cluster), 1);
    subscriber.sunsubscribe("s").await.unwrap();
    sleep(SECOND).await;
    assert_eq!(count(&cluster), 0);
    let sent = cluster.received(&at, "PING");
    sleep(60 * SECOND).await;
    let broadcast = node_of(&subscriber, "a").await.unwrap();
    assert!(at == broadcast || cluster.received(&at, "PING") == sent, "nobody is there who could ask");
}

#[tokio::test(start_paused = true)]
async fn what_is_ended_and_begun_again_at_once_is_there() {
    let cluster = three();
    let client = connect(&cluster).await;
    let mut subscriber = client.subscriber();
    let handle = subscriber.handle();
    for round in 0..50 {
        let (begun, ended, again) =
            futures::join!(handle.ssubscribe(["s", "t"]), handle.sunsubscribe("s"), handle.ssubscribe("s"),);
        // The second came before the first was confirmed.
        assert!(round > 0 || begun.unwrap_err().kind() == ErrorKind::Usage);
        ended.unwrap();
        again.unwrap();
        assert_eq!(spublish(&cluster, "s", "x"), 1, "in round {round}");
        expect(&mut subscriber, &["s: x"]).await;
    }
    expect_nothing_for(&mut subscriber, 60 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn another_task_may_subscribe_while_one_reads() {
    let cluster = three();
    let client = connect(&cluster).await;
    let mut subscriber = client.subscriber();
    let handle = subscriber.handle();
    let reader = tokio::spawn(async move { super::next(&mut subscriber).await });
    sleep(SECOND).await;
    handle.subscribe("news").await.unwrap();
    publish(&cluster, &cluster.nodes()[0], "news", "hi");
    assert_eq!(soon(reader).await.unwrap(), "news: hi");
    // The reader was dropped with the subscriber.
    let error = handle.subscribe("more").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Closed, Outcome::NotSent));
    assert!(handle.subscriptions().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn dropping_it_ends_its_task_and_its_connections() {
    let cluster = three();
    let client = connect(&cluster).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    sleep(SECOND).await;
    let before = tasks();
    let subscriber = client.subscriber();
    subscriber.subscribe("a").await.unwrap();
    subscriber.ssubscribe(["s", "t", "u", "v", "w"]).await.unwrap();
    assert!(tasks() > before);
    drop(subscriber);
    sleep(MS).await;
    assert_eq!(tasks(), before);
    for channel in ["a", "s", "t", "u", "v", "w"] {
        assert_eq!(all_subscribers_of(&cluster, channel), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn it_outlives_the_client_and_ends_with_its_close() {
    let cluster = three();
    let client = connect(&cluster).await;
    let mut subscriber = client.subscriber();
    subscriber.subscribe("a").await.unwrap();
    let other = client.clone();
    drop(client);
    publish(&cluster, &cluster.nodes()[0], "a", "1");
    sleep(SECOND).await;
    other.close().await;
    expect(&mut subscriber, &["a: 1"]).await;
    assert!(soon(subscriber.next()).await.is_none());
    assert_eq!(subscriber.subscribe("b").await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(all_subscribers_of(&cluster, "a"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_subscribes_is_refused_and_told_how() {
    let cluster = three();
    let client = connect(&cluster).await;
    for verb in ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"] {
        let error = client.execute::<()>(Command::new(verb).arg("a")).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::Rejected));
        assert!(error.to_string().contains("Client::subscriber"), "{error}");
    }
}
