//! keyslot beside the clients that a user would pick instead: one driver, the same timed loops, real servers.
//!
//! `scripts/bench-peers` builds it and runs `all`; [`options::HELP`] lists the options.
//!
//! # Method
//!
//! - Every run is a process of its own (`one`): it connects, warms up, runs one workload for a fixed time or a fixed
//!   number of operations, and prints one [`row::Row`]. `all` runs them in interleaved rounds, so that a drift of the
//!   machine meets every client alike, and takes medians.
//! - The loops ([`timed`]) are generic over [`adapter::Adapter`]: each client is called directly, by code written the way
//!   its documentation advises. Each reply is compared with the value that its key must have, and each batch must have as
//!   many replies as commands; a run with one wrong reply fails. Keys and values are made beforehand.
//! - CPU is what the system charges to the process between the start and the end of the timed loop (`getrusage`), over
//!   all threads; a clock reading and a histogram entry for each request are in it, about 40 ns, for all alike. Servers
//!   share the cores, so throughput is a figure of the whole machine, and the client's own CPU the honest one.
//! - All clients have their default settings, with `TCP_NODELAY` where that is not the default, and one client object for
//!   all tasks; what else an adapter sets, its file says.
//! - [`adapters::floor`] is a blocking loop that shows what the system calls alone cost; [`c_benchmark`] is the C program.
//! - [`counts`]: allocations come from a build of its own, system calls and instructions from `perf`, or from `strace`
//!   and `callgrind` where `perf` cannot count them.
//! - A row in which a client has no way of its own (a pipeline over several slots in redis-rs, `MGET` over several slots
//!   in fred) is marked, and [`targets`] are held against it all the same, beside the best of the others.
//!
//! With one task that waits for each reply, client and servers sleep and wake by turns, and where the system puts them
//! decides: the same run takes 7 or 25 microseconds of CPU for each operation. Only medians of many rounds on a quiet
//! machine say something there.

mod adapter;
mod adapters;
mod all;
mod allocations;
mod c_benchmark;
mod cluster;
mod counts;
mod keys;
mod latency;
mod one;
mod options;
mod plot;
mod programs;
mod row;
mod table;
mod targets;
mod timed;
mod usage;
mod wire;
mod workload;

use std::process::ExitCode;

use options::Task;

fn main() -> ExitCode {
    let task = match options::parse(lexopt::Parser::from_env()) {
        Ok(task) => task,
        Err(error) => {
            eprintln!("error: {error}; --help lists the options");
            return ExitCode::from(2);
        }
    };
    match run(task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> adapter::Result<()> {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    match task {
        Task::Help => print!("{}", options::HELP),
        // It makes the runtime that it was asked for.
        Task::One(one) => println!("{}", serde_json::to_string(&one.run()?)?),
        Task::All(all) => runtime()?.block_on(all.run())?,
        Task::Report { rows, plot } => all::report_of(&rows, plot.as_deref())?,
        Task::Fill(seeds) => runtime()?.block_on(cluster::Cluster::at(seeds).fill())?,
    }
    Ok(())
}
