//! Clusters that are built, checked, reshaped and mended; killed between any two commands and gone on with.

use std::collections::BTreeMap;
use std::time::Duration;

use keyslot::admin::{AddAs, Admin, AdminOptions, Failover, Fix, Problem, Rebalance, Report, Slots, Step};
use keyslot::testkit::sim::{self, Fault, FaultKind, Profile, SimCluster, SimClusterBuilder};
use keyslot::{Client, ErrorKind, NodeAddr, Slot, Value};

use crate::support::{MS, SECOND, builder, keys_of, received_by_all, soon};

pub(crate) const PROFILES: [Profile; 5] =
    [Profile::Redis62, Profile::Redis70, Profile::Redis82, Profile::Valkey81, Profile::Valkey91];

pub(crate) async fn admin(cluster: &SimCluster) -> Admin {
    builder(cluster).admin().await.unwrap()
}

/// So many nodes in cluster mode that know nobody.
pub(crate) async fn strangers(of: SimClusterBuilder, count: usize) -> SimCluster {
    let cluster = of.primaries(count).start_in_memory().unwrap();
    for node in cluster.nodes() {
        assert_eq!(cluster.ask(&node, ["CLUSTER", "RESET", "HARD"]).unwrap(), Value::Simple("OK".into()));
    }
    tokio::time::sleep(SECOND).await;
    cluster
}

pub(crate) async fn checked(cluster: &SimCluster) -> Report {
    soon(admin(cluster).await.check()).await.unwrap()
}

#[track_caller]
pub(crate) fn assert_well(report: &Report) {
    assert!(report.is_ok(), "{report}");
}

/// Every key with all of its values, by whoever has them among the primaries.
fn contents(cluster: &SimCluster, keys: &[String]) -> BTreeMap<String, Vec<(NodeAddr, Value)>> {
    let is_primary = |node: &NodeAddr| {
        let role = cluster.ask(node, ["ROLE"]).unwrap();
        matches!(role, Value::Array(parts) if parts.first().and_then(Value::as_str) == Some("master"))
    };
    let nodes: Vec<NodeAddr> = cluster.nodes().into_iter().filter(is_primary).collect();
    let found = keys.iter().map(|key| {
        let slot = Slot::of_key(key.as_bytes()).to_string();
        let at = nodes.iter().filter_map(|node| {
            let held = cluster.ask(node, ["CLUSTER", "GETKEYSINSLOT", &slot, "1000"]).unwrap();
            let Value::Array(held) = held else { panic!("{held:?}") };
            let has = held.iter().any(|held| held.as_str() == Some(key));
            has.then(|| (node.clone(), cluster.ask(node, ["GET", key]).unwrap()))
        });
        (key.clone(), at.collect())
    });
    found.collect()
}

/// Each key is at the owner of its slot with its value, and nowhere else.
#[track_caller]
pub(crate) fn assert_all_there(cluster: &SimCluster, keys: &[String]) {
    for (key, found) in contents(cluster, keys) {
        let owner = cluster.primary_of(Slot::of_key(key.as_bytes())).unwrap();
        let value = Value::Bulk(key.clone().into());
        assert_eq!(found, [(owner, value)], "{key}");
    }
}

/// So many keys in each of the first slots.
pub(crate) fn names(slots: u16, each: usize) -> Vec<String> {
    let keys = (0..).map(|number| format!("k{number}"));
    keys.filter(|key| Slot::of_key(key.as_bytes()).get() < slots).take(usize::from(slots) * each).collect()
}

/// Puts keys at the first primary, each with its name as its value.
pub(crate) fn put(cluster: &SimCluster, keys: &[String]) {
    let owner = cluster.primary_of(Slot::new(0).unwrap()).unwrap();
    for key in keys {
        assert_eq!(cluster.ask(&owner, ["SET", key, key]).unwrap(), Value::Simple("OK".into()));
    }
}

