//! One node is restarted by whoever runs the servers, and its shard stays served meanwhile.
//!
//! Source: [CLUSTER FAILOVER](https://redis.io/docs/latest/commands/cluster-failover/),
//! [INFO](https://redis.io/docs/latest/commands/info/) (`run_id`: another one for each process).

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use crate::admin::handle::Admin;
use crate::admin::membership::fail_over;
use crate::admin::progress::Reporter;
use crate::admin::settle::{not_well, until};
use crate::admin::step::{Failover, Member};
use crate::admin::view::ClusterView;
use crate::command::Command;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::node::NodeAddr;
use crate::protocol::info_text::field;
use crate::topology::slot_set::SlotSet;

/// Between two looks at a node that is on its way back.
const LOOK: Duration = Duration::from_millis(100);

/// What can go wrong in somebody else's hands.
type Failure = Box<dyn StdError + Send + Sync>;

/// How the user restarts a node.
#[derive(Clone)]
pub(super) struct Restarter(Arc<dyn Fn(Member) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>);

impl fmt::Debug for Restarter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Restarter")
    }
}

impl Restarter {
    pub(super) fn new<F, D, E>(restart: F) -> Self
    where
        F: Fn(Member) -> D + Send + Sync + 'static,
        D: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Failure>,
    {
        Self(Arc::new(move |node| restart(node).map(|ended| ended.map_err(Into::into)).boxed()))
    }
}

/// What a node says of its process.
pub(super) struct Process {
    /// Another one for each process.
    pub(super) run_id: String,
    is_loading: bool,
}

/// Who answers there.
pub(super) async fn process(admin: &Admin, addr: &NodeAddr) -> Result<Process> {
    let peer = admin.peer(addr);
    let server = Command::new("INFO").arg("server");
    let info = peer.text(&server).await?;
    let run_id = field(&info, "run_id").map(str::to_owned);
    let run_id = run_id.ok_or_else(|| {
        Error::new(ErrorKind::Protocol, Outcome::MaybeExecuted, "the reply has no run_id")
            .with_command(server.shared_name())
            .with_node(addr.clone())
    })?;
    let persistence = peer.text(&Command::new("INFO").arg("persistence")).await?;
    Ok(Process { run_id, is_loading: field(&persistence, "loading").is_some_and(|loading| loading != "0") })
}

/// What speaks against taking one more node away.
pub(super) fn not_whole(view: &ClusterView) -> Option<String> {
    if let Some(lost) = view.unreachable.first() {
        let who = lost.addr.as_ref().map_or_else(|| "a node".to_owned(), ToString::to_string);
        return Some(format!("{who} does not answer: {}", lost.error));
    }
    let stale = view.nodes.iter().find(|node| !node.in_sync);
    let stale = stale.map(|node| format!("{node} does not have its primary's data yet"));
    let doubted = || {
        view.nodes.iter().find_map(|teller| {
            let line = teller.lines().find(|line| line.has_flag("fail") || line.has_flag("fail?"))?;
            Some(format!("{teller} takes {} for failing", view.name_of(&line.id)))
        })
    };
    stale.or_else(|| not_well(view)).or_else(doubted)
}

/// A failover would leave the keys of open slots behind.
pub(super) fn under_way(view: &ClusterView) -> Option<String> {
    let open = view.open_slots();
    let slots: SlotSet = open.iter().copied().collect();
    (!open.is_empty()).then(|| {
        format!("slots {slots} are under way, and a failover would leave their keys behind: fix() brings them to their ends")
    })
}

