//! What the stories share: nodes that know nobody, the word of the servers' own tool, a sum over all keys and values,
//! and callers that bear no error.

use std::path::PathBuf;
use std::process::Command as Program;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use keyslot::admin::{Admin, Plan, Progress, Report};
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, Command, Commands, Error, NodeAddr, Value};

use crate::live_support::{ask, until, value_of};

/// Nodes in cluster mode that know nobody; the cluster that starts and ends them does not count.
pub(crate) async fn strangers(server: Server, count: usize) -> (LocalCluster, Vec<NodeAddr>) {
    let cluster = LocalCluster::builder().primaries(count).server(server).start().await.unwrap();
    for node in cluster.nodes() {
        let reset = Command::new("CLUSTER RESET").arg("HARD");
        let _: Value = ask(&cluster, &node, reset).await;
    }
    until("all nodes are alone", async || {
        for node in cluster.nodes() {
            let info: String = ask(&cluster, &node, Command::new("CLUSTER INFO")).await;
            if !info.contains("cluster_known_nodes:1\r\n") {
                return None;
            }
        }
        Some(())
    })
    .await;
    let nodes = cluster.nodes();
    (cluster, nodes)
}

pub(crate) async fn admin(nodes: &[NodeAddr]) -> Admin {
    Client::builder().seeds(nodes.iter().map(ToString::to_string)).admin().await.unwrap()
}

pub(crate) async fn done(plan: Result<Plan, Error>) -> Progress {
    let plan = plan.unwrap();
    plan.run(|_| {}).await.unwrap_or_else(|error| panic!("{error}\n{plan}"))
}

/// Sends each line to the node; an error reply is a failure.
pub(crate) async fn tell(cluster: &LocalCluster, node: &NodeAddr, line: &str) {
    let command = line
        .split(' ')
        .skip(2)
        .fold(Command::new(line.split(' ').take(2).collect::<Vec<_>>().join(" ")), Command::arg);
    let _: Value = ask(cluster, node, command).await;
}

/// The tool of this version, or of the next older one of the same kind that has one.
fn tool_of(server: &Server) -> PathBuf {
    let folder = server.path().parent().unwrap();
    let (name, older) = match server.version().product() {
        "Valkey" => ("valkey-cli", "valkey-8.1"),
        _redis => ("redis-cli", "redis-7.0"),
    };
    let places = [folder.join(name), folder.join("..").join(older).join(name)];
    places.into_iter().find(|path| path.is_file()).unwrap()
}

/// What `redis-cli --cluster check` says.
pub(crate) fn tool_says(server: &Server, node: &NodeAddr) -> String {
    let said =
        Program::new(tool_of(server)).args(["--cluster", "check", &node.to_string()]).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr))
}

#[track_caller]
pub(crate) fn tool_agrees(server: &Server, node: &NodeAddr) {
    let text = tool_says(server, node);
    assert!(text.contains("[OK] All nodes agree about slots configuration."), "{text}");
    assert!(text.contains("[OK] All 16384 slots covered."), "{text}");
    assert!(!text.contains("[ERR]") && !text.contains("[WARNING]"), "{text}");
}

/// Everything is well by this crate's word and by the tool's.
pub(crate) async fn all_is_well(admin: &Admin, server: &Server) -> Report {
    let report = admin.check().await.unwrap();
    assert!(report.is_ok(), "{report}");
    tool_agrees(server, &report.view.nodes.first().unwrap().addr);
    report
}

/// All keys and values, as the servers sum them up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Contents {
    pub(crate) keys: u64,
    sum: u128,
}

impl Contents {
    /// `DBSIZE` and `DEBUG DIGEST` of all primaries: the second is a sum (by XOR) of a hash of each key with its value, so
    /// it does not matter who holds them.
    pub(crate) async fn of(cluster: &LocalCluster, report: &Report) -> Self {
        let mut contents = Self { keys: 0, sum: 0 };
        for node in report.view.primaries() {
            let keys: u64 = ask(cluster, &node.addr, Command::new("DBSIZE")).await;
            contents.keys += keys;
            contents.sum ^= digest(cluster, &node.addr).await;
            if keys > 0 {
                contents.sum ^= OF_A_DATABASE;
            }
        }
        contents
    }
}

/// What each database with keys adds to its server's digest: the number of the first is hashed twice.
const OF_A_DATABASE: u128 = 0xaa30_98f3_aae9_4baa_c14e_3b8b_8dca_e989;

/// The first digits of a server's digest.
pub(crate) async fn digest(cluster: &LocalCluster, node: &NodeAddr) -> u128 {
    let text: String = ask(cluster, node, Command::new("DEBUG DIGEST")).await;
    u128::from_str_radix(&text[..32], 16).unwrap()
}

/// So many keys over all slots, each with a value that tells its key.
pub(crate) async fn load(client: &Client, count: usize) -> Vec<String> {
    let keys: Vec<String> = (0..count).map(|number| format!("key:{number}")).collect();
    for part in keys.chunks(5000) {
        client.mset(part.iter().map(|key| (key.as_str(), value_of(key)))).await.unwrap();
    }
    keys
}

/// All keys have their values, and there are no others.
pub(crate) async fn assert_all_there(client: &Client, keys: &[String]) {
    for part in keys.chunks(5000) {
        let values: Vec<Option<String>> = client.mget(part.iter().map(String::as_str)).await.unwrap();
        for (key, value) in part.iter().zip(values) {
            assert_eq!(value, Some(value_of(key)), "{key}");
        }
    }
    // The client asks all whom it takes for primaries; after a failover it may have to learn first who is one.
    let count = i64::try_from(keys.len()).unwrap();
    until("there are no other keys", async || (client.dbsize().await.unwrap() == count).then_some(())).await;
}

/// Reads and writes its keys until told to end; every error is a failure of the test.
pub(crate) struct Load {
    ends: Arc<AtomicBool>,
    commands: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<Result<(), Error>>>,
}

/// Between two pairs of commands of a task: the servers have other work as well.
const BREATH: Duration = Duration::from_millis(1);

impl Load {
    pub(crate) fn start(client: &Client, keys: &[String]) -> Self {
        let (ends, commands) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let tasks = (0..4).map(|task| {
            let (client, ends, commands) = (client.clone(), Arc::clone(&ends), Arc::clone(&commands));
            let keys: Vec<String> = keys.iter().skip(task).step_by(4).cloned().collect();
            tokio::spawn(async move {
                for key in keys.iter().cycle() {
                    if ends.load(Ordering::Acquire) {
                        break;
                    }
                    let value: Option<String> = client.get(key.as_str()).await?;
                    assert_eq!(value, Some(value_of(key)), "{key}");
                    client.set(key.as_str(), value_of(key)).await?;
                    commands.fetch_add(2, Ordering::Relaxed);
                    tokio::time::sleep(BREATH).await;
                }
                Ok(())
            })
        });
        let tasks = tasks.collect();
        Self { ends, commands, tasks }
    }

    /// Returns how many commands there were.
    pub(crate) async fn end(self) -> u64 {
        self.ends.store(true, Ordering::Release);
        for task in self.tasks {
            task.await.unwrap().unwrap();
        }
        self.commands.load(Ordering::Relaxed)
    }
}
