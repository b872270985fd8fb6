//! [`TopologyEvent`]: what a user is told of the change from one [`SlotMap`] to the next.

use std::fmt;

use crate::node::NodeAddr;
use crate::slot::Slot;
use crate::topology::diff::failed_over;
use crate::topology::slot_map::{Health, NodeIndex, Role, SlotMap, SlotRange};

/// One change of the cluster, as the client has learned it; see
/// [`Client::topology_events`](crate::Client::topology_events).
///
/// All events of one change together lead from the map before to the map after it. Those of one change come in the
/// order of this list.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TopologyEvent {
    /// A node belongs to the cluster that did not before.
    #[non_exhaustive]
    NodeAdded {
        /// The node.
        node: NodeAddr,
        /// What it does in its shard.
        role: Role,
    },
    /// A failover: a node serves slots of a primary that follows, has failed, or was replaced by its replica. Which slots,
    /// [`SlotsMoved`](Self::SlotsMoved) tells.
    #[non_exhaustive]
    PrimaryPromoted {
        /// The new primary.
        node: NodeAddr,
        /// The one whose slots it has taken over.
        replaced: NodeAddr,
    },
    /// Slots have another owner, whatever the reason: they were moved, or their primary was failed over.
    #[non_exhaustive]
    SlotsMoved {
        /// The slots, in order.
        ranges: Vec<SlotRange>,
        /// Who served them; `None` if nobody did.
        from: Option<NodeAddr>,
        /// Who serves them now; `None` if nobody does.
        to: Option<NodeAddr>,
    },
    /// A node follows a primary that it did not follow before: a new one, a primary that was failed over, a replica whose
    /// primary was.
    #[non_exhaustive]
    ReplicaAdded {
        /// The replica.
        replica: NodeAddr,
        /// Whom it follows.
        primary: NodeAddr,
    },
    /// The cluster says something else of the state of a node.
    #[non_exhaustive]
    HealthChanged {
        /// The node.
        node: NodeAddr,
        /// What it says now.
        health: Health,
    },
    /// A node does not belong to the cluster any more.
    #[non_exhaustive]
    NodeGone {
        /// The node.
        node: NodeAddr,
    },
}

impl fmt::Display for TopologyEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NodeAdded { node, role: Role::Primary } => write!(f, "{node} was added as a primary"),
            Self::NodeAdded { node, role: Role::Replica } => write!(f, "{node} was added as a replica"),
            Self::PrimaryPromoted { node, replaced } => {
                write!(f, "{node} was promoted in place of {replaced}")
            }
            Self::SlotsMoved { ranges, from, to } => {
                f.write_str("slots ")?;
                for (place, range) in ranges.iter().enumerate() {
                    write!(f, "{}{range}", if place > 0 { "," } else { "" })?;
                }
                match (from, to) {
                    (Some(from), Some(to)) => write!(f, " went from {from} to {to}"),
                    (None, Some(to)) => write!(f, " are served by {to}"),
                    (Some(from), None) => {
                        write!(f, " are not served by {from} any more, nor by anybody else")
                    }
                    (None, None) => f.write_str(" are served by nobody"),
                }
            }
            Self::ReplicaAdded { replica, primary } => write!(f, "{replica} follows {primary}"),
            Self::HealthChanged { node, health } => write!(
                f,
                "{node} is {}",
                match health {
                    Health::Online => "online",
                    Health::Loading => "loading",
                    Health::Failed => "failed",
                }
            ),
            Self::NodeGone { node } => write!(f, "{node} has left"),
        }
    }
}

/// Slots that went from one node to another.
struct Move<'m> {
    from: Option<&'m NodeAddr>,
    to: Option<&'m NodeAddr>,
    ranges: Vec<SlotRange>,
}

/// How `new` differs from `old`.
pub(crate) fn changes(old: &SlotMap, new: &SlotMap) -> Vec<TopologyEvent> {
    let mut events = Vec::new();
    for node in new.nodes().iter().filter(|node| old.index_of(&node.addr).is_none()) {
        events.push(TopologyEvent::NodeAdded { node: node.addr.clone(), role: node.role });
    }
    let moves = moves(old, new);
    let gone = failed_over(old, new);
    let mut told = Vec::new();
    for one in &moves {
        if let (Some(from), Some(to)) = (one.from, one.to)
            && is_promotion(old, from, to, gone.contains(from))
            && !told.contains(&to)
        {
            told.push(to);
            events.push(TopologyEvent::PrimaryPromoted { node: to.clone(), replaced: from.clone() });
        }
    }
    events.extend(moves.into_iter().map(|one| TopologyEvent::SlotsMoved {
        ranges: one.ranges,
        from: one.from.cloned(),
        to: one.to.cloned(),
    }));
    for shard in new.shards() {
        let primary = &shard.primary().addr;
        for replica in shard.replicas().filter(|replica| !old.is_replica_of(&replica.addr, primary)) {
            events.push(TopologyEvent::ReplicaAdded {
                replica: replica.addr.clone(),
                primary: primary.clone(),
            });
        }
    }
    for node in new.nodes() {
        let before = old.index_of(&node.addr).and_then(|index| old.node(index));
        // A node that is new is online unless it is said otherwise.
        if before.map_or(Health::Online, |before| before.health) != node.health {
            events.push(TopologyEvent::HealthChanged { node: node.addr.clone(), health: node.health });
        }
    }
    for node in old.nodes().iter().filter(|node| new.index_of(&node.addr).is_none()) {
        events.push(TopologyEvent::NodeGone { node: node.addr.clone() });
    }
    events
}

