//! What the simulated nodes answer, byte by byte, where slots move and primaries fail: as measured on real servers.

use keyslot::testkit::sim::{Endpoint, Profile, SimCluster, SimClusterBuilder, SimError, Step};
use keyslot::{NodeAddr, Slot, Value};
use tokio::time::{Instant, sleep};

use crate::support::{MS, SECOND, Wire, keys_of, owner, slot};

/// Keys of slot 4748, which the first of three primaries has.
const SLOT: &str = "4748";

const MOVED: &str = "-MOVED 4748 127.0.0.1:7000\r\n";
const ASK: &str = "-ASK 4748 127.0.0.1:7001\r\n";
const TRYAGAIN: &str = "-TRYAGAIN Multiple keys request during rehashing of slot\r\n";
const DOWN: &str = "-CLUSTERDOWN The cluster is down\r\n";
const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.\r\n";
const OK: &str = "+OK\r\n";
const QUEUED: &str = "+QUEUED\r\n";
const NIL: &str = "$-1\r\n";

fn of(profile: Profile) -> SimClusterBuilder {
    SimCluster::builder().profile(profile)
}

fn with_replicas(profile: Profile) -> SimCluster {
    of(profile).replicas(1).start_in_memory().unwrap()
}

fn is_valkey(profile: Profile) -> bool {
    matches!(profile, Profile::Valkey81 | Profile::Valkey91)
}

fn node(number: usize) -> NodeAddr {
    NodeAddr::new("127.0.0.1", 7000 + u16::try_from(number).unwrap())
}

async fn wire(cluster: &SimCluster, number: usize) -> Wire {
    Wire::open(cluster, &node(number)).await
}

fn id(cluster: &SimCluster, number: usize) -> String {
    text(cluster, number, "CLUSTER MYID")
}

fn ask(cluster: &SimCluster, number: usize, line: &str) -> Value {
    cluster.ask(&node(number), line.split(' ')).unwrap()
}

