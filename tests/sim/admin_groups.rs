//! Slots that move in groups, each node told of several in one go; and what lies in the slots.

use std::collections::BTreeMap;

use keyslot::admin::{AdminOptions, Fix, Slots};
use keyslot::testkit::sim::{self, Profile, SimCluster};
use keyslot::{NodeAddr, Slot};

use crate::admin::{PROFILES, admin, assert_all_there, checked, death, load, names, put};
use crate::support::{SECOND, soon};

/// With four keys in a slot it is none of those that go together.
const BATCH: usize = 4;

const SLOTS: u16 = 6;

/// Keys for each of the slots: none, one, two, ..., so that the last go alone.
fn keys() -> Vec<String> {
    let mut wanted: BTreeMap<u16, usize> = (0..SLOTS).map(|slot| (slot, slot.into())).collect();
    let mut found = Vec::new();
    for name in names(SLOTS, 200) {
        let slot = Slot::of_key(name.as_bytes()).get();
        if let Some(left) = wanted.get_mut(&slot).filter(|left| **left > 0) {
            *left -= 1;
            found.push(name);
        }
    }
    assert!(wanted.values().all(|left| *left == 0), "{wanted:?}");
    found
}

fn slots() -> Slots {
    (0..SLOTS).filter_map(Slot::new).collect()
}

async fn move_all(cluster: &SimCluster) -> keyslot::Result<()> {
    let options = AdminOptions::new()
        .batch(BATCH, 1 << 20)
        .slots_at_a_time(8)
        .retry_for(SECOND)
        .agreement_timeout(SECOND);
    let admin = admin(cluster).await.with(options);
    admin.move_slots(&slots(), &cluster.nodes()[1]).await?.run(|_| {}).await.map(drop)
}

/// Kills a move of a group at each of its commands in turn; `second` does what is left.
async fn killed_at_every_command(
    profile: Profile,
    executed: bool,
    second: impl AsyncFn(&SimCluster) -> keyslot::Result<()>,
) -> usize {
    let keys = keys();
    for after in 0.. {
        let cluster = SimCluster::builder().profile(profile).start_in_memory().unwrap();
        put(&cluster, &keys);
        for fault in death(after, executed) {
            cluster.inject(fault);
        }
        let first = soon(move_all(&cluster)).await;
        cluster.perform(sim::Step::LiftAll).unwrap();
        tokio::time::sleep(SECOND).await;
        if let Err(error) = soon(second(&cluster)).await {
            panic!("{profile:?} killed after {after}: {error}; before: {first:?}");
        }
        tokio::time::sleep(SECOND).await;
        let report = checked(&cluster).await;
        assert!(report.is_ok(), "{profile:?} killed after {after}:\n{report}");
        assert_all_there(&cluster, &keys);
        if first.is_ok() {
            return after;
        }
    }
    0
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_killed_before_any_command_is_gone_on_with() {
    let commands = killed_at_every_command(Profile::Redis70, false, async |cluster| {
        move_all(cluster).await?;
        let target = cluster.nodes()[1].clone();
        let owners: Vec<Option<NodeAddr>> = slots().iter().map(|slot| cluster.primary_of(slot)).collect();
        assert_eq!(owners, vec![Some(target); SLOTS.into()]);
        Ok(())
    })
    .await;
    assert!(commands > 60, "{commands}");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_killed_behind_any_command_is_brought_to_its_end_by_fix() {
    killed_at_every_command(Profile::Valkey81, true, async |cluster| {
        admin(cluster).await.fix(Fix::new()).await?.run(|_| {}).await.map(drop)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_failover_of_the_source_or_the_target_while_a_group_moves_is_followed() {
    for profile in PROFILES {
        for promoted in [0, 1] {
            let cluster = SimCluster::builder().profile(profile).replicas(1).start_in_memory().unwrap();
            let keys = load(&cluster, 40, 3);
            let nodes = cluster.nodes();
            let replica = cluster.replicas_of(&nodes[promoted]).remove(0);
            let options = AdminOptions::new().atomic(false).slots_at_a_time(16);
            let admin = admin(&cluster).await.with(options);
            let wanted: Slots = "0-39".parse().unwrap();
            let plan = soon(admin.move_slots(&wanted, &nodes[1])).await.unwrap();
            let mut is_promoted = false;
            let run = plan.run(|progress| {
                // In the middle of the keys of a group.
                if progress.keys_done >= 50 && !std::mem::replace(&mut is_promoted, true) {
                    cluster.promote(&replica).unwrap();
                }
            });
            let end = match soon(run).await {
                Ok(end) => end,
                Err(error) => {
                    panic!("{profile:?} {promoted}: {error}\n{}", soon(admin.view()).await.unwrap())
                }
            };
            assert!(is_promoted);
            assert_eq!(end.slots_done, 40, "{profile:?} {promoted}: {end:?}");
            tokio::time::sleep(SECOND).await;
            let report = checked(&cluster).await;
            assert!(report.is_ok(), "{profile:?} {promoted}\n{report}");
            assert_all_there(&cluster, &keys);
            for slot in wanted.iter() {
                let owner = cluster.primary_of(slot).unwrap();
                assert!(owner == nodes[1] || promoted == 1 && owner == replica, "{slot}: {owner}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_counted_where_their_slots_are_served() {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let keys = load(&cluster, 50, 4);
    let mut expected: BTreeMap<Slot, u64> = Slot::all().map(|slot| (slot, 0)).collect();
    for key in &keys {
        *expected.entry(Slot::of_key(key.as_bytes())).or_default() += 1;
    }
    let admin = admin(&cluster).await;
    assert_eq!(soon(admin.count_keys(&Slots::all())).await.unwrap(), expected);
    let few: Slots = "3,8000,16383".parse().unwrap();
    let counted = soon(admin.count_keys(&few)).await.unwrap();
    expected.retain(|slot, _| few.contains(*slot));
    assert_eq!(counted, expected);
    // Nobody serves it any more.
    for node in cluster.nodes() {
        drop(cluster.ask(&node, ["CLUSTER", "DELSLOTS", "8000"]).unwrap());
    }
    let counted = soon(admin.count_keys(&few)).await.unwrap();
    assert_eq!(counted.keys().map(|slot| slot.get()).collect::<Vec<_>>(), [3, 16383]);
}
