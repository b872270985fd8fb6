//! Pub/sub: who gets which message, on which nodes.

use bytes::Bytes;

use crate::slot::Slot;
use crate::testkit::sim::agenda::Event;
use crate::testkit::sim::glob;
use crate::testkit::sim::message::Message;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::session::{Session, SessionId};
use crate::testkit::sim::view::NodeIndex;
use crate::testkit::sim::world::World;

/// What one connection gets of a message.
pub(super) fn frames(session: &Session, message: &Message) -> Vec<Reply> {
    let Message { channel, payload, is_sharded } = message;
    let frame = |kind: &str, names: &[&Bytes]| {
        let names = names.iter().map(|name| Reply::Bulk(Bytes::clone(name)));
        Reply::Push(
            [Reply::bulk(kind)].into_iter().chain(names).chain([Reply::Bulk(payload.clone())]).collect(),
        )
    };
    let mut frames = Vec::new();
    if *is_sharded {
        if session.shard_channels.contains(channel) {
            frames.push(frame("smessage", &[channel]));
        }
        return frames;
    }
    if session.channels.contains(channel) {
        frames.push(frame("message", &[channel]));
    }
    let matching = session.patterns.iter().filter(|pattern| glob::matches(pattern, channel));
    frames.extend(matching.map(|pattern| frame("pmessage", &[pattern, channel])));
    frames
}

/// Gives a message to all subscribers of the node that are in `world.sessions`; how many times that is.
pub(super) fn deliver(world: &mut World, node: NodeIndex, message: &Message) -> usize {
    let mut count = 0;
    for session in world.sessions.values_mut().filter(|session| session.node == node) {
        for frame in frames(session, message) {
            session.send(&frame);
            count += 1;
        }
    }
    count
}

/// A message that was published elsewhere has come over the bus.
pub(super) fn arrive(world: &mut World, node: NodeIndex, message: &Message) {
    if world.node(node).is_on_bus() {
        deliver(world, node, message);
    }
}

/// Sends a message over the bus: to all nodes that this one knows, or to those of its shard.
pub(super) fn broadcast(world: &mut World, from: NodeIndex, message: &Message) {
    if !world.node(from).is_on_bus() {
        return;
    }
    let view = &world.node(from).view;
    let is_meant = |other: &NodeIndex| {
        *other != from && (!message.is_sharded || view.primary_of(*other) == view.primary_of(from))
    };
    let others: Vec<NodeIndex> = view.members().keys().copied().filter(is_meant).collect();
    let delay = world.settings.gossip_delay;
    for node in others {
        world.later(delay, Event::Deliver { node, message: message.clone() });
    }
}

/// The node serves these slots no more: its subscribers of their shard channels are told so, and are none any more.
pub(super) fn drop_shard_channels(world: &mut World, node: NodeIndex, is_lost: impl Fn(Slot) -> bool) {
    let sessions: Vec<SessionId> = world.sessions_of(node);
    for id in sessions {
        let Some(session) = world.sessions.get_mut(&id) else { continue };
        let lost: Vec<Bytes> =
            session.shard_channels.iter().filter(|channel| is_lost(Slot::of_key(channel))).cloned().collect();
        for channel in lost {
            session.shard_channels.remove(&channel);
            let rest = Reply::int(session.shard_channels.len());
            session.send(&Reply::Push(vec![Reply::bulk("sunsubscribe"), Reply::Bulk(channel), rest]));
        }
    }
}
