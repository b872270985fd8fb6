//! Real clusters that are built, checked, reshaped, broken and mended; `redis-cli --cluster check` agrees after each step.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests report by panicking, in their helpers too, where clippy.toml does not allow it by itself"
)]

mod live_support;

use std::path::PathBuf;
use std::process::Command as Program;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use keyslot::admin::{AddAs, Admin, AdminOptions, Failover, Fix, Plan, Problem, Rebalance, Report, Slots};
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, Command, Commands, Error, NodeAddr, Slot, Value};

use live_support::{ask, on_every_server, tag_of_each_slot, until};

on_every_server! {
    all:
        a_cluster_lives_from_its_making_to_the_loss_of_a_node
        what_was_broken_is_mended
        an_interrupted_move_is_gone_on_with;
    since_7_0:
        a_new_primary_has_the_functions_of_the_others;
    valkey_9_1: ;
}

/// Nodes in cluster mode that know nobody; the cluster that starts and ends them does not count.
async fn strangers(server: Server, count: usize) -> (LocalCluster, Vec<NodeAddr>) {
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

async fn admin(nodes: &[NodeAddr]) -> Admin {
    Client::builder().seeds(nodes.iter().map(ToString::to_string)).admin().await.unwrap()
}

async fn done(plan: Result<Plan, Error>) -> keyslot::admin::Progress {
    let plan = plan.unwrap();
    plan.run(|_| {}).await.unwrap_or_else(|error| panic!("{error}\n{plan}"))
}

#[track_caller]
fn assert_well(report: &Report) {
    assert!(report.is_ok(), "{report}");
}

/// `redis-cli --cluster check`, of this version or of the next older one that has a program.
fn cli_agrees(server: &Server, node: &NodeAddr) {
    let folder = server.path().parent().unwrap();
    let beside = ["redis-cli", "valkey-cli"].map(|name| folder.join(name));
    let older = ["redis-7.0/redis-cli", "valkey-8.1/valkey-cli"].map(|name| folder.join("..").join(name));
    let program: PathBuf = beside.into_iter().chain(older).find(|path| path.is_file()).unwrap();
    let said = Program::new(program).args(["--cluster", "check", &node.to_string()]).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && text.contains("[OK] All 16384 slots covered."), "{text}");
    assert!(!text.contains("[ERR]") && !text.contains("[WARNING]"), "{text}");
}

/// Everything is well by this crate's word and by the tool's.
async fn all_is_well(admin: &Admin, server: &Server) -> Report {
    let report = admin.check().await.unwrap();
    assert_well(&report);
    cli_agrees(server, &report.view.nodes.first().unwrap().addr);
    report
}

/// So many keys over all slots, each with a value that tells its key; and a large one.
async fn load(client: &Client, count: usize) -> Vec<String> {
    let keys: Vec<String> = (0..count).map(|number| format!("key:{number}")).collect();
    for part in keys.chunks(500) {
        client.mset(part.iter().map(|key| (key.as_str(), live_support::value_of(key)))).await.unwrap();
    }
    keys
}

/// All keys have their values, and there are no others.
async fn assert_all_there(client: &Client, keys: &[String]) {
    for part in keys.chunks(500) {
        let values: Vec<Option<String>> = client.mget(part.iter().map(String::as_str)).await.unwrap();
        for (key, value) in part.iter().zip(values) {
            assert_eq!(value, Some(live_support::value_of(key)), "{key}");
        }
    }
    assert_eq!(client.dbsize().await.unwrap(), i64::try_from(keys.len()).unwrap());
}

/// Reads and writes own keys until told to end; every error is a failure of the test.
struct Load {
    ends: Arc<AtomicBool>,
    commands: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<Result<(), Error>>>,
}

