//! Replies that no server sends, from a peer that is broken or means harm: an error on that connection that says what
//! came, little memory, and a client that works again with its next connection while other nodes notice nothing.
//!
//! What the decoder does with such bytes by itself is tested beside it.

#![expect(clippy::unwrap_used, reason = "tests report by panicking, in their helpers too")]

#[allow(dead_code, reason = "these tests use a part of it")]
mod fake_node;

use std::time::Duration;

use fake_node::{Answer, FakeCluster, FakeNode, bulk};
use keyslot::{Client, Command, Commands, Error, ErrorKind, Outcome};
use tokio::time::{sleep, timeout};

/// What a test may hold at its worst, the peer's own bytes included.
const MOST_MEMORY: u64 = 16 << 20;

struct Hostile {
    what: &'static str,
    reply: Vec<u8>,
    /// The connection ends behind it.
    ends: bool,
    /// What the error says.
    says: &'static str,
}

fn hostile(what: &'static str, reply: impl Into<Vec<u8>>, says: &'static str) -> Hostile {
    Hostile { what, reply: reply.into(), ends: false, says }
}

fn cut_off(what: &'static str, reply: impl Into<Vec<u8>>) -> Hostile {
    Hostile { what, reply: reply.into(), ends: true, says: "closed the connection" }
}

fn all() -> Vec<Hostile> {
    vec![
        hostile("nested arrays", b"*1\r\n".repeat(100_000), "nested more than 128 deep"),
        hostile("nested attributes", b"|1\r\n:1\r\n".repeat(100_000), "nested more than 128 deep"),
        hostile(
            "a string of 2^62 bytes",
            "$4611686018427387904\r\nabc",
            "larger than the limit of 1073741824 bytes",
        ),
        hostile(
            "an array of 2^31 elements",
            "*2147483648\r\n:1\r\n",
            "larger than the limit of 1073741824 bytes",
        ),
        hostile("a map of 2^31 pairs", "%2147483648\r\n:1\r\n", "larger than the limit of 1073741824 bytes"),
        hostile(
            "a map of more pairs than there are numbers",
            "%9223372036854775808\r\n",
            "malformed integer",
        ),
        hostile("a map of fewer pairs than none", "%-1\r\n", "malformed element count \"-1\""),
        hostile("a map without a count", "%\r\n", "malformed integer \"\""),
        hostile("a key without a value", "%1\r\n+key\r\n\r\n", "malformed empty line"),
        cut_off("a map that ends behind a key", "%1\r\n+key\r\n"),
        cut_off("a map that ends within its value", "%1\r\n+key\r\n*2\r\n:1\r\n"),
        cut_off("a string that ends early", "$10\r\nabc"),
        hostile("a line without an end", vec![b'+'; 1 << 20], "line of a reply is longer than 65536 bytes"),
        hostile(
            "a number without an end",
            [b":".to_vec(), vec![b'9'; 1 << 20]].concat(),
            "longer than 65536 bytes",
        ),
        hostile("zeros", vec![0; 1 << 20], "longer than 65536 bytes"),
        hostile("a line of another protocol", "SSH-2.0-OpenSSH_9.6\r\n", "starts with byte 0x53"),
    ]
}

/// Runs a test on the paused clock and holds it to the memory that it may take.
fn frugally<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let counted = allocation_counter::measure(|| {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        // Fails instead of hanging; on the paused clock that costs nothing.
        runtime.block_on(async { timeout(Duration::from_secs(300), test()).await.unwrap() });
    });
    assert!(counted.bytes_max < MOST_MEMORY, "{} bytes were held at once", counted.bytes_max);
}

/// Answers the commands of a name with `hostile`, as many as `times` says, and all others as a healthy server.
fn send(node: &FakeNode, name: &'static str, times: usize, hostile: &Hostile) {
    let (reply, ends) = (hostile.reply.clone(), hostile.ends);
    node.answers(move |call| match (call.name() == name && call.nth < times, ends) {
        (true, false) => Answer::Reply(reply.clone()),
        (true, true) => Answer::Close(reply.clone()),
        (false, _) => Answer::Usual,
    });
}

async fn connect(cluster: &FakeCluster) -> Client {
    cluster.builder().connect().await.unwrap()
}

#[track_caller]
fn assert_says(error: &Error, hostile: &Hostile) {
    let text = error.to_string();
    assert!(text.contains(hostile.says), "{}: {text}", hostile.what);
    assert!(text.len() < 500, "{}: {} bytes of text", hostile.what, text.len());
}

