//! How clients reach the nodes: in memory by [`SimConnector`], or on loopback by real sockets.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::node::NodeAddr;
use crate::testkit::ports::ReservedPort;
use crate::testkit::sim::bus;
use crate::testkit::sim::connection::{SharedWorld, lock, serve};
use crate::testkit::sim::error::SimError;
use crate::testkit::sim::fault::{FaultKind, Stage};
use crate::testkit::sim::node::Process;
use crate::testkit::sim::session::SessionId;
use crate::testkit::sim::view::NodeIndex;
use crate::testkit::sim::world::World;
use crate::transport::{Connector, Transport};

/// Bytes that a stream in memory holds in each direction, like a socket's buffers.
const STREAM: usize = 64 << 10;

/// Between two tries to bind a node's port again.
const REBIND: Duration = Duration::from_millis(5);

/// The tasks of a simulation; they end with it.
#[derive(Debug)]
pub(super) struct Simulation {
    pub(super) world: SharedWorld,
    tasks: Mutex<JoinSet<()>>,
}

impl Simulation {
    /// Must be called within a tokio runtime.
    pub(super) fn new(world: World) -> Arc<Self> {
        let simulation =
            Arc::new(Self { world: Arc::new(Mutex::new(world)), tasks: Mutex::new(JoinSet::new()) });
        simulation.spawn(run_agenda(Arc::clone(&simulation.world)));
        simulation
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended are let go, or a long test would keep one for each connection that ever was.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

/// Lets things happen when their time has come.
async fn run_agenda(world: SharedWorld) {
    let changed = Arc::clone(&lock(&world).agenda_changed);
    loop {
        let next = {
            let mut world = lock(&world);
            bus::catch_up(&mut world);
            world.agenda.next_at()
        };
        match next {
            Some(at) => {
                tokio::select! {
                    biased;
                    () = changed.notified() => {}
                    () = tokio::time::sleep_until(at) => {}
                }
            }
            None => changed.notified().await,
        }
    }
}

/// What becomes of a connect.
enum Door {
    Opened(SessionId),
    Refused,
    /// It never ends.
    Hangs,
}

/// Decides about a connection to this node.
fn knock(world: &mut World, at: NodeIndex) -> Door {
    if world.node(at).process == Process::Dead {
        return Door::Refused;
    }
    match world.strike(at, None, &[], Stage::Connect) {
        Some(FaultKind::Refuse) => return Door::Refused,
        Some(_) => return Door::Hangs,
        None => {}
    }
    let served_by = match world.strike(at, None, &[], Stage::Route) {
        Some(FaultKind::AnswerAs(other)) => world.node_at(&other).unwrap_or(at),
        Some(_) | None => at,
    };
    world.node_mut(served_by).connections_accepted += 1;
    Door::Opened(world.open(served_by))
}

/// Connections in memory to the nodes of a [`SimCluster`](crate::testkit::sim::SimCluster): for
/// [`ClientBuilder::connector`](crate::ClientBuilder::connector). When the cluster is dropped, connects are refused.
#[derive(Clone)]
pub struct SimConnector {
    simulation: Weak<Simulation>,
}

impl SimConnector {
    pub(super) fn new(simulation: &Arc<Simulation>) -> Self {
        Self { simulation: Arc::downgrade(simulation) }
    }

    /// The stream, or `None` for a connect that hangs.
    fn open(&self, addr: &NodeAddr) -> io::Result<Option<Box<dyn Transport>>> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let simulation = self.simulation.upgrade().ok_or_else(refused)?;
        let door = {
            let mut world = lock(&simulation.world);
            let at = world.node_at(addr).ok_or_else(refused)?;
            knock(&mut world, at)
        };
        match door {
            Door::Opened(id) => {
                let (near, far) = tokio::io::duplex(STREAM);
                simulation.spawn(serve(Arc::clone(&simulation.world), id, far));
                Ok(Some(Box::new(near)))
            }
            Door::Refused => Err(refused()),
            Door::Hangs => Ok(None),
        }
    }
}

impl fmt::Debug for SimConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimConnector")
    }
}

impl Connector for SimConnector {
    fn connect<'a>(&'a self, node: &'a NodeAddr) -> BoxFuture<'a, io::Result<Box<dyn Transport>>> {
        Box::pin(async move {
            match self.open(node)? {
                Some(stream) => Ok(stream),
                None => std::future::pending().await,
            }
        })
    }
}

/// A reserved port of loopback, and who listens on it.
pub(super) async fn bind() -> Result<(ReservedPort, TcpListener), SimError> {
    let port = ReservedPort::any().map_err(|error| SimError::Shape(error.to_string()))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.get())).await?;
    Ok((port, listener))
}

/// Listens for a node on loopback, except while it is dead: then connects are refused by the system itself.
pub(super) async fn listen(simulation: Weak<Simulation>, at: NodeIndex, first: TcpListener) {
    let Ok(addr) = first.local_addr() else { return };
    let Some(mut life) = simulation.upgrade().map(|all| lock(&all.world).node(at).is_alive.subscribe())
    else {
        return;
    };
    let mut listener = Some(first);
    loop {
        // The port is reserved, so that nobody else has it meanwhile; what is left of old connections may still hold
        // it for a moment.
        let Some(open) = &listener else {
            if life.wait_for(|is_alive| *is_alive).await.is_err() {
                return;
            }
            match TcpListener::bind(addr).await {
                Ok(bound) => listener = Some(bound),
                Err(_) => tokio::time::sleep(REBIND).await,
            }
            continue;
        };
        let accepted = tokio::select! {
            biased;
            dead = life.wait_for(|is_alive| !*is_alive) => {
                if dead.is_err() {
                    return;
                }
                None
            }
            accepted = open.accept() => Some(accepted),
        };
        match accepted {
            None => listener = None,
            Some(Ok((stream, _))) => {
                let Some(simulation) = simulation.upgrade() else { return };
                accept(&simulation, at, stream);
            }
            // Out of file descriptors, most likely; without a pause this would be a busy loop.
            Some(Err(_)) => tokio::time::sleep(REBIND).await,
        }
    }
}

fn accept(simulation: &Simulation, at: NodeIndex, stream: TcpStream) {
    let _best_effort = stream.set_nodelay(true);
    let door = knock(&mut lock(&simulation.world), at);
    match door {
        Door::Opened(id) => simulation.spawn(serve(Arc::clone(&simulation.world), id, stream)),
        // The system has accepted it already; closing it at once comes nearest.
        Door::Refused => drop(stream),
        Door::Hangs => simulation.spawn(async move {
            let _open = stream;
            std::future::pending().await
        }),
    }
}
