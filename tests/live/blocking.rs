//! Every command that waits for data, on real servers: alone, through a slot move and through a failover.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::live_support::{Fixture, ask, check_each, on_every_server, tag_at, until};
use keyslot::testkit::Server;
use keyslot::{Client, Command, Commands, Error, ErrorKind, NodeAddr, Outcome, Slot, Value};
use tokio::task::JoinHandle;

on_every_server! {
    all: every_blocking_command_waits_follows_and_delays_nobody;
    since_7_0: ;
    valkey_9_1: ;
}

impl Fixture {
    /// The shapes that this server knows.
    fn shapes(&self) -> Vec<Shape> {
        let is_old = self.cluster.server().version().to_string().contains(" 6.2.");
        SHAPES.iter().copied().filter(|shape| !is_old || !shape.is_new).collect()
    }

    async fn until_blocked(&self, node: &NodeAddr, count: usize) {
        until(&format!("{count} blocked clients at {node}"), async || {
            let info: String = ask(&self.cluster, node, Command::new("INFO").arg("clients")).await;
            info.lines().any(|line| line == format!("blocked_clients:{count}")).then_some(())
        })
        .await;
    }
}

/// Waits until all of them are blocked at `node`; one that has ended instead says how.
async fn until_all_wait(
    fixture: &Fixture,
    node: &NodeAddr,
    waiting: &mut [(Shape, JoinHandle<Result<Value, Error>>)],
) {
    let begin = Instant::now();
    loop {
        if let Some((shape, task)) = waiting.iter_mut().find(|(_, task)| task.is_finished()) {
            panic!("{shape:?} has ended: {:?}", task.await.unwrap());
        }
        let info: String = ask(&fixture.cluster, node, Command::new("INFO").arg("clients")).await;
        let blocked = info.lines().find(|line| line.starts_with("blocked_clients:")).unwrap();
        if blocked == format!("blocked_clients:{}", waiting.len()) {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "{} wait, but {blocked} at {node}", waiting.len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One blocking command: what it is, what makes it wait for something that exists, and what feeds it. `K` is its key, `T` is
/// how long it waits.
#[derive(Clone, Copy, Debug)]
struct Shape {
    waits: &'static str,
    before: &'static str,
    feeds: &'static str,
    /// The time is in milliseconds.
    in_millis: bool,
    /// Since 7.0.
    is_new: bool,
    /// It takes what it gives.
    takes: bool,
}

const fn shape(waits: &'static str, feeds: &'static str) -> Shape {
    Shape { waits, before: "", feeds, in_millis: false, is_new: false, takes: true }
}

const SHAPES: &[Shape] = &[
    shape("BLPOP K T", "RPUSH K fed"),
    shape("BRPOP K T", "RPUSH K fed"),
    shape("BLMOVE K K:to LEFT RIGHT T", "RPUSH K fed"),
    shape("BRPOPLPUSH K K:to T", "RPUSH K fed"),
    shape("BZPOPMIN K T", "ZADD K 1 fed"),
    shape("BZPOPMAX K T", "ZADD K 1 fed"),
    Shape { is_new: true, ..shape("BLMPOP T 1 K LEFT", "RPUSH K fed") },
    Shape { is_new: true, ..shape("BZMPOP T 1 K MIN", "ZADD K 1 fed") },
    Shape { in_millis: true, takes: false, ..shape("XREAD BLOCK T STREAMS K 0-5", "XADD K 1-1 f fed") },
    Shape {
        in_millis: true,
        before: "XGROUP CREATE K g $ MKSTREAM",
        ..shape("XREADGROUP GROUP g c BLOCK T STREAMS K >", "XADD K 1-1 f fed")
    },
];

impl Shape {
    fn name(&self) -> &'static str {
        self.waits.split(' ').next().unwrap()
    }

    fn key(&self, tag: &str) -> String {
        format!("{{{tag}}}{}", self.name())
    }

    /// In bare words: the table finds the key and the time.
    fn command(&self, line: &str, tag: &str, seconds: f64) -> Command {
        let time = if self.in_millis { (seconds * 1000.0).to_string() } else { seconds.to_string() };
        let mut words = line.split(' ').map(|word| match word {
            "K" => self.key(tag),
            "K:to" => format!("{}:to", self.key(tag)),
            "T" => time.clone(),
            other => other.to_owned(),
        });
        Command::new(words.next().unwrap()).args(words)
    }

    async fn prepare(&self, client: &Client, tag: &str) {
        if !self.before.is_empty() {
            let _: Value = client.execute(self.command(self.before, tag, 0.0)).await.unwrap();
        }
    }

    /// In a task of its own, without end.
    fn wait(&self, client: &Client, tag: &str) -> JoinHandle<Result<Value, Error>> {
        let (client, command) = (client.clone(), self.command(self.waits, tag, 0.0));
        tokio::spawn(async move { client.execute(command).await })
    }

    async fn feed(&self, client: &Client, tag: &str) {
        let _: Value = client.execute(self.command(self.feeds, tag, 0.0)).await.unwrap();
    }
}

async fn every_blocking_command_waits_follows_and_delays_nobody(server: Server) {
    check_each! {
        Fixture::start(server).await;
        each_waits_for_its_time_and_gives_nil
        each_is_fed_and_delays_nobody
        each_follows_its_slot
        each_follows_its_slot_while_it_is_half_moved
        each_follows_a_failover_by_hand
        after_a_crash_each_tells_the_truth
    }
}

async fn each_waits_for_its_time_and_gives_nil(fixture: Arc<Fixture>) {
    let tag = tag_at(&fixture.client.slot_map(), &fixture.nodes[0], "time");
    for shape in fixture.shapes() {
        shape.prepare(&fixture.client, &tag).await;
        let begin = Instant::now();
        // Its own time comes on top of the deadline that is the client's.
        let reply: Value = fixture.client.execute(shape.command(shape.waits, &tag, 0.1)).await.unwrap();
        assert_eq!(reply, Value::Nil, "{shape:?}");
        assert!(begin.elapsed() >= Duration::from_millis(100), "{shape:?}: {:?}", begin.elapsed());
        // A deadline of the caller's is kept, and says that nothing is known.
        let command = shape.command(shape.waits, &tag, 0.0).timeout(Duration::from_millis(50));
        let error = fixture.client.execute::<Value>(command).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::MaybeExecuted), "{error}");
    }
    // Their connections are closed, or the next element would go to nobody.
    fixture.until_blocked(&fixture.nodes[0], 0).await;
}

