//! A subscriber: messages of channels, patterns and shard channels, and what else it may be told.

use std::time::Duration;

use futures::{Stream, StreamExt};
use keyslot::{
    Commands, Message, OverflowPolicy, PubSubEvent, Subscriber, SubscriberHandle, SubscriberOptions,
    SubscriptionKind,
};

use crate::started;

/// As any stream is taken.
async fn first_message(events: impl Stream<Item = PubSubEvent>) -> Option<Message> {
    Box::pin(events.filter_map(async |event| event.into_message())).next().await
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_is_a_stream_of_events() {
    let (cluster, client) = started().await;
    let mut subscriber: Subscriber = client.subscriber();
    subscriber.subscribe("news").await.unwrap();
    subscriber.psubscribe(["weather.*"]).await.unwrap();
    subscriber.ssubscribe("orders:{eu}").await.unwrap();
    let mut states = subscriber.subscriptions().await;
    states.sort_by_key(|state| state.subscription.kind);
    let names: Vec<_> = states.iter().map(|state| &state.subscription.name[..]).collect();
    assert_eq!(names, [&b"news"[..], b"weather.*", b"orders:{eu}"]);
    assert!(states.iter().all(|state| state.node.is_some()));

    client.publish("news", "hello").await.unwrap();
    client.publish("weather.oslo", "rain").await.unwrap();
    let mut told = Vec::new();
    for _ in 0..2 {
        match subscriber.next().await.unwrap() {
            PubSubEvent::Message(message) => told.push((message.kind, message.channel, message.payload)),
            PubSubEvent::Gap(gap) => panic!("{:?} {:?} {:?}", gap.cause, gap.subscriptions, gap.lost),
            PubSubEvent::Interrupted(interruption) => panic!("{:?}", interruption.cause),
            PubSubEvent::Ended(ended) => panic!("{:?} {}", ended.subscription, ended.error),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        told,
        [
            (SubscriptionKind::Channel, "news".into(), "hello".into()),
            (SubscriptionKind::Pattern, "weather.oslo".into(), "rain".into()),
        ]
    );
    assert_eq!(client.spublish("orders:{eu}", "1").await.unwrap(), 1);
    let message = first_message(subscriber).await.unwrap();
    assert_eq!((message.kind, message.pattern), (SubscriptionKind::Shard, None));
    drop(cluster);
}

#[tokio::test(start_paused = true)]
async fn another_task_subscribes_while_one_reads() {
    let (_cluster, client) = started().await;
    let options = SubscriberOptions::new()
        .buffer(100, 1 << 20)
        .overflow(OverflowPolicy::DropNewest)
        .keep_alive(Duration::from_secs(1))
        .timeout(Duration::from_secs(2));
    let mut subscriber = client.subscriber_with(options);
    let handle: SubscriberHandle = subscriber.handle();
    let reader = tokio::spawn(async move { subscriber.next().await });
    handle.subscribe(["a", "b"]).await.unwrap();
    handle.unsubscribe("a").await.unwrap();
    assert_eq!(handle.subscriptions().await.len(), 1);
    client.publish("a", "not told").await.unwrap();
    client.publish("b", "told").await.unwrap();
    let message = reader.await.unwrap().and_then(PubSubEvent::into_message).unwrap();
    assert_eq!((message.channel, message.payload), ("b".into(), "told".into()));
    // It has gone with its reader.
    assert_eq!(handle.subscribe("c").await.unwrap_err().kind(), keyslot::ErrorKind::Closed);
}
