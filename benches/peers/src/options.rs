//! The command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use lexopt::Arg::{Long, Short, Value};
use lexopt::{Parser, ValueExt};

use crate::adapter::{Bulk, Result};
use crate::one::{BULK_KEYS, CLIENTS, One, RUNTIMES};
use crate::programs;
use crate::timed::Limit;
use crate::workload::{ALL, Workload};

pub(crate) const HELP: &str = "\
keyslot beside other clients, on real servers.

  keyslot-peers all [options]    interleaved rounds of all clients; prints tables
    --clients A,B  --workloads A,B  --runtimes A,B    some of them only
    --rounds N     default 5
    --seconds S    of each timed loop; default 3
    --bulk-keys N  default 1000000
    --server NAME  a folder of scripts/servers; default redis-7.0
    --seeds A,B    a cluster that is there; IT IS EMPTIED
    --counts A,B   workloads of which system calls and instructions are counted,
                   which is slow; default none
    --out FILE     a line of JSON for each run is added to it
    --plot FILE    an SVG of CPU for each operation

  keyslot-peers report FILE [--plot FILE]    the tables of an earlier run's --out

  keyslot-peers one --client X --workload W --seeds A,B [--runtime current|multi]
                    [--seconds S | --ops N]    one run; prints one line of JSON;
                    a bulk load writes N keys
    --bulk-tasks N  --bulk-batch N     how; the default is the client's best

  keyslot-peers fill --seeds A,B     empties that cluster and writes the keys of all workloads
";

pub(crate) enum Task {
    Help,
    One(One),
    All(All),
    Fill(Vec<String>),
    Report { rows: PathBuf, plot: Option<PathBuf> },
}

/// What `all` is asked for.
pub(crate) struct All {
    pub(crate) clients: Vec<String>,
    pub(crate) workloads: Vec<&'static Workload>,
    pub(crate) runtimes: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) bulk_keys: usize,
    pub(crate) server: String,
    pub(crate) seeds: Vec<String>,
    pub(crate) counts: Vec<&'static Workload>,
    pub(crate) out: Option<PathBuf>,
    pub(crate) plot: Option<PathBuf>,
}

#[derive(Default)]
struct Given {
    client: Option<String>,
    clients: Option<Vec<String>>,
    workloads: Option<Vec<String>>,
    runtimes: Option<Vec<String>>,
    rounds: Option<usize>,
    seconds: Option<f64>,
    ops: Option<u64>,
    bulk_keys: Option<usize>,
    bulk_tasks: Option<usize>,
    bulk_batch: Option<usize>,
    server: Option<String>,
    seeds: Vec<String>,
    counts: Vec<String>,
    out: Option<PathBuf>,
    plot: Option<PathBuf>,
    file: Option<PathBuf>,
}

pub(crate) fn parse(mut parser: Parser) -> Result<Task> {
    let mut given = Given::default();
    let mut task = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Task::Help),
            Long("client") => given.client = Some(parser.value()?.string()?),
            Long("clients") => given.clients = Some(list(&mut parser)?),
            Long("workload" | "workloads") => given.workloads = Some(list(&mut parser)?),
            Long("runtime" | "runtimes") => given.runtimes = Some(list(&mut parser)?),
            Long("rounds") => given.rounds = Some(number(&mut parser)?),
            Long("seconds") => given.seconds = Some(number(&mut parser)?),
            Long("ops") => given.ops = Some(number(&mut parser)?),
            Long("bulk-keys") => given.bulk_keys = Some(number(&mut parser)?),
            Long("bulk-tasks") => given.bulk_tasks = Some(number(&mut parser)?),
            Long("bulk-batch") => given.bulk_batch = Some(number(&mut parser)?),
            Long("server") => given.server = Some(parser.value()?.string()?),
            Long("seeds") => given.seeds = list(&mut parser)?,
            Long("counts") => given.counts = list(&mut parser)?,
            Long("plot") => given.plot = Some(parser.value()?.into()),
            Long("out") => given.out = Some(parser.value()?.into()),
            Value(value) if task.is_none() => task = Some(value.string()?),
            Value(value) if task.as_deref() == Some("report") => given.file = Some(value.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    match task.as_deref() {
        Some("one") => given.one().map(Task::One),
        Some("all") => given.all().map(Task::All),
        Some("report") => {
            Ok(Task::Report { rows: given.file.ok_or("which file? that of --out")?, plot: given.plot })
        }
        Some("fill") => Ok(Task::Fill(given.seeds)),
        _ => Err("what is to be done? all, one, report or fill".into()),
    }
}

fn list(parser: &mut Parser) -> Result<Vec<String>> {
    Ok(parser.value()?.string()?.split(',').map(str::to_owned).collect())
}

fn number<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(parser: &mut Parser) -> Result<T> {
    Ok(parser.value()?.parse()?)
}

fn workload(name: &str) -> Result<&'static Workload> {
    let names = || ALL.iter().map(|workload| workload.name).collect::<Vec<_>>().join(", ");
    Workload::named(name).ok_or_else(|| format!("{name}: no such workload, there are {}", names()).into())
}

fn named(names: &[String]) -> Result<Vec<&'static Workload>> {
    names.iter().map(|name| workload(name)).collect()
}

/// Those that were named, or all.
fn chosen(named: Option<Vec<String>>, all: &[&str]) -> Result<Vec<String>> {
    let Some(named) = named else { return Ok(all.iter().map(ToString::to_string).collect()) };
    match named.iter().find(|name| !all.contains(&name.as_str())) {
        Some(unknown) => Err(format!("{unknown}: unknown, there are {}", all.join(", ")).into()),
        None => Ok(named),
    }
}

impl Given {
    fn one(self) -> Result<One> {
        let limit = match (self.seconds, self.ops) {
            (None, Some(ops)) => Limit::Ops(ops),
            (seconds, None) => Limit::Time(Duration::try_from_secs_f64(seconds.unwrap_or(3.0))?),
            _ => return Err("--seconds or --ops, not both".into()),
        };
        let first = |list: Option<Vec<String>>| list.and_then(|list| list.into_iter().next());
        Ok(One {
            client: self.client.ok_or("--client is missing")?,
            workload: workload(&first(self.workloads).ok_or("--workload is missing")?)?,
            runtime: first(self.runtimes).unwrap_or_else(|| "current".to_owned()),
            limit,
            bulk: self.bulk_tasks.zip(self.bulk_batch).map(|(tasks, batch)| Bulk { tasks, batch }),
            seeds: self.seeds,
        })
    }

    fn all(self) -> Result<All> {
        let workloads = match self.workloads {
            Some(names) => named(&names)?,
            None => ALL.iter().collect(),
        };
        let clients = match self.clients {
            None => CLIENTS
                .iter()
                .copied()
                .filter(|name| programs::timed(name).is_ok())
                .map(str::to_owned)
                .collect(),
            named => chosen(named, CLIENTS)?,
        };
        Ok(All {
            clients,
            workloads,
            runtimes: chosen(self.runtimes, RUNTIMES)?,
            rounds: self.rounds.unwrap_or(5),
            seconds: self.seconds.unwrap_or(3.0),
            bulk_keys: self.bulk_keys.unwrap_or(BULK_KEYS),
            server: self.server.unwrap_or_else(|| "redis-7.0".to_owned()),
            seeds: self.seeds,
            counts: named(&self.counts.into_iter().filter(|name| name != "none").collect::<Vec<_>>())?,
            out: self.out,
            plot: self.plot,
        })
    }
}
