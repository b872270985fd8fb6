//! Rolling restarts: nobody notices, whoever cannot be spared is not taken, and what was interrupted goes on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use keyslot::admin::{Admin, AdminOptions, Member, Plan, Step};
use keyslot::testkit::sim::{Profile, SimCluster};
use keyslot::{Client, Commands, Error, ErrorKind, NodeAddr, Slot, Value};

use crate::support::{MS, SECOND, builder, connect, soon};

const PROFILES: [Profile; 5] =
    [Profile::Redis62, Profile::Redis70, Profile::Redis82, Profile::Valkey81, Profile::Valkey91];

async fn admin(cluster: &SimCluster) -> Admin {
    builder(cluster).admin().await.unwrap()
}

fn replicated(profile: Profile) -> Arc<SimCluster> {
    let cluster = SimCluster::builder().profile(profile).replicas(1).node_timeout(SECOND);
    Arc::new(cluster.start_in_memory().unwrap())
}

fn run_id(cluster: &SimCluster, node: &NodeAddr) -> String {
    let info = cluster.ask(node, ["INFO", "server"]).unwrap();
    let line = info.as_str().unwrap().lines().find(|line| line.starts_with("run_id:")).unwrap().to_owned();
    line.trim_end().to_owned()
}

fn run_ids(cluster: &SimCluster) -> BTreeMap<NodeAddr, String> {
    cluster.nodes().into_iter().map(|node| (node.clone(), run_id(cluster, &node))).collect()
}

fn serves_slots(cluster: &SimCluster, node: &NodeAddr) -> bool {
    Slot::all().any(|slot| cluster.primary_of(slot).as_ref() == Some(node))
}

/// Kills the node and starts it again a little later, and keeps in mind who it was.
#[derive(Clone)]
struct Operator {
    cluster: Arc<SimCluster>,
    restarted: Arc<Mutex<Vec<NodeAddr>>>,
    /// Killed, and not started yet.
    down: Arc<Mutex<Option<NodeAddr>>>,
}

impl Operator {
    fn of(cluster: &Arc<SimCluster>) -> Self {
        Self { cluster: Arc::clone(cluster), restarted: Arc::default(), down: Arc::default() }
    }

    async fn restart(self, node: Member) -> Result<(), Error> {
        assert!(!serves_slots(&self.cluster, &node.addr), "{node} serves slots when it is restarted");
        let before = self.down.lock().unwrap().replace(node.addr.clone());
        assert_eq!(before, None, "two are down at a time");
        self.cluster.kill(&node.addr).unwrap();
        tokio::time::sleep(200 * MS).await;
        self.start();
        self.restarted.lock().unwrap().push(node.addr);
        Ok(())
    }

    /// Starts whoever is down.
    fn start(&self) {
        if let Some(node) = self.down.lock().unwrap().take() {
            self.cluster.restart(&node).unwrap();
        }
    }

    async fn plan(&self, admin: &Admin) -> Plan {
        let operator = self.clone();
        soon(admin.roll(move |node| operator.clone().restart(node))).await.unwrap()
    }

    fn restarted(&self) -> Vec<NodeAddr> {
        self.restarted.lock().unwrap().clone()
    }
}

