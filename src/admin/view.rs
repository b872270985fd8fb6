//! [`ClusterView`]: the cluster as each of its nodes tells it; and the questions that all of `admin` asks of it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::admin::json::Json;
use crate::admin::node_line::NodeLine;
use crate::node::NodeAddr;
use crate::slot::Slot;
use crate::topology::node_state::NodeId;
use crate::topology::slot_set::SlotSet;

/// What one node says of itself and of the others.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct NodeView {
    /// Where it was asked.
    pub addr: NodeAddr,
    /// Its own line.
    pub myself: NodeLine,
    /// Its lines of the others.
    pub others: Vec<NodeLine>,
    /// `cluster_state`: `ok` or `fail`.
    pub state: Box<str>,
    /// `cluster_current_epoch`: the highest epoch that it has heard of.
    pub current_epoch: u64,
    /// How many keys it holds (`DBSIZE`; where there are several databases, of the first).
    pub keys: u64,
    /// Of a replica whether it has its primary's data (`master_link_status:up`); of a primary true.
    pub in_sync: bool,
    /// Its server and version, such as `redis 7.0.15`.
    pub server: Box<str>,
}

/// A node that others name and that does not answer.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Unreachable {
    /// Its id, unless it is only known by its address.
    pub id: Option<Arc<str>>,
    /// Where it was looked for; `None` if nobody knows its address.
    pub addr: Option<NodeAddr>,
    /// What others say of it.
    pub line: Option<NodeLine>,
    /// What came instead of an answer.
    pub error: String,
}

/// The cluster as each of its nodes tells it. A snapshot; nodes may disagree.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ClusterView {
    /// The nodes that answered, in the order of their first slots, then of their addresses.
    pub nodes: Vec<NodeView>,
    /// Those that did not.
    pub unreachable: Vec<Unreachable>,
}

impl NodeView {
    /// Its 40-digit id.
    #[must_use]
    pub fn id(&self) -> &Arc<str> {
        &self.myself.id
    }

    /// Whether it says that it is a primary.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.myself.is_primary()
    }

    /// What it says of the node with this id.
    #[must_use]
    pub fn line_of(&self, id: &str) -> Option<&NodeLine> {
        self.lines().find(|line| &*line.id == id)
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = &NodeLine> {
        std::iter::once(&self.myself).chain(&self.others)
    }

    /// The id of the node that it takes for the owner of the slot.
    pub(super) fn owner(&self, slot: Slot) -> Option<&NodeId> {
        self.lines().find(|line| line.slots.contains(slot)).map(|line| &line.id)
    }
}

impl fmt::Display for NodeView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.addr, short(self.id()))
    }
}

/// Enough of an id to tell nodes apart.
pub(super) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

impl ClusterView {
    /// The node with this id, if it answered.
    #[must_use]
    pub fn node(&self, id: &str) -> Option<&NodeView> {
        self.nodes.iter().find(|node| &**node.id() == id)
    }

    /// The node at this address, if it answered. A node is known by the host that it announces, too.
    #[must_use]
    pub fn node_at(&self, addr: &NodeAddr) -> Option<&NodeView> {
        let announced = |node: &&NodeView| {
            node.addr == *addr
                || node.myself.addr.as_ref() == Some(addr)
                || node.myself.hostname.as_deref() == Some(addr.host()) && node.addr.port() == addr.port()
        };
        self.nodes.iter().find(announced)
    }

    /// Nodes that say that they are primaries, in the order of their first slots.
    pub fn primaries(&self) -> impl Iterator<Item = &NodeView> + Clone {
        self.nodes.iter().filter(|node| node.is_primary())
    }

    /// Nodes that say that they replicate the node with this id.
    pub fn replicas_of<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a NodeView> {
        self.nodes.iter().filter(move |node| node.myself.primary.as_deref() == Some(id))
    }

    /// The primaries that say that the slot is theirs, the one that the cluster's rule prefers (the highest epoch)
    /// first.
    pub(super) fn claimants(&self, slot: Slot) -> Vec<&NodeView> {
        let mut claimants: Vec<&NodeView> =
            self.primaries().filter(|node| node.myself.slots.contains(slot)).collect();
        claimants.sort_by_key(|node| (std::cmp::Reverse(node.myself.epoch), Arc::clone(node.id())));
        claimants
    }

