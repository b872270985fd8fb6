//! `HELLO`, `AUTH`, `RESET`, `QUIT`, and what is no command at all.

use keyslot::testkit::sim::{Profile, SimCluster};
use keyslot::{Client, Commands};

use super::{SINCE_70, alone, hold};
use crate::support::{Wire, connect};

const NO_AUTH: &str = "-NOAUTH Authentication required.|";
const WRONG: &str = "-WRONGPASS invalid username-password pair or user is disabled.|";

#[tokio::test(start_paused = true)]
async fn a_greeting_tells_server_version_and_role_in_either_protocol() {
    let two = "*14|$6|server|$5|redis|$7|version|$6|7.0.15|$5|proto|:2|$2|id|:1|$4|mode|$7|cluster|$4|role|$6|master|\
               $7|modules|*0|";
    let three = "%7|$6|server|$6|valkey|$7|version|$5|9.1.2|$5|proto|:3|$2|id|:1|$4|mode|$7|cluster|$4|role|$6|master|\
                 $7|modules|*1|%4|$4|name|$3|lua|$3|ver|:1|$4|path|$3|lua|$4|args|*0|";
    hold(&[Profile::Redis70], &[("HELLO", two), ("HELLO 2 SETNAME a", two), ("CLIENT GETNAME", "$1|a|")])
        .await;
    hold(&[Profile::Valkey91], &[("HELLO 3", three), ("HELLO", three), ("GET k", "_|")]).await;
    let cluster = SimCluster::builder().primaries(1).replicas(1).start_in_memory().unwrap();
    let mut replica = Wire::open(&cluster, &cluster.nodes()[1]).await;
    assert!(replica.says("HELLO 3").await.contains("$4|role|$7|replica|"));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_greeting_is_refused_in_the_servers_words() {
    hold(
        &Profile::ALL,
        &[
            ("HELLO 4", "-NOPROTO unsupported protocol version|"),
            ("HELLO 99 AUTH a b", "-NOPROTO unsupported protocol version|"),
            ("HELLO x", "-ERR Protocol version is not an integer or out of range|"),
            ("HELLO 3 FOO", "-ERR Syntax error in HELLO option 'FOO'|"),
            ("HELLO 3 AUTH u", "-ERR Syntax error in HELLO option 'AUTH'|"),
            ("HELLO 3 AUTH u p", WRONG),
            // Nothing of it has changed the protocol.
            ("GET k", "$-1|"),
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stranger_is_told_to_authenticate_and_then_is_no_stranger() {
    for profile in Profile::ALL {
        let builder =
            SimCluster::builder().primaries(1).profile(profile).password("secret").user("ann", "pw");
        let cluster = builder.start_in_memory().unwrap();
        let mut wire = Wire::open(&cluster, &cluster.nodes()[0]).await;
        for line in ["PING", "GET k", "COMMAND", "CLUSTER SLOTS", "SUBSCRIBE a", "MULTI", "CLIENT ID"] {
            assert_eq!(wire.says(line).await, NO_AUTH, "{line} on {profile}");
        }
        let exec = "-EXECABORT Transaction discarded because of: NOAUTH Authentication required.|";
        assert_eq!(wire.says("EXEC").await, exec);
        assert!(
            wire.says("HELLO 3").await.starts_with("-NOAUTH HELLO must be called with the client already")
        );
        let unknown = wire.says("FOO").await;
        assert_eq!(unknown == NO_AUTH, profile == Profile::Valkey91, "{unknown}");
        for (line, wanted) in [
            ("AUTH bad", WRONG),
            ("AUTH ann secret", WRONG),
            ("AUTH ann pw", "+OK|"),
            ("ACL WHOAMI", "$3|ann|"),
            ("AUTH bad", WRONG),
            ("ACL WHOAMI", "$3|ann|"),
            ("AUTH secret", "+OK|"),
            ("ACL WHOAMI", "$7|default|"),
            ("RESET", "+RESET|"),
            ("GET k", NO_AUTH),
        ] {
            assert_eq!(wire.says(line).await, wanted, "{line} on {profile}");
        }
        let hello = wire.says("HELLO 3 AUTH default secret SETNAME me").await;
        assert!(hello.starts_with("%7|"), "{hello}");
        assert_eq!(wire.says("CLIENT GETNAME").await, "$2|me|");
        assert_eq!(wire.says("QUIT").await, "+OK|EOF");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_password_the_default_user_has_any() {
    hold(
        &Profile::ALL,
        &[
            ("AUTH default anything", "+OK|"),
            ("AUTH a b", WRONG),
            ("AUTH a b c", "-ERR syntax error|"),
            (
                "AUTH x",
                "-ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?|",
            ),
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_finds_its_way_into_a_cluster_with_a_password() {
    let cluster = SimCluster::builder().password("p@ss:word/").user("ann", "pw").start_in_memory().unwrap();
    let client = connect(&cluster).await;
    client.set("k", "v").await.unwrap();
    let url = cluster.url().replace(":p%40ss%3Aword%2F@", "ann:pw@");
    let ann = Client::builder().url(&url).connector(cluster.connector()).connect().await.unwrap();
    assert_eq!(ann.get::<String>("k").await.unwrap(), "v");
}

#[tokio::test(start_paused = true)]
async fn a_user_may_do_what_its_rules_say() {
    let (_cluster, mut wire) = alone(Profile::Redis82).await;
    let rules = "ACL SETUSER u on >p ~k* &news +get +cluster|slots +ping +subscribe +psubscribe";
    for (line, wanted) in [
        (rules, "+OK|"),
        ("AUTH u p", "+OK|"),
        ("GET k", "$-1|"),
        ("SET k v", "-NOPERM User u has no permissions to run the 'set' command|"),
        ("GET x", "-NOPERM No permissions to access a key|"),
        ("CONFIG GET a", "-NOPERM User u has no permissions to run the 'config|get' command|"),
        ("CLUSTER INFO", "-NOPERM User u has no permissions to run the 'cluster|info' command|"),
        ("SUBSCRIBE other", "-NOPERM No permissions to access a channel|"),
        ("PSUBSCRIBE n*", "-NOPERM No permissions to access a channel|"),
        ("SUBSCRIBE news", "*3|$9|subscribe|$4|news|:1|"),
    ] {
        assert_eq!(wire.says(line).await, wanted, "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_user_loses_its_connections() {
    let cluster = SimCluster::builder().primaries(1).user("ann", "pw").start_in_memory().unwrap();
    let mut ann = Wire::open(&cluster, &cluster.nodes()[0]).await;
    let mut other = Wire::open(&cluster, &cluster.nodes()[0]).await;
    assert_eq!(ann.says("AUTH ann pw").await, "+OK|");
    assert_eq!(other.says("ACL DELUSER ann nosuch").await, ":1|");
    assert_eq!(ann.heard().await, "EOF");
    assert_eq!(other.says("ACL USERS").await, "*1|$7|default|");
}

#[tokio::test(start_paused = true)]
async fn reset_takes_back_everything() {
    let (_cluster, mut wire) = alone(Profile::Redis82).await;
    wire.says("HELLO 3 SETNAME a").await;
    for line in ["CLIENT TRACKING ON", "SUBSCRIBE c", "READONLY", "WATCH k", "MULTI", "GET k"] {
        wire.says(line).await;
    }
    for (line, wanted) in [
        ("RESET", "+RESET|"),
        ("EXEC", "-ERR EXEC without MULTI|"),
        ("GET k", "$-1|"),
        ("CLIENT GETNAME", "$-1|"),
        ("CLIENT GETREDIR", ":-1|"),
        ("PUBSUB NUMSUB c", "*2|$1|c|:0|"),
    ] {
        assert_eq!(wire.says(line).await, wanted, "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn select_knows_one_database() {
    hold(
        &Profile::ALL,
        &[
            ("SELECT 0", "+OK|"),
            ("SELECT x", "-ERR value is not an integer or out of range|"),
            (
                "SELECT 99999999999",
                "-ERR value is out of range, value must between -2147483648 and 2147483647|",
            ),
        ],
    )
    .await;
    hold(&[Profile::Valkey81], &[("SELECT 1", "-ERR SELECT is not allowed in cluster mode|")]).await;
    hold(&[Profile::Valkey91], &[("SELECT 1", "-ERR DB index is out of range|")]).await;
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_answered_by_its_argument_and_to_a_subscriber_by_a_message() {
    hold(
        &Profile::ALL,
        &[
            ("PING", "+PONG|"),
            ("PING a", "$1|a|"),
            ("PING a b", "-ERR wrong number of arguments for 'ping' command|"),
            ("ECHO a", "$1|a|"),
            ("SUBSCRIBE c", "*3|$9|subscribe|$1|c|:1|"),
            ("PING", "*2|$4|pong|$0||"),
            ("PING a", "*2|$4|pong|$1|a|"),
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_ends_the_connection() {
    for (bytes, wanted) in [
        ("*0\r\n*-1\r\n\r\nPING\r\n", "+PONG|"),
        ("PING 'a b'\r\n", "$3|a b|"),
        ("*1\r\n$4\r\nPING\r\n*x\r\nPING\r\n", "+PONG|-ERR Protocol error: invalid multibulk length|EOF"),
        ("*1\r\nPING\r\n", "-ERR Protocol error: expected '$', got 'P'|EOF"),
        ("PING \"a\r\n", "-ERR Protocol error: unbalanced quotes in request|EOF"),
        ("POST / HTTP/1.1\r\n", "EOF"),
        ("Host: x\r\n", "EOF"),
    ] {
        for profile in Profile::ALL {
            let (_cluster, mut wire) = alone(profile).await;
            wire.send_bytes(bytes.as_bytes()).await;
            assert_eq!(wire.heard().await, wanted, "{bytes:?} on {profile}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_command_is_told_as_each_version_tells_it() {
    hold(
        &[Profile::Redis62],
        &[
            ("FOO a b", "-ERR unknown command `FOO`, with args beginning with: `a`, `b`, |"),
            ("SPUBLISH a m", "-ERR unknown command `SPUBLISH`, with args beginning with: `a`, `m`, |"),
            (
                "CLIENT FOO",
                "-ERR Unknown subcommand or wrong number of arguments for 'FOO'. Try CLIENT HELP.|",
            ),
            (
                "CLIENT ID a",
                "-ERR Unknown subcommand or wrong number of arguments for 'ID'. Try CLIENT HELP.|",
            ),
            ("CLIENT", "-ERR wrong number of arguments for 'client' command|"),
            ("get", "-ERR wrong number of arguments for 'get' command|"),
        ],
    )
    .await;
    hold(
        SINCE_70,
        &[
            ("FOO a b", "-ERR unknown command 'FOO', with args beginning with: 'a' 'b' |"),
            ("CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.|"),
            ("CLIENT ID a", "-ERR wrong number of arguments for 'client|id' command|"),
            ("CLIENT", "-ERR wrong number of arguments for 'client' command|"),
            ("get", "-ERR wrong number of arguments for 'get' command|"),
        ],
    )
    .await;
}
