//! What changed from one [`SlotMap`] to the next.

use crate::node::NodeAddr;
use crate::topology::slot_map::{Health, Role, SlotMap};

/// The primaries of `old` that were failed over in `new`: others serve their slots, and they are replicas, failed, or
/// replaced by their own replica.
///
/// A primary that merely gave its slots away (resharding, removal) is none of them: it still answers truthfully.
pub(crate) fn failed_over(old: &SlotMap, new: &SlotMap) -> Vec<NodeAddr> {
    let mut gone = Vec::new();
    for (before, after) in old.owner_pairs(new) {
        let (Some(before), Some(after)) =
            (before.and_then(|index| old.node(index)), after.and_then(|index| new.node(index)))
        else {
            continue;
        };
        if before.addr == after.addr || gone.contains(&before.addr) {
            continue;
        }
        let now = new.index_of(&before.addr).and_then(|index| new.node(index));
        let is_over = match now {
            Some(node) => node.role == Role::Replica || node.health == Health::Failed,
            // Gone: replaced by its own replica, or removed.
            None => old.is_replica_of(&after.addr, &before.addr),
        };
        if is_over {
            gone.push(before.addr.clone());
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::failed_over;
    use crate::node::NodeAddr;
    use crate::slot::Slot;
    use crate::topology::slot_map::{Node, SlotMap};

    fn map(primary: u16, replica: u16) -> SlotMap {
        let mut map = SlotMap::empty(1);
        let a = map.add_node(Node::primary(NodeAddr::new("h", primary), None)).unwrap();
        let b = map.add_node(Node::replica(NodeAddr::new("h", replica), None)).unwrap();
        map.add_shard(a);
        map.add_replica(a, b);
        Slot::all().for_each(|slot| map.assign(slot, a));
        map
    }

    fn gone(old: &SlotMap, new: &SlotMap) -> Vec<NodeAddr> {
        failed_over(old, new)
    }

    #[test]
    fn a_primary_that_follows_or_was_replaced_by_its_replica_is_failed_over() {
        assert_eq!(gone(&map(1, 2), &map(2, 1)), [NodeAddr::new("h", 1)]);
        assert_eq!(gone(&map(1, 2), &map(1, 2)), []);
        // It follows another node, whether or not that was its replica as far as we knew.
        assert_eq!(gone(&map(1, 2), &map(3, 1)), [NodeAddr::new("h", 1)]);
        // The slots went to a node of another shard, and it is gone: a reshard and a removal.
        assert_eq!(gone(&map(1, 2), &map(3, 4)), []);
    }
}
