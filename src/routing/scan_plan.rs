//! [`ScanPlan`]: which slots a scan has seen, and what is left to do for the others.
//!
//! A node is gone through in a [`Pass`], from cursor 0 to cursor 0. The node is looked at before, now and then in between,
//! and afterwards. A slot counts as seen by a pass only if
//!
//! - the node had it all the time, as one primary in one process, and no key of it was on its way elsewhere; or
//! - it was on its way to this node all the time or has arrived, and a pass of the node that it comes from had ended
//!   before this one began, while the slot was on its way here: keys travel in one direction, so each of them was at the
//!   first node during the first pass, or is at the second one during the second.
//!
//! And a view of the cluster that is newer than the pass has to name the same owner: a primary that was replaced may be the last
//! to hear of it. All other slots are gone through again, wherever they are then. Keys of slots that a pass is not for are
//! left out, so that only slots whose pass came to nothing give a key twice.

use std::sync::Arc;

use crate::node::NodeAddr;
use crate::slot::Slot;
use crate::topology::node_state::{NodeId, NodeState};
use crate::topology::slot_map::{Node, SlotMap};
use crate::topology::slot_set::SlotSet;
use litemap::LiteMap;

/// See the module's documentation.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct ScanPlan {
    /// What need not be looked at any more.
    pub(crate) done: SlotSet,
    /// Seen, to be confirmed by the next view of the cluster.
    pub(crate) claims: Vec<Claim>,
    /// Slots on their way that are seen where they come from.
    pub(crate) halves: LiteMap<Slot, Half>,
    /// Under way.
    pub(crate) passes: LiteMap<NodeId, Pass>,
}

/// Slots that a pass has seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Claim {
    /// Who must be the owner for it to be true.
    pub(crate) owner: NodeId,
    pub(crate) slots: SlotSet,
}

/// The first half of a slot that is on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Half {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
}

/// One way through the keys of one node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pass {
    pub(crate) generation: Arc<str>,
    /// Where it goes on.
    pub(crate) cursor: u64,
    /// The node has no more pages; what is left is to look at it once more.
    pub(crate) is_through: bool,
    /// Slots that the node has.
    pub(crate) settled: SlotSet,
    /// Slots that are leaving, and where they go.
    pub(crate) leaving: LiteMap<Slot, NodeId>,
    /// Slots that are arriving and were seen where they come from.
    pub(crate) arriving: LiteMap<Slot, NodeId>,
}

impl Pass {
    /// Whether the pass is for the keys of this slot.
    pub(crate) fn wants(&self, slot: Slot) -> bool {
        self.settled.contains(slot) || self.leaving.contains_key(&slot) || self.arriving.contains_key(&slot)
    }

    fn is_for_nothing(&self) -> bool {
        self.settled.is_empty() && self.leaving.is_empty() && self.arriving.is_empty()
    }
}

/// What is left to do.
#[derive(Debug, Default)]
pub(crate) struct Todo {
    /// The nodes to go through, each once.
    pub(crate) nodes: Vec<NodeAddr>,
    /// Slots that nobody serves.
    pub(crate) unserved: SlotSet,
}

impl ScanPlan {
    /// For the keys of `slots`.
    pub(crate) fn of(slots: &SlotSet) -> Self {
        Self { done: SlotSet::all().without(slots), ..Self::default() }
    }

    /// Whether every key was seen.
    pub(crate) fn is_complete(&self) -> bool {
        self.done == SlotSet::all()
    }

    /// The nodes that have what is not done.
    pub(crate) fn todo(&self, map: &SlotMap) -> Todo {
        let mut todo = Todo::default();
        for slot in SlotSet::all().without(&self.done).iter() {
            let heir = self.halves.get(&slot).and_then(|half| addr_of(map, &half.to));
            match heir.or_else(|| Some(map.primary_of(slot)?.addr.clone())) {
                Some(node) if todo.nodes.contains(&node) => {}
                Some(node) => todo.nodes.push(node),
                None => todo.unserved.insert(slot),
            }
        }
        todo
    }

