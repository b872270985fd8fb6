use keyslot::Commands;
use keyslot::options::{Aggregate, ScanOptions, ScoreEnd, ZaddOptions, ZrangeOptions, ZstoreOptions};

use super::support::{SINCE_7_0, SINCE_7_2, Side};

type Names = Vec<String>;
type Scored = Vec<(String, f64)>;

fn scored(members: &[(&str, f64)]) -> Scored {
    members.iter().map(|(name, score)| ((*name).to_owned(), *score)).collect()
}

pub(crate) async fn answer(side: &Side<'_>) {
    members(side).await;
    ranges(side).await;
    pops(side).await;
    algebra(side).await;
}

async fn members(side: &Side<'_>) {
    let client = side.client;
    let z = &side.key("z");
    assert_eq!(client.zadd(z, [(1.0, "a"), (2.0, "b"), (3.5, "c")]).await.unwrap(), 3);
    let only_up = ZaddOptions::new().gt().ch();
    assert_eq!(client.zadd_options(z, [(0.5, "a"), (4.0, "c")], only_up).await.unwrap(), 1);
    assert_eq!(client.zadd_incr(z, 1.0, "none", ZaddOptions::new().xx()).await.unwrap(), None);
    assert_eq!(client.zadd_incr(z, 1.0, "b", ZaddOptions::new()).await.unwrap(), Some(3.0));
    assert_eq!(client.zincrby(z, -1.0, "b").await.unwrap(), 2.0);
    assert_eq!(client.zscore::<Option<f64>>(z, "c").await.unwrap(), Some(4.0));
    assert_eq!(client.zmscore(z, ["a", "none"]).await.unwrap(), [Some(1.0), None]);
    assert_eq!(client.zrank(z, "c").await.unwrap(), Some(2));
    assert_eq!(client.zrevrank(z, "none").await.unwrap(), None);
    let rank = side.if_option_known(SINCE_7_2, client.zrank_with_score(z, "c")).await;
    assert!(rank.is_none_or(|rank| rank == Some((2, 4.0))));
    let rank = side.if_option_known(SINCE_7_2, client.zrevrank_with_score(z, "none")).await;
    assert!(rank.is_none_or(|rank| rank.is_none()));
    assert_eq!(client.zcard(z).await.unwrap(), 3);
    assert_eq!(client.zcount(z, 1, "(4").await.unwrap(), 2);
    assert!(client.zrandmember::<Option<String>>(z).await.unwrap().is_some());
    assert_eq!(client.zrandmember_count::<Names>(z, -5).await.unwrap().len(), 5);
    assert_eq!(client.zrandmember_with_scores::<Scored>(z, 5).await.unwrap().len(), 3);
    let page = client.zscan::<Scored>(z, 0, ScanOptions::new().matching("*")).await.unwrap();
    assert_eq!((page.cursor, page.items.len()), (0, 3));
    assert_eq!(client.zrem(z, ["a", "none"]).await.unwrap(), 1);
}

async fn ranges(side: &Side<'_>) {
    let client = side.client;
    let (r, x, d) = (&side.key("r"), &side.key("x"), &side.key("d"));
    client.zadd(r, [(1.0, "a"), (2.0, "b"), (3.0, "c")]).await.unwrap();
    client.zadd(x, [(0.0, "a"), (0.0, "b"), (0.0, "c")]).await.unwrap();
    assert_eq!(client.zrange::<Names>(r, 0, 1).await.unwrap(), ["a", "b"]);
    assert_eq!(client.zrange_with_scores::<Scored>(r, 0, 0).await.unwrap(), scored(&[("a", 1.0)]));
    let down = ZrangeOptions::by_score().rev().limit(0, 2);
    assert_eq!(client.zrange_options::<Names>(r, "+inf", 1, down).await.unwrap(), ["c", "b"]);
    let down =
        client.zrange_options_with_scores::<Scored>(r, 0, 0, ZrangeOptions::by_rank().rev()).await.unwrap();
    assert_eq!(down, scored(&[("c", 3.0)]));
    assert_eq!(client.zrangestore(d, x, "[b", "+", ZrangeOptions::by_lex()).await.unwrap(), 2);
    assert_eq!(client.zrangebyscore::<Names>(r, "(1", 3).await.unwrap(), ["b", "c"]);
    assert_eq!(client.zrangebyscore_with_scores::<Scored>(r, 3, 3).await.unwrap(), scored(&[("c", 3.0)]));
    assert_eq!(client.zrangebyscore_limit::<Names>(r, 1, 3, 1, 1).await.unwrap(), ["b"]);
    assert_eq!(client.zrevrangebyscore::<Names>(r, 3, 2).await.unwrap(), ["c", "b"]);
    assert_eq!(client.zrevrangebyscore_with_scores::<Scored>(r, 1, 1).await.unwrap(), scored(&[("a", 1.0)]));
    assert_eq!(client.zrevrangebyscore_limit::<Names>(r, 3, 1, 0, 1).await.unwrap(), ["c"]);
    assert_eq!(client.zrangebylex::<Names>(x, "-", "(c").await.unwrap(), ["a", "b"]);
    assert_eq!(client.zrangebylex_limit::<Names>(x, "-", "+", 1, 1).await.unwrap(), ["b"]);
    assert_eq!(client.zrevrangebylex::<Names>(x, "+", "[b").await.unwrap(), ["c", "b"]);
    assert_eq!(client.zrevrangebylex_limit::<Names>(x, "+", "-", 2, 1).await.unwrap(), ["a"]);
    assert_eq!(client.zlexcount(x, "-", "+").await.unwrap(), 3);
    assert_eq!(client.zrevrange::<Names>(r, 0, 0).await.unwrap(), ["c"]);
    assert_eq!(client.zrevrange_with_scores::<Scored>(r, 2, 2).await.unwrap(), scored(&[("a", 1.0)]));
    assert_eq!(client.zremrangebyrank(r, 0, 0).await.unwrap(), 1);
    assert_eq!(client.zremrangebyscore(r, 2, "(3").await.unwrap(), 1);
    assert_eq!(client.zremrangebylex(x, "[a", "[b").await.unwrap(), 2);
}

