//! Slots that move while a client uses them.

use futures::future::join;
use keyslot::testkit::sim::Profile;
use keyslot::{Client, Command, Commands, NodeAddr, Slot};

use super::stage::{Stage, primaries, tag_at, until};

/// A client and a slot that will move.
struct Scene {
    client: Client,
    tag: String,
    slot: Slot,
    from: NodeAddr,
    to: NodeAddr,
    /// A primary that has no part in the move.
    other: NodeAddr,
}

impl Scene {
    async fn set(stage: &impl Stage, salt: &str) -> Self {
        let client = stage.client().await;
        let map = client.slot_map();
        let [from, to, other] = primaries(&map).try_into().unwrap();
        let tag = tag_at(&map, &from, salt);
        let slot = Slot::of_key(tag.as_bytes());
        Self { client, tag, slot, from, to, other }
    }

    fn key(&self, name: impl std::fmt::Display) -> String {
        format!("{{{}}}{name}", self.tag)
    }

    /// Keys of the slot, set to their names; half of them are at the target when it returns, and the names of those.
    async fn half_moved(&self, stage: &impl Stage, count: usize) -> (Vec<String>, Vec<String>) {
        let keys: Vec<String> = (0..count).map(|number| self.key(number)).collect();
        self.client.mset(keys.iter().map(|key| (key, key))).await.unwrap();
        stage.open_slot(self.slot, &self.from, &self.to).await;
        stage.migrate_keys(self.slot, &self.from, &self.to, count / 2).await;
        let list = format!("CLUSTER GETKEYSINSLOT {} 1000", self.slot);
        let there = stage.ask(&self.to, &[&list]).await.shown();
        let (moved, left): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|key| there.contains(&format!("␤{key}␤")));
        assert_eq!(moved.len(), count / 2, "{there}");
        (moved, left)
    }

    async fn finish(&self, stage: &impl Stage) {
        stage.finish(self.slot, &self.from, &self.to).await;
    }

    async fn keys_at(&self, stage: &impl Stage, node: &NodeAddr, count: usize) {
        let line = format!("CLUSTER COUNTKEYSINSLOT {}", self.slot);
        stage.ask_for(node, &[&line], &format!(":{count}␤")).await;
    }

    fn mapped_to(&self) -> NodeAddr {
        self.client.slot_map().primary_of(self.slot).unwrap().addr.clone()
    }
}

pub(crate) async fn a_slot_that_has_moved_is_found_by_one_redirect(stage: &impl Stage) {
    let scene = Scene::set(stage, "moved").await;
    let Scene { client, slot, from, to, .. } = &scene;
    client.set(scene.key("k"), "v").await.unwrap();
    stage.open_slot(*slot, from, to).await;
    scene.finish(stage).await;
    let before = client.stats();
    assert_eq!(client.get::<String>(scene.key("k")).await.unwrap(), "v");
    let after = client.stats();
    assert_eq!((after.moved - before.moved, after.asked - before.asked), (1, 0));
    assert_eq!(scene.mapped_to(), *to);
    assert_eq!(client.incr(scene.key("n")).await.unwrap(), 1);
    assert_eq!(client.stats().moved, after.moved, "once is enough");
    scene.keys_at(stage, to, 2).await;
}

pub(crate) async fn keys_of_a_half_moved_slot_are_found_wherever_they_are(stage: &impl Stage) {
    let scene = Scene::set(stage, "half").await;
    let client = &scene.client;
    let (moved, left) = scene.half_moved(stage, 6).await;
    let before = client.stats();
    for key in moved.iter().chain(&left) {
        assert_eq!(client.get::<String>(key).await.unwrap(), *key);
    }
    assert_eq!(client.stats().asked - before.asked, 3, "for each one that has left");
    assert_eq!(client.get::<Option<String>>(scene.key("none")).await.unwrap(), None);
    client.set(scene.key("new"), "at the target").await.unwrap();
    assert_eq!(client.incr(scene.key("count")).await.unwrap(), 1);
    assert!(client.del(&moved[0]).await.unwrap() == 1);
    scene.keys_at(stage, &scene.to, 4).await;
    scene.keys_at(stage, &scene.from, 3).await;
    assert_eq!(client.stats().moved, before.moved);
    assert_eq!(scene.mapped_to(), scene.from, "nobody has the slot yet but its owner");
    scene.finish(stage).await;
    assert_eq!(client.get::<String>(scene.key("new")).await.unwrap(), "at the target");
    assert_eq!(client.get::<String>(&left[0]).await.unwrap(), left[0]);
    assert_eq!(scene.mapped_to(), scene.to);
}

pub(crate) async fn try_again_ends_when_the_migration_does(stage: &impl Stage) {
    let scene = Scene::set(stage, "again").await;
    let client = &scene.client;
    let (moved, left) = scene.half_moved(stage, 2).await;
    let before = client.stats();
    let both = [&left[0], &moved[0]];
    let reading = async { client.mget::<Vec<String>>(both).await.unwrap() };
    let (read, ()) = join(reading, async {
        until("the client tries again", async || (client.stats().retries > before.retries + 1).then_some(()))
            .await;
        scene.finish(stage).await;
    })
    .await;
    assert_eq!(read.iter().collect::<Vec<_>>(), both);
}

