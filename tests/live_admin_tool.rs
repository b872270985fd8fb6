//! The tool `examples/cluster_admin` from its command line to its exit status: on a simulated cluster, and each of its
//! commands on real servers of every version.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests report by panicking, in their helpers too, where clippy.toml does not allow it by itself"
)]

mod live_support;

#[path = "../examples/cluster_admin/node_name.rs"]
mod node_name;
#[path = "../examples/cluster_admin/options.rs"]
mod options;
#[path = "../examples/cluster_admin/plan_run.rs"]
mod plan_run;
#[path = "../examples/cluster_admin/restart.rs"]
mod restart;
#[expect(dead_code, reason = "a test has a screen of its own")]
#[path = "../examples/cluster_admin/screen.rs"]
mod screen;
#[path = "../examples/shared/slot_svg.rs"]
mod slot_svg;
#[path = "../examples/cluster_admin/slots_page.rs"]
mod slots_page;
#[path = "../examples/cluster_admin/task.rs"]
mod task;

use std::ffi::OsString;
use std::io::{self, Cursor, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::CommandFactory;
use keyslot::admin::Member;
use keyslot::testkit::sim::SimCluster;
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, Command, Commands, NodeAddr, Slot};
use live_support::{on_every_server, until};
use screen::Screen;
use serde_json::Value;

on_every_server! {
    all: every_command_does_what_it_says a_command_restarts_each_node a_server_without_cluster_mode_is_refused ;
    since_7_0: addresses_that_lead_nowhere_from_here_are_mapped ;
    valkey_9_1: ;
}

/// What was written.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// What came of a command line.
#[derive(Debug)]
struct Outcome {
    status: u8,
    out: String,
    err: String,
}

