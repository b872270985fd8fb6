//! [`Side`]: one of the two clusters, spoken to over plain TCP.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use keyslot::NodeAddr;
use keyslot::testkit::{LocalCluster, SimCluster};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::script::{Line, Replies, Sends};
use super::wire::{Frame, parse};

/// The primaries in the order of their slots and their replicas, by the names that transcripts use.
pub(crate) const NODES: [&str; 6] = ["p0", "p1", "p2", "r0", "r1", "r2"];

/// For what is sure to come.
const EVENT: Duration = Duration::from_secs(5);

/// What came back for one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    pub(crate) frames: Vec<Frame>,
    pub(crate) end: Option<&'static str>,
}

/// The connection was ended by the node.
pub(crate) const CLOSED: &str = "(closed)";

/// What a blocked client is known by.
enum Kind<'a> {
    Real,
    Simulated(&'a SimCluster),
}

pub(crate) struct Side<'a> {
    kind: Kind<'a>,
    resp: u8,
    /// In the order of [`NODES`].
    pub(crate) nodes: Vec<NodeAddr>,
    pub(crate) ids: Vec<String>,
    connections: HashMap<String, Connection>,
    pub(crate) kept: HashMap<String, Vec<u8>>,
    /// For a reply that does not come.
    patience: Duration,
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl<'a> Side<'a> {
    pub(crate) async fn real(cluster: &LocalCluster, resp: u8) -> Self {
        Self::new(Kind::Real, cluster.nodes(), resp, EVENT).await
    }

    pub(crate) async fn simulated(cluster: &'a SimCluster, resp: u8) -> Self {
        Self::new(Kind::Simulated(cluster), cluster.nodes(), resp, Duration::from_secs(1)).await
    }

    async fn new(kind: Kind<'a>, nodes: Vec<NodeAddr>, resp: u8, patience: Duration) -> Self {
        let (connections, kept) = (HashMap::new(), HashMap::new());
        let mut side = Self { kind, resp, nodes, ids: Vec::new(), connections, kept, patience };
        for node in NODES {
            let outcome = side.ask(node, "CLUSTER MYID").await;
            let id = outcome.and_then(|reply| Some(String::from_utf8(reply.payload()?.to_vec()).unwrap()));
            side.ids.push(id.unwrap_or_else(|| format!("no id of {node}")));
        }
        side
    }

    /// Ends all connections and removes all keys.
    pub(crate) async fn begin_section(&mut self) {
        self.connections.clear();
        for node in ["p0", "p1", "p2"] {
            // A replica by now, or a simulation that does not know it: the next lines will tell.
            self.ask(node, "FLUSHALL").await;
        }
    }

    /// Plays one line.
    pub(crate) async fn play(&mut self, line: &Line) -> Outcome {
        let begin = Instant::now();
        let mut outcome = self.once(line).await;
        if let Some(until) = &line.until {
            let until = String::from_utf8(self.filled(until.as_bytes())).unwrap();
            let has_come =
                |outcome: &Outcome| outcome.frames.iter().any(|frame| frame.shown().contains(&until));
            while begin.elapsed() < self.patience && !has_come(&outcome) {
                tokio::time::sleep(Duration::from_millis(2)).await;
                outcome = self.once(line).await;
            }
        }
        let reply = outcome.frames.first().filter(|reply| !reply.is_error());
        if let (Some(name), Some(payload)) = (&line.keeps, reply.and_then(Frame::payload)) {
            self.kept.insert(name.clone(), payload.to_vec());
        }
        outcome
    }

    async fn once(&mut self, line: &Line) -> Outcome {
        let bytes = match &line.sends {
            Sends::Nothing => Vec::new(),
            Sends::Raw(bytes) => self.filled(bytes),
            Sends::Words(words) => {
                let words: Vec<Vec<u8>> = words.iter().map(|word| self.filled(word)).collect();
                encoded(&words)
            }
        };
        let node = line.connection.split_once('@').unwrap().1.to_owned();
        let before = match line.replies {
            Replies::Blocks => self.taken_up(&node, line).await,
            Replies::Count(_) | Replies::UntilEnd | Replies::Unheard => 0,
        };
        let Some(connection) = self.connection(&line.connection).await else {
            return Outcome { frames: Vec::new(), end: Some("(refused)") };
        };
        // A connection that was ended in the meantime shows when it is read.
        for part in bytes.chunks(if line.is_slow { 1 } else { bytes.len().max(1) }) {
            _ = connection.stream.write_all(part).await;
        }
        let (count, until_end) = match line.replies {
            Replies::Count(count) => (count, false),
            Replies::UntilEnd => (usize::MAX, true),
            Replies::Unheard => (0, false),
            Replies::Blocks => {
                let begin = Instant::now();
                while self.taken_up(&node, line).await <= before {
                    if begin.elapsed() > self.patience {
                        return Outcome { frames: Vec::new(), end: Some("(did not block)") };
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                (0, false)
            }
        };
        let outcome = self.read(&line.connection, count).await;
        match outcome.end {
            Some(CLOSED) if until_end => self.forget(&line.connection),
            None => {}
            Some(_) => self.forget(&line.connection),
        }
        outcome
    }

    fn forget(&mut self, connection: &str) {
        self.connections.remove(connection);
    }

    async fn read(&mut self, name: &str, count: usize) -> Outcome {
        let patience = self.patience;
        let connection = self.connections.get_mut(name).unwrap();
        let mut outcome = Outcome { frames: Vec::new(), end: None };
        while outcome.frames.len() < count {
            match parse(&connection.buffer) {
                Ok(Some((frame, length))) => {
                    connection.buffer.drain(..length);
                    outcome.frames.push(frame);
                    continue;
                }
                Ok(None) => {}
                Err(_malformed) => {
                    outcome.end = Some("(no reply of any RESP version)");
                    println!("malformed: {:?}", String::from_utf8_lossy(&connection.buffer));
                    return outcome;
                }
            }
            match timeout(patience, connection.stream.read_buf(&mut connection.buffer)).await {
                Ok(Ok(read)) if read > 0 => {}
                Ok(_) => {
                    outcome.end =
                        Some(if connection.buffer.is_empty() { CLOSED } else { "(closed within a reply)" });
                    return outcome;
                }
                Err(_elapsed) => {
                    outcome.end = Some("(no reply)");
                    return outcome;
                }
            }
        }
        outcome
    }

    async fn connection(&mut self, name: &str) -> Option<&mut Connection> {
        if !self.connections.contains_key(name) {
            let node = name.split_once('@').unwrap().1;
            let place = NODES.iter().position(|known| *known == node).unwrap();
            let addr = self.nodes.get(place)?;
            let stream = TcpStream::connect((addr.host(), addr.port())).await.ok()?;
            stream.set_nodelay(true).unwrap();
            self.connections.insert(name.to_owned(), Connection { stream, buffer: Vec::new() });
            if self.resp == 3 && !name.starts_with("control") {
                let connection = self.connections.get_mut(name)?;
                _ = connection.stream.write_all(&encoded(&[b"HELLO".to_vec(), b"3".to_vec()])).await;
                self.read(name, 1).await;
            }
        }
        self.connections.get_mut(name)
    }

    /// Asks a node past the transcript.
    pub(crate) async fn ask(&mut self, node: &str, command: &str) -> Option<Frame> {
        let name = format!("control@{node}");
        let words: Vec<Vec<u8>> = command.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let connection = self.connection(&name).await?;
        _ = connection.stream.write_all(&encoded(&words)).await;
        let outcome = self.read(&name, 1).await;
        if outcome.end.is_some() {
            self.forget(&name);
        }
        outcome.frames.into_iter().next()
    }

    /// A number that grows when the node begins with the line's command.
    async fn taken_up(&mut self, node: &str, line: &Line) -> u64 {
        let Sends::Words(words) = &line.sends else { panic!("{}: name the command that waits", line.text) };
        match self.kind {
            Kind::Real => {
                let info = self.ask(node, "INFO clients").await.unwrap();
                let info = String::from_utf8_lossy(info.payload().unwrap()).into_owned();
                let blocked = info.lines().find_map(|line| line.strip_prefix("blocked_clients:")).unwrap();
                blocked.parse().unwrap()
            }
            Kind::Simulated(cluster) => {
                let place = NODES.iter().position(|known| *known == node).unwrap();
                cluster.received(&self.nodes[place], std::str::from_utf8(&words[0]).unwrap())
            }
        }
    }

    /// With addresses, ids and what was kept in the place of their names.
    fn filled(&self, word: &[u8]) -> Vec<u8> {
        let mut word = word.to_vec();
        for ((name, addr), id) in NODES.iter().zip(&self.nodes).zip(&self.ids) {
            word = replaced(&word, format!("<{name}.id>").as_bytes(), id.as_bytes());
            word = replaced(&word, format!("<{name}.port>").as_bytes(), addr.port().to_string().as_bytes());
            word = replaced(&word, format!("<{name}>").as_bytes(), addr.to_string().as_bytes());
        }
        for (name, kept) in &self.kept {
            word = replaced(&word, format!("<{name}>").as_bytes(), kept);
        }
        word
    }
}

fn encoded(words: &[Vec<u8>]) -> Vec<u8> {
    let bulk = |word: &Vec<u8>| Frame::Bulk(b'$', Some(word.clone()));
    Frame::Many(b'*', Some(words.iter().map(bulk).collect())).encoded()
}

/// Each `from` in `text` replaced.
pub(crate) fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(from.len().max(1)).position(|window| window == from) {
        result.extend_from_slice(&rest[..at]);
        result.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    result.extend_from_slice(rest);
    result
}
