//! A rate limiter that is right about clusters: at most so many requests of each subject in any window of time, however many
//! processes ask.
//!
//! ```text
//! cargo run --release --example rate_limiter
//! cargo run --release --example rate_limiter -- --url redis://127.0.0.1:7000 --limit 100 --window 1000 --tasks 64
//! ```
//!
//! Without `--url` or `REDIS_URL` it starts a cluster of its own. It needs real servers, because it runs a script. Elsewhere it
//! leaves no key behind and touches none that exists.
//!
//! What is behind it:
//!
//! - **One key for each subject, one script.** What is counted together is in one slot, and is looked at and changed at once by
//!   one node. Different subjects are in different slots, so the load spreads over the cluster. Keys of the same subject that belong
//!   to other parts of the program can join it by the hash tag.
//! - **The server's time.** The clocks of callers differ; the one of the node that holds the key is the same for all. After a
//!   failover it is another node's clock, so time never goes back behind the last entry.
//! - **A charge has a name.** The key is a log of charges (a sorted set by time), and writing a name twice changes nothing. So the
//!   script does no harm when it is executed twice, and is marked as `idempotent()`: when a connection is cut behind a request, the
//!   client sends it again by itself. A counter (`INCR`) cannot have that: there a lost reply means to count twice or not to know.
//! - **What it cannot do.** Replication is asynchronous: charges that a primary acknowledged just before it died may be missing on
//!   the replica that takes over, and so many more requests may pass. A limiter that must not do that needs `WAIT` for each charge
//!   (see the example `lock`), and even this is no guarantee. And when no answer comes at all until the deadline, the program has
//!   to decide: here that is an error, and the caller says whether it lets the request pass.
//!
//! The log takes memory for each charge in the window. For limits of many thousands take a counter of buckets or GCRA, and
//! live with charges that are not known.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::{join_all, try_join_all};
use keyslot::{Client, Command, Commands, ErrorKind, Script, Slot, Target};
use lexopt::Arg::{Long, Short};
use lexopt::ValueExt;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

#[path = "shared/cluster.rs"]
mod cluster;
#[path = "shared/progress.rs"]
mod progress;
#[path = "shared/url_option.rs"]
mod url_option;

use cluster::Cluster;

const HELP: &str = "\
Limits the requests of each subject by one script on one key, and checks that under contention, while connections are cut, and
while a primary is killed (the last two only on a cluster of its own).

  --url URL    the cluster, as redis://[user:password@]host[:port][,host[:port]...];
               REDIS_URL in the environment says the same;
               without either, one of 3 primaries and 3 replicas is started and removed
  --limit N    requests of a subject that are allowed in a window (50)
  --window MS  the window in milliseconds (1000)
  --tasks N    how many tasks ask at a time (32)
  -h, --help   this text
";

/// KEYS[1]: the log of a subject. ARGV: the name of the charge, the limit, the window in microseconds.
/// Gives whether it is allowed, the server's time, how many more are, and how long to wait (both times in microseconds).
const CHARGE: &str = "\
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local newest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if newest[2] and tonumber(newest[2]) > now then now = tonumber(newest[2]) end
local window = tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local free = tonumber(ARGV[2]) - redis.call('ZCARD', KEYS[1])
local charged = redis.call('ZSCORE', KEYS[1], ARGV[1])
if charged then return {1, tonumber(charged), free, 0} end
if free > 0 then
    redis.call('ZADD', KEYS[1], now, ARGV[1])
    redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000) + 1)
    return {1, now, free - 1, 0}
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {0, now, 0, tonumber(oldest[2]) + window - now}
";

/// For load that is to be over soon whatever happens.
const ENOUGH: Duration = Duration::from_secs(4);
/// Longer than any failover of a cluster with the usual settings.
const PATIENCE: Duration = Duration::from_secs(60);
/// Charges of the part in which connections are cut.
const CHARGES: u64 = 4000;
const SUBJECTS: [&str; 3] = ["ann", "bo", "eve"];

/// At most `limit` charges of a subject in any `window`. Cheap to clone, as its client is.
#[derive(Clone)]
struct RateLimiter {
    client: Client,
    script: Script,
    limit: u64,
    window: Duration,
}

#[derive(Debug)]
enum Verdict {
    /// At the server's time, in microseconds.
    Allowed { at: u64 },
    /// There is room again after so long, if nobody else takes it.
    Denied { wait: Duration },
}

