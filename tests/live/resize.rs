//! A cluster grows and shrinks under a bulk load: no caller notices, and every key is where it belongs.
//!
//! The load and the moves go hand in hand: each step of the operator lets the callers write so many keys more, and the
//! next step waits for them. So slots move during the whole load, on a fast machine as on a slow one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::failover_support::{COMMAND_TIMEOUT, Done, NODE_TIMEOUT, ask, on_every_server, until};
use futures::future::try_join_all;
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Bytes, Client, Command, Commands, FromValue, NodeAddr, Slot, Target, Value};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;

on_every_server! {
    a_node_is_added_and_another_removed_while_100_000_keys_are_loaded
}

/// Callers at a time.
const TASKS: usize = 64;

/// Keys of the whole load.
const KEYS: usize = 100_000;

/// Keys that a caller writes at once.
const CHUNK: usize = 50;

/// Slots that the kit moves to the new node one by one.
const ONE_BY_ONE: usize = 96;

/// How much of the load goes with each of these, compared with a slot of a batch.
const WEIGHT: usize = 16;

/// Slots that are open at a time where they are moved in batches.
const OPEN: usize = 512;

mod scenarios {
    use super::*;

    pub(super) async fn a_node_is_added_and_another_removed_while_100_000_keys_are_loaded(
        server: Server,
    ) -> Done {
        let cluster =
            LocalCluster::builder().primaries(4).server(server).node_timeout(NODE_TIMEOUT).start().await?;
        let version = cluster.server().version().clone();
        let client = Client::builder()
            .url(&cluster.url())
            .command_timeout(COMMAND_TIMEOUT)
            // Redirects tell who owns what at once, but nothing tells of a replica that was forgotten.
            .refresh_interval(Duration::from_secs(2))
            .connect()
            .await?;
        let nodes = cluster.nodes();
        let (stays, leaves) = (&nodes[0], &nodes[3]);
        let of = |node: &NodeAddr| -> Vec<Slot> {
            let map = client.slot_map();
            map.shards()
                .filter(|shard| shard.primary().addr == *node)
                .flat_map(|shard| shard.slots())
                .collect()
        };
        let (first, batches) = (of(stays), of(leaves));
        let mut load = Load::start(&client, ONE_BY_ONE * WEIGHT + batches.len());
        let begin = Instant::now();

        let added = cluster.add_node().await?;
        for slot in &first[..ONE_BY_ONE] {
            cluster.move_slot(*slot, stays, &added).await?;
            load.is_due(WEIGHT).await?;
        }
        println!("{version}: {ONE_BY_ONE} slots moved one by one after {:?}", begin.elapsed());

        let operator = Operator::new(&cluster).await?;
        let targets = [&nodes[0], &nodes[1], &nodes[2], &added];
        for (place, (batch, target)) in batches.chunks(OPEN).zip(targets.iter().cycle()).enumerate() {
            let half = batch.len() / 2;
            let can_move_as_one = version.product() == "Valkey" && version.is_at_least(9, 0);
            if can_move_as_one && place % 2 == 1 {
                load.is_due(half).await?;
                operator.move_as_one(batch, leaves, target).await?;
            } else {
                operator.open(batch, leaves, target).await?;
                load.is_due(half).await?;
                operator.move_keys(batch, leaves, target).await?;
                operator.close(batch, leaves, target).await?;
            }
            load.is_due(batch.len() - half).await?;
        }
        operator.forget(leaves).await?;
        cluster.kill(leaves)?;
        println!("{version}: {} slots moved, node removed after {:?}", batches.len(), begin.elapsed());
        load.ended().await?;
        println!("{version}: {KEYS} keys written after {:?}; {:?}", begin.elapsed(), client.stats());

        read_all(&client).await?;
        println!("{version}: and read after {:?}; {:?}", begin.elapsed(), client.stats());
        cluster.wait_until_ok().await?;
        let remaining: Vec<NodeAddr> = cluster.nodes().into_iter().filter(|node| node != leaves).collect();
        let sizes =
            try_join_all(remaining.iter().map(|node| ask(&cluster, node, Command::new("DBSIZE")))).await?;
        let sizes: Vec<i64> = sizes.iter().map(|size| size.as_int().unwrap()).collect();
        assert_eq!(
            sizes.iter().sum::<i64>(),
            i64::try_from(KEYS)?,
            "a key is lost or on two nodes: {sizes:?}"
        );
        assert_eq!(client.dbsize().await?, i64::try_from(KEYS)?, "{:?}", client.slot_map());
        agrees(&cluster, &client, &remaining).await?;
        println!("{version}: done after {:?}", begin.elapsed());
        Ok(())
    }
}

