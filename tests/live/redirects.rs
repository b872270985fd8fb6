//! Redirects and interruptions of every kind, made by real servers of every version: nothing is lost, nothing is
//! executed twice, nothing comes from another key, and where the client cannot help it says so.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::live_support::{
    ask, check_each, error_of, on_every_server, primaries, tag_at, until, until_mapped, value_of,
};
use futures::future::join_all;
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{
    Client, Command, Commands, Error, ErrorKind, NodeAddr, Outcome, RedirectKind, Result, Slot, SlotMap,
    Value,
};
use tokio::task::JoinHandle;

on_every_server! {
    all:
        a_slot_that_moves_costs_no_caller_an_error
        a_half_moved_slot_is_served_by_both_of_its_nodes
        what_the_cluster_cannot_serve_for_now_is_waited_for
        a_node_that_loads_its_data_is_waited_for
        lost_connections_execute_nothing_twice
        redirects_without_end_are_ended_and_shown
    ;
    since_7_0: redirects_name_nodes_by_hostname_or_not_at_all ;
    valkey_9_1: an_atomic_slot_migration_costs_no_caller_an_error ;
}

struct Fixture {
    cluster: LocalCluster,
    nodes: Vec<NodeAddr>,
}

impl Fixture {
    async fn start(server: Server) -> Arc<Self> {
        let cluster = LocalCluster::builder().server(server).start().await.unwrap();
        let nodes = primaries(&Client::connect(cluster.url()).await.unwrap().slot_map());
        Arc::new(Self { cluster, nodes })
    }

    async fn client(&self) -> Client {
        Client::connect(self.cluster.url()).await.unwrap()
    }

    async fn resp2(&self) -> Client {
        Client::connect(format!("{}?protocol=resp2", self.cluster.url())).await.unwrap()
    }
}

/// A slot on its way from one node to another, with keys whose values carry their names.
struct Half {
    tag: String,
    slot: Slot,
    from: NodeAddr,
    to: NodeAddr,
    /// Keys that are at the target already, and those that are still at the source.
    moved: Vec<String>,
    unmoved: Vec<String>,
}

impl Half {
    /// Sets `count` keys and moves half of them.
    async fn open(fixture: &Fixture, client: &Client, salt: &str, count: usize) -> Self {
        let (from, to) = (fixture.nodes[0].clone(), fixture.nodes[1].clone());
        let tag = tag_at(&client.slot_map(), &from, salt);
        let slot = Slot::of_key(tag.as_bytes());
        let keys: Vec<String> = (0..count).map(|number| format!("{{{tag}}}{number}")).collect();
        client.mset(keys.iter().map(|key| (key, value_of(key)))).await.unwrap();
        fixture.cluster.open_slot(slot, &from, &to).await.unwrap();
        let mut half = Self { tag, slot, from, to, moved: Vec::new(), unmoved: keys };
        half.advance(fixture, count / 2).await;
        half
    }

    /// Moves up to `count` more keys.
    async fn advance(&mut self, fixture: &Fixture, count: usize) {
        let Self { slot, from, to, .. } = self;
        fixture.cluster.migrate_keys(*slot, from, to, count).await.unwrap();
        let there = Command::new("CLUSTER GETKEYSINSLOT").arg(*slot).arg(100_000);
        let there: HashSet<String> = ask(&fixture.cluster, to, there).await;
        let (moved, unmoved) =
            std::mem::take(&mut self.unmoved).into_iter().partition::<Vec<_>, _>(|key| there.contains(key));
        self.moved.extend(moved);
        self.unmoved = unmoved;
    }

    fn key(&self, name: impl std::fmt::Display) -> String {
        format!("{{{}}}{name}", self.tag)
    }

    /// Moves the rest and ends the move.
    async fn finish(&self, fixture: &Fixture) {
        let Self { slot, from, to, .. } = self;
        fixture.cluster.migrate_keys(*slot, from, to, usize::MAX).await.unwrap();
        fixture.cluster.close_slot(*slot, from, to).await.unwrap();
    }
}

/// Tasks that read and write until they are told to stop, and count.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Tally>>,
}

/// What became of one task's commands.
#[derive(Default)]
struct Tally {
    counter: String,
    /// Increments that were acknowledged, and those that may have been executed.
    acknowledged: i64,
    maybe: i64,
    errors: Vec<Error>,
}

