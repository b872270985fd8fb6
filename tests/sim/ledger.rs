//! What the ledger promises: order, time, node, connection; once, or not at all.

use std::time::Duration;

use keyslot::testkit::sim::{Fault, FaultKind, SimCluster};
use keyslot::{Commands, NodeAddr, Value};
use tokio::time::sleep;

use crate::support::{MS, SECOND, Wire, another, connect, key_of, owner, primaries, slot, three};

/// All lines of the ledger.
fn lines(cluster: &SimCluster) -> Vec<String> {
    cluster.ledger().iter().map(|effect| effect.line()).collect()
}

#[tokio::test(start_paused = true)]
async fn effects_stand_in_the_order_in_which_they_took_place_over_all_nodes() {
    let cluster = three();
    let client = connect(&cluster).await;
    let keys: Vec<String> = primaries(&cluster).iter().map(|node| key_of(&cluster, node, "k")).collect();
    let mut wanted = Vec::new();
    for round in 0..5 {
        for key in &keys {
            client.set(key, round).await.unwrap();
            wanted.push(format!("SET {key} {round}"));
            sleep(10 * MS).await;
        }
    }
    assert_eq!(lines(&cluster), wanted);
    let ledger = cluster.ledger();
    let times: Vec<Duration> = ledger.iter().map(|effect| effect.at).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 10 * MS), "{times:?}");
    let nodes: Vec<NodeAddr> = ledger.iter().map(|effect| effect.node.clone()).collect();
    assert_eq!(nodes[..3], primaries(&cluster));
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    assert!(ledger.in_order(&wanted));
    assert!(ledger.in_order(&[wanted[1], wanted[4]]));
    assert!(!ledger.in_order(&[wanted[4], wanted[1]]));
    assert!(!ledger.in_order(&["SET none 1"]));
    assert!(ledger.in_order(&[]));
}

