//! [`LocalCluster`]: real servers that form a cluster; [`LocalServer`]: one that is none.

use std::fmt::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::command::Command;
use crate::config::credentials::Credentials;
use crate::error::{Error, ErrorKind, Outcome};
use crate::node::NodeAddr;
use crate::protocol::from_value::FromValue;
use crate::protocol::value::Value;
use crate::slot::Slot;
use crate::testkit::form::{Access, Member, Peer, connect_all, create, meet, until_agreed, until_joined};
use crate::testkit::process::{Home, Ports, Process};
use crate::testkit::server::{Server, StartError};
#[cfg(feature = "testkit-tls")]
use crate::testkit::tls::{ClusterTls, LocalTls};

/// Keys that one `MIGRATE` moves at most; the source serves nobody meanwhile.
const BATCH: usize = 100;

/// How long the target of a `MIGRATE` may be silent; less than the kit waits for the source's reply.
const MIGRATE_MILLIS: u32 = 20_000;

/// A cluster of real server processes on 127.0.0.1, ended and removed on drop.
///
/// ```no_run
/// use keyslot::testkit::{LocalCluster, Server};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::at("/opt/valkey/bin/valkey-server")?; // without: from PATH
/// let cluster = LocalCluster::builder().replicas(1).server(server).setting("appendonly", "yes").start().await?;
/// let client = keyslot::Client::connect(cluster.url()).await?;
/// let node = cluster.nodes().remove(0);
/// cluster.stop(&node)?; // it hangs: takes what comes and answers nothing
/// cluster.cont(&node)?;
/// # Ok(())
/// # }
/// ```
///
/// Nodes are named by their addresses, which never change. Methods that take one fail with
/// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if it is no node of this cluster. Everything takes `&self`, so that a
/// cluster can be shared with the tasks that disturb it.
///
/// # Cancel safety
///
/// Dropping the future of [`start`](Self::start) ends the servers that it has started. Of all other methods it leaves the cluster as
/// it is at that moment: what was sent is done, and a slot that was moving stays open.
pub struct LocalCluster {
    /// Dropped before `home`.
    nodes: Mutex<Vec<Arc<Process>>>,
    server: Server,
    settings: String,
    access: Box<Access>,
    #[cfg(feature = "testkit-tls")]
    tls: Option<Box<ClusterTls>>,
    home: Home,
}

impl fmt::Debug for LocalCluster {
    /// Without the configuration, which has the password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalCluster")
            .field("nodes", &self.nodes())
            .field("server", &self.server)
            .field("folder", &self.folder())
            .finish_non_exhaustive()
    }
}

/// What a [`LocalCluster`] is made of; by [`LocalCluster::builder`].
///
/// # Cancel safety
///
/// Dropping the future of [`start`](Self::start) ends the servers that it has started.
#[derive(Clone, Debug)]
#[must_use]
pub struct LocalClusterBuilder {
    primaries: usize,
    replicas: usize,
    server: Option<Server>,
    node_timeout: Duration,
    settings: Vec<(String, String)>,
    credentials: Option<Credentials>,
    #[cfg(feature = "testkit-tls")]
    tls: Option<LocalTls>,
}

impl LocalClusterBuilder {
    /// How many primaries share the slots; default 3, at least 1.
    pub fn primaries(mut self, primaries: usize) -> Self {
        self.primaries = primaries;
        self
    }

    /// How many replicas each primary has; default 0.
    pub fn replicas(mut self, replicas_per_primary: usize) -> Self {
        self.replicas = replicas_per_primary;
        self
    }

    /// The program; default [`Server::find`].
    pub fn server(mut self, server: Server) -> Self {
        self.server = Some(server);
        self
    }

    /// `cluster-node-timeout`, rounded down to milliseconds; default 2 s. A dead primary's replica is promoted after
    /// about twice this time.
    pub fn node_timeout(mut self, timeout: Duration) -> Self {
        self.node_timeout = timeout;
        self
    }