/// The key with this number; the same in every run. Of each ten the first five have a slot of their own in common, so
/// that a command for several keys finds them on both sides of a move.
fn key(number: usize) -> String {
    let seed = if number % 10 < 5 { number / 10 * 10 } else { number };
    let mut random = fastrand::Rng::with_seed(u64::try_from(seed).unwrap());
    let uuid = Uuid::from_u128(random.u128(..));
    if number % 10 < 5 { format!("{{{uuid}}}:{number}") } else { uuid.to_string() }
}

fn value(number: usize) -> String {
    format!("{}={number}", key(number))
}

fn chunks() -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..KEYS).step_by(CHUNK).map(|first| first..KEYS.min(first + CHUNK))
}

/// Callers that write all keys, as far as they are allowed to.
struct Load {
    tasks: JoinSet<keyslot::Result<()>>,
    state: Arc<State>,
    steps: usize,
    done: usize,
}

struct State {
    client: Client,
    /// The next chunk.
    next: AtomicUsize,
    /// Chunks that may be written.
    allowed: Semaphore,
    written: AtomicUsize,
}

impl Load {
    /// Starts it; it has its full speed after `steps` steps of the operator.
    fn start(client: &Client, steps: usize) -> Self {
        let state = Arc::new(State {
            client: client.clone(),
            next: AtomicUsize::new(0),
            // What the callers are ahead of the operator.
            allowed: Semaphore::new(2 * TASKS),
            written: AtomicUsize::new(0),
        });
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            tasks.spawn(write(task, Arc::clone(&state)));
        }
        Self { tasks, state, steps, done: 0 }
    }

    /// After `steps` more steps: allows their share of the load and waits until most of it is written.
    async fn is_due(&mut self, steps: usize) -> Done {
        let count = KEYS.div_ceil(CHUNK);
        let share = |steps: usize| count * steps / self.steps;
        let (before, now) = (share(self.done), share(self.done + steps));
        self.done += steps;
        self.state.allowed.add_permits(now - before);
        loop {
            let ended = until("the load keeps up", async || {
                let written = self.state.written.load(Ordering::Relaxed);
                match self.tasks.try_join_next() {
                    None if written < now => Err(format!("{written} of {now} chunks")),
                    ended => Ok(ended),
                }
            });
            match ended.await? {
                Some(ended) => ended??,
                None => return Ok(()),
            }
        }
    }

    /// Waits for the end; any error of any caller is the result.
    async fn ended(mut self) -> Done {
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        assert_eq!(self.state.written.load(Ordering::Relaxed), KEYS.div_ceil(CHUNK));
        Ok(())
    }
}

