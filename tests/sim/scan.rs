//! A scan of the whole cluster: every key that is there all the time is given, whatever slots and nodes do meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use keyslot::testkit::sim::{Fault, FaultKind, Profile, SimCluster};
use keyslot::{Bytes, Client, Command, Commands, ErrorKind, NodeAddr, Result, Scan, ScanPages, Slot, Target};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{
    MS, SECOND, another, builder, connect, keys_of, owner, primaries, received_by_all, replicated, slot,
    soon, three,
};

/// Writes so many keys and waits until the replicas have them.
async fn filled(client: &Client, count: usize) -> BTreeSet<String> {
    let keys: BTreeSet<String> = (0..count).map(|number| format!("key:{number}")).collect();
    client.mset(keys.iter().map(|key| (key, "v"))).await.unwrap();
    sleep(30 * SECOND).await;
    keys
}

fn text(key: Bytes) -> String {
    String::from_utf8(key.to_vec()).unwrap()
}

/// The keys of the pages that are left, in their order.
async fn rest(pages: &mut ScanPages) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(page) = soon(pages.next()).await {
        found.extend(page.unwrap().into_iter().map(text));
    }
    found
}

/// The keys of so many pages.
async fn some(pages: &mut ScanPages, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..count {
        found.extend(soon(pages.next()).await.unwrap().unwrap().into_iter().map(text));
    }
    found
}

async fn all(scan: Scan) -> Vec<String> {
    rest(&mut scan.pages()).await
}

