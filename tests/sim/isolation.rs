//! One node of several dies, hangs, refuses or crawls: commands to the others keep their latency, which in memory and by
//! the paused clock is none.

use std::time::Duration;

use futures::future::join_all;
use keyslot::testkit::sim::{Fault, FaultKind, SimCluster, Step};
use keyslot::{Client, Commands, NodeAddr, Outcome};
use tokio::time::{Instant, sleep};

use crate::support::{MS, SECOND, connect, key_of, keys_of, primaries, soon};

/// Five primaries, a client that knows them all, and the first one, which is to suffer.
async fn five() -> (SimCluster, Client, NodeAddr) {
    let cluster = SimCluster::builder().primaries(5).full_coverage(false).start_in_memory().unwrap();
    let client = connect(&cluster).await;
    let nodes = primaries(&cluster);
    for node in &nodes {
        client.set(key_of(&cluster, node, "warm:"), "1").await.unwrap();
    }
    let sufferer = nodes[0].clone();
    (cluster, client, sufferer)
}

/// For ten seconds, while commands to the sufferer are under way, those to all others take no time at all; and what is
/// told of the sufferer's is true.
async fn the_others_feel_nothing(cluster: &SimCluster, client: &Client, sufferer: &NodeAddr) {
    let others: Vec<String> = primaries(cluster)
        .iter()
        .filter(|node| *node != sufferer)
        .flat_map(|node| keys_of(cluster, node, "fine:", 3))
        .collect();
    let suffering: Vec<_> = keys_of(cluster, sufferer, "suffers:", 50)
        .into_iter()
        .map(|key| {
            let client = client.clone();
            tokio::spawn(async move {
                let result = client.incr(&key).await;
                (key, result)
            })
        })
        .collect();
    for round in 0..100 {
        let begin = Instant::now();
        for key in &others {
            assert_eq!(client.incr(key).await.unwrap(), 2 * round + 1);
        }
        let at_once = join_all(others.iter().map(|key| client.incr(key))).await;
        assert!(at_once.into_iter().all(|result| result.unwrap() == 2 * round + 2));
        assert!(begin.elapsed().is_zero(), "round {round} took {:?}", begin.elapsed());
        sleep(100 * MS).await;
    }
    for task in suffering {
        let (key, result) = soon(task).await.unwrap();
        let executed = cluster.ledger().count(&format!("INCR {key}"));
        match result {
            Ok(value) => assert_eq!((value, executed), (1, 1)),
            Err(error) => match error.outcome() {
                Outcome::NotSent | Outcome::Rejected => assert_eq!(executed, 0, "{error}"),
                Outcome::MaybeExecuted => assert!(executed <= 1),
            },
        }
    }
    for key in others {
        assert_eq!(cluster.ledger().count(&format!("INCR {key}")), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_dead_node() {
    let (cluster, client, sufferer) = five().await;
    cluster.kill(&sufferer).unwrap();
    the_others_feel_nothing(&cluster, &client, &sufferer).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_stopped_node() {
    let (cluster, client, sufferer) = five().await;
    cluster.stop(&sufferer).unwrap();
    the_others_feel_nothing(&cluster, &client, &sufferer).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_node_that_reads_and_never_answers() {
    let (cluster, client, sufferer) = five().await;
    cluster.inject(Fault::new(FaultKind::Silence).node(&sufferer));
    the_others_feel_nothing(&cluster, &client, &sufferer).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_node_that_refuses_connections() {
    let (cluster, client, sufferer) = five().await;
    cluster.inject(Fault::new(FaultKind::Refuse).node(&sufferer));
    cluster.perform(Step::Disconnect(sufferer.clone())).unwrap();
    the_others_feel_nothing(&cluster, &client, &sufferer).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_node_whose_connects_hang() {
    let (cluster, client, sufferer) = five().await;
    cluster.inject(Fault::new(FaultKind::HangConnect).node(&sufferer));
    cluster.perform(Step::Disconnect(sufferer.clone())).unwrap();
    the_others_feel_nothing(&cluster, &client, &sufferer).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_node_that_takes_a_second_for_each_command() {
    let (cluster, client, sufferer) = five().await;
    cluster.inject(Fault::new(FaultKind::Delay(SECOND)).node(&sufferer));
    the_others_feel_nothing(&cluster, &client, &sufferer).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_node_that_reads_ten_bytes_at_a_time() {
    let (cluster, client, sufferer) = five().await;
    cluster.inject(Fault::new(FaultKind::SlowReader(10)).node(&sufferer));
    the_others_feel_nothing(&cluster, &client, &sufferer).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_node_that_closes_every_connection() {
    let (cluster, client, sufferer) = five().await;
    cluster.inject(Fault::new(FaultKind::CloseBefore).node(&sufferer));
    the_others_feel_nothing(&cluster, &client, &sufferer).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_node_that_is_loading() {
    let (cluster, client, sufferer) = five().await;
    let loading = "LOADING Redis is loading the dataset in memory".to_owned();
    cluster.inject(Fault::new(FaultKind::Error(loading)).node(&sufferer));
    the_others_feel_nothing(&cluster, &client, &sufferer).await;
}

#[tokio::test(start_paused = true)]
async fn in_a_pipeline_the_others_replies_are_kept() {
    let (cluster, client, sufferer) = five().await;
    cluster.kill(&sufferer).unwrap();
    let keys: Vec<String> =
        primaries(&cluster).iter().chain([&sufferer]).map(|node| key_of(&cluster, node, "warm:")).collect();
    let mut pipe = client.pipeline();
    pipe.timeout(SECOND);
    keys.iter().for_each(|key| _ = pipe.get(key));
    let results = pipe.run_each().await.unwrap();
    for (key, result) in keys.iter().zip(results) {
        let is_dead = *key == key_of(&cluster, &sufferer, "warm:");
        assert_eq!(result.is_err(), is_dead, "{key}: {result:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn refreshes_that_ask_a_dead_node_do_not_wait_for_it() {
    let (cluster, client, sufferer) = five().await;
    cluster.stop(&sufferer).unwrap();
    let other = primaries(&cluster).into_iter().find(|node| *node != sufferer).unwrap();
    let to = primaries(&cluster).into_iter().find(|node| *node != sufferer && *node != other).unwrap();
    let keys = keys_of(&cluster, &other, "moves:", 20);
    for key in keys {
        let refreshes = client.stats().refreshes;
        cluster.move_slot(crate::support::slot(&key), &to).unwrap();
        sleep(10 * MS).await;
        client.set(&key, "1").await.unwrap();
        let begin = Instant::now();
        while client.stats().refreshes == refreshes {
            sleep(MS).await;
        }
        assert!(begin.elapsed() < Duration::from_millis(400), "{:?}", begin.elapsed());
        sleep(2 * SECOND).await;
    }
}
