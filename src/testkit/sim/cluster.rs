//! [`SimCluster`]: the handle of a simulated cluster.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::node::NodeAddr;
use crate::protocol::codec::Decoder;
use crate::protocol::value::Value;
use crate::slot::Slot;
use crate::testkit::ports::ReservedPort;
use crate::testkit::sim::agenda::Event;
use crate::testkit::sim::bus;
use crate::testkit::sim::connection::lock;
use crate::testkit::sim::dispatch;
use crate::testkit::sim::error::SimError;
use crate::testkit::sim::fault::{Fault, FaultId};
use crate::testkit::sim::form;
use crate::testkit::sim::joining;
use crate::testkit::sim::ledger::Ledger;
use crate::testkit::sim::network::{SimConnector, Simulation, bind, listen};
use crate::testkit::sim::reply::Resp;
use crate::testkit::sim::script::{Script, Step};

/// A whole cluster in this process; made by [`SimCluster::builder`]. Dropping it ends it, its connections too.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use keyslot::testkit::SimCluster;
/// use keyslot::{Client, Commands, Slot};
///
/// let cluster = SimCluster::builder().primaries(3).replicas(1).start_in_memory()?;
/// let client = Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
///
/// let slot = Slot::of_key("user:1");
/// let another = cluster.primary_of(Slot::of_key("a")).ok_or("nobody serves it")?;
/// client.set("user:1", "Ann").await?;
/// cluster.move_slot(slot, &another)?;
/// assert_eq!(client.get::<String>("user:1").await?, "Ann"); // by a redirect
/// assert_eq!(client.stats().moved, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SimCluster {
    simulation: Arc<Simulation>,
    /// Of nodes on loopback, so that nobody takes the port of a killed one.
    ports: Mutex<Vec<ReservedPort>>,
    is_in_memory: bool,
}

impl SimCluster {
    pub(super) fn new(simulation: Arc<Simulation>, ports: Vec<ReservedPort>, is_in_memory: bool) -> Self {
        Self { simulation, ports: Mutex::new(ports), is_in_memory }
    }

    /// The URL by which a client finds it: its first three nodes as seeds, and the password if it has one.
    #[must_use]
    pub fn url(&self) -> String {
        let seeds: Vec<String> = self.nodes().iter().take(3).map(ToString::to_string).collect();
        let password = lock(&self.simulation.world).settings.password.clone();
        let login =
            password.map(|password| format!(":{}@", utf8_percent_encode(&password, NON_ALPHANUMERIC)));
        format!("redis://{}{}", login.unwrap_or_default(), seeds.join(","))
    }

    /// How a client reaches a cluster in memory: for
    /// [`ClientBuilder::connector`](crate::ClientBuilder::connector). It works for one on real sockets too, and goes
    /// around them.
    #[must_use]
    pub fn connector(&self) -> SimConnector {
        SimConnector::new(&self.simulation)
    }

