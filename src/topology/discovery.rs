//! Reads what a node answers about the cluster into a [`SlotMap`].
//!
//! `CLUSTER SLOTS` says who owns what: every version has it, and newer ones answer it while they load. `CLUSTER
//! SHARDS` (7.0 on) adds what it leaves out: replicas without an offset yet, health, zones, primaries without slots.
//! `CLUSTER NODES` has the configuration epochs, by which the newer of two views is known: whoever takes slots over gets
//! one that is higher than all others. `CLUSTER INFO` says whether the node sees a cluster that works, and has an epoch
//! for who may not ask for the other: the current one, which a mere vote raises as well.
//!
//! Sources: [CLUSTER SLOTS](https://redis.io/docs/latest/commands/cluster-slots/),
//! [CLUSTER SHARDS](https://redis.io/docs/latest/commands/cluster-shards/),
//! [CLUSTER INFO](https://redis.io/docs/latest/commands/cluster-info/),
//! [CLUSTER NODES](https://redis.io/docs/latest/commands/cluster-nodes/).

use std::fmt::{self, Write};
use std::sync::Arc;

use thiserror::Error;

use crate::node::NodeAddr;
use crate::protocol::info_text;
use crate::protocol::server_error::ServerError;
use crate::protocol::value::Value;
use crate::slot::Slot;
use crate::topology::node_columns::NodeColumns;
use crate::topology::slot_map::{Health, Node, NodeIndex, Role, SlotMap};

/// The replies of one node.
#[derive(Debug)]
pub(crate) struct TopologyReplies {
    /// To `CLUSTER SLOTS`.
    pub(crate) slots: Value,
    /// To `CLUSTER SHARDS`; an error where the server does not have it.
    pub(crate) shards: Value,
    /// To `CLUSTER INFO`.
    pub(crate) info: Value,
    /// To `CLUSTER NODES`.
    pub(crate) nodes: Value,
    /// They came by TLS: of a node's two ports in `CLUSTER SHARDS`, that for TLS is meant.
    pub(crate) over_tls: bool,
}

/// Why replies are of no use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum DiscoveryError {
    #[error("CLUSTER SLOTS was answered with: {0}")]
    Refused(ServerError),
    #[error("it knows no slots: it is not part of a cluster yet (redis-cli --cluster create makes one)")]
    NoSlots,
    #[error("CLUSTER SLOTS was answered with {0}, which is not its form")]
    BadForm(String),
}

/// The map that `replies` of the node at `asked` describe.
pub(crate) fn read(replies: &TopologyReplies, asked: &NodeAddr) -> Result<SlotMap, DiscoveryError> {
    let ranges = match &replies.slots {
        Value::Array(ranges) => ranges,
        Value::Error(error) if error.text().contains("cluster support disabled") => {
            return Ok(SlotMap::standalone(asked.clone()));
        }
        Value::Error(error) => return Err(DiscoveryError::Refused(error.clone())),
        other => return Err(DiscoveryError::BadForm(other.kind().to_string())),
    };
    if ranges.is_empty() {
        return Err(DiscoveryError::NoSlots);
    }
    // Each has a slot of its own; taking many more would hold up the thread for as long as a server likes.
    if ranges.len() > usize::from(Slot::COUNT) {
        return Err(DiscoveryError::BadForm(format!("{} ranges of slots", ranges.len())));
    }
    let mut map =
        SlotMap::empty(config_epoch(&replies.nodes).unwrap_or_else(|| current_epoch(&replies.info)));
    if says_down(&replies.info) {
        map.doubt();
    }
    let bad_form = |range: &Value| DiscoveryError::BadForm(beginning(range));
    let mut read = Vec::with_capacity(ranges.len());
    for range in ranges {
        read.push(Range::read(range).ok_or_else(|| bad_form(range))?);
    }
    // All primaries first: in the middle of a failover a node may be the primary of one range and still be listed as
    // the replica of another.
    let primaries: Vec<Option<NodeIndex>> =
        read.iter().map(|range| add_primary(&mut map, range, asked)).collect();
    for (range, primary) in read.iter().zip(primaries) {
        if let Some(primary) = primary {
            add_replicas(&mut map, range, primary, asked);
        }
    }
    if map.assigned_slots() == 0 {
        return Err(DiscoveryError::NoSlots);
    }
    if let Value::Array(shards) = &replies.shards {
        for shard in shards {
            read_shard(&mut map, shard, asked, replies.over_tls);
        }
    }
    Ok(map)
}

/// How a value looks in `Debug`, as far as an error needs it: the whole could be many times a reply that is large as it
/// is.
fn beginning(value: &Value) -> String {
    let mut text = Beginning { text: String::new(), room: 200 };
    match write!(text, "{value:?}") {
        // It fails when the room is used up, and the formatting ends there.
        Ok(()) | Err(fmt::Error) => text.text,
    }
}

struct Beginning {
    text: String,
    room: usize,
}

impl Write for Beginning {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        for char in more.chars() {
            self.room = self.room.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(char);
        }
        Ok(())
    }
}

/// One `[first, last, primary, replica...]`.
struct Range<'a> {
    first: Slot,
    last: Slot,
    primary: &'a Value,
    replicas: &'a [Value],
}

