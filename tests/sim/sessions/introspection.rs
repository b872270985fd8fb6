//! `COMMAND`, `INFO`, `CONFIG`, `CLIENT`: what a node says of itself.

use keyslot::testkit::sim::{Profile, SimCluster};
use keyslot::{Client, Commands};

use super::{SINCE_70, alone, hold};
use crate::support::{MS, Wire};

#[tokio::test(start_paused = true)]
async fn an_entry_has_seven_elements_on_redis_6_2_and_ten_since() {
    let seven = "$3|get|:2|*2|+readonly|+fast|:1|:1|:1|*3|+@read|+@string|+@fast|";
    hold(&[Profile::Redis62], &[("COMMAND INFO get foo", &format!("*2|*7|{seven}$-1|"))]).await;
    let specs = "*1|*6|$5|flags|*2|+RO|+access|$12|begin_search|*4|$4|type|$5|index|$4|spec|*2|$5|index|:1|$9|find_keys|\
                 *4|$4|type|$5|range|$4|spec|*6|$7|lastkey|:0|$7|keystep|:1|$5|limit|:0|";
    hold(SINCE_70, &[
        ("COMMAND INFO get foo", &format!("*2|*10|{seven}*0|{specs}*0|$-1|")),
        (
            "COMMAND INFO ping",
            "*1|*10|$4|ping|:-1|*1|+fast|:0|:0|:0|*2|+@fast|+@connection|*2|$25|request_policy:all_shards|$29|\
             response_policy:all_succeeded|*0|*0|",
        ),
        ("COMMAND INFO config|resetstat|x", "*1|$-1|"),
    ])
    .await;
    for profile in SINCE_70 {
        let (_cluster, mut wire) = alone(*profile).await;
        wire.says("HELLO 3").await;
        let entry = wire.says("COMMAND INFO get").await;
        let specs = "~1|%3|$5|flags|~2|+RO|+access|$12|begin_search|%2|$4|type|$5|index|$4|spec|%1|$5|index|:1|$9|\
                     find_keys|%2|$4|type|$5|range|$4|spec|%3|$7|lastkey|:0|$7|keystep|:1|$5|limit|:0|";
        let empty = if *profile == Profile::Valkey91 { "*0|" } else { "~0|" };
        let wanted = format!(
            "*1|*10|$3|get|:2|~2|+readonly|+fast|:1|:1|:1|~3|+@read|+@string|+@fast|~0|{specs}{empty}"
        );
        assert_eq!(entry, wanted, "{profile}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_table_names_each_command_once() {
    for profile in Profile::ALL {
        let (_cluster, mut wire) = alone(profile).await;
        let count = wire.says("COMMAND COUNT").await.replace([':', '|'], "");
        let table = wire.says("COMMAND").await;
        assert!(table.starts_with(&format!("*{count}|")), "{profile}");
        for name in ["$3|get|", "$4|exec|", "$6|client|:-2|", "$9|subscribe|"] {
            assert!(table.contains(name), "{name} on {profile}");
        }
        assert_eq!(table.contains("$9|client|id|"), profile != Profile::Redis62);
    }
}

#[tokio::test(start_paused = true)]
async fn the_keys_of_a_command_are_told() {
    hold(
        &Profile::ALL,
        &[
            ("COMMAND GETKEYS GET a", "*1|$1|a|"),
            ("COMMAND GETKEYS MSET a b c d", "*2|$1|a|$1|c|"),
            ("COMMAND GETKEYS PING a", "-ERR The command has no key arguments|"),
            ("COMMAND GETKEYS FOO a", "-ERR Invalid command specified|"),
            ("COMMAND GETKEYS OBJECT ENCODING a", "*1|$1|a|"),
            ("COMMAND GETKEYS ZUNION 2 a", "-ERR Invalid arguments specified for command|"),
            ("COMMAND GETKEYS XREAD COUNT 1 STREAMS a b 0 0", "*2|$1|a|$1|b|"),
        ],
    )
    .await;
    hold(
        &[Profile::Redis82],
        &[
            ("COMMAND GETKEYS GET", "-ERR Invalid number of arguments specified for command|"),
            ("COMMAND GETKEYSANDFLAGS GET a", "*1|*2|$1|a|*2|+RO|+access|"),
            ("COMMAND LIST FILTERBY PATTERN subsc*", "*1|$9|subscribe|"),
            ("COMMAND LIST FOO", "-ERR syntax error|"),
            ("COMMAND DOCS GET", "*0|"),
        ],
    )
    .await;
    hold(
        &[Profile::Redis70],
        &[("COMMAND GETKEYS GET", "-ERR wrong number of arguments for 'command|getkeys' command|")],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn info_has_the_lines_that_tools_read() {
    let cluster = SimCluster::builder().primaries(1).replicas(1).start_in_memory().unwrap();
    let client =
        Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await.unwrap();
    client.set("k", "v").await.unwrap();
    tokio::time::sleep(2 * MS).await;
    let mut wire = Wire::open(&cluster, &cluster.nodes()[0]).await;
    assert_eq!(wire.says("INFO cluster").await, "$30|# Cluster|cluster_enabled:1||");
    assert_eq!(
        wire.says("INFO keyspace").await,
        "$56|# Keyspace|db0:keys=1,expires=0,avg_ttl=0,subexpiry=0||"
    );
    assert_eq!(wire.says("INFO nosuch").await, "$0||");
    let all = wire.says("INFO").await;
    let replica =
        format!("slave0:ip=127.0.0.1,port={},state=online,offset=2,lag=0", cluster.nodes()[1].port());
    for line in ["redis_version:8.2.3", "role:master", "connected_slaves:1", "maxmemory:0", replica.as_str()]
    {
        assert!(all.contains(&format!("|{line}|")), "{line} in {all}");
    }
    wire.says("HELLO 3").await;
    assert_eq!(wire.says("INFO cluster").await, "=34|txt:# Cluster|cluster_enabled:1||");
    let role = format!("*3|$6|master|:2|*1|*3|$9|127.0.0.1|$4|{}|$1|2|", cluster.nodes()[1].port());
    assert_eq!(wire.says("ROLE").await, role);
    let mut replica = Wire::open(&cluster, &cluster.nodes()[1]).await;
    let role = format!("*5|$5|slave|$9|127.0.0.1|:{}|$9|connected|:2|", cluster.nodes()[0].port());
    assert_eq!(replica.says("ROLE").await, role);
    assert!(replica.says("INFO replication").await.contains("|role:slave|master_host:127.0.0.1|"));
    hold(&[Profile::Valkey81], &[("TIME", "*2|$10|1767225600|$1|0|")]).await;
}

#[tokio::test(start_paused = true)]
async fn settings_are_read_and_written() {
    hold(SINCE_70, &[
        ("CONFIG GET cluster-node-timeout", "*2|$20|cluster-node-timeout|$4|2000|"),
        ("CONFIG GET nosuch", "*0|"),
        ("CONFIG GET maxmemory requirepass", "*4|$9|maxmemory|$1|0|$11|requirepass|$0||"),
        ("CONFIG SET nosuch 1", "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'|"),
        ("CONFIG SET maxmemory", "-ERR wrong number of arguments for 'config|set' command|"),
        (
            "CONFIG SET maxmemory abc",
            "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value|",
        ),
        ("CONFIG SET cluster-node-timeout 500 maxmemory 1gb", "+OK|"),
        ("CONFIG GET cluster-node-*", "*2|$20|cluster-node-timeout|$3|500|"),
        ("CONFIG GET maxmemory", "*2|$9|maxmemory|$10|1073741824|"),
        ("CONFIG REWRITE", "-ERR The server is running without a config file|"),
    ])
    .await;
    hold(
        &[Profile::Redis62],
        &[
            ("CONFIG SET nosuch 1", "-ERR Unsupported CONFIG parameter: nosuch|"),
            (
                "CONFIG SET appendonly foo",
                "-ERR Invalid argument 'foo' for CONFIG SET 'appendonly' - argument must be 'yes' or 'no'|",
            ),
            ("HELLO 3", HELLO_62),
            ("CONFIG GET maxmemory", "%1|$9|maxmemory|$1|0|"),
        ],
    )
    .await;
}

const HELLO_62: &str = "%7|$6|server|$5|redis|$7|version|$5|6.2.5|$5|proto|:3|$2|id|:1|$4|mode|$7|cluster|$4|role|$6|\
                        master|$7|modules|*0|";

#[tokio::test(start_paused = true)]
async fn a_connection_has_a_name_and_a_line_in_the_list() {
    hold(
        &Profile::ALL,
        &[
            ("CLIENT ID", ":1|"),
            ("CLIENT GETNAME", "$-1|"),
            ("CLIENT SETNAME me", "+OK|"),
            ("CLIENT GETNAME", "$2|me|"),
        ],
    )
    .await;
    hold(
        &[Profile::Redis82, Profile::Valkey81, Profile::Valkey91],
        &[
            ("CLIENT SETINFO LIB-NAME x", "+OK|"),
            ("CLIENT SETINFO FOO x", "-ERR Unrecognized option 'FOO'|"),
            ("CLIENT NO-TOUCH on", "+OK|"),
            ("CLIENT NO-EVICT x", "-ERR syntax error|"),
        ],
    )
    .await;
    hold(
        &[Profile::Redis82],
        &[("CLIENT CAPA redirect", "-ERR unknown subcommand 'CAPA'. Try CLIENT HELP.|")],
    )
    .await;
    let (cluster, mut wire) = alone(Profile::Valkey91).await;
    let _other = Wire::open(&cluster, &cluster.nodes()[0]).await;
    wire.says("CLIENT CAPA redirect").await;
    wire.says("CLIENT SETNAME me").await;
    let line = wire.says("CLIENT INFO").await;
    for field in
        ["id=1 addr=127.0.0.1:", " name=me ", " flags=N capa=r ", " cmd=client|info ", " resp=2 lib-name= "]
    {
        assert!(line.contains(field), "{field} in {line}");
    }
    assert_eq!(wire.says("CLIENT LIST").await.matches("id=").count(), 2);
    assert!(wire.says("CLIENT LIST ID 2").await.contains("id=2 addr="));
    assert_eq!(wire.says("CLIENT LIST TYPE pubsub").await, "$0||");
    assert_eq!(wire.says("CLIENT LIST TYPE foo").await, "-ERR Unknown client type 'foo'|");
}
