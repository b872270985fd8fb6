//! How a cluster looks when it is made.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::sync::watch;

use crate::node::NodeAddr;
use crate::slot::Slot;
use crate::testkit::sim::acl::User;
use crate::testkit::sim::keyspace::store::Keyspace;
use crate::testkit::sim::node::{Endpoint, History, Node, Process};
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::settings::Settings;
use crate::testkit::sim::view::{Member, NodeIndex, Role, View};
use crate::testkit::sim::world::World;

/// Primaries first, each with an equal part of the slots, then their replicas in turn. All know each other.
pub(super) fn cluster(addrs: Vec<NodeAddr>, primaries: usize, profile: Profile, seed: u64) -> Vec<Node> {
    let mut view = View::alone(NodeIndex(0));
    for place in 0..addrs.len() {
        let primary = NodeIndex(place % primaries);
        let role = if place < primaries { Role::Primary } else { Role::ReplicaOf(primary) };
        let epoch = primary.0 as u64 + 1;
        view.set_member(NodeIndex(place), Member::new(role, epoch));
    }
    // Each node was given its own when the cluster was made, replicas too.
    view.current_epoch = addrs.len() as u64;
    let all = usize::from(Slot::COUNT);
    for slot in Slot::all() {
        // As `redis-cli --cluster create` spreads them: 5461, 5462, 5461 over three.
        let owner = (usize::from(slot.get()) * primaries + primaries / 2) / all;
        view.set_owner(slot.get(), Some(NodeIndex(owner.min(primaries - 1))));
    }
    let view = Arc::new(view);
    addrs
        .into_iter()
        .enumerate()
        .map(|(place, addr)| {
            let shard = view.primary_of(NodeIndex(place));
            node(NodeIndex(place), addr, profile, seed, Arc::clone(&view), shard)
        })
        .collect()
}

/// A node that believes `view`.
pub(super) fn node(
    index: NodeIndex,
    addr: NodeAddr,
    profile: Profile,
    seed: u64,
    view: Arc<View>,
    shard: NodeIndex,
) -> Node {
    Node {
        index,
        id: Node::id_at(index, seed),
        shard_id: Node::id_at(shard, !seed),
        addr,
        hostname: None,
        endpoint: Endpoint::Ip,
        profile,
        process: Process::Running,
        starts: 0,
        is_alive: watch::Sender::new(true),
        is_isolated: false,
        absences: 0,
        is_joining: false,
        told: Arc::clone(&view),
        stale_view: None,
        banned: BTreeMap::new(),
        view,
        migrating: BTreeMap::new(),
        importing: BTreeMap::new(),
        imports: Vec::new(),
        keys: Keyspace::default(),
        offset: 1,
        pending: VecDeque::new(),
        is_copying: false,
        copies: 0,
        history: History::begin(shard),
        is_paused: false,
        pauses: 0,
        outvoted_at: None,
        missed_at: None,
        failed_at: None,
        waiting: BTreeMap::new(),
        watchers: BTreeMap::new(),
        trackers: BTreeMap::new(),
        broadcasts: BTreeSet::new(),
        alarm: None,
        password: None,
        users: BTreeMap::new(),
        config: BTreeMap::new(),
        client_pause: None,
        received: BTreeMap::new(),
        connections_accepted: 0,
    }
}

/// Gives a node what the settings give to all.
pub(super) fn furnish(node: &mut Node, settings: &Settings) {
    node.password.clone_from(&settings.password);
    for (name, password) in &settings.users {
        node.users.insert(name.clone(), User::with_password(password));
    }
}

/// What the node with the highest epoch believes.
pub(super) fn newest_view(world: &World) -> Option<Arc<View>> {
    let running = world.nodes.iter().filter(|node| node.is_on_bus());
    running.max_by_key(|node| node.view.current_epoch).map(|node| Arc::clone(&node.view))
}

/// Who serves the slot: the one with the highest epoch of those who say so themselves, for the others may not have
/// heard yet; if nobody does, whoever is believed to.
pub(super) fn owner(world: &World, slot: u16) -> Option<NodeIndex> {
    let claims = |node: &&Node| node.is_on_bus() && node.view.owner(slot) == Some(node.index);
    let claiming = world.nodes.iter().filter(claims).max_by_key(|node| node.view.epoch_of(node.index));
    claiming.map(|node| node.index).or_else(|| newest_view(world)?.owner(slot))
}
