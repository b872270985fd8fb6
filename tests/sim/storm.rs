//! A storm: very many clients see the failover of one of a hundred primaries at the same moment.
//!
//! On paper: a client asks three nodes at a time, chosen at random among those that it does not know as failed. From the
//! loss of its connection on it waits 12.5 to 25 ms before it asks again, twice as long each time while nothing changes,
//! up to 100 to 200 ms. So in an outage of `D` seconds it asks at most `6 + 10 D` times, on average two thirds as often for
//! the later ones, and `C` clients bring each of `N` nodes about `3 C (6 + 6.7 D) / N` requests, however many commands
//! wait. What is counted here are the requests that each node received.

use std::env;
use std::time::Duration;

use futures::future::join_all;
use keyslot::testkit::sim::SimCluster;
use keyslot::{Client, Commands, NodeAddr, Slot};

/// Here; `KEYSLOT_STORM=1000` tries as many as the figures on paper are for, in minutes and gigabytes.
const CLIENTS: usize = 100;
const PRIMARIES: usize = 100;

/// Nodes that a client asks at once.
const ASKED: f64 = 3.0;

#[tokio::test(start_paused = true)]
async fn many_clients_in_a_failover_ask_each_node_a_bounded_number_of_times() {
    let cluster = SimCluster::builder()
        .primaries(PRIMARIES)
        .replicas(1)
        .node_timeout(Duration::from_millis(500))
        .full_coverage(false)
        .ledger(false)
        .seed(7)
        .start_in_memory()
        .unwrap();
    let clients = env::var("KEYSLOT_STORM").map_or(CLIENTS, |text| text.parse().unwrap());
    let connects = (0..clients).map(|_| async {
        let client =
            Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await.unwrap();
        client.set("user:1", "Ann").await.unwrap();
        client
    });
    let clients: Vec<Client> = join_all(connects).await;
    // What a primary has not told its replica yet dies with it.
    tokio::time::sleep(Duration::from_millis(10)).await;
    let failing = cluster.primary_of(Slot::of_key(b"user:1")).unwrap();
    let asked = |node: &NodeAddr| cluster.received(node, "CLUSTER SLOTS");
    let before: Vec<u64> = cluster.nodes().iter().map(asked).collect();
    let refreshes_before: u64 = clients.iter().map(|client| client.stats().refreshes).sum();

    let begin = cluster.elapsed();
    cluster.kill(&failing).unwrap();
    let reads = clients.iter().map(|client| async {
        assert_eq!(client.get::<String>("user:1").await.unwrap(), "Ann");
    });
    join_all(reads).await;
    let outage = (cluster.elapsed() - begin).as_secs_f64();

    let mut counts: Vec<u64> =
        cluster.nodes().iter().zip(before).map(|(node, had)| asked(node) - had).collect();
    let refreshes: u64 =
        clients.iter().map(|client| client.stats().refreshes).sum::<u64>() - refreshes_before;
    counts.sort_unstable();
    let sum: u64 = counts.iter().sum();
    let (nodes, clients) = (counts.len() as f64, clients.len() as f64);
    let mean = sum as f64 / nodes;
    let expected = ASKED * clients * (6.0 + 6.7 * outage) / nodes;
    println!("| what | requests |\n|---|---|");
    println!("| outage | {outage:.2} s |");
    println!("| refreshes of one client, on average | {:.1} |", refreshes as f64 / clients);
    println!("| topology requests in all | {sum} |");
    println!("| at one node: least | {} |", counts[0]);
    println!("| at one node: median | {} |", counts[counts.len() / 2]);
    println!("| at one node: most | {} |", counts[counts.len() - 1]);
    println!("| at one node: on paper | {expected:.0} |");
    println!("| each second at one node, on average | {:.0} |", mean / outage);

    assert!(refreshes as f64 / clients <= 6.0 + 10.0 * outage, "a client asked more often than it may");
    assert!(mean <= expected, "more requests than on paper");
    assert!(counts[counts.len() - 1] as f64 <= 2.0 * expected, "some node got far more than its share");
}
