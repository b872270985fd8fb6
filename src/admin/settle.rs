//! Waiting until all nodes say the same: before a slot changes hands and after.
//!
//! A slot whose new owner has no newer epoch than everyone else is taken away from it again by gossip, with its keys.
//! Redis gives the target of a move an epoch that is newer than all that *it has heard of*; so nothing is moved to
//! another target before all have heard of the last one.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::admin::handle::Admin;
use crate::admin::step::Member;
use crate::admin::view::{ClusterView, NodeView};
use crate::command::Command;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::slot::Slot;
use crate::topology::slot_set::SlotSet;

/// Between two looks: gossip takes milliseconds where it is told at once, and a second where it is not.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_millis(250);

/// After this time gossip alone is not believed to help.
const REMEDY_AFTER: Duration = Duration::from_secs(3);

/// Waits until `complaint` has nothing to say of the view, for as long as the options allow.
///
/// Dropped at any time, nothing was changed.
pub(super) async fn until(
    admin: &Admin,
    what: &str,
    mut complaint: impl FnMut(&ClusterView) -> Option<String>,
) -> Result<ClusterView> {
    let limit = admin.options().agreement_timeout;
    let deadline = Instant::now() + limit;
    let mut pause = FIRST_LOOK;
    loop {
        let said = match admin.view().await {
            Ok(view) => match complaint(&view) {
                None => return Ok(view),
                Some(said) => said,
            },
            Err(error) => error.to_string(),
        };
        if Instant::now() >= deadline {
            let text = format!("waited {limit:?} until {what}: {said}");
            return Err(Error::new(ErrorKind::Timeout, Outcome::MaybeExecuted, text));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_LOOK);
    }
}

/// Waits until all nodes agree on slots, roles and epochs.
///
/// While somebody does not believe an owner, everybody is told again, and the owner is given a newer epoch: who has not
/// heard of it before its slot's former owner got a newer one itself would never believe it. `bumped` is who got slots
/// last.
pub(super) async fn agreed(admin: &Admin, bumped: Option<&Member>) -> Result<ClusterView> {
    let deadline = Instant::now() + admin.options().agreement_timeout;
    let mut round = 0;
    while Instant::now() < deadline {
        let early = until_or(admin, REMEDY_AFTER).await?;
        if early.disagreement().is_none() {
            return Ok(early);
        }
        let mut owners: Vec<Member> = bumped.cloned().into_iter().collect();
        owners.extend(early.doubted().map(Member::from));
        // With a newer epoch they would be believed of slots that are not theirs.
        owners.retain(|owner| !early.is_overrated(&owner.id));
        // One at a time: a second one's newer epoch would hide what the first one says.
        match owners.iter().cycle().nth(round) {
            Some(owner) => {
                insist(admin, &early, owner).await;
                raise_epoch(admin, owner).await?;
            }
            None => {
                for owner in early.primaries().map(Member::from) {
                    insist(admin, &early, &owner).await;
                }
            }
        }
        round += 1;
    }
    until(admin, "all nodes agree", ClusterView::disagreement).await
}

/// Waits until all nodes that answer take the node for the owner of these slots, but not for ever: before another node
/// gets a newer epoch, which would hide from them what this one says.
pub(super) async fn heard_by_all(admin: &Admin, owner: &Member, slots: &SlotSet) -> Result<()> {
    let deadline = Instant::now() + REMEDY_AFTER;
    let mut pause = FIRST_LOOK;
    loop {
        let view = admin.view().await?;
        let believes = |teller: &NodeView| {
            teller.line_of(&owner.id).is_some_and(|line| slots.clone().without(&line.slots).is_empty())
        };
        if view.nodes.iter().all(believes) || Instant::now() >= deadline {
            return Ok(());
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_LOOK);
    }
}

