use keyslot::{Commands, Slot, Value};

use super::support::{SINCE_7_0, SINCE_7_2, Side, refusal, since, valkey_since};

pub(crate) async fn answer(side: &Side<'_>) {
    let client = side.client;
    let info = client.cluster_info().await.unwrap();
    assert_eq!((info.get("cluster_state"), info.number("cluster_size")), (Some("ok"), Some(3.0)));
    assert!(info.iter().any(|(name, _)| name == "cluster_known_nodes"));
    assert_eq!(client.cluster_nodes().await.unwrap().lines().count(), 3);
    let shards = side.if_known(SINCE_7_0, client.cluster_shards::<Vec<Value>>()).await;
    assert!(shards.is_none_or(|shards| shards.len() == 3));
    assert!(client.cluster_slots::<Vec<Value>>().await.unwrap().len() >= 3);
    let links = side.if_known(SINCE_7_0, client.cluster_links::<Vec<Value>>()).await;
    assert!(links.is_none_or(|links| !links.is_empty()));
    let id = client.cluster_myid().await.unwrap();
    assert_eq!(id.len(), 40);
    assert!(side.if_known(SINCE_7_2, client.cluster_myshardid()).await.is_none_or(|id| id.len() == 40));
    assert_eq!(client.cluster_replicas::<Vec<String>>(&id).await.unwrap(), Vec::<String>::new());
    assert!(refusal(client.cluster_replicas::<Vec<String>>("none").await).contains("unknown node"));
    assert_eq!(client.cluster_count_failure_reports(&id).await.unwrap(), 0);

    // Each slot is asked of its own primary, wherever that is.
    for number in 0..20 {
        let key = side.key("k").replace('{', &format!("{{{number}"));
        let slot = Slot::of_key(key.as_bytes());
        client.set(&key, 1).await.unwrap();
        assert_eq!(client.cluster_keyslot(&key).await.unwrap(), slot.get());
        assert_eq!(client.cluster_countkeysinslot(slot).await.unwrap(), 1, "{slot}");
        assert_eq!(
            client.cluster_getkeysinslot::<Vec<String>>(slot, 5).await.unwrap(),
            std::slice::from_ref(&key)
        );
        client.del(&key).await.unwrap();
    }
    let (first, last) = (Slot::new(0).unwrap(), Slot::new(16_383).unwrap());
    let stats = client.cluster_slot_stats::<Vec<(u16, Value)>>(first, last);
    let stats = side.if_known(since((8, 2), (8, 0)), stats).await;
    assert!(stats.is_none_or(|stats| stats.len() == 16_384));
    let migrations = client.cluster_getslotmigrations::<Vec<Value>>();
    assert!(
        side.if_known(valkey_since(9, 0), migrations).await.is_none_or(|migrations| migrations.is_empty())
    );
}
