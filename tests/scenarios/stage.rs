//! [`Stage`]: what a scenario can do to a cluster, simulated or real.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use keyslot::testkit::sim::{Profile, Step};
use keyslot::testkit::{LocalCluster, Server, SimCluster};
use keyslot::{Client, ClientBuilder, Connector, NodeAddr, Slot, SlotMap, Transport};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, sleep};

use super::wire::{Frame, parse};

/// `cluster-node-timeout`: a replica takes over after about twice this time.
const NODE_TIMEOUT: Duration = Duration::from_secs(1);

/// For what is sure to come.
const EVENT: Duration = Duration::from_secs(20);

/// Three primaries with a replica each.
pub(crate) trait Stage {
    fn profile(&self) -> Profile;
    fn url(&self) -> String;
    fn network(&self) -> &Network;
    fn nodes(&self) -> Vec<NodeAddr>;
    async fn primary_of(&self, slot: Slot) -> NodeAddr;
    async fn replica_of(&self, primary: &NodeAddr) -> NodeAddr;
    fn kill(&self, node: &NodeAddr);
    async fn restart(&self, node: &NodeAddr);
    fn stop(&self, node: &NodeAddr);
    fn cont(&self, node: &NodeAddr);
    async fn open_slot(&self, slot: Slot, from: &NodeAddr, to: &NodeAddr);
    /// Moves at most so many keys of an open slot.
    async fn migrate_keys(&self, slot: Slot, from: &NodeAddr, to: &NodeAddr, most: usize);
    async fn close_slot(&self, slot: Slot, from: &NodeAddr, to: &NodeAddr);
    /// Waits until all nodes that run find the cluster well.
    async fn settled(&self);

    /// Moves what is left of an open slot.
    async fn finish(&self, slot: Slot, from: &NodeAddr, to: &NodeAddr) {
        self.migrate_keys(slot, from, to, usize::MAX).await;
        self.close_slot(slot, from, to).await;
    }

    /// A client of the cluster, to be told more.
    fn builder(&self) -> ClientBuilder {
        Client::builder().url(&self.url()).connector(self.network().clone())
    }

    async fn client(&self) -> Client {
        self.builder().command_timeout(EVENT).connect().await.unwrap()
    }

    /// What a node answers to the last of these lines, past the client.
    async fn ask(&self, node: &NodeAddr, lines: &[&str]) -> Frame {
        let mut stream = self.network().inner.connect(node).await.unwrap();
        let mut buffer = Vec::new();
        let mut reply = None;
        for line in lines {
            let words = line.split(' ').map(|word| Frame::Bulk(b'$', Some(word.as_bytes().to_vec())));
            stream.write_all(&Frame::Many(b'*', Some(words.collect())).encoded()).await.unwrap();
            let (frame, length) = loop {
                match parse(&buffer).unwrap() {
                    Some(whole) => break whole,
                    None => assert!(stream.read_buf(&mut buffer).await.unwrap() > 0, "{node} ends at {line}"),
                }
            };
            buffer.drain(..length);
            reply = Some(frame);
        }
        reply.unwrap()
    }

    /// The same; an error or what does not contain this is a panic.
    async fn ask_for(&self, node: &NodeAddr, lines: &[&str], wanted: &str) {
        let reply = self.ask(node, lines).await.shown();
        assert!(reply.contains(wanted), "{node} answers {lines:?} with {reply}, not {wanted}");
    }

    /// Waits until the node's reply to the last of these lines contains this.
    async fn until_says(&self, node: &NodeAddr, lines: &[&str], wanted: &str) {
        until(&format!("{node} answers {lines:?} with {wanted}"), async || {
            self.ask(node, lines).await.shown().contains(wanted).then_some(())
        })
        .await;
    }
}

/// Looks until there is something to see.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + EVENT;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited {EVENT:?} for this: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// The primaries in the order of their slots.
pub(crate) fn primaries(map: &SlotMap) -> Vec<NodeAddr> {
    let mut nodes: Vec<NodeAddr> = Vec::new();
    for owner in Slot::all().filter_map(|slot| map.primary_of(slot)) {
        if !nodes.contains(&owner.addr) {
            nodes.push(owner.addr.clone());
        }
    }
    nodes
}

/// The `{tag}` of keys that the node serves; another salt, another tag.
pub(crate) fn tag_at(map: &SlotMap, node: &NodeAddr, salt: &str) -> String {
    (0..10_000)
        .map(|number| format!("{salt}{number}"))
        .find(|tag| map.primary_of(Slot::of_key(tag.as_bytes())).is_some_and(|owner| owner.addr == *node))
        .unwrap()
}

/// The network of a stage; knows what clients have sent through it.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    inner: Arc<dyn Connector>,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Network {
    fn new(inner: impl Connector + 'static) -> Self {
        Self { inner: Arc::new(inner), sent: Arc::default() }
    }

    /// Whether a client has put this on a connection.
    pub(crate) fn has_sent(&self, text: &str) -> bool {
        self.sent.lock().unwrap().windows(text.len()).any(|window| window == text.as_bytes())
    }
}

impl Connector for Network {
    fn connect<'a>(&'a self, node: &'a NodeAddr) -> BoxFuture<'a, io::Result<Box<dyn Transport>>> {
        async move {
            let inner = self.inner.connect(node).await?;
            Ok(Box::new(Seen { inner, sent: Arc::clone(&self.sent) }) as Box<dyn Transport>)
        }
        .boxed()
    }
}

