//! A cluster of 1000 primaries and 1000 replicas: what a client keeps of it, and what a refresh without news leaves alone.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests report by panicking, in their helpers too, where clippy.toml does not allow it by itself"
)]

mod large_cluster;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::BoxFuture;
use keyslot::internals::topology::Discoverer;
use keyslot::{Client, Command, Connector, NodeAddr, Role, Slot, Target, Transport};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use large_cluster::{LargeCluster, Layout, hostname};

/// Where the lists begin that the nodes give by turns.
const ORDERS: [usize; 4] = [0, 1, 500, 999];

/// All nodes of a cluster: each answers at once, in memory, from replies that all share.
#[derive(Clone)]
struct Nodes {
    /// One for each of [`ORDERS`].
    answers: Arc<[Vec<u8>]>,
    /// How often any of them was asked for the topology.
    asked: Arc<AtomicUsize>,
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nodes")
    }
}

impl Nodes {
    fn new(layout: Layout) -> Self {
        let cluster = LargeCluster::new(layout);
        Self { answers: ORDERS.map(|turn| cluster.rotated(turn).answers()).into(), asked: Arc::default() }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    async fn connect(&self) -> Client {
        let seed = NodeAddr::new(hostname(0), 6379);
        Client::builder().seed(seed).connector(self.clone()).connect().await.unwrap()
    }
}

impl Connector for Nodes {
    fn connect<'a>(&'a self, _: &'a NodeAddr) -> BoxFuture<'a, io::Result<Box<dyn Transport>>> {
        let stream =
            Stream { nodes: self.clone(), pending: Pending::Nothing, at: 0, on_its_way: false, reader: None };
        Box::pin(async move { Ok(Box::new(stream) as Box<dyn Transport>) })
    }
}

/// One connection. The client writes a handshake, a refresh or commands, and nothing before it has the replies.
struct Stream {
    nodes: Nodes,
    pending: Pending,
    at: usize,
    /// As with a socket, the reply is not there yet when the command has been written.
    on_its_way: bool,
    reader: Option<Waker>,
}

#[derive(Clone, Copy)]
enum Pending {
    Nothing,
    /// So many `+OK`.
    Ok(usize),
    /// The topology in this order.
    Topology(usize),
}

const OK: &[u8] = b"+OK\r\n";

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.pending = if bytes.windows(7).any(|word| word == b"CLUSTER") {
            Pending::Topology(self.nodes.asked.fetch_add(1, Ordering::Relaxed) % self.nodes.answers.len())
        } else {
            Pending::Ok(bytes.iter().filter(|byte| **byte == b'*').count())
        };
        self.at = 0;
        self.on_its_way = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.on_its_way) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let rest = match self.pending {
            Pending::Nothing => &[],
            Pending::Ok(count) if self.at < count => OK,
            Pending::Ok(_) => &[],
            Pending::Topology(turn) => &self.nodes.answers[turn][self.at..],
        };
        if rest.is_empty() {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let taken = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..taken]);
        self.at += if let Pending::Ok(_) = self.pending { 1 } else { taken };
        Poll::Ready(Ok(()))
    }
}

/// On one thread, whose allocations are counted, and a paused clock.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// What the whole of a client may keep.
const BOUND: i64 = 30 << 20;

/// Bytes that `work` has allocated and not freed. The connections in memory count too, although a client has none.
fn kept(work: impl FnOnce()) -> i64 {
    allocation_counter::measure(work).bytes_current
}

/// Longer than a link keeps the buffers that it does not need, shorter than the time between two refreshes.
const A_WHILE: Duration = Duration::from_secs(2);

async fn ping(client: &Client, node: &NodeAddr) {
    client.execute::<()>(Command::new("PING").to(Target::Node(node.clone()))).await.unwrap();
}

#[test]
fn a_client_of_two_thousand_nodes_with_a_link_to_each_primary_keeps_less_than_thirty_mebibytes() {
    for layout in [Layout::Contiguous, Layout::Fragmented] {
        let (runtime, nodes) = (runtime(), Nodes::new(layout));
        let mut client = None;
        let connected = kept(|| client = Some(runtime.block_on(nodes.connect())));
        let client = client.unwrap();
        assert_eq!((client.slot_map().nodes().len(), client.slot_map().shards().count()), (2000, 1000));
        let used = kept(|| {
            runtime.block_on(async {
                for node in client.slot_map().nodes().iter().filter(|node| node.role == Role::Primary) {
                    ping(&client, &node.addr).await;
                }
            });
        });
        assert_eq!(client.stats().connects, 1000);
        assert!(connected + used < BOUND, "{layout:?}: {connected} connected and {used} for the links");
    }
}

#[test]
fn links_that_are_idle_hold_no_buffers_so_all_two_thousand_fit_as_well() {
    let (runtime, nodes) = (runtime(), Nodes::new(Layout::Contiguous));
    let mut client = None;
    let connected = kept(|| client = Some(runtime.block_on(nodes.connect())));
    let client = client.unwrap();
    let used = kept(|| {
        runtime.block_on(async {
            for node in client.slot_map().nodes() {
                ping(&client, &node.addr).await;
            }
            sleep(A_WHILE).await;
        });
    });
    assert_eq!(client.stats().connects, 2000);
    // A third of it are the round trips of each node, 3.4 KiB.
    assert!(connected + used < BOUND * 2 / 3, "{connected} connected and {used} for the links");
}

#[test]
fn a_refresh_that_brings_no_change_installs_no_new_map() {
    for layout in [Layout::Contiguous, Layout::Fragmented] {
        let nodes = Nodes::new(layout);
        runtime().block_on(async {
            let client = nodes.connect().await;
            let (map, before) = (client.slot_map(), client.stats());
            while client.stats().refreshes < before.refreshes + 2 {
                sleep(A_WHILE).await;
            }
            sleep(A_WHILE).await;
            assert!(nodes.asked() > ORDERS.len(), "each order was seen");
            assert!(Arc::ptr_eq(&map, &client.slot_map()), "{layout:?}");
            assert_eq!(client.stats().map_changes, before.map_changes);
        });
    }
}

#[test]
fn a_refresh_that_brings_a_change_installs_it_once_however_many_nodes_tell_it() {
    let runtime = runtime();
    let _inside = runtime.enter();
    let cluster = LargeCluster::new(Layout::Fragmented);
    let view = |cluster: LargeCluster| Discoverer::view(&cluster.answers()).unwrap();
    let discoverer = Discoverer::new();
    let views =
        |cluster: LargeCluster| ORDERS.iter().take(3).map(move |turn| view(cluster.rotated(*turn))).collect();
    assert!(discoverer.refresh(views(cluster)));
    let first = discoverer.slot_map();
    assert!(discoverer.refresh(views(cluster)));
    assert!(Arc::ptr_eq(&first, &discoverer.slot_map()));
    let moved = LargeCluster { moved: Some((5, 900)), ..cluster };
    assert!(discoverer.refresh(views(moved)));
    let second = discoverer.slot_map();
    assert!(!Arc::ptr_eq(&first, &second));
    let owner = second.primary_of(Slot::new(5).unwrap()).unwrap();
    assert_eq!(owner.addr.host(), hostname(900));
    assert!(discoverer.refresh(views(moved)));
    assert!(Arc::ptr_eq(&second, &discoverer.slot_map()));
}
