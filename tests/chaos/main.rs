//! Nothing swapped, doubled or lost while servers are killed, stopped, cut off, failed over and resharded: a checker in
//! the manner of Jepsen, on real servers.
//!
//! Tasks increment counters, append to lists, and write and read registers, by single commands, pipelines, splits,
//! transactions, durable pipelines and calls that are given up ([`load`]), through proxies ([`proxy`]), while a nemesis
//! strikes at random from a seed ([`nemesis`]). Then all is healed, the servers are read past the client, and the history
//! is judged ([`checker`]): no reply answered another's request, no count is out of its bounds, nothing that was told as not
//! sent or rejected was executed, nothing ran twice, and what was acknowledged is there, in its order. Servers lose
//! acknowledged writes by themselves when a primary dies: one mode counts these, and the other writes by
//! [`run_durable`](keyslot::Pipeline::run_durable) with `appendfsync always`, and allows none.
//!
//! ```text
//! KEYSLOT_CHAOS_SECONDS=3600 KEYSLOT_CHAOS_SERVER=valkey-9.1 cargo test --test chaos lost -- --nocapture --test-threads 1
//! ```
//!
//! `KEYSLOT_CHAOS_SECONDS` is the time of faults for each test, in rounds of a minute; `KEYSLOT_CHAOS_SEED` repeats the
//! nemesis's choices (not the servers' timing); `KEYSLOT_CHAOS_SERVER` leaves out the other servers. Under nextest a test
//! ends after five minutes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests report by panicking, in their helpers too, where clippy.toml does not allow it by itself"
)]

mod checker;
#[cfg(test)]
mod checker_tests;
mod history;
mod load;
mod nemesis;
mod proxy;
mod stage;

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use checker::{Loss, Verdict, Violation, check};
use history::{Call, Key, Kind, Last};
use keyslot::testkit::Server;
use keyslot::{Command, Slot};
use load::{Clients, Load};
use nemesis::Nemesis;
use stage::{Done, Stage};

/// How long the nemesis rages in each test unless the environment says otherwise.
const SECONDS: u64 = 8;

/// A longer run is judged in rounds, each with keys of its own, so that its history fits into memory.
const ROUND: Duration = Duration::from_secs(60);

/// Slots that have keys.
const CELLS: u32 = 48;

/// Violations and calls that a failure shows; all are in the file that it names.
const SHOWN: usize = 6;
const SHOWN_CALLS: usize = 40;

macro_rules! on_every_server {
    ($($name:ident $folder:literal)*) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn what_is_lost_is_lost_by_the_servers() {
                super::run($folder, super::Loss::Counted).await.unwrap();
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn nothing_durable_is_lost() {
                super::run($folder, super::Loss::OfTheDurableExcluded).await.unwrap();
            }
        }
    )*};
}

