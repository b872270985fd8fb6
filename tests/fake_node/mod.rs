//! A scripted cluster without servers: nodes that record what they receive and answer as the test says.
//!
//! It is a [`Connector`] over streams in memory, so the tests run on a paused clock and wait for nothing. What a
//! script leaves alone, a node answers as a healthy server would: the handshake, the topology, `+OK` to the rest.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::future::BoxFuture;
use keyslot::{ClientBuilder, Connector, NodeAddr, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;

/// Bytes that the stream to a node holds unless the test says otherwise: like a socket's buffer.
const STREAM: usize = 64 << 10;

/// What a node does about one command.
pub(crate) enum Answer {
    /// As a healthy server.
    Usual,
    Reply(Vec<u8>),
    /// Nothing, and goes on with the next command.
    Swallow,
    /// The same after a time, during which the connection is silent.
    Late(Duration, Vec<u8>),
    /// Closes the gate of the node, and replies this once it is opened again.
    Hold(Vec<u8>),
    /// These bytes, then the end of the connection.
    Close(Vec<u8>),
}

/// One command as a node has received it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) args: Vec<Vec<u8>>,
    /// Which connection of the node it came on, from 0.
    pub(crate) connection: usize,
    /// How many times this node has received the same name before.
    pub(crate) nth: usize,
}

impl Call {
    /// All arguments as text.
    pub(crate) fn line(&self) -> String {
        let words: Vec<String> =
            self.args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
        words.join(" ")
    }

    /// The first word, and the second of `CLUSTER` and `CLIENT`.
    pub(crate) fn name(&self) -> String {
        let words = if matches!(self.word(0).as_str(), "CLUSTER" | "CLIENT") { 2 } else { 1 };
        (0..words).map(|place| self.word(place)).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn word(&self, place: usize) -> String {
        self.args.get(place).map(|arg| String::from_utf8_lossy(arg).into_owned()).unwrap_or_default()
    }

    /// Whether it is of the handshake or the refresh, which tests seldom mean.
    fn is_overhead(&self) -> bool {
        matches!(self.word(0).as_str(), "HELLO" | "CLUSTER" | "CLIENT" | "AUTH")
    }
}

type Script = Box<dyn FnMut(&Call) -> Answer + Send>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    Refusing,
    /// A connect never ends.
    Hanging,
}

/// One node.
#[derive(Clone)]
pub(crate) struct FakeNode(Arc<NodeShared>);

struct NodeShared {
    addr: NodeAddr,
    state: Mutex<NodeState>,
    /// Closed (false), no byte is read and none is answered.
    gate: watch::Sender<bool>,
    /// Counts the times that all connections were cut.
    cuts: watch::Sender<usize>,
    /// How many commands were received; for those who wait for one.
    received: watch::Sender<usize>,
}

struct NodeState {
    door: Door,
    script: Option<Script>,
    calls: Vec<Call>,
    counts: HashMap<String, usize>,
    /// Raw bytes, by connection.
    bytes: Vec<Vec<u8>>,
    /// Bytes that one write of a reply has at most.
    chunk: usize,
    stream: usize,
    /// After so many bytes of commands behind the handshake no more is read, and the connection is cut.
    reads_only: Option<usize>,
}

impl FakeNode {
    pub(crate) fn addr(&self) -> &NodeAddr {
        &self.0.addr
    }

