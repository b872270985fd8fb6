//! Sorted sets.

macro_rules! sorted_set_commands {
    ($render:ident) => {
        $render! {
            /// [ZADD](https://redis.io/docs/latest/commands/zadd/): adds members with their scores, or changes these; how many are new.
            ///
            /// Since 1.2, O(log n) for each member.
            fn zadd(key: impl ToArg, members: impl IntoIterator<Item = (f64, impl ToArg)>) -> u64 =
                known!("ZADD").key(key).pairs(members);

            /// [ZSCORE](https://redis.io/docs/latest/commands/zscore/): the score of a member, nil if it is none.
            ///
            /// Since 1.2, O(1).
            fn zscore<R>(key: impl ToArg, member: impl ToArg) -> R =
                known!("ZSCORE").key(key).arg(member);

            /// [ZINCRBY](https://redis.io/docs/latest/commands/zincrby/): adds `increment` to the score of a member; the new score.
            ///
            /// Since 1.2, O(log n).
            fn zincrby(key: impl ToArg, increment: f64, member: impl ToArg) -> f64 =
                known!("ZINCRBY").key(key).arg(increment).arg(member);

            /// [ZRANGE](https://redis.io/docs/latest/commands/zrange/): the members from `start` to `stop` by rank, both included; negative ranks count from the end.
            ///
            /// Since 1.2, O(log n + m) in the number of members and of those returned.
            fn zrange<R>(key: impl ToArg, start: i64, stop: i64) -> R =
                known!("ZRANGE").key(key).arg(start).arg(stop);

            /// [ZRANGE](https://redis.io/docs/latest/commands/zrange/): the same with their scores: `Vec<(String, f64)>`.
            ///
            /// Since 1.2, O(log n + m) in the number of members and of those returned.
            fn zrange_with_scores<R>(key: impl ToArg, start: i64, stop: i64) -> R =
                known!("ZRANGE").key(key).arg(start).arg(stop).arg("WITHSCORES");

            /// [ZREM](https://redis.io/docs/latest/commands/zrem/): removes members; how many there were.
            ///
            /// Since 1.2, O(log n) for each member.
            fn zrem(key: impl ToArg, members: impl ToArgs) -> u64 =
                known!("ZREM").key(key).args(members.into_args());

            /// [ZCARD](https://redis.io/docs/latest/commands/zcard/): how many members there are.
            ///
            /// Since 1.2, O(1).
            fn zcard(key: impl ToArg) -> u64 =
                known!("ZCARD").key(key);
        }
    };
}

pub(crate) use sorted_set_commands;
