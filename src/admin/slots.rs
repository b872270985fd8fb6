//! [`Slots`]: some of the slots, as callers name them and plans show them.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::slot::Slot;
use crate::topology::slot_map::SlotRange;
use crate::topology::slot_set::{SlotSet, read_range};

/// Any number of slots; written and read as ranges with commas, `0-5460,8000`.
///
/// ```
/// use keyslot::admin::Slots;
///
/// let slots: Slots = "0-99,8000".parse()?;
/// assert_eq!((slots.len(), slots.to_string().as_str()), (101, "0-99,8000"));
/// # Ok::<(), keyslot::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Slots(pub(super) SlotSet);

impl Slots {
    /// Every slot of a cluster.
    #[must_use]
    pub fn all() -> Self {
        Self(SlotSet::all())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn contains(&self, slot: Slot) -> bool {
        self.0.contains(slot)
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> {
        self.0.iter()
    }

    /// As ranges in order.
    #[must_use]
    pub fn ranges(&self) -> Vec<SlotRange> {
        self.0.ranges()
    }
}

impl From<SlotSet> for Slots {
    fn from(slots: SlotSet) -> Self {
        Self(slots)
    }
}

impl FromIterator<Slot> for Slots {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        Self(slots.into_iter().collect())
    }
}

impl FromStr for Slots {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut set = SlotSet::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let range = read_range(word).ok_or_else(|| {
                Error::usage(format!("\"{word}\" is no range of slots; expected such as 0-5460,8000"))
            })?;
            set.extend(range);
        }
        Ok(Self(set))
    }
}

impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slots({})", self.0)
    }
}
