//! Nodes come to know each other, follow each other, take each other's places and leave.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::admin::handle::Admin;
use crate::admin::keyspace::keys_held;
use crate::admin::node_line::NodeLine;
use crate::admin::settle::until;
use crate::admin::step::{Failover, Member};
use crate::admin::view::{ClusterView, NodeView};
use crate::command::Command;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::node::NodeAddr;

/// Up to so many nodes each meets each other; of more each meets the first, and gossip does the rest within seconds.
const ALL_PAIRS: usize = 24;

/// After this time gossip alone is not believed to bring nodes together.
const REMIND: Duration = Duration::from_secs(5);

/// Of so many pairs at a time.
const REMINDED: usize = 1000;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// From the port for clients to that of the cluster bus, unless it is said.
const BUS: u32 = 10_000;

/// Within this time all nodes must forget the one that leaves: gossip brings it back to those that forgot it earlier
/// (`cluster-blacklist-ttl`, 60 s, and a fixed time before Valkey 9).
const BAN: Duration = Duration::from_secs(50);

fn timed_out(text: String) -> Error {
    Error::new(ErrorKind::Timeout, Outcome::MaybeExecuted, text)
}

/// Makes the nodes known to each other, and waits until each knows all and has a link to all.
pub(super) async fn meet(admin: &Admin, nodes: &[Member]) -> Result<()> {
    let limit = admin.options().agreement_timeout;
    let deadline = Instant::now() + limit;
    let mut told: Option<Instant> = None;
    loop {
        let views = join_all(nodes.iter().map(|node| admin.node_view(&node.addr))).await;
        let views: Vec<NodeView> = views.into_iter().collect::<Result<_>>()?;
        let missing =
            unacquainted(&views).next().map(|(view, other)| format!("{view} does not know {other} yet"));
        let Some(missing) = missing else { return Ok(()) };
        if Instant::now() >= deadline {
            return Err(timed_out(format!(
                "waited {limit:?} until nodes have met: {missing}. Do they reach each other's ports of the cluster bus?"
            )));
        }
        match told {
            None => introduce(admin, &views).await?,
            Some(at) if at.elapsed() >= REMIND => remind(admin, &views).await?,
            Some(_) => {
                sleep(LOOK).await;
                continue;
            }
        }
        told = Some(Instant::now());
    }
}

/// Who does not know whom, or has no link to it.
fn unacquainted(views: &[NodeView]) -> impl Iterator<Item = (&NodeView, &NodeView)> {
    views.iter().flat_map(move |view| {
        let is_known =
            |line: &&NodeLine| !line.has_flag("handshake") && (line.is_connected || line.is_myself());
        let known: BTreeSet<&str> = view.lines().filter(is_known).map(|line| &*line.id).collect();
        let unknown = views.iter().filter(move |other| !known.contains(&**other.id()));
        unknown.map(move |other| (view, other))
    })
}

async fn introduce(admin: &Admin, views: &[NodeView]) -> Result<()> {
    for (place, view) in views.iter().enumerate() {
        let earlier = if views.len() <= ALL_PAIRS { place } else { place.min(1) };
        for other in views.iter().take(earlier) {
            if view.line_of(other.id()).is_none() || other.line_of(view.id()).is_none() {
                acquaint(admin, view, other).await?;
            }
        }
    }
    Ok(())
}

/// Those that gossip has not brought together are told of each other, each of the other: who has forgotten a node a moment ago
/// does not learn of it by gossip.
async fn remind(admin: &Admin, views: &[NodeView]) -> Result<()> {
    let unheard = unacquainted(views).filter(|(view, other)| view.line_of(other.id()).is_none());
    let some: Vec<(&NodeView, &NodeView)> = unheard.take(REMINDED).collect();
    for (view, other) in some {
        acquaint(admin, view, other).await?;
    }
    Ok(())
}

async fn acquaint(admin: &Admin, view: &NodeView, other: &NodeView) -> Result<()> {
    let addr = ip_of(admin, other).await?;
    let mut meet = Command::new("CLUSTER MEET").arg(addr.host()).arg(addr.port());
    let bus = u32::from(other.myself.bus_port);
    if bus != 0 && bus != u32::from(addr.port()) + BUS {
        meet = meet.arg(other.myself.bus_port);
    }
    admin.peer(&view.addr).order(&meet).await.map(drop)
}

/// `CLUSTER MEET` takes no names.
async fn ip_of(admin: &Admin, node: &NodeView) -> Result<NodeAddr> {
    let addr = admin.announced(&node.addr);
    if addr.host().parse::<IpAddr>().is_ok() {
        return Ok(addr);
    }
    let found = tokio::net::lookup_host((addr.host(), addr.port())).await.map_err(|error| {
        Error::new(
            ErrorKind::Connect,
            Outcome::NotSent,
            "its name cannot be resolved, and CLUSTER MEET takes an IP",
        )
        .with_node(addr.clone())
        .with_source(error)
    })?;
    let found: Vec<NodeAddr> =
        found.map(|socket| NodeAddr::new(socket.ip().to_string(), socket.port())).collect();
    if found.len() > 1 {
        // One may be of IPv6, and the node listen on the other only.
        for candidate in &found {
            if admin.node_view(candidate).await.is_ok_and(|seen| seen.id() == node.id()) {
                return Ok(candidate.clone());
            }
        }
    }
    Ok(found.into_iter().next().unwrap_or(addr))
}

