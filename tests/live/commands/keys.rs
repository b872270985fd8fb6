use keyslot::Commands;
use keyslot::options::{ExpireCondition, RestoreOptions, SortOptions};

use super::support::{SINCE_7_0, Side, refusal};

const LATER: i64 = 4_000_000_000;

pub(crate) async fn answer(side: &Side<'_>) {
    let client = side.client;
    let (k, l) = (&side.key("k"), &side.key("l"));
    client.set(k, 12).await.unwrap();
    times_to_live(side, k).await;

    assert_eq!(client.exists([k, l]).await.unwrap(), 1);
    assert_eq!(client.touch([k, l]).await.unwrap(), 1);
    assert_eq!(client.key_type(k).await.unwrap(), "string");
    assert!(client.copy(k, l).await.unwrap());
    assert!(!client.copy(k, l).await.unwrap());
    assert!(client.copy_replace(k, l).await.unwrap());
    assert!(!client.renamenx(k, l).await.unwrap());
    client.rename(l, side.key("m")).await.unwrap();
    let dump = client.dump(k).await.unwrap().unwrap();
    assert_eq!(client.dump(side.key("none")).await.unwrap(), None);
    client.restore(l, 0, &dump).await.unwrap();
    assert!(refusal(client.restore(l, 0, &dump).await).contains("busykey"));
    let options = RestoreOptions::new().replace().absttl().idletime(50);
    client.restore_options(l, 4_000_000_000_000, &dump, options).await.unwrap();
    assert!(client.ttl(l).await.unwrap() > 1000);
    assert_eq!(client.get::<i64>(l).await.unwrap(), 12);

    assert_eq!(client.object_encoding(k).await.unwrap().as_deref(), Some("int"));
    assert!(refusal(client.object_freq(k).await).contains("lfu"));
    assert!(client.object_idletime(l).await.unwrap().is_some());
    assert!(client.object_refcount(k).await.unwrap().is_some());
    assert!(client.memory_usage(k).await.unwrap().unwrap() > 10);
    assert!(client.memory_usage_samples(k, 0).await.unwrap().unwrap() > 10);
    assert_eq!(client.memory_usage(side.key("none")).await.unwrap(), None);

    let s = &side.key("s");
    client.rpush(s, [3, 1, 2]).await.unwrap();
    assert_eq!(client.sort::<Vec<i64>>(s).await.unwrap(), [1, 2, 3]);
    let two_largest = SortOptions::new().desc().limit(0, 2);
    assert_eq!(client.sort_options::<Vec<i64>>(s, two_largest.clone()).await.unwrap(), [3, 2]);
    assert_eq!(client.sort_store(s, side.key("sorted"), SortOptions::new().alpha()).await.unwrap(), 3);
    let sorted = side.if_known(SINCE_7_0, client.sort_ro::<Vec<i64>>(s, two_largest)).await;
    assert!(sorted.is_none_or(|sorted| sorted == [3, 2]));

    assert!(client.keys::<Vec<String>>("*").await.unwrap().contains(k));
    assert!(client.randomkey::<Option<String>>().await.is_ok());
    assert_eq!(client.del(k).await.unwrap(), 1);
    assert_eq!(client.unlink([l, s]).await.unwrap(), 2);
}

async fn times_to_live(side: &Side<'_>, k: &str) {
    let client = side.client;
    let conditions = [
        (client.expire_options(k, 100, ExpireCondition::Nx), true),
        (client.pexpire_options(k, 50_000, ExpireCondition::Lt), true),
        (client.expireat_options(k, LATER, ExpireCondition::Gt), true),
        (client.pexpireat_options(k, LATER * 1000, ExpireCondition::Nx), false),
    ];
    for (request, is_met) in conditions {
        assert_ne!(side.if_option_known(SINCE_7_0, request).await, Some(!is_met));
    }
    assert!(client.expire(k, 100).await.unwrap());
    assert!(client.ttl(k).await.unwrap() <= 100);
    assert!(client.pexpire(k, 100_000).await.unwrap());
    assert!(client.pttl(k).await.unwrap() <= 100_000);
    assert!(client.pexpireat(k, LATER * 1000).await.unwrap());
    assert!(client.expireat(k, LATER).await.unwrap());
    assert!(side.if_known(SINCE_7_0, client.expiretime(k)).await.is_none_or(|time| time == LATER));
    assert!(side.if_known(SINCE_7_0, client.pexpiretime(k)).await.is_none_or(|time| time == LATER * 1000));
    assert!(client.persist(k).await.unwrap());
    assert!(!client.persist(k).await.unwrap());
}
