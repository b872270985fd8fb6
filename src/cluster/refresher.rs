//! Keeps the slot map fresh: one task for each client, single-flight by nature.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use litemap::LiteMap;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::cluster::core::Core;
use crate::cluster::figures::note_disagreement;
use crate::command::Command;
use crate::connection::budget::Room;
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
/// the others without end. The last half of each is chance. A successor is found within the last one, and a round trip.
const FIRST_GAP: Duration = Duration::from_millis(25);
const LAST_GAP: Duration = Duration::from_millis(200);

/// After so many in a row that brought nothing, more than a minute, nobody is about to take over: from then on less often.
const FRUITLESS: u32 = 600;
const LONG_GAP: Duration = Duration::from_secs(1);

/// After each change, and after each time that somebody asked, another look is taken although nobody asks: the first news
/// of a failover or a move are seldom the last, and of a primary that has just died, nobody has taken the place yet.
/// Without news the next ones follow in twice the time each, until they are as rare as usual: so a client without
/// traffic learns of a failover in a time like that which the failover took.
const SETTLING: Duration = Duration::from_secs(2);

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

/// The topology as the first seed that can tells it; as another one does, if that one sees no working cluster and the other
/// answers soon. All failing, the error says what each one answered.
pub(super) async fn first_view(core: &Core) -> Result<SlotMap> {
    let seeds = &core.config.seeds;
    // A connect may take its whole time-out before the question is even asked.
    let patience = core.config.connect_timeout + PATIENCE;
    let asked = seeds.iter().enumerate();
    let mut asked: FuturesUnordered<_> =
        asked.map(|(place, seed)| async move { (place, seed, ask(core, seed, patience).await) }).collect();
    // In the order of the seeds.
    let mut failures: LiteMap<usize, (&NodeAddr, NoView)> = LiteMap::new();
    while let Some((place, seed, view)) = asked.next().await {
        match view {
            Ok(view) if view.is_doubted() => {
                let sound = async {
                    while let Some((.., other)) = asked.next().await {
                        if let Ok(other) = other
                            && !other.is_doubted()
                        {
                            return Some(other);
                        }
                    }
                    None
                };
                return Ok(timeout(SECOND_OPINION, sound).await.ok().flatten().unwrap_or(view));
            }
            Ok(view) => return Ok(view),
            Err(failure) => drop(failures.insert(place, (seed, failure))),
        }
    }
    let any = |what: fn(&NoView) -> bool| failures.values().any(|(_, failure)| what(failure));
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
    // What several seeds ended with is told once.
    let mut causes: Vec<(String, String)> = Vec::new();
    for (seed, failure) in failures.values() {
        let cause = failure.to_string();
        match causes.iter_mut().find(|(_, other)| *other == cause) {
            Some((seeds, _)) => *seeds = format!("{seeds}, {seed}"),
            None => causes.push((seed.to_string(), cause)),
        }
    }
    let told: Vec<String> = causes.iter().map(|(seeds, cause)| format!("{seeds}: {cause}")).collect();
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
    let mut fruitless = 0;
    let mut last = Instant::now();
    let mut interval = core.config.refresh_interval;
    loop {
        let was_requested = wait_for_a_reason(&core, last + interval).await;
        if last.elapsed() > LONG_GAP * 2 {
            (gap, fruitless) = (FIRST_GAP, 0);
        }
        // At random, so that many clients which see the same failure do not ask at the same moment.
        let spread = SPREAD.mul_f64(fastrand::f64());
        sleep_until((last + gap.mul_f64(0.5 + fastrand::f64() / 2.0)).max(Instant::now() + spread)).await;
        if core.has_ended() {
            return;
        }
        let before = Arc::clone(core.routes().map());
        core.counters.refreshed(core.signal.begin());
        if let Some(view) = best_view(&core).await {
            core.install(view);
            core.signal.finish();
        }
        last = Instant::now();
        let changed = !Arc::ptr_eq(&before, core.routes().map());
        (gap, fruitless) = match changed || !was_requested {
            true => (FIRST_GAP, 0),
            false if fruitless >= FRUITLESS => (LONG_GAP, fruitless),
            false => ((gap * 2).min(LAST_GAP), fruitless + 1),
        };
        let usual = core.config.refresh_interval;
        interval = if changed || was_requested { SETTLING } else { interval.saturating_mul(2) }.min(usual);
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

/// The view to believe of some nodes of the map; of the seeds if those do not answer.
async fn best_view(core: &Core) -> Option<SlotMap> {
    let map = Arc::clone(core.routes().map());
    let healthy = map.nodes().iter().filter(|node| node.health != Health::Failed);
    let mut nodes: Vec<NodeAddr> = healthy.map(|node| node.addr.clone()).collect();
    fastrand::shuffle(&mut nodes);
    if let Some(troubled) = core.signal.take_troubled() {
        // Who gives trouble is asked last. Not who may take its place first: all clients at once would ask that one node.
        if let Some(place) = nodes.iter().position(|node| *node == troubled) {
            nodes.remove(place);
            nodes.push(troubled);
        }
    }
    let mut rest = nodes.as_slice();
    let mut count = ASKED;
    let mut seeds = core.config.seeds.as_slice();
    loop {
        let (group, later) = rest.split_at(count.min(rest.len()));
        rest = later;
        if let Some(view) = opinions(core, &map, group).await {
            return Some(view);
        }
        // Nobody is there: more are asked at once each time, and the seeds too. The whole cluster may have moved to other
        // addresses behind their names.
        let asked = std::mem::take(&mut seeds);
        if let Some(view) = opinions(core, &map, asked).await {
            return Some(view);
        }
        if rest.is_empty() {
            return None;
        }
        count *= 2;
    }
}

async fn opinions(core: &Core, known: &SlotMap, nodes: &[NodeAddr]) -> Option<SlotMap> {
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
    // An address that belongs to another cluster by now does not take all others with it.
    if !views.iter().all(|view| view.is_of_another_cluster(known)) {
        views.retain(|view| !view.is_of_another_cluster(known));
    }
    note_disagreement(core, &views);
    choose(views)
}

/// Asks one node over its shared link.
async fn ask(core: &Core, node: &NodeAddr, patience: Duration) -> Result<SlotMap, NoView> {
    let commands = ["CLUSTER SLOTS", "CLUSTER SHARDS", "CLUSTER INFO", "CLUSTER NODES"].map(Command::new);
    let pool = core.pool_at(node);
    let asking = async {
        let retired = || NoView::Loss(LossCause::Retired);
        let link = pool.any_link().ok_or_else(retired)?;
        let pieces = || commands.iter().map(Piece::Command);
        let length = pieces().map(|piece| piece.wire_length()).sum();
        let deadline = Some(Instant::now() + patience);
        let pending = link
            .send_unit(pieces(), length, Room::NONE, deadline)
            .map_err(|Refusal(cause)| NoView::Loss(cause))?;
        let reply = pending.await;
        if let Some(loss) = reply.loss {
            return Err(NoView::Loss(loss.cause));
        }
        let [slots, shards, info, nodes]: [Value; 4] = reply.values.try_into().map_err(|_| retired())?;
        let replies = TopologyReplies { slots, shards, info, nodes, over_tls: core.config.over_tls };
        read(&replies, node).map_err(NoView::Reply)
    };
    timeout(patience, asking).await.unwrap_or(Err(NoView::Silent))
}