    fn state(&self) -> MutexGuard<'_, NodeState> {
        self.0.state.lock().unwrap()
    }

    /// From now on `script` says what is answered.
    pub(crate) fn answers(&self, script: impl FnMut(&Call) -> Answer + Send + 'static) {
        self.state().script = Some(Box::new(script));
    }

    /// Replies leave in pieces of this size.
    pub(crate) fn replies_in_chunks(&self, bytes: usize) {
        self.state().chunk = bytes;
    }

    /// New connections hold so many bytes that were not read yet.
    pub(crate) fn holds(&self, bytes: usize) {
        self.state().stream = bytes;
    }

    /// New connections are cut when so many bytes behind the handshake have been read; the rest is never read.
    pub(crate) fn reads_only(&self, bytes: Option<usize>) {
        self.state().reads_only = bytes;
    }

    pub(crate) fn refuses(&self) {
        self.state().door = Door::Refusing;
    }

    pub(crate) fn hangs(&self) {
        self.state().door = Door::Hanging;
    }

    pub(crate) fn accepts(&self) {
        self.state().door = Door::Open;
    }

    /// Reads and answers nothing any more, until the gate is opened.
    pub(crate) fn shut_gate(&self) {
        self.0.gate.send_replace(false);
    }

    pub(crate) fn open_gate(&self) {
        self.0.gate.send_replace(true);
    }

    /// Ends all connections that there are.
    pub(crate) fn cut(&self) {
        self.0.cuts.send_modify(|cuts| *cuts += 1);
    }

    pub(crate) fn connections(&self) -> usize {
        self.state().bytes.len()
    }

    /// What was received on one connection, byte by byte.
    pub(crate) fn bytes(&self, connection: usize) -> Vec<u8> {
        self.state().bytes.get(connection).cloned().unwrap_or_default()
    }

    /// The commands without handshake and topology, in the order in which they came.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state().calls.iter().filter(|call| !call.is_overhead()).cloned().collect()
    }

    /// The same as text.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.calls().iter().map(Call::line).collect()
    }

    /// How many commands of this name came.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.state().counts.get(name).copied().unwrap_or_default()
    }

    /// Resolves when `count` commands of this name have come.
    pub(crate) async fn until(&self, name: &str, count: usize) {
        let mut received = self.0.received.subscribe();
        while self.count(name) < count {
            received.changed().await.unwrap();
        }
    }

    fn note(&self, connection: usize, args: Vec<Vec<u8>>) -> Call {
        let mut state = self.state();
        let mut call = Call { args, connection, nth: 0 };
        let count = state.counts.entry(call.name()).or_default();
        call.nth = *count;
        *count += 1;
        state.calls.push(call.clone());
        drop(state);
        self.0.received.send_modify(|received| *received += 1);
        call
    }

    fn answer_to(&self, call: &Call, cluster: &FakeCluster) -> Answer {
        let mut state = self.state();
        let answer = state.script.as_mut().map_or(Answer::Usual, |script| script(call));
        drop(state);
        let Answer::Usual = answer else { return answer };
        Answer::Reply(match call.name().as_str() {
            "HELLO" => b"%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n".to_vec(),
            "CLUSTER SLOTS" => cluster.slots(),
            "CLUSTER SHARDS" => error("ERR Unknown subcommand or wrong number of arguments for 'SHARDS'."),
            "CLUSTER INFO" => bulk(&format!("cluster_current_epoch:{}\r\n", cluster.epoch())),
            "PING" => b"+PONG\r\n".to_vec(),
            "GET" | "ECHO" => bulk(&call.word(1)),
            "MGET" => array(call.args.iter().skip(1).map(|key| bulk(&String::from_utf8_lossy(key)))),
            _ => b"+OK\r\n".to_vec(),
        })
    }

    async fn serve(self, cluster: FakeCluster, stream: DuplexStream, connection: usize) {
        let mut cuts = self.0.cuts.subscribe();
        tokio::select! {
            biased;
            _cut = cuts.changed() => {}
            _end = self.converse(&cluster, stream, connection) => {}
        }
    }

    /// Reads commands and answers them until either side ends it.
    async fn converse(
        &self,
        cluster: &FakeCluster,
        mut stream: DuplexStream,
        connection: usize,
    ) -> io::Result<()> {
        let mut gate = self.0.gate.subscribe();
        let mut parser = Parser::default();
        let mut greeted_at: Option<usize> = None;
        loop {
            gate.wait_for(|open| *open).await.map_err(io::Error::other)?;
            let mut buffer = [0_u8; 4096];
            let reads_only = self.state().reads_only;
            let room = match (reads_only, greeted_at) {
                (Some(most), Some(from)) => (most + from - parser.received).min(buffer.len()),
                (Some(_) | None, _) => buffer.len(),
            };
            if room == 0 {
                return Ok(());
            }
            let mut shut = self.0.gate.subscribe();
            let read = tokio::select! {
                biased;
                _shut = shut.wait_for(|open| !open) => continue,
                read = stream.read(buffer.get_mut(..room).unwrap_or_default()) => read?,
            };
            if read == 0 {
                return Ok(());
            }
            let bytes = buffer.get(..read).unwrap_or_default();
            if let Some(record) = self.state().bytes.get_mut(connection) {
                record.extend_from_slice(bytes);
            }
            parser.feed(bytes);
            while let Some(args) = parser.next() {
                let call = self.note(connection, args);
                let answer = self.answer_to(&call, cluster);
                match answer {
                    Answer::Usual | Answer::Swallow => {}
                    Answer::Reply(reply) => self.write(&mut stream, &reply).await?,
                    Answer::Late(delay, reply) => {
                        tokio::time::sleep(delay).await;
                        self.write(&mut stream, &reply).await?;
                    }
                    Answer::Hold(reply) => {
                        self.shut_gate();
                        gate.wait_for(|open| *open).await.map_err(io::Error::other)?;
                        self.write(&mut stream, &reply).await?;
                    }
                    Answer::Close(reply) => {
                        self.write(&mut stream, &reply).await?;
                        return Ok(());
                    }
                }
            }
            // The client sends its handshake alone and waits for the replies: what comes now is commands.
            if greeted_at.is_none() && parser.is_empty() {
                greeted_at = Some(parser.received);
            }
        }
    }

    async fn write(&self, stream: &mut DuplexStream, reply: &[u8]) -> io::Result<()> {
        let chunk = self.state().chunk;
        for piece in reply.chunks(chunk) {
            stream.write_all(piece).await?;
            if reply.len() > chunk {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}

/// All nodes, and what they say of the slots.
#[derive(Clone)]
pub(crate) struct FakeCluster(Arc<ClusterShared>);

struct ClusterShared {
    nodes: Mutex<Vec<FakeNode>>,
    view: Mutex<(u64, Vec<u8>)>,
}

impl fmt::Debug for FakeCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeCluster")
    }
}

