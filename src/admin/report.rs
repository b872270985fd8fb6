//! [`Report`]: what is wrong with a cluster, as data, text and JSON. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::admin::json::Json;
use crate::admin::slots::Slots;
use crate::admin::survey::Survey;
use crate::admin::view::{ClusterView, NodeView};
use crate::slot::Slot;
use crate::topology::node_state::NodeId;
use crate::topology::slot_set::SlotSet;

/// How much a problem matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// All keys are served, and would not be, or some would be lost, after one more failure.
    Warning,
    /// Keys are not served or may be lost, nodes do not agree, or a move of slots was begun and not ended: look, and
    /// [`fix`](crate::admin::Admin::fix).
    Error,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Problem {
    /// A node that others name does not answer.
    Unreachable {
        /// Its address, or its id if nobody knows that.
        node: String,
        /// What came instead of an answer.
        error: String,
    },
    /// The keys of a primary that answers could not be counted, because it loads its data or stopped answering: what lies there
    /// where nobody looks for it is not seen.
    Uncounted {
        /// Which.
        node: String,
        /// What came instead of a number.
        error: String,
    },
    /// Slots that no node that answers serves.
    Uncovered {
        /// Which.
        slots: Slots,
    },
    /// Slots that several primaries take for theirs.
    Contested {
        /// Which.
        slots: Slots,
        /// Who, the one first that the cluster's rule prefers (the highest epoch).
        nodes: Vec<String>,
    },
    /// Slots that are marked as on their way from a node.
    Migrating {
        /// From whom.
        node: String,
        /// To whom.
        to: String,
        /// Which.
        slots: Slots,
    },
    /// Slots that are marked as on their way to a node.
    Importing {
        /// To whom.
        node: String,
        /// From whom.
        from: String,
        /// Which.
        slots: Slots,
    },
    /// Keys in slots that their holder neither serves nor imports: nobody reads them, as after a failover in the middle
    /// of a move.
    Orphans {
        /// Who holds them.
        node: String,
        /// In which slots.
        slots: Slots,
        /// How many.
        keys: u64,
    },
    /// Nodes do not say the same; the first difference.
    Disagreement {
        /// Who says what.
        what: String,
    },
    /// Primaries with the same epoch: of two that claim a slot none would win.
    EpochCollision {
        /// Which.
        epoch: u64,
        /// Whose.
        nodes: Vec<String>,
    },
    /// A node says that the cluster is not well (`cluster_state`).
    NotWell {
        /// Who.
        node: String,
        /// What it says.
        state: String,
    },
    /// A node is said to have failed, or is looked for.
    Suspected {
        /// Who.
        node: String,
        /// By whom.
        by: String,
        /// As what: `fail` or `fail?`.
        flag: &'static str,
    },
    /// A replica does not have its primary's data.
    OutOfSync {
        /// Who.
        node: String,
    },
    /// A primary with slots has fewer replicas than another one.
    FewReplicas {
        /// Who.
        node: String,
        /// How many it has.
        replicas: usize,
        /// The most that another has.
        most: usize,
    },
}

impl Problem {
    /// How much it matters.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::Unreachable { .. }
            | Self::Uncounted { .. }
            | Self::Uncovered { .. }
            | Self::Contested { .. }
            | Self::Migrating { .. }
            | Self::Importing { .. }
            | Self::Orphans { .. }
            | Self::Disagreement { .. }
            | Self::EpochCollision { .. }
            | Self::NotWell { .. } => Severity::Error,
            Self::Suspected { .. } | Self::OutOfSync { .. } | Self::FewReplicas { .. } => Severity::Warning,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Uncounted { .. } => "uncounted",
            Self::Uncovered { .. } => "uncovered",
            Self::Contested { .. } => "contested",
            Self::Migrating { .. } => "migrating",
            Self::Importing { .. } => "importing",
            Self::Orphans { .. } => "orphans",
            Self::Disagreement { .. } => "disagreement",
            Self::EpochCollision { .. } => "epoch_collision",
            Self::NotWell { .. } => "not_well",
            Self::Suspected { .. } => "suspected",
            Self::OutOfSync { .. } => "out_of_sync",
            Self::FewReplicas { .. } => "few_replicas",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { node, error } => write!(f, "{node} does not answer: {error}"),
            Self::Uncounted { node, error } => write!(f, "the keys of {node} could not be counted: {error}"),
            Self::Uncovered { slots } => write!(f, "nobody serves {} slots: {slots}", slots.len()),
            Self::Contested { slots, nodes } => {
                write!(f, "slots {slots} are claimed by {}", nodes.join(" and "))
            }
            Self::Migrating { node, to, slots } => write!(f, "{node} is giving slots {slots} to {to}"),
            Self::Importing { node, from, slots } => write!(f, "{node} is getting slots {slots} from {from}"),
            Self::Orphans { node, slots, keys } => {
                write!(f, "{node} holds {keys} keys in slots {slots}, which it does not serve")
            }
            Self::Disagreement { what } => write!(f, "nodes do not agree: {what}"),
            Self::EpochCollision { epoch, nodes } => {
                write!(f, "epoch {epoch} is that of {}", nodes.join(" and "))
            }
            Self::NotWell { node, state } => write!(f, "{node} says that the cluster's state is {state}"),
            Self::Suspected { node, by, flag } => write!(f, "{by} takes {node} for {flag}"),
            Self::OutOfSync { node } => write!(f, "{node} is not in sync with its primary"),
            Self::FewReplicas { node, replicas, most } => {
                write!(f, "{node} has {replicas} replicas, another primary {most}")
            }
        }
    }
}

