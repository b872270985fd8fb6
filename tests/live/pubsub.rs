//! Subscribers on real servers: messages of every kind, and what becomes of them when connections are killed, primaries
//! die or hang, shards fail over and slots move in the middle of a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::live_support::{ask, on_every_server, primaries, tag_at, until};
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{
    Client, Command, ErrorKind, GapCause, NodeAddr, Outcome, Protocol, PubSubEvent, Slot, Subscriber,
    SubscriberOptions, SubscriptionKind, Value,
};
use tokio::task::JoinHandle;
use tokio::time::timeout;

on_every_server! {
    all:
        channels_and_patterns_bring_their_messages_and_go_on_after_every_loss
        what_cannot_be_subscribed_to_is_told
    ;
    since_7_0:
        shard_channels_outlive_their_primary
        shard_channels_follow_their_slot
    ;
    valkey_9_1: ;
}

/// For an event that is sure to come, a failover included.
const EVENT: Duration = Duration::from_secs(20);

const NODE_TIMEOUT: Duration = Duration::from_secs(1);

async fn started(server: Server) -> (LocalCluster, Client) {
    let cluster = LocalCluster::builder()
        .server(server)
        .replicas(1)
        .node_timeout(NODE_TIMEOUT)
        .setting("cluster-require-full-coverage", "no")
        .start()
        .await
        .unwrap();
    let client = Client::connect(cluster.url()).await.unwrap();
    (cluster, client)
}

async fn next(subscriber: &mut Subscriber) -> PubSubEvent {
    timeout(EVENT, subscriber.next()).await.unwrap().unwrap()
}

/// The next message, as `channel: payload`; no other event may come before.
async fn message(subscriber: &mut Subscriber) -> String {
    match next(subscriber).await {
        PubSubEvent::Message(message) => {
            format!("{}: {}", message.channel.escape_ascii(), String::from_utf8_lossy(&message.payload))
        }
        other => panic!("{other:?}"),
    }
}

/// The cause and the names of the next gap, over whatever comes before it.
async fn gap(subscriber: &mut Subscriber) -> (GapCause, Vec<String>) {
    loop {
        if let PubSubEvent::Gap(gap) = next(subscriber).await {
            let names = gap.subscriptions.iter().map(|one| one.name.escape_ascii().to_string());
            return (gap.cause, names.collect());
        }
    }
}

async fn node_of(subscriber: &Subscriber, name: &str) -> Option<NodeAddr> {
    let states = subscriber.subscriptions().await;
    states.into_iter().find(|state| *state.subscription.name == *name.as_bytes()).unwrap().node
}

async fn publish(client: &Client, channel: &str, payload: &str) {
    let _: i64 = client.execute(Command::new("PUBLISH").arg(channel).arg(payload)).await.unwrap();
}

async fn spublish(client: &Client, channel: &str, payload: &str) -> i64 {
    client.execute(Command::new("SPUBLISH").key(channel).arg(payload)).await.unwrap()
}

async fn channels_and_patterns_bring_their_messages_and_go_on_after_every_loss(server: Server) {
    let (cluster, client) = started(server).await;
    let resp2 = Client::builder().url(&cluster.url()).protocol(Protocol::Resp2).connect().await.unwrap();
    let options = SubscriberOptions::new().keep_alive(Duration::from_millis(500));
    for subscriber in [client.subscriber_with(options.clone()), resp2.subscriber_with(options)] {
        go_on_after_every_loss(&cluster, &client, subscriber).await;
    }
}