#[tokio::test(start_paused = true)]
async fn the_connections_have_numbers_that_are_unique_in_the_cluster() {
    let cluster = three();
    let node = owner(&cluster, "k");
    let other = another(&cluster, "k");
    let key = key_of(&cluster, &other, "other:");
    Wire::open(&cluster, &node).await.asks("SET k 1", "+OK\r\n").await;
    Wire::open(&cluster, &other).await.asks(&format!("SET {key} 1"), "+OK\r\n").await;
    let mut last = Wire::open(&cluster, &node).await;
    last.asks("SET k 2", "+OK\r\n").await;
    last.asks("SET k 3", "+OK\r\n").await;
    let mut numbers: Vec<u64> = cluster.ledger().iter().map(|effect| effect.connection).collect();
    assert_eq!(numbers[2], numbers[3]);
    numbers.dedup();
    assert_eq!(numbers.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_not_there() {
    let cluster = three();
    let node = owner(&cluster, "k");
    let other = another(&cluster, "k");
    let mut wire = Wire::open(&cluster, &node).await;
    wire.asks("SET k text", "+OK\r\n").await;
    wire.asks("INCR k", "-ERR value is not an integer or out of range\r\n").await;
    wire.asks("SET k", "-ERR wrong number of arguments for 'set' command\r\n").await;
    wire.send("LPUSH k 1").await;
    wire.until("\r\n").await;
    wire.send("NONSENSE k").await;
    wire.until("\r\n").await;
    Wire::open(&cluster, &other).await.asks("SET k 2", &format!("-MOVED {} {node}\r\n", slot("k"))).await;
    cluster.inject(Fault::new(FaultKind::Error("LOADING".to_owned())).times(1));
    wire.asks("SET k 3", "-LOADING\r\n").await;
    assert_eq!(lines(&cluster), ["SET k text"]);
    assert_eq!((cluster.received(&node, "SET"), cluster.received(&other, "SET")), (3, 1), "it was received");
}

#[tokio::test(start_paused = true)]
async fn commands_that_touch_no_data_are_not_there() {
    let cluster = three();
    let mut wire = Wire::open(&cluster, &owner(&cluster, "k")).await;
    wire.asks("PING", "+PONG\r\n").await;
    wire.send("CLUSTER SLOTS").await;
    wire.send("ASKING").await;
    wire.asks("GET k", "").await;
    sleep(MS).await;
    assert_eq!(lines(&cluster), ["GET k"]);
}

#[tokio::test(start_paused = true)]
async fn it_says_what_changed_data() {
    let cluster = three();
    let mut wire = Wire::open(&cluster, &owner(&cluster, "k")).await;
    for (line, reply, changed) in [
        ("GET k", "$-1\r\n", false),
        ("DEL k", ":0\r\n", false),
        ("SET k 1", "+OK\r\n", true),
        ("SET k 1", "+OK\r\n", true),
        ("SETNX k 2", ":0\r\n", false),
        ("SET k 2 NX", "$-1\r\n", false),
        ("GET k", "$1\r\n1\r\n", false),
        ("EXPIRE none 5", ":0\r\n", false),
        ("APPEND k 1", ":2\r\n", true),
        ("DEL k", ":1\r\n", true),
    ] {
        wire.asks(line, reply).await;
        let last = cluster.ledger().iter().last().cloned().unwrap();
        assert_eq!((last.line().as_str(), last.changed), (line, changed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_transactions_commands_are_there_one_by_one_from_its_exec_on() {
    let cluster = three();
    let mut wire = Wire::open(&cluster, &owner(&cluster, "{t}")).await;
    wire.asks("MULTI", "+OK\r\n").await;
    wire.asks("SET {t}a 1", "+QUEUED\r\n").await;
    wire.asks("INCR {t}a", "+QUEUED\r\n").await;
    sleep(SECOND).await;
    assert_eq!(cluster.ledger().iter().count(), 0);
    wire.asks("EXEC", "*2\r\n+OK\r\n:2\r\n").await;
    assert_eq!(lines(&cluster), ["SET {t}a 1", "INCR {t}a"]);
    assert!(cluster.ledger().iter().all(|effect| effect.at == SECOND));

    wire.asks("MULTI", "+OK\r\n").await;
    wire.asks("SET {t}b 1", "+QUEUED\r\n").await;
    wire.send("SET {t}b").await;
    wire.until("\r\n").await;
    wire.asks("EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n").await;
    wire.asks("MULTI", "+OK\r\n").await;
    wire.asks("SET {t}b 1", "+QUEUED\r\n").await;
    wire.asks("DISCARD", "+OK\r\n").await;
    assert_eq!(cluster.ledger().with_key("{t}b").count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_blocking_command_is_there_from_the_moment_when_it_got_its_element() {
    let cluster = three();
    let node = owner(&cluster, "queue");
    let (mut waiting, mut pushing) = (Wire::open(&cluster, &node).await, Wire::open(&cluster, &node).await);
    waiting.send("BLPOP queue 0").await;
    sleep(3 * SECOND).await;
    assert_eq!(cluster.ledger().iter().count(), 0);
    pushing.asks("RPUSH queue x", ":1\r\n").await;
    waiting.gives("*2\r\n$5\r\nqueue\r\n$1\r\nx\r\n").await;
    assert_eq!(lines(&cluster), ["RPUSH queue x", "BLPOP queue 0"]);
    let ledger = cluster.ledger();
    let popped = ledger.of("BLPOP queue 0").next().unwrap();
    assert_eq!((popped.at, popped.changed), (3 * SECOND, true));
    let pushed = ledger.of("RPUSH queue x").next().unwrap();
    assert_ne!(popped.connection, pushed.connection);
}

#[tokio::test(start_paused = true)]
async fn replicas_follow_and_are_not_named() {
    let cluster = SimCluster::builder().replicas(2).start_in_memory().unwrap();
    let client = connect(&cluster).await;
    client.set("k", "1").await.unwrap();
    sleep(SECOND).await;
    let primary = owner(&cluster, "k");
    let effects: Vec<NodeAddr> = cluster.ledger().iter().map(|effect| effect.node.clone()).collect();
    assert_eq!(effects, std::slice::from_ref(&primary));
    for replica in cluster.replicas_of(&primary) {
        let mut wire = Wire::open(&cluster, &replica).await;
        wire.asks("READONLY", "+OK\r\n").await;
        wire.asks("GET k", "$1\r\n1\r\n").await;
    }
    assert_eq!(cluster.ledger().count("GET k"), 2, "reads of a replica are its own");
}

#[tokio::test(start_paused = true)]
async fn without_a_ledger_nothing_is_kept_and_all_else_works() {
    let cluster = SimCluster::builder().ledger(false).start_in_memory().unwrap();
    let client = connect(&cluster).await;
    client.set("k", "1").await.unwrap();
    assert_eq!(cluster.ledger().iter().count(), 0);
    assert_eq!(cluster.received(&owner(&cluster, "k"), "SET"), 1);
}

#[tokio::test(start_paused = true)]
async fn its_text_has_a_line_for_each_effect() {
    let cluster = three();
    let client = connect(&cluster).await;
    sleep(SECOND).await;
    client.set("k", "a b").await.unwrap();
    let value: Value = client.get("k").await.unwrap();
    assert_eq!(value, Value::Bulk("a b".into()));
    let text = cluster.ledger().to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with(&format!("1s {} #", owner(&cluster, "k"))), "{text}");
    assert!(lines[0].ends_with(": SET k a b"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn until_waits_for_what_the_test_wants_to_see() {
    let cluster = three();
    let client = connect(&cluster).await;
    let task = tokio::spawn(async move {
        for number in 0..10 {
            sleep(SECOND).await;
            client.set("k", number).await.unwrap();
        }
    });
    cluster.until(|cluster| cluster.ledger().count("SET k 4") == 1).await;
    assert_eq!(cluster.elapsed(), 5 * SECOND);
    assert_eq!(cluster.ledger().count("SET k 5"), 0);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_message_is_an_effect_and_what_the_test_asks_is_no_connection() {
    let cluster = three();
    let node = owner(&cluster, "k");
    Wire::open(&cluster, &node).await.asks("PUBLISH news hello", ":0\r\n").await;
    assert_eq!(cluster.ledger().count("PUBLISH news hello"), 1);
    assert!(cluster.ledger().iter().all(|effect| !effect.changed), "no data were changed");
    assert_eq!(cluster.ask(&node, ["PING"]).unwrap(), Value::Simple("PONG".into()));
    assert_eq!((cluster.connections_accepted(&node), cluster.received(&node, "PING")), (1, 0));
}
