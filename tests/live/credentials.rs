//! Users, passwords and tokens on real servers of every version: rotation on live connections, what a user must be allowed at
//! least, what is said when one is refused, and that nothing a caller says is ever a command or a secret in the open.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::live_support::{check_each, connections_named, on_every_server, until};
use futures::future::{BoxFuture, join_all};
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{
    Client, ClientBuilder, Command, Commands, Credentials, CredentialsError, CredentialsProvider, ErrorKind,
    NodeAddr, Outcome, PubSubEvent, ReadFrom, RotatingCredentials, Target, Value,
};

on_every_server! {
    all: credentials ;
    since_7_0: ;
    valkey_9_1: ;
}

async fn credentials(server: Server) {
    let cluster =
        LocalCluster::builder().replicas(1).password("of-the-kit").server(server).start().await.unwrap();
    check_each! { Arc::new(cluster);
        live_connections_become_another_user_and_no_call_notices
        a_token_is_renewed_before_its_time_is_over
        a_refused_rotation_is_told_and_the_connection_is_kept
        a_provider_that_fails_is_named_in_the_error
        a_user_needs_cluster_slots_and_the_commands_it_sends
        what_a_caller_says_is_never_a_command
        no_secret_is_shown
    }
}

/// On every node: users are each node's own affair.
async fn acl(cluster: &LocalCluster, words: &[&str]) {
    for node in cluster.nodes() {
        let reply = cluster.command(&node, Command::new("ACL").args(words)).await.unwrap();
        assert!(matches!(reply, Value::Simple(_) | Value::Int(_)), "{words:?}: {reply:?}");
    }
}

fn builder(cluster: &LocalCluster) -> ClientBuilder {
    Client::builder().seeds(cluster.nodes().iter().map(ToString::to_string))
}

async fn who_am_i(client: &Client, node: &NodeAddr) -> String {
    client.execute(Command::new("ACL WHOAMI").to(Target::Node(node.clone()))).await.unwrap()
}

