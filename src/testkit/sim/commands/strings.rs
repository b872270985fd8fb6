//! Strings: whole values. Parts of them are in `substrings.rs`, numbers in `numbers.rs`, bits in `bitmaps.rs`.

use bytes::Bytes;

use crate::testkit::sim::call::{Answered, DataCall, reply};
use crate::testkit::sim::commands::deadline::Unit;
use crate::testkit::sim::commands::set_options::{Condition, Expiry, Of, SetOptions};
use crate::testkit::sim::keyspace::entry::{Stored, Text};
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Since, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::data("get", 2, "readonly fast", Keys::FIRST, get),
    Spec::data("set", -3, "write denyoom", Keys::FIRST, set),
    Spec::data("setnx", 3, "write denyoom fast", Keys::FIRST, setnx),
    Spec::data("setex", 4, "write denyoom", Keys::FIRST, setex),
    Spec::data("psetex", 4, "write denyoom", Keys::FIRST, psetex),
    Spec::data("getset", 3, "write denyoom fast", Keys::FIRST, getset),
    Spec::data("getdel", 2, "write fast", Keys::FIRST, getdel),
    Spec::data("getex", -2, "write fast", Keys::FIRST, getex),
    Spec::data("mget", -2, "readonly fast", Keys::ALL, mget),
    Spec::data("mset", -3, "write denyoom", Keys::Range(1, -1, 2), mset),
    Spec::data("msetnx", -3, "write denyoom", Keys::Range(1, -1, 2), msetnx),
    Spec::data("msetex", -4, "write denyoom movablekeys", Keys::CountedPairs(1), msetex)
        .since(Since::Valkey91),
    Spec::data("delifeq", 3, "write fast", Keys::FIRST, delifeq).since(Since::Valkey91),
];

/// The string at a key, if there is one.
pub(in crate::testkit::sim) fn text(call: &DataCall<'_>, key: &Bytes) -> Result<Option<Bytes>, Refused> {
    Ok(call.keys.read::<Text>(key)?.map(|text| text.0.clone()))
}

/// Puts a string in place of any value. One that has expired already is not kept.
fn put(call: &mut DataCall<'_>, key: &Bytes, value: Bytes, expires_at: Option<u64>) {
    if expires_at.is_some_and(|at| at <= call.keys.now()) {
        call.keys.remove(key);
    } else {
        call.keys.put(key, Stored::Text(Text(value)), expires_at);
    }
}

fn get(call: &mut DataCall<'_>) -> Answered {
    reply(Reply::maybe(text(call, &call.arg(1))?))
}

fn set(call: &mut DataCall<'_>) -> Answered {
    let key = call.arg(1);
    let options = SetOptions::parse(call.rest(3), Of::Set, call.profile)?;
    let moment = options.moment(call, "set")?;
    let needs_old = options.returns_old || matches!(options.condition, Some(Condition::Equal(_)));
    let old = if needs_old { text(call, &key)? } else { None };
    let is_met = match &options.condition {
        None => true,
        Some(Condition::Absent) => !call.keys.contains(&key),
        Some(Condition::Present) => call.keys.contains(&key),
        Some(Condition::Equal(expected)) => old.as_ref() == Some(expected),
    };
    if is_met {
        let expires_at = options.of_written(call, &key, moment);
        put(call, &key, call.arg(2), expires_at);
    }
    reply(match (options.returns_old, is_met) {
        (true, _) => Reply::maybe(old),
        (false, true) => Reply::Ok,
        (false, false) => Reply::Nil,
    })
}

fn setnx(call: &mut DataCall<'_>) -> Answered {
    let key = call.arg(1);
    let is_new = !call.keys.contains(&key);
    if is_new {
        put(call, &key, call.arg(2), None);
    }
    reply(Reply::Int(is_new.into()))
}

fn setex(call: &mut DataCall<'_>) -> Answered {
    set_for(call, Unit::EX, "setex")
}

fn psetex(call: &mut DataCall<'_>) -> Answered {
    set_for(call, Unit::PX, "psetex")
}

fn set_for(call: &mut DataCall<'_>, unit: Unit, command: &str) -> Answered {
    let moment = unit.moment(&call.arg(2), call.keys.now(), call.profile, command)?;
    put(call, &call.arg(1), call.arg(3), Some(moment));
    reply(Reply::Ok)
}

