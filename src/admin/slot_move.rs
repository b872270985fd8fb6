//! One slot goes to another primary, key by key.
//!
//! The order is what makes it safe to stop anywhere: the target imports before the source migrates, so that an `ASK`
//! finds someone; the target owns before the source gives up, so that the slot always has an owner; and whatever was
//! interrupted is the same slot, still open, and is moved on from where it stands. Nothing is believed to have happened
//! or not because a reply was lost: the nodes are asked.
//!
//! Source: [CLUSTER SETSLOT](https://redis.io/docs/latest/commands/cluster-setslot/),
//! [MIGRATE](https://redis.io/docs/latest/commands/migrate/).

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::admin::databases::refuse_several_databases;
use crate::admin::handle::Admin;
use crate::admin::key_batch::{Arrival, KeyBatch, Transfer, batches};
use crate::admin::peer::Peer;
use crate::admin::progress::Reporter;
use crate::admin::step::Member;
use crate::admin::view::{ClusterView, NodeView};
use crate::command::Command;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::protocol::value::Value;
use crate::slot::Slot;

/// Between two attempts, doubled up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// What all moves of a step know.
#[derive(Clone, Copy)]
pub(super) struct Ways<'a> {
    /// Who is told of each.
    pub(super) primaries: &'a [Member],
    /// A slot that the target had before: who serves it when the target does not answer has taken its place.
    pub(super) landmark: Option<Slot>,
}

/// Moves the slot from one primary to the other, whatever of it has been done already.
///
/// Follows failovers of both: the promoted node is told again what the former one knew.
///
/// # Cancel safety
///
/// Dropped, the slot may stay open; moving it again goes on.
pub(super) async fn move_slot(
    admin: &Admin,
    reporter: &Reporter<'_>,
    slot: Slot,
    from: &Member,
    to: &Member,
    ways: Ways<'_>,
) -> Result<()> {
    let (mut from, mut to) = (from.clone(), to.clone());
    let mut failing_since: Option<Instant> = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let moved_before = reporter.last().keys_done;
        let attempt = SlotMove { admin, reporter, slot, from: &from, to: &to, primaries: ways.primaries };
        let Err(error) = attempt.run().await else { return Ok(()) };
        if is_final(&error) {
            return Err(error.with_slot(Some(slot)));
        }
        if reporter.last().keys_done > moved_before {
            failing_since = None;
            pause = FIRST_PAUSE;
        }
        let since = *failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= admin.options().retry_for {
            return Err(error.with_slot(Some(slot)));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
        // One of them may be another node by now.
        let Ok(view) = admin.view().await else { continue };
        if let Some(heir) = heir_of(&view, &to, slot, ways.landmark) {
            to = heir.into();
        }
        if let Some(owner) = view.owner(slot) {
            from = owner.into();
        }
        // Redis before 8 forgets the owner of a slot that it imports when that one is replaced, and believes nobody who
        // says that it is his: until it is told it refuses the keys.
        let target = view.node(&to.id).filter(|target| !target.myself.slots.contains(slot));
        if from.id != to.id && target.is_some_and(|target| target.owner(slot) != Some(&from.id)) {
            drop(admin.peer(&to.addr).ask(&setslot(slot, "NODE").arg(&*from.id)).await);
        }
        if from.id == to.id {
            // It has arrived; only the others may not have heard.
            let primaries: Vec<Member> = view.primaries().map(Member::from).collect();
            tell_all(admin, &primaries, slot, &to).await;
            reporter.tell(|progress| progress.slots_done += 1);
            return Ok(());
        }
    }
}

/// Who is the target of a slot now: it, or who has taken its place. Of one that does not answer, and had `landmark` before,
/// whoever serves that: the owner of a slot on its way to it is the source.
pub(super) fn heir_of<'a>(
    view: &'a ClusterView,
    to: &Member,
    slot: Slot,
    landmark: Option<Slot>,
) -> Option<&'a NodeView> {
    match view.node(&to.id) {
        Some(_) => view.successor(&to.id, slot),
        None => landmark.and_then(|landmark| view.successor(&to.id, landmark)),
    }
}