impl Tally {
    /// Takes the result of an increment.
    fn count(&mut self, result: Result<i64>) {
        match result {
            Ok(_) => self.acknowledged += 1,
            Err(error) => {
                self.maybe += i64::from(error.outcome() == Outcome::MaybeExecuted);
                self.errors.push(error);
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Work {
    /// `SET` and `GET` of single keys.
    Keys,
    /// `MGET` of several keys of the slot.
    Several,
    /// `INCR`.
    Increments,
    /// Pipelines with increments, and keys of other slots in between.
    Pipelines,
    /// `MULTI` with an increment and a read.
    Transactions,
    /// Increments of which the caller says that they may be repeated.
    Repeatable,
}

impl Load {
    /// Tasks of these kinds on keys of `tag`.
    fn start(client: &Client, tag: &str, kinds: &[Work]) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let tasks = kinds
            .iter()
            .enumerate()
            .map(|(number, work)| {
                let (client, tag, work) = (client.clone(), tag.to_owned(), *work);
                let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
                tokio::spawn(async move {
                    let counter = format!("{{{tag}}}counter{number}");
                    let mut tally = Tally { counter: counter.clone(), ..Tally::default() };
                    let mut round = 0;
                    while !stop.load(Ordering::Relaxed) {
                        work.once(&client, &tag, round, &mut tally).await;
                        done.fetch_add(1, Ordering::Relaxed);
                        round += 1;
                    }
                    tally
                })
            })
            .collect();
        Self { stop, done, tasks }
    }

    /// Waits until so many more rounds are done.
    async fn until_more(&self, rounds: u64) {
        let wanted = self.done.load(Ordering::Relaxed) + rounds;
        until("the load goes on", async || (self.done.load(Ordering::Relaxed) >= wanted).then_some(())).await;
    }

    async fn stop(self) -> Vec<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        join_all(self.tasks).await.into_iter().map(std::result::Result::unwrap).collect()
    }

    /// Stops; no error must have come, and every increment counts once.
    async fn stop_without_error(self, witness: &Client) {
        for Tally { counter, acknowledged, errors, .. } in self.stop().await {
            assert!(errors.is_empty(), "{} errors, the first: {}", errors.len(), errors[0]);
            let value = witness.get::<Option<i64>>(&counter).await.unwrap().unwrap_or(0);
            assert_eq!(value, acknowledged, "{counter}");
        }
    }
}

impl Work {
    async fn once(self, client: &Client, tag: &str, round: usize, tally: &mut Tally) {
        let key = |number: usize| format!("{{{tag}}}{}", number % 200);
        let failed = match self {
            Self::Keys => {
                let key = key(round * 7);
                let set =
                    if round.is_multiple_of(3) { client.set(&key, value_of(&key)).await } else { Ok(()) };
                let got = client.get::<Option<String>>(&key).await;
                if let Ok(value) = &got {
                    assert_eq!(value.as_ref(), Some(&value_of(&key)));
                }
                set.err().or(got.err())
            }
            Self::Several => {
                let keys = [key(round), key(round * 3 + 1), key(round * 5 + 2)];
                match client.mget::<Vec<String>>(&keys).await {
                    Ok(values) => {
                        assert!(
                            values.iter().zip(&keys).all(|(value, key)| *value == value_of(key)),
                            "{values:?}"
                        );
                        None
                    }
                    Err(error) => Some(error),
                }
            }
            Self::Increments => {
                let result = client.incr(&tally.counter).await;
                tally.count(result);
                None
            }
            Self::Pipelines => {
                let mut pipe = client.pipeline();
                let others: Vec<String> = (0..8).map(|number| elsewhere((round + number) % 50)).collect();
                for (number, other) in others.iter().enumerate() {
                    pipe.incr(&tally.counter)
                        .get(key(round * 11 + number))
                        .set(other, value_of(other))
                        .get(other);
                }
                for (place, result) in pipe.run_each().await.unwrap().into_iter().enumerate() {
                    let number = place / 4;
                    let wanted = match place % 4 {
                        0 => {
                            tally.count(result.map(|value| value.as_int().unwrap()));
                            continue;
                        }
                        1 => value_of(&key(round * 11 + number)),
                        2 => "OK".to_owned(),
                        _ => value_of(&others[number]),
                    };
                    match result {
                        Ok(value) => assert_eq!(value.as_str(), Some(wanted.as_str()), "{place}: {value:?}"),
                        Err(error) => tally.errors.push(error),
                    }
                }
                None
            }
            Self::Transactions => {
                let mut tx = client.transaction();
                tx.incr(&tally.counter).get(&tally.counter);
                let result = tx.run::<(i64, i64)>().await;
                if let Ok((count, read)) = &result {
                    assert_eq!(count, read, "nothing comes in between");
                }
                tally.count(result.map(|(count, _)| count));
                None
            }
            Self::Repeatable => client.hincrby(format!("{{{tag}}}hash"), "field", 1).idempotent().await.err(),
        };
        tally.errors.extend(failed);
    }
}

const EVERY_WORK: [Work; 8] = [
    Work::Keys,
    Work::Keys,
    Work::Several,
    Work::Increments,
    Work::Increments,
    Work::Pipelines,
    Work::Transactions,
    Work::Transactions,
];

/// Keys in any slots.
fn elsewhere(number: usize) -> String {
    format!("elsewhere:{number}")
}

/// The keys that the load reads. They are set before, because a command that is sent again may come after the next one
/// of its pipeline.
async fn fill(client: &Client, tag: &str) {
    let keys = (0..200).map(|number| format!("{{{tag}}}{number}")).chain((0..50).map(elsewhere));
    let keys: Vec<String> = keys.collect();
    client.mset(keys.iter().map(|key| (key, value_of(key)))).await.unwrap();
}

// ---------------------------------------------------------------------------------------------------------------------

async fn a_slot_that_moves_costs_no_caller_an_error(server: Server) {
    check_each! {
        Fixture::start(server).await;
        a_slot_moves_around_under_load
        fifty_tasks_that_meet_one_moved_slot_cause_one_refresh
        a_blocked_command_follows_its_slot
        a_node_that_no_map_names_is_found_by_a_redirect
    }
}

async fn a_slot_moves_around_under_load(fixture: Arc<Fixture>) {
    let Fixture { cluster, nodes } = &*fixture;
    let client = fixture.client().await;
    let resp2 = fixture.resp2().await;
    let tag = tag_at(&client.slot_map(), &nodes[0], "around");
    let slot = Slot::of_key(tag.as_bytes());
    // Other keys with the same hash tag: `{around}}2}...`.
    let tag2 = format!("{tag}}}2");
    fill(&client, &tag).await;
    fill(&resp2, &tag2).await;
    let before = client.stats();
    let load = Load::start(&client, &tag, &EVERY_WORK);
    let load2 = Load::start(&resp2, &tag2, &EVERY_WORK);
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        load.until_more(200).await;
        cluster.move_slot(slot, &nodes[from], &nodes[to]).await.unwrap();
        load.until_more(200).await;
        until_mapped(&client, slot, &nodes[to]).await;
    }
    let rounds = load.done.load(Ordering::Relaxed);
    load.stop_without_error(&client).await;
    load2.stop_without_error(&resp2).await;
    let stats = client.stats();
    // At each move those that were under way are redirected, a batch or two of each task; nobody goes astray for long.
    assert!(stats.moved - before.moved <= 3 * 60, "{rounds} rounds, {stats:?}");
    assert!(stats.refreshes - before.refreshes <= 3 * 4, "{stats:?}");
    assert_eq!(stats.disconnects, 0);
}

async fn fifty_tasks_that_meet_one_moved_slot_cause_one_refresh(fixture: Arc<Fixture>) {
    let Fixture { cluster, nodes } = &*fixture;
    for client in [fixture.client().await, fixture.resp2().await] {
        let tag = tag_at(&client.slot_map(), &nodes[0], "fifty");
        let slot = Slot::of_key(tag.as_bytes());
        fill(&client, &tag).await;
        for node in nodes {
            client.set(tag_at(&client.slot_map(), node, "warm"), "x").await.unwrap();
        }
        cluster.move_slot(slot, &nodes[0], &nodes[2]).await.unwrap();
        let before = client.stats();
        let tasks = (0..50).map(|number| {
            let (client, key) = (client.clone(), format!("{{{tag}}}{number}"));
            tokio::spawn(async move { assert_eq!(client.get::<String>(&key).await.unwrap(), value_of(&key)) })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        until_mapped(&client, slot, &nodes[2]).await;
        until("a refresh", async || (client.stats().refreshes > before.refreshes).then_some(())).await;
        // Others may follow by mistake for a while.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let stats = client.stats();
        let (moved, refreshes) = (stats.moved - before.moved, stats.refreshes - before.refreshes);
        assert!((1..=50).contains(&moved), "{moved}");
        assert!((1..=3).contains(&refreshes), "{refreshes} refreshes for {moved} redirects");
        assert_eq!(stats.redirected_to[&nodes[2]] - before.redirected_to.get(&nodes[2]).unwrap_or(&0), moved);
        // From now on it is known.
        assert_eq!(
            client.get::<String>(format!("{{{tag}}}1")).await.unwrap(),
            value_of(&format!("{{{tag}}}1"))
        );
        assert_eq!(client.stats().moved, stats.moved);
        cluster.move_slot(slot, &nodes[2], &nodes[0]).await.unwrap();
    }
}

async fn a_blocked_command_follows_its_slot(fixture: Arc<Fixture>) {
    let Fixture { cluster, nodes } = &*fixture;
    let client = fixture.client().await;
    let tag = tag_at(&client.slot_map(), &nodes[0], "blocked");
    let blocked = tokio::spawn({
        let (client, tag) = (client.clone(), tag.clone());
        async move { client.blpop::<(String, String)>(&tag, 0.0).await }
    });
    until("it blocks", async || {
        let info: String = ask(cluster, &nodes[0], Command::new("INFO").arg("clients")).await;
        info.contains("blocked_clients:1").then_some(())
    })
    .await;
    cluster.move_slot(Slot::of_key(tag.as_bytes()), &nodes[0], &nodes[1]).await.unwrap();
    until("it blocks at the new owner", async || {
        let info: String = ask(cluster, &nodes[1], Command::new("INFO").arg("clients")).await;
        info.contains("blocked_clients:1").then_some(())
    })
    .await;
    client.rpush(&tag, "here").await.unwrap();
    assert_eq!(blocked.await.unwrap().unwrap(), (tag, "here".to_owned()));
}

async fn a_node_that_no_map_names_is_found_by_a_redirect(fixture: Arc<Fixture>) {
    let Fixture { cluster, nodes } = &*fixture;
    let prepare = async |client: &Client, salt: &str| {
        let tag = tag_at(&client.slot_map(), &nodes[1], salt);
        fill(client, &tag).await;
        (Slot::of_key(tag.as_bytes()), format!("{{{tag}}}1"))
    };
    let clients = [(fixture.client().await, "found3-"), (fixture.resp2().await, "found2-")];
    let mut moves = Vec::new();
    for (client, salt) in &clients {
        moves.push((client, prepare(client, salt).await, client.slot_map(), client.stats()));
    }
    let added = cluster.add_node().await.unwrap();
    let moved: Vec<Slot> = moves.iter().map(|(_, (slot, _), ..)| *slot).collect();
    for slot in &moved {
        cluster.move_slot(*slot, &nodes[1], &added).await.unwrap();
    }
    for (client, (slot, key), known, before) in moves {
        assert!(known.nodes().iter().all(|node| node.addr != added));
        assert_eq!(client.get::<String>(&key).await.unwrap(), value_of(&key));
        // The redirect was enough, and the rest of the map stays as it was; the other client's slot may be known by
        // now, if the refresh that the redirect asked for is through already.
        let map = client.slot_map();
        assert_eq!(map.primary_of(slot).unwrap().addr, added);
        let owner_in = |map: &SlotMap, slot| map.primary_of(slot).unwrap().addr.clone();
        assert!(
            Slot::all()
                .filter(|other| !moved.contains(other))
                .all(|other| owner_in(&map, other) == owner_in(&known, other))
        );
        assert_eq!(client.stats().moved - before.moved, 1);
        until("the refresh tells its id", async || {
            client.slot_map().primary_of(slot).unwrap().id.is_some().then_some(())
        })
        .await;
        client.set(&key, value_of(&key)).await.unwrap();
        assert_eq!(client.stats().moved - before.moved, 1);
    }
}

// ---------------------------------------------------------------------------------------------------------------------

async fn a_half_moved_slot_is_served_by_both_of_its_nodes(server: Server) {
    check_each! {
        Fixture::start(server).await;
        keys_are_found_on_both_sides_and_new_ones_are_made_at_the_target
        pipelines_redirect_only_the_commands_that_need_it
        no_task_gets_the_value_of_another_key
        transactions_scripts_and_blocking_commands_follow_their_keys
        increments_count_once_while_their_keys_move
        several_keys_on_both_sides_are_waited_for
        several_keys_that_stay_on_both_sides_end_at_the_deadline
    }
}

async fn keys_are_found_on_both_sides_and_new_ones_are_made_at_the_target(fixture: Arc<Fixture>) {
    for (client, salt) in [(fixture.client().await, "both3-"), (fixture.resp2().await, "both2-")] {
        let half = Half::open(&fixture, &client, salt, 40).await;
        assert_eq!((half.moved.len(), half.unmoved.len()), (20, 20));
        let (map, before) = (client.slot_map(), client.stats());
        for key in half.moved.iter().chain(&half.unmoved) {
            assert_eq!(client.get::<String>(key).await.unwrap(), value_of(key));
        }
        assert_eq!(
            client.stats().asked - before.asked,
            20,
            "one redirect for each key that had moved, none else"
        );
        for number in 0..10 {
            let missing = half.key(format!("missing{number}"));
            assert_eq!(client.get::<Option<String>>(&missing).await.unwrap(), None);
            assert_eq!(client.incr(half.key(format!("new{number}"))).await.unwrap(), 1);
            assert_eq!(client.incr(half.key(format!("new{number}"))).await.unwrap(), 2);
        }
        client.set(&half.moved[0], "changed").await.unwrap();
        client.set(&half.unmoved[0], "changed").await.unwrap();
        assert_eq!(client.mget::<Vec<String>>([&half.moved[0]]).await.unwrap(), ["changed"]);
        assert_eq!(client.append(&half.unmoved[0], "!").await.unwrap(), 8);
        assert_eq!(client.del(&half.moved[1]).await.unwrap(), 1);
        assert_eq!(client.del(&half.unmoved[1]).await.unwrap(), 1);
        let there = Command::new("CLUSTER GETKEYSINSLOT").arg(half.slot).arg(1000);
        let there: HashSet<String> = ask(&fixture.cluster, &half.to, there).await;
        assert!((0..10).all(|number| there.contains(&half.key(format!("new{number}")))), "{there:?}");
        // Several keys of one command, all on one side.
        let values: Vec<String> = client.mget(&half.moved[2..5]).await.unwrap();
        assert!(values.iter().zip(&half.moved[2..5]).all(|(value, key)| *value == value_of(key)));
        let values: Vec<String> = client.mget(&half.unmoved[2..5]).await.unwrap();
        assert!(values.iter().zip(&half.unmoved[2..5]).all(|(value, key)| *value == value_of(key)));
        // An ASK says nothing of the map.
        let stats = client.stats();
        assert_eq!(
            (stats.moved, stats.map_changes, stats.retries),
            (before.moved, before.map_changes, before.retries)
        );
        assert!(Arc::ptr_eq(&map, &client.slot_map()));
        half.finish(&fixture).await;
        assert_eq!(client.get::<i64>(half.key("new3")).await.unwrap(), 2);
    }
}

async fn pipelines_redirect_only_the_commands_that_need_it(fixture: Arc<Fixture>) {
    for (client, salt) in [(fixture.client().await, "pipe3-"), (fixture.resp2().await, "pipe2-")] {
        let half = Half::open(&fixture, &client, salt, 40).await;
        // Keys of other slots, of the target too: what ASKING lets through must not be theirs.
        let others: Vec<String> = fixture
            .nodes
            .iter()
            .map(|node| tag_at(&client.slot_map(), node, &format!("{salt}other")))
            .collect();
        client.mset(others.iter().map(|key| (key, value_of(key)))).await.unwrap();
        let asked = client.stats().asked;
        for round in 1..=5_i64 {
            let mut pipe = client.pipeline();
            let mut keys = Vec::new();
            for number in 0..20 {
                keys.extend([&half.moved[number], &half.unmoved[number], &others[number % 3]]);
            }
            for key in &keys {
                pipe.get(*key);
            }
            // Counters on both sides; each once in each round, whatever is redirected.
            for number in 0..20 {
                pipe.incr(half.key(format!("count{number}"))).get(half.key(format!("none{number}")));
            }
            assert_eq!(pipe.len(), 100);
            let values: Vec<Value> = pipe.run().await.unwrap();
            for (key, value) in keys.iter().zip(&values) {
                assert_eq!(value.as_str(), Some(value_of(key).as_str()));
            }
            for pair in values[60..].chunks(2) {
                assert_eq!(pair, [Value::Int(round), Value::Nil]);
            }
        }
        // 20 moved ones, 20 counters (new, so at the target) and 20 missing ones: one redirect each, in each round.
        assert_eq!(client.stats().asked - asked, 5 * 60);
        let mut pipe = client.pipeline();
        for _ in 0..100 {
            pipe.incr(half.key("order"));
        }
        let seen: Vec<i64> = pipe.run().await.unwrap();
        let distinct: HashSet<i64> = seen.iter().copied().collect();
        assert!(distinct.len() == 100 && distinct.contains(&100), "each once: {seen:?}");
        assert_eq!(client.stats().moved, 0);
        half.finish(&fixture).await;
    }
}

async fn no_task_gets_the_value_of_another_key(fixture: Arc<Fixture>) {
    for (client, salt) in [(fixture.client().await, "swap3-"), (fixture.resp2().await, "swap2-")] {
        let half = Half::open(&fixture, &client, salt, 64).await;
        let others: Vec<String> = (0..64).map(|number| format!("{salt}other:{number}")).collect();
        client.mset(others.iter().map(|key| (key, value_of(key)))).await.unwrap();
        let tasks = (0..64).map(|task| {
            let client = client.clone();
            let keys = [
                half.moved[task % 32].clone(),
                half.unmoved[task % 32].clone(),
                others[task].clone(),
                half.moved[task * 7 % 32].clone(),
            ];
            let missing = half.key(format!("nobody{task}"));
            tokio::spawn(async move {
                for _ in 0..10 {
                    let gets = join_all(keys.iter().map(|key| client.get::<String>(key)));
                    let (values, none) = tokio::join!(gets, client.get::<Option<String>>(&missing));
                    for (key, value) in keys.iter().zip(values) {
                        assert_eq!(value.unwrap(), value_of(key));
                    }
                    assert_eq!(none.unwrap(), None);
                }
            })
        });
        for task in join_all(tasks).await {
            task.unwrap();
        }
        assert_eq!(client.stats().asked, 64 * 10 * 3, "as many redirects as keys that were not there");
        half.finish(&fixture).await;
    }
}

async fn transactions_scripts_and_blocking_commands_follow_their_keys(fixture: Arc<Fixture>) {
    for (client, salt) in [(fixture.client().await, "tx3-"), (fixture.resp2().await, "tx2-")] {
        let half = Half::open(&fixture, &client, salt, 20).await;
        for (key, length) in [(&half.moved[0], value_of(&half.moved[0]).len()), (&half.unmoved[0], 0)] {
            let mut tx = client.transaction();
            tx.append(key, "!").get(key).strlen(key);
            let (_, value, strlen): (u64, String, usize) = tx.run().await.unwrap();
            assert_eq!(value, format!("{}!", value_of(key)));
            assert!(strlen > length);
            let got: String =
                client.eval("return redis.call('GET', KEYS[1])", key, [0_i64; 0]).await.unwrap();
            assert_eq!(got, value);
        }
        let fresh = half.key("fresh");
        let mut tx = client.transaction();
        tx.incr(&fresh).incr(&fresh);
        assert_eq!(tx.run::<(i64, i64)>().await.unwrap(), (1, 2));
        assert_eq!(tx.run::<(i64, i64)>().await.unwrap(), (3, 4));
        // A list that is at the target, one that nobody has, one that is pushed to later.
        let list = half.key("list");
        assert_eq!(client.rpush(&list, ["a", "b"]).await.unwrap(), 2);
        assert_eq!(client.blpop::<(String, String)>(&list, 1.0).await.unwrap().1, "a");
        assert_eq!(client.blpop::<Option<String>>(half.key("no list"), 0.05).await.unwrap(), None);
        let later = half.key("later");
        let blocked = tokio::spawn({
            let (client, later) = (client.clone(), later.clone());
            async move { client.blpop::<(String, String)>(&later, 0.0).await.unwrap().1 }
        });
        until("it blocks at the target", async || {
            let info: String = ask(&fixture.cluster, &half.to, Command::new("INFO").arg("clients")).await;
            info.contains("blocked_clients:1").then_some(())
        })
        .await;
        client.rpush(&later, "x").await.unwrap();
        assert_eq!(blocked.await.unwrap(), "x");
        half.finish(&fixture).await;
    }
}

async fn increments_count_once_while_their_keys_move(fixture: Arc<Fixture>) {
    for (client, salt) in [(fixture.client().await, "once3-"), (fixture.resp2().await, "once2-")] {
        let mut half = Half::open(&fixture, &client, salt, 200).await;
        let work: Vec<Work> = EVERY_WORK.into_iter().filter(|work| !matches!(work, Work::Several)).collect();
        let load = Load::start(&client, &half.tag, &work);
        while !half.unmoved.is_empty() {
            load.until_more(20).await;
            half.advance(&fixture, 10).await;
        }
        load.until_more(50).await;
        half.finish(&fixture).await;
        load.until_more(50).await;
        load.stop_without_error(&client).await;
        assert_eq!(client.stats().disconnects, 0);
    }
}

async fn several_keys_on_both_sides_are_waited_for(fixture: Arc<Fixture>) {
    for (client, salt) in [(fixture.client().await, "try3-"), (fixture.resp2().await, "try2-")] {
        let half = Half::open(&fixture, &client, salt, 20).await;
        let torn =
            [half.moved[0].clone(), half.unmoved[0].clone(), half.key("missing"), half.moved[1].clone()];
        let new = [half.key("new1"), half.key("new2")];
        let before = client.stats().retries;
        let waiting = {
            let (client, torn, new) = (client.clone(), torn.clone(), new.clone());
            let elsewhere = tag_at(&client.slot_map(), &fixture.nodes[2], salt);
            tokio::spawn(async move {
                let every_slot = [torn[0].clone(), elsewhere.clone(), torn[1].clone()];
                let mut pipe = client.pipeline();
                pipe.set(&elsewhere, value_of(&elsewhere)).mget(&torn).get(&torn[0]);
                tokio::join!(
                    client.mget::<Vec<Option<String>>>(&torn),
                    client.mset(new.iter().map(|key| (key, value_of(key)))),
                    client.mget::<Vec<Option<String>>>(&every_slot),
                    pipe.run::<((), Vec<Option<String>>, String)>(),
                    client.exists(&torn),
                )
            })
        };
        // They have been refused many times, longer than a client would need that gives up after some tries.
        until("it has been tried again", async || (client.stats().retries >= before + 100).then_some(()))
            .await;
        assert!(!waiting.is_finished());
        half.finish(&fixture).await;
        let (values, set, split, piped, count) = waiting.await.unwrap();
        let wanted = [Some(value_of(&torn[0])), Some(value_of(&torn[1])), None, Some(value_of(&torn[3]))];
        assert_eq!(values.unwrap(), wanted);
        set.unwrap();
        assert_eq!(split.unwrap()[2], wanted[1]);
        assert_eq!(piped.unwrap().1, wanted);
        assert_eq!(count.unwrap(), 3);
        let values: Vec<String> = client.mget(&new).await.unwrap();
        assert_eq!(values, [value_of(&new[0]), value_of(&new[1])]);
    }
}

async fn several_keys_that_stay_on_both_sides_end_at_the_deadline(fixture: Arc<Fixture>) {
    for (client, salt) in [(fixture.client().await, "end3-"), (fixture.resp2().await, "end2-")] {
        let half = Half::open(&fixture, &client, salt, 20).await;
        let limit = Duration::from_millis(600);
        let begin = Instant::now();
        let torn = [&half.moved[0], &half.unmoved[0]];
        let new = [(half.key("new1"), "x"), (half.key("new2"), "x")];
        let (read, written) =
            tokio::join!(client.mget::<Value>(torn).timeout(limit), client.mset(new.clone()).timeout(limit));
        assert!((limit..limit * 2).contains(&begin.elapsed()), "{:?}", begin.elapsed());
        for (name, error) in [("MGET", error_of(read)), ("MSET", error_of(written))] {
            assert_eq!((error.kind(), error.command()), (ErrorKind::Unavailable, Some(name)), "{error}");
            assert_ne!(error.outcome(), Outcome::MaybeExecuted, "{error}");
            assert_eq!(error.slot(), Some(half.slot), "{error}");
            assert!(error.to_string().contains("TRYAGAIN"), "{error}");
            assert!(error.attempts() > 3, "{error}");
        }
        half.finish(&fixture).await;
        assert_eq!(client.exists([&new[0].0, &new[1].0]).await.unwrap(), 0, "as the error said");
        assert_eq!(client.mget::<Vec<String>>(torn).await.unwrap(), [value_of(torn[0]), value_of(torn[1])]);
    }
}

// ---------------------------------------------------------------------------------------------------------------------

async fn what_the_cluster_cannot_serve_for_now_is_waited_for(server: Server) {
    let fixture = Fixture::start(server).await;
    let Fixture { cluster, nodes } = &*fixture;
    for (client, salt, coverage) in
        [(fixture.client().await, "down3-", "yes"), (fixture.resp2().await, "down2-", "no")]
    {
        for node in nodes {
            let set = Command::new("CONFIG SET").arg("cluster-require-full-coverage").arg(coverage);
            ask::<()>(cluster, node, set).await;
        }
        let tag = tag_at(&client.slot_map(), &nodes[0], salt);
        let slot = Slot::of_key(tag.as_bytes());
        client.set(&tag, "x").await.unwrap();
        ask::<()>(cluster, &nodes[0], Command::new("CLUSTER DELSLOTS").arg(slot)).await;

        let begin = Instant::now();
        let limit = Duration::from_millis(400);
        let (get, piped, tx) = tokio::join!(
            client.get::<Value>(&tag).timeout(limit),
            async {
                let mut pipe = client.pipeline();
                pipe.incr(format!("{{{tag}}}n")).timeout(limit);
                pipe.run_each().await.unwrap().remove(0)
            },
            async {
                let mut tx = client.transaction();
                tx.incr(format!("{{{tag}}}n")).timeout(limit);
                tx.run::<(i64,)>().await
            }
        );
        assert!((limit..limit * 2).contains(&begin.elapsed()), "{:?}", begin.elapsed());
        for error in [error_of(get), error_of(piped), error_of(tx)] {
            assert_eq!((error.kind(), error.slot()), (ErrorKind::Unavailable, Some(slot)), "{error}");
            assert_ne!(error.outcome(), Outcome::MaybeExecuted, "{error}");
            let text = error.to_string();
            assert!(text.contains("CLUSTERDOWN") || text.contains("no node serves the slot"), "{text}");
        }

        // Which slot nobody serves is the business of its keys alone.
        let elsewhere = tag_at(&client.slot_map(), &nodes[1], salt);
        client.set(&elsewhere, value_of(&elsewhere)).await.unwrap();
        let before = client.stats().retries;
        let waiting = tokio::spawn({
            let (client, tag) = (client.clone(), tag.clone());
            async move {
                let mut tx = client.transaction();
                tx.incr(format!("{{{tag}}}n")).get(&tag);
                tokio::join!(
                    client.get::<String>(&tag),
                    client.incr(format!("{{{tag}}}m")),
                    client.mget::<Vec<String>>([&tag, &elsewhere]),
                    tx.run::<(i64, String)>()
                )
            }
        });
        until("it has been tried again", async || (client.stats().retries >= before + 10).then_some(()))
            .await;
        assert!(!waiting.is_finished());
        ask::<()>(cluster, &nodes[0], Command::new("CLUSTER ADDSLOTS").arg(slot)).await;
        let (get, incr, mget, tx) = waiting.await.unwrap();
        assert_eq!((get.unwrap().as_str(), incr.unwrap()), ("x", 1));
        assert_eq!(mget.unwrap()[0], "x");
        assert_eq!(tx.unwrap(), (1, "x".to_owned()), "the refused increments were not executed");
        cluster.wait_until_ok().await.unwrap();
    }
}

async fn a_node_that_loads_its_data_is_waited_for(server: Server) {
    // A key takes 2 ms to load, so that 600 take more than a second. 6.2 answers nobody but every 2 MiB of it.
    let events = if server.version().is_at_least(7, 0) {
        ("loading-process-events-interval-bytes", "1024")
    } else {
        ("rdbchecksum", "no")
    };
    let cluster = LocalCluster::builder()
        .primaries(2)
        .server(server)
        .node_timeout(Duration::from_secs(30))
        .setting("key-load-delay", "2000")
        .setting("rdbcompression", "no")
        .setting(events.0, events.1)
        .start()
        .await
        .unwrap();
    let client = Client::connect(cluster.url()).await.unwrap();
    let node = cluster.nodes().remove(0);
    let tag = tag_at(&client.slot_map(), &node, "load");
    let key = |number: usize| format!("{{{tag}}}{number}");
    let filling = "x".repeat(8 << 10);
    let mut pipe = client.pipeline();
    for number in 0..600 {
        pipe.set(key(number), format!("{}{filling}", value_of(&key(number))));
    }
    pipe.run::<()>().await.unwrap();
    ask::<()>(&cluster, &node, Command::new("SAVE")).await;

    let is_loading = async || {
        let ping = Command::new("PING").timeout(Duration::from_secs(2));
        matches!(cluster.command(&node, ping).await, Ok(Value::Error(error)) if error.code() == "LOADING")
    };
    let witness = async {
        until("it says that it loads", async || is_loading().await.then_some(())).await;
        let get = client.get::<Value>(key(1)).timeout(Duration::from_millis(200));
        let (short, count, value) = tokio::join!(get, client.incr(key(1000)), client.get::<String>(key(2)));
        // Had it been loaded by then, this would be a value.
        let error = error_of(short);
        assert!(
            matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Connect),
            "{error}"
        );
        assert_eq!(count.unwrap(), 1);
        assert!(value.unwrap().starts_with(&value_of(&key(2))));
    };
    let busy = async {
        for number in 0..20 {
            let value: String = client.get(key(number)).await.unwrap();
            assert!(value.starts_with(&value_of(&key(number))));
        }
    };
    let (restarted, (), ()) = tokio::join!(cluster.restart(&node), witness, busy);
    restarted.unwrap();
    assert!(client.stats().retries > 0);
}

// ---------------------------------------------------------------------------------------------------------------------

async fn lost_connections_execute_nothing_twice(server: Server) {
    let fixture = Fixture::start(server).await;
    let Fixture { cluster, nodes } = &*fixture;
    for client in [fixture.client().await, fixture.resp2().await] {
        client.flushall().await.unwrap();
        let tags: Vec<String> = nodes.iter().map(|node| tag_at(&client.slot_map(), node, "lost")).collect();
        let mut loads = Vec::new();
        for tag in &tags {
            fill(&client, tag).await;
            loads.push(Load::start(&client, tag, &[&EVERY_WORK[..], &[Work::Repeatable]].concat()));
        }
        for _ in 0..20 {
            for (node, load) in nodes.iter().zip(&loads) {
                load.until_more(20).await;
                // Its own connection is left out.
                let kill = Command::new("CLIENT KILL").arg("TYPE").arg("normal");
                ask::<i64>(cluster, node, kill).await;
            }
        }
        let mut lost = 0;
        for load in loads {
            load.until_more(20).await;
            for Tally { counter, acknowledged, maybe, errors } in load.stop().await {
                let value = client.get::<Option<i64>>(&counter).await.unwrap().unwrap_or(0);
                let range = acknowledged..=acknowledged + maybe;
                assert!(range.contains(&value), "{counter}: {value} is not in {range:?}");
                lost += errors.len();
                for error in errors {
                    // Reads and `SET` are sent again, what was not sent and what may be repeated too.
                    assert!(matches!(error.command(), Some("INCR" | "MULTI/EXEC")), "{error}");
                    let told = (error.kind(), error.outcome());
                    assert_eq!(told, (ErrorKind::ConnectionLost, Outcome::MaybeExecuted), "{error}");
                    assert!(error.node().is_some_and(|node| nodes.contains(node)), "{error}");
                }
            }
        }
        let stats = client.stats();
        assert!(stats.disconnects >= 20 && lost > 0, "nothing was disturbed: {lost}, {stats:?}");
    }
}

// ---------------------------------------------------------------------------------------------------------------------

async fn redirects_without_end_are_ended_and_shown(server: Server) {
    check_each! {
        Fixture::start(server).await;
        two_nodes_that_send_to_each_other_are_both_named
        a_move_that_only_its_source_knows_of_ends_too
    }
}

async fn two_nodes_that_send_to_each_other_are_both_named(fixture: Arc<Fixture>) {
    let Fixture { cluster, nodes } = &*fixture;
    let client = fixture.client().await;
    let tag = tag_at(&client.slot_map(), &nodes[0], "loop");
    let slot = Slot::of_key(tag.as_bytes());
    // The owner gives the slot away, and the other one does not hear of it.
    let id = cluster.node_id(&nodes[1]).await.unwrap();
    let set = Command::new("CLUSTER SETSLOT").arg(slot).arg("NODE").arg(id);
    ask::<()>(cluster, &nodes[0], set).await;
    for (what, error) in [
        ("GET", error_of(client.get::<Value>(&tag).await)),
        ("INCR", error_of(client.incr(&tag).await)),
        ("MULTI/EXEC", {
            let mut tx = client.transaction();
            tx.incr(&tag);
            error_of(tx.run::<Value>().await)
        }),
    ] {
        assert_eq!((error.kind(), error.command()), (ErrorKind::Redirects, Some(what)), "{error}");
        assert_eq!((error.outcome(), error.slot()), (Outcome::Rejected, Some(slot)), "{error}");
        assert!(error.trail().len() >= 8, "{error}");
        for hop in error.trail() {
            assert_eq!((hop.kind, hop.slot), (RedirectKind::Moved, slot), "{error}");
            assert_ne!(hop.from, hop.to, "{error}");
        }
        assert_eq!(error.last_redirect(), error.trail().last());
        for node in &nodes[..2] {
            assert!(error.to_string().contains(&node.to_string()), "{error}");
        }
    }
    let strict = Client::connect(format!("{}?max_redirects=2", cluster.url())).await.unwrap();
    let error = error_of(strict.get::<Value>(&tag).await);
    assert_eq!((error.kind(), error.trail().len()), (ErrorKind::Redirects, 3), "{error}");
    assert!(error.to_string().contains("more than 2 redirects"), "{error}");
    // Other slots do not notice.
    client.set(tag_at(&client.slot_map(), &nodes[2], "loop"), "x").await.unwrap();

    let id = cluster.node_id(&nodes[0]).await.unwrap();
    ask::<()>(cluster, &nodes[0], Command::new("CLUSTER SETSLOT").arg(slot).arg("NODE").arg(id)).await;
    cluster.wait_until_ok().await.unwrap();
    assert_eq!(client.incr(&tag).await.unwrap(), 1, "nothing was executed on the way");
}

async fn a_move_that_only_its_source_knows_of_ends_too(fixture: Arc<Fixture>) {
    let Fixture { cluster, nodes } = &*fixture;
    let client = fixture.client().await;
    let half = Half::open(&fixture, &client, "torn", 10).await;
    let stable = || Command::new("CLUSTER SETSLOT").arg(half.slot).arg("STABLE");
    ask::<()>(cluster, &nodes[1], stable()).await;
    // The source sends to a node that sends back.
    let error = error_of(client.get::<Value>(&half.moved[0]).await);
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Redirects, Outcome::Rejected), "{error}");
    let kinds: HashSet<bool> = error.trail().iter().map(|hop| hop.kind == RedirectKind::Ask).collect();
    assert_eq!(kinds.len(), 2, "both kinds: {error}");
    assert_eq!(client.get::<String>(&half.unmoved[0]).await.unwrap(), value_of(&half.unmoved[0]));
    let importing = Command::new("CLUSTER SETSLOT").arg(half.slot).arg("IMPORTING");
    ask::<()>(cluster, &nodes[1], importing.arg(cluster.node_id(&nodes[0]).await.unwrap())).await;
    assert_eq!(client.get::<String>(&half.moved[0]).await.unwrap(), value_of(&half.moved[0]));
    half.finish(&fixture).await;
}

