//! Slots that the new owner fetches in one moment, as Redis 8.4 does by its documentation.

use keyslot::admin::{Admin, AdminOptions, Slots};
use keyslot::testkit::sim::{Profile, SimCluster};
use keyslot::{NodeAddr, Slot, Value};

use crate::support::{MS, builder, soon};

async fn cluster() -> (SimCluster, Admin, Vec<String>) {
    let cluster = SimCluster::builder().profile(Profile::Redis84).replicas(1).start_in_memory().unwrap();
    let keys = (0..).map(|number| format!("k{number}"));
    let keys: Vec<String> = keys.filter(|key| Slot::of_key(key.as_bytes()).get() < 1000).take(300).collect();
    for key in &keys {
        let owner = cluster.primary_of(Slot::of_key(key.as_bytes())).unwrap();
        assert_eq!(cluster.ask(&owner, ["SET", key, key]).unwrap(), Value::Simple("OK".into()));
    }
    let admin = builder(&cluster).admin().await.unwrap();
    (cluster, admin, keys)
}

/// All keys are at the owners of their slots; the first thousand slots are this one's.
#[track_caller]
fn assert_at(cluster: &SimCluster, keys: &[String], node: &NodeAddr) {
    for key in keys {
        assert_eq!(cluster.primary_of(Slot::of_key(key.as_bytes())).as_ref(), Some(node));
        assert_eq!(cluster.ask(node, ["GET", key]).unwrap(), Value::Bulk(key.clone().into()), "{key}");
    }
}

fn states(cluster: &SimCluster, node: &NodeAddr) -> Vec<String> {
    let status = cluster.ask(node, ["CLUSTER", "MIGRATION", "STATUS", "ALL"]).unwrap();
    let Value::Array(tasks) = status else { panic!("{status:?}") };
    let state = |task: Value| {
        let Value::Map(fields) = task else { panic!("{task:?}") };
        let mut fields = fields.into_iter();
        let (_, state) = fields.find(|(name, _)| name.as_str() == Some("state")).unwrap();
        state.as_str().unwrap().to_owned()
    };
    tasks.into_iter().map(state).collect()
}

#[tokio::test(start_paused = true)]
async fn slots_are_fetched_by_their_new_owner() {
    let (cluster, admin, keys) = cluster().await;
    let (source, target) = (cluster.nodes()[0].clone(), cluster.nodes()[1].clone());
    let slots: Slots = "0-999".parse().unwrap();
    let plan = soon(admin.move_slots(&slots, &target)).await.unwrap();
    let end = soon(plan.run(|_| {})).await.unwrap();
    assert_eq!((end.slots_done, end.keys_done), (1000, 300));
    // 512 at a time.
    assert_eq!(states(&cluster, &target), ["completed", "completed"]);
    assert_at(&cluster, &keys, &target);
    assert!(soon(admin.check()).await.unwrap().is_ok());
    // Key by key it goes too.
    let by_key = admin.clone().with(AdminOptions::new().atomic(false));
    soon(soon(by_key.move_slots(&slots, &source)).await.unwrap().run(|_| {})).await.unwrap();
    assert!(states(&cluster, &source).is_empty());
    assert_at(&cluster, &keys, &source);
}

#[tokio::test(start_paused = true)]
async fn a_stop_cancels_an_import_and_a_drop_leaves_it_to_the_next() {
    let (cluster, admin, keys) = cluster().await;
    let (source, target) = (cluster.nodes()[0].clone(), cluster.nodes()[1].clone());
    let slots: Slots = "0-499".parse().unwrap();
    let plan = soon(admin.move_slots(&slots, &target)).await.unwrap();
    let stop = plan.stop_handle();
    let stopping = async {
        cluster.until(|cluster| states(cluster, &target) == ["in_progress"]).await;
        stop.stop();
    };
    let (end, ()) = tokio::join!(soon(plan.run(|_| {})), stopping);
    assert!(end.unwrap().stopped);
    assert_eq!(states(&cluster, &target), ["canceled"]);
    assert_at(&cluster, &keys[..1], &source);

    let plan = soon(admin.move_slots(&slots, &target)).await.unwrap();
    let begun = cluster.until(|cluster| states(cluster, &target) == ["canceled", "in_progress"]);
    tokio::select! {
        ended = plan.run(|_| {}) => panic!("{ended:?}"),
        () = begun => {}
    }
    tokio::time::sleep(MS).await;
    soon(soon(admin.move_slots(&slots, &target)).await.unwrap().run(|_| {})).await.unwrap();
    assert_eq!(states(&cluster, &target), ["canceled", "completed"], "the one of before was waited for");

    // What somebody else cancels is begun again.
    let plan = soon(admin.move_slots(&slots, &source)).await.unwrap();
    let disturbing = async {
        cluster.until(|cluster| states(cluster, &source) == ["in_progress"]).await;
        let cancelled = cluster.ask(&source, ["CLUSTER", "MIGRATION", "CANCEL", "ALL"]).unwrap();
        assert_eq!(cancelled, Value::Int(1));
    };
    let (end, ()) = tokio::join!(soon(plan.run(|_| {})), disturbing);
    assert!(!end.unwrap().stopped);
    assert_eq!(states(&cluster, &source), ["canceled", "completed"]);
    assert_at(&cluster, &keys, &source);
    assert!(soon(admin.check()).await.unwrap().is_ok());
}