/// One caller: every second one writes by pipelines, the others key by key. Each reads what it has written just now and
/// some time ago.
async fn write(task: usize, state: Arc<State>) -> keyslot::Result<()> {
    let mut own = Vec::new();
    loop {
        let place = state.next.fetch_add(1, Ordering::Relaxed);
        let Some(numbers) = chunks().nth(place) else { return Ok(()) };
        state.allowed.acquire().await.unwrap().forget();
        if task.is_multiple_of(2) {
            let mut pipe = state.client.pipeline();
            for number in numbers.clone() {
                pipe.set(key(number), value(number));
            }
            let _done: Vec<()> = pipe.run().await?;
        } else {
            for number in numbers.clone() {
                state.client.set(key(number), value(number)).await?;
            }
        }
        own.push(numbers);
        for numbers in [&own[own.len() - 1], &own[own.len() / 2]] {
            let got = state.client.mget(numbers.clone().map(key)).await?;
            compare(numbers.clone(), got);
        }
        state.written.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reads all keys in the three ways that there are, by as many callers as have written them.
async fn read_all(client: &Client) -> Done {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks: JoinSet<keyslot::Result<()>> = JoinSet::new();
    for task in 0..TASKS {
        let (client, next) = (client.clone(), Arc::clone(&next));
        tasks.spawn(async move {
            while let Some(numbers) = chunks().nth(next.fetch_add(1, Ordering::Relaxed)) {
                let got = match task % 3 {
                    0 => client.mget(numbers.clone().map(key)).await?,
                    1 => {
                        let mut pipe = client.pipeline();
                        for number in numbers.clone() {
                            pipe.get(key(number));
                        }
                        pipe.run().await?
                    }
                    _ => try_join_all(numbers.clone().map(|number| client.get(key(number)))).await?,
                };
                compare(numbers, got);
            }
            Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

fn compare(numbers: std::ops::Range<usize>, got: Vec<Option<String>>) {
    assert_eq!(got.len(), numbers.len());
    for (number, got) in numbers.zip(got) {
        assert_eq!(got, Some(value(number)), "key {number} in slot {}", Slot::of_key(key(number).as_bytes()));
    }
}

/// Who moves many slots at a time: commands to named nodes in pipelines, by a client of his own.
struct Operator<'a> {
    cluster: &'a LocalCluster,
    client: Client,
    /// The node ids.
    ids: BTreeMap<NodeAddr, String>,
}

impl<'a> Operator<'a> {
    async fn new(cluster: &'a LocalCluster) -> Done<Self> {
        let mut ids = BTreeMap::new();
        for node in cluster.nodes() {
            ids.insert(node.clone(), cluster.node_id(&node).await?);
        }
        let client = Client::builder().url(&cluster.url()).command_timeout(COMMAND_TIMEOUT).connect().await?;
        Ok(Self { cluster, client, ids })
    }

    /// Sends all of `commands` to `node`; an error that `is_fine` is none.
    async fn tell(
        &self,
        node: &NodeAddr,
        commands: impl IntoIterator<Item = Command>,
        is_fine: impl Fn(&str) -> bool,
    ) -> Done<Vec<Value>> {
        let mut pipe = self.client.pipeline();
        pipe.extend(commands.into_iter().map(|command| command.to(Target::Node(node.clone()))));
        let mut values = Vec::new();
        for reply in pipe.run_each().await? {
            match reply {
                Ok(value) => values.push(value),
                Err(error) if is_fine(&error.to_string()) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(values)
    }

    fn set(&self, slots: &[Slot], state: &'static str, id: &NodeAddr) -> Vec<Command> {
        let set = |slot| Command::new("CLUSTER SETSLOT").arg(slot).arg(state).arg(&self.ids[id]);
        slots.iter().copied().map(set).collect()
    }

    /// Begins to move the slots, in the order in which `redis-cli` does it with one.
    async fn open(&self, slots: &[Slot], from: &NodeAddr, to: &NodeAddr) -> Done {
        self.tell(to, self.set(slots, "IMPORTING", from), |_| false).await?;
        self.tell(from, self.set(slots, "MIGRATING", to), |_| false).await?;
        Ok(())
    }

    /// Moves the keys in two halves, so that those of a slot are on both sides for a moment.
    async fn move_keys(&self, slots: &[Slot], from: &NodeAddr, to: &NodeAddr) -> Done {
        // No key comes up at the source any more, so once is enough.
        let list = slots.iter().map(|slot| Command::new("CLUSTER GETKEYSINSLOT").arg(*slot).arg(KEYS));
        let keys = self.tell(from, list, |_| false).await?;
        let keys: Vec<Vec<Bytes>> = keys.into_iter().map(|keys| Vec::from_value(keys).unwrap()).collect();
        let migrate = |keys: &[Bytes]| {
            let command = Command::new("MIGRATE").arg(to.host()).arg(to.port()).arg("").arg(0).arg(60_000);
            (!keys.is_empty()).then(|| command.arg("KEYS").args(keys))
        };
        self.tell(from, keys.iter().filter_map(|keys| migrate(&keys[..keys.len() / 2])), |_| false).await?;
        self.tell(from, keys.iter().filter_map(|keys| migrate(&keys[keys.len() / 2..])), |_| false).await?;
        Ok(())
    }

    /// Tells the new owner, the old one, and the others.
    async fn close(&self, slots: &[Slot], from: &NodeAddr, to: &NodeAddr) -> Done {
        let others = self.cluster.nodes().into_iter().filter(|node| node != from && node != to);
        for node in [to.clone(), from.clone()].into_iter().chain(others) {
            // A node becomes a replica with its last slot.
            let is_replica = |text: &str| node == *from && text.contains("only with masters");
            self.tell(&node, self.set(slots, "NODE", to), is_replica).await?;
        }
        Ok(())
    }

    /// Has the server move the slots by itself (Valkey 9).
    async fn move_as_one(&self, slots: &[Slot], from: &NodeAddr, to: &NodeAddr) -> Done {
        let (first, last) = (slots.first().unwrap(), slots.last().unwrap());
        let begin = Command::new("CLUSTER MIGRATESLOTS").arg("SLOTSRANGE").arg(*first).arg(*last);
        ask(self.cluster, from, begin.arg("NODE").arg(&self.ids[to])).await?;
        until("the slots are moved", async || {
            let list = Command::new("CLUSTER GETSLOTMIGRATIONS");
            let reply = ask(self.cluster, from, list).await.map_err(|error| error.to_string())?;
            let Value::Array(migrations) = &reply else { return Err(format!("{reply:?}")) };
            // The newest comes first.
            let newest = BTreeMap::<String, Value>::from_value(migrations[0].clone()).unwrap();
            match newest["state"].as_str() {
                Some("success") => Ok(()),
                Some("failed" | "cancelled") => panic!("{newest:?}"),
                _under_way => Err(format!("{newest:?}")),
            }
        })
        .await
    }

    /// Has all other nodes forget `node`.
    async fn forget(&self, node: &NodeAddr) -> Done {
        for other in self.cluster.nodes().iter().filter(|other| *other != node) {
            ask(self.cluster, other, Command::new("CLUSTER FORGET").arg(&self.ids[node])).await?;
        }
        Ok(())
    }
}

/// Waits until the client's map says of every slot what the servers say, and names no other node.
async fn agrees(cluster: &LocalCluster, client: &Client, nodes: &[NodeAddr]) -> Done {
    let owners = owners(cluster, &nodes[0]).await?;
    until("the client's map agrees with the servers", async || {
        let map = client.slot_map();
        if let Some(stranger) = map.nodes().iter().find(|node| !nodes.contains(&node.addr)) {
            return Err(format!("it still names {stranger:?}"));
        }
        let wrong = Slot::all()
            .zip(&owners)
            .find(|(slot, owner)| map.primary_of(*slot).map(|node| node.addr.port()) != **owner);
        wrong.map_or(Ok(()), |(slot, owner)| Err(format!("slot {slot} is at {owner:?}: {map:?}")))
    })
    .await
}

/// The owner of each slot as `node` says it, past the client under test.
async fn owners(cluster: &LocalCluster, node: &NodeAddr) -> Done<Vec<Option<u16>>> {
    let Value::Array(entries) = ask(cluster, node, Command::new("CLUSTER SLOTS")).await? else {
        panic!("CLUSTER SLOTS at {node} is no array")
    };
    let mut owners = vec![None; usize::from(Slot::COUNT)];
    for entry in &entries {
        let Value::Array(parts) = entry else { panic!("no range: {entry:?}") };
        let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = &parts[..] else {
            panic!("no range: {entry:?}")
        };
        let port = primary[1].as_int().and_then(|port| u16::try_from(port).ok());
        owners[usize::try_from(*first)?..=usize::try_from(*last)?].fill(port);
    }
    Ok(owners)
}