    /// Who serves the slot, by its own word.
    pub(super) fn owner(&self, slot: Slot) -> Option<&NodeView> {
        self.claimants(slot).into_iter().next()
    }

    /// The slots that no node that answered claims.
    pub(super) fn unclaimed(&self) -> SlotSet {
        let mut claimed = SlotSet::default();
        for node in self.primaries() {
            claimed.extend(node.myself.slots.iter());
        }
        SlotSet::all().without(&claimed)
    }

    /// The node that takes the place of `id` in its shard: itself while it is a primary, else the primary that it
    /// follows; of one that does not answer, the primary that has taken over `slot`, which must have been one of its own: a
    /// slot on its way to it is still the source's, and that is nobody's heir.
    pub(super) fn successor(&self, id: &str, slot: Slot) -> Option<&NodeView> {
        match self.node(id) {
            Some(node) if node.is_primary() => Some(node),
            Some(node) => self.node(node.myself.primary.as_deref()?).filter(|node| node.is_primary()),
            None => self.owner(slot),
        }
    }

    /// The first thing that nodes do not agree on: who serves which slots, with which epoch, who follows whom. `None` if
    /// they agree; then a slot that changes hands from here on gets an epoch that everybody takes for newer.
    pub(super) fn disagreement(&self) -> Option<String> {
        for teller in &self.nodes {
            for node in &self.nodes {
                let Some(line) = teller.line_of(node.id()) else {
                    return Some(format!("{teller} does not know {node}"));
                };
                if line.has_flag("handshake") {
                    return Some(format!("{teller} still shakes hands with {node}"));
                }
                if line.is_primary() != node.is_primary() || line.primary != node.myself.primary {
                    let role = node.myself.primary.as_deref().map_or_else(
                        || "is a primary".to_owned(),
                        |primary| format!("replicates {}", short(primary)),
                    );
                    return Some(format!("{teller} does not know that {node} {role}"));
                }
                if node.is_primary() && line.slots != node.myself.slots {
                    let (has, says) = (&node.myself.slots, &line.slots);
                    let missing = has.clone().without(says);
                    let wrong = says.clone().without(has);
                    return Some(format!(
                        "{teller} does not know that slots [{missing}] are served by {node}, or says so wrongly of \
                         [{wrong}]"
                    ));
                }
                if node.is_primary() && line.epoch != node.myself.epoch {
                    return Some(format!(
                        "{teller} takes {} for the epoch of {node}, which is {}",
                        line.epoch, node.myself.epoch
                    ));
                }
            }
        }
        let collision = self.colliding_epochs().into_iter().next();
        collision.map(|(epoch, _)| format!("several primaries have the epoch {epoch}"))
    }

    /// Whether some node takes this one for the owner of slots that are not its own, by what it heard before. Were its epoch
    /// raised now, that node would tell it to the true owner, which believes the newer epoch, gives the slots up and deletes
    /// their keys.
    pub(super) fn is_overrated(&self, id: &str) -> bool {
        let Some(node) = self.node(id) else { return false };
        let lines = self.nodes.iter().filter_map(|teller| teller.line_of(id));
        lines.map(|line| line.slots.clone().without(&node.myself.slots)).any(|wrong| !wrong.is_empty())
    }

    /// Owners of slots whom some node does not take for that.
    pub(super) fn doubted(&self) -> impl Iterator<Item = &NodeView> {
        self.primaries().filter(|node| {
            let is_unheard = |teller: &NodeView| {
                let unheard =
                    teller.line_of(node.id()).map(|line| node.myself.slots.clone().without(&line.slots));
                // Of a slot that another one has by right it is no owner.
                let is_owner = |slot| self.owner(slot).is_some_and(|owner| owner.id() == node.id());
                unheard.is_some_and(|unheard| unheard.iter().any(is_owner))
            };
            self.nodes.iter().any(is_unheard)
        })
    }

