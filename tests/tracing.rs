//! Spans and events of the feature `tracing`, collected by a subscriber of the test: the names of the conventions, within
//! each other as they should be, and no secret in any of them.

#![expect(
    clippy::unwrap_used,
    reason = "tests report by panicking, in their helpers too, where clippy.toml does not allow it by itself"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use keyslot::testkit::sim::{Fault, FaultKind, SimCluster};
use keyslot::{Client, Command, Commands, Credentials, NodeAddr, RotatingCredentials, Slot};
use tokio::time::sleep;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

type Fields = BTreeMap<String, String>;

/// A span that has ended, or an event.
#[derive(Clone, Debug)]
struct Told {
    /// Of a span its name, of an event its message.
    name: String,
    level: tracing::Level,
    fields: Fields,
    /// The operation of the span around it.
    within: Option<String>,
    is_span: bool,
}

impl Told {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Told>>>);

struct Reader<'a>(&'a mut Fields);

impl Visit for Reader<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl Collector {
    fn install(&self) -> DefaultGuard {
        tracing::subscriber::set_default(tracing_subscriber::registry().with(self.clone()))
    }

    fn told(&self) -> Vec<Told> {
        self.0.lock().unwrap().clone()
    }

    fn spans(&self) -> Vec<Told> {
        self.told().into_iter().filter(|told| told.is_span).collect()
    }

    fn events(&self, message: &str) -> Vec<Told> {
        self.told().into_iter().filter(|told| !told.is_span && told.name == message).collect()
    }

