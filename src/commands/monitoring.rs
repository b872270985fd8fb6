//! What servers have noted: slow commands, latency, memory.

macro_rules! monitoring_commands {
    ($render:ident) => {
        $render! {
            /// [SLOWLOG GET](https://redis.io/docs/latest/commands/slowlog-get/): the last `count` (-1: all) commands of each node that took long, one node after the other.
            ///
            /// Since 2.2.12 (-1 7.0), O(n) in `count`.
            fn slowlog_get(count: i64) -> Vec<replies::LogEntry> =
                known!("SLOWLOG GET").arg(count);

            /// [SLOWLOG LEN](https://redis.io/docs/latest/commands/slowlog-len/): how many slow commands all nodes have noted.
            ///
            /// Since 2.2.12, O(1).
            fn slowlog_len() -> u64 =
                known!("SLOWLOG LEN");

            /// [SLOWLOG RESET](https://redis.io/docs/latest/commands/slowlog-reset/): lets all nodes forget their slow commands.
            ///
            /// Since 2.2.12, O(n) in their number.
            fn slowlog_reset() -> () =
                known!("SLOWLOG RESET");

            /// [COMMANDLOG GET](https://valkey.io/commands/commandlog-get/): the last `count` (-1: all) commands of each node that took long or many bytes, one node after the other.
            ///
            /// Since Valkey 8.1, O(n) in `count`.
            fn commandlog_get(count: i64, log: options::CommandLog) -> Vec<replies::LogEntry> =
                known!("COMMANDLOG GET").arg(count).arg(log);

            /// [COMMANDLOG LEN](https://valkey.io/commands/commandlog-len/): how many such commands all nodes have noted.
            ///
            /// Since Valkey 8.1, O(1).
            fn commandlog_len(log: options::CommandLog) -> u64 =
                known!("COMMANDLOG LEN").arg(log);

            /// [COMMANDLOG RESET](https://valkey.io/commands/commandlog-reset/): lets all nodes forget such commands.
            ///
            /// Since Valkey 8.1, O(n) in their number.
            fn commandlog_reset(log: options::CommandLog) -> () =
                known!("COMMANDLOG RESET").arg(log);

            /// [LATENCY LATEST](https://redis.io/docs/latest/commands/latency-latest/): the last delay of each kind: a map from each node to its answer, `Vec<(String, u64, u64, u64)>` or longer.
            ///
            /// Since 2.8.13, O(1).
            fn latency_latest<R>() -> R =
                known!("LATENCY LATEST");

            /// [LATENCY HISTORY](https://redis.io/docs/latest/commands/latency-history/): the delays of a kind: a map from each node to pairs of time and milliseconds.
            ///
            /// Since 2.8.13, O(1).
            fn latency_history<R>(event: impl ToArg) -> R =
                known!("LATENCY HISTORY").arg(event);

            /// [LATENCY HISTOGRAM](https://redis.io/docs/latest/commands/latency-histogram/): how often commands took how long: a map from each node to its answer.
            ///
            /// Since 7.0, O(n) in the number of `commands`.
            fn latency_histogram<R>(commands: impl ToArgs) -> R =
                known!("LATENCY HISTOGRAM").args(commands.into_args());

            /// [LATENCY GRAPH](https://redis.io/docs/latest/commands/latency-graph/): the delays of a kind as a picture: a map from each node to its own.
            ///
            /// A kind that was never noted is an error.
            ///
            /// Since 2.8.13, O(1).
            fn latency_graph<R>(event: impl ToArg) -> R =
                known!("LATENCY GRAPH").arg(event);

            /// [LATENCY DOCTOR](https://redis.io/docs/latest/commands/latency-doctor/): what may delay a node: a map from each to a text for people.
            ///
            /// Since 2.8.13, O(1).
            fn latency_doctor<R>() -> R =
                known!("LATENCY DOCTOR");

            /// [LATENCY RESET](https://redis.io/docs/latest/commands/latency-reset/): lets all nodes forget delays of these kinds (none: all); how many kinds there were.
            ///
            /// Since 2.8.13, O(1).
            fn latency_reset(events: impl ToArgs) -> u64 =
                known!("LATENCY RESET").args(events.into_args());

            /// [MEMORY STATS](https://redis.io/docs/latest/commands/memory-stats/): what takes how much memory: a map from each primary to its answer.
            ///
            /// Since 4.0, O(1).
            fn memory_stats<R>() -> R =
                known!("MEMORY STATS");

            /// [MEMORY DOCTOR](https://redis.io/docs/latest/commands/memory-doctor/): what is wrong with the memory of a node: a map from each primary to a text for people.
            ///
            /// Since 4.0, O(1).
            fn memory_doctor<R>() -> R =
                known!("MEMORY DOCTOR");

            /// [MEMORY MALLOC-STATS](https://redis.io/docs/latest/commands/memory-malloc-stats/): what the allocator knows: a map from each primary to a text for people.
            ///
            /// Since 4.0, O(1).
            fn memory_malloc_stats<R>() -> R =
                known!("MEMORY MALLOC-STATS");

            /// [MEMORY PURGE](https://redis.io/docs/latest/commands/memory-purge/): gives free memory of all primaries back to the system, if the allocator can.
            ///
            /// Since 4.0, as the allocator.
            fn memory_purge() -> () =
                known!("MEMORY PURGE");
        }
    };
}

pub(crate) use monitoring_commands;
