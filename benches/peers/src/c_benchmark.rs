//! `redis-benchmark --cluster`, the C program: a reference point. It checks no values and keeps no replies.
//!
//! It has connections and not callers. To compare, callers that share links are taken as what arrives at the servers if
//! all of them are packed well: a connection to each of the three nodes, with a third of the callers' commands in each
//! write.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::adapter::Result;
use crate::keys::VALUE;
use crate::one::One;
use crate::row::Row;
use crate::timed::Limit;
use crate::usage::{Cpu, Servers, peak_of_children_kib};
use crate::workload::{Shape, Workload};

pub(crate) const NAME: &str = "redis-benchmark";

const NODES: usize = 3;

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

/// One test's line of its CSV, latencies in microseconds.
struct Measured {
    per_second: f64,
    p50: f64,
    p99: f64,
}

impl Settings {
    fn run(&self, seed: &str, tests: &[&str], requests: u64) -> Result<Vec<Measured>> {
        let (host, port) = seed.rsplit_once(':').ok_or("a seed has no port")?;
        let output = Command::new(NAME)
            .args(["--cluster", "--csv", "-h", host, "-p", port, "-t", &tests.join(",")])
            .args(["-c", &self.connections.to_string(), "-P", &self.pipeline.to_string()])
            .args(["-d", &self.value.to_string(), "-r", &self.keys.to_string(), "-n", &requests.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("{NAME}: {error}; it is in Debian's package redis-tools"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text.lines().filter(|line| line.starts_with("\"SET\"") || line.starts_with("\"GET\""));
        let measured: Vec<Measured> = lines.map(measured).collect::<Result<_>>()?;
        if !output.status.success() || measured.len() != tests.len() {
            return Err(format!("{NAME} ended with {} and said: {text}", output.status).into());
        }
        Ok(measured)
    }
}

/// `"GET","rps","avg_latency_ms","min","p50","p95","p99","max"`.
fn measured(line: &str) -> Result<Measured> {
    let figures: Vec<f64> = line
        .split(',')
        .skip(1)
        .map(|figure| figure.trim_matches('"').parse())
        .collect::<std::result::Result<_, _>>()?;
    match figures.as_slice() {
        [per_second, _average, _min, p50, _p95, p99, _max] => {
            Ok(Measured { per_second: *per_second, p50: p50 * 1000.0, p99: p99 * 1000.0 })
        }
        _ => Err(format!("{NAME}: this line was not understood: {line}").into()),
    }
}

/// Writes the keys that a `GET` is to find, tries how fast it is, and then runs it for a short and a long time: the
/// difference has none of its start in it, which takes as much CPU as 10,000 commands.
pub(crate) fn run(one: &One) -> Result<Row> {
    let workload = one.workload;
    let settings = settings(workload).ok_or("redis-benchmark cannot do that")?;
    let seed = one.seeds.first().ok_or("no seed")?;
    let servers = Servers::of(&one.seeds)?;
    let fill = (settings.keys as u64 * 5).clamp(1000, 50_000);
    let filler = Settings { connections: settings.connections.max(NODES), pipeline: 10, ..settings };
    filler.run(seed, &["set"], fill)?;
    let trial_requests = (settings.pipeline * settings.connections * 100).max(2000) as u64;
    let trial = settings.run(seed, settings.tests, trial_requests)?;
    let requests = match one.limit {
        Limit::Ops(requests) => requests,
        Limit::Time(time) => {
            let slowest = trial.iter().map(|test| test.per_second).fold(f64::INFINITY, f64::min);
            (slowest * time.as_secs_f64() / settings.tests.len() as f64) as u64
        }
    };
    let requests = requests.max(trial_requests * 10);

    let (server, cpu) = (servers.cpu()?, Cpu::children()?);
    settings.run(seed, settings.tests, trial_requests)?;
    let (server_start, cpu_start) = (servers.cpu()?, Cpu::children()?);
    let tests = settings.run(seed, settings.tests, requests)?;
    let (server_end, cpu_end) = (servers.cpu()?, Cpu::children()?);
    let cpu = cpu_end.since(cpu_start).since(cpu_start.since(cpu));
    let server = (server_end - server_start).saturating_sub(server_start - server);

    // Of the difference, which its start and its end are not in.
    let ops = (requests - trial_requests) * tests.len() as u64;
    // Its own clock, because it ends up to 250 ms after its last reply.
    let took = tests.iter().map(|test| requests as f64 / test.per_second).sum::<f64>();
    let per_op = |time: Duration| time.as_secs_f64() * 1e6 / ops as f64;
    let mean = |figure: fn(&Measured) -> f64| tests.iter().map(figure).sum::<f64>() / tests.len() as f64;
    Ok(Row {
        client: one.client.clone(),
        workload: workload.name.to_owned(),
        runtime: one.runtime.clone(),
        emulated: Some(format!("{NAME} -c {} -P {}", settings.connections, settings.pipeline)),
        seconds: took,
        requests: ops / settings.pipeline as u64,
        ops,
        ops_per_second: (requests * tests.len() as u64) as f64 / took,
        cpu: per_op(cpu.total()),
        cpu_user: per_op(cpu.user),
        cpu_system: per_op(cpu.system),
        server_cpu: Some(per_op(server)),
        p50: mean(|test| test.p50),
        p99: mean(|test| test.p99),
        peak_kib: peak_of_children_kib()?,
        ..Row::default()
    })
}
