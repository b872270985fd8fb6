use std::collections::BTreeSet;

use keyslot::Commands;
use keyslot::options::ScanOptions;

use super::support::{SINCE_7_0, Side};

pub(crate) async fn answer(side: &Side<'_>) {
    let client = side.client;
    let (s, t, d) = (&side.key("s"), &side.key("t"), &side.key("d"));
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    assert_eq!(client.sadd(s, ["a", "b", "c"]).await.unwrap(), 3);
    assert_eq!(client.sadd(t, ["b", "c", "d"]).await.unwrap(), 3);
    assert_eq!(client.smembers::<BTreeSet<String>>(s).await.unwrap(), set(&["a", "b", "c"]));
    assert!(client.sismember(s, "a").await.unwrap());
    assert_eq!(client.smismember(s, ["a", "d"]).await.unwrap(), [true, false]);
    assert_eq!(client.scard(s).await.unwrap(), 3);
    assert!(client.srandmember::<Option<String>>(s).await.unwrap().is_some());
    assert_eq!(client.srandmember_count::<Vec<String>>(s, -5).await.unwrap().len(), 5);
    let page = client.sscan::<BTreeSet<String>>(s, 0, ScanOptions::new().count(10)).await.unwrap();
    assert_eq!((page.cursor, page.items.len()), (0, 3));
    let keys = [s, t];
    assert_eq!(client.sunion::<BTreeSet<String>>(keys).await.unwrap(), set(&["a", "b", "c", "d"]));
    assert_eq!(client.sunionstore(d, keys).await.unwrap(), 4);
    assert_eq!(client.sinter::<BTreeSet<String>>(keys).await.unwrap(), set(&["b", "c"]));
    assert_eq!(client.sinterstore(d, keys).await.unwrap(), 2);
    assert_eq!(client.sdiff::<BTreeSet<String>>(keys).await.unwrap(), set(&["a"]));
    assert_eq!(client.sdiffstore(d, keys).await.unwrap(), 1);
    assert!(side.if_known(SINCE_7_0, client.sintercard(keys)).await.is_none_or(|count| count == 2));
    assert!(side.if_known(SINCE_7_0, client.sintercard_limit(keys, 1)).await.is_none_or(|count| count == 1));
    assert!(client.smove(s, t, "a").await.unwrap());
    assert_eq!(client.srem(s, ["b", "z"]).await.unwrap(), 1);
    assert_eq!(client.spop::<Option<String>>(s).await.unwrap().as_deref(), Some("c"));
    assert_eq!(client.spop::<Option<String>>(s).await.unwrap(), None);
    assert_eq!(client.spop_count::<BTreeSet<String>>(t, 9).await.unwrap(), set(&["a", "b", "c", "d"]));
}
