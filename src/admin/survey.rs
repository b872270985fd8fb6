//! [`Survey`]: the cluster's view with the keys that lie where something is wrong: what `check` reports of and `fix`
//! decides by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use tokio::time::{Instant, sleep};

use crate::admin::handle::Admin;
use crate::admin::view::{ClusterView, NodeView};
use crate::command::Command;
use crate::error::Result;
use crate::slot::Slot;
use crate::topology::node_state::NodeId;
use crate::topology::slot_set::SlotSet;

/// Right after a change nodes disagree for as long as gossip takes; that is nothing to report.
const GOSSIP: Duration = Duration::from_secs(3);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// See the module's documentation.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Survey {
    pub(super) view: ClusterView,
    /// Keys of slots that are open, without an owner or with several, by who holds them; and those of slots whose
    /// holder is not the owner. Without zeros.
    pub(super) keys: BTreeMap<Slot, BTreeMap<NodeId, u64>>,
}

impl Survey {
    /// How many keys of a slot a node holds, if that was looked at.
    pub(super) fn held(&self, slot: Slot, id: &str) -> u64 {
        self.keys.get(&slot).and_then(|held| held.get(id)).copied().unwrap_or(0)
    }

    /// Slots that several primaries claim.
    pub(super) fn contested(&self) -> BTreeSet<Slot> {
        let mut seen = SlotSet::default();
        let mut contested = BTreeSet::new();
        for slot in self.view.primaries().flat_map(|node| node.myself.slots.iter()) {
            if seen.contains(slot) {
                contested.insert(slot);
            }
            seen.insert(slot);
        }
        contested
    }
}

/// Asks all nodes; waits a little for gossip if they disagree.
pub(super) async fn survey(admin: &Admin) -> Result<Survey> {
    let begin = Instant::now();
    let mut view = admin.view().await?;
    while view.disagreement().is_some() && begin.elapsed() < GOSSIP {
        sleep(LOOK).await;
        view = admin.view().await?;
    }
    let mut survey = Survey { view, keys: BTreeMap::new() };
    let mut wanted: SlotSet = survey.view.open_slots().into_iter().collect();
    wanted.extend(survey.view.unclaimed().iter());
    wanted.extend(survey.contested());
    let view = &survey.view;
    let wanted = &wanted;
    let counted = view.primaries().map(|node| async move { counts(admin, node, wanted).await });
    let mut keys: BTreeMap<Slot, BTreeMap<NodeId, u64>> = BTreeMap::new();
    for (node, counts) in view.primaries().zip(try_join_all(counted).await?) {
        for (slot, count) in counts {
            keys.entry(slot).or_default().insert(Arc::clone(node.id()), count);
        }
    }
    survey.keys = keys;
    Ok(survey)
}

/// What a node holds of the wanted slots, and of all that it does not own. Without zeros.
async fn counts(admin: &Admin, node: &NodeView, wanted: &SlotSet) -> Result<Vec<(Slot, u64)>> {
    let own = &node.myself.slots;
    // Whoever holds as many keys as its slots have holds none of others; this saves most of the counting.
    let of_own = count_keys(admin, node, own).await?;
    let total: u64 = of_own.iter().map(|(_, count)| count).sum();
    let held = admin.peer(&node.addr).int(&Command::new("DBSIZE")).await?;
    let mut counts: Vec<(Slot, u64)> =
        of_own.into_iter().filter(|(slot, _)| wanted.contains(*slot)).collect();
    if held != total {
        counts.extend(count_keys(admin, node, &SlotSet::all().without(own)).await?);
    }
    counts.retain(|(_, count)| *count > 0);
    Ok(counts)
}

/// The keys of each of the slots at a node.
pub(super) async fn count_keys(admin: &Admin, node: &NodeView, slots: &SlotSet) -> Result<Vec<(Slot, u64)>> {
    let slots: Vec<Slot> = slots.iter().collect();
    let asked: Vec<Command> =
        slots.iter().map(|slot| Command::new("CLUSTER COUNTKEYSINSLOT").arg(*slot)).collect();
    let counts = admin.peer(&node.addr).ints(&asked).await?;
    Ok(slots.into_iter().zip(counts).collect())
}
