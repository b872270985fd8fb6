//! A pipeline of a million commands: what it holds beside its commands and their replies, counted.

#![expect(clippy::unwrap_used, reason = "tests report by panicking, in their helpers too")]

#[path = "../benches/fixed_peer/mod.rs"]
#[expect(dead_code, reason = "this client is made with another connector")]
mod fixed_peer;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use allocation_counter::measure;
use fixed_peer::FixedPeer;
use futures::future::BoxFuture;
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, Command, Connector, NodeAddr, Pipeline, Transport, Value};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const COUNT: usize = 1_000_000;

/// As much as a socket takes at once: a peer in memory would else hold what was written and so count twice.
const SOCKET: usize = 64 << 10;

/// A [`FixedPeer`] behind sockets.
#[derive(Debug)]
struct Peer(FixedPeer);

impl Connector for Peer {
    fn connect<'a>(&'a self, node: &'a NodeAddr) -> BoxFuture<'a, io::Result<Box<dyn Transport>>> {
        Box::pin(async move { Ok(Box::new(Socket(self.0.connect(node).await?)) as Box<dyn Transport>) })
    }
}

struct Socket(Box<dyn Transport>);

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let some = bytes.get(..SOCKET).unwrap_or(bytes);
        Pin::new(&mut self.0).poll_write(cx, some)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
        self.poll_write(cx, first)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// What a run of this pipeline takes at its peak, and what stays of it: the replies.
fn run(runtime: &tokio::runtime::Runtime, pipe: &Pipeline) -> (u64, u64, Vec<keyslot::Result<Value>>) {
    let mut results = Vec::new();
    let counted = measure(|| results = runtime.block_on(pipe.run_each()).unwrap());
    (counted.bytes_max, u64::try_from(counted.bytes_current).unwrap(), results)
}

fn connect(value: usize) -> (tokio::runtime::Runtime, Client) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connector = Peer(FixedPeer::new(value));
    let builder = Client::builder().seed(NodeAddr::new("10.0.0.1", 7000)).connector(connector);
    let client = runtime.block_on(builder.connect()).unwrap();
    (runtime, client)
}

/// What a run may take beside its commands and their replies: a batch of jobs, and the batch on the wire twice, as a buffer
/// that grows is for a moment.
const BESIDE: usize = 16 << 20;

/// The client's usual time is for one command; a busy machine takes longer for a million.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_million_commands_take_no_more_than_a_batch_beside_themselves_and_their_replies() {
    let (runtime, client) = connect(16);
    for (name, value) in [("GET", None), ("SET", Some(16)), ("SET", Some(1000))] {
        let value = value.map(|length| vec![b'v'; length]);
        let mut pipe = client.pipeline();
        pipe.timeout(PATIENCE);
        let count = if value.as_ref().is_some_and(|value| value.len() > 100) { COUNT / 5 } else { COUNT };
        for number in 0..count {
            let command = Command::new(name).key(format!("key:{number:06}"));
            pipe.push(value.iter().fold(command, |command, value| command.arg(value)));
        }
        let (peak, kept, results) = run(&runtime, &pipe);
        let failed = results.iter().find_map(|result| result.as_ref().err());
        assert!(results.len() == count && failed.is_none(), "{} results, {failed:?}", results.len());
        let beside = usize::try_from(peak - kept).unwrap();
        println!("{count} x {name}: {beside} bytes beside the {kept} that are kept");
        assert!(beside <= BESIDE, "{count} x {name} took {beside} bytes");
    }
}

/// On real servers: each reply is that of its own command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_commands_are_answered_in_order_by_real_servers() {
    let server = Server::named("valkey-9.1").unwrap();
    let cluster = LocalCluster::builder().server(server).primaries(3).start().await.unwrap();
    let client = Client::connect(cluster.url()).await.unwrap();
    let mut pipe = client.pipeline();
    pipe.timeout(PATIENCE);
    for number in 0..COUNT / 2 {
        pipe.set(format!("key:{number}"), number).get(format!("key:{number}"));
    }
    assert_eq!(pipe.len(), COUNT);
    let results = pipe.run_each().await.unwrap();
    assert_eq!(results.len(), COUNT);
    for (number, pair) in results.chunks(2).enumerate() {
        let [Ok(set), Ok(got)] = pair else { panic!("{number}: {pair:?}") };
        assert_eq!(set.as_str(), Some("OK"), "{number}");
        assert_eq!(got.as_str(), Some(number.to_string().as_str()), "{number}");
    }
    assert_eq!(client.stats().moved, 0);
    client.close().await;
}
