//! `close()` waits for what somebody still waits for, and for nothing else: a node that hangs does not hold it up.

use std::time::Duration;

use keyslot::testkit::sim::{Fault, FaultKind, SimCluster};
use keyslot::{Client, Commands, Credentials, ErrorKind, Outcome, RotatingCredentials};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{MS, SECOND, another, builder, connect, key_of, keys_of, owner, soon, three};

/// How often `close()` looks whether it is done, and some more.
const AT_ONCE: Duration = Duration::from_millis(5);

async fn closing(client: &Client) -> Duration {
    let begin = Instant::now();
    soon(client.close()).await;
    begin.elapsed()
}

/// So far from any other limit that it is seen which one has ended the wait.
fn patient(cluster: &SimCluster) -> keyslot::ClientBuilder {
    builder(cluster).command_timeout(60 * SECOND)
}

#[tokio::test(start_paused = true)]
async fn commands_whose_time_is_over_do_not_hold_it_up() {
    let cluster = three();
    let client = patient(&cluster).connect().await.unwrap();
    let node = owner(&cluster, "k");
    client.set("k", "1").await.unwrap();
    cluster.stop(&node).unwrap();
    // Long enough for the silence to be noticed, so that the other nodes, and this one, are asked for the topology.
    let error = client.incr("k").timeout(1500 * MS).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::MaybeExecuted));
    let mut pipe = client.pipeline();
    pipe.timeout(100 * MS);
    for key in keys_of(&cluster, &node, "p:", 100) {
        pipe.incr(key);
    }
    assert!(pipe.run_each().await.unwrap().iter().all(Result::is_err));
    assert!(client.stats().nodes[&node].in_flight >= 2, "the node has still to answer both");
    assert!(closing(&client).await <= AT_ONCE);
}

#[tokio::test(start_paused = true)]
async fn a_large_command_that_has_left_in_part_does_not_hold_it_up_when_its_time_is_over() {
    let cluster = three();
    let client = patient(&cluster).connect().await.unwrap();
    client.set("k", "1").await.unwrap();
    cluster.stop(&owner(&cluster, "k")).unwrap();
    let error = client.set("k", "v".repeat(10 << 20)).timeout(100 * MS).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::MaybeExecuted);
    let error = client.incr("k").timeout(100 * MS).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "it stood behind that");
    assert!(closing(&client).await <= AT_ONCE);
}

#[tokio::test(start_paused = true)]
async fn what_others_are_to_answer_is_drained_while_one_node_hangs() {
    let cluster = three();
    let client = patient(&cluster).connect().await.unwrap();
    let hung = owner(&cluster, "k");
    let healthy = key_of(&cluster, &another(&cluster, "k"), "h:");
    client.set("k", "1").await.unwrap();
    cluster.stop(&hung).unwrap();
    client.incr("k").timeout(100 * MS).await.unwrap_err();
    cluster.inject(Fault::new(FaultKind::DelayReply(SECOND)).command("INCR").times(1));
    let (reply, took) = tokio::join!(client.incr(&healthy), async {
        sleep(100 * MS).await;
        closing(&client).await
    });
    assert_eq!(reply.unwrap(), 1);
    assert!((900 * MS..=900 * MS + AT_ONCE).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_caller_on_the_node_that_hangs_is_waited_for_until_its_time_is_over() {
    let cluster = three();
    let client = patient(&cluster).connect().await.unwrap();
    client.set("k", "1").await.unwrap();
    cluster.stop(&owner(&cluster, "k")).unwrap();
    let (reply, took) = tokio::join!(client.incr("k").timeout(3 * SECOND), async {
        sleep(SECOND).await;
        closing(&client).await
    });
    assert_eq!(reply.unwrap_err().outcome(), Outcome::MaybeExecuted);
    assert!((2 * SECOND..=2 * SECOND + AT_ONCE).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_command_whose_future_was_dropped_after_the_write_is_still_carried_out() {
    let cluster = three();
    let client = connect(&cluster).await;
    client.set("k", "1").await.unwrap();
    cluster.inject(Fault::new(FaultKind::Delay(SECOND)).command("INCR").times(1));
    timeout(100 * MS, client.incr("k")).await.unwrap_err();
    let took = closing(&client).await;
    assert!((900 * MS..=900 * MS + AT_ONCE).contains(&took), "{took:?}");
    assert_eq!(cluster.ledger().count("INCR k"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_hangs_does_not_hold_it_up() {
    let cluster = three();
    let client = patient(&cluster).connect_timeout(30 * SECOND).connect().await.unwrap();
    let node = another(&cluster, "seed");
    let key = key_of(&cluster, &node, "d:");
    cluster.kill(&node).unwrap();
    cluster.restart(&node).unwrap();
    cluster.inject(Fault::new(FaultKind::HangConnect).node(&node));
    timeout(100 * MS, client.get::<Option<String>>(&key)).await.unwrap_err();
    timeout(100 * MS, client.blpop::<Option<(String, String)>>(&key, 0.0)).await.unwrap_err();
    assert!(closing(&client).await <= AT_ONCE);
}

#[tokio::test(start_paused = true)]
async fn what_the_client_asks_for_itself_does_not_hold_it_up() {
    let cluster = SimCluster::builder().user("app", "first").start_in_memory().unwrap();
    let credentials = RotatingCredentials::new(Credentials::new("app", "first"));
    let client = patient(&cluster).credentials_provider(credentials.clone()).connect().await.unwrap();
    client.set("k", "1").await.unwrap();
    let node = owner(&cluster, "k");
    cluster.stop(&node).unwrap();
    // A sign of life is asked for after five seconds; when it fails to come, the topology is, also of this node.
    sleep(5 * SECOND + 80 * MS).await;
    credentials.rotate(Credentials::new("app", "second"));
    sleep(20 * MS).await;
    assert_eq!(client.stats().nodes[&node].in_flight, 2, "the question and the AUTH");
    assert!(closing(&client).await <= AT_ONCE);
}

#[tokio::test(start_paused = true)]
async fn a_session_without_a_command_under_way_does_not_hold_it_up() {
    let cluster = three();
    let client = connect(&cluster).await;
    let mut session = client.session("k").await.unwrap();
    session.watch("k").await.unwrap();
    assert!(closing(&client).await <= AT_ONCE);
    assert!(session.get::<Option<String>>("k").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_is_under_way_opens_no_connection_after_it() {
    let cluster = SimCluster::builder().primaries(8).start_in_memory().unwrap();
    let client = patient(&cluster).refresh_interval(100 * MS).connect().await.unwrap();
    cluster.inject(Fault::new(FaultKind::Silence).command("CLUSTER SLOTS"));
    let accepted = || -> u64 { cluster.nodes().iter().map(|node| cluster.connections_accepted(node)).sum() };
    // Some nodes are being asked, and the others would be when these do not answer.
    sleep(300 * MS).await;
    closing(&client).await;
    let before = accepted();
    sleep(60 * SECOND).await;
    assert_eq!(accepted(), before);
}
