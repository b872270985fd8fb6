//! Connections: few, shared, made when they are needed, and closed when they are not to be trusted.

use futures::future::join_all;
use keyslot::testkit::sim::{Fault, FaultKind, SimCluster, Step};
use keyslot::{Commands, Error, ErrorKind, Outcome, Value};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{MS, SECOND, builder, connect, key_of, keys_of, owner, primaries, slot, soon, three};

#[tokio::test(start_paused = true)]
async fn a_thousand_tasks_share_one_connection_to_each_node() {
    let cluster = three();
    let client = connect(&cluster).await;
    let tasks = (0..1000).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            let key = format!("key:{number}");
            client.set(&key, &key).await.unwrap();
            assert_eq!(client.get::<String>(&key).await.unwrap(), key);
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    for node in cluster.nodes() {
        assert_eq!(cluster.connections_accepted(&node), 1);
    }
    assert_eq!((client.stats().connects, client.stats().disconnects), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_connected_before_it_is_needed() {
    let cluster = SimCluster::builder().primaries(20).replicas(1).start_in_memory().unwrap();
    let client = connect(&cluster).await;
    let last = primaries(&cluster).pop().unwrap();
    client.set(key_of(&cluster, &last, "k"), "1").await.unwrap();
    let connected: Vec<_> =
        cluster.nodes().into_iter().filter(|node| cluster.connections_accepted(node) > 0).collect();
    assert!(connected.len() <= 4, "three seeds and the one that was used: {connected:?}");
    assert!(connected.contains(&last));
    assert!(connected.iter().all(|node| cluster.connections_accepted(node) == 1));
}

#[tokio::test(start_paused = true)]
async fn several_links_share_the_slots_and_a_keys_commands_take_the_same_one() {
    let cluster = three();
    let client = builder(&cluster).links_per_node(4).connect().await.unwrap();
    let node = owner(&cluster, "k");
    let keys = keys_of(&cluster, &node, "k", 100);
    for round in 0..3 {
        join_all(keys.iter().map(|key| client.set(key, round))).await;
    }
    let ledger = cluster.ledger();
    let mut connections: Vec<u64> = Vec::new();
    for key in &keys {
        let mut of_key: Vec<u64> = ledger.with_key(key).map(|effect| effect.connection).collect();
        assert_eq!(of_key.len(), 3);
        of_key.dedup();
        assert_eq!(of_key.len(), 1, "{key} took several links");
        connections.extend(of_key);
    }
    connections.sort_unstable();
    connections.dedup();
    assert_eq!(connections.len(), 4);
    assert_eq!(cluster.connections_accepted(&node), 4);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_dies_is_made_anew_and_the_others_stay() {
    let cluster = three();
    let client = builder(&cluster).links_per_node(2).connect().await.unwrap();
    let node = owner(&cluster, "k");
    let keys = keys_of(&cluster, &node, "k", 20);
    join_all(keys.iter().map(|key| client.set(key, "1"))).await;
    let dying = cluster.ledger().iter().next().unwrap().connection;
    cluster.inject(Fault::new(FaultKind::CloseBefore).connection(dying).times(1));
    let read = join_all(keys.iter().map(|key| client.get::<i64>(key))).await;
    assert!(read.into_iter().all(|value| value.unwrap() == 1));
    assert_eq!(cluster.connections_accepted(&node), 3);
    assert_eq!(client.stats().disconnects, 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_link_that_was_closed_costs_the_next_command_nothing() {
    let cluster = three();
    let client = connect(&cluster).await;
    assert_eq!(client.incr("k").await.unwrap(), 1);
    cluster.perform(Step::Disconnect(owner(&cluster, "k"))).unwrap();
    sleep(MS).await;
    assert_eq!(client.incr("k").await.unwrap(), 2);
    assert_eq!(cluster.ledger().count("INCR k"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_refuses_is_not_hammered() {
    let cluster = three();
    let client = connect(&cluster).await;
    let node = owner(&cluster, "k");
    cluster.perform(Step::Disconnect(node.clone())).unwrap();
    cluster.kill(&node).unwrap();
    let errors = join_all((0..100).map(|_| client.incr("k"))).await;
    assert!(errors.into_iter().all(|result| result.unwrap_err().outcome() == Outcome::NotSent));
    // Ten seconds of back-off up to a second; a refused connect is not accepted, so it is counted by the client's tries.
    assert!(client.stats().refreshes < 150, "{:?}", client.stats());
}

#[tokio::test(start_paused = true)]
async fn blocking_commands_have_connections_of_their_own_and_hold_up_nobody() {
    let cluster = three();
    let client = connect(&cluster).await;
    let node = owner(&cluster, "queue");
    client.get::<Value>("queue:x").await.unwrap();
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.blpop::<(String, u64)>(["queue"], 0.0).await.unwrap().1 })
        })
        .collect();
    sleep(SECOND).await;
    let begin = Instant::now();
    let near = key_of(&cluster, &node, "near:");
    client.set(&near, "1").await.unwrap();
    assert!(begin.elapsed().is_zero());
    assert_eq!(cluster.connections_accepted(&node), 11);
    for number in 0..10 {
        client.rpush("queue", number).await.unwrap();
    }
    let mut popped: Vec<u64> = join_all(waiting).await.into_iter().map(Result::unwrap).collect();
    popped.sort_unstable();
    assert_eq!(popped, (0..10).collect::<Vec<_>>(), "each went to one caller");
    assert_eq!(cluster.ledger().count("BLPOP queue 0"), 10);
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_connection_serves_one_caller_after_the_other() {
    let cluster = three();
    let client = connect(&cluster).await;
    let node = owner(&cluster, "queue");
    client.llen("queue").await.unwrap();
    let before = cluster.connections_accepted(&node);
    for number in 0..20 {
        client.rpush("queue", number).await.unwrap();
        let popped: (String, u64) = client.blpop(["queue"], 1.0).await.unwrap();
        assert_eq!(popped.1, number);
    }
    assert_eq!(cluster.connections_accepted(&node) - before, 1);
}

#[tokio::test(start_paused = true)]
async fn more_blocking_commands_than_connections_wait_for_their_turn() {
    let cluster = three();
    let client = builder(&cluster).exclusive_per_node(3).connect().await.unwrap();
    let node = owner(&cluster, "queue");
    client.llen("queue").await.unwrap();
    let before = cluster.connections_accepted(&node);
    let waiting: Vec<_> = (0..9)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.blpop::<(String, u64)>(["queue"], 0.0).await.unwrap().1 })
        })
        .collect();
    sleep(SECOND).await;
    assert_eq!(cluster.received(&node, "BLPOP"), 3);
    for number in 0..9 {
        client.rpush("queue", number).await.unwrap();
        sleep(MS).await;
    }
    let mut popped: Vec<u64> = soon(join_all(waiting)).await.into_iter().map(Result::unwrap).collect();
    popped.sort_unstable();
    assert_eq!(popped, (0..9).collect::<Vec<_>>());
    assert_eq!(cluster.connections_accepted(&node) - before, 3);
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_free_connection_until_its_deadline_was_not_sent() {
    let cluster = three();
    let client = builder(&cluster).exclusive_per_node(1).connect().await.unwrap();
    let first = {
        let client = client.clone();
        tokio::spawn(async move { client.blpop::<Value>(["queue"], 0.0).await })
    };
    sleep(SECOND).await;
    let begin = Instant::now();
    let error: Error = client.blpop::<Value>(["queue"], 1.0).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotSent));
    assert!(
        begin.elapsed() >= 11 * SECOND && begin.elapsed() <= 11 * SECOND + 200 * MS,
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(cluster.received(&owner(&cluster, "queue"), "BLPOP"), 1);
    first.abort();
    client.rpush("queue", "x").await.unwrap();
    assert!(client.blpop::<Value>(["queue"], 1.0).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_lost_its_slots_is_not_asked_again() {
    let cluster = SimCluster::builder().primaries(100).start_in_memory().unwrap();
    let client = connect(&cluster).await;
    let from = owner(&cluster, "k");
    client.set("k", "1").await.unwrap();
    let to = crate::support::another(&cluster, "k");
    for slot in keyslot::Slot::all()
        .filter(|slot| cluster.primary_of(*slot).as_ref() == Some(&from))
        .collect::<Vec<_>>()
    {
        cluster.move_slot(slot, &to).unwrap();
    }
    sleep(10 * MS).await;
    assert_eq!(client.get::<i64>("k").await.unwrap(), 1);
    sleep(60 * SECOND).await;
    let received = cluster.received(&from, "GET");
    for key in keys_of(&cluster, &to, "k", 50) {
        client.get::<Value>(&key).await.unwrap();
    }
    assert_eq!(cluster.received(&from, "GET"), received);
    assert_eq!(client.slot_map().primary_of(slot("k")).unwrap().addr, to);
}

#[tokio::test(start_paused = true)]
async fn closing_finishes_what_is_under_way_and_refuses_the_rest() {
    let cluster = three();
    let client = connect(&cluster).await;
    cluster.inject(Fault::new(FaultKind::DelayReply(SECOND)).command("INCR"));
    let under_way = {
        let client = client.clone();
        tokio::spawn(async move { client.incr("k").await })
    };
    sleep(MS).await;
    let begin = Instant::now();
    client.close().await;
    assert_eq!(under_way.await.unwrap().unwrap(), 1);
    assert!(begin.elapsed() <= SECOND, "{:?}", begin.elapsed());
    let error = client.incr("k").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Closed, Outcome::NotSent));
    assert_eq!(cluster.ledger().count("INCR k"), 1);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_the_connections_of_blocking_commands_too() {
    let cluster = three();
    let client = connect(&cluster).await;
    let blocked = {
        let client = client.clone();
        tokio::spawn(async move { client.blpop::<Value>(["queue"], 0.0).await })
    };
    sleep(SECOND).await;
    client.close_within(SECOND).await;
    let error = soon(blocked).await.unwrap().unwrap_err();
    assert_eq!(error.outcome(), Outcome::MaybeExecuted);
    sleep(MS).await;
    let node = owner(&cluster, "queue");
    cluster.ask(&node, ["RPUSH", "queue", "x"]).unwrap();
    assert_eq!(cluster.ask(&node, ["LLEN", "queue"]).unwrap(), Value::Int(1), "nobody waits there any more");
}

#[tokio::test(start_paused = true)]
async fn the_last_clone_that_is_dropped_closes_every_connection_and_ends_every_task() {
    let cluster = three();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let client = builder(&cluster).links_per_node(3).connect().await.unwrap();
    let clone = client.clone();
    for node in primaries(&cluster) {
        join_all(keys_of(&cluster, &node, "k", 30).iter().map(|key| client.set(key, "1"))).await;
    }
    assert!(timeout(MS, client.blpop::<Value>(["queue"], 0.0)).await.is_err());
    drop(client);
    sleep(SECOND).await;
    assert_eq!(clone.get::<i64>(key_of(&cluster, &primaries(&cluster)[0], "k")).await.unwrap(), 1);
    drop(clone);
    sleep(SECOND).await;
    assert_eq!(tasks(), before, "of the client and of the connections' far ends");
}
