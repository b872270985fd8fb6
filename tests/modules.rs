//! Commands of modules, which none of the servers that the tests run has: by their words and by what `COMMAND INFO` would say, on
//! scripted nodes.

#![expect(clippy::unwrap_used, reason = "tests report by panicking, in their helpers too")]

#[expect(dead_code, reason = "each test file uses its part of it")]
mod fake_node;

use fake_node::{Answer, Call, FakeCluster, FakeNode, array, bulk, error, int};
use keyslot::{Client, Command, ErrorKind, Outcome, Value};

/// One entry of a `COMMAND INFO` with one key at `key`, or none at 0.
fn entry(name: &str, flag: &str, key: i64, subcommands: Vec<Vec<u8>>) -> Vec<u8> {
    let keys = if key > 0 { [key, key, 1] } else { [0, 0, 0] };
    let head = [bulk(name), int(-2), array([bulk(flag)])];
    let tail = [array([]), array([]), array([]), array(subcommands)];
    array(head.into_iter().chain(keys.map(int)).chain(tail))
}

/// Nodes of a server with one command that has subcommands, and one that has none.
fn has_a_module(node: &FakeNode) {
    node.answers(|call: &Call| match (call.word(0).as_str(), call.word(2).as_str()) {
        ("COMMAND", "MOD.DO") => Answer::Reply(array([entry("mod.do", "write", 1, Vec::new())])),
        ("COMMAND", "MOD.BOX") => {
            let sub = vec![
                entry("mod.box|get", "readonly", 2, Vec::new()),
                entry("mod.box|put", "write", 2, Vec::new()),
            ];
            Answer::Reply(array([entry("mod.box", "admin", 0, sub)]))
        }
        ("COMMAND", _) => Answer::Reply(array([b"$-1\r\n".to_vec()])),
        ("JSON.MGET", _) if call.args.iter().any(|arg| arg == b"refused") => {
            Answer::Reply(error("ERR it is refused"))
        }
        ("JSON.MGET", _) => {
            let keys = call.args.iter().skip(1).take(call.args.len() - 2);
            Answer::Reply(array(keys.map(|key| bulk(&String::from_utf8_lossy(key)))))
        }
        _ => Answer::Usual,
    });
}

/// Key `bar` is at the first node, `foo` at the second.
async fn two() -> (FakeCluster, FakeNode, FakeNode, Client) {
    let (cluster, a, b) = FakeCluster::of_two();
    has_a_module(&a);
    has_a_module(&b);
    let client = cluster.builder().connect().await.unwrap();
    (cluster, a, b, client)
}

#[tokio::test(start_paused = true)]
async fn json_mget_over_slots_is_answered_in_the_order_of_the_keys() {
    let (_cluster, a, b, client) = two().await;
    let command = Command::new("JSON.MGET").args(["foo", "bar", "{foo}2", "{bar}2", "$.name"]);
    let values: Vec<String> = client.execute(command).await.unwrap();
    assert_eq!(values, ["foo", "bar", "{foo}2", "{bar}2"]);
    assert_eq!(a.lines(), ["JSON.MGET bar {bar}2 $.name"]);
    assert_eq!(b.lines(), ["JSON.MGET foo {foo}2 $.name"]);

    // In a pipeline among others.
    let mut pipe = client.pipeline();
    pipe.get("foo").push(Command::new("JSON.MGET").args(["bar", "foo", "."])).get("bar");
    let all: (String, Vec<String>, String) = pipe.run().await.unwrap();
    assert_eq!(all, ("foo".to_owned(), vec!["bar".to_owned(), "foo".to_owned()], "bar".to_owned()));

    // A part that fails says which keys it is about.
    let refused = Command::new("JSON.MGET").args(["foo", "bar", "{bar}refused", "$"]);
    assert!(client.execute::<Value>(refused).await.is_ok(), "another key");
    let refused = Command::new("JSON.MGET").args(["foo", "refused", "$"]);
    let told = client.execute::<Value>(refused).await.unwrap_err();
    assert_eq!((told.kind(), told.code()), (ErrorKind::Server, Some("ERR")), "{told}");
    let keys = told.keys().unwrap();
    assert_eq!((keys.done.len(), keys.not_done.len() + keys.unknown.len()), (1, 1), "{keys:?}");
}

#[tokio::test(start_paused = true)]
async fn json_mset_over_slots_is_refused_before_anything_is_sent() {
    let (_cluster, a, b, client) = two().await;
    let command = Command::new("JSON.MSET").args(["foo", "$", "1", "bar", "$", "2"]);
    let told = client.execute::<Value>(command).await.unwrap_err();
    assert_eq!((told.kind(), told.outcome()), (ErrorKind::CrossSlot, Outcome::Rejected), "{told}");
    assert!(told.to_string().contains("hash tag"), "{told}");
    let command = Command::new("JSON.MSET").args(["foo", "$", "1", "{foo}2", "bar", "2"]);
    client.execute::<()>(command).await.unwrap();
    assert_eq!((a.lines().len(), b.lines()), (0, vec!["JSON.MSET foo $ 1 {foo}2 bar 2".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_subcommand_that_the_table_does_not_know_goes_by_its_own_keys() {
    let (_cluster, a, b, client) = two().await;
    for _ in 0..3 {
        client.execute::<Value>(Command::new("MOD.BOX GET").arg("foo")).await.unwrap();
        client.execute::<Value>(Command::new("mod.box").arg("put").arg("foo")).await.unwrap();
        client.execute::<Value>(Command::new("MOD.BOX GET").arg("bar")).await.unwrap();
    }
    let sent = |node: &FakeNode, key: &str| {
        node.lines()
            .iter()
            .filter(|line| line.to_lowercase().starts_with("mod.box") && line.ends_with(key))
            .count()
    };
    assert_eq!([sent(&a, "foo"), sent(&a, "bar"), sent(&b, "foo"), sent(&b, "bar")], [0, 3, 6, 0]);
    assert_eq!(a.count("COMMAND") + b.count("COMMAND"), 1, "asked for once");
    let explained = client.explain(&Command::new("MOD.BOX GET").arg("foo")).unwrap();
    assert!(explained.only_reads, "{explained}");
    let explained = client.explain(&Command::new("MOD.BOX PUT").arg("foo")).unwrap();
    assert!(!explained.only_reads, "{explained}");
}

#[tokio::test(start_paused = true)]
async fn a_session_learns_where_the_keys_of_an_unknown_command_are() {
    let (_cluster, a, b, client) = two().await;
    let mut session = client.session("foo").await.unwrap();
    session.execute::<Value>(Command::new("MOD.DO").arg("{foo}1")).await.unwrap();
    let refused = session.execute::<Value>(Command::new("MOD.DO").arg("bar")).await.unwrap_err();
    assert_eq!((refused.kind(), refused.outcome()), (ErrorKind::CrossSlot, Outcome::Rejected), "{refused}");
    let refused = session.execute::<Value>(Command::new("MOD.BOX PUT").arg("bar")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::CrossSlot, "{refused}");
    let mut transaction = session.transaction();
    transaction.push(Command::new("MOD.DO").arg("bar"));
    let refused = transaction.run::<Value>().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::CrossSlot, "{refused}");
    // What no server knows goes on to the session's, which says so.
    session.execute::<Value>(Command::new("NO.SUCH").arg("bar")).await.unwrap();
    let lines =
        |node: &FakeNode, name: &str| node.lines().iter().filter(|line| line.starts_with(name)).count();
    assert_eq!((lines(&a, "MOD."), lines(&b, "MOD.")), (0, 1));
    assert_eq!(lines(&b, "NO.SUCH"), 1);
}