/// Makes a node follow a primary, and waits until it says so itself; the others hear of it a moment later.
pub(super) async fn replicate(admin: &Admin, node: &Member, primary: &Member) -> Result<()> {
    let peer = admin.peer(&node.addr);
    let order = Command::new("CLUSTER REPLICATE").arg(&*primary.id);
    let limit = admin.options().agreement_timeout;
    let deadline = Instant::now() + limit;
    loop {
        // It is not known for how long the two have not met, or heard of each other's roles: refused as often as that.
        let refused = match peer.order(&order).await {
            Ok(_) => None,
            Err(error) if matches!(error.kind(), ErrorKind::Server | ErrorKind::Unavailable) => Some(error),
            Err(error) if error.outcome() == Outcome::MaybeExecuted => None,
            Err(error) => return Err(error),
        };
        let view = admin.node_view(&node.addr).await?;
        if view.myself.primary.as_deref() == Some(&*primary.id) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(refused
                .unwrap_or_else(|| timed_out(format!("waited {limit:?} until {node} follows {primary}"))));
        }
        sleep(LOOK).await;
    }
}

/// A replica takes the place of its primary; waits until all nodes say so.
///
/// Redis lets votes for the same shard rest for twice the node timeout, and says `OK` to a failover that gets none: it is
/// asked for again as long as the options allow, whenever the replica is still one.
pub(super) async fn fail_over(admin: &Admin, node: &Member, manner: Failover) -> Result<()> {
    /// As long as an attempt of the servers takes at most (Redis 6.2: 10 s, others 5 s).
    const ATTEMPT: Duration = Duration::from_secs(11);
    let peer = admin.peer(&node.addr);
    let order = match manner {
        Failover::Graceful => Command::new("CLUSTER FAILOVER"),
        Failover::Force => Command::new("CLUSTER FAILOVER").arg("FORCE"),
        Failover::Takeover => Command::new("CLUSTER FAILOVER").arg("TAKEOVER"),
    };
    let deadline = Instant::now() + admin.options().agreement_timeout.max(ATTEMPT);
    loop {
        let replica = admin.node_view(&node.addr).await?;
        if replica.is_primary() {
            break;
        }
        let is_late = Instant::now() >= deadline;
        // Valkey 9 promotes one that has not got its primary's data yet, and the data is gone.
        if manner == Failover::Graceful && !replica.in_sync {
            if is_late {
                return Err(timed_out(format!(
                    "{node} has not got its primary's data yet (master_link_status), and was not told to take its place: \
                     ask again when it has, or fail over by force if the primary is gone"
                )));
            }
            sleep(LOOK).await;
            continue;
        }
        if is_late {
            return Err(timed_out(format!(
                "{node} was told to take the place of its primary, and did not: it needs the votes of a majority of the \
                 primaries, which rest for twice the node timeout after each (Failover::Takeover does without)"
            )));
        }
        match peer.order(&order).await {
            Err(error) if error.outcome() != Outcome::MaybeExecuted => {
                // It may have been promoted since the look.
                if admin.node_view(&node.addr).await?.is_primary() {
                    break;
                }
                return Err(error);
            }
            _told_or_unknown => {}
        }
        let told = Instant::now();
        while told.elapsed() < ATTEMPT && !admin.node_view(&node.addr).await?.is_primary() {
            sleep(LOOK).await;
        }
    }
    until(admin, "all nodes know of the failover", |view| {
        view.nodes.iter().find_map(|teller| {
            let line = teller.line_of(&node.id)?;
            let knows = line.is_primary() && !line.slots.is_empty();
            (!knows).then(|| format!("{teller} does not know that {node} is a primary with slots"))
        })
    })
    .await
    .map(drop)
}

/// Why a node that is taken for gone cannot be forgotten.
pub(super) fn still_needed(view: &ClusterView, id: &str) -> Option<String> {
    if let Some(node) = view.node(id) {
        return Some(format!(
            "{node} answers, and would go on as if it were in the cluster: del_node() takes it out"
        ));
    }
    if let Some(line) = lines_of(view, id).find(|line| !line.slots.is_empty()) {
        return Some(format!(
            "{} serves slots {}, by the word of the others: let a replica of it take its place (failover, by force), or give \
             them up with their keys (fix, take_from_unreachable)",
            view.name_of(id),
            line.slots
        ));
    }
    let replica = view.replicas_of(id).next()?;
    Some(format!("{replica} replicates {}; give it another primary first", view.name_of(id)))
}

/// All others forget a node that is gone. It may have come back, or got slots, since that was planned.
pub(super) async fn forget_lost(admin: &Admin, id: &str) -> Result<()> {
    match still_needed(&admin.view().await?, id) {
        Some(needed) => Err(Error::usage(needed)),
        None => forget(admin, id, None).await,
    }
}

