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

            /// [PEXPIRE](https://redis.io/docs/latest/commands/pexpire/): gives `key` a time to live in milliseconds; tells whether it exists.
            ///
            /// Zero or less deletes the key.
            ///
            /// Since 2.6, O(1).
            fn pexpire(key: impl ToArg, milliseconds: i64) -> bool =
                known!("PEXPIRE").key(key).arg(milliseconds);

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

            /// [KEYS](https://redis.io/docs/latest/commands/keys/): all keys that match `pattern`, of all primaries. It blocks each of them while it looks.
            ///
            /// Since 1.0, O(n) in the number of keys.
            fn keys<R>(pattern: impl ToArg) -> R =
                known!("KEYS").arg(pattern);
        }
    };
}

pub(crate) use key_commands;
