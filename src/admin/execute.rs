//! What each step of a plan does.

use crate::admin::acl::copy_users;
use crate::admin::functions::copy_functions;
use crate::admin::handle::Admin;
use crate::admin::membership::{fail_over, forget_lost, meet, remove, replicate};
use crate::admin::moves::move_slots;
use crate::admin::progress::Reporter;
use crate::admin::restart::{Restarter, restart};
use crate::admin::settle::{agreed, disowned, heard_by_all, not_well, raise_epoch, until};
use crate::admin::slot_move::{return_keys, setslot, tell_all};
use crate::admin::slots::Slots;
use crate::admin::step::{Member, Step};
use crate::command::Command;
use crate::error::{Error, ErrorKind, Result};
use crate::slot::Slot;

/// Does one step, and returns when its effect is there.
///
/// `restarter` is what the plan of a rolling restart has.
pub(super) async fn run_step(
    admin: &Admin,
    reporter: &Reporter<'_>,
    step: &Step,
    restarter: Option<&Restarter>,
) -> Result<()> {
    match step {
        Step::AssignSlots { node, slots } => {
            let add = Command::new("CLUSTER ADDSLOTS").args(slots.iter());
            admin.peer(&node.addr).order(&add).await.map(drop)
        }
        Step::SetEpoch { node, epoch } => {
            let set = Command::new("CLUSTER SET-CONFIG-EPOCH").arg(*epoch);
            admin.peer(&node.addr).order(&set).await.map(drop)
        }
        Step::Meet { nodes } => meet(admin, nodes).await,
        Step::Replicate { node, primary } => replicate(admin, node, primary).await,
        Step::Agree => agreed(admin, None).await.map(drop),
        Step::BeWell => until(admin, "the cluster is well", not_well).await.map(drop),
        Step::MoveSlots { from, to, slots, .. } => move_slots(admin, reporter, from, to, slots).await,
        Step::CloseSlots { node, slots } => {
            let stable: Vec<Command> = slots.iter().map(|slot| setslot(slot, "STABLE")).collect();
            all_accepted(admin, node, &stable).await
        }
        Step::ClaimSlots { node, slots } => claim(admin, node, slots).await,
        Step::YieldSlots { node, owner, slots } => {
            for slot in slots.iter() {
                return_keys(admin, reporter, slot, node, owner).await?;
                believe(admin, node, slot, owner).await?;
            }
            heard_by_all(admin, owner, &slots.0).await
        }
        Step::ReturnKeys { holder, owner, slots, .. } => {
            for slot in slots.iter() {
                return_keys(admin, reporter, slot, holder, owner).await?;
            }
            Ok(())
        }
        Step::BumpEpoch { node } => raise_epoch(admin, node).await,
        Step::CopyFunctions { from, to } => copy_functions(admin, from, to).await,
        Step::CopyUsers { from, to } => copy_users(admin, from, to).await,
        Step::Failover { node, manner } => fail_over(admin, node, *manner).await,
        Step::Remove { node } => remove(admin, node).await,
        Step::Forget { id } => forget_lost(admin, id).await,
        Step::Restart { node, successor, run_id } => {
            let restarter =
                restarter.ok_or_else(|| Error::usage("only a plan of roll() knows how to restart a node"))?;
            restart(admin, reporter, restarter, node, successor.as_ref(), run_id).await
        }
    }
}

async fn all_accepted(admin: &Admin, node: &Member, commands: &[Command]) -> Result<()> {
    let peer = admin.peer(&node.addr);
    for (command, reply) in commands.iter().zip(peer.ask_all(commands).await) {
        if let crate::protocol::value::Value::Error(error) = reply? {
            return Err(peer.refused(command, &error));
        }
    }
    Ok(())
}

/// Takes slots that nobody says are his. Others believe the newer epoch.
///
/// A node that takes another for the owner of one of them, as one that has not heard of a `DELSLOTS` does, would tell the
/// claimant so as soon as that other one has the newer epoch, by a failover or a collision; and the claimant would give the
/// slot up and delete its keys. So all that answer forget first whom they take for the owner: then no epoch matters to them.
/// Replicas, too, which nobody can tell of an owner by `SETSLOT`; they hear it from the claimant.
async fn claim(admin: &Admin, node: &Member, slots: &Slots) -> Result<()> {
    // For those that do not answer now.
    raise_epoch(admin, node).await?;
    let view = disowned(admin, node, &slots.0).await?;
    let serves = |slot: &Slot| view.owner(*slot).is_some_and(|owner| *owner.id() == node.id);
    let own: Vec<Slot> = slots.iter().filter(|slot| !serves(slot)).collect();
    let mut commands = Vec::new();
    if !own.is_empty() {
        commands.push(Command::new("CLUSTER ADDSLOTS").args(own));
    }
    commands.extend(slots.iter().map(|slot| setslot(slot, "STABLE")));
    all_accepted(admin, node, &commands).await?;
    let primaries: Vec<Member> = view.primaries().map(Member::from).collect();
    for slot in slots.iter() {
        tell_all(admin, &primaries, slot, node).await;
    }
    heard_by_all(admin, node, &slots.0).await
}

/// The node takes the other for the owner of the slot. Gossip may have been quicker.
async fn believe(admin: &Admin, node: &Member, slot: Slot, owner: &Member) -> Result<()> {
    match admin.peer(&node.addr).order(&setslot(slot, "NODE").arg(&*owner.id)).await {
        Err(error) if matches!(error.kind(), ErrorKind::Server | ErrorKind::Unavailable) => {
            let view = admin.node_view(&node.addr).await?;
            if view.myself.slots.contains(slot) { Err(error) } else { Ok(()) }
        }
        told => told.map(drop),
    }
}