/// Restarts the node, unless another process than the one with `run_id` answers there already; returns when it is back.
pub(super) async fn restart(
    admin: &Admin,
    reporter: &Reporter<'_>,
    restarter: &Restarter,
    node: &Member,
    successor: Option<&Member>,
    run_id: &str,
) -> Result<()> {
    // Somebody else may have begun to move slots since the plan was made.
    let hinders = |view: &ClusterView| not_whole(view).or_else(|| under_way(view));
    let whole = until(admin, "the cluster is whole, before a node is restarted", hinders).await?;
    let Some(seen) = whole.node(&node.id) else {
        return Err(Error::usage(format!("{node} is in the cluster no more; plan again")));
    };
    let node = &Member::from(seen);
    if process(admin, &node.addr).await?.run_id != run_id {
        // An attempt before came so far.
        return Ok(());
    }
    let tell = |what: String| reporter.tell(|progress| progress.what = what);
    step_aside(admin, &whole, node, successor, &tell).await?;
    tell(format!("{node} is restarted"));
    if let Err(failure) = (restarter.0)(node.clone()).await {
        let text = format!("{node} could not be restarted, and no other node was begun: {failure}");
        return Err(Error::new(ErrorKind::Unavailable, Outcome::MaybeExecuted, text)
            .with_node(node.addr.clone())
            .with_source(io::Error::other(failure)));
    }
    tell(format!("{node} is awaited"));
    back(admin, node, run_id).await
}

/// A primary that serves slots gives them to a replica.
async fn step_aside(
    admin: &Admin,
    whole: &ClusterView,
    node: &Member,
    successor: Option<&Member>,
    tell: &impl Fn(String),
) -> Result<()> {
    let serves = whole.node(&node.id).is_some_and(|seen| seen.is_primary() && !seen.myself.slots.is_empty());
    if !serves {
        return Ok(());
    }
    // All of them are in sync. The one of the plan may be somebody else's replica by now.
    let replicas: Vec<Member> = whole.replicas_of(&node.id).map(Member::from).collect();
    let planned = successor.and_then(|wanted| replicas.iter().find(|replica| replica.id == wanted.id));
    match planned.or(replicas.first()) {
        Some(replica) => {
            tell(format!("{replica} takes the place of {node}"));
            fail_over(admin, replica, Failover::Graceful).await?;
            let stays = |view: &ClusterView| {
                let serves = view.node(&node.id).is_some_and(|seen| !seen.myself.slots.is_empty());
                serves.then(|| format!("{node} still serves slots"))
            };
            let settled = |view: &ClusterView| stays(view).or_else(|| not_whole(view));
            // A replica may need all data anew, which takes as long as after a restart.
            let options = admin.options().clone().agreement_timeout(admin.options().restart_timeout);
            let patient = admin.clone().with(options);
            until(&patient, "the former primary is a replica in sync", settled).await.map(drop)
        }
        None if admin.options().restart_alone => Ok(()),
        None => Err(without_replica(&node.to_string())),
    }
}

pub(super) fn without_replica(which: &str) -> Error {
    Error::usage(format!(
        "no replica can take the place of {which}, whose slots nobody would serve during the restart: add one, or \
         allow it by the option restart_alone"
    ))
}

/// Another process answers for the node, it has its data, and the cluster is whole.
async fn back(admin: &Admin, node: &Member, run_id: &str) -> Result<()> {
    let limit = admin.options().restart_timeout;
    let deadline = Instant::now() + limit;
    while let Some(missing) = missing(admin, node, run_id).await {
        if Instant::now() >= deadline {
            let text = format!("waited {limit:?} until {node} is back from its restart: {missing}");
            return Err(
                Error::new(ErrorKind::Timeout, Outcome::MaybeExecuted, text).with_node(node.addr.clone())
            );
        }
        sleep(LOOK).await;
    }
    Ok(())
}

async fn missing(admin: &Admin, node: &Member, run_id: &str) -> Option<String> {
    let view = match admin.view().await {
        Ok(view) => view,
        Err(error) => return Some(error.to_string()),
    };
    // It may have come back at another address.
    let Some(seen) = view.node(&node.id) else {
        return not_whole(&view).or_else(|| Some("nobody knows it".to_owned()));
    };
    match process(admin, &seen.addr).await {
        Ok(now) if now.run_id == run_id => Some(
            "the process of before still answers: the callback must end it, and start another".to_owned(),
        ),
        Ok(now) if now.is_loading => Some("it loads its data".to_owned()),
        Ok(_other) => not_whole(&view),
        Err(error) => Some(error.to_string()),
    }
}
