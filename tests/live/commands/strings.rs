use keyslot::options::{Expiry, LcsOptions, MsetexOptions, SetOptions};
use keyslot::{Bytes, Commands};

use super::support::{SINCE_7_0, Side, since, valkey_since};

type Text = Option<String>;

pub(crate) async fn answer(side: &Side<'_>) {
    let client = side.client;
    let k = &side.key("k");
    client.set(k, "v").await.unwrap();
    assert_eq!(client.get::<Text>(k).await.unwrap().as_deref(), Some("v"));
    assert!(!client.set_options::<bool>(k, "w", SetOptions::new().nx()).await.unwrap());
    assert!(client.set_options::<bool>(k, "w", SetOptions::new().xx().ex(100)).await.unwrap());
    let old: Text = client.set_options(k, "x", SetOptions::new().get().px(100_000)).await.unwrap();
    assert_eq!(old.as_deref(), Some("w"));
    assert!(client.set_options::<bool>(k, "y", SetOptions::new().keepttl()).await.unwrap());
    assert!(client.pttl(k).await.unwrap() > 0);
    let if_y = SetOptions::new().ifeq("y").exat(4_000_000_000);
    let set = side.if_option_known(since((8, 4), (8, 1)), client.set_options::<bool>(k, "z", if_y)).await;
    assert_eq!(client.get::<String>(k).await.unwrap(), if set.is_some() { "z" } else { "y" });
    assert!(client.set_options::<bool>(k, "z", SetOptions::new().pxat(4_000_000_000_000)).await.unwrap());

    assert_eq!(client.getex::<Text>(k, Expiry::Ex(7)).await.unwrap().as_deref(), Some("z"));
    assert_eq!(client.ttl(k).await.unwrap(), 7);
    assert_eq!(client.getex_persist::<String>(k).await.unwrap(), "z");
    assert_eq!(client.ttl(k).await.unwrap(), -1);
    assert_eq!(client.getset::<Text>(k, "0123").await.unwrap().as_deref(), Some("z"));
    assert_eq!(client.setrange(k, 6, "67").await.unwrap(), 8);
    assert_eq!(client.get::<Bytes>(k).await.unwrap(), "0123\0\x0067");
    assert_eq!(client.getrange::<String>(k, 0, 1).await.unwrap(), "01");
    assert_eq!(client.substr::<String>(k, -2, -1).await.unwrap(), "67");
    assert_eq!(client.append(k, "8").await.unwrap(), 9);
    assert_eq!(client.strlen(k).await.unwrap(), 9);
    assert_eq!(client.getdel::<Bytes>(k).await.unwrap().len(), 9);

    assert!(client.setnx(k, 1).await.unwrap());
    assert_eq!(client.incr(k).await.unwrap(), 2);
    assert_eq!(client.incrby(k, 5).await.unwrap(), 7);
    assert_eq!(client.decr(k).await.unwrap(), 6);
    assert_eq!(client.decrby(k, 4).await.unwrap(), 2);
    assert_eq!(client.incrbyfloat(k, 0.5).await.unwrap(), 2.5);
    client.setex(k, 50, "s").await.unwrap();
    client.psetex(k, 50_000, "s").await.unwrap();

    let (a, b) = (&side.key("a"), &side.key("b"));
    client.mset([(a, "ohmytext"), (b, "mynewtext")]).await.unwrap();
    assert!(!client.msetnx([(a, 1), (&side.key("new"), 2)]).await.unwrap());
    assert_eq!(
        client.mget::<Vec<Text>>([a, &side.key("new")]).await.unwrap(),
        [Some("ohmytext".into()), None]
    );
    let in_a_minute = MsetexOptions::new().nx().expiry(Expiry::Px(60_000));
    let set = client.msetex([(side.key("e1"), 1), (side.key("e2"), 2)], in_a_minute);
    assert_ne!(side.if_known(since((8, 4), (9, 1)), set).await, Some(false));

    let common = side.if_known(SINCE_7_0, client.lcs::<String>(a, b)).await;
    assert!(common.is_none_or(|common| common == "mytext"));
    assert!(side.if_known(SINCE_7_0, client.lcs_len(a, b)).await.is_none_or(|length| length == 6));
    let options = LcsOptions::new().minmatchlen(4).withmatchlen();
    if let Some(found) = side.if_known(SINCE_7_0, client.lcs_idx(a, b, options)).await {
        assert_eq!((found.len, found.matches.len()), (6, 1));
        let piece = &found.matches[0];
        assert_eq!((piece.first, piece.second, piece.len), ((4, 7), (5, 8), Some(4)));
    }
    if let Some(found) = side.if_known(SINCE_7_0, client.lcs_idx(a, b, LcsOptions::new())).await {
        assert!(found.matches.iter().all(|piece| piece.len.is_none()));
    }
    let deleted = side.if_known(valkey_since(9, 0), client.delifeq(a, "other")).await;
    assert_ne!(deleted, Some(true));
}
