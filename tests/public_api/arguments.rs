//! What may stand as an argument.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use keyslot::options::{Expiry, ScanOptions, SetOptions, XaddOptions, Xtrim, ZaddOptions};
use keyslot::{Bytes, Client, Command, Commands, Each, ToArg};

use crate::started;

async fn kept(client: &Client, value: impl ToArg) -> Bytes {
    client.set("k", value).await.unwrap();
    client.get("k").await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn texts_bytes_and_numbers_are_one_argument() {
    let (_cluster, client) = started().await;
    let client = &client;
    let (text, bytes) = ("abc", b"abc");
    assert_eq!(kept(client, text).await, text);
    assert_eq!(kept(client, text.to_owned()).await, text);
    assert_eq!(kept(client, &text.to_owned()).await, text);
    assert_eq!(kept(client, Cow::Borrowed(text)).await, text);
    assert_eq!(kept(client, Arc::<str>::from(text)).await, text);
    assert_eq!(kept(client, Box::<str>::from(text)).await, text);
    assert_eq!(kept(client, bytes).await, text);
    assert_eq!(kept(client, &bytes[..]).await, text);
    assert_eq!(kept(client, bytes.to_vec()).await, text);
    assert_eq!(kept(client, &bytes.to_vec()).await, text);
    assert_eq!(kept(client, Bytes::from_static(bytes)).await, text);
    assert_eq!(kept(client, &Bytes::from_static(bytes)).await, text);
    assert_eq!(kept(client, b"\0\r\n\xff").await, &b"\0\r\n\xff"[..]);
    assert_eq!(kept(client, "").await, "");
    assert_eq!(kept(client, vec![b'x'; 100_000]).await.len(), 100_000);

    assert_eq!(kept(client, 7).await, "7");
    assert_eq!(kept(client, &7).await, "7");
    assert_eq!(kept(client, i8::MIN).await, "-128");
    assert_eq!(kept(client, 255_u8).await, "255");
    assert_eq!(kept(client, 1_u16).await, "1");
    assert_eq!(kept(client, 1_i32).await, "1");
    assert_eq!(kept(client, u64::MAX).await, "18446744073709551615");
    assert_eq!(kept(client, i128::MIN).await, "-170141183460469231731687303715884105728");
    assert_eq!(kept(client, usize::MIN).await, "0");
    assert_eq!(kept(client, 0.1).await, "0.1");
    assert_eq!(kept(client, 1.5_f32).await, "1.5");
    assert_eq!(kept(client, true).await, "1");
    assert_eq!(kept(client, &false).await, "0");
    assert_eq!(kept(client, &&text).await, text);
    assert_eq!(kept(client, &mut text.to_owned()).await, text);
    assert_eq!(kept(client, Box::<[u8]>::from(&bytes[..])).await, text);
}

#[tokio::test(start_paused = true)]
async fn one_argument_or_several_are_said_alike() {
    let (_cluster, client) = started().await;
    client.mset([("a", 1), ("b", 2), ("c", 3)]).await.unwrap();
    let texts = ["a", "b"];
    let lent = &texts;
    let strings: Vec<String> = texts.map(str::to_owned).to_vec();
    let set: BTreeSet<&str> = texts.into();
    let bytes: Vec<Bytes> = texts.map(Bytes::from).to_vec();

    assert_eq!(client.exists("a").await.unwrap(), 1);
    assert_eq!(client.exists("a".to_owned()).await.unwrap(), 1);
    assert_eq!(client.exists(b"a").await.unwrap(), 1);
    assert_eq!(client.exists(texts).await.unwrap(), 2);
    assert_eq!(client.exists(lent).await.unwrap(), 2);
    assert_eq!(client.exists(&texts[..]).await.unwrap(), 2);
    assert_eq!(client.exists(&strings).await.unwrap(), 2);
    assert_eq!(client.exists(strings.as_slice()).await.unwrap(), 2);
    assert_eq!(client.exists(&bytes).await.unwrap(), 2);
    assert_eq!(client.exists(Each(&set)).await.unwrap(), 2);
    assert_eq!(client.exists(Each(strings.iter().chain(&strings))).await.unwrap(), 4);
    for text in texts.iter().chain([&"c"]) {
        assert_eq!(client.exists(text).await.unwrap(), 1);
    }
    let (shared, perhaps_lent) = (Arc::<str>::from("a"), Cow::Borrowed("a"));
    assert_eq!(client.exists(&shared).await.unwrap() + client.exists(shared).await.unwrap(), 2);
    assert_eq!(client.exists(&perhaps_lent).await.unwrap() + client.exists(perhaps_lent).await.unwrap(), 2);
    assert_eq!(client.sadd("numbers", [&1, &2]).await.unwrap(), 2);
    assert_eq!(client.sadd("flags", [true, false]).await.unwrap(), 2);
    assert_eq!(client.del(["numbers", "flags"]).await.unwrap(), 2);
    assert_eq!(client.del(strings).await.unwrap(), 2);
    assert_eq!(client.del(Each(["c", "d"].into_iter().filter(|key| *key != "d"))).await.unwrap(), 1);
    assert_eq!(client.dbsize().await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn pairs_come_from_whatever_gives_pairs() {
    let (_cluster, client) = started().await;
    let map = HashMap::from([("one", 1), ("two", 2)]);
    let sorted = BTreeMap::from([("three".to_owned(), "3"), ("four".to_owned(), "4")]);
    assert_eq!(client.hset("h", &map).await.unwrap(), 2);
    assert_eq!(client.hset("h", sorted).await.unwrap(), 2);
    assert_eq!(client.hset("h", [("five", 5.5)]).await.unwrap(), 1);
    assert_eq!(client.hset("h", (6..9).map(|number| (number, number))).await.unwrap(), 3);
    assert_eq!(client.hlen("h").await.unwrap(), 8);
    client.mset(vec![("x", "1".to_owned()), ("y", "2".to_owned())]).await.unwrap();
    let both: (i64, i64) = client.mget(["x", "y"]).await.unwrap();
    assert_eq!(both, (1, 2));
    assert_eq!(client.zadd("z", [(1.0, "a"), (2.5, "b")]).await.unwrap(), 2);
    client.xadd("s", "*", [("field", "value")]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn options_are_named() {
    let (_cluster, client) = started().await;
    let options = SetOptions::new().nx().px(30_000);
    let first: bool = client.set_options("k", "1", options.clone()).await.unwrap();
    let second: bool = client.set_options("k", "2", options).await.unwrap();
    assert_eq!((first, second), (true, false));
    let ttl = client.pttl("k").await.unwrap();
    assert!((1..=30_000).contains(&ttl), "{ttl}");
    let value: String = client.getex("k", Expiry::Ex(60)).await.unwrap();
    assert_eq!((value.as_str(), client.ttl("k").await.unwrap()), ("1", 60));
    let value: String = client.getex("k", Duration::from_millis(1500)).await.unwrap();
    let ttl = client.pttl("k").await.unwrap();
    assert!(value == "1" && (1..=1500).contains(&ttl), "{ttl}");
    let options = SetOptions::new().xx().expiry(Duration::from_secs(90));
    assert!(client.set_options::<bool>("k", "1", options).await.unwrap());
    assert_eq!(client.ttl("k").await.unwrap(), 90);
    let value: String = client.getex_persist("k").await.unwrap();
    assert_eq!((value.as_str(), client.pttl("k").await.unwrap()), ("1", -1));

    client.zadd("z", [(5.0, "a")]).await.unwrap();
    assert_eq!(
        client.zadd_options("z", [(9.0, "a"), (1.0, "b")], ZaddOptions::new().gt().ch()).await.unwrap(),
        2
    );

    let keep_two = XaddOptions::new().trim(Xtrim::maxlen(2));
    for number in 0..5 {
        client.xadd_options("s", "*", [("n", number)], keep_two.clone()).await.unwrap().unwrap();
    }
    assert_eq!(client.xlen("s").await.unwrap(), 2);

    client.sadd("set", Each(0..100)).await.unwrap();
    let page = client.sscan::<Vec<u64>>("set", 0, ScanOptions::new().count(1000)).await.unwrap();
    assert_eq!(page.items.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_command_by_hand_takes_the_same() {
    let (_cluster, client) = started().await;
    let command = Command::new("ZADD").key("z").arg(1.5).arg("a").args(["2", "b"]);
    assert_eq!(command.name(), "ZADD");
    assert_eq!(client.execute::<u64>(command).await.unwrap(), 2);
    let set = Command::new("MSET").key_values([("a", "1"), ("b", "2"), ("c", "3")]);
    client.execute::<()>(set).await.unwrap();
    let get = Command::new("MGET").keys(["a", "b", "c"]);
    assert_eq!(client.execute::<Vec<i64>>(get).await.unwrap(), [1, 2, 3]);
    // Without a word of which arguments are keys, the crate knows.
    let get = Command::new("MGET").args(["c", "b", "a"]);
    assert_eq!(client.execute::<Vec<i64>>(get).await.unwrap(), [3, 2, 1]);
    let name = format!("{}{}", "GE", "T");
    assert_eq!(client.execute::<i64>(Command::new(name).arg("a")).await.unwrap(), 1);
}
