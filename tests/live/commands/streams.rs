use std::collections::HashMap;

use keyslot::options::{
    References, XaddOptions, XclaimOptions, XgroupCreateOptions, XpendingOptions, XreadOptions,
    XreadgroupOptions, Xtrim,
};
use keyslot::replies::StreamEntry;
use keyslot::{Commands, Value};

use super::support::{Side, redis_since, refusal};

type Fields = HashMap<String, i64>;

fn ids<F>(entries: &[StreamEntry<F>]) -> Vec<&str> {
    entries.iter().map(|entry| entry.id.as_str()).collect()
}

pub(crate) async fn answer(side: &Side<'_>) {
    entries(side).await;
    groups(side).await;
    claims(side).await;
}

async fn entries(side: &Side<'_>) {
    let client = side.client;
    let (x, y) = (&side.key("x"), &side.key("y"));
    for number in 1..=5 {
        let id = format!("{number}-0");
        assert_eq!(client.xadd(x, &id, [("n", number), ("m", -number)]).await.unwrap(), id);
    }
    assert!(refusal(client.xadd(x, "1-0", [("n", 1)]).await).contains("equal or smaller"));
    let only_there = XaddOptions::new().nomkstream();
    assert_eq!(client.xadd_options(y, "*", [("n", 1)], only_there).await.unwrap(), None);
    let trimmed = XaddOptions::new().trim(Xtrim::maxlen(5));
    assert_eq!(client.xadd_options(x, "6-0", [("n", 6)], trimmed).await.unwrap().as_deref(), Some("6-0"));
    assert_eq!(client.xlen(x).await.unwrap(), 5);

    let all = client.xrange::<Fields>(x, "-", "+").await.unwrap();
    assert_eq!(ids(&all), ["2-0", "3-0", "4-0", "5-0", "6-0"]);
    assert_eq!(all[0].fields, HashMap::from([("n".to_owned(), 2), ("m".to_owned(), -2)]));
    let some = client.xrange_count::<Vec<(String, String)>>(x, "(2-0", "+", 2).await.unwrap();
    assert_eq!((ids(&some), some[0].fields.len()), (vec!["3-0", "4-0"], 2));
    assert_eq!(ids(&client.xrevrange::<Value>(x, "+", "5").await.unwrap()), ["6-0", "5-0"]);
    assert_eq!(ids(&client.xrevrange_count::<Value>(x, "+", "-", 1).await.unwrap()), ["6-0"]);

    client.xadd(y, "9-0", [("n", 9)]).await.unwrap();
    let read = client.xread::<Fields>([(x, "4-0"), (y, "0")]).await.unwrap();
    assert_eq!((ids(read.of(x)), ids(read.of(y))), (vec!["5-0", "6-0"], vec!["9-0"]));
    assert_eq!(read.into_entries().count(), 3);
    assert!(client.xread::<Fields>([(x, "6-0")]).await.unwrap().is_empty());
    let wait = XreadOptions::new().count(1).block(20);
    assert!(client.xread_options::<Fields>([(x, "$")], wait).await.unwrap().is_empty());
    assert_eq!(ids(client.xread_options::<Fields>([(x, "0")], wait).await.unwrap().of(x)), ["2-0"]);

    assert_eq!(client.xdel(x, ["2-0", "99-0"]).await.unwrap(), 1);
    let gone = client.xdelex(x, References::Keep, ["3-0", "99-0"]);
    assert!(side.if_known(redis_since(8, 2), gone).await.is_none_or(|answers| answers == [1, -1]));
    client.xsetid(x, "50-0").await.unwrap();
    let info = client.xinfo_stream::<Fields>(x).await.unwrap();
    assert_eq!((info.last_generated_id.as_str(), info.groups), ("50-0", 0));
    assert_eq!(info.last_entry.unwrap().id, "6-0");
    assert!(refusal(client.xinfo_stream::<Fields>(side.key("none")).await).contains("no such key"));
    let full: HashMap<String, Value> = client.xinfo_stream_full(x, 1).await.unwrap();
    assert!(full.contains_key("entries"));
    assert_eq!(client.xtrim(x, Xtrim::minid("6")).await.unwrap() + 1, info.length);
    assert_eq!(client.xtrim(x, Xtrim::maxlen(1000).limit(10)).await.unwrap(), 0);
}