/// The slots that `from` owns and gives to `to`, by its own word. While it does, no key comes to one of them.
///
/// To be asked behind a look that has found them empty, before they are given up: who is a replica by now has told what it
/// has of its primary, and a primary that was promoted meanwhile (Redis) has forgotten the move and takes keys.
pub(super) async fn given_away(admin: &Admin, from: &Member, to: &Member) -> Result<BTreeSet<Slot>> {
    let source = admin.node_view(&from.addr).await?;
    if !source.is_primary() || *source.id() != from.id {
        return Ok(BTreeSet::new());
    }
    let line = &source.myself;
    let given = line.migrating.iter().filter(|(slot, other)| **other == to.id && line.slots.contains(**slot));
    Ok(given.map(|(slot, _)| *slot).collect())
}

/// Whether trying again cannot help.
pub(super) fn is_final(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Config | ErrorKind::Auth | ErrorKind::Usage | ErrorKind::Protocol => true,
        ErrorKind::Connect
        | ErrorKind::ConnectionLost
        | ErrorKind::Timeout
        | ErrorKind::Server
        | ErrorKind::CrossSlot
        | ErrorKind::Redirects
        | ErrorKind::Unavailable
        | ErrorKind::Conversion
        | ErrorKind::Overloaded
        | ErrorKind::SessionLost
        | ErrorKind::Closed => false,
    }
}

/// Connections to each node.
const LANES: usize = 8;

/// Slots that are under way side by side wait for few others' replies.
pub(super) fn lane_of(admin: &Admin, slot: Slot) -> usize {
    usize::from(slot.get()) % admin.options().slots_at_a_time.min(LANES)
}

/// `CLUSTER SETSLOT slot ...`.
pub(super) fn setslot(slot: Slot, action: &'static str) -> Command {
    Command::new("CLUSTER SETSLOT").arg(slot).arg(action)
}

/// Tells every primary whose the slot is. Their answers do not matter: gossip tells them too, a little later.
pub(super) async fn tell_all(admin: &Admin, primaries: &[Member], slot: Slot, owner: &Member) {
    let told = setslot(slot, "NODE").arg(&*owner.id);
    let others = primaries.iter().filter(|node| node.id != owner.id);
    join_all(others.map(|node| {
        let peer = admin.lane(&node.addr, lane_of(admin, slot));
        let told = told.clone();
        async move { drop(peer.ask(&told).await) }
    }))
    .await;
}

fn transfer<'a>(admin: &Admin, source: &'a Peer, target: &'a Peer) -> Transfer<'a> {
    let options = admin.options();
    Transfer {
        source,
        target,
        announced: admin.announced(target.addr()),
        timeout: options.key_timeout,
        patience: options.retry_for,
    }
}

/// One attempt.
pub(super) struct SlotMove<'a, 'r> {
    pub(super) admin: &'a Admin,
    pub(super) reporter: &'a Reporter<'r>,
    pub(super) slot: Slot,
    pub(super) from: &'a Member,
    pub(super) to: &'a Member,
    pub(super) primaries: &'a [Member],
}

impl SlotMove<'_, '_> {
    async fn run(&self) -> Result<()> {
        let lane = lane_of(self.admin, self.slot);
        let (source, target) = (self.admin.lane(&self.from.addr, lane), self.admin.lane(&self.to.addr, lane));
        if !self.open(&source, &target).await? {
            // The target owns it: an earlier attempt came so far.
            self.tell(&source).await;
            return Ok(());
        }
        let mut is_first = true;
        loop {
            let some =
                Command::new("CLUSTER GETKEYSINSLOT").arg(self.slot).arg(self.admin.options().batch_keys);
            let keys = source.strings(&some).await?;
            if keys.is_empty() {
                break;
            }
            for batch in batches(&source, keys, self.admin.options().batch_bytes).await? {
                // Said again before each: who was failed over meanwhile has forgotten it (Redis), and would answer nil
                // for the keys that have left.
                if !std::mem::take(&mut is_first) && !self.open(&source, &target).await? {
                    return Err(self.changed("the target serves it while the source still has keys"));
                }
                self.send(&source, &target, batch).await?;
            }
        }
        refuse_several_databases(self.admin, self.from).await?;
        if !self.is_marked().await? {
            return Err(self.changed("the source does not give it to the target any more"));
        }
        self.hand_over(&target).await?;
        self.tell(&source).await;
        Ok(())
    }

