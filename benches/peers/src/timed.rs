//! The timed loops: the same for every client, which is a type parameter, so that nothing stands between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::adapter::{Adapter, Bulk, Key, Result, Value};
use crate::keys::{self, Pool};
use crate::latency;
use crate::workload::{Shape, Workload};

/// When a task ends.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// After so long; a request under way is awaited.
    Time(Duration),
    /// After so many operations of all tasks together, rounded up to whole requests for each task.
    Ops(u64),
}

/// What all tasks did.
#[derive(Clone, Copy, Default)]
pub(crate) struct Done {
    pub(crate) requests: u64,
    pub(crate) ops: u64,
    pub(crate) took: Duration,
}

/// Requests of one kind; each task has a clone.
trait Requests<A: Adapter>: Clone + Send + 'static {
    /// Sends one, checks the replies, and says how many operations that was; 0 if there is nothing left to do.
    fn one(&mut self, client: &mut A, random: &mut fastrand::Rng)
    -> impl Future<Output = Result<u64>> + Send;
}

/// Runs a workload once.
pub(crate) async fn run<A: Adapter>(
    client: &A,
    workload: &Workload,
    pool: Pool,
    limit: Limit,
) -> Result<Done> {
    let tasks = workload.tasks;
    let limit = match limit {
        Limit::Ops(ops) if tasks > 0 => Limit::Ops(ops.div_ceil(workload.ops() * tasks as u64)),
        other => other,
    };
    match workload.shape {
        Shape::Get => drive(client, Get(pool), tasks, limit).await,
        Shape::Set => drive(client, Set(pool), tasks, limit).await,
        Shape::Mix => drive(client, Mix(pool), tasks, limit).await,
        Shape::Pipeline(many) => drive(client, Pipeline(pool, many), tasks, limit).await,
        Shape::Tagged(many) => drive(client, Tagged(pool, many), tasks, limit).await,
        Shape::Mget(many) => drive(client, Mget(pool, many), tasks, limit).await,
        Shape::LargeSet => drive(client, Set(pool), tasks, limit).await,
        Shape::LargeGet => drive(client, Get(pool), tasks, limit).await,
        // They end when all keys are written, which are made by [`load`].
        Shape::Bulk | Shape::BulkSingles => Err("a bulk load has no pool of keys".into()),
    }
}

/// So many new keys for a bulk load, made before its clock starts.
pub(crate) struct Fresh {
    keys: &'static [Key],
    value: Value,
}

impl Fresh {
    pub(crate) fn new(many: usize) -> Self {
        let (keys, value) = keys::fresh(many);
        Self { keys, value }
    }
}

/// Writes all of `fresh` once.
pub(crate) async fn load<A: Adapter>(
    client: &A,
    workload: &Workload,
    fresh: &Fresh,
    bulk: Bulk,
) -> Result<Done> {
    let (keys, value, next) = (fresh.keys, fresh.value, Arc::new(AtomicUsize::new(0)));
    // The tasks end by themselves when no key is left.
    let limit = Limit::Ops(u64::MAX);
    let done = if workload.shape == Shape::Bulk {
        let Bulk { tasks, batch } = bulk;
        drive(client, Batches { keys, value, next, batch }, tasks, limit).await?
    } else {
        drive(client, Singles { keys, value, next }, workload.tasks, limit).await?
    };
    if done.ops != keys.len() as u64 {
        return Err(format!("{} of {} keys were written", done.ops, keys.len()).into());
    }
    Ok(done)
}

/// `limit` is for each task.
async fn drive<A: Adapter>(
    client: &A,
    requests: impl Requests<A>,
    tasks: usize,
    limit: Limit,
) -> Result<Done> {
    let started = Instant::now();
    let mut running = JoinSet::new();
    for number in 0..tasks {
        running.spawn(task(client.clone(), requests.clone(), started, limit, number as u64));
    }
    let mut done = Done::default();
    while let Some(ended) = running.join_next().await {
        let one = ended??;
        done.requests += one.requests;
        done.ops += one.ops;
    }
    done.took = started.elapsed();
    Ok(done)
}

async fn task<A: Adapter>(
    mut client: A,
    mut requests: impl Requests<A>,
    started: Instant,
    limit: Limit,
    seed: u64,
) -> Result<Done> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut done = Done::default();
    let mut last = Instant::now();
    loop {
        let ops = requests.one(&mut client, &mut random).await?;
        if ops == 0 {
            return Ok(done);
        }
        let now = Instant::now();
        latency::record(now - last);
        last = now;
        done.requests += 1;
        done.ops += ops;
        let is_over = match limit {
            Limit::Time(time) => now - started >= time,
            Limit::Ops(requests) => done.requests >= requests,
        };
        if is_over {
            return Ok(done);
        }
    }
}

