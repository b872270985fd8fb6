//! What each [`Step`] of a script does.

use crate::node::NodeAddr;
use crate::slot::Slot;
use crate::testkit::sim::copying;
use crate::testkit::sim::error::SimError;
use crate::testkit::sim::failover;
use crate::testkit::sim::form;
use crate::testkit::sim::node::Process;
use crate::testkit::sim::presence;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::script::Step;
use crate::testkit::sim::slot_moves;
use crate::testkit::sim::view::{NodeIndex, Role};
use crate::testkit::sim::world::World;

/// Does one step, or says why it makes no sense now.
pub(super) fn perform(world: &mut World, step: &Step) -> Result<(), SimError> {
    match step {
        Step::Kill(node) => kill(world, node),
        Step::Restart(node) => restart(world, node),
        Step::Stop(node) => stop(world, node),
        Step::Continue(node) => go_on(world, node),
        Step::Disconnect(node) => disconnect(world, node),
        Step::Isolate(node) => isolate(world, node),
        Step::Heal(node) => heal(world, node),
        Step::Promote(node) => promote(world, node),
        Step::OpenSlot(slot, to) => open_slot(world, *slot, to).map(|_| ()),
        Step::MigrateKeys(slot, most) => migrate_keys(world, *slot, *most),
        Step::CloseSlot(slot) => close_slot(world, *slot),
        Step::MoveSlot(slot, to) => move_slot(world, *slot, to),
        Step::Inject(fault) => {
            world.inject(fault.clone());
            Ok(())
        }
        Step::LiftAll => {
            world.faults.lift_all();
            Ok(())
        }
    }
}

fn find(world: &World, addr: &NodeAddr) -> Result<NodeIndex, SimError> {
    world.node_at(addr).ok_or_else(|| SimError::UnknownNode(addr.clone()))
}

fn wrong(addr: &NodeAddr, verb: &'static str, state: &'static str) -> SimError {
    SimError::WrongState { node: addr.clone(), verb, state }
}

fn state(process: Process) -> &'static str {
    match process {
        Process::Running => "running",
        Process::Stopped => "stopped",
        Process::Dead => "dead",
    }
}

/// The node, if its process is as the step needs it.
fn with_process(
    world: &World,
    addr: &NodeAddr,
    verb: &'static str,
    fits: impl Fn(Process) -> bool,
) -> Result<NodeIndex, SimError> {
    let index = find(world, addr)?;
    let process = world.node(index).process;
    if fits(process) { Ok(index) } else { Err(wrong(addr, verb, state(process))) }
}

fn running(world: &World, addr: &NodeAddr, verb: &'static str) -> Result<NodeIndex, SimError> {
    with_process(world, addr, verb, |process| process == Process::Running)
}

fn kill(world: &mut World, addr: &NodeAddr) -> Result<(), SimError> {
    let index = with_process(world, addr, "killed", |process| process != Process::Dead)?;
    let was_on_bus = world.node(index).is_on_bus();
    world.refresh(index);
    copying::cut_off(world, index);
    world.set_process(index, Process::Dead);
    let node = world.node_mut(index);
    // What has not been applied is copied anew.
    node.pending.clear();
    node.is_paused = false;
    if was_on_bus {
        presence::leave(world, index);
    }
    Ok(())
}

fn restart(world: &mut World, addr: &NodeAddr) -> Result<(), SimError> {
    let index = with_process(world, addr, "restarted", |process| process == Process::Dead)?;
    world.set_process(index, Process::Running);
    presence::start(world, index);
    if world.node(index).is_primary() {
        copying::resume_all(world, index);
    } else {
        copying::begin(world, index);
    }
    presence::come_back(world, index);
    Ok(())
}

fn stop(world: &mut World, addr: &NodeAddr) -> Result<(), SimError> {
    let index = running(world, addr, "stopped")?;
    let was_on_bus = world.node(index).is_on_bus();
    world.refresh(index);
    world.set_process(index, Process::Stopped);
    if was_on_bus {
        presence::leave(world, index);
    }
    Ok(())
}

fn go_on(world: &mut World, addr: &NodeAddr) -> Result<(), SimError> {
    let index = with_process(world, addr, "continued", |process| process == Process::Stopped)?;
    world.set_process(index, Process::Running);
    if world.node(index).is_copying {
        copying::begin(world, index);
    }
    copying::resume(world, index);
    presence::come_back(world, index);
    Ok(())
}

fn disconnect(world: &mut World, addr: &NodeAddr) -> Result<(), SimError> {
    let index = find(world, addr)?;
    for session in world.sessions_of(index) {
        world.close(session);
    }
    Ok(())
}

