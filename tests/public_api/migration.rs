//! The keyslot columns of the migration guides (`docs/migrating-from-*.md`): each call is made here, against a simulated
//! cluster where that has the command, and each cell of the tables must be found in this file. What a guide says
//! compiles.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use keyslot::options::{ScanOptions, SetOptions, XreadgroupOptions};
use keyslot::testkit::SimCluster;
use keyslot::{
    Client, Command, Commands, Error, NodeAddr, Outcome, OverloadPolicy, Protocol, ReadFrom, Script, Slot,
    Target,
};

use crate::started;

const GUIDES: &[&str] = &["redis-rs", "fred", "rustis"];

#[tokio::test(start_paused = true)]
async fn the_settings_of_the_guides_are_taken() {
    let cluster = SimCluster::builder().user("ann", "secret").start_in_memory().unwrap();
    let builder = Client::builder()
        .seeds(["10.0.0.1:7000", "10.0.0.2:7000"])
        .password("secret")
        .credentials("ann", "secret")
        .client_name("loader")
        .protocol(Protocol::Resp2)
        .command_timeout(Duration::from_secs(2))
        .connect_timeout(Duration::from_secs(1))
        .max_redirects(8)
        .refresh_interval(Duration::from_secs(30))
        .read_from(ReadFrom::PreferReplica)
        .byte_budget(64 << 20, 256 << 20)
        .request_budget(1000, 3000)
        .overload(OverloadPolicy::Fail)
        .links_per_node(2)
        .address_map(dialled);
    // Nobody listens at the seeds of the guides: a third one is a node.
    let builder = builder.seed(cluster.nodes().remove(0)).connector(cluster.connector());
    let client = builder.connect().await.unwrap();
    client.set("k", "v").await.unwrap();
}

fn dialled(there: &NodeAddr) -> NodeAddr {
    there.clone()
}