impl<'a> Range<'a> {
    /// `None` if it has another form.
    fn read(range: &'a Value) -> Option<Self> {
        let Value::Array(fields) = range else { return None };
        let [Value::Int(first), Value::Int(last), nodes @ ..] = fields.as_slice() else { return None };
        let slot = |number: i64| Slot::new(u16::try_from(number).ok()?);
        if !nodes.iter().all(|node| matches!(node, Value::Array(_))) {
            return None;
        }
        let (primary, replicas) = nodes.split_first()?;
        Some(Self { first: slot(*first)?, last: slot(*last)?, primary, replicas })
    }
}

/// `None` for a node whose address nobody knows (`noaddr`, or `?` without an IP): it cannot be asked, so its slots
/// are as good as unassigned.
fn add_primary(map: &mut SlotMap, range: &Range<'_>, asked: &NodeAddr) -> Option<NodeIndex> {
    let named = NamedNode::read(range.primary, asked)?;
    let index = match named.place_in(map) {
        Some(known) => known,
        None => map.add_node(Node::primary(named.addr(), named.id()))?,
    };
    map.add_shard(index);
    for number in range.first.get()..=range.last.get() {
        map.assign(Slot::new(number)?, index);
    }
    Some(index)
}

fn add_replicas(map: &mut SlotMap, range: &Range<'_>, primary: NodeIndex, asked: &NodeAddr) {
    for named in range.replicas.iter().filter_map(|entry| NamedNode::read(entry, asked)) {
        let index = match named.place_in(map) {
            Some(known) if map.is_primary(known) => continue,
            Some(known) => Some(known),
            None => map.add_node(Node::replica(named.addr(), named.id())),
        };
        if let Some(index) = index {
            map.add_replica(primary, index);
        }
    }
}

/// A node as an entry of `CLUSTER SLOTS` names it.
struct NamedNode<'a> {
    host: &'a str,
    port: u16,
    id: Option<&'a str>,
}

impl<'a> NamedNode<'a> {
    /// Of `[endpoint, port, id, metadata]`; the last is absent before 7.0, and later versions may add to it.
    fn read(entry: &'a Value, asked: &'a NodeAddr) -> Option<Self> {
        let Value::Array(fields) = entry else { return None };
        let [endpoint, Value::Int(port), rest @ ..] = fields.as_slice() else { return None };
        let port = u16::try_from(*port).ok().filter(|port| *port != 0)?;
        let metadata_ip = || rest.get(1).and_then(|metadata| field(metadata, "ip")).and_then(Value::as_str);
        let host = endpoint_host(endpoint, metadata_ip, asked)?;
        Some(Self { host, port, id: rest.first().and_then(Value::as_str) })
    }

    /// Where the map has it already. By its id if that leads to the same address: a fragmented cluster names each node
    /// many times, and an address would have to be made of the texts each time.
    fn place_in(&self, map: &SlotMap) -> Option<NodeIndex> {
        let is_here = |index: &NodeIndex| {
            map.node(*index)
                .is_some_and(|node| node.addr.port() == self.port && node.addr.host() == self.host)
        };
        let by_id = self.id.and_then(|id| map.index_of_id(id)).filter(is_here);
        by_id.or_else(|| map.index_of(&self.addr()))
    }

    fn addr(&self) -> NodeAddr {
        NodeAddr::new(self.host, self.port)
    }

    fn id(&self) -> Option<Arc<str>> {
        self.id.map(Arc::from)
    }
}

/// Nothing or an empty text means "the host that you asked"; `?` means that no name is known, so the IP is taken.
fn endpoint_host<'a>(
    endpoint: &'a Value,
    ip: impl FnOnce() -> Option<&'a str>,
    asked: &'a NodeAddr,
) -> Option<&'a str> {
    match endpoint.as_str() {
        None | Some("") => Some(asked.host()),
        Some("?") => ip().filter(|ip| !ip.is_empty()),
        Some(host) => Some(host),
    }
}

/// Adds to the map what one shard of `CLUSTER SHARDS` says beyond `CLUSTER SLOTS`. What it does not understand it
/// leaves out: ownership is settled already.
fn read_shard(map: &mut SlotMap, shard: &Value, asked: &NodeAddr, over_tls: bool) {
    let Some(Value::Array(entries)) = field(shard, "nodes") else { return };
    let mut members: Vec<Member> =
        entries.iter().filter_map(|entry| shard_node(entry, asked, over_tls)).collect();
    // A node that was reset is listed under its old id as well until that is forgotten.
    members.retain(|member| {
        let by_addr = map.index_of(&member.addr).and_then(|index| map.node(index));
        by_addr.is_none_or(|node| node.id.as_ref() == Some(&member.id))
    });
    let known_primary =
        members.iter().filter_map(|member| map.index_of_id(&member.id)).find(|index| map.is_primary(*index));
    let primary = known_primary.or_else(|| {
        // A primary without slots: of use for adding nodes and for commands that go to every node.
        let empty = members.iter().find(|member| {
            member.role == Role::Primary
                && member.health != Health::Failed
                && map.index_of(&member.addr).is_none()
        })?;
        let index = map.add_node(Node::primary(empty.addr.clone(), Some(empty.id.clone())))?;
        map.add_shard(index);
        Some(index)
    });
    let Some(primary) = primary else { return };
    for member in members {
        let index = map.index_of_id(&member.id).or_else(|| member_index(map, &member, primary));
        if let Some(node) = index.and_then(|index| map.node_mut(index)) {
            node.health = member.health;
            node.zone = member.zone;
        }
    }
}