fn set<'a>(found: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
    found.into_iter().cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn every_key_of_every_node_is_given_once_while_nothing_moves() {
    for profile in Profile::ALL {
        for parallel in [1, 2, 16] {
            let cluster = SimCluster::builder().primaries(5).profile(profile).start_in_memory().unwrap();
            let client = connect(&cluster).await;
            let keys = filled(&client, 1000).await;
            let found = all(client.scan().count(7).parallel(parallel)).await;
            assert_eq!((found.len(), set(&found)), (1000, keys.clone()), "{profile}");
            let mut stream = client.scan().parallel(parallel).keys();
            let mut each = Vec::new();
            while let Some(key) = StreamExt::next(&mut stream).await {
                each.push(text(key.unwrap()));
            }
            assert_eq!((each.len(), set(&each)), (1000, keys), "{profile}");
            assert_eq!(stream.slots_done(), 16384);
            assert!(stream.next().await.is_none());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_matches_is_given_and_a_tag_in_the_pattern_spares_the_other_nodes() {
    let cluster = three();
    let client = connect(&cluster).await;
    filled(&client, 300).await;
    client.mset((0..50).map(|number| (format!("{{t}}:{number}"), "v"))).await.unwrap();
    client.rpush("a list", ["x"]).await.unwrap();
    assert_eq!(all(client.scan().pattern("key:1?").count(10)).await.len(), 10);
    assert_eq!(all(client.scan().of_type("list")).await, ["a list"]);
    assert_eq!(all(client.scan().of_type("list").pattern("key:*")).await, [""; 0]);
    assert_eq!(all(client.scan().pattern("a list")).await, ["a list"]);
    let before = received_by_all(&cluster, "SCAN");
    assert_eq!(all(client.scan().pattern("{t}*").count(1000)).await.len(), 50);
    assert_eq!(received_by_all(&cluster, "SCAN"), before + 1);
}

#[tokio::test(start_paused = true)]
async fn an_empty_cluster_has_no_page() {
    let cluster = three();
    let client = connect(&cluster).await;
    assert!(client.scan().pages().next().await.is_none());
    assert!(client.scan().keys().next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn slots_that_move_to_nodes_that_were_scanned_are_not_missed() {
    for profile in Profile::ALL {
        let cluster = SimCluster::builder().profile(profile).start_in_memory().unwrap();
        let client = connect(&cluster).await;
        let keys = filled(&client, 600).await;
        let mut pages = client.scan().count(20).parallel(1).pages();
        let mut found = Vec::new();
        // With each page some slots go to another node, often back to one that was scanned.
        for round in 0..25 {
            found.extend(some(&mut pages, 1).await);
            for key in keys.iter().skip(round * 7).take(7) {
                cluster.move_slot(slot(key), &another(&cluster, key)).unwrap();
            }
            // Gossip takes its time: the client and the nodes may be behind.
            sleep(u32::try_from(round % 3).unwrap() * 20 * MS).await;
        }
        found.extend(rest(&mut pages).await);
        assert_eq!(set(&found), keys, "{profile}");
        assert!(found.len() < 2 * keys.len(), "{profile}: {} for {}", found.len(), keys.len());
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_travel_one_by_one_are_not_missed() {
    for profile in Profile::ALL {
        for parallel in [1, 3] {
            let cluster = SimCluster::builder().profile(profile).start_in_memory().unwrap();
            let client = connect(&cluster).await;
            let mut keys = filled(&client, 200).await;
            let tagged: Vec<String> = (0..100).map(|number| format!("{{t}}:{number}")).collect();
            client.mset(tagged.iter().map(|key| (key, "v"))).await.unwrap();
            keys.extend(tagged);
            for to in [another(&cluster, "{t}"), owner(&cluster, "{t}"), another(&cluster, "key:1")] {
                if to == owner(&cluster, "{t}") {
                    continue;
                }
                let mut pages = client.scan().count(20).parallel(parallel).pages();
                let mut found = some(&mut pages, 2).await;
                cluster.open_slot(slot("{t}"), &to).unwrap();
                for _ in 0..8 {
                    cluster.migrate_keys(slot("{t}"), 10).unwrap();
                    found.extend(some(&mut pages, 1).await);
                }
                cluster.migrate_keys(slot("{t}"), 100).unwrap();
                cluster.close_slot(slot("{t}")).unwrap();
                found.extend(rest(&mut pages).await);
                assert_eq!(set(&found), keys, "{profile}, {parallel}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_stays_open_is_scanned_on_both_sides() {
    for profile in Profile::ALL {
        let cluster = SimCluster::builder().profile(profile).start_in_memory().unwrap();
        let client = connect(&cluster).await;
        let mut keys = filled(&client, 200).await;
        let tagged: Vec<String> = (0..40).map(|number| format!("{{t}}:{number}")).collect();
        client.mset(tagged.iter().map(|key| (key, "v"))).await.unwrap();
        keys.extend(tagged);
        cluster.open_slot(slot("{t}"), &another(&cluster, "{t}")).unwrap();
        cluster.migrate_keys(slot("{t}"), 15).unwrap();
        let mut pages = client.scan().count(20).pages();
        let mut found = some(&mut pages, 3).await;
        cluster.migrate_keys(slot("{t}"), 10).unwrap();
        found.extend(rest(&mut pages).await);
        assert_eq!(set(&found), keys, "{profile}");
        assert_eq!(pages.slots_done(), 16384);
    }
}

#[tokio::test(start_paused = true)]
async fn a_move_that_was_undone_is_noticed() {
    let cluster = three();
    let client = connect(&cluster).await;
    let mut keys = filled(&client, 300).await;
    let tagged: Vec<String> = (0..40).map(|number| format!("{{t}}:{number}")).collect();
    client.mset(tagged.iter().map(|key| (key, "v"))).await.unwrap();
    keys.extend(tagged);
    let (from, to) = (owner(&cluster, "{t}"), another(&cluster, "{t}"));
    cluster.open_slot(slot("{t}"), &to).unwrap();
    cluster.migrate_keys(slot("{t}"), 100).unwrap();
    let mut pages = client.scan().count(20).pages();
    let mut found = Vec::new();
    // The marks are taken back when the scan of both has passed the slot, and so are the keys.
    for _ in 0..4 {
        found.extend(some(&mut pages, 3).await);
        sleep(SECOND).await;
    }
    cluster.ask(&to, ["CLUSTER", "SETSLOT", &slot("{t}").to_string(), "STABLE"]).unwrap();
    cluster.ask(&from, ["CLUSTER", "SETSLOT", &slot("{t}").to_string(), "STABLE"]).unwrap();
    let mut migrate: Vec<String> =
        ["MIGRATE", from.host(), &from.port().to_string(), "", "0", "1000", "KEYS"].map(str::to_owned).into();
    migrate.extend((0..40).map(|number| format!("{{t}}:{number}")));
    cluster
        .ask(&to, ["CLUSTER", "SETSLOT", &slot("{t}").to_string(), "IMPORTING", &id_of(&client, &from)])
        .unwrap();
    cluster.ask(&to, &migrate).unwrap();
    cluster.ask(&to, ["CLUSTER", "SETSLOT", &slot("{t}").to_string(), "STABLE"]).unwrap();
    assert_eq!(client.get::<String>("{t}:7").await.unwrap(), "v");
    found.extend(rest(&mut pages).await);
    assert_eq!(set(&found), keys);
}

fn id_of(client: &Client, node: &NodeAddr) -> String {
    let map = client.slot_map();
    map.nodes().iter().find(|known| known.addr == *node).unwrap().id.as_deref().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_scan_survives_the_death_of_each_primary() {
    for profile in Profile::ALL {
        for parallel in [1, 3] {
            let cluster = replicated().profile(profile).start_in_memory().unwrap();
            let client = connect(&cluster).await;
            let keys = filled(&client, 600).await;
            let mut pages = client.scan().count(20).parallel(parallel).pages();
            let mut found = Vec::new();
            for node in primaries(&cluster) {
                found.extend(some(&mut pages, 5).await);
                cluster.kill(&node).unwrap();
                found.extend(some(&mut pages, 2).await);
                sleep(5 * SECOND).await;
                cluster.restart(&node).unwrap();
                sleep(10 * SECOND).await;
            }
            found.extend(rest(&mut pages).await);
            assert_eq!(set(&found), keys, "{profile}, {parallel}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failover_that_was_asked_for_and_one_back_restart_the_scan_of_the_shard() {
    let cluster = replicated().start_in_memory().unwrap();
    let client = connect(&cluster).await;
    let keys = filled(&client, 600).await;
    let mut pages = client.scan().count(20).parallel(1).pages();
    let mut found = some(&mut pages, 3).await;
    for node in primaries(&cluster) {
        let replica = cluster.replicas_of(&node)[0].clone();
        for next in [&replica, &node] {
            cluster.promote(next).unwrap();
            sleep(5 * SECOND).await;
        }
        found.extend(some(&mut pages, 3).await);
    }
    found.extend(rest(&mut pages).await);
    assert_eq!(set(&found), keys);
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_a_node_makes_its_cursors_worthless() {
    // It is back before anybody is promoted, with its data, and with another hash seed.
    let cluster = SimCluster::builder().node_timeout(60 * SECOND).start_in_memory().unwrap();
    let client = connect(&cluster).await;
    let keys = filled(&client, 600).await;
    let mut pages = client.scan().count(20).parallel(1).pages();
    let mut found = some(&mut pages, 5).await;
    for node in primaries(&cluster) {
        cluster.kill(&node).unwrap();
        cluster.restart(&node).unwrap();
    }
    sleep(5 * SECOND).await;
    let kept: i64 = client.dbsize().await.unwrap();
    found.extend(rest(&mut pages).await);
    if kept == 600 {
        assert_eq!(set(&found), keys);
    }
    let mut again = all(client.scan()).await;
    again.sort_unstable();
    let still: BTreeSet<String> = again.into_iter().collect();
    assert!(still.iter().all(|key| found.contains(key)), "what is there now was there all the time");
}

#[tokio::test(start_paused = true)]
async fn a_scan_is_resumed_by_its_token_wherever_it_stopped() {
    let cluster = replicated().start_in_memory().unwrap();
    let first = connect(&cluster).await;
    let keys = filled(&first, 300).await;
    for stop in 0..20 {
        let mut pages = first.scan().pattern("key:*").count(10).parallel(2).pages();
        let mut found = some(&mut pages, stop).await;
        let token = pages.token();
        drop(pages);
        // Another process; the slots go their way meanwhile.
        let second = connect(&cluster).await;
        for key in keys.iter().skip(stop * 5).take(3) {
            cluster.move_slot(slot(key), &another(&cluster, key)).unwrap();
            // Two that take the same epoch at the same moment would not be believed.
            sleep(10 * MS).await;
        }
        let mut pages = second.scan().resume(&token).unwrap().pages();
        found.extend(rest(&mut pages).await);
        assert_eq!(set(&found), keys, "after {stop}");
        assert!(found.len() < 500, "{} after {stop}", found.len());
        let end = pages.token();
        assert!(all(second.scan().resume(&end).unwrap()).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_scan_is_resumed_after_the_failover_of_every_shard() {
    let cluster = replicated().start_in_memory().unwrap();
    let client = connect(&cluster).await;
    let keys = filled(&client, 300).await;
    let mut pages = client.scan().count(10).parallel(3).pages();
    let mut found = some(&mut pages, 12).await;
    let token = pages.token();
    for node in primaries(&cluster) {
        cluster.promote(&cluster.replicas_of(&node)[0]).unwrap();
        sleep(5 * SECOND).await;
    }
    let other = connect(&cluster).await;
    found.extend(all(other.scan().resume(&token).unwrap()).await);
    assert_eq!(set(&found), keys);
}

#[tokio::test(start_paused = true)]
async fn the_token_of_a_stream_of_keys_leaves_out_no_key_that_was_not_given() {
    let cluster = three();
    let client = connect(&cluster).await;
    let keys = filled(&client, 100).await;
    for stop in (0..100).step_by(9) {
        let mut stream = client.scan().count(10).keys();
        let mut found = Vec::new();
        for _ in 0..stop {
            found.push(text(stream.next().await.unwrap().unwrap()));
        }
        found.extend(all(client.scan().resume(&stream.token()).unwrap()).await);
        assert_eq!(set(&found), keys, "after {stop}");
        assert!(found.len() <= 100 + 30, "{} after {stop}", found.len());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_token_of_this_scan_is_refused() {
    let cluster = three();
    let client = connect(&cluster).await;
    let token = client.scan().pattern("a*").pages().token();
    let kind = |scan: Result<Scan>| scan.unwrap_err().kind();
    assert_eq!(kind(client.scan().resume("0")), ErrorKind::Usage);
    assert_eq!(kind(client.scan().resume(&token[1..])), ErrorKind::Usage);
    assert_eq!(kind(client.scan().pattern("b*").resume(&token)), ErrorKind::Usage);
    assert!(client.scan().pattern("a*").resume(&token).is_ok());
    let mut pages = client.scan().resume(&token).unwrap().of_type("list").pages();
    assert_eq!(pages.next().await.unwrap().unwrap_err().kind(), ErrorKind::Usage);
}

#[tokio::test(start_paused = true)]
async fn an_error_ends_nothing_and_the_other_nodes_go_on() {
    let cluster = SimCluster::builder().node_timeout(SECOND).full_coverage(false).start_in_memory().unwrap();
    let client = builder(&cluster).command_timeout(2 * SECOND).connect().await.unwrap();
    let keys = filled(&client, 300).await;
    let dead = primaries(&cluster).remove(0);
    let lost: BTreeSet<String> = keys.iter().filter(|key| owner(&cluster, key) == dead).cloned().collect();
    let mut pages = client.scan().count(20).parallel(1).pages();
    let mut found = some(&mut pages, 1).await;
    cluster.kill(&dead).unwrap();
    let mut errors = 0;
    while set(&found).union(&lost).count() < keys.len() || errors == 0 {
        match soon(pages.next()).await.unwrap() {
            Ok(page) => found.extend(page.into_iter().map(text)),
            Err(error) => {
                assert_eq!(error.node(), Some(&dead), "{error}");
                errors += 1;
                assert!(errors < 10);
            }
        }
    }
    cluster.restart(&dead).unwrap();
    let mut after = 0;
    while let Some(page) = soon(pages.next()).await {
        match page {
            Ok(page) => found.extend(page.into_iter().map(text)),
            Err(_) => after += 1,
        }
        assert!(after < 10);
    }
    let there: BTreeSet<String> = client.keys::<Vec<String>>("*").await.unwrap().into_iter().collect();
    assert!(there.is_subset(&set(&found)));
}

#[tokio::test(start_paused = true)]
async fn slots_that_nobody_serves_are_named() {
    let cluster = SimCluster::builder().full_coverage(false).start_in_memory().unwrap();
    let client = builder(&cluster).command_timeout(2 * SECOND).connect().await.unwrap();
    filled(&client, 100).await;
    for node in cluster.nodes() {
        cluster.ask(&node, ["CLUSTER", "DELSLOTS", "77", "78"]).unwrap();
    }
    sleep(60 * SECOND).await;
    let mut pages = client.scan().pages();
    let error = loop {
        match soon(pages.next()).await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("no node serves slots 77-78"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_or_not_polled_sends_nothing() {
    let cluster = three();
    let client = connect(&cluster).await;
    filled(&client, 300).await;
    let mut pages = client.scan().count(5).pages();
    assert_eq!(received_by_all(&cluster, "SCAN"), 0);
    pages.next().await.unwrap().unwrap();
    let sent = received_by_all(&cluster, "SCAN");
    sleep(60 * SECOND).await;
    assert_eq!(received_by_all(&cluster, "SCAN"), sent);
    drop(pages);
    sleep(60 * SECOND).await;
    assert_eq!(received_by_all(&cluster, "SCAN"), sent);
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_page_may_be_given_up_and_taken_up_again() {
    let cluster = three();
    let client = connect(&cluster).await;
    let keys = filled(&client, 300).await;
    let mut pages = client.scan().count(20).pages();
    let mut found = Vec::new();
    cluster.inject(Fault::new(FaultKind::DelayReply(5 * MS)).command("SCAN"));
    loop {
        match timeout(MS, pages.next()).await {
            Ok(Some(page)) => found.extend(page.unwrap().into_iter().map(text)),
            Ok(None) => break,
            Err(_) => {}
        }
    }
    assert_eq!((found.len(), set(&found)), (300, keys));
}

#[tokio::test(start_paused = true)]
async fn nodes_are_scanned_side_by_side() {
    let cluster = SimCluster::builder().primaries(8).start_in_memory().unwrap();
    let client = connect(&cluster).await;
    filled(&client, 300).await;
    cluster.inject(Fault::new(FaultKind::DelayReply(SECOND)).command("SCAN"));
    for (parallel, seconds) in [(1, 8), (4, 2), (8, 1)] {
        let begin = Instant::now();
        assert_eq!(all(client.scan().count(1000).parallel(parallel)).await.len(), 300);
        let took = begin.elapsed();
        assert!((seconds * SECOND..seconds * SECOND + SECOND).contains(&took), "{parallel}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_client_ends_the_scan() {
    let cluster = three();
    let client = connect(&cluster).await;
    filled(&client, 300).await;
    let mut pages = client.scan().count(5).pages();
    pages.next().await.unwrap().unwrap();
    client.close().await;
    assert_eq!(pages.next().await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert!(pages.next().await.is_none());
}

/// Slots move, open and close, nodes fail over, and the reader pauses, all by chance.
#[tokio::test(start_paused = true)]
async fn no_key_is_missed_in_random_schedules() {
    for seed in 0..40 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let profile = Profile::ALL[usize::try_from(seed).unwrap() % Profile::ALL.len()];
        let cluster = SimCluster::builder()
            .replicas(1)
            .node_timeout(SECOND)
            .profile(profile)
            .seed(seed)
            .start_in_memory()
            .unwrap();
        let client = connect(&cluster).await;
        let keys = filled(&client, 200).await;
        let names: Vec<&String> = keys.iter().collect();
        let mut open: BTreeMap<Slot, NodeAddr> = BTreeMap::new();
        let mut moved: BTreeSet<Slot> = BTreeSet::new();
        let mut pages = client.scan().count(rng.usize(1..30)).parallel(rng.usize(1..4)).pages();
        let mut found = Vec::new();
        let mut steps = 0;
        loop {
            steps += 1;
            if steps < 60 {
                let key = names[rng.usize(..names.len())];
                match rng.u32(..8) {
                    // Each slot once: one that comes back within a second is beyond the promise.
                    0 | 1 if moved.insert(slot(key)) => {
                        drop(cluster.move_slot(slot(key), &another(&cluster, key)));
                        // Two that take the same epoch at the same moment would not be believed.
                        sleep(10 * MS).await;
                    }
                    2 if moved.insert(slot(key)) => {
                        let to = another(&cluster, key);
                        if cluster.open_slot(slot(key), &to).is_ok() {
                            open.insert(slot(key), to);
                        }
                    }
                    3 => drop(open.keys().next().map(|slot| cluster.migrate_keys(*slot, 1))),
                    4 => {
                        if let Some((slot, _)) = open.pop_first() {
                            drop(cluster.migrate_keys(slot, 100));
                            drop(cluster.close_slot(slot));
                            sleep(10 * MS).await;
                        }
                    }
                    5 if rng.u32(..6) == 0 && open.is_empty() => {
                        let node = owner(&cluster, key);
                        // A replica that has not heard of its primary's last slots would not take them over.
                        sleep(SECOND).await;
                        if let Some(replica) = cluster.replicas_of(&node).first() {
                            drop(cluster.promote(replica));
                            // A slot that opens while its nodes are replaced may stay half open on Redis.
                            sleep(5 * SECOND).await;
                        }
                    }
                    6 => sleep(rng.u32(..1500) * MS).await,
                    _ => {}
                }
            }
            match timeout(60 * SECOND, pages.next()).await.unwrap() {
                Some(Ok(page)) => found.extend(page.into_iter().map(text)),
                Some(Err(error)) => assert!(steps < 100, "{seed}, {profile}: {error}"),
                None => break,
            }
        }
        let there: BTreeSet<String> = client.keys::<Vec<String>>("*").await.unwrap().into_iter().collect();
        let missed: Vec<&String> = there.iter().filter(|key| !found.contains(key)).collect();
        assert!(missed.is_empty(), "{seed}, {profile}: {missed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_node_by_hand_is_still_possible() {
    let cluster = three();
    let client = connect(&cluster).await;
    filled(&client, 90).await;
    let node = primaries(&cluster).remove(1);
    let there = keys_of(&cluster, &node, "key:", 1);
    client.set(&there[0], "v").await.unwrap();
    let scan = Command::new("SCAN").arg(0).arg("COUNT").arg(10_000).to(Target::Node(node.clone()));
    let (_, keys): (u64, Vec<String>) = client.execute(scan).await.unwrap();
    assert!(keys.contains(&there[0]) && keys.iter().all(|key| owner(&cluster, key) == node));
}
