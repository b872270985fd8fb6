//! Slots that move in one moment, by the servers themselves: the source sends them (Valkey 9), or the target fetches them
//! (Redis 8.4). Many go part by part, and what fails is tried again; one migration is in
//! [`transit`](crate::admin::transit).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::admin::handle::Admin;
use crate::admin::progress::Reporter;
use crate::admin::slot_move::{heir_of, is_final};
use crate::admin::step::Member;
use crate::admin::transit::{Way, migrate};
use crate::command::Command;
use crate::error::Result;
use crate::slot::Slot;
use crate::topology::slot_set::SlotSet;

/// Slots of one migration: what a stop waits for, and what a failure sends back.
const AT_A_TIME: usize = 512;

/// Between two attempts, doubled up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// From where slots go, where, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course<'a> {
    pub(super) way: Way,
    pub(super) from: &'a Member,
    pub(super) to: &'a Member,
    /// A slot that the target had before: who serves it when the target does not answer has taken its place.
    pub(super) landmark: Option<Slot>,
}

/// How these servers can, if both can: while a cluster is renewed node by node, one of them may be too old.
pub(super) async fn way_of(admin: &Admin, source: &Member, target: &Member) -> Result<Option<Way>> {
    for way in [Way::Send, Way::Fetch] {
        if way.is_known_to(admin, source).await? && way.is_known_to(admin, target).await? {
            return Ok(Some(way));
        }
    }
    Ok(None)
}

/// Moves the slots, none of which is open; part by part. Told to stop, it cancels the part that is under way, which stays
/// with its source, unless the source has migrations of others too: cancelling is for all of them.
///
/// # Cancel safety
///
/// Dropped, the part that is under way goes on by itself; who asks for the same slots waits for its end.
pub(super) async fn move_atomically(
    admin: &Admin,
    reporter: &Reporter<'_>,
    course: Course<'_>,
    slots: &SlotSet,
) -> Result<()> {
    let all: Vec<Slot> = slots.iter().collect();
    for part in all.chunks(AT_A_TIME) {
        let Some(owner) = move_persistently(admin, reporter, course, part).await? else { break };
        // Only to be told of: that it cannot be asked at this moment is no failure of the move.
        let keys = count(admin, &owner, part).await.unwrap_or(0);
        reporter.tell(|progress| {
            progress.slots_done += part.len();
            progress.keys_done += keys;
        });
    }
    Ok(())
}

/// Tries again for as long as the options allow. Returns who has them then; `None` if it was told to stop.
async fn move_persistently(
    admin: &Admin,
    reporter: &Reporter<'_>,
    course: Course<'_>,
    part: &[Slot],
) -> Result<Option<Member>> {
    let mut failing_since: Option<Instant> = None;
    let mut pause = FIRST_PAUSE;
    while !reporter.is_stopped() {
        match move_part(admin, reporter, course, part).await {
            Ok(Some(owner)) => return Ok(Some(owner)),
            // A migration has come to its end; who owns what now is looked at anew, and what failed before it is over.
            Ok(None) => {
                failing_since = None;
                pause = FIRST_PAUSE;
                continue;
            }
            // It was cancelled.
            Err(_) if reporter.is_stopped() => return Ok(None),
            Err(error) => {
                let since = *failing_since.get_or_insert_with(Instant::now);
                if is_final(&error) || since.elapsed() >= admin.options().retry_for {
                    return Err(error);
                }
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
    Ok(None)
}

/// The keys that have arrived.
async fn count(admin: &Admin, node: &Member, slots: &[Slot]) -> Result<u64> {
    let asked: Vec<Command> =
        slots.iter().map(|slot| Command::new("CLUSTER COUNTKEYSINSLOT").arg(*slot)).collect();
    Ok(admin.peer(&node.addr).ints(&asked).await?.into_iter().sum())
}

/// Returns the target, or who has taken its place, when that has them all. `None`: one migration has come to its end, and it
/// is to be looked again.
async fn move_part(
    admin: &Admin,
    reporter: &Reporter<'_>,
    course: Course<'_>,
    part: &[Slot],
) -> Result<Option<Member>> {
    let Course { way, from, to, landmark } = course;
    let view = admin.view().await?;
    // By their owners of now: a failover may have come between, and some may have arrived in an attempt before.
    let mut by_owner: BTreeMap<Member, SlotSet> = BTreeMap::new();
    for slot in part {
        let owner = view.owner(*slot).map_or_else(|| from.clone(), Member::from);
        by_owner.entry(owner).or_default().extend([*slot]);
    }
    let heir = part.first().and_then(|slot| heir_of(&view, to, *slot, landmark));
    let target = heir.map_or_else(|| to.clone(), Member::from);
    by_owner.remove(&target);
    match by_owner.first_key_value() {
        None => Ok(Some(target)),
        Some((owner, slots)) => {
            migrate(admin, reporter, way, owner, &target, slots).await?;
            Ok(None)
        }
    }
}
