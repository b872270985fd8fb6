//! Slots that go to another primary together: what has to be said of each is said of all in one go.
//!
//! Each slot goes the way of [`slot_move`](crate::admin::slot_move), in the same order; but the round trips are shared, and so
//! is what a server does once for all that it is told at a time: it writes its configuration file, which takes longer than
//! to move a hundred small keys. Whatever does not go as it should is left to `move_slot`, which goes on from where the slot
//! stands; so is a slot with more keys than one batch, for which the others must not wait.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use futures_util::stream::FuturesUnordered;

use crate::admin::databases::refuse_several_databases;
use crate::admin::handle::Admin;
use crate::admin::key_batch::{KeyBatch, divide, sizes};
use crate::admin::progress::Reporter;
use crate::admin::slot_move::{SlotMove, Ways, given_away, lane_of, move_slot, setslot};
use crate::admin::step::Member;
use crate::command::Command;
use crate::error::Result;
use crate::protocol::value::Value;
use crate::slot::Slot;

/// Batches that the source has at a time: enough that it need not wait for the next, and few, because it serves nobody
/// else before it has sent those that it has.
const SENDING: usize = 2;

/// From where slots go, and where.
pub(super) struct SlotGroup<'a, 'r> {
    pub(super) admin: &'a Admin,
    pub(super) reporter: &'a Reporter<'r>,
    /// Who has all of them.
    pub(super) from: &'a Member,
    pub(super) to: &'a Member,
    pub(super) ways: Ways<'a>,
    /// Whether a `SETSLOT` holds up what is behind it on its connection until the replicas have it (Valkey 8): then each
    /// slot is spoken of on a connection of its own.
    pub(super) replicas_first: bool,
}

/// The replies to what was said of one slot; `None` if not all came, or one of them is an error.
fn accepted(replies: Vec<Result<Value>>) -> Option<Vec<Value>> {
    let accepted = |reply: Result<Value>| match reply {
        Ok(Value::Error(_)) | Err(_) => None,
        Ok(value) => Some(value),
    };
    replies.into_iter().map(accepted).collect()
}

impl<'a, 'r> SlotGroup<'a, 'r> {
    /// Moves the slots, whatever of them has been done already.
    ///
    /// # Errors
    ///
    /// Of the first slot that could not be moved; the others have been brought to their ends.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the slots may stay open; moving them again goes on.
    pub(super) async fn run(&self, slots: &[Slot]) -> Result<()> {
        let small = self.open(slots).await;
        let alone: Vec<Slot> = slots.iter().copied().filter(|slot| !small.contains_key(slot)).collect();
        let together = async {
            let begun: Vec<Slot> = small.keys().copied().collect();
            let arrived = self.carry(small).await;
            let left: Vec<Slot> = begun.into_iter().filter(|slot| !arrived.contains(slot)).collect();
            self.one_by_one(&left).await
        };
        let (together, alone) = join(together, self.one_by_one(&alone)).await;
        together.and(alone)
    }

    async fn one_by_one(&self, slots: &[Slot]) -> Result<()> {
        let mut moves: FuturesUnordered<_> = slots
            .iter()
            .map(|slot| move_slot(self.admin, self.reporter, *slot, self.from, self.to, self.ways))
            .collect();
        let mut result = Ok(());
        while let Some(moved) = moves.next().await {
            result = result.and(moved);
        }
        result
    }

    /// Marks the slots at both ends, and returns those whose keys are known and fit into one batch.
    async fn open(&self, slots: &[Slot]) -> BTreeMap<Slot, KeyBatch> {
        let importing = |slot| [setslot(slot, "IMPORTING").arg(&*self.from.id)];
        let marked = self.say(self.to, slots, importing).await;
        let marked: Vec<Slot> =
            marked.into_iter().filter_map(|(slot, said)| accepted(said).map(|_| slot)).collect();
        let most = self.admin.options().batch_keys;
        let migrating = |slot| {
            [
                setslot(slot, "MIGRATING").arg(&*self.to.id),
                Command::new("CLUSTER GETKEYSINSLOT").arg(slot).arg(most),
            ]
        };
        let named = self.say(self.from, &marked, migrating).await;
        let keys = named.into_iter().filter_map(|(slot, said)| match accepted(said)?.pop()? {
            Value::Array(keys) => {
                let name = |key| match key {
                    Value::Bulk(name) => Some(name),
                    _no_name => None,
                };
                Some((slot, keys.into_iter().map(name).collect::<Option<Vec<Bytes>>>()?))
            }
            _no_list => None,
        });
        // A full list may not be all.
        self.batched(keys.filter(|(_, keys)| keys.len() < most).collect()).await.unwrap_or_default()
    }

    async fn batched(&self, keys: BTreeMap<Slot, Vec<Bytes>>) -> Result<BTreeMap<Slot, KeyBatch>> {
        let all: Vec<Bytes> = keys.values().flatten().cloned().collect();
        let mut sizes = sizes(&self.admin.peer(&self.from.addr), &all).await?.into_iter();
        let most = self.admin.options().batch_bytes;
        let batched = keys.into_iter().filter_map(|(slot, keys)| {
            let own: Vec<u64> = sizes.by_ref().take(keys.len()).collect();
            let all_fit = own.iter().fold(0_u64, |sum, size| sum.saturating_add(*size)) <= most;
            let batch = divide(keys.into_iter().zip(own), most).pop().unwrap_or_default();
            all_fit.then_some((slot, batch))
        });
        Ok(batched.collect())
    }

