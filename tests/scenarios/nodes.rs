//! Nodes that stop, end and change their roles while a client uses them. Each scenario has a shard for itself, because
//! voters refuse a second failover of a shard for a while.

use std::time::Duration;

use futures::future::join;
use keyslot::{Client, Commands, Error, ErrorKind, NodeAddr, Outcome, Slot};

use super::stage::{Stage, primaries, tag_at, until};

/// A client and a shard to which something will happen.
struct Scene {
    client: Client,
    slot: Slot,
    tag: String,
    primary: NodeAddr,
    replica: NodeAddr,
    /// A key of each other shard.
    elsewhere: Vec<String>,
}

impl Scene {
    async fn set(stage: &impl Stage, place: usize, salt: &str) -> Self {
        let client = stage.client().await;
        let map = client.slot_map();
        let nodes = primaries(&map);
        let primary = nodes[place].clone();
        let replica = stage.replica_of(&primary).await;
        let tag = tag_at(&map, &primary, salt);
        let slot = Slot::of_key(tag.as_bytes());
        let elsewhere =
            nodes.iter().filter(|node| **node != primary).map(|node| tag_at(&map, node, salt)).collect();
        Self { client, slot, tag, primary, replica, elsewhere }
    }

    fn key(&self, name: &str) -> String {
        format!("{{{}}}{name}", self.tag)
    }

    async fn others_answer(&self) {
        for key in &self.elsewhere {
            self.client.incr(key).await.unwrap();
        }
    }

    /// Sets a key and waits until the replica has it.
    async fn set_replicated(&self, stage: &impl Stage, name: &str, value: &str) {
        let set = format!("SET {} {value}", self.key(name));
        stage.ask_for(&self.primary, &[&set, "WAIT 1 5000"], ":1␤").await;
    }

    /// `CLUSTER FAILOVER` at the replica, and its end.
    async fn fail_over(&self, stage: &impl Stage) {
        stage.ask_for(&self.replica, &["CLUSTER FAILOVER"], "OK").await;
        stage.until_says(&self.replica, &["ROLE"], "master").await;
        // Until it knows, Redis 6.2 lets writes wait, and for 10 s.
        stage.until_says(&self.primary, &["ROLE"], "slave").await;
    }

    fn mapped_to(&self) -> NodeAddr {
        self.client.slot_map().primary_of(self.slot).unwrap().addr.clone()
    }
}

fn told<T: std::fmt::Debug>(result: Result<T, Error>) -> (ErrorKind, Outcome) {
    let error = result.unwrap_err();
    (error.kind(), error.outcome())
}

pub(crate) async fn a_stopped_node_fails_its_own_commands_only(stage: &impl Stage) {
    let scene = Scene::set(stage, 0, "stopped").await;
    let client = stage.builder().command_timeout(Duration::from_millis(200)).connect().await.unwrap();
    let key = scene.key("count");
    assert_eq!(client.incr(&key).await.unwrap(), 1);
    scene.others_answer().await;
    stage.stop(&scene.primary);
    let (write, read) =
        join(async { client.incr(&key).await }, async { client.get::<i64>(&key).await }).await;
    assert_eq!(told(write), (ErrorKind::Timeout, Outcome::MaybeExecuted));
    assert_eq!(told(read).0, ErrorKind::Timeout);
    scene.others_answer().await;
    stage.cont(&scene.primary);
    let count: i64 = scene.client.get(&key).await.unwrap();
    assert!((1..=2).contains(&count), "{count} after one increment and one that may have been executed");
    stage.settled().await;
}

pub(crate) async fn a_replica_that_is_promoted_by_hand_is_found(stage: &impl Stage) {
    let scene = Scene::set(stage, 1, "promoted").await;
    let client = &scene.client;
    let (key, count) = (scene.key("k"), scene.key("count"));
    scene.set_replicated(stage, "k", "v").await;
    assert_eq!(client.get::<String>(&key).await.unwrap(), "v");
    scene.fail_over(stage).await;
    assert_eq!(client.incr(&count).await.unwrap(), 1, "the former primary says where");
    assert_eq!(client.get::<String>(&key).await.unwrap(), "v");
    assert_eq!(scene.mapped_to(), scene.replica);
    let moved = client.stats().moved;
    assert!(moved >= 1);
    assert_eq!(client.incr(&count).await.unwrap(), 2);
    assert_eq!(client.stats().moved, moved);
    scene.others_answer().await;
    stage.settled().await;
}

pub(crate) async fn a_waiting_pop_follows_a_failover(stage: &impl Stage) {
    let scene = Scene::set(stage, 2, "wait").await;
    let client = &scene.client;
    let key = scene.key("list");
    let popping = async { client.blpop::<(String, String)>(&key, 15.0).await.unwrap() };
    let (popped, ()) = join(popping, async {
        until("the client waits", async || stage.network().has_sent(&key).then_some(())).await;
        stage.until_says(&scene.primary, &["INFO clients"], "blocked_clients:1").await;
        scene.fail_over(stage).await;
        assert_eq!(client.rpush(&key, "late").await.unwrap(), 1);
    })
    .await;
    assert_eq!(popped, (key.clone(), "late".to_owned()));
    stage.settled().await;
}

pub(crate) async fn a_killed_primary_is_replaced_and_returns_as_a_replica(stage: &impl Stage) {
    let scene = Scene::set(stage, 0, "killed").await;
    let client = &scene.client;
    let (key, count) = (scene.key("k"), scene.key("count"));
    scene.set_replicated(stage, "k", "v").await;
    assert_eq!(client.get::<String>(&key).await.unwrap(), "v");
    // A command that has left, and a connection that ends before its reply.
    stage.stop(&scene.primary);
    let (lost, ()) = join(async { client.incr(&count).await }, async {
        until("the increment leaves", async || stage.network().has_sent(&count).then_some(())).await;
        stage.kill(&scene.primary);
    })
    .await;
    assert_eq!(told(lost), (ErrorKind::ConnectionLost, Outcome::MaybeExecuted));
    scene.others_answer().await;
    assert_eq!(client.get::<String>(&key).await.unwrap(), "v", "a read waits for the promotion");
    // The word of a node that has voted and not heard the result may come in between.
    let is_mapped = async || (scene.mapped_to() == scene.replica).then_some(());
    until("the map has the new primary", is_mapped).await;
    let is_known = async || (stage.primary_of(scene.slot).await == scene.replica).then_some(());
    until("all nodes know the new primary", is_known).await;
    assert_eq!(client.incr(&count).await.unwrap(), 1, "the increment was lost with its node");
    stage.restart(&scene.primary).await;
    stage.until_says(&scene.primary, &["ROLE"], "slave").await;
    assert_eq!(client.incr(&count).await.unwrap(), 2);
    stage.settled().await;
    stage.until_says(&scene.primary, &["READONLY", &format!("GET {count}")], "2␤").await;
    assert_eq!(client.incr(&count).await.unwrap(), 3);
    scene.others_answer().await;
}
