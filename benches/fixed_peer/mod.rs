//! A cluster of three primaries that costs next to nothing: its nodes answer in the client's own task, from memory.
//!
//! What a bench measures over it is the client. No server competes for the processor, no system call is made, and
//! nothing depends on when bytes happen to arrive: the same run takes the same steps every time.

use std::fmt::Write;
use std::future::ready;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::future::BoxFuture;
use keyslot::{Client, Connector, Error, NodeAddr, Transport};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const NODES: u16 = 3;

/// Answers each `GET` and each key of an `MGET` with the same value, and whatever it does not know with `+OK`.
#[derive(Debug)]
pub(crate) struct FixedPeer {
    got: Arc<[u8]>,
}

impl FixedPeer {
    /// One whose values have this many bytes.
    pub(crate) fn new(value: usize) -> Self {
        Self { got: format!("${value}\r\n{}\r\n", "v".repeat(value)).into_bytes().into() }
    }

    /// A client that has found all nodes.
    pub(crate) async fn client(self) -> Result<Client, Error> {
        Client::builder().seed(address(0)).connector(self).connect().await
    }
}

fn address(node: u16) -> NodeAddr {
    NodeAddr::new("10.0.0.1", 7000 + node)
}

impl Connector for FixedPeer {
    fn connect<'a>(&'a self, _node: &'a NodeAddr) -> BoxFuture<'a, io::Result<Box<dyn Transport>>> {
        let stream = Stream { got: Arc::clone(&self.got), ..Stream::default() };
        Box::pin(ready(Ok(Box::new(stream) as Box<dyn Transport>)))
    }
}

#[derive(Default)]
struct Stream {
    got: Arc<[u8]>,
    commands: Vec<u8>,
    replies: Vec<u8>,
    /// How much of the replies was read.
    read: usize,
    /// Replies have come since they were last asked for.
    is_news: bool,
    reader: Option<Waker>,
}

impl Stream {
    fn take(&mut self, bytes: &[u8]) {
        self.commands.extend_from_slice(bytes);
    }

    /// Answers the commands that are whole.
    fn answer(&mut self) {
        let mut at = 0;
        while let Some((name, args, length)) = command(self.commands.get(at..).unwrap_or_default()) {
            at += length;
            match name {
                b"GET" => self.replies.extend_from_slice(&self.got),
                b"MGET" => {
                    self.replies.extend_from_slice(format!("*{}\r\n", args - 1).as_bytes());
                    (1..args).for_each(|_| self.replies.extend_from_slice(&self.got));
                }
                b"HELLO" => self.replies.extend_from_slice(b"%1\r\n+proto\r\n:3\r\n"),
                b"CLUSTER" => self.replies.extend_from_slice(cluster(&self.commands, at - length).as_bytes()),
                // With what was sent along, which stands behind the name just as it does in the reply.
                b"PING" => {
                    let whole = self.commands.get(at - length..at).unwrap_or_default();
                    let echo = whole.get("*2\r\n$4\r\nPING\r\n".len()..).filter(|echo| !echo.is_empty());
                    self.replies.extend_from_slice(echo.unwrap_or(b"+PONG\r\n"));
                }
                _other => self.replies.extend_from_slice(b"+OK\r\n"),
            }
        }
        self.commands.drain(..at);
        self.is_news = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// The name of the command at the front of `bytes`, how many arguments it has with that, and its length; `None` if it is
/// not whole.
fn command(bytes: &[u8]) -> Option<(&[u8], usize, usize)> {
    let (args, mut at) = header(bytes, 0)?;
    let mut name = None;
    for _ in 0..args {
        let (length, start) = header(bytes, at)?;
        at = start + length + 2;
        let arg = bytes.get(start..at)?.get(..length)?;
        name = name.or(Some(arg));
    }
    name.map(|name| (name, args, at))
}

/// The number in the line at `at`, and where the next line begins.
fn header(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let line = bytes.get(at + 1..)?;
    let mut number = 0;
    for (place, byte) in line.iter().enumerate() {
        match byte {
            b'0'..=b'9' => number = number * 10 + usize::from(byte - b'0'),
            _end => return Some((number, at + place + 3)),
        }
    }
    None
}

/// The reply to the `CLUSTER` command at this place.
fn cluster(commands: &[u8], at: usize) -> String {
    let asked = commands.get(at..).unwrap_or_default();
    if asked.windows(5).any(|word| word == b"SLOTS") {
        slots().unwrap_or_default()
    } else if asked.windows(4).any(|word| word == b"INFO") {
        "$23\r\ncluster_current_epoch:1\r\n".to_owned()
    } else {
        "-ERR Unknown subcommand or wrong number of arguments for 'SHARDS'.\r\n".to_owned()
    }
}

fn slots() -> Result<String, std::fmt::Error> {
    let mut reply = format!("*{NODES}\r\n");
    for node in 0..NODES {
        let (first, last) = (16384 * u32::from(node) / 3, 16384 * u32::from(node + 1) / 3 - 1);
        let address = address(node);
        let (host, port) = (address.host(), address.port());
        write!(reply, "*3\r\n:{first}\r\n:{last}\r\n")?;
        write!(reply, "*3\r\n${}\r\n{host}\r\n:{port}\r\n$40\r\n{node:040}\r\n", host.len())?;
    }
    Ok(reply)
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // As from a socket: what was written is answered a turn of the run queue later, not within the write's.
        if std::mem::take(&mut self.is_news) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let unread = self.replies.get(self.read..).unwrap_or_default();
        let now = unread.get(..buffer.remaining()).unwrap_or(unread);
        if now.is_empty() {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buffer.put_slice(now);
        self.read += now.len();
        if self.read == self.replies.len() {
            self.replies.clear();
            self.read = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.take(bytes);
        self.answer();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        slices.iter().for_each(|slice| self.take(slice));
        self.answer();
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
