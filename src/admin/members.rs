//! Nodes that join, leave and change roles: [`Admin::add_node`], [`Admin::del_node`], [`Admin::replicate`],
//! [`Admin::failover`], [`Admin::forget`].

use crate::admin::handle::Admin;
use crate::admin::membership::{neediest, still_needed};
use crate::admin::node_line::NodeLine;
use crate::admin::plan::Plan;
use crate::admin::reshape::Ground;
use crate::admin::step::{Failover, Member, Step};
use crate::admin::view::{ClusterView, NodeView};
use crate::error::{Error, Result};
use crate::node::NodeAddr;

/// As what a node joins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AddAs {
    /// A primary without slots, with the functions of the others; [`Admin::rebalance`] gives it some.
    Primary,
    /// The same, and the slots are shared anew among all primaries that have some and this one, evenly.
    PrimaryWithSlots,
    /// A replica of the primary at this address.
    ReplicaOf(NodeAddr),
    /// A replica of the primary with slots that has the fewest.
    Replica,
}

impl AddAs {
    fn is_primary(&self) -> bool {
        match self {
            Self::Primary | Self::PrimaryWithSlots => true,
            Self::ReplicaOf(_) | Self::Replica => false,
        }
    }
}

fn node<'a>(view: &'a ClusterView, addr: &NodeAddr) -> Result<&'a NodeView> {
    view.node_at(addr)
        .ok_or_else(|| Error::usage(format!("no node of the cluster that answers is at {addr}")))
}

/// The primary, if the node can follow it.
fn primary_for<'a>(replica: &NodeView, primary: &'a NodeView) -> Result<&'a NodeView> {
    match primary.is_primary() && replica.id() != primary.id() {
        true => Ok(primary),
        false => Err(Error::usage(format!("{primary} is no primary that {replica} could follow"))),
    }
}

impl Admin {
    /// An empty node joins.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if it is not empty, not in cluster mode or in another cluster, a replica
    /// that is to join as a primary, or the primary that it is to follow is none. One that
    /// is in this cluster already, from an interrupted attempt, is fine; once it has slots, [`Admin::rebalance`] goes on. With
    /// [`AddAs::PrimaryWithSlots`] also as [`Admin::reshard`].
    pub async fn add_node(&self, new: &NodeAddr, how: AddAs) -> Result<Plan> {
        let view = self.view().await?;
        let joining = self.fit_node(new).await?;
        let is_member = view.node(joining.id()).is_some();
        if let Some(primary) = joining.myself.primary.as_deref().filter(|_| how.is_primary()) {
            return Err(Error::usage(format!(
                "{joining} is a replica of {}: failover() lets it take that one's place; to join as an empty primary it must \
                 leave first (del_node)",
                view.name_of(primary)
            )));
        }
        if joining.keys > 0 && joining.is_primary() || !joining.myself.slots.is_empty() {
            return Err(Error::usage(format!(
                "{joining} is not empty: it holds {} keys and serves slots [{}]",
                joining.keys, joining.myself.slots
            )));
        }
        if !is_member
            && joining.others.iter().any(|line| view.node(&line.id).is_none() && !line.has_flag("handshake"))
        {
            return Err(Error::usage(format!("{joining} is in another cluster: CLUSTER RESET takes it out")));
        }
        let new: Member = (&joining).into();
        let mut nodes: Vec<Member> = view.nodes.iter().map(Member::from).collect();
        if !is_member {
            nodes.push(new.clone());
        }
        let mut steps = vec![Step::Meet { nodes }];
        let teacher = view.nodes.iter().find(|node| node.id() != joining.id());
        if let Some(from) = teacher.filter(|_| self.options().copy_users) {
            steps.push(Step::CopyUsers { from: from.into(), to: new.clone() });
        }
        let gets_slots = how == AddAs::PrimaryWithSlots;
        let what = match how {
            AddAs::Primary | AddAs::PrimaryWithSlots => {
                let serving = view.primaries().find(|node| !node.myself.slots.is_empty());
                if let Some(from) = serving.map(Member::from) {
                    steps.push(Step::CopyFunctions { from, to: new.clone() });
                }
                if gets_slots { "a primary with its share of the slots" } else { "a primary" }.to_owned()
            }
            AddAs::ReplicaOf(primary) => {
                let primary = primary_for(&joining, node(&view, &primary)?)?;
                steps.push(Step::Replicate { node: new.clone(), primary: primary.into() });
                format!("a replica of {primary}")
            }
            AddAs::Replica => {
                let primary = neediest(&view, joining.id(), 1).pop();
                let primary =
                    primary.ok_or_else(|| Error::usage("there is no primary with slots to replicate"))?;
                let what = format!("a replica of {primary}");
                steps.push(Step::Replicate { node: new.clone(), primary });
                what
            }
        };
        // A new node takes part two seconds after it has met the others, if these are well.
        let is_well = view.nodes.iter().all(|node| &*node.state == "ok");
        steps.push(if is_well { Step::BeWell } else { Step::Agree });
        if gets_slots {
            let ground = Ground::of(self).await?.joined_by(joining);
            steps.extend(ground.steps(self, ground.evenly_with(&new)).await?);
        }
        Ok(Plan::new(self, format!("Add {new} as {what}"), steps, Vec::new()))
    }

