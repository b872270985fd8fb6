//! [`SlotMap`]: an immutable picture of the cluster. A change makes a new one.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::node::NodeAddr;
use crate::slot::Slot;

/// What a node does in its shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// Serves reads and writes of its slots.
    Primary,
    /// Follows a primary.
    Replica,
}

/// What the cluster says of a node's state (`CLUSTER SHARDS`; before Redis 7.0 always [`Health::Online`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Health {
    /// Up and in sync.
    Online,
    /// Up, not yet in sync.
    Loading,
    /// Seen as failed by the majority.
    Failed,
}

/// One node of the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Node {
    /// Where it listens, by the endpoint that the cluster prefers.
    pub addr: NodeAddr,
    /// Its 40-digit id; `None` for a node known by a redirect only.
    pub id: Option<Arc<str>>,
    /// Primary or replica.
    pub role: Role,
    /// Its state as the cluster sees it.
    pub health: Health,
    /// Its availability zone, if it announces one (Valkey 9).
    pub zone: Option<Arc<str>>,
}

/// First and last slot of a range, both included.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SlotRange {
    /// The first slot.
    pub first: Slot,
    /// The last slot.
    pub last: Slot,
}

impl fmt::Display for SlotRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// A node's place in a [`SlotMap`]; means nothing in another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct NodeIndex(u16);

impl NodeIndex {
    /// Marks a slot without an owner. A cluster has at most 16384 primaries and a thousand nodes in practice.
    const NONE: Self = Self(u16::MAX);

    #[inline]
    pub(crate) fn get(self) -> usize {
        usize::from(self.0)
    }
}

/// The topology of a cluster: nodes, shards, and the owner of every slot.
///
/// A snapshot: [`Client::slot_map`](crate::Client::slot_map) gives the current one, and it never changes afterwards.
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use keyslot::Slot;
///
/// let map = client.slot_map();
/// for shard in map.shards() {
///     println!("{} and {} replicas: {} slots", shard.primary().addr, shard.replicas().count(), shard.slots().count());
/// }
/// let owner = map.primary_of(Slot::of_key(b"user:1")).ok_or("nobody serves it")?;
/// assert_eq!(Some(&owner.addr), cluster.primary_of(Slot::of_key(b"user:1")).as_ref());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SlotMap {
    // Shared by the maps that differ in owners only, so that a redirect copies neither.
    nodes: Arc<NodeTable>,
    shards: Arc<ShardTable>,
    owners: Box<[NodeIndex; Slot::COUNT as usize]>,
    epoch: u64,
    /// The node that told it sees no cluster that works: it may be cut off, and the others know better.
    is_doubted: bool,
}

/// The nodes, found by place, address and id.
#[derive(Clone, Default)]
struct NodeTable {
    list: Vec<Node>,
    by_addr: HashMap<NodeAddr, NodeIndex>,
    by_id: HashMap<Arc<str>, NodeIndex>,
}

/// The shards, found by place and primary. A shard stays where it is.
#[derive(Clone, Default)]
struct ShardTable {
    list: Vec<ShardNodes>,
    by_primary: HashMap<NodeIndex, usize>,
}

impl ShardTable {
    fn of(&self, primary: NodeIndex) -> Option<&ShardNodes> {
        self.list.get(*self.by_primary.get(&primary)?)
    }
}

#[derive(Clone)]
struct ShardNodes {
    primary: NodeIndex,
    replicas: Vec<NodeIndex>,
}

/// A primary with its replicas and slots, as [`SlotMap::shards`] gives it.
#[derive(Clone, Copy)]
pub struct Shard<'a> {
    map: &'a SlotMap,
    nodes: &'a ShardNodes,
    primary: &'a Node,
}

impl SlotMap {
    /// A map without nodes, to be filled by discovery.
    pub(crate) fn empty(epoch: u64) -> Self {
        Self {
            nodes: Arc::default(),
            shards: Arc::default(),
            owners: Box::new([NodeIndex::NONE; Slot::COUNT as usize]),
            epoch,
            is_doubted: false,
        }
    }

