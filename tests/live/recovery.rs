//! What a failover costs: how soon a client goes on after the promoted primary serves, and what the other shards feel of it.
//!
//! Each way in which a primary can be lost, on each server. The rows that are printed are the figures of
//! `docs/reliability.md`, from a machine that does nothing else:
//!
//! ```text
//! cargo nextest run --all-features --test live recovery:: --no-capture -j1
//! ```
//!
//! With `KEYSLOT_BUSY=yes` the callers never pause, which is how the p99 of the other shards is measured.
//!
//! `KEYSLOT_RECOVERY_MS=300` holds each row against the contract. Without it the bound has room for a busy machine, and
//! still tells a client that recovers from one that waits for a time-out.

use std::collections::BTreeSet;
use std::env;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::failover_support::{COMMAND_TIMEOUT, Done, NODE_TIMEOUT, ask, breathe, on_every_server, until};
use futures::future::BoxFuture;
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, Command, Commands, Connector, NodeAddr, Outcome, Slot, Transport, Value};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

on_every_server! {
    a_lost_primary_costs_its_own_shard_an_election_and_the_others_nothing
    a_primary_that_hands_over_costs_next_to_nothing
}

/// By default: far above what a recovery takes on a busy machine, and below any time-out that a client could wait for.
const RECOVERY: Duration = Duration::from_millis(1500);

/// The longest that a command to a shard may take to which nothing happened: half of the connect time-out, and no more than
/// the time after which the cluster even begins to miss the node.
const UNTOUCHED: Duration = Duration::from_secs(1);

/// For how long latencies are taken before anything happens.
const BEFORE: Duration = Duration::from_secs(2);

mod scenarios {
    use super::*;

    pub(super) async fn a_lost_primary_costs_its_own_shard_an_election_and_the_others_nothing(
        server: Server,
    ) -> Done {
        for loss in [Loss::Killed, Loss::Stopped, Loss::CutOff] {
            let stage = Stage::start(&server).await?;
            stage.lose(loss).await?.judge(&server, &format!("{loss:?}"));
        }
        Ok(())
    }