#[test]
fn a_hostile_reply_ends_its_connection_and_the_next_one_serves() {
    for hostile in all() {
        frugally(|| async {
            let (cluster, a, b) = FakeCluster::of_two();
            send(&a, "INCR", 1, &hostile);
            let client = connect(&cluster).await;
            assert_eq!(client.get::<String>("foo").await.unwrap(), "foo");
            let error = client.incr("bar").await.unwrap_err();
            assert_says(&error, &hostile);
            let kind = if hostile.ends { ErrorKind::ConnectionLost } else { ErrorKind::Protocol };
            assert_eq!((error.kind(), error.outcome()), (kind, Outcome::MaybeExecuted), "{}", hostile.what);
            assert_eq!(error.node(), Some(a.addr()));
            for key in ["bar", "foo"] {
                assert_eq!(client.get::<String>(key).await.unwrap(), key, "{}", hostile.what);
            }
            assert_eq!((a.count("INCR"), a.connections(), b.connections()), (1, 2, 1), "{}", hostile.what);
        });
    }
}

#[test]
fn a_command_to_another_node_that_is_under_way_meanwhile_gets_its_reply() {
    for hostile in all() {
        frugally(|| async {
            let (cluster, a, b) = FakeCluster::of_two();
            send(&a, "INCR", 1, &hostile);
            b.answers(|call| match call.name().as_str() {
                "GET" => Answer::Late(Duration::from_millis(100), bulk("late")),
                _ => Answer::Usual,
            });
            let client = connect(&cluster).await;
            let hurting = async {
                b.until("GET", 1).await;
                client.incr("bar").await.unwrap_err()
            };
            let (got, _error) = tokio::join!(client.get::<String>("foo"), hurting);
            assert_eq!(got.unwrap(), "late", "{}", hostile.what);
            assert_eq!((b.count("GET"), b.connections()), (1, 1), "{}", hostile.what);
        });
    }
}

#[test]
fn a_reply_that_may_be_asked_for_again_is() {
    for hostile in all() {
        frugally(|| async {
            let (cluster, a) = FakeCluster::of_one();
            send(&a, "GET", 1, &hostile);
            let client = connect(&cluster).await;
            assert_eq!(client.get::<String>("k").await.unwrap(), "k", "{}", hostile.what);
            assert_eq!((a.count("GET"), a.connections()), (2, 2), "{}", hostile.what);
        });
    }
}

#[test]
fn a_blocking_command_that_is_answered_so_leaves_its_connection_to_nobody() {
    for hostile in all() {
        frugally(|| async {
            let (cluster, a) = FakeCluster::of_one();
            send(&a, "BLPOP", 1, &hostile);
            let client = connect(&cluster).await;
            let pop = || client.execute::<String>(Command::new("BLPOP").key("list").arg(0));
            assert_says(&pop().await.unwrap_err(), &hostile);
            assert_eq!(pop().await.unwrap(), "OK", "{}", hostile.what);
            assert_eq!(a.connections(), 3, "{}", hostile.what);
        });
    }
}

#[test]
fn a_reply_too_many_to_a_blocking_command_is_given_to_nobody() {
    frugally(|| async {
        let (cluster, a) = FakeCluster::of_one();
        send(&a, "BLPOP", 1, &hostile("two replies", "$4\r\nmine\r\n$5\r\nextra\r\n", ""));
        let client = connect(&cluster).await;
        let pop = || client.execute::<String>(Command::new("BLPOP").key("list").arg(0));
        assert_eq!(pop().await.unwrap(), "mine");
        assert_eq!(pop().await.unwrap(), "OK");
        assert_eq!(a.connections(), 3);
    });
}

#[test]
fn a_hostile_handshake_is_told_and_another_seed_serves() {
    for hostile in all() {
        frugally(|| async {
            let (cluster, a, b) = FakeCluster::of_two();
            send(&a, "HELLO", usize::MAX, &hostile);
            let error = cluster.builder().connect().await.unwrap_err();
            // A greeting may be much less than a reply.
            let says = hostile.says.replace("1073741824", "1048576");
            assert!(error.to_string().contains(&says), "{}: {error}", hostile.what);
            let client = cluster.builder().seed(b.addr().clone()).connect().await.unwrap();
            assert_eq!(client.get::<String>("foo").await.unwrap(), "foo", "{}", hostile.what);
        });
    }
}

