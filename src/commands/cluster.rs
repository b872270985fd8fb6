//! The cluster as its nodes see it. Routing itself reads [`Client::slot_map`](crate::Client::slot_map).

macro_rules! cluster_commands {
    ($render:ident) => {
        $render! {
            /// [CLUSTER INFO](https://redis.io/docs/latest/commands/cluster-info/): the state of the cluster as one node sees it.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 3.0, O(1).
            fn cluster_info() -> replies::Info =
                known!("CLUSTER INFO");

            /// [CLUSTER NODES](https://redis.io/docs/latest/commands/cluster-nodes/): a line for each node that one node knows.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 3.0, O(n) in the number of nodes.
            fn cluster_nodes() -> String =
                known!("CLUSTER NODES");

            /// [CLUSTER SHARDS](https://redis.io/docs/latest/commands/cluster-shards/): the shards with their slots, nodes and health.
            ///
            /// Since 7.0, O(n) in the number of nodes.
            fn cluster_shards<R>() -> R =
                known!("CLUSTER SHARDS");

            /// [CLUSTER SLOTS](https://redis.io/docs/latest/commands/cluster-slots/): the ranges of slots with their nodes.
            ///
            /// Since 3.0, O(n) in the number of nodes.
            fn cluster_slots<R>() -> R =
                known!("CLUSTER SLOTS");

            /// [CLUSTER LINKS](https://redis.io/docs/latest/commands/cluster-links/): the connections of a node to others of the cluster.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 7.0, O(n) in the number of nodes.
            fn cluster_links<R>() -> R =
                known!("CLUSTER LINKS");

            /// [CLUSTER MYID](https://redis.io/docs/latest/commands/cluster-myid/): the id of a node.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 3.0, O(1).
            fn cluster_myid() -> String =
                known!("CLUSTER MYID");

            /// [CLUSTER MYSHARDID](https://redis.io/docs/latest/commands/cluster-myshardid/): the id of a node's shard.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 7.2, O(1).
            fn cluster_myshardid() -> String =
                known!("CLUSTER MYSHARDID");

            /// [CLUSTER REPLICAS](https://redis.io/docs/latest/commands/cluster-replicas/): the lines of `cluster_nodes` for the replicas of a primary.
            ///
            /// An id that is no primary's is an error.
            ///
            /// Since 5.0, O(n) in the number of replicas.
            fn cluster_replicas<R>(node_id: impl ToArg) -> R =
                known!("CLUSTER REPLICAS").arg(node_id);

            /// [CLUSTER KEYSLOT](https://redis.io/docs/latest/commands/cluster-keyslot/): the slot of a key; [`Slot::of_key`](crate::Slot::of_key) computes the same here.
            ///
            /// Since 3.0, O(n) in the length of the key.
            fn cluster_keyslot(text: impl ToArg) -> u16 =
                known!("CLUSTER KEYSLOT").arg(text);

            /// [CLUSTER COUNTKEYSINSLOT](https://redis.io/docs/latest/commands/cluster-countkeysinslot/): how many keys a slot has, asked of its primary.
            ///
            /// Since 3.0, O(1).
            fn cluster_countkeysinslot(slot: crate::slot::Slot) -> u64 =
                known!("CLUSTER COUNTKEYSINSLOT").arg(slot).by_slot(slot);

            /// [CLUSTER GETKEYSINSLOT](https://redis.io/docs/latest/commands/cluster-getkeysinslot/): up to `count` keys of a slot, asked of its primary.
            ///
            /// Since 3.0, O(n) in `count`.
            fn cluster_getkeysinslot<R>(slot: crate::slot::Slot, count: u64) -> R =
                known!("CLUSTER GETKEYSINSLOT").arg(slot).arg(count).by_slot(slot);

            /// [CLUSTER COUNT-FAILURE-REPORTS](https://redis.io/docs/latest/commands/cluster-count-failure-reports/): how many nodes have told a node that another one fails.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 3.0, O(n) in the number of reports.
            fn cluster_count_failure_reports(node_id: impl ToArg) -> u64 =
                known!("CLUSTER COUNT-FAILURE-REPORTS").arg(node_id);

            /// [CLUSTER SLOT-STATS](https://redis.io/docs/latest/commands/cluster-slot-stats/): how much the slots of a range are used: pairs of slot and map, of each primary for its own.
            ///
            /// Since 8.2 (Valkey 8.0), O(n) in the number of slots.
            fn cluster_slot_stats<R>(start: crate::slot::Slot, end: crate::slot::Slot) -> R =
                known!("CLUSTER SLOT-STATS").arg("SLOTSRANGE").arg(start).arg(end);

            /// [CLUSTER GETSLOTMIGRATIONS](https://valkey.io/commands/cluster-getslotmigrations/): the atomic slot migrations that a node takes part in, or did lately.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since Valkey 9.0, O(n) in their number.
            fn cluster_getslotmigrations<R>() -> R =
                known!("CLUSTER GETSLOTMIGRATIONS");
        }
    };
}

pub(crate) use cluster_commands;
