use std::collections::HashMap;

use keyslot::options::{CommandLog, FlushMode, PauseMode};
use keyslot::replies::Info;
use keyslot::{Commands, Target, Value};

use super::support::{SINCE_7_0, Side, refusal, valkey_since};

pub(crate) async fn answer(side: &Side<'_>) {
    servers(side).await;
    commands(side).await;
    logs(side).await;
    connections(side).await;
    let client = side.client;
    client.set(side.key("k"), 1).await.unwrap();
    client.flushdb_options(FlushMode::Async).await.unwrap();
    client.flushdb().await.unwrap();
    client.flushall().await.unwrap();
    assert_eq!(client.dbsize().await.unwrap(), 0);
}

async fn servers(side: &Side<'_>) {
    let client = side.client;
    client.ping().await.unwrap();
    assert_eq!(client.echo::<String>("hello").await.unwrap(), "hello");
    let infos: HashMap<String, Info> = client.info().await.unwrap();
    assert_eq!(infos.len(), 3);
    assert!(infos.values().all(|info| info.get("role") == Some("master")));
    let memory: HashMap<String, Info> = client.info_sections("memory").await.unwrap();
    assert!(memory.values().all(|info| info.number("used_memory").unwrap() > 0.0));
    let node = client.slot_map().nodes()[0].addr.clone();
    let one: Info = client.info_sections("replication").to(Target::Node(node.clone())).await.unwrap();
    assert!(one.number("connected_slaves").is_some());
    assert!(client.time().await.unwrap().0 > 1_700_000_000);
    let (role, ..): (String, u64, Vec<Value>) = client.role().await.unwrap();
    assert_eq!(role, "master");
    assert!(client.lastsave().await.unwrap() > 1_700_000_000);
    // Each may find an earlier one at work, of its own kind or another.
    for request in [client.save(), client.bgsave(), client.bgrewriteaof()] {
        let reply = request.to(Target::Node(node.clone())).await;
        if reply.is_err() {
            let said = refusal(reply);
            assert!(
                said.contains("already in progress") || said.contains("child process is active"),
                "{said}"
            );
        }
    }
    assert!(client.lolwut().await.unwrap().contains("ver"));
    client.flushall_options(FlushMode::Sync).await.unwrap();

    client.config_set([("slowlog-max-len", 77)]).await.unwrap();
    let settings: HashMap<String, String> = client.config_get("slowlog-max*").await.unwrap();
    assert_eq!(settings["slowlog-max-len"], "77");
    assert!(refusal(client.config_set([("no-such-setting", 1)]).await).contains("config"));
    client.config_resetstat().await.unwrap();
    let rewritten = client.config_rewrite().await;
    assert!(rewritten.is_ok() || refusal(rewritten).contains("config file"));
    let _: Vec<Value> = client.module_list().await.unwrap();
}

async fn commands(side: &Side<'_>) {
    let client = side.client;
    assert!(client.command_count().await.unwrap() > 200);
    let facts: Vec<Option<Vec<Value>>> = client.command_info(["get", "no.such"]).await.unwrap();
    assert!(facts[0].is_some() && facts[1].is_none());
    let docs = side.if_known(SINCE_7_0, client.command_docs::<HashMap<String, Value>>("get")).await;
    assert!(docs.is_none_or(|docs| docs.contains_key("get")));
    let names = side.if_known(SINCE_7_0, client.command_list::<Vec<String>>()).await;
    assert!(names.is_none_or(|names| names.contains(&"get".to_owned())));
    assert_eq!(client.command_getkeys::<Vec<String>>(["mget", "a", "b"]).await.unwrap(), ["a", "b"]);
    let keys = client.command_getkeysandflags::<Vec<(String, Vec<String>)>>(["get", "a"]);
    let keys = side.if_known(SINCE_7_0, keys).await;
    assert!(keys.is_none_or(|keys| keys[0].0 == "a" && !keys[0].1.is_empty()));
}

async fn logs(side: &Side<'_>) {
    let client = side.client;
    client.config_set([("slowlog-log-slower-than", 0)]).await.unwrap();
    client.set(side.key("k"), "slow").await.unwrap();
    assert!(client.slowlog_len().await.unwrap() > 0);
    let entries = client.slowlog_get(10).await.unwrap();
    assert!(entries.iter().any(|entry| !entry.command.is_empty() && entry.client.contains(':')));
    for log in [CommandLog::Slow, CommandLog::LargeRequest, CommandLog::LargeReply] {
        let since = valkey_since(8, 1);
        side.if_known(since, client.commandlog_get(5, log)).await;
        side.if_known(since, client.commandlog_len(log)).await;
        side.if_known(since, client.commandlog_reset(log)).await;
    }
    client.config_set([("slowlog-log-slower-than", 1_000_000)]).await.unwrap();
    client.slowlog_reset().await.unwrap();
    assert_eq!(client.slowlog_len().await.unwrap(), 0);

    type ByNode<T> = HashMap<String, T>;
    assert_eq!(client.latency_latest::<ByNode<Vec<Value>>>().await.unwrap().len(), 3);
    assert_eq!(client.latency_history::<ByNode<Vec<(u64, u64)>>>("command").await.unwrap().len(), 3);
    let histogram = side.if_known(SINCE_7_0, client.latency_histogram::<ByNode<Value>>(["get", "set"])).await;
    assert!(histogram.is_none_or(|histogram| histogram.len() == 3));
    assert!(refusal(client.latency_graph::<ByNode<String>>("no-such-event").await).contains("event"));
    assert!(client.latency_doctor::<ByNode<String>>().await.unwrap().values().all(|text| !text.is_empty()));
    client.latency_reset([""; 0]).await.unwrap();
    let stats: ByNode<HashMap<String, Value>> = client.memory_stats().await.unwrap();
    assert!(stats.values().all(|stats| stats.contains_key("peak.allocated")));
    assert_eq!(client.memory_doctor::<ByNode<String>>().await.unwrap().len(), 3);
    assert_eq!(client.memory_malloc_stats::<ByNode<String>>().await.unwrap().len(), 3);
    client.memory_purge().await.unwrap();
}

async fn connections(side: &Side<'_>) {
    let client = side.client;
    let node = || Target::Node(client.slot_map().nodes()[0].addr.clone());
    assert!(client.client_list().to(node()).await.unwrap().lines().count() > 0);
    assert!(client.client_info().await.unwrap().contains("addr="));
    assert!(client.client_id().await.unwrap() > 0);
    assert_eq!(client.client_getname().await.unwrap(), None);
    assert_eq!(client.client_kill_id(u64::from(u32::MAX)).to(node()).await.unwrap(), 0);
    assert_eq!(client.client_kill_addr("127.0.0.1:1").to(node()).await.unwrap(), 0);
    client.client_pause(5, PauseMode::Write).to(node()).await.unwrap();
    client.client_unpause().to(node()).await.unwrap();
    assert!(!client.client_unblock(u64::from(u32::MAX)).await.unwrap());
    assert!(!client.client_unblock_error(u64::from(u32::MAX)).await.unwrap());
}
