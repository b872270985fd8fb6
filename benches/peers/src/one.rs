//! `one`: a client and a workload in a process of their own, and one [`Row`] on standard output.

use std::process;
use std::thread;
use std::time::Duration;

use tokio::runtime;

use crate::adapter::{Adapter, Bulk, Result};
use crate::adapters::floor::Floor;
use crate::adapters::fred::{Fred, FredPool};
use crate::adapters::keyslot::Keyslot;
use crate::adapters::redis::Redis;
use crate::adapters::rustis::Rustis;
use crate::c_benchmark;
use crate::keys::Pool;
use crate::programs::GLIDE;
use crate::row::Row;
use crate::timed::{self, Done, Fresh, Limit};
use crate::usage::{Cpu, Servers, memory_kib};
use crate::workload::{Shape, Workload};
use crate::{allocations, latency};

/// Every client, in the order of the tables.
pub(crate) const CLIENTS: &[&str] =
    &["keyslot", "redis", "fred", "fred-pool", "rustis", GLIDE, "floor", c_benchmark::NAME];

/// Both of tokio's, the second with two workers.
pub(crate) const RUNTIMES: &[&str] = &["current", "multi"];

/// Keys of a bulk load if no number is given.
pub(crate) const BULK_KEYS: usize = 1_000_000;

/// What `one` is asked for.
pub(crate) struct One {
    pub(crate) client: String,
    pub(crate) workload: &'static Workload,
    pub(crate) runtime: String,
    pub(crate) limit: Limit,
    /// In place of the client's own choice, to find it.
    pub(crate) bulk: Option<Bulk>,
    pub(crate) seeds: Vec<String>,
}

impl One {
    pub(crate) fn run(&self) -> Result<Row> {
        self.watch();
        match self.client.as_str() {
            "keyslot" => self.measure::<Keyslot>(),
            "redis" => self.measure::<Redis>(),
            "fred" => self.measure::<Fred>(),
            "fred-pool" => self.measure::<FredPool>(),
            "rustis" => self.measure::<Rustis>(),
            #[cfg(feature = "glide")]
            GLIDE => self.measure::<crate::adapters::glide::Glide>(),
            "floor" => self.measure::<Floor>(),
            c_benchmark::NAME => c_benchmark::run(self),
            other => {
                Err(format!("{other}: no such client in this build, there are {}", CLIENTS.join(", ")).into())
            }
        }
    }

    /// A client that hangs must not hang the rounds; a thread, because it may hang without yielding.
    fn watch(&self) {
        let limit = match self.limit {
            Limit::Time(time) => time * 3 + Duration::from_secs(30),
            // Under callgrind everything takes fifty times as long.
            Limit::Ops(_) => Duration::from_secs(300),
        };
        let name = format!("{} {}", self.client, self.workload.name);
        thread::spawn(move || {
            thread::sleep(limit);
            eprintln!("{name}: no end after {limit:?}, it hangs");
            process::exit(124);
        });
    }

    fn measure<A: Adapter>(&self) -> Result<Row> {
        let mut builder = match self.runtime.as_str() {
            "current" => runtime::Builder::new_current_thread(),
            "multi" => {
                let mut builder = runtime::Builder::new_multi_thread();
                builder.worker_threads(2);
                builder
            }
            other => {
                return Err(format!("{other}: no such runtime, there are {}", RUNTIMES.join(", ")).into());
            }
        };
        builder.enable_all().build()?.block_on(self.timed::<A>())
    }

    async fn timed<A: Adapter>(&self) -> Result<Row> {
        let name = self.workload.name;
        let servers = Servers::of(&self.seeds)?;
        let fresh = self.workload.is_bulk().then(|| Fresh::new(self.bulk_keys()));
        let pool = Pool::of(self.workload);
        let before_kib = memory_kib("VmRSS")?;
        let client = A::connect(&self.seeds).await.map_err(|error| format!("connect: {error}"))?;
        timed::run(&client, &self.warm_up_workload(), pool, self.warm_up()).await?;
        latency::reset();

        let (server, cpu, heap) = (servers.cpu()?, Cpu::own()?, allocations::now());
        let done = match &fresh {
            Some(fresh) => timed::load(&client, self.workload, fresh, self.bulk.unwrap_or(A::BULK)).await?,
            None => timed::run(&client, self.workload, pool, self.limit).await?,
        };
        let (heap, cpu, server) =
            (allocations::now().zip(heap), Cpu::own()?.since(cpu), servers.cpu()?.saturating_sub(server));

        let Done { requests, ops, took } = done;
        let per_op = |time: Duration| time.as_secs_f64() * 1e6 / ops as f64;
        let [p50, p99, p999] = latency::quantiles();
        Ok(Row {
            client: self.client.clone(),
            workload: name.to_owned(),
            runtime: self.runtime.clone(),
            emulated: A::EMULATED
                .iter()
                .find(|(workload, _)| is_named(name, workload))
                .map(|(_, instead)| (*instead).to_owned()),
            seconds: took.as_secs_f64(),
            requests,
            ops,
            ops_per_second: ops as f64 / took.as_secs_f64(),
            cpu: per_op(cpu.total()),
            cpu_user: per_op(cpu.user),
            cpu_system: per_op(cpu.system),
            server_cpu: Some(per_op(server)),
            p50,
            p99,
            p999: Some(p999),
            peak_kib: memory_kib("VmHWM")?,
            before_kib,
            allocations: heap
                .map(|(after, before)| (after.allocations - before.allocations) as f64 / ops as f64),
            allocated_bytes: heap.map(|(after, before)| (after.bytes - before.bytes) as f64 / ops as f64),
            ..Row::default()
        })
    }

    pub(crate) fn bulk_keys(&self) -> usize {
        match self.limit {
            Limit::Ops(ops) => ops as usize,
            Limit::Time(_) => BULK_KEYS,
        }
    }

    /// A bulk load cannot be tried twice, and large values would be slow to start with.
    fn warm_up_workload(&self) -> Workload {
        match self.workload.shape {
            Shape::Bulk | Shape::BulkSingles => Workload { tasks: 16, shape: Shape::Mix, ..*self.workload },
            _ => *self.workload,
        }
    }

    /// Connections, buffers and caches are as they will stay; a fixed count for a fixed count, so that the difference
    /// of two runs has none of it.
    fn warm_up(&self) -> Limit {
        let workload = self.warm_up_workload();
        match self.limit {
            Limit::Time(time) => Limit::Time((time / 5).min(Duration::from_secs(1))),
            Limit::Ops(_) => Limit::Ops(workload.ops() * workload.tasks as u64 * 10),
        }
    }
}

/// Whether `workload` is `name` or its beginning up to a number: `mget` is `mget100-8`, and `bulk` not `bulk-writers`.
fn is_named(name: &str, workload: &str) -> bool {
    let rest = name.strip_prefix(workload);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(|first: char| first.is_ascii_digit()))
}