async fn go_on_after_every_loss(cluster: &LocalCluster, client: &Client, mut subscriber: Subscriber) {
    subscriber.subscribe(["news", "other"]).await.unwrap();
    subscriber.psubscribe("n?ws").await.unwrap();
    subscriber.unsubscribe("other").await.unwrap();
    publish(client, "other", "x").await;
    publish(client, "news", "1").await;
    assert_eq!(message(&mut subscriber).await, "news: 1");
    assert_eq!(message(&mut subscriber).await, "news: 1");
    // An operator's kill.
    let node = node_of(&subscriber, "news").await.unwrap();
    ask::<Value>(cluster, &node, Command::new("CLIENT KILL").arg("TYPE").arg("pubsub")).await;
    both_are_back(&mut subscriber).await;
    // A dead node: another one takes its place, long before the cluster has noticed.
    let node = node_of(&subscriber, "news").await.unwrap();
    let begin = Instant::now();
    cluster.kill(&node).unwrap();
    both_are_back(&mut subscriber).await;
    println!("killed: goes on after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_ne!(node_of(&subscriber, "news").await, Some(node.clone()));
    cluster.restart(&node).await.unwrap();
    cluster.wait_until_ok().await.unwrap();
    // A silent one.
    let node = node_of(&subscriber, "news").await.unwrap();
    let begin = Instant::now();
    cluster.stop(&node).unwrap();
    both_are_back(&mut subscriber).await;
    println!("stopped: goes on after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(5));
    cluster.cont(&node).unwrap();
    cluster.wait_until_ok().await.unwrap();
    // The bus may need a moment after all that.
    until("a message gets through", async || {
        publish(client, "news", "last").await;
        let event = timeout(Duration::from_millis(500), subscriber.next()).await.ok()??;
        event.into_message().filter(|message| *message.payload == *b"last")
    })
    .await;
    subscriber.unsubscribe("news").await.unwrap();
    subscriber.punsubscribe("n?ws").await.unwrap();
}

/// Both subscriptions are in force again, and a gap says so; in one piece or two.
async fn both_are_back(subscriber: &mut Subscriber) {
    let mut back = Vec::new();
    while back.len() < 2 {
        back.extend(gap(subscriber).await.1);
    }
    back.sort();
    assert_eq!(back, ["n?ws", "news"]);
}

async fn what_cannot_be_subscribed_to_is_told(server: Server) {
    let is_old = server.version().to_string().contains("6.2");
    let (cluster, client) = started(server).await;
    let error = client.execute::<()>(Command::new("SUBSCRIBE").arg("a")).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::Rejected));
    let mut subscriber = client.subscriber();
    if is_old {
        let error = subscriber.ssubscribe(["a", "b"]).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Server, Outcome::Rejected));
        assert!(error.to_string().contains("Redis 7.0"), "{error}");
    }
    // A user who may use one channel only; users are a matter of each node.
    for node in cluster.nodes() {
        let user = ["limited", "on", ">secret", "+@all", "~*", "resetchannels", "&news"];
        ask::<()>(&cluster, &node, Command::new("ACL SETUSER").args(user)).await;
    }
    let limited =
        Client::builder().url(&cluster.url()).credentials("limited", "secret").connect().await.unwrap();
    let mut theirs = limited.subscriber();
    theirs.subscribe("news").await.unwrap();
    let error = theirs.subscribe(["news", "secrets"]).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Auth, Some("NOPERM")), "{error}");
    // What was refused disturbs nothing.
    subscriber.subscribe("secrets").await.unwrap();
    publish(&client, "secrets", "x").await;
    publish(&client, "news", "y").await;
    assert_eq!(message(&mut subscriber).await, "secrets: x");
    assert_eq!(message(&mut theirs).await, "news: y");
    let states = theirs.subscriptions().await;
    assert_eq!(states.len(), 1, "{states:?}");
    assert_eq!(states[0].subscription.kind, SubscriptionKind::Channel);
}

/// Publishes numbers to a shard channel, each until a node has taken it, and reads them.
struct Stream {
    stop: Arc<AtomicBool>,
    /// The number that was taken last.
    last: Arc<AtomicI64>,
    publisher: JoinHandle<()>,
    reader: JoinHandle<(Subscriber, Tally)>,
}

#[derive(Default)]
struct Tally {
    messages: usize,
    late: usize,
    gaps: Vec<GapCause>,
}

