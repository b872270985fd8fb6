//! Nodes that go away and come back: killed, stopped or cut off from the bus, and what the others make of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::testkit::sim::agenda::Event;
use crate::testkit::sim::copying;
use crate::testkit::sim::failover;
use crate::testkit::sim::gossip;
use crate::testkit::sim::node::Process;
use crate::testkit::sim::view::{Judgement, NodeIndex, View};
use crate::testkit::sim::world::World;

/// For how long a primary refuses to serve after its start: `CLUSTER_WRITABLE_DELAY`.
const WRITABLE_DELAY: Duration = Duration::from_secs(2);

/// For how long a primary refuses to serve after it was in a minority: `cluster-node-timeout` within these bounds.
const REJOIN_DELAY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// The node is lost to the others, who find out by and by.
pub(super) fn leave(world: &mut World, index: NodeIndex) {
    let timeout = world.settings.node_timeout;
    // As measured: suspected somewhat after the timeout, failed after one and a half times, both with some chance.
    let suspected = timeout.mul_f64(1.1 + 0.15 * world.rng.f64());
    let missed = timeout.mul_f64(1.45 + 0.3 * world.rng.f64());
    let node = world.node_mut(index);
    node.absences += 1;
    node.missed_at = Some(Instant::now() + missed);
    let absence = node.absences;
    world.later(suspected, Event::Suspect { node: index, absence });
    world.later(missed, Event::Missed { node: index, absence });
}

/// The node is there again; the others and it hear of each other a little later.
pub(super) fn come_back(world: &mut World, index: NodeIndex) {
    if world.node(index).is_on_bus() {
        let absence = world.node(index).absences;
        world.later(world.settings.gossip_delay, Event::Rejoin { node: index, absence });
    } else if world.node(index).process == Process::Running {
        // Still cut off, and only now does it begin to miss the others.
        leave(world, index);
    }
}

/// Whether it is still, or again, the absence that an event is about.
fn is_away(world: &World, index: NodeIndex, absence: u64) -> bool {
    let node = world.node(index);
    node.absences == absence && !node.is_on_bus()
}

fn on_bus(world: &World) -> Vec<NodeIndex> {
    world.nodes.iter().filter(|node| node.is_on_bus()).map(|node| node.index).collect()
}

/// `fail?`: those on the bus find the node silent, and an isolated one finds all others so.
pub(super) fn suspect(world: &mut World, index: NodeIndex, absence: u64) {
    if !is_away(world, index, absence) {
        return;
    }
    let doubt = |view: &mut View, node: NodeIndex| {
        if view.judgement(node) == Judgement::Alive {
            view.judge(node, Judgement::Suspected);
        }
    };
    gossip::revise_all(world, &on_bus(world), |view| doubt(view, index));
    if world.node(index).is_isolated {
        gossip::revise_quietly(world, index, |view| {
            let others: Vec<NodeIndex> =
                view.members().keys().copied().filter(|node| *node != index).collect();
            others.into_iter().for_each(|node| doubt(view, node));
        });
    }
}

/// A majority of primaries finds the node silent: it has failed, and its replicas may take its place.
pub(super) fn miss(world: &mut World, index: NodeIndex, absence: u64) {
    if !is_away(world, index, absence) {
        return;
    }
    let observers = in_majority(world);
    if observers.is_empty() {
        return;
    }
    gossip::revise_all(world, &observers, |view| view.judge(index, Judgement::Failed));
    world.node_mut(index).failed_at.get_or_insert(Instant::now());
    failover::call_election(world, index, absence);
}

/// Nodes that reach a majority of primaries, as far as each knows them.
fn in_majority(world: &World) -> Vec<NodeIndex> {
    let mut known: Vec<(usize, bool)> = Vec::new();
    let mut found = Vec::new();
    for index in on_bus(world) {
        let view = address(world, index);
        let has_majority = known.iter().find(|(of, _)| *of == view).map(|(_, has)| *has);
        let has_majority = has_majority.unwrap_or_else(|| {
            let has = failover::has_majority(world, index);
            known.push((view, has));
            has
        });
        if has_majority {
            found.push(index);
        }
    }
    found
}

