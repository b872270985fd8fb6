use std::collections::HashMap;

use keyslot::Commands;

use super::support::{SINCE_7_0, Side};

pub(crate) async fn answer(side: &Side<'_>) {
    type Names = Vec<String>;
    let client = side.client;
    let c = &side.key("channel");
    assert_eq!(client.publish(c, "hello").await.unwrap(), 0);
    assert!(side.if_known(SINCE_7_0, client.spublish(c, "hello")).await.is_none_or(|count| count == 0));
    assert_eq!(client.pubsub_channels::<Names>().await.unwrap(), Names::new());
    assert_eq!(client.pubsub_channels_matching::<Names>("c*").await.unwrap(), Names::new());
    let nobody = HashMap::from([(c.clone(), 0)]);
    assert_eq!(client.pubsub_numsub::<HashMap<String, u64>>(c).await.unwrap(), nobody);
    assert_eq!(client.pubsub_numpat().await.unwrap(), 0);
    for request in [client.pubsub_shardchannels::<Names>(), client.pubsub_shardchannels_matching("c*")] {
        assert!(side.if_known(SINCE_7_0, request).await.is_none_or(|names| names.is_empty()));
    }
    let counts = side.if_known(SINCE_7_0, client.pubsub_shardnumsub::<HashMap<String, u64>>(c)).await;
    assert!(counts.is_none_or(|counts| counts == nobody));
}
