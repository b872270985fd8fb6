//! Functions: libraries that live on the servers.

macro_rules! function_commands {
    ($render:ident) => {
        $render! {
            /// [FCALL](https://redis.io/docs/latest/commands/fcall/): runs a function with its keys, which must be in one slot, and arguments.
            ///
            /// Never sent again by itself once it may have been executed, unless marked by
            /// [`Command::idempotent`](crate::Command::idempotent). No such function is an error.
            ///
            /// Since 7.0, as the function.
            fn fcall<R>(function: impl ToArg, keys: impl ToArgs, args: impl ToArgs) -> R =
                known!("FCALL").arg(function).counted_keys(keys).args(args.into_args());

            /// [FCALL_RO](https://redis.io/docs/latest/commands/fcall_ro/): runs a function that only reads: one with the flag `no-writes`; another is an error.
            ///
            /// Since 7.0, as the function.
            fn fcall_ro<R>(function: impl ToArg, keys: impl ToArgs, args: impl ToArgs) -> R =
                known!("FCALL_RO").arg(function).counted_keys(keys).args(args.into_args());

            /// [FUNCTION LOAD](https://redis.io/docs/latest/commands/function-load/): loads a library on all primaries, which give it to their replicas; its name.
            ///
            /// A library of that name is an error, and code that cannot be compiled.
            ///
            /// Since 7.0, O(1), with the library's own code on top.
            fn function_load(code: impl ToArg) -> String =
                known!("FUNCTION LOAD").arg(code);

            /// [FUNCTION LOAD](https://redis.io/docs/latest/commands/function-load/): loads a library on all primaries, in the place of one of the same name.
            ///
            /// Since 7.0, O(1), with the library's own code on top.
            fn function_load_replace(code: impl ToArg) -> String =
                known!("FUNCTION LOAD").arg("REPLACE").arg(code);

            /// [FUNCTION DELETE](https://redis.io/docs/latest/commands/function-delete/): deletes a library on all primaries.
            ///
            /// No such library is an error.
            ///
            /// Since 7.0, O(1).
            fn function_delete(library: impl ToArg) -> () =
                known!("FUNCTION DELETE").arg(library);

            /// [FUNCTION FLUSH](https://redis.io/docs/latest/commands/function-flush/): deletes all libraries on all primaries.
            ///
            /// Since 7.0, O(n) in their number.
            fn function_flush() -> () =
                known!("FUNCTION FLUSH");

            /// [FUNCTION FLUSH](https://redis.io/docs/latest/commands/function-flush/): deletes all libraries on all primaries, before the reply or in the background.
            ///
            /// Since 7.0, O(n) in their number.
            fn function_flush_options(mode: options::FlushMode) -> () =
                known!("FUNCTION FLUSH").arg(mode);

            /// [FUNCTION LIST](https://redis.io/docs/latest/commands/function-list/): the libraries of a node, with their functions.
            ///
            /// Since 7.0, O(n) in the number of functions.
            fn function_list<R>() -> R =
                known!("FUNCTION LIST");

            /// [FUNCTION LIST](https://redis.io/docs/latest/commands/function-list/): some of the libraries of a node, or their code too.
            ///
            /// Since 7.0, O(n) in the number of functions.
            fn function_list_options<R>(options: options::FunctionListOptions) -> R =
                known!("FUNCTION LIST").args(options.into_args());

            /// [FUNCTION DUMP](https://redis.io/docs/latest/commands/function-dump/): all libraries of a node as bytes that `function_restore` takes.
            ///
            /// Since 7.0, O(n) in the number of functions.
            fn function_dump() -> bytes::Bytes =
                known!("FUNCTION DUMP");

            /// [FUNCTION RESTORE](https://redis.io/docs/latest/commands/function-restore/): adds the libraries of a dump on all primaries.
            ///
            /// A library of the same name is an error.
            ///
            /// Since 7.0, O(n) in the number of functions.
            fn function_restore(dump: impl ToArg) -> () =
                known!("FUNCTION RESTORE").arg(dump);

            /// [FUNCTION RESTORE](https://redis.io/docs/latest/commands/function-restore/): restores the libraries of a dump on all primaries beside those that there are, or in their place.
            ///
            /// Since 7.0, O(n) in the number of functions.
            fn function_restore_options(dump: impl ToArg, policy: options::RestorePolicy) -> () =
                known!("FUNCTION RESTORE").arg(dump).arg(policy);

            /// [FUNCTION KILL](https://redis.io/docs/latest/commands/function-kill/): stops the functions that run on any primary and have written nothing yet.
            ///
            /// Without one it is a `NOTBUSY` error.
            ///
            /// Since 7.0, O(1).
            fn function_kill() -> () =
                known!("FUNCTION KILL");

            /// [FUNCTION STATS](https://redis.io/docs/latest/commands/function-stats/): what runs and which engines there are: a map from each primary to its answer.
            ///
            /// Since 7.0, O(1).
            fn function_stats<R>() -> R =
                known!("FUNCTION STATS");
        }
    };
}

pub(crate) use function_commands;