#[test]
fn a_greeting_without_end_is_left_within_the_connect_timeout() {
    // Both within what one reply may be: a string that trickles, and pushes that are no reply.
    let endless = [
        ("a long string", [b"$1000000\r\n".to_vec(), vec![b'x'; 900_000]].concat()),
        ("pushes", b">2\r\n+message\r\n+x\r\n".repeat(40_000)),
    ];
    for (what, reply) in endless {
        frugally(|| async {
            let (cluster, a) = FakeCluster::of_one();
            send(&a, "HELLO", usize::MAX, &hostile(what, reply.clone(), ""));
            let error =
                cluster.builder().connect_timeout(Duration::from_secs(1)).connect().await.unwrap_err();
            assert!(
                error.to_string().contains("no answer within the connect timeout of 1s"),
                "{what}: {error}"
            );
        });
    }
}

#[test]
fn a_hostile_topology_is_told_and_another_seed_serves() {
    for hostile in all() {
        for name in ["CLUSTER SLOTS", "CLUSTER SHARDS", "CLUSTER INFO"] {
            frugally(|| async {
                let (cluster, a, b) = FakeCluster::of_two();
                send(&a, name, usize::MAX, &hostile);
                assert_says(&cluster.builder().connect().await.unwrap_err(), &hostile);
                let builder = cluster.builder().seed(b.addr().clone());
                let client = builder.connect().await.unwrap();
                assert_eq!(client.get::<String>("bar").await.unwrap(), "bar", "{} {name}", hostile.what);
            });
        }
    }
}

#[test]
fn a_topology_that_turns_hostile_changes_nothing() {
    for hostile in all() {
        frugally(|| async {
            let (cluster, a, b) = FakeCluster::of_two();
            let client = cluster.builder().refresh_interval(Duration::from_secs(1)).connect().await.unwrap();
            for node in [&a, &b] {
                send(node, "CLUSTER SLOTS", usize::MAX, &hostile);
            }
            let before = cluster.refreshes();
            sleep(Duration::from_secs(10)).await;
            assert!(cluster.refreshes() > before);
            for key in ["foo", "bar"] {
                assert_eq!(client.get::<String>(key).await.unwrap(), key, "{}", hostile.what);
            }
        });
    }
}

#[test]
fn a_length_without_a_limit_costs_no_more_than_what_has_come() {
    let announced: [&[u8]; 4] =
        [b"$4611686018427387904\r\n", b"*2147483648\r\n", b"%2147483648\r\n", b"=9223372036854775807\r\n"];
    for header in announced {
        frugally(|| async {
            let (cluster, a) = FakeCluster::of_one();
            let sent = [header, &b":1\r\n".repeat(50_000)].concat();
            let broken = cut_off("a length without a limit", sent);
            send(&a, "INCR", 1, &broken);
            let client = cluster.builder().max_reply(usize::MAX).connect().await.unwrap();
            assert_says(&client.incr("k").await.unwrap_err(), &broken);
            assert_eq!(client.get::<String>("k").await.unwrap(), "k");
        });
    }
}

#[test]
fn elements_that_add_up_to_more_than_the_limit_are_not_all_kept() {
    frugally(|| async {
        let (cluster, a) = FakeCluster::of_one();
        let element = [b"$1000\r\n".to_vec(), vec![b'x'; 1000], b"\r\n".to_vec()].concat();
        let reply = [b"*2000\r\n".to_vec(), element.repeat(2000)].concat();
        let large = hostile("elements", reply, "larger than the limit of 1048576 bytes");
        send(&a, "INCR", 1, &large);
        let client = cluster.builder().max_reply(1 << 20).connect().await.unwrap();
        assert_says(&client.incr("k").await.unwrap_err(), &large);
        assert_eq!(client.get::<String>("k").await.unwrap(), "k");
    });
}

#[test]
fn an_error_that_is_not_utf8_is_an_error_of_the_command_and_not_of_the_connection() {
    for reply in [&b"-MY \xff\xfe words\r\n"[..], b"!11\r\nMY \xff\xfe words\r\n"] {
        frugally(|| async {
            let (cluster, a) = FakeCluster::of_one();
            send(&a, "INCR", 1, &hostile("an error", reply, "MY \u{fffd}\u{fffd} words"));
            let client = connect(&cluster).await;
            let error = client.incr("k").await.unwrap_err();
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Server, Outcome::Rejected));
            assert_eq!(error.code(), Some("MY"));
            assert!(error.to_string().contains("MY \u{fffd}\u{fffd} words"), "{error}");
            assert_eq!(client.get::<String>("k").await.unwrap(), "k");
            assert_eq!(a.connections(), 1);
        });
    }
}
