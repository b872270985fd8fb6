//! Nodes that join, leave and change roles: killed at any command and asked for again, by two at once, with nodes that hang,
//! load or are gone; and what is refused before anything is done.

use std::time::Duration;

use keyslot::admin::{AddAs, Admin, AdminOptions, Failover, Fix, Problem, Rebalance, Report, Step};
use keyslot::testkit::sim::{self, Fault, FaultKind, Profile, SimCluster};
use keyslot::{Error, ErrorKind, NodeAddr, Slot};

use crate::admin::{admin, assert_well, checked, death, put, strangers};
use crate::support::{MS, SECOND, builder, soon};

/// Three primaries with a replica each.
fn six() -> SimCluster {
    SimCluster::builder().replicas(1).fails_over(false).start_in_memory().unwrap()
}

/// Three primaries, and so many nodes that know nobody.
async fn three_and(spare: usize) -> (SimCluster, Vec<NodeAddr>) {
    let cluster = strangers(SimCluster::builder().fails_over(false), 3 + spare).await;
    let nodes = cluster.nodes();
    let admin = builder(&cluster).admin().await.unwrap();
    done(&soon(admin.create(&nodes[..3], 0)).await.unwrap()).await;
    (cluster, nodes)
}

async fn done(plan: &keyslot::admin::Plan) {
    soon(plan.run(|_| {})).await.unwrap_or_else(|error| panic!("{error}\n{plan}"));
}

fn alone(cluster: &SimCluster, node: &NodeAddr) -> bool {
    let info = cluster.ask(node, ["CLUSTER", "INFO"]).unwrap();
    info.as_str().unwrap().contains("cluster_known_nodes:1\r\n")
}

fn id_of(cluster: &SimCluster, node: &NodeAddr) -> String {
    cluster.ask(node, ["CLUSTER", "MYID"]).unwrap().as_str().unwrap().to_owned()
}

#[track_caller]
fn refused<T>(result: Result<T, Error>, why: &str) {
    let Err(error) = result else { panic!("not refused: {why}") };
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains(why), "{error}");
}

