//! One deadline for each command, from its first poll to its reply, over all that happens between: to the millisecond
//! of the paused clock.

use std::time::Duration;

use futures::FutureExt;
use keyslot::testkit::sim::{Fault, FaultKind};
use keyslot::{Command, Commands, ErrorKind, Outcome, Value};
use tokio::time::{Instant, sleep};

use crate::support::{
    MS, SECOND, another, builder, connect, key_of, keys_of, owner, primaries, slot, soon, three,
};

#[tokio::test(start_paused = true)]
async fn a_command_to_a_silent_node_ends_at_its_deadline_and_not_a_moment_later() {
    let cluster = three();
    let client = connect(&cluster).await;
    cluster.inject(Fault::new(FaultKind::Silence).command("GET"));
    for limit in [10 * MS, 700 * MS, SECOND, 3 * SECOND] {
        let begin = Instant::now();
        let error = client.get::<Value>("k").timeout(limit).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(
            begin.elapsed() >= limit && begin.elapsed() <= limit + MS,
            "{:?} of {limit:?}",
            begin.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_default_of_ten_seconds_and_the_clients_own_hold_for_every_command() {
    let cluster = three();
    for (limit, client) in [
        (10 * SECOND, connect(&cluster).await),
        (250 * MS, builder(&cluster).command_timeout(250 * MS).connect().await.unwrap()),
    ] {
        cluster.inject(Fault::new(FaultKind::Silence).command("INCR").times(1));
        let begin = Instant::now();
        let error = client.incr("k").await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::MaybeExecuted));
        assert!(
            begin.elapsed() >= limit && begin.elapsed() <= limit + MS,
            "{:?} of {limit:?}",
            begin.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_counts_from_the_first_poll() {
    let cluster = three();
    let client = connect(&cluster).await;
    cluster.inject(Fault::new(FaultKind::Silence).command("INCR").times(1));
    let request = client.incr("k").timeout(SECOND);
    sleep(5 * SECOND).await;
    let begin = Instant::now();
    request.await.unwrap_err();
    assert!(begin.elapsed() >= SECOND && begin.elapsed() <= SECOND + MS);
}

#[tokio::test(start_paused = true)]
async fn a_reply_just_before_the_deadline_counts_and_one_just_behind_it_goes_to_nobody() {
    let cluster = three();
    let client = connect(&cluster).await;
    cluster.inject(Fault::new(FaultKind::DelayReply(999 * MS)).command("INCR").times(1));
    assert_eq!(client.incr("k").timeout(SECOND).await.unwrap(), 1);
    cluster.inject(Fault::new(FaultKind::DelayReply(1100 * MS)).command("INCR").times(1));
    let error = client.incr("k").timeout(SECOND).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::MaybeExecuted);
    assert_eq!(cluster.ledger().count("INCR k"), 2);
    // The late reply comes behind this one's command: its own comes after it.
    assert_eq!(client.get::<i64>("k").await.unwrap(), 2);
    assert_eq!(cluster.connections_accepted(&owner(&cluster, "k")), 1);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_is_taken_up_after_its_deadline_was_told_as_perhaps_executed() {
    let cluster = three();
    let client = connect(&cluster).await;
    cluster.inject(Fault::new(FaultKind::Delay(2 * SECOND)).command("INCR").times(1));
    let error = client.incr("k").timeout(SECOND).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::MaybeExecuted);
    assert_eq!(cluster.ledger().count("INCR k"), 0, "not yet");
    sleep(2 * SECOND).await;
    assert_eq!(cluster.ledger().count("INCR k"), 1, "that is what perhaps means");
}

#[tokio::test(start_paused = true)]
async fn redirects_do_not_prolong_it() {
    let cluster = three();
    let client = connect(&cluster).await;
    let to = another(&cluster, "k");
    let from = owner(&cluster, "k");
    cluster.move_slot(slot("k"), &to).unwrap();
    // 400 ms until the redirect, and 700 more at its target.
    cluster.inject(Fault::new(FaultKind::DelayReply(400 * MS)).node(&from).command("INCR"));
    cluster.inject(Fault::new(FaultKind::DelayReply(700 * MS)).node(&to).command("INCR"));
    let begin = Instant::now();
    let error = client.incr("k").timeout(SECOND).await.unwrap_err();
    assert!(begin.elapsed() <= SECOND + MS);
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::MaybeExecuted));
    assert_eq!((error.trail().len(), cluster.ledger().count("INCR k")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_refuses_is_tried_until_the_deadline_and_the_command_was_not_sent() {
    let cluster = three();
    let client = connect(&cluster).await;
    cluster.inject(Fault::new(FaultKind::Refuse));
    for node in primaries(&cluster) {
        cluster.perform(keyslot::testkit::sim::Step::Disconnect(node)).unwrap();
    }
    let begin = Instant::now();
    let error = client.incr("k").timeout(5 * SECOND).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Connect, Outcome::NotSent));
    assert!(
        begin.elapsed() >= 5 * SECOND && begin.elapsed() <= 5 * SECOND + 100 * MS,
        "{:?}",
        begin.elapsed()
    );
    cluster.perform(keyslot::testkit::sim::Step::LiftAll).unwrap();
    sleep(60 * SECOND).await;
    assert_eq!(cluster.ledger().count("INCR k"), 0, "it was taken back for good");
    assert_eq!(client.incr("k").await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_hangs_is_tried_anew_within_the_deadline() {
    let cluster = three();
    let client = connect(&cluster).await;
    let node = owner(&cluster, "k");
    cluster.inject(Fault::new(FaultKind::HangConnect).node(&node).times(2));
    cluster.perform(keyslot::testkit::sim::Step::Disconnect(node)).unwrap();
    let begin = Instant::now();
    assert_eq!(client.incr("k").await.unwrap(), 1);
    // Two connect timeouts of two seconds.
    assert!(begin.elapsed() >= 4 * SECOND && begin.elapsed() <= 5 * SECOND, "{:?}", begin.elapsed());
    assert_eq!(cluster.ledger().count("INCR k"), 1);
}

#[tokio::test(start_paused = true)]
async fn in_a_pipeline_what_was_answered_counts_and_the_rest_ends_together() {
    let cluster = three();
    let client = connect(&cluster).await;
    let nodes = primaries(&cluster);
    let keys: Vec<String> = nodes.iter().map(|node| key_of(&cluster, node, "k")).collect();
    cluster.inject(Fault::new(FaultKind::Silence).node(&nodes[1]).command("INCR"));
    let mut pipe = client.pipeline();
    pipe.timeout(SECOND);
    for _ in 0..10 {
        keys.iter().for_each(|key| _ = pipe.incr(key));
    }
    let begin = Instant::now();
    let results = pipe.run_each().await.unwrap();
    assert!(begin.elapsed() <= SECOND + MS);
    for (place, result) in results.iter().enumerate() {
        match result {
            Ok(value) => {
                assert_eq!(*value, Value::Int(place as i64 / 3 + 1));
                assert_ne!(place % 3, 1);
            }
            Err(error) => {
                assert_eq!((place % 3, error.outcome()), (1, Outcome::MaybeExecuted));
            }
        }
    }
    assert_eq!(cluster.ledger().count(&format!("INCR {}", keys[1])), 0);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_commands_behind_a_silence_end_each_at_its_own_time() {
    let cluster = three();
    let client = connect(&cluster).await;
    client.set("k", "1").await.unwrap();
    cluster.inject(Fault::new(FaultKind::Silence).command("ECHO").times(1));
    let begin = Instant::now();
    let requests = (1..=1000).map(|number| {
        let client = &client;
        async move {
            let limit = number * 5 * MS;
            client
                .get::<Value>("k")
                .timeout(limit)
                .await
                .map(|_| ())
                .map_err(|error| (limit, begin.elapsed(), error))
        }
    });
    // Silence begins with a command on the same connection.
    let silent = client
        .execute::<Value>(Command::new("ECHO").arg("x").to(keyslot::Target::Node(owner(&cluster, "k"))));
    let mut silent = std::pin::pin!(silent.timeout(20 * SECOND));
    assert!(silent.as_mut().now_or_never().is_none());
    for result in futures::future::join_all(requests).await {
        let (limit, took, error) = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(took >= limit && took <= limit + 2 * MS, "{took:?} of {limit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_time_at_all_is_over_at_once_and_a_huge_one_never() {
    let cluster = three();
    let client = connect(&cluster).await;
    let error = client.incr("k").timeout(Duration::ZERO).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotSent), "{error}");
    assert_eq!(client.incr("k").timeout(Duration::MAX).await.unwrap(), 1);
    assert_eq!(cluster.ledger().count("INCR k"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fan_out_to_a_silent_node_ends_at_the_deadline_and_tells_of_its_effects() {
    let cluster = three();
    let client = connect(&cluster).await;
    let nodes = primaries(&cluster);
    let keys: Vec<String> = nodes.iter().flat_map(|node| keys_of(&cluster, node, "k", 3)).collect();
    cluster.inject(Fault::new(FaultKind::Silence).node(&nodes[2]).command("MSET"));
    let begin = Instant::now();
    let error = client.mset(keys.iter().map(|key| (key, "1"))).timeout(SECOND).await.unwrap_err();
    assert!(begin.elapsed() <= SECOND + MS);
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::MaybeExecuted));
    let written = keys.iter().filter(|key| cluster.ledger().with_key(key).count() == 1).count();
    assert_eq!(written, 6, "the other two nodes did their parts");
    let read: Vec<Option<String>> =
        soon(client.mget(keys.iter().filter(|key| owner(&cluster, key) != nodes[2]))).await.unwrap();
    assert_eq!(read, vec![Some("1".to_owned()); 6]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_what_another_caller_asks_of_a_command_waits_no_longer_than_its_own_time() {
    let cluster = three();
    let client = connect(&cluster).await;
    // No table has it, so servers are asked; each caller waits for the answer to the first of them.
    let fault = cluster.inject(Fault::new(FaultKind::Silence).command("COMMAND INFO"));
    let strange = || Command::new("NO.SUCH").arg("x");
    let begin = Instant::now();
    let (_first, took) = soon(async {
        tokio::join!(client.execute::<Value>(strange().timeout(5 * SECOND)), async {
            let error = client.execute::<Value>(strange().timeout(100 * MS)).await.unwrap_err();
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotSent), "{error}");
            begin.elapsed()
        })
    })
    .await;
    cluster.lift(fault);
    assert!((100 * MS..=102 * MS).contains(&took), "{took:?}");
}
