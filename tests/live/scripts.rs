//! Scripts and functions on real servers: by checksum and by source, through moves and failovers, on every primary.

use std::sync::Arc;
use std::time::Duration;

use crate::live_support::{Fixture, ask, check_each, on_every_server, tag_at, until};
use keyslot::testkit::Server;
use keyslot::{Client, Command, Commands, NodeAddr, ReadFrom, Script, Slot, Value};

on_every_server! {
    all: scripts_run_wherever_their_keys_are;
    since_7_0: functions_are_on_every_primary;
    valkey_9_1: ;
}

/// Counts, so that a second run would show.
const COUNT: &str = "return redis.call('INCRBY', KEYS[1], ARGV[1])";

impl Fixture {
    fn tag(&self, node: usize, salt: &str) -> String {
        tag_at(&self.client.slot_map(), &self.nodes[node], salt)
    }

    async fn reader(&self, from: ReadFrom) -> Client {
        Client::builder().url(&self.cluster.url()).read_from(from).connect().await.unwrap()
    }

    /// A key of the second shard that its replica has, and the two nodes.
    async fn replicated_key(&self, salt: &str) -> (String, [NodeAddr; 2]) {
        let key = self.tag(1, salt);
        let replica = self.cluster.replicas_of(&self.nodes[1]).await.unwrap()[0].clone();
        self.client.set(&key, "x").await.unwrap();
        let reader = self.reader(ReadFrom::Replica).await;
        until("the replica has the key", async || {
            reader.get::<Option<String>>(&key).await.unwrap().map(drop)
        })
        .await;
        (key, [self.nodes[1].clone(), replica])
    }

    /// How often each of these has executed any of these commands.
    async fn calls_of(&self, nodes: &[NodeAddr; 2], names: &[&str]) -> [u64; 2] {
        let mut calls = [0; 2];
        for (count, node) in calls.iter_mut().zip(nodes) {
            for name in names {
                *count += self.calls_at(node, name).await;
            }
        }
        calls
    }

    /// How often a primary has executed this command.
    async fn calls(&self, node: usize, name: &str) -> u64 {
        self.calls_at(&self.nodes[node], name).await
    }

    async fn calls_at(&self, node: &NodeAddr, name: &str) -> u64 {
        let info: String = ask(&self.cluster, node, Command::new("INFO").arg("commandstats")).await;
        let line = info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
        line.and_then(|rest| rest.split(',').next()).map_or(0, |count| count.parse().unwrap())
    }
}

async fn scripts_run_wherever_their_keys_are(server: Server) {
    check_each! {
        Fixture::start(server).await;
        each_node_gets_the_source_once
        a_loaded_script_is_known_to_all_nodes
        a_script_that_only_reads_is_kept_from_writing_where_the_server_can
        scripts_in_a_pipeline_run_once_each
        in_a_pipeline_a_script_that_only_reads_goes_where_reads_go
        a_script_follows_its_keys
        a_promoted_replica_is_sent_the_source
    }
}

async fn each_node_gets_the_source_once(fixture: Arc<Fixture>) {
    let script = Script::new(COUNT);
    for node in 0..3 {
        let key = fixture.tag(node, "once");
        for round in 1..=3 {
            assert_eq!(script.key(&key).arg(2).run::<i64>(&fixture.client).await.unwrap(), 2 * round);
        }
        assert_eq!(fixture.calls(node, "eval").await, 1);
    }
    let broken = Script::new("redis.call('SET', KEYS[1], 'x') return redis.call('LPUSH', KEYS[1], 'y')");
    let error = broken.key(fixture.tag(0, "broken")).run::<i64>(&fixture.client).await.unwrap_err();
    assert_eq!(error.outcome(), keyslot::Outcome::MaybeExecuted, "{error}");
    let durable = {
        let mut pipe = fixture.client.pipeline();
        pipe.script(&script.key(fixture.tag(0, "once")).arg(1));
        pipe.run_durable(1, Duration::from_secs(5)).await.unwrap()
    };
    assert_eq!(durable.read::<(i64,)>().unwrap(), (7,));
    assert_eq!(durable.acknowledged.len(), 1);
}