    fn forget(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Collector {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::new();
        attributes.record(&mut Reader(&mut fields));
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        values.record(&mut Reader(span.extensions_mut().get_mut::<Fields>().unwrap()));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::new();
        event.record(&mut Reader(&mut fields));
        if event.metadata().target() != "keyslot" {
            return;
        }
        let within = context.lookup_current().and_then(|span| {
            span.extensions().get::<Fields>().and_then(|fields| fields.get("db.operation.name").cloned())
        });
        let name = fields.remove("message").unwrap_or_default();
        let level = *event.metadata().level();
        self.0.lock().unwrap().push(Told { name, level, fields, within, is_span: false });
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        if span.metadata().target() != "keyslot" {
            return;
        }
        let fields = span.extensions().get::<Fields>().unwrap().clone();
        let (name, level) = (span.name().to_owned(), *span.metadata().level());
        self.0.lock().unwrap().push(Told { name, level, fields, within: None, is_span: true });
    }
}

fn three() -> SimCluster {
    SimCluster::builder().start_in_memory().unwrap()
}

async fn connect(cluster: &SimCluster) -> Client {
    Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await.unwrap()
}

fn slot(key: &str) -> Slot {
    Slot::of_key(key.as_bytes())
}

fn owner(cluster: &SimCluster, key: &str) -> NodeAddr {
    cluster.primary_of(slot(key)).unwrap()
}

fn another(cluster: &SimCluster, key: &str) -> NodeAddr {
    let owner = owner(cluster, key);
    Slot::all().find_map(|slot| cluster.primary_of(slot).filter(|other| *other != owner)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_command_has_one_span_with_the_names_of_the_conventions() {
    let collector = Collector::default();
    let _installed = collector.install();
    let cluster = three();
    let client = connect(&cluster).await;
    assert_eq!(collector.spans().len(), 0, "what the client asks for itself has none");
    client.set("k", "1").await.unwrap();
    let spans = collector.spans();
    assert_eq!((spans.len(), spans[0].name.as_str(), spans[0].level), (1, "command", tracing::Level::INFO));
    let node = owner(&cluster, "k");
    let (port, number) = (node.port().to_string(), slot("k").get().to_string());
    let wanted: Fields = [
        ("otel.name", "SET"),
        ("otel.kind", "client"),
        ("db.system.name", "redis"),
        ("db.namespace", "0"),
        ("db.operation.name", "SET"),
        ("keyslot.slot", &number),
        ("server.address", node.host()),
        ("server.port", &port),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    assert_eq!(spans[0].fields, wanted);
    // Several at once: each its own.
    collector.forget();
    join_all((0..10).map(|number| client.get::<Option<String>>(format!("k{number}")))).await;
    assert_eq!(collector.spans().iter().filter(|span| span.field("otel.name") == Some("GET")).count(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_told_by_its_class_its_code_and_its_outcome() {
    let collector = Collector::default();
    let _installed = collector.install();
    let cluster = three();
    let client = connect(&cluster).await;
    client.set("k", "text").await.unwrap();
    let cases = [
        (None, "ERR", Some("ERR"), "rejected"),
        (Some(FaultKind::Error("OOM no".to_owned())), "OOM", Some("OOM"), "rejected"),
        (Some(FaultKind::Error("hunter2 no".to_owned())), "_OTHER", Some("_OTHER"), "rejected"),
        (Some(FaultKind::CloseAfter), "connection_lost", None, "maybe_executed"),
        (Some(FaultKind::Silence), "timeout", None, "maybe_executed"),
    ];
    for (fault, class, code, outcome) in cases {
        collector.forget();
        if let Some(kind) = fault {
            cluster.inject(Fault::new(kind).command("INCR").times(1));
        }
        client.incr("k").await.unwrap_err();
        let span = collector.spans().remove(0);
        assert_eq!(
            (span.field("error.type"), span.field("db.response.status_code"), span.field("keyslot.outcome")),
            (Some(class), code, Some(outcome))
        );
        assert_eq!(span.field("otel.status_code"), Some("ERROR"));
        assert_eq!(span.field("keyslot.attempts"), Some("1"));
    }
}

#[tokio::test(start_paused = true)]
async fn pipelines_transactions_and_sessions_are_one_span_each() {
    let collector = Collector::default();
    let _installed = collector.install();
    let cluster = three();
    let client = connect(&cluster).await;
    let mut pipeline = client.pipeline();
    pipeline.get("a").get("b").get("c");
    pipeline.run_each().await.unwrap();
    pipeline.set("a", "1");
    pipeline.run_each().await.unwrap();
    let mut transaction = client.transaction();
    transaction.incr("n").incr("n");
    transaction.run::<(i64, i64)>().await.unwrap();
    let mut session = client.session("n").await.unwrap();
    session.watch(["n"]).await.unwrap();
    let mut transfer = session.transaction();
    transfer.set("n", "1");
    transfer.run::<((),)>().await.unwrap();
    client.mget::<Vec<Option<String>>>(["a", "b", "c"]).await.unwrap();
    client.execute_each::<String>(Command::new("PING").to(keyslot::Target::AllPrimaries)).await.unwrap();
    let spans = collector.spans();
    let names: Vec<_> = spans
        .iter()
        .map(|span| {
            (span.name.as_str(), span.field("otel.name").unwrap(), span.field("db.operation.batch.size"))
        })
        .collect();
    assert_eq!(
        names,
        [
            ("batch", "PIPELINE GET", Some("3")),
            ("batch", "PIPELINE", Some("4")),
            ("batch", "MULTI INCR", Some("2")),
            ("command", "WATCH", None),
            ("batch", "MULTI", Some("2")),
            ("command", "MGET", None),
            ("command", "PING", None),
        ]
    );
    // The first error of a pipeline is that of its span.
    collector.forget();
    let mut pipeline = client.pipeline();
    pipeline.get("a").lpush("a", ["x"]);
    pipeline.run_each().await.unwrap();
    assert_eq!(collector.spans()[0].field("error.type"), Some("WRONGTYPE"));
}

#[tokio::test(start_paused = true)]
async fn redirects_and_retries_are_events_within_the_span_and_the_span_has_the_last_node() {
    let collector = Collector::default();
    let _installed = collector.install();
    let cluster = three();
    let client = connect(&cluster).await;
    client.set("k", "1").await.unwrap();
    let (from, to) = (owner(&cluster, "k"), another(&cluster, "k"));
    cluster.move_slot(slot("k"), &to).unwrap();
    collector.forget();
    client.get::<String>("k").await.unwrap();
    let redirect = collector.events("redirected").remove(0);
    assert_eq!(redirect.within.as_deref(), Some("GET"));
    assert_eq!(
        (redirect.field("db.response.status_code"), redirect.field("keyslot.to")),
        (Some("MOVED"), Some(to.to_string().as_str()))
    );
    assert_eq!(redirect.field("server.port"), Some(from.port().to_string().as_str()));
    assert_eq!(collector.spans()[0].field("server.port"), Some(to.port().to_string().as_str()));
    assert_eq!(collector.events("topology changed").len(), 1);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(collector.events("topology refresh")[0].field("keyslot.cause"), Some("moved"));

    collector.forget();
    cluster.inject(Fault::new(FaultKind::Error("CLUSTERDOWN no".to_owned())).command("INCR").times(2));
    client.incr("k").await.unwrap();
    let retries = collector.events("retry");
    assert_eq!(retries.len(), 2);
    for retry in retries {
        assert_eq!((retry.within.as_deref(), retry.field("error.type")), (Some("INCR"), Some("CLUSTERDOWN")));
    }
}

#[tokio::test(start_paused = true)]
async fn connections_and_failovers_are_told() {
    let collector = Collector::default();
    let _installed = collector.install();
    let cluster = SimCluster::builder()
        .replicas(1)
        .node_timeout(Duration::from_secs(1))
        .full_coverage(false)
        .start_in_memory()
        .unwrap();
    let client = connect(&cluster).await;
    client.set("k", "1").await.unwrap();
    let connected = collector.events("connected");
    assert!(!connected.is_empty() && connected.iter().all(|event| event.level == tracing::Level::DEBUG));
    cluster.inject(Fault::new(FaultKind::CloseAfter).command("INCR").times(1));
    client.incr("k").await.unwrap_err();
    client.get::<String>("k").await.unwrap();
    assert_eq!(collector.events("connection lost").len(), 1);
    assert_eq!(collector.events("connection lost")[0].field("error.type"), Some("closed"));
    assert_eq!(collector.events("reconnected").len(), 1);
    let primary = owner(&cluster, "k");
    let replica = cluster.replicas_of(&primary).remove(0);
    cluster.kill(&primary).unwrap();
    client.incr("k").await.unwrap();
    assert!(!collector.events("cannot connect").is_empty());
    let promoted = format!("{replica} was promoted in place of {primary}");
    let changes = collector.events("topology changed");
    assert!(changes.iter().any(|event| event.field("keyslot.event") == Some(&promoted)), "{changes:?}");
}

#[tokio::test(start_paused = true)]
async fn new_credentials_that_a_live_connection_is_refused_with_are_an_error_event() {
    let collector = Collector::default();
    let _installed = collector.install();
    let cluster = SimCluster::builder().user("app", "first").start_in_memory().unwrap();
    let credentials = RotatingCredentials::new(Credentials::new("app", "first"));
    let client = Client::builder()
        .url(&cluster.url())
        .connector(cluster.connector())
        .credentials_provider(credentials.clone())
        .connect()
        .await
        .unwrap();
    client.set("k", "1").await.unwrap();
    collector.forget();
    credentials.rotate(Credentials::new("app", "wrong-secret"));
    while client.stats().logins_refused == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    let refused = collector.events("new credentials refused");
    assert_eq!(refused.len() as u64, client.stats().logins_refused);
    let node = owner(&cluster, "k");
    let of_node: Vec<&Told> = refused
        .iter()
        .filter(|event| event.field("server.port") == Some(node.port().to_string().as_str()))
        .collect();
    assert!(!of_node.is_empty(), "{refused:?}");
    for event in refused {
        assert_eq!((event.level, event.field("error.type")), (tracing::Level::ERROR, Some("WRONGPASS")));
    }
    assert!(!format!("{:?}", collector.told()).contains("secret"));
    client.set("k", "2").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_refused_are_an_error_event() {
    let collector = Collector::default();
    let _installed = collector.install();
    let cluster = SimCluster::builder().password("right").start_in_memory().unwrap();
    let builder = Client::builder().url(&cluster.url()).connector(cluster.connector());
    builder.password("wr0ng-secret").connect().await.unwrap_err();
    let refused = collector.events("credentials refused");
    assert!(!refused.is_empty());
    for event in refused {
        assert_eq!((event.level, event.field("error.type")), (tracing::Level::ERROR, Some("WRONGPASS")));
    }
    assert!(!format!("{:?}", collector.told()).contains("wr0ng-secret"));
}

#[tokio::test(start_paused = true)]
async fn no_argument_and_no_secret_is_in_any_span_or_event() {
    const SECRET: &str = "s3cr3t";
    let collector = Collector::default();
    let _installed = collector.install();
    let cluster = SimCluster::builder().password(format!("{SECRET}-password")).start_in_memory().unwrap();
    let builder = Client::builder().url(&cluster.url()).connector(cluster.connector());
    let client = builder.password(format!("{SECRET}-password")).connect().await.unwrap();
    let key = format!("{SECRET}-key");
    client.set(&key, format!("{SECRET}-value")).await.unwrap();
    client.incr(&key).await.unwrap_err();
    let mut pipeline = client.pipeline();
    pipeline.get(&key).lpush(&key, [SECRET]);
    pipeline.run_each().await.unwrap();
    // A server that repeats what it was sent, in a reply to a command and in one to the handshake.
    let echo = format!(
        "ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `default`, `{SECRET}-password`"
    );
    cluster.inject(Fault::new(FaultKind::Error(echo.clone())).command("INCR").times(1));
    client.incr(&key).await.unwrap_err();
    cluster.inject(Fault::new(FaultKind::Error(format!("{SECRET} no"))).command("INCR").times(1));
    client.incr(&key).await.unwrap_err();
    cluster.inject(Fault::new(FaultKind::Error(format!("LOADING {SECRET}"))).command("INCR").times(2));
    client.incr(&key).await.unwrap_err();
    cluster.inject(Fault::new(FaultKind::Error(echo)).command("HELLO").times(1));
    cluster.inject(Fault::new(FaultKind::CloseAfter).command("INCR").times(1));
    client.incr(&key).await.unwrap_err();
    client.get::<String>(&key).await.unwrap();
    cluster.move_slot(slot(&key), &another(&cluster, &key)).unwrap();
    client.get::<String>(&key).await.unwrap();
    client.execute::<String>(Command::new("GETSET").key(&key).arg(SECRET)).await.unwrap();
    let told = collector.told();
    assert!(told.len() > 15, "{told:?}");
    for one in told {
        assert!(!format!("{one:?}").contains(SECRET), "{one:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_span_of_the_caller_stays_as_it_is() {
    let collector = Collector::default();
    let filter = tracing_subscriber::filter::filter_fn(|metadata| metadata.target() != "keyslot");
    let _installed =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(filter).with(collector.clone()));
    let cluster = three();
    let client = connect(&cluster).await;
    let span = tracing::info_span!("command", "server.address" = "mine");
    let entered = span.enter();
    // By the slow path.
    client.blpop::<Option<(String, String)>>(["list"], 0.01).await.unwrap();
    drop(entered);
    let fields = span.with_subscriber(|(id, subscriber)| {
        let registry = subscriber.downcast_ref::<tracing_subscriber::Registry>().unwrap();
        let span = registry.span(id).unwrap();
        span.extensions().get::<Fields>().unwrap().clone()
    });
    assert_eq!(fields.unwrap(), [("server.address".to_owned(), "mine".to_owned())].into());
}
