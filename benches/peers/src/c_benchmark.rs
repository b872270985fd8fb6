//! `redis-benchmark --cluster`, the C program: a reference point. It checks no values and keeps no replies.
//!
//! It has connections and not callers. To compare, callers that share links are taken as what arrives at the servers if
//! all of them are packed well: a connection to each of the three nodes, with a third of the callers' commands in each
//! write.
//!
//! In a cluster it has a thread for each node, looks only four times a second whether it is done, and spins until then.
//! So it is told to do more than it can, looked at in the middle (its CPU by the system, its commands by the servers'
//! own count), and killed; a second, whole run gives the latencies.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::adapter::Result;
use crate::keys::VALUE;
use crate::one::One;
use crate::row::Row;
use crate::timed::Limit;
use crate::usage::{Cpu, Servers, peak_of_children_kib};
use crate::workload::{Shape, Workload};

pub(crate) const NAME: &str = "redis-benchmark";

const NODES: usize = 3;

const MORE_THAN_IT_CAN: u64 = 2_000_000_000;

/// Until all connections are at work.
const START: Duration = Duration::from_millis(300);

/// What it is told for a workload.
struct Settings {
    tests: &'static [&'static str],
    connections: usize,
    pipeline: usize,
    value: usize,
    /// How many different keys there are.
    keys: usize,
}

/// `None`: it has no `MGET`, and 1024 writers are the same to it as any other pipeline.
fn settings(workload: &Workload) -> Option<Settings> {
    let settings = |tests, connections, pipeline| {
        Some(Settings { tests, connections, pipeline, value: VALUE, keys: 10_000 })
    };
    match workload.shape {
        Shape::Get => settings(&["get"], 1, 1),
        Shape::Set => settings(&["set"], 1, 1),
        Shape::Mix => settings(&["set", "get"], NODES, workload.tasks.div_ceil(NODES)),
        Shape::Pipeline(many) => settings(&["get"], NODES * workload.tasks, many.div_ceil(NODES)),
        Shape::Tagged(many) => settings(&["get"], workload.tasks, many),
        Shape::Bulk => Some(Settings { keys: 1_000_000_000, ..settings(&["set"], NODES, 1000)? }),
        Shape::LargeSet => {
            Some(Settings { value: 64 << 10, keys: 64, ..settings(&["set"], workload.tasks, 1)? })
        }
        Shape::LargeGet => {
            Some(Settings { value: 64 << 10, keys: 64, ..settings(&["get"], workload.tasks, 1)? })
        }
        Shape::Mget(_) | Shape::BulkSingles => None,
    }
}

pub(crate) fn can_run(workload: &Workload) -> bool {
    settings(workload).is_some()
}

/// What was seen between two looks.
#[derive(Default)]
struct Seen {
    commands: u64,
    time: Duration,
    client: Cpu,
    servers: Duration,
}

/// Ended whatever happens.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// One test's line of its CSV, latencies in microseconds.
struct Latencies {
    p50: f64,
    p99: f64,
}

