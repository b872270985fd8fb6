//! What a client promises, on real servers of every version: replies, errors, connections, time.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::live_support::{
    ask, check_each, connections_named, dead_address, error_of, on_every_server, primaries, silent_address,
    tag_at, tag_of_each_slot, until, value_of,
};
use futures::future::join_all;
use keyslot::testkit::{LocalCluster, LocalServer, Server};
use keyslot::{
    Bytes, Client, Command, Commands, ErrorKind, NodeAddr, Outcome, OverloadPolicy, Protocol, ServerError,
    Slot, Target, Value,
};

on_every_server! {
    all:
        every_command_is_answered_rightly
        large_and_many_commands_keep_their_order_and_their_values
        errors_say_what_happened_where_and_what_became_of_the_command
        blocking_commands_wait_and_delay_nobody
        a_client_connects_by_any_seed_and_leaves_no_connection_behind
        passwords_and_users_are_used_and_never_shown
        a_server_that_is_no_cluster_is_one_node_and_one_without_slots_is_none
        a_node_that_hangs_delays_its_own_commands_only_and_their_errors_are_true
    ;
    since_7_0: ;
    valkey_9_1: ;
}

struct Fixture {
    cluster: LocalCluster,
    /// Speaks RESP3.
    client: Client,
    resp2: Client,
}

impl Fixture {
    async fn start(server: Server, primaries: usize, replicas: usize) -> Arc<Self> {
        let cluster = LocalCluster::builder()
            .primaries(primaries)
            .replicas(replicas)
            .server(server)
            .start()
            .await
            .unwrap();
        let client = Client::connect(cluster.url()).await.unwrap();
        let resp2 = Client::connect(format!("{}?protocol=resp2", cluster.url())).await.unwrap();
        Arc::new(Self { cluster, client, resp2 })
    }

    fn is_since_7_0(&self) -> bool {
        self.cluster.server().version().is_at_least(7, 0)
    }

    /// A tag in a slot of each primary.
    fn tags(&self, salt: &str) -> Vec<String> {
        let map = self.client.slot_map();
        primaries(&map).iter().map(|node| tag_at(&map, node, salt)).collect()
    }
}

// ---------------------------------------------------------------------------------------------------------------------

async fn every_command_is_answered_rightly(server: Server) {
    check_each! {
        Fixture::start(server, 3, 1).await;
        slots_of_random_keys_are_those_that_the_server_computes
        each_typed_command_has_its_reply_in_resp3
        each_typed_command_has_its_reply_in_resp2
        commands_on_many_slots_keep_the_order_of_their_keys
        commands_in_bare_words_find_their_keys
        a_command_goes_to_the_target_that_is_named
        transactions_are_executed_as_one_or_not_at_all
        all_went_to_the_right_node_at_once
    }
}

async fn slots_of_random_keys_are_those_that_the_server_computes(fixture: Arc<Fixture>) {
    let mut random = fastrand::Rng::with_seed(20_26);
    let mut pipe = fixture.client.pipeline();
    let keys: Vec<Vec<u8>> = (0..1000)
        .map(|_| {
            let mut key: Vec<u8> = (0..random.usize(0..40)).map(|_| random.u8(..)).collect();
            // Every second one may have a hash tag, whole, empty, nested or torn.
            for brace in [b'{', b'}', b'{', b'}'] {
                if random.bool() {
                    key.insert(random.usize(0..=key.len()), brace);
                }
            }
            key
        })
        .collect();
    for key in &keys {
        pipe.push(Command::new("CLUSTER KEYSLOT").arg(key));
    }
    let slots: Vec<u16> = pipe.run().await.unwrap();
    for (key, slot) in keys.iter().zip(slots) {
        assert_eq!(Slot::of_key(key).get(), slot, "{}", key.escape_ascii());
    }
}

async fn each_typed_command_has_its_reply_in_resp3(fixture: Arc<Fixture>) {
    let hello: HashMap<String, Value> =
        fixture.client.execute(Command::new("CONFIG GET").arg("port")).await.unwrap();
    assert_eq!(hello.len(), 1);
    let raw: Value = fixture.client.execute(Command::new("CONFIG GET").arg("port")).await.unwrap();
    assert!(matches!(raw, Value::Map(_)), "{raw:?}");
    for tag in fixture.tags("r3-") {
        each_typed_command_has_its_reply(&fixture.client, &tag).await;
    }
    commands_for_all_nodes_have_their_replies(&fixture.client).await;
}

async fn each_typed_command_has_its_reply_in_resp2(fixture: Arc<Fixture>) {
    let raw: Value = fixture.resp2.execute(Command::new("CONFIG GET").arg("port")).await.unwrap();
    assert!(matches!(raw, Value::Array(_)), "{raw:?}");
    for tag in fixture.tags("r2-") {
        each_typed_command_has_its_reply(&fixture.resp2, &tag).await;
    }
    commands_for_all_nodes_have_their_replies(&fixture.resp2).await;
    let builder = Client::builder().url(&fixture.cluster.url()).protocol(Protocol::Resp2);
    let client = builder.connect().await.unwrap();
    let raw: Value = client.hgetall("no such hash").await.unwrap();
    assert_eq!(raw, Value::Array(vec![]));
}

/// Of strings, keys, hashes, lists, sets, sorted sets, scripts; all keys have the same tag.
async fn each_typed_command_has_its_reply(client: &Client, tag: &str) {
    strings_have_their_replies(client, tag).await;
    keys_have_their_replies(client, tag).await;
    hashes_and_lists_have_their_replies(client, tag).await;
    sets_have_their_replies(client, tag).await;
    let key = format!("{{{tag}}}script");
    let script = "redis.call('SET', KEYS[1], ARGV[1]); return {KEYS[1], ARGV[1], 7}";
    let reply: (String, String, i64) = client.eval(script, &key, "x").await.unwrap();
    assert_eq!(reply, (key.clone(), "x".to_owned(), 7));
    let none: Vec<String> = Vec::new();
    assert_eq!(client.eval::<i64>("return #KEYS", &none, ["a", "b"]).await.unwrap(), 0);
    assert_eq!(client.get::<String>(&key).await.unwrap(), "x");
    assert_eq!(client.echo::<String>(tag).await.unwrap(), tag);
}

async fn strings_have_their_replies(client: &Client, tag: &str) {
    let key = |name: &str| format!("{{{tag}}}{name}");
    let a = &key("a");
    assert_eq!(client.get::<Option<String>>(a).await.unwrap(), None);
    client.set(a, "1").await.unwrap();
    assert_eq!(client.get::<Option<String>>(a).await.unwrap().as_deref(), Some("1"));
    assert_eq!(client.get::<i64>(a).await.unwrap(), 1);
    assert_eq!(client.get::<Bytes>(a).await.unwrap(), "1");
    assert!(!client.setnx(a, "2").await.unwrap());
    assert!(client.setnx(key("nx"), "2").await.unwrap());
    client.setex(key("ex"), 100, "e").await.unwrap();
    assert!((1..=100).contains(&client.ttl(key("ex")).await.unwrap()));
    client.psetex(key("px"), 100_000, "p").await.unwrap();
    assert!((1..=100_000).contains(&client.pttl(key("px")).await.unwrap()));
    assert_eq!(client.append(a, "bc\r\n\0").await.unwrap(), 6);
    assert_eq!(client.get::<Vec<u8>>(a).await.unwrap(), b"1bc\r\n\0");
    assert_eq!((client.strlen(a).await.unwrap(), client.strlen(key("none")).await.unwrap()), (6, 0));
    assert_eq!(client.getrange::<String>(a, 1, -4).await.unwrap(), "bc");
    assert_eq!(client.getdel::<Option<Bytes>>(a).await.unwrap().unwrap().len(), 6);
    assert_eq!(client.getdel::<Option<Bytes>>(a).await.unwrap(), None);
    let n = &key("n");
    assert_eq!(client.incr(n).await.unwrap(), 1);
    assert_eq!(client.incrby(n, 41).await.unwrap(), 42);
    assert_eq!(client.decr(n).await.unwrap(), 41);
    assert_eq!(client.decrby(n, 50).await.unwrap(), -9);
    assert_eq!(client.incrby(n, i64::MIN + 9).await.unwrap(), i64::MIN);
    let f = &key("f");
    assert_eq!(client.incrbyfloat(f, 10.5).await.unwrap(), 10.5);
    assert_eq!(client.incrbyfloat(f, -0.25).await.unwrap(), 10.25);
    client.mset([(key("m1"), "x"), (key("m2"), "")]).await.unwrap();
    let values: Vec<Option<String>> = client.mget([key("m1"), key("none"), key("m2")]).await.unwrap();
    assert_eq!(values, [Some("x".to_owned()), None, Some(String::new())]);
    // The empty key is a key too.
    client.set("", tag).await.unwrap();
    assert_eq!(client.get::<String>("").await.unwrap(), tag);
    assert_eq!(client.del("").await.unwrap(), 1);
}

async fn keys_have_their_replies(client: &Client, tag: &str) {
    let key = |name: &str| format!("{{{tag}}}{name}");
    client.mset([(key("k1"), "1"), (key("k2"), "2"), (key("k3"), "3")]).await.unwrap();
    assert_eq!(client.exists([key("k1"), key("k1"), key("none")]).await.unwrap(), 2);
    assert_eq!(client.touch([key("k1"), key("k2"), key("none")]).await.unwrap(), 2);
    assert_eq!(client.ttl(key("k1")).await.unwrap(), -1);
    assert_eq!((client.ttl(key("none")).await.unwrap(), client.pttl(key("none")).await.unwrap()), (-2, -2));
    assert!(client.expire(key("k1"), 50).await.unwrap());
    assert!(!client.expire(key("none"), 50).await.unwrap());
    assert!((1..=50).contains(&client.ttl(key("k1")).await.unwrap()));
    assert!(client.persist(key("k1")).await.unwrap());
    assert!(!client.persist(key("k1")).await.unwrap());
    assert!(client.pexpire(key("k1"), 60_000).await.unwrap());
    assert!(client.expire(key("k3"), -1).await.unwrap(), "an expiry in the past");
    assert_eq!(client.exists(key("k3")).await.unwrap(), 0);
    assert_eq!(client.key_type(key("k1")).await.unwrap(), "string");
    assert_eq!(client.key_type(key("none")).await.unwrap(), "none");
    client.rename(key("k1"), key("k4")).await.unwrap();
    assert_eq!(client.get::<String>(key("k4")).await.unwrap(), "1");
    let found: HashSet<String> = client.keys(format!("{{{tag}}}k?")).await.unwrap();
    assert_eq!(found, HashSet::from([key("k2"), key("k4")]));
    assert_eq!(client.del([key("k2"), key("none")]).await.unwrap(), 1);
    assert_eq!(client.unlink(&[key("k4"), key("none")]).await.unwrap(), 1);
    assert_eq!(client.keys::<Vec<String>>(format!("{{{tag}}}k?")).await.unwrap(), Vec::<String>::new());
}