/// Has all that answer forget whom they take for the owner of slots that `claimant` is about to take, and returns a view in
/// which they have. What the claimant serves already stays.
///
/// # Errors
///
/// `Usage` if a slot has an owner by now, or the claimant is no primary any more; `Timeout` if a node does not forget.
///
/// # Cancel safety
///
/// Dropped, some have forgotten, which is safe: nobody serves the slots.
pub(super) async fn disowned(admin: &Admin, claimant: &Member, slots: &SlotSet) -> Result<ClusterView> {
    let limit = admin.options().agreement_timeout;
    let deadline = Instant::now() + limit;
    let mut pause = FIRST_LOOK;
    loop {
        let view = admin.view().await?;
        let Some(node) = view.node(&claimant.id).filter(|node| node.is_primary()) else {
            let text = format!("{claimant} was to take slots and does not answer as a primary; plan again");
            return Err(Error::usage(text));
        };
        let wanted = slots.clone().without(&node.myself.slots);
        let serves = |other: &&NodeView| wanted.iter().any(|slot| other.myself.slots.contains(slot));
        if let Some(owner) = view.primaries().find(serves) {
            let text =
                format!("{claimant} was to take slots that nobody serves, and {owner} does; plan again");
            return Err(Error::usage(text));
        }
        let mut is_anyone_wrong = false;
        for teller in &view.nodes {
            let believed: Vec<Slot> = wanted.iter().filter(|slot| teller.owner(*slot).is_some()).collect();
            if believed.is_empty() {
                continue;
            }
            if Instant::now() >= deadline {
                let text = format!(
                    "{teller} still takes somebody for the owner of slots that nobody serves, {limit:?} after it was \
                     told CLUSTER DELSLOTS"
                );
                return Err(Error::new(ErrorKind::Timeout, Outcome::MaybeExecuted, text));
            }
            is_anyone_wrong = true;
            forget_owner(admin, teller, believed).await;
        }
        if !is_anyone_wrong {
            return Ok(view);
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_LOOK);
    }
}

/// The node takes nobody for the owner of the slots any more. Of one of which it has heard meanwhile it says that there is
/// no owner, or another; so the answers do not matter, and the next look tells.
async fn forget_owner(admin: &Admin, node: &NodeView, slots: Vec<Slot>) {
    let forget: Vec<Command> =
        slots.into_iter().map(|slot| Command::new("CLUSTER DELSLOTS").arg(slot)).collect();
    drop(admin.peer(&node.addr).ask_all(&forget).await);
}

/// Tells everybody once more what the node owns: a replica that was promoted while slots left its shard was told by nobody.
///
/// Replicas cannot be told of an owner; they forget the one that they know, and believe the next who says that it is he.
async fn insist(admin: &Admin, view: &ClusterView, owner: &Member) {
    let Some(node) = view.node(&owner.id).filter(|node| node.is_primary()) else { return };
    for other in view.nodes.iter().filter(|other| other.id() != node.id()) {
        let doubted = |slot: &Slot| match other.owner(*slot) {
            Some(known) => known != node.id(),
            None => other.is_primary(),
        };
        let is_his = |slot: &Slot| view.owner(*slot).is_some_and(|owner| owner.id() == node.id());
        let doubted = node.myself.slots.iter().filter(doubted).filter(is_his);
        if other.is_primary() {
            // Refused by one that has keys of the slot: then it is for `fix` to decide whose they are.
            let told: Vec<Command> = doubted
                .map(|slot| Command::new("CLUSTER SETSLOT").arg(slot).arg("NODE").arg(&*owner.id))
                .collect();
            drop(admin.peer(&other.addr).ask_all(&told).await);
        } else {
            forget_owner(admin, other, doubted.collect()).await;
        }
    }
}

/// What speaks against all being well.
pub(super) fn not_well(view: &ClusterView) -> Option<String> {
    view.disagreement().or_else(|| {
        let ill = view.nodes.iter().find(|node| &*node.state != "ok")?;
        Some(format!("{ill} says that the cluster's state is {}", ill.state))
    })
}

/// Gives the node an epoch that is newer than all others.
///
/// One that has the newest already is left as it is by `BUMPEPOCH`, also if another has the same: then a third is bumped
/// first.
pub(super) async fn raise_epoch(admin: &Admin, node: &Member) -> Result<()> {
    let bump = Command::new("CLUSTER BUMPEPOCH");
    let peer = admin.peer(&node.addr);
    peer.order(&bump).await?;
    let view = admin.view().await?;
    let Some(own) = view.node(&node.id).map(|node| node.myself.epoch) else { return Ok(()) };
    let mut others = view.primaries().filter(|other| **other.id() != *node.id);
    if others.clone().all(|other| other.myself.epoch < own) {
        return Ok(());
    }
    if let Some(third) = others.find(|other| other.myself.epoch < own && !view.is_overrated(other.id())) {
        admin.peer(&third.addr).order(&bump).await?;
    }
    let begin = Instant::now();
    while admin.node_view(&node.addr).await?.current_epoch <= own && begin.elapsed() < REMEDY_AFTER {
        sleep(LAST_LOOK).await;
    }
    peer.order(&bump).await.map(drop)
}

/// The view when all agree, or at the latest after `limit`.
async fn until_or(admin: &Admin, limit: Duration) -> Result<ClusterView> {
    let deadline = Instant::now() + limit;
    let mut pause = FIRST_LOOK;
    loop {
        match admin.view().await {
            Ok(view) if view.disagreement().is_none() => return Ok(view),
            result if Instant::now() >= deadline => return result,
            _not_yet => sleep(pause).await,
        }
        pause = (pause * 2).min(LAST_LOOK);
    }
}
