use std::collections::HashMap;

use keyslot::{Commands, Value};

use super::support::{SINCE_7_0, Side, refusal};

pub(crate) async fn answer(side: &Side<'_>) {
    type Names = Vec<String>;
    let client = side.client;
    client.acl_setuser("ann", ["on", "nopass", "~app:*", "+get"]).await.unwrap();
    assert!(refusal(client.acl_setuser("ann", "no such rule").await).contains("error"));
    assert!(client.acl_users::<Names>().await.unwrap().contains(&"ann".to_owned()));
    assert_eq!(client.acl_list::<Names>().await.unwrap().len(), 2);
    let rules: HashMap<String, Value> = client.acl_getuser("ann").await.unwrap();
    assert!(rules.contains_key("commands"));
    assert_eq!(client.acl_getuser::<Option<Value>>("nobody").await.unwrap(), None);
    assert_eq!(client.acl_whoami().await.unwrap(), "default");
    assert!(client.acl_cat::<Names>().await.unwrap().contains(&"geo".to_owned()));
    assert!(client.acl_cat_category::<Names>("geo").await.unwrap().contains(&"geoadd".to_owned()));
    let verdict = side.if_known(SINCE_7_0, client.acl_dryrun::<String>("ann", "get", "other")).await;
    assert!(verdict.is_none_or(|verdict| verdict.contains("permission")));
    assert_eq!(client.acl_genpass().await.unwrap().len(), 64);
    assert_eq!(client.acl_genpass_bits(32).await.unwrap().len(), 8);
    assert_eq!(client.acl_log::<Vec<Value>>(5).await.unwrap(), []);
    client.acl_log_reset().await.unwrap();
    assert!(refusal(client.acl_load().await).contains("acl file"));
    assert!(refusal(client.acl_save().await).contains("acl file"));
    assert_eq!(client.acl_deluser(["ann", "nobody"]).await.unwrap(), 1);
}