async fn hashes_and_lists_have_their_replies(client: &Client, tag: &str) {
    let h = &format!("{{{tag}}}h");
    assert_eq!(client.hset(h, [("a", "1"), ("b", "2")]).await.unwrap(), 2);
    assert_eq!(client.hset(h, [("b", "3"), ("c", "4")]).await.unwrap(), 1);
    assert_eq!(client.hget::<Option<i64>>(h, "b").await.unwrap(), Some(3));
    assert_eq!(client.hget::<Option<i64>>(h, "z").await.unwrap(), None);
    assert_eq!(client.hmget::<Vec<Option<i64>>>(h, ["c", "z", "a"]).await.unwrap(), [Some(4), None, Some(1)]);
    let all: HashMap<String, i64> = client.hgetall(h).await.unwrap();
    assert_eq!(all, HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 3), ("c".to_owned(), 4)]));
    let pairs: Vec<(String, String)> = client.hgetall(h).await.unwrap();
    assert_eq!(pairs.len(), 3);
    assert!(client.hgetall::<HashMap<String, String>>("none").await.unwrap().is_empty());
    assert_eq!(client.hincrby(h, "c", -5).await.unwrap(), -1);
    assert!(client.hexists(h, "c").await.unwrap());
    assert_eq!(client.hdel(h, ["c", "z"]).await.unwrap(), 1);
    assert!(!client.hexists(h, "c").await.unwrap());
    assert_eq!(client.hlen(h).await.unwrap(), 2);

    let l = &format!("{{{tag}}}l");
    assert_eq!(client.rpush(l, ["c", "d", "e"]).await.unwrap(), 3);
    assert_eq!(client.lpush(l, ["b", "a"]).await.unwrap(), 5);
    assert_eq!(client.llen(l).await.unwrap(), 5);
    assert_eq!(client.lrange::<Vec<String>>(l, 0, -2).await.unwrap(), ["a", "b", "c", "d"]);
    assert_eq!(client.lpop::<Option<String>>(l).await.unwrap().as_deref(), Some("a"));
    assert_eq!(client.rpop::<Option<String>>(l).await.unwrap().as_deref(), Some("e"));
    let popped: Option<(String, String)> = client.blpop([&format!("{{{tag}}}none"), l], 1.0).await.unwrap();
    assert_eq!(popped, Some((l.clone(), "b".to_owned())));
    let popped: Option<(String, String)> = client.brpop(l, 1.0).await.unwrap();
    assert_eq!(popped, Some((l.clone(), "d".to_owned())));
    assert_eq!(client.lpop::<Option<String>>(l).await.unwrap().as_deref(), Some("c"));
    assert_eq!(client.lpop::<Option<String>>(l).await.unwrap(), None);
    assert_eq!(client.rpop::<Option<String>>(l).await.unwrap(), None);
}

async fn sets_have_their_replies(client: &Client, tag: &str) {
    let (s, t) = (&format!("{{{tag}}}s"), &format!("{{{tag}}}t"));
    assert_eq!(client.sadd(s, ["a", "b", "a"]).await.unwrap(), 2);
    assert_eq!(client.sadd(t, "c").await.unwrap(), 1);
    assert_eq!(
        client.smembers::<BTreeSet<String>>(s).await.unwrap(),
        BTreeSet::from(["a".into(), "b".into()])
    );
    assert!(client.sismember(s, "a").await.unwrap());
    assert!(!client.sismember(s, "c").await.unwrap());
    assert_eq!(client.scard(s).await.unwrap(), 2);
    let mut union: Vec<String> = client.sunion([s, t]).await.unwrap();
    union.sort_unstable();
    assert_eq!(union, ["a", "b", "c"]);
    assert_eq!(client.sunionstore(format!("{{{tag}}}u"), [s, t]).await.unwrap(), 3);
    assert_eq!(client.srem(s, ["a", "z"]).await.unwrap(), 1);

    let z = &format!("{{{tag}}}z");
    assert_eq!(client.zadd(z, [(1.0, "a"), (2.5, "b"), (f64::INFINITY, "c")]).await.unwrap(), 3);
    assert_eq!(client.zscore::<Option<f64>>(z, "b").await.unwrap(), Some(2.5));
    assert_eq!(client.zscore::<f64>(z, "c").await.unwrap(), f64::INFINITY);
    assert_eq!(client.zscore::<Option<f64>>(z, "x").await.unwrap(), None);
    assert_eq!(client.zincrby(z, 0.25, "a").await.unwrap(), 1.25);
    assert_eq!(client.zrange::<Vec<String>>(z, 0, -1).await.unwrap(), ["a", "b", "c"]);
    let scored: Vec<(String, f64)> = client.zrange_with_scores(z, 0, 1).await.unwrap();
    assert_eq!(scored, [("a".to_owned(), 1.25), ("b".to_owned(), 2.5)]);
    assert_eq!(client.zcard(z).await.unwrap(), 3);
    assert_eq!(client.zrem(z, ["a", "x"]).await.unwrap(), 1);
}

async fn commands_for_all_nodes_have_their_replies(client: &Client) {
    client.ping().await.unwrap();
    client.flushall().await.unwrap();
    assert_eq!(client.dbsize().await.unwrap(), 0);
    let mut pipe = client.pipeline();
    for number in 0..100 {
        pipe.set(format!("many{number}"), number);
    }
    pipe.run::<()>().await.unwrap();
    assert_eq!(client.dbsize().await.unwrap(), 100);
    assert_eq!(client.keys::<Vec<String>>("many*").await.unwrap().len(), 100);
    assert_eq!(client.publish("nobody listens", "hello").await.unwrap(), 0);
    client.flushall().await.unwrap();
    assert_eq!(client.dbsize().await.unwrap(), 0);
}

async fn commands_on_many_slots_keep_the_order_of_their_keys(fixture: Arc<Fixture>) {
    for client in [&fixture.client, &fixture.resp2] {
        let keys: Vec<String> = (0..500).map(|number| format!("many:{number}")).collect();
        client.mset(keys.iter().map(|key| (key, value_of(key)))).await.unwrap();
        // Each third one is missing, and some stand there twice.
        let asked: Vec<String> = (0..700)
            .map(|place| if place % 3 == 0 { format!("none:{place}") } else { keys[place * 7 % 500].clone() })
            .collect();
        let values: Vec<Option<String>> = client.mget(&asked).await.unwrap();
        let wanted: Vec<Option<String>> =
            asked.iter().map(|key| key.starts_with("many").then(|| value_of(key))).collect();
        assert_eq!(values, wanted);
        let there = asked.iter().filter(|key| key.starts_with("many"));
        assert_eq!(client.exists(&asked).await.unwrap(), there.clone().count() as u64);
        assert_eq!(client.touch(&asked).await.unwrap(), there.clone().count() as u64);
        let distinct: HashSet<&String> = there.collect();
        assert_eq!(client.del(&asked).await.unwrap(), distinct.len() as u64);
        assert_eq!(client.unlink(&keys).await.unwrap(), (keys.len() - distinct.len()) as u64);
        assert_eq!(client.exists(&keys).await.unwrap(), 0);
        // A later pair wins, as in one MSET.
        client.mset([("many:1", "old"), ("many:2", "x"), ("many:1", "new")]).await.unwrap();
        let values: Vec<String> = client.mget(["many:1", "many:2", "many:1"]).await.unwrap();
        assert_eq!(values, ["new", "x", "new"]);
        assert_eq!(client.del(["many:1", "many:2"]).await.unwrap(), 2);
    }
}

async fn commands_in_bare_words_find_their_keys(fixture: Arc<Fixture>) {
    let words = |text: &str| {
        let mut words = text.split(' ');
        Command::new(words.next().unwrap().to_owned()).args(words)
    };
    for (tag, client) in fixture.tags("w-").iter().zip([&fixture.client, &fixture.resp2].into_iter().cycle())
    {
        // Each primary has one of the tags: a command that does not find its key would be redirected.
        let integer = async |text: &str| {
            let command = words(&text.replace('@', &format!("{{{tag}}}")));
            client.execute::<i64>(command).await.unwrap_or_else(|error| panic!("{text}: {error}"))
        };
        assert_eq!(integer("zadd @z1 1 a 2 b").await, 2);
        assert_eq!(integer("ZADD @z2 1 c").await, 1);
        assert_eq!(integer("ZUNIONSTORE @out 2 @z1 @z2 WEIGHTS 2 3").await, 3);
        assert_eq!(integer("SADD @s 3 1 2").await, 3);
        assert_eq!(integer("SORT @s BY nosort STORE @sorted").await, 3);
        assert_eq!(integer("BITOP OR @bits @none @none2").await, 0);
        assert_eq!(integer("PFADD @p x y").await, 1);
        assert_eq!(integer("PFCOUNT @p @none").await, 2);
        assert_eq!(integer("GEOADD @g 12.5 41.9 Rome").await, 1);
        assert_eq!(integer("GEORADIUS @g 12 42 900 km STORE @near").await, 1);
        assert_eq!(integer("OBJECT REFCOUNT @g").await, 1);
        assert!(integer("MEMORY USAGE @g").await > 0);
        assert_eq!(integer("MSETNX @n1 1 @n2 2").await, 1);
        assert_eq!(integer("COPY @n1 @n3").await, 1);
        assert_eq!(integer("SMOVE @s @s2 3").await, 1);
        if fixture.is_since_7_0() {
            assert_eq!(integer("SINTERCARD 2 @s @none LIMIT 5").await, 0);
        }
        let run = async |text: &str| {
            let command = words(&text.replace('@', &format!("{{{tag}}}")));
            client.execute::<Value>(command).await.unwrap_or_else(|error| panic!("{text}: {error}"))
        };
        assert_eq!(run("OBJECT ENCODING @n1").await.as_str(), Some("int"));
        assert_eq!(run("object encoding @n1").await.as_str(), Some("int"));
        assert_eq!(run("XGROUP CREATE @x readers $ MKSTREAM").await.as_str(), Some("OK"));
        assert_eq!(run("XADD @x 1-1 field value").await.as_str(), Some("1-1"));
        type Streams = HashMap<String, Vec<(String, Vec<String>)>>;
        let entry = ("1-1".to_owned(), vec!["field".to_owned(), "value".to_owned()]);
        let wanted = HashMap::from([(format!("{{{tag}}}x"), vec![entry])]);
        let read = words("XREAD COUNT 1 STREAMS").arg(format!("{{{tag}}}x")).arg("0");
        assert_eq!(client.execute::<Streams>(read).await.unwrap(), wanted);
        let read = words("XREADGROUP GROUP readers me COUNT 1 STREAMS").arg(format!("{{{tag}}}x")).arg(">");
        assert_eq!(client.execute::<Streams>(read).await.unwrap(), wanted);
        let eval =
            Command::new("EVAL").arg("return redis.call('GET', KEYS[1])").arg(1).arg(format!("{{{tag}}}n1"));
        assert_eq!(client.execute::<i64>(eval).await.unwrap(), 1);
        let name = Command::new("OBJECT ENCODING").key(format!("{{{tag}}}n1"));
        assert_eq!(client.execute::<String>(name).await.unwrap(), "int");
        // A module's command, say: nobody knows it, and the marked key says where it goes. The server's own answer
        // is the proof that the command was not held back.
        let unknown = Command::new("NO.SUCH").key(tag);
        let error = error_of(client.execute::<Value>(unknown).await);
        assert_eq!((error.code(), error.slot()), (Some("ERR"), Some(Slot::of_key(tag.as_bytes()))));
    }
}

