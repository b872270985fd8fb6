//! The tables: medians of all rounds, in Markdown.

use std::fmt::Write;

use crate::one::{CLIENTS, RUNTIMES};
use crate::row::Row;
use crate::workload::ALL;

/// Median, minimum and maximum of what the rounds measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` if there is nothing. The median of an even number is the mean of the middle two.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
        Some(Self { median: (low + high) / 2.0, min: *values.first()?, max: *values.last()? })
    }
}

/// The runs of one client with one workload on one runtime.
pub(crate) struct Line<'a> {
    pub(crate) client: &'static str,
    rows: Vec<&'a Row>,
    counts: Vec<&'a Row>,
}

impl<'a> Line<'a> {
    /// One for each client that has runs, in the order of the clients.
    pub(crate) fn all(rows: &'a [Row], workload: &str, runtime: &str) -> Vec<Self> {
        let of = |client: &'static str| {
            let rows = rows
                .iter()
                .filter(|row| row.client == client && row.workload == workload && row.runtime == runtime);
            let (rows, counts) = rows.partition(|row| row.round > 0);
            Line { client, rows, counts }
        };
        let lines = CLIENTS.iter().map(|client| of(client));
        lines.filter(|line| !line.rows.is_empty() || !line.counts.is_empty()).collect()
    }

    pub(crate) fn spread(&self, figure: impl Fn(&Row) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.rows.iter().filter_map(|row| figure(row)))
    }

    pub(crate) fn median(&self, figure: impl Fn(&Row) -> f64) -> f64 {
        self.spread(|row| Some(figure(row))).map_or(f64::NAN, |spread| spread.median)
    }

    /// A figure that does not depend on noise.
    pub(crate) fn count(&self, figure: impl Fn(&Row) -> Option<f64>) -> Option<f64> {
        Spread::of(self.counts.iter().filter_map(|row| figure(row))).map(|spread| spread.median)
    }

    /// A reference point, which no client is compared with as a peer.
    pub(crate) fn is_reference(&self) -> bool {
        matches!(self.client, "floor" | "redis-benchmark")
    }

    /// The caller routes, which is what a cluster client is for: shown, but no client that keyslot is compared with.
    pub(crate) fn is_by_hand(&self) -> bool {
        self.emulated().is_some_and(|instead| instead.starts_with("by hand"))
    }

    pub(crate) fn is_peer(&self) -> bool {
        self.client != "keyslot" && !self.is_reference() && !self.is_by_hand()
    }

    pub(crate) fn emulated(&self) -> Option<&str> {
        self.rows.iter().find_map(|row| row.emulated.as_deref())
    }
}

/// A table for each workload and runtime that has runs.
pub(crate) fn render(rows: &[Row]) -> String {
    let mut text = String::new();
    for workload in ALL {
        for runtime in RUNTIMES {
            let lines = Line::all(rows, workload.name, runtime);
            if !lines.is_empty() {
                // Writing to a string does not fail.
                let _written = table(&mut text, workload.name, runtime, &lines);
                let _written = counts(&mut text, &lines);
            }
        }
    }
    text
}

fn table(text: &mut String, workload: &str, runtime: &str, lines: &[Line<'_>]) -> std::fmt::Result {
    let own = lines.iter().find(|line| line.client == "keyslot").map(|line| line.median(|row| row.cpu));
    writeln!(text, "### {workload}, {runtime}\n")?;
    writeln!(
        text,
        "| client | CPU µs/op (min-max) | of it user | x keyslot | kops/s (min-max) | server CPU | p50 µs | p99 | p999 | peak MiB |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|---|---|---|")?;
    for line in lines {
        let cpu = line.spread(|row| Some(row.cpu));
        let speed = line.spread(|row| Some(row.ops_per_second / 1000.0));
        let ratio = own.zip(cpu).map_or("-".to_owned(), |(own, cpu)| format!("{:.2}", cpu.median / own));
        writeln!(
            text,
            "| {}{} | {} | {} | {ratio} | {} | {} | {} | {} | {} | {:.1} |",
            line.client,
            if line.emulated().is_some() { " *" } else { "" },
            shown(cpu),
            figure(line.median(|row| row.cpu_user)),
            shown(speed),
            line.spread(|row| row.server_cpu).map_or("-".to_owned(), |cpu| figure(cpu.median)),
            figure(line.median(|row| row.p50)),
            figure(line.median(|row| row.p99)),
            line.spread(|row| row.p999).map_or("-".to_owned(), |p999| figure(p999.median)),
            line.median(|row| row.peak_kib as f64) / 1024.0,
        )?;
    }
    for line in lines {
        if let Some(instead) = line.emulated() {
            writeln!(text, "\n\\* {}: {instead}.", line.client)?;
        }
    }
    let best = lines.iter().filter(|line| line.is_peer());
    let best = best.min_by(|a, b| a.median(|row| row.cpu).total_cmp(&b.median(|row| row.cpu)));
    if let (Some(own), Some(best)) = (own, best) {
        let (name, cpu) = (best.client, best.median(|row| row.cpu));
        writeln!(text, "\nkeyslot: {:.2} x the CPU of the best peer ({name}).", own / cpu)?;
    }
    writeln!(text)
}

fn counts(text: &mut String, lines: &[Line<'_>]) -> std::fmt::Result {
    if lines.iter().all(|line| line.counts.is_empty()) {
        return Ok(());
    }
    writeln!(text, "| client | allocations/op | bytes/op | system calls/op | user instructions/op |")?;
    writeln!(text, "|---|---|---|---|---|")?;
    for line in lines.iter().filter(|line| !line.counts.is_empty()) {
        let shown = |figure_of: fn(&Row) -> Option<f64>| line.count(figure_of).map_or("-".to_owned(), figure);
        writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            line.client,
            shown(|row| row.allocations),
            shown(|row| row.allocated_bytes),
            shown(|row| row.system_calls),
            shown(|row| row.instructions),
        )?;
    }
    writeln!(text)
}

fn shown(spread: Option<Spread>) -> String {
    spread.map_or("-".to_owned(), |Spread { median, min, max }| {
        format!("{} ({}-{})", figure(median), figure(min), figure(max))
    })
}

/// Three digits that matter.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
