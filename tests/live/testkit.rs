//! The test kit itself, on real servers: what it promises to the tests that are built on it.

use std::collections::HashSet;
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};
use std::time::{Duration, Instant};

use keyslot::testkit::{LocalCluster, LocalServer, Server, StartError};
use keyslot::{Command, ErrorKind, NodeAddr, Slot, Value};

type Done = Result<(), Box<dyn Error>>;

/// Each scenario once for each of the five servers.
macro_rules! on_every_server {
    ($($scenario:ident)*) => {$(
        mod $scenario {
            on_every_server!(@servers $scenario
                redis_6_2 "redis-6.2" redis_7_0 "redis-7.0" redis_8_2 "redis-8.2"
                valkey_8_1 "valkey-8.1" valkey_9_1 "valkey-9.1");
        }
    )*};
    (@servers $scenario:ident $($name:ident $folder:literal)*) => {$(
        #[tokio::test]
        async fn $name() {
            super::scenarios::$scenario(keyslot::testkit::Server::named($folder).unwrap()).await.unwrap();
        }
    )*};
}

on_every_server! {
    a_cluster_forms_and_every_node_sees_all_of_it
    a_node_is_killed_restarted_stopped_and_continued
    a_node_is_added_and_a_slot_is_moved_to_it_with_its_keys
    a_lone_primary_and_a_server_that_is_no_cluster_start
}

mod scenarios {
    use super::*;

