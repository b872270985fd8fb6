//! Sorted sets.

macro_rules! sorted_set_commands {
    ($render:ident) => {
        $render! {
            /// [ZADD](https://redis.io/docs/latest/commands/zadd/): adds members with their scores, or changes these; how many are new.
            ///
            /// Since 1.2, O(log n) for each member.
            fn zadd(key: impl ToArg, members: impl IntoIterator<Item = (f64, impl ToArg)>) -> u64 =
                known!("ZADD").key(key).pairs(members);

            /// [ZADD](https://redis.io/docs/latest/commands/zadd/): adds members with their scores, or changes these, on a condition; how many are new, or with [`ch`](crate::options::ZaddOptions::ch) changed.
            ///
            /// Since 1.2 (`gt` and `lt` 6.2), O(log n) for each member.
            fn zadd_options(
                key: impl ToArg,
                members: impl IntoIterator<Item = (f64, impl ToArg)>,
                options: options::ZaddOptions
            ) -> u64 =
                known!("ZADD").key(key).args(options.into_args()).pairs(members);

            /// [ZADD](https://redis.io/docs/latest/commands/zadd/): adds to the score of a member on a condition; the new score, nil if the condition was not met.
            ///
            /// Since 3.0.2 (`gt` and `lt` 6.2), O(log n).
            fn zadd_incr(
                key: impl ToArg,
                score: f64,
                member: impl ToArg,
                options: options::ZaddOptions
            ) -> Option<f64> =
                known!("ZADD").key(key).args(options.into_args()).arg("INCR").arg(score).arg(member);

            /// [ZSCORE](https://redis.io/docs/latest/commands/zscore/): the score of a member, nil if it is none.
            ///
            /// Since 1.2, O(1).
            fn zscore<R>(key: impl ToArg, member: impl ToArg) -> R =
                known!("ZSCORE").key(key).arg(member);

            /// [ZMSCORE](https://redis.io/docs/latest/commands/zmscore/): the scores of members, nil for each that is none.
            ///
            /// Since 6.2, O(n) in the number of `members`.
            fn zmscore(key: impl ToArg, members: impl ToArgs) -> Vec<Option<f64>> =
                known!("ZMSCORE").key(key).args(members.into_args());

            /// [ZRANK](https://redis.io/docs/latest/commands/zrank/): how many members have a lower score; nil if it is no member.
            ///
            /// Since 2.0, O(log n).
            fn zrank(key: impl ToArg, member: impl ToArg) -> Option<u64> =
                known!("ZRANK").key(key).arg(member);

            /// [ZRANK](https://redis.io/docs/latest/commands/zrank/): how many members have a lower score, and its own; nil if it is no member.
            ///
            /// Since 7.2, O(log n).
            fn zrank_with_score(key: impl ToArg, member: impl ToArg) -> Option<(u64, f64)> =
                known!("ZRANK").key(key).arg(member).arg("WITHSCORE");

            /// [ZREVRANK](https://redis.io/docs/latest/commands/zrevrank/): how many members have a higher score; nil if it is no member.
            ///
            /// Since 2.0, O(log n).
            fn zrevrank(key: impl ToArg, member: impl ToArg) -> Option<u64> =
                known!("ZREVRANK").key(key).arg(member);

            /// [ZREVRANK](https://redis.io/docs/latest/commands/zrevrank/): how many members have a higher score, and its own; nil if it is no member.
            ///
            /// Since 7.2, O(log n).
            fn zrevrank_with_score(key: impl ToArg, member: impl ToArg) -> Option<(u64, f64)> =
                known!("ZREVRANK").key(key).arg(member).arg("WITHSCORE");

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

            /// [ZRANGE](https://redis.io/docs/latest/commands/zrange/): the members from `start` to `stop` by rank, score or text, from either end.
            ///
            /// Since 6.2, O(log n + m) in the number of members and of those returned.
            fn zrange_options<R>(
                key: impl ToArg,
                start: impl ToArg,
                stop: impl ToArg,
                options: options::ZrangeOptions
            ) -> R =
                known!("ZRANGE").key(key).arg(start).arg(stop).args(options.into_args());

            /// [ZRANGE](https://redis.io/docs/latest/commands/zrange/): the same with their scores: `Vec<(String, f64)>`. By text, it is an error.
            ///
            /// Since 6.2, O(log n + m) in the number of members and of those returned.
            fn zrange_options_with_scores<R>(
                key: impl ToArg,
                start: impl ToArg,
                stop: impl ToArg,
                options: options::ZrangeOptions
            ) -> R =
                known!("ZRANGE").key(key).arg(start).arg(stop).args(options.into_args()).arg("WITHSCORES");

            /// [ZRANGESTORE](https://redis.io/docs/latest/commands/zrangestore/): stores at `destination` the members from `start` to `stop`; how many there are.
            ///
            /// Both must be in one slot.
            ///
            /// Since 6.2, O(log n + m) in the number of members and of those stored.
            fn zrangestore(
                destination: impl ToArg,
                source: impl ToArg,
                start: impl ToArg,
                stop: impl ToArg,
                options: options::ZrangeOptions
            ) -> u64 =
                known!("ZRANGESTORE").key(destination).key(source).arg(start).arg(stop).args(options.into_args());

            /// [ZRANGEBYSCORE](https://redis.io/docs/latest/commands/zrangebyscore/): the members with scores from `min` to `max`: `1.5`, `"(1.5"` without itself, `"-inf"`, `"+inf"`.
            ///
            /// An end that is no number is an error. The servers call it deprecated; `zrange_options` does the same.
            ///
            /// Since 1.0.5, O(log n + m) in the number of members and of those returned.
            fn zrangebyscore<R>(key: impl ToArg, min: impl ToArg, max: impl ToArg) -> R =
                known!("ZRANGEBYSCORE").key(key).arg(min).arg(max);

            /// [ZRANGEBYSCORE](https://redis.io/docs/latest/commands/zrangebyscore/): the same with their scores: `Vec<(String, f64)>`.
            ///
            /// Since 2.0, O(log n + m) in the number of members and of those returned.
            fn zrangebyscore_with_scores<R>(key: impl ToArg, min: impl ToArg, max: impl ToArg) -> R =
                known!("ZRANGEBYSCORE").key(key).arg(min).arg(max).arg("WITHSCORES");

            /// [ZRANGEBYSCORE](https://redis.io/docs/latest/commands/zrangebyscore/): of the members with scores from `min` to `max`, `count` (-1: all) from the place `offset` on.
            ///
            /// Since 1.0.5, O(log n + m) in the number of members and of those up to the last one returned.
            fn zrangebyscore_limit<R>(key: impl ToArg, min: impl ToArg, max: impl ToArg, offset: i64, count: i64) -> R =
                known!("ZRANGEBYSCORE").key(key).arg(min).arg(max).arg("LIMIT").arg(offset).arg(count);

            /// [ZREVRANGEBYSCORE](https://redis.io/docs/latest/commands/zrevrangebyscore/): the members with scores from `max` down to `min`.
            ///
            /// The servers call it deprecated; `zrange_options` does the same.
            ///
            /// Since 2.2, O(log n + m) in the number of members and of those returned.
            fn zrevrangebyscore<R>(key: impl ToArg, max: impl ToArg, min: impl ToArg) -> R =
                known!("ZREVRANGEBYSCORE").key(key).arg(max).arg(min);

            /// [ZREVRANGEBYSCORE](https://redis.io/docs/latest/commands/zrevrangebyscore/): the same with their scores: `Vec<(String, f64)>`.
            ///
            /// Since 2.2, O(log n + m) in the number of members and of those returned.
            fn zrevrangebyscore_with_scores<R>(key: impl ToArg, max: impl ToArg, min: impl ToArg) -> R =
                known!("ZREVRANGEBYSCORE").key(key).arg(max).arg(min).arg("WITHSCORES");

            /// [ZREVRANGEBYSCORE](https://redis.io/docs/latest/commands/zrevrangebyscore/): of the members with scores from `max` down to `min`, `count` (-1: all) from the place `offset` on.
            ///
            /// Since 2.2, O(log n + m) in the number of members and of those up to the last one returned.
            fn zrevrangebyscore_limit<R>(
                key: impl ToArg,
                max: impl ToArg,
                min: impl ToArg,
                offset: i64,
                count: i64
            ) -> R =
                known!("ZREVRANGEBYSCORE").key(key).arg(max).arg(min).arg("LIMIT").arg(offset).arg(count);

            /// [ZRANGEBYLEX](https://redis.io/docs/latest/commands/zrangebylex/): the members from text to text, where all scores are the same: `"[a"`, `"(a"` without itself, `"-"`, `"+"`.
            ///
            /// An end without such a sign is an error. The servers call it deprecated; `zrange_options` does the
            /// same.
            ///
            /// Since 2.8.9, O(log n + m) in the number of members and of those returned.
            fn zrangebylex<R>(key: impl ToArg, min: impl ToArg, max: impl ToArg) -> R =
                known!("ZRANGEBYLEX").key(key).arg(min).arg(max);

            /// [ZRANGEBYLEX](https://redis.io/docs/latest/commands/zrangebylex/): of the members from text to text, `count` (-1: all) from the place `offset` on.
            ///
            /// Since 2.8.9, O(log n + m) in the number of members and of those up to the last one returned.
            fn zrangebylex_limit<R>(key: impl ToArg, min: impl ToArg, max: impl ToArg, offset: i64, count: i64) -> R =
                known!("ZRANGEBYLEX").key(key).arg(min).arg(max).arg("LIMIT").arg(offset).arg(count);

            /// [ZREVRANGEBYLEX](https://redis.io/docs/latest/commands/zrevrangebylex/): the members from text down to text, where all scores are the same.
            ///
            /// The servers call it deprecated; `zrange_options` does the same.
            ///
            /// Since 2.8.9, O(log n + m) in the number of members and of those returned.
            fn zrevrangebylex<R>(key: impl ToArg, max: impl ToArg, min: impl ToArg) -> R =
                known!("ZREVRANGEBYLEX").key(key).arg(max).arg(min);

            /// [ZREVRANGEBYLEX](https://redis.io/docs/latest/commands/zrevrangebylex/): of the members from text down to text, `count` (-1: all) from the place `offset` on.
            ///
            /// Since 2.8.9, O(log n + m) in the number of members and of those up to the last one returned.
            fn zrevrangebylex_limit<R>(
                key: impl ToArg,
                max: impl ToArg,
                min: impl ToArg,
                offset: i64,
                count: i64
            ) -> R =
                known!("ZREVRANGEBYLEX").key(key).arg(max).arg(min).arg("LIMIT").arg(offset).arg(count);

            /// [ZREVRANGE](https://redis.io/docs/latest/commands/zrevrange/): the members from `start` to `stop` by rank, the highest score first.
            ///
            /// The servers call it deprecated; `zrange_options` does the same.
            ///
            /// Since 1.2, O(log n + m) in the number of members and of those returned.
            fn zrevrange<R>(key: impl ToArg, start: i64, stop: i64) -> R =
                known!("ZREVRANGE").key(key).arg(start).arg(stop);

            /// [ZREVRANGE](https://redis.io/docs/latest/commands/zrevrange/): the same with their scores: `Vec<(String, f64)>`.
            ///
            /// Since 1.2, O(log n + m) in the number of members and of those returned.
            fn zrevrange_with_scores<R>(key: impl ToArg, start: i64, stop: i64) -> R =
                known!("ZREVRANGE").key(key).arg(start).arg(stop).arg("WITHSCORES");

            /// [ZREM](https://redis.io/docs/latest/commands/zrem/): removes members; how many there were.
            ///
            /// Since 1.2, O(log n) for each member.
            fn zrem(key: impl ToArg, members: impl ToArgs) -> u64 =
                known!("ZREM").key(key).args(members.into_args());

            /// [ZREMRANGEBYRANK](https://redis.io/docs/latest/commands/zremrangebyrank/): removes the members from `start` to `stop` by rank; how many there were.
            ///
            /// Since 2.0, O(log n + m) in the number of members and of those removed.
            fn zremrangebyrank(key: impl ToArg, start: i64, stop: i64) -> u64 =
                known!("ZREMRANGEBYRANK").key(key).arg(start).arg(stop);

            /// [ZREMRANGEBYSCORE](https://redis.io/docs/latest/commands/zremrangebyscore/): removes the members with scores from `min` to `max`; how many there were.
            ///
            /// Since 1.2, O(log n + m) in the number of members and of those removed.
            fn zremrangebyscore(key: impl ToArg, min: impl ToArg, max: impl ToArg) -> u64 =
                known!("ZREMRANGEBYSCORE").key(key).arg(min).arg(max);

            /// [ZREMRANGEBYLEX](https://redis.io/docs/latest/commands/zremrangebylex/): removes the members from text to text, where all scores are the same; how many there were.
            ///
            /// Since 2.8.9, O(log n + m) in the number of members and of those removed.
            fn zremrangebylex(key: impl ToArg, min: impl ToArg, max: impl ToArg) -> u64 =
                known!("ZREMRANGEBYLEX").key(key).arg(min).arg(max);

            /// [ZCARD](https://redis.io/docs/latest/commands/zcard/): how many members there are.
            ///
            /// Since 1.2, O(1).
            fn zcard(key: impl ToArg) -> u64 =
                known!("ZCARD").key(key);

            /// [ZCOUNT](https://redis.io/docs/latest/commands/zcount/): how many members have scores from `min` to `max`.
            ///
            /// Since 2.0, O(log n).
            fn zcount(key: impl ToArg, min: impl ToArg, max: impl ToArg) -> u64 =
                known!("ZCOUNT").key(key).arg(min).arg(max);

            /// [ZLEXCOUNT](https://redis.io/docs/latest/commands/zlexcount/): how many members there are from text to text, where all scores are the same.
            ///
            /// Since 2.8.9, O(log n).
            fn zlexcount(key: impl ToArg, min: impl ToArg, max: impl ToArg) -> u64 =
                known!("ZLEXCOUNT").key(key).arg(min).arg(max);

            /// [ZPOPMIN](https://redis.io/docs/latest/commands/zpopmin/): takes the member with the lowest score: `Vec<(String, f64)>`, empty if there is none.
            ///
            /// Since 5.0, O(log n).
            fn zpopmin<R>(key: impl ToArg) -> R =
                known!("ZPOPMIN").key(key);

            /// [ZPOPMIN](https://redis.io/docs/latest/commands/zpopmin/): takes up to `count` members with the lowest scores: `Vec<(String, f64)>`.
            ///
            /// Since 5.0, O(m*log n) in the number of those taken.
            fn zpopmin_count<R>(key: impl ToArg, count: u64) -> R =
                known!("ZPOPMIN").key(key).arg(count);

            /// [ZPOPMAX](https://redis.io/docs/latest/commands/zpopmax/): takes the member with the highest score: `Vec<(String, f64)>`, empty if there is none.
            ///
            /// Since 5.0, O(log n).
            fn zpopmax<R>(key: impl ToArg) -> R =
                known!("ZPOPMAX").key(key);

            /// [ZPOPMAX](https://redis.io/docs/latest/commands/zpopmax/): takes up to `count` members with the highest scores: `Vec<(String, f64)>`.
            ///
            /// Since 5.0, O(m*log n) in the number of those taken.
            fn zpopmax_count<R>(key: impl ToArg, count: u64) -> R =
                known!("ZPOPMAX").key(key).arg(count);

            /// [ZMPOP](https://redis.io/docs/latest/commands/zmpop/): takes a member of the first sorted set that has one, with the set's key: `Option<(String, Vec<(String, f64)>)>`.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 7.0, O(n + log m) in the number of keys and members.
            fn zmpop<R>(keys: impl ToArgs, end: options::ScoreEnd) -> R =
                known!("ZMPOP").counted_keys(keys).arg(end);

            /// [ZMPOP](https://redis.io/docs/latest/commands/zmpop/): takes up to `count` members of the first sorted set that has some, with the set's key.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 7.0, O(n + c*log m) in the number of keys, of those taken and of members.
            fn zmpop_count<R>(keys: impl ToArgs, end: options::ScoreEnd, count: u64) -> R =
                known!("ZMPOP").counted_keys(keys).arg(end).arg("COUNT").arg(count);

            /// [BZPOPMIN](https://redis.io/docs/latest/commands/bzpopmin/): takes the member with the lowest score of the first sorted set that has one, with the set's key; waits so many seconds for one (0: without end), then nil.
            ///
            /// Read it as `Option<(String, String, f64)>`. Takes an exclusive connection, as `blpop` does. All keys
            /// must be in one slot.
            ///
            /// Since 5.0, O(log n).
            fn bzpopmin<R>(keys: impl ToArgs, seconds: f64) -> R =
                known!("BZPOPMIN").keys(keys.into_args()).arg(seconds);

            /// [BZPOPMAX](https://redis.io/docs/latest/commands/bzpopmax/): takes the member with the highest score; otherwise as `bzpopmin`.
            ///
            /// Since 5.0, O(log n).
            fn bzpopmax<R>(keys: impl ToArgs, seconds: f64) -> R =
                known!("BZPOPMAX").keys(keys.into_args()).arg(seconds);

            /// [BZMPOP](https://redis.io/docs/latest/commands/bzmpop/): as `zmpop`, and waits so many seconds for a member (0: without end), then nil.
            ///
            /// Takes an exclusive connection, as `blpop` does.
            ///
            /// Since 7.0, O(n + log m) in the number of keys and members.
            fn bzmpop<R>(seconds: f64, keys: impl ToArgs, end: options::ScoreEnd) -> R =
                known!("BZMPOP").arg(seconds).counted_keys(keys).arg(end);

            /// [BZMPOP](https://redis.io/docs/latest/commands/bzmpop/): as `zmpop_count`, and waits so many seconds for a member (0: without end), then nil.
            ///
            /// Takes an exclusive connection, as `blpop` does.
            ///
            /// Since 7.0, O(n + c*log m) in the number of keys, of those taken and of members.
            fn bzmpop_count<R>(seconds: f64, keys: impl ToArgs, end: options::ScoreEnd, count: u64) -> R =
                known!("BZMPOP").arg(seconds).counted_keys(keys).arg(end).arg("COUNT").arg(count);

            /// [ZRANDMEMBER](https://redis.io/docs/latest/commands/zrandmember/): a random member, nil if there is none.
            ///
            /// Since 6.2, O(1).
            fn zrandmember<R>(key: impl ToArg) -> R =
                known!("ZRANDMEMBER").key(key);

            /// [ZRANDMEMBER](https://redis.io/docs/latest/commands/zrandmember/): so many random members, all different; a negative `count` may bring one several times.
            ///
            /// Since 6.2, O(n) in `count`.
            fn zrandmember_count<R>(key: impl ToArg, count: i64) -> R =
                known!("ZRANDMEMBER").key(key).arg(count);

            /// [ZRANDMEMBER](https://redis.io/docs/latest/commands/zrandmember/): the same with their scores: `Vec<(String, f64)>`.
            ///
            /// Since 6.2, O(n) in `count`.
            fn zrandmember_with_scores<R>(key: impl ToArg, count: i64) -> R =
                known!("ZRANDMEMBER").key(key).arg(count).arg("WITHSCORES");

            /// [ZSCAN](https://redis.io/docs/latest/commands/zscan/): some members with their scores, and the cursor for the next ones; begin with 0, and end when it is 0 again.
            ///
            /// What is there all the time comes at least once, perhaps twice. Read the items as `Vec<(String, f64)>`.
            ///
            /// Since 2.8, O(1) for each call, O(n) for all.
            fn zscan<R>(key: impl ToArg, cursor: u64, options: options::ScanOptions) -> replies::ScanPage<R> =
                known!("ZSCAN").key(key).arg(cursor).args(options.into_args());

            /// [ZUNION](https://redis.io/docs/latest/commands/zunion/): the members of all sorted sets, by the sums of their scores.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 6.2, O(n + m*log m) in the number of members of all and of those returned.
            fn zunion<R>(keys: impl ToArgs) -> R =
                known!("ZUNION").counted_keys(keys);

            /// [ZUNION](https://redis.io/docs/latest/commands/zunion/): the members of all sorted sets with their scores, put together as you say: `Vec<(String, f64)>`.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 6.2, O(n + m*log m) in the number of members of all and of those returned.
            fn zunion_with_scores<R>(keys: impl ToArgs, options: options::ZstoreOptions) -> R =
                known!("ZUNION").counted_keys(keys).args(options.into_args()).arg("WITHSCORES");

            /// [ZUNIONSTORE](https://redis.io/docs/latest/commands/zunionstore/): stores at `destination` the members of all sorted sets with the sums of their scores; how many there are.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 2.0, O(n + m*log m) in the number of members of all and of those stored.
            fn zunionstore(destination: impl ToArg, keys: impl ToArgs) -> u64 =
                known!("ZUNIONSTORE").key(destination).counted_keys(keys);

            /// [ZUNIONSTORE](https://redis.io/docs/latest/commands/zunionstore/): the same with scores that are put together as you say.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 2.0, O(n + m*log m) in the number of members of all and of those stored.
            fn zunionstore_options(destination: impl ToArg, keys: impl ToArgs, options: options::ZstoreOptions) -> u64 =
                known!("ZUNIONSTORE").key(destination).counted_keys(keys).args(options.into_args());

            /// [ZINTER](https://redis.io/docs/latest/commands/zinter/): the members that all sorted sets have, by the sums of their scores.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 6.2, O(n*k + m*log m) in the size of the smallest, the number of sets and of members returned.
            fn zinter<R>(keys: impl ToArgs) -> R =
                known!("ZINTER").counted_keys(keys);

            /// [ZINTER](https://redis.io/docs/latest/commands/zinter/): the members that all sorted sets have with their scores, put together as you say: `Vec<(String, f64)>`.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 6.2, O(n*k + m*log m) in the size of the smallest, the number of sets and of members returned.
            fn zinter_with_scores<R>(keys: impl ToArgs, options: options::ZstoreOptions) -> R =
                known!("ZINTER").counted_keys(keys).args(options.into_args()).arg("WITHSCORES");

            /// [ZINTERSTORE](https://redis.io/docs/latest/commands/zinterstore/): stores at `destination` the members that all sorted sets have with the sums of their scores; how many there are.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 2.0, O(n*k + m*log m) in the size of the smallest, the number of sets and of members stored.
            fn zinterstore(destination: impl ToArg, keys: impl ToArgs) -> u64 =
                known!("ZINTERSTORE").key(destination).counted_keys(keys);

            /// [ZINTERSTORE](https://redis.io/docs/latest/commands/zinterstore/): the same with scores that are put together as you say.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 2.0, O(n*k + m*log m) in the size of the smallest, the number of sets and of members stored.
            fn zinterstore_options(destination: impl ToArg, keys: impl ToArgs, options: options::ZstoreOptions) -> u64 =
                known!("ZINTERSTORE").key(destination).counted_keys(keys).args(options.into_args());

            /// [ZINTERCARD](https://redis.io/docs/latest/commands/zintercard/): how many members all sorted sets have in common.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 7.0, O(n*k) in the size of the smallest and the number of sets.
            fn zintercard(keys: impl ToArgs) -> u64 =
                known!("ZINTERCARD").counted_keys(keys);

            /// [ZINTERCARD](https://redis.io/docs/latest/commands/zintercard/): how many members all sorted sets have in common, counted up to `limit` (0: all).
            ///
            /// All keys must be in one slot.
            ///
            /// Since 7.0, O(n*k) in the size of the smallest and the number of sets.
            fn zintercard_limit(keys: impl ToArgs, limit: u64) -> u64 =
                known!("ZINTERCARD").counted_keys(keys).arg("LIMIT").arg(limit);

            /// [ZDIFF](https://redis.io/docs/latest/commands/zdiff/): the members of the first sorted set that no other has.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 6.2, O(n + m*log m) in the number of members of all and of those returned.
            fn zdiff<R>(keys: impl ToArgs) -> R =
                known!("ZDIFF").counted_keys(keys);

            /// [ZDIFF](https://redis.io/docs/latest/commands/zdiff/): the same with their scores: `Vec<(String, f64)>`.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 6.2, O(n + m*log m) in the number of members of all and of those returned.
            fn zdiff_with_scores<R>(keys: impl ToArgs) -> R =
                known!("ZDIFF").counted_keys(keys).arg("WITHSCORES");

            /// [ZDIFFSTORE](https://redis.io/docs/latest/commands/zdiffstore/): stores at `destination` the members of the first sorted set that no other has; how many there are.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 6.2, O(n + m*log m) in the number of members of all and of those stored.
            fn zdiffstore(destination: impl ToArg, keys: impl ToArgs) -> u64 =
                known!("ZDIFFSTORE").key(destination).counted_keys(keys);
        }
    };
}

pub(crate) use sorted_set_commands;