/// Places a member that `CLUSTER SLOTS` did not list. A second primary of a shard is one that was failed over and is
/// not known as a replica yet: nothing may be sent to it, so it stays out.
fn member_index(map: &mut SlotMap, member: &Member, primary: NodeIndex) -> Option<NodeIndex> {
    if map.index_of(&member.addr).is_some() {
        return None;
    }
    match member.role {
        Role::Primary => None,
        Role::Replica => {
            let index = map.add_node(Node::replica(member.addr.clone(), Some(member.id.clone())))?;
            map.add_replica(primary, index);
            Some(index)
        }
    }
}

struct Member {
    id: Arc<str>,
    addr: NodeAddr,
    role: Role,
    health: Health,
    zone: Option<Arc<str>>,
}

fn shard_node(entry: &Value, asked: &NodeAddr, over_tls: bool) -> Option<Member> {
    let text = |name| field(entry, name).and_then(Value::as_str);
    // A node has one of them, or both; and only the plain one if its cluster does not tell the other.
    let [first, second] = if over_tls { ["tls-port", "port"] } else { ["port", "tls-port"] };
    let port = field(entry, first).or_else(|| field(entry, second)).and_then(Value::as_int)?;
    let host = endpoint_host(field(entry, "endpoint")?, || text("ip"), asked)?;
    Some(Member {
        id: text("id")?.into(),
        addr: NodeAddr::new(host, u16::try_from(port).ok().filter(|port| *port != 0)?),
        role: if text("role")? == "master" { Role::Primary } else { Role::Replica },
        health: match text("health") {
            Some("fail") => Health::Failed,
            Some("loading") => Health::Loading,
            // `online`, and whatever a later version may call a node that it does not call failed.
            Some(_) | None => Health::Online,
        },
        zone: text("availability-zone").filter(|zone| !zone.is_empty()).map(Arc::from),
    })
}

/// The value of `name` in a map, or in the flat array that RESP2 sends in its place.
fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let is_named = |key: &Value| key.as_bytes() == Some(name.as_bytes());
    match value {
        Value::Map(pairs) => pairs.iter().find(|(key, _)| is_named(key)).map(|(_, value)| value),
        Value::Array(items) => items.chunks_exact(2).find(|pair| pair.first().is_some_and(is_named))?.get(1),
        _no_fields => None,
    }
}

/// The highest configuration epoch of a primary in `CLUSTER NODES`; `None` if that does not say any.
fn config_epoch(nodes: &Value) -> Option<u64> {
    let primaries = NodeColumns::all(nodes.as_str()?).filter(|line| line.has_flag("master"));
    primaries.map(|line| line.epoch).max()
}

/// `cluster_current_epoch` of `CLUSTER INFO`, or 0 where it is refused (an ACL user without that command).
fn current_epoch(info: &Value) -> u64 {
    info.as_str().and_then(|info| info_text::field(info, "cluster_current_epoch")?.parse().ok()).unwrap_or(0)
}

