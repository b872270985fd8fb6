//! `one`: a client and a workload in a process of their own, and one [`Row`] on standard output.

use std::time::Duration;

use tokio::runtime;

use crate::adapter::{Adapter, Result};
use crate::adapters::floor::Floor;
use crate::adapters::fred::{Fred, FredPool};
use crate::adapters::keyslot::Keyslot;
use crate::adapters::redis::Redis;
use crate::adapters::rustis::Rustis;
use crate::row::Row;
use crate::timed::{self, Done, Limit};
use crate::usage::{Cpu, Servers, memory_kib};
use crate::workload::Workload;
use crate::{allocations, latency};

/// Every client, in the order of the tables.
pub(crate) const CLIENTS: &[&str] = &["keyslot", "redis", "fred", "fred-pool", "rustis", "floor"];

/// Both of tokio's, the second with two workers.
pub(crate) const RUNTIMES: &[&str] = &["current", "multi"];

/// What `one` is asked for.
pub(crate) struct One {
    pub(crate) client: String,
    pub(crate) workload: &'static Workload,
    pub(crate) runtime: String,
    pub(crate) limit: Limit,
    pub(crate) seeds: Vec<String>,
}

impl One {
    pub(crate) fn run(&self) -> Result<Row> {
        match self.client.as_str() {
            "keyslot" => self.measure::<Keyslot>(),
            "redis" => self.measure::<Redis>(),
            "fred" => self.measure::<Fred>(),
            "fred-pool" => self.measure::<FredPool>(),
            "rustis" => self.measure::<Rustis>(),
            "floor" => self.measure::<Floor>(),
            other => Err(format!("{other}: no such client, there are {}", CLIENTS.join(", ")).into()),
        }
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
        let before_kib = memory_kib("VmRSS")?;
        let client = A::connect(&self.seeds).await.map_err(|error| format!("connect: {error}"))?;
        timed::run(&client, self.workload, self.warm_up()).await?;
        latency::reset();

        let (server, cpu, heap) = (servers.cpu()?, Cpu::own()?, allocations::now());
        let done = timed::run(&client, self.workload, self.limit).await?;
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
                .find(|(start, _)| name.starts_with(start))
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
            p999,
            peak_kib: memory_kib("VmHWM")?,
            before_kib,
            allocations: heap
                .map(|(after, before)| (after.allocations - before.allocations) as f64 / ops as f64),
            allocated_bytes: heap.map(|(after, before)| (after.bytes - before.bytes) as f64 / ops as f64),
            ..Row::default()
        })
    }

    /// Connections, buffers and caches are as they will stay; a fixed count for a fixed count, so that the difference
    /// of two runs has none of it.
    fn warm_up(&self) -> Limit {
        match self.limit {
            Limit::Time(time) => Limit::Time((time / 5).min(Duration::from_secs(1))),
            Limit::Ops(_) => Limit::Ops(self.workload.ops() * self.workload.tasks as u64 * 10),
        }
    }
}