impl Stream {
    fn start(client: &Client, mut subscriber: Subscriber, channel: &str) -> Self {
        let (stop, last) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
        let publisher = {
            let (client, channel) = (client.clone(), channel.to_owned());
            let (stop, last) = (Arc::clone(&stop), Arc::clone(&last));
            tokio::spawn(async move {
                for number in 1.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let command = Command::new("SPUBLISH").key(&channel).arg(number);
                    // One that is perhaps lost is followed by the next.
                    if client.execute::<i64>(command).await.is_ok() {
                        last.store(number, Ordering::Relaxed);
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                spublish(&client, &channel, "end").await;
            })
        };
        let reader = tokio::spawn(async move {
            let mut tally = Tally::default();
            let (mut expected, mut after_gap) = (1, false);
            loop {
                match next(&mut subscriber).await {
                    PubSubEvent::Message(message) if *message.payload == *b"end" => break,
                    PubSubEvent::Message(message) => {
                        let number: i64 = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
                        assert!(number <= expected || after_gap, "{number}, not {expected}, without a gap");
                        if number >= expected {
                            (expected, after_gap) = (number + 1, false);
                            tally.messages += 1;
                        } else {
                            // The new primary has heard of it from the old one only now.
                            assert!(!tally.gaps.is_empty(), "{number} came twice, or late");
                            tally.late += 1;
                        }
                    }
                    PubSubEvent::Gap(gap) => {
                        after_gap = true;
                        tally.gaps.push(gap.cause);
                    }
                    PubSubEvent::Interrupted(_) => {}
                    other => panic!("{other:?}"),
                }
            }
            (subscriber, tally)
        });
        Self { stop, last, publisher, reader }
    }

    /// Waits until so many more were taken.
    async fn goes_on(&self) {
        let target = self.last.load(Ordering::Relaxed) + 100;
        until("a hundred more messages", async || {
            (self.last.load(Ordering::Relaxed) >= target).then_some(())
        })
        .await;
    }

    async fn finish(self) -> (Subscriber, Tally) {
        self.stop.store(true, Ordering::Relaxed);
        self.publisher.await.unwrap();
        timeout(EVENT, self.reader).await.unwrap().unwrap()
    }
}

/// Whether the subscription is at the primary of its slot.
async fn settles(cluster: &LocalCluster, handle: &keyslot::SubscriberHandle, channel: &str) {
    let slot = Slot::of_key(channel.as_bytes());
    until("the subscription is at the primary", async || {
        let owner = cluster.primary_of(slot).await.ok()?;
        let states = handle.subscriptions().await;
        let state = states.into_iter().find(|state| *state.subscription.name == *channel.as_bytes())?;
        (state.node == Some(owner)).then_some(())
    })
    .await;
}

async fn shard_channels_outlive_their_primary(server: Server) {
    let (cluster, client) = started(server).await;
    let primary = cluster.nodes().remove(0);
    let channel = tag_at(&client.slot_map(), &primary, "c");
    let subscriber = client.subscriber_with(SubscriberOptions::new().keep_alive(Duration::from_millis(500)));
    subscriber.ssubscribe(&channel).await.unwrap();
    let handle = subscriber.handle();
    let stream = Stream::start(&client, subscriber, &channel);
    stream.goes_on().await;
    // kill -9, and its return as a replica.
    cluster.kill(&primary).unwrap();
    let killed = Instant::now();
    stream.goes_on().await;
    println!("killed: published again after {:?}", killed.elapsed());
    settles(&cluster, &handle, &channel).await;
    cluster.restart(&primary).await.unwrap();
    cluster.wait_until_ok().await.unwrap();
    stream.goes_on().await;
    // A planned handover back to it, which voters refuse within twice the node timeout.
    tokio::time::sleep(3 * NODE_TIMEOUT).await;
    until("it is a replica in step", async || {
        let role: Vec<Value> = ask(&cluster, &primary, Command::new("ROLE")).await;
        (role[0].as_str() == Some("slave") && role[3].as_str() == Some("connected")).then_some(())
    })
    .await;
    ask::<()>(&cluster, &primary, Command::new("CLUSTER FAILOVER")).await;
    until("it is the primary again", async || {
        (cluster.primary_of(Slot::of_key(channel.as_bytes())).await.ok()? == primary).then_some(())
    })
    .await;
    settles(&cluster, &handle, &channel).await;
    stream.goes_on().await;
    let (mut subscriber, tally) = stream.finish().await;
    println!("{} messages, {} late, gaps {:?}", tally.messages, tally.late, tally.gaps);
    assert!(tally.messages > 300);
    assert_eq!(tally.gaps[0], GapCause::ConnectionLost);
    assert!(tally.gaps[1..].iter().all(|cause| *cause == GapCause::SlotMoved), "{:?}", tally.gaps);
    assert!((2..=4).contains(&tally.gaps.len()), "{:?}", tally.gaps);
    // A primary that hangs: its replica takes over, and nobody hears the old one any more.
    cluster.stop(&primary).unwrap();
    gap(&mut subscriber).await;
    settles(&cluster, &handle, &channel).await;
    cluster.cont(&primary).unwrap();
    cluster.wait_until_ok().await.unwrap();
    assert_eq!(spublish(&client, &channel, "after").await, 1);
    while next(&mut subscriber).await.into_message().is_none_or(|message| *message.payload != *b"after") {}
}

async fn shard_channels_follow_their_slot(server: Server) {
    let (cluster, client) = started(server).await;
    let nodes = primaries(&client.slot_map());
    let channel = tag_at(&client.slot_map(), &nodes[0], "c");
    let stays = tag_at(&client.slot_map(), &nodes[0], "s");
    let slot = Slot::of_key(channel.as_bytes());
    for protocol in [Protocol::Auto, Protocol::Resp2] {
        let client = Client::builder().url(&cluster.url()).protocol(protocol).connect().await.unwrap();
        let subscriber = client.subscriber();
        subscriber.ssubscribe([&channel, &stays]).await.unwrap();
        let handle = subscriber.handle();
        let stream = Stream::start(&client, subscriber, &channel);
        let mut from = nodes[0].clone();
        for to in [&nodes[1], &nodes[2], &nodes[0]] {
            stream.goes_on().await;
            let connects = client.stats().disconnects;
            cluster.open_slot(slot, &from, to).await.unwrap();
            // Its owner keeps it to the end.
            stream.goes_on().await;
            cluster.close_slot(slot, &from, to).await.unwrap();
            settles(&cluster, &handle, &channel).await;
            stream.goes_on().await;
            assert_eq!(client.stats().disconnects, connects, "no connection ends for it");
            from = to.clone();
        }
        let (mut subscriber, tally) = stream.finish().await;
        println!("{protocol:?}: {} messages, gaps {:?}", tally.messages, tally.gaps);
        assert_eq!(tally.gaps, [GapCause::SlotMoved; 3]);
        assert_eq!(spublish(&client, &stays, "x").await, 1);
        assert_eq!(message(&mut subscriber).await, format!("{stays}: x"));
        // An end of our own is none that is told.
        subscriber.sunsubscribe(&channel).await.unwrap();
        assert_eq!(spublish(&client, &channel, "x").await, 0);
        assert!(timeout(Duration::from_millis(100), subscriber.next()).await.is_err());
    }
}
