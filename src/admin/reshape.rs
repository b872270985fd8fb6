//! Slots to other primaries: [`Admin::reshard`], [`Admin::move_slots`], [`Admin::rebalance`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::admin::handle::Admin;
use crate::admin::mend::mend;
use crate::admin::plan::Plan;
use crate::admin::report::{Problem, examine};
use crate::admin::shares::{Flow, by_weight, flows, take};
use crate::admin::slots::Slots;
use crate::admin::step::{Member, Step};
use crate::admin::survey::{Survey, count_keys, survey};
use crate::admin::view::NodeView;
use crate::error::{Error, Result};
use crate::node::NodeAddr;
use crate::slot::Slot;
use crate::topology::node_state::NodeId;
use crate::topology::slot_set::SlotSet;

/// How slots are shared anew. What is not set has the default that its method names.
#[derive(Clone, Debug)]
#[must_use = "options do nothing until they are given to rebalance()"]
pub struct Rebalance {
    weights: BTreeMap<String, u32>,
    threshold: u32,
    uses_empty: bool,
}

impl Default for Rebalance {
    fn default() -> Self {
        Self { weights: BTreeMap::new(), threshold: 2, uses_empty: false }
    }
}

impl Rebalance {
    /// All at their defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The weight of one primary, by its address or id; 0 empties it. A primary without slots that has a weight takes
    /// part. Default: 1 each.
    pub fn weight(mut self, node: impl ToString, weight: u32) -> Self {
        self.weights.insert(node.to_string(), weight);
        self
    }

    /// Nothing is done while no primary is further from its share than this, in per cent of the share; 0 evens out the
    /// last slot. Default: 2.
    pub fn threshold(mut self, percent: u32) -> Self {
        self.threshold = percent;
        self
    }

    /// Whether primaries without slots get some. Default: false.
    pub fn use_empty(mut self, use_empty: bool) -> Self {
        self.uses_empty = use_empty;
        self
    }

    fn weight_of(&self, node: &NodeView) -> Option<u32> {
        let by_name = [node.addr.to_string(), node.id().to_string()];
        by_name.iter().find_map(|name| self.weights.get(name)).copied()
    }
}

/// The cluster as it will be when the moves that were begun are at their ends: what further plans stand on.
pub(super) struct Ground {
    pub(super) survey: Survey,
    steps: Vec<Step>,
    /// What each primary will have, in the order of the view.
    shares: Vec<(NodeId, SlotSet)>,
}

impl Ground {
    /// # Errors
    ///
    /// If slots cannot move while the cluster is as it is.
    pub(super) async fn of(admin: &Admin) -> Result<Self> {
        let survey = survey(admin).await?;
        let hinders = |problem: &Problem| match problem {
            Problem::Uncounted { .. }
            | Problem::Uncovered { .. }
            | Problem::Contested { .. }
            | Problem::Orphans { .. }
            | Problem::Disagreement { .. }
            | Problem::EpochCollision { .. }
            | Problem::NotWell { .. } => true,
            Problem::Unreachable { .. }
            | Problem::Migrating { .. }
            | Problem::Importing { .. }
            | Problem::Suspected { .. }
            | Problem::OutOfSync { .. }
            | Problem::FewReplicas { .. } => false,
        };
        let problems = examine(&survey);
        let hindering: Vec<String> =
            problems.iter().filter(|problem| hinders(problem)).map(ToString::to_string).collect();
        if !hindering.is_empty() {
            return Err(Error::usage(format!(
                "slots cannot move while this is wrong (fix() mends most of it): {}",
                hindering.join("; ")
            )));
        }
        let mending = mend(&survey, false);
        let mut shares: Vec<(NodeId, SlotSet)> =
            survey.view.primaries().map(|node| (Arc::clone(node.id()), node.myself.slots.clone())).collect();
        for (to, slots) in mending.moves() {
            for (id, share) in &mut shares {
                match *id == to.id {
                    true => share.extend(slots.iter()),
                    false => *share = share.clone().without(slots),
                }
            }
        }
        Ok(Self { steps: mending.steps(&survey), survey, shares })
    }

