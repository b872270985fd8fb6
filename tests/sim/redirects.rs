//! `MOVED` and `ASK` in a whole cluster: followed once, learned where they teach something, and never answered with
//! somebody else's value.

use futures::future::join_all;
use keyslot::testkit::sim::{Endpoint, Fault, FaultId, FaultKind, Profile, SimCluster};
use keyslot::{Client, Command, Commands, ErrorKind, NodeAddr, Outcome, RedirectKind, Value};
use tokio::time::sleep;

use crate::support::{
    MS, SECOND, another, builder, connect, executed_at, key_of, keys_of, owner, primaries, received_by_all,
    slot, soon, three,
};

/// Its keys in one slot, whose name is the tag.
fn tagged(tag: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{{{tag}}}{number}")).collect()
}

/// How many of these the client knows to be served by that node.
fn knows(client: &Client, key: &str) -> NodeAddr {
    client.slot_map().primary_of(slot(key)).unwrap().addr.clone()
}

mod moved {
    use super::{
        Commands, Endpoint, ErrorKind, Fault, FaultKind, MS, Outcome, Profile, RedirectKind, SECOND,
        SimCluster, Value, another, builder, connect, executed_at, join_all, key_of, knows, owner, primaries,
        received_by_all, sleep, slot, soon, tagged, three,
    };

    #[tokio::test(start_paused = true)]
    async fn a_moved_slot_is_asked_for_once_at_its_old_place_and_learned() {
        let cluster = three();
        let client = connect(&cluster).await;
        client.set("k", "1").await.unwrap();
        let (from, to) = (owner(&cluster, "k"), another(&cluster, "k"));
        cluster.move_slot(slot("k"), &to).unwrap();

        for _ in 0..3 {
            assert_eq!(client.get::<String>("k").await.unwrap(), "1");
        }
        assert_eq!(cluster.received(&from, "GET"), 1, "the old owner is asked once");
        assert_eq!(executed_at(&cluster, "GET k"), [to.clone(), to.clone(), to.clone()]);
        assert_eq!(knows(&client, "k"), to);
        let stats = client.stats();
        assert_eq!((stats.moved, stats.asked, stats.retries), (1, 0, 0));
        assert_eq!(stats.redirected_to.get(&to), Some(&1));
    }

    #[tokio::test(start_paused = true)]
    async fn fifty_at_once_are_followed_each_once_and_cause_one_refresh() {
        let cluster = three();
        let client = connect(&cluster).await;
        client.set("{t}", "1").await.unwrap();
        let (from, to) = (owner(&cluster, "{t}"), another(&cluster, "{t}"));
        let topology_before = received_by_all(&cluster, "CLUSTER SLOTS");
        cluster.move_slot(slot("{t}"), &to).unwrap();

        let keys = tagged("t", 50);
        let counted =
            join_all(keys.iter().map(|key| async { client.incr(key.as_str()).await.unwrap() })).await;
        assert_eq!(counted, [1; 50]);
        sleep(SECOND).await;
        for key in &keys {
            assert_eq!(executed_at(&cluster, &format!("INCR {key}")), std::slice::from_ref(&to));
        }
        assert_eq!(cluster.received(&from, "INCR"), 50, "they had all left before the first answer came");
        let stats = client.stats();
        assert_eq!((stats.moved, stats.refreshes, stats.retries), (50, 1, 0));
        assert_eq!(received_by_all(&cluster, "CLUSTER SLOTS") - topology_before, 3, "three nodes, once");
    }

