//! The classic first program on a cluster: a thousand random keys, written fast, and a look at where they went.
//!
//! ```text
//! cargo run --release --example bulk_load
//! cargo run --release --example bulk_load -- --url redis://127.0.0.1:7000 --keys 1000000
//! ```
//!
//! Without `--url` or `REDIS_URL` it starts a cluster of its own, three primaries with a replica each, by the `redis-server` or
//! `valkey-server` on `PATH`; where there is none it says so and runs on a simulated cluster in this process. What it shows: pipelines from many tasks over one client, an own result for each command,
//! the slot map, commands to one node, and `MGET` over all slots. Memory does not grow with the number of keys.
//!
//! It exits with 0 if every key was written and is there, with 1 if not, with 2 if an option is wrong.

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use keyslot::{Bytes, Client, Command, Commands, NodeAddr, Pipeline, Slot, Target};
use lexopt::Arg::{Long, Short};
use lexopt::ValueExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

#[path = "shared/cluster.rs"]
mod cluster;
#[path = "shared/tally.rs"]
mod tally;
#[path = "shared/url_option.rs"]
mod url_option;

use cluster::Cluster;
use tally::{Report, Sent, Tally};

const HELP: &str = "\
Writes random keys to a cluster and shows where they went.

  --url URL         the cluster, as redis://[user:password@]host[:port][,host[:port]...];
                    REDIS_URL in the environment says the same;
                    without either, one of 3 primaries and 3 replicas is started and removed
                    (simulated in this process if no server is installed)
  --keys N          how many keys to write; default 1000
  --value-size N    bytes of each value; default: a number from 1 to 1000000 as text
  --concurrency N   tasks that write side by side; default 16
  -h, --help        this text
";

/// Keys in one pipeline, on average.
const PIPELINE: usize = 100;
/// Memory that one task may fill with keys and values before it sends them.
const BATCH_BYTES: usize = 4 << 20;
/// With so many failed keys there is no point in going on.
const TOO_MANY: u64 = 1000;
/// How long keys that are on the move are waited for when they are counted, and how often.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);

struct Options {
    url: Option<String>,
    keys: u64,
    value_size: Option<usize>,
    concurrency: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(lexopt::Parser::from_env()) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error}; --help lists the options");
            return ExitCode::from(2);
        }
    };
    match run(options).await {
        Ok(problems) if problems.is_empty() => ExitCode::SUCCESS,
        Ok(problems) => {
            problems.iter().for_each(|problem| eprintln!("error: {problem}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            cluster::exit_code(error.as_ref())
        }
    }
}

/// Loads, reports, checks. The result is what is not as it should be.
async fn run(mut options: Options) -> Result<Vec<String>, Box<dyn Error>> {
    let cluster = Cluster::at_url_or_new(options.url.take()).await?;
    let client = cluster.connect().await?;
    let before = count_keys(&client).await?;
    let started = Instant::now();
    let tally = load(&client, &options).await?;
    let took = started.elapsed();
    let mut problems = tally.problem(options.keys);

    let had = before.values().sum::<u64>();
    let after = count_patiently(&client, had + tally.written).await.unwrap_or_else(|error| {
        problems.push(format!("the keys cannot be counted: {error}"));
        BTreeMap::new()
    });
    let (map, stats) = (client.slot_map(), client.stats());
    print!("{}", Report { tally: &tally, took, map: &map, stats: &stats, before: &before, after: &after });
    let has = after.values().sum::<u64>();
    // More than that is fine: others may write too.
    if !after.is_empty() && has < had + tally.written {
        problems.push(format!("DBSIZE grew from {had} to {has}, by less than the keys written"));
    }

    let sample = &tally.sample;
    match count_wrong(&client, sample, &options).await {
        Ok(0) => println!("Read back {}, all as they were written.", HumanCount(sample.len() as u64)),
        Ok(wrong) => {
            problems.push(format!("{wrong} of {} keys read back are missing or wrong", sample.len()))
        }
        Err(error) => problems.push(format!("keys cannot be read back: {error}")),
    }
    client.close().await;
    Ok(problems)
}

/// Writes all keys from several tasks; what becomes of them is put together here.
async fn load(client: &Client, options: &Options) -> Result<Tally, Box<dyn Error>> {
    let bar = ProgressBar::new(options.keys).with_style(ProgressStyle::with_template(
        "{bar:40} {human_pos} of {human_len} keys, {per_sec:0}, {eta} left",
    )?);
    let (report, mut reports) = mpsc::channel(64);
    let mut tasks = JoinSet::new();
    for task in 0..options.concurrency {
        let keys = (options.keys + task) / options.concurrency;
        let (batch, value_size) = (options.batch(client), options.value_size);
        tasks.spawn(write_keys(client.clone(), keys, batch, value_size, report.clone()));
    }
    drop(report);

    let mut tally = Tally::default();
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    every_second.reset();
    while tally.failed() < TOO_MANY {
        tokio::select! {
            sent = reports.recv() => match sent {
                Some(sent) => tally.add(sent)?,
                None => break,
            },
            _ = every_second.tick() => if bar.is_hidden() {
                // Not a terminal: lines instead of a bar.
                eprintln!("{} of {} keys", HumanCount(tally.written), HumanCount(options.keys));
            }
        }
        bar.set_position(tally.written);
    }
    bar.finish_and_clear();
    // After too many failures some tasks are still at it.
    if tally.failed() >= TOO_MANY {
        tasks.abort_all();
    }
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(result) => result?,
            Err(error) if error.is_cancelled() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(tally)
}

/// One task: writes so many keys, a batch at a time. A single pipeline could take a whole batch, whatever its slots;
/// here each primary gets a pipeline, to see how long each primary takes.
async fn write_keys(
    client: Client,
    keys: u64,
    batch: usize,
    value_size: Option<usize>,
    report: mpsc::Sender<Sent>,
) -> keyslot::Result<()> {
    let mut pipelines: BTreeMap<Option<NodeAddr>, Batch> = BTreeMap::new();
    let mut left = keys;
    while left > 0 {
        let map = client.slot_map();
        for _ in 0..left.min(batch as u64) {
            let key = Uuid::new_v4();
            let slot = Slot::of_key(name_of(&key).as_bytes());
            let primary = map.primary_of(slot).map(|node| node.addr.clone());
            let batch = pipelines
                .entry(primary)
                .or_insert_with(|| Batch { pipeline: client.pipeline(), keys: Vec::new() });
            batch.pipeline.set(name_of(&key), value_of(&key, value_size));
            batch.keys.push((key, slot));
        }
        left = left.saturating_sub(batch as u64);
        try_join_all(pipelines.iter_mut().map(|(primary, batch)| batch.send(primary, &report))).await?;
    }
    Ok(())
}

/// The keys that one pipeline is to write.
struct Batch {
    pipeline: Pipeline,
    keys: Vec<(Uuid, Slot)>,
}

impl Batch {
    async fn send(&mut self, primary: &Option<NodeAddr>, report: &mpsc::Sender<Sent>) -> keyslot::Result<()> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let results = self.pipeline.run_each().await?;
        let took = started.elapsed();
        self.pipeline.clear();
        let sent = Sent { primary: primary.clone(), took, keys: std::mem::take(&mut self.keys), results };
        // It fails only if the load was given up.
        let _given_up = report.send(sent).await;
        Ok(())
    }
}