    /// A line of every server's configuration, as it would stand in `redis.conf`: `setting("appendonly", "yes")`. It
    /// overrides the kit's own: no persistence, `DEBUG` allowed, full synchronisations without delay.
    ///
    /// The kit relies on what it says itself of `port`, `bind`, `dir`, `cluster-enabled` and passwords.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// The password of the `default` user, for clients and between the nodes; default none.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.credentials = Some(Credentials::password(password));
        self
    }

    /// Servers that speak TLS, which their program must have been built with; default without. Feature `testkit-tls`.
    #[cfg(feature = "testkit-tls")]
    pub fn tls(mut self, tls: LocalTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Starts the servers and returns when every one of them says that the cluster is well, all agree on who owns
    /// which slot, and every replica is in sync and listed. This takes little more than 2 s, because no server takes
    /// part earlier.
    ///
    /// # Errors
    ///
    /// [`StartError`] with the last lines of the log of a server that did not start, or with what each node still
    /// missed after 30 s. Nothing is left running.
    pub async fn start(self) -> Result<LocalCluster, StartError> {
        let Self { primaries, replicas, .. } = self;
        if primaries == 0 || primaries > usize::from(Slot::COUNT) {
            return Err(StartError::Shape(format!(
                "{primaries} primaries: from 1 to {} are possible",
                Slot::COUNT
            )));
        }
        let server = self.server.clone().map_or_else(Server::find, Ok)?;
        let home = Home::new()?;
        #[cfg_attr(not(feature = "testkit-tls"), expect(unused_mut, reason = "TLS adds lines"))]
        let mut settings = self.lines(&server);
        #[cfg(feature = "testkit-tls")]
        let tls = self.tls.map(|tls| ClusterTls::prepare(tls, home.path()).map(Box::new)).transpose()?;
        #[cfg(feature = "testkit-tls")]
        let access = match &tls {
            Some(tls) => {
                settings.insert_str(0, tls.lines());
                tls.access(self.credentials)?
            }
            None => Access::plain(self.credentials),
        };
        #[cfg(not(feature = "testkit-tls"))]
        let access = Access::plain(self.credentials);
        let cluster = LocalCluster {
            nodes: Mutex::default(),
            settings,
            access: Box::new(access),
            #[cfg(feature = "testkit-tls")]
            tls,
            home,
            server,
        };
        let started = (0..primaries * (replicas + 1)).map(|_| cluster.start_node());
        // All that were started are dropped if one fails.
        *cluster.lock() = try_join_all(started).await?;
        let members = connect_all(&cluster.nodes(), &cluster.access).await?;
        create(&members, primaries, cluster.server.version().is_at_least(7, 0)).await?;
        Ok(cluster)
    }

    /// What the servers are told beyond what every one of the kit's is.
    fn lines(&self, server: &Server) -> String {
        let mut lines = format!(
            "cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-node-timeout {}\n{}",
            self.node_timeout.as_millis(),
            debug_command(server)
        );
        if let Some(Credentials { password, .. }) = &self.credentials {
            let quoted = quote(password);
            lines += &format!("requirepass {quoted}\nmasterauth {quoted}\n");
        }
        for (name, value) in &self.settings {
            lines += &format!("{name} {value}\n");
        }
        lines
    }
}

/// Tests make servers hang and crash by it; 6.2 allows it always and does not know the setting.
fn debug_command(server: &Server) -> &'static str {
    if server.version().is_at_least(7, 0) { "enable-debug-command yes\n" } else { "" }
}

/// A text as one word of a configuration, whatever is in it.
fn quote(text: &str) -> String {
    text.bytes().fold(String::from("\""), |mut quoted, byte| {
        // Writing to a string does not fail.
        let _written = write!(quoted, "\\x{byte:02x}");
        quoted
    }) + "\""
}

impl LocalCluster {
    /// Starts a cluster of the server that [`Server::find`] finds, with the defaults of [`LocalCluster::builder`].
    ///
    /// # Errors
    ///
    /// As [`LocalClusterBuilder::start`].
    pub async fn start(primaries: usize, replicas_per_primary: usize) -> Result<Self, StartError> {
        Self::builder().primaries(primaries).replicas(replicas_per_primary).start().await
    }

    /// Settings of a cluster that is to be started; each with a default.
    pub fn builder() -> LocalClusterBuilder {
        LocalClusterBuilder {
            primaries: 3,
            replicas: 0,
            server: None,
            node_timeout: Duration::from_secs(2),
            settings: Vec::new(),
            credentials: None,
            #[cfg(feature = "testkit-tls")]
            tls: None,
        }
    }

    /// A URL with all nodes, and the password if there is one: `redis://127.0.0.1:12000,127.0.0.1:12001`; `rediss://` if the
    /// ports by which nodes are named are for TLS.
    #[must_use]
    pub fn url(&self) -> String {
        let nodes: Vec<String> = self.nodes().iter().map(ToString::to_string).collect();
        let password =
            self.access.credentials.iter().fold(String::new(), |_, Credentials { password, .. }| {
                format!(":{}@", utf8_percent_encode(password, NON_ALPHANUMERIC))
            });
        format!("{}://{password}{}", self.scheme(), nodes.join(","))
    }