    /// Begins a pass with what the node says of itself; false if nothing there is of use.
    pub(crate) fn begin(&mut self, state: &NodeState) -> bool {
        let mut pass = Pass {
            generation: Arc::clone(&state.generation),
            cursor: 0,
            is_through: false,
            settled: SlotSet::default(),
            leaving: LiteMap::new(),
            arriving: LiteMap::new(),
        };
        // It is not on its way to this node any more: it came back, with keys that were not seen there.
        self.halves.retain(|slot, half| {
            half.to != state.id
                || state.owned.contains(*slot)
                || state.importing.get(slot) == Some(&half.from)
        });
        if !state.is_primary {
            return false;
        }
        let seen = |open: SlotSet, claim: &Claim| open.without(&claim.slots);
        let open = self.claims.iter().fold(SlotSet::all().without(&self.done), seen);
        for slot in open.iter() {
            match (state.owned.contains(slot), state.migrating.get(&slot), self.halves.get(&slot)) {
                // Its turn is at the other end.
                (true, Some(to), Some(half)) if half.from == state.id && half.to == *to => {}
                (true, Some(to), _) => {
                    self.halves.remove(&slot);
                    pass.leaving.insert(slot, Arc::clone(to));
                }
                (true, None, _) => {
                    self.halves.remove(&slot);
                    pass.settled.insert(slot);
                }
                // Kept above only if it comes from there.
                (false, _, Some(half)) if half.to == state.id => {
                    pass.arriving.insert(slot, Arc::clone(&half.from));
                }
                (false, _, _) => {}
            }
        }
        let is_useful = !pass.is_for_nothing();
        if is_useful {
            self.passes.insert(Arc::clone(&state.id), pass);
        }
        is_useful
    }

    /// Takes out of the pass at `id` what the node's new state forbids to count; false if nothing is left of it.
    pub(crate) fn check(&mut self, id: &NodeId, state: &NodeState) -> bool {
        let Some(pass) = self.passes.get_mut(id) else { return false };
        if state.id != *id || state.generation != pass.generation || !state.is_primary {
            self.passes.remove(id);
            return false;
        }
        let settled = std::mem::take(&mut pass.settled);
        let stays = |slot: Slot| state.owned.contains(slot) && !state.migrating.contains_key(&slot);
        pass.leaving.retain(|slot, to| state.owned.contains(*slot) && state.migrating.get(slot) == Some(to));
        for slot in settled.iter().filter(|slot| state.owned.contains(*slot)) {
            match state.migrating.get(&slot) {
                Some(to) => _ = pass.leaving.insert(slot, Arc::clone(to)),
                None => pass.settled.insert(slot),
            }
        }
        pass.arriving.retain(|slot, from| stays(*slot) || state.importing.get(slot) == Some(from));
        let is_useful = !pass.is_for_nothing();
        if !is_useful {
            self.passes.remove(id);
        }
        is_useful
    }

    /// Ends the pass at `id` with a last look at the node.
    pub(crate) fn finish(&mut self, id: &NodeId, state: &NodeState) {
        if !self.check(id, state) {
            return;
        }
        let Some(pass) = self.passes.remove(id) else { return };
        self.claims.push(Claim { owner: Arc::clone(id), slots: pass.settled });
        let mut by_origin: LiteMap<NodeId, SlotSet> = LiteMap::new();
        for (slot, from) in pass.arriving {
            self.halves.remove(&slot);
            let owner = if state.owned.contains(slot) { Arc::clone(id) } else { from };
            by_origin.entry(owner).or_default().insert(slot);
        }
        self.claims.extend(by_origin.into_iter().map(|(owner, slots)| Claim { owner, slots }));
        for (slot, to) in pass.leaving {
            self.halves.insert(slot, Half { from: Arc::clone(id), to });
        }
    }

    /// Gives the pass at `id` up: the node is no primary any more, or another process.
    pub(crate) fn abandon(&mut self, id: &NodeId) {
        self.passes.remove(id);
    }

    /// Holds what was seen against a view of the cluster that is newer.
    pub(crate) fn confirm(&mut self, map: &SlotMap) {
        for Claim { owner, slots } in std::mem::take(&mut self.claims) {
            let is_true = |slot: &Slot| map.primary_of(*slot).is_some_and(|node| id_of(node) == &*owner);
            self.done.extend(slots.iter().filter(is_true));
        }
    }
}

/// What the node is called here.
fn id_of(node: &Node) -> &str {
    node.id.as_deref().unwrap_or_default()
}

