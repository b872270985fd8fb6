//! A stream and a group of consumers: one entry goes to one consumer, and what a dead one has left is taken over.
//!
//! ```text
//! cargo run --example streams
//! cargo run --example streams -- --url redis://127.0.0.1:7000
//! ```
//!
//! A producer adds orders. Two consumers of one group share them: each waits for entries (`XREADGROUP` with `BLOCK`, on a
//! connection of its own, so that nobody else waits), does its work and acknowledges them (`XACK`). Bo dies with orders in
//! hand. They stay pending until Ann takes them over (`XAUTOCLAIM`).
//!
//! That is delivery at least once: had Bo died between the work and the `XACK`, its work would be done twice. Work that must
//! not be is to be made so that a second time does no harm.
//!
//! Without `--url` or `REDIS_URL` it starts a cluster of its own. It needs real servers, 6.2 or later: the simulated cluster of
//! the other examples has no groups. It leaves no key behind and touches none that exists.

use std::collections::HashMap;
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use keyslot::options::{XgroupCreateOptions, XreadgroupOptions};
use keyslot::replies::StreamEntry;
use keyslot::{Client, Commands};
use tokio::time::sleep;

#[path = "shared/cluster.rs"]
mod cluster;
#[path = "shared/url_option.rs"]
mod url_option;

use cluster::Cluster;

const HELP: &str = "Shares the entries of a stream among consumers, one of which dies. Needs real servers.\n";

const STREAM: &str = "keyslot:example:orders";
const GROUP: &str = "kitchen";
const ORDERS: usize = 24;

/// The producer is a bit faster than one consumer, and slower than two.
const BETWEEN_ORDERS: Duration = Duration::from_millis(20);
const WORK: Duration = Duration::from_millis(30);
/// Bo dies with what he gets in this round.
const LAST_ROUND_OF_BO: usize = 3;
/// A consumer goes home when nothing has come for so long.
const PATIENCE: u64 = 1_000;
/// Who has not acknowledged an entry for so long is taken for dead; longer than any work takes.
const TAKEN_FOR_DEAD: u64 = 500;

/// The fields of an entry as they come; a struct can be read by the feature `serde`.
type Order = StreamEntry<HashMap<String, String>>;

#[tokio::main]
async fn main() -> ExitCode {
    url_option::run(HELP, run).await
}

async fn run(url: Option<String>) -> Result<(), Box<dyn Error>> {
    let cluster = match Cluster::at_url_or_servers(url).await {
        Err(error) if cluster::is_missing(error.as_ref()) => {
            println!(
                "This example needs real servers: the simulated cluster of the others has no groups of consumers."
            );
            return Err(format!("{error}; or name a cluster by --url").into());
        }
        started => started?,
    };
    let client = cluster.connect().await?;
    if client.exists(STREAM).await? != 0 {
        return Err(format!("the key {STREAM} exists already, and this example would overwrite it").into());
    }
    let shown = show(&client).await;
    let deleted = client.del(STREAM).await;
    shown?;
    deleted?;
    client.close().await;
    Ok(())
}

async fn show(client: &Client) -> Result<(), Box<dyn Error>> {
    // From the first entry on ("0"), whenever the group begins to read.
    client.xgroup_create_options(STREAM, GROUP, "0", XgroupCreateOptions::new().mkstream()).await?;
    println!("\nThe stream {STREAM} with the group {GROUP}:");
    let begin = Instant::now();
    let ann = Consumer { client, name: "Ann", begin, last_round: None };
    let bo = Consumer { client, name: "Bo", begin, last_round: Some(LAST_ROUND_OF_BO) };
    let ((), by_ann, by_bo) = tokio::try_join!(produce(client), ann.consume(), bo.consume())?;

    let pending = client.xpending(STREAM, GROUP).await?;
    println!("\nNothing new comes. Delivered and not acknowledged: {}", pending.count);
    for (consumer, count) in &pending.consumers {
        println!("  {count} in the hands of {consumer}");
    }
    let taken_over = ann.take_over().await?;

    let (left, length) = (client.xpending(STREAM, GROUP).await?.count, client.xlen(STREAM).await?);
    println!("\nAt the end:");
    println!("  {length:>3} orders in the stream, which keeps them until it is trimmed");
    println!("  {by_ann:>3} done by Ann");
    println!("  {by_bo:>3} done by Bo");
    println!("  {taken_over:>3} left by Bo, done by Ann");
    println!("  {left:>3} pending");
    if left != 0 || by_ann + by_bo + taken_over != ORDERS || length != ORDERS as u64 {
        return Err("not every order was done once".into());
    }
    Ok(())
}

async fn produce(client: &Client) -> keyslot::Result<()> {
    const DISHES: [&str; 4] = ["soup", "fish", "bread", "cake"];
    for (number, dish) in DISHES.into_iter().cycle().take(ORDERS).enumerate() {
        let fields = [("dish", dish.to_owned()), ("table", (number % 7 + 1).to_string())];
        client.xadd(STREAM, "*", fields).await?;
        sleep(BETWEEN_ORDERS).await;
    }
    Ok(())
}

struct Consumer<'a> {
    client: &'a Client,
    name: &'static str,
    begin: Instant,
    /// The consumer dies in this round, if in any.
    last_round: Option<usize>,
}

impl Consumer<'_> {
    /// Takes orders until no more come; how many were done.
    async fn consume(&self) -> keyslot::Result<usize> {
        let mut done = 0;
        for round in 1.. {
            let options = XreadgroupOptions::new().count(2).block(PATIENCE);
            // ">": what nobody of the group has had.
            let streams = [(STREAM, ">")];
            let reads = self.client.xreadgroup_options(GROUP, self.name, streams, options).await?;
            let orders: Vec<Order> = reads.into_entries().collect();
            if orders.is_empty() {
                break;
            }
            if self.last_round == Some(round) {
                self.say(&format!("dies with {} in hand", dishes(&orders)));
                break;
            }
            done += self.work_on(&orders, "makes").await?;
        }
        Ok(done)
    }

    /// Takes over what others have not acknowledged, page by page; how many were done.
    async fn take_over(&self) -> keyslot::Result<usize> {
        let mut done = 0;
        let mut start = "0-0".to_owned();
        loop {
            let page = self.client.xautoclaim(STREAM, GROUP, self.name, TAKEN_FOR_DEAD, &start).await?;
            done += self.work_on(&page.claimed, "takes over").await?;
            if page.next == "0-0" {
                return Ok(done);
            }
            start = page.next;
        }
    }

    /// The work first, then the acknowledgement: who dies in between leaves it to another.
    async fn work_on(&self, orders: &[Order], does: &str) -> keyslot::Result<usize> {
        if orders.is_empty() {
            return Ok(0);
        }
        self.say(&format!("{does} {}", dishes(orders)));
        sleep(WORK).await;
        let ids: Vec<&str> = orders.iter().map(|order| order.id.as_str()).collect();
        let acknowledged = self.client.xack(STREAM, GROUP, &ids).await?;
        Ok(usize::try_from(acknowledged).unwrap_or(usize::MAX))
    }

    fn say(&self, text: &str) {
        println!("{:>8.2} s  {:<4} {text}", self.begin.elapsed().as_secs_f64(), self.name);
    }
}

/// What is ordered, as in `soup (table 1), fish (table 2)`.
fn dishes(orders: &[Order]) -> String {
    let field = |order: &Order, name| order.fields.get(name).cloned().unwrap_or_default();
    let each: Vec<String> = orders
        .iter()
        .map(|order| format!("{} (table {})", field(order, "dish"), field(order, "table")))
        .collect();
    each.join(", ")
}