    /// Takes the keys of slots that were marked to the target, which becomes the owner, and returns the slots that have
    /// arrived.
    async fn carry(&self, batches: BTreeMap<Slot, KeyBatch>) -> BTreeSet<Slot> {
        let (filled, empty): (Vec<_>, Vec<_>) = batches.into_iter().partition(|(_, batch)| batch.len() > 0);
        let mut lanes: Vec<Vec<(Slot, KeyBatch)>> = (0..SENDING).map(|_| Vec::new()).collect();
        for (place, filled) in filled.into_iter().enumerate() {
            if let Some(lane) = lanes.get_mut(place % SENDING) {
                lane.push(filled);
            }
        }
        let sent = join_all(lanes.into_iter().zip(1..).map(|(lane, place)| self.send(lane, place)));
        let sent: Vec<Slot> = sent.await.into_iter().flatten().collect();
        let emptied = self.emptied(empty.into_iter().map(|(slot, _)| slot).chain(sent).collect()).await;
        self.hand_over(&emptied.unwrap_or_default()).await
    }

    /// Those of the slots that may be given up: a key that is left in one is lost. Also of those that had none when they were
    /// opened, which may be a while ago: their source may have been replaced by one that does not know that it gives them away.
    async fn emptied(&self, slots: Vec<Slot>) -> Result<Vec<Slot>> {
        let look = |slot| [Command::new("CLUSTER GETKEYSINSLOT").arg(slot).arg(1)];
        let looked = self.say(self.from, &slots, look).await;
        let is_empty = |said| accepted(said).is_some_and(|said| said == [Value::Array(Vec::new())]);
        refuse_several_databases(self.admin, self.from).await?;
        let given = given_away(self.admin, self.from, self.to).await?;
        let looked = looked.into_iter().filter(|(slot, _)| given.contains(slot));
        Ok(looked.filter_map(|(slot, said)| is_empty(said).then_some(slot)).collect())
    }

    /// Sends the keys of one slot after the other, and returns the slots of which all have gone.
    async fn send(&self, slots: Vec<(Slot, KeyBatch)>, lane: usize) -> Vec<Slot> {
        let (source, target) = (self.admin.lane(&self.from.addr, lane), self.admin.lane(&self.to.addr, lane));
        let mut sent = Vec::new();
        for (slot, batch) in slots {
            // The next one would fail alike, and the source serves nobody while it waits for a target that is silent.
            if self.slot_move(slot).send(&source, &target, batch).await.is_err() {
                break;
            }
            sent.push(slot);
        }
        sent
    }

    /// The target becomes the owner, then the source hears of it, then the others.
    async fn hand_over(&self, slots: &[Slot]) -> BTreeSet<Slot> {
        let node = |slot| setslot(slot, "NODE").arg(&*self.to.id);
        // Both at once: only who imports the slot at this moment gets the newer epoch that makes others believe it.
        let become_owner = |slot| [setslot(slot, "IMPORTING").arg(&*self.from.id), node(slot)];
        let told = self.say(self.to, slots, become_owner).await;
        let arrived: Vec<Slot> = told
            .into_iter()
            .filter_map(|(slot, mut said)| accepted(said.split_off(1)).map(|_| slot))
            .collect();
        // The source refuses as a replica, and (Valkey) while its own replicas are silent; it learns it by gossip then.
        drop(self.say(self.from, &arrived, |slot| [node(slot)]).await);
        let others =
            self.ways.primaries.iter().filter(|other| other.id != self.to.id && other.id != self.from.id);
        drop(join_all(others.map(|other| self.say(other, &arrived, |slot| [node(slot)]))).await);
        self.reporter.tell(|progress| progress.slots_done += arrived.len());
        arrived.into_iter().collect()
    }

    fn slot_move(&self, slot: Slot) -> SlotMove<'a, 'r> {
        SlotMove {
            admin: self.admin,
            reporter: self.reporter,
            slot,
            from: self.from,
            to: self.to,
            primaries: self.ways.primaries,
        }
    }

    /// Says so many commands of each of the slots to a node, and returns the replies by slot.
    async fn say<const N: usize>(
        &self,
        node: &Member,
        slots: &[Slot],
        words: impl Fn(Slot) -> [Command; N],
    ) -> Vec<(Slot, Vec<Result<Value>>)> {
        let mut by_lane: BTreeMap<usize, Vec<Slot>> = BTreeMap::new();
        for slot in slots {
            let lane = if self.replicas_first { lane_of(self.admin, *slot) } else { 0 };
            by_lane.entry(lane).or_default().push(*slot);
        }
        let said = join_all(by_lane.into_iter().map(|(lane, slots)| {
            let peer = self.admin.lane(&node.addr, lane);
            let commands: Vec<Command> = slots.iter().flat_map(|slot| words(*slot)).collect();
            async move {
                let mut replies = peer.ask_all(&commands).await.into_iter();
                let of_slot = |slot| (slot, replies.by_ref().take(N).collect());
                slots.into_iter().map(of_slot).collect::<Vec<_>>()
            }
        }));
        said.await.into_iter().flatten().collect()
    }
}
