//! Keys expire by themselves. A command finds it done; a client that tracks a key is told in time by an alarm.

use std::time::Duration;

use crate::testkit::sim::agenda::Event;
use crate::testkit::sim::node::Process;
use crate::testkit::sim::view::NodeIndex;
use crate::testkit::sim::world::World;

/// Has the node look when its next key expires, if anybody is to be told there or at its replicas.
pub(super) fn set(world: &mut World, index: NodeIndex) {
    let node = world.node(index);
    let Some(expiry) = node.keys.next_expiry().filter(|_| node.is_primary()) else { return };
    let is_awaited =
        node.is_awaited() || node.view.replicas_of(index).any(|replica| world.node(replica).is_awaited());
    if is_awaited && node.alarm.is_none_or(|alarm| alarm > expiry) {
        let delay = Duration::from_millis(expiry.saturating_sub(world.unix_millis()));
        world.node_mut(index).alarm = Some(expiry);
        world.later(delay, Event::Expire { node: index });
    }
}

/// The time has come; whom it concerns is told when the event is over.
pub(super) fn ring(world: &mut World, index: NodeIndex) {
    world.node_mut(index).alarm = None;
    if world.node(index).process == Process::Running {
        world.refresh(index);
        set(world, index);
    }
}
