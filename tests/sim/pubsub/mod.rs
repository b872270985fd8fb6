//! Subscribers: every message, or word that one may be missing; and that word only where it is due.

mod moves;
mod overflow;
mod requests;
mod schedules;
mod subscribing;

use std::time::Duration;

use keyslot::testkit::sim::SimCluster;
use keyslot::{NodeAddr, PubSubEvent, Subscriber, Subscription, SubscriptionKind, Value};
use tokio::time::timeout;

use crate::support::soon;

/// Publishes at a node, without a client; how many the node has told itself.
fn publish(cluster: &SimCluster, node: &NodeAddr, channel: &str, payload: &str) -> i64 {
    cluster.ask(node, ["PUBLISH", channel, payload]).unwrap().as_int().unwrap()
}

/// The same in the slot of the channel.
fn spublish(cluster: &SimCluster, channel: &str, payload: &str) -> i64 {
    let owner = crate::support::owner(cluster, channel);
    let reply = cluster.ask(&owner, ["SPUBLISH", channel, payload]).unwrap();
    reply.as_int().unwrap_or_else(|| panic!("{reply:?}"))
}

/// What an event says, in a line.
fn shown(event: &PubSubEvent) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let names = |subscriptions: &[Subscription]| {
        subscriptions.iter().map(|one| text(&one.name)).collect::<Vec<_>>().join(" ")
    };
    match event {
        PubSubEvent::Message(message) => {
            assert_eq!(message.pattern.is_some(), message.kind == SubscriptionKind::Pattern);
            let pattern = message.pattern.as_ref().map(|pattern| format!(" by {}", text(pattern)));
            format!("{}: {}{}", text(&message.channel), text(&message.payload), pattern.unwrap_or_default())
        }
        PubSubEvent::Gap(gap) => {
            let lost = gap.lost.map(|lost| format!(" {lost}")).unwrap_or_default();
            format!("gap {:?}{lost}: {}", gap.cause, names(&gap.subscriptions))
        }
        PubSubEvent::Interrupted(interruption) => {
            format!("interrupted {:?}: {}", interruption.cause, names(&interruption.subscriptions))
        }
        PubSubEvent::Ended(ended) => format!("ended {}: {}", text(&ended.subscription.name), ended.error),
        other => panic!("{other:?}"),
    }
}

/// The next event.
async fn next(subscriber: &mut Subscriber) -> String {
    shown(&soon(subscriber.next()).await.unwrap())
}

/// The next events, which are these.
async fn expect(subscriber: &mut Subscriber, events: &[&str]) {
    for event in events {
        assert_eq!(next(subscriber).await, *event);
    }
}

/// Nothing is told for so long.
async fn expect_nothing_for(subscriber: &mut Subscriber, time: Duration) {
    if let Ok(event) = timeout(time, subscriber.next()).await {
        panic!("{event:?}");
    }
}

/// Where the subscription of this name is in force.
async fn node_of(subscriber: &Subscriber, name: &str) -> Option<NodeAddr> {
    let states = subscriber.subscriptions().await;
    let state = states.into_iter().find(|state| *state.subscription.name == *name.as_bytes()).unwrap();
    state.node
}

/// How many connections of a node are subscribed to the channel, by any kind of subscription but patterns.
fn subscribers_of(cluster: &SimCluster, node: &NodeAddr, channel: &str) -> i64 {
    let count = |verb: &str| match cluster.ask(node, ["PUBSUB", verb, channel]).unwrap() {
        Value::Array(items) => items[1].as_int().unwrap(),
        other => panic!("{other:?}"),
    };
    count("NUMSUB") + count("SHARDNUMSUB")
}

/// The same in the whole cluster.
fn all_subscribers_of(cluster: &SimCluster, channel: &str) -> i64 {
    cluster.nodes().iter().map(|node| subscribers_of(cluster, node, channel)).sum()
}
