//! All nodes restart, one after the other: [`Admin::roll`].

use std::error::Error as StdError;

use futures_util::future::try_join_all;

use crate::admin::handle::Admin;
use crate::admin::plan::Plan;
use crate::admin::restart::{Restarter, not_whole, process, under_way, without_replica};
use crate::admin::step::{Member, Step};
use crate::admin::view::NodeView;
use crate::error::{Error, Result};

impl Admin {
    /// Restarts all nodes, one after the other: replicas first; each primary with slots lets a replica take its place
    /// (graceful, no write is lost) before it is its turn. `restart` is called with one node at a time, and the next is
    /// begun when another process answers for that one (`run_id` of `INFO server`), it has its data, and all nodes agree
    /// that the cluster is well; see [`restart_timeout`](crate::admin::AdminOptions::restart_timeout).
    ///
    /// `restart` returns when the old process was told to end and the new one will start by itself, or later. The node
    /// must keep its id, that is its `cluster-config-file`; it may come back at another address. Roles stay as they come
    /// out: a primary comes back as a replica of its successor.
    ///
    /// Writes rest for a moment while a replica takes over. Redis 6.2 holds those that are under way then for ten seconds, or
    /// until the node restarts: its callers need a time-out above that.
    ///
    /// An interrupted plan that is [run](Plan::run) again leaves out the nodes that have been restarted since it was made;
    /// a new plan begins with all of them.
    ///
    /// ```no_run
    /// # async fn example(admin: keyslot::admin::Admin) -> keyslot::Result<()> {
    /// let plan = admin.roll(|node| async move {
    ///     let unit = format!("valkey@{}", node.addr.port());
    ///     let ended = tokio::task::spawn_blocking(move || {
    ///         std::process::Command::new("systemctl").args(["restart", &unit]).status()
    ///     });
    ///     match ended.await.map_err(std::io::Error::other)??.success() {
    ///         true => Ok(()),
    ///         false => Err(std::io::Error::other("systemctl failed")),
    ///     }
    /// });
    /// let plan = plan.await?;
    /// println!("{plan}");
    /// plan.run(|progress| println!("{} of {}: {}", progress.step, progress.steps, progress.what)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if a node does not answer, a replica is not in sync or slots are open,
    /// and for a primary with slots without a replica, unless
    /// [`restart_alone`](crate::admin::AdminOptions::restart_alone) allows it. When it runs: what `restart` failed with, and
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) for a node that does not come back. No other node is begun then.
    ///
    /// # Cancel safety
    ///
    /// Making the plan only asks. Dropping the run drops the future of `restart` too.
    pub async fn roll<F, D, E>(&self, restart: F) -> Result<Plan>
    where
        F: Fn(Member) -> D + Send + Sync + 'static,
        D: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let view = self.view().await?;
        if let Some(wrong) = not_whole(&view) {
            return Err(Error::usage(format!("a node less is too many while this is wrong: {wrong}")));
        }
        if let Some(open) = under_way(&view) {
            return Err(Error::usage(open));
        }
        let serves = |node: &&NodeView| node.is_primary() && !node.myself.slots.is_empty();
        let is_alone = |node: &&NodeView| view.replicas_of(node.id()).next().is_none();
        let alone: Vec<String> =
            view.nodes.iter().filter(serves).filter(is_alone).map(ToString::to_string).collect();
        if !alone.is_empty() && !self.options().restart_alone {
            return Err(without_replica(&alone.join(", ")));
        }
        let (primaries, others): (Vec<&NodeView>, Vec<&NodeView>) = view.nodes.iter().partition(serves);
        let steps = others.iter().chain(&primaries).map(|node| async {
            let successor = match serves(node) {
                true => view.replicas_of(node.id()).next().map(Member::from),
                false => None,
            };
            let run_id = process(self, &node.addr).await?.run_id.into();
            Ok::<_, Error>(Step::Restart { node: (*node).into(), successor, run_id })
        });
        let steps = try_join_all(steps).await?;
        // The only one that was named may be the one that restarts.
        self.found_by(view.nodes.iter().map(|node| node.addr.clone()));
        let mut notes = Vec::new();
        if alone.len() < primaries.len() {
            notes.push("roles stay as they come out: primaries come back as replicas".to_owned());
        }
        if !alone.is_empty() {
            notes.push(format!(
                "nobody serves the slots of {} during the restart, and what was not saved to disk is lost",
                alone.join(", ")
            ));
        }
        let plan = Plan::new(self, "Restart all nodes, one after the other", steps, notes);
        Ok(plan.restarting_by(Restarter::new(restart)))
    }
}
