//! An operator reshards, rebalances, adds and removes nodes with `redis-cli --cluster`, while 64 tasks use the cluster in
//! all ways: no error reaches a caller, and no value is wrong.
//!
//! `KEYSLOT_RESHARD_SLOTS` says how many slots the new node gets (default 700); about three times as many are moved in all:
//!
//! ```text
//! KEYSLOT_RESHARD_SLOTS=4000 cargo test --test live reshard:: -- --nocapture --test-threads 1
//! ```

use std::collections::BTreeSet;
use std::env;
use std::path::PathBuf;
use std::process::Command as Program;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::failover_support::{COMMAND_TIMEOUT, Done, NODE_TIMEOUT, ask, on_every_server, until};
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, Command, Commands, NodeAddr, PubSubEvent, Slot, Subscriber};
use tokio::task::JoinSet;

on_every_server! {
    nobody_notices_that_nodes_come_and_go_with_thousands_of_slots
}

/// Slots that the new node gets first, unless the environment says otherwise.
const SLOTS: u32 = 700;

/// Tasks of each kind; 64 in all.
const SINGLES: usize = 16;
const PIPELINES: usize = 16;
const SPLITS: usize = 12;
const TRANSACTIONS: usize = 12;
const SCANS: usize = 2;
const CHANNELS: usize = 3;
const SHARD_CHANNELS: usize = 3;

/// Keys that a task has for itself.
const OWN: usize = 24;

/// Keys that nobody changes, for the scans.
const FIXED: usize = 2000;

/// For a message that is sure to come.
const EVENT: Duration = Duration::from_secs(15);

mod scenarios {
    use super::*;

    pub(super) async fn nobody_notices_that_nodes_come_and_go_with_thousands_of_slots(
        server: Server,
    ) -> Done {
        let slots: u32 = env::var("KEYSLOT_RESHARD_SLOTS").map_or(Ok(SLOTS), |text| text.parse())?;
        let cli = cli_of(&server)?;
        let cluster = LocalCluster::builder().server(server).node_timeout(NODE_TIMEOUT).start().await?;
        let version = cluster.server().version().clone();
        let client = Client::builder().url(&cluster.url()).command_timeout(COMMAND_TIMEOUT).connect().await?;
        let load = Load::start(&client, version.is_at_least(7, 0)).await?;
        load.proceeds().await?;
        let begin = Instant::now();
        let entry = cluster.nodes()[0].to_string();

        let added = cluster.add_node().await?;
        let id = cluster.node_id(&added).await?;
        let count = slots.to_string();
        let reshard =
            ["reshard", &entry, "--cluster-from", "all", "--cluster-to", &id, "--cluster-slots", &count];
        operate(&cli, &reshard).await?;
        cluster.wait_until_ok().await?;
        let held = slots_of(&cluster, &added).await?;
        assert!(held.abs_diff(slots) <= 3, "the new node has {held} of {slots} slots");
        println!("{version}: {held} slots to a new node after {:?}", begin.elapsed());

        // Half as many again, and then all of them back.
        let share = 3.0 * 1.5 * f64::from(slots) / (16384.0 - 1.5 * f64::from(slots));
        for share in [share, 0.0] {
            let weight = format!("{id}={share}");
            operate(&cli, &["rebalance", &entry, "--cluster-threshold", "1", "--cluster-weight", &weight])
                .await?;
            cluster.wait_until_ok().await?;
            let held = slots_of(&cluster, &added).await?;
            println!("{version}: rebalanced to {held} slots of it after {:?}", begin.elapsed());
        }
        assert_eq!(slots_of(&cluster, &added).await?, 0);
        operate(&cli, &["del-node", &entry, &id]).await?;
        cluster.kill(&added)?;
        until("nobody knows the removed node", async || {
            let map = client.slot_map();
            if map.nodes().iter().all(|node| node.addr != added) { Ok(()) } else { Err(format!("{map:?}")) }
        })
        .await?;
        load.proceeds().await?;
        println!("{version}: node removed after {:?}; {:?}", begin.elapsed(), client.stats());

        let keys = load.finish().await?;
        let mut sum = 0;
        for node in cluster.nodes().iter().filter(|node| **node != added) {
            sum += ask(&cluster, node, Command::new("DBSIZE")).await?.as_int().unwrap();
        }
        assert_eq!(sum, i64::try_from(keys)?, "a key is lost, or on two nodes");
        assert!(client.stats().moved > 0, "nobody was redirected: {:?}", client.stats());
        Ok(())
    }
}