fn getset(call: &mut DataCall<'_>) -> Answered {
    let key = call.arg(1);
    let old = text(call, &key)?;
    put(call, &key, call.arg(2), None);
    reply(Reply::maybe(old))
}

fn getdel(call: &mut DataCall<'_>) -> Answered {
    let key = call.arg(1);
    let old = text(call, &key)?;
    call.keys.remove(&key);
    reply(Reply::maybe(old))
}

fn getex(call: &mut DataCall<'_>) -> Answered {
    let key = call.arg(1);
    let options = SetOptions::parse(call.rest(2), Of::GetEx, call.profile)?;
    let moment = options.moment(call, "getex");
    // Valkey 9.1 reads the time before it looks for the key.
    if call.profile == Profile::Valkey91 {
        moment.clone()?;
    }
    let Some(old) = text(call, &key)? else { return reply(Reply::Nil) };
    let has_expiry = call.keys.entry(&key).is_some_and(|entry| entry.expires_at.is_some());
    match moment? {
        Some(moment) if moment <= call.keys.now() => _ = call.keys.remove(&key),
        Some(moment) => call.keys.set_expiry(&key, Some(moment)),
        None if options.expiry == Some(Expiry::Persist) && has_expiry => call.keys.set_expiry(&key, None),
        None => {}
    }
    reply(Reply::Bulk(old))
}

fn mget(call: &mut DataCall<'_>) -> Answered {
    // What is no string is nil too.
    let values = call.rest(1).iter().map(|key| Reply::maybe(text(call, key).ok().flatten())).collect();
    reply(Reply::Array(values))
}

/// The keys and values of `MSET` and `MSETNX`.
fn pairs(call: &DataCall<'_>, command: &str) -> Result<Vec<(Bytes, Bytes)>, Refused> {
    if call.rest(1).len().is_multiple_of(2) {
        return Ok(paired(call.rest(1)));
    }
    Err(Refused::new(if call.profile.since_7_0() {
        format!("ERR wrong number of arguments for '{command}' command")
    } else {
        "ERR wrong number of arguments for MSET".to_owned()
    }))
}

fn paired(args: &[Bytes]) -> Vec<(Bytes, Bytes)> {
    let values = args.iter().skip(1).step_by(2);
    args.iter().step_by(2).zip(values).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn mset(call: &mut DataCall<'_>) -> Answered {
    for (key, value) in pairs(call, "mset")? {
        put(call, &key, value, None);
    }
    reply(Reply::Ok)
}

fn msetnx(call: &mut DataCall<'_>) -> Answered {
    let pairs = pairs(call, "msetnx")?;
    if pairs.iter().any(|(key, _)| call.keys.contains(key)) {
        return reply(Reply::Int(0));
    }
    for (key, value) in pairs {
        put(call, &key, value, None);
    }
    reply(Reply::Int(1))
}

fn msetex(call: &mut DataCall<'_>) -> Answered {
    let count = call.int(1).ok().and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0);
    let count = count.ok_or_else(|| Refused::new("ERR invalid numkeys value or out of range"))?;
    let end = count.checked_mul(2).and_then(|words| words.checked_add(2));
    let end = end.filter(|end| *end <= call.args.len()).ok_or_else(Refused::syntax)?;
    let options = SetOptions::parse(call.rest(end), Of::MSetEx, call.profile)?;
    let moment = options.moment(call, "msetex")?;
    let pairs = paired(call.args.get(2..end).unwrap_or_default());
    let is_met = pairs.iter().all(|(key, _)| match options.condition {
        Some(Condition::Absent) => !call.keys.contains(key),
        Some(Condition::Present) => call.keys.contains(key),
        Some(Condition::Equal(_)) | None => true,
    });
    if is_met {
        for (key, value) in pairs {
            let expires_at = options.of_written(call, &key, moment);
            put(call, &key, value, expires_at);
        }
    }
    reply(Reply::Int(is_met.into()))
}

fn delifeq(call: &mut DataCall<'_>) -> Answered {
    let key = call.arg(1);
    let is_equal = text(call, &key)? == Some(call.arg(2));
    if is_equal {
        call.keys.remove(&key);
    }
    reply(Reply::Int(is_equal.into()))
}

