//! The bookkeeping of `bulk_load`: [`Tally`] while it runs, [`Report`] at the end.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use indicatif::HumanCount;
use keyslot::{NodeAddr, Outcome, Shard, Slot, SlotMap, SlotRange, Stats, Value};
use uuid::Uuid;

/// Keys that are kept to be read back.
const SAMPLE: usize = 1000;

/// What has become of the keys of one pipeline: a result for each.
pub(crate) struct Sent {
    pub(crate) primary: Option<NodeAddr>,
    pub(crate) took: Duration,
    pub(crate) keys: Vec<(Uuid, Slot)>,
    pub(crate) results: Vec<keyslot::Result<Value>>,
}

/// What has become of all keys so far.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) written: u64,
    /// By slot, because a slot may move to another primary meanwhile.
    written_to: BTreeMap<Slot, u64>,
    /// Microseconds.
    round_trips: BTreeMap<NodeAddr, Histogram<u64>>,
    not_sent: u64,
    maybe_executed: u64,
    rejected: u64,
    first_error: Option<keyslot::Error>,
    /// Of the written keys, each with the same chance.
    pub(crate) sample: Vec<Uuid>,
}

impl Tally {
    pub(crate) fn add(&mut self, sent: Sent) -> Result<(), Box<dyn Error>> {
        if let Some(primary) = sent.primary {
            let round_trips = match self.round_trips.entry(primary) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(Histogram::new(3)?),
            };
            round_trips.record(sent.took.as_micros().try_into()?)?;
        }
        for ((key, slot), result) in sent.keys.into_iter().zip(sent.results) {
            match result {
                Ok(_) => self.add_written(key, slot),
                Err(error) => self.add_failed(error),
            }
        }
        Ok(())
    }

    fn add_written(&mut self, key: Uuid, slot: Slot) {
        self.written += 1;
        *self.written_to.entry(slot).or_default() += 1;
        if self.sample.len() < SAMPLE {
            self.sample.push(key);
        } else if let Some(kept) = usize::try_from(key.as_u128() % u128::from(self.written))
            .ok()
            .and_then(|place| self.sample.get_mut(place))
        {
            *kept = key;
        }
    }

    fn add_failed(&mut self, error: keyslot::Error) {
        // The client has sent these again by itself, as far as that was of use before the deadline.
        match error.outcome() {
            Outcome::NotSent => self.not_sent += 1,
            Outcome::MaybeExecuted => self.maybe_executed += 1,
            Outcome::Rejected => self.rejected += 1,
        }
        self.first_error.get_or_insert(error);
    }

    pub(crate) fn failed(&self) -> u64 {
        self.not_sent + self.maybe_executed + self.rejected
    }

    /// What is to be said if not all `keys` were written.
    pub(crate) fn problem(&self, keys: u64) -> Vec<String> {
        let missing = keys - self.written;
        let Some(first) = &self.first_error else { return Vec::new() };
        let mut text = format!(
            "{missing} of {keys} keys failed: {} not sent, {} maybe executed, {} rejected",
            self.not_sent, self.maybe_executed, self.rejected
        );
        if missing > self.failed() {
            text += &format!(", {} given up after those", missing - self.failed());
        }
        vec![format!("{text}; the first: {first}")]
    }
}

/// How the keys spread: a table with a line for each primary.
pub(crate) struct Report<'a> {
    pub(crate) tally: &'a Tally,
    pub(crate) took: Duration,
    pub(crate) map: &'a SlotMap,
    pub(crate) stats: &'a Stats,
    /// Keys of each primary.
    pub(crate) before: &'a BTreeMap<NodeAddr, u64>,
    /// Empty if they could not be counted.
    pub(crate) after: &'a BTreeMap<NodeAddr, u64>,
}

