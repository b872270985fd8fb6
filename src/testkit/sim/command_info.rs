//! The entry of a command in the reply to `COMMAND`.

use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Spec};
use crate::testkit::sim::table::{self, Word};
use crate::testkit::sim::tips;

/// By its name, also as `config|get`; nil if there is none.
pub(super) fn of_name(name: &[u8], profile: Profile) -> Reply {
    if let Some(word) = table::word(name, profile) {
        return of_word(word, profile);
    }
    let first = name.split(|byte| *byte == b'|').next().and_then(|first| table::word(first, profile));
    match (first, table::named(name, profile)) {
        // Redis 6.2 does not know subcommands by name.
        (Some(word), Some(spec)) if profile.since_7_0() => entry(word, Some(spec), &[], profile),
        _ => Reply::Nil,
    }
}

/// With its subcommands.
pub(super) fn of_word(word: &Word, profile: Profile) -> Reply {
    let subcommands: Vec<&Spec> = word.subcommands.values().copied().collect();
    entry(word, word.own, &subcommands, profile)
}

fn entry(word: &Word, spec: Option<&Spec>, subcommands: &[&Spec], profile: Profile) -> Reply {
    let name = spec.map_or(word.name, |spec| spec.name);
    // The parent of subcommands. Its keys are in their entries, except on Redis 6.2, where it is all there is.
    let keys = match spec {
        Some(spec) => spec.keys,
        None if profile.since_7_0() => Keys::None,
        None => {
            let keys = subcommands.iter().map(|spec| spec.keys).find(|keys| *keys != Keys::None);
            keys.filter(|_| word.name != "memory").unwrap_or(Keys::None)
        }
    };
    let (first, last, step) = range(keys, profile);
    let flags = flags(name, spec, keys, profile).into_iter().map(status).collect();
    let categories = categories(word, spec).into_iter().map(status).collect();
    let arity = spec.map_or(-2, |spec| spec.arity);
    let arity = match (name, profile) {
        ("command|getkeys" | "command|getkeysandflags", Profile::Redis70) => -4,
        // It has a form without an id.
        ("cluster|replicate", Profile::Valkey91) => -3,
        ("expire" | "pexpire" | "expireat" | "pexpireat", Profile::Redis62) => 3,
        _ => arity,
    };
    let mut entry = vec![
        Reply::bulk(name),
        Reply::Int(i64::try_from(arity).unwrap_or_default()),
        Reply::Set(flags),
        Reply::Int(first),
        Reply::Int(last),
        Reply::Int(step),
        Reply::Set(categories),
    ];
    if profile.since_7_0() {
        entry.push(Reply::Set(tips::of(name, profile).iter().map(Reply::bulk).collect()));
        entry.push(Reply::Set(spec.map(key_specs).unwrap_or_default()));
        let subcommands: Vec<Reply> =
            subcommands.iter().map(|spec| self::entry(word, Some(spec), &[], profile)).collect();
        // An empty list is of another type than a full one, except on Valkey 9.
        entry.push(if subcommands.is_empty() && profile != Profile::Valkey91 {
            Reply::Set(subcommands)
        } else {
            Reply::Array(subcommands)
        });
    }
    Reply::Array(entry)
}

fn status(text: &str) -> Reply {
    Reply::Simple(text.to_owned().into())
}

/// First, last and step, as far as they say it.
fn range(keys: Keys, profile: Profile) -> (i64, i64, i64) {
    let int = |number: usize| i64::try_from(number).unwrap_or_default();
    match keys {
        Keys::Range(first, last, step) => (int(first), i64::try_from(last).unwrap_or_default(), int(step)),
        Keys::StoreCounted | Keys::Sort => (1, 1, 1),
        Keys::Migrate if profile.since_7_0() => (3, 3, 1),
        _ => (0, 0, 0),
    }
}

/// The flags as this version has them.
fn flags<'a>(name: &str, spec: Option<&'a Spec>, keys: Keys, profile: Profile) -> Vec<&'a str> {
    let Some(spec) = spec else {
        return if profile.since_7_0() { Vec::new() } else { parent_flags(name).split(' ').collect() };
    };
    if matches!(spec.name, "host:" | "post") {
        return vec!["readonly", "loading", "stale"];
    }
    let is_known = |flag: &&str| match *flag {
        "" => false,
        "random" | "sort_for_script" | "may_replicate" => !profile.since_7_0(),
        "blocking" if spec.name == "wait" => profile.since_7_2(),
        "noscript" if spec.is("blocking") => !profile.since_7_2(),
        "loading" | "stale" if matches!(spec.name, "echo" | "readonly" | "readwrite") => profile.since_7_0(),
        "loading" if spec.name.starts_with("cluster|") => match spec.name {
            "cluster|slots" | "cluster|shards" => profile.since_7_2(),
            "cluster|info" | "cluster|myid" | "cluster|nodes" | "cluster|myshardid" => profile.is_valkey(),
            _ => true,
        },
        "allow_busy" | "blocking" | "no_async_loading" | "no_mandatory_keys" => profile.since_7_0(),
        // Later servers let scripts call a blocking command, which does not wait there.
        "noscript" if spec.is("blocking") => !profile.since_7_2(),
        "no_multi" => profile.nested_in_transaction(spec.name).is_some(),
        "no_auth" => spec.name != "reset" || profile.since_7_0(),
        _ => true,
    };
    let mut flags: Vec<&str> = spec.flags.split(' ').filter(is_known).collect();
    if profile.is_valkey() {
        flags.iter_mut().filter(|flag| **flag == "skip_slowlog").for_each(|flag| *flag = "skip_commandlog");
    }
    let is_movable = !matches!(keys, Keys::None | Keys::Range(..));
    match spec.name {
        "ping" if !profile.since_7_0() => flags.push("stale"),
        // Of these, those that tell the connection something of itself.
        "select" | "client|caching" | "client|capa" | "client|getname" | "client|getredir" | "client|id"
        | "client|no-evict" | "client|no-touch" | "client|reply" | "client|setinfo" | "client|setname"
            if profile == Profile::Valkey91 =>
        {
            flags.push("allow_busy");
        }
        _ => {}
    }
    if is_movable && !flags.contains(&"movablekeys") {
        flags.push("movablekeys");
    }
    flags
}

