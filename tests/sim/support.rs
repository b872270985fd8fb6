//! What the scenarios share: a client of a cluster, keys that live where a scenario wants them, and a bare connection.

use std::time::Duration;

use keyslot::testkit::sim::{SimCluster, SimClusterBuilder};
use keyslot::{Client, ClientBuilder, Connector, NodeAddr, Slot, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Longer than anything that a scenario waits for; on the paused clock it costs nothing.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// Fails instead of hanging.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(FOR_EVER, future).await.unwrap()
}

/// Three primaries in memory.
pub(crate) fn three() -> SimCluster {
    SimCluster::builder().start_in_memory().unwrap()
}

/// Three primaries with a replica each, in memory, whose other shards go on while one is down.
pub(crate) fn replicated() -> SimClusterBuilder {
    SimCluster::builder().replicas(1).node_timeout(SECOND).full_coverage(false)
}

/// A client's settings for a cluster in memory.
pub(crate) fn builder(cluster: &SimCluster) -> ClientBuilder {
    Client::builder().url(&cluster.url()).connector(cluster.connector())
}

/// A client with the default settings.
pub(crate) async fn connect(cluster: &SimCluster) -> Client {
    builder(cluster).connect().await.unwrap()
}

/// The slot of a key.
pub(crate) fn slot(key: &str) -> Slot {
    Slot::of_key(key.as_bytes())
}

/// Who serves a key now.
pub(crate) fn owner(cluster: &SimCluster, key: &str) -> NodeAddr {
    cluster.primary_of(slot(key)).unwrap()
}

/// Who serves slots now, in the order of the first slot of each.
pub(crate) fn primaries(cluster: &SimCluster) -> Vec<NodeAddr> {
    let mut found = Vec::new();
    for slot in Slot::all() {
        if let Some(primary) = cluster.primary_of(slot)
            && !found.contains(&primary)
        {
            found.push(primary);
        }
    }
    found
}

/// A primary that does not serve this key.
pub(crate) fn another(cluster: &SimCluster, key: &str) -> NodeAddr {
    let owner = owner(cluster, key);
    // From place to place: the owner may have long runs.
    let mut others = (0..Slot::COUNT).map(|number| Slot::new(number.wrapping_mul(257) % Slot::COUNT));
    others.find_map(|slot| cluster.primary_of(slot?).filter(|other| *other != owner)).unwrap()
}

/// So many keys in different slots of this node: `<prefix>0`, `<prefix>7`, ...
pub(crate) fn keys_of(cluster: &SimCluster, node: &NodeAddr, prefix: &str, count: usize) -> Vec<String> {
    let owners: Vec<_> = Slot::all().map(|slot| cluster.primary_of(slot)).collect();
    assert!(owners.iter().flatten().any(|owner| owner == node), "{node} serves no slot");
    (0..)
        .map(|number| format!("{prefix}{number}"))
        .filter(|key| owners[usize::from(slot(key).get())].as_ref() == Some(node))
        .take(count)
        .collect()
}

/// One such key.
pub(crate) fn key_of(cluster: &SimCluster, node: &NodeAddr, prefix: &str) -> String {
    keys_of(cluster, node, prefix, 1).remove(0)
}

/// How often a command of this name was sent to any node.
pub(crate) fn received_by_all(cluster: &SimCluster, name: &str) -> u64 {
    cluster.nodes().iter().map(|node| cluster.received(node, name)).sum()
}

/// Where a command took effect, in order.
pub(crate) fn executed_at(cluster: &SimCluster, line: &str) -> Vec<NodeAddr> {
    cluster.ledger().of(line).map(|effect| effect.node.clone()).collect()
}

/// What a key is at a node, without a client.
pub(crate) fn value_at(cluster: &SimCluster, node: &NodeAddr, key: &str) -> keyslot::Value {
    cluster.ask(node, ["GET", key]).unwrap()
}

/// A bare connection: what it is sent and what it gives are bytes.
pub(crate) struct Wire(Box<dyn Transport>);

impl Wire {
    /// In memory.
    pub(crate) async fn open(cluster: &SimCluster, node: &NodeAddr) -> Self {
        Self(cluster.connector().connect(node).await.unwrap())
    }

    /// By a socket.
    pub(crate) async fn dial(node: &NodeAddr) -> Self {
        let stream = TcpStream::connect((node.host(), node.port())).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(Box::new(stream))
    }

    pub(crate) async fn send(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let mut bytes = format!("*{}\r\n", words.len());
        for word in words {
            bytes += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.0.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Bytes as they are.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// What comes until nothing comes for a millisecond of the paused clock, with `|` for the end of a line and `EOF` for
    /// the end of the connection.
    pub(crate) async fn heard(&mut self) -> String {
        let mut bytes = Vec::new();
        while let Ok(read) = timeout(MS, self.0.read_buf(&mut bytes)).await {
            if read.unwrap_or(0) == 0 {
                bytes.extend_from_slice(b"EOF");
                break;
            }
        }
        bytes.escape_ascii().to_string().replace("\\r\\n", "|").replace("\\\"", "\"").replace("\\'", "'")
    }

    /// Sends, and what is [`heard`](Self::heard) then.
    pub(crate) async fn says(&mut self, line: &str) -> String {
        self.send(line).await;
        self.heard().await
    }

    /// The next bytes, as many as `wanted` has; fails if they are others.
    pub(crate) async fn gives(&mut self, wanted: &str) {
        let mut bytes = vec![0; wanted.len()];
        soon(self.0.read_exact(&mut bytes)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), wanted);
    }

    /// Sends and expects.
    pub(crate) async fn asks(&mut self, line: &str, wanted: &str) {
        self.send(line).await;
        self.gives(wanted).await;
    }

    /// The bytes until the end of the connection.
    pub(crate) async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        // A reset is an end too.
        drop(soon(self.0.read_to_end(&mut bytes)).await);
        String::from_utf8(bytes).unwrap()
    }

    /// The bytes up to and with `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end.as_bytes()) {
            assert_ne!(soon(self.0.read_buf(&mut bytes)).await.unwrap(), 0, "it ended before");
        }
        String::from_utf8(bytes).unwrap()
    }

    /// Whether nothing comes for so long, the end neither.
    pub(crate) async fn is_quiet_for(&mut self, time: Duration) -> bool {
        let mut byte = [0];
        timeout(time, self.0.read(&mut byte)).await.is_err()
    }
}
