//! [`Patches`]: what redirects have taught, until a newer view of the cluster says it too.

use std::time::Duration;

use tokio::time::Instant;

use crate::node::NodeAddr;
use crate::slot::Slot;
use crate::topology::slot_map::SlotMap;

/// How long a node may lag behind in gossip. A patch that is older yields to any view of the same epoch.
const GOSSIP_LAG: Duration = Duration::from_secs(2);

/// One `MOVED`.
#[derive(Clone, Debug)]
struct Patch {
    slot: Slot,
    to: NodeAddr,
    /// The epoch of the map that was wrong.
    epoch: u64,
    at: Instant,
}

/// The patches that the next view may not know yet.
///
/// A view that was asked for before a `MOVED`, or that comes from a node that gossip has not reached, would undo it
/// and make the next command take the redirect again. A view with a higher epoch than the map that was patched is
/// newer than the patch in any case (a failover, a finished move), and wins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patches(Vec<Patch>);

impl Patches {
    pub(crate) fn add(&mut self, slot: Slot, to: &NodeAddr, epoch: u64, at: Instant) {
        self.0.retain(|patch| patch.slot != slot);
        self.0.push(Patch { slot, to: to.clone(), epoch, at });
    }

    /// `view` with the patches that outlive it; the others are forgotten.
    pub(crate) fn apply(&mut self, mut view: SlotMap, now: Instant) -> SlotMap {
        self.0.retain(|patch| {
            let outdated = view.epoch() > patch.epoch || now.duration_since(patch.at) > GOSSIP_LAG;
            let confirmed = view.primary_of(patch.slot).is_some_and(|owner| owner.addr == patch.to);
            !outdated && !confirmed
        });
        self.0.iter().for_each(|patch| view.repoint(patch.slot, &patch.to));
        view
    }
}

/// The view to believe of those that several nodes gave: of a node that sees a working cluster if there is one, then the
/// highest epoch, and among equals the one that most of the others agree with.
pub(crate) fn choose(mut views: Vec<SlotMap>) -> Option<SlotMap> {
    // Nodes that are cut off go on with what they knew.
    if !views.iter().all(SlotMap::is_doubted) {
        views.retain(|view| !view.is_doubted());
    }
    let highest = views.iter().map(SlotMap::epoch).max()?;
    let newest: Vec<&SlotMap> = views.iter().filter(|view| view.epoch() == highest).collect();
    let mut best: Option<(usize, &SlotMap)> = None;
    for view in &newest {
        let votes =
            newest.iter().filter(|other| std::ptr::eq(**other, *view) || other.agrees_with(view)).count();
        // The first answer wins a draw.
        if best.is_none_or(|(most, _)| votes > most) {
            best = Some((votes, view));
        }
        // Nearly always all agree, and nobody else needs to be counted.
        if votes == newest.len() {
            break;
        }
    }
    best.map(|(_, view)| view.clone())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{GOSSIP_LAG, Patches, choose};
    use crate::node::NodeAddr;
    use crate::slot::Slot;
    use crate::topology::slot_map::{Node, SlotMap};

    fn addr(port: u16) -> NodeAddr {
        NodeAddr::new("h", port)
    }

    fn map(epoch: u64, owner: u16) -> SlotMap {
        let mut map = SlotMap::empty(epoch);
        let index = map.add_node(Node::primary(addr(owner), None)).unwrap();
        map.add_shard(index);
        for slot in Slot::all() {
            map.assign(slot, index);
        }
        map
    }

    fn owner(map: &SlotMap, slot: Slot) -> u16 {
        map.primary_of(slot).unwrap().addr.port()
    }

    #[test]
    fn a_patch_survives_a_view_of_the_same_epoch_but_not_a_newer_one() {
        let slot = Slot::new(7).unwrap();
        let now = Instant::now();
        let mut patches = Patches::default();
        patches.add(slot, &addr(2), 5, now);
        assert_eq!(owner(&patches.apply(map(5, 1), now), slot), 2);
        assert_eq!(owner(&patches.apply(map(6, 1), now), slot), 1);
        assert_eq!(owner(&patches.apply(map(5, 1), now), slot), 1, "forgotten once it was overruled");
    }

    #[test]
    fn a_patch_yields_when_gossip_has_had_its_time() {
        let slot = Slot::new(7).unwrap();
        let now = Instant::now();
        let mut patches = Patches::default();
        patches.add(slot, &addr(2), 5, now);
        let later = now + GOSSIP_LAG + Duration::from_millis(1);
        assert_eq!(owner(&patches.apply(map(5, 1), later), slot), 1);
    }

    #[test]
    fn the_newest_redirect_of_a_slot_counts() {
        let slot = Slot::new(7).unwrap();
        let now = Instant::now();
        let mut patches = Patches::default();
        patches.add(slot, &addr(2), 5, now);
        patches.add(slot, &addr(3), 5, now);
        assert_eq!(owner(&patches.apply(map(5, 1), now), slot), 3);
    }

    #[test]
    fn the_highest_epoch_is_believed_and_then_the_majority() {
        let slot = Slot::new(7).unwrap();
        assert_eq!(owner(&choose(vec![map(5, 1), map(6, 2), map(5, 1)]).unwrap(), slot), 2);
        assert_eq!(owner(&choose(vec![map(5, 1), map(5, 2), map(5, 2)]).unwrap(), slot), 2);
        assert_eq!(owner(&choose(vec![map(5, 1), map(5, 2)]).unwrap(), slot), 1);
        assert!(choose(vec![]).is_none());
    }

    #[test]
    fn a_node_that_is_cut_off_is_believed_only_where_nobody_else_tells() {
        let slot = Slot::new(7).unwrap();
        let doubted = |epoch, owner| {
            let mut map = map(epoch, owner);
            map.doubt();
            map
        };
        assert_eq!(owner(&choose(vec![doubted(9, 1), map(6, 2), doubted(9, 1)]).unwrap(), slot), 2);
        assert_eq!(owner(&choose(vec![doubted(5, 1), doubted(6, 2)]).unwrap(), slot), 2);
    }

    #[test]
    fn another_cluster_is_known_by_its_nodes() {
        let of = |ids: &[&str]| {
            let mut map = SlotMap::empty(1);
            for (place, id) in ids.iter().enumerate() {
                map.add_node(Node::primary(addr(u16::try_from(place).unwrap() + 1), Some((*id).into())));
            }
            map
        };
        assert!(!of(&["a", "b"]).is_of_another_cluster(&of(&["c", "b"])));
        assert!(of(&["a", "b"]).is_of_another_cluster(&of(&["c", "d"])));
        assert!(map(1, 1).is_of_another_cluster(&of(&["c"])), "one without a cluster is another");
        assert!(!of(&["a"]).is_of_another_cluster(&map(1, 1)), "nothing is known of whom to compare with");
    }
}
