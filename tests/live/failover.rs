//! Failovers, crashes and hangs of real servers, under load: what callers are told is true, and what can go on does.
//!
//! Every scenario keeps books. A value carries its key and a number, so that a reply which belongs to somebody else or
//! is older than it may be shows at once. An increment is booked by what its caller was told: `acknowledged <= value <=
//! acknowledged + MaybeExecuted` for each counter means that nothing acknowledged was lost, that nothing ran twice, and
//! that nothing reported as not executed ran. Where servers lose acknowledged writes by themselves (replication is
//! asynchronous), the lower bound gives way, by what one turn of a server's event loop can hold, and only for that shard.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::failover_support::{COMMAND_TIMEOUT, Done, NODE_TIMEOUT, ask, on_every_server, until};
use futures::future::try_join_all;
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, Command, Commands, Error, ErrorKind, NodeAddr, Outcome, Slot, Value};
use tokio::task::JoinSet;

on_every_server! {
    a_manual_failover_under_load_is_felt_by_nobody_who_may_repeat
    a_killed_primary_that_returns_has_every_acknowledged_increment
    a_killed_primary_is_replaced_and_the_other_shards_go_on
    a_stopped_primary_is_replaced_and_not_believed_when_it_goes_on
    a_cluster_that_was_lost_as_a_whole_is_used_again_when_it_is_back
    a_killed_replica_is_nobodys_concern
}

/// Callers at a time.
const TASKS: usize = 64;

/// Increments of the scenarios that count them out.
const INCREMENTS: usize = 10_000;

/// Increments of one pipeline there.
const BATCH: usize = 10;

/// The longest pause that a shard may make to which nothing happened; it is a few milliseconds on an idle machine.
const SHORT: Duration = Duration::from_secs(2);

mod scenarios {
    use super::*;

    pub(super) async fn a_manual_failover_under_load_is_felt_by_nobody_who_may_repeat(
        server: Server,
    ) -> Done {
        let cluster = cluster(server, 1).await?;
        let nodes = cluster.nodes();
        let load = Load::start(&cluster, TASKS).await?;
        load.proceeds().await?;
        // Voters refuse a second failover of a shard within twice the node timeout; before Valkey 8.1 its writes then
        // wait for 5 s.
        let again = Instant::now() + 3 * NODE_TIMEOUT;
        let mut promoted = Vec::new();
        for primary in &nodes[..3] {
            promoted.push(fail_over(&cluster, primary).await?);
            load.proceeds().await?;
            cluster.wait_until_ok().await?;
        }
        assert_eq!(promoted, nodes[3..], "each replica took over from its primary");
        // And back, so that an address is a primary again which was given up as one.
        tokio::time::sleep_until(again.into()).await;
        until_replicating(&cluster, &promoted[0], &nodes[0]).await?;
        fail_over(&cluster, &promoted[0]).await?;
        load.proceeds().await?;
        cluster.wait_until_ok().await?;
        let report = load.finish(&cluster).await?;
        println!("{}: four manual failovers: {report}", cluster.server().version());
        let longest = report.pauses.iter().max().unwrap();
        assert!(*longest < Duration::from_secs(5), "a shard made a pause of {longest:?}");
        Ok(())
    }

    pub(super) async fn a_killed_primary_that_returns_has_every_acknowledged_increment(
        server: Server,
    ) -> Done {
        // What is acknowledged is in the log by then, so the bounds are exact although the kill is a hard one.
        let cluster = started(
            LocalCluster::builder()
                .server(server)
                .setting("appendonly", "yes")
                .setting("appendfsync", "always"),
        )
        .await?;
        let victim = &cluster.nodes()[0];
        let load = Load::start(&cluster, 9).await?;
        let counting = load.count_out();
        until("a third of the increments", async || load.acknowledged(INCREMENTS / 3)).await?;
        let before = load.shared.client.stats();
        cluster.kill(victim)?;
        until("the client notices", async || {
            let seen = load.shared.client.stats().disconnects;
            if seen > before.disconnects { Ok(()) } else { Err(format!("{seen} lost connections")) }
        })
        .await?;
        let back = Instant::now();
        cluster.restart(victim).await?;
        load.proceeds().await?;
        println!("{}: used again {:?} after the restart", cluster.server().version(), back.elapsed());
        counting.await?;
        let report = load.finish(&cluster).await?;
        println!("{}: killed and back: {report}", cluster.server().version());
        assert_eq!(report.acknowledged + report.maybe_executed, u64::try_from(INCREMENTS)?);
        assert!(report.pauses[1].max(report.pauses[2]) < SHORT, "{report}");
        Ok(())
    }

