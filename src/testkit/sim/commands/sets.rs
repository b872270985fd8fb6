//! Sets: their members. What is made of several sets is in `set_algebra`.

use bytes::Bytes;

use crate::testkit::sim::call::{Answered, DataCall, reply};
use crate::testkit::sim::commands::arguments::{amount, choose, sample};
use crate::testkit::sim::commands::scan::{ScanOptions, Scanned, cursor, page};
use crate::testkit::sim::keyspace::entry::Set;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::data("sadd", -3, "write denyoom fast", Keys::FIRST, sadd),
    Spec::data("srem", -3, "write fast", Keys::FIRST, srem),
    Spec::data("smembers", 2, "readonly sort_for_script", Keys::FIRST, smembers),
    Spec::data("sismember", 3, "readonly fast", Keys::FIRST, sismember),
    Spec::data("smismember", -3, "readonly fast", Keys::FIRST, smismember),
    Spec::data("scard", 2, "readonly fast", Keys::FIRST, scard),
    Spec::data("spop", -2, "write random fast", Keys::FIRST, spop),
    Spec::data("srandmember", -2, "readonly random", Keys::FIRST, srandmember),
    Spec::data("smove", 4, "write fast", Keys::Range(1, 2, 1), smove),
    Spec::data("sscan", -3, "readonly random random", Keys::FIRST, sscan),
];

fn sadd(call: &mut DataCall<'_>) -> Answered {
    let key = call.arg(1);
    let set = call.keys.write::<Set>(&key)?;
    let before = set.len();
    set.extend(call.args.iter().skip(2).cloned());
    let added = set.len() - before;
    if added > 0 {
        call.keys.changed(&key);
    }
    reply(Reply::int(added))
}

fn srem(call: &mut DataCall<'_>) -> Answered {
    let key = call.arg(1);
    let removed = remove(call, &key, call.args.get(2..).unwrap_or_default())?;
    reply(Reply::int(removed))
}

/// How many of the members were there.
fn remove(call: &mut DataCall<'_>, key: &Bytes, members: &[Bytes]) -> Result<usize, Refused> {
    let set = call.keys.write::<Set>(key)?;
    let removed = members.iter().filter(|member| set.remove(*member)).count();
    if removed > 0 {
        call.keys.changed(key);
    } else {
        call.keys.untouched(key);
    }
    Ok(removed)
}

/// All members; none of a key that does not exist.
fn members(call: &DataCall<'_>, key: &Bytes) -> Result<Vec<Bytes>, Refused> {
    Ok(call.keys.read::<Set>(key)?.into_iter().flatten().cloned().collect())
}

fn smembers(call: &mut DataCall<'_>) -> Answered {
    let members = members(call, &call.arg(1))?;
    reply(Reply::Set(members.into_iter().map(Reply::Bulk).collect()))
}

fn sismember(call: &mut DataCall<'_>) -> Answered {
    let set = call.keys.read::<Set>(&call.arg(1))?;
    reply(Reply::Int(set.is_some_and(|set| set.contains(&call.arg(2))).into()))
}

fn smismember(call: &mut DataCall<'_>) -> Answered {
    let set = call.keys.read::<Set>(&call.arg(1))?;
    let is_member = |member| Reply::Int(set.is_some_and(|set| set.contains(member)).into());
    reply(Reply::Array(call.rest(2).iter().map(is_member).collect()))
}

fn scard(call: &mut DataCall<'_>) -> Answered {
    reply(Reply::int(call.keys.read::<Set>(&call.arg(1))?.map_or(0, Set::len)))
}

fn spop(call: &mut DataCall<'_>) -> Answered {
    let count = match call.args {
        [_, _] => None,
        [_, _, count] => Some(amount(count)?),
        _ => return Err(Refused::syntax()),
    };
    let key = call.arg(1);
    let members = members(call, &key)?;
    let wanted = i64::try_from(count.unwrap_or(1)).unwrap_or(i64::MAX);
    let chosen = choose(members, wanted, call.rng);
    if !chosen.is_empty() {
        remove(call, &key, &chosen)?;
    }
    let mut chosen = chosen.into_iter();
    reply(match count {
        None => Reply::maybe(chosen.next()),
        Some(_) => Reply::Set(chosen.map(Reply::Bulk).collect()),
    })
}

fn srandmember(call: &mut DataCall<'_>) -> Answered {
    let count = match call.args {
        [_, _] => None,
        [_, _, count] => Some(sample(count)?),
        _ => return Err(Refused::syntax()),
    };
    let members = members(call, &call.arg(1))?;
    let mut chosen = choose(members, count.unwrap_or(1), call.rng).into_iter();
    reply(match count {
        None => Reply::maybe(chosen.next()),
        Some(_) => Reply::Array(chosen.map(Reply::Bulk).collect()),
    })
}

