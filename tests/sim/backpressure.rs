//! Nodes that take less than they are given: callers wait or are told, memory stays bounded, and nothing deadlocks.

use futures::future::join_all;
use keyslot::testkit::sim::{Fault, FaultKind, SimCluster};
use keyslot::{Commands, ErrorKind, Outcome, OverloadPolicy, Value};
use tokio::time::{Instant, sleep};

use crate::support::{MS, SECOND, builder, connect, key_of, keys_of, owner, primaries, soon, three};

#[tokio::test(start_paused = true)]
async fn a_large_pipeline_gets_through_a_slow_reader_in_order() {
    let cluster = three();
    let client = connect(&cluster).await;
    // About 100 kB each second.
    cluster.inject(Fault::new(FaultKind::SlowReader(1000)).command("SET").times(1));
    let value = "v".repeat(100);
    let mut pipe = client.pipeline();
    pipe.timeout(60 * SECOND);
    for number in 0..5000 {
        pipe.set("{t}", &value).get("{t}").incr(format!("{{t}}{}", number % 7));
    }
    let begin = Instant::now();
    let replies = soon(pipe.run_each()).await.unwrap();
    assert!(begin.elapsed() > 5 * SECOND, "{:?}", begin.elapsed());
    assert_eq!(replies.len(), 15_000);
    for (place, reply) in replies.into_iter().enumerate() {
        let wanted = match place % 3 {
            0 => Value::Simple("OK".into()),
            1 => Value::Bulk(value.clone().into()),
            _ => Value::Int((place as i64 / 3) / 7 + 1),
        };
        assert_eq!(reply.unwrap(), wanted, "reply {place}");
    }
    assert_eq!(cluster.connections_accepted(&owner(&cluster, "{t}")), 1);
}

#[tokio::test(start_paused = true)]
async fn replies_larger_than_every_buffer_do_not_stop_the_writing() {
    let cluster = three();
    let client = connect(&cluster).await;
    let value = "v".repeat(300_000);
    client.set("{t}", &value).await.unwrap();
    let mut pipe = client.pipeline();
    for _ in 0..30 {
        pipe.get("{t}").set("{t}other", &value);
    }
    let replies = soon(pipe.run_each()).await.unwrap();
    let bytes: usize = replies.iter().filter_map(|reply| Some(reply.as_ref().ok()?.as_bytes()?.len())).sum();
    assert_eq!(bytes, 30 * (300_000 + 2));
}

