use keyslot::Commands;
use keyslot::options::{LposOptions, Side as End};

use super::support::{SINCE_7_0, Side};

type Text = Option<String>;
type Popped = Option<(String, Vec<String>)>;

pub(crate) async fn answer(side: &Side<'_>) {
    let client = side.client;
    let (l, m, none) = (&side.key("l"), &side.key("m"), &side.key("none"));
    assert_eq!(client.lpushx(l, "a").await.unwrap(), 0);
    assert_eq!(client.rpushx(l, "a").await.unwrap(), 0);
    assert_eq!(client.rpush(l, ["b", "c", "d"]).await.unwrap(), 3);
    assert_eq!(client.lpush(l, "a").await.unwrap(), 4);
    assert_eq!(client.lrange::<Vec<String>>(l, 0, -1).await.unwrap(), ["a", "b", "c", "d"]);
    assert_eq!(client.llen(l).await.unwrap(), 4);
    assert_eq!(client.lindex::<Text>(l, -1).await.unwrap().as_deref(), Some("d"));
    assert_eq!(client.lindex::<Text>(l, 9).await.unwrap(), None);
    client.lset(l, 0, "b").await.unwrap();
    assert_eq!(client.linsert_before(l, "b", "x").await.unwrap(), 5);
    assert_eq!(client.linsert_after(l, "none", "x").await.unwrap(), -1);
    assert_eq!(client.lpos(l, "b").await.unwrap(), Some(1));
    assert_eq!(client.lpos(l, "none").await.unwrap(), None);
    let last = LposOptions::new().rank(-1).maxlen(100);
    assert_eq!(client.lpos_options(l, "b", last).await.unwrap(), Some(2));
    assert_eq!(client.lpos_count(l, "b", 0, LposOptions::new()).await.unwrap(), [1, 2]);
    assert_eq!(client.lrem(l, 0, "b").await.unwrap(), 2);
    client.ltrim(l, 0, 9).await.unwrap();
    assert_eq!(client.lmove::<Text>(l, m, End::Left, End::Right).await.unwrap().as_deref(), Some("x"));
    assert_eq!(client.lmove::<Text>(none, m, End::Left, End::Right).await.unwrap(), None);
    assert_eq!(client.rpoplpush::<Text>(l, m).await.unwrap().as_deref(), Some("d"));
    assert_eq!(client.lpop::<Text>(l).await.unwrap().as_deref(), Some("c"));
    assert_eq!(client.rpop::<Text>(l).await.unwrap(), None);
    assert_eq!(client.lpop_count::<Vec<String>>(m, 5).await.unwrap(), ["d", "x"]);
    assert_eq!(client.rpop_count::<Option<Vec<String>>>(m, 5).await.unwrap(), None);

    client.rpush(l, ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]).await.unwrap();
    let keys = [none, l];
    let popped = |names: &[&str]| Some((l.clone(), names.iter().map(|name| (*name).to_owned()).collect()));
    let requests = [
        (client.lmpop::<Popped>(keys, End::Left), popped(&["a"])),
        (client.lmpop_count(keys, End::Right, 2), popped(&["j", "i"])),
        (client.lmpop_count(none, End::Right, 2), None),
        (client.blmpop(1.0, keys, End::Left), popped(&["b"])),
        (client.blmpop_count(1.0, keys, End::Left, 2), popped(&["c", "d"])),
        (client.blmpop(0.01, none, End::Left), None),
    ];
    for (request, wanted) in requests {
        assert!(side.if_known(SINCE_7_0, request).await.is_none_or(|popped| popped == wanted), "{wanted:?}");
    }
    client.del([l, m]).await.unwrap();
    client.rpush(l, ["a", "b", "c", "d"]).await.unwrap();
    let pair = |value: &str| Some((l.clone(), value.to_owned()));
    assert_eq!(client.blpop::<Option<(String, String)>>(keys, 1.0).await.unwrap(), pair("a"));
    assert_eq!(client.brpop::<Option<(String, String)>>(keys, 1.0).await.unwrap(), pair("d"));
    assert_eq!(client.brpop::<Option<(String, String)>>(none, 0.01).await.unwrap(), None);
    let moved: Text = client.blmove(l, m, End::Left, End::Left, 1.0).await.unwrap();
    assert_eq!(moved.as_deref(), Some("b"));
    assert_eq!(client.brpoplpush::<Text>(l, m, 1.0).await.unwrap().as_deref(), Some("c"));
    assert_eq!(client.brpoplpush::<Text>(none, m, 0.01).await.unwrap(), None);
}
