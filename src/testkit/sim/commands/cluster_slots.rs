//! `CLUSTER` subcommands by which a node is told which slots are whose.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::slot::Slot;
use crate::testkit::sim::call::{Answer, Answered, Call, Wait, int, reply};
use crate::testkit::sim::gossip;
use crate::testkit::sim::node::Process;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::slot_moves;
use crate::testkit::sim::view::Role;

/// For how long Valkey's `SETSLOT` waits for replicas that do not answer.
const REPLICAS_TIMEOUT: Duration = Duration::from_secs(2);

fn slot(arg: &[u8]) -> Result<u16, Refused> {
    let slot = int(arg).ok().and_then(|number| u16::try_from(number).ok()).and_then(Slot::new);
    slot.map(Slot::get).ok_or_else(|| Refused::new("ERR Invalid or out of range slot"))
}

pub(super) fn setslot(call: &mut Call<'_>) -> Answered {
    slot_moves::only_primaries(call.world, call.node)?;
    let number = slot(&call.arg(2))?;
    let is_valkey = call.world.node(call.node).profile.is_valkey();
    // Only Valkey has a `TIMEOUT` behind it.
    let has = |words: usize| {
        let timeout = is_valkey && call.args.len() == words + 2 && call.is(words, "TIMEOUT");
        call.args.len() == words || timeout
    };
    // Valkey does not look at what stands behind it.
    let (stable, other) = (call.is(3, "STABLE") && (has(4) || is_valkey), has(5));
    let takes_id = other && ["MIGRATING", "IMPORTING", "NODE"].iter().any(|word| call.is(3, word));
    if !stable && !takes_id {
        return Err(Refused::new(
            "ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP",
        ));
    }
    if is_valkey && has_silent_replica(call) {
        let in_vain = Reply::error("NOREPLICAS Not enough good replicas to write.");
        return Ok(Answer::Wait(Wait {
            on_timeout: in_vain.clone(),
            at_once: in_vain,
            ..Wait::new(Vec::new(), "", Some(REPLICAS_TIMEOUT))
        }));
    }
    let id = call.arg(4);
    if stable {
        slot_moves::set_stable(call.world, call.node, number);
    } else if call.is(3, "MIGRATING") {
        slot_moves::set_migrating(call.world, call.node, number, &id)?;
    } else if call.is(3, "IMPORTING") {
        slot_moves::set_importing(call.world, call.node, number, &id)?;
    } else {
        slot_moves::set_owner(call.world, call.node, number, &id)?;
    }
    reply(Reply::Ok)
}

/// Valkey's replicas hear of it first.
fn has_silent_replica(call: &Call<'_>) -> bool {
    let mut replicas = call.world.node(call.node).view.replicas_of(call.node);
    replicas.any(|replica| {
        let node = call.world.node(replica);
        node.process == Process::Stopped && node.view.role(replica) == Some(Role::ReplicaOf(call.node))
    })
}

pub(super) fn addslots(call: &mut Call<'_>) -> Answered {
    let slots = listed(call)?;
    add(call, slots)
}

pub(super) fn addslotsrange(call: &mut Call<'_>) -> Answered {
    let slots = ranges(call)?;
    add(call, slots)
}

pub(super) fn delslots(call: &mut Call<'_>) -> Answered {
    let slots = listed(call)?;
    remove(call, slots)
}

pub(super) fn delslotsrange(call: &mut Call<'_>) -> Answered {
    let slots = ranges(call)?;
    remove(call, slots)
}

fn listed(call: &Call<'_>) -> Result<Vec<u16>, Refused> {
    call.args.iter().skip(2).map(|arg| slot(arg)).collect()
}

