//! What is done about slots that are open, served by nobody or by several, and about keys where nobody looks. Pure.
//!
//! The rules:
//!
//! - The owner of a slot is the primary that claims it, of several the one with the highest epoch: that is whom the
//!   cluster believes. The others give it their keys.
//! - A move that was begun is brought to its end, to the node that the owner gives the slot to; if the owner has
//!   forgotten it (it was failed over), to the node that has keys of it. A move that has moved nothing, because one of the
//!   two has no mark and the target no key, is taken back.
//! - A slot that nobody claims goes to who has most of its keys, else to who was its owner, else to who has the fewest
//!   slots; but never away from a node that does not answer, unless that is asked for.
//! - Keys that their holder does not serve go to the owner.
//! - Where two have the same key, the value of the owner stays: it is the one that clients have seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::admin::step::{Member, Step};
use crate::admin::survey::Survey;
use crate::admin::view::NodeView;
use crate::slot::Slot;
use crate::topology::node_state::NodeId;
use crate::topology::slot_set::SlotSet;

/// What is to be done, slots by who is concerned.
#[derive(Debug, Default)]
pub(super) struct Mending {
    bumps: Vec<Member>,
    claims: BTreeMap<Member, SlotSet>,
    yields: BTreeMap<(Member, Member), SlotSet>,
    moves: BTreeMap<(Member, Member), SlotSet>,
    closes: BTreeMap<Member, SlotSet>,
    returns: BTreeMap<(Member, Member), SlotSet>,
    /// Slots whose owner, by the word of others, does not answer.
    left: BTreeMap<NodeId, SlotSet>,
}

/// Decides for every slot that something is wrong with.
pub(super) fn mend(survey: &Survey, takes_from_unreachable: bool) -> Mending {
    let mut mending = Mending::default();
    let mut load: BTreeMap<NodeId, usize> =
        survey.view.primaries().map(|node| (Arc::clone(node.id()), node.myself.slots.len())).collect();
    let open = survey.view.open_slots();
    let mut slots: SlotSet = survey.view.unclaimed();
    slots.extend(open.iter().copied());
    slots.extend(survey.keys.keys().copied());
    slots.extend(survey.contested());
    for slot in slots.iter() {
        let claimants = survey.view.claimants(slot);
        let owner = match claimants.as_slice() {
            [] => match new_owner(survey, slot, &load, takes_from_unreachable) {
                Ok(owner) => {
                    *load.entry(Arc::clone(owner.id())).or_default() += 1;
                    mending.claims.entry(owner.into()).or_default().insert(slot);
                    owner
                }
                Err(believed) => {
                    mending.left.entry(believed).or_default().insert(slot);
                    continue;
                }
            },
            [single] => *single,
            [first, others @ ..] => {
                let tied = others.iter().filter(|other| other.myself.epoch == first.myself.epoch);
                let winner = tied.copied().chain([*first]).max_by_key(|node| survey.held(slot, node.id()));
                let winner = winner.unwrap_or(first);
                if others.iter().any(|other| other.myself.epoch == first.myself.epoch) {
                    mending.bump(winner.into());
                }
                for loser in claimants.iter().filter(|node| node.id() != winner.id()) {
                    let pair = ((*loser).into(), winner.into());
                    mending.yields.entry(pair).or_default().insert(slot);
                }
                winner
            }
        };
        let losers: Vec<&NodeId> =
            claimants.iter().map(|node| node.id()).filter(|id| *id != owner.id()).collect();
        mending.close(survey, slot, owner, &losers);
    }
    mending
}

/// Who gets a slot that nobody claims. `Err`: who has it by the word of others, and does not answer.
fn new_owner<'a>(
    survey: &'a Survey,
    slot: Slot,
    load: &BTreeMap<NodeId, usize>,
    takes_from_unreachable: bool,
) -> Result<&'a NodeView, NodeId> {
    let view = &survey.view;
    let believed: Vec<&NodeId> = view.nodes.iter().filter_map(|node| node.owner(slot)).collect();
    if let Some(lost) = believed.iter().find(|id| view.node(id).is_none())
        && !takes_from_unreachable
    {
        return Err(Arc::clone(lost));
    }
    let rank = |node: &&NodeView| {
        let was_owner = believed.contains(&node.id());
        let slots = load.get(node.id()).copied().unwrap_or(0);
        (survey.held(slot, node.id()), was_owner, std::cmp::Reverse(slots))
    };
    // Of equals the first, so that the same view has the same plan.
    let best = view.primaries().collect::<Vec<_>>().into_iter().rev().max_by_key(rank);
    best.ok_or_else(|| "".into())
}

impl Mending {
    fn bump(&mut self, node: Member) {
        if !self.bumps.contains(&node) {
            self.bumps.push(node);
        }
    }