// ---------------------------------------------------------------------------------------------------------------------

async fn redirects_name_nodes_by_hostname_or_not_at_all(server: Server) {
    let fixture = Fixture::start(server).await;
    let Fixture { cluster, nodes } = &*fixture;
    let config = async |name: &str, value: &str| {
        for node in nodes {
            ask::<()>(cluster, node, Command::new("CONFIG SET").arg(name).arg(value)).await;
        }
    };
    // All that a client of this setting has to find out by redirects.
    let redirected = async |client: &Client, salt: &str| {
        let half = Half::open(&fixture, client, salt, 20).await;
        for key in half.moved.iter().chain(&half.unmoved) {
            assert_eq!(client.get::<String>(key).await.unwrap(), value_of(key), "{salt}");
        }
        assert_eq!(client.incr(half.key("new")).await.unwrap(), 1);
        half.finish(&fixture).await;
        for key in half.moved.iter().chain(&half.unmoved) {
            assert_eq!(client.get::<String>(key).await.unwrap(), value_of(key), "{salt}");
        }
        assert_eq!(client.incr(half.key("new")).await.unwrap(), 2);
        let spread: Vec<String> = (0..60).map(|number| format!("{salt}:{number}")).collect();
        client.mset(spread.iter().map(|key| (key, value_of(key)))).await.unwrap();
        let values: Vec<String> = client.mget(&spread).await.unwrap();
        assert!(values.iter().zip(&spread).all(|(value, key)| *value == value_of(key)));
        let stats = client.stats();
        assert!(stats.asked > 0 && stats.moved > 0, "{stats:?}");
        cluster.wait_until_ok().await.unwrap();
    };
    let hosts = |client: &Client| -> HashSet<String> {
        client.slot_map().nodes().iter().map(|node| node.addr.host().to_owned()).collect()
    };
    let ip = HashSet::from(["127.0.0.1".to_owned()]);
    let old = fixture.client().await;

    config("cluster-preferred-endpoint-type", "unknown-endpoint").await;
    for (client, salt) in [(fixture.client().await, "unknown3-"), (fixture.resp2().await, "unknown2-")] {
        assert_eq!(hosts(&client), ip);
        redirected(&client, salt).await;
        assert_eq!(hosts(&client), ip);
    }
    // An empty host is the one that was asked, by whatever name it was asked.
    let by_name = Client::connect(format!("redis://localhost:{}", nodes[0].port())).await.unwrap();
    assert_eq!(hosts(&by_name), HashSet::from(["localhost".to_owned()]));
    redirected_by_name(&by_name).await;

    // A hostname is wanted, and none is known.
    config("cluster-preferred-endpoint-type", "hostname").await;
    for (client, salt) in [(fixture.client().await, "nameless3-"), (fixture.resp2().await, "nameless2-")] {
        assert_eq!(hosts(&client), ip);
        let tag = tag_at(&client.slot_map(), &nodes[0], salt);
        client.set(&tag, "x").await.unwrap();
        cluster.move_slot(Slot::of_key(tag.as_bytes()), &nodes[0], &nodes[2]).await.unwrap();
        assert_eq!(client.get::<String>(&tag).await.unwrap(), "x", "MOVED names the host as ?");
        cluster.wait_until_ok().await.unwrap();
    }

    config("cluster-announce-hostname", "localhost").await;
    for node in nodes {
        until("all nodes know all hostnames", async || {
            let slots: Value = ask(cluster, node, Command::new("CLUSTER SLOTS")).await;
            (!format!("{slots:?}").contains("b\"?\"")).then_some(())
        })
        .await;
    }
    for (client, salt) in [(fixture.client().await, "named3-"), (fixture.resp2().await, "named2-")] {
        assert_eq!(hosts(&client), HashSet::from(["localhost".to_owned()]));
        redirected(&client, salt).await;
    }
    // One that was connected all the time.
    let tag = tag_at(&old.slot_map(), &nodes[0], "old");
    old.set(&tag, "x").await.unwrap();
    cluster.move_slot(Slot::of_key(tag.as_bytes()), &nodes[0], &nodes[1]).await.unwrap();
    assert_eq!(old.get::<String>(&tag).await.unwrap(), "x");
}

