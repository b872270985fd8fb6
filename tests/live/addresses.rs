//! Clusters that name their nodes by addresses which lead nowhere from here, on real servers of every version: with an address map
//! everything works, redirects included, and without one the error says which node could not be reached.

use std::fs;
use std::time::Duration;

use crate::live_support::{on_every_server, until};
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, ClientBuilder, Command, Commands, ErrorKind, NodeAddr, Outcome, Slot, Value};

on_every_server! {
    all: ports_that_lead_nowhere_are_mapped ;
    since_7_0: names_that_lead_nowhere_are_mapped ;
    valkey_9_1: ;
}

/// Nobody listens on the ports of the kit's servers plus this.
const ELSEWHERE: u16 = 30_000;

async fn set(cluster: &LocalCluster, node: &NodeAddr, name: &str, value: &str) {
    let reply = cluster.command(node, Command::new("CONFIG SET").arg(name).arg(value)).await.unwrap();
    assert_eq!(reply, Value::Simple("OK".into()), "{name}");
}

/// Waits until every node tells only what `is_told` accepts.
async fn until_told(cluster: &LocalCluster, is_told: impl Fn(&Value, u16) -> bool) {
    until("all nodes to tell the new addresses", async || {
        for node in cluster.nodes() {
            let Value::Array(ranges) = cluster.command(&node, Command::new("CLUSTER SLOTS")).await.ok()?
            else {
                panic!("no ranges")
            };
            for range in ranges {
                let Value::Array(fields) = range else { panic!("no range") };
                for told in fields.iter().skip(2) {
                    let Value::Array(told) = told else { panic!("no node") };
                    let [host, Value::Int(port), ..] = told.as_slice() else { panic!("no port") };
                    if !is_told(host, u16::try_from(*port).unwrap()) {
                        return None;
                    }
                }
            }
        }
        Some(())
    })
    .await;
}

/// Reads and writes at all nodes, before and after a slot has moved behind the client's back.
async fn works(
    cluster: &LocalCluster,
    builder: ClientBuilder,
    dialled: impl Fn(&NodeAddr) -> NodeAddr,
) -> Client {
    let client = builder.connect().await.unwrap();
    for n in 0..50 {
        client.set(format!("key:{n}"), n).await.unwrap();
    }
    let slot = Slot::of_key(b"key:7");
    let map = client.slot_map();
    let from = dialled(&map.primary_of(slot).unwrap().addr);
    let to = cluster.nodes().into_iter().take(3).find(|node| *node != from).unwrap();
    cluster.move_slot(slot, &from, &to).await.unwrap();
    assert_eq!(client.incr("key:7").await.unwrap(), 8);
    // None, if the client has asked for the topology since by itself.
    assert!(client.stats().moved <= 1, "{:?}", client.stats());
    // Half of a move is told by ASK.
    let slot = Slot::of_key(b"key:8");
    let from = dialled(&client.slot_map().primary_of(slot).unwrap().addr);
    let to = cluster.nodes().into_iter().take(3).find(|node| *node != from).unwrap();
    cluster.open_slot(slot, &from, &to).await.unwrap();
    cluster.migrate_keys(slot, &from, &to, usize::MAX).await.unwrap();
    assert_eq!(client.incr("key:8").await.unwrap(), 9);
    assert_eq!(client.stats().asked, 1);
    cluster.close_slot(slot, &from, &to).await.unwrap();
    client
}

async fn ports_that_lead_nowhere_are_mapped(server: Server) {
    let cluster = LocalCluster::builder().replicas(1).server(server).start().await.unwrap();
    let nodes = cluster.nodes();
    let takes_it_live = cluster.server().version().is_at_least(7, 0);
    for node in &nodes {
        let told = (node.port() + ELSEWHERE).to_string();
        if takes_it_live {
            set(&cluster, node, "cluster-announce-port", &told).await;
        } else {
            // 6.2 takes it live and tells of itself what it began with.
            let path = cluster.folder().join(node.port().to_string()).join("server.conf");
            let lines = fs::read_to_string(&path).unwrap() + &format!("cluster-announce-port {told}\n");
            fs::write(&path, lines).unwrap();
            cluster.restart(node).await.unwrap();
        }
    }
    until_told(&cluster, |_, port| port > ELSEWHERE).await;
    let dialled = |node: &NodeAddr| NodeAddr::new(node.host(), node.port() - ELSEWHERE);
    let seed = nodes.first().unwrap();
    let builder = Client::builder().seed(seed.clone()).address_map(dialled);
    let client = works(&cluster, builder, dialled).await;
    // They are named as the cluster does.
    let map = client.slot_map();
    assert_eq!(map.nodes().len(), 6);
    assert!(map.nodes().iter().all(|node| node.addr.port() > ELSEWHERE), "{map:?}");

    let lost = Client::builder()
        .seed(seed.clone())
        .command_timeout(Duration::from_millis(300))
        .connect()
        .await
        .unwrap();
    let error = lost.get::<String>("key:7").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Connect, Outcome::NotSent), "{error}");
    assert!(error.node().unwrap().port() > ELSEWHERE, "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

async fn names_that_lead_nowhere_are_mapped(server: Server) {
    let cluster = LocalCluster::builder().replicas(1).server(server).start().await.unwrap();
    let nodes = cluster.nodes();
    for node in &nodes {
        set(&cluster, node, "cluster-announce-hostname", &format!("node-{}.invalid", node.port())).await;
        set(&cluster, node, "cluster-preferred-endpoint-type", "hostname").await;
    }
    until_told(&cluster, |host, _| host.as_str().is_some_and(|host| host.ends_with(".invalid"))).await;
    let dialled = |node: &NodeAddr| NodeAddr::new("127.0.0.1", node.port());
    let builder = Client::builder().seed(nodes.first().unwrap().clone()).address_map(dialled);
    let client = works(&cluster, builder, dialled).await;
    let map = client.slot_map();
    assert_eq!(map.nodes().len(), 6);
    assert!(map.nodes().iter().all(|node| node.addr.host().ends_with(".invalid")), "{map:?}");

    // Where the host is left out it is that of the node which was asked, whose name is known by then.
    for node in &nodes {
        set(&cluster, node, "cluster-preferred-endpoint-type", "unknown-endpoint").await;
    }
    until_told(&cluster, |host, _| host.as_str().is_none_or(str::is_empty)).await;
    let builder = Client::builder().seed(nodes.first().unwrap().clone());
    let client = builder.address_map(dialled).connect().await.unwrap();
    for n in 10..50 {
        assert_eq!(client.get::<i64>(format!("key:{n}")).await.unwrap(), n);
    }
}
