//! Servers: their data as a whole, settings, and what they know of commands.

macro_rules! server_commands {
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
            fn dbsize() -> i64 =
                known!("DBSIZE");

            /// [FLUSHALL](https://redis.io/docs/latest/commands/flushall/): deletes every key of every primary.
            ///
            /// Since 1.0, O(n) in the number of keys.
            fn flushall() -> () =
                known!("FLUSHALL");

            /// [FLUSHALL](https://redis.io/docs/latest/commands/flushall/): deletes every key of every primary, before the reply or in the background.
            ///
            /// Since 4.0 (`Sync` 6.2), O(n) in the number of keys.
            fn flushall_options(mode: options::FlushMode) -> () =
                known!("FLUSHALL").arg(mode);

            /// [FLUSHDB](https://redis.io/docs/latest/commands/flushdb/): deletes every key of the database 0, which this client uses, of every primary: all that there are, but for other databases of Valkey 9.
            ///
            /// Since 1.0, O(n) in the number of keys.
            fn flushdb() -> () =
                known!("FLUSHDB");

            /// [FLUSHDB](https://redis.io/docs/latest/commands/flushdb/): as `flushdb`, before the reply or in the background.
            ///
            /// Since 4.0 (`Sync` 6.2), O(n) in the number of keys.
            fn flushdb_options(mode: options::FlushMode) -> () =
                known!("FLUSHDB").arg(mode);

            /// [INFO](https://redis.io/docs/latest/commands/info/): what the primaries tell of themselves: `HashMap<String, Info>` by their addresses, with [`Info`](crate::replies::Info).
            ///
            /// Since 1.0, O(1).
            fn info<R>() -> R =
                known!("INFO");

            /// [INFO](https://redis.io/docs/latest/commands/info/): some sections of `info`: `"memory"`, `"replication"`, `"everything"`, ...
            ///
            /// Since 1.0 (several sections 7.0), O(1).
            fn info_sections<R>(sections: impl ToArgs) -> R =
                known!("INFO").args(sections.into_args());

            /// [TIME](https://redis.io/docs/latest/commands/time/): the clock of any primary: Unix time in seconds, and microseconds.
            ///
            /// Since 2.6, O(1).
            fn time() -> (u64, u64) =
                known!("TIME");

            /// [ROLE](https://redis.io/docs/latest/commands/role/): whether a node is a primary or a replica, of which and how far.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 2.8.12, O(1).
            fn role<R>() -> R =
                known!("ROLE");

            /// [LASTSAVE](https://redis.io/docs/latest/commands/lastsave/): when a node's data was saved, as a Unix time in seconds.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 1.0, O(1).
            fn lastsave() -> u64 =
                known!("LASTSAVE");

            /// [SAVE](https://redis.io/docs/latest/commands/save/): saves the data of a node, which does nothing else meanwhile.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 1.0, O(n) in the number of keys.
            fn save() -> () =
                known!("SAVE");

            /// [BGSAVE](https://redis.io/docs/latest/commands/bgsave/): begins to save the data of a node in the background.
            ///
            /// An error while it is under way. Of any one primary; [`Request::to`](crate::Request::to) names another
            /// node.
            ///
            /// Since 1.0, O(1).
            fn bgsave() -> () =
                known!("BGSAVE");

            /// [BGREWRITEAOF](https://redis.io/docs/latest/commands/bgrewriteaof/): begins to write the append-only file of a node anew.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 1.0, O(1).
            fn bgrewriteaof() -> () =
                known!("BGREWRITEAOF");

            /// [LOLWUT](https://redis.io/docs/latest/commands/lolwut/): a picture, and the version of a node.
            ///
            /// Since 5.0, O(1).
            fn lolwut() -> String =
                known!("LOLWUT");

            /// [CONFIG GET](https://redis.io/docs/latest/commands/config-get/): the settings of a node that match glob-style patterns: `HashMap<String, String>`.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 2.0 (several patterns 7.0), O(n) in the number of settings.
            fn config_get<R>(parameters: impl ToArgs) -> R =
                known!("CONFIG GET").args(parameters.into_args());

            /// [CONFIG SET](https://redis.io/docs/latest/commands/config-set/): changes settings on all nodes, until they are restarted.
            ///
            /// A setting that there is none of, or a value that does not fit, is an error.
            ///
            /// Since 2.0 (several settings 7.0), O(n) in the number of settings.
            fn config_set(parameters: impl IntoIterator<Item = (impl ToArg, impl ToArg)>) -> () =
                known!("CONFIG SET").pairs(parameters);

            /// [CONFIG RESETSTAT](https://redis.io/docs/latest/commands/config-resetstat/): sets the counters of `info` back on all nodes.
            ///
            /// Since 2.0, O(1).
            fn config_resetstat() -> () =
                known!("CONFIG RESETSTAT");

            /// [CONFIG REWRITE](https://redis.io/docs/latest/commands/config-rewrite/): writes the settings of all nodes to their files.
            ///
            /// Without a file it is an error.
            ///
            /// Since 2.8, O(1).
            fn config_rewrite() -> () =
                known!("CONFIG REWRITE");

            /// [COMMAND COUNT](https://redis.io/docs/latest/commands/command-count/): how many commands a server knows.
            ///
            /// Since 2.8.13, O(1).
            fn command_count() -> u64 =
                known!("COMMAND COUNT");

            /// [COMMAND INFO](https://redis.io/docs/latest/commands/command-info/): what a server says of commands: arity, flags, keys; nil for each that it does not know.
            ///
            /// Since 2.8.13, O(n) in the number of `names`.
            fn command_info<R>(names: impl ToArgs) -> R =
                known!("COMMAND INFO").args(names.into_args());

            /// [COMMAND DOCS](https://redis.io/docs/latest/commands/command-docs/): the documentation of commands, as a map by name.
            ///
            /// Since 7.0, O(n) in the number of `names`.
            fn command_docs<R>(names: impl ToArgs) -> R =
                known!("COMMAND DOCS").args(names.into_args());

            /// [COMMAND LIST](https://redis.io/docs/latest/commands/command-list/): the names of all commands that a server knows.
            ///
            /// Since 7.0, O(n) in their number.
            fn command_list<R>() -> R =
                known!("COMMAND LIST");

            /// [COMMAND GETKEYS](https://redis.io/docs/latest/commands/command-getkeys/): the keys of a command that is given word by word.
            ///
            /// A command without keys is an error.
            ///
            /// Since 2.8.13, O(n) in the number of `words`.
            fn command_getkeys<R>(words: impl ToArgs) -> R =
                known!("COMMAND GETKEYS").args(words.into_args());

            /// [COMMAND GETKEYSANDFLAGS](https://redis.io/docs/latest/commands/command-getkeysandflags/): the keys of a command that is given word by word, with what it does to each: `Vec<(String, Vec<String>)>`.
            ///
            /// Since 7.0, O(n) in the number of `words`.
            fn command_getkeysandflags<R>(words: impl ToArgs) -> R =
                known!("COMMAND GETKEYSANDFLAGS").args(words.into_args());

            /// [MODULE LIST](https://redis.io/docs/latest/commands/module-list/): the modules that a server has loaded.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 4.0, O(n) in their number.
            fn module_list<R>() -> R =
                known!("MODULE LIST");
        }
    };
}

pub(crate) use server_commands;
