//! [`Survey`]: the cluster's view with the keys that lie where something is wrong: what `check` reports of and `fix`
//! decides by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::admin::handle::Admin;
use crate::admin::peer::Peer;
use crate::admin::view::{ClusterView, NodeView};
use crate::command::Command;
use crate::error::{Error, Result};
use crate::protocol::value::Value;
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
///
/// # Errors
///
/// Also if the keys of one could not be counted: nothing may be decided then that depends on who holds how many.
pub(super) async fn survey(admin: &Admin) -> Result<Survey> {
    let (survey, uncounted) = survey_what_answers(admin).await?;
    match uncounted.into_iter().next() {
        None => Ok(survey),
        Some((_, error)) => Err(error),
    }
}

/// The same, with those nodes whose keys could not be counted and why: they load their data, or have fallen silent.
pub(super) async fn survey_what_answers(admin: &Admin) -> Result<(Survey, Vec<(NodeId, Error)>)> {
    let begin = Instant::now();
    let mut view = admin.view().await?;
    while is_in_flux(&view) && begin.elapsed() < GOSSIP {
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
    let mut uncounted = Vec::new();
    for (node, counts) in view.primaries().zip(join_all(counted).await) {
        match counts {
            Ok(counts) => {
                for (slot, count) in counts {
                    keys.entry(slot).or_default().insert(Arc::clone(node.id()), count);
                }
            }
            Err(error) => uncounted.push((Arc::clone(node.id()), error)),
        }
    }
    survey.keys = keys;
    Ok((survey, uncounted))
}

/// Whether nodes do not say the same of slots and roles, or some say that the cluster is well and others do not.
fn is_in_flux(view: &ClusterView) -> bool {
    let well = view.nodes.iter().filter(|node| &*node.state == "ok").count();
    (well > 0 && well < view.nodes.len()) || view.disagreement().is_some()
}

/// Up to so many keys are looked at one by one, which takes fewer commands than asking for each slot.
const FEW_KEYS: u64 = 4096;

/// What a node holds of the wanted slots, and of all that it does not own. Without zeros.
async fn counts(admin: &Admin, node: &NodeView, wanted: &SlotSet) -> Result<Vec<(Slot, u64)>> {
    let own = &node.myself.slots;
    let peer = admin.peer(&node.addr);
    let held = peer.int(&Command::new("DBSIZE")).await?;
    let mut counts = match held {
        0 => Vec::new(),
        1..=FEW_KEYS => scan(&peer).await?,
        _many => {
            let mut counts = count_keys(admin, node, own).await?;
            // Whoever holds as many keys as its slots have holds none of others.
            if counts.iter().map(|(_, count)| count).sum::<u64>() != held {
                counts.extend(count_keys(admin, node, &SlotSet::all().without(own)).await?);
            }
            counts
        }
    };
    counts.retain(|(slot, count)| *count > 0 && (wanted.contains(*slot) || !own.contains(*slot)));
    Ok(counts)
}

/// The keys of all slots, by looking at each key.
async fn scan(peer: &Peer) -> Result<Vec<(Slot, u64)>> {
    let mut keys: BTreeSet<Bytes> = BTreeSet::new();
    let mut cursor = Bytes::from_static(b"0");
    loop {
        let command = Command::new("SCAN").arg(&cursor).arg("COUNT").arg(1000);
        let reply = peer.read(&command).await?;
        let page = match &reply {
            Value::Array(parts) => match parts.as_slice() {
                [Value::Bulk(next), Value::Array(page)] => Some((next, page)),
                _other => None,
            },
            _other => None,
        };
        let Some((next, page)) = page else { return Err(peer.unexpected(&command, &reply)) };
        keys.extend(page.iter().filter_map(Value::as_bytes).map(Bytes::copy_from_slice));
        if next.as_ref() == b"0" {
            break;
        }
        cursor = next.clone();
    }
    let mut counts: BTreeMap<Slot, u64> = BTreeMap::new();
    keys.iter().for_each(|key| *counts.entry(Slot::of_key(key)).or_default() += 1);
    Ok(counts.into_iter().collect())
}

/// The keys of each of the slots at a node; none of one that has no keys.
pub(super) async fn count_keys(admin: &Admin, node: &NodeView, slots: &SlotSet) -> Result<Vec<(Slot, u64)>> {
    if node.keys == 0 {
        return Ok(Vec::new());
    }
    let slots: Vec<Slot> = slots.iter().collect();
    let asked: Vec<Command> =
        slots.iter().map(|slot| Command::new("CLUSTER COUNTKEYSINSLOT").arg(*slot)).collect();
    let counts = admin.peer(&node.addr).ints(&asked).await?;
    Ok(slots.into_iter().zip(counts).collect())
}
