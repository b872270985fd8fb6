//! [`SortedSet`]: members by score and scores by member.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

/// A score that can be ordered; never NaN, which commands refuse.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(in crate::testkit::sim) struct Score(pub(in crate::testkit::sim) f64);

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal)
    }
}

/// Members in the order of their scores, and of their bytes where scores are the same.
#[derive(Clone, Debug, Default)]
pub(in crate::testkit::sim) struct SortedSet {
    scores: BTreeMap<Bytes, Score>,
    order: BTreeSet<(Score, Bytes)>,
}

impl SortedSet {
    pub(in crate::testkit::sim) fn len(&self) -> usize {
        self.scores.len()
    }

    pub(in crate::testkit::sim) fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    pub(in crate::testkit::sim) fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).map(|score| score.0)
    }

    /// Sets a score; the one that there was before.
    pub(in crate::testkit::sim) fn insert(&mut self, member: Bytes, score: f64) -> Option<f64> {
        let before = self.scores.insert(member.clone(), Score(score));
        if let Some(before) = before {
            self.order.remove(&(before, member.clone()));
        }
        self.order.insert((Score(score), member));
        before.map(|score| score.0)
    }

    pub(in crate::testkit::sim) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let (member, score) = self.scores.remove_entry(member)?;
        self.order.remove(&(score, member));
        Some(score.0)
    }

    /// From the lowest score on.
    pub(in crate::testkit::sim) fn iter(&self) -> impl DoubleEndedIterator<Item = (&Bytes, f64)> {
        self.order.iter().map(|(score, member)| (member, score.0))
    }
}
