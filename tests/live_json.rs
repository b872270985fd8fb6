//! The commands of JSON modules on servers that have loaded one, in RESP3 and in RESP2: RedisJSON 2.8, which `scripts/servers`
//! gets. Redis 6.2 cannot load it. What servers without a module say is looked at in `live/commands/json.rs`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests report by panicking, in their helpers too, where clippy.toml does not allow it by itself"
)]

mod live_support;

use keyslot::json::{Json, to_json};
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, Command, Commands, ErrorKind, Outcome, Protocol, Slot};
use live_support::{on_every_server, primaries, tag_at};
use serde::{Deserialize, Serialize};

on_every_server! {
    all: ;
    since_7_0: documents_are_kept_changed_and_found;
    valkey_9_1: ;
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct User {
    name: String,
    visits: i64,
    active: bool,
    tags: Vec<String>,
    place: Place,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Place {
    city: Option<String>,
}

fn ann() -> User {
    let tags = vec!["a".to_owned(), "b".to_owned()];
    let place = Place { city: None };
    User { name: "Ann".to_owned(), visits: 7, active: true, tags, place }
}

async fn documents_are_kept_changed_and_found(server: Server) {
    let servers = server.path().ancestors().nth(2).unwrap();
    let module = servers.join("redis-json-2.8/rejson.so");
    assert!(module.exists(), "{} is not there: run scripts/servers", module.display());
    let builder = LocalCluster::builder().server(server).setting("loadmodule", module.to_str().unwrap());
    let cluster = builder.start().await.unwrap();
    for protocol in [Protocol::Auto, Protocol::Resp2] {
        let client = Client::builder().url(&cluster.url()).protocol(protocol).connect().await.unwrap();
        documents(&client).await;
        numbers_and_texts(&client).await;
        lists_and_objects(&client, protocol).await;
        several_documents(&cluster, &client).await;
        // The table or the server knows where each key is.
        assert!(client.stats().moved <= 1, "only the slot that has moved was looked for");
        client.execute::<()>(Command::new("FLUSHALL")).await.unwrap();
    }
}

async fn documents(client: &Client) {
    let key = "user:1";
    client.json_set(key, "$", to_json(&ann()).unwrap()).await.unwrap();
    assert!(!client.json_set_nx(key, "$", "{}").await.unwrap());
    assert!(client.json_set_nx(key, "$.age", 30).await.unwrap());
    assert!(client.json_set_xx(key, "$.age", 31).await.unwrap());
    assert!(!client.json_set_xx(key, "$.none", 1).await.unwrap());
    let ages: Option<Json<Vec<i64>>> = client.json_get(key, "$.age").await.unwrap();
    assert_eq!(ages, Some(Json(vec![31])));
    assert_eq!(client.json_get::<Option<Json<User>>>(key, ".").await.unwrap(), Some(Json(ann())));
    assert_eq!(client.json_get::<Option<Json<User>>>("nobody", ".").await.unwrap(), None);
    let both: Json<serde_json::Value> = client.json_get_paths(key, ["$.age", "$.none"]).await.unwrap();
    let both: Vec<_> = both.0.as_object().unwrap().values().cloned().collect();
    assert!(both.contains(&serde_json::json!([31])) && both.contains(&serde_json::json!([])), "{both:?}");
    client
        .json_merge(key, "$", Json(serde_json::json!({"age": null, "place": {"city": "Rome"}})))
        .await
        .unwrap();
    let city: Option<Json<Vec<String>>> = client.json_get(key, "$.place.city").await.unwrap();
    assert_eq!(city, Some(Json(vec!["Rome".to_owned()])));
    assert_eq!(client.json_del(key, "$.age").await.unwrap(), 0, "merged away");
    assert_eq!(client.json_del(key, "$.place").await.unwrap(), 1);
    assert_eq!(client.json_forget(key, "$.name").await.unwrap(), 1);
    assert_eq!(client.json_clear(key, "$.*").await.unwrap(), 2, "a number and a list");
    let left: Json<Vec<serde_json::Value>> = client.json_get(key, "$").await.unwrap();
    assert_eq!(left.0, [serde_json::json!({"visits": 0, "active": true, "tags": []})]);
    let error = client.json_set("new", "$.a", 1).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Server, Outcome::Rejected), "{error}");
    let error = client.json_set(key, "$", "no json").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Server, Outcome::Rejected), "{error}");
}

