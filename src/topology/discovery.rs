//! Reads what a node answers about the cluster into a [`SlotMap`].
//!
//! `CLUSTER SLOTS` says who owns what: every version has it, and newer ones answer it while they load. `CLUSTER
//! SHARDS` (7.0 on) adds what it leaves out: replicas without an offset yet, health, zones, primaries without slots.
//! `CLUSTER INFO` gives the epoch, by which two views can be told apart.
//!
//! Sources: [CLUSTER SLOTS](https://redis.io/docs/latest/commands/cluster-slots/),
//! [CLUSTER SHARDS](https://redis.io/docs/latest/commands/cluster-shards/),
//! [CLUSTER INFO](https://redis.io/docs/latest/commands/cluster-info/).

use std::sync::Arc;

use thiserror::Error;

use crate::node::NodeAddr;
use crate::protocol::server_error::ServerError;
use crate::protocol::value::Value;
use crate::slot::Slot;
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
    let mut map = SlotMap::empty(epoch(&replies.info));
    for range in ranges {
        read_range(&mut map, range, asked)
            .ok_or_else(|| DiscoveryError::BadForm(format!("{range:.200?}")))?;
    }
    if map.assigned_slots() == 0 {
        return Err(DiscoveryError::NoSlots);
    }
    if let Value::Array(shards) = &replies.shards {
        for shard in shards {
            read_shard(&mut map, shard, asked);
        }
    }
    Ok(map)
}

/// One `[first, last, primary, replica...]`. `None` if it has another form.
fn read_range(map: &mut SlotMap, range: &Value, asked: &NodeAddr) -> Option<()> {
    let Value::Array(fields) = range else { return None };
    let [Value::Int(first), Value::Int(last), nodes @ ..] = fields.as_slice() else { return None };
    let first = Slot::new(u16::try_from(*first).ok()?)?;
    let last = Slot::new(u16::try_from(*last).ok()?)?;
    let mut primary = None;
    for (place, entry) in nodes.iter().enumerate() {
        let Value::Array(entry) = entry else { return None };
        // A node whose address nobody knows (`noaddr`, or `?` without an IP) cannot be asked: as if it were absent.
        let Some((addr, id)) = slots_node(entry, asked) else {
            if place == 0 {
                return Some(());
            }
            continue;
        };
        let known = map.index_of(&addr);
        match primary {
            None => {
                let index = match known {
                    Some(index) => index,
                    None => map.add_node(Node::primary(addr, id))?,
                };
                map.add_shard(index);
                for number in first.get()..=last.get() {
                    map.assign(Slot::new(number)?, index);
                }
                primary = Some(index);
            }
            Some(primary) => {
                let index = match known {
                    Some(index) => index,
                    None => map.add_node(Node::replica(addr, id))?,
                };
                map.add_replica(primary, index);
            }
        }
    }
    Some(())
}

/// `[endpoint, port, id, metadata]`; the last is absent before 7.0, and later versions may add to it.
fn slots_node(entry: &[Value], asked: &NodeAddr) -> Option<(NodeAddr, Option<Arc<str>>)> {
    let [endpoint, Value::Int(port), rest @ ..] = entry else { return None };
    let port = u16::try_from(*port).ok().filter(|port| *port != 0)?;
    let metadata_ip = || rest.get(1).and_then(|metadata| field(metadata, "ip")).and_then(Value::as_str);
    let host = endpoint_host(endpoint, metadata_ip, asked)?;
    Some((NodeAddr::new(host, port), rest.first().and_then(Value::as_str).map(Arc::from)))
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
fn read_shard(map: &mut SlotMap, shard: &Value, asked: &NodeAddr) {
    let Some(Value::Array(entries)) = field(shard, "nodes") else { return };
    let members: Vec<Member> = entries.iter().filter_map(|entry| shard_node(entry, asked)).collect();
    let known_primary = members
        .iter()
        .filter_map(|member| map.index_of_id(&member.id))
        .find(|index| map.primaries().any(|primary| primary == *index));
    let primary = known_primary.or_else(|| {
        // A primary without slots: of use for adding nodes and for commands that go to every node.
        let empty =
            members.iter().find(|member| member.role == Role::Primary && member.health != Health::Failed)?;
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

fn shard_node(entry: &Value, asked: &NodeAddr) -> Option<Member> {
    let text = |name| field(entry, name).and_then(Value::as_str);
    let port = field(entry, "port").or_else(|| field(entry, "tls-port")).and_then(Value::as_int)?;
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
    match value {
        Value::Map(pairs) => pairs.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value),
        Value::Array(items) => {
            items.chunks_exact(2).find(|pair| pair.first().and_then(Value::as_str) == Some(name))?.get(1)
        }
        _no_fields => None,
    }
}

/// `cluster_current_epoch` of `CLUSTER INFO`, or 0 where it is refused (an ACL user without that command).
fn epoch(info: &Value) -> u64 {
    info.as_str()
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("cluster_current_epoch:")))
        .and_then(|number| number.trim().parse().ok())
        .unwrap_or(0)
}
