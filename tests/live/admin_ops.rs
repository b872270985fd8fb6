//! Real clusters that are restarted node by node under load, whose users are copied, and whose slots move in one moment:
//! with all databases, cancelled, and tried again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use keyslot::admin::{AddAs, AdminOptions, Member, Slots};
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{
    Client, Command, Commands, Credentials, Error, ErrorKind, NodeAddr, RotatingCredentials, Value,
};

use crate::live_support::{ask, on_every_server, tag_of_each_slot, until, value_of};

on_every_server! {
    all:
        a_rolling_restart_is_not_noticed_by_callers
        a_new_node_has_the_users_of_the_others
        connections_of_an_admin_take_new_credentials;
    since_7_0:
        rights_with_selectors_are_copied_too;
    valkey_9_1:
        keys_in_another_database_are_keys
        a_move_in_one_moment_takes_all_databases
        a_move_in_one_moment_is_cancelled_tried_again_and_waited_for;
}

async fn run_ids(cluster: &LocalCluster) -> BTreeMap<NodeAddr, String> {
    let mut ids = BTreeMap::new();
    for node in cluster.nodes() {
        let info: String = ask(cluster, &node, Command::new("INFO").arg("server")).await;
        let line = info.lines().find(|line| line.starts_with("run_id:")).unwrap().to_owned();
        ids.insert(node, line);
    }
    ids
}

