//! Pub/sub, classic and sharded.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::testkit::sim::call::{Answered, Call, reply};
use crate::testkit::sim::channels;
use crate::testkit::sim::glob;
use crate::testkit::sim::message::Message;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::session::Session;
use crate::testkit::sim::spec::{Keys, Since, Spec};

const FLAGS: &str = "pubsub noscript loading stale";
const ASKS: &str = "pubsub loading stale";

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::world("subscribe", -2, FLAGS, Keys::None, subscribe),
    Spec::world("unsubscribe", -1, FLAGS, Keys::None, unsubscribe),
    Spec::world("psubscribe", -2, FLAGS, Keys::None, psubscribe),
    Spec::world("punsubscribe", -1, FLAGS, Keys::None, punsubscribe),
    Spec::world("publish", 3, "pubsub loading stale fast may_replicate", Keys::None, publish),
    // Channels have slots as keys have.
    Spec::world("ssubscribe", -2, FLAGS, Keys::ALL, ssubscribe).since(Since::Redis70),
    Spec::world("sunsubscribe", -1, FLAGS, Keys::ALL, sunsubscribe).since(Since::Redis70),
    Spec::world("spublish", 3, "pubsub loading stale fast", Keys::FIRST, spublish).since(Since::Redis70),
    Spec::world("pubsub|channels", -2, ASKS, Keys::None, list_channels),
    Spec::world("pubsub|numsub", -2, ASKS, Keys::None, count_channels),
    Spec::world("pubsub|numpat", 2, ASKS, Keys::None, count_patterns),
    Spec::world("pubsub|shardchannels", -2, ASKS, Keys::None, list_shard_channels).since(Since::Redis70),
    Spec::world("pubsub|shardnumsub", -2, ASKS, Keys::None, count_shard_channels).since(Since::Redis70),
];

/// What one can subscribe to.
#[derive(Clone, Copy)]
enum Kind {
    Channel,
    Pattern,
    ShardChannel,
}

impl Kind {
    fn of(self, session: &Session) -> &BTreeSet<Bytes> {
        match self {
            Self::Channel => &session.channels,
            Self::Pattern => &session.patterns,
            Self::ShardChannel => &session.shard_channels,
        }
    }

    fn of_mut(self, session: &mut Session) -> &mut BTreeSet<Bytes> {
        match self {
            Self::Channel => &mut session.channels,
            Self::Pattern => &mut session.patterns,
            Self::ShardChannel => &mut session.shard_channels,
        }
    }

    /// The number in a confirmation: channels and patterns count together.
    fn count(self, session: &Session) -> Reply {
        Reply::int(match self {
            Self::Channel | Self::Pattern => session.subscriptions(),
            Self::ShardChannel => session.shard_channels.len(),
        })
    }
}

/// One confirmation for each.
fn begin(call: &mut Call<'_>, kind: Kind, verb: &str) -> Answered {
    let mut frames = Vec::new();
    for name in call.rest(1) {
        kind.of_mut(call.session).insert(name.clone());
        let count = kind.count(call.session);
        frames.push(Reply::Push(vec![Reply::bulk(verb), Reply::Bulk(name.clone()), count]));
    }
    reply(Reply::Several(frames))
}

/// One confirmation for each, and one if there was nothing to end.
fn end(call: &mut Call<'_>, kind: Kind, verb: &str) -> Answered {
    let all = kind.of(call.session).iter().cloned();
    let names: Vec<Bytes> = if call.args.len() > 1 { call.rest(1).to_vec() } else { all.collect() };
    let mut frames = Vec::new();
    for name in names {
        kind.of_mut(call.session).remove(&name);
        frames.push(Reply::Push(vec![Reply::bulk(verb), Reply::Bulk(name), kind.count(call.session)]));
    }
    if frames.is_empty() {
        frames.push(Reply::Push(vec![Reply::bulk(verb), Reply::Nil, kind.count(call.session)]));
    }
    reply(Reply::Several(frames))
}