    /// A node leaves: a primary gives its slots to the others first, and its replicas get other primaries. It is empty and
    /// knows nobody then. One that does not answer is forgotten by the others, if it has no slots. Asked for again after an
    /// interruption, it does what is left; of a node that has left wholly, nothing.
    ///
    /// # Errors
    ///
    /// If the slots of a primary cannot be moved; see [`Admin::reshard`]. [`ErrorKind::Usage`](crate::ErrorKind::Usage) if
    /// nobody answers there, or a node of another cluster.
    pub async fn del_node(&self, addr: &NodeAddr) -> Result<Plan> {
        let view = self.view().await?;
        let lost = view.unreachable.iter().find(|lost| lost.addr.as_ref() == Some(addr));
        if let Some(lost) = lost {
            let id = lost
                .id
                .as_deref()
                .ok_or_else(|| Error::usage("nobody knows its id").with_node(addr.clone()))?;
            return self.forget(id).await;
        }
        let Some(leaving) = view.node_at(addr) else { return self.del_forgotten(&view, addr).await };
        let removal = Step::Remove { node: leaving.into() };
        let goal = format!("Remove {leaving}");
        if leaving.myself.slots.is_empty() && leaving.myself.importing.is_empty() {
            return Ok(Plan::new(self, goal, vec![removal, Step::Agree], Vec::new()));
        }
        let ground = Ground::of(self).await?;
        let leaving = node(&ground.survey.view, addr)?;
        let flows = ground.emptying(leaving);
        if flows.is_empty() {
            return Err(Error::usage(format!(
                "{leaving} has slots, and there is no other primary to give them to"
            )));
        }
        let mut steps = ground.steps(self, flows).await?;
        steps.extend([removal, Step::Agree]);
        Ok(Plan::new(self, goal, steps, Vec::new()))
    }

    /// A node that the cluster does not know: one that was forgotten and does not know it yet, as an interrupted removal
    /// leaves it, or one that has left.
    async fn del_forgotten(&self, view: &ClusterView, addr: &NodeAddr) -> Result<Plan> {
        let leaving = self.node_view(addr).await.map_err(|error| {
            Error::usage(format!("the cluster knows no node at {addr}, and nobody answers there: {error}"))
        })?;
        let mut known = leaving.others.iter().filter(|line| !line.has_flag("handshake")).peekable();
        let goal = format!("Remove {leaving}");
        if known.peek().is_none() {
            return Ok(Plan::new(self, goal, Vec::new(), vec![format!("{leaving} is in no cluster")]));
        }
        let is_of_this = |id: &str| {
            view.node(id).is_some() || view.unreachable.iter().any(|lost| lost.id.as_deref() == Some(id))
        };
        if let Some(stranger) = known.find(|line| !is_of_this(&line.id)) {
            return Err(Error::usage(format!("{leaving} is in another cluster, with {}", stranger.id)));
        }
        Ok(Plan::new(self, goal, vec![Step::Remove { node: (&leaving).into() }, Step::Agree], Vec::new()))
    }

