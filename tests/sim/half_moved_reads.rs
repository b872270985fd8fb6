//! Reads from replicas while their slot is migrated key by key: a replica of Redis does not know that a key has left.

use keyslot::testkit::sim::{Profile, SimCluster};
use keyslot::{Client, Command, Commands, NodeAddr, ReadFrom, Value};
use tokio::time::sleep;

use crate::support::{MS, SECOND, another, builder, owner, slot, soon};

/// Two keys in one slot, whose replicas have them.
async fn two_keys(profile: Profile, from: ReadFrom) -> (SimCluster, Client, NodeAddr) {
    let cluster = SimCluster::builder().replicas(1).profile(profile).start_in_memory().unwrap();
    let client = builder(&cluster).read_from(from).connect().await.unwrap();
    client.set("{k}1", "value").await.unwrap();
    client.set("{k}2", "value").await.unwrap();
    sleep(SECOND).await;
    let target = another(&cluster, "{k}1");
    (cluster, client, target)
}

#[tokio::test(start_paused = true)]
async fn a_string_that_has_left_is_not_empty() {
    for profile in Profile::ALL {
        for policy in [ReadFrom::Replica, ReadFrom::PreferReplica, ReadFrom::Nearest] {
            let (cluster, client, target) = two_keys(profile, policy.clone()).await;
            cluster.open_slot(slot("{k}1"), &target).unwrap();
            cluster.migrate_keys(slot("{k}1"), 10).unwrap();
            sleep(SECOND).await;
            for _ in 0..4 {
                let range: String = soon(client.getrange("{k}1", 0, 2)).await.unwrap();
                assert_eq!(range, "val", "{profile} {policy}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_count_of_several_keys_does_not_leave_out_those_that_have_left() {
    for profile in Profile::ALL {
        for policy in [ReadFrom::Replica, ReadFrom::PreferReplica, ReadFrom::Nearest] {
            let (cluster, client, target) = two_keys(profile, policy.clone()).await;
            cluster.open_slot(slot("{k}1"), &target).unwrap();
            cluster.migrate_keys(slot("{k}1"), 1).unwrap();
            sleep(SECOND).await;
            let rest = async {
                sleep(100 * MS).await;
                cluster.migrate_keys(slot("{k}1"), 10).unwrap();
                cluster.close_slot(slot("{k}1")).unwrap();
            };
            let (count, ()) = soon(async { tokio::join!(client.exists(["{k}1", "{k}2"]), rest) }).await;
            assert_eq!(count.unwrap(), 2, "{profile} {policy}");
        }
    }
}

/// What is read of one key, and of many one by one, the replicas still answer.
#[tokio::test(start_paused = true)]
async fn only_what_makes_one_of_several_keys_is_kept_from_replicas() {
    let (cluster, client, _) = two_keys(Profile::Redis82, ReadFrom::Replica).await;
    let primary = owner(&cluster, "{k}1");
    let replica = cluster.replicas_of(&primary).remove(0);
    assert!(client.exists("{k}1").await.unwrap() == 1);
    let values: Vec<Option<String>> = client.mget(["{k}1", "{k}2"]).await.unwrap();
    assert_eq!(values.len(), 2);
    assert_eq!((cluster.received(&replica, "EXISTS"), cluster.received(&replica, "MGET")), (1, 1));
    assert_eq!(client.exists(["{k}1", "{k}2"]).await.unwrap(), 2);
    assert_eq!((cluster.received(&replica, "EXISTS"), cluster.received(&primary, "EXISTS")), (1, 1));
    let way = client.explain(&Command::new("EXISTS").keys(["{k}1", "{k}2"])).unwrap();
    assert!(way.parts.iter().all(|part| part.replicas.is_empty()), "{way}");
    // Who does not want the check has the reads where the policy says.
    let client = builder(&cluster).read_from(ReadFrom::Replica).check_missing_at_primary(false);
    let client = client.connect().await.unwrap();
    let _: Value = client.execute(Command::new("EXISTS").keys(["{k}1", "{k}2"])).await.unwrap();
    assert_eq!((cluster.received(&replica, "EXISTS"), cluster.received(&primary, "EXISTS")), (2, 1));
}
