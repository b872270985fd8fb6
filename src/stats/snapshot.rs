//! [`Stats`]: what a client has seen, as it is told.

use std::collections::BTreeMap;

use crate::node::NodeAddr;
use crate::stats::refresh_cause::RefreshCause;
use crate::stats::round_trips::RoundTrips;

/// What a client has seen since it was connected: a snapshot by [`Client::stats`](crate::Client::stats).
///
/// Figures are read one after the other while the client goes on, so two of them may be some commands apart.
///
/// Requests are what goes to a node as one: a command, one node's part of a pipeline or of a split command, a transaction.
/// What this client refuses before it is sent (keys of several slots, a closed client) is in no figure.
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use keyslot::Commands;
///
/// client.set("k", "v").await?;
/// let stats = client.stats();
/// assert_eq!((stats.moved, stats.asked), (0, 0)); // it knew the way
/// assert!(stats.connects >= 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// `MOVED` replies that were followed.
    pub moved: u64,
    /// `ASK` replies that were followed.
    pub asked: u64,
    /// Attempts beyond the first that were not redirects: after `TRYAGAIN`, `CLUSTERDOWN`, a lost connection, ...
    pub retries: u64,
    /// Connections that were made, the first ones included.
    pub connects: u64,
    /// Shared connections that were made in place of one that had ended.
    pub reconnects: u64,
    /// Connections that could not be made.
    pub connect_failures: u64,
    /// Connections that ended while the client wanted them.
    pub disconnects: u64,
    /// Requests that ended in an error, each command of a pipeline and each part of a split command by itself.
    pub errors: ErrorCounts,
    /// Times that the cluster was asked for its topology.
    pub refreshes: u64,
    /// What they were for. One that had several causes counts for each, so the sum may be larger than
    /// [`refreshes`](Self::refreshes).
    pub refresh_causes: BTreeMap<RefreshCause, u64>,
    /// Refreshes in which nodes that were in the same epoch told different maps.
    pub disagreements: u64,
    /// Slot maps that were installed because a refresh or a redirect brought something new.
    pub map_changes: u64,
    /// Live connections that have authenticated anew because their credentials changed.
    pub logins_renewed: u64,
    /// Those that tried to and were refused; they go on as the user that they were.
    pub logins_refused: u64,
    /// Redirects by the node that they pointed to.
    pub redirected_to: BTreeMap<NodeAddr, u64>,
    /// The figures of each node: of those in the slot map, and of those that were connected to before. Beyond 4096 nodes,
    /// those without connections are forgotten; the sums above keep them.
    pub nodes: BTreeMap<NodeAddr, NodeStats>,
}

impl Stats {
    /// The round trips of all nodes together.
    #[must_use]
    pub fn round_trips(&self) -> RoundTrips {
        let mut all = RoundTrips::default();
        self.nodes.values().for_each(|node| all.merge(&node.round_trips));
        all
    }
}

/// What a client has seen of one node; see [`Stats`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeStats {
    /// Requests on shared connections that are queued or written and whose replies are not all there yet: now. 0 of a node
    /// that is not in the slot map.
    pub in_flight: usize,
    /// What they take of the [`byte_budget`](crate::ClientBuilder::byte_budget), those on exclusive connections included: now.
    /// Their bytes, but of each at least what [`request_budget`](crate::ClientBuilder::request_budget) says.
    pub queued_bytes: usize,
    /// Exclusive connections that are in use: by blocking commands, sessions, durable writes. Now.
    pub exclusive_in_use: usize,
    /// Connections that are open: now.
    pub connections: u64,
    /// Requests that were handed to the socket of a connection, what the client asks for itself included.
    pub requests: u64,
    /// Batches in which they were: `requests / writes` is how many left together on average.
    pub writes: u64,
    /// How long it took to answer.
    pub round_trips: RoundTrips,
    /// `MOVED` replies of this node that were followed.
    pub moved: u64,
    /// `ASK` replies of this node that were followed.
    pub asked: u64,
    /// Attempts at this node beyond the first that were not redirects.
    pub retries: u64,
    /// Connections that were made, the first ones included.
    pub connects: u64,
    /// Shared connections that were made in place of one that had ended.
    pub reconnects: u64,
    /// Connections that could not be made.
    pub connect_failures: u64,
    /// Connections that ended while the client wanted them.
    pub disconnects: u64,
    /// Requests that ended in an error and were last tried here.
    pub errors: ErrorCounts,
}

/// Errors by their [`Outcome`](crate::Outcome).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorCounts {
    /// Surely not executed.
    pub not_sent: u64,
    /// Executed or not.
    pub maybe_executed: u64,
    /// Refused.
    pub rejected: u64,
}