#[tokio::test(start_paused = true)]
async fn a_full_budget_is_waited_for_in_the_order_of_coming() {
    let cluster = three();
    let client = builder(&cluster).byte_budget(1000, 1 << 20).connect().await.unwrap();
    let node = owner(&cluster, "list");
    client.get::<Value>("list").await.unwrap();
    cluster.stop(&node).unwrap();
    let pushes = (0..100).map(|number| client.rpush("list", format!("{number:0>50}")));
    let (lengths, ()) = soon(async {
        futures::join!(join_all(pushes), async {
            sleep(2 * SECOND).await;
            assert_eq!(cluster.received(&node, "RPUSH"), 0);
            cluster.cont(&node).unwrap();
        })
    })
    .await;
    let lengths: Vec<u64> = lengths.into_iter().map(Result::unwrap).collect();
    assert_eq!(lengths, (1..=100).collect::<Vec<_>>());
    let list: Vec<u64> = client.lrange("list", 0, -1).await.unwrap();
    assert_eq!(list, (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_room_until_the_deadline_was_not_sent_and_stays_so() {
    let cluster = three();
    let client =
        builder(&cluster).byte_budget(1000, 1 << 20).command_timeout(SECOND).connect().await.unwrap();
    let node = owner(&cluster, "k");
    let keys = keys_of(&cluster, &node, "k", 100);
    client.get::<Value>("k").await.unwrap();
    cluster.stop(&node).unwrap();
    let begin = Instant::now();
    let results = join_all(keys.iter().map(|key| client.incr(key))).await;
    assert!(begin.elapsed() <= SECOND + 2 * MS, "{:?}", begin.elapsed());
    cluster.cont(&node).unwrap();
    sleep(60 * SECOND).await;
    let mut counts = (0, 0);
    for (key, result) in keys.iter().zip(results) {
        let executed = cluster.ledger().count(&format!("INCR {key}"));
        match result.unwrap_err().outcome() {
            Outcome::MaybeExecuted => {
                assert!(executed <= 1);
                counts.0 += 1;
            }
            Outcome::NotSent => {
                assert_eq!(executed, 0);
                counts.1 += 1;
            }
            Outcome::Rejected => panic!("nobody refused it"),
        }
    }
    assert!(counts.0 > 10 && counts.1 > 10, "{counts:?}");
    assert_eq!(client.incr("after").await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_shall_not_wait_is_told_at_once() {
    let cluster = three();
    let client =
        builder(&cluster).byte_budget(1000, 1 << 20).overload(OverloadPolicy::Fail).connect().await.unwrap();
    let node = owner(&cluster, "k");
    let keys = keys_of(&cluster, &node, "k", 100);
    client.get::<Value>("k").await.unwrap();
    cluster.stop(&node).unwrap();
    let begin = Instant::now();
    let results = {
        let client = &client;
        let tasks = join_all(keys.iter().map(|key| async move {
            let result = client.incr(key).await;
            (result, begin.elapsed())
        }));
        let (results, ()) = futures::join!(tasks, async {
            sleep(SECOND).await;
            cluster.cont(&node).unwrap();
        });
        results
    };
    let refused: Vec<_> = results.iter().filter(|(result, _)| result.is_err()).collect();
    assert!(refused.len() > 10);
    for (result, took) in &refused {
        let error = result.as_ref().unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Overloaded, Outcome::NotSent));
        assert!(took.is_zero());
    }
    assert_eq!(cluster.received(&node, "INCR"), (results.len() - refused.len()) as u64);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_eats_its_own_budget_only() {
    let cluster = three();
    let client = builder(&cluster).byte_budget(1000, 100_000).connect().await.unwrap();
    let nodes = primaries(&cluster);
    let dead = keys_of(&cluster, &nodes[0], "dead:", 200);
    let alive: Vec<String> =
        nodes[1..].iter().flat_map(|node| keys_of(&cluster, node, "alive:", 20)).collect();
    for node in &nodes {
        client.get::<Value>(key_of(&cluster, node, "warm:")).await.unwrap();
    }
    cluster.stop(&nodes[0]).unwrap();
    let stuck: Vec<_> = dead
        .into_iter()
        .map(|key| {
            let client = client.clone();
            tokio::spawn(async move { client.incr(key).await })
        })
        .collect();
    sleep(100 * MS).await;
    for key in &alive {
        let begin = Instant::now();
        client.set(key, "1").await.unwrap();
        assert!(begin.elapsed().is_zero(), "{:?}", begin.elapsed());
    }
    for task in stuck {
        assert!(task.await.unwrap().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn one_slow_node_of_three_delays_its_own_commands_only() {
    let cluster = three();
    let client = connect(&cluster).await;
    let nodes = primaries(&cluster);
    let slow = key_of(&cluster, &nodes[1], "slow:");
    cluster.inject(Fault::new(FaultKind::SlowReader(10)).node(&nodes[1]).command("SET"));
    let background = {
        let (client, slow) = (client.clone(), slow.clone());
        tokio::spawn(async move { client.set(&slow, "v".repeat(5000)).await })
    };
    sleep(10 * MS).await;
    for node in [&nodes[0], &nodes[2]] {
        for key in keys_of(&cluster, node, "fast:", 50) {
            let begin = Instant::now();
            client.set(&key, "1").await.unwrap();
            assert!(begin.elapsed().is_zero());
        }
    }
    soon(background).await.unwrap().unwrap();
    assert_eq!(client.strlen(&slow).await.unwrap(), 5000);
}

#[tokio::test(start_paused = true)]
async fn the_clients_own_bound_holds_over_all_nodes() {
    let cluster = SimCluster::builder().primaries(10).start_in_memory().unwrap();
    let client = builder(&cluster).byte_budget(10_000, 10_000).connect().await.unwrap();
    let nodes = primaries(&cluster);
    let keys: Vec<String> = nodes.iter().flat_map(|node| keys_of(&cluster, node, "k", 5)).collect();
    for key in &keys {
        client.get::<Value>(key).await.unwrap();
    }
    for node in &nodes {
        cluster.stop(node).unwrap();
    }
    let value = "v".repeat(900);
    let sets = join_all(keys.iter().map(|key| client.set(key, &value)));
    let (results, ()) = futures::join!(sets, async {
        sleep(2 * SECOND).await;
        for node in &nodes {
            cluster.cont(node).unwrap();
        }
        sleep(MS / 10).await;
    });
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(cluster.ledger().iter().filter(|effect| effect.changed).count(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_command_larger_than_the_budget_passes_alone() {
    let cluster = three();
    let client = builder(&cluster).byte_budget(1000, 1000).connect().await.unwrap();
    let value = "v".repeat(100_000);
    let results = soon(join_all((0..5).map(|number| client.set(format!("k{number}"), &value)))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(client.strlen("k4").await.unwrap(), 100_000);
}
