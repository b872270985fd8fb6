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

            /// [SET](https://redis.io/docs/latest/commands/set/): sets `key` to `value` on a condition, for a time, or in exchange for the value that it had.
            ///
            /// Read the reply as `bool` (whether it was set) or, with [`get`](crate::options::SetOptions::get), as
            /// `Option` of the old value.
            ///
            /// With `get`, a key of another type is a `WRONGTYPE` error and stays as it is.
            ///
            /// Since 1.0 (`get`, `exat` and `pxat` 6.2, `get` with `nx` 7.0, `ifeq` Valkey 8.1 and Redis 8.4), O(1).
            fn set_options<R>(key: impl ToArg, value: impl ToArg, options: options::SetOptions) -> R =
                known!("SET").key(key).arg(value).args(options.into_args());

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

            /// [GETEX](https://redis.io/docs/latest/commands/getex/): the value of `key`, which gets a time to live.
            ///
            /// A key of another type is a `WRONGTYPE` error.
            ///
            /// Since 6.2, O(1).
            fn getex<R>(key: impl ToArg, expiry: impl Into<options::Expiry>) -> R =
                known!("GETEX").key(key).args(expiry.into().into_args());

            /// [GETEX](https://redis.io/docs/latest/commands/getex/): the value of `key`, whose time to live is taken away.
            ///
            /// A key of another type is a `WRONGTYPE` error.
            ///
            /// Since 6.2, O(1).
            fn getex_persist<R>(key: impl ToArg) -> R =
                known!("GETEX").key(key).arg("PERSIST");

            /// [GETSET](https://redis.io/docs/latest/commands/getset/): sets `key` to `value` and returns what it was, nil if it did not exist.
            ///
            /// The servers call it deprecated; `set_options` with [`get`](crate::options::SetOptions::get) does the
            /// same.
            ///
            /// Since 1.0, O(1).
            fn getset<R>(key: impl ToArg, value: impl ToArg) -> R =
                known!("GETSET").key(key).arg(value);

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

            /// [SUBSTR](https://redis.io/docs/latest/commands/substr/): the old name of `getrange`.
            ///
            /// Since 1.0, O(n) in the length of the reply.
            fn substr<R>(key: impl ToArg, start: i64, end: i64) -> R =
                known!("SUBSTR").key(key).arg(start).arg(end);

            /// [SETRANGE](https://redis.io/docs/latest/commands/setrange/): overwrites the value of `key` from `offset` on, with zero bytes where it was shorter; the new length.
            ///
            /// More than 512 MiB (`proto-max-bulk-len`) are an error.
            ///
            /// Since 2.2, O(n) in the length of `value` if no memory must be moved.
            fn setrange(key: impl ToArg, offset: u64, value: impl ToArg) -> u64 =
                known!("SETRANGE").key(key).arg(offset).arg(value);

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

            /// [MSETNX](https://redis.io/docs/latest/commands/msetnx/): sets each key to its value unless one of them exists; tells whether it did.
            ///
            /// All keys must be in one slot: all or none cannot be promised over several nodes.
            ///
            /// Since 1.0.1, O(n) in the number of keys.
            fn msetnx(pairs: impl IntoIterator<Item = (impl ToArg, impl ToArg)>) -> bool =
                known!("MSETNX").key_values(pairs);

            /// [MSETEX](https://redis.io/docs/latest/commands/msetex/): sets each key to its value, all with one time to live and on one condition; tells whether it did.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 8.4 (Valkey 9.1), O(n) in the number of keys.
            fn msetex(
                pairs: impl IntoIterator<Item = (impl ToArg, impl ToArg)>,
                options: options::MsetexOptions
            ) -> bool =
                known!("MSETEX").counted_key_values(pairs).args(options.into_args());

            /// [DELIFEQ](https://valkey.io/commands/delifeq/): deletes `key` if it holds `value`, as one who releases a lock does; tells whether it did.
            ///
            /// A key of another type is a `WRONGTYPE` error.
            ///
            /// Since Valkey 9.0, O(1).
            fn delifeq(key: impl ToArg, value: impl ToArg) -> bool =
                known!("DELIFEQ").key(key).arg(value);

            /// [LCS](https://redis.io/docs/latest/commands/lcs/): the longest common subsequence of two values.
            ///
            /// Both keys must be in one slot.
            ///
            /// Since 7.0, O(n*m) in the lengths of the values.
            fn lcs<R>(key: impl ToArg, other_key: impl ToArg) -> R =
                known!("LCS").key(key).key(other_key);

            /// [LCS](https://redis.io/docs/latest/commands/lcs/): the length of the longest common subsequence of two values.
            ///
            /// Both keys must be in one slot.
            ///
            /// Since 7.0, O(n*m) in the lengths of the values.
            fn lcs_len(key: impl ToArg, other_key: impl ToArg) -> u64 =
                known!("LCS").key(key).key(other_key).arg("LEN");

            /// [LCS](https://redis.io/docs/latest/commands/lcs/): where the longest common subsequence of two values lies in each of them, the last match first.
            ///
            /// Both keys must be in one slot.
            ///
            /// Since 7.0, O(n*m) in the lengths of the values.
            fn lcs_idx(key: impl ToArg, other_key: impl ToArg, options: options::LcsOptions) -> replies::LcsMatches =
                known!("LCS").key(key).key(other_key).arg("IDX").args(options.into_args());
        }
    };
}

pub(crate) use string_commands;
