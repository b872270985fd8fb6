//! HyperLogLog: how many different elements there were, about.

macro_rules! hyperloglog_commands {
    ($render:ident) => {
        $render! {
            /// [PFADD](https://redis.io/docs/latest/commands/pfadd/): counts elements; tells whether the estimate may have changed.
            ///
            /// A key that is another string is a `WRONGTYPE` error.
            ///
            /// Since 2.8.9, O(1) for each.
            fn pfadd(key: impl ToArg, elements: impl ToArgs) -> bool =
                known!("PFADD").key(key).args(elements.into_args());

            /// [PFCOUNT](https://redis.io/docs/latest/commands/pfcount/): about how many different elements all keys have counted, with an error of 0.81 %.
            ///
            /// All keys must be in one slot: sums would count elements twice.
            ///
            /// Since 2.8.9, O(1) for each key.
            fn pfcount(keys: impl ToArgs) -> u64 =
                known!("PFCOUNT").keys(keys.into_args());

            /// [PFMERGE](https://redis.io/docs/latest/commands/pfmerge/): adds what several keys have counted to `destination`.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 2.8.9, O(1) for each key.
            fn pfmerge(destination: impl ToArg, keys: impl ToArgs) -> () =
                known!("PFMERGE").key(destination).keys(keys.into_args());
        }
    };
}

pub(crate) use hyperloglog_commands;