/// Kills the operation at its commands in turn, and asks for it once more.
async fn killed_anywhere(
    start: impl AsyncFn() -> SimCluster,
    operation: impl AsyncFn(&SimCluster, Admin) -> keyslot::Result<()>,
    holds: impl Fn(&SimCluster, &Report),
) {
    let patient = AdminOptions::new().agreement_timeout(12 * SECOND);
    let ask =
        async |cluster: &SimCluster| operation(cluster, admin(cluster).await.with(patient.clone())).await;
    // At every third, by turns before it and behind it.
    for after in (0..).step_by(3) {
        let cluster = start().await;
        for fault in death(after, after % 2 == 0) {
            cluster.inject(fault);
        }
        let first = soon(ask(&cluster)).await;
        cluster.perform(sim::Step::LiftAll).unwrap();
        tokio::time::sleep(SECOND).await;
        if let Err(error) = soon(ask(&cluster)).await {
            panic!("killed after {after}: {error}; before: {first:?}");
        }
        tokio::time::sleep(SECOND).await;
        let report = checked(&cluster).await;
        assert!(report.is_ok(), "killed after {after}: {first:?}\n{report}");
        holds(&cluster, &report);
        if first.is_ok() {
            assert!(after > 20, "{after}");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_is_killed_at_any_command_is_finished_by_the_next() {
    let leaving = |cluster: &SimCluster| cluster.nodes()[5].clone();
    let remove = async |cluster: &SimCluster, admin: Admin| {
        admin.del_node(&leaving(cluster)).await?.run(|_| {}).await.map(drop)
    };
    killed_anywhere(
        async || six(),
        remove,
        |cluster, report| {
            assert_eq!(report.view.nodes.len(), 5, "{report}");
            assert!(alone(cluster, &leaving(cluster)), "it still knows the others");
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_joining_is_killed_at_any_command_joins_by_the_next() {
    for how in [AddAs::Primary, AddAs::Replica] {
        let join = async |cluster: &SimCluster, admin: Admin| {
            admin.add_node(&cluster.nodes()[3], how.clone()).await?.run(|_| {}).await.map(drop)
        };
        killed_anywhere(
            async || three_and(1).await.0,
            join,
            |_, report| {
                assert_eq!(report.view.nodes.len(), 4, "{report}");
                let replicas = report.view.nodes.iter().filter(|node| !node.is_primary()).count();
                assert_eq!(replicas, usize::from(how == AddAs::Replica), "{report}");
            },
        )
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn changes_of_roles_that_are_killed_at_any_command_are_finished_by_the_next() {
    let take_over = async |cluster: &SimCluster, admin: Admin| {
        let plan = admin.failover(&cluster.nodes()[3], Failover::Graceful).await?;
        plan.run(|_| {}).await.map(drop)
    };
    killed_anywhere(
        async || six(),
        take_over,
        |cluster, _| {
            assert_eq!(cluster.primary_of(Slot::new(0).unwrap()), Some(cluster.nodes()[3].clone()));
        },
    )
    .await;
    let follow = async |cluster: &SimCluster, admin: Admin| {
        let nodes = cluster.nodes();
        admin.replicate(&nodes[3], &nodes[1]).await?.run(|_| {}).await.map(drop)
    };
    killed_anywhere(
        async || six(),
        follow,
        |cluster, _| {
            assert_eq!(cluster.replicas_of(&cluster.nodes()[1]).len(), 2);
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_left_is_not_removed_twice() {
    let (cluster, nodes) = three_and(2).await;
    let operator = admin(&cluster).await;
    for spare in &nodes[3..] {
        done(&soon(operator.del_node(spare)).await.unwrap()).await;
        assert!(alone(&cluster, spare));
    }
    let again = soon(operator.del_node(&nodes[3])).await.unwrap();
    assert!(again.is_empty() && again.notes()[0].contains("is in no cluster"), "{again}");
    cluster.kill(&nodes[4]).unwrap();
    refused(soon(operator.del_node(&nodes[4])).await, "nobody answers there");
    assert_well(&checked(&cluster).await);
}

#[tokio::test(start_paused = true)]
async fn a_replica_joins_the_neediest_primary_and_stays_with_it() {
    let cluster = strangers(SimCluster::builder(), 8).await;
    let nodes = cluster.nodes();
    let operator = builder(&cluster).admin().await.unwrap();
    done(&soon(operator.create(&nodes[..6], 1)).await.unwrap()).await;
    let bereft = cluster.nodes()[1].clone();
    let replica = cluster.replicas_of(&bereft).remove(0);
    done(&soon(operator.replicate(&replica, &nodes[0])).await.unwrap()).await;
    let join = async || soon(operator.add_node(&nodes[6], AddAs::Replica)).await.unwrap();
    let first = join().await;
    assert!(first.goal().ends_with(&format!("as a replica of {}", name(&cluster, &bereft))), "{first}");
    done(&first).await;
    // Now two need one as much, and it follows one of them.
    let again = join().await;
    assert_eq!(again.goal(), first.goal());
    done(&again).await;
    assert_eq!(cluster.replicas_of(&bereft), [nodes[6].clone()]);
}

/// As plans call a node.
fn name(cluster: &SimCluster, node: &NodeAddr) -> String {
    format!("{node} ({})", &id_of(cluster, node)[..8])
}

#[tokio::test(start_paused = true)]
async fn roles_that_a_node_cannot_have_are_refused_before_anything_is_done() {
    let cluster = strangers(SimCluster::builder().fails_over(false), 8).await;
    let nodes = cluster.nodes();
    let operator = builder(&cluster).admin().await.unwrap();
    done(&soon(operator.create(&nodes[..6], 1)).await.unwrap()).await;
    let (primary, replica) = (&nodes[0], &cluster.replicas_of(&nodes[0])[0]);
    for how in [AddAs::Primary, AddAs::PrimaryWithSlots] {
        refused(soon(operator.add_node(replica, how)).await, "is a replica of");
    }
    refused(
        soon(operator.add_node(&nodes[6], AddAs::ReplicaOf(replica.clone()))).await,
        "is no primary that",
    );
    assert_eq!(checked(&cluster).await.view.nodes.len(), 6, "it has met the others all the same");
    refused(soon(operator.replicate(replica, replica)).await, "is no primary that");
    refused(soon(operator.replicate(primary, &nodes[1])).await, "serves slots; move them first");
    refused(soon(operator.forget(&id_of(&cluster, replica))).await, "answers, and would go on");

    // A primary without slots, with keys that nobody looks for, and its replica.
    done(&soon(operator.add_node(&nodes[6], AddAs::Primary)).await.unwrap()).await;
    done(&soon(operator.add_node(&nodes[7], AddAs::ReplicaOf(nodes[6].clone()))).await.unwrap()).await;
    refused(soon(operator.failover(&nodes[7], Failover::Force)).await, "there is nothing to take over");
    // Its replica goes with it.
    let plan = soon(operator.replicate(&nodes[6], &nodes[1])).await.unwrap();
    assert_eq!(
        plan.steps().iter().filter(|step| matches!(step, Step::Replicate { .. })).count(),
        2,
        "{plan}"
    );
    done(&plan).await;
    assert_eq!(cluster.replicas_of(&nodes[1]).len(), 3);

    cluster.kill(primary).unwrap();
    tokio::time::sleep(20 * SECOND).await;
    refused(soon(operator.failover(replica, Failover::Graceful)).await, "fail over by force");
    refused(soon(operator.del_node(primary)).await, "let a replica of it take its place");
}

#[tokio::test(start_paused = true)]
async fn keys_that_nobody_looks_for_are_not_replicated_away() {
    let (cluster, nodes) = three_and(1).await;
    let operator = admin(&cluster).await;
    done(&soon(operator.add_node(&nodes[3], AddAs::Primary)).await.unwrap()).await;
    // As moves that were taken back by force leave them.
    let slot = Slot::of_key(b"k");
    let owner = cluster.primary_of(slot).unwrap();
    cluster.ask(&owner, ["SET", "k", "v"]).unwrap();
    cluster.open_slot(slot, &nodes[3]).unwrap();
    cluster.migrate_keys(slot, 1).unwrap();
    for node in [&owner, &nodes[3]] {
        cluster.ask(node, ["CLUSTER", "SETSLOT", &slot.to_string(), "STABLE"]).unwrap();
    }
    refused(soon(operator.replicate(&nodes[3], &owner)).await, "holds 1 keys, which would be lost");
    let removal = soon(operator.del_node(&nodes[3])).await.unwrap();
    refused(soon(removal.run(|_| {})).await, "holds 1 keys, which would be lost");
}

#[tokio::test(start_paused = true)]
async fn nodes_that_cannot_become_a_cluster_are_told_all_at_once() {
    let cluster = strangers(SimCluster::builder().fails_over(false), 6).await;
    let nodes = cluster.nodes();
    let operator = builder(&cluster).admin().await.unwrap();
    refused(soon(operator.create(&nodes, usize::MAX)).await, "a cluster has at least 3");
    cluster.ask(&nodes[0], ["CLUSTER", "ADDSLOTS", &Slot::of_key(b"k").to_string()]).unwrap();
    for node in &nodes[1..] {
        cluster.ask(node, ["CLUSTER", "RESET", "HARD"]).unwrap();
    }
    cluster.kill(&nodes[4]).unwrap();
    let standalone = cluster.inject(
        Fault::new(FaultKind::Error("ERR This instance has cluster support disabled".to_owned()))
            .node(&nodes[5])
            .command("CLUSTER NODES"),
    );
    let error = soon(operator.create(&nodes, 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    for node in [&nodes[4], &nodes[5]] {
        assert!(error.to_string().contains(&node.to_string()), "{node}: {error}");
    }
    assert!(error.to_string().contains("cluster support disabled"), "{error}");
    cluster.lift(standalone);
    cluster.restart(&nodes[4]).unwrap();
    tokio::time::sleep(SECOND).await;
    refused(soon(operator.create(&nodes, 1)).await, &format!("has slots {}", Slot::of_key(b"k")));
    assert!(nodes.iter().all(|node| alone(&cluster, node)), "nothing was done");
}

#[tokio::test(start_paused = true)]
async fn two_who_change_the_same_at_once_do_no_harm() {
    for profile in [Profile::Redis62, Profile::Redis82, Profile::Valkey91] {
        let cluster = strangers(SimCluster::builder().profile(profile), 7).await;
        let nodes = cluster.nodes();
        let [one, other] =
            [builder(&cluster).admin().await.unwrap(), builder(&cluster).admin().await.unwrap()];
        let both = async |plans: [keyslot::admin::Plan; 2]| {
            soon(futures::future::join(plans[0].run(|_| {}), plans[1].run(|_| {}))).await
        };
        let ends = both([
            soon(one.create(&nodes[..6], 1)).await.unwrap(),
            soon(other.create(&nodes[..6], 1)).await.unwrap(),
        ])
        .await;
        done(&soon(one.create(&nodes[..6], 1)).await.unwrap()).await;
        let report = checked(&cluster).await;
        assert!(report.is_ok() && report.view.nodes.len() == 6, "{profile:?} {ends:?}\n{report}");

        let joins = [
            soon(one.add_node(&nodes[6], AddAs::Replica)).await.unwrap(),
            soon(other.add_node(&nodes[6], AddAs::Replica)).await.unwrap(),
        ];
        let ends = both(joins).await;
        assert!(ends.0.is_ok() && ends.1.is_ok(), "{profile:?} {ends:?}");
        let replica = cluster.replicas_of(&nodes[0])[0].clone();
        let failovers = [
            soon(one.failover(&replica, Failover::Graceful)).await.unwrap(),
            soon(other.failover(&replica, Failover::Graceful)).await.unwrap(),
        ];
        let ends = both(failovers).await;
        assert!(ends.0.is_ok() && ends.1.is_ok(), "{profile:?} {ends:?}");
        assert_eq!(cluster.primary_of(Slot::new(0).unwrap()), Some(replica));
        let removals =
            [soon(one.del_node(&nodes[6])).await.unwrap(), soon(other.del_node(&nodes[6])).await.unwrap()];
        let ends = both(removals).await;
        done(&soon(one.del_node(&nodes[6])).await.unwrap()).await;
        let report = checked(&cluster).await;
        assert!(report.is_ok() && report.view.nodes.len() == 6, "{profile:?} {ends:?}\n{report}");
        assert!(alone(&cluster, &nodes[6]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_got_slots_since_its_removal_was_planned_is_not_forgotten() {
    let (cluster, nodes) = three_and(1).await;
    let operator = admin(&cluster).await;
    done(&soon(operator.add_node(&nodes[3], AddAs::Primary)).await.unwrap()).await;
    let removal = soon(operator.del_node(&nodes[3])).await.unwrap();
    let id = id_of(&cluster, &nodes[3]);
    done(&soon(admin(&cluster).await.reshard(&[], &nodes[3], 10)).await.unwrap()).await;
    refused(soon(removal.run(|_| {})).await, "plan again");
    cluster.kill(&nodes[3]).unwrap();
    refused(soon(removal.run(|_| {})).await, "plan again");
    refused(soon(operator.forget(&id)).await, "serves slots");
    for node in &nodes[..3] {
        let told = cluster.ask(node, ["CLUSTER", "NODES"]).unwrap();
        assert!(told.as_str().unwrap().contains(&id), "{node} has forgotten who serves slots");
    }
}

#[tokio::test(start_paused = true)]
async fn who_falls_silent_while_it_is_removed_is_told_of_and_finished_later() {
    let cluster = six();
    let leaving = cluster.nodes()[5].clone();
    let operator = admin(&cluster).await;
    let plan = soon(operator.del_node(&leaving)).await.unwrap();
    cluster.stop(&leaving).unwrap();
    let error = soon(plan.run(|_| {})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("ask for its removal again"), "{error}");
    assert_eq!(checked(&cluster).await.view.nodes.len(), 5);
    cluster.cont(&leaving).unwrap();
    tokio::time::sleep(SECOND).await;
    done(&soon(operator.del_node(&leaving)).await.unwrap()).await;
    assert!(alone(&cluster, &leaving));
}

#[tokio::test(start_paused = true)]
async fn a_seed_that_has_left_is_not_taken_for_the_cluster() {
    let (cluster, nodes) = three_and(1).await;
    done(&soon(admin(&cluster).await.del_node(&nodes[3])).await.unwrap()).await;
    let seeds = [&nodes[3], &nodes[1]].map(ToString::to_string);
    let operator = keyslot::Client::builder().seeds(seeds).connector(cluster.connector());
    let operator = operator.admin().await.unwrap();
    let report = soon(operator.check()).await.unwrap();
    assert_well(&report);
    assert_eq!(report.view.nodes.len(), 3, "{report}");
    // If all are, it is what there is.
    let lone = keyslot::Client::builder().seed(nodes[3].clone()).connector(cluster.connector());
    let view = soon(lone.admin().await.unwrap().view()).await.unwrap();
    assert_eq!(view.nodes.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_loads_or_hangs_is_reported_in_bounded_time() {
    let cluster = six();
    let busy = cluster.nodes()[0].clone();
    let of_first_slots = |key: &String| Slot::of_key(key.as_bytes()).get() < 5000;
    let keys: Vec<String> = (0..).map(|n| format!("k{n}")).filter(of_first_slots).take(5000).collect();
    put(&cluster, &keys);
    let loads = Fault::new(FaultKind::Error("LOADING Redis is loading the dataset in memory".to_owned()));
    let hangs = Fault::new(FaultKind::Silence).command("CLUSTER COUNTKEYSINSLOT");
    for fault in [loads.command("DBSIZE"), hangs] {
        let fault = cluster.inject(fault.node(&busy));
        let operator = admin(&cluster).await;
        let begin = cluster.elapsed();
        let report = soon(operator.check()).await.unwrap();
        let took = cluster.elapsed() - begin;
        assert!(took < 60 * SECOND, "{took:?}");
        let uncounted = |problem: &Problem| matches!(problem, Problem::Uncounted { node, .. } if node.starts_with(&busy.to_string()));
        assert!(!report.is_ok() && report.problems.iter().any(uncounted), "{report}");
        // Nothing is decided by what was not counted.
        let error = soon(operator.fix(Fix::new())).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error}");
        cluster.lift(fault);
    }
    assert_well(&checked(&cluster).await);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_restarted_while_somebody_else_moves_slots() {
    let cluster = six();
    let nodes = cluster.nodes();
    let operator = admin(&cluster).await.with(AdminOptions::new().agreement_timeout(2 * SECOND));
    let plan = soon(operator.roll(|node| async move { Err::<(), _>(format!("{node} was restarted")) })).await;
    let plan = plan.unwrap();
    let slot = Slot::new(7).unwrap();
    cluster.open_slot(slot, &nodes[1]).unwrap();
    let error = soon(plan.run(|_| {})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("slots 7 are under way"), "{error}");
    cluster.close_slot(slot).unwrap();
    tokio::time::sleep(500 * MS).await;
    let error = soon(plan.run(|_| {})).await.unwrap_err();
    assert!(error.to_string().contains("was restarted"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn times_without_end_are_taken_for_long_ones() {
    let cluster = six();
    let nodes = cluster.nodes();
    let options = AdminOptions::new()
        .agreement_timeout(Duration::MAX)
        .retry_for(Duration::MAX)
        .restart_timeout(Duration::MAX)
        .key_timeout(Duration::MAX);
    let operator = admin(&cluster).await.with(options);
    done(&soon(operator.failover(&nodes[3], Failover::Graceful)).await.unwrap()).await;
    done(&soon(operator.replicate(&nodes[0], &nodes[1])).await.unwrap()).await;
    done(&soon(operator.rebalance(Rebalance::new())).await.unwrap()).await;
    done(&soon(operator.move_slots(&"0-3".parse().unwrap(), &nodes[1])).await.unwrap()).await;
    assert_eq!(cluster.primary_of(Slot::new(0).unwrap()), Some(nodes[1].clone()));
}

#[tokio::test(start_paused = true)]
async fn all_forget_a_node_that_is_gone_and_none_brings_it_back() {
    for profile in [Profile::Redis62, Profile::Redis82] {
        let cluster = SimCluster::builder().profile(profile).replicas(1).start_in_memory().unwrap();
        let gone = cluster.nodes()[5].clone();
        let id = id_of(&cluster, &gone);
        cluster.kill(&gone).unwrap();
        tokio::time::sleep(20 * SECOND).await;
        let operator = admin(&cluster).await;
        // One that does not answer now would bring it back.
        let away = cluster.nodes()[4].clone();
        cluster.stop(&away).unwrap();
        let begin = cluster.elapsed();
        let error = soon(soon(operator.forget(&id)).await.unwrap().run(|_| {})).await.unwrap_err();
        assert!(
            error.to_string().contains(&format!("{away} does not answer and will bring it back")),
            "{error}"
        );
        assert!(
            cluster.elapsed() - begin < 60 * SECOND,
            "within the time for which the others do not learn of it"
        );
        cluster.cont(&away).unwrap();
        tokio::time::sleep(90 * SECOND).await;
        done(&soon(operator.forget(&id)).await.unwrap()).await;
        tokio::time::sleep(180 * SECOND).await;
        for node in &cluster.nodes()[..5] {
            let told = cluster.ask(node, ["CLUSTER", "NODES"]).unwrap();
            assert!(!told.as_str().unwrap().contains(&id), "{profile:?} {node} knows it again");
        }
        assert!(soon(operator.forget(&id)).await.unwrap().is_empty());
    }
}
