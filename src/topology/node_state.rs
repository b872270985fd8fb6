//! [`NodeState`]: what one node says of itself: who it is, what it serves, and which slots are on their way.

use std::sync::Arc;

use crate::protocol::info_text::field;
use crate::protocol::value::Value;
use crate::slot::Slot;
use crate::topology::node_columns::NodeColumns;
use crate::topology::slot_set::SlotSet;
use litemap::LiteMap;

/// The id of a node, which it keeps for life; empty for a server that is not in cluster mode.
pub(crate) type NodeId = Arc<str>;

/// See the module's documentation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NodeState {
    pub(crate) id: NodeId,
    /// Another one after a restart, and after each change of its role: what was true of its data before, and of cursors into
    /// it, is not true any more.
    pub(crate) generation: Arc<str>,
    pub(crate) is_primary: bool,
    /// Whether it sees a cluster that works. One that is cut off from the others may have been replaced.
    pub(crate) is_up: bool,
    pub(crate) owned: SlotSet,
    /// Of the slots that it owns those that are on their way to another node, and to which.
    pub(crate) migrating: LiteMap<Slot, NodeId>,
    /// Slots that are on their way to it, and from which node.
    pub(crate) importing: LiteMap<Slot, NodeId>,
}

/// The replies that a state is read from.
#[derive(Debug)]
pub(crate) struct StateReplies<'a> {
    /// `CLUSTER NODES`; `None` from a server that is not in cluster mode.
    pub(crate) nodes: Option<&'a Value>,
    /// `CLUSTER INFO`; `None` likewise.
    pub(crate) cluster: Option<&'a Value>,
    /// `INFO server`.
    pub(crate) server: &'a Value,
    /// `INFO replication`.
    pub(crate) replication: &'a Value,
}

/// Reads what a node says of itself; `None` if it is not what a node says.
pub(crate) fn read_state(replies: &StateReplies<'_>) -> Option<NodeState> {
    let (server, replication) = (replies.server.as_str()?, replies.replication.as_str()?);
    // A cursor is good for the hash table of one process; the replication id changes with each promotion. Hosted servers may
    // hide either, so none is asked for.
    let run = field(server, "run_id").unwrap_or_default();
    let history = field(replication, "master_replid").unwrap_or_default();
    let mut state = NodeState {
        id: "".into(),
        generation: format!("{run}.{history}").into(),
        is_primary: field(replication, "role").is_none_or(|role| role == "master"),
        is_up: true,
        owned: SlotSet::all(),
        migrating: LiteMap::new(),
        importing: LiteMap::new(),
    };
    let Some(nodes) = replies.nodes else { return Some(state) };
    state.is_up = replies.cluster.is_none_or(|info| {
        info.as_str().and_then(|info| field(info, "cluster_state")).is_none_or(|it| it == "ok")
    });
    let line = NodeColumns::all(nodes.as_str()?).find(|line| line.has_flag("myself"))?;
    let slots = line.slots()?;
    state.id = line.id.into();
    state.is_primary &= line.has_flag("master");
    state.owned = slots.owned;
    state.migrating = slots.migrating;
    state.importing = slots.importing;
    Some(state)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{NodeState, StateReplies, read_state};
    use crate::protocol::value::Value;
    use crate::slot::Slot;

    fn text(text: &str) -> Value {
        Value::Bulk(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn read(nodes: &str, cluster: &str, role: &str) -> Option<NodeState> {
        read_state(&StateReplies {
            nodes: Some(&text(nodes)),
            cluster: Some(&text(cluster)),
            server: &text("# Server\r\nredis_version:7.0.15\r\nrun_id:r1\r\n"),
            replication: &text(&format!("# Replication\r\nrole:{role}\r\nmaster_replid:h1\r\n")),
        })
    }

    #[test]
    fn a_node_says_who_it_is_what_it_has_and_what_is_on_its_way() {
        let nodes = "b1 127.0.0.1:2@12 master - 0 5 7 connected 5461-10922\n\
                     a1 ::1:1@11,host myself,master - 0 5 6 connected 0-100 102 [93->-b1] [77-<-c1]\n";
        let state = read(nodes, "cluster_state:ok\r\n", "master").unwrap();
        assert_eq!((&*state.id, &*state.generation), ("a1", "r1.h1"));
        assert!(state.is_primary && state.is_up);
        assert_eq!(state.owned.to_string(), "0-100,102");
        assert_eq!(&*state.migrating[&Slot::new(93).unwrap()], "b1");
        assert_eq!(&*state.importing[&Slot::new(77).unwrap()], "c1");
    }

    #[test]
    fn a_replica_and_a_node_that_is_cut_off_are_told_apart() {
        let of = |flags: &str| format!("a1 h:1@2 {flags} - 0 0 6 connected 5");
        assert!(!read(&of("myself,slave"), "", "slave").unwrap().is_primary);
        // Its role has changed and the cluster's word of it has not, or the other way round.
        assert!(!read(&of("myself,master"), "", "slave").unwrap().is_primary);
        assert!(!read(&of("myself,slave"), "", "master").unwrap().is_primary);
        assert!(!read(&of("myself,master"), "cluster_state:fail\r\n", "master").unwrap().is_up);
    }

    #[test]
    fn a_server_without_a_cluster_has_every_slot() {
        let replies = StateReplies { nodes: None, cluster: None, server: &text(""), replication: &text("") };
        let state = read_state(&replies).unwrap();
        assert_eq!((&*state.id, state.owned.len()), ("", 16384));
        assert!(state.is_primary && state.is_up);
    }

    #[test]
    fn what_no_node_says_is_no_state() {
        for nodes in ["", "a1 h:1@2 master - 0 0 6 connected", "a1 h:1@2 myself,master - 0 0 6 connected x"] {
            assert_eq!(read(nodes, "", "master"), None, "{nodes}");
        }
        assert!(
            read_state(&StateReplies {
                nodes: Some(&Value::Int(1)),
                cluster: None,
                server: &text(""),
                replication: &text("")
            })
            .is_none()
        );
    }
}
