//! Commands for keys of any type.

macro_rules! key_commands {
    ($render:ident) => {
        $render! {
            /// [DEL](https://redis.io/docs/latest/commands/del/): deletes keys; how many there were.
            ///
            /// Keys may be in any slots: the command is split by slot and the counts are summed.
            ///
            /// Since 1.0, O(n) in the number of keys and of their elements.
            fn del(keys: impl ToArgs) -> u64 =
                known!("DEL").keys(keys.into_args());

            /// [UNLINK](https://redis.io/docs/latest/commands/unlink/): deletes keys and frees their memory in the background; how many there were.
            ///
            /// Keys may be in any slots: the command is split by slot and the counts are summed.
            ///
            /// Since 4.0, O(n) in the number of keys.
            fn unlink(keys: impl ToArgs) -> u64 =
                known!("UNLINK").keys(keys.into_args());

            /// [EXISTS](https://redis.io/docs/latest/commands/exists/): how many of the keys exist; one that is named twice counts twice.
            ///
            /// Keys may be in any slots: the command is split by slot and the counts are summed.
            ///
            /// Since 1.0, O(n) in the number of keys.
            fn exists(keys: impl ToArgs) -> u64 =
                known!("EXISTS").keys(keys.into_args());

            /// [TOUCH](https://redis.io/docs/latest/commands/touch/): marks keys as just used; how many there are.
            ///
            /// Keys may be in any slots: the command is split by slot and the counts are summed.
            ///
            /// Since 3.2.1, O(n) in the number of keys.
            fn touch(keys: impl ToArgs) -> u64 =
                known!("TOUCH").keys(keys.into_args());

            /// [EXPIRE](https://redis.io/docs/latest/commands/expire/): gives `key` a time to live in seconds; tells whether it exists.
            ///
            /// Zero or less deletes the key.
            ///
            /// Since 1.0, O(1).
            fn expire(key: impl ToArg, seconds: i64) -> bool =
                known!("EXPIRE").key(key).arg(seconds);

            /// [EXPIRE](https://redis.io/docs/latest/commands/expire/): gives `key` a time to live in seconds on a condition; tells whether it did.
            ///
            /// Since 7.0 (`expire` 1.0), O(1).
            fn expire_options(key: impl ToArg, seconds: i64, condition: options::ExpireCondition) -> bool =
                known!("EXPIRE").key(key).arg(seconds).arg(condition);

            /// [PEXPIRE](https://redis.io/docs/latest/commands/pexpire/): gives `key` a time to live in milliseconds; tells whether it exists.
            ///
            /// Zero or less deletes the key.
            ///
            /// Since 2.6, O(1).
            fn pexpire(key: impl ToArg, milliseconds: i64) -> bool =
                known!("PEXPIRE").key(key).arg(milliseconds);

            /// [PEXPIRE](https://redis.io/docs/latest/commands/pexpire/): gives `key` a time to live in milliseconds on a condition; tells whether it did.
            ///
            /// Since 7.0 (`pexpire` 2.6), O(1).
            fn pexpire_options(key: impl ToArg, milliseconds: i64, condition: options::ExpireCondition) -> bool =
                known!("PEXPIRE").key(key).arg(milliseconds).arg(condition);

            /// [EXPIREAT](https://redis.io/docs/latest/commands/expireat/): ends the life of `key` at a Unix time in seconds; tells whether it exists.
            ///
            /// A time that is past deletes the key.
            ///
            /// Since 1.2, O(1).
            fn expireat(key: impl ToArg, timestamp: i64) -> bool =
                known!("EXPIREAT").key(key).arg(timestamp);

            /// [EXPIREAT](https://redis.io/docs/latest/commands/expireat/): ends the life of `key` at a Unix time in seconds on a condition; tells whether it will.
            ///
            /// Since 7.0 (`expireat` 1.2), O(1).
            fn expireat_options(key: impl ToArg, timestamp: i64, condition: options::ExpireCondition) -> bool =
                known!("EXPIREAT").key(key).arg(timestamp).arg(condition);

            /// [PEXPIREAT](https://redis.io/docs/latest/commands/pexpireat/): ends the life of `key` at a Unix time in milliseconds; tells whether it exists.
            ///
            /// A time that is past deletes the key.
            ///
            /// Since 2.6, O(1).
            fn pexpireat(key: impl ToArg, timestamp: i64) -> bool =
                known!("PEXPIREAT").key(key).arg(timestamp);

            /// [PEXPIREAT](https://redis.io/docs/latest/commands/pexpireat/): ends the life of `key` at a Unix time in milliseconds on a condition; tells whether it will.
            ///
            /// Since 7.0 (`pexpireat` 2.6), O(1).
            fn pexpireat_options(key: impl ToArg, timestamp: i64, condition: options::ExpireCondition) -> bool =
                known!("PEXPIREAT").key(key).arg(timestamp).arg(condition);

            /// [TTL](https://redis.io/docs/latest/commands/ttl/): the time to live in seconds; -1 without one, -2 if `key` does not exist.
            ///
            /// Since 1.0, O(1).
            fn ttl(key: impl ToArg) -> i64 =
                known!("TTL").key(key);

            /// [PTTL](https://redis.io/docs/latest/commands/pttl/): the time to live in milliseconds; -1 without one, -2 if `key` does not exist.
            ///
            /// Since 2.6, O(1).
            fn pttl(key: impl ToArg) -> i64 =
                known!("PTTL").key(key);

            /// [EXPIRETIME](https://redis.io/docs/latest/commands/expiretime/): the Unix time in seconds at which `key` expires; -1 without one, -2 if it does not exist.
            ///
            /// Since 7.0, O(1).
            fn expiretime(key: impl ToArg) -> i64 =
                known!("EXPIRETIME").key(key);

            /// [PEXPIRETIME](https://redis.io/docs/latest/commands/pexpiretime/): the Unix time in milliseconds at which `key` expires; -1 without one, -2 if it does not exist.
            ///
            /// Since 7.0, O(1).
            fn pexpiretime(key: impl ToArg) -> i64 =
                known!("PEXPIRETIME").key(key);

            /// [PERSIST](https://redis.io/docs/latest/commands/persist/): takes the time to live away; tells whether there was one.
            ///
            /// Since 2.2, O(1).
            fn persist(key: impl ToArg) -> bool =
                known!("PERSIST").key(key);

            /// [TYPE](https://redis.io/docs/latest/commands/type/): the type of `key`: `string`, `list`, `set`, `zset`, `hash`, `stream` or `none`.
            ///
            /// Since 1.0, O(1).
            fn key_type(key: impl ToArg) -> String =
                known!("TYPE").key(key);

            /// [RENAME](https://redis.io/docs/latest/commands/rename/): gives `key` another name, in the place of what had it.
            ///
            /// Both must be in one slot.
            ///
            /// Since 1.0, O(1), and the cost of deleting what had the name.
            fn rename(key: impl ToArg, new_key: impl ToArg) -> () =
                known!("RENAME").key(key).key(new_key);

            /// [RENAMENX](https://redis.io/docs/latest/commands/renamenx/): gives `key` another name unless something has it; tells whether it did.
            ///
            /// Both must be in one slot. A key that does not exist is an error.
            ///
            /// Since 1.0, O(1).
            fn renamenx(key: impl ToArg, new_key: impl ToArg) -> bool =
                known!("RENAMENX").key(key).key(new_key);

            /// [COPY](https://redis.io/docs/latest/commands/copy/): copies a value with its time to live, unless there is something at `destination`; tells whether it did.
            ///
            /// Both must be in one slot.
            ///
            /// Since 6.2, O(n) in the number of elements.
            fn copy(source: impl ToArg, destination: impl ToArg) -> bool =
                known!("COPY").key(source).key(destination);

            /// [COPY](https://redis.io/docs/latest/commands/copy/): copies a value with its time to live, in the place of what is at `destination`; tells whether there was something to copy.
            ///
            /// Both must be in one slot.
            ///
            /// Since 6.2, O(n) in the number of elements.
            fn copy_replace(source: impl ToArg, destination: impl ToArg) -> bool =
                known!("COPY").key(source).key(destination).arg("REPLACE");

            /// [DUMP](https://redis.io/docs/latest/commands/dump/): the value of `key` as bytes that `restore` takes, nil if it does not exist.
            ///
            /// Since 2.6, O(n) in the number of elements.
            fn dump(key: impl ToArg) -> Option<bytes::Bytes> =
                known!("DUMP").key(key);

            /// [RESTORE](https://redis.io/docs/latest/commands/restore/): makes `key` what `dump` returned, with a time to live (0: none).
            ///
            /// A key that exists is a `BUSYKEY` error; a dump of a much newer server, or a torn one, is refused.
            ///
            /// Since 2.6, O(n) in the number of elements.
            fn restore(key: impl ToArg, milliseconds: u64, dump: impl ToArg) -> () =
                known!("RESTORE").key(key).arg(milliseconds).arg(dump);

            /// [RESTORE](https://redis.io/docs/latest/commands/restore/): makes `key` what `dump` returned, in the place of another or with the facts by which keys are evicted.
            ///
            /// Since 2.6 (`absttl`, `idletime` and `freq` 5.0), O(n) in the number of elements.
            fn restore_options(
                key: impl ToArg,
                milliseconds: u64,
                dump: impl ToArg,
                options: options::RestoreOptions
            ) -> () =
                known!("RESTORE").key(key).arg(milliseconds).arg(dump).args(options.into_args());

            /// [OBJECT ENCODING](https://redis.io/docs/latest/commands/object-encoding/): how the server keeps the value: `int`, `embstr`, `listpack`, `hashtable`, ...; nil if it does not exist.
            ///
            /// Since 2.2.3, O(1).
            fn object_encoding(key: impl ToArg) -> Option<String> =
                known!("OBJECT ENCODING").key(key);

            /// [OBJECT FREQ](https://redis.io/docs/latest/commands/object-freq/): how often `key` is used, as a logarithm.
            ///
            /// An error unless the server evicts by frequency (`maxmemory-policy` with `lfu`).
            ///
            /// Since 4.0, O(1).
            fn object_freq(key: impl ToArg) -> Option<u64> =
                known!("OBJECT FREQ").key(key);

            /// [OBJECT IDLETIME](https://redis.io/docs/latest/commands/object-idletime/): for how many seconds `key` was not used.
            ///
            /// An error if the server evicts by frequency.
            ///
            /// Since 2.2.3, O(1).
            fn object_idletime(key: impl ToArg) -> Option<u64> =
                known!("OBJECT IDLETIME").key(key);

            /// [OBJECT REFCOUNT](https://redis.io/docs/latest/commands/object-refcount/): how many references the server holds to the value.
            ///
            /// Since 2.2.3, O(1).
            fn object_refcount(key: impl ToArg) -> Option<u64> =
                known!("OBJECT REFCOUNT").key(key);

            /// [MEMORY USAGE](https://redis.io/docs/latest/commands/memory-usage/): how many bytes of memory `key` takes, measured on five of its elements; nil if it does not exist.
            ///
            /// Since 4.0, O(1).
            fn memory_usage(key: impl ToArg) -> Option<u64> =
                known!("MEMORY USAGE").key(key);

            /// [MEMORY USAGE](https://redis.io/docs/latest/commands/memory-usage/): how many bytes of memory `key` takes, measured on so many of its elements (0: all).
            ///
            /// Since 4.0, O(n) in the number of samples.
            fn memory_usage_samples(key: impl ToArg, samples: u64) -> Option<u64> =
                known!("MEMORY USAGE").key(key).arg("SAMPLES").arg(samples);

            /// [SORT](https://redis.io/docs/latest/commands/sort/): the numbers of a list, set or sorted set in order.
            ///
            /// An element that is no number is an error; `sort_options` can sort texts.
            ///
            /// Since 1.0, O(n*log n).
            fn sort<R>(key: impl ToArg) -> R =
                known!("SORT").key(key);

            /// [SORT](https://redis.io/docs/latest/commands/sort/): the elements of a list, set or sorted set in the order of other keys, or other keys' values in their order.
            ///
            /// `by` and `get` with a pattern need a server that is sure that all the keys are in the slot of `key`
            /// (7.4 and later, with a hash tag in the pattern); others refuse them in a cluster.
            ///
            /// Since 1.0, O(n*log n).
            fn sort_options<R>(key: impl ToArg, options: options::SortOptions) -> R =
                known!("SORT").key(key).args(options.into_args());

            /// [SORT](https://redis.io/docs/latest/commands/sort/): stores the sorted elements as a list at `destination`; how many there are.
            ///
            /// Both must be in one slot.
            ///
            /// Since 1.0, O(n*log n).
            fn sort_store(key: impl ToArg, destination: impl ToArg, options: options::SortOptions) -> u64 =
                known!("SORT").key(key).args(options.into_args()).arg("STORE").key(destination);

            /// [SORT_RO](https://redis.io/docs/latest/commands/sort_ro/): as `sort_options`, without the right to write.
            ///
            /// Since 7.0, O(n*log n).
            fn sort_ro<R>(key: impl ToArg, options: options::SortOptions) -> R =
                known!("SORT_RO").key(key).args(options.into_args());

            /// [KEYS](https://redis.io/docs/latest/commands/keys/): all keys that match `pattern`, of all primaries. It blocks each of them while it looks.
            ///
            /// Since 1.0, O(n) in the number of keys.
            fn keys<R>(pattern: impl ToArg) -> R =
                known!("KEYS").arg(pattern);

            /// [RANDOMKEY](https://redis.io/docs/latest/commands/randomkey/): a random key of one of the primaries, nil if that has none.
            ///
            /// Since 1.0, O(1).
            fn randomkey<R>() -> R =
                known!("RANDOMKEY");
        }
    };
}

pub(crate) use key_commands;