impl Load {
    fn start(client: &Client, keys: &[String]) -> Self {
        let (ends, commands) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let tasks = (0..4).map(|task| {
            let (client, ends, commands) = (client.clone(), Arc::clone(&ends), Arc::clone(&commands));
            let keys: Vec<String> = keys.iter().skip(task).step_by(4).cloned().collect();
            tokio::spawn(async move {
                while !ends.load(Ordering::Acquire) {
                    for key in &keys {
                        let value: Option<String> = client.get(key.as_str()).await?;
                        assert_eq!(value, Some(live_support::value_of(key)), "{key}");
                        client.set(key.as_str(), live_support::value_of(key)).await?;
                        commands.fetch_add(2, Ordering::Relaxed);
                        if ends.load(Ordering::Acquire) {
                            break;
                        }
                    }
                }
                Ok(())
            })
        });
        let tasks = tasks.collect();
        Self { ends, commands, tasks }
    }

    async fn end(self) -> u64 {
        self.ends.store(true, Ordering::Release);
        for task in self.tasks {
            task.await.unwrap().unwrap();
        }
        self.commands.load(Ordering::Relaxed)
    }
}

async fn a_cluster_lives_from_its_making_to_the_loss_of_a_node(server: Server) {
    let (cluster, nodes) = strangers(server.clone(), 8).await;
    let admin = admin(&nodes[..6]).await;
    let begin = tokio::time::Instant::now();
    done(admin.create(&nodes[..6], 1).await).await;
    assert!(begin.elapsed() < Duration::from_secs(10), "made in {:?}", begin.elapsed());
    let report = all_is_well(&admin, &server).await;
    let shares: Vec<usize> = report.view.primaries().map(|node| node.myself.slots_served()).collect();
    assert_eq!(shares, [5461, 5462, 5461]);
    let client = Client::builder().seeds(nodes[..6].iter().map(ToString::to_string)).connect().await.unwrap();
    let mut keys = load(&client, 4000).await;
    // One key alone is larger than a batch.
    client.set("big", vec![b'x'; 8 << 20]).await.unwrap();

    done(admin.add_node(&nodes[6], AddAs::Primary).await).await;
    done(admin.add_node(&nodes[7], AddAs::ReplicaOf(nodes[6].clone())).await).await;
    all_is_well(&admin, &server).await;

    let load = Load::start(&client, &keys);
    let how =
        Rebalance::new().weight(&nodes[6], 1).weight(&nodes[0], 3).weight(&nodes[1], 3).weight(&nodes[2], 3);
    done(admin.rebalance(how).await).await;
    let first = admin.check().await.unwrap();
    let owner = first.view.node_at(&nodes[6]).unwrap();
    assert_eq!(owner.myself.slots_served(), 1639);
    done(admin.reshard(&[nodes[0].clone()], &nodes[1], 300).await).await;
    done(admin.reshard(&[], &nodes[0], 200).await).await;
    assert!(load.end().await > 0);
    all_is_well(&admin, &server).await;

    let replica =
        first.view.replicas_of(first.view.node_at(&nodes[1]).unwrap().id()).next().unwrap().addr.clone();
    done(admin.failover(&replica, Failover::Graceful).await).await;
    all_is_well(&admin, &server).await;
    done(admin.replicate(&nodes[1], &nodes[0]).await).await;
    done(admin.replicate(&nodes[1], &replica).await).await;
    all_is_well(&admin, &server).await;

    let load = Load::start(&client, &keys);
    done(admin.del_node(&nodes[6]).await).await;
    assert!(load.end().await > 0);
    let report = all_is_well(&admin, &server).await;
    assert_eq!(report.view.nodes.len(), 7);
    done(admin.del_node(&nodes[7]).await).await;
    let report = all_is_well(&admin, &server).await;
    assert_eq!(report.view.nodes.len(), 6);
    let big: Vec<u8> = client.get("big").await.unwrap();
    assert_eq!(big.len(), 8 << 20);
    client.del("big").await.unwrap();
    keys.sort_unstable();
    assert_all_there(&client, &keys).await;
    drop(cluster);
}

