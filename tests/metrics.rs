//! Figures of the feature `metrics`, collected by a recorder of the test.

#![expect(
    clippy::unwrap_used,
    reason = "tests report by panicking, in their helpers too, where clippy.toml does not allow it by itself"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyslot::testkit::sim::{Fault, FaultKind, SimCluster};
use keyslot::{Client, Commands, Slot};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

/// What was recorded, by name and labels: `name{label=value,...}`.
#[derive(Clone, Default)]
struct Figures(Arc<Mutex<BTreeMap<String, Vec<f64>>>>);

struct Figure {
    name: String,
    all: Figures,
}

impl Figures {
    fn figure(&self, key: &Key) -> Arc<Figure> {
        let labels: Vec<String> =
            key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        Arc::new(Figure { name: format!("{}{{{}}}", key.name(), labels.join(",")), all: self.clone() })
    }

    fn of(&self, name: &str) -> Vec<f64> {
        self.0.lock().unwrap().get(name).cloned().unwrap_or_default()
    }

    /// The sum of all figures whose name begins so.
    fn sum(&self, begin: &str) -> f64 {
        let all = self.0.lock().unwrap();
        all.iter().filter(|(name, _)| name.starts_with(begin)).flat_map(|(_, values)| values).sum()
    }
}

impl Figure {
    fn add(&self, value: f64) {
        self.all.0.lock().unwrap().entry(self.name.clone()).or_default().push(value);
    }
}

impl CounterFn for Figure {
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }

    fn absolute(&self, _: u64) {}
}

impl GaugeFn for Figure {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, _: f64) {}
}

impl HistogramFn for Figure {
    fn record(&self, value: f64) {
        self.add(value);
    }
}

impl Recorder for Figures {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        let unit = unit.map_or("", |unit| unit.as_str());
        self.0.lock().unwrap().insert(format!("{} in {unit}", name.as_str()), Vec::new());
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.figure(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.figure(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.figure(key))
    }
}

const DURATION: &str = "db.client.operation.duration{db.system.name=redis,db.operation.name=";

#[tokio::test(start_paused = true)]
async fn each_operation_has_its_duration_in_seconds_with_the_labels_of_the_conventions() {
    let figures = Figures::default();
    let _installed = metrics::set_default_local_recorder(&figures);
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let client =
        Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await.unwrap();
    assert!(figures.0.lock().unwrap().contains_key("db.client.operation.duration in seconds"));
    cluster.inject(Fault::new(FaultKind::DelayReply(Duration::from_millis(250))).command("SET").times(1));
    client.set("k", "text").await.unwrap();
    client.get::<String>("k").await.unwrap();
    client.get::<String>("k").await.unwrap();
    client.incr("k").await.unwrap_err();
    let mut pipeline = client.pipeline();
    pipeline.get("k").get("k");
    pipeline.run_each().await.unwrap();
    let of = |rest: &str| figures.of(&format!("{DURATION}{rest}}}"));
    assert_eq!(of("SET"), [0.25]);
    assert_eq!(of("GET").len(), 2);
    assert_eq!(of("INCR,error.type=ERR,db.response.status_code=ERR").len(), 1);
    assert_eq!(of("PIPELINE GET").len(), 1);
    assert_eq!(figures.sum("keyslot.errors{keyslot.outcome=rejected,error.type=ERR"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn what_happens_off_the_usual_path_is_counted_and_open_connections_are_those_that_are_open() {
    let figures = Figures::default();
    let _installed = metrics::set_default_local_recorder(&figures);
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let client =
        Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await.unwrap();
    client.set("k", "1").await.unwrap();
    let open = |figures: &Figures| figures.sum("db.client.connection.count");
    let stats_open =
        |client: &Client| client.stats().nodes.values().map(|node| node.connections).sum::<u64>() as f64;
    assert_eq!(open(&figures), stats_open(&client));
    cluster.inject(Fault::new(FaultKind::CloseAfter).command("INCR").times(1));
    client.incr("k").await.unwrap_err();
    client.get::<String>("k").await.unwrap();
    assert_eq!(figures.sum("keyslot.disconnects"), 1.0);
    assert_eq!(open(&figures), stats_open(&client));
    assert_eq!(open(&figures), client.stats().connects as f64 - 1.0);
    let slot = Slot::of_key(b"k");
    let owner = cluster.primary_of(slot).unwrap();
    let to = Slot::all().find_map(|slot| cluster.primary_of(slot).filter(|node| *node != owner)).unwrap();
    cluster.move_slot(slot, &to).unwrap();
    client.get::<String>("k").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(figures.sum("keyslot.redirects{db.response.status_code=MOVED"), 1.0);
    assert_eq!(figures.sum("keyslot.refreshes{keyslot.cause=moved}"), 1.0);
    assert_eq!(figures.sum("keyslot.slot_map.changes"), client.stats().map_changes as f64);
    client.close().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(open(&figures), 0.0);
}