    /// A replica, or a primary without slots and keys, follows another primary. Replicas of its own go with it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if the one has slots or is a primary with keys, or the other is a
    /// replica.
    pub async fn replicate(&self, replica: &NodeAddr, primary: &NodeAddr) -> Result<Plan> {
        let view = self.view().await?;
        let (replica, primary) = (node(&view, replica)?, node(&view, primary)?);
        if !replica.myself.slots.is_empty() {
            return Err(Error::usage(format!("{replica} serves slots; move them first")));
        }
        if replica.is_primary() && replica.keys > 0 {
            return Err(Error::usage(format!(
                "{replica} serves no slot and holds {} keys, which would be lost: fix() brings them home",
                replica.keys
            )));
        }
        let primary = primary_for(replica, primary)?;
        let goal = format!("Make {replica} a replica of {primary}");
        let mut steps = Vec::new();
        if replica.myself.primary.as_ref() != Some(primary.id()) {
            let following = view.replicas_of(replica.id()).chain([replica]);
            steps
                .extend(following.map(|node| Step::Replicate { node: node.into(), primary: primary.into() }));
            steps.push(Step::Agree);
        }
        Ok(Plan::new(self, goal, steps, Vec::new()))
    }

    /// A replica takes the place of its primary. Nothing is to be done if it is a primary already.
    ///
    /// Redis lets votes for the same shard rest for twice the node timeout: a second failover of a shard within that time
    /// is tried until [`agreement_timeout`](crate::admin::AdminOptions::agreement_timeout).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if no node of the cluster that answers is there, if its primary serves no
    /// slots, and if it is to be graceful with a primary that does not answer.
    pub async fn failover(&self, replica: &NodeAddr, manner: Failover) -> Result<Plan> {
        let view = self.view().await?;
        let replica = node(&view, replica)?;
        let goal = format!("Let {replica} take the place of its primary");
        let Some(primary) = replica.myself.primary.as_deref() else {
            return Ok(Plan::new(self, goal, Vec::new(), Vec::new()));
        };
        let name = view.name_of(primary);
        let has_slots = |line: &NodeLine| !line.slots.is_empty();
        if !view.nodes.iter().filter_map(|node| node.line_of(primary)).any(has_slots) {
            return Err(Error::usage(format!(
                "{name}, the primary of {replica}, serves no slots: there is nothing to take over, and nobody votes for it"
            )));
        }
        if manner == Failover::Graceful && view.node(primary).is_none() {
            return Err(Error::usage(format!(
                "{name}, the primary of {replica}, does not answer, so they cannot go hand in hand: fail over by force, and \
                 what it had not passed on yet is lost"
            )));
        }
        let steps = vec![Step::Failover { node: replica.into(), manner }];
        Ok(Plan::new(self, goal, steps, Vec::new()))
    }

    /// All nodes forget the node with this id, which is gone, within the time for which they do not learn of it again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if it answers ([`Admin::del_node`] is for that), serves slots or has
    /// replicas: then it must be replaced first.
    pub async fn forget(&self, id: &str) -> Result<Plan> {
        let view = self.view().await?;
        if let Some(needed) = still_needed(&view, id) {
            return Err(Error::usage(needed));
        }
        let mut lines = view.nodes.iter().filter_map(|node| node.line_of(id));
        let steps = if lines.next().is_some() { vec![Step::Forget { id: id.into() }] } else { Vec::new() };
        Ok(Plan::new(self, format!("Forget {id}"), steps, Vec::new()))
    }
}
