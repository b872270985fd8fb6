//! One command's way through a node: looked up, admitted, queued or executed, noted, and told to whom it concerns.

use bytes::Bytes;
use tokio::time::Instant;

use crate::testkit::sim::admission;
use crate::testkit::sim::agenda::Event;
use crate::testkit::sim::alarms;
use crate::testkit::sim::blocking;
use crate::testkit::sim::call::{Answer, Answered, Call, DataCall, reply};
use crate::testkit::sim::fault::{FaultKind, Stage};
use crate::testkit::sim::introspection;
use crate::testkit::sim::keyspace::store::Change;
use crate::testkit::sim::ownership;
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::{Reply, Resp};
use crate::testkit::sim::session::{Answering, Intake, Session, SessionId};
use crate::testkit::sim::spec::{Builtin, Run, Spec};
use crate::testkit::sim::table::{self, Found};
use crate::testkit::sim::tracking;
use crate::testkit::sim::view::NodeIndex;
use crate::testkit::sim::world::World;

/// Takes up one command of a connection. It is given back if its time has not come yet.
pub(super) fn take_up(world: &mut World, id: SessionId, args: Vec<Bytes>) -> Result<(), Vec<Bytes>> {
    let Some(session) = world.sessions.get_mut(&id) else { return Ok(()) };
    let node = session.node;
    if !std::mem::take(&mut session.was_held) {
        count(world, node, &args);
        let struck = world.strike(node, Some(id), &args, Stage::Arrival);
        if let (Some(FaultKind::Delay(delay)), Some(session)) = (struck, world.sessions.get_mut(&id)) {
            session.was_held = true;
            session.held_until = Some(Instant::now() + delay);
            world.later(delay, Event::Wake { session: id });
            return Err(args);
        }
    }
    if is_paused(world, id, &args) {
        if let Some(session) = world.sessions.get_mut(&id) {
            session.was_held = true;
        }
        return Err(args);
    }
    if strikes_before(world, node, id, &args) {
        return Ok(());
    }
    if tells_topology(&args) {
        world.node_mut(node).stale_view = world.stale_view(node, id, &args);
    }
    let answered = execute(world, id, &args);
    world.node_mut(node).stale_view = None;
    let tells_first = tells_before_answer(world.node(node).profile, &args);
    if tells_first {
        settle(world, node, Some(id));
    }
    if let Some(answered) = answered {
        answer(world, node, id, &args, &answered);
    }
    if let Some(session) = world.sessions.get_mut(&id) {
        for message in std::mem::take(&mut session.after) {
            session.send(&message);
        }
        if session.closes {
            session.close();
        }
    }
    if !tells_first {
        settle(world, node, Some(id));
    }
    settle_others(world);
    world.expect(node);
    alarms::set(world, node);
    world.activity.notify_waiters();
    Ok(())
}

/// Redis 6.2 tells a connection of its own writes before it answers them, Redis 8.2 if it has removed all keys.
fn tells_before_answer(profile: Profile, args: &[Bytes]) -> bool {
    let is = |word: &[u8]| args.first().is_some_and(|name| name.eq_ignore_ascii_case(word));
    match profile {
        Profile::Redis62 => true,
        Profile::Redis82 | Profile::Redis84 => is(b"flushall") || is(b"flushdb"),
        Profile::Redis70 | Profile::Valkey81 | Profile::Valkey91 => false,
    }
}

/// Whether [`FaultKind::StaleTopology`] concerns it.
fn tells_topology(args: &[Bytes]) -> bool {
    let Some([container, subcommand]) = args.first_chunk() else { return false };
    let is_one_of =
        |names: &[&str]| names.iter().any(|name| subcommand.eq_ignore_ascii_case(name.as_bytes()));
    container.eq_ignore_ascii_case(b"cluster") && is_one_of(&["slots", "shards", "nodes", "info"])
}

fn count(world: &mut World, node: NodeIndex, args: &[Bytes]) {
    let profile = world.node(node).profile;
    let name = match table::find(args, profile) {
        Found::Command(spec) => spec.name.replace('|', " ").to_ascii_uppercase(),
        Found::NoSubcommand(_) | Found::Incomplete(_) | Found::Nothing => {
            String::from_utf8_lossy(args.first().map(Bytes::as_ref).unwrap_or_default()).to_ascii_uppercase()
        }
    };
    *world.node_mut(node).received.entry(name).or_default() += 1;
}

