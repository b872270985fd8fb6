//! Replies of the right form with contents that contradict each other, which bytes without a form seldom come to.

#![no_main]
#![allow(dead_code, reason = "each target runs one of the checks")]

use std::fmt;

use arbitrary::{Arbitrary, Unstructured};

#[path = "../../tests/fuzz_checks/mod.rs"]
mod fuzz_checks;

#[derive(Arbitrary)]
struct Replies {
    ranges: Vec<Range>,
    shards: Vec<Shard>,
    are_maps: bool,
}

#[derive(Arbitrary)]
struct Range {
    first: SlotNumber,
    last: SlotNumber,
    nodes: Vec<Node>,
}

#[derive(Arbitrary)]
struct Shard {
    slots: Vec<SlotNumber>,
    nodes: Vec<Node>,
}

#[derive(Arbitrary)]
struct Node {
    id: u8,
    host: Host,
    ip: Option<Host>,
    /// Few, so that nodes collide.
    port: Port,
    is_tls: bool,
    role: Role,
    health: Health,
    zone: Option<u8>,
}

struct SlotNumber(i64);

impl<'a> Arbitrary<'a> for SlotNumber {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let borders = [-1, 0, 1, 2, 8191, 8192, 16382, 16383, 16384, 65535, 65536, i64::MAX];
        Ok(Self(if u.ratio(1, 4)? { *u.choose(&borders)? } else { u.int_in_range(0..=16383)? }))
    }
}

struct Port(i64);

impl<'a> Arbitrary<'a> for Port {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self(if u.ratio(1, 8)? { *u.choose(&[-1, 0, 65535, 65536])? } else { u.int_in_range(1..=4)? }))
    }
}

#[derive(Arbitrary)]
enum Host {
    Name,
    Other,
    V6,
    Unknown,
    Empty,
    Nil,
}

#[derive(Arbitrary)]
enum Role {
    Primary,
    Replica,
    Other,
}

#[derive(Arbitrary)]
enum Health {
    Online,
    Failed,
    Loading,
    Other,
}

impl Host {
    fn resp(&self) -> String {
        match self {
            Self::Name => bulk("h"),
            Self::Other => bulk("127.0.0.1"),
            Self::V6 => bulk("::1"),
            Self::Unknown => bulk("?"),
            Self::Empty => bulk(""),
            Self::Nil => "$-1\r\n".to_owned(),
        }
    }
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn int(number: i64) -> String {
    format!(":{number}\r\n")
}

fn array(items: &[String]) -> String {
    format!("*{}\r\n{}", items.len(), items.concat())
}

impl Replies {
    fn resp(&self) -> String {
        let ranges: Vec<String> = self.ranges.iter().map(Range::resp).collect();
        let shards: Vec<String> = self.shards.iter().map(|shard| shard.resp(self.are_maps)).collect();
        [array(&ranges), array(&shards), bulk("cluster_current_epoch:6\r\n")].concat()
    }

    /// Pairs, in the form of either RESP version.
    fn pairs(are_maps: bool, pairs: &[(&str, String)]) -> String {
        let (kind, count) = if are_maps { ('%', pairs.len()) } else { ('*', pairs.len() * 2) };
        let fields: String = pairs.iter().map(|(name, value)| bulk(name) + value).collect();
        format!("{kind}{count}\r\n{fields}")
    }
}

/// A finding is shown as bytes, because as such it can be kept as a seed of the target `topology`.
impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.resp(), f)
    }
}

impl Range {
    fn resp(&self) -> String {
        let mut fields = vec![int(self.first.0), int(self.last.0)];
        fields.extend(self.nodes.iter().map(Node::in_slots));
        array(&fields)
    }
}

impl Shard {
    fn resp(&self, are_maps: bool) -> String {
        let slots: Vec<String> = self.slots.iter().map(|slot| int(slot.0)).collect();
        let nodes: Vec<String> = self.nodes.iter().map(|node| node.in_shards(are_maps)).collect();
        Replies::pairs(are_maps, &[("slots", array(&slots)), ("nodes", array(&nodes))])
    }
}

impl Node {
    fn id(&self) -> String {
        bulk(&char::from(b'a' + self.id % 6).to_string().repeat(40))
    }

    fn in_slots(&self) -> String {
        let metadata: Vec<String> = self.ip.iter().flat_map(|ip| [bulk("ip"), ip.resp()]).collect();
        array(&[self.host.resp(), int(self.port.0), self.id(), array(&metadata)])
    }

    fn in_shards(&self, are_maps: bool) -> String {
        let role = match self.role {
            Role::Primary => "master",
            Role::Replica => "replica",
            Role::Other => "new",
        };
        let health = match self.health {
            Health::Online => "online",
            Health::Failed => "fail",
            Health::Loading => "loading",
            Health::Other => "new",
        };
        let mut pairs = vec![
            ("id", self.id()),
            (if self.is_tls { "tls-port" } else { "port" }, int(self.port.0)),
            ("endpoint", self.host.resp()),
            ("role", bulk(role)),
            ("health", bulk(health)),
        ];
        pairs.extend(self.ip.as_ref().map(|ip| ("ip", ip.resp())));
        pairs.extend(self.zone.map(|zone| ("availability-zone", bulk(&zone.to_string()))));
        Replies::pairs(are_maps, &pairs)
    }
}

libfuzzer_sys::fuzz_target!(|replies: Replies| fuzz_checks::topology::check(replies.resp().as_bytes()));