async fn pops(side: &Side<'_>) {
    type Popped = Option<(String, Scored)>;
    let client = side.client;
    let (p, none) = (&side.key("p"), &side.key("none"));
    client.zadd(p, (0..12).map(|number| (f64::from(number), number))).await.unwrap();
    assert_eq!(client.zpopmin::<Scored>(p).await.unwrap(), scored(&[("0", 0.0)]));
    assert_eq!(client.zpopmin_count::<Scored>(p, 2).await.unwrap(), scored(&[("1", 1.0), ("2", 2.0)]));
    assert_eq!(client.zpopmax::<Scored>(p).await.unwrap(), scored(&[("11", 11.0)]));
    assert_eq!(client.zpopmax_count::<Scored>(p, 1).await.unwrap(), scored(&[("10", 10.0)]));
    assert_eq!(client.zpopmax::<Scored>(none).await.unwrap(), []);
    let keys = [none, p];
    let lowest: Option<(String, String, f64)> = client.bzpopmin(keys, 1.0).await.unwrap();
    assert_eq!(lowest, Some((p.clone(), "3".to_owned(), 3.0)));
    let highest: Option<(String, String, f64)> = client.bzpopmax(keys, 1.0).await.unwrap();
    assert_eq!(highest, Some((p.clone(), "9".to_owned(), 9.0)));
    assert_eq!(client.bzpopmax::<Option<(String, String, f64)>>(none, 0.01).await.unwrap(), None);
    let popped = |members: &[(&str, f64)]| Some((p.clone(), scored(members)));
    let requests = [
        (client.zmpop::<Popped>(keys, ScoreEnd::Min), popped(&[("4", 4.0)])),
        (client.zmpop_count(keys, ScoreEnd::Max, 1), popped(&[("8", 8.0)])),
        (client.zmpop(none, ScoreEnd::Max), None),
        (client.bzmpop(1.0, keys, ScoreEnd::Min), popped(&[("5", 5.0)])),
        (client.bzmpop_count(1.0, keys, ScoreEnd::Min, 2), popped(&[("6", 6.0), ("7", 7.0)])),
        (client.bzmpop(0.01, none, ScoreEnd::Min), None),
    ];
    for (request, wanted) in requests {
        assert!(side.if_known(SINCE_7_0, request).await.is_none_or(|popped| popped == wanted), "{wanted:?}");
    }
}

async fn algebra(side: &Side<'_>) {
    let client = side.client;
    let (y, z, d) = (&side.key("y"), &side.key("w"), &side.key("d"));
    client.zadd(y, [(1.0, "a"), (2.0, "b")]).await.unwrap();
    client.zadd(z, [(10.0, "b"), (20.0, "c")]).await.unwrap();
    let keys = [y, z];
    let weighted = || ZstoreOptions::new().weights([1.0, 0.5]).aggregate(Aggregate::Max);
    assert_eq!(client.zunion::<Names>(keys).await.unwrap(), ["a", "b", "c"]);
    let union = client.zunion_with_scores::<Scored>(keys, weighted()).await.unwrap();
    assert_eq!(union, scored(&[("a", 1.0), ("b", 5.0), ("c", 10.0)]));
    assert_eq!(client.zunionstore(d, keys).await.unwrap(), 3);
    assert_eq!(client.zunionstore_options(d, keys, weighted()).await.unwrap(), 3);
    assert_eq!(client.zinter::<Names>(keys).await.unwrap(), ["b"]);
    assert_eq!(client.zinter_with_scores::<Scored>(keys, weighted()).await.unwrap(), scored(&[("b", 5.0)]));
    assert_eq!(client.zinterstore(d, keys).await.unwrap(), 1);
    assert_eq!(client.zinterstore_options(d, keys, weighted()).await.unwrap(), 1);
    assert!(side.if_known(SINCE_7_0, client.zintercard(keys)).await.is_none_or(|count| count == 1));
    assert!(side.if_known(SINCE_7_0, client.zintercard_limit(keys, 1)).await.is_none_or(|count| count == 1));
    assert_eq!(client.zdiff::<Names>(keys).await.unwrap(), ["a"]);
    assert_eq!(client.zdiff_with_scores::<Scored>(keys).await.unwrap(), scored(&[("a", 1.0)]));
    assert_eq!(client.zdiffstore(d, keys).await.unwrap(), 1);
}
