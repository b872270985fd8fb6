//! Bitmaps: the bits of strings.

macro_rules! bitmap_commands {
    ($render:ident) => {
        $render! {
            /// [SETBIT](https://redis.io/docs/latest/commands/setbit/): sets the bit at `offset`, and lengthens the value with zeros up to there; what it was.
            ///
            /// Bit 0 is the highest of the first byte. Offsets from 2^32 on are an error.
            ///
            /// Since 2.2, O(1).
            fn setbit(key: impl ToArg, offset: u64, bit: bool) -> bool =
                known!("SETBIT").key(key).arg(offset).arg(u8::from(bit));

            /// [GETBIT](https://redis.io/docs/latest/commands/getbit/): the bit at `offset`; behind the end all are zero.
            ///
            /// Since 2.2, O(1).
            fn getbit(key: impl ToArg, offset: u64) -> bool =
                known!("GETBIT").key(key).arg(offset);

            /// [BITCOUNT](https://redis.io/docs/latest/commands/bitcount/): how many bits are set.
            ///
            /// Since 2.6, O(n) in the length of the value.
            fn bitcount(key: impl ToArg) -> u64 =
                known!("BITCOUNT").key(key);

            /// [BITCOUNT](https://redis.io/docs/latest/commands/bitcount/): how many bits are set from `start` to `end`, both included; negative places count from the end.
            ///
            /// Since 2.6 (bits as unit 7.0), O(n) in the length of the range.
            fn bitcount_range(key: impl ToArg, start: i64, end: i64, unit: options::BitUnit) -> u64 =
                known!("BITCOUNT").key(key).arg(start).arg(end).args(unit.into_args());

            /// [BITPOS](https://redis.io/docs/latest/commands/bitpos/): where the first bit of this kind is; -1 if there is none.
            ///
            /// Behind its end the value counts as full of zeros, so there is always a first zero.
            ///
            /// Since 2.8.7, O(n) in the length of the value.
            fn bitpos(key: impl ToArg, bit: bool) -> i64 =
                known!("BITPOS").key(key).arg(u8::from(bit));

            /// [BITPOS](https://redis.io/docs/latest/commands/bitpos/): where the first bit of this kind is from the byte `start` on; otherwise as `bitpos`.
            ///
            /// Since 2.8.7, O(n) in the length of the range.
            fn bitpos_from(key: impl ToArg, bit: bool, start: i64) -> i64 =
                known!("BITPOS").key(key).arg(u8::from(bit)).arg(start);

            /// [BITPOS](https://redis.io/docs/latest/commands/bitpos/): where the first bit of this kind is from `start` to `end`, both included; -1 if there is none.
            ///
            /// Counted from the beginning of the value, not of the range.
            ///
            /// Since 2.8.7 (bits as unit 7.0), O(n) in the length of the range.
            fn bitpos_range(key: impl ToArg, bit: bool, start: i64, end: i64, unit: options::BitUnit) -> i64 =
                known!("BITPOS").key(key).arg(u8::from(bit)).arg(start).arg(end).args(unit.into_args());

            /// [BITOP](https://redis.io/docs/latest/commands/bitop/): stores at `destination` what the operation makes of several values; its length in bytes.
            ///
            /// All keys must be in one slot. `Not` takes one key, another number of them is an error.
            ///
            /// Since 2.6 (`Diff`, `Diff1`, `AndOr` and `One` 8.2), O(n) in the length of the longest value.
            fn bitop(operation: options::BitOperation, destination: impl ToArg, keys: impl ToArgs) -> u64 =
                known!("BITOP").arg(operation).key(destination).keys(keys.into_args());

            /// [BITFIELD](https://redis.io/docs/latest/commands/bitfield/): reads, sets and counts integers of any width among the bits; an answer for each operation.
            ///
            /// Read the reply as `Vec<Option<i64>>`: with [`Overflow::Fail`](crate::options::Overflow::Fail) one that
            /// did not fit is nil.
            ///
            /// Since 3.2, O(1) for each operation.
            fn bitfield<R>(key: impl ToArg, operations: options::Bitfield) -> R =
                known!("BITFIELD").key(key).args(operations.into_args());

            /// [BITFIELD_RO](https://redis.io/docs/latest/commands/bitfield_ro/): reads integers of any width among the bits, without the right to write: `Vec<i64>`.
            ///
            /// Since 6.0, O(1) for each of them.
            fn bitfield_ro<R>(key: impl ToArg, reads: options::BitfieldReads) -> R =
                known!("BITFIELD_RO").key(key).args(reads.into_args());
        }
    };
}

pub(crate) use bitmap_commands;
