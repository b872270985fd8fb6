//! Commands that wait: how they begin to, go on and end.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::testkit::sim::acknowledgement::Acknowledgement;
use crate::testkit::sim::agenda::Event;
use crate::testkit::sim::call::Wait;
use crate::testkit::sim::node::Node;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::session::{Blocked, SessionId};
use crate::testkit::sim::view::NodeIndex;
use crate::testkit::sim::world::World;

/// A replica tells its primary by itself so often how far it is.
const REPORT: Duration = Duration::from_secs(1);

/// The session's command waits from now on. What stands behind it on the connection waits too.
pub(super) fn begin(world: &mut World, id: SessionId, args: Vec<Bytes>, wait: Wait) {
    let keys = wait.keys.clone();
    let blocked = Blocked {
        args: wait.args.unwrap_or(args),
        keys: wait.keys,
        awaits: wait.awaits,
        on_timeout: wait.on_timeout,
        ticket: 0,
        acknowledgement: None,
    };
    let Some((node, _)) = block(world, id, blocked, wait.timeout) else { return };
    let waiting = &mut world.node_mut(node).waiting;
    for key in keys {
        waiting.entry(key).or_default().push_back(id);
    }
}

/// The session's `WAIT` waits from now on.
pub(super) fn begin_to_count(world: &mut World, id: SessionId, args: Vec<Bytes>, wanted: Acknowledgement) {
    let blocked = Blocked {
        args,
        keys: Vec::new(),
        awaits: "",
        on_timeout: Reply::Nil,
        ticket: 0,
        acknowledgement: Some(wanted),
    };
    if let Some((node, ticket)) = block(world, id, blocked, wanted.timeout) {
        let next = next_report(world, node, wanted.offset);
        world.later(next, Event::CountReplicas { session: id, ticket });
    }
}

fn block(
    world: &mut World,
    id: SessionId,
    mut blocked: Blocked,
    timeout: Option<Duration>,
) -> Option<(NodeIndex, u64)> {
    let session = world.sessions.get_mut(&id)?;
    session.tickets += 1;
    let (node, ticket) = (session.node, session.tickets);
    blocked.ticket = ticket;
    session.blocked = Some(blocked);
    if let Some(timeout) = timeout {
        world.later(timeout, Event::Unblock { session: id, ticket });
    }
    Some((node, ticket))
}

/// Takes the session out of all queues; the command that waited.
pub(super) fn end(world: &mut World, id: SessionId) -> Option<Blocked> {
    let session = world.sessions.get_mut(&id)?;
    let blocked = session.blocked.take()?;
    session.wake.notify_one();
    let node = session.node;
    let waiting = &mut world.node_mut(node).waiting;
    for key in &blocked.keys {
        if let Some(queue) = waiting.get_mut(key) {
            queue.retain(|waits| *waits != id);
            if queue.is_empty() {
                waiting.remove(key);
            }
        }
    }
    Some(blocked)
}

/// A command has waited for as long as it may.
pub(super) fn expire(world: &mut World, id: SessionId, ticket: u64) {
    let waits = |blocked: &Blocked| blocked.ticket == ticket;
    if world.sessions.get(&id).is_some_and(|session| session.blocked.as_ref().is_some_and(waits)) {
        give_up(world, id);
    }
}

/// Ends a command that waits as if its time were over; false if none does.
pub(super) fn give_up(world: &mut World, id: SessionId) -> bool {
    let Some(blocked) = end(world, id) else { return false };
    let Some(node) = world.sessions.get(&id).map(|session| session.node) else { return false };
    let reply = match blocked.acknowledgement {
        Some(wanted) => wanted.reply(acknowledged(world, node, wanted.offset)),
        None => blocked.on_timeout,
    };
    if let Some(session) = world.sessions.get_mut(&id) {
        session.send(&reply);
    }
    true
}

/// How many replicas have applied what the node had written at this offset, and can say so.
pub(super) fn acknowledged(world: &mut World, node: NodeIndex, offset: u64) -> usize {
    if world.node(node).is_isolated {
        return 0;
    }
    let replicas = world.refresh_replicas_of(node).into_iter().map(|replica| world.node(replica));
    let has_it = |replica: &&Node| {
        replica.is_on_bus() && replica.view.primary_of(replica.index) == node && replica.offset >= offset
    };
    replicas.filter(has_it).count()
}

/// Looks whether enough replicas have it now; else it looks again when the next may.
pub(super) fn count_replicas(world: &mut World, id: SessionId, ticket: u64) {
    let Some(session) = world.sessions.get(&id) else { return };
    let node = session.node;
    let Some(wanted) = session
        .blocked
        .as_ref()
        .filter(|blocked| blocked.ticket == ticket)
        .and_then(|blocked| blocked.acknowledgement)
    else {
        return;
    };
    let count = acknowledged(world, node, wanted.offset);
    if count < wanted.replicas {
        let next = next_report(world, node, wanted.offset);
        world.later(next, Event::CountReplicas { session: id, ticket });
    } else if end(world, id).is_some()
        && let Some(session) = world.sessions.get_mut(&id)
    {
        session.send(&wanted.reply(count));
    }
}

/// How long until the next replica may have it.
fn next_report(world: &World, node: NodeIndex, offset: u64) -> Duration {
    let now = Instant::now();
    let arrivals = world.node(node).view.replicas_of(node).filter_map(|replica| {
        let pending = &world.node(replica).pending;
        pending
            .iter()
            .find(|pending| pending.offset >= offset && pending.due > now)
            .map(|pending| pending.due)
    });
    arrivals.min().map_or(REPORT, |due| due - now)
}