#[cfg(test)]
mod tests {
    use crate::testkit::sim::commands::test_line::TestLine;
    use crate::testkit::sim::profile::Profile;

    #[test]
    fn a_value_is_read_back_byte_for_byte() {
        let mut server = TestLine::new(Profile::Redis82);
        assert_eq!(server.run(r#"SET k "a b\r\n\x00\"""#), "+OK|");
        assert_eq!(server.run("GET k"), r#"$7|a b|\x00"|"#);
        assert_eq!(server.run3("GET none"), "_|");
        assert!(!server.changes("GET k"));
    }

    #[test]
    fn the_options_of_set_exclude_each_other_as_on_each_server() {
        for mut server in TestLine::each() {
            let syntax = "-ERR syntax error|";
            for line in [
                "SET k v NX XX",
                "SET k v EX",
                "SET k v EX 10 PX 10",
                "SET k v EX 10 KEEPTTL",
                "SET k v PERSIST",
                "GETEX k NX",
                "GETEX k EX 10 PERSIST",
            ] {
                assert_eq!(server.run(line), syntax, "{line}");
            }
            assert_eq!(server.run("SET k v EX 10 EX 20"), "+OK|");
            assert_eq!(server.run("TTL k"), ":20|");
            let is_old = server.profile() == Profile::Redis62;
            assert_eq!(server.run("SET k w NX GET"), if is_old { syntax } else { "$1|v|" });
            let error = if is_old { "in set|" } else { "in 'set' command|" };
            assert_eq!(server.run("SET k v EX 0"), format!("-ERR invalid expire time {error}"));
            let equal = server.run("SET k w IFEQ v");
            assert_eq!(equal, if server.profile().is_valkey() { "+OK|" } else { syntax });
        }
    }

    #[test]
    fn a_condition_that_is_not_met_changes_nothing() {
        for mut server in TestLine::each() {
            server.run("SET k{a} v EX 100");
            for line in
                ["SET k{a} w NX", "SET j{a} w XX", "SETNX k{a} w", "MSETNX j{a} 1 k{a} 1", "GETEX k{a}"]
            {
                assert!(!server.changes(line), "{line}");
            }
            assert!(server.changes("GETEX k{a} PERSIST"));
            assert!(!server.changes("GETEX k{a} PERSIST"));
            assert_eq!(server.run("GET k{a}"), "$1|v|");
            assert_eq!(server.run("EXISTS j{a}"), ":0|");
        }
    }

    #[test]
    fn a_write_clears_the_expiry_unless_it_is_kept() {
        for mut server in TestLine::each() {
            server.run("SET k v EX 100");
            assert_eq!(server.run("SET k w KEEPTTL"), "+OK|");
            assert_eq!(server.run("TTL k"), ":100|");
            server.run("APPEND k x");
            server.run("SETRANGE k 0 y");
            assert_eq!(server.run("TTL k"), ":100|");
            assert_eq!(server.run("GETSET k z"), "$2|yx|");
            assert_eq!(server.run("TTL k"), ":-1|");
            assert_eq!(server.run("SET k v PXAT 1"), "+OK|");
            assert_eq!(server.run("DBSIZE"), ":0|");
        }
    }

    #[test]
    fn several_values_are_set_together_on_valkey_9() {
        let mut server = TestLine::new(Profile::Valkey91);
        assert_eq!(server.run("MSETEX 2 a{t} 1 b{t} 2 EX 100"), ":1|");
        assert_eq!(server.run("MSETEX 2 a{t} 3 c{t} 2 NX"), ":0|");
        assert_eq!(server.run("MSETEX 2 a{t} 3 b{t} 4 XX KEEPTTL"), ":1|");
        assert_eq!(server.run("TTL a{t}"), ":100|");
        assert_eq!(server.run("MSETEX 3 a{t} 1 b{t} 2"), "-ERR syntax error|");
        assert_eq!(server.run("DELIFEQ a{t} 1"), ":0|");
        assert_eq!(server.run("DELIFEQ a{t} 3"), ":1|");
        assert!(TestLine::new(Profile::Valkey81).run("DELIFEQ a b").starts_with("-ERR unknown command"));
    }
}
