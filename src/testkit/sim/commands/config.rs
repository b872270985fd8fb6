//! `CONFIG`: the settings that the simulation follows, and some that it only remembers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::testkit::sim::call::{Answered, Call, reply};
use crate::testkit::sim::glob;
use crate::testkit::sim::node::Endpoint;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Spec};

const FLAGS: &str = "admin noscript loading stale";

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::world("config|get", -3, FLAGS, Keys::None, get),
    Spec::world("config|set", -4, FLAGS, Keys::None, set),
    Spec::world("config|resetstat", 2, FLAGS, Keys::None, resetstat),
    Spec::world("config|rewrite", 2, FLAGS, Keys::None, rewrite),
];

/// What a setting's value may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Memory,
    Switch,
    /// One of these words.
    OneOf(&'static [&'static str]),
    Hostname,
    /// It was read when the server started.
    Fixed,
}

/// Settings with their values at the start; what the simulation itself follows is read where it is followed.
const SETTINGS: &[(&str, Kind, &str)] = &[
    ("appendonly", Kind::Switch, "no"),
    ("cluster-allow-pubsubshard-when-down", Kind::Switch, "yes"),
    ("cluster-allow-reads-when-down", Kind::Switch, "no"),
    ("cluster-allow-replica-migration", Kind::Switch, "yes"),
    ("cluster-announce-hostname", Kind::Hostname, ""),
    ("cluster-enabled", Kind::Fixed, "yes"),
    ("cluster-node-timeout", Kind::Number, "15000"),
    ("cluster-preferred-endpoint-type", Kind::OneOf(&["ip", "hostname", "unknown-endpoint"]), "ip"),
    ("cluster-replica-no-failover", Kind::Switch, "no"),
    ("cluster-replica-validity-factor", Kind::Number, "10"),
    ("cluster-require-full-coverage", Kind::Switch, "yes"),
    ("databases", Kind::Fixed, "16"),
    ("masterauth", Kind::Text, ""),
    ("masteruser", Kind::Text, ""),
    ("maxclients", Kind::Number, "10000"),
    ("maxmemory", Kind::Memory, "0"),
    ("maxmemory-policy", Kind::Text, "noeviction"),
    ("min-replicas-to-write", Kind::Number, "0"),
    ("notify-keyspace-events", Kind::Text, ""),
    ("proto-max-bulk-len", Kind::Memory, "536870912"),
    ("replica-serve-stale-data", Kind::Switch, "yes"),
    ("requirepass", Kind::Text, ""),
    ("save", Kind::Text, ""),
    ("slowlog-log-slower-than", Kind::Number, "10000"),
    ("slowlog-max-len", Kind::Number, "128"),
    ("tcp-keepalive", Kind::Number, "300"),
    ("timeout", Kind::Number, "0"),
];

fn switch(is_on: bool) -> String {
    if is_on { "yes" } else { "no" }.to_owned()
}

fn value(call: &Call<'_>, name: &str, at_first: &str) -> String {
    let settings = &call.world.settings;
    let node = call.world.node(call.node);
    match name {
        "cluster-node-timeout" => settings.node_timeout.as_millis().to_string(),
        "cluster-require-full-coverage" => switch(settings.requires_full_coverage),
        "cluster-allow-reads-when-down" => switch(settings.allows_reads_when_down),
        "cluster-replica-no-failover" => switch(!settings.fails_over),
        "cluster-announce-hostname" => node.hostname.clone().unwrap_or_default(),
        "cluster-preferred-endpoint-type" => match node.endpoint {
            Endpoint::Ip => "ip",
            Endpoint::Hostname => "hostname",
            Endpoint::Unknown => "unknown-endpoint",
        }
        .to_owned(),
        "requirepass" => node.password.clone().unwrap_or_default(),
        _ => node.config.get(name).map_or(at_first, String::as_str).to_owned(),
    }
}

fn get(call: &mut Call<'_>) -> Answered {
    let patterns = call.rest(2);
    if patterns.len() > 1 && !call.profile().since_7_0() {
        return Err(Refused::wrong_subcommand("CONFIG", &call.arg(1), call.profile()));
    }
    let is_wanted = |name: &str| {
        patterns.iter().any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
    };
    let found = SETTINGS.iter().filter(|(name, ..)| is_wanted(name));
    let pairs =
        found.map(|(name, _, at_first)| (Reply::bulk(name), Reply::bulk(value(call, name, at_first))));
    reply(Reply::Map(pairs.collect()))
}