    pub(super) async fn a_cluster_forms_and_every_node_sees_all_of_it(server: Server) -> Done {
        let begin = Instant::now();
        let cluster = LocalCluster::builder().primaries(3).replicas(1).server(server).start().await?;
        println!("{}: formed in {:?}", cluster.server().version(), begin.elapsed());
        let nodes = cluster.nodes();
        assert_eq!(nodes.len(), 6);
        for node in &nodes {
            let info = text(&cluster, node, "CLUSTER INFO").await?;
            for line in
                ["cluster_state:ok", "cluster_slots_ok:16384", "cluster_known_nodes:6", "cluster_size:3"]
            {
                assert!(info.contains(line), "{node} does not say {line}: {info}");
            }
            assert_eq!(
                shares(&cluster, node).await?,
                [
                    (0, 5460, nodes[0].port(), vec![nodes[3].port()]),
                    (5461, 10922, nodes[1].port(), vec![nodes[4].port()]),
                    (10923, 16383, nodes[2].port(), vec![nodes[5].port()]),
                ],
                "as {node} sees it"
            );
        }
        for (slot, node) in [(0, 0), (5460, 0), (5461, 1), (10922, 1), (10923, 2), (16383, 2)] {
            assert_eq!(cluster.primary_of(Slot::new(slot).unwrap()).await?, nodes[node]);
        }
        assert_eq!(cluster.replicas_of(&nodes[1]).await?, [nodes[4].clone()]);
        let ids: HashSet<String> =
            futures::future::try_join_all(nodes.iter().map(|node| cluster.node_id(node)))
                .await?
                .into_iter()
                .collect();
        assert_eq!(ids.len(), 6);

        // It takes writes, `DEBUG`, and answers with error replies as values.
        let key = key_of(&cluster, &nodes[0], "k").await?;
        let set = Command::new("SET").key(&key).arg("v");
        assert_eq!(cluster.command(&nodes[0], set.clone()).await?.as_str(), Some("OK"));
        let Value::Error(moved) = cluster.command(&nodes[1], set).await? else { panic!("no MOVED") };
        assert_eq!(moved.code(), "MOVED");
        let sleep = Command::new("DEBUG SLEEP").arg(0);
        assert_eq!(cluster.command(&nodes[0], sleep).await?.as_str(), Some("OK"));
        let replication = cluster.command(&nodes[0], Command::new("INFO").arg("replication")).await?;
        assert!(replication.as_str().unwrap().contains("state=online"), "{replication:?}");

        let listed: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        assert_eq!(cluster.url(), format!("redis://{}", listed.join(",")));
        let stranger = NodeAddr::new("127.0.0.1", 1);
        let error = cluster.kill(&stranger).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains(&listed[5]), "{error}");
        Ok(())
    }

    pub(super) async fn a_node_is_killed_restarted_stopped_and_continued(server: Server) -> Done {
        let cluster = LocalCluster::builder()
            .primaries(3)
            .replicas(1)
            .server(server)
            .node_timeout(Duration::from_secs(1))
            .start()
            .await?;
        let nodes = cluster.nodes();
        let (id, replica_id) = (cluster.node_id(&nodes[0]).await?, cluster.node_id(&nodes[3]).await?);

        cluster.kill(&nodes[0])?;
        cluster.kill(&nodes[0])?;
        assert!(cluster.command(&nodes[0], Command::new("PING")).await.is_err());
        assert!(cluster.stop(&nodes[0]).is_err(), "a dead node cannot be stopped");
        cluster.wait_until_ok().await?;
        assert_eq!(cluster.primary_of(Slot::new(0).unwrap()).await?, nodes[3], "its replica was promoted");

        cluster.restart(&nodes[0]).await?;
        assert_eq!(cluster.command(&nodes[0], Command::new("PING")).await?.as_str(), Some("PONG"));
        assert_eq!(cluster.node_id(&nodes[0]).await?, id, "it has kept its files");
        cluster.wait_until_ok().await?;
        assert_eq!(cluster.replicas_of(&nodes[3]).await?, [nodes[0].clone()], "it came back as a replica");
        assert_eq!(cluster.node_id(&nodes[3]).await?, replica_id);

        // A restart of one that runs.
        cluster.restart(&nodes[4]).await?;
        cluster.wait_until_ok().await?;

        cluster.stop(&nodes[1])?;
        cluster.stop(&nodes[1])?;
        let ping = Command::new("PING").timeout(Duration::from_millis(100));
        let error = cluster.command(&nodes[1], ping).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "a stopped node does not answer: {error}");
        cluster.cont(&nodes[1])?;
        assert_eq!(cluster.command(&nodes[1], Command::new("PING")).await?.as_str(), Some("PONG"));
        cluster.wait_until_ok().await?;
        assert!(cluster.log_tail(&nodes[1]).contains(" * "), "{}", cluster.log_tail(&nodes[1]));
        Ok(())
    }

    pub(super) async fn a_node_is_added_and_a_slot_is_moved_to_it_with_its_keys(server: Server) -> Done {
        // With a password that needs quoting everywhere.
        let password = "p\"a ss@:/#'\\";
        let cluster = LocalCluster::builder()
            .primaries(2)
            .replicas(1)
            .server(server)
            .password(password)
            .start()
            .await?;
        assert!(
            !format!("{cluster:?}").contains("pass"),
            "neither the password nor its configuration is shown"
        );
        let nodes = cluster.nodes();
        let added = cluster.add_node().await?;
        assert_eq!(cluster.nodes().last(), Some(&added));
        for node in cluster.nodes() {
            let seen = text(&cluster, &node, "CLUSTER NODES").await?;
            assert_eq!(seen.lines().count(), 5, "as {node} sees it: {seen}");
        }

        let slot = Slot::of_key(b"{a}");
        let from = cluster.primary_of(slot).await?;
        let (target, other) = (&added, nodes.iter().take(2).find(|node| **node != from).unwrap());
        for number in 0..250 {
            let set = Command::new("SET").key(format!("{{a}}{number}")).arg(number);
            assert_eq!(cluster.command(&from, set).await?.as_str(), Some("OK"));
        }
        cluster.open_slot(slot, &from, target).await?;
        assert_eq!(cluster.migrate_keys(slot, &from, target, 110).await?, 110);
        assert_eq!(keys_in(&cluster, &from, slot).await?, 140);
        assert_eq!(keys_in(&cluster, target, slot).await?, 110);
        assert_eq!(cluster.migrate_keys(slot, &from, target, usize::MAX).await?, 140);
        assert_eq!(cluster.migrate_keys(slot, &from, target, usize::MAX).await?, 0);
        cluster.close_slot(slot, &from, target).await?;
        for node in [&from, target, other] {
            assert_eq!(owner_of(&cluster, node, slot).await?, target.port(), "as {node} sees it");
        }
        cluster.wait_until_ok().await?;
        assert_eq!(cluster.primary_of(slot).await?, *target);
        let get = Command::new("GET").key("{a}249");
        assert_eq!(cluster.command(target, get).await?.as_str(), Some("249"));

        assert_eq!(cluster.move_slot(slot, target, other).await?, 250, "in one step, and on");
        assert_eq!(keys_in(&cluster, other, slot).await?, 250);
        cluster.wait_until_ok().await?;
        let error = cluster.move_slot(slot, &from, other).await.unwrap_err();
        assert_eq!((error.kind(), error.node()), (ErrorKind::Server, Some(other)), "{error}");
        Ok(())
    }

    pub(super) async fn a_lone_primary_and_a_server_that_is_no_cluster_start(server: Server) -> Done {
        let cluster = LocalCluster::builder().primaries(1).server(server.clone()).start().await?;
        let [node] = &cluster.nodes()[..] else { panic!("one node: {:?}", cluster.nodes()) };
        assert_eq!(cluster.primary_of(Slot::of_key(b"k")).await?, *node);
        assert_eq!(cluster.command(node, Command::new("INCR").key("k")).await?.as_int(), Some(1));

        let lone = LocalServer::start(server).await?;
        assert_eq!(lone.url(), format!("redis://{}", lone.node()));
        let info = lone.command(Command::new("INFO").arg("cluster")).await?;
        assert!(info.as_str().unwrap().contains("cluster_enabled:0"));
        lone.stop()?;
        lone.cont()?;
        assert_eq!(lone.command(Command::new("INCR").key("k")).await?.as_int(), Some(1));
        lone.kill()?;
        assert!(lone.command(Command::new("PING")).await.is_err());
        lone.restart().await?;
        assert_eq!(lone.command(Command::new("INCR").key("k")).await?.as_int(), Some(1), "it keeps no data");
        Ok(())
    }
}