/// Whether the command must wait for the end of a manual failover, or of `CLIENT PAUSE`.
fn is_paused(world: &World, id: SessionId, args: &[Bytes]) -> bool {
    let Some(session) = world.sessions.get(&id) else { return false };
    let node = world.node(session.node);
    let pause = node.client_pause.filter(|pause| pause.until > Instant::now());
    if !node.is_paused && pause.is_none() {
        return false;
    }
    let changes = |args: &[Bytes]| {
        let found = table::find(args, node.profile);
        matches!(found, Found::Command(spec) if spec.has_effect())
    };
    let is_exec = args.first().is_some_and(|name| name.eq_ignore_ascii_case(b"exec"));
    let would_change = match &session.transaction {
        None => changes(args),
        Some(transaction) => is_exec && transaction.queued.iter().any(|args| changes(args)),
    };
    would_change || pause.is_some_and(|pause| !pause.only_writes)
}

/// Faults that come before the command takes effect; true if it shall not.
fn strikes_before(world: &mut World, node: NodeIndex, id: SessionId, args: &[Bytes]) -> bool {
    let struck = world.strike(node, Some(id), args, Stage::Effect);
    match (struck, world.sessions.get_mut(&id)) {
        (Some(FaultKind::CloseBefore), Some(session)) => session.close(),
        (Some(FaultKind::Error(text)), Some(session)) => {
            let ends = args.first().is_some_and(|name| name.eq_ignore_ascii_case(b"exec"));
            session.transaction.take_if(|_| ends);
            // As any command that cannot be queued.
            session.transaction.iter_mut().for_each(|transaction| transaction.is_broken = true);
            session.send(&Reply::error(text));
        }
        (Some(FaultKind::Silence), Some(session)) => session.intake = Intake::Never,
        (Some(FaultKind::SlowReader(bytes)), Some(session)) => {
            session.intake = Intake::Slow(bytes);
            return false;
        }
        _ => return false,
    }
    true
}

/// Sends the reply, as faults leave it.
fn answer(world: &mut World, node: NodeIndex, id: SessionId, args: &[Bytes], reply: &Reply) {
    let struck = world.strike(node, Some(id), args, Stage::Answer);
    let Some(session) = world.sessions.get_mut(&id) else { return };
    let is_silent = !matches!(session.answering, Answering::On);
    if session.answering == Answering::Skip {
        session.answering = Answering::On;
    } else if session.answering == Answering::SkipNext {
        session.answering = Answering::Skip;
    }
    let bytes = if is_silent { Bytes::new() } else { session.encoded(reply) };
    match struck {
        // What was answered before still arrives, as from a server whose process ends.
        Some(FaultKind::CloseAfter) => session.close(),
        Some(FaultKind::Truncate(length)) => {
            session.send_bytes(bytes.slice(..length.min(bytes.len())), None);
            session.close();
        }
        Some(FaultKind::LoseReply) => {}
        Some(FaultKind::DuplicateReply) => {
            session.send_bytes(bytes.clone(), None);
            session.send_bytes(bytes, None);
        }
        Some(FaultKind::DelayReply(delay)) => {
            session.send_bytes(bytes, Some(Instant::now() + delay));
            world.later(delay, Event::Wake { session: id });
        }
        _ => session.send_bytes(bytes, None),
    }
}

/// Executes a command for the test itself: not over a connection of the network, untouched by faults, and not counted.
pub(super) fn ask(world: &mut World, node: NodeIndex, args: &[Bytes]) -> Reply {
    let id = world.open(node);
    if let Some(session) = world.sessions.get_mut(&id) {
        session.resp = Resp::Three;
        session.user = Some("default".to_owned());
    }
    let reply = execute(world, id, args);
    settle(world, node, None);
    settle_others(world);
    let waited = blocking::end(world, id);
    world.close(id);
    reply.or(waited.map(|blocked| blocked.on_timeout)).unwrap_or(Reply::Nil)
}

