//! [`Config`]: every setting with its default, as data. The builder and the URL fill it in.

pub(crate) mod credentials;
pub(crate) mod read_from;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod url;

use std::time::Duration;

use crate::config::credentials::CredentialsSource;
use crate::config::read_from::ReadFrom;
use crate::node::NodeAddr;

/// What a caller gets when the budget of bytes or of requests is used up.
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use keyslot::{Client, Commands, ErrorKind, OverloadPolicy};
///
/// let strict = Client::builder().url(&cluster.url()).byte_budget(1024, 4096).overload(OverloadPolicy::Fail);
/// let strict = strict.connector(cluster.connector()).connect().await?;
/// // The first is larger than the budget and travels alone; while it does, there is no room.
/// let (first, second) = tokio::join!(strict.set("k", "x".repeat(5000)), strict.set("k", "small"));
/// assert!(first.is_ok());
/// assert_eq!(second.unwrap_err().kind(), ErrorKind::Overloaded);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OverloadPolicy {
    /// Wait for room, until the deadline.
    #[default]
    Wait,
    /// Fail at once with [`ErrorKind::Overloaded`](crate::ErrorKind::Overloaded).
    Fail,
}

/// Which version of RESP the connections speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    /// RESP3 where the server has it (Redis 6.0 and every Valkey), else RESP2.
    #[default]
    Auto,
    /// Never ask for RESP3.
    Resp2,
}

/// The settings of a client; each field's documentation is the one place of its default.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where the cluster is asked for its topology first. At least one.
    pub(crate) seeds: Vec<NodeAddr>,
    pub(crate) credentials: Option<CredentialsSource>,
    /// Every connection is made by TLS.
    pub(crate) over_tls: bool,
    pub(crate) client_name: Option<String>,
    pub(crate) protocol: Protocol,
    /// For a command from the first poll to its reply, over queueing, redirects, retries and reconnects.
    pub(crate) command_timeout: Duration,
    /// For one connect with its handshakes, that of TLS included.
    pub(crate) connect_timeout: Duration,
    /// A link that waits for a reply this long without receiving a byte makes the client look for a failover.
    pub(crate) silence: Duration,
    /// A link on which nothing is under way and nothing was received for so long is asked whether its peer is there, and
    /// given up if nothing comes for as long again. `None`: never.
    pub(crate) keep_alive: Option<Duration>,
    /// How often the topology is checked without a cause.
    pub(crate) refresh_interval: Duration,
    pub(crate) max_redirects: u32,
    pub(crate) links_per_node: usize,
    /// Exclusive connections for each node (blocking commands).
    pub(crate) exclusive_per_node: usize,
    /// Bytes of commands that are queued or in flight, for each node.
    pub(crate) node_budget: usize,
    /// The same for the client as a whole.
    pub(crate) client_budget: usize,
    /// Requests that are queued or in flight, for each node.
    pub(crate) node_requests: usize,
    /// The same for the client as a whole.
    pub(crate) client_requests: usize,
    pub(crate) overload: OverloadPolicy,
    pub(crate) read_from: ReadFrom,
    /// Whether a replica's word that there is no such key is checked at the primary.
    pub(crate) check_missing: bool,
    /// The largest reply that is accepted, in bytes of memory.
    pub(crate) max_reply: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seeds: Vec::new(),
            credentials: None,
            over_tls: false,
            client_name: None,
            protocol: Protocol::Auto,
            command_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(2),
            silence: Duration::from_secs(1),
            keep_alive: Some(Duration::from_secs(5)),
            refresh_interval: Duration::from_secs(30),
            max_redirects: 8,
            links_per_node: 1,
            exclusive_per_node: 64,
            node_budget: 64 << 20,
            client_budget: 256 << 20,
            node_requests: 1 << 18,
            client_requests: 1 << 20,
            overload: OverloadPolicy::Wait,
            read_from: ReadFrom::Primary,
            check_missing: true,
            max_reply: 1 << 30,
        }
    }
}