async fn live_connections_become_another_user_and_no_call_notices(cluster: Arc<LocalCluster>) {
    acl(&cluster, &["SETUSER", "first", "on", ">one", "~*", "&*", "+@all"]).await;
    acl(&cluster, &["SETUSER", "second", "on", ">two", "~*", "&*", "+@all"]).await;
    let credentials = RotatingCredentials::new(Credentials::new("first", "one"));
    let client = builder(&cluster)
        .credentials_provider(credentials.clone())
        .client_name("rotating")
        .read_from(ReadFrom::PreferReplica)
        .connect()
        .await
        .unwrap();
    let mut subscriber = client.subscriber();
    subscriber.subscribe("news").await.unwrap();
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load = (0..8).map(|task| {
        let (client, stop, done) = (client.clone(), Arc::clone(&stop), Arc::clone(&done));
        tokio::spawn(async move {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                let key = format!("rotating:{task}:{}", number % 7);
                assert_eq!(
                    client.execute::<String>(Command::new("GETSET").key(&key).arg(number)).await.is_ok(),
                    { number >= 7 }
                );
                let list = format!("rotating:list:{task}");
                client.rpush(&list, [number]).await.unwrap();
                // On a connection of its own.
                assert_eq!(client.blpop::<(String, i64)>([&list], 5.0).await.unwrap(), (list, number));
                assert!(client.exists([&key]).await.unwrap() <= 1);
                number += 1;
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let load: Vec<_> = load.collect();
    until("some load", async || (done.load(Ordering::Relaxed) > 100).then_some(())).await;

    credentials.rotate(Credentials::new("second", "two"));
    // Every connection of the client, those of blocking commands, replica reads and subscriptions too.
    until("all connections to be of the second user", async || {
        for node in cluster.nodes() {
            let list = cluster.command(&node, Command::new("CLIENT LIST")).await.ok()?;
            let list = list.as_str()?.to_owned();
            let mut ours = list.lines().filter(|line| line.contains("name=rotating"));
            if !ours.all(|line| line.contains("user=second")) {
                return None;
            }
        }
        Some(())
    })
    .await;
    let before = done.load(Ordering::Relaxed);
    // Whoever still were the first user would be cut off.
    acl(&cluster, &["DELUSER", "first"]).await;
    until("more load", async || (done.load(Ordering::Relaxed) > before + 100).then_some(())).await;
    stop.store(true, Ordering::Relaxed);
    join_all(load).await.into_iter().for_each(|ended| ended.unwrap());
    let stats = client.stats();
    assert_eq!((stats.disconnects, stats.logins_refused), (0, 0), "{stats:?}");
    assert!(stats.logins_renewed >= 3, "{stats:?}");
    client.publish("news", "still here").await.unwrap();
    match subscriber.next().await.unwrap() {
        PubSubEvent::Message(message) => assert_eq!(message.payload, "still here"),
        other => panic!("{other:?}"),
    }
    drop((client, subscriber));
    until("the end of all connections", async || {
        (connections_named(&cluster, "rotating").await == 0).then_some(())
    })
    .await;
}

/// Tokens that are good for a while, numbered.
#[derive(Debug, Default)]
struct Tokens {
    given: AtomicU64,
    refusals: Mutex<Vec<(NodeAddr, String)>>,
}

#[derive(Clone, Debug)]
struct TokenProvider(Arc<Tokens>);

impl CredentialsProvider for TokenProvider {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials, CredentialsError>> {
        self.0.given.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(Credentials::new("tokens", "good").valid_for(Duration::from_millis(1500))) })
    }
}

async fn a_token_is_renewed_before_its_time_is_over(cluster: Arc<LocalCluster>) {
    acl(&cluster, &["SETUSER", "tokens", "on", ">good", "~*", "&*", "+@all"]).await;
    let tokens = Arc::new(Tokens::default());
    let provider = TokenProvider(Arc::clone(&tokens));
    let client = builder(&cluster).credentials_provider(provider).connect().await.unwrap();
    client.mset([("a", 1), ("b", 2), ("c", 3)]).await.unwrap();
    let (asked, connects) = (tokens.given.load(Ordering::Relaxed), client.stats().connects);
    // Seeds are asked side by side: one of them may still be in its greeting.
    assert!(asked >= connects, "asked for each connection: {asked} {connects}");
    let links = connects;
    until("two renewals of each link", async || (client.stats().logins_renewed >= 2 * links).then_some(()))
        .await;
    let stats = client.stats();
    assert_eq!((stats.disconnects, stats.logins_refused), (0, 0), "{stats:?}");
    let given = tokens.given.load(Ordering::Relaxed);
    assert!(given - stats.connects < stats.logins_renewed, "one question renews all: {given} {stats:?}");
}

#[derive(Debug)]
struct Fickle {
    password: RotatingCredentials,
    tokens: Arc<Tokens>,
}

impl CredentialsProvider for Fickle {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials, CredentialsError>> {
        self.password.credentials()
    }

    fn rotations(&self) -> futures::stream::BoxStream<'static, ()> {
        self.password.rotations()
    }

    fn refused(&self, node: &NodeAddr, reply: &str) {
        self.tokens.refusals.lock().unwrap().push((node.clone(), reply.to_owned()));
    }
}

async fn a_refused_rotation_is_told_and_the_connection_is_kept(cluster: Arc<LocalCluster>) {
    acl(&cluster, &["SETUSER", "fickle", "on", ">right", "~*", "&*", "+@all"]).await;
    let password = RotatingCredentials::new(Credentials::new("fickle", "right"));
    let tokens = Arc::new(Tokens::default());
    let provider = Fickle { password: password.clone(), tokens: Arc::clone(&tokens) };
    let client = builder(&cluster).credentials_provider(provider).connect().await.unwrap();
    let mut subscriber = client.subscriber();
    subscriber.subscribe("fickle").await.unwrap();
    client.set("key", "value").await.unwrap();
    password.rotate(Credentials::new("fickle", "wrong-secret"));
    until("a refusal of link and subscriber", async || (client.stats().logins_refused >= 2).then_some(()))
        .await;
    let (node, reply) = tokens.refusals.lock().unwrap().first().cloned().unwrap();
    assert!(cluster.nodes().contains(&node));
    assert!(reply.starts_with("WRONGPASS") && !reply.contains("wrong-secret"), "{reply}");
    assert_eq!(client.get::<String>("key").await.unwrap(), "value");
    assert_eq!(client.stats().disconnects, 0);
    // What the servers do not know yet they may know a little later: it is tried again by itself.
    acl(&cluster, &["SETUSER", "fickle", ">wrong-secret"]).await;
    until("a renewal", async || (client.stats().logins_renewed >= 2).then_some(())).await;
    client.publish("fickle", "on").await.unwrap();
    match subscriber.next().await.unwrap() {
        PubSubEvent::Message(message) => assert_eq!(message.payload, "on"),
        other => panic!("{other:?}"),
    }
    assert_eq!(client.stats().disconnects, 0);
}

#[derive(Debug)]
struct Failing;

impl CredentialsProvider for Failing {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials, CredentialsError>> {
        Box::pin(async { Err("the vault is sealed".into()) })
    }
}

#[derive(Debug)]
struct Silent;

impl CredentialsProvider for Silent {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials, CredentialsError>> {
        Box::pin(std::future::pending())
    }
}

async fn a_provider_that_fails_is_named_in_the_error(cluster: Arc<LocalCluster>) {
    let error = builder(&cluster).credentials_provider(Failing).connect().await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Auth, Outcome::NotSent));
    assert!(error.to_string().contains("the credentials provider failed: the vault is sealed"), "{error}");
    let builder = builder(&cluster).connect_timeout(Duration::from_millis(200));
    let error = builder.credentials_provider(Silent).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(error.to_string().contains("the credentials provider failed: no answer within 200ms"), "{error}");
}