async fn a_command_goes_to_the_target_that_is_named(fixture: Arc<Fixture>) {
    let Fixture { cluster, client, .. } = &*fixture;
    let tags = fixture.tags("t-");
    let map = client.slot_map();
    client.flushall().await.unwrap();
    for (count, tag) in [(1, &tags[0]), (20, &tags[1]), (300, &tags[2])] {
        let mut pipe = client.pipeline();
        for number in 0..count {
            pipe.set(format!("{{{tag}}}{number}"), number);
        }
        pipe.run::<()>().await.unwrap();
    }
    let primaries = primaries(&map);
    let mut sizes = Vec::new();
    for node in &primaries {
        let at = Command::new("DBSIZE").to(Target::Node(node.clone()));
        sizes.push(client.execute::<u64>(at).await.unwrap());
    }
    assert_eq!((sizes, client.dbsize().await.unwrap()), (vec![1, 20, 300], 321));

    let id = || Command::new("CLUSTER MYID");
    let mut ids = Vec::new();
    for node in &primaries {
        ids.push(cluster.node_id(node).await.unwrap());
    }
    for (tag, wanted) in tags.iter().zip(&ids) {
        let target = Target::SlotOf(Bytes::from(tag.clone()));
        assert_eq!(client.execute::<String>(id().to(target)).await.unwrap(), *wanted);
    }
    for _ in 0..10 {
        assert!(ids.contains(&client.execute::<String>(id().to(Target::Random)).await.unwrap()));
    }
    let by_node = |nodes: &[NodeAddr]| nodes.iter().map(ToString::to_string).collect::<HashSet<String>>();
    let info = |target| Command::new("INFO").arg("server").to(target);
    let each: HashMap<String, String> = client.execute(info(Target::AllPrimaries)).await.unwrap();
    assert_eq!(each.keys().cloned().collect::<HashSet<_>>(), by_node(&primaries));
    // From 7.0 on a replica is listed by and by; the kit waits for that, this client was connected after it.
    let each: HashMap<String, String> = client.execute(info(Target::AllNodes)).await.unwrap();
    assert_eq!(each.keys().cloned().collect::<HashSet<_>>(), by_node(&cluster.nodes()));
    for (node, info) in each {
        let port = node.rsplit(':').next().unwrap();
        assert!(info.contains(&format!("tcp_port:{port}")), "{node}: {info}");
    }
    client.execute::<()>(Command::new("PING").to(Target::AllNodes)).await.unwrap();
    client.execute::<()>(Command::new("CONFIG SET").arg("slowlog-max-len").arg(77)).await.unwrap();
    for node in cluster.nodes() {
        let get = Command::new("CONFIG GET").arg("slowlog-max-len");
        let set: HashMap<String, u64> = ask(cluster, &node, get).await;
        assert_eq!(set["slowlog-max-len"], 77, "at {node}, a replica or not");
    }

    // A redirect from a named node is followed: a replica does not serve keys.
    let client = Client::connect(cluster.url()).await.unwrap();
    let replica = cluster.replicas_of(&primaries[2]).await.unwrap().remove(0);
    let key = format!("{{{}}}7", tags[2]);
    let get = || Command::new("GET").key(&key).to(Target::Node(replica.clone()));
    assert_eq!(client.execute::<i64>(get()).await.unwrap(), 7);
    assert_eq!(client.stats().moved, 1);
    // A node that no map names is asked all the same.
    let stranger = dead_address();
    let error = error_of(
        client
            .execute::<Value>(
                Command::new("PING").to(Target::Node(stranger.clone())).timeout(Duration::from_millis(300)),
            )
            .await,
    );
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Connect, Outcome::NotSent), "{error}");
    assert_eq!(error.node(), Some(&stranger), "{error}");
}

async fn transactions_are_executed_as_one_or_not_at_all(fixture: Arc<Fixture>) {
    for (tag, client) in fixture.tags("x-").iter().zip([&fixture.client, &fixture.resp2].into_iter().cycle())
    {
        let (a, b) = (&format!("{{{tag}}}a"), &format!("{{{tag}}}b"));
        let mut tx = client.transaction();
        tx.set(a, "1")
            .incr(a)
            .get(a)
            .hset(b, [("f", "v")])
            .hgetall(b)
            .zadd(format!("{{{tag}}}z"), [(1.5, "m")]);
        assert_eq!(tx.len(), 6);
        let (_, n, text, new, hash, added): ((), i64, String, u64, HashMap<String, String>, u64) =
            tx.run().await.unwrap();
        assert_eq!((n, text.as_str(), new, added), (2, "2", 1, 1));
        assert_eq!(hash["f"], "v");
        // The commands stay: another run executes them again.
        let again: Vec<Value> = tx.run().await.unwrap();
        assert_eq!((&again[1], &again[3]), (&Value::Int(2), &Value::Int(0)));

        // One that fails while it runs does not stop the others.
        let mut tx = client.transaction();
        tx.set(a, "text").incr(a).append(a, "!");
        let (_, failed, length): ((), Result<i64, ServerError>, u64) = tx.run().await.unwrap();
        assert_eq!((failed.unwrap_err().code(), length), ("ERR", 5));
        let error = error_of(tx.run::<((), i64, u64)>().await);
        assert!(error.to_string().contains("not an integer"), "{error}");
        assert_eq!(client.get::<String>(a).await.unwrap(), "text!");

        // One that cannot be queued refuses them all, and is the cause that is told.
        let mut tx = client.transaction();
        tx.set(a, "never").push(Command::new("GET").key(a).arg("too").arg("many")).incr(b);
        let error = error_of(tx.run::<Vec<Value>>().await);
        let told = (error.kind(), error.outcome(), error.code());
        assert_eq!(told, (ErrorKind::Server, Outcome::Rejected, Some("ERR")), "{error}");
        assert!(error.to_string().to_lowercase().contains("wrong number of arguments for 'get'"), "{error}");
        let mut tx = client.transaction();
        tx.set(a, "never").push(Command::new("NO.SUCH").key(a));
        let error = error_of(tx.run::<Vec<Value>>().await);
        assert!(error.to_string().contains("NO.SUCH"), "{error}");
        assert_eq!(client.get::<String>(a).await.unwrap(), "text!");

        // Nothing blocks inside.
        let mut tx = client.transaction();
        tx.blpop(format!("{{{tag}}}no list"), 0.0).echo("after");
        let (nil, after): (Option<(String, String)>, String) = tx.run().await.unwrap();
        assert_eq!((nil, after.as_str()), (None, "after"));
    }

    let client = &fixture.client;
    let mut tx = client.transaction();
    tx.set("cross:a", "1").set("cross:b", "2");
    let error = error_of(tx.run::<Vec<Value>>().await);
    assert_eq!(
        (error.kind(), error.outcome(), error.attempts()),
        (ErrorKind::CrossSlot, Outcome::Rejected, 0)
    );
    for part in ["\"cross:a\"", "\"cross:b\"", &Slot::of_key(b"cross:a").to_string()] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    assert_eq!(client.exists(["cross:a", "cross:b"]).await.unwrap(), 0);
    let mut tx = client.transaction();
    tx.mget(["cross:a", "cross:b"]);
    assert_eq!(
        error_of(tx.run::<Vec<Value>>().await).kind(),
        ErrorKind::CrossSlot,
        "not split inside of MULTI"
    );

    let mut tx = client.transaction();
    tx.ping().echo("no key");
    let (_, text): ((), String) = tx.run().await.unwrap();
    assert_eq!(text, "no key");
    assert_eq!(client.transaction().run::<Vec<Value>>().await.unwrap(), []);
}

async fn all_went_to_the_right_node_at_once(fixture: Arc<Fixture>) {
    for client in [&fixture.client, &fixture.resp2] {
        let stats = client.stats();
        assert_eq!((stats.moved, stats.asked, stats.retries, stats.disconnects), (0, 0, 0, 0), "{stats:?}");
    }
}

// ---------------------------------------------------------------------------------------------------------------------

async fn large_and_many_commands_keep_their_order_and_their_values(server: Server) {
    check_each! {
        Fixture::start(server, 3, 0).await;
        pipelines_over_all_slots_are_answered_in_order
        each_command_of_a_pipeline_has_its_own_result
        large_and_binary_values_are_kept
        ten_thousand_commands_at_once_are_not_mixed_up
        commands_of_one_task_on_one_key_keep_their_order
    }
}