    /// What is done about the marks and the keys of a slot, when it has this owner.
    fn close(&mut self, survey: &Survey, slot: Slot, owner: &NodeView, losers: &[&NodeId]) {
        let view = &survey.view;
        let target = target(survey, slot, owner);
        if let Some(target) = target {
            let pair = (owner.into(), target.into());
            self.moves.entry(pair).or_default().insert(slot);
        }
        let last = target.unwrap_or(owner);
        for node in view.primaries() {
            let line = &node.myself;
            let is_marked = line.migrating.contains_key(&slot) || line.importing.contains_key(&slot);
            let moves = target.is_some() && (node.id() == owner.id() || node.id() == last.id());
            if moves || losers.contains(&node.id()) {
                // The move takes its marks away, and who yields a slot loses its own.
            } else if node.id() != last.id() && survey.held(slot, node.id()) > 0 {
                self.returns.entry((node.into(), last.into())).or_default().insert(slot);
            } else if is_marked {
                self.closes.entry(node.into()).or_default().insert(slot);
            }
        }
    }

    /// Where slots go by it: to the second.
    pub(super) fn moves(&self) -> impl Iterator<Item = (&Member, &SlotSet)> {
        self.moves.iter().map(|((_, to), slots)| (to, slots))
    }

    /// Slots that stay without an owner, by whose they are said to be.
    pub(super) fn left(&self) -> impl Iterator<Item = (&NodeId, &SlotSet)> {
        self.left.iter()
    }

    /// As steps: who owns what first, then the keys.
    pub(super) fn steps(&self, survey: &Survey) -> Vec<Step> {
        let held =
            |slots: &SlotSet, node: &Member| slots.iter().map(|slot| survey.held(slot, &node.id)).sum();
        let mut steps: Vec<Step> = Vec::new();
        steps.extend(self.bumps.iter().map(|node| Step::BumpEpoch { node: node.clone() }));
        steps.extend(
            self.claims
                .iter()
                .map(|(node, slots)| Step::ClaimSlots { node: node.clone(), slots: slots.clone().into() }),
        );
        steps.extend(self.yields.iter().map(|((node, owner), slots)| Step::YieldSlots {
            node: node.clone(),
            owner: owner.clone(),
            slots: slots.clone().into(),
        }));
        steps.extend(
            self.closes
                .iter()
                .map(|(node, slots)| Step::CloseSlots { node: node.clone(), slots: slots.clone().into() }),
        );
        steps.extend(self.moves.iter().map(|((from, to), slots)| Step::MoveSlots {
            from: from.clone(),
            to: to.clone(),
            slots: slots.clone().into(),
            keys: held(slots, from),
        }));
        steps.extend(self.returns.iter().map(|((holder, owner), slots)| Step::ReturnKeys {
            holder: holder.clone(),
            owner: owner.clone(),
            slots: slots.clone().into(),
            keys: held(slots, holder),
        }));
        steps
    }
}