/// All others forget the node with this id, within the time for which they do not learn of it again.
async fn forget(admin: &Admin, id: &str, leaving: Option<&Member>) -> Result<()> {
    let order = Command::new("CLUSTER FORGET").arg(id);
    let deadline = Instant::now() + BAN;
    loop {
        let view = admin.view().await?;
        let knowing: Vec<&NodeView> =
            view.nodes.iter().filter(|node| &**node.id() != id && node.line_of(id).is_some()).collect();
        if knowing.is_empty() {
            if let Some(unreachable) = view.unreachable.iter().find(|lost| lost.id.as_deref() != Some(id)) {
                let which =
                    unreachable.addr.as_ref().map_or_else(|| "a node".to_owned(), ToString::to_string);
                return Err(timed_out(format!(
                    "all nodes that answer have forgotten {id}, but {which} does not answer and will bring it back"
                )));
            }
            return Ok(());
        }
        let told = join_all(knowing.iter().map(|node| {
            let peer = admin.peer(&node.addr);
            let order = order.clone();
            async move { peer.order(&order).await }
        }));
        let refused = told.await.into_iter().find_map(|told| {
            told.err().filter(|error| {
                // From 7.2 on the others tell each other.
                !error.to_string().contains("Unknown node")
            })
        });
        if Instant::now() >= deadline {
            let who = leaving.map_or_else(|| id.to_owned(), ToString::to_string);
            return Err(refused.unwrap_or_else(|| timed_out(format!("not all nodes have forgotten {who}"))));
        }
        sleep(LOOK).await;
    }
}

/// A node without slots leaves.
pub(super) async fn remove(admin: &Admin, node: &Member) -> Result<()> {
    let view = admin.view().await?;
    // Asked itself: if this was begun before, nobody else may know it any more.
    let seen = admin.node_view(&node.addr).await.ok().filter(|seen| *seen.id() == node.id);
    if let Some(leaving) = &seen {
        if !leaving.myself.slots.is_empty() {
            return Err(Error::usage(format!(
                "{leaving} still serves slots {}; plan again",
                leaving.myself.slots
            )));
        }
        let keys = if leaving.is_primary() { keys_held(admin, &node.addr).await? } else { 0 };
        if keys > 0 {
            return Err(Error::usage(format!(
                "{leaving} serves no slot and holds {keys} keys, which would be lost: fix() brings them home"
            )));
        }
    } else if let Some(line) = lines_of(&view, &node.id).find(|line| !line.slots.is_empty()) {
        return Err(Error::usage(format!(
            "{node} does not answer any more and serves slots {}, by the word of the others; plan again",
            line.slots
        )));
    }
    let orphans: Vec<Member> = view.replicas_of(&node.id).map(Member::from).collect();
    for (replica, primary) in orphans.iter().zip(neediest(&view, &node.id, orphans.len())) {
        replicate(admin, replica, &primary).await?;
    }
    let stay = view.nodes.iter().filter(|other| **other.id() != *node.id).map(|other| other.addr.clone());
    admin.found_by(stay);
    if !orphans.is_empty() {
        // Who still takes it for the primary of one refuses to forget it.
        until(admin, "its replicas follow others", |view| {
            let mut lines = view.nodes.iter().flat_map(NodeView::lines);
            lines
                .find(|line| line.primary.as_deref() == Some(&*node.id))
                .map(|line| format!("somebody takes {node} for the primary of {}", view.name_of(&line.id)))
        })
        .await?;
    }
    forget(admin, &node.id, Some(node)).await?;
    match seen {
        Some(_) => admin.peer(&node.addr).order(&Command::new("CLUSTER RESET").arg("SOFT")).await.map(drop),
        None => Err(timed_out(format!(
            "all others have forgotten {node}, which does not answer any more and does not know it: ask for its removal again \
             when it does"
        ))),
    }
}

fn lines_of<'a>(view: &'a ClusterView, id: &'a str) -> impl Iterator<Item = &'a NodeLine> {
    view.nodes.iter().filter_map(move |node| node.line_of(id))
}

/// Primaries with slots for so many replicas, each time the one that has the fewest. `but` is whom they are chosen for or
/// from: it is not counted, and of primaries that need a replica as much comes first the one that it follows already.
pub(super) fn neediest(view: &ClusterView, but: &str, count: usize) -> Vec<Member> {
    let replicas_of = |id| view.replicas_of(id).filter(|replica| **replica.id() != *but).count();
    let mut replicas: BTreeMap<Member, usize> = view
        .primaries()
        .filter(|node| &**node.id() != but && !node.myself.slots.is_empty())
        .map(|node| (node.into(), replicas_of(node.id())))
        .collect();
    let followed = view.node(but).and_then(|node| node.myself.primary.clone());
    let mut chosen = Vec::new();
    for _ in 0..count {
        let need = |(member, has): &(&Member, &mut usize)| (**has, Some(&member.id) != followed.as_ref());
        let Some((member, has)) = replicas.iter_mut().min_by_key(need) else { break };
        *has += 1;
        chosen.push(member.clone());
    }
    chosen
}
