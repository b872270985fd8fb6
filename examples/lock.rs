//! A distributed lock that is right about clusters, and says what it cannot promise.
//!
//! ```text
//! cargo run --release --example lock
//! cargo run --release --example lock -- --url redis://127.0.0.1:7000 --tasks 16 --rounds 20
//! ```
//!
//! Without `--url` or `REDIS_URL` it starts a cluster of its own. It needs real servers, because it runs scripts. Elsewhere it
//! leaves no key behind and touches none that exists.
//!
//! What is behind it:
//!
//! - **A lease, not a lock.** `SET NX PX` with a random token: whoever holds it and dies leaves it to the next when its time is
//!   over. Only the owner of the token prolongs or releases it (by scripts, so that looking and changing are one).
//! - **Renewed by a task that its handle owns.** The task ends with the handle. When the lease cannot be prolonged in time, the
//!   handle says so by a token ([`Lock::lost`]), before another can have it: the lease counts here from before the request was sent.
//! - **A fencing token.** Each owner gets a larger number, by `INCR` of a second key in the same slot (by a hash tag), in the same
//!   script. What is protected must refuse a number that is smaller than one it has seen. This is what makes it right, because
//!   no lease can know that its process was stopped for a minute between a look at the clock and a write.
//! - **Copies.** With replicas, taking the lock waits (`WAIT`, by [`Pipeline::run_durable`](keyslot::Pipeline::run_durable)) until
//!   one has it, and gives it back if none says so in time. So a failover keeps the lock as a rule.
//! - **Repeated requests do no harm.** All three scripts do the same when they are executed twice with the same token, so they
//!   are `idempotent()`, and the client sends them again when a connection is lost.
//!
//! What it cannot promise:
//!
//! - Replication is asynchronous. `WAIT` counts copies and does not make the election choose one of them, and under a partition
//!   two primaries may think that they are it. After such a failover the lock may be free while somebody holds it, and the
//!   counter of fencing tokens may have gone back: two owners may even have the same number. So what is protected must
//!   keep the token beside the number, as [`ACCESS`] does, and refuses what it cannot tell apart.
//! - The servers' clocks say when a lease is over. One that jumps ends leases early.
//! - Redlock, which asks several independent servers, is another trade and not this.
//!
//! So: fine for work that should not be done twice at a time. Where doing it twice corrupts something, the fencing token
//! protects, not the lock; and where nothing checks that, take a system with consensus.

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::try_join_all;
use keyslot::{Client, Commands, Outcome, Script, ScriptCall, Slot};
use lexopt::Arg::{Long, Short};
use lexopt::ValueExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[path = "shared/cluster.rs"]
mod cluster;
#[path = "shared/progress.rs"]
mod progress;
#[path = "shared/url_option.rs"]
mod url_option;

use cluster::Cluster;

const HELP: &str = "\
Takes a lock under contention, after its owner was stopped for too long, and (only on a cluster of its own) through a failover.

  --url URL     the cluster, as redis://[user:password@]host[:port][,host[:port]...];
                REDIS_URL in the environment says the same;
                without either, one of 3 primaries and 3 replicas is started and removed
  --tasks N     how many tasks want the lock at a time (16)
  --rounds N    how often each of them takes it (10)
  -h, --help    this text
";

/// KEYS: the holder's token, the counter of fencing tokens. ARGV: a token, the lease in milliseconds.
/// Gives whether the lock is taken, the fencing token, and how many milliseconds the other's lease has.
const ACQUIRE: &str = "\
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return {1, redis.call('INCR', KEYS[2]), 0} end
if redis.call('GET', KEYS[1]) == ARGV[1] then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    return {1, tonumber(redis.call('GET', KEYS[2])), 0}
end
return {0, 0, redis.call('PTTL', KEYS[1])}
";

/// KEYS: the holder's token. ARGV: a token, the lease in milliseconds. Gives whether it is still the token's.
const RENEW: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
";

/// KEYS: the holder's token. ARGV: a token. Gives whether it was the token's.
const RELEASE: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
";

