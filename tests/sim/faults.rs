//! Every fault does what its documentation says, and hits what it names: on bare connections, byte by byte.

use std::time::Duration;

use keyslot::testkit::sim::{Fault, FaultKind, Script, SimCluster};
use keyslot::{Commands, Connector, ErrorKind, NodeAddr};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{MS, SECOND, Wire, another, connect, key_of, owner, slot, three};

/// A connection to the node that serves `key`.
async fn wire(cluster: &SimCluster, key: &str) -> Wire {
    Wire::open(cluster, &owner(cluster, key)).await
}

fn inject(cluster: &SimCluster, kind: FaultKind, command: &str) {
    cluster.inject(Fault::new(kind).command(command).times(1));
}

mod kinds {
    use super::{
        Commands, Connector, Duration, ErrorKind, Fault, FaultKind, Instant, MS, SECOND, Wire, another,
        connect, inject, key_of, owner, slot, three, timeout, wire,
    };

    #[tokio::test(start_paused = true)]
    async fn a_delayed_command_takes_effect_late_and_holds_up_what_stands_behind_it() {
        let cluster = three();
        inject(&cluster, FaultKind::Delay(SECOND), "SET");
        let mut wire = wire(&cluster, "k").await;
        let begin = cluster.elapsed();
        wire.send("SET k 1").await;
        wire.send("PING").await;
        assert!(wire.is_quiet_for(999 * MS).await);
        assert_eq!(cluster.ledger().count("SET k 1"), 0);
        wire.gives("+OK\r\n+PONG\r\n").await;
        assert_eq!(cluster.ledger().of("SET k 1").next().unwrap().at, begin + SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delayed_reply_comes_late_and_the_command_takes_effect_at_once() {
        let cluster = three();
        inject(&cluster, FaultKind::DelayReply(SECOND), "SET");
        let mut wire = wire(&cluster, "k").await;
        let begin = cluster.elapsed();
        wire.send("SET k 1").await;
        wire.send("PING").await;
        // Replies keep their order.
        assert!(wire.is_quiet_for(999 * MS).await);
        assert_eq!(cluster.ledger().of("SET k 1").next().unwrap().at, begin);
        wire.gives("+OK\r\n+PONG\r\n").await;
        assert_eq!(cluster.elapsed(), begin + SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_ends_before_has_no_effect() {
        let cluster = three();
        inject(&cluster, FaultKind::CloseBefore, "SET");
        let mut wire = wire(&cluster, "k").await;
        wire.asks("PING", "+PONG\r\n").await;
        wire.send("SET k 1").await;
        wire.send("SET k 2").await;
        assert_eq!(wire.rest().await, "");
        assert_eq!(cluster.ledger().with_key("k").count(), 0);
        assert_eq!(
            cluster.received(&owner(&cluster, "k"), "SET"),
            1,
            "what stood behind it was not taken up"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_ends_behind_has_the_effect_and_no_reply() {
        let cluster = three();
        inject(&cluster, FaultKind::CloseAfter, "SET");
        let mut wire = wire(&cluster, "k").await;
        wire.send("SET k 1").await;
        wire.send("SET k 2").await;
        assert_eq!(wire.rest().await, "");
        assert_eq!((cluster.ledger().count("SET k 1"), cluster.ledger().count("SET k 2")), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn replies_that_were_ready_before_the_end_still_arrive() {
        for kind in [FaultKind::CloseBefore, FaultKind::CloseAfter] {
            let cluster = three();
            inject(&cluster, kind.clone(), "SET");
            let mut wire = wire(&cluster, "k").await;
            wire.send("PING").await;
            wire.send("SET k 1").await;
            assert_eq!(wire.rest().await, "+PONG\r\n", "{kind:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_truncated_reply_has_exactly_so_many_bytes() {
        for length in 0..=5 {
            let cluster = three();
            inject(&cluster, FaultKind::Truncate(length), "SET");
            let mut wire = wire(&cluster, "k").await;
            wire.send("SET k 1").await;
            wire.send("SET k 2").await;
            assert_eq!(wire.rest().await, &"+OK\r\n"[..length]);
            assert_eq!((cluster.ledger().count("SET k 1"), cluster.ledger().count("SET k 2")), (1, 0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn more_bytes_than_a_reply_has_are_the_whole_reply_and_the_end() {
        let cluster = three();
        inject(&cluster, FaultKind::Truncate(1000), "SET");
        let mut wire = wire(&cluster, "k").await;
        wire.send("SET k 1").await;
        assert_eq!(wire.rest().await, "+OK\r\n");
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_takes_the_place_of_the_effect() {
        let cluster = three();
        inject(
            &cluster,
            FaultKind::Error("LOADING Redis is loading the dataset in memory".to_owned()),
            "SET",
        );
        let mut wire = wire(&cluster, "k").await;
        wire.asks("SET k 1", "-LOADING Redis is loading the dataset in memory\r\n").await;
        assert_eq!(cluster.ledger().with_key("k").count(), 0);
        wire.asks("SET k 2", "+OK\r\n").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_reply_never_comes_and_the_next_one_stands_in_its_place() {
        let cluster = three();
        inject(&cluster, FaultKind::LoseReply, "SET");
        let mut wire = wire(&cluster, "k").await;
        wire.send("SET k 1").await;
        assert!(wire.is_quiet_for(60 * SECOND).await);
        wire.asks("GET k", "$1\r\n1\r\n").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_doubled_reply_comes_twice_and_the_effect_is_one() {
        let cluster = three();
        inject(&cluster, FaultKind::DuplicateReply, "INCR");
        let mut wire = wire(&cluster, "k").await;
        wire.send("INCR k").await;
        wire.asks("PING", ":1\r\n:1\r\n+PONG\r\n").await;
        assert_eq!(cluster.ledger().count("INCR k"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_stays_open_and_answers_nothing_more_though_others_do() {
        let cluster = three();
        inject(&cluster, FaultKind::Silence, "SET");
        let mut wire = wire(&cluster, "k").await;
        wire.asks("PING", "+PONG\r\n").await;
        wire.send("SET k 1").await;
        wire.send("PING").await;
        assert!(wire.is_quiet_for(3600 * SECOND).await);
        assert_eq!(cluster.ledger().with_key("k").count(), 0);
        Wire::open(&cluster, &owner(&cluster, "k")).await.asks("SET k 2", "+OK\r\n").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_takes_so_many_bytes_each_ten_milliseconds() {
        let cluster = three();
        inject(&cluster, FaultKind::SlowReader(100), "PING");
        let mut wire = wire(&cluster, "k").await;
        wire.asks("PING", "+PONG\r\n").await;
        let begin = Instant::now();
        let value = "v".repeat(10_000);
        wire.asks(&format!("SET k {value}"), "+OK\r\n").await;
        let took = begin.elapsed();
        assert!((990 * MS..1020 * MS).contains(&took), "10 kB at 10 kB each second took {took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_connect_fails_at_once_and_open_connections_go_on() {
        let cluster = three();
        let node = owner(&cluster, "k");
        let mut before = Wire::open(&cluster, &node).await;
        let fault = cluster.inject(Fault::new(FaultKind::Refuse).node(&node));
        let error = cluster.connector().connect(&node).await.err().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        before.asks("PING", "+PONG\r\n").await;
        Wire::open(&cluster, &another(&cluster, "k")).await.asks("PING", "+PONG\r\n").await;
        cluster.lift(fault);
        Wire::open(&cluster, &node).await.asks("PING", "+PONG\r\n").await;
        assert_eq!(cluster.connections_accepted(&node), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_connect_never_ends() {
        let cluster = three();
        let node = owner(&cluster, "k");
        cluster.inject(Fault::new(FaultKind::HangConnect).node(&node).times(1));
        assert!(timeout(3600 * SECOND, cluster.connector().connect(&node)).await.is_err());
        Wire::open(&cluster, &node).await.asks("PING", "+PONG\r\n").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_stale_topology_is_the_one_of_the_injection_and_only_the_words_about_it_are_stale() {
        let cluster = three();
        let (from, to) = (owner(&cluster, "k"), another(&cluster, "k"));
        let ranges = async |wire: &mut Wire| {
            wire.send("CLUSTER SLOTS").await;
            wire.send("CLUSTER SHARDS").await;
            wire.send("CLUSTER KEYSLOT k").await;
            wire.until(&format!("\r\n:{}\r\n", slot("k"))).await
        };
        let (mut at_from, mut at_to) = (Wire::open(&cluster, &from).await, Wire::open(&cluster, &to).await);
        let before = ranges(&mut at_from).await;
        let fault = cluster.inject(Fault::new(FaultKind::StaleTopology).node(&from));
        cluster.move_slot(slot("k"), &to).unwrap();
        tokio::time::sleep(SECOND).await;
        assert_eq!(ranges(&mut at_from).await, before);
        assert_ne!(ranges(&mut at_to).await, before);
        at_from.asks("GET k", &format!("-MOVED {} {to}\r\n", slot("k"))).await;
        cluster.lift(fault);
        assert_ne!(ranges(&mut at_from).await, before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_answers_as_another_serves_the_others_keys() {
        let cluster = three();
        let (node, other) = (owner(&cluster, "k"), another(&cluster, "k"));
        let key = key_of(&cluster, &other, "other:");
        let mut before = Wire::open(&cluster, &node).await;
        cluster.inject(Fault::new(FaultKind::AnswerAs(other.clone())).node(&node));
        let mut swapped = Wire::open(&cluster, &node).await;
        swapped.asks(&format!("SET {key} 1"), "+OK\r\n").await;
        swapped.asks("SET k 1", &format!("-MOVED {} {node}\r\n", slot("k"))).await;
        before.asks("SET k 1", "+OK\r\n").await;
        let at: Vec<_> = cluster.ledger().iter().map(|effect| effect.node.clone()).collect();
        assert_eq!(at, [other, node]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_meets_a_refused_and_a_hanging_seed_like_any_other() {
        let cluster = three();
        let refused = cluster.inject(Fault::new(FaultKind::Refuse));
        let error = crate::support::builder(&cluster).connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
        // Each seed is named, and what they all ended with is told once.
        let text = error.to_string();
        for node in cluster.nodes() {
            assert_eq!(text.matches(&node.to_string()).count(), 1, "{text}");
        }
        assert_eq!(text.matches("refused").count(), 1, "{text}");
        cluster.lift(refused);
        cluster.inject(Fault::new(FaultKind::HangConnect).times(2));
        let begin = Instant::now();
        let client = connect(&cluster).await;
        assert!(begin.elapsed() < Duration::from_millis(100), "one seed of three answers");
        for node in cluster.nodes() {
            client.set(key_of(&cluster, &node, "k"), "1").await.unwrap();
        }
        let took = begin.elapsed();
        assert!((2 * SECOND..3 * SECOND).contains(&took), "a connect timeout, not {took:?}");
    }
}

mod conditions {
    use super::{
        Connector, Fault, FaultKind, MS, NodeAddr, SECOND, Script, Wire, another, key_of, owner, sleep,
        three, wire,
    };

    const OOPS: &str = "-ERR oops\r\n";

    fn oops() -> Fault {
        Fault::new(FaultKind::Error("ERR oops".to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_without_a_condition_hits_everything_until_it_is_lifted() {
        let cluster = three();
        let fault = cluster.inject(oops());
        for node in cluster.nodes() {
            let mut wire = Wire::open(&cluster, &node).await;
            wire.asks("PING", OOPS).await;
            wire.asks("GET k", OOPS).await;
        }
        cluster.lift(fault);
        wire(&cluster, "k").await.asks("SET k 1", "+OK\r\n").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_is_hit_alone() {
        let cluster = three();
        let node = owner(&cluster, "k");
        cluster.inject(oops().node(&node));
        wire(&cluster, "k").await.asks("PING", OOPS).await;
        Wire::open(&cluster, &another(&cluster, "k")).await.asks("PING", "+PONG\r\n").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_hit_alone_by_its_number_in_the_ledger() {
        let cluster = three();
        let (mut one, mut two) = (wire(&cluster, "k").await, wire(&cluster, "k").await);
        one.asks("SET k 1", "+OK\r\n").await;
        two.asks("SET k 2", "+OK\r\n").await;
        let number = cluster.ledger().of("SET k 2").next().unwrap().connection;
        cluster.inject(oops().connection(number));
        one.asks("PING", "+PONG\r\n").await;
        two.asks("PING", OOPS).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_is_hit_by_its_name_in_any_case_and_a_subcommand_by_both_words() {
        let cluster = three();
        cluster.inject(oops().command("get"));
        cluster.inject(oops().command("Cluster Slots"));
        let mut wire = wire(&cluster, "k").await;
        wire.asks("GeT k", OOPS).await;
        wire.asks("SET k 1", "+OK\r\n").await;
        wire.asks("CLUSTER slots", OOPS).await;
        // GET is not the beginning of another name.
        wire.asks("GETDEL k", "$1\r\n1\r\n").await;
        wire.asks("CLUSTER KEYSLOT k", &format!(":{}\r\n", super::slot("k"))).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_hit_as_any_argument() {
        let cluster = three();
        cluster.inject(oops().key("{t}b"));
        let mut wire = wire(&cluster, "{t}").await;
        wire.asks("SET {t}a 1", "+OK\r\n").await;
        wire.asks("SET {t}b 1", OOPS).await;
        wire.asks("MGET {t}a {t}b", OOPS).await;
        wire.asks("SET {t}a {t}b", OOPS).await;
        wire.asks("GET {t}bb", "$-1\r\n").await;
    }

    #[tokio::test(start_paused = true)]
    async fn skip_leaves_out_the_first_and_times_ends_it() {
        let cluster = three();
        cluster.inject(oops().command("GET").skip(1).times(2));
        let mut wire = wire(&cluster, "k").await;
        for reply in ["$-1\r\n", OOPS, OOPS, "$-1\r\n", "$-1\r\n"] {
            wire.asks("PING", "+PONG\r\n").await;
            wire.asks("GET k", reply).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_probability_hits_so_often_and_the_same_seed_hits_the_same() {
        let run = async || {
            let cluster = three();
            cluster.inject(oops().command("INCR").probability(0.3));
            let mut wire = wire(&cluster, "k").await;
            for _ in 0..1000 {
                wire.send("INCR k").await;
            }
            wire.send("ECHO end").await;
            wire.until("$3\r\nend\r\n").await
        };
        let first = run().await;
        let hits = first.matches("oops").count();
        assert!((240..360).contains(&hits), "{hits} of 1000");
        assert_eq!(first, run().await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_of_two_faults_strikes_and_both_sides_of_a_command_may_be_hit() {
        let cluster = three();
        cluster.inject(oops().command("GET").times(1));
        cluster.inject(Fault::new(FaultKind::Error("ERR later".to_owned())).command("GET").times(1));
        cluster.inject(Fault::new(FaultKind::Delay(SECOND)).command("GET").times(1));
        cluster.inject(Fault::new(FaultKind::DuplicateReply).command("GET").times(1));
        let mut wire = wire(&cluster, "k").await;
        let begin = cluster.elapsed();
        wire.asks("GET k", OOPS).await;
        assert_eq!(cluster.elapsed(), begin + SECOND);
        wire.asks("GET k", "-ERR later\r\n").await;
        wire.asks("GET k", "$-1\r\n$-1\r\n").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_script_injects_and_lifts_at_its_times() {
        let cluster = three();
        let node = owner(&cluster, "k");
        sleep(123 * MS).await;
        cluster.play(
            Script::new()
                .at(SECOND)
                .inject(oops().node(&node))
                .at(2 * SECOND)
                .inject(Fault::new(FaultKind::Refuse).node(&node))
                .at(3 * SECOND)
                .lift_all(),
        );
        let mut wire = wire(&cluster, "k").await;
        let connects = async |node: &NodeAddr| cluster.connector().connect(node).await.is_ok();
        sleep(999 * MS).await;
        wire.asks("PING", "+PONG\r\n").await;
        sleep(2 * MS).await;
        wire.asks("PING", OOPS).await;
        assert!(connects(&node).await);
        sleep(SECOND).await;
        assert!(!connects(&node).await);
        sleep(SECOND).await;
        wire.asks("PING", "+PONG\r\n").await;
        assert!(connects(&node).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_script_kills_stops_and_brings_back() {
        let cluster = three();
        let node = owner(&cluster, "k");
        let other = key_of(&cluster, &another(&cluster, "k"), "other:");
        cluster.play(
            Script::new()
                .at(SECOND)
                .stop(&node)
                .at(2 * SECOND)
                .cont(&node)
                .at(3 * SECOND)
                .kill(&node)
                .at(4 * SECOND)
                .restart(&node),
        );
        let mut wire = wire(&cluster, "k").await;
        wire.asks("SET k 1", "+OK\r\n").await;
        sleep(1001 * MS).await;
        wire.send("SET k 2").await;
        assert!(wire.is_quiet_for(990 * MS).await, "a stopped node answers nothing");
        wire.gives("+OK\r\n").await;
        assert_eq!(cluster.ledger().of("SET k 2").next().unwrap().at, 2 * SECOND);
        sleep(1001 * MS).await;
        assert_eq!(wire.rest().await, "", "a killed node ends its connections");
        assert!(cluster.connector().connect(&node).await.is_err());
        sleep(SECOND).await;
        Wire::open(&cluster, &node).await.asks("PING", "+PONG\r\n").await;
        // It says that the cluster is down until it knows better.
        sleep(5 * SECOND).await;
        assert_eq!(cluster.ask(&node, ["GET", "k"]).unwrap(), keyslot::Value::Bulk("2".into()));
        _ = other;
    }
}

mod on_sockets {
    use super::{Fault, FaultKind, Instant, MS, SECOND, SimCluster, Wire, owner, timeout};

    #[tokio::test]
    async fn bytes_and_ends_are_the_same_as_in_memory() {
        let cluster = SimCluster::builder().start().await.unwrap();
        let node = owner(&cluster, "k");
        for length in 0..=5 {
            cluster.inject(Fault::new(FaultKind::Truncate(length)).command("SET").times(1));
            let mut wire = Wire::dial(&node).await;
            wire.asks("PING", "+PONG\r\n").await;
            wire.send(&format!("SET k {length}")).await;
            assert_eq!(wire.rest().await, &"+OK\r\n"[..length]);
            assert_eq!(cluster.ledger().count(&format!("SET k {length}")), 1);
        }
    }

    #[tokio::test]
    async fn delays_take_real_time() {
        let cluster = SimCluster::builder().start().await.unwrap();
        cluster.inject(Fault::new(FaultKind::DelayReply(30 * MS)).command("PING").times(1));
        let mut wire = Wire::dial(&owner(&cluster, "k")).await;
        let begin = Instant::now();
        wire.asks("PING", "+PONG\r\n").await;
        assert!(begin.elapsed() >= 30 * MS);
    }

    #[tokio::test]
    async fn a_killed_node_refuses_and_comes_back_at_its_port() {
        let cluster = SimCluster::builder().start().await.unwrap();
        let node = owner(&cluster, "k");
        let mut wire = Wire::dial(&node).await;
        wire.asks("SET k 1", "+OK\r\n").await;
        cluster.kill(&node).unwrap();
        assert_eq!(wire.rest().await, "");
        let dial = async || tokio::net::TcpStream::connect((node.host(), node.port())).await;
        let gone = async {
            while dial().await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        timeout(10 * SECOND, gone).await.unwrap();
        cluster.restart(&node).unwrap();
        let back = async {
            while dial().await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        timeout(10 * SECOND, back).await.unwrap();
        Wire::dial(&node).await.asks("PING", "+PONG\r\n").await;
    }

    #[tokio::test]
    async fn a_refused_connect_is_closed_at_once_and_a_hanging_one_is_never_answered() {
        let cluster = SimCluster::builder().start().await.unwrap();
        let node = owner(&cluster, "k");
        cluster.inject(Fault::new(FaultKind::Refuse).times(1));
        assert_eq!(Wire::dial(&node).await.rest().await, "");
        cluster.inject(Fault::new(FaultKind::HangConnect).times(1));
        let mut hanging = Wire::dial(&node).await;
        hanging.send("PING").await;
        assert!(hanging.is_quiet_for(20 * MS).await);
    }
}
