//! Strings and counters.

macro_rules! string_commands {
    ($render:ident) => {
        $render! {
            /// [GET](https://redis.io/docs/latest/commands/get/): the value of `key`, nil if it does not exist.
            ///
            /// A key of another type is a `WRONGTYPE` error.
            ///
            /// Since 1.0, O(1).
            fn get<R>(key: impl ToArg) -> R =
                known!("GET").key(key);

            /// [SET](https://redis.io/docs/latest/commands/set/): sets `key` to `value`, whatever it held, and ends its time to live.
            ///
            /// Since 1.0, O(1).
            fn set(key: impl ToArg, value: impl ToArg) -> () =
                known!("SET").key(key).arg(value);

            /// [SETNX](https://redis.io/docs/latest/commands/setnx/): sets `key` to `value` unless it exists; tells whether it did.
            ///
            /// Since 1.0, O(1).
            fn setnx(key: impl ToArg, value: impl ToArg) -> bool =
                known!("SETNX").key(key).arg(value);

            /// [SETEX](https://redis.io/docs/latest/commands/setex/): sets `key` to `value` for so many seconds.
            ///
            /// Zero seconds are refused by the server.
            ///
            /// Since 2.0, O(1).
            fn setex(key: impl ToArg, seconds: u64, value: impl ToArg) -> () =
                known!("SETEX").key(key).arg(seconds).arg(value);

            /// [PSETEX](https://redis.io/docs/latest/commands/psetex/): sets `key` to `value` for so many milliseconds.
            ///
            /// Zero milliseconds are refused by the server.
            ///
            /// Since 2.6, O(1).
            fn psetex(key: impl ToArg, milliseconds: u64, value: impl ToArg) -> () =
                known!("PSETEX").key(key).arg(milliseconds).arg(value);

            /// [GETDEL](https://redis.io/docs/latest/commands/getdel/): takes the value of `key` and deletes it.
            ///
            /// Since 6.2, O(1).
            fn getdel<R>(key: impl ToArg) -> R =
                known!("GETDEL").key(key);

            /// [APPEND](https://redis.io/docs/latest/commands/append/): appends to the value of `key`; the new length in bytes.
            ///
            /// Since 2.0, O(1).
            fn append(key: impl ToArg, value: impl ToArg) -> u64 =
                known!("APPEND").key(key).arg(value);

            /// [STRLEN](https://redis.io/docs/latest/commands/strlen/): the length of the value of `key` in bytes, 0 if it does not exist.
            ///
            /// Since 2.2, O(1).
            fn strlen(key: impl ToArg) -> u64 =
                known!("STRLEN").key(key);

            /// [GETRANGE](https://redis.io/docs/latest/commands/getrange/): the bytes from `start` to `end`, both included; negative places count from the end.
            ///
            /// Since 2.4, O(n) in the length of the reply.
            fn getrange<R>(key: impl ToArg, start: i64, end: i64) -> R =
                known!("GETRANGE").key(key).arg(start).arg(end);

            /// [INCR](https://redis.io/docs/latest/commands/incr/): adds 1; the new value. A key that does not exist counts as 0.
            ///
            /// Never sent again by itself once it may have been executed: see [`Outcome::MaybeExecuted`](crate::Outcome::MaybeExecuted).
            ///
            /// Since 1.0, O(1).
            fn incr(key: impl ToArg) -> i64 =
                known!("INCR").key(key);

            /// [INCRBY](https://redis.io/docs/latest/commands/incrby/): adds `increment`; the new value.
            ///
            /// Since 1.0, O(1).
            fn incrby(key: impl ToArg, increment: i64) -> i64 =
                known!("INCRBY").key(key).arg(increment);

            /// [INCRBYFLOAT](https://redis.io/docs/latest/commands/incrbyfloat/): adds `increment`; the new value.
            ///
            /// Since 2.6, O(1).
            fn incrbyfloat(key: impl ToArg, increment: f64) -> f64 =
                known!("INCRBYFLOAT").key(key).arg(increment);

            /// [DECR](https://redis.io/docs/latest/commands/decr/): subtracts 1; the new value.
            ///
            /// Since 1.0, O(1).
            fn decr(key: impl ToArg) -> i64 =
                known!("DECR").key(key);

            /// [DECRBY](https://redis.io/docs/latest/commands/decrby/): subtracts `decrement`; the new value.
            ///
            /// Since 1.0, O(1).
            fn decrby(key: impl ToArg, decrement: i64) -> i64 =
                known!("DECRBY").key(key).arg(decrement);

            /// [MGET](https://redis.io/docs/latest/commands/mget/): the values of `keys` in their order, nil for each that does not exist.
            ///
            /// The keys may be in any slots: the command is split by slot, and all parts for one node travel together. Each part is
            /// atomic, the whole is not.
            ///
            /// Since 1.0, O(n) in the number of keys.
            fn mget<R>(keys: impl IntoIterator<Item = impl ToArg>) -> R =
                known!("MGET").keys(keys);

            /// [MSET](https://redis.io/docs/latest/commands/mset/): sets each key to its value.
            ///
            /// The keys may be in any slots, as with `mget`. If a part fails, the others may have been executed.
            ///
            /// Since 1.0.1, O(n) in the number of keys.
            fn mset(pairs: impl IntoIterator<Item = (impl ToArg, impl ToArg)>) -> () =
                known!("MSET").key_values(pairs);
        }
    };
}

pub(crate) use string_commands;
