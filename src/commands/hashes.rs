//! Hashes.

macro_rules! hash_commands {
    ($render:ident) => {
        $render! {
            /// [HSET](https://redis.io/docs/latest/commands/hset/): sets fields of a hash; how many are new.
            ///
            /// Since 2.0, O(n) in the number of fields.
            fn hset(key: impl ToArg, fields: impl IntoIterator<Item = (impl ToArg, impl ToArg)>) -> u64 =
                known!("HSET").key(key).pairs(fields);

            /// [HGET](https://redis.io/docs/latest/commands/hget/): the value of a field, nil if there is none.
            ///
            /// Since 2.0, O(1).
            fn hget<R>(key: impl ToArg, field: impl ToArg) -> R =
                known!("HGET").key(key).arg(field);

            /// [HMGET](https://redis.io/docs/latest/commands/hmget/): the values of fields in their order, nil for each that does not exist.
            ///
            /// Since 2.0, O(n) in the number of fields.
            fn hmget<R>(key: impl ToArg, fields: impl ToArgs) -> R =
                known!("HMGET").key(key).args(fields.into_args());

            /// [HGETALL](https://redis.io/docs/latest/commands/hgetall/): all fields and their values: as `HashMap`, `BTreeMap`, or a `Vec` of pairs.
            ///
            /// A key that does not exist is an empty hash.
            ///
            /// Since 2.0, O(n) in the number of fields.
            fn hgetall<R>(key: impl ToArg) -> R =
                known!("HGETALL").key(key);

            /// [HDEL](https://redis.io/docs/latest/commands/hdel/): deletes fields; how many there were.
            ///
            /// Since 2.0, O(n) in the number of fields.
            fn hdel(key: impl ToArg, fields: impl ToArgs) -> u64 =
                known!("HDEL").key(key).args(fields.into_args());

            /// [HEXISTS](https://redis.io/docs/latest/commands/hexists/): whether there is such a field.
            ///
            /// Since 2.0, O(1).
            fn hexists(key: impl ToArg, field: impl ToArg) -> bool =
                known!("HEXISTS").key(key).arg(field);

            /// [HLEN](https://redis.io/docs/latest/commands/hlen/): how many fields there are.
            ///
            /// Since 2.0, O(1).
            fn hlen(key: impl ToArg) -> u64 =
                known!("HLEN").key(key);

            /// [HINCRBY](https://redis.io/docs/latest/commands/hincrby/): adds `increment` to a field; the new value.
            ///
            /// Since 2.0, O(1).
            fn hincrby(key: impl ToArg, field: impl ToArg, increment: i64) -> i64 =
                known!("HINCRBY").key(key).arg(field).arg(increment);
        }
    };
}

pub(crate) use hash_commands;
