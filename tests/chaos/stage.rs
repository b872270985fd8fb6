//! [`Stage`]: a real cluster whose nodes announce proxies in place of themselves, so that clients, replicas and the other
//! nodes all come through them. The test itself, and `MIGRATE`, go directly.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use keyslot::testkit::{LocalCluster, Server};
use keyslot::{ClientBuilder, Command, FromValue, NodeAddr, Slot, Value};

use crate::access::Access;
use crate::proxy::{Line, Proxy};

pub(crate) type Done<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

pub(crate) const SHARDS: usize = 3;

/// `cluster-node-timeout`: a replica is promoted after about twice this time.
pub(crate) const NODE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long what must come may take.
const LIMIT: Duration = Duration::from_secs(40);

/// The port of the cluster bus beside that of the clients.
const BUS: u16 = 10_000;

/// 127.0.0.x: the first of the addresses that the nodes' own connections come from, by TLS.
const FIRST_SOURCE: usize = 10;

pub(crate) struct Stage {
    pub(crate) cluster: LocalCluster,
    access: Access,
    nodes: Vec<Node>,
}

struct Node {
    addr: NodeAddr,
    id: String,
    /// Where its own connections come from, as the others' proxies see it; `None` where the bus says who sends.
    source: Option<String>,
    clients: Proxy,
    bus: Proxy,
}

/// The nodes of a shard by their present roles.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Roles {
    pub(crate) primary: usize,
    pub(crate) replica: usize,
}

impl Stage {
    /// Three primaries with a replica each. Every write is in an append-only file; with `is_durable` before it is
    /// acknowledged.
    pub(crate) async fn start(
        server: Server,
        access: Access,
        is_durable: bool,
        full_coverage: bool,
    ) -> Done<Self> {
        let cluster = access
            .guard(LocalCluster::builder())
            .server(server)
            .primaries(SHARDS)
            .replicas(1)
            .node_timeout(NODE_TIMEOUT)
            .setting("appendonly", "yes")
            .setting("appendfsync", if is_durable { "always" } else { "everysec" })
            .setting("cluster-require-full-coverage", if full_coverage { "yes" } else { "no" })
            .setting("cluster-allow-replica-migration", "no")
            .setting("repl-backlog-size", "16mb")
            // A replica whose connection is half open would keep it for a minute.
            .setting("repl-ping-replica-period", "1")
            .setting("repl-timeout", "4")
            .start()
            .await?;
        let mut nodes = Vec::new();
        let set = async |addr: &NodeAddr, settings: &[(&'static str, String)]| -> Done {
            for (name, value) in settings {
                ask::<()>(&cluster, addr, Command::new("CONFIG SET").arg(*name).arg(value)).await?;
            }
            Ok(())
        };
        // The bus speaks TLS too, so that its bytes do not tell who sends them; the address that they are sent from does.
        let source = |place| access.by_tls.then(|| format!("127.0.0.{}", FIRST_SOURCE + place));
        for (place, addr) in cluster.nodes().iter().enumerate() {
            if let Some(source) = source(place) {
                // Without the first, the others would take the second for the address where the node is found.
                let ip = ("cluster-announce-ip", addr.host().to_owned());
                set(addr, &[ip, ("bind-source-addr", source)]).await?;
            }
        }
        for (place, addr) in cluster.nodes().into_iter().enumerate() {
            let (clients, bus) = (Proxy::before(addr.port()).await?, Proxy::before(addr.port() + BUS).await?);
            let announce = if access.by_tls { "cluster-announce-tls-port" } else { "cluster-announce-port" };
            let bus_port = ("cluster-announce-bus-port", bus.port().to_string());
            set(&addr, &[bus_port, (announce, clients.port().to_string())]).await?;
            // For the restarts.
            ask::<()>(&cluster, &addr, Command::new("CONFIG REWRITE")).await?;
            let id = cluster.node_id(&addr).await?;
            nodes.push(Node { addr, id, source: source(place), clients, bus });
        }
        let stage = Self { cluster, access, nodes };
        if !stage.cluster.server().version().is_at_least(7, 0) {
            // 6.2 tells others of its new port, but not those who ask it for the topology.
            for node in &stage.nodes {
                stage.cluster.restart(&node.addr).await?;
            }
        }
        until("all nodes announce their proxies", async || stage.announced().await).await?;
        stage.cluster.wait_until_ok().await?;
        Ok(stage)
    }

    async fn announced(&self) -> Result<(), String> {
        let expected: Vec<i64> = self.nodes.iter().map(|node| i64::from(node.clients.port())).collect();
        for node in &self.nodes {
            let command = Command::new("CLUSTER SLOTS");
            let slots: Value =
                ask(&self.cluster, &node.addr, command).await.map_err(|error| error.to_string())?;
            let ports = ports_in(&slots);
            if ports.len() < self.nodes.len() || ports.iter().any(|port| !expected.contains(port)) {
                return Err(format!("{} names {ports:?} and not {expected:?}", node.addr));
            }
        }
        Ok(())
    }

    /// A client that finds it, and is let in.
    pub(crate) fn client(&self) -> ClientBuilder {
        self.access.client(&self.cluster).seeds(self.seeds())
    }

    /// Where clients find it.
    pub(crate) fn seeds(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.clients.port())).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn addr(&self, node: usize) -> &NodeAddr {
        &self.nodes[node].addr
    }