    /// Marks the slot at both. False: the target says that it is the owner.
    async fn open(&self, source: &Peer, target: &Peer) -> Result<bool> {
        let importing = setslot(self.slot, "IMPORTING").arg(&*self.from.id);
        match target.order(&importing).await {
            Err(error) if error.to_string().contains("already the owner") => return Ok(false),
            marked => drop(marked?),
        }
        source.order(&setslot(self.slot, "MIGRATING").arg(&*self.to.id)).await?;
        Ok(true)
    }

    async fn transfer(&self, source: &Peer, target: &Peer, batch: KeyBatch) -> Result<()> {
        let transfer = transfer(self.admin, source, target);
        let arrived = |arrival: Arrival| {
            self.reporter.tell(|progress| {
                progress.keys_done += arrival.keys;
                progress.bytes_done += arrival.bytes;
                progress.replaced += arrival.replaced;
            });
        };
        transfer.send(batch, || self.is_marked(), arrived).await
    }

    /// Whether the source owns the slot and gives it to the target: only then what it has is what counts, and may
    /// replace what the target has of an attempt before.
    async fn is_marked(&self) -> Result<bool> {
        Ok(given_away(self.admin, self.from, self.to).await?.contains(&self.slot))
    }

    /// The target becomes the owner.
    async fn hand_over(&self, target: &Peer) -> Result<()> {
        let node = setslot(self.slot, "NODE").arg(&*self.to.id);
        // Both at once: only who imports the slot at this moment gets the newer epoch that makes others believe it.
        let importing = setslot(self.slot, "IMPORTING").arg(&*self.from.id);
        let replies = target.ask_all(&[importing, node.clone()]).await;
        match replies.into_iter().next_back().transpose()? {
            Some(Value::Error(error)) => Err(target.refused(&node, &error)),
            Some(_) | None => Ok(()),
        }
    }

    /// The source hears of it, then the others.
    async fn tell(&self, source: &Peer) {
        // The source refuses while it still has keys, as a replica, and (Valkey) while its own replicas are silent. In
        // all of these cases the target's word reaches it by gossip.
        drop(source.ask(&setslot(self.slot, "NODE").arg(&*self.to.id)).await);
        tell_all(self.admin, self.primaries, self.slot, self.to).await;
        self.reporter.tell(|progress| progress.slots_done += 1);
    }

    /// Sends the keys, all of a slot that is marked, and rests.
    pub(super) async fn send(&self, source: &Peer, target: &Peer, batch: KeyBatch) -> Result<()> {
        self.transfer(source, target, batch).await?;
        if !self.admin.options().pause.is_zero() {
            sleep(self.admin.options().pause).await;
        }
        Ok(())
    }

    fn changed(&self, text: &'static str) -> Error {
        Error::new(ErrorKind::Unavailable, Outcome::Rejected, text).with_node(self.from.addr.clone())
    }
}

/// Takes all keys of a slot that `holder` does not own to its owner, who keeps what it has. Returns how many.
///
/// The holder imports the slot for the time, because a node that neither owns nor imports it sends `MIGRATE` away.
pub(super) async fn return_keys(
    admin: &Admin,
    reporter: &Reporter<'_>,
    slot: Slot,
    holder: &Member,
    owner: &Member,
) -> Result<u64> {
    let peer = admin.peer(&holder.addr);
    let target = admin.peer(&owner.addr);
    // One that has forgotten the owner (Redis before 8, after a failover) would send nothing. Refused by one that takes
    // itself for the owner, while it has keys.
    drop(peer.ask(&setslot(slot, "NODE").arg(&*owner.id)).await);
    // A holder that takes itself for the owner needs no mark.
    let importing = setslot(slot, "IMPORTING").arg(&*owner.id);
    match peer.order(&importing).await {
        Err(error) if error.to_string().contains("already the owner") => {}
        marked => drop(marked?),
    }
    let transfer = transfer(admin, &peer, &target);
    let mut moved = 0;
    loop {
        let some = Command::new("CLUSTER GETKEYSINSLOT").arg(slot).arg(admin.options().batch_keys);
        let keys: Vec<Bytes> = peer.strings(&some).await?;
        if keys.is_empty() {
            break;
        }
        for batch in batches(&peer, keys, admin.options().batch_bytes).await? {
            let keys = batch.len();
            moved += transfer.send_or_drop(batch).await?;
            reporter.tell(|progress| progress.keys_done += keys);
        }
    }
    // Refused by one that takes itself for the owner; then there is no mark.
    drop(peer.ask(&setslot(slot, "STABLE")).await?);
    Ok(moved)
}
