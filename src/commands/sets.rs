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

            /// [SCARD](https://redis.io/docs/latest/commands/scard/): how many members there are.
            ///
            /// Since 1.0, O(1).
            fn scard(key: impl ToArg) -> u64 =
                known!("SCARD").key(key);

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
        }
    };
}

pub(crate) use set_commands;