    pub(super) async fn a_killed_primary_is_replaced_and_the_other_shards_go_on(server: Server) -> Done {
        let cluster = started(
            LocalCluster::builder()
                .server(server)
                .replicas(1)
                .setting("appendonly", "yes")
                .setting("appendfsync", "no"),
        )
        .await?;
        let nodes = cluster.nodes();
        let load = Load::start(&cluster, 9).await?;
        let counting = load.count_out();
        until("a third of the increments", async || load.acknowledged(INCREMENTS / 3)).await?;
        cluster.kill(&nodes[0])?;
        load.may_lose_what_it_has(0);
        let killed = Instant::now();
        load.until_served_by(&nodes[3], 0).await?;
        println!(
            "{}: the client's map has the new primary after {:?}",
            cluster.server().version(),
            killed.elapsed()
        );
        load.proceeds().await?;
        counting.await?;
        let report = load.finish(&cluster).await?;
        println!("{}: killed and replaced: {report}", cluster.server().version());
        assert_eq!(report.acknowledged + report.maybe_executed, u64::try_from(INCREMENTS)?);
        assert!(report.pauses[1].max(report.pauses[2]) < SHORT, "{report}");
        Ok(())
    }

    pub(super) async fn a_stopped_primary_is_replaced_and_not_believed_when_it_goes_on(
        server: Server,
    ) -> Done {
        let cluster = cluster(server, 1).await?;
        let nodes = cluster.nodes();
        let mut load = Load::start(&cluster, TASKS - 16).await?;
        load.proceeds().await?;
        cluster.stop(&nodes[0])?;
        load.may_lose_what_it_has(0);
        let stopped = Instant::now();
        // From here on nothing may be lost: these counters begin when the old primary does nothing any more. Their
        // first increments lie in its socket.
        let late = load.count_in_shard(0, 16);
        load.until_served_by(&nodes[3], 0).await?;
        println!(
            "{}: the client's map has the new primary after {:?}",
            cluster.server().version(),
            stopped.elapsed()
        );
        // At once: what the old primary now executes and acknowledges is lost.
        cluster.cont(&nodes[0])?;
        load.proceeds().await?;
        until("the first increments end", async || {
            let ended = late.iter().filter(|counter| counter.booked() > 0).count();
            if ended == late.len() { Ok(()) } else { Err(format!("{ended} of {}", late.len())) }
        })
        .await?;
        cluster.wait_until_ok().await?;
        load.proceeds().await?;
        let report = load.finish(&cluster).await?;
        println!("{}: stopped and continued: {report}", cluster.server().version());
        for counter in &late {
            assert!(
                counter.maybe_executed() >= 1,
                "the first increment of {} lay in the old primary's socket",
                counter.key
            );
        }
        assert!(report.pauses[1].max(report.pauses[2]) < SHORT, "{report}");
        Ok(())
    }

