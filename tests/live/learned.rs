//! Commands that the table does not know, on real servers: known ones under other names, which is what a module's or a newer
//! server's command is to this client.

use std::time::Duration;

use crate::live_support::{ask, on_every_server, primaries, tag_at};
use futures::future::join_all;
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, Command, Commands, ErrorKind, NodeAddr, Outcome, Slot, Value};

on_every_server! {
    all: commands_under_other_names_are_asked_for_once_and_routed ;
    since_7_0: a_command_that_a_server_says_may_block_delays_no_other ;
    valkey_9_1: ;
}

async fn calls(cluster: &LocalCluster, nodes: &[NodeAddr], name: &str) -> u64 {
    let mut sum = 0;
    for node in nodes {
        let stats: String = ask(cluster, node, Command::new("INFO").arg("commandstats")).await;
        let prefix = format!("cmdstat_{name}:calls=");
        let line = stats.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or("0");
        sum += line.split(',').next().unwrap().parse::<u64>().unwrap();
    }
    sum
}

async fn commands_under_other_names_are_asked_for_once_and_routed(server: Server) {
    let is_6_2 = server.to_string().contains("6.2");
    let cluster = LocalCluster::builder()
        .server(server)
        .setting("rename-command", "APPEND MY.APPEND")
        .setting("rename-command", "GETRANGE MY.RANGE")
        .setting("rename-command", "ZUNIONSTORE MY.UNION")
        .start()
        .await
        .unwrap();
    let client = Client::connect(cluster.url()).await.unwrap();
    let nodes = primaries(&client.slot_map());
    let info = if is_6_2 { "command" } else { "command|info" };
    let before = calls(&cluster, &nodes, info).await;

    // Many at once, to every node: no redirect is needed, so each went to the node of its key.
    let appends = (0..100).map(|number| {
        client.execute::<i64>(Command::new("MY.APPEND").arg(format!("key{number}")).arg("value"))
    });
    for length in join_all(appends).await {
        assert_eq!(length.unwrap(), 5);
    }
    assert_eq!(client.stats().moved, 0);
    assert_eq!(calls(&cluster, &nodes, info).await - before, 1, "asked for once");
    let text: String = client.execute(Command::new("my.range").arg("key7").arg(0).arg(2)).await.unwrap();
    assert_eq!(text, "val");

    // Its keys depend on its arguments.
    let tag = tag_at(&client.slot_map(), &nodes[1], "z");
    let (a, b, all) = (format!("{{{tag}}}a"), format!("{{{tag}}}b"), format!("{{{tag}}}all"));
    client.zadd(&a, [(1.0, "x")]).await.unwrap();
    client.zadd(&b, [(2.0, "x")]).await.unwrap();
    let union = Command::new("MY.UNION").arg(&all).arg(2).arg(&a).arg(&b);
    assert_eq!(client.execute::<i64>(union.clone()).await.unwrap(), 1);
    assert_eq!(client.zscore::<Option<f64>>(&all, "x").await.unwrap(), Some(3.0));
    assert_eq!(client.stats().moved, 0);
    let across = Command::new("MY.UNION").arg("elsewhere").arg(2).arg(&a).arg(&b);
    let error = client.execute::<Value>(across).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::CrossSlot, Outcome::Rejected));

    // In pipelines and transactions too.
    let mut pipe = client.pipeline();
    (0..20).for_each(|number| {
        pipe.push(Command::new("MY.APPEND").arg(format!("key{number}")).arg("!"));
    });
    assert_eq!(pipe.run::<Vec<i64>>().await.unwrap(), [6; 20]);
    let mut tx = client.transaction();
    tx.push(Command::new("MY.APPEND").arg(&tag).arg("ab"))
        .push(Command::new("MY.RANGE").arg(&tag).arg(0).arg(0));
    assert_eq!(tx.run::<(i64, String)>().await.unwrap(), (2, "a".to_owned()));
    assert_eq!(client.stats().moved, 0);

    // A session refuses keys of other slots, also where the table does not say which arguments are keys.
    let mut session = client.session(&tag).await.unwrap();
    let got = session.execute::<String>(Command::new("MY.RANGE").arg(&tag).arg(1).arg(1)).await.unwrap();
    assert_eq!(got, "b");
    let strange =
        session.execute::<i64>(Command::new("MY.APPEND").arg("elsewhere").arg("x")).await.unwrap_err();
    assert_eq!((strange.kind(), strange.outcome()), (ErrorKind::CrossSlot, Outcome::Rejected), "{strange}");
    let union = Command::new("MY.UNION").arg("elsewhere").arg(2).arg(&a).arg(&b);
    let strange = session.execute::<i64>(union).await.unwrap_err();
    assert_eq!(strange.kind(), ErrorKind::CrossSlot, "{strange}");
    let mut tx = session.transaction();
    tx.push(Command::new("MY.APPEND").arg("elsewhere").arg("x"));
    let strange = tx.run::<Value>().await.unwrap_err();
    assert_eq!(strange.kind(), ErrorKind::CrossSlot, "{strange}");

    // What no server knows is told in the server's words, and what has been learned is explained.
    let error = client.execute::<Value>(Command::new("NO.SUCH").arg("k")).await.unwrap_err();
    assert!(error.to_string().to_lowercase().contains("unknown command"), "{error}");
    assert_eq!(error.outcome(), Outcome::Rejected);
    let explained = client.explain(&Command::new("MY.RANGE").arg("key7").arg(0).arg(2)).unwrap();
    assert!(explained.only_reads, "{explained}");
    assert_eq!(explained.parts[0].slot, Some(Slot::of_key(b"key7")));
    assert!(explained.why.contains("told by COMMAND INFO"), "{explained}");
    let explained = client.explain(&Command::new("MY.UNION").arg("to").arg(2).arg(&a).arg(&b)).unwrap();
    assert!(explained.why.contains("COMMAND GETKEYS") && explained.parts.is_empty(), "{explained}");

    // They follow their keys out of a slot that is half moved, and behind one that has moved.
    for (key, moves_all) in [("key8", false), ("key9", true)] {
        let slot = Slot::of_key(key.as_bytes());
        let from = client.slot_map().primary_of(slot).unwrap().addr.clone();
        let to = nodes.iter().find(|node| **node != from).unwrap();
        if moves_all {
            cluster.move_slot(slot, &from, to).await.unwrap();
        } else {
            cluster.open_slot(slot, &from, to).await.unwrap();
            cluster.migrate_keys(slot, &from, to, 10).await.unwrap();
        }
        let append = Command::new("MY.APPEND").arg(key).arg("?");
        assert_eq!(client.execute::<i64>(append).await.unwrap(), 7);
        let range = Command::new("MY.RANGE").arg(key).arg(5).arg(6);
        assert_eq!(client.execute::<String>(range).await.unwrap(), "!?");
    }
    assert!(client.stats().asked > 0, "{:?}", client.stats());
}

