//! Peers that die without a word: noticed without any traffic, and not taken for dead while they are merely busy.

use std::time::Duration;

use keyslot::testkit::sim::{Fault, FaultKind, SimCluster};
use keyslot::{Client, Commands, NodeAddr, Outcome};
use tokio::time::{Instant, sleep};

use crate::support::{
    MS, SECOND, builder, connect, key_of, owner, primaries, received_by_all, replicated, slot, soon,
};

/// Nobody sends anything for so long that only signs of life tell.
const LONG: Duration = Duration::from_secs(3600);

/// A replicated cluster, and a client that has used each shard, which looks at the topology by itself as good as never.
async fn idle() -> (SimCluster, Client, NodeAddr, NodeAddr) {
    let cluster = replicated().start_in_memory().unwrap();
    let client = builder(&cluster).refresh_interval(LONG).connect().await.unwrap();
    for node in primaries(&cluster) {
        client.set(key_of(&cluster, &node, "warm:"), "1").await.unwrap();
    }
    client.set("k", "1").await.unwrap();
    sleep(SECOND).await;
    let primary = owner(&cluster, "k");
    let replica = cluster.replicas_of(&primary).remove(0);
    (cluster, client, primary, replica)
}

fn known(client: &Client, key: &str) -> NodeAddr {
    client.slot_map().primary_of(slot(key)).unwrap().addr.clone()
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_learns_of_a_stopped_primary_by_its_silence() {
    let (cluster, client, primary, replica) = idle().await;
    cluster.stop(&primary).unwrap();
    let begin = Instant::now();
    while known(&client, "k") != replica {
        assert!(begin.elapsed() < 10 * SECOND, "it still knows {}", known(&client, "k"));
        sleep(10 * MS).await;
    }
    let begin = Instant::now();
    assert_eq!(client.incr("k").await.unwrap(), 2);
    assert!(begin.elapsed().is_zero(), "nothing waits any more");
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_whose_connection_is_lost_learns_who_took_over_and_then_rests() {
    let (cluster, client, primary, replica) = idle().await;
    cluster.kill(&primary).unwrap();
    let begin = Instant::now();
    while known(&client, "k") != replica {
        // The death is seen at once, and the successor is there a second or two later.
        assert!(begin.elapsed() < 10 * SECOND, "it still knows {}", known(&client, "k"));
        sleep(10 * MS).await;
    }
    sleep(60 * SECOND).await;
    let before = client.stats().refreshes;
    sleep(600 * SECOND).await;
    let looks = client.stats().refreshes - before;
    assert!((1..=6).contains(&looks), "{looks} in ten minutes: it doubles from two seconds");
}

#[tokio::test(start_paused = true)]
async fn without_signs_of_life_the_same_is_not_noticed() {
    let cluster = replicated().start_in_memory().unwrap();
    let client = builder(&cluster).refresh_interval(LONG).keep_alive(Duration::ZERO).connect().await.unwrap();
    client.set("k", "1").await.unwrap();
    sleep(5 * SECOND).await;
    let primary = owner(&cluster, "k");
    cluster.stop(&primary).unwrap();
    sleep(60 * SECOND).await;
    assert_eq!(known(&client, "k"), primary);
    assert_eq!(received_by_all(&cluster, "PING"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_is_asked_at_its_interval_and_a_busy_one_never() {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let client = connect(&cluster).await;
    let node = owner(&cluster, "k");
    for _ in 0..100 {
        client.incr("k").await.unwrap();
        sleep(SECOND).await;
    }
    assert_eq!(cluster.received(&node, "PING"), 0, "it was never quiet for long");
    let before = received_by_all(&cluster, "PING");
    sleep(60 * SECOND).await;
    // The refresh of each 30 s keeps it from a few.
    let asked = received_by_all(&cluster, "PING") - before;
    assert!((5..=40).contains(&asked), "{asked} in a minute");
    assert_eq!(client.stats().disconnects, 0);
}

#[tokio::test(start_paused = true)]
async fn a_half_open_connection_is_closed_and_the_next_command_takes_a_new_one() {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let client = connect(&cluster).await;
    client.set("k", "1").await.unwrap();
    let node = owner(&cluster, "k");
    // This one connection leads nowhere any more; the node is well.
    let fault = cluster.inject(Fault::new(FaultKind::Silence).node(&node).command("PING").times(1));
    sleep(30 * SECOND).await;
    cluster.lift(fault);
    assert!(client.stats().disconnects >= 1, "{:?}", client.stats());
    let begin = Instant::now();
    assert_eq!(client.incr("k").await.unwrap(), 2);
    assert!(begin.elapsed().is_zero(), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_busy_for_long_is_not_taken_for_dead() {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let client = connect(&cluster).await;
    client.set("k", "1").await.unwrap();
    let node = owner(&cluster, "k");
    // As behind a script of nine seconds: nothing is answered, and then everything.
    cluster.stop(&node).unwrap();
    let accepted = cluster.connections_accepted(&node);
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.incr("k").await })
        })
        .collect();
    sleep(9 * SECOND).await;
    cluster.cont(&node).unwrap();
    for (place, task) in waiting.into_iter().enumerate() {
        assert_eq!(soon(task).await.unwrap().unwrap(), 2 + i64::try_from(place).unwrap());
    }
    assert_eq!(client.stats().disconnects, 0);
    assert_eq!(cluster.connections_accepted(&node), accepted);
}

/// As over a long way, or of a caller whose commands are large.
#[tokio::test(start_paused = true)]
async fn nodes_that_always_take_their_time_are_not_doubted_each_time() {
    for late in [150 * MS, 700 * MS] {
        let cluster = SimCluster::builder().start_in_memory().unwrap();
        let client = builder(&cluster).refresh_interval(LONG).connect().await.unwrap();
        client.set("k", "1").await.unwrap();
        sleep(60 * SECOND).await;
        let before = client.stats().refreshes;
        cluster.inject(Fault::new(FaultKind::DelayReply(late)).command("INCR"));
        let begin = Instant::now();
        let mut calls = 0;
        while begin.elapsed() < 120 * SECOND {
            client.incr("k").await.unwrap();
            calls += 1;
        }
        let refreshes = client.stats().refreshes - before;
        println!("{calls} calls of {late:?}: {refreshes} refreshes");
        assert!(refreshes < 40, "{refreshes} refreshes for {calls} calls of {late:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_behind_an_unanswered_question_has_its_full_time_and_its_true_outcome() {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let client = connect(&cluster).await;
    client.set("k", "1").await.unwrap();
    let node = owner(&cluster, "k");
    cluster.stop(&node).unwrap();
    // The question is on its way by then, and is given up while the command waits.
    sleep(9 * SECOND).await;
    let begin = Instant::now();
    let (counted, ()) = futures::join!(client.incr("k"), async {
        sleep(8 * SECOND).await;
        cluster.cont(&node).unwrap();
    });
    match counted {
        Ok(value) => assert_eq!(value, 2),
        Err(error) => assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{error}"),
    }
    assert!(begin.elapsed() <= 10 * SECOND + 100 * MS, "{:?}", begin.elapsed());
    assert!(cluster.ledger().count("INCR k") <= 1);
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_that_a_server_refuses_are_signs_of_life() {
    for refusal in [
        "LOADING Redis is loading the dataset in memory",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "MISCONF Redis is configured to save RDB snapshots",
        "NOPERM User default has no permissions to run the 'ping' command",
    ] {
        let cluster = SimCluster::builder().start_in_memory().unwrap();
        let client = connect(&cluster).await;
        client.set("k", "1").await.unwrap();
        cluster.inject(Fault::new(FaultKind::Error(refusal.to_owned())).command("PING"));
        sleep(60 * SECOND).await;
        assert_eq!(client.stats().disconnects, 0, "{refusal}");
        assert!(received_by_all(&cluster, "PING") > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_that_is_answered_twice_gives_nobody_a_wrong_reply() {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let client = connect(&cluster).await;
    client.set("k", "v").await.unwrap();
    for kind in [FaultKind::DuplicateReply, FaultKind::LoseReply] {
        let fault = cluster.inject(Fault::new(kind.clone()).command("PING"));
        for _ in 0..40 {
            sleep(SECOND).await;
            let before = received_by_all(&cluster, "PING");
            sleep(5 * SECOND + 600 * MS).await;
            assert_eq!(client.get::<String>("k").await.unwrap(), "v", "{kind:?}, {before}");
        }
        cluster.lift(fault);
    }
    assert!(received_by_all(&cluster, "PING") > 0);
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_connection_that_died_while_nobody_used_it_is_not_given_to_a_caller() {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let client = connect(&cluster).await;
    let node = owner(&cluster, "queue");
    client.rpush("queue", "1").await.unwrap();
    client.blpop::<(String, String)>(["queue"], 1.0).await.unwrap();
    sleep(60 * SECOND).await;
    // The spare connection alone leads nowhere.
    cluster.inject(Fault::new(FaultKind::Silence).node(&node).command("PING").times(1));
    client.rpush("queue", "2").await.unwrap();
    let (_, element): (String, String) = soon(client.blpop(["queue"], 0.0)).await.unwrap();
    assert_eq!(element, "2");
}

#[tokio::test(start_paused = true)]
async fn a_question_under_way_does_not_hold_up_the_end_of_a_client() {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let client = connect(&cluster).await;
    client.set("k", "1").await.unwrap();
    cluster.stop(&owner(&cluster, "k")).unwrap();
    // It is asked after five and a half, and nobody doubts it within another.
    sleep(5 * SECOND + 900 * MS).await;
    let begin = Instant::now();
    client.close().await;
    assert!(begin.elapsed() < SECOND, "{:?}", begin.elapsed());
}