/// A reply that is text.
fn text(cluster: &SimCluster, number: usize, line: &str) -> String {
    match ask(cluster, number, line) {
        Value::Bulk(bytes) | Value::Simple(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Value::Verbatim { text, .. } => String::from_utf8(text.to_vec()).unwrap(),
        other => format!("{other:?}"),
    }
}

/// The slot is open between the first two nodes: two of its four keys are at each.
async fn half_moved(cluster: &SimCluster) -> (Wire, Wire) {
    let (mut source, target) = (wire(cluster, 0).await, wire(cluster, 1).await);
    for key in ["{t2}0", "{t2}1", "{t2}2", "{t2}3"] {
        source.asks(&format!("SET {key} v"), OK).await;
    }
    cluster.open_slot(slot("{t2}"), &node(1)).unwrap();
    cluster.migrate_keys(slot("{t2}"), 2).unwrap();
    (source, target)
}

mod open_slots {
    use super::{
        ABORTED, ASK, MOVED, MS, NIL, OK, Profile, QUEUED, SECOND, SLOT, SimCluster, SimError, TRYAGAIN,
        half_moved, id, is_valkey, keys_of, node, of, sleep, slot, text, wire,
    };

    #[tokio::test(start_paused = true)]
    async fn the_source_serves_what_it_has_and_sends_the_rest_on() {
        for profile in Profile::ALL {
            let cluster = of(profile).start_in_memory().unwrap();
            let (mut source, _target) = half_moved(&cluster).await;
            let partly = if profile == Profile::Redis62 { ASK } else { TRYAGAIN };
            source.asks("GET {t2}2", "$1\r\nv\r\n").await;
            for missing in ["GET {t2}0", "SET {t2}9 x", "BLPOP {t2}list 0", "WATCH {t2}0"] {
                source.asks(missing, ASK).await;
            }
            source.asks("MGET {t2}2 {t2}3", "*2\r\n$1\r\nv\r\n$1\r\nv\r\n").await;
            source.asks("MGET {t2}8 {t2}9", ASK).await;
            source.asks("MSET {t2}8 x {t2}9 x", ASK).await;
            source.asks("MGET {t2}0 {t2}2", partly).await;
            source.asks("DEL {t2}0 {t2}2", partly).await;
            source.asks("ASKING", OK).await;
            source.asks("GET {t2}0", ASK).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_target_serves_one_command_behind_asking() {
        for profile in Profile::ALL {
            let cluster = of(profile).start_in_memory().unwrap();
            let (_source, mut target) = half_moved(&cluster).await;
            target.asks("GET {t2}0", MOVED).await;
            for (line, wanted) in [
                ("GET {t2}0", "$1\r\nv\r\n"),
                ("GET {t2}9", NIL),
                ("SET {t2}5 n", OK),
                ("MGET {t2}0 {t2}1", "*2\r\n$1\r\nv\r\n$1\r\nv\r\n"),
                ("MGET {t2}9 {t2}9", "*2\r\n$-1\r\n$-1\r\n"),
                ("MGET {t2}0 {t2}2", TRYAGAIN),
                ("MSET {t2}8 x {t2}9 x", TRYAGAIN),
                ("RENAME {t2}5 {t2}55", TRYAGAIN),
            ] {
                target.asks("ASKING", OK).await;
                target.asks(line, wanted).await;
                target.asks("GET {t2}0", MOVED).await;
            }
            target.asks("ASKING", OK).await;
            target.asks("PING", "+PONG\r\n").await;
            target.asks("GET {t2}0", MOVED).await;
            let mut third = wire(&cluster, 2).await;
            third.asks("ASKING", OK).await;
            third.asks("GET {t2}0", MOVED).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn asking_covers_a_whole_transaction() {
        for profile in Profile::ALL {
            let cluster = of(profile).start_in_memory().unwrap();
            let (_source, mut target) = half_moved(&cluster).await;
            for line in ["ASKING", "MULTI"] {
                target.asks(line, OK).await;
            }
            target.asks("SET {t2}5 n", QUEUED).await;
            target.asks("GET {t2}5", QUEUED).await;
            target.asks("EXEC", "*2\r\n+OK\r\n$1\r\nn\r\n").await;

            for line in ["ASKING", "MULTI"] {
                target.asks(line, OK).await;
            }
            target.asks("GET {t2}0", QUEUED).await;
            target.asks("GET {t2}9", QUEUED).await;
            target.asks("EXEC", TRYAGAIN).await;

            target.asks("MULTI", OK).await;
            target.asks("ASKING", QUEUED).await;
            target.asks("GET {t2}0", MOVED).await;
            target.asks("EXEC", ABORTED).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn valkey_9_looks_for_the_keys_of_a_transaction_only_at_its_end() {
        for profile in Profile::ALL {
            let cluster = of(profile).start_in_memory().unwrap();
            let (mut source, _target) = half_moved(&cluster).await;
            let late = profile == Profile::Valkey91;
            source.asks("MULTI", OK).await;
            source.asks("GET {t2}2", QUEUED).await;
            source.asks("GET {t2}0", if late { QUEUED } else { ASK }).await;
            source.asks("EXEC", if late { TRYAGAIN } else { ABORTED }).await;
            source.asks("MULTI", OK).await;
            source.asks("GET {t2}0", if late { QUEUED } else { ASK }).await;
            source.asks("EXEC", if late { ASK } else { ABORTED }).await;
            source.asks("EXEC", "-ERR EXEC without MULTI\r\n").await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_queued_is_judged_again_by_exec() {
        for profile in Profile::ALL {
            let cluster = of(profile).start_in_memory().unwrap();
            let (mut source, _target) = half_moved(&cluster).await;
            let mut other = wire(&cluster, 0).await;
            for wire in [&mut source, &mut other] {
                wire.asks("MULTI", OK).await;
                wire.asks("GET {t2}2", QUEUED).await;
            }
            other.asks("GET {t2}3", QUEUED).await;
            cluster.migrate_keys(slot("{t2}"), 1).unwrap();
            source.asks("EXEC", ASK).await;
            other.asks("EXEC", if profile == Profile::Redis62 { ASK } else { TRYAGAIN }).await;
            source.asks("EXEC", "-ERR EXEC without MULTI\r\n").await;
            source.asks("MULTI", OK).await;
            source.asks("GET {t2}3", QUEUED).await;
            cluster.migrate_keys(slot("{t2}"), 9).unwrap();
            cluster.close_slot(slot("{t2}")).unwrap();
            source.asks("EXEC", "-MOVED 4748 127.0.0.1:7001\r\n").await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_slots_do_not_go_together() {
        let crossed = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";
        for profile in Profile::ALL {
            let cluster = of(profile).start_in_memory().unwrap();
            let mut wire = wire(&cluster, 0).await;
            let keys = keys_of(&cluster, &node(0), "k", 2);
            wire.asks(&format!("MGET {} {}", keys[0], keys[1]), crossed).await;
            wire.asks("MGET foo bar", crossed).await;
            wire.asks("MULTI", OK).await;
            for key in &keys {
                wire.asks(&format!("GET {key}"), QUEUED).await;
            }
            wire.asks("EXEC", crossed).await;
            wire.asks("EXEC", "-ERR EXEC without MULTI\r\n").await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_slot_is_known_to_both_sides_at_once_and_to_the_rest_by_gossip() {
        for profile in Profile::ALL {
            let cluster = of(profile).start_in_memory().unwrap();
            let (mut source, mut target) = half_moved(&cluster).await;
            assert!(matches!(cluster.close_slot(slot("{t2}")), Err(SimError::Refused { .. })));
            cluster.migrate_keys(slot("{t2}"), 9).unwrap();
            cluster.close_slot(slot("{t2}")).unwrap();
            let mut third = wire(&cluster, 2).await;
            target.asks("GET {t2}3", "$1\r\nv\r\n").await;
            source.asks("GET {t2}3", "-MOVED 4748 127.0.0.1:7001\r\n").await;
            third.asks("GET {t2}3", MOVED).await;
            sleep(3 * MS).await;
            third.asks("GET {t2}3", "-MOVED 4748 127.0.0.1:7001\r\n").await;
            assert!(matches!(cluster.close_slot(slot("{t2}")), Err(SimError::SlotNotOpen(_))));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_source_learns_by_gossip_if_only_the_target_is_told() {
        for profile in Profile::ALL {
            let cluster = of(profile).start_in_memory().unwrap();
            let (mut source, mut target) = half_moved(&cluster).await;
            cluster.migrate_keys(slot("{t2}"), 9).unwrap();
            let command = format!("CLUSTER SETSLOT {SLOT} NODE {}", id(&cluster, 1));
            target.asks(&command, OK).await;
            source.asks("GET {t2}3", ASK).await;
            sleep(3 * MS).await;
            source.asks("GET {t2}3", "-MOVED 4748 127.0.0.1:7001\r\n").await;
            // Only Valkey takes the mark away by itself.
            let marked = text(&cluster, 0, "CLUSTER NODES").contains("[4748->-");
            assert_eq!(marked, !is_valkey(profile), "{profile}");
            assert!(text(&cluster, 0, "CLUSTER INFO").contains("cluster_current_epoch:4\r\n"));
            assert!(text(&cluster, 1, "CLUSTER INFO").contains("cluster_my_epoch:4\r\n"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_key_is_sent_on_when_its_slot_is_gone() {
        for profile in Profile::ALL {
            let cluster = of(profile).start_in_memory().unwrap();
            let mut waits = wire(&cluster, 0).await;
            waits.send("BLPOP {t2}list 0").await;
            sleep(MS).await;
            cluster.open_slot(slot("{t2}"), &node(1)).unwrap();
            assert!(waits.is_quiet_for(SECOND).await);
            wire(&cluster, 0).await.asks("LPUSH {t2}list x", ASK).await;
            cluster.close_slot(slot("{t2}")).unwrap();
            waits.gives("-MOVED 4748 127.0.0.1:7001\r\n").await;
            waits.asks("PING", "+PONG\r\n").await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_that_was_given_up_is_down_where_it_was_and_still_sought_there() {
        let cluster = SimCluster::builder().full_coverage(false).start_in_memory().unwrap();
        let mut waits = wire(&cluster, 0).await;
        waits.send("BLPOP {t2}list 0").await;
        sleep(MS).await;
        let mut wire_0 = wire(&cluster, 0).await;
        wire_0.asks(&format!("CLUSTER DELSLOTS {SLOT}"), OK).await;
        waits.gives("-CLUSTERDOWN Hash slot not served\r\n").await;
        wire_0.asks("GET {t2}", "-CLUSTERDOWN Hash slot not served\r\n").await;
        sleep(SECOND).await;
        wire(&cluster, 1).await.asks("GET {t2}", MOVED).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_on_a_key_that_is_not_there_does_not_see_its_slot_move() {
        let cluster = SimCluster::builder().start_in_memory().unwrap();
        let mut watches = wire(&cluster, 0).await;
        let other = &keys_of(&cluster, &node(0), "other", 1)[0];
        watches.asks("WATCH {t2}", OK).await;
        cluster.move_slot(slot("{t2}"), &node(1)).unwrap();
        wire(&cluster, 1).await.asks("SET {t2} x", OK).await;
        watches.asks("MULTI", OK).await;
        watches.asks(&format!("SET {other} x"), QUEUED).await;
        watches.asks("EXEC", "*1\r\n+OK\r\n").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_on_a_key_that_moves_away_does() {
        let cluster = of(Profile::Valkey91).start_in_memory().unwrap();
        let mut watches = wire(&cluster, 0).await;
        watches.asks("SET {t2} x", OK).await;
        cluster.open_slot(slot("{t2}"), &node(1)).unwrap();
        watches.asks("WATCH {t2}", OK).await;
        cluster.migrate_keys(slot("{t2}"), 1).unwrap();
        watches.asks("MULTI", OK).await;
        watches.asks("PING", QUEUED).await;
        watches.asks("EXEC", "*-1\r\n").await;
    }
}

mod redirects {
    use super::{Endpoint, Profile, node, of, slot, wire};

    #[tokio::test(start_paused = true)]
    async fn a_node_is_named_as_the_one_that_answers_prefers() {
        for profile in Profile::ALL {
            let old = profile == Profile::Redis62;
            for (endpoint, hostname, host) in [
                (Endpoint::Ip, Some("a.example"), "127.0.0.1"),
                (Endpoint::Hostname, Some("a.example"), if old { "127.0.0.1" } else { "a.example" }),
                (Endpoint::Hostname, None, if old { "127.0.0.1" } else { "?" }),
                (Endpoint::Unknown, None, if old { "127.0.0.1" } else { "" }),
            ] {
                let builder = of(profile).endpoint(endpoint);
                let builder = hostname.map_or(builder.clone(), |name| builder.hostname(name));
                let cluster = builder.start_in_memory().unwrap();
                cluster.open_slot(slot("{t2}"), &node(1)).unwrap();
                let moved = format!("-MOVED 12182 {host}:7002\r\n");
                let ask = format!("-ASK 4748 {host}:7001\r\n");
                let mut wire = wire(&cluster, 0).await;
                wire.asks("GET foo", &moved).await;
                wire.asks("GET {t2}", &ask).await;
            }
        }
    }
}

mod replicas {
    use super::{
        ASK, MOVED, MS, NIL, OK, Profile, QUEUED, SECOND, SimCluster, TRYAGAIN, ask, half_moved, id,
        is_valkey, sleep, text, wire, with_replicas,
    };

    #[tokio::test(start_paused = true)]
    async fn a_replica_serves_reads_of_its_shard_to_those_who_asked_for_it() {
        for profile in Profile::ALL {
            let cluster = with_replicas(profile);
            wire(&cluster, 0).await.asks("SET {t2} v", OK).await;
            sleep(2 * MS).await;
            let mut replica = wire(&cluster, 3).await;
            replica.asks("GET {t2}", MOVED).await;
            replica.asks("DBSIZE", ":1\r\n").await;
            replica.asks("FLUSHALL", "-READONLY You can't write against a read only replica.\r\n").await;
            replica.asks("READONLY", OK).await;
            replica.asks("GET {t2}", "$1\r\nv\r\n").await;
            replica.asks("SET {t2} w", MOVED).await;
            replica.asks("GETDEL {t2}", MOVED).await;
            replica.asks("GET foo", "-MOVED 12182 127.0.0.1:7002\r\n").await;
            for (line, wanted) in [("MULTI", OK), ("GET {t2}", QUEUED), ("EXEC", "*1\r\n$1\r\nv\r\n")] {
                replica.asks(line, wanted).await;
            }
            replica.asks("READWRITE", OK).await;
            replica.asks("GET {t2}", MOVED).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_has_moved_is_gone_for_a_replica_of_redis_and_elsewhere_for_one_of_valkey() {
        for profile in Profile::ALL {
            let cluster = with_replicas(profile);
            let _both = half_moved(&cluster).await;
            sleep(2 * MS).await;
            let valkey = is_valkey(profile);
            let mut replica = wire(&cluster, 3).await;
            replica.asks("GET {t2}0", MOVED).await;
            replica.asks("READONLY", OK).await;
            replica.asks("GET {t2}0", if valkey { ASK } else { NIL }).await;
            replica.asks("GET {t2}2", "$1\r\nv\r\n").await;
            replica.asks("SET {t2}2 w", MOVED).await;
            let mixed = if valkey { TRYAGAIN } else { "*2\r\n$-1\r\n$1\r\nv\r\n" };
            replica.asks("MGET {t2}0 {t2}2", mixed).await;

            let mut replica = wire(&cluster, 4).await;
            replica.asks("READONLY", OK).await;
            replica.asks("GET {t2}0", MOVED).await;
            replica.asks("ASKING", OK).await;
            replica.asks("GET {t2}0", if valkey { "$1\r\nv\r\n" } else { MOVED }).await;
            assert_eq!(text(&cluster, 3, "CLUSTER NODES").contains("[4748->-"), valkey);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_changes_shards_knows_nothing_at_first() {
        for profile in Profile::ALL {
            let cluster = with_replicas(profile);
            wire(&cluster, 1).await.asks("SET c v", OK).await;
            wire(&cluster, 0).await.asks("SET {t2} v", OK).await;
            sleep(2 * MS).await;
            let mut replica = wire(&cluster, 3).await;
            replica.asks("READONLY", OK).await;
            replica.asks(&format!("CLUSTER REPLICATE {}", id(&cluster, 1)), OK).await;
            replica.asks("GET {t2}", MOVED).await;
            replica.asks("GET c", NIL).await;
            let listed =
                |cluster: &SimCluster| format!("{:?}", ask(cluster, 0, "CLUSTER SLOTS")).contains("7003");
            sleep(10 * MS).await;
            assert_eq!(listed(&cluster), profile == Profile::Redis62);
            sleep(6 * SECOND).await;
            assert!(listed(&cluster));
            replica.asks("GET c", "$1\r\nv\r\n").await;
            replica.asks("DBSIZE", ":1\r\n").await;
        }
    }
}

mod failures {
    use super::{
        DOWN, Instant, MOVED, MS, NIL, NodeAddr, OK, Profile, SECOND, SimCluster, SimError, Step, Value,
        Wire, ask, node, owner, sleep, slot, text, wire, with_replicas,
    };

    /// Asks again until the reply is another one; that, and after how long.
    async fn changes(wire: &mut Wire, line: &str, from: &str) -> (String, std::time::Duration) {
        let begin = Instant::now();
        loop {
            wire.send(line).await;
            let reply = wire.until("\r\n").await;
            if reply != from {
                return (reply, begin.elapsed());
            }
            sleep(MS).await;
            assert!(begin.elapsed() < 60 * SECOND, "it stays {reply}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_killed_primary_is_named_until_it_has_failed_and_then_everything_is_down_until_it_is_replaced()
    {
        for profile in Profile::ALL {
            let cluster = with_replicas(profile);
            wire(&cluster, 0).await.asks("SET {t2} v", OK).await;
            sleep(2 * MS).await;
            let mut other = wire(&cluster, 1).await;
            let mut replica = wire(&cluster, 3).await;
            replica.asks("READONLY", OK).await;
            cluster.kill(&node(0)).unwrap();
            let (reply, after) = changes(&mut other, "GET {t2}", MOVED).await;
            assert_eq!(reply, DOWN);
            assert!(after > 2900 * MS && after < 3600 * MS, "{profile} noticed after {after:?}");
            other.asks("GET c", DOWN).await;
            replica.asks("GET {t2}", DOWN).await;
            assert!(text(&cluster, 1, "CLUSTER NODES").contains(":7000@17000 master,fail -"));
            assert!(format!("{:?}", ask(&cluster, 1, "CLUSTER SLOTS")).contains("7000"));
            let (reply, after) = changes(&mut other, "GET {t2}", DOWN).await;
            assert_eq!(reply, "-MOVED 4748 127.0.0.1:7003\r\n");
            let late = if profile == Profile::Valkey91 { 70 * MS } else { 1200 * MS };
            assert!(after > 40 * MS && after < late, "{profile} elected after {after:?}");
            replica.asks("GET {t2}", "$1\r\nv\r\n").await;
            assert_eq!(owner(&cluster, "{t2}"), node(3));

            cluster.restart(&node(0)).unwrap();
            let mut back = wire(&cluster, 0).await;
            back.asks("GET {t2}", DOWN).await;
            sleep(5 * MS).await;
            back.asks("GET {t2}", "-MOVED 4748 127.0.0.1:7003\r\n").await;
            back.asks("READONLY", OK).await;
            back.asks("GET {t2}", "$1\r\nv\r\n").await;
            sleep(10 * MS).await;
            assert!(!text(&cluster, 1, "CLUSTER NODES").contains("fail"));
            assert_eq!(cluster.replicas_of(&node(3)), [node(0)]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_full_coverage_only_the_failed_shard_is_down() {
        let cluster = SimCluster::builder().full_coverage(false).start_in_memory().unwrap();
        let mut other = wire(&cluster, 1).await;
        cluster.kill(&node(0)).unwrap();
        sleep(20 * SECOND).await;
        other.asks("GET {t2}", MOVED).await;
        other.asks("GET c", NIL).await;
        cluster.kill(&node(2)).unwrap();
        sleep(20 * SECOND).await;
        other.asks("GET c", DOWN).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_primary_without_a_replica_stays_failed_until_it_is_back_for_long_enough() {
        let cluster = SimCluster::builder().start_in_memory().unwrap();
        wire(&cluster, 0).await.asks("SET {t2} v", OK).await;
        let mut other = wire(&cluster, 1).await;
        cluster.kill(&node(0)).unwrap();
        sleep(60 * SECOND).await;
        other.asks("GET c", DOWN).await;
        cluster.restart(&node(0)).unwrap();
        let mut back = wire(&cluster, 0).await;
        sleep(SECOND).await;
        back.asks("GET {t2}", DOWN).await;
        sleep(2 * SECOND).await;
        back.asks("GET {t2}", "$1\r\nv\r\n").await;
        other.asks("GET c", NIL).await;
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_elected_without_a_majority() {
        let cluster = SimCluster::builder().replicas(1).full_coverage(false).start_in_memory().unwrap();
        cluster.kill(&node(0)).unwrap();
        cluster.kill(&node(1)).unwrap();
        sleep(60 * SECOND).await;
        let mut left = wire(&cluster, 2).await;
        left.asks("GET foo", DOWN).await;
        assert!(text(&cluster, 2, "CLUSTER NODES").contains(":7000@17000 master,fail? -"));
        assert!(text(&cluster, 3, "CLUSTER NODES").contains(":7003@17003 myself,slave"));

        cluster.restart(&node(1)).unwrap();
        sleep(60 * SECOND).await;
        assert_eq!(owner(&cluster, "{t2}"), node(3));
        left.asks("GET foo", NIL).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_replica_that_has_most_is_elected_and_what_had_not_come_is_lost() {
        let cluster = SimCluster::builder()
            .replicas(2)
            .replication_delay(100 * MS)
            .full_coverage(false)
            .start_in_memory()
            .unwrap();
        let mut first = wire(&cluster, 0).await;
        first.asks("SET {t2} old", OK).await;
        sleep(SECOND).await;
        cluster.stop(&node(3)).unwrap();
        first.asks("SET {t2} new", OK).await;
        sleep(SECOND).await;
        first.asks("SET {t2} lost", OK).await;
        cluster.kill(&node(0)).unwrap();
        cluster.cont(&node(3)).unwrap();
        sleep(10 * SECOND).await;
        // Both replicas have read what came in time: the stopped one found it in its socket.
        let winner = owner(&cluster, "{t2}");
        assert!(winner == node(3) || winner == node(6), "{winner} was elected");
        assert_eq!(cluster.ask(&winner, ["GET", "{t2}"]).unwrap(), Value::Bulk("new".into()));
        cluster.restart(&node(0)).unwrap();
        sleep(10 * SECOND).await;
        assert_eq!(cluster.replicas_of(&winner).len(), 2);
        let mut old = wire(&cluster, 0).await;
        old.asks("READONLY", OK).await;
        old.asks("GET {t2}", "$3\r\nnew\r\n").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_resumed_primary_acknowledges_what_lay_in_its_socket_and_loses_it() {
        for profile in Profile::ALL {
            let cluster = with_replicas(profile);
            let mut old = wire(&cluster, 0).await;
            old.asks("SET {t2} before", OK).await;
            sleep(2 * MS).await;
            cluster.stop(&node(0)).unwrap();
            old.send("SET {t2} ghost").await;
            assert!(old.is_quiet_for(10 * SECOND).await);
            assert_eq!(owner(&cluster, "{t2}"), node(3));
            cluster.cont(&node(0)).unwrap();
            old.gives(OK).await;
            sleep(10 * MS).await;
            old.asks("GET {t2}", "-MOVED 4748 127.0.0.1:7003\r\n").await;
            wire(&cluster, 3).await.asks("GET {t2}", "$6\r\nbefore\r\n").await;
            sleep(10 * SECOND).await;
            old.asks("READONLY", OK).await;
            old.asks("GET {t2}", "$6\r\nbefore\r\n").await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_isolated_primary_serves_on_for_a_while_and_what_it_wrote_is_lost() {
        let cluster = with_replicas(Profile::Valkey81);
        let mut old = wire(&cluster, 0).await;
        old.asks("SET {t2} before", OK).await;
        sleep(2 * MS).await;
        cluster.perform(Step::Isolate(node(0))).unwrap();
        let (reply, after) = changes(&mut old, "SET {t2} lost", OK).await;
        assert_eq!(reply, DOWN);
        assert!(after > 2000 * MS && after < 2900 * MS, "it stopped after {after:?}");
        sleep(10 * SECOND).await;
        old.asks("GET {t2}", DOWN).await;
        let mut new = wire(&cluster, 3).await;
        // It had the writes by replication, which is no part of the bus.
        new.asks("SET {t2} after", OK).await;
        cluster.perform(Step::Heal(node(0))).unwrap();
        sleep(10 * MS).await;
        old.asks("GET {t2}", "-MOVED 4748 127.0.0.1:7003\r\n").await;
        sleep(10 * SECOND).await;
        old.asks("READONLY", OK).await;
        old.asks("GET {t2}", "$5\r\nafter\r\n").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_primary_that_was_in_a_minority_waits_before_it_serves_again() {
        let cluster = SimCluster::builder().start_in_memory().unwrap();
        let mut left = wire(&cluster, 2).await;
        for number in [0, 1] {
            cluster.stop(&node(number)).unwrap();
        }
        sleep(5 * SECOND).await;
        left.asks("GET foo", DOWN).await;
        for number in [0, 1] {
            cluster.cont(&node(number)).unwrap();
        }
        sleep(SECOND).await;
        left.asks("GET foo", DOWN).await;
        sleep(2 * SECOND).await;
        left.asks("GET foo", NIL).await;
    }

    #[tokio::test(start_paused = true)]
    async fn steps_that_make_no_sense_are_refused() {
        let cluster = with_replicas(Profile::Redis82);
        let wrong = |step: Step| matches!(cluster.perform(step), Err(SimError::WrongState { .. }));
        assert!(
            wrong(Step::Restart(node(0))) && wrong(Step::Continue(node(0))) && wrong(Step::Heal(node(0)))
        );
        assert!(wrong(Step::Promote(node(0))));
        cluster.kill(&node(0)).unwrap();
        assert!(wrong(Step::Kill(node(0))) && wrong(Step::Stop(node(0))));
        assert!(wrong(Step::OpenSlot(slot("{t2}"), node(1))));
        assert!(matches!(cluster.kill(&NodeAddr::new("nowhere", 1)), Err(SimError::UnknownNode(_))));
        assert!(matches!(cluster.migrate_keys(slot("{t2}"), 1), Err(SimError::SlotNotOpen(_))));
        assert!(matches!(cluster.open_slot(slot("c"), &node(1)), Err(SimError::Refused { .. })));
    }
}

mod failovers {
    use super::{
        ASK, Instant, MS, NIL, OK, Profile, SECOND, half_moved, is_valkey, node, owner, sleep, wire,
        with_replicas,
    };

    #[tokio::test(start_paused = true)]
    async fn a_manual_failover_lets_writes_wait_and_loses_none() {
        for profile in Profile::ALL {
            let cluster = with_replicas(profile);
            let (mut old, mut replica) = (wire(&cluster, 0).await, wire(&cluster, 3).await);
            old.asks("SET {t2} v", OK).await;
            old.asks("CLUSTER FAILOVER", "-ERR You should send CLUSTER FAILOVER to a replica\r\n").await;
            replica.asks("CLUSTER FAILOVER", OK).await;
            let begin = Instant::now();
            old.send("SET {t2} w").await;
            let reply = old.until("\r\n").await;
            assert_eq!(reply, "-MOVED 4748 127.0.0.1:7003\r\n");
            let waited = begin.elapsed();
            if profile == Profile::Redis62 {
                assert!(waited > 9 * SECOND && waited < 11 * SECOND, "it waited {waited:?}");
            } else {
                assert!(waited > 30 * MS && waited < 70 * MS, "{profile}: it waited {waited:?}");
            }
            replica.asks("GET {t2}", "$1\r\nv\r\n").await;
            replica.asks("SET {t2} w", OK).await;
            sleep(10 * MS).await;
            old.asks("READONLY", OK).await;
            old.asks("GET {t2}", "$1\r\nw\r\n").await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn votes_about_one_primary_are_not_given_twice_at_once_except_on_valkey() {
        for profile in Profile::ALL {
            let cluster = with_replicas(profile);
            let (mut first, mut second) = (wire(&cluster, 0).await, wire(&cluster, 3).await);
            second.asks("CLUSTER FAILOVER", OK).await;
            sleep(100 * MS).await;
            first.asks("CLUSTER FAILOVER", OK).await;
            sleep(100 * MS).await;
            assert_eq!(owner(&cluster, "{t2}"), node(0));
            second.asks("CLUSTER FAILOVER", OK).await;
            let begin = Instant::now();
            first.send("SET {t2} v").await;
            let reply = first.until("\r\n").await;
            if is_valkey(profile) {
                assert_eq!(reply, "-MOVED 4748 127.0.0.1:7003\r\n");
            } else {
                assert_eq!(reply, OK);
                assert!(begin.elapsed() > 4 * SECOND);
                assert_eq!(owner(&cluster, "{t2}"), node(0));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_at_a_primary_that_steps_down_are_sent_away() {
        for profile in Profile::ALL {
            let cluster = with_replicas(profile);
            let (mut pops, mut counts) = (wire(&cluster, 0).await, wire(&cluster, 0).await);
            pops.send("BLPOP {t2}list 0").await;
            counts.send("WAIT 5 0").await;
            sleep(MS).await;
            cluster.promote(&node(3)).unwrap();
            if profile == Profile::Valkey91 {
                pops.gives("-MOVED 4748 127.0.0.1:7003\r\n").await;
                pops.asks("PING", "+PONG\r\n").await;
                assert!(counts.is_quiet_for(15 * SECOND).await);
            } else {
                let text = "-UNBLOCKED force unblock from blocking operation, instance state changed \
                            (master -> replica?)\r\n";
                assert_eq!(pops.rest().await, text);
                assert_eq!(counts.rest().await, text);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_primary_is_replaced_by_force_at_once() {
        let cluster = with_replicas(Profile::Redis70);
        let mut replica = wire(&cluster, 3).await;
        cluster.kill(&node(0)).unwrap();
        replica
            .asks("CLUSTER FAILOVER", "-ERR Master is down or failed, please use CLUSTER FAILOVER FORCE\r\n")
            .await;
        replica.asks("CLUSTER FAILOVER FORCE", OK).await;
        sleep(120 * MS).await;
        assert_eq!(owner(&cluster, "{t2}"), node(3));
    }

    #[tokio::test(start_paused = true)]
    async fn the_marks_of_an_open_slot_survive_a_failover_on_valkey_alone() {
        for profile in Profile::ALL {
            let cluster = with_replicas(profile);
            let _both = half_moved(&cluster).await;
            sleep(2 * MS).await;
            let valkey = is_valkey(profile);
            cluster.promote(&node(3)).unwrap();
            sleep(10 * MS).await;
            let mut source = wire(&cluster, 3).await;
            source.asks("GET {t2}0", if valkey { ASK } else { NIL }).await;
            source.asks("GET {t2}2", "$1\r\nv\r\n").await;
            let mut target = wire(&cluster, 1).await;
            target.asks("ASKING", OK).await;
            let orphaned = matches!(profile, Profile::Redis62 | Profile::Redis70);
            let wanted = if orphaned { "-CLUSTERDOWN Hash slot not served\r\n" } else { "$1\r\nv\r\n" };
            target.asks("GET {t2}0", wanted).await;

            cluster.promote(&node(4)).unwrap();
            sleep(10 * MS).await;
            source.asks("GET {t2}0", if valkey { "-ASK 4748 127.0.0.1:7004\r\n" } else { NIL }).await;
            let mut target = wire(&cluster, 4).await;
            target.asks("ASKING", OK).await;
            let wanted = if valkey { "$1\r\nv\r\n" } else { "-MOVED 4748 127.0.0.1:7003\r\n" };
            target.asks("GET {t2}0", wanted).await;
        }
    }
}

mod administration {
    use super::{
        ASK, Instant, MOVED, MS, OK, Profile, SLOT, SimCluster, Slot, ask, id, node, of, sleep, slot, text,
        wire, with_replicas,
    };

    #[tokio::test(start_paused = true)]
    async fn setslot_refuses_as_each_server_does() {
        for profile in Profile::ALL {
            let cluster = with_replicas(profile);
            let mut wire_0 = wire(&cluster, 0).await;
            let (mine, other, replica) = (id(&cluster, 0), id(&cluster, 1), id(&cluster, 3));
            let nobody = "f".repeat(40);
            let not_primary =
                if profile == Profile::Redis62 { OK } else { "-ERR Target node is not a master\r\n" };
            let myself = if profile == Profile::Valkey91 { "-ERR Target node is myself\r\n" } else { OK };
            wire_0.asks("SET {t2} v", OK).await;
            for (line, wanted) in [
                (format!("{SLOT} IMPORTING {other}"), "-ERR I'm already the owner of hash slot 4748\r\n"),
                (format!("6000 MIGRATING {other}"), "-ERR I'm not the owner of hash slot 6000\r\n"),
                (format!("{SLOT} MIGRATING abc"), "-ERR I don't know about node abc\r\n"),
                (format!("{SLOT} MIGRATING {mine}"), myself),
                (format!("{SLOT} MIGRATING {replica}"), not_primary),
                (format!("{SLOT} NODE abc"), "-ERR Unknown node abc\r\n"),
                (
                    format!("{SLOT} NODE {other}"),
                    "-ERR Can't assign hashslot 4748 to a different node while I still hold keys for this hash \
                     slot.\r\n",
                ),
                ("16384 STABLE".to_owned(), "-ERR Invalid or out of range slot\r\n"),
                ("x STABLE".to_owned(), "-ERR Invalid or out of range slot\r\n"),
                (
                    format!("{SLOT} MIGRATING"),
                    "-ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP\r\n",
                ),
                (
                    format!("{SLOT} AWAY {nobody}"),
                    "-ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP\r\n",
                ),
                (format!("{SLOT} STABLE"), OK),
            ] {
                wire_0.asks(&format!("CLUSTER SETSLOT {line}"), wanted).await;
            }
            let mut replica = wire(&cluster, 3).await;
            replica.asks("CLUSTER SETSLOT 1 STABLE", "-ERR Please use SETSLOT only with masters.\r\n").await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn other_subcommands_refuse_as_servers_do() {
        let cluster = with_replicas(Profile::Redis82);
        let (mut primary, mut replica) = (wire(&cluster, 0).await, wire(&cluster, 3).await);
        let (mine, other, third) = (id(&cluster, 0), id(&cluster, 1), id(&cluster, 4));
        primary.asks("SET {t2} v", OK).await;
        for (line, wanted) in [
            ("ADDSLOTS 1".to_owned(), "-ERR Slot 1 is already busy\r\n"),
            (
                "ADDSLOTSRANGE 5 1".to_owned(),
                "-ERR start slot number 5 is greater than end slot number 1\r\n",
            ),
            ("DELSLOTS 7 7".to_owned(), "-ERR Slot 7 specified multiple times\r\n"),
            ("REPLICATE abc".to_owned(), "-ERR Unknown node abc\r\n"),
            (format!("REPLICATE {mine}"), "-ERR Can't replicate myself\r\n"),
            (format!("REPLICATE {third}"), "-ERR I can only replicate a master, not a replica.\r\n"),
            (
                format!("REPLICATE {other}"),
                "-ERR To set a master the node must be empty and without assigned slots.\r\n",
            ),
            (format!("FORGET {mine}"), "-ERR I tried hard but I can't forget myself...\r\n"),
            ("FORGET abc".to_owned(), "-ERR Unknown node abc\r\n"),
            ("RESET".to_owned(), "-ERR CLUSTER RESET can't be called with master nodes containing keys\r\n"),
            (
                "SET-CONFIG-EPOCH 9".to_owned(),
                "-ERR The user can assign a config epoch only when the node does not know any other node.\r\n",
            ),
            ("MEET 999.1.1.1 1".to_owned(), "-ERR Invalid node address specified: 999.1.1.1:1\r\n"),
            ("MEET 127.0.0.1 9".to_owned(), OK),
            ("FLUSHSLOTS".to_owned(), "-ERR DB must be empty to perform CLUSTER FLUSHSLOTS.\r\n"),
            ("COUNTKEYSINSLOT 16384".to_owned(), "-ERR Invalid slot\r\n"),
            ("COUNTKEYSINSLOT 4748".to_owned(), ":1\r\n"),
            ("GETKEYSINSLOT 4748 -1".to_owned(), "-ERR Invalid slot or number of keys\r\n"),
            ("GETKEYSINSLOT 4748 9".to_owned(), "*1\r\n$4\r\n{t2}\r\n"),
            ("BUMPEPOCH".to_owned(), "+BUMPED 7\r\n"),
            ("BUMPEPOCH".to_owned(), "+STILL 7\r\n"),
            (format!("COUNT-FAILURE-REPORTS {other}"), ":0\r\n"),
        ] {
            primary.asks(&format!("CLUSTER {line}"), wanted).await;
        }
        replica.asks(&format!("CLUSTER FORGET {mine}"), "-ERR Can't forget my master!\r\n").await;
    }

    #[tokio::test(start_paused = true)]
    async fn migrate_answers_as_servers_do() {
        for profile in Profile::ALL {
            let cluster = of(profile).start_in_memory().unwrap();
            let mut source = wire(&cluster, 0).await;
            for key in ["{t2}0", "{t2}1", "{t2}2"] {
                source.asks(&format!("SET {key} v PX 100000"), OK).await;
            }
            let moved = "-ERR Target instance replied with error: MOVED 4748 127.0.0.1:7000\r\n";
            let busy = "-ERR Target instance replied with error: BUSYKEY Target key name already exists.\r\n";
            source.asks("MIGRATE 127.0.0.1 7001 {t2}0 0 1000", moved).await;
            cluster.open_slot(slot("{t2}"), &node(1)).unwrap();
            for (line, wanted) in [
                ("9 {t2}0 0 1000", "-IOERR error or timeout writing to target instance\r\n"),
                ("7001 {t2}9 0 1000", "+NOKEY\r\n"),
                ("7001 {t2}0 0 x", "-ERR value is not an integer or out of range\r\n"),
                ("7001 {t2}0 0 1000 AWAY", "-ERR syntax error\r\n"),
                (
                    "7001 {t2}0 0 1000 KEYS {t2}1",
                    "-ERR When using MIGRATE KEYS option, the key argument must be set to the empty string\r\n",
                ),
                ("7001 {t2}0 0 1000 COPY", OK),
                ("7001 {t2}0 0 1000", busy),
                ("7001 {t2}0 0 1000 REPLACE", OK),
                ("7001 {t2}0 0 1000", "+NOKEY\r\n"),
                ("7001  0 1000 KEYS {t2}1 {t2}2", OK),
            ] {
                source.asks(&format!("MIGRATE 127.0.0.1 {line}"), wanted).await;
            }
            source.asks("GET {t2}0", ASK).await;
            let mut target = wire(&cluster, 1).await;
            target.asks("ASKING", OK).await;
            target.asks("PTTL {t2}0", ":100000\r\n").await;
            wire(&cluster, 2).await.asks("MIGRATE 127.0.0.1 7001 {t2}0 0 1000", MOVED).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_goes_to_a_stopped_node_is_on_both_sides() {
        let cluster = SimCluster::builder().start_in_memory().unwrap();
        let mut source = wire(&cluster, 0).await;
        source.asks("SET {t2} v", OK).await;
        cluster.open_slot(slot("{t2}"), &node(1)).unwrap();
        cluster.stop(&node(1)).unwrap();
        let begin = Instant::now();
        let timed_out = "-IOERR error or timeout reading to target instance\r\n";
        source.asks("MIGRATE 127.0.0.1 7001 {t2} 0 400", timed_out).await;
        assert_eq!(begin.elapsed(), 400 * MS);
        cluster.cont(&node(1)).unwrap();
        source.asks("SET {t2} newer", OK).await;
        let mut target = wire(&cluster, 1).await;
        target.asks("ASKING", OK).await;
        target.asks("GET {t2}", "$1\r\nv\r\n").await;
        source.asks("MIGRATE 127.0.0.1 7001 {t2} 0 400 REPLACE", OK).await;
        target.asks("ASKING", OK).await;
        target.asks("GET {t2}", "$5\r\nnewer\r\n").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_loses_its_last_slot_follows_the_new_owner() {
        for profile in Profile::ALL {
            let cluster = of(profile).primaries(512).replicas(1).start_in_memory().unwrap();
            for slot in Slot::all().take(32) {
                assert_eq!(cluster.primary_of(slot), Some(node(0)));
                cluster.move_slot(slot, &node(1)).unwrap();
            }
            sleep(10 * MS).await;
            assert_eq!(cluster.replicas_of(&node(1)), [node(0), node(512), node(513)], "{profile}");
            let lost = "-ERR Please use SETSLOT only with masters.\r\n";
            wire(&cluster, 0).await.asks("CLUSTER SETSLOT 1 STABLE", lost).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_forgotten_node_is_forgotten_by_one_or_from_7_2_on_by_all() {
        for profile in Profile::ALL {
            let cluster = with_replicas(profile);
            ask(&cluster, 0, &format!("CLUSTER FORGET {}", id(&cluster, 5)));
            sleep(10 * MS).await;
            let known = |number| text(&cluster, number, "CLUSTER NODES").lines().count();
            assert_eq!(known(0), 5);
            let passed_on = !matches!(profile, Profile::Redis62 | Profile::Redis70);
            assert_eq!(known(1), if passed_on { 5 } else { 6 }, "{profile}");
            // A replica's own primary does not forget it by hearsay alone in this simulation either way.
            assert_eq!(known(5), 6);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_was_reset_comes_back_by_meet() {
        let cluster = with_replicas(Profile::Redis70);
        let mut replica = wire(&cluster, 3).await;
        replica.asks("CLUSTER RESET", OK).await;
        assert_eq!(text(&cluster, 3, "CLUSTER NODES").lines().count(), 1);
        replica.asks("GET {t2}", "-CLUSTERDOWN Hash slot not served\r\n").await;
        replica.asks("CLUSTER MEET 127.0.0.1 7000", OK).await;
        sleep(10 * MS).await;
        replica.asks("GET {t2}", MOVED).await;
        assert!(text(&cluster, 1, "CLUSTER NODES").contains(":7003@17003 master"));
        replica.asks(&format!("CLUSTER REPLICATE {}", id(&cluster, 0)), OK).await;
        sleep(10 * MS).await;
        assert_eq!(cluster.replicas_of(&node(0)), [node(3)]);
    }
}

mod topology {
    use super::{
        Endpoint, Profile, SECOND, SimCluster, ask, id, node, of, sleep, slot, text, wire, with_replicas,
    };

    #[tokio::test(start_paused = true)]
    async fn slots_name_a_node_by_three_parts_or_four() {
        for profile in Profile::ALL {
            let cluster = of(profile).primaries(2).replicas(1).start_in_memory().unwrap();
            let more = if profile == Profile::Redis62 { (3, "") } else { (4, "*0\r\n") };
            let node = |number: usize| {
                let id = id(&cluster, number);
                format!("*{}\r\n$9\r\n127.0.0.1\r\n:{}\r\n$40\r\n{id}\r\n{}", more.0, 7000 + number, more.1)
            };
            let wanted = format!(
                "*2\r\n*4\r\n:0\r\n:8191\r\n{}{}*4\r\n:8192\r\n:16383\r\n{}{}",
                node(0),
                node(2),
                node(1),
                node(3)
            );
            wire(&cluster, 0).await.asks("CLUSTER SLOTS", &wanted).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn shards_are_maps_with_more_in_newer_versions() {
        for profile in Profile::ALL {
            let cluster = of(profile).primaries(2).start_in_memory().unwrap();
            let mut wire = wire(&cluster, 1).await;
            if profile == Profile::Redis62 {
                let unknown = "-ERR Unknown subcommand or wrong number of arguments for 'SHARDS'. Try CLUSTER \
                               HELP.\r\n";
                wire.asks("CLUSTER SHARDS", unknown).await;
                continue;
            }
            let shard = |number: usize, first: u16, last: u16| {
                let (id, shard_id) = (
                    id(&cluster, number),
                    match profile {
                        Profile::Redis70 => String::new(),
                        _ => text(&cluster, number, "CLUSTER MYSHARDID"),
                    },
                );
                let tail = match profile {
                    Profile::Valkey91 => format!("$2\r\nid\r\n$40\r\n{shard_id}\r\n"),
                    _ => String::new(),
                };
                format!(
                    "*{}\r\n$5\r\nslots\r\n*2\r\n:{first}\r\n:{last}\r\n$5\r\nnodes\r\n*1\r\n*14\r\n\
                     $2\r\nid\r\n$40\r\n{id}\r\n$4\r\nport\r\n:{}\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n\
                     $8\r\nendpoint\r\n$9\r\n127.0.0.1\r\n$4\r\nrole\r\n$6\r\nmaster\r\n\
                     $18\r\nreplication-offset\r\n:1\r\n$6\r\nhealth\r\n$6\r\nonline\r\n{tail}",
                    if profile == Profile::Valkey91 { 6 } else { 4 },
                    7000 + number,
                )
            };
            let wanted = format!("*2\r\n{}{}", shard(0, 0, 8191), shard(1, 8192, 16383));
            wire.asks("CLUSTER SHARDS", &wanted).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_are_no_endpoint_stand_in_the_metadata() {
        let cluster = SimCluster::builder()
            .primaries(2)
            .endpoint(Endpoint::Unknown)
            .hostname("a.example")
            .start_in_memory()
            .unwrap();
        let id = id(&cluster, 0);
        let mut wire = wire(&cluster, 0).await;
        wire.send("CLUSTER SLOTS").await;
        wire.gives(&format!(
            "*2\r\n*3\r\n:0\r\n:8191\r\n*4\r\n$-1\r\n:7000\r\n$40\r\n{id}\r\n*4\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n\
             $8\r\nhostname\r\n$9\r\na.example\r\n*3\r\n:8192\r\n"
        ))
        .await;
        let lines = text(&cluster, 1, "CLUSTER NODES");
        assert!(lines.contains(" 127.0.0.1:7000@17000,a.example master - 0 "), "{lines}");
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_lists_who_is_what_with_open_slots_at_the_end_of_its_own_line() {
        let cluster = with_replicas(Profile::Redis82);
        cluster.open_slot(slot("{t2}"), &node(1)).unwrap();
        let ids: Vec<String> = (0..6).map(|number| id(&cluster, number)).collect();
        let now = 1_767_225_600_000_u64;
        let wanted = format!(
            "{} 127.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-5460 [4748->-{}]\n\
             {} 127.0.0.1:7001@17001 master - 0 {now} 2 connected 5461-10922\n\
             {} 127.0.0.1:7002@17002 master - 0 {now} 3 connected 10923-16383\n\
             {} 127.0.0.1:7003@17003 slave {} 0 {now} 1 connected\n\
             {} 127.0.0.1:7004@17004 slave {} 0 {now} 2 connected\n\
             {} 127.0.0.1:7005@17005 slave {} 0 {now} 3 connected\n",
            ids[0], ids[1], ids[1], ids[2], ids[3], ids[0], ids[4], ids[1], ids[5], ids[2]
        );
        assert_eq!(text(&cluster, 0, "CLUSTER NODES"), wanted);
        let info = text(&cluster, 0, "CLUSTER INFO");
        assert!(
            info.starts_with(
                "cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\n\
                 cluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:6\r\ncluster_size:3\r\n\
                 cluster_current_epoch:6\r\ncluster_my_epoch:1\r\n"
            ),
            "{info}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_node_is_told_by_each_reply_in_its_way() {
        for profile in Profile::ALL {
            let cluster = of(profile).replicas(1).full_coverage(false).start_in_memory().unwrap();
            cluster.kill(&node(0)).unwrap();
            sleep(10 * SECOND).await;
            let nodes = text(&cluster, 1, "CLUSTER NODES");
            let line = nodes.lines().next().unwrap();
            assert!(line.contains(" master,fail - ") && line.ends_with(" 1 disconnected"), "{line}");
            if profile != Profile::Redis62 {
                let shards = format!("{:?}", ask(&cluster, 1, "CLUSTER SHARDS"));
                assert_eq!(shards.matches("fail").count(), 1);
                let maps = if profile == Profile::Redis70 { 4 } else { 3 };
                assert_eq!(shards.matches("slots").count(), maps, "{profile}: {shards}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_thousand_nodes_are_told_quickly_and_hear_of_a_failover() {
        let cluster = SimCluster::builder().primaries(1000).replicas(1).start_in_memory().unwrap();
        let begin = std::time::Instant::now();
        for line in ["CLUSTER SLOTS", "CLUSTER SHARDS", "CLUSTER NODES", "CLUSTER INFO"] {
            ask(&cluster, 1999, line);
        }
        cluster.kill(&node(0)).unwrap();
        sleep(10 * SECOND).await;
        cluster.restart(&node(0)).unwrap();
        sleep(10 * SECOND).await;
        cluster.move_slot(slot("{t2}"), &node(5)).unwrap();
        sleep(SECOND).await;
        for number in [0, 1, 999, 1000, 1999] {
            let text = text(&cluster, number, "CLUSTER INFO");
            assert!(text.starts_with("cluster_state:ok"), "{text}");
            assert!(text.contains("cluster_current_epoch:2002"), "{text}");
        }
        assert!(begin.elapsed() < 20 * SECOND, "{:?}", begin.elapsed());
    }
}
