//! [`HotSlots`]: which slots get the most commands, by a sample.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::node::NodeAddr;
use crate::slot::Slot;

/// One command of so many is in the sample, on average.
pub(crate) const EVERY: u32 = 1024;

/// At so many samples all counts are halved: what was hot an hour ago must not hide what is hot now.
const FULL: u64 = 1 << 16;

/// How often each slot was in the sample.
#[derive(Debug, Default)]
pub(crate) struct HotSlots {
    /// Made with the first sample: 64 KiB.
    counts: OnceLock<Box<[AtomicU32]>>,
    total: AtomicU64,
}

/// A slot and its share of the commands, as [`Client::hot_slots`](crate::Client::hot_slots) has seen it.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct HotSlot {
    /// The slot.
    pub slot: Slot,
    /// The primary that serves it now.
    pub node: Option<NodeAddr>,
    /// Its part of all commands with a key: 0.0 to 1.0.
    pub share: f64,
    /// How many samples say so. One standard deviation of `share` is `share / sqrt(samples)` at most: with 100 samples a
    /// tenth of it.
    pub samples: u64,
}

impl HotSlots {
    #[cold]
    pub(crate) fn add(&self, slot: Slot) {
        let counts = self.counts.get_or_init(|| (0..Slot::COUNT).map(|_| AtomicU32::new(0)).collect());
        if let Some(count) = counts.get(usize::from(slot.get())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if self.total.fetch_add(1, Ordering::Relaxed) + 1 == FULL {
            let mut left = 0;
            for count in counts {
                // A sample that comes in between may be lost, which is one of 65536.
                let half = count.load(Ordering::Relaxed) / 2;
                count.store(half, Ordering::Relaxed);
                left += u64::from(half);
            }
            self.total.store(left, Ordering::Relaxed);
        }
    }

    /// The `most` slots with the most samples, the hottest first; among equals the lower slot. `node_of` says who serves one.
    pub(crate) fn top(&self, most: usize, node_of: impl Fn(Slot) -> Option<NodeAddr>) -> Vec<HotSlot> {
        let counts = self.counts.get().map(|counts| &**counts).unwrap_or_default();
        let counts = counts.iter().map(|count| u64::from(count.load(Ordering::Relaxed)));
        let mut seen: Vec<(Slot, u64)> = Slot::all().zip(counts).filter(|(_, count)| *count > 0).collect();
        let total: u64 = seen.iter().map(|(_, count)| count).sum();
        seen.sort_by_key(|(slot, count)| (u64::MAX - count, slot.get()));
        seen.truncate(most);
        let told = |(slot, samples): (Slot, u64)| HotSlot {
            slot,
            node: node_of(slot),
            share: samples as f64 / total as f64,
            samples,
        };
        seen.into_iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{FULL, HotSlots};
    use crate::slot::Slot;

    #[test]
    fn the_hottest_come_first_with_their_share() {
        let hot = HotSlots::default();
        assert!(hot.top(5, |_| None).is_empty());
        let slot = |number| Slot::new(number).unwrap();
        [(7, 6), (9, 3), (1, 1)]
            .into_iter()
            .for_each(|(number, times)| (0..times).for_each(|_| hot.add(slot(number))));
        let top: Vec<_> =
            hot.top(2, |_| None).iter().map(|hot| (hot.slot.get(), hot.samples, hot.share)).collect();
        assert_eq!(top, [(7, 6, 0.6), (9, 3, 0.3)]);
    }

    #[test]
    fn what_was_hot_long_ago_counts_less_and_less() {
        let hot = HotSlots::default();
        let [old, new] = [1, 2].map(|number| Slot::new(number).unwrap());
        (0..FULL).for_each(|_| hot.add(old));
        (0..FULL).for_each(|_| hot.add(new));
        let top = hot.top(2, |_| None);
        assert_eq!((top[0].slot, top[1].slot), (new, old));
        assert!(top[0].share > 0.7, "{top:?}");
    }
}
