//! TLS on the one of the five servers that is built with it, Redis 7.0: what works without it works by it, and who must not be
//! let in, or let anybody in, is told why.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests report by panicking, in their helpers too, where clippy.toml does not allow it by itself"
)]

mod live_support;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use keyslot::testkit::{CertificateAuthority, Identity, LocalCluster, LocalServer, LocalTls, Server};
use keyslot::{
    Client, ClientBuilder, Command, Commands, Error, ErrorKind, NodeAddr, Outcome, PubSubEvent, ReadFrom,
    Slot, Target, TlsConfig, Value,
};
use live_support::until;
use tokio::task::JoinHandle;

async fn cluster(tls: LocalTls, replicas: usize) -> LocalCluster {
    let server = Server::named("redis-7.0").unwrap();
    LocalCluster::builder().replicas(replicas).server(server).tls(tls).start().await.unwrap()
}

fn builder(cluster: &LocalCluster) -> ClientBuilder {
    Client::builder().url(&cluster.url()).tls(cluster.tls().unwrap().config())
}

async fn client(cluster: &LocalCluster) -> Client {
    builder(cluster).connect().await.unwrap()
}

/// Writes and reads keys of all nodes until it is told to stop; each error ends it.
struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Result<u64, Error>>>,
}

impl Load {
    fn on(client: &Client) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..8).map(|task| {
            let (client, stop) = (client.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut done = 0;
                while !stop.load(Ordering::Relaxed) {
                    let keys: Vec<String> = (0..4).map(|key| format!("load:{task}:{key}")).collect();
                    for key in &keys {
                        client.set(key, done).await?;
                    }
                    let read: Vec<Option<u64>> = client.mget(&keys).await?;
                    assert_eq!(read, [Some(done); 4], "{keys:?}");
                    done += 1;
                }
                Ok(done)
            })
        });
        let tasks = tasks.collect();
        Self { stop, tasks }
    }

    /// No call may have failed, and each task has done something.
    async fn ends_well(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in join_all(self.tasks).await {
            assert!(task.unwrap().unwrap() > 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_speaks_tls_only_serves_as_any_other() {
    let cluster = cluster(LocalTls::new(), 1).await;
    assert!(cluster.url().starts_with("rediss://127.0.0.1:"));
    let client = client(&cluster).await;
    // More than sockets and rustls hold together: what is left over must leave without another command.
    let large = "x".repeat(24 << 20);
    client.set("large", &large).await.unwrap();
    assert_eq!(client.get::<String>("large").await.unwrap(), large);
    let mut pipe = client.pipeline();
    for n in 0..3000 {
        pipe.set(format!("key:{n}"), format!("{n}:{}", "y".repeat(2000)));
    }
    assert!(pipe.run_each().await.unwrap().into_iter().all(|reply| reply.is_ok()));
    let values: Vec<String> = client.mget((0..3000).map(|n| format!("key:{n}"))).await.unwrap();
    assert!(values.iter().enumerate().all(|(n, value)| value.starts_with(&format!("{n}:"))));

    let mut subscriber = client.subscriber();
    subscriber.ssubscribe("news").await.unwrap();
    client.spublish("news", "hello").await.unwrap();
    let message = until("the message", async || match subscriber.next().await.unwrap() {
        PubSubEvent::Message(message) => Some(message),
        _another => None,
    });
    assert_eq!(message.await.payload, "hello");

    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.blpop::<(String, String)>(["list"], 10.0).await }
    });
    until("a blocked client", async || {
        let info = Command::new("INFO").arg("clients").to(Target::AllPrimaries);
        let told = client.execute_each::<String>(info).await.ok()?;
        told.into_iter()
            .any(|(_, info)| info.is_ok_and(|info| info.contains("blocked_clients:1")))
            .then_some(())
    })
    .await;
    client.rpush("list", ["element"]).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), ("list".to_owned(), "element".to_owned()));

    let reader = builder(&cluster).read_from(ReadFrom::PreferReplica).connect().await.unwrap();
    assert_eq!(reader.get::<String>("key:7").await.unwrap().split(':').next(), Some("7"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_are_followed_by_tls_and_a_failover_too() {
    let cluster = cluster(LocalTls::new(), 1).await;
    let client = client(&cluster).await;
    let load = Load::on(&client);
    let slot = Slot::of_key(b"load:0:0");
    let from = cluster.primary_of(slot).await.unwrap();
    let map = client.slot_map();
    let to = map.shards().map(|shard| shard.primary().addr.clone()).find(|node| *node != from).unwrap();
    cluster.move_slot(slot, &from, &to).await.unwrap();
    // Half of a move: what is not here any more is there, by ASK.
    let (other, key) = (Slot::of_key(b"{other}"), |n: usize| format!("{{other}}:{n}"));
    for n in 0..20 {
        client.set(key(n), n).await.unwrap();
    }
    let owner = cluster.primary_of(other).await.unwrap();
    let target = if owner == to { &from } else { &to };
    cluster.open_slot(other, &owner, target).await.unwrap();
    cluster.migrate_keys(other, &owner, target, 10).await.unwrap();
    for n in 0..20 {
        assert_eq!(client.get::<usize>(key(n)).await.unwrap(), n);
    }
    assert!(client.stats().asked > 0 && client.stats().moved > 0, "{:?}", client.stats());
    cluster.migrate_keys(other, &owner, target, usize::MAX).await.unwrap();
    cluster.close_slot(other, &owner, target).await.unwrap();
    load.ends_well().await;

    client.set("left", "1").await.unwrap();
    let primary = cluster.primary_of(Slot::of_key(b"left")).await.unwrap();
    client.set("left", "2").await.unwrap();
    cluster.kill(&primary).unwrap();
    let reply = client.set("left", "3").timeout(Duration::from_secs(20)).await;
    reply.unwrap();
    assert_eq!(client.get::<String>("left").await.unwrap(), "3");
}

async fn refused(builder: ClientBuilder) -> Error {
    let error = builder.connect_timeout(Duration::from_secs(5)).connect().await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Connect, Outcome::NotSent), "{error}");
    error
}