    pub(super) async fn a_cluster_that_was_lost_as_a_whole_is_used_again_when_it_is_back(
        server: Server,
    ) -> Done {
        let cluster = started(
            LocalCluster::builder()
                .server(server)
                .setting("appendonly", "yes")
                .setting("appendfsync", "always"),
        )
        .await?;
        let nodes = cluster.nodes();
        let load = Load::start(&cluster, TASKS).await?;
        load.proceeds().await?;
        for node in &nodes {
            cluster.kill(node)?;
        }
        // Who does not wait is told the truth: it was never sent.
        let counter = Counter::new("impatient".to_owned(), None);
        let error = until("an increment is not sent", async || {
            let reply = load.shared.client.incr(&counter.key).timeout(Duration::from_millis(200)).await;
            match counter.book(reply) {
                Err(error) => Ok(error),
                Ok(()) => Err("it was".to_owned()),
            }
        })
        .await?;
        println!("{}: nobody is there: {error}", cluster.server().version());
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
        assert!(
            matches!(error.kind(), ErrorKind::Connect | ErrorKind::Unavailable | ErrorKind::Timeout),
            "{error}"
        );

        let back = Instant::now();
        try_join_all(nodes.iter().map(|node| cluster.restart(node))).await?;
        let answering = back.elapsed();
        load.proceeds().await?;
        println!(
            "{}: answers {answering:?} after the restart, used again after {:?}",
            cluster.server().version(),
            back.elapsed()
        );
        cluster.wait_until_ok().await?;
        counter.check(&cluster, 0).await?;
        let report = load.finish(&cluster).await?;
        println!("{}: lost and back: {report}", cluster.server().version());
        Ok(())
    }

    pub(super) async fn a_killed_replica_is_nobodys_concern(server: Server) -> Done {
        let cluster = cluster(server, 1).await?;
        let nodes = cluster.nodes();
        let load = Load::start(&cluster, TASKS).await?;
        load.proceeds().await?;
        cluster.kill(&nodes[3])?;
        load.proceeds().await?;
        // Until the cluster has noticed; its view without the replica is taken over meanwhile.
        until("the primary sees it fail", async || {
            let text = ask(&cluster, &nodes[0], Command::new("CLUSTER NODES"))
                .await
                .map_err(|error| error.to_string())?;
            let text = text.as_str().unwrap_or_default().to_owned();
            if text
                .lines()
                .any(|line| line.contains(&format!(":{}@", nodes[3].port())) && line.contains(",fail "))
            {
                Ok(())
            } else {
                Err(text)
            }
        })
        .await?;
        load.proceeds().await?;
        cluster.restart(&nodes[3]).await?;
        cluster.wait_until_ok().await?;
        load.proceeds().await?;
        let report = load.finish(&cluster).await?;
        println!("{}: a replica killed: {report}", cluster.server().version());
        assert_eq!(report.maybe_executed, 0, "nobody was told of it: {report}");
        assert!(*report.pauses.iter().max().unwrap() < SHORT, "{report}");
        Ok(())
    }
}

/// Three primaries with so many replicas each.
async fn cluster(server: Server, replicas: usize) -> Done<LocalCluster> {
    started(LocalCluster::builder().server(server).replicas(replicas)).await
}

/// A cluster in which a shard that is down takes no other with it.
async fn started(builder: keyslot::testkit::LocalClusterBuilder) -> Done<LocalCluster> {
    let builder = builder.node_timeout(NODE_TIMEOUT).setting("cluster-require-full-coverage", "no");
    Ok(builder.start().await?)
}

/// Has the replica of `primary` take over; returns it when it has.
async fn fail_over(cluster: &LocalCluster, primary: &NodeAddr) -> Done<NodeAddr> {
    let [replica] = &cluster.replicas_of(primary).await?[..] else { panic!("{primary} has not one replica") };
    ask(cluster, replica, Command::new("CLUSTER FAILOVER")).await?;
    until("the replica takes over", async || {
        let role = ask(cluster, replica, Command::new("ROLE")).await.map_err(|error| error.to_string())?;
        match &role {
            Value::Array(role) if role[0].as_str() == Some("master") => Ok(()),
            other => Err(format!("{other:?}\n{}", cluster.log_tail(replica))),
        }
    })
    .await?;
    Ok(replica.clone())
}