/// The number of keys on each primary. Without a target the client would ask all primaries and give the sum.
async fn count_keys(client: &Client) -> keyslot::Result<BTreeMap<NodeAddr, u64>> {
    let map = client.slot_map();
    let primaries: Vec<&NodeAddr> = map.shards().map(|shard| &shard.primary().addr).collect();
    let mut pipeline = client.pipeline();
    pipeline.extend(primaries.iter().map(|node| Command::new("DBSIZE").to(Target::Node((*node).clone()))));
    let counts: Vec<u64> = pipeline.run().await?;
    Ok(primaries.into_iter().cloned().zip(counts).collect())
}

/// The same, again and again for a while if there are fewer than `expected`: a key that moves from a primary which is asked late
/// to one that has answered already is in neither number.
async fn count_patiently(client: &Client, expected: u64) -> keyslot::Result<BTreeMap<NodeAddr, u64>> {
    let begin = Instant::now();
    loop {
        let counts = count_keys(client).await?;
        if counts.values().sum::<u64>() >= expected || begin.elapsed() >= PATIENCE {
            return Ok(counts);
        }
        sleep(LOOK).await;
    }
}

/// How many of these keys do not hold what was written to them.
async fn count_wrong(client: &Client, keys: &[Uuid], options: &Options) -> keyslot::Result<usize> {
    let mut wrong = 0;
    for keys in keys.chunks(options.batch(client)) {
        // The keys are in many slots: the client splits the command and puts the values into the keys' order.
        let values: Vec<Option<Bytes>> = client.mget(keys.iter().map(name_of)).await?;
        let expected = keys.iter().map(|key| value_of(key, options.value_size));
        wrong += expected.zip(values).filter(|(expected, value)| value.as_ref() != Some(expected)).count();
    }
    Ok(wrong)
}

fn name_of(key: &Uuid) -> String {
    key.simple().to_string()
}

/// The value follows from the key, so that a key is all that must be remembered to check it.
fn value_of(key: &Uuid, size: Option<usize>) -> Bytes {
    match size {
        None => (key.as_u128() % 1_000_000 + 1).to_string().into(),
        Some(size) => name_of(key).bytes().cycle().take(size).collect(),
    }
}

impl Options {
    /// `None` if help is wanted.
    fn parse(mut parser: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        let mut options =
            Self { url: url_option::from_environment(), keys: 1000, value_size: None, concurrency: 16 };
        while let Some(arg) = parser.next()? {
            match arg {
                Long("url") => options.url = Some(parser.value()?.string()?),
                Long("keys") => options.keys = number(&mut parser, "--keys", 1..=1_000_000_000_000)?,
                Long("value-size") => {
                    options.value_size = Some(number(&mut parser, "--value-size", 0..=512 << 20)? as usize);
                }
                Long("concurrency") => {
                    options.concurrency = number(&mut parser, "--concurrency", 1..=10_000)?
                }
                Long("release") => eprintln!("note: --release is cargo's: it goes before the --"),
                Short('h') | Long("help") => return Ok(None),
                other => return Err(other.unexpected()),
            }
        }
        options.concurrency = options.concurrency.min(options.keys);
        Ok(Some(options))
    }

    /// How many keys a task writes at a time: a pipeline for each primary, but not too much memory.
    fn batch(&self, client: &Client) -> usize {
        let primaries = client.slot_map().shards().count();
        let affordable = BATCH_BYTES / (self.value_size.unwrap_or(0) + 200);
        let share = usize::try_from(self.keys.div_ceil(self.concurrency)).unwrap_or(usize::MAX);
        (PIPELINE * primaries).min(affordable).min(share).max(1)
    }
}

fn number(
    parser: &mut lexopt::Parser,
    option: &str,
    allowed: RangeInclusive<u64>,
) -> Result<u64, lexopt::Error> {
    let text = parser.value()?.string()?;
    text.parse().ok().filter(|number| allowed.contains(number)).ok_or_else(|| {
        let (least, most) = allowed.into_inner();
        format!("{option} {text}: expected a whole number from {least} to {most}").into()
    })
}
