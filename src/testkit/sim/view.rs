//! [`View`]: what one node believes of the cluster. Shared by all nodes that believe the same.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::slot::Slot;

/// The place of a node in the simulation; never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct NodeIndex(pub(super) usize);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Primary,
    ReplicaOf(NodeIndex),
}

/// How a node is judged by the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Judgement {
    #[default]
    Alive,
    /// `fail?`: this node alone finds it silent.
    Suspected,
    /// `fail`: a majority of primaries does.
    Failed,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Member {
    pub(super) role: Role,
    /// The configuration epoch of a primary; a replica has its primary's.
    pub(super) epoch: u64,
    pub(super) judgement: Judgement,
    /// How often the node itself has changed its role or epoch: what it said later counts.
    pub(super) version: u64,
}

impl Member {
    pub(super) fn new(role: Role, epoch: u64) -> Self {
        Self { role, epoch, judgement: Judgement::Alive, version: 0 }
    }
}

/// Members and slot owners, as one node knows them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct View {
    pub(super) current_epoch: u64,
    members: BTreeMap<NodeIndex, Member>,
    /// By slot.
    owners: Vec<Option<NodeIndex>>,
    derived: Derived,
}

/// What follows from members and owners, found once for all nodes that share a view.
#[derive(Default, Debug)]
struct Derived(OnceLock<Summary>);

impl Clone for Derived {
    /// A view is cloned to be changed.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Derived {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Derived {}

/// Figures of a [`View`] that would take a walk over all slots or members.
#[derive(Default, Debug)]
pub(super) struct Summary {
    /// Runs of slots with the same owner, in order.
    pub(super) ranges: Vec<(u16, u16, NodeIndex)>,
    /// Where each owner's runs are in `ranges`, and how many slots they have together.
    owned: BTreeMap<NodeIndex, (Vec<(u16, u16)>, usize)>,
    replicas: BTreeMap<NodeIndex, Vec<NodeIndex>>,
    /// Every slot has an owner that has not failed.
    pub(super) is_covered: bool,
    /// How many primaries have slots: `cluster_size`.
    pub(super) size: usize,
    /// A majority of those is heard of.
    pub(super) has_quorum: bool,
}

impl View {
    /// A node that knows only itself.
    pub(super) fn alone(node: NodeIndex) -> Self {
        Self {
            current_epoch: 0,
            members: BTreeMap::from([(node, Member::new(Role::Primary, 0))]),
            owners: vec![None; usize::from(Slot::COUNT)],
            derived: Derived::default(),
        }
    }

    pub(super) fn members(&self) -> &BTreeMap<NodeIndex, Member> {
        &self.members
    }

    pub(super) fn member(&self, node: NodeIndex) -> Option<&Member> {
        self.members.get(&node)
    }

    pub(super) fn set_member(&mut self, node: NodeIndex, member: Member) {
        self.derived = Derived::default();
        self.members.insert(node, member);
    }

    pub(super) fn forget(&mut self, node: NodeIndex) {
        self.derived = Derived::default();
        self.members.remove(&node);
        self.owners.iter_mut().filter(|owner| **owner == Some(node)).for_each(|owner| *owner = None);
    }

    /// The node's own word about itself: others take it over for its version.
    pub(super) fn declare(&mut self, node: NodeIndex, role: Role, epoch: u64) {
        let known = self.members.get(&node);
        let version = known.map_or(0, |member| member.version) + 1;
        let judgement = known.map(|member| member.judgement).unwrap_or_default();
        self.current_epoch = self.current_epoch.max(epoch);
        self.set_member(node, Member { role, epoch, judgement, version });
    }

    pub(super) fn judge(&mut self, node: NodeIndex, judgement: Judgement) {
        self.derived = Derived::default();
        if let Some(member) = self.members.get_mut(&node) {
            member.judgement = judgement;
        }
    }

    pub(super) fn judgement(&self, node: NodeIndex) -> Judgement {
        self.members.get(&node).map(|member| member.judgement).unwrap_or_default()
    }

    pub(super) fn owner(&self, slot: u16) -> Option<NodeIndex> {
        self.owners.get(usize::from(slot)).copied().flatten()
    }

    pub(super) fn set_owner(&mut self, slot: u16, owner: Option<NodeIndex>) {
        self.derived = Derived::default();
        if let Some(place) = self.owners.get_mut(usize::from(slot)) {
            *place = owner;
        }
    }

    /// All slots with their owners.
    pub(super) fn owners(&self) -> impl Iterator<Item = (u16, Option<NodeIndex>)> {
        (0_u16..).zip(self.owners.iter().copied())
    }

