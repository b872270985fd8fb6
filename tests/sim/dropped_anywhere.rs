//! Futures that are dropped at any of their await points, in any order, of every kind of request: nobody else gets a wrong
//! reply, nothing runs twice, and nothing is left behind.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use fastrand::Rng;
use futures::StreamExt;
use keyslot::testkit::sim::{Fault, FaultKind, SimCluster};
use keyslot::{Client, Commands, Slot, Value};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{MS, SECOND, builder, connect, keys_of, primaries, soon};

/// The future's output, if it resolves within so many polls; dropped at the point that it has reached otherwise.
async fn at_most<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // The poll in which it would be dropped must come, whether or not anything happens.
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// One request of some kind, with counters of its own.
async fn request(client: &Client, rng: &mut Rng, mine: &str, keys: &[String]) -> keyslot::Result<()> {
    let key = &keys[rng.usize(..keys.len())];
    match rng.u8(..10) {
        0 => drop(client.incr(format!("{{{key}}}{mine}")).await?),
        1 => {
            let mut pipe = client.pipeline();
            keys.iter().for_each(|key| _ = pipe.incr(format!("{{{key}}}{mine}")));
            drop(pipe.run_each().await?);
        }
        2 => client.mset(keys.iter().map(|key| (key, "v"))).await?,
        3 => drop(client.mget::<Vec<Option<String>>>(keys).await?),
        4 => {
            let mut transaction = client.transaction();
            transaction.incr(format!("{{{key}}}{mine}")).get(key);
            transaction.run::<(i64, Value)>().await?;
        }
        5 => {
            let mut session = client.session(key).await?;
            session.watch(key).await?;
            let _: Value = session.get(key).await?;
            let mut transaction = session.transaction();
            transaction.incr(format!("{{{key}}}{mine}"));
            transaction.run::<(i64,)>().await?;
        }
        6 => drop(client.blpop::<Value>([format!("{{{key}}}queue")], 0.0).await?),
        7 => {
            let mut pipe = client.pipeline();
            keys.iter().for_each(|key| _ = pipe.incr(format!("{{{key}}}{mine}")));
            drop(pipe.run_durable(0, SECOND).await?);
        }
        8 => {
            let mut pages = pin!(client.scan().pages());
            while let Some(page) = pages.next().await {
                drop(page?);
            }
        }
        _ => {
            let subscriber = client.subscriber();
            subscriber.ssubscribe(key).await?;
            subscriber.subscribe(key).await?;
            subscriber.unsubscribe(key).await?;
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn whatever_is_dropped_and_wherever_nobody_else_is_harmed() {
    for seed in 0..20 {
        let cluster = SimCluster::builder().replicas(1).seed(seed).start_in_memory().unwrap();
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        // Until the cluster of the round before has ended.
        sleep(MS).await;
        let before = tasks();
        let client = builder(&cluster).byte_budget(4000, 9000).connect().await.unwrap();
        let nodes = primaries(&cluster);
        let keys: Vec<String> = nodes.iter().flat_map(|node| keys_of(&cluster, node, "k", 3)).collect();
        for key in &keys {
            client.set(key, "v").await.unwrap();
            client.set(format!("{{{key}}}own"), key).await.unwrap();
        }
        let mut rng = Rng::with_seed(seed);
        for round in 0..150 {
            if round % 10 == 0 {
                let late = Fault::new(FaultKind::DelayReply(MS)).probability(0.2).times(20);
                cluster.inject(late);
            }
            if round % 40 == 20 {
                let slot = Slot::of_key(keys[rng.usize(..keys.len())].as_bytes());
                let to = &nodes[rng.usize(..nodes.len())];
                // It may be there already.
                drop(cluster.move_slot(slot, to));
            }
            let mine = format!("n{round}");
            let polls = rng.usize(..12);
            // Some are dropped at a poll of their own, some when time has passed for them.
            drop(timeout(20 * MS, at_most(polls, request(&client, &mut rng, &mine, &keys))).await);
            let key = &keys[rng.usize(..keys.len())];
            let own: String = soon(client.get(format!("{{{key}}}own"))).await.unwrap();
            assert_eq!(own, *key, "seed {seed}, round {round}");
            for key in &keys {
                let line = format!("INCR {{{key}}}{mine}");
                assert!(cluster.ledger().count(&line) <= 1, "seed {seed}: {line} ran twice");
            }
        }
        // No room was lost, and nothing that was dropped is waited for.
        let read: Vec<String> = soon(client.mget(&keys)).await.unwrap();
        assert_eq!(read, vec!["v"; keys.len()]);
        let begin = Instant::now();
        client.close().await;
        assert!(begin.elapsed() < SECOND, "seed {seed}: closing took {:?}", begin.elapsed());
        drop(client);
        sleep(SECOND).await;
        assert_eq!(tasks(), before, "seed {seed}");
    }
}

/// The open sockets of this process.
#[cfg(target_os = "linux")]
fn sockets() -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_last_clone_leaves_no_socket_behind() {
    let cluster = SimCluster::builder().start().await.unwrap();
    let before = sockets();
    for way_to_end in 0..2 {
        let client = Client::connect(cluster.url()).await.unwrap();
        for node in primaries(&cluster) {
            let key = keys_of(&cluster, &node, "k", 1).remove(0);
            client.set(&key, "1").await.unwrap();
            drop(timeout(20 * MS, client.blpop::<Value>([format!("{{{key}}}queue")], 0.0)).await);
            drop(timeout(20 * MS, client.session(&key)).await);
        }
        let subscriber = client.subscriber();
        subscriber.subscribe("news").await.unwrap();
        assert!(sockets() > before + 3);
        drop(subscriber);
        if way_to_end == 0 {
            client.close().await;
        }
        drop(client);
        // Both ends are of this process, and the far ones notice a moment later.
        let begin = Instant::now();
        while sockets() > before {
            assert!(begin.elapsed() < 10 * SECOND, "{} sockets more than before", sockets() - before);
            sleep(10 * MS).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_dropped_in_the_middle_of_everything_ends_every_task() {
    for seed in 0..20 {
        let cluster = SimCluster::builder().seed(seed).start_in_memory().unwrap();
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        // Until the cluster of the round before has ended.
        sleep(MS).await;
        let before = tasks();
        let client = connect(&cluster).await;
        let keys: Vec<String> =
            primaries(&cluster).iter().flat_map(|node| keys_of(&cluster, node, "k", 2)).collect();
        let mut rng = Rng::with_seed(seed);
        for round in 0..10 {
            let mine = format!("n{round}");
            drop(timeout(MS, at_most(3, request(&client, &mut rng, &mine, &keys))).await);
        }
        drop(client);
        sleep(SECOND).await;
        assert_eq!(tasks(), before, "seed {seed}");
    }
}