    /// Every slot at one node: a server that is not in cluster mode.
    pub(crate) fn standalone(addr: NodeAddr) -> Self {
        let mut map = Self::empty(0);
        if let Some(only) = map.add_node(Node::primary(addr, None)) {
            map.add_shard(only);
            map.owners.fill(only);
        }
        map
    }

    /// All nodes, primaries and replicas, in no particular order.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes.list
    }

    /// All shards, those without slots included.
    pub fn shards(&self) -> impl Iterator<Item = Shard<'_>> {
        // Every shard is made with a primary of the same map, so none is left out.
        let shards = self.shards.list.iter();
        shards.filter_map(|nodes| self.node(nodes.primary).map(|primary| Shard { map: self, nodes, primary }))
    }

    /// The primary that serves `slot`, or `None` if the cluster has not assigned it.
    #[must_use]
    pub fn primary_of(&self, slot: Slot) -> Option<&Node> {
        self.node(self.owner(slot)?)
    }

    /// The highest configuration epoch of a primary, as the node that was asked knew it: it grows with each failover and
    /// each slot that was moved. The cluster's current epoch if that node may not be asked for `CLUSTER NODES`, and 0 if it
    /// told neither.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn is_doubted(&self) -> bool {
        self.is_doubted
    }

    /// See [`SlotMap::is_doubted`].
    pub(crate) fn doubt(&mut self) {
        self.is_doubted = true;
    }

    /// Whether this is another cluster than `known`: no node of one is in the other, by id, or by address if a redirect has
    /// named it. The address of a node that is gone may have been given to one of them.
    pub(crate) fn is_of_another_cluster(&self, known: &Self) -> bool {
        let is_here = |node: &Node| match &node.id {
            Some(id) => self.index_of_id(id).is_some(),
            None => self.index_of(&node.addr).is_some(),
        };
        known.nodes().iter().any(|node| node.id.is_some()) && !known.nodes().iter().any(is_here)
    }

    /// How many slots have an owner; [`Slot::COUNT`] in a whole cluster.
    #[must_use]
    pub fn assigned_slots(&self) -> usize {
        self.owners.iter().filter(|owner| **owner != NodeIndex::NONE).count()
    }

    #[inline]
    pub(crate) fn owner(&self, slot: Slot) -> Option<NodeIndex> {
        self.owners.get(usize::from(slot.get())).copied().filter(|owner| *owner != NodeIndex::NONE)
    }

    pub(crate) fn index_of(&self, addr: &NodeAddr) -> Option<NodeIndex> {
        self.nodes.by_addr.get(addr).copied()
    }

    pub(crate) fn index_of_id(&self, id: &str) -> Option<NodeIndex> {
        self.nodes.by_id.get(id).copied()
    }

    pub(crate) fn node(&self, index: NodeIndex) -> Option<&Node> {
        self.nodes.list.get(index.get())
    }

    /// Whether the majority holds the node at `addr` for failed.
    pub(crate) fn has_failed(&self, addr: &NodeAddr) -> bool {
        let node = self.index_of(addr).and_then(|index| self.node(index));
        node.is_some_and(|node| node.health == Health::Failed)
    }

    pub(crate) fn primaries(&self) -> impl Iterator<Item = NodeIndex> {
        self.shards.list.iter().map(|shard| shard.primary)
    }

    pub(crate) fn is_primary(&self, index: NodeIndex) -> bool {
        self.shards.by_primary.contains_key(&index)
    }

    /// The primary at `index` and its replicas, the primary first.
    pub(crate) fn shard_at(&self, index: NodeIndex) -> impl Iterator<Item = NodeIndex> + Clone {
        let replicas = self.shards.of(index).map_or(&[][..], |shard| &shard.replicas);
        std::iter::once(index).chain(replicas.iter().copied())
    }

    /// Whether the node at `addr` is of the shard that serves `slot`; nobody is known to if the slot has no owner, and so
    /// it may be any.
    pub(crate) fn may_serve(&self, addr: &NodeAddr, slot: Slot) -> bool {
        let Some(owner) = self.owner(slot) else { return true };
        self.index_of(addr).is_some_and(|node| self.shard_at(owner).any(|other| other == node))
    }

    pub(crate) fn is_replica_of(&self, replica: &NodeAddr, primary: &NodeAddr) -> bool {
        let (Some(replica), Some(primary)) = (self.index_of(replica), self.index_of(primary)) else {
            return false;
        };
        self.shards.of(primary).is_some_and(|shard| shard.replicas.contains(&replica))
    }

    /// Puts `slot` at `addr`, which becomes a primary if it was none.
    pub(crate) fn repoint(&mut self, slot: Slot, addr: &NodeAddr) {
        let known = self.index_of(addr);
        let Some(owner) = known.or_else(|| self.add_node(Node::primary(addr.clone(), None))) else { return };
        if !self.is_primary(owner) {
            for shard in &mut Arc::make_mut(&mut self.shards).list {
                shard.replicas.retain(|replica| *replica != owner);
            }
            if let Some(node) = self.node_mut(owner) {
                node.role = Role::Primary;
            }
            self.add_shard(owner);
        }
        self.assign(slot, owner);
    }

    /// `None` only if there is no room for another index.
    pub(crate) fn add_node(&mut self, node: Node) -> Option<NodeIndex> {
        let index = u16::try_from(self.nodes.list.len()).ok().map(NodeIndex);
        let index = index.filter(|index| *index != NodeIndex::NONE)?;
        let table = Arc::make_mut(&mut self.nodes);
        table.by_addr.insert(node.addr.clone(), index);
        if let Some(id) = &node.id {
            table.by_id.insert(Arc::clone(id), index);
        }
        table.list.push(node);
        Some(index)
    }

    pub(crate) fn node_mut(&mut self, index: NodeIndex) -> Option<&mut Node> {
        Arc::make_mut(&mut self.nodes).list.get_mut(index.get())
    }

    pub(crate) fn add_shard(&mut self, primary: NodeIndex) {
        if !self.is_primary(primary) {
            let table = Arc::make_mut(&mut self.shards);
            table.by_primary.insert(primary, table.list.len());
            table.list.push(ShardNodes { primary, replicas: Vec::new() });
        }
    }

    pub(crate) fn add_replica(&mut self, primary: NodeIndex, replica: NodeIndex) {
        let table = Arc::make_mut(&mut self.shards);
        let place = table.by_primary.get(&primary).copied();
        if let Some(shard) = place.and_then(|place| table.list.get_mut(place))
            && !shard.replicas.contains(&replica)
        {
            shard.replicas.push(replica);
        }
    }

    pub(crate) fn assign(&mut self, slot: Slot, owner: NodeIndex) {
        if let Some(entry) = self.owners.get_mut(usize::from(slot.get())) {
            *entry = owner;
        }
    }

    /// Whether both say the same of every node, shard and slot; epochs and order aside.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        if self.nodes().len() != other.nodes().len() || self.shards.list.len() != other.shards.list.len() {
            return false;
        }
        // The place that each node has in `other`. Texts are compared here only, once for a node and not for each of its
        // slots.
        let twin_of = |node: &Node| other.index_of(&node.addr).filter(|twin| other.node(*twin) == Some(node));
        let Some(twins) = self.nodes().iter().map(twin_of).collect::<Option<Vec<_>>>() else { return false };
        let twin = |index: NodeIndex| twins.get(index.get()).copied();
        let same_shard = |mine: &ShardNodes| {
            let theirs = twin(mine.primary).and_then(|primary| other.shards.of(primary));
            theirs.is_some_and(|theirs| {
                let is_theirs = |replica: NodeIndex| theirs.replicas.contains(&replica);
                theirs.replicas.len() == mine.replicas.len()
                    && mine.replicas.iter().all(|replica| twin(*replica).is_some_and(is_theirs))
            })
        };
        self.shards.list.iter().all(same_shard)
            && Slot::all().all(|slot| self.owner(slot).and_then(twin) == other.owner(slot))
    }

    /// The owners that a slot has here and in `other`, for each run of slots that have the same.
    pub(crate) fn owner_pairs<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (Option<NodeIndex>, Option<NodeIndex>)> + 'a {
        let mut last = None;
        Slot::all().filter_map(move |slot| {
            let pair = Some((self.owner(slot), other.owner(slot)));
            if last == pair {
                return None;
            }
            last = pair;
            pair
        })
    }
}

