//! [`ClientBuilder`]: every setting of a client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::client::Client;
use crate::cluster::connect::{Connectors, connect};
use crate::config::credentials::{Credentials, CredentialsProvider, CredentialsSource};
use crate::config::read_from::ReadFrom;
#[cfg(feature = "tls")]
use crate::config::tls::TlsConfig;
use crate::config::{Config, OverloadPolicy, Protocol, url};
use crate::connection::address_map::{AddressMap, MappedConnector};
#[cfg(feature = "tls")]
use crate::connection::tls::TlsConnector;
use crate::connection::transport::TcpConnector;
use crate::error::{Error, Result};
use crate::node::NodeAddr;
use crate::stats::operation::describe;
use crate::transport::Connector;

/// As good as for ever, and still within what the clock can add up.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Settings by name. What is not set has the default that its method names.
///
/// ```no_run
/// # async fn example() -> keyslot::Result<()> {
/// use std::time::Duration;
///
/// let client = keyslot::Client::builder()
///     .seeds(["127.0.0.1:7000", "127.0.0.1:7001"])
///     .client_name("loader")
///     .command_timeout(Duration::from_secs(2))
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until connect() is awaited"]
pub struct ClientBuilder {
    config: Config,
    connector: Arc<dyn Connector>,
    address_map: Option<AddressMap>,
    #[cfg(feature = "tls")]
    tls: Option<TlsConfig>,
    /// The first setting that was not valid; told by `connect`, so that calls can be chained.
    error: Option<Error>,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            config: Config::default(),
            connector: Arc::new(TcpConnector),
            address_map: None,
            #[cfg(feature = "tls")]
            tls: None,
            error: None,
        }
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ClientBuilder");
        shown.field("config", &self.config).field("connector", &self.connector);
        #[cfg(feature = "tls")]
        shown.field("tls", &self.tls);
        shown.field("error", &self.error).finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// All settings at their defaults, and no seed.
    pub fn new() -> Self {
        Self::default()
    }

    /// The settings of a URL:
    /// `redis://[user:password@]host[:port][,host[:port]...][?option=value&...]`.
    ///
    /// `rediss://` (or `valkeys://`) makes every connection by TLS, which asks for the feature `tls`: with the system's
    /// roots, or as `ClientBuilder::tls` says.
    ///
    /// Options: `client_name`, `command_timeout`, `connect_timeout`, `refresh_interval` (`250ms`, `2s`; a number alone is
    /// milliseconds), `keep_alive` (a time, or `off`), `max_redirects`, `links_per_node`, `protocol` (`auto`, `resp3`, `resp2`),
    /// `read_from` (`primary`, `replica`, `prefer_replica`, `nearest`, `zone:NAME`), and `node` for one more `host:port`. User,
    /// password and values are percent-decoded. Resets what was set before, but for the connector, the address map and what TLS
    /// is made of.
    ///
    /// URLs of redis-rs, fred and rustis mean here what they mean there: `valkey://`, `redis-cluster://..?node=host:port`,
    /// `redis+cluster://`, each with `s` for TLS. Whether it is a cluster, the server says. Of rustis's options those of the
    /// names above and `connection_name` are taken. An option that is not known is an error, and so are Sentinel, Unix sockets,
    /// `#insecure` and databases other than 0.
    pub fn url(mut self, url: &str) -> Self {
        match url::parse(url) {
            Ok(config) => self.config = config,
            Err(error) => self.fail(error),
        }
        self
    }

    /// Nodes that are asked for the topology first, as `host:port` (port 6379 if left out). One that answers is
    /// enough; several make the connect independent of one of them.
    pub fn seeds<S: AsRef<str>>(mut self, seeds: impl IntoIterator<Item = S>) -> Self {
        for seed in seeds {
            match url::seed(seed.as_ref()) {
                Ok(seed) => self.config.seeds.push(seed),
                Err(error) => self.fail(error),
            }
        }
        self
    }

    /// One more seed.
    pub fn seed(mut self, seed: NodeAddr) -> Self {
        self.config.seeds.push(seed);
        self
    }

    /// ACL user and password for every node. Default: none.
    pub fn credentials(mut self, username: impl Into<String>, password: impl Into<String>) -> Self {
        self.config.credentials = Some(CredentialsSource::Fixed(Credentials::new(username, password)));
        self
    }

    /// The password of the `default` user (`requirepass`). Default: none.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.config.credentials = Some(CredentialsSource::Fixed(Credentials::password(password)));
        self
    }

    /// Credentials that change while the client lives, such as tokens: asked for each connection, and live connections
    /// authenticate anew when they change; see [`CredentialsProvider`]. In place of [`credentials`](Self::credentials).
    pub fn credentials_provider(mut self, provider: impl CredentialsProvider + 'static) -> Self {
        self.config.credentials = Some(CredentialsSource::Provider(Arc::new(provider)));
        self
    }

    /// Makes every connection by TLS, with the scheme `redis://` too. Default: off, unless the URL has the scheme `rediss://` or
    /// `valkeys://`; then [`TlsConfig::new`]. It goes over the [`connector`](Self::connector).
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Where nodes are dialled that the cluster names by addresses which do not lead there from here: behind NAT, in Docker,
    /// in Kubernetes. Default: as the cluster names them.
    ///
    /// `map` is asked each time that a connection is made, for whatever the servers tell: slots, replicas, redirects. A seed is
    /// dialled as it is, also if the cluster names a node so. Where the servers leave the host out
    /// (`cluster-preferred-endpoint-type unknown-endpoint`), it is that of the node which told it, before the map. Errors,
    /// [`SlotMap`](crate::SlotMap) and [`Target::Node`](crate::Target::Node) name nodes as the cluster does, and TLS asks for the
    /// name that a node has there. `map` must be quick: it runs between other connections' work.
    ///
    /// Three nodes in Docker, which know each other as `172.18.0.2:6379` and so on, published at ports 7000 to 7002 here:
    ///
    /// ```no_run
    /// # async fn example() -> keyslot::Result<()> {
    /// use keyslot::{Client, NodeAddr};
    ///
    /// let client = Client::builder()
    ///     .seeds(["127.0.0.1:7000"])
    ///     .address_map(|node| match node.host() {
    ///         "172.18.0.2" => NodeAddr::new("127.0.0.1", 7000),
    ///         "172.18.0.3" => NodeAddr::new("127.0.0.1", 7001),
    ///         "172.18.0.4" => NodeAddr::new("127.0.0.1", 7002),
    ///         _ => node.clone(),
    ///     })
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A cluster with `tls-cluster no` tells plain ports to clients that came by TLS; if the ports for TLS are a thousand above,
    /// `.address_map(|node| NodeAddr::new(node.host(), node.port() + 1000))` leads there.
    pub fn address_map(mut self, map: impl Fn(&NodeAddr) -> NodeAddr + Send + Sync + 'static) -> Self {
        self.address_map = Some(Arc::new(map));
        self
    }

    /// The name of the connections in `CLIENT LIST`: printable ASCII without spaces. Default: none.
    pub fn client_name(mut self, name: impl AsRef<str>) -> Self {
        match url::client_name(name.as_ref()) {
            Ok(name) => self.config.client_name = Some(name),
            Err(error) => self.fail(error),
        }
        self
    }

    /// The version of RESP. Default: [`Protocol::Auto`].
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.config.protocol = protocol;
        self
    }

    /// The time of a command from its first poll to its reply, over queueing, redirects, retries and reconnects.
    /// Default: 10 seconds.
    pub fn command_timeout(mut self, timeout: Duration) -> Self {
        self.config.command_timeout = timeout;
        self.nonzero("command_timeout", timeout)
    }

    /// The time of one TCP connect with its handshake. Default: 2 seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout = timeout;
        self.nonzero("connect_timeout", timeout)
    }

    /// A shared connection on which nothing is under way and nothing was received for so long is asked for a sign of life
    /// (`PING`): a node that died without a word is noticed, and the topology looked at, a second after that. The
    /// connection is given up if nothing comes for as long again. Zero: never asked. Default: 5 seconds.
    ///
    /// On a connection that callers wait on, silence alone is no proof: a server that runs a long script or a large command
    /// lives and answers nobody. After a tenth of a second of it (more for a node that has needed more of late, up to a
    /// second) the topology is looked at, and commands go to the successor if there is one. The connection is given up when
    /// not a byte has come for the whole command time-out. An exclusive connection (blocking commands, sessions) that was not
    /// used for this long is asked before it is used again. Below all that, the system ends a connection whose peer's system is
    /// gone: after 25 to 30 seconds on Linux (TCP keep-alive, `TCP_USER_TIMEOUT`).
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.config.keep_alive = (!interval.is_zero()).then_some(interval.min(LONGEST));
        self
    }

    /// How often the topology is checked when nothing gives reason to. Default: 30 seconds.
    ///
    /// After a reason (a redirect, a lost connection, a change) it is checked again after two seconds, and then, while nothing
    /// changes, after twice as long each time until this is reached.
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.config.refresh_interval = interval;
        self.nonzero("refresh_interval", interval)
    }

    /// How many redirects one command follows. Default: 8.
    pub fn max_redirects(mut self, most: u32) -> Self {
        self.config.max_redirects = most;
        self
    }

    /// Connections for each node that all callers share. A key's commands always take the same one. Default: 1.
    pub fn links_per_node(mut self, links: usize) -> Self {
        self.config.links_per_node = links;
        if links == 0 {
            self.fail(Error::config("links_per_node is 0: at least one link is needed"));
        }
        self
    }

    /// Connections for each node that blocking commands take for themselves; more such commands wait. Default: 64.
    pub fn exclusive_per_node(mut self, connections: usize) -> Self {
        self.config.exclusive_per_node = connections;
        if connections == 0 {
            self.fail(Error::config("exclusive_per_node is 0: blocking commands could never run"));
        }
        self
    }

    /// Bytes of commands that may be queued or in flight, for each node and for the client as a whole. A node that
    /// hangs eats its own budget, not the others'. Default: 64 MiB and 256 MiB.
    pub fn byte_budget(mut self, per_node: usize, per_client: usize) -> Self {
        self.config.node_budget = per_node;
        self.config.client_budget = per_client;
        self
    }

    /// Requests that may be queued or in flight, for each node and for the client as a whole; each command of a pipeline is
    /// one. A node that hangs eats its own. Default: 262,144 and 1,048,576.
    ///
    /// They share the [`byte_budget`](Self::byte_budget): a request takes its bytes there, and at least `bytes / requests` (256
    /// with the defaults). So of requests that are smaller there are at most as many as are said here, to within a per cent;
    /// larger ones end at the bytes, and a mixture somewhere before either. One that could never fit passes alone.
    pub fn request_budget(mut self, per_node: usize, per_client: usize) -> Self {
        self.config.node_requests = per_node;
        self.config.client_requests = per_client;
        if per_node.min(per_client) == 0 {
            self.fail(Error::config("request_budget is 0: at least one request must be allowed"));
        }
        self
    }

    /// What a caller gets when the budget of bytes or of requests is used up. Default: [`OverloadPolicy::Wait`].
    pub fn overload(mut self, policy: OverloadPolicy) -> Self {
        self.config.overload = policy;
        self
    }

    /// Which nodes of a shard answer commands that only read. Default: [`ReadFrom::Primary`].
    pub fn read_from(mut self, policy: ReadFrom) -> Self {
        self.config.read_from = policy;
        self
    }

    /// Whether a replica's word that a key or field does not exist (nil, 0, an empty string or list, "no such key") is checked at
    /// the primary before the caller gets it. A command that makes one of several keys (`SUNION`, `PFCOUNT`, `EXISTS` of two) does
    /// not show that one was missing, so the primary is asked at once; what a script makes of a missing key, nobody can tell.
    /// While a slot is migrated key by key, a replica of Redis says nil of keys that have left already, and a replica that was given
    /// to another primary says nil until its first synchronisation; neither can be told from a key that does not exist. Costs a
    /// second command for each such reply. Default: true.
    pub fn check_missing_at_primary(mut self, check: bool) -> Self {
        self.config.check_missing = check;
        self
    }

    /// The largest reply that is accepted, in bytes of memory; a larger one ends its connection. Default: 1 GiB.
    pub fn max_reply(mut self, bytes: usize) -> Self {
        self.config.max_reply = bytes;
        self
    }

    /// Where connections come from. Default: TCP.
    pub fn connector(mut self, connector: impl Connector + 'static) -> Self {
        self.connector = Arc::new(connector);
        self
    }

    /// Asks the seeds for the topology. Must be called within a tokio runtime.
    ///
    /// Seeds are asked side by side and the first good answer counts, so one that does not answer costs nothing. A
    /// server that is not in cluster mode is taken as a cluster of one node.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a setting that is not valid,
    /// [`ErrorKind::Auth`](crate::ErrorKind::Auth) or [`ErrorKind::Connect`](crate::ErrorKind::Connect) if no seed
    /// could be used, with what each one answered.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was opened.
    pub async fn connect(self) -> Result<Client> {
        let (config, connectors) = self.settings().await?;
        if config.seeds.is_empty() {
            return Err(Error::config("no seed: name at least one node by seeds() or url()"));
        }
        describe();
        Ok(Client::new(connect(config, connectors).await?))
    }

    /// What was set, or the first setting that was not valid. Reads the files of TLS.
    pub(crate) async fn settings(mut self) -> Result<(Config, Connectors)> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let config = &mut self.config;
        for time in [&mut config.command_timeout, &mut config.connect_timeout, &mut config.refresh_interval] {
            *time = LONGEST.min(*time);
        }
        let connector = match self.address_map {
            Some(map) => Arc::new(MappedConnector::over(self.connector, map, self.config.seeds.clone())),
            None => self.connector,
        };
        #[cfg(feature = "tls")]
        let connectors = {
            self.config.over_tls |= self.tls.is_some();
            let tls = if self.config.over_tls {
                let material = self.tls.unwrap_or_default().read_elsewhere().await?;
                Some(Arc::new(TlsConnector::over(Arc::clone(&connector), material)))
            } else {
                None
            };
            let outermost = match &tls {
                Some(tls) => Arc::clone(tls) as Arc<dyn Connector>,
                None => connector,
            };
            Connectors { outermost, tls }
        };
        #[cfg(not(feature = "tls"))]
        let connectors = Connectors { outermost: connector };
        Ok((self.config, connectors))
    }

    fn nonzero(mut self, name: &str, value: Duration) -> Self {
        if value.is_zero() {
            self.fail(Error::config(format!("{name} is 0: nothing could ever succeed")));
        }
        self
    }

    fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }
}

/// How a client is made; here, so that the client need not know its builder.
impl Client {
    /// Connects to the cluster that `url` names: [`ClientBuilder::url`] has its form.
    ///
    /// # Errors
    ///
    /// As [`ClientBuilder::connect`].
    ///
    /// # Cancel safety
    ///
    /// As [`ClientBuilder::connect`].
    pub async fn connect(url: impl AsRef<str>) -> Result<Self> {
        Self::builder().url(url.as_ref()).connect().await
    }

    /// All settings by name.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }
}
