//! Futures that are dropped: what was not written is not in the ledger, what was is there once, and nobody gets the
//! reply of another.

use futures::FutureExt;
use futures::future::join_all;
use keyslot::testkit::sim::{Fault, FaultKind, SimCluster, Step};
use keyslot::{Command, Commands, Value};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{MS, SECOND, builder, connect, key_of, keys_of, owner, primaries, soon, three};

#[tokio::test(start_paused = true)]
async fn dropped_before_it_was_written_it_is_in_no_ledger() {
    let cluster = three();
    let client = connect(&cluster).await;
    client.set("other", "1").await.unwrap();
    for connected in [false, true] {
        for _ in 0..10 {
            // Enqueued, and taken back before the link's task has had its turn.
            assert!(client.incr("k").now_or_never().is_none());
        }
        sleep(SECOND).await;
        assert_eq!(cluster.received(&owner(&cluster, "k"), "INCR"), 0, "connected: {connected}");
        client.get::<Value>("k").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_after_it_was_written_it_is_there_once_and_its_reply_goes_to_nobody() {
    let cluster = three();
    let client = connect(&cluster).await;
    client.set("k", "41").await.unwrap();
    cluster.inject(Fault::new(FaultKind::DelayReply(SECOND)).command("INCR"));
    let dropped = timeout(100 * MS, client.incr("k")).await;
    assert!(dropped.is_err());
    assert_eq!(client.get::<String>("k").await.unwrap(), "42");
    assert_eq!(cluster.ledger().count("INCR k"), 1);
    assert_eq!(cluster.connections_accepted(&owner(&cluster, "k")), 1);
}

#[tokio::test(start_paused = true)]
async fn of_a_thousand_that_are_dropped_at_any_moment_each_runs_at_most_once_and_values_stay_with_their_keys()
{
    for seed in 0..3 {
        let cluster = SimCluster::builder().seed(seed).start_in_memory().unwrap();
        let client = connect(&cluster).await;
        let mut rng = fastrand_like(seed);
        cluster.inject(Fault::new(FaultKind::DelayReply(2 * MS)).probability(0.2));
        cluster.inject(Fault::new(FaultKind::Delay(3 * MS)).probability(0.1));
        let tasks = (0..1000).map(|number| {
            let (client, patience, starts) = (client.clone(), rng() % 8, rng() % 20);
            tokio::spawn(async move {
                sleep(starts as u32 * MS).await;
                let key = format!("key:{number}");
                let write = client.execute::<Value>(Command::new("SET").key(&key).arg(&key).arg("NX"));
                let written = match patience {
                    0 => write.now_or_never(),
                    some => timeout(some as u32 * MS, write).await.ok(),
                };
                let read = client.get::<Option<String>>(&key).await.unwrap();
                (key, written, read)
            })
        });
        let told = join_all(tasks).await;
        let ledger = cluster.ledger();
        for task in told {
            let (key, written, read) = task.unwrap();
            let executed = ledger.count(&format!("SET {key} {key} NX"));
            assert!(executed <= 1);
            if let Some(result) = written {
                assert_eq!(result.unwrap(), Value::Simple("OK".into()));
                assert_eq!(executed, 1);
            }
            assert!(read.is_none_or(|value| value == key));
        }
        // All that was taken of the byte budget is back.
        let begin = Instant::now();
        client.close_within(1000 * SECOND).await;
        assert!(begin.elapsed() < SECOND);
    }
}

/// Small numbers from a seed.
fn fastrand_like(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 33
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_while_it_waits_for_the_cluster_it_is_not_tried_again() {
    let cluster = three();
    let client = connect(&cluster).await;
    let fault = cluster
        .inject(Fault::new(FaultKind::Error("CLUSTERDOWN The cluster is down".to_owned())).command("INCR"));
    assert!(timeout(SECOND, client.incr("k")).await.is_err());
    cluster.lift(fault);
    let tried = cluster.received(&owner(&cluster, "k"), "INCR");
    assert!(tried > 5);
    sleep(60 * SECOND).await;
    assert_eq!(cluster.received(&owner(&cluster, "k"), "INCR"), tried);
    assert_eq!(cluster.ledger().count("INCR k"), 0);
}

#[tokio::test(start_paused = true)]
async fn dropped_while_its_node_refuses_it_is_not_sent_when_the_node_is_back() {
    let cluster = three();
    let client = connect(&cluster).await;
    let node = owner(&cluster, "k");
    let fault = cluster.inject(Fault::new(FaultKind::Refuse).node(&node));
    cluster.perform(Step::Disconnect(node.clone())).unwrap();
    assert!(timeout(SECOND, client.incr("k")).await.is_err());
    cluster.lift(fault);
    sleep(60 * SECOND).await;
    assert_eq!(cluster.received(&node, "INCR"), 0);
    assert_eq!(client.incr("k").await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn dropped_behind_a_full_budget_it_leaves_the_line() {
    let cluster = three();
    let client = builder(&cluster).byte_budget(2000, 1 << 20).connect().await.unwrap();
    let node = owner(&cluster, "k");
    let keys = keys_of(&cluster, &node, "k", 40);
    client.get::<Value>(&keys[0]).await.unwrap();
    cluster.stop(&node).unwrap();
    let value = "v".repeat(100);
    let waiting = join_all(keys.iter().map(|key| client.set(key, &value)));
    assert!(timeout(SECOND, waiting).await.is_err());
    cluster.cont(&node).unwrap();
    sleep(SECOND).await;
    let written = cluster.received(&node, "SET");
    assert!((10..16).contains(&written), "{written} of 40 had room");
    client.set(&keys[0], "last").await.unwrap();
    assert_eq!(cluster.received(&node, "SET"), written + 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_pipeline_runs_its_commands_at_most_once_and_disturbs_no_one() {
    let cluster = three();
    let client = connect(&cluster).await;
    for key in ["a", "b", "c"] {
        client.set(key, key).await.unwrap();
    }
    for patience in 0..20 {
        cluster.inject(Fault::new(FaultKind::Delay(MS)).command("INCR").probability(0.3).times(10));
        let mut pipe = client.pipeline();
        for number in 0..30 {
            pipe.incr(format!("{patience}:{number}"));
        }
        let run = pipe.run::<Vec<i64>>();
        if patience == 0 {
            assert!(run.now_or_never().is_none());
        } else {
            drop(timeout(patience * MS / 2, run).await);
        }
        for key in ["a", "b", "c"] {
            assert_eq!(client.get::<String>(key).await.unwrap(), key);
        }
        let ran: Vec<usize> =
            (0..30).map(|number| cluster.ledger().count(&format!("INCR {patience}:{number}"))).collect();
        assert!(ran.iter().all(|times| *times <= 1), "{ran:?}");
        assert!(patience > 0 || ran.iter().all(|times| *times == 0), "not written");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_transaction_runs_wholly_or_not_at_all() {
    let cluster = three();
    let client = connect(&cluster).await;
    client.set("{t}x", "x").await.unwrap();
    for patience in 0..12 {
        cluster.inject(Fault::new(FaultKind::Delay(MS)).probability(0.5).times(10));
        let mut transaction = client.transaction();
        for number in 0..5 {
            transaction.incr(format!("{{t}}{patience}:{number}"));
        }
        drop(timeout(patience * MS / 2, transaction.run::<Vec<i64>>()).await);
        assert_eq!(client.get::<String>("{t}x").await.unwrap(), "x");
        let ran: usize =
            (0..5).map(|number| cluster.ledger().count(&format!("INCR {{t}}{patience}:{number}"))).sum();
        assert!(ran == 0 || ran == 5, "{ran} of 5");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_blocking_pop_takes_no_element_later() {
    let cluster = three();
    let client = connect(&cluster).await;
    assert!(timeout(SECOND, client.blpop::<Value>(["queue"], 0.0)).await.is_err());
    sleep(MS).await;
    client.rpush("queue", "job").await.unwrap();
    assert_eq!(client.llen("queue").await.unwrap(), 1, "nobody took it");
    let popped: (String, String) = client.blpop(["queue"], 0.0).await.unwrap();
    assert_eq!(popped.1, "job");
    assert_eq!(cluster.ledger().count("BLPOP queue 0"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fan_out_that_is_dropped_gives_its_room_back() {
    let cluster = three();
    let client = builder(&cluster).byte_budget(4000, 9000).connect().await.unwrap();
    let keys: Vec<String> =
        primaries(&cluster).iter().flat_map(|node| keys_of(&cluster, node, "k", 20)).collect();
    let slow = key_of(&cluster, &primaries(&cluster)[0], "k");
    for _ in 0..50 {
        cluster.inject(Fault::new(FaultKind::DelayReply(20 * MS)).key(&slow).times(1));
        drop(timeout(MS, client.mset(keys.iter().map(|key| (key, "v")))).await);
    }
    let read: Vec<String> = soon(client.mget(&keys)).await.unwrap();
    assert_eq!(read, vec!["v"; 60]);
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_is_dropped_leaves_no_connection_and_no_task() {
    let cluster = three();
    cluster.inject(Fault::new(FaultKind::DelayReply(3600 * SECOND)).command("CLUSTER SLOTS"));
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for _ in 0..20 {
        assert!(timeout(100 * MS, builder(&cluster).connect()).await.is_err());
    }
    sleep(SECOND).await;
    assert_eq!(tasks(), before);
}
