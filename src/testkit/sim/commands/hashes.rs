//! Hashes.

use bytes::Bytes;

use crate::testkit::sim::call::{Answered, DataCall, int, reply};
use crate::testkit::sim::commands::numbers::{no_number, overflow};
use crate::testkit::sim::commands::scan::{ScanOptions, Scanned, cursor, page};
use crate::testkit::sim::extended::Extended;
use crate::testkit::sim::keyspace::entry::Hash;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::data("hset", -4, "write denyoom fast", Keys::FIRST, hset),
    Spec::data("hmset", -4, "write denyoom fast", Keys::FIRST, hmset),
    Spec::data("hsetnx", 4, "write denyoom fast", Keys::FIRST, hsetnx),
    Spec::data("hget", 3, "readonly fast", Keys::FIRST, hget),
    Spec::data("hmget", -3, "readonly fast", Keys::FIRST, hmget),
    Spec::data("hgetall", 2, "readonly random", Keys::FIRST, hgetall),
    Spec::data("hkeys", 2, "readonly sort_for_script", Keys::FIRST, hkeys),
    Spec::data("hvals", 2, "readonly sort_for_script", Keys::FIRST, hvals),
    Spec::data("hlen", 2, "readonly fast", Keys::FIRST, hlen),
    Spec::data("hstrlen", 3, "readonly fast", Keys::FIRST, hstrlen),
    Spec::data("hexists", 3, "readonly fast", Keys::FIRST, hexists),
    Spec::data("hdel", -3, "write fast", Keys::FIRST, hdel),
    Spec::data("hincrby", 4, "write denyoom fast", Keys::FIRST, hincrby),
    Spec::data("hincrbyfloat", 4, "write denyoom fast", Keys::FIRST, hincrbyfloat),
    Spec::data("hrandfield", -2, "readonly random", Keys::FIRST, hrandfield),
    Spec::data("hscan", -3, "readonly random", Keys::FIRST, hscan),
];

fn field(call: &DataCall<'_>, key: &Bytes, field: &Bytes) -> Result<Option<Bytes>, Refused> {
    Ok(call.keys.read::<Hash>(key)?.and_then(|hash| hash.get(field)).cloned())
}

/// Sets the fields behind the key; how many are new.
fn put_all(call: &mut DataCall<'_>, command: &str) -> Result<usize, Refused> {
    let key = call.arg(1);
    let (fields, rest) = call.rest(2).as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Refused::new(format!("ERR wrong number of arguments for '{command}' command")));
    }
    let fields = fields.to_vec();
    let hash = call.keys.write::<Hash>(&key)?;
    let before = hash.len();
    hash.extend(fields.into_iter().map(|[field, value]| (field, value)));
    let added = hash.len() - before;
    call.keys.changed(&key);
    Ok(added)
}

fn put(call: &mut DataCall<'_>, key: &Bytes, field: Bytes, value: Bytes) -> Result<(), Refused> {
    call.keys.write::<Hash>(key)?.insert(field, value);
    call.keys.changed(key);
    Ok(())
}

fn hset(call: &mut DataCall<'_>) -> Answered {
    reply(Reply::int(put_all(call, "hset")?))
}

fn hmset(call: &mut DataCall<'_>) -> Answered {
    put_all(call, "hmset")?;
    reply(Reply::Ok)
}

fn hsetnx(call: &mut DataCall<'_>) -> Answered {
    let (key, name) = (call.arg(1), call.arg(2));
    let is_new = field(call, &key, &name)?.is_none();
    if is_new {
        put(call, &key, name, call.arg(3))?;
    }
    reply(Reply::Int(is_new.into()))
}

fn hget(call: &mut DataCall<'_>) -> Answered {
    reply(Reply::maybe(field(call, &call.arg(1), &call.arg(2))?))
}