/// What a protected resource does, wherever it is: reads and writes with a smaller fencing token than one that it has seen are
/// refused, and so are those with the same number of another owner. Reads too, because from there on no earlier owner may write:
/// else his write could come between the read and the write of this one.
/// KEYS: the resource. ARGV: the fencing token, the owner's token, and a value to write if there is one. Gives whether it was
/// allowed, and the value.
const ACCESS: &str = "\
local seen = tonumber(redis.call('HGET', KEYS[1], 'fence') or '0')
local fence = tonumber(ARGV[1])
if fence < seen or (fence == seen and redis.call('HGET', KEYS[1], 'owner') ~= ARGV[2]) then return {0, '0'} end
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'owner', ARGV[2])
if ARGV[3] then redis.call('HSET', KEYS[1], 'value', ARGV[3]) end
return {1, redis.call('HGET', KEYS[1], 'value') or '0'}
";

/// For the clocks of here and there, which do not run equally fast.
const DRIFT: Duration = Duration::from_millis(5);
/// Longer than any failover of a cluster with the usual settings.
const PATIENCE: Duration = Duration::from_secs(60);
/// The protected resource: in another slot than the lock, on another node as a rule.
const RESOURCE: &str = "keyslot:example:lock:resource";

/// Locks by name. Cheap to clone.
#[derive(Clone)]
struct Locks {
    client: Client,
    lease: Duration,
    /// So many replicas must have it.
    copies: u32,
    acquire: Script,
    renew: Script,
    release: Script,
}

/// What came of an attempt.
enum Attempt {
    Taken(Box<Lock>),
    /// Somebody else has it, for so long if it is not renewed.
    Held(Duration),
    /// It was taken and given back: only so many replicas had it in time.
    TooFewCopies(u64),
}

/// A lock that is held, as far as one can know: see [`Lock::lost`]. Dropped without [`Lock::release`] it is not renewed any more,
/// and free when the lease is over.
struct Lock {
    locks: Locks,
    name: String,
    token: String,
    fence: u64,
    /// Until when it is surely held.
    until: watch::Receiver<Instant>,
    lost: CancellationToken,
    renewal: JoinHandle<()>,
}

impl Locks {
    fn new(client: Client, lease: Duration, copies: u32) -> Self {
        // The token says whose execution it is: a second one of the same does what the first has done.
        let script = |source| Script::new(source).idempotent();
        let (acquire, renew, release) = (script(ACQUIRE), script(RENEW), script(RELEASE));
        Self { client, lease, copies, acquire, renew, release }
    }

    /// Waits for the lock as long as it takes. Who comes first is left to chance.
    ///
    /// Dropping the future gives nothing back: if it was just taken, the lease runs out.
    async fn acquire(&self, name: &str) -> keyslot::Result<Lock> {
        loop {
            match self.try_acquire(name).await? {
                Attempt::Taken(lock) => return Ok(*lock),
                Attempt::Held(left) => {
                    let pause = Duration::from_millis(fastrand::u64(2..30));
                    sleep(pause.min(left.max(Duration::from_millis(1)))).await;
                }
                Attempt::TooFewCopies(_) => sleep(Duration::from_millis(fastrand::u64(50..100))).await,
            }
        }
    }

    async fn try_acquire(&self, name: &str) -> keyslot::Result<Attempt> {
        let token = Uuid::new_v4().simple().to_string();
        // From before it is sent: the server counts from later on, so it is over here first.
        let until = Instant::now() + self.lease - DRIFT;
        let attempt = self.ask(name, &token).await;
        let (is_taken, fence, left, copies) = match attempt {
            Ok(answer) => answer,
            Err(error) => {
                if error.outcome() == Outcome::MaybeExecuted {
                    // Perhaps it is ours. If this fails too, the lease runs out.
                    drop(self.release(name, &token).await);
                }
                return Err(error);
            }
        };
        if !is_taken {
            return Ok(Attempt::Held(Duration::from_millis(u64::try_from(left).unwrap_or(0))));
        }
        if copies < u64::from(self.copies) || until <= Instant::now() {
            self.release(name, &token).await?;
            return Ok(Attempt::TooFewCopies(copies));
        }
        let lost = CancellationToken::new();
        let (is_until, until) = watch::channel(until);
        let keeper = Keeper { locks: self.clone(), name: name.to_owned(), token: token.clone() };
        let renewal = tokio::spawn(keeper.keep(is_until, lost.clone()));
        let (locks, name) = (self.clone(), name.to_owned());
        Ok(Attempt::Taken(Box::new(Lock { locks, name, token, fence, until, lost, renewal })))
    }