/// The `redis-cli` or `valkey-cli` beside the server, or that of an earlier version.
fn cli_of(server: &Server) -> Done<PathBuf> {
    let (name, other) = match server.version().product() {
        "Valkey" => ("valkey-cli", "valkey-8.1"),
        _ => ("redis-cli", "redis-7.0"),
    };
    let beside = server.path().with_file_name(name);
    if beside.exists() {
        return Ok(beside);
    }
    Ok(Server::named(other)?.path().with_file_name(name))
}

/// Runs a command of `redis-cli --cluster`.
async fn operate(cli: &PathBuf, arguments: &[&str]) -> Done {
    let mut program = Program::new(cli);
    program.arg("--cluster").args(arguments).arg("--cluster-yes");
    let output = tokio::task::spawn_blocking(move || program.output()).await??;
    let said = String::from_utf8_lossy(&output.stdout);
    // It does not always say by its status that it could not.
    if !output.status.success() || said.contains("[ERR]") || said.contains("*** ") {
        let lines: Vec<&str> = said.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n");
        return Err(format!("{arguments:?}: {tail}\n{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(())
}

async fn slots_of(cluster: &LocalCluster, node: &NodeAddr) -> Done<u32> {
    let nodes = ask(cluster, node, Command::new("CLUSTER NODES")).await?;
    let line = nodes.as_str().unwrap().lines().find(|line| line.contains("myself")).unwrap().to_owned();
    let ranges = line.split(' ').skip(8).map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Ok::<u32, std::num::ParseIntError>(last.parse::<u32>()? + 1 - first.parse::<u32>()?)
    });
    Ok(ranges.sum::<Result<u32, _>>()?)
}

/// What the tasks have in common.
struct Shared {
    client: Client,
    is_over: AtomicBool,
    faults: Mutex<Vec<String>>,
    /// How many rounds each task has done.
    rounds: Mutex<Vec<Arc<AtomicU64>>>,
}

struct Load {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    keys: usize,
}

impl Load {
    async fn start(client: &Client, has_shard_channels: bool) -> Done<Self> {
        let mut fixed = client.pipeline();
        (0..FIXED).for_each(|number| {
            fixed.set(format!("fixed:{number}"), number);
        });
        let _done: Vec<()> = fixed.run().await?;
        let shared = Shared {
            client: client.clone(),
            is_over: AtomicBool::new(false),
            faults: Mutex::default(),
            rounds: Mutex::default(),
        };
        let mut load = Self { shared: Arc::new(shared), tasks: JoinSet::new(), keys: FIXED };
        for task in 0..SINGLES {
            load.spawn(Single(Own::new(task, 2)), 2 * OWN);
        }
        for task in 0..PIPELINES {
            load.spawn(Pipelines(Own::new(100 + task, 2)), 2 * OWN);
        }
        for task in 0..SPLITS {
            load.spawn(Splits(Own::new(200 + task, 1)), OWN);
        }
        for task in 0..TRANSACTIONS {
            load.spawn(Transactions(Own::new(300 + task, 3)), 3 * OWN);
        }
        for _ in 0..SCANS {
            load.spawn(Scans, 0);
        }
        for task in 0..CHANNELS + SHARD_CHANNELS {
            let is_shard = task >= CHANNELS && has_shard_channels;
            load.spawn(Channel::subscribe(client, task, is_shard).await?, 0);
        }
        Ok(load)
    }

    /// Calls `round` until the load is over; `keys` is how many it has made after the first rounds.
    fn spawn(&mut self, mut round: impl Round, keys: usize) {
        let shared = Arc::clone(&self.shared);
        let done = Arc::new(AtomicU64::new(0));
        shared.rounds.lock().unwrap().push(Arc::clone(&done));
        self.keys += keys;
        self.tasks.spawn(async move {
            while !shared.is_over.load(Ordering::Relaxed) {
                if let Err(fault) = round.run(&shared.client).await {
                    shared.faults.lock().unwrap().push(fault);
                }
                done.fetch_add(1, Ordering::Relaxed);
                // Two cores serve the callers, the servers and the operator.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }

    /// Waits until every task has done several rounds from now on.
    async fn proceeds(&self) -> Done {
        let rounds: Vec<Arc<AtomicU64>> = self.shared.rounds.lock().unwrap().clone();
        let goals: Vec<u64> = rounds.iter().map(|done| done.load(Ordering::Relaxed) + 3).collect();
        until("every caller goes on", async || {
            let late = rounds
                .iter()
                .zip(&goals)
                .filter(|(done, goal)| done.load(Ordering::Relaxed) < **goal)
                .count();
            if late == 0 { Ok(()) } else { Err(format!("{late} of {} do not", goals.len())) }
        })
        .await
    }

    /// Ends the load, and returns how many keys it has made; any error that a caller has seen is a failure.
    async fn finish(mut self) -> Done<usize> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended?;
        }
        let faults = self.shared.faults.lock().unwrap();
        assert!(
            faults.is_empty(),
            "{} faults, the first: {:#?}",
            faults.len(),
            &faults[..faults.len().min(8)]
        );
        let rounds: u64 =
            self.shared.rounds.lock().unwrap().iter().map(|done| done.load(Ordering::Relaxed)).sum();
        println!("{rounds} rounds of {} tasks without an error", self.shared.rounds.lock().unwrap().len());
        Ok(self.keys)
    }
}

/// What a task does over and over; the error says what its caller should not have seen.
trait Round: Send + 'static {
    fn run(&mut self, client: &Client) -> impl Future<Output = Result<(), String>> + Send;
}

fn told(error: keyslot::Error) -> String {
    error.to_string()
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, expected: &T) -> Result<(), String> {
    if got == expected { Ok(()) } else { Err(format!("{what} is {got:?} and not {expected:?}")) }
}

/// Keys of one task, in as many slots, and the number of its round: every value follows from these.
struct Own {
    task: usize,
    /// Keys with one tag.
    kinds: usize,
    round: i64,
}

impl Own {
    fn new(task: usize, kinds: usize) -> Self {
        Self { task, kinds, round: 0 }
    }

    fn key(&self, number: usize, kind: usize) -> String {
        assert!(kind < self.kinds);
        format!("{{{}:{number}}}:{kind}", self.task)
    }

    fn value(&self, number: usize, round: i64) -> String {
        format!("{}={round}", self.key(number, 0))
    }
}

/// One key after the other: `SET`, `GET`, `INCR`.
struct Single(Own);

impl Round for Single {
    async fn run(&mut self, client: &Client) -> Result<(), String> {
        let Self(own) = self;
        own.round += 1;
        for number in 0..OWN {
            let (key, value) = (own.key(number, 0), own.value(number, own.round));
            client.set(&key, &value).await.map_err(told)?;
            let got: String = client.get(&key).await.map_err(told)?;
            same(&key, &got, &value)?;
            let counter = own.key(number, 1);
            same(&counter, &client.incr(&counter).await.map_err(told)?, &own.round)?;
        }
        Ok(())
    }
}

/// The same in one pipeline.
struct Pipelines(Own);

impl Round for Pipelines {
    async fn run(&mut self, client: &Client) -> Result<(), String> {
        let Self(own) = self;
        own.round += 1;
        let mut pipe = client.pipeline();
        for number in 0..OWN {
            pipe.incr(own.key(number, 1)).set(own.key(number, 0), own.value(number, own.round));
        }
        let replies: Vec<(i64, String)> = pairs(&pipe.run::<Vec<keyslot::Value>>().await.map_err(told)?)?;
        same("the number of replies", &replies.len(), &OWN)?;
        for (number, (count, ok)) in replies.iter().enumerate() {
            same(&own.key(number, 1), count, &own.round)?;
            same("SET", &ok.as_str(), &"OK")?;
        }
        let mut pipe = client.pipeline();
        (0..OWN).for_each(|number| {
            pipe.get(own.key(number, 0));
        });
        let got: Vec<String> = pipe.run().await.map_err(told)?;
        let expected: Vec<String> = (0..OWN).map(|number| own.value(number, own.round)).collect();
        same("a pipeline of GETs", &got, &expected)
    }
}

/// Replies that come by turns.
fn pairs(replies: &[keyslot::Value]) -> Result<Vec<(i64, String)>, String> {
    let pair = |pair: &[keyslot::Value]| Some((pair[0].as_int()?, pair.get(1)?.as_str()?.to_owned()));
    replies.chunks(2).map(|two| pair(two).ok_or_else(|| format!("{two:?}"))).collect()
}

/// `MSET` and `MGET` over as many slots.
struct Splits(Own);

impl Round for Splits {
    async fn run(&mut self, client: &Client) -> Result<(), String> {
        let Self(own) = self;
        own.round += 1;
        let all = (0..OWN).map(|number| (own.key(number, 0), own.value(number, own.round)));
        client.mset(all).await.map_err(told)?;
        let got: Vec<String> = client.mget((0..OWN).map(|number| own.key(number, 0))).await.map_err(told)?;
        let expected: Vec<String> = (0..OWN).map(|number| own.value(number, own.round)).collect();
        same("MGET", &got, &expected)
    }
}

/// Three keys of a slot at once.
struct Transactions(Own);

impl Round for Transactions {
    async fn run(&mut self, client: &Client) -> Result<(), String> {
        let Self(own) = self;
        own.round += 1;
        for number in 0..OWN {
            let mut transaction = client.transaction();
            let value = own.value(number, own.round);
            transaction.set(own.key(number, 0), &value).incr(own.key(number, 1));
            transaction.rpush(own.key(number, 2), [&value]).get(own.key(number, 0));
            let ((), count, length, got): ((), i64, i64, String) = transaction.run().await.map_err(told)?;
            same(&own.key(number, 1), &(count, length, got), &(own.round, own.round, value))?;
        }
        Ok(())
    }
}

/// All keys that are there all the time.
struct Scans;

impl Round for Scans {
    async fn run(&mut self, client: &Client) -> Result<(), String> {
        let mut pages = client.scan().pattern("fixed:*").count(200).parallel(2).pages();
        let mut found = BTreeSet::new();
        while let Some(page) = pages.next().await {
            found.extend(page.map_err(told)?);
        }
        same("the number of keys in a scan", &found.len(), &FIXED)
    }
}

/// Publishes to a channel that it is subscribed to. Messages may be missing where slots move, as the subscriber says;
/// what comes is its own.
struct Channel {
    subscriber: Subscriber,
    name: String,
    is_shard: bool,
    round: u64,
}

impl Channel {
    async fn subscribe(client: &Client, task: usize, is_shard: bool) -> Done<Self> {
        let subscriber = client.subscriber();
        let name = format!("channel:{task}");
        if is_shard {
            subscriber.ssubscribe(&name).await?;
        } else {
            subscriber.subscribe(&name).await?;
        }
        Ok(Self { subscriber, name, is_shard, round: 0 })
    }

    /// The number in a message, if it is one of this channel.
    fn read(&self, event: PubSubEvent) -> Result<Option<u64>, String> {
        let Some(message) = event.into_message() else { return Ok(None) };
        let text = String::from_utf8_lossy(&message.payload).into_owned();
        let number = text.strip_prefix(&self.name).and_then(|rest| rest.strip_prefix('=')?.parse().ok());
        match number {
            Some(number) if *message.channel == *self.name.as_bytes() && number <= self.round => {
                Ok(Some(number))
            }
            _ => Err(format!("a message of {} is {text}", self.name)),
        }
    }
}

impl Round for Channel {
    /// Publishes until something comes that is as new as this round.
    async fn run(&mut self, client: &Client) -> Result<(), String> {
        let begin = Instant::now();
        let first = self.round + 1;
        loop {
            self.round += 1;
            let text = format!("{}={}", self.name, self.round);
            let command = if self.is_shard {
                Command::new("SPUBLISH").key(&self.name)
            } else {
                Command::new("PUBLISH").arg(&self.name)
            };
            let _receivers: i64 = client.execute(command.arg(text)).await.map_err(told)?;
            let soon = Instant::now() + Duration::from_millis(100);
            while let Ok(event) = tokio::time::timeout_at(soon.into(), self.subscriber.next()).await {
                let event = event.ok_or_else(|| format!("the subscriber of {} has ended", self.name))?;
                if self.read(event)?.is_some_and(|number| number >= first) {
                    return Ok(());
                }
            }
            if begin.elapsed() > EVENT {
                let slot = Slot::of_key(self.name.as_bytes());
                return Err(format!("no message of {} (slot {slot}) for {EVENT:?}", self.name));
            }
        }
    }
}