fn hmget(call: &mut DataCall<'_>) -> Answered {
    let hash = call.keys.read::<Hash>(&call.arg(1))?;
    let value = |field: &Bytes| Reply::maybe(hash.and_then(|hash| hash.get(field)).cloned());
    reply(Reply::Array(call.rest(2).iter().map(value).collect()))
}

/// The fields and values in order; none if there is no key.
fn all(call: &DataCall<'_>) -> Result<Vec<(Reply, Reply)>, Refused> {
    let hash = call.keys.read::<Hash>(&call.arg(1))?;
    let pair = |(field, value): (&Bytes, &Bytes)| (Reply::Bulk(field.clone()), Reply::Bulk(value.clone()));
    Ok(hash.into_iter().flatten().map(pair).collect())
}

fn hgetall(call: &mut DataCall<'_>) -> Answered {
    reply(Reply::Map(all(call)?))
}

fn hkeys(call: &mut DataCall<'_>) -> Answered {
    reply(Reply::Array(all(call)?.into_iter().map(|(field, _)| field).collect()))
}

fn hvals(call: &mut DataCall<'_>) -> Answered {
    reply(Reply::Array(all(call)?.into_iter().map(|(_, value)| value).collect()))
}

fn hlen(call: &mut DataCall<'_>) -> Answered {
    reply(Reply::int(call.keys.read::<Hash>(&call.arg(1))?.map_or(0, Hash::len)))
}

fn hstrlen(call: &mut DataCall<'_>) -> Answered {
    reply(Reply::int(field(call, &call.arg(1), &call.arg(2))?.map_or(0, |value| value.len())))
}

fn hexists(call: &mut DataCall<'_>) -> Answered {
    reply(Reply::Int(field(call, &call.arg(1), &call.arg(2))?.is_some().into()))
}

fn hdel(call: &mut DataCall<'_>) -> Answered {
    let key = call.arg(1);
    let fields = call.rest(2).to_vec();
    let hash = call.keys.write::<Hash>(&key)?;
    let removed = fields.iter().filter(|field| hash.remove(*field).is_some()).count();
    if removed > 0 {
        call.keys.changed(&key);
    } else {
        call.keys.untouched(&key);
    }
    reply(Reply::int(removed))
}

fn hincrby(call: &mut DataCall<'_>) -> Answered {
    let (key, name) = (call.arg(1), call.arg(2));
    let amount = call.int(3)?;
    let before = match field(call, &key, &name)? {
        Some(before) => int(&before).map_err(|_| Refused::new("ERR hash value is not an integer"))?,
        None => 0,
    };
    let after = before.checked_add(amount).ok_or_else(overflow)?;
    put(call, &key, name, itoa::Buffer::new().format(after).to_owned().into())?;
    reply(Reply::Int(after))
}

fn hincrbyfloat(call: &mut DataCall<'_>) -> Answered {
    let (key, name) = (call.arg(1), call.arg(2));
    let amount = Extended::parse(&call.arg(3)).ok_or_else(Refused::not_a_float)?;
    if amount.is_infinite() && call.profile.since_7_0() {
        return Err(Refused::new("ERR value is NaN or Infinity"));
    }
    let before = field(call, &key, &name)?.unwrap_or_else(|| "0".into());
    let before = Extended::parse(&before).ok_or_else(|| Refused::new("ERR hash value is not a float"))?;
    let after = before.plus(amount);
    if after.is_infinite() {
        return Err(no_number());
    }
    let after = Bytes::from(after.text());
    put(call, &key, name, after.clone())?;
    reply(Reply::Bulk(after))
}

