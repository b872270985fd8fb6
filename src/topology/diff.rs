//! What changed from one [`SlotMap`] to the next.

use crate::node::NodeAddr;
use crate::topology::slot_map::{Role, SlotMap};

/// The primaries of `old` that were failed over in `new`: another node of their own shard serves their slots.
///
/// A primary that merely gave its slots away (resharding, removal) is none of them: it still answers truthfully.
pub(crate) fn failed_over(old: &SlotMap, new: &SlotMap) -> Vec<NodeAddr> {
    old.shards()
        .filter_map(|shard| {
            let primary = shard.primary()?;
            let first_slot = shard.slots().next()?;
            let successor = new.primary_of(first_slot)?;
            let was_replica = shard.replicas().any(|replica| replica.addr == successor.addr);
            let is_primary_still =
                new.nodes().iter().any(|node| node.addr == primary.addr && node.role == Role::Primary);
            (was_replica && !is_primary_still).then(|| primary.addr.clone())
        })
        .collect()
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

    #[test]
    fn only_a_primary_that_its_own_replica_replaced_is_failed_over() {
        assert_eq!(failed_over(&map(1, 2), &map(2, 1)), [NodeAddr::new("h", 1)]);
        assert_eq!(failed_over(&map(1, 2), &map(1, 2)), []);
        // The slots went to a node of another shard: a reshard.
        assert_eq!(failed_over(&map(1, 2), &map(3, 4)), []);
    }
}