impl RateLimiter {
    fn new(client: Client, limit: u64, window: Duration) -> Self {
        // A charge that is executed twice is one charge: the client may send it again when a reply is lost.
        Self { client, script: Script::new(CHARGE).idempotent(), limit, window }
    }

    /// Charges `subject` for one request. `charge` names the request: the same name is charged once in a window, so whoever
    /// asks again, because no answer came, asks by the same name.
    ///
    /// An error means that it is not known whether there was room: the caller says whether to let the request pass. An answer
    /// that is of no use later is not waited for longer than `patience`.
    ///
    /// Dropping the future may leave the charge made.
    async fn charge(&self, subject: &str, charge: &str, patience: Duration) -> keyslot::Result<Verdict> {
        let call = self.script.key(key_of(subject)).arg(charge).arg(self.limit);
        let call = call.arg(self.window.as_micros() as u64).timeout(patience);
        let (allowed, at, _more, wait): (bool, u64, u64, u64) = call.run(&self.client).await?;
        Ok(if allowed {
            Verdict::Allowed { at }
        } else {
            Verdict::Denied { wait: Duration::from_micros(wait) }
        })
    }
}

/// The tag is the subject, so that everything of a subject is in one slot.
fn key_of(subject: &str) -> String {
    format!("keyslot:example:limit:{{{subject}}}")
}

struct Options {
    url: Option<String>,
    limit: u64,
    window: Duration,
    tasks: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    url_option::run_with(HELP, parse, run).await
}

async fn run(Options { url, limit, window, tasks }: Options) -> Result<(), Box<dyn Error>> {
    let is_ours = url.is_none();
    let cluster = Cluster::at_url_or_servers(url).await?;
    let client = cluster.connect().await?;
    let keys: Vec<String> = SUBJECTS.iter().map(|subject| key_of(subject)).collect();
    if client.exists(&keys).await? > 0 {
        return Err(
            "keys of the name keyslot:example:limit:* exist already, and this would change them".into()
        );
    }
    let limiter = RateLimiter::new(client.clone(), limit, window);
    let shown = async {
        contend(&limiter, tasks).await?;
        if is_ours {
            cut(&cluster, tasks).await?;
            fail_over(&cluster, &limiter).await?;
        } else {
            println!(
                "\nConnections are cut and a primary is killed only on a cluster of its own (without --url)."
            );
        }
        Ok(())
    };
    let shown: Result<(), Box<dyn Error>> = shown.await;
    client.del(&keys).await?;
    client.close().await;
    shown
}

#[derive(Default)]
struct Tally {
    /// When each allowed charge was made, by the server's time.
    allowed: BTreeMap<&'static str, Vec<u64>>,
    denied: BTreeMap<&'static str, u64>,
    unknown: u64,
}

impl Tally {
    fn add(&mut self, subject: &'static str, verdict: &keyslot::Result<Verdict>) {
        match verdict {
            Ok(Verdict::Allowed { at }) => self.allowed.entry(subject).or_default().push(*at),
            Ok(Verdict::Denied { .. }) => *self.denied.entry(subject).or_default() += 1,
            Err(_) => self.unknown += 1,
        }
    }

    fn merge(&mut self, other: Self) {
        for (subject, times) in other.allowed {
            self.allowed.entry(subject).or_default().extend(times);
        }
        for (subject, denied) in other.denied {
            *self.denied.entry(subject).or_default() += denied;
        }
        self.unknown += other.unknown;
    }
}