async fn each_is_fed_and_delays_nobody(fixture: Arc<Fixture>) {
    let client = &fixture.client;
    let tag = tag_at(&client.slot_map(), &fixture.nodes[0], "fed");
    let mut waiting = Vec::new();
    for shape in fixture.shapes() {
        shape.prepare(client, &tag).await;
        waiting.push((shape, shape.wait(client, &tag)));
    }
    fixture.until_blocked(&fixture.nodes[0], waiting.len()).await;
    let begin = Instant::now();
    for number in 0..200 {
        client.set(format!("{{{tag}}}plain"), number).await.unwrap();
        assert_eq!(client.get::<usize>(format!("{{{tag}}}plain")).await.unwrap(), number);
    }
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    feed_all(client, &tag, waiting).await;
}

/// Feeds each, and sees that each has what it was fed.
async fn feed_all(client: &Client, tag: &str, waiting: Vec<(Shape, JoinHandle<Result<Value, Error>>)>) {
    for (shape, task) in waiting {
        assert!(!task.is_finished(), "{shape:?} has ended: {:?}", task.await);
        shape.feed(client, tag).await;
        let reply = task.await.unwrap().unwrap_or_else(|error| panic!("{shape:?}: {error}"));
        assert!(format!("{reply:?}").contains("fed"), "{shape:?}: {reply:?}");
        if shape.takes && !shape.in_millis {
            assert_eq!(client.exists(shape.key(tag)).await.unwrap(), 0, "{shape:?} has taken it");
        }
    }
}