/// Which view the node believes: those with the same one need not be asked twice.
fn address(world: &World, index: NodeIndex) -> usize {
    Arc::as_ptr(&world.node(index).view).addr()
}

/// The node and the others hear from each other. It learns what has happened, which may cost it its place.
pub(super) fn rejoin(world: &mut World, index: NodeIndex, absence: u64) {
    if world.node(index).absences != absence || !world.node(index).is_on_bus() {
        return;
    }
    let others: Vec<NodeIndex> = on_bus(world).into_iter().filter(|other| *other != index).collect();
    let was_minority = !world.node(index).view.summary().has_quorum;
    gossip::revise_quietly(world, index, |view| {
        others.iter().for_each(|other| view.judge(*other, Judgement::Alive));
    });
    if was_minority {
        wait_to_serve(world, index, rejoin_delay(world));
    }
    // One of those who believe the same speaks for them.
    let mut heard: Vec<usize> = Vec::new();
    for other in &others {
        let view = address(world, *other);
        if !heard.contains(&view) && world.node(index).view.member(*other).is_some() {
            heard.push(view);
            gossip::hear_one(world, index, *other);
        }
    }
    accept(world, index, &others);
    gossip::tell(world, index);
    copying::resume(world, index);
    look_again(world);
}

/// The others take the node as alive: at once, unless it is a primary that had failed and still has its slots.
fn accept(world: &mut World, index: NodeIndex, others: &[NodeIndex]) {
    let node = world.node(index);
    let failed_at = node.failed_at.filter(|_| node.is_primary() && node.view.slots_of(index) > 0);
    let waits_until = failed_at.map(|at| at + world.settings.node_timeout * 2);
    match waits_until.filter(|until| *until > Instant::now()) {
        None => forgive_by(world, index, others),
        Some(until) => {
            let absence = world.node(index).absences;
            world.later(until - Instant::now(), Event::Forgive { node: index, absence });
        }
    }
}

pub(super) fn forgive(world: &mut World, index: NodeIndex, absence: u64) {
    if world.node(index).absences == absence && world.node(index).is_on_bus() {
        let others: Vec<NodeIndex> = on_bus(world).into_iter().filter(|other| *other != index).collect();
        forgive_by(world, index, &others);
    }
}

fn forgive_by(world: &mut World, index: NodeIndex, others: &[NodeIndex]) {
    let without_quorum: Vec<NodeIndex> =
        others.iter().copied().filter(|other| !world.node(*other).view.summary().has_quorum).collect();
    gossip::revise_all(world, others, |view| view.judge(index, Judgement::Alive));
    for other in without_quorum {
        if world.node(other).view.summary().has_quorum {
            wait_to_serve(world, other, rejoin_delay(world));
        }
    }
    let node = world.node_mut(index);
    node.failed_at = None;
    node.missed_at = None;
}

fn rejoin_delay(world: &World) -> Duration {
    world.settings.node_timeout.clamp(REJOIN_DELAY.0, REJOIN_DELAY.1)
}

/// A primary that has just been started does not serve yet.
pub(super) fn start(world: &mut World, index: NodeIndex) {
    wait_to_serve(world, index, WRITABLE_DELAY);
}

fn wait_to_serve(world: &mut World, index: NodeIndex, delay: Duration) {
    let node = world.node_mut(index);
    if node.is_primary() {
        node.is_joining = true;
        let absence = node.absences;
        world.later(delay, Event::Serve { node: index, absence });
    }
}

pub(super) fn serve(world: &mut World, index: NodeIndex, absence: u64) {
    let node = world.node_mut(index);
    if node.absences == absence {
        node.is_joining = false;
    }
}

/// With a node that is back there may be a majority that there was not before: those who are away are judged again.
fn look_again(world: &mut World) {
    let now = Instant::now();
    let away: Vec<(NodeIndex, u64, Instant)> = world
        .nodes
        .iter()
        .filter(|node| !node.is_on_bus())
        .filter_map(|node| Some((node.index, node.absences, node.missed_at?)))
        .collect();
    for (node, absence, missed_at) in away {
        if missed_at <= now {
            world.later(world.settings.node_timeout / 2, Event::Missed { node, absence });
        }
    }
}
