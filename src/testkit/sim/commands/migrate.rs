//! `MIGRATE`: keys go from one node to another.

use std::time::Duration;

use bytes::Bytes;

use crate::node::NodeAddr;
use crate::testkit::sim::call::{Answer, Answered, Call, Wait, int, reply};
use crate::testkit::sim::keyspace::entry::Entry;
use crate::testkit::sim::node::Process;
use crate::testkit::sim::ownership::{Asker, judge};
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Spec};
use crate::testkit::sim::view::NodeIndex;

pub(in crate::testkit::sim) const COMMANDS: &[Spec] =
    &[Spec::world("migrate", -6, "write random movablekeys", Keys::Migrate, migrate)];

/// What the target executes for each key.
const RESTORE: Spec = Spec::world("restore-asking", -4, "write asking", Keys::FIRST, |_| reply(Reply::Ok));

/// Without a timeout, or with one of 0.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Options {
    copy: bool,
    replace: bool,
    /// User and password.
    credentials: Option<(Option<Bytes>, Bytes)>,
    keys: Option<Vec<Bytes>>,
}

fn options(call: &Call<'_>) -> Result<Options, Refused> {
    let mut options = Options::default();
    let mut place = 6;
    while place < call.args.len() {
        let left = call.args.len() - place - 1;
        if call.is(place, "COPY") {
            options.copy = true;
        } else if call.is(place, "REPLACE") {
            options.replace = true;
        } else if call.is(place, "AUTH") && left >= 1 {
            options.credentials = Some((None, call.arg(place + 1)));
            place += 1;
        } else if call.is(place, "AUTH2") && left >= 2 {
            options.credentials = Some((Some(call.arg(place + 1)), call.arg(place + 2)));
            place += 2;
        } else if call.is(place, "KEYS") {
            if !call.arg(3).is_empty() {
                return Err(Refused::new(
                    "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
                ));
            }
            options.keys = Some(call.args.iter().skip(place + 1).cloned().collect());
            break;
        } else {
            return Err(Refused::syntax());
        }
        place += 1;
    }
    Ok(options)
}

fn migrate(call: &mut Call<'_>) -> Answered {
    let options = options(call)?;
    let (timeout, db) = (int(&call.arg(5))?, int(&call.arg(4))?);
    let timeout = u64::try_from(timeout).ok().filter(|millis| *millis > 0);
    let timeout = timeout.map_or(DEFAULT_TIMEOUT, Duration::from_millis);
    let keys = options.keys.clone().unwrap_or_else(|| vec![call.arg(3)]);
    let node = call.world.node(call.node);
    let entries: Vec<(Bytes, Entry)> =
        keys.into_iter().filter_map(|key| Some((key.clone(), node.keys.entry(&key)?.clone()))).collect();
    if entries.is_empty() {
        return reply(Reply::Simple("NOKEY".into()));
    }
    let Some(target) = target(call)? else {
        return Err(Refused::new("IOERR error or timeout writing to target instance"));
    };
    let reads_nothing = Reply::error("IOERR error or timeout reading to target instance");
    if target == call.node {
        return Ok(wait(timeout, reads_nothing));
    }
    greet(call, target, &options, db)?;
    let is_stopped = call.world.node(target).process == Process::Stopped;
    let failed = transfer(call, target, &options, entries, is_stopped);
    if is_stopped {
        // What was sent lies in the target's socket, and is executed when that goes on.
        return Ok(wait(timeout, reads_nothing));
    }
    failed.map_or_else(|| reply(Reply::Ok), Err)
}

fn wait(timeout: Duration, on_timeout: Reply) -> Answer {
    let at_once = on_timeout.clone();
    Answer::Wait(Wait { on_timeout, at_once, ..Wait::new(Vec::new(), "", Some(timeout)) })
}

/// Who listens at the host and port; nobody if that process is dead.
fn target(call: &Call<'_>) -> Result<Option<NodeIndex>, Refused> {
    let (host, port) = (call.arg(1), call.arg(2));
    let host = String::from_utf8_lossy(&host).replace("localhost", "127.0.0.1");
    let port = int(&port).ok().and_then(|port| u16::try_from(port).ok());
    let found = port.and_then(|port| call.world.node_at(&NodeAddr::new(host.as_str(), port)));
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    if found.is_none() && !is_address {
        return Err(Refused::new("IOERR error or timeout connecting to the client"));
    }
    Ok(found.filter(|found| call.world.node(*found).process != Process::Dead))
}

fn replied(error: &str) -> Refused {
    Refused::new(format!("ERR Target instance replied with error: {error}"))
}

/// Authentication and the choice of the database, as the target answers them.
fn greet(call: &Call<'_>, target: NodeIndex, options: &Options, db: i64) -> Result<(), Refused> {
    let node = call.world.node(target);
    match (&options.credentials, &node.password) {
        (None, Some(_)) => return Err(replied("NOAUTH Authentication required.")),
        (Some((None, _)), None) => {
            return Err(replied(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure \
                 your configuration is correct?",
            ));
        }
        (Some((user, password)), _) => {
            let user = user.as_ref().map_or("default".into(), |user| String::from_utf8_lossy(user));
            let is_known = match node.users.get(user.as_ref()) {
                Some(known) => known.accepts(password),
                None => {
                    user == "default" && node.password.as_ref().is_none_or(|own| own.as_bytes() == password)
                }
            };
            if !is_known {
                return Err(replied("WRONGPASS invalid username-password pair or user is disabled."));
            }
        }
        (None, None) => {}
    }
    if db != 0 {
        return Err(replied(match node.profile {
            Profile::Valkey91 => "ERR DB index is out of range",
            Profile::Redis62 | Profile::Redis70 | Profile::Redis82 | Profile::Redis84 | Profile::Valkey81 => {
                "ERR SELECT is not allowed in cluster mode"
            }
        }));
    }
    Ok(())
}

/// Gives the target all keys that it takes; the first error of those that it does not. Those that it took go here.
fn transfer(
    call: &mut Call<'_>,
    target: NodeIndex,
    options: &Options,
    entries: Vec<(Bytes, Entry)>,
    keeps: bool,
) -> Option<Refused> {
    call.world.refresh(target);
    let mut failed = None;
    for (key, entry) in entries {
        let args = [Bytes::from_static(b"restore-asking"), key.clone()];
        let asker = Asker { asking: true, ..Asker::default() };
        let judged = judge(call.world, target, asker, &[(&RESTORE, &args)]);
        let is_busy = !options.replace && call.world.node(target).keys.contains(&key);
        let error = match judged {
            Err(refused) => Some(replied(&refused.0)),
            Ok(()) if is_busy => Some(replied("BUSYKEY Target key name already exists.")),
            Ok(()) => None,
        };
        if error.is_some() {
            failed = failed.or(error);
            continue;
        }
        call.world.node_mut(target).keys.put_entry(&key, entry);
        if !options.copy && !keeps {
            call.world.node_mut(call.node).keys.remove(&key);
        }
    }
    call.world.unsettled.insert(target);
    failed
}