async fn each_follows_its_slot(fixture: Arc<Fixture>) {
    let Fixture { cluster, nodes, client } = &*fixture;
    let tag = tag_at(&client.slot_map(), &nodes[0], "moved");
    let mut waiting = Vec::new();
    for shape in fixture.shapes() {
        shape.prepare(client, &tag).await;
        waiting.push((shape, shape.wait(client, &tag)));
    }
    fixture.until_blocked(&nodes[0], waiting.len()).await;
    cluster.move_slot(Slot::of_key(tag.as_bytes()), &nodes[0], &nodes[1]).await.unwrap();
    until_all_wait(&fixture, &nodes[1], &mut waiting).await;
    feed_all(client, &tag, waiting).await;
    fixture.until_blocked(&nodes[0], 0).await;
}

async fn each_follows_its_slot_while_it_is_half_moved(fixture: Arc<Fixture>) {
    let Fixture { cluster, nodes, client } = &*fixture;
    let tag = tag_at(&client.slot_map(), &nodes[0], "half");
    let slot = Slot::of_key(tag.as_bytes());
    cluster.open_slot(slot, &nodes[0], &nodes[1]).await.unwrap();
    // Those of one key; two keys that are nowhere are refused until the slot has moved.
    let shapes: Vec<Shape> =
        fixture.shapes().into_iter().filter(|shape| !shape.waits.contains("K:to")).collect();
    let mut waiting = Vec::new();
    for shape in shapes {
        shape.prepare(client, &tag).await;
        waiting.push((shape, shape.wait(client, &tag)));
    }
    until_all_wait(&fixture, &nodes[1], &mut waiting).await;
    // Blocked at the target by ASKING, they are fed there.
    feed_all(client, &tag, waiting).await;
    cluster.migrate_keys(slot, &nodes[0], &nodes[1], 100).await.unwrap();
    cluster.close_slot(slot, &nodes[0], &nodes[1]).await.unwrap();
}

async fn each_follows_a_failover_by_hand(fixture: Arc<Fixture>) {
    let Fixture { cluster, nodes, client } = &*fixture;
    let tag = tag_at(&client.slot_map(), &nodes[1], "handed");
    let mut waiting = Vec::new();
    for shape in fixture.shapes() {
        shape.prepare(client, &tag).await;
        waiting.push((shape, shape.wait(client, &tag)));
    }
    fixture.until_blocked(&nodes[1], waiting.len()).await;
    let replica = cluster.replicas_of(&nodes[1]).await.unwrap().remove(0);
    let _: Value = ask(cluster, &replica, Command::new("CLUSTER FAILOVER")).await;
    // The old primary turns each of them away, which says that it took nothing: all of them survive.
    until_all_wait(&fixture, &replica, &mut waiting).await;
    feed_all(client, &tag, waiting).await;
}

async fn after_a_crash_each_tells_the_truth(fixture: Arc<Fixture>) {
    let Fixture { cluster, nodes, client } = &*fixture;
    let tag = tag_at(&client.slot_map(), &nodes[2], "crash");
    let mut waiting = Vec::new();
    for shape in fixture.shapes() {
        shape.prepare(client, &tag).await;
        waiting.push((shape, shape.wait(client, &tag)));
    }
    fixture.until_blocked(&nodes[2], waiting.len()).await;
    let replica = cluster.replicas_of(&nodes[2]).await.unwrap().remove(0);
    cluster.kill(&nodes[2]).unwrap();
    for (shape, task) in waiting {
        if shape.takes {
            // It may have taken an element, and nobody will ever know.
            let error = task.await.unwrap().unwrap_err();
            assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{shape:?}: {error}");
        } else {
            // It only reads: it is asked again, and waits there.
            fixture.until_blocked(&replica, 1).await;
            shape.feed(client, &tag).await;
            assert!(format!("{:?}", task.await.unwrap().unwrap()).contains("fed"));
        }
    }
}