async fn groups(side: &Side<'_>) {
    let client = side.client;
    let g = &side.key("g");
    assert!(refusal(client.xgroup_create(g, "group", "0").await).contains("mkstream"));
    client.xgroup_create_options(g, "group", "0", XgroupCreateOptions::new().mkstream()).await.unwrap();
    assert!(refusal(client.xgroup_create(g, "group", "0").await).contains("busygroup"));
    assert!(client.xgroup_createconsumer(g, "group", "idle").await.unwrap());
    for number in 1..=4 {
        client.xadd(g, format!("{number}-0"), [("n", number)]).await.unwrap();
    }
    let one = XreadgroupOptions::new().count(1);
    let first = client.xreadgroup_options::<Fields>("group", "ann", [(g, ">")], one).await.unwrap();
    assert_eq!(ids(first.of(g)), ["1-0"]);
    let rest = client.xreadgroup::<Fields>("group", "bob", [(g, ">")]).await.unwrap();
    assert_eq!(ids(rest.of(g)), ["2-0", "3-0", "4-0"]);
    let wait = XreadgroupOptions::new().block(20).noack();
    assert!(client.xreadgroup_options::<Fields>("group", "bob", [(g, ">")], wait).await.unwrap().is_empty());

    let summary = client.xpending(g, "group").await.unwrap();
    assert_eq!(
        (summary.count, summary.first.as_deref(), summary.last.as_deref()),
        (4, Some("1-0"), Some("4-0"))
    );
    assert_eq!(summary.consumers, [("ann".to_owned(), 1), ("bob".to_owned(), 3)]);
    let pending = client.xpending_range(g, "group", "-", "+", 9).await.unwrap();
    assert_eq!((pending.len(), pending[0].consumer.as_str(), pending[0].deliveries), (4, "ann", 1));
    let of_bob = XpendingOptions::new().idle(0).consumer("bob");
    assert_eq!(client.xpending_options(g, "group", "-", "+", 9, of_bob).await.unwrap().len(), 3);
    let groups = client.xinfo_groups(g).await.unwrap();
    assert_eq!((groups.len(), groups[0].name.as_str(), groups[0].pending), (1, "group", 4));
    let consumers = client.xinfo_consumers(g, "group").await.unwrap();
    assert!(consumers.iter().any(|consumer| consumer.name == "bob" && consumer.pending == 3));

    assert_eq!(client.xack(g, "group", ["1-0", "9-0"]).await.unwrap(), 1);
    let acknowledged = client.xackdel(g, "group", References::Delete, "2-0");
    assert!(side.if_known(redis_since(8, 2), acknowledged).await.is_none_or(|answers| answers == [1]));
    client.xgroup_setid(g, "group", "$").await.unwrap();
    assert!(client.xgroup_delconsumer(g, "group", "bob").await.unwrap() >= 2);
    let summary = client.xpending(g, "group").await.unwrap();
    assert_eq!((summary.count, summary.first, summary.consumers), (0, None, vec![]));
    assert!(client.xgroup_destroy(g, "group").await.unwrap());
    assert!(!client.xgroup_destroy(g, "group").await.unwrap());
}

async fn claims(side: &Side<'_>) {
    let client = side.client;
    let c = &side.key("c");
    for number in 1..=5 {
        client.xadd(c, format!("{number}-0"), [("n", number)]).await.unwrap();
    }
    client.xgroup_create(c, "group", "0").await.unwrap();
    client.xreadgroup::<Fields>("group", "ann", [(c, ">")]).await.unwrap();
    let claimed = client.xclaim::<Fields>(c, "group", "bob", 0, ["1-0", "2-0"]).await.unwrap();
    assert_eq!((ids(&claimed), claimed[1].fields["n"]), (vec!["1-0", "2-0"], 2));
    let options = XclaimOptions::new().idle(60_000).retrycount(7);
    let claimed = client.xclaim_options::<Fields>(c, "group", "bob", 0, "3-0", options).await.unwrap();
    assert_eq!(ids(&claimed), ["3-0"]);
    let pending = client.xpending_range(c, "group", "3-0", "3-0", 1).await.unwrap();
    assert!(pending[0].deliveries == 7 && pending[0].idle >= 60_000);
    assert_eq!(client.xclaim_justid(c, "group", "bob", 0, "4-0").await.unwrap(), ["4-0"]);
    let taken = client.xautoclaim_count::<Fields>(c, "group", "eve", 0, "0-0", 2).await.unwrap();
    assert_eq!((ids(&taken.claimed), taken.next.as_str()), (vec!["1-0", "2-0"], "3-0"));
    let taken = client.xautoclaim::<Fields>(c, "group", "eve", 0, taken.next).await.unwrap();
    assert_eq!((taken.claimed.len(), taken.next.as_str(), taken.deleted.len()), (3, "0-0", 0));
    let taken = client.xautoclaim_justid(c, "group", "eve", 0, "5-0", 10).await.unwrap();
    assert_eq!(taken.claimed, ["5-0"]);
}