/// What a check has found.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The cluster as its nodes tell it.
    pub view: ClusterView,
    /// What is wrong, errors first.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Whether there is no error; there may be warnings.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.problems.iter().all(|problem| problem.severity() < Severity::Error)
    }

    /// Keys of all primaries.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.view.primaries().map(|node| node.keys).sum()
    }

    /// As JSON: an object with `ok`, `keys`, `problems` (each with `problem`, `severity` and `text`), `nodes` and
    /// `unreachable`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let problem = |problem: &Problem| {
            let severity = match problem.severity() {
                Severity::Warning => "warning",
                Severity::Error => "error",
            };
            Json::Object(vec![
                ("problem", Json::text(problem.name())),
                ("severity", Json::text(severity)),
                ("text", Json::text(problem)),
            ])
        };
        let mut fields = vec![
            ("ok", Json::Bool(self.is_ok())),
            ("keys", Json::Number(self.keys())),
            ("problems", Json::list(self.problems.iter().map(problem))),
        ];
        if let Json::Object(view) = self.view.json() {
            fields.extend(view);
        }
        Json::Object(fields).to_string()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view.fmt(f)?;
        for problem in &self.problems {
            let severity = match problem.severity() {
                Severity::Warning => "warning",
                Severity::Error => "error",
            };
            writeln!(f, "{severity}: {problem}")?;
        }
        let primaries = self.view.primaries().filter(|node| !node.myself.slots.is_empty()).count();
        let verdict = if self.is_ok() { "all 16384 slots are served" } else { "the cluster is not well" };
        writeln!(f, "{verdict}; {} keys in {primaries} primaries", self.keys())
    }
}

/// What is wrong.
pub(super) fn examine(survey: &Survey) -> Vec<Problem> {
    let view = &survey.view;
    let mut problems = Vec::new();
    for lost in &view.unreachable {
        let addr = lost.addr.as_ref().map(ToString::to_string);
        let node = addr.or_else(|| lost.id.as_deref().map(str::to_owned)).unwrap_or_default();
        problems.push(Problem::Unreachable { node, error: lost.error.clone() });
    }
    let uncovered = view.unclaimed();
    if !uncovered.is_empty() {
        problems.push(Problem::Uncovered { slots: uncovered.into() });
    }
    contested(survey, &mut problems);
    view.primaries().for_each(|node| marks(view, node, &mut problems));
    view.primaries().for_each(|node| orphans(survey, node, &mut problems));
    for (epoch, nodes) in view.colliding_epochs() {
        let nodes = nodes.iter().map(|id| view.name_of(id)).collect();
        problems.push(Problem::EpochCollision { epoch, nodes });
    }
    if let Some(what) = view.disagreement().filter(|what| !what.starts_with("several primaries")) {
        problems.push(Problem::Disagreement { what });
    }
    let ill = view.nodes.iter().filter(|node| &*node.state != "ok");
    problems
        .extend(ill.map(|node| Problem::NotWell { node: node.to_string(), state: node.state.to_string() }));
    suspicions(view, &mut problems);
    let lagging = view.nodes.iter().filter(|node| !node.in_sync);
    problems.extend(lagging.map(|node| Problem::OutOfSync { node: node.to_string() }));
    few_replicas(view, &mut problems);
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity()));
    problems
}

fn contested(survey: &Survey, problems: &mut Vec<Problem>) {
    let mut by_nodes: BTreeMap<Vec<String>, SlotSet> = BTreeMap::new();
    for slot in survey.contested() {
        let nodes = survey.view.claimants(slot).iter().map(ToString::to_string).collect();
        by_nodes.entry(nodes).or_default().insert(slot);
    }
    problems
        .extend(by_nodes.into_iter().map(|(nodes, slots)| Problem::Contested { slots: slots.into(), nodes }));
}