async fn numbers_and_texts(client: &Client) {
    let key = "counts";
    client.json_set(key, "$", r#"{"n":1,"f":1.5,"s":"x","b":true}"#).await.unwrap();
    type Numbers = Json<Vec<Option<f64>>>;
    assert_eq!(client.json_numincrby::<Numbers>(key, "$.n", 2.0).await.unwrap(), Json(vec![Some(3.0)]));
    let mut all = client.json_numincrby::<Numbers>(key, "$.*", 1.0).await.unwrap().0;
    all.sort_by(f64_order);
    assert_eq!(all, [None, None, Some(2.5), Some(4.0)]);
    assert_eq!(client.json_nummultby::<Numbers>(key, "$.f", 2.0).await.unwrap(), Json(vec![Some(5.0)]));
    assert_eq!(client.json_strappend::<Vec<Option<u64>>>(key, "$.s", "\"yz\"").await.unwrap(), [Some(3)]);
    assert_eq!(client.json_strlen::<Vec<Option<u64>>>(key, "$.s").await.unwrap(), [Some(3)]);
    assert_eq!(client.json_strlen::<Vec<Option<u64>>>(key, "$.n").await.unwrap(), [None]);
    assert_eq!(client.json_toggle::<Vec<Option<bool>>>(key, "$.b").await.unwrap(), [Some(false)]);
    assert_eq!(client.json_toggle::<Vec<Option<u64>>>(key, "$.s").await.unwrap(), [None]);
}

fn f64_order(one: &Option<f64>, other: &Option<f64>) -> std::cmp::Ordering {
    one.unwrap_or(f64::MIN).total_cmp(&other.unwrap_or(f64::MIN))
}

async fn lists_and_objects(client: &Client, protocol: Protocol) {
    let key = "lists";
    client.json_set(key, "$", r#"{"l":[1,2],"o":{"p":null}}"#).await.unwrap();
    type Lengths = Vec<Option<i64>>;
    assert_eq!(client.json_arrappend::<Lengths>(key, "$.l", [3, 4]).await.unwrap(), [Some(4)]);
    assert_eq!(client.json_arrinsert::<Lengths>(key, "$.l", 0, [0]).await.unwrap(), [Some(5)]);
    assert_eq!(client.json_arrindex::<Lengths>(key, "$.l", 3).await.unwrap(), [Some(3)]);
    assert_eq!(client.json_arrindex::<Lengths>(key, "$.l", 9).await.unwrap(), [Some(-1)]);
    assert_eq!(client.json_arrlen::<Lengths>(key, "$.o").await.unwrap(), [None]);
    assert_eq!(client.json_arrpop::<Vec<Option<Json<i64>>>>(key, "$.l", -1).await.unwrap(), [Some(Json(4))]);
    assert_eq!(client.json_arrtrim::<Lengths>(key, "$.l", 1, 2).await.unwrap(), [Some(2)]);
    assert_eq!(client.json_arrlen::<Lengths>(key, "$.l").await.unwrap(), [Some(2)]);
    let left: Json<Vec<Vec<i64>>> = client.json_get(key, "$.l").await.unwrap();
    assert_eq!(left.0, [[1, 2]]);
    let error = client.json_arrinsert::<Lengths>(key, "$.l", 9, [0]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Server, Outcome::Rejected), "{error}");
    let names: Vec<Option<Vec<String>>> = client.json_objkeys(key, "$.o").await.unwrap();
    assert_eq!(names, [Some(vec!["p".to_owned()])]);
    assert_eq!(client.json_objlen::<Lengths>(key, "$.o").await.unwrap(), [Some(1)]);
    let types: Vec<String> = match protocol {
        Protocol::Auto => client.json_type::<Vec<Vec<String>>>(key, "$.l").await.unwrap().concat(),
        Protocol::Resp2 => client.json_type(key, "$.l").await.unwrap(),
    };
    assert_eq!(types, ["array"]);
}

async fn several_documents(cluster: &LocalCluster, client: &Client) {
    let nodes = primaries(&client.slot_map());
    let tags: Vec<String> = nodes.iter().map(|node| tag_at(&client.slot_map(), node, "doc")).collect();
    for (number, tag) in tags.iter().enumerate() {
        let (one, two) = (format!("{{{tag}}}1"), format!("{{{tag}}}2"));
        client.json_mset([(&one, "$", number.to_string()), (&two, "$", "[]".to_owned())]).await.unwrap();
    }
    let keys: Vec<String> = tags.iter().map(|tag| format!("{{{tag}}}1")).chain(["none".to_owned()]).collect();
    let expected: Vec<Option<Json<Vec<usize>>>> =
        vec![Some(Json(vec![0])), Some(Json(vec![1])), Some(Json(vec![2])), None];
    assert_eq!(client.json_mget::<Vec<Option<Json<Vec<usize>>>>>(&keys, "$").await.unwrap(), expected);
    let across = client.json_mset(keys.iter().map(|key| (key, "$", 1))).await.unwrap_err();
    assert_eq!((across.kind(), across.outcome()), (ErrorKind::CrossSlot, Outcome::Rejected), "{across}");
    // The documents of a slot that moves are found where they are.
    let slot = Slot::of_key(tags[0].as_bytes());
    cluster.move_slot(slot, &nodes[0], &nodes[1]).await.unwrap();
    assert_eq!(client.json_mget::<Vec<Option<Json<Vec<usize>>>>>(&keys, "$").await.unwrap(), expected);
    // A command of the module that no method is for.
    let bytes: Vec<u64> =
        client.execute(Command::new("JSON.DEBUG MEMORY").key(&keys[0]).arg("$")).await.unwrap();
    assert!(bytes[0] > 0);
    cluster.move_slot(slot, &nodes[1], &nodes[0]).await.unwrap();
}
