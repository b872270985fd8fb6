//! Commands for servers, and those that run scripts.

macro_rules! connection_commands {
    ($render:ident) => {
        $render! {
            /// [PING](https://redis.io/docs/latest/commands/ping/): whether every primary answers.
            ///
            /// Since 1.0, O(1).
            fn ping() -> () =
                known!("PING");

            /// [ECHO](https://redis.io/docs/latest/commands/echo/): `message` back from any primary.
            ///
            /// Since 1.0, O(1).
            fn echo<R>(message: impl ToArg) -> R =
                known!("ECHO").arg(message);

            /// [DBSIZE](https://redis.io/docs/latest/commands/dbsize/): how many keys there are: all primaries, summed.
            ///
            /// Since 1.0, O(1).
            fn dbsize() -> u64 =
                known!("DBSIZE");

            /// [FLUSHALL](https://redis.io/docs/latest/commands/flushall/): deletes every key of every primary.
            ///
            /// Since 1.0, O(n) in the number of keys.
            fn flushall() -> () =
                known!("FLUSHALL");

            /// [PUBLISH](https://redis.io/docs/latest/commands/publish/): sends a message to the subscribers of `channel` on all nodes; how many the node that was asked has itself.
            ///
            /// Since 2.0, O(n) in the number of its subscribers.
            fn publish(channel: impl ToArg, message: impl ToArg) -> u64 =
                known!("PUBLISH").arg(channel).arg(message);

            /// [EVAL](https://redis.io/docs/latest/commands/eval/): runs a Lua script with its keys, which must be in one slot, and arguments.
            ///
            /// Never sent again by itself once it may have been executed, unless marked by
            /// [`Command::idempotent`](crate::Command::idempotent).
            ///
            /// Since 2.6, as the script.
            fn eval<R>(script: impl ToArg, keys: impl ToArgs, args: impl ToArgs) -> R =
                {
                    let keys: Vec<_> = keys.into_args().collect();
                    known!("EVAL").arg(script).arg(keys.len()).keys(keys).args(args.into_args())
                };
        }
    };
}

pub(crate) use connection_commands;