#[tokio::test]
async fn a_server_that_does_not_start_shows_its_log() {
    let server = Server::named("valkey-9.1").unwrap();
    let begun =
        LocalCluster::builder().primaries(1).server(server).setting("no-such-setting", "yes").start().await;
    let error = begun.unwrap_err();
    assert!(matches!(error, StartError::Ended { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("127.0.0.1:") && text.contains("no-such-setting yes"), "{text}");
    assert_eq!(text, format!("{error:?}"), "an unwrap shows it readably");
}

#[tokio::test]
async fn a_cluster_without_a_primary_is_refused() {
    let error = LocalCluster::start(0, 1).await.unwrap_err();
    assert!(matches!(error, StartError::Shape(_)), "{error}");
}

#[tokio::test]
async fn settings_override_those_of_the_kit_and_survive_a_restart() {
    let server = Server::named("redis-7.0").unwrap();
    let cluster = LocalCluster::builder()
        .primaries(1)
        .server(server)
        .setting("appendonly", "yes")
        .start()
        .await
        .unwrap();
    let node = &cluster.nodes()[0];
    cluster.command(node, Command::new("SET").key("k").arg("kept")).await.unwrap();
    cluster.restart(node).await.unwrap();
    cluster.wait_until_ok().await.unwrap();
    let kept = cluster.command(node, Command::new("GET").key("k")).await.unwrap();
    assert_eq!(kept.as_str(), Some("kept"));
}

#[tokio::test]
async fn clusters_side_by_side_have_ports_of_their_own() {
    let server = Server::named("valkey-8.1").unwrap();
    let start = || LocalCluster::builder().primaries(2).server(server.clone()).start();
    let (a, b, c) = tokio::try_join!(start(), start(), start()).unwrap();
    let ports: HashSet<u16> =
        [&a, &b, &c].iter().flat_map(|each| each.nodes()).map(|node| node.port()).collect();
    assert_eq!(ports.len(), 6);
    assert!(ports.iter().all(|port| (12_000..22_000).contains(port)), "{ports:?}");
}

#[test]
fn a_panic_leaves_no_process_and_no_folder() {
    let mut folder = PathBuf::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let cluster = small_cluster().await;
            folder = cluster.folder().to_owned();
            cluster.stop(&cluster.nodes()[0]).unwrap();
            assert_eq!(processes_of(&folder).len(), 4, "three servers and the watchdog");
            panic!("as a test that fails");
        });
    }));
    assert!(panicked.is_err() && folder.is_absolute());
    // By then, not some time later.
    assert_eq!(processes_of(&folder), [0_u32; 0]);
    assert!(!folder.exists());
}

/// Set in the process that the next test kills.
const IS_VICTIM: &str = "KEYSLOT_TESTKIT_VICTIM";

