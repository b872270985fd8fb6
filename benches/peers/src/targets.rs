//! What keyslot is to reach, as data, and whether a run shows it.

use std::fmt::Write;

use crate::row::Row;
use crate::table::{Line, figure};

/// A figure of a row.
type Figure = fn(&Row) -> Option<f64>;

#[derive(Clone, Copy)]
enum Against {
    /// The lowest of all other clients in the same run, whether they have a way of their own or it is emulated by calls
    /// that the client routes.
    BestPeer,
    /// The blocking loop, which is measured on one runtime only.
    Floor,
    /// A number of its own.
    Nothing,
}

struct Target {
    workload: &'static str,
    runtime: &'static str,
    name: &'static str,
    figure: Figure,
    against: Against,
    at_most: f64,
}

const fn cpu(workload: &'static str, runtime: &'static str, at_most: f64) -> Target {
    let figure: Figure = |row| Some(row.cpu);
    Target { workload, runtime, name: "CPU", figure, against: Against::BestPeer, at_most }
}

const fn floor(workload: &'static str, name: &'static str, figure: Figure, at_most: f64) -> Target {
    Target { workload, runtime: "current", name, figure, against: Against::Floor, at_most }
}

const fn count(workload: &'static str, name: &'static str, figure: Figure, at_most: f64) -> Target {
    Target { workload, runtime: "current", name, figure, against: Against::Nothing, at_most }
}

const ALL: &[Target] = &[
    cpu("get-1", "current", 0.95),
    floor("get-1", "p50", |row| Some(row.p50), 1.15),
    cpu("mix-16", "current", 0.65),
    cpu("mix-64", "current", 0.40),
    cpu("mix-64", "multi", 0.55),
    cpu("mix-256", "current", 0.30),
    cpu("mix-1024", "current", 0.20),
    cpu("mix-1024", "multi", 0.50),
    cpu("pipe100-1", "current", 0.50),
    cpu("pipe100-8", "current", 0.25),
    cpu("tag50-1", "current", 0.60),
    cpu("tag50-8", "current", 0.65),
    cpu("mget100-1", "current", 0.25),
    cpu("mget100-8", "current", 0.12),
    cpu("bulk", "current", 0.35),
    floor("bulk", "wall time", |row| Some(row.seconds), 1.1),
    cpu("bulk-writers", "current", 0.25),
    cpu("large-set", "current", 0.85),
    cpu("large-get", "current", 0.85),
    count("mix-64", "user instructions", |row| row.instructions, 3500.0),
    count("mix-64", "allocations", |row| row.allocations, 2.5),
    count("mix-64", "system calls", |row| row.system_calls, 0.22),
    count("get-1", "allocations", |row| row.allocations, 3.0),
    count("set-1", "allocations", |row| row.allocations, 2.0),
];

/// A table of those that the rows can show.
pub(crate) fn render(rows: &[Row]) -> String {
    let mut text = String::from(
        "### Targets\n\n| workload | figure | keyslot | against | ratio | at most | with those by hand | |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for target in ALL {
        // Writing to a string does not fail.
        let _written = target.write(&mut text, rows);
    }
    text
}

impl Target {
    /// Nothing if it was not measured.
    fn write(&self, text: &mut String, rows: &[Row]) -> std::fmt::Result {
        let lines = Line::all(rows, self.workload, self.runtime);
        let of = |line: &Line<'_>| match self.against {
            Against::Nothing => line.count(self.figure),
            _ => line.spread(self.figure).map(|spread| spread.median),
        };
        let Some(own) = lines.iter().find(|line| line.client == "keyslot").and_then(of) else {
            return Ok(());
        };
        let best = |is_wanted: fn(&Line<'_>) -> bool| {
            let others = lines.iter().filter(|line| is_wanted(line));
            let figures = others.filter_map(|line| Some((line.client, of(line)?)));
            figures.min_by(|(_, a), (_, b)| a.total_cmp(b))
        };
        let by_hand = best(|line| line.is_by_hand());
        let against = match self.against {
            Against::BestPeer => best(|line| line.is_peer()),
            Against::Floor => best(|line| line.client == "floor"),
            Against::Nothing => Some(("-", 1.0)),
        };
        let Some((client, other)) = against else { return Ok(()) };
        let ratio = own / other;
        let by_hand = by_hand.filter(|_| matches!(self.against, Against::BestPeer));
        let by_hand =
            by_hand.map_or("-".to_owned(), |(name, other)| format!("{} ({name})", figure(own / other)));
        writeln!(
            text,
            "| {}, {} | {} | {} | {client} {} | {} | {} | {by_hand} | {} |",
            self.workload,
            self.runtime,
            self.name,
            figure(own),
            if matches!(self.against, Against::Nothing) { String::new() } else { figure(other) },
            figure(ratio),
            figure(self.at_most),
            if ratio <= self.at_most { "reached" } else { "**missed**" },
        )
    }
}
