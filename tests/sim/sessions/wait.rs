//! `WAIT`, `CLIENT PAUSE`, `CLIENT UNBLOCK`, `CLIENT KILL`: commands that end later, or end others.

use std::time::Duration;

use keyslot::testkit::sim::{Profile, SimCluster, Step};
use tokio::time::Instant;

use super::alone;
use crate::support::{MS, Wire};

/// One shard with two replicas that are 10 ms behind.
fn shard(profile: Profile) -> SimCluster {
    let builder = SimCluster::builder().primaries(1).replicas(2).profile(profile);
    builder.replication_delay(10 * MS).start_in_memory().unwrap()
}

/// The answer, and how long it took.
async fn timed(wire: &mut Wire, line: &str, answer: &str) -> Duration {
    let begin = Instant::now();
    wire.asks(line, answer).await;
    begin.elapsed()
}

#[tokio::test(start_paused = true)]
async fn wait_ends_when_enough_replicas_have_the_write() {
    let cluster = shard(Profile::Redis82);
    let mut wire = Wire::open(&cluster, &cluster.nodes()[0]).await;
    // Nothing was written on this connection.
    assert_eq!(timed(&mut wire, "WAIT 2 0", ":2\r\n").await, Duration::ZERO);
    wire.asks("SET k v", "+OK\r\n").await;
    assert_eq!(timed(&mut wire, "WAIT 0 0", ":0\r\n").await, Duration::ZERO);
    assert_eq!(timed(&mut wire, "WAIT 2 5", ":0\r\n").await, 5 * MS);
    assert_eq!(timed(&mut wire, "WAIT 2 0", ":2\r\n").await, 5 * MS);
    wire.asks("SET k w", "+OK\r\n").await;
    assert_eq!(timed(&mut wire, "WAITAOF 0 1 0", "*2\r\n:0\r\n:2\r\n").await, 10 * MS);
    assert_eq!(timed(&mut wire, "WAIT 3 100", ":2\r\n").await, 100 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_stopped_or_cut_off_acknowledges_nothing() {
    let cluster = shard(Profile::Valkey91);
    let nodes = cluster.nodes();
    let mut wire = Wire::open(&cluster, &nodes[0]).await;
    cluster.perform(Step::Stop(nodes[1].clone())).unwrap();
    wire.asks("SET k v", "+OK\r\n").await;
    assert_eq!(timed(&mut wire, "WAIT 2 50", ":1\r\n").await, 50 * MS);
    wire.asks("MULTI", "+OK\r\n").await;
    wire.asks("WAIT 2 0", "+QUEUED\r\n").await;
    wire.asks("EXEC", "*1\r\n:1\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn wait_is_for_primaries_and_for_sensible_figures() {
    let cluster = shard(Profile::Valkey81);
    let mut wire = Wire::open(&cluster, &cluster.nodes()[0]).await;
    for (line, wanted) in [
        ("WAIT x 0", "-ERR value is not an integer or out of range|"),
        ("WAIT 1 x", "-ERR timeout is not an integer or out of range|"),
        ("WAIT 1 -1", "-ERR timeout is negative|"),
        ("WAITAOF 2 0 0", "-ERR value is out of range, value must between 0 and 1|"),
        ("WAITAOF 0 -1 0", "-ERR value is out of range, must be positive|"),
        ("WAITAOF 1 0 0", "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.|"),
    ] {
        assert_eq!(wire.says(line).await, wanted, "{line}");
    }
    let mut replica = Wire::open(&cluster, &cluster.nodes()[1]).await;
    assert_eq!(
        replica.says("WAIT 0 0").await,
        "-ERR WAIT cannot be used with replica instances. Please also note that if a replica is configured to be \
         writable (which is not the default) writes to replicas are just local and are not propagated.|"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_writes_or_everything_back() {
    let (cluster, mut admin) = alone(Profile::Redis70).await;
    let mut wire = Wire::open(&cluster, &cluster.nodes()[0]).await;
    admin.asks("CLIENT PAUSE 300 WRITE", "+OK\r\n").await;
    assert_eq!(timed(&mut wire, "GET k", "$-1\r\n").await, Duration::ZERO);
    assert_eq!(timed(&mut wire, "SET k v", "+OK\r\n").await, 300 * MS);
    admin.asks("CLIENT PAUSE 300", "+OK\r\n").await;
    assert_eq!(timed(&mut wire, "PING", "+PONG\r\n").await, 300 * MS);
    admin.asks("CLIENT PAUSE 10000 WRITE", "+OK\r\n").await;
    wire.asks("MULTI", "+OK\r\n").await;
    wire.asks("SET k w", "+QUEUED\r\n").await;
    wire.send("EXEC").await;
    assert!(wire.is_quiet_for(50 * MS).await);
    admin.asks("CLIENT UNPAUSE", "+OK\r\n").await;
    wire.gives("*1\r\n+OK\r\n").await;
    for (line, wanted) in [
        ("CLIENT PAUSE x", "-ERR timeout is not an integer or out of range|"),
        ("CLIENT PAUSE -1", "-ERR timeout is negative|"),
        ("CLIENT PAUSE 0 foo", "-ERR CLIENT PAUSE mode must be WRITE or ALL|"),
    ] {
        assert_eq!(admin.says(line).await, wanted, "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_command_can_be_ended_from_elsewhere() {
    let (cluster, mut admin) = alone(Profile::Redis62).await;
    let mut wire = Wire::open(&cluster, &cluster.nodes()[0]).await;
    let id = wire.says("CLIENT ID").await.replace([':', '|'], "");
    wire.send("WAIT 5 0").await;
    assert!(wire.is_quiet_for(MS).await);
    assert!(admin.says(&format!("CLIENT LIST ID {id}")).await.contains(" flags=b "));
    assert_eq!(admin.says(&format!("CLIENT UNBLOCK {id}")).await, ":1|");
    wire.gives(":0\r\n").await;
    assert_eq!(admin.says(&format!("CLIENT UNBLOCK {id}")).await, ":0|");
    wire.send("WAIT 5 0").await;
    assert!(wire.is_quiet_for(MS).await);
    assert_eq!(admin.says(&format!("CLIENT UNBLOCK {id} ERROR")).await, ":1|");
    wire.gives("-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n").await;
    assert_eq!(
        admin.says("CLIENT UNBLOCK 1 foo").await,
        "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR|"
    );
}

#[tokio::test(start_paused = true)]
async fn connections_are_killed_by_what_they_are() {
    let (cluster, mut admin) = alone(Profile::Valkey91).await;
    let node = &cluster.nodes()[0];
    let (mut by_id, mut subscriber, mut other) = (
        Wire::open(&cluster, node).await,
        Wire::open(&cluster, node).await,
        Wire::open(&cluster, node).await,
    );
    let id = by_id.says("CLIENT ID").await.replace([':', '|'], "");
    subscriber.says("SUBSCRIBE a").await;
    for (line, wanted) in [
        ("CLIENT KILL ID 999", ":0|"),
        ("CLIENT KILL ID x", "-ERR syntax error|"),
        ("CLIENT KILL 1.2.3.4:5", "-ERR No such client|"),
        ("CLIENT KILL TYPE foo", "-ERR Unknown client type 'foo'|"),
        ("CLIENT KILL USER nobody", "-ERR No such user 'nobody'|"),
    ] {
        assert_eq!(admin.says(line).await, wanted, "{line}");
    }
    assert_eq!(admin.says(&format!("CLIENT KILL ID {id}")).await, ":1|");
    assert_eq!(by_id.heard().await, "EOF");
    assert_eq!(admin.says("CLIENT KILL TYPE pubsub").await, ":1|");
    assert_eq!(subscriber.heard().await, "EOF");
    assert_eq!(admin.says("CLIENT KILL TYPE normal SKIPME no").await, ":2|EOF");
    assert_eq!(other.heard().await, "EOF");
}

#[tokio::test(start_paused = true)]
async fn answers_can_be_switched_off() {
    let (_cluster, mut wire) = alone(Profile::Redis82).await;
    for (line, wanted) in [
        ("CLIENT REPLY OFF", ""),
        ("PING", ""),
        ("CLIENT REPLY ON", "+OK|"),
        ("CLIENT REPLY SKIP", ""),
        ("PING", ""),
        ("PING", "+PONG|"),
        ("CLIENT REPLY x", "-ERR syntax error|"),
    ] {
        assert_eq!(wire.says(line).await, wanted, "{line}");
    }
}
