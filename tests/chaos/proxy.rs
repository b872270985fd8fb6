//! [`Proxy`]: a port before a port, whose connections are delayed, held up, cut or left half open at will.
//!
//! What it holds up, it sends on when the hold ends, as a network does that loses packets for a while: both systems repeat
//! them. What a caller sent before it closed its connection in an orderly way arrives too; what it sent before a reset
//! does not.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The head of a message of the cluster bus: its first bytes, and where the sender's id stands.
const BUS_MARK: &[u8] = b"RCmb";
const BUS_SENDER: std::ops::Range<usize> = 40..80;

/// What the line does now.
#[derive(Clone, Default)]
pub(crate) struct Line {
    /// Bytes to the server wait.
    pub(crate) holds_requests: bool,
    /// Bytes from the server wait.
    pub(crate) holds_replies: bool,
    /// New connections are reset at once.
    pub(crate) refuses: bool,
    /// Of the cluster bus: nodes whose messages wait, in both directions. By the id that they send, or by the address that
    /// they come from, if they have one of their own.
    pub(crate) barred: BTreeSet<String>,
    /// Every piece comes so much later.
    pub(crate) delay: Duration,
    /// Counts the times that all connections were reset.
    cuts: u64,
    /// Counts the times that the servers' sides of all connections were closed, and the callers' sides left open.
    orphans: u64,
}

impl Line {
    pub(crate) fn cut(&mut self) {
        self.cuts += 1;
    }

    pub(crate) fn orphan(&mut self) {
        self.orphans += 1;
    }

    /// As a healthy network.
    pub(crate) fn heal(&mut self) {
        let Self { cuts, orphans, .. } = *self;
        *self = Self { cuts, orphans, ..Self::default() };
    }

    fn holds(&self, way: Way, sender: Option<&str>) -> bool {
        let of_way = match way {
            Way::Request => self.holds_requests,
            Way::Reply => self.holds_replies,
        };
        of_way || sender.is_some_and(|sender| self.barred.contains(sender))
    }
}

#[derive(Clone, Copy)]
enum Way {
    Request,
    Reply,
}

pub(crate) struct Proxy {
    port: u16,
    line: Arc<watch::Sender<Line>>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Listens on a port of the system's choice, for the server on `port`.
    pub(crate) async fn before(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let own = listener.local_addr()?.port();
        let line = Arc::new(watch::Sender::new(Line::default()));
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let task = tokio::spawn(accept(listener, server, Arc::clone(&line)));
        Ok(Self { port: own, line, task })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn change(&self, how: impl FnOnce(&mut Line)) {
        self.line.send_modify(how);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, line: Arc<watch::Sender<Line>>) {
    // Aborted with the set when the proxy is dropped.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, from)) = accepted else { continue };
                let line = line.subscribe();
                if line.borrow().refuses {
                    reset(&client);
                } else {
                    connections.spawn(serve(client, from.ip(), server, line));
                }
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// The connection ends without what was not delivered.
fn reset(stream: &TcpStream) {
    // An error means that it has ended already.
    let _done = stream.set_zero_linger();
}

async fn serve(client: TcpStream, from: IpAddr, server: SocketAddr, mut line: watch::Receiver<Line>) {
    let Ok(server) = TcpStream::connect(server).await else {
        reset(&client);
        return;
    };
    let _no_delay = (client.set_nodelay(true), server.set_nodelay(true));
    let (cuts, orphans) = {
        let line = line.borrow();
        (line.cuts, line.orphans)
    };
    let (mut from_client, mut to_client) = client.into_split();
    let end = {
        let (mut from_server, mut to_server) = server.into_split();
        let sender = OnceLock::new();
        if from != IpAddr::V4(Ipv4Addr::LOCALHOST) {
            sender.get_or_init(|| from.to_string());
        }
        let (requests, replies) = (line.clone(), line.clone());
        let forth = pump(&mut from_client, &mut to_server, Way::Request, requests, &sender);
        let back = pump(&mut from_server, &mut to_client, Way::Reply, replies, &sender);
        tokio::select! {
            _ended = async { tokio::join!(forth, back) } => return,
            changed = line.wait_for(|line| line.cuts != cuts || line.orphans != orphans) => {
                changed.is_ok_and(|line| line.cuts == cuts)
            }
        }
    };
    if end {
        // Half open: nobody reads any more what the caller sends, and nobody says so, until the next cut.
        let mut rest = [0; 4096];
        tokio::select! {
            _cut = line.wait_for(|line| line.cuts != cuts) => {}
            () = async { while from_client.read(&mut rest).await.is_ok_and(|read| read > 0) {} } => {}
        }
    }
    reset(to_client.as_ref());
}

/// Passes on what comes, until it ends.
async fn pump(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    way: Way,
    mut line: watch::Receiver<Line>,
    sender: &OnceLock<String>,
) {
    let mut piece = vec![0; 32 << 10];
    loop {
        let read = from.read(&mut piece).await.unwrap_or(0);
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        if let Way::Request = way {
            sender.get_or_init(|| sender_of(bytes).unwrap_or_default());
        }
        let who = sender.get().map(String::as_str);
        let was_held = line.borrow().holds(way, who);
        if line.wait_for(|line| !line.holds(way, who)).await.is_err() {
            return;
        }
        // Who was reset meanwhile has nothing on its way any more.
        if was_held && !matches!(from.as_ref().take_error(), Ok(None)) {
            return;
        }
        let delay = line.borrow().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
    // The other direction may still have something.
    let _ended = to.shutdown().await;
}

/// The id of the node that sends this message of the cluster bus; `None` if it is none.
fn sender_of(bytes: &[u8]) -> Option<String> {
    bytes.strip_prefix(BUS_MARK)?;
    String::from_utf8(bytes.get(BUS_SENDER)?.to_vec()).ok()
}