    pub(super) async fn a_primary_that_hands_over_costs_next_to_nothing(server: Server) -> Done {
        for manner in ["", "FORCE", "TAKEOVER"] {
            let stage = Stage::start(&server).await?;
            let row = stage.hand_over(manner).await?;
            // Redis 6.2 forgets whom it has paused for it: they hang for ten seconds, on a connection that is silent. The client
            // soon doubts that, finds the successor, and gives the connection up; an increment on it may have run.
            let forgets = manner.is_empty() && server.version().to_string().contains(" 6.2");
            let doubts = if forgets { 4 } else { 0 };
            row.judge(&server, &format!("FAILOVER {manner}"));
            assert!(row.maybe_executed <= doubts, "{} need to doubt", row.maybe_executed);
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Loss {
    Killed,
    Stopped,
    /// Stopped, and the client's packets are lost as well: connects hang.
    CutOff,
}

/// Three shards with a replica each, a client, and callers on each shard; the first one is to suffer.
struct Stage {
    cluster: LocalCluster,
    holes: BlackHoles,
    books: Arc<Mutex<Vec<Call>>>,
    callers: JoinSet<()>,
    begun: Instant,
}

/// One command that has ended.
#[derive(Clone, Debug)]
struct Call {
    /// To the shard that suffers.
    suffers: bool,
    begin: Instant,
    end: Instant,
    /// What is wrong with its outcome, or that nobody knows whether it was executed.
    told: Option<Outcome>,
    may_fail: bool,
}

impl Stage {
    async fn start(server: &Server) -> Done<Self> {
        let builder = LocalCluster::builder().server(server.clone()).replicas(1).node_timeout(NODE_TIMEOUT);
        let cluster = builder.setting("cluster-require-full-coverage", "no").start().await?;
        let holes = BlackHoles::default();
        let builder = Client::builder().url(&cluster.url()).connector(holes.clone());
        let client = builder.command_timeout(COMMAND_TIMEOUT).connect().await?;
        let shards: Vec<NodeAddr> = cluster.nodes().into_iter().take(3).collect();
        let (mut callers, books) = (JoinSet::new(), Arc::default());
        for (place, shard) in shards.iter().enumerate() {
            for number in 0..4 {
                let keys = keys_of(&client, shard, number);
                callers.spawn(call(client.clone(), keys, place == 0, Arc::clone(&books)));
            }
        }
        // Replicas stand for election when they have something, and the client has links to all.
        tokio::time::sleep(BEFORE).await;
        Ok(Self { cluster, holes, books, callers, begun: Instant::now() })
    }

    async fn lose(self, loss: Loss) -> Done<Row> {
        let before = self.measure_before().await;
        let nodes = self.cluster.nodes();
        let at = Instant::now();
        match loss {
            Loss::Killed => self.cluster.kill(&nodes[0])?,
            Loss::Stopped => self.cluster.stop(&nodes[0])?,
            Loss::CutOff => {
                self.holes.swallow(&nodes[0]);
                self.cluster.stop(&nodes[0])?;
            }
        }
        self.finish(&nodes[3], at, before).await
    }

    async fn hand_over(self, manner: &str) -> Done<Row> {
        let before = self.measure_before().await;
        let replica = self.cluster.nodes()[3].clone();
        let at = Instant::now();
        let command = Command::new("CLUSTER FAILOVER");
        let command = if manner.is_empty() { command } else { command.arg(manner) };
        ask(&self.cluster, &replica, command).await?;
        self.finish(&replica, at, before).await
    }

    async fn measure_before(&self) -> Instant {
        tokio::time::sleep(BEFORE).await;
        self.begun
    }

    /// Waits until `promoted` serves, by its own word on a connection of its own, and some time more.
    async fn finish(mut self, promoted: &NodeAddr, at: Instant, before: Instant) -> Done<Row> {
        let cluster = &self.cluster;
        let serves = until("the replica is a primary that serves", async || {
            let says = async |command| {
                let reply = ask(cluster, promoted, command).await.map_err(|error| error.to_string())?;
                Ok::<Value, String>(reply)
            };
            let info = says(Command::new("CLUSTER INFO")).await?;
            let is_ok = info.as_str().is_some_and(|info| info.contains("cluster_state:ok"));
            let role = says(Command::new("ROLE")).await?;
            let is_primary = matches!(&role, Value::Array(role) if role[0].as_str() == Some("master"));
            if is_ok && is_primary { Ok(Instant::now()) } else { Err(format!("{role:?}, {info:?}")) }
        })
        .await?;
        let books = Arc::clone(&self.books);
        let recovered = until("a command to the shard succeeds", async || {
            let books = books.lock().unwrap();
            let first = books.iter().filter(|call| call.suffers && call.told.is_none() && call.end >= serves);
            first.map(|call| call.end).min().ok_or_else(|| "none did".to_owned())
        })
        .await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        self.callers.abort_all();
        let books = self.books.lock().unwrap().clone();
        let untouched = |from: Instant, to: Instant| {
            let calls = books.iter().filter(|call| !call.suffers && call.end >= from && call.begin < to);
            let mut times: Vec<Duration> = calls.map(|call| call.end - call.begin).collect();
            times.sort_unstable();
            times
        };
        Ok(Row {
            outage: serves - at,
            late: recovered - serves,
            before: untouched(before, at),
            during: untouched(at, Instant::now()),
            wrong: books.iter().filter(|call| call.told.is_some() && !call.may_fail).cloned().collect(),
            maybe_executed: books.iter().filter(|call| call.told == Some(Outcome::MaybeExecuted)).count(),
            not_executed: books
                .iter()
                .filter(|call| matches!(call.told, Some(Outcome::NotSent | Outcome::Rejected)))
                .count(),
        })
    }
}

/// What came of one loss.
struct Row {
    /// From the loss until the promoted node serves: the servers' part.
    outage: Duration,
    /// From then until the client's first success: the client's.
    late: Duration,
    /// Latencies of the other shards, in order.
    before: Vec<Duration>,
    during: Vec<Duration>,
    /// Reads and writes that may be repeated, and failed all the same.
    wrong: Vec<Call>,
    maybe_executed: usize,
    not_executed: usize,
}

impl Row {
    fn judge(&self, server: &Server, what: &str) {
        let (before, during) = (p99(&self.before), p99(&self.during));
        let longest = self.during.last().copied().unwrap_or_default();
        println!(
            "| {} | {what} | {:.0?} | {:.0?} | {before:.2?} | {during:.2?} | {:.2} | {longest:.1?} | {} |",
            server.version(),
            self.outage,
            self.late,
            during.as_secs_f64() / before.as_secs_f64(),
            self.maybe_executed,
        );
        assert!(self.wrong.is_empty(), "{what}: {} failed, the first: {:?}", self.wrong.len(), self.wrong[0]);
        assert_eq!(self.not_executed, 0, "{what}: all had time enough");
        let text = env::var("KEYSLOT_RECOVERY_MS").ok();
        let limit = text.map_or(RECOVERY, |text| Duration::from_millis(text.parse().unwrap()));
        assert!(self.late <= limit, "{what}: it went on {:?} after the promoted node served", self.late);
        assert!(self.during.len() > 50, "{what}: the other shards were used meanwhile");
        assert!(longest < UNTOUCHED, "{what}: a command to another shard took {longest:?}");
    }
}

fn p99(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() * 99 / 100).copied().unwrap_or_default()
}

/// Three keys of this node: to read, to set, and to count.
fn keys_of(client: &Client, node: &NodeAddr, number: usize) -> [String; 3] {
    let map = client.slot_map();
    let is_here =
        |key: &String| map.primary_of(Slot::of_key(key.as_bytes())).is_some_and(|owner| owner.addr == *node);
    let mut keys = (0..).map(|place| format!("{number}:{place}")).filter(is_here);
    std::array::from_fn(|_| keys.next().unwrap())
}

/// Reads, sets and counts, one after the other, and books each.
async fn call(client: Client, [read, set, count]: [String; 3], suffers: bool, books: Arc<Mutex<Vec<Call>>>) {
    for round in 0_u64.. {
        let begin = Instant::now();
        let (told, may_fail) = match round % 3 {
            0 => (client.get::<Option<String>>(&read).await.err(), false),
            1 => (client.set(&set, round).await.err(), false),
            _ => (client.incr(&count).await.err(), true),
        };
        let told = told.map(|error| error.outcome());
        books.lock().unwrap().push(Call { suffers, begin, end: Instant::now(), told, may_fail });
        breathe().await;
    }
}

/// TCP, except to nodes that swallow what they are sent and never answer, a connect neither.
#[derive(Clone, Default)]
struct BlackHoles(Arc<Mutex<BTreeSet<NodeAddr>>>);

impl BlackHoles {
    fn swallow(&self, node: &NodeAddr) {
        self.0.lock().unwrap().insert(node.clone());
    }

    fn is_one(&self, node: &NodeAddr) -> bool {
        self.0.lock().unwrap().contains(node)
    }
}

impl fmt::Debug for BlackHoles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlackHoles")
    }
}

impl Connector for BlackHoles {
    fn connect<'a>(&'a self, node: &'a NodeAddr) -> BoxFuture<'a, io::Result<Box<dyn Transport>>> {
        Box::pin(async move {
            if self.is_one(node) {
                return std::future::pending().await;
            }
            let stream = TcpStream::connect((node.host(), node.port())).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(Path { stream, node: node.clone(), holes: self.clone() }) as Box<dyn Transport>)
        })
    }
}

/// A connection that may come to lead nowhere.
struct Path {
    stream: TcpStream,
    node: NodeAddr,
    holes: BlackHoles,
}

impl AsyncRead for Path {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Nothing is lost by not reading: a node that is swallowed is stopped too.
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Path {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.holes.is_one(&self.node) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
