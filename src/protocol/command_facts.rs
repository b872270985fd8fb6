//! The words in which a command is described: what it does to data, where its keys are, which nodes must see it, and the
//! short constructors of which `command_table` is made.
//!
//! A part of [`command_spec`](super::command_spec), which re-exports these types and is the one to import from. They are
//! in a file of their own so that the table can name them without a circle between the table and its look-up.

/// What is known about one command, or one subcommand, from its name alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommandSpec {
    /// The name in upper case; a subcommand is `CONTAINER|SUBCOMMAND`, as in `OBJECT|ENCODING`.
    pub(crate) name: &'static str,
    /// What it does to the data set.
    pub(crate) access: Access,
    /// Whether running it twice, one right after the other, leaves the same data as running it once *and* gives the
    /// caller a second reply as true as the first would have been.
    ///
    /// So `DEL` is not idempotent: the data is the same, yet the second count is 0. Every command that only reads is.
    /// This is the judgement by name; [`repeat_is_safe`](CommandSpec::repeat_is_safe) also looks at the options, and is
    /// what a retry must ask: `SET` is idempotent, `SET k v NX` is not.
    pub(crate) idempotent: bool,
    /// Whether its reply can be held back by the server.
    pub(crate) blocking: Blocking,
    /// Where its keys are.
    pub(crate) keys: Keys,
    /// Which nodes must see it.
    pub(crate) request: RequestPolicy,
    /// How the replies of several nodes become one.
    pub(crate) response: ResponsePolicy,
    /// A name that only has meaning together with a subcommand: its facts are under `NAME|SUBCOMMAND`. A subcommand that
    /// is not in the table is unknown, these facts are not its own.
    pub(crate) container: bool,
    /// Runs the user's code (`EVAL`, `FCALL` and their kind): an error reply may come after some of its writes.
    pub(crate) scripted: bool,
}

/// What a command does to the data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Only reads: a replica may answer it.
    Read,
    /// May write: only a primary may answer it. A script that does not promise otherwise counts as a write.
    Write,
    /// Touches no data: `PING`, `CLUSTER SLOTS`, `CONFIG SET`, `PUBLISH`.
    Neither,
}

/// Whether the server may hold back the reply, and where the arguments say for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocking {
    /// The reply comes when the command has run.
    Never,
    /// The last argument is the timeout in seconds, with decimals: `BLPOP`.
    SecondsLast,
    /// The first argument is the timeout in seconds, with decimals: `BLMPOP`.
    SecondsFirst,
    /// Blocks only with the option `BLOCK milliseconds`: `XREAD`, `XREADGROUP`.
    MillisOption,
    /// Waits for the writes that its own connection sent before; the last argument is the timeout in milliseconds:
    /// `WAIT`, `WAITAOF`. On another connection than those writes it answers at once, and says nothing about them.
    OwnWrites,
    /// Takes the connection over, replies do not follow commands one to one any more: `MONITOR`, `SYNC`, and the
    /// `SUBSCRIBE` family with its ends.
    Stream,
    /// Sets or uses what its connection remembers: `MULTI`, `WATCH`, `SELECT`, `HELLO`. On a connection that others
    /// share it would do harm, or nothing.
    Session,
}

/// Where the keys are among the arguments. Position 0 is the command's name; the subcommand of a `NAME|SUBCOMMAND` is at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// It has no keys.
    None,
    /// Every `step`-th argument from `first` to `last`; a negative `last` counts from the end, -1 is the last argument.
    Range {
        /// Position of the first key.
        first: u8,
        /// Position of the last argument that can be a key.
        last: i16,
        /// Distance from a key to the next one.
        step: u8,
    },
    /// The argument at `count` says how many keys follow it: `EVAL`, `ZUNION`, `ZUNIONSTORE`.
    Counted {
        /// Position of one more key in front, the one that is written.
        destination: Option<u8>,
        /// Position of the number of keys.
        count: u8,
        /// Distance from a key to the next one: 2 for `MSETEX`, which has values in between.
        step: u8,
    },
    /// The first half of what follows `STREAMS`: `XREAD`, `XREADGROUP`.
    Streams,
    /// The first argument, and the one after the last `STORE` or `STOREDIST`: `SORT`, `GEORADIUS`.
    StoreOption {
        /// Position of the first option.
        from: u8,
    },
    /// The third argument, or if that is empty all that follow `KEYS`: `MIGRATE`.
    Migrate,
    /// The two arguments after `KEYS`: `STRALGO LCS`, which only Redis 6 has.
    Stralgo,
    /// The argument at this position decides the slot but is no key: the channel of `SPUBLISH`, the cursor of
    /// `CLUSTERSCAN`. Of the channels of `SSUBSCRIBE` it is the first; the server refuses others that are not in its slot.
    RoutedOnly(u8),
}