/// To whom an open slot goes; `None` if its move has not begun, or nobody knows where to.
fn target<'a>(survey: &'a Survey, slot: Slot, owner: &NodeView) -> Option<&'a NodeView> {
    let view = &survey.view;
    let imports = |node: &NodeView| node.myself.importing.contains_key(&slot);
    if let Some(to) = owner.myself.migrating.get(&slot) {
        let to = view.successor(to, slot).filter(|to| to.id() != owner.id());
        if let Some(to) = to.filter(|to| imports(to) || survey.held(slot, to.id()) > 0) {
            return Some(to);
        }
    }
    // The owner does not know of a move any more; who imports the slot and has keys of it does.
    view.primaries()
        .filter(|node| node.id() != owner.id() && imports(node) && survey.held(slot, node.id()) > 0)
        .max_by_key(|node| survey.held(slot, node.id()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::mend;
    use crate::admin::survey::Survey;
    use crate::admin::view::tests::view;
    use crate::admin::view::{ClusterView, Unreachable};
    use crate::slot::Slot;

    fn survey(view: ClusterView, keys: &[(u16, &str, u64)]) -> Survey {
        let mut survey = Survey { view, keys: BTreeMap::new() };
        for (slot, node, count) in keys {
            let held = survey.keys.entry(Slot::new(*slot).unwrap()).or_default();
            held.insert((*node).into(), *count);
        }
        survey
    }

    /// What is done, in short.
    fn cure(nodes: &[(&str, &str, u64)], keys: &[(u16, &str, u64)]) -> Vec<String> {
        let survey = survey(view(nodes), keys);
        let short = |text: String| {
            (0..nodes.len()).fold(text, |text, place| text.replace(&format!("h:{} ", 7000 + place), ""))
        };
        mend(&survey, false).steps(&survey).iter().map(|step| short(step.to_string())).collect()
    }

    #[test]
    fn a_move_that_was_begun_is_brought_to_its_end() {
        let both = [("a", "0-8191 [5->-b]", 1), ("b", "8192-16383 [5-<-a]", 2)];
        assert_eq!(cure(&both, &[]), ["1 slots with 0 keys go from (a) to (b): 5"]);
        assert_eq!(cure(&both, &[(5, "a", 3), (5, "b", 4)]), ["1 slots with 3 keys go from (a) to (b): 5"]);
    }

    #[test]
    fn one_that_has_moved_nothing_is_taken_back() {
        assert_eq!(
            cure(&[("a", "0-8191", 1), ("b", "8192-16383 [5-<-a]", 2)], &[(5, "a", 3)]),
            ["(b) closes slots 5"]
        );
        assert_eq!(
            cure(&[("a", "0-8191 [5->-b]", 1), ("b", "8192-16383", 2)], &[(5, "a", 3)]),
            ["(a) closes slots 5"]
        );
        assert_eq!(
            cure(&[("a", "0-8191 [5->-gone]", 1), ("b", "8192-16383", 2)], &[(5, "a", 3)]),
            ["(a) closes slots 5"]
        );
    }

    #[test]
    fn a_source_that_has_forgotten_the_move_is_told_again() {
        assert_eq!(
            cure(&[("a", "0-8191", 1), ("b", "8192-16383 [5-<-x]", 2)], &[(5, "a", 3), (5, "b", 1)]),
            ["1 slots with 3 keys go from (a) to (b): 5"]
        );
    }

    #[test]
    fn a_target_that_has_forgotten_the_move_is_told_again() {
        let nodes = [("a", "0-8191 [5->-c]", 1), ("b", "8192-16383", 3), ("c", "of b", 3)];
        assert_eq!(cure(&nodes, &[(5, "a", 3), (5, "b", 1)]), ["1 slots with 3 keys go from (a) to (b): 5"]);
    }

    #[test]
    fn of_several_that_import_the_one_that_the_owner_names_gets_it() {
        let nodes = [
            ("a", "0-8191 [5->-b]", 1),
            ("b", "8192-16383 [5-<-a]", 2),
            ("c", "[5-<-a]", 3),
            ("d", "[5-<-a]", 4),
        ];
        assert_eq!(
            cure(&nodes, &[(5, "a", 3), (5, "c", 7)]),
            [
                "(d) closes slots 5",
                "1 slots with 3 keys go from (a) to (b): 5",
                "7 keys in slots 5 go from (c) home to their owner (b)"
            ]
        );
    }

    #[test]
    fn keys_that_nobody_looks_for_go_home() {
        assert_eq!(
            cure(&[("a", "0-8191", 1), ("b", "8192-16383", 2)], &[(5, "b", 2), (6, "b", 1)]),
            ["3 keys in slots 5-6 go from (b) home to their owner (a)"]
        );
    }

    #[test]
    fn of_two_owners_the_higher_epoch_wins_and_of_equal_ones_the_one_with_more_keys() {
        assert_eq!(
            cure(&[("a", "0-8191", 1), ("b", "8191-16383", 2)], &[(8191, "a", 9)]),
            ["(a) leaves 1 slots to their owner (b): 8191"]
        );
        assert_eq!(
            cure(&[("a", "0-8191", 2), ("b", "8191-16383", 2)], &[(8191, "b", 9)]),
            ["(b) gets a new epoch", "(a) leaves 1 slots to their owner (b): 8191"]
        );
    }

    #[test]
    fn a_slot_without_an_owner_goes_to_its_keys_else_to_who_has_the_fewest() {
        let nodes = [("a", "0-8190", 1), ("b", "8194-16383", 2)];
        assert_eq!(
            cure(&nodes, &[(8192, "a", 1), (8192, "b", 5)]),
            [
                "(a) takes 1 slots that nobody serves: 8193",
                "(b) takes 2 slots that nobody serves: 8191-8192",
                "1 keys in slots 8192 go from (a) home to their owner (b)"
            ]
        );
    }

    #[test]
    fn the_slots_of_a_node_that_does_not_answer_are_left_to_it() {
        let mut broken = view(&[("a", "0-8191", 1), ("b", "8192-16383", 2)]);
        let lost = broken.nodes.pop().unwrap();
        broken.unreachable.push(Unreachable {
            id: Some("b".into()),
            addr: Some(lost.addr),
            line: None,
            error: "refused".to_owned(),
        });
        let survey = survey(broken, &[]);
        let left = mend(&survey, false);
        assert!(left.steps(&survey).is_empty());
        assert_eq!(left.left().map(|(id, slots)| (&**id, slots.len())).collect::<Vec<_>>(), [("b", 8192)]);
        let taken = mend(&survey, true).steps(&survey);
        assert_eq!(taken[0].to_string(), "h:7000 (a) takes 8192 slots that nobody serves: 8192-16383");
    }
}
