//! Pub/sub, classic and sharded.

use keyslot::testkit::sim::{Profile, SimCluster};

use super::{SINCE_70, alone, hold};
use crate::support::{MS, Wire, another, owner, three};

#[tokio::test(start_paused = true)]
async fn a_message_reaches_subscribers_of_all_nodes_and_counts_those_of_its_own() {
    let cluster = three();
    let nodes = cluster.nodes();
    let mut here = Wire::open(&cluster, &nodes[0]).await;
    let mut there = Wire::open(&cluster, &nodes[1]).await;
    let mut three = Wire::open(&cluster, &nodes[2]).await;
    let mut publisher = Wire::open(&cluster, &nodes[0]).await;
    assert_eq!(here.says("SUBSCRIBE news").await, "*3|$9|subscribe|$4|news|:1|");
    assert_eq!(there.says("PSUBSCRIBE n*s").await, "*3|$10|psubscribe|$3|n*s|:1|");
    three.says("HELLO 3").await;
    assert_eq!(three.says("SUBSCRIBE news").await, ">3|$9|subscribe|$4|news|:1|");
    assert_eq!(publisher.says("PUBLISH news hi").await, ":1|");
    assert_eq!(here.heard().await, "*3|$7|message|$4|news|$2|hi|");
    tokio::time::sleep(2 * MS).await;
    assert_eq!(there.heard().await, "*4|$8|pmessage|$3|n*s|$4|news|$2|hi|");
    assert_eq!(three.heard().await, ">3|$7|message|$4|news|$2|hi|");
    assert_eq!(publisher.says("PUBSUB NUMSUB news other").await, "*4|$4|news|:1|$5|other|:0|");
    assert_eq!(publisher.says("PUBSUB CHANNELS n*").await, "*1|$4|news|");
    assert_eq!(publisher.says("PUBSUB NUMPAT").await, ":0|");
    assert_eq!(there.says("UNSUBSCRIBE").await, "*3|$11|unsubscribe|$-1|:1|");
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_of_resp2_may_send_little_else() {
    let context = "are allowed in this context|";
    hold(&[Profile::Redis62], &[
        ("SUBSCRIBE a b a", "*3|$9|subscribe|$1|a|:1|*3|$9|subscribe|$1|b|:2|*3|$9|subscribe|$1|a|:2|"),
        (
            "GET k",
            &format!("-ERR Can't execute 'get': only (P)SUBSCRIBE / (P)UNSUBSCRIBE / PING / QUIT / RESET {context}"),
        ),
        ("UNSUBSCRIBE a", "*3|$11|unsubscribe|$1|a|:1|"),
        ("UNSUBSCRIBE", "*3|$11|unsubscribe|$1|b|:0|"),
        ("GET k", "$-1|"),
    ])
    .await;
    hold(SINCE_70, &[
        ("SSUBSCRIBE a", "*3|$10|ssubscribe|$1|a|:1|"),
        ("PSUBSCRIBE p", "*3|$10|psubscribe|$1|p|:1|"),
        (
            "CLIENT ID",
            &format!(
                "-ERR Can't execute 'client|id': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET {context}"
            ),
        ),
        ("PUNSUBSCRIBE", "*3|$12|punsubscribe|$1|p|:0|"),
        ("SUNSUBSCRIBE", "*3|$12|sunsubscribe|$1|a|:0|"),
        ("SUNSUBSCRIBE", "*3|$12|sunsubscribe|$-1|:0|"),
        ("GET k", "$-1|"),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn its_own_message_comes_behind_the_reply_since_redis_7_2() {
    let frames = ">3|$7|message|$1|a|$1|m|>4|$8|pmessage|$2|a*|$1|a|$1|m|";
    for profile in Profile::ALL {
        let (_cluster, mut wire) = alone(profile).await;
        for line in ["HELLO 3", "SUBSCRIBE a", "PSUBSCRIBE a*"] {
            wire.says(line).await;
        }
        let is_old = matches!(profile, Profile::Redis62 | Profile::Redis70);
        let wanted = if is_old { format!("{frames}:2|") } else { format!(":2|{frames}") };
        assert_eq!(wire.says("PUBLISH a m").await, wanted, "{profile}");
        wire.says("MULTI").await;
        wire.says("PUBLISH a m").await;
        let wanted = if is_old { format!("*1|{frames}:2|") } else { format!("*1|:2|{frames}") };
        assert_eq!(wire.says("EXEC").await, wanted, "{profile}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_channel_belongs_to_its_slot_and_reaches_the_replicas() {
    let cluster = SimCluster::builder().replicas(1).start_in_memory().unwrap();
    let primary = owner(&cluster, "c");
    let replica = cluster.replicas_of(&primary).remove(0);
    let mut subscriber = Wire::open(&cluster, &primary).await;
    let mut at_replica = Wire::open(&cluster, &replica).await;
    let mut publisher = Wire::open(&cluster, &primary).await;
    let mut stranger = Wire::open(&cluster, &another(&cluster, "c")).await;
    assert_eq!(subscriber.says("SSUBSCRIBE c").await, "*3|$10|ssubscribe|$1|c|:1|");
    assert_eq!(
        subscriber.says("SSUBSCRIBE c d").await,
        "-CROSSSLOT Keys in request don't hash to the same slot|"
    );
    assert_eq!(at_replica.says("SSUBSCRIBE c").await, "*3|$10|ssubscribe|$1|c|:1|");
    let moved = format!("-MOVED 7365 {primary}|");
    assert_eq!(stranger.says("SPUBLISH c m").await, moved);
    assert_eq!(stranger.says("SSUBSCRIBE c").await, moved);
    assert_eq!(publisher.says("SPUBLISH c m").await, ":1|");
    assert_eq!(subscriber.heard().await, "*3|$8|smessage|$1|c|$1|m|");
    tokio::time::sleep(2 * MS).await;
    assert_eq!(at_replica.heard().await, "*3|$8|smessage|$1|c|$1|m|");
    assert_eq!(publisher.says("PUBSUB SHARDCHANNELS").await, "*1|$1|c|");
    assert_eq!(publisher.says("PUBSUB SHARDNUMSUB c").await, "*2|$1|c|:1|");
    // Its classic namesake is another.
    assert_eq!(publisher.says("PUBLISH c m").await, ":0|");
}
