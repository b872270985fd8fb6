//! What the live tests share: one test for each server, several checks on one cluster, keys by node, waiting for
//! events.

#![allow(dead_code, unused_macros, unused_imports, reason = "each test file uses its part of it")]

use std::future::Future;
use std::net::{Ipv4Addr, TcpListener};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, Command, Error, FromValue, NodeAddr, Slot, SlotMap, Value};

/// Makes a test of each scenario (an `async fn(Server)`) for each of the servers, in a module named after it.
///
/// Two worker threads, because that is where a swapped reply or a lost wake-up shows.
macro_rules! on_every_server {
    (all: $($all:ident)* ; since_7_0: $($since_7_0:ident)* ; valkey_9_1: $($valkey_9_1:ident)* ;) => {
        on_every_server!(@ redis_6_2 "redis-6.2" $($all)*);
        on_every_server!(@ redis_7_0 "redis-7.0" $($all)* $($since_7_0)*);
        on_every_server!(@ redis_8_2 "redis-8.2" $($all)* $($since_7_0)*);
        on_every_server!(@ valkey_8_1 "valkey-8.1" $($all)* $($since_7_0)*);
        on_every_server!(@ valkey_9_1 "valkey-9.1" $($all)* $($since_7_0)* $($valkey_9_1)*);
    };
    (@ $version:ident $folder:literal $($scenario:ident)*) => {
        mod $version {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() {
                    super::$scenario(keyslot::testkit::Server::named($folder).unwrap()).await;
                }
            )*
        }
    };
}

/// Runs checks (`async fn(Arc<Fixture>)`) on one fixture, one after the other. One that fails does not hide the next;
/// all that failed are named at the end.
macro_rules! check_each {
    ($fixture:expr; $($check:ident)*) => {{
        let fixture = $fixture;
        let mut failed: Vec<&str> = Vec::new();
        $(
            let check = $check(std::sync::Arc::clone(&fixture));
            failed.extend($crate::live_support::failed(stringify!($check), check).await);
        )*
        assert!(failed.is_empty(), "{} failed: {}", failed.len(), failed.join(", "));
    }};
}

pub(crate) use {check_each, on_every_server};

/// Three primaries with a replica each, and a client with time for a failover.
pub(crate) struct Fixture {
    pub(crate) cluster: LocalCluster,
    /// The primaries.
    pub(crate) nodes: Vec<NodeAddr>,
    pub(crate) client: Client,
}

impl Fixture {
    pub(crate) async fn start(server: Server) -> Arc<Self> {
        let builder = LocalCluster::builder().server(server).primaries(3).replicas(1);
        let cluster = builder.node_timeout(Duration::from_secs(1)).start().await.unwrap();
        let builder = Client::builder().url(&cluster.url()).command_timeout(Duration::from_secs(20));
        let client = builder.connect().await.unwrap();
        Arc::new(Self { nodes: cluster.nodes()[..3].to_vec(), client, cluster })
    }
}

/// No check takes as long; one that does has lost a wake-up.
const CHECK: Duration = Duration::from_secs(40);

/// For an event that is sure to come.
const EVENT: Duration = Duration::from_secs(15);

/// The name of the check if it panics or does not end.
pub(crate) async fn failed(name: &'static str, check: impl Future<Output = ()>) -> Option<&'static str> {
    let begin = Instant::now();
    let ended = tokio::time::timeout(CHECK, AssertUnwindSafe(check).catch_unwind()).await;
    let verdict = match &ended {
        Ok(Ok(())) => "ok",
        Ok(Err(_panic)) => "FAILED",
        Err(_elapsed) => "NEVER ENDED",
    };
    println!("{verdict} {name} in {:?}", begin.elapsed());
    (verdict != "ok").then_some(name)
}

/// Polls until `look` returns something; panics with `what` when it is late.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(begin.elapsed() < EVENT, "waited {EVENT:?} for this: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The reply of one node, read as `T`; an error reply is a panic.
pub(crate) async fn ask<T: FromValue>(cluster: &LocalCluster, node: &NodeAddr, command: Command) -> T {
    let name = command.name().to_owned();
    let reply = cluster.command(node, command).await.unwrap();
    if let Value::Error(error) = &reply {
        panic!("{name} at {node}: {error}");
    }
    T::from_value(reply).unwrap()
}

/// How many connections with this name the nodes have.
pub(crate) async fn connections_named(cluster: &LocalCluster, name: &str) -> usize {
    let mut count = 0;
    for node in cluster.nodes() {
        let list: String = ask(cluster, &node, Command::new("CLIENT LIST")).await;
        count +=
            list.lines().filter(|line| line.split(' ').any(|word| word == format!("name={name}"))).count();
    }
    count
}

/// The primaries in the order of their slots.
pub(crate) fn primaries(map: &SlotMap) -> Vec<NodeAddr> {
    let mut nodes: Vec<NodeAddr> = Vec::new();
    for owner in Slot::all().filter_map(|slot| map.primary_of(slot)) {
        let owner = &owner.addr;
        if !nodes.contains(owner) {
            nodes.push(owner.clone());
        }
    }
    nodes
}

/// A word whose slot is served by `node`: a key, or the `{tag}` of keys. Different `salt`, different word.
///
/// The port alone says which node: the map may know it by another name.
pub(crate) fn tag_at(map: &SlotMap, node: &NodeAddr, salt: &str) -> String {
    (0..10_000)
        .map(|number| format!("{salt}{number}"))
        .find(|tag| {
            let owner = map.primary_of(Slot::of_key(tag.as_bytes()));
            owner.is_some_and(|owner| owner.addr.port() == node.port())
        })
        .unwrap()
}

/// One word for each slot, in the order of slots.
pub(crate) fn tag_of_each_slot() -> Vec<String> {
    let mut tags = vec![String::new(); usize::from(Slot::COUNT)];
    let mut missing = tags.len();
    for number in 0_u32.. {
        let tag = number.to_string();
        let place = &mut tags[usize::from(Slot::of_key(tag.as_bytes()).get())];
        if place.is_empty() {
            *place = tag;
            missing -= 1;
            if missing == 0 {
                break;
            }
        }
    }
    tags
}

/// A value that tells which key it belongs to.
pub(crate) fn value_of(key: &str) -> String {
    format!("value of {key}")
}

/// An address where nobody listens.
pub(crate) fn dead_address() -> NodeAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    NodeAddr::new("127.0.0.1", listener.local_addr().unwrap().port())
}

/// An address where connections are taken by the system and never answered, for as long as the listener lives.
pub(crate) fn silent_address() -> (TcpListener, NodeAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, NodeAddr::new("127.0.0.1", port))
}

/// The error of a call that must fail.
pub(crate) fn error_of<T: std::fmt::Debug>(result: Result<T, Error>) -> Error {
    result.unwrap_err()
}

/// Waits until the client's map names `node` as the owner of `slot`.
pub(crate) async fn until_mapped(client: &Client, slot: Slot, node: &NodeAddr) {
    until("the client maps the slot to its owner", async || {
        (client.slot_map().primary_of(slot).map(|owner| &owner.addr) == Some(node)).then_some(())
    })
    .await;
}