async fn pipelines_over_all_slots_are_answered_in_order(fixture: Arc<Fixture>) {
    for client in [&fixture.client, &fixture.resp2] {
        let mut pipe = client.pipeline();
        assert!(pipe.is_empty());
        pipe.set("{u:1}:name", "Ann").incr("{u:1}:visits").get("other").rpush("list", ["a", "b"]);
        let (_, visits, none, length): ((), i64, Option<String>, u64) = pipe.run().await.unwrap();
        assert_eq!((visits, none, length), (1, None, 2));
        pipe.clear();
        assert!(pipe.is_empty());
        assert_eq!(pipe.run_each().await.unwrap().len(), 0);
        assert_eq!(pipe.run::<Vec<Value>>().await.unwrap(), []);
        assert_eq!(client.del(["{u:1}:name", "{u:1}:visits", "list"]).await.unwrap(), 3);
    }
    let client = &fixture.client;
    let keys = tag_of_each_slot();
    for part in keys.chunks(10_000) {
        let mut pipe = client.pipeline();
        for key in part {
            pipe.set(key, value_of(key));
        }
        pipe.run::<()>().await.unwrap();
        pipe.clear();
        // Commands that go to many nodes keep their place among those that go to one.
        pipe.echo("first");
        for key in part.iter().rev() {
            pipe.get(key);
        }
        pipe.mget(&part[..10]).echo("last");
        let values: Vec<Value> = pipe.run().await.unwrap();
        assert_eq!(values.len(), part.len() + 3);
        assert_eq!((values[0].as_str(), values[part.len() + 2].as_str()), (Some("first"), Some("last")));
        for (key, value) in part.iter().rev().zip(&values[1..]) {
            assert_eq!(value.as_str(), Some(value_of(key).as_str()));
        }
        let Value::Array(got) = &values[part.len() + 1] else { panic!("MGET: {:?}", values[part.len() + 1]) };
        assert!(got.iter().zip(part).all(|(value, key)| value.as_str() == Some(&value_of(key))));
    }
    assert_eq!(client.dbsize().await.unwrap(), keys.len() as i64);
    // One key: each command sees what the one before it did.
    let mut pipe = client.pipeline();
    for _ in 0..10_000 {
        pipe.incr("order");
    }
    let seen: Vec<i64> = pipe.run().await.unwrap();
    assert!(seen.iter().copied().eq(1..=10_000));
    client.flushall().await.unwrap();
}

async fn each_command_of_a_pipeline_has_its_own_result(fixture: Arc<Fixture>) {
    for client in [&fixture.client, &fixture.resp2] {
        client.set("text", "x").await.unwrap();
        let mut pipe = client.pipeline();
        pipe.set("a", "1").incr("text").incr("a").lpush("text", "y").push(Command::new("NO.SUCH").key("b"));
        pipe.rename("a", "b").push(Command::new("WAIT").arg(1).arg(0)).get("a");
        let each = pipe.run_each().await.unwrap();
        assert_eq!(each.len(), 8);
        for (place, wanted) in [(0, "OK"), (7, "2")] {
            assert_eq!(each[place].as_ref().unwrap().as_str(), Some(wanted));
        }
        assert_eq!(each[2].as_ref().unwrap(), &Value::Int(2));
        for (place, kind, code, name) in [
            (1, ErrorKind::Server, Some("ERR"), "INCR"),
            (3, ErrorKind::Server, Some("WRONGTYPE"), "LPUSH"),
            (4, ErrorKind::Server, Some("ERR"), "NO.SUCH"),
            (5, ErrorKind::CrossSlot, None, "RENAME"),
            (6, ErrorKind::Usage, None, "WAIT"),
        ] {
            let error = each[place].as_ref().unwrap_err();
            assert_eq!((error.kind(), error.code(), error.command()), (kind, code, Some(name)), "{error}");
            assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
        }
        // As a whole it fails with the first of them.
        let error = error_of(pipe.run::<Vec<Value>>().await);
        assert_eq!((error.command(), error.outcome()), (Some("INCR"), Outcome::Rejected), "{error}");
        // One type for all, where it does not fit.
        let mut pipe = client.pipeline();
        pipe.get("a").get("text");
        let error = error_of(pipe.run::<Vec<i64>>().await);
        assert_eq!(error.kind(), ErrorKind::Conversion, "{error}");
        let error = error_of(pipe.run::<(i64, String, String)>().await);
        assert_eq!(error.kind(), ErrorKind::Conversion, "{error}");
        client.flushall().await.unwrap();
    }
}

async fn large_and_binary_values_are_kept(fixture: Arc<Fixture>) {
    let mut random = fastrand::Rng::with_seed(4);
    let mut mebibyte = vec![0; 1 << 20];
    random.fill(&mut mebibyte);
    // What ends a line or looks like a reply must not end a value.
    let mut binary: Vec<u8> = (0..=255).collect();
    binary.extend_from_slice(b"\r\n+OK\r\n-ERR no\r\n$-1\r\n:1\r\n*0\r\n\r\n");
    let values = [mebibyte, binary, b"\r\n".to_vec(), Vec::new(), vec![b'\r'; 4096], vec![b'x'; 65_537]];
    for client in [&fixture.client, &fixture.resp2] {
        let keys: Vec<Vec<u8>> =
            (0..values.len()).map(|number| vec![number as u8, b'\r', b'\n', 0xff]).collect();
        for (key, value) in keys.iter().zip(&values) {
            client.set(key, value).await.unwrap();
            assert!(client.get::<Vec<u8>>(key).await.unwrap() == *value, "of {} bytes", value.len());
        }
        assert!(client.mget::<Vec<Vec<u8>>>(&keys).await.unwrap() == values);
        let mut pipe = client.pipeline();
        for key in &keys {
            pipe.get(key);
        }
        assert!(pipe.run::<Vec<Vec<u8>>>().await.unwrap() == values);
        // An error's text shows neither the key's line end nor anything else that is not printable.
        assert_eq!(client.del(&keys).await.unwrap(), keys.len() as u64);
    }

    let builder = Client::builder().url(&fixture.cluster.url()).byte_budget(256 << 20, 512 << 20);
    let client = builder.connect().await.unwrap();
    let mut huge = vec![0; 64 << 20];
    random.fill(&mut huge);
    let huge = Bytes::from(huge);
    client.set("huge", huge.clone()).await.unwrap();
    assert!(client.get::<Bytes>("huge").await.unwrap() == huge);
    // With the default budget, which is no larger, it passes alone instead of never.
    let (small, kept) = tokio::join!(fixture.client.incr("small"), fixture.client.set("huge", huge.clone()));
    assert_eq!(small.unwrap(), 1);
    kept.unwrap();
    assert_eq!(fixture.client.strlen("huge").await.unwrap(), 64 << 20);
    // A client that does not want so much gives the connection up and works on.
    let small = Client::builder().url(&fixture.cluster.url()).max_reply(1 << 20).connect().await.unwrap();
    let error = error_of(small.get::<Bytes>("huge").timeout(Duration::from_secs(2)).await);
    assert_ne!(error.outcome(), Outcome::NotSent, "{error}");
    assert_eq!(small.get::<i64>("small").await.unwrap(), 1);
    client.flushall().await.unwrap();
}

async fn ten_thousand_commands_at_once_are_not_mixed_up(fixture: Arc<Fixture>) {
    let several = Client::connect(format!("{}?links_per_node=3", fixture.cluster.url())).await.unwrap();
    for client in [&fixture.client, &fixture.resp2, &several] {
        let tasks = (0..64).map(|task| {
            let client = client.clone();
            tokio::spawn(async move {
                let keys: Vec<String> = (0..160).map(|number| format!("{task}:{number}")).collect();
                for result in join_all(keys.iter().map(|key| client.set(key, value_of(key)))).await {
                    result.unwrap();
                }
                let gets = join_all(keys.iter().map(|key| client.get::<String>(key))).await;
                for (key, value) in keys.iter().zip(gets) {
                    assert_eq!(value.unwrap(), value_of(key));
                }
                // The same once more, with callers that lose interest in between.
                let gets = keys.iter().enumerate().map(|(number, key)| (&client, number, key));
                let gets = gets.map(async |(client, number, key)| {
                    let get = client_get(client, key);
                    if number % 3 > 0 {
                        return assert_eq!(get.await, value_of(key));
                    }
                    let patience = Duration::from_micros(number as u64 * 5);
                    if let Ok(value) = tokio::time::timeout(patience, get).await {
                        assert_eq!(value, value_of(key));
                    }
                });
                join_all(gets).await;
                let values: Vec<String> = client.mget(&keys).await.unwrap();
                assert!(keys.iter().zip(values).all(|(key, value)| value == value_of(key)));
            })
        });
        for task in join_all(tasks).await {
            task.unwrap();
        }
        assert_eq!(client.dbsize().await.unwrap(), 64 * 160);
        client.flushall().await.unwrap();
    }
}

async fn commands_of_one_task_on_one_key_keep_their_order(fixture: Arc<Fixture>) {
    let builder = || Client::builder().url(&fixture.cluster.url());
    let several = builder().links_per_node(4).connect().await.unwrap();
    // Room for one or two of the larger ones at a time.
    let narrow = builder().byte_budget(64 << 10, 64 << 10).connect().await.unwrap();
    for (client, kind) in [(&fixture.client, "one link"), (&several, "four links"), (&narrow, "little room")]
    {
        // Large and small ones, by every way that a command can take: marked keys, bare words, a deadline of its own.
        let pushes = (0..600_usize).map(async |number| {
            let filling = if number % 5 == 0 { "x".repeat(number * 90) } else { String::new() };
            let value = format!("{number}:{filling}");
            let pushed: u64 = match number % 3 {
                0 => client.rpush("ordered", &value).await,
                1 => client.execute(Command::new("RPUSH").arg("ordered").arg(&value)).await,
                _ => client.rpush("ordered", &value).timeout(Duration::from_secs(9)).await,
            }
            .unwrap();
            assert_eq!(pushed, number as u64 + 1, "with {kind}");
        });
        join_all(pushes).await;
        client.flushall().await.unwrap();
    }
}

async fn client_get(client: &Client, key: &str) -> String {
    client.get(key).await.unwrap()
}

