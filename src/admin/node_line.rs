//! [`NodeLine`]: one line of `CLUSTER NODES`, as callers see it: what one node says of itself or of another.
//!
//! Source: [CLUSTER NODES](https://redis.io/docs/latest/commands/cluster-nodes/).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::node::{NodeAddr, split_host_port};
use crate::slot::Slot;
use crate::topology::node_columns::{NodeColumns, SlotColumns};
use crate::topology::node_state::NodeId;
use crate::topology::slot_map::SlotRange;
use crate::topology::slot_set::SlotSet;

/// One line of `CLUSTER NODES`.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct NodeLine {
    /// The node's 40-digit id.
    pub id: Arc<str>,
    /// Where it listens; `None` if the teller does not know (`noaddr`, or a node that never met another).
    pub addr: Option<NodeAddr>,
    /// The port of its cluster bus.
    pub bus_port: u16,
    /// The host name that it announces, if it does (Redis 7.0).
    pub hostname: Option<Arc<str>>,
    /// The words of the third column: `myself`, `master`, `slave`, `fail`, `fail?`, `handshake`, ...
    pub flags: Vec<Box<str>>,
    /// The id of the primary that it replicates.
    pub primary: Option<Arc<str>>,
    /// Its configuration epoch; a replica has that of its primary.
    pub epoch: u64,
    /// Whether the teller has a link of the cluster bus to it.
    pub is_connected: bool,
    pub(super) slots: SlotSet,
    /// Slots on their way from it, and to whom. Only in a node's own line.
    pub(super) migrating: BTreeMap<Slot, NodeId>,
    /// Slots on their way to it, and from whom. Only in a node's own line.
    pub(super) importing: BTreeMap<Slot, NodeId>,
}

impl NodeLine {
    /// Reads a line; `None` if it is none.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let columns = NodeColumns::read(line)?;
        // `host:port@bus[,hostname[,name=value...]]`; the host may be an IPv6 address or empty.
        let (address, rest) = columns.address.split_once('@')?;
        let (bus, names) = rest.split_once(',').unwrap_or((rest, ""));
        let hostname = names.split(',').next().filter(|name| !name.is_empty() && !name.contains('='));
        let (host, port) = split_host_port(address).ok()?;
        let SlotColumns { owned, migrating, importing } = columns.slots()?;
        Some(Self {
            id: columns.id.into(),
            addr: (!host.is_empty() && port != 0).then(|| NodeAddr::new(host, port)),
            bus_port: bus.parse().ok()?,
            hostname: hostname.map(Arc::from),
            flags: columns.flags().map(Box::from).collect(),
            primary: columns.primary.map(Arc::from),
            epoch: columns.epoch,
            is_connected: columns.link == "connected",
            slots: owned,
            migrating: migrating.into_iter().collect(),
            importing: importing.into_iter().collect(),
        })
    }

    /// Whether it has this flag.
    #[must_use]
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|have| &**have == flag)
    }

    /// Whether it is a primary, with slots or without.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.has_flag("master")
    }

    /// Whether it is the line of the node that tells.
    #[must_use]
    pub fn is_myself(&self) -> bool {
        self.has_flag("myself")
    }

    /// The slots that it serves, as ranges in order.
    #[must_use]
    pub fn ranges(&self) -> Vec<SlotRange> {
        self.slots.ranges()
    }

    /// How many slots it serves.
    #[must_use]
    pub fn slots_served(&self) -> usize {
        self.slots.len()
    }

    /// Slots on their way from it, with the id of the node that they go to. Empty but in a node's own line.
    pub fn migrating(&self) -> impl Iterator<Item = (Slot, &str)> {
        self.migrating.iter().map(|(slot, to)| (*slot, &**to))
    }

    /// Slots on their way to it, with the id of the node that they come from. Empty but in a node's own line.
    pub fn importing(&self) -> impl Iterator<Item = (Slot, &str)> {
        self.importing.iter().map(|(slot, from)| (*slot, &**from))
    }
}

/// All lines of a reply; `None` if one of them is none.
pub(super) fn read_lines(text: &str) -> Option<Vec<NodeLine>> {
    text.lines().filter(|line| !line.trim().is_empty()).map(NodeLine::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::{NodeLine, read_lines};
    use crate::slot::Slot;

    #[test]
    fn a_line_is_read_with_its_open_slots() {
        let line = NodeLine::parse(
            "07c3 ::1:12000@22000,host,shard-id=ab myself,master - 0 14 7 connected 0-5460 9000 [93-<-292f] [77->-67ed]",
        )
        .unwrap();
        assert_eq!((&*line.id, line.addr.as_ref().unwrap().to_string()), ("07c3", "[::1]:12000".to_owned()));
        assert_eq!((line.bus_port, line.hostname.as_deref(), line.epoch), (22000, Some("host"), 7));
        assert!(line.is_myself() && line.is_primary() && line.is_connected && !line.has_flag("fail"));
        assert_eq!(line.slots.to_string(), "0-5460,9000");
        assert_eq!(line.importing().collect::<Vec<_>>(), [(Slot::new(93).unwrap(), "292f")]);
        assert_eq!(line.migrating().collect::<Vec<_>>(), [(Slot::new(77).unwrap(), "67ed")]);
    }

    #[test]
    fn a_replica_and_a_node_without_an_address_are_read() {
        let replica = NodeLine::parse("67ed :12001@22001 slave,fail? 07c3 9 1 4 disconnected").unwrap();
        assert_eq!((replica.primary.as_deref(), replica.is_connected), (Some("07c3"), false));
        assert_eq!((replica.addr, replica.hostname), (None, None));
        let lost = NodeLine::parse("292f :0@0 master,noaddr - 1 1 4 disconnected 1-2").unwrap();
        assert_eq!((lost.addr, lost.slots.len()), (None, 2));
    }

    #[test]
    fn a_line_that_is_none_spoils_the_reply() {
        let good = "a h:1@2 master - 0 0 1 connected 5";
        assert_eq!(read_lines(&format!("{good}\n\n{good}\n")).unwrap().len(), 2);
        for bad in [
            "x",
            "a h:1 master - 0 0 1 connected",
            "a h:1@2 master - 0 0 x connected",
            "a h:1@2 master - 0 0 1 connected 9-5",
        ] {
            assert_eq!(read_lines(&format!("{good}\n{bad}\n")), None, "{bad}");
        }
    }
}
