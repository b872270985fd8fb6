//! The lines of `CLIENT LIST` and `CLIENT INFO`.

use std::fmt::Write;

use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::session::{Session, TrackingMode};
use crate::testkit::sim::world::World;

/// The lines of all connections to the node that are listed. `itself` is out of `world.sessions`, as in every command.
pub(super) fn lines(itself: &Session, world: &World, is_listed: impl Fn(&Session) -> bool) -> String {
    let others = world.sessions.values().filter(|session| session.node == itself.node);
    let mut sessions: Vec<&Session> = others.chain([itself]).filter(|session| is_listed(session)).collect();
    sessions.sort_by_key(|session| session.id);
    sessions.into_iter().map(|session| line(session, world)).collect()
}

/// One line, with its end. What the simulation has no figures for is as of a quiet connection.
pub(super) fn line(session: &Session, world: &World) -> String {
    let node = world.node(session.node);
    let profile = node.profile;
    let mut line = String::new();
    let mut add = |name: &str, value: &dyn std::fmt::Display| {
        if !line.is_empty() {
            line.push(' ');
        }
        // A string takes everything.
        _ = write!(line, "{name}={value}");
    };
    let name = String::from_utf8_lossy(&session.name);
    let multi = session
        .transaction
        .as_ref()
        .map_or(-1, |transaction| i64::try_from(transaction.queued.len()).unwrap_or(i64::MAX));
    let age = session.opened.elapsed().as_secs();
    add("id", &session.id.0);
    add("addr", &session.peer());
    add("laddr", &node.addr);
    add("fd", &(session.id.0 + 8));
    add("name", &name);
    add("age", &age);
    add("idle", &0);
    add("flags", &flags(session));
    if profile.is_valkey() {
        add("capa", &if session.can_redirect { "r" } else { "" });
    }
    add("db", &0);
    add("sub", &session.channels.len());
    add("psub", &session.patterns.len());
    if profile.since_7_0() {
        add("ssub", &session.shard_channels.len());
    }
    add("multi", &multi);
    if profile.since_7_2() {
        add("watch", &session.watched.len());
    }
    add("qbuf", &0);
    add("qbuf-free", &0);
    add("argv-mem", &0);
    if profile.since_7_0() {
        add("multi-mem", &0);
        add("rbs", &1024);
        add("rbp", &0);
    }
    add("obl", &0);
    add("oll", &session.outbox.len());
    add("omem", &0);
    add("tot-mem", &2048);
    add("events", &"r");
    add("cmd", &session.last_command);
    add("user", &session.user.as_deref().unwrap_or("default"));
    let redirect = session.tracking.as_ref().map(|tracking| tracking.redirect.map_or(0, |to| to.0));
    add("redir", &redirect.map_or_else(|| "-1".to_owned(), |to| to.to_string()));
    if profile.since_7_0() {
        add("resp", &(if session.resp == crate::testkit::sim::reply::Resp::Three { 3 } else { 2 }));
    }
    if profile.since_7_2() {
        add("lib-name", &String::from_utf8_lossy(&session.library.0));
        add("lib-ver", &String::from_utf8_lossy(&session.library.1));
        if matches!(profile, Profile::Redis82 | Profile::Redis84) {
            add("io-thread", &0);
        }
        add("tot-net-in", &0);
        add("tot-net-out", &0);
        add("tot-cmds", &0);
    }
    line.push('\n');
    line
}

fn flags(session: &Session) -> String {
    let is_broadcast =
        session.tracking.as_ref().is_some_and(|tracking| matches!(tracking.mode, TrackingMode::Prefixes(_)));
    let flags: String = [
        (session.is_subscriber(), 'P'),
        (session.transaction.is_some() || session.in_exec, 'x'),
        (session.blocked.is_some(), 'b'),
        (session.tracking.is_some(), 't'),
        (is_broadcast, 'B'),
        (session.is_tripped, 'd'),
        (session.readonly, 'r'),
        (session.no_evict, 'e'),
        (session.no_touch, 'T'),
    ]
    .into_iter()
    .filter_map(|(is, flag)| is.then_some(flag))
    .collect();
    if flags.is_empty() { "N".to_owned() } else { flags }
}
