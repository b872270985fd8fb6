//! [`ReadFrom`]: which nodes of a shard answer commands that only read.

use std::fmt;
use std::sync::Arc;

/// Which nodes of a shard may answer a command that only reads one slot. Default: [`ReadFrom::Primary`].
///
/// Set for a client by [`ClientBuilder::read_from`](crate::ClientBuilder::read_from) or in the URL
/// (`read_from=prefer_replica`), for one command by [`Command::read_from`](crate::Command::read_from).
///
/// A replica follows its primary with a delay, so what it answers may be old: a value that was just written may be missing
/// there. Everything but reads goes to primaries whatever is set here, as do transactions, blocking commands, scripts that may
/// write, and commands without a key. A replica that the cluster calls failed or loading is left out, as is one that could not
/// answer a moment ago. So is a primary that could not be reached a moment ago, for as long as a replica can answer.
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use keyslot::{Client, Commands, ReadFrom};
///
/// let nearby = Client::builder().url(&cluster.url()).read_from(ReadFrom::zone("eu-1a"));
/// let nearby = nearby.connector(cluster.connector()).connect().await?;
/// nearby.set("k", "v").await?; // to the primary
/// let cached: Option<String> = nearby.get("k").await?; // to a node of the zone, if the servers tell theirs
/// let fresh: Option<String> = nearby.get("k").read_from(ReadFrom::Primary).await?;
/// assert_eq!((cached, fresh.as_deref()), (fresh.clone(), Some("v")));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum ReadFrom {
    /// The primary: reads see what was written before.
    #[default]
    Primary,
    /// The replicas by turns, and never the primary: a command waits until a replica can be used.
    Replica,
    /// The replicas by turns; the primary while none can be used.
    PreferReplica,
    /// The node of the shard, primary or replica, that answers soonest: by its measured round-trip time and by how many
    /// commands wait for it.
    Nearest,
    /// The replicas of this availability zone by turns, else the primary if it is in this zone, else as
    /// [`ReadFrom::PreferReplica`]. Nodes tell each other's zones (`availability-zone` in `CLUSTER SHARDS`) from Valkey 9 on;
    /// no other server does, and Valkey 8 tells each connection its own node's only, which is not asked for.
    Zone(Arc<str>),
}

impl ReadFrom {
    /// [`ReadFrom::Zone`].
    pub fn zone(zone: impl Into<Arc<str>>) -> Self {
        Self::Zone(zone.into())
    }

    /// As a URL has it; `None` if it is none of them.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match (text, text.split_once(':')) {
            ("primary", _) => Some(Self::Primary),
            ("replica", _) => Some(Self::Replica),
            ("prefer_replica", _) => Some(Self::PreferReplica),
            ("nearest", _) => Some(Self::Nearest),
            (_, Some(("zone", zone))) if !zone.is_empty() => Some(Self::zone(zone)),
            (_another, _) => None,
        }
    }
}

impl fmt::Display for ReadFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary => f.write_str("primary"),
            Self::Replica => f.write_str("replica"),
            Self::PreferReplica => f.write_str("prefer_replica"),
            Self::Nearest => f.write_str("nearest"),
            Self::Zone(zone) => write!(f, "zone:{zone}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ReadFrom;

    #[test]
    fn what_is_shown_can_be_read() {
        for policy in [
            ReadFrom::Primary,
            ReadFrom::Replica,
            ReadFrom::PreferReplica,
            ReadFrom::Nearest,
            ReadFrom::zone("eu-1a"),
        ] {
            assert_eq!(ReadFrom::parse(&policy.to_string()), Some(policy));
        }
        assert_eq!(ReadFrom::parse("zone:"), None);
        assert_eq!(ReadFrom::parse("master"), None);
    }
}