/// Whether the node sees a cluster that does not work: slots are not served, or it is cut off from the majority.
fn says_down(info: &Value) -> bool {
    info.as_str().and_then(|info| info_text::field(info, "cluster_state")).is_some_and(|state| state != "ok")
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_oneof, proptest};

    use super::{DiscoveryError, TopologyReplies, read};
    use crate::node::NodeAddr;
    use crate::protocol::codec::Decoder;
    use crate::protocol::server_error::ServerError;
    use crate::protocol::value::Value;
    use crate::slot::Slot;
    use crate::topology::slot_map::{Health, Node, Role, SlotMap};

    /// What older servers answer to `CLUSTER SHARDS`.
    const NO_SHARDS: &str =
        "-ERR Unknown subcommand or wrong number of arguments for 'SHARDS'. Try CLUSTER HELP.␤";

    /// A reply as it was recorded: `␤` ends a line, `<a>` is the id of forty `a`s.
    fn reply(recorded: &str) -> Value {
        let mut bytes = recorded.replace('␤', "\r\n");
        for letter in 'a'..='z' {
            bytes = bytes.replace(&format!("<{letter}>"), &letter.to_string().repeat(40));
        }
        let mut buffer = BytesMut::from(bytes.as_bytes());
        let value = Decoder::new(usize::MAX).decode(&mut buffer).unwrap().expect("a whole reply");
        assert!(buffer.is_empty(), "{} bytes too many", buffer.len());
        value
    }

    fn info(text: &'static str) -> Value {
        Value::Bulk(Bytes::from_static(text.as_bytes()))
    }

    fn replies(slots: &str, shards: &str) -> TopologyReplies {
        let info =
            info("cluster_state:ok\r\ncluster_current_epoch:6\r\ncluster_my_epoch:2\r\ncluster_size:3\r\n");
        TopologyReplies {
            slots: reply(slots),
            shards: reply(shards),
            info,
            nodes: Value::Nil,
            over_tls: false,
        }
    }

    fn asked() -> NodeAddr {
        NodeAddr::new("asked", 7000)
    }

    fn map(slots: &str, shards: &str) -> SlotMap {
        read(&replies(slots, shards), &asked()).unwrap()
    }

    /// Each shard as `primary ranges [replicas]`.
    fn shown(map: &SlotMap) -> Vec<String> {
        let mut shards: Vec<String> = map
            .shards()
            .map(|shard| {
                let ranges: Vec<String> = shard.ranges().iter().map(ToString::to_string).collect();
                let replicas: Vec<String> = shard.replicas().map(|node| node.addr.to_string()).collect();
                let primary = &shard.primary().addr;
                format!("{primary} {} [{}]", ranges.join(","), replicas.join(" "))
            })
            .collect();
        shards.sort();
        shards
    }

    fn node(map: &SlotMap, port: u16) -> &Node {
        map.nodes().iter().find(|node| node.addr.port() == port).unwrap()
    }

    /// A map that contradicts itself would send commands astray.
    fn assert_sound(map: &SlotMap) {
        for shard in map.shards() {
            assert_eq!(shard.primary().role, Role::Primary, "{map:?}");
        }
        for slot in Slot::all() {
            if let Some(owner) = map.primary_of(slot) {
                assert_eq!(owner.role, Role::Primary, "{map:?}");
            }
        }
        let mut addrs: Vec<_> = map.nodes().iter().map(|node| &node.addr).collect();
        addrs.sort();
        addrs.dedup();
        assert_eq!(addrs.len(), map.nodes().len(), "a node is in it twice: {map:?}");
    }

    #[test]
    fn redis_6_sends_nodes_of_three_elements() {
        let map = map(
            "*2␤*4␤:0␤:5460␤*3␤$9␤127.0.0.1␤:18000␤$40␤<a>␤*3␤$9␤127.0.0.1␤:18003␤$40␤<b>␤*3␤:5461␤:16383␤*3␤$9␤127.0.0.1␤:18001␤$40␤<c>␤",
            NO_SHARDS,
        );
        assert_eq!(
            shown(&map),
            ["127.0.0.1:18000 0-5460 [127.0.0.1:18003]", "127.0.0.1:18001 5461-16383 []"]
        );
        assert_eq!((map.epoch(), map.assigned_slots()), (6, 16384));
        assert_eq!(node(&map, 18003).role, Role::Replica);
        assert_eq!(node(&map, 18001).id.as_deref(), Some("c".repeat(40).as_str()));
        assert_sound(&map);
    }

    #[test]
    fn later_servers_add_metadata_in_either_protocol() {
        for empty in ["*0␤", "%0␤"] {
            let slots = format!("*1␤*3␤:0␤:16383␤*4␤$9␤127.0.0.1␤:18000␤$40␤<a>␤{empty}");
            assert_eq!(shown(&map(&slots, NO_SHARDS)), ["127.0.0.1:18000 0-16383 []"]);
        }
        let zone = "*1␤*3␤:0␤:16383␤*4␤$9␤127.0.0.1␤:18000␤$40␤<a>␤*4␤$8␤hostname␤$17␤host0.example.com␤$17␤availability-zone␤$10␤us-east-1a␤";
        assert_eq!(shown(&map(zone, NO_SHARDS)), ["127.0.0.1:18000 0-16383 []"]);
    }

    #[test]
    fn what_a_later_version_may_add_is_no_reason_to_fail() {
        let slots = "*1␤*3␤:0␤:16383␤*6␤$9␤127.0.0.1␤:18000␤$40␤<a>␤*0␤$3␤new␤*1␤:1␤";
        assert_eq!(shown(&map(slots, NO_SHARDS)), ["127.0.0.1:18000 0-16383 []"]);
    }

    #[test]
    fn a_hostname_is_taken_where_the_cluster_prefers_it_and_else_the_ip() {
        for (open, ip) in [("*2␤", "$2␤ip␤$9␤127.0.0.1␤"), ("%1␤", "$2␤ip␤$9␤127.0.0.1␤")]
        {
            let slots = format!(
                "*2␤*3␤:0␤:8191␤*4␤$17␤host1.example.com␤:18000␤$40␤<a>␤{open}{ip}*3␤:8192␤:16383␤*4␤$1␤?␤:18001␤$40␤<b>␤{open}{ip}"
            );
            assert_eq!(
                shown(&map(&slots, NO_SHARDS)),
                ["127.0.0.1:18001 8192-16383 []", "host1.example.com:18000 0-8191 []"]
            );
        }
    }

    #[test]
    fn a_node_without_any_name_or_ip_is_left_out() {
        for metadata in ["*0␤", "*2␤$2␤ip␤$0␤␤", "%0␤", "$-1␤"] {
            let slots = format!(
                "*2␤*3␤:0␤:8191␤*4␤$9␤127.0.0.1␤:18000␤$40␤<a>␤*0␤*3␤:8192␤:16383␤*4␤$1␤?␤:18001␤$40␤<b>␤{metadata}"
            );
            assert_eq!(shown(&map(&slots, NO_SHARDS)), ["127.0.0.1:18000 0-8191 []"], "{metadata}");
        }
    }

    #[test]
    fn an_unknown_endpoint_is_the_host_that_was_asked() {
        for null in ["$-1␤", "_␤", "$0␤␤"] {
            let slots = format!(
                "*1␤*4␤:0␤:16383␤*4␤{null}:18000␤$40␤<a>␤*4␤$2␤ip␤$9␤127.0.0.1␤$8␤hostname␤$1␤h␤*4␤{null}:18001␤$40␤<b>␤*0␤"
            );
            assert_eq!(shown(&map(&slots, NO_SHARDS)), ["asked:18000 0-16383 [asked:18001]"]);
        }
    }

    #[test]
    fn a_lone_node_that_does_not_know_its_own_ip_is_the_one_that_was_asked() {
        let slots = "*1␤*3␤:0␤:16383␤*4␤$0␤␤:18000␤$40␤<a>␤*0␤";
        let shards = "*1␤*4␤$5␤slots␤*2␤:0␤:16383␤$5␤nodes␤*1␤*14␤$2␤id␤$40␤<a>␤$4␤port␤:18000␤$2␤ip␤$0␤␤$8␤endpoint␤$0␤␤$4␤role␤$6␤master␤$18␤replication-offset␤:0␤$6␤health␤$6␤online␤";
        assert_eq!(shown(&map(slots, shards)), ["asked:18000 0-16383 []"]);
    }

    #[test]
    fn an_ipv6_address_is_a_host_without_brackets() {
        let slots = "*2␤*3␤:0␤:7999␤*4␤$3␤::1␤:18000␤$40␤<a>␤*0␤*3␤:8000␤:16383␤*4␤$3␤::1␤:18001␤$40␤<b>␤*0␤";
        let map = map(slots, NO_SHARDS);
        assert_eq!(map.primary_of(Slot::new(0).unwrap()).unwrap().addr, NodeAddr::new("::1", 18000));
    }

    /// Recorded after a hard reset of the second primary (Redis 7.0, Valkey 8.1 and 9.1, Redis 6.2).
    #[test]
    fn slots_of_a_node_without_an_address_have_no_owner() {
        let with = |rest: &str, size: u8| {
            format!(
                "*3␤*3␤:0␤:5460␤*{size}␤$9␤127.0.0.1␤:18000␤$40␤<a>␤{rest}*4␤:5461␤:10921␤*{size}␤$0␤␤:0␤$40␤<b>␤{rest}*{size}␤$9␤127.0.0.1␤:18004␤$40␤<c>␤{rest}*3␤:10922␤:16383␤*{size}␤$9␤127.0.0.1␤:18002␤$40␤<d>␤{rest}"
            )
        };
        let shards = "*2␤*4␤$5␤slots␤*2␤:5461␤:10921␤$5␤nodes␤*2␤*12␤$2␤id␤$40␤<b>␤$2␤ip␤$0␤␤$8␤endpoint␤$0␤␤$4␤role␤$6␤master␤$18␤replication-offset␤:41␤$6␤health␤$4␤fail␤*14␤$2␤id␤$40␤<c>␤$4␤port␤:18004␤$2␤ip␤$9␤127.0.0.1␤$8␤endpoint␤$9␤127.0.0.1␤$4␤role␤$7␤replica␤$18␤replication-offset␤:41␤$6␤health␤$6␤online␤*4␤$5␤slots␤*2␤:0␤:5460␤$5␤nodes␤*1␤*14␤$2␤id␤$40␤<a>␤$4␤port␤:18000␤$2␤ip␤$9␤127.0.0.1␤$8␤endpoint␤$9␤127.0.0.1␤$4␤role␤$6␤master␤$18␤replication-offset␤:14␤$6␤health␤$6␤online␤";
        for (slots, shards) in [(with("", 3), NO_SHARDS), (with("*0␤", 4), shards)] {
            let map = map(&slots, shards);
            assert_eq!(shown(&map), ["127.0.0.1:18000 0-5460 []", "127.0.0.1:18002 10922-16383 []"]);
            assert_eq!(map.primary_of(Slot::new(7000).unwrap()), None);
            assert_sound(&map);
        }
    }

    const ONE_RANGE: &str = "*1␤*3␤:0␤:16383␤*4␤$9␤127.0.0.1␤:18000␤$40␤<a>␤*0␤";

    #[test]
    fn shards_add_replicas_health_and_zones_in_resp2() {
        let shards = "*1␤*6␤$5␤slots␤*2␤:0␤:16383␤$5␤nodes␤*3␤*16␤$2␤id␤$40␤<a>␤$4␤port␤:18000␤$2␤ip␤$9␤127.0.0.1␤$8␤endpoint␤$9␤127.0.0.1␤$17␤availability-zone␤$10␤us-east-1a␤$4␤role␤$6␤master␤$18␤replication-offset␤:14␤$6␤health␤$6␤online␤*16␤$2␤id␤$40␤<b>␤$4␤port␤:18003␤$2␤ip␤$9␤127.0.0.1␤$8␤endpoint␤$9␤127.0.0.1␤$17␤availability-zone␤$0␤␤$4␤role␤$7␤replica␤$18␤replication-offset␤:0␤$6␤health␤$7␤loading␤*14␤$2␤id␤$40␤<c>␤$4␤port␤:18004␤$2␤ip␤$9␤127.0.0.1␤$8␤endpoint␤$9␤127.0.0.1␤$4␤role␤$7␤replica␤$18␤replication-offset␤:0␤$6␤health␤$4␤fail␤$2␤id␤$40␤<z>␤";
        let map = map(ONE_RANGE, shards);
        assert_eq!(shown(&map), ["127.0.0.1:18000 0-16383 [127.0.0.1:18003 127.0.0.1:18004]"]);
        assert_eq!(node(&map, 18000).zone.as_deref(), Some("us-east-1a"));
        assert_eq!((node(&map, 18000).health, node(&map, 18003).health), (Health::Online, Health::Loading));
        assert_eq!((node(&map, 18004).health, node(&map, 18003).zone.as_deref()), (Health::Failed, None));
        assert_sound(&map);
    }

    #[test]
    fn shards_are_maps_in_resp3_and_may_have_keys_that_nobody_knows() {
        let shards = "*1␤%3␤$5␤slots␤*2␤:0␤:16383␤$3␤new␤%1␤:1␤~1␤:2␤$5␤nodes␤*2␤%8␤$2␤id␤$40␤<a>␤$4␤port␤:18000␤$2␤ip␤$9␤127.0.0.1␤$8␤endpoint␤$9␤127.0.0.1␤$4␤role␤$6␤master␤$18␤replication-offset␤:0␤$6␤health␤$6␤online␤$3␤new␤*1␤_␤%7␤$2␤id␤$40␤<b>␤$4␤port␤:18003␤$2␤ip␤$9␤127.0.0.1␤$8␤endpoint␤$9␤127.0.0.1␤$4␤role␤$7␤replica␤$18␤replication-offset␤:0␤$6␤health␤$9␤sleeping!␤";
        let map = map(ONE_RANGE, shards);
        assert_eq!(shown(&map), ["127.0.0.1:18000 0-16383 [127.0.0.1:18003]"]);
        assert_eq!(node(&map, 18003).health, Health::Online, "not called failed");
    }

    #[test]
    fn a_cluster_that_speaks_tls_only_has_tls_ports_only() {
        let shards = "*1␤*4␤$5␤slots␤*2␤:0␤:16383␤$5␤nodes␤*2␤*14␤$2␤id␤$40␤<a>␤$8␤tls-port␤:18000␤$2␤ip␤$9␤127.0.0.1␤$8␤endpoint␤$9␤127.0.0.1␤$4␤role␤$6␤master␤$18␤replication-offset␤:0␤$6␤health␤$6␤online␤*14␤$2␤id␤$40␤<b>␤$8␤tls-port␤:18004␤$2␤ip␤$9␤127.0.0.1␤$8␤endpoint␤$9␤127.0.0.1␤$4␤role␤$7␤replica␤$18␤replication-offset␤:0␤$6␤health␤$6␤online␤";
        assert_eq!(shown(&map(ONE_RANGE, shards)), ["127.0.0.1:18000 0-16383 [127.0.0.1:18004]"]);
    }

    #[test]
    fn a_primary_without_slots_is_a_shard_of_its_own() {
        let shards = "*2␤*4␤$5␤slots␤*0␤$5␤nodes␤*2␤*14␤$2␤id␤$40␤<b>␤$4␤port␤:18002␤$2␤ip␤$3␤::1␤$8␤endpoint␤$3␤::1␤$4␤role␤$6␤master␤$18␤replication-offset␤:0␤$6␤health␤$6␤online␤*14␤$2␤id␤$40␤<c>␤$4␤port␤:18005␤$2␤ip␤$3␤::1␤$8␤endpoint␤$3␤::1␤$4␤role␤$7␤replica␤$18␤replication-offset␤:0␤$6␤health␤$6␤online␤*4␤$5␤slots␤*2␤:0␤:16383␤$5␤nodes␤*1␤*14␤$2␤id␤$40␤<a>␤$4␤port␤:18000␤$2␤ip␤$9␤127.0.0.1␤$8␤endpoint␤$9␤127.0.0.1␤$4␤role␤$6␤master␤$18␤replication-offset␤:0␤$6␤health␤$6␤online␤";
        let map = map(ONE_RANGE, shards);
        assert_eq!(shown(&map), ["127.0.0.1:18000 0-16383 []", "[::1]:18002  [[::1]:18005]"]);
        assert_sound(&map);
    }

    #[test]
    fn a_primary_that_was_failed_over_is_no_shard_beside_its_successor() {
        let shards = "*1␤*4␤$5␤slots␤*2␤:0␤:16383␤$5␤nodes␤*2␤*14␤$2␤id␤$40␤<b>␤$4␤port␤:18001␤$2␤ip␤$9␤127.0.0.1␤$8␤endpoint␤$9␤127.0.0.1␤$4␤role␤$6␤master␤$18␤replication-offset␤:0␤$6␤health␤$4␤fail␤*14␤$2␤id␤$40␤<a>␤$4␤port␤:18000␤$2␤ip␤$9␤127.0.0.1␤$8␤endpoint␤$9␤127.0.0.1␤$4␤role␤$6␤master␤$18␤replication-offset␤:0␤$6␤health␤$6␤online␤";
        assert_eq!(shown(&map(ONE_RANGE, shards)), ["127.0.0.1:18000 0-16383 []"]);
    }

    #[test]
    fn a_node_that_was_reset_and_is_listed_under_its_old_id_too_is_one_node() {
        let old = |role: &str| {
            format!(
                "*1␤*4␤$5␤slots␤*2␤:0␤:16383␤$5␤nodes␤*2␤*14␤$2␤id␤$40␤<a>␤$4␤port␤:18000␤$2␤ip␤$9␤127.0.0.1␤$8␤endpoint␤$9␤127.0.0.1␤$4␤role␤$6␤master␤$18␤replication-offset␤:0␤$6␤health␤$6␤online␤*14␤$2␤id␤$40␤<b>␤$4␤port␤:18000␤$2␤ip␤$9␤127.0.0.1␤$8␤endpoint␤$9␤127.0.0.1␤$4␤role␤{role}␤$18␤replication-offset␤:0␤$6␤health␤$4␤fail␤"
            )
        };
        for role in ["$6␤master", "$7␤replica"] {
            let map = map(ONE_RANGE, &old(role));
            assert_eq!(shown(&map), ["127.0.0.1:18000 0-16383 []"]);
            assert_eq!(node(&map, 18000).health, Health::Online);
            assert_sound(&map);
        }
    }

    #[test]
    fn a_node_that_is_primary_of_one_range_and_replica_in_another_is_a_primary() {
        for slots in [
            "*2␤*4␤:0␤:8191␤*3␤$1␤h␤:1␤$1␤a␤*3␤$1␤h␤:2␤$1␤b␤*3␤:8192␤:16383␤*3␤$1␤h␤:2␤$1␤b␤",
            "*2␤*3␤:8192␤:16383␤*3␤$1␤h␤:2␤$1␤b␤*4␤:0␤:8191␤*3␤$1␤h␤:1␤$1␤a␤*3␤$1␤h␤:2␤$1␤b␤",
        ] {
            assert_sound(&map(slots, NO_SHARDS));
        }
    }

    #[test]
    fn a_replica_that_shards_calls_a_primary_of_its_own_is_one_node() {
        let slots = "*1␤*4␤:0␤:16383␤*3␤$1␤h␤:1␤$40␤<a>␤*3␤$1␤h␤:2␤$40␤<b>␤";
        let shards = "*1␤%2␤$5␤slots␤*0␤$5␤nodes␤*1␤%5␤$2␤id␤$40␤<b>␤$4␤port␤:2␤$8␤endpoint␤$1␤h␤$4␤role␤$6␤master␤$6␤health␤$6␤online␤";
        assert_sound(&map(slots, shards));
    }

    #[test]
    fn ranges_may_come_in_any_order_and_cut() {
        let slots = "*3␤*3␤:100␤:16383␤*3␤$1␤h␤:1␤$1␤a␤*3␤:0␤:0␤*3␤$1␤h␤:1␤$1␤a␤*3␤:1␤:99␤*3␤$1␤h␤:2␤$1␤b␤";
        assert_eq!(shown(&map(slots, NO_SHARDS)), ["h:1 0,100-16383 []", "h:2 1-99 []"]);
    }

    #[test]
    fn a_server_outside_of_a_cluster_serves_every_slot() {
        let map = map(
            "-ERR This instance has cluster support disabled␤",
            "-ERR This instance has cluster support disabled␤",
        );
        assert_eq!(shown(&map), ["asked:7000 0-16383 []"]);
        assert_eq!(map.epoch(), 0);
    }

    #[test]
    fn a_node_that_knows_no_slots_or_refuses_says_so() {
        let failure = |slots: &str| read(&replies(slots, NO_SHARDS), &asked()).unwrap_err();
        assert_eq!(failure("*0␤"), DiscoveryError::NoSlots);
        assert_eq!(failure("*1␤*3␤:0␤:16383␤*4␤$0␤␤:0␤$40␤<a>␤*0␤"), DiscoveryError::NoSlots);
        let loading = "LOADING Redis is loading the dataset in memory";
        assert_eq!(failure(&format!("-{loading}␤")), DiscoveryError::Refused(ServerError::new(loading)));
        for garbage in [
            "+OK␤",
            "_␤",
            "*1␤:1␤",
            "*1␤*0␤",
            "*1␤*2␤:0␤:1␤*1",
            "*1␤*3␤:0␤:16384␤*3␤$1␤h␤:1␤$1␤a␤",
            "*1␤*3␤:-1␤:5␤*3␤$1␤h␤:1␤$1␤a␤",
            "*1␤*3␤:0␤:70000␤*3␤$1␤h␤:1␤$1␤a␤",
            "*1␤*3␤$1␤0␤$1␤5␤*3␤$1␤h␤:1␤$1␤a␤",
            "*1␤*3␤:0␤:5␤$1␤h␤",
        ] {
            let Some(garbage) = garbage.strip_suffix("*1").or(Some(garbage)) else { continue };
            let failure = failure(garbage);
            assert!(
                matches!(failure, DiscoveryError::BadForm(_) | DiscoveryError::NoSlots),
                "{garbage}: {failure:?}"
            );
        }
    }

    #[test]
    fn the_text_of_an_error_is_short_however_large_the_reply_was() {
        let items = vec![Value::Bulk(Bytes::from(vec![b'x'; 1000])); 1000];
        let slots = Value::Array(vec![Value::Array(items)]);
        let replies = TopologyReplies {
            slots,
            shards: Value::Nil,
            info: Value::Nil,
            nodes: Value::Nil,
            over_tls: false,
        };
        let mut text = String::new();
        let counted =
            allocation_counter::measure(|| text = read(&replies, &asked()).unwrap_err().to_string());
        assert!(text.len() < 2000, "{} bytes", text.len());
        // 64 KiB of it are the owners of the slots.
        assert!(counted.bytes_max < 100_000, "{} bytes were taken to make it", counted.bytes_max);
    }

    #[test]
    fn more_ranges_than_slots_are_not_looked_at() {
        let Value::Array(range) = reply(ONE_RANGE) else { panic!() };
        let failure = |count: usize| {
            let slots = Value::Array(range.iter().cycle().take(count).cloned().collect());
            let replies = TopologyReplies {
                slots,
                shards: Value::Nil,
                info: Value::Nil,
                nodes: Value::Nil,
                over_tls: false,
            };
            read(&replies, &asked()).err()
        };
        let text = failure(16385).map(|error| error.to_string());
        let expected = "CLUSTER SLOTS was answered with 16385 ranges of slots, which is not its form";
        assert_eq!((failure(10), text.as_deref()), (None, Some(expected)));
    }

    #[test]
    fn an_epoch_that_is_refused_counts_as_none() {
        let refused = reply("-NOPERM this user has no permissions␤");
        for info in [refused, info("abc"), info("cluster_current_epoch:many\r\n"), Value::Nil] {
            let replies = TopologyReplies { info, ..replies(ONE_RANGE, NO_SHARDS) };
            assert_eq!(read(&replies, &asked()).unwrap().epoch(), 0);
        }
        let text = Bytes::from_static(b"cluster_state:ok\r\ncluster_current_epoch:1234567\r\n");
        let info = Value::Verbatim { format: *b"txt", text };
        let replies = TopologyReplies { info, ..replies(ONE_RANGE, NO_SHARDS) };
        assert_eq!(read(&replies, &asked()).unwrap().epoch(), 1_234_567);
    }

    #[test]
    fn the_epoch_is_that_of_the_newest_owner_and_not_that_of_a_vote() {
        let nodes = info(
            "a1 h:1@2 myself,master - 0 5 2 connected 0-5460\nb1 h:2@3 master,fail - 0 5 7 connected 5461\n\
             c1 h:3@4 slave a1 0 5 9 connected\nd1 h:4@5 handshake - 0 0 0 disconnected\n",
        );
        let replies = TopologyReplies { nodes, ..replies(ONE_RANGE, NO_SHARDS) };
        assert_eq!(read(&replies, &asked()).unwrap().epoch(), 7);
        for nodes in [info("OK"), info("a1 h:1@2 master - 0 5"), info(""), Value::Nil, Value::Int(1)] {
            let replies = TopologyReplies { nodes, ..self::replies(ONE_RANGE, NO_SHARDS) };
            assert_eq!(read(&replies, &asked()).unwrap().epoch(), 6, "the current one");
        }
    }

    #[test]
    fn a_node_that_sees_no_working_cluster_is_doubted() {
        for (text, is_doubted) in [
            ("cluster_state:ok\r\ncluster_current_epoch:1\r\n", false),
            ("cluster_state:fail\r\ncluster_current_epoch:1\r\n", true),
            ("", false),
        ] {
            let replies = TopologyReplies { info: info(text), ..replies(ONE_RANGE, NO_SHARDS) };
            assert_eq!(read(&replies, &asked()).unwrap().is_doubted(), is_doubted, "{text}");
        }
    }

    /// Replies that look much like the real ones, and ones that do not.
    fn anything() -> impl Strategy<Value = Value> {
        let word = prop_oneof![
            Just("id"),
            Just("nodes"),
            Just("slots"),
            Just("port"),
            Just("tls-port"),
            Just("endpoint"),
            Just("role"),
            Just("master"),
            Just("replica"),
            Just("health"),
            Just("fail"),
            Just("ip"),
            Just("?"),
            Just(""),
            Just("h"),
        ];
        let scalar = prop_oneof![
            word.prop_map(|word| Value::Bulk(Bytes::from_static(word.as_bytes()))),
            prop_oneof![-1_i64..4, 16380_i64..16390, 65530_i64..65540, any::<i64>()].prop_map(Value::Int),
            Just(Value::Nil),
            prop::collection::vec(any::<u8>(), 0..5).prop_map(|bytes| Value::Bulk(bytes.into())),
            Just(Value::Error(ServerError::new("ERR"))),
        ];
        scalar.prop_recursive(5, 80, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
                prop::collection::vec((inner.clone(), inner.clone()), 0..8).prop_map(Value::Map),
                prop::collection::vec(inner, 0..4).prop_map(Value::Set),
            ]
        })
    }

    /// `CLUSTER SLOTS` of the right form with contents that contradict each other.
    fn slots() -> impl Strategy<Value = Value> {
        let node =
            (prop_oneof![Just("h"), Just(""), Just("?")], 0_i64..5, 0_u8..6).prop_map(|(host, port, id)| {
                Value::Array(vec![
                    Value::Bulk(Bytes::from_static(host.as_bytes())),
                    Value::Int(port),
                    Value::Bulk(vec![b'a' + id].into()),
                ])
            });
        let range =
            (0_i64..20, 0_i64..20, prop::collection::vec(node, 0..4)).prop_map(|(first, last, nodes)| {
                let mut fields = vec![Value::Int(first), Value::Int(last)];
                fields.extend(nodes);
                Value::Array(fields)
            });
        prop::collection::vec(range, 0..6).prop_map(Value::Array)
    }

    fn shards() -> impl Strategy<Value = Value> {
        let text = |text: &'static str| Value::Bulk(Bytes::from_static(text.as_bytes()));
        let node =
            (0_u8..6, 0_i64..5, any::<bool>(), 0_u8..3).prop_map(move |(id, port, is_primary, health)| {
                Value::Map(vec![
                    (text("id"), Value::Bulk(vec![b'a' + id].into())),
                    (text("port"), Value::Int(port)),
                    (text("endpoint"), text("h")),
                    (text("role"), text(if is_primary { "master" } else { "replica" })),
                    (text("health"), text(["online", "fail", "loading"][usize::from(health)])),
                ])
            });
        let shard = prop::collection::vec(node, 0..4)
            .prop_map(move |nodes| Value::Map(vec![(text("nodes"), Value::Array(nodes))]));
        prop::collection::vec(shard, 0..4).prop_map(Value::Array)
    }

    proptest! {
        #[test]
        fn no_reply_makes_it_panic(
            slots in anything(), shards in anything(), info in anything(), nodes in anything(),
        ) {
            drop(read(&TopologyReplies { slots, shards, info, nodes, over_tls: false }, &asked()));
        }

        #[test]
        fn whatever_a_map_is_made_of_it_is_sound(slots in slots(), shards in shards()) {
            let replies = TopologyReplies { slots, shards, info: Value::Nil, nodes: Value::Nil, over_tls: true };
            if let Ok(map) = read(&replies, &asked()) {
                prop_assert!(map.assigned_slots() > 0);
                assert_sound(&map);
            }
        }
    }
}