    #[cfg(feature = "testkit-tls")]
    fn scheme(&self) -> &'static str {
        if self.tls().is_some_and(ClusterTls::is_asked_by_tls) { "rediss" } else { "redis" }
    }

    #[cfg(not(feature = "testkit-tls"))]
    fn scheme(&self) -> &'static str {
        "redis"
    }

    /// What a client needs to reach the nodes by TLS: the authority that made their certificates, and an identity of its own.
    /// `None` without [`LocalClusterBuilder::tls`].
    #[cfg(feature = "testkit-tls")]
    #[must_use]
    pub fn tls(&self) -> Option<&ClusterTls> {
        self.tls.as_deref()
    }

    /// Where `node` listens with the other of TLS and plain text, of a cluster with both.
    ///
    /// # Errors
    ///
    /// If it has one port only.
    #[cfg(feature = "testkit-tls")]
    pub fn other_port_of(&self, node: &NodeAddr) -> Result<NodeAddr, Error> {
        let process = self.process(node)?;
        process.other_node().ok_or_else(|| Error::usage("it has one port").with_node(node.clone()))
    }

    /// All nodes, running or not: first those that were started as primaries, then their replicas (of the first
    /// primary, of the second, ..., of the first again), then those that were added.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeAddr> {
        self.lock().iter().map(|process| process.node().clone()).collect()
    }

    /// The program that the nodes run.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Where each node has its folder, named after its port, with its configuration, its log and its data. Removed on
    /// drop.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.home.path()
    }

    /// The last 25 lines of a node's log, for the message of a test that fails.
    #[must_use]
    pub fn log_tail(&self, node: &NodeAddr) -> String {
        self.process(node).map_or_else(|error| error.to_string(), |process| process.log_tail())
    }

    /// Sends `command` to this node, wherever its keys belong, over a connection that is made for it. An error reply
    /// is a [`Value::Error`].
    ///
    /// # Errors
    ///
    /// If there is no reply, for 30 s or for the command's own [`timeout`](Command::timeout).
    pub async fn command(&self, node: &NodeAddr, command: Command) -> Result<Value, Error> {
        self.process(node)?;
        Peer::ask_once(node, &self.access, &command).await
    }

    /// The id that this node has in the cluster.
    ///
    /// # Errors
    ///
    /// If the node does not answer.
    pub async fn node_id(&self, node: &NodeAddr) -> Result<String, Error> {
        Ok(self.member(node).await?.id)
    }

    /// The owner of `slot`, as the first running node sees it: after a kill it is the old one until the others have
    /// noticed, see [`wait_until_ok`](Self::wait_until_ok).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if there is none, or no node is running.
    pub async fn primary_of(&self, slot: Slot) -> Result<NodeAddr, Error> {
        let running = self.running();
        let first = running.first().ok_or_else(|| unavailable("no node is running"))?;
        let seen = self.peer(first).await?.cluster_nodes().await?;
        seen.iter()
            .find(|seen| seen.owns(slot))
            .and_then(|seen| self.at_port(seen.port))
            .ok_or_else(|| unavailable("no node of this cluster owns the slot").with_slot(Some(slot)))
    }

    /// The replicas of `primary`, as that node sees it, running or not.
    ///
    /// # Errors
    ///
    /// If the node does not answer.
    pub async fn replicas_of(&self, primary: &NodeAddr) -> Result<Vec<NodeAddr>, Error> {
        let Member { id, peer } = self.member(primary).await?;
        let seen = peer.cluster_nodes().await?;
        let replicas = seen.iter().filter(|seen| seen.primary.as_ref() == Some(&id));
        Ok(replicas.filter_map(|seen| self.at_port(seen.port)).collect())
    }

    /// Kills the node (SIGKILL) and returns when it is gone. One that has ended already is no error.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn kill(&self, node: &NodeAddr) -> Result<(), Error> {
        self.process(node)?.kill()
    }

    /// Stops the node (SIGSTOP): it keeps its connections and does nothing any more. Returns when that is so.
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn stop(&self, node: &NodeAddr) -> Result<(), Error> {
        self.process(node)?.stop()
    }

    /// Lets a stopped node go on (SIGCONT).
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn cont(&self, node: &NodeAddr) -> Result<(), Error> {
        self.process(node)?.cont()
    }

    /// Starts the node again with the same port and files, killing it first if it runs. Returns when it answers and has
    /// loaded its data; for the cluster to be well again, [`wait_until_ok`](Self::wait_until_ok).
    ///
    /// # Errors
    ///
    /// [`StartError`] with the last lines of its log.
    pub async fn restart(&self, node: &NodeAddr) -> Result<(), StartError> {
        self.process(node)?.restart(&self.access).await
    }

    /// Starts one more node and makes it known to those that run: a primary without slots. Returns when it is
    /// connected with all of them and, if the cluster is well, takes part in it, which is after about 2 s.
    ///
    /// # Errors
    ///
    /// [`StartError`] if it does not start, or is not known after 30 s.
    pub async fn add_node(&self) -> Result<NodeAddr, StartError> {
        let mut members = connect_all(&self.running(), &self.access).await?;
        let process = self.start_node().await?;
        let node = process.node().clone();
        self.lock().push(process);
        for member in &members {
            meet(&member.peer, &node).await?;
        }
        members.push(self.member(&node).await?);
        until_joined(&members).await?;
        Ok(node)
    }

    /// Waits until every node that runs says that the cluster is well, all of them agree on who owns which slot, the
    /// owners are running, and the replicas that run are in sync and listed: after a failover, a restart or a move of
    /// slots.
    ///
    /// # Errors
    ///
    /// [`StartError::NotFormed`] with what each node misses after 30 s.
    pub async fn wait_until_ok(&self) -> Result<(), StartError> {
        until_agreed(&connect_all(&self.running(), &self.access).await?).await
    }

    /// Moves `slot` with all of its keys: [`open_slot`](Self::open_slot), [`migrate_keys`](Self::migrate_keys) until
    /// none is left, [`close_slot`](Self::close_slot). Returns how many keys were moved.
    ///
    /// # Errors
    ///
    /// What a node refused. The slot stays open then.
    pub async fn move_slot(&self, slot: Slot, from: &NodeAddr, to: &NodeAddr) -> Result<usize, Error> {
        self.open_slot(slot, from, to).await?;
        let moved = self.migrate_keys(slot, from, to, usize::MAX).await?;
        self.close_slot(slot, from, to).await?;
        Ok(moved)
    }

    /// Begins to move `slot`: `SETSLOT IMPORTING` at `to`, `SETSLOT MIGRATING` at `from`. From now on `from` answers
    /// with `ASK` for keys that it does not have.
    ///
    /// # Errors
    ///
    /// What a node refused, such as a slot that `from` does not own.
    pub async fn open_slot(&self, slot: Slot, from: &NodeAddr, to: &NodeAddr) -> Result<(), Error> {
        let (source, target) = (self.member(from).await?, self.member(to).await?);
        let set = || Command::new("CLUSTER SETSLOT").arg(slot);
        target.peer.order(&set().arg("IMPORTING").arg(&source.id)).await?;
        source.peer.order(&set().arg("MIGRATING").arg(&target.id)).await?;
        Ok(())
    }

    /// Moves up to `max` keys of an open slot and returns how many there were: 0 if none is left.
    ///
    /// # Errors
    ///
    /// What a node refused, such as a key that `to` has too (`BUSYKEY`).
    pub async fn migrate_keys(
        &self,
        slot: Slot,
        from: &NodeAddr,
        to: &NodeAddr,
        max: usize,
    ) -> Result<usize, Error> {
        let source = self.peer(from).await?;
        let mut moved = 0;
        while moved < max {
            let some = Command::new("CLUSTER GETKEYSINSLOT").arg(slot).arg(BATCH.min(max - moved));
            let keys = Vec::<bytes::Bytes>::from_value(source.order(&some).await?).map_err(|error| {
                Error::new(ErrorKind::Conversion, Outcome::MaybeExecuted, error.to_string())
                    .with_command(some.shared_name())
                    .with_node(from.clone())
            })?;
            if keys.is_empty() {
                break;
            }
            moved += keys.len();
            let mut migrate =
                Command::new("MIGRATE").arg(to.host()).arg(to.port()).arg("").arg(0).arg(MIGRATE_MILLIS);
            if let Some(Credentials { password, .. }) = &self.access.credentials {
                migrate = migrate.arg("AUTH").arg(password);
            }
            source.order(&migrate.arg("KEYS").args(keys)).await?;
        }
        Ok(moved)
    }

    /// Ends the move of `slot`: `SETSLOT NODE` at `to`, at `from`, and at every other primary that runs, so that the
    /// primaries know it at once; replicas hear of it a moment later.
    ///
    /// # Errors
    ///
    /// What a node refused, such as a slot of which `from` still holds keys.
    pub async fn close_slot(&self, slot: Slot, from: &NodeAddr, to: &NodeAddr) -> Result<(), Error> {
        let set = Command::new("CLUSTER SETSLOT").arg(slot).arg("NODE").arg(self.node_id(to).await?);
        // The target first: should it end in between, the source still serves the slot.
        let others = self.running().into_iter().filter(|node| node != from && node != to);
        for node in [to.clone(), from.clone()].into_iter().chain(others) {
            match self.peer(&node).await?.order(&set).await {
                // A replica; or the source, which became one with its last slot.
                Err(error) if &node != to && error.to_string().contains("only with masters") => {}
                done => drop(done?),
            }
        }
        Ok(())
    }

    async fn start_node(&self) -> Result<Arc<Process>, StartError> {
        Process::start(&self.home, &self.server, self.ports(), &self.settings, &self.access)
            .await
            .map(Arc::new)
    }

    #[cfg(feature = "testkit-tls")]
    fn ports(&self) -> Ports {
        self.tls().map_or(Ports::Plain, ClusterTls::ports)
    }

    #[cfg(not(feature = "testkit-tls"))]
    fn ports(&self) -> Ports {
        Ports::Plain
    }

    async fn peer(&self, node: &NodeAddr) -> Result<Peer, Error> {
        self.process(node)?;
        Peer::connect(node, &self.access).await
    }

    async fn member(&self, node: &NodeAddr) -> Result<Member, Error> {
        self.process(node)?;
        Member::connect(node, &self.access).await
    }

    fn process(&self, node: &NodeAddr) -> Result<Arc<Process>, Error> {
        let nodes = self.lock();
        nodes.iter().find(|process| process.node() == node).cloned().ok_or_else(|| {
            let nodes: Vec<String> = nodes.iter().map(|process| process.node().to_string()).collect();
            Error::usage(format!("no node of this cluster; those are {}", nodes.join(", ")))
                .with_node(node.clone())
        })
    }

    fn at_port(&self, port: u16) -> Option<NodeAddr> {
        self.nodes().into_iter().find(|node| node.port() == port)
    }

    /// Neither ended nor stopped.
    fn running(&self) -> Vec<NodeAddr> {
        let nodes = self.lock();
        nodes.iter().filter(|process| process.is_running()).map(|process| process.node().clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Process>>> {
        // Only ever replaced or pushed to.
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unavailable(message: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, Outcome::NotSent, message)
}

/// One server without cluster mode on 127.0.0.1, ended and removed on drop.
///
/// # Cancel safety
///
/// Dropping the future of [`start`](Self::start) ends the server. Of all other methods it leaves the server as it is at that moment.
#[derive(Debug)]
pub struct LocalServer {
    /// Dropped before `home`.
    process: Process,
    home: Home,
}

impl LocalServer {
    /// Starts `server` and returns when it answers.
    ///
    /// # Errors
    ///
    /// [`StartError`] with the last lines of its log.
    pub async fn start(server: Server) -> Result<Self, StartError> {
        let home = Home::new()?;
        let access = Access::plain(None);
        let process = Process::start(&home, &server, Ports::Plain, debug_command(&server), &access).await?;
        Ok(Self { process, home })
    }

    /// Its URL: `redis://127.0.0.1:12000`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.process.node())
    }

    /// Where it listens.
    #[must_use]
    pub fn node(&self) -> &NodeAddr {
        self.process.node()
    }

    /// As [`LocalCluster::folder`].
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.home.path()
    }

    /// As [`LocalCluster::log_tail`].
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }

    /// As [`LocalCluster::command`].
    ///
    /// # Errors
    ///
    /// If there is no reply, for 30 s or for the command's own [`timeout`](Command::timeout).
    pub async fn command(&self, command: Command) -> Result<Value, Error> {
        Peer::ask_once(self.node(), &Access::plain(None), &command).await
    }

    /// As [`LocalCluster::kill`].
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn kill(&self) -> Result<(), Error> {
        self.process.kill()
    }

    /// As [`LocalCluster::stop`].
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn stop(&self) -> Result<(), Error> {
        self.process.stop()
    }

    /// As [`LocalCluster::cont`].
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn cont(&self) -> Result<(), Error> {
        self.process.cont()
    }

    /// As [`LocalCluster::restart`]; its data are gone unless it was told to keep them.
    ///
    /// # Errors
    ///
    /// [`StartError`] with the last lines of its log.
    pub async fn restart(&self) -> Result<(), StartError> {
        self.process.restart(&Access::plain(None)).await
    }
}
