//! Hashes.

macro_rules! hash_commands {
    ($render:ident) => {
        $render! {
            /// [HSET](https://redis.io/docs/latest/commands/hset/): sets fields of a hash; how many are new.
            ///
            /// Since 2.0, O(n) in the number of fields.
            fn hset(key: impl ToArg, fields: impl IntoIterator<Item = (impl ToArg, impl ToArg)>) -> u64 =
                known!("HSET").key(key).pairs(fields);

            /// [HSETNX](https://redis.io/docs/latest/commands/hsetnx/): sets a field unless it exists; tells whether it did.
            ///
            /// Since 2.0, O(1).
            fn hsetnx(key: impl ToArg, field: impl ToArg, value: impl ToArg) -> bool =
                known!("HSETNX").key(key).arg(field).arg(value);

            /// [HMSET](https://redis.io/docs/latest/commands/hmset/): sets fields of a hash; the old name of `hset`.
            ///
            /// Since 2.0, O(n) in the number of fields.
            fn hmset(key: impl ToArg, fields: impl IntoIterator<Item = (impl ToArg, impl ToArg)>) -> () =
                known!("HMSET").key(key).pairs(fields);

            /// [HSETEX](https://redis.io/docs/latest/commands/hsetex/): sets fields with a time to live, or on a condition; tells whether it did.
            ///
            /// Since 8.0 (Valkey 9.0), O(n) in the number of fields.
            fn hsetex(
                key: impl ToArg,
                fields: impl IntoIterator<Item = (impl ToArg, impl ToArg)>,
                options: options::HsetexOptions
            ) -> bool =
                {
                    let fields: Vec<_> = fields.into_iter().collect();
                    let command = known!("HSETEX").key(key).args(options.into_args());
                    command.arg("FIELDS").arg(fields.len()).pairs(fields)
                };

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

            /// [HGETEX](https://redis.io/docs/latest/commands/hgetex/): the values of fields, which get a time to live.
            ///
            /// Since 8.0 (Valkey 9.0), O(n) in the number of fields.
            fn hgetex<R>(key: impl ToArg, fields: impl ToArgs, expiry: impl Into<options::Expiry>) -> R =
                known!("HGETEX").key(key).args(expiry.into().into_args()).arg("FIELDS").counted_args(fields);

            /// [HGETEX](https://redis.io/docs/latest/commands/hgetex/): the values of fields, whose time to live is taken away.
            ///
            /// Since 8.0 (Valkey 9.0), O(n) in the number of fields.
            fn hgetex_persist<R>(key: impl ToArg, fields: impl ToArgs) -> R =
                known!("HGETEX").key(key).arg("PERSIST").arg("FIELDS").counted_args(fields);

            /// [HGETDEL](https://redis.io/docs/latest/commands/hgetdel/): takes the values of fields and deletes these.
            ///
            /// Since 8.0 (Valkey 9.1), O(n) in the number of fields.
            fn hgetdel<R>(key: impl ToArg, fields: impl ToArgs) -> R =
                known!("HGETDEL").key(key).arg("FIELDS").counted_args(fields);

            /// [HGETALL](https://redis.io/docs/latest/commands/hgetall/): all fields and their values: as `HashMap`, `BTreeMap`, or a `Vec` of pairs.
            ///
            /// A key that does not exist is an empty hash.
            ///
            /// Since 2.0, O(n) in the number of fields.
            fn hgetall<R>(key: impl ToArg) -> R =
                known!("HGETALL").key(key);

            /// [HKEYS](https://redis.io/docs/latest/commands/hkeys/): the names of all fields.
            ///
            /// Since 2.0, O(n) in the number of fields.
            fn hkeys<R>(key: impl ToArg) -> R =
                known!("HKEYS").key(key);

            /// [HVALS](https://redis.io/docs/latest/commands/hvals/): the values of all fields.
            ///
            /// Since 2.0, O(n) in the number of fields.
            fn hvals<R>(key: impl ToArg) -> R =
                known!("HVALS").key(key);

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

            /// [HSTRLEN](https://redis.io/docs/latest/commands/hstrlen/): the length of the value of a field in bytes, 0 if there is none.
            ///
            /// Since 3.2, O(1).
            fn hstrlen(key: impl ToArg, field: impl ToArg) -> u64 =
                known!("HSTRLEN").key(key).arg(field);

            /// [HINCRBY](https://redis.io/docs/latest/commands/hincrby/): adds `increment` to a field; the new value.
            ///
            /// Since 2.0, O(1).
            fn hincrby(key: impl ToArg, field: impl ToArg, increment: i64) -> i64 =
                known!("HINCRBY").key(key).arg(field).arg(increment);

            /// [HINCRBYFLOAT](https://redis.io/docs/latest/commands/hincrbyfloat/): adds `increment` to a field; the new value.
            ///
            /// A field that is no number is an error.
            ///
            /// Since 2.6, O(1).
            fn hincrbyfloat(key: impl ToArg, field: impl ToArg, increment: f64) -> f64 =
                known!("HINCRBYFLOAT").key(key).arg(field).arg(increment);

            /// [HRANDFIELD](https://redis.io/docs/latest/commands/hrandfield/): a random field, nil if there is none.
            ///
            /// Since 6.2, O(1).
            fn hrandfield<R>(key: impl ToArg) -> R =
                known!("HRANDFIELD").key(key);

            /// [HRANDFIELD](https://redis.io/docs/latest/commands/hrandfield/): so many random fields, all different; a negative `count` may bring one several times.
            ///
            /// Since 6.2, O(n) in `count`.
            fn hrandfield_count<R>(key: impl ToArg, count: i64) -> R =
                known!("HRANDFIELD").key(key).arg(count);

            /// [HRANDFIELD](https://redis.io/docs/latest/commands/hrandfield/): the same with their values: `Vec<(String, String)>`.
            ///
            /// Since 6.2, O(n) in `count`.
            fn hrandfield_with_values<R>(key: impl ToArg, count: i64) -> R =
                known!("HRANDFIELD").key(key).arg(count).arg("WITHVALUES");

            /// [HSCAN](https://redis.io/docs/latest/commands/hscan/): some fields with their values, and the cursor for the next ones; begin with 0, and end when it is 0 again.
            ///
            /// What is there all the time comes at least once. Read the items as `Vec<(String, String)>`, or collect
            /// maps.
            ///
            /// Since 2.8, O(1) for each call, O(n) for all.
            fn hscan<R>(key: impl ToArg, cursor: u64, options: options::ScanOptions) -> replies::ScanPage<R> =
                known!("HSCAN").key(key).arg(cursor).args(options.into_args());

            /// [HSCAN](https://redis.io/docs/latest/commands/hscan/): as `hscan`, without the values: `Vec<String>`.
            ///
            /// Since 7.4 (Valkey 8.0), O(1) for each call, O(n) for all.
            fn hscan_novalues<R>(key: impl ToArg, cursor: u64, options: options::ScanOptions) -> replies::ScanPage<R> =
                known!("HSCAN").key(key).arg(cursor).args(options.into_args()).arg("NOVALUES");

            /// [HEXPIRE](https://redis.io/docs/latest/commands/hexpire/): gives fields a time to live in seconds; for each 1 if it did, 2 if zero seconds deleted it, -2 if there is none.
            ///
            /// Since 7.4 (Valkey 9.0), O(n) in the number of fields.
            fn hexpire(key: impl ToArg, seconds: u64, fields: impl ToArgs) -> Vec<i64> =
                known!("HEXPIRE").key(key).arg(seconds).arg("FIELDS").counted_args(fields);

            /// [HEXPIRE](https://redis.io/docs/latest/commands/hexpire/): as `hexpire` on a condition; 0 for each field that does not meet it.
            ///
            /// Since 7.4 (Valkey 9.0), O(n) in the number of fields.
            fn hexpire_options(
                key: impl ToArg,
                seconds: u64,
                condition: options::ExpireCondition,
                fields: impl ToArgs
            ) -> Vec<i64> =
                known!("HEXPIRE").key(key).arg(seconds).arg(condition).arg("FIELDS").counted_args(fields);

            /// [HPEXPIRE](https://redis.io/docs/latest/commands/hpexpire/): gives fields a time to live in milliseconds; the answers are those of `hexpire`.
            ///
            /// Since 7.4 (Valkey 9.0), O(n) in the number of fields.
            fn hpexpire(key: impl ToArg, milliseconds: u64, fields: impl ToArgs) -> Vec<i64> =
                known!("HPEXPIRE").key(key).arg(milliseconds).arg("FIELDS").counted_args(fields);

            /// [HPEXPIRE](https://redis.io/docs/latest/commands/hpexpire/): as `hpexpire` on a condition; 0 for each field that does not meet it.
            ///
            /// Since 7.4 (Valkey 9.0), O(n) in the number of fields.
            fn hpexpire_options(
                key: impl ToArg,
                milliseconds: u64,
                condition: options::ExpireCondition,
                fields: impl ToArgs
            ) -> Vec<i64> =
                known!("HPEXPIRE").key(key).arg(milliseconds).arg(condition).arg("FIELDS").counted_args(fields);

            /// [HEXPIREAT](https://redis.io/docs/latest/commands/hexpireat/): ends the life of fields at a Unix time in seconds; the answers are those of `hexpire`.
            ///
            /// Since 7.4 (Valkey 9.0), O(n) in the number of fields.
            fn hexpireat(key: impl ToArg, timestamp: u64, fields: impl ToArgs) -> Vec<i64> =
                known!("HEXPIREAT").key(key).arg(timestamp).arg("FIELDS").counted_args(fields);

            /// [HEXPIREAT](https://redis.io/docs/latest/commands/hexpireat/): as `hexpireat` on a condition; 0 for each field that does not meet it.
            ///
            /// Since 7.4 (Valkey 9.0), O(n) in the number of fields.
            fn hexpireat_options(
                key: impl ToArg,
                timestamp: u64,
                condition: options::ExpireCondition,
                fields: impl ToArgs
            ) -> Vec<i64> =
                known!("HEXPIREAT").key(key).arg(timestamp).arg(condition).arg("FIELDS").counted_args(fields);

            /// [HPEXPIREAT](https://redis.io/docs/latest/commands/hpexpireat/): ends the life of fields at a Unix time in milliseconds; the answers are those of `hexpire`.
            ///
            /// Since 7.4 (Valkey 9.0), O(n) in the number of fields.
            fn hpexpireat(key: impl ToArg, timestamp: u64, fields: impl ToArgs) -> Vec<i64> =
                known!("HPEXPIREAT").key(key).arg(timestamp).arg("FIELDS").counted_args(fields);

            /// [HPEXPIREAT](https://redis.io/docs/latest/commands/hpexpireat/): as `hpexpireat` on a condition; 0 for each field that does not meet it.
            ///
            /// Since 7.4 (Valkey 9.0), O(n) in the number of fields.
            fn hpexpireat_options(
                key: impl ToArg,
                timestamp: u64,
                condition: options::ExpireCondition,
                fields: impl ToArgs
            ) -> Vec<i64> =
                known!("HPEXPIREAT").key(key).arg(timestamp).arg(condition).arg("FIELDS").counted_args(fields);

            /// [HTTL](https://redis.io/docs/latest/commands/httl/): the times to live of fields in seconds; -1 without one, -2 if there is no such field.
            ///
            /// Since 7.4 (Valkey 9.0), O(n) in the number of fields.
            fn httl(key: impl ToArg, fields: impl ToArgs) -> Vec<i64> =
                known!("HTTL").key(key).arg("FIELDS").counted_args(fields);

            /// [HPTTL](https://redis.io/docs/latest/commands/hpttl/): the times to live of fields in milliseconds; -1 without one, -2 if there is no such field.
            ///
            /// Since 7.4 (Valkey 9.0), O(n) in the number of fields.
            fn hpttl(key: impl ToArg, fields: impl ToArgs) -> Vec<i64> =
                known!("HPTTL").key(key).arg("FIELDS").counted_args(fields);

            /// [HEXPIRETIME](https://redis.io/docs/latest/commands/hexpiretime/): the Unix times in seconds at which fields expire; -1 without one, -2 if there is no such field.
            ///
            /// Since 7.4 (Valkey 9.0), O(n) in the number of fields.
            fn hexpiretime(key: impl ToArg, fields: impl ToArgs) -> Vec<i64> =
                known!("HEXPIRETIME").key(key).arg("FIELDS").counted_args(fields);

            /// [HPEXPIRETIME](https://redis.io/docs/latest/commands/hpexpiretime/): the Unix times in milliseconds at which fields expire; -1 without one, -2 if there is no such field.
            ///
            /// Since 7.4 (Valkey 9.0), O(n) in the number of fields.
            fn hpexpiretime(key: impl ToArg, fields: impl ToArgs) -> Vec<i64> =
                known!("HPEXPIRETIME").key(key).arg("FIELDS").counted_args(fields);

            /// [HPERSIST](https://redis.io/docs/latest/commands/hpersist/): takes the time to live of fields away; for each 1 if there was one, -1 if not, -2 if there is no such field.
            ///
            /// Since 7.4 (Valkey 9.0), O(n) in the number of fields.
            fn hpersist(key: impl ToArg, fields: impl ToArgs) -> Vec<i64> =
                known!("HPERSIST").key(key).arg("FIELDS").counted_args(fields);
        }
    };
}

pub(crate) use hash_commands;