    /// Whether it is taken, the fencing token, what the other's lease has left, and how many replicas have the answer.
    async fn ask(&self, name: &str, token: &str) -> keyslot::Result<(bool, u64, i64, u64)> {
        let (holder, counter) = keys_of(name);
        let call = self.acquire.key(holder).key(counter).arg(token).arg(millis(self.lease));
        if self.copies == 0 {
            let (is_taken, fence, left) = call.timeout(self.lease).run(&self.client).await?;
            return Ok((is_taken, fence, left, 0));
        }
        let mut unit = self.client.pipeline();
        unit.script(&call).timeout(self.lease);
        // On one connection: WAIT counts the writes of its own.
        let durable = unit.run_durable(self.copies, self.lease / 4).await?;
        let ((is_taken, fence, left),): ((bool, u64, i64),) = durable.read()?;
        // An error says that the copies are not known. Then none counts.
        let copies = durable.replicas().ok().flatten().unwrap_or(0);
        Ok((is_taken, fence, left, copies))
    }

    /// Whether it was the token's.
    async fn release(&self, name: &str, token: &str) -> keyslot::Result<bool> {
        self.release.key(keys_of(name).0).arg(token).run(&self.client).await
    }
}

impl Lock {
    /// Larger than that of each owner before, for what is protected to compare. After a failover that has lost writes it may not be.
    fn fence(&self) -> u64 {
        self.fence
    }

    /// Cancelled when it is not surely held any more: the lease could not be prolonged, or somebody else has it. What is
    /// protected should be left alone from there on; `lost().run_until_cancelled(work)` does that.
    ///
    /// It cannot be cancelled while the whole process is stopped: this is what [`Lock::fence`] is for.
    fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    fn is_held(&self) -> bool {
        !self.lost.is_cancelled() && Instant::now() < *self.until.borrow()
    }