/// Many tasks ask for few subjects as fast as they can.
async fn contend(limiter: &RateLimiter, tasks: usize) -> Result<(), Box<dyn Error>> {
    println!(
        "\n{tasks} tasks ask for {ENOUGH:?}, {} requests of each subject are allowed in {:?}:",
        limiter.limit, limiter.window
    );
    let asked = AtomicU64::new(0);
    let begin = Instant::now();
    let work = join_all((0..tasks).map(|_| async {
        let mut tally = Tally::default();
        while begin.elapsed() < ENOUGH {
            let Some(subject) = fastrand::choice(SUBJECTS) else { break };
            let verdict = limiter.charge(subject, &name(), ENOUGH).await;
            asked.store(begin.elapsed().as_millis() as u64, Ordering::Relaxed);
            tally.add(subject, &verdict);
            if let Ok(Verdict::Denied { wait }) = verdict {
                // As a caller who means well does, but not all at the same moment.
                sleep(wait.min(Duration::from_millis(fastrand::u64(1..20)))).await;
            }
        }
        tally
    }));
    let mut tally = Tally::default();
    for of_task in progress::shown(ENOUGH.as_millis() as u64, "ms", &asked, work).await {
        tally.merge(of_task);
    }

    println!(
        "{:<8} {:>5}  {:<20} {:>8} {:>8}  most in a window",
        "subject", "slot", "primary", "allowed", "denied"
    );
    let map = limiter.client.slot_map();
    let mut most_of_all = 0;
    for subject in SUBJECTS {
        let slot = Slot::of_key(key_of(subject).as_bytes());
        let primary = map.primary_of(slot).map(|node| node.addr.to_string()).unwrap_or_default();
        let times = tally.allowed.remove(subject).unwrap_or_default();
        let denied = tally.denied.get(subject).copied().unwrap_or(0);
        let allowed = times.len();
        let most = most_in_a_window(times, limiter.window);
        println!("{subject:<8} {slot:>5}  {primary:<20} {allowed:>8} {denied:>8}  {most}");
        most_of_all = most_of_all.max(most);
    }
    println!("{} requests without an answer.", tally.unknown);
    if most_of_all as u64 > limiter.limit {
        return Err(format!("{most_of_all} in a window, more than {}", limiter.limit).into());
    }
    Ok(())
}

/// How many of these times are in that window which has the most.
fn most_in_a_window(mut times: Vec<u64>, window: Duration) -> usize {
    times.sort_unstable();
    let window = window.as_micros() as u64;
    let in_window_of = |(place, end): (usize, &u64)| {
        let first = times.partition_point(|time| time + window <= *end);
        place + 1 - first
    };
    times.iter().enumerate().map(in_window_of).max().unwrap_or(0)
}