impl Outcome {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs the tool as somebody who answers with these words, or without anybody.
async fn run_with(words: &[&str], answers: Option<&'static str>) -> Outcome {
    let (out, err) = (Page::default(), Page::default());
    let mut screen = Screen {
        out: Box::new(out.clone()),
        err: Box::new(err.clone()),
        answers: answers.map(|text| Box::new(Cursor::new(text)) as Box<dyn io::BufRead + Send>),
        draws: false,
    };
    let words = std::iter::once("cluster_admin").chain(words.iter().copied()).map(OsString::from);
    let status = task::run(words, &mut screen).await;
    Outcome { status, out: out.text(), err: err.text() }
}

/// Runs the tool on a cluster, without anybody to ask.
async fn run(url: &str, words: &[&str]) -> Outcome {
    run_with(&[&["--url", url], words].concat(), None).await
}

/// The same; it must go well.
async fn well(url: &str, words: &[&str]) -> Outcome {
    let outcome = run(url, words).await;
    assert_eq!(outcome.status, 0, "{words:?}: {outcome:#?}");
    outcome
}

#[test]
fn the_command_line_is_consistent() {
    options::Options::command().debug_assert();
}

#[tokio::test]
async fn a_wrong_command_line_ends_with_2_and_help_with_0() {
    let any = "redis://127.0.0.1:1";
    for wrong in [
        &["reshard", "--to", "h:1"][..],
        &["reshard", "--to", "h:1", "--slots", "1", "--ranges", "0-9"],
        &["reshard", "--to", "h:1", "--ranges", "0-16384"],
        &["check", "--dry-run"],
        &["fix", "--dry-run", "--yes"],
        &["failover", "h:1", "--force", "--takeover"],
        &["rebalance", "--weight", "h:1"],
        &["slots", "--heat", "cold"],
        &["add-node", "h:1", "--rebalance", "--replica"],
        &["roll", "--yes"],
        &["roll", "--command-timeout", "0", "--", "true"],
        &["create"],
        &["--map", "h:1", "check"],
        &["frobnicate"],
    ] {
        let outcome = run(any, wrong).await;
        assert_eq!((outcome.status, outcome.out.as_str()), (2, ""), "{wrong:?}");
        assert!(outcome.err.contains("--help"), "{wrong:?}: {}", outcome.err);
    }
    let outcome = run("nonsense://h:1", &["check"]).await;
    assert_eq!(outcome.status, 2, "{outcome:?}");
    let help = run(any, &["--help"]).await;
    assert!(
        help.status == 0 && help.out.contains("Exit status:") && help.out.contains("rebalance"),
        "{help:?}"
    );
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_ends_with_1_and_a_hint() {
    let outcome = run("redis://127.0.0.1:1", &["--json", "check"]).await;
    assert_eq!(outcome.status, 1);
    assert_eq!(outcome.json()["error"]["kind"], "Connect");
    assert!(outcome.err.contains("hint: is a node running there"), "{}", outcome.err);
}

#[tokio::test]
async fn nothing_is_done_without_consent() {
    let cluster = SimCluster::builder().start().await.unwrap();
    let (url, to) = (cluster.url(), cluster.nodes()[1].to_string());
    let owner = || cluster.primary_of(Slot::new(0).unwrap()).unwrap();
    let first = owner();
    let words = ["--url", &url, "reshard", "--ranges", "0-9", "--to", &to];

    let nobody = run_with(&words, None).await;
    assert!(nobody.status == 2 && nobody.err.contains("--yes"), "{nobody:?}");
    assert!(
        nobody.out.contains("10 slots with 0 keys go from"),
        "the plan is shown all the same: {nobody:?}"
    );
    let no = run_with(&words, Some("no\n")).await;
    assert!(no.status == 1 && no.err.contains("[yes/no]"), "{no:?}");
    // Whoever is asked sees what for, also where standard output is a document.
    let shown = run_with(&[&["--json"], &words[..]].concat(), Some("no\n")).await;
    assert!(shown.err.contains("10 slots with 0 keys go from"), "{shown:?}");
    assert_eq!(shown.json()["error"]["text"], "nothing was done, as you wished");
    let gone = run_with(&words, Some("")).await;
    assert_eq!(gone.status, 1, "{gone:?}");
    let dry = run(&url, &["--json", "reshard", "--ranges", "0-9", "--to", &to, "--dry-run"]).await;
    assert_eq!((dry.status, &dry.json()["done"], &dry.json()["dry_run"]), (0, &false.into(), &true.into()));
    assert_eq!(dry.json()["plan"]["steps"][0]["slots"], "0-9");
    assert_eq!(owner(), first);

    let yes = run_with(&words, Some("yes\n")).await;
    assert!(yes.status == 0 && yes.out.contains("10 slots"), "{yes:?}");
    assert_eq!(owner(), cluster.nodes()[1]);
}

#[tokio::test]
async fn a_cluster_is_made_by_a_command_line() {
    let cluster = SimCluster::builder().primaries(6).start().await.unwrap();
    let nodes = cluster.nodes();
    for node in &nodes {
        cluster.ask(node, ["CLUSTER", "RESET", "HARD"]).unwrap();
    }
    until("all nodes are alone", async || {
        let info = |node| cluster.ask(node, ["CLUSTER", "INFO"]).unwrap();
        let alone = |node| info(node).as_str().is_some_and(|info| info.contains("cluster_known_nodes:1\r\n"));
        nodes.iter().all(alone).then_some(())
    })
    .await;
    let names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    let create = |more: &'static str| {
        let mut words = vec!["create", "--replicas", "1", more];
        words.extend(names.iter().map(String::as_str));
        words
    };
    let dry = run_with(&create("--dry-run"), None).await;
    assert!(dry.status == 0 && dry.out.contains("Make a cluster of 3 primaries and 3 replicas"), "{dry:?}");
    assert!(dry.out.contains("note: anti-affinity: 3 replicas share the host of their primary"), "{dry:?}");
    let made = run_with(&create("--yes"), None).await;
    assert_eq!(made.status, 0, "{made:?}");
    let checked = well(&format!("redis://{}", names[0]), &["check"]).await;
    assert!(checked.out.ends_with("all 16384 slots are served; 0 keys in 3 primaries\n"), "{checked:?}");
}

#[tokio::test]
async fn a_node_is_named_by_its_address_or_the_beginning_of_its_id() {
    let cluster = SimCluster::builder().start().await.unwrap();
    let url = cluster.url();
    let info = well(&url, &["--json", "info"]).await.json();
    let node = info["nodes"].as_array().unwrap().iter().find(|node| node["slot_count"] == 5462).unwrap();
    let (id, addr) = (node["id"].as_str().unwrap(), node["addr"].as_str().unwrap());
    for name in [id, &id[..12], addr] {
        let plan = well(&url, &["--json", "reshard", "--slots", "5", "--to", name, "-n"]).await.json();
        assert_eq!(plan["plan"]["steps"][0]["to"]["addr"], addr);
    }
    let outcome = run(&url, &["reshard", "--slots", "5", "--to", "nobody", "-n"]).await;
    assert!(outcome.status == 2 && outcome.err.contains("`info` lists the nodes"), "{outcome:?}");
    let outcome = run(&url, &["reshard", "--slots", "5", "--to", "", "-n"]).await;
    assert!(outcome.status == 2 && outcome.err.contains("give more of it"), "{outcome:?}");
}

/// A reader that has gone.
struct Shut;

impl Write for Shut {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_error_to_tell_of() {
    let cluster = SimCluster::builder().start().await.unwrap();
    let url = cluster.url();
    for words in [&["info"][..], &["check", "--json"]] {
        let err = Page::default();
        let mut screen =
            Screen { out: Box::new(Shut), err: Box::new(err.clone()), answers: None, draws: false };
        let words = [&["cluster_admin", "--url", &url], words].concat();
        let words = words.into_iter().map(OsString::from);
        assert_ne!(task::run(words, &mut screen).await, 0, "not all was said");
        assert!(!err.text().contains("Broken pipe") && !err.text().contains("written"), "{}", err.text());
    }
}

#[tokio::test]
async fn the_picture_shows_every_slot_once() {
    let cluster = SimCluster::builder().replicas(1).start().await.unwrap();
    let client = Client::connect(cluster.url()).await.unwrap();
    for number in 0..100 {
        client.set(format!("{{same}}:{number}"), "v").await.unwrap();
    }
    let url = cluster.url();
    for heat in [&["slots", "--svg", "-"][..], &["slots", "--svg", "-", "--heat", "keys"]] {
        let page = well(&url, heat).await.out;
        assert!(page.starts_with("<svg ") && page.ends_with("</svg>\n"));
        let width = |rect: &str| rect.split("width=\"").nth(1)?.split('"').next()?.parse::<usize>().ok();
        // Only the cells have tips.
        let cells: usize = page.lines().filter(|line| line.contains("<title>")).filter_map(width).sum();
        assert_eq!(cells / 5, 16384, "{heat:?}");
        assert_eq!(page.contains("keys of a slot: from 0 to 100"), heat.len() > 3);
    }
    let heat = well(&url, &["--json", "slots", "--heat", "keys"]).await.json();
    let of_slot = heat["heat"]["of_slot"].as_array().unwrap();
    let slot = usize::from(Slot::of_key(b"same").get());
    assert_eq!((of_slot.len(), &of_slot[slot]), (16384, &100.into()));
    assert_eq!(heat["shards"][0]["slots"], serde_json::json!([[0, 5460]]));
    assert_eq!(heat["shards"][0]["replicas"].as_array().unwrap().len(), 1);
}

/// A life of a cluster by command lines.
async fn every_command_does_what_it_says(server: Server) {
    let cluster = LocalCluster::builder().replicas(1).server(server).start().await.unwrap();
    let (url, nodes) = (cluster.url(), cluster.nodes());
    let client = Client::connect(&url).await.unwrap();
    for number in 0..500 {
        client.set(format!("key:{number}"), "v".repeat(100)).await.unwrap();
    }
    assert!(well(&url, &["check"]).await.out.contains("500 keys in 3 primaries"));

    // Heat: what lies in the slots.
    let of_slot =
        |page: Value| -> Vec<u64> { serde_json::from_value(page["heat"]["of_slot"].clone()).unwrap() };
    let keys = of_slot(well(&url, &["--json", "slots", "--heat", "keys"]).await.json());
    let bytes = of_slot(well(&url, &["--json", "slots", "--heat", "bytes"]).await.json());
    assert_eq!(keys.iter().sum::<u64>(), 500);
    for (keys, bytes) in keys.iter().zip(bytes) {
        assert!((keys * 100..=keys * 400).contains(&bytes), "{keys} keys take {bytes} bytes");
    }

    // With another id: the former one is banned for a minute.
    let new = cluster.add_node().await.unwrap();
    well(&url, &["del-node", &new.to_string(), "--yes"]).await;
    drop(cluster.command(&new, Command::new("CLUSTER RESET").arg("HARD")).await.unwrap());
    let new = new.to_string();
    well(&url, &["add-node", &new, "--rebalance", "--yes"]).await;
    let served = |page: &Value| -> Vec<u64> {
        let nodes = page["nodes"].as_array().unwrap().iter();
        nodes
            .filter(|node| node["role"] == "primary")
            .map(|node| node["slot_count"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(served(&well(&url, &["--json", "info"]).await.json()), [4096; 4]);
    let moved = well(&url, &["--json", "reshard", "--slots", "30", "--to", &new, "--yes"]).await.json();
    assert_eq!((&moved["done"], &moved["progress"]["slots_done"]), (&true.into(), &30.into()));
    let replica = cluster.replicas_of(&nodes[0]).await.unwrap()[0].to_string();
    well(&url, &["replicate", &replica, &new, "--yes"]).await;
    // At once: the replica has not got the data yet.
    well(&url, &["failover", &replica, "--yes"]).await;
    let promoted = well(&url, &["--json", "info"]).await.json();
    let role = |name: &str| -> Value {
        let nodes = promoted["nodes"].as_array().unwrap().iter();
        nodes.filter(|node| node["addr"] == name).map(|node| node["role"].clone()).collect()
    };
    assert_eq!((role(&replica)[0].as_str(), role(&new)[0].as_str()), (Some("primary"), Some("replica")));

    well(&url, &["rebalance", "--threshold", "0", "--yes"]).await;
    assert_eq!(served(&well(&url, &["--json", "info"]).await.json()), [4096; 4]);

    // A mark that leads to nothing.
    let id = cluster.node_id(&nodes[2]).await.unwrap();
    let owner = cluster.primary_of(Slot::new(100).unwrap()).await.unwrap();
    let mark = Command::new("CLUSTER SETSLOT").arg(100).arg("MIGRATING").arg(id);
    drop(cluster.command(&owner, mark).await.unwrap());
    let ill = run(&url, &["check"]).await;
    assert!(ill.status == 1 && ill.out.contains("`fix --dry-run`"), "{ill:?}");
    well(&url, &["fix", "--yes"]).await;

    well(&url, &["del-node", &replica, "--yes"]).await;
    well(&url, &["del-node", &new, "--yes"]).await;
    let end = well(&url, &["--json", "check"]).await.json();
    assert_eq!((&end["ok"], &end["keys"]), (&true.into(), &500.into()));
    assert_eq!(served(&end).iter().sum::<u64>(), 16384);
    for number in 0..500 {
        assert_eq!(client.get::<String>(format!("key:{number}")).await.unwrap().len(), 100);
    }
}

/// A process that ends with the test.
struct Ends(std::process::Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // Nothing is to be done about one that has ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

async fn a_server_without_cluster_mode_is_refused(server: Server) {
    let cluster = LocalCluster::builder().server(server.clone()).start().await.unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let mut alone = std::process::Command::new(server.path());
    alone.args(["--port", &free.to_string(), "--save", ""]).current_dir(folder.path());
    let _alone = Ends(alone.stdout(std::process::Stdio::null()).spawn().unwrap());
    let addr = NodeAddr::new("127.0.0.1", free);
    until("the server answers", async || tokio::net::TcpStream::connect(("127.0.0.1", free)).await.ok())
        .await;
    let (url, named) = (cluster.url(), addr.to_string());
    let others: Vec<String> = cluster.nodes().iter().map(ToString::to_string).collect();
    for words in [&["add-node", &named, "--yes"][..], &["create", &named, &others[0], &others[1], "--yes"]] {
        let refused = run(&url, words).await;
        assert!(refused.status == 1 && refused.err.contains("cluster-enabled yes"), "{refused:?}");
        assert!(refused.err.contains(&named), "{refused:?}");
    }
    well(&url, &["check"]).await;
}

#[tokio::test]
async fn a_server_that_a_restart_leaves_behind_is_not_waited_for() {
    let node = Member { id: "a".into(), addr: NodeAddr::new("h", 7000) };
    // It has the command's standard error for its own, and longer than the command may take.
    let command = ["sh", "-c", "sleep 20 & echo started {id} >&2"].map(str::to_owned).to_vec();
    restart::restart(command, node, Duration::from_secs(10)).await.unwrap();
}

/// Whose command only leaves a note; somebody else follows the notes.
async fn a_command_restarts_each_node(server: Server) {
    let cluster = Arc::new(LocalCluster::builder().replicas(1).server(server).start().await.unwrap());
    let (url, nodes) = (cluster.url(), cluster.nodes());
    let notes = tempfile::tempdir().unwrap();
    let note = notes.path().join("{host} {port} {id}");
    let note = note.to_str().unwrap();
    let dry = well(&url, &["--json", "roll", "-n", "--", "touch", note]).await.json();
    assert_eq!(dry["plan"]["steps"].as_array().unwrap().len(), 6, "{dry}");
    let broken = run(&url, &["roll", "--yes", "--", "sh", "-c", "echo broken: {port} >&2; exit 7"]).await;
    assert!(broken.status == 1 && broken.err.contains("exit status: 7: broken: "), "{broken:?}");
    let missing = run(&url, &["roll", "--yes", "--", "/nowhere/restart"]).await;
    assert!(missing.status == 1 && missing.err.contains("could not be started"), "{missing:?}");
    let hangs =
        ["roll", "--yes", "--command-timeout", "1", "--", "sh", "-c", "echo waits >&2; exec sleep 600"];
    let hangs = run(&url, &hangs).await;
    assert!(hangs.status == 1 && hangs.err.contains("did not end within 1s and was killed"), "{hangs:?}");
    assert!(hangs.err.contains(": waits"), "{hangs:?}");

    let (operator, paths) = (Arc::clone(&cluster), notes.path().to_owned());
    let mut ids = Vec::new();
    for node in &nodes {
        ids.push(cluster.node_id(node).await.unwrap());
    }
    let operator = tokio::spawn(async move {
        let mut restarted = Vec::new();
        while restarted.len() < nodes.len() {
            for (node, id) in nodes.iter().zip(&ids) {
                let name = format!("{} {} {id}", node.host(), node.port());
                if !restarted.contains(node) && paths.join(name).exists() {
                    operator.restart(node).await.unwrap();
                    restarted.push(node.clone());
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let rolled =
        well(&url, &["--json", "roll", "--timeout", "60", "--yes", "--", "touch", note]).await.json();
    assert_eq!((&rolled["done"], &rolled["progress"]["step"]), (&true.into(), &6.into()));
    operator.await.unwrap();
    well(&url, &["check"]).await;
}

/// Nodes that tell ports on which nobody listens. (6.2 does not take another port while it runs.)
async fn addresses_that_lead_nowhere_from_here_are_mapped(server: Server) {
    const ELSEWHERE: u16 = 30_000;
    let cluster = LocalCluster::builder().server(server).start().await.unwrap();
    let nodes = cluster.nodes();
    let told = |node: &NodeAddr| NodeAddr::new(node.host(), node.port() + ELSEWHERE).to_string();
    for node in &nodes {
        let port = Command::new("CONFIG SET").arg("cluster-announce-port").arg(node.port() + ELSEWHERE);
        drop(cluster.command(node, port).await.unwrap());
    }
    let all_tell = || async {
        for node in &nodes {
            let reply = cluster.command(node, Command::new("CLUSTER NODES")).await.unwrap();
            if !nodes.iter().all(|other| reply.as_str().unwrap().contains(&told(other))) {
                return None;
            }
        }
        Some(())
    };
    until("all nodes to tell the new ports", all_tell).await;
    let url = cluster.url();
    let lost = run(&url, &["--json", "check"]).await;
    assert_eq!((lost.status, lost.json()["unreachable"].as_array().unwrap().len()), (1, 2), "{lost:?}");

    let maps: Vec<String> = nodes.iter().map(|node| format!("--map={}={node}", told(node))).collect();
    let maps: Vec<&str> = maps.iter().map(String::as_str).collect();
    let inside = told(&nodes[1]);
    well(&url, &[&maps[..], &["check"]].concat()).await;
    let plan =
        well(&url, &[&maps[..], &["--json", "reshard", "--slots", "3", "--to", &inside, "-n"]].concat())
            .await;
    assert_eq!(plan.json()["plan"]["steps"][0]["to"]["addr"], inside.as_str());
    // Slots without keys: no node has to reach another.
    well(&url, &[&maps[..], &["reshard", "--slots", "3", "--to", &inside, "--key-by-key", "-y"]].concat())
        .await;
    let slots = well(&url, &[&maps[..], &["--json", "slots"]].concat()).await.json();
    let gained = slots["shards"].as_array().unwrap().iter().find(|shard| shard["primary"] == inside.as_str());
    assert_eq!(gained.unwrap()["slot_count"], 5465);
}