#[track_caller]
fn assert_says(error: &Error, node: &NodeAddr, words: &[&str]) {
    let text = error.to_string();
    assert!(text.contains(&node.to_string()), "{node} is missing: {text}");
    for word in words {
        assert!(text.contains(word), "\"{word}\" is missing: {text}");
    }
}

/// Puts another certificate in place on every node; connections that are made from now on meet it.
async fn show(cluster: &LocalCluster, identity: &Identity) {
    let folder = cluster.tls().unwrap().folder();
    fs::write(folder.join("server.pem"), &identity.certificate).unwrap();
    fs::write(folder.join("server.key"), &identity.key).unwrap();
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    for node in cluster.nodes() {
        let set = Command::new("CONFIG SET")
            .arg("tls-key-file")
            .arg(file("server.key"))
            .arg("tls-cert-file")
            .arg(file("server.pem"));
        let reply = cluster.command(&node, set).await.unwrap();
        assert_eq!(reply, Value::Simple("OK".into()), "{}", cluster.log_tail(&node));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_must_not_be_trusted_is_not_and_the_error_says_why() {
    let cluster = cluster(LocalTls::new(), 0).await;
    let tls = cluster.tls().unwrap();
    let node = cluster.nodes().remove(0);
    let seed = || Client::builder().url(&format!("rediss://{node}"));

    let stranger = CertificateAuthority::new("a stranger").unwrap();
    let error = refused(seed().tls(TlsConfig::new().roots_pem(stranger.root()))).await;
    assert_says(
        &error,
        &node,
        &["issued by nobody who is trusted", "TlsConfig::roots_file", "UnknownIssuer"],
    );

    // The system's roots: none of them has made this certificate. A system without any says so.
    let error = Client::connect(format!("rediss://{node}")).await.unwrap_err();
    assert!(
        error.to_string().contains("issued by nobody who is trusted")
            || error.to_string().contains("the system has no trusted roots"),
        "{error}"
    );

    let error = refused(seed().tls(tls.config().server_name("redis.example.com"))).await;
    assert_says(
        &error,
        &node,
        &["is for another name", "redis.example.com", "localhost", "TlsConfig::server_name"],
    );

    let error = refused(seed().tls(tls.anonymous())).await;
    assert_says(&error, &node, &["demands a certificate of the client", "TlsConfig::identity_files"]);

    let imposter = stranger.issue(["client"]).unwrap();
    let error = refused(seed().tls(tls.anonymous().identity_pem(imposter.certificate, imposter.key))).await;
    assert_says(&error, &node, &["refuses the certificate of this client"]);

    let error = refused(Client::builder().seed(node.clone())).await;
    assert_says(&error, &node, &["rediss://"]);

    // By its IP address, and by its name, it is the one.
    for server_name in ["127.0.0.1", "localhost"] {
        let client = seed().tls(tls.config().server_name(server_name)).connect().await.unwrap();
        client.set("key", server_name).await.unwrap();
    }
    let by_name = Client::builder().url(&format!("rediss://localhost:{}", node.port())).tls(tls.config());
    by_name.connect().await.unwrap().set("key", 1).await.unwrap();

    // Only by the long word.
    let careless = TlsConfig::new().danger_accept_invalid_certificates();
    let error = refused(seed().tls(careless.clone())).await;
    assert_says(&error, &node, &["demands a certificate of the client"]);
    let identity = tls.authority().issue(["client"]).unwrap();
    let client =
        seed().tls(careless.identity_pem(identity.certificate, identity.key)).connect().await.unwrap();
    client.set("key", "value").await.unwrap();

    show(&cluster, &tls.authority().issue_expired(["127.0.0.1"]).unwrap()).await;
    let error = refused(seed().tls(tls.config())).await;
    assert_says(&error, &node, &["has expired", "renew it"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_known_by_its_answer_or_its_silence() {
    let server = LocalServer::start(Server::named("redis-7.0").unwrap()).await.unwrap();
    let authority = CertificateAuthority::new("anybody").unwrap();
    let builder =
        Client::builder().seed(server.node().clone()).tls(TlsConfig::new().roots_pem(authority.root()));
    let error = builder.connect_timeout(Duration::from_millis(500)).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    let text = error.to_string();
    // It waits for the end of a line; the hello has one by chance.
    assert!(
        text.contains("is it a port without TLS")
            || text.contains("a port without TLS may be silent like this"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_ports_each_client_takes_that_of_its_kind() {
    let cluster = cluster(LocalTls::new().with_plain_port(), 1).await;
    let encrypted = client(&cluster).await;
    let nodes = cluster.nodes();
    let plain: Vec<NodeAddr> = nodes.iter().map(|node| cluster.other_port_of(node).unwrap()).collect();
    let open = Client::builder().seed(plain.first().unwrap().clone()).connect().await.unwrap();
    for (client, own) in [(&encrypted, &nodes), (&open, &plain)] {
        let map = client.slot_map();
        assert_eq!(map.nodes().len(), 6);
        for node in map.nodes() {
            assert!(own.contains(&node.addr), "{} is none of {own:?}", node.addr);
        }
    }
    // A redirect names the port of the kind, too.
    let slot = Slot::of_key(b"moving");
    let from = cluster.primary_of(slot).await.unwrap();
    let to = nodes.iter().take(3).find(|node| **node != from).unwrap();
    encrypted.set("moving", 1).await.unwrap();
    open.incr("moving").await.unwrap();
    cluster.move_slot(slot, &from, to).await.unwrap();
    assert_eq!(encrypted.incr("moving").await.unwrap(), 3);
    assert_eq!(open.incr("moving").await.unwrap(), 4);
    assert!(encrypted.slot_map().primary_of(slot).unwrap().addr == *to);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_ports_that_a_tls_client_is_told_are_mapped_or_the_error_says_what_they_are() {
    let cluster = cluster(LocalTls::new().plain_ports_told(), 0).await;
    let tls = cluster.tls().unwrap();
    let pairs: Vec<(NodeAddr, NodeAddr)> = cluster
        .nodes()
        .into_iter()
        .map(|node| (node.clone(), cluster.other_port_of(&node).unwrap()))
        .collect();
    let seed = pairs.first().unwrap().1.clone();
    let builder = || Client::builder().seed(seed.clone()).tls(tls.config());

    let lost = builder().connect_timeout(Duration::from_millis(500)).connect().await.unwrap();
    let error = lost.set("key", "value").timeout(Duration::from_secs(2)).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("tls-cluster no") || text.contains("a port without TLS may be silent"), "{text}");

    let client = builder()
        .address_map(move |node| {
            let pair = pairs.iter().find(|(plain, _)| plain == node);
            pair.map_or_else(|| node.clone(), |(_, encrypted)| encrypted.clone())
        })
        .connect()
        .await
        .unwrap();
    for n in 0..100 {
        client.set(format!("key:{n}"), n).await.unwrap();
    }
    assert_eq!(client.dbsize().await.unwrap(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_changed_under_load_and_no_call_notices() {
    let cluster = cluster(LocalTls::new(), 0).await;
    let tls = cluster.tls().unwrap();
    let client = client(&cluster).await;
    let load = Load::on(&client);

    // First trust both, then show the new, then forget the old: as it is done with any clients.
    let next = CertificateAuthority::new("the next").unwrap();
    let identity = tls.authority().issue(["client"]).unwrap();
    let both = TlsConfig::new()
        .roots_pem(tls.authority().root())
        .roots_pem(next.root())
        .identity_pem(&identity.certificate, &identity.key);
    client.reload_tls(both).await.unwrap();
    show(&cluster, &next.issue(["127.0.0.1", "localhost"]).unwrap()).await;
    let new_only =
        || TlsConfig::new().roots_pem(next.root()).identity_pem(&identity.certificate, &identity.key);
    client.reload_tls(new_only()).await.unwrap();

    // Live ones went on; new ones are made with the new roots alone.
    let connects = client.stats().connects;
    assert_eq!(client.stats().disconnects, 0);
    client.lpush("list", ["element"]).await.unwrap();
    assert_eq!(client.blpop::<(String, String)>(["list"], 5.0).await.unwrap().1, "element");
    assert!(client.stats().connects > connects, "a blocking command has a connection of its own");
    load.ends_well().await;
    assert_eq!(client.stats().disconnects, 0);

    // What cannot be read changes nothing.
    let error = client.reload_tls(TlsConfig::new().roots_file("/no/such/file")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("/no/such/file cannot be read"), "{error}");
    for node in cluster.nodes() {
        let id: i64 = client.execute(Command::new("CLIENT ID").to(Target::Node(node.clone()))).await.unwrap();
        let kill = Command::new("CLIENT KILL").arg("ID").arg(id).to(Target::Node(node));
        let _killed_itself = client.execute::<Value>(kill).await;
    }
    client.set("key", "value").await.unwrap();
    let former = Client::builder().url(&cluster.url()).tls(tls.config());
    assert_says(
        &refused(former).await,
        cluster.nodes().first().unwrap(),
        &["issued by nobody who is trusted"],
    );
}
