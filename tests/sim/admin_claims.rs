//! Slots that nobody serves, whomever the nodes take for their owner.

use keyslot::ErrorKind;
use keyslot::admin::{Fix, Step};
use keyslot::testkit::sim::{self, SimCluster, SimClusterBuilder};
use keyslot::{NodeAddr, Slot, Value};

use crate::admin::{PROFILES, admin, assert_all_there, assert_well, checked, load};
use crate::support::{SECOND, soon};

fn slot() -> Slot {
    Slot::new(0).unwrap()
}

/// A cluster whose first node has given up slot 0 after all its keys have gone to the second one; and a replica of the third
/// one, cut off from the others, that has not heard of it.
async fn given_up(of: SimClusterBuilder) -> (SimCluster, Vec<String>, NodeAddr) {
    let cluster = of.replicas(1).start_in_memory().unwrap();
    let nodes = cluster.nodes();
    let keys = load(&cluster, 1, 6);
    cluster.open_slot(slot(), &nodes[1]).unwrap();
    cluster.migrate_keys(slot(), 6).unwrap();
    for node in &nodes[..2] {
        drop(cluster.ask(node, ["CLUSTER", "SETSLOT", "0", "STABLE"]).unwrap());
    }
    tokio::time::sleep(SECOND).await;
    let stale = cluster.replicas_of(&nodes[2]).remove(0);
    cluster.perform(sim::Step::Isolate(stale.clone())).unwrap();
    assert_eq!(cluster.ask(&nodes[0], ["CLUSTER", "DELSLOTS", "0"]).unwrap(), Value::Simple("OK".into()));
    tokio::time::sleep(SECOND).await;
    (cluster, keys, stale)
}

#[tokio::test(start_paused = true)]
async fn who_takes_a_slot_keeps_it_though_a_node_knows_another_with_a_newer_epoch() {
    for profile in PROFILES {
        let (cluster, keys, stale) = given_up(SimCluster::builder().profile(profile)).await;
        let nodes = cluster.nodes();
        let plan = soon(admin(&cluster).await.fix(Fix::new())).await.unwrap();
        let takes = |step: &Step| matches!(step, Step::ClaimSlots { node, .. } if node.addr == nodes[1]);
        assert!(plan.steps().iter().any(takes), "{plan}");
        let between = async {
            cluster.until(|cluster| cluster.primary_of(slot()).as_ref() == Some(&nodes[1])).await;
            // It knows of the owner's epoch when it gets a newer one, as by a failover or another admin.
            tokio::time::sleep(SECOND).await;
            drop(cluster.ask(&nodes[0], ["CLUSTER", "BUMPEPOCH"]).unwrap());
            tokio::time::sleep(SECOND).await;
            cluster.perform(sim::Step::Heal(stale.clone())).unwrap();
        };
        let (end, ()) = soon(async { tokio::join!(plan.run(|_| {}), between) }).await;
        end.unwrap();
        tokio::time::sleep(SECOND).await;
        assert_all_there(&cluster, &keys);
        assert_eq!(cluster.primary_of(slot()), Some(nodes[1].clone()), "{profile:?}");
        assert_well(&checked(&cluster).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_has_an_owner_by_now_is_not_taken() {
    let (cluster, keys, stale) = given_up(SimCluster::builder()).await;
    let nodes = cluster.nodes();
    cluster.perform(sim::Step::Heal(stale)).unwrap();
    let plan = soon(admin(&cluster).await.fix(Fix::new())).await.unwrap();
    // Somebody else is quicker.
    drop(cluster.ask(&nodes[2], ["CLUSTER", "DELSLOTS", "0"]));
    assert_eq!(cluster.ask(&nodes[2], ["CLUSTER", "ADDSLOTS", "0"]).unwrap(), Value::Simple("OK".into()));
    let error = soon(plan.run(|_| {})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    assert!(error.to_string().contains("plan again"), "{error}");
    tokio::time::sleep(SECOND).await;
    let plan = soon(admin(&cluster).await.fix(Fix::new())).await.unwrap();
    soon(plan.run(|_| {})).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_all_there(&cluster, &keys);
    assert_eq!(cluster.primary_of(slot()), Some(nodes[2].clone()));
}