async fn a_loaded_script_is_known_to_all_nodes(fixture: Arc<Fixture>) {
    let script = Script::new("return 'loaded'");
    script.load(&fixture.client).await.unwrap();
    for node in fixture.cluster.nodes() {
        let exists = Command::new("SCRIPT EXISTS").arg(script.sha1());
        assert_eq!(ask::<Vec<bool>>(&fixture.cluster, &node, exists).await, [true], "{node}");
    }
    assert_eq!(script.call().run::<String>(&fixture.client).await.unwrap(), "loaded");
}

async fn a_script_that_only_reads_is_kept_from_writing_where_the_server_can(fixture: Arc<Fixture>) {
    let client = &fixture.client;
    let key = fixture.tag(1, "reads");
    client.set(&key, "x").await.unwrap();
    let script = Script::new("return redis.call('GET', KEYS[1])").read_only();
    for _ in 0..2 {
        assert_eq!(script.key(&key).run::<String>(client).await.unwrap(), "x");
    }
    let is_old = fixture.cluster.server().version().to_string().contains(" 6.2.");
    assert_eq!(fixture.calls(1, "evalsha_ro").await > 0, !is_old);
    if !is_old {
        let writes = Script::new("return redis.call('SET', KEYS[1], 'y')").read_only();
        assert!(writes.key(&key).run::<Value>(client).await.is_err());
        assert_eq!(client.get::<String>(&key).await.unwrap(), "x");
    }
}

async fn scripts_in_a_pipeline_run_once_each(fixture: Arc<Fixture>) {
    let script = Script::new(format!("{COUNT} -- in a pipeline"));
    let keys: Vec<String> =
        (0..30).map(|number| fixture.tag(number % 3, &format!("pipe{number}-"))).collect();
    for round in 1..=2 {
        let mut pipe = fixture.client.pipeline();
        keys.iter().for_each(|key| {
            pipe.script(&script.key(key).arg(1));
        });
        let counts: Vec<i64> = pipe.run().await.unwrap();
        assert_eq!(counts, vec![round; 30]);
    }
}

async fn in_a_pipeline_a_script_that_only_reads_goes_where_reads_go(fixture: Arc<Fixture>) {
    let (key, shard) = fixture.replicated_key("policy").await;
    let is_old = fixture.cluster.server().version().to_string().contains(" 6.2.");
    let script = Script::new("return redis.call('GET', KEYS[1]) -- by policy").read_only();
    script.load(&fixture.client).await.unwrap();
    for (policy, at_primary, at_replica) in
        [(ReadFrom::Primary, 10, 0), (ReadFrom::Replica, 0, 10), (ReadFrom::PreferReplica, 0, 10)]
    {
        let reader = fixture.reader(policy.clone()).await;
        let names = if is_old { &["eval", "evalsha"][..] } else { &["evalsha_ro"] };
        let before = fixture.calls_of(&shard, names).await;
        let mut pipe = reader.pipeline();
        (0..10).for_each(|_| {
            pipe.script(&script.key(&key));
        });
        assert_eq!(pipe.run::<Vec<String>>().await.unwrap(), ["x"; 10]);
        let after = fixture.calls_of(&shard, names).await;
        // Where no command says that it only reads, the usual one is sent, and goes to the primary.
        let wanted = if is_old { [10, 0] } else { [at_primary, at_replica] };
        assert_eq!([after[0] - before[0], after[1] - before[1]], wanted, "{policy}");
    }
}

async fn a_script_follows_its_keys(fixture: Arc<Fixture>) {
    let Fixture { cluster, nodes, client, .. } = &*fixture;
    let script = Script::new(format!("{COUNT} -- follows"));
    let tag = fixture.tag(0, "follows");
    let slot = Slot::of_key(tag.as_bytes());
    let (there, new) = (format!("{{{tag}}}there"), format!("{{{tag}}}new"));
    assert_eq!(script.key(&there).arg(1).run::<i64>(client).await.unwrap(), 1);
    cluster.open_slot(slot, &nodes[0], &nodes[1]).await.unwrap();
    // The source has it, the target is asked for what is not there, and has not heard of the script.
    assert_eq!(script.key(&there).arg(1).run::<i64>(client).await.unwrap(), 2);
    assert_eq!(script.key(&new).arg(1).run::<i64>(client).await.unwrap(), 1);
    assert_eq!(script.key(&new).arg(1).run::<i64>(client).await.unwrap(), 2);
    cluster.migrate_keys(slot, &nodes[0], &nodes[1], 10).await.unwrap();
    cluster.close_slot(slot, &nodes[0], &nodes[1]).await.unwrap();
    assert_eq!(script.key(&there).arg(1).run::<i64>(client).await.unwrap(), 3);
}

