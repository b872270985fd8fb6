//! How a replica comes by the data of its primary.

use std::time::Duration;

use crate::testkit::sim::agenda::Event;
use crate::testkit::sim::node::Process;
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::view::{NodeIndex, Role};
use crate::testkit::sim::world::World;

/// From 7.0 on a primary waits for further replicas before it copies all its data: `repl-diskless-sync-delay`.
const DISKLESS_DELAY: Duration = Duration::from_secs(5);

/// Redis 6.2 looks once a second for replicas that wait.
const DISK_DELAY: Duration = Duration::from_secs(1);

/// The replica asks its primary for data: for what it has missed, or if the two have parted for everything. Until then
/// it answers from what it has.
pub(super) fn begin(world: &mut World, replica: NodeIndex) {
    let source = world.node(world.node(replica).view.primary_of(replica));
    let (shard_id, history, written) = (source.shard_id.clone(), source.history, source.offset);
    let mut delay = world.settings.replication_delay;
    let node = world.node_mut(replica);
    if node.offset == 0 || !node.history.is_continued_by(node.offset, &history, written) {
        delay += if node.profile == Profile::Redis62 { DISK_DELAY } else { DISKLESS_DELAY };
        node.offset = 0;
    }
    node.shard_id = shard_id;
    node.pending.clear();
    node.is_copying = true;
    node.copies += 1;
    let copy = node.copies;
    world.later(delay, Event::Copy { replica, copy });
}

/// The data is there, unless one of the two is not; then it is tried again when that one is back.
pub(super) fn finish(world: &mut World, replica: NodeIndex, copy: u64) {
    let node = world.node(replica);
    let Some(Role::ReplicaOf(primary)) = node.view.role(replica) else { return };
    let both_run = node.process == Process::Running && world.node(primary).process == Process::Running;
    if node.copies != copy || !node.is_copying || !both_run {
        return;
    }
    world.refresh(primary);
    let is_whole = world.node(replica).offset == 0;
    let mut keys = std::mem::take(&mut world.node_mut(replica).keys);
    let source = world.node(primary);
    keys.follow_all(&source.keys, is_whole);
    let (offset, history) = (source.offset, source.history);
    world.unsettled.insert(replica);
    let node = world.node_mut(replica);
    node.history = history;
    node.keys = keys;
    node.offset = offset;
    node.is_copying = false;
}

/// Those replicas that wait for this primary's data ask again.
pub(super) fn resume(world: &mut World, primary: NodeIndex) {
    for replica in replicas(world, primary) {
        if world.node(replica).is_copying {
            begin(world, replica);
        }
    }
}

/// All replicas of a primary that was restarted ask for its data.
pub(super) fn resume_all(world: &mut World, primary: NodeIndex) {
    for replica in replicas(world, primary) {
        begin(world, replica);
    }
}

/// Those who see themselves as the primary's replicas.
fn replicas(world: &World, primary: NodeIndex) -> Vec<NodeIndex> {
    let follows = |index: &NodeIndex| world.node(*index).view.role(*index) == Some(Role::ReplicaOf(primary));
    (0..world.nodes.len()).map(NodeIndex).filter(follows).collect()
}

/// The primary's process has ended: what it has not sent is lost.
pub(super) fn cut_off(world: &mut World, primary: NodeIndex) {
    let now = tokio::time::Instant::now();
    for replica in replicas(world, primary) {
        world.node_mut(replica).pending.retain(|pending| pending.due <= now);
    }
}