/// Sends each line to the node; an error reply is a failure.
async fn tell(cluster: &LocalCluster, node: &NodeAddr, line: &str) {
    let command = line
        .split(' ')
        .skip(2)
        .fold(Command::new(line.split(' ').take(2).collect::<Vec<_>>().join(" ")), Command::arg);
    let _: Value = ask(cluster, node, command).await;
}

async fn what_was_broken_is_mended(server: Server) {
    let cluster =
        LocalCluster::builder().primaries(3).replicas(1).server(server.clone()).start().await.unwrap();
    let nodes = cluster.nodes();
    let (a, b, c) = (&nodes[0], &nodes[1], &nodes[2]);
    let id_of = async |node: &NodeAddr| cluster.node_id(node).await.unwrap();
    let (id_a, id_b, id_c) = (id_of(a).await, id_of(b).await, id_of(c).await);
    let client = Client::connect(cluster.url()).await.unwrap();
    let keys = load(&client, 3000).await;
    let admin = client.admin();
    let tags = tag_of_each_slot();
    let keys_at = async |node: &NodeAddr, slot: u16| -> i64 {
        ask(&cluster, node, Command::new("CLUSTER COUNTKEYSINSLOT").arg(slot)).await
    };
    // Slots of the first primary that have keys, one for each way of breaking.
    let mut slots: Vec<u16> = keys.iter().map(|key| Slot::of_key(key.as_bytes()).get()).collect();
    slots.retain(|slot| *slot < 5000);
    slots.sort_unstable();
    slots.dedup();
    assert!(slots.len() > 20 && tags.len() == 16384);
    let mut slots = slots.into_iter().step_by(2);
    let mut next = || slots.next().unwrap();

    // Both have a mark, nothing has moved; and some keys have moved.
    let slot = next();
    tell(&cluster, b, &format!("CLUSTER SETSLOT {slot} IMPORTING {id_a}")).await;
    tell(&cluster, a, &format!("CLUSTER SETSLOT {slot} MIGRATING {id_b}")).await;
    let report = admin.check().await.unwrap();
    assert!(report.problems.iter().any(|problem| matches!(problem, Problem::Migrating { .. })), "{report}");
    assert!(report.problems.iter().any(|problem| matches!(problem, Problem::Importing { .. })), "{report}");
    let slot = next();
    cluster.open_slot(Slot::new(slot).unwrap(), a, b).await.unwrap();
    cluster.migrate_keys(Slot::new(slot).unwrap(), a, b, 1).await.unwrap();
    done(admin.fix(Fix::new()).await).await;
    all_is_well(&admin, &server).await;
    assert!(keys_at(b, slot).await > 0 && keys_at(a, slot).await == 0, "it was brought to its end");

    // Only the target has a mark; only the source has one.
    tell(&cluster, b, &format!("CLUSTER SETSLOT {} IMPORTING {id_a}", next())).await;
    tell(&cluster, a, &format!("CLUSTER SETSLOT {} MIGRATING {id_c}", next())).await;
    done(admin.fix(Fix::new()).await).await;
    all_is_well(&admin, &server).await;

    // The target has a mark and keys, and the source has forgotten it.
    let slot = next();
    cluster.open_slot(Slot::new(slot).unwrap(), a, c).await.unwrap();
    cluster.migrate_keys(Slot::new(slot).unwrap(), a, c, 1).await.unwrap();
    tell(&cluster, a, &format!("CLUSTER SETSLOT {slot} STABLE")).await;
    done(admin.fix(Fix::new()).await).await;
    all_is_well(&admin, &server).await;

    // Nobody has a mark, and one that is not the owner has keys.
    let slot = next();
    cluster.open_slot(Slot::new(slot).unwrap(), a, c).await.unwrap();
    cluster.migrate_keys(Slot::new(slot).unwrap(), a, c, 1).await.unwrap();
    tell(&cluster, a, &format!("CLUSTER SETSLOT {slot} STABLE")).await;
    tell(&cluster, c, &format!("CLUSTER SETSLOT {slot} STABLE")).await;
    let report = admin.check().await.unwrap();
    assert!(
        report.problems.iter().any(|problem| matches!(problem, Problem::Orphans { keys: 1, .. })),
        "{report}"
    );
    done(admin.fix(Fix::new()).await).await;
    all_is_well(&admin, &server).await;
    assert_eq!(keys_at(c, slot).await, 0);

    // Two import the same slot.
    let slot = next();
    cluster.open_slot(Slot::new(slot).unwrap(), a, b).await.unwrap();
    tell(&cluster, c, &format!("CLUSTER SETSLOT {slot} IMPORTING {id_a}")).await;
    done(admin.fix(Fix::new()).await).await;
    all_is_well(&admin, &server).await;

    // The owner does not serve a slot any more, with its keys and without.
    let empty =
        (5400..5461).find(|slot| keys.iter().all(|key| Slot::of_key(key.as_bytes()).get() != *slot)).unwrap();
    for slot in [next(), empty] {
        tell(&cluster, a, &format!("CLUSTER DELSLOTS {slot}")).await;
    }
    let report = admin.check().await.unwrap();
    assert!(
        report
            .problems
            .iter()
            .any(|problem| matches!(problem, Problem::Uncovered { slots } if slots.len() == 2)),
        "{report}"
    );
    done(admin.fix(Fix::new()).await).await;
    all_is_well(&admin, &server).await;

    // Nothing is left to mend, and nothing was lost.
    assert!(admin.fix(Fix::new()).await.unwrap().is_empty());
    assert_all_there(&client, &keys).await;
}

