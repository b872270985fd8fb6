//! [`ServerError`]: an error reply, and the [`ErrorCode`]s that decide what is done about it.

use std::fmt;

/// An error reply of a server, such as `WRONGTYPE Operation against a key ...`.
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use keyslot::ServerError;
///
/// let mut tx = client.transaction();
/// tx.set("{t}a", "text").incr("{t}a").incr("{t}b"); // the second fails, the others are executed
/// let each: Vec<Result<keyslot::Value, ServerError>> = tx.run().await?;
/// assert_eq!(each[1].as_ref().unwrap_err().code(), "ERR");
/// assert!(each[2].is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServerError(Box<str>);

impl ServerError {
    pub(crate) fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The first word: `WRONGTYPE`, `MOVED`, `ERR`, ...
    #[must_use]
    pub fn code(&self) -> &str {
        self.0.split_ascii_whitespace().next().unwrap_or("")
    }

    /// The whole text, its code included.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether it says that a key does not exist: as `XINFO` and `OBJECT`, and as modules do.
    pub(crate) fn says_missing(&self) -> bool {
        self.0.contains("no such key") || self.0.contains("key that doesn't exist")
    }

    pub(crate) fn class(&self) -> ErrorCode {
        ErrorCode::of(self.code())
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerError({:?})", self.0)
    }
}

impl std::error::Error for ServerError {}

/// The codes that a cluster client has to tell apart. Only the first word counts: texts differ by version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ErrorCode {
    Moved,
    Ask,
    TryAgain,
    ClusterDown,
    Loading,
    MasterDown,
    ReadOnly,
    CrossSlot,
    ExecAbort,
    Unblocked,
    NoAuth,
    WrongPass,
    NoPerm,
    NoProto,
    NoScript,
    Busy,
    Oom,
    Misconf,
    NoReplicas,
    WrongType,
    Err,
    Other,
}

impl ErrorCode {
    fn of(word: &str) -> Self {
        match word {
            "MOVED" => Self::Moved,
            "ASK" => Self::Ask,
            "TRYAGAIN" => Self::TryAgain,
            "CLUSTERDOWN" => Self::ClusterDown,
            "LOADING" => Self::Loading,
            "MASTERDOWN" => Self::MasterDown,
            "READONLY" => Self::ReadOnly,
            "CROSSSLOT" => Self::CrossSlot,
            "EXECABORT" => Self::ExecAbort,
            "UNBLOCKED" => Self::Unblocked,
            "NOAUTH" => Self::NoAuth,
            "WRONGPASS" => Self::WrongPass,
            "NOPERM" => Self::NoPerm,
            "NOPROTO" => Self::NoProto,
            "NOSCRIPT" => Self::NoScript,
            "BUSY" => Self::Busy,
            "OOM" => Self::Oom,
            "MISCONF" => Self::Misconf,
            "NOREPLICAS" => Self::NoReplicas,
            "WRONGTYPE" => Self::WrongType,
            "ERR" => Self::Err,
            // A word that no rule is made for: the caller gets the text as it is.
            _ => Self::Other,
        }
    }
}