    #[tokio::test(start_paused = true)]
    async fn the_other_slots_of_the_node_stay_where_they_are() {
        let cluster = three();
        let client = connect(&cluster).await;
        let (from, to) = (owner(&cluster, "k"), another(&cluster, "k"));
        let stays = key_of(&cluster, &from, "stays:");
        cluster.move_slot(slot("k"), &to).unwrap();
        client.set("k", "1").await.unwrap();
        client.set(&stays, "2").await.unwrap();
        assert_eq!(knows(&client, &stays), from);
        assert_eq!(client.stats().moved, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refresh_after_one_redirect_teaches_all_slots_that_moved() {
        let cluster = three();
        let client = connect(&cluster).await;
        let from = owner(&cluster, "k");
        let to = another(&cluster, "k");
        let moving: Vec<String> = super::keys_of(&cluster, &from, "k", 100);
        for key in &moving {
            cluster.move_slot(slot(key), &to).unwrap();
        }
        sleep(10 * MS).await;
        client.set(&moving[0], "1").await.unwrap();
        sleep(SECOND).await;
        for key in &moving {
            client.set(key, "2").await.unwrap();
        }
        assert_eq!(client.stats().moved, 1, "the first redirect taught the rest");
        assert_eq!(cluster.received(&from, "SET"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_that_moves_on_and_on_is_followed_each_time() {
        let cluster = SimCluster::builder().primaries(5).start_in_memory().unwrap();
        let client = connect(&cluster).await;
        for round in 0..20 {
            let to = another(&cluster, "k");
            cluster.move_slot(slot("k"), &to).unwrap();
            assert_eq!(client.incr("k").await.unwrap(), round + 1);
            assert_eq!(cluster.ledger().of("INCR k").last().unwrap().node, to);
        }
        assert_eq!(cluster.ledger().count("INCR k"), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_that_point_at_each_other_end_in_an_error_with_the_way_and_no_effect() {
        let cluster = three();
        let client = connect(&cluster).await;
        let (a, b) = (owner(&cluster, "k"), another(&cluster, "k"));
        for (at, to) in [(&a, &b), (&b, &a)] {
            let text = format!("MOVED {} {to}", slot("k"));
            cluster.inject(Fault::new(FaultKind::Error(text)).node(at).command("INCR"));
        }
        let error = client.incr("k").await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Redirects, Outcome::Rejected));
        assert!(error.trail().len() >= 8, "{error}");
        assert!(error.trail().iter().all(|hop| hop.kind == RedirectKind::Moved && hop.slot == slot("k")));
        assert_eq!(cluster.ledger().count("INCR k"), 0);
        cluster.perform(keyslot::testkit::sim::Step::LiftAll).unwrap();
        assert_eq!(client.incr("k").await.unwrap(), 1, "the client has not lost its way for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn a_redirect_to_a_node_that_refuses_is_waited_out() {
        let cluster = three();
        let client = connect(&cluster).await;
        let to = another(&cluster, "k");
        cluster.inject(Fault::new(FaultKind::Refuse).node(&to));
        // Open connections would not be refused.
        cluster.perform(keyslot::testkit::sim::Step::Disconnect(to.clone())).unwrap();
        cluster.move_slot(slot("k"), &to).unwrap();
        cluster.play(keyslot::testkit::sim::Script::new().at(3 * SECOND).lift_all());
        assert_eq!(client.incr("k").await.unwrap(), 1);
        let at = cluster.ledger().of("INCR k").next().unwrap().at;
        assert!((3 * SECOND..5 * SECOND).contains(&at), "{at:?}");
        assert_eq!(cluster.ledger().count("INCR k"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_word_of_one_stale_node_does_not_undo_what_a_redirect_taught() {
        let cluster = three();
        let client = connect(&cluster).await;
        let (from, to) = (owner(&cluster, "k"), another(&cluster, "k"));
        let third = primaries(&cluster).into_iter().find(|node| *node != from && *node != to).unwrap();
        cluster.inject(Fault::new(FaultKind::StaleTopology).node(&third));
        cluster.move_slot(slot("k"), &to).unwrap();
        sleep(10 * MS).await;
        for number in 1..=10 {
            assert_eq!(client.incr("k").await.unwrap(), number);
            sleep(31 * SECOND).await;
        }
        let stats = client.stats();
        assert!(stats.refreshes >= 10, "{stats:?}");
        assert_eq!(stats.moved, 1, "it is outvoted by the others' epoch each time");
        assert_eq!(knows(&client, "k"), to);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_starts_at_a_stale_seed_alone_learns_by_redirects() {
        let cluster = three();
        let (from, to) = (owner(&cluster, "k"), another(&cluster, "k"));
        cluster.inject(Fault::new(FaultKind::StaleTopology).node(&from));
        cluster.move_slot(slot("k"), &to).unwrap();
        sleep(10 * MS).await;
        let client = keyslot::Client::builder()
            .seed(from.clone())
            .connector(cluster.connector())
            .connect()
            .await
            .unwrap();
        assert_eq!(knows(&client, "k"), from);
        client.set("k", "1").await.unwrap();
        client.set("k", "2").await.unwrap();
        assert_eq!((cluster.received(&from, "SET"), cluster.received(&to, "SET")), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_is_in_truth_another_is_not_believed_for_its_slots() {
        let cluster = three();
        let client = connect(&cluster).await;
        let (node, other) = (owner(&cluster, "k"), another(&cluster, "k"));
        client.set("k", "1").await.unwrap();
        // Its address is given anew for a while: who connects comes to another node.
        let fault = cluster.inject(Fault::new(FaultKind::AnswerAs(other.clone())).node(&node));
        cluster.perform(keyslot::testkit::sim::Step::Disconnect(node.clone())).unwrap();
        let error = client.incr("k").timeout(SECOND).await.unwrap_err();
        // `MOVED` to itself, until the redirects are too many or the time is over; nothing was executed.
        assert_ne!(error.outcome(), Outcome::MaybeExecuted, "{error}");
        assert_eq!(cluster.ledger().count("INCR k"), 0);
        cluster.lift(fault);
        cluster.perform(keyslot::testkit::sim::Step::Disconnect(other.clone())).unwrap();
        cluster.perform(keyslot::testkit::sim::Step::Disconnect(node.clone())).unwrap();
        assert_eq!(soon(client.incr("k")).await.unwrap(), 2);
        assert_eq!(executed_at(&cluster, "INCR k"), [node]);
    }

    #[tokio::test(start_paused = true)]
    async fn every_server_version_is_followed_for_both_redirects() {
        for profile in Profile::ALL {
            let cluster = SimCluster::builder().profile(profile).start_in_memory().unwrap();
            let client = connect(&cluster).await;
            let (from, to) = (owner(&cluster, "k"), another(&cluster, "k"));
            client.set("k", "1").await.unwrap();
            cluster.open_slot(slot("k"), &to).unwrap();
            cluster.migrate_keys(slot("k"), 1).unwrap();
            assert_eq!(client.incr("k").await.unwrap(), 2, "{profile}");
            cluster.close_slot(slot("k")).unwrap();
            sleep(10 * MS).await;
            assert_eq!(client.incr("k").await.unwrap(), 3, "{profile}");
            assert_eq!(executed_at(&cluster, "INCR k"), [to.clone(), to.clone()], "{profile}");
            let stats = client.stats();
            assert_eq!((stats.asked, stats.moved), (1, 1), "{profile}");
            assert_eq!(cluster.received(&from, "INCR"), 2, "{profile}");
            assert_eq!(cluster.received(&to, "ASKING"), 1, "{profile}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_form_of_an_endpoint_leads_to_the_node() {
        let forms = [
            (Endpoint::Ip, None),
            (Endpoint::Ip, Some("node.test")),
            (Endpoint::Hostname, Some("node.test")),
            (Endpoint::Hostname, None),
            (Endpoint::Unknown, None),
            (Endpoint::Unknown, Some("node.test")),
        ];
        for profile in Profile::ALL {
            // 6.2 knows addresses only.
            if profile == Profile::Redis62 {
                continue;
            }
            for (endpoint, hostname) in forms {
                let mut shape = SimCluster::builder().profile(profile).endpoint(endpoint);
                if let Some(hostname) = hostname {
                    shape = shape.hostname(hostname);
                }
                let cluster = shape.start_in_memory().unwrap();
                let client = connect(&cluster).await;
                let (from, to) = (owner(&cluster, "k"), another(&cluster, "k"));
                let what = format!("{profile} {endpoint:?} {hostname:?}");
                for node in primaries(&cluster) {
                    client.set(key_of(&cluster, &node, "all:"), "1").await.unwrap();
                }
                assert_eq!(client.stats().moved, 0, "{what}");
                cluster.move_slot(slot("k"), &to).unwrap();
                sleep(10 * MS).await;
                assert_eq!(client.incr("k").await.unwrap(), 1, "{what}");
                assert_eq!(client.incr("k").await.unwrap(), 2, "{what}");
                assert_eq!(executed_at(&cluster, "INCR k"), [to.clone(), to.clone()], "{what}");
                assert!(cluster.received(&from, "INCR") <= 3, "{what}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_the_cluster_does_not_know_yet_is_waited_for() {
        let cluster = three();
        let client = connect(&cluster).await;
        let node = owner(&cluster, "k");
        for to in ["?:7001", ":0"] {
            let text = format!("MOVED {} {to}", slot("k"));
            cluster.inject(Fault::new(FaultKind::Error(text)).node(&node).command("INCR").times(3));
        }
        assert_eq!(client.incr("k").await.unwrap(), 1);
        assert_eq!((cluster.received(&node, "INCR"), client.stats().moved), (7, 0));
        assert_eq!(cluster.ledger().count("INCR k"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_follows_its_slot_as_a_whole() {
        let cluster = three();
        let client = connect(&cluster).await;
        let (from, to) = (owner(&cluster, "{t}"), another(&cluster, "{t}"));
        cluster.move_slot(slot("{t}"), &to).unwrap();
        let mut transaction = client.transaction();
        transaction.incr("{t}a").incr("{t}b").incr("{t}a");
        let replies: (i64, i64, i64) = transaction.run().await.unwrap();
        assert_eq!(replies, (1, 1, 2));
        let effects: Vec<_> =
            cluster.ledger().iter().map(|effect| (effect.node.clone(), effect.line())).collect();
        let lines = ["INCR {t}a", "INCR {t}b", "INCR {t}a"].map(|line| (to.clone(), line.to_owned()));
        assert_eq!(effects, lines);
        assert_eq!((cluster.received(&from, "EXEC"), cluster.received(&to, "EXEC")), (1, 1));
        let nil: Value = client.execute(super::Command::new("GET").key("{t}none")).await.unwrap();
        assert_eq!(nil, Value::Nil);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_of_no_redirects_gives_the_redirect_as_the_error() {
        let cluster = three();
        let client = builder(&cluster).max_redirects(0).connect().await.unwrap();
        let to = another(&cluster, "k");
        cluster.move_slot(slot("k"), &to).unwrap();
        let error = client.incr("k").await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Redirects, Outcome::Rejected));
        assert_eq!(error.last_redirect().unwrap().to, to);
        assert_eq!(cluster.ledger().count("INCR k"), 0);
    }
}

mod ask {
    use super::{
        Command, Commands, Fault, FaultKind, MS, SECOND, another, connect, executed_at, join_all, keys_of,
        knows, owner, slot, soon, tagged, three,
    };
    use keyslot::testkit::sim::SimCluster;
    use keyslot::{Client, NodeAddr, Outcome, Value};

    /// The slot of `{t}` is on its way, all its keys have gone already.
    async fn opened() -> (SimCluster, Client, NodeAddr, NodeAddr) {
        let cluster = three();
        let client = connect(&cluster).await;
        let (from, to) = (owner(&cluster, "{t}"), another(&cluster, "{t}"));
        cluster.open_slot(slot("{t}"), &to).unwrap();
        (cluster, client, from, to)
    }

    #[tokio::test(start_paused = true)]
    async fn an_ask_is_followed_each_time_and_changes_nothing_in_the_map() {
        let (cluster, client, from, to) = opened().await;
        let refreshes = client.stats().refreshes;
        for number in 1..=5 {
            assert_eq!(client.incr("{t}a").await.unwrap(), number);
        }
        assert_eq!(knows(&client, "{t}"), from);
        assert_eq!(executed_at(&cluster, "INCR {t}a"), vec![to.clone(); 5]);
        assert_eq!(cluster.received(&from, "INCR"), 5, "who asks is told anew each time");
        assert_eq!(cluster.received(&to, "ASKING"), 5);
        let stats = client.stats();
        assert_eq!((stats.asked, stats.moved, stats.refreshes), (5, 0, refreshes));
    }

    #[tokio::test(start_paused = true)]
    async fn asking_and_its_command_stay_together_among_sixty_four_tasks_on_the_same_link() {
        let (cluster, client, from, to) = opened().await;
        let others = keys_of(&cluster, &to, "other:", 64);
        for key in &others {
            client.set(key, format!("value of {key}")).await.unwrap();
        }
        let tasks = others.into_iter().enumerate().map(|(number, other)| {
            let client = client.clone();
            tokio::spawn(async move {
                for round in 1..=20 {
                    if number % 2 == 0 {
                        assert_eq!(client.incr(format!("{{t}}{number}")).await.unwrap(), round);
                    } else {
                        let value = client.get::<String>(&other).await.unwrap();
                        assert_eq!(value, format!("value of {other}"));
                    }
                }
            })
        });
        for task in join_all(tasks).await {
            task.unwrap();
        }
        let stats = client.stats();
        // Had anything come between, the importing node would have sent it back by MOVED.
        assert_eq!((stats.asked, stats.moved, stats.retries), (32 * 20, 0, 0));
        assert_eq!(cluster.received(&to, "ASKING"), 32 * 20);
        for number in (0..64).step_by(2) {
            assert_eq!(executed_at(&cluster, &format!("INCR {{t}}{number}")), vec![to.clone(); 20]);
        }
        assert_eq!(cluster.connections_accepted(&to), 1);
        assert_eq!(cluster.received(&from, "ASKING"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipeline_over_a_moving_slot_repeats_the_redirected_commands_only() {
        let cluster = three();
        let client = connect(&cluster).await;
        let keys = tagged("t", 20);
        for key in &keys {
            client.set(key, "0").await.unwrap();
        }
        let (from, to) = (owner(&cluster, "{t}"), another(&cluster, "{t}"));
        let elsewhere = keys_of(&cluster, &to, "other:", 5);
        cluster.open_slot(slot("{t}"), &to).unwrap();
        cluster.migrate_keys(slot("{t}"), 8).unwrap();

        let mut pipe = client.pipeline();
        for key in keys.iter().chain(&elsewhere) {
            pipe.incr(key);
        }
        let replies: Vec<i64> = pipe.run().await.unwrap();
        assert_eq!(replies, [1; 25]);
        for key in &keys {
            assert_eq!(cluster.ledger().count(&format!("INCR {key}")), 1);
        }
        let at_source =
            keys.iter().filter(|key| executed_at(&cluster, &format!("INCR {key}"))[0] == from).count();
        assert_eq!(at_source, 12);
        assert_eq!((cluster.received(&from, "INCR"), cluster.received(&to, "INCR")), (20, 8 + 5));
        assert_eq!(cluster.received(&to, "ASKING"), 8, "one before each, and none before the others");
        assert_eq!((client.stats().asked, client.stats().moved), (8, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipeline_keeps_the_order_of_a_keys_commands_over_an_ask() {
        let (cluster, client, _, to) = opened().await;
        let mut pipe = client.pipeline();
        for number in 0..50 {
            pipe.push(Command::new("RPUSH").key("{t}list").arg(number));
        }
        let lengths: Vec<i64> = pipe.run().await.unwrap();
        assert_eq!(lengths, (1..=50).collect::<Vec<_>>());
        let list: Vec<i64> = client.lrange("{t}list", 0, -1).await.unwrap();
        assert_eq!(list, (0..50).collect::<Vec<_>>());
        assert!(cluster.ledger().with_key("{t}list").all(|effect| effect.node == to));
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_needs_one_asking_for_all_of_it() {
        let (cluster, client, from, to) = opened().await;
        let mut transaction = client.transaction();
        transaction.set("{t}a", "1").incr("{t}a");
        let replies: ((), i64) = transaction.run().await.unwrap();
        assert_eq!(replies.1, 2);
        assert_eq!(executed_at(&cluster, "INCR {t}a"), std::slice::from_ref(&to));
        assert_eq!((cluster.received(&to, "ASKING"), cluster.received(&to, "EXEC")), (1, 1));
        assert_eq!(cluster.received(&from, "EXEC"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_that_is_closed_behind_an_ask_is_learned_by_the_next_moved() {
        let (cluster, client, from, to) = opened().await;
        assert_eq!(client.incr("{t}a").await.unwrap(), 1);
        cluster.close_slot(slot("{t}")).unwrap();
        tokio::time::sleep(10 * MS).await;
        assert_eq!(client.incr("{t}a").await.unwrap(), 2);
        assert_eq!(client.incr("{t}a").await.unwrap(), 3);
        assert_eq!(cluster.received(&from, "INCR"), 2);
        assert_eq!(knows(&client, "{t}"), to);
    }

    #[tokio::test(start_paused = true)]
    async fn an_asked_command_whose_connection_dies_behind_it_is_not_repeated_unless_it_may_be() {
        let (cluster, client, _, to) = opened().await;
        cluster.inject(Fault::new(FaultKind::CloseAfter).node(&to).command("INCR").times(1));
        let error = client.incr("{t}a").await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::MaybeExecuted);
        assert_eq!(error.trail().len(), 1);
        assert_eq!(cluster.ledger().count("INCR {t}a"), 1);
        cluster.inject(Fault::new(FaultKind::CloseAfter).node(&to).command("GET").times(1));
        assert_eq!(client.get::<i64>("{t}a").await.unwrap(), 1);
        assert_eq!(cluster.ledger().count("GET {t}a"), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_dies_at_asking_leaves_the_command_unexecuted() {
        for kind in [FaultKind::CloseBefore, FaultKind::CloseAfter] {
            let (cluster, client, _, to) = opened().await;
            cluster.inject(Fault::new(kind.clone()).node(&to).command("ASKING").times(1));
            match client.incr("{t}a").await {
                Ok(value) => assert_eq!(value, 1),
                Err(error) => assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{kind:?}"),
            }
            assert!(cluster.ledger().count("INCR {t}a") <= 1, "{kind:?}");
            client.set("{t}b", "1").await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_asking_that_is_refused_does_not_pass_for_its_commands_answer() {
        let (cluster, client, from, to) = opened().await;
        cluster.inject(
            Fault::new(FaultKind::Error("ERR unknown command 'ASKING'".to_owned()))
                .command("ASKING")
                .times(1),
        );
        // Without ASKING the importing node sends it back, and the way begins anew.
        assert_eq!(client.incr("{t}a").await.unwrap(), 1);
        assert_eq!(executed_at(&cluster, "INCR {t}a"), std::slice::from_ref(&to));
        assert_eq!((cluster.received(&from, "INCR"), cluster.received(&to, "INCR")), (2, 2));
    }

    /// What a caller may be told when the replies to `ASKING` are one too few or one too many: its own value or an
    /// error, never another's.
    async fn with_a_wrong_count_of_replies(kind: FaultKind) {
        for writes in [false, true] {
            let (cluster, client, _, to) = opened().await;
            let others = keys_of(&cluster, &to, "other:", 16);
            for key in &others {
                client.set(key, key).await.unwrap();
            }
            for number in 0..16 {
                client.set(format!("{{t}}{number}"), format!("{{t}}{number}")).await.unwrap();
            }
            cluster.inject(Fault::new(kind.clone()).node(&to).command("ASKING").skip(3).times(1));
            let asked = (0..16).map(|number| {
                let (client, key) = (client.clone(), format!("{{t}}{number}"));
                tokio::spawn(async move {
                    if writes {
                        let reply =
                            client.execute::<Value>(Command::new("SET").key(&key).arg(&key)).timeout(SECOND);
                        if let Ok(reply) = reply.await {
                            assert_eq!(reply, Value::Simple("OK".into()), "SET {key}");
                        }
                    } else if let Ok(value) = client.get::<Value>(&key).timeout(SECOND).await {
                        assert_eq!(value, Value::Bulk(key.into()));
                    }
                })
            });
            let usual = others.into_iter().map(|key| {
                let client = client.clone();
                tokio::spawn(async move {
                    for _ in 0..10 {
                        if let Ok(value) = client.get::<Value>(&key).timeout(SECOND).await {
                            assert_eq!(
                                value,
                                Value::Bulk(key.clone().into()),
                                "{kind:?}",
                                kind = "asked beside"
                            );
                        }
                    }
                })
            });
            for task in soon(join_all(asked.chain(usual).collect::<Vec<_>>())).await {
                task.unwrap();
            }
            // Whatever became of them, the client is sound again.
            for number in 0..16 {
                let key = format!("{{t}}{number}");
                assert_eq!(soon(client.get::<String>(&key)).await.unwrap(), key);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_reply_to_asking_swaps_no_values() {
        with_a_wrong_count_of_replies(FaultKind::LoseReply).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_doubled_reply_to_asking_swaps_no_values() {
        with_a_wrong_count_of_replies(FaultKind::DuplicateReply).await;
    }
}

/// The slot of `k` is on its way to a node that refuses, to which the client has no connection yet.
async fn on_its_way_to_a_node_that_is_down() -> (SimCluster, Client, NodeAddr, FaultId) {
    let cluster = three();
    let (from, to) = (owner(&cluster, "k"), another(&cluster, "k"));
    let client = Client::builder().seed(from).connector(cluster.connector()).connect().await.unwrap();
    cluster.open_slot(slot("k"), &to).unwrap();
    let fault = cluster.inject(Fault::new(FaultKind::Refuse).node(&to));
    (cluster, client, to, fault)
}

#[tokio::test(start_paused = true)]
async fn a_target_of_redirects_that_is_down_for_a_moment_is_waited_for() {
    let (cluster, client, to, fault) = on_its_way_to_a_node_that_is_down().await;
    let (written, ()) = tokio::join!(client.incr("k"), async {
        sleep(3 * SECOND).await;
        cluster.lift(fault);
    });
    assert_eq!(written.unwrap(), 1);
    assert_eq!(executed_at(&cluster, "INCR k"), [to]);
}

#[tokio::test(start_paused = true)]
async fn a_target_of_redirects_that_stays_down_is_told_as_such() {
    let (cluster, client, to, _fault) = on_its_way_to_a_node_that_is_down().await;
    let error = client.incr("k").timeout(5 * SECOND).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Connect, Outcome::NotSent), "{error}");
    assert!(error.to_string().contains(&to.to_string()), "{error}");
    assert_eq!(cluster.ledger().count("INCR k"), 0);
}