    /// Gives it back. False: it was not ours any more, so somebody else may have been at work too.
    async fn release(mut self) -> keyslot::Result<bool> {
        self.renewal.abort();
        // No renewal is on its way behind the release.
        drop((&mut self.renewal).await);
        self.locks.release(&self.name, &self.token).await
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Renews one lock until it is lost, or its handle ends the task.
struct Keeper {
    locks: Locks,
    name: String,
    token: String,
}

impl Keeper {
    async fn keep(self, is_until: watch::Sender<Instant>, lost: CancellationToken) {
        // However this ends, nobody may go on as if the lock were held.
        let _lost = lost.drop_guard();
        let Locks { client, lease, renew, .. } = &self.locks;
        loop {
            let until = *is_until.borrow();
            sleep_until(until - *lease * 2 / 3).await;
            let next = Instant::now() + *lease - DRIFT;
            let call: ScriptCall<'_> = renew.key(keys_of(&self.name).0).arg(&self.token).arg(millis(*lease));
            match timeout_at(until, call.run::<bool>(client)).await {
                Ok(Ok(true)) => drop(is_until.send_replace(next)),
                Ok(Ok(false)) | Err(_) => return,
                // No answer that says anything: once more, as long as there is time.
                Ok(Err(_)) if Instant::now() < until => sleep(*lease / 20).await,
                Ok(Err(_)) => return,
            }
        }
    }
}

/// The holder and the counter, in one slot by their tag.
fn keys_of(name: &str) -> (String, String) {
    (format!("keyslot:example:lock:{{{name}}}:holder"), format!("keyslot:example:lock:{{{name}}}:fence"))
}

fn millis(time: Duration) -> u64 {
    time.as_millis() as u64
}

struct Options {
    url: Option<String>,
    tasks: usize,
    rounds: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    url_option::run_with(HELP, parse, run).await
}

async fn run(Options { url, tasks, rounds }: Options) -> Result<(), Box<dyn Error>> {
    let is_ours = url.is_none();
    let cluster = Cluster::at_url_or_servers(url).await?;
    let client = cluster.connect().await?;
    let (holder, counter) = keys_of("stock");
    let keys = [holder.as_str(), &counter, RESOURCE];
    if client.exists(keys).await? > 0 {
        return Err(
            "keys of the name keyslot:example:lock:* exist already, and this would change them".into()
        );
    }
    let slot = Slot::of_key(holder.as_bytes());
    let map = client.slot_map();
    let shard = map.shards().find(|shard| shard.slots().any(|of_shard| of_shard == slot));
    let copies = u32::from(shard.is_some_and(|shard| shard.replicas().count() > 0));
    println!("The lock is in slot {slot}; {} replica must have it.", if copies > 0 { "one" } else { "no" });
    let shown = async {
        contend(&Locks::new(client.clone(), Duration::from_secs(2), copies), tasks, rounds).await?;
        sleep_too_long(&Locks::new(client.clone(), Duration::from_millis(600), copies)).await?;
        if is_ours {
            fail_over(&cluster, &Locks::new(client.clone(), Duration::from_secs(8), copies), slot).await?;
        } else {
            println!("\nA primary is killed only on a cluster of its own (without --url).");
        }
        Ok(())
    };
    let shown: Result<(), Box<dyn Error>> = shown.await;
    client.del(keys).await?;
    client.close().await;
    shown
}

/// Reads what is protected, or writes it, in the name of an owner. `None`: refused, because a later owner was there already.
///
/// Not marked as idempotent, as the lock's own scripts are: repeated, a write could overtake a later one of the same owner.
async fn access(lock: &Lock, value: Option<u64>) -> keyslot::Result<Option<u64>> {
    let script = Script::new(ACCESS);
    let call = script.key(RESOURCE).arg(lock.fence()).arg(&lock.token).args(value);
    let (is_allowed, value): (bool, u64) = call.run(&lock.locks.client).await?;
    Ok(is_allowed.then_some(value))
}

/// Tasks add one to a number by reading and writing it, which is right only if one does it at a time.
async fn contend(locks: &Locks, tasks: usize, rounds: u64) -> Result<(), Box<dyn Error>> {
    let all = tasks as u64 * rounds;
    println!(
        "\n{tasks} tasks add 1 to a number {rounds} times each, by reading and writing it under the lock:"
    );
    let [inside, most, done, refused]: &[AtomicU64; 4] = &Default::default();
    let begin = Instant::now();
    let work = try_join_all((0..tasks).map(|_| async {
        let mut longest = Duration::ZERO;
        for _ in 0..rounds {
            let asked = Instant::now();
            let lock = locks.acquire("stock").await?;
            longest = longest.max(asked.elapsed());
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let mut written = None;
            if let Some(value) = access(&lock, None).await? {
                sleep(Duration::from_millis(1)).await; // where another would get in between, without the lock
                written = access(&lock, Some(value + 1)).await?;
            }
            inside.fetch_sub(1, Ordering::SeqCst);
            // A lease that was over too early: on a machine that is busy for seconds, say.
            refused.fetch_add(u64::from(written.is_none()), Ordering::Relaxed);
            lock.release().await?;
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<_, keyslot::Error>(longest)
    }));
    let longest = progress::shown(all, "additions", done, work).await?.into_iter().max().unwrap_or_default();
    let (value, fence): (Option<u64>, Option<u64>) = locks.client.hmget(RESOURCE, ["value", "fence"]).await?;
    let (value, refused) = (value.unwrap_or(0), refused.load(Ordering::Relaxed));
    println!(
        "The number is {value} of {all} ({refused} refused), at most {} at a time, the last fencing token {}; \
         {:.1?} in all, {longest:.1?} the longest wait.",
        most.load(Ordering::Relaxed),
        fence.unwrap_or(0),
        begin.elapsed()
    );
    if value + refused == all { Ok(()) } else { Err("the lock has let two in at a time".into()) }
}

/// An owner whose process is stopped for longer than its lease, and does not know.
async fn sleep_too_long(locks: &Locks) -> Result<(), Box<dyn Error>> {
    println!("\nAn owner is stopped for longer than its lease of {:?}:", locks.lease);
    let ann = locks.acquire("stock").await?;
    println!("ann has fencing token {}, and is stopped (nothing renews her lease)", ann.fence());
    // A stopped process runs no task and notices nothing; her handle does notice, because the rest of her runs on here.
    ann.renewal.abort();
    let bo = timeout(PATIENCE, locks.acquire("stock")).await??;
    println!("bo has it now, with fencing token {}; ann's handle says held: {}", bo.fence(), ann.is_held());
    let (by_bo, by_ann) = (access(&bo, Some(1)).await?.is_some(), access(&ann, Some(2)).await?.is_some());
    println!("bo's write was taken: {by_bo}; ann's, who wakes up and goes on: {by_ann}");
    println!("ann's release finds it hers: {}; bo's: {}", ann.release().await?, bo.release().await?);
    if by_bo && !by_ann { Ok(()) } else { Err("the fencing token has not protected".into()) }
}

/// What a failover does to a lock that is held.
async fn fail_over(cluster: &Cluster, locks: &Locks, slot: Slot) -> Result<(), Box<dyn Error>> {
    let map = locks.client.slot_map();
    let primary = map.primary_of(slot).map(|node| node.addr.clone()).ok_or("nobody serves the slot")?;
    println!(
        "\n{primary}, which has the lock, is killed while it is held, with a lease of {:?}:",
        locks.lease
    );
    let ann = locks.acquire("stock").await?;
    let begin = Instant::now();
    cluster.kill(&primary)?;
    // As work that takes longer than a lease.
    let work = sleep(locks.lease + Duration::from_secs(4));
    let is_done = ann.lost().run_until_cancelled(work).await.is_some();
    println!(
        "{:.1?} later, fencing token {}: {}",
        begin.elapsed(),
        ann.fence(),
        if is_done {
            "renewed at the promoted replica, the work was done"
        } else {
            "lost, the work was stopped"
        }
    );
    let attempt = locks.try_acquire("stock").await?;
    match (&attempt, is_done) {
        (Attempt::Held(left), _) => println!("Another who asks: held, for {left:.1?} more"),
        (Attempt::Taken(other), true) => println!("Another has it at the same time, with {}", other.fence()),
        (Attempt::Taken(other), false) => println!("Another has it now, with {}", other.fence()),
        (Attempt::TooFewCopies(copies), _) => println!(
            "Another who asks: it is free, and {copies} replicas could have it (the promoted one has none)"
        ),
    }
    println!("It is given back, and was ours: {}", ann.release().await?);
    match attempt {
        Attempt::Taken(_) if is_done => Err("two had the lock".into()),
        Attempt::Taken(other) => other.release().await.map(|_was_ours| ()).map_err(Into::into),
        Attempt::Held(_) | Attempt::TooFewCopies(_) => Ok(()),
    }
}

/// `None` if help is wanted.
fn parse(mut parser: lexopt::Parser) -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options { url: url_option::from_environment(), tasks: 16, rounds: 10 };
    while let Some(arg) = parser.next()? {
        match arg {
            Long("url") => options.url = Some(parser.value()?.string()?),
            Long("tasks") => options.tasks = parser.value()?.parse()?,
            Long("rounds") => options.rounds = parser.value()?.parse()?,
            Long("release") => eprintln!("note: --release is cargo's: it goes before the --"),
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(options))
}