/// Waits until `replica` has applied what `primary` has written up to now. A primary of 6.2 that was failed over leaves
/// writes waiting for 10 s, also those that it should replicate by then; it cannot take over before.
async fn until_replicating(cluster: &LocalCluster, primary: &NodeAddr, replica: &NodeAddr) -> Done {
    let offset = async |node| -> Done<u64> {
        let info = ask(cluster, node, Command::new("INFO").arg("replication")).await?;
        let field = |name| info.as_str()?.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        let text = field("slave_repl_offset:").or_else(|| field("master_repl_offset:")).unwrap();
        Ok(text.parse()?)
    };
    let written = offset(primary).await?;
    until("the replica follows", async || {
        let applied = offset(replica).await.map_err(|error| error.to_string())?;
        if applied >= written { Ok(()) } else { Err(format!("it is at {applied} of {written}")) }
    })
    .await
}

/// A key that only counts, with its books.
#[derive(Debug)]
struct Counter {
    key: String,
    /// `None` where nothing may be lost, whatever happens to the shard.
    shard: Option<usize>,
    /// The replies of increments that were acknowledged.
    replies: Mutex<Vec<u64>>,
    maybe: AtomicU64,
    /// Increments that ended as not executed.
    refused: AtomicU64,
}

impl Counter {
    fn new(key: String, shard: Option<usize>) -> Self {
        Self { key, shard, replies: Mutex::default(), maybe: AtomicU64::new(0), refused: AtomicU64::new(0) }
    }

    /// Notes what the caller was told; gives the error back if it says that the increment was not executed.
    fn book(&self, reply: Result<i64, Error>) -> Result<(), Error> {
        match reply {
            Ok(value) => self.replies.lock().unwrap().push(u64::try_from(value).unwrap()),
            Err(error) => match error.outcome() {
                Outcome::MaybeExecuted => {
                    self.maybe.fetch_add(1, Ordering::Relaxed);
                }
                Outcome::NotSent | Outcome::Rejected => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    return Err(error);
                }
            },
        }
        Ok(())
    }

    fn acknowledged(&self) -> u64 {
        u64::try_from(self.replies.lock().unwrap().len()).unwrap()
    }

    fn maybe_executed(&self) -> u64 {
        self.maybe.load(Ordering::Relaxed)
    }

    fn booked(&self) -> u64 {
        self.acknowledged() + self.maybe_executed() + self.refused.load(Ordering::Relaxed)
    }

    /// Compares the books with the value at the slot's primary; returns how many acknowledged increments are lost at
    /// least, which must not be more than `losable`.
    async fn check(&self, cluster: &LocalCluster, losable: u64) -> Done<u64> {
        let primary = cluster.primary_of(Slot::of_key(self.key.as_bytes())).await?;
        let value = match ask(cluster, &primary, Command::new("GET").key(&self.key)).await? {
            Value::Nil => 0,
            value => value.as_str().unwrap().parse::<u64>()?,
        };
        let replies = self.replies.lock().unwrap().clone();
        let (acknowledged, maybe) = (self.acknowledged(), self.maybe_executed());
        let told = format!(
            "{} at {primary} is {value}: {acknowledged} increments were acknowledged, {maybe} may have been executed, {} \
             were not",
            self.key,
            self.refused.load(Ordering::Relaxed),
        );
        assert!(value <= acknowledged + maybe, "more increments ran than anybody knows of: {told}");
        let lost = acknowledged.saturating_sub(value);
        assert!(lost <= losable, "acknowledged increments are lost: {told}");
        // No two increments see the same value, unless it was lost in between.
        let distinct = replies.iter().collect::<HashSet<_>>().len();
        let repeated = acknowledged - u64::try_from(distinct)?;
        assert!(repeated <= losable, "{repeated} values were given to two callers: {told}");
        let highest = replies.iter().max().copied().unwrap_or(0);
        assert!(highest <= value + losable, "a value of {highest} was given to a caller: {told}");
        Ok(lost)
    }
}

