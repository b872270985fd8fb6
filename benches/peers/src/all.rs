//! `all`: interleaved rounds, each run in a child of its own, so that no client warms up or fragments another's memory.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::adapter::Result;
use crate::c_benchmark;
use crate::cluster::Cluster;
use crate::counts::Counters;
use crate::options::All;
use crate::row::Row;
use crate::workload::Workload;
use crate::{plot, programs, table, targets};

impl All {
    /// Runs everything and prints the tables; the failures of runs are told at the end.
    pub(crate) async fn run(&self) -> Result<()> {
        let cluster = match self.seeds.as_slice() {
            [] => Cluster::start(&self.server).await?,
            seeds => Cluster::at(seeds.to_vec()),
        };
        cluster.fill().await?;
        let mut out = self.out.as_ref().map(|path| OpenOptions::new().create(true).append(true).open(path));
        let out = out.take().transpose()?;
        let (mut rows, mut failures) = (Vec::new(), Vec::new());
        for round in 1..=self.rounds {
            for (workload, runtime, client) in self.runs() {
                eprintln!("round {round} of {}: {} {runtime} {client}", self.rounds, workload.name);
                if workload.is_bulk() {
                    // Each load finds the same: new keys, and servers that need not grow less than for the others.
                    cluster.fill().await?;
                }
                match self.child(&cluster, workload, runtime, client) {
                    Ok(row) => rows.push(Row { round, ..row }),
                    Err(error) => {
                        let failure = format!("round {round}: {} {runtime} {client}: {error}", workload.name);
                        eprintln!("FAILED: {failure}");
                        failures.push(failure);
                        continue;
                    }
                }
                if let (Some(file), Some(row)) = (&out, rows.last()) {
                    write_line(file, row)?;
                }
            }
        }
        rows.extend(self.count(&cluster, &mut failures, out.as_ref()).await?);
        println!("Server: {}. {} rounds, {} s each.\n", cluster.server, self.rounds, self.seconds);
        report(&rows, self.plot.as_deref())?;
        for failure in &failures {
            println!("- FAILED: {failure}");
        }
        Ok(())
    }

    /// What a round consists of, the clients of a workload one after the other.
    fn runs(&self) -> impl Iterator<Item = (&'static Workload, &str, &str)> {
        self.workloads.iter().flat_map(move |workload| {
            self.runtimes.iter().flat_map(move |runtime| {
                self.clients
                    .iter()
                    .filter(move |client| makes_sense(client, workload, runtime))
                    .map(move |client| (*workload, runtime.as_str(), client.as_str()))
            })
        })
    }

    /// What does not depend on noise, once for each client: allocations of every workload if there is a build that
    /// counts them, system calls and instructions of the chosen ones.
    async fn count(
        &self,
        cluster: &Cluster,
        failures: &mut Vec<String>,
        out: Option<&File>,
    ) -> Result<Vec<Row>> {
        let counters = Counters::find(cluster.seeds.clone());
        // Keys may be gone after a bulk load.
        cluster.fill().await?;
        let mut rows = Vec::new();
        for (workload, runtime, client) in self.runs() {
            let is_chosen = self.counts.iter().any(|chosen| chosen.name == workload.name);
            match counters.count(workload, runtime, client, is_chosen) {
                Ok(None) => {}
                Ok(Some(row)) => {
                    out.map(|file| write_line(file, &row)).transpose()?;
                    rows.push(row);
                }
                Err(error) => {
                    let failure = format!("counts: {} {runtime} {client}: {error}", workload.name);
                    eprintln!("FAILED: {failure}");
                    failures.push(failure);
                }
            }
        }
        Ok(rows)
    }

    fn child(&self, cluster: &Cluster, workload: &Workload, runtime: &str, client: &str) -> Result<Row> {
        let limit = match workload.is_bulk() {
            true => ["--ops".to_owned(), self.bulk_keys.to_string()],
            false => ["--seconds".to_owned(), self.seconds.to_string()],
        };
        let output = Command::new(programs::timed(client)?)
            .args(["one", "--client", client, "--workload", workload.name, "--runtime", runtime])
            .args(limit)
            .args(["--seeds", &cluster.seeds.join(",")])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(format!("the child ended with {}", output.status).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// The tables and the targets on standard output, and the plot.
pub(crate) fn report(rows: &[Row], plot: Option<&Path>) -> Result<()> {
    print!("{}{}", table::render(rows), targets::render(rows));
    plot.map_or(Ok(()), |path| plot::write(path, rows))
}

/// The same for an earlier run.
pub(crate) fn report_of(file: &Path, plot: Option<&Path>) -> Result<()> {
    let text = std::fs::read_to_string(file)?;
    let rows = text.lines().map(serde_json::from_str).collect::<std::result::Result<Vec<Row>, _>>()?;
    report(&rows, plot)
}

/// The reference points have no runtime. The floor blocks its thread, so that one task is what it has.
fn makes_sense(client: &str, workload: &Workload, runtime: &str) -> bool {
    match client {
        "floor" => workload.tasks <= 1 && runtime == "current",
        c_benchmark::NAME => c_benchmark::can_run(workload) && runtime == "current",
        _ => true,
    }
}

fn write_line(mut file: &File, row: &Row) -> Result<()> {
    let mut line = serde_json::to_vec(row)?;
    line.push(b'\n');
    Ok(file.write_all(&line)?)
}