impl fmt::Debug for SlotMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotMap").field("epoch", &self.epoch).field("shards", &DebugShards(self)).finish()
    }
}

struct DebugShards<'a>(&'a SlotMap);

impl fmt::Debug for DebugShards<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.shards()).finish()
    }
}

impl Node {
    pub(crate) fn primary(addr: NodeAddr, id: Option<Arc<str>>) -> Self {
        Self { addr, id, role: Role::Primary, health: Health::Online, zone: None }
    }

    pub(crate) fn replica(addr: NodeAddr, id: Option<Arc<str>>) -> Self {
        Self { role: Role::Replica, ..Self::primary(addr, id) }
    }
}

impl<'a> Shard<'a> {
    /// The node that serves the shard's slots.
    #[must_use]
    pub fn primary(&self) -> &'a Node {
        self.primary
    }

    /// The nodes that follow it.
    pub fn replicas(&self) -> impl Iterator<Item = &'a Node> + use<'a> {
        let map = self.map;
        self.nodes.replicas.iter().filter_map(move |replica| map.node(*replica))
    }

    /// The slots as ranges in order; empty for a primary without slots.
    #[must_use]
    pub fn ranges(&self) -> Vec<SlotRange> {
        let mut ranges: Vec<SlotRange> = Vec::new();
        for slot in self.slots() {
            match ranges.last_mut() {
                Some(range) if range.last.get() + 1 == slot.get() => range.last = slot,
                Some(_) | None => ranges.push(SlotRange { first: slot, last: slot }),
            }
        }
        ranges
    }

    /// Each slot of the shard, in order.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + use<'a> {
        let (map, primary) = (self.map, self.nodes.primary);
        Slot::all().filter(move |slot| map.owner(*slot) == Some(primary))
    }
}