async fn redirected_by_name(client: &Client) {
    for number in 0..60 {
        assert_eq!(client.incr(format!("by name:{number}")).await.unwrap(), 1);
    }
}

// ---------------------------------------------------------------------------------------------------------------------

async fn an_atomic_slot_migration_costs_no_caller_an_error(server: Server) {
    let fixture = Fixture::start(server).await;
    let Fixture { cluster, nodes } = &*fixture;
    let client = fixture.client().await;
    let tag = tag_at(&client.slot_map(), &nodes[0], "atomic");
    let slot = Slot::of_key(tag.as_bytes());
    fill(&client, &tag).await;
    let blocked = tokio::spawn({
        let (client, key) = (client.clone(), format!("{{{tag}}}list"));
        async move { client.blpop::<(String, String)>(key, 0.0).await }
    });
    let load = Load::start(&client, &tag, &EVERY_WORK);
    for (from, to) in [(0, 1), (1, 2)] {
        load.until_more(200).await;
        let id = cluster.node_id(&nodes[to]).await.unwrap();
        let migrate = Command::new("CLUSTER MIGRATESLOTS").arg("SLOTSRANGE").arg(slot).arg(slot);
        ask::<()>(cluster, &nodes[from], migrate.arg("NODE").arg(id)).await;
        until("the migration succeeds", async || {
            let jobs = Command::new("CLUSTER GETSLOTMIGRATIONS");
            let jobs: Vec<HashMap<String, Value>> = ask(cluster, &nodes[from], jobs).await;
            let state = jobs[0]["state"].as_str().unwrap().to_owned();
            assert!(!matches!(state.as_str(), "failed" | "cancelled"), "{:?}", jobs[0]);
            (state == "success").then_some(())
        })
        .await;
        load.until_more(200).await;
        until_mapped(&client, slot, &nodes[to]).await;
    }
    load.stop_without_error(&client).await;
    client.rpush(format!("{{{tag}}}list"), "x").await.unwrap();
    assert_eq!(blocked.await.unwrap().unwrap().1, "x");
    let stats = client.stats();
    assert_eq!((stats.asked, stats.disconnects), (0, 0), "{stats:?}");
}