    pub(super) fn role(&self, node: NodeIndex) -> Option<Role> {
        self.members.get(&node).map(|member| member.role)
    }

    /// The primary of the shard that `node` is of; itself, if it is one.
    pub(super) fn primary_of(&self, node: NodeIndex) -> NodeIndex {
        match self.role(node) {
            Some(Role::ReplicaOf(primary)) => primary,
            Some(Role::Primary) | None => node,
        }
    }

    /// The configuration epoch of the node's shard.
    pub(super) fn epoch_of(&self, node: NodeIndex) -> u64 {
        let node = self.members.get(&self.primary_of(node)).or_else(|| self.members.get(&node));
        node.map_or(0, |member| member.epoch)
    }

    pub(super) fn replicas_of(&self, primary: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        self.summary().replicas.get(&primary).into_iter().flatten().copied()
    }

    /// Runs of slots of one node, in order.
    pub(super) fn ranges_of(&self, node: NodeIndex) -> &[(u16, u16)] {
        self.summary().owned.get(&node).map(|(ranges, _)| ranges.as_slice()).unwrap_or_default()
    }

    /// How many slots the node serves.
    pub(super) fn slots_of(&self, node: NodeIndex) -> usize {
        self.summary().owned.get(&node).map_or(0, |(_, slots)| *slots)
    }

    /// Those who have slots.
    pub(super) fn owning(&self) -> impl Iterator<Item = NodeIndex> {
        self.summary().owned.keys().copied()
    }

    pub(super) fn summary(&self) -> &Summary {
        self.derived.0.get_or_init(|| self.summarize())
    }

    fn summarize(&self) -> Summary {
        let mut summary = Summary::default();
        let mut assigned = 0;
        for (slot, owner) in self.owners() {
            let Some(owner) = owner else { continue };
            assigned += 1;
            match summary.ranges.last_mut() {
                Some((_, last, of)) if *of == owner && *last + 1 == slot => *last = slot,
                Some(_) | None => summary.ranges.push((slot, slot, owner)),
            }
        }
        for (first, last, owner) in &summary.ranges {
            let (ranges, slots) = summary.owned.entry(*owner).or_default();
            ranges.push((*first, *last));
            *slots += usize::from(last - first) + 1;
        }
        for (node, member) in &self.members {
            if let Role::ReplicaOf(primary) = member.role {
                summary.replicas.entry(primary).or_default().push(*node);
            }
        }
        let owners = || summary.owned.keys().map(|owner| self.judgement(*owner));
        summary.is_covered =
            assigned == Slot::COUNT && !owners().any(|judgement| judgement == Judgement::Failed);
        summary.size = summary.owned.len();
        let heard = owners().filter(|judgement| *judgement == Judgement::Alive).count();
        summary.has_quorum = heard > summary.size / 2;
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::{Judgement, Member, NodeIndex, Role, View};
    use crate::slot::Slot;

    fn three() -> View {
        let mut view = View::alone(NodeIndex(0));
        for node in 1..3 {
            view.set_member(NodeIndex(node), Member::new(Role::Primary, node as u64));
        }
        for slot in Slot::all() {
            view.set_owner(slot.get(), Some(NodeIndex(usize::from(slot.get()) % 8192 / 4096)));
        }
        view
    }

    #[test]
    fn figures_follow_every_change() {
        let mut view = three();
        assert_eq!(view.summary().size, 2);
        assert_eq!(view.ranges_of(NodeIndex(1)), [(4096, 8191), (12288, 16383)]);
        assert!(view.summary().is_covered && view.summary().has_quorum);
        view.set_owner(5000, Some(NodeIndex(2)));
        assert_eq!(view.slots_of(NodeIndex(1)), 8191);
        assert_eq!(view.summary().size, 3);
        view.judge(NodeIndex(1), Judgement::Suspected);
        assert!(view.summary().is_covered && view.summary().has_quorum);
        view.judge(NodeIndex(1), Judgement::Failed);
        assert!(!view.summary().is_covered && view.summary().has_quorum);
        view.judge(NodeIndex(2), Judgement::Suspected);
        assert!(!view.summary().has_quorum);
        view.forget(NodeIndex(1));
        assert_eq!(view.owner(4096), None);
    }

    #[test]
    fn a_replica_has_the_epoch_of_its_primary() {
        let mut view = three();
        view.declare(NodeIndex(3), Role::ReplicaOf(NodeIndex(2)), 0);
        assert_eq!(view.epoch_of(NodeIndex(3)), 2);
        assert_eq!(view.replicas_of(NodeIndex(2)).collect::<Vec<_>>(), [NodeIndex(3)]);
        assert_eq!(view.member(NodeIndex(3)).map(|member| member.version), Some(1));
    }
}
