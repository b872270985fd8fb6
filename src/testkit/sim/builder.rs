//! [`SimClusterBuilder`]: what a simulated cluster shall be like.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::node::NodeAddr;
use crate::slot::Slot;
use crate::testkit::sim::cluster::SimCluster;
use crate::testkit::sim::error::SimError;
use crate::testkit::sim::files;
use crate::testkit::sim::form;
use crate::testkit::sim::network::{Simulation, bind, listen};
use crate::testkit::sim::node::Endpoint;
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::settings::Settings;
use crate::testkit::sim::view::NodeIndex;
use crate::testkit::sim::world::World;

/// The first port of nodes in memory.
const FIRST_PORT: u16 = 7000;

/// More have no ports in memory, and no use: the largest real clusters have a thousand.
const MOST_NODES: usize = 10_000;

/// What a simulated cluster shall be like. What is not set has the default that its method names.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct SimClusterBuilder {
    primaries: usize,
    replicas: usize,
    profile: Profile,
    profiles: Vec<(usize, Profile)>,
    endpoint: Endpoint,
    hostname: Option<String>,
    settings: Settings,
}

impl Default for SimClusterBuilder {
    fn default() -> Self {
        Self {
            primaries: 3,
            replicas: 0,
            profile: Profile::default(),
            profiles: Vec::new(),
            endpoint: Endpoint::Ip,
            hostname: None,
            settings: Settings::default(),
        }
    }
}

impl SimClusterBuilder {
    /// How many primaries share the slots; default 3.
    pub fn primaries(mut self, primaries: usize) -> Self {
        self.primaries = primaries;
        self
    }

    /// How many replicas each primary has; default 0.
    pub fn replicas(mut self, replicas_per_primary: usize) -> Self {
        self.replicas = replicas_per_primary;
        self
    }

    /// Where all chances of the simulation come from; default 0. In memory the same seed gives the same run.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// Which server the nodes behave as; default [`Profile::Redis82`].
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Another profile for one node, by its place in [`SimCluster::nodes`]: a cluster in the middle of an upgrade.
    pub fn profile_of(mut self, place: usize, profile: Profile) -> Self {
        self.profiles.push((place, profile));
        self
    }