    /// Epochs that several primaries with slots have.
    pub(super) fn colliding_epochs(&self) -> BTreeMap<u64, Vec<NodeId>> {
        let mut by_epoch: BTreeMap<u64, Vec<NodeId>> = BTreeMap::new();
        for node in self.primaries().filter(|node| !node.myself.slots.is_empty()) {
            by_epoch.entry(node.myself.epoch).or_default().push(Arc::clone(node.id()));
        }
        by_epoch.retain(|_, nodes| nodes.len() > 1);
        by_epoch
    }

    /// Every open slot: of whom it is marked, and whether it comes or goes.
    pub(super) fn open_slots(&self) -> BTreeSet<Slot> {
        let marks = self.primaries().map(|node| &node.myself);
        marks.flat_map(|line| line.migrating.keys().chain(line.importing.keys()).copied()).collect()
    }

    /// What a node is called in messages: its address and the beginning of its id.
    pub(super) fn name_of(&self, id: &str) -> String {
        if let Some(node) = self.node(id) {
            return node.to_string();
        }
        let lost = self.unreachable.iter().find(|lost| lost.id.as_deref() == Some(id));
        match lost.and_then(|lost| lost.addr.as_ref()) {
            Some(addr) => format!("{addr} ({})", short(id)),
            None => short(id).to_owned(),
        }
    }

    /// As JSON: an object with `nodes` and `unreachable`.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.json().to_string()
    }

    pub(super) fn json(&self) -> Json {
        let open = |marks: &BTreeMap<Slot, NodeId>| {
            Json::list(marks.iter().map(|(slot, other)| {
                Json::Object(vec![("slot", Json::Number(slot.get().into())), ("node", Json::text(other))])
            }))
        };
        let node = |node: &NodeView| {
            let line = &node.myself;
            Json::Object(vec![
                ("id", Json::text(&line.id)),
                ("addr", Json::text(&node.addr)),
                ("role", Json::text(if node.is_primary() { "primary" } else { "replica" })),
                ("primary", Json::maybe(line.primary.as_ref())),
                ("epoch", Json::Number(line.epoch)),
                ("slots", Json::text(&line.slots)),
                ("slot_count", Json::count(line.slots.len())),
                ("keys", Json::Number(node.keys)),
                ("state", Json::text(&node.state)),
                ("in_sync", Json::Bool(node.in_sync)),
                ("server", Json::text(&node.server)),
                ("migrating", open(&line.migrating)),
                ("importing", open(&line.importing)),
            ])
        };
        let lost = |lost: &Unreachable| {
            Json::Object(vec![
                ("id", Json::maybe(lost.id.as_ref())),
                ("addr", Json::maybe(lost.addr.as_ref())),
                ("error", Json::text(&lost.error)),
            ])
        };
        Json::Object(vec![
            ("nodes", Json::list(self.nodes.iter().map(node))),
            ("unreachable", Json::list(self.unreachable.iter().map(lost))),
        ])
    }
}

/// A table: one line for each node.
impl fmt::Display for ClusterView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<21} {:<8} {:<8} {:>6} {:>6} {:>10}  slots",
            "node", "id", "role", "epoch", "slots", "keys"
        )?;
        for node in &self.nodes {
            let role = if node.is_primary() { "primary" } else { "replica" };
            let line = &node.myself;
            let (addr, id) = (node.addr.to_string(), short(&line.id));
            write!(
                f,
                "{addr:<21} {id:<8} {role:<8} {:>6} {:>6} {:>10}  ",
                line.epoch,
                line.slots.len(),
                node.keys
            )?;
            match &line.primary {
                Some(primary) => writeln!(f, "of {}", short(primary))?,
                None => writeln!(f, "{}", line.slots)?,
            }
        }
        for lost in &self.unreachable {
            let addr = lost.addr.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
            writeln!(f, "{addr:<21} {:<8} {}", lost.id.as_deref().map_or("?", short), lost.error)?;
        }
        Ok(())
    }
}