fn isolate(world: &mut World, addr: &NodeAddr) -> Result<(), SimError> {
    let index = find(world, addr)?;
    let node = world.node_mut(index);
    if std::mem::replace(&mut node.is_isolated, true) {
        return Err(wrong(addr, "isolated", "isolated already"));
    }
    if node.process == Process::Running {
        presence::leave(world, index);
    }
    Ok(())
}

fn heal(world: &mut World, addr: &NodeAddr) -> Result<(), SimError> {
    let index = find(world, addr)?;
    if !std::mem::replace(&mut world.node_mut(index).is_isolated, false) {
        return Err(wrong(addr, "healed", "not isolated"));
    }
    presence::come_back(world, index);
    Ok(())
}

fn promote(world: &mut World, addr: &NodeAddr) -> Result<(), SimError> {
    let index = running(world, addr, "promoted")?;
    let Some(Role::ReplicaOf(primary)) = world.node(index).view.role(index) else {
        return Err(wrong(addr, "promoted", "a primary"));
    };
    failover::promote(world, index, primary);
    Ok(())
}

fn refused(addr: &NodeAddr, command: String) -> impl FnOnce(Refused) -> SimError {
    let node = addr.clone();
    move |refused| SimError::Refused { node, command, error: refused.0.into_owned() }
}

/// Marks the slot on both sides; who they are.
fn open_slot(world: &mut World, slot: Slot, to: &NodeAddr) -> Result<(NodeIndex, NodeIndex), SimError> {
    let target = running(world, to, "given a slot")?;
    let number = slot.get();
    let owner =
        form::owner(world, number).ok_or_else(|| SimError::Shape(format!("slot {slot} has no owner")))?;
    let from = world.node(owner).addr.clone();
    running(world, &from, "told to give a slot away")?;
    let (source_id, target_id) = (world.node(owner).id.clone(), world.node(target).id.clone());
    slot_moves::only_primaries(world, target)
        .and_then(|()| slot_moves::set_importing(world, target, number, source_id.as_bytes()))
        .map_err(refused(to, format!("CLUSTER SETSLOT {slot} IMPORTING {source_id}")))?;
    slot_moves::set_migrating(world, owner, number, target_id.as_bytes())
        .map_err(refused(&from, format!("CLUSTER SETSLOT {slot} MIGRATING {target_id}")))?;
    Ok((owner, target))
}

/// Where an open slot leaves and where it comes to.
fn both_sides(world: &World, slot: Slot) -> Result<(NodeIndex, NodeIndex), SimError> {
    let number = slot.get();
    let source = world.nodes.iter().find(|node| {
        node.view.owner(number) == Some(node.index)
            && node.is_primary()
            && node.migrating.contains_key(&number)
    });
    let sides = source.and_then(|node| Some((node.index, *node.migrating.get(&number)?)));
    let (source, target) = sides.ok_or(SimError::SlotNotOpen(slot))?;
    running(world, &world.node(source).addr, "told to give keys away")?;
    running(world, &world.node(target).addr, "given keys")?;
    Ok((source, target))
}

fn migrate_keys(world: &mut World, slot: Slot, most: usize) -> Result<(), SimError> {
    let (source, target) = both_sides(world, slot)?;
    let keys = slot_moves::first_keys(world, source, slot.get(), most);
    slot_moves::move_keys(world, source, target, &keys);
    Ok(())
}

/// Told to the importing node and to the other, as `redis-cli` does; the rest hear of it.
fn close_slot(world: &mut World, slot: Slot) -> Result<(), SimError> {
    let (source, target) = both_sides(world, slot)?;
    let (id, number) = (world.node(target).id.clone(), slot.get());
    let command = format!("CLUSTER SETSLOT {slot} NODE {id}");
    if !slot_moves::first_keys(world, source, number, 1).is_empty() {
        let addr = world.node(source).addr.clone();
        return slot_moves::set_owner(world, source, number, id.as_bytes()).map_err(refused(&addr, command));
    }
    for side in [target, source] {
        let addr = world.node(side).addr.clone();
        slot_moves::set_owner(world, side, number, id.as_bytes()).map_err(refused(&addr, command.clone()))?;
    }
    Ok(())
}

fn move_slot(world: &mut World, slot: Slot, to: &NodeAddr) -> Result<(), SimError> {
    open_slot(world, slot, to)?;
    migrate_keys(world, slot, usize::MAX)?;
    close_slot(world, slot)
}