/// A key that one task alone writes.
#[derive(Debug)]
struct Own {
    key: String,
    shard: usize,
    newest: u64,
    /// When the newest value was acknowledged.
    at: Instant,
}

impl Own {
    fn new((shard, key): (usize, String)) -> Self {
        Self { key, shard, newest: 0, at: Instant::now() }
    }

    fn value(&self, number: u64) -> String {
        format!("{}={number}", self.key)
    }

    fn wrote(&mut self, number: u64) {
        (self.newest, self.at) = (number, Instant::now());
    }

    /// The number in a value that was read; `None` if it belongs to another key.
    fn number(&self, got: Option<&str>) -> Option<u64> {
        match got {
            None => Some(0),
            Some(text) => text.strip_prefix(&self.key)?.strip_prefix('=')?.parse().ok(),
        }
    }

    /// After a read that follows all writes.
    fn read(&mut self, got: Option<&str>, shared: &Shared) {
        let number = self.number(got);
        if number == Some(self.newest) {
            return;
        }
        // Acknowledged by the primary that was lost since.
        let losable = *shared.losable.lock().unwrap();
        let is_lost = losable.is_some_and(|(shard, until)| shard == self.shard && self.at < until);
        match number {
            Some(older) if older < self.newest && is_lost => {
                shared.stale.fetch_add(1, Ordering::Relaxed);
                self.newest = older;
            }
            _wrong => shared.fault(format!("{} was set to {} and read as {got:?}", self.key, self.newest)),
        }
    }
}

/// What the tasks of a load have in common.
struct Shared {
    client: Client,
    /// The first address of each shard, by which keys are chosen.
    shards: Vec<NodeAddr>,
    counters: Vec<Counter>,
    is_over: AtomicBool,
    /// A shard that has lost its primary, and until when that one may have acknowledged something.
    losable: Mutex<Option<(usize, Instant)>>,
    /// Reads that showed such a loss.
    stale: AtomicU64,
    /// What must not be.
    faults: Mutex<Vec<String>>,
    /// Texts of errors with [`Outcome::MaybeExecuted`], one for each kind.
    told: Mutex<BTreeMap<String, String>>,
    /// For each shard the longest time between two successes of one caller.
    pauses: Vec<Mutex<Duration>>,
    /// How far each task is.
    rounds: Mutex<Vec<Arc<AtomicU64>>>,
    /// Numbers the tasks that read and write.
    next_key: AtomicU64,
}

impl Shared {
    fn fault(&self, text: String) {
        self.faults.lock().unwrap().push(text);
    }

    fn check<T>(&self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.fault(error.to_string())).ok()
    }

    fn book(&self, counter: &Counter, reply: Result<i64, Error>) {
        if let Err(error) = &reply
            && error.outcome() == Outcome::MaybeExecuted
        {
            let kind = format!("{:?}", error.kind());
            self.told.lock().unwrap().entry(kind).or_insert_with(|| error.to_string());
        }
        if let Err(error) = counter.book(reply) {
            self.fault(error.to_string());
        }
    }

    fn paused(&self, shard: usize, since: Instant) {
        let mut longest = self.pauses[shard].lock().unwrap();
        *longest = since.elapsed().max(*longest);
    }

    /// A key of `shard` that nobody else has.
    fn key_in(&self, shard: usize) -> String {
        let map = self.client.slot_map();
        loop {
            let key = format!("key:{}", self.next_key.fetch_add(1, Ordering::Relaxed));
            if map.primary_of(Slot::of_key(key.as_bytes())).unwrap().addr == self.shards[shard] {
                return key;
            }
        }
    }

    fn own_in(&self, shard: usize) -> Own {
        Own::new((shard, self.key_in(shard)))
    }
}

/// Tasks that use the client until they are told to end.
struct Load {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    /// Counters of which nothing may be lost, in a shard that has lost something.
    late: Vec<Arc<Counter>>,
}

