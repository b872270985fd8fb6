//! [`Stream`]: entries by id.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use bytes::Bytes;

/// How many entries a server keeps together, and lets go together if it may trim roughly.
const BLOCK: usize = 100;

/// `milliseconds-sequence`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(in crate::testkit::sim) struct StreamId {
    pub(in crate::testkit::sim) millis: u64,
    pub(in crate::testkit::sim) sequence: u64,
}

impl StreamId {
    pub(in crate::testkit::sim) const MIN: Self = Self { millis: 0, sequence: 0 };
    pub(in crate::testkit::sim) const MAX: Self = Self { millis: u64::MAX, sequence: u64::MAX };

    /// `millis-sequence`, or milliseconds alone with this sequence.
    pub(in crate::testkit::sim) fn parse(text: &[u8], sequence: u64) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let number = |digits: &str| digits.parse().ok().filter(|_| !digits.starts_with('+'));
        match text.split_once('-') {
            Some((millis, sequence)) => Some(Self { millis: number(millis)?, sequence: number(sequence)? }),
            None => Some(Self { millis: number(text)?, sequence }),
        }
    }

    pub(in crate::testkit::sim) fn next(self) -> Option<Self> {
        match self.sequence.checked_add(1) {
            Some(sequence) => Some(Self { sequence, ..self }),
            None => Some(Self { millis: self.millis.checked_add(1)?, sequence: 0 }),
        }
    }

    pub(in crate::testkit::sim) fn previous(self) -> Option<Self> {
        match self.sequence.checked_sub(1) {
            Some(sequence) => Some(Self { sequence, ..self }),
            None => Some(Self { millis: self.millis.checked_sub(1)?, sequence: u64::MAX }),
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.sequence)
    }
}

/// What trimming keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::testkit::sim) enum Keep {
    /// So many of the newest.
    Newest(usize),
    /// Those from this id on.
    From(StreamId),
}

/// An append-only list of entries, each a flat list of fields and values.
#[derive(Clone, Debug, Default)]
pub(in crate::testkit::sim) struct Stream {
    pub(in crate::testkit::sim) entries: BTreeMap<StreamId, Vec<Bytes>>,
    /// The greatest id ever given, which a deleted entry keeps.
    pub(in crate::testkit::sim) last: StreamId,
}

impl Stream {
    pub(in crate::testkit::sim) fn add(&mut self, id: StreamId, fields: Vec<Bytes>) {
        self.entries.insert(id, fields);
        self.last = self.last.max(id);
    }

    /// Those with an id from the first to the last of `ids`.
    pub(in crate::testkit::sim) fn between(
        &self,
        ids: RangeInclusive<StreamId>,
    ) -> impl DoubleEndedIterator<Item = (&StreamId, &Vec<Bytes>)> {
        // A map panics at a range that is turned round.
        let is_turned = ids.start() > ids.end();
        (!is_turned).then(|| self.entries.range(ids)).into_iter().flatten()
    }

    /// Removes the oldest; how many that were. `roughly` lets go whole blocks only, and no more entries than `most`.
    pub(in crate::testkit::sim) fn trim(&mut self, keep: Keep, roughly: Option<usize>) -> usize {
        let length = self.entries.len();
        let superfluous = match keep {
            Keep::Newest(count) => length.saturating_sub(count),
            Keep::From(id) => self.entries.range(..id).count(),
        };
        let removed = match roughly {
            None => superfluous,
            // The last block may hold less, and goes too if all of it may.
            Some(most) if superfluous == length && length <= most => length,
            Some(most) => superfluous.min(most) / BLOCK * BLOCK,
        };
        for _ in 0..removed {
            self.entries.pop_first();
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::{Keep, Stream, StreamId};

    #[test]
    fn an_id_is_two_numbers_or_one() {
        let id = |millis, sequence| Some(StreamId { millis, sequence });
        for (text, parsed) in [
            ("5-3", id(5, 3)),
            ("5", id(5, 9)),
            ("-1", None),
            ("1-", None),
            ("1-1-1", None),
            ("+1", None),
            ("1-*", None),
            ("18446744073709551616-0", None),
        ] {
            assert_eq!(StreamId::parse(text.as_bytes(), 9), parsed, "{text}");
        }
        assert_eq!(id(1, u64::MAX).unwrap().next(), id(2, 0));
        assert_eq!(id(2, 0).unwrap().previous(), id(1, u64::MAX));
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(StreamId::MIN.previous(), None);
    }

    #[test]
    fn a_stream_that_may_be_trimmed_roughly_loses_whole_blocks() {
        let id = |millis| StreamId { millis, sequence: 0 };
        let mut stream = Stream::default();
        (1..=250).for_each(|millis| stream.add(id(millis), Vec::new()));
        assert_eq!(stream.trim(Keep::Newest(100), Some(50)), 0);
        assert_eq!(stream.trim(Keep::Newest(100), Some(10_000)), 100);
        assert_eq!(stream.trim(Keep::Newest(149), None), 1);
        assert_eq!(stream.trim(Keep::From(id(150)), None), 48);
        assert_eq!(stream.between(id(200)..=id(300)).count(), 51);
        assert_eq!(stream.between(id(300)..=id(200)).count(), 0);
        assert_eq!(stream.trim(Keep::Newest(0), Some(10_000)), 101);
        assert_eq!(stream.last, id(250));
    }
}
