//! `Script`: by checksum where a node knows it, as a whole where it does not, and never twice. On scripted nodes.

#![expect(clippy::unwrap_used, reason = "tests report by panicking, in their helpers too")]

#[expect(dead_code, reason = "each test file uses its part of it")]
mod fake_node;

use std::collections::HashSet;
use std::time::Duration;

use fake_node::{Answer, Call, FakeCluster, FakeNode, error, int, redirect};
use keyslot::{Client, ErrorKind, Outcome, Script};

const SOURCE: &str = "return 1";
const SHA1: &str = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";

/// A node that runs scripts which it has been sent. Of 7.0 and later, or of before.
fn runs_scripts(node: &FakeNode, knows_read_only: bool) {
    let mut known = HashSet::new();
    node.answers(move |call: &Call| match call.word(0).as_str() {
        name @ ("EVALSHA_RO" | "EVAL_RO") if !knows_read_only => {
            Answer::Reply(error(&format!("ERR unknown command `{name}`, with args beginning with: ")))
        }
        "EVAL" | "EVAL_RO" => {
            known.insert(SHA1.to_owned());
            Answer::Reply(int(1))
        }
        "EVALSHA" | "EVALSHA_RO" if known.contains(&call.word(1)) => Answer::Reply(int(1)),
        "EVALSHA" | "EVALSHA_RO" => Answer::Reply(error("NOSCRIPT No matching script. Please use EVAL.")),
        _ => Answer::Usual,
    });
}

async fn two(knows_read_only: bool) -> (FakeCluster, FakeNode, FakeNode, Client) {
    let (cluster, a, b) = FakeCluster::of_two();
    runs_scripts(&a, knows_read_only);
    runs_scripts(&b, knows_read_only);
    let client = cluster.builder().connect().await.unwrap();
    (cluster, a, b, client)
}

