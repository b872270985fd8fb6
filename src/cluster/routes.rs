//! [`Routes`]: the slot map and the pools of its nodes, swapped together as one snapshot.

use std::sync::Arc;

use crate::connection::pool::NodePool;
use crate::node::NodeAddr;
use crate::slot::Slot;
use crate::topology::slot_map::{NodeIndex, Role, SlotMap};

/// One consistent picture: the pool at a place belongs to the node at the same place of the map.
#[derive(Debug)]
pub(crate) struct Routes {
    map: Arc<SlotMap>,
    pools: Vec<Arc<NodePool>>,
}

impl Routes {
    /// Pairs each node of `map` with the pool that `pool_of` gives for it.
    pub(crate) fn new(map: SlotMap, mut pool_of: impl FnMut(&NodeAddr) -> Arc<NodePool>) -> Self {
        let pools = map.nodes().iter().map(|node| pool_of(&node.addr)).collect();
        Self { map: Arc::new(map), pools }
    }

    /// No nodes at all.
    pub(crate) fn empty() -> Self {
        Self { map: Arc::new(SlotMap::empty(0)), pools: Vec::new() }
    }

    pub(crate) fn map(&self) -> &Arc<SlotMap> {
        &self.map
    }

    /// By the places of their nodes in the map.
    #[inline]
    pub(crate) fn pools(&self) -> &[Arc<NodePool>] {
        &self.pools
    }

    /// The pool of the primary that serves `slot`.
    #[inline]
    pub(crate) fn owner(&self, slot: Slot) -> Option<&Arc<NodePool>> {
        self.pool(self.map.owner(slot)?)
    }

    #[inline]
    fn pool(&self, index: NodeIndex) -> Option<&Arc<NodePool>> {
        self.pools.get(index.get())
    }

    /// The pool of the node at `addr`, if the map knows it.
    pub(crate) fn at(&self, addr: &NodeAddr) -> Option<&Arc<NodePool>> {
        self.pool(self.map.index_of(addr)?)
    }

    /// The place of the primary at `addr`, if the map knows it as one.
    pub(crate) fn primary_at(&self, addr: &NodeAddr) -> Option<NodeIndex> {
        let index = self.map.index_of(addr)?;
        self.map.node(index).is_some_and(|node| node.role == Role::Primary).then_some(index)
    }

    /// The place of a primary at random.
    pub(crate) fn any_primary(&self) -> Option<NodeIndex> {
        let count = self.map.primaries().count();
        self.map.primaries().nth(fastrand::usize(..count.max(1)))
    }

    pub(crate) fn nodes_with_pools(&self) -> impl Iterator<Item = (&NodeAddr, &Arc<NodePool>)> {
        self.map.nodes().iter().map(|node| &node.addr).zip(&self.pools)
    }
}