on_every_server! {
    redis_6_2 "redis-6.2"
    redis_7_0 "redis-7.0"
    redis_8_2 "redis-8.2"
    valkey_8_1 "valkey-8.1"
    valkey_9_1 "valkey-9.1"
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

async fn run(server: &str, loss: Loss) -> Done {
    if env::var("KEYSLOT_CHAOS_SERVER").is_ok_and(|only| only != server) {
        return Ok(());
    }
    let seed = number("KEYSLOT_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    let total = Duration::from_secs(number("KEYSLOT_CHAOS_SECONDS").unwrap_or(SECONDS));
    let again = format!(
        "KEYSLOT_CHAOS_SEED={seed} KEYSLOT_CHAOS_SECONDS={} KEYSLOT_CHAOS_SERVER={server} cargo test --test chaos \
         lost -- --nocapture --test-threads 1",
        total.as_secs()
    );
    println!("{server}, {loss:?}; again: {again}");
    rounds(server, loss, seed, total).await.map_err(|error| format!("{error}\n\nAgain: {again}").into())
}

async fn rounds(server: &str, loss: Loss, seed: u64, total: Duration) -> Done {
    let is_durable = loss == Loss::OfTheDurableExcluded;
    let mut random = fastrand::Rng::with_seed(seed);
    let stage = Arc::new(Stage::start(Server::named(server)?, is_durable, random.bool()).await?);
    let clients = Clients::connect(&stage.seeds()).await?;
    let (mut left, mut round) = (total, 0);
    while !left.is_zero() {
        round += 1;
        let time = left.min(ROUND);
        left -= time;
        let (verdict, calls, log) = one_round(&stage, &clients, (round, time), loss, random.u64(..)).await?;
        println!("{server}, round {round}: {calls} calls, {log} strokes; {}; {verdict}", clients.tell());
        if left.is_zero() {
            break;
        }
        for node in 0..stage.count() {
            if stage.is_primary(node).await {
                stage.ask::<()>(node, Command::new("FLUSHALL")).await?;
            }
        }
    }
    Ok(())
}

/// The verdict, and how many calls and strokes there were.
async fn one_round(
    stage: &Arc<Stage>,
    clients: &Clients,
    (round, time): (u32, Duration),
    loss: Loss,
    seed: u64,
) -> Done<(Verdict, usize, usize)> {
    let begin = Instant::now();
    let is_durable = loss == Loss::OfTheDurableExcluded;
    let load = Load::start(clients, (round, CELLS), is_durable, seed, begin).await?;
    let nemesis = Nemesis::of(stage, begin);
    let raged = nemesis.rage(seed, round, CELLS, Instant::now() + time).await;
    let raged = raged.map_err(|error| format!("the nemesis itself failed: {error}\n{}", nemesis.log()));
    raged?;
    stage.cluster.wait_until_ok().await?;
    let calls = load.finish(clients).await.map_err(|error| format!("{error}\n{}", nemesis.log()))?;
    let last = read(stage, round).await?;
    let verdict = check(&calls, &last, loss);
    if verdict.violations.is_empty() {
        return Ok((verdict, calls.len(), nemesis.count()));
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}.txt"));
    std::fs::write(&file, whole(&nemesis, &calls, &last))?;
    Err(format!(
        "{} violations, {verdict}\n{}\nWhat happened:\n{}\nThe whole history is in {}",
        verdict.violations.len(),
        verdict.violations.iter().take(SHOWN).map(|violation| shown(violation, &calls)).collect::<String>(),
        nemesis.log(),
        file.display()
    )
    .into())
}

/// What the servers have, read past the client.
async fn read(stage: &Stage, round: u32) -> Done<Last> {
    let mut last = Last::default();
    for cell in 0..CELLS {
        let key = |kind| Key { round, cell, kind };
        let slot = Slot::of_key(key(Kind::List).to_string().as_bytes());
        let owner = stage.owner(slot, 0).await?;
        let get = |kind| Command::new("GET").key(key(kind).to_string());
        last.registers.insert(key(Kind::Register), stage.ask(owner, get(Kind::Register)).await?);
        let counter: Option<i64> = stage.ask(owner, get(Kind::Counter)).await?;
        // Without it the bounds cannot hold.
        last.counters.insert(key(Kind::Counter), counter.unwrap_or(i64::MIN / 2));
        for kind in [Kind::List, Kind::Twin] {
            let range = Command::new("LRANGE").key(key(kind).to_string()).arg(0).arg(-1);
            last.lists.insert(key(kind), stage.ask(owner, range).await?);
        }
    }
    Ok(last)
}

/// A violation with the last calls on its key.
fn shown(violation: &Violation, calls: &[Call]) -> String {
    let Violation { key, what } = violation;
    let mut about: Vec<&Call> = calls.iter().filter(|call| call.key == *key).collect();
    about.sort_by_key(|call| call.begin);
    let skipped = about.len().saturating_sub(SHOWN_CALLS);
    let mut text = format!("\n{key} (slot {}) {what}\n", Slot::of_key(key.to_string().as_bytes()));
    about.iter().skip(skipped).for_each(|call| writeln!(text, "  {call}").unwrap());
    text
}

/// All that is known of a round, as text.
fn whole(nemesis: &Nemesis, calls: &[Call], last: &Last) -> String {
    let mut text = nemesis.log();
    let mut by_key: BTreeMap<Key, Vec<&Call>> = BTreeMap::new();
    calls.iter().for_each(|call| by_key.entry(call.key).or_default().push(call));
    for (key, mut calls) in by_key {
        calls.sort_by_key(|call| call.begin);
        writeln!(text, "\n{key}").unwrap();
        calls.iter().for_each(|call| writeln!(text, "  {call}").unwrap());
        let (register, counter) = (last.registers.get(&key), last.counters.get(&key));
        writeln!(text, "  in the end {register:?} {counter:?} {:?}", last.lists.get(&key)).unwrap();
    }
    text
}
