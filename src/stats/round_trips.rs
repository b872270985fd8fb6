//! [`RoundTrips`]: how long a node takes to answer, as a histogram.
//!
//! Of our own, because the tasks of links write it while others read it, without a lock, and it is part of every build:
//! the usual library for this is written by one owner at a time, needs a channel and a merge to be shared, and brings two
//! more with it.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Each power of two is divided into so many buckets of the same width, so a time is known to a sixteenth of itself.
const PARTS: u64 = 16;
const PART_BITS: u32 = PARTS.trailing_zeros();

/// Below 2^10 ns (a microsecond) all buckets are equally wide.
const LOWEST: u32 = 10;

/// Times from 2^36 ns (68.7 s) on are in the last bucket.
const HIGHEST: u32 = 36;

const BUCKETS: usize = (HIGHEST - LOWEST + 1) as usize * PARTS as usize;

/// The bucket of a time.
#[inline]
fn bucket_of(nanos: u64) -> usize {
    let nanos = nanos.min((1 << HIGHEST) - 1);
    let power = nanos.checked_ilog2().map_or(LOWEST, |power| power.max(LOWEST - 1));
    let (octave, width) = if nanos < 1 << LOWEST {
        (0, LOWEST - PART_BITS)
    } else {
        (u64::from(power - LOWEST) + 1, power - PART_BITS)
    };
    (octave * PARTS + (nanos >> width) % PARTS) as usize
}

/// The first time of a bucket and the first one behind it.
fn bounds_of(bucket: usize) -> (u64, u64) {
    let (octave, part) = (bucket as u64 / PARTS, bucket as u64 % PARTS);
    let (first, width) = match octave {
        0 => (0, 1 << (LOWEST - PART_BITS)),
        octave => {
            let first = 1_u64 << (u64::from(LOWEST) + octave - 1);
            (first, first / PARTS)
        }
    };
    (first + part * width, first + (part + 1) * width)
}

/// The live histogram of one node.
#[derive(Debug, Default)]
pub(crate) struct RoundTripCounters {
    /// Made when it is used: most nodes of a large cluster are replicas that are never asked.
    buckets: OnceLock<Box<[AtomicU64]>>,
    sum: AtomicU64,
    longest: AtomicU64,
}

impl RoundTripCounters {
    pub(crate) fn add(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let buckets = self.buckets.get_or_init(|| (0..BUCKETS).map(|_| AtomicU64::new(0)).collect());
        if let Some(bucket) = buckets.get(bucket_of(nanos)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(nanos, Ordering::Relaxed);
        if nanos > self.longest.load(Ordering::Relaxed) {
            self.longest.fetch_max(nanos, Ordering::Relaxed);
        }
    }

    pub(crate) fn snapshot(&self) -> RoundTrips {
        let buckets = self.buckets.get().map(|buckets| &**buckets).unwrap_or_default();
        RoundTrips {
            counts: buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
            longest: self.longest.load(Ordering::Relaxed),
        }
    }
}

/// How long a node took to answer: a histogram of fixed size.
///
/// Measured for one batch of commands in four on each shared connection, beginning with the first: from when its first command was queued (or,
/// for a pipeline, was taken to be written) to when its first reply was read. So it has the wait for the connection's
/// task, both ways through the network and the server's time for one command; not the time of replies behind the first.
/// While one batch is measured no other is, and commands on exclusive connections never: a `BLPOP` may wait.
///
/// Its error: a time is known to a sixteenth of itself, and [`percentile`](Self::percentile) tells the middle, which is
/// at most 3.2 % off (below a microsecond, 32 ns). Of what took longer than 66 seconds it tells the longest.
/// [`max`](Self::max) and [`mean`](Self::mean) are exact.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RoundTrips {
    /// None at all, or all.
    counts: Vec<u64>,
    sum: u64,
    longest: u64,
}