/// Views for the tests of what is decided by them.
#[cfg(test)]
pub(super) mod tests {
    use super::{ClusterView, NodeView};
    use crate::admin::node_line::NodeLine;
    use crate::node::NodeAddr;
    use crate::slot::Slot;
    use crate::topology::slot_set::{SlotSet, read_range};

    /// `0-100,200` as a set.
    pub(in crate::admin) fn slots(text: &str) -> SlotSet {
        let mut set = SlotSet::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            set.extend(read_range(word).unwrap());
        }
        set
    }

    /// Nodes `a`, `b`, ... as each says of itself, agreeing on everything: `primary:epoch:slots` with marks, or `of x`.
    pub(in crate::admin) fn view(nodes: &[(&str, &str, u64)]) -> ClusterView {
        let line = |place: usize, (id, said, epoch): &(&str, &str, u64), is_me: bool| {
            let port = 7000 + u16::try_from(place).unwrap();
            let me = if is_me { "myself," } else { "" };
            let text = match said.strip_prefix("of ") {
                Some(primary) => format!("{id} h:{port}@1 {me}slave {primary} 0 0 {epoch} connected"),
                None => format!("{id} h:{port}@1 {me}master - 0 0 {epoch} connected {said}"),
            };
            let mut line = NodeLine::parse(&text).unwrap();
            if !is_me {
                line.migrating.clear();
                line.importing.clear();
            }
            line
        };
        let told = nodes.iter().enumerate().map(|(place, node)| NodeView {
            addr: NodeAddr::new("h", 7000 + u16::try_from(place).unwrap()),
            myself: line(place, node, true),
            others: nodes
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != place)
                .map(|(other, node)| line(other, node, false))
                .collect(),
            state: "ok".into(),
            current_epoch: 0,
            keys: 0,
            in_sync: true,
            server: "redis 7.0.15".into(),
        });
        ClusterView { nodes: told.collect(), unreachable: Vec::new() }
    }

    #[test]
    fn nodes_that_say_the_same_agree_and_others_do_not() {
        let agreed = view(&[("a", "0-8191", 1), ("b", "8192-16383", 2), ("c", "of a", 1)]);
        assert_eq!(agreed.disagreement(), None);
        let mut other = agreed.clone();
        other.nodes[2].others[1].slots = slots("8193-16383");
        assert!(other.disagreement().unwrap().contains("slots [8192] are served by h:7001 (b)"), "{other:?}");
        let mut other = agreed.clone();
        other.nodes[2].others[1].epoch = 1;
        assert!(other.disagreement().unwrap().contains("the epoch of h:7001"));
        let mut other = agreed.clone();
        other.nodes[0].others.remove(1);
        assert_eq!(other.disagreement().unwrap(), "h:7000 (a) does not know h:7002 (c)");
        let colliding = view(&[("a", "0-8191", 2), ("b", "8192-16383", 2)]);
        assert_eq!(colliding.disagreement().unwrap(), "several primaries have the epoch 2");
    }

    #[test]
    fn of_two_that_claim_a_slot_the_higher_epoch_wins() {
        let view = view(&[("a", "0-8191", 1), ("b", "100-16383", 2), ("c", "of b", 2)]);
        let slot = Slot::new(100).unwrap();
        let ids: Vec<&str> = view.claimants(slot).iter().map(|node| &**node.id()).collect();
        assert_eq!(ids, ["b", "a"]);
        assert!(view.unclaimed().is_empty());
        assert_eq!(&**view.successor("c", slot).unwrap().id(), "b");
        assert_eq!(&**view.successor("gone", slot).unwrap().id(), "b");
    }

    #[test]
    fn a_view_is_shown_as_a_table_and_as_json() {
        let view = view(&[("a", "0-16383 [5->-b]", 1), ("b", "[5-<-a]", 0), ("c", "of a", 1)]);
        assert_eq!(view.to_string().lines().count(), 4);
        let json: serde_json::Value = serde_json::from_str(&view.to_json()).unwrap();
        assert_eq!(json["nodes"][0]["migrating"][0], serde_json::json!({"slot": 5, "node": "b"}));
        assert_eq!(json["nodes"][2]["primary"], "a");
        assert_eq!(view.open_slots().len(), 1);
    }
}
