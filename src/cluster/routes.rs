//! [`Routes`]: the slot map and the pools of its nodes, swapped together as one snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::read_from::ReadFrom;
use crate::connection::pool::NodePool;
use crate::node::NodeAddr;
use crate::routing::read_policy::{Candidate, choose};
use crate::slot::Slot;
use crate::topology::slot_map::{Health, NodeIndex, Role, SlotMap};

/// One consistent picture: the pool at a place belongs to the node at the same place of the map.
#[derive(Debug)]
pub(crate) struct Routes {
    map: Arc<SlotMap>,
    pools: Vec<Arc<NodePool>>,
    /// Of reads that may go to several nodes.
    turn: AtomicUsize,
}

/// One of so many reads from the nearest node goes to another.
const EXPLORE: usize = 64;

impl Routes {
    /// Pairs each node of `map` with the pool that `pool_of` gives for it.
    pub(crate) fn new(map: SlotMap, mut pool_of: impl FnMut(&NodeAddr) -> Arc<NodePool>) -> Self {
        let pools = map.nodes().iter().map(|node| pool_of(&node.addr)).collect();
        Self { map: Arc::new(map), pools, turn: AtomicUsize::new(0) }
    }

    /// No nodes at all.
    pub(crate) fn empty() -> Self {
        Self { map: Arc::new(SlotMap::empty(0)), pools: Vec::new(), turn: AtomicUsize::new(0) }
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

    /// Who has what the primary at `addr` had: itself, the primary whose replica it is now, or, where it is gone, the owner of
    /// `slot`, which was one of its own.
    pub(crate) fn heir_of(&self, addr: &NodeAddr, slot: Slot) -> Option<NodeIndex> {
        let map = &self.map;
        let of_its_shard = || {
            let index = map.index_of(addr)?;
            map.primaries().find(|primary| map.shard_at(*primary).any(|member| member == index))
        };
        self.primary_at(addr).or_else(of_its_shard).or_else(|| map.owner(slot))
    }

    /// The place of the node that answers a read of `slot`; `None` if there is none for now.
    pub(crate) fn reader(&self, slot: Slot, policy: &ReadFrom) -> Option<NodeIndex> {
        let owner = self.map.owner(slot)?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        // Now and then all are taken for equal: one that has become faster would not be noticed else.
        let explores = *policy == ReadFrom::Nearest && turn.is_multiple_of(EXPLORE);
        // By turns of their own: every 64th of all would fall on the same of two, or of four.
        let turn = if explores { turn / EXPLORE } else { turn };
        let is_measured = *policy == ReadFrom::Nearest && !explores;
        let shard = self.map.shard_at(owner);
        let candidates = shard.clone().filter_map(|index| {
            let (node, pool) = (self.map.node(index)?, self.pool(index)?);
            let is_primary = index == owner;
            Some(Candidate {
                is_primary,
                is_usable: node.health == Health::Online && !pool.is_avoided(),
                is_in_zone: matches!(policy, ReadFrom::Zone(zone) if node.zone.as_ref() == Some(zone)),
                cost: if is_measured { pool.cost(!is_primary) } else { 0 },
            })
        });
        shard.clone().nth(choose(policy, candidates, turn)?)
    }

    /// The pool of that node, and whether it is a replica.
    pub(crate) fn reader_pool(&self, slot: Slot, policy: &ReadFrom) -> (Option<&Arc<NodePool>>, bool) {
        let reader = self.reader(slot, policy);
        (reader.and_then(|reader| self.pool(reader)), reader != self.map.owner(slot))
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
