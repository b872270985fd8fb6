//! What a caller is told, held against what took effect: acknowledged ≤ executed ≤ acknowledged + `MaybeExecuted`.

use futures::future::join_all;
use keyslot::testkit::sim::{Fault, FaultKind, SimCluster};
use keyslot::{Client, Command, Commands, Error, ErrorKind, Outcome, Protocol, Value};

use crate::support::{SECOND, builder, connect, executed_at, key_of, keys_of, owner, primaries, soon, three};

/// One fault for the next command of this name.
fn once(cluster: &SimCluster, kind: FaultKind, command: &str) {
    cluster.inject(Fault::new(kind).command(command).times(1));
}

fn told(error: &Error) -> (ErrorKind, Outcome) {
    (error.kind(), error.outcome())
}

#[tokio::test(start_paused = true)]
async fn each_fault_has_its_outcome_and_its_number_of_effects() {
    use ErrorKind::{ConnectionLost, Server, Timeout};
    let cases = [
        (FaultKind::CloseBefore, ConnectionLost, Outcome::MaybeExecuted, 0),
        (FaultKind::CloseAfter, ConnectionLost, Outcome::MaybeExecuted, 1),
        (FaultKind::Truncate(0), ConnectionLost, Outcome::MaybeExecuted, 1),
        (FaultKind::DelayReply(11 * SECOND), Timeout, Outcome::MaybeExecuted, 1),
        (FaultKind::Silence, Timeout, Outcome::MaybeExecuted, 0),
        (FaultKind::Error("ERR no".to_owned()), Server, Outcome::Rejected, 0),
        (FaultKind::Error("OOM no".to_owned()), Server, Outcome::Rejected, 0),
    ];
    for (kind, class, outcome, effects) in cases {
        let cluster = three();
        let client = connect(&cluster).await;
        once(&cluster, kind.clone(), "INCR");
        let error = client.incr("k").await.unwrap_err();
        assert_eq!(told(&error), (class, outcome), "{kind:?}: {error}");
        assert_eq!(cluster.ledger().count("INCR k"), effects, "{kind:?}");
        assert_eq!(cluster.received(&owner(&cluster, "k"), "INCR"), 1, "{kind:?}");
        assert_eq!(error.node(), Some(&owner(&cluster, "k")), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_moment_mends_is_waited_out_and_executed_once() {
    for text in [
        "LOADING Redis is loading the dataset in memory",
        "CLUSTERDOWN The cluster is down",
        "CLUSTERDOWN Hash slot not served",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "READONLY You can't write against a read only replica.",
        "TRYAGAIN Multiple keys request during rehashing of slot",
    ] {
        let cluster = three();
        let client = connect(&cluster).await;
        cluster.inject(Fault::new(FaultKind::Error(text.to_owned())).command("INCR").times(5));
        assert_eq!(client.incr("k").await.unwrap(), 1, "{text}");
        assert_eq!(cluster.ledger().count("INCR k"), 1, "{text}");
        assert_eq!(client.stats().retries, 5, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_stays_refused_was_not_sent_and_says_the_servers_words() {
    let cluster = three();
    let client = connect(&cluster).await;
    cluster
        .inject(Fault::new(FaultKind::Error("CLUSTERDOWN The cluster is down".to_owned())).command("INCR"));
    let begin = cluster.elapsed();
    let error = client.incr("k").await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::Unavailable, Outcome::NotSent));
    assert!(error.to_string().contains("CLUSTERDOWN The cluster is down"), "{error}");
    assert_eq!(cluster.elapsed() - begin, 10 * SECOND);
    assert_eq!(cluster.ledger().count("INCR k"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_may_be_repeated_is_and_its_caller_sees_nothing() {
    let cluster = three();
    let client = connect(&cluster).await;
    for kind in [FaultKind::CloseBefore, FaultKind::CloseAfter, FaultKind::Truncate(2)] {
        once(&cluster, kind.clone(), "SET");
        client.set("k", "1").await.unwrap();
        once(&cluster, kind.clone(), "GET");
        assert_eq!(client.get::<i64>("k").await.unwrap(), 1, "{kind:?}");
        once(&cluster, kind, "INCR");
        // The caller says that it may.
        assert!(client.incr("n").idempotent().await.unwrap() >= 1);
    }
    let ledger = cluster.ledger();
    assert_eq!((ledger.count("SET k 1"), ledger.count("GET k"), ledger.count("INCR n")), (5, 5, 5));
}

#[tokio::test(start_paused = true)]
async fn writes_whose_second_reply_would_differ_are_never_repeated() {
    let lines: [(&str, Command); 7] = [
        ("SET", Command::new("SET").key("a").arg("1").arg("NX")),
        ("SET", Command::new("SET").key("b").arg("1").arg("GET")),
        ("APPEND", Command::new("APPEND").key("c").arg("1")),
        ("INCRBY", Command::new("INCRBY").key("d").arg("5")),
        ("GETDEL", Command::new("GETDEL").key("e")),
        ("SETNX", Command::new("SETNX").key("f").arg("1")),
        ("DEL", Command::new("DEL").key("g")),
    ];
    let cluster = three();
    let client = connect(&cluster).await;
    for (name, command) in lines {
        once(&cluster, FaultKind::CloseAfter, name);
        let error = client.execute::<Value>(command).await.unwrap_err();
        assert_eq!(told(&error), (ErrorKind::ConnectionLost, Outcome::MaybeExecuted), "{name}");
    }
    for line in ["SET a 1 NX", "SET b 1 GET", "APPEND c 1", "INCRBY d 5", "GETDEL e", "SETNX f 1", "DEL g"] {
        assert_eq!(cluster.ledger().count(line), 1, "{line}");
    }
}

/// A client that speaks RESP2 or RESP3.
async fn speaking(cluster: &SimCluster, protocol: Protocol) -> Client {
    builder(cluster).protocol(protocol).connect().await.unwrap()
}

/// How long a reply is on the wire.
async fn length_of_reply(cluster: &SimCluster, protocol: Protocol, line: &str) -> usize {
    let mut wire = crate::support::Wire::open(cluster, &owner(cluster, "{t}")).await;
    if protocol == Protocol::Auto {
        wire.send("HELLO 3").await;
    }
    wire.send("PING").await;
    wire.send("SETNX {t}sentinel 1").await;
    wire.until("\r\n:1\r\n").await;
    wire.send(line).await;
    wire.send("STRLEN {t}sentinel").await;
    let reply = wire.until("\r\n:1\r\n").await;
    cluster.ask(&owner(cluster, "{t}"), ["DEL", "{t}sentinel"]).unwrap();
    reply.len() - ":1\r\n".len()
}

#[tokio::test(start_paused = true)]
async fn a_read_whose_reply_is_cut_at_any_byte_gives_its_value_all_the_same() {
    for protocol in [Protocol::Auto, Protocol::Resp2] {
        let cluster = three();
        let client = speaking(&cluster, protocol).await;
        client.mset([("{t}a", "hello\r\nworld"), ("{t}b", ""), ("{t}c", "+OK\r\n")]).await.unwrap();
        for (line, keys) in [
            ("GET {t}a", vec!["{t}a"]),
            ("GET {t}none", vec!["{t}none"]),
            ("MGET {t}a {t}none {t}b {t}c", vec!["{t}a", "{t}none", "{t}b", "{t}c"]),
        ] {
            let name = line.split(' ').next().unwrap();
            let wanted: Value =
                client.execute(Command::new(name.to_owned()).keys(keys.clone())).await.unwrap();
            let length = length_of_reply(&cluster, protocol, line).await;
            assert!(length > 2);
            for cut in 0..=length {
                let before = cluster.ledger().count(line);
                once(&cluster, FaultKind::Truncate(cut), name);
                let got: Value =
                    client.execute(Command::new(name.to_owned()).keys(keys.clone())).await.unwrap();
                assert_eq!(got, wanted, "{line} cut at {cut}");
                let executed = cluster.ledger().count(line) - before;
                assert_eq!(executed, if cut < length { 2 } else { 1 }, "{line} cut at {cut}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_count_whose_reply_is_cut_at_any_byte_is_told_as_perhaps_executed_and_was_once() {
    for protocol in [Protocol::Auto, Protocol::Resp2] {
        let cluster = three();
        let client = speaking(&cluster, protocol).await;
        client.set("{t}n", "123455").await.unwrap();
        let length = ":123456\r\n".len();
        for cut in 0..=length {
            let line = format!("INCRBY {{t}}n {}", cut + 1);
            once(&cluster, FaultKind::Truncate(cut), "INCRBY");
            let told_of = client.incrby("{t}n", cut as i64 + 1).await;
            match &told_of {
                Ok(_) => assert_eq!(cut, length),
                Err(error) => {
                    assert_eq!(
                        told(error),
                        (ErrorKind::ConnectionLost, Outcome::MaybeExecuted),
                        "cut at {cut}"
                    );
                    assert!(cut < length, "cut at {cut}: {error}");
                }
            }
            assert_eq!(cluster.ledger().count(&line), 1, "cut at {cut}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_transactions_reply_cut_at_any_byte_leaves_all_or_nothing_and_no_false_word() {
    let cluster = three();
    let client = connect(&cluster).await;
    for cut in 0..=20 {
        once(&cluster, FaultKind::Truncate(cut), "EXEC");
        let mut transaction = client.transaction();
        transaction.incr("{t}a").incr("{t}b");
        let result: Result<(i64, i64), Error> = transaction.run().await;
        let both = (cluster.ledger().count("INCR {t}a") as i64, cluster.ledger().count("INCR {t}b") as i64);
        assert_eq!(both, (cut as i64 + 1, cut as i64 + 1));
        match result {
            Ok(replies) => assert_eq!(replies, both),
            Err(error) => assert_eq!(error.outcome(), Outcome::MaybeExecuted, "cut at {cut}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_replies_to_others_on_a_connection_that_is_cut_are_their_own_or_an_error() {
    let cluster = three();
    let client = connect(&cluster).await;
    let keys = keys_of(&cluster, &owner(&cluster, "k"), "k", 40);
    for key in &keys {
        client.set(key, key).await.unwrap();
    }
    for cut in 0..24 {
        let counter = format!("count:{cut}");
        once(&cluster, FaultKind::Truncate(cut), "STRLEN");
        let node = owner(&cluster, "k");
        let counters = keys_of(&cluster, &node, &counter, 20);
        let commands = keys.iter().enumerate().map(|(place, key)| {
            let (client, counter, cluster) = (&client, counters.get(place / 2), &cluster);
            async move {
                match place % 4 {
                    0 => assert_eq!(client.strlen(key).await.unwrap(), key.len() as u64),
                    1 | 2 => assert_eq!(client.get::<String>(key).await.unwrap(), *key),
                    _ => {
                        let counter = counter.unwrap();
                        let result = client.incr(counter).await;
                        let executed = cluster.ledger().count(&format!("INCR {counter}"));
                        match result {
                            Ok(value) => assert_eq!((value, executed), (1, 1)),
                            Err(error) => {
                                assert_eq!(error.outcome(), Outcome::MaybeExecuted);
                                assert!(executed <= 1);
                            }
                        }
                    }
                }
            }
        });
        join_all(commands).await;
    }
}

#[tokio::test(start_paused = true)]
async fn under_random_cuts_the_sums_are_true() {
    for seed in 0..20 {
        let cluster = SimCluster::builder().seed(seed).start_in_memory().unwrap();
        let client = connect(&cluster).await;
        for kind in [FaultKind::CloseBefore, FaultKind::CloseAfter, FaultKind::Truncate(1)] {
            cluster.inject(Fault::new(kind).command("INCR").probability(0.02));
        }
        let counters: Vec<String> =
            primaries(&cluster).iter().map(|node| key_of(&cluster, node, "count:")).collect();
        let results = join_all((0..600).map(|number| {
            let (client, counter) = (&client, &counters[number % 3]);
            async move { (counter.clone(), client.incr(counter).await) }
        }))
        .await;
        for counter in &counters {
            let of_this = || results.iter().filter(|(key, _)| key == counter);
            let acknowledged = of_this().filter(|(_, result)| result.is_ok()).count();
            let perhaps = of_this()
                .filter(
                    |(_, result)| matches!(result, Err(error) if error.outcome() == Outcome::MaybeExecuted),
                )
                .count();
            let executed = executed_at(&cluster, &format!("INCR {counter}")).len();
            assert!(
                acknowledged <= executed && executed <= acknowledged + perhaps,
                "seed {seed}: {acknowledged} <= {executed} <= {acknowledged} + {perhaps}"
            );
            assert_eq!(soon(client.get::<usize>(counter)).await.unwrap(), executed);
            // No value is given to two callers.
            let mut values: Vec<i64> =
                of_this().filter_map(|(_, result)| result.as_ref().ok().copied()).collect();
            values.sort_unstable();
            let count = values.len();
            values.dedup();
            assert_eq!(values.len(), count, "seed {seed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_of_another_type_was_executed_and_says_so() {
    let cluster = three();
    let client = connect(&cluster).await;
    client.set("k", "text").await.unwrap();
    let error = client.execute::<i64>(Command::new("APPEND").key("k").arg("!")).await;
    assert_eq!(error.unwrap(), 5);
    let error = client.execute::<i64>(Command::new("GETDEL").key("k")).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::Conversion, Outcome::MaybeExecuted));
    assert_eq!(cluster.ledger().count("GETDEL k"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_refuses_is_rejected_and_in_no_ledger() {
    let cluster = three();
    let client = connect(&cluster).await;
    client.set("k", "text").await.unwrap();
    let error = client.incr("k").await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::Server, Outcome::Rejected));
    let error = client.execute::<Value>(Command::new("LPUSH").key("k").arg("1")).await.unwrap_err();
    assert_eq!((error.code(), error.outcome()), (Some("WRONGTYPE"), Outcome::Rejected));
    let error = client.execute::<Value>(Command::new("GET").key("k").arg("more")).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::Server, Outcome::Rejected));
    let lines: Vec<String> = cluster.ledger().iter().map(|effect| effect.line()).collect();
    assert_eq!(lines, ["SET k text"]);
}
