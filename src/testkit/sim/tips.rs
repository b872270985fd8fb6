//! What a server advises clients of a cluster about its commands: the tips of `COMMAND`.

use crate::testkit::sim::profile::Profile;

const NONDETERMINISTIC: &str = "nondeterministic_output";
const UNORDERED: &str = "nondeterministic_output_order";
const ALL_NODES: &str = "request_policy:all_nodes";
const ALL_SHARDS: &str = "request_policy:all_shards";
const MULTI_SHARD: &str = "request_policy:multi_shard";
const SPECIAL_REQUEST: &str = "request_policy:special";
const ALL_SUCCEEDED: &str = "response_policy:all_succeeded";
const SUM: &str = "response_policy:agg_sum";
const LEAST: &str = "response_policy:agg_min";
const SPECIAL_RESPONSE: &str = "response_policy:special";

/// The tips for a command, by its full name. Redis 6.2 has none.
pub(super) fn of(name: &str, profile: Profile) -> &'static [&'static str] {
    // The policies of connection and configuration commands came behind Redis 7.0.
    let is_newer = profile.since_7_2();
    match name {
        "slowlog|get" => &[ALL_NODES, NONDETERMINISTIC],
        "slowlog|len" => &[ALL_NODES, SUM, NONDETERMINISTIC],
        "slowlog|reset" | "config|set" => &[ALL_NODES, ALL_SUCCEEDED],
        "acl|deluser" | "acl|setuser" | "client|setname" | "client|setinfo" | "config|resetstat"
        | "config|rewrite"
            if is_newer =>
        {
            &[ALL_NODES, ALL_SUCCEEDED]
        }
        "keys" => &[ALL_SHARDS, UNORDERED],
        "wait" | "waitaof" => &[ALL_SHARDS, LEAST],
        "dbsize" => &[ALL_SHARDS, SUM],
        "flushall" | "flushdb" | "ping" => &[ALL_SHARDS, ALL_SUCCEEDED],
        "randomkey" if !is_newer => &[ALL_SHARDS, NONDETERMINISTIC],
        "randomkey" => &[ALL_SHARDS, SPECIAL_RESPONSE, NONDETERMINISTIC],
        "info" => &[NONDETERMINISTIC, ALL_SHARDS, SPECIAL_RESPONSE],
        "cluster|slot-stats" => &[NONDETERMINISTIC, ALL_SHARDS],
        "mget" => &[MULTI_SHARD],
        "del" | "exists" | "touch" | "unlink" => &[MULTI_SHARD, SUM],
        "mset" | "msetex" => &[MULTI_SHARD, ALL_SUCCEEDED],
        "msetnx" if profile == Profile::Redis70 => &[MULTI_SHARD, LEAST],
        "scan" | "clusterscan" => &[NONDETERMINISTIC, SPECIAL_REQUEST, SPECIAL_RESPONSE],
        "command" | "command|info" | "command|list" | "command|docs" | "smembers" | "sdiff" | "sinter"
        | "sunion" | "hkeys" | "hvals" | "hgetall" => &[UNORDERED],
        "time" | "client|list" | "client|info" | "cluster|slots" | "cluster|shards" | "cluster|nodes"
        | "cluster|info" | "cluster|replicas" | "cluster|slaves" | "migrate" | "spop" | "srandmember"
        | "hrandfield" | "zrandmember" | "sscan" | "hscan" | "zscan" | "object|encoding" | "object|freq"
        | "object|idletime" | "object|refcount" | "ttl" | "pttl" | "xadd" | "xpending" | "xautoclaim"
        | "xclaim" | "xtrim" => &[NONDETERMINISTIC],
        _ => &[],
    }
}