pub(crate) fn load(cluster: &SimCluster, slots: u16, each: usize) -> Vec<String> {
    let keys = names(slots, each);
    put(cluster, &keys);
    keys
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_made_of_strangers() {
    for profile in PROFILES {
        let cluster = strangers(SimCluster::builder().profile(profile), 7).await;
        let admin = builder(&cluster).admin().await.unwrap();
        let plan = soon(admin.create(&cluster.nodes(), 1)).await.unwrap();
        assert!(plan.to_string().contains("takes 5462 slots: 5461-10922"), "{plan}");
        assert!(plan.notes()[0].starts_with("anti-affinity: 4 replicas"), "{:?}", plan.notes());
        let json: serde_json::Value = serde_json::from_str(&plan.to_json()).unwrap();
        assert_eq!(json["steps"].as_array().unwrap().len(), plan.steps().len());
        let begin = cluster.elapsed();
        let end = soon(plan.run(|_| {})).await.unwrap();
        assert!(cluster.elapsed() - begin < 10 * SECOND);
        assert_eq!((end.step, end.stopped), (end.steps, false));
        let report = checked(&cluster).await;
        assert_well(&report);
        let replicas: Vec<usize> =
            report.view.primaries().map(|node| report.view.replicas_of(node.id()).count()).collect();
        assert_eq!(replicas, [2, 1, 1], "{profile:?}");
        // Asked for again there is nothing left but to look.
        let again = soon(admin.create(&cluster.nodes(), 1)).await.unwrap();
        assert!(again.steps().iter().all(|step| matches!(step, Step::Meet { .. } | Step::BeWell)), "{again}");
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_that_are_not_empty_or_not_enough_are_refused() {
    let cluster = strangers(SimCluster::builder(), 6).await;
    let nodes = cluster.nodes();
    let admin = builder(&cluster).admin().await.unwrap();
    let error = soon(admin.create(&nodes[..5], 1)).await.unwrap_err().to_string();
    assert!(error.contains("so 6 nodes are needed"), "{error}");
    let twice = [&nodes[..5], &nodes[..1]].concat();
    let error = soon(admin.create(&twice, 1)).await.unwrap_err().to_string();
    assert!(error.contains("a node is named twice"), "{error}");
    drop(cluster);
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    cluster.ask(&cluster.primary_of(Slot::of_key(b"k")).unwrap(), ["SET", "k", "v"]).unwrap();
    let nodes = cluster.nodes();
    let admin = builder(&cluster).admin().await.unwrap();
    let spare = cluster.add_node().await.unwrap();
    tokio::time::sleep(SECOND).await;
    let error = soon(admin.create(&nodes, 0)).await.unwrap_err().to_string();
    assert!(error.contains("holds 1 keys") && error.contains("is in a cluster with"), "{error} {spare}");
}

#[tokio::test(start_paused = true)]
async fn slots_are_moved_and_shared_anew_with_their_keys() {
    for profile in PROFILES {
        let cluster = SimCluster::builder().profile(profile).replicas(1).start_in_memory().unwrap();
        let nodes = cluster.nodes();
        let keys = load(&cluster, 200, 5);
        let admin = admin(&cluster).await;
        let plan = soon(admin.reshard(&[nodes[0].clone()], &nodes[2], 300)).await.unwrap();
        let mut told = Vec::new();
        soon(plan.run(|progress| told.push(progress.clone()))).await.unwrap();
        assert_eq!(told.last().map(|last| last.slots_done), Some(300), "{profile:?}");
        assert_well(&checked(&cluster).await);
        // The slots with keys are at the beginning, and those at the end are taken first.
        let moved: Slots = "0-99".parse().unwrap();
        let plan = soon(admin.move_slots(&moved, &nodes[1])).await.unwrap();
        let end = soon(plan.run(|_| {})).await.unwrap();
        assert!(end.keys_done > 300 && end.keys_done == end.keys, "{end:?}");
        assert_eq!(cluster.primary_of(Slot::new(0).unwrap()), Some(nodes[1].clone()));
        assert_all_there(&cluster, &keys);
        assert!(soon(admin.move_slots(&moved, &nodes[1])).await.unwrap().is_empty());
        let plan = soon(admin.rebalance(Rebalance::new().threshold(0))).await.unwrap();
        soon(plan.run(|_| {})).await.unwrap();
        let report = checked(&cluster).await;
        assert_well(&report);
        let mut shares: Vec<usize> = report.view.primaries().map(|node| node.myself.slots_served()).collect();
        shares.sort_unstable();
        assert_eq!(shares, [5461, 5461, 5462]);
        assert_all_there(&cluster, &keys);
        assert!(soon(admin.rebalance(Rebalance::new().threshold(0))).await.unwrap().is_empty());
    }
}

/// Two slots with keys go from the first primary to the second.
async fn reshard(cluster: &SimCluster) -> keyslot::Result<()> {
    let options =
        AdminOptions::new().batch(2, 1 << 20).slots_at_a_time(2).retry_for(SECOND).agreement_timeout(SECOND);
    let admin = admin(cluster).await.with(options);
    let plan = admin.move_slots(&"0-1".parse().unwrap(), &cluster.nodes()[1]).await?;
    plan.run(|_| {}).await.map(drop)
}

/// What a process does that ends before its command number `after`, or, with its reply lost, behind it.
pub(crate) fn death(after: usize, executed: bool) -> Vec<Fault> {
    let dead = Fault::new(FaultKind::CloseBefore);
    match executed {
        true => vec![Fault::new(FaultKind::CloseAfter).skip(after).times(1), dead.skip(after)],
        false => vec![dead.skip(after)],
    }
}

/// Kills a reshard at each of its commands in turn, and gives what is left to `second`.
async fn killed_at_every_command(
    profile: Profile,
    executed: bool,
    second: impl AsyncFn(&SimCluster) -> keyslot::Result<()>,
) -> usize {
    let keys = names(2, 3);
    for after in 0.. {
        let cluster = SimCluster::builder().profile(profile).start_in_memory().unwrap();
        put(&cluster, &keys);
        for fault in death(after, executed) {
            cluster.inject(fault);
        }
        let before = received_by_all(&cluster, "MIGRATE");
        let first = soon(reshard(&cluster)).await;
        cluster.perform(sim::Step::LiftAll).unwrap();
        tokio::time::sleep(SECOND).await;
        if let Err(error) = soon(second(&cluster)).await {
            panic!("killed after {after}: {error}; before: {first:?}, {before}");
        }
        tokio::time::sleep(SECOND).await;
        let report = checked(&cluster).await;
        assert!(report.is_ok(), "killed after {after}:\n{report}");
        assert_all_there(&cluster, &keys);
        if first.is_ok() {
            return after;
        }
    }
    0
}

#[tokio::test(start_paused = true)]
async fn a_reshard_that_is_killed_before_any_command_is_gone_on_with() {
    for profile in [Profile::Redis70] {
        let commands = killed_at_every_command(profile, false, async |cluster| {
            reshard(cluster).await?;
            assert_eq!(cluster.primary_of(Slot::new(1).unwrap()), Some(cluster.nodes()[1].clone()));
            Ok(())
        })
        .await;
        assert!(commands > 30, "{commands}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reshard_that_is_killed_behind_any_command_is_gone_on_with() {
    for profile in [Profile::Valkey91] {
        killed_at_every_command(profile, true, reshard).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reshard_that_is_killed_is_brought_to_its_end_by_fix() {
    for (profile, executed) in [(Profile::Redis62, true)] {
        killed_at_every_command(profile, executed, async |cluster| {
            let plan = admin(cluster).await.fix(Fix::new()).await?;
            plan.run(|_| {}).await.map(drop)
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_whose_making_was_killed_at_any_command_is_made_by_the_next() {
    let make = async |cluster: &SimCluster| {
        let options = AdminOptions::new().agreement_timeout(5 * SECOND);
        let admin = admin(cluster).await.with(options);
        let plan = admin.create(&cluster.nodes(), 1).await?;
        plan.run(|_| {}).await.map(drop)
    };
    for after in (0..).step_by(3) {
        let cluster = strangers(SimCluster::builder(), 6).await;
        for fault in death(after, after % 2 == 0) {
            cluster.inject(fault);
        }
        let first = soon(make(&cluster)).await;
        cluster.perform(sim::Step::LiftAll).unwrap();
        tokio::time::sleep(SECOND).await;
        soon(make(&cluster)).await.unwrap_or_else(|error| panic!("killed after {after}: {error}"));
        assert_well(&checked(&cluster).await);
        if first.is_ok() {
            assert!(after > 60, "{after}");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_run_leaves_no_slot_open() {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let keys = load(&cluster, 50, 3);
    let admin = admin(&cluster).await.with(AdminOptions::new().slots_at_a_time(4));
    let plan = soon(admin.move_slots(&"0-49".parse().unwrap(), &cluster.nodes()[1])).await.unwrap();
    let stop = plan.stop_handle();
    let end = soon(plan.run(|progress| {
        if progress.slots_done == 10 {
            stop.stop();
        }
    }))
    .await
    .unwrap();
    assert!(end.stopped && (10..=14).contains(&end.slots_done), "{end:?}");
    assert_well(&checked(&cluster).await);
    assert_all_there(&cluster, &keys);
}

#[tokio::test(start_paused = true)]
async fn a_failover_of_the_source_or_the_target_in_the_middle_of_a_move_is_followed() {
    for profile in PROFILES {
        for promoted in [0, 1] {
            let cluster = SimCluster::builder().profile(profile).replicas(1).start_in_memory().unwrap();
            let keys = load(&cluster, 5, 20);
            let nodes = cluster.nodes();
            let replica = cluster.replicas_of(&nodes[promoted]).remove(0);
            let options = AdminOptions::new().batch(3, 1 << 20).slots_at_a_time(1);
            let admin = admin(&cluster).await.with(options);
            let plan = soon(admin.move_slots(&"0-4".parse().unwrap(), &nodes[1])).await.unwrap();
            let mut is_promoted = false;
            let run = plan.run(|progress| {
                if progress.keys_done >= 8 && !std::mem::replace(&mut is_promoted, true) {
                    cluster.promote(&replica).unwrap();
                }
            });
            if let Err(error) = soon(run).await {
                panic!("{profile:?} {promoted}: {error}\n{}", soon(admin.view()).await.unwrap());
            }
            assert!(is_promoted);
            tokio::time::sleep(SECOND).await;
            let report = checked(&cluster).await;
            assert!(report.is_ok(), "{profile:?} {promoted}\n{report}");
            assert_all_there(&cluster, &keys);
            // A target that was replaced at the moment when it got a slot keeps its place with that slot.
            let owner = cluster.primary_of(Slot::new(4).unwrap()).unwrap();
            assert!(owner == nodes[1] || promoted == 1 && owner == replica, "{owner}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_a_failover_in_a_move_has_hidden_are_found_and_brought_home() {
    let cluster = SimCluster::builder().profile(Profile::Redis70).replicas(1).start_in_memory().unwrap();
    let keys = load(&cluster, 1, 6);
    let nodes = cluster.nodes();
    let slot = Slot::new(0).unwrap();
    cluster.open_slot(slot, &nodes[1]).unwrap();
    cluster.migrate_keys(slot, 3).unwrap();
    tokio::time::sleep(SECOND).await;
    for primary in [&nodes[0], &nodes[1]] {
        let replica = cluster.replicas_of(primary).remove(0);
        cluster.promote(&replica).unwrap();
        tokio::time::sleep(SECOND).await;
    }
    let report = checked(&cluster).await;
    assert!(
        report.problems.iter().any(|problem| matches!(problem, Problem::Orphans { keys: 3, .. })),
        "{report}"
    );
    let plan = soon(admin(&cluster).await.fix(Fix::new())).await.unwrap();
    soon(plan.run(|_| {})).await.unwrap();
    assert_well(&checked(&cluster).await);
    assert_all_there(&cluster, &keys);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_holds_up_its_source_once_and_gets_the_keys_when_it_goes_on() {
    for profile in [Profile::Redis70, Profile::Valkey81] {
        let cluster = SimCluster::builder()
            .profile(profile)
            .fails_over(false)
            .node_timeout(3600 * SECOND)
            .start_in_memory()
            .unwrap();
        let keys = load(&cluster, 2, 10);
        let nodes = cluster.nodes();
        let admin = admin(&cluster).await.with(AdminOptions::new().batch(2, 1 << 20).slots_at_a_time(2));
        let plan = soon(admin.move_slots(&"0-1".parse().unwrap(), &nodes[1])).await.unwrap();
        let (hangs, mut hung) = (tokio::sync::Notify::new(), false);
        let run = plan.run(|progress| {
            if progress.keys_done >= 4 && !std::mem::replace(&mut hung, true) {
                cluster.stop(&nodes[1]).unwrap();
                hangs.notify_one();
            }
        });
        let go_on = async {
            hangs.notified().await;
            tokio::time::sleep(SECOND).await;
            let before = cluster.received(&nodes[0], "MIGRATE");
            tokio::time::sleep(30 * SECOND).await;
            let tries = cluster.received(&nodes[0], "MIGRATE") - before;
            cluster.cont(&nodes[1]).unwrap();
            assert_eq!(tries, 0, "its source was told again to wait for it");
        };
        let (end, ()) = soon(async { tokio::join!(run, go_on) }).await;
        let end = end.unwrap();
        assert_eq!((end.slots_done, end.keys_done), (2, 20), "{profile:?} {end:?}");
        tokio::time::sleep(SECOND).await;
        assert_well(&checked(&cluster).await);
        assert_all_there(&cluster, &keys);
        assert_eq!(cluster.primary_of(Slot::new(1).unwrap()), Some(nodes[1].clone()));
    }
}

/// What real servers settle by themselves within a second, so that only here can it be seen who does it otherwise.
#[tokio::test(start_paused = true)]
async fn two_owners_and_epochs_that_collide_are_settled() {
    for profile in [Profile::Redis62, Profile::Valkey91] {
        let cluster = strangers(SimCluster::builder().profile(profile), 3).await;
        let nodes = cluster.nodes();
        let told = |node: &NodeAddr, line: &str| {
            let reply = cluster.ask(node, line.split(' ')).unwrap();
            assert!(!matches!(reply, Value::Error(_)), "{line}: {reply:?}");
        };
        // The first two have the same epoch, and both take slot 5000 and its keys for theirs.
        for (place, slots) in ["0 5000", "5000 10000", "10001 16383"].into_iter().enumerate() {
            told(&nodes[place], &format!("CLUSTER SET-CONFIG-EPOCH {}", [7, 7, 3][place]));
            let (first, last) = slots.split_once(' ').unwrap();
            let slots: Vec<String> = (first.parse::<u16>().unwrap()..=last.parse().unwrap())
                .map(|slot| slot.to_string())
                .collect();
            told(&nodes[place], &format!("CLUSTER ADDSLOTS {}", slots.join(" ")));
        }
        for node in &nodes[1..] {
            told(&nodes[0], &format!("CLUSTER MEET {} {}", node.host(), node.port()));
        }
        tokio::time::sleep(5 * SECOND).await;
        let keys: Vec<String> = (0..)
            .map(|number| format!("k{number}"))
            .filter(|key| Slot::of_key(key.as_bytes()).get() == 5000)
            .take(6)
            .collect();
        // Three are at the one, four at the other; one of them at both.
        for (place, some) in [(0, &keys[..3]), (1, &keys[2..])] {
            some.iter().for_each(|key| told(&nodes[place], &format!("SET {key} {key}")));
        }
        let report = checked(&cluster).await;
        let finds = |wanted: fn(&Problem) -> bool| report.problems.iter().any(wanted);
        assert!(finds(|problem| matches!(problem, Problem::Contested { slots, .. } if slots.len() == 1)));
        assert!(finds(|problem| matches!(problem, Problem::EpochCollision { epoch: 7, .. })), "{report}");
        let plan = soon(admin(&cluster).await.fix(Fix::new())).await.unwrap();
        soon(plan.run(|_| {})).await.unwrap_or_else(|error| panic!("{profile:?} {error}\n{plan}"));
        assert_well(&checked(&cluster).await);
        assert_all_there(&cluster, &keys);
        let owner = cluster.primary_of(Slot::new(5000).unwrap()).unwrap();
        assert_eq!(owner, nodes[1], "who has more of the keys keeps the slot");
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_asked_for_can_run_in_a_task_of_its_own() {
    let cluster = SimCluster::builder().replicas(1).start_in_memory().unwrap();
    let keys = load(&cluster, 3, 3);
    let admin = admin(&cluster).await;
    let nodes = cluster.nodes();
    let replica = cluster.replicas_of(&nodes[0]).remove(0);
    let task = tokio::spawn(async move {
        let slots: Slots = "0-2".parse().unwrap();
        admin.move_slots(&slots, &nodes[1]).await?.run(|_| {}).await?;
        admin.failover(&replica, Failover::Graceful).await?.run(|_| {}).await?;
        admin.fix(Fix::new()).await?.run(|_| {}).await?;
        admin.check().await
    });
    assert_well(&soon(task).await.unwrap().unwrap());
    assert_all_there(&cluster, &keys);
}

#[tokio::test(start_paused = true)]
async fn a_node_joins_as_replica_or_primary_and_leaves() {
    // Thousands of slots move, so on one version of each kind only.
    for profile in [Profile::Redis70] {
        let cluster = strangers(SimCluster::builder().profile(profile), 8).await;
        let nodes = cluster.nodes();
        let admin = builder(&cluster).admin().await.unwrap();
        soon(soon(admin.create(&nodes[..6], 1)).await.unwrap().run(|_| {})).await.unwrap();
        let keys = load(&cluster, 100, 3);
        let plan = soon(admin.add_node(&nodes[6], AddAs::Primary)).await.unwrap();
        soon(plan.run(|_| {})).await.unwrap();
        let plan = soon(admin.add_node(&nodes[7], AddAs::ReplicaOf(nodes[6].clone()))).await.unwrap();
        soon(plan.run(|_| {})).await.unwrap();
        assert_well(&checked(&cluster).await);
        let plan = soon(admin.rebalance(Rebalance::new().use_empty(true))).await.unwrap();
        soon(plan.run(|_| {})).await.unwrap();
        let report = checked(&cluster).await;
        assert_well(&report);
        assert!(report.view.primaries().all(|node| node.myself.slots_served() == 4096), "{report}");
        assert_all_there(&cluster, &keys);
        // The first primary is the one that was asked first.
        let plan = soon(admin.del_node(&nodes[0])).await.unwrap();
        soon(plan.run(|_| {})).await.unwrap_or_else(|error| panic!("{profile:?}: {error}"));
        let report = soon(admin.check()).await.unwrap();
        assert_well(&report);
        assert_eq!(report.view.nodes.len(), 7, "{profile:?} {report}");
        assert_all_there(&cluster, &keys);
        let alone = soon(admin.node_view(&nodes[0])).await.unwrap();
        assert_eq!((alone.lines_of_others(), alone.myself.slots_served()), (0, 0));
        let replica = report.view.nodes.iter().find(|node| !node.is_primary()).unwrap().addr.clone();
        let plan = soon(admin.del_node(&replica)).await.unwrap();
        soon(plan.run(|_| {})).await.unwrap();
        let report = soon(admin.check()).await.unwrap();
        assert_eq!(report.view.nodes.len(), 6);
        assert_well(&report);
    }
}

#[tokio::test(start_paused = true)]
async fn a_primary_joins_with_its_share_of_the_slots() {
    let cluster = strangers(SimCluster::builder().profile(Profile::Valkey91), 4).await;
    let nodes = cluster.nodes();
    let admin = builder(&cluster).admin().await.unwrap();
    soon(soon(admin.create(&nodes[..3], 0)).await.unwrap().run(|_| {})).await.unwrap();
    let keys = load(&cluster, 100, 3);
    let plan = soon(admin.add_node(&nodes[3], AddAs::PrimaryWithSlots)).await.unwrap();
    assert!(plan.to_string().contains("as a primary with its share of the slots"), "{plan}");
    soon(plan.run(|_| {})).await.unwrap();
    let report = checked(&cluster).await;
    assert_well(&report);
    assert_eq!(report.view.nodes.len(), 4, "{report}");
    assert!(report.view.primaries().all(|node| node.myself.slots_served() == 4096), "{report}");
    assert_all_there(&cluster, &keys);
    let error = soon(admin.add_node(&nodes[3], AddAs::PrimaryWithSlots)).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("is not empty"), "{error}");
}

trait Others {
    fn lines_of_others(&self) -> usize;
}

impl Others for keyslot::admin::NodeView {
    fn lines_of_others(&self) -> usize {
        self.others.len()
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_takes_the_place_of_its_primary_and_gets_another_one() {
    for manner in [Failover::Graceful, Failover::Force, Failover::Takeover] {
        let cluster = SimCluster::builder().replicas(1).start_in_memory().unwrap();
        let nodes = cluster.nodes();
        let admin = admin(&cluster).await;
        let replica = cluster.replicas_of(&nodes[0]).remove(0);
        let plan = soon(admin.failover(&replica, manner)).await.unwrap();
        soon(plan.run(|_| {})).await.unwrap();
        assert_eq!(cluster.primary_of(Slot::new(0).unwrap()), Some(replica.clone()));
        assert!(soon(admin.failover(&replica, manner)).await.unwrap().is_empty());
        let plan = soon(admin.replicate(&nodes[0], &nodes[1])).await.unwrap();
        soon(plan.run(|_| {})).await.unwrap();
        assert_eq!(cluster.replicas_of(&nodes[1]).len(), 2);
        let report = checked(&cluster).await;
        assert_well(&report);
        assert!(
            report.problems.iter().any(|problem| matches!(problem, Problem::FewReplicas { replicas: 0, .. }))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_go_with_the_keys() {
    let cluster = SimCluster::builder().password("se cret").start_in_memory().unwrap();
    let keys = {
        let client =
            Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await.unwrap();
        let keys = keys_of(&cluster, &cluster.nodes()[0], "k", 20);
        for key in &keys {
            keyslot::Commands::set(&client, key.as_str(), key.as_str()).await.unwrap();
        }
        let slots: Slots = keys.iter().map(|key| Slot::of_key(key.as_bytes())).collect();
        let admin = client.admin();
        let plan = soon(admin.move_slots(&slots, &cluster.nodes()[1])).await.unwrap();
        soon(plan.run(|_| {})).await.unwrap();
        for key in &keys {
            let value: String = keyslot::Commands::get(&client, key.as_str()).await.unwrap();
            assert_eq!(value, *key);
        }
        keys
    };
    assert_eq!(keys.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_is_in_the_report() {
    let cluster = SimCluster::builder().replicas(1).fails_over(false).start_in_memory().unwrap();
    let nodes = cluster.nodes();
    cluster.kill(&nodes[2]).unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let report = checked(&cluster).await;
    assert!(!report.is_ok());
    assert!(report.problems.iter().any(|problem| matches!(problem, Problem::Unreachable { .. })), "{report}");
    assert!(report.problems.iter().any(|problem| matches!(problem, Problem::Uncovered { .. })), "{report}");
    let plan = soon(admin(&cluster).await.fix(Fix::new())).await.unwrap();
    assert!(plan.notes()[0].contains("which does not answer"), "{plan}");
    let replica = cluster.replicas_of(&nodes[2]).remove(0);
    let plan = soon(admin(&cluster).await.failover(&replica, Failover::Force)).await.unwrap();
    soon(plan.run(|_| {})).await.unwrap();
    tokio::time::sleep(MS * 500).await;
    let report = checked(&cluster).await;
    assert!(!report.problems.iter().any(|problem| matches!(problem, Problem::Uncovered { .. })), "{report}");
}