/// Writes and reads its own keys until told to end; an error ends it.
async fn use_it(
    client: Client,
    task: usize,
    ends: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
) -> Result<(), Error> {
    for round in 0_u64.. {
        for key in 0..50 {
            let key = format!("of {task}: {key}");
            client.set(key.as_str(), round).await?;
            assert_eq!(client.get::<Option<u64>>(key.as_str()).await?, Some(round), "{key}");
        }
        rounds.fetch_add(1, Ordering::Relaxed);
        if ends.load(Ordering::Acquire) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

async fn a_rolling_restart_is_not_noticed_by_callers(server: Server) {
    let cluster = LocalCluster::builder().primaries(3).replicas(1).server(server).start().await.unwrap();
    let cluster = Arc::new(cluster);
    // Redis 6.2 holds a write that is under way at the moment of the failover for ten seconds, the default time-out, unless
    // the restart of the node comes earlier.
    let client = Client::builder().url(&cluster.url()).command_timeout(Duration::from_secs(30));
    let client = client.connect().await.unwrap();
    let keys: Vec<String> = (0..500).map(|number| format!("key:{number}")).collect();
    client.mset(keys.iter().map(|key| (key.as_str(), value_of(key)))).await.unwrap();
    let before = run_ids(&cluster).await;

    let (ends, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..2)
        .map(|task| tokio::spawn(use_it(client.clone(), task, Arc::clone(&ends), Arc::clone(&rounds))))
        .collect();
    // One seed only, which restarts too.
    let admin = Client::builder().seeds([cluster.nodes()[0].to_string()]).admin().await.unwrap();
    let operator = Arc::clone(&cluster);
    let plan = admin.roll(move |node: Member| {
        let cluster = Arc::clone(&operator);
        async move { cluster.restart(&node.addr).await }
    });
    let plan = plan.await.unwrap();
    let end = plan.run(|_| {}).await.unwrap_or_else(|error| panic!("{error}\n{plan}"));
    assert_eq!((end.step, end.stopped), (6, false));
    ends.store(true, Ordering::Release);
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    assert!(rounds.load(Ordering::Relaxed) >= 2, "{rounds:?}");

    let after = run_ids(&cluster).await;
    assert!(after.iter().all(|(node, id)| before[node] != *id), "{before:?} {after:?}");
    let report = admin.check().await.unwrap();
    assert!(report.is_ok(), "{report}");
    for key in &keys {
        assert_eq!(client.get::<Option<String>>(key.as_str()).await.unwrap(), Some(value_of(key)));
    }
}

/// Users with these rules are known to a node that joins, and nobody is told of their passwords.
async fn users_are_copied(server: Server, rules: &[&str]) {
    let cluster = LocalCluster::builder().primaries(3).replicas(0).server(server).start().await.unwrap();
    for node in cluster.nodes() {
        let user = Command::new("ACL SETUSER").arg("ann").args(["on", ">secret-word"]).args(rules);
        let _: Value = ask(&cluster, &node, user).await;
        let _: Value = ask(&cluster, &node, Command::new("ACL SETUSER").arg("bob").arg("off")).await;
    }
    let teacher = cluster.nodes()[0].clone();
    let new = cluster.add_node().await.unwrap();
    // Whom the new one knows by the same name, and by another.
    let older = Command::new("ACL SETUSER").arg("ann").args(["on", "nopass", "+@all", "~*"]);
    let _: Value = ask(&cluster, &new, older).await;
    let _: Value = ask(&cluster, &new, Command::new("ACL SETUSER").arg("own").arg("off")).await;

    let admin = Client::builder().url(&cluster.url()).admin().await.unwrap();
    let plan = admin.add_node(&new, AddAs::Primary).await.unwrap();
    assert!(!plan.to_string().contains("users"), "only on request: {plan}");
    let admin = admin.with(AdminOptions::new().copy_users(true));
    let plan = admin.add_node(&new, AddAs::Primary).await.unwrap();
    assert!(plan.to_string().contains("gets the users of"), "{plan}");
    let mut told = String::new();
    plan.run(|progress| told += &format!("{progress:?}")).await.unwrap();

    // Redis before 8 does not say of a new user what it says of one that was reset, means the same, and lists commands in
    // another order at each node.
    let list = async |node: &NodeAddr| -> Vec<String> {
        let lines: Vec<String> = ask(&cluster, node, Command::new("ACL LIST")).await;
        let in_order = |line: &String| {
            let mut words: Vec<&str> =
                line.split(' ').skip(2).map(|word| word.trim_matches(['(', ')'])).collect();
            words.retain(|word| *word != "sanitize-payload");
            words.sort_unstable();
            let name = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
            format!("{name} {}", words.join(" "))
        };
        lines.iter().map(in_order).collect()
    };
    let (wanted, has) = (list(&teacher).await, list(&new).await);
    assert_eq!(wanted.len(), 3);
    assert!(wanted.iter().all(|line| has.contains(line)), "{wanted:?} {has:?}");
    assert!(has.iter().any(|line| line.starts_with("user own ")) && has.len() == 4, "{has:?}");
    let login = Command::new("AUTH").arg("ann").arg("secret-word");
    let _: Value = ask(&cluster, &new, login).await;
    let hash = wanted.iter().find_map(|line| Some(line.split_once('#')?.1.get(..64)?.to_owned())).unwrap();
    for shown in [plan.to_string(), plan.to_json(), format!("{plan:?}"), told, format!("{admin:?}")] {
        assert!(!shown.contains(&hash) && !shown.contains("secret-word"), "{shown}");
    }
}

async fn a_new_node_has_the_users_of_the_others(server: Server) {
    users_are_copied(server, &["~a:*", "~b:*", "-@all", "+get", "+set"]).await;
}

async fn rights_with_selectors_are_copied_too(server: Server) {
    users_are_copied(server, &["%R~a:*", "&news:*", "-@all", "+get", "(~b:* +set +config|get)"]).await;
}

async fn connections_of_an_admin_take_new_credentials(server: Server) {
    let cluster = LocalCluster::builder().primaries(3).replicas(0).server(server).start().await.unwrap();
    for node in cluster.nodes() {
        for name in ["first", "second"] {
            let user = Command::new("ACL SETUSER").arg(name).args(["on", ">word", "+@all", "~*"]);
            let _: Value = ask(&cluster, &node, user).await;
        }
    }
    let credentials = RotatingCredentials::new(Credentials::new("first", "word"));
    let builder = Client::builder().url(&cluster.url()).credentials_provider(credentials.clone());
    let admin = builder.admin().await.unwrap();
    assert_eq!(admin.view().await.unwrap().nodes.len(), 3);
    let connected = async |user: &str| {
        let mut count = 0;
        for node in cluster.nodes() {
            let list: String = ask(&cluster, &node, Command::new("CLIENT LIST")).await;
            count += list.split_whitespace().filter(|word| *word == format!("user={user}")).count();
        }
        count
    };
    assert_eq!((connected("first").await, connected("second").await), (3, 0));
    credentials.rotate(Credentials::new("second", "word"));
    until("live connections have authenticated anew", async || {
        (connected("second").await == 3 && connected("first").await == 0).then_some(())
    })
    .await;
    assert_eq!(admin.view().await.unwrap().nodes.len(), 3);
    assert_eq!(connected("second").await, 3, "on the same connections");
}

/// Reads or writes a key in one of the databases.
async fn in_database(cluster: &LocalCluster, node: &NodeAddr, database: u8, key: &str, write: bool) -> Value {
    let script = "redis.call('SELECT', ARGV[1]) \
                  if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2]) end \
                  return redis.call('GET', KEYS[1])";
    let value = if write { format!("{key} in {database}") } else { String::new() };
    let command = Command::new("EVAL").arg(script).arg(1).arg(key).arg(database).arg(value);
    cluster.command(node, command).await.unwrap()
}

/// A node that holds none but in its second database (`DBSIZE` is of the first) is neither taken for empty nor let go.
async fn keys_in_another_database_are_keys(server: Server) {
    let cluster = LocalCluster::builder().primaries(3).replicas(0).server(server);
    let cluster = cluster.setting("cluster-databases", "16").start().await.unwrap();
    let nodes = cluster.nodes();
    let new = cluster.add_node().await.unwrap();
    let admin = Client::builder().url(&cluster.url()).admin().await.unwrap();
    admin.del_node(&new).await.unwrap().run(|_| {}).await.unwrap();
    let all_slots = |verb: &str| Command::new(format!("CLUSTER {verb}")).arg(0).arg(16383);
    drop(cluster.command(&new, all_slots("ADDSLOTSRANGE")).await.unwrap());
    until("it serves the slots", async || {
        let info: String = ask(&cluster, &new, Command::new("CLUSTER INFO")).await;
        info.contains("cluster_state:ok").then_some(())
    })
    .await;
    assert_eq!(in_database(&cluster, &new, 1, "k", true).await.as_str(), Some("k in 1"));
    drop(cluster.command(&new, all_slots("DELSLOTSRANGE")).await.unwrap());

    let joins = admin.add_node(&new, AddAs::Primary).await.unwrap_err();
    let made = admin.create(&[nodes[0].clone(), nodes[1].clone(), new.clone()], 0).await.unwrap_err();
    for error in [joins, made] {
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains("holds 1 keys"), "{error}");
    }
    let meet = Command::new("CLUSTER MEET").arg(nodes[0].host()).arg(nodes[0].port());
    drop(cluster.command(&new, meet).await.unwrap());
    until("it is a member", async || admin.view().await.unwrap().node_at(&new).map(drop)).await;
    let error = admin.del_node(&new).await.unwrap().run(|_| {}).await.unwrap_err();
    assert!(error.to_string().contains("holds 1 keys, which would be lost"), "{error}");
}

async fn a_move_in_one_moment_takes_all_databases(server: Server) {
    let cluster = LocalCluster::builder().primaries(3).replicas(0).server(server);
    let cluster = cluster.setting("cluster-databases", "32").start().await.unwrap();
    let (source, target) = (cluster.nodes()[0].clone(), cluster.nodes()[1].clone());
    let tags = &tag_of_each_slot()[..40];
    for (tag, database) in tags.iter().flat_map(|tag| [0, 20].map(|database| (tag, database))) {
        let written = in_database(&cluster, &source, database, tag, true).await;
        assert_eq!(written.as_str(), Some(format!("{tag} in {database}").as_str()), "{written:?}");
    }
    let slots: Slots = "0-39".parse().unwrap();
    let admin = Client::builder().url(&cluster.url()).admin().await.unwrap();

    // Key by key would leave those of database 20 behind.
    let by_key = admin.clone().with(AdminOptions::new().atomic(false));
    let error = by_key.move_slots(&slots, &target).await.unwrap().run(|_| {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("several databases"), "{error}");
    assert!(admin.check().await.unwrap().is_ok());

    admin.move_slots(&slots, &target).await.unwrap().run(|_| {}).await.unwrap();
    let report = admin.check().await.unwrap();
    assert!(report.is_ok(), "{report}");
    for (tag, database) in tags.iter().flat_map(|tag| [0, 20].map(|database| (tag, database))) {
        let read = in_database(&cluster, &target, database, tag, false).await;
        assert_eq!(read.as_str(), Some(format!("{tag} in {database}").as_str()), "{read:?}");
        assert!(matches!(in_database(&cluster, &source, database, tag, false).await, Value::Error(_)));
    }
    until("the source has deleted what has left", async || {
        let info: String = ask(&cluster, &source, Command::new("INFO").arg("keyspace")).await;
        (!info.contains("db20") && !info.contains("db0")).then_some(())
    })
    .await;
}

/// The states of the migrations that the node has begun, the newest last or first as the server lists them.
async fn states(cluster: &LocalCluster, node: &NodeAddr) -> Vec<String> {
    let command = Command::new("CLUSTER GETSLOTMIGRATIONS");
    let list: Vec<BTreeMap<String, Value>> = ask(cluster, node, command).await;
    list.iter().map(|fields| fields["state"].as_str().unwrap().to_owned()).collect()
}

fn is_under_way(state: &str) -> bool {
    !["success", "failed", "cancelled"].contains(&state)
}

async fn a_move_in_one_moment_is_cancelled_tried_again_and_waited_for(server: Server) {
    let cluster = LocalCluster::builder().primaries(3).replicas(0).server(server).start().await.unwrap();
    let (source, target) = (cluster.nodes()[0].clone(), cluster.nodes()[1].clone());
    let client = Client::connect(cluster.url()).await.unwrap();
    let tags = &tag_of_each_slot()[..100];
    for tag in tags {
        client.set(tag.as_str(), value_of(tag)).await.unwrap();
    }
    // A snapshot takes about two seconds.
    let slowly = async |microseconds: u32| {
        let slow = Command::new("CONFIG SET").arg("rdb-key-save-delay").arg(microseconds);
        let _: Value = ask(&cluster, &source, slow).await;
    };
    let begun = async || {
        until("a migration is under way", async || {
            states(&cluster, &source).await.iter().any(|state| is_under_way(state)).then_some(())
        })
        .await;
    };
    let owned = async |node: &NodeAddr| {
        let view = client.admin().view().await.unwrap();
        let mine = view.node_at(node).unwrap().myself.ranges();
        (0..100_u16)
            .filter(|slot| mine.iter().any(|range| (range.first.get()..=range.last.get()).contains(slot)))
            .count()
    };
    let slots: Slots = "0-99".parse().unwrap();
    slowly(20_000).await;

    // A stop cancels, and nothing has moved.
    let admin = client.admin();
    let plan = admin.move_slots(&slots, &target).await.unwrap();
    let stop = plan.stop_handle();
    let stopping = async {
        begun().await;
        stop.stop();
    };
    let (end, ()) = tokio::join!(plan.run(|_| {}), stopping);
    assert!(end.unwrap().stopped);
    assert_eq!(states(&cluster, &source).await, ["cancelled"]);
    assert_eq!((owned(&source).await, owned(&target).await), (100, 0));
    assert!(admin.check().await.unwrap().is_ok());

    // One that was dropped goes on by itself; who asks for the same waits for it.
    let plan = admin.move_slots(&slots, &target).await.unwrap();
    tokio::select! {
        ended = plan.run(|_| {}) => panic!("{ended:?}"),
        () = begun() => {}
    }
    admin.move_slots(&slots, &target).await.unwrap().run(|_| {}).await.unwrap();
    let mut ended = states(&cluster, &source).await;
    ended.sort_unstable();
    assert_eq!(ended, ["cancelled", "success"]);
    assert_eq!((owned(&source).await, owned(&target).await), (0, 100));

    // What somebody else cancels is tried again.
    let slow = Command::new("CONFIG SET").arg("rdb-key-save-delay").arg(20_000);
    let _: Value = ask(&cluster, &target, slow).await;
    let plan = admin.move_slots(&slots, &source).await.unwrap();
    let disturbing = async {
        until("a migration is under way", async || {
            states(&cluster, &target).await.iter().any(|state| is_under_way(state)).then_some(())
        })
        .await;
        let fast = Command::new("CONFIG SET").arg("rdb-key-save-delay").arg(0);
        let _: Value = ask(&cluster, &target, fast).await;
        let _: Value = ask(&cluster, &target, Command::new("CLUSTER CANCELSLOTMIGRATIONS")).await;
    };
    let (end, ()) = tokio::join!(plan.run(|_| {}), disturbing);
    assert!(!end.unwrap().stopped);
    assert_eq!((owned(&source).await, owned(&target).await), (100, 0));
    let report = admin.check().await.unwrap();
    assert!(report.is_ok(), "{report}");
    for tag in tags {
        assert_eq!(client.get::<Option<String>>(tag.as_str()).await.unwrap(), Some(value_of(tag)));
    }
}
