//! What the client tells of itself: spans and events by `tracing`, changes of the cluster, and figures of each node.
//!
//! ```text
//! cargo run --features tracing --example observe
//! cargo run --features tracing --example observe -- --url redis://127.0.0.1:7000
//! ```
//!
//! Without `--url` (or `REDIS_URL`) it starts a cluster of its own and kills one of its primaries half-way, so that there
//! is something to see. It leaves no key behind and overwrites none.

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keyslot::{Client, Commands, RoundTrips, Slot, Stats};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, filter, fmt, registry};

#[path = "shared/cluster.rs"]
mod cluster;
#[path = "shared/url_option.rs"]
mod url_option;

use cluster::Cluster;

const HELP: &str = "\
Shows spans and events, changes of the cluster, and figures of each node.
";

/// Tasks that read and write.
const TASKS: usize = 16;

/// How long they do, before and after the death of a primary.
const TIME: Duration = Duration::from_secs(3);

/// A third of all commands are for this key.
const HOT: &str = "keyslot:observe:hot";

/// Spans of a few commands are shown; those of thousands would hide everything else.
static SHOWS_SPANS: AtomicBool = AtomicBool::new(false);

#[tokio::main]
async fn main() -> ExitCode {
    url_option::run(HELP, run).await
}

async fn run(url: Option<String>) -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::at_url_or_new(url).await?;
    let is_shown = |metadata: &tracing::Metadata<'_>| {
        let is_loud = *metadata.level() <= tracing::Level::INFO;
        is_loud && (!metadata.is_span() || SHOWS_SPANS.load(Ordering::Relaxed))
    };
    // In a service this would be a layer that exports.
    let shown = fmt::layer()
        .with_ansi(false)
        .without_time()
        .with_span_events(FmtSpan::CLOSE)
        .with_filter(filter::dynamic_filter_fn(move |metadata, _| is_shown(metadata)));
    registry().with(shown).init();

    let client = cluster.connect().await?;
    let mut events = client.topology_events();
    let watching = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(event) = events.next().await {
            seen.push(event);
        }
        seen
    });
    if client.exists([HOT]).await? > 0 {
        return Err(format!("the key {HOT} exists already, and this example would overwrite it").into());
    }
    let observed = observe(&cluster, &client).await;
    let deleted = client.del(keys()).await;
    observed?;
    println!("\nDeleted the {} keys of this example.", deleted?);
    client.close().await;
    let seen = watching.await?;
    println!("\nChanges of the cluster, as client.topology_events() told them:");
    seen.iter().for_each(|event| println!("  {event}"));
    if seen.is_empty() {
        println!("  none");
    }
    Ok(())
}

fn keys() -> Vec<String> {
    (0..64).map(|number| format!("keyslot:observe:{number}")).chain([HOT.to_owned()]).collect()
}

async fn observe(cluster: &Cluster, client: &Client) -> Result<(), Box<dyn Error>> {
    println!("\nSpans of a command, of one that fails, and of a pipeline:");
    SHOWS_SPANS.store(true, Ordering::Relaxed);
    client.set(HOT, "not a number").await?;
    if let Err(error) = client.incr(HOT).await {
        println!("(the caller's error: {error})");
    }
    let mut pipeline = client.pipeline();
    pipeline.set(HOT, 0).get(HOT);
    let ((), _hot): ((), i64) = pipeline.run().await?;
    SHOWS_SPANS.store(false, Ordering::Relaxed);

    println!("\n{TASKS} tasks read and write for {TIME:?} ...");
    load(client).await;
    show(&client.stats());
    println!("\nHot slots, by a sample:");
    for hot in client.hot_slots(3) {
        let node = hot.node.map_or_else(|| "nobody".to_owned(), |node| node.to_string());
        let error = 100.0 * hot.share / (hot.samples as f64).sqrt();
        println!("  slot {} at {node}: {:.0} % ± {error:.0} of the commands", hot.slot, 100.0 * hot.share);
    }
    println!("  (the slot of {HOT} is {})", Slot::of_key(HOT.as_bytes()));

    let map = client.slot_map();
    if let Some(primary) = map.primary_of(Slot::of_key(HOT.as_bytes()))
        && cluster.kill(&primary.addr)?
    {
        println!("\nKilled {}; the same for {TIME:?} more:", primary.addr);
        load(client).await;
        show(&client.stats());
    }
    Ok(())
}

/// Errors are what the figures are for.
async fn load(client: &Client) {
    let end = Instant::now() + TIME;
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let client = client.clone();
        tasks.spawn(async move {
            let keys = keys();
            for (number, key) in keys.iter().cycle().enumerate().skip(task) {
                let key = if number % 3 == 0 { HOT } else { key };
                let result =
                    if number % 2 == 0 { client.incr(key).await.map(drop) } else { client.get(key).await };
                if Instant::now() >= end {
                    break;
                }
                if result.is_err() {
                    sleep(Duration::from_millis(1)).await;
                }
            }
        });
    }
    tasks.join_all().await;
}

fn show(stats: &Stats) {
    println!(
        "\n{:<22}{:>10}{:>8}{:>11}{:>11}{:>11}{:>8}{:>8}",
        "node", "requests", "a write", "p50", "p99", "max", "lost", "errors"
    );
    for (node, of) in stats.nodes.iter().filter(|(_, of)| of.requests > 0) {
        let [p50, p99, max] = times(&of.round_trips);
        let errors = of.errors.not_sent + of.errors.maybe_executed + of.errors.rejected;
        let together = of.requests as f64 / of.writes as f64;
        println!(
            "{:<22}{:>10}{together:>8.1}{p50:>11}{p99:>11}{max:>11}{:>8}{errors:>8}",
            node.to_string(),
            of.requests,
            of.disconnects
        );
    }
    let causes: Vec<String> =
        stats.refresh_causes.iter().map(|(cause, count)| format!("{count} {cause}")).collect();
    println!(
        "retries {}, redirects {} MOVED and {} ASK, reconnects {}, refreshes {} ({}); of the errors {} were not sent, {} may \
         have been executed, {} were rejected",
        stats.retries,
        stats.moved,
        stats.asked,
        stats.reconnects,
        stats.refreshes,
        causes.join(", "),
        stats.errors.not_sent,
        stats.errors.maybe_executed,
        stats.errors.rejected
    );
}

/// Median, 99th percentile and longest, in microseconds.
fn times(trips: &RoundTrips) -> [String; 3] {
    [trips.percentile(50.0), trips.percentile(99.0), trips.max()]
        .map(|time| time.map_or_else(|| "-".to_owned(), |time| format!("{} µs", time.as_micros())))
}
