//! [`Step`]: one thing that a plan does, as data.

use std::fmt;
use std::sync::Arc;

use crate::admin::json::Json;
use crate::admin::slots::Slots;
use crate::admin::view::{NodeView, short};
use crate::node::NodeAddr;

/// A node in a plan: by its id, which it keeps, and where it is asked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Member {
    /// Its 40-digit id.
    pub id: Arc<str>,
    /// Where it is asked.
    pub addr: NodeAddr,
}

impl From<&NodeView> for Member {
    fn from(node: &NodeView) -> Self {
        Self { id: Arc::clone(node.id()), addr: node.addr.clone() }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.addr, short(&self.id))
    }
}

impl Member {
    fn json(&self) -> Json {
        Json::Object(vec![("id", Json::text(&self.id)), ("addr", Json::text(&self.addr))])
    }
}

/// How a replica takes the place of its primary.
///
/// Source: [CLUSTER FAILOVER](https://redis.io/docs/latest/commands/cluster-failover/).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Failover {
    /// Hand in hand with the primary: no write is lost.
    #[default]
    Graceful,
    /// Without the primary, with the votes of a majority: for a primary that has failed. Writes that had not reached the
    /// replica are lost.
    Force,
    /// Without anyone: for a cluster that has lost its majority. Two may take the same place then.
    Takeover,
}

/// One thing that a plan does.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Step {
    /// An empty node outside of a cluster takes its first slots (`CLUSTER ADDSLOTS`).
    AssignSlots {
        /// Who.
        node: Member,
        /// Which.
        slots: Slots,
    },
    /// A node that knows no other gets an epoch of its own (`CLUSTER SET-CONFIG-EPOCH`), so that none collide.
    SetEpoch {
        /// Who.
        node: Member,
        /// Which.
        epoch: u64,
    },
    /// The nodes are made known to each other (`CLUSTER MEET`), and it is waited until each knows all.
    Meet {
        /// New ones and old ones.
        nodes: Vec<Member>,
    },
    /// A node follows another (`CLUSTER REPLICATE`).
    Replicate {
        /// A replica, or a primary without slots and keys.
        node: Member,
        /// Whom it follows.
        primary: Member,
    },
    /// It is waited until all nodes say the same.
    Agree,
    /// It is waited until all nodes say the same, and that the cluster is well (`cluster_state:ok`).
    BeWell,
    /// Slots and their keys go to another primary.
    MoveSlots {
        /// Whose they are.
        from: Member,
        /// Whose they will be.
        to: Member,
        /// Which.
        slots: Slots,
        /// How many keys they had when the plan was made.
        keys: u64,
    },
    /// The marks of slots that are open for nothing are taken away (`CLUSTER SETSLOT STABLE`).
    CloseSlots {
        /// At whom.
        node: Member,
        /// Which.
        slots: Slots,
    },
    /// A primary takes slots that nobody serves. All nodes forget first whom they take for their owner (`CLUSTER DELSLOTS`),
    /// so that none tells the new one of another.
    ClaimSlots {
        /// Who.
        node: Member,
        /// Which.
        slots: Slots,
    },
    /// A primary that wrongly takes itself for the owner of slots gives them and their keys to the owner. Where both
    /// have a key, the owner's value stays.
    YieldSlots {
        /// Who gives them up.
        node: Member,
        /// Whose they are.
        owner: Member,
        /// Which.
        slots: Slots,
    },
    /// Keys in slots that a node does not serve go to the owner. Where both have a key, the owner's value stays.
    ReturnKeys {
        /// Who holds them.
        holder: Member,
        /// Whose they are.
        owner: Member,
        /// The slots.
        slots: Slots,
        /// How many keys there were when the plan was made.
        keys: u64,
    },
    /// A node gets an epoch that is newer than all others (`CLUSTER BUMPEPOCH`).
    BumpEpoch {
        /// Who.
        node: Member,
    },
    /// The functions of one primary are loaded into an empty one (`FUNCTION DUMP` and `RESTORE`; Redis 7.0).
    CopyFunctions {
        /// Who has them.
        from: Member,
        /// Who gets them.
        to: Member,
    },
    /// The users of one node are made known to another, with their rights and the hashes of their passwords (`ACL LIST`
    /// and `SETUSER`).
    CopyUsers {
        /// Who has them.
        from: Member,
        /// Who gets them.
        to: Member,
    },
    /// A replica takes the place of its primary.
    Failover {
        /// The replica.
        node: Member,
        /// How.
        manner: Failover,
    },
    /// A node without slots leaves: its replicas get another primary, all others forget it, and it forgets them.
    Remove {
        /// Who.
        node: Member,
    },
    /// All others forget a node that is gone.
    Forget {
        /// Its id.
        id: Arc<str>,
    },
    /// A node is restarted, and it is waited until it is back and in sync. A primary with slots lets a replica take its
    /// place first.
    Restart {
        /// Who.
        node: Member,
        /// Who takes its place; another replica if that one cannot any more.
        successor: Option<Member>,
        /// Its process when the plan was made (`run_id`): if another answers, it has been restarted already.
        run_id: Arc<str>,
    },
}

impl Step {
    /// How many slots arrive at another node by it, and about how many keys.
    pub(super) fn moved(&self) -> (usize, u64) {
        match self {
            Self::MoveSlots { slots, keys, .. } => (slots.len(), *keys),
            Self::ReturnKeys { keys, .. } => (0, *keys),
            Self::AssignSlots { .. }
            | Self::SetEpoch { .. }
            | Self::Meet { .. }
            | Self::Replicate { .. }
            | Self::Agree
            | Self::BeWell
            | Self::CloseSlots { .. }
            | Self::ClaimSlots { .. }
            | Self::YieldSlots { .. }
            | Self::BumpEpoch { .. }
            | Self::CopyFunctions { .. }
            | Self::CopyUsers { .. }
            | Self::Failover { .. }
            | Self::Remove { .. }
            | Self::Forget { .. }
            | Self::Restart { .. } => (0, 0),
        }
    }