#[test]
fn a_killed_test_process_leaves_no_process_and_no_folder() {
    if std::env::var_os(IS_VICTIM).is_some() {
        be_the_victim();
    }
    let mut victim = Program::new(std::env::current_exe().unwrap())
        .args(["--exact", "testkit::a_killed_test_process_leaves_no_process_and_no_folder", "--nocapture"])
        .env(IS_VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let folder = BufReader::new(victim.stdout.take().unwrap()).lines().find_map(|line| {
        line.unwrap().split_once("victim works in ").map(|(_, folder)| PathBuf::from(folder))
    });
    victim.kill().unwrap();
    let status = victim.wait().unwrap();
    assert_eq!(status.signal(), Some(9), "{status}");
    let folder = folder.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while folder.exists() || !processes_of(&folder).is_empty() {
        assert!(
            Instant::now() < deadline,
            "{} is still there, or {:?}",
            folder.display(),
            processes_of(&folder)
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Starts a cluster with a stopped node, says where, and waits for its end.
fn be_the_victim() -> ! {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let cluster = small_cluster().await;
        cluster.stop(&cluster.nodes()[0]).unwrap();
        assert_eq!(processes_of(cluster.folder()).len(), 4, "three servers and the watchdog");
        println!("victim works in {}", cluster.folder().display());
        std::future::pending().await
    })
}

async fn small_cluster() -> LocalCluster {
    LocalCluster::builder().server(Server::named("redis-6.2").unwrap()).start().await.unwrap()
}

/// The processes that work in `folder` or that have it among their arguments.
fn processes_of(folder: &Path) -> Vec<u32> {
    let name = folder.to_str().unwrap().as_bytes();
    let mut found: Vec<u32> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let process = entry.ok()?.path();
            let id = process.file_name()?.to_str()?.parse().ok()?;
            let works_there = fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
            let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
            let names_it = arguments.windows(name.len()).any(|part| part == name);
            (works_there || names_it).then_some(id)
        })
        .collect();
    found.sort_unstable();
    found
}

async fn text(
    cluster: &LocalCluster,
    node: &NodeAddr,
    command: &'static str,
) -> Result<String, Box<dyn Error>> {
    let value = cluster.command(node, Command::new(command)).await?;
    Ok(value.as_str().ok_or_else(|| format!("{command} at {node}: {value:?}"))?.to_owned())
}

/// `CLUSTER SLOTS` as first slot, last slot, port of the primary, ports of the replicas; in the order of slots.
async fn shares(
    cluster: &LocalCluster,
    node: &NodeAddr,
) -> Result<Vec<(i64, i64, u16, Vec<u16>)>, Box<dyn Error>> {
    let Value::Array(entries) = cluster.command(node, Command::new("CLUSTER SLOTS")).await? else {
        return Err("CLUSTER SLOTS is no array".into());
    };
    let port = |node: &Value| match node {
        Value::Array(fields) => u16::try_from(fields[1].as_int().unwrap()).unwrap(),
        other => panic!("no node: {other:?}"),
    };
    let mut shares: Vec<_> = entries
        .iter()
        .map(|entry| {
            let Value::Array(parts) = entry else { panic!("no entry: {entry:?}") };
            let (first, last) = (parts[0].as_int().unwrap(), parts[1].as_int().unwrap());
            (first, last, port(&parts[2]), parts[3..].iter().map(port).collect())
        })
        .collect();
    shares.sort_by_key(|(first, ..)| *first);
    Ok(shares)
}

async fn owner_of(cluster: &LocalCluster, node: &NodeAddr, slot: Slot) -> Result<u16, Box<dyn Error>> {
    let slot = i64::from(slot.get());
    let owner =
        shares(cluster, node).await?.into_iter().find(|(first, last, ..)| (*first..=*last).contains(&slot));
    Ok(owner.ok_or("nobody owns it")?.2)
}

async fn keys_in(cluster: &LocalCluster, node: &NodeAddr, slot: Slot) -> Result<i64, Box<dyn Error>> {
    let count = cluster.command(node, Command::new("CLUSTER COUNTKEYSINSLOT").arg(slot)).await?;
    Ok(count.as_int().ok_or_else(|| format!("at {node}: {count:?}"))?)
}

/// A key that belongs to `node`.
async fn key_of(cluster: &LocalCluster, node: &NodeAddr, prefix: &str) -> Result<String, Box<dyn Error>> {
    for number in 0.. {
        let key = format!("{prefix}{number}");
        if cluster.primary_of(Slot::of_key(key.as_bytes())).await? == *node {
            return Ok(key);
        }
    }
    Err("no key belongs to it".into())
}
