//! A first tour: single commands, several keys, a hash, a pipeline, a transaction, an error, and the map of the cluster.
//!
//! ```text
//! cargo run --example quick_start
//! cargo run --example quick_start -- --url redis://127.0.0.1:7000
//! ```
//!
//! The cluster is the one of `--url` or of `REDIS_URL`. Without either one is started for the example, or simulated in this
//! process where no server is installed. It deletes the keys that it makes and touches none that exists.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;

use keyslot::options::SetOptions;
use keyslot::{Client, Commands, Outcome, Slot};

#[path = "shared/cluster.rs"]
mod cluster;
#[path = "shared/url_option.rs"]
mod url_option;

use cluster::Cluster;

const HELP: &str = "A first tour of the client, on keys that it makes and deletes.\n";

const NAME: &str = "tour:name";
const LOCK: &str = "tour:lock";
const CITIES: [&str; 3] = ["tour:city:1", "tour:city:2", "tour:city:3"];
/// By the tag in braces these two are in one slot.
const USER: &str = "{tour:user:1}:profile";
const VISITS: &str = "{tour:user:1}:visits";

#[tokio::main]
async fn main() -> ExitCode {
    url_option::run(HELP, run).await
}

async fn run(url: Option<String>) -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::at_url_or_new(url).await?;
    // In a program of your own: Client::connect("redis://127.0.0.1:7000,127.0.0.1:7001").await?
    let client = cluster.connect().await?;
    let keys = [&[NAME, LOCK, USER, VISITS][..], &CITIES].concat();
    // Keys of any slots: the client asks each node for its part, and adds up.
    if client.exists(&keys).await? > 0 {
        return Err(
            "a key of this tour (tour:*, {tour:user:1}:*) exists already, and would be overwritten".into()
        );
    }
    let toured = tour(&client).await;
    let deleted = client.del(&keys).await;
    toured?;
    println!("\nDeleted the {} keys of this tour.", deleted?);
    client.close().await;
    Ok(())
}

async fn tour(client: &Client) -> keyslot::Result<()> {
    single_commands(client).await?;
    several_keys(client).await?;
    a_hash(client).await?;
    a_pipeline(client).await?;
    a_transaction(client).await?;
    an_error(client).await;
    the_map(client);
    Ok(())
}

async fn single_commands(client: &Client) -> keyslot::Result<()> {
    heading("Single commands: each goes straight to the node of its key");
    client.set(NAME, "Ann").await?;
    // The reply is read as the type that is asked for; a key that may not be there is an Option.
    let name: Option<String> = client.get(NAME).await?;
    let nobody: Option<String> = client.get("tour:nobody").await?;
    println!("  GET                  {name:?}, and of a key that is not there {nobody:?}");

    let visits: i64 = client.incr(VISITS).await?;
    println!("  INCR                 {visits}");

    let mine: bool = client.set_options(LOCK, "me", SetOptions::new().nx().ex(30)).await?;
    let yours: bool = client.set_options(LOCK, "you", SetOptions::new().nx().ex(30)).await?;
    println!("  SET .. NX EX 30      mine: {mine}, yours: {yours}");
    Ok(())
}

async fn several_keys(client: &Client) -> keyslot::Result<()> {
    heading("Several keys of several slots: split by node, put together in order");
    client.mset(CITIES.into_iter().zip(["Oslo", "Rome", "Lima"])).await?;
    let cities: Vec<String> = client.mget(CITIES).await?;
    for (key, city) in CITIES.iter().zip(cities) {
        println!("  {key:<20} {city}, {}", place(client, key));
    }
    Ok(())
}

async fn a_hash(client: &Client) -> keyslot::Result<()> {
    heading("A hash");
    client.hset(USER, [("name", "Ann"), ("city", "Oslo")]).await?;
    let points: i64 = client.hincrby(USER, "points", 7).await?;
    let user: BTreeMap<String, String> = client.hgetall(USER).await?;
    println!("  HINCRBY              {points}");
    println!("  HGETALL              {user:?}");
    Ok(())
}

async fn a_pipeline(client: &Client) -> keyslot::Result<()> {
    heading("A pipeline: any slots, one write to each node, replies in order");
    let mut pipeline = client.pipeline();
    pipeline.get(NAME).incr(VISITS).hget(USER, "points").strlen(CITIES[0]);
    // A type for each command, or a Vec if one type fits all.
    let (name, visits, points, length): (String, i64, i64, u64) = pipeline.run().await?;
    println!("  name {name}, visits {visits}, points {points}, a city of {length} letters");
    Ok(())
}

async fn a_transaction(client: &Client) -> keyslot::Result<()> {
    heading("A transaction: MULTI .. EXEC, on keys of one slot");
    let mut transaction = client.transaction();
    transaction.incr(VISITS).hincrby(USER, "points", 3);
    let (visits, points): (i64, i64) = transaction.run().await?;
    println!("  visits {visits}, points {points}, and nothing in between; both {}", place(client, VISITS));
    Ok(())
}

async fn an_error(client: &Client) {
    heading("An error: a name cannot be counted");
    let Err(error) = client.incr(NAME).await else { return };
    println!("  {error}");
    println!("  kind {:?}, outcome {:?}, attempts {}:", error.kind(), error.outcome(), error.attempts());
    println!(
        "  {}",
        match error.outcome() {
            Outcome::Rejected =>
                "refused, so nothing was changed: the same command fails again until its cause is gone",
            Outcome::NotSent => "no server has executed it: it may be sent again without harm",
            Outcome::MaybeExecuted => "it left and its reply is not known: look before you count again",
        }
    );
}

fn the_map(client: &Client) {
    heading("The map of the cluster, as the client has it now");
    for shard in client.slot_map().shards() {
        let ranges: Vec<String> = shard.ranges().iter().map(ToString::to_string).collect();
        let replicas: Vec<String> = shard.replicas().map(|replica| replica.addr.to_string()).collect();
        let replicas = if replicas.is_empty() { "none".to_owned() } else { replicas.join(", ") };
        println!("  {}  slots {}, replicas: {replicas}", shard.primary().addr, ranges.join(", "));
    }
}

/// Where a key is.
fn place(client: &Client, key: &str) -> String {
    let slot = Slot::of_key(key.as_bytes());
    match client.slot_map().primary_of(slot) {
        Some(primary) => format!("slot {slot} at {}", primary.addr),
        None => format!("slot {slot}, which nobody serves"),
    }
}

fn heading(text: &str) {
    println!("\n{text}");
}