    /// `cluster-preferred-endpoint-type` of all nodes; default [`Endpoint::Ip`].
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = endpoint;
        self
    }

    /// `cluster-announce-hostname` of all nodes; default none. On real sockets it must lead to 127.0.0.1, as
    /// `localhost` does; in memory any name leads to the node with the port.
    pub fn hostname(mut self, hostname: impl Into<String>) -> Self {
        self.hostname = Some(hostname.into());
        self
    }

    /// `requirepass` of all nodes: the password of the default user; default none.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.settings.password = Some(password.into());
        self
    }

    /// An ACL user that may do everything, on all nodes; default none but the default user.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.settings.users.push((name.into(), password.into()));
        self
    }

    /// `cluster-node-timeout`, after which a silent node is looked for; default 2 s.
    pub fn node_timeout(mut self, timeout: Duration) -> Self {
        self.settings.node_timeout = timeout;
        self
    }

    /// From a change at one node to the others' knowing of it; default 2 ms.
    pub fn gossip_delay(mut self, delay: Duration) -> Self {
        self.settings.gossip_delay = delay;
        self
    }

    /// From a write at a primary to its arrival at a replica; default 1 ms.
    pub fn replication_delay(mut self, delay: Duration) -> Self {
        self.settings.replication_delay = delay;
        self
    }

    /// `cluster-require-full-coverage`: whether one slot without an owner makes all of them unserved; default yes.
    pub fn full_coverage(mut self, required: bool) -> Self {
        self.settings.requires_full_coverage = required;
        self
    }

    /// `cluster-allow-reads-when-down`; default no.
    pub fn reads_when_down(mut self, allowed: bool) -> Self {
        self.settings.allows_reads_when_down = allowed;
        self
    }

    /// Whether a replica takes over by itself when its primary fails (the opposite of `cluster-replica-no-failover`);
    /// default yes.
    pub fn fails_over(mut self, fails_over: bool) -> Self {
        self.settings.fails_over = fails_over;
        self
    }

    /// Whether effects are noted in the ledger, which keeps every command's arguments; default yes.
    pub fn ledger(mut self, kept: bool) -> Self {
        self.settings.keeps_ledger = kept;
        self
    }

    /// Starts the cluster in memory. It is reached only by [`SimCluster::connector`]. Under tokio's paused clock a test
    /// with it takes no real time, and the same seed gives the same run: it also seeds this thread's `fastrand`
    /// generator, from which the client draws its jitter. The nodes' clocks begin with the year 2026.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`SimError::Shape`] for a number of nodes that cannot be.
    pub fn start_in_memory(self) -> Result<SimCluster, SimError> {
        let addrs = (FIRST_PORT..).take(self.nodes()?).map(|port| NodeAddr::new("127.0.0.1", port)).collect();
        fastrand::seed(self.settings.seed);
        Ok(SimCluster::new(self.simulate(addrs), Vec::new(), true))
    }

    /// Starts the cluster on real sockets of 127.0.0.1, with the system's time. A clock that is paused must not be used
    /// with it, for sockets take real time.
    ///
    /// # Errors
    ///
    /// [`SimError::Shape`] for a number of nodes that cannot be or for want of free ports, [`SimError::Listen`] if a
    /// port could not be bound; for hundreds of nodes the limit of open files (`ulimit -n`) may be too low.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was bound.
    pub async fn start(mut self) -> Result<SimCluster, SimError> {
        let nodes = self.nodes()?;
        files::allow(nodes);
        if let Ok(since) = SystemTime::now().duration_since(UNIX_EPOCH) {
            self.settings.unix_millis_at_begin = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        }
        let mut ports = Vec::new();
        let mut listeners = Vec::new();
        for _ in 0..nodes {
            let (port, listener) = bind().await?;
            ports.push(port);
            listeners.push(listener);
        }
        let addrs = ports.iter().map(|port| NodeAddr::new("127.0.0.1", port.get())).collect();
        let simulation = self.simulate(addrs);
        for (place, listener) in listeners.into_iter().enumerate() {
            simulation.spawn(listen(Arc::downgrade(&simulation), NodeIndex(place), listener));
        }
        Ok(SimCluster::new(simulation, ports, false))
    }

    fn nodes(&self) -> Result<usize, SimError> {
        let (slots, nodes) = (usize::from(Slot::COUNT), self.primaries.saturating_mul(self.replicas + 1));
        if self.primaries == 0 || self.primaries > slots {
            return Err(SimError::Shape(format!(
                "{} primaries: from 1 to {slots} are possible",
                self.primaries
            )));
        }
        if nodes > MOST_NODES {
            return Err(SimError::Shape(format!("{nodes} nodes: at most {MOST_NODES} are possible")));
        }
        Ok(nodes)
    }

    fn simulate(self, addrs: Vec<NodeAddr>) -> Arc<Simulation> {
        let mut nodes = form::cluster(addrs, self.primaries, self.profile, self.settings.seed);
        for node in &mut nodes {
            node.endpoint = self.endpoint;
            node.hostname.clone_from(&self.hostname);
            form::furnish(node, &self.settings);
        }
        for (place, profile) in self.profiles {
            if let Some(node) = nodes.get_mut(place) {
                node.profile = profile;
            }
        }
        Simulation::new(World::new(self.settings, nodes))
    }
}

/// How a cluster is made; here, so that the cluster need not know its builder.
impl SimCluster {
    /// Three primaries without replicas, unless it is told otherwise.
    pub fn builder() -> SimClusterBuilder {
        SimClusterBuilder::default()
    }
}
