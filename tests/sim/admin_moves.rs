//! Moves that something comes between: a failover, another admin, an older plan, servers of two versions.

use std::task::Poll;
use std::time::Duration;

use keyslot::admin::{Admin, AdminOptions, Fix, Slots};
use keyslot::testkit::sim::{Fault, FaultKind, Profile, SimCluster};
use keyslot::{Client, Commands, ErrorKind, NodeAddr, Slot, Value};

use crate::admin::{admin, assert_all_there, checked, load, names, put};
use crate::support::{MS, SECOND, builder, soon};

fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}

/// So many more names of keys of the slot than `taken` has.
fn more_of(number: u16, taken: &[String], count: usize) -> Vec<String> {
    let all = (0..).map(|name| format!("k{name}"));
    let own = all.filter(|key| Slot::of_key(key.as_bytes()).get() == number && !taken.contains(key));
    own.take(count).collect()
}

fn options() -> AdminOptions {
    AdminOptions::new().atomic(false)
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_had_no_keys_when_it_was_opened_is_not_given_up_with_those_of_a_new_primary() {
    // Redis forgets in a failover that a slot is on its way, and the new primary takes keys for it.
    let cluster = SimCluster::builder().profile(Profile::Redis70).replicas(1).start_in_memory().unwrap();
    let nodes = cluster.nodes();
    let mut keys: Vec<String> = (1..8).flat_map(|number| more_of(number, &[], 3)).collect();
    put(&cluster, &keys);
    // Its replica has them too, before it takes its place.
    tokio::time::sleep(SECOND).await;
    let late = more_of(0, &[], 1);
    let replica = cluster.replicas_of(&nodes[0]).remove(0);
    // So that the former primary has heard of it before the next batch.
    let admin = admin(&cluster).await.with(options().slots_at_a_time(16).pause(10 * MS));
    let plan = soon(admin.move_slots(&"0-7".parse().unwrap(), &nodes[1])).await.unwrap();
    let mut is_promoted = false;
    let run = plan.run(|progress| {
        if progress.keys_done >= 6 && !std::mem::replace(&mut is_promoted, true) {
            cluster.promote(&replica).unwrap();
            let taken = cluster.ask(&replica, ["SET", &late[0], &late[0]]).unwrap();
            assert_eq!(taken, Value::Simple("OK".into()));
        }
    });
    soon(run).await.unwrap();
    assert!(is_promoted);
    tokio::time::sleep(SECOND).await;
    keys.extend(late);
    assert_all_there(&cluster, &keys);
    assert!(checked(&cluster).await.is_ok());
    assert_eq!(cluster.primary_of(slot(0)), Some(nodes[1].clone()));
}

#[tokio::test(start_paused = true)]
async fn what_a_former_primary_does_not_hold_is_not_taken_for_gone() {
    // As a replica it answers with what it has, and does not have the newest yet.
    for (at_a_time, batch) in [(16, 200), (1, 2)] {
        let cluster = SimCluster::builder()
            .profile(Profile::Redis70)
            .replicas(1)
            .replication_delay(300 * MS)
            .start_in_memory()
            .unwrap();
        let nodes = cluster.nodes();
        let mut keys = load(&cluster, 1, 4);
        tokio::time::sleep(SECOND).await;
        let late = more_of(0, &keys, 1);
        let replica = cluster.replicas_of(&nodes[0]).remove(0);
        let admin = admin(&cluster)
            .await
            .with(options().slots_at_a_time(at_a_time).pause(10 * MS).batch(batch, 1 << 20));
        let plan = soon(admin.move_slots(&"0".parse().unwrap(), &nodes[1])).await.unwrap();
        let mut is_promoted = false;
        let run = plan.run(|progress| {
            if progress.keys_done >= 4 && !std::mem::replace(&mut is_promoted, true) {
                cluster.promote(&replica).unwrap();
                let taken = cluster.ask(&replica, ["SET", &late[0], &late[0]]).unwrap();
                assert_eq!(taken, Value::Simple("OK".into()));
            }
        });
        soon(run).await.unwrap();
        assert!(is_promoted);
        tokio::time::sleep(2 * SECOND).await;
        keys.extend(late);
        assert_all_there(&cluster, &keys);
        assert!(checked(&cluster).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_is_older_than_the_move_of_its_slot_to_another_is_refused() {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let nodes = cluster.nodes();
    let keys = load(&cluster, 2, 6);
    let admin = admin(&cluster).await;
    let old = soon(admin.move_slots(&"0-1".parse().unwrap(), &nodes[1])).await.unwrap();
    cluster.open_slot(slot(0), &nodes[2]).unwrap();
    cluster.migrate_keys(slot(0), 3).unwrap();
    tokio::time::sleep(SECOND).await;
    let error = soon(old.run(|_| {})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    assert!(error.to_string().contains("plan again"), "{error}");
    // A new one brings the other move to its end first.
    let plan = soon(admin.move_slots(&"0-1".parse().unwrap(), &nodes[1])).await.unwrap();
    soon(plan.run(|_| {})).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_all_there(&cluster, &keys);
    assert!(checked(&cluster).await.is_ok());
    assert_eq!(
        [0, 1].map(|number| cluster.primary_of(slot(number))),
        [Some(nodes[1].clone()), Some(nodes[1].clone())]
    );
}

/// Two that do not know of each other.
#[tokio::test(start_paused = true)]
async fn of_two_admins_that_move_the_same_slots_none_loses_a_key() {
    for targets in [[1, 1], [1, 2]] {
        for (late, at_a_time, batch) in (0..12).flat_map(|late| [(late, 8, 200), (late, 1, 2)]) {
            let cluster = SimCluster::builder().profile(Profile::Redis70).start_in_memory().unwrap();
            let nodes = cluster.nodes();
            let keys = load(&cluster, 6, 4);
            let run = async |to: &NodeAddr, late: u32| {
                // One way takes the simulated network no time, so what it does is counted in commands.
                let options = options().slots_at_a_time(at_a_time).batch(batch, 1 << 20).pause(2 * MS);
                let admin = admin(&cluster).await.with(options.retry_for(5 * SECOND));
                let plan = admin.move_slots(&"0-5".parse().unwrap(), to).await?;
                tokio::time::sleep(MS * late).await;
                plan.run(|_| {}).await
            };
            let ends =
                soon(async { tokio::join!(run(&nodes[targets[0]], 0), run(&nodes[targets[1]], late)) }).await;
            tokio::time::sleep(SECOND).await;
            let plan = soon(admin(&cluster).await.fix(Fix::new())).await.unwrap();
            soon(plan.run(|_| {})).await.unwrap();
            tokio::time::sleep(SECOND).await;
            let report = checked(&cluster).await;
            assert!(report.is_ok(), "{targets:?} {late} {at_a_time} {ends:?}\n{report}");
            assert_all_there(&cluster, &keys);
        }
    }
}

/// The states of the imports of a node.
fn imports(cluster: &SimCluster, node: &NodeAddr) -> Value {
    cluster.ask(node, ["CLUSTER", "MIGRATION", "STATUS", "ALL"]).unwrap()
}

#[tokio::test(start_paused = true)]
async fn slots_go_key_by_key_between_servers_of_which_only_one_can_do_it_in_one_moment() {
    let cluster = SimCluster::builder()
        .profile(Profile::Redis84)
        .profile_of(0, Profile::Redis82)
        .start_in_memory()
        .unwrap();
    let nodes = cluster.nodes();
    let keys = load(&cluster, 3, 3);
    let admin = admin(&cluster).await;
    for to in [&nodes[1], &nodes[0]] {
        let plan = soon(admin.move_slots(&"0-2".parse().unwrap(), to)).await.unwrap();
        assert_eq!(soon(plan.run(|_| {})).await.unwrap().slots_done, 3);
        assert_all_there(&cluster, &keys);
        assert_eq!(imports(&cluster, &nodes[1]), Value::Array(Vec::new()));
    }
}

#[tokio::test(start_paused = true)]
async fn the_heir_of_a_target_that_has_died_fetches_the_slots() {
    let cluster = SimCluster::builder().profile(Profile::Redis84).replicas(1).start_in_memory().unwrap();
    let nodes = cluster.nodes();
    let keys = load(&cluster, 3, 3);
    let heir = cluster.replicas_of(&nodes[1]).remove(0);
    let admin = admin(&cluster).await;
    let plan = soon(admin.move_slots(&"0-2".parse().unwrap(), &nodes[1])).await.unwrap();
    let dying = async {
        let begun = |cluster: &SimCluster| imports(cluster, &nodes[1]) != Value::Array(Vec::new());
        cluster.until(begun).await;
        cluster.kill(&nodes[1]).unwrap();
    };
    let (end, ()) = soon(async { tokio::join!(plan.run(|_| {}), dying) }).await;
    let end = end.unwrap();
    assert_eq!((end.slots_done, end.keys_done), (3, 9), "{end:?}");
    for key in &keys {
        assert_eq!(cluster.primary_of(Slot::of_key(key.as_bytes())), Some(heir.clone()));
        assert_eq!(cluster.ask(&heir, ["GET", key]).unwrap(), Value::Bulk(key.clone().into()));
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_for_tries_begins_anew_behind_each_migration_that_ends_well() {
    let cluster = SimCluster::builder().profile(Profile::Redis84).start_in_memory().unwrap();
    let nodes = cluster.nodes();
    let keys = load(&cluster, 10, 2);
    let admin = admin(&cluster).await.with(AdminOptions::new().retry_for(SECOND));
    let plan = soon(admin.move_slots(&"0-9".parse().unwrap(), &nodes[1])).await.unwrap();
    // Two sources, so that there are two migrations, each of which fails for two thirds of the time.
    for number in 5..10 {
        cluster.move_slot(slot(number), &nodes[2]).unwrap();
    }
    tokio::time::sleep(SECOND).await;
    for first in ["0", "5"] {
        let refused = FaultKind::Error("ERR not now".into());
        cluster.inject(Fault::new(refused).command("CLUSTER MIGRATION IMPORT").key(first).times(3));
    }
    let begin = cluster.elapsed();
    soon(plan.run(|_| {})).await.unwrap();
    let took = cluster.elapsed() - begin;
    assert!(took > 2 * SECOND, "neither failed for long: {took:?}");
    assert_all_there(&cluster, &keys);
    assert_eq!(cluster.primary_of(slot(9)), Some(nodes[1].clone()));
}

#[tokio::test(start_paused = true)]
async fn what_a_migration_ends_with_for_good_is_told_when_the_time_for_tries_is_over() {
    let cluster = SimCluster::builder().profile(Profile::Redis84).start_in_memory().unwrap();
    let nodes = cluster.nodes();
    let keys = load(&cluster, 2, 2);
    let admin = admin(&cluster).await.with(AdminOptions::new().retry_for(SECOND));
    let plan = soon(admin.move_slots(&"0-1".parse().unwrap(), &nodes[1])).await.unwrap();
    let refused = FaultKind::Error("ERR never".into());
    cluster.inject(Fault::new(refused).command("CLUSTER MIGRATION IMPORT"));
    let begin = cluster.elapsed();
    let error = soon(plan.run(|_| {})).await.unwrap_err();
    let took = cluster.elapsed() - begin;
    assert!(error.to_string().contains("never"), "{error}");
    assert!((SECOND..5 * SECOND).contains(&took), "{took:?}");
    assert_all_there(&cluster, &keys);
}

#[tokio::test(start_paused = true)]
async fn the_source_authenticates_at_the_target_as_the_user_of_the_admin() {
    let cluster =
        SimCluster::builder().password("of default").user("mover", "of its own").start_in_memory().unwrap();
    let nodes = cluster.nodes();
    let seeds = nodes.iter().map(ToString::to_string);
    let client = Client::builder()
        .seeds(seeds)
        .connector(cluster.connector())
        .credentials("mover", "of its own")
        .connect()
        .await
        .unwrap();
    let keys = names(2, 3);
    for key in &keys {
        client.set(key.as_str(), key.as_str()).await.unwrap();
    }
    let plan = soon(client.admin().move_slots(&"0-1".parse().unwrap(), &nodes[1])).await.unwrap();
    soon(plan.run(|_| {})).await.unwrap();
    let ledger = cluster.ledger();
    let sent: Vec<String> = ledger.iter().map(keyslot::testkit::sim::Effect::line).collect();
    let migrates: Vec<&String> = sent.iter().filter(|line| line.starts_with("MIGRATE")).collect();
    assert!(
        !migrates.is_empty() && migrates.iter().all(|line| line.contains(" AUTH2 mover of its own ")),
        "{migrates:?}"
    );
    for key in &keys {
        assert_eq!(client.get::<String>(key.as_str()).await.unwrap(), *key);
        assert_eq!(cluster.primary_of(Slot::of_key(key.as_bytes())), Some(nodes[1].clone()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_slot_rests_between_its_batches() {
    let moved_in = async |pause: Duration| {
        let cluster = SimCluster::builder().start_in_memory().unwrap();
        let keys = load(&cluster, 1, 10);
        let admin = admin(&cluster).await.with(options().batch(2, 1 << 20).pause(pause));
        let plan = soon(admin.move_slots(&"0".parse().unwrap(), &cluster.nodes()[1])).await.unwrap();
        let begin = cluster.elapsed();
        soon(plan.run(|_| {})).await.unwrap();
        assert_all_there(&cluster, &keys);
        cluster.elapsed() - begin
    };
    let (unthrottled, throttled) = (moved_in(Duration::ZERO).await, moved_in(7 * SECOND).await);
    assert!(unthrottled < SECOND, "{unthrottled:?}");
    assert!((28 * SECOND..=36 * SECOND).contains(&throttled), "five batches: {throttled:?}");
}

#[tokio::test(start_paused = true)]
async fn nodes_that_do_not_agree_behind_the_last_slot_are_waited_for_but_not_for_ever() {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let nodes = cluster.nodes();
    let keys = load(&cluster, 2, 3);
    let admin = admin(&cluster).await.with(options().agreement_timeout(10 * SECOND));
    let slots: Slots = "0-1".parse().unwrap();
    let plan = soon(admin.move_slots(&slots, &nodes[1])).await.unwrap();
    let mut is_deaf = false;
    let begin = cluster.elapsed();
    let run = plan.run(|progress| {
        if progress.keys_done > 0 && !std::mem::replace(&mut is_deaf, true) {
            cluster.inject(Fault::new(FaultKind::StaleTopology).node(&nodes[2]));
        }
    });
    let error = soon(run).await.unwrap_err();
    let took = cluster.elapsed() - begin;
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.to_string().contains(&nodes[2].to_string()), "it is said who does not agree: {error}");
    assert!((10 * SECOND..40 * SECOND).contains(&took), "{took:?}");
    cluster.perform(keyslot::testkit::sim::Step::LiftAll).unwrap();
    tokio::time::sleep(SECOND).await;
    assert!(soon(admin.move_slots(&slots, &nodes[1])).await.unwrap().is_empty());
    assert_all_there(&cluster, &keys);
    assert!(checked(&cluster).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_copy_at_the_target_is_replaced_only_while_the_source_gives_the_slot_away() {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let nodes = cluster.nodes();
    let keys = load(&cluster, 1, 1);
    let admin = admin(&cluster).await.with(options());
    // The answer that the target has a copy comes late, and meanwhile somebody closes the slot.
    let busy = FaultKind::Error(
        "ERR Target instance replied with error: BUSYKEY Target key name already exists.".into(),
    );
    cluster.inject(Fault::new(busy).command("MIGRATE").times(2));
    cluster.inject(Fault::new(FaultKind::Delay(SECOND)).command("MIGRATE").skip(1).times(1));
    let plan = soon(admin.move_slots(&"0".parse().unwrap(), &nodes[1])).await.unwrap();
    let before = cluster.received(&nodes[0], "CLUSTER NODES");
    let closing = async {
        cluster.until(|cluster| cluster.received(&nodes[0], "MIGRATE") == 2).await;
        assert_eq!(
            cluster.ask(&nodes[0], ["CLUSTER", "SETSLOT", "0", "STABLE"]).unwrap(),
            Value::Simple("OK".into())
        );
        let marks = cluster.received(&nodes[0], "CLUSTER SETSLOT");
        cluster.until(|cluster| cluster.received(&nodes[0], "MIGRATE") == 3).await;
        assert!(cluster.received(&nodes[0], "CLUSTER SETSLOT") > marks, "it was opened again before");
    };
    let (end, ()) = soon(async { tokio::join!(plan.run(|_| {}), closing) }).await;
    end.unwrap();
    assert!(cluster.received(&nodes[0], "CLUSTER NODES") > before);
    assert_all_there(&cluster, &keys);
}

#[tokio::test(start_paused = true)]
async fn a_move_that_was_stopped_shows_what_is_left_and_goes_on_when_it_is_asked_for_again() {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let keys = load(&cluster, 20, 3);
    let target = cluster.nodes()[1].clone();
    let slots: Slots = "0-19".parse().unwrap();
    let admin = builder(&cluster).admin().await.unwrap().with(options().slots_at_a_time(2));
    let plan = soon(admin.move_slots(&slots, &target)).await.unwrap();
    assert!(plan.to_string().contains("20 slots with 60 keys go from"), "{plan}");
    let json: serde_json::Value = serde_json::from_str(&plan.to_json()).unwrap();
    let step = &json["steps"][0];
    assert_eq!((step["do"].as_str(), step["slots"].as_str()), (Some("move_slots"), Some("0-19")), "{json}");
    assert_eq!((step["keys"].as_u64(), step["to"]["addr"].as_str()), (Some(60), Some(&*target.to_string())));
    let stop = plan.stop_handle();
    let mut estimates = Vec::new();
    let run = plan.run(|progress| {
        estimates.push(progress.remaining());
        if progress.slots_done == 10 {
            stop.stop();
        }
    });
    let end = soon(run).await.unwrap();
    assert!(end.stopped && end.bytes_done > 0 && end.slots == 20 && end.keys == 60, "{end:?}");
    assert_eq!(estimates.first(), Some(&None));
    assert!(estimates.last().is_some_and(Option::is_some));
    let rest = soon(admin.move_slots(&slots, &target)).await.unwrap();
    let end_of_rest = soon(rest.run(|_| {})).await.unwrap();
    assert!(!end_of_rest.stopped);
    assert_eq!(end.slots_done + end_of_rest.slots_done, 20);
    assert_eq!(end.keys_done + end_of_rest.keys_done, 60);
    assert_all_there(&cluster, &keys);
    assert!(soon(admin.move_slots(&slots, &target)).await.unwrap().is_empty());
}

/// Polls the future so often, and drops it then.
async fn polled<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut left = times;
    std::future::poll_fn(|context| match left.checked_sub(1) {
        None => Poll::Ready(None),
        Some(fewer) => {
            left = fewer;
            future.as_mut().poll(context).map(Some)
        }
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_move_that_is_dropped_at_any_point_is_brought_to_its_end_by_the_next() {
    let keys = names(3, 4);
    for times in (0..).step_by(2) {
        let cluster = SimCluster::builder().profile(Profile::Redis70).start_in_memory().unwrap();
        put(&cluster, &keys);
        let move_all = async |admin: Admin| {
            let slots: Slots = "0-2".parse().unwrap();
            admin.move_slots(&slots, &cluster.nodes()[1]).await?.run(|_| {}).await
        };
        let options = options().batch(3, 1 << 20).slots_at_a_time(4);
        // With its connections, as when the process ends; the other half of the time they live on.
        let first = admin(&cluster).await.with(options.clone());
        let kept = (times % 4 == 0).then(|| first.clone());
        let end = soon(polled(move_all(first), times)).await;
        soon(move_all(admin(&cluster).await.with(options)))
            .await
            .unwrap_or_else(|error| panic!("{times}: {error}"));
        drop(kept);
        tokio::time::sleep(SECOND).await;
        let report = checked(&cluster).await;
        assert!(report.is_ok(), "dropped after {times}:\n{report}");
        assert_all_there(&cluster, &keys);
        if end.is_some() {
            assert!(times > 20, "{times}");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_in_the_middle_is_waited_for_or_its_heir_gives_the_newest_values() {
    for (profile, fails_over) in
        [(Profile::Redis70, false), (Profile::Redis70, true), (Profile::Valkey81, true)]
    {
        let node_timeout = if fails_over { 2 * SECOND } else { 3600 * SECOND };
        let cluster = SimCluster::builder()
            .profile(profile)
            .replicas(1)
            .fails_over(fails_over)
            .node_timeout(node_timeout)
            .start_in_memory()
            .unwrap();
        let keys = load(&cluster, 2, 10);
        let nodes = cluster.nodes();
        let admin = admin(&cluster).await.with(options().batch(2, 1 << 20).slots_at_a_time(2));
        let plan = soon(admin.move_slots(&"0-1".parse().unwrap(), &nodes[1])).await.unwrap();
        let (hangs, mut hung) = (tokio::sync::Notify::new(), false);
        let run = plan.run(|progress| {
            if progress.keys_done >= 4 && !std::mem::replace(&mut hung, true) {
                cluster.stop(&nodes[0]).unwrap();
                hangs.notify_one();
            }
        });
        let go_on = async {
            hangs.notified().await;
            tokio::time::sleep(10 * SECOND).await;
            let owner = cluster.primary_of(slot(0)).unwrap();
            assert_eq!(owner == nodes[0], !fails_over);
            let mut newer = Vec::new();
            for key in keys.iter().filter(|_| fails_over) {
                if cluster
                    .ask(&owner, ["SET", key, "newer", "XX"])
                    .is_ok_and(|set| set == Value::Simple("OK".into()))
                {
                    newer.push(key.clone());
                }
            }
            tokio::time::sleep(20 * SECOND).await;
            cluster.cont(&nodes[0]).unwrap();
            newer
        };
        let (end, newer) = soon(async { tokio::join!(run, go_on) }).await;
        let end = end.unwrap();
        assert_eq!((end.slots_done, newer.is_empty()), (2, !fails_over), "{profile:?} {end:?}");
        tokio::time::sleep(SECOND).await;
        let report = checked(&cluster).await;
        assert!(report.is_ok(), "{profile:?} {fails_over}\n{report}");
        for key in &keys {
            let value = if newer.contains(key) { "newer" } else { key };
            assert_eq!(
                cluster.ask(&nodes[1], ["GET", key]).unwrap(),
                Value::Bulk(value.to_owned().into()),
                "{key}"
            );
        }
        assert_eq!(cluster.primary_of(slot(1)), Some(nodes[1].clone()));
    }
}

/// While a source waits for its target it serves nobody.
#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_while_a_group_moves_holds_up_its_source_once() {
    let cluster = SimCluster::builder()
        .profile(Profile::Redis70)
        .fails_over(false)
        .node_timeout(3600 * SECOND)
        .start_in_memory()
        .unwrap();
    let keys = load(&cluster, 6, 3);
    let nodes = cluster.nodes();
    let admin = admin(&cluster).await.with(options().slots_at_a_time(12));
    let plan = soon(admin.move_slots(&"0-5".parse().unwrap(), &nodes[1])).await.unwrap();
    let (hangs, mut hung) = (tokio::sync::Notify::new(), false);
    let run = plan.run(|progress| {
        if progress.keys_done >= 3 && !std::mem::replace(&mut hung, true) {
            cluster.stop(&nodes[1]).unwrap();
            hangs.notify_one();
        }
    });
    let go_on = async {
        hangs.notified().await;
        tokio::time::sleep(SECOND).await;
        let before = cluster.received(&nodes[0], "MIGRATE");
        assert!(before > 1, "none was under way");
        tokio::time::sleep(30 * SECOND).await;
        let tries = cluster.received(&nodes[0], "MIGRATE") - before;
        cluster.cont(&nodes[1]).unwrap();
        assert_eq!(tries, 0, "its source was told again to wait for it");
    };
    let (end, ()) = soon(async { tokio::join!(run, go_on) }).await;
    assert_eq!(end.unwrap().slots_done, 6);
    tokio::time::sleep(SECOND).await;
    assert!(checked(&cluster).await.is_ok());
    assert_all_there(&cluster, &keys);
}
