//! [`SlotSet`]: some of the slots, one bit for each.

use std::fmt;

use crate::slot::Slot;
use crate::topology::slot_map::SlotRange;

const BITS: usize = u64::BITS as usize;
const WORDS: usize = Slot::COUNT as usize / BITS;

/// Any number of slots in two KiB.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SlotSet(Box<[u64; WORDS]>);

impl SlotSet {
    pub(crate) fn all() -> Self {
        Self(Box::new([u64::MAX; WORDS]))
    }

    pub(crate) fn contains(&self, slot: Slot) -> bool {
        let number = usize::from(slot.get());
        self.0.get(number / BITS).is_some_and(|word| word & (1 << (number % BITS)) != 0)
    }

    pub(crate) fn insert(&mut self, slot: Slot) {
        let number = usize::from(slot.get());
        if let Some(word) = self.0.get_mut(number / BITS) {
            *word |= 1 << (number % BITS);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Each of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Slot> {
        Slot::all().filter(|slot| self.contains(*slot))
    }

    /// Those that are not in `other`.
    pub(crate) fn without(mut self, other: &Self) -> Self {
        for (word, gone) in self.0.iter_mut().zip(other.0.iter()) {
            *word &= !gone;
        }
        self
    }

    /// As ranges in order.
    pub(crate) fn ranges(&self) -> Vec<SlotRange> {
        let mut ranges: Vec<SlotRange> = Vec::new();
        for slot in self.iter() {
            match ranges.last_mut() {
                Some(range) if range.last.get() + 1 == slot.get() => range.last = slot,
                Some(_) | None => ranges.push(SlotRange { first: slot, last: slot }),
            }
        }
        ranges
    }
}

impl Default for SlotSet {
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

impl Extend<Slot> for SlotSet {
    fn extend<I: IntoIterator<Item = Slot>>(&mut self, slots: I) {
        slots.into_iter().for_each(|slot| self.insert(slot));
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut set = Self::default();
        set.extend(slots);
        set
    }
}

/// As ranges with commas, `0-5460,8000`.
impl fmt::Display for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, range) in self.ranges().iter().enumerate() {
            write!(f, "{}{range}", if place == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotSet({self})")
    }
}

/// The slots of one word such as `8000` or `0-5460`.
pub(crate) fn read_range(word: &str) -> Option<impl Iterator<Item = Slot> + use<>> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let slot = |text: &str| text.parse().ok().and_then(Slot::new).map(Slot::get);
    let (first, last) = (slot(first)?, slot(last)?);
    (first <= last).then(|| (first..=last).filter_map(Slot::new))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{SlotSet, read_range};
    use crate::slot::Slot;

    fn read(text: &str) -> Option<SlotSet> {
        let mut set = SlotSet::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            set.extend(read_range(word)?);
        }
        Some(set)
    }

    #[test]
    fn a_set_is_written_as_ranges_and_read_again() {
        assert_eq!(SlotSet::all().to_string(), "0-16383");
        assert_eq!(SlotSet::default().to_string(), "");
        let some = read("0-5,7,16383").unwrap();
        assert_eq!((some.len(), some.to_string().as_str()), (8, "0-5,7,16383"));
        for wrong in ["16384", "5-4", "a", "1-", "-1", "1-2-3"] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn what_is_taken_out_is_not_there() {
        let set = SlotSet::all().without(&read("0-16382").unwrap());
        let last = Slot::new(16383).unwrap();
        assert!(set.contains(last) && set.iter().eq([last]));
        assert!(set.clone().without(&set).is_empty());
    }

    proptest! {
        #[test]
        fn any_set_survives_its_text(numbers: Vec<u16>, one in any::<bool>()) {
            let mut set: SlotSet = numbers.iter().filter_map(|number| Slot::new(number % Slot::COUNT)).collect();
            if one {
                set = SlotSet::all().without(&set);
            }
            assert_eq!(read(&set.to_string()), Some(set));
        }
    }
}