async fn a_command_that_a_server_says_may_block_delays_no_other(server: Server) {
    let cluster = LocalCluster::builder().server(server).setting("rename-command", "BLPOP MY.POP");
    let cluster = cluster.start().await.unwrap();
    let client = Client::builder().url(&cluster.url()).links_per_node(1).connect().await.unwrap();
    // The last argument is read as its timeout, where there is one to read.
    for timeout in ["0", "0.0"] {
        let pop = Command::new("MY.POP").arg("queue").arg(timeout).timeout(Duration::from_secs(60));
        let waiting = async { client.execute::<(String, String)>(pop).await.unwrap() };
        let pushed = async {
            until_blocked(&cluster, &client).await;
            // On the same node, by the one connection that all share.
            client.set("queue-is:{queue}", 1).await.unwrap();
            client.rpush("queue", "element").await.unwrap();
        };
        let (popped, ()) = tokio::join!(waiting, pushed);
        assert_eq!(popped, ("queue".to_owned(), "element".to_owned()));
    }
    let explained = client.explain(&Command::new("MY.POP").arg("queue").arg(1)).unwrap();
    assert!(explained.is_exclusive, "{explained}");
}

/// Asks by connections of its own.
async fn until_blocked(cluster: &LocalCluster, client: &Client) {
    for _ in 0..1000 {
        for node in primaries(&client.slot_map()) {
            let clients: String = ask(cluster, &node, Command::new("INFO").arg("clients")).await;
            if clients.contains("blocked_clients:1") {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody is blocked");
}
