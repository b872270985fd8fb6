//! What a client tells of itself and of the cluster: each figure rises by what it counts and by nothing else, and each
//! change of the cluster is told once.

use futures::future::join_all;
use futures::{FutureExt, StreamExt};
use keyslot::testkit::sim::{Fault, FaultKind, Profile, SimCluster};
use keyslot::{
    Client, Commands, NodeAddr, NodeStats, Outcome, RefreshCause, Slot, SlotRange, TopologyEvent,
    TopologyEvents,
};
use tokio::time::sleep;

use crate::support::{
    MS, SECOND, another, builder, connect, keys_of, owner, primaries, replicated, slot, soon, three,
};

fn of(client: &Client, node: &NodeAddr) -> NodeStats {
    client.stats().nodes.get(node).cloned().unwrap_or_default()
}

/// What is told before nothing more comes for a second.
async fn told(events: &mut TopologyEvents) -> Vec<TopologyEvent> {
    let mut told = Vec::new();
    while let Ok(Some(event)) = tokio::time::timeout(SECOND, events.next()).await {
        told.push(event);
    }
    told
}

fn shown(events: &[TopologyEvent]) -> Vec<String> {
    events.iter().map(ToString::to_string).collect()
}

mod figures {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_is_counted_until_it_is_answered() {
        let cluster = three();
        let client = connect(&cluster).await;
        let node = owner(&cluster, "k");
        client.set("k", "1").await.unwrap();
        let idle = of(&client, &node);
        assert_eq!((idle.in_flight, idle.queued_bytes, idle.connections), (0, 0, 1));
        cluster.inject(Fault::new(FaultKind::DelayReply(90 * MS)).command("GET").node(&node));
        let keys = keys_of(&cluster, &node, "k", 10);
        let (_, busy) =
            futures::join!(join_all(keys.iter().map(|key| client.get::<Option<String>>(key))), async {
                sleep(45 * MS).await;
                of(&client, &node)
            });
        assert_eq!(busy.in_flight, 10);
        assert_eq!(busy.queued_bytes, 10 * 256, "what each takes of the budget at least");
        let after = of(&client, &node);
        assert_eq!((after.in_flight, after.queued_bytes), (0, 0));
        assert_eq!(
            (after.requests - idle.requests, after.writes - idle.writes),
            (10, 1),
            "one write for all"
        );
        let others = primaries(&cluster).into_iter().filter(|other| *other != node);
        for other in others {
            assert_eq!(of(&client, &other).errors, idle.errors);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn blocking_commands_show_as_exclusive_connections_and_never_as_round_trips() {
        let cluster = three();
        let client = connect(&cluster).await;
        let node = owner(&cluster, "list");
        let before = of(&client, &node);
        let pop = client.blpop::<Option<(String, String)>>(["list"], 3.0);
        let (popped, meanwhile) = futures::join!(pop, async {
            sleep(SECOND).await;
            of(&client, &node)
        });
        assert_eq!(popped.unwrap(), None);
        assert_eq!((meanwhile.exclusive_in_use, meanwhile.in_flight), (1, 0));
        let after = of(&client, &node);
        assert_eq!(after.exclusive_in_use, 0);
        assert_eq!(after.round_trips, before.round_trips);
        assert_eq!(after.requests - before.requests, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_round_trip_is_that_of_the_first_reply_to_a_batch() {
        let cluster = three();
        let client = connect(&cluster).await;
        let node = owner(&cluster, "k");
        client.get::<Option<String>>("k").await.unwrap();
        let before = of(&client, &node).round_trips;
        for (place, delay) in [10, 10, 10, 90].into_iter().enumerate() {
            // One batch in four is measured, whichever of these.
            cluster.inject(Fault::new(FaultKind::DelayReply(delay * MS)).command("GET").node(&node).times(4));
            for _ in 0..4 {
                client.get::<Option<String>>("k").await.unwrap();
            }
            assert_eq!(of(&client, &node).round_trips.count() - before.count(), place as u64 + 1);
        }
        let trips = of(&client, &node).round_trips;
        assert_eq!(trips.max(), Some(90 * MS));
        // Those before took no time of the paused clock.
        let median_of_new = 100.0 * (before.count() as f64 + 2.0) / trips.count() as f64;
        let told = trips.percentile(median_of_new).unwrap();
        assert!(told.abs_diff(10 * MS) <= 10 * MS * 32 / 1000, "{told:?}");
        assert_eq!(client.stats().round_trips().max(), Some(90 * MS));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_behind_another_is_not_taken_for_answered_by_the_replies_to_that() {
        let cluster = three();
        let client = connect(&cluster).await;
        let node = owner(&cluster, "k");
        client.get::<Option<String>>("k").await.unwrap();
        // A batch every 90 ms that is answered after 100 ms: each is written while the one before waits for its reply.
        cluster.inject(Fault::new(FaultKind::DelayReply(100 * MS)).command("GET").node(&node));
        let before = of(&client, &node).round_trips;
        let batches = (0..40).map(|number| {
            let client = client.clone();
            async move {
                sleep(number * 90 * MS).await;
                client.get::<Option<String>>("k").await.unwrap()
            }
        });
        join_all(batches).await;
        let trips = of(&client, &node).round_trips;
        assert!(trips.count() - before.count() >= 8, "{trips:?}");
        // The fault holds up what stands behind it too, so none is answered sooner.
        let slow: u64 = trips.buckets().filter(|(below, _)| *below > 99 * MS).map(|(_, count)| count).sum();
        assert_eq!(slow, trips.count() - before.count(), "{trips:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn redirects_are_told_of_the_node_that_sent_them() {
        let cluster = three();
        let client = connect(&cluster).await;
        client.set("k", "1").await.unwrap();
        let (from, to) = (owner(&cluster, "k"), another(&cluster, "k"));
        cluster.open_slot(slot("k"), &to).unwrap();
        cluster.migrate_keys(slot("k"), 10).unwrap();
        assert_eq!(client.get::<String>("k").await.unwrap(), "1");
        cluster.close_slot(slot("k")).unwrap();
        assert_eq!(client.get::<String>("k").await.unwrap(), "1");
        let stats = client.stats();
        assert_eq!((stats.moved, stats.asked), (1, 1));
        assert_eq!((of(&client, &from).moved, of(&client, &from).asked), (1, 1));
        assert_eq!((of(&client, &to).moved, of(&client, &to).asked), (0, 0));
        assert_eq!(stats.redirected_to.get(&to), Some(&2));
    }

    #[tokio::test(start_paused = true)]
    async fn each_error_counts_once_by_its_outcome_at_its_node() {
        let cluster = three();
        let client = connect(&cluster).await;
        let node = owner(&cluster, "k");
        let once = |kind| cluster.inject(Fault::new(kind).command("INCR").times(1));
        once(FaultKind::CloseAfter);
        assert_eq!(client.incr("k").await.unwrap_err().outcome(), Outcome::MaybeExecuted);
        once(FaultKind::Error("OOM no".to_owned()));
        assert_eq!(client.incr("k").await.unwrap_err().outcome(), Outcome::Rejected);
        let down = cluster.inject(Fault::new(FaultKind::Error("CLUSTERDOWN no".to_owned())).command("INCR"));
        assert_eq!(client.incr("k").await.unwrap_err().outcome(), Outcome::NotSent);
        cluster.lift(down);
        let counts = of(&client, &node).errors;
        assert_eq!((counts.maybe_executed, counts.rejected, counts.not_sent), (1, 1, 1));
        assert_eq!(client.stats().errors, counts);
        // Each command of a pipeline by itself; what succeeds counts nowhere.
        client.set("k", "text").await.unwrap();
        let mut pipeline = client.pipeline();
        pipeline.incr("k").get("k").incr("k");
        pipeline.run_each().await.unwrap();
        assert_eq!(of(&client, &node).errors.rejected, 3);
        assert!(client.stats().retries > 0);
        assert_eq!(of(&client, &node).retries, client.stats().retries);
        // A session's command counts as well.
        let mut session = client.session("k").await.unwrap();
        session.incr("k").await.unwrap_err();
        assert_eq!(of(&client, &node).errors.rejected, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_told_as_made_failed_lost_and_made_again() {
        let cluster = three();
        let client = connect(&cluster).await;
        let node = owner(&cluster, "k");
        client.set("k", "1").await.unwrap();
        let before = of(&client, &node);
        assert_eq!((before.connects, before.connections, before.reconnects), (1, 1, 0));
        cluster.inject(Fault::new(FaultKind::CloseAfter).command("INCR").times(1));
        client.incr("k").await.unwrap_err();
        client.get::<String>("k").await.unwrap();
        let lost = of(&client, &node);
        assert_eq!((lost.connects, lost.disconnects, lost.reconnects, lost.connections), (2, 1, 1, 1));
        let refuses = cluster.inject(Fault::new(FaultKind::Refuse).node(&node));
        cluster.inject(Fault::new(FaultKind::CloseAfter).command("INCR").times(1));
        client.incr("k").await.unwrap_err();
        let waiting = async {
            sleep(SECOND).await;
            let failed = of(&client, &node);
            cluster.lift(refuses);
            failed
        };
        let (value, failed) = futures::join!(client.get::<String>("k"), waiting);
        value.unwrap();
        assert!(failed.connect_failures > 0, "{failed:?}");
        assert_eq!(failed.connections, 0);
        assert_eq!(client.stats().connect_failures, of(&client, &node).connect_failures);
        client.close().await;
        // Their tasks are told to stop, and do at their next turn.
        sleep(MS).await;
        assert_eq!(of(&client, &node).connections, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refresh_tells_what_it_was_for() {
        let causes = |client: &Client| client.stats().refresh_causes;
        let cluster = three();
        let client = connect(&cluster).await;
        assert_eq!(causes(&client).len(), 0);
        sleep(31 * SECOND).await;
        assert_eq!(causes(&client), [(RefreshCause::Interval, 1)].into());
        client.set("k", "1").await.unwrap();
        cluster.move_slot(slot("k"), &another(&cluster, "k")).unwrap();
        client.set("k", "2").await.unwrap();
        sleep(SECOND).await;
        assert_eq!(causes(&client).get(&RefreshCause::Moved), Some(&1));
        cluster.inject(Fault::new(FaultKind::CloseAfter).command("INCR").times(1));
        client.incr("k").await.unwrap_err();
        sleep(SECOND).await;
        assert_eq!(causes(&client).get(&RefreshCause::Connection), Some(&1));
        cluster.inject(Fault::new(FaultKind::Error("CLUSTERDOWN no".to_owned())).command("INCR").times(1));
        client.incr("k").await.unwrap();
        sleep(SECOND).await;
        assert_eq!(causes(&client).get(&RefreshCause::Refused), Some(&1));
        assert_eq!(client.stats().refreshes, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hot_slot_shows_with_its_share() {
        let cluster = three();
        let client = connect(&cluster).await;
        assert!(client.hot_slots(10).is_empty());
        // Two of three commands on one key: single ones, and those of pipelines.
        for round in 0..300 {
            let mut pipeline = client.pipeline();
            for number in 0..100 {
                pipeline.get("hot").get("hot").get(format!("k{}", round * 100 + number));
            }
            pipeline.run_each().await.unwrap();
            let singles = (0..60).map(|number| {
                client.get::<Option<String>>(if number % 3 > 0 {
                    "hot".to_owned()
                } else {
                    format!("s{number}")
                })
            });
            join_all(singles).await;
        }
        let hot = client.hot_slots(3);
        assert_eq!(hot.len(), 3);
        assert_eq!(hot[0].slot, slot("hot"));
        assert_eq!(hot[0].node, Some(owner(&cluster, "hot")));
        // About 105 samples in all: 0.667 with a deviation of 0.046.
        assert!((0.45..0.88).contains(&hot[0].share), "{hot:?}");
        assert!(hot[0].samples > 40 && hot[1].share < 0.1, "{hot:?}");
    }
}

mod topology_events {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failover_is_told_as_a_promotion_and_the_slots_that_went_with_it() {
        for profile in [Profile::Redis62, Profile::Valkey91] {
            let cluster = replicated().profile(profile).start_in_memory().unwrap();
            let client = connect(&cluster).await;
            client.set("k", "1").await.unwrap();
            let mut events = client.topology_events();
            assert!(events.next().now_or_never().is_none(), "nothing has changed");
            let primary = owner(&cluster, "k");
            let replica = cluster.replicas_of(&primary).remove(0);
            let before = client.slot_map();
            cluster.kill(&primary).unwrap();
            client.incr("k").await.unwrap();
            let told = told(&mut events).await;
            let promotions: Vec<_> = told
                .iter()
                .filter_map(|event| match event {
                    TopologyEvent::PrimaryPromoted { node, replaced, .. } => Some((node, replaced)),
                    _other => None,
                })
                .collect();
            assert_eq!(promotions, [(&replica, &primary)], "{profile}: {:?}", shown(&told));
            let mut moved: Vec<Slot> = Vec::new();
            for event in &told {
                if let TopologyEvent::SlotsMoved { ranges, from, to, .. } = event {
                    assert_eq!((from.as_ref(), to.as_ref()), (Some(&primary), Some(&replica)), "{profile}");
                    let slots = |range: &SlotRange| range.first.get()..=range.last.get();
                    moved.extend(ranges.iter().flat_map(slots).filter_map(Slot::new));
                }
            }
            moved.sort_by_key(|slot| slot.get());
            let had: Vec<Slot> =
                Slot::all().filter(|slot| before.primary_of(*slot).unwrap().addr == primary).collect();
            assert_eq!(moved, had, "{profile}: each slot once");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_that_moves_is_told_once_and_the_map_has_it_then() {
        let cluster = three();
        let client = connect(&cluster).await;
        let mut events = client.topology_events();
        let (from, to) = (owner(&cluster, "k"), another(&cluster, "k"));
        cluster.move_slot(slot("k"), &to).unwrap();
        client.set("k", "1").await.unwrap();
        let event = soon(events.next()).await.unwrap();
        assert_eq!(event.to_string(), format!("slots {} went from {from} to {to}", slot("k")));
        assert_eq!(client.slot_map().primary_of(slot("k")).unwrap().addr, to);
        assert_eq!(shown(&told(&mut events).await), [""; 0], "the refresh behind it brings nothing new");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_comes_and_goes_is_told() {
        let cluster = SimCluster::builder().primaries(3).start_in_memory().unwrap();
        let client = builder(&cluster).refresh_interval(SECOND / 2).connect().await.unwrap();
        let mut events = client.topology_events();
        let new = cluster.add_node().await.unwrap();
        // The others hear of it.
        sleep(SECOND).await;
        cluster.move_slot(slot("k"), &new).unwrap();
        client.set("k", "1").await.unwrap();
        let first = shown(&told(&mut events).await);
        assert_eq!(first.first(), Some(&format!("{new} was added as a primary")), "{first:?}");
        assert!(first.iter().any(|event| event.ends_with(&format!("to {new}"))), "{first:?}");
        cluster.move_slot(slot("k"), &primaries(&cluster)[0]).unwrap();
        cluster.kill(&new).unwrap();
        client.set("k", "1").await.unwrap();
        sleep(5 * SECOND).await;
        let then = shown(&told(&mut events).await);
        let last = [format!("{new} has left"), format!("{new} is failed")];
        assert!(then.iter().any(|event| last.contains(event)), "{then:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_told_the_way_from_what_it_knew_to_what_is() {
        let cluster = three();
        let client = connect(&cluster).await;
        let nodes = primaries(&cluster);
        let from = owner(&cluster, "k");
        let mut events = client.topology_events();
        let mut early = client.topology_events();
        let others: Vec<_> = nodes.iter().filter(|node| **node != from).collect();
        for to in [others[0], others[1]] {
            cluster.move_slot(slot("k"), to).unwrap();
            client.set("k", "1").await.unwrap();
            assert_eq!(told(&mut early).await.len(), 1);
        }
        let told = shown(&told(&mut events).await);
        assert_eq!(told, [format!("slots {} went from {from} to {}", slot("k"), others[1])]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_wait_loses_nothing() {
        let cluster = three();
        let client = connect(&cluster).await;
        let mut events = client.topology_events();
        assert!(events.next().now_or_never().is_none());
        let to = another(&cluster, "k");
        cluster.move_slot(slot("k"), &to).unwrap();
        client.set("k", "1").await.unwrap();
        // Polled once and dropped, until it is there.
        let mut seen = None;
        for _ in 0..100 {
            seen = seen.or(events.next().now_or_never());
            sleep(MS).await;
        }
        assert!(matches!(seen, Some(Some(TopologyEvent::SlotsMoved { .. }))), "{seen:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_stream_ends_with_the_client_and_does_not_keep_it() {
        let cluster = three();
        let client = connect(&cluster).await;
        let (mut closed, other) = (client.topology_events(), client.topology_events());
        client.close().await;
        assert_eq!(soon(closed.next()).await, None);
        assert_eq!(soon(closed.next()).await, None, "and stays at its end");
        assert_eq!(soon(other.collect::<Vec<_>>()).await, []);
        assert_eq!(soon(client.topology_events().next()).await, None, "made after the end");
        let client = connect(&cluster).await;
        client.set("k", "1").await.unwrap();
        let mut dropped = client.topology_events();
        drop(client);
        assert_eq!(soon(dropped.next()).await, None);
    }
}
