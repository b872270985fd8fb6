//! Full load for a long time, with the memory of this process every few seconds: `scripts/soak --minutes 30`.
//!
//! 64 tasks by single commands, pipelines, splits and transactions on a key space that does not grow, on three primaries
//! that it starts by itself. Every reply is checked. The last lines say how flat the memory was behind the first tenth.
//!
//! Two figures: what the system gives this process (RSS), and what the program itself holds (live bytes, by an allocator
//! that counts). The first may rise while the second does not: the allocator keeps pages that are full of holes. A leak is
//! what the second shows.

use std::alloc::System;
use std::error::Error;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, Commands};
use lexopt::prelude::{Long, ValueExt};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

type Done<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const HELP: &str = "soak: how long? scripts/soak --minutes 30 [--server redis-7.0] [--every SECONDS]";

const TASKS: usize = 64;

/// Keys of each task.
const KEYS: usize = 200;

struct Options {
    time: Duration,
    every: Duration,
    server: Option<String>,
}

fn options() -> Done<Option<Options>> {
    let mut options = Options { time: Duration::ZERO, every: Duration::from_secs(5), server: None };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("minutes") => {
                options.time = Duration::try_from_secs_f64(parser.value()?.parse::<f64>()? * 60.0)?
            }
            Long("every") => options.every = Duration::try_from_secs_f64(parser.value()?.parse()?)?,
            Long("server") => options.server = Some(parser.value()?.string()?),
            // `cargo bench` says so to every bench.
            Long("bench") => {}
            other => return Err(other.unexpected().into()),
        }
    }
    Ok((!options.time.is_zero()).then_some(options))
}

fn main() -> Done {
    let Some(options) = options()? else {
        println!("{HELP}");
        return Ok(());
    };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(soak(options))
}

async fn soak(options: Options) -> Done {
    let server = options.server.map_or_else(Server::find, |name| Server::named(&name))?;
    let cluster = LocalCluster::builder().server(server).start().await?;
    let client = Client::connect(cluster.url()).await?;
    let calls = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        tasks.spawn(load(task, client.clone(), Arc::clone(&calls)));
    }
    println!("{}, {TASKS} tasks, {:?}", cluster.server().version(), options.time);
    println!(
        "{:>9} {:>12} {:>12} {:>12} {:>12}",
        "seconds", "commands/s", "RSS KiB", "live KiB", "live blocks"
    );
    let begin = Instant::now();
    let mut samples: Vec<Sample> = Vec::new();
    let mut before = (begin, 0);
    while begin.elapsed() < options.time {
        tokio::select! {
            () = tokio::time::sleep(options.every) => {}
            ended = tasks.join_next() => {
                let Some(ended) = ended else { return Err("no task is left".into()) };
                ended??;
                return Err("a task has ended".into());
            }
        }
        let (now, done, rss) = (Instant::now(), calls.load(Ordering::Relaxed), memory("VmRSS")?);
        let rate = (done - before.1) as f64 / (now - before.0).as_secs_f64();
        let seconds = begin.elapsed().as_secs_f64();
        let (live, blocks) = live();
        println!("{seconds:>9.1} {rate:>12.0} {rss:>12} {live:>12} {blocks:>12}");
        samples.push(Sample { seconds, rss, live });
        before = (now, done);
    }
    let settled = samples.get(samples.len() / 10..).unwrap_or_default();
    println!(
        "{} commands; behind the first tenth, with the line of least squares:",
        calls.load(Ordering::Relaxed)
    );
    tell("RSS", settled, |sample| sample.rss);
    tell("live", settled, |sample| sample.live);
    println!("peak of RSS: {} KiB", memory("VmHWM")?);
    println!("{:?}", client.stats());
    Ok(())
}

/// One look at the memory, in KiB.
struct Sample {
    seconds: f64,
    rss: u64,
    live: u64,
}

/// What the program holds of the heap: KiB, and blocks.
fn live() -> (u64, u64) {
    let stats = COUNTING.stats();
    let bytes = stats.bytes_allocated.saturating_sub(stats.bytes_deallocated);
    ((bytes >> 10) as u64, stats.allocations.saturating_sub(stats.deallocations) as u64)
}

fn tell(name: &str, samples: &[Sample], of: impl Fn(&Sample) -> u64) {
    let points: Vec<(f64, f64)> = samples.iter().map(|sample| (sample.seconds, of(sample) as f64)).collect();
    let (least, most) = (samples.iter().map(&of).min(), samples.iter().map(&of).max());
    println!(
        "{name:>6}: {} to {} KiB, {:+.1} KiB a minute",
        least.unwrap_or_default(),
        most.unwrap_or_default(),
        slope(&points) * 60.0
    );
}

/// The line of least squares: KiB for each second.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), (at, size)| (x + at / count, y + size / count));
    let (up, down) = points
        .iter()
        .fold((0.0, 0.0), |(up, down), (at, size)| (up + (at - x) * (size - y), down + (at - x) * (at - x)));
    if down > 0.0 { up / down } else { 0.0 }
}

/// A line of `/proc/self/status`, in KiB.
fn memory(name: &str) -> Done<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number =
        line.and_then(|line| line.split_ascii_whitespace().next()).ok_or("the system does not say")?;
    Ok(number.parse()?)
}

async fn load(task: usize, client: Client, calls: Arc<AtomicU64>) -> Done {
    let mut random = fastrand::Rng::with_seed(task as u64);
    let key = |number: usize| format!("{{{task}:{number}}}");
    let check = |is_right: bool, what: &str| {
        if is_right { Ok(()) } else { Err(format!("task {task}: wrong: {what}")) }
    };
    for round in 0_usize.. {
        // Of all sizes, so that the buffers grow and give back.
        let length = if random.u32(0..50) == 0 { random.usize(0..100_000) } else { random.usize(0..200) };
        let value = format!("{task}:{round}:{}", "x".repeat(length));
        let number = random.usize(0..KEYS);
        let many: Vec<String> = (0..20).map(|place| key((number + place) % KEYS)).collect();
        let count = match task % 4 {
            0 => {
                client.set(key(number), &value).await?;
                check(client.get::<String>(key(number)).await? == value, "GET")?;
                2
            }
            1 => {
                let mut pipe = client.pipeline();
                for key in &many {
                    pipe.set(key, round).get(key);
                }
                let replies: Vec<keyslot::Value> = pipe.run().await?;
                let expected = round.to_string();
                let is_right = replies.iter().skip(1).step_by(2).all(|got| got.as_str() == Some(&expected));
                check(is_right, "pipeline")?;
                2 * many.len()
            }
            2 => {
                client.mset(many.iter().map(|key| (key, round))).await?;
                check(client.mget::<Vec<usize>>(&many).await? == vec![round; many.len()], "MGET")?;
                2 * many.len()
            }
            _ => {
                let mut transaction = client.transaction();
                transaction.set(key(number), &value).get(key(number));
                let ((), got): ((), String) = transaction.run().await?;
                check(got == value, "transaction")?;
                2
            }
        };
        calls.fetch_add(count as u64, Ordering::Relaxed);
    }
    Ok(())
}