/// Whether `to` was promoted: it has slots of a primary that is none any more, or whose replica it was. It was no primary
/// itself: a failover that is learned slot by slot is told once.
fn is_promotion(old: &SlotMap, from: &NodeAddr, to: &NodeAddr, is_over: bool) -> bool {
    let was_primary = old.index_of(to).is_some_and(|index| old.is_primary(index));
    !was_primary && (is_over || old.is_replica_of(to, from))
}

/// The slots that have another owner, by the pair of nodes, in the order of the first slot of each.
fn moves<'m>(old: &'m SlotMap, new: &'m SlotMap) -> Vec<Move<'m>> {
    let mut moves: Vec<Move<'m>> = Vec::new();
    // The owners of the slot before, and the place of their move if there is one: neighbours mostly have the same.
    let mut last: Option<([Option<NodeIndex>; 2], Option<usize>)> = None;
    for slot in Slot::all() {
        let owners = [old.owner(slot), new.owner(slot)];
        let place = match last {
            Some((same, place)) if same == owners => place,
            Some(_) | None => {
                let [from, to] =
                    [old.primary_of(slot), new.primary_of(slot)].map(|node| node.map(|node| &node.addr));
                (from != to).then(|| {
                    let known = moves.iter().position(|one| (one.from, one.to) == (from, to));
                    known.unwrap_or_else(|| {
                        moves.push(Move { from, to, ranges: Vec::new() });
                        moves.len() - 1
                    })
                })
            }
        };
        last = Some((owners, place));
        if let Some(one) = place.and_then(|place| moves.get_mut(place)) {
            match one.ranges.last_mut() {
                Some(range) if range.last.get() + 1 == slot.get() => range.last = slot,
                Some(_) | None => one.ranges.push(SlotRange { first: slot, last: slot }),
            }
        }
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::changes;
    use crate::node::NodeAddr;
    use crate::slot::Slot;
    use crate::topology::slot_map::{Health, Node, SlotMap};

    fn addr(port: u16) -> NodeAddr {
        NodeAddr::new("h", port)
    }

    /// Shards as `(primary, replicas, slots)`.
    fn map(shards: &[(u16, &[u16], std::ops::Range<u16>)]) -> SlotMap {
        let mut map = SlotMap::empty(1);
        for (primary, replicas, slots) in shards {
            let primary = map.add_node(Node::primary(addr(*primary), None)).unwrap();
            map.add_shard(primary);
            for replica in *replicas {
                let replica = map.add_node(Node::replica(addr(*replica), None)).unwrap();
                map.add_replica(primary, replica);
            }
            slots.clone().for_each(|slot| map.assign(Slot::new(slot).unwrap(), primary));
        }
        map
    }

    fn told(old: &SlotMap, new: &SlotMap) -> Vec<String> {
        changes(old, new).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_failover_is_a_promotion_its_slots_and_a_new_replica() {
        let old = map(&[(1, &[2, 3], 0..8192), (4, &[], 8192..16384)]);
        let new = map(&[(2, &[1, 3], 0..8192), (4, &[], 8192..16384)]);
        assert_eq!(
            told(&old, &new),
            [
                "h:2 was promoted in place of h:1",
                "slots 0-8191 went from h:1 to h:2",
                "h:1 follows h:2",
                "h:3 follows h:2"
            ]
        );
        assert_eq!(told(&old, &old.clone()), [""; 0]);
    }

    #[test]
    fn a_failover_that_a_redirect_tells_first_is_one_promotion() {
        let old = map(&[(1, &[2], 0..16384)]);
        let mut redirected = old.clone();
        redirected.repoint(Slot::new(7).unwrap(), &addr(2));
        assert_eq!(
            told(&old, &redirected),
            ["h:2 was promoted in place of h:1", "slots 7 went from h:1 to h:2"]
        );
        assert_eq!(
            told(&redirected, &map(&[(2, &[1], 0..16384)])),
            ["slots 0-6,8-16383 went from h:1 to h:2", "h:1 follows h:2"]
        );
    }

    #[test]
    fn a_move_between_living_primaries_promotes_nobody() {
        let old = map(&[(1, &[], 0..8192), (2, &[], 8192..16384)]);
        let new = map(&[(1, &[], 10..8192), (2, &[], 8192..16384), (3, &[4], 0..10)]);
        assert_eq!(
            told(&old, &new),
            [
                "h:3 was added as a primary",
                "h:4 was added as a replica",
                "slots 0-9 went from h:1 to h:3",
                "h:4 follows h:3"
            ]
        );
        assert_eq!(told(&new, &old), ["slots 0-9 went from h:3 to h:1", "h:3 has left", "h:4 has left"]);
    }

    #[test]
    fn slots_that_nobody_serves_and_nodes_that_fail_are_told() {
        let old = map(&[(1, &[], 0..100)]);
        let mut new = map(&[(1, &[], 0..50)]);
        let node = new.index_of(&addr(1)).unwrap();
        new.node_mut(node).unwrap().health = Health::Failed;
        assert_eq!(
            told(&old, &new),
            ["slots 50-99 are not served by h:1 any more, nor by anybody else", "h:1 is failed"]
        );
        assert_eq!(told(&new, &old), ["slots 50-99 are served by h:1", "h:1 is online"]);
    }
}
