//! The same faults on keyslot, redis-rs, fred and rustis, side by side: what callers were told, and what the servers have.
//!
//! `scripts/bench-faults` builds and runs it. Every run has a fresh cluster of three primaries with a replica each, behind the
//! proxies of `tests/chaos`, and a client in a process of its own ([`child`]), so that its memory is its own. The faults are in
//! [`faults`].
//!
//! | column | what it is |
//! |---|---|
//! | doubled | increments that the servers have beyond those that were acknowledged or ended with an error |
//! | swapped | replies to `GET` with another key's value |
//! | errors | calls that ended with an error, and of these how many that were told as surely not executed |
//! | lost | acknowledged increments that the servers do not have: those of asynchronous replication among them |
//! | gap | the longest time without a success of any one key, of the shard that was struck and of the others |
//! | memory | of the client's process, before the fault and at its peak |

mod access;
mod child;
mod clients;
mod faults;
#[path = "../../../../../tests/chaos/proxy.rs"]
#[allow(dead_code, reason = "it is shared with tests/chaos, which uses all of it")]
mod proxy;
#[path = "../../../../../tests/chaos/stage.rs"]
#[allow(
    dead_code,
    clippy::indexing_slicing,
    reason = "it is shared with tests/chaos, which uses all of it and reports by panicking"
)]
mod stage;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use faults::{Fault, Row};
use lexopt::Arg::{Long, Value};
use lexopt::ValueExt;
use stage::Done;

const HELP: &str = "\
keyslot-faults [options]    every fault on every client; prints a table
  --clients A,B   of keyslot, redis, fred, rustis
  --faults A,B    of nothing, cut, kill, stop, hang, failover, half-moved
  --rounds N      default 1
  --server NAME   a folder of scripts/servers; default redis-7.0
  --out FILE      a line of JSON for each run is added to it
  --sum FILE      runs nothing: sums up such a file, a line for each fault and client
";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Done {
    let mut parser = lexopt::Parser::from_env();
    let (mut clients, mut faults) = (clients::NAMES.map(str::to_owned).to_vec(), Fault::ALL.to_vec());
    let (mut rounds, mut server, mut out) = (1_usize, "redis-7.0".to_owned(), None::<PathBuf>);
    let (mut child, mut seeds, mut seconds) = (None, String::new(), 0.0);
    let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") => {
                print!("{HELP}");
                return Ok(());
            }
            Long("clients") => clients = list(&parser.value()?.string()?),
            Long("faults") => {
                faults = list(&parser.value()?.string()?)
                    .iter()
                    .map(|name| Fault::named(name))
                    .collect::<Done<_>>()?;
            }
            Long("rounds") => rounds = parser.value()?.parse()?,
            Long("server") => server = parser.value()?.string()?,
            Long("out") => out = Some(parser.value()?.into()),
            Long("sum") => return sum(&std::fs::read_to_string(parser.value()?)?),
            // What the parent says to its children.
            Value(client) => child = Some(client.string()?),
            Long("seeds") => seeds = parser.value()?.string()?,
            Long("seconds") => seconds = parser.value()?.parse()?,
            other => return Err(other.unexpected().into()),
        }
    }
    if let Some(client) = child {
        return child::run(&client, &list(&seeds), seconds).await;
    }
    println!("Server: {server}.\n\n{}", Row::HEAD);
    for _ in 0..rounds {
        for fault in &faults {
            for client in &clients {
                let row = fault
                    .run(client, &server)
                    .await
                    .map_err(|error| format!("{fault:?}, {client}: {error}"))?;
                println!("{row}");
                if let Some(out) = &out {
                    let mut file = OpenOptions::new().create(true).append(true).open(out)?;
                    writeln!(file, "{}", serde_json::to_string(&row)?)?;
                }
            }
        }
    }
    Ok(())
}

/// The runs of one client under one fault as one: counts are added, of the times and the memory it is the worst.
fn sum(lines: &str) -> Done {
    let mut sums: Vec<(usize, Row)> = Vec::new();
    for line in lines.lines() {
        let row: Row = serde_json::from_str(line)?;
        match sums.iter_mut().find(|(_, sum)| sum.is_of_the_kind_of(&row)) {
            Some((runs, sum)) => {
                *runs += 1;
                sum.add_run(&row);
            }
            None => sums.push((1, row)),
        }
    }
    println!("{}", Row::HEAD);
    sums.iter().for_each(|(_, sum)| println!("{sum}"));
    let (least, most) = (sums.iter().map(|(runs, _)| runs).min(), sums.iter().map(|(runs, _)| runs).max());
    println!("\nRuns for each line: {} to {}.", least.unwrap_or(&0), most.unwrap_or(&0));
    Ok(())
}
