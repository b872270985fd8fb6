//! `OBJECT`: how a server would keep a value.

use bytes::Bytes;

use crate::testkit::sim::call::{Answered, DataCall, int, reply};
use crate::testkit::sim::keyspace::entry::{Entry, Stored};
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Spec};

const SECOND: Keys = Keys::Range(2, 2, 1);

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::data("object|encoding", 3, "readonly", SECOND, encoding),
    Spec::data("object|refcount", 3, "readonly", SECOND, refcount),
    Spec::data("object|idletime", 3, "readonly", SECOND, idletime),
    Spec::data("object|freq", 3, "readonly", SECOND, freq),
];

fn of_entry(call: &DataCall<'_>, shown: impl FnOnce(&Entry) -> Result<Reply, Refused>) -> Answered {
    match call.keys.entry(&call.arg(2)) {
        Some(entry) => reply(shown(entry)?),
        None => reply(Reply::Nil),
    }
}

fn encoding(call: &mut DataCall<'_>) -> Answered {
    let key = call.arg(2);
    of_entry(call, |entry| Ok(Reply::bulk(name(key.len(), &entry.value, call.profile))))
}

fn refcount(call: &mut DataCall<'_>) -> Answered {
    of_entry(call, |entry| {
        let is_shared = matches!(&*entry.value, Stored::Text(text) if int(&text.0).is_ok_and(|number| (0..10_000).contains(&number)));
        let is_shared = is_shared && !call.profile.since_7_2();
        Ok(Reply::Int(if is_shared { i64::from(i32::MAX) } else { 1 }))
    })
}

/// The simulation does not note when a key was used.
fn idletime(call: &mut DataCall<'_>) -> Answered {
    of_entry(call, |_| Ok(Reply::Int(0)))
}

fn freq(call: &mut DataCall<'_>) -> Answered {
    of_entry(call, |_| {
        Err(Refused::new(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
             between policies at runtime LRU and LFU data will take some time to adjust.",
        ))
    })
}

/// By the servers' default limits, from the value alone: a server also remembers what was once larger or appended to.
fn name(key_length: usize, value: &Stored, profile: Profile) -> &'static str {
    let small = if profile.since_7_0() { "listpack" } else { "ziplist" };
    let fits = |mut items: Box<dyn Iterator<Item = &Bytes> + '_>, count: usize, most: usize| {
        count <= most && items.all(|item| item.len() <= 64)
    };
    match value {
        Stored::Text(text) if int(&text.0).is_ok() => "int",
        Stored::Text(text) if text.0.len() <= embedded(key_length, profile) => "embstr",
        Stored::Text(_) => "raw",
        Stored::List(list) => {
            let bytes: usize = list.iter().map(Bytes::len).sum();
            if profile.since_7_2() && bytes + list.len() * 2 <= 8192 { "listpack" } else { "quicklist" }
        }
        Stored::Hash(hash)
            if fits(Box::new(hash.iter().flat_map(|(field, value)| [field, value])), hash.len(), 512) =>
        {
            small
        }
        Stored::Set(set) if set.len() <= 512 && set.iter().all(|member| int(member).is_ok()) => "intset",
        Stored::Set(set) if profile.since_7_2() && fits(Box::new(set.iter()), set.len(), 128) => "listpack",
        Stored::Hash(_) | Stored::Set(_) => "hashtable",
        Stored::SortedSet(set) if fits(Box::new(set.iter().map(|(member, _)| member)), set.len(), 128) => {
            small
        }
        Stored::SortedSet(_) => "skiplist",
        Stored::Stream(_) => "stream",
    }
}

/// How long a string may be that is kept in one piece with its head, on newer servers with its key too. Measured on
/// keys without an expiry; a very long key takes a few bytes more.
fn embedded(key_length: usize, profile: Profile) -> usize {
    match profile {
        Profile::Redis62 | Profile::Redis70 => 44,
        Profile::Redis82 | Profile::Redis84 | Profile::Valkey81 => 41_usize.saturating_sub(key_length),
        Profile::Valkey91 => 113_usize.saturating_sub(key_length),
    }
}

#[cfg(test)]
mod tests {
    use crate::testkit::sim::commands::test_line::TestLine;
    use crate::testkit::sim::profile::Profile;

    #[test]
    fn a_value_is_kept_as_the_profile_keeps_it() {
        let long = "x".repeat(65);
        let row = |server: &mut TestLine, set: &str| {
            server.run("DEL k");
            server.run(set);
            server.run("OBJECT ENCODING k")
        };
        for mut server in TestLine::each() {
            assert_eq!(row(&mut server, "SET k 12"), "$3|int|");
            assert_eq!(row(&mut server, "SET k 012"), "$6|embstr|");
            assert_eq!(row(&mut server, &format!("SET k {}", "x".repeat(113))), "$3|raw|");
            let is_old = server.profile() == Profile::Redis62;
            assert_eq!(row(&mut server, "HSET k f v"), if is_old { "$7|ziplist|" } else { "$8|listpack|" });
            assert_eq!(row(&mut server, &format!("HSET k f {long}")), "$9|hashtable|");
            assert_eq!(server.run("OBJECT ENCODING none"), "$-1|");
        }
    }

    #[test]
    fn older_servers_share_small_numbers() {
        for mut server in TestLine::each() {
            server.run("SET k 5");
            let is_shared = matches!(server.profile(), Profile::Redis62 | Profile::Redis70);
            assert_eq!(server.run("OBJECT REFCOUNT k"), if is_shared { ":2147483647|" } else { ":1|" });
        }
    }
}
