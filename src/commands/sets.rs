//! Sets.

macro_rules! set_commands {
    ($render:ident) => {
        $render! {
            /// [SADD](https://redis.io/docs/latest/commands/sadd/): adds members; how many are new.
            ///
            /// Since 1.0, O(n) in the number of members.
            fn sadd(key: impl ToArg, members: impl ToArgs) -> u64 =
                known!("SADD").key(key).args(members.into_args());

            /// [SREM](https://redis.io/docs/latest/commands/srem/): removes members; how many there were.
            ///
            /// Since 1.0, O(n) in the number of members.
            fn srem(key: impl ToArg, members: impl ToArgs) -> u64 =
                known!("SREM").key(key).args(members.into_args());

            /// [SMEMBERS](https://redis.io/docs/latest/commands/smembers/): all members.
            ///
            /// Since 1.0, O(n) in the number of members.
            fn smembers<R>(key: impl ToArg) -> R =
                known!("SMEMBERS").key(key);

            /// [SISMEMBER](https://redis.io/docs/latest/commands/sismember/): whether it is a member.
            ///
            /// Since 1.0, O(1).
            fn sismember(key: impl ToArg, member: impl ToArg) -> bool =
                known!("SISMEMBER").key(key).arg(member);

            /// [SMISMEMBER](https://redis.io/docs/latest/commands/smismember/): whether each of them is a member.
            ///
            /// Since 6.2, O(n) in the number of `members`.
            fn smismember(key: impl ToArg, members: impl ToArgs) -> Vec<bool> =
                known!("SMISMEMBER").key(key).args(members.into_args());

            /// [SCARD](https://redis.io/docs/latest/commands/scard/): how many members there are.
            ///
            /// Since 1.0, O(1).
            fn scard(key: impl ToArg) -> u64 =
                known!("SCARD").key(key);

            /// [SPOP](https://redis.io/docs/latest/commands/spop/): takes a random member, nil if there is none.
            ///
            /// Since 1.0, O(1).
            fn spop<R>(key: impl ToArg) -> R =
                known!("SPOP").key(key);

            /// [SPOP](https://redis.io/docs/latest/commands/spop/): takes so many random members at most.
            ///
            /// Since 3.2, O(n) in `count`.
            fn spop_count<R>(key: impl ToArg, count: u64) -> R =
                known!("SPOP").key(key).arg(count);

            /// [SRANDMEMBER](https://redis.io/docs/latest/commands/srandmember/): a random member, nil if there is none.
            ///
            /// Since 1.0, O(1).
            fn srandmember<R>(key: impl ToArg) -> R =
                known!("SRANDMEMBER").key(key);

            /// [SRANDMEMBER](https://redis.io/docs/latest/commands/srandmember/): so many random members, all different; a negative `count` may bring one several times.
            ///
            /// Since 2.6, O(n) in `count`.
            fn srandmember_count<R>(key: impl ToArg, count: i64) -> R =
                known!("SRANDMEMBER").key(key).arg(count);

            /// [SMOVE](https://redis.io/docs/latest/commands/smove/): moves a member to another set; tells whether it was in the first.
            ///
            /// Both must be in one slot.
            ///
            /// Since 1.0, O(1).
            fn smove(source: impl ToArg, destination: impl ToArg, member: impl ToArg) -> bool =
                known!("SMOVE").key(source).key(destination).arg(member);

            /// [SSCAN](https://redis.io/docs/latest/commands/sscan/): some members, and the cursor for the next ones; begin with 0, and end when it is 0 again.
            ///
            /// What is there all the time comes at least once, perhaps twice.
            ///
            /// Since 2.8, O(1) for each call, O(n) for all.
            fn sscan<R>(key: impl ToArg, cursor: u64, options: options::ScanOptions) -> replies::ScanPage<R> =
                known!("SSCAN").key(key).arg(cursor).args(options.into_args());

            /// [SUNION](https://redis.io/docs/latest/commands/sunion/): the members of all sets.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 1.0, O(n) in the number of members.
            fn sunion<R>(keys: impl ToArgs) -> R =
                known!("SUNION").keys(keys.into_args());

            /// [SUNIONSTORE](https://redis.io/docs/latest/commands/sunionstore/): stores the union of sets at `destination`; how many members it has.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 1.0, O(n) in the number of members.
            fn sunionstore(destination: impl ToArg, keys: impl ToArgs) -> u64 =
                known!("SUNIONSTORE").key(destination).keys(keys.into_args());

            /// [SINTER](https://redis.io/docs/latest/commands/sinter/): the members that all sets have.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 1.0, O(n*m) in the size of the smallest set and the number of sets.
            fn sinter<R>(keys: impl ToArgs) -> R =
                known!("SINTER").keys(keys.into_args());

            /// [SINTERSTORE](https://redis.io/docs/latest/commands/sinterstore/): stores at `destination` the members that all sets have; how many there are.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 1.0, O(n*m) in the size of the smallest set and the number of sets.
            fn sinterstore(destination: impl ToArg, keys: impl ToArgs) -> u64 =
                known!("SINTERSTORE").key(destination).keys(keys.into_args());

            /// [SINTERCARD](https://redis.io/docs/latest/commands/sintercard/): how many members all sets have in common.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 7.0, O(n*m) in the size of the smallest set and the number of sets.
            fn sintercard(keys: impl ToArgs) -> u64 =
                known!("SINTERCARD").counted_keys(keys);

            /// [SINTERCARD](https://redis.io/docs/latest/commands/sintercard/): how many members all sets have in common, counted up to `limit` (0: all).
            ///
            /// All keys must be in one slot.
            ///
            /// Since 7.0, O(n*m) in the size of the smallest set and the number of sets.
            fn sintercard_limit(keys: impl ToArgs, limit: u64) -> u64 =
                known!("SINTERCARD").counted_keys(keys).arg("LIMIT").arg(limit);

            /// [SDIFF](https://redis.io/docs/latest/commands/sdiff/): the members of the first set that no other has.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 1.0, O(n) in the number of members of all.
            fn sdiff<R>(keys: impl ToArgs) -> R =
                known!("SDIFF").keys(keys.into_args());

            /// [SDIFFSTORE](https://redis.io/docs/latest/commands/sdiffstore/): stores at `destination` the members of the first set that no other has; how many there are.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 1.0, O(n) in the number of members of all.
            fn sdiffstore(destination: impl ToArg, keys: impl ToArgs) -> u64 =
                known!("SDIFFSTORE").key(destination).keys(keys.into_args());
        }
    };
}

pub(crate) use set_commands;
