//! [`Explanation`]: the way that a command would take, and why.

use std::fmt;

use crate::command::{Command, Keys};
use crate::error::Error;
use crate::node::NodeAddr;
use crate::protocol::command_spec::{Access, BlockTimeout, CommandSpec};
use crate::routing::gather::{Fold, Merge};
use crate::routing::plan::{Parts, Place, Plan, Shape, plan};
use crate::slot::Slot;
use crate::topology::slot_map::SlotMap;

/// The way that a command would take now; see [`Client::explain`](crate::Client::explain). `Display` tells it in a few lines.
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use keyslot::Command;
///
/// let way = client.explain(&Command::new("MGET").arg("a").arg("b"))?;
/// assert_eq!(way.parts.len(), 2); // two slots
/// assert!(way.only_reads && way.repeats && !way.is_exclusive);
/// println!("{way}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The command's name.
    pub command: String,
    /// Where it goes: one for most commands, several if it is split by slot or goes to several nodes. None if only a server can
    /// tell, who is asked when it is sent.
    pub parts: Vec<ExplainedPart>,
    /// What decides that.
    pub why: String,
    /// How the replies of several parts become one; `None` for one part.
    pub merge: Option<&'static str>,
    /// Whether it only reads.
    pub only_reads: bool,
    /// Whether it is sent again when its reply was lost.
    pub repeats: bool,
    /// Whether it takes a connection for itself, because the server may hold back the reply.
    pub is_exclusive: bool,
}

/// One destination of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ExplainedPart {
    /// The slot that it is routed by, if it is.
    pub slot: Option<Slot>,
    /// The node: the primary of the slot, or the one that was named. `None`: any primary, or nobody serves the slot now.
    pub node: Option<NodeAddr>,
    /// Nodes that may answer in its place, by the policy for reads.
    pub replicas: Vec<NodeAddr>,
    /// How many of the command's keys go there, where it is split.
    pub keys: Option<usize>,
}

/// Who knows what the command is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    Table,
    /// A server was asked, once for all.
    Server,
    /// And is asked for the keys of each call.
    ServerEachTime,
}

/// `asks_replicas`: the policy allows that one of them answers it.
pub(crate) fn explain(
    command: &Command,
    source: Source,
    map: &SlotMap,
    asks_replicas: bool,
) -> Result<Explanation, Error> {
    let way = plan(command, map)?;
    let spec = command.spec();
    let part = |place: &Place, keys| {
        let (slot, node) = match place {
            Place::Slot(slot) | Place::Read(slot) => {
                (Some(*slot), map.primary_of(*slot).map(|node| node.addr.clone()))
            }
            Place::Node(node) | Place::Shard { primary: node, .. } => (None, Some(node.clone())),
            Place::Any => (None, None),
        };
        let owner = slot.filter(|_| asks_replicas).and_then(|slot| map.owner(slot));
        let replicas = owner.into_iter().flat_map(|owner| map.shard_at(owner).skip(1));
        let replicas = replicas.filter_map(|index| Some(map.node(index)?.addr.clone())).collect();
        ExplainedPart { slot, node, replicas, keys }
    };
    let is_told_later = source == Source::ServerEachTime && command.marked_keys() == Keys::Unmarked;
    let why = if is_told_later {
        "its arguments tell where its keys are, in a way that a server knows: when it is sent, one is asked by COMMAND GETKEYS"
    } else {
        why(command, &way, spec, source)
    };
    let (parts, merge) = match &way {
        Plan::One(_) | Plan::Parts(_) if is_told_later => (Vec::new(), None),
        Plan::One(place) => (vec![part(place, None)], None),
        Plan::Parts(parts) => {
            let Parts { shape, merge } = &**parts;
            let parts = match shape {
                Shape::Copies(places) => places.iter().map(|place| part(place, None)).collect(),
                Shape::BySlot(cut) => cut
                    .parts()
                    .map(|(slot, keys)| part(&Place::Slot(slot), Some(keys.keys().count())))
                    .collect(),
            };
            (parts, Some(told(merge)))
        }
    };
    Ok(Explanation {
        command: command.name().to_owned(),
        parts,
        why: why.to_owned(),
        merge,
        only_reads: spec.is_some_and(|spec| spec.access == Access::Read),
        repeats: command.may_repeat(),
        is_exclusive: command.block_timeout() != BlockTimeout::NotBlocking,
    })
}