/// What came of a load.
struct Report {
    acknowledged: u64,
    maybe_executed: u64,
    lost: u64,
    stale: u64,
    rounds: u64,
    pauses: Vec<Duration>,
    told: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, maybe_executed, lost, stale, rounds, pauses, told } = self;
        write!(
            f,
            "{rounds} rounds; increments: {acknowledged} acknowledged, {maybe_executed} perhaps executed, at least {lost} \
             lost by the servers; {stale} writes read as lost; longest pauses of the shards {pauses:.1?}; {told:?}"
        )
    }
}

impl Load {
    /// Starts `tasks` callers: of each four, one that sets and gets keys of its own, one that increments, one with
    /// pipelines, one with commands over several slots.
    async fn start(cluster: &LocalCluster, tasks: usize) -> Done<Self> {
        let client = Client::builder().url(&cluster.url()).command_timeout(COMMAND_TIMEOUT).connect().await?;
        let shards: Vec<NodeAddr> = cluster.nodes().into_iter().take(3).collect();
        let mut shared = Shared {
            pauses: shards.iter().map(|_| Mutex::default()).collect(),
            shards,
            client,
            counters: Vec::new(),
            is_over: AtomicBool::new(false),
            losable: Mutex::default(),
            stale: AtomicU64::new(0),
            faults: Mutex::default(),
            told: Mutex::default(),
            rounds: Mutex::default(),
            next_key: AtomicU64::new(0),
        };
        shared.counters =
            (0..12).map(|place| Counter::new(shared.key_in(place % 3), Some(place % 3))).collect();
        let mut load = Self { shared: Arc::new(shared), tasks: JoinSet::new(), late: Vec::new() };
        for task in 0..tasks {
            // A load of a few callers only looks how the shards are.
            match if tasks < TASKS / 2 { 0 } else { (task / 3) % 4 } {
                0 => load.set_and_get(task % 3),
                1 => load.increment(task),
                2 => load.run_pipelines(task),
                _ => load.set_and_get_many(),
            }
        }
        Ok(load)
    }

