//! Every setting of a client, and of one command.

use std::time::Duration;

use keyslot::testkit::SimCluster;
use keyslot::{
    Client, Command, Commands, ErrorKind, NodeAddr, Outcome, OverloadPolicy, Protocol, ReadFrom, Slot,
};

use crate::started;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn every_setting_can_be_made() {
    let cluster = SimCluster::builder().user("loader", "secret").start_in_memory().unwrap();
    let seed = cluster.nodes().remove(0);
    let client = Client::builder()
        .seed(seed.clone())
        .seeds([seed.to_string(), "127.0.0.1".to_owned()])
        .credentials("loader", "secret")
        .client_name("a-name")
        .protocol(Protocol::Resp2)
        .command_timeout(2 * SECOND)
        .connect_timeout(SECOND)
        .refresh_interval(60 * SECOND)
        .max_redirects(4)
        .links_per_node(2)
        .exclusive_per_node(8)
        .byte_budget(1 << 20, 4 << 20)
        .request_budget(1 << 10, 4 << 10)
        .overload(OverloadPolicy::Fail)
        .read_from(ReadFrom::PreferReplica)
        .check_missing_at_primary(false)
        .max_reply(1 << 20)
        .address_map(NodeAddr::clone)
        .connector(cluster.connector())
        .connect()
        .await
        .unwrap();
    client.set("k", "1").await.unwrap();
    assert_eq!(client.get::<i64>("k").await.unwrap(), 1);
    let name: Option<String> = client.client_getname().await.unwrap();
    assert_eq!(name.as_deref(), Some("a-name"));
}

#[tokio::test(start_paused = true)]
async fn a_url_says_the_same() {
    let cluster = SimCluster::builder().password("secret").start_in_memory().unwrap();
    let url = format!("{}?client_name=a-name&command_timeout=2s&protocol=resp3", cluster.url());
    let client = Client::builder().url(&url).connector(cluster.connector()).connect().await.unwrap();
    let name: Option<String> = client.client_getname().await.unwrap();
    assert_eq!(name.as_deref(), Some("a-name"));
    let client = Client::builder().seeds([cluster.nodes().remove(0).to_string()]).password("secret");
    client.connector(cluster.connector()).connect().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn urls_of_other_clients_connect() {
    let (cluster, _client) = started().await;
    let (first, second) = (cluster.nodes().remove(0), cluster.nodes().remove(1));
    for url in [
        format!("redis://{first}/"),
        format!("valkey://{first}/0?protocol=resp3"),
        format!("redis-cluster://{first}?node={second}"),
        format!("redis-cluster://nobody:1?node={second}"),
        format!("redis+cluster://{first},{second}"),
    ] {
        let client = Client::builder().url(&url).connector(cluster.connector()).connect().await.unwrap();
        client.mset([("a", "1"), ("b", "2"), ("c", "3")]).await.unwrap();
        assert_eq!(client.mget::<Vec<i64>>(["a", "b", "c"]).await.unwrap(), [1, 2, 3], "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_setting_that_is_not_valid_is_told_by_the_connect() {
    for builder in [
        Client::builder(),
        Client::builder().url("http://127.0.0.1"),
        Client::builder().seeds(["127.0.0.1:port"]),
        Client::builder().seeds(["127.0.0.1"]).links_per_node(0),
        Client::builder().seeds(["127.0.0.1"]).command_timeout(Duration::ZERO),
        Client::builder().seeds(["127.0.0.1"]).client_name("two words"),
    ] {
        let error = builder.connect().await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Config, Outcome::NotSent), "{error}");
    }
    let (cluster, _client) = started().await;
    let nobody = Client::builder().seed(NodeAddr::new("nobody", 1)).connector(cluster.connector());
    assert_eq!(nobody.connect().await.unwrap_err().kind(), ErrorKind::Connect);
}

#[tokio::test(start_paused = true)]
async fn one_command_may_have_its_own_settings() {
    let cluster = SimCluster::builder().replicas(1).start_in_memory().unwrap();
    let client = crate::connected(&cluster).await;
    client.set("k", "1").await.unwrap();
    tokio::time::sleep(SECOND).await;
    let primary = cluster.primary_of(Slot::of_key(b"k")).unwrap();
    let replica = cluster.replicas_of(&primary).remove(0);

    let request = client.get::<i64>("k").timeout(SECOND).read_from(ReadFrom::Replica).idempotent();
    assert_eq!(request.await.unwrap(), 1);
    assert_eq!((cluster.received(&primary, "GET"), cluster.received(&replica, "GET")), (0, 1));

    for policy in [
        ReadFrom::Primary,
        ReadFrom::Replica,
        ReadFrom::PreferReplica,
        ReadFrom::Nearest,
        ReadFrom::zone("eu-1a"),
    ] {
        let command = Command::new("GET").key("k").read_from(policy).timeout(SECOND).idempotent();
        assert_eq!(client.execute::<i64>(command).await.unwrap(), 1);
    }
    assert!(cluster.received(&replica, "GET") >= 3);
}