/// Not run: it would connect to the addresses that the guides name.
async fn by_url() -> keyslot::Result<Client> {
    Client::connect("redis://10.0.0.1:7000,10.0.0.2:7000").await?;
    Client::connect("redis://ann:p%40ss@10.0.0.1:7000/0?command_timeout=2s&read_from=prefer_replica").await
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_the_guides_are_made() -> keyslot::Result<()> {
    let (_cluster, client) = started().await;
    drop((by_url(), on_real_servers(client.clone())));

    client.set("k", "v").await?;
    assert_eq!(client.get::<Option<String>>("k").await?.as_deref(), Some("v"));
    assert!(!client.set_options::<bool>("k", "v", SetOptions::new().nx().ex(60)).await?);
    assert_eq!(client.incr("n").await?, 1);
    assert_eq!(client.incrby("n", 10).await?, 11);
    assert_eq!(client.incr("n").idempotent().await?, 12);
    client.mset([("a", "1"), ("b", "2")]).await?;
    let both = client.mget::<Vec<Option<String>>>(["a", "b"]).await?;
    assert_eq!(both, [Some("1".to_owned()), Some("2".to_owned())]);
    assert_eq!(client.exists(["a", "b"]).await?, 2);
    assert_eq!(client.del(["a", "b"]).await?, 2);
    assert!(client.expire("k", 60).await?);
    assert_eq!(client.ttl("k").await?, 60);

    assert_eq!(client.hset("h", [("f", "1"), ("g", "2")]).await?, 2);
    assert_eq!(client.hget::<Option<String>>("h", "f").await?.as_deref(), Some("1"));
    assert_eq!(client.hgetall::<HashMap<String, String>>("h").await?.len(), 2);
    let page = client.hscan::<Vec<(String, String)>>("h", 0, ScanOptions::new()).await?;
    assert_eq!(page.cursor, 0);
    assert_eq!(client.lpush("l", ["x", "y"]).await?, 2);
    assert_eq!(client.lrange::<Vec<String>>("l", 0, -1).await?, ["y", "x"]);
    let popped = client.blpop::<Option<(String, String)>>("l", 5.0).await?;
    assert_eq!(popped, Some(("l".to_owned(), "y".to_owned())));
    assert_eq!(client.sadd("s", ["x", "y"]).await?, 2);
    assert_eq!(client.smembers::<HashSet<String>>("s").await?.len(), 2);
    assert_eq!(client.zadd("z", [(1.5, "ann")]).await?, 1);
    assert_eq!(client.zrange::<Vec<String>>("z", 0, 9).await?, ["ann"]);

    let encoding = client.execute::<Option<String>>(Command::new("OBJECT ENCODING").key("k")).await?;
    assert!(encoding.is_some());
    assert!(client.execute::<u64>(Command::new("DBSIZE").to(Target::AllPrimaries)).await? >= 5);
    let each = client.execute_each::<String>(Command::new("INFO").to(Target::AllNodes)).await?;
    assert_eq!(each.len(), 3);
    assert_eq!(client.get::<String>("k").timeout(Duration::from_millis(50)).await?, "v");
    assert_eq!(Slot::of_key(b"k").get(), 7629);
    assert_eq!(client.slot_map().nodes().len(), 3);
    assert_eq!(client.stats().moved, 0);
    drop(client.clone());

    let mut keys = client.scan().pattern("user:*").count(100).keys();
    assert!(keys.next().await.is_none());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_the_guides_send_together_is_answered_together() -> keyslot::Result<()> {
    let (_cluster, client) = started().await;
    let mut pipe = client.pipeline();
    pipe.set("a", "1").incr("b");
    assert_eq!(pipe.run::<((), i64)>().await?, ((), 1));
    assert_eq!(pipe.run_each().await?.len(), 2);
    let done = client.transaction().incr("{u}n").expire("{u}n", 60).run::<(i64, bool)>().await?;
    assert_eq!(done, (1, true));

    client.session("{u}n").await?.watch(["{u}n"]).await?;
    let mut session = client.session("{u}n").await?;
    session.watch(["{u}n"]).await?;
    client.incr("{u}n").await?;
    let mut transaction = session.transaction();
    transaction.incr("{u}n");
    assert_eq!(transaction.run::<(i64,)>().await?, None, "another one has changed it");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_subscriptions_of_the_guides_are_told() -> keyslot::Result<()> {
    let (_cluster, client) = started().await;
    let mut subscriber = client.subscriber();
    subscriber.subscribe("news").await?;
    subscriber.psubscribe("news.*").await?;
    subscriber.ssubscribe("orders:{eu}").await?;
    client.publish("news", "hello").await?;
    let event = subscriber.next().await;
    assert!(event.and_then(keyslot::PubSubEvent::into_message).is_some());
    subscriber.unsubscribe("news").await?;
    assert_eq!(subscriber.subscriptions().await.len(), 2);
    client.close().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_error_answers_the_questions_of_the_guides() {
    let (_cluster, client) = started().await;
    client.set("k", "text").await.unwrap();
    let error: Error = client.incr("k").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (keyslot::ErrorKind::Server, Some("ERR")));
    assert_eq!(error.outcome(), Outcome::Rejected);
    let (node, slot, attempts) = (error.node(), error.slot(), error.attempts());
    assert_eq!((node.is_some(), slot, attempts), (true, Some(Slot::of_key(b"k")), 1));
    assert_eq!((error.node(), error.slot(), error.attempts()), (node, slot, attempts));
}

/// Streams are simulated in part and scripts not at all, so these are compiled only; `tests/live/scripts.rs` and
/// `tests/live/commands` run their like on real servers.
async fn on_real_servers(client: Client) -> keyslot::Result<()> {
    client.xadd("orders", "*", [("item", "tea")]).await?;
    client
        .xreadgroup_options::<HashMap<String, String>>(
            "shop",
            "me",
            [("orders", ">")],
            XreadgroupOptions::new().block(5_000),
        )
        .await?;
    Script::new("return ARGV[1]").key("k").arg(1).run::<i64>(&client).await?;
    client.fcall::<i64>("f", "k", 1).await?;
    Ok(())
}

/// What the fourth column of a guide's tables says, in backticks.
fn keyslot_cells(guide: &str) -> Vec<String> {
    let rows = guide.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let cells = rows.filter_map(|row| row.rsplit_once(" | ")?.1.strip_prefix('`')?.strip_suffix('`'));
    cells.map(str::to_owned).collect()
}

/// As rustfmt may break the lines.
fn without_breaks(code: &str) -> String {
    let code: String = code.split_whitespace().collect();
    code.replace(",)", ")")
}

#[test]
fn every_call_of_a_guide_is_one_that_is_made_here() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let here = std::fs::read_to_string(root.join("tests/public_api/migration.rs")).unwrap();
    let here = without_breaks(&here);
    for peer in GUIDES {
        let name = format!("docs/migrating-from-{peer}.md");
        let guide = std::fs::read_to_string(root.join(&name)).unwrap();
        let cells: BTreeSet<String> = keyslot_cells(&guide).into_iter().collect();
        assert!(cells.len() >= 50, "{name}: only {} different calls", cells.len());
        for cell in cells {
            assert!(here.contains(&without_breaks(&cell)), "{name}: no test makes this call: {cell}");
        }
    }
}
