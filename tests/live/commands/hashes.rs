use std::collections::{BTreeMap, HashMap};

use keyslot::options::{ExpireCondition, Expiry, HsetexOptions, ScanOptions};
use keyslot::{Commands, Serde};

use super::support::{Side, since};

#[derive(serde::Deserialize, Debug, PartialEq)]
struct Fields {
    a: i64,
    b: f64,
    z: Option<String>,
}

pub(crate) async fn answer(side: &Side<'_>) {
    let client = side.client;
    let h = &side.key("h");
    assert_eq!(client.hset(h, [("a", 1), ("b", 2)]).await.unwrap(), 2);
    assert!(!client.hsetnx(h, "a", 9).await.unwrap());
    client.hmset(h, [("c", 3)]).await.unwrap();
    assert_eq!(client.hget::<Option<i64>>(h, "a").await.unwrap(), Some(1));
    assert_eq!(client.hmget::<Vec<Option<i64>>>(h, ["c", "z"]).await.unwrap(), [Some(3), None]);
    assert_eq!(client.hgetall::<BTreeMap<String, i64>>(h).await.unwrap().len(), 3);
    let Serde(fields) = client.hgetall::<Serde<Fields>>(h).await.unwrap();
    assert_eq!(fields, Fields { a: 1, b: 2.0, z: None });
    let error = client.hgetall::<Serde<Fields>>(side.key("none")).await.unwrap_err().to_string();
    assert!(error.starts_with("HGETALL: ") && error.contains("missing field `a`"), "{error}");
    assert_eq!(client.hkeys::<Vec<String>>(h).await.unwrap().len(), 3);
    assert_eq!(client.hvals::<Vec<i64>>(h).await.unwrap().iter().sum::<i64>(), 6);
    assert!(client.hexists(h, "a").await.unwrap());
    assert_eq!(client.hlen(h).await.unwrap(), 3);
    assert_eq!(client.hstrlen(h, "a").await.unwrap(), 1);
    assert_eq!(client.hincrby(h, "a", 4).await.unwrap(), 5);
    assert_eq!(client.hincrbyfloat(h, "b", 0.5).await.unwrap(), 2.5);
    assert!(client.hrandfield::<Option<String>>(h).await.unwrap().is_some());
    assert_eq!(client.hrandfield::<Option<String>>(side.key("none")).await.unwrap(), None);
    assert_eq!(client.hrandfield_count::<Vec<String>>(h, -7).await.unwrap().len(), 7);
    assert_eq!(client.hrandfield_with_values::<HashMap<String, f64>>(h, 5).await.unwrap().len(), 3);
    let page = client.hscan::<Vec<(String, String)>>(h, 0, ScanOptions::new()).await.unwrap();
    assert_eq!((page.cursor, page.items.len()), (0, 3));
    let only_a = ScanOptions::new().matching("a*").count(100);
    let page = client.hscan::<HashMap<String, i64>>(h, 0, only_a).await.unwrap();
    assert_eq!(page.items, HashMap::from([("a".to_owned(), 5)]));
    let names = client.hscan_novalues::<Vec<String>>(h, 0, ScanOptions::new());
    let names = side.if_option_known(since((7, 4), (8, 0)), names).await;
    assert!(names.is_none_or(|page| page.items.len() == 3));
    assert_eq!(client.hdel(h, ["c", "z"]).await.unwrap(), 1);
    expiry_of_fields(side, h).await;
}

async fn expiry_of_fields(side: &Side<'_>, h: &str) {
    const LATER: u64 = 4_000_000_000;
    let client = side.client;
    let known = since((7, 4), (9, 0));
    let fields = ["a", "none"];
    for (request, codes) in [
        (client.hexpire(h, 100, fields), [1, -2]),
        (client.httl(h, fields), [100, -2]),
        (client.hexpire_options(h, 200, ExpireCondition::Nx, fields), [0, -2]),
        (client.hpexpire_options(h, 50_000, ExpireCondition::Lt, fields), [1, -2]),
        (client.hpexpire(h, 100_000, fields), [1, -2]),
        (client.hexpireat_options(h, LATER, ExpireCondition::Gt, fields), [1, -2]),
        (client.hexpireat(h, LATER, fields), [1, -2]),
        (client.hexpiretime(h, fields), [LATER as i64, -2]),
        (client.hpexpireat_options(h, LATER * 1000, ExpireCondition::Nx, fields), [0, -2]),
        (client.hpexpireat(h, LATER * 1000, fields), [1, -2]),
        (client.hpexpiretime(h, fields), [LATER as i64 * 1000, -2]),
        (client.hpersist(h, fields), [1, -2]),
        (client.httl(h, fields), [-1, -2]),
    ] {
        assert!(side.if_known(known, request).await.is_none_or(|answers| answers == codes), "{codes:?}");
    }
    assert!(
        side.if_known(known, client.hpttl(side.key("none"), "f")).await.is_none_or(|codes| codes == [-2])
    );

    let known = since((8, 0), (9, 0));
    let once = HsetexOptions::new().fnx().expiry(Expiry::Ex(100));
    for is_first in [true, false] {
        let set = side.if_known(known, client.hsetex(h, [("x", 1), ("y", 2)], once)).await;
        assert_ne!(set, Some(!is_first));
    }
    let values =
        side.if_known(known, client.hgetex::<Vec<Option<i64>>>(h, ["x", "z"], Expiry::Px(90_000))).await;
    assert!(values.is_none_or(|values| values == [Some(1), None]));
    let values = side.if_known(known, client.hgetex_persist::<Vec<Option<i64>>>(h, "x")).await;
    assert!(values.is_none_or(|values| values == [Some(1)]));
    let taken = client.hgetdel::<Vec<Option<i64>>>(h, ["x", "z"]);
    let taken = side.if_known(since((8, 0), (9, 1)), taken).await;
    assert!(taken.is_none_or(|values| values == [Some(1), None]));
}
