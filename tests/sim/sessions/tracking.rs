//! `CLIENT TRACKING` and its messages.

use keyslot::testkit::sim::{Profile, SimCluster};

use super::{SINCE_70, alone, hold};
use crate::support::{MS, Wire};

#[tokio::test(start_paused = true)]
async fn a_read_key_is_told_of_once_behind_the_reply_and_on_redis_6_2_before_it() {
    for profile in Profile::ALL {
        let (_cluster, mut wire) = alone(profile).await;
        wire.says("HELLO 3").await;
        let push = ">2|$10|invalidate|*1|$1|k|";
        let wanted = if profile == Profile::Redis62 { format!("{push}+OK|") } else { format!("+OK|{push}") };
        for (line, wanted) in [
            ("CLIENT TRACKING ON", "+OK|"),
            ("GET k", "_|"),
            ("SET k v", &wanted),
            ("SET k w", "+OK|"),
            ("GET k", "$1|w|"),
            ("CLIENT TRACKING OFF", "+OK|"),
            ("SET k x", "+OK|"),
        ] {
            assert_eq!(wire.says(line).await, wanted, "{line} on {profile}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn others_writes_are_told_of_and_ones_own_not_with_noloop() {
    let (cluster, mut one) = alone(Profile::Valkey91).await;
    let mut other = Wire::open(&cluster, &cluster.nodes()[0]).await;
    one.says("HELLO 3").await;
    for (line, wanted) in [("CLIENT TRACKING ON NOLOOP", "+OK|"), ("GET k", "_|"), ("SET k v", "+OK|")] {
        assert_eq!(one.says(line).await, wanted);
    }
    // The own write has made the node forget that the key was read.
    other.says("SET k w").await;
    assert_eq!(one.heard().await, "");
    one.says("GET k").await;
    other.says("SET k x").await;
    assert_eq!(one.heard().await, ">2|$10|invalidate|*1|$1|k|");
    one.says("GET k").await;
    other.says("FLUSHALL").await;
    assert_eq!(one.heard().await, ">2|$10|invalidate|_|");
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_tells_each_prefix_together_whoever_has_read_what() {
    let (cluster, mut one) = alone(Profile::Redis82).await;
    let mut other = Wire::open(&cluster, &cluster.nodes()[0]).await;
    one.says("HELLO 3").await;
    assert_eq!(one.says("CLIENT TRACKING ON BCAST PREFIX {t}a PREFIX {t}b").await, "+OK|");
    other.says("MSET {t}a1 x {t}b1 x {t}a2 x {t}c x").await;
    assert_eq!(one.heard().await, ">2|$10|invalidate|*2|$5|{t}a1|$5|{t}a2|>2|$10|invalidate|*1|$5|{t}b1|");
}

#[tokio::test(start_paused = true)]
async fn redis_8_2_tells_first_that_all_keys_are_gone_and_redis_6_2_last_what_was_under_a_prefix() {
    for profile in Profile::ALL {
        let (_cluster, mut wire) = alone(profile).await;
        wire.says("HELLO 3").await;
        wire.says("CLIENT TRACKING ON BCAST").await;
        assert_eq!(wire.says("SET k v").await, "+OK|>2|$10|invalidate|*1|$1|k|", "{profile}");
        let (ok, gone) = ("+OK|", ">2|$10|invalidate|_|");
        let is_first = matches!(profile, Profile::Redis62 | Profile::Redis82);
        let wanted = if is_first { format!("{gone}{ok}") } else { format!("{ok}{gone}") };
        assert_eq!(wire.says("FLUSHALL").await, wanted, "{profile}");
    }
}

#[tokio::test(start_paused = true)]
async fn opting_in_or_out_holds_for_one_command_or_one_transaction() {
    let (cluster, mut one) = alone(Profile::Redis70).await;
    let mut other = Wire::open(&cluster, &cluster.nodes()[0]).await;
    one.says("HELLO 3").await;
    let push = ">2|$10|invalidate|*1|$1|k|";
    for (lines, wanted) in [
        ("CLIENT TRACKING ON OPTIN;GET k", ""),
        ("CLIENT CACHING YES;GET k", push),
        ("CLIENT CACHING YES;PING;GET k", ""),
        ("CLIENT CACHING YES;MULTI;PING;GET k;EXEC", push),
        ("CLIENT TRACKING OFF;CLIENT TRACKING ON OPTOUT;GET k", push),
        ("CLIENT CACHING NO;GET k", ""),
    ] {
        for line in lines.split(';') {
            one.says(line).await;
        }
        other.says("SET k v").await;
        assert_eq!(one.heard().await, wanted, "{lines}");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_can_be_redirected_to_a_subscriber_of_resp2() {
    let (cluster, mut one) = alone(Profile::Valkey81).await;
    let mut target = Wire::open(&cluster, &cluster.nodes()[0]).await;
    let id = target.says("CLIENT ID").await.replace([':', '|'], "");
    target.says("SUBSCRIBE __redis__:invalidate").await;
    assert_eq!(
        one.says("CLIENT TRACKING ON REDIRECT 99").await,
        "-ERR The client ID you want redirect to does not exist|"
    );
    assert_eq!(one.says(&format!("CLIENT TRACKING ON REDIRECT {id}")).await, "+OK|");
    assert_eq!(one.says("CLIENT GETREDIR").await, format!(":{id}|"));
    one.says("GET k").await;
    assert_eq!(one.says("SET k v").await, "+OK|");
    assert_eq!(target.heard().await, "*3|$7|message|$20|__redis__:invalidate|*1|$1|k|");
    one.says("HELLO 3").await;
    one.says("GET k").await;
    drop(target);
    let broken = format!("+OK|>2|$21|tracking-redir-broken|:{id}|");
    assert_eq!(one.says("SET k w").await, broken);
}

#[tokio::test(start_paused = true)]
async fn options_that_do_not_go_together_are_refused() {
    let switch = "before disabling tracking for this client, and then re-enabling it with a different mode.|";
    hold(&Profile::ALL, &[
        ("CLIENT TRACKINGINFO", "*6|$5|flags|*1|$3|off|$8|redirect|:-1|$8|prefixes|*0|"),
        ("CLIENT TRACKING ON PREFIX a", "-ERR PREFIX option requires BCAST mode to be enabled|"),
        ("CLIENT TRACKING ON BCAST OPTIN", "-ERR OPTIN and OPTOUT are not compatible with BCAST|"),
        ("CLIENT TRACKING ON OPTIN OPTOUT", "-ERR You can't specify both OPTIN mode and OPTOUT mode|"),
        ("CLIENT TRACKING ON foo", "-ERR syntax error|"),
        (
            "CLIENT TRACKING ON BCAST PREFIX ab PREFIX a",
            "-ERR Prefix 'ab' overlaps with another provided prefix 'a'. Prefixes for a single client must not overlap.|",
        ),
        ("CLIENT TRACKING ON BCAST PREFIX ab", "+OK|"),
        (
            "CLIENT TRACKING ON BCAST PREFIX a",
            "-ERR Prefix 'a' overlaps with an existing prefix 'ab'. Prefixes for a single client must not overlap.|",
        ),
        ("CLIENT TRACKING ON", &format!("-ERR You can't switch BCAST mode on/off {switch}")),
        ("CLIENT TRACKINGINFO", "*6|$5|flags|*2|$2|on|$5|bcast|$8|redirect|:0|$8|prefixes|*1|$2|ab|"),
        (
            "CLIENT CACHING YES",
            "-ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.|",
        ),
        ("CLIENT TRACKING OFF", "+OK|"),
        ("CLIENT TRACKING ON OPTIN", "+OK|"),
        ("CLIENT TRACKING ON OPTOUT", &format!("-ERR You can't switch OPTIN/OPTOUT mode {switch}")),
        ("CLIENT CACHING YES", "+OK|"),
        ("CLIENT TRACKINGINFO", "*6|$5|flags|*3|$2|on|$5|optin|$11|caching-yes|$8|redirect|:0|$8|prefixes|*0|"),
    ])
    .await;
    hold(SINCE_70, &[("CLIENT TRACKING", "-ERR wrong number of arguments for 'client|tracking' command|")])
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_tells_and_serves_when_the_write_arrives() {
    let cluster =
        SimCluster::builder().primaries(1).replicas(1).replication_delay(10 * MS).start_in_memory().unwrap();
    let (primary, replica) = (&cluster.nodes()[0], &cluster.nodes()[1]);
    let mut writer = Wire::open(&cluster, primary).await;
    let (mut tracks, mut watches, mut waits) = (
        Wire::open(&cluster, replica).await,
        Wire::open(&cluster, replica).await,
        Wire::open(&cluster, replica).await,
    );
    tracks.says("HELLO 3").await;
    for wire in [&mut tracks, &mut watches, &mut waits] {
        assert_eq!(wire.says("READONLY").await, "+OK|");
    }
    tracks.says("CLIENT TRACKING ON").await;
    assert_eq!(tracks.says("GET k").await, "_|");
    assert_eq!(watches.says("WATCH k").await, "+OK|");
    assert_eq!(waits.says("XREAD BLOCK 0 STREAMS {k}s $").await, "");
    writer.asks("SET k v", "+OK\r\n").await;
    writer.asks("XADD {k}s 1-1 a b", "$3\r\n1-1\r\n").await;
    assert!(tracks.is_quiet_for(9 * MS).await);
    tracks.gives(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n").await;
    assert_eq!(waits.heard().await, "*1|*2|$4|{k}s|*1|*2|$3|1-1|*2|$1|a|$1|b|");
    for (line, wanted) in [("MULTI", "+OK|"), ("GET k", "+QUEUED|"), ("EXEC", "*-1|")] {
        assert_eq!(watches.says(line).await, wanted);
    }
    tracks.says("GET k").await;
    writer.says("FLUSHALL").await;
    tokio::time::sleep(10 * MS).await;
    assert_eq!(tracks.heard().await, ">2|$10|invalidate|_|");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_expires_is_told_of_although_nobody_asks() {
    let cluster = SimCluster::builder().primaries(1).replicas(1).start_in_memory().unwrap();
    let mut one = Wire::open(&cluster, &cluster.nodes()[0]).await;
    let mut at_replica = Wire::open(&cluster, &cluster.nodes()[1]).await;
    for wire in [&mut one, &mut at_replica] {
        wire.says("HELLO 3").await;
        wire.says("READONLY").await;
        wire.says("CLIENT TRACKING ON").await;
    }
    one.says("SET k v PX 1000").await;
    assert_eq!(one.says("GET k").await, "$1|v|");
    assert_eq!(at_replica.says("GET k").await, "$1|v|");
    assert!(one.is_quiet_for(900 * MS).await);
    one.gives(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n").await;
    at_replica.gives(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n").await;
}
