//! Counts for each operation: heap allocations, system calls, user instructions. They hardly depend on noise, so one
//! measurement does.
//!
//! Allocations are counted within the timed loop, by a build that counts them. The other two are counted from outside,
//! over the whole process, for a number of operations and for three times as many: start and end are not in the
//! difference. `callgrind` slows the client down fifty times and the servers not at all, so that its batches are
//! smaller than usual; `perf` is used where the machine has the counter.

use std::process::{Command, Stdio};

use crate::adapter::Result;
use crate::c_benchmark;
use crate::programs;
use crate::row::Row;
use crate::workload::{Shape, Workload};

/// What there is on this machine to count with.
pub(crate) struct Counters {
    seeds: Vec<String>,
    /// Each with the event that `perf` counts, or another program if it cannot.
    system_calls: Tool,
    instructions: Tool,
}

#[derive(Clone, Copy)]
enum Tool {
    Perf(&'static str),
    Strace,
    Callgrind,
}

impl Tool {
    /// `perf`, if it can count `event` here.
    fn perf_or(event: &'static str, other: Self) -> Self {
        let tool = Self::Perf(event);
        if matches!(tool.count("true", &[]), Ok((count, _)) if count > 0) { tool } else { other }
    }

    /// Runs a program and counts; also what it printed.
    fn count(self, program: &str, arguments: &[String]) -> Result<(u64, Vec<u8>)> {
        let report = tempfile::NamedTempFile::new()?;
        let path = report.path().display().to_string();
        let (tool, options): (_, &[&str]) = match self {
            Self::Perf(event) => ("perf", &["stat", "-x", ",", "-e", event, "-o", &path]),
            Self::Strace => ("strace", &["-f", "-c", "-o", &path]),
            Self::Callgrind => {
                ("valgrind", &["--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-file", &path])
            }
        };
        // `valgrind` wants the file's name in the same argument.
        let options = options.join(" ").replace("--log-file ", "--log-file=");
        let output = Command::new(tool)
            .args(options.split(' '))
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{tool}: {error}"))?;
        let said = std::fs::read_to_string(report.path())?;
        if !output.status.success() {
            return Err(
                format!("{tool}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into()
            );
        }
        let count = self.read(&said).ok_or_else(|| format!("{tool}: not understood: {said}"))?;
        Ok((count, output.stdout))
    }

    fn read(self, said: &str) -> Option<u64> {
        match self {
            // 29,,raw_syscalls:sys_enter,...
            Self::Perf(event) => {
                said.lines().find(|line| line.contains(event))?.split(',').next()?.parse().ok()
            }
            // 100.00    0.008271           0      9055         4 total
            Self::Strace => {
                let total = said.lines().find(|line| line.ends_with(" total"))?;
                total.split_ascii_whitespace().nth(3)?.parse().ok()
            }
            // ==1== Collected : 232863150
            Self::Callgrind => {
                said.lines().find_map(|line| line.split_once("Collected : "))?.1.trim().parse().ok()
            }
        }
    }
}

impl Counters {
    pub(crate) fn find(seeds: Vec<String>) -> Self {
        Self {
            seeds,
            system_calls: Tool::perf_or("raw_syscalls:sys_enter", Tool::Strace),
            instructions: Tool::perf_or("instructions:u", Tool::Callgrind),
        }
    }

    /// `None` if there is nothing to count. `is_chosen` is for what is slow.
    pub(crate) fn count(
        &self,
        workload: &Workload,
        runtime: &str,
        client: &str,
        is_chosen: bool,
    ) -> Result<Option<Row>> {
        // It spins for up to 250 ms at the end, which would be counted.
        if client == c_benchmark::NAME {
            return Ok(None);
        }
        let mut row = Row {
            client: client.to_owned(),
            workload: workload.name.to_owned(),
            runtime: runtime.to_owned(),
            ..Row::default()
        };
        if let Some(counting) = programs::counting(client)? {
            eprintln!("allocations: {} {runtime} {client}", workload.name);
            let arguments = self.one(workload, runtime, client, base(workload) * 3);
            let output = Command::new(counting).args(arguments).stdin(Stdio::null()).output()?;
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
            }
            let counted: Row = serde_json::from_slice(&output.stdout)?;
            if counted.allocations.is_none() {
                return Err("keyslot-peers-counting is a build without --features count-allocations".into());
            }
            (row.allocations, row.allocated_bytes) = (counted.allocations, counted.allocated_bytes);
        }
        // The keys of a bulk load are made in proportion to its size, and would be counted too.
        if is_chosen && !workload.is_bulk() {
            eprintln!("system calls and instructions: {} {runtime} {client}", workload.name);
            row.system_calls = Some(self.difference(self.system_calls, workload, runtime, client)?);
            row.instructions = Some(self.difference(self.instructions, workload, runtime, client)?);
        }
        Ok(Some(row).filter(|row| row.allocations.is_some() || row.system_calls.is_some()))
    }

    /// Per operation.
    fn difference(&self, tool: Tool, workload: &Workload, runtime: &str, client: &str) -> Result<f64> {
        let run = |ops: u64| -> Result<(u64, u64)> {
            let arguments = self.one(workload, runtime, client, ops);
            let (count, said) = tool.count(&programs::timed(client)?.display().to_string(), &arguments)?;
            Ok((count, serde_json::from_slice::<Row>(&said)?.ops))
        };
        let ((less, few), (more, many)) = (run(base(workload))?, run(base(workload) * 3)?);
        Ok(more.saturating_sub(less) as f64 / many.saturating_sub(few) as f64)
    }

    fn one(&self, workload: &Workload, runtime: &str, client: &str, ops: u64) -> Vec<String> {
        let (seeds, ops) = (self.seeds.join(","), ops.to_string());
        ["one", "--client", client, "--workload", workload.name, "--runtime", runtime]
            .into_iter()
            .chain(["--seeds", &seeds, "--ops", &ops])
            .map(str::to_owned)
            .collect()
    }
}

/// Operations that take about a second under `callgrind`.
fn base(workload: &Workload) -> u64 {
    match workload.shape {
        Shape::Get | Shape::Set => 5_000,
        Shape::LargeGet | Shape::LargeSet => 1_000,
        _ => 20_000,
    }
}