fn marks(view: &ClusterView, node: &NodeView, problems: &mut Vec<Problem>) {
    let by_other = |marks: &BTreeMap<Slot, NodeId>| {
        let mut by_other: BTreeMap<NodeId, SlotSet> = BTreeMap::new();
        marks.iter().for_each(|(slot, other)| by_other.entry(Arc::clone(other)).or_default().insert(*slot));
        by_other
    };
    for (to, slots) in by_other(&node.myself.migrating) {
        let to = view.name_of(&to);
        problems.push(Problem::Migrating { node: node.to_string(), to, slots: slots.into() });
    }
    for (from, slots) in by_other(&node.myself.importing) {
        let from = view.name_of(&from);
        problems.push(Problem::Importing { node: node.to_string(), from, slots: slots.into() });
    }
}

fn orphans(survey: &Survey, node: &NodeView, problems: &mut Vec<Problem>) {
    let line = &node.myself;
    let held = survey
        .keys
        .iter()
        .filter(|(slot, _)| !line.slots.contains(**slot) && !line.importing.contains_key(slot));
    let mut slots = SlotSet::default();
    let mut keys = 0;
    for (slot, held) in held.filter_map(|(slot, held)| Some((slot, held.get(node.id())?))) {
        slots.insert(*slot);
        keys += held;
    }
    if keys > 0 {
        problems.push(Problem::Orphans { node: node.to_string(), slots: slots.into(), keys });
    }
}

fn suspicions(view: &ClusterView, problems: &mut Vec<Problem>) {
    for teller in &view.nodes {
        for line in teller.others.iter().filter(|line| !line.has_flag("noaddr")) {
            let flag = ["fail", "fail?"].into_iter().find(|flag| line.has_flag(flag));
            if let Some(flag) = flag {
                let node = view.name_of(&line.id);
                problems.push(Problem::Suspected { node, by: teller.to_string(), flag });
            }
        }
    }
}

fn few_replicas(view: &ClusterView, problems: &mut Vec<Problem>) {
    let serving: Vec<(&NodeView, usize)> = view
        .primaries()
        .filter(|node| !node.myself.slots.is_empty())
        .map(|node| (node, view.replicas_of(node.id()).count()))
        .collect();
    let most = serving.iter().map(|(_, replicas)| *replicas).max().unwrap_or(0);
    let few = serving.into_iter().filter(|(_, replicas)| *replicas < most);
    problems.extend(few.map(|(node, replicas)| Problem::FewReplicas {
        node: node.to_string(),
        replicas,
        most,
    }));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Problem, Report, examine};
    use crate::admin::survey::Survey;
    use crate::admin::view::tests::view;
    use crate::slot::Slot;

    fn report(survey: &Survey) -> Report {
        Report { view: survey.view.clone(), problems: examine(survey) }
    }

    #[test]
    fn a_cluster_without_faults_has_none() {
        let view = view(&[("a", "0-8191", 1), ("b", "8192-16383", 2), ("c", "of a", 1), ("d", "of b", 2)]);
        let report = report(&Survey { view, keys: BTreeMap::new() });
        assert_eq!(report.problems, []);
        assert!(report.is_ok());
        assert!(report.to_string().ends_with("all 16384 slots are served; 0 keys in 2 primaries\n"));
    }

    #[test]
    fn each_fault_is_named_errors_first() {
        let mut view =
            view(&[("a", "0-8000 8191 [5->-b]", 2), ("b", "8191-16382 [5-<-a]", 2), ("c", "of a", 2)]);
        view.nodes[2].in_sync = false;
        view.nodes[1].state = "fail".into();
        let keys = BTreeMap::from([(Slot::new(9).unwrap(), BTreeMap::from([("b".into(), 7)]))]);
        let report = report(&Survey { view, keys });
        let names: Vec<&str> = report.problems.iter().map(Problem::name).collect();
        assert_eq!(
            names,
            [
                "uncovered",
                "contested",
                "migrating",
                "importing",
                "orphans",
                "epoch_collision",
                "not_well",
                "out_of_sync",
                "few_replicas"
            ]
        );
        assert!(!report.is_ok());
        let texts: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
        assert_eq!(texts[0], "nobody serves 191 slots: 8001-8190,16383");
        assert_eq!(texts[1], "slots 8191 are claimed by h:7000 (a) and h:7001 (b)");
        assert_eq!(texts[4], "h:7001 (b) holds 7 keys in slots 9, which it does not serve");
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!((&json["ok"], &json["problems"][2]["problem"]), (&false.into(), &"migrating".into()));
        assert_eq!(json["nodes"].as_array().unwrap().len(), 3);
    }
}
