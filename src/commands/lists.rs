//! Lists.

macro_rules! list_commands {
    ($render:ident) => {
        $render! {
            /// [LPUSH](https://redis.io/docs/latest/commands/lpush/): puts values in front, one after the other; the new length.
            ///
            /// Since 1.0, O(n) in the number of values.
            fn lpush(key: impl ToArg, values: impl ToArgs) -> u64 =
                known!("LPUSH").key(key).args(values.into_args());

            /// [RPUSH](https://redis.io/docs/latest/commands/rpush/): puts values at the end; the new length.
            ///
            /// Since 1.0, O(n) in the number of values.
            fn rpush(key: impl ToArg, values: impl ToArgs) -> u64 =
                known!("RPUSH").key(key).args(values.into_args());

            /// [LPOP](https://redis.io/docs/latest/commands/lpop/): takes the first element, nil if there is none.
            ///
            /// Since 1.0, O(1).
            fn lpop<R>(key: impl ToArg) -> R =
                known!("LPOP").key(key);

            /// [RPOP](https://redis.io/docs/latest/commands/rpop/): takes the last element, nil if there is none.
            ///
            /// Since 1.0, O(1).
            fn rpop<R>(key: impl ToArg) -> R =
                known!("RPOP").key(key);

            /// [LRANGE](https://redis.io/docs/latest/commands/lrange/): the elements from `start` to `stop`, both included; negative places count from the end.
            ///
            /// Since 1.0, O(s+n) in the distance of the start and the number of elements.
            fn lrange<R>(key: impl ToArg, start: i64, stop: i64) -> R =
                known!("LRANGE").key(key).arg(start).arg(stop);

            /// [LLEN](https://redis.io/docs/latest/commands/llen/): how many elements there are.
            ///
            /// Since 1.0, O(1).
            fn llen(key: impl ToArg) -> u64 =
                known!("LLEN").key(key);

            /// [BLPOP](https://redis.io/docs/latest/commands/blpop/): takes the first element of the first list that has one, with its key; waits so many seconds for one (0: without end), then nil.
            ///
            /// Takes an exclusive connection by itself, so it delays nobody. The deadline is the time that it may wait and the
            /// client's on top. All keys must be in one slot. Dropping the future may lose an element that the server has taken already.
            ///
            /// Since 2.0, O(n) in the number of keys.
            fn blpop<R>(keys: impl ToArgs, seconds: f64) -> R =
                known!("BLPOP").keys(keys.into_args()).arg(seconds);

            /// [BRPOP](https://redis.io/docs/latest/commands/brpop/): takes the last element of the first list that has one; otherwise as `blpop`.
            ///
            /// Since 2.0, O(n) in the number of keys.
            fn brpop<R>(keys: impl ToArgs, seconds: f64) -> R =
                known!("BRPOP").keys(keys.into_args()).arg(seconds);
        }
    };
}

pub(crate) use list_commands;
