//! Keeps the slot map fresh: one task for each client, single-flight by nature.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::cluster::core::Core;
use crate::command::Command;
use crate::connection::link::Refusal;
use crate::connection::loss::{ConnectError, LossCause};
use crate::connection::unit::Piece;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::node::NodeAddr;
use crate::protocol::server_error::ErrorCode;
use crate::protocol::value::Value;
use crate::topology::discovery::{DiscoveryError, TopologyReplies, read};
use crate::topology::patch::choose;
use crate::topology::slot_map::{Health, SlotMap};

/// Nodes that are asked at once.
const ASKED: usize = 3;

/// How long one node may take for its view.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the other nodes are waited for once the first has answered: long enough to compare views, short enough
/// that a node which hangs delays nothing.
const SECOND_OPINION: Duration = Duration::from_millis(20);

/// Between two refreshes, doubled while they bring no change, so that a node that stays dead is not a reason to ask
/// the others without end.
const FIRST_GAP: Duration = Duration::from_millis(25);
const LAST_GAP: Duration = Duration::from_millis(250);

/// A refresh begins within this time after its request, so that those of the same moment are one.
const SPREAD: Duration = Duration::from_millis(5);

/// Why a node gave no view.
#[derive(Debug, thiserror::Error)]
enum NoView {
    #[error(transparent)]
    Loss(LossCause),
    #[error(transparent)]
    Reply(DiscoveryError),
    #[error("no answer within {PATIENCE:?}")]
    Silent,
}

/// The topology as the first seed that can tells it. All failing, the error says what each one answered.
pub(super) async fn first_view(core: &Core) -> Result<SlotMap> {
    let seeds = &core.config.seeds;
    // A connect may take its whole time-out before the question is even asked.
    let patience = core.config.connect_timeout + PATIENCE;
    let mut asked: FuturesUnordered<_> =
        seeds.iter().map(|seed| async move { (seed, ask(core, seed, patience).await) }).collect();
    let mut failures: Vec<(&NodeAddr, NoView)> = Vec::new();
    while let Some((seed, view)) = asked.next().await {
        match view {
            Ok(view) => return Ok(view),
            Err(failure) => failures.push((seed, failure)),
        }
    }
    failures.sort_by_key(|(seed, _)| seeds.iter().position(|other| other == *seed));
    let any = |what: fn(&NoView) -> bool| failures.iter().any(|(_, failure)| what(failure));
    let (kind, hint) = if any(NoView::lacks_permission) {
        (ErrorKind::Auth, " (an ACL user needs +cluster|slots on every node)")
    } else if any(NoView::is_about_credentials) {
        (
            ErrorKind::Auth,
            " (credentials are given in the URL, as user:password@ or :password@, or to the builder)",
        )
    } else {
        (ErrorKind::Connect, "")
    };
    let told: Vec<String> = failures.iter().map(|(seed, failure)| format!("{seed}: {failure}")).collect();
    Err(Error::new(kind, Outcome::NotSent, format!("no seed could be used: {}{hint}", told.join("; "))))
}

impl NoView {
    fn lacks_permission(&self) -> bool {
        matches!(self, Self::Reply(DiscoveryError::Refused(error)) if error.class() == ErrorCode::NoPerm)
    }

    fn is_about_credentials(&self) -> bool {
        let error = match self {
            Self::Loss(LossCause::Connect(ConnectError::Refused(error)))
            | Self::Reply(DiscoveryError::Refused(error)) => error,
            Self::Loss(LossCause::Connect(ConnectError::Credentials(_))) => return true,
            Self::Loss(_) | Self::Reply(_) | Self::Silent => return false,
        };
        matches!(error.class(), ErrorCode::NoAuth | ErrorCode::WrongPass | ErrorCode::NoPerm)
    }
}

