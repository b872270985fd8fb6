//! Hash tags: what one slot makes possible, and what happens without one.
//!
//! ```text
//! cargo run --release --example hash_tags
//! cargo run --release --example hash_tags -- --url redis://127.0.0.1:7000
//! ```
//!
//! Without `--url` or `REDIS_URL` it starts a cluster of its own, as `bulk_load` does. Elsewhere it leaves no key behind and
//! touches none that exists.
//!
//! A key's slot is the checksum of its hash tag, the part between `{` and `}`, or of the whole key if it has none. Keys
//! with the same tag are therefore in the same slot, on the same node, wherever slots move; a command or transaction
//! over all of them is possible and atomic.

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use keyslot::{Client, Commands, ErrorKind, Outcome, Slot};

#[path = "shared/cluster.rs"]
mod cluster;
#[path = "shared/url_option.rs"]
mod url_option;

use cluster::Cluster;

const HELP: &str = "Shows what hash tags are for, on keys that it creates and deletes.\n";

/// All about one user, by one tag.
const PROFILE: &str = "{user:42}:profile";
const VISITS: &str = "{user:42}:visits";
const LIKES: &str = "{user:42}:likes";
const SHARES: &str = "{user:42}:shares";
const TOUCHED: &str = "{user:42}:touched";
/// Without a tag, each of these is wherever its checksum says.
const COUNTERS: [&str; 4] = ["hits:home", "hits:search", "hits:cart", "hits:help"];
const GROUPS: [&str; 3] = ["group:staff", "group:guests", "group:all"];

#[tokio::main]
async fn main() -> ExitCode {
    url_option::run(HELP, run).await
}

async fn run(url: Option<String>) -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::at_url_or_new(url).await?;
    let client = cluster.connect().await?;
    let keys = [&[PROFILE, VISITS, LIKES, SHARES, TOUCHED][..], &COUNTERS, &GROUPS].concat();
    let mut pipeline = client.pipeline();
    for key in &keys {
        pipeline.exists(*key);
    }
    let existing: Vec<bool> = pipeline.run().await?;
    if let Some((key, _)) = keys.iter().zip(existing).find(|(_, exists)| *exists) {
        return Err(format!("the key {key} exists already, and this example would overwrite it").into());
    }
    let shown = show(&client).await;
    // DEL over slots is split, and the counts are summed.
    let deleted = client.del(&keys).await;
    shown?;
    println!("\nDeleted the {} keys of this example.", deleted?);
    client.close().await;
    Ok(())
}

async fn show(client: &Client) -> Result<(), Box<dyn Error>> {
    heading("One tag, one slot");
    [PROFILE, VISITS, LIKES, SHARES].into_iter().for_each(|key| show_place(client, key));

    heading("A pipeline on one tag: one write to one node, one round trip");
    one_round_trip(client).await?;

    heading("A transaction on one tag: nothing comes in between");
    transaction(client).await?;

    heading("No tag: the keys are anywhere");
    COUNTERS.into_iter().chain(GROUPS).for_each(|key| show_place(client, key));

    heading("MSET and MGET over slots are split by the client; each part is atomic, the whole is not");
    split(client).await?;

    heading("SUNIONSTORE and transactions over slots cannot be split: refused before anything is sent");
    refused(client).await
}

async fn one_round_trip(client: &Client) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let mut pipeline = client.pipeline();
    pipeline
        .hset(PROFILE, [("name", "Ann"), ("city", "Oslo")])
        .incr(VISITS)
        .sadd(LIKES, ["tea", "rain"])
        .sadd(SHARES, ["rain", "snow"])
        // Several keys in one command: possible because they are in one slot.
        .sunionstore(TOUCHED, [LIKES, SHARES])
        .exists([PROFILE, VISITS, LIKES, SHARES, TOUCHED]);
    // A type for each reply.
    let (fields, visits, _, _, touched, existing): (u64, i64, u64, u64, u64, u64) = pipeline.run().await?;
    println!("  6 commands on 5 keys in {:.1?}:", started.elapsed());
    println!("  {fields} fields, visit {visits}, {touched} things liked or shared, {existing} keys exist");
    Ok(())
}

async fn transaction(client: &Client) -> Result<(), Box<dyn Error>> {
    let mut transaction = client.transaction();
    transaction.incr(VISITS).hset(PROFILE, [("seen", "today")]).srem(LIKES, "rain").sadd(SHARES, "tea");
    let (visits, new_fields, taken, given): (i64, u64, u64, u64) = transaction.run().await?;
    println!(
        "  MULTI .. EXEC: visit {visits}, {new_fields} new field, {taken} like less, {given} share more"
    );
    Ok(())
}

async fn split(client: &Client) -> Result<(), Box<dyn Error>> {
    client.mset(COUNTERS.into_iter().zip([10, 20, 30, 40])).await?;
    let hits: Vec<i64> = client.mget(COUNTERS).await?;
    println!("  MGET {}", COUNTERS.join(" "));
    println!("  {hits:?}, in the order of the keys");
    Ok(())
}

async fn refused(client: &Client) -> Result<(), Box<dyn Error>> {
    let [staff, guests, all] = GROUPS;
    client.sadd(staff, ["Ann", "Bo"]).await?;
    client.sadd(guests, ["Cy"]).await?;
    show_refusal(client.sunionstore(all, [staff, guests]).await)?;

    let mut transaction = client.transaction();
    transaction.incr(VISITS).sadd(staff, "Di");
    show_refusal(transaction.run::<(i64, u64)>().await)
}

/// The error that is expected here, as the caller sees it.
fn show_refusal<T>(result: keyslot::Result<T>) -> Result<(), Box<dyn Error>> {
    match result {
        Err(error) if error.kind() == ErrorKind::CrossSlot && error.outcome() == Outcome::Rejected => {
            println!("  {error}");
            Ok(())
        }
        Err(other) => Err(other.into()),
        Ok(_) => Err("keys of different slots were not refused".into()),
    }
}

fn show_place(client: &Client, key: &str) {
    let slot = Slot::of_key(key.as_bytes());
    match client.slot_map().primary_of(slot) {
        Some(primary) => println!("  {key:<18} slot {slot:>5}  {}", primary.addr),
        None => println!("  {key:<18} slot {slot:>5}  no primary"),
    }
}

fn heading(text: &str) {
    println!("\n{text}");
}
