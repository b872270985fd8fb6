//! [`NodeColumns`]: one line of `CLUSTER NODES`, in its columns: the only place where that reply is taken apart.
//!
//! Source: [CLUSTER NODES](https://redis.io/docs/latest/commands/cluster-nodes/).

use std::sync::Arc;

use crate::slot::Slot;
use crate::topology::slot_set::{SlotSet, read_range};
use litemap::LiteMap;

/// What one node says of itself or of another:
/// `<id> <address> <flags> <primary> <ping> <pong> <epoch> <link> <slot>..`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NodeColumns<'a> {
    pub(crate) id: &'a str,
    /// `host:port@bus[,hostname[,name=value..]]`; the host may be an IPv6 address or empty.
    pub(crate) address: &'a str,
    flags: &'a str,
    /// The id of the primary that it replicates.
    pub(crate) primary: Option<&'a str>,
    /// Its configuration epoch; a replica has that of its primary.
    pub(crate) epoch: u64,
    /// `connected` or `disconnected`: the teller's link to it.
    pub(crate) link: &'a str,
    slots: &'a str,
}

/// The slots at the end of a line.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct SlotColumns {
    pub(crate) owned: SlotSet,
    /// Slots on their way from it, and to whom. Only in a node's own line.
    pub(crate) migrating: LiteMap<Slot, Arc<str>>,
    /// Slots on their way to it, and from whom. Only in a node's own line.
    pub(crate) importing: LiteMap<Slot, Arc<str>>,
}

impl<'a> NodeColumns<'a> {
    /// The columns of a line; `None` if it is none. The slots are read when they are asked for, because most lines are
    /// looked at for other things.
    pub(crate) fn read(line: &'a str) -> Option<Self> {
        let mut columns = line.trim_ascii_end().splitn(9, ' ');
        let (id, address, flags) = (columns.next()?, columns.next()?, columns.next()?);
        let primary = Some(columns.next()?).filter(|primary| *primary != "-");
        let (_ping, _pong) = (columns.next()?, columns.next()?);
        let (epoch, link) = (columns.next()?.parse().ok()?, columns.next()?);
        Some(Self { id, address, flags, primary, epoch, link, slots: columns.next().unwrap_or_default() })
    }

    /// Those lines of a reply that are any.
    pub(crate) fn all(reply: &'a str) -> impl Iterator<Item = Self> {
        reply.lines().filter_map(Self::read)
    }

    /// The words of the third column: `myself`, `master`, `slave`, `fail`, `fail?`, `handshake`, ...
    pub(crate) fn flags(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.flags.split(',')
    }

    pub(crate) fn has_flag(&self, flag: &str) -> bool {
        self.flags().any(|have| have == flag)
    }

    /// Its slots, with those on their way; `None` if one of the words is no slot.
    pub(crate) fn slots(&self) -> Option<SlotColumns> {
        let mut slots = SlotColumns::default();
        for word in self.slots.split_ascii_whitespace() {
            match word.strip_prefix('[').and_then(|word| word.strip_suffix(']')) {
                Some(open) => slots.open(open)?,
                None => slots.owned.extend(read_range(word)?),
            }
        }
        Some(slots)
    }
}

impl SlotColumns {
    /// `<slot>->-<to>` or `<slot>-<-<from>`.
    fn open(&mut self, text: &str) -> Option<()> {
        let slot = |text: &str| text.parse().ok().and_then(Slot::new);
        if let Some((number, to)) = text.split_once("->-") {
            self.migrating.insert(slot(number)?, to.into());
        } else {
            let (number, from) = text.split_once("-<-")?;
            self.importing.insert(slot(number)?, from.into());
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::NodeColumns;
    use crate::slot::Slot;

    #[test]
    fn a_line_is_taken_apart() {
        let text = "07c3 ::1:12000@22000,host myself,master - 0 14 7 connected 0-5460 9000 [93-<-292f] [77->-67ed]\r";
        let line = NodeColumns::read(text).unwrap();
        assert_eq!((line.id, line.address, line.primary), ("07c3", "::1:12000@22000,host", None));
        assert_eq!((line.flags().collect::<Vec<_>>(), line.epoch), (vec!["myself", "master"], 7));
        assert!(line.has_flag("master") && !line.has_flag("fail") && line.link == "connected");
        let slots = line.slots().unwrap();
        assert_eq!(slots.owned.to_string(), "0-5460,9000");
        assert_eq!(&*slots.importing[&Slot::new(93).unwrap()], "292f");
        assert_eq!(&*slots.migrating[&Slot::new(77).unwrap()], "67ed");
    }

    #[test]
    fn a_replica_has_no_slots_and_a_primary_to_follow() {
        let line = NodeColumns::read("67ed :12001@22001 slave,fail? 07c3 9 1 4 disconnected").unwrap();
        assert_eq!((line.primary, line.link, line.has_flag("fail?")), (Some("07c3"), "disconnected", true));
        assert_eq!(line.slots().unwrap(), super::SlotColumns::default());
    }

    #[test]
    fn what_is_no_line_is_left_out_and_what_is_no_slot_is_none() {
        let good = "a h:1@2 master - 0 0 1 connected 5 ";
        let text =
            format!("{good}\n\nx\na h:1@2 master - 0 0 x connected\na h:1@2 master - 0 0 1\n{good}\r\n");
        assert_eq!(NodeColumns::all(&text).collect::<Vec<_>>(), [NodeColumns::read(good).unwrap(); 2]);
        for slots in ["9-5", "16384", "x", "[5->b]", "[x->-b]", "[5-<-b"] {
            let line = format!("a h:1@2 master - 0 0 1 connected {slots}");
            assert_eq!(NodeColumns::read(&line).unwrap().slots(), None, "{slots}");
        }
    }
}
