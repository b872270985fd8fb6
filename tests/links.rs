//! What callers get when nodes, connections and the topology misbehave: through the public API, on a scripted cluster
//! in memory with a paused clock.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests report by panicking, in their helpers too, where clippy.toml does not allow it by itself"
)]

mod fake_node;

use std::sync::Arc;
use std::time::Duration;

use fake_node::{Answer, Call, FakeCluster, FakeNode, array, bulk, error, int, redirect};
use futures::FutureExt;
use futures::future::join_all;
use keyslot::{Bytes, Client, Command, Commands, ErrorKind, Outcome, OverloadPolicy, Target, Value};
use tokio::time::{Instant, sleep, timeout};

const MS: Duration = Duration::from_millis(1);

async fn connect(cluster: &FakeCluster) -> Client {
    cluster.builder().connect().await.unwrap()
}

/// Fails instead of hanging; on the paused clock that costs nothing.
async fn soon<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(300), future).await.unwrap()
}

/// A script that answers commands of one name and leaves the others alone.
fn only(
    name: &'static str,
    mut script: impl FnMut(&Call) -> Answer + Send + 'static,
) -> impl FnMut(&Call) -> Answer + Send {
    move |call| if call.name() == name { script(call) } else { Answer::Usual }
}

/// Replies `text` to the first of a name, and as usual after that.
fn first(name: &'static str, reply: Vec<u8>) -> impl FnMut(&Call) -> Answer + Send {
    only(name, move |call| if call.nth == 0 { Answer::Reply(reply.clone()) } else { Answer::Usual })
}

fn text(value: &str) -> Value {
    Value::Bulk(Bytes::copy_from_slice(value.as_bytes()))
}

/// Everything that was taken of the byte budget is given back: else this waits for its whole limit.
async fn closes_at_once(client: &Client) {
    let start = Instant::now();
    client.close_within(Duration::from_secs(1000)).await;
    assert!(start.elapsed() < Duration::from_secs(1), "bytes of the budget were lost");
}