#[tokio::test(start_paused = true)]
async fn each_node_gets_the_source_once() {
    let (_cluster, a, b, client) = two(true).await;
    let script = Script::new(SOURCE);
    for _ in 0..3 {
        assert_eq!(script.key("foo").arg("x").run::<i64>(&client).await.unwrap(), 1);
        assert_eq!(script.key("bar").run::<i64>(&client).await.unwrap(), 1);
    }
    let by_checksum = format!("EVALSHA {SHA1} 1 foo x");
    assert_eq!(b.lines(), [&*by_checksum, "EVAL return 1 1 foo x", &by_checksum, &by_checksum]);
    assert_eq!((a.count("EVAL"), a.count("EVALSHA")), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_script_that_only_reads_goes_by_its_own_commands_where_there_are_any() {
    let script = Script::new(SOURCE).read_only();
    let (_cluster, _, b, client) = two(true).await;
    for _ in 0..2 {
        assert_eq!(script.key("foo").run::<i64>(&client).await.unwrap(), 1);
    }
    let names: Vec<String> = b.calls().iter().map(Call::name).collect();
    assert_eq!(names, ["EVALSHA_RO", "EVAL_RO", "EVALSHA_RO"]);

    let (_cluster, a, b, client) = two(false).await;
    for key in ["foo", "foo", "bar"] {
        assert_eq!(script.key(key).run::<i64>(&client).await.unwrap(), 1);
    }
    let names: Vec<String> = b.calls().iter().map(Call::name).collect();
    assert_eq!(names, ["EVALSHA_RO", "EVALSHA", "EVAL", "EVALSHA"]);
    // The other node is not asked what is known of the first.
    let names: Vec<String> = a.calls().iter().map(Call::name).collect();
    assert_eq!(names, ["EVALSHA", "EVAL"]);
}

#[tokio::test(start_paused = true)]
async fn a_script_that_may_have_run_is_not_run_again() {
    for at in ["EVALSHA", "EVAL"] {
        let (cluster, _a, b) = FakeCluster::of_two();
        b.answers(move |call| match call.word(0).as_str() {
            name if name == at => Answer::Close(Vec::new()),
            "EVALSHA" => Answer::Reply(error("NOSCRIPT No matching script.")),
            _ => Answer::Usual,
        });
        let client = cluster.builder().connect().await.unwrap();
        let lost = Script::new(SOURCE).key("foo").run::<i64>(&client).await.unwrap_err();
        assert_eq!(
            (lost.kind(), lost.outcome()),
            (ErrorKind::ConnectionLost, Outcome::MaybeExecuted),
            "{at}"
        );
        assert_eq!(b.count(at), 1);
    }
    // Its own error is told as it is.
    let (cluster, _a, b) = FakeCluster::of_two();
    b.answers(|_| Answer::Reply(error("ERR Error running script: unknown command")));
    let client = cluster.builder().connect().await.unwrap();
    for script in [Script::new(SOURCE), Script::new(SOURCE).read_only()] {
        let told = script.key("foo").run::<i64>(&client).await.unwrap_err();
        assert_eq!((told.kind(), told.outcome()), (ErrorKind::Server, Outcome::MaybeExecuted), "{told}");
    }
    assert_eq!((b.count("EVALSHA"), b.count("EVALSHA_RO"), b.count("EVAL")), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_marked_is_run_again_after_a_lost_connection() {
    for script in [Script::new(SOURCE).idempotent(), Script::new(SOURCE).read_only()] {
        let (cluster, _a, b) = FakeCluster::of_two();
        b.answers(|call| match call.word(0).as_str() {
            "EVALSHA" | "EVALSHA_RO" if call.nth == 0 => Answer::Close(Vec::new()),
            "EVALSHA" | "EVALSHA_RO" => Answer::Reply(error("NOSCRIPT No matching script.")),
            "EVAL" | "EVAL_RO" if call.nth == 0 => Answer::Close(Vec::new()),
            "EVAL" | "EVAL_RO" => Answer::Reply(int(1)),
            _ => Answer::Usual,
        });
        let client = cluster.builder().connect().await.unwrap();
        assert_eq!(script.key("foo").run::<i64>(&client).await.unwrap(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_redirected_call_is_sent_its_source_where_it_is_not_known() {
    for kind in ["MOVED", "ASK"] {
        let (_cluster, a, b, client) = two(true).await;
        let to = a.clone();
        b.answers(move |call| match call.word(0).as_str() {
            "EVALSHA" | "EVAL" => Answer::Reply(redirect(kind, "foo", &to)),
            _ => Answer::Usual,
        });
        assert_eq!(Script::new(SOURCE).key("foo").run::<i64>(&client).await.unwrap(), 1, "{kind}");
        assert_eq!((a.count("EVALSHA"), a.count("EVAL")), (1, 1), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_pipeline_only_the_calls_that_were_not_known_are_sent_again() {
    let (_cluster, a, b, client) = two(true).await;
    let script = Script::new(SOURCE);
    let mut pipe = client.pipeline();
    pipe.script(&script.key("foo")).set("foo", "x").script(&script.key("bar")).get("foo");
    let replies: (i64, (), i64, String) = pipe.run().await.unwrap();
    assert_eq!(replies, (1, (), 1, "foo".to_owned()));
    assert_eq!((a.count("EVAL"), b.count("EVAL"), b.count("SET"), b.count("GET")), (1, 1, 1, 1));
    let _: (i64, (), i64, String) = pipe.run().await.unwrap();
    assert_eq!((a.count("EVAL"), b.count("EVAL"), b.count("SET"), b.count("GET")), (1, 1, 2, 2));
    pipe.clear();
    pipe.set("foo", "y");
    assert_eq!(pipe.run_each().await.unwrap().len(), 1);
    // With the source it needs no second try, so it may be part of a transaction.
    let mut transaction = client.transaction();
    transaction.push(script.key("foo").command());
    drop(transaction.run::<keyslot::Value>().await);
    assert!(b.lines().contains(&"EVAL return 1 1 foo".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn in_a_pipeline_a_script_that_only_reads_goes_by_its_own_commands_where_there_are_any() {
    let script = Script::new(SOURCE).read_only();
    let names = |node: &FakeNode| node.calls().iter().map(Call::name).collect::<Vec<_>>();
    for (knows_read_only, first, second) in
        [(true, ["EVALSHA_RO", "EVAL_RO"], "EVALSHA_RO"), (false, ["EVALSHA_RO", "EVAL"], "EVALSHA")]
    {
        let (_cluster, a, b, client) = two(knows_read_only).await;
        let mut pipe = client.pipeline();
        pipe.script(&script.key("foo")).script(&script.key("bar"));
        assert_eq!(pipe.run::<(i64, i64)>().await.unwrap(), (1, 1));
        assert_eq!(
            (names(&a), names(&b)),
            (first.map(str::to_owned).to_vec(), first.map(str::to_owned).to_vec())
        );
        // What has been found out is kept: both nodes know the script now, and the client knows the command.
        let mut pipe = client.pipeline();
        pipe.script(&script.key("foo"));
        assert_eq!(pipe.run::<(i64,)>().await.unwrap(), (1,));
        assert_eq!(names(&b).last().map(String::as_str), Some(second));
        assert_eq!(names(&b).len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn both_tries_have_one_deadline() {
    let (cluster, _a, b) = FakeCluster::of_two();
    b.answers(|call| match call.word(0).as_str() {
        "EVALSHA" => Answer::Late(Duration::from_millis(600), error("NOSCRIPT No matching script.")),
        "EVAL" => Answer::Late(Duration::from_secs(3600), int(1)),
        _ => Answer::Usual,
    });
    let client = cluster.builder().connect().await.unwrap();
    let begin = tokio::time::Instant::now();
    let call = Script::new(SOURCE);
    let late = call.key("foo").timeout(Duration::from_secs(1)).run::<i64>(&client).await.unwrap_err();
    assert_eq!((late.kind(), late.outcome()), (ErrorKind::Timeout, Outcome::MaybeExecuted), "{late}");
    assert!(begin.elapsed() < Duration::from_millis(1200), "{:?}", begin.elapsed());
}
