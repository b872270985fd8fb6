//! [`Profile`]: which server a simulated node behaves as.

use std::fmt;

/// The servers whose behaviour is simulated, with their differences. Each was measured on the real one, apart from
/// [`Redis84`](Self::Redis84).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Profile {
    /// Redis 6.2.5: no `CLUSTER SHARDS`, no sharded pub/sub, RESP3 by request.
    Redis62,
    /// Redis 7.0.15.
    Redis70,
    /// Redis 8.2.3.
    #[default]
    Redis82,
    /// Redis 8.4: as 8.2.3, with `CLUSTER MIGRATION` by its documentation. No such server was measured.
    Redis84,
    /// Valkey 8.1.8.
    Valkey81,
    /// Valkey 9.1.2.
    Valkey91,
}

impl Profile {
    /// Every profile that was measured, oldest first.
    pub const ALL: [Self; 5] = [Self::Redis62, Self::Redis70, Self::Redis82, Self::Valkey81, Self::Valkey91];

    /// What `HELLO` and `INFO` say: `redis` or `valkey`.
    #[must_use]
    pub const fn product(self) -> &'static str {
        if self.is_valkey() { "valkey" } else { "redis" }
    }

    /// The version that `HELLO` says.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::Redis62 => "6.2.5",
            Self::Redis70 => "7.0.15",
            Self::Redis82 => "8.2.3",
            Self::Redis84 => "8.4.0",
            Self::Valkey81 => "8.1.8",
            Self::Valkey91 => "9.1.2",
        }
    }

    pub(super) const fn is_valkey(self) -> bool {
        matches!(self, Self::Valkey81 | Self::Valkey91)
    }

    /// Everything but Redis 6.2: `CLUSTER SHARDS`, sharded pub/sub, subcommands in `COMMAND`, texts with single quotes.
    pub(super) const fn since_7_0(self) -> bool {
        !matches!(self, Self::Redis62)
    }

    /// The error for a command that has no place in a transaction, if it breaks the transaction: Redis only refuses it
    /// when it is executed, and queues `CLIENT REPLY`, as Valkey 8.1 does.
    pub(super) fn nested_in_transaction(self, command: &str) -> Option<String> {
        match self {
            Self::Redis62 | Self::Redis70 | Self::Redis82 | Self::Redis84 => None,
            Self::Valkey81 if command == "client|reply" => None,
            Self::Valkey81 => Some("ERR Command not allowed inside a transaction".to_owned()),
            Self::Valkey91 => Some(format!("ERR Command '{command}' not allowed inside a transaction")),
        }
    }

    /// Everything after Redis 7.0.
    pub(super) const fn since_7_2(self) -> bool {
        !matches!(self, Self::Redis62 | Self::Redis70)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_valkey() { "Valkey " } else { "Redis " })?;
        f.write_str(self.version())
    }
}