    pub(crate) fn id(&self, node: usize) -> &str {
        &self.nodes[node].id
    }

    /// Changes the line between this node and its clients and replicas.
    pub(crate) fn change(&self, node: usize, how: impl FnOnce(&mut Line)) {
        self.nodes[node].clients.change(how);
    }

    /// Other nodes and this one hear nothing of each other any more, or again.
    pub(crate) fn bar(&self, node: usize, is_barred: bool) {
        let Node { id, source, .. } = &self.nodes[node];
        let sender = source.as_ref().unwrap_or(id);
        for (place, other) in self.nodes.iter().enumerate() {
            other.bus.change(|line| match (place == node, is_barred) {
                (true, _) => (line.holds_requests, line.holds_replies) = (is_barred, is_barred),
                (false, true) => drop(line.barred.insert(sender.clone())),
                (false, false) => drop(line.barred.remove(sender)),
            });
        }
    }

    /// What a node says of its replication.
    async fn replication(&self, node: usize) -> Done<String> {
        ask(&self.cluster, self.addr(node), Command::new("INFO").arg("replication")).await
    }

    pub(crate) async fn is_primary(&self, node: usize) -> bool {
        self.replication(node).await.is_ok_and(|info| info.contains("role:master"))
    }

    /// Waits until the shard has a primary with its replica in sync, and both know all of the cluster to be well.
    pub(crate) async fn until_whole(&self, shard: usize) -> Done<Roles> {
        until(&format!("shard {shard} is whole"), async || {
            self.roles(shard).await.map_err(|error| error.to_string())
        })
        .await
    }

    /// All shards are whole and have no key.
    pub(crate) async fn clear(&self) -> Done {
        for shard in 0..SHARDS {
            let roles = self.until_whole(shard).await?;
            self.ask::<()>(roles.primary, Command::new("FLUSHALL")).await?;
        }
        Ok(())
    }

    /// All that the nodes say of the cluster now, for who wants to know why it is not well.
    pub(crate) async fn evidence(&self) -> String {
        let mut text = String::new();
        for (place, node) in self.nodes.iter().enumerate() {
            let told = async |command: Command| match self.ask::<String>(place, command).await {
                Ok(told) => told.replace("\r\n", "\n"),
                Err(error) => error.to_string(),
            };
            let replication = told(Command::new("INFO").arg("replication")).await;
            let nodes = told(Command::new("CLUSTER NODES")).await;
            let process = self.processes(&node.addr);
            let log = self.cluster.log_tail(&node.addr);
            text += &format!(
                "\nnode {place}, {} {}\n{process}{nodes}\n{replication}\n{log}\n",
                node.addr, node.id
            );
        }
        text
    }

    /// What the system says of each process of a node, a line each: one that answers nobody may be stopped, wait for the disk
    /// or sleep.
    fn processes(&self, addr: &NodeAddr) -> String {
        let folder = self.cluster.folder().join(addr.port().to_string());
        let Ok(all) = fs::read_dir("/proc") else { return String::new() };
        let of_node = all.flatten().map(|process| process.path()).filter(|process| {
            fs::read_link(process.join("cwd")).is_ok_and(|working_folder| working_folder == folder)
        });
        let told = |process: PathBuf| {
            let read = |name: &str| fs::read_to_string(process.join(name)).unwrap_or_default();
            let status = read("status");
            let state = status.lines().find(|line| line.starts_with("State:")).unwrap_or_default();
            format!("process {}: {state}, waits in {}\n", process.display(), read("wchan"))
        };
        of_node.map(told).collect()
    }