impl fmt::Debug for Shard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("primary", &self.primary.addr)
            .field("replicas", &self.replicas().map(|node| &node.addr).collect::<Vec<_>>())
            .field("slots", &self.ranges().iter().map(ToString::to_string).collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Health, Node, NodeIndex, Role, SlotMap};
    use crate::node::NodeAddr;
    use crate::slot::Slot;

    /// `a:1` with the slots below 8000 and its replica `c:3`, and `b:2` with the others.
    pub(crate) fn two_and_a_replica() -> SlotMap {
        let mut map = SlotMap::empty(1);
        let a = map.add_node(Node::primary(NodeAddr::new("a", 1), None)).unwrap();
        let b = map.add_node(Node::primary(NodeAddr::new("b", 2), None)).unwrap();
        let c = map.add_node(Node::replica(NodeAddr::new("c", 3), None)).unwrap();
        map.add_shard(a);
        map.add_shard(b);
        map.add_replica(a, c);
        Slot::all().for_each(|slot| map.assign(slot, if slot.get() < 8000 { a } else { b }));
        map
    }

    fn addr(port: u16) -> NodeAddr {
        NodeAddr::new("127.0.0.1", port)
    }

    /// Two shards of one half each; the first has a replica.
    fn two_shards() -> SlotMap {
        let mut map = SlotMap::empty(3);
        let a = map.add_node(Node::primary(addr(1), None)).unwrap();
        let b = map.add_node(Node::primary(addr(2), None)).unwrap();
        let c = map.add_node(Node::replica(addr(3), None)).unwrap();
        map.add_shard(a);
        map.add_shard(b);
        map.add_replica(a, c);
        for slot in Slot::all() {
            map.assign(slot, if slot.get() < 8192 { a } else { b });
        }
        map
    }

    #[test]
    fn a_moved_slot_leaves_the_old_map_as_it_was() {
        let old = two_shards();
        let slot = Slot::new(100).unwrap();
        let mut new = old.clone();
        new.repoint(slot, &addr(2));
        assert_eq!(old.primary_of(slot).unwrap().addr, addr(1));
        assert_eq!(new.primary_of(slot).unwrap().addr, addr(2));
        let ranges: Vec<String> =
            new.shards().next().unwrap().ranges().iter().map(ToString::to_string).collect();
        assert_eq!(ranges, ["0-99", "101-8191"]);
        assert!(!old.agrees_with(&new));
        assert!(old.agrees_with(&two_shards()));
    }

    #[test]
    fn a_replica_or_a_stranger_that_gets_a_slot_becomes_a_primary() {
        let old = two_shards();
        let mut promoted = old.clone();
        promoted.repoint(Slot::new(5).unwrap(), &addr(3));
        assert_eq!(promoted.primary_of(Slot::new(5).unwrap()).unwrap().role, Role::Primary);
        assert_eq!(promoted.shards().next().unwrap().replicas().count(), 0);
        let mut stranger = old.clone();
        stranger.repoint(Slot::new(5).unwrap(), &addr(9));
        assert_eq!((stranger.nodes().len(), stranger.shards().count()), (4, 3));
    }

    /// The same as [`two_shards`], listed the other way round.
    fn listed_backwards() -> SlotMap {
        let mut map = SlotMap::empty(4);
        let c = map.add_node(Node::replica(addr(3), None)).unwrap();
        let b = map.add_node(Node::primary(addr(2), None)).unwrap();
        let a = map.add_node(Node::primary(addr(1), None)).unwrap();
        map.add_shard(b);
        map.add_shard(a);
        map.add_replica(a, c);
        for slot in Slot::all() {
            map.assign(slot, if slot.get() < 8192 { a } else { b });
        }
        map
    }

    #[test]
    fn maps_agree_whatever_the_order_of_their_lists() {
        assert!(two_shards().agrees_with(&listed_backwards()));
        assert!(listed_backwards().agrees_with(&two_shards()));
    }

    #[test]
    fn maps_disagree_about_any_fact_of_a_node_a_shard_or_a_slot() {
        let changes: [fn(&mut SlotMap); 6] = [
            |map| map.node_mut(map.index_of(&addr(3)).unwrap()).unwrap().health = Health::Failed,
            |map| map.node_mut(map.index_of(&addr(3)).unwrap()).unwrap().zone = Some("z".into()),
            |map| map.add_replica(map.index_of(&addr(2)).unwrap(), map.index_of(&addr(3)).unwrap()),
            |map| map.assign(Slot::new(16383).unwrap(), map.index_of(&addr(1)).unwrap()),
            |map| map.assign(Slot::new(0).unwrap(), NodeIndex::NONE),
            |map| assert!(map.add_node(Node::replica(addr(9), None)).is_some()),
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut other = listed_backwards();
            change(&mut other);
            assert!(!two_shards().agrees_with(&other), "{number}");
            assert!(!other.agrees_with(&two_shards()), "{number}");
        }
    }

    #[test]
    fn a_standalone_server_owns_every_slot() {
        let map = SlotMap::standalone(addr(1));
        assert_eq!(map.assigned_slots(), 16384);
        assert_eq!(map.shards().next().unwrap().ranges()[0].to_string(), "0-16383");
    }
}