/// Writes and reads own keys until told to end.
async fn use_it(client: Client, ends: Arc<AtomicBool>, rounds: Arc<AtomicU64>) -> Result<(), Error> {
    for round in 0_u64.. {
        if ends.load(Ordering::Acquire) {
            break;
        }
        for key in 0..20 {
            client.set(format!("k{key}"), round).await?;
            assert_eq!(client.get::<Option<u64>>(format!("k{key}")).await?, Some(round));
        }
        rounds.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(5 * MS).await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn all_nodes_restart_and_callers_do_not_notice() {
    for profile in PROFILES {
        let cluster = replicated(profile);
        let (before, primaries) = (run_ids(&cluster), cluster.nodes()[..3].to_vec());
        let client = connect(&cluster).await;
        let (ends, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let caller = tokio::spawn(use_it(client, Arc::clone(&ends), Arc::clone(&rounds)));

        let operator = Operator::of(&cluster);
        let plan = operator.plan(&admin(&cluster).await).await;
        assert_eq!(plan.steps().len(), 6);
        let text = plan.to_string();
        assert!(text.contains("takes the place of") && text.contains("note: roles stay"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&plan.to_json()).unwrap();
        assert_eq!(json["steps"][5]["do"], "restart");
        assert!(json["steps"][0]["successor"].is_null() && json["steps"][5]["successor"].is_object());
        let mut told = Vec::new();
        let end = soon(plan.run(|progress| told.push(progress.what.clone()))).await.unwrap();
        assert_eq!((end.step, end.stopped), (6, false));
        assert!(told.iter().any(|what| what.contains("is awaited")), "{told:?}");

        let rounds_done = rounds.load(Ordering::Relaxed);
        assert!(rounds_done > 10, "{rounds_done}");
        ends.store(true, Ordering::Release);
        soon(caller).await.unwrap().unwrap();
        let restarted = operator.restarted();
        assert_eq!(restarted.len(), 6);
        // Replicas came first.
        assert_eq!(
            restarted[3..].iter().collect::<std::collections::BTreeSet<_>>(),
            primaries.iter().collect()
        );
        for (node, id) in run_ids(&cluster) {
            assert_ne!(before[&node], id, "{profile:?} {node}");
        }
        let report = soon(admin(&cluster).await.check()).await.unwrap();
        assert!(report.is_ok(), "{report}");
        // There is nothing left of this plan; a new one begins anew.
        soon(plan.run(|_| {})).await.unwrap();
        assert_eq!(operator.restarted().len(), 6);
        assert_eq!(operator.plan(&admin(&cluster).await).await.steps().len(), 6);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_stopped_or_dropped_goes_on_where_it_was() {
    let cluster = replicated(Profile::Redis70);
    let operator = Operator::of(&cluster);
    let plan = operator.plan(&admin(&cluster).await).await;
    let stop = plan.stop_handle();
    let begun = |progress: &keyslot::admin::Progress| {
        if progress.step == 3 {
            stop.stop();
        }
    };
    let end = soon(plan.run(begun)).await.unwrap();
    assert!(end.stopped);
    assert_eq!(operator.restarted().len(), 3, "what was begun is brought to its end");

    // Dropped again and again, each time a bit later.
    let plan = operator.plan(&admin(&cluster).await).await;
    let mut limit = 50 * MS;
    let end = loop {
        match tokio::time::timeout(limit, plan.run(|_| {})).await {
            Ok(end) => break end,
            // Whom the drop left dead somebody starts.
            Err(_elapsed) => operator.start(),
        }
        limit += limit / 2;
    };
    end.unwrap();
    let restarted = operator.restarted();
    assert!(restarted.len() <= 9, "{restarted:?}");
    let report = soon(admin(&cluster).await.check()).await.unwrap();
    assert!(report.is_ok(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_primary_without_a_replica_is_restarted_only_if_that_is_allowed() {
    let cluster = Arc::new(SimCluster::builder().start_in_memory().unwrap());
    let before = run_ids(&cluster);
    let restart = |cluster: &Arc<SimCluster>| {
        let cluster = Arc::clone(cluster);
        move |node: Member| {
            let cluster = Arc::clone(&cluster);
            async move {
                cluster.kill(&node.addr)?;
                cluster.restart(&node.addr)
            }
        }
    };
    let careful = admin(&cluster).await;
    let error = soon(careful.roll(restart(&cluster))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("restart_alone"), "{error}");
    assert_eq!(run_ids(&cluster), before);
    let bold = careful.with(AdminOptions::new().restart_alone(true));
    let plan = soon(bold.roll(restart(&cluster))).await.unwrap();
    assert!(plan.notes()[0].contains("nobody serves the slots"), "{plan}");
    soon(plan.run(|_| {})).await.unwrap();
    assert!(run_ids(&cluster).iter().all(|(node, id)| before[node] != *id));
    assert!(soon(bold.check()).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_fails_or_is_none_ends_the_plan_with_the_reason() {
    let cluster = replicated(Profile::Valkey81);
    let before = run_ids(&cluster);
    let plan = soon(admin(&cluster).await.roll(|_| async { Err::<(), _>("no such unit") })).await.unwrap();
    let error = soon(plan.run(|_| {})).await.unwrap_err();
    assert!(
        error.to_string().contains("could not be restarted") && error.to_string().contains("no such unit")
    );
    let hasty = admin(&cluster).await.with(AdminOptions::new().restart_timeout(SECOND));
    let plan = soon(hasty.roll(|_| async { Ok::<(), Error>(()) })).await.unwrap();
    let error = soon(plan.run(|_| {})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("the process of before still answers"), "{error}");
    assert_eq!(run_ids(&cluster), before, "nobody was restarted");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_restarted_while_something_is_missing() {
    let cluster = replicated(Profile::Redis82);
    let operator = Operator::of(&cluster);
    let admin = admin(&cluster).await;
    let plan = operator.plan(&admin).await;
    let (primary, replica) = (cluster.nodes()[0].clone(), cluster.nodes()[3].clone());
    assert!(matches!(&plan.steps()[3], Step::Restart { successor: Some(_), .. }));
    cluster.kill(&replica).unwrap();
    let error = soon(admin.roll(|_| async { Ok::<(), Error>(()) })).await.unwrap_err();
    assert!(error.to_string().contains("does not answer"), "{error}");
    // A plan of before waits for it, for as long as is waited for agreement.
    let error = soon(plan.run(|_| {})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(operator.restarted().is_empty());
    cluster.restart(&replica).unwrap();
    tokio::time::sleep(3 * SECOND).await;
    let id = |node: &NodeAddr| match cluster.ask(node, ["CLUSTER", "MYID"]).unwrap() {
        Value::Bulk(id) => String::from_utf8(id.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    };
    // An open slot would be left behind by a failover.
    let other = cluster.nodes()[1].clone();
    cluster.ask(&primary, ["CLUSTER", "SETSLOT", "0", "MIGRATING", &id(&other)]).unwrap();
    let error = soon(admin.roll(|_| async { Ok::<(), Error>(()) })).await.unwrap_err();
    assert!(error.to_string().contains("fix()"), "{error}");
}