// ---------------------------------------------------------------------------------------------------------------------

async fn errors_say_what_happened_where_and_what_became_of_the_command(server: Server) {
    check_each! {
        Fixture::start(server, 2, 0).await;
        an_error_of_the_server_names_command_slot_and_node
        a_reply_of_another_type_is_a_conversion_error
        what_cannot_be_done_on_a_shared_connection_is_refused_with_the_way_out
        keys_of_different_slots_are_refused_before_anything_is_sent
    }
}

async fn an_error_of_the_server_names_command_slot_and_node(fixture: Arc<Fixture>) {
    for (tag, client) in fixture.tags("e-").iter().zip([&fixture.client, &fixture.resp2]) {
        client.set(tag, "secret content").await.unwrap();
        let slot = Slot::of_key(tag.as_bytes());
        let node = client.slot_map().primary_of(slot).unwrap().addr.clone();
        let error = error_of(client.lpush(tag, "secret argument").await);
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Server, Outcome::Rejected));
        assert_eq!((error.code(), error.command()), (Some("WRONGTYPE"), Some("LPUSH")));
        assert_eq!((error.slot(), error.node(), error.attempts()), (Some(slot), Some(&node), 1));
        assert!(error.trail().is_empty() && error.last_redirect().is_none());
        let text = error.to_string();
        assert!(text.starts_with(&format!("LPUSH (slot {slot}) at {node}: WRONGTYPE ")), "{text}");
        assert!(!format!("{text}{error:?}").contains("secret"), "{text}");

        let error = error_of(client.execute::<Value>(Command::new("NO.SUCH").key(tag).arg(1)).await);
        assert_eq!(
            (error.kind(), error.outcome(), error.code()),
            (ErrorKind::Server, Outcome::Rejected, Some("ERR"))
        );
        assert!(error.to_string().contains("unknown command"), "{error}");
        let error = error_of(client.execute::<Value>(Command::new("NO.SUCH")).await);
        assert_eq!((error.kind(), error.slot()), (ErrorKind::Server, None), "{error}");
        let error = error_of(client.execute::<Value>(Command::new("GET").key(tag).arg("more")).await);
        assert!(error.to_string().contains("wrong number of arguments"), "{error}");
        let error = error_of(client.setex(tag, 0, "never").await);
        assert!(error.to_string().contains("invalid expire time"), "{error}");
        // A script may have written before it failed.
        let script = "redis.call('SET', KEYS[1], 'half'); return redis.call('INCR', KEYS[1])";
        let error = error_of(client.eval::<i64>(script, tag, [0_i64; 0]).await);
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Server, Outcome::MaybeExecuted), "{error}");
        assert_eq!(client.get::<String>(tag).await.unwrap(), "half");
    }
}

async fn a_reply_of_another_type_is_a_conversion_error(fixture: Arc<Fixture>) {
    let client = &fixture.client;
    client.set("text", "x").await.unwrap();
    let error = error_of(client.get::<i64>("text").await);
    assert_eq!((error.kind(), error.command()), (ErrorKind::Conversion, Some("GET")));
    assert!(error.to_string().contains("the reply \"x\" is not an integer (i64)"), "{error}");
    // A nil is never taken for an empty value, and the text tells the way out.
    let error = error_of(client.get::<String>("no such key").await);
    assert!(error.to_string().contains("nil") && error.to_string().contains("Option"), "{error}");
    client.set("bytes", [0xff_u8, 0xfe]).await.unwrap();
    assert_eq!(error_of(client.get::<String>("bytes").await).kind(), ErrorKind::Conversion);
    assert_eq!(client.get::<Vec<u8>>("bytes").await.unwrap(), [0xff, 0xfe]);
    // It was executed, and says so.
    let error = error_of(client.execute::<Vec<String>>(Command::new("INCR").key("n")).await);
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Conversion, Outcome::MaybeExecuted));
    assert_eq!(client.get::<i64>("n").await.unwrap(), 1);
    // The connection is as good as before.
    assert_eq!(client.stats().disconnects, 0);
}

async fn what_cannot_be_done_on_a_shared_connection_is_refused_with_the_way_out(fixture: Arc<Fixture>) {
    for (words, hint) in [
        ("WAIT 1 0", "writes"),
        ("wait 1 0", "writes"),
        ("MULTI", "transaction"),
        ("EXEC", "transaction"),
        ("DISCARD", "transaction"),
        ("WATCH k", "connection"),
        ("SUBSCRIBE news", "subscri"),
        ("PSUBSCRIBE n*", "subscri"),
        ("MONITOR", "monitoring"),
        ("SELECT 1", "connection"),
        ("AUTH password", "credentials"),
        ("HELLO 2", "connection"),
        ("ASKING", "connection"),
        ("READONLY", "connection"),
        ("CLIENT REPLY OFF", "connection"),
        ("QUIT", "connection"),
        ("RESET", "connection"),
    ] {
        let name = words.split(' ').next().unwrap();
        let command = || Command::new(name).args(words.split(' ').skip(1));
        let error = error_of(fixture.client.execute::<Value>(command()).await);
        let told = (error.kind(), error.outcome(), error.attempts());
        assert_eq!(told, (ErrorKind::Usage, Outcome::Rejected, 0), "{words}: {error}");
        assert!(error.to_string().contains(hint), "{words}: {error}");
        assert_eq!(error.command(), Some(name), "{words}: {error}");
        let mut tx = fixture.client.transaction();
        tx.push(command());
        assert_eq!(
            error_of(tx.run::<Vec<Value>>().await).kind(),
            ErrorKind::Usage,
            "{words} in a transaction"
        );
    }
    let mut pipe = fixture.client.pipeline();
    pipe.set("k", "v").blpop("list", 1.0);
    let error = pipe.run_each().await.unwrap_err();
    assert_eq!((error.kind(), error.command()), (ErrorKind::Usage, Some("BLPOP")), "{error}");
    assert_eq!(fixture.client.exists("k").await.unwrap(), 0, "nothing of it was sent");
}

async fn keys_of_different_slots_are_refused_before_anything_is_sent(fixture: Arc<Fixture>) {
    let client = &fixture.client;
    for (name, error) in [
        ("RENAME", error_of(client.rename("a", "b").await)),
        ("SUNIONSTORE", error_of(client.sunionstore("a", ["a", "b"]).await)),
        ("BLPOP", error_of(client.blpop::<Value>(["a", "b"], 0.0).await)),
        ("EVAL", error_of(client.eval::<Value>("return 1", ["a", "b"], "x").await)),
        (
            "MSETNX",
            error_of(client.execute::<Value>(Command::new("MSETNX").args(["a", "1", "b", "2"])).await),
        ),
    ] {
        let told = (error.kind(), error.outcome(), error.attempts(), error.command());
        assert_eq!(told, (ErrorKind::CrossSlot, Outcome::Rejected, 0, Some(name)), "{error}");
        for key in ["a", "b"] {
            let named = format!("\"{key}\" is in slot {}", Slot::of_key(key.as_bytes()));
            assert!(error.to_string().contains(&named), "{error}");
        }
        assert!(error.to_string().contains("hash tag"), "{error}");
    }
}

// ---------------------------------------------------------------------------------------------------------------------

async fn blocking_commands_wait_and_delay_nobody(server: Server) {
    check_each! {
        Fixture::start(server, 2, 0).await;
        a_blocked_command_delays_nobody_and_is_answered
        a_blocking_command_ends_with_nil_after_its_own_time
        the_deadline_of_a_blocking_command_comes_after_its_own_time
        a_blocked_command_that_is_dropped_takes_nothing
        more_blocking_commands_than_connections_wait_for_one
    }
}

/// Waits until this many clients are blocked at `node`.
async fn until_blocked(cluster: &LocalCluster, node: &NodeAddr, count: usize) {
    until(&format!("{count} blocked clients"), async || {
        let info: String = ask(cluster, node, Command::new("INFO").arg("clients")).await;
        info.lines().any(|line| line == format!("blocked_clients:{count}")).then_some(())
    })
    .await;
}

async fn a_blocked_command_delays_nobody_and_is_answered(fixture: Arc<Fixture>) {
    for client in [&fixture.client, &fixture.resp2] {
        let tag = &fixture.tags("b-")[0];
        let node = client.slot_map().primary_of(Slot::of_key(tag.as_bytes())).unwrap().addr.clone();
        let key = |number: usize| format!("{{{tag}}}{number}");
        // Without end, many, in several forms.
        let blocked: Vec<_> = (0..12)
            .map(|number| {
                let (client, key) = (client.clone(), key(number));
                tokio::spawn(async move {
                    match number % 3 {
                        0 => client.blpop::<(String, String)>(&key, 0.0).await.unwrap().1,
                        1 => client.brpop::<(String, String)>([&key], 0.0).await.unwrap().1,
                        _ => {
                            let other = format!("{key}:other");
                            let command =
                                Command::new("BLMOVE").key(key).key(other).arg("LEFT").arg("RIGHT").arg(0);
                            client.execute::<String>(command).await.unwrap()
                        }
                    }
                })
            })
            .collect();
        until_blocked(&fixture.cluster, &node, 12).await;
        let begin = Instant::now();
        for number in 0..200 {
            client.set(key(1000 + number), number).await.unwrap();
            assert_eq!(client.get::<usize>(key(1000 + number)).await.unwrap(), number);
        }
        assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
        assert!(blocked.iter().all(|task| !task.is_finished()));
        for number in 0..12 {
            client.rpush(key(number), value_of(&key(number))).await.unwrap();
        }
        for (number, task) in blocked.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), value_of(&key(number)));
        }
        client.flushall().await.unwrap();
    }
}

async fn a_blocking_command_ends_with_nil_after_its_own_time(fixture: Arc<Fixture>) {
    for client in [&fixture.client, &fixture.resp2] {
        let begin = Instant::now();
        assert_eq!(client.blpop::<Option<(String, String)>>("none", 0.1).await.unwrap(), None);
        assert!(begin.elapsed() >= Duration::from_millis(100));
        assert_eq!(
            client.brpop::<Option<(String, String)>>(["{none}1", "{none}2"], 0.1).await.unwrap(),
            None
        );
        client.execute::<String>(Command::new("XADD").key("x").args(["*", "f", "v"])).await.unwrap();
        for command in [
            Command::new("XREAD").args(["BLOCK", "100", "STREAMS", "x", "$"]),
            Command::new("BZPOPMIN").args(["none", "0.1"]),
            Command::new("BRPOPLPUSH").args(["{none}1", "{none}2", "0.1"]),
        ] {
            let begin = Instant::now();
            let name = command.name().to_owned();
            assert_eq!(client.execute::<Value>(command).await.unwrap(), Value::Nil, "{name}");
            assert!(begin.elapsed() >= Duration::from_millis(90), "{name}");
        }
    }
}

