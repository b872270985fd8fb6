//! `CLIENT TRACKING`: who is told of which keys.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::testkit::sim::keyspace::store::Change;
use crate::testkit::sim::reply::{Reply, Resp};
use crate::testkit::sim::session::{Session, SessionId, Tracking, TrackingMode};
use crate::testkit::sim::view::NodeIndex;
use crate::testkit::sim::world::World;

/// Whom a RESP2 connection is told by.
const CHANNEL: &str = "__redis__:invalidate";

/// Notes that the session has read these keys, if it is to be told of such.
pub(super) fn note_read(world: &mut World, session: &Session, keys: Vec<Bytes>) {
    let notes = |tracking: &Tracking| match tracking.mode {
        TrackingMode::Reads => true,
        TrackingMode::OptIn => tracking.caching,
        TrackingMode::OptOut => !tracking.caching,
        TrackingMode::Prefixes(_) => false,
    };
    if session.tracking.as_ref().is_some_and(notes) {
        let trackers = &mut world.node_mut(session.node).trackers;
        for key in keys {
            trackers.entry(key).or_default().insert(session.id);
        }
    }
}

/// Forgets what the session has read.
pub(super) fn forget(world: &mut World, session: &mut Session) {
    session.tracking = None;
    let node = world.node_mut(session.node);
    node.broadcasts.remove(&session.id);
    node.trackers.retain(|_, sessions| {
        sessions.remove(&session.id);
        !sessions.is_empty()
    });
}

/// Tells clients which of their keys were changed. Who has read a key is told once, until it reads it again; what a
/// connection with `NOLOOP` wrote itself it is not told of, though it is forgotten all the same.
pub(super) fn invalidate(world: &mut World, node: NodeIndex, changes: &[Change], writer: Option<SessionId>) {
    for change in changes {
        let (keys, sessions) = match change {
            Change::Key(key) => {
                let Some(sessions) = world.node_mut(node).trackers.remove(key) else { continue };
                (Reply::Array(vec![Reply::Bulk(key.clone())]), sessions)
            }
            Change::All => {
                world.node_mut(node).trackers.clear();
                // Whether it has read anything or not.
                let is_told = |session: &&Session| session.node == node && session.tracking.is_some();
                let told = world.sessions.values().filter(is_told).map(|session| session.id);
                (Reply::Nil, told.collect())
            }
        };
        for id in sessions {
            if *change == Change::All || Some(id) != writer || !is_noloop(world, id) {
                tell(world, id, &keys);
            }
        }
    }
    let is_old = !world.node(node).profile.since_7_0();
    for (id, keys) in by_prefix(world, node, changes) {
        if Some(id) == writer && is_noloop(world, id) {
            continue;
        }
        let keys = Reply::Array(keys.into_iter().map(Reply::Bulk).collect());
        match world.sessions.get_mut(&id).filter(|_| is_old && Some(id) == writer) {
            // Redis 6.2 tells of own writes before it answers them, but not of those under a prefix.
            Some(own) if own.resp == Resp::Three => own.after.push(invalidation(&keys)),
            _ => tell(world, id, &keys),
        }
    }
}

fn is_noloop(world: &World, id: SessionId) -> bool {
    let tracking = world.sessions.get(&id).and_then(|session| session.tracking.as_ref());
    tracking.is_some_and(|tracking| tracking.noloop)
}

/// What was changed under the prefixes of each session: one message for each prefix.
fn by_prefix(world: &World, node: NodeIndex, changes: &[Change]) -> Vec<(SessionId, BTreeSet<Bytes>)> {
    let mut found = BTreeMap::new();
    for session in world.node(node).broadcasts.iter().filter_map(|id| world.sessions.get(id)) {
        let Some(TrackingMode::Prefixes(prefixes)) = session.tracking.as_ref().map(|tracking| &tracking.mode)
        else {
            continue;
        };
        for change in changes {
            let Change::Key(key) = change else { continue };
            if let Some(prefix) = prefixes.iter().find(|prefix| key.starts_with(prefix)) {
                let of_prefix: &mut BTreeSet<Bytes> = found.entry((session.id, prefix.clone())).or_default();
                of_prefix.insert(key.clone());
            }
        }
    }
    found.into_iter().map(|((id, _), keys)| (id, keys)).collect()
}

/// Tells a session, or whom it has named in its place.
fn tell(world: &mut World, id: SessionId, keys: &Reply) {
    let Some(session) = world.sessions.get_mut(&id) else { return };
    let Some(tracking) = &session.tracking else { return };
    match tracking.redirect {
        None if session.resp == Resp::Three => session.send(&invalidation(keys)),
        None => {}
        Some(other) => match world.sessions.get_mut(&other) {
            Some(target) if target.resp == Resp::Three => target.send(&invalidation(keys)),
            Some(target) if target.is_subscriber() => {
                let message = vec![Reply::bulk("message"), Reply::bulk(CHANNEL), keys.clone()];
                target.send(&Reply::Push(message));
            }
            Some(_) => {}
            None => broken(world, id, other),
        },
    }
}

fn invalidation(keys: &Reply) -> Reply {
    Reply::Push(vec![Reply::bulk("invalidate"), keys.clone()])
}

/// Whom it has named is gone.
fn broken(world: &mut World, id: SessionId, other: SessionId) {
    let number = Reply::Int(i64::try_from(other.0).unwrap_or(i64::MAX));
    if let Some(session) = world.sessions.get_mut(&id).filter(|session| session.resp == Resp::Three) {
        session.send(&Reply::Push(vec![Reply::bulk("tracking-redir-broken"), number]));
    }
}
