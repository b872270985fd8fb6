//! Making a cluster of empty nodes: [`Admin::create`].

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;

use crate::admin::handle::Admin;
use crate::admin::keyspace::keys_held;
use crate::admin::plan::Plan;
use crate::admin::shares::in_rows;
use crate::admin::spread::{score, spread};
use crate::admin::step::{Member, Step};
use crate::admin::view::NodeView;
use crate::command::Command;
use crate::error::{Error, Result};
use crate::node::NodeAddr;
use crate::protocol::info_text::field;
use crate::topology::slot_set::SlotSet;

/// With fewer no majority is left when one fails.
const FEWEST: usize = 3;

impl Admin {
    /// Makes a cluster of these nodes: of every `replicas + 1` of them one is a primary, and all slots are shared evenly.
    /// Replicas lie on other hosts than their primaries if possible; [`Plan::notes`] has the score.
    ///
    /// The nodes must run in cluster mode, hold no keys, and know no others than these. What an interrupted `create` of the
    /// same list has done stays: the plan is of what is left. From here on this admin is that of these nodes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) with everything that is wrong with the nodes, or if there are fewer
    /// than three primaries.
    pub async fn create(&self, nodes: &[NodeAddr], replicas: usize) -> Result<Plan> {
        let roles = spread(nodes, replicas);
        if roles.primaries.len() < FEWEST {
            return Err(Error::usage(format!(
                "{} nodes with {replicas} replicas for each primary make {} primaries; a cluster has at least {FEWEST}, so \
                 {} nodes are needed",
                nodes.len(),
                roles.primaries.len(),
                replicas.saturating_add(1).saturating_mul(FEWEST)
            )));
        }
        let views = self.fit_nodes(nodes).await?;
        let members: Vec<Member> = views.iter().map(Member::from).collect();
        let mut rows: Vec<SlotSet> = vec![SlotSet::default(); nodes.len()];
        for (place, row) in roles.primaries.iter().zip(in_rows(roles.primaries.len())) {
            if let Some(own) = rows.get_mut(*place) {
                *own = row;
            }
        }
        let mut steps = Vec::new();
        let mut odd = Vec::new();
        for ((view, member), row) in views.iter().zip(&members).zip(rows) {
            let has = &view.myself.slots;
            if has.is_empty() && !row.is_empty() {
                steps.push(Step::AssignSlots { node: member.clone(), slots: row.into() });
            } else if *has != row {
                odd.push(format!("{view} has slots {has}"));
            }
        }
        refuse(&odd)?;
        for ((view, member), epoch) in views.iter().zip(&members).zip(1..) {
            if view.myself.epoch == 0 && view.others.is_empty() {
                steps.push(Step::SetEpoch { node: member.clone(), epoch });
            }
        }
        steps.push(Step::Meet { nodes: members.clone() });
        for (replica, primary) in &roles.replicas {
            let (Some(view), Some(replica), Some(primary)) =
                (views.get(*replica), members.get(*replica), members.get(*primary))
            else {
                continue;
            };
            if view.myself.primary.as_deref() != Some(&*primary.id) {
                steps.push(Step::Replicate { node: replica.clone(), primary: primary.clone() });
            }
        }
        steps.push(Step::BeWell);
        let score = score(nodes, &roles);
        let note = match (score.with_primary, score.together) {
            (0, 0) if roles.replicas.is_empty() => {
                "without replicas: the keys of a node that fails are gone until it is back".to_owned()
            }
            (0, 0) => {
                "anti-affinity: every replica is on another host than its primary and its fellows".to_owned()
            }
            (with, together) => format!(
                "anti-affinity: {with} replicas share the host of their primary, {together} that of a fellow; more hosts \
                 would help"
            ),
        };
        self.found_by(nodes.iter().cloned());
        let goal = format!(
            "Make a cluster of {} primaries and {} replicas",
            roles.primaries.len(),
            roles.replicas.len()
        );
        Ok(Plan::new(self, goal, steps, vec![note]))
    }

    /// The nodes as they are, if a cluster can be made of them.
    async fn fit_nodes(&self, nodes: &[NodeAddr]) -> Result<Vec<NodeView>> {
        let views = join_all(nodes.iter().map(|node| self.fit_node(node))).await;
        let mut odd: Vec<String> =
            views.iter().filter_map(|view| view.as_ref().err()).map(ToString::to_string).collect();
        let views: Vec<NodeView> = views.into_iter().filter_map(Result::ok).collect();
        let ids: BTreeSet<&Arc<str>> = views.iter().map(NodeView::id).collect();
        if ids.len() < views.len() {
            odd.push("a node is named twice".to_owned());
        }
        for view in &views {
            if view.keys > 0 {
                odd.push(format!("{view} holds {} keys", view.keys));
            }
            if let Some(stranger) =
                view.others.iter().find(|line| !line.has_flag("handshake") && !ids.contains(&line.id))
            {
                odd.push(format!("{view} is in a cluster with {}", stranger.id));
            }
        }
        refuse(&odd)?;
        Ok(views)
    }

    /// One of them, with its keys in all databases.
    pub(super) async fn fit_node(&self, node: &NodeAddr) -> Result<NodeView> {
        let info = self.peer(node).text(&Command::new("INFO").arg("cluster")).await?;
        if field(&info, "cluster_enabled") == Some("0") {
            return Err(
                Error::usage("it does not run in cluster mode (cluster-enabled yes)").with_node(node.clone())
            );
        }
        let mut view = self.node_view(node).await?;
        view.keys = view.keys.max(keys_held(self, node).await?);
        Ok(view)
    }
}

fn refuse(odd: &[String]) -> Result<()> {
    match odd {
        [] => Ok(()),
        odd => Err(Error::usage(format!("these nodes cannot become a cluster: {}", odd.join("; ")))),
    }
}