async fn the_deadline_of_a_blocking_command_comes_after_its_own_time(fixture: Arc<Fixture>) {
    let builder = Client::builder().url(&fixture.cluster.url()).command_timeout(Duration::from_millis(300));
    let client = &builder.connect().await.unwrap();
    let begin = Instant::now();
    assert_eq!(client.blpop::<Option<(String, String)>>("none", 0.8).await.unwrap(), None);
    assert!(begin.elapsed() >= Duration::from_millis(800));
    // Without end there is no deadline at all.
    let forever = client.blpop::<(String, String)>("later", 0.0);
    let pushed = async {
        let later = tokio::time::sleep(Duration::from_millis(700));
        later.await;
        client.rpush("later", "x").await.unwrap();
    };
    let (popped, ()) = tokio::join!(forever, pushed);
    assert_eq!(popped.unwrap().1, "x");
    // A deadline of its own is the caller's word.
    let begin = Instant::now();
    let blpop = client.blpop::<Option<(String, String)>>("late", 0.0).timeout(Duration::from_millis(200));
    let error = error_of(blpop.await);
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::MaybeExecuted), "{error}");
    assert!((200..1500).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    // What comes now is not lost to the one that gave up.
    for node in fixture.cluster.nodes() {
        until_blocked(&fixture.cluster, &node, 0).await;
    }
    assert_eq!(client.rpush("late", "x").await.unwrap(), 1);
    assert_eq!(client.llen("late").await.unwrap(), 1);
}

async fn a_blocked_command_that_is_dropped_takes_nothing(fixture: Arc<Fixture>) {
    let client = &fixture.client;
    let node = client.slot_map().primary_of(Slot::of_key(b"dropped")).unwrap().addr.clone();
    for _ in 0..3 {
        let task = tokio::spawn({
            let client = client.clone();
            async move { client.blpop::<Value>("dropped", 0.0).await }
        });
        until_blocked(&fixture.cluster, &node, 1).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        until_blocked(&fixture.cluster, &node, 0).await;
        assert_eq!(client.rpush("dropped", "kept").await.unwrap(), 1);
        let popped: Option<(String, String)> = client.blpop("dropped", 1.0).await.unwrap();
        assert_eq!(popped.unwrap().1, "kept");
    }
}

async fn more_blocking_commands_than_connections_wait_for_one(fixture: Arc<Fixture>) {
    let builder = Client::builder().url(&fixture.cluster.url()).exclusive_per_node(2).client_name("two-only");
    let client = &builder.connect().await.unwrap();
    let node = client.slot_map().primary_of(Slot::of_key(b"queue")).unwrap().addr.clone();
    let begin = Instant::now();
    let mut blocked: Vec<_> = (0..2)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.blpop::<(String, u32)>("queue", 0.0).await.unwrap().1 })
        })
        .collect();
    until_blocked(&fixture.cluster, &node, 2).await;
    for _ in 0..2 {
        let client = client.clone();
        blocked
            .push(tokio::spawn(async move { client.blpop::<(String, u32)>("queue", 0.0).await.unwrap().1 }));
    }
    // Whatever waits for a connection keeps its deadline.
    let waiting = client.blpop::<Value>("queue", 0.0).timeout(Duration::from_millis(200));
    let error = error_of(waiting.await);
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotSent), "{error}");
    assert_eq!(client.get::<Option<String>>("another").await.unwrap(), None, "shared connections are free");
    client.rpush("queue", [1, 2, 3, 4]).await.unwrap();
    let popped: Vec<u32> = join_all(blocked).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(popped.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([1, 2, 3, 4]));
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert!(
        connections_named(&fixture.cluster, "two-only").await <= 2 + 2,
        "two exclusive, one shared for each node"
    );
}

// ---------------------------------------------------------------------------------------------------------------------

async fn a_client_connects_by_any_seed_and_leaves_no_connection_behind(server: Server) {
    check_each! {
        Fixture::start(server, 3, 0).await;
        one_good_seed_is_enough
        without_a_good_seed_the_error_tells_what_each_one_answered
        a_client_name_is_seen_by_the_servers
        closing_waits_for_what_is_under_way_and_refuses_the_rest
        dropping_the_last_clone_closes_every_connection
        a_dropped_future_that_was_not_written_is_not_sent
    }
}

async fn one_good_seed_is_enough(fixture: Arc<Fixture>) {
    let good = fixture.cluster.nodes().remove(1);
    let dead = dead_address();
    let (_listener, silent) = silent_address();
    for seeds in [
        format!("{good}"),
        format!("{dead},{good}"),
        format!("{silent},{good}"),
        format!("no-such-host.invalid:1,{silent},{dead},{good},{dead}"),
        format!("{good},{silent}"),
        format!("localhost:{},{dead}", good.port()),
    ] {
        let begin = Instant::now();
        let client = Client::connect(format!("redis://{seeds}"))
            .await
            .unwrap_or_else(|error| panic!("{seeds}: {error}"));
        // A seed that hangs is not waited for; 2 seconds would be its connect time-out.
        assert!(begin.elapsed() < Duration::from_millis(1500), "{seeds}: {:?}", begin.elapsed());
        assert_eq!(client.slot_map().shards().count(), 3, "{seeds}");
        client.mset([("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]).await.unwrap();
    }
    let client =
        Client::builder().seeds([dead.to_string(), good.to_string()]).seed(silent).connect().await.unwrap();
    assert_eq!(client.mget::<Vec<i64>>(["a", "b", "c", "d"]).await.unwrap(), [1, 2, 3, 4]);
}

async fn without_a_good_seed_the_error_tells_what_each_one_answered(_: Arc<Fixture>) {
    let dead = dead_address();
    let (_listener, silent) = silent_address();
    let begin = Instant::now();
    let url = format!("redis://{dead},{silent},no-such-host.invalid:7000?connect_timeout=300ms");
    let error = error_of(Client::connect(url).await);
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Connect, Outcome::NotSent));
    let text = error.to_string();
    for part in [&dead.to_string(), "refused", &silent.to_string(), "300ms", "no-such-host.invalid:7000"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

async fn a_client_name_is_seen_by_the_servers(fixture: Arc<Fixture>) {
    for protocol in ["resp2", "resp3"] {
        let url = format!("{}?client_name=named-{protocol}&protocol={protocol}", fixture.cluster.url());
        let client = Client::connect(url).await.unwrap();
        for tag in fixture.tags("n-") {
            client.set(&tag, "x").await.unwrap();
            assert_eq!(client.blpop::<Value>(format!("{{{tag}}}none"), 0.01).await.unwrap(), Value::Nil);
        }
        let named = connections_named(&fixture.cluster, &format!("named-{protocol}")).await;
        assert_eq!(named, 6, "one shared and one exclusive connection to each of three nodes");
    }
}

async fn closing_waits_for_what_is_under_way_and_refuses_the_rest(fixture: Arc<Fixture>) {
    let connect = async || {
        Client::builder().url(&fixture.cluster.url()).client_name("closing").connect().await.unwrap()
    };
    let client = connect().await;
    let clone = client.clone();
    let node = client.slot_map().primary_of(Slot::of_key(b"none")).unwrap().addr.clone();
    let (blocked, kept) = (client.clone(), client.clone());
    let blocked = tokio::spawn(async move { blocked.blpop::<Option<(String, String)>>("none", 0.5).await });
    until_blocked(&fixture.cluster, &node, 1).await;
    let sets = tokio::spawn(async move {
        let keys: Vec<String> = (0..2000).map(|number| format!("closing:{number}")).collect();
        let results = join_all(keys.iter().map(|key| kept.set(key, "x"))).await;
        keys.into_iter().zip(results).collect::<Vec<_>>()
    });
    // The first of them are there, so they are under way.
    until("a first write", async || (fixture.client.dbsize().await.unwrap() > 0).then_some(())).await;
    let closing = tokio::spawn(async move { client.close().await });
    let error = until("new commands are refused", async || clone.get::<Value>("k").await.err()).await;
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Closed, Outcome::NotSent), "{error}");
    closing.await.unwrap();
    assert_eq!(blocked.await.unwrap().unwrap(), None, "it was waited for");
    for (key, result) in sets.await.unwrap() {
        if let Err(error) = &result {
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Closed, Outcome::NotSent), "{error}");
        }
        assert_eq!(fixture.client.exists(&key).await.unwrap(), u64::from(result.is_ok()), "{key}");
    }
    assert_eq!(error_of(clone.pipeline().run_each().await).kind(), ErrorKind::Closed);
    let mut tx = clone.transaction();
    tx.set("k", "v");
    assert_eq!(error_of(tx.run::<()>().await).kind(), ErrorKind::Closed);
    assert_eq!(error_of(clone.mget::<Value>(["a", "b"]).await).kind(), ErrorKind::Closed);
    until("no connection is left", async || {
        (connections_named(&fixture.cluster, "closing").await == 0).then_some(())
    })
    .await;
    clone.close().await;

    // With a limit, what is still under way fails with what is known of it.
    let client = connect().await;
    let blocked = client.clone();
    let blocked = tokio::spawn(async move { blocked.blpop::<Value>("none", 0.0).await });
    until_blocked(&fixture.cluster, &node, 1).await;
    let begin = Instant::now();
    client.close_within(Duration::from_millis(100)).await;
    assert!((100..2000).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    let error = error_of(blocked.await.unwrap());
    assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{error}");
    until_blocked(&fixture.cluster, &node, 0).await;
    fixture.client.flushall().await.unwrap();
}

