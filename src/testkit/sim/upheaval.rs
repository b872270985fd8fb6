//! What becomes of a node's clients and keys when what it believes of the cluster changes.

use std::collections::BTreeSet;

use crate::slot::Slot;
use crate::testkit::sim::addresses::moved;
use crate::testkit::sim::blocking;
use crate::testkit::sim::channels;
use crate::testkit::sim::health::{down, is_down, unserved};
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::session::SessionId;
use crate::testkit::sim::view::{NodeIndex, Role, View};
use crate::testkit::sim::world::World;

/// Clients that wait for keys which the node does not serve any more are told where to go.
pub(super) fn redirect_waiting(world: &mut World, index: NodeIndex) {
    let node = world.node(index);
    if node.waiting.is_empty() {
        return;
    }
    let waiting: BTreeSet<SessionId> = node.waiting.values().flatten().copied().collect();
    for id in waiting {
        if let Some(refused) = refusal(world, index, id) {
            refuse(world, id, refused);
        }
    }
}

fn refuse(world: &mut World, id: SessionId, refused: Refused) {
    blocking::end(world, id);
    if let Some(session) = world.sessions.get_mut(&id) {
        session.send(&Reply::Error(refused.0));
    }
}

/// Why the node does not let the client wait on.
fn refusal(world: &World, index: NodeIndex, id: SessionId) -> Option<Refused> {
    let (node, session) = (world.node(index), world.sessions.get(&id)?);
    let blocked = session.blocked.as_ref()?;
    if is_down(node, &node.view, &world.settings) {
        return Some(down());
    }
    let only_reads = blocked.args.first().is_some_and(|name| name.eq_ignore_ascii_case(b"xread"));
    blocked.keys.iter().find_map(|key| {
        let slot = Slot::of_key(key).get();
        let Some(owner) = node.view.owner(slot) else { return Some(unserved()) };
        let reads = session.readonly && only_reads && node.view.role(index) == Some(Role::ReplicaOf(owner));
        let stays = owner == index || reads || node.importing.contains_key(&slot);
        (!stays).then(|| moved(world, index, slot, owner))
    })
}

/// Subscribers of shard channels whose slot has another owner now. From 7.2 on that is so for the new owner's too.
pub(super) fn end_subscriptions(world: &mut World, index: NodeIndex, before: &View, after: &View) {
    let keeps_own = !world.node(index).profile.since_7_2();
    channels::drop_shard_channels(world, index, |slot| {
        let (was, is) = (before.owner(slot.get()), after.owner(slot.get()));
        was != is && !(keeps_own && is == Some(index))
    });
}

/// The node is no primary any more: clients that wait are sent away. Valkey 9.1 says where to, and lets those wait on
/// who wait for no key.
pub(super) fn dismiss(world: &mut World, index: NodeIndex) {
    if world.node(index).profile == Profile::Valkey91 {
        return redirect_waiting(world, index);
    }
    for id in world.sessions_of(index) {
        if blocking::end(world, id).is_some()
            && let Some(session) = world.sessions.get_mut(&id)
        {
            session.send(&Reply::error(
                "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
            ));
            session.close();
        }
    }
}

/// Keys of slots that another has taken are of no use to a node that stays a primary.
pub(super) fn drop_lost_slots(world: &mut World, index: NodeIndex, before: &View) {
    let node = world.node_mut(index);
    let mut lost = Vec::new();
    for (first, last) in before.ranges_of(index) {
        let gone = |slot: &u16| node.view.owner(*slot).is_some_and(|owner| owner != index);
        for slot in (*first..=*last).filter(gone) {
            lost.extend(node.keys.keys_in(slot).cloned());
        }
    }
    for key in &lost {
        node.keys.remove(key);
    }
    if !lost.is_empty() {
        world.unsettled.insert(index);
    }
}