impl Settings {
    fn command(&self, seed: &str, test: &str, requests: u64) -> Result<Command> {
        let (host, port) = seed.rsplit_once(':').ok_or("a seed has no port")?;
        let mut command = Command::new(NAME);
        command
            .args(["--cluster", "--csv", "-h", host, "-p", port, "-t", test])
            .args(["-c", &self.connections.to_string(), "-P", &self.pipeline.to_string()])
            .args(["-d", &self.value.to_string(), "-r", &self.keys.to_string(), "-n", &requests.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        Ok(command)
    }

    /// All of so many requests, and how long they took. Rounded up, because it fails if the last pipeline is not full.
    fn whole(&self, seed: &str, test: &str, requests: u64) -> Result<Latencies> {
        let requests = requests.next_multiple_of((self.connections * self.pipeline) as u64);
        let output = self.command(seed, test, requests)?.output().map_err(missing)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let name = format!("\"{}\"", test.to_uppercase());
        let line = text.lines().find(|line| line.starts_with(&name));
        let line = line.ok_or_else(|| format!("{NAME} ended with {} and said: {text}", output.status))?;
        latencies(line)
    }

    /// A look at the middle of a run.
    fn middle(&self, seed: &str, test: &str, time: Duration, servers: &Servers) -> Result<Seen> {
        let child =
            self.command(seed, test, MORE_THAN_IT_CAN)?.stdout(Stdio::null()).spawn().map_err(missing)?;
        let mut running = Running(child);
        thread::sleep(START);
        let pid = running.0.id();
        let (started, commands, cpu, server) =
            (Instant::now(), servers.commands()?, Cpu::process(pid)?, servers.cpu()?);
        thread::sleep(time);
        let seen = Seen {
            time: started.elapsed(),
            commands: servers.commands()?.saturating_sub(commands),
            client: Cpu::process(pid)?.since(cpu),
            servers: servers.cpu()?.saturating_sub(server),
        };
        match running.0.try_wait()? {
            Some(status) => Err(format!("{NAME} ended too early, with {status}").into()),
            None => Ok(seen),
        }
    }
}

fn missing(error: std::io::Error) -> String {
    format!("{NAME}: {error}; it is in Debian's package redis-tools")
}

/// `"GET","rps","avg_latency_ms","min","p50","p95","p99","max"`.
fn latencies(line: &str) -> Result<Latencies> {
    let at = |place| -> Result<f64> {
        let figure = line.split(',').nth(place).ok_or("its CSV has too few figures")?;
        Ok(figure.trim_matches('"').parse::<f64>()? * 1000.0)
    };
    Ok(Latencies { p50: at(4)?, p99: at(6)? })
}

/// Writes the keys that a `GET` is to find, and then looks at each test.
pub(crate) fn run(one: &One) -> Result<Row> {
    let workload = one.workload;
    let settings = settings(workload).ok_or("redis-benchmark cannot do that")?;
    let seed = one.seeds.first().ok_or("no seed")?;
    let servers = Servers::of(&one.seeds)?;
    let tests = settings.tests.len() as u32;
    let time = match one.limit {
        Limit::Time(time) => time / tests,
        Limit::Ops(_) => Duration::from_secs(1),
    };
    let filler = Settings { connections: settings.connections.max(NODES), pipeline: 10, ..settings };
    filler.whole(seed, "set", (settings.keys as u64 * 5).clamp(1000, 50_000))?;

    let mut all = Seen::default();
    let (mut p50, mut p99) = (0.0, 0.0);
    for test in settings.tests {
        let seen = settings.middle(seed, test, time, &servers)?;
        let found = settings.whole(seed, test, seen.commands / 2 + 1)?;
        // The mean of the tests' quantiles: it does not mix them itself.
        p50 += found.p50 / f64::from(tests);
        p99 += found.p99 / f64::from(tests);
        all.commands += seen.commands;
        all.time += seen.time;
        all.client.user += seen.client.user;
        all.client.system += seen.client.system;
        all.servers += seen.servers;
    }

    let per_second = all.commands as f64 / all.time.as_secs_f64();
    // A bulk load's time is that of the asked number of keys.
    let ops = match one.limit {
        Limit::Ops(ops) => ops,
        Limit::Time(_) => all.commands,
    };
    let per_op = |time: Duration| time.as_secs_f64() * 1e6 / all.commands as f64;
    Ok(Row {
        client: one.client.clone(),
        workload: workload.name.to_owned(),
        runtime: one.runtime.clone(),
        emulated: Some(format!("-c {} -P {}", settings.connections, settings.pipeline)),
        seconds: ops as f64 / per_second,
        requests: ops / settings.pipeline as u64,
        ops,
        ops_per_second: per_second,
        cpu: per_op(all.client.total()),
        cpu_user: per_op(all.client.user),
        cpu_system: per_op(all.client.system),
        server_cpu: Some(per_op(all.servers)),
        p50,
        p99,
        peak_kib: peak_of_children_kib()?,
        ..Row::default()
    })
}
