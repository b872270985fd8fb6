//! Slots go from one primary to another: several side by side, in one moment each where the servers can.

use std::collections::{BTreeSet, VecDeque};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::admin::atomic::{Course, move_atomically, way_of};
use crate::admin::databases::refuse_several_databases;
use crate::admin::handle::Admin;
use crate::admin::progress::Reporter;
use crate::admin::settle::agreed;
use crate::admin::slot_group::SlotGroup;
use crate::admin::slot_move::Ways;
use crate::admin::slots::Slots;
use crate::admin::step::Member;
use crate::admin::view::{ClusterView, NodeView};
use crate::error::{Error, Result};
use crate::slot::Slot;

/// Moves the slots; those that have arrived already are left alone.
///
/// # Errors
///
/// Of the first slot that could not be moved; those that were under way with it have been brought to their ends. Also if one
/// of the slots is on its way to another node: then nothing is moved.
pub(super) async fn move_slots(
    admin: &Admin,
    reporter: &Reporter<'_>,
    from: &Member,
    to: &Member,
    slots: &Slots,
) -> Result<()> {
    // A move to another target before must have reached everyone, with its epoch.
    let view = agreed(admin, None).await?;
    let target = view.node(&to.id).ok_or_else(|| {
        Error::usage(format!("{to} is to get slots and does not answer; plan again when it does"))
    })?;
    let open = view.open_slots();
    let arrived = |slot: Slot| target.myself.slots.contains(slot) && !open.contains(&slot);
    let left: Vec<Slot> = slots.iter().filter(|slot| !arrived(*slot)).collect();
    reporter.tell(|progress| progress.slots_done += slots.len() - left.len());
    let (marked, closed): (Vec<Slot>, Vec<Slot>) = left.into_iter().partition(|slot| open.contains(slot));
    if let Some((slot, other)) = marked.iter().find_map(|slot| Some((slot, other_target(&view, *slot, to)?)))
    {
        return Err(Error::usage(format!(
            "slot {slot} is on its way to {other}, and not to {to}, since after the plan was made: plan again"
        )));
    }
    let landmark = target.myself.slots.iter().next();
    // What was begun key by key is brought to its end that way.
    key_by_key(admin, reporter, &view, from, to, marked).await?;
    let way = if admin.options().atomic { way_of(admin, from, to).await? } else { None };
    match way {
        Some(way) => {
            let course = Course { way, from, to, landmark };
            move_atomically(admin, reporter, course, &closed.into_iter().collect()).await?;
        }
        None => key_by_key(admin, reporter, &view, from, to, closed).await?,
    }
    agreed(admin, Some(to)).await.map(drop)
}

async fn key_by_key(
    admin: &Admin,
    reporter: &Reporter<'_>,
    view: &ClusterView,
    from: &Member,
    to: &Member,
    slots: Vec<Slot>,
) -> Result<()> {
    if slots.is_empty() {
        return Ok(());
    }
    let primaries: Vec<Member> = view.primaries().map(Member::from).collect();
    let landmark = view.node(&to.id).and_then(|target| target.myself.slots.iter().next());
    let replicas_first = view.node(&to.id).is_some_and(|node| node.server.starts_with("valkey"));
    // Who owns it now may be another than the one that it is to be taken from: a plan is a moment old.
    let owner = |slot| view.owner(slot).map_or_else(|| from.clone(), Member::from);
    let owners: BTreeSet<Member> = slots.iter().map(|slot| owner(*slot)).collect();
    for owner in &owners {
        refuse_several_databases(admin, owner).await?;
    }
    // Two groups in turns, so that the target has something to do while the source sends keys.
    let most = admin.options().slots_at_a_time;
    let (groups, size) = if most == 1 { (1, 1) } else { (2, most / 2) };
    let mut waiting = VecDeque::from(slots);
    let mut under_way = FuturesUnordered::new();
    let mut failed = None;
    loop {
        while under_way.len() < groups && failed.is_none() && !reporter.is_stopped() {
            let Some(first) = waiting.pop_front() else { break };
            let source = owner(first);
            let mut group = vec![first];
            while group.len() < size
                && waiting.front().is_some_and(|next| owner(*next) == source)
                && let Some(next) = waiting.pop_front()
            {
                group.push(next);
            }
            let ways = Ways { primaries: &primaries, landmark };
            under_way.push(async move {
                let (from, to) = (&source, to);
                SlotGroup { admin, reporter, from, to, ways, replicas_first }.run(&group).await
            });
        }
        match under_way.next().await {
            Some(Ok(())) => {}
            Some(Err(error)) => failed = failed.or(Some(error)),
            None => return failed.map_or(Ok(()), Err),
        }
    }
}

/// The node to which the slot is on its way, if that is another than `to`: since the plan was made somebody has begun to move
/// it there. The keys that have arrived there would be looked for at `to`.
fn other_target<'a>(view: &'a ClusterView, slot: Slot, to: &Member) -> Option<&'a NodeView> {
    let owner = view.owner(slot)?;
    let named = view.successor(owner.myself.migrating.get(&slot)?, slot)?;
    let is_meant =
        *named.id() == to.id || view.successor(&to.id, slot).is_some_and(|heir| heir.id() == named.id());
    (!is_meant && named.id() != owner.id() && named.myself.importing.contains_key(&slot)).then_some(named)
}
