//! `MULTI`, `EXEC`, `WATCH`.

use keyslot::testkit::sim::{Profile, SimCluster};

use super::{REDIS, SINCE_70, alone, hold};
use crate::support::{Wire, another, key_of, owner};

const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.|";
const NONE: &str = "-ERR EXEC without MULTI|";

#[tokio::test(start_paused = true)]
async fn a_transaction_answers_all_at_once_and_errors_one_by_one() {
    hold(
        &Profile::ALL,
        &[
            ("EXEC", NONE),
            ("DISCARD", "-ERR DISCARD without MULTI|"),
            ("MULTI", "+OK|"),
            ("SET {k}s v", "+QUEUED|"),
            ("INCR {k}s", "+QUEUED|"),
            ("GET {k}s", "+QUEUED|"),
            ("UNWATCH", "+QUEUED|"),
            ("EXEC", "*4|+OK|-ERR value is not an integer or out of range|$1|v|+OK|"),
            ("EXEC", NONE),
            ("MULTI", "+OK|"),
            ("SET {k}s w", "+QUEUED|"),
            ("DISCARD", "+OK|"),
            ("GET {k}s", "$1|v|"),
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_queued_aborts_it() {
    hold(
        &Profile::ALL,
        &[
            ("MULTI", "+OK|"),
            ("GET", "-ERR wrong number of arguments for 'get' command|"),
            ("EXEC", ABORTED),
            ("EXEC", NONE),
            ("MULTI", "+OK|"),
            (
                "EXEC a",
                "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command|",
            ),
            ("EXEC", NONE),
            ("MULTI", "+OK|"),
            ("DISCARD a", "-ERR wrong number of arguments for 'discard' command|"),
            ("EXEC", ABORTED),
            ("MULTI", "+OK|"),
            ("RESET", "+RESET|"),
            ("EXEC", NONE),
        ],
    )
    .await;
    // A subcommand is found out when it is executed on Redis 6.2, and at once on the others.
    let late = "-ERR Unknown subcommand or wrong number of arguments for 'FOO'. Try CLIENT HELP.|";
    hold(
        &[Profile::Redis62],
        &[("MULTI", "+OK|"), ("CLIENT FOO", "+QUEUED|"), ("EXEC", &format!("*1|{late}"))],
    )
    .await;
    hold(
        SINCE_70,
        &[
            ("MULTI", "+OK|"),
            ("CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.|"),
            ("EXEC", ABORTED),
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn multi_and_watch_within_a_transaction_break_it_on_valkey_only() {
    hold(
        REDIS,
        &[
            ("MULTI", "+OK|"),
            ("MULTI", "-ERR MULTI calls can not be nested|"),
            ("WATCH k", "-ERR WATCH inside MULTI is not allowed|"),
            ("EXEC", "*0|"),
        ],
    )
    .await;
    hold(
        &[Profile::Valkey81],
        &[
            ("MULTI", "+OK|"),
            ("MULTI", "-ERR Command not allowed inside a transaction|"),
            ("CLIENT REPLY ON", "+QUEUED|"),
            ("EXEC", ABORTED),
        ],
    )
    .await;
    hold(
        &[Profile::Valkey91],
        &[
            ("MULTI", "+OK|"),
            ("WATCH k", "-ERR Command 'watch' not allowed inside a transaction|"),
            ("CLIENT REPLY ON", "-ERR Command 'client|reply' not allowed inside a transaction|"),
            ("EXEC", ABORTED),
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn keys_of_two_slots_are_found_out_when_it_is_executed() {
    hold(
        &Profile::ALL,
        &[
            ("MULTI", "+OK|"),
            ("SET {a}k v", "+QUEUED|"),
            ("SET {b}k v", "+QUEUED|"),
            ("EXEC", "-CROSSSLOT Keys in request don't hash to the same slot|"),
            ("EXEC", NONE),
            ("GET {a}k", "$-1|"),
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_command_for_another_node_aborts_it() {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let here = another(&cluster, "k");
    let mut wire = Wire::open(&cluster, &here).await;
    assert_eq!(wire.says("MULTI").await, "+OK|");
    assert_eq!(wire.says("SET k v").await, format!("-MOVED 7629 {}|", owner(&cluster, "k")));
    assert_eq!(wire.says(&format!("SET {} v", key_of(&cluster, &here, "k"))).await, "+QUEUED|");
    assert_eq!(wire.says("EXEC").await, ABORTED);
}

#[tokio::test(start_paused = true)]
async fn a_watched_key_that_changes_stops_it() {
    for profile in Profile::ALL {
        let (cluster, mut one) = alone(profile).await;
        let mut other = Wire::open(&cluster, &cluster.nodes()[0]).await;
        for (mine, theirs, wanted) in [
            ("WATCH k", "SET k v", "*-1|"),
            ("WATCH k", "GET k", "*1|+PONG|"),
            ("WATCH k", "DEL nosuch", "*1|+PONG|"),
            ("WATCH nosuch", "SET nosuch v", "*-1|"),
            ("UNWATCH", "SET k w", "*1|+PONG|"),
        ] {
            assert_eq!(one.says(mine).await, "+OK|");
            other.says(theirs).await;
            assert_eq!(one.says("MULTI").await, "+OK|");
            assert_eq!(one.says("PING").await, "+QUEUED|");
            assert_eq!(one.says("EXEC").await, wanted, "{mine} and {theirs} on {profile}");
        }
        // It is watched no more behind EXEC or DISCARD, and DISCARD ends it too.
        for (line, wanted) in [("WATCH k", "+OK|"), ("MULTI", "+OK|"), ("DISCARD", "+OK|")] {
            assert_eq!(one.says(line).await, wanted);
        }
        other.says("SET k x").await;
        one.says("MULTI").await;
        assert_eq!(one.says("EXEC").await, "*0|");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_elsewhere_does_not_wait_within() {
    hold(
        &Profile::ALL,
        &[
            ("MULTI", "+OK|"),
            ("WAIT 5 0", "+QUEUED|"),
            ("SUBSCRIBE a b", "+QUEUED|"),
            ("EXEC", "*2|:0|*3|$9|subscribe|$1|a|:1|*3|$9|subscribe|$1|b|:2|"),
        ],
    )
    .await;
    hold(
        SINCE_70,
        &[
            ("MULTI", "+OK|"),
            ("SSUBSCRIBE a", "+QUEUED|"),
            ("EXEC", "*1|-ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client|"),
        ],
    )
    .await;
}