async fn a_user_needs_cluster_slots_and_the_commands_it_sends(cluster: Arc<LocalCluster>) {
    let connect = async |words: &[&str]| {
        let basis = ["SETUSER", "limited", "reset", "on", ">pw", "~*", "-@all"];
        acl(&cluster, &[&basis, words].concat()).await;
        builder(&cluster).credentials("limited", "pw").client_name("limited").connect().await
    };
    let client = connect(&["+cluster|slots", "+get", "+set"]).await.unwrap();
    for n in 0..20 {
        client.set(format!("limited:{n}"), n).await.unwrap();
        assert_eq!(client.get::<i64>(format!("limited:{n}")).await.unwrap(), n);
    }
    let error = client.incr("limited:1").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome(), error.code()),
        (ErrorKind::Auth, Outcome::Rejected, Some("NOPERM"))
    );
    assert_eq!((error.command(), error.attempts()), (Some("INCR"), 1));
    assert!(error.node().is_some());

    // Reads at replicas need READONLY; where that is refused the primary answers.
    let reader = builder(&cluster).credentials("limited", "pw").read_from(ReadFrom::PreferReplica);
    assert_eq!(reader.connect().await.unwrap().get::<i64>("limited:7").await.unwrap(), 7);
    let reader = builder(&cluster).credentials("limited", "pw").read_from(ReadFrom::Replica);
    let reader = reader.command_timeout(Duration::from_millis(300)).connect().await.unwrap();
    let error = reader.get::<i64>("limited:7").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Auth, Outcome::NotSent), "{error}");
    assert!(error.to_string().contains("readonly"), "{error}");

    let error = connect(&["+get", "+set"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    let text = error.to_string();
    assert!(text.contains("CLUSTER SLOTS was answered with: NOPERM"), "{text}");
    assert!(text.ends_with("(an ACL user needs +cluster|slots on every node)"), "{text}");
}

async fn what_a_caller_says_is_never_a_command(cluster: Arc<LocalCluster>) {
    let evil = "x\r\nSET injected 1\r\n*3\r\n$3\r\nSET\r\n$8\r\ninjected\r\n$1\r\n1\r\n";
    let client = builder(&cluster).password("of-the-kit").connect().await.unwrap();
    client.set(evil, evil).await.unwrap();
    assert_eq!(client.get::<String>(evil).await.unwrap(), evil);
    client.hset(format!("hash {evil}"), [(evil, evil)]).await.unwrap();
    assert_eq!(client.publish(evil, evil).await.unwrap(), 0);
    let error = client.execute::<Value>(Command::new(evil).arg(evil)).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Rejected);
    let mut subscriber = client.subscriber();
    subscriber.subscribe(evil).await.unwrap();
    client.publish(evil, "to it").await.unwrap();
    match subscriber.next().await.unwrap() {
        PubSubEvent::Message(message) => assert_eq!(message.channel, evil),
        other => panic!("{other:?}"),
    }
    for credentials in [Credentials::new(evil, evil), Credentials::password(evil)] {
        let provider = RotatingCredentials::new(credentials);
        let error = builder(&cluster).credentials_provider(provider).connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
    }
    let error = builder(&cluster).client_name(evil).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(!error.to_string().contains('\n'), "{error}");
    let encoded = "x%0d%0aSET%20injected%201%0d%0a";
    let node = cluster.nodes().remove(0);
    for (url, kind) in [
        (format!("redis://{encoded}:{encoded}@{node}"), ErrorKind::Auth),
        (format!("redis://:of-the-kit@{node}?client_name={encoded}"), ErrorKind::Config),
        (format!("redis://:of-the-kit@{node}?{encoded}={encoded}"), ErrorKind::Config),
        (format!("redis://:of-the-kit@{node}/{encoded}"), ErrorKind::Config),
    ] {
        assert_eq!(Client::connect(&url).await.unwrap_err().kind(), kind, "{url}");
    }
    assert_eq!(client.exists(["injected"]).await.unwrap(), 0);
}

