use keyslot::Commands;

use super::support::Side;

pub(crate) async fn answer(side: &Side<'_>) {
    let client = side.client;
    let (h, i, d) = (&side.key("h"), &side.key("i"), &side.key("d"));
    assert!(client.pfadd(h, ["a", "b", "c"]).await.unwrap());
    assert!(!client.pfadd(h, "a").await.unwrap());
    assert!(client.pfadd(i, ["c", "d"]).await.unwrap());
    assert_eq!(client.pfcount(h).await.unwrap(), 3);
    assert_eq!(client.pfcount([h, i]).await.unwrap(), 4);
    client.pfmerge(d, [h, i]).await.unwrap();
    assert_eq!(client.pfcount(d).await.unwrap(), 4);
}