    fn primary(&self, addr: &NodeAddr) -> Result<&NodeView> {
        match self.survey.view.node_at(addr) {
            Some(node) if node.is_primary() => Ok(node),
            Some(node) => Err(Error::usage(format!("{node} is a replica; only primaries have slots"))),
            None => Err(Error::usage(format!("no node of the cluster that answers is at {addr}"))),
        }
    }

    fn place(&self, node: &NodeView) -> usize {
        self.shares.iter().position(|(id, _)| id == node.id()).unwrap_or(usize::MAX)
    }

    /// Moves by their places among the shares, behind those that were begun.
    pub(super) async fn plan(self, admin: &Admin, goal: String, flows: Vec<Flow>) -> Result<Plan> {
        let steps = self.steps(admin, flows).await?;
        Ok(Plan::new(admin, goal, steps, Vec::new()))
    }

    pub(super) async fn steps(&self, admin: &Admin, flows: Vec<Flow>) -> Result<Vec<Step>> {
        let mut steps = self.steps.clone();
        let view = &self.survey.view;
        let node = |place: usize| self.shares.get(place).and_then(|(id, _)| view.node(id));
        // One target after the other: between them all must have heard of the last one's epoch.
        let mut flows = flows;
        flows.sort_by_key(|flow| (flow.to, flow.from));
        for flow in flows {
            let (Some(from), Some(to)) = (node(flow.from), node(flow.to)) else { continue };
            let keys = count_keys(admin, from, &flow.slots).await?.into_iter().map(|(_, keys)| keys).sum();
            steps.push(Step::MoveSlots { from: from.into(), to: to.into(), slots: flow.slots.into(), keys });
        }
        Ok(steps)
    }

    /// The slots of one primary shared among the others that have some.
    pub(super) fn emptying(&self, leaving: &NodeView) -> Vec<Flow> {
        let place = self.place(leaving);
        let receives = |at: usize, share: &SlotSet| at != place && !share.is_empty();
        let weights: Vec<u32> =
            self.shares.iter().enumerate().map(|(at, (_, share))| receives(at, share).into()).collect();
        self.flows(&weights)
    }

    /// As it will be when this primary, which has no slots, has joined.
    pub(super) fn joined_by(mut self, new: NodeView) -> Self {
        if self.survey.view.node(new.id()).is_none() {
            self.shares.push((Arc::clone(new.id()), SlotSet::default()));
            self.survey.view.nodes.push(new);
        }
        self
    }

    /// The slots shared evenly among this primary and the others that have some.
    pub(super) fn evenly_with(&self, new: &Member) -> Vec<Flow> {
        let takes_part = |(id, share): &(NodeId, SlotSet)| *id == new.id || !share.is_empty();
        let weights: Vec<u32> = self.shares.iter().map(|share| takes_part(share).into()).collect();
        self.flows(&weights)
    }

    /// So that each has its share by weight; who has no weight keeps nothing.
    fn flows(&self, weights: &[u32]) -> Vec<Flow> {
        let have: Vec<SlotSet> = self.shares.iter().map(|(_, share)| share.clone()).collect();
        flows(&have, &self.wanted(weights))
    }

    /// What each should have. Of shares that are equal but for one slot the larger go to those that have more now.
    fn wanted(&self, weights: &[u32]) -> Vec<usize> {
        let all = self.shares.iter().map(|(_, share)| share.len()).sum();
        let mut order: Vec<usize> = (0..self.shares.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(self.shares.get(*at).map_or(0, |(_, share)| share.len())));
        let sorted: Vec<u32> = order.iter().map(|at| weights.get(*at).copied().unwrap_or(0)).collect();
        let mut wanted = vec![0; self.shares.len()];
        for (at, share) in order.into_iter().zip(by_weight(all, &sorted)) {
            if let Some(place) = wanted.get_mut(at) {
                *place = share;
            }
        }
        wanted
    }
}