/// Executes a command on behalf of a connection; no reply if it waits.
fn execute(world: &mut World, id: SessionId, args: &[Bytes]) -> Option<Reply> {
    let node = world.sessions.get(&id)?.node;
    world.refresh(node);
    // What came from the primary before concerns this connection too.
    settle_others(world);
    let mut session = world.sessions.remove(&id)?;
    let answered = process(world, &mut session, node, args);
    let is = |word: &[u8]| args.first().is_some_and(|name| name.eq_ignore_ascii_case(word));
    if session.transaction.is_none() && !is(b"asking") {
        session.asking = false;
    }
    if session.transaction.is_none() && !is(b"client") {
        session.tracking.iter_mut().for_each(|tracking| tracking.caching = false);
    }
    if world.node(node).keys.has_changes() {
        session.last_write = world.node(node).offset + 1;
    }
    world.sessions.insert(id, session);
    match answered {
        Ok(Answer::Reply(reply)) => Some(reply),
        Ok(Answer::Wait(wait)) => {
            blocking::begin(world, id, args.to_vec(), wait);
            None
        }
        Ok(Answer::Acknowledge(wanted)) => {
            blocking::begin_to_count(world, id, args.to_vec(), wanted);
            None
        }
        Err(refused) => Some(Reply::Error(refused.0)),
    }
}

fn process(world: &mut World, session: &mut Session, node: NodeIndex, args: &[Bytes]) -> Answered {
    let profile = world.node(node).profile;
    let admitted = admit(world, session, node, args);
    let spec = match admitted {
        Ok(spec) => spec,
        // `EXEC` itself may be refused: there is nothing left to be executed then.
        Err(refused) if matches!(table::find(args, profile), Found::Command(spec) if spec.name == "exec") => {
            world.discard(session);
            let why = refused.0.strip_prefix("ERR ").unwrap_or(&refused.0);
            return Err(Refused::new(format!("EXECABORT Transaction discarded because of: {why}")));
        }
        Err(refused) => {
            session.transaction.iter_mut().for_each(|transaction| transaction.is_broken = true);
            return Err(refused);
        }
    };
    session.last_command = if profile.since_7_0() { spec.name } else { first_word(spec.name) };
    if let Some(transaction) = &mut session.transaction
        && !runs_within_transaction(spec)
    {
        transaction.queued.push(args.to_vec());
        return reply(Reply::Simple("QUEUED".into()));
    }
    run(world, session, node, spec, args, None)
}

/// The command, if the connection may send it now.
fn admit(
    world: &World,
    session: &Session,
    node: NodeIndex,
    args: &[Bytes],
) -> Result<&'static Spec, Refused> {
    let profile = world.node(node).profile;
    let spec = introspection::look_up(args, profile)
        .map_err(|refused| admission::of_unknown(world, session, args, refused))?;
    if session.transaction.is_some()
        && spec.is("no_multi")
        && let Some(text) = profile.nested_in_transaction(spec.name)
    {
        return Err(Refused::new(text));
    }
    admission::check(world, node, session, spec, args)?;
    ownership::admit(world, node, session, spec, args)?;
    admission::check_subscriber(session, spec, profile)?;
    Ok(spec)
}