async fn no_secret_is_shown(cluster: Arc<LocalCluster>) {
    let secret = "the-secret";
    let mut shown = Vec::new();
    for user in ["default", "the-secret-user"] {
        let credentials = Credentials::new(user, secret).valid_for(Duration::from_secs(1));
        let provider = RotatingCredentials::new(credentials.clone());
        shown.push(format!("{credentials:?} {provider:?}"));
        for builder in [
            builder(&cluster).credentials(user, secret),
            builder(&cluster).credentials_provider(provider),
            Client::builder().url(&format!("redis://{user}:{secret}@{}", cluster.nodes().remove(0))),
        ] {
            shown.push(format!("{builder:?}"));
            let error = builder.connect().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Auth);
            shown.push(format!("{error} {error:?} {:?}", std::error::Error::source(&error)));
        }
    }
    acl(&cluster, &["SETUSER", "shown", "on", ">the-secret", "~*", "&*", "+@all"]).await;
    let client = builder(&cluster).credentials("shown", secret).connect().await.unwrap();
    client.set("key", "value").await.unwrap();
    let node = cluster.nodes().remove(0);
    assert_eq!(who_am_i(&client, &node).await, "shown");
    let auth = Command::new("AUTH").arg("shown").arg("the-secret-that-is-wrong");
    shown.push(format!("{auth:?}"));
    let refused = client.execute::<Value>(auth).await.unwrap_err();
    shown.push(format!("{refused} {refused:?}"));
    let config = Command::new("CONFIG SET").arg("no-such-setting").arg(secret);
    let refused = client.execute::<Value>(config).await.unwrap_err();
    shown.push(format!("{refused} {refused:?}"));
    let session = client.session("key").await.unwrap();
    let mut pipe = client.pipeline();
    pipe.push(Command::new("AUTH").arg(secret));
    shown.push(format!("{client:?} {session:?} {pipe:?} {:?} {:?}", client.subscriber(), client.stats()));
    shown.push(format!("{:?} {:?}", client.slot_map(), *cluster));
    for text in shown {
        assert!(!text.contains(secret), "{text}");
    }
}