impl RoundTrips {
    /// How many were measured.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The longest; `None` if none was measured.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_nanos(self.longest))
    }

    /// The arithmetic mean; `None` if none was measured.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        self.sum.checked_div(self.count()).map(Duration::from_nanos)
    }

    /// The time within which so many per cent of them were: `percentile(99.0)`. `None` if none was measured; what is below
    /// 0 or above 100 counts as that.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        let count = self.count();
        // Exact for all counts below 2^53.
        let rank = ((percent.clamp(0.0, 100.0) / 100.0 * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        let (from, to) = bounds_of(bucket);
        let middle = from + (to - from) / 2;
        // Nothing took longer than the longest, and what is in the last bucket may have.
        let told = if bucket + 1 == BUCKETS { self.longest } else { middle.min(self.longest) };
        Some(Duration::from_nanos(told))
    }

    /// The buckets that are not empty: the time that everything in one is shorter than, and how many there are.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let used = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        used.map(|(bucket, count)| (Duration::from_nanos(bounds_of(bucket).1), *count))
    }

    /// Those that came behind an earlier snapshot of the same node: what a display of the last second wants. Its
    /// [`max`](Self::max) is exact if the longest of all is among them, else within a sixteenth above.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.counts.iter().copied().chain(std::iter::repeat(0));
        let counts: Vec<u64> =
            self.counts.iter().zip(before).map(|(now, before)| now.saturating_sub(before)).collect();
        let highest = counts.iter().rposition(|count| *count > 0).map_or(0, |bucket| bounds_of(bucket).1);
        let longest = if self.longest > earlier.longest { self.longest } else { highest.min(self.longest) };
        Self { counts, sum: self.sum.saturating_sub(earlier.sum), longest }
    }

    /// Adds those of another node.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.sum += other.sum;
        self.longest = self.longest.max(other.longest);
    }
}

impl fmt::Debug for RoundTrips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RoundTrips");
        shown.field("count", &self.count());
        if let (Some(mean), Some(max)) = (self.mean(), self.max()) {
            let percentile = |percent| self.percentile(percent).unwrap_or_default();
            shown.field("mean", &mean).field("p50", &percentile(50.0)).field("p99", &percentile(99.0));
            shown.field("max", &max);
        }
        shown.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{BUCKETS, RoundTripCounters, bounds_of, bucket_of};

    #[test]
    fn the_buckets_are_without_gap_and_overlap() {
        let mut next = 0;
        for bucket in 0..BUCKETS {
            let (from, to) = bounds_of(bucket);
            assert_eq!(from, next);
            assert_eq!((bucket_of(from), bucket_of(to - 1)), (bucket, bucket));
            next = to;
        }
        assert_eq!(next, 1 << super::HIGHEST);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_mean_and_longest_are_those_of_the_times() {
        let counters = RoundTripCounters::default();
        assert_eq!(counters.snapshot().percentile(50.0), None);
        assert_eq!((counters.snapshot().mean(), counters.snapshot().max()), (None, None));
        for micros in 1..=1000 {
            counters.add(Duration::from_micros(micros));
        }
        let mut trips = counters.snapshot();
        assert_eq!((trips.count(), trips.max()), (1000, Some(Duration::from_millis(1))));
        assert_eq!(trips.mean(), Some(Duration::from_nanos(500_500)));
        for (percent, micros) in [(0.0, 1.0), (50.0, 500.0), (99.0, 990.0), (100.0, 1000.0), (200.0, 1000.0)]
        {
            let told = trips.percentile(percent).unwrap().as_nanos() as f64 / 1000.0;
            assert!((told / micros - 1.0).abs() <= 0.032, "{percent}: {told} of {micros}");
        }
        let other = trips.clone();
        trips.merge(&other);
        assert_eq!((trips.count(), trips.mean()), (2000, other.mean()));
        assert_eq!(trips.buckets().map(|(_, count)| count).sum::<u64>(), 2000);
        counters.add(Duration::from_micros(300));
        let last = counters.snapshot().since(&other);
        assert_eq!((last.count(), last.mean()), (1, Some(Duration::from_micros(300))));
        let (longest, middle) = (last.max().unwrap(), last.percentile(50.0).unwrap());
        assert!((Duration::from_micros(300)..Duration::from_micros(320)).contains(&longest), "{longest:?}");
        assert!(middle <= longest, "{middle:?}");
        assert_eq!(other.since(&other).percentile(50.0), None);
        let long = RoundTripCounters::default();
        long.add(Duration::from_secs(500));
        assert_eq!(long.snapshot().percentile(50.0), Some(Duration::from_secs(500)));
    }

    proptest! {
        #[test]
        fn one_time_is_told_within_the_error_that_is_promised(nanos in 1_000..bounds_of(BUCKETS - 1).0) {
            let counters = RoundTripCounters::default();
            counters.add(Duration::from_nanos(nanos));
            // A longer one, so that the longest does not give it away.
            counters.add(Duration::from_nanos(1 << 36));
            let told = counters.snapshot().percentile(50.0).unwrap().as_nanos() as f64;
            prop_assert!((told / nanos as f64 - 1.0).abs() <= 0.032, "{} of {}", told, nanos);
        }
    }
}