fn first_word(name: &'static str) -> &'static str {
    name.split('|').next().unwrap_or(name)
}

/// What is not queued.
fn runs_within_transaction(spec: &Spec) -> bool {
    matches!(spec.name, "multi" | "exec" | "discard" | "watch" | "quit" | "reset")
}

/// Executes a command. `ready` is the key whose change is why one that waited is called again.
fn run(
    world: &mut World,
    session: &mut Session,
    node: NodeIndex,
    spec: &Spec,
    args: &[Bytes],
    ready: Option<&Bytes>,
) -> Answered {
    let before = world.node(node).keys.noted();
    let answered = match spec.run {
        Run::Data(function) => {
            let World { nodes, rng, .. } = world;
            let Some(node) = nodes.get_mut(node.0) else { return Err(Refused::new("ERR no such node")) };
            let (profile, scans_from) = (node.profile, node.scans_from());
            function(&mut DataCall { args, keys: &mut node.keys, profile, rng, scans_from, ready })
        }
        Run::World(function) => function(&mut Call { args, session, node, world }),
        Run::Dispatcher(builtin) => match builtin {
            Builtin::Exec => exec(world, session, node),
            Builtin::Command => introspection::command(args, world.node(node).profile),
        },
    };
    if let Ok(Answer::Reply(reply)) = &answered
        && !reply.is_error()
        && (spec.has_effect() || spec.is("readonly"))
    {
        let changed = world.node(node).keys.noted() > before;
        world.note_effect(node, session.id, args, changed);
        if session.tracking.is_some() && spec.is("readonly") {
            tracking::note_read(world, session, spec.keys.of(args));
        }
    }
    answered
}

fn exec(world: &mut World, session: &mut Session, node: NodeIndex) -> Answered {
    let Some(transaction) = session.transaction.take() else {
        return Err(Refused::new("ERR EXEC without MULTI"));
    };
    let is_tripped = session.is_tripped;
    world.unwatch(session);
    let profile = world.node(node).profile;
    let commands: Vec<(&Spec, &[Bytes])> = transaction
        .queued
        .iter()
        .filter_map(|args| introspection::look_up(args, profile).ok().map(|spec| (spec, args.as_slice())))
        .collect();
    ownership::check(world, node, session, &commands)?;
    if transaction.is_broken {
        return Err(Refused::new("EXECABORT Transaction discarded because of previous errors."));
    }
    if is_tripped {
        return reply(Reply::NilArray);
    }
    let mut replies = Vec::with_capacity(commands.len());
    session.in_exec = true;
    for (spec, args) in commands {
        replies.push(match run(world, session, node, spec, args, None) {
            Ok(Answer::Reply(reply)) => reply,
            Ok(Answer::Wait(wait)) => wait.at_once,
            Ok(Answer::Acknowledge(wanted)) => {
                wanted.reply(blocking::acknowledged(world, node, wanted.offset))
            }
            Err(refused) => Reply::Error(refused.0),
        });
    }
    session.in_exec = false;
    reply(Reply::Array(replies))
}

/// Tells everyone whom the changes concern, until nothing changes any more: replicas, watchers, tracking and waiting
/// connections. `writer` is who made them, if it was a connection.
pub(super) fn settle(world: &mut World, node: NodeIndex, writer: Option<SessionId>) {
    loop {
        let changes = world.node_mut(node).keys.take_changes();
        if changes.is_empty() {
            return;
        }
        if world.node(node).is_primary() {
            world.replicate(node, &changes);
        }
        for id in World::interested(&world.node(node).watchers, &changes) {
            if let Some(session) = world.sessions.get_mut(&id) {
                session.is_tripped = true;
            }
        }
        tracking::invalidate(world, node, &changes, writer);
        for change in changes {
            if let Change::Key(key) = change {
                serve_waiting(world, node, &key);
            }
        }
    }
}

/// Does the same for nodes whose data was changed from elsewhere.
pub(super) fn settle_others(world: &mut World) {
    while let Some(node) = world.unsettled.pop_first() {
        settle(world, node, None);
    }
}

/// Runs the commands that wait for this key, in the order of their coming.
fn serve_waiting(world: &mut World, node: NodeIndex, key: &Bytes) {
    let waiting: Vec<SessionId> = world.node(node).waiting.get(key).into_iter().flatten().copied().collect();
    for id in waiting {
        let Some(mut session) = world.sessions.remove(&id) else { continue };
        let Some(blocked) = session.blocked.clone() else {
            world.sessions.insert(id, session);
            continue;
        };
        // Whoever was served before may have taken what there was.
        let found = world.node(node).keys.entry(key).map(|entry| entry.value.type_name());
        if found != Some(blocked.awaits) {
            world.sessions.insert(id, session);
            continue;
        }
        let answered = introspection::look_up(&blocked.args, world.node(node).profile)
            .and_then(|spec| run(world, &mut session, node, spec, &blocked.args, Some(key)));
        world.sessions.insert(id, session);
        let reply = match answered {
            Ok(Answer::Wait(_) | Answer::Acknowledge(_)) => continue,
            Ok(Answer::Reply(reply)) => reply,
            Err(refused) => Reply::Error(refused.0),
        };
        if blocking::end(world, id).is_some() {
            answer(world, node, id, &blocked.args, &reply);
        }
    }
}
