use keyslot::Commands;
use keyslot::options::FlushMode;

use super::support::{SINCE_7_0, Side, refusal, valkey_since};

const SCRIPT: &str = "return {KEYS[1], ARGV[1]}";
const NONE: [&str; 0] = [];

pub(crate) async fn answer(side: &Side<'_>) {
    let client = side.client;
    let k = &side.key("k");
    let wanted = (k.clone(), "a".to_owned());
    client.script_flush().await.unwrap();
    assert_eq!(client.eval::<(String, String)>(SCRIPT, k, "a").await.unwrap(), wanted);
    let reply = side.if_known(SINCE_7_0, client.eval_ro::<(String, String)>(SCRIPT, k, "a")).await;
    assert!(reply.is_none_or(|reply| reply == wanted));
    let sha1 = &client.script_load(SCRIPT).await.unwrap();
    assert_eq!(client.script_exists([sha1, &"0".repeat(40)]).await.unwrap(), [true, false]);
    assert_eq!(client.evalsha::<(String, String)>(sha1, k, "a").await.unwrap(), wanted);
    let reply = side.if_known(SINCE_7_0, client.evalsha_ro::<(String, String)>(sha1, k, "a")).await;
    assert!(reply.is_none_or(|reply| reply == wanted));
    let shown = side.if_known(valkey_since(8, 0), client.script_show::<String>(sha1)).await;
    assert!(shown.is_none_or(|shown| shown == SCRIPT));
    assert!(refusal(client.evalsha::<i64>("0".repeat(40), k, NONE).await).contains("noscript"));
    client.script_flush_options(FlushMode::Sync).await.unwrap();
    assert_eq!(client.script_exists(sha1).await.unwrap(), [false]);
    assert!(refusal(client.script_kill().await).contains("notbusy"));
}