fn why(command: &Command, way: &Plan<'_>, spec: Option<&CommandSpec>, source: Source) -> &'static str {
    if command.target().is_some() {
        return "its target was named by Command::to";
    }
    let is_learned = match source {
        Source::Table => false,
        Source::Server | Source::ServerEachTime => true,
    };
    match (way, command.marked_slot(), spec) {
        (Plan::One(Place::Slot(_)), Some(_), _) => "its keys, as they were marked, are in one slot",
        (Plan::One(Place::Slot(_)), None, Some(_)) if is_learned => {
            "its keys, where a server has told by COMMAND INFO that they are, are in one slot"
        }
        (Plan::One(Place::Slot(_)), None, Some(_)) => {
            "its keys, as the command table finds them, are in one slot"
        }
        (Plan::Parts(_), _, Some(_)) if matches!(way, Plan::Parts(parts) if matches!(parts.shape, Shape::BySlot(_))) => {
            "its keys are in several slots, and it can be split"
        }
        (Plan::Parts(_), _, _) => "its request policy names several nodes",
        (Plan::One(_), _, Some(_)) if is_learned => {
            "it has no key, as a server has told by COMMAND INFO, and any primary can answer"
        }
        (Plan::One(_), _, Some(_)) => "it has no key, and any primary can answer",
        (Plan::One(_), _, None) => {
            "the command table does not know it and no key is marked: when it is sent, a server is asked by COMMAND INFO"
        }
    }
}

fn told(merge: &Merge) -> &'static str {
    match merge {
        Merge::InOrder(_) => "elements in the order of the keys",
        Merge::Concatenate => "lists one after the other",
        Merge::First => "one reply, if all succeed",
        Merge::AnySuccess => "one reply that is no error",
        Merge::Number(Fold::Sum) => "the sum",
        Merge::Number(Fold::Min) => "the least number",
        Merge::Number(Fold::Max) => "the largest number",
        Merge::Logic(Fold::Min | Fold::Sum) => "for each element, whether all said 1",
        Merge::Logic(Fold::Max) => "for each element, whether one said 1",
        Merge::ByNode(_) => "a map by node",
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.command, self.why)?;
        for part in &self.parts {
            f.write_str(" ")?;
            if let Some(slot) = part.slot {
                write!(f, " slot {slot}")?;
            }
            match &part.node {
                Some(node) => write!(f, " at {node}")?,
                None if part.slot.is_some() => f.write_str(" at no node: nobody serves it now")?,
                None => f.write_str(" at any primary")?,
            }
            if !part.replicas.is_empty() {
                let replicas: Vec<String> = part.replicas.iter().map(ToString::to_string).collect();
                write!(f, " or a replica ({})", replicas.join(", "))?;
            }
            match part.keys {
                Some(1) => f.write_str(", 1 key")?,
                Some(keys) => write!(f, ", {keys} keys")?,
                None => {}
            }
            f.write_str("\n")?;
        }
        if let Some(merge) = self.merge {
            writeln!(f, "  replies: {merge}")?;
        }
        let reads = if self.only_reads { "only reads" } else { "may change data or state" };
        let repeats = if self.repeats { "is sent again when" } else { "is not sent again once" };
        let lost = if self.repeats { "its reply was lost" } else { "it may have been executed" };
        let link = if self.is_exclusive { "a connection of its own" } else { "the shared link" };
        write!(f, "  {reads}; {repeats} {lost}; on {link}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Source, explain};
    use crate::command::{Command, Target};
    use crate::node::NodeAddr;
    use crate::topology::slot_map::tests::two_and_a_replica as map;

    fn text(command: &Command, asks_replicas: bool) -> String {
        explain(command, Source::Table, &map(), asks_replicas).unwrap().to_string()
    }

    #[test]
    fn a_command_is_explained_by_its_keys_and_policies() {
        assert_eq!(
            text(&Command::new("SET").key("b").arg("1"), false),
            "SET: its keys, as they were marked, are in one slot\n  slot 3300 at a:1\n  may change data or state; is sent again \
             when its reply was lost; on the shared link"
        );
        assert_eq!(
            text(&Command::new("get").arg("b"), true),
            "get: its keys, as the command table finds them, are in one slot\n  slot 3300 at a:1 or a replica (c:3)\n  only \
             reads; is sent again when its reply was lost; on the shared link"
        );
        assert_eq!(
            text(&Command::new("MGET").keys(["a", "b", "{a}2"]), false),
            "MGET: its keys are in several slots, and it can be split\n  slot 3300 at a:1, 1 key\n  slot 15495 at b:2, 2 \
             keys\n  replies: elements in the order of the keys\n  only reads; is sent again when its reply was lost; on the \
             shared link"
        );
        assert_eq!(
            text(&Command::new("BLPOP").key("b").arg(0), false),
            "BLPOP: its keys, as they were marked, are in one slot\n  slot 3300 at a:1\n  may change data or state; is not \
             sent again once it may have been executed; on a connection of its own"
        );
        assert_eq!(text(&Command::new("DBSIZE"), false).lines().nth(3), Some("  replies: the sum"),);
        let named = Command::new("PING").to(Target::Node(NodeAddr::new("c", 3)));
        assert!(text(&named, false).starts_with("PING: its target was named by Command::to\n  at c:3\n"));
        assert!(text(&Command::new("MOD.CALL"), false).contains("COMMAND INFO"));
        let refused = explain(
            &Command::new("MSETNX").arg("a").arg("1").arg("b").arg("2"),
            Source::Table,
            &map(),
            false,
        );
        assert!(refused.unwrap_err().to_string().contains("must be in one slot"));
    }
}