/// Which nodes of the cluster must see a command, as its `request_policy` tip says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestPolicy {
    /// The owner of the slot of its keys. Without a key among its arguments (`EVAL script 0`) it is as [`AnyNode`](Self::AnyNode).
    ByKey,
    /// Any one node, which for a write is any primary. The server has no tip for it.
    AnyNode,
    /// Every node, replicas too: `CONFIG SET`.
    AllNodes,
    /// Every primary: `DBSIZE`.
    AllShards,
    /// Each owner of some of its keys, with these keys only: `MGET`. Never `MSETNX` (old servers say so, but it sets all keys
    /// or none) and not `MSETEX` (the same with `NX` and `XX`).
    MultiShard,
    /// A way of its own: `SCAN` goes from node to node.
    Special,
}

/// How the replies of several nodes become one, as the `response_policy` tip says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "all that a tip can say; no known command says agg_logical_or or agg_max")]
pub(crate) enum ResponsePolicy {
    /// The server has no tip for it: one node's reply as it is; of several, arrays one after the other, or in the order of the
    /// keys where the keys were split.
    Single,
    /// The first reply that is no error: `SCRIPT KILL`.
    OneSucceeded,
    /// One of the replies if none is an error: `CONFIG SET`.
    AllSucceeded,
    /// For each element, whether all nodes said 1: `SCRIPT EXISTS`.
    LogicalAnd,
    /// For each element, whether some node said 1.
    LogicalOr,
    /// The smallest number: `WAIT`.
    Min,
    /// The largest number.
    Max,
    /// The sum: `DBSIZE`.
    Sum,
    /// A way of its own: `INFO`, `RANDOMKEY`.
    Special,
}

/// No keys.
pub(super) const NONE: Keys = Keys::None;
/// One key, the first argument.
pub(super) const KEY: Keys = keys(1, 1, 1);

pub(super) const fn keys(first: u8, last: i16, step: u8) -> Keys {
    Keys::Range { first, last, step }
}

pub(super) const fn counted(count: u8) -> Keys {
    Keys::Counted { destination: None, count, step: 1 }
}

pub(super) const fn counted_to(destination: u8, count: u8) -> Keys {
    Keys::Counted { destination: Some(destination), count, step: 1 }
}

pub(super) const fn read(name: &'static str, keys: Keys) -> CommandSpec {
    CommandSpec { idempotent: true, ..spec(name, Access::Read, keys) }
}

pub(super) const fn write(name: &'static str, keys: Keys) -> CommandSpec {
    spec(name, Access::Write, keys)
}

pub(super) const fn neither(name: &'static str, keys: Keys) -> CommandSpec {
    spec(name, Access::Neither, keys)
}

pub(super) const fn container(name: &'static str) -> CommandSpec {
    CommandSpec { container: true, ..spec(name, Access::Neither, NONE) }
}

const fn spec(name: &'static str, access: Access, keys: Keys) -> CommandSpec {
    let request = match keys {
        Keys::None => RequestPolicy::AnyNode,
        Keys::Range { .. }
        | Keys::Counted { .. }
        | Keys::Streams
        | Keys::StoreOption { .. }
        | Keys::Migrate
        | Keys::Stralgo
        | Keys::RoutedOnly(_) => RequestPolicy::ByKey,
    };
    CommandSpec {
        name,
        access,
        idempotent: false,
        blocking: Blocking::Never,
        keys,
        request,
        response: ResponsePolicy::Single,
        container: false,
        scripted: false,
    }
}

impl CommandSpec {
    pub(super) const fn idempotent(self) -> Self {
        Self { idempotent: true, ..self }
    }

    pub(super) const fn blocking(self, blocking: Blocking) -> Self {
        Self { blocking, ..self }
    }

    pub(super) const fn to(self, request: RequestPolicy, response: ResponsePolicy) -> Self {
        Self { request, response, ..self }
    }

    pub(super) const fn scripted(self) -> Self {
        Self { scripted: true, ..self }
    }
}