mod queue {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_future_that_is_never_polled_sends_nothing() {
        let (cluster, a) = FakeCluster::of_one();
        let client = connect(&cluster).await;
        drop(client.incr("never"));
        client.set("k", "v").await.unwrap();
        assert_eq!(a.lines(), ["SET k v"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_future_that_is_dropped_before_its_command_was_written_sends_nothing() {
        let (cluster, a) = FakeCluster::of_one();
        let client = connect(&cluster).await;
        assert!(client.incr("polled-once").now_or_never().is_none());
        client.set("k", "v").await.unwrap();
        assert_eq!(a.lines(), ["SET k v"]);
        closes_at_once(&client).await;
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_among_others_that_stay_it_alone_is_cut_out() {
        let (cluster, a) = FakeCluster::of_one();
        let client = connect(&cluster).await;
        let mut kept = Vec::new();
        for number in 0..100 {
            let mut request = client.set(format!("k{number}"), vec![b'v'; number * 97]);
            assert!((&mut request).now_or_never().is_none());
            if number % 3 == 0 {
                kept.push((number, request));
            }
        }
        let numbers: Vec<usize> = kept.iter().map(|(number, _)| *number).collect();
        for (_, request) in kept {
            request.await.unwrap();
        }
        let keys: Vec<String> = a.calls().iter().map(|call| call.word(1)).collect();
        assert_eq!(keys, numbers.iter().map(|number| format!("k{number}")).collect::<Vec<_>>());
        closes_at_once(&client).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_reply_to_a_future_that_is_dropped_after_the_write_goes_to_nobody_else() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(only("INCR", |_| Answer::Late(100 * MS, int(42))));
        let client = connect(&cluster).await;
        {
            let mut request = client.incr("n");
            assert!((&mut request).now_or_never().is_none());
            a.until("INCR", 1).await;
        }
        assert_eq!(client.get::<String>("mine").await.unwrap(), "mine");
        assert_eq!(a.lines(), ["INCR n", "GET mine"]);
        assert_eq!(a.connections(), 1);
        closes_at_once(&client).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipeline_that_is_dropped_after_the_write_leaves_its_replies_to_nobody() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(only("INCR", |call| {
            if call.word(1) == "n3" { Answer::Late(50 * MS, int(3)) } else { Answer::Reply(int(1)) }
        }));
        let client = connect(&cluster).await;
        let mut pipe = client.pipeline();
        for number in 0..10 {
            pipe.incr(format!("n{number}"));
        }
        let run = pipe.run_each();
        assert!(timeout(10 * MS, run).await.is_err());
        assert_eq!(client.get::<String>("mine").await.unwrap(), "mine");
        assert_eq!(a.count("INCR"), 10);
        closes_at_once(&client).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_concurrent_commands_get_their_own_replies_from_odd_chunks() {
        for chunk in [1, 7, 4099] {
            let (cluster, a) = FakeCluster::of_one();
            a.replies_in_chunks(chunk);
            let client = connect(&cluster).await;
            let tasks = (0..1000).map(|number| {
                let client = client.clone();
                tokio::spawn(async move {
                    let key = format!("key-{number}-{}", "x".repeat(number % 50));
                    assert_eq!(client.get::<String>(&key).await.unwrap(), key);
                })
            });
            for task in join_all(tasks).await {
                task.unwrap();
            }
            assert_eq!(a.connections(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn commands_on_one_key_arrive_in_the_order_of_their_submission() {
        let (cluster, a) = FakeCluster::of_one();
        let client = cluster.builder().links_per_node(4).connect().await.unwrap();
        join_all((0..200).map(|number| client.append("{k}", number))).await;
        let seen: Vec<String> = a.calls().iter().map(|call| call.word(2)).collect();
        assert_eq!(seen, (0..200).map(|number: i32| number.to_string()).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipeline_larger_than_every_buffer_does_not_deadlock() {
        let (cluster, a, b) = FakeCluster::of_two();
        a.holds(256);
        b.holds(256);
        let client = connect(&cluster).await;
        let mut pipe = client.pipeline();
        let keys: Vec<String> = (0..3000).map(|number| format!("{number}-{}", "y".repeat(100))).collect();
        for key in &keys {
            pipe.get(key);
        }
        assert_eq!(soon(pipe.run::<Vec<String>>()).await.unwrap(), keys);
    }

    #[tokio::test(start_paused = true)]
    async fn abandoned_commands_behind_a_full_socket_free_their_room_and_are_never_sent() {
        let (cluster, _a, b) = FakeCluster::of_two();
        b.holds(1000);
        let client = cluster
            .builder()
            .byte_budget(50_000, 1 << 20)
            .overload(OverloadPolicy::Fail)
            .connect()
            .await
            .unwrap();
        client.get::<Value>("foo").await.unwrap();
        b.shut_gate();
        // Begun, so it must be finished; behind it, others that are taken by the link's task and not written.
        let begun = tokio::spawn({
            let client = client.clone();
            async move { client.set("foo", vec![b'b'; 2000]).await }
        });
        sleep(MS).await;
        for _ in 0..20 {
            let gone = client.append("foo", vec![b'a'; 45_000]);
            assert!(timeout(MS, gone).await.is_err(), "there was room, and it waited for its reply");
            sleep(MS).await;
        }
        let taken = tokio::spawn({
            let client = client.clone();
            async move { client.set("foo", "after").await }
        });
        sleep(MS).await;
        b.open_gate();
        begun.await.unwrap().unwrap();
        taken.await.unwrap().unwrap();
        assert_eq!((b.count("SET"), b.count("APPEND")), (2, 0));
        closes_at_once(&client).await;
    }

    #[tokio::test(start_paused = true)]
    async fn commands_that_are_taken_but_not_written_are_cut_out_too() {
        let (cluster, _a, b) = FakeCluster::of_two();
        b.holds(1000);
        let client = connect(&cluster).await;
        client.get::<Value>("foo").await.unwrap();
        b.shut_gate();
        let mut begun = client.set("foo", vec![b'b'; 5000]);
        let mut gone = client.incr("foo");
        let mut kept = client.set("foo", "kept");
        assert!((&mut begun).now_or_never().is_none());
        assert!((&mut gone).now_or_never().is_none());
        assert!((&mut kept).now_or_never().is_none());
        sleep(MS).await;
        drop(gone);
        sleep(MS).await;
        b.open_gate();
        begun.await.unwrap();
        kept.await.unwrap();
        assert_eq!(b.count("INCR"), 0);
        closes_at_once(&client).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_dropped_before_its_node_is_connected_gives_its_bytes_back() {
        let (cluster, _a, _b) = FakeCluster::of_two();
        let client = cluster.builder().byte_budget(10_000, 1 << 20).connect().await.unwrap();
        // Nothing is connected to b yet. One caller gives up at once, another one waits.
        assert!(client.set("foo", vec![b'x'; 9_000]).now_or_never().is_none());
        client.set("foo", "small").await.unwrap();
        client.set("foo", vec![b'y'; 9_000]).await.unwrap();
        closes_at_once(&client).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_budget_is_waited_for_or_told_as_the_client_is_set() {
        for policy in [OverloadPolicy::Wait, OverloadPolicy::Fail] {
            let (cluster, a) = FakeCluster::of_one();
            let client =
                cluster.builder().byte_budget(10_000, 1 << 20).overload(policy).connect().await.unwrap();
            a.answers(only("SET", |_| Answer::Late(300 * MS, b"+OK\r\n".to_vec())));
            let results = join_all((0..4).map(|_| client.set("k", vec![b'v'; 6000])))
                .await
                .into_iter()
                .map(|result| result.is_ok());
            match policy {
                OverloadPolicy::Wait => assert_eq!(results.collect::<Vec<_>>(), [true; 4]),
                OverloadPolicy::Fail => assert_eq!(results.collect::<Vec<_>>(), [true, false, false, false]),
            }
            closes_at_once(&client).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_requests_are_under_way_and_the_next_wait_or_are_told() {
        for policy in [OverloadPolicy::Wait, OverloadPolicy::Fail] {
            let (cluster, a) = FakeCluster::of_one();
            let client = cluster.builder().request_budget(3, 100).overload(policy).connect().await.unwrap();
            client.get::<String>("k").await.unwrap();
            a.shut_gate();
            let gets = join_all((0..10).map(|_| client.get::<String>("k")));
            let looking = async {
                sleep(100 * MS).await;
                let under_way = client.stats().nodes[a.addr()].in_flight;
                a.open_gate();
                under_way
            };
            let (results, under_way) = tokio::join!(gets, looking);
            assert_eq!(under_way, 3);
            let kinds: Vec<_> =
                results.iter().map(|result| result.as_ref().err().map(|error| error.kind())).collect();
            match policy {
                OverloadPolicy::Wait => assert_eq!(kinds, [None; 10]),
                OverloadPolicy::Fail => {
                    assert_eq!(kinds[..3], [None; 3]);
                    assert_eq!(kinds[3..], [Some(ErrorKind::Overloaded); 7]);
                }
            }
            // A pipeline is as many requests as it has commands, and one that is larger than the bound passes alone.
            let mut pipe = client.pipeline();
            for _ in 0..5 {
                pipe.get("k");
            }
            assert!(pipe.run_each().await.unwrap().iter().all(Result::is_ok));
            let (pipe, single) = tokio::join!(pipe.run_each(), client.get::<String>("k"));
            assert!(pipe.unwrap().iter().all(Result::is_ok));
            assert_eq!(single.is_ok(), policy == OverloadPolicy::Wait);
            closes_at_once(&client).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_links_that_are_dropped_leave_no_task() {
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let before = tasks();
        let cluster = FakeCluster::new();
        let nodes: Vec<FakeNode> = (0..1000).map(|number| cluster.node("n", number + 1)).collect();
        let ranges: Vec<(u16, u16, &FakeNode)> = nodes
            .iter()
            .enumerate()
            .map(|(place, node)| {
                (place as u16 * 16, if place == 999 { 16383 } else { place as u16 * 16 + 15 }, node)
            })
            .collect();
        cluster.view(1, &ranges);
        let client = connect(&cluster).await;
        client.ping().await.unwrap();
        assert!(nodes.iter().all(|node| node.connections() == 1));
        assert!(tasks() >= before + 2000);
        drop(client);
        sleep(MS).await;
        assert_eq!(tasks(), before);
    }
}

mod asking {
    use super::*;

    /// Every `ASKING` is followed by a command of these names, and each of those has one before it.
    fn assert_adjacent(node: &FakeNode, is_asked: impl Fn(&Call) -> bool) {
        let calls = node.calls();
        for (place, call) in calls.iter().enumerate() {
            let next = calls.get(place + 1);
            if call.name() == "ASKING" {
                let next = next.unwrap_or_else(|| panic!("ASKING is the last command"));
                assert!(is_asked(next) && next.connection == call.connection, "ASKING, then {}", next.line());
            } else if is_asked(call) {
                assert!(place > 0 && calls[place - 1].name() == "ASKING", "no ASKING before {}", call.line());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn asking_and_its_command_are_neighbours_while_others_write_to_the_same_node() {
        let (cluster, a, b) = FakeCluster::of_two();
        let to_b = b.clone();
        a.answers(only("GET", move |call| Answer::Reply(redirect("ASK", &call.word(1), &to_b))));
        b.holds(700);
        b.replies_in_chunks(11);
        let client = connect(&cluster).await;
        let others = (0..8).map(|task| {
            let client = client.clone();
            tokio::spawn(async move {
                for number in 0..200 {
                    let value = vec![b'v'; (number * 37) % 6000];
                    client.set(format!("{{foo}}{task}:{number}"), value).await.unwrap();
                }
            })
        });
        let asked = (0..8).map(|task| {
            let client = client.clone();
            tokio::spawn(async move {
                for number in 0..100 {
                    let key = format!("{{bar}}{task}:{number}");
                    assert_eq!(client.get::<String>(&key).await.unwrap(), key);
                }
            })
        });
        for task in join_all(others.chain(asked)).await {
            task.unwrap();
        }
        assert_adjacent(&b, |call| call.name() == "GET");
        assert_eq!(b.count("ASKING"), 800);
        assert_eq!(client.stats().asked, 800);
        assert_eq!(client.stats().map_changes, 1, "an ASK leaves the map alone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipeline_sends_asking_before_each_command_that_was_asked_and_no_other() {
        let (cluster, a, b) = FakeCluster::of_two();
        let to_b = b.clone();
        a.answers(only("GET", move |call| match call.word(1).ends_with("moving") {
            true => Answer::Reply(redirect("ASK", &call.word(1), &to_b)),
            false => Answer::Usual,
        }));
        let client = connect(&cluster).await;
        let mut pipe = client.pipeline();
        let keys = ["{bar}1:moving", "foo", "{bar}2:moving", "bar", "{bar}3:moving"];
        for key in keys {
            pipe.get(key);
        }
        assert_eq!(pipe.run::<Vec<String>>().await.unwrap(), keys);
        assert_adjacent(&b, |call| call.word(1).ends_with("moving"));
        assert_eq!((a.count("GET"), b.count("GET"), b.count("ASKING")), (4, 4, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn an_asked_command_that_is_abandoned_takes_its_asking_with_it() {
        let (cluster, a, b) = FakeCluster::of_two();
        let to_b = b.clone();
        a.answers(only("GET", move |call| Answer::Reply(redirect("ASK", &call.word(1), &to_b))));
        b.holds(300);
        let client = connect(&cluster).await;
        client.set("foo", "v").await.unwrap();
        b.shut_gate();
        let mut begun = client.set("foo", vec![b'b'; 5000]);
        assert!((&mut begun).now_or_never().is_none());
        sleep(MS).await;
        assert!(timeout(5 * MS, client.get::<Value>("bar")).await.is_err());
        b.open_gate();
        begun.await.unwrap();
        client.set("foo", "after").await.unwrap();
        assert_eq!((b.count("ASKING"), b.count("GET")), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_multi_key_command_waits_out_a_migration_however_often_it_is_asked_to_try_again() {
        for times in [1, 5, 20] {
            let (cluster, a, b) = FakeCluster::of_two();
            let to_b = redirect("ASK", "bar", &b);
            a.answers(only("MSET", move |_| Answer::Reply(to_b.clone())));
            b.answers(only("MSET", move |call| match call.nth < times {
                true => Answer::Reply(error("TRYAGAIN Multiple keys request during rehashing of slot")),
                false => Answer::Usual,
            }));
            let client = connect(&cluster).await;
            client.mset([("{bar}1", "1"), ("{bar}2", "2")]).await.unwrap();
            assert_adjacent(&b, |call| call.name() == "MSET");
        }
    }
}

mod lost {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_ends_before_the_write_costs_the_command_nothing() {
        let (cluster, a) = FakeCluster::of_one();
        let client = connect(&cluster).await;
        a.cut();
        a.answers(first("INCR", int(1)));
        assert_eq!(client.incr("n").await.unwrap(), 1);
        assert_eq!((a.count("INCR"), a.connections()), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_refuses_for_a_while_gets_the_command_once_when_it_is_back() {
        let (cluster, a) = FakeCluster::of_one();
        let client = connect(&cluster).await;
        a.answers(first("INCR", int(1)));
        a.refuses();
        a.cut();
        let mut request = client.incr("n");
        assert!(timeout(3000 * MS, &mut request).await.is_err());
        a.accepts();
        assert_eq!(request.await.unwrap(), 1);
        assert_eq!(a.count("INCR"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_and_must_not_be_repeated_is_handed_back_as_maybe_executed() {
        for rest in [&b""[..], b":4", b":42\r", b"-", b"$100\r\nhalf"] {
            let (cluster, a) = FakeCluster::of_one();
            a.answers(only("INCR", move |_| Answer::Close(rest.to_vec())));
            let client = connect(&cluster).await;
            let error = client.incr("n").await.unwrap_err();
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::MaybeExecuted));
            assert_eq!((error.command(), error.attempts()), (Some("INCR"), 1));
            assert_eq!(error.node(), Some(a.addr()));
            sleep(Duration::from_secs(60)).await;
            assert_eq!(a.count("INCR"), 1, "never sent again in silence");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_and_may_be_repeated_is_sent_again() {
        for (name, command) in [
            ("GET", Command::new("GET").key("k")),
            ("SET", Command::new("SET").key("k").arg("v")),
            ("INCR", Command::new("INCR").key("k").idempotent()),
        ] {
            let (cluster, a) = FakeCluster::of_one();
            a.answers(only(name, |call| match call.nth {
                0 => Answer::Close(Vec::new()),
                1 => Answer::Close(b"$5\r\nha".to_vec()),
                _ => Answer::Reply(int(7)),
            }));
            let client = connect(&cluster).await;
            assert_eq!(client.execute::<Value>(command).await.unwrap(), Value::Int(7), "{name}");
            assert_eq!((a.count(name), a.connections()), (3, 3));
            assert_eq!((client.stats().retries, client.stats().disconnects), (2, 2));
            closes_at_once(&client).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_command_on_a_lost_connection_gets_its_own_truth() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(only("INCR", |call| match call.word(1).as_str() {
            "n0" | "n1" => Answer::Reply(int(1)),
            "n2" => Answer::Close(Vec::new()),
            _ => Answer::Usual,
        }));
        let client = connect(&cluster).await;
        let mut pipe = client.pipeline();
        pipe.incr("n0").incr("n1").incr("n2").get("k").incr("n3");
        let results = pipe.run_each().await.unwrap();
        let outcomes: Vec<_> =
            results.iter().map(|result| result.as_ref().map_err(keyslot::Error::outcome)).collect();
        assert_eq!(
            outcomes,
            [
                Ok(&Value::Int(1)),
                Ok(&Value::Int(1)),
                Err(Outcome::MaybeExecuted),
                Ok(&text("k")),
                Err(Outcome::MaybeExecuted)
            ]
        );
        closes_at_once(&client).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_of_which_a_part_was_written_was_not_sent() {
        let (cluster, _a, b) = FakeCluster::of_two();
        b.holds(64);
        b.reads_only(Some(10));
        let client = connect(&cluster).await;
        let mut request = client.append("foo", vec![b'v'; 3000]);
        assert!(timeout(100 * MS, &mut request).await.is_err());
        assert!(b.connections() >= 1);
        b.reads_only(None);
        b.answers(first("APPEND", int(3000)));
        assert_eq!(request.await.unwrap(), 3000);
        assert_eq!(b.count("APPEND"), 1);
        closes_at_once(&client).await;
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_pipeline_cut_in_the_middle_what_was_not_written_is_sent_and_the_rest_told() {
        let (cluster, _a, b) = FakeCluster::of_two();
        b.holds(64);
        let command = b"*3\r\n$6\r\nAPPEND\r\n$3\r\nfoo\r\n$1\r\n0\r\n".len();
        b.reads_only(Some(command * 2 + 5));
        b.answers(only("APPEND", |call| {
            // Read once the first connection is gone: the answers of the first two never leave.
            if call.connection == 0 { Answer::Swallow } else { Answer::Reply(int(1)) }
        }));
        let client = connect(&cluster).await;
        let mut pipe = client.pipeline();
        for number in 0..9 {
            pipe.append("foo", number);
        }
        let run = tokio::spawn(async move { pipe.run_each().await.unwrap() });
        b.until("APPEND", 2).await;
        b.reads_only(None);
        let results = run.await.unwrap();
        let sent: Vec<String> =
            b.calls().iter().filter(|call| call.connection > 0).map(|call| call.word(2)).collect();
        for (number, result) in results.iter().enumerate() {
            let resent = sent.contains(&number.to_string());
            match result {
                Ok(value) => assert!(*value == Value::Int(1) && resent && number > 1),
                Err(error) => {
                    assert_eq!(error.outcome(), Outcome::MaybeExecuted);
                    assert!(!resent, "{number} may have been executed and was sent again");
                }
            }
        }
        assert!(results[0].is_err() && results[1].is_err(), "the server has read them");
        assert!(results[8].is_ok(), "it had not left: the stream holds 64 bytes");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_that_nobody_asked_for_ends_the_connection_and_no_caller_sees_it() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(only("GET", |call| match call.nth {
            0 => Answer::Reply(b"$1\r\nx\r\n$5\r\nextra\r\n".to_vec()),
            _ => Answer::Usual,
        }));
        let client = connect(&cluster).await;
        assert_eq!(client.get::<String>("k").await.unwrap(), "x");
        assert_eq!(client.get::<String>("mine").await.unwrap(), "mine");
        assert_eq!(a.connections(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn garbage_ends_the_connection_and_is_told_unless_the_command_may_be_repeated() {
        for garbage in ["HTTP/1.1 400 Bad Request\r\n", "$x\r\n", "*-5\r\n", "$3\r\nabcdef\r\n", ":1x\r\n"] {
            let (cluster, a) = FakeCluster::of_one();
            let reply = move |call: &Call| {
                if call.nth == 0 { Answer::Reply(garbage.as_bytes().to_vec()) } else { Answer::Usual }
            };
            a.answers(move |call| match call.name().as_str() {
                "GET" | "INCR" => reply(call),
                _ => Answer::Usual,
            });
            let client = connect(&cluster).await;
            let error = client.incr("n").await.unwrap_err();
            assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{garbage:?}");
            assert_eq!(client.get::<String>("k").await.unwrap(), "k");
            assert_eq!((a.count("INCR"), a.count("GET"), a.connections()), (1, 2, 3));
            closes_at_once(&client).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_resp_has_the_kind_that_says_so() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(only("INCR", |_| Answer::Reply(b"HTTP/1.1 400 Bad Request\r\n".to_vec())));
        let client = connect(&cluster).await;
        assert_eq!(client.incr("n").await.unwrap_err().kind(), ErrorKind::Protocol);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_above_the_limit_ends_its_connection() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(only("INCR", |_| Answer::Reply(b"$99999999\r\n".to_vec())));
        let client = cluster.builder().max_reply(1 << 20).connect().await.unwrap();
        let error = client.incr("n").await.unwrap_err();
        assert!(error.to_string().contains("larger than the limit"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn push_messages_are_no_replies() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(only("GET", |_| {
            Answer::Reply(
                b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n|1\r\n+ttl\r\n:5\r\n$1\r\nv\r\n>1\r\n+x\r\n"
                    .to_vec(),
            )
        }));
        let client = connect(&cluster).await;
        for _ in 0..3 {
            assert_eq!(client.get::<String>("k").await.unwrap(), "v");
        }
        assert_eq!(a.connections(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_split_read_survives_the_loss_of_one_part_and_a_split_write_tells_of_it() {
        let (cluster, a, b) = FakeCluster::of_two();
        b.answers(|call| match call.name().as_str() {
            "MGET" if call.nth == 0 => Answer::Close(Vec::new()),
            "MSET" => Answer::Reply(error("OOM command not allowed when used memory > 'maxmemory'.")),
            _ => Answer::Usual,
        });
        let client = connect(&cluster).await;
        let values: Vec<String> = client.mget(["foo", "bar", "{foo}2"]).await.unwrap();
        assert_eq!(values, ["foo", "bar", "{foo}2"]);
        assert_eq!((a.count("MGET"), b.count("MGET")), (1, 2));
        let error = client.mset([("foo", 1), ("bar", 2)]).await.unwrap_err();
        assert_eq!((error.outcome(), error.code()), (Outcome::MaybeExecuted, Some("OOM")));
        assert!(error.to_string().contains("1 of its 2 parts failed"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_split_write_of_which_no_part_was_taken_is_rejected() {
        let (cluster, a, b) = FakeCluster::of_two();
        a.answers(first("MSET", error("OOM a")));
        b.answers(first("MSET", error("OOM b")));
        let client = connect(&cluster).await;
        let error = client.mset([("foo", 1), ("bar", 2)]).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Rejected);
    }
}

mod deadlines {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_ends_at_the_deadline_and_the_late_reply_is_swallowed() {
        let (cluster, a) = FakeCluster::of_one();
        let client = cluster.builder().command_timeout(200 * MS).connect().await.unwrap();
        a.answers(only("INCR", |_| Answer::Late(500 * MS, int(1))));
        let start = Instant::now();
        let error = client.incr("n").await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::MaybeExecuted));
        assert!((200..210).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
        let mine: String = client.get("mine").timeout(Duration::from_secs(5)).await.unwrap();
        assert_eq!((mine.as_str(), a.connections(), a.count("INCR")), ("mine", 1, 1));
        closes_at_once(&client).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_stays_silent_is_given_up_and_the_next_one_serves() {
        let (cluster, a) = FakeCluster::of_one();
        let client = cluster.builder().command_timeout(3000 * MS).connect().await.unwrap();
        a.answers(only(
            "INCR",
            |call| if call.nth == 0 { Answer::Hold(int(1)) } else { Answer::Reply(int(2)) },
        ));
        let error = client.incr("n").await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::MaybeExecuted);
        sleep(MS).await;
        a.open_gate();
        assert_eq!(client.incr("n").await.unwrap(), 2);
        closes_at_once(&client).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_of_a_command_holds_behind_one_that_may_take_longer() {
        let (cluster, a) = FakeCluster::of_one();
        let client = cluster.builder().command_timeout(200 * MS).connect().await.unwrap();
        a.shut_gate();
        let mut patient = client.get::<Value>("slow").timeout(Duration::from_secs(60));
        assert!((&mut patient).now_or_never().is_none());
        let start = Instant::now();
        let error = client.get::<Value>("quick").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(start.elapsed() <= 250 * MS, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_comes_long_after_the_last_command_is_not_late() {
        let (cluster, a) = FakeCluster::of_one();
        let client = cluster.builder().command_timeout(70 * MS).connect().await.unwrap();
        for pause in [1, 30, 69, 110, 333, 1777] {
            a.open_gate();
            client.get::<Value>("k").timeout(Duration::from_secs(100)).await.unwrap();
            sleep(pause * MS).await;
            a.shut_gate();
            let start = Instant::now();
            client.get::<Value>("k").await.unwrap_err();
            assert!((70..100).contains(&start.elapsed().as_millis()), "{pause}: {:?}", start.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipeline_keeps_the_replies_that_came_before_its_deadline() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(only("GET", |call| {
            if call.word(1) == "silent" { Answer::Hold(bulk("late")) } else { Answer::Usual }
        }));
        let client = cluster.builder().command_timeout(200 * MS).connect().await.unwrap();
        for _ in 0..20 {
            let mut pipe = client.pipeline();
            pipe.get("answered").get("silent").timeout(200 * MS);
            let results = pipe.run_each().await.unwrap();
            assert_eq!(results[0].as_ref().unwrap(), &text("answered"));
            assert_eq!(results[1].as_ref().unwrap_err().kind(), ErrorKind::Timeout);
            a.open_gate();
            sleep(MS).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_never_left_says_so_when_its_time_is_over() {
        let (cluster, _a, b) = FakeCluster::of_two();
        b.holds(500);
        let client = cluster.builder().command_timeout(200 * MS).connect().await.unwrap();
        client.get::<Value>("foo").await.unwrap();
        b.shut_gate();
        let mut begun = client.append("foo", vec![b'x'; 5000]);
        assert!((&mut begun).now_or_never().is_none());
        sleep(MS).await;
        let behind = client.incr("foo");
        let (behind, with_timeout, begun) = tokio::join!(behind, client.incr("foo").timeout(150 * MS), begun);
        assert_eq!(behind.unwrap_err().outcome(), Outcome::NotSent);
        assert_eq!(with_timeout.unwrap_err().outcome(), Outcome::NotSent);
        b.open_gate();
        sleep(MS).await;
        assert_eq!(b.count("INCR"), 0);
        // What was begun has to be finished, so it is executed after its deadline.
        assert_eq!((b.count("APPEND"), begun.unwrap_err().outcome()), (1, Outcome::MaybeExecuted));
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_pipeline_that_expires_half_written_nothing_is_called_unsent_and_sent_later() {
        let (cluster, _a, b) = FakeCluster::of_two();
        b.holds(500);
        let client = cluster.builder().command_timeout(200 * MS).connect().await.unwrap();
        client.get::<Value>("foo").await.unwrap();
        b.shut_gate();
        let mut pipe = client.pipeline();
        for number in 0..50 {
            pipe.append("foo", number);
        }
        let results = pipe.run_each().await.unwrap();
        b.open_gate();
        sleep(MS).await;
        let executed: Vec<String> = b.calls().iter().skip(1).map(|call| call.word(2)).collect();
        for (number, result) in results.iter().enumerate() {
            let outcome = result.as_ref().unwrap_err().outcome();
            let ran = executed.contains(&number.to_string());
            assert!(!ran || outcome == Outcome::MaybeExecuted, "{number} ran and was told as {outcome:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_node_does_not_hold_up_a_redirect_of_another_nodes_part() {
        let (cluster, a, b) = FakeCluster::of_two();
        let c = cluster.node("c", 3);
        let client = cluster.builder().command_timeout(2000 * MS).connect().await.unwrap();
        let to_c = redirect("MOVED", "foo", &c);
        b.answers(only("GET", move |_| Answer::Reply(to_c.clone())));
        a.shut_gate();
        let mut pipe = client.pipeline();
        pipe.get("bar").get("foo");
        let results = pipe.run_each().await.unwrap();
        assert_eq!(results[0].as_ref().unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(results[1].as_ref().unwrap(), &text("foo"), "c answers at once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connect_that_hangs_ends_with_the_connect_timeout() {
        let (cluster, a, b) = FakeCluster::of_two();
        a.hangs();
        let start = Instant::now();
        let error = cluster.builder().connect_timeout(700 * MS).connect().await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Connect, Outcome::NotSent));
        assert!((700..800).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
        a.accepts();
        b.hangs();
        let client = cluster.builder().connect_timeout(700 * MS).connect().await.unwrap();
        let (start, dead) = (Instant::now(), client.incr("foo"));
        let healthy = async {
            for _ in 0..50 {
                let start = Instant::now();
                client.get::<Value>("bar").await.unwrap();
                assert!(start.elapsed() < 5 * MS, "the other shard suffers: {:?}", start.elapsed());
                sleep(100 * MS).await;
            }
        };
        let (dead, ()) = tokio::join!(dead, healthy);
        let error = dead.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Connect, Outcome::NotSent), "{error}");
        assert!(start.elapsed() <= Duration::from_millis(10_100), "{:?}", start.elapsed());
        closes_at_once(&client).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_is_never_answered_ends_with_the_connect_timeout() {
        let (cluster, a) = FakeCluster::of_one();
        a.shut_gate();
        let start = Instant::now();
        let error = cluster.builder().connect_timeout(700 * MS).connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert!((700..800).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    }
}

mod redirects {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn fifty_concurrent_moved_replies_cause_one_refresh() {
        let (cluster, a) = FakeCluster::of_one();
        let b = cluster.node("b", 2);
        let client = connect(&cluster).await;
        let to_b = b.clone();
        a.answers(only("GET", move |call| Answer::Reply(redirect("MOVED", &call.word(1), &to_b))));
        cluster.view(2, &[(0, 16383, &b)]);
        let keys: Vec<String> = (0..50).map(|number| format!("k{number}")).collect();
        let asked_before = cluster.refreshes();
        for (key, value) in keys.iter().zip(join_all(keys.iter().map(|key| client.get::<String>(key))).await)
        {
            assert_eq!(&value.unwrap(), key);
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(client.stats().refreshes, 1);
        assert!(cluster.refreshes() - asked_before <= 2, "each node at most once");
        sleep(Duration::from_secs(5)).await;
        assert_eq!(client.stats().refreshes, 2, "one more look after the change");
        assert_eq!((client.stats().moved, a.count("GET")), (50, 50));
        assert_eq!(client.slot_map().shards().count(), 1);
        join_all(keys.iter().map(|key| client.get::<String>(key))).await;
        assert_eq!((a.count("GET"), b.count("GET"), b.connections()), (50, 100, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_moved_slot_is_repointed_before_the_refresh_and_survives_an_older_view() {
        let (cluster, a, b) = FakeCluster::of_two();
        let client = connect(&cluster).await;
        let to_b = b.clone();
        a.answers(only("GET", move |call| Answer::Reply(redirect("MOVED", &call.word(1), &to_b))));
        for _ in 0..10 {
            assert_eq!(client.get::<String>("bar").await.unwrap(), "bar");
            // The nodes' views do not know of the move yet, and their epoch is the same.
            sleep(100 * MS).await;
        }
        assert_eq!((a.count("GET"), b.count("GET")), (1, 10));
        assert_eq!(client.stats().redirected_to.get(b.addr()), Some(&1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_moved_reply_of_a_node_that_knows_less_than_the_map_does_not_change_it() {
        let (cluster, a, b) = FakeCluster::of_two();
        let gone = cluster.node("gone", 3);
        gone.refuses();
        let client = connect(&cluster).await;
        a.answers(only("GET", move |call| {
            let moved = redirect("MOVED", &call.word(1), &gone);
            if call.nth == 0 { Answer::Hold(moved) } else { Answer::Reply(moved) }
        }));
        let owner = || client.slot_map().primary_of(keyslot::Slot::of_key(b"bar")).unwrap().addr.clone();

        assert_eq!(client.get::<String>("foo").await.unwrap(), "foo");

        // It was asked by a map that a newer one has replaced by the time it answers.
        let asked = client.get::<String>("bar");
        let meanwhile = async {
            a.until("GET", 1).await;
            cluster.view(2, &[(0, 5000, &a), (5001, 16383, &b)]);
            b.cut();
            sleep(200 * MS).await;
            assert_eq!(&owner(), b.addr());
            a.open_gate();
            Instant::now()
        };
        let (got, opened) = tokio::join!(soon(asked), meanwhile);
        assert_eq!(got.unwrap(), "bar");
        assert!(opened.elapsed() < 5 * MS, "{:?}", opened.elapsed());

        // It was asked by name.
        let by_name = Command::new("GET").key("bar").to(Target::Node(a.addr().clone()));
        assert_eq!(client.execute::<String>(by_name).await.unwrap(), "bar");
        assert_eq!(client.get::<String>("bar").await.unwrap(), "bar");
        assert!(opened.elapsed() < 5 * MS, "{:?}", opened.elapsed());
        assert_eq!((&owner(), a.count("GET"), b.count("GET")), (b.addr(), 2, 4));
        assert_eq!(client.stats().moved, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_moved_reply_without_a_host_means_the_node_that_sent_it() {
        let (cluster, a) = FakeCluster::of_one();
        let other = cluster.node("a", 2);
        let slot = keyslot::Slot::of_key(b"k");
        a.answers(first("GET", error(&format!("MOVED {slot} :2"))));
        let client = connect(&cluster).await;
        assert_eq!(client.get::<String>("k").await.unwrap(), "k");
        assert_eq!(other.count("GET"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_that_send_a_command_round_and_round_are_told_with_the_whole_way() {
        for kind in ["MOVED", "ASK"] {
            let (cluster, a, b) = FakeCluster::of_two();
            let (to_a, to_b) = (redirect(kind, "foo", &a), redirect(kind, "foo", &b));
            a.answers(only("INCR", move |_| Answer::Reply(to_b.clone())));
            b.answers(only("INCR", move |_| Answer::Reply(to_a.clone())));
            let client = cluster.builder().max_redirects(5).connect().await.unwrap();
            let error = client.incr("foo").await.unwrap_err();
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Redirects, Outcome::Rejected), "{kind}");
            assert!((5..=6).contains(&error.trail().len()), "{kind}: {error}");
            assert!(error.to_string().contains("b:2"), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_moment_mends_is_waited_out() {
        for refusal in [
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "CLUSTERDOWN The cluster is down",
            "CLUSTERDOWN Hash slot not served",
            "LOADING Redis is loading the dataset in memory",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "READONLY You can't write against a read only replica.",
            "MOVED 7629 ?:7000",
            "MOVED 7629 :0",
        ] {
            let (cluster, a) = FakeCluster::of_one();
            a.answers(only("INCR", move |call| {
                if call.nth < 12 { Answer::Reply(error(refusal)) } else { Answer::Reply(int(1)) }
            }));
            let client = connect(&cluster).await;
            assert_eq!(client.incr("k").await.unwrap(), 1, "{refusal}");
            assert_eq!((a.count("INCR"), client.stats().retries), (13, 12), "{refusal}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_mends_is_told_at_the_deadline_with_the_servers_words() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(only("INCR", |_| Answer::Reply(error("CLUSTERDOWN The cluster is down"))));
        let client = cluster.builder().command_timeout(2000 * MS).connect().await.unwrap();
        let start = Instant::now();
        let error = client.incr("k").await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotSent));
        assert!(error.to_string().contains("CLUSTERDOWN The cluster is down"), "{error}");
        assert!((2000..2100).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
        let asked = a.count("INCR");
        assert!((15..60).contains(&asked), "{asked} attempts in two seconds");
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_of_the_data_is_told_at_once() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(first("INCR", error("WRONGTYPE Operation against a key holding the wrong kind of value")));
        let client = connect(&cluster).await;
        let error = client.incr("k").await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Server, Outcome::Rejected));
        assert_eq!((error.code(), a.count("INCR")), (Some("WRONGTYPE"), 1));
    }
}

mod transactions {
    use super::*;

    fn queued(replies: &'static [&'static str], exec: &'static str) -> impl FnMut(&Call) -> Answer + Send {
        let mut place = 0;
        move |call| match call.name().as_str() {
            "MULTI" => {
                place = 0;
                Answer::Reply(b"+OK\r\n".to_vec())
            }
            "EXEC" => Answer::Reply(exec.replace('|', "\r\n").into_bytes()),
            "INCR" | "SET" | "GET" => {
                place += 1;
                Answer::Reply(format!("{}\r\n", replies.get(place - 1).unwrap_or(&"+QUEUED")).into_bytes())
            }
            _ => Answer::Usual,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_is_one_unit_on_the_wire() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(queued(&[], "*2|:1|+OK|"));
        let client = connect(&cluster).await;
        let tasks = (0..50).map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut tx = client.transaction();
                tx.incr("k").set("k", "v");
                let (number, ()): (i64, ()) = tx.run().await.unwrap();
                assert_eq!(number, 1);
                client.execute::<Value>(Command::new("STRLEN").key("k")).await.unwrap();
            })
        });
        for task in join_all(tasks).await {
            task.unwrap();
        }
        let names: Vec<String> = a.calls().iter().map(Call::name).collect();
        for (place, name) in names.iter().enumerate() {
            if name == "MULTI" {
                assert_eq!(names[place..place + 4], ["MULTI", "INCR", "SET", "EXEC"]);
            }
        }
        assert_eq!(a.count("EXEC"), 50);
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_that_was_aborted_names_the_command_that_was_not_queued() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(queued(
            &["+QUEUED", "-ERR wrong number of arguments for 'set' command"],
            "-EXECABORT Transaction discarded because of previous errors.|",
        ));
        let client = connect(&cluster).await;
        let mut tx = client.transaction();
        tx.incr("k").set("k", "v");
        let error = tx.run::<Value>().await.unwrap_err();
        assert!(error.to_string().contains("wrong number of arguments for 'set'"), "{error}");
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Server, Outcome::Rejected));
        assert_eq!(a.count("EXEC"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_abort_for_a_reason_of_its_own_is_told_in_the_servers_words() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(queued(&[], "-EXECABORT Transaction discarded because of: BUSY Redis is busy|"));
        let client = connect(&cluster).await;
        let mut tx = client.transaction();
        tx.incr("k");
        let error = tx.run::<Value>().await.unwrap_err();
        assert_eq!((error.code(), error.outcome()), (Some("EXECABORT"), Outcome::Rejected));
    }

    #[tokio::test(start_paused = true)]
    async fn an_ask_while_queueing_sends_the_whole_once_more_behind_one_asking() {
        for at_exec in [false, true] {
            let (cluster, a, b) = FakeCluster::of_two();
            let slot = keyslot::Slot::of_key(b"bar");
            a.answers(move |call| match call.name().as_str() {
                "INCR" if !at_exec => Answer::Reply(error(&format!("ASK {slot} b:2"))),
                "INCR" => Answer::Reply(b"+QUEUED\r\n".to_vec()),
                "EXEC" if at_exec => Answer::Reply(error(&format!("ASK {slot} b:2"))),
                "EXEC" => Answer::Reply(error("EXECABORT Transaction discarded because of previous errors.")),
                _ => Answer::Usual,
            });
            b.answers(queued(&[], "*1|:5|"));
            let client = connect(&cluster).await;
            let mut tx = client.transaction();
            tx.incr("bar");
            assert_eq!(tx.run::<(i64,)>().await.unwrap(), (5,));
            let lines = b.lines();
            assert_eq!(lines[..4], ["ASKING", "MULTI", "INCR bar", "EXEC"]);
            assert!(lines.len() == 5 && lines[4].starts_with("ECHO "), "{lines:?}");
            assert_eq!(a.lines(), ["MULTI", "INCR bar", "EXEC"]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_moved_transaction_is_sent_to_the_new_owner_as_a_whole() {
        for at_exec in [false, true] {
            let (cluster, a, b) = FakeCluster::of_two();
            let slot = keyslot::Slot::of_key(b"bar");
            a.answers(move |call| match call.name().as_str() {
                "INCR" if !at_exec => Answer::Reply(error(&format!("MOVED {slot} b:2"))),
                "INCR" => Answer::Reply(b"+QUEUED\r\n".to_vec()),
                "EXEC" if at_exec => Answer::Reply(error(&format!("MOVED {slot} b:2"))),
                "EXEC" => Answer::Reply(error("EXECABORT Transaction discarded because of previous errors.")),
                _ => Answer::Usual,
            });
            b.answers(queued(&[], "*1|:5|"));
            let client = connect(&cluster).await;
            let mut tx = client.transaction();
            tx.incr("bar");
            assert_eq!(tx.run::<(i64,)>().await.unwrap(), (5,));
            assert_eq!(b.lines(), ["MULTI", "INCR bar", "EXEC"]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_exec_that_is_to_be_tried_again_is_tried_as_a_whole() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(|call| match call.name().as_str() {
            "EXEC" if call.nth < 3 => Answer::Reply(error("TRYAGAIN Multiple keys request during rehashing")),
            "EXEC" => Answer::Reply(array([int(9)])),
            "INCR" => Answer::Reply(b"+QUEUED\r\n".to_vec()),
            _ => Answer::Usual,
        });
        let client = connect(&cluster).await;
        let mut tx = client.transaction();
        tx.incr("k");
        assert_eq!(tx.run::<(i64,)>().await.unwrap(), (9,));
        assert_eq!((a.count("MULTI"), a.count("INCR"), a.count("EXEC")), (4, 4, 4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_whose_multi_was_refused_is_not_called_rejected() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(|call| match call.name().as_str() {
            "MULTI" => Answer::Reply(error("NOPERM User u has no permissions to run the 'multi' command")),
            "EXEC" => Answer::Reply(error("ERR EXEC without MULTI")),
            _ => Answer::Usual,
        });
        let client = connect(&cluster).await;
        let mut tx = client.transaction();
        tx.incr("k");
        let error = tx.run::<Value>().await.unwrap_err();
        let executed = a.count("INCR") > 0;
        assert!(!executed || error.outcome() == Outcome::MaybeExecuted, "the server has run INCR: {error}");
        assert!(error.to_string().contains("NOPERM"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_exec_was_refused_serves_nobody_any_more() {
        // A user who may run MULTI and not EXEC: the connection stays in MULTI, and queues what others send.
        let (cluster, a) = FakeCluster::of_one();
        let mut queueing = Vec::new();
        a.answers(move |call| match call.name().as_str() {
            "MULTI" => {
                queueing.push(call.connection);
                Answer::Usual
            }
            "EXEC" => Answer::Reply(error("NOPERM User u has no permissions to run the 'exec' command")),
            _ if queueing.contains(&call.connection) => Answer::Reply(b"+QUEUED\r\n".to_vec()),
            _ => Answer::Usual,
        });
        let client = connect(&cluster).await;
        let mut tx = client.transaction();
        tx.incr("k");
        tx.run::<Value>().await.unwrap_err();
        assert_eq!(client.get::<String>("mine").await.unwrap(), "mine");
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_whose_connection_dies_is_repeated_only_if_all_of_it_may_be() {
        for (name, repeats) in [("SET", true), ("INCR", false)] {
            let (cluster, a) = FakeCluster::of_one();
            a.answers(|call| match call.name().as_str() {
                "EXEC" if call.nth == 0 => Answer::Close(Vec::new()),
                "EXEC" => Answer::Reply(array([b"+OK\r\n".to_vec()])),
                "SET" | "INCR" => Answer::Reply(b"+QUEUED\r\n".to_vec()),
                _ => Answer::Usual,
            });
            let client = connect(&cluster).await;
            let mut tx = client.transaction();
            match name {
                "SET" => tx.set("k", "v"),
                _ => tx.incr("k"),
            };
            let result = tx.run::<Value>().await;
            assert_eq!(a.count("MULTI"), if repeats { 2 } else { 1 });
            match result {
                Ok(_) => assert!(repeats),
                Err(error) => assert!(!repeats && error.outcome() == Outcome::MaybeExecuted),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keys_of_two_slots_are_refused_before_anything_is_sent() {
        let (cluster, a, b) = FakeCluster::of_two();
        let client = connect(&cluster).await;
        let mut tx = client.transaction();
        tx.incr("foo").incr("bar");
        let error = tx.run::<Value>().await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::CrossSlot, Outcome::Rejected));
        assert_eq!((a.calls().len(), b.calls().len()), (0, 0));
    }
}

mod handshake {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_without_hello_is_spoken_to_in_resp2_with_auth() {
        for refusal in [
            "ERR unknown command `HELLO`, with args beginning with: `3`, ",
            "NOPROTO unsupported protocol version",
            "NOPERM this user has no permissions to run the 'hello' command",
        ] {
            let (cluster, a) = FakeCluster::of_one();
            a.answers(only("HELLO", move |_| Answer::Reply(error(refusal))));
            let client =
                cluster.builder().credentials("ann", "s3cret").client_name("me").connect().await.unwrap();
            assert_eq!(client.get::<String>("k").await.unwrap(), "k");
            assert_eq!((a.count("AUTH"), a.count("CLIENT SETNAME"), a.connections()), (1, 1, 1), "{refusal}");
            let bytes = String::from_utf8(a.bytes(0)).unwrap();
            assert!(bytes.contains("$4\r\nAUTH\r\n$3\r\nann\r\n$6\r\ns3cret\r\n"), "{bytes}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_credentials_are_an_auth_error_that_does_not_show_them() {
        for (name, refusal) in [
            ("HELLO", "WRONGPASS invalid username-password pair or user is disabled."),
            ("HELLO", "NOAUTH HELLO must be called with the client already authenticated"),
            ("AUTH", "WRONGPASS invalid username-password pair or user is disabled."),
        ] {
            let (cluster, a) = FakeCluster::of_one();
            a.answers(move |call| match call.name().as_str() {
                called if called == name => Answer::Reply(error(refusal)),
                "HELLO" => Answer::Reply(error("ERR unknown command 'HELLO'")),
                _ => Answer::Usual,
            });
            let error = cluster.builder().credentials("ann", "s3cret").connect().await.unwrap_err();
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Auth, Outcome::NotSent));
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("s3cret") && shown.contains(&refusal[..6]), "{shown}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_server_repeats_of_the_credentials_is_not_shown() {
        let long = "s3cret".repeat(40);
        let quoted: String = long.chars().take(100).collect();
        for (name, refusal, password, kept) in [
            (
                "AUTH",
                "ERR unknown command 'AUTH', with args beginning with: 'ann' 's3cret' ",
                "s3cret",
                "unknown command",
            ),
            (
                "AUTH",
                &format!("ERR unknown command 'AUTH', with args beginning with: 'ann' '{quoted}"),
                &long,
                "unknown",
            ),
            ("AUTH", "ERR no such login: ann s3cret", "s3cret", "is left out"),
            ("AUTH", "s3cret is not good", "s3cret", "is left out"),
            ("HELLO", "ERR bad AUTH s3cret", "s3cret", "is left out"),
            (
                "AUTH",
                "WRONGPASS invalid username-password pair",
                "password",
                "invalid username-password pair",
            ),
            ("AUTH", "ERR Client sent AUTH, but no password is set", "", "no password is set"),
        ] {
            let refuses_hello = name == "HELLO";
            let refusal = refusal.to_owned();
            let told: Arc<str> = refusal.as_str().into();
            let (cluster, a) = FakeCluster::of_one();
            a.answers(move |call| match call.name().as_str() {
                "HELLO" if refuses_hello => Answer::Reply(error(&told)),
                "HELLO" => Answer::Reply(error("ERR unknown command 'HELLO'")),
                "AUTH" => Answer::Reply(error(&told)),
                _ => Answer::Usual,
            });
            let error = cluster.builder().credentials("ann", password).connect().await.unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("s3c") && shown.contains(kept), "{refusal}: {shown}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn optional_parts_may_be_refused() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(|call| match call.word(0).as_str() {
            "CLIENT" => Answer::Reply(error("ERR unknown subcommand 'SETINFO'. Try CLIENT HELP.")),
            _ => Answer::Usual,
        });
        assert_eq!(connect(&cluster).await.get::<String>("k").await.unwrap(), "k");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_at_its_limit_of_clients_is_quoted() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(only("HELLO", |_| {
            Answer::Close(error("ERR max number of clients + cluster connections reached"))
        }));
        let error = cluster.builder().connect().await.unwrap_err();
        assert!(error.to_string().contains("max number of clients"), "{error}");
        assert_eq!(error.kind(), ErrorKind::Connect);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lone_server_is_a_cluster_of_one_node_and_one_without_slots_is_none() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(only("CLUSTER SLOTS", |_| {
            Answer::Reply(error("ERR This instance has cluster support disabled"))
        }));
        let client = connect(&cluster).await;
        assert_eq!(client.slot_map().assigned_slots(), 16384);
        assert_eq!(client.mget::<Vec<String>>(["a", "b"]).await.unwrap(), ["a", "b"]);
        a.answers(only("CLUSTER SLOTS", |_| Answer::Reply(array([]))));
        let error = cluster.builder().connect().await.unwrap_err();
        assert!(error.to_string().contains("knows no slots"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_seed_that_answers_is_enough_and_the_others_cost_nothing() {
        let (cluster, a) = FakeCluster::of_one();
        let (dead, deaf) = (cluster.node("dead", 1), cluster.node("deaf", 1));
        dead.refuses();
        deaf.hangs();
        let start = Instant::now();
        let client = keyslot::ClientBuilder::new()
            .seed(deaf.addr().clone())
            .seed(dead.addr().clone())
            .seed(a.addr().clone())
            .connector(cluster.clone())
            .connect()
            .await
            .unwrap();
        assert!(start.elapsed() < 5 * MS);
        client.set("k", "v").await.unwrap();
    }
}

mod topology {
    use super::*;

    fn owner(client: &Client, key: &str) -> String {
        client.slot_map().primary_of(keyslot::Slot::of_key(key.as_bytes())).unwrap().addr.to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn a_view_of_a_lower_epoch_is_not_believed_and_one_of_a_higher_is() {
        let (cluster, a) = FakeCluster::of_one();
        let b = cluster.node("b", 2);
        cluster.view(7, &[(0, 16383, &a)]);
        let client = connect(&cluster).await;
        cluster.view(6, &[(0, 16383, &b)]);
        a.cut();
        client.get::<Value>("k").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert!(client.stats().refreshes >= 1);
        assert_eq!(owner(&client, "k"), "a:1");
        cluster.view(8, &[(0, 16000, &b), (16001, 16383, &a)]);
        a.cut();
        client.get::<Value>("k").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(owner(&client, "k"), "b:2");
    }

    #[tokio::test(start_paused = true)]
    async fn one_stale_node_is_outvoted_by_the_epoch_of_another() {
        let cluster = FakeCluster::new();
        let (a, b, c) = (cluster.node("a", 1), cluster.node("b", 2), cluster.node("c", 3));
        cluster.view(1, &[(0, 5000, &a), (5001, 10000, &b), (10001, 16383, &c)]);
        let client = connect(&cluster).await;
        // a took b's slots over; c has not heard of it.
        let new = fake_node::slots(&[(0, 10000, &a), (10001, 16383, &c)]);
        for node in [&a, &b] {
            let new = new.clone();
            node.answers(move |call| match call.name().as_str() {
                "CLUSTER SLOTS" => Answer::Reply(new.clone()),
                "CLUSTER INFO" => Answer::Reply(bulk("cluster_current_epoch:2\r\n")),
                _ => Answer::Usual,
            });
        }
        client.ping().await.unwrap();
        for _ in 0..10 {
            c.cut();
            sleep(300 * MS).await;
        }
        assert_eq!(client.slot_map().shards().count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_that_was_made_anew_behind_the_seed_is_found_though_its_epoch_is_lower() {
        let cluster = FakeCluster::new();
        let (_seed, old, new) = (cluster.node("seed", 1), cluster.node("old", 2), cluster.node("new", 3));
        cluster.view(50, &[(0, 16383, &old)]);
        let client = connect(&cluster).await;
        client.set("k", "v").await.unwrap();
        old.refuses();
        old.cut();
        cluster.view(3, &[(0, 16383, &new)]);
        client.set("k", "v").await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_primary_is_replaced_by_the_refresh_that_its_loss_causes() {
        let (cluster, a, b) = FakeCluster::of_two();
        let c = cluster.node("c", 3);
        let client = connect(&cluster).await;
        client.set("foo", "v").await.unwrap();
        b.refuses();
        b.cut();
        cluster.view(2, &[(0, 8191, &a), (8192, 16383, &c)]);
        let start = Instant::now();
        client.set("foo", "v").await.unwrap();
        assert!(start.elapsed() < 200 * MS, "{:?}", start.elapsed());
        assert_eq!(c.count("SET"), 1);
        assert_eq!(owner(&client, "foo"), "c:3");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_node_was_sent_before_a_view_left_it_out_for_a_moment_is_still_answered() {
        let (cluster, a, b) = FakeCluster::of_two();
        b.answers(only("BLPOP", |_| Answer::Late(5000 * MS, array([bulk("foo"), bulk("x")]))));
        let client = cluster.builder().refresh_interval(100 * MS).connect().await.unwrap();
        let popping = client.execute::<(String, String)>(Command::new("BLPOP").key("foo").arg(0));
        let views = async {
            b.until("BLPOP", 1).await;
            cluster.view(1, &[(0, 16383, &a)]);
            sleep(500 * MS).await;
            assert_eq!(owner(&client, "foo"), "a:1");
            cluster.view(1, &[(0, 8191, &a), (8192, 16383, &b)]);
            sleep(500 * MS).await;
            assert_eq!(owner(&client, "foo"), "b:2");
        };
        let (popped, ()) = tokio::join!(popping, views);
        assert_eq!(popped.unwrap(), ("foo".to_owned(), "x".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_is_not_sent_on_a_connection_whose_node_was_given_up_while_it_was_made() {
        let (cluster, a, b) = FakeCluster::of_two();
        let client = cluster.builder().refresh_interval(100 * MS).connect().await.unwrap();
        client.set("foo", "v").await.unwrap();
        // The next connections of this node take their time.
        b.answers(only("HELLO", |_| {
            Answer::Late(500 * MS, b"%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n".to_vec())
        }));
        a.answers(only("BLPOP", |_| Answer::Reply(array([bulk("foo"), bulk("x")]))));
        let (greeted, popping) =
            (b.count("HELLO"), client.execute::<(String, String)>(Command::new("BLPOP").key("foo").arg(0)));
        let view = async {
            b.until("HELLO", greeted + 1).await;
            cluster.view(1, &[(0, 16383, &a)]);
        };
        let (popped, ()) = soon(async { tokio::join!(popping, view) }).await;
        assert_eq!(popped.unwrap(), ("foo".to_owned(), "x".to_owned()));
        assert_eq!((a.count("BLPOP"), b.count("BLPOP")), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_to_every_primary_finds_the_one_that_was_promoted_meanwhile() {
        let (cluster, a, b) = FakeCluster::of_two();
        let c = cluster.node("c", 3);
        for node in [&a, &c] {
            node.answers(only("DBSIZE", |_| Answer::Reply(int(3))));
        }
        let client = connect(&cluster).await;
        client.set("foo", "v").await.unwrap();
        b.refuses();
        b.cut();
        cluster.view(2, &[(0, 8191, &a), (8192, 16383, &c)]);
        assert_eq!(client.dbsize().await.unwrap(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn replies_of_all_primaries_are_put_together() {
        let (cluster, a, b) = FakeCluster::of_two();
        a.answers(only("DBSIZE", |_| Answer::Reply(int(3))));
        b.answers(only("DBSIZE", |_| Answer::Reply(int(4))));
        let client = connect(&cluster).await;
        client.ping().await.unwrap();
        assert_eq!((a.count("PING"), b.count("PING")), (1, 1));
        assert_eq!(client.dbsize().await.unwrap(), 7);
        for node in [&a, &b] {
            node.answers(only("INFO", |_| Answer::Reply(bulk("role:master"))));
        }
        let told: Value = client.execute(Command::new("INFO").to(Target::AllPrimaries)).await.unwrap();
        let Value::Map(pairs) = told else { panic!("{told:?}") };
        let mut nodes: Vec<_> = pairs.iter().filter_map(|(node, _)| node.as_str()).collect();
        nodes.sort_unstable();
        assert_eq!(nodes, ["a:1", "b:2"]);
        b.answers(only("PING", |_| Answer::Reply(error("MISCONF no disk"))));
        let error = client.ping().await.unwrap_err();
        assert!(error.to_string().contains("1 of its 2 parts failed"), "{error}");
        assert_eq!(error.code(), Some("MISCONF"));
    }
}

mod closing {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_is_finished_and_what_comes_later_refused() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(only("INCR", |_| Answer::Late(300 * MS, int(1))));
        let client = connect(&cluster).await;
        let under_way = tokio::spawn({
            let client = client.clone();
            async move { client.incr("n").await }
        });
        a.until("INCR", 1).await;
        client.close().await;
        assert_eq!(under_way.await.unwrap().unwrap(), 1);
        let error = client.incr("n").await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Closed, Outcome::NotSent));
        assert_eq!(client.pipeline().run_each().await.unwrap_err().kind(), ErrorKind::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_finish_within_the_limit_gets_its_true_outcome() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(only("INCR", |_| Answer::Hold(int(1))));
        let client = connect(&cluster).await;
        let under_way = tokio::spawn({
            let client = client.clone();
            async move { client.incr("n").await }
        });
        a.until("INCR", 1).await;
        client.close_within(50 * MS).await;
        let error = soon(under_way).await.unwrap().unwrap_err();
        assert_eq!(error.outcome(), Outcome::MaybeExecuted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_client_makes_no_connection_any_more() {
        let (cluster, a, b) = FakeCluster::of_two();
        let client = connect(&cluster).await;
        a.answers(only("DBSIZE", |_| Answer::Hold(int(1))));
        b.answers(only("DBSIZE", |_| Answer::Hold(int(1))));
        let counting = tokio::spawn({
            let client = client.clone();
            async move { client.dbsize().await }
        });
        b.until("DBSIZE", 1).await;
        client.close_within(10 * MS).await;
        let connections = (a.connections(), b.connections());
        let start = Instant::now();
        let error = counting.await.unwrap().unwrap_err();
        assert_eq!((a.connections(), b.connections()), connections);
        assert!(start.elapsed() < 500 * MS, "{:?}: {error}", start.elapsed());
    }
}

mod lifetimes {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    }

    #[test]
    fn a_client_whose_runtime_has_ended_fails_instead_of_waiting_for_ever() {
        let first = runtime();
        let client = first.block_on(async {
            let (cluster, _a) = FakeCluster::of_one();
            let client = connect(&cluster).await;
            client.set("k", "v").await.unwrap();
            client
        });
        drop(first);
        let error = runtime().block_on(soon(client.incr("k"))).unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipeline_that_outlives_its_client_still_learns_of_changes() {
        let (cluster, a) = FakeCluster::of_one();
        let b = cluster.node("b", 2);
        let client = connect(&cluster).await;
        let mut pipe = client.pipeline();
        pipe.get("k");
        drop(client);
        let to_b = b.clone();
        a.answers(only("GET", move |call| Answer::Reply(redirect("MOVED", &call.word(1), &to_b))));
        cluster.view(2, &[(0, 16383, &b)]);
        let before = cluster.refreshes();
        assert_eq!(pipe.run::<(String,)>().await.unwrap().0, "k");
        sleep(Duration::from_secs(1)).await;
        assert!(cluster.refreshes() > before);
    }

    #[tokio::test(start_paused = true)]
    async fn times_without_end_are_taken_for_very_long_ones() {
        let (cluster, _a) = FakeCluster::of_one();
        let builder = cluster.builder().command_timeout(Duration::MAX).refresh_interval(Duration::MAX);
        let client = builder.connect_timeout(Duration::MAX).connect().await.unwrap();
        client.set("k", "v").timeout(Duration::MAX).await.unwrap();
        assert_eq!(client.get::<String>("k").await.unwrap(), "k");
    }
}

mod blocking {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_blocking_command_has_a_connection_of_its_own_and_holds_up_nobody() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(only("BLPOP", |_| Answer::Late(5000 * MS, array([bulk("list"), bulk("x")]))));
        let client = connect(&cluster).await;
        let popping = client.execute::<(String, String)>(Command::new("BLPOP").key("list").arg(0));
        let reading = async {
            a.until("BLPOP", 1).await;
            let start = Instant::now();
            client.get::<Value>("k").await.unwrap();
            assert!(start.elapsed() < 5 * MS);
        };
        let (popped, ()) = tokio::join!(popping, reading);
        assert_eq!(popped.unwrap().1, "x");
        assert_eq!(a.connections(), 2);
        client.execute::<Value>(Command::new("BLPOP").key("list").arg(0)).await.unwrap();
        assert_eq!(a.connections(), 2, "a clean connection is used again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_blocking_command_was_abandoned_serves_nobody_else() {
        let (cluster, a) = FakeCluster::of_one();
        a.answers(only("BLPOP", |call| match call.nth {
            0 => Answer::Late(100 * MS, array([bulk("list"), bulk("lost")])),
            _ => Answer::Reply(array([bulk("list"), bulk("mine")])),
        }));
        let client = connect(&cluster).await;
        let pop = || client.execute::<(String, String)>(Command::new("BLPOP").key("list").arg(0));
        assert!(timeout(50 * MS, pop()).await.is_err());
        assert_eq!(pop().await.unwrap().1, "mine");
        sleep(200 * MS).await;
        assert_eq!(pop().await.unwrap().1, "mine");
        closes_at_once(&client).await;
    }
}

mod schedules {
    use super::*;
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    /// Two nodes that do anything: answer, redirect, put off, cut before or after they have executed. Whatever comes,
    /// each INCR runs at most once, and what its caller was told is true.
    #[tokio::test(start_paused = true)]
    async fn whatever_nodes_do_each_command_is_told_the_truth_and_runs_at_most_once() {
        for seed in 0..60 {
            let executed: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
            let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
            let (cluster, a, b) = FakeCluster::of_two();
            let client = cluster
                .builder()
                .command_timeout(Duration::from_secs(5))
                .byte_budget(3_000, 5_000)
                .connect()
                .await
                .unwrap();
            for (node, other) in [(&a, &b), (&b, &a)] {
                node.holds(if seed % 2 == 0 { 200 } else { 64 << 10 });
                node.replies_in_chunks(5);
                let (executed, random, other) = (Arc::clone(&executed), Arc::clone(&random), other.clone());
                node.answers(only("INCR", move |call| {
                    let key = call.word(1);
                    let run = || *executed.lock().unwrap().entry(key.clone()).or_default() += 1;
                    let mut random = random.lock().unwrap();
                    match random.u32(..100) {
                        0 => Answer::Close(Vec::new()),
                        1 => {
                            run();
                            Answer::Close(Vec::new())
                        }
                        2 => {
                            run();
                            Answer::Close(b":1".to_vec())
                        }
                        3..8 => Answer::Reply(redirect("ASK", &key, &other)),
                        8..10 => Answer::Reply(redirect("MOVED", &key, &other)),
                        10..15 => Answer::Reply(error("TRYAGAIN Multiple keys request")),
                        15..18 => Answer::Reply(error("CLUSTERDOWN The cluster is down")),
                        18 => {
                            run();
                            Answer::Late(Duration::from_millis(random.u64(..8000)), int(1))
                        }
                        _ => {
                            run();
                            Answer::Reply(int(1))
                        }
                    }
                }));
            }
            let tasks = (0..40).map(|task| {
                let (client, random) = (client.clone(), Arc::clone(&random));
                tokio::spawn(async move {
                    let mut told = Vec::new();
                    for number in 0..10 {
                        let key = format!("{task}-{number}");
                        let give_up = random.lock().unwrap().u32(..2000);
                        match task % 4 {
                            0 => {
                                let mut pipe = client.pipeline();
                                let keys: Vec<String> = (0..7).map(|part| format!("{key}-{part}")).collect();
                                for key in &keys {
                                    pipe.incr(key);
                                }
                                let results = pipe.run_each().await.unwrap();
                                told.extend(
                                    keys.into_iter().zip(results.into_iter().map(|result| result.map(drop))),
                                );
                            }
                            1 => {
                                let result = client.incr(&key).timeout(give_up * MS).await;
                                told.push((key, result.map(drop)));
                            }
                            2 => drop(timeout(give_up / 100 * MS, client.incr(&key)).await),
                            _ => told.push((key.clone(), client.incr(&key).await.map(drop))),
                        }
                    }
                    told
                })
            });
            let told: Vec<_> = soon(join_all(tasks)).await.into_iter().flat_map(Result::unwrap).collect();
            sleep(Duration::from_secs(20)).await;
            let executed = executed.lock().unwrap().clone();
            for (key, times) in &executed {
                assert_eq!(*times, 1, "seed {seed}: {key} ran {times} times");
            }
            for (key, result) in told {
                let ran = executed.contains_key(&key);
                let is_true = match &result {
                    Ok(()) => ran,
                    Err(error) => error.outcome() == Outcome::MaybeExecuted || !ran,
                };
                assert!(is_true, "seed {seed}: {key} ran: {ran}, told: {result:?}");
            }
            closes_at_once(&client).await;
        }
    }
}

/// Of a single command it says that the connection is in a transaction which did not end, but a script answers what it likes.
#[tokio::test(start_paused = true)]
async fn a_script_may_answer_what_a_transaction_answers() {
    let (cluster, _a, b) = FakeCluster::of_two();
    b.answers(only("EVAL", |_| Answer::Reply(b"+QUEUED\r\n".to_vec())));
    let client = connect(&cluster).await;
    let eval = || Command::new("EVAL").arg("return redis.status_reply('QUEUED')").arg(1).key("foo");
    assert_eq!(client.execute::<String>(eval()).await.unwrap(), "QUEUED");
    let mut pipe = client.pipeline();
    pipe.push(eval()).push(eval());
    assert_eq!(pipe.run::<Vec<String>>().await.unwrap(), ["QUEUED", "QUEUED"]);
    assert_eq!(b.count("EVAL"), 3);
}
