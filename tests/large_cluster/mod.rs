//! What the nodes of a large cluster answer about it, byte by byte as Valkey 9 does in RESP3: with hostnames, zones and
//! the metadata that goes with them. For tests and benches.

/// Slots of a cluster.
const SLOTS: usize = 16384;

/// How the slots lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One range for each primary.
    Contiguous,
    /// Each slot is a range of its own and has other owners than its neighbours: the longest replies that there are.
    Fragmented,
}

/// A cluster of so many primaries with a replica each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LargeCluster {
    /// Half of the nodes.
    pub(crate) shards: usize,
    /// How the slots lie.
    pub(crate) layout: Layout,
    /// Where the lists of ranges, shards and nodes begin: nodes list the same in orders of their own.
    pub(crate) rotation: usize,
    /// A slot that the fragmented layout has in another shard.
    pub(crate) moved: Option<(usize, usize)>,
}

impl LargeCluster {
    /// A thousand primaries and a thousand replicas.
    pub(crate) fn new(layout: Layout) -> Self {
        Self { shards: 1000, layout, rotation: 0, moved: None }
    }

    /// The same cluster as another of its nodes lists it.
    pub(crate) fn rotated(self, rotation: usize) -> Self {
        Self { rotation, ..self }
    }

    /// The replies to `CLUSTER SLOTS`, `CLUSTER SHARDS`, `CLUSTER INFO` and `CLUSTER NODES`, one after the other.
    pub(crate) fn answers(&self) -> Vec<u8> {
        [self.slots(), self.shards(), self.info(), self.nodes()].concat()
    }

    /// `CLUSTER SLOTS`.
    pub(crate) fn slots(&self) -> Vec<u8> {
        let ranges = self.ranges();
        let mut out = Reply::default();
        out.header('*', ranges.len());
        for (first, last, shard) in self.in_order(&ranges) {
            out.header('*', 4).int(*first).int(*last);
            for node in [*shard, shard + self.shards] {
                out.header('*', 4).bulk(&hostname(node)).int(PORT).bulk(&id(node)).header('%', 2);
                out.bulk("ip").bulk(&ip(node)).bulk("availability-zone").bulk(zone(node));
            }
        }
        out.0
    }

    /// `CLUSTER SHARDS`.
    pub(crate) fn shards(&self) -> Vec<u8> {
        let shards: Vec<usize> = (0..self.shards).collect();
        let mut slots_of = vec![Vec::new(); self.shards];
        for (first, last, shard) in self.ranges() {
            if let Some(slots) = slots_of.get_mut(shard) {
                slots.extend([first, last]);
            }
        }
        let mut out = Reply::default();
        out.header('*', self.shards);
        for shard in self.in_order(&shards) {
            let slots = slots_of.get(*shard).map(Vec::as_slice).unwrap_or_default();
            out.header('%', 3).bulk("slots").header('*', slots.len());
            for slot in slots {
                out.int(*slot);
            }
            out.bulk("nodes").header('*', 2);
            for node in self.in_order(&[*shard, shard + self.shards]) {
                let role = if *node < self.shards { "master" } else { "replica" };
                out.header('%', 9).bulk("id").bulk(&id(*node)).bulk("port").int(PORT);
                out.bulk("ip").bulk(&ip(*node)).bulk("endpoint").bulk(&hostname(*node));
                out.bulk("hostname").bulk(&hostname(*node)).bulk("role").bulk(role);
                out.bulk("replication-offset").int(1_234_567_890 + self.rotation);
                out.bulk("health").bulk("online").bulk("availability-zone").bulk(zone(*node));
            }
            out.bulk("id").bulk(&id(shard + 2 * self.shards));
        }
        out.0
    }

    /// `CLUSTER INFO`.
    pub(crate) fn info(&self) -> Vec<u8> {
        let mut out = Reply::default();
        out.bulk(&format!(
            "cluster_state:ok\r\ncluster_slots_assigned:{SLOTS}\r\ncluster_slots_ok:{SLOTS}\r\ncluster_known_nodes:{}\r\n\
             cluster_size:{}\r\ncluster_current_epoch:7\r\ncluster_my_epoch:1\r\n",
            2 * self.shards,
            self.shards,
        ));
        out.0
    }

    /// `CLUSTER NODES`.
    pub(crate) fn nodes(&self) -> Vec<u8> {
        let mut slots_of = vec![String::new(); self.shards];
        for (first, last, shard) in self.ranges() {
            if let Some(slots) = slots_of.get_mut(shard) {
                slots.push_str(&format!(" {first}-{last}"));
            }
        }
        let mut text = String::new();
        for node in 0..2 * self.shards {
            let (role, slots) = match slots_of.get(node) {
                Some(slots) => ("master -".to_owned(), slots.as_str()),
                None => (format!("slave {}", id(node - self.shards)), ""),
            };
            text.push_str(&format!(
                "{} {}:{PORT}@16379,{} {role} 0 1700000000000 7 connected{slots}\n",
                id(node),
                ip(node),
                hostname(node)
            ));
        }
        let mut out = Reply::default();
        out.bulk(&text);
        out.0
    }

    /// First slot, last slot, shard.
    fn ranges(&self) -> Vec<(usize, usize, usize)> {
        match self.layout {
            Layout::Contiguous => {
                let first = |shard: usize| shard * SLOTS / self.shards;
                (0..self.shards).map(|shard| (first(shard), first(shard + 1) - 1, shard)).collect()
            }
            Layout::Fragmented => {
                let owner = |slot: usize| match self.moved {
                    Some((moved, shard)) if moved == slot => shard,
                    Some(_) | None => slot % self.shards,
                };
                (0..SLOTS).map(|slot| (slot, slot, owner(slot))).collect()
            }
        }
    }

    fn in_order<'a, T>(&self, items: &'a [T]) -> impl Iterator<Item = &'a T> {
        items.iter().cycle().skip(self.rotation % items.len().max(1)).take(items.len())
    }
}

/// All nodes listen on the same port of hosts of their own.
const PORT: usize = 6379;

/// The name by which the nodes know this one.
pub(crate) fn hostname(node: usize) -> String {
    format!("node-{node:04}.cache.prod.eu-central-1.example.com")
}

fn id(node: usize) -> String {
    // As spread as real ids, which are random.
    let scrambled = (node as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{scrambled:016x}{scrambled:016x}{node:08x}")
}

fn ip(node: usize) -> String {
    format!("10.20.{}.{}", node / 250, node % 250)
}

fn zone(node: usize) -> &'static str {
    if node.is_multiple_of(2) { "eu-central-1a" } else { "eu-central-1b" }
}

/// RESP3 that grows.
#[derive(Default)]
struct Reply(Vec<u8>);

impl Reply {
    fn header(&mut self, kind: char, number: usize) -> &mut Self {
        self.0.extend_from_slice(format!("{kind}{number}\r\n").as_bytes());
        self
    }

    fn int(&mut self, number: usize) -> &mut Self {
        self.header(':', number)
    }

    fn bulk(&mut self, text: &str) -> &mut Self {
        self.header('$', text.len());
        self.0.extend_from_slice(text.as_bytes());
        self.0.extend_from_slice(b"\r\n");
        self
    }
}
