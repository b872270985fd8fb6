//! [`Import`]: an order to fetch slots, as data; `imports` acts on it.

use crate::testkit::sim::view::NodeIndex;

/// One order, as the node that it was given to remembers it.
#[derive(Clone, Debug)]
pub(super) struct Import {
    pub(super) id: String,
    /// First and last slots.
    pub(super) ranges: Vec<(u16, u16)>,
    pub(super) source: NodeIndex,
    pub(super) state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    InProgress,
    Completed,
    Canceled,
    Failed,
}

impl State {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Canceled => "canceled",
            Self::Failed => "failed",
        }
    }
}

impl Import {
    pub(super) fn slots(&self) -> impl Iterator<Item = u16> {
        self.ranges.iter().flat_map(|(first, last)| *first..=*last)
    }
}
