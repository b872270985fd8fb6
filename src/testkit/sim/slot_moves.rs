//! Slots that change hands: the marks of an open slot, its keys, and who owns it.

use bytes::Bytes;

use crate::testkit::sim::gossip;
use crate::testkit::sim::node::Process;
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::view::{NodeIndex, Role};
use crate::testkit::sim::world::World;

/// Why a replica refuses all of this.
pub(super) fn only_primaries(world: &World, index: NodeIndex) -> Result<(), Refused> {
    match world.node(index).is_primary() {
        true => Ok(()),
        false => Err(Refused::new("ERR Please use SETSLOT only with masters.")),
    }
}

/// The node on the other side, if it can be that.
fn other_side(world: &World, index: NodeIndex, id: &[u8], unknown: &str) -> Result<NodeIndex, Refused> {
    let node = world.node(index);
    let other = world.node_with_id(id).filter(|other| node.view.member(*other).is_some());
    let other =
        other.ok_or_else(|| Refused::new(format!("ERR {unknown} {}", String::from_utf8_lossy(id))))?;
    if node.profile.since_7_0() && node.view.role(other) != Some(Role::Primary) {
        return Err(Refused::new("ERR Target node is not a master"));
    }
    Ok(other)
}

fn not_myself(world: &World, index: NodeIndex, other: NodeIndex) -> Result<(), Refused> {
    match other == index && world.node(index).profile == Profile::Valkey91 {
        true => Err(Refused::new("ERR Target node is myself")),
        false => Ok(()),
    }
}

/// `CLUSTER SETSLOT slot MIGRATING id`.
pub(super) fn set_migrating(
    world: &mut World,
    index: NodeIndex,
    slot: u16,
    to: &[u8],
) -> Result<(), Refused> {
    if world.node(index).view.owner(slot) != Some(index) {
        return Err(Refused::new(format!("ERR I'm not the owner of hash slot {slot}")));
    }
    let to = other_side(world, index, to, "I don't know about node")?;
    not_myself(world, index, to)?;
    world.node_mut(index).migrating.insert(slot, to);
    share_marks(world, index);
    Ok(())
}

/// `CLUSTER SETSLOT slot IMPORTING id`.
pub(super) fn set_importing(
    world: &mut World,
    index: NodeIndex,
    slot: u16,
    from: &[u8],
) -> Result<(), Refused> {
    if world.node(index).view.owner(slot) == Some(index) {
        return Err(Refused::new(format!("ERR I'm already the owner of hash slot {slot}")));
    }
    let from = other_side(world, index, from, "I don't know about node")?;
    not_myself(world, index, from)?;
    world.node_mut(index).importing.insert(slot, from);
    share_marks(world, index);
    Ok(())
}

/// `CLUSTER SETSLOT slot STABLE`.
pub(super) fn set_stable(world: &mut World, index: NodeIndex, slot: u16) {
    let node = world.node_mut(index);
    node.migrating.remove(&slot);
    node.importing.remove(&slot);
    share_marks(world, index);
}

/// `CLUSTER SETSLOT slot NODE id`: the owner, as this node knows it. Who gets what it imported tells everyone.
pub(super) fn set_owner(world: &mut World, index: NodeIndex, slot: u16, id: &[u8]) -> Result<(), Refused> {
    let to = other_side(world, index, id, "Unknown node")?;
    world.refresh(index);
    let node = world.node_mut(index);
    let was_mine = node.view.owner(slot) == Some(index);
    let is_empty = node.keys.keys_in(slot).next().is_none();
    if was_mine && to != index && !is_empty {
        return Err(Refused::new(format!(
            "ERR Can't assign hashslot {slot} to a different node while I still hold keys for this hash slot."
        )));
    }
    if is_empty {
        node.migrating.remove(&slot);
    }
    let is_arrival = to == index && node.importing.remove(&slot).is_some();
    share_marks(world, index);
    if is_arrival {
        gossip::revise(world, index, |view| {
            view.set_owner(slot, Some(index));
            gossip::bump_epoch(view, index);
        });
        gossip::tell(world, index);
        return Ok(());
    }
    gossip::revise_quietly(world, index, |view| view.set_owner(slot, Some(to)));
    let view = std::sync::Arc::clone(&world.node(index).view);
    if was_mine && to != index && view.slots_of(index) == 0 {
        gossip::follow(world, index, &view, to);
        gossip::tell(world, index);
    }
    Ok(())
}

/// Valkey's replicas know which slots of their primary are open.
fn share_marks(world: &mut World, index: NodeIndex) {
    let node = world.node(index);
    if !node.profile.is_valkey() || !node.is_primary() {
        return;
    }
    let (migrating, importing) = (node.migrating.clone(), node.importing.clone());
    let replicas: Vec<NodeIndex> = node.view.replicas_of(index).collect();
    for replica in replicas {
        let node = world.node_mut(replica);
        if node.process != Process::Dead && node.view.role(replica) == Some(Role::ReplicaOf(index)) {
            (node.migrating, node.importing) = (migrating.clone(), importing.clone());
        }
    }
}

/// Moves keys with their values and expiries from one node to another, in place of what that has.
pub(super) fn move_keys(world: &mut World, from: NodeIndex, to: NodeIndex, keys: &[Bytes]) {
    for key in keys {
        if let Some(entry) = world.node_mut(from).keys.remove(key) {
            world.node_mut(to).keys.put_entry(key, entry);
        }
    }
    world.unsettled.extend([from, to]);
}

/// The first keys of a slot, at most so many.
pub(super) fn first_keys(world: &mut World, index: NodeIndex, slot: u16, most: usize) -> Vec<Bytes> {
    world.refresh(index);
    world.node(index).keys.keys_in(slot).take(most).cloned().collect()
}