async fn a_promoted_replica_is_sent_the_source(fixture: Arc<Fixture>) {
    let Fixture { cluster, nodes, client, .. } = &*fixture;
    let script = Script::new(format!("{COUNT} -- promoted"));
    let key = fixture.tag(2, "promoted");
    assert_eq!(script.key(&key).arg(1).run::<i64>(client).await.unwrap(), 1);
    let replica = &cluster.replicas_of(&nodes[2]).await.unwrap()[0];
    let _: Value = ask(cluster, replica, Command::new("CLUSTER FAILOVER")).await;
    until("the replica is promoted", async || {
        let owner = cluster.primary_of(Slot::of_key(key.as_bytes())).await.ok()?;
        (owner.port() == replica.port()).then_some(())
    })
    .await;
    assert_eq!(script.key(&key).arg(1).run::<i64>(client).await.unwrap(), 2);
}

async fn functions_are_on_every_primary(server: Server) {
    check_each! {
        Fixture::start(server).await;
        a_library_is_loaded_on_all_primaries_and_its_functions_are_called_by_key
        in_a_pipeline_a_function_that_only_reads_goes_where_reads_go
    }
}

async fn a_library_is_loaded_on_all_primaries_and_its_functions_are_called_by_key(fixture: Arc<Fixture>) {
    let Fixture { cluster, nodes, client, .. } = &*fixture;
    let library = "#!lua name=lib\n\
        redis.register_function('count', function(keys, args) return redis.call('INCR', keys[1]) end)\n\
        redis.register_function{function_name='look', flags={'no-writes'}, \
        callback=function(keys, args) return redis.call('GET', keys[1]) end}";
    let loaded: String = client.execute(Command::new("FUNCTION LOAD").arg(library)).await.unwrap();
    assert_eq!(loaded, "lib");
    for (number, node) in nodes.iter().enumerate() {
        let list: Value = ask(cluster, node, Command::new("FUNCTION LIST")).await;
        assert!(format!("{list:?}").contains("count"), "{node}: {list:?}");
        let key = fixture.tag(number, "fn");
        let call =
            |name: &'static str, function: &'static str| Command::new(name).arg(function).arg(1).key(&key);
        assert_eq!(client.execute::<i64>(call("FCALL", "count")).await.unwrap(), 1);
        assert_eq!(client.execute::<i64>(call("FCALL_RO", "look")).await.unwrap(), 1);
        assert!(client.execute::<Value>(call("FCALL_RO", "count")).await.is_err());
    }
    // A node that comes later has no functions: they are loaded again, or copied by the tools.
    let added = cluster.add_node().await.unwrap();
    let list: Vec<Value> = ask(cluster, &added, Command::new("FUNCTION LIST")).await;
    assert!(list.is_empty());
}

async fn in_a_pipeline_a_function_that_only_reads_goes_where_reads_go(fixture: Arc<Fixture>) {
    let library = "#!lua name=reads\n\
        redis.register_function{function_name='read', flags={'no-writes'}, \
        callback=function(keys, args) return redis.call('GET', keys[1]) end}";
    let _: String = fixture.client.execute(Command::new("FUNCTION LOAD").arg(library)).await.unwrap();
    // Behind the library in the stream of the primary: a replica that has the key has the function.
    let (key, shard) = fixture.replicated_key("function").await;
    for (policy, at_primary, at_replica) in [(ReadFrom::Primary, 10, 0), (ReadFrom::Replica, 0, 10)] {
        let reader = fixture.reader(policy.clone()).await;
        let before = fixture.calls_of(&shard, &["fcall_ro"]).await;
        let mut pipe = reader.pipeline();
        (0..10).for_each(|_| {
            pipe.push(Command::new("FCALL_RO").arg("read").arg(1).key(&key));
        });
        assert_eq!(pipe.run::<Vec<String>>().await.unwrap(), ["x"; 10]);
        let after = fixture.calls_of(&shard, &["fcall_ro"]).await;
        assert_eq!([after[0] - before[0], after[1] - before[1]], [at_primary, at_replica], "{policy}");
    }
}