    /// Calls `round` until the load is over. The pause in between keeps two cores from being the bottleneck.
    fn spawn(&mut self, mut round: impl AsyncRound) {
        let shared = Arc::clone(&self.shared);
        let done = Arc::new(AtomicU64::new(0));
        shared.rounds.lock().unwrap().push(Arc::clone(&done));
        self.tasks.spawn(async move {
            while !shared.is_over.load(Ordering::Relaxed) {
                round.run(&shared).await;
                done.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
    }

    fn set_and_get(&mut self, shard: usize) {
        self.spawn(SetAndGet { own: self.shared.own_in(shard), last: None });
    }

    fn increment(&mut self, task: usize) {
        self.spawn(Increment { next: task });
    }

    fn run_pipelines(&mut self, task: usize) {
        self.spawn(Pipelines { owns: (0..3).map(|shard| self.shared.own_in(shard)).collect(), next: task });
    }

    fn set_and_get_many(&mut self) {
        self.spawn(SetAndGetMany { owns: (0..6).map(|place| self.shared.own_in(place % 3)).collect() });
    }

    /// Starts `tasks` callers that each increment a counter of their own, in this shard.
    fn count_in_shard(&mut self, shard: usize, tasks: usize) -> Vec<Arc<Counter>> {
        // By slots, as the map may name another primary by now.
        let map = self.shared.client.slot_map();
        assert_eq!(map.primary_of(Slot::new(0).unwrap()).unwrap().addr, self.shared.shards[0]);
        for _ in 0..tasks {
            let counter = Arc::new(Counter::new(self.shared.key_in(shard), None));
            self.late.push(Arc::clone(&counter));
            self.spawn(IncrementOne { counter });
        }
        self.late.clone()
    }

    /// [`INCREMENTS`] increments by [`TASKS`] callers as fast as they can, half of them in pipelines.
    fn count_out(&self) -> impl Future<Output = Done> + use<> {
        let left = Arc::new(Mutex::new(INCREMENTS));
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let (shared, left) = (Arc::clone(&self.shared), Arc::clone(&left));
            tasks.spawn(async move {
                for round in task.. {
                    let counter = |step: usize| &shared.counters[(round + step) % shared.counters.len()];
                    let take = if task.is_multiple_of(2) { 1 } else { BATCH };
                    let taken = {
                        let mut left = left.lock().unwrap();
                        let taken = take.min(*left);
                        *left -= taken;
                        taken
                    };
                    if taken == 0 {
                        return;
                    }
                    if task.is_multiple_of(2) {
                        shared.book(counter(0), shared.client.incr(&counter(0).key).await);
                        continue;
                    }
                    let mut pipe = shared.client.pipeline();
                    for step in 0..taken {
                        pipe.incr(&counter(step).key);
                    }
                    let replies = pipe.run_each().await.unwrap();
                    assert_eq!(replies.len(), taken);
                    for (step, reply) in replies.into_iter().enumerate() {
                        shared.book(counter(step), reply.map(|value| value.as_int().unwrap()));
                    }
                }
            });
        }
        async move {
            while let Some(ended) = tasks.join_next().await {
                ended?;
            }
            Ok(())
        }
    }

    fn acknowledged(&self, wanted: usize) -> Result<(), String> {
        let sum: u64 = self.shared.counters.iter().map(Counter::acknowledged).sum();
        if sum >= u64::try_from(wanted).unwrap() { Ok(()) } else { Err(format!("{sum} of {wanted}")) }
    }

    /// Waits until every task has succeeded several times from now on.
    async fn proceeds(&self) -> Done {
        let rounds: Vec<Arc<AtomicU64>> = self.shared.rounds.lock().unwrap().clone();
        let goals: Vec<u64> = rounds.iter().map(|done| done.load(Ordering::Relaxed) + 20).collect();
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

    /// The primary of this shard is dead or does nothing from now on. What it acknowledged may be lost with it; no other
    /// node is promoted before the node timeout has passed, so later acknowledgements are none of its own.
    fn may_lose_what_it_has(&self, shard: usize) {
        *self.shared.losable.lock().unwrap() = Some((shard, Instant::now() + NODE_TIMEOUT));
    }

    /// Waits until the client's map has `node` as the primary of the shard.
    async fn until_served_by(&self, node: &NodeAddr, shard: usize) -> Done {
        let key = &self.shared.counters[shard].key;
        until("the client knows the new primary", async || {
            let map = self.shared.client.slot_map();
            let seen = map.primary_of(Slot::of_key(key.as_bytes())).map(|node| node.addr.clone());
            if seen.as_ref() == Some(node) { Ok(()) } else { Err(format!("it knows {seen:?}")) }
        })
        .await
    }

    /// Ends the load and compares its books with what the servers have.
    async fn finish(mut self, cluster: &LocalCluster) -> Done<Report> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended?;
        }
        let shared = &self.shared;
        let faults = shared.faults.lock().unwrap().clone();
        assert!(
            faults.is_empty(),
            "{} faults, the first: {:#?}",
            faults.len(),
            &faults[..faults.len().min(8)]
        );
        let lossy = shared.losable.lock().unwrap().map(|(shard, _)| shard);
        let mut lost = 0;
        let counters = || shared.counters.iter().chain(self.late.iter().map(Arc::as_ref));
        for counter in counters() {
            // At most what was under way at one time: a server replies and replicates once for each turn of its loop.
            let losable = if lossy.is_some() && counter.shard == lossy { TASKS * BATCH } else { 0 };
            lost += counter.check(cluster, u64::try_from(losable)?).await?;
        }
        assert!(lost <= u64::try_from(TASKS * BATCH)?, "{lost} acknowledged increments are lost");
        Ok(Report {
            acknowledged: counters().map(Counter::acknowledged).sum(),
            maybe_executed: counters().map(Counter::maybe_executed).sum(),
            lost,
            stale: shared.stale.load(Ordering::Relaxed),
            rounds: shared.rounds.lock().unwrap().iter().map(|done| done.load(Ordering::Relaxed)).sum(),
            pauses: shared.pauses.iter().map(|pause| *pause.lock().unwrap()).collect(),
            told: shared.told.lock().unwrap().values().cloned().collect(),
        })
    }
}

/// What a task does over and over.
trait AsyncRound: Send + 'static {
    fn run(&mut self, shared: &Shared) -> impl Future<Output = ()> + Send;
}