/// Refreshes on request and now and then without one; ends with the handle of its task.
pub(super) async fn keep_fresh(core: Arc<Core>) {
    let mut gap = FIRST_GAP;
    let mut last = Instant::now();
    loop {
        let was_requested = wait_for_a_reason(&core, last + core.config.refresh_interval).await;
        if last.elapsed() > LAST_GAP * 4 {
            gap = FIRST_GAP;
        }
        // At random, so that many clients which see the same failure do not ask at the same moment.
        let spread = SPREAD.mul_f64(fastrand::f64());
        sleep_until((last + gap.mul_f64(0.5 + fastrand::f64() / 2.0)).max(Instant::now() + spread)).await;
        if core.has_ended() {
            return;
        }
        let before = Arc::clone(core.routes().map());
        core.signal.begin();
        core.counters.refreshes.add_one();
        if let Some(view) = best_view(&core).await {
            core.install(view);
            core.signal.finish();
        }
        last = Instant::now();
        let changed = !Arc::ptr_eq(&before, core.routes().map());
        gap = if changed || !was_requested { FIRST_GAP } else { (gap * 2).min(LAST_GAP) };
    }
}

/// Resolves when a refresh is wanted (true) or due (false); meanwhile lets go of retired pools.
async fn wait_for_a_reason(core: &Core, due: Instant) -> bool {
    let mut requested = std::pin::pin!(core.signal.requested());
    loop {
        let look = core.sweep_retired();
        let until = look.map_or(due, |look| look.min(due));
        if timeout_at(until, &mut requested).await.is_ok() {
            return true;
        }
        if Instant::now() >= due {
            return false;
        }
    }
}

/// The view to believe of some nodes of the map; of the seeds if none of the map's nodes answers.
async fn best_view(core: &Core) -> Option<SlotMap> {
    let mut nodes: Vec<NodeAddr> = core
        .routes()
        .map()
        .nodes()
        .iter()
        .filter(|node| node.health != Health::Failed)
        .map(|node| node.addr.clone())
        .collect();
    fastrand::shuffle(&mut nodes);
    for group in nodes.chunks(ASKED) {
        if let Some(view) = opinions(core, group).await {
            return Some(view);
        }
    }
    // All nodes are gone: the cluster may have moved to other addresses behind the seeds' names.
    opinions(core, &core.config.seeds).await
}

async fn opinions(core: &Core, nodes: &[NodeAddr]) -> Option<SlotMap> {
    let mut asked: FuturesUnordered<_> = nodes.iter().map(|node| ask(core, node, PATIENCE)).collect();
    let mut views = Vec::new();
    while views.is_empty() {
        views.extend(asked.next().await?.ok());
    }
    let collect = async {
        while let Some(view) = asked.next().await {
            views.extend(view.ok());
        }
    };
    // Who has not answered by then is not waited for.
    drop(timeout(SECOND_OPINION, collect).await);
    choose(views)
}

/// Asks one node over its shared link.
async fn ask(core: &Core, node: &NodeAddr, patience: Duration) -> Result<SlotMap, NoView> {
    let commands =
        [Command::new("CLUSTER SLOTS"), Command::new("CLUSTER SHARDS"), Command::new("CLUSTER INFO")];
    let pool = core.pool_at(node);
    let asking = async {
        let retired = || NoView::Loss(LossCause::Retired);
        let link = pool.any_link().ok_or_else(retired)?;
        let pieces = || commands.iter().map(Piece::Command);
        let length = pieces().map(|piece| piece.wire_length()).sum();
        link.budget().take(length).await;
        let deadline = Some(Instant::now() + patience);
        let pending =
            link.send_unit(pieces(), length, deadline).map_err(|Refusal(cause)| NoView::Loss(cause))?;
        let reply = pending.await;
        if let Some(loss) = reply.loss {
            return Err(NoView::Loss(loss.cause));
        }
        let [slots, shards, info]: [Value; 3] = reply.values.try_into().map_err(|_| retired())?;
        read(&TopologyReplies { slots, shards, info, over_tls: core.config.over_tls }, node)
            .map_err(NoView::Reply)
    };
    timeout(patience, asking).await.unwrap_or(Err(NoView::Silent))
}
