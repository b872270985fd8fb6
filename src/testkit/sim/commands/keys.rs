//! Keys, whatever is stored there. Their expiry is in `expiry.rs`.

use bytes::Bytes;

use crate::testkit::sim::call::{Answered, DataCall, reply};
use crate::testkit::sim::glob::matches;
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::data("del", -2, "write", Keys::ALL, del),
    Spec::data("unlink", -2, "write fast", Keys::ALL, del),
    Spec::data("exists", -2, "readonly fast", Keys::ALL, exists),
    Spec::data("touch", -2, "readonly fast", Keys::ALL, exists),
    Spec::data("type", 2, "readonly fast", Keys::FIRST, type_name),
    Spec::data("rename", 3, "write", Keys::Range(1, 2, 1), rename),
    Spec::data("renamenx", 3, "write fast", Keys::Range(1, 2, 1), renamenx),
    Spec::data("copy", -3, "write denyoom", Keys::Range(1, 2, 1), copy),
    Spec::data("move", 3, "write fast", Keys::FIRST, move_to_database),
    Spec::data("swapdb", 3, "write fast", Keys::None, swap_databases),
    Spec::data("keys", 2, "readonly sort_for_script", Keys::None, keys),
    Spec::data("randomkey", 1, "readonly random", Keys::None, randomkey),
    Spec::data("dbsize", 1, "readonly fast", Keys::None, dbsize),
    Spec::data("flushall", -1, "write", Keys::None, flush),
    Spec::data("flushdb", -1, "write", Keys::None, flush),
];

fn del(call: &mut DataCall<'_>) -> Answered {
    let mut count = 0;
    for key in call.args.iter().skip(1) {
        count += usize::from(call.keys.remove(key).is_some());
    }
    reply(Reply::int(count))
}

/// A cluster has one database; on Valkey 9 because it is told to have no more.
fn move_to_database(call: &mut DataCall<'_>) -> Answered {
    Err(Refused::new(if call.profile == Profile::Valkey91 {
        "ERR DB index is out of range"
    } else {
        "ERR MOVE is not allowed in cluster mode"
    }))
}

fn swap_databases(_: &mut DataCall<'_>) -> Answered {
    Err(Refused::new("ERR SWAPDB is not allowed in cluster mode"))
}

fn exists(call: &mut DataCall<'_>) -> Answered {
    reply(Reply::int(call.rest(1).iter().filter(|key| call.keys.contains(key)).count()))
}

fn type_name(call: &mut DataCall<'_>) -> Answered {
    let entry = call.keys.entry(&call.arg(1));
    reply(Reply::Simple(entry.map_or("none", |entry| entry.value.type_name()).into()))
}

fn rename(call: &mut DataCall<'_>) -> Answered {
    rename_to(call, true)?;
    reply(Reply::Ok)
}

fn renamenx(call: &mut DataCall<'_>) -> Answered {
    reply(Reply::Int(rename_to(call, false)?.into()))
}

fn rename_to(call: &mut DataCall<'_>, overwrites: bool) -> Result<bool, Refused> {
    let (from, to) = (call.arg(1), call.arg(2));
    if !call.keys.contains(&from) {
        return Err(Refused::new("ERR no such key"));
    }
    if (!overwrites && call.keys.contains(&to)) || from == to {
        return Ok(false);
    }
    if let Some(entry) = call.keys.remove(&from) {
        call.keys.put_entry(&to, entry);
    }
    Ok(true)
}

fn copy(call: &mut DataCall<'_>) -> Answered {
    let (from, to) = (call.arg(1), call.arg(2));
    let mut replaces = false;
    let mut at = 3;
    while at < call.args.len() {
        if call.is(at, "REPLACE") {
            replaces = true;
            at += 1;
        } else if call.is(at, "DB") && at + 1 < call.args.len() {
            match call.int(at + 1)? {
                0 => {}
                1..16 if !call.profile.since_7_2() => {
                    return Err(Refused::new(
                        "ERR Copying to another database is not allowed in cluster mode",
                    ));
                }
                _ => return Err(Refused::new("ERR DB index is out of range")),
            }
            at += 2;
        } else {
            return Err(Refused::syntax());
        }
    }
    if from == to {
        return Err(Refused::new("ERR source and destination objects are the same"));
    }
    let Some(entry) = call.keys.entry(&from).cloned() else { return reply(Reply::Int(0)) };
    let is_copied = replaces || !call.keys.contains(&to);
    if is_copied {
        call.keys.put_entry(&to, entry);
    }
    reply(Reply::Int(is_copied.into()))
}

fn keys(call: &mut DataCall<'_>) -> Answered {
    let pattern = call.arg(1);
    let is_meant = |key: &Bytes| pattern == "*" || matches(&pattern, key);
    let found = call.keys.keys().filter(|(_, key, _)| is_meant(key));
    reply(Reply::Array(found.map(|(_, key, _)| Reply::Bulk(key.clone())).collect()))
}

fn randomkey(call: &mut DataCall<'_>) -> Answered {
    let count = call.keys.len();
    let chosen = if count == 0 { 0 } else { call.rng.usize(..count) };
    reply(Reply::maybe(call.keys.keys().nth(chosen).map(|(_, key, _)| key.clone())))
}

fn dbsize(call: &mut DataCall<'_>) -> Answered {
    reply(Reply::int(call.keys.len()))
}

fn flush(call: &mut DataCall<'_>) -> Answered {
    match call.args.len() {
        1 => {}
        2 if call.is(1, "ASYNC") || call.is(1, "SYNC") => {}
        _ => return Err(Refused::syntax()),
    }
    if call.keys.len() > 0 {
        call.keys.clear();
    }
    reply(Reply::Ok)
}

#[cfg(test)]
mod tests {
    use crate::testkit::sim::commands::test_line::TestLine;

    #[test]
    fn a_key_goes_to_its_new_name_with_its_expiry() {
        for mut server in TestLine::each() {
            server.run("SET a{t} 1 EX 100");
            server.run("SET b{t} 2");
            assert_eq!(server.run("RENAMENX a{t} b{t}"), ":0|");
            assert_eq!(server.run("RENAME a{t} b{t}"), "+OK|");
            assert_eq!(server.run("TTL b{t}"), ":100|");
            assert_eq!(server.run("RENAME a{t} b{t}"), "-ERR no such key|");
            assert!(!server.changes("RENAME b{t} b{t}"));
            assert_eq!(server.run("COPY b{t} c{t}"), ":1|");
            assert!(!server.changes("COPY b{t} c{t}"));
            assert_eq!(server.run("COPY b{t} c{t} REPLACE"), ":1|");
            assert_eq!(server.run("TTL c{t}"), ":100|");
            let error = "-ERR source and destination objects are the same|";
            assert_eq!(server.run("COPY none none"), error);
        }
    }

    #[test]
    fn a_key_that_is_named_twice_is_removed_once_and_seen_twice() {
        for mut server in TestLine::each() {
            server.run("SET a v");
            assert_eq!(server.run("EXISTS a a none"), ":2|");
            assert_eq!(server.run("DEL a a none"), ":1|");
            assert!(!server.changes("DEL a"));
            assert!(!server.changes("FLUSHALL"));
            assert_eq!(server.run3("RANDOMKEY"), "_|");
        }
    }
}
