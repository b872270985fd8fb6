//! Commands over several slots or nodes: split, sent side by side, put together, and truthful about parts.

use std::collections::BTreeSet;
use std::time::Duration;

use keyslot::testkit::sim::{Fault, FaultKind, SimCluster};
use keyslot::{Command, Commands, ErrorKind, Outcome, Target, Value};
use tokio::time::{Instant, sleep};

use crate::support::{
    MS, SECOND, another, builder, connect, key_of, keys_of, owner, primaries, received_by_all, slot, soon,
    three,
};

/// `count` keys of each node, mixed.
fn mixed(cluster: &SimCluster, count: usize) -> Vec<String> {
    let by_node: Vec<Vec<String>> =
        primaries(cluster).iter().map(|node| keys_of(cluster, node, "k", count)).collect();
    (0..count).flat_map(|place| by_node.iter().map(move |keys| keys[place].clone())).collect()
}

#[tokio::test(start_paused = true)]
async fn many_keys_are_written_and_read_in_their_order() {
    let cluster = three();
    let client = connect(&cluster).await;
    let keys = mixed(&cluster, 100);
    client.mset(keys.iter().map(|key| (key, format!("value of {key}")))).await.unwrap();
    let values: Vec<String> = client.mget(&keys).await.unwrap();
    for (key, value) in keys.iter().zip(values) {
        assert_eq!(value, format!("value of {key}"));
        assert_eq!(cluster.ledger().with_key(key).count(), 2);
        assert!(cluster.ledger().with_key(key).all(|effect| effect.node == owner(&cluster, key)));
    }
    // No part names keys of two slots, which a server would refuse.
    for effect in cluster.ledger().iter().filter(|effect| effect.line().starts_with("MGET")) {
        let slots: BTreeSet<u16> =
            effect.command.iter().skip(1).map(|key| keyslot::Slot::of_key(key).get()).collect();
        assert_eq!(slots.len(), 1);
    }
    assert_eq!(client.stats().moved, 0);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_named_twice_is_answered_twice_and_the_last_value_wins() {
    let cluster = three();
    let client = connect(&cluster).await;
    client.mset([("a", "1"), ("b", "2"), ("a", "3")]).await.unwrap();
    let values: Vec<i64> = client.mget(["a", "b", "a", "b"]).await.unwrap();
    assert_eq!(values, [3, 2, 3, 2]);
    assert_eq!(client.exists(["a", "a", "none", "b"]).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn numbers_of_all_nodes_are_added() {
    let cluster = three();
    let client = connect(&cluster).await;
    let keys = mixed(&cluster, 20);
    client.mset(keys.iter().map(|key| (key, "1"))).await.unwrap();
    assert_eq!(client.exists(&keys).await.unwrap(), 60);
    assert_eq!(client.touch(&keys).await.unwrap(), 60);
    assert_eq!(client.execute::<u64>(Command::new("DBSIZE")).await.unwrap(), 60);
    assert_eq!(client.del(keys[..30].to_vec()).await.unwrap(), 30);
    assert_eq!(client.unlink(&keys).await.unwrap(), 30);
    assert_eq!(client.execute::<u64>(Command::new("DBSIZE")).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_concerns_all_primaries_goes_once_to_each_and_to_no_replica() {
    let cluster = SimCluster::builder().primaries(4).replicas(1).start_in_memory().unwrap();
    let client = connect(&cluster).await;
    let keys: Vec<String> = primaries(&cluster).iter().map(|node| key_of(&cluster, node, "k")).collect();
    for key in &keys {
        client.set(key, "1").await.unwrap();
    }
    let mut found: Vec<String> = client.keys("*").await.unwrap();
    found.sort_unstable();
    let mut wanted = keys.clone();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    client.execute::<()>(Command::new("FLUSHALL")).await.unwrap();
    let primaries = primaries(&cluster);
    for node in cluster.nodes() {
        let wanted = u64::from(primaries.contains(&node));
        assert_eq!(
            (cluster.received(&node, "KEYS"), cluster.received(&node, "FLUSHALL")),
            (wanted, wanted),
            "{node}"
        );
    }
    assert_eq!(client.exists(&keys).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_command_goes_where_it_is_told_to() {
    let cluster = SimCluster::builder().primaries(3).replicas(1).start_in_memory().unwrap();
    // Only what is sent here is to be counted.
    let client = builder(&cluster).keep_alive(Duration::ZERO).connect().await.unwrap();
    // Replicas are known when they have something: a fresh one is not listed.
    for node in primaries(&cluster) {
        client.set(key_of(&cluster, &node, "k"), "1").await.unwrap();
    }
    sleep(60 * SECOND).await;
    client.execute::<Value>(Command::new("PING").to(Target::AllNodes)).await.unwrap();
    assert_eq!(received_by_all(&cluster, "PING"), 6);
    client.execute::<Value>(Command::new("PING").to(Target::AllPrimaries)).await.unwrap();
    assert_eq!(received_by_all(&cluster, "PING"), 9);
    let node = cluster.nodes()[4].clone();
    client.execute::<Value>(Command::new("PING").to(Target::Node(node.clone()))).await.unwrap();
    assert_eq!((received_by_all(&cluster, "PING"), cluster.received(&node, "PING")), (10, 2));
}

#[tokio::test(start_paused = true)]
async fn parts_run_side_by_side() {
    let cluster = three();
    let client = connect(&cluster).await;
    let keys = mixed(&cluster, 3);
    cluster.inject(Fault::new(FaultKind::DelayReply(SECOND)).command("MGET").times(9));
    let begin = Instant::now();
    let values: Vec<Option<String>> = client.mget(&keys).await.unwrap();
    assert_eq!(values, vec![None; 9]);
    assert_eq!(begin.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn only_the_part_that_was_redirected_goes_again() {
    let cluster = three();
    let client = connect(&cluster).await;
    let keys = mixed(&cluster, 5);
    let moving = keys[0].clone();
    let to = another(&cluster, &moving);
    cluster.move_slot(slot(&moving), &to).unwrap();
    client.mset(keys.iter().map(|key| (key, "1"))).await.unwrap();
    for key in &keys {
        assert_eq!(cluster.ledger().with_key(key).count(), 1, "{key}");
    }
    assert_eq!(received_by_all(&cluster, "MSET"), 15 + 1);
    assert_eq!(client.stats().moved, 1);
}

#[tokio::test(start_paused = true)]
async fn a_read_survives_the_loss_of_parts_and_a_write_tells_how_many_failed() {
    let cluster = three();
    let client = connect(&cluster).await;
    let keys = mixed(&cluster, 5);
    client.mset(keys.iter().map(|key| (key, "1"))).await.unwrap();
    let node = owner(&cluster, &keys[0]);
    cluster.inject(Fault::new(FaultKind::CloseBefore).node(&node).command("MGET").skip(2).times(1));
    let values: Vec<i64> = client.mget(&keys).await.unwrap();
    assert_eq!(values, [1; 15]);

    cluster.inject(Fault::new(FaultKind::CloseBefore).node(&node).command("DEL").skip(2).times(1));
    let error = client.del(&keys).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::MaybeExecuted));
    assert!(error.to_string().contains("3 of its 15 parts failed"), "{error}");
    let deleted = keys.iter().filter(|key| cluster.ledger().count(&format!("DEL {key}")) == 1).count();
    assert_eq!(deleted, 12);
    // The error says which: what is done was executed, and what is not known was not in this case.
    let told = error.keys().unwrap();
    assert_eq!((told.done.len(), told.not_done.len(), told.unknown.len()), (12, 0, 3));
    for (key, count) in told.done.iter().map(|key| (key, 1)).chain(told.unknown.iter().map(|key| (key, 0))) {
        let key = std::str::from_utf8(key).unwrap();
        assert_eq!(cluster.ledger().count(&format!("DEL {key}")), count, "{key}");
    }
    assert!(error.to_string().contains("; of its keys 12 are done, 0 not, 3 unknown"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_parts_ended_in_three_ways_names_the_keys_of_each() {
    // What may be repeated is unknown only when its time is over.
    for (name, loss) in [("MSET", FaultKind::DelayReply(10 * SECOND)), ("DEL", FaultKind::CloseAfter)] {
        let cluster = three();
        let client = connect(&cluster).await;
        let (keys, nodes) = (mixed(&cluster, 4), primaries(&cluster));
        let full = FaultKind::Error("OOM command not allowed when used memory > 'maxmemory'.".to_owned());
        cluster.inject(Fault::new(full).node(&nodes[0]).command(name));
        cluster.inject(Fault::new(loss).node(&nodes[1]).command(name));
        let mut command = Command::new(name).timeout(100 * MS);
        for key in &keys {
            command = command.arg(key);
            if name == "MSET" {
                command = command.arg("1");
            }
        }
        let error = client.execute::<Value>(command).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{name}: {error}");
        assert!(error.to_string().contains("8 of its 12 parts failed"), "{error}");
        let told = error.keys().unwrap();
        for (list, node) in [(&told.not_done, &nodes[0]), (&told.unknown, &nodes[1]), (&told.done, &nodes[2])]
        {
            let named: BTreeSet<&[u8]> = list.iter().map(|key| &key[..]).collect();
            let of_node = keys.iter().filter(|key| owner(&cluster, key) == *node);
            let of_node: BTreeSet<&[u8]> = of_node.map(|key| key.as_bytes()).collect();
            assert_eq!(named, of_node, "{name} at {node}: {error}");
            assert_eq!(list.len(), 4, "{name} at {node}: none is named twice");
        }
        for (list, count) in [(&told.not_done, 0), (&told.done, 1)] {
            for key in list {
                let key = std::str::from_utf8(key).unwrap();
                assert_eq!(cluster.ledger().with_key(key).count(), count, "{name} {key}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_of_which_every_part_was_refused_is_rejected() {
    let cluster = three();
    let client = connect(&cluster).await;
    let keys = mixed(&cluster, 2);
    cluster.inject(Fault::new(FaultKind::Error("OOM no room".to_owned())).command("MSET"));
    let error = client.mset(keys.iter().map(|key| (key, "1"))).await.unwrap_err();
    assert_eq!((error.code(), error.outcome()), (Some("OOM"), Outcome::Rejected));
    assert_eq!(cluster.ledger().iter().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_split_is_refused_before_it_is_sent() {
    let cluster = three();
    let client = connect(&cluster).await;
    let keys = mixed(&cluster, 1);
    for name in ["MSETNX", "SUNIONSTORE", "RENAME"] {
        let mut command = Command::new(name);
        for key in &keys[..2] {
            command = command.key(key);
            if name == "MSETNX" {
                command = command.arg("1");
            }
        }
        let error = client.execute::<Value>(command).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::CrossSlot, Outcome::Rejected), "{name}");
        assert_eq!(received_by_all(&cluster, name), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_keys_over_a_hundred_nodes_take_one_round_trip() {
    let cluster = SimCluster::builder().primaries(100).start_in_memory().unwrap();
    let client = connect(&cluster).await;
    let keys: Vec<String> = (0..10_000).map(|number| format!("key:{number}")).collect();
    let begin = Instant::now();
    soon(client.mset(keys.iter().map(|key| (key, key)))).await.unwrap();
    let values: Vec<String> = soon(client.mget(&keys)).await.unwrap();
    assert_eq!(values, keys);
    assert!(begin.elapsed() <= MS, "{:?}", begin.elapsed());
    assert!(cluster.nodes().iter().all(|node| cluster.connections_accepted(node) == 1));
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_of_keys_is_refused_and_not_sent() {
    let cluster = three();
    let client = connect(&cluster).await;
    let none: [&str; 0] = [];
    let error = client.mget::<Vec<Value>>(none).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Rejected);
    assert_eq!(cluster.ledger().iter().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_of_every_kind_of_command_answers_each_in_its_place() {
    let cluster = three();
    let client = connect(&cluster).await;
    let keys = mixed(&cluster, 4);
    let mut pipe = client.pipeline();
    pipe.push(Command::new("WAIT").arg(1).arg(0)); // refused before it is sent
    pipe.mset(keys.iter().enumerate().map(|(place, key)| (key, place)));
    pipe.get(&keys[5]);
    pipe.push(Command::new("SUNIONSTORE").key(&keys[0]).key(&keys[1])); // cannot be split
    pipe.push(Command::new("DBSIZE"));
    pipe.push(Command::new("LPUSH").key(&keys[2]).arg("x")); // a string has that name
    pipe.mget(keys.iter().rev());
    pipe.push(Command::new("ECHO").arg("hello"));
    pipe.incr(&keys[7]);
    pipe.push(Command::new("MGET").key("{none}1").key(&keys[7]).key(&keys[7]));
    let each = pipe.run_each().await.unwrap();
    let told: Vec<String> = each
        .iter()
        .map(|result| match result {
            Ok(Value::Array(items)) => {
                let texts = items.iter().map(|item| item.as_str().unwrap_or("nil"));
                texts.collect::<Vec<_>>().join(",")
            }
            Ok(value) => value.as_int().map_or_else(|| value.as_str().unwrap().to_owned(), |n| n.to_string()),
            Err(error) => format!("{} {:?}", error.command().unwrap(), error.kind()),
        })
        .collect();
    assert_eq!(
        told,
        [
            "WAIT Usage",
            "OK",
            "5",
            "SUNIONSTORE CrossSlot",
            "12",
            "LPUSH Server",
            "11,10,9,8,7,6,5,4,3,2,1,0",
            "hello",
            "8",
            "nil,8,8",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_of_nothing_is_answered_with_nothing() {
    let cluster = three();
    let client = connect(&cluster).await;
    assert!(client.pipeline().run_each().await.unwrap().is_empty());
    assert!(client.pipeline().run::<Vec<Value>>().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn parts_and_commands_on_one_key_are_executed_in_the_order_of_the_pipeline() {
    let cluster = three();
    let client = connect(&cluster).await;
    let keys = mixed(&cluster, 3);
    let mut pipe = client.pipeline();
    for round in 0..40_usize {
        for key in &keys {
            pipe.set(key, round);
        }
        pipe.mget(&keys);
        pipe.mset(keys.iter().rev().map(|key| (key, round + 100)));
        for key in &keys {
            pipe.get(key);
        }
    }
    let mut replies = pipe.run::<Vec<Value>>().await.unwrap().into_iter();
    let number = |value: &Value| value.as_str().unwrap().parse::<usize>().unwrap();
    for round in 0..40 {
        let Some(Value::Array(read)) = replies.by_ref().nth(keys.len()) else { panic!() };
        assert!(read.len() == keys.len() && read.iter().all(|value| number(value) == round));
        assert_eq!(replies.next().unwrap().as_str(), Some("OK"));
        assert!(replies.by_ref().take(keys.len()).all(|value| number(&value) == round + 100));
    }
}

#[tokio::test(start_paused = true)]
async fn long_keys_and_values_are_split_like_short_ones() {
    let cluster = three();
    let client = connect(&cluster).await;
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (place, key) in mixed(&cluster, 5).into_iter().enumerate() {
        let key = if place % 3 == 0 { key.repeat(2000) } else { key };
        let value = place.to_string().repeat(if place % 2 == 0 { 5000 } else { 1 });
        pairs.push((key, value));
    }
    client.mset(pairs.iter().map(|(key, value)| (key, value.clone()))).await.unwrap();
    let values: Vec<String> = client.mget(pairs.iter().map(|(key, _)| key)).await.unwrap();
    assert!(values.iter().eq(pairs.iter().map(|(_, value)| value)));
    let keys: Vec<&str> = pairs.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(client.del(&keys).await.unwrap(), 15);
}

#[tokio::test(start_paused = true)]
async fn each_node_gives_its_own_result_in_the_order_of_the_map() {
    let cluster = SimCluster::builder().primaries(3).replicas(1).start_in_memory().unwrap();
    let client = connect(&cluster).await;
    client.mset(mixed(&cluster, 20).iter().map(|key| (key, "1"))).await.unwrap();
    sleep(60 * SECOND).await;
    let map = client.slot_map();
    let each = client.execute_each::<u64>(Command::new("DBSIZE")).await.unwrap();
    let sizes: Vec<_> = each.iter().map(|(node, size)| (node, *size.as_ref().unwrap())).collect();
    assert_eq!(sizes, map.shards().map(|shard| (&shard.primary().addr, 20)).collect::<Vec<_>>());

    let everywhere = Command::new("DBSIZE").to(Target::AllNodes);
    let each = client.execute_each::<u64>(everywhere).await.unwrap();
    assert!(each.iter().map(|(node, _)| node).eq(map.nodes().iter().map(|node| &node.addr)));
    assert!(each.iter().all(|(_, size)| *size.as_ref().unwrap() == 20));

    // One node, or whichever one answered.
    let key = key_of(&cluster, &primaries(&cluster)[1], "k");
    let [(node, value)] = &client.execute_each::<i64>(Command::new("GET").key(&key)).await.unwrap()[..]
    else {
        panic!()
    };
    assert_eq!((node, *value.as_ref().unwrap()), (&owner(&cluster, &key), 1));
    let to = another(&cluster, &key);
    cluster.move_slot(slot(&key), &to).unwrap();
    let [(node, value)] = &client.execute_each::<i64>(Command::new("GET").key(&key)).await.unwrap()[..]
    else {
        panic!()
    };
    assert_eq!((node, *value.as_ref().unwrap()), (&to, 1));
    let time = Command::new("TIME").to(Target::Random);
    let each = client.execute_each::<Vec<u64>>(time).await.unwrap();
    assert!(primaries(&cluster).contains(&each[0].0));
}

#[tokio::test(start_paused = true)]
async fn one_node_that_fails_is_one_error_among_the_results() {
    let cluster = three();
    let client = connect(&cluster).await;
    let refuses = primaries(&cluster).remove(1);
    let no = FaultKind::Error("NOPERM no".to_owned());
    cluster.inject(Fault::new(no).node(&refuses).command("DBSIZE"));
    let each = client.execute_each::<u64>(Command::new("DBSIZE")).await.unwrap();
    for (node, size) in &each {
        match size {
            Ok(size) => assert_eq!(*size, 0),
            Err(error) => assert_eq!((error.code(), error.node()), (Some("NOPERM"), Some(&refuses))),
        }
        assert_eq!(size.is_err(), *node == refuses);
    }
    // A reply that does not fit is an error of its node.
    let each = client.execute_each::<u64>(Command::new("PING")).await.unwrap();
    assert!(each.iter().all(|(_, pong)| pong.as_ref().unwrap_err().kind() == ErrorKind::Conversion));
    let error = client.execute_each::<Value>(Command::new("MGET").arg("a").arg("b")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    client.close().await;
    let error = client.execute_each::<Value>(Command::new("PING")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_many_nodes_names_them_and_how_many() {
    let cluster = SimCluster::builder().primaries(12).start_in_memory().unwrap();
    let client = connect(&cluster).await;
    let no = || FaultKind::Error("NOPERM no".to_owned());
    let nodes = primaries(&cluster);
    for node in &nodes[2..4] {
        cluster.inject(Fault::new(no()).node(node).command("FLUSHALL"));
    }
    let error = client.execute::<()>(Command::new("FLUSHALL")).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("2 of its 12 parts failed"), "{text}");
    assert!(nodes[2..4].iter().all(|node| text.contains(&node.to_string())), "{text}");
    assert!(!text.contains(&nodes[5].to_string()), "{text}");
    cluster.inject(Fault::new(no()).command("FLUSHALL"));
    let text = client.execute::<()>(Command::new("FLUSHALL")).await.unwrap_err().to_string();
    assert!(text.contains("12 of its 12 parts failed") && text.contains("and 3 more nodes"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_typed_command_takes_a_target() {
    let cluster = three();
    let client = connect(&cluster).await;
    let keys = mixed(&cluster, 7);
    client.mset(keys.iter().map(|key| (key, "1"))).await.unwrap();
    let node = primaries(&cluster).remove(2);
    assert_eq!(client.dbsize().to(Target::Node(node.clone())).await.unwrap(), 7);
    assert_eq!(client.dbsize().to(Target::SlotOf(keys[0].clone().into())).await.unwrap(), 7);
    assert_eq!(client.dbsize().to(Target::Random).await.unwrap(), 7);
    assert_eq!(client.dbsize().to(Target::AllNodes).await.unwrap(), 21);
    client.ping().to(Target::Node(node.clone())).await.unwrap();
    assert_eq!((received_by_all(&cluster, "PING"), cluster.received(&node, "PING")), (1, 1));
    client.flushall().to(Target::Node(node)).await.unwrap();
    assert_eq!(client.dbsize().await.unwrap(), 14);
}

#[tokio::test(start_paused = true)]
async fn a_write_of_many_keys_that_lacks_a_value_writes_none_of_them() {
    let cluster = three();
    let client = connect(&cluster).await;
    let keys = mixed(&cluster, 2);
    let mut command = Command::new("MSET");
    for key in &keys {
        command = command.arg(key).arg("v");
    }
    let error = client.execute::<()>(command.arg("last")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
    assert_eq!(client.exists(&keys).await.unwrap(), 0, "no server writes any of such a list");
}

#[tokio::test(start_paused = true)]
async fn a_transaction_refuses_what_one_node_cannot_do_for_all() {
    let cluster = three();
    let client = connect(&cluster).await;
    let named = Command::new("GET").key("k").to(Target::Node(owner(&cluster, "k")));
    for command in [Command::new("DBSIZE"), Command::new("FLUSHALL"), Command::new("CONFIG SET"), named] {
        let name = command.name().to_owned();
        let mut tx = client.transaction();
        tx.set("k", "v").push(command);
        let error = tx.run::<Value>().await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::Rejected), "{name}: {error}");
    }
    assert_eq!((received_by_all(&cluster, "MULTI"), cluster.ledger().count("SET k v")), (0, 0));
    let mut tx = client.transaction();
    tx.ping().set("k", "v");
    tx.run::<(String, ())>().await.unwrap();
}