/// What Redis 6.2 says of commands that have subcommands.
fn parent_flags(name: &str) -> &'static str {
    match name {
        "client" => "admin noscript random loading stale",
        "config" | "acl" => "admin noscript loading stale",
        "cluster" => "admin random stale",
        "slowlog" => "admin random loading stale",
        "pubsub" => "pubsub random loading stale",
        "object" | "xinfo" => "readonly random",
        "memory" => "readonly random movablekeys",
        "xgroup" => "write denyoom",
        _ => "loading stale",
    }
}

/// The categories of ACL rules that it is in, in the order in which a server lists them.
pub(super) fn categories<'a>(word: &Word, spec: Option<&'a Spec>) -> Vec<&'a str> {
    let Some(spec) = spec else { return vec!["@slow"] };
    let mut categories = Vec::new();
    let mut when = |is: bool, category: &'static str| {
        if is {
            categories.push(category);
        }
    };
    let is_late = matches!(word.category, "@connection" | "@transaction");
    when(word.category == "@keyspace", "@keyspace");
    when(spec.is("readonly"), "@read");
    when(spec.is("write"), "@write");
    when(word.category != "@keyspace" && !word.category.is_empty() && !is_late, word.category);
    when(spec.is("admin"), "@admin");
    when(spec.is("fast"), "@fast");
    when(!spec.is("fast"), "@slow");
    when(spec.is("blocking"), "@blocking");
    when(spec.is("admin") || matches!(spec.name, "info" | "keys" | "flushall" | "flushdb"), "@dangerous");
    when(is_late, word.category);
    categories
}

/// What is done to the keys.
pub(super) fn key_flags(spec: &Spec) -> Reply {
    let flags: &[&str] = match spec.name {
        "ssubscribe" | "sunsubscribe" | "spublish" | "clusterscan" => &["not_key"],
        "set" => &["OW", "update"],
        _ if spec.is("write") => &["RW", "update"],
        _ => &["RO", "access"],
    };
    Reply::Set(flags.iter().map(|flag| status(flag)).collect())
}

fn key_specs(spec: &Spec) -> Vec<Reply> {
    let at = |place: usize| search("index", vec![("index", int(place))]);
    let behind = |word: &str, from: i64| {
        search("keyword", vec![("keyword", Reply::bulk(word)), ("startfrom", Reply::Int(from))])
    };
    let range = |last: i64, step: usize, limit: i64| {
        let fields =
            vec![("lastkey", Reply::Int(last)), ("keystep", int(step)), ("limit", Reply::Int(limit))];
        search("range", fields)
    };
    let counted = |step: usize| {
        let fields = vec![("keynumidx", int(0)), ("firstkey", int(1)), ("keystep", int(step))];
        search("keynum", fields)
    };
    let found = |begin: Reply, find: Reply| {
        Reply::Map(vec![
            (Reply::bulk("flags"), key_flags(spec)),
            (Reply::bulk("begin_search"), begin),
            (Reply::bulk("find_keys"), find),
        ])
    };
    match spec.keys {
        Keys::None => Vec::new(),
        Keys::Range(first, last, step) => {
            let last = i64::try_from(last).unwrap_or_default();
            // Counted from the first, unless it is counted from the end.
            let last = if last < 0 { last } else { last - i64::try_from(first).unwrap_or_default() };
            vec![found(at(first), range(last, step, 0))]
        }
        Keys::Counted(place) => vec![found(at(place), counted(1))],
        Keys::CountedPairs(place) => vec![found(at(place), counted(2))],
        // What it stores to cannot be said so.
        Keys::Sort => {
            let unknown = || search("unknown", Vec::new());
            vec![found(at(1), range(0, 1, 0)), found(unknown(), unknown())]
        }
        Keys::StoreCounted => vec![found(at(1), range(0, 1, 0)), found(at(2), counted(1))],
        Keys::Streams => {
            let from = if spec.name == "xreadgroup" { 4 } else { 1 };
            vec![found(behind("STREAMS", from), range(-1, 1, 2))]
        }
        Keys::Migrate => vec![found(at(3), range(0, 1, 0)), found(behind("KEYS", -2), range(-1, 1, 0))],
    }
}

fn search(kind: &str, spec: Vec<(&str, Reply)>) -> Reply {
    let spec = spec.into_iter().map(|(name, value)| (Reply::bulk(name), value)).collect();
    Reply::Map(vec![(Reply::bulk("type"), Reply::bulk(kind)), (Reply::bulk("spec"), Reply::Map(spec))])
}

fn int(number: usize) -> Reply {
    Reply::int(number)
}