async fn dropping_the_last_clone_closes_every_connection(fixture: Arc<Fixture>) {
    let url = format!("{}?client_name=leaving&links_per_node=2", fixture.cluster.url());
    let client = Client::connect(url).await.unwrap();
    let clone = client.clone();
    let mut pipe = client.pipeline();
    for number in 0..100 {
        pipe.set(format!("leaving:{number}"), "x");
    }
    pipe.run::<()>().await.unwrap();
    client.blpop::<Value>("none", 0.01).await.unwrap();
    drop((client, pipe));
    assert_eq!(clone.get::<String>("leaving:7").await.unwrap(), "x", "a clone is enough");
    assert_eq!(connections_named(&fixture.cluster, "leaving").await, 2 * 3 + 1);
    drop(clone);
    until("no connection is left", async || {
        (connections_named(&fixture.cluster, "leaving").await == 0).then_some(())
    })
    .await;
    fixture.client.flushall().await.unwrap();
}

async fn a_dropped_future_that_was_not_written_is_not_sent(fixture: Arc<Fixture>) {
    // On a runtime of one thread nothing is written between a poll and the drop that follows it.
    let url = fixture.cluster.url();
    let polled_once = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = Client::connect(url).await.unwrap();
            client.set("polled", 0).await.unwrap();
            for _ in 0..100 {
                let mut incr = Box::pin(client.incr("polled"));
                assert!(futures::poll!(&mut incr).is_pending());
                drop(incr);
                let mut incr = Box::pin(client.execute::<i64>(Command::new("INCR").arg("polled")));
                assert!(futures::poll!(&mut incr).is_pending());
                drop(incr);
            }
            drop(client.incr("polled"));
            assert_eq!(client.incr("polled").await.unwrap(), 1);
        });
    });
    tokio::task::spawn_blocking(move || polled_once.join().unwrap()).await.unwrap();
}

// ---------------------------------------------------------------------------------------------------------------------

async fn passwords_and_users_are_used_and_never_shown(server: Server) {
    const PASSWORD: &str = "p\"a ss@:/#'\\%41é";
    let cluster = LocalCluster::builder()
        .primaries(2)
        .replicas(1)
        .server(server)
        .password(PASSWORD)
        .start()
        .await
        .unwrap();
    let client = Client::connect(cluster.url()).await.unwrap();
    let resp2 = Client::connect(format!("{}?protocol=resp2", cluster.url())).await.unwrap();
    for (number, client) in [&client, &resp2].into_iter().enumerate() {
        for key in 0..50 {
            client.set(format!("{number}:{key}"), key).await.unwrap();
        }
        assert_eq!(client.blpop::<Option<String>>("none", 0.01).await.unwrap(), None);
    }
    let seeds: Vec<String> = cluster.nodes().iter().map(ToString::to_string).collect();
    let builder = || Client::builder().seeds(&seeds);
    assert_eq!(builder().password(PASSWORD).connect().await.unwrap().dbsize().await.unwrap(), 100);
    assert_eq!(
        builder().credentials("default", PASSWORD).connect().await.unwrap().dbsize().await.unwrap(),
        100
    );

    let wrong = "wr0ng-w0rd";
    for protocol in [Protocol::Auto, Protocol::Resp2] {
        for (builder, hint) in [
            (builder().password(wrong), "WRONGPASS"),
            (builder().credentials("nobody", wrong), "WRONGPASS"),
            (builder(), "NOAUTH"),
        ] {
            let builder = builder.protocol(protocol);
            assert!(!format!("{builder:?}").contains(wrong), "{builder:?}");
            let error = error_of(builder.connect().await);
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Auth, Outcome::NotSent), "{error}");
            let text = format!("{error} {error:?}");
            assert!(text.contains(hint) && text.contains(&seeds[0]), "{text}");
            assert!(!text.contains(wrong) && !text.contains("ss@"), "{text}");
        }
    }
    assert!(!format!("{client:?}").contains("ss@"), "{client:?}");

    // Users are known to one node only, so `ACL SETUSER` goes to all of them, replicas too.
    let ann = Command::new("ACL SETUSER").args(["ann", "on", ">s3cret", "~app:*", "+@all"]);
    client.execute::<()>(ann).await.unwrap();
    for node in cluster.nodes() {
        let users: Vec<String> = ask(&cluster, &node, Command::new("ACL USERS")).await;
        assert!(users.contains(&"ann".to_owned()), "at {node}: {users:?}");
    }
    for url in [
        format!("redis://ann:s3cret@{}", seeds[0]),
        format!("redis://ann:s3cret@{}?protocol=resp2", seeds[0]),
    ] {
        let ann = Client::connect(url).await.unwrap();
        for key in 0..20 {
            ann.set(format!("app:{key}"), key).await.unwrap();
            let error = error_of(ann.get::<Value>(format!("0:{key}")).await);
            let told = (error.kind(), error.outcome(), error.code());
            assert_eq!(told, (ErrorKind::Auth, Outcome::Rejected, Some("NOPERM")), "{error}");
        }
        assert_eq!(ann.execute::<String>(Command::new("ACL WHOAMI")).await.unwrap(), "ann");
        assert!(!format!("{ann:?}").contains("s3cret"), "{ann:?}");
    }
    let error = error_of(Client::connect(format!("redis://ann:guess@{}", seeds[0])).await);
    assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
    assert!(!error.to_string().contains("guess"), "{error}");

    // The least that a client needs: its commands, and who owns which slot.
    let least = ["bob", "on", ">b0b", "~*", "-@all", "+get", "+set", "+cluster|slots"];
    client.execute::<()>(Command::new("ACL SETUSER").args(least)).await.unwrap();
    let bob = Client::connect(format!("redis://bob:b0b@{}", seeds[0])).await.unwrap();
    for key in 0..20 {
        bob.set(format!("bob:{key}"), key).await.unwrap();
        assert_eq!(bob.get::<i64>(format!("bob:{key}")).await.unwrap(), key);
    }
    let error = error_of(bob.incr("bob:1").await);
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Auth, Outcome::Rejected), "{error}");
    assert_eq!(bob.stats().moved, 0);
    // A user that may not ask for the topology is told so.
    let less = ["tim", "on", ">t1m", "~*", "-@all", "+get"];
    client.execute::<()>(Command::new("ACL SETUSER").args(less)).await.unwrap();
    let error = error_of(Client::connect(format!("redis://tim:t1m@{}", seeds[0])).await);
    assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
    assert!(error.to_string().to_lowercase().contains("cluster slots"), "{error}");

    // A password that changes later: the connections that are open stay, a new one is refused and says why.
    for node in cluster.nodes() {
        let set = Command::new("CONFIG SET").arg("requirepass").arg("changed").to(Target::Node(node));
        client.execute::<()>(set).await.unwrap();
    }
    assert_eq!(client.get::<i64>("0:7").await.unwrap(), 7);
    // On a connection of its own, which is made now.
    let error = error_of(resp2.blpop::<Value>("{0:7}none", 0.01).timeout(Duration::from_millis(400)).await);
    // It may have one from before; then it is as good as the others.
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Auth, Outcome::NotSent), "{error}");
    assert!(error.to_string().contains("WRONGPASS"), "{error}");
}

// ---------------------------------------------------------------------------------------------------------------------

async fn a_server_that_is_no_cluster_is_one_node_and_one_without_slots_is_none(server: Server) {
    let lone = LocalServer::start(server.clone()).await.unwrap();
    for protocol in ["resp3", "resp2"] {
        let client = Client::connect(format!("{}?protocol={protocol}", lone.url())).await.unwrap();
        let map = client.slot_map();
        assert_eq!((map.nodes().len(), map.assigned_slots()), (1, 16384));
        assert_eq!(map.nodes()[0].addr, *lone.node());
        client.flushall().await.unwrap();
        each_typed_command_has_its_reply(&client, "lone").await;
        commands_for_all_nodes_have_their_replies(&client).await;
        let mut pipe = client.pipeline();
        for number in 0..1000 {
            pipe.set(number.to_string(), number);
        }
        pipe.run::<()>().await.unwrap();
        let keys: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        assert!(client.mget::<Vec<u32>>(&keys).await.unwrap().into_iter().eq(0..1000));
        let mut tx = client.transaction();
        tx.set("{t}1", "1").incr("{t}1").get("{t}1");
        assert_eq!(tx.run::<((), i64, i64)>().await.unwrap(), ((), 2, 2));
        assert_eq!(client.stats().moved, 0);
    }
    let client = Client::connect(lone.url()).await.unwrap();
    client.set("k", "v").await.unwrap();
    lone.restart().await.unwrap();
    assert_eq!(client.get::<Option<String>>("k").await.unwrap(), None, "it came back empty");
    client.set("k", "v").await.unwrap();

    let cluster = LocalCluster::builder().primaries(1).server(server).start().await.unwrap();
    let client = Client::connect(cluster.url()).await.unwrap();
    client.set("k", "v").await.unwrap();
    client.flushall().await.unwrap();
    let node = cluster.nodes().remove(0);
    ask::<()>(&cluster, &node, Command::new("CLUSTER FLUSHSLOTS")).await;
    let error = error_of(Client::connect(cluster.url()).await);
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Connect, Outcome::NotSent), "{error}");
    let text = error.to_string();
    assert!(text.contains("no slots") && text.contains(&node.to_string()), "{text}");
}

// ---------------------------------------------------------------------------------------------------------------------

async fn a_node_that_hangs_delays_its_own_commands_only_and_their_errors_are_true(server: Server) {
    // A node time-out that no check reaches: the cluster never notices.
    let builder = LocalCluster::builder().node_timeout(Duration::from_secs(60)).server(server);
    let cluster = builder.start().await.unwrap();
    let client = Client::connect(cluster.url()).await.unwrap();
    let resp2 = Client::connect(format!("{}?protocol=resp2", cluster.url())).await.unwrap();
    check_each! {
        Arc::new(Fixture { cluster, client, resp2 });
        a_paused_node_costs_a_timeout_and_no_mixed_up_replies
        a_stopped_node_costs_a_timeout_that_tells_what_was_sent
        one_stopped_node_leaves_the_others_as_fast_as_before
        a_full_budget_of_one_node_is_not_the_others
        blocking_commands_to_a_stopped_node_end
    }
}

