//! What a client tells of a real cluster: a failover and a slot that moves, each as an event, and the figures of its nodes.

use std::time::Duration;

use crate::live_support::{ask, on_every_server, primaries, tag_at, until};
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, Command, Commands, NodeAddr, Role, Slot, SlotMap, TopologyEvent, TopologyEvents};

on_every_server! {
    all: changes_are_told_and_figures_are_those_of_the_nodes ;
    since_7_0: ;
    valkey_9_1: ;
}

/// Longer than a failover takes.
const LONG: Duration = Duration::from_secs(30);

/// Reads on until an event that `is_it`; all until then.
async fn read_until(
    events: &mut TopologyEvents,
    is_it: impl Fn(&TopologyEvent) -> bool,
) -> Vec<TopologyEvent> {
    let mut told = Vec::new();
    loop {
        let next = tokio::time::timeout(LONG, events.next()).await;
        let Ok(Some(event)) = next else { panic!("it did not come, but this did: {told:?}") };
        told.push(event);
        if told.last().is_some_and(&is_it) {
            return told;
        }
    }
}

fn id(map: &SlotMap, node: &NodeAddr) -> String {
    map.nodes().iter().find(|known| known.addr == *node).unwrap().id.as_deref().unwrap().to_owned()
}

async fn changes_are_told_and_figures_are_those_of_the_nodes(server: Server) {
    let cluster = LocalCluster::builder().primaries(3).replicas(1).server(server).start().await.unwrap();
    let refresh = Duration::from_millis(250);
    let client = Client::builder().url(&cluster.url()).refresh_interval(refresh).connect().await.unwrap();
    until("the client knows all replicas", async || {
        let map = client.slot_map();
        (map.nodes().iter().filter(|node| node.role == Role::Replica).count() == 3).then_some(())
    })
    .await;
    let mut events = client.topology_events();

    // A failover by hand. Nobody sends a command: the next refresh tells.
    let map = client.slot_map();
    let shard = map.shards().next().unwrap();
    let (primary, replica) = (shard.primary().addr.clone(), shard.replicas().next().unwrap().addr.clone());
    // It refuses until it is in sync.
    until("the replica takes over", async || {
        let reply = cluster.command(&replica, Command::new("CLUSTER FAILOVER")).await.unwrap();
        (!matches!(reply, keyslot::Value::Error(_))).then_some(())
    })
    .await;
    let is_promotion = |event: &TopologyEvent| {
        matches!(event, TopologyEvent::PrimaryPromoted { node, replaced, .. }
            if (node, replaced) == (&replica, &primary))
    };
    read_until(&mut events, is_promotion).await;
    let is_its_slots = |event: &TopologyEvent| {
        matches!(event, TopologyEvent::SlotsMoved { from, to, .. }
            if (from.as_ref(), to.as_ref()) == (Some(&primary), Some(&replica)))
    };
    read_until(&mut events, is_its_slots).await;

    // A slot without keys, given to another primary.
    let map = client.slot_map();
    let nodes = primaries(&map);
    let (from, to) = (&nodes[1], &nodes[2]);
    let key = tag_at(&map, from, "empty");
    let slot = Slot::of_key(key.as_bytes());
    for node in [to, from] {
        let give = Command::new("CLUSTER SETSLOT").arg(slot.get()).arg("NODE").arg(id(&map, to));
        let _: String = ask(&cluster, node, give).await;
    }
    let is_move = |event: &TopologyEvent| {
        matches!(event, TopologyEvent::SlotsMoved { ranges, to: Some(owner), .. }
            if owner == to && ranges.iter().any(|range| (range.first..=range.last).contains(&slot)))
    };
    read_until(&mut events, is_move).await;
    assert_eq!(client.slot_map().primary_of(slot).unwrap().addr, *to);

    // The figures of the node that has the slot now.
    let before = client.stats().nodes.get(to).cloned().unwrap_or_default();
    for number in 0..100 {
        client.set(&key, number).await.unwrap();
    }
    client.lpush(&key, ["x"]).await.unwrap_err();
    let after = client.stats().nodes[to].clone();
    // Refreshes go there too.
    assert!(after.requests - before.requests >= 101, "{after:?}");
    // One batch in four.
    assert!(after.round_trips.count() - before.round_trips.count() >= 20, "{after:?}");
    assert!(after.round_trips.percentile(50.0).unwrap() <= after.round_trips.max().unwrap());
    assert_eq!(after.errors.rejected - before.errors.rejected, 1);
    assert!(after.connections > 0);
    client.close().await;
    while events.next().await.is_some() {}
}
