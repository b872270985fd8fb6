//! The node as a whole: its time, its role, its replicas, its logs.

use std::time::Duration;

use crate::testkit::sim::acknowledgement::Acknowledgement;
use crate::testkit::sim::blocking;
use crate::testkit::sim::call::{Answer, Answered, Call, DataCall, int, reply};
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Since, Spec};
use crate::testkit::sim::view::Role;

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::world("time", 1, "random loading stale fast", Keys::None, time),
    Spec::world("role", 1, "noscript loading stale fast", Keys::None, role),
    Spec::world("wait", 3, "noscript blocking", Keys::None, wait),
    Spec::world("waitaof", 4, "blocking", Keys::None, waitaof).since(Since::Redis72),
    Spec::world("slowlog|get", -2, "admin loading stale", Keys::None, slowlog_get),
    Spec::world("slowlog|len", 2, "admin loading stale", Keys::None, slowlog_len),
    Spec::world("slowlog|reset", 2, "admin loading stale", Keys::None, slowlog_reset),
    Spec::data("memory|usage", -3, "readonly", Keys::Range(2, 2, 1), memory_usage),
];

fn time(call: &mut Call<'_>) -> Answered {
    let millis = call.world.unix_millis();
    let micros = millis % 1000 * 1000;
    reply(Reply::Array(vec![Reply::bulk((millis / 1000).to_string()), Reply::bulk(micros.to_string())]))
}

fn role(call: &mut Call<'_>) -> Answered {
    call.world.refresh_replicas_of(call.node);
    let world = &*call.world;
    let node = world.node(call.node);
    let offset = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
    reply(match node.role() {
        Role::Primary => {
            let replicas = node.view.replicas_of(call.node).map(|replica| world.node(replica));
            let replicas = replicas.filter(|replica| replica.is_on_bus()).map(|replica| {
                Reply::Array(vec![
                    Reply::bulk(replica.addr.host()),
                    Reply::bulk(replica.addr.port().to_string()),
                    Reply::bulk(replica.offset.to_string()),
                ])
            });
            let replicas = Reply::Array(replicas.collect());
            Reply::Array(vec![Reply::bulk("master"), Reply::Int(offset(node.offset)), replicas])
        }
        Role::ReplicaOf(primary) => {
            let primary = world.node(primary);
            let link = if primary.is_on_bus() { "connected" } else { "connect" };
            Reply::Array(vec![
                Reply::bulk("slave"),
                Reply::bulk(primary.addr.host()),
                Reply::Int(primary.addr.port().into()),
                Reply::bulk(link),
                Reply::Int(offset(node.offset)),
            ])
        }
    })
}

fn wait(call: &mut Call<'_>) -> Answered {
    if !call.world.node(call.node).is_primary() {
        let why = if call.profile().is_valkey() {
            "if a replica is configured to be writable (which is not the default)"
        } else {
            "since Redis 4.0 if a replica is configured to be writable (which is not the default)"
        };
        return Err(Refused::new(format!(
            "ERR WAIT cannot be used with replica instances. Please also note that {why} writes to replicas are just \
             local and are not propagated."
        )));
    }
    let replicas = int(&call.arg(1))?;
    let timeout = timeout(call, 2)?;
    // A negative number is less than any number of replicas.
    acknowledge(call, usize::try_from(replicas).unwrap_or(0), timeout, false)
}

fn waitaof(call: &mut Call<'_>) -> Answered {
    if !call.world.node(call.node).is_primary() {
        return Err(Refused::new(
            "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just \
             local and are not propagated.",
        ));
    }
    let local = int(&call.arg(1))?;
    if !(0..=1).contains(&local) {
        return Err(Refused::new("ERR value is out of range, value must between 0 and 1"));
    }
    let replicas = usize::try_from(int(&call.arg(2))?)
        .map_err(|_| Refused::new("ERR value is out of range, must be positive"))?;
    let timeout = timeout(call, 3)?;
    if local > 0 {
        return Err(Refused::new(
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ));
    }
    acknowledge(call, replicas, timeout, true)
}

fn timeout(call: &Call<'_>, place: usize) -> Result<Option<Duration>, Refused> {
    let millis = int(&call.arg(place))
        .map_err(|_| Refused::new("ERR timeout is not an integer or out of range"))
        .and_then(|millis| u64::try_from(millis).map_err(|_| Refused::new("ERR timeout is negative")))?;
    Ok((millis > 0).then(|| Duration::from_millis(millis)))
}

fn acknowledge(
    call: &mut Call<'_>,
    replicas: usize,
    timeout: Option<Duration>,
    is_for_files: bool,
) -> Answered {
    let offset = call.session.last_write;
    let wanted = Acknowledgement { replicas, offset, timeout, is_for_files };
    let count = blocking::acknowledged(call.world, call.node, offset);
    if count >= replicas { reply(wanted.reply(count)) } else { Ok(Answer::Acknowledge(wanted)) }
}

fn slowlog_get(call: &mut Call<'_>) -> Answered {
    let profile = call.profile();
    match call.rest(2) {
        [] => {}
        [count] => match int(count) {
            Err(refused) if profile == Profile::Redis62 => return Err(refused),
            Ok(count) if count >= -1 || profile == Profile::Redis62 => {}
            _ => return Err(Refused::new("ERR count should be greater than or equal to -1")),
        },
        _ => return Err(Refused::wrong_subcommand("SLOWLOG", &call.arg(1), profile)),
    }
    reply(Reply::Array(Vec::new()))
}

fn slowlog_len(_: &mut Call<'_>) -> Answered {
    reply(Reply::Int(0))
}

fn slowlog_reset(_: &mut Call<'_>) -> Answered {
    reply(Reply::Ok)
}

/// A figure of the right size; what it is really depends on the allocator.
fn memory_usage(call: &mut DataCall<'_>) -> Answered {
    match call.rest(3) {
        [] => {}
        [option, count] if option.eq_ignore_ascii_case(b"samples") => {
            if int(count)? < 0 {
                return Err(Refused::syntax());
            }
        }
        _ => return Err(Refused::syntax()),
    }
    let key = call.arg(2);
    reply(call.keys.entry(&key).map_or(Reply::Nil, |_| Reply::int(48 + key.len())))
}