fn smove(call: &mut DataCall<'_>) -> Answered {
    let (source, destination, member) = (call.arg(1), call.arg(2), call.arg(3));
    let Some(set) = call.keys.read::<Set>(&source)? else { return reply(Reply::Int(0)) };
    let is_there = set.contains(&member);
    call.keys.read::<Set>(&destination)?;
    if is_there && source != destination {
        remove(call, &source, std::slice::from_ref(&member))?;
        if call.keys.write::<Set>(&destination)?.insert(member) {
            call.keys.changed(&destination);
        }
    }
    reply(Reply::Int(is_there.into()))
}

/// One page, whatever the cursor: a real server pages only what is large.
fn sscan(call: &mut DataCall<'_>) -> Answered {
    cursor(&call.arg(2))?;
    let Some(set) = call.keys.read::<Set>(&call.arg(1))? else { return page(0, Vec::new()) };
    let options = ScanOptions::parse(call.rest(3), Scanned::Set, call.profile)?;
    page(0, set.iter().filter(|member| options.is_meant(member)).cloned().map(Reply::Bulk).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::testkit::sim::commands::test_line::TestLine;
    use crate::testkit::sim::profile::Profile;

    const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value|";

    #[test]
    fn a_set_has_each_member_once_and_is_no_key_when_it_is_empty() {
        for mut server in TestLine::each() {
            assert_eq!(server.run("SADD s b a b"), ":2|");
            assert!(!server.changes("SADD s a"));
            assert_eq!(server.run3("SMEMBERS s"), "~2|$1|a|$1|b|");
            assert_eq!(server.run("SMISMEMBER s a z"), "*2|:1|:0|");
            assert!(!server.changes("SREM s z"));
            assert!(!server.changes("SREM none z"));
            assert_eq!(server.run("SREM s a b c"), ":2|");
            assert_eq!(server.run("SMEMBERS s"), "*0|");
            assert_eq!(server.keys().len(), 0);
        }
    }

    #[test]
    fn members_are_popped_at_random_and_each_once() {
        for mut server in TestLine::each() {
            server.run("SADD s a b c d e");
            let mut popped = BTreeSet::new();
            for _ in 0..5 {
                popped.insert(server.run("SPOP s"));
            }
            assert_eq!(popped.len(), 5);
            assert_eq!(server.run("SPOP s"), "$-1|");
            assert_eq!(server.run3("SPOP s 1"), "~0|");
            server.run("SADD s a b");
            assert!(!server.changes("SPOP s 0"));
            assert_eq!(server.run("SPOP s 9"), "*2|$1|a|$1|b|");
            assert_eq!(server.run("SPOP s -1"), "-ERR value is out of range, must be positive|");
            assert_eq!(server.run("SPOP s 1 1"), "-ERR syntax error|");
        }
    }

    #[test]
    fn random_members_stay_and_a_negative_count_repeats_them() {
        for mut server in TestLine::each() {
            server.run("SADD s x");
            assert_eq!(server.run("SRANDMEMBER s"), "$1|x|");
            assert_eq!(server.run3("SRANDMEMBER s 3"), "*1|$1|x|");
            assert_eq!(server.run("SRANDMEMBER s -2"), "*2|$1|x|$1|x|");
            assert_eq!(server.run("SRANDMEMBER none"), "$-1|");
            assert_eq!(server.run("SRANDMEMBER none -2"), "*0|");
        }
    }

    #[test]
    fn a_member_moves_unless_the_other_key_is_no_set() {
        for mut server in TestLine::each() {
            server.run("SADD s a b");
            server.run("SET str x");
            assert_eq!(server.run("SMOVE none str a"), ":0|");
            assert_eq!(server.run("SMOVE s str z"), WRONG);
            assert_eq!(server.run("SMOVE s s a"), ":1|");
            assert!(!server.changes("SMOVE s s a"));
            assert_eq!(server.run("SMOVE s d a"), ":1|");
            assert_eq!(server.run("SMEMBERS d"), "*1|$1|a|");
            assert_eq!(server.run("SMOVE s d a"), ":0|");
        }
    }

    #[test]
    fn a_scan_gives_the_whole_set_in_one_page() {
        for mut server in TestLine::each() {
            server.run("SADD s apple bean");
            assert_eq!(server.run3("SSCAN s 0"), "*2|$1|0|*2|$5|apple|$4|bean|");
            assert_eq!(server.run("SSCAN s 0 MATCH b* COUNT 10"), "*2|$1|0|*1|$4|bean|");
            assert_eq!(server.run("SSCAN none 0 COUNT x"), "*2|$1|0|*0|");
            assert_eq!(server.run("SSCAN s x"), "-ERR invalid cursor|");
            assert_eq!(server.run("SSCAN s 0 COUNT 0"), "-ERR syntax error|");
            assert_eq!(server.run("SSCAN s 0 COUNT x"), "-ERR value is not an integer or out of range|");
            assert_eq!(server.run("SSCAN s 0 TYPE string"), "-ERR syntax error|");
            let is_new = !matches!(server.profile(), Profile::Redis62 | Profile::Redis70);
            let error =
                if is_new { "-ERR NOVALUES option can only be used in HSCAN|" } else { "-ERR syntax error|" };
            assert_eq!(server.run("SSCAN s 0 NOVALUES"), error);
        }
    }
}
