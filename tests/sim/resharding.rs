//! Slots that move under load, as fast or as slowly as a scenario wants: every acknowledged write is there once, and
//! commands wait exactly as long as they must.

use futures::future::join_all;
use keyslot::testkit::sim::{Fault, FaultKind, Profile, Script, SimCluster, Step};
use keyslot::{Client, Command, Commands, ErrorKind, NodeAddr, Outcome, Slot, Value};
use tokio::time::{Instant, sleep};

use crate::support::{
    MS, SECOND, another, connect, executed_at, keys_of, owner, primaries, received_by_all, slot, soon, three,
    value_at,
};

/// Two keys of the slot of `{t}`, of which one has gone: commands on both have to wait.
async fn half_way(profile: Profile) -> (SimCluster, Client, NodeAddr, NodeAddr) {
    let cluster = SimCluster::builder().profile(profile).start_in_memory().unwrap();
    let client = connect(&cluster).await;
    client.mset([("{t}a", "1"), ("{t}b", "2")]).await.unwrap();
    let (from, to) = (owner(&cluster, "{t}"), another(&cluster, "{t}"));
    cluster.open_slot(slot("{t}"), &to).unwrap();
    cluster.migrate_keys(slot("{t}"), 1).unwrap();
    (cluster, client, from, to)
}

/// The rest of the migration, at that time from now.
fn finish_after(cluster: &SimCluster, time: std::time::Duration) {
    cluster.play(
        Script::new()
            .at(time)
            .step(Step::MigrateKeys(slot("{t}"), 100))
            .at(time)
            .step(Step::CloseSlot(slot("{t}"))),
    );
}

