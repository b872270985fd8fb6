//! Storms of connects: however many callers want a node that is in trouble, it is dialled seldom; and a client that meets many
//! nodes at once does not open all connections in the same moment.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, join_all};
use keyslot::testkit::sim::{Fault, FaultKind, SimCluster, SimConnector, Step};
use keyslot::{Client, Command, Commands, Connector, NodeAddr, Outcome, Target, Transport, Value};
use tokio::time::{Instant, sleep};

use crate::support::{MS, SECOND, keys_of, primaries, received_by_all, three};

/// Notes each dial.
#[derive(Clone)]
struct Noted {
    inner: SimConnector,
    dials: Arc<Mutex<Vec<(NodeAddr, Instant)>>>,
    /// How many are under way, and the most that ever were.
    under_way: Arc<Mutex<(usize, usize)>>,
}

impl Noted {
    fn new(cluster: &SimCluster) -> Self {
        Self { inner: cluster.connector(), dials: Arc::default(), under_way: Arc::default() }
    }

    async fn connect_to(&self, cluster: &SimCluster) -> Client {
        Client::builder().url(&cluster.url()).connector(self.clone()).connect().await.unwrap()
    }

    /// The times of the dials of this node from then on.
    fn of(&self, node: &NodeAddr, since: Instant) -> Vec<Instant> {
        let dials = self.dials.lock().unwrap();
        dials.iter().filter(|(to, at)| to == node && *at >= since).map(|(_, at)| *at).collect()
    }
}

impl fmt::Debug for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Noted")
    }
}

impl Connector for Noted {
    fn connect<'a>(&'a self, node: &'a NodeAddr) -> BoxFuture<'a, io::Result<Box<dyn Transport>>> {
        self.dials.lock().unwrap().push((node.clone(), Instant::now()));
        Box::pin(async move {
            let _counted = Counted::new(&self.under_way);
            // As over a network: else each would be done before the next begins.
            sleep(10 * MS).await;
            self.inner.connect(node).await
        })
    }
}

struct Counted<'a>(&'a Mutex<(usize, usize)>);

impl<'a> Counted<'a> {
    fn new(under_way: &'a Mutex<(usize, usize)>) -> Self {
        let mut counts = under_way.lock().unwrap();
        counts.0 += 1;
        counts.1 = counts.1.max(counts.0);
        drop(counts);
        Self(under_way)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().0 -= 1;
    }
}

/// The most dials in any second.
fn most_in_a_second(dials: &[Instant]) -> usize {
    let within = |first: &Instant| dials.iter().filter(|at| **at >= *first && **at < *first + SECOND).count();
    dials.iter().map(within).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn a_node_that_refuses_is_dialled_by_one_clock_for_all_callers_and_connections() {
    let cluster = three();
    let noted = Noted::new(&cluster);
    let client = noted.connect_to(&cluster).await;
    let node = primaries(&cluster).remove(0);
    let keys = keys_of(&cluster, &node, "k", 50);
    join_all(keys.iter().map(|key| client.set(key, "1"))).await;
    cluster.kill(&node).unwrap();
    let begin = Instant::now();
    // Callers who share a link, callers who want a connection of their own, and subscribers with theirs.
    let counting = (0..300).map(|place: usize| client.incr(&keys[place % keys.len()]));
    let popping = (0..200).map(|place: usize| {
        let pop = Command::new("BLPOP").key(&keys[place % keys.len()]).arg(0);
        client.execute::<Value>(pop.timeout(10 * SECOND))
    });
    let (counted, popped) = futures::join!(join_all(counting), join_all(popping));
    let errors =
        counted.into_iter().filter_map(Result::err).chain(popped.into_iter().filter_map(Result::err));
    let outcomes: Vec<Outcome> = errors.map(|error| error.outcome()).collect();
    assert_eq!(outcomes.len(), 500);
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::NotSent));
    let dials = noted.of(&node, begin);
    let most = most_in_a_second(&dials);
    println!("{} dials in {:?}, at most {most} in a second", dials.len(), begin.elapsed());
    // Those that are under way when the first one fails are 64 at most; then it is one at a time, and in the first second the
    // pauses are short.
    assert!(most <= 64 + 20, "{most} dials in one second");
    let later = dials.iter().filter(|at| **at > begin + SECOND).count();
    assert!(later <= 60, "{later} dials in the nine seconds after the first");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_takes_every_connection_and_closes_it_at_once_is_not_dialled_without_end() {
    let cluster = three();
    let noted = Noted::new(&cluster);
    let client = noted.connect_to(&cluster).await;
    let node = primaries(&cluster).remove(0);
    let keys = keys_of(&cluster, &node, "k", 20);
    cluster.inject(Fault::new(FaultKind::CloseBefore).node(&node).command("GET"));
    let begin = Instant::now();
    let read = join_all((0..200).map(|place: usize| client.get::<Value>(&keys[place % keys.len()]))).await;
    assert!(read.iter().all(Result::is_err));
    let dials = noted.of(&node, begin);
    let most = most_in_a_second(&dials);
    assert!(most <= 40, "{most} dials in one second");
    assert!(dials.len() <= 80, "{} dials", dials.len());
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_cut_once_is_made_anew_without_a_pause() {
    let cluster = three();
    let noted = Noted::new(&cluster);
    let client = noted.connect_to(&cluster).await;
    let node = primaries(&cluster).remove(0);
    let key = keys_of(&cluster, &node, "k", 1).remove(0);
    client.set(&key, "1").await.unwrap();
    cluster.perform(Step::Disconnect(node)).unwrap();
    sleep(MS).await;
    let begin = Instant::now();
    assert_eq!(client.incr(&key).await.unwrap(), 2);
    assert_eq!(begin.elapsed(), 10 * MS, "the way of the connect");
}

#[tokio::test(start_paused = true)]
async fn many_nodes_are_met_some_at_a_time() {
    let cluster = SimCluster::builder().primaries(500).start_in_memory().unwrap();
    let noted = Noted::new(&cluster);
    let client = noted.connect_to(&cluster).await;
    client.execute::<Value>(Command::new("ECHO").arg("x").to(Target::AllNodes)).await.unwrap();
    assert_eq!(received_by_all(&cluster, "ECHO"), 500);
    let (_, most) = *noted.under_way.lock().unwrap();
    assert!((10..=64).contains(&most), "{most} at once");
}

#[tokio::test(start_paused = true)]
async fn nodes_whose_connects_hang_hold_up_the_others_for_a_moment_only() {
    let cluster = SimCluster::builder().primaries(160).full_coverage(false).start_in_memory().unwrap();
    let noted = Noted::new(&cluster);
    let client = noted.connect_to(&cluster).await;
    let nodes = primaries(&cluster);
    let (hanging, well) = nodes.split_at(80);
    for node in hanging {
        cluster.inject(Fault::new(FaultKind::HangConnect).node(node));
    }
    let stuck = hanging.iter().map(|node| keys_of(&cluster, node, "k", 1).remove(0));
    let stuck: Vec<_> = stuck
        .map(|key| {
            let client = client.clone();
            tokio::spawn(async move { client.get::<Value>(key).await })
        })
        .collect();
    sleep(MS).await;
    let begin = Instant::now();
    let keys: Vec<String> = well.iter().map(|node| keys_of(&cluster, node, "k", 1).remove(0)).collect();
    let read = join_all(keys.iter().map(|key| client.get::<Value>(key))).await;
    assert!(read.iter().all(Result::is_ok));
    assert!(begin.elapsed() < SECOND, "{:?}", begin.elapsed());
    stuck.into_iter().for_each(|task| task.abort());
}
