//! What a node says of the cluster in lists: `CLUSTER SLOTS` and `CLUSTER SHARDS`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::testkit::sim::addresses::{Name, ip, preferred};
use crate::testkit::sim::node::Endpoint;
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::view::{Judgement, NodeIndex, Role, View};
use crate::testkit::sim::world::World;

/// What the node tells of the cluster: what it believes, unless a fault makes it tell something old.
pub(super) fn told_view(world: &World, node: NodeIndex) -> &Arc<View> {
    let node = world.node(node);
    node.stale_view.as_ref().unwrap_or(&node.view)
}

/// `CLUSTER SLOTS`.
pub(super) fn slots(world: &World, teller: NodeIndex) -> Reply {
    let view = told_view(world, teller);
    let mut shards: BTreeMap<NodeIndex, Vec<Reply>> = BTreeMap::new();
    let ranges = view.summary().ranges.iter().map(|(first, last, owner)| {
        // Each shard is described once: a primary may have hundreds of ranges.
        let nodes = shards.entry(*owner).or_insert_with(|| {
            let replicas =
                view.replicas_of(*owner).filter(|replica| is_listed(world, teller, view, *replica));
            std::iter::once(*owner).chain(replicas).map(|node| slots_node(world, teller, node)).collect()
        });
        let bounds = [Reply::Int((*first).into()), Reply::Int((*last).into())];
        Reply::Array(bounds.into_iter().chain(nodes.iter().cloned()).collect())
    });
    Reply::Array(ranges.collect())
}

/// From 7.0 on a replica is listed once it has data.
fn is_listed(world: &World, teller: NodeIndex, view: &View, replica: NodeIndex) -> bool {
    let has_data = !world.node(teller).profile.since_7_0() || world.node(replica).offset > 0;
    view.judgement(replica) != Judgement::Failed && has_data
}

fn slots_node(world: &World, teller: NodeIndex, of: NodeIndex) -> Reply {
    let node = world.node(of);
    let endpoint = match preferred(world, teller, of) {
        Name::Unstated => Reply::Nil,
        name => Reply::bulk(name.text()),
    };
    let mut parts = vec![endpoint, Reply::Int(node.addr.port().into()), Reply::bulk(&node.id)];
    if world.node(teller).profile.since_7_0() {
        parts.push(Reply::Map(metadata(world, teller, of)));
    }
    Reply::Array(parts)
}

/// The names of a node other than its endpoint.
fn metadata(world: &World, teller: NodeIndex, of: NodeIndex) -> Vec<(Reply, Reply)> {
    let prefers = world.node(teller).endpoint;
    let hostname = world.node(of).hostname.as_deref();
    let mut pairs = Vec::new();
    if prefers != Endpoint::Ip {
        pairs.push((Reply::bulk("ip"), Reply::bulk(ip(world, of))));
    }
    if let Some(hostname) = hostname
        && prefers != Endpoint::Hostname
    {
        pairs.push((Reply::bulk("hostname"), Reply::bulk(hostname)));
    }
    pairs
}

/// `CLUSTER SHARDS`.
pub(super) fn shards(world: &World, teller: NodeIndex) -> Reply {
    let view = told_view(world, teller);
    let knows_shard_ids = world.node(teller).profile.since_7_2();
    // A shard is known by its id; before there were any, by its primary.
    let mut shards: BTreeMap<NodeIndex, Vec<NodeIndex>> = BTreeMap::new();
    let mut known: BTreeMap<&str, NodeIndex> = BTreeMap::new();
    for node in view.members().keys() {
        let place = match knows_shard_ids {
            true => *known.entry(world.node(*node).shard_id.as_str()).or_insert(*node),
            false => view.primary_of(*node),
        };
        shards.entry(place).or_default().push(*node);
    }
    let tells_id = world.node(teller).profile == Profile::Valkey91;
    let maps = shards.into_iter().map(|(place, mut nodes)| {
        if !knows_shard_ids {
            nodes.sort_by_key(|node| *node != place);
        }
        let ranges = nodes.iter().map(|node| view.ranges_of(*node)).find(|ranges| !ranges.is_empty());
        let bounds = ranges.unwrap_or_default().iter().flat_map(|(first, last)| [*first, *last]);
        let id = world.node(place).shard_id.clone();
        let mut map = vec![
            (Reply::bulk("slots"), Reply::Array(bounds.map(|slot| Reply::Int(slot.into())).collect())),
            (
                Reply::bulk("nodes"),
                Reply::Array(nodes.into_iter().map(|node| shards_node(world, teller, view, node)).collect()),
            ),
        ];
        if tells_id {
            map.push((Reply::bulk("id"), Reply::bulk(id)));
        }
        Reply::Map(map)
    });
    Reply::Array(maps.collect())
}

fn shards_node(world: &World, teller: NodeIndex, view: &View, of: NodeIndex) -> Reply {
    let node = world.node(of);
    let is_primary = view.role(of) == Some(Role::Primary);
    let health = match view.judgement(of) {
        Judgement::Failed => "fail",
        Judgement::Alive | Judgement::Suspected if !is_primary && node.offset == 0 => "loading",
        Judgement::Alive | Judgement::Suspected => "online",
    };
    let mut pairs = vec![
        (Reply::bulk("id"), Reply::bulk(&node.id)),
        (Reply::bulk("port"), Reply::Int(node.addr.port().into())),
        (Reply::bulk("ip"), Reply::bulk(ip(world, of))),
        (Reply::bulk("endpoint"), Reply::bulk(preferred(world, teller, of).text())),
    ];
    if let Some(hostname) = &node.hostname {
        pairs.push((Reply::bulk("hostname"), Reply::bulk(hostname)));
    }
    pairs.extend([
        (Reply::bulk("role"), Reply::bulk(if is_primary { "master" } else { "replica" })),
        (Reply::bulk("replication-offset"), Reply::Int(i64::try_from(node.offset).unwrap_or(i64::MAX))),
        (Reply::bulk("health"), Reply::bulk(health)),
    ]);
    Reply::Map(pairs)
}