/// Each charge is made once though connections are cut all the time; beside it a plain counter, which cannot promise that.
async fn cut(cluster: &Cluster, tasks: usize) -> Result<(), Box<dyn Error>> {
    println!("\n{CHARGES} charges, and as many INCRs, while all connections are cut every 40 ms:");
    // Its own, so that the counts of retries are those of this part; and one to cut by, which is spared.
    let (client, knife) = (Client::connect(&cluster.url).await?, Client::connect(&cluster.url).await?);
    let limiter = RateLimiter::new(client.clone(), CHARGES, PATIENCE);
    let counter = "keyslot:example:limit:counter";
    client.del([key_of("eve").as_str(), counter]).await?;
    let done = AtomicU64::new(0);
    let scissors = async {
        loop {
            sleep(Duration::from_millis(40)).await;
            let kill = Command::new("CLIENT KILL").arg("TYPE").arg("normal").to(Target::AllPrimaries);
            if let Err(error) = knife.execute_each::<u64>(kill).await {
                println!("Nothing was cut: {error}");
            }
        }
    };
    let each = (CHARGES as usize).div_ceil(tasks);
    let work = join_all((0..tasks).map(|task| {
        let (limiter, client, done) = (&limiter, &client, &done);
        async move {
            let (mut allowed, mut unknown, mut counted, mut not_known) = (0_u64, 0_u64, 0_u64, 0_u64);
            for _ in (task * each)..((task + 1) * each).min(CHARGES as usize) {
                match limiter.charge("eve", &name(), PATIENCE).await {
                    Ok(Verdict::Allowed { .. }) => allowed += 1,
                    Ok(Verdict::Denied { .. }) | Err(_) => unknown += 1,
                }
                match client.incr(counter).await {
                    Ok(_) => counted += 1,
                    Err(_) => not_known += 1,
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
            (allowed, unknown, counted, not_known)
        }
    }));
    let tallies = tokio::select! {
        tallies = progress::shown(CHARGES, "charges", &done, work) => tallies,
        () = scissors => Vec::new(),
    };
    let sum = |part: fn(&(u64, u64, u64, u64)) -> u64| tallies.iter().map(part).sum::<u64>();
    let (allowed, unknown) = (sum(|tally| tally.0), sum(|tally| tally.1));
    let (counted, not_known) = (sum(|tally| tally.2), sum(|tally| tally.3));
    let (log, count): (u64, u64) = (client.zcard(key_of("eve")).await?, client.get(counter).await?);
    client.del([counter]).await?;
    let stats = client.stats();
    println!("Connections lost: {}, commands sent again: {}.", stats.disconnects, stats.retries);
    println!("charges: {allowed} allowed, {unknown} without an answer, {log} in the log");
    println!(
        "INCR:    {counted} answered, {not_known} unknown (of these {} were executed), the counter is {count}",
        count.saturating_sub(counted)
    );
    tokio::join!(client.close(), knife.close());
    if unknown == 0 && log != allowed {
        return Err(format!("{allowed} charges are {log} in the log").into());
    }
    Ok(())
}

/// What a failover does to a limit.
async fn fail_over(cluster: &Cluster, limiter: &RateLimiter) -> Result<(), Box<dyn Error>> {
    let client = &limiter.client;
    let subject = "ann";
    let slot = Slot::of_key(key_of(subject).as_bytes());
    let primary =
        client.slot_map().primary_of(slot).map(|node| node.addr.clone()).ok_or("nobody serves it")?;
    println!("\n{primary}, which has the log of {subject}, is killed while charges are made:");
    // A window that is not over before all is counted, and no limit, so that all charges are in the log.
    let limiter = RateLimiter::new(client.clone(), u64::MAX >> 16, PATIENCE);
    client.del([key_of(subject)]).await?;
    let charged = AtomicU64::new(0);
    let is_over = AtomicU64::new(0);
    let begin = Instant::now();
    let load = try_join_all((0..8).map(|_| async {
        let (mut made, mut unknown) = (0_u64, Vec::new());
        while is_over.load(Ordering::Relaxed) == 0 && begin.elapsed() < PATIENCE {
            let charge = name();
            match limiter.charge(subject, &charge, Duration::from_secs(1)).await {
                Ok(_) => {
                    made += 1;
                    charged.fetch_add(1, Ordering::Relaxed);
                }
                // No answer for a second. A program that is to stay up would let this request pass or turn it away.
                Err(error) if error.kind() != ErrorKind::Server => unknown.push(charge),
                Err(other) => return Err(other),
            }
            sleep(Duration::from_millis(1)).await;
        }
        Ok((made, unknown))
    }));
    let kill = async {
        until(|| charged.load(Ordering::Relaxed) > 500).await;
        let before = charged.load(Ordering::Relaxed);
        cluster.kill(&primary)?;
        let killed = Instant::now();
        until(|| client.slot_map().primary_of(slot).is_some_and(|node| node.addr != primary)).await;
        let now = charged.load(Ordering::Relaxed);
        until(|| charged.load(Ordering::Relaxed) > now + 500).await;
        is_over.store(1, Ordering::Relaxed);
        Ok::<_, Box<dyn Error>>((before, killed.elapsed()))
    };
    let (load, killed) = tokio::join!(load, kill);
    let (tallies, (before, took)) = (load?, killed?);
    let made: u64 = tallies.iter().map(|(made, _)| made).sum();
    let unknown: Vec<&String> = tallies.iter().flat_map(|(_, unknown)| unknown).collect();
    let log: u64 = client.zcard(key_of(subject)).await?;
    let mut of_unknown = 0;
    for charge in &unknown {
        let score: Option<f64> = client.zscore(key_of(subject), charge).await?;
        of_unknown += u64::from(score.is_some());
    }
    println!("{before} charges before, and 500 more at the promoted replica {took:.1?} later.");
    println!(
        "{made} acknowledged, {} without an answer for a second (of these {of_unknown} were made); the log has {log}.",
        unknown.len()
    );
    match (made + of_unknown).checked_sub(log) {
        Some(0) => println!("None was lost; that is usual, and not promised."),
        Some(lost) => {
            println!("{lost} were acknowledged and lost with their primary: so many more could have passed.")
        }
        None => return Err("the log has charges that nobody made".into()),
    }
    Ok(())
}

async fn until(is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    // Whoever asked looks at what is there then.
    drop(timeout(PATIENCE, wait).await);
}

/// The name of a charge. In a server, that of the request: its `Idempotency-Key`, so that a request which the caller repeats
/// is charged once.
fn name() -> String {
    Uuid::new_v4().simple().to_string()
}

/// `None` if help is wanted.
fn parse(mut parser: lexopt::Parser) -> Result<Option<Options>, lexopt::Error> {
    let url = url_option::from_environment();
    let mut options = Options { url, limit: 50, window: Duration::from_secs(1), tasks: 32 };
    while let Some(arg) = parser.next()? {
        match arg {
            Long("url") => options.url = Some(parser.value()?.string()?),
            Long("limit") => options.limit = parser.value()?.parse()?,
            Long("window") => options.window = Duration::from_millis(parser.value()?.parse::<u64>()?.max(1)),
            Long("tasks") => options.tasks = parser.value()?.parse::<usize>()?.max(1),
            Long("release") => eprintln!("note: --release is cargo's: it goes before the --"),
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(options))
}
