use std::collections::HashMap;

use keyslot::options::{FlushMode, FunctionListOptions, RestorePolicy};
use keyslot::{Commands, Value};

use super::support::{SINCE_7_0, Side, refusal};

const LIBRARY: &str = "#!lua name=greetings
redis.register_function('greet', function(keys, args) return {keys[1], args[1]} end)
redis.register_function{
  function_name='read', callback=function(keys, args) return redis.call('GET', keys[1]) end, flags={'no-writes'}
}";

pub(crate) async fn answer(side: &Side<'_>) {
    let client = side.client;
    let k = &side.key("k");
    let none: [&str; 0] = [];
    if side.if_known(SINCE_7_0, client.function_load(LIBRARY)).await.is_none() {
        // What has no library to work with is refused for its name alone.
        side.if_known(SINCE_7_0, client.fcall::<Value>("greet", k, "a")).await;
        side.if_known(SINCE_7_0, client.fcall_ro::<Value>("read", k, none)).await;
        side.if_known(SINCE_7_0, client.function_list::<Value>()).await;
        side.if_known(SINCE_7_0, client.function_dump()).await;
        side.if_known(SINCE_7_0, client.function_stats::<Value>()).await;
        return;
    }
    assert_eq!(client.function_load_replace(LIBRARY).await.unwrap(), "greetings");
    assert!(refusal(client.function_load(LIBRARY).await).contains("already exists"));
    let reply: (String, String) = client.fcall("greet", k, "a").await.unwrap();
    assert_eq!(reply, (k.clone(), "a".to_owned()));
    client.set(k, 7).await.unwrap();
    assert_eq!(client.fcall_ro::<i64>("read", k, none).await.unwrap(), 7);
    assert!(refusal(client.fcall_ro::<Value>("greet", k, "a").await).contains("write"));

    let libraries: Vec<HashMap<String, Value>> = client.function_list().await.unwrap();
    assert_eq!(libraries[0]["library_name"].as_str(), Some("greetings"));
    let options = FunctionListOptions::new().libraryname("greet*").withcode();
    let libraries: Vec<HashMap<String, Value>> = client.function_list_options(options).await.unwrap();
    assert_eq!(libraries[0]["library_code"].as_str(), Some(LIBRARY));
    let dump = client.function_dump().await.unwrap();
    client.function_restore_options(&dump, RestorePolicy::Replace).await.unwrap();
    assert!(refusal(client.function_restore(&dump).await).contains("already exists"));
    client.function_delete("greetings").await.unwrap();
    client.function_restore(&dump).await.unwrap();
    assert_eq!(client.function_stats::<HashMap<String, Value>>().await.unwrap().len(), 3);
    assert!(refusal(client.function_kill().await).contains("notbusy"));
    client.function_flush_options(FlushMode::Sync).await.unwrap();
    client.function_flush().await.unwrap();
    assert!(refusal(client.function_delete("greetings").await).contains("not found"));
}