/// The length and both ends, which is all of a small value. Comparing 64 KiB would cost more than some clients do.
fn check(reply: Option<impl AsRef<[u8]>>, expected: &Bytes) -> Result<()> {
    const END: usize = 64;
    let Some(reply) = reply else { return Err("a key that exists was answered with nil".into()) };
    let reply = reply.as_ref();
    if reply.len() == expected.len()
        && reply.first_chunk::<END>() == expected.first_chunk::<END>()
        && reply.last_chunk::<END>() == expected.last_chunk::<END>()
    {
        Ok(())
    } else {
        Err(format!(
            "the reply is another key's: {:?}",
            String::from_utf8_lossy(reply).chars().take(END).collect::<String>()
        )
        .into())
    }
}

fn check_all(replies: Vec<Option<impl AsRef<[u8]>>>, keys: &[Key], expected: &[Bytes]) -> Result<u64> {
    if replies.len() != keys.len() {
        return Err(format!("{} replies to {} commands", replies.len(), keys.len()).into());
    }
    let many = replies.len() as u64;
    for (reply, expected) in replies.into_iter().zip(expected) {
        check(reply, expected)?;
    }
    Ok(many)
}

#[derive(Clone)]
struct Get(Pool);

impl<A: Adapter> Requests<A> for Get {
    async fn one(&mut self, client: &mut A, random: &mut fastrand::Rng) -> Result<u64> {
        let (key, value) = self.0.one(random)?;
        check(client.get(key).await?, value)?;
        Ok(1)
    }
}

#[derive(Clone)]
struct Set(Pool);

impl<A: Adapter> Requests<A> for Set {
    async fn one(&mut self, client: &mut A, random: &mut fastrand::Rng) -> Result<u64> {
        let (key, value) = self.0.one(random)?;
        client.set(key, value).await?;
        Ok(1)
    }
}

#[derive(Clone)]
struct Mix(Pool);

impl<A: Adapter> Requests<A> for Mix {
    async fn one(&mut self, client: &mut A, random: &mut fastrand::Rng) -> Result<u64> {
        let (key, value) = self.0.one(random)?;
        if random.bool() {
            check(client.get(key).await?, value)?;
        } else {
            client.set(key, value).await?;
        }
        Ok(1)
    }
}

#[derive(Clone)]
struct Pipeline(Pool, usize);

impl<A: Adapter> Requests<A> for Pipeline {
    async fn one(&mut self, client: &mut A, random: &mut fastrand::Rng) -> Result<u64> {
        let (keys, values) = self.0.some(self.1, random)?;
        check_all(client.pipeline_get(keys).await?, keys, values)
    }
}

#[derive(Clone)]
struct Tagged(Pool, usize);

impl<A: Adapter> Requests<A> for Tagged {
    async fn one(&mut self, client: &mut A, random: &mut fastrand::Rng) -> Result<u64> {
        let (keys, values) = self.0.some(self.1, random)?;
        check_all(client.pipeline_get_one_slot(keys).await?, keys, values)
    }
}

#[derive(Clone)]
struct Mget(Pool, usize);

impl<A: Adapter> Requests<A> for Mget {
    async fn one(&mut self, client: &mut A, random: &mut fastrand::Rng) -> Result<u64> {
        let (keys, values) = self.0.some(self.1, random)?;
        check_all(client.mget(keys).await?, keys, values)
    }
}

/// Pipelines of `SET`s, whose keys all tasks take from one list.
#[derive(Clone)]
struct Batches {
    keys: &'static [Key],
    value: Value,
    next: Arc<AtomicUsize>,
    batch: usize,
}

impl<A: Adapter> Requests<A> for Batches {
    async fn one(&mut self, client: &mut A, _random: &mut fastrand::Rng) -> Result<u64> {
        let start = self.next.fetch_add(self.batch, Ordering::Relaxed).min(self.keys.len());
        let end = (start + self.batch).min(self.keys.len());
        let keys = self.keys.get(start..end).unwrap_or_default();
        if keys.is_empty() {
            return Ok(0);
        }
        let written = client.pipeline_set(keys, self.value).await?;
        if written != keys.len() {
            return Err(format!("{written} of {} SETs were answered with OK", keys.len()).into());
        }
        Ok(written as u64)
    }
}

/// Single `SET`s, whose keys all tasks take from one list.
#[derive(Clone)]
struct Singles {
    keys: &'static [Key],
    value: Value,
    next: Arc<AtomicUsize>,
}

impl<A: Adapter> Requests<A> for Singles {
    async fn one(&mut self, client: &mut A, _random: &mut fastrand::Rng) -> Result<u64> {
        let Some(key) = self.keys.get(self.next.fetch_add(1, Ordering::Relaxed)) else { return Ok(0) };
        client.set(key, self.value).await?;
        Ok(1)
    }
}