/// A connection whose outgoing bytes are noted.
struct Seen {
    inner: Box<dyn Transport>,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Seen {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, to)
    }
}

impl AsyncWrite for Seen {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, from);
        if let Poll::Ready(Ok(count)) = &written {
            self.sent.lock().unwrap().extend_from_slice(&from[..*count]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[derive(Debug)]
struct Tcp;

impl Connector for Tcp {
    fn connect<'a>(&'a self, node: &'a NodeAddr) -> BoxFuture<'a, io::Result<Box<dyn Transport>>> {
        async move {
            let stream = tokio::net::TcpStream::connect((node.host(), node.port())).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Transport>)
        }
        .boxed()
    }
}

/// A simulated cluster in memory.
pub(crate) struct Simulated {
    cluster: SimCluster,
    profile: Profile,
    network: Network,
}

impl Simulated {
    pub(crate) fn start(profile: Profile) -> Self {
        let builder = SimCluster::builder().replicas(1).profile(profile).node_timeout(NODE_TIMEOUT);
        let cluster = builder.start_in_memory().unwrap();
        let network = Network::new(cluster.connector());
        Self { cluster, profile, network }
    }

    fn perform(&self, step: Step) {
        self.cluster.perform(step).unwrap();
    }
}

impl Stage for Simulated {
    fn profile(&self) -> Profile {
        self.profile
    }

    fn url(&self) -> String {
        self.cluster.url()
    }

    fn network(&self) -> &Network {
        &self.network
    }

    fn nodes(&self) -> Vec<NodeAddr> {
        self.cluster.nodes()
    }

    async fn primary_of(&self, slot: Slot) -> NodeAddr {
        self.cluster.primary_of(slot).unwrap()
    }

    async fn replica_of(&self, primary: &NodeAddr) -> NodeAddr {
        self.cluster.replicas_of(primary).remove(0)
    }

    fn kill(&self, node: &NodeAddr) {
        self.perform(Step::Kill(node.clone()));
    }

    async fn restart(&self, node: &NodeAddr) {
        self.perform(Step::Restart(node.clone()));
    }

    fn stop(&self, node: &NodeAddr) {
        self.perform(Step::Stop(node.clone()));
    }

    fn cont(&self, node: &NodeAddr) {
        self.perform(Step::Continue(node.clone()));
    }

    async fn open_slot(&self, slot: Slot, _: &NodeAddr, to: &NodeAddr) {
        self.perform(Step::OpenSlot(slot, to.clone()));
    }

    async fn migrate_keys(&self, slot: Slot, _: &NodeAddr, _: &NodeAddr, most: usize) {
        self.perform(Step::MigrateKeys(slot, most));
    }

    async fn close_slot(&self, slot: Slot, _: &NodeAddr, _: &NodeAddr) {
        self.perform(Step::CloseSlot(slot));
    }

    async fn settled(&self) {
        for node in self.nodes() {
            self.until_says(&node, &["CLUSTER INFO"], "cluster_state:ok").await;
        }
    }
}

/// A cluster of real servers.
pub(crate) struct Real {
    cluster: LocalCluster,
    profile: Profile,
    network: Network,
}

impl Real {
    pub(crate) async fn start(server: Server, profile: Profile) -> Self {
        let builder = LocalCluster::builder().replicas(1).server(server).node_timeout(NODE_TIMEOUT);
        Self { cluster: builder.start().await.unwrap(), profile, network: Network::new(Tcp) }
    }
}

impl Stage for Real {
    fn profile(&self) -> Profile {
        self.profile
    }

    fn url(&self) -> String {
        self.cluster.url()
    }

    fn network(&self) -> &Network {
        &self.network
    }

    fn nodes(&self) -> Vec<NodeAddr> {
        self.cluster.nodes()
    }

    async fn primary_of(&self, slot: Slot) -> NodeAddr {
        self.cluster.primary_of(slot).await.unwrap()
    }

    async fn replica_of(&self, primary: &NodeAddr) -> NodeAddr {
        self.cluster.replicas_of(primary).await.unwrap().remove(0)
    }

    fn kill(&self, node: &NodeAddr) {
        self.cluster.kill(node).unwrap();
    }

    async fn restart(&self, node: &NodeAddr) {
        self.cluster.restart(node).await.unwrap();
    }

    fn stop(&self, node: &NodeAddr) {
        self.cluster.stop(node).unwrap();
    }

    fn cont(&self, node: &NodeAddr) {
        self.cluster.cont(node).unwrap();
    }

    async fn open_slot(&self, slot: Slot, from: &NodeAddr, to: &NodeAddr) {
        self.cluster.open_slot(slot, from, to).await.unwrap();
    }

    async fn migrate_keys(&self, slot: Slot, from: &NodeAddr, to: &NodeAddr, most: usize) {
        self.cluster.migrate_keys(slot, from, to, most).await.unwrap();
    }

    async fn close_slot(&self, slot: Slot, from: &NodeAddr, to: &NodeAddr) {
        self.cluster.close_slot(slot, from, to).await.unwrap();
    }

    async fn settled(&self) {
        self.cluster.wait_until_ok().await.unwrap();
    }
}
