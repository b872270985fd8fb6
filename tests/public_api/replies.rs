//! What a reply may be read as.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use keyslot::json::{Json, to_json};
use keyslot::replies::StreamEntry;
use keyslot::{Bytes, Commands, Serde, Value};

use crate::started;

#[tokio::test(start_paused = true)]
async fn scalars_are_read_as_what_they_are_wanted_as() {
    let (_cluster, client) = started().await;
    client.set("n", "42").await.unwrap();
    let client = &client;
    assert_eq!(client.get::<u8>("n").await.unwrap(), 42);
    assert_eq!(client.get::<i16>("n").await.unwrap(), 42);
    assert_eq!(client.get::<usize>("n").await.unwrap(), 42);
    assert_eq!(client.get::<u128>("n").await.unwrap(), 42);
    assert_eq!(client.get::<f64>("n").await.unwrap(), 42.0);
    assert_eq!(client.get::<f32>("n").await.unwrap(), 42.0);
    assert_eq!(client.get::<String>("n").await.unwrap(), "42");
    assert_eq!(client.get::<Bytes>("n").await.unwrap(), "42");
    assert_eq!(client.get::<Vec<u8>>("n").await.unwrap(), b"42");
    assert_eq!(client.get::<Value>("n").await.unwrap(), Value::Bulk("42".into()));
    assert_eq!(client.get::<Option<i64>>("n").await.unwrap(), Some(42));
    assert_eq!(client.get::<Option<i64>>("none").await.unwrap(), None);
    assert_eq!(client.get::<Value>("none").await.unwrap(), Value::Nil);
    client.get::<()>("none").await.unwrap();
    assert_eq!(client.incrbyfloat("n", 0.5).await.unwrap(), 42.5);
    assert!(client.expire("n", 60).await.unwrap());
    let binary: Vec<u8> = (0..=255).collect();
    client.set("b", &binary).await.unwrap();
    assert_eq!(client.get::<Vec<u8>>("b").await.unwrap(), binary);
}

#[tokio::test(start_paused = true)]
async fn lists_sets_and_maps_are_the_standard_ones() {
    let (_cluster, client) = started().await;
    client.rpush("l", [1, 2, 3]).await.unwrap();
    assert_eq!(client.lrange::<Vec<i64>>("l", 0, -1).await.unwrap(), [1, 2, 3]);
    assert_eq!(client.lrange::<(i64, String, f64)>("l", 0, -1).await.unwrap(), (1, "2".to_owned(), 3.0));
    assert_eq!(client.lrange::<[i64; 3]>("l", 0, -1).await.unwrap(), [1, 2, 3]);
    assert_eq!(client.lrange::<VecDeque<u8>>("l", 0, -1).await.unwrap(), [1, 2, 3]);
    client.lrange::<[i64; 2]>("l", 0, -1).await.unwrap_err();
    let popped: Option<(String, i64)> = client.blpop(["l"], 1.0).await.unwrap();
    assert_eq!(popped, Some(("l".to_owned(), 1)));

    client.sadd("s", ["a", "b"]).await.unwrap();
    let both = ["a", "b"].map(str::to_owned);
    assert_eq!(client.smembers::<HashSet<String>>("s").await.unwrap(), HashSet::from(both.clone()));
    assert_eq!(client.smembers::<BTreeSet<String>>("s").await.unwrap(), BTreeSet::from(both));

    client.hset("h", [("one", 1), ("two", 2)]).await.unwrap();
    let pairs = [("one".to_owned(), 1), ("two".to_owned(), 2)];
    assert_eq!(client.hgetall::<HashMap<String, i64>>("h").await.unwrap(), HashMap::from(pairs.clone()));
    assert_eq!(client.hgetall::<BTreeMap<String, i64>>("h").await.unwrap(), BTreeMap::from(pairs.clone()));
    assert_eq!(client.hgetall::<Vec<(String, i64)>>("h").await.unwrap(), pairs);
    let fields: Vec<Option<i64>> = client.hmget("h", ["two", "three"]).await.unwrap();
    assert_eq!(fields, [Some(2), None]);

    client.zadd("z", [(1.5, "a"), (2.0, "b")]).await.unwrap();
    assert_eq!(
        client.zrange_with_scores::<Vec<(String, i64)>>("z", 1, 1).await.unwrap(),
        [("b".to_owned(), 2)]
    );
    client.zrange_with_scores::<Vec<(String, i64)>>("z", 0, 0).await.unwrap_err();
    let scores: Vec<(String, f64)> = client.zrange_with_scores("z", 0, -1).await.unwrap();
    assert_eq!(scores, [("a".to_owned(), 1.5), ("b".to_owned(), 2.0)]);
}

#[tokio::test(start_paused = true)]
async fn replies_of_many_parts_are_structs() {
    let (_cluster, client) = started().await;
    let id = client.xadd("s", "7-1", [("what", "tea"), ("count", "2")]).await.unwrap();
    let entries: Vec<StreamEntry<HashMap<String, String>>> = client.xrange("s", "-", "+").await.unwrap();
    let fields = HashMap::from([("what", "tea"), ("count", "2")].map(|(f, v)| (f.to_owned(), v.to_owned())));
    assert_eq!(entries, [StreamEntry { id, fields }]);
    let reads = client.xread::<Vec<(String, String)>>([("s", "0")]).await.unwrap();
    assert_eq!((reads.is_empty(), reads.of("s").len(), reads.of("other").len()), (false, 1, 0));
    assert!(reads.into_entries().all(|entry| entry.fields.len() == 2));
    assert!(client.xread::<Value>([("s", "7-1")]).await.unwrap().is_empty());
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct User {
    name: String,
    visits: u32,
    email: Option<String>,
}

#[tokio::test(start_paused = true)]
async fn structs_are_read_by_serde() {
    let (_cluster, client) = started().await;
    client.hset("user:1", [("name", "Ann"), ("visits", "7")]).await.unwrap();
    let Serde(user): Serde<User> = client.hgetall("user:1").await.unwrap();
    assert_eq!(user, User { name: "Ann".to_owned(), visits: 7, email: None });
    let error = client.hgetall::<Serde<User>>("user:2").await.unwrap_err();
    assert!(error.to_string().contains("name"), "{error}");

    client.set("user:3", to_json(&user).unwrap()).await.unwrap();
    let Json(read): Json<User> = client.get("user:3").await.unwrap();
    assert_eq!(read, user);
    assert!(client.get::<Option<Json<User>>>("user:4").await.unwrap().is_none());
}