async fn an_interrupted_move_is_gone_on_with(server: Server) {
    let cluster =
        LocalCluster::builder().primaries(3).replicas(0).server(server.clone()).start().await.unwrap();
    let nodes = cluster.nodes();
    let client = Client::connect(cluster.url()).await.unwrap();
    let keys = load(&client, 2000).await;
    let slots: Slots = "0-399".parse().unwrap();
    for atomic in [false, true] {
        let options = AdminOptions::new().batch(2, 1 << 20).atomic(atomic);
        // Dropped again and again, each time a bit later, until it comes to its end.
        let target = if atomic { &nodes[2] } else { &nodes[1] };
        let mut limit = Duration::from_millis(20);
        loop {
            let admin = client.admin().with(options.clone());
            let plan = match admin.move_slots(&slots, target).await {
                Ok(plan) => plan,
                // The atomic one goes on by itself, and gossip takes a moment.
                Err(error) => panic!("{error}"),
            };
            if tokio::time::timeout(limit, plan.run(|_| {})).await.is_ok_and(|end| end.is_ok()) {
                break;
            }
            limit += limit / 2;
            assert!(limit < Duration::from_secs(60));
        }
        let report = all_is_well(&client.admin(), &server).await;
        let target = report.view.node_at(target).unwrap();
        assert!(slots.iter().all(|slot| report.view.primaries().all(|node| {
            let serves = node.myself.ranges().iter().any(|range| (range.first..=range.last).contains(&slot));
            serves == (node.id() == target.id())
        })));
    }
    assert_all_there(&client, &keys).await;
}

async fn a_new_primary_has_the_functions_of_the_others(server: Server) {
    let (cluster, nodes) = strangers(server.clone(), 4).await;
    let admin = admin(&nodes[..3]).await;
    done(admin.create(&nodes[..3], 0).await).await;
    let library = "#!lua name=lib\nredis.register_function('one', function() return 1 end)";
    for node in &nodes[..3] {
        let _: Value = ask(&cluster, node, Command::new("FUNCTION LOAD").arg(library)).await;
    }
    done(admin.add_node(&nodes[3], AddAs::Primary).await).await;
    done(admin.rebalance(Rebalance::new().use_empty(true)).await).await;
    let list: Vec<Value> = ask(&cluster, &nodes[3], Command::new("FUNCTION LIST")).await;
    assert_eq!(list.len(), 1);
    all_is_well(&admin, &server).await;
}