fn ranges(call: &Call<'_>) -> Result<Vec<u16>, Refused> {
    let bounds = listed(call)?;
    if bounds.len() % 2 != 0 {
        let name = String::from_utf8_lossy(&call.arg(1)).to_ascii_lowercase();
        return Err(Refused::new(format!("ERR wrong number of arguments for 'cluster|{name}' command")));
    }
    let mut slots = Vec::new();
    let mut bounds = bounds.into_iter();
    while let (Some(first), Some(last)) = (bounds.next(), bounds.next()) {
        if first > last {
            return Err(Refused::new(format!(
                "ERR start slot number {first} is greater than end slot number {last}"
            )));
        }
        slots.extend(first..=last);
    }
    Ok(slots)
}

/// All slots or none: each must be as it is wanted, and named once.
fn all_are(call: &Call<'_>, slots: &[u16], owned: bool) -> Result<(), Refused> {
    let view = &call.world.node(call.node).view;
    let mut seen = BTreeSet::new();
    for slot in slots {
        match (owned, view.owner(*slot)) {
            (true, None) => return Err(Refused::new(format!("ERR Slot {slot} is already unassigned"))),
            (false, Some(_)) => return Err(Refused::new(format!("ERR Slot {slot} is already busy"))),
            (true, Some(_)) | (false, None) => {}
        }
        if !seen.insert(slot) {
            return Err(Refused::new(format!("ERR Slot {slot} specified multiple times")));
        }
    }
    Ok(())
}

fn add(call: &mut Call<'_>, slots: Vec<u16>) -> Answered {
    all_are(call, &slots, false)?;
    let index = call.node;
    call.world.node_mut(index).importing.retain(|slot, _| !slots.contains(slot));
    gossip::revise(call.world, index, |view| {
        slots.iter().for_each(|slot| view.set_owner(*slot, Some(index)));
    });
    gossip::tell(call.world, index);
    reply(Reply::Ok)
}

/// Only this node's own word: the others go on to send clients to whom they know.
fn remove(call: &mut Call<'_>, slots: Vec<u16>) -> Answered {
    all_are(call, &slots, true)?;
    gossip::revise_quietly(call.world, call.node, |view| {
        slots.iter().for_each(|slot| view.set_owner(*slot, None));
    });
    reply(Reply::Ok)
}

pub(super) fn flushslots(call: &mut Call<'_>) -> Answered {
    let node = call.world.node(call.node);
    if node.keys.len() > 0 {
        return Err(Refused::new("ERR DB must be empty to perform CLUSTER FLUSHSLOTS."));
    }
    let ranges = node.view.ranges_of(call.node).to_vec();
    gossip::revise_quietly(call.world, call.node, |view| {
        for (first, last) in ranges {
            (first..=last).for_each(|slot| view.set_owner(slot, None));
        }
    });
    reply(Reply::Ok)
}

pub(super) fn bumpepoch(call: &mut Call<'_>) -> Answered {
    let index = call.node;
    let mut bumped = false;
    gossip::revise(call.world, index, |view| bumped = gossip::bump_epoch(view, index));
    if bumped {
        gossip::tell(call.world, index);
    }
    let epoch = call.world.node(index).view.epoch_of(index);
    let word = if bumped { "BUMPED" } else { "STILL" };
    reply(Reply::Simple(format!("{word} {epoch}").into()))
}

pub(super) fn set_config_epoch(call: &mut Call<'_>) -> Answered {
    let epoch = int(&call.arg(2))?;
    let index = call.node;
    let view = &call.world.node(index).view;
    let Ok(epoch) = u64::try_from(epoch) else {
        return Err(Refused::new(format!("ERR Invalid config epoch specified: {epoch}")));
    };
    if view.members().len() > 1 {
        return Err(Refused::new(
            "ERR The user can assign a config epoch only when the node does not know any other node.",
        ));
    }
    if view.epoch_of(index) != 0 {
        return Err(Refused::new("ERR Node config epoch is already non-zero"));
    }
    gossip::revise(call.world, index, |view| view.declare(index, Role::Primary, epoch));
    reply(Reply::Ok)
}