async fn a_paused_node_costs_a_timeout_and_no_mixed_up_replies(fixture: Arc<Fixture>) {
    for (client, tag) in
        [(&fixture.client, &fixture.tags("p3-")[0]), (&fixture.resp2, &fixture.tags("p2-")[0])]
    {
        let key = |number: i32| format!("{{{tag}}}{number}");
        for number in 0..20 {
            client.set(key(number), value_of(&key(number))).await.unwrap();
        }
        let node = client.slot_map().primary_of(Slot::of_key(tag.as_bytes())).unwrap().addr.clone();
        ask::<()>(&fixture.cluster, &node, Command::new("CLIENT PAUSE").arg(800).arg("ALL")).await;
        // Others have more patience, and must not pay for those who have less.
        let counter = key(100);
        let incr = client.incr(&counter);
        let timeouts = join_all((0..20).map(|number| {
            let key = key(number);
            async move {
                let begin = Instant::now();
                let get = client.get::<String>(&key).timeout(Duration::from_millis(100 + 10 * number as u64));
                let error = error_of(get.await);
                assert_eq!(
                    (error.kind(), error.outcome()),
                    (ErrorKind::Timeout, Outcome::MaybeExecuted),
                    "{error}"
                );
                assert_eq!((error.command(), error.node().is_some()), (Some("GET"), true), "{error}");
                let wanted = Duration::from_millis(100 + 10 * number as u64);
                assert!(error.to_string().contains(&format!("{wanted:?}")), "{error}");
                assert!((wanted..wanted + Duration::from_millis(400)).contains(&begin.elapsed()), "{error}");
            }
        }));
        let (count, _) = tokio::join!(incr, timeouts);
        assert_eq!(count.unwrap(), 1);
        for number in 0..20 {
            assert_eq!(client.get::<String>(key(number)).await.unwrap(), value_of(&key(number)));
        }
        assert_eq!(client.stats().disconnects, 0);
    }
}

async fn a_stopped_node_costs_a_timeout_that_tells_what_was_sent(fixture: Arc<Fixture>) {
    let Fixture { cluster, client, .. } = &*fixture;
    let tag = &fixture.tags("s-")[0];
    let key = |name: &str| format!("{{{tag}}}{name}");
    let node = client.slot_map().primary_of(Slot::of_key(tag.as_bytes())).unwrap().addr.clone();
    let others: Vec<String> =
        cluster.nodes().iter().filter(|other| **other != node).map(ToString::to_string).collect();
    let fresh = Client::builder().seeds(&others).connect().await.unwrap();
    let patience = Duration::from_millis(300);
    client.set(key("warm"), "x").await.unwrap();

    cluster.stop(&node).unwrap();
    // Its connection is open, so the bytes leave.
    let begin = Instant::now();
    let (sent, unsent) = (key("sent"), key("unsent"));
    let (error, piped, error_of_fresh, pipe_of_fresh) = tokio::join!(
        client.incr(&sent).timeout(patience),
        async {
            let mut pipe = client.pipeline();
            pipe.incr(&sent).timeout(patience);
            let elsewhere = tag_at(&client.slot_map(), &others[0].parse().unwrap(), "elsewhere");
            pipe.set(elsewhere, "z");
            pipe.run_each().await.unwrap()
        },
        // It has none yet, and nobody completes the handshake.
        fresh.incr(&unsent).timeout(patience),
        async {
            let mut pipe = fresh.pipeline();
            pipe.incr(&unsent).timeout(patience);
            pipe.run_each().await.unwrap()
        },
    );
    assert!(
        (patience..patience + Duration::from_millis(700)).contains(&begin.elapsed()),
        "{:?}",
        begin.elapsed()
    );
    let error = error_of(error);
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::MaybeExecuted), "{error}");
    assert_eq!((error.node(), error.command()), (Some(&node), Some("INCR")), "{error}");
    let error = piped[0].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::MaybeExecuted), "{error}");
    assert!(piped[1].is_ok(), "{:?}", piped[1]);
    for error in [error_of(error_of_fresh), pipe_of_fresh[0].clone().unwrap_err()] {
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotSent), "{error}");
    }

    cluster.cont(&node).unwrap();
    // What was sent before on the same connection has been executed by now.
    client.set(key("warm"), "x").await.unwrap();
    assert!((0..=2).contains(&client.get::<Option<i64>>(&sent).await.unwrap().unwrap_or(0)));
    fresh.set(key("warm"), "x").await.unwrap();
    assert_eq!(fresh.get::<Option<i64>>(&unsent).await.unwrap(), None, "not sent is not executed");
    assert_eq!(client.incr(key("after")).await.unwrap(), 1);
}

async fn one_stopped_node_leaves_the_others_as_fast_as_before(fixture: Arc<Fixture>) {
    let Fixture { cluster, client, .. } = &*fixture;
    let tags = fixture.tags("o-");
    let node = client.slot_map().primary_of(Slot::of_key(tags[0].as_bytes())).unwrap().addr.clone();
    for tag in &tags {
        client.set(tag, value_of(tag)).await.unwrap();
    }
    cluster.stop(&node).unwrap();
    let stuck: Vec<_> = (0..50)
        .map(|_| {
            let (client, tag) = (client.clone(), tags[0].clone());
            tokio::spawn(async move { client.get::<String>(&tag).timeout(Duration::from_millis(1500)).await })
        })
        .collect();
    let mut longest = Duration::ZERO;
    let begin = Instant::now();
    // Longer than the client needs to find the node silent, and to ask around.
    while begin.elapsed() < Duration::from_millis(1400) {
        for tag in &tags[1..] {
            let begin = Instant::now();
            assert_eq!(client.get::<String>(tag).await.unwrap(), value_of(tag));
            longest = longest.max(begin.elapsed());
        }
        tokio::task::yield_now().await;
    }
    assert!(longest < Duration::from_millis(250), "{longest:?}");
    for task in stuck {
        assert_eq!(error_of(task.await.unwrap()).kind(), ErrorKind::Timeout);
    }
    // A fan-out names the node that did not answer.
    let error = error_of(client.dbsize().timeout(Duration::from_millis(200)).await);
    assert_eq!((error.kind(), error.node()), (ErrorKind::Timeout, Some(&node)), "{error}");
    assert!(error.to_string().contains("1 of its 3 parts failed"), "{error}");
    cluster.cont(&node).unwrap();
    for tag in &tags {
        assert_eq!(client.get::<String>(tag).await.unwrap(), value_of(tag));
    }
    client.dbsize().await.unwrap();
}

async fn a_full_budget_of_one_node_is_not_the_others(fixture: Arc<Fixture>) {
    let Fixture { cluster, client: witness, .. } = &*fixture;
    let tags = fixture.tags("f-");
    let node = witness.slot_map().primary_of(Slot::of_key(tags[0].as_bytes())).unwrap().addr.clone();
    let key = |number: usize| format!("{{{}}}{number}", tags[0]);
    let value = "x".repeat(16 << 10);
    for policy in [OverloadPolicy::Fail, OverloadPolicy::Wait] {
        let builder = Client::builder().url(&cluster.url()).byte_budget(64 << 10, 96 << 10).overload(policy);
        let client = builder.connect().await.unwrap();
        for tag in &tags {
            client.set(tag, "warm").await.unwrap();
        }
        cluster.stop(&node).unwrap();
        let keys: Vec<String> = (0..10).map(key).collect();
        let begin = Instant::now();
        let sets = keys.iter().map(async |key| {
            let result = client.set(key, &value).timeout(Duration::from_millis(600)).await;
            (error_of(result), begin.elapsed())
        });
        let elsewhere = async {
            for _ in 0..20 {
                for tag in &tags[1..] {
                    client.set(tag, "still").await.unwrap();
                }
            }
            begin.elapsed()
        };
        let (errors, elsewhere) = tokio::join!(join_all(sets), elsewhere);
        assert!(elsewhere < Duration::from_millis(500), "{elsewhere:?}");
        let (mut full, mut sent) = (0, 0);
        for (error, after) in &errors {
            match (policy, error.kind(), error.outcome()) {
                (OverloadPolicy::Fail, ErrorKind::Overloaded, Outcome::NotSent) => {
                    full += 1;
                    assert!(*after < Duration::from_millis(400), "at once, not after {after:?}");
                }
                (OverloadPolicy::Wait, ErrorKind::Timeout, Outcome::NotSent) => full += 1,
                (_, ErrorKind::Timeout, Outcome::MaybeExecuted) => sent += 1,
                told => panic!("{told:?}: {error}"),
            }
        }
        assert_eq!((full, sent), (7, 3), "three of 16 KiB with their frames go into 64 KiB");
        cluster.cont(&node).unwrap();
        client.set(&tags[0], "works again").await.unwrap();
        for (key, (error, _)) in keys.iter().zip(&errors) {
            if error.outcome() == Outcome::NotSent {
                assert_eq!(client.exists(key).await.unwrap(), 0, "{error}");
            }
        }
        witness.flushall().await.unwrap();
    }
}

async fn blocking_commands_to_a_stopped_node_end(fixture: Arc<Fixture>) {
    let Fixture { cluster, .. } = &*fixture;
    let client = &Client::connect(format!("{}?command_timeout=300ms", cluster.url())).await.unwrap();
    let tag = &fixture.tags("l-")[0];
    let node = client.slot_map().primary_of(Slot::of_key(tag.as_bytes())).unwrap().addr.clone();
    let key = |number: usize| format!("{{{tag}}}{number}");
    // One exclusive connection is there, the next one would have to be made.
    assert_eq!(client.blpop::<Value>(key(0), 0.01).await.unwrap(), Value::Nil);
    cluster.stop(&node).unwrap();
    let begin = Instant::now();
    let (first, second) = (key(1), key(2));
    let (first, second) = tokio::join!(client.blpop::<Value>(first, 0.2), client.blpop::<Value>(second, 0.2));
    let elapsed = begin.elapsed();
    assert!(
        (500..1500).contains(&elapsed.as_millis()),
        "its own 200 ms and the client's 300 ms: {elapsed:?}"
    );
    let outcomes: Vec<Outcome> = [error_of(first), error_of(second)]
        .iter()
        .map(|error| {
            assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
            error.outcome()
        })
        .collect();
    assert_eq!(outcomes, [Outcome::MaybeExecuted, Outcome::NotSent]);
    cluster.cont(&node).unwrap();
    fixture.client.rpush(key(3), "x").await.unwrap();
    let popped: (String, String) = fixture.client.blpop(key(3), 1.0).await.unwrap();
    assert_eq!(popped.1, "x");
}
