//! Scripts: Lua that runs at the data.

macro_rules! scripting_commands {
    ($render:ident) => {
        $render! {
            /// [EVAL](https://redis.io/docs/latest/commands/eval/): runs a Lua script with its keys, which must be in one slot, and arguments.
            ///
            /// Never sent again by itself once it may have been executed, unless marked by
            /// [`Command::idempotent`](crate::Command::idempotent).
            ///
            /// Since 2.6, as the script.
            fn eval<R>(script: impl ToArg, keys: impl ToArgs, args: impl ToArgs) -> R =
                known!("EVAL").arg(script).counted_keys(keys).args(args.into_args());

            /// [EVAL_RO](https://redis.io/docs/latest/commands/eval_ro/): runs a script that only reads.
            ///
            /// One that writes is an error.
            ///
            /// Since 7.0, as the script.
            fn eval_ro<R>(script: impl ToArg, keys: impl ToArgs, args: impl ToArgs) -> R =
                known!("EVAL_RO").arg(script).counted_keys(keys).args(args.into_args());

            /// [EVALSHA](https://redis.io/docs/latest/commands/evalsha/): runs a script that the node knows by its digest.
            ///
            /// One that it does not know is a `NOSCRIPT` error: load it by `script_load`, or send it by `eval`. A
            /// node that was restarted knows none.
            ///
            /// Since 2.6, as the script.
            fn evalsha<R>(sha1: impl ToArg, keys: impl ToArgs, args: impl ToArgs) -> R =
                known!("EVALSHA").arg(sha1).counted_keys(keys).args(args.into_args());

            /// [EVALSHA_RO](https://redis.io/docs/latest/commands/evalsha_ro/): runs a script that the node knows and that only reads.
            ///
            /// Since 7.0, as the script.
            fn evalsha_ro<R>(sha1: impl ToArg, keys: impl ToArgs, args: impl ToArgs) -> R =
                known!("EVALSHA_RO").arg(sha1).counted_keys(keys).args(args.into_args());

            /// [SCRIPT LOAD](https://redis.io/docs/latest/commands/script-load/): makes a script known to all nodes; its digest.
            ///
            /// A script that cannot be compiled is an error.
            ///
            /// Since 2.6, O(n) in the length of the script.
            fn script_load(script: impl ToArg) -> String =
                known!("SCRIPT LOAD").arg(script);

            /// [SCRIPT EXISTS](https://redis.io/docs/latest/commands/script-exists/): whether all primaries know each of these digests.
            ///
            /// Since 2.6, O(n) in the number of digests.
            fn script_exists(sha1s: impl ToArgs) -> Vec<bool> =
                known!("SCRIPT EXISTS").args(sha1s.into_args());

            /// [SCRIPT FLUSH](https://redis.io/docs/latest/commands/script-flush/): makes all nodes forget their scripts.
            ///
            /// Since 2.6, O(n) in the number of scripts.
            fn script_flush() -> () =
                known!("SCRIPT FLUSH");

            /// [SCRIPT FLUSH](https://redis.io/docs/latest/commands/script-flush/): makes all nodes forget their scripts, before the reply or in the background.
            ///
            /// Since 6.2, O(n) in the number of scripts.
            fn script_flush_options(mode: options::FlushMode) -> () =
                known!("SCRIPT FLUSH").arg(mode);

            /// [SCRIPT KILL](https://redis.io/docs/latest/commands/script-kill/): stops the scripts that run on any primary and have written nothing yet.
            ///
            /// Without one it is a `NOTBUSY` error, of one that has written an `UNKILLABLE` error.
            ///
            /// Since 2.6, O(1).
            fn script_kill() -> () =
                known!("SCRIPT KILL");

            /// [SCRIPT SHOW](https://valkey.io/commands/script-show/): the script with this digest.
            ///
            /// One that the node does not know is a `NOSCRIPT` error.
            ///
            /// Since Valkey 8.0, O(1).
            fn script_show<R>(sha1: impl ToArg) -> R =
                known!("SCRIPT SHOW").arg(sha1);
        }
    };
}

pub(crate) use scripting_commands;