impl FakeCluster {
    pub(crate) fn new() -> Self {
        Self(Arc::new(ClusterShared { nodes: Mutex::default(), view: Mutex::new((1, array([]))) }))
    }

    /// One node `a:1` that serves every slot.
    pub(crate) fn of_one() -> (Self, FakeNode) {
        let cluster = Self::new();
        let a = cluster.node("a", 1);
        cluster.view(1, &[(0, 16383, &a)]);
        (cluster, a)
    }

    /// `a:1` with the lower half of the slots (key "bar") and `b:2` with the upper one (key "foo").
    pub(crate) fn of_two() -> (Self, FakeNode, FakeNode) {
        let cluster = Self::new();
        let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
        cluster.view(1, &[(0, 8191, &a), (8192, 16383, &b)]);
        (cluster, a, b)
    }

    pub(crate) fn node(&self, host: &str, port: u16) -> FakeNode {
        let node = FakeNode(Arc::new(NodeShared {
            addr: NodeAddr::new(host, port),
            state: Mutex::new(NodeState {
                door: Door::Open,
                script: None,
                calls: Vec::new(),
                counts: HashMap::new(),
                bytes: Vec::new(),
                chunk: usize::MAX,
                stream: STREAM,
                reads_only: None,
            }),
            gate: watch::Sender::new(true),
            cuts: watch::Sender::new(0),
            received: watch::Sender::new(0),
        }));
        self.0.nodes.lock().unwrap().push(node.clone());
        node
    }

    /// What all nodes say from now on, unless their scripts say something else.
    pub(crate) fn view(&self, epoch: u64, ranges: &[(u16, u16, &FakeNode)]) {
        *self.0.view.lock().unwrap() = (epoch, slots(ranges));
    }

    fn slots(&self) -> Vec<u8> {
        self.0.view.lock().unwrap().1.clone()
    }

    fn epoch(&self) -> u64 {
        self.0.view.lock().unwrap().0
    }

