//! What lies in the slots: [`Admin::count_keys`], [`Admin::estimate_bytes`].
//!
//! Source: [CLUSTER COUNTKEYSINSLOT](https://redis.io/docs/latest/commands/cluster-countkeysinslot/),
//! [CLUSTER GETKEYSINSLOT](https://redis.io/docs/latest/commands/cluster-getkeysinslot/),
//! [MEMORY USAGE](https://redis.io/docs/latest/commands/memory-usage/).

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use crate::admin::handle::Admin;
use crate::admin::peer::Peer;
use crate::admin::slots::Slots;
use crate::admin::survey::count_keys;
use crate::admin::view::{ClusterView, NodeView};
use crate::command::Command;
use crate::error::Result;
use crate::protocol::value::Value;
use crate::slot::Slot;
use crate::topology::slot_set::SlotSet;

/// Slots whose keys are named in one go: what is kept of names at a time.
const SLOTS_AT_A_TIME: usize = 128;

impl Admin {
    /// How many keys each of the slots has at the primary that serves it, 0 for an empty one. Slots that nobody serves
    /// are left out, and so are keys that lie at another node ([`Problem::Orphans`](crate::admin::Problem::Orphans)).
    ///
    /// One small command a slot, all of a node's at once; `Slots::all()` takes some ten milliseconds a node. On Valkey 9 the
    /// keys of the first database.
    ///
    /// ```no_run
    /// # async fn example(admin: keyslot::admin::Admin) -> keyslot::Result<()> {
    /// let keys = admin.count_keys(&keyslot::admin::Slots::all()).await?;
    /// let fullest = keys.iter().max_by_key(|(_, keys)| **keys);
    /// # drop(fullest);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If no seed answers, or a primary that did stopped doing so.
    ///
    /// # Cancel safety
    ///
    /// It only asks.
    pub async fn count_keys(&self, slots: &Slots) -> Result<BTreeMap<Slot, u64>> {
        let view = self.view().await?;
        let asked = view.primaries().map(|node| {
            let served = served_by(&view, node, slots);
            async move { keys_of(self, node, &served).await }
        });
        Ok(try_join_all(asked).await?.into_iter().flatten().collect())
    }

    /// About how many bytes of memory the keys of each of the slots take at the primary that serves it: of each slot up to
    /// `sample` keys (at least 1) are asked for their size, and the others are taken for as large as those on average. Exact,
    /// as far as `MEMORY USAGE` is, where a slot has no more keys than that.
    ///
    /// Slots that nobody serves are left out. Costs one command for each key that is asked.
    ///
    /// # Errors
    ///
    /// As [`count_keys`](Self::count_keys), and if the user may not say `MEMORY USAGE`.
    ///
    /// # Cancel safety
    ///
    /// It only asks.
    pub async fn estimate_bytes(&self, slots: &Slots, sample: usize) -> Result<BTreeMap<Slot, u64>> {
        let view = self.view().await?;
        let asked = view.primaries().map(|node| {
            let served = served_by(&view, node, slots);
            async move { bytes_of(self, node, &served, sample.max(1)).await }
        });
        Ok(try_join_all(asked).await?.into_iter().flatten().collect())
    }
}

/// Those of the slots that the node serves, by the cluster's rule where several claim one.
fn served_by(view: &ClusterView, node: &NodeView, slots: &Slots) -> SlotSet {
    let is_served = |slot: &Slot| {
        node.myself.slots.contains(*slot) && view.owner(*slot).is_some_and(|owner| owner.id() == node.id())
    };
    slots.iter().filter(is_served).collect()
}

async fn keys_of(admin: &Admin, node: &NodeView, slots: &SlotSet) -> Result<BTreeMap<Slot, u64>> {
    let mut keys: BTreeMap<Slot, u64> = slots.iter().map(|slot| (slot, 0)).collect();
    keys.extend(count_keys(admin, node, slots).await?);
    Ok(keys)
}

async fn bytes_of(
    admin: &Admin,
    node: &NodeView,
    slots: &SlotSet,
    sample: usize,
) -> Result<BTreeMap<Slot, u64>> {
    let mut bytes = keys_of(admin, node, slots).await?;
    let peer = admin.peer(&node.addr);
    let filled: Vec<(Slot, u64)> =
        bytes.iter().filter(|(_, keys)| **keys > 0).map(|(slot, keys)| (*slot, *keys)).collect();
    for some in filled.chunks(SLOTS_AT_A_TIME) {
        let sizes = sampled(&peer, some, sample).await?;
        bytes
            .extend(some.iter().zip(sizes).map(|((slot, keys), sizes)| (*slot, extrapolated(&sizes, *keys))));
    }
    Ok(bytes)
}

/// The sizes of some keys of each of the slots.
async fn sampled(peer: &Peer, slots: &[(Slot, u64)], sample: usize) -> Result<Vec<Vec<u64>>> {
    let named: Vec<Command> =
        slots.iter().map(|(slot, _)| Command::new("CLUSTER GETKEYSINSLOT").arg(*slot).arg(sample)).collect();
    let mut asked = Vec::new();
    let mut of_slot = Vec::new();
    for (command, reply) in named.iter().zip(peer.ask_all(&named).await) {
        let keys = match reply? {
            Value::Array(keys) => keys,
            Value::Error(error) => return Err(peer.refused(command, &error)),
            other => return Err(peer.unexpected(command, &other)),
        };
        of_slot.push(keys.len());
        asked
            .extend(keys.iter().filter_map(Value::as_bytes).map(|key| Command::new("MEMORY USAGE").arg(key)));
    }
    let mut replies = asked.iter().zip(peer.ask_all(&asked).await);
    let mut sizes = Vec::with_capacity(slots.len());
    for keys in of_slot {
        let mut own = Vec::with_capacity(keys);
        for (command, reply) in replies.by_ref().take(keys) {
            match reply? {
                Value::Int(size) => own.push(u64::try_from(size).unwrap_or(0)),
                // It has gone since it was named.
                Value::Nil => {}
                Value::Error(error) => return Err(peer.refused(command, &error)),
                other => return Err(peer.unexpected(command, &other)),
            }
        }
        sizes.push(own);
    }
    Ok(sizes)
}

/// All keys are taken for as large as the sampled ones on average.
fn extrapolated(sizes: &[u64], keys: u64) -> u64 {
    let sum: u128 = sizes.iter().map(|size| u128::from(*size)).sum();
    let all = sum * u128::from(keys) / (sizes.len().max(1) as u128);
    u64::try_from(all).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{extrapolated, served_by};
    use crate::admin::slots::Slots;
    use crate::admin::view::tests::view;

    #[test]
    fn keys_that_were_not_asked_are_as_large_as_the_others_on_average() {
        assert_eq!(extrapolated(&[10, 20], 2), 30);
        assert_eq!(extrapolated(&[10, 20], 100), 1500);
        assert_eq!(extrapolated(&[], 100), 0, "all have gone");
        assert_eq!(extrapolated(&[u64::MAX, u64::MAX], 4), u64::MAX);
    }

    #[test]
    fn a_slot_is_counted_once_where_the_cluster_looks_for_it() {
        let view = view(&[("a", "0-8191", 1), ("b", "8000-16000", 2), ("c", "of a", 1)]);
        let asked: Slots = "7990-8010,16001".parse().unwrap();
        let of = |id| served_by(&view, view.node(id).unwrap(), &asked).to_string();
        assert_eq!((of("a").as_str(), of("b").as_str()), ("7990-7999", "8000-8010"));
    }
}