fn hrandfield(call: &mut DataCall<'_>) -> Answered {
    if call.args.len() == 2 {
        let pairs = all(call)?;
        return reply(call.rng.choice(pairs).map_or(Reply::Nil, |(field, _)| field));
    }
    let count = call.int(2)?;
    let with_values = call.args.len() == 4 && call.is(3, "WITHVALUES");
    // A server can count no further, and with values half as far; Redis 6.2 tries and dies of it.
    if count == i64::MIN {
        return Err(Refused::new(format!(
            "ERR value is out of range, value must between {} and {}",
            -i64::MAX,
            i64::MAX
        )));
    }
    if call.args.len() > 3 && !with_values {
        return Err(Refused::syntax());
    }
    if with_values && !(-i64::MAX / 2..=i64::MAX / 2).contains(&count) {
        return Err(Refused::new("ERR value is out of range"));
    }
    let pairs = all(call)?;
    let most = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let chosen: Vec<(Reply, Reply)> = if count >= 0 {
        // Each once.
        if most >= pairs.len() { pairs } else { call.rng.choose_multiple(pairs, most) }
    } else if pairs.is_empty() {
        Vec::new()
    } else {
        (0..most).filter_map(|_| call.rng.choice(&pairs).cloned()).collect()
    };
    reply(if with_values {
        Reply::Pairs(chosen)
    } else {
        Reply::Array(chosen.into_iter().map(|(field, _)| field).collect())
    })
}

/// All at once, as a server gives a small hash.
fn hscan(call: &mut DataCall<'_>) -> Answered {
    cursor(&call.arg(2))?;
    let Some(hash) = call.keys.read::<Hash>(&call.arg(1))? else { return page(0, Vec::new()) };
    let options = ScanOptions::parse(call.rest(3), Scanned::Hash, call.profile)?;
    let meant = hash.iter().filter(|(field, _)| options.is_meant(field));
    let shown = meant.flat_map(|(field, value)| [Some(field), (!options.is_bare).then_some(value)]);
    page(0, shown.flatten().cloned().map(Reply::Bulk).collect())
}

#[cfg(test)]
mod tests {
    use crate::testkit::sim::commands::test_line::TestLine;
    use crate::testkit::sim::profile::Profile;

    #[test]
    fn a_hash_without_fields_is_no_key() {
        for mut server in TestLine::each() {
            assert_eq!(server.run("HSET h f v g w f x"), ":2|");
            assert_eq!(server.run3("HGETALL h"), "%2|$1|f|$1|x|$1|g|$1|w|");
            assert_eq!(server.run("HDEL h none f f g"), ":2|");
            assert_eq!(server.run("EXISTS h"), ":0|");
            assert!(!server.changes("HDEL h f"));
            assert_eq!(server.run3("HGETALL h"), "%0|");
        }
    }

    #[test]
    fn only_what_changes_the_hash_is_noted() {
        let mut server = TestLine::new(Profile::Redis82);
        // As on a real server a write of the same value is one.
        for line in ["HSET h f 1", "HSET h f 1", "HINCRBY h f 0", "HINCRBYFLOAT h f 0", "HSETNX h g x"] {
            assert!(server.changes(line), "{line}");
        }
        for line in ["HSETNX h f 2", "HDEL h none", "HGETALL h", "HINCRBY h g 1", "HINCRBYFLOAT h f inf"] {
            assert!(!server.changes(line), "{line}");
        }
    }

    #[test]
    fn random_fields_come_once_or_again_and_again() {
        let mut server = TestLine::new(Profile::Redis82);
        server.run("HSET h a 1 b 2 c 3");
        assert_eq!(server.run("HRANDFIELD h 5 WITHVALUES"), "*6|$1|a|$1|1|$1|b|$1|2|$1|c|$1|3|");
        assert_eq!(server.run3("HRANDFIELD h 5 WITHVALUES").matches("*2|").count(), 3);
        assert!(server.run("HRANDFIELD h -20").starts_with("*20|"));
        let two = server.run("HRANDFIELD h 2");
        assert_eq!(["a", "b", "c"].iter().filter(|field| two.contains(*field)).count(), 2, "{two}");
        assert_eq!(server.run("HRANDFIELD none"), "$-1|");
        assert_eq!(server.run("HRANDFIELD none -5"), "*0|");
    }
}
