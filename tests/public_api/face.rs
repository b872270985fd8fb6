//! The public face: the lines that the crate's design gives as its contract, and every name at the root.

use std::sync::Arc;

use keyslot::testkit::SimCluster;
use keyslot::{Client, ClientBuilder, Command, Commands, Error, Outcome, SlotMap, Target, Value};

use crate::started;

#[tokio::test]
async fn a_client_is_made_from_a_url_or_by_a_builder() {
    let cluster = SimCluster::builder().password("secret").start().await.unwrap();
    let url = cluster.url();
    assert!(url.starts_with("redis://:secret@127.0.0.1:"), "{url}");
    let client = Client::connect(&url).await.unwrap();
    client.set("user:1", "Ann").await.unwrap();

    let seeds: Vec<String> = cluster.nodes().iter().map(ToString::to_string).collect();
    let client = ClientBuilder::new().seeds(&seeds).credentials("default", "secret").connect().await.unwrap();
    assert_eq!(client.get::<String>("user:1").await.unwrap(), "Ann");
    let client = Client::builder().seeds([seeds.concat()]).connect().await;
    assert!(client.is_err(), "several addresses in one word are none");
}

#[tokio::test(start_paused = true)]
async fn the_first_program_is_short() -> keyslot::Result<()> {
    let (cluster, client) = started().await;

    client.set("user:1", "Ann").await?;
    let name: Option<String> = client.get("user:1").await?;
    let n: i64 = client.incr("visits").await?;
    let all: Vec<Option<String>> = client.mget(["a", "user:1", "c"]).await?;
    assert_eq!((name.as_deref(), n), (Some("Ann"), 1));
    assert_eq!(all, [None, Some("Ann".to_owned()), None]);

    let mut pipe = client.pipeline();
    pipe.set("{u:1}:name", "Ann").incr("{u:1}:visits");
    let (_, visits): ((), i64) = pipe.run().await?;
    assert_eq!(visits, 1);
    pipe.get("{u:1}:name");
    let each: Vec<Result<Value, Error>> = pipe.run_each().await?;
    assert_eq!(
        each.into_iter().collect::<keyslot::Result<Vec<Value>>>()?,
        [Value::Simple("OK".into()), Value::Int(2), Value::Bulk("Ann".into())]
    );

    let mut tx = client.transaction();
    tx.incr("{u:1}:visits").get("{u:1}:name");
    let (visits, name): (i64, String) = tx.run().await?;
    assert_eq!((visits, name.as_str()), (3, "Ann"));

    let value: Value = client.execute(Command::new("GETRANGE").key("user:1").arg(1).arg(-1)).await?;
    assert_eq!(value, Value::Bulk("nn".into()));
    // It is routed and sent; the simulated nodes have no places, and say so.
    let places: keyslot::Result<Value> = client.execute(Command::new("GEOPOS").key("k").arg("member")).await;
    assert_eq!(places.unwrap_err().code(), Some("ERR"));

    if let Err(error) = client.incr("user:1").await {
        match error.outcome() {
            Outcome::NotSent | Outcome::Rejected => {}
            Outcome::MaybeExecuted => panic!("{error}"),
        }
    } else {
        panic!("a name was counted");
    }

    // All primaries, summed.
    let dbsize: i64 = client.dbsize().await?;
    assert_eq!(dbsize, 4);
    let slot = keyslot::Slot::of_key(b"{user:1}:name");
    assert_eq!((slot, slot.get()), (keyslot::Slot::of_key(b"user:1"), 10778));
    let map: Arc<SlotMap> = client.slot_map();
    assert_eq!((map.shards().count(), map.assigned_slots()), (3, usize::from(keyslot::Slot::COUNT)));
    let primary = map.primary_of(slot).unwrap();
    assert_eq!(Some(&primary.addr), cluster.primary_of(slot).as_ref());
    for shard in map.shards() {
        assert!(shard.ranges().iter().all(|range| range.first <= range.last));
        assert_eq!(shard.replicas().count(), 0);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_command_goes_where_its_target_says() {
    let (cluster, client) = started().await;
    client.set("k", "1").await.unwrap();
    let slot = keyslot::Slot::of_key(b"k");
    let node = cluster.primary_of(slot).unwrap();
    let other = cluster.nodes().into_iter().find(|other| *other != node).unwrap();
    for (target, has_it) in [
        (Target::Node(node), true),
        (Target::Node(other), false),
        (Target::SlotOf("k".into()), true),
        (Target::AllPrimaries, true),
    ] {
        let size: u64 = client.execute(Command::new("DBSIZE").to(target.clone())).await.unwrap();
        assert_eq!(size == 1, has_it, "{target:?}: {size}");
        let size = client.dbsize().to(target).await.unwrap();
        assert_eq!(size == 1, has_it);
    }
    let pong: String = client.execute(Command::new("PING").to(Target::Random)).await.unwrap();
    assert_eq!(pong, "PONG");
    client.flushall().to(Target::AllNodes).await.unwrap();
    assert_eq!(client.exists("k").await.unwrap(), 0);
}

/// Every name that is promised at the root, and those of the modules beside it.
#[test]
#[expect(unused_imports, reason = "that they can be imported is what is shown")]
fn the_names_at_the_root_are_there() {
    use keyslot::options::{
        Expiry, GeoSearchOptions, ScanOptions, SetOptions, XaddOptions, XreadgroupOptions, ZaddOptions,
        ZrangeOptions,
    };
    use keyslot::replies::{
        Autoclaim, GeoPosition, GroupInfo, Info, PendingSummary, ScanPage, StreamEntry, StreamReads,
    };
    use keyslot::testkit::{LocalCluster, SimCluster};
    use keyslot::{
        ArgWriter, Bytes, Client, ClientBuilder, Command, Commands, Connector, ConversionError, Each,
        Element, Ended, Error, ErrorKind, FromValue, Gap, GapCause, Health, Interruption, Message, Node,
        NodeAddr, Outcome, OverflowPolicy, OverloadPolicy, ParseNodeAddrError, Pipeline, Protocol,
        PubSubEvent, ReadFrom, Redirect, RedirectKind, Request, Result, Role, ServerError, Shard, Slot,
        SlotMap, SlotRange, Stats, Subscriber, SubscriberHandle, SubscriberOptions, Subscription,
        SubscriptionKind, SubscriptionState, Target, ToArg, ToArgs, Transaction, Transport, Value,
        WrittenArg, typed_commands,
    };
}