#[tokio::test(start_paused = true)]
async fn a_command_on_keys_of_both_sides_waits_until_the_migration_is_over() {
    for profile in Profile::ALL {
        let (cluster, client, _, to) = half_way(profile).await;
        finish_after(&cluster, 3 * SECOND);
        let begin = Instant::now();
        let values: Vec<i64> = client.mget(["{t}a", "{t}b"]).await.unwrap();
        assert_eq!(values, [1, 2], "{profile}");
        let took = begin.elapsed();
        assert!((3 * SECOND..3 * SECOND + 200 * MS).contains(&took), "{profile}: {took:?}");
        assert_eq!(executed_at(&cluster, "MGET {t}a {t}b"), std::slice::from_ref(&to), "{profile}");
        assert!(client.stats().retries > 20, "{profile}: {:?}", client.stats());
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_on_keys_of_both_sides_takes_effect_once_when_it_can() {
    for profile in Profile::ALL {
        let (cluster, client, _, to) = half_way(profile).await;
        finish_after(&cluster, 2 * SECOND);
        let deleted = client.del(["{t}a", "{t}b", "{t}none"]).await.unwrap();
        assert_eq!(deleted, 2, "{profile}");
        assert_eq!(executed_at(&cluster, "DEL {t}a {t}b {t}none"), std::slice::from_ref(&to), "{profile}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_ends_is_told_at_the_deadline_as_not_sent() {
    let (cluster, client, _, _) = half_way(Profile::default()).await;
    let begin = Instant::now();
    let error = client.mset([("{t}a", "3"), ("{t}b", "4")]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotSent));
    assert!(error.to_string().contains("TRYAGAIN"), "{error}");
    assert_eq!(begin.elapsed(), 10 * SECOND);
    assert_eq!(cluster.ledger().count("MSET {t}a 3 {t}b 4"), 0);
    // Each key by itself is reached all the same.
    assert_eq!(client.get::<i64>("{t}a").await.unwrap(), 1);
    assert_eq!(client.get::<i64>("{t}b").await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_over_both_sides_waits_and_runs_once_as_a_whole() {
    for profile in Profile::ALL {
        let (cluster, client, _, to) = half_way(profile).await;
        finish_after(&cluster, SECOND);
        let mut transaction = client.transaction();
        transaction.incr("{t}a").incr("{t}b").incr("{t}c");
        let replies: (i64, i64, i64) = transaction.run().await.unwrap();
        assert_eq!(replies, (2, 3, 1), "{profile}");
        for key in ["{t}a", "{t}b", "{t}c"] {
            assert_eq!(executed_at(&cluster, &format!("INCR {key}")), std::slice::from_ref(&to), "{profile}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_waiting_command_holds_up_no_other_of_the_same_node() {
    let (cluster, client, from, _) = half_way(Profile::default()).await;
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { client.mget::<Vec<i64>>(["{t}a", "{t}b"]).await })
    };
    sleep(100 * MS).await;
    for key in keys_of(&cluster, &from, "near:", 50) {
        let begin = Instant::now();
        client.set(&key, "1").await.unwrap();
        assert!(begin.elapsed().is_zero());
    }
    finish_after(&cluster, MS);
    assert_eq!(waiting.await.unwrap().unwrap(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_over_both_sides_waits_with_its_split_keys_only() {
    let (cluster, client, from, to) = half_way(Profile::default()).await;
    finish_after(&cluster, SECOND);
    let mut pipe = client.pipeline();
    pipe.incr("{t}a").mget(["{t}a", "{t}b"]).incr("{t}b").incr("{t}new");
    let replies: (i64, Vec<i64>, i64, i64) = pipe.run().await.unwrap();
    assert_eq!((replies.0, replies.2, replies.3), (2, 3, 1));
    for key in ["{t}a", "{t}b", "{t}new"] {
        let line = format!("INCR {key}");
        let ledger = cluster.ledger();
        let effects: Vec<_> = ledger.of(&line).collect();
        assert_eq!(effects.len(), 1);
        assert!(effects[0].at.is_zero(), "{line} did not wait");
    }
    assert_eq!(executed_at(&cluster, "MGET {t}a {t}b"), std::slice::from_ref(&to));
    assert_eq!(cluster.received(&from, "INCR"), 3);
}

#[tokio::test(start_paused = true)]
async fn counters_that_travel_one_by_one_under_load_count_every_call_once() {
    for profile in Profile::ALL {
        let cluster = SimCluster::builder().profile(profile).start_in_memory().unwrap();
        let client = connect(&cluster).await;
        let keys: Vec<String> = (0..20).map(|number| format!("{{t}}{number}")).collect();
        for key in &keys {
            client.set(key, "0").await.unwrap();
        }
        let (from, to) = (owner(&cluster, "{t}"), another(&cluster, "{t}"));
        let calling: Vec<_> = keys
            .iter()
            .map(|key| {
                let (client, key) = (client.clone(), key.clone());
                tokio::spawn(async move {
                    for value in 1..=50 {
                        assert_eq!(client.incr(&key).await.unwrap(), value, "{key}");
                        sleep(MS).await;
                    }
                })
            })
            .collect();
        cluster.open_slot(slot("{t}"), &to).unwrap();
        for _ in 0..20 {
            sleep(2 * MS).await;
            cluster.migrate_keys(slot("{t}"), 1).unwrap();
        }
        cluster.close_slot(slot("{t}")).unwrap();
        for task in calling {
            task.await.unwrap();
        }
        for key in &keys {
            let line = format!("INCR {key}");
            assert_eq!(cluster.ledger().count(&line), 50, "{profile}");
            let nodes = executed_at(&cluster, &line);
            let turn = nodes.iter().position(|node| *node == to).unwrap();
            assert!(nodes[..turn].iter().all(|node| *node == from), "{profile}");
            assert!(nodes[turn..].iter().all(|node| *node == to), "{profile}: a key went back");
            assert_eq!(value_at(&cluster, &to, key), Value::Bulk("50".into()), "{profile}");
        }
        assert_eq!(client.stats().retries, 0, "{profile}: single keys never wait");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_is_emptied_under_load_and_no_write_is_lost() {
    let cluster = SimCluster::builder().primaries(200).start_in_memory().unwrap();
    let client = connect(&cluster).await;
    let leaving = primaries(&cluster)[0].clone();
    let rest: Vec<NodeAddr> = primaries(&cluster)[1..4].to_vec();
    let keys = keys_of(&cluster, &leaving, "k", 80);
    let writing: Vec<_> = keys
        .iter()
        .map(|key| {
            let (client, key) = (client.clone(), key.clone());
            tokio::spawn(async move {
                for value in 1..=20 {
                    assert_eq!(client.incr(&key).await.unwrap(), value);
                    sleep(10 * MS).await;
                }
            })
        })
        .collect();
    let slots: Vec<Slot> =
        Slot::all().filter(|slot| cluster.primary_of(*slot).as_ref() == Some(&leaving)).collect();
    for (number, chunk) in slots.chunks(2).enumerate() {
        for slot in chunk {
            cluster.move_slot(*slot, &rest[number % 3]).unwrap();
        }
        sleep(3 * MS).await;
    }
    for task in writing {
        task.await.unwrap();
    }
    for key in &keys {
        assert_eq!(cluster.ledger().count(&format!("INCR {key}")), 20);
        assert_eq!(value_at(&cluster, &owner(&cluster, key), key), Value::Bulk("20".into()));
    }
    assert!(!primaries(&cluster).contains(&leaving));
    let stats = client.stats();
    assert_eq!(stats.retries, 0, "{stats:?}");
    assert!(stats.refreshes < 200, "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn a_fan_out_over_moving_slots_keeps_order_and_count() {
    let cluster = three();
    let client = connect(&cluster).await;
    let keys: Vec<String> = (0..100).map(|number| format!("key:{number}")).collect();
    for round in 0..20 {
        for key in keys.iter().skip(round).step_by(20) {
            cluster.move_slot(slot(key), &another(&cluster, key)).unwrap();
        }
        client.mset(keys.iter().map(|key| (key, format!("{key} in {round}")))).await.unwrap();
        let values: Vec<String> = client.mget(&keys).await.unwrap();
        let wanted: Vec<String> = keys.iter().map(|key| format!("{key} in {round}")).collect();
        assert_eq!(values, wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_migration_that_is_called_off_leaves_the_slot_where_it_was() {
    let cluster = three();
    let client = connect(&cluster).await;
    client.set("{t}a", "1").await.unwrap();
    let (from, to) = (owner(&cluster, "{t}"), another(&cluster, "{t}"));
    cluster.open_slot(slot("{t}"), &to).unwrap();
    assert_eq!(client.incr("{t}new").await.unwrap(), 1);
    // A new key was made at the importing node; it goes back before the slot is closed there.
    let number = slot("{t}").to_string();
    cluster.ask(&to, ["ASKING"]).unwrap();
    for node in [&to, &from] {
        let done = cluster.ask(node, ["CLUSTER", "SETSLOT", &number, "STABLE"]).unwrap();
        assert_eq!(done, Value::Simple("OK".into()));
    }
    assert_eq!(client.incr("{t}a").await.unwrap(), 2);
    assert_eq!(executed_at(&cluster, "INCR {t}a"), [from]);
    assert_eq!(client.stats().moved, 0);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_pop_follows_its_key_to_the_new_owner() {
    for profile in Profile::ALL {
        let cluster = SimCluster::builder().profile(profile).start_in_memory().unwrap();
        let client = connect(&cluster).await;
        let to = another(&cluster, "queue");
        let waiting = {
            let client = client.clone();
            tokio::spawn(async move { client.blpop::<(String, String)>(["queue"], 0.0).await })
        };
        sleep(SECOND).await;
        cluster.move_slot(slot("queue"), &to).unwrap();
        sleep(SECOND).await;
        client.rpush("queue", "job").await.unwrap();
        assert_eq!(soon(waiting).await.unwrap().unwrap().1, "job", "{profile}");
        assert_eq!(executed_at(&cluster, "BLPOP queue 0"), std::slice::from_ref(&to), "{profile}");
        assert_eq!(client.llen("queue").await.unwrap(), 0, "{profile}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_dies_in_the_middle_of_a_migration_costs_no_count() {
    let cluster = three();
    let client = connect(&cluster).await;
    let (from, to) = (owner(&cluster, "{t}"), another(&cluster, "{t}"));
    let keys: Vec<String> = (0..20).map(|number| format!("{{t}}{number}")).collect();
    for key in &keys {
        client.set(key, "0").await.unwrap();
    }
    cluster.inject(Fault::new(FaultKind::CloseBefore).node(&from).command("INCR").probability(0.05));
    cluster.inject(Fault::new(FaultKind::CloseAfter).node(&to).command("INCR").probability(0.05));
    cluster.inject(Fault::new(FaultKind::CloseAfter).node(&to).command("ASKING").probability(0.05));
    cluster.open_slot(slot("{t}"), &to).unwrap();
    let calling: Vec<_> = keys
        .iter()
        .map(|key| {
            let (client, key) = (client.clone(), key.clone());
            tokio::spawn(async move {
                let mut told = (0, 0);
                for _ in 0..50 {
                    match client.incr(&key).await {
                        Ok(_) => told.0 += 1,
                        Err(error) if error.outcome() == Outcome::MaybeExecuted => told.1 += 1,
                        Err(error) => panic!("{error}"),
                    }
                    sleep(MS).await;
                }
                told
            })
        })
        .collect();
    for _ in 0..20 {
        sleep(MS).await;
        cluster.migrate_keys(slot("{t}"), 1).unwrap();
    }
    cluster.close_slot(slot("{t}")).unwrap();
    for (key, told) in keys.iter().zip(join_all(calling).await) {
        let (acknowledged, perhaps) = told.unwrap();
        let executed = cluster.ledger().count(&format!("INCR {key}"));
        assert!(acknowledged <= executed && executed <= acknowledged + perhaps, "{key}");
        let value: usize = soon(client.get(key)).await.unwrap();
        assert_eq!(value, executed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_slots_that_move_at_once_cost_few_refreshes() {
    let cluster = SimCluster::builder().primaries(6).start_in_memory().unwrap();
    let client = connect(&cluster).await;
    let keys: Vec<String> = (0..100).map(|number| format!("key:{number}")).collect();
    let asked = received_by_all(&cluster, "CLUSTER SLOTS");
    for key in &keys {
        cluster.move_slot(slot(key), &another(&cluster, key)).unwrap();
    }
    sleep(10 * MS).await;
    let results = join_all(keys.iter().map(|key| client.incr(key))).await;
    assert!(results.into_iter().all(|result| result.is_ok()));
    sleep(SECOND).await;
    let stats = client.stats();
    assert!(stats.refreshes <= 2, "{stats:?}");
    assert!(received_by_all(&cluster, "CLUSTER SLOTS") - asked <= 6);
    assert!(keys.iter().all(|key| cluster.ledger().count(&format!("INCR {key}")) == 1));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_expires_while_it_travels_is_gone_at_both_ends() {
    let cluster = three();
    let client = connect(&cluster).await;
    client.psetex("{t}a", 500, "1").await.unwrap();
    let to = another(&cluster, "{t}");
    cluster.open_slot(slot("{t}"), &to).unwrap();
    sleep(200 * MS).await;
    cluster.migrate_keys(slot("{t}"), 10).unwrap();
    assert_eq!(client.execute::<i64>(Command::new("PTTL").key("{t}a")).await.unwrap(), 300);
    sleep(299 * MS).await;
    assert_eq!(client.get::<Option<i64>>("{t}a").await.unwrap(), Some(1));
    sleep(2 * MS).await;
    assert_eq!(client.get::<Option<i64>>("{t}a").await.unwrap(), None);
}
