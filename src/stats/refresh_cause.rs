//! [`RefreshCause`]: why the cluster is asked for its topology.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

/// Why the cluster was asked for its topology.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum RefreshCause {
    /// A node answered `MOVED`.
    Moved,
    /// A node could not serve what it was asked for: `CLUSTERDOWN`, `READONLY`, `MASTERDOWN`, ...
    Refused,
    /// A connection was lost, could not be made, or was silent for too long.
    Connection,
    /// No node serves a slot, as far as the client knows.
    NoOwner,
    /// A replica could not answer a read.
    Replica,
    /// A scan or a subscriber wants to know for sure.
    Asked,
    /// Nothing: it was due by [`refresh_interval`](crate::ClientBuilder::refresh_interval).
    Interval,
}

impl RefreshCause {
    pub(crate) const ALL: [Self; 7] = [
        Self::Moved,
        Self::Refused,
        Self::Connection,
        Self::NoOwner,
        Self::Replica,
        Self::Asked,
        Self::Interval,
    ];

    /// As it is shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::Refused => "refused",
            Self::Connection => "connection",
            Self::NoOwner => "no_owner",
            Self::Replica => "replica",
            Self::Asked => "asked",
            Self::Interval => "interval",
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for RefreshCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The causes of one refresh.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Causes(u32);

impl Causes {
    pub(crate) fn has(self, cause: RefreshCause) -> bool {
        self.0 & cause.bit() != 0
    }
}

impl fmt::Display for Causes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut causes = RefreshCause::ALL.iter().filter(|cause| self.has(**cause));
        if let Some(first) = causes.next() {
            write!(f, "{first}")?;
        }
        causes.try_for_each(|cause| write!(f, ",{cause}"))
    }
}

/// Collects the causes of the next refresh.
#[derive(Debug, Default)]
pub(crate) struct NextCauses(AtomicU32);

impl NextCauses {
    pub(crate) fn add(&self, cause: RefreshCause) {
        self.0.fetch_or(cause.bit(), Ordering::AcqRel);
    }

    /// Takes what was collected. Nothing: the refresh was due.
    pub(crate) fn take(&self) -> Causes {
        match self.0.swap(0, Ordering::AcqRel) {
            0 => Causes(RefreshCause::Interval.bit()),
            causes => Causes(causes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NextCauses, RefreshCause};

    #[test]
    fn a_refresh_has_all_causes_since_the_last_one_or_was_due() {
        let next = NextCauses::default();
        assert_eq!(next.take().to_string(), "interval");
        next.add(RefreshCause::Connection);
        next.add(RefreshCause::Moved);
        next.add(RefreshCause::Moved);
        assert_eq!(next.take().to_string(), "moved,connection");
        assert_eq!(next.take().to_string(), "interval");
        for (place, cause) in RefreshCause::ALL.into_iter().enumerate() {
            assert_eq!(place, cause as usize, "{cause}");
        }
    }
}