    /// Its name in JSON, and the nodes and slots that it is about.
    pub(super) fn json(&self) -> Json {
        let slots = |slots: &Slots| ("slots", Json::text(slots));
        let (name, mut fields) = match self {
            Self::AssignSlots { node, slots: which } => {
                ("assign_slots", vec![("node", node.json()), slots(which)])
            }
            Self::SetEpoch { node, epoch } => {
                ("set_epoch", vec![("node", node.json()), ("epoch", Json::Number(*epoch))])
            }
            Self::Meet { nodes } => ("meet", vec![("nodes", Json::list(nodes.iter().map(Member::json)))]),
            Self::Replicate { node, primary } => {
                ("replicate", vec![("node", node.json()), ("primary", primary.json())])
            }
            Self::Agree => ("agree", Vec::new()),
            Self::BeWell => ("be_well", Vec::new()),
            Self::MoveSlots { from, to, slots: which, keys } => (
                "move_slots",
                vec![("from", from.json()), ("to", to.json()), slots(which), ("keys", Json::Number(*keys))],
            ),
            Self::CloseSlots { node, slots: which } => {
                ("close_slots", vec![("node", node.json()), slots(which)])
            }
            Self::ClaimSlots { node, slots: which } => {
                ("claim_slots", vec![("node", node.json()), slots(which)])
            }
            Self::YieldSlots { node, owner, slots: which } => {
                ("yield_slots", vec![("node", node.json()), ("owner", owner.json()), slots(which)])
            }
            Self::ReturnKeys { holder, owner, slots: which, keys } => (
                "return_keys",
                vec![
                    ("holder", holder.json()),
                    ("owner", owner.json()),
                    slots(which),
                    ("keys", Json::Number(*keys)),
                ],
            ),
            Self::BumpEpoch { node } => ("bump_epoch", vec![("node", node.json())]),
            Self::CopyFunctions { from, to } => {
                ("copy_functions", vec![("from", from.json()), ("to", to.json())])
            }
            Self::CopyUsers { from, to } => ("copy_users", vec![("from", from.json()), ("to", to.json())]),
            Self::Failover { node, manner } => {
                let manner = match manner {
                    Failover::Graceful => "graceful",
                    Failover::Force => "force",
                    Failover::Takeover => "takeover",
                };
                ("failover", vec![("node", node.json()), ("manner", Json::text(manner))])
            }
            Self::Remove { node } => ("remove", vec![("node", node.json())]),
            Self::Forget { id } => ("forget", vec![("id", Json::text(id))]),
            Self::Restart { node, successor, run_id } => {
                let mut fields = vec![("node", node.json()), ("run_id", Json::text(run_id))];
                fields.extend(successor.as_ref().map(|successor| ("successor", successor.json())));
                ("restart", fields)
            }
        };
        fields.insert(0, ("do", Json::text(name)));
        Json::Object(fields)
    }
}

/// A sentence for people.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AssignSlots { node, slots } => {
                write!(f, "{node} takes {} slots: {slots}", slots.len())
            }
            Self::SetEpoch { node, epoch } => write!(f, "{node} gets epoch {epoch}"),
            Self::Meet { nodes } => {
                write!(f, "{} nodes meet", nodes.len())?;
                nodes.iter().enumerate().try_for_each(|(place, node)| {
                    write!(f, "{} {}", if place == 0 { ":" } else { "," }, node.addr)
                })
            }
            Self::Replicate { node, primary } => write!(f, "{node} becomes a replica of {primary}"),
            Self::Agree => f.write_str("all nodes agree"),
            Self::BeWell => f.write_str("all nodes agree and the cluster is well"),
            Self::MoveSlots { from, to, slots, keys } => {
                write!(f, "{} slots with {keys} keys go from {from} to {to}: {slots}", slots.len())
            }
            Self::CloseSlots { node, slots } => write!(f, "{node} closes slots {slots}"),
            Self::ClaimSlots { node, slots } => {
                write!(f, "{node} takes {} slots that nobody serves: {slots}", slots.len())
            }
            Self::YieldSlots { node, owner, slots } => {
                write!(f, "{node} leaves {} slots to their owner {owner}: {slots}", slots.len())
            }
            Self::ReturnKeys { holder, owner, slots, keys } => {
                write!(f, "{keys} keys in slots {slots} go from {holder} home to their owner {owner}")
            }
            Self::BumpEpoch { node } => write!(f, "{node} gets a new epoch"),
            Self::CopyFunctions { from, to } => write!(f, "{to} gets the functions of {from}"),
            Self::CopyUsers { from, to } => write!(f, "{to} gets the users of {from}"),
            Self::Failover { node, manner } => {
                let how = match manner {
                    Failover::Graceful => "hand in hand with it",
                    Failover::Force => "by force",
                    Failover::Takeover => "without asking anyone",
                };
                write!(f, "{node} takes the place of its primary, {how}")
            }
            Self::Remove { node } => write!(f, "{node} leaves, and all others forget it"),
            Self::Forget { id } => write!(f, "all nodes forget {id}"),
            Self::Restart { node, successor: None, .. } => write!(f, "{node} is restarted"),
            Self::Restart { node, successor: Some(successor), .. } => {
                write!(f, "{successor} takes the place of {node}, which is restarted then")
            }
        }
    }
}