    async fn roles(&self, shard: usize) -> Done<Roles> {
        let pair = [shard, shard + SHARDS];
        let mut info = Vec::new();
        for node in pair {
            info.push(self.replication(node).await?);
            let state: String = ask(&self.cluster, self.addr(node), Command::new("CLUSTER INFO")).await?;
            if !state.contains("cluster_state:ok") {
                return Err(format!("{} sees the cluster down", self.addr(node)).into());
            }
            let nodes = self.view(node).await?;
            if let Some(ill) = nodes.iter().find(|seen| seen.is_ill) {
                return Err(format!("{} sees {} as {}", self.addr(node), ill.id, ill.state).into());
            }
        }
        let is_primary = |info: &str| info.contains("role:master") && info.contains("state=online");
        let is_replica = |info: &str| info.contains("role:slave") && info.contains("master_link_status:up");
        for [first, second] in [[0, 1], [1, 0]] {
            if is_primary(&info[first]) && is_replica(&info[second]) {
                return Ok(Roles { primary: pair[first], replica: pair[second] });
            }
        }
        Err(format!("{} and {}", info[0].replace("\r\n", " "), info[1].replace("\r\n", " ")).into())
    }

    /// Waits until the replica has all that its primary has now.
    pub(crate) async fn until_caught_up(&self, roles: Roles) -> Done {
        let goal = field(&self.replication(roles.primary).await?, "master_repl_offset");
        until("the replica has it too", async || {
            let info = self.replication(roles.replica).await.map_err(|error| error.to_string())?;
            let has = field(&info, "slave_repl_offset");
            if has >= goal { Ok(()) } else { Err(format!("{has:?} of {goal:?}")) }
        })
        .await
    }

    /// The cluster as this node sees it.
    async fn view(&self, node: usize) -> Done<Vec<Seen>> {
        let text: String = ask(&self.cluster, self.addr(node), Command::new("CLUSTER NODES")).await?;
        Ok(text.lines().filter_map(Seen::parse).collect())
    }

    /// The node that serves a slot, as `witness` sees it.
    pub(crate) async fn owner(&self, slot: Slot, witness: usize) -> Done<usize> {
        let view = self.view(witness).await?;
        let owner = view.iter().find(|seen| seen.owns(slot)).ok_or("nobody owns the slot")?;
        Ok(self.nodes.iter().position(|node| node.id == owner.id).ok_or("a stranger owns the slot")?)
    }

    /// What a node answers, past the client under test; an error reply is an error.
    pub(crate) async fn ask<T: FromValue>(&self, node: usize, command: Command) -> Done<T> {
        ask(&self.cluster, self.addr(node), command).await
    }
}

async fn ask<T: FromValue>(cluster: &LocalCluster, node: &NodeAddr, command: Command) -> Done<T> {
    let name = command.name().to_owned();
    match cluster.command(node, command.timeout(Duration::from_secs(10))).await? {
        Value::Error(error) => Err(format!("{name} at {node}: {error}").into()),
        value => Ok(T::from_value(value)?),
    }
}

/// Looks until there is something to see; the error says what there was instead.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> Done<T> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match look().await {
            Ok(seen) => return Ok(seen),
            Err(said) if Instant::now() >= deadline => {
                return Err(format!("not within {LIMIT:?}: {what}; {said}").into());
            }
            Err(_not_yet) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn field(info: &str, name: &str) -> Option<u64> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.trim().parse().ok()
}

/// The ports of all nodes in a reply to `CLUSTER SLOTS`, each once.
fn ports_in(slots: &Value) -> Vec<i64> {
    let Value::Array(entries) = slots else { return Vec::new() };
    let mut ports = Vec::new();
    for entry in entries {
        let Value::Array(parts) = entry else { continue };
        for part in parts {
            let Value::Array(node) = part else { continue };
            if let Some(port) = node.get(1).and_then(Value::as_int).filter(|port| !ports.contains(port)) {
                ports.push(port);
            }
        }
    }
    ports
}

/// One line of `CLUSTER NODES`.
struct Seen {
    id: String,
    /// Its flags, and whether it is connected.
    state: String,
    is_ill: bool,
    ranges: Vec<(u16, u16)>,
}

impl Seen {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let state = format!("{}, {}", words.get(2)?, words.get(7)?);
        let is_ill = state.contains("fail") || state.ends_with("disconnected");
        let ranges = words.iter().skip(8).filter(|word| !word.starts_with('[')).map(|word| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            Some((first.parse().ok()?, last.parse().ok()?))
        });
        Some(Self { id: (*words.first()?).to_owned(), state, is_ill, ranges: ranges.collect::<Option<_>>()? })
    }

    fn owns(&self, slot: Slot) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&slot.get()))
    }
}
