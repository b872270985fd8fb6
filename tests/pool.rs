//! The client behind deadpool's manager: one set of connections however many are taken, one attempt to connect however many
//! wait for it, and no object that cannot be used.

#![expect(clippy::unwrap_used, reason = "tests report by panicking, in their helpers too")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use keyslot::pool::{Manager, Object, Pool, PoolError};
use keyslot::testkit::SimCluster;
use keyslot::testkit::sim::{Fault, FaultKind};
use keyslot::{Client, ClientBuilder, Commands, Connector, Error, ErrorKind, NodeAddr, Transport};
use tokio::time::timeout;

/// Counts how often a node is dialled.
#[derive(Debug)]
struct Counting {
    inner: Box<dyn Connector>,
    dials: Arc<AtomicUsize>,
}

impl Connector for Counting {
    fn connect<'a>(&'a self, node: &'a NodeAddr) -> BoxFuture<'a, io::Result<Box<dyn Transport>>> {
        self.dials.fetch_add(1, Ordering::Relaxed);
        self.inner.connect(node)
    }
}

fn settings(cluster: &SimCluster) -> (ClientBuilder, Arc<AtomicUsize>) {
    let dials = Arc::new(AtomicUsize::new(0));
    let connector = Counting { inner: Box::new(cluster.connector()), dials: Arc::clone(&dials) };
    // One seed, so that one dial is one attempt.
    let seed = cluster.nodes().remove(0);
    (Client::builder().seed(seed).connector(connector), dials)
}

fn pool_of(manager: Manager) -> Pool {
    Pool::builder(manager).max_size(8).build().unwrap()
}

fn kind(error: &PoolError) -> Option<ErrorKind> {
    match error {
        PoolError::Backend(error) => Some(Error::kind(error)),
        _other => None,
    }
}

#[tokio::test(start_paused = true)]
async fn all_objects_share_the_connections_of_one_client() {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let (builder, dials) = settings(&cluster);
    let pool = pool_of(Manager::new(builder.connect().await.unwrap()));
    let first = pool.get().await.unwrap();
    for number in 0..100 {
        first.set(number.to_string(), number).await.unwrap();
    }
    let dialled = dials.load(Ordering::Relaxed);
    drop(first);

    let taken: Vec<Object> =
        join_all((0..8).map(|_| pool.get())).await.into_iter().map(Result::unwrap).collect();
    for (place, client) in taken.iter().enumerate() {
        for number in 0..100 {
            assert_eq!(client.get::<i64>(number.to_string()).await.unwrap(), number, "object {place}");
        }
    }
    assert_eq!((pool.status().size, dials.load(Ordering::Relaxed)), (8, dialled));
}

#[tokio::test(start_paused = true)]
async fn the_size_of_the_pool_bounds_how_many_are_at_work() {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let (builder, _) = settings(&cluster);
    let pool = Pool::builder(Manager::from_builder(builder)).max_size(2).build().unwrap();
    let (one, _other) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    assert!(timeout(Duration::from_secs(60), pool.get()).await.is_err());
    drop(one);
    drop(pool.get().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn those_who_ask_together_wait_for_one_attempt_and_the_next_tries_again() {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let (builder, dials) = settings(&cluster);
    let pool = pool_of(Manager::from_builder(builder));
    assert_eq!(dials.load(Ordering::Relaxed), 0, "nothing is connected before it is needed");

    cluster.inject(Fault::new(FaultKind::Refuse).times(1));
    for got in join_all((0..8).map(|_| pool.get())).await {
        assert_eq!(kind(&got.unwrap_err()), Some(ErrorKind::Connect));
    }
    assert_eq!(dials.load(Ordering::Relaxed), 1);

    let got = join_all((0..8).map(|_| pool.get())).await;
    assert!(got.iter().all(Result::is_ok));
    assert_eq!(dials.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_while_it_connects_does_not_hold_up_the_next() {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let (builder, dials) = settings(&cluster);
    let pool = pool_of(Manager::from_builder(builder));
    cluster.inject(Fault::new(FaultKind::HangConnect).times(1));
    assert!(timeout(Duration::from_millis(500), pool.get()).await.is_err());
    let client = timeout(Duration::from_millis(500), pool.get()).await.unwrap().unwrap();
    client.set("k", "v").await.unwrap();
    assert!(dials.load(Ordering::Relaxed) >= 2);
}

#[tokio::test(start_paused = true)]
async fn a_closed_client_is_not_handed_out() {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let (builder, _) = settings(&cluster);
    for manager in [Manager::from_builder(builder.clone()), Manager::from(builder.connect().await.unwrap())] {
        let pool = pool_of(manager);
        let client = pool.get().await.unwrap();
        client.close().await;
        drop(client);
        assert_eq!(kind(&pool.get().await.unwrap_err()), Some(ErrorKind::Closed));
        assert_eq!(pool.status().size, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_is_good_after_its_node_was_lost() {
    let cluster = SimCluster::builder().replicas(1).start_in_memory().unwrap();
    let (builder, _) = settings(&cluster);
    let pool = pool_of(Manager::from_builder(builder));
    let client = pool.get().await.unwrap();
    client.set("k", "v").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.kill(&cluster.primary_of(keyslot::Slot::of_key(b"k")).unwrap()).unwrap();
    drop(client);
    let client = pool.get().await.unwrap();
    assert_eq!(client.get::<String>("k").await.unwrap(), "v");
}

#[tokio::test(start_paused = true)]
async fn a_url_that_is_not_valid_is_told_by_the_first_get() {
    let pool = pool_of(Manager::from_url("http://127.0.0.1"));
    assert_eq!(kind(&pool.get().await.unwrap_err()), Some(ErrorKind::Config));
    assert!(!format!("{:?}", Manager::from_url("redis://ann:secret@a")).contains("secret"));
}