const HEAD: [&str; 9] =
    ["primary", "slots", "written", "share", "DBSIZE", "redirects", "keys/s", "p50", "p99"];

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shards: Vec<Shard<'_>> = self.map.shards().collect();
        shards.sort_by_key(|shard| shard.slots().next().map_or(Slot::COUNT, Slot::get));
        let mut rows = vec![HEAD.map(str::to_owned)];
        rows.extend(shards.iter().map(|shard| self.row(shard)));
        rows.push(self.total());
        let widths = rows.iter().fold([0; HEAD.len()], |mut widths, row| {
            widths.iter_mut().zip(row).for_each(|(width, cell)| *width = cell.len().max(*width));
            widths
        });
        writeln!(f, "\n{} keys written in {:.2?}.\n", HumanCount(self.tally.written), self.took)?;
        for row in rows {
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                match column {
                    0 => write!(f, "{cell:<width$}")?,
                    1 => write!(f, "  {cell:<width$}")?,
                    _ => write!(f, "  {cell:>width$}")?,
                }
            }
            writeln!(f)?;
        }
        writeln!(
            f,
            "\nDBSIZE: what it grew by. p50, p99: milliseconds from sending a pipeline to its last reply."
        )?;
        self.unusual(f)
    }
}

impl Report<'_> {
    fn row(&self, shard: &Shard<'_>) -> [String; HEAD.len()] {
        let primary = &shard.primary().addr;
        let written = shard.slots().filter_map(|slot| self.tally.written_to.get(&slot)).sum();
        self.cells(
            primary.to_string(),
            shortened(&shard.ranges()),
            written,
            self.before.get(primary).copied().zip(self.after.get(primary).copied()),
            self.stats.redirected_to.get(primary).copied().unwrap_or(0),
            self.tally.round_trips.get(primary),
        )
    }

    fn total(&self) -> [String; HEAD.len()] {
        let sum = |counts: &BTreeMap<NodeAddr, u64>| (!counts.is_empty()).then(|| counts.values().sum());
        self.cells(
            "all".to_owned(),
            format!("{} slots", self.map.assigned_slots()),
            self.tally.written,
            sum(self.before).zip(sum(self.after)),
            self.stats.redirected_to.values().sum(),
            self.tally.round_trips.values().cloned().reduce(|sum, next| sum + &next).as_ref(),
        )
    }

    fn cells(
        &self,
        primary: String,
        slots: String,
        written: u64,
        counts: Option<(u64, u64)>,
        redirects: u64,
        round_trips: Option<&Histogram<u64>>,
    ) -> [String; HEAD.len()] {
        let millis = |quantile| {
            round_trips.map_or_else(
                || "-".to_owned(),
                |trips| format!("{:.2}", trips.value_at_quantile(quantile) as f64 / 1000.0),
            )
        };
        [
            primary,
            slots,
            HumanCount(written).to_string(),
            format!("{:.1}%", 100.0 * written as f64 / self.tally.written.max(1) as f64),
            counts.map_or_else(
                || "?".to_owned(),
                |(before, after)| format!("{:+}", i128::from(after) - i128::from(before)),
            ),
            redirects.to_string(),
            format!("{:.0}", written as f64 / self.took.as_secs_f64()),
            millis(0.5),
            millis(0.99),
        ]
    }

    /// What happened besides; nothing on a cluster that is left alone.
    fn unusual(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stats { moved, asked, retries, disconnects, .. } = self.stats;
        if moved + asked + retries + disconnects > 0 {
            writeln!(
                f,
                "On the way: MOVED {moved}, ASK {asked}, retries {retries}, connections lost {disconnects}."
            )?;
        }
        Ok(())
    }
}

/// A shard has few ranges as a rule, but may have thousands: as many as fit, but at least one.
fn shortened(ranges: &[SlotRange]) -> String {
    const WIDTH: usize = 22;
    let first = |shown: usize| {
        let mut parts: Vec<String> = ranges.iter().take(shown).map(ToString::to_string).collect();
        if shown < ranges.len() {
            parts.push(format!("+{} more", ranges.len() - shown));
        }
        parts.join(", ")
    };
    (2..=ranges.len().min(4)).rev().map(first).find(|text| text.len() <= WIDTH).unwrap_or_else(|| first(1))
}