    /// A builder that connects to this cluster by its first node.
    pub(crate) fn builder(&self) -> ClientBuilder {
        let seed = self.0.nodes.lock().unwrap().first().unwrap().addr().clone();
        ClientBuilder::new().seed(seed).connector(self.clone())
    }

    /// How often any node was asked for the topology.
    pub(crate) fn refreshes(&self) -> usize {
        self.0.nodes.lock().unwrap().iter().map(|node| node.count("CLUSTER SLOTS")).sum()
    }
}

impl Connector for FakeCluster {
    fn connect<'a>(&'a self, node: &'a NodeAddr) -> BoxFuture<'a, io::Result<Box<dyn Transport>>> {
        Box::pin(async move {
            let found = self.0.nodes.lock().unwrap().iter().find(|known| known.addr() == node).cloned();
            let Some(known) = found else { return Err(io::ErrorKind::ConnectionRefused.into()) };
            let door = known.state().door;
            match door {
                Door::Refusing => return Err(io::ErrorKind::ConnectionRefused.into()),
                Door::Hanging => std::future::pending().await,
                Door::Open => {}
            }
            let (near, far, connection) = {
                let mut state = known.state();
                state.bytes.push(Vec::new());
                let (near, far) = tokio::io::duplex(state.stream);
                (near, far, state.bytes.len() - 1)
            };
            tokio::spawn(known.serve(self.clone(), far, connection));
            Ok(Box::new(near) as Box<dyn Transport>)
        })
    }
}

/// Takes commands apart, at any split of the bytes.
#[derive(Default)]
pub(crate) struct Parser {
    buffer: VecDeque<u8>,
    received: usize,
}

impl Parser {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.received += bytes.len();
        self.buffer.extend(bytes);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next whole command.
    pub(crate) fn next(&mut self) -> Option<Vec<Vec<u8>>> {
        let bytes = self.buffer.make_contiguous();
        let mut at = 0;
        let count = header(bytes, &mut at, b'*')?;
        let mut args = Vec::with_capacity(count);
        for _ in 0..count {
            let length = header(bytes, &mut at, b'$')?;
            args.push(bytes.get(at..at + length)?.to_vec());
            bytes.get(at + length..at + length + 2)?;
            at += length + 2;
        }
        self.buffer.drain(..at);
        Some(args)
    }
}

fn header(bytes: &[u8], at: &mut usize, kind: u8) -> Option<usize> {
    let rest = bytes.get(*at..)?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    assert_eq!(rest.first(), Some(&kind), "not a command: {:?}", String::from_utf8_lossy(rest));
    *at += end + 2;
    Some(String::from_utf8_lossy(rest.get(1..end)?).parse().unwrap())
}

pub(crate) fn bulk(text: &str) -> Vec<u8> {
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

pub(crate) fn int(number: i64) -> Vec<u8> {
    format!(":{number}\r\n").into_bytes()
}

pub(crate) fn error(text: &str) -> Vec<u8> {
    format!("-{text}\r\n").into_bytes()
}

pub(crate) fn array(items: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let items: Vec<Vec<u8>> = items.into_iter().collect();
    let mut out = format!("*{}\r\n", items.len()).into_bytes();
    out.extend(items.concat());
    out
}

/// A reply to `CLUSTER SLOTS`.
pub(crate) fn slots(ranges: &[(u16, u16, &FakeNode)]) -> Vec<u8> {
    array(ranges.iter().map(|(first, last, node)| {
        let addr = node.addr();
        let id = format!("{:0>40}", addr.port());
        let entry = array([bulk(addr.host()), int(addr.port().into()), bulk(&id), array([])]);
        array([int((*first).into()), int((*last).into()), entry])
    }))
}

/// `MOVED` or `ASK` of the slot of `key` to `node`.
pub(crate) fn redirect(kind: &str, key: &str, node: &FakeNode) -> Vec<u8> {
    let slot = keyslot::Slot::of_key(key.as_bytes());
    error(&format!("{kind} {slot} {}:{}", node.addr().host(), node.addr().port()))
}