impl Admin {
    /// Takes `slots` slots from some primaries, each in proportion to what it has, and gives them to another. Without
    /// sources, from all others.
    ///
    /// Each run moves so many more; to go on with an interrupted one, use [`Admin::move_slots`] with the slots of its
    /// plan. Moves that were begun and not ended come first in the plan.
    ///
    /// # Errors
    ///
    /// If the cluster is not well enough, or a node is none of its primaries.
    pub async fn reshard(&self, from: &[NodeAddr], to: &NodeAddr, slots: usize) -> Result<Plan> {
        let ground = Ground::of(self).await?;
        let target = ground.place(ground.primary(to)?);
        let mut sources = BTreeSet::new();
        for addr in from {
            sources.insert(ground.place(ground.primary(addr)?));
        }
        if from.is_empty() {
            sources.extend(0..ground.shares.len());
        }
        sources.remove(&target);
        let have =
            |place: &usize| ground.shares.get(*place).map(|(_, share)| share.clone()).unwrap_or_default();
        let weights: Vec<u32> =
            sources.iter().map(|place| u32::try_from(have(place).len()).unwrap_or(u32::MAX)).collect();
        let there_are: usize = sources.iter().map(|place| have(place).len()).sum();
        let parts = by_weight(slots.min(there_are), &weights);
        let flows = sources.iter().zip(parts).filter(|(_, part)| *part > 0).map(|(from, part)| Flow {
            from: *from,
            to: target,
            slots: take(&have(from), part),
        });
        let flows = flows.collect();
        let goal = format!("Move {} slots to {}", slots.min(there_are), ground.primary(to)?);
        ground.plan(self, goal, flows).await
    }

    /// Gives these slots to a primary, whoever has them. Those that it has already stay: asked for again after an
    /// interruption, it moves what is left.
    ///
    /// # Errors
    ///
    /// As [`Admin::reshard`].
    pub async fn move_slots(&self, slots: &Slots, to: &NodeAddr) -> Result<Plan> {
        let ground = Ground::of(self).await?;
        let target = ground.place(ground.primary(to)?);
        let mut flows = Vec::new();
        for (from, (_, share)) in ground.shares.iter().enumerate().filter(|(place, _)| *place != target) {
            let part: SlotSet = slots.iter().filter(|slot: &Slot| share.contains(*slot)).collect();
            if !part.is_empty() {
                flows.push(Flow { from, to: target, slots: part });
            }
        }
        let goal = format!("Move slots {slots} to {}", ground.primary(to)?);
        ground.plan(self, goal, flows).await
    }

    /// Shares the slots of all primaries by their weights, with as few moves as that takes.
    ///
    /// # Errors
    ///
    /// As [`Admin::reshard`], and if a weight is for no primary.
    pub async fn rebalance(&self, how: Rebalance) -> Result<Plan> {
        let ground = Ground::of(self).await?;
        let view = &ground.survey.view;
        let mut weights = Vec::new();
        let mut named = 0;
        for (id, share) in &ground.shares {
            let weight = view.node(id).and_then(|node| how.weight_of(node));
            named += usize::from(weight.is_some());
            let takes_part = how.uses_empty || !share.is_empty();
            weights.push(weight.unwrap_or_else(|| takes_part.into()));
        }
        if named < how.weights.len() {
            let names: Vec<&str> = how.weights.keys().map(String::as_str).collect();
            return Err(Error::usage(format!(
                "not all of these are primaries of the cluster: {}",
                names.join(", ")
            )));
        }
        if weights.iter().all(|weight| *weight == 0) {
            return Err(Error::usage("all weights are 0: the slots have nowhere to go"));
        }
        let wanted = ground.wanted(&weights);
        let is_off = |(have, want): (usize, &usize)| {
            let off = have.abs_diff(*want);
            off > 0 && (*want == 0 || off * 100 > want * usize::try_from(how.threshold).unwrap_or(usize::MAX))
        };
        let have = ground.shares.iter().map(|(_, share)| share.len());
        let flows = if have.zip(&wanted).any(is_off) { ground.flows(&weights) } else { Vec::new() };
        ground.plan(self, "Share the slots anew".to_owned(), flows).await
    }
}