fn set(call: &mut Call<'_>) -> Answered {
    let is_new = call.profile().since_7_0();
    let pairs = call.rest(2).to_vec();
    if !pairs.len().is_multiple_of(2) || pairs.len() > 2 && !is_new {
        return Err(if is_new {
            Refused::syntax()
        } else {
            Refused::wrong_subcommand("CONFIG", &call.arg(1), call.profile())
        });
    }
    let mut wanted = BTreeMap::new();
    for pair in pairs.chunks(2) {
        let [name, value] = pair else { continue };
        let name = String::from_utf8_lossy(name).to_lowercase();
        let known = SETTINGS.iter().find(|(known, ..)| *known == name);
        let Some((_, kind, _)) = known.filter(|(_, kind, _)| is_new || *kind != Kind::Fixed) else {
            return Err(Refused::new(if is_new {
                format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
            } else {
                format!("ERR Unsupported CONFIG parameter: {name}")
            }));
        };
        let why = if wanted.contains_key(&name) {
            Some(Cow::Borrowed("duplicate parameter"))
        } else {
            objection(*kind, value)
        };
        if let Some(why) = why {
            let value = String::from_utf8_lossy(value);
            return Err(Refused::new(if is_new {
                format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
            } else {
                format!("ERR Invalid argument '{value}' for CONFIG SET '{name}' - {why}")
            }));
        }
        let value = match kind {
            Kind::Memory => bytes_of(value).unwrap_or_default().to_string(),
            _ => String::from_utf8_lossy(value).into_owned(),
        };
        wanted.insert(name, value);
    }
    for (name, value) in wanted {
        put(call, name, value);
    }
    reply(Reply::Ok)
}

/// Why a value cannot be.
fn objection(kind: Kind, value: &Bytes) -> Option<Cow<'static, str>> {
    Some(Cow::Borrowed(match kind {
        Kind::OneOf(words) => {
            if words.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes())) {
                return None;
            }
            let words = words.join(", ");
            return Some(format!("argument(s) must be one of the following: {words}").into());
        }
        Kind::Hostname => {
            let is_fine = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
            if value.iter().all(is_fine) {
                return None;
            }
            "Hostnames may only contain alphanumeric characters, hyphens or dots"
        }
        _ => return plain_objection(kind, value).map(Cow::Borrowed),
    }))
}

/// `1gb` as a number of bytes.
fn bytes_of(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.to_ascii_lowercase();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
    let unit = match text.get(digits.len()..)? {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

fn plain_objection(kind: Kind, value: &Bytes) -> Option<&'static str> {
    let text = String::from_utf8_lossy(value).to_lowercase();
    match kind {
        Kind::Text | Kind::OneOf(_) | Kind::Hostname => None,
        Kind::Number => text.parse::<i64>().is_err().then_some("argument couldn't be parsed into an integer"),
        Kind::Memory => bytes_of(value).is_none().then_some("argument must be a memory value"),
        Kind::Switch => (text != "yes" && text != "no").then_some("argument must be 'yes' or 'no'"),
        Kind::Fixed => Some("can't set immutable config"),
    }
}

fn put(call: &mut Call<'_>, name: String, value: String) {
    let is_on = value.eq_ignore_ascii_case("yes");
    let some = |value: String| (!value.is_empty()).then_some(value);
    let node = call.node;
    match name.as_str() {
        "cluster-node-timeout" => {
            let millis = value.parse().unwrap_or_default();
            call.world.settings.node_timeout = Duration::from_millis(millis);
        }
        "cluster-require-full-coverage" => call.world.settings.requires_full_coverage = is_on,
        "cluster-allow-reads-when-down" => call.world.settings.allows_reads_when_down = is_on,
        "cluster-replica-no-failover" => call.world.settings.fails_over = !is_on,
        "cluster-announce-hostname" => call.world.node_mut(node).hostname = some(value),
        "cluster-preferred-endpoint-type" => {
            call.world.node_mut(node).endpoint = match value.as_str() {
                "hostname" => Endpoint::Hostname,
                "unknown-endpoint" => Endpoint::Unknown,
                _ => Endpoint::Ip,
            };
        }
        "requirepass" => call.world.node_mut(node).password = some(value),
        _ => _ = call.world.node_mut(node).config.insert(name, value),
    }
}

fn resetstat(call: &mut Call<'_>) -> Answered {
    _ = call;
    reply(Reply::Ok)
}

fn rewrite(_: &mut Call<'_>) -> Answered {
    Err(Refused::new("ERR The server is running without a config file"))
}