    /// All nodes: the primaries in the order of their slots, then the first replica of each, the second of each, then
    /// those that were added.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeAddr> {
        lock(&self.simulation.world).nodes.iter().map(|node| node.addr.clone()).collect()
    }

    /// The primary that serves the slot, by its own word, or else as others believe; `None` if nobody does.
    #[must_use]
    pub fn primary_of(&self, slot: Slot) -> Option<NodeAddr> {
        let world = lock(&self.simulation.world);
        let owner = form::owner(&world, slot.get())?;
        Some(world.node(owner).addr.clone())
    }

    /// The replicas of a primary, by the newest view of any running node.
    #[must_use]
    pub fn replicas_of(&self, primary: &NodeAddr) -> Vec<NodeAddr> {
        let world = lock(&self.simulation.world);
        let (Some(view), Some(primary)) = (form::newest_view(&world), world.node_at(primary)) else {
            return Vec::new();
        };
        view.replicas_of(primary).map(|replica| world.node(replica).addr.clone()).collect()
    }

    /// Does one thing to the cluster, now.
    ///
    /// # Errors
    ///
    /// [`SimError`] if it makes no sense for the cluster as it is.
    pub fn perform(&self, step: Step) -> Result<(), SimError> {
        bus::perform(&mut lock(&self.simulation.world), &step)
    }

    /// Does what the script says, each step at its time from now on. A step that makes no sense when its time has come
    /// is left out.
    pub fn play(&self, script: Script) {
        let mut world = lock(&self.simulation.world);
        for (time, step) in script.steps {
            world.later(time, Event::Step(step));
        }
    }

    /// [`Step::Kill`], now.
    ///
    /// # Errors
    ///
    /// As [`SimCluster::perform`].
    pub fn kill(&self, node: &NodeAddr) -> Result<(), SimError> {
        self.perform(Step::Kill(node.clone()))
    }

    /// [`Step::Restart`], now.
    ///
    /// # Errors
    ///
    /// As [`SimCluster::perform`].
    pub fn restart(&self, node: &NodeAddr) -> Result<(), SimError> {
        self.perform(Step::Restart(node.clone()))
    }

    /// [`Step::Stop`], now.
    ///
    /// # Errors
    ///
    /// As [`SimCluster::perform`].
    pub fn stop(&self, node: &NodeAddr) -> Result<(), SimError> {
        self.perform(Step::Stop(node.clone()))
    }

    /// [`Step::Continue`], now.
    ///
    /// # Errors
    ///
    /// As [`SimCluster::perform`].
    pub fn cont(&self, node: &NodeAddr) -> Result<(), SimError> {
        self.perform(Step::Continue(node.clone()))
    }

    /// [`Step::Promote`], now.
    ///
    /// # Errors
    ///
    /// As [`SimCluster::perform`].
    pub fn promote(&self, replica: &NodeAddr) -> Result<(), SimError> {
        self.perform(Step::Promote(replica.clone()))
    }

    /// [`Step::OpenSlot`], now.
    ///
    /// # Errors
    ///
    /// As [`SimCluster::perform`].
    pub fn open_slot(&self, slot: Slot, to: &NodeAddr) -> Result<(), SimError> {
        self.perform(Step::OpenSlot(slot, to.clone()))
    }

    /// [`Step::MigrateKeys`], now.
    ///
    /// # Errors
    ///
    /// As [`SimCluster::perform`].
    pub fn migrate_keys(&self, slot: Slot, most: usize) -> Result<(), SimError> {
        self.perform(Step::MigrateKeys(slot, most))
    }

    /// [`Step::CloseSlot`], now.
    ///
    /// # Errors
    ///
    /// As [`SimCluster::perform`].
    pub fn close_slot(&self, slot: Slot) -> Result<(), SimError> {
        self.perform(Step::CloseSlot(slot))
    }

    /// [`Step::MoveSlot`], now.
    ///
    /// # Errors
    ///
    /// As [`SimCluster::perform`].
    pub fn move_slot(&self, slot: Slot, to: &NodeAddr) -> Result<(), SimError> {
        self.perform(Step::MoveSlot(slot, to.clone()))
    }

    /// A new, empty primary joins, as by `redis-cli --cluster add-node`; all know it after the gossip delay. It has the
    /// profile and the settings of the first node.
    ///
    /// # Errors
    ///
    /// [`SimError::Shape`] for want of a free port, [`SimError::Listen`] if it could not be bound.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, no node has joined.
    pub async fn add_node(&self) -> Result<NodeAddr, SimError> {
        if self.is_in_memory {
            let mut world = lock(&self.simulation.world);
            // Nodes are never removed, so the last one has the highest port.
            let last = world.nodes.last().map_or(0, |node| node.addr.port());
            let port = last.checked_add(1).ok_or_else(|| SimError::Shape("no port is left".to_owned()))?;
            let addr = NodeAddr::new("127.0.0.1", port);
            joining::add_node(&mut world, addr.clone());
            return Ok(addr);
        }
        let (port, listener) = bind().await?;
        let addr = NodeAddr::new("127.0.0.1", port.get());
        let index = joining::add_node(&mut lock(&self.simulation.world), addr.clone());
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).push(port);
        self.simulation.spawn(listen(Arc::downgrade(&self.simulation), index, listener));
        Ok(addr)
    }

    /// Makes something go wrong from now on.
    pub fn inject(&self, fault: Fault) -> FaultId {
        lock(&self.simulation.world).inject(fault)
    }

    /// Ends a fault. A connection that it has made slow or silent stays so.
    pub fn lift(&self, fault: FaultId) {
        lock(&self.simulation.world).faults.lift(fault);
    }

    /// What took effect so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        lock(&self.simulation.world).ledger.clone()
    }

    /// How many commands of this name a node was sent, those that it refused too; a subcommand is named as
    /// `CLUSTER SLOTS`. 0 for a node that is none.
    #[must_use]
    pub fn received(&self, node: &NodeAddr, name: &str) -> u64 {
        let world = lock(&self.simulation.world);
        let node = world.node_at(node).map(|index| world.node(index));
        node.and_then(|node| node.received.get(&name.to_ascii_uppercase()).copied()).unwrap_or_default()
    }

    /// How many connections a node has accepted so far. 0 for a node that is none.
    #[must_use]
    pub fn connections_accepted(&self, node: &NodeAddr) -> u64 {
        let world = lock(&self.simulation.world);
        world.node_at(node).map(|index| world.node(index).connections_accepted).unwrap_or_default()
    }

    /// How long the cluster has been there, by tokio's clock: the time that [`Effect::at`](super::Effect::at) counts.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        lock(&self.simulation.world).begin.elapsed()
    }

    /// Waits until `seen` says yes; it is asked whenever a node has taken up a command or something has happened by
    /// itself. Under a paused clock it never waits in vain for long: time goes on to what comes next.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub async fn until(&self, mut seen: impl FnMut(&Self) -> bool) {
        let activity = Arc::clone(&lock(&self.simulation.world).activity);
        loop {
            // Registered before the look, so that what happens in between is not missed.
            let mut notified = std::pin::pin!(activity.notified());
            notified.as_mut().enable();
            if seen(self) {
                return;
            }
            notified.await;
        }
    }

    /// What one node replies to a command in RESP3, without a connection of the network: no fault touches it, and it is
    /// not counted.
    ///
    /// # Errors
    ///
    /// [`SimError::UnknownNode`]; the error of a server is a [`Value::Error`].
    pub fn ask<A: AsRef<[u8]>>(
        &self,
        node: &NodeAddr,
        args: impl IntoIterator<Item = A>,
    ) -> Result<Value, SimError> {
        let args: Vec<Bytes> = args.into_iter().map(|arg| Bytes::copy_from_slice(arg.as_ref())).collect();
        let mut world = lock(&self.simulation.world);
        let index = world.node_at(node).ok_or_else(|| SimError::UnknownNode(node.clone()))?;
        let reply = dispatch::ask(&mut world, index, &args);
        let mut bytes = BytesMut::new();
        reply.encode(Resp::Three, &mut bytes);
        // The simulation writes no bytes that are no RESP; a reply of several frames counts as its first.
        Ok(Decoder::new(usize::MAX).decode(&mut bytes).ok().flatten().unwrap_or(Value::Nil))
    }
}