struct SetAndGet {
    own: Own,
    last: Option<Instant>,
}

impl AsyncRound for SetAndGet {
    async fn run(&mut self, shared: &Shared) {
        let Self { own, last } = self;
        let number = own.newest + 1;
        if shared.check(shared.client.set(&own.key, own.value(number)).await).is_none() {
            return;
        }
        own.wrote(number);
        shared.paused(own.shard, last.replace(Instant::now()).unwrap_or_else(Instant::now));
        let Some(got) = shared.check(shared.client.get::<Option<String>>(&own.key).await) else { return };
        own.read(got.as_deref(), shared);
        shared.paused(own.shard, last.replace(Instant::now()).unwrap_or_else(Instant::now));
    }
}

struct Increment {
    next: usize,
}

impl AsyncRound for Increment {
    async fn run(&mut self, shared: &Shared) {
        let counter = &shared.counters[self.next % shared.counters.len()];
        self.next += 1;
        shared.book(counter, shared.client.incr(&counter.key).await);
    }
}

struct IncrementOne {
    counter: Arc<Counter>,
}

impl AsyncRound for IncrementOne {
    async fn run(&mut self, shared: &Shared) {
        shared.book(&self.counter, shared.client.incr(&self.counter.key).await);
    }
}

struct Pipelines {
    owns: Vec<Own>,
    next: usize,
}

impl AsyncRound for Pipelines {
    async fn run(&mut self, shared: &Shared) {
        let mut pipe = shared.client.pipeline();
        let counter = |step: usize| &shared.counters[(self.next + step) % shared.counters.len()];
        for (place, own) in self.owns.iter().enumerate() {
            pipe.set(&own.key, own.value(own.newest + 1)).get(&own.key).incr(&counter(place).key);
        }
        let replies = pipe.run_each().await.unwrap();
        assert_eq!(replies.len(), pipe.len());
        let mut replies = replies.into_iter();
        for (place, own) in self.owns.iter_mut().enumerate() {
            let [set, get, incr] = [(); 3].map(|()| replies.next().unwrap());
            shared.book(counter(place), incr.map(|value| value.as_int().unwrap()));
            let (Some(set), Some(get)) = (shared.check(set), shared.check(get)) else { continue };
            if set.as_str() != Some("OK") {
                shared.fault(format!("SET {} was answered with {set:?}", own.key));
            }
            own.wrote(own.newest + 1);
            // A command that was redirected may be overtaken by the next, so the value may be the one before.
            if own.number(get.as_str()).is_none_or(|number| number > own.newest) {
                shared.fault(format!("{} was set to {} and read as {get:?}", own.key, own.newest));
            }
        }
        self.next += 1;
    }
}

struct SetAndGetMany {
    owns: Vec<Own>,
}

impl AsyncRound for SetAndGetMany {
    async fn run(&mut self, shared: &Shared) {
        let pairs = self.owns.iter().map(|own| (&own.key, own.value(own.newest + 1)));
        if shared.check(shared.client.mset(pairs).await).is_none() {
            return;
        }
        self.owns.iter_mut().for_each(|own| own.wrote(own.newest + 1));
        let keys = self.owns.iter().map(|own| &own.key);
        let Some(got) = shared.check(shared.client.mget::<Vec<Option<String>>>(keys).await) else { return };
        if got.len() != self.owns.len() {
            shared.fault(format!("MGET of {} keys gave {} values", self.owns.len(), got.len()));
        }
        for (own, got) in self.owns.iter_mut().zip(got) {
            own.read(got.as_deref(), shared);
        }
    }
}