/// Where the primary with this id listens.
pub(crate) fn addr_of(map: &SlotMap, id: &str) -> Option<NodeAddr> {
    let mut primaries = map.primaries().filter_map(|index| map.node(index));
    primaries.find(|node| id_of(node) == id).map(|node| node.addr.clone())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::{Half, ScanPlan};
    use crate::node::NodeAddr;
    use crate::slot::Slot;
    use crate::topology::node_state::{NodeId, NodeState};
    use crate::topology::slot_map::{Node, SlotMap};
    use crate::topology::slot_set::SlotSet;

    const NODES: usize = 3;
    const SLOTS: u16 = 9;
    const KEYS: usize = 36;
    /// Pages of a whole pass; a key is in the same one of them as long as its node is the same process.
    const PAGES: u64 = 6;

    fn slot(number: u16) -> Slot {
        Slot::new(number).unwrap()
    }

    fn id(node: usize) -> NodeId {
        Arc::from(format!("n{node}"))
    }

    /// A cluster that does all at once what it does, and knows everything.
    struct Model {
        owners: Vec<usize>,
        /// Slots on their way, and to which node.
        open: BTreeMap<u16, usize>,
        /// Where each key is.
        places: Vec<usize>,
        generations: [u64; NODES],
        /// Slots that were on their way key by key. One that comes back and sets out again at once is beyond what is promised.
        opened: BTreeSet<u16>,
    }

    impl Model {
        fn new() -> Self {
            let owners: Vec<usize> = (0..usize::from(SLOTS)).map(|slot| slot % NODES).collect();
            let places = (0..KEYS).map(|key| owners[key % usize::from(SLOTS)]).collect();
            let (open, opened) = (BTreeMap::new(), BTreeSet::new());
            Self { owners, open, places, generations: [0; NODES], opened }
        }

        fn slot_of(key: usize) -> u16 {
            u16::try_from(key).unwrap() % SLOTS
        }

        fn state(&self, node: usize) -> NodeState {
            let owned = |number: &u16| self.owners[usize::from(*number)] == node;
            let open = self.open.iter();
            NodeState {
                id: id(node),
                generation: self.generations[node].to_string().into(),
                is_primary: true,
                is_up: true,
                owned: (0..SLOTS).filter(owned).map(slot).collect(),
                migrating: open
                    .clone()
                    .filter(|(of, _)| owned(of))
                    .map(|(of, to)| (slot(*of), id(*to)))
                    .collect(),
                importing: open
                    .filter(|(_, to)| **to == node)
                    .map(|(of, _)| (slot(*of), id(self.owners[usize::from(*of)])))
                    .collect(),
            }
        }

        fn map(&self) -> SlotMap {
            let mut map = SlotMap::empty(1);
            let add = |node: usize| {
                let known = Node::primary(addr(node), Some(id(node)));
                let index = map.add_node(known).unwrap();
                map.add_shard(index);
                index
            };
            let indices: Vec<_> = (0..NODES).map(add).collect();
            for number in 0..SLOTS {
                map.assign(slot(number), indices[self.owners[usize::from(number)]]);
            }
            map
        }

        /// The page of a key at a node: by a hash that each process has for itself.
        fn page_of(&self, key: usize, node: usize) -> u64 {
            let seed = node as u64 * 1000 + self.generations[node];
            (key as u64 + 1).wrapping_mul(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1) >> 7 & 0xFFFF
        }

        fn page(&self, node: usize, cursor: u64) -> (u64, Vec<usize>) {
            let there = |key: &usize| self.places[*key] == node && self.page_of(*key, node) % PAGES == cursor;
            ((cursor + 1) % PAGES, (0..KEYS).filter(there).collect())
        }

        fn move_keys(&mut self, number: u16, to: usize, most: usize) {
            let keys = (0..KEYS).filter(|key| Self::slot_of(*key) == number);
            let away: Vec<usize> = keys.filter(|key| self.places[*key] != to).take(most).collect();
            away.into_iter().for_each(|key| self.places[key] = to);
        }

        /// One change, chosen by a number.
        fn change(&mut self, what: u32) {
            let number = u16::try_from(what / 8 % u32::from(SLOTS)).unwrap();
            let other = (self.owners[usize::from(number)] + 1 + (what as usize / 128) % (NODES - 1)) % NODES;
            let to = self.open.get(&number).copied();
            match (what % 8, to) {
                (0 | 1, None) if self.opened.insert(number) => _ = self.open.insert(number, other),
                (2 | 3, Some(to)) => self.move_keys(number, to, 1),
                (4, Some(to)) => {
                    self.move_keys(number, to, KEYS);
                    self.owners[usize::from(number)] = to;
                    self.open.remove(&number);
                }
                (5, Some(_)) => {
                    self.move_keys(number, self.owners[usize::from(number)], KEYS);
                    self.open.remove(&number);
                }
                // All at once, as Valkey can do it.
                (6, None) => {
                    self.move_keys(number, other, KEYS);
                    self.owners[usize::from(number)] = other;
                }
                (7, _) if what.is_multiple_of(3) => self.generations[usize::from(number) % NODES] += 1,
                (_, _) => {}
            }
        }
    }

    fn addr(node: usize) -> NodeAddr {
        NodeAddr::new("h", u16::try_from(node).unwrap() + 1)
    }

    /// Scans, with changes before each step; what was found.
    fn scan(model: &mut Model, changes: &[u32], store: bool) -> BTreeSet<usize> {
        let slots: SlotSet = (0..SLOTS).map(slot).collect();
        let mut plan = ScanPlan::of(&slots);
        let mut found = BTreeSet::new();
        let mut changes = changes.iter();
        let mut change = |model: &mut Model| {
            if let Some(what) = changes.next() {
                model.change(*what);
            }
        };
        for round in 0.. {
            assert!(round < 500, "it ends when nothing changes any more: {plan:?}");
            plan.confirm(&model.map());
            if plan.is_complete() {
                break;
            }
            let nodes = plan.todo(&model.map()).nodes;
            change(model);
            for (node, _) in
                (0..NODES).map(|node| (node, addr(node))).filter(|(_, addr)| nodes.contains(addr))
            {
                plan.begin(&model.state(node));
            }
            // Those that were begun go on in turns.
            while let Some(at) = plan.passes.keys().nth(round % plan.passes.len().max(1)).cloned() {
                change(model);
                let node = (0..NODES).find(|node| id(*node) == at).unwrap();
                let cursor = plan.passes[&at].cursor;
                let (next, keys) = model.page(node, cursor);
                if !plan.check(&at, &model.state(node)) {
                    continue;
                }
                let pass = plan.passes.get_mut(&at).unwrap();
                found.extend(keys.into_iter().filter(|key| pass.wants(slot(Model::slot_of(*key)))));
                pass.cursor = next;
                change(model);
                if next == 0 {
                    plan.finish(&at, &model.state(node));
                }
                if store {
                    let filter = crate::routing::scan_filter::ScanFilter::default();
                    let token = crate::routing::scan_token::encode(&filter, &plan);
                    plan = crate::routing::scan_token::decode(&token).unwrap().1;
                }
            }
        }
        found
    }

    proptest! {
        #[test]
        fn no_key_is_missed_whatever_moves(changes in vec(any::<u32>(), 0..300), store in any::<bool>()) {
            let mut model = Model::new();
            let found = scan(&mut model, &changes, store);
            let missed: Vec<usize> = (0..KEYS).filter(|key| !found.contains(key)).collect();
            assert!(missed.is_empty(), "missed {missed:?} of slots {:?}", missed.iter().map(|key| Model::slot_of(*key)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_slot_on_its_way_is_done_by_both_sides_in_their_order() {
        let mut model = Model::new();
        model.open.insert(0, 1);
        let mut plan = ScanPlan::of(&[slot(0)].into_iter().collect());
        assert_eq!(plan.todo(&model.map()).nodes, [addr(0)]);
        assert!(!plan.begin(&model.state(1)), "not yet");
        assert!(plan.begin(&model.state(0)));
        plan.finish(&id(0), &model.state(0));
        assert_eq!(plan.halves[&slot(0)], Half { from: id(0), to: id(1) });
        assert_eq!(plan.todo(&model.map()).nodes, [addr(1)]);
        assert!(!plan.begin(&model.state(0)), "it has had its turn");
        assert!(plan.begin(&model.state(1)));
        plan.finish(&id(1), &model.state(1));
        plan.confirm(&model.map());
        assert!(plan.is_complete());
    }

    #[test]
    fn a_half_is_worth_nothing_after_the_move_was_undone() {
        let mut model = Model::new();
        model.open.insert(0, 1);
        let mut plan = ScanPlan::of(&[slot(0)].into_iter().collect());
        plan.begin(&model.state(0));
        plan.finish(&id(0), &model.state(0));
        model.open.clear();
        assert!(!plan.begin(&model.state(1)));
        assert!(plan.halves.is_empty());
        assert!(plan.begin(&model.state(0)));
        assert!(plan.passes[&id(0)].settled.contains(slot(0)));
    }

    #[test]
    fn what_a_node_says_it_has_seen_counts_only_if_the_cluster_agrees() {
        let mut model = Model::new();
        let mut plan = ScanPlan::of(&[slot(0), slot(3)].into_iter().collect());
        plan.begin(&model.state(0));
        plan.finish(&id(0), &model.state(0));
        model.owners[3] = 2;
        plan.confirm(&model.map());
        assert!(plan.done.contains(slot(0)) && !plan.done.contains(slot(3)));
        assert_eq!(plan.todo(&model.map()).nodes, [addr(2)]);
    }

    #[test]
    fn another_process_or_role_ends_a_pass() {
        let mut model = Model::new();
        let mut plan = ScanPlan::of(&SlotSet::all());
        let changes: [fn(&mut NodeState); 2] =
            [|state| state.generation = "x".into(), |state| state.is_primary = false];
        for change in changes {
            plan.begin(&model.state(0));
            let mut state = model.state(0);
            change(&mut state);
            assert!(!plan.check(&id(0), &state));
            assert!(plan.passes.is_empty());
        }
        model.owners.fill(1);
        plan.begin(&Model::new().state(0));
        assert!(!plan.check(&id(0), &model.state(0)), "nothing is left of it");
    }
}