fn subscribe(call: &mut Call<'_>) -> Answered {
    begin(call, Kind::Channel, "subscribe")
}

fn psubscribe(call: &mut Call<'_>) -> Answered {
    begin(call, Kind::Pattern, "psubscribe")
}

fn ssubscribe(call: &mut Call<'_>) -> Answered {
    if call.session.in_exec {
        return Err(Refused::new("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    begin(call, Kind::ShardChannel, "ssubscribe")
}

fn unsubscribe(call: &mut Call<'_>) -> Answered {
    end(call, Kind::Channel, "unsubscribe")
}

fn punsubscribe(call: &mut Call<'_>) -> Answered {
    end(call, Kind::Pattern, "punsubscribe")
}

fn sunsubscribe(call: &mut Call<'_>) -> Answered {
    end(call, Kind::ShardChannel, "sunsubscribe")
}

fn publish(call: &mut Call<'_>) -> Answered {
    send(call, false)
}

fn spublish(call: &mut Call<'_>) -> Answered {
    send(call, true)
}

fn send(call: &mut Call<'_>, is_sharded: bool) -> Answered {
    let message = Message { channel: call.arg(1), payload: call.arg(2), is_sharded };
    let others = channels::deliver(call.world, call.node, &message);
    let mut own = channels::frames(call.session, &message);
    channels::broadcast(call.world, call.node, &message);
    let count = Reply::int(others + own.len());
    // Up to Redis 7.0 its own message comes before the reply, since then behind it.
    if call.profile().since_7_2() {
        call.session.after.append(&mut own);
        reply(count)
    } else {
        own.push(count);
        reply(Reply::Several(own))
    }
}

/// All sessions of the node with what they are subscribed to, the own one too.
fn subscribed<'a>(call: &'a Call<'_>, kind: Kind) -> impl Iterator<Item = &'a Bytes> {
    let here = call.world.sessions.values().filter(|session| session.node == call.node);
    here.chain([&*call.session]).flat_map(move |session| kind.of(session))
}

fn list(call: &Call<'_>, kind: Kind) -> Answered {
    let matches: Box<dyn Fn(&&Bytes) -> bool> = match call.rest(2) {
        [] => Box::new(|_| true),
        [pattern] => Box::new(|channel| glob::matches(pattern, channel)),
        _ => return Err(Refused::wrong_subcommand("PUBSUB", &call.arg(1), call.profile())),
    };
    let found: BTreeSet<&Bytes> = subscribed(call, kind).filter(matches).collect();
    reply(Reply::Array(found.into_iter().cloned().map(Reply::Bulk).collect()))
}

/// Each channel that was asked about, with its number of subscribers: a flat list in either protocol.
fn count(call: &Call<'_>, kind: Kind) -> Answered {
    let mut counts: BTreeMap<&Bytes, usize> = BTreeMap::new();
    for channel in subscribed(call, kind) {
        *counts.entry(channel).or_default() += 1;
    }
    let pairs = call.rest(2).iter().flat_map(|channel| {
        [Reply::Bulk(channel.clone()), Reply::int(counts.get(channel).copied().unwrap_or_default())]
    });
    reply(Reply::Array(pairs.collect()))
}

fn list_channels(call: &mut Call<'_>) -> Answered {
    list(call, Kind::Channel)
}

fn list_shard_channels(call: &mut Call<'_>) -> Answered {
    list(call, Kind::ShardChannel)
}

fn count_channels(call: &mut Call<'_>) -> Answered {
    count(call, Kind::Channel)
}

fn count_shard_channels(call: &mut Call<'_>) -> Answered {
    count(call, Kind::ShardChannel)
}

fn count_patterns(call: &mut Call<'_>) -> Answered {
    let patterns: BTreeSet<&Bytes> = subscribed(call, Kind::Pattern).collect();
    reply(Reply::int(patterns.len()))
}