pub(crate) async fn commands_of_many_slots_reach_one_that_is_half_moved(stage: &impl Stage) {
    let scene = Scene::set(stage, "many").await;
    let client = &scene.client;
    let (moved, left) = scene.half_moved(stage, 4).await;
    let map = client.slot_map();
    let elsewhere = [&scene.from, &scene.to, &scene.other].map(|node| tag_at(&map, node, "elsewhere"));
    client.mset(elsewhere.iter().map(|key| (key, key))).await.unwrap();
    // One key of the open slot: several could have to wait for its end.
    let mixed = [&elsewhere[0], &moved[0], &elsewhere[1], &elsewhere[2]];
    assert_eq!(client.mget::<Vec<String>>(mixed).await.unwrap().iter().collect::<Vec<_>>(), mixed);
    let all_there = [&elsewhere[0], &moved[0], &moved[1], &elsewhere[2]];
    assert_eq!(client.mget::<Vec<String>>(all_there).await.unwrap().iter().collect::<Vec<_>>(), all_there);
    let all_here = [&left[1], &elsewhere[1], &left[0]];
    assert_eq!(client.mget::<Vec<String>>(all_here).await.unwrap().iter().collect::<Vec<_>>(), all_here);
    client.mset(mixed.map(|key| (key, "new"))).await.unwrap();
    assert_eq!(client.mget::<Vec<String>>(mixed).await.unwrap(), ["new"; 4]);
    assert_eq!(client.del(mixed).await.unwrap(), 4);
    assert_eq!(client.mget::<Vec<Option<String>>>(mixed).await.unwrap(), [None, None, None, None]);
    scene.keys_at(stage, &scene.to, 1).await;
    scene.finish(stage).await;
    assert_eq!(client.del([&left[0], &left[1], &moved[1], &moved[0]]).await.unwrap(), 3);
}

pub(crate) async fn a_pipeline_runs_over_a_slot_that_moves(stage: &impl Stage) {
    let scene = Scene::set(stage, "pipe").await;
    let client = &scene.client;
    let other = tag_at(&client.slot_map(), &scene.other, "pipe");
    let run = async |round: i64| {
        let mut pipeline = client.pipeline();
        for number in 0..20 {
            pipeline.push(Command::new("INCR").key(scene.key(number)));
            pipeline.push(Command::new("INCR").key(format!("{{{other}}}{number}")));
        }
        assert_eq!(pipeline.run::<Vec<i64>>().await.unwrap(), [round; 40]);
    };
    run(1).await;
    stage.open_slot(scene.slot, &scene.from, &scene.to).await;
    run(2).await;
    stage.migrate_keys(scene.slot, &scene.from, &scene.to, 10).await;
    run(3).await;
    stage.migrate_keys(scene.slot, &scene.from, &scene.to, usize::MAX).await;
    run(4).await;
    stage.close_slot(scene.slot, &scene.from, &scene.to).await;
    run(5).await;
    scene.keys_at(stage, &scene.to, 20).await;
}

pub(crate) async fn a_transaction_runs_on_a_slot_that_moves(stage: &impl Stage) {
    let scene = Scene::set(stage, "multi").await;
    let client = &scene.client;
    let (moved, left) = scene.half_moved(stage, 4).await;
    let append = async |keys: [&String; 2]| {
        let mut transaction = client.transaction();
        for key in keys {
            transaction.push(Command::new("APPEND").key(key).arg("!"));
        }
        transaction.run::<Vec<usize>>().await.unwrap()
    };
    let length = left[0].len();
    assert_eq!(append([&left[0], &left[1]]).await, [length + 1; 2], "all of it at the source");
    assert_eq!(append([&moved[0], &moved[1]]).await, [length + 1; 2], "all of it at the target");
    let before = client.stats();
    let (lengths, ()) = join(append([&left[0], &moved[0]]), async {
        until("the client tries again", async || (client.stats().retries > before.retries + 1).then_some(()))
            .await;
        scene.finish(stage).await;
    })
    .await;
    assert_eq!(lengths, [length + 2; 2], "once, when its keys were together");
    assert_eq!(append([&left[0], &moved[0]]).await, [length + 3; 2]);
    scene.keys_at(stage, &scene.to, 4).await;
}

pub(crate) async fn a_waiting_pop_follows_its_slot(stage: &impl Stage) {
    let scene = Scene::set(stage, "pop").await;
    let client = &scene.client;
    let key = scene.key("list");
    let popping = async { client.blpop::<(String, String)>(&key, 15.0).await.unwrap() };
    let (popped, ()) = join(popping, async {
        until("the client waits", async || stage.network().has_sent(&key).then_some(())).await;
        stage.open_slot(scene.slot, &scene.from, &scene.to).await;
        scene.finish(stage).await;
        assert_eq!(client.rpush(&key, "late").await.unwrap(), 1);
    })
    .await;
    assert_eq!(popped, (key.clone(), "late".to_owned()));
}

pub(crate) async fn nodes_without_a_name_are_reached_by_the_name_that_is_known(stage: &impl Stage) {
    if stage.profile() == Profile::Redis62 {
        return;
    }
    let prefer = async |what: &str| {
        for node in stage.nodes() {
            let line = format!("CONFIG SET cluster-preferred-endpoint-type {what}");
            stage.ask_for(&node, &[&line], "OK").await;
        }
    };
    prefer("unknown-endpoint").await;
    let scene = Scene::set(stage, "nameless").await;
    let client = &scene.client;
    client.set(scene.key("k"), "v").await.unwrap();
    let other = tag_at(&client.slot_map(), &scene.other, "nameless");
    assert_eq!(client.incr(&other).await.unwrap(), 1);
    stage.open_slot(scene.slot, &scene.from, &scene.to).await;
    client.set(scene.key("new"), "asked").await.unwrap();
    scene.finish(stage).await;
    assert_eq!(client.get::<String>(scene.key("k")).await.unwrap(), "v");
    assert_eq!(client.get::<String>(scene.key("new")).await.unwrap(), "asked");
    assert_eq!(scene.mapped_to(), scene.to);
    prefer("ip").await;
}
